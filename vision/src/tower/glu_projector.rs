//! The gated projector that both towers end in.

use super::in_chunks;
use candle_core::{Result, Tensor};
use glm4v_kernels::{GatedLinear, LayerNorm, Linear, gelu};

/// `h = gelu(LayerNorm(proj(x))); down(SiLU(gate(h)) · up(h))`, with the exact GELU; gate
/// and up are cut at a limit where the model has one.
#[derive(Debug)]
pub(super) struct GluProjector {
    pub(super) proj: Linear,
    pub(super) norm: LayerNorm,
    pub(super) inner: GatedLinear,
    pub(super) down: Linear,
}

/// `nn.LayerNorm`'s default: neither projector takes its epsilon from the config.
pub(super) const NORM_EPS: f64 = 1e-5;

impl GluProjector {
    /// Rows `(tokens, in)` to visual tokens `(tokens, hidden)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let h = gelu(&self.norm.forward(&self.proj.forward(x)?)?)?; // (tokens, hidden)
        in_chunks(&h, |h| self.down.forward(&self.inner.forward(h)?))
    }
}
