//! Kernels for whole numbers against the plain ones, which sum the same integers.

use proptest::prelude::*;

use super::super::{Form, Isa, PackedMatrix, Values};
use super::{kernels, product, spread};

/// Forms whose weights are in blocks.
pub(super) const BLOCKS: [Form; 8] =
    [Form::Q8_0, Form::Q4_0, Form::Q4_1, Form::Q5_0, Form::Q5_1, Form::Q4K, Form::Q5K, Form::Q6K];

/// Those of them whose rows need be no multiple of 256.
const BLOCKS_OF_32: [Form; 5] = [Form::Q8_0, Form::Q4_0, Form::Q4_1, Form::Q5_0, Form::Q5_1];

/// Inputs and bytes of a stored block, and where in it there are f16.
fn layout(form: Form) -> (usize, usize, &'static [usize]) {
    match form {
        Form::Q8_0 => (32, 34, &[0]),
        Form::Q4_0 => (32, 18, &[0]),
        Form::Q4_1 => (32, 20, &[0, 2]),
        Form::Q5_0 => (32, 22, &[0]),
        Form::Q5_1 => (32, 24, &[0, 2]),
        Form::Q4K => (256, 144, &[0, 2]),
        Form::Q5K => (256, 176, &[0, 2]),
        Form::Q6K => (256, 210, &[208]),
        Form::F32 | Form::Bf16 | Form::Int8 => panic!("{form:?} has no blocks"),
    }
}

/// Inputs of a stored block.
pub(super) fn block_inputs(form: Form) -> usize {
    layout(form).0
}

/// The bytes of a matrix of random quantities, with scales of about the size that they have in models.
pub(super) fn stored_blocks(form: Form, outputs: usize, inputs: usize, seed: u64) -> Vec<u8> {
    let (step, bytes, halves) = layout(form);
    let values = spread(outputs * inputs / step * bytes, seed);
    let mut stored: Vec<_> = values.iter().map(|value| ((value + 1.0) * 127.9) as u8).collect();
    for (block, values) in stored.chunks_exact_mut(bytes).zip(values.chunks_exact(bytes)) {
        for &place in halves {
            let half = half::f16::from_f32(values[place] * 0.01);
            block[place..place + 2].copy_from_slice(&half.to_le_bytes());
        }
    }
    stored
}

/// A matrix of [`stored_blocks`].
pub(in super::super) fn random_blocks(
    form: Form,
    outputs: usize,
    inputs: usize,
    seed: u64,
) -> PackedMatrix {
    let stored = stored_blocks(form, outputs, inputs, seed);
    PackedMatrix::from_blocks(&stored, outputs, inputs, form).expect("whole blocks")
}

/// Holds the fast kernels for blocks against the plain one, whose integers must be the same.
fn check_blocks(form: Form, rows: usize, outputs: usize, inputs: usize) {
    check_same(&random_blocks(form, outputs, inputs, 5), rows);
}

/// Holds the fast kernels for a weight against the plain one.
fn check_same(weight: &PackedMatrix, rows: usize) {
    let (form, outputs, inputs) = (weight.form, weight.outputs, weight.inputs);
    let (x, bias) = (spread(rows * inputs, 6), spread(outputs, 7));
    let want = product(Isa::Plain, weight, &x, Some(&bias));
    for isa in kernels() {
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Amx && rows >= super::super::amx::LEAST_ROWS
            || matches!(isa, Isa::Avx512 | Isa::Avx512Bf16 | Isa::Avx512Fp16)
                && rows >= super::super::avx512::MANY_ROWS
                && !matches!(form, Form::Q8_0 | Form::Int8)
        {
            continue; // rounds more: see the tests of such products in `exact`
        }
        let out = product(isa, weight, &x, Some(&bias));
        let size = want.iter().fold(1.0f32, |size, value| size.max(value.abs()));
        for (i, (got, want)) in out.iter().zip(&want).enumerate() {
            assert!((got - want).abs() <= 1e-5 * size, "{isa:?} {form:?} at {i}: {got} for {want}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 40 }))]

    #[test]
    fn products_with_blocks_are_those_of_the_plain_kernel(
        form in prop::sample::select(&BLOCKS[..]), rows in 0usize..20, outputs in 0usize..70,
        blocks in 0usize..4,
    ) {
        check_blocks(form, rows, outputs, blocks * 256);
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn products_with_several_blocks_of_blocks_are_right() {
    for form in BLOCKS {
        check_blocks(form, 31, 545, 2560);
    }
    for form in BLOCKS_OF_32 {
        check_blocks(form, 13, 45, 2560 + 96); // no multiple of 256, for which they stand in
    }
}

/// Some instruction sets widen the weights for so many rows.
#[test]
#[cfg_attr(miri, ignore = "too long")]
fn products_of_many_rows_with_blocks_are_right() {
    for form in BLOCKS {
        check_blocks(form, 64, 70, 512);
        check_blocks(form, 67, 161, 2560);
        check_blocks(form, 601, 33, 768);
    }
    check_same(&random_int8(70, 512), 64);
    check_same(&random_int8(161, 2571), 67);
}

/// A weight of bytes, packed from random values.
pub(super) fn random_int8(outputs: usize, inputs: usize) -> PackedMatrix {
    let values = spread(outputs * inputs, 8);
    PackedMatrix::new(Values::F32(&values), outputs, inputs, Form::Int8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 40 }))]

    #[test]
    fn products_with_bytes_are_those_of_the_plain_kernel(
        rows in 0usize..30, outputs in 0usize..70, inputs in 0usize..600,
    ) {
        check_same(&random_int8(outputs, inputs), rows);
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn products_with_several_blocks_of_bytes_are_right() {
    check_same(&random_int8(545, 4619), 31);
    check_same(&random_int8(1063, 300), 503);
    check_same(&random_int8(33, 4619), 450); // two blocks of rows, two of inputs
}

/// Each value is within half a step of what its byte stands for, a step being the largest of 256
/// values by 127; so a product is within the sum of what these can do.
#[test]
fn products_with_bytes_are_near_those_of_the_values() {
    let (rows, outputs, inputs) = (3, 35, 700);
    let (x, w) = (spread(rows * inputs, 6), spread(outputs * inputs, 8));
    let weight = random_int8(outputs, inputs);
    let half_step = 0.5 / 127.0 * 1.001;
    for (i, got) in product(Isa::Plain, &weight, &x, None).into_iter().enumerate() {
        let (x, w) = (&x[i / outputs * inputs..], &w[i % outputs * inputs..]);
        let pairs = || x.iter().zip(w).take(inputs);
        let want: f32 = pairs().map(|(x, w)| x * w).sum();
        let bound: f32 = pairs().map(|(x, w)| half_step * (x.abs() + w.abs() + half_step)).sum();
        assert!((got - want).abs() < bound, "{got} for {want} ± {bound}");
        assert!((got - want).abs() < 0.2, "{got} for {want}: errors of both signs even out");
    }
}

#[test]
fn bytes_that_are_no_whole_rows_of_blocks_are_refused() {
    assert!(PackedMatrix::from_blocks(&[0; 34 * 2], 1, 64, Form::Q8_0).is_some());
    for (bytes, outputs, inputs, form) in
        [(34, 1, 64, Form::Q8_0), (34, 1, 33, Form::Q8_0), (4, 1, 1, Form::F32)]
    {
        assert!(PackedMatrix::from_blocks(&vec![0; bytes], outputs, inputs, form).is_none());
    }
}
