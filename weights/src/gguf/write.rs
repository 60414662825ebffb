//! Writing GGUF files.

use std::io::{self, Seek, SeekFrom, Write};

use super::GgufValue;
use super::header::{ALIGNMENT, MAGIC};
use crate::StoredType;

/// The version that is written.
const VERSION: u32 = 3;

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct GgufTensor {
    /// Its name.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// Number format.
    pub stored: StoredType,
}

impl GgufTensor {
    /// Bytes that its numbers take.
    pub fn bytes(&self) -> u64 {
        let (block, bytes) = self.stored.block();
        let numbers: u64 = self.shape.iter().map(|&size| size as u64).product();
        numbers / block as u64 * bytes as u64
    }
}

/// Writes a GGUF file: the header at once, then the tensors' bytes in the header's order.
#[derive(Debug)]
pub struct GgufWriter<W> {
    out: W,
    tensors: std::vec::IntoIter<GgufTensor>,
}

impl<W: Write + Seek> GgufWriter<W> {
    /// Writes the header. Metadata keeps the order in which it is given.
    ///
    /// # Errors
    /// When `out` cannot be written to, or a tensor's format is one that GGUF does not have.
    pub fn new(
        mut out: W,
        metadata: &[(String, GgufValue)],
        tensors: Vec<GgufTensor>,
    ) -> io::Result<Self> {
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            text(&mut header, key);
            header.extend(kind(value).to_le_bytes());
            put(&mut header, value);
        }
        let mut offset = 0u64;
        for tensor in &tensors {
            text(&mut header, &tensor.name);
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            for size in tensor.shape.iter().rev() {
                header.extend((*size as u64).to_le_bytes());
            }
            let number = tensor.stored.gguf_number().ok_or_else(|| {
                let reason = format!("{}: GGUF has no type {}", tensor.name, tensor.stored);
                io::Error::new(io::ErrorKind::Unsupported, reason)
            })?;
            header.extend(number.to_le_bytes());
            header.extend(offset.to_le_bytes());
            offset += tensor.bytes().next_multiple_of(ALIGNMENT as u64);
        }
        header.resize(header.len().next_multiple_of(ALIGNMENT), 0);
        out.write_all(&header)?;
        Ok(Self { out, tensors: tensors.into_iter() })
    }

    /// Writes the next tensor's bytes.
    ///
    /// # Errors
    /// When `out` cannot be written to, or these are not as many bytes as the header says.
    pub fn tensor(&mut self, bytes: &[u8]) -> io::Result<()> {
        let expected = self.tensors.next().map(|tensor| tensor.bytes());
        if expected != Some(bytes.len() as u64) {
            let reason = format!("{} bytes of a tensor that has {expected:?}", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        self.out.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(ALIGNMENT) - bytes.len();
        self.out.write_all(&vec![0; padding])
    }

    /// Checks that all tensors were written, and gives back what was written to.
    ///
    /// # Errors
    /// When tensors are missing, or what was written cannot be flushed.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(missing) = self.tensors.next() {
            let reason = format!("tensor {} was not written", missing.name);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        self.out.flush()?;
        self.out.seek(SeekFrom::End(0))?;
        Ok(self.out)
    }
}

/// GGUF's number for a value's type.
fn kind(value: &GgufValue) -> u32 {
    match value {
        GgufValue::U32(_) => 4,
        GgufValue::I32(_) => 5,
        GgufValue::F32(_) => 6,
        GgufValue::Bool(_) => 7,
        GgufValue::Text(_) => 8,
        GgufValue::Array(_) => 9,
        GgufValue::U64(_) => 10,
        GgufValue::I64(_) => 11,
        GgufValue::F64(_) => 12,
    }
}

fn text(header: &mut Vec<u8>, text: &str) {
    header.extend((text.len() as u64).to_le_bytes());
    header.extend(text.as_bytes());
}

fn put(header: &mut Vec<u8>, value: &GgufValue) {
    match value {
        GgufValue::U32(value) => header.extend(value.to_le_bytes()),
        GgufValue::I32(value) => header.extend(value.to_le_bytes()),
        GgufValue::F32(value) => header.extend(value.to_le_bytes()),
        GgufValue::Bool(value) => header.push((*value).into()),
        GgufValue::Text(value) => text(header, value),
        GgufValue::U64(value) => header.extend(value.to_le_bytes()),
        GgufValue::I64(value) => header.extend(value.to_le_bytes()),
        GgufValue::F64(value) => header.extend(value.to_le_bytes()),
        GgufValue::Array(values) => {
            // An empty array is one of texts: llama.cpp checks the type of a vocabulary's merges,
            // also where it has none.
            header.extend(values.first().map_or(8, kind).to_le_bytes());
            header.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| put(header, value));
        }
    }
}
