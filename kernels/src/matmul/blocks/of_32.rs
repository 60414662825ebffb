//! Formats of 32 weights that share a scale in f16.

use super::super::pack::Line;
use super::Blocks;
use super::lines::{byte, half, or_byte, or_quantity, put_half, quantity};

/// 32 signed bytes and a scale.
pub(in crate::matmul) struct Q8_0;

/// 32 quantities of 4 or 5 bits, a scale and, if it has a `MIN`, a minimum.
pub(in crate::matmul) struct Block<const BITS: usize, const MIN: bool>;

pub(in crate::matmul) type Q4_0 = Block<4, false>;
pub(in crate::matmul) type Q4_1 = Block<4, true>;
pub(in crate::matmul) type Q5_0 = Block<5, false>;
pub(in crate::matmul) type Q5_1 = Block<5, true>;

impl Blocks for Q8_0 {
    const STEP: usize = 32;
    const BYTES: usize = 34;
    const LINES: usize = 17;
    const BLOCK: usize = 32;
    const MOST: u8 = 255;
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

impl<const BITS: usize, const MIN: bool> Block<BITS, MIN> {
    /// The line of the scales, after those of the quantities: a bit of each takes two lines. That of the
    /// minima is the next.
    pub(in crate::matmul) const SCALES: usize = 2 * BITS;
    /// Stored bytes before the quantities: one or two f16.
    const ENDS: usize = if MIN { 4 } else { 2 };
    /// Stored bytes of fifth bits.
    const FIFTH_BITS: usize = (BITS - 4) * 4;
}

impl<const BITS: usize, const MIN: bool> Blocks for Block<BITS, MIN> {
    const STEP: usize = 32;
    const BYTES: usize = Self::ENDS + Self::FIFTH_BITS + 16;
    const LINES: usize = Self::SCALES + Self::ENDS / 2;
    const BLOCK: usize = 32;
    const MOST: u8 = (1 << BITS) - 1;
    const ZERO: u8 = if MIN { 0 } else { 1 << (BITS - 1) };
    const HAS_MIN: bool = MIN;

    fn put(bytes: &[u8], column: usize, lines: &mut [Line]) {
        let (ends, quantities) = bytes.split_at(Self::ENDS);
        put_half(&mut lines[Self::SCALES], column, [ends[0], ends[1]]);
        if MIN {
            // A stored minimum is added, and ours is taken away: the highest bit is the sign.
            put_half(&mut lines[Self::SCALES + 1], column, [ends[2], ends[3] ^ 0x80]);
        }
        let (fifth_bits, nibbles) = quantities.split_at(Self::FIFTH_BITS);
        for (i, byte) in nibbles.iter().enumerate() {
            for (input, low) in [(i, byte & 15), (i + 16, byte >> 4)] {
                let high = fifth_bits.get(input / 8).map_or(0, |bits| bits >> (input % 8) & 1);
                or_quantity::<BITS>(lines, input, column, low | high << 4);
            }
        }
    }

    fn quantity(lines: &[Line], input: usize, column: usize) -> u8 {
        quantity::<BITS>(lines, input, column)
    }

    fn scale(lines: &[Line], _block: usize, column: usize) -> f32 {
        half(&lines[Self::SCALES], column)
    }

    fn min(lines: &[Line], _block: usize, column: usize) -> f32 {
        if MIN { half(&lines[Self::SCALES + 1], column) } else { 0.0 }
    }
}
