//! Models in several GGUF files, as llama.cpp's `llama-gguf-split` writes them.
//!
//! Each part says how many there are and which one it is; the first has the metadata, every part
//! has tensors, and their names end in `-00001-of-00003.gguf`.

use std::path::{Path, PathBuf};

use super::{Gguf, GgufValue};
use crate::WeightsError;

/// More parts are damage.
const MOST_PARTS: usize = 1 << 12;

/// How many parts the model of a file has, itself included.
pub(super) fn parts(gguf: &Gguf) -> usize {
    number(gguf, "split.count").unwrap_or(1)
}

/// Opens the other parts of the model whose first part is `first`, at `path`, and adds their
/// tensors to its own.
///
/// # Errors
/// When `first` is another part, a part's name does not say which it is, a part is missing or of
/// another model, or a tensor is in two of them.
pub(super) fn join(first: Gguf, path: &Path) -> Result<Gguf, WeightsError> {
    let count = parts(&first);
    let names = names(path, count).filter(|_| count <= MOST_PARTS);
    let which = number(&first, "split.no");
    let (Some(names), Some(0)) = (names, which) else {
        let number = which.map_or("a part".to_owned(), |which| format!("part {}", which + 1));
        let reason = format!(
            "this is {number} of {count}; give the first one, whose name ends in \
             -00001-of-{count:05}.gguf, with the others beside it"
        );
        return Err(bad(&first, reason));
    };
    let (mut tensors, mut bytes, mut files) =
        ((*first.tensors).clone(), first.bytes.to_vec(), first.files.to_vec());
    for (no, name) in names.iter().enumerate().skip(1) {
        let part = Gguf::open_one(name)?;
        if (number(&part, "split.no"), parts(&part)) != (Some(no), count) {
            let reason = format!("does not say that it is part {} of {count}", no + 1);
            return Err(bad(&part, reason));
        }
        for (name, entry) in part.tensors.iter() {
            let entry = super::GgufEntry { part: no, ..entry.clone() };
            if tensors.insert(name.clone(), entry).is_some() {
                return Err(bad(&part, format!("tensor `{name}` is in an earlier part too")));
            }
        }
        bytes.extend(part.bytes.iter().cloned());
        files.extend(part.files.iter().cloned());
    }
    if let Some(wanted) = number(&first, "split.tensors.count").filter(|&n| n != tensors.len()) {
        let reason = format!("the parts have {} tensors, not {wanted}", tensors.len());
        return Err(bad(&first, reason));
    }
    let metadata = first.metadata;
    Ok(Gguf { files: files.into(), metadata, tensors: tensors.into(), bytes: bytes.into() })
}

/// The parts' paths, when that of the first ends as it should.
fn names(first: &Path, count: usize) -> Option<Vec<PathBuf>> {
    let name = first.file_name()?.to_str()?;
    let stem = name.strip_suffix(&format!("-00001-of-{count:05}.gguf"))?;
    let part = |no: usize| first.with_file_name(format!("{stem}-{no:05}-of-{count:05}.gguf"));
    Some((1..=count.min(MOST_PARTS)).map(part).collect())
}

fn number(gguf: &Gguf, key: &str) -> Option<usize> {
    gguf.get(key).and_then(GgufValue::as_usize)
}

fn bad(gguf: &Gguf, reason: String) -> WeightsError {
    WeightsError::BadGguf { file: gguf.file().to_owned(), reason }
}
