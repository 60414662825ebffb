//! Fully connected layers.

use candle_core::quantized::QTensor;
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// `y = x Wᵀ + b` with `W` stored `(out, in)`, as checkpoints store it.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Weights whose outputs stand side by side; all are `in` wide.
    parts: Vec<Weight>,
    bias: Option<Tensor>,
}

/// A matrix `(out, in)`.
#[derive(Clone, Debug)]
enum Weight {
    /// Numbers of the type that the layer computes in.
    Dense(Tensor),
    /// Blocks of a few bits a number, in GGUF's formats.
    Quantised(Arc<QTensor>),
}

impl Linear {
    /// Takes a weight `(out, in)` and, if the layer has one, a bias `(out)`.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { parts: vec![Weight::Dense(weight)], bias }
    }

    /// Takes a weight `(out, in)` in blocks and, if the layer has one, a bias `(out)`.
    pub fn quantised(weight: Arc<QTensor>, bias: Option<Tensor>) -> Self {
        Self { parts: vec![Weight::Quantised(weight)], bias }
    }

    /// Stacks layers that read the same input into one whose output is theirs side by side.
    ///
    /// # Errors
    /// When the layers' input widths differ, or only some of them have a bias.
    pub fn stacked(layers: &[Linear]) -> Result<Self> {
        let biases: Vec<_> = layers.iter().filter_map(|layer| layer.bias.as_ref()).collect();
        if !biases.is_empty() && biases.len() != layers.len() {
            candle_core::bail!("stacked layers must all have a bias, or none");
        }
        let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
        let parts: Vec<_> = layers.iter().flat_map(|layer| layer.parts.clone()).collect();
        let dense: Vec<_> = parts.iter().filter_map(Weight::dense).collect();
        if dense.len() == parts.len() {
            return Ok(Self::new(Tensor::cat(&dense, 0)?, bias));
        }
        Ok(Self { parts, bias })
    }

    /// Maps rows `(n, in)` to rows `(n, out)`.
    ///
    /// # Errors
    /// When the rows are not `in` wide, or types or devices differ.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match self.parts.as_slice() {
            [weight] => weight.forward(x)?, // (n, out)
            parts => {
                let outputs = parts.iter().map(|weight| weight.forward(x));
                Tensor::cat(&outputs.collect::<Result<Vec<_>>>()?, 1)?
            }
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

impl Weight {
    fn dense(&self) -> Option<&Tensor> {
        match self {
            Self::Dense(weight) => Some(weight),
            Self::Quantised(_) => None,
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) => x.matmul(&weight.t()?),
            // Each row of x is rounded to 8 bits a number first, as in llama.cpp.
            Self::Quantised(weight) => x.contiguous()?.apply_op1_no_bwd(weight.as_ref()),
        }
    }
}
