//! Rows of tensors, taken one by one where they lie and filled in parallel.

#![allow(unsafe_code, reason = "results are not written twice")]

use crate::cpu::{Values, is_f32_on_cpu, values_of};
use crate::prefetch::{FIRST, ask_for};
use crate::team::each_part;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Result, Storage, Tensor};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::mem::MaybeUninit;
use std::ops::Deref;

/// Values that one task fills at least, so that small tensors stay on one thread.
const TASK: usize = 1 << 14;

/// The rows of a tensor: runs of its last dimension, in order.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    values: &'a [f32],
    /// From one row to the next within an inner group, and from one group to the next.
    strides: [usize; 2],
    /// Rows in an inner group.
    group: usize,
    width: usize,
}

impl<'a> Rows<'a> {
    /// Row number `row`.
    #[inline(always)]
    pub(crate) fn get(&self, row: usize) -> &'a [f32] {
        let start = row / self.group * self.strides[1] + row % self.group * self.strides[0];
        &self.values[start..start + self.width]
    }

    /// Asks for a short row that comes after row number `row`: short rows that do not lie one after
    /// the other are not read ahead by the processor.
    #[inline(always)]
    pub(crate) fn ask_after(&self, row: usize) {
        const AHEAD: usize = 6;
        const SHORT: usize = 256;
        if self.width <= SHORT && self.strides[0] != self.width {
            let row = row + AHEAD;
            let start = row / self.group * self.strides[1] + row % self.group * self.strides[0];
            for line in (0..self.width).step_by(16) {
                ask_for::<FIRST, _>(self.values.as_ptr().wrapping_add(start + line));
            }
        }
    }

    /// The number of `row` within its group.
    #[inline(always)]
    pub(crate) fn in_group(&self, row: usize) -> usize {
        row % self.group
    }
}

/// The tensor in a form that [`rows_of`] takes: f32 on the CPU, of two or three dimensions, values
/// of a row side by side. `None` where that is another type or device.
pub(crate) fn readable(x: &Tensor) -> Result<Option<Tensor>> {
    if !is_f32_on_cpu(x) {
        return Ok(None);
    }
    let x = if x.stride().last() == Some(&1) { x.clone() } else { x.contiguous()? };
    if (2..=3).contains(&x.rank()) {
        return Ok(Some(x));
    }
    let width = x.dims().last().copied().unwrap_or(1);
    Ok(Some(x.reshape((x.elem_count() / width.max(1), width))?))
}

/// Locks a [`readable`] tensor's values; [`rows_of`] gives them by rows.
pub(crate) fn lock(x: &Tensor) -> Values<'_, impl Deref<Target = Storage>> {
    values_of(x)
}

/// The rows of a [`readable`] tensor.
pub(crate) fn rows_of<'a>(
    x: &Tensor,
    values: &'a Values<'_, impl Deref<Target = Storage>>,
) -> Result<Rows<'a>> {
    let all = values.since_first()?;
    let rows = match (x.dims(), values.strides()) {
        ([rows, width], [stride, _]) => {
            Rows { values: all, strides: [*stride, 0], group: (*rows).max(1), width: *width }
        }
        ([_, rows, width], [outer, stride, _]) => {
            Rows { values: all, strides: [*stride, *outer], group: (*rows).max(1), width: *width }
        }
        (dims, _) => candle_core::bail!("expected two or three dimensions, found {dims:?}"),
    };
    Ok(rows)
}

