//! Kernels for aarch64, whose processors all have NEON; some have dot products of bytes or of bf16.

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::gemm::{grow, multiply as gemm};
use super::neon_bf16::{DotBf16, detected as multiplies_bf16};
use super::neon_blocks::NeonBlocks;
use super::neon_dots::{Dot, InstructionDot, WidenedDot};
use super::neon_int8::NeonInt8;
use super::pack::{LINES, Line};
use super::product::Product;
use super::{Form, Isa, Kernel, PANEL, Tile, blocks, plain};

/// Values that a vector holds.
const LANES: usize = 4;
/// Vectors of a panel's outputs.
pub(super) const QUADS: usize = PANEL / LANES;
/// The most rows whose sums of a whole panel fit in the registers.
pub(super) const ROWS_OF_ALL: usize = 3;
/// Fewer rows are multiplied with the bf16 weights as they are.
const LEAST_ROWS: usize = 64;

/// Whether this machine has what the kernels for `isa` need.
pub(super) fn detected(isa: Isa) -> bool {
    match isa {
        Isa::Plain | Isa::Neon => true,
        Isa::NeonDot => is_aarch64_feature_detected!("dotprod"),
        Isa::NeonBf16 => is_aarch64_feature_detected!("dotprod") && multiplies_bf16(),
    }
}

/// Computes a product on a machine where `isa` was [`detected`].
pub(super) fn multiply(isa: Isa, form: Form, product: Product<'_>) {
    assert!(detected(isa), "the machine must have the instructions");
    match form {
        Form::F32 => gemm(&F32, product),
        // SAFETY: the instructions are there, as asserted above.
        Form::Bf16 if isa == Isa::NeonBf16 => gemm(&unsafe { DotBf16::new() }, product),
        Form::Bf16 if product.rows() >= LEAST_ROWS => gemm(&WideBf16, product),
        Form::Bf16 => gemm(&Bf16, product),
        _ if isa == Isa::Neon => multiply_bytes(WidenedDot, form, product),
        // SAFETY: the instructions are there, as asserted above.
        _ => multiply_bytes(unsafe { InstructionDot::new() }, form, product),
    }
}

/// Computes a product with weights of whole numbers.
fn multiply_bytes<D: Dot>(dot: D, form: Form, product: Product<'_>) {
    match form {
        Form::F32 | Form::Bf16 => unreachable!("these are no whole numbers"),
        Form::Int8 => gemm(&NeonInt8(dot), product),
        Form::Q8_0 => gemm(&NeonBlocks::<_, blocks::Q8_0>::new(dot), product),
        Form::Q4_0 => gemm(&NeonBlocks::<_, blocks::Q4_0>::new(dot), product),
        Form::Q4_1 => gemm(&NeonBlocks::<_, blocks::Q4_1>::new(dot), product),
        Form::Q5_0 => gemm(&NeonBlocks::<_, blocks::Q5_0>::new(dot), product),
        Form::Q5_1 => gemm(&NeonBlocks::<_, blocks::Q5_1>::new(dot), product),
        Form::Q4K => gemm(&NeonBlocks::<_, blocks::Q4K>::new(dot), product),
        Form::Q5K => gemm(&NeonBlocks::<_, blocks::Q5K>::new(dot), product),
        Form::Q6K => gemm(&NeonBlocks::<_, blocks::Q6K>::new(dot), product),
    }
}

/// f32 weights.
struct F32;

impl Kernel for F32 {
    const ROWS: usize = 6;
    const STEP: usize = 1;
    const ROW_WORDS: usize = 1;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        plain::pack_f32(rows, packed);
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        // SAFETY: whoever made the tile vouches for its places; NEON is there.
        unsafe { tile_words::<Fused, R>(rows, panel, tile) }
    }
}

/// bf16 weights, multiplied as f32.
struct Bf16;

impl Kernel for Bf16 {
    const ROWS: usize = 4;
    const STEP: usize = 2;
    const ROW_WORDS: usize = 2;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        plain::pack_rounded(rows, packed);
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * LINES, panel.len() * R * Self::ROW_WORDS);
        // SAFETY: the lengths fit, and whoever made the tile vouches for its places.
        unsafe {
            if R == 1 {
                // Lines are read in the order in which they lie, which is all that takes time here.
                return tile_bf16::<R, QUADS>(rows, panel, tile, 0);
            }
            for quad in (0..QUADS).step_by(4) {
                tile_bf16::<R, 4>(rows, panel, tile, quad);
            }
        }
    }
}

/// bf16 weights, of which many rows meet a block at a time that is widened to f32 for them.
struct WideBf16;

impl Kernel for WideBf16 {
    const ROWS: usize = F32::ROWS;
    const STEP: usize = Bf16::STEP;
    const ROW_WORDS: usize = Bf16::ROW_WORDS;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        plain::pack_rounded(rows, packed);
    }

    fn widen<'a>(&self, lines: &'a [Line], wide: &'a mut Vec<Line>) -> &'a [Line] {
        let count = 2 * lines.len();
        grow(wide, count);
        plain::widen_bf16(lines, &mut wide[..count]);
        &wide[..count]
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        F32.tile::<R>(rows, panel, tile);
    }
}

/// How the words of weights are multiplied with a word of a row.
pub(super) trait Words {
    /// `sum` and the products of four outputs' words with the row's. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// The machine must have the implementor's instructions.
    unsafe fn add(sum: float32x4_t, weights: float32x4_t, row: f32) -> float32x4_t;
}

