//! Telling a model's thoughts from its answer.

use crate::marks::{ANSWER, BoxMarkFilter, END_OF_ANSWER, END_OF_THINK, THINK};

/// A piece of a reply, parted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// What belongs to the thoughts.
    pub reasoning: String,
    /// What belongs to the answer.
    pub text: String,
}

/// Parts a reply as it arrives: `<think>…</think>` at its start is reasoning, the rest is the
/// answer, without the marks `<answer>…</answer>` that may stand around it and without the marks of
/// boxes in it. White space before either is dropped. A reply without these marks is all answer.
#[derive(Clone, Debug)]
pub struct ReasoningSplitter {
    place: Place,
    /// Text that may turn out to be the beginning of a mark.
    pending: String,
    /// Whether some of the part that is being read has been given.
    begun: bool,
    /// Takes the marks of boxes out of the answer; `None` leaves them.
    box_marks: Option<BoxMarkFilter>,
}

impl Default for ReasoningSplitter {
    fn default() -> Self {
        Self {
            place: Place::Start,
            pending: String::new(),
            begun: false,
            box_marks: Some(BoxMarkFilter::default()),
        }
    }
}

/// Where in the reply the reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    Reasoning,
    AfterReasoning,
    /// In an answer that ends with this mark, if with any.
    Answer(Option<&'static str>),
    End,
}

impl ReasoningSplitter {
    /// A splitter at the start of a reply.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, leaving the marks of boxes in the answer.
    pub(crate) fn with_box_marks(self) -> Self {
        Self { box_marks: None, ..self }
    }

    /// Takes the next piece of the reply; gives what it makes certain.
    pub fn push(&mut self, piece: &str) -> Split {
        self.pending.push_str(piece);
        let mut split = Split::default();
        while self.advance(&mut split) {}
        split
    }

    /// Ends the reply: what was held back for a mark is given as it is.
    pub fn finish(&mut self) -> Split {
        let mut split = Split::default();
        let rest = std::mem::take(&mut self.pending);
        self.give(&rest, &mut split);
        let held = self.box_marks.as_mut().map(BoxMarkFilter::finish).unwrap_or_default();
        self.add(&held, &mut split);
        split
    }

    /// Reads up to the next mark; whether there is more to read behind it.
    fn advance(&mut self, split: &mut Split) -> bool {
        match self.place {
            Place::Start => self.open(THINK, Place::Reasoning, Place::Answer(None)),
            Place::AfterReasoning => {
                self.open(ANSWER, Place::Answer(Some(END_OF_ANSWER)), Place::Answer(None))
            }
            Place::Reasoning => self.read_to(END_OF_THINK, Place::AfterReasoning, split),
            Place::Answer(Some(mark)) => self.read_to(mark, Place::End, split),
            Place::Answer(None) | Place::End => {
                let rest = std::mem::take(&mut self.pending);
                self.give(&rest, split);
                false
            }
        }
    }

    /// Before white space and `mark` or something else: decides where the reading goes on.
    fn open(&mut self, mark: &str, with: Place, without: Place) -> bool {
        let rest = self.pending.trim_start();
        if let Some(rest) = rest.strip_prefix(mark) {
            (self.place, self.pending) = (with, rest.to_owned());
        } else if mark.starts_with(rest) {
            return false;
        } else {
            self.place = without;
        }
        self.begun = false;
        true
    }

    /// Gives text up to `mark`, holding back what may be its beginning.
    fn read_to(&mut self, mark: &str, next: Place, split: &mut Split) -> bool {
        if let Some((text, rest)) = self.pending.split_once(mark) {
            let (text, rest) = (text.to_owned(), rest.to_owned());
            self.give(&text, split);
            (self.place, self.pending, self.begun) = (next, rest, false);
            return true;
        }
        let held = (1..mark.len()).rev().find(|&length| self.pending.ends_with(&mark[..length]));
        let sure = self.pending.len() - held.unwrap_or(0);
        let held = self.pending.split_off(sure);
        let text = std::mem::replace(&mut self.pending, held);
        self.give(&text, split);
        false
    }

    fn give(&mut self, text: &str, split: &mut Split) {
        match &mut self.box_marks {
            Some(marks) if self.place != Place::Reasoning => {
                let text = marks.push(text);
                self.add(&text, split);
            }
            _ => self.add(text, split),
        }
    }

    fn add(&mut self, text: &str, split: &mut Split) {
        let text = if self.begun { text } else { text.trim_start() };
        self.begun |= !text.is_empty();
        match self.place {
            Place::Reasoning => split.reasoning.push_str(text),
            Place::End if text.trim().is_empty() => {}
            _ => split.text.push_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ReasoningSplitter, Split};
    use proptest::prelude::*;

    fn split<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Split {
        let mut splitter = ReasoningSplitter::new();
        let mut whole = Split::default();
        let mut add = |split: Split| {
            whole.reasoning += &split.reasoning;
            whole.text += &split.text;
        };
        pieces.into_iter().for_each(|piece| add(splitter.push(piece)));
        add(splitter.finish());
        whole
    }

    const REPLIES: [(&str, &str, &str); 13] = [
        ("<|begin_of_box|>4<|end_of_box|>", "", "4"),
        ("It is <|begin_of_box|>4<|end_of_box|>.<|begin", "", "It is 4.<|begin"),
        ("<think><|begin_of_box|>1</think> <|begin_of_box|> 4<", "<|begin_of_box|>1", "4<"),
        ("<think>a</think><answer>\n<|begin_of_box|>B<|end_of_box|></answer>", "a", "B"),
        ("plain < text", "", "plain < text"),
        ("\n two\nlines", "", "two\nlines"),
        ("<think>why</think>\nso", "why", "so"),
        ("<think>\na < b </thin k\n</think>\n<answer>4</answer>\n", "a < b </thin k\n", "4"),
        ("<think></think>\nyes <answer>", "", "yes <answer>"),
        ("<think>never ends", "never ends", ""),
        ("<thin", "", "<thin"),
        ("", "", ""),
        ("<think>é</think><answer>ü</ans", "é", "ü</ans"),
    ];

    #[test]
    fn thoughts_are_parted_from_the_answer() {
        for (reply, reasoning, text) in REPLIES {
            let expected = Split { reasoning: reasoning.into(), text: text.into() };
            assert_eq!(split([reply]), expected, "{reply}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_the_split(
            reply in prop::sample::select(REPLIES.map(|(reply, ..)| reply).to_vec()),
            sizes in prop::collection::vec(1..4_usize, 1..60),
        ) {
            let letters: Vec<String> = reply.chars().map(String::from).collect();
            let mut rest = letters.as_slice();
            let mut pieces = Vec::new();
            for size in sizes.iter().cycle() {
                let (piece, left) = rest.split_at((*size).min(rest.len()));
                pieces.push(piece.concat());
                rest = left;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(split(pieces.iter().map(String::as_str)), split([reply]));
        }
    }
}
