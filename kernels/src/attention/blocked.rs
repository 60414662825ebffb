//! Attention in blocks of keys with an online softmax: scores never leave the cache.
//!
//! Source: Dao et al. 2022, "FlashAttention"; Milakov & Gimelshein 2018, "Online normalizer
//! calculation for softmax".

#![allow(unsafe_code, reason = "the inner loops work on raw buffers")]

use super::Mask;
use super::direct::{self, Direct};
use super::format::{Format, KeyFormat, ValueFormat};
use super::pack::{BlockSize, Pack, block_words};
use super::product::{Product, padded};
use crate::buffer::{Buffer, Shared};
use crate::simd::{LOG2_E, Lanes, Level, MOST_LANES, Task, run_at};
use crate::team::{each, each_part};
use half::f16;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Rows, each a query of one head, that go through the keys together.
const ROWS: usize = 96;
/// Rows whose largest scores are looked for before any of them is weighed: finding one across a
/// register takes long, and the next row need not wait for it.
const ROWS_TOGETHER: usize = 6;

/// Heads in memory; the channels of a row lie side by side.
#[derive(Clone, Copy)]
pub(super) struct Heads<'a, T = f32> {
    pub(super) values: &'a [T],
    /// From one head to the next, and from one row to the next.
    pub(super) strides: [usize; 2],
}

impl<T> Heads<'_, T> {
    /// Row `row` of head `head`.
    #[inline(always)]
    pub(super) fn row(&self, head: usize, row: usize, d: usize) -> &[T] {
        let start = head * self.strides[0] + row * self.strides[1];
        &self.values[start..start + d]
    }
}

/// Keys or values in memory; see [`super::KeptRows`].
#[derive(Clone, Copy)]
pub(super) enum Kept<'a> {
    Floats(Heads<'a>),
    Halves(Heads<'a, f16>),
    Bytes { codes: Heads<'a, u8>, scales: Heads<'a> },
}

/// What is to be computed; see [`super::attention`].
#[derive(Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) q: Heads<'a>,
    pub(super) k: Kept<'a>,
    pub(super) v: Kept<'a>,
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
    pub(super) fn seen(&self, query: usize) -> usize {
        match self.mask {
            Mask::Full => self.keys,
            Mask::Causal => self.keys - self.queries + query + 1,
        }
    }

    /// Words of a query or key.
    pub(super) fn row_words<F: KeyFormat>(&self) -> usize {
        F::words(self.d) + F::ENDS
    }

    /// Channels of a value, filled up to whole registers.
    pub(super) fn padded_d<L: Lanes, F: KeyFormat>(&self) -> usize {
        self.d.next_multiple_of(L::COUNT * F::Values::REGISTERS)
    }
}

/// Computes attention with operands of one format and registers of one kind into
/// `(queries, heads · d)`.
pub(super) fn attend<F: KeyFormat>(problem: &Problem<'_>, level: Level) -> Vec<f32> {
    let count = problem.queries * problem.heads * problem.d;
    if count == 0 || problem.keys == 0 {
        return vec![0.0; count];
    }
    let mut output = Vec::with_capacity(count);
    let shared = Shared::new(&mut output.spare_capacity_mut()[..count]);
    if F::IS_F32 && problem.queries <= direct::QUERIES && problem.d.is_multiple_of(MOST_LANES) {
        let tasks = direct::tasks(problem);
        each(problem.kv_heads * tasks, |i| {
            let (kv_head, task) = (i / tasks, i % tasks);
            run_at(level, Direct { problem, kv_head, task, output: shared });
        });
    } else {
        each(problem.kv_heads, |kv_head| attend_group::<F>(problem, level, kv_head, shared));
    }
    // SAFETY: the capacity is there, and every head of every query is written by one of the tasks.
    unsafe { output.set_len(count) };
    output
}

/// Where attended rows are written to, `(queries, heads · d)`.
pub(super) type Output = Shared<MaybeUninit<f32>>;

/// Writes the weighted values of a row, divided by the weights' total.
#[inline(always)]
pub(super) fn write_row(to: &mut [MaybeUninit<f32>], sums: &[f32], total: f32) {
    let share = 1.0 / total;
    for (to, sum) in to.iter_mut().zip(sums) {
        to.write(sum * share);
    }
}

/// All query heads of one key-value head.
fn attend_group<F: KeyFormat>(problem: &Problem<'_>, level: Level, kv_head: usize, output: Output) {
    let queries = (ROWS / problem.group()).max(1);
    let chunk = |first: usize, packed| Chunk {
        problem,
        kv_head,
        first,
        queries: queries.min(problem.queries - first),
        packed,
        output,
        format: PhantomData::<F>,
    };
    if problem.queries <= queries {
        return run_at(level, chunk(0, None)); // each block is used once, and packed when it is
    }
    let size = run_at(level, BlockSize(problem, PhantomData::<F>));
    let mut packed = Buffer::take(size * problem.keys.div_ceil(F::Values::BLOCK));
    each_part(&mut packed, size, |block, to| {
        run_at(level, Pack { problem, kv_head, block, to, format: PhantomData::<F> });
    });
    let packed = &*packed;
    each(problem.queries.div_ceil(queries), |i| {
        run_at(level, chunk(i * queries, Some(packed)));
    });
}

