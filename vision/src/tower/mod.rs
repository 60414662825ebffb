//! Vision towers and their projectors: patches to visual tokens.

mod eva_clip;
mod eva_clip_config;
mod glm4v;
mod glm4v_block;
mod glm4v_config;
mod glu_projector;
mod position_grid;

pub use eva_clip::EvaClipTower;
pub use eva_clip_config::EvaClipConfig;
pub use glm4v::Glm4vTower;
pub use glm4v_config::{Glm4vVisionConfig, TowerFlavour};
pub use position_grid::sample_position_grid;

use candle_core::{Result, Tensor};
use glm4v_kernels::Linear;
use glm4v_weights::{Weights, WeightsError};

/// Reads `name.weight` `(out, in)` and, with `bias`, `name.bias` `(out)`.
fn linear(
    weights: &Weights,
    input: usize,
    output: usize,
    bias: bool,
) -> std::result::Result<Linear, WeightsError> {
    weights.linear(input, output, bias)
}

/// Rows that a block's MLP takes at a time: what it makes of them, several times as wide, stays in a
/// last-level cache, and takes no more memory however many patches there are.
const MLP_ROWS: usize = 512;

/// Applies `layer`, which takes each row by itself, to blocks of rows of `x` `(rows, width)`.
fn by_row_blocks(x: &Tensor, layer: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let rows = x.dim(0)?;
    let blocks = rows.div_ceil(MLP_ROWS);
    if blocks <= 1 {
        return layer(x);
    }
    let size = rows.div_ceil(blocks);
    let starts = (0..rows).step_by(size);
    let made = starts.map(|start| layer(&x.narrow(0, start, size.min(rows - start))?));
    Tensor::cat(&made.collect::<Result<Vec<_>>>()?, 0)
}

/// Splits a fused `(length, 3 · heads · d)` projection, laid out `[3, heads, d]`, into queries,
/// keys and values, each `(heads, length, d)`: views that copy nothing.
fn split_heads(qkv: &Tensor, heads: usize) -> Result<[Tensor; 3]> {
    let (length, width) = qkv.dims2()?;
    let parts = qkv.reshape((length, 3, heads, width / 3 / heads))?.permute((1, 2, 0, 3))?; // (3, heads, length, d)
    Ok([parts.get(0)?, parts.get(1)?, parts.get(2)?])
}
