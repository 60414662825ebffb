//! Attention in blocks of keys with an online softmax: scores never leave the cache.
//!
//! Source: Dao et al. 2022, "FlashAttention"; Milakov & Gimelshein 2018, "Online normalizer
//! calculation for softmax".

#![allow(unsafe_code, reason = "the inner loops work on raw buffers")]

use super::Mask;
use super::product::{Product, padded};
use crate::buffer::{Buffer, Shared};
use crate::simd::{LOG2_E, Lanes, Level, Task, run_at};
use rayon::prelude::*;

/// Keys of a block: with their values they fit the first and second level of cache.
const BLOCK: usize = 128;
/// Rows, each a query of one head, that go through the keys together.
const ROWS: usize = 96;

/// Heads in memory; the channels of a row lie side by side.
#[derive(Clone, Copy)]
pub(super) struct Heads<'a> {
    pub(super) values: &'a [f32],
    /// From one head to the next, and from one row to the next.
    pub(super) strides: [usize; 2],
}

impl Heads<'_> {
    /// Row `row` of head `head`.
    #[inline(always)]
    fn row(&self, head: usize, row: usize, d: usize) -> &[f32] {
        let start = head * self.strides[0] + row * self.strides[1];
        &self.values[start..start + d]
    }
}

/// What is to be computed; see [`super::attention`].
#[derive(Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) q: Heads<'a>,
    pub(super) k: Heads<'a>,
    pub(super) v: Heads<'a>,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) d: usize,
    pub(super) mask: Mask,
}

impl Problem<'_> {
    /// Query heads that share a key-value head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// The number of keys that a query sees.
    fn seen(&self, query: usize) -> usize {
        match self.mask {
            Mask::Full => self.keys,
            Mask::Causal => self.keys - self.queries + query + 1,
        }
    }

    /// Channels of a value, filled up to whole registers.
    fn padded_d<L: Lanes>(&self) -> usize {
        self.d.next_multiple_of(L::COUNT)
    }
}

/// Computes attention with registers of one kind into `(queries, heads · d)`.
pub(super) fn attend(problem: &Problem<'_>, level: Level) -> Vec<f32> {
    let mut output = vec![0.0; problem.queries * problem.heads * problem.d];
    if output.is_empty() || problem.keys == 0 {
        return output;
    }
    let shared = Shared::new(&mut output);
    (0..problem.kv_heads).into_par_iter().for_each(|kv_head| {
        attend_group(problem, level, kv_head, shared);
    });
    output
}

/// All query heads of one key-value head.
fn attend_group(problem: &Problem<'_>, level: Level, kv_head: usize, output: Shared) {
    let queries = (ROWS / problem.group()).max(1);
    let chunk = |first: usize, packed| Chunk {
        problem,
        kv_head,
        first,
        queries: queries.min(problem.queries - first),
        packed,
        output,
    };
    if problem.queries <= queries {
        return run_at(level, chunk(0, None)); // each block is used once, and packed when it is
    }
    let size = run_at(level, BlockSize(problem));
    let mut packed = Buffer::take(size * problem.keys.div_ceil(BLOCK));
    packed.par_chunks_exact_mut(size).enumerate().for_each(|(block, to)| {
        run_at(level, Pack { problem, kv_head, block, to });
    });
    let packed = &*packed;
    (0..problem.queries.div_ceil(queries)).into_par_iter().for_each(|i| {
        run_at(level, chunk(i * queries, Some(packed)));
    });
}

/// Values of a packed block: keys as `(panels, d, panel)`, then values as `(BLOCK, padded d)`.
struct BlockSize<'a>(&'a Problem<'a>);

impl Task for BlockSize<'_> {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) -> usize {
        BLOCK * (self.0.d + self.0.padded_d::<L>())
    }
}

/// Lays a block of keys and values out as the products read them.
struct Pack<'a> {
    problem: &'a Problem<'a>,
    kv_head: usize,
    block: usize,
    to: &'a mut [f32],
}

