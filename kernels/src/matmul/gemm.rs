//! Cutting a product into tasks for the threads and blocks for the caches.
//!
//! The order of the loops is that of Goto & van de Geijn 2008, "Anatomy of High-Performance
//! Matrix Multiplication": a block of packed rows stays in the second-level cache while panels of
//! weights, a block of their inputs at a time in the first-level cache, go past it.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::pack::Line;
use super::{Kernel, PANEL, PackedMatrix, Tile};

/// Lines of a panel in a block of inputs: 33 KiB, so that it stays in a first-level cache of 48.
const BLOCK_LINES: usize = 528;
/// Words of a packed row in a block of inputs.
const BLOCK_WORDS: usize = 320;
/// Rows in a block: with `BLOCK_WORDS` 600 KiB, so that it stays in a second-level cache of 1 MiB.
const BLOCK_ROWS: usize = 480;
/// Panels whose outputs get all blocks of inputs before the next ones do: with `BLOCK_ROWS` 2 MiB
/// of outputs, which stay in a last-level cache while they are added to.
const CHUNK_PANELS: usize = 32;
/// Tasks a thread, so that threads that are held up leave their tasks to others.
const TASKS_PER_THREAD: usize = 4;
/// Fewer panels a task would pack rows more often than they are worth.
const TASK_PANELS: usize = 16;
/// A product of fewer multiplications is not worth waking other threads for.
const ALONE: usize = 1 << 18;

thread_local! {
    /// A thread's packed rows; kept, so that products do not allocate.
    static PACKED_ROWS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// One product to compute.
pub(super) struct Product<'a> {
    weight: &'a PackedMatrix,
    /// `(rows, inputs)`.
    x: &'a [f32],
    rows: usize,
    /// A value an output, or one panel of zeros for all.
    bias: &'a [f32],
    out: Out,
    /// Columns of the matrix that `out` is a part of.
    width: usize,
}

/// The first of the outputs. Tasks write disjoint tiles from it.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: the pointer comes from a slice that is borrowed for as long as the product, and each
// output belongs to one task.
unsafe impl Sync for Out {}

impl<'a> Product<'a> {
    /// Takes what [`PackedMatrix::multiply_on`] takes, and checks that it fits together.
    pub(super) fn new(
        weight: &'a PackedMatrix,
        x: &'a [f32],
        bias: Option<&'a [f32]>,
        out: &'a mut [MaybeUninit<f32>],
        width: usize,
        offset: usize,
    ) -> Self {
        const ZEROS: &[f32] = &[0.0; PANEL];
        let rows = x.len().checked_div(weight.inputs).unwrap_or(out.len() / width.max(1));
        assert_eq!(x.len(), rows * weight.inputs, "the rows must be as wide as the weight");
        assert_eq!(out.len(), rows * width, "there must be a row of outputs for each row");
        assert!(offset + weight.outputs <= width, "the outputs must fit into their rows");
        assert!(bias.is_none_or(|bias| bias.len() == weight.outputs), "a bias for each output");
        let out = if rows == 0 { out } else { &mut out[offset..] };
        let out = Out(out.as_mut_ptr().cast());
        Self { weight, x, rows, bias: bias.unwrap_or(ZEROS), out, width }
    }

    /// Rows `rows` of `x`, from input `first` on to the end of the row.
    fn rows_from<const R: usize>(&self, row: usize, inputs: &Range<usize>) -> [&'a [f32]; R] {
        let width = self.weight.inputs;
        std::array::from_fn(|r| &self.x[(row + r) * width..][..width][inputs.clone()])
    }

    /// Where the tile at `row` and panel `panel` goes. Later blocks of inputs add to what is there.
    fn tile(&self, row: usize, panel: usize, first_block: bool) -> Tile {
        let column = panel * PANEL;
        let columns = PANEL.min(self.weight.outputs - column);
        // SAFETY: `new` has checked that the output has these rows and columns.
        let out = unsafe { self.out.0.add(row * self.width + column) };
        let bias = if self.bias.len() == self.weight.outputs { column } else { 0 };
        let (seed, seed_stride) = match first_block {
            true => (self.bias[bias..].as_ptr(), 0),
            false => (out.cast_const(), self.width),
        };
        Tile { seed, seed_stride, out, stride: self.width, columns }
    }
}

