//! The kernel with AVX2's products of bytes, for weights of a byte each.

use std::arch::x86_64::*;

use super::avx2::write;
use super::avx2_blocks::{dot_signed, signed};
use super::int8::{LINES, ROW_WORDS, STEP, WORDS, pack_rows};
use super::pack::Line;
use super::{Kernel, PANEL, Tile};

/// Outputs that a vector of sums holds.
const LANES: usize = 8;
/// Vectors of a panel's outputs.
const OCTETS: usize = PANEL / LANES;

/// Weights of a byte each. Made only where the instructions were detected.
pub(super) struct Avx2Int8(());

impl Avx2Int8 {
    /// # Safety
    /// The machine must have the instructions that [`super::avx2::detected`] looks for.
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

impl Kernel for Avx2Int8 {
    const ROWS: usize = 4;
    const STEP: usize = STEP;
    const ROW_WORDS: usize = ROW_WORDS;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { pack::<R>(rows, packed) }
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * LINES, panel.len() * R * ROW_WORDS);
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and whoever made
        // the tile vouches for its places.
        unsafe {
            if R == 1 {
                // Lines are read in the order in which they lie, which is all that takes time here.
                return multiply::<R, OCTETS>(rows, panel, tile, 0);
            }
            for octet in (0..OCTETS).step_by(2) {
                multiply::<R, 2>(rows, panel, tile, octet);
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn pack<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    pack_rows(rows, packed);
}

/// The outputs of `O` octets from `octet` on.
///
/// # Safety
/// There must be as many steps of the `R` rows as of the panel, and `octet + O` be at most [`OCTETS`];
/// the tile's places must be readable and writable, and no other task may touch them.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply<const R: usize, const O: usize>(
    rows: &[u32],
    panel: &[Line],
    tile: &Tile,
    octet: usize,
) {
    let mut sums = [[_mm256_setzero_ps(); O]; R];
    for (rows, lines) in rows.chunks_exact(ROW_WORDS * R).zip(panel.chunks_exact(LINES)) {
        let (row, weights) = (rows.as_ptr(), lines.as_ptr().cast::<u32>());
        // SAFETY: a step of the rows has the words 0..WORDS and a scale, `R` of each; one of the
        // panel `PANEL` words for each word and as many scales. Lines are aligned.
        unsafe {
            let at = |word: usize, r: usize| *row.add(word * R + r);
            let weights = weights.add(octet * LANES);
            let mut dots = [[_mm256_setzero_si256(); O]; R];
            for word in 0..WORDS {
                let weights = weights.add(word * PANEL).cast::<__m256i>();
                let bytes = |o| signed(_mm256_load_si256(weights.add(o)));
                let weights: [_; O] = std::array::from_fn(bytes);
                for (r, dots) in dots.iter_mut().enumerate() {
                    let row = _mm256_set1_epi32(at(word, r).cast_signed());
                    for (dot, weights) in dots.iter_mut().zip(weights) {
                        *dot = _mm256_add_epi32(*dot, dot_signed(weights, row));
                    }
                }
            }
            let scales = weights.add(WORDS * PANEL).cast::<f32>();
            for (o, scales) in (0..O).map(|o| (o, _mm256_load_ps(scales.add(o * LANES)))) {
                for (r, (sums, dots)) in sums.iter_mut().zip(dots).enumerate() {
                    let scale = _mm256_mul_ps(scales, _mm256_set1_ps(f32::from_bits(at(WORDS, r))));
                    sums[o] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[o]), scale, sums[o]);
                }
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, octet) }
}
