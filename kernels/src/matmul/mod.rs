//! Products of rows of activations with packed weights.
//!
//! A weight is packed once, when a layer is made, in the order in which the kernels read it:
//! panels of [`PANEL`] outputs, and within a panel the inputs one after the other. Rows are packed
//! a block at a time as they are multiplied. [`gemm`] cuts a product into tasks and blocks that fit
//! the caches; a [`Kernel`] multiplies one tile in registers. There is a plain kernel for every
//! form of weight, and faster ones for the instruction sets that [`Isa::detect`] finds.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_widen;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_blocks;
#[cfg(target_arch = "x86_64")]
mod avx2_int8;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod avx512_blocks;
#[cfg(target_arch = "x86_64")]
mod avx512_bytes;
#[cfg(target_arch = "x86_64")]
mod avx512_fp16;
#[cfg(target_arch = "x86_64")]
mod avx512_int8;
#[cfg(target_arch = "x86_64")]
mod avx512_pack;
mod blocks;
mod finish;
mod gemm;
mod int8;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_bf16;
#[cfg(target_arch = "aarch64")]
mod neon_blocks;
#[cfg(target_arch = "aarch64")]
mod neon_dots;
#[cfg(target_arch = "aarch64")]
mod neon_int8;
mod pack;
mod plain;
mod plain_blocks;
mod product;
mod shelf;
#[cfg(test)]
mod tests;

use half::bf16;

use crate::attention::Precision;
use crate::pages::ask_for_large_pages;

pub(crate) use finish::Finish;
use gemm::{block_steps, multiply};
use pack::{Line, pack, pack_blocks};
use plain_blocks::PlainBlocks;
use product::{Places, Product};
use shelf::Lines;

/// Outputs that a panel of packed weights holds side by side.
const PANEL: usize = 32;

/// Multiplies one tile, `rows × PANEL` outputs, for one form of weight on one instruction set.
trait Kernel: Sync {
    /// The most rows that a tile has.
    const ROWS: usize;
    /// Inputs that are packed and multiplied together: a step.
    const STEP: usize;
    /// Words that a step of a packed row takes.
    const ROW_WORDS: usize;
    /// Lines that a step of a panel takes.
    const LINES: usize;
    /// The most steps whose products are summed before those of other panels are: a block of inputs.
    const BLOCK_STEPS: usize = block_steps(Self::LINES, Self::ROW_WORDS);

    /// Packs `R` rows of activations as [`Kernel::tile`] reads them: mostly word by word, word `w` of
    /// row `r` at `w · R + r`. Inputs past the rows' end are zeros.
    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]);

    /// The lines that [`Kernel::tile`] wants in place of those of a panel; as they are, unless many
    /// rows that meet them are worth making others, in `wide`.
    fn widen<'a>(&self, lines: &'a [Line], _wide: &'a mut Vec<Line>) -> &'a [Line] {
        lines
    }

    /// Multiplies `R` packed rows with as many steps of a panel, and writes the tile.
    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile);

    /// Ends a thread's tiles of a task, and gives back what they hold of the processor.
    fn finish(&self) {}
}

/// Where a tile's outputs go.
#[derive(Clone, Copy, Debug)]
struct Tile {
    /// What is added to the products of row `r`: the values at `r · seed_stride`. The bias, with
    /// a stride of 0, or the outputs themselves after an earlier block of inputs.
    seed: *const f32,
    seed_stride: usize,
    /// Row `r` goes to `r · stride`.
    out: *mut f32,
    stride: usize,
    /// How many of the panel's outputs there are; fewer than [`PANEL`] in the last panel.
    columns: usize,
}

