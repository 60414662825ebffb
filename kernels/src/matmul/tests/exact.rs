//! Products with rounded weights against exact ones of the values that the weights stand for, which
//! candle takes out of their blocks, and no code of ours.

use std::borrow::Cow;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use proptest::prelude::*;

#[cfg(all(target_arch = "x86_64", not(miri)))]
use super::super::Values;
use super::super::{Form, Isa, PackedMatrix};
use super::blocks::{BLOCKS, block_inputs, stored_blocks};
use super::{kernels, product, spread};

/// A weight, and its values `(outputs, inputs)`.
struct Weight {
    packed: PackedMatrix,
    values: Vec<f32>,
}

impl Weight {
    /// Random blocks.
    fn of_blocks(form: Form, outputs: usize, inputs: usize) -> Self {
        let stored = stored_blocks(form, outputs, inputs, 5);
        let packed = PackedMatrix::from_blocks(&stored, outputs, inputs, form);
        let values = dequantised(form, &stored, (outputs, inputs)).expect("whole blocks");
        Self { packed: packed.expect("whole blocks"), values }
    }

    /// Random values of bf16, output `o` times `2^exponents[o % exponents.len()]`.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    fn of_bf16(outputs: usize, inputs: usize, exponents: &[i32]) -> Self {
        let values = spread(outputs * inputs, 5).into_iter().enumerate().map(|(i, value)| {
            let scale = 2f32.powi(exponents[i / inputs % exponents.len()]);
            half::bf16::from_f32(value).to_f32() * scale
        });
        let values: Vec<_> = values.collect();
        let packed = PackedMatrix::new(Values::F32(&values), outputs, inputs, Form::Bf16);
        Self { packed, values }
    }

    /// Random bytes; their values are what the plain kernel makes of the rows of the identity.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    fn of_bytes(outputs: usize, inputs: usize) -> Self {
        let packed = super::blocks::random_int8(outputs, inputs);
        let mut identity = vec![0.0; inputs * inputs];
        identity.iter_mut().step_by(inputs + 1).for_each(|value| *value = 1.0);
        let columns = product(Isa::Plain, &packed, &identity, None); // (inputs, outputs)
        let at = |i: usize| columns[i % inputs * outputs + i / inputs];
        Self { packed, values: (0..outputs * inputs).map(at).collect() }
    }
}

fn dequantised(form: Form, stored: &[u8], shape: (usize, usize)) -> candle_core::Result<Vec<f32>> {
    let dtype = match form {
        Form::Q8_0 => GgmlDType::Q8_0,
        Form::Q4_0 => GgmlDType::Q4_0,
        Form::Q4_1 => GgmlDType::Q4_1,
        Form::Q5_0 => GgmlDType::Q5_0,
        Form::Q5_1 => GgmlDType::Q5_1,
        Form::Q4K => GgmlDType::Q4K,
        Form::Q5K => GgmlDType::Q5K,
        Form::Q6K => GgmlDType::Q6K,
        Form::F32 | Form::Bf16 | Form::Int8 => panic!("{form:?} has no blocks"),
    };
    let storage = QStorage::from_data(Cow::Borrowed(stored), &Device::Cpu, dtype)?;
    QTensor::new(storage, shape)?.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()
}

/// Holds the products of `x` on an instruction set against the exact ones. Each may be as far off as
/// `bound` says of its row and its output's values. Gives the errors' share of the products, both as root
/// mean squares.
fn check_near(
    isa: Isa,
    Weight { packed, values }: &Weight,
    x: &[f32],
    bound: impl Fn(&[f32], &[f32]) -> f64,
) -> f64 {
    let (form, outputs, inputs) = (packed.form, packed.outputs, packed.inputs);
    let mut squares = [0.0f64; 2];
    for (i, got) in product(isa, packed, x, None).into_iter().enumerate() {
        let x = &x[i / outputs * inputs..][..inputs];
        let w = &values[i % outputs * inputs..][..inputs];
        let want: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
        let (error, bound) = ((f64::from(got) - want).abs(), bound(x, w));
        assert!(error <= bound, "{isa:?} {form:?} at {i}: {got} for {want} ± {bound}");
        squares = [squares[0] + error * error, squares[1] + want * want];
    }
    (squares[0] / squares[1].max(f64::MIN_POSITIVE)).sqrt()
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(f64::from(value.abs())))
}

fn sizes(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(value.abs())).sum()
}

