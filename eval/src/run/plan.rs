//! Which samples a run asks.

use crate::EvalError;
use glm4v_datasets::{Dataset, DatasetError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// A choice of samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The first so many.
    pub limit: Option<usize>,
    /// So many at random, drawn with `seed`.
    pub sample: Option<usize>,
    /// Seed of the draw.
    pub seed: u64,
}

/// One of several parts of a run, made on different machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which part, from 1.
    pub part: usize,
    /// How many parts.
    pub parts: usize,
}

/// The samples to ask.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Their places in the dataset, rising.
    pub(super) indices: Vec<usize>,
    /// How many the selection has, over all shards.
    pub(super) selected: usize,
    /// Digest of the ids of the selection.
    pub(super) digest: String,
    /// Rows that could not be read.
    pub(super) bad_rows: Vec<String>,
}

/// Goes through the dataset once, without its images.
pub(super) fn plan(
    dataset: &Dataset,
    selection: &Selection,
    shard: Option<Shard>,
) -> Result<Plan, EvalError> {
    let mut plan = Plan::default();
    let mut samples = Vec::new();
    let mut seen = HashSet::new();
    for (index, sample) in dataset.samples(false).enumerate() {
        match sample {
            Ok(sample) if !seen.insert(sample.id.clone()) => {
                let id = sample.id;
                plan.bad_rows.push(format!("sample {index}: the id `{id}` was there before"));
            }
            Ok(sample) => samples.push((index, sample.id)),
            Err(error @ DatasetError::BadRow { .. }) => plan.bad_rows.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(count) = selection.sample {
        samples.sort_by_cached_key(|(_, id)| draw(selection.seed, id));
        samples.truncate(count);
        samples.sort_by_key(|(index, _)| *index);
    }
    samples.truncate(selection.limit.unwrap_or(usize::MAX));
    plan.selected = samples.len();
    plan.digest = crate::digest::of(samples.iter().map(|(_, id)| id));
    let mine = |at: usize| shard.is_none_or(|shard| at % shard.parts == shard.part - 1);
    let indices = samples.iter().enumerate().filter(|(at, _)| mine(*at));
    plan.indices = indices.map(|(_, (index, _))| *index).collect();
    Ok(plan)
}

/// A sample's place in a random order that depends on nothing but the seed and its id.
fn draw(seed: u64, id: &str) -> [u8; 32] {
    Sha256::new().chain_update(seed.to_le_bytes()).chain_update(id).finalize().into()
}