/// Some queries, of all heads that share a key-value head, through all keys that they see.
struct Chunk<'a, F> {
    problem: &'a Problem<'a>,
    kv_head: usize,
    first: usize,
    queries: usize,
    /// All blocks, or none: then they are packed one by one.
    packed: Option<&'a [f32]>,
    output: Output,
    format: PhantomData<F>,
}

impl<F: KeyFormat> Task for Chunk<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let problem = self.problem;
        let (words, padded_d) = (problem.row_words::<F>(), problem.padded_d::<L, F>());
        let rows = self.queries * problem.group();
        let room = padded(rows);
        let block_size = block_words::<L, F>(problem);
        let mut queries = Buffer::take(room * words);
        let mut state = State::new::<F::Values>(rows, room, padded_d);
        let mut own = Buffer::take(if self.packed.is_none() { block_size } else { 0 });
        // SAFETY: the caller's promise.
        unsafe { self.gather_queries::<L>(&mut queries) };
        queries[rows * words..].fill(0.0);
        let seen = problem.seen(self.first + self.queries - 1);
        for block in 0..seen.div_ceil(F::Values::BLOCK) {
            let packed = match self.packed {
                Some(packed) => &packed[block * block_size..(block + 1) * block_size],
                None => {
                    let (kv_head, format) = (self.kv_head, PhantomData::<F>);
                    let pack = Pack { problem, kv_head, block, to: &mut own, format };
                    // SAFETY: the caller's promise.
                    unsafe { pack.run::<L>() };
                    &own
                }
            };
            // SAFETY: the caller's promise.
            unsafe { self.attend_block::<L>(block, packed, &queries, &mut state) };
        }
        F::finish();
        self.write(&state, padded_d);
    }
}

/// What a chunk knows so far of each row.
pub(super) struct State {
    /// Scores of a block, then the words of their weights; a row for all keys of a block.
    pub(super) scores: Buffer,
    /// Weighted values, `(rows, padded d)`.
    pub(super) sums: Buffer,
    /// The largest score, in units of log 2.
    largest: Buffer,
    /// The total of the weights as they are kept: what rounding does to all alike is no error then.
    pub(super) totals: Buffer,
}

impl<F: KeyFormat> Chunk<'_, F> {
    /// Queries by row, a query's heads one after another, scaled for scores in units of log 2.
    #[inline(always)]
    unsafe fn gather_queries<L: Lanes>(&self, to: &mut [f32]) {
        let (d, group) = (self.problem.d, self.problem.group());
        let scale = LOG2_E / (d as f32).sqrt();
        let rows = to.chunks_exact_mut(self.problem.row_words::<F>());
        for (row, to) in rows.take(self.queries * group).enumerate() {
            let head = self.kv_head * group + row % group;
            let query = self.problem.q.row(head, self.first + row / group, d);
            // SAFETY: the caller's promise.
            unsafe { F::query::<L>(query, scale, to) };
        }
    }

    /// Takes the keys of a block into the state.
    #[inline(always)]
    unsafe fn attend_block<L: Lanes>(
        &self,
        block: usize,
        packed: &[f32],
        queries: &[f32],
        state: &mut State,
    ) {
        let problem = self.problem;
        let (words, padded_d) = (problem.row_words::<F>(), problem.padded_d::<L, F>());
        let group = problem.group();
        let rows = self.queries * group;
        let (size, start) = (F::Values::BLOCK, block * F::Values::BLOCK);
        let count = problem.seen(self.first + self.queries - 1).min(start + size) - start;
        // Rows before this one see nothing of the block.
        let unseeing = (0..self.queries).take_while(|q| problem.seen(self.first + q) <= start);
        let first_row = unseeing.count() * group;
        let panel = L::COUNT * L::PANEL;
        let (keys, values) = packed.split_at(size * words);
        let scores = Product {
            rows: rows - first_row,
            depth: F::words(problem.d),
            registers: L::PANEL,
            strides: [words, panel, size],
            adds: false,
        };
        let left = queries[first_row * words..].as_ptr();
        for column in (0..count).step_by(panel) {
            let right = keys[column * words..].as_ptr();
            let result = state.scores[first_row * size + column..].as_mut_ptr();
            // SAFETY: the caller's promise. Buffers have `padded` rows, a
            // panel has `words` rows, and a block's keys are a multiple of a panel's.
            unsafe { scores.run::<L, F>(left, right, result) };
        }
        let seen = |row: usize| (problem.seen(self.first + row / group) - start).min(count);
        // SAFETY: the caller's promise.
        unsafe { state.weigh::<L, F::Values>(first_row..rows, seen, count, padded_d) };
        let left = state.scores[first_row * size..].as_ptr();
        for column in (0..padded_d).step_by(panel) {
            let product = Product {
                rows: rows - first_row,
                depth: F::Values::words(count),
                registers: (padded_d - column).min(panel) / L::COUNT,
                strides: [size, padded_d, padded_d],
                adds: true,
            };
            let right = values[column..].as_ptr();
            let result = state.sums[first_row * padded_d + column..].as_mut_ptr();
            // SAFETY: the caller's promise. Buffers have `padded` rows, and
            // a block has a value of `padded_d` channels for each key.
            unsafe { product.run::<L, F::Values>(left, right, result) };
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
            write_row(to, &state.sums[row * padded_d..], state.totals[row]);
        }
    }
}

