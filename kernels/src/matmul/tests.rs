//! Every kernel against the product written out in f64, on random shapes.

mod blocks;
mod exact;

use std::mem::MaybeUninit;

use half::bf16;
use proptest::prelude::*;

use super::{Finish, Form, Isa, PackedMatrix, Places, Product, Values, multiply_on};
pub(super) use blocks::random_blocks;
use blocks::{BLOCKS, random_int8};

/// Values that are neither round nor alike, in ±1.
pub(super) fn spread(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    (0..len).map(next).collect()
}

/// What was written, or was there before.
pub(super) fn written(values: Vec<MaybeUninit<f32>>) -> Vec<f32> {
    // SAFETY: the tests put numbers everywhere before a product is written over them.
    values.into_iter().map(|value| unsafe { value.assume_init() }).collect()
}

pub(super) fn kernels() -> Vec<Isa> {
    let mut all = vec![Isa::Plain];
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        all.extend(super::avx2::detected().then_some(Isa::Avx2));
        let kinds = [Isa::Avx512, Isa::Avx512Bf16, Isa::Avx512Fp16];
        all.extend(kinds.into_iter().filter(|&isa| super::avx512::detected(isa)));
        all.extend(super::amx::detected().then_some(Isa::Amx));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        let faster = [Isa::Neon, Isa::NeonDot, Isa::NeonBf16];
        all.extend(faster.into_iter().filter(|&isa| super::neon::detected(isa)));
    }
    all
}

/// Multiplies with one weight into columns `offset` and on of rows `width` wide.
fn multiply_with(
    isa: Isa,
    weight: &PackedMatrix,
    x: &[f32],
    bias: Option<&[f32]>,
    (places, width, offset): (&mut [MaybeUninit<f32>], usize, usize),
) {
    let places = Places { places, width, offset };
    multiply_on(isa, Product::new(&[weight], x, bias, places, Finish::None));
}

/// The product of rows with one weight and nothing beside it.
fn product(isa: Isa, weight: &PackedMatrix, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let rows = x.len().checked_div(weight.inputs).unwrap_or_default();
    let mut out = vec![MaybeUninit::new(f32::NAN); rows * weight.outputs];
    multiply_with(isa, weight, x, bias, (&mut out, weight.outputs, 0));
    written(out)
}

fn rounded(values: &[f32], form: Form) -> Vec<f64> {
    let round = |&value: &f32| match form {
        Form::Bf16 => bf16::from_f32(value).to_f64(),
        _ => f64::from(value),
    };
    values.iter().map(round).collect()
}

/// Whether rows are rounded to f16 in place of bf16, and products of 256 inputs summed in it; `exact` has
/// the bound for that.
#[cfg(target_arch = "x86_64")]
fn sums_in_f16(isa: Isa, form: Form, (rows, inputs): (usize, usize)) -> bool {
    let isa = match super::avx512::fastest() {
        Some(fastest) if isa == Isa::Amx && !inputs.is_multiple_of(32) => fastest, // no whole tiles
        _ => isa,
    };
    isa == Isa::Avx512Fp16 && form == Form::Bf16 && rows >= super::avx512::MANY_ROWS
}

#[cfg(not(target_arch = "x86_64"))]
fn sums_in_f16(_isa: Isa, _form: Form, _sizes: (usize, usize)) -> bool {
    false
}

