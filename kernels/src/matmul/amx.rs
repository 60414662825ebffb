//! Kernels for x86-64 with AMX.
//!
//! A panel of bf16 weights is already in the order in which a tile product wants its right side.
//! Weights of other forms become bf16, a block of a panel at a time, before many rows meet them:
//! that costs little beside the product, and rounds what their bits stand for to bf16. Products of
//! few rows wait for memory, and are left to the kernels with AVX-512.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::amx_widen::{WideBlocks, WideBytes};
use super::gemm::{grow, multiply as gemm};
use super::pack::Line;
use super::product::Product;
use super::{Form, Isa, Kernel, PANEL, Tile, avx512, blocks};
use crate::tiles::{self, ROWS, WORDS};

/// Inputs that a step multiplies.
const STEP: usize = 2 * WORDS;
/// Products of fewer rows go to the kernels with AVX-512.
pub(super) const LEAST_ROWS: usize = 24;

/// Whether this machine has what the kernels here need.
pub(super) fn detected() -> bool {
    avx512::detected(Isa::Avx512Bf16) && tiles::detected()
}

/// Computes a product on a machine where tiles were [`detected`].
pub(super) fn multiply(form: Form, product: Product<'_>) {
    assert!(detected(), "the machine must have the instructions");
    let in_registers =
        |product| avx512::multiply(avx512::fastest().unwrap_or(Isa::Avx512), form, product);
    if product.rows() < LEAST_ROWS {
        return in_registers(product);
    }
    match form {
        // A panel of bf16 ends with its inputs; other forms have whole steps.
        Form::Bf16 if product.inputs().is_multiple_of(STEP) => tiled::<Bf16>(product),
        Form::F32 | Form::Bf16 => in_registers(product),
        Form::Int8 => tiled::<WideBytes>(product),
        Form::Q8_0 => tiled::<WideBlocks<blocks::Q8_0>>(product),
        Form::Q4_0 => tiled::<WideBlocks<blocks::Q4_0>>(product),
        Form::Q4_1 => tiled::<WideBlocks<blocks::Q4_1>>(product),
        Form::Q5_0 => tiled::<WideBlocks<blocks::Q5_0>>(product),
        Form::Q5_1 => tiled::<WideBlocks<blocks::Q5_1>>(product),
        Form::Q4K => tiled::<WideBlocks<blocks::Q4K>>(product),
        Form::Q5K => tiled::<WideBlocks<blocks::Q5K>>(product),
        Form::Q6K => tiled::<WideBlocks<blocks::Q6K>>(product),
    }
}

/// Computes a product with weights of one form in tiles, which were [`detected`].
fn tiled<W: Weights>(product: Product<'_>) {
    gemm(&Tiles(PhantomData::<W>), product);
}

/// A form of weights, and how tiles get them.
pub(super) trait Weights: Send + Sync {
    /// Inputs of a step.
    const STEP: usize;
    /// Lines of a panel's step as they are stored.
    const LINES: usize;
    /// Whether the lines are bf16 as they are stored.
    const STORED: bool = false;

    /// Writes a step's stored lines as bf16, `STEP` lines.
    ///
    /// # Safety
    /// The machine must have what [`avx512::detected`] looks for; there must be `LINES` stored
    /// lines.
    unsafe fn widen(lines: &[Line], wide: &mut [Line]);
}

/// bf16 weights.
struct Bf16;

impl Weights for Bf16 {
    const STEP: usize = STEP;
    const LINES: usize = STEP;
    const STORED: bool = true;

    unsafe fn widen(lines: &[Line], wide: &mut [Line]) {
        wide.copy_from_slice(lines);
    }
}

/// Products in tiles. Made only where tiles were detected.
struct Tiles<W>(PhantomData<W>);

