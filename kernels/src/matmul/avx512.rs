//! Kernels for x86-64 with AVX-512 and its dot products of bytes, and what some such processors have
//! beside them.

use std::arch::x86_64::*;

use super::avx512_bf16::{Dots, Widened};
use super::avx512_blocks::{self, ask_ahead};
use super::avx512_bytes::Avx512Bytes;
use super::avx512_fp16::Halves;
use super::avx512_int8::Avx512Int8;
use super::gemm::multiply as gemm;
use super::pack::{LINES, Line};
use super::product::Product;
use super::{Form, Isa, Kernel, Tile, avx512_pack, blocks};
use crate::simd::has_slow_pairs;

/// Rows from which on weights become what is multiplied faster, a block of a panel at a time: that costs
/// about as much as 10 to 20 rows' products, and what is decoded together must not depend on how many
/// sequences there are.
pub(super) const MANY_ROWS: usize = 64;

/// Whether this machine has what the kernels of an instruction set of AVX-512 need.
pub(super) fn detected(isa: Isa) -> bool {
    let all = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    match isa {
        Isa::Avx512 => all,
        Isa::Avx512Bf16 => all && is_x86_feature_detected!("avx512bf16"),
        Isa::Avx512Fp16 => {
            all && is_x86_feature_detected!("avx512fp16") && is_x86_feature_detected!("avx512vbmi2")
        }
        _ => false,
    }
}

/// The fastest instruction set of AVX-512 that this machine has.
pub(super) fn fastest() -> Option<Isa> {
    let slow = has_slow_pairs();
    let kinds = [(Isa::Avx512Bf16, !slow), (Isa::Avx512Fp16, slow), (Isa::Avx512, true)];
    kinds.into_iter().find(|&(isa, wanted)| wanted && detected(isa)).map(|(isa, _)| isa)
}

/// Computes a product on a machine where the instructions of `isa` were [`detected`].
pub(super) fn multiply(isa: Isa, form: Form, product: Product<'_>) {
    assert!(detected(isa), "the machine must have the instructions");
    let many = product.rows() >= MANY_ROWS;
    match form {
        Form::F32 => gemm(&F32(()), product),
        // SAFETY: the instructions are there, as asserted above; so in the next ones.
        Form::Bf16 if isa == Isa::Avx512Bf16 => gemm(&unsafe { Dots::new() }, product),
        // SAFETY: as above.
        Form::Bf16 if isa == Isa::Avx512Fp16 && many => gemm(&unsafe { Halves::new() }, product),
        // SAFETY: as above.
        Form::Bf16 => gemm(&unsafe { Widened::new() }, product),
        // SAFETY: as above.
        Form::Int8 => gemm(&unsafe { Avx512Int8::new() }, product),
        // SAFETY: as above.
        Form::Q8_0 => unsafe { avx512_blocks::multiply::<blocks::Q8_0>(product) },
        // SAFETY: as above.
        Form::Q4_0 if many => gemm(&unsafe { Avx512Bytes::<blocks::Q4_0>::new() }, product),
        // SAFETY: as above.
        Form::Q4_1 if many => gemm(&unsafe { Avx512Bytes::<blocks::Q4_1>::new() }, product),
        // SAFETY: as above.
        Form::Q4K if many => gemm(&unsafe { Avx512Bytes::<blocks::Q4K>::new() }, product),
        // SAFETY: as above.
        Form::Q5K if many => gemm(&unsafe { Avx512Bytes::<blocks::Q5K>::new() }, product),
        // SAFETY: as above.
        Form::Q5_0 if many => gemm(&unsafe { Avx512Bytes::<blocks::Q5_0>::new() }, product),
        // SAFETY: as above.
        Form::Q5_1 if many => gemm(&unsafe { Avx512Bytes::<blocks::Q5_1>::new() }, product),
        // SAFETY: as above.
        Form::Q6K if many => gemm(&unsafe { Avx512Bytes::<blocks::Q6K>::new() }, product),
        // SAFETY: as above.
        Form::Q4_0 => unsafe { avx512_blocks::multiply::<blocks::Q4_0>(product) },
        // SAFETY: as above.
        Form::Q4_1 => unsafe { avx512_blocks::multiply::<blocks::Q4_1>(product) },
        // SAFETY: as above.
        Form::Q5_0 => unsafe { avx512_blocks::multiply::<blocks::Q5_0>(product) },
        // SAFETY: as above.
        Form::Q5_1 => unsafe { avx512_blocks::multiply::<blocks::Q5_1>(product) },
        // SAFETY: as above.
        Form::Q4K => unsafe { avx512_blocks::multiply::<blocks::Q4K>(product) },
        // SAFETY: as above.
        Form::Q5K => unsafe { avx512_blocks::multiply::<blocks::Q5K>(product) },
        // SAFETY: as above.
        Form::Q6K => unsafe { avx512_blocks::multiply::<blocks::Q6K>(product) },
    }
}

