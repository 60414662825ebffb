//! Attention of a few queries: keys and values are read once, where they lie.
//!
//! Laying keys out for products pays where many rows meet them. A token that is decoded brings one
//! query a head, and then it takes longer than reading them.

#![allow(unsafe_code, reason = "the inner loops work on registers")]

use super::blocked::{Kept, Output, Problem, State, write_row};
use super::format::{Single, ValueFormat};
use crate::buffer::Buffer;
use crate::simd::{LOG2_E, Lanes, Task};

/// The most queries that are taken this way: more than are decoded together, so that a query's
/// result does not depend on those beside it.
pub(super) const QUERIES: usize = 32;
/// Rows, each a query of one head, that go through the keys together.
const ROWS: usize = 64;
/// Keys whose weights are made together.
const BLOCK: usize = Single::BLOCK;
/// Keys whose scores are summed side by side.
const KEYS: usize = 4;

/// Some queries of the heads that share one key-value head, in f32.
pub(super) struct Direct<'a> {
    pub(super) problem: &'a Problem<'a>,
    pub(super) kv_head: usize,
    /// Which of the [`tasks`] of a key-value head this is.
    pub(super) task: usize,
    pub(super) output: Output,
}

/// Into how many tasks the queries of a key-value head go.
pub(super) fn tasks(problem: &Problem<'_>) -> usize {
    problem.queries.div_ceil(queries_of_task(problem))
}

fn queries_of_task(problem: &Problem<'_>) -> usize {
    (ROWS / (problem.heads / problem.kv_heads)).max(1)
}

impl Task for Direct<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let group = self.problem.heads / self.problem.kv_heads;
        let first = self.task * queries_of_task(self.problem);
        let queries = queries_of_task(self.problem).min(self.problem.queries - first);
        // SAFETY: the caller's promise.
        unsafe { self.attend::<L>(group, first, queries) };
    }
}

impl Direct<'_> {
    /// Takes queries `first..first + queries` through all keys that they see.
    #[inline(always)]
    unsafe fn attend<L: Lanes>(&self, group: usize, first: usize, queries: usize) {
        let (problem, d) = (self.problem, self.problem.d);
        let rows = queries * group;
        let mut q = Buffer::take(rows * d);
        let scale = LOG2_E / (d as f32).sqrt();
        for (row, to) in q.chunks_exact_mut(d).enumerate() {
            let head = self.kv_head * group + row % group;
            let from = problem.q.row(head, first + row / group, d);
            to.iter_mut().zip(from).for_each(|(to, value)| *to = value * scale);
        }
        let mut state = State::new::<Single>(rows, rows, d);
        let mut rooms = [Buffer::take(BLOCK * d), Buffer::take(BLOCK * d)];
        let all = problem.seen(first + queries - 1);
        for start in (0..all).step_by(BLOCK) {
            let count = BLOCK.min(all - start);
            let [k, v] = &mut rooms;
            let k = block(&problem.k, self.kv_head, (start, count), d, k);
            let v = block(&problem.v, self.kv_head, (start, count), d, v);
            let unseeing = (0..queries).take_while(|q| problem.seen(first + q) <= start).count();
            let mut row = unseeing * group;
            while row < rows {
                // SAFETY: the caller's promise; the rows are there.
                row += unsafe {
                    match rows - row {
                        1 => self.attend_block::<L, 1>(
                            &q,
                            (k, v),
                            (first, row, start, count),
                            &mut state,
                        ),
                        _ => self.attend_block::<L, 2>(
                            &q,
                            (k, v),
                            (first, row, start, count),
                            &mut state,
                        ),
                    }
                };
            }
        }
        for row in 0..rows {
            let (query, head) = (first + row / group, self.kv_head * group + row % group);
            // SAFETY: every query of every head is written by one task alone, and `attend` of the
            // whole keeps the output alive until all tasks are done.
            let to = unsafe { self.output.part((query * problem.heads + head) * d, d) };
            write_row(to, &state.sums[row * d..], state.totals[row]);
        }
    }

    /// Takes `count` keys from `start` on into the state of `R` rows from `row` on, whose queries
    /// begin at `first`; returns how many rows that are.
    ///
    /// # Safety
    /// As for all of [`Lanes`]; the rows and the keys must be there, `d` be whole registers.
    #[inline(always)]
    unsafe fn attend_block<L: Lanes, const R: usize>(
        &self,
        q: &[f32],
        (k, v): (Rows<'_>, Rows<'_>),
        (first, row, start, count): (usize, usize, usize, usize),
        state: &mut State,
    ) -> usize {
        let d = self.problem.d;
        let group = self.problem.heads / self.problem.kv_heads;
        // SAFETY: the caller's promise; a row of the state has BLOCK scores and `d` sums.
        unsafe {
            scores::<L, R>(&q[row * d..][..R * d], k, count, &mut state.scores[row * BLOCK..]);
            let seen = |row: usize| (self.problem.seen(first + row / group) - start).min(count);
            state.weigh::<L, Single>(row..row + R, seen, count, d);
            let weights = &state.scores[row * BLOCK..][..R * BLOCK];
            let sums = &mut state.sums[row * d..][..R * d];
            let mut column = 0;
            while column < d {
                column += L::COUNT
                    * match (d - column) / L::COUNT {
                        8.. if L::PANEL >= 4 => {
                            add_values::<L, R, 8>(weights, v, count, column, sums)
                        }
                        4.. => add_values::<L, R, 4>(weights, v, count, column, sums),
                        2.. => add_values::<L, R, 2>(weights, v, count, column, sums),
                        _ => add_values::<L, R, 1>(weights, v, count, column, sums),
                    };
            }
        }
        R
    }
}

