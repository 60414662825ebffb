//! Digests that tell whether two things are the same.

use sha2::{Digest, Sha256};

/// SHA-256, in hexadecimal, of parts with their lengths before them, so that no two lists of parts
/// are alike.
pub(crate) fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
