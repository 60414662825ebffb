//! The original ChatGLM checkpoints: GLM-4V-9B (2024), and GLM-4-9B and its kin without vision.

use super::{Family, Parts, config};
use crate::FusionError;
use crate::visual::{FixedSquareVision, VisionModel};
use glm4v_language::{ChatGlmConfig, Decoder, DecoderConfig, InvalidLogits, TensorNames};
use glm4v_vision::{EvaClipConfig, EvaClipTower, FixedSquarePreprocessor};
use glm4v_weights::{Files, Weights};
use serde::Deserialize;

pub(super) const FAMILY: Family = Family { model_types: &["chatglm"], load };

/// `config.json`: the decoder's numbers at top level and, with eyes, the tower's below.
#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    text: ChatGlmConfig,
    vision_config: Option<EvaClipConfig>,
    boi_token_id: Option<u32>,
    eoi_token_id: Option<u32>,
}

fn load(files: &Files, weights: &Weights, _model_type: &str) -> Result<Parts, FusionError> {
    let config: Config = config(files)?;
    let decoder_config = DecoderConfig::from(&config.text);
    let decoder = Decoder::load(&decoder_config, &TensorNames::chat_glm(), weights)?;
    weights.ignore("transformer.rotary_pos_emb"); // a buffer that the config determines
    let vision = match &config.vision_config {
        Some(tower) => Some(load_vision(files, &config, tower, &weights.pp("transformer.vision"))?),
        None => None,
    };
    Ok(Parts { decoder, vision, invalid_logits: InvalidLogits::default(), prediction: None })
}

fn load_vision(
    files: &Files,
    config: &Config,
    tower: &EvaClipConfig,
    weights: &Weights,
) -> Result<VisionModel, FusionError> {
    let required = |field: &'static str, id: Option<u32>| {
        id.ok_or_else(|| FusionError::MissingField { file: files.describe("config.json"), field })
    };
    let (hidden, inner) = (config.text.hidden_size, config.text.ffn_hidden_size);
    let vision = FixedSquareVision {
        preprocessor: FixedSquarePreprocessor::new(tower.image_size)?,
        tower: EvaClipTower::load(tower, hidden, inner, weights)?,
        boi: required("boi_token_id", config.boi_token_id)?,
        eoi: required("eoi_token_id", config.eoi_token_id)?,
    };
    Ok(VisionModel::FixedSquare(Box::new(vision)))
}
