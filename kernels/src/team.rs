//! Work that threads do together, where waking them would take longer than the work.
//!
//! Decoding makes a dozen products and passes a layer, tens of microseconds each, and between them
//! a pool's threads fall asleep. So some of the pool's threads stay for a while after each piece of
//! work and look for the next one. The thread that has the work does its share itself. Several
//! may bring work at the same time, within other work too; whoever is free takes part in any.

#![allow(unsafe_code, reason = "threads share what lies on one thread's stack")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long there may be no work before a member's thread goes back to the pool: longer than it
/// takes to choose a token.
const PATIENCE: Duration = Duration::from_micros(300);
/// How long a thread is a member at most, so that what else wants the pool gets its turn.
const STAY: Duration = Duration::from_millis(20);
/// Looks between two looks at the clock.
const LOOKS: usize = 64;
/// Looks of a thread that waits for the others' last tasks, before it lets other programs run.
const WAITS: usize = 1 << 10;
/// Pieces of work that can be open at once.
const PLACES: usize = 8;

static OPEN: [Place; PLACES] = [const { Place::new() }; PLACES];
/// Threads that are looking for work, or are about to.
static MEMBERS: AtomicUsize = AtomicUsize::new(0);

/// Tasks `0..count`, taken one by one by whoever is free.
struct Work<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    count: usize,
    next: AtomicUsize,
    /// What the first task that panicked said.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Where members find work.
#[repr(align(64))]
struct Place {
    /// Whether it is somebody's, from before there is work to after nobody reads it any more: a
    /// reader that brings work of its own must not wait for itself.
    taken: AtomicBool,
    work: AtomicPtr<Work<'static>>,
    /// Members that may be reading what `work` points to.
    readers: AtomicUsize,
}

/// Calls `task` with each number below `count`, in any order, on this thread and others.
///
/// # Panics
/// When a task does, after the tasks that had been begun.
pub(crate) fn each(count: usize, task: impl Fn(usize) + Sync) {
    let others = rayon::current_num_threads().min(count).saturating_sub(1);
    let work = Work { task: &task, count, next: AtomicUsize::new(0), panic: Mutex::new(None) };
    match (others > 0).then(|| OPEN.iter().find(|place| place.open(&work))).flatten() {
        None => (0..count).for_each(task),
        Some(place) => {
            call(others);
            work.take_part(usize::MAX);
            place.close();
            let panic = work.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(panic) = panic {
                resume_unwind(panic);
            }
        }
    }
}

/// Calls `task` with each run of `size` values and its number; the last may be shorter.
pub(crate) fn each_part<T: Send>(
    values: &mut [T],
    size: usize,
    task: impl Fn(usize, &mut [T]) + Sync,
) {
    struct Start<T>(*mut T);
    // SAFETY: the tasks' parts do not overlap, and values that are `Send` may go to other threads.
    unsafe impl<T: Send> Sync for Start<T> {}
    let (start, length) = (Start(values.as_mut_ptr()), values.len());
    let start = &start;
    each(length.div_ceil(size), |part| {
        let first = part * size;
        // SAFETY: the part lies within the values, which are borrowed until all tasks are done, and
        // no other task has the same number.
        let part_values =
            unsafe { std::slice::from_raw_parts_mut(start.0.add(first), size.min(length - first)) };
        task(part, part_values);
    });
}

impl Work<'_> {
    /// Does tasks until none is left that nobody has begun, or `most` are done; says whether there
    /// was one.
    fn take_part(&self, most: usize) -> bool {
        for done in 0..most {
            if self.next.load(Ordering::Relaxed) >= self.count {
                return done > 0;
            }
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count {
                return done > 0;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.task)(index))) {
                self.next.store(self.count, Ordering::Relaxed);
                let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                match *first {
                    None => *first = Some(panic),
                    // Not dropped: what it holds could panic again.
                    Some(_) => std::mem::forget(panic),
                }
            }
        }
        most > 0
    }
}

