//! Normalisation over the last dimension.

#![allow(unsafe_code, reason = "the loops work on registers")]

use crate::cpu::values_of;
use crate::elementwise::add;
use crate::rows::{filled, lock, readable, rows_of};
use crate::simd::{Lanes, MOST_LANES, Task, run};
use candle_core::{DType, Result, Tensor};

/// RMSNorm: `x · rsqrt(mean(x²) + eps) · w`, the mean taken in f32, no bias.
///
/// Source: Zhang & Sennrich 2019, "Root Mean Square Layer Normalization".
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Takes the weight `(width)` and the `eps` of the checkpoint's config.
    pub fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// Normalises the last dimension of `x`, which must be `width` wide; the shape stays.
    ///
    /// # Errors
    /// When the widths or types differ.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match readable(x)? {
            Some(x) => normalise(&x, &self.weight, None, self.eps, None),
            None => candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.eps as f32),
        }?
        .reshape(x.shape())
    }

    /// The weight as [`normalise_row`] takes it, for rows so wide.
    ///
    /// # Errors
    /// When the width is another.
    pub(crate) fn weight_of(&self, width: usize) -> Result<Tensor> {
        of_width(&self.weight, width)
    }

    pub(crate) fn eps(&self) -> f64 {
        self.eps
    }

    /// `residual`, of the shape of `x`, and on it what [`Self::forward`] gives.
    ///
    /// # Errors
    /// When shapes or types differ.
    pub fn forward_onto(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        match both_readable(residual, x)? {
            Some((residual, x)) => normalise(&x, &self.weight, None, self.eps, Some(&residual)),
            None => add(residual, &self.forward(x)?),
        }
    }
}

/// LayerNorm with weight and bias, mean and variance taken in f32.
///
/// Source: Ba et al. 2016, "Layer Normalization".
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Takes weight and bias, both `(width)`, and the `eps` of the checkpoint's config.
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> Self {
        Self { weight, bias, eps }
    }

    /// Normalises the last dimension of `x`, which must be `width` wide; the shape stays.
    ///
    /// # Errors
    /// When the widths or types differ.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Self { weight, bias, eps } = self;
        match readable(x)? {
            Some(x) => normalise(&x, weight, Some(bias), *eps, None),
            None => candle_nn::ops::layer_norm(&x.contiguous()?, weight, bias, *eps as f32),
        }?
        .reshape(x.shape())
    }

    /// `residual`, of the shape of `x`, and on it what [`Self::forward`] gives.
    ///
    /// # Errors
    /// When shapes or types differ.
    pub fn forward_onto(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        let Self { weight, bias, eps } = self;
        match both_readable(residual, x)? {
            Some((residual, x)) => normalise(&x, weight, Some(bias), *eps, Some(&residual)),
            None => add(residual, &self.forward(x)?),
        }
    }
}

/// Two tensors of one shape `(rows, width)`, where both can be read.
fn both_readable(a: &Tensor, b: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
    let fit = a.rank() == 2 && a.dims() == b.dims();
    Ok(if fit { readable(a)?.zip(readable(b)?) } else { None })
}

/// A weight or bias in f32, its values side by side, for rows so wide.
fn of_width(weight: &Tensor, width: usize) -> Result<Tensor> {
    if weight.dims() != [width] {
        candle_core::bail!("a norm over {:?} cannot take rows of {width}", weight.dims());
    }
    weight.to_dtype(DType::F32)?.contiguous()
}

/// Normalises the rows of a readable tensor; with a bias, about their mean. A `residual` of the same
/// shape is added.
fn normalise(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    eps: f64,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let width = x.dims().last().copied().unwrap_or_default();
    let weight = of_width(weight, width)?;
    let bias = bias.map(|bias| of_width(bias, width)).transpose()?;
    let (weight, bias) = (values_of(&weight), bias.as_ref().map(values_of));
    let weight = weight.since_first()?;
    let bias = bias.as_ref().map(|bias| bias.since_first()).transpose()?;
    let values = lock(x);
    let rows = rows_of(x, &values)?;
    let added = residual.map(lock);
    let added = residual.zip(added.as_ref()).map(|(x, values)| rows_of(x, values)).transpose()?;
    filled(x.dims(), |row, to| {
        rows.ask_after(row);
        run(Normalise { row: rows.get(row), weight, bias, eps: eps as f32, to });
        if let Some(added) = added {
            to.iter_mut().zip(added.get(row)).for_each(|(to, x)| *to += x);
        }
    })
}

/// [`RmsNorm`] of one row.
pub(crate) fn normalise_row(row: &[f32], weight: &[f32], eps: f64, to: &mut [f32]) {
    run(Normalise { row, weight, bias: None, eps: eps as f32, to });
}

/// One row.
struct Normalise<'a> {
    row: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    eps: f32,
    to: &'a mut [f32],
}

impl Task for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { row, weight, bias, eps, to } = self;
        let width = row.len() as f32;
        let mut mean = 0.0;
        if bias.is_some() {
            // SAFETY: the caller's promise.
            mean = unsafe { sum_of_powers::<L>(row, 0.0, 1) } / width;
        }
        // SAFETY: the caller's promise.
        let squares = unsafe { sum_of_powers::<L>(row, mean, 2) };
        let scale = 1.0 / (squares / width + eps).sqrt();
        match bias {
            Some(bias) => {
                for (((to, x), weight), bias) in to.iter_mut().zip(row).zip(weight).zip(bias) {
                    *to = (x - mean) * scale * weight + bias;
                }
            }
            None => {
                for ((to, x), weight) in to.iter_mut().zip(row).zip(weight) {
                    *to = x * scale * weight;
                }
            }
        }
    }
}

/// The sum of `(x − mean)^power` for a power of 1 or 2.
///
/// # Safety
/// As for all of [`Lanes`].
#[inline(always)]
unsafe fn sum_of_powers<L: Lanes>(row: &[f32], mean: f32, power: usize) -> f32 {
    let whole = row.len() - row.len() % L::COUNT;
    let mut rest = [mean; MOST_LANES]; // what stands for nothing adds nothing
    rest[..row.len() - whole].copy_from_slice(&row[whole..]);
    // SAFETY: the caller's promise; `whole` is a multiple of the register's values, and `rest` has
    // room for the widest register.
    unsafe {
        let centre = L::splat(mean);
        let term = L::load(rest.as_ptr()).sub(centre);
        let mut sums = [if power == 2 { term.mul(term) } else { term }, L::splat(0.0)];
        for (i, start) in (0..whole).step_by(L::COUNT).enumerate() {
            let term = L::load(row.as_ptr().add(start)).sub(centre);
            let sum = &mut sums[i % 2];
            *sum = if power == 2 { term.mul_add(term, *sum) } else { sum.add(term) };
        }
        sums[0].add(sums[1]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, run_at};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_kind_of_register_gives_the_same(
            row in prop::collection::vec(-4f32..4.0, 1..300), centred in any::<bool>(),
        ) {
            let weight: Vec<f32> = row.iter().map(|x| x * 0.3 + 1.0).collect();
            let bias = centred.then_some(weight.as_slice());
            let at = |level| {
                let mut to = vec![f32::NAN; row.len()];
                run_at(level, Normalise { row: &row, weight: &weight, bias, eps: 1e-5, to: &mut to });
                to
            };
            let wanted = at(Level::Plain);
            for level in Level::available() {
                for (found, wanted) in at(level).iter().zip(&wanted) {
                    prop_assert!((found - wanted).abs() < 1e-4 * wanted.abs().max(1.0), "{:?}", level);
                }
            }
        }
    }
}
