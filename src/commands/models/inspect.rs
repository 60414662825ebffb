//! `glm4v models inspect`: a checkpoint by its headers and small files; no weights are read.

use super::{locate, source};
use crate::cli::{Console, Exit, download_progress, print_json, print_line};
use anyhow::Context;
use candle_core::DType;
use glm4v::{HubOptions, LoadOptions, Message, NANO, Part, Role};
use glm4v_fusion::memory::{available_memory, needed};
use glm4v_fusion::quantise::QUANTISED;
use glm4v_fusion::{nano_checkpoint, open_checkpoint};
use glm4v_language::{Glm5NextTextConfig, PromptFormat, PromptOptions};
use glm4v_weights::{
    BlockType, Checkpoint, Count, Files, ModelSource, Summary, TensorInfo, cached, look_up,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Show a model's size, types, memory needed, context and prompt format
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A folder or file, a hub id or short name, or `nano`. Of a model that is not in the cache, the
    /// small files and the headers of its weight files are read from the hub
    #[arg(default_value = NANO)]
    model: String,
    /// Show every tensor too
    #[arg(long)]
    tensors: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The fields of `config.json` that say what a model is, in the styles of both generations.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    #[serde(flatten)]
    text: TextConfig,
    text_config: Option<TextConfig>,
    vision_config: Option<serde_json::Value>,
}

#[derive(Clone, Deserialize)]
struct TextConfig {
    max_position_embeddings: Option<u64>,
    num_hidden_layers: Option<u64>,
    num_key_value_heads: Option<u64>,
    head_dim: Option<u64>,
    hidden_size: Option<u64>,
    num_attention_heads: Option<u64>,
    // The same in the original ChatGLM checkpoints.
    seq_length: Option<u64>,
    num_layers: Option<u64>,
    multi_query_group_num: Option<u64>,
    kv_channels: Option<u64>,
}

impl TextConfig {
    fn context(&self) -> Option<u64> {
        self.max_position_embeddings.or(self.seq_length)
    }

    /// Bytes of a token's keys and values in all layers, in f32.
    fn cache_per_token(&self) -> Option<u64> {
        let heads = self.num_key_value_heads.or(self.multi_query_group_num);
        let heads = heads.or(self.num_attention_heads)?;
        let layers = self.num_hidden_layers.or(self.num_layers)?;
        let head_dim = match self.head_dim.or(self.kv_channels) {
            Some(head_dim) => head_dim,
            None => self.hidden_size?.checked_div(self.num_attention_heads?)?,
        };
        [2, layers, heads, head_dim, 4].into_iter().try_fold(1, u64::checked_mul)
    }
}

/// Tokens of a conversation that count when it is said whether a model fits.
const TOKENS: u64 = 8192;

/// What is told of a model.
#[derive(Serialize)]
struct Card<'a> {
    model: &'a str,
    model_type: String,
    vision: bool,
    parameters: u64,
    files: Vec<String>,
    /// By the type in the files.
    stored: BTreeMap<String, Size>,
    /// By the first two parts of the tensors' names.
    modules: BTreeMap<String, Size>,
    /// Bytes that the weights take in memory, by what --dtype or --quant loads them as.
    memory: BTreeMap<&'static str, u64>,
    /// Whether weights, and the cache of 8192 tokens or of the context where that is shorter, fit
    /// what is free; by the same. Empty where the system does not say what is free.
    fits: BTreeMap<&'static str, bool>,
    /// Bytes that a token of the conversation takes in the cache of keys and values, in f32.
    cache_per_token: Option<u64>,
    /// Bytes of memory that are free on this machine, where the system says it.
    free: Option<u64>,
    /// The longest sequence, in tokens.
    context: Option<u64>,
    prompt: Prompt,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<Tensor<'a>>>,
}

#[derive(Serialize)]
struct Size {
    tensors: usize,
    parameters: u64,
    bytes: u64,
}

impl From<&Count> for Size {
    fn from(count: &Count) -> Self {
        let Count { tensors, parameters, bytes } = *count;
        Self { tensors, parameters, bytes }
    }
}

/// How the model wants its conversations written.
#[derive(Serialize)]
struct Prompt {
    /// Where the rules come from.
    format: &'static str,
    /// A question by these rules, an image before it where the model has eyes.
    example: String,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
    file: &'a str,
}

pub(super) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let checkpoint = open(&args.model, console)?;
    let card = card(&checkpoint, args)?;
    if args.json {
        print_json(&card)?
    } else {
        print(&card)?
    }
    Ok(Exit::Done)
}

fn open(model: &str, console: Console) -> anyhow::Result<Checkpoint> {
    if model == NANO {
        return Ok(nano_checkpoint()?);
    }
    if let ModelSource::Hub { id, revision } = source(model)? {
        let options = HubOptions::from_env()?;
        if !options.offline && cached(&id, revision.as_deref(), &options).is_none() {
            console.note(&format!("{id}: not in the cache; reading its headers on the hub"));
            let mut progress = download_progress(console);
            return Ok(look_up(&id, revision.as_deref(), &options, &mut progress)?);
        }
    }
    Ok(open_checkpoint(&locate(model)?, &LoadOptions::default())?)
}

