//! The header of a GGUF file: metadata, and which tensors there are and where.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::{GgufEntry, GgufValue};
use crate::{StoredType, WeightsError};

/// The first bytes of every GGUF file.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";
/// Versions with 64-bit counts; version 1 was in use for some weeks of 2023.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;
/// Where tensors' bytes begin, unless the file says otherwise.
pub(super) const ALIGNMENT: usize = 32;
/// The most axes that a tensor can have (`GGML_MAX_DIMS`).
const MOST_AXES: usize = 4;

/// What is kept of a tensor takes about as many bytes of memory.
const TENSOR_MEMORY: usize = 256;

pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, GgufValue>,
    pub(super) tensors: BTreeMap<String, GgufEntry>,
}

/// Reads the header of GGUF file `bytes`, called `file` in errors. All tensors' ranges lie within
/// the bytes, are as long as their shapes and types say, and begin at the alignment.
pub(super) fn read(bytes: &[u8], file: &str) -> Result<Header, WeightsError> {
    let bad = |reason: String| WeightsError::BadGguf { file: file.to_owned(), reason };
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        let reason = match bytes.starts_with(b"version https://git-lfs") {
            true => "the file is a Git LFS pointer; fetch the real file with `git lfs pull`",
            false => "it does not begin with `GGUF`, so it is no GGUF file",
        };
        return Err(bad(reason.to_owned()));
    };
    let mut cursor = Cursor::new(rest);
    let version = cursor.u32().map_err(bad)?;
    if !VERSIONS.contains(&version) {
        let reason = match VERSIONS.contains(&version.swap_bytes()) {
            true => "big-endian files are not supported".to_owned(),
            false => format!("version {version} is not supported, only 2 and 3; convert it again"),
        };
        return Err(bad(reason));
    }
    let tensor_count = cursor.count("tensors", 24).map_err(bad)?;
    let metadata_count = cursor.count("keys", 13).map_err(bad)?;
    let mut metadata = BTreeMap::new();
    for _ in 0..metadata_count {
        let key = cursor.text().map_err(|reason| bad(format!("in a key's name: {reason}")))?;
        let in_key = |reason| bad(format!("key `{key}`: {reason}"));
        let value = cursor.value().map_err(in_key)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(in_key("is there twice".to_owned()));
        }
    }
    let alignment = match metadata.get("general.alignment").map(GgufValue::as_usize) {
        None => ALIGNMENT,
        Some(Some(alignment)) if alignment % 8 == 0 && (8..=1 << 20).contains(&alignment) => {
            alignment
        }
        Some(_) => return Err(bad("key `general.alignment`: not a multiple of 8".to_owned())),
    };
    cursor.spend(tensor_count.saturating_mul(TENSOR_MEMORY)).map_err(bad)?;
    let mut found = Vec::new();
    for _ in 0..tensor_count {
        found.push(tensor(&mut cursor).map_err(bad)?);
    }
    let start = (MAGIC.len() + cursor.position()).next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    for (name, entry) in found {
        let in_tensor = |reason: String| bad(format!("tensor `{name}` {reason}"));
        let entry = place(entry, start, alignment, bytes.len()).map_err(in_tensor)?;
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(in_tensor("is there twice".to_owned()));
        }
    }
    Ok(Header { metadata, tensors })
}

/// A tensor's line of the header; its range counts from the first tensor's bytes.
fn tensor(cursor: &mut Cursor<'_>) -> Result<(String, GgufEntry), String> {
    let name = cursor.text().map_err(|reason| format!("in a tensor's name: {reason}"))?;
    let in_tensor = |reason| format!("tensor `{name}`: {reason}");
    let axes = cursor.u32().map_err(in_tensor)? as usize;
    if axes > MOST_AXES {
        return Err(in_tensor(format!("{axes} axes, more than {MOST_AXES}")));
    }
    let sizes = (0..axes).map(|_| cursor.u64()).collect::<Result<Vec<_>, _>>();
    let sizes = sizes.map_err(in_tensor)?;
    let number = cursor.u32().map_err(in_tensor)?;
    let offset = cursor.u64().map_err(in_tensor)?;
    let Some(stored) = StoredType::from_gguf(number) else {
        let reason = format!("number format {number} is not supported; see docs/QUANTISATION.md");
        return Err(in_tensor(reason));
    };
    let (block, block_bytes) = stored.block();
    let numbers = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
    let row = sizes.first().copied().unwrap_or(1);
    // Empty tensors are in no model, and their other sizes could be anything.
    let bytes = numbers
        .filter(|&numbers| numbers > 0)
        .filter(|_| row.is_multiple_of(block as u64))
        .and_then(|numbers| (numbers / block as u64).checked_mul(block_bytes as u64));
    let range = bytes.and_then(|bytes| {
        let (start, end) = (offset, offset.checked_add(bytes)?);
        Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    });
    let shape = sizes.iter().rev().map(|&size| usize::try_from(size).ok()).collect();
    let (Some(range), Some(shape)) = (range, shape) else {
        let reason = format!("sizes {sizes:?} at byte {offset} cannot be stored as {stored}");
        return Err(in_tensor(reason));
    };
    Ok((name, GgufEntry { stored, shape, part: 0, range }))
}

/// Moves a tensor's range to where it is in the file, and checks that it is there.
fn place(
    entry: GgufEntry,
    start: usize,
    alignment: usize,
    length: usize,
) -> Result<GgufEntry, String> {
    let begin = start.checked_add(entry.range.start);
    let end = start.checked_add(entry.range.end);
    let (Some(begin), Some(end)) = (begin, end) else {
        return Err("lies outside any file".to_owned());
    };
    if begin % alignment != 0 {
        return Err(format!("begins at byte {begin}, which is no multiple of {alignment}"));
    }
    if end > length {
        return Err(format!(
            "ends at byte {end}, but the file has {length}: it is cut short; download it again"
        ));
    }
    Ok(GgufEntry { range: begin..end, ..entry })
}
