//! Kernels for x86-64 with AVX2, fused multiply-add and f16.

use std::arch::x86_64::*;

use half::bf16;

use super::avx2_blocks::Avx2Blocks;
use super::avx2_int8::Avx2Int8;
use super::gemm::{Product, grow, multiply as gemm};
use super::pack::{LINES, Line};
use super::{Form, Kernel, PANEL, Tile, blocks, plain};

/// Values that a vector holds.
const LANES: usize = 8;
/// Fewer rows are multiplied with the bf16 weights as they are.
const LEAST_ROWS: usize = 64;

/// Whether this machine has what the kernels here need.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// Computes a product on a machine where the instructions were [`detected`].
pub(super) fn multiply(form: Form, product: Product<'_>) {
    assert!(detected(), "the machine must have the instructions");
    match form {
        Form::F32 => gemm(&F32(()), product),
        Form::Bf16 if product.rows() >= LEAST_ROWS => gemm(&WideBf16(()), product),
        Form::Bf16 => gemm(&Bf16(()), product),
        // SAFETY: the instructions are there, as asserted above; so in the next five.
        Form::Int8 => gemm(&unsafe { Avx2Int8::new() }, product),
        // SAFETY: as above.
        Form::Q8_0 => gemm(&unsafe { Avx2Blocks::<blocks::Q8_0>::new() }, product),
        // SAFETY: as above.
        Form::Q4_0 => gemm(&unsafe { Avx2Blocks::<blocks::Q4_0>::new() }, product),
        // SAFETY: as above.
        Form::Q5_0 => gemm(&unsafe { Avx2Blocks::<blocks::Q5_0>::new() }, product),
        // SAFETY: as above.
        Form::Q4K => gemm(&unsafe { Avx2Blocks::<blocks::Q4K>::new() }, product),
        // SAFETY: as above.
        Form::Q6K => gemm(&unsafe { Avx2Blocks::<blocks::Q6K>::new() }, product),
    }
}

/// f32 weights. Made only where the instructions were detected.
struct F32(());

impl Kernel for F32 {
    const ROWS: usize = 6;
    const STEP: usize = 1;
    const ROW_WORDS: usize = 1;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        plain::pack_f32(rows, packed);
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * LINES, panel.len() * R);
        for column in (0..PANEL).step_by(2 * LANES) {
            // SAFETY: the value exists, so the instructions were detected; the lengths fit, and
            // whoever made the tile vouches for its places.
            unsafe { tile_f32::<R>(rows, panel, tile, column) }
        }
    }
}

/// bf16 weights, multiplied as f32. Made only where the instructions were detected.
struct Bf16(());

impl Kernel for Bf16 {
    const ROWS: usize = 4;
    const STEP: usize = 2;
    const ROW_WORDS: usize = 2;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { pack_rounded(rows, packed) }
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * LINES, panel.len() * R * Self::ROW_WORDS);
        for column in (0..PANEL).step_by(2 * LANES) {
            // SAFETY: the value exists, so the instructions were detected; the lengths fit, and
            // whoever made the tile vouches for its places.
            unsafe { tile_bf16::<R>(rows, panel, tile, column) }
        }
    }
}

/// bf16 weights, of which many rows meet a block at a time that is widened to f32 for them. Made only
/// where the instructions were detected.
struct WideBf16(());

impl Kernel for WideBf16 {
    const ROWS: usize = F32::ROWS;
    const STEP: usize = Bf16::STEP;
    const ROW_WORDS: usize = Bf16::ROW_WORDS;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { pack_rounded(rows, packed) }
    }

    fn widen<'a>(&self, lines: &'a [Line], wide: &'a mut Vec<Line>) -> &'a [Line] {
        let count = 2 * lines.len();
        grow(wide, count);
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { widen_bf16(lines, &mut wide[..count]) }
        &wide[..count]
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        F32(()).tile::<R>(rows, panel, tile);
    }
}

/// Packs rows rounded to bf16, in f32: two words for a word of the weight. Inputs past the rows' end
/// are zeros.
#[target_feature(enable = "avx2,fma")]
fn pack_rounded<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    for (r, row) in rows.into_iter().enumerate() {
        let words = packed.chunks_exact_mut(R);
        for (words, value) in words.zip(row.iter().copied().chain(std::iter::repeat(0.0))) {
            words[r] = u32::from(bf16::from_f32(value).to_bits()) << 16;
        }
    }
}

