//! Numbers that a GGUF file has in another form than the checkpoint that it was made from.

use std::ops::Range;

use crate::StoredType;
use crate::quantise::to_f32;

/// How the numbers of a tensor come out of those that are stored. The result is in f32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Computed {
    /// See [`super::Take::LogOfNegative`].
    LogOfNegative { stored: StoredType },
    /// See [`super::Take::KeysAndValues`].
    KeysAndValues {
        heads: usize,
        rank: usize,
        /// How keys are stored, and a head's width of them.
        keys: (StoredType, usize),
        /// The same of values.
        values: (StoredType, usize),
        /// Where values are: which weight file, and where in it.
        second: (usize, Range<usize>),
    },
}

impl Computed {
    /// Where the other tensor is that it is computed from.
    pub(super) fn second(&self) -> Option<&(usize, Range<usize>)> {
        match self {
            Self::LogOfNegative { .. } => None,
            Self::KeysAndValues { second, .. } => Some(second),
        }
    }

    /// The numbers, little endian, from the bytes of the tensor and of the other one. `None` when
    /// the bytes are not as many as they should be.
    pub(super) fn apply(&self, bytes: &[u8], second: Option<&[u8]>) -> Option<Vec<u8>> {
        match self {
            Self::LogOfNegative { stored } => {
                let numbers = rows(bytes, *stored, 1)?.concat();
                Some(numbers.iter().flat_map(|number| (-number).ln().to_le_bytes()).collect())
            }
            Self::KeysAndValues { heads, rank, keys, values, .. } => {
                let (key_type, key_dim) = *keys;
                let second = second?;
                let mut both = Vec::with_capacity(4 * heads * (key_dim + values.1) * rank);
                // One head at a time, so that little memory is needed beside the result.
                let of_keys = bytes.len().checked_div(*heads)?;
                let of_values = second.len().checked_div(*heads)?;
                for head in 0..*heads {
                    let keys = bytes.get(head * of_keys..(head + 1) * of_keys)?;
                    let keys = rows(keys, key_type, key_dim)?; // (rank, keys)
                    for channel in 0..key_dim {
                        for row in &keys {
                            both.extend_from_slice(&row.get(channel)?.to_le_bytes());
                        }
                    }
                    let values_of = second.get(head * of_values..(head + 1) * of_values)?;
                    for number in rows(values_of, values.0, *rank)?.iter().flatten() {
                        both.extend_from_slice(&number.to_le_bytes());
                    }
                }
                Some(both)
            }
        }
    }
}

/// Rows of `width` numbers, read as they are stored.
fn rows(bytes: &[u8], stored: StoredType, width: usize) -> Option<Vec<Vec<f32>>> {
    let (block, block_bytes) = stored.block();
    let row = width / block * block_bytes;
    let count = bytes.len().checked_div(row)?;
    to_f32(bytes, stored, (count, width)).ok()?.to_vec2().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockType, StoredDtype, quantise};

    const F32: StoredType = StoredType::Plain(StoredDtype::F32);

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn keys_are_turned_back_and_stand_before_the_values_of_their_head() {
        let computed = Computed::KeysAndValues {
            heads: 2,
            rank: 2,
            keys: (F32, 3),
            values: (F32, 1),
            second: (0, 0..16),
        };
        let keys = bytes(&[1., 2., 3., 4., 5., 6., 11., 12., 13., 14., 15., 16.]);
        let values = bytes(&[7., 8., 17., 18.]);
        let expected = [1., 4., 2., 5., 3., 6., 7., 8., 11., 14., 12., 15., 13., 16., 17., 18.];
        assert_eq!(computed.apply(&keys, Some(&values)), Some(bytes(&expected)));
        assert_eq!(computed.apply(&keys, None), None);
        assert_eq!(computed.apply(&keys, Some(&values[..8])), None);
    }

    #[test]
    fn blocks_are_read_as_numbers() {
        let numbers: Vec<f32> = (0..64).map(|i| i as f32 / 8.0 - 4.0).collect();
        let blocks = BlockType::Q8_0;
        let stored = quantise(&bytes(&numbers), F32, 32, blocks).unwrap();
        let (heads, rank) = (1, 2);
        let (keys, values) = ((blocks.into(), 32), (F32, 1));
        let computed = Computed::KeysAndValues { heads, rank, keys, values, second: (0, 0..8) };
        let both = computed.apply(&stored, Some(&bytes(&[100., 200.]))).unwrap();
        let both: Vec<f32> =
            both.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
        assert_eq!(both.len(), 66);
        for (i, number) in numbers.iter().enumerate() {
            assert!((both[i % 32 * 2 + i / 32] - number).abs() < 0.02, "{i}");
        }
        assert_eq!(both[64..], [100., 200.]);
    }

    #[test]
    fn logarithms_are_those_of_the_negatives() {
        let computed = Computed::LogOfNegative { stored: F32 };
        let found = computed.apply(&bytes(&[-1.0, -0.5]), None).unwrap();
        assert_eq!(found, bytes(&[0.0, 0.5f32.ln()]));
    }
}
