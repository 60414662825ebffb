//! Numbers into blocks of a few bits, and out of them, piece by piece.

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;
use std::borrow::Cow;

use crate::{BlockType, StoredDtype, StoredType};

/// Numbers that are in f32 at a time, for each thread: what is needed besides input and result.
const PIECE: usize = 1 << 20;

/// What the numbers of a model's matrices become when they are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantisation {
    /// Blocks of a few bits, in GGUF's formats.
    Blocks(BlockType),
    /// A byte each, with a scale for every output and 256 inputs: a form of this program's own,
    /// which is multiplied fastest. Tables become `Q8_0`.
    Int8,
}

impl Quantisation {
    /// The name that the command line has for it, such as `q4_k` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocks(blocks) => blocks.name(),
            Self::Int8 => "int8",
        }
    }

    /// The quantisation of a name.
    pub fn parse(name: &str) -> Option<Self> {
        if name == Self::Int8.name() {
            return Some(Self::Int8);
        }
        BlockType::parse(name).map(Self::Blocks)
    }

    /// Bytes that a number of a matrix takes, its share of the scales among them.
    pub fn bytes_per_number(self) -> f64 {
        match self {
            Self::Blocks(blocks) => blocks.block_bytes() as f64 / blocks.block_size() as f64,
            Self::Int8 => (256.0 + 4.0) / 256.0,
        }
    }

    /// The blocks whose recipe it follows, and about whose memory it takes.
    pub fn blocks(self) -> BlockType {
        match self {
            Self::Blocks(blocks) => blocks,
            Self::Int8 => BlockType::Q8_0,
        }
    }
}

impl From<BlockType> for Quantisation {
    fn from(blocks: BlockType) -> Self {
        Self::Blocks(blocks)
    }
}

/// Which tensors become which blocks when they are read.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// The type that the recipe is named after.
    pub blocks: BlockType,
    /// Whether layers whose matrices the recipe would have in blocks get bytes in their place.
    pub int8: bool,
    /// The type for a matrix, by the recipe's type, the tensor's name and its shape; `None`
    /// leaves the matrix as it is.
    pub choose: fn(BlockType, &str, &[usize]) -> Option<BlockType>,
}

/// Turns rows of `width` numbers, stored as `stored`, into blocks. The rows go through f32 in
/// pieces, so little memory is needed besides the result.
///
/// # Errors
/// When `width` is not whole blocks, or the numbers are of a kind that can't be computed with.
pub fn quantise(
    bytes: &[u8],
    stored: StoredType,
    width: usize,
    blocks: BlockType,
) -> Result<Vec<u8>> {
    let (block, block_bytes) = stored.block();
    if width == 0 || !width.is_multiple_of(blocks.block_size()) || !width.is_multiple_of(block) {
        candle_core::bail!("rows of {width} numbers are no whole blocks of {}", blocks.name());
    }
    let (row_in, row_out) =
        (width / block * block_bytes, width / blocks.block_size() * blocks.block_bytes());
    if row_in == 0 || !bytes.len().is_multiple_of(row_in) {
        candle_core::bail!("{} bytes are no whole rows of {width} numbers", bytes.len());
    }
    let rows = (PIECE / width).max(1);
    let mut quantised = vec![0; bytes.len() / row_in * row_out];
    quantised.par_chunks_mut(rows * row_out).zip(bytes.par_chunks(rows * row_in)).try_for_each(
        |(to, from)| {
            let numbers = to_f32(from, stored, (from.len() / row_in, width))?;
            to.copy_from_slice(&QTensor::quantize(&numbers, blocks.ggml())?.data()?);
            Ok::<_, candle_core::Error>(())
        },
    )?;
    Ok(quantised)
}

/// Turns rows of `width` numbers, stored as `stored`, into `plain` (f32, f16 or bf16), little
/// endian. The rows go through f32 in pieces, as those of [`quantise`] do.
///
/// # Errors
/// When the numbers, or those wanted, are of a kind that can't be computed with, or are beyond
/// what f16 holds.
pub fn to_plain_bytes(
    bytes: &[u8],
    stored: StoredType,
    width: usize,
    plain: StoredDtype,
) -> Result<Vec<u8>> {
    let plain = StoredType::Plain(plain);
    let Some(dtype) = plain.dtype() else {
        candle_core::bail!("numbers are not written as {plain}");
    };
    let (block, block_bytes) = stored.block();
    let row = (width / block).max(1) * block_bytes;
    let piece = (PIECE / width.max(1)).max(1) * row.max(1);
    let pieces = bytes.par_chunks(piece).map(|piece| {
        let numbers = to_f32(piece, stored, (piece.len() / row.max(1), width))?;
        little_endian(&numbers.to_dtype(dtype)?.flatten_all()?)
    });
    Ok(pieces.collect::<Result<Vec<_>>>()?.concat())
}

