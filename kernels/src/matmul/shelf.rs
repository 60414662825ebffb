//! Memory for packed weights: one behind the other in large pages.
//!
//! A token that is decoded reads every weight once. Out of pages of 4 KiB it waits for the next
//! page's address with each one, and what the processor reads ahead ends with the page; weights of
//! a few megabytes are too small for large pages of their own.

use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::pack::Line;
use crate::pages::{BYTES, LargePage, ask_for_large_pages};

/// Lines of a shelf, 64 MiB; the last of them that hold nothing are never touched.
const SHELF: usize = if cfg!(any(test, miri)) { 1 << 8 } else { 1 << 20 };

/// Lines of one weight on a shelf, which lasts as long as one of its weights does.
#[derive(Clone)]
pub(super) struct Lines {
    shelf: Arc<Shelf>,
    start: usize,
    count: usize,
}

/// Memory that is filled from its start, each part once.
struct Shelf {
    first: *mut Line,
    /// Holds the memory; as a vector it stays empty.
    _pages: Vec<LargePage>,
}

// SAFETY: the memory is the shelf's own; parts are handed out once, and read only when they are
// written.
unsafe impl Send for Shelf {}
// SAFETY: as above.
unsafe impl Sync for Shelf {}

/// The shelf that is being filled, how many lines it has, and how many of them are taken.
struct Current {
    shelf: Weak<Shelf>,
    lines: usize,
    taken: usize,
}

static CURRENT: Mutex<Current> = Mutex::new(Current { shelf: Weak::new(), lines: 0, taken: 0 });

impl Lines {
    /// Makes `count` lines.
    ///
    /// # Safety
    /// `fill` must write all of them.
    pub(super) unsafe fn new(count: usize, fill: impl FnOnce(&mut [MaybeUninit<Line>])) -> Self {
        let (shelf, start) = take(count);
        // SAFETY: the shelf has these lines, and nobody else was or will be given them.
        let places =
            unsafe { std::slice::from_raw_parts_mut(shelf.first.add(start).cast(), count) };
        fill(places);
        Self { shelf, start, count }
    }
}

/// A place for `count` lines, on the shelf that is being filled or on a new one.
fn take(count: usize) -> (Arc<Shelf>, usize) {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    let start = current.taken;
    if let Some(shelf) = current.shelf.upgrade()
        && count <= current.lines - start
    {
        current.taken += count;
        return (shelf, start);
    }
    let lines = count.max(SHELF);
    let shelf = Arc::new(Shelf::new(lines));
    // A weight that fills a shelf by itself leaves the one before to the weights after it.
    if count < SHELF {
        *current = Current { shelf: Arc::downgrade(&shelf), lines, taken: count };
    }
    (shelf, 0)
}

impl Shelf {
    fn new(lines: usize) -> Self {
        let mut pages =
            Vec::<LargePage>::with_capacity((lines * size_of::<Line>()).div_ceil(BYTES));
        ask_for_large_pages(pages.spare_capacity_mut());
        Self { first: pages.as_mut_ptr().cast(), _pages: pages }
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        // SAFETY: these lines are on the shelf, were written when they were made, and do not
        // change.
        unsafe { std::slice::from_raw_parts(self.shelf.first.add(self.start), self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that all hold `value`.
    fn lines_of(count: usize, value: u32) -> Lines {
        let fill = |places: &mut [MaybeUninit<Line>]| {
            places.iter_mut().for_each(|place| {
                place.write(Line([value; 16]));
            });
        };
        // SAFETY: all are written.
        unsafe { Lines::new(count, fill) }
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn weights_keep_their_lines_whatever_comes_and_goes_beside_them() {
        let holds = |lines: &Lines, value: u32| lines.iter().all(|line| line.0 == [value; 16]);
        let counts = [1, 100, 0, SHELF, 200, 3 * SHELF, SHELF - 1, 7];
        let work = |thread: u32| {
            let mut kept = Vec::new();
            for (i, &count) in counts.iter().cycle().take(50).enumerate() {
                let value = thread * 1000 + i as u32;
                kept.push((lines_of(count, value), value));
                assert_eq!(kept.last().map(|(lines, _)| lines.len()), Some(count));
                if i % 3 == 0 {
                    kept.swap_remove(i / 3 % kept.len());
                }
                assert!(kept.iter().all(|(lines, value)| holds(lines, *value)));
            }
        };
        std::thread::scope(|scope| {
            (0..4).for_each(|thread| {
                scope.spawn(move || work(thread));
            });
        });
    }

    #[test]
    fn a_copy_outlives_what_it_was_copied_from() {
        let lines = lines_of(10, 5);
        let copy = lines.clone();
        drop(lines);
        drop(lines_of(SHELF, 6));
        assert!(copy.iter().all(|line| line.0 == [5; 16]));
    }
}