/// Words of one f32.
struct Fused;

impl Words for Fused {
    #[inline(always)]
    unsafe fn add(sum: float32x4_t, weights: float32x4_t, row: f32) -> float32x4_t {
        // SAFETY: every processor of this architecture has NEON.
        unsafe { vfmaq_n_f32(sum, weights, row) }
    }
}

/// Multiplies `R` packed rows with a panel word by word, and writes the tile.
///
/// # Safety
/// The machine must have the instructions of `W`; the tile's places must be readable and writable, and
/// no other task may touch them.
#[inline(always)]
pub(super) unsafe fn tile_words<W: Words, const R: usize>(
    rows: &[u32],
    panel: &[Line],
    tile: &Tile,
) {
    assert_eq!(rows.len() * LINES, panel.len() * R);
    // SAFETY: the lengths fit; the rest is the caller's promise.
    unsafe {
        if const { R <= ROWS_OF_ALL } {
            // Lines are read in the order in which they lie, which is all that takes time here.
            return quads_of_words::<W, R, QUADS>(rows, panel, tile, 0);
        }
        for quad in (0..QUADS).step_by(4) {
            quads_of_words::<W, R, 4>(rows, panel, tile, quad);
        }
    }
}

/// The outputs of `Q` quads from `quad` on.
///
/// # Safety
/// As [`tile_words`]; there must be as many words of `R` rows as of the panel, and `quad + Q` be at most
/// [`QUADS`].
#[inline(always)]
unsafe fn quads_of_words<W: Words, const R: usize, const Q: usize>(
    rows: &[u32],
    panel: &[Line],
    tile: &Tile,
    quad: usize,
) {
    // SAFETY: every processor of this architecture has NEON.
    let mut sums = [[unsafe { vdupq_n_f32(0.0) }; Q]; R];
    let (rows, weights) = (rows.as_ptr().cast::<f32>(), panel.as_ptr().cast::<f32>());
    for word in 0..panel.len() / LINES {
        // SAFETY: `word` is below the number of words in both.
        unsafe {
            let weights = weights.add(word * PANEL + quad * LANES);
            let weights: [_; Q] = std::array::from_fn(|q| vld1q_f32(weights.add(q * LANES)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let row = *rows.add(word * R + r);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = W::add(*sum, weights, row);
                }
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, quad) }
}

/// The outputs of `Q` quads from `quad` on.
///
/// # Safety
/// As [`quads_of_words`], with two words of the rows for each of the panel.
#[inline]
unsafe fn tile_bf16<const R: usize, const Q: usize>(
    rows: &[u32],
    panel: &[Line],
    tile: &Tile,
    quad: usize,
) {
    // SAFETY: every processor of this architecture has NEON.
    let mut sums = [[unsafe { vdupq_n_f32(0.0) }; Q]; R];
    let (rows, weights) = (rows.as_ptr().cast::<f32>(), panel.as_ptr().cast::<u32>());
    for word in 0..panel.len() / LINES {
        // SAFETY: `word` is below the number of words of the panel, of which rows have two for each.
        unsafe {
            let weights = weights.add(word * PANEL + quad * LANES);
            for q in 0..Q {
                let weights = vld1q_u32(weights.add(q * LANES));
                let first = vreinterpretq_f32_u32(vshlq_n_u32::<16>(weights));
                let second = vreinterpretq_f32_u32(vandq_u32(weights, vdupq_n_u32(0xffff_0000)));
                for (r, sums) in sums.iter_mut().enumerate() {
                    sums[q] = vfmaq_n_f32(sums[q], first, *rows.add(2 * word * R + r));
                    sums[q] = vfmaq_n_f32(sums[q], second, *rows.add((2 * word + 1) * R + r));
                }
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, quad) }
}

/// Adds the seed to the sums of `Q` quads from `quad` on, and writes them.
///
/// # Safety
/// The tile's places must be readable and writable, and no other task may touch them.
#[inline(always)]
pub(super) unsafe fn write<const R: usize, const Q: usize>(
    sums: &[[float32x4_t; Q]; R],
    tile: &Tile,
    quad: usize,
) {
    let column = quad * LANES;
    let columns = tile.columns.saturating_sub(column).min(Q * LANES);
    for (r, sums) in sums.iter().enumerate() {
        let seed = tile.seed.wrapping_add(r * tile.seed_stride + column);
        let out = tile.out.wrapping_add(r * tile.stride + column);
        if columns == Q * LANES {
            for (q, sum) in sums.iter().enumerate() {
                // SAFETY: `R` rows of `tile.columns` values are readable and writable, as the caller
                // vouches; all of the quads' columns are there.
                unsafe {
                    let seed = vld1q_f32(seed.add(q * LANES));
                    vst1q_f32(out.add(q * LANES), vaddq_f32(seed, *sum));
                }
            }
            continue;
        }
        let mut row = [0.0; PANEL];
        for (q, sum) in sums.iter().enumerate() {
            // SAFETY: `row` has room for all quads of a panel.
            unsafe { vst1q_f32(row.as_mut_ptr().add(q * LANES), *sum) }
        }
        for (i, sum) in row.iter().enumerate().take(columns) {
            // SAFETY: as above; `column + i` is below `tile.columns`.
            unsafe { *out.add(i) = *seed.add(i) + sum }
        }
    }
}