fn little_endian(numbers: &Tensor) -> Result<Vec<u8>> {
    fn bytes<const N: usize>(numbers: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
        numbers.into_iter().flatten().collect()
    }
    Ok(match numbers.dtype() {
        DType::F32 => bytes(numbers.to_vec1::<f32>()?.into_iter().map(f32::to_le_bytes)),
        DType::F16 => {
            let numbers = numbers.to_vec1::<half::f16>()?;
            if numbers.iter().any(|number| number.is_infinite()) {
                candle_core::bail!("it has numbers beyond 65504, which f16 cannot hold; take bf16");
            }
            bytes(numbers.into_iter().map(half::f16::to_le_bytes))
        }
        DType::BF16 => {
            bytes(numbers.to_vec1::<half::bf16>()?.into_iter().map(half::bf16::to_le_bytes))
        }
        other => candle_core::bail!("numbers are not written as {other:?}"),
    })
}

/// Rows of numbers in f32.
pub(crate) fn to_f32(bytes: &[u8], stored: StoredType, shape: (usize, usize)) -> Result<Tensor> {
    match stored {
        StoredType::Blocks(blocks) => {
            in_blocks(bytes, blocks, shape, &Device::Cpu)?.dequantize(&Device::Cpu)
        }
        StoredType::Plain(_) => match stored.dtype() {
            Some(dtype) if stored.is_float() => {
                Tensor::from_raw_buffer(bytes, dtype, &[shape.0, shape.1], &Device::Cpu)?
                    .to_dtype(DType::F32)
            }
            _ => candle_core::bail!("numbers stored as {stored} cannot be quantised"),
        },
    }
}

/// A matrix from its blocks' bytes.
pub(crate) fn in_blocks(
    bytes: &[u8],
    blocks: BlockType,
    shape: impl Into<candle_core::Shape>,
    device: &Device,
) -> Result<QTensor> {
    /// candle looks at the bytes as blocks, whose widest field is two bytes.
    const ALIGNED: usize = 2;
    if bytes.as_ptr().align_offset(ALIGNED) != 0 {
        candle_core::bail!("blocks at an odd place in memory");
    }
    let shape = shape.into();
    if bytes.len() as u64 != blocks.bytes(shape.elem_count() as u64) {
        candle_core::bail!("{} bytes are not {shape:?} in {}", bytes.len(), blocks.name());
    }
    QTensor::new(QStorage::from_data(Cow::Borrowed(bytes), device, blocks.ggml())?, shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_keep_their_values_or_are_refused() {
        let numbers = |values: &[f32]| -> Vec<u8> {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        let f32s = StoredType::Plain(StoredDtype::F32);
        let fits = numbers(&[1.5, -2.0, 0.1, 65504.0]);
        let to = |bytes: &[u8], plain| to_plain_bytes(bytes, f32s, 2, plain);
        assert_eq!(to(&fits, StoredDtype::F32).unwrap(), fits);
        let f16s = to(&fits, StoredDtype::F16).unwrap();
        let expected = [1.5, -2.0, 0.1, 65504.0].map(half::f16::from_f32);
        assert_eq!(f16s, expected.map(half::f16::to_le_bytes).concat());
        let back = to_plain_bytes(&f16s, StoredType::Plain(StoredDtype::F16), 2, StoredDtype::BF16);
        let expected = expected.map(|value| half::bf16::from_f32(value.to_f32()));
        assert_eq!(back.unwrap(), expected.map(half::bf16::to_le_bytes).concat());
        let large = numbers(&[1.0, 70000.0]);
        let refused = to(&large, StoredDtype::F16).unwrap_err().to_string();
        assert!(refused.contains("65504"), "{refused}");
        assert!(to(&large, StoredDtype::BF16).is_ok());
        assert!(to(&fits, StoredDtype::I64).is_err());
    }
}
