//! Keys and values as a cache keeps them.

#![allow(unsafe_code, reason = "halves become values in registers")]

use super::blocked::Kept;
use super::heads_of;
use crate::cpu::{Values, values_of};
use crate::simd::Lanes;
use candle_core::{DType, Result, Storage, Tensor};
use std::ops::Deref;

/// The code that stands for 0.
pub(super) const ZERO_CODE: u8 = 128;
/// How far from [`ZERO_CODE`] the code of a row's largest value is.
const LARGEST_CODE: f64 = 127.0;

/// Keys or values `(kv_heads, rows, d)`.
#[derive(Clone, Debug)]
pub enum KeptRows {
    /// As numbers of the queries' type, or of f16 beside queries in f32.
    Float(Tensor),
    /// `(code − 128) · scale`.
    Bytes {
        /// U8, `(kv_heads, rows, d)`.
        codes: Tensor,
        /// F32, `(kv_heads, rows, 1)`.
        scales: Tensor,
    },
}

impl KeptRows {
    /// Rounds rows `(kv_heads, rows, d)` to bytes, with a scale for each row of each head: a value
    /// is off by at most 1/254 of its row's largest.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn rounded(rows: &Tensor) -> Result<Self> {
        let rows = rows.to_dtype(DType::F32)?;
        let largest = rows.abs()?.max_keepdim(2)?; // (kv_heads, rows, 1)
        let scales = (largest / LARGEST_CODE)?.maximum(f32::MIN_POSITIVE)?;
        let codes = (rows.broadcast_div(&scales)?.round()? + f64::from(ZERO_CODE))?;
        Ok(Self::Bytes { codes: codes.to_dtype(DType::U8)?, scales })
    }

    /// The numbers, `(kv_heads, rows, d)`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn numbers(&self, dtype: DType) -> Result<Tensor> {
        match self {
            Self::Float(rows) => rows.to_dtype(dtype),
            Self::Bytes { codes, scales } => {
                let codes = (codes.to_dtype(DType::F32)? - f64::from(ZERO_CODE))?;
                codes.broadcast_mul(scales)?.to_dtype(dtype)
            }
        }
    }

    /// The same of each tensor that holds them: a part of the rows, or a copy.
    ///
    /// # Errors
    /// When `change` fails.
    pub fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(match self {
            Self::Float(rows) => Self::Float(change(rows)?),
            Self::Bytes { codes, scales } => {
                Self::Bytes { codes: change(codes)?, scales: change(scales)? }
            }
        })
    }

    /// Sizes of the heads, rows and channels.
    pub(super) fn dims(&self) -> &[usize] {
        match self {
            Self::Float(rows) => rows.dims(),
            Self::Bytes { codes, .. } => codes.dims(),
        }
    }

    /// Whether the channels of a row lie side by side, and each row of codes has its scale.
    pub(super) fn has_whole_rows(&self) -> bool {
        let side_by_side = |rows: &&Tensor| rows.stride().last() == Some(&1);
        let scaled = match self {
            Self::Float(_) => true,
            Self::Bytes { codes, scales } => {
                let [codes, scales] = [codes, scales].map(|rows| rows.dims());
                codes.get(..2) == scales.get(..2) && scales.get(2..) == Some(&[1])
            }
        };
        scaled && self.tensors().iter().all(side_by_side)
    }

    /// The tensors that hold them: numbers, or codes and scales.
    pub fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Self::Float(rows) => vec![rows],
            Self::Bytes { codes, scales } => vec![codes, scales],
        }
    }
}

/// The rows in memory, whose [`KeptRows::tensors`] are locked.
pub(super) fn kept<'a>(locked: &'a [Values<'_, impl Deref<Target = Storage>>]) -> Result<Kept<'a>> {
    match locked {
        [rows] if rows.dtype() == DType::F16 => Ok(Kept::Halves(heads_of(rows)?)),
        [rows] => Ok(Kept::Floats(heads_of(rows)?)),
        [codes, scales] => Ok(Kept::Bytes { codes: heads_of(codes)?, scales: heads_of(scales)? }),
        _ => candle_core::bail!("expected numbers, or codes and scales"),
    }
}

/// Locks the tensors of rows.
pub(super) fn lock(rows: &KeptRows) -> Vec<Values<'_, impl Deref<Target = Storage>>> {
    rows.tensors().into_iter().map(values_of).collect()
}

impl Kept<'_> {
    /// Row `row` of head `head`, where it lies or in `room`.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    #[inline(always)]
    pub(super) unsafe fn row<'b, L: Lanes>(
        &'b self,
        head: usize,
        row: usize,
        room: &'b mut [f32],
    ) -> &'b [f32] {
        if let Self::Floats(heads) = self {
            return heads.row(head, row, room.len());
        }
        // SAFETY: the caller's promise.
        unsafe { self.write_row::<L>(head, row, room) };
        room
    }

    /// Writes as many channels of row `row` of head `head` as there are places.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    #[inline(always)]
    pub(super) unsafe fn write_row<L: Lanes>(&self, head: usize, row: usize, to: &mut [f32]) {
        match self {
            Self::Floats(heads) => to.copy_from_slice(heads.row(head, row, to.len())),
            Self::Halves(heads) => {
                let halves = heads.row(head, row, to.len());
                let whole = halves.len() / L::COUNT * L::COUNT;
                let chunks = halves.chunks_exact(L::COUNT);
                for (to, halves) in to.chunks_exact_mut(L::COUNT).zip(chunks) {
                    // SAFETY: the caller's promise; there are as many values as a register has.
                    unsafe { L::load_halves(halves.as_ptr()).store(to.as_mut_ptr()) };
                }
                for (to, half) in to[whole..].iter_mut().zip(&halves[whole..]) {
                    *to = half.to_f32();
                }
            }
            Self::Bytes { codes, scales } => {
                let scale = scales.row(head, row, 1)[0];
                let codes = codes.row(head, row, to.len());
                for (to, code) in to.iter_mut().zip(codes) {
                    *to = (f32::from(*code) - f32::from(ZERO_CODE)) * scale;
                }
            }
        }
    }
}
