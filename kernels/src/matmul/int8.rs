//! Weights of a byte each that share a scale by output and 256 inputs, and their plain kernel.
//!
//! Both sides of a product are rounded to bytes in the same way: rows when they are multiplied,
//! weights when they are packed, each scaled to ±127 by the largest of 256 values. A dot product of
//! 256 is then one of integers, and its two scales are applied once. That keeps a scale's cost to a
//! hundredth of the work, and an outlier's harm to 256 inputs ("vector-wise quantisation",
//! Dettmers et al. 2022, `LLM.int8()`, cut into blocks of inputs).

use super::blocks::round;
use super::pack::{Line, fill_panels};
use super::shelf::Lines;
use super::{Kernel, PANEL, Tile, Values, plain};

/// Inputs that share a scale.
pub(super) const STEP: usize = 256;
/// Words of bytes in a step.
pub(super) const WORDS: usize = STEP / 4;
/// Words of a packed row's step: its bytes, its scale (f32), and what the weights' zero takes away.
pub(super) const ROW_WORDS: usize = WORDS + 2;
/// Lines of a panel's step: two for each word of bytes, then two of scales (f32).
pub(super) const LINES: usize = 2 * WORDS + 2;
/// The byte that stands for a weight of zero: weights are unsigned, as the dot products want them.
pub(super) const ZERO: u8 = 128;

/// Packs a stored matrix `(outputs, inputs)`, its panels in parallel. Inputs past the last are
/// zeros, and so are the scales of outputs past the last.
pub(super) fn pack_weights(values: Values<'_>, outputs: usize, inputs: usize) -> Lines {
    let steps = inputs.div_ceil(STEP);
    fill_panels(outputs.div_ceil(PANEL), steps * LINES, |panel, lines| {
        for (column, row) in (panel * PANEL..outputs.min((panel + 1) * PANEL)).enumerate() {
            let (half, lane) = (column / 16, column % 16);
            for (step, lines) in lines.chunks_exact_mut(LINES).enumerate() {
                let mut wide = [0.0; STEP];
                let first = step * STEP;
                values.copy_to(row * inputs + first, &mut wide[..STEP.min(inputs - first)]);
                let (bytes, scale) = round(&wide);
                for (word, bytes) in bytes.as_chunks::<4>().0.iter().enumerate() {
                    let bytes = bytes.map(|byte| byte.cast_unsigned() ^ ZERO);
                    lines[2 * word + half].0[lane] = u32::from_le_bytes(bytes);
                }
                lines[2 * WORDS + half].0[lane] = scale.to_bits();
            }
        }
    })
}

/// Packs rows; the last step of a row may be short.
#[inline(always)]
pub(super) fn pack_rows<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    for (r, row) in rows.into_iter().enumerate() {
        for (values, packed) in row.chunks(STEP).zip(packed.chunks_exact_mut(ROW_WORDS * R)) {
            let (bytes, scale) = match values.first_chunk() {
                Some(values) => round(values),
                None => {
                    let mut padded = [0.0; STEP];
                    padded[..values.len()].copy_from_slice(values);
                    round(&padded)
                }
            };
            for (word, bytes) in bytes.as_chunks::<4>().0.iter().enumerate() {
                packed[word * R + r] = u32::from_le_bytes(bytes.map(i8::cast_unsigned));
            }
            let sum: i32 = bytes.iter().map(|&byte| i32::from(byte)).sum();
            packed[WORDS * R + r] = scale.to_bits();
            packed[(WORDS + 1) * R + r] = (-i32::from(ZERO) * sum).cast_unsigned();
        }
    }
}

/// The plain kernel.
pub(super) struct Int8;

impl Kernel for Int8 {
    const ROWS: usize = 2;
    const STEP: usize = STEP;
    const ROW_WORDS: usize = ROW_WORDS;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        pack_rows(rows, packed);
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        let mut sums = [[0.0; PANEL]; R];
        let steps = rows.chunks_exact(ROW_WORDS * R).zip(panel.chunks_exact(LINES));
        for (rows, lines) in steps {
            let (words, ends) = rows.split_at(WORDS * R);
            let (weights, scales) = lines.split_at(2 * WORDS);
            let mut dots = [[0i32; PANEL]; R];
            for (words, weights) in words.chunks_exact(R).zip(weights.as_chunks::<2>().0) {
                for (dots, row) in dots.iter_mut().zip(words) {
                    let row = row.to_le_bytes().map(u8::cast_signed);
                    let weights = weights.iter().flat_map(|line| line.0);
                    for (dot, weights) in dots.iter_mut().zip(weights) {
                        let pairs = row.into_iter().zip(weights.to_le_bytes());
                        *dot += pairs.map(|(x, w)| i32::from(x) * i32::from(w)).sum::<i32>();
                    }
                }
            }
            for (r, (sums, dots)) in sums.iter_mut().zip(dots).enumerate() {
                let (row_scale, taken_away) = (f32::from_bits(ends[r]), ends[R + r].cast_signed());
                let scales = scales.iter().flat_map(|line| line.0).map(f32::from_bits);
                for ((sum, dot), scale) in sums.iter_mut().zip(dots).zip(scales) {
                    *sum += (dot + taken_away) as f32 * (scale * row_scale);
                }
            }
        }
        plain::write(&sums, tile);
    }
}
