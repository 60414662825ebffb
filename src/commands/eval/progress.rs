//! How a run gets on: a bar on a terminal, now and then a line elsewhere.

use crate::cli::{Console, bar};
use glm4v_eval::run::Progress;
use indicatif::ProgressBar;
use std::sync::OnceLock;

/// Shows the progress of a run.
pub(super) struct RunProgress {
    console: Console,
    bar: OnceLock<ProgressBar>,
}

impl RunProgress {
    pub(super) fn new(console: Console) -> Self {
        Self { console, bar: OnceLock::new() }
    }

    /// Takes note of another sample that is done.
    pub(super) fn show(&self, progress: Progress) {
        let Progress { done, total, before, score } = progress;
        let score = score.map_or(String::new(), |score| format!("score {score:.4}"));
        if !self.console.has_terminal() {
            let step = (total / 10).max(1);
            if done % step == 0 || done == total {
                self.console.detail(&format!("{done} of {total} samples, {score}"));
            }
            return;
        }
        let bar = self.bar.get_or_init(|| {
            let template = "{bar:30} {pos}/{len} samples, {per_sec}, {eta} left, {msg}";
            // Samples from before are no sign of how fast this goes.
            bar(total as u64, template).with_position(before as u64)
        });
        bar.set_position(done as u64);
        bar.set_message(score);
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
