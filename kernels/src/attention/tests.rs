use super::*;
use crate::simd::LOG2_E;
use proptest::prelude::*;

fn values(shape: (usize, usize, usize), seed: u64) -> Tensor {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 6.0
    };
    let values: Vec<f32> = (0..shape.0 * shape.1 * shape.2).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Rounds values, after multiplying with `scale`, to bf16.
fn rounded(x: &Tensor, scale: f64) -> Tensor {
    let scaled = (x * scale).unwrap().to_dtype(DType::BF16).unwrap();
    (scaled.to_dtype(DType::F32).unwrap() * (1.0 / scale)).unwrap()
}

/// Rounds rows to what bytes can hold: a 127th of each row's largest value at a time.
fn rounded_to_bytes(x: &Tensor) -> Tensor {
    let step = (x.abs().unwrap().max_keepdim(2).unwrap() / 127.0).unwrap();
    x.broadcast_div(&step).unwrap().round().unwrap().broadcast_mul(&step).unwrap()
}

/// Attention with each kind of registers against candle's operations. What the operands in bf16
/// or bytes lose is lost beforehand, so that only the rounding of the weights is left.
fn check(group: usize, kv_heads: usize, queries: usize, earlier: usize, d: usize, mask: Mask) {
    let (heads, keys) = (group * kv_heads, queries + earlier);
    let scale = f64::from(LOG2_E / (d as f32).sqrt());
    let q = rounded(&values((heads, queries, d), 1), scale);
    let [k, v] = [2, 3].map(|seed| rounded(&values((kv_heads, keys, d), seed), 1.0));
    let size = format!("{heads}/{kv_heads} heads of {d}, {queries} of {keys}, {mask:?}");
    compare(&size, [&q, &k, &v], mask, 3e-5, attend::<Single>);
    // Values lie within ±3, so weights off by 2⁻⁸ and what the coarse power is off by move them so far.
    let of_weights = 3.0 / 256.0 + 6.0 * 1.1e-4 + 3e-5;
    compare(&size, [&q, &k, &v], mask, of_weights, attend::<Pairs>);
    #[cfg(target_arch = "x86_64")]
    if tiles::detected() {
        compare(&size, [&q, &k, &v], mask, of_weights, |problem, _| {
            attend::<Tiled>(problem, Level::Avx512Bf16)
        });
    }
    let [q, k] = [&q, &k].map(rounded_to_bytes);
    compare(&size, [&q, &k, &v], mask, of_weights, attend::<Bytes<Pairs>>);
    compare(&size, [&q, &k, &v], mask, 3e-5, attend::<Bytes<Single>>);
}

