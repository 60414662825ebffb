//! A whole reply in its parts.

use crate::grounding::{Grounding, find_grounding};
use crate::marks::{BOX, END_OF_BOX, END_OF_THINK, THINK};
use crate::{ReasoningSplitter, Split};

/// What a model said, in its parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// What it thought before it answered.
    pub reasoning: Option<String>,
    /// The answer, without marks and without white space at its ends.
    pub text: String,
    /// The short answer that it put into a box, without the marks; the last, if there are several.
    pub boxed: Option<String>,
    /// The boxes that it drew round things, in thousandths of the image's sides.
    pub grounding: Vec<Grounding>,
}

impl Reply {
    /// Parts the raw text of a reply, with the marks in it.
    pub fn parse(raw: &str) -> Self {
        let marked = split(raw, ReasoningSplitter::new().with_box_marks()).text;
        let Split { reasoning, text } = split(raw, ReasoningSplitter::new());
        let reasoning = reasoning.trim_end();
        Self {
            reasoning: (!reasoning.is_empty()).then(|| reasoning.to_owned()),
            text: text.trim_end().to_owned(),
            boxed: last_box(&marked),
            grounding: find_grounding(&marked),
        }
    }
}

fn split(raw: &str, mut splitter: ReasoningSplitter) -> Split {
    let mut whole = splitter.push(raw);
    let rest = splitter.finish();
    whole.reasoning += &rest.reasoning;
    whole.text += &rest.text;
    whole
}

/// What stands in the last box that was closed, or was cut off.
fn last_box(text: &str) -> Option<String> {
    let (_, inside) = text.rsplit_once(BOX)?;
    let inside = inside.split_once(END_OF_BOX).map_or(inside, |(inside, _)| inside);
    Some(inside.trim().to_owned())
}

/// A reply as later turns of a conversation see it: the family's models get their old thoughts
/// back in no turn.
pub fn without_thoughts(raw: &str) -> &str {
    match raw.rsplit_once(END_OF_THINK) {
        Some((_, answer)) => answer.trim_start(),
        None if raw.trim_start().starts_with(THINK) => "",
        None => raw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_thoughts_an_answer_a_box_and_places() {
        let reply = Reply::parse(
            "<think>Two [[1,2,3,4]]?</think>\n<answer>At <|begin_of_box|>[[10,20,500,1000]]<|end_of_box|>.</answer>",
        );
        assert_eq!(reply.reasoning.as_deref(), Some("Two [[1,2,3,4]]?"));
        assert_eq!(reply.text, "At [[10,20,500,1000]].");
        assert_eq!(reply.boxed.as_deref(), Some("[[10,20,500,1000]]"));
        let corners: Vec<_> = reply.grounding.iter().map(|found| found.corners).collect();
        assert_eq!(corners, [[10.0, 20.0, 500.0, 1000.0]]);
    }

    #[test]
    fn the_last_box_is_the_answer() {
        let boxed = |raw: &str| Reply::parse(raw).boxed;
        let two = "<|begin_of_box|>A<|end_of_box|> or <|begin_of_box|> B <|end_of_box|>";
        assert_eq!(boxed(two).as_deref(), Some("B"));
        assert_eq!(boxed("<|begin_of_box|>cut o").as_deref(), Some("cut o"));
        assert_eq!(boxed("<think><|begin_of_box|>A<|end_of_box|></think>no"), None);
    }

    #[test]
    fn later_turns_see_no_thoughts() {
        assert_eq!(without_thoughts("<think>why</think>\nso"), "so");
        assert_eq!(without_thoughts("<think>cut o"), "");
        assert_eq!(without_thoughts("so"), "so");
    }
}
