//! Weights of bf16 as f16, a block of a panel at a time, for products of many rows.
//!
//! Intel's processors with AVX512-FP16 multiply and add 32 values of f16 in an instruction, twice a
//! cycle, where a dot product of 32 values of bf16 takes two cycles. In f16 a weight of bf16 keeps all
//! of its bits, and an activation three more than in bf16; sums soon lack some, so they become f32
//! after [`STEP`] inputs. By [`SCALED`] neither they nor their summands leave the range of f16.

use std::arch::x86_64::*;

use super::avx512::{self, load, store};
use super::avx512_bf16::high_half;
use super::gemm::grow;
use super::pack::{LINES, Line};
use super::{Kernel, Tile, avx512_pack};

/// Inputs whose products are summed in f16.
const STEP: usize = 256;
/// Inputs whose products are summed one after the other, by two sums of half of them each. The sums of
/// parts are then added: the fewer summands follow one another, the less do sums lose.
const PART: usize = 64;
/// Words of a row's step: its pairs, and what its sums are to be multiplied with.
const ROW_WORDS: usize = STEP / 2 + 1;
/// Power of two that a row's step has for its largest exponent, where weights have 0: sums of 256
/// products are below 2 · 2 · 2⁵ · 256 = 2¹⁵.
const SCALED: i32 = 5;

/// bf16 weights that become f16 a block of a panel at a time. Made only where the instructions were
/// detected.
pub(super) struct Halves(());

impl Halves {
    /// # Safety
    /// The machine must have the instructions that [`avx512::detected`] looks for, f16 among them.
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

impl Kernel for Halves {
    const ROWS: usize = 12;
    const STEP: usize = STEP;
    const ROW_WORDS: usize = ROW_WORDS;
    const LINES: usize = STEP / 2 * LINES;
    // A panel's block of 32 KiB, which stays in a first-level cache of 48.
    const BLOCK_STEPS: usize = 2;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        for (step, packed) in packed.chunks_exact_mut(ROW_WORDS * R).enumerate() {
            let rows = rows.map(|row| &row[step * STEP..row.len().min((step + 1) * STEP)]);
            // SAFETY: the value exists, so the instructions were detected.
            unsafe { pack_step(rows, packed) };
        }
    }

    fn widen<'a>(&self, lines: &'a [Line], wide: &'a mut Vec<Line>) -> &'a [Line] {
        let count = lines.len().next_multiple_of(PART / 2 * LINES) + LINES;
        grow(wide, count);
        let (words, ends) = wide[..count].split_at_mut(count - LINES);
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { halve(lines, words, ends) };
        &wide[..count]
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        let steps = (panel.len() - LINES).div_ceil(Self::LINES); // the last may be of fewer parts
        assert_eq!(rows.len(), steps * ROW_WORDS * R);
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and
        // whoever made the tile vouches for its places.
        unsafe { tile_halves::<R>(rows, panel, tile) }
    }
}

/// Scales up to [`STEP`] inputs of each row by a power of two, and packs them as f16; inputs that are
/// missing are zeros. What undoes the scaling comes after the pairs: NaN where a row holds what is no
/// number.
#[target_feature(enable = "avx512f,avx512bw,avx512fp16")]
fn pack_step<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    let (pairs, ends) = packed.split_at_mut((ROW_WORDS - 1) * R);
    let mut scales = [_mm512_setzero_ps(); R];
    for ((scale, row), end) in scales.iter_mut().zip(rows).zip(ends) {
        let mut largest = _mm512_setzero_si512();
        for first in (0..row.len()).step_by(16) {
            let size = _mm512_castps_si512(_mm512_abs_ps(load_up_to_16(row, first)));
            largest = _mm512_max_epi32(largest, size);
        }
        let exponent = exponent_of(_mm512_reduce_max_epi32(largest));
        *scale = _mm512_set1_ps(power_of_two(SCALED - exponent));
        *end = match exponent {
            NO_NUMBER => f32::NAN.to_bits(),
            exponent => power_of_two(exponent - SCALED).to_bits(),
        };
    }
    for (part, packed) in pairs.chunks_exact_mut(16 * R).enumerate() {
        let mut words = [_mm512_setzero_si512(); R];
        for ((words, row), scale) in words.iter_mut().zip(rows).zip(scales) {
            let low = as_halves(_mm512_mul_ps(load_up_to_16(row, 32 * part), scale));
            let high = as_halves(_mm512_mul_ps(load_up_to_16(row, 32 * part + 16), scale));
            *words = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
        }
        avx512_pack::interleave::<R>(|r| words[r], packed);
    }
}