/// A new tensor of `shape`, whose rows `fill(number, row)` fills in parallel, several at a time.
pub(crate) fn filled(shape: &[usize], fill: impl Fn(usize, &mut [f32]) + Sync) -> Result<Tensor> {
    let width = shape.last().copied().unwrap_or(1).max(1);
    let count = shape.iter().product();
    let mut values = Vec::with_capacity(count);
    let rows = (TASK / width).max(1);
    let places = &mut values.spare_capacity_mut()[..count];
    each_part(places, rows * width, |task, places| {
        for (i, row) in places.chunks_exact_mut(width).enumerate() {
            // Zeroed here and not all at once, so that it is still in the cache when it is filled.
            fill(task * rows + i, zeroed(row));
        }
    });
    // SAFETY: the capacity is there, and `zeroed` has written every place.
    unsafe { values.set_len(count) };
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Writes zeros to every place, which makes the slice an ordinary one.
fn zeroed(places: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    for place in places.iter_mut() {
        place.write(0.0);
    }
    // SAFETY: every place has been written just now, and `MaybeUninit<f32>` is laid out as `f32`.
    unsafe { &mut *(std::ptr::from_mut(places) as *mut [f32]) }
}

/// Copies rows `(heads, rows, width)` into `to` `(heads, capacity, width)`, from row `at` of each
/// head on. Where `to` is of f16 and the rows of f32, they are rounded, numbers beyond what f16
/// reaches to its largest; what is no number stays none.
///
/// # Errors
/// When the rows don't fit, or their type or device is another.
pub fn copy_rows(rows: &Tensor, to: &Tensor, at: usize) -> Result<()> {
    let whole_rows = rows.rank() == 3 && rows.stride().last() == Some(&1);
    let kept_so = matches!(to.dtype(), DType::F32 | DType::F16) && to.device().is_cpu();
    if !(is_f32_on_cpu(rows) && kept_so && whole_rows && to.is_contiguous()) {
        return to.slice_set(&rows.contiguous()?, 1, at);
    }
    let ((heads, count, width), (to_heads, capacity, to_width)) = (rows.dims3()?, to.dims3()?);
    if (heads, width) != (to_heads, to_width) || at.saturating_add(count) > capacity {
        candle_core::bail!("rows {:?} don't fit into {:?} from {at} on", rows.dims(), to.dims());
    }
    if rows.elem_count() == 0 {
        // candle takes a tensor without elements for one that repeats them, and refuses it.
        return Ok(());
    }
    to.inplace_op2(rows, &CopyRows { at })
}

struct CopyRows {
    at: usize,
}

impl InplaceOp2 for CopyRows {
    fn name(&self) -> &'static str {
        "copy-rows"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        to_layout: &Layout,
        from: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        match (to, from) {
            (CpuStorage::F32(to), CpuStorage::F32(from)) => {
                self.copy((to, to_layout), (from, layout), |to, row| to.copy_from_slice(row))
            }
            (CpuStorage::F16(to), CpuStorage::F32(from)) => {
                self.copy((to, to_layout), (from, layout), round_to_halves)
            }
            _ => candle_core::bail!("expected rows of f32"),
        }
    }
}

impl CopyRows {
    fn copy<T: Send>(
        &self,
        (to, to_layout): (&mut [T], &Layout),
        (from, layout): (&[f32], &Layout),
        write: impl Fn(&mut [T], &[f32]) + Sync,
    ) -> Result<()> {
        let ((heads, count, width), (_, capacity, _)) =
            (layout.shape().dims3()?, to_layout.shape().dims3()?);
        let from = from.get(layout.start_offset()..).unwrap_or_default();
        let copy = |head: usize, to: &mut [T]| {
            let rows = to[self.at * width..][..count * width].chunks_exact_mut(width.max(1));
            for (row, to) in rows.enumerate() {
                let start = head * layout.stride()[0] + row * layout.stride()[1];
                write(to, &from[start..start + width]);
            }
        };
        let head_size = capacity * width;
        let to = &mut to[to_layout.start_offset()..][..heads * head_size];
        if heads * count * width > TASK {
            each_part(to, head_size, copy);
        } else {
            to.chunks_exact_mut(head_size).enumerate().for_each(|(head, to)| copy(head, to));
        }
        Ok(())
    }
}

/// Rounds a row to f16, as [`copy_rows`] says.
fn round_to_halves(to: &mut [f16], row: &[f32]) {
    const CHUNK: usize = 64;
    let largest = f16::MAX.to_f32();
    for (to, values) in to.chunks_mut(CHUNK).zip(row.chunks(CHUNK)) {
        let mut kept = [0.0; CHUNK];
        for (kept, value) in kept.iter_mut().zip(values) {
            let finite = value.is_finite();
            *kept = if finite { value.clamp(-largest, largest) } else { f32::NAN };
        }
        to.convert_from_f32_slice(&kept[..values.len()]);
    }
}
