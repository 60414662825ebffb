//! The number formats that tensors are stored in.

use std::fmt;

use candle_core::DType;
use candle_core::quantized::GgmlDType;
use safetensors::Dtype;

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoredType {
    /// Each number by itself.
    Plain(Dtype),
    /// In blocks of some numbers along a row, with scales of their own.
    Blocks(BlockType),
}

impl From<BlockType> for StoredType {
    fn from(blocks: BlockType) -> Self {
        Self::Blocks(blocks)
    }
}

impl StoredType {
    /// Whether these are floating-point numbers that a model can compute with.
    pub fn is_float(self) -> bool {
        matches!(
            self,
            Self::Blocks(_) | Self::Plain(Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
        )
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(dtype) => dtype.fmt(f),
            Self::Blocks(blocks) => f.write_str(&blocks.name().to_uppercase()),
        }
    }
}

/// GGUF's formats of a few bits a number. Source: llama.cpp `ggml-common.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are GGUF's own")]
pub enum BlockType {
    Q2K,
    Q3K,
    Q4_0,
    Q4_1,
    Q4K,
    Q5_0,
    Q5_1,
    Q5K,
    Q6K,
    Q8_0,
}

impl BlockType {
    /// Every type, from the fewest bits up.
    pub const ALL: [Self; 10] = [
        Self::Q2K,
        Self::Q3K,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q4K,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q5K,
        Self::Q6K,
        Self::Q8_0,
    ];

    /// The name as users write it, such as `q4_k`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q2K => "q2_k",
            Self::Q3K => "q3_k",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q4K => "q4_k",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q5K => "q5_k",
            Self::Q6K => "q6_k",
            Self::Q8_0 => "q8_0",
        }
    }

    /// The type of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|blocks| blocks.name().eq_ignore_ascii_case(name))
    }

    /// Numbers in a block.
    pub fn block_size(self) -> usize {
        self.ggml().block_size()
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.ggml().type_size()
    }

    /// Bytes of `count` numbers in whole blocks.
    pub fn bytes(self, count: u64) -> u64 {
        count / self.block_size() as u64 * self.block_bytes() as u64
    }

    /// candle's name for it.
    pub fn ggml(self) -> GgmlDType {
        match self {
            Self::Q2K => GgmlDType::Q2K,
            Self::Q3K => GgmlDType::Q3K,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q5K => GgmlDType::Q5K,
            Self::Q6K => GgmlDType::Q6K,
            Self::Q8_0 => GgmlDType::Q8_0,
        }
    }
}

/// GGUF's number of each type that is read and written. Source: `enum ggml_type` of llama.cpp.
const GGUF_NUMBERS: &[(u32, StoredType)] = &[
    (0, StoredType::Plain(Dtype::F32)),
    (1, StoredType::Plain(Dtype::F16)),
    (2, StoredType::Blocks(BlockType::Q4_0)),
    (3, StoredType::Blocks(BlockType::Q4_1)),
    (6, StoredType::Blocks(BlockType::Q5_0)),
    (7, StoredType::Blocks(BlockType::Q5_1)),
    (8, StoredType::Blocks(BlockType::Q8_0)),
    (10, StoredType::Blocks(BlockType::Q2K)),
    (11, StoredType::Blocks(BlockType::Q3K)),
    (12, StoredType::Blocks(BlockType::Q4K)),
    (13, StoredType::Blocks(BlockType::Q5K)),
    (14, StoredType::Blocks(BlockType::Q6K)),
    (30, StoredType::Plain(Dtype::BF16)),
];

impl StoredType {
    /// The type that GGUF gives `number`, of those that can be read.
    pub(crate) fn from_gguf(number: u32) -> Option<Self> {
        GGUF_NUMBERS.iter().find(|(found, _)| *found == number).map(|(_, stored)| *stored)
    }

    /// GGUF's number for this type, of those that a GGUF file can hold.
    pub(crate) fn gguf_number(self) -> Option<u32> {
        GGUF_NUMBERS.iter().find(|(_, stored)| *stored == self).map(|(number, _)| *number)
    }

    /// Numbers in a block, and bytes of it; a plain number is a block by itself.
    pub(crate) fn block(self) -> (usize, usize) {
        match self {
            Self::Plain(dtype) => (1, dtype.bitsize().div_ceil(8)),
            Self::Blocks(blocks) => (blocks.block_size(), blocks.block_bytes()),
        }
    }

    /// candle's type for numbers that stand by themselves and can be computed with.
    pub(crate) fn dtype(self) -> Option<DType> {
        let Self::Plain(dtype) = self else { return None };
        match DType::try_from(dtype) {
            Ok(
                dtype @ (DType::F64
                | DType::F32
                | DType::F16
                | DType::BF16
                | DType::F8E4M3
                | DType::U8
                | DType::U32
                | DType::I16
                | DType::I32
                | DType::I64),
            ) => Some(dtype),
            // candle holds the remaining formats as bytes that no operation can compute with.
            _ => None,
        }
    }
}