impl Task for Pack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Problem { k, v, keys, d, .. } = *self.problem;
        let (panel, padded_d) = (L::COUNT * L::PANEL, self.problem.padded_d::<L>());
        let first = self.block * BLOCK;
        let count = BLOCK.min(keys - first);
        let (to_keys, to_values) = self.to.split_at_mut(BLOCK * d);
        for (key, panel_start) in (0..count.next_multiple_of(panel)).map(|key| (key, key / panel)) {
            let to = &mut to_keys[panel_start * panel * d..];
            if key < count {
                let row = k.row(self.kv_head, first + key, d);
                for (channel, value) in row.iter().enumerate() {
                    to[channel * panel + key % panel] = *value;
                }
            } else {
                to[key % panel..].iter_mut().step_by(panel).take(d).for_each(|value| *value = 0.0);
            }
        }
        for (key, to) in to_values.chunks_exact_mut(padded_d).take(count).enumerate() {
            to[..d].copy_from_slice(v.row(self.kv_head, first + key, d));
            to[d..].fill(0.0);
        }
    }
}

/// Some queries, of all heads that share a key-value head, through all keys that they see.
struct Chunk<'a> {
    problem: &'a Problem<'a>,
    kv_head: usize,
    first: usize,
    queries: usize,
    /// All blocks, or none: then they are packed one by one.
    packed: Option<&'a [f32]>,
    output: Shared,
}

impl Task for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let problem = self.problem;
        let (d, padded_d) = (problem.d, problem.padded_d::<L>());
        let rows = self.queries * problem.group();
        let room = padded(rows);
        let block_size = BLOCK * (d + padded_d);
        let mut queries = Buffer::take(room * d);
        let mut state = State {
            scores: Buffer::take(room * BLOCK),
            sums: Buffer::take(room * padded_d),
            largest: Buffer::take(rows),
            totals: Buffer::take(rows),
        };
        let mut own = Buffer::take(if self.packed.is_none() { block_size } else { 0 });
        self.gather_queries(&mut queries);
        queries[rows * d..].fill(0.0);
        state.sums.fill(0.0);
        state.largest.fill(f32::NEG_INFINITY);
        state.totals.fill(0.0);
        let seen = problem.seen(self.first + self.queries - 1);
        for block in 0..seen.div_ceil(BLOCK) {
            let packed = match self.packed {
                Some(packed) => &packed[block * block_size..(block + 1) * block_size],
                None => {
                    let pack = Pack { problem, kv_head: self.kv_head, block, to: &mut own };
                    // SAFETY: the caller's promise.
                    unsafe { pack.run::<L>() };
                    &own
                }
            };
            // SAFETY: the caller's promise.
            unsafe { self.attend_block::<L>(block * BLOCK, packed, &queries, &mut state) };
        }
        self.write(&state, padded_d);
    }
}

/// What a chunk knows so far of each row.
struct State {
    /// Scores of a block, then their weights; `(rows, BLOCK)`.
    scores: Buffer,
    /// Weighted values, `(rows, padded d)`.
    sums: Buffer,
    /// The largest score, in units of log 2.
    largest: Buffer,
    /// The weights' total.
    totals: Buffer,
}

