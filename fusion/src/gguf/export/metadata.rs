//! The metadata of the files, in the keys that llama.cpp's converter writes.

use super::plan::Plan;
use super::{Pair, glm5_next};
use crate::FusionError;
use crate::family::glm5_next::SWIGLU_LIMIT;
use glm4v_language::GenerationConfig;
use glm4v_vision::{Glm4vVisionConfig, PreprocessorConfig};
use glm4v_weights::{BlockType, Checkpoint, Files, GgufValue, StoredDtype, StoredType};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Kinds of tokens. Source: `enum llama_token_type`.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// Metadata in the order in which it is written.
pub(super) struct Pairs(Vec<Pair>);

impl Pairs {
    pub(super) fn put(&mut self, key: impl Into<String>, value: impl Into<GgufValue>) {
        self.0.push((key.into(), value.into()));
    }

    /// A size; those of models fit 32 bits.
    pub(super) fn size(&mut self, key: impl Into<String>, size: usize) {
        self.put(key, u32::try_from(size).unwrap_or(u32::MAX));
    }

    fn general(architecture: &str, kind: &str, name: &str, form: StoredType) -> Self {
        let mut pairs = Self(Vec::new());
        pairs.put("general.architecture", architecture);
        pairs.put("general.type", kind);
        pairs.put("general.name", name.trim_end_matches(".gguf"));
        pairs.put("general.file_type", file_type(form));
        pairs.put("general.quantization_version", 2);
        pairs
    }
}

/// llama.cpp's number for what most matrices of a file are. Source: `enum llama_ftype`.
fn file_type(form: StoredType) -> u32 {
    match form {
        StoredType::Plain(StoredDtype::F16) => 1,
        StoredType::Plain(StoredDtype::BF16) => 32,
        StoredType::Plain(_) => 0,
        StoredType::Blocks(BlockType::Q4_0) => 2,
        StoredType::Blocks(BlockType::Q4_1) => 3,
        StoredType::Blocks(BlockType::Q8_0) => 7,
        StoredType::Blocks(BlockType::Q5_0) => 8,
        StoredType::Blocks(BlockType::Q5_1) => 9,
        StoredType::Blocks(BlockType::Q2K) => 10,
        StoredType::Blocks(BlockType::Q3K) => 12,
        StoredType::Blocks(BlockType::Q4K) => 15,
        StoredType::Blocks(BlockType::Q5K) => 17,
        StoredType::Blocks(BlockType::Q6K) => 18,
    }
}