/// Computes a product with a kernel for the weight's form.
pub(super) fn multiply<K: Kernel>(kernel: &K, product: Product<'_>) {
    let panels = product.weight.outputs.div_ceil(PANEL);
    if product.rows == 0 || panels == 0 {
        return;
    }
    let row_blocks = product.rows.div_ceil(BLOCK_ROWS);
    let block_rows = product.rows.div_ceil(row_blocks).next_multiple_of(K::ROWS);
    let row_blocks = product.rows.div_ceil(block_rows);
    let work = product.rows * product.weight.inputs * product.weight.outputs;
    let parts = match work < ALONE {
        true => 1,
        false => (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(row_blocks),
    };
    let least = if product.rows <= K::ROWS { 1 } else { TASK_PANELS };
    let task_panels = panels.div_ceil(parts).max(least);
    let parts = panels.div_ceil(task_panels);
    let task = |index: usize| {
        let (block, part) = (index / parts, index % parts);
        let rows = block * block_rows..product.rows.min((block + 1) * block_rows);
        let panels = part * task_panels..panels.min((part + 1) * task_panels);
        multiply_block(kernel, &product, rows, panels);
    };
    match row_blocks * parts {
        1 => task(0),
        tasks => (0..tasks).into_par_iter().with_max_len(1).for_each(task),
    }
}

/// One task: a block of rows times some of the panels.
fn multiply_block<K: Kernel>(
    kernel: &K,
    product: &Product<'_>,
    rows: Range<usize>,
    panels: Range<usize>,
) {
    let steps = product.weight.inputs.div_ceil(K::STEP);
    // A single tile's rows are read once: then nothing is gained by blocks of inputs.
    let block = match rows.len() <= K::ROWS {
        true => steps.max(1),
        false => (BLOCK_LINES / K::LINES).min(BLOCK_WORDS / K::ROW_WORDS).max(1),
    };
    let row_words = rows.len() * K::ROW_WORDS;
    PACKED_ROWS.with_borrow_mut(|packed| {
        packed.resize(packed.len().max(row_words * steps), 0);
        let blocks = (0..steps.max(1)).step_by(block).map(|start| start..steps.min(start + block));
        for steps in blocks.clone() {
            let packed = &mut packed[row_words * steps.start..row_words * steps.end];
            pack_rows(kernel, product, &rows, &steps, packed);
        }
        for first in panels.clone().step_by(CHUNK_PANELS) {
            let chunk = first..panels.end.min(first + CHUNK_PANELS);
            for (steps_here, panel) in blocks
                .clone()
                .flat_map(|steps| chunk.clone().map(move |panel| (steps.clone(), panel)))
            {
                let packed = &packed[row_words * steps_here.start..row_words * steps_here.end];
                let lines = &product.weight.lines[panel * steps * K::LINES..][..steps * K::LINES];
                let lines = &lines[steps_here.start * K::LINES..steps_here.end * K::LINES];
                multiply_panel(kernel, packed, lines, rows.len(), |row| {
                    product.tile(rows.start + row, panel, steps_here.start == 0)
                });
            }
        }
    });
}

/// Calls `$call` with the constant `$r` equal to `$rows`, which is at most `$most` and 12.
macro_rules! with_rows {
    ($rows:expr, $most:expr, $r:ident => $call:expr) => {
        with_rows!(@ $rows, $most, $r, $call, 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    (@ $rows:expr, $most:expr, $r:ident, $call:expr, $($n:literal)*) => {
        match $rows {
            $($n if const { $n <= $most } => { const $r: usize = $n; $call })*
            _ => unreachable!("a tile has from 1 to 12 rows"),
        }
    };
}

/// Packs a block of rows, tile after tile.
fn pack_rows<K: Kernel>(
    kernel: &K,
    product: &Product<'_>,
    rows: &Range<usize>,
    steps: &Range<usize>,
    packed: &mut [u32],
) {
    let inputs = steps.start * K::STEP..product.weight.inputs.min(steps.end * K::STEP);
    let words = steps.len() * K::ROW_WORDS;
    for row in rows.clone().step_by(K::ROWS) {
        let count = K::ROWS.min(rows.end - row);
        let packed = &mut packed[(row - rows.start) * words..][..count * words];
        with_rows!(count, K::ROWS, R => kernel.pack::<R>(product.rows_from(row, &inputs), packed));
    }
}

/// Multiplies all packed rows with a block of a panel; `tile` says where row `row` goes.
fn multiply_panel<K: Kernel>(
    kernel: &K,
    packed: &[u32],
    lines: &[Line],
    rows: usize,
    tile: impl Fn(usize) -> Tile,
) {
    let words = lines.len() / K::LINES * K::ROW_WORDS;
    for row in (0..rows).step_by(K::ROWS) {
        let count = K::ROWS.min(rows - row);
        let packed = &packed[row * words..][..count * words];
        let tile = tile(row);
        with_rows!(count, K::ROWS, R => kernel.tile::<R>(packed, lines, &tile));
    }
}