/// Holds `found` at every level against candle's operations.
fn compare(
    size: &str,
    [q, k, v]: [&Tensor; 3],
    mask: Mask,
    bound: f32,
    found: impl Fn(&Problem<'_>, Level) -> Vec<f32>,
) {
    let wanted: Vec<f32> =
        on_device(q, k, v, mask).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let ((heads, queries, d), (kv_heads, keys, _)) = (q.dims3().unwrap(), k.dims3().unwrap());
    let [q, k, v] = [q, k, v].map(values_of);
    let [q, k, v] = [&q, &k, &v].map(|values| heads_of(values).unwrap());
    let (k, v) = (Kept::Floats(k), Kept::Floats(v));
    let problem = Problem { q, k, v, heads, kv_heads, queries, keys, d, mask };
    for level in Level::available() {
        for (at, (found, wanted)) in found(&problem, level).iter().zip(&wanted).enumerate() {
            let off = (found - wanted).abs();
            assert!(off < bound, "{level:?}, {size}: {at} is off by {off}, not {bound}");
        }
    }
}

/// Operands that were not rounded beforehand: scores that deviate by 3, values up to 3. The bounds
/// are twice what was found, a hundredth of what the worst roundings could add up to.
#[test]
fn what_rounded_operands_lose_is_small() {
    let (queries, keys, d) = (70, 300, 64);
    let q = values((2, queries, d), 1);
    let [k, v] = [2, 3].map(|seed| values((2, keys, d), seed));
    let exact = attention(&q, &k, &v, Mask::Full).unwrap();
    for (precision, bound) in [(Precision::Bf16, 0.045), (Precision::Bytes, 0.09)] {
        let found = attention_in(precision, &q, &k, &v, Mask::Full).unwrap();
        let off = (&exact - found).unwrap().abs().unwrap().max_all().unwrap();
        let off = off.to_scalar::<f32>().unwrap();
        assert!(off < bound, "{precision:?}: off by {off}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_kind_of_register_gives_the_same(
        group in 1usize..20, kv_heads in 1usize..3, queries in 1usize..40,
        earlier in 0usize..300, d in 1usize..150, causal in any::<bool>(),
    ) {
        check(group, kv_heads, queries, earlier, d, if causal { Mask::Causal } else { Mask::Full });
    }
}

#[test]
fn the_head_sizes_of_the_family_are_right_over_several_chunks() {
    for d in [64, 80, 112, 128] {
        for mask in [Mask::Full, Mask::Causal] {
            check(1, 2, 301, 0, d, mask);
            check(16, 1, 40, 111, d, mask);
            check(120, 1, 3, 130, d, mask);
        }
    }
}

/// Guesses are verified together, and must be answered as one by one.
#[test]
fn a_row_gives_the_same_bits_alone_and_among_others() {
    let flat = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (heads, kv_heads, d) in [(4, 4, 64), (8, 2, 128), (32, 2, 20)] {
        let (queries, keys) = (13, 263);
        let q = values((heads, queries, d), 1);
        let [k, v] = [2, 3].map(|seed| values((kv_heads, keys, d), seed));
        let together = flat(attention(&q, &k, &v, Mask::Causal).unwrap());
        for row in 0..queries {
            let seen = keys - queries + row + 1;
            let [k, v] = [&k, &v].map(|rows| rows.narrow(1, 0, seen).unwrap());
            let q = q.narrow(1, row, 1).unwrap();
            let alone = flat(attention(&q, &k, &v, Mask::Causal).unwrap());
            let width = heads * d;
            assert_eq!(alone, together[row * width..(row + 1) * width], "{heads}, {row}");
        }
    }
}

#[test]
fn rows_kept_in_halves_give_what_their_numbers_give() {
    for (group, queries, keys, d) in
        [(1, 1, 300, 64), (2, 1, 140, 128), (8, 3, 77, 80), (2, 90, 200, 112)]
    {
        let q = values((2 * group, queries, d), 1);
        let [k, v] = [2, 3].map(|seed| values((2, keys, d), seed).to_dtype(DType::F16).unwrap());
        let numbers = [&k, &v].map(|rows| rows.to_dtype(DType::F32).unwrap());
        let [k, v] = [k, v].map(KeptRows::Float);
        for precision in [Precision::Single, Precision::Bf16] {
            let found = attention_over(precision, &q, &k, &v, Mask::Causal).unwrap();
            let [k, v] = numbers.clone().map(KeptRows::Float);
            let wanted = attention_over(precision, &q, &k, &v, Mask::Causal).unwrap();
            let off = (found - wanted).unwrap().abs().unwrap().max_all().unwrap();
            assert_eq!(off.to_scalar::<f32>().unwrap(), 0.0, "{group}, {queries} of {keys}, {d}");
        }
    }
}

/// What attention makes of keys in halves at each level is what it makes of their values.
#[test]
fn halves_become_their_values_with_every_kind_of_register() {
    let (keys, d) = (150, 64);
    let q = values((4, 1, d), 1);
    let [k, v] = [2, 3].map(|seed| values((2, keys, d), seed).to_dtype(DType::F16).unwrap());
    let [exact_k, exact_v] = [&k, &v].map(|rows| rows.to_dtype(DType::F32).unwrap());
    let [q, k, v, exact_k, exact_v] = [&q, &k, &v, &exact_k, &exact_v].map(values_of);
    let q = heads_of(&q).unwrap();
    let halves = [&k, &v].map(|rows| Kept::Halves(heads_of(rows).unwrap()));
    let floats = [&exact_k, &exact_v].map(|rows| Kept::Floats(heads_of(rows).unwrap()));
    let [found, wanted] = [halves, floats].map(|[k, v]| {
        let problem =
            Problem { q, k, v, heads: 4, kv_heads: 2, queries: 1, keys, d, mask: Mask::Full };
        Level::available().map(|level| attend::<Single>(&problem, level)).collect::<Vec<_>>()
    });
    assert_eq!(found, wanted);
}

#[test]
fn rows_kept_in_bytes_give_what_their_numbers_give() {
    for (queries, keys, mask) in
        [(1, 300, Mask::Causal), (9, 131, Mask::Causal), (50, 200, Mask::Full)]
    {
        let q = values((8, queries, 40), 1);
        // A cache has more room than rows.
        let rows = |seed| match KeptRows::rounded(&values((2, keys + 5, 40), seed)).unwrap() {
            KeptRows::Bytes { codes, scales } => KeptRows::Bytes {
                codes: codes.narrow(1, 0, keys).unwrap(),
                scales: scales.narrow(1, 0, keys).unwrap(),
            },
            KeptRows::Float(_) => panic!("rounded rows are bytes"),
        };
        let (k, v) = (rows(2), rows(3));
        // Codes that lie otherwise are read rightly too.
        let KeptRows::Bytes { codes, scales } = k.clone() else { panic!("bytes") };
        let codes = codes.transpose(1, 2).unwrap().contiguous().unwrap();
        let otherwise = KeptRows::Bytes { codes: codes.transpose(1, 2).unwrap(), scales };
        let kept = attention_over(Precision::Single, &q, &k, &v, mask).unwrap();
        let apart = attention_over(Precision::Single, &q, &otherwise, &v, mask).unwrap();
        let [k, v] = [k, v].map(|rows| rows.numbers(DType::F32).unwrap());
        let numbers = attention(&q, &k, &v, mask).unwrap();
        let flat = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let wanted = flat(numbers);
        assert_eq!(flat(kept), wanted, "{queries} of {keys}, {mask:?}");
        assert_eq!(flat(apart), wanted, "{queries} of {keys}, {mask:?}");
    }
}

#[test]
fn numbers_rounded_to_bytes_are_near_themselves() {
    let rows = values((2, 50, 24), 9);
    let near = KeptRows::rounded(&rows).unwrap().numbers(DType::F32).unwrap();
    let off = (&near - &rows).unwrap().abs().unwrap();
    let largest = rows.abs().unwrap().max_keepdim(2).unwrap();
    let share = off.broadcast_div(&largest).unwrap().max_all().unwrap();
    let share = share.to_scalar::<f32>().unwrap();
    assert!(share <= 1.001 / 254.0, "{share}");
}

#[test]
fn views_are_read_where_they_lie() {
    let (rows, heads, d) = (70, 3, 20);
    let fused = values((rows, 3 * heads, d), 5);
    let view = |i: usize| fused.narrow(1, i * heads, heads).unwrap().transpose(0, 1).unwrap();
    let copy = |i: usize| view(i).contiguous().unwrap();
    let apart = attention(&copy(0), &copy(1), &copy(2), Mask::Full).unwrap();
    let inside = attention(&view(0), &view(1), &view(2), Mask::Full).unwrap();
    let flat = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(flat(inside), flat(apart));
}

/// A number that is none must show, and neither tiny rows nor rows of zeros may do harm.
#[test]
fn what_is_no_number_shows_and_tiny_rows_do_no_harm() {
    let (queries, keys, d) = (70, 300, 64);
    let all = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let filled = |value: f32| Tensor::full(value, (1, 1, d), &Device::Cpu).unwrap();
    let with_row = |x: &Tensor, row: Tensor| {
        Tensor::cat(&[row, x.narrow(1, 1, x.dim(1).unwrap() - 1).unwrap()], 1).unwrap()
    };
    let q = values((1, queries, d), 1);
    let [k, v] = [2, 3].map(|seed| values((1, keys, d), seed));
    for precision in [Precision::Single, Precision::Bf16, Precision::Bytes] {
        for odd in [f32::NAN, f32::INFINITY] {
            let q = with_row(&q, filled(odd));
            let found = all(&attention_in(precision, &q, &k, &v, Mask::Full).unwrap());
            assert!(found[..d].iter().all(|value| value.is_nan()), "{precision:?}, {odd}");
            assert!(found[d..].iter().all(|value| value.is_finite()), "{precision:?}, {odd}");
        }
        let mean = all(&v.mean(1).unwrap());
        for small in [0.0, 1e-38, 3e-37] {
            let q = with_row(&q, filled(small));
            let found = all(&attention_in(precision, &q, &k, &v, Mask::Full).unwrap());
            let off = found.iter().zip(&mean).take(d).map(|(a, b)| (a - b).abs());
            assert!(off.fold(0.0, f32::max) < 0.02, "{precision:?}, {small}");
        }
    }
}
