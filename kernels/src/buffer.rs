//! Working memory that each thread keeps from one call to the next.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// The most buffers that a thread keeps; nested work takes several.
const KEPT: usize = 12;

thread_local! {
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Values that a cache line holds.
const LINE: usize = 16;

/// Values of no particular content, from the start of a cache line on. Go back to their thread when
/// they are dropped.
pub(crate) struct Buffer {
    values: Vec<f32>,
    start: usize,
    length: usize,
}

impl Buffer {
    /// Takes a buffer of `length` values, a used one where there is one.
    pub(crate) fn take(length: usize) -> Self {
        let mut values = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        if values.len() < length + LINE {
            values.resize(length + LINE, 0.0); // and never shrunk, for it would be filled again
        }
        let start = values.as_ptr().align_offset(64).min(LINE);
        Self { values, start, length }
    }

    /// Takes a buffer of `length` zeros.
    pub(crate) fn zeros(length: usize) -> Self {
        let mut buffer = Self::take(length);
        buffer.fill(0.0);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT {
                spare.push(values);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..][..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..][..self.length]
    }
}

/// A place that threads write to, each its own part of it.
pub(crate) struct Shared<T>(*mut T, usize);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: `part` hands the duty to keep parts apart to its callers.
#[allow(unsafe_code, reason = "threads fill interleaved parts of one result")]
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "threads fill interleaved parts of one result")]
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Shares `values`, which must outlive every use.
    pub(crate) fn new(values: &mut [T]) -> Self {
        Self(values.as_mut_ptr(), values.len())
    }

    /// `length` values from `start` on.
    ///
    /// # Safety
    /// No two parts that overlap may be in use at the same time, and none after the values are gone.
    #[allow(unsafe_code, reason = "threads fill interleaved parts of one result")]
    pub(crate) unsafe fn part<'a>(self, start: usize, length: usize) -> &'a mut [T] {
        assert!(start <= self.1 && length <= self.1 - start, "a part lies outside the whole");
        // SAFETY: the part lies inside; the caller keeps parts apart and the values alive.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}
