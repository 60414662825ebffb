//! `glm4v`: GLM-4.1V-9B (Thinking, Base) and GLM-4.6V-Flash, and this project's nano model.

use super::{Family, Parts, config};
use crate::FusionError;
use crate::visual::VisionModel;
use glm4v_language::{Decoder, InvalidLogits, TensorNames, TextConfig, TextFamily};
use glm4v_vision::{
    Glm4vTower, Glm4vVisionConfig, PreprocessorConfig, SmartResizePreprocessor, TowerFlavour,
};
use glm4v_weights::{Files, Weights};
use serde::Deserialize;

pub(super) const FAMILY: Family = Family { model_types: &["glm4v", "glm46v"], load };

/// `config.json`, under the names that it gives.
#[derive(Deserialize)]
struct Config {
    image_token_id: u32,
    tie_word_embeddings: Option<bool>,
    text_config: TextConfig,
    vision_config: Glm4vVisionConfig,
}

fn load(files: &Files, weights: &Weights, _model_type: &str) -> Result<Parts, FusionError> {
    let config: Config = config(files)?;
    let preprocessor: PreprocessorConfig =
        files.read_json("preprocessor_config.json")?.unwrap_or_default();
    let decoder_config =
        config.text_config.decoder(TextFamily::Glm4v, config.tie_word_embeddings)?;
    // Files of the first days of the release have no common `model.` above the two halves.
    let early = weights.contains("visual.patch_embed.proj.weight");
    let (body, tower) =
        if early { ("model", "visual") } else { ("model.language_model", "model.visual") };
    let decoder = Decoder::load(&decoder_config, &TensorNames::hugging_face(body), weights)?;
    let tower = Glm4vTower::load(&config.vision_config, TowerFlavour::Glm4v, &weights.pp(tower))?;
    let vision = Some(VisionModel::SmartResize {
        preprocessor: SmartResizePreprocessor::for_images(&preprocessor)?,
        tower,
        image_token: config.image_token_id,
    });
    Ok(Parts { decoder, vision, invalid_logits: InvalidLogits::default() })
}
