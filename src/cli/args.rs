//! Options that several commands have.

use super::UsageError;
use anyhow::Context;
use clap::ValueEnum;
use glm4v::{
    AlphaMode, CacheOptions, CacheType, CancelToken, DeviceChoice, Draft, FloatType,
    GenerateOptions, Grammar, ImageOptions, LoadOptions, NANO,
};
use glm4v_fusion::quantise::QUANTISED;
use glm4v_language::LanguageError;
use glm4v_weights::{BlockType, Quantisation, StoredDtype, StoredType};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A job on images.
#[derive(Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// Image files, folders, globs, `-` for standard input, or addresses (with --allow-remote)
    #[arg(required_unless_present = "video", value_name = "IMAGE")]
    pub(crate) images: Vec<OsString>,
    /// A video in the images' place: a folder of frames, an animated GIF, or a file that the
    /// program ffmpeg reads
    #[arg(long, conflicts_with_all = ["images", "draw_boxes"], value_name = "PATH")]
    pub(crate) video: Option<PathBuf>,
    /// Frames a second of the video; a folder's frames are all taken without it
    #[arg(long, requires = "video", value_parser = rate, value_name = "N")]
    pub(crate) video_fps: Option<f64>,
    /// Print one JSON object a line, as docs/JSON.md describes it
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the image with the boxes that the model drew round things; a folder for many images
    #[arg(long, value_name = "PNG")]
    pub(crate) draw_boxes: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: ImageArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) conversation: ConversationArgs,
    #[command(flatten)]
    pub(crate) generate: GenerateArgs,
}

/// Which model, and how it runs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// A folder in the Hugging Face layout, a .gguf file, a hub id (owner/name, owner/name@revision) or a short
    /// name; `glm4v models list` shows them
    #[arg(long, env = "GLM4V_MODEL", default_value = NANO, value_parser = model_name)]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// How a model runs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct EngineArgs {
    /// Where the model runs: `cpu`, `cuda` or `cuda:N`
    #[arg(long, default_value = "cpu", value_parser = device, value_name = "DEVICE")]
    pub(crate) device: DeviceChoice,
    /// The type that weights and activations have [default: f32 on cpu, bf16 on cuda]
    #[arg(long)]
    pub(crate) dtype: Option<Dtype>,
    /// How the keys and values of the sequence are kept: `half` takes half of f32's memory, `int8` a
    /// quarter
    #[arg(long, default_value = "auto", value_name = "TYPE")]
    pub(crate) kv_cache: KvCacheArg,
    /// Quantise matrices while loading, to `q4_0`, `q4_1`, `q4_k`, `q5_0`, `q5_1`, `q5_k`, `q6_k`,
    /// `q8_0` or `int8`, the fastest; docs/QUANTISATION.md says what is lost
    #[arg(long, value_parser = quantisation, value_name = "TYPE")]
    pub(crate) quant: Option<Quantisation>,
    /// The projector file of a GGUF model [default: mmproj-NAME beside NAME, or the only mmproj*.gguf there]
    #[arg(long, value_name = "FILE")]
    pub(crate) mmproj: Option<PathBuf>,
    /// Threads to compute with [default: one a processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    pub(crate) threads: Option<u16>,
    /// Refuse models whose weights take more memory, such as 8GiB [default: what is free]
    #[arg(long, value_parser = bytes, value_name = "SIZE")]
    pub(crate) max_memory: Option<u64>,
    /// Keep the visual tokens of images in this folder, so that a later run need not make them
    /// again; several processes may share it
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// The most bytes that --cache-dir keeps; those used longest ago give way [default: 4GiB]
    #[arg(long, value_parser = bytes, value_name = "SIZE", requires = "cache_dir")]
    pub(crate) cache_size: Option<u64>,
}

impl EngineArgs {
    pub(crate) fn load_options(&self) -> LoadOptions {
        LoadOptions {
            device: self.device,
            dtype: self.dtype.map(Dtype::float_type),
            cache_type: self.kv_cache.cache_type(),
            prediction_layer: false,
            quant: self.quant,
            mmproj: self.mmproj.clone(),
            max_memory: self.max_memory,
            hub: None,
            cache: self.cache(),
        }
    }

    fn cache(&self) -> CacheOptions {
        let default = CacheOptions::default();
        CacheOptions {
            folder: self.cache_dir.clone(),
            folder_limit: self.cache_size.unwrap_or(default.folder_limit),
            ..default
        }
    }

    /// Makes the pool that all computing shares.
    pub(crate) fn build_thread_pool(&self) -> anyhow::Result<()> {
        if let Some(threads) = self.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
            pool.build_global().with_context(|| format!("--threads {threads}"))?;
        }
        Ok(())
    }
}

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KvCacheArg {
    /// As `half` beside weights of fewer bits than f32, as `float` otherwise
    Auto,
    /// In the type that the model runs in
    Float,
    /// In f16 where the model runs in f32
    Half,
    /// In 8 bits, with a scale for each row of each head
    Int8,
}

