//! Bars on a terminal.

use super::Console;
use glm4v::PullEvent;
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// A bar over the images of a batch. There is none where it would run into the answers.
pub(crate) fn image_bar(total: usize, console: Console) -> ProgressBar {
    if total < 2 || !console.has_terminal() || std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    bar(total as u64, "{bar:30} {pos}/{len} images, {eta} left: {msg}")
}

/// A bar over the bytes of a file that is written; its length comes with the first of them.
pub(crate) fn byte_bar(console: Console) -> ProgressBar {
    if !console.has_terminal() {
        return ProgressBar::hidden();
    }
    bar(0, "{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")
}

/// Shows how a download gets on: a bar on a terminal, a line a file elsewhere.
pub(crate) fn download_progress(console: Console) -> impl FnMut(PullEvent<'_>) {
    let mut bar: Option<(String, ProgressBar)> = None;
    move |event| match event {
        PullEvent::Waiting => console.note("another process downloads the same; waiting for it"),
        PullEvent::Unreachable { reason } => {
            console.note(&format!("the hub cannot be reached, so the cache is used: {reason}"))
        }
        PullEvent::Files { files, bytes } => {
            let size = bytes.map_or(String::new(), |bytes| format!(", {}", DecimalBytes(bytes)));
            console.note(&format!("{files} files{size}"));
        }
        PullEvent::Progress { file, done, total } if console.has_terminal() => {
            if bar.as_ref().is_none_or(|(name, _)| name != file) {
                let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
                let new = self::bar(total, template);
                new.set_message(file.to_owned());
                bar = Some((file.to_owned(), new));
            }
            if let Some((_, bar)) = &bar {
                bar.set_position(done);
            }
        }
        PullEvent::Progress { .. } => {}
        PullEvent::Retrying { file, reason } => {
            console.note(&format!("{file}: {reason}; retrying"))
        }
        PullEvent::Finished { file } => {
            bar = None;
            console.detail(&format!("{file}: there"));
        }
    }
}

/// A bar on standard error with this template, which must be a valid one.
pub(crate) fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