fn card<'a>(checkpoint: &'a Checkpoint, args: &'a Args) -> anyhow::Result<Card<'a>> {
    let files = checkpoint.files();
    let config: Config = files
        .read_json("config.json")?
        .with_context(|| format!("{}: missing", files.describe("config.json")))?;
    let summary = Summary::of(checkpoint);
    let tensor = |tensor: &'a TensorInfo| Tensor {
        name: &tensor.name,
        dtype: tensor.dtype.to_string(),
        shape: &tensor.shape,
        file: &tensor.file,
    };
    let text = config.text_config.clone().unwrap_or(config.text);
    let cache_per_token = match config.model_type.as_str() {
        "glm5_next" => latent_cache_per_token(files)?,
        _ => text.cache_per_token(),
    };
    let context = text.context();
    let free = available_memory();
    let memory = memory(checkpoint);
    let vision = config.vision_config.is_some();
    Ok(Card {
        model: &args.model,
        vision,
        parameters: summary.total.parameters,
        stored: summary.by_dtype.iter().map(|(key, n)| (key.to_string(), n.into())).collect(),
        modules: summary.by_module.iter().map(|(key, n)| (key.clone(), n.into())).collect(),
        fits: fits(&memory, cache_per_token, context, free),
        memory,
        cache_per_token,
        free,
        files: summary.files,
        context,
        prompt: prompt(files, &config.model_type, vision)?,
        model_type: config.model_type,
        tensors: args.tensors.then(|| checkpoint.tensors().map(tensor).collect()),
    })
}

/// Bytes that a token takes in the cache of GLM-5.3-Flash, in f32. What its linear attention
/// remembers is no larger for a longer conversation.
fn latent_cache_per_token(files: &Files) -> anyhow::Result<Option<u64>> {
    #[derive(Deserialize)]
    struct Config {
        text_config: Glm5NextTextConfig,
    }
    let config: Option<Config> = files.read_json("config.json")?;
    let decoder = config.map(|config| config.text_config.decoder(None)).transpose()?;
    Ok(decoder.and_then(|decoder| decoder.cached_numbers().checked_mul(4)))
}

/// Bytes that the weights take as f32, bf16, f16 and each quantised type.
fn memory(checkpoint: &Checkpoint) -> BTreeMap<&'static str, u64> {
    let plain = [("f32", DType::F32), ("bf16", DType::BF16), ("f16", DType::F16)];
    let plain = plain.map(|(name, dtype)| (name, needed(checkpoint, dtype, None)));
    let quantised = |blocks: BlockType| needed(checkpoint, DType::F32, Some(blocks));
    plain.into_iter().chain(QUANTISED.map(|blocks| (blocks.name(), quantised(blocks)))).collect()
}

fn fits(
    memory: &BTreeMap<&'static str, u64>,
    cache_per_token: Option<u64>,
    context: Option<u64>,
    free: Option<u64>,
) -> BTreeMap<&'static str, bool> {
    let tokens = context.unwrap_or(TOKENS).min(TOKENS);
    let cache = cache_per_token.unwrap_or(0).saturating_mul(tokens);
    let fits =
        |free| move |(&name, &weights): (&_, &u64)| (name, weights.saturating_add(cache) <= free);
    free.map(|free| memory.iter().map(fits(free)).collect()).unwrap_or_default()
}

fn prompt(files: &Files, model_type: &str, vision: bool) -> anyhow::Result<Prompt> {
    let format = PromptFormat::from_files(files, model_type)?;
    let own = ["chat_template.jinja", "chat_template.json"].iter().any(|name| files.contains(name));
    let image = vision.then_some(Part::Image);
    let parts = image.into_iter().chain([Part::Text("What is this?".to_owned())]).collect();
    let options = PromptOptions { add_generation_prompt: true, ..PromptOptions::default() };
    Ok(Prompt {
        example: format.render(&[Message::new(Role::User, parts)], &options)?,
        format: match format {
            PromptFormat::Glm4 => "the rules of GLM-4, built in",
            PromptFormat::Template(_) if own => "the checkpoint's own chat template",
            PromptFormat::Template(_) => "a chat template of tokenizer_config.json or built in",
        },
    })
}

fn print(card: &Card<'_>) -> std::io::Result<()> {
    let line = |name: &str, value: String| print_line(&format!("{name:<14} {value}"));
    line("model", card.model.to_owned())?;
    line("type", card.model_type.clone())?;
    line("takes images", if card.vision { "yes" } else { "no" }.to_owned())?;
    line("parameters", format!("{:.3} million", card.parameters as f64 / 1e6))?;
    line("files", card.files.join(", "))?;
    for (dtype, size) in &card.stored {
        line("stored as", format!("{dtype}: {}", describe(size)))?;
    }
    for (loaded_as, bytes) in &card.memory {
        let fits = match card.fits.get(loaded_as) {
            Some(true) => ", fits",
            Some(false) => ", does not fit",
            None => "",
        };
        line("weights as", format!("{loaded_as}: {} in memory{fits}", mebibytes(*bytes)))?;
    }
    if let Some(bytes) = card.cache_per_token {
        let full = format!("{} for {TOKENS} tokens", mebibytes(bytes.saturating_mul(TOKENS)));
        line("cache", format!("{:.1} KiB a token in f32, {full}", bytes as f64 / 1024.0))?;
    }
    if let Some(free) = card.free {
        line("free now", mebibytes(free))?;
    }
    for (module, size) in &card.modules {
        line("module", format!("{module}: {}", describe(size)))?;
    }
    let context = card.context.map_or("not said".to_owned(), |tokens| format!("{tokens} tokens"));
    line("context", context)?;
    line("prompt by", card.prompt.format.to_owned())?;
    line("prompt", format!("{:?}", card.prompt.example))?;
    for tensor in card.tensors.iter().flatten() {
        line("tensor", format!("{} {} {:?}", tensor.name, tensor.dtype, tensor.shape))?;
    }
    Ok(())
}

fn describe(size: &Size) -> String {
    format!("{} tensors, {} parameters, {}", size.tensors, size.parameters, mebibytes(size.bytes))
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
