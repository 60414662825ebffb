//! llama.cpp's GGUF files as the checkpoints that they were converted from.
//!
//! A family does not see where its checkpoint comes from: the tensors get back the names and the
//! forms of the Hugging Face folder, and the folder's small files are made from the metadata.
//! Source of names and keys: gguf-py's `constants.py` and `tensor_mapping.py`.

mod config;
pub(crate) mod export;
mod glm5_next;
mod tensors;
mod vocabulary;

use crate::FusionError;
use glm4v_weights::{Checkpoint, Files, Gguf, GgufValue, WeightsError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A text model in a file, and what it is.
struct Text<'a> {
    gguf: &'a Gguf,
    architecture: Architecture,
    /// Width of a head.
    head_dim: usize,
    /// Channels of a head that turn.
    rotated: usize,
    /// Whether positions have three axes, as in the decoders of vision models.
    sections: Option<Vec<usize>>,
    /// Layers, without those that predict further tokens.
    layers: usize,
    model_type: &'static str,
}

/// llama.cpp's names for the family's decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Architecture {
    /// GLM-4 (2024).
    ChatGlm,
    /// GLM-4-0414, and the decoders of GLM-4.1V, GLM-4.6V-Flash and GLM-OCR.
    Glm4,
    /// GLM-4.5-Air, and the decoders of GLM-4.5V and GLM-4.6V.
    Glm4Moe,
    /// The decoder of GLM-5.3-Flash.
    Glm5Next,
}

/// Opens the model in the GGUF file at `path`, with eyes when there is a projector file: `mmproj`,
/// or `mmproj-NAME` beside the file NAME, or the only file `mmproj*.gguf` there, if it fits the model.
///
/// # Errors
/// When a file is not readable, is none of the family's models, or lacks a key or tensor.
pub(crate) fn open(path: &Path, mmproj: Option<&Path>) -> Result<Checkpoint, FusionError> {
    let gguf = Gguf::open(path)?;
    let projector = match mmproj {
        Some(path) => Some(Gguf::open(path)?),
        None => projector_beside(path).map(Gguf::open).transpose()?,
    };
    let (projector, given) = (projector.as_ref(), mmproj.is_some());
    let projector = projector.filter(|projector| given || fits(projector, &gguf));
    if let Some(projector) = projector {
        check_projector(projector, &gguf)?;
    }
    let text = Text::read(&gguf, projector)?;
    let mut contents = BTreeMap::new();
    let mut put = |name: &str, value: Value| contents.insert(name.into(), value.to_string().into());
    let vocabulary = vocabulary::Vocabulary::read(&gguf)?;
    put("config.json", config::config(&text, projector, &vocabulary)?);
    put("generation_config.json", config::generation(&gguf));
    put("tokenizer.json", vocabulary.tokenizer());
    put("tokenizer_config.json", vocabulary.tokenizer_config(&gguf));
    if let Some(projector) = projector {
        let preprocessor = config::preprocessor(&text, projector, &vocabulary)?;
        if text.architecture == Architecture::Glm5Next {
            let video = glm5_next::video_preprocessor(preprocessor.clone());
            put("video_preprocessor_config.json", video);
        }
        put("preprocessor_config.json", preprocessor);
    }
    let files = Files::Unpacked { origin: path.to_owned(), contents: contents.into() };
    let taken = tensors::taken(&text, projector)?;
    let parts: Vec<Gguf> = [Some(&gguf), projector].into_iter().flatten().cloned().collect();
    Ok(Checkpoint::from_gguf(files, &parts, &taken)?)
}

/// The projector file in the folder of the model at `path`: the one named after it, or the only one.
fn projector_beside(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let found = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|found| {
        let name = lower_name(found);
        name.starts_with("mmproj") && name.ends_with(".gguf") && found != path
    });
    let mut found: Vec<_> = found.collect();
    let own = format!("mmproj-{}", lower_name(path));
    let own = found.iter().position(|found| lower_name(found) == own);
    match own {
        Some(own) => Some(found.swap_remove(own)),
        None if found.len() == 1 => found.pop(),
        None => None,
    }
}

fn lower_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Whether a projector that lies beside a model is likely to be of this model.
fn fits(projector: &Gguf, text: &Gguf) -> bool {
    let sections = text.metadata().any(|(key, _)| key.ends_with(".rope.dimension_sections"));
    let next = text_of(text, "general.architecture") == Some("glm5-next");
    (sections || next) && check_projector(projector, text).is_ok()
}

fn text_of<'a>(gguf: &'a Gguf, key: &str) -> Option<&'a str> {
    gguf.get(key).and_then(GgufValue::as_text)
}

/// Checks that `projector` is one of the family's and makes rows as wide as the model's.
fn check_projector(projector: &Gguf, text: &Gguf) -> Result<(), FusionError> {
    let kind = text_of(projector, "clip.projector_type")
        .or_else(|| text_of(projector, "clip.vision.projector_type"));
    let architecture = text_of(text, "general.architecture").unwrap_or_default();
    let expected = if architecture == "glm5-next" { "glm5v" } else { "glm4v" };
    if kind != Some(expected) {
        let reason = format!(
            "a projector of type {kind:?}, expected {expected:?}; give the model's own mmproj file"
        );
        return Err(bad(projector, reason));
    }
    let width = projector.require("clip.vision.projection_dim", GgufValue::as_usize)?;
    let key = format!("{architecture}.embedding_length");
    let hidden = text.require(&key, GgufValue::as_usize)?;
    if width != hidden {
        let reason = format!(
            "a projector to rows of {width} numbers, but {} has {hidden}; give the model's own \
             mmproj file",
            text.file()
        );
        return Err(bad(projector, reason));
    }
    Ok(())
}