/// The values from `first` on, with zeros where there are fewer than 16.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_up_to_16(row: &[f32], first: usize) -> __m512 {
    let left = row.len().saturating_sub(first).min(16);
    // SAFETY: the mask keeps to the values that there are.
    unsafe { _mm512_maskz_loadu_ps(((1u32 << left) - 1) as u16, row.as_ptr().wrapping_add(first)) }
}

/// Values rounded to f16, of two that are as near to the even one.
#[inline]
#[target_feature(enable = "avx512f")]
fn as_halves(values: __m512) -> __m256i {
    _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(values)
}

/// What f32 adds to an exponent.
const BIAS: i32 = 127;
/// Exponent of infinities and of what is no number.
const NO_NUMBER: i32 = 128;
/// Smaller exponents, zero's among them, are taken for this one, so that their powers of two are numbers.
const SMALLEST: i32 = -100;

/// The exponent of a number of f32 with these bits and no sign.
fn exponent_of(bits: i32) -> i32 {
    ((bits >> 23) - BIAS).max(SMALLEST)
}

/// 2 to the power of `exponent`, which must be one of f32's.
fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((exponent + BIAS) << 23).cast_unsigned())
}

/// Writes pairs of bf16 as pairs of f16, each output scaled by a power of two, with zeros to the end of
/// a part, and what undoes the scaling: NaN where an output's weights hold what is no number.
#[target_feature(enable = "avx512f,avx512bw,avx512fp16")]
fn halve(lines: &[Line], wide: &mut [Line], ends: &mut [Line]) {
    let mut largest = [_mm512_setzero_si512(); LINES];
    for lines in lines.chunks_exact(LINES) {
        for (largest, line) in largest.iter_mut().zip(lines) {
            let sizes = _mm512_and_si512(load(line), _mm512_set1_epi16(i16::MAX));
            *largest = _mm512_max_epu16(*largest, sizes);
        }
    }
    let mut scales = [_mm512_setzero_ps(); LINES];
    for ((scale, largest), end) in scales.iter_mut().zip(largest).zip(ends) {
        // The larger of a pair, and of bf16 the exponent's bits, which are those of f32.
        let largest = _mm512_max_epu16(largest, _mm512_slli_epi32::<16>(largest));
        let exponent = _mm512_srli_epi32::<23>(largest);
        let kept = _mm512_max_epi32(exponent, _mm512_set1_epi32(SMALLEST + BIAS));
        let power = |exponent| _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent));
        *scale = power(_mm512_sub_epi32(_mm512_set1_epi32(2 * BIAS), kept));
        let none = _mm512_cmpeq_epi32_mask(kept, _mm512_set1_epi32(NO_NUMBER + BIAS));
        store(
            end,
            _mm512_castps_si512(_mm512_mask_mov_ps(power(kept), none, _mm512_set1_ps(f32::NAN))),
        );
    }
    let (words, rest) = wide.split_at_mut(lines.len());
    for (lines, wide) in lines.chunks_exact(LINES).zip(words.chunks_exact_mut(LINES)) {
        for ((line, scale), wide) in lines.iter().zip(scales).zip(wide) {
            let words = load(line);
            let halves = [_mm512_slli_epi32::<16>(words), high_half(words)].map(|values| {
                let scaled = _mm512_mul_ps(_mm512_castsi512_ps(values), scale);
                _mm512_cvtepu16_epi32(as_halves(scaled))
            });
            store(wide, _mm512_or_si512(halves[0], _mm512_slli_epi32::<16>(halves[1])));
        }
    }
    rest.fill(Line([0; 16]));
}

