//! Which sample of one side is which of the other.

use super::reasons::Reason;
use super::side::{Side, SideItem};
use crate::EvalError;
use crate::scores;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A sample on both sides, each with a score.
pub(super) struct Pair<'a> {
    pub(super) left: &'a SideItem,
    pub(super) right: &'a SideItem,
    /// Both scores, by the same metric where one side is a file.
    pub(super) scores: (f64, f64),
    /// Both answers as they were scored here.
    pub(super) answers: (String, String),
}

/// Pairs the samples of two sides, in the order of the first.
pub(super) fn pair<'a>(first: &'a Side, second: &'a Side) -> Result<Vec<Pair<'a>>, EvalError> {
    let mut pairs = Vec::new();
    for (left, right) in matches(first, second) {
        let scored = (scored(left, right, first, second)?, scored(right, left, second, first)?);
        if let (Some((left_score, left_answer)), Some((right_score, right_answer))) = scored {
            let (scores, answers) = ((left_score, right_score), (left_answer, right_answer));
            pairs.push(Pair { left, right, scores, answers });
        }
    }
    Ok(pairs)
}

/// The score of an item and the answer that was scored. An item of a file is scored as the run on
/// the other side is; between two files, each has its own score.
fn scored(
    item: &SideItem,
    other: &SideItem,
    side: &Side,
    other_side: &Side,
) -> Result<Option<(f64, String)>, EvalError> {
    let own = || item.score.map(|score| (score, item.answer.clone()));
    let (None, Some(manifest), Some(response)) =
        (&side.manifest, &other_side.manifest, &other.response)
    else {
        return Ok(own());
    };
    let mut response = response.clone();
    response.reply = crate::answerer::Reply { text: item.reply.clone(), ..Default::default() };
    let found = scores::of_response(&manifest.scoring, &response)?;
    Ok(found.score.map(|score| (score, found.answer)))
}

fn matches<'a>(first: &'a Side, second: &'a Side) -> Vec<(&'a SideItem, &'a SideItem)> {
    let by_id: HashMap<&str, usize> =
        second.items.iter().enumerate().map(|(at, item)| (item.id.as_str(), at)).collect();
    let mut by_answer: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, item) in second.items.iter().enumerate() {
        by_answer.entry(answer_key(item)).or_default().push(at);
    }
    let mut taken = HashSet::new();
    let mut partner: Vec<Option<usize>> = Vec::with_capacity(first.items.len());
    for item in &first.items {
        let same = by_id.get(item.id.as_str()).copied();
        let same = same.filter(|at| same_question(item, &second.items[*at]));
        taken.extend(same);
        partner.push(same);
    }
    for (item, partner) in first.items.iter().zip(&mut partner) {
        if partner.is_none() {
            let free = by_answer.get(&answer_key(item)).into_iter().flatten().copied();
            let free = free.filter(|at| !taken.contains(at));
            let free: Vec<usize> =
                free.filter(|at| same_question(item, &second.items[*at])).collect();
            // The same question may be asked about several images.
            let same_image = free.iter().find(|at| same_images(item, &second.items[**at]));
            *partner = same_image.or(free.first()).copied();
            taken.extend(*partner);
        }
    }
    let items = first.items.iter().zip(partner);
    items.filter_map(|(item, at)| Some((item, &second.items[at?]))).collect()
}

fn answer_key(item: &SideItem) -> String {
    item.references.first().map(|reference| reference.trim().to_lowercase()).unwrap_or_default()
}

/// Whether the questions are the same, or one is in the prompt of the other. What a file does not
/// tell is no difference.
fn same_question(left: &SideItem, right: &SideItem) -> bool {
    let within = |item: &SideItem, other: &SideItem| other.prompt.contains(item.question.trim());
    match (left.question.is_empty(), right.question.is_empty()) {
        (false, false) => left.question.trim() == right.question.trim(),
        (false, true) => right.prompt.is_empty() || within(left, right),
        (true, false) => left.prompt.is_empty() || within(right, left),
        (true, true) => {
            left.prompt.is_empty() || right.prompt.is_empty() || left.prompt == right.prompt
        }
    }
}

fn same_images(left: &SideItem, right: &SideItem) -> bool {
    match (&left.response, &right.response) {
        (Some(left), Some(right)) => left.images == right.images,
        _ => false,
    }
}

impl Pair<'_> {
    /// What it has in common with the samples that are not independent of it.
    pub(super) fn cluster(&self) -> &str {
        let left = self.left.response.as_ref().and_then(|response| response.images.first());
        let right = self.right.response.as_ref().and_then(|response| response.images.first());
        left.or(right).map_or(&self.left.id, |digest| digest)
    }

    pub(super) fn references(&self) -> &[String] {
        match self.left.response.is_some() || self.right.references.is_empty() {
            true => &self.left.references,
            false => &self.right.references,
        }
    }

    pub(super) fn groups(&self) -> &BTreeMap<String, String> {
        match self.left.response.is_some() || self.right.groups.is_empty() {
            true => &self.left.groups,
            false => &self.right.groups,
        }
    }

    pub(super) fn other_prompt(&self) -> bool {
        let (left, right) = (&self.left.prompt, &self.right.prompt);
        !left.is_empty() && !right.is_empty() && left.trim() != right.trim()
    }

    pub(super) fn other_image(&self) -> bool {
        match (&self.left.response, &self.right.response) {
            (Some(left), Some(right)) => {
                let (a, b) = (left.reply.image_tokens, right.reply.image_tokens);
                left.images != right.images || (a.is_some() && b.is_some() && a != b)
            }
            _ => false,
        }
    }

    pub(super) fn other_reply(&self) -> bool {
        self.left.reply != self.right.reply
    }

    /// Whether other answers were taken out of equal replies, by the sides themselves.
    pub(super) fn other_extraction(&self) -> bool {
        !self.other_reply() && self.left.answer != self.right.answer
    }

    /// Whether equal answers have other scores, by the sides themselves.
    pub(super) fn other_metric(&self) -> bool {
        let scores = (self.left.score, self.right.score);
        let differ = matches!(scores, (Some(a), Some(b)) if (a - b).abs() > 1e-9);
        !self.other_reply() && !self.other_extraction() && differ
    }

    /// The first thing that was not the same.
    pub(super) fn reason(&self) -> Reason {
        match () {
            () if self.other_reply() && self.other_prompt() => Reason::Prompt,
            () if self.other_reply() && self.other_image() => Reason::Image,
            () if self.other_reply() => Reason::Reply,
            () if self.other_extraction() => Reason::Extraction,
            () => Reason::Metric,
        }
    }
}
