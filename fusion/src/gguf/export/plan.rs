//! Which tensors of a checkpoint become which tensors of the files.

use super::glm5_next;
use crate::FusionError;
use crate::family::model_type;
use crate::gguf::tensors::{CHAT_GLM_LAYER, LAYER, TOWER, TOWER_BLOCK};
use glm4v_language::{
    ChatGlmConfig, DecoderConfig, Glm5NextTextConfig, TextConfig, TextFamily, YarnConfig,
};
use glm4v_weights::{Checkpoint, Files, TensorInfo};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// A tensor to be written.
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// What it is made of, one after another.
    pub(super) sources: Vec<TensorInfo>,
    pub(super) order: Order,
}

/// How a source's bytes are put in order.
pub(super) enum Order {
    AsStored,
    /// Of each `head` rows, the first `rotated` from pairs to halves.
    Halves {
        head: usize,
        rotated: usize,
    },
    /// One of the two frames of a kernel `(out, channels, 2, y, x)`.
    Frame(usize),
    /// Of each head's rows `(keys + values, rank)`, those of keys, turned over.
    Keys {
        keys: usize,
        values: usize,
    },
    /// The same, those of values.
    Values {
        keys: usize,
        values: usize,
    },
    /// `−e^x` of each number, in f32.
    NegativeExp,
}

/// All that is written.
pub(super) struct Plan {
    pub(super) architecture: &'static str,
    pub(super) decoder: DecoderConfig,
    pub(super) text: Vec<Planned>,
    pub(super) tower: Option<Vec<Planned>>,
}

/// The decoder's config, whatever the family.
#[derive(Deserialize)]
struct Config {
    text_config: Option<serde_json::Value>,
    vision_config: Option<serde_json::Value>,
    tie_word_embeddings: Option<bool>,
}

pub(super) fn plan(checkpoint: &Checkpoint) -> Result<Plan, FusionError> {
    let files = checkpoint.files();
    let model_type = model_type(files)?;
    let config: Config = crate::family::config(files)?;
    let text_type = config.text_config.as_ref().and_then(|text| text.get("model_type")?.as_str());
    let (architecture, family) = match model_type.as_str() {
        "chatglm" => ("chatglm", None),
        "glm" => ("chatglm", Some(TextFamily::Glm)),
        "glm4" => ("glm4", Some(TextFamily::Glm4)),
        "glm46v" if text_type == Some("glm4v_moe_text") => ("glm4moe", Some(TextFamily::Glm4vMoe)),
        "glm4v" | "glm46v" => ("glm4", Some(TextFamily::Glm4v)),
        "glm_ocr" => ("glm4", Some(TextFamily::GlmOcr)),
        "glm4v_moe" => ("glm4moe", Some(TextFamily::Glm4vMoe)),
        "glm5_next" => ("glm5-next", None),
        _ => return Err(no_form(files, format!("model_type \"{model_type}\""))),
    };
    if architecture == "chatglm" && family.is_none() && config.vision_config.is_some() {
        let what = "the tower of GLM-4V-9B (load it with --quant instead)";
        return Err(no_form(files, what.to_owned()));
    }
    let decoder = decoder(files, architecture, family, &config)?;
    if let Some(hybrid) = &decoder.hybrid
        && let Some(what) = glm5_next::has_no_form(&decoder, hybrid)
    {
        return Err(no_form(files, what));
    }
    if decoder.rotary.yarn.as_ref().is_some_and(|yarn| !has_usual_attention(yarn)) {
        return Err(no_form(files, "`rope_scaling` that attends in its own way".to_owned()));
    }
    let mut plan = Plan { architecture, decoder, text: Vec::new(), tower: None };
    if config.vision_config.is_some() {
        plan.tower = Some(Vec::new());
    }
    let mut experts: Vec<(String, Vec<TensorInfo>)> = Vec::new();
    let hybrid = plan.decoder.hybrid.clone();
    let hybrid = hybrid.as_ref();
    for tensor in checkpoint.tensors() {
        if is_left_out(&plan, &tensor.name) {
            continue;
        }
        if let Some(name) = tower_name(&tensor.name) {
            add_tower(plan.tower.get_or_insert_default(), name, tensor);
        } else if let Some((name, expert)) = expert_name(&tensor.name) {
            match experts.iter_mut().find(|(found, _)| *found == name) {
                Some((_, sources)) => {
                    // Sorted by name, expert 10 comes before expert 2.
                    sources.resize_with(sources.len().max(expert + 1), || tensor.clone());
                    if let Some(place) = sources.get_mut(expert) {
                        tensor.clone_into(place);
                    }
                }
                None => experts.push((name, vec![tensor.clone(); expert + 1])),
            }
        } else if let Some(planned) =
            hybrid.and_then(|hybrid| glm5_next::planned(&plan.decoder, hybrid, tensor))
        {
            plan.text.extend(planned);
        } else if let Some(name) = text_name(&plan, &tensor.name) {
            let order = match plan.decoder.rotary.sections.is_some() && architecture == "glm4" {
                true if name.contains(".attn_q.") || name.contains(".attn_k.") => Order::Halves {
                    head: plan.decoder.head_dim,
                    rotated: plan.decoder.rotary.rotated,
                },
                _ => Order::AsStored,
            };
            let (shape, sources) = (tensor.shape.clone(), vec![tensor.clone()]);
            plan.text.push(Planned { name, shape, sources, order });
        } else {
            return Err(no_form(files, format!("tensor `{}`", tensor.name)));
        }
    }
    for (name, sources) in experts {
        let numbers = sources.iter().map(|source| expert_name(&source.name).map(|found| found.1));
        if let Some(missing) =
            (0..).zip(numbers).find_map(|(i, found)| (found != Some(i)).then_some(i))
        {
            let reason = format!("expert {missing} of `{name}` is missing; fetch the model again");
            return Err(FusionError::Reference { file: files.describe("config.json"), reason });
        }
        let matrix = sources.first().map(|source| source.shape.clone()).unwrap_or_default();
        let shape = [vec![sources.len()], matrix].concat();
        plan.text.push(Planned { name, shape, sources, order: Order::AsStored });
    }
    Ok(plan)
}

