//! Weights in blocks that share a scale, as GGUF keeps them, in the order of the panels.
//!
//! A weight is an unsigned quantity `q` of up to 8 bits: it stands for `scale · (q − ZERO) − min`,
//! where a format has either a `ZERO` or minima. Rows are rounded to signed bytes, 32 at a time
//! with a scale, so that a block's dot product is one of bytes, summed in 32-bit integers. The
//! formats are those of ggml's `block_q8_0`, `block_q4_0`, `block_q5_0`, `block_q4_K` and `block_q6_K`;
//! a panel takes as many bits a weight as they do, and an eighth of a bit more in Q4_K.

use half::f16;

use super::PANEL;
use super::pack::Line;

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

/// 32 signed bytes and a scale.
pub(super) struct Q8_0;
/// 32 nibbles and a scale.
pub(super) struct Q4_0;
/// 32 quantities of 5 bits and a scale.
pub(super) struct Q5_0;
/// 8 × 32 nibbles, each 32 with a scale and a minimum of 6 bits.
pub(super) struct Q4K;
/// 16 × 16 quantities of 6 bits, each 16 with a scale of 8 bits.
pub(super) struct Q6K;

impl Blocks for Q8_0 {
    const STEP: usize = 32;
    const BYTES: usize = 34;
    const LINES: usize = 17;
    const BLOCK: usize = 32;
    const ZERO: u8 = 128;
    const HAS_MIN: bool = false;

    fn put(bytes: &[u8], column: usize, lines: &mut [Line]) {
        put_half(&mut lines[16], column, [bytes[0], bytes[1]]);
        for (input, byte) in bytes[2..].iter().enumerate() {
            or_byte(lines, input / 4, column, input % 4, byte ^ 0x80);
        }
    }

    fn quantity(lines: &[Line], input: usize, column: usize) -> u8 {
        byte(lines, input / 4, column, input % 4)
    }

    fn scale(lines: &[Line], _block: usize, column: usize) -> f32 {
        half(&lines[16], column)
    }
}

impl Blocks for Q4_0 {
    const STEP: usize = 32;
    const BYTES: usize = 18;
    const LINES: usize = 9;
    const BLOCK: usize = 32;
    const ZERO: u8 = 8;
    const HAS_MIN: bool = false;

    fn put(bytes: &[u8], column: usize, lines: &mut [Line]) {
        put_half(&mut lines[8], column, [bytes[0], bytes[1]]);
        for (i, byte) in bytes[2..].iter().enumerate() {
            or_nibble(lines, i, column, byte & 15);
            or_nibble(lines, i + 16, column, byte >> 4);
        }
    }

    fn quantity(lines: &[Line], input: usize, column: usize) -> u8 {
        nibble(lines, input, column)
    }

    fn scale(lines: &[Line], _block: usize, column: usize) -> f32 {
        half(&lines[8], column)
    }
}

/// The lines of the highest bits in [`Q5_0`], after those of the nibbles: a word of each output. The
/// bit of input `4 · w + i` is bit `8 · i + w` of it, so that one shift moves those of a word of
/// quantities to where they belong.
pub(super) const Q5_0_HIGH: usize = 8;

impl Blocks for Q5_0 {
    const STEP: usize = 32;
    const BYTES: usize = 22;
    const LINES: usize = 11;
    const BLOCK: usize = 32;
    const ZERO: u8 = 16;
    const HAS_MIN: bool = false;

    fn put(bytes: &[u8], column: usize, lines: &mut [Line]) {
        put_half(&mut lines[10], column, [bytes[0], bytes[1]]);
        for (i, byte) in bytes[6..].iter().enumerate() {
            or_nibble(lines, i, column, byte & 15);
            or_nibble(lines, i + 16, column, byte >> 4);
        }
        for input in 0..32 {
            let bit = bytes[2 + input / 8] >> (input % 8) & 1;
            or_byte(&mut lines[Q5_0_HIGH..], 0, column, input % 4, bit << (input / 4));
        }
    }

    fn quantity(lines: &[Line], input: usize, column: usize) -> u8 {
        let high = byte(&lines[Q5_0_HIGH..], 0, column, input % 4) >> (input / 4) & 1;
        nibble(lines, input, column) | high << 4
    }

    fn scale(lines: &[Line], _block: usize, column: usize) -> f32 {
        half(&lines[10], column)
    }
}

/// Lines of 32 inputs in [`Q4K`]: their nibbles, then a line of scales and minima.
pub(super) const Q4K_PART: usize = 9;

impl Blocks for Q4K {
    const STEP: usize = 256;
    const BYTES: usize = 144;
    const LINES: usize = 8 * Q4K_PART + 2;
    const BLOCK: usize = 32;
    const ZERO: u8 = 0;
    const HAS_MIN: bool = true;

    fn put(bytes: &[u8], column: usize, lines: &mut [Line]) {
        put_half(&mut lines[8 * Q4K_PART], column, [bytes[0], bytes[1]]);
        put_half(&mut lines[8 * Q4K_PART + 1], column, [bytes[2], bytes[3]]);
        let (scales, nibbles) = bytes[4..].split_at(12);
        for block in 0..8 {
            let part = &mut lines[block * Q4K_PART..][..Q4K_PART];
            let (scale, min) = match block {
                0..4 => (scales[block] & 63, scales[block + 4] & 63),
                _ => (
                    scales[block + 4] & 15 | scales[block - 4] >> 6 << 4,
                    scales[block + 4] >> 4 | scales[block] >> 6 << 4,
                ),
            };
            or_byte_at(&mut part[8], column, scale);
            or_byte_at(&mut part[8], PANEL + column, min);
            for input in 0..32 {
                let pair = nibbles[block / 2 * 32 + input];
                or_nibble(part, input, column, if block % 2 == 0 { pair & 15 } else { pair >> 4 });
            }
        }
    }

