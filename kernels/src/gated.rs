//! Two projections of which one gates the other.

use candle_core::{DType, Result, Tensor};

use crate::elementwise::clamped_silu_times;
use crate::linear::{Linear, forward_packed};
use crate::matmul::Finish;

/// `SiLU(gate(x)) · up(x)`, gate and up cut at a limit where there is one: see
/// [`clamped_silu_times`].
///
/// Source: Shazeer 2020, "GLU Variants Improve Transformer".
#[derive(Clone, Debug)]
pub struct GatedLinear {
    /// The gate's outputs, then as many of the other.
    both: Linear,
    limit: Option<f64>,
}

impl GatedLinear {
    /// Takes one layer whose first half of outputs is the gate.
    pub fn new(both: Linear, limit: Option<f64>) -> Self {
        Self { both, limit }
    }

    /// Takes the two as layers of their own.
    ///
    /// # Errors
    /// When their widths differ, or only one has a bias.
    pub fn of_two(gate: Linear, up: Linear, limit: Option<f64>) -> Result<Self> {
        if gate.outputs() != up.outputs() {
            let widths = [gate.outputs(), up.outputs()];
            candle_core::bail!("a gate and what it gates must be equally wide, not {widths:?}");
        }
        Ok(Self::new(Linear::stacked(&[gate, up])?, limit))
    }

    /// Maps rows `(n, in)` to rows `(n, inner)`.
    ///
    /// # Errors
    /// As [`Linear::forward`], and when there is an odd number of outputs.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some((parts, bias)) = self.both.packed_with_bias()
            && self.limit.is_none()
            && x.dtype() == DType::F32
            && Finish::has_pairs(&parts)
        {
            return forward_packed(&parts, bias, x, Finish::SiluTimes);
        }
        let halves = self.both.forward(x)?.chunk(2, 1)?; // 2 × (n, inner)
        match halves.as_slice() {
            [gate, up] if gate.dims() == up.dims() => clamped_silu_times(gate, up, self.limit),
            _ => candle_core::bail!("a gate and what it gates must be equally wide"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn values(shape: (usize, usize), seed: f32) -> Tensor {
        let values = (0..shape.0 * shape.1).map(|i| ((i as f32 + seed) * 0.37).sin());
        Tensor::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
    }

    /// Widths with whole panels and without, as one layer and as two.
    #[test]
    fn it_is_the_product_of_its_halves() {
        for (rows, inputs, inner) in [(1, 70, 64), (3, 20, 33), (40, 9, 32), (0, 5, 32)] {
            let (x, bias) = (values((rows, inputs), 0.0), values((2, inner), 5.0));
            let (gate, up) = (values((inner, inputs), 1.0), values((inner, inputs), 2.0));
            let bias = |i: usize| Some(bias.get(i).unwrap());
            let (gate, up) = (Linear::new(gate, bias(0)), Linear::new(up, bias(1)));
            let wanted =
                crate::silu_times(&gate.forward(&x).unwrap(), &up.forward(&x).unwrap()).unwrap();
            let wanted: Vec<Vec<f32>> = wanted.to_vec2().unwrap();
            let two = GatedLinear::of_two(gate, up, None).unwrap().forward(&x).unwrap();
            assert_eq!(two.to_vec2::<f32>().unwrap(), wanted);
            let both =
                Tensor::cat(&[&values((inner, inputs), 1.0), &values((inner, inputs), 2.0)], 0);
            let bias = values((2, inner), 5.0).flatten_all().unwrap();
            let one = GatedLinear::new(Linear::new(both.unwrap(), Some(bias)), None);
            assert_eq!(one.forward(&x).unwrap().to_vec2::<f32>().unwrap(), wanted);
        }
    }

    #[test]
    fn an_odd_width_is_refused() {
        let layer = GatedLinear::new(Linear::new(values((3, 4), 0.0), None), None);
        assert!(layer.forward(&values((2, 4), 1.0)).is_err());
        let [wide, narrow] = [64, 32].map(|outputs| Linear::new(values((outputs, 4), 0.0), None));
        assert!(GatedLinear::of_two(wide, narrow, None).is_err());
    }
}