fn decoder(
    files: &Files,
    architecture: &str,
    family: Option<TextFamily>,
    config: &Config,
) -> Result<DecoderConfig, FusionError> {
    let tied = config.tie_word_embeddings;
    Ok(match family {
        None if architecture == "glm5-next" => {
            text_config::<Glm5NextTextConfig>(files, config)?.decoder(tied)?
        }
        None => DecoderConfig::from(&crate::family::config::<ChatGlmConfig>(files)?),
        Some(family) => text_config::<TextConfig>(files, config)?.decoder(family, tied)?,
    })
}

/// The decoder's part of `config.json`, which is all of it for text models.
fn text_config<T: DeserializeOwned>(files: &Files, config: &Config) -> Result<T, FusionError> {
    let Some(text) = &config.text_config else { return crate::family::config(files) };
    T::deserialize(text).map_err(|error| FusionError::Reference {
        file: files.describe("config.json"),
        reason: format!("text_config: {error}"),
    })
}

/// Whether attention is scaled as GGUF's readers do by themselves.
fn has_usual_attention(yarn: &YarnConfig) -> bool {
    let usual = YarnConfig::default_attention_factor(yarn.factor, 1.0);
    yarn.truncate && (yarn.attention_factor - usual).abs() < 1e-9
}

fn no_form(files: &Files, what: String) -> FusionError {
    FusionError::NoGgufForm { file: files.describe("config.json"), what }
}

/// The name of a decoder's tensor.
fn text_name(plan: &Plan, name: &str) -> Option<String> {
    let end = match name.rsplit_once('.')? {
        (_, end @ ("weight" | "bias" | "e_score_correction_bias")) => end,
        _ => return None,
    };
    let module = name.strip_suffix(end)?.strip_suffix('.')?;
    let table = match module {
        "model.embed_tokens"
        | "model.language_model.embed_tokens"
        | "transformer.embedding.word_embeddings" => "token_embd",
        "model.norm" | "model.language_model.norm" | "transformer.encoder.final_layernorm" => {
            "output_norm"
        }
        "lm_head" | "transformer.output_layer" if !plan.decoder.tied_embeddings => "output",
        _ => {
            let layers =
                ["model.language_model.layers.", "model.layers.", "transformer.encoder.layers."];
            let rest = layers.iter().find_map(|prefix| module.strip_prefix(prefix))?;
            let (layer, module) = rest.split_once('.')?;
            let layer: usize = layer.parse().ok().filter(|layer| *layer < plan.decoder.layers)?;
            let moe = plan.architecture == "glm4moe";
            let found = match (module, end) {
                ("mlp.gate", "e_score_correction_bias") => {
                    return Some(format!("blk.{layer}.exp_probs_b.bias"));
                }
                ("mlp.gate_up_proj", _) => "ffn_up",
                ("mlp.up_proj", _) => "ffn_up",
                ("post_self_attn_layernorm", _) => "post_attention_norm",
                ("post_attention_layernorm", _) if moe => "post_attention_norm",
                _ => reversed(LAYER, module).or_else(|| reversed(CHAT_GLM_LAYER, module))?,
            };
            return Some(format!("blk.{layer}.{found}.{end}"));
        }
    };
    Some(format!("{table}.{end}"))
}