/// The text model's.
pub(super) fn text(
    checkpoint: &Checkpoint,
    plan: &Plan,
    form: StoredType,
    name: &str,
) -> Result<Vec<Pair>, FusionError> {
    let files = checkpoint.files();
    let (decoder, architecture) = (&plan.decoder, plan.architecture);
    let mut pairs = Pairs::general(architecture, "model", name, form);
    sampling(&mut pairs, &GenerationConfig::from_files(files)?);
    let key = |key: &str| format!("{architecture}.{key}");
    pairs.size(key("block_count"), decoder.layers);
    pairs.size(key("context_length"), decoder.context_length);
    pairs.size(key("embedding_length"), decoder.hidden_size);
    pairs.size(key("feed_forward_length"), decoder.intermediate_size);
    pairs.size(key("attention.head_count"), decoder.heads);
    pairs.put(key("attention.layer_norm_rms_epsilon"), decoder.norm_eps as f32);
    match &decoder.hybrid {
        Some(hybrid) => glm5_next::text(&mut pairs, decoder, hybrid),
        None => {
            pairs.size(key("attention.head_count_kv"), decoder.kv_heads);
            pairs.size(key("attention.key_length"), decoder.head_dim);
            pairs.size(key("attention.value_length"), decoder.head_dim);
            pairs.put(key("rope.freq_base"), decoder.rotary.base as f32);
            pairs.size(key("rope.dimension_count"), decoder.rotary.rotated);
        }
    }
    if let Some(yarn) = &decoder.rotary.yarn {
        pairs.put(key("rope.scaling.type"), "yarn");
        pairs.put(key("rope.scaling.factor"), yarn.factor as f32);
        pairs.size(key("rope.scaling.original_context_length"), yarn.original_length);
        pairs.put(key("rope.scaling.yarn_beta_fast"), yarn.beta_fast as f32);
        pairs.put(key("rope.scaling.yarn_beta_slow"), yarn.beta_slow as f32);
    }
    if let Some(sections) = &decoder.rotary.sections {
        // Four, of which text and images use three.
        let four = sections.iter().copied().chain(std::iter::repeat(0)).take(4);
        let four = four.map(|section| GgufValue::I32(section as i32)).collect();
        pairs.put(key("rope.dimension_sections"), GgufValue::Array(four));
    }
    if let Some(moe) = &decoder.moe {
        pairs.size(key("expert_count"), moe.n_routed_experts);
        pairs.size(key("expert_used_count"), moe.num_experts_per_tok);
        pairs.size(key("expert_group_count"), moe.n_group);
        pairs.size(key("expert_group_used_count"), moe.topk_group);
        pairs.size(key("expert_feed_forward_length"), moe.moe_intermediate_size);
        pairs.size(key("expert_shared_count"), moe.n_shared_experts);
        pairs.size(key("leading_dense_block_count"), moe.first_k_dense_replace);
        pairs.put(key("expert_gating_func"), 2); // sigmoid
        pairs.put(key("expert_weights_scale"), moe.routed_scaling_factor);
        pairs.put(key("expert_weights_norm"), moe.norm_topk_prob);
    }
    vocabulary(&mut pairs, files, decoder.vocab_size)?;
    Ok(pairs.0)
}

fn sampling(pairs: &mut Pairs, generation: &GenerationConfig) {
    if generation.do_sample != Some(true) {
        return;
    }
    if let Some(top_k) = generation.top_k {
        pairs.put("general.sampling.top_k", GgufValue::I32(top_k as i32));
    }
    if let Some(top_p) = generation.top_p {
        pairs.put("general.sampling.top_p", top_p);
    }
    if let Some(temperature) = generation.temperature {
        pairs.put("general.sampling.temp", temperature);
    }
}

/// The part of `tokenizer.json` that a byte-level BPE vocabulary is in.
#[derive(Deserialize)]
struct TokenizerFile {
    added_tokens: Vec<AddedToken>,
    model: Bpe,
}

#[derive(Deserialize)]
struct AddedToken {
    id: usize,
    content: String,
    special: bool,
}

#[derive(Deserialize)]
struct Bpe {
    vocab: Map<String, Value>,
    merges: Vec<Merge>,
}

/// A merge in the newer and the older style.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Halves([String; 2]),
    Line(String),
}

