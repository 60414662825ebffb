//! The gated delta rule of linear attention, whose memory is a matrix a head.

#![allow(unsafe_code, reason = "heads fill two results side by side")]

use crate::buffer::Shared;
use crate::team::each_part;
use candle_core::{DType, Result, Tensor};

/// What the rows of a sequence give to [`delta_rule`].
#[derive(Clone, Debug)]
pub struct DeltaInputs {
    /// Queries `(length, heads, d)`, scaled as they are to be.
    pub q: Tensor,
    /// Keys `(length, heads, d)`, of length 1 each.
    pub k: Tensor,
    /// Values `(length, heads, d)`.
    pub v: Tensor,
    /// Logarithms, of 0 or less, of what each key channel of the memory is multiplied by,
    /// `(length, heads, d)`.
    pub log_decay: Tensor,
    /// How much of what a key recalls is replaced, `(length, heads)`.
    pub beta: Tensor,
}

/// Row after row, `S ← diag(e^g) S`, `S ← S + k ⊗ β (v − Sᵀk)`, `o = Sᵀq`, from the memory
/// `(heads, d, d)` on, whose rows are key channels. Returns the outputs `(length, heads, d)` and the
/// memory after the last row, both in f32.
///
/// One row after another, not in chunks: an output does not depend, to the bit, on where a prompt
/// was cut, and beside the projections the work is small. It is done on the CPU whatever the device.
///
/// Source: Kimi Linear (Moonshot 2025), equation 1; transformers `recurrent_kimi_delta_attention`
/// in `modeling_glm5_next.py`.
///
/// # Errors
/// When the shapes don't fit one another.
pub fn delta_rule(inputs: &DeltaInputs, memory: &Tensor) -> Result<(Tensor, Tensor)> {
    let (length, heads, d) = inputs.q.dims3()?;
    for other in [&inputs.k, &inputs.v, &inputs.log_decay] {
        if other.dims() != [length, heads, d] {
            candle_core::bail!("{:?} beside queries {length}, {heads}, {d}", other.dims());
        }
    }
    if inputs.beta.dims() != [length, heads] || memory.dims() != [heads, d, d] {
        let (beta, memory) = (inputs.beta.dims(), memory.dims());
        candle_core::bail!("beta {beta:?} and memory {memory:?} beside {length}, {heads}, {d}");
    }
    let (q, k, v) = (by_head(&inputs.q)?, by_head(&inputs.k)?, by_head(&inputs.v)?);
    let log_decay = by_head(&inputs.log_decay)?;
    let beta = values(&inputs.beta.t()?)?; // heads · length
    let mut memory_values = values(memory)?; // heads · d · d
    let mut outputs = vec![0f32; heads * length * d];
    let all_outputs = Shared::new(&mut outputs);
    let run = |head: usize, memory: &mut [f32]| {
        let rows = head * length * d..(head + 1) * length * d;
        let head = Head {
            q: &q[rows.clone()],
            k: &k[rows.clone()],
            v: &v[rows.clone()],
            log_decay: &log_decay[rows.clone()],
            beta: &beta[head * length..(head + 1) * length],
        };
        // SAFETY: every head has its own rows, and `outputs` stays until all heads are done.
        let outputs = unsafe { all_outputs.part(rows.start, rows.len()) };
        head.run(d, memory, outputs);
    };
    if length > 0 && d > 0 {
        each_part(&mut memory_values, d * d, run);
    }
    let device = inputs.q.device();
    let outputs = Tensor::from_vec(outputs, (heads, length, d), device)?;
    Ok((outputs.transpose(0, 1)?, Tensor::from_vec(memory_values, (heads, d, d), device)?))
}

/// One head's rows, side by side.
struct Head<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    log_decay: &'a [f32],
    beta: &'a [f32],
}