/// Widens lines of words of two bf16: the lines of the first ones, and then of the second ones.
#[target_feature(enable = "avx2")]
fn widen_bf16(lines: &[Line], wide: &mut [Line]) {
    let words = lines.as_chunks::<LINES>().0.iter().zip(wide.as_chunks_mut::<{ 2 * LINES }>().0);
    for (lines, wide) in words {
        let (first, second) = wide.split_at_mut(LINES);
        for ((line, first), second) in lines.iter().zip(first).zip(second) {
            for ((word, first), second) in line.0.iter().zip(&mut first.0).zip(&mut second.0) {
                (*first, *second) = (word << 16, word & 0xffff_0000);
            }
        }
    }
}

/// Half a tile: 16 of its columns from `column` on.
///
/// # Safety
/// There must be as many words of `R` rows as of the panel, and 16 columns from `column` on; the
/// tile's places must be readable and writable, and no other task may touch them.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_f32<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile, column: usize) {
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    let (rows, weights) = (rows.as_ptr().cast::<f32>(), panel.as_ptr().cast::<f32>());
    for word in 0..panel.len() / LINES {
        // SAFETY: `word` is below the number of words in both.
        unsafe {
            let left = _mm256_load_ps(weights.add(word * PANEL + column));
            let right = _mm256_load_ps(weights.add(word * PANEL + column + LANES));
            for (r, sums) in sums.iter_mut().enumerate() {
                let row = _mm256_set1_ps(*rows.add(word * R + r));
                sums[0] = _mm256_fmadd_ps(row, left, sums[0]);
                sums[1] = _mm256_fmadd_ps(row, right, sums[1]);
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, column) }
}

/// Half a tile: 16 of its columns from `column` on.
///
/// # Safety
/// As [`tile_f32`], with two words of the rows for each of the panel.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_bf16<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile, column: usize) {
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    let (rows, weights) = (rows.as_ptr().cast::<f32>(), panel.as_ptr().cast::<u32>());
    for word in 0..panel.len() / LINES {
        // SAFETY: `word` is below the number of words of the panel, of which rows have two for each.
        unsafe {
            let weights = weights.add(word * PANEL + column);
            let left = _mm256_load_si256(weights.cast());
            let right = _mm256_load_si256(weights.add(LANES).cast());
            for (r, sums) in sums.iter_mut().enumerate() {
                let first = _mm256_set1_ps(*rows.add(2 * word * R + r));
                let second = _mm256_set1_ps(*rows.add((2 * word + 1) * R + r));
                sums[0] = _mm256_fmadd_ps(first, low(left), sums[0]);
                sums[1] = _mm256_fmadd_ps(first, low(right), sums[1]);
                sums[0] = _mm256_fmadd_ps(second, high(left), sums[0]);
                sums[1] = _mm256_fmadd_ps(second, high(right), sums[1]);
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, column) }
}

/// The first bf16 of each word.
#[target_feature(enable = "avx2")]
fn low(words: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
}

/// The second bf16 of each word.
#[target_feature(enable = "avx2")]
fn high(words: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(0xffff_0000_u32.cast_signed())))
}

/// Adds the seed to the sums and writes them.
///
/// # Safety
/// The tile's places must be readable and writable, and no other task may touch them.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn write<const R: usize>(sums: &[[__m256; 2]; R], tile: &Tile, column: usize) {
    let columns = tile.columns.saturating_sub(column).min(2 * LANES);
    for (r, sums) in sums.iter().enumerate() {
        if columns == 2 * LANES {
            for (half, sum) in sums.iter().enumerate() {
                let column = column + half * LANES;
                // SAFETY: as below; all of the vector's columns are there.
                unsafe {
                    let seed = _mm256_loadu_ps(tile.seed.add(r * tile.seed_stride + column));
                    let out = tile.out.add(r * tile.stride + column);
                    _mm256_storeu_ps(out, _mm256_add_ps(seed, *sum));
                }
            }
            continue;
        }
        let mut row = [0.0; 2 * LANES];
        // SAFETY: `row` has room for both vectors.
        unsafe {
            _mm256_storeu_ps(row.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(row.as_mut_ptr().add(LANES), sums[1]);
        }
        for (i, sum) in row.iter().enumerate().take(columns) {
            // SAFETY: `R` rows of `tile.columns` values are readable and writable, as the caller
            // vouches, and `column + i` is below `tile.columns`.
            unsafe {
                let seed = *tile.seed.add(r * tile.seed_stride + column + i);
                *tile.out.add(r * tile.stride + column + i) = seed + sum;
            }
        }
    }
}
