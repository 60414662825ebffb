//! Attention of a few queries: keys and values are read once, where they lie.
//!
//! Laying keys out for products pays where many rows meet them. A token that is decoded brings one
//! query a head, and then it takes longer than reading them.

#![allow(unsafe_code, reason = "the inner loops work on registers")]

use super::blocked::{Heads, Kept, Output, Problem, State, write_row};
use super::format::{Single, ValueFormat};
use crate::buffer::Buffer;
use crate::prefetch::{FIRST, ask_for};
use crate::simd::{LOG2_E, Lanes, Task};
use half::f16;

/// The most queries that are taken this way: more than are decoded together, so that a query's
/// result does not depend on those beside it.
pub(super) const QUERIES: usize = 32;
/// Rows, each a query of one head, that go through the keys together.
const ROWS: usize = 64;
/// Keys whose weights are made together.
const BLOCK: usize = Single::BLOCK;
/// The most rows for which halves become values each time they are read, and not once for all.
const ROWS_OF_HALVES: usize = 4;
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
            let (head, span) = (self.kv_head, (start, BLOCK.min(all - start)));
            let chunk = (first, queries, &*q);
            // SAFETY: the caller's promise.
            unsafe {
                match (&problem.k, &problem.v) {
                    (Kept::Floats(k), Kept::Floats(v)) => {
                        let rows = [k, v].map(|heads| lying(heads, head, start));
                        self.attend_block::<L, f32>(chunk, rows, span, &mut state);
                    }
                    (Kept::Halves(k), Kept::Halves(v)) if rows <= ROWS_OF_HALVES => {
                        let rows = [k, v].map(|heads| lying(heads, head, start));
                        self.attend_block::<L, f16>(chunk, rows, span, &mut state);
                    }
                    (k, v) => {
                        let [keys, values] = &mut rooms;
                        let rows = [(k, keys), (v, values)]
                            .map(|(kept, room)| as_numbers::<L>(kept, head, span, d, room));
                        self.attend_block::<L, f32>(chunk, rows, span, &mut state);
                    }
                }
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

    /// Takes `count` keys from `start` on, and their values, into the state of the rows of `queries`
    /// queries from `first` on, of which `q` has the channels.
    ///
    /// # Safety
    /// As for all of [`Lanes`]; the rows and the keys must be there, `d` be whole registers.
    #[inline(always)]
    unsafe fn attend_block<L: Lanes, T: Stored>(
        &self,
        (first, queries, q): (usize, usize, &[f32]),
        mut rows: [Rows<'_, T>; 2],
        (start, count): (usize, usize),
        state: &mut State,
    ) {
        let group = self.problem.heads / self.problem.kv_heads;
        let unseeing = (0..queries).take_while(|q| self.problem.seen(first + q) <= start).count();
        let mut row = unseeing * group;
        while row < queries * group {
            let place = (first, row, start, count);
            // SAFETY: the caller's promise.
            row += unsafe {
                match queries * group - row {
                    1 => self.attend_rows::<L, T, 1>(q, rows, place, state),
                    _ => self.attend_rows::<L, T, 2>(q, rows, place, state),
                }
            };
            rows = rows.map(|rows| Rows { in_order: false, ..rows }); // the next find them in the cache
        }
    }

    /// [`Self::attend_block`] for `R` rows from `row` on; returns how many rows that are.
    ///
    /// # Safety
    /// As [`Self::attend_block`].
    #[inline(always)]
    unsafe fn attend_rows<L: Lanes, T: Stored, const R: usize>(
        &self,
        q: &[f32],
        [k, v]: [Rows<'_, T>; 2],
        (first, row, start, count): (usize, usize, usize, usize),
        state: &mut State,
    ) -> usize {
        let d = self.problem.d;
        let group = self.problem.heads / self.problem.kv_heads;
        // SAFETY: the caller's promise; a row of the state has BLOCK scores and `d` sums.
        unsafe {
            let to = &mut state.scores[row * BLOCK..];
            scores::<L, T, R>(&q[row * d..][..R * d], k, count, to);
            let seen = |row: usize| (self.problem.seen(first + row / group) - start).min(count);
            state.weigh::<L, Single>(row..row + R, seen, count, d);
            let weights = &state.scores[row * BLOCK..][..R * BLOCK];
            let sums = &mut state.sums[row * d..][..R * d];
            let mut column = 0;
            while column < d {
                column += L::COUNT
                    * match (d - column) / L::COUNT {
                        8.. if L::PANEL >= 4 => {
                            add_values::<L, T, R, 8>(weights, v, count, column, sums)
                        }
                        4.. => add_values::<L, T, R, 4>(weights, v, count, column, sums),
                        2.. => add_values::<L, T, R, 2>(weights, v, count, column, sums),
                        _ => add_values::<L, T, R, 1>(weights, v, count, column, sums),
                    };
            }
        }
        R
    }
}

/// Numbers that registers of values are made of as they are read.
trait Stored: Copy {
    /// Reads as many as a register has.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    unsafe fn load<L: Lanes>(from: *const Self) -> L;
}

impl Stored for f32 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        // SAFETY: the caller's promise.
        unsafe { L::load(from) }
    }
}

