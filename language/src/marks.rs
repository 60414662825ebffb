//! The marks that models of the family write around parts of a reply.

use crate::StopStrings;

/// The marks around thoughts in GLM-4.1V-Thinking and later.
pub(crate) const THINK: &str = "<think>";
pub(crate) const END_OF_THINK: &str = "</think>";
/// The marks that GLM-4.1V-Thinking puts around the answer after its thoughts.
pub(crate) const ANSWER: &str = "<answer>";
pub(crate) const END_OF_ANSWER: &str = "</answer>";
/// The marks around a short answer, or around coordinates.
pub(crate) const BOX: &str = "<|begin_of_box|>";
pub(crate) const END_OF_BOX: &str = "<|end_of_box|>";

/// Every mark that tells parts of a reply apart. Vocabularies differ in which of them they call
/// special tokens; a reply keeps them all, for without them its parts are lost.
pub(crate) const KEPT: [&str; 14] = [
    THINK,
    END_OF_THINK,
    ANSWER,
    END_OF_ANSWER,
    BOX,
    END_OF_BOX,
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
];

/// Drops the marks of boxes from streamed text.
#[derive(Clone, Debug)]
pub(crate) struct BoxMarkFilter(StopStrings);

impl Default for BoxMarkFilter {
    fn default() -> Self {
        Self(Self::watch())
    }
}

impl BoxMarkFilter {
    fn watch() -> StopStrings {
        StopStrings::new(vec![BOX.to_owned(), END_OF_BOX.to_owned()])
    }

    /// Takes the next text; gives what is certain to be no part of a mark.
    pub(crate) fn push(&mut self, text: &str) -> String {
        let mut shown = self.0.push(text);
        while self.0.stopped() {
            let rest = self.0.rest();
            self.0 = Self::watch();
            shown += &self.0.push(&rest);
        }
        shown
    }

    /// Gives the text held back, when no more comes.
    pub(crate) fn finish(&mut self) -> String {
        self.0.finish()
    }
}
