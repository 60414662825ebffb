//! Where the formats keep their quantities and scales.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::PANEL;
use super::super::blocks::{Block, HIGH, Q6K, Q6K_PART, Q8_0, SuperBlock};
use super::super::neon_dots::{LARGEST_SIGNED, signed};
use super::super::pack::Line;
use super::Quads;

impl Quads for Q8_0 {
    const LARGEST: usize = LARGEST_SIGNED;
    const IS_SIGNED: bool = true;

    #[inline(always)]
    unsafe fn word<const WORD: usize>(part: *const Line, quad: usize) -> int8x16_t {
        // SAFETY: 32 inputs have 8 words of two lines.
        unsafe { signed(load(part.add(2 * WORD), quad)) }
    }

    #[inline(always)]
    unsafe fn scales(step: *const Line, _block: usize, quad: usize) -> float32x4_t {
        // SAFETY: the scales are the last line.
        unsafe { halves(step.add(16), quad) }
    }
}

impl<const BITS: usize, const MIN: bool> Quads for Block<BITS, MIN> {
    #[inline(always)]
    unsafe fn word<const WORD: usize>(part: *const Line, quad: usize) -> int8x16_t {
        // SAFETY: 32 inputs start with the lines of their quantities.
        unsafe { quantities::<BITS, WORD>(part, quad) }
    }

    #[inline(always)]
    unsafe fn scales(step: *const Line, _block: usize, quad: usize) -> float32x4_t {
        // SAFETY: there is a line of scales.
        unsafe { halves(step.add(Self::SCALES), quad) }
    }

    #[inline(always)]
    unsafe fn mins(step: *const Line, _block: usize, quad: usize) -> float32x4_t {
        // SAFETY: the format has minima, as the caller vouches, in the line after the scales.
        unsafe { halves(step.add(Self::SCALES + 1), quad) }
    }
}

impl<const BITS: usize> Quads for SuperBlock<BITS> {
    #[inline(always)]
    unsafe fn word<const WORD: usize>(part: *const Line, quad: usize) -> int8x16_t {
        // SAFETY: 32 inputs start with the lines of their quantities.
        unsafe { quantities::<BITS, WORD>(part, quad) }
    }

    #[inline(always)]
    unsafe fn scales(step: *const Line, block: usize, quad: usize) -> float32x4_t {
        // SAFETY: each part ends with a line of 32 scales and 32 minima; the factor of the scales is
        // the line after the parts.
        unsafe {
            let ends = step.add(block * Self::PART + Self::ENDS);
            let scales = vcvtq_f32_u32(unsigned(ends, quad * 4));
            vmulq_f32(scales, halves(step.add(Self::FACTORS), quad))
        }
    }

    #[inline(always)]
    unsafe fn mins(step: *const Line, block: usize, quad: usize) -> float32x4_t {
        // SAFETY: as for the scales; the factor of the minima is the last line.
        unsafe {
            let ends = step.add(block * Self::PART + Self::ENDS);
            let mins = vcvtq_f32_u32(unsigned(ends, PANEL + quad * 4));
            vmulq_f32(mins, halves(step.add(Self::FACTORS + 1), quad))
        }
    }
}

impl Quads for Q6K {
    #[inline(always)]
    unsafe fn word<const WORD: usize>(part: *const Line, quad: usize) -> int8x16_t {
        // SAFETY: 32 inputs start with 8 lines of nibbles and 4 of pairs of bits; two lines of these
        // hold 4 words.
        unsafe {
            let pairs = load(part.add(HIGH + WORD / 4 * 2), quad);
            // Bits that are to be at 4 and 5 of each byte are at 2 · (WORD % 4).
            let moved = match WORD % 4 {
                0 => vshlq_n_u8::<4>(pairs),
                1 => vshlq_n_u8::<2>(pairs),
                2 => pairs,
                _ => vshrq_n_u8::<2>(pairs),
            };
            let high = vandq_u8(moved, vdupq_n_u8(0x30));
            vreinterpretq_s8_u8(vorrq_u8(nibbles::<WORD>(part, quad), high))
        }
    }

    #[inline(always)]
    unsafe fn scales(step: *const Line, block: usize, quad: usize) -> float32x4_t {
        // SAFETY: each part ends with a line of two times 32 scales; the factor is the last line.
        unsafe {
            let line = step.add(block / 2 * Q6K_PART + 12);
            let scales = vcvtq_f32_s32(whole(line, block % 2 * PANEL + quad * 4));
            vmulq_f32(scales, halves(step.add(8 * Q6K_PART), quad))
        }
    }
}

