//! Visual tokens kept by the content of their pictures, so that no picture goes through the tower
//! twice: in memory, and in a folder that processes share.

mod folder;

use crate::{FusionError, VisualTokens};
use candle_core::{DType, Device};
use folder::Folder;
use glm4v_vision::Image;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where visual tokens are kept, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// Bytes of visual tokens kept in memory by a model; 0 keeps none.
    pub memory: u64,
    /// A folder that keeps them from one process to the next, made when it is not there. Several
    /// processes may use it at once.
    pub folder: Option<PathBuf>,
    /// Bytes kept in the folder; those used longest ago give way.
    pub folder_limit: u64,
}

impl Default for CacheOptions {
    /// 256 MiB in memory, no folder, and 4 GiB where one is named.
    fn default() -> Self {
        Self { memory: 256 << 20, folder: None, folder_limit: 4 << 30 }
    }
}

/// The digest of a picture and of all that its visual tokens depend on.
type Key = [u8; 32];

/// Both places.
#[derive(Debug)]
pub(crate) struct VisualCache {
    /// What the tokens depend on besides the picture.
    model: Vec<u8>,
    limit: u64,
    memory: Mutex<Memory>,
    folder: Option<Folder>,
}

#[derive(Debug, Default)]
struct Memory {
    kept: HashMap<Key, Kept>,
    bytes: u64,
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    tokens: VisualTokens,
    used: u64,
}

impl VisualCache {
    /// A cache for the model with this fingerprint, run in `dtype`.
    pub(crate) fn new(
        options: &CacheOptions,
        fingerprint: [u8; 32],
        dtype: DType,
    ) -> Result<Self, FusionError> {
        let folder = options.folder.as_deref().map(|path| Folder::open(path, options.folder_limit));
        let version = env!("CARGO_PKG_VERSION");
        let model = [&fingerprint[..], dtype.as_str().as_bytes(), version.as_bytes()].concat();
        Ok(Self {
            model,
            limit: options.memory,
            memory: Mutex::default(),
            folder: folder.transpose()?,
        })
    }

    /// The picture's visual tokens, made by `embed` where they are not kept yet.
    pub(crate) fn get_or_embed(
        &self,
        image: &Image,
        device: &Device,
        embed: impl FnOnce() -> Result<VisualTokens, FusionError>,
    ) -> Result<VisualTokens, FusionError> {
        if self.limit == 0 && self.folder.is_none() {
            return embed();
        }
        let key = self.key(image);
        if let Some(tokens) = self.lock().get(&key) {
            return Ok(tokens);
        }
        let stored = self.folder.as_ref().and_then(|folder| folder.read(&key, device));
        let tokens = match stored {
            Some(tokens) => tokens,
            None => {
                let tokens = embed()?;
                if let Some(folder) = &self.folder {
                    folder.write(&key, &tokens);
                }
                tokens
            }
        };
        self.lock().keep(key, &tokens, self.limit);
        Ok(tokens)
    }

    fn key(&self, image: &Image) -> Key {
        let mut digest = Sha256::new();
        digest.update(&self.model);
        digest.update(image.width().to_le_bytes());
        digest.update(image.height().to_le_bytes());
        match image.pixels().as_slice() {
            Some(pixels) => digest.update(pixels),
            None => image.pixels().iter().for_each(|value| digest.update([*value])),
        }
        digest.finalize().into()
    }

    /// A thread that panicked while it held the lock left a cache that is whole all the same.
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn get(&mut self, key: &Key) -> Option<VisualTokens> {
        self.clock += 1;
        let kept = self.kept.get_mut(key)?;
        kept.used = self.clock;
        Some(kept.tokens.clone())
    }