/// Holds the product on every instruction set against the definition in f64. What is summed is
/// rounded as the form says, so what remains is the rounding of f32 sums of values up to 1.
fn check(rows: usize, outputs: usize, inputs: usize, form: Form, with_bias: bool) {
    let (x, w) = (spread(rows * inputs, 1), spread(outputs * inputs, 2));
    let bias = with_bias.then(|| spread(outputs, 3));
    let weight = PackedMatrix::new(Values::F32(&w), outputs, inputs, form);
    let (width, offset) = (outputs + 3, 2);
    let (exact_x, exact_w) = (rounded(&x, form), rounded(&w, form));
    for isa in kernels() {
        let mut out = vec![MaybeUninit::new(f32::NAN); rows * width];
        multiply_with(isa, &weight, &x, bias.as_deref(), (&mut out, width, offset));
        let out = written(out);
        for (i, &got) in out.iter().enumerate() {
            let (row, column) = (i / width, (i % width).wrapping_sub(offset));
            if column >= outputs {
                assert!(got.is_nan(), "{isa:?} wrote beside its columns");
                continue;
            }
            let (x, w) = (&exact_x[row * inputs..], &exact_w[column * inputs..]);
            let products = x.iter().zip(w).take(inputs).map(|(x, w)| x * w);
            let want = products.sum::<f64>() + bias.as_ref().map_or(0.0, |b| f64::from(b[column]));
            let unit = if sums_in_f16(isa, form, (rows, inputs)) { 2e-3 } else { 1e-6 };
            let tolerance = unit * (inputs as f64).sqrt().max(1.0) * 4.0;
            assert!(
                (f64::from(got) - want).abs() < tolerance,
                "{isa:?} {form:?} {rows} × {inputs} × {outputs} at {row}, {column}: {got} for {want}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 60 }))]

    #[test]
    fn products_of_any_shape_are_right(
        rows in 0usize..40, outputs in 0usize..100, inputs in 0usize..70, bias: bool, bf16: bool,
    ) {
        check(rows, outputs, inputs, if bf16 { Form::Bf16 } else { Form::F32 }, bias);
    }

    /// Some instruction sets multiply so many rows in another way.
    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn products_of_many_rows_of_any_shape_are_right(
        rows in 64usize..100, outputs in 0usize..70, inputs in 0usize..300, bias: bool,
    ) {
        check(rows, outputs, inputs, Form::Bf16, bias);
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn products_of_several_blocks_and_tasks_are_right() {
    for form in [Form::F32, Form::Bf16] {
        check(503, 1063, 67, form, true);
        check(31, 545, 1103, form, true);
        check(75, 161, 1088, form, true); // inputs of whole tiles, in three blocks
        check(40, 64, 64, form, false);
        check(1100, 40, 67, form, true); // three blocks of rows
        check(1100, 40, 256, form, true); // in three, of whole tiles
        check(1, 2055, 777, form, false);
    }
}

#[test]
fn a_matrix_stored_as_bf16_packs_as_its_values_do() {
    let values: Vec<_> = spread(35 * 7, 4).into_iter().map(bf16::from_f32).collect();
    let widened: Vec<_> = values.iter().map(|value| value.to_f32()).collect();
    for form in [Form::F32, Form::Bf16] {
        let stored = PackedMatrix::new(Values::Bf16(&values), 35, 7, form);
        let wide = PackedMatrix::new(Values::F32(&widened), 35, 7, form);
        let words =
            |matrix: &PackedMatrix| matrix.lines.iter().map(|line| line.0).collect::<Vec<_>>();
        assert_eq!(words(&stored), words(&wide), "{form:?}");
    }
}

/// Answers must not depend on which others are made in the same pass. (24 rows or more meet AMX
/// tiles, whose sums are others; so many are not decoded together.)
#[test]
fn a_row_gives_the_same_bits_alone_and_among_others() {
    for form in [Form::F32, Form::Bf16] {
        let weight = PackedMatrix::new(Values::F32(&spread(70 * 3000, 5)), 70, 3000, form);
        check_rows_alone(&weight);
    }
    for form in BLOCKS {
        check_rows_alone(&random_blocks(form, 70, 3072, 6));
    }
    check_rows_alone(&random_int8(70, 3000));
}

fn check_rows_alone(weight: &PackedMatrix) {
    let (rows, width) = (16, weight.outputs);
    let x = spread(rows * weight.inputs, 7);
    for isa in kernels() {
        let together = product(isa, weight, &x, None);
        for (x, row) in x.chunks(weight.inputs).zip(together.chunks(width)) {
            let alone = product(isa, weight, x, None);
            let same = alone.iter().zip(row).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(
                same,
                "{isa:?}, {:?}: a row alone differs from itself among {rows}",
                weight.form
            );
        }
    }
}

/// Rounding a row to bytes must not make a number of what is none.
#[test]
fn what_is_no_number_shows_in_its_row_alone() {
    let (rows, inputs) = (66, 512); // so many rows that narrow weights are widened too
    let mut weights = vec![random_int8(40, inputs)];
    weights.extend(BLOCKS.map(|form| random_blocks(form, 40, inputs, 8)));
    let values = spread(40 * inputs, 8);
    weights.push(PackedMatrix::new(Values::F32(&values), 40, inputs, Form::Bf16));
    for (rows, value) in [(3, f32::NAN), (3, f32::INFINITY), (rows, f32::NAN)] {
        let clean = spread(rows * inputs, 9);
        let mut x = clean.clone();
        x[inputs + 300] = value;
        for (weight, isa) in
            weights.iter().flat_map(|w| kernels().into_iter().map(move |isa| (w, isa)))
        {
            let [out, wanted] = [&x, &clean].map(|x| product(isa, weight, x, None));
            for (i, (got, wanted)) in out.iter().zip(wanted).enumerate() {
                let right = if i / 40 == 1 { !got.is_finite() } else { *got == wanted };
                assert!(
                    right,
                    "{isa:?} {:?}: {got} for {value} at {i} of {rows} rows",
                    weight.form
                );
            }
        }
    }
}
