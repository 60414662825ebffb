//! KDA: linear attention by the gated delta rule, with a decay for every channel.
//!
//! Source: transformers `Glm5NextTextLinearAttention`, `Glm5NextTextForgetGate`; "Kimi Linear"
//! (Moonshot 2025).

use super::config::LinearAttentionConfig;
use super::state::{RecurrentState, or_zeros};
use crate::LanguageError;
use crate::decoder::DecoderConfig;
use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops::sigmoid;
use glm4v_kernels::{DeltaInputs, Linear, RmsNorm, delta_rule};
use glm4v_weights::Weights;

/// Added to the square of a query's or key's length before it is divided by.
const LENGTH_EPS: f64 = 1e-6;
/// Above this, softplus is what it is given.
const SOFTPLUS_LINEAR: f64 = 20.0;

/// Queries, keys and values through a short causal convolution, then the delta rule, a norm and a
/// gate.
#[derive(Debug)]
pub(super) struct LinearAttention {
    config: LinearAttentionConfig,
    qkv: Linear,
    /// What the convolution multiplies each row of its window by, oldest first,
    /// `(kernel, 3 · heads · d)`.
    taps: Tensor,
    forget: ForgetGate,
    beta: Linear,
    gate: LowRank,
    norm: RmsNorm,
    output: Linear,
}

/// Two projections with a narrow row between them.
#[derive(Debug)]
struct LowRank {
    down: Linear,
    up: Linear,
}

/// What the memory's channels are multiplied by at each row.
#[derive(Debug)]
struct ForgetGate {
    projection: LowRank,
    /// `(heads, d)`.
    bias: Tensor,
    /// `e^A`, `(heads, 1)`.
    rate: Tensor,
    lower_bound: Option<f64>,
}

impl LinearAttention {
    /// Reads the tensors right below `weights`, a layer's `self_attn`.
    pub(super) fn load(
        config: &DecoderConfig,
        linear: &LinearAttentionConfig,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let (hidden, width) = (config.hidden_size, linear.heads * linear.head_dim);
        let projection = |name: &str, input: usize, out: usize| {
            Ok::<_, LanguageError>(weights.pp(name).linear(input, out, false)?)
        };
        let taps = |name: &str| -> std::result::Result<_, LanguageError> {
            let kernel = (width, 1, linear.kernel);
            let taps = weights.pp(name).tensor_as("weight", kernel, DType::F32)?;
            Ok(taps.squeeze(1)?.t()?)
        };
        let low_rank = |name: &str| -> std::result::Result<_, LanguageError> {
            let down = projection(&format!("{name}_a_proj"), hidden, linear.head_dim)?;
            let up = projection(&format!("{name}_b_proj"), linear.head_dim, width)?;
            Ok(LowRank { down, up })
        };
        let norm = weights.pp("o_norm").tensor_as("weight", linear.head_dim, DType::F32)?;
        let bias = weights.tensor_as("dt_bias", width, DType::F32)?;
        let rate = weights.tensor_as("A_log", linear.heads, DType::F32)?.exp()?;
        Ok(Self {
            config: linear.clone(),
            qkv: Linear::stacked(&[
                projection("q_proj", hidden, width)?,
                projection("k_proj", hidden, width)?,
                projection("v_proj", hidden, width)?,
            ])?,
            taps: Tensor::cat(&[taps("q_conv1d")?, taps("k_conv1d")?, taps("v_conv1d")?], 1)?,
            forget: ForgetGate {
                projection: low_rank("f")?,
                bias: bias.reshape((linear.heads, linear.head_dim))?,
                rate: rate.reshape((linear.heads, 1))?,
                lower_bound: linear.lower_bound,
            },
            beta: projection("b_proj", hidden, linear.heads)?,
            gate: low_rank("g")?,
            norm: RmsNorm::new(norm, config.norm_eps),
            output: projection("o_proj", width, hidden)?,
        })
    }

