//! Which blocks of an answer are which true blocks, by OmniDocBench's `quick_match`: without its
//! limit of time, behind which the scorer pairs in another way.

use super::answer::{Found, Kind};
use super::arrays;
use super::merges::{self, distance_inside};
use super::truth::{Block, FORMULA, is_scored};
use crate::assignment::assign;
use crate::metrics::{formula_normalize, text_normalize};
use crate::python::set_order;

/// Found blocks nearer than this to a block that is not scored are taken out with it.
const NEAR: f64 = 0.25;
/// Pairs further apart than this are none.
const FAR: f64 = 0.7;
/// True blocks nearer than this to a stretch of a found one are in it.
const INSIDE: f64 = 0.4;

/// True blocks with the found ones that are theirs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    /// The category of most of the true blocks.
    pub(super) category: String,
    /// The true content as it is.
    pub(super) truth: String,
    pub(super) normal_truth: String,
    /// Places of the true blocks; 0 for one without.
    pub(super) orders: Vec<f64>,
    pub(super) normal_found: String,
    /// Whether it is a formula that was found, and where; nothing where nothing was.
    pub(super) found: Option<(bool, usize)>,
}

/// A block and its normal form; none of both is empty.
struct Line {
    content: String,
    normal: String,
    category: String,
}

/// The lines of both sides. Some blocks have none; the reference takes place and kind of a line
/// from the block of its number all the same, and so do we.
struct Sides {
    truth: Vec<Line>,
    found: Vec<Line>,
    orders: Vec<f64>,
    places: Vec<(bool, usize)>,
}

pub(super) fn pairs(truth: Vec<Block>, mut found: Vec<Found>) -> Vec<Pair> {
    // Formulas inside of lines come last.
    found.sort_by_key(|block| (block.inline, block.place));
    let found = arrays::split_found(found);
    let line = |content: String, is_formula: bool, category: String| {
        let normal = match is_formula {
            true => formula_normalize::omnidocbench(&content),
            false => text_normalize::omnidocbench(&content),
        };
        (!normal.is_empty()).then_some(Line { content, normal, category })
    };
    let sides = Sides {
        orders: truth.iter().map(|block| block.order).collect(),
        places: found.iter().map(|block| (block.kind == Kind::Formula, block.place)).collect(),
        truth: truth
            .into_iter()
            .filter_map(|block| line(block.content, block.category == FORMULA, block.category))
            .collect(),
        found: found
            .into_iter()
            .filter_map(|block| line(block.content, block.kind == Kind::Formula, String::new()))
            .collect(),
    };
    match (sides.truth.len(), sides.found.len()) {
        (0, _) => Vec::new(),
        (count, 0) => (0..count).map(|at| sides.pair(&[at], &[])).collect(),
        (1, 1) => vec![sides.pair(&[0], &[0])],
        _ => sides.best_pairs(),
    }
}

impl Sides {
    fn pair(&self, truth: &[usize], found: &[usize]) -> Pair {
        let lines = || truth.iter().map(|&at| &self.truth[at]);
        let category = most_common(lines().map(|line| line.category.as_str()));
        let content = |line: &Line| line.content.clone();
        let truth_content = if category == FORMULA && truth.len() > 1 {
            let inner =
                |line: &Line| format!("{{{}}}", line.content.trim_matches('$').trim_matches('\n'));
            let inner = lines().map(inner).collect::<Vec<_>>().join(r" \\ ");
            format!(r"\begin{{array}}{{l}} {inner} \end{{array}}")
        } else {
            lines().map(content).collect()
        };
        Pair {
            truth: truth_content,
            normal_truth: lines().map(|line| line.normal.as_str()).collect(),
            orders: truth.iter().map(|&at| self.orders[at]).collect(),
            normal_found: found.iter().map(|&at| self.found[at].normal.as_str()).collect(),
            found: found.first().map(|&at| self.places[at]),
            category: category.to_owned(),
        }
    }