/// How the numbers of a packed weight are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// 32 bits; products and sums in f32.
    F32,
    /// 16 bits; activations are rounded to bf16, products summed in f32. Where AVX512-FP16 is
    /// faster than dot products of bf16, many rows are instead rounded to f16, and products of 256
    /// inputs summed in it.
    Bf16,
    /// 8 bits, with a scale for every output and 256 inputs. Activations are rounded to bytes in
    /// the same way.
    Int8,
    /// 32 signed bytes and a scale, GGUF's `Q8_0`. Activations are rounded to bytes in all the
    /// forms of blocks, and summed as integers within a block.
    Q8_0,
    /// 32 nibbles and a scale, GGUF's `Q4_0`.
    Q4_0,
    /// 32 nibbles, a scale and a minimum, GGUF's `Q4_1`.
    Q4_1,
    /// 32 numbers of 5 bits and a scale, GGUF's `Q5_0`.
    Q5_0,
    /// 32 numbers of 5 bits, a scale and a minimum, GGUF's `Q5_1`.
    Q5_1,
    /// 32 nibbles, a scale and a minimum of 6 bits, GGUF's `Q4_K`.
    Q4K,
    /// 32 numbers of 5 bits, a scale and a minimum of 6, GGUF's `Q5_K`.
    Q5K,
    /// 16 numbers of 6 bits and a scale of 8, GGUF's `Q6_K`.
    Q6K,
}

/// Instruction sets that there are kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isa {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// With dot products of bytes.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// With those and dot products of bf16.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// With dot products of bytes and products of f16.
    #[cfg(target_arch = "x86_64")]
    Avx512Fp16,
    #[cfg(target_arch = "x86_64")]
    Amx,
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// With dot products of bytes.
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    /// With those and dot products of bf16.
    #[cfg(target_arch = "aarch64")]
    NeonBf16,
}

impl Isa {
    /// The fastest that this machine has.
    fn detect() -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            if amx::detected() {
                return Self::Amx;
            }
            if let Some(isa) = avx512::fastest() {
                return isa;
            }
            if avx2::detected() {
                return Self::Avx2;
            }
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        for isa in [Self::NeonBf16, Self::NeonDot, Self::Neon] {
            if neon::detected(isa) {
                return isa;
            }
        }
        Self::Plain
    }
}

/// The values of a matrix as they are stored, row after row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    /// 32-bit values.
    F32(&'a [f32]),
    /// 16-bit values with the exponent of f32.
    Bf16(&'a [bf16]),
}

impl Values<'_> {
    /// Writes the values from `first` on to `wide`, in f32.
    fn copy_to(&self, first: usize, wide: &mut [f32]) {
        match self {
            Self::F32(values) => wide.copy_from_slice(&values[first..][..wide.len()]),
            Self::Bf16(values) => {
                for (wide, value) in wide.iter_mut().zip(&values[first..]) {
                    *wide = value.to_f32();
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }
}

/// A weight `(outputs, inputs)` in the order in which the kernels read it.
#[derive(Clone)]
pub(crate) struct PackedMatrix {
    form: Form,
    outputs: usize,
    inputs: usize,
    /// Panel after panel; in a panel word after word of the inputs, [`PANEL`] outputs each.
    lines: Lines,
}

impl PackedMatrix {
    /// Packs a matrix stored `(outputs, inputs)`, as checkpoints store it, as f32, bf16 or bytes.
    ///
    /// # Panics
    /// When `values` are not `outputs · inputs`, or `form` is one of blocks.
    pub(crate) fn new(values: Values<'_>, outputs: usize, inputs: usize, form: Form) -> Self {
        assert_eq!(values.len(), outputs * inputs, "the values must fill the matrix");
        let lines = match form {
            Form::Int8 => int8::pack_weights(values, outputs, inputs),
            _ => pack(values, outputs, inputs, form),
        };
        Self { form, outputs, inputs, lines }
    }

    /// Packs a matrix stored `(outputs, inputs)` in GGUF's blocks of `form`, row after row.
    ///
    /// `None` when `form` has no blocks, or `bytes` are not `outputs` rows of whole blocks.
    pub(crate) fn from_blocks(
        bytes: &[u8],
        outputs: usize,
        inputs: usize,
        form: Form,
    ) -> Option<Self> {
        let lines = match form {
            Form::F32 | Form::Bf16 | Form::Int8 => None,
            Form::Q8_0 => pack_blocks::<blocks::Q8_0>(bytes, outputs, inputs),
            Form::Q4_0 => pack_blocks::<blocks::Q4_0>(bytes, outputs, inputs),
            Form::Q4_1 => pack_blocks::<blocks::Q4_1>(bytes, outputs, inputs),
            Form::Q5_0 => pack_blocks::<blocks::Q5_0>(bytes, outputs, inputs),
            Form::Q5_1 => pack_blocks::<blocks::Q5_1>(bytes, outputs, inputs),
            Form::Q4K => pack_blocks::<blocks::Q4K>(bytes, outputs, inputs),
            Form::Q5K => pack_blocks::<blocks::Q5K>(bytes, outputs, inputs),
            Form::Q6K => pack_blocks::<blocks::Q6K>(bytes, outputs, inputs),
        }?;
        Some(Self { form, outputs, inputs, lines })
    }

    /// What rows are rounded to where they meet it.
    pub(crate) fn precision(&self) -> Precision {
        match self.form {
            Form::F32 => Precision::Single,
            Form::Bf16 => Precision::Bf16,
            _ => Precision::Bytes,
        }
    }

    /// Rows of the matrix: how wide a product is.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Panels that hold the outputs.
    fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    /// Columns of the matrix: how wide the rows that it multiplies are.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }
}

/// Computes a product with the kernels of an instruction set that the machine has.
fn multiply_on(isa: Isa, product: Product<'_>) {
    match (isa, product.form()) {
        (Isa::Plain, Form::F32) => multiply(&plain::F32, product),
        (Isa::Plain, Form::Bf16) => multiply(&plain::Bf16, product),
        (Isa::Plain, Form::Int8) => multiply(&int8::Int8, product),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, form) => avx2::multiply(form, product),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512 | Isa::Avx512Bf16 | Isa::Avx512Fp16, form) => {
            avx512::multiply(isa, form, product);
        }
        #[cfg(target_arch = "x86_64")]
        (Isa::Amx, form) => amx::multiply(form, product),
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon | Isa::NeonDot | Isa::NeonBf16, form) => neon::multiply(isa, form, product),
        (Isa::Plain, Form::Q8_0) => multiply(&PlainBlocks::<blocks::Q8_0>::new(), product),
        (Isa::Plain, Form::Q4_0) => multiply(&PlainBlocks::<blocks::Q4_0>::new(), product),
        (Isa::Plain, Form::Q4_1) => multiply(&PlainBlocks::<blocks::Q4_1>::new(), product),
        (Isa::Plain, Form::Q5_0) => multiply(&PlainBlocks::<blocks::Q5_0>::new(), product),
        (Isa::Plain, Form::Q5_1) => multiply(&PlainBlocks::<blocks::Q5_1>::new(), product),
        (Isa::Plain, Form::Q4K) => multiply(&PlainBlocks::<blocks::Q4K>::new(), product),
        (Isa::Plain, Form::Q5K) => multiply(&PlainBlocks::<blocks::Q5K>::new(), product),
        (Isa::Plain, Form::Q6K) => multiply(&PlainBlocks::<blocks::Q6K>::new(), product),
    }
}