fn vocabulary(pairs: &mut Pairs, files: &Files, size: usize) -> Result<(), FusionError> {
    let file: Option<TokenizerFile> = files.read_json("tokenizer.json")?;
    let Some(file) = file else {
        let what = "a vocabulary without tokenizer.json".to_owned();
        return Err(FusionError::NoGgufForm { file: files.describe("tokenizer.json"), what });
    };
    let mut tokens: Vec<(String, i32)> =
        (0..size).map(|id| (format!("[PAD{id}]"), UNUSED)).collect();
    let ordinary = file
        .model
        .vocab
        .into_iter()
        .filter_map(|(text, id)| Some((usize::try_from(id.as_u64()?).ok()?, (text, NORMAL))));
    let added = file.added_tokens.into_iter().map(|token| {
        (token.id, (token.content, if token.special { CONTROL } else { USER_DEFINED }))
    });
    for (id, token) in ordinary.chain(added) {
        let Some(place) = tokens.get_mut(id) else {
            let what = format!("token {id} beyond the {size} rows of the embedding table");
            return Err(FusionError::NoGgufForm { file: files.describe("tokenizer.json"), what });
        };
        *place = token;
    }
    let id = |text: &str| tokens.iter().position(|(found, _)| found == text);
    let named = [
        ("eos", "<|endoftext|>"),
        ("padding", "<|endoftext|>"),
        ("unknown", "<|endoftext|>"),
        ("bos", "[gMASK]"),
        ("eot", "<|user|>"),
        ("eom", "<|observation|>"),
    ];
    let named: Vec<_> = named.iter().filter_map(|(key, text)| Some((*key, id(text)?))).collect();
    pairs.put("tokenizer.ggml.model", "gpt2");
    pairs.put("tokenizer.ggml.pre", "glm4");
    let (texts, kinds): (Vec<_>, Vec<_>) = tokens
        .into_iter()
        .map(|(text, kind)| (GgufValue::Text(text), GgufValue::I32(kind)))
        .unzip();
    pairs.put("tokenizer.ggml.tokens", GgufValue::Array(texts));
    pairs.put("tokenizer.ggml.token_type", GgufValue::Array(kinds));
    let merges = file.model.merges.into_iter().map(|merge| {
        GgufValue::Text(match merge {
            Merge::Halves([first, second]) => format!("{first} {second}"),
            Merge::Line(line) => line,
        })
    });
    pairs.put("tokenizer.ggml.merges", GgufValue::Array(merges.collect()));
    pairs.put("tokenizer.ggml.add_bos_token", false);
    for (key, id) in named {
        pairs.size(format!("tokenizer.ggml.{key}_token_id"), id);
    }
    if let Some(template) = template(files)? {
        pairs.put("tokenizer.chat_template", template.as_str());
    }
    Ok(())
}

/// The checkpoint's own chat template, where it has one and not several.
fn template(files: &Files) -> Result<Option<String>, FusionError> {
    if let Some(text) = files.read_text("chat_template.jinja")? {
        return Ok(Some(text));
    }
    for name in ["chat_template.json", "tokenizer_config.json"] {
        let fields: Map<String, Value> = files.read_json(name)?.unwrap_or_default();
        if let Some(Value::String(text)) = fields.get("chat_template") {
            return Ok(Some(text.clone()));
        }
    }
    Ok(None)
}

/// The projector's.
pub(super) fn tower(
    checkpoint: &Checkpoint,
    plan: &Plan,
    form: StoredType,
    name: &str,
) -> Result<Vec<Pair>, FusionError> {
    #[derive(Deserialize)]
    struct Config {
        vision_config: Glm4vVisionConfig,
    }
    let files = checkpoint.files();
    let config = crate::family::config::<Config>(files)?.vision_config;
    let preprocessor: PreprocessorConfig =
        files.read_json("preprocessor_config.json")?.unwrap_or_default();
    let mut pairs = Pairs::general("clip", "mmproj", name, form);
    pairs.put("clip.has_vision_encoder", true);
    let next = plan.decoder.hybrid.is_some();
    pairs.put("clip.projector_type", if next { "glm5v" } else { "glm4v" });
    pairs.put("clip.use_silu", true);
    let key = |key: &str| format!("clip.vision.{key}");
    pairs.size(key("projection_dim"), config.out_hidden_size);
    pairs.size(key("image_size"), config.image_size);
    pairs.size(key("patch_size"), config.patch_size);
    pairs.size(key("embedding_length"), config.hidden_size);
    pairs.size(key("feed_forward_length"), config.intermediate_size);
    pairs.size(key("block_count"), config.depth);
    pairs.size(key("attention.head_count"), config.num_heads);
    pairs.size(key("spatial_merge_size"), config.spatial_merge_size);
    pairs.put(key("attention.layer_norm_epsilon"), config.rms_norm_eps as f32);
    for (name, values) in
        [("image_mean", preprocessor.image_mean), ("image_std", preprocessor.image_std)]
    {
        let values = values.map(GgufValue::F32).to_vec();
        pairs.put(key(name), GgufValue::Array(values));
    }
    if next {
        let limit = config.swiglu_limit.unwrap_or(SWIGLU_LIMIT);
        glm5_next::tower(&mut pairs, &config, &preprocessor, limit);
    }
    Ok(pairs.0)
}
