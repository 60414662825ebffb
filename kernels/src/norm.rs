//! Normalisation over the last dimension.

use candle_core::{Result, Tensor};

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
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.eps as f32)
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
        candle_nn::ops::layer_norm(&x.contiguous()?, &self.weight, &self.bias, self.eps as f32)
    }
}