/// Multiplies `rows` rows `x` `(rows, inputs)` with each of the transposed `matrices`, adds `bias`, a
/// value a column, and finishes the outputs: `(rows, columns of all matrices side by side)`.
///
/// # Panics
/// When the sizes do not fit one another, or `finish` is not for such matrices.
pub(crate) fn multiply_all(
    matrices: &[&PackedMatrix],
    x: &[f32],
    rows: usize,
    bias: Option<&[f32]>,
    finish: Finish<'_>,
) -> Vec<f32> {
    let isa = Isa::detect();
    let outputs = matrices.iter().map(|matrix| matrix.outputs).sum();
    let width = finish.columns(matrices, outputs);
    let mut out = Vec::with_capacity(rows * width);
    let places = &mut out.spare_capacity_mut()[..rows * width];
    ask_for_large_pages(places);
    let mut offset = 0;
    // Matrices of one form are one product: rows are packed once for all of them.
    for parts in matrices.chunk_by(|a, b| a.form == b.form) {
        assert_eq!(x.len(), rows * parts[0].inputs, "the rows must be as wide as the matrices");
        let outputs: usize = parts.iter().map(|part| part.outputs).sum();
        let bias = bias.map(|bias| &bias[offset..offset + outputs]);
        let here = Places { places: &mut *places, width, offset };
        multiply_on(isa, Product::new(parts, x, bias, here, finish));
        offset += outputs;
    }
    // SAFETY: the capacity is there, and each matrix has written its columns of every row; they
    // are all columns.
    unsafe { out.set_len(rows * width) };
    out
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix({:?}, {} × {})", self.form, self.outputs, self.inputs)
    }
}
