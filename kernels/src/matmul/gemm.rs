//! Cutting a product into tasks for the threads and blocks for the caches.
//!
//! The order of the loops is that of Goto & van de Geijn 2008, "Anatomy of High-Performance
//! Matrix Multiplication": a block of packed rows stays in the second-level cache while panels of
//! weights, a block of their inputs at a time in the first-level cache, go past it.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use super::pack::{Line, words_of};
use super::product::Product;
use super::{Kernel, PANEL, Tile};
use crate::prefetch::{FIRST, SECOND, ask_for};
use crate::team::{each, each_part};

/// Lines of a panel in a block of inputs: 33 KiB, so that it stays in a first-level cache of 48.
const BLOCK_LINES: usize = 528;
/// Words of a packed row in a block of inputs.
const BLOCK_WORDS: usize = 320;
/// Inputs of a long block, for kernels that read a panel's block from the second-level cache fast enough:
/// sums are then written and read again less often.
pub(super) const LONG_BLOCK: usize = 4096;
/// Words of packed rows in a block: 832 KiB, so that it stays in a second-level cache of 1 MiB.
const ROW_BLOCK_WORDS: usize = 208 << 10;
/// Rows in a block.
const BLOCK_ROWS: usize = 512;
/// Panels whose sums get all blocks of inputs before the next ones do: with `BLOCK_ROWS` 512 KiB of
/// sums, which stay in a second-level cache while they are added to.
const CHUNK_PANELS: usize = 8;
/// Words of rows that are packed at a time: 64 MiB, so that a large picture's rows do not double.
/// Fewer in tests, so that small products take several passes too.
const PASS_WORDS: usize = if cfg!(test) { 1 << 16 } else { 16 << 20 };
/// Tasks a thread, so that threads that are held up leave their tasks to others.
const TASKS_PER_THREAD: usize = 8;
/// Fewer panels a task would read rows from farther away more often than they are worth.
const TASK_PANELS: usize = 8;
/// A product of fewer multiplications is not worth waking other threads for.
const ALONE: usize = 1 << 18;

