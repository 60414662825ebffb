//! `glm4v`: GLM-4.1V-9B (Thinking, Base) and GLM-4.6V-Flash, and this project's nano model.

use super::{Family, Parts, config, glm4v_moe};
use crate::FusionError;
use crate::splice::VideoIds;
use crate::video::{VideoFamily, VideoInput};
use crate::visual::{SmartResizeVision, VisionModel};
use glm4v_language::{Decoder, InvalidLogits, TensorNames, TextConfig, TextFamily};
use glm4v_vision::{
    Glm4vTower, Glm4vVisionConfig, PreprocessorConfig, SmartResizePreprocessor, TowerFlavour,
};
use glm4v_weights::{Files, Weights};
use serde::Deserialize;

pub(super) const FAMILY: Family = Family { model_types: &["glm4v", "glm46v", "glmga"], load };

/// `config.json`, under the names that it gives. The relatives of `glm4v` have the same form.
#[derive(Deserialize)]
pub(super) struct Config {
    image_token_id: Option<u32>,
    video_token_id: Option<u32>,
    image_start_token_id: Option<u32>,
    image_end_token_id: Option<u32>,
    tie_word_embeddings: Option<bool>,
    text_config: TextConfig,
    /// Missing where only the decoder is there, as in a GGUF file without its projector.
    vision_config: Option<Glm4vVisionConfig>,
}

/// The part of `config.json` that tells which decoder it is.
#[derive(Deserialize)]
struct TextKind {
    text_config: TextType,
}

#[derive(Deserialize)]
struct TextType {
    model_type: Option<String>,
}

/// What the relatives of `glm4v` differ in.
pub(super) struct Graphs {
    /// Names of the decoder's tensors, below a prefix.
    pub(super) names: fn(&str) -> TensorNames,
    pub(super) text: TextFamily,
    pub(super) tower: TowerFlavour,
}

fn load(files: &Files, weights: &Weights, _model_type: &str) -> Result<Parts, FusionError> {
    let text: TextKind = config(files)?;
    // `glm46v` and `glmga` are wrappers around either decoder.
    let graphs = if text.text_config.model_type.as_deref() == Some("glm4v_moe_text") {
        glm4v_moe::graphs()
    } else {
        Graphs {
            names: TensorNames::hugging_face,
            text: TextFamily::Glm4v,
            tower: TowerFlavour::Glm4v,
        }
    };
    load_parts(files, weights, &config(files)?, &graphs)
}

/// Puts together `glm4v` or one of its relatives.
pub(super) fn load_parts(
    files: &Files,
    weights: &Weights,
    config: &Config,
    graphs: &Graphs,
) -> Result<Parts, FusionError> {
    // Files of the first days of the release have no common `model.` above the two halves.
    let early = weights.contains("visual.patch_embed.proj.weight");
    let (body, visual) =
        if early { ("model", "visual") } else { ("model.language_model", "model.visual") };
    let decoder_config = config.text_config.decoder(graphs.text, config.tie_word_embeddings)?;
    let decoder = Decoder::load(&decoder_config, &(graphs.names)(body), weights)?;
    ignore_prediction_layers(&weights.pp(body).pp("layers"), decoder_config.layers);
    let vision = match &config.vision_config {
        Some(tower) => {
            let tower = Glm4vTower::load(tower, graphs.tower, &weights.pp(visual))?;
            Some(load_vision(files, config, tower)?)
        }
        None => None,
    };
    Ok(Parts { decoder, vision, invalid_logits: InvalidLogits::default(), prediction: None })
}

fn load_vision(
    files: &Files,
    config: &Config,
    tower: Glm4vTower,
) -> Result<VisionModel, FusionError> {
    let file = || files.describe("config.json");
    let image_id = config
        .image_token_id
        .ok_or_else(|| FusionError::MissingField { file: file(), field: "image_token_id" })?;
    let preprocessor: PreprocessorConfig =
        files.read_json("preprocessor_config.json")?.unwrap_or_default();
    let video = video_ids(config);
    let video = video.map(|ids| VideoInput::from_files(files, ids, VideoFamily::Glm4v));
    let vision = SmartResizeVision {
        preprocessor: SmartResizePreprocessor::for_images(&preprocessor)?,
        tower,
        image_id,
        video: video.transpose()?,
    };
    Ok(VisionModel::SmartResize(Box::new(vision)))
}

/// Layers after the last one predict further tokens at once, for speculative decoding. They are
/// known by a projection that ordinary layers don't have.
fn ignore_prediction_layers(layers: &Weights, mut next: usize) {
    while layers.contains(&format!("{next}.eh_proj.weight")) {
        layers.ignore(&next.to_string());
        next += 1;
    }
}

fn video_ids(config: &Config) -> Option<VideoIds> {
    Some(VideoIds {
        video: config.video_token_id?,
        begin_of_image: config.image_start_token_id?,
        end_of_image: config.image_end_token_id?,
    })
}
