//! The plain kernel for weights in blocks.

use std::marker::PhantomData;

use super::blocks::{self, Blocks, ROW_BLOCK, part_words, row_words};
use super::pack::Line;
use super::{Kernel, PANEL, Tile, plain};

/// Weights in the blocks of `B`.
pub(super) struct PlainBlocks<B>(PhantomData<B>);

impl<B> PlainBlocks<B> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<B: Blocks> Kernel for PlainBlocks<B> {
    const ROWS: usize = 2;
    const STEP: usize = B::STEP;
    const ROW_WORDS: usize = row_words::<B>();
    const LINES: usize = B::LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        blocks::pack_rows::<B, R>(rows, packed);
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        let mut sums = [[0.0; PANEL]; R];
        let steps = rows.chunks_exact(R * Self::ROW_WORDS).zip(panel.chunks_exact(B::LINES));
        for (rows, lines) in steps {
            for column in 0..PANEL {
                let products = multiply_step::<B, R>(rows, lines, column);
                for (sums, product) in sums.iter_mut().zip(products) {
                    sums[column] += product;
                }
            }
        }
        plain::write(&sums, tile);
    }
}

/// `R` rows with one output's stored block.
fn multiply_step<B: Blocks, const R: usize>(
    rows: &[u32],
    lines: &[Line],
    column: usize,
) -> [f32; R] {
    let mut sums = [0.0; R];
    for block in 0..B::STEP / B::BLOCK {
        let first = block * B::BLOCK;
        let weights: Vec<u8> =
            (first..first + B::BLOCK).map(|input| B::quantity(lines, input, column)).collect();
        let (scale, min) = (B::scale(lines, block, column), B::min(lines, block, column));
        let part = &rows[first / ROW_BLOCK * part_words::<B>() * R..];
        for (r, sum) in sums.iter_mut().enumerate() {
            let word = |word: usize| part[word * R + r];
            let mut dot = 0;
            for (i, &weight) in weights.iter().enumerate() {
                let input = first % ROW_BLOCK + i;
                let row = word(input / 4).to_le_bytes()[input % 4].cast_signed();
                dot += i32::from(weight) * i32::from(row);
            }
            let taken_away = word(9 + first % ROW_BLOCK / B::BLOCK);
            let row_scale = f32::from_bits(word(8));
            *sum += match B::HAS_MIN {
                true => dot as f32 * (scale * row_scale) + f32::from_bits(taken_away) * min,
                false => (dot + taken_away.cast_signed()) as f32 * (scale * row_scale),
            };
        }
    }
    sums
}
