//! Packing a weight into panels.

use std::mem::MaybeUninit;

use half::bf16;
use rayon::prelude::*;

use super::blocks::Blocks;
use super::shelf::Lines;
use super::{Form, PANEL, Values};

/// 16 words of 4 bytes, aligned as the widest load wants them.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; 16]);

/// Lines of one word of a panel's inputs.
pub(super) const LINES: usize = PANEL / 16;

/// Packs a stored matrix `(outputs, inputs)`, its panels in parallel. Outputs past the last, and
/// inputs past the last in a word of several, are zeros.
pub(super) fn pack(values: Values<'_>, outputs: usize, inputs: usize, form: Form) -> Lines {
    let size = (outputs, inputs);
    match (form, values) {
        (Form::F32, Values::F32(values)) => lay(values, size, |[x]| x.to_bits()),
        (Form::F32, Values::Bf16(values)) => lay(values, size, |[x]| x.to_f32().to_bits()),
        (Form::Bf16, Values::F32(values)) => {
            lay(values, size, |pair| halves(pair.map(bf16::from_f32)))
        }
        (Form::Bf16, Values::Bf16(values)) => lay(values, size, halves),
        _ => unreachable!("blocks are packed from blocks"),
    }
}

/// Two values in a word, the first in the low half.
fn halves([first, second]: [bf16; 2]) -> u32 {
    u32::from(first.to_bits()) | u32::from(second.to_bits()) << 16
}

/// Lays rows of a matrix out in panels, `word` making a word of `N` inputs that are neighbours.
fn lay<T: Copy + Default + Sync, const N: usize>(
    values: &[T],
    (outputs, inputs): (usize, usize),
    word: impl Fn([T; N]) -> u32 + Sync,
) -> Lines {
    let words = inputs.div_ceil(N);
    fill_panels(outputs.div_ceil(PANEL), words * LINES, |panel, lines| {
        for half in 0..LINES {
            let rows: [&[T]; 16] = std::array::from_fn(|lane| {
                let row = panel * PANEL + half * 16 + lane;
                if row < outputs { &values[row * inputs..][..inputs] } else { &[] }
            });
            let rows = rows.map(|row| row.as_chunks::<N>());
            // Word by word: each line is written once, and each row read from end to end.
            for (index, lines) in lines.chunks_exact_mut(LINES).enumerate() {
                for (to, (whole, rest)) in lines[half].0.iter_mut().zip(&rows) {
                    let inputs = whole.get(index).copied().unwrap_or_else(|| padded(rest));
                    *to = word(inputs);
                }
            }
        }
    })
}

/// The last values of a row, and zeros after them; all zeros where there is no row.
fn padded<T: Copy + Default, const N: usize>(rest: &[T]) -> [T; N] {
    std::array::from_fn(|i| rest.get(i).copied().unwrap_or_default())
}

/// Packs a matrix stored in blocks, its panels in parallel; `None` when its bytes are not
/// `outputs` rows of whole blocks. Outputs past the last are zeros.
pub(super) fn pack_blocks<B: Blocks>(bytes: &[u8], outputs: usize, inputs: usize) -> Option<Lines> {
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
) -> Lines {
    const ZEROS: Line = Line([0; 16]);
    let fill_all = |places: &mut [MaybeUninit<Line>]| {
        places.par_chunks_mut(size.max(1)).enumerate().for_each(|(panel, lines)| {
            fill(panel, write_all(lines, ZEROS));
        });
    };
    // SAFETY: `write_all` writes each of the panels' lines.
    unsafe { Lines::new(panels * size, fill_all) }
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

/// Values `2 · word` and `2 · word + 1` of a row, rounded to bf16, the first in the low half.
pub(super) fn pair(row: &[f32], word: usize) -> u32 {
    let second = row.get(2 * word + 1).map_or(0, |&value| bf16::from_f32(value).to_bits());
    u32::from(bf16::from_f32(row[2 * word]).to_bits()) | u32::from(second) << 16
}
