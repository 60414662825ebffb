//! Formats of 256 weights in smaller blocks, whose scales share a factor in f16.

use super::super::PANEL;
use super::super::pack::Line;
use super::Blocks;
use super::lines::{
    byte, byte_at, half, nibble, or_byte, or_byte_at, or_nibble, or_quantity, put_half, quantity,
};

/// 8 × 32 quantities of 4 or 5 bits, each 32 with a scale and a minimum of 6 bits.
pub(in crate::matmul) struct SuperBlock<const BITS: usize>;

pub(in crate::matmul) type Q4K = SuperBlock<4>;
pub(in crate::matmul) type Q5K = SuperBlock<5>;

/// 16 × 16 quantities of 6 bits, each 16 with a scale of 8 bits.
pub(in crate::matmul) struct Q6K;

impl<const BITS: usize> SuperBlock<BITS> {
    /// The line of 32 scales and 32 minima, after those of the quantities of 32 inputs: a bit of each takes
    /// two lines.
    pub(in crate::matmul) const ENDS: usize = 2 * BITS;
    /// Lines of 32 inputs.
    pub(in crate::matmul) const PART: usize = Self::ENDS + 1;
    /// The line of the scales' factors, after all parts. That of the minima's is the next.
    pub(in crate::matmul) const FACTORS: usize = 8 * Self::PART;
    /// Stored bytes of fifth bits.
    const FIFTH_BITS: usize = (BITS - 4) * 32;
}

impl<const BITS: usize> Blocks for SuperBlock<BITS> {
    const STEP: usize = 256;
    const BYTES: usize = 16 + Self::FIFTH_BITS + 128;
    const LINES: usize = Self::FACTORS + 2;
    const BLOCK: usize = 32;
    const MOST: u8 = (1 << BITS) - 1;
    const ZERO: u8 = 0;
    const HAS_MIN: bool = true;

    fn put(bytes: &[u8], column: usize, lines: &mut [Line]) {
        put_half(&mut lines[Self::FACTORS], column, [bytes[0], bytes[1]]);
        put_half(&mut lines[Self::FACTORS + 1], column, [bytes[2], bytes[3]]);
        let (scales, quantities) = bytes[4..].split_at(12);
        let (fifth_bits, nibbles) = quantities.split_at(Self::FIFTH_BITS);
        for block in 0..8 {
            let part = &mut lines[block * Self::PART..][..Self::PART];
            let (scale, min) = scale_and_min(scales, block);
            or_byte_at(&mut part[Self::ENDS], column, scale);
            or_byte_at(&mut part[Self::ENDS], PANEL + column, min);
            for input in 0..32 {
                let low = nibbles[block / 2 * 32 + input] >> (block % 2 * 4) & 15;
                let high = fifth_bits.get(input).map_or(0, |bits| bits >> block & 1);
                or_quantity::<BITS>(part, input, column, low | high << 4);
            }
        }
    }

    fn quantity(lines: &[Line], input: usize, column: usize) -> u8 {
        quantity::<BITS>(&lines[input / 32 * Self::PART..], input % 32, column)
    }

    fn scale(lines: &[Line], block: usize, column: usize) -> f32 {
        let scale = byte_at(&lines[block * Self::PART + Self::ENDS], column);
        half(&lines[Self::FACTORS], column) * f32::from(scale)
    }

    fn min(lines: &[Line], block: usize, column: usize) -> f32 {
        let min = byte_at(&lines[block * Self::PART + Self::ENDS], PANEL + column);
        half(&lines[Self::FACTORS + 1], column) * f32::from(min)
    }
}

/// The scale and the minimum of a block, out of 12 bytes that hold 8 of each, of 6 bits.
fn scale_and_min(bytes: &[u8], block: usize) -> (u8, u8) {
    match block {
        0..4 => (bytes[block] & 63, bytes[block + 4] & 63),
        _ => (
            bytes[block + 4] & 15 | bytes[block - 4] >> 6 << 4,
            bytes[block + 4] >> 4 | bytes[block] >> 6 << 4,
        ),
    }
}

/// Lines of 32 inputs in [`Q6K`]: their low nibbles, their high pairs of bits, and a line of the
/// scales of both blocks of 16.
pub(in crate::matmul) const Q6K_PART: usize = 13;

impl Blocks for Q6K {
    const STEP: usize = 256;
    const BYTES: usize = 210;
    const LINES: usize = 8 * Q6K_PART + 1;
    const BLOCK: usize = 16;
    const MOST: u8 = 63;
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