impl<W: Weights> Kernel for Tiles<W> {
    const ROWS: usize = ROWS;
    const STEP: usize = W::STEP;
    const ROW_WORDS: usize = W::STEP / STEP * WORDS;
    const LINES: usize = W::LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { pack(&rows, packed) }
    }

    fn widen<'a>(&self, lines: &'a [Line], wide: &'a mut Vec<Line>) -> &'a [Line] {
        if W::STORED {
            return lines;
        }
        let count = lines.len() / W::LINES * W::STEP;
        grow(wide, count);
        let wide = &mut wide[..count];
        for (lines, wide) in lines.chunks_exact(W::LINES).zip(wide.chunks_exact_mut(W::STEP)) {
            // SAFETY: the value exists, so the instructions were detected; the lines are a step's.
            unsafe { W::widen(lines, wide) };
        }
        wide
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        // SAFETY: the value exists, so the instructions were detected; whoever made the tile
        // vouches for its places.
        unsafe { tile_bf16(R, rows, panel, tile) }
    }

    fn finish(&self) {
        // SAFETY: the value exists, so tiles were detected.
        unsafe { tiles::release() }
    }
}

/// Packs rows rounded to bf16, step after step, in each step row after row. Rows may end before
/// their last step does; what is missing is zeros.
///
/// # Safety
/// The machine must have AVX-512F and AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn pack(rows: &[&[f32]], packed: &mut [u32]) {
    let steps = packed.len() / (WORDS * rows.len().max(1));
    for (r, row) in rows.iter().enumerate() {
        for step in 0..steps {
            let packed = &mut packed[(step * rows.len() + r) * WORDS..][..WORDS];
            let values = row.get(step * STEP..).unwrap_or_default();
            let mut padded = [0.0; STEP];
            let values = values.first_chunk().unwrap_or_else(|| {
                padded[..values.len()].copy_from_slice(values);
                &padded
            });
            // SAFETY: a step has 32 values, and their words are 64 bytes.
            unsafe {
                let low = _mm512_loadu_ps(values.as_ptr());
                let high = _mm512_loadu_ps(values.as_ptr().add(16));
                let words = _mm512_cvtne2ps_pbh(high, low);
                packed.as_mut_ptr().cast::<__m512bh>().write_unaligned(words);
            }
        }
    }
}

/// Multiplies up to [`ROWS`] packed rows with a panel of bf16 weights.
///
/// # Safety
/// The machine must have tiles that this process may use; the tile's places must be readable and
/// writable, and no other task may touch them.
unsafe fn tile_bf16(rows: usize, packed: &[u32], panel: &[Line], tile: &Tile) {
    let steps = panel.len() / STEP;
    assert!((1..=ROWS).contains(&rows) && panel.len() == steps * STEP);
    assert_eq!(packed.len(), steps * rows * WORDS, "rows and panel must have the same steps");
    if tile.columns == PANEL {
        // SAFETY: the lengths were checked; there are all columns of the tile's places.
        return unsafe { run(rows, packed, panel, steps, tile) };
    }
    let mut whole = [0.0f32; ROWS * PANEL];
    for row in 0..rows {
        for column in 0..tile.columns {
            // SAFETY: `rows` rows of `columns` values are readable, as the caller vouches.
            whole[row * PANEL + column] =
                unsafe { *tile.seed.add(row * tile.seed_stride + column) };
        }
    }
    let (seed, out) = (whole.as_ptr(), whole.as_mut_ptr());
    let inner = Tile { seed, seed_stride: PANEL, out, stride: PANEL, columns: PANEL };
    // SAFETY: the lengths were checked; the buffer has a row of all columns for each row.
    unsafe { run(rows, packed, panel, steps, &inner) };
    for row in 0..rows {
        for column in 0..tile.columns {
            // SAFETY: `rows` rows of `columns` values are writable, as the caller vouches.
            unsafe { *tile.out.add(row * tile.stride + column) = whole[row * PANEL + column] };
        }
    }
}

/// The product itself.
///
/// # Safety
/// The machine must have tiles that this process may use. `packed` must have `steps` steps of
/// `rows` rows and `panel` of a panel, and `tile` all columns of a panel.
unsafe fn run(rows: usize, packed: &[u32], panel: &[Line], steps: usize, tile: &Tile) {
    let product = tiles::Product {
        seed: tile.seed,
        seed_stride: tile.seed_stride,
        out: tile.out,
        out_stride: tile.stride,
        left: packed.as_ptr(),
        left_stride: WORDS,
        left_step: rows * WORDS,
        right: panel.as_ptr().cast(),
        right_stride: PANEL,
        steps,
    };
    // SAFETY: as the caller vouches; a step of a panel has a line of pairs for each word, of
    // `PANEL` columns.
    unsafe { product.run(rows) }
}
