//! How the program ends.

use std::process::ExitCode;

/// The end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done,
    /// The job failed.
    Failed,
    /// The command was used wrongly.
    Usage,
    /// Some inputs of a batch failed, others did not.
    SomeFailed,
    /// The user broke it off.
    Interrupted,
    /// Whoever read the output went away, as `head` does.
    OutputClosed,
}

/// A combination of arguments that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

impl Exit {
    /// The end that an error brings.
    pub(crate) fn of_error(error: &anyhow::Error) -> Self {
        // Errors of writing come as they are; those of the network are wrapped by their crates.
        let io: Option<&std::io::Error> = error.downcast_ref();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe) {
            Self::OutputClosed
        } else if error.is::<UsageError>() {
            Self::Usage
        } else if matches!(error.downcast_ref(), Some(glm4v::Error::Cancelled)) {
            Self::Interrupted
        } else {
            Self::Failed
        }
    }

    /// The end of a job on `total` inputs of which `failed` failed.
    pub(crate) fn of_inputs(failed: usize, total: usize) -> Self {
        match failed {
            0 => Self::Done,
            _ if failed < total => Self::SomeFailed,
            _ => Self::Failed,
        }
    }

    /// Whether the error behind it should be shown.
    pub(crate) fn is_worth_telling(self) -> bool {
        !matches!(self, Self::OutputClosed | Self::Interrupted)
    }

    /// The code that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done | Self::OutputClosed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::SomeFailed => 3,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn a_batch_fails_wholly_only_when_every_input_did() {
        assert_eq!(Exit::of_inputs(0, 2), Exit::Done);
        assert_eq!(Exit::of_inputs(1, 2), Exit::SomeFailed);
        assert_eq!(Exit::of_inputs(2, 2), Exit::Failed);
        assert_eq!(Exit::of_inputs(1, 1), Exit::Failed);
    }
}