/// # Safety
/// There must be as many steps of `R` rows as of the panel, of whole parts, and its ends; the tile's places must be
/// readable and writable, and no other task may touch them.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx512fp16")]
unsafe fn tile_halves<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
    align_frame();
    let mut sums = [[_mm512_setzero_ps(); LINES]; R];
    let (words, ends) = panel.split_at(panel.len() - LINES);
    let steps = words.chunks(STEP / 2 * LINES).zip(rows.chunks_exact(ROW_WORDS * R));
    for (lines, rows) in steps {
        let mut totals = [[_mm512_setzero_ph(); LINES]; R];
        let (rows, scales) = rows.split_at((ROW_WORDS - 1) * R);
        let parts = lines.chunks_exact(PART / 2 * LINES).zip(rows.chunks_exact(PART / 2 * R));
        for (lines, rows) in parts {
            let halves = multiply_part::<R>(rows, lines);
            for (total, half) in totals.as_flattened_mut().iter_mut().zip(halves.as_flattened()) {
                *total = _mm512_add_ph(*total, *half);
            }
        }
        for ((sums, totals), scale) in sums.iter_mut().zip(totals).zip(scales) {
            let scale = _mm512_set1_ps(f32::from_bits(*scale));
            for (sum, half) in sums.iter_mut().zip(sums_of_pairs(totals)) {
                *sum = _mm512_fmadd_ps(_mm512_cvtph_ps(half), scale, *sum);
            }
        }
    }
    let scales = [0, 1].map(|line| _mm512_castsi512_ps(load(&ends[line])));
    for sums in &mut sums {
        *sums = in_order(*sums);
        for (sum, scale) in sums.iter_mut().zip(scales) {
            *sum = _mm512_mul_ps(*sum, scale);
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { avx512::write(&sums, tile) }
}

/// Has the compiler lay the frame of the function that this becomes part of at a cache line's beginning.
///
/// It does so by itself where a function keeps something so wide in memory. Elsewhere registers that do
/// not fit are written across two lines and read back from them: with the sums of 12 rows that took a
/// seventh of the time.
#[inline(always)]
fn align_frame() {
    std::hint::black_box(&Line([0; 16]));
}

/// Products of the inputs of a part, those of even and those of odd ones apart.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512fp16")]
fn multiply_part<const R: usize>(rows: &[u32], lines: &[Line]) -> [[__m512h; LINES]; R] {
    let mut halves = [[_mm512_setzero_ph(); LINES]; R];
    for (pair, rows) in lines.chunks_exact(LINES).zip(rows.chunks_exact(R)) {
        let [left, right] = [0, 1].map(|line| _mm512_castsi512_ph(load(&pair[line])));
        for (halves, row) in halves.iter_mut().zip(rows) {
            let row = _mm512_castsi512_ph(_mm512_set1_epi32(row.cast_signed()));
            halves[0] = _mm512_fmadd_ph(row, left, halves[0]);
            halves[1] = _mm512_fmadd_ph(row, right, halves[1]);
        }
    }
    halves
}

/// The sums of pairs: of outputs 0, 16, 1, 17 and so on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx512fp16")]
fn sums_of_pairs([left, right]: [__m512h; 2]) -> [__m256i; 2] {
    const ODD: u32 = 0xaaaa_aaaa;
    let [left, right] = [left, right].map(|sums| _mm512_castph_si512(sums));
    let ends = _mm512_mask_blend_epi16(ODD, left, right);
    let middles = _mm512_shrdi_epi32::<16>(left, right);
    let sums = _mm512_add_ph(_mm512_castsi512_ph(ends), _mm512_castsi512_ph(middles));
    let sums = _mm512_castph_si512(sums);
    [_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums)]
}

/// Outputs in the order of [`sums_of_pairs`] in their own.
#[inline]
#[target_feature(enable = "avx512f")]
fn in_order([low, high]: [__m512; 2]) -> [__m512; 2] {
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    [even, odd].map(|order| _mm512_permutex2var_ps(low, order, high))
}
