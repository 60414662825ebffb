//! Tensors of random values, for measuring speed without a checkpoint.

use candle_core::{DType, Device, Result, Shape, Tensor};

/// Rows that are drawn; taller tensors repeat them.
const DRAWN_ROWS: usize = 256;

/// A tensor whose values are spread evenly around 0, as narrowly as a trained matrix's of that
/// width: products of rows with it keep their size.
pub(crate) fn tensor(shape: Shape, dtype: DType, device: &Device) -> Result<Tensor> {
    let rows = shape.dims().first().copied().unwrap_or(1).max(1);
    let width = shape.elem_count() / rows;
    let bound = (3.0 / width.max(1) as f32).sqrt();
    let drawn = Tensor::rand(-bound, bound, (rows.min(DRAWN_ROWS), width), device)?;
    let drawn = drawn.to_dtype(dtype)?;
    let repeated = vec![&drawn; rows.div_ceil(DRAWN_ROWS)];
    Tensor::cat(&repeated, 0)?.narrow(0, 0, rows)?.contiguous()?.reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_shape_and_type_asked_for_and_differing_values() {
        for shape in [vec![5], vec![3, 4], vec![600, 7], vec![2, 3, 4, 5]] {
            let made = tensor(Shape::from(shape.as_slice()), DType::BF16, &Device::Cpu).unwrap();
            assert_eq!((made.dims(), made.dtype()), (shape.as_slice(), DType::BF16));
            let values = made.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
            let values: Vec<f32> = values.to_vec1().unwrap();
            assert!(values.iter().all(|value| value.abs() <= 2.0));
            assert!(values.iter().any(|value| *value != values[0]));
        }
    }
}
