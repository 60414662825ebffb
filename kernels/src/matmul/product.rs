//! What is multiplied, and where it goes.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::finish::Finish;
use super::pack::Line;
use super::{Form, Kernel, PANEL, PackedMatrix, Tile};

/// One product to compute.
pub(super) struct Product<'a> {
    /// Weights of one form and width, whose outputs stand side by side.
    parts: &'a [&'a PackedMatrix],
    /// `(rows, inputs)`.
    x: &'a [f32],
    rows: usize,
    /// A value an output, or one panel of zeros for all.
    bias: &'a [f32],
    out: Out,
    /// Columns of the matrix that `out` is a part of.
    width: usize,
    pub(super) finish: Finish<'a>,
}

/// The first of the outputs. Tasks write disjoint tiles from it.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: the pointer comes from a slice that is borrowed for as long as the product, and each
// output belongs to one task.
unsafe impl Sync for Out {}

/// Where a product's outputs go: columns `offset` and on of `places`, rows `width` apart.
pub(super) struct Places<'a> {
    pub(super) places: &'a mut [MaybeUninit<f32>],
    pub(super) width: usize,
    pub(super) offset: usize,
}

/// A panel of one of a product's weights.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    lines: &'a [Line],
    /// The first of its columns among those of all weights, and how many there are.
    column: usize,
    columns: usize,
}

impl<'a> Panel<'a> {
    /// The lines of some steps. A kernel that makes other lines of them may have steps longer than
    /// the weight's, of which the last is cut short.
    pub(super) fn part<K: Kernel>(&self, steps: &Range<usize>) -> &'a [Line] {
        &self.lines[steps.start * K::LINES..self.lines.len().min(steps.end * K::LINES)]
    }
}

impl<'a> Product<'a> {
    /// Takes the weights, the rows and a bias for the outputs of all weights, and checks that all
    /// fits together. There must be a weight.
    pub(super) fn new(
        parts: &'a [&'a PackedMatrix],
        x: &'a [f32],
        bias: Option<&'a [f32]>,
        out: Places<'a>,
        finish: Finish<'a>,
    ) -> Self {
        const ZEROS: &[f32] = &[0.0; PANEL];
        let Places { places, width, offset } = out;
        let inputs = parts[0].inputs;
        let outputs: usize = parts.iter().map(|part| part.outputs).sum();
        let rows = x.len().checked_div(inputs).unwrap_or(places.len() / width.max(1));
        let alike = |part: &&PackedMatrix| (part.form, part.inputs) == (parts[0].form, inputs);
        assert!(parts.iter().all(alike), "the weights must be of one form and width");
        assert_eq!(x.len(), rows * inputs, "the rows must be as wide as the weights");
        assert_eq!(places.len(), rows * width, "there must be a row of outputs for each row");
        let written = finish.columns(parts, outputs);
        assert!(offset + written <= width, "the outputs must fit into their rows");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "a bias for each output");
        let finish = finish.at_column(offset, places.len());
        let out = if rows == 0 { places } else { &mut places[offset..] };
        let out = Out(out.as_mut_ptr().cast());
        Self { parts, x, rows, bias: bias.unwrap_or(ZEROS), out, width, finish }
    }

    /// How the weights are kept.
    pub(super) fn form(&self) -> Form {
        self.parts[0].form
    }

    /// Rows that are multiplied.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// How wide the rows are.
    pub(super) fn inputs(&self) -> usize {
        self.parts[0].inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.parts.iter().map(|part| part.outputs).sum()
    }

    pub(super) fn panels(&self) -> usize {
        self.parts.iter().map(|part| part.panels()).sum()
    }

    /// Inputs `inputs` of `R` rows of `x` from `row` on.
    pub(super) fn rows_from<const R: usize>(
        &self,
        row: usize,
        inputs: &Range<usize>,
    ) -> [&'a [f32]; R] {
        let width = self.inputs();
        std::array::from_fn(|r| &self.x[(row + r) * width..][..width][inputs.clone()])
    }

    /// The panel that is the `index`th to be multiplied.
    pub(super) fn panel(&self, index: usize) -> Panel<'a> {
        let mut index = match self.finish.is_of_pairs() {
            true => index % 2 * (self.panels() / 2) + index / 2,
            false => index,
        };
        let (mut part, mut before) = (0, 0);
        while index >= self.parts[part].panels() {
            index -= self.parts[part].panels();
            before += self.parts[part].outputs;
            part += 1;
        }
        let weight = self.parts[part];
        let size = weight.lines.len() / weight.panels();
        let lines = &weight.lines[index * size..(index + 1) * size];
        let columns = PANEL.min(weight.outputs - index * PANEL);
        Panel { lines, column: before + index * PANEL, columns }
    }

    /// Where the tile at `row` of a panel goes: from the bias to `sums`, rows of [`PANEL`], to the
    /// output, as blocks of inputs are the `first` or the `last`; panels in pairs stay in the sums.
    pub(super) fn tile(
        &self,
        row: usize,
        panel: Panel<'_>,
        sums: *mut f32,
        [first, last]: [bool; 2],
    ) -> Tile {
        let bias = if self.bias.len() == self.outputs() { panel.column } else { 0 };
        let (seed, seed_stride) = match first {
            true => (self.bias[bias..].as_ptr(), 0),
            false => (sums.cast_const(), PANEL),
        };
        let (out, stride) = match last && !self.finish.is_of_pairs() {
            // SAFETY: `new` has checked that the output has these rows and columns.
            true => (unsafe { self.out.0.add(row * self.width + panel.column) }, self.width),
            false => (sums, PANEL),
        };
        Tile { seed, seed_stride, out, stride, columns: panel.columns }
    }

    /// Does what is to be done to the outputs of a panel, which are all there; its sums, and those
    /// of the panel before it, are at `sums`.
    pub(super) fn finish(&self, panel: Panel<'_>, rows: &Range<usize>, sums: *const f32) {
        let column = match self.finish.is_of_pairs() {
            true => panel.column - self.outputs() / 2,
            false => panel.column,
        };
        // SAFETY: `new` has checked that the output has these rows and columns; sums have a row of
        // a panel's columns for each row, two panels of them where panels are in pairs.
        unsafe {
            let out = self.out.0.add(rows.start * self.width + column);
            self.finish.apply(rows, (column, panel.columns), (out, self.width), sums);
        }
    }
}
