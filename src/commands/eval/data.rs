//! Where a task's dataset is: on disk, or on the hub.

use crate::cli::{Console, UsageError, download_progress};
use glm4v::HubOptions;
use glm4v_eval::task::Task;
use glm4v_weights::{DatasetSource, WeightsError, pull_dataset};
use std::path::{Path, PathBuf};

/// The folder or file that a task's samples are read from. What `--data` names on the hub is
/// brought into the cache, as far as the task reads it.
pub(super) fn locate(
    task: &Task,
    data: Option<&Path>,
    console: Console,
) -> anyhow::Result<PathBuf> {
    let Some(data) = data else { return Err(missing(task).into()) };
    // What is no UTF-8 is no id.
    let Some(text) = data.to_str() else { return Ok(data.to_owned()) };
    match DatasetSource::parse(text)? {
        DatasetSource::Path(path) => Ok(path),
        DatasetSource::Hub { id, revision } => fetch(task, &id, revision.as_deref(), console),
    }
}

fn fetch(
    task: &Task,
    id: &str,
    revision: Option<&str>,
    console: Console,
) -> anyhow::Result<PathBuf> {
    let options = HubOptions::from_env()?;
    let choose = |names: &[String]| task.wanted_files(names);
    let mut progress = download_progress(console);
    let error = match pull_dataset(id, revision, &options, &choose, &mut progress) {
        Ok(snapshot) => return Ok(snapshot),
        Err(error) => error,
    };
    match error {
        WeightsError::NothingWanted { .. } => Err(task.no_files(Path::new(id)).into()),
        // A path with a slip in it looks like an id.
        error @ (WeightsError::NotOnHub { .. }
        | WeightsError::AccessRefused { .. }
        | WeightsError::NotCached { .. }) => {
            let context = format!(
                "--data {id}: no such folder or file here, so it is taken for a dataset of the hub"
            );
            Err(anyhow::Error::new(error).context(context))
        }
        error => Err(error.into()),
    }
}

/// What to do where `--data` is missing.
fn missing(task: &Task) -> UsageError {
    let Task { name, source, .. } = task;
    UsageError(match &task.hub {
        Some(id) => format!(
            "{name}: no dataset; `--data {id}` fetches it from the hub, `--data DIR` reads a folder"
        ),
        None => format!("{name}: no dataset; `--data DIR` reads its folder ({source} has it)"),
    })
}
