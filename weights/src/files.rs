//! The files of a checkpoint: a folder on disk, or bytes inside the program.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::WeightsError;

/// The most bytes of a file beside the weights. Vocabularies, the largest of them, take some 20 MB.
const LARGEST: u64 = 256 << 20;

/// Where a checkpoint's files are.
#[derive(Clone, Debug)]
pub enum Files {
    /// A folder on disk.
    Folder(PathBuf),
    /// Pairs of file name and content, compiled into the program.
    Embedded(&'static [(&'static str, &'static [u8])]),
    /// Pairs of file name and content, made by the program.
    Made(Arc<[(String, Vec<u8>)]>),
    /// Files made from what a single file holds.
    Unpacked {
        /// The file that they are made from.
        origin: PathBuf,
        /// Contents by name.
        contents: Arc<BTreeMap<String, Vec<u8>>>,
    },
}

impl Files {
    /// The content of file `name`; `None` when there is no such file.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`] when the file is there but cannot be read, and
    /// [`WeightsError::TooLarge`] when it is larger than any such file.
    pub fn read(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, WeightsError> {
        match self {
            Self::Folder(folder) => match read_limited(&folder.join(name)) {
                Ok(bytes) if bytes.len() as u64 > LARGEST => {
                    Err(WeightsError::TooLarge { file: self.describe(name), limit: LARGEST })
                }
                Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(source) => Err(WeightsError::Unreadable { file: self.describe(name), source }),
            },
            Self::Embedded(_) | Self::Made(_) | Self::Unpacked { .. } => {
                Ok(self.in_memory(name).map(Cow::Borrowed))
            }
        }
    }

    /// The content of text file `name`; `None` when there is no such file.
    ///
    /// # Errors
    /// As [`Files::read`], and [`WeightsError::NotText`] when the file is not UTF-8.
    pub fn read_text(&self, name: &str) -> Result<Option<String>, WeightsError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(source) => Err(WeightsError::NotText { file: self.describe(name), source }),
        }
    }

    /// JSON file `name` read into `T`; `None` when there is no such file.
    ///
    /// # Errors
    /// As [`Files::read`], and [`WeightsError::BadJson`] with the field's path and the line when
    /// the file is not JSON or does not fit `T`.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, WeightsError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        let bad = |field: String, source: serde_json::Error| WeightsError::BadJson {
            file: self.describe(name),
            field,
            line: source.line(),
            column: source.column(),
            source,
        };
        let mut parser = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut parser)
            .map_err(|error| bad(error.path().to_string(), error.into_inner()))?;
        parser.end().map_err(|error| bad(".".to_owned(), error))?;
        Ok(Some(value))
    }

    /// File `name` as an error message calls it: its path, `built-in NAME`, or the file that it
    /// was made from.
    pub fn describe(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::Embedded(_) => format!("built-in {name}"),
            Self::Made(_) => format!("made-up {name}"),
            Self::Unpacked { origin, .. } => format!("{} ({name})", origin.display()),
        }
    }

    /// Whether there is a file `name`.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Folder(folder) => folder.join(name).is_file(),
            Self::Embedded(_) | Self::Made(_) | Self::Unpacked { .. } => {
                self.in_memory(name).is_some()
            }
        }
    }

    /// The whole set of files as an error message calls it.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Embedded(_) => "built-in checkpoint".to_owned(),
            Self::Made(_) => "made-up checkpoint".to_owned(),
            Self::Unpacked { origin, .. } => origin.display().to_string(),
        }
    }

    /// The names of all files at the top level, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, WeightsError> {
        let mut names: Vec<String> = match self {
            Self::Folder(folder) => {
                let unreadable = |source| WeightsError::Unreadable { file: self.place(), source };
                std::fs::read_dir(folder)
                    .and_then(|entries| {
                        entries
                            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                            .collect()
                    })
                    .map_err(unreadable)?
            }
            Self::Embedded(files) => files.iter().map(|(name, _)| (*name).to_owned()).collect(),
            Self::Made(files) => files.iter().map(|(name, _)| name.clone()).collect(),
            Self::Unpacked { contents, .. } => contents.keys().cloned().collect(),
        };
        names.sort();
        Ok(names)
    }

    /// The bytes of embedded file `name`; `None` for other kinds too.
    pub(crate) fn embedded(&self, name: &str) -> Option<&'static [u8]> {
        let Self::Embedded(files) = self else { return None };
        files.iter().find(|(found, _)| *found == name).map(|(_, bytes)| *bytes)
    }

    /// The bytes of file `name` where they are in memory; `None` for a folder.
    fn in_memory(&self, name: &str) -> Option<&[u8]> {
        match self {
            Self::Made(files) => {
                files.iter().find(|(found, _)| found == name).map(|(_, bytes)| bytes.as_slice())
            }
            Self::Unpacked { contents, .. } => contents.get(name).map(Vec::as_slice),
            Self::Folder(_) | Self::Embedded(_) => self.embedded(name),
        }
    }
}

/// Reads at most one byte more than the largest file that is taken.
fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
