//! A checkpoint's fingerprint, for caches of what was computed with it.

use crate::{Checkpoint, WeightsError};
use sha2::{Digest, Sha256};

/// Bytes of each tensor that the fingerprint looks at: reading all would take as long as loading.
const SAMPLE: usize = 256;

/// Files beside the weights that decide what is computed.
const CONFIGS: [&str; 2] = ["config.json", "preprocessor_config.json"];

impl Checkpoint {
    /// A digest of the configuration, and of each tensor's name, type, shape and first bytes. Two
    /// checkpoints that differ in a whole layer differ in it; a change of single weights far
    /// inside a tensor goes unseen.
    ///
    /// # Errors
    /// When a configuration file cannot be read.
    pub fn fingerprint(&self) -> Result<[u8; 32], WeightsError> {
        let mut digest = Sha256::new();
        for name in CONFIGS {
            if let Some(content) = self.files().read(name)? {
                digest.update((content.len() as u64).to_le_bytes());
                digest.update(&content);
            }
        }
        for tensor in self.tensors() {
            digest.update(format!("{} {:?} {:?}\n", tensor.name, tensor.dtype, tensor.shape));
            let bytes = self.bytes(tensor).unwrap_or_default();
            digest.update(bytes.get(..SAMPLE).unwrap_or(&bytes));
        }
        Ok(digest.finalize().into())
    }
}
