//! Hyper-connections: the residual runs in several streams, which each block reads as one and
//! writes back to all.
//!
//! Source: transformers `Glm5NextTextHyperConnection`; "mHC: Manifold-Constrained
//! Hyper-Connections" (Xie et al. 2026).

use super::config::StreamsConfig;
use crate::LanguageError;
use crate::decoder::DecoderConfig;
use candle_core::{DType, Result, Tensor};
use glm4v_kernels::{Linear, RmsNorm};
use glm4v_weights::Weights;

/// The weights of collapse, expansion and mixing, computed from the streams of each row.
#[derive(Debug)]
pub(super) struct HyperConnection {
    config: StreamsConfig,
    norm: RmsNorm,
    projection: Linear,
    base: Vec<f32>,
    scale: Vec<f32>,
}

/// How a block's output goes back into the streams.
pub(super) struct Expansion {
    /// The share of the output in each stream, `(length, streams, 1)`.
    post: Tensor,
    /// The share of each old stream, the second, in each new one, `(length, streams, streams)`.
    mixing: Tensor,
}

impl HyperConnection {
    /// Reads `{name}_fn`, `{name}_base` and `{name}_scale`, all in f32.
    pub(super) fn load(
        config: &DecoderConfig,
        streams: &StreamsConfig,
        name: &str,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let n = streams.count;
        let (outputs, width) = ((2 + n) * n, n * config.hidden_size);
        let tensor = |part: &str, shape: &[usize]| {
            weights.tensor_as(&format!("{name}_{part}"), shape, DType::F32)
        };
        let ones = Tensor::ones(width, DType::F32, weights.device())?;
        Ok(Self {
            config: streams.clone(),
            norm: RmsNorm::new(ones, config.norm_eps),
            projection: Linear::new(tensor("fn", &[outputs, width])?, None),
            base: tensor("base", &[outputs])?.to_vec1()?,
            scale: tensor("scale", &[3])?.to_vec1()?,
        })
    }

    /// Streams `(length, streams, hidden)` to the block's input `(length, hidden)`, and what its
    /// output needs to go back.
    pub(super) fn collapse(&self, streams: &Tensor) -> Result<(Tensor, Expansion)> {
        let (length, n, hidden) = streams.dims3()?;
        let flat = streams.reshape((length, n * hidden))?.to_dtype(DType::F32)?;
        let projected = self.projection.forward(&self.norm.forward(&flat)?)?; // (length, (2 + n) · n)
        let rows: Vec<Vec<f32>> = projected.to_vec2()?;
        let shares: Vec<_> = rows.iter().map(|row| self.shares(row)).collect();
        let tensor = |part: fn(&Shares) -> &Vec<f32>, shape: (usize, usize, usize)| {
            let values: Vec<f32> = shares.iter().flat_map(part).copied().collect();
            Tensor::from_vec(values, shape, streams.device())?.to_dtype(streams.dtype())
        };
        let pre = tensor(|shares| &shares.pre, (length, 1, n))?;
        let expansion = Expansion {
            post: tensor(|shares| &shares.post, (length, n, 1))?,
            mixing: tensor(|shares| &shares.mixing, (length, n, n))?,
        };
        Ok((pre.matmul(streams)?.squeeze(1)?, expansion))
    }

    /// `pre = σ(w·s + b) + ε`, `post = 2 σ(w·s + b)`, and a matrix whose rows and columns sum to 1.
    fn shares(&self, projected: &[f32]) -> Shares {
        let (n, eps) = (self.config.count, self.config.eps as f32);
        let scaled: Vec<f32> = projected
            .iter()
            .zip(&self.base)
            .enumerate()
            .map(|(i, (w, base))| {
                let part = (i / n).min(2); // pre, post, and all rows of the matrix
                w * self.scale.get(part).copied().unwrap_or_default() + base
            })
            .collect();
        let (pre, rest) = scaled.split_at(n.min(scaled.len()));
        let (post, matrix) = rest.split_at(n.min(rest.len()));
        Shares {
            pre: pre.iter().map(|&x| sigmoid(x) + eps).collect(),
            post: post.iter().map(|&x| 2.0 * sigmoid(x)).collect(),
            mixing: self.doubly_stochastic(matrix),
        }
    }

    /// Sinkhorn-Knopp over the softmax of each row of `logits` `(streams · streams)`: columns and
    /// rows are divided by their sums in turn. Returns the transpose.
    fn doubly_stochastic(&self, logits: &[f32]) -> Vec<f32> {
        let (n, eps) = (self.config.count, self.config.eps as f32);
        let mut rows: Vec<Vec<f32>> = logits
            .chunks(n)
            .map(|row| softmax(row).into_iter().map(|share| share + eps).collect())
            .collect();
        let divided = |row: &Vec<f32>| -> Vec<f32> {
            let sum = row.iter().sum::<f32>() + eps;
            row.iter().map(|share| share / sum).collect()
        };
        for iteration in 0..self.config.iterations {
            if iteration > 0 {
                rows = rows.iter().map(divided).collect();
            }
            rows = transposed(&transposed(&rows).iter().map(divided).collect::<Vec<_>>());
        }
        transposed(&rows).concat()
    }
}

impl Expansion {
    /// `post ⊗ y + mixing · streams`: the block's output `y` `(length, hidden)` and the streams before
    /// it `(length, streams, hidden)` to those after it.
    pub(super) fn expand(&self, y: &Tensor, streams: &Tensor) -> Result<Tensor> {
        self.post.matmul(&y.unsqueeze(1)?)? + self.mixing.matmul(streams)?
    }
}

/// One row's weights.
struct Shares {
    pre: Vec<f32>,
    post: Vec<f32>,
    /// Row after row, one a new stream.
    mixing: Vec<f32>,
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn transposed(rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let columns = rows.first().map_or(0, Vec::len);
    (0..columns).map(|i| rows.iter().filter_map(|row| row.get(i)).copied().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn rows_and_columns_of_the_mixing_sum_to_one() {
        let connection = HyperConnection {
            config: StreamsConfig { count: 3, eps: 1e-6, iterations: 20 },
            norm: RmsNorm::new(Tensor::ones(3, DType::F32, &Device::Cpu).unwrap(), 1e-5),
            projection: Linear::new(
                Tensor::zeros((15, 3), DType::F32, &Device::Cpu).unwrap(),
                None,
            ),
            base: vec![0.0; 15],
            scale: vec![1.0; 3],
        };
        let logits = [0.3, -1.0, 2.0, 0.1, 0.5, -0.4, 1.5, 0.0, -2.0];
        let mixing = connection.doubly_stochastic(&logits);
        for i in 0..3 {
            let row: f32 = mixing.iter().skip(3 * i).take(3).sum();
            let column: f32 = mixing.iter().skip(i).step_by(3).sum();
            assert!((row - 1.0).abs() < 1e-3 && (column - 1.0).abs() < 1e-3, "{mixing:?}");
        }
    }
}
