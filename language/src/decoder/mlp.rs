//! The decoder's gated MLP.

use super::names::{GateUpNames, MlpNames};
use crate::LanguageError;
use candle_core::{Result, Tensor};
use glm4v_kernels::{GatedLinear, Linear};
use glm4v_weights::Weights;

/// `down(SiLU(gate) · up)`, gate and up cut at a limit where the model has one. They are kept as one
/// projection, gate first.
#[derive(Debug)]
pub(super) struct Mlp {
    inner: GatedLinear,
    down: Linear,
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
        let gated = match names.gate_up {
            GateUpNames::Fused(name) => {
                GatedLinear::new(projection(name, 2 * inner, hidden)?, limit)
            }
            GateUpNames::Split([gate, up]) => {
                let [gate, up] = [projection(gate, inner, hidden)?, projection(up, inner, hidden)?];
                GatedLinear::of_two(gate, up, limit)?
            }
        };
        Ok(Self { inner: gated, down: projection(names.down, hidden, inner)? })
    }

    /// `x` `(length, hidden)` to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&self.inner.forward(x)?)
    }

    /// [`Self::forward`] on top of `residual`.
    pub(super) fn forward_onto(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        self.down.forward_onto(residual, &self.inner.forward(x)?)
    }
}
