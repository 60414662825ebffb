//! Drafts: tokens guessed ahead, which the model verifies in one pass.
//!
//! Running several rows at once costs little more than running one, where reading the weights is
//! what takes the time. Each guess is held against what the sampler chooses from the model's own
//! logits, in order; the first that differs ends it. So the answer is the one without drafts.

use serde::Serialize;

/// Where guesses come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Draft {
    /// There are none: one token a pass.
    Off,
    /// The words that followed the last time when the same words stood in the prompt or the answer
    /// (prompt look-up, Saxena 2023). It costs nothing where nothing repeats.
    #[default]
    Lookup,
    /// The checkpoint's own layer that predicts tokens ahead (GLM-OCR has one), which
    /// [`LoadOptions::prediction_layer`](crate::LoadOptions::prediction_layer) loads; without it
    /// as [`Self::Lookup`].
    Prediction,
}

/// How the guesses of an answer fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DraftCounts {
    /// Tokens guessed.
    pub proposed: usize,
    /// Those of them that the model would have chosen too.
    pub accepted: usize,
    /// Passes that verified guesses.
    pub passes: usize,
}

/// Tokens that must have stood in a row before, so that what followed is a guess: at most and at
/// least. Two are seldom a coincidence in tables and forms.
const MATCHED: [usize; 3] = [4, 3, 2];
/// Guesses in one pass, at most.
const LONGEST: usize = 12;
/// Guesses in the first pass.
const FIRST: usize = 4;
/// Tokens without guesses after a pass in which all were wrong; doubles each time.
const FIRST_PAUSE: usize = 4;
const LONGEST_PAUSE: usize = 64;

/// Guesses of the prediction layer in one pass, at most; GLM-OCR's own SDK runs one to three.
const MOST_PREDICTED: usize = 3;

/// What makes the guesses of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Drafter {
    Lookup(Lookup),
    /// The prediction layer, with the number of guesses in the next pass.
    Prediction(usize),
}

impl Drafter {
    /// The one for `draft`; none where there are no guesses.
    pub(crate) fn new(draft: Draft, has_layer: bool) -> Option<Self> {
        match draft {
            Draft::Off => None,
            Draft::Prediction if has_layer => Some(Self::Prediction(MOST_PREDICTED)),
            Draft::Lookup | Draft::Prediction => Some(Self::Lookup(Lookup::default())),
        }
    }

    /// Learns how many of the guesses of a pass were right.
    pub(crate) fn learn(&mut self, proposed: usize, accepted: usize) {
        match self {
            Self::Lookup(lookup) => lookup.learn(proposed, accepted),
            Self::Prediction(count) => *count = (accepted + 1).min(MOST_PREDICTED),
        }
    }
}

/// Guesses by look-up, as many as it lately was right about.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    length: usize,
    pause: usize,
    /// Tokens to let pass before the next guess.
    waiting: usize,
}

impl Default for Lookup {
    fn default() -> Self {
        Self { length: FIRST, pause: FIRST_PAUSE, waiting: 0 }
    }
}

impl Lookup {
    /// At most `room` tokens that may follow `history`; none when nothing like its end stood
    /// there before.
    pub(crate) fn propose(&mut self, history: &[u32], room: usize) -> Vec<u32> {
        if self.waiting > 0 {
            self.waiting -= 1;
            return Vec::new();
        }
        let length = self.length.min(room);
        followers(history, length).map(<[u32]>::to_vec).unwrap_or_default()
    }

    /// Learns how many of the guesses of a pass were right.
    pub(crate) fn learn(&mut self, proposed: usize, accepted: usize) {
        if accepted == 0 {
            self.length = FIRST.min(self.length);
            self.waiting = self.pause;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            return;
        }
        self.pause = FIRST_PAUSE;
        self.length = if accepted == proposed {
            (self.length + FIRST).min(LONGEST)
        } else {
            (accepted + 1).min(LONGEST)
        };
    }
}

/// What followed the latest earlier place where the last tokens stood, longer matches first.
fn followers(history: &[u32], length: usize) -> Option<&[u32]> {
    let found = MATCHED.into_iter().find_map(|matched| {
        let (before, end) = history.split_at_checked(history.len().checked_sub(matched)?)?;
        // Places may overlap the end: `a a a a` goes on with `a`.
        let place =
            (0..before.len()).rev().find(|&at| history.get(at..at + matched) == Some(end))?;
        Some(place + matched)
    })?;
    let followers = history.get(found..(found + length).min(history.len()))?;
    (!followers.is_empty()).then_some(followers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_before_is_guessed() {
        assert_eq!(followers(&[1, 2, 3, 4, 5, 9, 1, 2, 3], 2), Some(&[4, 5][..]));
        assert_eq!(followers(&[1, 2, 7, 1, 2, 8, 1, 2], 5), Some(&[8, 1, 2][..])); // the latest
        assert_eq!(followers(&[5, 1, 2, 7, 6, 1, 2, 8, 5, 1, 2], 1), Some(&[7][..])); // the longest
        assert_eq!(followers(&[4, 4, 4], 3), Some(&[4][..]));
        assert_eq!(followers(&[1, 2, 3, 4], 3), None);
        assert_eq!(followers(&[1], 3), None);
        assert_eq!(followers(&[], 3), None);
        assert_eq!(followers(&[1, 2, 3, 1, 2], 0), None);
    }

    #[test]
    fn wrong_guesses_make_it_wait_and_right_ones_bolder() {
        let history = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2];
        let mut lookup = Lookup::default();
        assert_eq!(lookup.propose(&history, 9).len(), FIRST);
        lookup.learn(FIRST, FIRST);
        assert_eq!(lookup.propose(&history, 9).len(), 2 * FIRST);
        assert_eq!(lookup.propose(&history, 3).len(), 3);
        lookup.learn(8, 0);
        for _ in 0..FIRST_PAUSE {
            assert!(lookup.propose(&history, 9).is_empty());
        }
        assert_eq!(lookup.propose(&history, 9).len(), FIRST);
    }
}
