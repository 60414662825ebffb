//! Holds every stage against the outputs of a reference implementation.
//!
//! A directory of references is a checkpoint with, per case, `<case>.json` and
//! `<case>.safetensors`; or a folder of tables of functions (`smart_resize.json`, …); or a folder
//! of such directories. Bounds are for f32.

mod case;
mod compare;
mod model;
mod tables;

pub use compare::StageReport;

use crate::{FusionError, LoadOptions};
use serde::Serialize;
use std::path::Path;

/// What was found in one directory.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// The directory's name and the case's.
    pub case: String,
    /// The stages in the order of the data's way.
    pub stages: Vec<StageReport>,
}

impl CaseReport {
    /// Whether every stage passed.
    pub fn passed(&self) -> bool {
        self.stages.iter().all(|stage| stage.passed)
    }
}

/// Runs every stage of every case in `folder`, and calls `on_case` with each report as it comes.
///
/// # Errors
/// When the folder holds no references, or a file in it can't be read. A stage that differs is no
/// error: it is in the report.
pub fn run(folder: &Path, options: &LoadOptions, on_case: &mut dyn FnMut(CaseReport)) -> Result<(), FusionError> {
    if folder.join("config.json").is_file() {
        return model::run(folder, options, on_case);
    }
    if tables::is_folder_of_tables(folder) {
        return tables::run(folder, on_case);
    }
    let mut folders: Vec<_> = case::list(folder)?.into_iter().filter(|path| path.is_dir()).collect();
    folders.retain(|path| path.join("config.json").is_file() || tables::is_folder_of_tables(path));
    if folders.is_empty() {
        let reason = "no references here: expected a checkpoint with cases, or tables such as smart_resize.json";
        return Err(FusionError::Reference { file: folder.display().to_string(), reason: reason.into() });
    }
    folders.iter().try_for_each(|folder| run(folder, options, on_case))
}
