//! What can go wrong while scoring.

/// Why predictions could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// There is no metric, or no variant of it, of this name.
    #[error("there is no metric `{name}`; known: {known}")]
    UnknownMetric {
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A line could not be read.
    #[error("line {line}: cannot be read")]
    Unreadable {
        /// The line, from 1.
        line: usize,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line is not a prediction.
    #[error("line {line}: not a prediction; expected {expected}")]
    BadLine {
        /// The line, from 1.
        line: usize,
        /// The form it should have.
        expected: &'static str,
        /// Where and how it departs from it.
        source: serde_json::Error,
    },
    /// A line is a prediction, but not of the form that the metric takes.
    #[error("line {line}: {source}")]
    NoScore {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: crate::metrics::ScoreError,
    },
    /// There was nothing to score.
    #[error("no lines to score")]
    Empty,
}
