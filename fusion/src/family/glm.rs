//! Text models in the Hugging Face form: `glm` (GLM-4-9B, -Chat, -1M) and `glm4` (GLM-4-0414).

use super::{Family, Parts, config};
use crate::FusionError;
use glm4v_language::{Decoder, InvalidLogits, TensorNames, TextConfig, TextFamily};
use glm4v_weights::{Files, Weights};

pub(super) const FAMILY: Family = Family { model_types: &["glm", "glm4"], load };

fn load(files: &Files, weights: &Weights, model_type: &str) -> Result<Parts, FusionError> {
    let family = if model_type == "glm4" { TextFamily::Glm4 } else { TextFamily::Glm };
    let config = config::<TextConfig>(files)?.decoder(family, None)?;
    let decoder = Decoder::load(&config, &TensorNames::hugging_face("model"), weights)?;
    Ok(Parts { decoder, vision: None, invalid_logits: InvalidLogits::default(), prediction: None })
}