/// Rows in memory, and how far apart they are.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

/// Rows `start..start + count` of a head: where they lie, or as numbers in `room`.
#[inline(always)]
fn block<'a>(
    kept: &'a Kept<'_>,
    head: usize,
    (start, count): (usize, usize),
    d: usize,
    room: &'a mut [f32],
) -> Rows<'a> {
    if let Kept::Floats(heads) = kept {
        let from = head * heads.strides[0] + start * heads.strides[1];
        return Rows { values: &heads.values[from..], stride: heads.strides[1] };
    }
    for (row, to) in room.chunks_exact_mut(d).take(count).enumerate() {
        kept.row(head, start + row, d, to);
    }
    Rows { values: room, stride: d }
}

/// The products of `R` queries with `count` keys, `(R, BLOCK)`.
///
/// # Safety
/// As for all of [`Lanes`]; a query must be a whole number of registers.
#[inline(always)]
unsafe fn scores<L: Lanes, const R: usize>(
    q: &[f32],
    keys: Rows<'_>,
    count: usize,
    to: &mut [f32],
) {
    let d = q.len() / R;
    assert!(count == 0 || (count - 1) * keys.stride + d <= keys.values.len());
    for first in (0..count).step_by(KEYS) {
        // The last keys may be fewer: what is missing is the last one again.
        let places: [usize; KEYS] =
            std::array::from_fn(|key| (first + key).min(count - 1) * keys.stride);
        // SAFETY: the caller's promise, and the places were checked.
        unsafe {
            let mut sums = [[L::splat(0.0); KEYS]; R];
            for i in (0..d).step_by(L::COUNT) {
                let keys = places.map(|place| L::load(keys.values.as_ptr().add(place + i)));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let q = L::load(q.as_ptr().add(r * d + i));
                    for (sum, key) in sums.iter_mut().zip(keys) {
                        *sum = key.mul_add(q, *sum);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                let to = &mut to[r * BLOCK..][first..count.min(first + KEYS)];
                for (to, sum) in to.iter_mut().zip(sums) {
                    *to = sum.sum();
                }
            }
        }
    }
}

/// Adds `count` values times their weights `(R, BLOCK)` to `C` registers of the sums `(R, d)` from
/// `column` on; returns `C`.
///
/// # Safety
/// As for all of [`Lanes`]; there must be so many registers from `column` on.
#[inline(always)]
unsafe fn add_values<L: Lanes, const R: usize, const C: usize>(
    weights: &[f32],
    values: Rows<'_>,
    count: usize,
    column: usize,
    sums: &mut [f32],
) -> usize {
    let (d, width) = (sums.len() / R, C * L::COUNT);
    assert!(count == 0 || (count - 1) * values.stride + column + width <= values.values.len());
    assert!(column + width <= d && weights.len() >= (R - 1) * BLOCK + count);
    // SAFETY: the caller's promise, and the places were checked.
    unsafe {
        let place = |r: usize, c: usize| r * d + column + c * L::COUNT;
        let mut totals: [[L; C]; R] = std::array::from_fn(|r| {
            std::array::from_fn(|c| L::load(sums.as_ptr().add(place(r, c))))
        });
        for key in 0..count {
            let value = values.values.as_ptr().add(key * values.stride + column);
            let columns: [L; C] = std::array::from_fn(|c| L::load(value.add(c * L::COUNT)));
            for (r, totals) in totals.iter_mut().enumerate() {
                let weight = L::splat(*weights.as_ptr().add(r * BLOCK + key));
                for (total, column) in totals.iter_mut().zip(columns) {
                    *total = weight.mul_add(column, *total);
                }
            }
        }
        for (r, totals) in totals.into_iter().enumerate() {
            for (c, total) in totals.into_iter().enumerate() {
                total.store(sums.as_mut_ptr().add(place(r, c)));
            }
        }
    }
    C
}
