//! Weights in blocks that share a scale, as GGUF keeps them, in the order of the panels.
//!
//! A weight is an unsigned quantity `q` of up to 8 bits: it stands for `scale · (q − ZERO) − min`,
//! where a format has either a `ZERO` or minima. Rows are rounded to signed bytes, 32 at a time
//! with a scale, so that a block's dot product is one of bytes, summed in 32-bit integers. The
//! formats are those of ggml's `block_q8_0`, `block_q4_0`, `block_q4_1`, `block_q5_0`, `block_q5_1`,
//! `block_q4_K`, `block_q5_K` and `block_q6_K`; a panel takes as many bits a weight as they do, and an
//! eighth of a bit more in Q4_K and Q5_K.

mod lines;
mod of_256;
mod of_32;

use super::pack::Line;
pub(super) use lines::HIGH;
pub(super) use of_32::{Block, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
pub(super) use of_256::{Q4K, Q5K, Q6K, Q6K_PART, SuperBlock};

/// Inputs of a row that share a scale.
pub(super) const ROW_BLOCK: usize = 32;

/// A format of weights in blocks.
pub(super) trait Blocks: Send + Sync {
    /// Inputs of one stored block; a row of the weight is a whole number of them.
    const STEP: usize;
    /// Bytes of a stored block.
    const BYTES: usize;
    /// Lines that hold a stored block of each of a panel's outputs.
    const LINES: usize;
    /// Inputs that share a scale.
    const BLOCK: usize;
    /// The largest quantity.
    const MOST: u8;
    /// The quantity that stands for zero, in a format without minima.
    const ZERO: u8;
    /// Whether the format has minima.
    const HAS_MIN: bool;

    /// Puts a stored block of output `column` into the panel's lines, which hold zeros there.
    fn put(bytes: &[u8], column: usize, lines: &mut [Line]);
    /// The quantity of one weight.
    fn quantity(lines: &[Line], input: usize, column: usize) -> u8;
    /// The scale of a block.
    fn scale(lines: &[Line], block: usize, column: usize) -> f32;
    /// The minimum of a block.
    fn min(_lines: &[Line], _block: usize, _column: usize) -> f32 {
        0.0
    }
}

/// Words that a packed row takes for a stored block: for each 32 inputs their bytes and their
/// scale, then a word for each of the weight's blocks that says what its zero or minimum takes
/// away: `−ZERO · Σ q`, an integer, or `−scale · Σ q`, an f32.
pub(super) const fn row_words<B: Blocks>() -> usize {
    B::STEP / ROW_BLOCK * part_words::<B>()
}

/// Words that a packed row takes for 32 inputs.
pub(super) const fn part_words<B: Blocks>() -> usize {
    ROW_BLOCK / 4 + 1 + ROW_BLOCK / B::BLOCK
}

/// Packs rows for a format. Row `r` of `R` is scaled to ±127 by its largest value, 32 inputs at a
/// time, as ggml's `quantize_row_q8_0` does.
#[inline(always)]
pub(super) fn pack_rows<B: Blocks, const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    let words = part_words::<B>();
    for (r, row) in rows.into_iter().enumerate() {
        for (part, values) in row.as_chunks::<ROW_BLOCK>().0.iter().enumerate() {
            let (quantities, scale) = round(values);
            let packed = &mut packed[part * words * R..][..words * R];
            for (word, bytes) in quantities.as_chunks::<4>().0.iter().enumerate() {
                packed[word * R + r] = u32::from_le_bytes(bytes.map(i8::cast_unsigned));
            }
            packed[8 * R + r] = scale.to_bits();
            for (block, quantities) in quantities.chunks_exact(B::BLOCK).enumerate() {
                let sum: i32 = quantities.iter().map(|&q| i32::from(q)).sum();
                packed[(9 + block) * R + r] = match B::HAS_MIN {
                    true => (-scale * sum as f32).to_bits(),
                    false => (-i32::from(B::ZERO) * sum).cast_unsigned(),
                };
            }
        }
    }
}

/// Values as signed bytes, and what a byte of 1 stands for: the largest value becomes ±127.
#[inline(always)]
pub(super) fn round<const N: usize>(values: &[f32; N]) -> ([i8; N], f32) {
    // Adding and taking away 1.5 · 2²³ rounds to the nearest integer, to the even one of two.
    const ROUND: f32 = 12_582_912.0;
    let mut largest = [0u32; 16];
    for values in values.as_chunks::<16>().0 {
        for (largest, value) in largest.iter_mut().zip(values) {
            // As bits, for what is no number is larger than any: its row's outputs are none either.
            *largest = value.abs().to_bits().max(*largest);
        }
    }
    let largest = f32::from_bits(largest.into_iter().fold(0, u32::max));
    let factor = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let mut bytes = [0; N];
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = ((value * factor + ROUND) - ROUND) as i32 as i8;
    }
    (bytes, largest / 127.0)
}