impl Head<'_> {
    fn run(&self, d: usize, memory: &mut [f32], outputs: &mut [f32]) {
        let mut change = vec![0f32; d];
        for (row, output) in outputs.chunks_exact_mut(d).enumerate() {
            let at = row * d..(row + 1) * d;
            let (q, k, v) = (&self.q[at.clone()], &self.k[at.clone()], &self.v[at.clone()]);
            // What the decayed memory recalls of the key.
            change.fill(0.0);
            for ((channel, g), k) in memory.chunks_exact_mut(d).zip(&self.log_decay[at]).zip(k) {
                let decay = g.exp();
                for (s, recalled) in channel.iter_mut().zip(&mut change) {
                    *s *= decay;
                    *recalled += *s * k;
                }
            }
            for (change, v) in change.iter_mut().zip(v) {
                *change = (v - *change) * self.beta[row];
            }
            for ((channel, q), k) in memory.chunks_exact_mut(d).zip(q).zip(k) {
                for ((s, change), o) in channel.iter_mut().zip(&change).zip(output.iter_mut()) {
                    *s += k * change;
                    *o += *s * q;
                }
            }
        }
    }
}

/// The values of `(length, heads, d)`, one head after another.
fn by_head(x: &Tensor) -> Result<Vec<f32>> {
    values(&x.transpose(0, 1)?)
}

fn values(x: &Tensor) -> Result<Vec<f32>> {
    x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, IndexOp};

    fn numbers(shape: &[usize], seed: f32) -> Tensor {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| ((i as f32 + seed) * 0.73).sin()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn inputs(length: usize) -> DeltaInputs {
        let shape = [length, 2, 5];
        DeltaInputs {
            q: numbers(&shape, 1.0),
            k: (numbers(&shape, 2.0) / 2.0).unwrap(),
            v: numbers(&shape, 3.0),
            log_decay: (numbers(&shape, 4.0) - 1.0).unwrap(),
            beta: numbers(&[length, 2], 5.0).abs().unwrap(),
        }
    }

    #[test]
    fn it_is_the_formula() {
        let inputs = inputs(4);
        let mut memory = numbers(&[2, 5, 5], 6.0);
        let (outputs, last) = delta_rule(&inputs, &memory).unwrap();
        let column = |x: &Tensor, row: usize| x.i(row).unwrap().unsqueeze(2).unwrap(); // (heads, d, 1)
        for row in 0..4 {
            memory = memory.broadcast_mul(&column(&inputs.log_decay, row).exp().unwrap()).unwrap();
            let k = column(&inputs.k, row);
            let recalled = memory.broadcast_mul(&k).unwrap().sum_keepdim(1).unwrap(); // (heads, 1, d)
            let v = inputs.v.i(row).unwrap().unsqueeze(1).unwrap();
            let beta = inputs.beta.i(row).unwrap().reshape((2, 1, 1)).unwrap();
            let change = (v - recalled).unwrap().broadcast_mul(&beta).unwrap();
            memory = (memory + k.broadcast_mul(&change).unwrap()).unwrap();
            let q = column(&inputs.q, row);
            let expected = memory.broadcast_mul(&q).unwrap().sum(1).unwrap(); // (heads, d)
            near(&outputs.i(row).unwrap(), &expected);
        }
        near(&last, &memory);
    }

    fn near(a: &Tensor, b: &Tensor) {
        let most = (a - b).unwrap().abs().unwrap().max_all().unwrap();
        assert!(most.to_scalar::<f32>().unwrap() < 1e-5);
    }

    #[test]
    fn a_cut_changes_no_bit() {
        let inputs = inputs(7);
        let memory = Tensor::zeros((2, 5, 5), DType::F32, &Device::Cpu).unwrap();
        let (whole, last) = delta_rule(&inputs, &memory).unwrap();
        let part = |start: usize, length: usize| {
            let cut = |x: &Tensor| x.narrow(0, start, length).unwrap();
            DeltaInputs {
                q: cut(&inputs.q),
                k: cut(&inputs.k),
                v: cut(&inputs.v),
                log_decay: cut(&inputs.log_decay),
                beta: cut(&inputs.beta),
            }
        };
        let (first, between) = delta_rule(&part(0, 3), &memory).unwrap();
        let (second, end) = delta_rule(&part(3, 4), &between).unwrap();
        let bits = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(bits(&Tensor::cat(&[first, second], 0).unwrap()), bits(&whole));
        assert_eq!(bits(&end), bits(&last));
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let memory = Tensor::zeros((2, 5, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(delta_rule(&inputs(3), &memory).is_err());
        let beta = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let memory = Tensor::zeros((2, 5, 5), DType::F32, &Device::Cpu).unwrap();
        assert!(delta_rule(&DeltaInputs { beta, ..inputs(3) }, &memory).is_err());
    }
}
