//! The folder of a run.

use super::{Failure, Manifest, Response};
use crate::EvalError;
use crate::scores::Scores;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A folder with a run in it.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The run in `path`.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, EvalError> {
        let folder = Self { path: path.into() };
        folder.manifest()?;
        Ok(folder)
    }

    /// The folder of a run that may not have begun.
    pub(crate) fn at(path: &Path) -> Result<Self, EvalError> {
        std::fs::create_dir_all(path).map_err(|source| file_error(path, source))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Begins a run in `path`, or goes on with the one that is there.
    pub(crate) fn begin(path: &Path, manifest: &Manifest) -> Result<Self, EvalError> {
        let folder = Self::at(path)?;
        if folder.file("run.json").exists() {
            let found = folder.manifest()?;
            let mut differences = found.identity.differences(&manifest.identity);
            if found.shard != manifest.shard {
                differences.push("shard".to_owned());
            }
            if !differences.is_empty() {
                let (folder, differences) = (path.to_owned(), differences.join(", "));
                return Err(EvalError::OtherRun { folder, differences });
            }
        }
        folder.write_json("run.json", manifest)?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What the run is.
    ///
    /// # Errors
    /// When `run.json` is missing or broken.
    pub fn manifest(&self) -> Result<Manifest, EvalError> {
        self.read_json("run.json")
    }

    /// What came of it.
    ///
    /// # Errors
    /// When `scores.json` is missing or broken.
    pub fn scores(&self) -> Result<Scores, EvalError> {
        self.read_json("scores.json")
    }

    /// The answers so far, by the samples' places in the dataset.
    ///
    /// # Errors
    /// When `responses.jsonl` can't be read, or a line before the last is broken.
    pub fn responses(&self) -> Result<Vec<Response>, EvalError> {
        let mut responses: Vec<Response> = read_lines(&self.file("responses.jsonl"))?.0;
        let mut seen = HashSet::new();
        responses.retain(|response| seen.insert(response.id.clone()));
        responses.sort_by_key(|response| response.index);
        Ok(responses)
    }

    /// The samples that got no answer.
    ///
    /// # Errors
    /// When `failures.jsonl` can't be read.
    pub fn failures(&self) -> Result<Vec<Failure>, EvalError> {
        Ok(read_lines(&self.file("failures.jsonl"))?.0)
    }

    /// Opens `responses.jsonl` to be written to by nobody else, and cuts off a line that a crash
    /// left unfinished.
    pub(crate) fn response_log(&self) -> Result<ResponseLog, EvalError> {
        let path = self.file("responses.jsonl");
        let failed = |source| file_error(&path, source);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        if file.try_lock().is_err() {
            let reason = "another process works on this run".to_owned();
            return Err(EvalError::BadFile { file: path, reason });
        }
        let (_, good): (Vec<Response>, u64) = read_lines(&path)?;
        file.set_len(good).map_err(failed)?;
        Ok(ResponseLog { path, file })
    }

    pub(crate) fn write_failures(&self, failures: &[Failure]) -> Result<(), EvalError> {
        let mut lines = Vec::new();
        for failure in failures {
            lines.extend(json_line(failure).map_err(|s| file_error(&self.path, s))?);
        }
        self.write("failures.jsonl", &lines)
    }

    /// Writes a file of the run as JSON, whole or not at all.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), EvalError> {
        let json = serde_json::to_vec_pretty(value);
        let mut json = json.map_err(|error| file_error(&self.file(name), error.into()))?;
        json.push(b'\n');
        self.write(name, &json)
    }

    /// Writes a file of the run, whole or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), EvalError> {
        let (path, draft) = (self.file(name), self.file(&format!("{name}.draft")));
        std::fs::write(&draft, bytes)
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(|source| file_error(&path, source))
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, EvalError> {
        let file = self.file(name);
        let bytes = std::fs::read(&file).map_err(|source| file_error(&file, source))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| EvalError::BadFile { file, reason: error.to_string() })
    }
}

/// Where answers are written as they come.
pub(crate) struct ResponseLog {
    path: PathBuf,
    file: File,
}

impl ResponseLog {
    /// Writes an answer at once and whole: a line is one write.
    pub(crate) fn append(&mut self, response: &Response) -> Result<(), EvalError> {
        let line = json_line(response).map_err(|source| file_error(&self.path, source))?;
        self.file.write_all(&line).map_err(|source| file_error(&self.path, source))
    }
}

fn json_line(value: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// The lines of a file, and the length of the part that holds them: what a crash left of a last
/// line does not count. No file is an empty one.
fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<(Vec<T>, u64), EvalError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(file_error(path, source)),
    };
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let whole = bytes.get(..end).unwrap_or_default();
    let lines = whole.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    let parsed = lines.map(|(at, line)| {
        serde_json::from_slice(line).map_err(|error| EvalError::BadFile {
            file: path.to_owned(),
            reason: format!("line {}: {error}", at + 1),
        })
    });
    Ok((parsed.collect::<Result<_, _>>()?, end as u64))
}

fn file_error(path: &Path, source: std::io::Error) -> EvalError {
    EvalError::File { file: path.to_owned(), source }
}
