//! Tensors of a GGUF file that a checkpoint has under other names, and maybe in other forms.

use super::computed::Computed;
use super::{Order, TensorInfo};
use crate::{Gguf, GgufEntry, WeightsError};

/// A tensor that a GGUF file has under another name, and maybe in another form.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The name that it gets.
    pub name: String,
    /// Which of the files has it.
    pub part: usize,
    /// Its name there.
    pub source: String,
    /// What is taken of it.
    pub take: Take,
}

/// What is taken of a tensor.
#[derive(Clone, Debug)]
pub enum Take {
    /// All of it.
    Whole,
    /// All of it, in another shape of as many numbers.
    Shaped(Vec<usize>),
    /// One of the matrices that are stacked along the outermost axis.
    Matrix(usize),
    /// All rows; of each `head` rows, the first `rotated` go from halves (0, 2, 4 … 1, 3, 5 …) to
    /// pairs (0, 1, 2, 3 …).
    Pairs {
        /// Rows of a head.
        head: usize,
        /// Rows at its beginning that are in halves.
        rotated: usize,
    },
    /// It and another of the same form, `(out, c, y, x)` both, as `(out, c, 2, y, x)`.
    WithSecond(String),
    /// The logarithm of the negative of each number, in f32; all must be below 0.
    LogOfNegative,
    /// A key matrix for each head that has been turned over, `(heads, rank, keys)`, and the values'
    /// matrices from the tensor of this name, `(heads, values, rank)`, as the one matrix
    /// `(heads · (keys + values), rank)` in f32 that has each head's keys before its values.
    KeysAndValues(String),
}

/// What a checkpoint says about a tensor that is taken from a GGUF file, whose own first part is
/// part `before` of the checkpoint.
pub(super) fn take(gguf: &Gguf, taken: &Taken, before: usize) -> Result<TensorInfo, WeightsError> {
    let bad = |reason: String| WeightsError::BadGguf { file: gguf.file().to_owned(), reason };
    let missing = |name: &str| bad(format!("tensor `{name}` is missing"));
    let stored = gguf.tensor(&taken.source).ok_or_else(|| missing(&taken.source))?;
    let (shape, range) = (stored.shape.clone(), stored.range.clone());
    let unfit = |what: String| bad(format!("tensor `{}` of {shape:?} {what}", taken.source));
    let mut info = TensorInfo {
        name: taken.name.clone(),
        dtype: stored.stored,
        file: gguf.file_of(stored).to_owned(),
        bytes: range.len(),
        part: before + stored.part,
        shape: shape.clone(),
        range: range.clone(),
        order: Order::AsStored,
    };
    let count: usize = shape.iter().product();
    match &taken.take {
        Take::Whole => {}
        Take::Shaped(wanted) => {
            let fits = wanted.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
            if fits != Some(count) {
                return Err(unfit(format!("cannot have the shape {wanted:?}")));
            }
            info.shape = wanted.clone();
        }
        Take::Matrix(index) => {
            let [matrices, rows, width] = *shape.as_slice() else {
                return Err(unfit("is no stack of matrices".to_owned()));
            };
            if *index >= matrices {
                return Err(unfit(format!("has no matrix {index}")));
            }
            info.shape = vec![rows, width];
            info.bytes = range.len() / matrices;
            let start = range.start + index * info.bytes;
            info.range = start..start + info.bytes;
        }
        Take::Pairs { head, rotated } => {
            let rows = shape.first().copied().unwrap_or(0);
            if rows == 0 || *head == 0 || !rows.is_multiple_of(*head) || rotated > head {
                return Err(unfit(format!("has not rows for heads of {head}")));
            }
            let order = (0..rows).map(|row| halves_row(row, *head, *rotated)).collect();
            info.order = Order::Pieces { piece: range.len() / rows, order };
        }
        Take::WithSecond(name) => {
            let second = gguf.tensor(name).ok_or_else(|| missing(name))?;
            let alike = (&second.shape, second.stored, second.part);
            let ([out, channels, y, x], true) =
                (shape.as_slice(), alike == (&shape, info.dtype, stored.part))
            else {
                return Err(unfit(format!("and `{name}` are no two slices of one kernel")));
            };
            let piece = range.len() / (out * channels).max(1);
            if piece == 0 {
                return Err(unfit("has no numbers".to_owned()));
            }
            info.shape = vec![*out, *channels, 2, *y, *x];
            info.bytes *= 2;
            info.order = Order::InTurn { piece, second: second.range.clone() };
        }
        Take::LogOfNegative => {
            let computed = Computed::LogOfNegative { stored: stored.stored };
            let numbers = gguf.bytes_of(stored).and_then(|bytes| computed.apply(bytes, None));
            let finite = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_finite();
            if !numbers.is_some_and(|numbers| numbers.as_chunks().0.iter().all(finite)) {
                return Err(unfit("has numbers that are not below 0".to_owned()));
            }
            info.computed(computed);
        }
        Take::KeysAndValues(name) => {
            let values = gguf.tensor(name).ok_or_else(|| missing(name))?;
            let Some((computed, shape)) = keys_and_values(stored, values, before) else {
                let reason = format!("and `{name}` of {:?} are no keys and values", values.shape);
                return Err(unfit(reason));
            };
            info.shape = shape;
            info.bytes += values.range.len();
            info.computed(computed);
        }
    }
    Ok(info)
}

/// How two tensors become one of keys and values, and its shape, when theirs fit.
fn keys_and_values(
    keys: &GgufEntry,
    values: &GgufEntry,
    before: usize,
) -> Option<(Computed, Vec<usize>)> {
    let ([heads, rank, key_dim], [value_heads, value_dim, value_rank]) =
        (*keys.shape.as_slice().first_chunk()?, *values.shape.as_slice().first_chunk()?);
    let fits = keys.shape.len() == 3 && values.shape.len() == 3;
    if !fits || (heads, rank) != (value_heads, value_rank) {
        return None;
    }
    let rows = heads.checked_mul(key_dim.checked_add(value_dim)?)?;
    let computed = Computed::KeysAndValues {
        heads,
        rank,
        keys: (keys.stored, key_dim),
        values: (values.stored, value_dim),
        second: (before + values.part, values.range.clone()),
    };
    Some((computed, vec![rows, rank]))
}

/// Where row `row`, its head in pairs, is when the head's first `rotated` rows are in halves.
fn halves_row(row: usize, head: usize, rotated: usize) -> usize {
    let (start, within) = (row / head * head, row % head);
    if within >= rotated / 2 * 2 {
        return row;
    }
    start + within / 2 + (within % 2) * (rotated / 2)
}
