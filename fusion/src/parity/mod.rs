//! Holds every stage against the outputs of a reference implementation.
//!
//! A directory of references is a checkpoint with, per case, `<case>.json` and
//! `<case>.safetensors`; or a folder of tables of functions (`smart_resize.json`, …) or of rendered
//! chat templates; or a folder of such directories. Bounds are for f32.

mod case;
mod compare;
mod messages;
mod model;
mod stages;
mod tables;
mod templates;
mod text;
mod vision;

pub use compare::{Divergence, StageReport};
pub use model::run_model;

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

/// What a directory holds.
#[derive(Clone, Copy)]
enum Kind {
    Checkpoint,
    Tables,
    Templates,
}

/// Runs every stage of every case in `folder`, and calls `on_case` with each report as it comes.
///
/// # Errors
/// When the folder holds no references, or the checkpoint in it can't be loaded. A stage that
/// differs or fails is no error: it is in the report. So is a checkpoint that can't be loaded, in a
/// folder of several directories.
pub fn run(
    folder: &Path,
    options: &LoadOptions,
    on_case: &mut dyn FnMut(CaseReport),
) -> Result<(), FusionError> {
    if let Some(kind) = kind(folder) {
        return run_kind(kind, folder, options, on_case);
    }
    let mut found = false;
    for folder in case::list(folder)?.iter().filter(|path| path.is_dir()) {
        let Some(kind) = kind(folder) else { continue };
        found = true;
        if let Err(error) = run_kind(kind, folder, options, on_case) {
            let stages = vec![compare::failed("load", error.to_string())];
            on_case(CaseReport { case: folder_name(folder), stages });
        }
    }
    if found {
        return Ok(());
    }
    let reason = "no references here: expected a checkpoint with cases, or tables such as \
                  smart_resize.json, or a folder of such folders";
    Err(case::reference_error(folder, reason.into()))
}

fn kind(folder: &Path) -> Option<Kind> {
    if folder.join("config.json").is_file() {
        Some(Kind::Checkpoint)
    } else if tables::is_folder_of_tables(folder) {
        Some(Kind::Tables)
    } else if templates::is_folder_of_templates(folder) {
        Some(Kind::Templates)
    } else {
        None
    }
}

fn run_kind(
    kind: Kind,
    folder: &Path,
    options: &LoadOptions,
    on_case: &mut dyn FnMut(CaseReport),
) -> Result<(), FusionError> {
    match kind {
        Kind::Checkpoint => model::run(folder, options, on_case),
        Kind::Tables => {
            tables::run(folder, on_case);
            Ok(())
        }
        Kind::Templates => templates::run(folder, on_case),
    }
}

/// The last part of a folder's path, also where it ends in `.`.
fn folder_name(folder: &Path) -> String {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    full.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}