impl Stored for f16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        // SAFETY: the caller's promise.
        unsafe { L::load_halves(from) }
    }
}

/// Rows in memory, and how far apart they are.
#[derive(Clone, Copy)]
struct Rows<'a, T> {
    values: &'a [T],
    stride: usize,
    /// Whether they are read from memory, one after the other.
    in_order: bool,
}

impl<T> Rows<'_, T> {
    /// Asks for what lies 4 KiB after `count` values: the processor's own reading ahead stops at the ends of
    /// pages, and where there is much to do with each row.
    #[inline(always)]
    fn ask_ahead(&self, start: usize, count: usize) {
        const AHEAD: usize = 4 << 10;
        const LINE: usize = 64;
        if self.in_order {
            let from = self.values.as_ptr().wrapping_add(start).cast::<u8>().wrapping_add(AHEAD);
            for line in (0..count * size_of::<T>()).step_by(LINE) {
                ask_for::<FIRST, _>(from.wrapping_add(line));
            }
        }
    }
}

/// The rows of a head from `start` on.
#[inline(always)]
fn lying<'a, T>(heads: &Heads<'a, T>, head: usize, start: usize) -> Rows<'a, T> {
    let from = head * heads.strides[0] + start * heads.strides[1];
    Rows { values: &heads.values[from..], stride: heads.strides[1], in_order: true }
}

/// Rows `start..start + count` of a head, as numbers in `room`.
///
/// # Safety
/// As for all of [`Lanes`].
#[inline(always)]
unsafe fn as_numbers<'a, L: Lanes>(
    kept: &Kept<'_>,
    head: usize,
    (start, count): (usize, usize),
    d: usize,
    room: &'a mut [f32],
) -> Rows<'a, f32> {
    for (row, to) in room.chunks_exact_mut(d).take(count).enumerate() {
        // SAFETY: the caller's promise.
        unsafe { kept.write_row::<L>(head, start + row, to) };
    }
    Rows { values: room, stride: d, in_order: false }
}

/// The products of `R` queries with `count` keys, `(R, BLOCK)`.
///
/// # Safety
/// As for all of [`Lanes`]; a query must be a whole number of registers.
#[inline(always)]
unsafe fn scores<L: Lanes, T: Stored, const R: usize>(
    q: &[f32],
    keys: Rows<'_, T>,
    count: usize,
    to: &mut [f32],
) {
    let d = q.len() / R;
    assert!(count == 0 || (count - 1) * keys.stride + d <= keys.values.len());
    for first in (0..count).step_by(KEYS) {
        // The last keys may be fewer: what is missing is the last one again.
        let places: [usize; KEYS] =
            std::array::from_fn(|key| (first + key).min(count - 1) * keys.stride);
        places.iter().for_each(|place| keys.ask_ahead(*place, d));
        // SAFETY: the caller's promise, and the places were checked.
        unsafe {
            let mut sums = [[L::splat(0.0); KEYS]; R];
            for i in (0..d).step_by(L::COUNT) {
                let keys = places.map(|place| T::load::<L>(keys.values.as_ptr().add(place + i)));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let q = L::load(q.as_ptr().add(r * d + i));
                    for (sum, key) in sums.iter_mut().zip(keys) {
                        *sum = key.mul_add(q, *sum);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                let to = &mut to[r * BLOCK..][first..count.min(first + KEYS)];
                to.copy_from_slice(&L::sums(sums)[..to.len()]);
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
unsafe fn add_values<L: Lanes, T: Stored, const R: usize, const C: usize>(
    weights: &[f32],
    values: Rows<'_, T>,
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
            values.ask_ahead(key * values.stride + column, width);
            let value = values.values.as_ptr().add(key * values.stride + column);
            let columns: [L; C] = std::array::from_fn(|c| T::load(value.add(c * L::COUNT)));
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