/// A quad of two lines of words.
///
/// # Safety
/// `lines` must point to two lines, and `quad` be below [`super::QUADS`].
#[inline(always)]
unsafe fn load(lines: *const Line, quad: usize) -> uint8x16_t {
    // SAFETY: two lines are 8 times 16 bytes.
    unsafe { vld1q_u8(lines.cast::<u8>().add(16 * quad)) }
}

/// Word `WORD` of 8 of quantities of 4 or 5 bits.
///
/// # Safety
/// `lines` must point to the lines of 32 inputs' quantities, `WORD` be below 8 and `quad` below
/// [`super::QUADS`].
#[inline(always)]
unsafe fn quantities<const BITS: usize, const WORD: usize>(
    lines: *const Line,
    quad: usize,
) -> int8x16_t {
    // SAFETY: the lines start with 8 of nibbles; 2 of fifth bits follow where there are any.
    unsafe {
        let low = nibbles::<WORD>(lines, quad);
        if const { BITS == 4 } {
            return vreinterpretq_s8_u8(low);
        }
        let bits = load(lines.add(HIGH), quad);
        let moved = match WORD {
            0 => vshlq_n_u8::<4>(bits),
            1 => vshlq_n_u8::<3>(bits),
            2 => vshlq_n_u8::<2>(bits),
            3 => vshlq_n_u8::<1>(bits),
            4 => bits,
            5 => vshrq_n_u8::<1>(bits),
            6 => vshrq_n_u8::<2>(bits),
            _ => vshrq_n_u8::<3>(bits),
        };
        vreinterpretq_s8_u8(vorrq_u8(low, vandq_u8(moved, vdupq_n_u8(0x10))))
    }
}

/// The nibbles of word `WORD` of 8.
///
/// # Safety
/// `lines` must point to 8 lines, `WORD` be below 8 and `quad` below [`super::QUADS`].
#[inline(always)]
unsafe fn nibbles<const WORD: usize>(lines: *const Line, quad: usize) -> uint8x16_t {
    // SAFETY: two lines hold the low nibbles of one word and the high nibbles of another.
    unsafe {
        let both = load(lines.add(WORD % 4 * 2), quad);
        match WORD / 4 {
            0 => vandq_u8(both, vdupq_n_u8(15)),
            _ => vshrq_n_u8::<4>(both),
        }
    }
}

/// Four bytes of a line, from byte `first` on.
///
/// # Safety
/// `line` must point to a line, and `first` be at most 60.
#[inline(always)]
unsafe fn bytes(line: *const Line, first: usize) -> uint8x8_t {
    // SAFETY: a line is 64 bytes.
    unsafe {
        let bytes = line.cast::<u8>().add(first).cast::<u32>().read_unaligned();
        vreinterpret_u8_u32(vdup_n_u32(bytes))
    }
}

/// Four bytes of a line as unsigned numbers.
///
/// # Safety
/// As [`bytes`].
#[inline(always)]
unsafe fn unsigned(line: *const Line, first: usize) -> uint32x4_t {
    // SAFETY: as the caller vouches.
    unsafe { vmovl_u16(vget_low_u16(vmovl_u8(bytes(line, first)))) }
}

/// Four bytes of a line as signed numbers.
///
/// # Safety
/// As [`bytes`].
#[inline(always)]
unsafe fn whole(line: *const Line, first: usize) -> int32x4_t {
    // SAFETY: as the caller vouches.
    unsafe {
        let bytes = vreinterpret_s8_u8(bytes(line, first));
        vmovl_s16(vget_low_s16(vmovl_s8(bytes)))
    }
}

/// A quad of a line of 32 f16.
///
/// # Safety
/// `line` must point to a line, and `quad` be below [`super::QUADS`].
#[inline(always)]
unsafe fn halves(line: *const Line, quad: usize) -> float32x4_t {
    // SAFETY: a line is 8 times 8 bytes. Every processor of the architecture has the instruction,
    // which touches no memory; the standard library has no stable function for it.
    unsafe {
        let halves = vld1_u16(line.cast::<u16>().add(4 * quad));
        let values: float32x4_t;
        asm!(
            "fcvtl {values:v}.4s, {halves:v}.4h",
            values = out(vreg) values,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
        values
    }
}
