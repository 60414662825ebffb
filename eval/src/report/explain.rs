//! Why an answer has the score that it has: both sides as the metric compares them, and a sentence.

use crate::metrics::vqa_normalize::{self, Variant};
use crate::metrics::{ocrbench_v1, relaxed_accuracy};
use crate::python::{collapse_spaces, length, strip};
use crate::scores::{ItemResult, State};
use crate::text::edit_distance;

/// An answer and its references as they were compared, with a reason where the score is not full.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Explanation {
    /// Empty where it is the answer as it is.
    pub(super) answer: String,
    /// Empty where they are the references as they are.
    pub(super) references: Vec<String>,
    /// Empty for a full score.
    pub(super) reason: String,
}

/// Explains the score of a sample under `metric`, `NAME:VARIANT`.
pub(super) fn explain(metric: &str, item: &ItemResult) -> Explanation {
    let form = normaliser(metric);
    let answer = form(&item.answer);
    let references: Vec<String> = item.references.iter().map(|text| form(text)).collect();
    let reason = match item.state {
        State::Truncated => "The answer reached the limit of tokens.".to_owned(),
        State::UnclosedThinking => "The model thought until the end and gave no answer.".to_owned(),
        State::Refused => "The model refused.".to_owned(),
        State::Unparsed => "No choice was found in the answer.".to_owned(),
        State::TimedOut | State::Failed => "There is no answer.".to_owned(),
        State::Answered if item.answer.is_empty() => "The answer is empty.".to_owned(),
        State::Answered => compared(metric, item, &answer, &references),
    };
    let changed = answer != item.answer || references != item.references;
    let reason = if is_full(metric, item) { String::new() } else { reason };
    match changed {
        true => Explanation { answer, references, reason },
        false => Explanation { reason, ..Explanation::default() },
    }
}

/// Whether there is nothing to explain.
fn is_full(metric: &str, item: &ItemResult) -> bool {
    match item.score {
        None => true,
        Some(score) if metric.starts_with("cer_wer") => score <= 0.0,
        Some(score) if metric.starts_with("omnidocbench") => score >= 100.0,
        Some(score) => score >= 1.0,
    }
}

/// What the metric does to both sides before it compares them.
fn normaliser(metric: &str) -> fn(&str) -> String {
    match metric {
        "vqa_accuracy:vqa_official" => |text| vqa_normalize::normalised(text, Variant::Official),
        "vqa_accuracy:lmms_eval_textvqa" => {
            |text| vqa_normalize::normalised(text, Variant::LmmsEval)
        }
        "vqa_accuracy:vlmevalkit_textvqa" => {
            |text| vqa_normalize::normalised(text, Variant::VlmEvalKit)
        }
        "ocrbench_v1:lmms_eval" => ocrbench_v1::folded,
        metric if metric.starts_with("ocrbench_v1") => ocrbench_v1::plain,
        "anls:pix2struct" => |text| text.to_lowercase(),
        metric if metric.starts_with("anls") => |text| collapse_spaces(&text.to_lowercase()),
        "relaxed_accuracy:vlmevalkit" => |text| strip(text).to_lowercase(),
        metric if metric.starts_with("relaxed_accuracy") => |text| text.to_lowercase(),
        _ => str::to_owned,
    }
}

/// How far the answer is from the references, in the metric's terms.
fn compared(metric: &str, item: &ItemResult, answer: &str, references: &[String]) -> String {
    let name = metric.split(':').next().unwrap_or_default();
    let score = item.score.unwrap_or_default();
    match name {
        "relaxed_accuracy" => relaxed(answer, references),
        "anls" => {
            let nearest =
                references.iter().map(|reference| (similarity(answer, reference), reference));
            match nearest.max_by(|a, b| a.0.total_cmp(&b.0)) {
                Some((near, reference)) if score == 0.0 => {
                    format!(
                        "Nearest is “{reference}”, alike by {near:.2}, which is below one half."
                    )
                }
                Some((_, reference)) => format!("Nearest is “{reference}”, alike by {score:.2}."),
                None => "There is no right answer to compare with.".to_owned(),
            }
        }
        "vqa_accuracy" => {
            let same = references.iter().filter(|reference| *reference == answer).count();
            format!("{same} of {} people gave this answer.", references.len())
        }
        "ocrbench_v1" => "No right answer occurs in it.".to_owned(),
        "mcq_extract" | "mmmu" => match item.detail.as_str().or(item.detail["choice"].as_str()) {
            Some(choice) => {
                format!("It chooses {choice}; {} is right.", references.first().map_or("", |r| r))
            }
            None => "It differs from the right answers.".to_owned(),
        },
        "kie_f1" if item.answer.parse::<serde_json::Value>().is_err() => {
            "The answer is no JSON object.".to_owned()
        }
        "kie_f1" => format!("The fields agree by {score:.2}."),
        "cer_wer" => {
            let edits = references.first().map_or(0, |reference| edit_distance(answer, reference));
            let letters = references.first().map_or(0, |reference| length(reference));
            format!("{edits} letters of {letters} are wrong, missing or too many.")
        }
        "chart_table" => format!("Names and values of the table agree by {score:.2}."),
        _ if score > 0.0 => format!("It agrees by {score:.4}."),
        _ => "It differs from the right answers.".to_owned(),
    }
}

fn relaxed(answer: &str, references: &[String]) -> String {
    let Some(reference) = references.first() else {
        return "There is no right answer to compare with.".to_owned();
    };
    let numbers = (relaxed_accuracy::number(answer), relaxed_accuracy::number(reference));
    match numbers {
        (Some(found), Some(wanted)) if wanted != 0.0 => {
            let off = (found - wanted).abs() / wanted.abs() * 100.0;
            format!("{found} is {off:.1} % off {wanted}; 5 % are allowed.")
        }
        (None, Some(wanted)) => format!("It is no number, and {wanted} is wanted."),
        _ => "The texts differ.".to_owned(),
    }
}

fn similarity(a: &str, b: &str) -> f64 {
    1.0 - edit_distance(a, b) as f64 / length(a).max(length(b)).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(metric: &str, answer: &str, reference: &str, score: f64) -> Explanation {
        let item = ItemResult {
            answer: answer.to_owned(),
            references: vec![reference.to_owned()],
            score: Some(score),
            ..ItemResult::default()
        };
        explain(metric, &item)
    }

    #[test]
    fn a_zero_has_a_reason_and_the_forms_that_were_compared() {
        let found = explained("anls:vlmevalkit", "The  CAT", "a dog", 0.0);
        assert_eq!((found.answer.as_str(), &found.references[0][..]), ("the cat", "a dog"));
        assert!(found.reason.contains("below one half"), "{found:?}");
        let found = explained("relaxed_accuracy:vlmevalkit", "110", "100", 0.0);
        assert_eq!(found.reason, "110 is 10.0 % off 100; 5 % are allowed.");
        let found = explained("relaxed_accuracy:vlmevalkit", "ten", "100", 0.0);
        assert_eq!(found.reason, "It is no number, and 100 is wanted.");
        assert_eq!(explained("anls:vlmevalkit", "", "100", 0.0).reason, "The answer is empty.");
        assert_eq!(explained("anls:vlmevalkit", "dog", "dog", 1.0), Explanation::default());
    }
}
