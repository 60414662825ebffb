//! `glm4v_moe`: GLM-4.5V and GLM-4.6V, whose decoder has experts.

use super::{Family, Parts, config, glm4v};
use crate::FusionError;
use glm4v_language::{TensorNames, TextFamily};
use glm4v_vision::TowerFlavour;
use glm4v_weights::{Files, Weights};

pub(super) const FAMILY: Family = Family { model_types: &["glm4v_moe"], load };

fn load(files: &Files, weights: &Weights, _model_type: &str) -> Result<Parts, FusionError> {
    glm4v::load_parts(files, weights, &config(files)?, &graphs())
}

pub(super) fn graphs() -> glm4v::Graphs {
    glm4v::Graphs {
        names: TensorNames::hugging_face_experts,
        text: TextFamily::Glm4vMoe,
        tower: TowerFlavour::Glm4v,
    }
}
