//! Where the quantities of a panel's outputs lie in its lines.

use half::f16;

use super::super::pack::Line;

/// The first line of the bits past the nibbles, after those of the nibbles of 32 inputs. A fifth bit has
/// a word of each output: that of input `4 · w + i` is bit `8 · i + w` of it, so that one shift moves
/// those of a word of quantities to where they belong.
pub(in crate::matmul) const HIGH: usize = 8;

/// A quantity of 4 or 5 bits.
pub(super) fn quantity<const BITS: usize>(lines: &[Line], input: usize, column: usize) -> u8 {
    let low = nibble(lines, input, column);
    match BITS {
        5 => low | (byte(&lines[HIGH..], 0, column, input % 4) >> (input / 4) & 1) << 4,
        _ => low,
    }
}

/// Puts a quantity of 4 or 5 bits where there are zeros.
pub(super) fn or_quantity<const BITS: usize>(
    lines: &mut [Line],
    input: usize,
    column: usize,
    quantity: u8,
) {
    or_nibble(lines, input, column, quantity & 15);
    if BITS == 5 {
        or_byte(&mut lines[HIGH..], 0, column, input % 4, quantity >> 4 << (input / 4));
    }
}

/// Nibbles of inputs 0..16 are the low halves of bytes, those of 16..32 the high halves.
pub(super) fn nibble(lines: &[Line], input: usize, column: usize) -> u8 {
    byte(lines, input % 16 / 4, column, input % 4) >> (input / 16 * 4) & 15
}

pub(super) fn or_nibble(lines: &mut [Line], input: usize, column: usize, nibble: u8) {
    or_byte(lines, input % 16 / 4, column, input % 4, nibble << (input / 16 * 4));
}

/// Byte `place` of the word of `column`, in lines of one word of each of a panel's outputs.
pub(super) fn byte(lines: &[Line], word: usize, column: usize, place: usize) -> u8 {
    byte_at(&lines[word * 2 + column / 16], column % 16 * 4 + place)
}

pub(super) fn or_byte(lines: &mut [Line], word: usize, column: usize, place: usize, byte: u8) {
    or_byte_at(&mut lines[word * 2 + column / 16], column % 16 * 4 + place, byte);
}

pub(super) fn byte_at(line: &Line, place: usize) -> u8 {
    (line.0[place / 4] >> (place % 4 * 8)) as u8
}

pub(super) fn or_byte_at(line: &mut Line, place: usize, byte: u8) {
    line.0[place / 4] |= u32::from(byte) << (place % 4 * 8);
}

/// Number `column` of a line of 32 f16.
pub(super) fn half(line: &Line, column: usize) -> f32 {
    f16::from_bits((line.0[column / 2] >> (column % 2 * 16)) as u16).to_f32()
}

pub(super) fn put_half(line: &mut Line, column: usize, bytes: [u8; 2]) {
    line.0[column / 2] |= u32::from(u16::from_le_bytes(bytes)) << (column % 2 * 16);
}