impl State {
    /// Nothing seen yet, for so many rows; buffers have `room` rows, of sums `width` wide.
    pub(super) fn new<F: ValueFormat>(rows: usize, room: usize, width: usize) -> Self {
        let mut largest = Buffer::take(rows);
        largest.fill(f32::NEG_INFINITY);
        Self {
            scores: Buffer::take(room * F::BLOCK),
            sums: Buffer::zeros(room * width),
            largest,
            totals: Buffer::zeros(rows),
        }
    }

    /// Turns the first `seen` of `count` scores of each row into weights relative to the largest
    /// score so far, and the others into zeros.
    #[inline(always)]
    pub(super) unsafe fn weigh<L: Lanes, F: ValueFormat>(
        &mut self,
        rows: Range<usize>,
        seen: impl Fn(usize) -> usize,
        count: usize,
        padded_d: usize,
    ) {
        for first in rows.clone().step_by(ROWS_TOGETHER) {
            let rows = first..rows.end.min(first + ROWS_TOGETHER);
            let mut largest = [0.0; ROWS_TOGETHER];
            // SAFETY: the caller's promise.
            unsafe {
                for (largest, row) in largest.iter_mut().zip(rows.clone()) {
                    *largest = self.largest_of::<L, F>(row, seen(row));
                }
                for (largest, row) in largest.into_iter().zip(rows) {
                    self.weigh_row::<L, F>(row, (seen(row), count), largest, padded_d);
                }
            }
        }
    }

    /// The largest of the first `seen` scores of a row; fills up what is stored with them.
    #[inline(always)]
    unsafe fn largest_of<L: Lanes, F: ValueFormat>(&mut self, row: usize, seen: usize) -> f32 {
        let scores = &mut self.scores[row * F::BLOCK..(row + 1) * F::BLOCK];
        let whole = seen.next_multiple_of(L::COUNT * F::VALUES);
        scores[seen..whole].fill(f32::NEG_INFINITY);
        // SAFETY: the caller's promise; `whole` is a multiple of a register's values, and so are a
        // block's keys.
        unsafe {
            let mut largest = L::splat(f32::NEG_INFINITY);
            for i in (0..whole).step_by(L::COUNT) {
                largest = largest.max(L::load(scores.as_ptr().add(i)));
            }
            largest.largest()
        }
    }

    /// [`Self::weigh`] for a row whose largest score is known.
    #[inline(always)]
    unsafe fn weigh_row<L: Lanes, F: ValueFormat>(
        &mut self,
        row: usize,
        (seen, count): (usize, usize),
        largest: f32,
        padded_d: usize,
    ) {
        let scores = &mut self.scores[row * F::BLOCK..(row + 1) * F::BLOCK];
        let stored = L::COUNT * F::VALUES;
        let whole = seen.next_multiple_of(stored);
        let before = self.largest[row];
        let now = before.max(largest);
        // SAFETY: the caller's promise; `whole` is a multiple of the values that are stored
        // together, whose words take no more room than they do, and a block's keys are one too; a
        // row of sums is a multiple of the register's values.
        unsafe {
            let scores = scores.as_mut_ptr();
            let offset = L::splat(now);
            let (mut total, ones) = (L::splat(0.0), L::splat(F::word(1.0, 1.0)));
            for i in (0..whole).step_by(stored) {
                let mut weights = [L::splat(0.0); 2];
                for (j, weight) in weights.iter_mut().take(F::VALUES).enumerate() {
                    *weight = F::exp2(L::load(scores.add(i + j * L::COUNT)).sub(offset));
                }
                let words = F::words_along(weights);
                total = F::dot(words, ones, total);
                words.store(scores.add(i / F::VALUES));
            }
            let words = whole / F::VALUES..F::words(count);
            for word in words {
                *scores.add(word) = 0.0; // the keys after `seen`
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