impl KvCacheArg {
    fn cache_type(self) -> CacheType {
        match self {
            Self::Auto => CacheType::Auto,
            Self::Float => CacheType::Float,
            Self::Half => CacheType::Half,
            Self::Int8 => CacheType::Int8,
        }
    }
}

/// A type that weights and activations can have.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Dtype {
    F32,
    Bf16,
    F16,
}

impl Dtype {
    fn float_type(self) -> FloatType {
        match self {
            Self::F32 => FloatType::F32,
            Self::Bf16 => FloatType::Bf16,
            Self::F16 => FloatType::F16,
        }
    }
}

/// How tokens are chosen and where the text ends.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Generation (without these the model's own files decide)")]
pub(crate) struct GenerateArgs {
    /// The most tokens that an answer may have
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// 0 takes the likeliest token each time; larger values draw more freely
    #[arg(long, value_parser = at_least_zero, value_name = "X")]
    temperature: Option<f32>,
    /// Draw among the likeliest tokens whose probabilities reach this sum
    #[arg(long, value_parser = share, value_name = "P")]
    top_p: Option<f32>,
    /// Draw among this many of the likeliest tokens
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "K")]
    top_k: Option<u32>,
    /// Draw among tokens at least this likely, as a share of the likeliest
    #[arg(long, value_parser = share_or_zero, value_name = "P")]
    min_p: Option<f32>,
    /// Make tokens that were there before less likely; 1 does nothing
    #[arg(long, value_parser = above_zero, value_name = "X")]
    repetition_penalty: Option<f32>,
    /// The same seed gives the same draw
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// A text that ends the answer and is not part of it; can be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Where guesses at the next tokens come from; they never change the answer, only its time
    #[arg(long, default_value = "lookup")]
    draft: DraftArg,
    /// A JSON schema that the answer follows
    #[arg(long, value_name = "FILE", conflicts_with = "grammar")]
    json_schema: Option<PathBuf>,
    /// A grammar that the answer follows, in llguidance's dialect of Lark; its first rule is `start`
    #[arg(long, value_name = "FILE")]
    grammar: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DraftArg {
    /// No guesses
    Off,
    /// What followed the same words earlier in the prompt or the answer
    Lookup,
    /// The checkpoint's own layer for it (GLM-OCR's MTP layer), which takes more memory
    Mtp,
}

impl DraftArg {
    pub(crate) fn draft(self) -> Draft {
        match self {
            Self::Off => Draft::Off,
            Self::Lookup => Draft::Lookup,
            Self::Mtp => Draft::Prediction,
        }
    }

    /// Whether guesses come from a layer that must be loaded for it.
    pub(crate) fn needs_prediction_layer(self) -> bool {
        matches!(self, Self::Mtp)
    }
}

impl GenerateArgs {
    pub(crate) fn options(
        &self,
        thinking: Option<bool>,
        cancel: &CancelToken,
    ) -> anyhow::Result<GenerateOptions> {
        Ok(GenerateOptions {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_k: self.top_k.map(|count| count as usize),
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
            stop: self.stop.clone(),
            draft: self.draft.draft(),
            thinking,
            grammar: self.answer_grammar()?,
            tools: None,
            cancel: cancel.clone(),
        })
    }

    /// Names the grammar's file in errors about the grammar, which are wrong usage.
    pub(crate) fn in_grammar(&self, error: glm4v::Error) -> anyhow::Error {
        let file = self.json_schema.as_ref().or(self.grammar.as_ref());
        match (file, &error) {
            (Some(file), glm4v::Error::Language(LanguageError::Grammar { reason })) => {
                UsageError(format!("{}: {reason}", file.display())).into()
            }
            _ => error.into(),
        }
    }

    /// Whether guesses come from a layer that must be loaded for it.
    pub(crate) fn needs_prediction_layer(&self) -> bool {
        self.draft.needs_prediction_layer()
    }

    fn answer_grammar(&self) -> anyhow::Result<Option<Grammar>> {
        let read =
            |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
        if let Some(path) = &self.json_schema {
            let schema = serde_json::from_str(&read(path)?);
            let schema = schema.with_context(|| format!("{}: not JSON", path.display()))?;
            return Ok(Some(Grammar::JsonSchema(schema)));
        }
        Ok(self.grammar.as_deref().map(read).transpose()?.map(Grammar::Lark))
    }
}

/// What stands around a question.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Conversation")]
pub(crate) struct ConversationArgs {
    /// Standing instructions, put before the question
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Let a model that can think do so before it answers
    #[arg(long, conflicts_with = "no_think")]
    think: bool,
    /// Have a model that can think answer at once
    #[arg(long)]
    no_think: bool,
}

impl ConversationArgs {
    /// Whether the model should think; `None` when the user did not say.
    pub(crate) fn thinking(&self) -> Option<bool> {
        (self.think || self.no_think).then_some(self.think)
    }
}

