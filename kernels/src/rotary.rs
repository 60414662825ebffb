//! Rotary position embedding (Su et al. 2021, "RoFormer"), in the two layouts the family uses.

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
        let cos = angles.cos()?.to_dtype(dtype)?.contiguous()?;
        let sin = angles.sin()?.to_dtype(dtype)?.contiguous()?;
        Ok(Self { cos, sin, layout })
    }

    /// Turns the first `rotated` channels of each head of `x` `(heads, length, d)`; the others
    /// pass through. The result has the type of `x`.
    ///
    /// # Errors
    /// When the lengths differ, or a head has fewer channels than are to be turned.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, d) = x.dims3()?;
        let rotated = 2 * self.cos.dim(1)?;
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
}