/// f32 weights. Made only where the instructions were detected.
struct F32(());

impl Kernel for F32 {
    const ROWS: usize = 12;
    const STEP: usize = 1;
    const ROW_WORDS: usize = 1;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        assert!(rows.iter().all(|row| row.len() * R == packed.len()));
        // SAFETY: the value exists, so the instructions were detected; the lengths fit.
        unsafe { avx512_pack::pack_f32(rows, packed) }
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * LINES, panel.len() * R);
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and
        // whoever made the tile vouches for its places.
        unsafe { tile_f32::<R>(rows, panel, tile) }
    }
}

/// # Safety
/// There must be as many words of `R` rows as of the panel; the tile's places must be readable
/// and writable, and no other task may touch them.
#[target_feature(enable = "avx512f")]
unsafe fn tile_f32<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
    let mut sums = [[_mm512_setzero_ps(); LINES]; R];
    let (rows, weights) = (rows.as_ptr().cast::<f32>(), panel.as_ptr().cast::<f32>());
    for word in 0..panel.len() / LINES {
        if R < F32::ROWS {
            ask_ahead(&panel[word * LINES..][..LINES]);
        }
        // SAFETY: `word` is below the number of words in both.
        unsafe {
            let left = _mm512_load_ps(weights.add(word * 32));
            let right = _mm512_load_ps(weights.add(word * 32 + 16));
            for (r, sums) in sums.iter_mut().enumerate() {
                let row = _mm512_set1_ps(*rows.add(word * R + r));
                sums[0] = _mm512_fmadd_ps(row, left, sums[0]);
                sums[1] = _mm512_fmadd_ps(row, right, sums[1]);
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile) }
}

/// Adds the seed to the sums and writes them.
///
/// # Safety
/// The tile's places must be readable and writable, and no other task may touch them.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn write<const R: usize>(sums: &[[__m512; LINES]; R], tile: &Tile) {
    for (line, first) in [0, 16].into_iter().enumerate() {
        let columns = tile.columns.saturating_sub(first).min(16);
        let mask = ((1u32 << columns) - 1) as u16;
        for (r, sums) in sums.iter().enumerate() {
            // SAFETY: `R` rows of `columns` values are readable and writable, as the caller
            // vouches; the mask keeps to them, and no pointer goes past their end.
            unsafe {
                let seed = tile.seed.add(r * tile.seed_stride).wrapping_add(first);
                let out = tile.out.add(r * tile.stride).wrapping_add(first);
                let seed = _mm512_maskz_loadu_ps(mask, seed);
                _mm512_mask_storeu_ps(out, mask, _mm512_add_ps(sums[line], seed));
            }
        }
    }
}

/// Reads a line.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 bytes and aligned to them.
    unsafe { _mm512_load_si512(std::ptr::from_ref(line).cast()) }
}

/// Writes a line.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(line: &mut Line, words: __m512i) {
    // SAFETY: as for `load`.
    unsafe { _mm512_store_si512(std::ptr::from_mut(line).cast(), words) }
}
