//! Ctrl-C: ends the answer, and the program soon after.

use super::Exit;
use anyhow::Context;
use glm4v::CancelToken;
use std::time::Duration;

/// How long the work may take to notice. Vision towers and long prompts of large models can't be
/// stopped in between, and the user waits at most a second.
const GRACE: Duration = Duration::from_millis(700);

/// Makes Ctrl-C (and a polite kill) cancel the token that is returned. Work that has not ended
/// within the grace, or at a second Ctrl-C, is dropped: every finished result has been written.
pub(crate) fn install() -> anyhow::Result<CancelToken> {
    let token = CancelToken::default();
    let shared = token.clone();
    let handler = move || {
        if shared.is_cancelled() {
            leave();
        }
        shared.cancel();
        std::thread::spawn(|| {
            std::thread::sleep(GRACE);
            leave();
        });
    };
    ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
    Ok(token)
}

/// Makes Ctrl-C end the program at once, for work that keeps nothing but whole files and lines.
pub(crate) fn leave_at_once() -> anyhow::Result<()> {
    ctrlc::set_handler(|| leave()).context("cannot listen for Ctrl-C")
}

fn leave() -> ! {
    std::process::exit(Exit::Interrupted.code().into())
}
