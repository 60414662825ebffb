//! Rotary position embedding (Su et al. 2021, "RoFormer"), in the two layouts the family uses.

#![allow(unsafe_code, reason = "the loops are compiled for the registers at hand")]

use crate::cpu::{is_f32_on_cpu, values_of};
use crate::rows::{filled, lock, readable, rows_of};
use crate::simd::{Lanes, Task, run};
use candle_core::{DType, Result, Tensor};

/// Which two channels of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryLayout {
    /// Channels `2i` and `2i + 1`.
    Interleaved,
    /// Channels `i` and `i + rotated / 2`.
    HalfSplit,
}

/// The cosines and sines of one sequence, and how they turn a head's channels.
#[derive(Clone, Debug)]
pub struct RotaryTable {
    cos: Tensor,
    sin: Tensor,
    layout: RotaryLayout,
}

impl RotaryTable {
    /// Takes f32 angles `(length, rotated / 2)`; cosine and sine are taken in f32, then cast to
    /// `dtype`, the type that the rotation is computed in.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn new(angles: &Tensor, layout: RotaryLayout, dtype: DType) -> Result<Self> {
        Self::scaled(angles, layout, dtype, 1.0)
    }

    /// Like [`Self::new`], with cosines and sines multiplied by `scale` in f32, as YaRN does.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn scaled(angles: &Tensor, layout: RotaryLayout, dtype: DType, scale: f64) -> Result<Self> {
        let of = |values: Tensor| -> Result<Tensor> {
            let values = if scale == 1.0 { values } else { (values * scale)? };
            values.to_dtype(dtype)?.contiguous()
        };
        Ok(Self { cos: of(angles.cos()?)?, sin: of(angles.sin()?)?, layout })
    }

    /// Turns the first `rotated` channels of each head of `x` `(heads, length, d)`; the others
    /// pass through. The result has the type of `x`.
    ///
    /// # Errors
    /// When the lengths differ, or a head has fewer channels than are to be turned.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (_, length, d) = x.dims3()?;
        let rotated = 2 * self.cos.dim(1)?;
        if self.cos.dim(0)? != length || rotated > d {
            let (table, found) = (self.cos.dims(), x.dims());
            candle_core::bail!("angles {table:?} don't fit heads {found:?}");
        }
        if let (Some(x), true) = (readable(x)?, is_f32_on_cpu(&self.cos)) {
            return self.apply_on_cpu(&x);
        }
        let turned = self.turn(&x.narrow(2, 0, rotated)?)?;
        if rotated == d {
            return Ok(turned);
        }
        Tensor::cat(&[&turned, &x.narrow(2, rotated, d - rotated)?], 2)
    }

    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let computed_in = self.cos.dtype();
        let rows = x.to_dtype(computed_in)?.contiguous()?.unsqueeze(0)?; // (1, heads, length, rotated)
        let turned = match self.layout {
            RotaryLayout::Interleaved => {
                candle_nn::rotary_emb::rope_i(&rows, &self.cos, &self.sin)?
            }
            RotaryLayout::HalfSplit => candle_nn::rotary_emb::rope(&rows, &self.cos, &self.sin)?,
        };
        turned.squeeze(0)?.to_dtype(x.dtype())
    }

    fn apply_on_cpu(&self, x: &Tensor) -> Result<Tensor> {
        let pairs = self.cos.dim(1)?;
        let (cos, sin) = (values_of(&self.cos), values_of(&self.sin));
        let (cos, sin) = (cos.since_first()?, sin.since_first()?);
        let values = lock(x);
        let rows = rows_of(x, &values)?;
        filled(x.dims(), |row, to| {
            let angles = rows.in_group(row) * pairs..(rows.in_group(row) + 1) * pairs;
            let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
            run(Turn { row: rows.get(row), cos, sin, layout: self.layout, to });
        })
    }
}

/// One row of one head.
struct Turn<'a> {
    row: &'a [f32],
    cos: &'a [f32],
    sin: &'a [f32],
    layout: RotaryLayout,
    to: &'a mut [f32],
}

impl Task for Turn<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let pairs = self.cos.len();
        let (row, rest) = self.row.split_at(2 * pairs);
        let (to, to_rest) = self.to.split_at_mut(2 * pairs);
        to_rest.copy_from_slice(rest);
        let angles = self.cos.iter().zip(self.sin);
        match self.layout {
            RotaryLayout::Interleaved => {
                let pairs = row.as_chunks::<2>().0.iter().zip(to.as_chunks_mut::<2>().0);
                for (([a, b], to), (cos, sin)) in pairs.zip(angles) {
                    *to = [a * cos - b * sin, b * cos + a * sin];
                }
            }
            RotaryLayout::HalfSplit => {
                let ((a, b), (to_a, to_b)) = (row.split_at(pairs), to.split_at_mut(pairs));
                let pairs = a.iter().zip(b).zip(to_a.iter_mut().zip(to_b));
                for (((a, b), (to_a, to_b)), (cos, sin)) in pairs.zip(angles) {
                    (*to_a, *to_b) = (a * cos - b * sin, b * cos + a * sin);
                }
            }
        }
    }
}
