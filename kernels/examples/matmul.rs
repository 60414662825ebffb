//! How fast products of every form of weight are, beside candle's and beside the machine's limits.
//!
//! `cargo run --release -p glm4v-kernels --example matmul -- 1600x1024x4096 1x4096x13696`, each
//! shape as rows × inputs × outputs; without shapes those of `docs/PERFORMANCE.md`. Names of forms,
//! such as `bf16 q4_k`, leave the others out. With one row the weights are several times larger than
//! any cache, and what counts is GB/s.

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Result, Tensor};
use glm4v_kernels::{Limits, Linear};
use std::sync::Arc;
use std::time::Instant;

const SHAPES: [&str; 5] =
    ["1600x1024x4096", "6400x1792x15360", "512x1536x4608", "512x4096x13696", "1x4096x13696"];
/// Bytes of weights that a product of one row goes through in turn.
const COLD_BYTES: usize = 256 << 20;
const ROUNDS: usize = 5;

/// A form of weight, and how many of its bits stand for a number.
#[derive(Clone, Copy)]
enum Form {
    Dense(DType, &'static str, f64),
    Int8,
    Blocks(GgmlDType, &'static str, f64),
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Dense(_, name, _) | Self::Blocks(_, name, _) => name,
            Self::Int8 => "int8",
        }
    }
}

const FORMS: [Form; 11] = [
    Form::Dense(DType::F32, "f32", 32.0),
    Form::Dense(DType::BF16, "bf16", 16.0),
    Form::Int8,
    Form::Blocks(GgmlDType::Q8_0, "q8_0", 8.5),
    Form::Blocks(GgmlDType::Q4_0, "q4_0", 4.5),
    Form::Blocks(GgmlDType::Q4_1, "q4_1", 5.0),
    Form::Blocks(GgmlDType::Q5_0, "q5_0", 5.5),
    Form::Blocks(GgmlDType::Q5_1, "q5_1", 6.0),
    Form::Blocks(GgmlDType::Q4K, "q4_k", 4.5),
    Form::Blocks(GgmlDType::Q5K, "q5_k", 5.5),
    Form::Blocks(GgmlDType::Q6K, "q6_k", 6.5625),
];

fn main() -> Result<()> {
    let asked: Vec<_> = std::env::args().skip(1).collect();
    let (names, shapes): (Vec<&str>, Vec<&str>) = asked
        .iter()
        .map(String::as_str)
        .partition(|asked| FORMS.iter().any(|form| form.name() == *asked));
    let shapes = if shapes.is_empty() { SHAPES.to_vec() } else { shapes };
    glm4v_kernels::keep_freed_memory();
    let limits = Limits::measure();
    let rate = |rate: f64| format!("{:.2} T", rate / 1e12);
    println!(
        "limits with {} threads: f32 {}, bf16 {}, int8 {}, read {:.1} GB/s",
        limits.threads,
        rate(limits.f32),
        rate(limits.bf16.unwrap_or_default()),
        rate(limits.int8.unwrap_or_default()),
        limits.read / 1e9
    );
    for shape in shapes {
        let sizes: Vec<usize> = shape.split('x').filter_map(|size| size.parse().ok()).collect();
        let &[rows, inputs, outputs] = sizes.as_slice() else {
            candle_core::bail!("`{shape}` is not rows x inputs x outputs, such as 512x4096x13696");
        };
        for form in
            FORMS.into_iter().filter(|form| names.is_empty() || names.contains(&form.name()))
        {
            measure(rows, inputs, outputs, form)?;
        }
    }
    Ok(())
}

fn measure(rows: usize, inputs: usize, outputs: usize, form: Form) -> Result<()> {
    let x = Tensor::randn(0.0f32, 1.0, (rows, inputs), &Device::Cpu)?;
    let weight = Tensor::randn(0.0f32, 0.02, (outputs, inputs), &Device::Cpu)?;
    let (bits, weights, layers) = match form {
        Form::Dense(dtype, _, bits) => {
            let copies = copies(rows, inputs, outputs, bits);
            let weight = weight.to_dtype(dtype)?;
            let layers: Vec<_> = (0..copies).map(|_| Linear::new(weight.clone(), None)).collect();
            (bits, QMatMul::Tensor(weight.t()?.to_dtype(dtype)?), layers)
        }
        Form::Int8 => {
            let (bits, dense) = (8.125, weight.t()?.contiguous()?);
            let copies = copies(rows, inputs, outputs, bits);
            let layers = (0..copies).map(|_| Linear::int8(weight.clone(), None)).collect();
            (bits, QMatMul::Tensor(dense), layers)
        }
        Form::Blocks(dtype, _, bits) => {
            let copies = copies(rows, inputs, outputs, bits);
            let weight = Arc::new(QTensor::quantize(&weight, dtype)?);
            let layers = (0..copies).map(|_| Linear::quantised(weight.clone(), None)).collect();
            (bits, QMatMul::from_arc(weight)?, layers)
        }
    };
    let candle_x = match form {
        Form::Dense(dtype, ..) => x.to_dtype(dtype)?,
        Form::Int8 | Form::Blocks(..) => x.clone(),
    };
    let candle = |_| match &weights {
        QMatMul::Tensor(weight) => candle_x.matmul(weight),
        blocks => blocks.forward(&candle_x),
    };
    let ours = |round: usize| layers[round % layers.len()].forward(&x);
    let (ours, candle) = (median(layers.len(), &ours)?, median(1, &candle)?);
    let work = 2.0 * (rows * inputs * outputs) as f64;
    let bytes = (inputs * outputs) as f64 * bits / 8.0;
    println!(
        "{rows} x {inputs} x {outputs} {:>5}: {:9.3} ms  {:6.3} TFLOP/s  {:5.1} GB/s   candle {:9.3} ms",
        form.name(),
        ours * 1e3,
        work / ours / 1e12,
        bytes / ours / 1e9,
        candle * 1e3
    );
    Ok(())
}

/// How many layers of a shape to go through in turn: one row is read from memory, not from a cache.
fn copies(rows: usize, inputs: usize, outputs: usize, bits: f64) -> usize {
    let bytes = (inputs * outputs) as f64 * bits / 8.0;
    if rows > 8 { 1 } else { (COLD_BYTES as f64 / bytes).ceil() as usize }
}

/// The median time of `ROUNDS` rounds through `products` products, for one of them.
fn median(products: usize, product: &dyn Fn(usize) -> Result<Tensor>) -> Result<f64> {
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..=ROUNDS {
        let started = Instant::now();
        for index in 0..products {
            product(index)?;
        }
        if round > 0 {
            times.push(started.elapsed().as_secs_f64() / products as f64);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
