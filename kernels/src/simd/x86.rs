//! Registers of x86-64.

use super::{COARSE_EXP2, Lanes, Task};
use super::{
    bytes_one_by_one, dot_bytes_one_by_one, dot_pairs_one_by_one, pairs_across_one_by_one,
    pairs_one_by_one,
};
use half::f16;
use std::arch::x86_64::*;
use std::mem::transmute;

/// Does the work with AVX-512.
#[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
pub(super) fn run_avx512<T: Task>(task: T) -> T::Output {
    // SAFETY: this function's own callers see to it that the processor has the instructions.
    unsafe { task.run::<Avx512<false>>() }
}

/// Does the work with AVX-512 and its dot products of bf16 and of bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512bf16,avx512vnni,avx2,fma")]
pub(super) fn run_avx512_bf16<T: Task>(task: T) -> T::Output {
    // SAFETY: this function's own callers see to it that the processor has the instructions.
    unsafe { task.run::<Avx512<true>>() }
}

/// Four registers of values within ±127, one after the other, as bytes: the nearest whole numbers,
/// of two the even one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn signed_bytes(values: [__m512; 4]) -> __m512i {
    let [a, b, c, d] = values.map(|register| _mm512_cvtps_epi32(register));
    let (low, high) = (_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high))
}

/// Does the work with AVX2.
#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn run_avx2<T: Task>(task: T) -> T::Output {
    // SAFETY: this function's own callers see to it that the processor has the instructions.
    unsafe { task.run::<__m256>() }
}

/// A register of 512 bits; with `DOTS` on a processor with dot products of bf16 and of bytes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Avx512<const DOTS: bool>(__m512);

// SAFETY of every block below: callers promise the instructions, and the values behind pointers.
impl<const DOTS: bool> Lanes for Avx512<DOTS> {
    const COUNT: usize = 16;
    const PANEL: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const f16) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, summand.0) })
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)
        })
    }

    #[inline(always)]
    unsafe fn scale(self, exponent: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let least = _mm512_set1_ps(-126.0);
            let kept = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(exponent.0, least);
            _mm512_maskz_scalef_ps(kept, self.0, exponent.0)
        })
    }

    #[inline(always)]
    unsafe fn coarse_exp2(self) -> Self {
        // Adding it leaves the nearest whole number in the lowest bits.
        const WHOLE: f32 = 12_582_912.0; // 1.5 · 2²³
        let [constant, linear, square, cube] = COARSE_EXP2;
        // SAFETY: see above.
        Self(unsafe {
            let set = |value: f32| _mm512_set1_ps(value);
            let exponent = _mm512_max_ps(set(-126.0), self.0); // of NaN and a number the second
            let whole = _mm512_add_ps(exponent, set(WHOLE));
            let rest = _mm512_sub_ps(exponent, _mm512_sub_ps(whole, set(WHOLE)));
            let sum = _mm512_fmadd_ps(set(cube), rest, set(square));
            let sum = _mm512_fmadd_ps(sum, rest, set(linear));
            let sum = _mm512_fmadd_ps(sum, rest, set(constant));
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(whole));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(sum), exponent))
        })
    }

    #[inline(always)]
    unsafe fn pairs(self, next: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            if !DOTS {
                return pairs_one_by_one(self, next);
            }
            // A register of bf16 has the bits of one of f32; the low half of the lanes comes last.
            Self(transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(next.0, self.0)))
        }
    }

    #[inline(always)]
    unsafe fn pairs_across(self, next: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            if !DOTS {
                return pairs_across_one_by_one(self, next);
            }
            let [low, high] = [self, next].map(|register| {
                let rounded = transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(register.0));
                _mm512_cvtepu16_epi32(rounded)
            });
            Self(_mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32::<16>(high))))
        }
    }

    #[inline(always)]
    unsafe fn bytes(values: [Self; 4], unsigned: bool) -> Self {
        // SAFETY: see above.
        unsafe {
            if !DOTS {
                return bytes_one_by_one(values, unsigned);
            }
            let bytes = signed_bytes(values.map(|register| register.0));
            let flip = _mm512_set1_epi8(if unsigned { i8::MIN } else { 0 });
            Self(_mm512_castsi512_ps(_mm512_xor_si512(bytes, flip)))
        }
    }

    #[inline(always)]
    unsafe fn dot_pairs(self, other: Self, sum: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            if !DOTS {
                return dot_pairs_one_by_one(self, other, sum);
            }
            let pairs = |register| transmute::<__m512, __m512bh>(register);
            Self(_mm512_dpbf16_ps(sum.0, pairs(self.0), pairs(other.0)))
        }
    }

    #[inline(always)]
    unsafe fn dot_bytes(self, other: Self, sum: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            if !DOTS {
                return dot_bytes_one_by_one(self, other, sum);
            }
            let [a, b, sum] = [self, other, sum].map(|register| _mm512_castps_si512(register.0));
            Self(_mm512_castsi512_ps(_mm512_dpbusd_epi32(sum, a, b)))
        }
    }

    #[inline(always)]
    unsafe fn integers_to_values(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_cvtepi32_ps(_mm512_castps_si512(self.0)) })
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }

    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        // SAFETY: see above.
        unsafe {
            let twos = [(a, b), (c, d)].map(|(a, b)| {
                _mm512_add_ps(_mm512_unpacklo_ps(a.0, b.0), _mm512_unpackhi_ps(a.0, b.0))
            });
            let [ab, cd] = twos.map(|two| _mm512_castps_pd(two));
            let (low, high) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
            let fours = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            let high = _mm512_extractf32x8_ps::<1>(fours);
            let eights = _mm256_add_ps(_mm512_castps512_ps256(fours), high);
            let sums =
                _mm_add_ps(_mm256_castps256_ps128(eights), _mm256_extractf128_ps::<1>(eights));
            std::mem::transmute::<__m128, [f32; 4]>(sums)
        }
    }

    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_max_ps(self.0) }
    }
}

// SAFETY of every block below: callers promise the instructions, and the values behind pointers.
impl Lanes for __m256 {
    const COUNT: usize = 8;
    const PANEL: usize = 2;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const f16) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_sub_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_div_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_max_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(self, factor, summand) }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self) }
    }

    #[inline(always)]
    unsafe fn scale(self, exponent: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let bounded = _mm256_max_ps(exponent, _mm256_set1_ps(-127.0));
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(bounded), _mm256_set1_epi32(127));
            // An exponent of -127 gives the bits of 0.
            _mm256_mul_ps(self, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
        }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        // SAFETY: see above.
        unsafe {
            let fours = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let sums = _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps::<1>(fours));
            std::mem::transmute::<__m128, [f32; 4]>(sums)
        }
    }
}
