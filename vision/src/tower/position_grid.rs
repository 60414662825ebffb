//! Learned positions sampled for any grid of patches.

use candle_core::{DType, Device, Result, Tensor};

/// Sharpness of the cubic kernel that PyTorch's `grid_sample` uses.
const A: f64 = -0.75;

/// Samples a square table of positions `(side², width)` for `height × width` patches.
///
/// Bicubic with `align_corners = false` and border padding, in f32, at the centres of the patches:
/// patch row `i` reads the table at `((i + 0.5) / height) · side − 0.5`. Source: transformers
/// `Glm4vVisionEmbeddings`, PyTorch `grid_sample`. The kernel is separable, so rows and columns
/// are two matrix products.
///
/// Returns f32 `(height, width, table width)`.
///
/// # Errors
/// When the table is not `side²` rows high.
pub fn sample_position_grid(
    table: &Tensor,
    side: usize,
    height: usize,
    width: usize,
) -> Result<Tensor> {
    let channels = table.dim(1)?;
    let table = table.to_dtype(DType::F32)?.reshape((side, side * channels))?;
    let device = table.device();
    let rows = taps(height, side, device)?.matmul(&table)?; // (height, side · channels)
    let rows = rows.reshape((height, side, channels))?;
    let columns = taps(width, side, device)?; // (width, side)
    columns.broadcast_left(height)?.contiguous()?.matmul(&rows) // (height, width, channels)
}

/// The weights `(count, side)` with which each of `count` patches reads the `side` table entries.
fn taps(count: usize, side: usize, device: &Device) -> Result<Tensor> {
    let mut weights = vec![0f32; count * side];
    for (i, row) in weights.chunks_exact_mut(side).enumerate() {
        // The detour over [-1, 1] is the reference's, and its rounding is f32.
        let unit = ((i as f32 + 0.5) / count as f32) * 2.0 - 1.0;
        let at = f64::from(((unit + 1.0) * side as f32 - 1.0) / 2.0);
        for offset in -1..=2 {
            let tap = at.floor() + f64::from(offset);
            let clamped = tap.clamp(0.0, side as f64 - 1.0) as usize;
            if let Some(weight) = row.get_mut(clamped) {
                *weight += cubic((at - tap).abs()) as f32;
            }
        }
    }
    Tensor::from_vec(weights, (count, side), device)
}

/// The cubic convolution kernel (Keys 1981) at a distance of 0 to 2.
fn cubic(x: f64) -> f64 {
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    }
}
