//! How fast an endpoint is asked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Gives out times at which an endpoint may be asked, to all who ask it at once.
#[derive(Debug)]
pub(super) struct Pace {
    /// The least time between two questions.
    gap: Duration,
    /// When the next question may be asked.
    next: Mutex<Instant>,
}

impl Pace {
    /// At most so many questions a minute, spread evenly; `None` for as many as there are.
    pub(super) fn new(per_minute: Option<u32>) -> Self {
        let gap = per_minute.map_or(Duration::ZERO, |count| Duration::from_secs(60) / count.max(1));
        Self { gap, next: Mutex::new(Instant::now()) }
    }

    /// How long from now the caller has to wait before it asks. Its place is taken.
    pub(super) fn turn(&self) -> Duration {
        let now = Instant::now();
        let mut next = self.next();
        let mine = (*next).max(now);
        *next = mine + self.gap;
        mine - now
    }

    /// Nobody may ask for this long: the endpoint said so to one, and means all.
    pub(super) fn hold(&self, time: Duration) {
        let mut next = self.next();
        *next = (*next).max(Instant::now() + time);
    }

    fn next(&self) -> MutexGuard<'_, Instant> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_evenly_and_held_for_all() {
        let near = |found: Duration, wanted: u64| {
            let (found, wanted) = (found.as_millis() as u64, wanted);
            assert!(found <= wanted && found + 50 > wanted, "{found} ms, not {wanted}");
        };
        let pace = Pace::new(Some(60));
        near(pace.turn(), 0);
        near(pace.turn(), 1000);
        pace.hold(Duration::from_secs(5));
        near(pace.turn(), 5000);
        near(pace.turn(), 6000);
        let free = Pace::new(None);
        assert!((0..100).all(|_| free.turn() == Duration::ZERO));
    }
}
