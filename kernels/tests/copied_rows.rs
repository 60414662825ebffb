//! Rows copied into a longer buffer, beside candle's own copy.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use candle_core::{DType, Device, Tensor};
use glm4v_kernels::copy_rows;
use proptest::prelude::*;

fn buffer(heads: usize, capacity: usize, width: usize, dtype: DType) -> Tensor {
    let size = heads * capacity * width;
    let values = Tensor::arange(0.0, size as f32, &Device::Cpu).unwrap();
    values.reshape((heads, capacity, width)).unwrap().to_dtype(dtype).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

proptest! {
    #[test]
    fn they_are_where_candle_puts_them(
        heads in 1usize..5, rows in 0usize..60, width in 1usize..140, at in 0usize..9,
        after in 0usize..5, transposed in any::<bool>(), types in 0usize..3,
    ) {
        let (from, into) =
            [(DType::F32, DType::F32), (DType::F32, DType::F16), (DType::F16, DType::F16)][types];
        let rows = match transposed {
            true => buffer(rows, heads, width, from).transpose(0, 1).unwrap(),
            false => buffer(heads, rows, width, from),
        };
        let capacity = at + rows.dim(1).unwrap() + after;
        let [found, wanted] = [(); 2].map(|()| buffer(heads, capacity, width, into));
        copy_rows(&rows, &found, at).unwrap();
        if rows.elem_count() > 0 {
            let rows = rows.contiguous().unwrap().to_dtype(into).unwrap();
            wanted.slice_set(&rows, 1, at).unwrap();
        }
        prop_assert_eq!(values(&found), values(&wanted));
    }
}

#[test]
fn no_rows_fit_into_no_room() {
    for dtype in [DType::F32, DType::F16] {
        let [rows, room] = [buffer(2, 0, 8, DType::F32), buffer(2, 0, 8, dtype)];
        copy_rows(&rows, &room, 0).unwrap();
        assert!(copy_rows(&buffer(2, 1, 8, DType::F32), &room, 0).is_err());
    }
}

#[test]
fn rows_that_do_not_fit_are_errors() {
    let to = buffer(2, 5, 8, DType::F32);
    let sizes = [((2, 3, 8), 3), ((1, 3, 8), 0), ((2, 3, 7), 0), ((2, 1, 8), 6), ((2, 0, 8), 6)];
    for (rows, at) in sizes {
        let rows = Tensor::ones(rows, DType::F32, &Device::Cpu).unwrap();
        assert!(copy_rows(&rows, &to, at).is_err(), "{rows:?} from {at} on");
    }
    assert_eq!(values(&to), values(&buffer(2, 5, 8, DType::F32)));
}

#[test]
fn halves_are_rounded_and_stay_finite_where_numbers_are() {
    let to = Tensor::zeros((1, 2, 70), DType::F16, &Device::Cpu).unwrap();
    let mut row = vec![1.0 / 3.0; 70];
    row[..6].copy_from_slice(&[1e6, -1e6, f32::NAN, f32::INFINITY, 1e-9, 65519.0]);
    let rows = Tensor::from_vec(row, (1, 1, 70), &Device::Cpu).unwrap();
    copy_rows(&rows, &to, 1).unwrap();
    let found = values(&to);
    assert_eq!(found[..70], [0.0; 70]);
    assert_eq!((found[70], found[71], found[74], found[75]), (65504.0, -65504.0, 0.0, 65504.0));
    assert!(found[72].is_nan() && found[73].is_nan());
    assert!(found[76..].iter().all(|value| (value * 3.0 - 1.0).abs() < 1.0 / 2048.0));
}
