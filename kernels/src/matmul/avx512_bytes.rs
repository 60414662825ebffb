//! Weights of four to six bits as bytes, a block of a panel at a time, for products of many rows.
//!
//! Blocks of 16 or 32 inputs have a scale each, and applying it costs as much as their dot products.
//! Where many rows meet a block, its weights are first rounded to bytes that share a scale for 256
//! inputs, as [`super::int8`] has them. That adds at most 1/240 of the largest weight of the 256
//! that the blocks' scales and minima allow. Rounding to four bits has put an eighth of a block's
//! largest weight, rounding to six a thirty-second. Blocks of bytes stay as they are: to them it
//! would add as much as they are off already.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::avx512::store;
use super::avx512_blocks::Vectors;
use super::avx512_int8::Avx512Int8;
use super::blocks::{Block, Q6K, ROW_BLOCK, SuperBlock};
use super::gemm::{LONG_BLOCK, grow};
use super::int8;
use super::pack::Line;
use super::{Kernel, Tile};

/// Formats whose quantities have less than eight bits.
pub(super) trait Narrow: Vectors {}

impl<const BITS: usize, const MIN: bool> Narrow for Block<BITS, MIN> {}
impl<const BITS: usize> Narrow for SuperBlock<BITS> {}
impl Narrow for Q6K {}

/// Weights in the blocks of `B`. Made only where the instructions were detected.
pub(super) struct Avx512Bytes<B>(Avx512Int8, PhantomData<B>);

impl<B> Avx512Bytes<B> {
    /// # Safety
    /// The machine must have the instructions that [`super::avx512::detected`] looks for.
    pub(super) const unsafe fn new() -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { Avx512Int8::new() }, PhantomData)
    }
}

impl<B: Narrow> Kernel for Avx512Bytes<B> {
    const ROWS: usize = Avx512Int8::ROWS;
    const STEP: usize = int8::STEP;
    const ROW_WORDS: usize = int8::ROW_WORDS;
    const LINES: usize = int8::STEP / B::STEP * B::LINES;
    // Half as many as bytes that are not made anew for each block of rows: so it has more rows.
    const BLOCK_STEPS: usize = LONG_BLOCK / int8::STEP / 2;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        self.0.pack(rows, packed);
    }

    fn widen<'a>(&self, lines: &'a [Line], wide: &'a mut Vec<Line>) -> &'a [Line] {
        let count = lines.len().div_ceil(Self::LINES) * int8::LINES;
        grow(wide, count);
        let wide = &mut wide[..count];
        let steps = lines.chunks(Self::LINES).zip(wide.chunks_exact_mut(int8::LINES));
        for (lines, wide) in steps {
            // SAFETY: the value exists, so the instructions were detected; the lines are those of a
            // step, whose stored blocks may be fewer in the last one.
            unsafe { widen_step::<B>(lines, wide) };
        }
        wide
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        self.0.tile::<R>(rows, panel, tile);
    }
}

/// Scale of each output, and what is added to its scaled quantities.
pub(super) type Scaled = ([__m512; 2], [__m512; 2]);

/// How the quantities of a block become weights.
///
/// # Safety
/// `block` must be one of the stored block whose lines are at `stored`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn scaled<B: Vectors>(stored: *const Line, block: usize) -> Scaled {
    // SAFETY: the caller's promise.
    unsafe {
        let scales = [0, 1].map(|half| B::scales(stored, block, half));
        let zero = _mm512_set1_ps(-f32::from(B::ZERO));
        let mut offsets = scales.map(|scale| _mm512_mul_ps(scale, zero));
        if B::HAS_MIN {
            offsets = [0, 1].map(|half| _mm512_sub_ps(offsets[half], B::mins(stored, block, half)));
        }
        (scales, offsets)
    }
}

