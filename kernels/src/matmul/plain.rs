//! Kernels in plain Rust: what the faster ones are held against, and what other machines run.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use half::bf16;

use super::pack::{LINES, Line, pair};
use super::{Kernel, PANEL, Tile};

/// f32 weights.
pub(super) struct F32;

impl Kernel for F32 {
    const ROWS: usize = 2;
    const STEP: usize = 1;
    const ROW_WORDS: usize = 1;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        pack_f32(rows, packed);
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        let mut sums = [[0.0; PANEL]; R];
        for (rows, lines) in rows.chunks_exact(R).zip(panel.chunks_exact(LINES)) {
            for (sums, row) in sums.iter_mut().zip(rows) {
                let row = f32::from_bits(*row);
                let weights = lines.iter().flat_map(|line| line.0);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += row * f32::from_bits(weight);
                }
            }
        }
        write(&sums, tile);
    }
}

/// bf16 weights.
pub(super) struct Bf16;

impl Kernel for Bf16 {
    const ROWS: usize = 2;
    const STEP: usize = 2;
    const ROW_WORDS: usize = 1;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        pack_bf16(rows, packed);
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        let mut sums = [[0.0; PANEL]; R];
        for (rows, lines) in rows.chunks_exact(R).zip(panel.chunks_exact(LINES)) {
            for (sums, row) in sums.iter_mut().zip(rows) {
                let row = halves(*row);
                let weights = lines.iter().flat_map(|line| line.0);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    let weight = halves(weight);
                    *sum += row.0 * weight.0;
                    *sum += row.1 * weight.1;
                }
            }
        }
        write(&sums, tile);
    }
}

/// The two bf16 values of a word, the low half first.
fn halves(word: u32) -> (f32, f32) {
    (f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000))
}

/// Packs rows of f32 for a kernel that takes them a value at a time.
pub(super) fn pack_f32<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    for (word, packed) in packed.chunks_exact_mut(R).enumerate() {
        for (packed, row) in packed.iter_mut().zip(rows) {
            *packed = row[word].to_bits();
        }
    }
}

/// Packs rows, rounded to bf16, for a kernel that takes them two values at a time.
pub(super) fn pack_bf16<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    for (word, packed) in packed.chunks_exact_mut(R).enumerate() {
        for (packed, row) in packed.iter_mut().zip(rows) {
            *packed = pair(row, word);
        }
    }
}

/// Packs rows rounded to bf16, in f32: two words for a word of the weight. Inputs past the rows' end
/// are zeros.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(super) fn pack_rounded<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    for (r, row) in rows.into_iter().enumerate() {
        let words = packed.chunks_exact_mut(R);
        for (words, value) in words.zip(row.iter().copied().chain(std::iter::repeat(0.0))) {
            words[r] = u32::from(bf16::from_f32(value).to_bits()) << 16;
        }
    }
}

/// Widens lines of words of two bf16: the lines of the first ones, and then of the second ones.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(super) fn widen_bf16(lines: &[Line], wide: &mut [Line]) {
    let words = lines.as_chunks::<LINES>().0.iter().zip(wide.as_chunks_mut::<{ 2 * LINES }>().0);
    for (lines, wide) in words {
        let (first, second) = wide.split_at_mut(LINES);
        for ((line, first), second) in lines.iter().zip(first).zip(second) {
            for ((word, first), second) in line.0.iter().zip(&mut first.0).zip(&mut second.0) {
                (*first, *second) = (word << 16, word & 0xffff_0000);
            }
        }
    }
}

pub(super) fn write<const R: usize>(sums: &[[f32; PANEL]; R], tile: &Tile) {
    for (r, sums) in sums.iter().enumerate() {
        for (column, sum) in sums.iter().enumerate().take(tile.columns) {
            // SAFETY: whoever makes a tile vouches that `R` rows of `columns` values can be read
            // from the seed and written to the output, and that no other task writes them.
            unsafe {
                let seed = *tile.seed.add(r * tile.seed_stride + column);
                *tile.out.add(r * tile.stride + column) = seed + sum;
            }
        }
    }
}