/// How far a product may be off whose rows are rounded to bytes, 32 inputs at a time: each by half a step
/// of a 127th of their largest. Summing in f32 adds little, of what is scaled as of what minima take away.
fn bound_of_bytes(x: &[f32], w: &[f32]) -> f64 {
    let blocks = x.chunks(32).zip(w.chunks(32));
    let rounding: f64 = blocks.map(|(x, w)| largest(x) / 254.0 * sizes(w)).sum();
    rounding * 1.001 + 1e-6 * sizes(x) * largest(w) + 1e-6
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn products_with_blocks_are_near_those_of_their_values(
        form in prop::sample::select(&BLOCKS[..]), rows in 0usize..20, outputs in 1usize..70,
        blocks in 1usize..12,
    ) {
        let weight = Weight::of_blocks(form, outputs, blocks * block_inputs(form));
        for isa in kernels() {
            let x = spread(rows * weight.packed.inputs, 6);
            check_near(isa, &weight, &x, bound_of_bytes);
        }
    }
}

/// As many rows as are multiplied without widening on every instruction set, in several tiles of each.
#[test]
#[cfg_attr(miri, ignore = "too long")]
fn products_with_every_form_of_blocks_are_near_those_of_their_values() {
    for form in BLOCKS {
        for (rows, outputs, blocks) in [(1, 33, 1), (2, 32, 3), (23, 70, 5)] {
            let weight = Weight::of_blocks(form, outputs, blocks * block_inputs(form));
            for isa in kernels() {
                let x = spread(rows * weight.packed.inputs, 6);
                check_near(isa, &weight, &x, bound_of_bytes);
            }
        }
    }
}

/// With tiles, many rows are rounded to bf16, and so is what a weight's bits stand for. Each weight is
/// then off by half of the last of its 8 bits at most, and a product by the sum of these.
#[test]
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn products_with_widened_weights_are_near_the_exact_ones() {
    if !super::super::amx::detected() {
        return;
    }
    let blocks = [
        (Form::Q8_0, 40, 70, 512),
        (Form::Q4_0, 24, 33, 256),
        (Form::Q4_1, 31, 65, 288),
        (Form::Q5_0, 31, 65, 288),
        (Form::Q5_1, 40, 33, 96),
        (Form::Q4K, 77, 64, 512),
        (Form::Q5K, 25, 70, 768),
        (Form::Q6K, 33, 45, 256),
    ]
    .map(|(form, rows, outputs, inputs)| (Weight::of_blocks(form, outputs, inputs), rows));
    for (weight, rows) in blocks.into_iter().chain([(Weight::of_bytes(70, 515), 40)]) {
        let x: Vec<_> = spread(rows * weight.packed.inputs, 6);
        let x: Vec<_> = x.into_iter().map(|x| half::bf16::from_f32(x).to_f32()).collect();
        let bound = |x: &[f32], w: &[f32]| {
            let products = x.iter().zip(w).map(|(x, w)| f64::from((x * w).abs()));
            products.sum::<f64>() / 256.0 + 1e-5
        };
        check_near(Isa::Amx, &weight, &x, bound);
    }
}

/// How far a product may be off whose weights, too, are rounded to bytes, 256 inputs at a time. The
/// weights' step is of what their scales allow, which in random blocks is not twice the largest.
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn bound_of_two_bytes(x: &[f32], w: &[f32]) -> f64 {
    let mut bound = 1e-4;
    for (x, w) in x.chunks(256).zip(w.chunks(256)) {
        let (half_x, half_w) = (largest(x) / 254.0, 2.0 * largest(w) / 254.0);
        bound += half_w * (sizes(x) + half_x * x.len() as f64) + half_x * sizes(w);
    }
    bound
}

/// Many rows meet weights of four to six bits as bytes.
#[test]
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn products_of_many_rows_with_narrow_weights_are_near_the_exact_ones() {
    if !super::super::avx512::detected(Isa::Avx512) {
        return;
    }
    for (form, rows, outputs, inputs) in [
        (Form::Q4K, 64, 70, 512),
        (Form::Q4_0, 77, 33, 1280),
        (Form::Q4K, 601, 40, 2304),
        (Form::Q4_1, 70, 45, 800),  // the last step is of 32 inputs
        (Form::Q5_0, 64, 70, 2528), // and of 224
        (Form::Q5_1, 64, 33, 2528),
        (Form::Q5_1, 300, 70, 96),
        (Form::Q4_0, 65, 33, 32),
        (Form::Q5K, 64, 33, 256),
        (Form::Q5K, 130, 70, 2304),
        (Form::Q6K, 70, 40, 2304),
    ] {
        let weight = Weight::of_blocks(form, outputs, inputs);
        let x = spread(rows * inputs, 6);
        let share = check_near(Isa::Avx512, &weight, &x, bound_of_two_bytes);
        assert!(share < 0.02, "{form:?}: errors are {share} of the products");
    }
}

