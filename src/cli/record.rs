//! The JSON result, as `docs/JSON.md` documents it.

use super::{PixelBox, Reply, ToolRun};
use glm4v::{Answer, DraftCounts, FinishReason, Timings, Usage};
use serde::Serialize;
use std::time::Duration;

/// The result of one question. Every field is there in every line but those marked optional.
#[derive(Debug, Serialize)]
pub(crate) struct Record<'a> {
    /// The image; a list when several were seen together; null when there was none.
    pub(crate) image: Shown<'a>,
    /// The model, as the user named it.
    pub(crate) model: &'a str,
    /// The question.
    pub(crate) prompt: &'a str,
    /// The answer; empty on an error.
    pub(crate) text: &'a str,
    /// What the model thought before it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning: Option<&'a str>,
    /// The short answer that the model put into a box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) boxed: Option<&'a str>,
    /// What the model drew boxes round.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) boxes: &'a [PixelBox],
    /// The tools that the model called, with what came of it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) tool_calls: &'a [ToolRun],
    /// Tokens in and out.
    pub(crate) tokens: Usage,
    /// How drafts fared, where there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drafts: Option<DraftReport>,
    /// Where the time went, in milliseconds.
    pub(crate) ms: Milliseconds,
    /// Why the answer ended.
    pub(crate) finish_reason: Finish,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// Which images a question was about.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Shown<'a> {
    /// None.
    Nothing,
    /// One.
    One(&'a str),
    /// Several, seen together.
    Many(Vec<&'a str>),
}

/// How drafts fared, and what they saved.
#[derive(Debug, Serialize)]
pub(crate) struct DraftReport {
    #[serde(flatten)]
    counts: DraftCounts,
    /// The share of the guesses that were right.
    acceptance: f64,
    /// Tokens of the answer for each pass over the weights; 1 without drafts.
    tokens_per_pass: f64,
    /// How many times faster a token was than in the answer's own passes without guesses; absent
    /// where every pass had some.
    #[serde(skip_serializing_if = "Option::is_none")]
    gain: Option<f64>,
}

impl DraftReport {
    fn of(answer: &Answer) -> Option<Self> {
        let (counts, tokens) = (answer.drafts, answer.usage.completion);
        let passes = tokens.saturating_sub(counts.accepted).max(1);
        let Timings { decode, unguessed, unguessed_steps, .. } = answer.timings;
        let gain = (unguessed_steps > 0 && !decode.is_zero()).then(|| {
            let alone = unguessed.as_secs_f64() / f64::from(unguessed_steps);
            // A pass gives one token, and each right guess one more.
            let made = unguessed_steps as usize + counts.passes + counts.accepted;
            alone * made as f64 / decode.as_secs_f64()
        });
        (counts.passes > 0).then(|| Self {
            counts,
            gain,
            acceptance: counts.accepted as f64 / counts.proposed.max(1) as f64,
            tokens_per_pass: tokens as f64 / passes as f64,
        })
    }
}

impl<'a> Shown<'a> {
    pub(crate) fn of(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        match names[..] {
            [] => Self::Nothing,
            [name] => Self::One(name),
            _ => Self::Many(names),
        }
    }
}

/// Times of the phases, in milliseconds to the microsecond.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Milliseconds {
    decode_image: f64,
    vision: f64,
    prefill: f64,
    decode: f64,
}

/// Why an answer ended: the library's reasons, and `error`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finish {
    /// There is no answer.
    Error,
    #[serde(untagged)]
    Answer(FinishReason),
}

impl<'a> Record<'a> {
    /// The record of a reply.
    pub(crate) fn of_reply(
        image: Shown<'a>,
        model: &'a str,
        prompt: &'a str,
        decode_image: Duration,
        reply: &'a Reply,
    ) -> Self {
        let timings = &reply.answer.timings;
        Self {
            image,
            model,
            prompt,
            text: &reply.text,
            reasoning: reply.reasoning.as_deref(),
            boxed: reply.boxed.as_deref(),
            boxes: &reply.boxes,
            tool_calls: &[],
            tokens: reply.answer.usage,
            drafts: DraftReport::of(&reply.answer),
            ms: Milliseconds {
                decode_image: milliseconds(decode_image),
                vision: milliseconds(reply.vision),
                prefill: milliseconds(timings.prefill),
                decode: milliseconds(timings.decode),
            },
            finish_reason: Finish::Answer(reply.answer.finish_reason),
            error: None,
        }
    }

    /// The record of a failure.
    pub(crate) fn of_error(
        image: Shown<'a>,
        model: &'a str,
        prompt: &'a str,
        error: String,
    ) -> Self {
        Self {
            image,
            model,
            prompt,
            text: "",
            reasoning: None,
            boxed: None,
            boxes: &[],
            tool_calls: &[],
            tokens: Usage::default(),
            drafts: None,
            ms: Milliseconds::default(),
            finish_reason: Finish::Error,
            error: Some(error),
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gain_of_drafts_is_over_the_answers_own_passes_without_guesses() {
        let answer = |unguessed_steps, passes| Answer {
            text: String::new(),
            finish_reason: FinishReason::Stop,
            usage: Usage { completion: 21, ..Usage::default() },
            timings: Timings {
                decode: Duration::from_millis(100),
                unguessed: Duration::from_millis(40),
                unguessed_steps,
                ..Timings::default()
            },
            tokens: Vec::new(),
            tool_calls: Vec::new(),
            drafts: DraftCounts { proposed: 18, accepted: 12, passes },
        };
        // Four tokens alone took 10 ms each; 4 + 4 + 12 took 5 ms each.
        let report = DraftReport::of(&answer(4, 4)).unwrap();
        assert!((report.gain.unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(DraftReport::of(&answer(0, 8)).unwrap().gain, None);
        assert!(DraftReport::of(&answer(4, 0)).is_none());
    }
}
