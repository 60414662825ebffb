//! The families: which tower goes with which decoder, filled in from a checkpoint's `config.json`.
//!
//! A new family is a file here and a line in [`FAMILIES`].

mod chatglm;
mod glm;
mod glm4v;
mod glm4v_moe;
pub(crate) mod glm5_next;
mod glm_ocr;

use crate::FusionError;
use crate::visual::VisionModel;
use glm4v_language::{Decoder, DecoderConfig, InvalidLogits, PredictionLayer, TensorNames};
use glm4v_weights::{Files, Weights};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A way to put a model together.
pub(crate) struct Family {
    /// The `model_type`s of `config.json` that it handles.
    model_types: &'static [&'static str],
    /// Reads config and tensors.
    load: fn(&Files, &Weights, &str) -> Result<Parts, FusionError>,
}

/// Every family, in the order of the table in the README.
const FAMILIES: &[Family] = &[
    chatglm::FAMILY,
    glm4v::FAMILY,
    glm4v_moe::FAMILY,
    glm5_next::FAMILY,
    glm_ocr::FAMILY,
    glm::FAMILY,
];

/// What a family puts together.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) decoder: Decoder,
    pub(crate) vision: Option<VisionModel>,
    pub(crate) invalid_logits: InvalidLogits,
    /// Guesses tokens ahead, where it was asked for.
    pub(crate) prediction: Option<PredictionLayer>,
}

/// Reads the layer after the last one, which predicts tokens ahead, where there is one.
pub(crate) fn load_prediction(
    config: &DecoderConfig,
    weights: &Weights,
) -> Result<Option<PredictionLayer>, FusionError> {
    if config.hybrid.is_some() {
        return Ok(None); // it would be of another graph, which no implementation has
    }
    let names = ["model.language_model", "model"].map(TensorNames::hugging_face);
    for (names, layers) in names.iter().zip(["model.language_model.layers", "model.layers"]) {
        let weights = weights.pp(layers).pp(config.layers);
        if weights.contains("eh_proj.weight") {
            let layer = PredictionLayer::load(config, names, config.layers, &weights)?;
            return Ok(Some(layer));
        }
    }
    Ok(None)
}

/// Loads the model that `config.json` describes, and checks that every tensor was used.
pub(crate) fn load(files: &Files, weights: &Weights) -> Result<Parts, FusionError> {
    let model_type = model_type(files)?;
    let family = FAMILIES.iter().find(|family| family.model_types.contains(&model_type.as_str()));
    let Some(family) = family else {
        let mut supported: Vec<_> =
            FAMILIES.iter().flat_map(|family| family.model_types).copied().collect();
        supported.sort_unstable();
        return Err(FusionError::UnsupportedModel {
            file: files.describe("config.json"),
            model_type,
            supported: supported.join(", "),
        });
    };
    let parts = (family.load)(files, weights, &model_type)?;
    if parts.decoder.config().tied_embeddings {
        weights.ignore("lm_head."); // some exports store the tied head twice
    }
    weights.finish()?;
    Ok(parts)
}

/// The `model_type` of `config.json`.
pub(crate) fn model_type(files: &Files) -> Result<String, FusionError> {
    #[derive(Deserialize)]
    struct Header {
        model_type: String,
    }
    Ok(config::<Header>(files)?.model_type)
}

/// Parses `config.json`.
pub(crate) fn config<T: DeserializeOwned>(files: &Files) -> Result<T, FusionError> {
    let missing = || FusionError::NoConfig { checkpoint: files.describe("") };
    files.read_json("config.json")?.ok_or_else(missing)
}
