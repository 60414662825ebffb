//! What is done to a product's outputs while they are in the cache.

use std::marker::PhantomData;
use std::ops::Range;

use super::{PANEL, PackedMatrix};
use crate::elementwise::{Add, Apply, Formula, Gelu, SiluTimes};
use crate::simd::{Lanes, Task, run};

/// What becomes of the sums of a product and its bias.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Finish<'a> {
    /// They are the outputs.
    None,
    /// These are added, `(rows, width)` as the outputs lie: a residual branch's input.
    Add(&'a [f32]),
    /// [`crate::gelu`] of them.
    Gelu,
    /// [`crate::silu_times`] of the first half of the outputs, the gate, and of the second. Each
    /// panel of the gate is multiplied right before the one that it meets.
    SiluTimes,
}

impl<'a> Finish<'a> {
    /// Whether the weights' panels can be taken in pairs, as [`Finish::SiluTimes`] wants them.
    pub(crate) fn has_pairs(parts: &[&PackedMatrix]) -> bool {
        match parts {
            [both] => both.outputs.is_multiple_of(2 * PANEL),
            [gate, up] => gate.form == up.form && gate.outputs == up.outputs,
            _ => false,
        }
    }

    /// Columns that are written, of so many outputs of `parts`.
    ///
    /// # Panics
    /// Where there are no pairs for [`Finish::SiluTimes`].
    pub(crate) fn columns(&self, parts: &[&PackedMatrix], outputs: usize) -> usize {
        if !self.is_of_pairs() {
            return outputs;
        }
        assert!(Self::has_pairs(parts), "the weights' panels must come in pairs");
        outputs / 2
    }

    /// The same for outputs that begin at column `offset` of rows with `count` places in all.
    ///
    /// # Panics
    /// Where there are not as many values to add.
    pub(super) fn at_column(self, offset: usize, count: usize) -> Self {
        match self {
            Self::Add(values) => {
                assert_eq!(values.len(), count, "there must be a value to add for each output");
                Self::Add(values.get(offset..).unwrap_or_default())
            }
            other => other,
        }
    }

    /// Whether panels are taken in pairs, and their sums kept until both are there.
    pub(super) fn is_of_pairs(&self) -> bool {
        matches!(self, Self::SiluTimes)
    }

    /// Panels that one thread multiplies one after the other.
    pub(super) fn together(&self) -> usize {
        if self.is_of_pairs() { 2 } else { 1 }
    }

    /// Whether there is something to do once panel `index` has its sums.
    pub(super) fn comes_after(&self, index: usize) -> bool {
        match self {
            Self::None => false,
            Self::Add(_) | Self::Gelu => true,
            Self::SiluTimes => index % 2 == 1,
        }
    }

    /// Does it to rows `rows` of a panel that begins at column `column` and has `columns` of them,
    /// at `out`, rows `width` apart.
    ///
    /// # Safety
    /// The rows at `out` must be written, and be nobody else's; for pairs, `sums` must have
    /// [`PANEL`] values for each row of the gate, then of the other half.
    pub(super) unsafe fn apply(
        &self,
        rows: &Range<usize>,
        (column, columns): (usize, usize),
        (out, width): (*mut f32, usize),
        sums: *const f32,
    ) {
        let count = rows.len();
        let place = Place { rows: count, columns, out, width };
        match self {
            Self::None => {}
            Self::Add(values) => {
                let first = rows.start * width + column;
                run(place.with::<Add>((out, width), (values[first..].as_ptr(), width)));
            }
            Self::Gelu => run(place.with::<Gelu>((out, width), (out, width))),
            Self::SiluTimes => {
                let up = sums.wrapping_add(count * PANEL);
                run(place.with::<SiluTimes>((sums, PANEL), (up, PANEL)));
            }
        }
    }
}

/// Outputs of one panel.
struct Place {
    rows: usize,
    columns: usize,
    out: *mut f32,
    width: usize,
}

/// Values, and how far apart their rows are.
type Values = (*const f32, usize);

impl Place {
    /// A formula of `a` and `b`; both may be the outputs themselves.
    fn with<F>(self, (a, a_stride): (*const f32, usize), b: Values) -> OfPanel<F> {
        OfPanel { place: self, a: (a, a_stride), b, formula: PhantomData }
    }
}

/// A formula over the outputs of one panel.
struct OfPanel<F> {
    place: Place,
    a: Values,
    b: Values,
    formula: PhantomData<F>,
}

impl<F: Formula> Task for OfPanel<F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Place { rows, columns, out, width } = self.place;
        for row in 0..rows {
            // SAFETY: the caller of `apply` promises rows of `columns` values, at most a panel's,
            // which a whole number of registers holds.
            unsafe {
                let (a, b) = (self.a.0.add(row * self.a.1), self.b.0.add(row * self.b.1));
                let to = out.add(row * width);
                if columns < PANEL {
                    part_of_panel::<F, L>(a, b, to, columns);
                    continue;
                }
                for i in (0..PANEL).step_by(L::COUNT) {
                    F::of(L::load(a.add(i)), L::load(b.add(i))).store(to.add(i));
                }
            }
        }
    }
}