    fn quantity(lines: &[Line], input: usize, column: usize) -> u8 {
        nibble(&lines[input / 32 * Q4K_PART..], input % 32, column)
    }

    fn scale(lines: &[Line], block: usize, column: usize) -> f32 {
        let scale = byte_at(&lines[block * Q4K_PART + 8], column);
        half(&lines[8 * Q4K_PART], column) * f32::from(scale)
    }

    fn min(lines: &[Line], block: usize, column: usize) -> f32 {
        let min = byte_at(&lines[block * Q4K_PART + 8], PANEL + column);
        half(&lines[8 * Q4K_PART + 1], column) * f32::from(min)
    }
}

/// Lines of 32 inputs in [`Q6K`]: their low nibbles, their high pairs of bits, and a line of the
/// scales of both blocks of 16.
pub(super) const Q6K_PART: usize = 13;

impl Blocks for Q6K {
    const STEP: usize = 256;
    const BYTES: usize = 210;
    const LINES: usize = 8 * Q6K_PART + 1;
    const BLOCK: usize = 16;
    const ZERO: u8 = 32;
    const HAS_MIN: bool = false;

    fn put(bytes: &[u8], column: usize, lines: &mut [Line]) {
        put_half(&mut lines[8 * Q6K_PART], column, [bytes[208], bytes[209]]);
        for block in 0..16 {
            let line = &mut lines[block / 2 * Q6K_PART + 12];
            or_byte_at(line, block % 2 * PANEL + column, bytes[192 + block]);
        }
        for input in 0..256 {
            // Each half of 128 has 64 bytes of low nibbles and 32 bytes of high pairs of bits.
            let (part, i) = (input / 128, input % 128);
            let low = bytes[part * 64 + i % 64] >> (i / 64 * 4) & 15;
            let high = bytes[128 + part * 32 + i % 32] >> (i / 32 * 2) & 3;
            let lines = &mut lines[input / 32 * Q6K_PART..][..Q6K_PART];
            or_nibble(lines, input % 32, column, low);
            let (word, shift) = (input % 32 / 4, input % 4);
            or_byte(&mut lines[8..], word / 4, column, shift, high << (word % 4 * 2));
        }
    }

    fn quantity(lines: &[Line], input: usize, column: usize) -> u8 {
        let lines = &lines[input / 32 * Q6K_PART..];
        let word = input % 32 / 4;
        let high = byte(&lines[8..], word / 4, column, input % 4) >> (word % 4 * 2) & 3;
        nibble(lines, input % 32, column) | high << 4
    }

    fn scale(lines: &[Line], block: usize, column: usize) -> f32 {
        let line = &lines[block / 2 * Q6K_PART + 12];
        let scale = byte_at(line, block % 2 * PANEL + column).cast_signed();
        half(&lines[8 * Q6K_PART], column) * f32::from(scale)
    }
}

/// Nibbles of inputs 0..16 are the low halves of bytes, those of 16..32 the high halves.
fn nibble(lines: &[Line], input: usize, column: usize) -> u8 {
    byte(lines, input % 16 / 4, column, input % 4) >> (input / 16 * 4) & 15
}

fn or_nibble(lines: &mut [Line], input: usize, column: usize, nibble: u8) {
    or_byte(lines, input % 16 / 4, column, input % 4, nibble << (input / 16 * 4));
}

/// Byte `place` of the word of `column`, in lines of one word of each of a panel's outputs.
fn byte(lines: &[Line], word: usize, column: usize, place: usize) -> u8 {
    byte_at(&lines[word * 2 + column / 16], column % 16 * 4 + place)
}

fn or_byte(lines: &mut [Line], word: usize, column: usize, place: usize, byte: u8) {
    or_byte_at(&mut lines[word * 2 + column / 16], column % 16 * 4 + place, byte);
}

fn byte_at(line: &Line, place: usize) -> u8 {
    (line.0[place / 4] >> (place % 4 * 8)) as u8
}

fn or_byte_at(line: &mut Line, place: usize, byte: u8) {
    line.0[place / 4] |= u32::from(byte) << (place % 4 * 8);
}

/// Number `column` of a line of 32 f16.
fn half(line: &Line, column: usize) -> f32 {
    f16::from_bits((line.0[column / 2] >> (column % 2 * 16)) as u16).to_f32()
}

fn put_half(line: &mut Line, column: usize, bytes: [u8; 2]) {
    line.0[column / 2] |= u32::from(u16::from_le_bytes(bytes)) << (column % 2 * 16);
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
    let mut largest = [0.0f32; 16];
    for values in values.as_chunks::<16>().0 {
        for (largest, value) in largest.iter_mut().zip(values) {
            let size = value.abs();
            *largest = if size > *largest { size } else { *largest };
        }
    }
    let largest = largest.into_iter().fold(0.0, f32::max);
    let factor = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let mut bytes = [0; N];
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = ((value * factor + ROUND) - ROUND) as i32 as i8;
    }
    (bytes, largest / 127.0)
}