impl Place {
    const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            work: AtomicPtr::new(ptr::null_mut()),
            readers: AtomicUsize::new(0),
        }
    }

    /// Puts work here, unless the place is taken. It must be closed before the work is gone.
    fn open(&self, work: &Work<'_>) -> bool {
        if self.taken.swap(true, Ordering::SeqCst) {
            return false;
        }
        self.work.store(ptr::from_ref(work).cast_mut().cast(), Ordering::SeqCst);
        true
    }

    /// Takes the work away, and waits until nobody has anything of it any more; does tasks of other
    /// work meanwhile, which may be what those who are waited for have brought.
    fn close(&self) {
        self.work.store(ptr::null_mut(), Ordering::SeqCst);
        let mut waits = 0;
        while self.readers.load(Ordering::SeqCst) > 0 {
            waits = if look_around(1) { 0 } else { waits + 1 };
            match waits < WAITS {
                true => std::hint::spin_loop(),
                false => std::thread::yield_now(),
            }
        }
        self.taken.store(false, Ordering::SeqCst);
    }

    /// Does at most so many tasks of the work here; says whether there was one.
    fn look(&self, most: usize) -> bool {
        if self.work.load(Ordering::Relaxed).is_null() {
            return false;
        }
        self.readers.fetch_add(1, Ordering::SeqCst);
        // SAFETY: `close` takes the pointer away, then waits for `readers`, both in one order that
        // all threads agree on: a pointer that is here after this thread was counted is that of
        // work whose owner waits until it is no longer counted.
        let work = unsafe { self.work.load(Ordering::SeqCst).as_ref() };
        let any = work.is_some_and(|work| work.take_part(most));
        self.readers.fetch_sub(1, Ordering::SeqCst);
        any
    }
}

/// Sees to it that so many members look for work, or will as soon as the pool has threads for them.
fn call(others: usize) {
    let one_more = |members: usize| (members < others).then_some(members + 1);
    while MEMBERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok() {
        rayon::spawn(serve);
    }
}

/// Does at most so many tasks of each work that there is; says whether there was one.
fn look_around(most: usize) -> bool {
    let mut any = false;
    for place in &OPEN {
        any |= place.look(most);
    }
    any
}

/// Takes part in what work there is until there has been none for a while, or it is others' turn.
fn serve() {
    let begun = Instant::now();
    let mut last = begun;
    while last.elapsed() < PATIENCE && begun.elapsed() < STAY {
        for _ in 0..LOOKS {
            if look_around(usize::MAX) {
                last = Instant::now();
            }
            std::hint::spin_loop();
        }
    }
    MEMBERS.fetch_sub(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of_squares(count: usize) -> usize {
        let sum = AtomicUsize::new(0);
        each(count, |i| {
            sum.fetch_add(i * i, Ordering::Relaxed);
        });
        sum.into_inner()
    }

    #[test]
    fn every_task_is_done_once() {
        for count in [0, 1, 2, 7, 1000] {
            assert_eq!(sum_of_squares(count), (0..count).map(|i| i * i).sum::<usize>());
        }
    }

    #[test]
    fn parts_are_all_the_values_and_know_their_number() {
        let mut values = vec![0usize; 1003];
        each_part(&mut values, 10, |part, values| values.fill(part));
        assert!(values.iter().enumerate().all(|(i, part)| i / 10 == *part));
        each_part(&mut values[..0], 10, |_, _| panic!("there is nothing to do"));
    }

    /// Tasks that bring work, brought by several threads that are none of the pool's, again and
    /// again: whoever waits must neither wait for itself nor miss the end.
    #[test]
    fn work_within_work_ends() {
        let rounds = if cfg!(miri) { 3 } else { 3000 };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..rounds {
                        let sum = AtomicUsize::new(0);
                        each(5, |i| {
                            sum.fetch_add(sum_of_squares(round % 7 + i), Ordering::Relaxed);
                        });
                        let squares = |count: usize| (0..count).map(|i| i * i).sum::<usize>();
                        let wanted = (0..5).map(|i| squares(round % 7 + i)).sum::<usize>();
                        assert_eq!(sum.into_inner(), wanted);
                    }
                });
            }
        });
    }

    #[test]
    fn more_work_than_places_is_done_too() {
        fn nested(depth: usize) -> usize {
            if depth == 0 {
                return 1;
            }
            let sum = AtomicUsize::new(0);
            each(2, |_| {
                sum.fetch_add(nested(depth - 1), Ordering::Relaxed);
            });
            sum.into_inner()
        }
        assert_eq!(nested(PLACES + 2), 1 << (PLACES + 2));
    }

    #[test]
    fn a_panic_reaches_who_brought_the_work() {
        for _ in 0..50 {
            let caught = catch_unwind(|| each(20, |i| assert!(i != 3, "task {i} fails")));
            let message = caught.unwrap_err();
            assert!(message.downcast_ref::<String>().is_some_and(|m| m.contains("task 3 fails")));
            assert_eq!(sum_of_squares(4), 14);
        }
    }
}
