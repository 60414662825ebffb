//! What the unit tests share: the small checkpoints in `tests/fixtures/goldens`.

use crate::{LoadOptions, Model};
use std::path::{Path, PathBuf};

/// The folder of a golden checkpoint.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

/// A golden checkpoint, loaded as users load models.
pub(crate) fn model(name: &str) -> Model {
    let folder = folder(name);
    Model::load(folder.to_str().expect("a path in UTF-8"), &LoadOptions::default())
        .expect("a golden checkpoint")
}
