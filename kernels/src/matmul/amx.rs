//! Kernels for x86-64 with AMX.
//!
//! A panel of bf16 weights is already in the order in which a tile product wants its right side.
//! Weights of other forms become bf16, a block of a panel at a time, before many rows meet them:
//! that costs little beside the product, and only activations are rounded further. Products of few
//! rows wait for memory, and are left to the kernels with AVX-512.

use std::arch::x86_64::*;

use super::amx_widen::{WideBlocks, WideBytes};
use super::gemm::{Product, multiply as gemm};
use super::pack::Line;
use super::{Form, Kernel, PANEL, Tile, avx512, blocks};
use crate::tiles::{self, ROWS, WORDS};

/// Inputs that a step multiplies.
pub(super) const STEP: usize = 2 * WORDS;
/// Products of fewer rows go to the kernels with AVX-512.
pub(super) const LEAST_ROWS: usize = 24;

/// Whether this machine has what the kernels here need.
pub(super) fn detected() -> bool {
    avx512::detected() && tiles::detected()
}

/// Computes a product on a machine where tiles were [`detected`].
pub(super) fn multiply(form: Form, product: Product<'_>) {
    assert!(detected(), "the machine must have the instructions");
    // Bytes are padded to whole steps and blocks are whole ones; a panel of bf16 ends with its inputs.
    let whole = form != Form::Bf16 || product.inputs().is_multiple_of(STEP);
    if form == Form::F32 || product.rows() < LEAST_ROWS || !whole {
        return avx512::multiply(form, product);
    }
    match form {
        Form::F32 => unreachable!("sent to AVX-512 above"),
        Form::Bf16 => gemm(&Bf16(()), product),
        // SAFETY: the instructions are there, as asserted above; so in the next four.
        Form::Int8 => gemm(&unsafe { WideBytes::new() }, product),
        // SAFETY: as above.
        Form::Q8_0 => gemm(&unsafe { WideBlocks::<blocks::Q8_0>::new() }, product),
        // SAFETY: as above.
        Form::Q4_0 => gemm(&unsafe { WideBlocks::<blocks::Q4_0>::new() }, product),
        // SAFETY: as above.
        Form::Q4K => gemm(&unsafe { WideBlocks::<blocks::Q4K>::new() }, product),
        // SAFETY: as above.
        Form::Q6K => gemm(&unsafe { WideBlocks::<blocks::Q6K>::new() }, product),
    }
}

/// bf16 weights. Made only where tiles were detected.
struct Bf16(());

impl Kernel for Bf16 {
    const ROWS: usize = ROWS;
    const STEP: usize = STEP;
    const ROW_WORDS: usize = WORDS;
    const LINES: usize = STEP;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { pack(&rows, packed) }
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
pub(super) unsafe fn pack(rows: &[&[f32]], packed: &mut [u32]) {
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
pub(super) unsafe fn tile_bf16(rows: usize, packed: &[u32], panel: &[Line], tile: &Tile) {
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
