//! `glm5_next`: GLM-5.3-Flash, whose decoder is another graph.

use super::{Family, Parts, config};
use crate::FusionError;
use crate::splice::VideoIds;
use crate::video::{VideoFamily, VideoInput};
use crate::visual::{SmartResizeVision, VisionModel};
use glm4v_language::{Decoder, Glm5NextTextConfig, InvalidLogits, TensorNames};
use glm4v_vision::{
    Glm4vTower, Glm4vVisionConfig, PreprocessorConfig, SmartResizePreprocessor, TowerFlavour,
};
use glm4v_weights::{Files, Weights};
use serde::Deserialize;

pub(super) const FAMILY: Family = Family { model_types: &["glm5_next"], load };

/// `config.json`, under the names that it gives.
#[derive(Deserialize)]
struct Config {
    image_token_id: Option<u32>,
    video_token_id: Option<u32>,
    image_start_token_id: Option<u32>,
    image_end_token_id: Option<u32>,
    tie_word_embeddings: Option<bool>,
    text_config: Glm5NextTextConfig,
    vision_config: Option<Glm4vVisionConfig>,
}

/// Defaults of transformers' `Glm5NextVisionConfig` where they are not `Glm4vVisionConfig`'s.
pub(crate) const SWIGLU_LIMIT: f64 = 10.0;
const PROJECTION_INTERMEDIATE_SIZE: usize = 10_240;

fn load(files: &Files, weights: &Weights, _model_type: &str) -> Result<Parts, FusionError> {
    const BODY: &str = "model.language_model";
    let config: Config = config(files)?;
    let decoder_config = config.text_config.decoder(config.tie_word_embeddings)?;
    let names = TensorNames::hugging_face_experts(BODY);
    let decoder = Decoder::load(&decoder_config, &names, weights)?;
    // A layer after the last one predicts further tokens; the reference ignores it too.
    weights.pp(BODY).pp("layers").ignore(&decoder_config.layers.to_string());
    let vision = match &config.vision_config {
        Some(tower) => Some(load_vision(files, &config, tower, &weights.pp("model.visual"))?),
        None => None,
    };
    Ok(Parts { decoder, vision, invalid_logits: InvalidLogits::default(), prediction: None })
}

fn load_vision(
    files: &Files,
    config: &Config,
    tower: &Glm4vVisionConfig,
    weights: &Weights,
) -> Result<VisionModel, FusionError> {
    let image_id = config.image_token_id.ok_or_else(|| FusionError::MissingField {
        file: files.describe("config.json"),
        field: "image_token_id",
    })?;
    let tower = Glm4vVisionConfig {
        swiglu_limit: tower.swiglu_limit.or(Some(SWIGLU_LIMIT)),
        projection_intermediate_size: tower
            .projection_intermediate_size
            .or(Some(PROJECTION_INTERMEDIATE_SIZE)),
        ..tower.clone()
    };
    let preprocessor: PreprocessorConfig =
        files.read_json("preprocessor_config.json")?.unwrap_or_default();
    let video = video_ids(config);
    let video = video.map(|ids| VideoInput::from_files(files, ids, VideoFamily::Glm5Next));
    let vision = SmartResizeVision {
        preprocessor: SmartResizePreprocessor::for_padded_images(&preprocessor)?,
        tower: Glm4vTower::load(&tower, TowerFlavour::GlmOcr, weights)?,
        image_id,
        video: video.transpose()?,
    };
    Ok(VisionModel::SmartResize(Box::new(vision)))
}

fn video_ids(config: &Config) -> Option<VideoIds> {
    Some(VideoIds {
        video: config.video_token_id?,
        begin_of_image: config.image_start_token_id?,
        end_of_image: config.image_end_token_id?,
    })
}
