//! The cases of one checkpoint.

use super::case::{Case, reference_error};
use super::compare::{self, TEXT_BOUND, VISION_BOUND};
use super::stages::Stages;
use super::text::Sequence;
use super::{CaseReport, folder_name, vision};
use crate::{FusionError, LoadOptions, Model};
use glm4v_weights::Checkpoint;
use std::path::Path;

/// Loads the model in `folder` and runs every case beside it.
pub(super) fn run(
    folder: &Path,
    options: &LoadOptions,
    on_case: &mut dyn FnMut(CaseReport),
) -> Result<(), FusionError> {
    if Case::files(folder)?.is_empty() {
        return Err(no_cases(folder));
    }
    let checkpoint = Checkpoint::open(folder)?;
    let model = Model::from_checkpoint(&checkpoint, &folder_name(folder), options)?;
    run_model(folder, &model, on_case)
}

fn no_cases(folder: &Path) -> FusionError {
    let reason = "no reference cases: expected <case>.json with <case>.safetensors beside it";
    reference_error(folder, reason.into())
}

/// Holds `model` against every case in `folder`, whose own checkpoint is not looked at: another
/// form of the same model, such as a GGUF file.
///
/// # Errors
/// When the folder holds no cases.
pub fn run_model(
    folder: &Path,
    model: &Model,
    on_case: &mut dyn FnMut(CaseReport),
) -> Result<(), FusionError> {
    let files = Case::files(folder)?;
    if files.is_empty() {
        return Err(no_cases(folder));
    }
    let name = folder_name(folder);
    for file in files {
        let stages = match Case::read(&file) {
            Ok(case) => run_case(model, &case),
            Err(error) => vec![compare::failed("files", error.to_string())],
        };
        let case = file.file_stem().unwrap_or_default().to_string_lossy();
        on_case(CaseReport { case: format!("{name}/{case}"), stages });
    }
    Ok(())
}

fn run_case(model: &Model, case: &Case) -> Vec<compare::StageReport> {
    let mut stages = Stages::new(case);
    let visuals = if case.file.files.is_empty() {
        Some(Vec::new())
    } else {
        stages.attempt("vision", |stages| vision::run(model, case, stages))
    };
    let Some(visuals) = visuals else { return stages.finish() };
    let bound = if visuals.is_empty() { TEXT_BOUND } else { VISION_BOUND };
    for index in 0..case.sequences() {
        let sequence = Sequence { model, case, index, bound };
        stages.attempt("text", |stages| sequence.run(&visuals, stages));
    }
    stages.finish()
}
