//! Strings that end an answer.

/// Watches streamed text for stop strings. Text that may yet turn out to be the start of one is
/// held back, so that no part of a stop string is ever shown.
///
/// The text ends before the stop string that is complete first, however the text was cut into
/// pieces; of two complete at the same place, before the longer.
#[derive(Debug, Clone)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
    stopped: bool,
    /// What stood behind the stop string in the piece that completed it.
    rest: String,
}

impl StopStrings {
    /// A watch for `stops`. Empty strings among them are ignored.
    pub fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|stop| !stop.is_empty());
        Self { stops, held: String::new(), stopped: false, rest: String::new() }
    }

    /// Takes the next text; gives what can be shown by now. After a stop string that is nothing.
    pub fn push(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(text);
        let found = self.stops.iter().filter_map(|stop| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        if let Some((end, start)) = found.min() {
            self.stopped = true;
            self.rest = self.held.split_off(end);
            self.held.truncate(start);
            return std::mem::take(&mut self.held);
        }
        let doubtful = self.held.split_off(self.certain());
        std::mem::replace(&mut self.held, doubtful)
    }

    /// Whether a stop string was met.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Gives what stood behind the stop string in the piece that completed it.
    pub(crate) fn rest(&mut self) -> String {
        std::mem::take(&mut self.rest)
    }

    /// Gives the text held back, when the answer has ended without a stop string.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// How many bytes of the held text can be no part of a stop string.
    fn certain(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest);
        self.held
            .char_indices()
            .map(|(start, _)| start)
            .filter(|start| *start >= from)
            .find(|start| {
                let rest = self.held.get(*start..).unwrap_or_default();
                self.stops.iter().any(|stop| stop.starts_with(rest))
            })
            .unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests;