    /// Keeps tokens, and lets go of those used longest ago until all fit in `limit` bytes.
    fn keep(&mut self, key: Key, tokens: &VisualTokens, limit: u64) {
        if tokens.bytes() > limit {
            return;
        }
        self.clock += 1;
        let kept = Kept { tokens: tokens.clone(), used: self.clock };
        self.bytes += tokens.bytes();
        if let Some(before) = self.kept.insert(key, kept) {
            self.bytes -= before.tokens.bytes();
        }
        while self.bytes > limit {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            let Some(gone) = oldest.and_then(|key| self.kept.remove(&key)) else { return };
            self.bytes -= gone.tokens.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use std::cell::Cell;

    fn picture(shade: u8) -> Image {
        Image::from_rgb(2, 1, vec![shade; 6]).unwrap()
    }

    fn tokens(value: f32) -> VisualTokens {
        VisualTokens::picture(Tensor::full(value, (4, 2), &Device::Cpu).unwrap(), (2, 2))
    }

    fn cache(options: &CacheOptions, fingerprint: u8) -> VisualCache {
        VisualCache::new(options, [fingerprint; 32], DType::F32).unwrap()
    }

    /// Asks for a picture's tokens; returns their value and whether they were made anew.
    fn ask(cache: &VisualCache, shade: u8) -> (f32, bool) {
        let made = Cell::new(false);
        let embed = || {
            made.set(true);
            Ok(tokens(f32::from(shade)))
        };
        let tokens = cache.get_or_embed(&picture(shade), &Device::Cpu, embed).unwrap();
        assert_eq!(tokens.grid(), (2, 2));
        (tokens.rows().to_vec2::<f32>().unwrap()[3][1], made.get())
    }

    #[test]
    fn a_picture_is_embedded_once() {
        let cache = cache(&CacheOptions::default(), 1);
        assert_eq!(ask(&cache, 7), (7.0, true));
        assert_eq!(ask(&cache, 8), (8.0, true));
        assert_eq!(ask(&cache, 7), (7.0, false));
        let first = cache.get_or_embed(&picture(7), &Device::Cpu, || unreachable!()).unwrap();
        let again = cache.get_or_embed(&picture(7), &Device::Cpu, || unreachable!()).unwrap();
        assert_eq!(first.identity(), again.identity()); // sessions know the rows again
    }

    #[test]
    fn what_was_used_longest_ago_gives_way() {
        let cache =
            cache(&CacheOptions { memory: 2 * tokens(0.0).bytes(), ..Default::default() }, 1);
        ask(&cache, 1);
        ask(&cache, 2);
        ask(&cache, 1);
        ask(&cache, 3); // 2 goes
        assert_eq!(ask(&cache, 1), (1.0, false));
        assert_eq!(ask(&cache, 2), (2.0, true));
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let cache = cache(&CacheOptions { memory: 0, ..Default::default() }, 1);
        assert_eq!(ask(&cache, 1), (1.0, true));
        assert_eq!(ask(&cache, 1), (1.0, true));
    }

    #[test]
    fn a_folder_serves_other_processes_with_the_same_model() {
        let folder = tempfile::tempdir().unwrap();
        let options = CacheOptions {
            memory: 0,
            folder: Some(folder.path().join("made/by/us")),
            folder_limit: 1 << 20,
        };
        assert_eq!(ask(&cache(&options, 1), 5), (5.0, true));
        assert_eq!(ask(&cache(&options, 1), 5), (5.0, false));
        assert_eq!(ask(&cache(&options, 2), 5), (5.0, true)); // another model
    }

    #[test]
    fn damaged_files_are_made_anew_and_the_folder_stays_within_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let options = CacheOptions { memory: 0, folder: Some(path.clone()), folder_limit: 1 << 20 };
        ask(&cache(&options, 1), 5);
        let files = || std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap());
        for file in files() {
            std::fs::write(file.path(), b"not what it was").unwrap();
        }
        assert_eq!(ask(&cache(&options, 1), 5), (5.0, true));
        assert_eq!(ask(&cache(&options, 1), 5), (5.0, false));
        // A file that is whole and says what cannot be.
        let file = files().next().unwrap().path();
        let grid = Tensor::new(&[u32::MAX, u32::MAX], &Device::Cpu).unwrap();
        let rows = tokens(9.0).rows().clone();
        let lie = std::collections::HashMap::from([("rows", rows), ("grid", grid)]);
        candle_core::safetensors::save(&lie, &file).unwrap();
        assert_eq!(ask(&cache(&options, 1), 5), (5.0, true));
        let size = files().next().unwrap().metadata().unwrap().len();
        let options = CacheOptions { folder_limit: 3 * size, ..options };
        for shade in 10..20 {
            ask(&cache(&options, 1), shade);
        }
        assert_eq!(files().count(), 3);
        assert_eq!(ask(&cache(&options, 1), 19), (19.0, false));
    }
}