impl<'a> Text<'a> {
    fn read(gguf: &'a Gguf, projector: Option<&Gguf>) -> Result<Self, FusionError> {
        let name = gguf.require("general.architecture", GgufValue::as_text)?;
        let architecture = match name {
            "chatglm" => Architecture::ChatGlm,
            "glm4" => Architecture::Glm4,
            "glm4moe" => Architecture::Glm4Moe,
            "glm5-next" => Architecture::Glm5Next,
            "clip" => {
                let reason = "this is a projector; give the model's own file as --model, and \
                              this one as --mmproj";
                return Err(bad(gguf, reason.to_owned()));
            }
            _ => {
                let (file, model_type) = (gguf.file().to_owned(), name.to_owned());
                let supported = "chatglm, glm4, glm4moe, glm5-next".to_owned();
                return Err(FusionError::UnsupportedModel { file, model_type, supported });
            }
        };
        let number = |key: &str| number(gguf, &format!("{name}.{key}"));
        let optional = |key: &str| gguf.get(&format!("{name}.{key}"));
        let (head_dim, rotated) = match architecture {
            Architecture::Glm5Next => (number("attention.key_length_mla")?, 0),
            _ => heads(gguf, name)?,
        };
        let blocks = number("block_count")?;
        let extra = optional("nextn_predict_layers").and_then(GgufValue::as_usize).unwrap_or(0);
        let Some(layers) = blocks.checked_sub(extra) else {
            return Err(bad(gguf, format!("{extra} of {blocks} layers predict further tokens")));
        };
        let sections = optional("rope.dimension_sections").and_then(GgufValue::as_array);
        let sections: Option<Vec<usize>> = sections.map(|sections| {
            let numbers = sections.iter().filter_map(GgufValue::as_usize);
            numbers.filter(|&section| section > 0).collect()
        });
        let has = |gguf: &Gguf, tensor: &str| gguf.tensor(tensor).is_some();
        let ocr = match projector {
            Some(projector) => has(projector, "v.blk.0.attn_q_norm.weight"),
            None => !has(gguf, "blk.0.attn_q.bias"),
        };
        let model_type = match architecture {
            Architecture::ChatGlm if has(gguf, "blk.0.attn_qkv.weight") => "chatglm",
            Architecture::ChatGlm => "glm",
            Architecture::Glm4Moe => "glm4v_moe",
            Architecture::Glm5Next => "glm5_next",
            Architecture::Glm4 if sections.is_none() => "glm4",
            Architecture::Glm4 if ocr => "glm_ocr",
            Architecture::Glm4 => "glm4v",
        };
        Ok(Self { gguf, architecture, head_dim, rotated, sections, layers, model_type })
    }

    /// The value of a key of this architecture.
    fn number(&self, key: &str) -> Result<usize, FusionError> {
        number(self.gguf, &self.key(key))
    }

    fn get(&self, key: &str) -> Option<&GgufValue> {
        self.gguf.get(&self.key(key))
    }

    fn key(&self, key: &str) -> String {
        let name = match self.architecture {
            Architecture::ChatGlm => "chatglm",
            Architecture::Glm4 => "glm4",
            Architecture::Glm4Moe => "glm4moe",
            Architecture::Glm5Next => "glm5-next",
        };
        format!("{name}.{key}")
    }
}

/// The width of a head, and how many of its channels turn.
fn heads(gguf: &Gguf, architecture: &str) -> Result<(usize, usize), FusionError> {
    let key = |key: &str| format!("{architecture}.{key}");
    let heads = number(gguf, &key("attention.head_count"))?;
    let head_dim = gguf.get(&key("attention.key_length")).and_then(GgufValue::as_usize);
    // Not all converters write it; the output projection is as wide as all heads.
    let head_dim = head_dim.unwrap_or_else(|| {
        let output = gguf.tensor("blk.0.attn_output.weight");
        let width = output.and_then(|entry| entry.shape.last()).copied().unwrap_or(0);
        width.checked_div(heads).unwrap_or(0)
    });
    let rotated = number(gguf, &key("rope.dimension_count"))?;
    if head_dim == 0 || rotated == 0 || rotated > head_dim {
        let reason = format!("{rotated} of a head's {head_dim} channels cannot turn");
        return Err(bad(gguf, reason));
    }
    Ok((head_dim, rotated))
}

/// The whole number that a file must have at `key`, of a size that can be computed with.
fn number(gguf: &Gguf, key: &str) -> Result<usize, FusionError> {
    /// Larger than any size of a model, and small enough that products of four fit 128 bits.
    const LARGEST: usize = 1 << 31;
    let value = gguf.require(key, GgufValue::as_usize)?;
    if value > LARGEST {
        return Err(bad(gguf, format!("key `{key}` is {value}, more than {LARGEST}")));
    }
    Ok(value)
}

fn bad(gguf: &Gguf, reason: String) -> FusionError {
    WeightsError::BadGguf { file: gguf.file().to_owned(), reason }.into()
}

/// The number at `key` as JSON, `null` where there is none.
fn json_number(gguf: &Gguf, key: &str) -> Value {
    match gguf.get(key) {
        Some(GgufValue::F32(value)) => json!(shortest(*value)),
        Some(value) => value.as_usize().map_or_else(|| json!(value.as_f64()), |whole| json!(whole)),
        None => Value::Null,
    }
}

/// The f64 that reads as `value` does: 0.6, not 0.6000000238418579.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
