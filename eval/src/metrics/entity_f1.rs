//! Entity F1 of token tags, for FUNSD, CORD and the like, as `seqeval` (Nakayama 2018) reads tags by
//! default, which is as `conlleval` does.

use super::{Item, MetricInfo, ScoreError};
use serde_json::{Value, json};
use std::collections::HashSet;

pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "entity_f1",
    variant: "seqeval_default",
    summary: "precision, recall and F1 of tagged entities, over all sentences",
    score: |item: &Item| {
        let expected = "a list of lists of tags";
        let wrong_form = |field| ScoreError::WrongForm { field, expected };
        let found = sentences(&item.prediction).ok_or_else(|| wrong_form("prediction"))?;
        let wanted = sentences(&item.references).ok_or_else(|| wrong_form("references"))?;
        let score = score(&found, &wanted).ok_or(ScoreError::Undefined(
            "sentences of different lengths, or a tag without text",
        ))?;
        Ok(json!({"p": score.precision, "r": score.recall, "f1": score.f1}))
    },
}];

fn sentences(value: &Value) -> Option<Vec<Vec<&str>>> {
    value.as_array()?.iter().map(tags).collect()
}

fn tags(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

/// How well entities agree, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Of the entities found, the share that is right.
    pub precision: f64,
    /// Of those wanted, the share that is found.
    pub recall: f64,
    /// The harmonic mean of both; 0 where both are.
    pub f1: f64,
}

/// Agreement of entities in kind and place, over all sentences together. `None` where the reference
/// scorer raises: sentences are not of equal number and length, or a tag is empty.
pub fn score(found: &[Vec<&str>], wanted: &[Vec<&str>]) -> Option<Agreement> {
    let equal_lengths = found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(found, wanted)| found.len() == wanted.len());
    let (found, wanted) = (entities(found)?, entities(wanted)?);
    if !equal_lengths {
        return None;
    }
    let both = found.intersection(&wanted).count() as f64;
    let share = |of: usize| if of == 0 { 0.0 } else { both / of as f64 };
    let (precision, recall) = (share(found.len()), share(wanted.len()));
    let f1 = match both {
        0.0 => 0.0,
        _ => 2.0 * precision * recall / (precision + recall),
    };
    Some(Agreement { precision, recall, f1 })
}

/// The kind, first and last place of each entity; a tag `O` parts sentences.
fn entities<'a>(sentences: &[Vec<&'a str>]) -> Option<HashSet<(&'a str, usize, usize)>> {
    let tags = sentences.iter().flat_map(|tags| tags.iter().copied().chain(["O"]));
    let mut entities = HashSet::new();
    let (mut before, mut start) = (('O', ""), 0);
    for (at, tag) in tags.chain(["O"]).enumerate() {
        let next = (tag.chars().next()?, kind(tag));
        if ends(before, next) {
            entities.insert((before.1, start, at));
        }
        if starts(before, next) {
            start = at;
        }
        before = next;
    }
    Some(entities)
}

/// What stands after the letter and its hyphen.
fn kind(tag: &str) -> &str {
    let mut rest = tag.chars();
    rest.next();
    let rest = rest.as_str();
    match rest.split_once('-').map_or(rest, |(_, kind)| kind) {
        "" => "_",
        kind => kind,
    }
}

type Tag<'a> = (char, &'a str);

/// Whether an entity ends between two tags.
fn ends((tag, kind): Tag<'_>, (next, next_kind): Tag<'_>) -> bool {
    matches!(tag, 'E' | 'S')
        || (matches!(tag, 'B' | 'I') && matches!(next, 'B' | 'S' | 'O'))
        || (!matches!(tag, 'O' | '.') && kind != next_kind)
}

/// Whether one starts there; an `I` after nothing, or of another kind, does too.
fn starts((tag, kind): Tag<'_>, (next, next_kind): Tag<'_>) -> bool {
    matches!(next, 'B' | 'S')
        || (matches!(tag, 'E' | 'S' | 'O') && matches!(next, 'E' | 'I'))
        || (!matches!(next, 'O' | '.') && kind != next_kind)
}
