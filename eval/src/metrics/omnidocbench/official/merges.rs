//! Which blocks of an answer are parts of one true block, by OmniDocBench's `quick_match`.

use crate::assignment::assign;
use crate::python::length;
use crate::text::edit_distance;
use rapidfuzz::distance::levenshtein;

/// Below this distance two blocks are the same one, and no others are merged with them.
const SAME: f64 = 0.25;
/// The distance below which a block is looked for inside of a true block.
const INSIDE: f64 = 0.6;

/// Blocks of an answer that follow one another, and count as one.
pub(super) type Run = std::ops::Range<usize>;

/// Edits over the longer length, of texts of which one is not empty.
pub(super) fn distance(a: &str, b: &str) -> f64 {
    edit_distance(a, b) as f64 / length(a).max(length(b)).max(1) as f64
}

/// Row by row, the distance of each true block to each found one.
pub(super) fn distances(truth: &[&str], found: &[&str]) -> Vec<f64> {
    let pairs = truth.iter().flat_map(|truth| found.iter().map(move |found| (truth, found)));
    pairs.map(|(truth, found)| distance(truth, found)).collect()
}

/// The least distance of `part` to a stretch of `whole` of its length, over that length; `None`
/// where `part` is empty or the longer.
pub(super) fn distance_inside(part: &str, whole: &str) -> Option<f64> {
    let part: Vec<char> = part.chars().collect();
    let whole: Vec<char> = whole.chars().collect();
    if part.is_empty() || part.len() > whole.len() {
        return None;
    }
    let comparator = levenshtein::BatchComparator::new(part.iter().copied());
    let mut least = part.len();
    for stretch in whole.windows(part.len()) {
        let below = levenshtein::Args::default().score_cutoff(least);
        if let Some(edits) = comparator.distance_with_args(stretch.iter().copied(), &below) {
            least = least.min(edits);
        }
        if least == 0 {
            break;
        }
    }
    Some(least as f64 / part.len() as f64)
}

/// The best assignment of true blocks to runs of found ones, with the distance of each pair.
pub(super) fn assignment(truth: &[&str], found: &[&str]) -> Vec<(usize, Run, f64)> {
    let alone = distances(truth, found);
    let merged = merged(truth, found, &alone);
    let (runs, costs) = if merged.is_empty() {
        ((0..found.len()).map(|at| at..at + 1).collect(), alone)
    } else {
        let runs = runs(found.len(), merged);
        let texts: Vec<String> = runs.iter().map(|run| found[run.clone()].join(" ")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let costs = distances(truth, &texts);
        (runs, costs)
    };
    let pairs = assign(truth.len(), runs.len(), &costs).into_iter();
    pairs.map(|(row, run)| (row, runs[run].clone(), costs[row * runs.len() + run])).collect()
}

/// All found blocks as runs: the merged ones, and each of the others alone.
fn runs(count: usize, mut merged: Vec<Run>) -> Vec<Run> {
    merged.sort_by_key(|run| run.start);
    let mut runs = Vec::with_capacity(count);
    let mut next = 0;
    for run in merged {
        runs.extend((next..run.start).map(|at| at..at + 1));
        next = run.end;
        runs.push(run);
    }
    runs.extend((next..count).map(|at| at..at + 1));
    runs
}

/// The runs that are nearest to true blocks that no found block is the same as.
fn merged(truth: &[&str], found: &[&str], distances: &[f64]) -> Vec<Run> {
    let is_same = |row: usize, column: usize| distances[row * found.len() + column] < SAME;
    let free_truth = (0..truth.len()).filter(|&row| !(0..found.len()).any(|at| is_same(row, at)));
    let free: Vec<bool> =
        (0..found.len()).map(|at| !(0..truth.len()).any(|row| is_same(row, at))).collect();
    let mut best: Vec<(Run, f64)> = Vec::new();
    for row in free_truth {
        let starts = (0..found.len()).filter(|&at| free[at]);
        let runs = starts.map(|start| {
            let run = start..end_of_run(truth[row], found, &free, start);
            let distance = distance(truth[row], &found[run.clone()].join(" "));
            (run, distance)
        });
        best.extend(runs.min_by(|a, b| a.1.total_cmp(&b.1)));
    }
    without_overlaps(best)
}

/// How far the found blocks from `start` on are parts of a true block.
fn end_of_run(truth: &str, found: &[&str], free: &[bool], start: usize) -> usize {
    let mut end = start + 1;
    while end < found.len() && free[end] {
        let (is_part, goes_on) = takes(truth, &found[start..=end]);
        end += usize::from(is_part);
        if !goes_on {
            break;
        }
    }
    end
}

/// Whether the last of `parts` is a part of a true block as those before are, and whether there may
/// be more.
fn takes(truth: &str, parts: &[&str]) -> (bool, bool) {
    let Some((last, before)) = parts.split_last() else { return (false, false) };
    let whole = parts.join(" ");
    if distance(truth, &whole) > distance(truth, &before.join(" ")) {
        return (false, false);
    }
    let inside = |part: &&str| distance_inside(part, truth).is_some_and(|found| found <= INSIDE);
    let is_part = before.iter().all(inside)
        && distance_inside(last, truth).is_some_and(|found| found < INSIDE);
    (is_part, is_part && length(&whole) <= length(truth))
}

/// Of runs with their distances, those that do not overlap and are nearest: each group of runs that
/// overlap is laid out in paths, and the path with the least mean distance is taken.
fn without_overlaps(mut runs: Vec<(Run, f64)>) -> Vec<Run> {
    runs.sort_by_key(|(run, _)| run.start);
    let mut groups: Vec<Vec<(Run, f64)>> = Vec::new();
    for run in runs {
        match groups.last_mut() {
            Some(group) if group.iter().any(|other| overlap(&other.0, &run.0)) => group.push(run),
            _ => groups.push(vec![run]),
        }
    }
    groups.into_iter().flat_map(best_path).collect()
}

fn overlap(a: &Run, b: &Run) -> bool {
    a.start < b.end && b.start < a.end
}

fn best_path(group: Vec<(Run, f64)>) -> Vec<Run> {
    let mut group = group.into_iter();
    let mut paths = vec![Vec::from_iter(group.next())];
    for run in group {
        let mut begins_one = true;
        for path in &mut paths {
            let (overlaps, is_on_it) = meet(path, &run);
            if !overlaps {
                path.push(run.clone());
            }
            begins_one &= overlaps && !is_on_it;
        }
        if begins_one {
            paths.push(vec![run]);
        }
    }
    let mean = |path: &Vec<(Run, f64)>| {
        path.iter().map(|(_, distance)| distance).sum::<f64>() / path.len() as f64
    };
    let best = paths.into_iter().min_by(|a, b| mean(a).total_cmp(&mean(b)));
    best.unwrap_or_default().into_iter().map(|(run, _)| run).collect()
}

/// Whether a run overlaps what is on a path, and whether the same run is on it; there the nearer of
/// both stays. The reference changes the path while it walks along it, and so passes one over.
fn meet(path: &mut Vec<(Run, f64)>, run: &(Run, f64)) -> (bool, bool) {
    let (mut overlaps, mut is_on_it) = (false, false);
    let mut at = 0;
    while at < path.len() {
        let other = path[at].clone();
        if other.0 == run.0 {
            (overlaps, is_on_it) = (true, true);
            if other.1 > run.1 {
                let first = path.iter().position(|found| *found == other).unwrap_or(at);
                path.remove(first);
                path.push(run.clone());
            }
        } else {
            overlaps |= overlap(&other.0, &run.0);
        }
        at += 1;
    }
    (overlaps, is_on_it)
}
