//! Why two sides differ.

use super::pairs::Pair;
use super::side::Side;
use serde::Serialize;
use std::collections::BTreeMap;

/// The step between sample and score at which two sides part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The prompts differ.
    Prompt,
    /// The images differ, or the number of tokens that they became.
    Image,
    /// As far as is known the same was asked, and the replies differ.
    Reply,
    /// Another answer was taken out of the same reply.
    Extraction,
    /// The same answer was scored otherwise.
    Metric,
}

impl Reason {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Image => "image",
            Self::Reply => "reply",
            Self::Extraction => "extraction",
            Self::Metric => "metric",
        }
    }
}

/// In how many samples something was not the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reasons {
    /// The prompt, where both sides tell it.
    pub prompt: usize,
    /// The image, or the number of its tokens, where both sides tell it.
    pub image: usize,
    /// The reply.
    pub reply: usize,
    /// The answer that was taken out of equal replies.
    pub extraction: usize,
    /// The score, by the sides themselves, of equal answers.
    pub metric: usize,
    /// Of the samples whose score changed, how many did so for which reason first.
    pub changed: BTreeMap<&'static str, usize>,
    /// The prompts of the first sample in which they differ.
    pub prompts: Option<(String, String)>,
}

impl Reasons {
    pub(super) fn of(pairs: &[Pair<'_>]) -> Self {
        let count = |is: &dyn Fn(&Pair<'_>) -> bool| pairs.iter().filter(|pair| is(pair)).count();
        let mut changed = BTreeMap::new();
        for pair in pairs.iter().filter(|pair| pair.scores.0 != pair.scores.1) {
            *changed.entry(pair.reason().name()).or_insert(0) += 1;
        }
        let first = pairs.iter().find(|pair| pair.other_prompt());
        Self {
            prompt: count(&|pair| pair.other_prompt()),
            image: count(&|pair| pair.other_image()),
            reply: count(&|pair| pair.other_reply()),
            extraction: count(&|pair| pair.other_extraction()),
            metric: count(&|pair| pair.other_metric()),
            changed,
            prompts: first.map(|pair| (pair.left.prompt.clone(), pair.right.prompt.clone())),
        }
    }
}

/// What differs for all samples, as far as both sides tell it.
pub(super) fn causes(first: &Side, second: &Side) -> Vec<String> {
    let (Some(left), Some(right)) = (&first.manifest, &second.manifest) else {
        let files = [first, second].into_iter().filter(|side| side.manifest.is_none());
        return files
            .map(|side| format!("{} does not tell its model, options or version", side.what))
            .collect();
    };
    let mut causes = left.identity.differences(&right.identity);
    if first.metric != second.metric {
        let name = |side: &Side| side.metric.clone().unwrap_or_default();
        causes.push(format!("metric ({} and {})", name(first), name(second)));
    }
    if left.scoring.extract != right.scoring.extract {
        let (a, b) = (&left.scoring.extract, &right.scoring.extract);
        causes.push(format!("extraction ({a:?} and {b:?})"));
    }
    if left.version != right.version {
        causes.push(format!("version ({} and {})", left.version, right.version));
    }
    causes
}