/// Fewer values than registers hold.
///
/// # Safety
/// There must be `columns` values at each place, at most [`PANEL`].
#[inline(always)]
unsafe fn part_of_panel<F: Formula, L: Lanes>(
    from_a: *const f32,
    from_b: *const f32,
    to: *mut f32,
    columns: usize,
) {
    let (mut a, mut b) = ([0.0; PANEL], [0.0; PANEL]);
    // SAFETY: the caller's promise. Both are copied first, for they may be where the outputs are.
    unsafe {
        from_a.copy_to_nonoverlapping(a.as_mut_ptr(), columns);
        from_b.copy_to_nonoverlapping(b.as_mut_ptr(), columns);
        let to = std::slice::from_raw_parts_mut(to, columns);
        let (a, b) = (&a[..columns], &b[..columns]);
        Apply::<F> { a, b, to, formula: PhantomData }.run::<L>();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::mem::MaybeUninit;

    use super::super::tests::{kernels, random_blocks, spread, written};
    use super::super::{Form, PackedMatrix, Places, Product, Values, multiply_on};
    use super::*;
    use crate::{gelu, silu_times};
    use candle_core::{Device, Tensor};

    fn weight(form: Form, outputs: usize, inputs: usize, seed: u64) -> PackedMatrix {
        match form {
            Form::F32 | Form::Bf16 | Form::Int8 => {
                let values = spread(outputs * inputs, seed);
                PackedMatrix::new(Values::F32(&values), outputs, inputs, form)
            }
            _ => random_blocks(form, outputs, inputs, seed),
        }
    }

    fn tensor(values: Vec<f32>, rows: usize, width: usize) -> Tensor {
        Tensor::from_vec(values, (rows, width), &Device::Cpu).unwrap()
    }

    /// Holds outputs that are finished in the cache against those that are finished afterwards, to
    /// the bit, on every instruction set; `offset` columns before them stay as they are.
    fn check(form: Form, rows: usize, widths: [usize; 2], inputs: usize, offset: usize) {
        let outputs: usize = widths.iter().sum();
        let weights = [weight(form, widths[0], inputs, 1), weight(form, widths[1], inputs, 2)];
        let (parts, one) = (weights.each_ref(), weight(form, 64, inputs, 3));
        let bias = spread(outputs.max(64), 4);
        let width = offset + outputs.max(64);
        let (x, residual) = (spread(rows * inputs, 5), spread(rows * width, 6));
        for isa in kernels() {
            let product = |parts: &[&PackedMatrix], finish: Finish<'_>| {
                let outputs: usize = parts.iter().map(|part| part.outputs).sum();
                let mut out = vec![MaybeUninit::new(f32::NAN); rows * width];
                let places = Places { places: &mut out, width, offset };
                let product = Product::new(parts, &x, Some(&bias[..outputs]), places, finish);
                multiply_on(isa, product);
                let out = tensor(written(out), rows, width);
                let untouched = out.narrow(1, 0, offset).unwrap().flatten_all().unwrap();
                assert!(untouched.to_vec1::<f32>().unwrap().iter().all(|value| value.is_nan()));
                out.narrow(1, offset, finish.columns(parts, outputs)).unwrap()
            };
            let same = |found: Tensor, wanted: Tensor| {
                let bits = |x: Tensor| -> Vec<u32> {
                    let values: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
                    values.into_iter().map(f32::to_bits).collect()
                };
                assert!(bits(found) == bits(wanted), "{isa:?} {form:?} {rows} {widths:?} {inputs}");
            };
            let plain = product(&parts, Finish::None);
            let added = tensor(residual.clone(), rows, width).narrow(1, offset, outputs).unwrap();
            same(product(&parts, Finish::Add(&residual)), crate::add(&plain, &added).unwrap());
            same(product(&parts, Finish::Gelu), gelu(&plain).unwrap());
            let mut gated = vec![vec![&one]];
            gated.extend((widths[0] == widths[1]).then(|| parts.to_vec()));
            for parts in gated {
                let halves = product(&parts, Finish::None).chunk(2, 1).unwrap();
                let wanted = silu_times(&halves[0], &halves[1]).unwrap();
                same(product(&parts, Finish::SiluTimes), wanted);
            }
        }
    }

    const FORMS: [Form; 5] = [Form::F32, Form::Bf16, Form::Int8, Form::Q8_0, Form::Q4K];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 40 }))]

        #[test]
        fn finished_in_the_cache_or_afterwards_is_the_same(
            form in prop::sample::select(&FORMS[..]), rows in 1usize..40, width in 1usize..70,
            other in 1usize..70, blocks in 1usize..3, offset in 0usize..3,
        ) {
            check(form, rows, [width, other], 256 * blocks, offset);
            check(form, rows, [width, width], 256 * blocks, offset);
        }
    }

    /// So many rows, inputs and panels that each is taken in several blocks.
    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn it_is_the_same_over_several_blocks() {
        check(Form::F32, 530, [300, 300], 768, 0);
        check(Form::Int8, 70, [545, 33], 4608, 1);
        check(Form::Q4K, 70, [290, 290], 2560, 1);
    }

    #[test]
    fn halves_that_are_no_whole_panels_are_no_pairs() {
        let of = |outputs| weight(Form::F32, outputs, 2, 1);
        assert!(Finish::has_pairs(&[&of(128)]) && Finish::has_pairs(&[&of(5), &of(5)]));
        assert!(!Finish::has_pairs(&[&of(96)]) && !Finish::has_pairs(&[&of(64), &of(32)]));
        assert!(!Finish::has_pairs(&[&of(64), &weight(Form::Bf16, 64, 2, 1)]));
        assert!(!Finish::has_pairs(&[]));
    }
}
