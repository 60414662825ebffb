//! Resized frames to flat patches.

use super::normalize::LevelTables;
use crate::Grid;
use crate::image::CHANNELS;
use ndarray::{Array2, Array3, ArrayView3};
use rayon::prelude::*;

/// How frames are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct PatchShape {
    /// Side of a patch in pixels.
    pub side: usize,
    /// Frames that a patch spans.
    pub frames: usize,
    /// Side of the square of patches that lie together in the sequence.
    pub merge: usize,
}

impl PatchShape {
    /// Values in a flat patch.
    pub(super) fn width(&self) -> usize {
        CHANNELS * self.frames * self.side * self.side
    }

    /// The grid of `frames` frames of `height` by `width` pixels; the last frame is repeated to
    /// fill the last temporal patch.
    pub(super) fn grid(&self, frames: usize, height: usize, width: usize) -> Grid {
        Grid { t: frames.div_ceil(self.frames), h: height / self.side, w: width / self.side }
    }
}

/// Cuts frames, each `(height, width, 3)` and all of one size in whole blocks, into normalised
/// patches `(patches, channels * frames * side * side)`.
///
/// Patches go by time, block row, block column, row in the block, column in the block; values in
/// a patch by channel, frame, y, x. Source: `patchify` in transformers'
/// `image_processing_glm4v.py` and `video_processing_glm4v.py`.
pub(super) fn patchify(
    frames: &[Array3<u8>],
    tables: &LevelTables,
    shape: PatchShape,
) -> (Array2<f32>, Grid) {
    let (height, width) = frames.first().map_or((0, 0), |frame| (frame.dim().0, frame.dim().1));
    let grid = shape.grid(frames.len(), height, width);
    let mut pixels = Array2::zeros((grid.patches(), shape.width()));
    let block_rows = (grid.h / shape.merge).max(1);
    let values_in_block_row = (shape.merge * grid.w * shape.width()).max(1);
    pixels
        .as_slice_mut()
        .unwrap_or_default()
        .par_chunks_exact_mut(values_in_block_row)
        .enumerate()
        .for_each(|(index, out)| {
            let first = index / block_rows * shape.frames;
            let top = index % block_rows * shape.merge * shape.side;
            let last = frames.len() - 1;
            let spanned: Vec<_> =
                (first..first + shape.frames).map(|i| frames[i.min(last)].view()).collect();
            write_block_row(&spanned, top, tables, shape, out);
        });
    (pixels, grid)
}

/// Writes the patches of one row of blocks, whose first pixel row is `top`.
fn write_block_row(
    frames: &[ArrayView3<'_, u8>],
    top: usize,
    tables: &LevelTables,
    shape: PatchShape,
    out: &mut [f32],
) {
    let PatchShape { side, merge, .. } = shape;
    for (i, patch) in out.chunks_exact_mut(shape.width()).enumerate() {
        let (block, row, column) = (i / (merge * merge), i / merge % merge, i % merge);
        let (y0, x0) = (top + row * side, (block * merge + column) * side);
        let mut values = patch.iter_mut();
        for (channel, table) in tables.iter().enumerate() {
            for frame in frames {
                let square = frame.slice(ndarray::s![y0..y0 + side, x0..x0 + side, channel]);
                for (&level, value) in square.iter().zip(values.by_ref()) {
                    *value = table[usize::from(level)];
                }
            }
        }
    }
}