/// What a thread needs beside rows, weights and outputs; kept, so that products do not allocate.
struct Buffers {
    /// A block of a panel, in another form than the weight's.
    wide: Vec<Line>,
    /// Sums until all inputs are in them. In the output itself a tile's rows may all lie a power of
    /// two apart, and push one another out of the cache.
    sums: Vec<Line>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> =
        const { RefCell::new(Buffers { wide: Vec::new(), sums: Vec::new() }) };
    /// The packed rows of the last product that this thread began. Taken out while one goes on, for
    /// a thread that waits for its tasks may begin another.
    static PACKED_ROWS: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Steps in a block of inputs, for kernels that want a panel's block in the first-level cache: at
/// least one.
pub(super) const fn block_steps(lines: usize, row_words: usize) -> usize {
    match (BLOCK_LINES / lines, BLOCK_WORDS / row_words) {
        (0, _) | (_, 0) => 1,
        (by_lines, by_words) if by_lines < by_words => by_lines,
        (_, by_words) => by_words,
    }
}

/// Computes a product with a kernel for the weight's form.
pub(super) fn multiply<K: Kernel>(kernel: &K, product: Product<'_>) {
    let panels = product.panels();
    if product.rows() == 0 || panels == 0 {
        return;
    }
    let plan = Plan::of::<K>(&product);
    let block_rows = plan.block_rows;
    let block_words = block_rows * K::ROW_WORDS * plan.steps;
    let together = (PASS_WORDS / block_words.max(1)).max(1);
    let row_blocks = product.rows().div_ceil(block_rows);
    let mut buffer = PACKED_ROWS.take();
    for first in (0..row_blocks).step_by(together) {
        let blocks = first..row_blocks.min(first + together);
        multiply_pass(kernel, &product, &plan, blocks, panels, &mut buffer);
    }
    PACKED_ROWS.set(buffer);
}

/// Packs some blocks of rows, and multiplies them with all panels.
fn multiply_pass<K: Kernel>(
    kernel: &K,
    product: &Product<'_>,
    plan: &Plan,
    blocks: Range<usize>,
    panels: usize,
    buffer: &mut Vec<Line>,
) {
    let rows = plan.rows(blocks.start).start..plan.rows(blocks.end - 1).end;
    let row_words = K::ROW_WORDS * plan.steps;
    let alone = rows.len() * product.inputs() * product.outputs() < ALONE;
    let one_tile = product.rows() <= K::ROWS;
    grow(buffer, (rows.len() * row_words).div_ceil(16));
    let packed = &mut words_of(buffer)[..rows.len() * row_words];
    pack_all(kernel, product, plan, blocks.start, packed, alone || one_tile);
    let parts = match alone {
        true => 1,
        false => (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(blocks.len()),
    };
    let task_panels = panels.div_ceil(parts).max(if one_tile { 1 } else { TASK_PANELS });
    let task_panels = task_panels.next_multiple_of(product.finish.together());
    let parts = panels.div_ceil(task_panels);
    let task = |index: usize| {
        let (block, part) = (blocks.start + index / parts, index % parts);
        let here = plan.rows(block);
        let packed =
            &packed[(here.start - rows.start) * row_words..(here.end - rows.start) * row_words];
        let panels = part * task_panels..panels.min((part + 1) * task_panels);
        multiply_block(kernel, product, plan, here, packed, panels);
    };
    match blocks.len() * parts {
        1 => task(0),
        tasks => each(tasks, task),
    }
}

/// How a product is cut into blocks.
struct Plan {
    all_rows: usize,
    /// Rows of a block.
    block_rows: usize,
    /// Steps of all inputs.
    steps: usize,
    /// Steps of a block.
    block_steps: usize,
}

impl Plan {
    fn of<K: Kernel>(product: &Product<'_>) -> Self {
        let steps = product.inputs().div_ceil(K::STEP);
        // However many rows there are: where sums begin anew decides how they round, and a row's
        // outputs must not depend on the rows beside it.
        let blocks = steps.div_ceil(K::BLOCK_STEPS).max(1);
        let block_steps = steps.div_ceil(blocks).max(1); // without inputs, of none
        let most = (ROW_BLOCK_WORDS / (block_steps * K::ROW_WORDS)).min(BLOCK_ROWS);
        let row_blocks = product.rows().div_ceil(most);
        let block_rows = product.rows().div_ceil(row_blocks).next_multiple_of(K::ROWS);
        Self { all_rows: product.rows(), block_rows, steps, block_steps }
    }

    /// The rows of a block.
    fn rows(&self, block: usize) -> Range<usize> {
        block * self.block_rows..self.all_rows.min((block + 1) * self.block_rows)
    }

    /// The steps of each block; without inputs there is one without steps.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + Clone + use<> {
        let (steps, block) = (self.steps, self.block_steps);
        (0..steps.max(1)).step_by(block).map(move |start| start..steps.min(start + block))
    }
}

/// Packs the rows from block `first` on: block of rows after block, in each block of inputs after
/// block.
fn pack_all<K: Kernel>(
    kernel: &K,
    product: &Product<'_>,
    plan: &Plan,
    first: usize,
    packed: &mut [u32],
    alone: bool,
) {
    if packed.is_empty() {
        return;
    }
    let size = plan.block_rows * K::ROW_WORDS * plan.steps;
    each_chunk(packed, size, alone, |block, packed| {
        let rows = plan.rows(first + block);
        let size = rows.len() * K::ROW_WORDS * plan.block_steps;
        each_chunk(packed, size, alone, |part, packed| {
            let start = part * plan.block_steps;
            let steps = start..plan.steps.min(start + plan.block_steps);
            pack_rows(kernel, product, &rows, &steps, packed);
        });
    });
}

/// Does `work` with each chunk of `size` words, on this thread `alone` or on all.
fn each_chunk(
    words: &mut [u32],
    size: usize,
    alone: bool,
    work: impl Fn(usize, &mut [u32]) + Sync + Send,
) {
    match alone {
        true => words.chunks_mut(size).enumerate().for_each(|(i, words)| work(i, words)),
        false => each_part(words, size, work),
    }
}

/// One task: a block of rows times some of the panels.
fn multiply_block<K: Kernel>(
    kernel: &K,
    product: &Product<'_>,
    plan: &Plan,
    rows: Range<usize>,
    packed: &[u32],
    panels: Range<usize>,
) {
    let (row_words, panel_sums) = (rows.len() * K::ROW_WORDS, rows.len() * PANEL);
    let one_block = plan.block_steps >= plan.steps;
    // A single tile's rows are read once: so are the weights then, from end to end.
    let chunk_panels = match one_block || rows.len() <= K::ROWS {
        true => product.finish.together(),
        false => CHUNK_PANELS,
    };
    BUFFERS.with_borrow_mut(|Buffers { wide, sums }| {
        let kept = !one_block || product.finish.is_of_pairs();
        grow(sums, if kept { chunk_panels * panel_sums / 16 } else { 0 });
        let sums = words_of(sums).as_mut_ptr().cast::<f32>();
        for first in panels.clone().step_by(chunk_panels) {
            let chunk = first..panels.end.min(first + chunk_panels);
            let mut order = plan
                .blocks()
                .flat_map(|here| chunk.clone().map(move |index| (here.clone(), index)))
                .peekable();
            while let Some((here, index)) = order.next() {
                let panel = product.panel(index);
                let next = order.peek().map(|(here, index)| product.panel(*index).part::<K>(here));
                let ends = [here.start == 0, here.end == plan.steps];
                let packed = &packed[row_words * here.start..row_words * here.end];
                let lines = kernel.widen(panel.part::<K>(&here), wide);
                let sums = sums.wrapping_add((index - first) * panel_sums);
                multiply_panel(
                    kernel,
                    packed,
                    lines,
                    next.unwrap_or_default(),
                    rows.clone(),
                    |row| {
                        let sums = sums.wrapping_add((row - rows.start) * PANEL);
                        product.tile(row, panel, sums, ends)
                    },
                );
                if ends[1] && product.finish.comes_after(index) {
                    let sums = sums.wrapping_sub((product.finish.together() - 1) * panel_sums);
                    product.finish(panel, &rows, sums);
                }
            }
        }
    });
    kernel.finish();
}

/// Makes a buffer at least so long.
pub(super) fn grow(buffer: &mut Vec<Line>, lines: usize) {
    buffer.resize(buffer.len().max(lines), Line([0; 16]));
}

/// Calls `$call` with the constant `$r` equal to `$rows`, which is at most `$most` and 32.
macro_rules! with_rows {
    ($rows:expr, $most:expr, $r:ident => $call:expr) => {
        with_rows!(@ $rows, $most, $r, $call, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
            17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
    };
    (@ $rows:expr, $most:expr, $r:ident, $call:expr, $($n:literal)*) => {
        match $rows {
            $($n if const { $n <= $most } => { const $r: usize = $n; $call })*
            _ => unreachable!("a tile has from 1 to 32 rows"),
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
    let inputs = steps.start * K::STEP..product.inputs().min(steps.end * K::STEP);
    let words = steps.len() * K::ROW_WORDS;
    for row in rows.clone().step_by(K::ROWS) {
        let count = K::ROWS.min(rows.end - row);
        let packed = &mut packed[(row - rows.start) * words..][..count * words];
        with_rows!(count, K::ROWS, R => kernel.pack::<R>(product.rows_from(row, &inputs), packed));
    }
}

/// Multiplies packed rows with a block of a panel, whose `next` one is asked for meanwhile; `tile`
/// says where row `row` goes.
fn multiply_panel<K: Kernel>(
    kernel: &K,
    packed: &[u32],
    lines: &[Line],
    next: &[Line],
    rows: Range<usize>,
    tile: impl Fn(usize) -> Tile,
) {
    let words = packed.len() / rows.len().max(1);
    let tiles = rows.len().div_ceil(K::ROWS);
    for (index, row) in rows.clone().step_by(K::ROWS).enumerate() {
        if tiles > 1 {
            prefetch(&next[next.len() * index / tiles..next.len() * (index + 1) / tiles]);
        }
        let count = K::ROWS.min(rows.end - row);
        let packed = &packed[(row - rows.start) * words..][..count * words];
        let tile = tile(row);
        ask_for_places(&tile, count);
        with_rows!(count, K::ROWS, R => kernel.tile::<R>(packed, lines, &tile));
    }
}

/// Asks for the places of a tile's rows, which are written when all of it is multiplied: written to
/// while they are still in memory, they would fill the queue of writes.
fn ask_for_places(tile: &Tile, rows: usize) {
    const HALF: usize = PANEL / 2;
    for place in (0..rows).map(|row| tile.out.wrapping_add(row * tile.stride)) {
        ask_for::<FIRST, _>(place);
        ask_for::<FIRST, _>(place.wrapping_add(HALF));
    }
}

/// Asks for lines to be brought to the second-level cache.
fn prefetch(lines: &[Line]) {
    for line in lines {
        ask_for::<SECOND, _>(line);
    }
}
