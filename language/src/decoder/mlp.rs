//! The decoder's gated MLP.

use super::{DecoderConfig, TensorNames};
use candle_core::{Result, Tensor};
use glm4v_kernels::Linear;
use glm4v_weights::{Weights, WeightsError};

/// `down(SiLU(gate) · up)`, where `gate` is the first half of one fused projection.
#[derive(Debug)]
pub(super) struct Mlp {
    gate_up: Linear,
    down: Linear,
}

impl Mlp {
    pub(super) fn load(
        config: &DecoderConfig,
        names: &TensorNames,
        weights: &Weights,
    ) -> std::result::Result<Self, WeightsError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let gate_up = weights.pp(names.gate_up).tensor("weight", (2 * inner, hidden))?;
        let down = weights.pp(names.down).tensor("weight", (hidden, inner))?;
        Ok(Self { gate_up: Linear::new(gate_up, None), down: Linear::new(down, None) })
    }

    /// `x` `(length, hidden)` to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let halves = self.gate_up.forward(x)?.chunk(2, 1)?; // 2 × (length, inner)
        let [gate, up] = halves.as_slice() else {
            candle_core::bail!("the fused gate and up projection has an odd width");
        };
        self.down.forward(&(gate.silu()? * up)?)
    }
}