/// Writes a step of bytes with its scales: the lines that [`int8`] describes.
///
/// # Safety
/// The machine must have the instructions; `lines` must be those of at most 256 inputs, and `wide`
/// as many as a step of bytes has. Inputs that are missing become zeros.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn widen_step<B: Narrow>(lines: &[Line], wide: &mut [Line]) {
    let most = _mm512_set1_ps(f32::from(B::MOST));
    let mut largest = [_mm512_setzero_ps(); 2];
    for stored in lines.chunks_exact(B::LINES) {
        for block in 0..B::STEP / B::BLOCK {
            // SAFETY: the block is one of the stored block's.
            let (scales, offsets) = unsafe { scaled::<B>(stored.as_ptr(), block) };
            for half in 0..2 {
                let high = _mm512_fmadd_ps(scales[half], most, offsets[half]);
                let size = _mm512_max_ps(_mm512_abs_ps(high), _mm512_abs_ps(offsets[half]));
                largest[half] = _mm512_max_ps(largest[half], size);
            }
        }
    }
    let some =
        largest.map(|largest| _mm512_cmp_ps_mask::<_CMP_GT_OQ>(largest, _mm512_setzero_ps()));
    let byte = _mm512_set1_ps(127.0);
    let factors = [0, 1].map(|half| _mm512_maskz_div_ps(some[half], byte, largest[half]));
    let (words, ends) = wide.split_at_mut(2 * int8::WORDS);
    for (line, largest) in ends.iter_mut().zip(largest) {
        store(line, _mm512_castps_si512(_mm512_div_ps(largest, byte)));
    }
    let mut words = words.as_chunks_mut::<2>().0.iter_mut();
    for stored in lines.chunks_exact(B::LINES) {
        for block in 0..B::STEP / B::BLOCK {
            let (part, first) = (block * B::BLOCK / ROW_BLOCK, block * B::BLOCK % ROW_BLOCK / 4);
            // SAFETY: block and part are those of the stored block, as are the block's words.
            unsafe {
                let (scales, offsets) = scaled::<B>(stored.as_ptr(), block);
                let pairs = [0, 1].map(|half| {
                    Pairs::new::<B>(
                        _mm512_mul_ps(scales[half], factors[half]),
                        _mm512_mul_ps(offsets[half], factors[half]),
                    )
                });
                let part = stored.as_ptr().add(B::part(part));
                for word in first..first + B::BLOCK / 4 {
                    let Some(wide) = words.next() else { return };
                    for (half, line) in wide.iter_mut().enumerate() {
                        let quantities = B::word(part, word, half);
                        store(line, pairs[half].bytes_of::<B>(quantities));
                    }
                }
            }
        }
    }
    for line in words.flatten() {
        *line = Line([u32::from_ne_bytes([int8::ZERO; 4]); 16]);
    }
}

/// Bits of a byte's fraction.
const FRACTION: u32 = 6;

/// What turns the quantities of a block into unsigned bytes, `128 + scale · q + offset`, for each
/// output: pairs of 16 bits, in fixed point. Rounding is to the nearest byte but for 1/32 of it, for
/// scale, product and offset are themselves rounded.
struct Pairs {
    scales: __m512i,
    offsets: __m512i,
}

impl Pairs {
    /// Bits of a quantity.
    const fn bits<B: Narrow>() -> u32 {
        B::MOST.ilog2() + 1
    }

    /// Takes scales of at most 254 by the largest quantity, and offsets of at most 127.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn new<B: Narrow>(scales: __m512, offsets: __m512) -> Self {
        const ODD: u32 = 0xaaaa_aaaa;
        let twice = |values: __m512| {
            let values = _mm512_cvtps_epi32(values);
            _mm512_mask_blend_epi16(ODD, values, _mm512_slli_epi32::<16>(values))
        };
        let one = (1 << FRACTION) as f32;
        let scales = _mm512_mul_ps(scales, _mm512_set1_ps(one * (1 << Self::bits::<B>()) as f32));
        let offsets = _mm512_fmadd_ps(offsets, _mm512_set1_ps(one), _mm512_set1_ps(128.5 * one));
        Self { scales: twice(scales), offsets: twice(offsets) }
    }

    /// Four quantities of each output as bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn bytes_of<B: Narrow>(&self, quantities: __m512i) -> __m512i {
        // From the top of 15 bits on, a product's upper half is rounded to the fraction's bits.
        let top = _mm_cvtsi32_si128((15 - Self::bits::<B>()).cast_signed());
        let even = _mm512_sll_epi16(quantities, top);
        let odd = _mm512_sll_epi16(_mm512_srli_epi16::<8>(quantities), top);
        let [even, odd] = [even, odd].map(|quantities| {
            _mm512_add_epi16(_mm512_mulhrs_epi16(quantities, self.scales), self.offsets)
        });
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let even = _mm512_srli_epi16::<FRACTION>(even);
        _mm512_mask_blend_epi8(ODD, even, _mm512_slli_epi16::<{ 8 - FRACTION }>(odd))
    }
}