    /// `x` `(length, hidden)` to the same shape; its rows belong to `sequences`, so many to each.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        sequences: &mut [(usize, &mut RecurrentState)],
    ) -> Result<Tensor> {
        let LinearAttentionConfig { heads, head_dim, .. } = self.config;
        let qkv = self.qkv.forward(x)?.to_dtype(DType::F32)?; // (length, 3 · heads · d)
        let log_decay = self.forget.forward(x, heads, head_dim)?; // (length, heads, d)
        let beta = sigmoid(&self.beta.forward(x)?.to_dtype(DType::F32)?)?; // (length, heads)
        let mut recalled = Vec::with_capacity(sequences.len());
        let mut start = 0;
        for (rows, state) in sequences {
            let part = |x: &Tensor| x.narrow(0, start, *rows);
            let mixed = self.convolve(&part(&qkv)?, state)?; // (rows, 3 · heads · d)
            let all = mixed.reshape((*rows, 3, heads, head_dim))?;
            let heads_of = |which: usize| all.narrow(1, which, 1)?.squeeze(1); // (rows, heads, d)
            let inputs = DeltaInputs {
                q: (unit(&heads_of(0)?)? / (head_dim as f64).sqrt())?,
                k: unit(&heads_of(1)?)?,
                v: heads_of(2)?,
                log_decay: part(&log_decay)?,
                beta: part(&beta)?,
            };
            let memory = or_zeros(&state.memory, &[heads, head_dim, head_dim], x)?;
            let (out, memory) = delta_rule(&inputs, &memory)?; // (rows, heads, d)
            state.memory = Some(memory);
            state.length += *rows;
            recalled.push(out);
            start += *rows;
        }
        let y = self.norm.forward(&Tensor::cat(&recalled, 0)?)?; // (length, heads, d)
        let gate = sigmoid(&self.gate.forward(x)?.to_dtype(DType::F32)?)?; // (length, heads · d)
        let y = (y.reshape(gate.shape())? * gate)?.to_dtype(x.dtype())?;
        self.output.forward(&y) // (length, hidden)
    }

    /// The causal convolution of each channel by itself, and SiLU; `x` `(rows, width)`.
    fn convolve(&self, x: &Tensor, state: &mut RecurrentState) -> Result<Tensor> {
        let ((rows, width), kernel) = (x.dims2()?, self.config.kernel);
        let before = or_zeros(&state.convolved, &[kernel - 1, width], x)?;
        let window = Tensor::cat(&[&before, x], 0)?; // (kernel − 1 + rows, width)
        let tap = |i: usize| window.narrow(0, i, rows)?.broadcast_mul(&self.taps.narrow(0, i, 1)?);
        let mut sum = tap(0)?;
        for i in 1..kernel {
            sum = (sum + tap(i)?)?;
        }
        // A copy, so that the rows of a whole prompt are not kept for the sake of its last ones.
        state.convolved = Some(window.narrow(0, rows, kernel - 1)?.copy()?);
        sum.silu()
    }
}

impl LowRank {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.up.forward(&self.down.forward(x)?)
    }
}

impl ForgetGate {
    /// The logarithm of the decay, `(length, heads, d)` in f32:
    /// `bound · σ(e^A · (f(x) + bias))`, or `−e^A · softplus(f(x) + bias)` without a bound.
    fn forward(&self, x: &Tensor, heads: usize, head_dim: usize) -> Result<Tensor> {
        let g = self.projection.forward(x)?.to_dtype(DType::F32)?; // (length, heads · d)
        let g = g.reshape(((), heads, head_dim))?.broadcast_add(&self.bias)?;
        match self.lower_bound {
            Some(bound) => sigmoid(&g.broadcast_mul(&self.rate)?)? * bound,
            None => softplus(&g)?.broadcast_mul(&self.rate)?.neg(),
        }
    }
}

/// `log(1 + e^x)`.
fn softplus(x: &Tensor) -> Result<Tensor> {
    let curved = (x.minimum(SOFTPLUS_LINEAR)?.exp()? + 1.0)?.log()?;
    x.gt(SOFTPLUS_LINEAR)?.where_cond(x, &curved)
}

/// Rows of the last dimension, divided by their length.
fn unit(x: &Tensor) -> Result<Tensor> {
    x.broadcast_div(&(x.sqr()?.sum_keepdim(D::Minus1)? + LENGTH_EPS)?.sqrt()?)
}
