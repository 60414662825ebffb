//! Fixtures in GGUF, and how near a model comes to what was computed with them.

use glm4v_fusion::parity::{StageReport, run_model};
use glm4v_fusion::{LoadOptions, Model};
use std::path::{Path, PathBuf};

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf").join(name)
}

/// The model in a fixture, with its eyes when it has them.
pub(crate) fn load(name: &str) -> Model {
    let mmproj = fixture(&format!("mmproj-{name}.gguf"));
    let options =
        LoadOptions { mmproj: mmproj.is_file().then_some(mmproj), ..LoadOptions::default() };
    let path = fixture(&format!("{name}.gguf"));
    Model::load(path.to_str().unwrap(), &options).unwrap()
}

/// All stages of all cases in a folder, under the case's name.
pub(crate) fn stages(folder: &Path, model: &Model) -> Vec<(String, StageReport)> {
    let mut stages = Vec::new();
    run_model(folder, model, &mut |case| {
        // Videos are left out: GGUF does not say in which words a frame's time is told.
        if !case.case.ends_with("/video") {
            stages.extend(case.stages.into_iter().map(|stage| (case.case.clone(), stage)));
        }
    })
    .unwrap();
    assert!(!stages.is_empty());
    stages
}

/// Ids, positions and greedy tokens are equal, and everything else within `bound` times the
/// reference's root mean square.
pub(crate) fn near(folder: &Path, model: &Model, bound: f64) {
    for (case, stage) in stages(folder, model) {
        if stage.bound == 0.0 {
            assert!(stage.passed, "{case}: {stage:?}");
        } else {
            assert!(stage.max_relative_error <= bound, "{case}: {stage:?}");
            let near = stage.divergence.is_none_or(|found| found.kl < bound * bound / 10.0);
            assert!(near, "{case}: {stage:?}");
        }
    }
}

/// What is said of a damaged copy of a fixture.
pub(crate) fn refusal(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.gguf");
    std::fs::write(&path, bytes).unwrap();
    Model::load(path.to_str().unwrap(), &LoadOptions::default()).unwrap_err().to_string()
}