/// How far a product may be off of the sizes of what it sums where rows are rounded to f16: weights keep
/// all their bits, a row's number is off by 2⁻¹¹ of itself, and so is each of the 36 sums that follow one
/// another: 32 in a part, then of four parts, then of even and odd inputs.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const ERROR_IN_F16: f64 = 37.0 / 2048.0;

/// They are within the bound; what is usual is a hundredth of that, and half of what rounding the
/// rows to bf16 would cost.
#[test]
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn products_of_many_rows_in_f16_are_near_the_exact_ones() {
    if !super::super::avx512::detected(Isa::Avx512Fp16) {
        return;
    }
    for (rows, outputs, inputs) in
        [(64, 70, 512), (77, 33, 1280), (65, 40, 67), (300, 65, 1), (64, 32, 64)]
    {
        let weight = Weight::of_bf16(outputs, inputs, &[0]);
        let x = spread(rows * inputs, 6);
        let bound = |x: &[f32], w: &[f32]| {
            let products = x.iter().zip(w).map(|(x, w)| f64::from((x * w).abs()));
            products.sum::<f64>() * ERROR_IN_F16 + 1e-7
        };
        let share = check_near(Isa::Avx512Fp16, &weight, &x, bound);
        assert!(share < 1e-3, "{rows} × {inputs}: errors are {share} of the products");
    }
}

/// The largest sums that there can be stay numbers: of values of one sign, each just below a power of two.
/// Alike as they are, they round to the same side again and again, by 1/255 in all.
#[test]
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn products_in_f16_do_not_leave_its_range() {
    if !super::super::avx512::detected(Isa::Avx512Fp16) {
        return;
    }
    let (rows, outputs, inputs) = (64, 32, 640);
    let value = f32::from_bits(0x3fff_0000); // 1.9921875, the last of bf16 below 2
    let values = vec![value; outputs * inputs];
    let packed = PackedMatrix::new(Values::F32(&values), outputs, inputs, Form::Bf16);
    let bound = |x: &[f32], w: &[f32]| sizes(x) * largest(w) * ERROR_IN_F16;
    check_near(Isa::Avx512Fp16, &Weight { packed, values }, &vec![-value; rows * inputs], bound);
}

/// However large or small rows and outputs are, they are rounded alike.
#[test]
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn products_in_f16_scale_with_rows_and_outputs() {
    if !super::super::avx512::detected(Isa::Avx512Fp16) {
        return;
    }
    let (rows, outputs, inputs) = (70, 45, 150);
    let exponents = [0, -60, 50, -20, 9, 30, -1];
    let [even, uneven] =
        [&[0][..], &exponents].map(|exponents| Weight::of_bf16(outputs, inputs, exponents));
    let x = spread(rows * inputs, 6);
    let scale = |i: usize| 2f32.powi(exponents[i % exponents.len()]);
    let scaled: Vec<_> = x.iter().enumerate().map(|(i, x)| x * scale(i / inputs)).collect();
    let wanted = product(Isa::Avx512Fp16, &even.packed, &x, None);
    let found = product(Isa::Avx512Fp16, &uneven.packed, &scaled, None);
    for (i, (found, wanted)) in found.into_iter().zip(wanted).enumerate() {
        let wanted = wanted * scale(i / outputs) * scale(i % outputs);
        assert_eq!(found, wanted, "output {} of row {}", i % outputs, i / outputs);
    }
}

/// A weight that is no number shows in all of its output's products and in no others.
#[test]
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn weights_that_are_no_numbers_show_in_their_output_alone() {
    let (rows, outputs, inputs) = (64, 40, 100);
    let x = spread(rows * inputs, 6);
    let mut values = spread(outputs * inputs, 5);
    let pack = |values: &[f32]| PackedMatrix::new(Values::F32(values), outputs, inputs, Form::Bf16);
    let clean = pack(&values);
    for (value, output) in [(f32::NAN, 3), (f32::INFINITY, 37)] {
        values[output * inputs + 70] = value;
    }
    let weight = pack(&values);
    for isa in kernels() {
        let [out, wanted] = [&weight, &clean].map(|weight| product(isa, weight, &x, None));
        for (i, (got, wanted)) in out.iter().zip(wanted).enumerate() {
            let right = match i % outputs {
                3 | 37 => !got.is_finite(),
                _ => *got == wanted,
            };
            assert!(right, "{isa:?}: {got} for {wanted} at {i}");
        }
    }
}