/// How images are found and read.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Images")]
pub(crate) struct ImageArgs {
    /// Take images in the folders below a folder too
    #[arg(long)]
    pub(crate) recursive: bool,
    /// Allow http and https addresses as images
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// What becomes of transparency: laid on white, or thrown away as the reference does
    #[arg(long, default_value = "white")]
    alpha: Alpha,
    /// The most pixels of an image
    #[arg(long, default_value_t = ImageOptions::default().max_pixels, value_name = "N")]
    max_pixels: u64,
    /// The most bytes of an image file, such as 20MB [default: 256MiB]
    #[arg(long, value_parser = bytes, value_name = "SIZE")]
    max_bytes: Option<u64>,
}

impl ImageArgs {
    pub(crate) fn options(&self) -> ImageOptions {
        ImageOptions {
            max_pixels: self.max_pixels,
            max_bytes: self.max_bytes.unwrap_or(ImageOptions::default().max_bytes),
            alpha: match self.alpha {
                Alpha::White => AlphaMode::White,
                Alpha::Drop => AlphaMode::Drop,
            },
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Alpha {
    White,
    Drop,
}

/// An empty variable counts as none.
fn model_name(text: &str) -> Result<String, UsageError> {
    Ok(if text.is_empty() { NANO.to_owned() } else { text.to_owned() })
}

/// A type that matrices can be quantised to while they are loaded.
fn quantisation(text: &str) -> Result<Quantisation, UsageError> {
    if let Some(Quantisation::Int8) = Quantisation::parse(text) {
        return Ok(Quantisation::Int8);
    }
    let other = |UsageError(message)| UsageError(format!("{message}, int8"));
    block_type(text).map(Quantisation::from).map_err(other)
}

/// A type that matrices can have in a file.
pub(crate) fn file_form(text: &str) -> Result<StoredType, UsageError> {
    let plain = match text {
        "f16" => StoredDtype::F16,
        "bf16" => StoredDtype::BF16,
        "f32" => StoredDtype::F32,
        _ => {
            let other = |UsageError(message)| UsageError(format!("{message}, f16, bf16, f32"));
            return block_type(text).map(StoredType::from).map_err(other);
        }
    };
    Ok(StoredType::Plain(plain))
}

/// A type that matrices can be quantised to.
fn block_type(text: &str) -> Result<BlockType, UsageError> {
    let found = BlockType::parse(text).filter(|found| QUANTISED.contains(found));
    let names = QUANTISED.map(BlockType::name).join(", ");
    found.ok_or_else(|| UsageError(format!("expected one of {names}")))
}

fn device(text: &str) -> Result<DeviceChoice, UsageError> {
    let wrong = || UsageError("expected cpu, cuda or cuda:N".to_owned());
    match text.split_once(':') {
        None if text == "cpu" => Ok(DeviceChoice::Cpu),
        None if text == "cuda" => Ok(DeviceChoice::Cuda(0)),
        Some(("cuda", index)) => index.parse().map(DeviceChoice::Cuda).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// A number of bytes: `8GiB`, `500 MB`, `1048576`.
fn bytes(text: &str) -> Result<u64, UsageError> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let wrong = || UsageError("expected a size such as 8GiB, 500MB or 1048576".to_owned());
    let unit = UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = unit.unwrap_or((text, 1));
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(size).ok_or_else(wrong)
}

fn number(text: &str, good: impl Fn(f32) -> bool, what: &str) -> Result<f32, UsageError> {
    let value: Option<f32> = text.parse().ok().filter(|value: &f32| value.is_finite());
    value.filter(|value| good(*value)).ok_or_else(|| UsageError(format!("expected {what}")))
}

fn rate(text: &str) -> Result<f64, UsageError> {
    number(text, |value| value > 0.0, "a number above 0").map(f64::from)
}

fn at_least_zero(text: &str) -> Result<f32, UsageError> {
    number(text, |value| value >= 0.0, "a number of 0 or more")
}

fn above_zero(text: &str) -> Result<f32, UsageError> {
    number(text, |value| value > 0.0, "a number above 0")
}

fn share(text: &str) -> Result<f32, UsageError> {
    number(text, |value| value > 0.0 && value <= 1.0, "a number above 0, at most 1")
}

fn share_or_zero(text: &str) -> Result<f32, UsageError> {
    number(text, |value| (0.0..=1.0).contains(&value), "a number from 0 to 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        assert_eq!(bytes("8GiB").unwrap(), 8 << 30);
        assert_eq!(bytes("500 MB").unwrap(), 500_000_000);
        assert_eq!(bytes("1048576").unwrap(), 1 << 20);
        for wrong in ["", "GiB", "8 gigs", "-1", "1.5GiB", "99999999999TiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn devices_are_named_as_users_know_them() {
        assert_eq!(device("cpu").unwrap(), DeviceChoice::Cpu);
        assert_eq!(device("cuda").unwrap(), DeviceChoice::Cuda(0));
        assert_eq!(device("cuda:3").unwrap(), DeviceChoice::Cuda(3));
        for wrong in ["gpu", "cuda:", "cuda:-1", "cpu:0", ""] {
            assert!(device(wrong).is_err(), "{wrong}");
        }
    }
}
