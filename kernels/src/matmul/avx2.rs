//! Kernels for x86-64 with AVX2, fused multiply-add and f16.

use std::arch::x86_64::*;

use super::avx2_blocks::Avx2Blocks;
use super::avx2_int8::Avx2Int8;
use super::gemm::{grow, multiply as gemm};
use super::pack::{LINES, Line};
use super::product::Product;
use super::{Form, Kernel, PANEL, Tile, blocks, plain};

/// Values that a vector holds.
const LANES: usize = 8;
/// Vectors of a panel's outputs.
const OCTETS: usize = PANEL / LANES;
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
        Form::Q4_1 => gemm(&unsafe { Avx2Blocks::<blocks::Q4_1>::new() }, product),
        // SAFETY: as above.
        Form::Q5_0 => gemm(&unsafe { Avx2Blocks::<blocks::Q5_0>::new() }, product),
        // SAFETY: as above.
        Form::Q5_1 => gemm(&unsafe { Avx2Blocks::<blocks::Q5_1>::new() }, product),
        // SAFETY: as above.
        Form::Q4K => gemm(&unsafe { Avx2Blocks::<blocks::Q4K>::new() }, product),
        // SAFETY: as above.
        Form::Q5K => gemm(&unsafe { Avx2Blocks::<blocks::Q5K>::new() }, product),
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
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and whoever made
        // the tile vouches for its places.
        unsafe {
            if R == 1 {
                // Lines are read in the order in which they lie, which is all that takes time here.
                return tile_f32::<R, OCTETS>(rows, panel, tile, 0);
            }
            for octet in (0..OCTETS).step_by(2) {
                tile_f32::<R, 2>(rows, panel, tile, octet);
            }
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
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and whoever made
        // the tile vouches for its places.
        unsafe {
            if R == 1 {
                // Lines are read in the order in which they lie, which is all that takes time here.
                return tile_bf16::<R, OCTETS>(rows, panel, tile, 0);
            }
            for octet in (0..OCTETS).step_by(2) {
                tile_bf16::<R, 2>(rows, panel, tile, octet);
            }
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

#[target_feature(enable = "avx2,fma")]
fn pack_rounded<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    plain::pack_rounded(rows, packed);
}

#[target_feature(enable = "avx2")]
fn widen_bf16(lines: &[Line], wide: &mut [Line]) {
    plain::widen_bf16(lines, wide);
}

/// The outputs of `O` octets from `octet` on.
///
/// # Safety
/// There must be as many words of `R` rows as of the panel, and `octet + O` be at most [`OCTETS`]; the
/// tile's places must be readable and writable, and no other task may touch them.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_f32<const R: usize, const O: usize>(
    rows: &[u32],
    panel: &[Line],
    tile: &Tile,
    octet: usize,
) {
    let mut sums = [[_mm256_setzero_ps(); O]; R];
    let (rows, weights) = (rows.as_ptr().cast::<f32>(), panel.as_ptr().cast::<f32>());
    for word in 0..panel.len() / LINES {
        // SAFETY: `word` is below the number of words in both.
        unsafe {
            let weights = weights.add(word * PANEL + octet * LANES);
            let weights: [_; O] = std::array::from_fn(|o| _mm256_load_ps(weights.add(o * LANES)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let row = _mm256_set1_ps(*rows.add(word * R + r));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_fmadd_ps(row, weights, *sum);
                }
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, octet) }
}

/// The outputs of `O` octets from `octet` on.
///
/// # Safety
/// As [`tile_f32`], with two words of the rows for each of the panel.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_bf16<const R: usize, const O: usize>(
    rows: &[u32],
    panel: &[Line],
    tile: &Tile,
    octet: usize,
) {
    let mut sums = [[_mm256_setzero_ps(); O]; R];
    let (rows, weights) = (rows.as_ptr().cast::<f32>(), panel.as_ptr().cast::<__m256i>());
    for word in 0..panel.len() / LINES {
        // SAFETY: `word` is below the number of words of the panel, of which rows have two for each.
        unsafe {
            let weights = weights.add(word * OCTETS + octet);
            let weights: [_; O] = std::array::from_fn(|o| _mm256_load_si256(weights.add(o)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let first = _mm256_set1_ps(*rows.add(2 * word * R + r));
                let second = _mm256_set1_ps(*rows.add((2 * word + 1) * R + r));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_fmadd_ps(first, low(weights), *sum);
                    *sum = _mm256_fmadd_ps(second, high(weights), *sum);
                }
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, octet) }
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

/// Adds the seed to the sums of `O` octets from `octet` on, and writes them.
///
/// # Safety
/// The tile's places must be readable and writable, and no other task may touch them.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn write<const R: usize, const O: usize>(
    sums: &[[__m256; O]; R],
    tile: &Tile,
    octet: usize,
) {
    let column = octet * LANES;
    let columns = tile.columns.saturating_sub(column).min(O * LANES);
    for (r, sums) in sums.iter().enumerate() {
        // SAFETY: `R` rows of `tile.columns` values are readable and writable, as the caller vouches.
        let (seed, out) = unsafe {
            (tile.seed.add(r * tile.seed_stride + column), tile.out.add(r * tile.stride + column))
        };
        if columns == O * LANES {
            for (o, sum) in sums.iter().enumerate() {
                // SAFETY: as above; all of the octets' columns are there.
                unsafe {
                    let seed = _mm256_loadu_ps(seed.add(o * LANES));
                    _mm256_storeu_ps(out.add(o * LANES), _mm256_add_ps(seed, *sum));
                }
            }
            continue;
        }
        let mut row = [0.0; PANEL];
        for (o, sum) in sums.iter().enumerate() {
            // SAFETY: `row` has room for all octets of a panel.
            unsafe { _mm256_storeu_ps(row.as_mut_ptr().add(o * LANES), *sum) }
        }
        for (i, sum) in row.iter().enumerate().take(columns) {
            // SAFETY: as above; `column + i` is below `tile.columns`.
            unsafe { *out.add(i) = *seed.add(i) + sum }
        }
    }
}
