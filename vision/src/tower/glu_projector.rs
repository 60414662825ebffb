//! The gated projector that both towers end in.

use super::in_chunks;
use candle_core::{Result, Tensor};
use glm4v_kernels::{LayerNorm, Linear, clamped_silu_times, gelu};

/// `h = gelu(LayerNorm(proj(x))); down(SiLU(gate(h)) · up(h))`, with the exact GELU; gate
/// and up are cut at a limit where the model has one.
#[derive(Debug)]
pub(super) struct GluProjector {
    pub(super) proj: Linear,
    pub(super) norm: LayerNorm,
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) limit: Option<f64>,
}

/// `nn.LayerNorm`'s default: neither projector takes its epsilon from the config.
pub(super) const NORM_EPS: f64 = 1e-5;

impl GluProjector {
    /// Rows `(tokens, in)` to visual tokens `(tokens, hidden)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let h = gelu(&self.norm.forward(&self.proj.forward(x)?)?)?; // (tokens, hidden)
        in_chunks(&h, |h| {
            let (gate, up) = (self.gate.forward(h)?, self.up.forward(h)?); // 2 × (rows, inner)
            let inner = clamped_silu_times(&gate, &up, self.limit)?;
            self.down.forward(&inner)
        })
    }
}
