//! Packing a weight into panels.

use std::mem::MaybeUninit;

use half::bf16;
use rayon::prelude::*;

use super::blocks::Blocks;
use super::{Form, PANEL, Values};

/// 16 words of 4 bytes, aligned as the widest load wants them.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; 16]);

/// Lines of one word of a panel's inputs.
pub(super) const LINES: usize = PANEL / 16;

/// Packs a stored matrix `(outputs, inputs)`, its panels in parallel. Outputs past the last, and
/// inputs past the last in a word of several, are zeros.
pub(super) fn pack(values: Values<'_>, outputs: usize, inputs: usize, form: Form) -> Vec<Line> {
    let words = inputs.div_ceil(form.per_word());
    fill_panels(outputs.div_ceil(PANEL), words * LINES, |panel, lines| {
        let rows = panel * PANEL..outputs.min((panel + 1) * PANEL);
        for (line, first) in rows.clone().step_by(16).enumerate() {
            for lane in 0..16 {
                let row = (first + lane < rows.end).then_some(first + lane);
                for word in 0..words {
                    let value = row.map_or(0, |row| form.word(values, inputs, row, word));
                    lines[word * LINES + line].0[lane] = value;
                }
            }
        }
    })
}

/// Packs a matrix stored in blocks, its panels in parallel; `None` when its bytes are not
/// `outputs` rows of whole blocks. Outputs past the last are zeros.
pub(super) fn pack_blocks<B: Blocks>(
    bytes: &[u8],
    outputs: usize,
    inputs: usize,
) -> Option<Vec<Line>> {
    let steps = inputs / B::STEP;
    if !inputs.is_multiple_of(B::STEP) || bytes.len() != outputs * steps * B::BYTES {
        return None;
    }
    Some(fill_panels(outputs.div_ceil(PANEL), steps * B::LINES, |panel, lines| {
        for (column, row) in (panel * PANEL..outputs.min((panel + 1) * PANEL)).enumerate() {
            let row = &bytes[row * steps * B::BYTES..][..steps * B::BYTES];
            let lines = lines.chunks_exact_mut(B::LINES);
            for (bytes, lines) in row.chunks_exact(B::BYTES).zip(lines) {
                B::put(bytes, column, lines);
            }
        }
    }))
}

/// Makes panels of `size` lines each, in parallel, without writing them twice.
pub(super) fn fill_panels(
    panels: usize,
    size: usize,
    fill: impl Fn(usize, &mut [Line]) + Sync,
) -> Vec<Line> {
    const ZEROS: Line = Line([0; 16]);
    let mut lines = Vec::with_capacity(panels * size);
    if size > 0 {
        lines.spare_capacity_mut()[..panels * size].par_chunks_mut(size).enumerate().for_each(
            |(panel, lines)| {
                fill(panel, write_all(lines, ZEROS));
            },
        );
    }
    // SAFETY: the capacity is there, and `write_all` has written each of the panels' lines.
    unsafe { lines.set_len(panels * size) };
    lines
}

/// The words of lines, one after another.
pub(super) fn words_of(lines: &mut [Line]) -> &mut [u32] {
    let words = lines.len() * 16;
    // SAFETY: a line is 16 words, without gaps, and aligned more strictly than they are.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), words) }
}

/// Writes `value` to every place, which makes the slice an ordinary one.
fn write_all(places: &mut [MaybeUninit<Line>], value: Line) -> &mut [Line] {
    for place in places.iter_mut() {
        place.write(value);
    }
    // SAFETY: every place has been written just now, and `MaybeUninit<Line>` is laid out as `Line`.
    unsafe { &mut *(std::ptr::from_mut(places) as *mut [Line]) }
}

impl Form {
    /// Inputs that a word holds.
    pub(super) fn per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
            _ => unreachable!("blocks are packed from blocks"),
        }
    }

    /// Word number `word` of a stored row.
    fn word(self, values: Values<'_>, inputs: usize, row: usize, word: usize) -> u32 {
        match (self, values) {
            (Self::F32, Values::F32(values)) => values[row * inputs + word].to_bits(),
            (Self::F32, Values::Bf16(values)) => values[row * inputs + word].to_f32().to_bits(),
            (Self::Bf16, Values::F32(values)) => pair(&values[row * inputs..][..inputs], word),
            (Self::Bf16, Values::Bf16(values)) => {
                let row = &values[row * inputs..][..inputs];
                let second = row.get(2 * word + 1).map_or(0, |value| value.to_bits());
                u32::from(row[2 * word].to_bits()) | u32::from(second) << 16
            }
            _ => unreachable!("blocks are packed from blocks"),
        }
    }
}

/// Values `2 · word` and `2 · word + 1` of a row, rounded to bf16, the first in the low half.
pub(super) fn pair(row: &[f32], word: usize) -> u32 {
    let second = row.get(2 * word + 1).map_or(0, |&value| bf16::from_f32(value).to_bits());
    u32::from(bf16::from_f32(row[2 * word]).to_bits()) | u32::from(second) << 16
}
