//! Edits over length, as OmniDocBench counts them: of a sample, of a page, and of a set (Ouyang et
//! al. 2025, `call_Edit_dist`).

use crate::python::length;
use crate::text::edit_distance;
use rapidfuzz::distance::levenshtein;
use std::collections::BTreeMap;

/// The edits between two sequences, and the length of the longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Insertions, deletions and replacements.
    pub count: usize,
    /// What the edits are over.
    pub longest: usize,
}

impl Edits {
    /// Of two texts, in code points.
    pub fn of_texts(a: &str, b: &str) -> Self {
        Self { count: edit_distance(a, b), longest: length(a).max(length(b)) }
    }

    /// Of two orders of places.
    pub fn of_places(a: &[f64], b: &[f64]) -> Self {
        let bits = |places: &[f64]| places.iter().map(|place| place.to_bits()).collect::<Vec<_>>();
        let count = levenshtein::distance(bits(a), bits(b));
        Self { count, longest: a.len().max(b.len()) }
    }

    /// Edits over length, 0 (equal) to 1; `None` of two empty sequences.
    pub fn ratio(self) -> Option<f64> {
        (self.longest > 0).then(|| self.count as f64 / self.longest as f64)
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.longest += other.longest;
    }
}

/// Edits over length of a set, each 0 (equal) to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetEdits {
    /// The mean over pages of a page's edits over its length; what the leaderboard shows.
    pub page_mean: f64,
    /// The mean over samples.
    pub sample_mean: f64,
    /// All edits over all length.
    pub whole: f64,
}

impl SetEdits {
    /// Of samples with their pages. Those without anything on both sides count in no mean; `None`
    /// when that is all there is.
    pub fn of<Page: Ord>(samples: impl IntoIterator<Item = (Page, Edits)>) -> Option<Self> {
        let mut pages: BTreeMap<Page, Edits> = BTreeMap::new();
        let (mut ratios, mut whole) = (Vec::new(), Edits::default());
        for (page, edits) in samples {
            ratios.extend(edits.ratio());
            whole.add(edits);
            pages.entry(page).or_default().add(edits);
        }
        let of_pages: Vec<f64> = pages.values().filter_map(|page| page.ratio()).collect();
        Some(Self { whole: whole.ratio()?, page_mean: mean(&of_pages), sample_mean: mean(&ratios) })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