/// The name of the stack that an expert's matrix is in, and the expert's number.
fn expert_name(name: &str) -> Option<(String, usize)> {
    let (before, after) = name.split_once(".mlp.experts.")?;
    let layer: usize = before.rsplit_once('.')?.1.parse().ok()?;
    let (expert, module) = after.split_once('.')?;
    let kind = module.strip_suffix("_proj.weight")?;
    /// Far more than any model has; a larger number is a damaged name.
    const MOST: usize = 1 << 16;
    let expert = expert.parse().ok().filter(|expert| *expert < MOST)?;
    Some((format!("blk.{layer}.ffn_{kind}_exps.weight"), expert))
}

/// The name of a tower's tensor.
fn tower_name(name: &str) -> Option<String> {
    let name = name.strip_prefix("model.visual.").or_else(|| name.strip_prefix("visual."))?;
    let (module, end) = name.rsplit_once('.')?;
    if let Some((block, module)) = module.strip_prefix("blocks.").and_then(|m| m.split_once('.')) {
        return Some(format!("v.blk.{block}.{}.{end}", reversed(TOWER_BLOCK, module)?));
    }
    Some(format!("{}.{end}", reversed(TOWER, module)?))
}

fn add_tower(tower: &mut Vec<Planned>, name: String, tensor: &TensorInfo) {
    let sources = vec![tensor.clone()];
    if let ("v.patch_embd.weight", [out, channels, 2, y, x]) = (name.as_str(), &tensor.shape[..]) {
        for (frame, name) in [name.clone(), format!("{name}.1")].into_iter().enumerate() {
            let shape = vec![*out, *channels, *y, *x];
            tower.push(Planned {
                name,
                shape,
                sources: sources.clone(),
                order: Order::Frame(frame),
            });
        }
        return;
    }
    tower.push(Planned { name, shape: tensor.shape.clone(), sources, order: Order::AsStored });
}

/// Whether a tensor is known and has no place in the files: layers that predict further tokens,
/// a head that is the embedding table, and buffers.
fn is_left_out(plan: &Plan, name: &str) -> bool {
    let layer = name.split_once(".layers.").and_then(|(_, rest)| rest.split_once('.'));
    let later = layer.and_then(|(layer, _)| layer.parse().ok());
    later.is_some_and(|layer: usize| layer >= plan.decoder.layers)
        || (plan.decoder.tied_embeddings && name == "lm_head.weight")
        || name.contains("rotary_pos_emb")
}

/// llama.cpp's name, by one of the tables.
pub(super) fn reversed(table: &[(&'static str, &str)], module: &str) -> Option<&'static str> {
    table.iter().find(|(_, name)| *name == module).map(|(found, _)| *found)
}

impl Order {
    /// The bytes of `source` in this order.
    pub(super) fn apply<'a>(&self, bytes: &'a [u8], source: &TensorInfo) -> Cow<'a, [u8]> {
        let pieces = |count: usize, order: &mut dyn Iterator<Item = usize>| {
            let size = bytes.len() / count.max(1);
            let piece = |i: usize| bytes.get(i * size..(i + 1) * size).unwrap_or_default();
            Cow::Owned(order.flat_map(|i| piece(i).iter().copied()).collect())
        };
        let rows = source.shape.first().copied().unwrap_or(1);
        match *self {
            Self::AsStored | Self::NegativeExp => Cow::Borrowed(bytes),
            Self::Keys { keys, values } => {
                let (head, rank) = (keys + values, source.shape.last().copied().unwrap_or(1));
                let heads = 0..rows / head.max(1);
                let places = heads.flat_map(|i| {
                    let rows = i * head..i * head + keys;
                    (0..rank).flat_map(move |at| rows.clone().map(move |row| row * rank + at))
                });
                pieces(rows * rank, &mut { places })
            }
            Self::Values { keys, values } => {
                let head = keys + values;
                pieces(rows, &mut (0..rows).filter(|row| row % head.max(1) >= keys))
            }
            Self::Halves { head, rotated } => pieces(
                rows,
                &mut (0..rows).map(|row| {
                    let (start, within) = (row / head * head, row % head);
                    let half = rotated / 2;
                    start
                        + match within {
                            _ if within < half => 2 * within,
                            _ if within < 2 * half => 2 * (within - half) + 1,
                            _ => within,
                        }
                }),
            ),
            Self::Frame(frame) => {
                let kernels: usize = source.shape.iter().take(2).product();
                pieces(2 * kernels, &mut (0..kernels).map(|kernel| 2 * kernel + frame))
            }
        }
    }

    /// What is written for numbers in this order that have been converted.
    pub(super) fn finish(&self, converted: Vec<u8>) -> Vec<u8> {
        let Self::NegativeExp = self else { return converted };
        let numbers = converted.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number));
        numbers.flat_map(|number| (-number.exp()).to_le_bytes()).collect()
    }
}
