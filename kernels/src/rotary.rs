//! Rotary position embedding (Su et al. 2021, "RoFormer"), in the two layouts the family uses.

#![allow(unsafe_code, reason = "the loops are compiled for the registers at hand")]

use crate::cpu::{is_f32_on_cpu, values_of};
use crate::norm::{RmsNorm, normalise_row};
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
        let rotated = self.fit(x)?;
        if let (Some(x), true) = (readable(x)?, is_f32_on_cpu(&self.cos)) {
            return self.apply_on_cpu(None, &x);
        }
        let turned = self.turn(&x.narrow(2, 0, rotated)?)?;
        let d = x.dim(2)?;
        if rotated == d {
            return Ok(turned);
        }
        Tensor::cat(&[&turned, &x.narrow(2, rotated, d - rotated)?], 2)
    }

    /// [`Self::apply`] to what `norm`, over `d` channels, makes of each row of `x` `(heads, length, d)`,
    /// at once. The result has the shape and type of `x`.
    ///
    /// # Errors
    /// As [`Self::apply`], and when the norm is not over a head's channels.
    pub fn apply_to_normed(&self, norm: &RmsNorm, x: &Tensor) -> Result<Tensor> {
        self.fit(x)?;
        match (readable(x)?, is_f32_on_cpu(&self.cos)) {
            (Some(x), true) => self.apply_on_cpu(Some(norm), &x),
            _ => self.apply(&norm.forward(x)?),
        }
    }

    /// Channels that are turned of heads `(heads, length, d)`.
    fn fit(&self, x: &Tensor) -> Result<usize> {
        let (_, length, d) = x.dims3()?;
        let rotated = 2 * self.cos.dim(1)?;
        if self.cos.dim(0)? != length || rotated > d {
            let (table, found) = (self.cos.dims(), x.dims());
            candle_core::bail!("angles {table:?} don't fit heads {found:?}");
        }
        Ok(rotated)
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

    fn apply_on_cpu(&self, norm: Option<&RmsNorm>, x: &Tensor) -> Result<Tensor> {
        let pairs = self.cos.dim(1)?;
        let (cos, sin) = (values_of(&self.cos), values_of(&self.sin));
        let (cos, sin) = (cos.since_first()?, sin.since_first()?);
        let weight = norm.map(|norm| norm.weight_of(x.dim(2)?)).transpose()?;
        let weight = weight.as_ref().map(values_of);
        let weight = weight.as_ref().map(|values| values.since_first()).transpose()?;
        let norm = weight.zip(norm.map(RmsNorm::eps));
        let values = lock(x);
        let rows = rows_of(x, &values)?;
        filled(x.dims(), |row, to| {
            rows.ask_after(row);
            match norm {
                Some((weight, eps)) => normalise_row(rows.get(row), weight, eps, to),
                None => to.copy_from_slice(rows.get(row)),
            }
            let angles = rows.in_group(row) * pairs..(rows.in_group(row) + 1) * pairs;
            let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
            run(Turn { row: to, cos, sin, layout: self.layout });
        })
    }
}

/// One row of one head, turned where it lies.
struct Turn<'a> {
    row: &'a mut [f32],
    cos: &'a [f32],
    sin: &'a [f32],
    layout: RotaryLayout,
}

impl Task for Turn<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let pairs = self.cos.len();
        let row = &mut self.row[..2 * pairs];
        let angles = self.cos.iter().zip(self.sin);
        match self.layout {
            RotaryLayout::Interleaved => {
                for ([a, b], (cos, sin)) in row.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
            RotaryLayout::HalfSplit => {
                let (a, b) = row.split_at_mut(pairs);
                for ((a, b), (cos, sin)) in a.iter_mut().zip(b).zip(angles) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }
}
