//! The decoder's gated MLP.

use super::names::{GateUpNames, MlpNames};
use crate::LanguageError;
use candle_core::{Result, Tensor};
use glm4v_kernels::{Linear, clamped_silu_times};
use glm4v_weights::Weights;

/// `down(SiLU(gate) · up)`, gate and up cut at a limit where the model has one. They are kept as one
/// projection, gate first.
#[derive(Debug)]
pub(super) struct Mlp {
    gate_up: Linear,
    down: Linear,
    limit: Option<f64>,
}

impl Mlp {
    /// Reads an MLP from rows of width `hidden` over `inner` and back.
    pub(super) fn load(
        (hidden, inner): (usize, usize),
        limit: Option<f64>,
        names: MlpNames,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let projection = |name: &str, out: usize, width: usize| {
            Ok::<_, LanguageError>(weights.pp(name).linear(width, out, false)?)
        };
        let gate_up = match names.gate_up {
            GateUpNames::Fused(name) => projection(name, 2 * inner, hidden)?,
            GateUpNames::Split([gate, up]) => {
                let both = [projection(gate, inner, hidden)?, projection(up, inner, hidden)?];
                Linear::stacked(&both)?
            }
        };
        Ok(Self { gate_up, down: projection(names.down, hidden, inner)?, limit })
    }

    /// `x` `(length, hidden)` to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let halves = self.gate_up.forward(x)?.chunk(2, 1)?; // 2 × (length, inner)
        let [gate, up] = halves.as_slice() else {
            candle_core::bail!("the fused gate and up projection has an odd width");
        };
        self.down.forward(&clamped_silu_times(gate, up, self.limit)?)
    }
}
