//! Visual tokens in a folder, one file a picture.
//!
//! A file is written under a name of its own and then renamed, so that no process ever sees half of
//! one. Files that cannot be read or written cost time, never an answer: they count as missing.

use super::Key;
use crate::{FusionError, VisualTokens};
use candle_core::{Device, Tensor, safetensors};
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// How the files end; nothing else in the folder is touched.
const EXTENSION: &str = "visual-tokens";

/// Rows beside those of the grid: GLM-4V-9B's marks of begin and end.
const MOST_MARKS: usize = 2;

/// Tells a process's unfinished files apart.
static NEXT_FILE: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    limit: u64,
}

impl Folder {
    /// Makes the folder where it is not there.
    pub(super) fn open(path: &Path, limit: u64) -> Result<Self, FusionError> {
        match fs::create_dir_all(path) {
            Ok(()) => Ok(Self { path: path.to_owned(), limit }),
            Err(source) => Err(FusionError::CacheFolder { path: path.to_owned(), source }),
        }
    }

    fn file(&self, key: &Key) -> PathBuf {
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.path.join(name).with_extension(EXTENSION)
    }

    /// The tokens kept under `key`, if they are there and whole.
    pub(super) fn read(&self, key: &Key, device: &Device) -> Option<VisualTokens> {
        let path = self.file(key);
        let tensors = safetensors::load(&path, device).ok()?;
        let rows = tensors.get("rows").filter(|rows| rows.rank() == 2)?;
        let grid: Vec<u32> = tensors.get("grid")?.to_vec1().ok()?;
        let [height, width] = *grid.as_slice() else { return None };
        let (height, width) = (height as usize, width as usize);
        let marks = rows.dim(0).ok()?.checked_sub(height.checked_mul(width)?)?;
        if marks > MOST_MARKS {
            return None;
        }
        // Says to all processes that it was used.
        let _ = File::options().append(true).open(&path).map(|f| f.set_modified(SystemTime::now()));
        Some(VisualTokens::picture(rows.clone(), (height, width)))
    }

    /// Keeps tokens, and removes those used longest ago until all fit.
    pub(super) fn write(&self, key: &Key, tokens: &VisualTokens) {
        let unfinished = self.path.join(format!(
            "{}-{}.unfinished-{EXTENSION}",
            std::process::id(),
            NEXT_FILE.fetch_add(1, Ordering::Relaxed)
        ));
        let grid = [tokens.grid().0 as u32, tokens.grid().1 as u32];
        let written = Tensor::new(&grid, &Device::Cpu).and_then(|grid| {
            let tensors = HashMap::from([("rows", tokens.rows().clone()), ("grid", grid)]);
            safetensors::save(&tensors, &unfinished)
        });
        if written.is_err() || fs::rename(&unfinished, self.file(key)).is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        self.make_room();
    }

    fn make_room(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .filter(|entry| {
                entry
                    .path()
                    .extension()
                    .is_some_and(|end| end.to_string_lossy().ends_with(EXTENSION))
            })
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if bytes <= self.limit {
                return;
            }
            // Another process may have removed it first; then it is gone all the same.
            let _ = fs::remove_file(path);
            bytes -= length;
        }
    }
}
