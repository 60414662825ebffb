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

/// The most rows whose inner activations a layer's MLP holds at once. They are several times wider
/// than the layer: 1,120 × 1,120 pixels have 6,401 rows in GLM-4V-9B, and 393 MB of 15,360 values each.
/// Fewer rows would read the weights more often than the memory is worth.
const MLP_ROWS: usize = 2048;

/// Maps rows `(rows, in)` to rows `(rows, out)`, at most [`MLP_ROWS`] at a time, where no row's
/// output depends on another row.
fn in_chunks(x: &Tensor, map: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    in_chunks_of(MLP_ROWS, x, map)
}

/// [`in_chunks`] of at most `most` rows. They are of one size, or one row less: a last chunk of a few
/// rows would meet other kernels, whose sums round otherwise.
fn in_chunks_of(
    most: usize,
    x: &Tensor,
    map: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let rows = x.dim(0)?;
    let chunks = rows.div_ceil(most);
    if chunks <= 1 {
        return map(x);
    }
    let start = |chunk: usize| chunk * rows / chunks;
    let chunk = |i: usize| map(&x.narrow(0, start(i), start(i + 1) - start(i))?);
    Tensor::cat(&(0..chunks).map(chunk).collect::<Result<Vec<_>>>()?, 0)
}

/// Splits a fused `(length, 3 · heads · d)` projection, laid out `[3, heads, d]`, into queries,
/// keys and values, each `(heads, length, d)`: views that copy nothing.
fn split_heads(qkv: &Tensor, heads: usize) -> Result<[Tensor; 3]> {
    let (length, width) = qkv.dims2()?;
    let parts = qkv.reshape((length, 3, heads, width / 3 / heads))?.permute((1, 2, 0, 3))?; // (3, heads, length, d)
    let part = |i: usize| parts.narrow(0, i, 1)?.squeeze(0); // `get` would copy
    Ok([part(0)?, part(1)?, part(2)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use std::cell::RefCell;

    #[test]
    fn rows_in_chunks_are_those_of_one_pass() {
        let weight = Tensor::arange(0f32, 35.0, &Device::Cpu).unwrap().reshape((5, 7)).unwrap();
        let layer = Linear::new((weight / 7.0).unwrap(), None);
        for rows in [0, 1, 9, 10, 11, 20, 64, 101] {
            let x = Tensor::arange(0f32, (rows * 7) as f32, &Device::Cpu).unwrap();
            let x = x.reshape((rows, 7)).unwrap();
            let sizes = RefCell::new(Vec::new());
            let map = |x: &Tensor| {
                sizes.borrow_mut().push(x.dim(0)?);
                layer.forward(x)
            };
            let found: Vec<Vec<f32>> = in_chunks_of(10, &x, map).unwrap().to_vec2().unwrap();
            assert_eq!(found, layer.forward(&x).unwrap().to_vec2::<f32>().unwrap(), "{rows}");
            let sizes = sizes.into_inner();
            assert_eq!(sizes.iter().sum::<usize>(), rows);
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(*most <= 10 && most - least <= 1, "{rows} rows: {sizes:?}");
        }
    }

    #[test]
    fn what_a_chunk_cannot_do_is_an_error() {
        let x = Tensor::zeros((30, 7), DType::F32, &Device::Cpu).unwrap();
        let layer = Linear::new(Tensor::zeros((5, 8), DType::F32, &Device::Cpu).unwrap(), None);
        assert!(in_chunks_of(10, &x, |x| layer.forward(x)).is_err());
    }
}
