//! `glm_ocr`: GLM-OCR.

use super::{Family, Parts, config, glm4v};
use crate::FusionError;
use glm4v_language::{TensorNames, TextFamily};
use glm4v_vision::TowerFlavour;
use glm4v_weights::{Files, Weights};

pub(super) const FAMILY: Family = Family { model_types: &["glm_ocr"], load };

fn load(files: &Files, weights: &Weights, _model_type: &str) -> Result<Parts, FusionError> {
    let graphs = glm4v::Graphs {
        names: TensorNames::hugging_face,
        text: TextFamily::GlmOcr,
        tower: TowerFlavour::GlmOcr,
    };
    glm4v::load_parts(files, weights, &config(files)?, &graphs)
}