    fn best_pairs(&self) -> Vec<Pair> {
        let scored = |&at: &usize| is_scored(&self.truth[at].category);
        let (truth, passed): (Vec<usize>, Vec<usize>) = (0..self.truth.len()).partition(scored);
        let near = |&at: &usize| {
            let found = &self.found[at].normal;
            let distance = |&at: &usize| merges::distance(&self.truth[at].normal, found);
            passed.iter().any(|at| distance(at) < NEAR)
        };
        let found: Vec<usize> = (0..self.found.len()).filter(|at| !near(at)).collect();
        let truth_texts: Vec<&str> =
            truth.iter().map(|&at| self.truth[at].normal.as_str()).collect();
        let found_texts: Vec<&str> =
            found.iter().map(|&at| self.found[at].normal.as_str()).collect();
        let matches = quick_match(&truth_texts, &found_texts);
        let of = |blocks: &[usize], all: &[usize]| -> Vec<usize> {
            blocks.iter().map(|&at| all[at]).collect()
        };
        let pair = |group: &Match| self.pair(&of(&group.truth, &truth), &of(&group.found, &found));
        matches.iter().map(pair).collect()
    }
}

/// The most frequent, the first of equally frequent ones.
fn most_common<'a>(names: impl Iterator<Item = &'a str>) -> &'a str {
    let names: Vec<&str> = names.collect();
    let count = |name: &str| names.iter().filter(|other| **other == name).count();
    // Of equals `max_by_key` gives the last.
    names.iter().rev().max_by_key(|name| count(name)).copied().unwrap_or_default()
}

/// True and found blocks that belong together, by number.
struct Match {
    truth: Vec<usize>,
    found: Vec<usize>,
}

fn quick_match(truth: &[&str], found: &[&str]) -> Vec<Match> {
    let mut matches: Vec<Match> = Vec::new();
    let mut lonely = vec![true; truth.len()];
    for (row, run, distance) in merges::assignment(truth, found) {
        if distance <= FAR {
            lonely[row] = false;
            matches.push(Match { truth: vec![row], found: run.collect() });
        }
    }
    add_inner(&mut matches, &mut lonely, truth, found);
    let mut is_taken = vec![false; found.len()];
    matches.iter().flat_map(|group| &group.found).for_each(|&at| is_taken[at] = true);
    // A block whose true blocks were all found elsewhere is taken and pairs with none.
    matches.retain(|group| !group.truth.is_empty());
    matches.iter_mut().for_each(|group| group.truth.sort_unstable());
    let count = |flags: &[bool], value| flags.iter().filter(|flag| **flag == value).count();
    let rows = set_order::difference(truth.len(), count(&lonely, false), |at| !lonely[at]);
    let columns = set_order::difference(found.len(), count(&is_taken, true), |at| is_taken[at]);
    let row_texts: Vec<&str> = rows.iter().map(|&at| truth[at]).collect();
    let column_texts: Vec<&str> = columns.iter().map(|&at| found[at]).collect();
    let costs = merges::distances(&row_texts, &column_texts);
    for (row, column) in assign(rows.len(), columns.len(), &costs) {
        lonely[rows[row]] = false;
        matches.push(Match { truth: vec![rows[row]], found: vec![columns[column]] });
    }
    let rest = (0..truth.len()).filter(|&at| lonely[at]);
    matches.extend(rest.map(|at| Match { truth: vec![at], found: Vec::new() }));
    matches
}

/// Adds true blocks without a partner to the first found block that they are inside of.
fn add_inner(matches: &mut Vec<Match>, lonely: &mut [bool], truth: &[&str], found: &[&str]) {
    let apart: Vec<usize> = (0..truth.len()).filter(|&row| lonely[row]).collect();
    for (at, text) in found.iter().enumerate() {
        let inside = |row: &usize| distance_inside(truth[*row], text).is_some_and(|d| d < INSIDE);
        let inner: Vec<usize> = apart.iter().copied().filter(inside).collect();
        if inner.is_empty() {
            continue;
        }
        let new: Vec<usize> = inner.into_iter().filter(|&row| lonely[row]).collect();
        new.iter().for_each(|&row| lonely[row] = false);
        match matches.iter_mut().find(|group| group.found == [at]) {
            Some(group) => group.truth.extend(new),
            None => matches.push(Match { truth: new, found: vec![at] }),
        }
    }
}