impl Chunk<'_> {
    /// Queries by row, a query's heads one after another, scaled for scores in units of log 2.
    #[inline(always)]
    fn gather_queries(&self, to: &mut [f32]) {
        let (d, group) = (self.problem.d, self.problem.group());
        let scale = LOG2_E / (d as f32).sqrt();
        for (row, to) in to.chunks_exact_mut(d).take(self.queries * group).enumerate() {
            let head = self.kv_head * group + row % group;
            let from = self.problem.q.row(head, self.first + row / group, d);
            for (to, from) in to.iter_mut().zip(from) {
                *to = from * scale;
            }
        }
    }

    /// Takes the keys from `start` on, as many as the block has, into the state.
    #[inline(always)]
    unsafe fn attend_block<L: Lanes>(
        &self,
        start: usize,
        packed: &[f32],
        queries: &[f32],
        state: &mut State,
    ) {
        let problem = self.problem;
        let (d, padded_d, group) = (problem.d, problem.padded_d::<L>(), problem.group());
        let rows = self.queries * group;
        let count = problem.seen(self.first + self.queries - 1).min(start + BLOCK) - start;
        // Rows before this one see nothing of the block.
        let unseeing = (0..self.queries).take_while(|q| problem.seen(self.first + q) <= start);
        let first_row = unseeing.count() * group;
        let panel = L::COUNT * L::PANEL;
        let (keys, values) = packed.split_at(BLOCK * d);
        let scores = Product {
            rows: rows - first_row,
            depth: d,
            registers: L::PANEL,
            strides: [d, panel, BLOCK],
            adds: false,
        };
        let left = queries[first_row * d..].as_ptr();
        for column in (0..count).step_by(panel) {
            let right = keys[column * d..].as_ptr();
            let result = state.scores[first_row * BLOCK + column..].as_mut_ptr();
            // SAFETY: the caller's promise. Buffers have `padded` rows, a
            // panel has `d` rows, and BLOCK columns are a multiple of a panel's.
            unsafe { scores.run::<L>(left, right, result) };
        }
        for row in first_row..rows {
            let seen = (problem.seen(self.first + row / group) - start).min(count);
            // SAFETY: the caller's promise.
            unsafe { state.weigh::<L>(row, seen, count, padded_d) };
        }
        let left = state.scores[first_row * BLOCK..].as_ptr();
        for column in (0..padded_d).step_by(panel) {
            let product = Product {
                rows: rows - first_row,
                depth: count,
                registers: (padded_d - column).min(panel) / L::COUNT,
                strides: [BLOCK, padded_d, padded_d],
                adds: true,
            };
            let right = values[column..].as_ptr();
            let result = state.sums[first_row * padded_d + column..].as_mut_ptr();
            // SAFETY: the caller's promise. Buffers have `padded` rows, and
            // a block has BLOCK values of `padded_d` channels.
            unsafe { product.run::<L>(left, right, result) };
        }
    }

    /// Divides by the totals and writes the rows to where they belong.
    #[inline(always)]
    fn write(&self, state: &State, padded_d: usize) {
        let Problem { heads, d, .. } = *self.problem;
        let group = self.problem.group();
        for row in 0..self.queries * group {
            let (query, head) = (self.first + row / group, self.kv_head * group + row % group);
            // SAFETY: every query of every head is in one chunk alone, and `attend` keeps the
            // output alive until all chunks are done.
            let to = unsafe { self.output.part((query * heads + head) * d, d) };
            let share = 1.0 / state.totals[row];
            for (to, sum) in to.iter_mut().zip(&state.sums[row * padded_d..]) {
                *to = sum * share;
            }
        }
    }
}

impl State {
    /// Turns the first `seen` of `count` scores of a row into weights relative to the largest score
    /// so far, and the others into zeros.
    #[inline(always)]
    unsafe fn weigh<L: Lanes>(&mut self, row: usize, seen: usize, count: usize, padded_d: usize) {
        let scores = &mut self.scores[row * BLOCK..(row + 1) * BLOCK];
        let whole = seen.next_multiple_of(L::COUNT);
        scores[seen..whole].fill(f32::NEG_INFINITY);
        scores[whole..count.max(whole)].fill(0.0);
        // SAFETY: the caller's promise; `whole` is a multiple of the register's values, and a row
        // of sums is one too.
        unsafe {
            let scores = scores.as_mut_ptr();
            let mut largest = L::splat(f32::NEG_INFINITY);
            for i in (0..whole).step_by(L::COUNT) {
                largest = largest.max(L::load(scores.add(i)));
            }
            let before = self.largest[row];
            let now = before.max(largest.largest());
            let offset = L::splat(now);
            let mut total = L::splat(0.0);
            for i in (0..whole).step_by(L::COUNT) {
                let weight = L::load(scores.add(i)).sub(offset).exp2();
                total = total.add(weight);
                weight.store(scores.add(i));
            }
            let shrink = if before == now { 1.0 } else { (before - now).exp2() };
            self.largest[row] = now;
            self.totals[row] = self.totals[row] * shrink + total.sum();
            if shrink != 1.0 {
                let factor = L::splat(shrink);
                let sums = self.sums[row * padded_d..(row + 1) * padded_d].as_mut_ptr();
                for i in (0..padded_d).step_by(L::COUNT) {
                    L::load(sums.add(i)).mul(factor).store(sums.add(i));
                }
            }
        }
    }
}
