//! `generation_config.json`: how the checkpoint's makers want it to be sampled, and where its answers end.

use glm4v_weights::Files;
use serde::{Deserialize, Deserializer};

use crate::{LanguageError, SamplingOptions};

/// The fields of `generation_config.json` that bear on the choice of tokens; `None` where the file
/// says nothing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Tokens that end the answer. The file holds one id or a list.
    #[serde(deserialize_with = "one_or_many")]
    pub eos_token_id: Vec<u32>,
    /// Draw at random (true) or take the likeliest token (false).
    pub do_sample: Option<bool>,
    /// Divisor of the logits; below 1 sharpens.
    pub temperature: Option<f32>,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    pub top_k: Option<usize>,
    /// Keep the likeliest tokens whose probabilities reach this sum; 1 keeps all.
    pub top_p: Option<f32>,
    /// Drop tokens less likely than this share of the likeliest one.
    pub min_p: Option<f32>,
    /// Divisor of the logits of tokens seen before; 1 does nothing.
    pub repetition_penalty: Option<f32>,
    /// Longest prompt and answer together, in tokens.
    pub max_length: Option<usize>,
    /// Longest answer, in tokens.
    pub max_new_tokens: Option<usize>,
}

/// What transformers takes for `top_k` when the file leaves it out.
const DEFAULT_TOP_K: usize = 50;

impl GenerationConfig {
    /// Reads `generation_config.json`; a file that is not there says nothing.
    ///
    /// # Errors
    /// [`LanguageError::Weights`] when the file cannot be read or a field has the wrong type.
    pub fn from_files(files: &Files) -> Result<Self, LanguageError> {
        Ok(files.read_json("generation_config.json")?.unwrap_or_default())
    }

    /// How the file wants tokens chosen, with transformers' defaults for what it leaves out.
    /// Without `do_sample` that is greedy: temperature 0.
    pub fn sampling_options(&self, seed: u64) -> SamplingOptions {
        let plain = SamplingOptions::default();
        let drawing = self.do_sample.unwrap_or(false);
        SamplingOptions {
            temperature: if drawing { self.temperature.unwrap_or(1.0) } else { 0.0 },
            top_k: Some(self.top_k.unwrap_or(DEFAULT_TOP_K)).filter(|count| *count > 0),
            top_p: self.top_p.unwrap_or(plain.top_p),
            min_p: self.min_p.unwrap_or(plain.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(plain.repetition_penalty),
            seed,
            ..plain
        }
    }
}

/// Tokens that end an answer, sorted: all that `generation_config.json` and `config.json` (at top
/// level and in `text_config`) name.
///
/// # Errors
/// As [`GenerationConfig::from_files`].
pub fn stop_ids(files: &Files) -> Result<Vec<u32>, LanguageError> {
    let mut ids = GenerationConfig::from_files(files)?.eos_token_id;
    if let Some(config) = files.read_json::<ModelEos>("config.json")? {
        ids.extend(config.eos_token_id);
        ids.extend(config.text_config.unwrap_or_default().eos_token_id);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The part of `config.json` that names end tokens.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ModelEos {
    #[serde(deserialize_with = "one_or_many")]
    eos_token_id: Vec<u32>,
    text_config: Option<Box<ModelEos>>,
}

/// `null`, one id or a list of ids.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a token id or a list of token ids")]
    enum OneOrMany {
        None(()),
        One(u32),
        Many(Vec<u32>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::None(()) => Vec::new(),
        OneOrMany::One(id) => vec![id],
        OneOrMany::Many(ids) => ids,
    })
}

#[cfg(test)]
mod tests {
    use super::{GenerationConfig, stop_ids};
    use crate::{LanguageError, SamplingOptions};
    use glm4v_weights::Files;

    #[test]
    fn reads_what_the_file_says_and_takes_the_defaults_for_the_rest() {
        const FILES: Files = Files::Embedded(&[(
            "generation_config.json",
            br#"{"do_sample": true, "eos_token_id": 3, "temperature": 0.8, "top_p": 0.6, "max_length": null}"#,
        )]);
        let config = GenerationConfig::from_files(&FILES).unwrap();
        assert_eq!(config.eos_token_id, [3]);
        let expected = SamplingOptions {
            temperature: 0.8,
            top_p: 0.6,
            top_k: Some(50),
            seed: 9,
            ..SamplingOptions::default()
        };
        assert_eq!(config.sampling_options(9), expected);

        let greedy = GenerationConfig { do_sample: None, ..config };
        assert_eq!(greedy.sampling_options(9), SamplingOptions { temperature: 0.0, ..expected });
        let none = GenerationConfig::from_files(&Files::Embedded(&[])).unwrap();
        assert_eq!(none, GenerationConfig::default());
    }

    #[test]
    fn stop_ids_come_from_all_files() {
        const FILES: Files = Files::Embedded(&[
            ("generation_config.json", br#"{"eos_token_id": [5, 1]}"#),
            ("config.json", br#"{"eos_token_id": 2, "text_config": {"eos_token_id": [1, 9]}}"#),
        ]);
        assert_eq!(stop_ids(&FILES).unwrap(), [1, 2, 5, 9]);
        const NULL: Files = Files::Embedded(&[("config.json", br#"{"eos_token_id": null}"#)]);
        assert!(stop_ids(&NULL).unwrap().is_empty());
        const WRONG: Files = Files::Embedded(&[("config.json", br#"{"eos_token_id": "x"}"#)]);
        let error = stop_ids(&WRONG).unwrap_err();
        assert!(matches!(error, LanguageError::Weights(_)), "{error}");
    }
}
