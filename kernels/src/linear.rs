//! Fully connected layers.

use candle_core::{Result, Tensor};

/// `y = x Wᵀ + b` with `W` stored `(out, in)`, as checkpoints store it.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Takes a weight `(out, in)` and, if the layer has one, a bias `(out)`.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// Stacks layers that read the same input into one whose output is theirs side by side.
    ///
    /// # Errors
    /// When the layers' input widths differ, or only some of them have a bias.
    pub fn stacked(layers: &[Linear]) -> Result<Self> {
        let weights: Vec<_> = layers.iter().map(|layer| &layer.weight).collect();
        let biases: Vec<_> = layers.iter().filter_map(|layer| layer.bias.as_ref()).collect();
        if !biases.is_empty() && biases.len() != layers.len() {
            candle_core::bail!("stacked layers must all have a bias, or none");
        }
        let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
        Ok(Self { weight: Tensor::cat(&weights, 0)?, bias })
    }

    /// Maps rows `(n, in)` to rows `(n, out)`.
    ///
    /// # Errors
    /// When the rows are not `in` wide, or types or devices differ.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?; // (n, out)
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}
