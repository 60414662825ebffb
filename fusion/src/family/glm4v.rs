//! `glm4v`: GLM-4.1V-9B (Thinking, Base) and GLM-4.6V-Flash, and this project's nano model.

use super::{Family, Parts, config};
use crate::FusionError;
use crate::splice::VideoIds;
use crate::video::VideoInput;
use crate::visual::{SmartResizeVision, VisionModel};
use glm4v_language::{Decoder, InvalidLogits, TensorNames, TextConfig, TextFamily};
use glm4v_vision::{
    Glm4vTower, Glm4vVisionConfig, PreprocessorConfig, SmartResizePreprocessor, TowerFlavour,
};
use glm4v_weights::{Files, Weights};
use serde::Deserialize;

pub(super) const FAMILY: Family = Family { model_types: &["glm4v", "glm46v"], load };

/// `config.json`, under the names that it gives. The relatives of `glm4v` have the same form.
#[derive(Deserialize)]
pub(super) struct Config {
    image_token_id: u32,
    video_token_id: Option<u32>,
    image_start_token_id: Option<u32>,
    image_end_token_id: Option<u32>,
    tie_word_embeddings: Option<bool>,
    text_config: TextConfig,
    vision_config: Glm4vVisionConfig,
}

fn load(files: &Files, weights: &Weights, _model_type: &str) -> Result<Parts, FusionError> {
    load_parts(files, weights, &config(files)?, TextFamily::Glm4v, TowerFlavour::Glm4v)
}

/// Puts together `glm4v` or one of its relatives, which differ in the two graphs.
pub(super) fn load_parts(
    files: &Files,
    weights: &Weights,
    config: &Config,
    family: TextFamily,
    flavour: TowerFlavour,
) -> Result<Parts, FusionError> {
    // Files of the first days of the release have no common `model.` above the two halves.
    let early = weights.contains("visual.patch_embed.proj.weight");
    let (body, visual) =
        if early { ("model", "visual") } else { ("model.language_model", "model.visual") };
    let decoder_config = config.text_config.decoder(family, config.tie_word_embeddings)?;
    let decoder = Decoder::load(&decoder_config, &TensorNames::hugging_face(body), weights)?;
    let preprocessor: PreprocessorConfig =
        files.read_json("preprocessor_config.json")?.unwrap_or_default();
    let vision = SmartResizeVision {
        preprocessor: SmartResizePreprocessor::for_images(&preprocessor)?,
        tower: Glm4vTower::load(&config.vision_config, flavour, &weights.pp(visual))?,
        image_id: config.image_token_id,
        video: video_ids(config).map(|ids| VideoInput::from_files(files, ids)).transpose()?,
    };
    let vision = Some(VisionModel::SmartResize(vision));
    Ok(Parts { decoder, vision, invalid_logits: InvalidLogits::default() })
}

fn video_ids(config: &Config) -> Option<VideoIds> {
    Some(VideoIds {
        video: config.video_token_id?,
        begin_of_image: config.image_start_token_id?,
        end_of_image: config.image_end_token_id?,
    })
}
