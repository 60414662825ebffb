//! Strings that end an answer.

/// Watches streamed text for stop strings. Text that may turn out to be the start of one is held back.
#[derive(Debug, Clone)]
pub struct StopStrings {}

impl StopStrings {
    /// A watch for `stops`; empty strings among them are ignored.
    pub fn new(_stops: Vec<String>) -> Self {
        todo!()
    }

    /// Takes the next text; gives what can be shown now. After a stop string nothing more is given.
    pub fn push(&mut self, _text: &str) -> String {
        todo!()
    }

    /// Whether a stop string was met.
    pub fn stopped(&self) -> bool {
        todo!()
    }

    /// Gives the text held back, when the answer ended without a stop string.
    pub fn finish(&mut self) -> String {
        todo!()
    }
}
