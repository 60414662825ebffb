//! The header of a safetensors file: which tensors it holds, and where.

use safetensors::tensor::Metadata;

use crate::WeightsError;

/// Bytes of the header's length at the file's start, little endian.
const LENGTH_BYTES: usize = 8;

/// The largest header that the reference reader accepts (`MAX_HEADER_SIZE` in `safetensors`).
const LARGEST_HEADER: u64 = 100_000_000;

/// Reads the header of the safetensors file `bytes`, called `file` in errors.
///
/// Gives its tensors and the place of the first tensor's bytes. What comes back is safe to slice
/// with: the tensors' ranges follow each other without gaps or overlaps, each is as long as its
/// shape and dtype say, and the last ends where the file does.
pub(crate) fn read(bytes: &[u8], file: &str) -> Result<(Metadata, usize), WeightsError> {
    read_of(bytes, Some(bytes.len() as u64), file)
}

/// The same of a file of `found` bytes, if that is known, that begins with `bytes`.
pub(crate) fn read_of(
    bytes: &[u8],
    found: Option<u64>,
    file: &str,
) -> Result<(Metadata, usize), WeightsError> {
    let bad = |reason: String| WeightsError::BadHeader { file: file.to_owned(), reason };
    let data_start = length(bytes, file)?;
    let header = bytes.get(LENGTH_BYTES..data_start as usize);
    let header = header.ok_or_else(|| truncated(bytes, data_start, file))?;
    let metadata: Metadata =
        serde_json::from_slice(header).map_err(|error| bad(error.to_string()))?;
    let expected = data_start.saturating_add(metadata.data_len() as u64);
    match found {
        Some(found) if found < expected => {
            Err(WeightsError::TruncatedFile { file: file.to_owned(), expected, found })
        }
        Some(found) if found > expected => {
            Err(bad(format!("it describes {expected} bytes, but the file has {found}")))
        }
        _ => Ok((metadata, data_start as usize)),
    }
}

/// Bytes up to the first tensor's, out of the beginning of a file.
pub(crate) fn length(bytes: &[u8], file: &str) -> Result<u64, WeightsError> {
    let bad = |reason: String| WeightsError::BadHeader { file: file.to_owned(), reason };
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(bad(
            "the file is a Git LFS pointer; fetch the real file with `git lfs pull`".into()
        ));
    }
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Err(truncated(bytes, LENGTH_BYTES as u64, file));
    };
    let length = u64::from_le_bytes(*length);
    if length > LARGEST_HEADER {
        return Err(bad(format!("its length says {length} bytes, more than {LARGEST_HEADER}")));
    }
    Ok(LENGTH_BYTES as u64 + length)
}

fn truncated(bytes: &[u8], expected: u64, file: &str) -> WeightsError {
    WeightsError::TruncatedFile { file: file.to_owned(), expected, found: bytes.len() as u64 }
}
