//! Charts turned into tables, by the three measures of DePlot (Liu et al. 2023) as in its
//! `metrics.py` of December 2023.
//!
//! A table is a text: a row a line, cells parted by ` | `, before them a line `TITLE | …` where
//! there is a title. All is lower-cased. Every measure takes the best over the references.

use super::relaxed_accuracy::number;
use super::{Item, MetricInfo, ScoreError, anls};
use crate::assignment::assign;
use crate::python::{float, split_lines, strip};
use serde_json::{Value, json};
use std::collections::HashMap;

pub(super) const METRICS: &[MetricInfo] = &[
    info("rms_f1", "cells found and right, as F1", |item| {
        let best = best(item, relative_mapping_similarity)?;
        Ok(best.f1.into())
    }),
    info("rms_per_point", "cells found and right: precision, recall, F1", |item| {
        let best = best(item, relative_mapping_similarity)?;
        Ok(json!({ "precision": best.precision, "recall": best.recall, "f1": best.f1 }))
    }),
    info("rnss", "numbers found and near, of 100", |item| rnss_of_item(item, ZeroRule::Inverted)),
    info("rnss_zero_repaired", "numbers found and near, of 100, a zero like any number", |item| {
        rnss_of_item(item, ZeroRule::Repaired)
    }),
    info("row_datapoints", "whole rows found and right, of 100", |item| {
        let best = best(item, row_similarity)?;
        Ok(json!({
            "row_datapoints_precision": 100.0 * best.precision,
            "row_datapoints_recall": 100.0 * best.recall,
            "row_datapoints_f1": 100.0 * best.f1,
        }))
    }),
];

const fn info(
    variant: &'static str,
    summary: &'static str,
    score: fn(&Item) -> Result<Value, ScoreError>,
) -> MetricInfo {
    MetricInfo { name: "chart_table", variant, summary, score }
}

/// How much of a prediction is in the reference, how much of that in the prediction, and their
/// harmonic mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Share of what was predicted.
    pub precision: f64,
    /// Share of what was wanted.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

impl Agreement {
    const NONE: Self = Self { precision: 0.0, recall: 0.0, f1: 0.0 };

    /// Of a score summed over pairs; `None` when there is something on both sides.
    fn of_nothing(wanted: usize, predicted: usize) -> Option<Self> {
        match (wanted, predicted) {
            (0, 0) => Some(Self { precision: 1.0, recall: 1.0, f1: 1.0 }),
            (0, _) => Some(Self { recall: 1.0, ..Self::NONE }),
            (_, 0) => Some(Self { precision: 1.0, ..Self::NONE }),
            _ => None,
        }
    }

    fn of_sum(score: f64, wanted: usize, predicted: usize) -> Self {
        if score == 0.0 {
            return Self::NONE;
        }
        let (precision, recall) = (score / predicted as f64, score / wanted as f64);
        Self { precision, recall, f1: 2.0 * precision * recall / (precision + recall) }
    }

    /// The one of higher F1, the first of equals.
    fn better(self, other: Self) -> Self {
        if other.f1 > self.f1 { other } else { self }
    }
}

fn best(
    item: &Item,
    measure: impl Fn(&str, &[&str]) -> Option<Agreement>,
) -> Result<Agreement, ScoreError> {
    measure(item.text()?, &item.reference_texts()?)
        .ok_or(ScoreError::Undefined("no references, or a table without headers"))
}

fn rnss_of_item(item: &Item, rule: ZeroRule) -> Result<Value, ScoreError> {
    let prediction = item.text()?;
    let scores =
        item.reference_texts()?.into_iter().map(|reference| rnss(prediction, reference, rule));
    let best = scores.reduce(f64::max).ok_or(ScoreError::Undefined("no references"))?;
    Ok((100.0 * best).into())
}

/// What a number against a wanted zero costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroRule {
    /// As DePlot's code has it: zero for a wanted zero costs 1, any other number nothing.
    Inverted,
    /// Zero for a wanted zero costs nothing, any other number 1.
    Repaired,
}

/// Relative number set similarity, 0 to 1: the numbers of both tables wherever they stand, paired
/// at the least relative error. Cells such as `12%` or `1,000` are no numbers here.
pub fn rnss(prediction: &str, reference: &str, rule: ZeroRule) -> f64 {
    let (wanted, predicted) = (numbers(reference), numbers(prediction));
    let longest = wanted.len().max(predicted.len());
    match (wanted.len(), predicted.len()) {
        (0, 0) => return 1.0,
        (0, _) | (_, 0) => return 0.0,
        _ => {}
    }
    let cost = |&wanted: &f64, &predicted: &f64| match rule {
        _ if wanted != 0.0 => relative_error(wanted, predicted, 1.0),
        ZeroRule::Inverted => f64::from(predicted == 0.0),
        ZeroRule::Repaired => f64::from(predicted != 0.0),
    };
    1.0 - paired(&wanted, &predicted, cost).iter().map(|(_, _, cost)| cost).sum::<f64>()
        / longest as f64
}

fn numbers(text: &str) -> Vec<f64> {
    let lines = split_lines(text).into_iter();
    lines.flat_map(|line| line.split(" | ")).filter_map(float).collect()
}

/// |wanted − predicted| ÷ |wanted|, or 1 from `limit` on. `wanted` is not zero.
fn relative_error(wanted: f64, predicted: f64, limit: f64) -> f64 {
    let error = ((wanted - predicted) / wanted).abs();
    if error < limit { error } else { 1.0 }
}

/// Pairs at the least total cost, each with its cost.
fn paired<A, B>(
    wanted: &[A],
    predicted: &[B],
    cost: impl Fn(&A, &B) -> f64,
) -> Vec<(usize, usize, f64)> {
    let costs: Vec<f64> = wanted
        .iter()
        .flat_map(|wanted| predicted.iter().map(|predicted| cost(wanted, predicted)))
        .collect();
    let pairs = assign(wanted.len(), predicted.len(), &costs).into_iter();
    pairs.map(|(row, column)| (row, column, costs[row * predicted.len() + column])).collect()
}

/// Numbers further off than this share are wrong.
const NUMBER_LIMIT: f64 = 0.1;

/// Similarity of two texts, 0 below one half; `None` where both are empty, where pix2struct raises.
fn text_similarity(a: &str, b: &str) -> Option<f64> {
    anls::score(a, &[b], anls::Variant::Pix2struct)
}

/// Relative mapping similarity (RMS): cells as entries from "row header, column header" to a value,
/// paired by their keys. The best over the table as it is and turned over. `None` without
/// references.
pub fn relative_mapping_similarity(prediction: &str, references: &[&str]) -> Option<Agreement> {
    let prediction = prediction.to_lowercase();
    let references: Vec<String> = references.iter().map(|text| text.to_lowercase()).collect();
    let references: Vec<_> =
        references.iter().map(|text| Table::parse(text, false).entries()).collect();
    let predictions = [true, false].map(|turned| Table::parse(&prediction, turned).entries());
    let all = predictions
        .iter()
        .flat_map(|predicted| references.iter().map(|wanted| compare_entries(wanted, predicted)));
    all.reduce(Agreement::better)
}

fn compare_entries(wanted: &[(String, &str)], predicted: &[(String, &str)]) -> Agreement {
    if let Some(agreement) = Agreement::of_nothing(wanted.len(), predicted.len()) {
        return agreement;
    }
    let key_cost = |(wanted, _): &(String, &str), (predicted, _): &(String, &str)| {
        1.0 - text_similarity(wanted, predicted).unwrap_or(0.0)
    };
    let mut score = 0.0;
    for (row, column, cost) in paired(wanted, predicted, key_cost) {
        score += (1.0 - cost) * value_similarity(wanted[row].1, predicted[column].1);
    }
    Agreement::of_sum(score, wanted.len(), predicted.len())
}

fn value_similarity(wanted: &str, predicted: &str) -> f64 {
    match (number(wanted), number(predicted)) {
        (Some(wanted), Some(predicted)) if wanted != 0.0 => {
            1.0 - relative_error(wanted, predicted, NUMBER_LIMIT)
        }
        _ if wanted == predicted => 1.0,
        _ => text_similarity(wanted, predicted).unwrap_or(0.0),
    }
}

/// Whole rows, paired at their highest similarity once columns are aligned by their headers. The
/// best over both tables as they are and turned over. `None` where the reference raises: without
/// headers, or with two empty ones.
pub fn row_similarity(prediction: &str, references: &[&str]) -> Option<Agreement> {
    let prediction = prediction.to_lowercase();
    let predictions = [true, false].map(|turned| Table::parse(&prediction, turned));
    let mut found = Vec::new();
    for reference in references {
        let reference = reference.to_lowercase();
        for wanted in [true, false].map(|turned| Table::parse(&reference, turned)) {
            for predicted in &predictions {
                if wanted.headers.len() == predicted.headers.len() {
                    found.push(compare_rows(&wanted, predicted)?);
                }
            }
        }
    }
    Some(found.into_iter().reduce(Agreement::better).unwrap_or(Agreement::NONE))
}

fn compare_rows(wanted: &Table, predicted: &Table) -> Option<Agreement> {
    let (order, aligned) = predicted.order_like(&wanted.headers)?;
    let (wanted, predicted) =
        (wanted.rows_with_title(), predicted.permuted(&order).rows_with_title());
    let nothing = Agreement::of_nothing(wanted.len(), predicted.len());
    if nothing.is_some() {
        return nothing;
    }
    if aligned == 0.0 {
        return Some(Agreement { precision: 1.0, ..Agreement::NONE });
    }
    let cost =
        |wanted: &Vec<&str>, predicted: &Vec<&str>| 1.0 - aligned * row_score(wanted, predicted);
    let score = paired(&wanted, &predicted, cost).iter().map(|(_, _, cost)| 1.0 - cost).sum();
    Some(Agreement::of_sum(score, wanted.len(), predicted.len()))
}

/// The product of the similarities of cells; rows of other lengths have nothing in common.
fn row_score(wanted: &[&str], predicted: &[&str]) -> f64 {
    if wanted.len() != predicted.len() || wanted.is_empty() {
        return 0.0;
    }
    wanted
        .iter()
        .zip(predicted)
        .map(|(wanted, predicted)| cell_similarity(wanted, predicted))
        .product()
}

fn cell_similarity(wanted: &str, predicted: &str) -> f64 {
    match (number(wanted), number(predicted)) {
        _ if wanted == predicted => 1.0,
        (Some(wanted), Some(predicted)) if wanted != 0.0 => {
            1.0 - relative_error(wanted, predicted, NUMBER_LIMIT)
        }
        (Some(_), _) => 0.0,
        _ => text_similarity(wanted, predicted).unwrap_or(0.0),
    }
}

/// A table of trimmed cells, made of a lower-cased text.
struct Table<'a> {
    title: Option<&'a str>,
    headers: Vec<&'a str>,
    rows: Vec<Vec<&'a str>>,
}

impl<'a> Table<'a> {
    /// Reads a table; `turned` makes columns of its rows.
    fn parse(text: &'a str, turned: bool) -> Self {
        let mut lines = split_lines(text).into_iter().peekable();
        let title = lines.peek().and_then(|line| line.strip_prefix("title |")).map(strip);
        if title.is_some() {
            lines.next();
        }
        let mut rows: Vec<Vec<&str>> =
            lines.map(|line| line.split(" | ").map(strip).collect()).collect();
        if turned {
            let width = rows.iter().map(Vec::len).max().unwrap_or(0);
            let cell = |row: &Vec<&'a str>, at: usize| row.get(at).copied().unwrap_or("");
            rows = (0..width).map(|at| rows.iter().map(|row| cell(row, at)).collect()).collect();
        }
        let headers = if rows.is_empty() { Vec::new() } else { rows.remove(0) };
        Self { title, headers, rows }
    }

    /// Each cell under the name of its row and column, the last of equal names, and the title.
    fn entries(&self) -> Vec<(String, &'a str)> {
        let mut entries: Vec<(String, &str)> =
            self.title.map(|title| ("title".to_owned(), title)).into_iter().collect();
        let mut places = HashMap::new();
        for row in &self.rows {
            let Some((name, cells)) = row.split_first() else { continue };
            for (header, &cell) in self.headers.iter().skip(1).zip(cells) {
                let key = format!("{name} {header}");
                match places.get(&key) {
                    Some(&place) => entries[place] = (key, cell),
                    None => {
                        places.insert(key.clone(), entries.len());
                        entries.push((key, cell));
                    }
                }
            }
        }
        entries
    }

    /// The order of columns that suits as many `headers` best, and the product of the similarities
    /// of all headers but the first.
    fn order_like(&self, headers: &[&str]) -> Option<(Vec<usize>, f64)> {
        let both_empty = self.headers.contains(&"") && headers.contains(&"");
        if headers.is_empty() || both_empty {
            return None;
        }
        let cost = |own: &&str, other: &&str| 1.0 - text_similarity(other, own).unwrap_or(0.0);
        let mut pairs = paired(&self.headers, headers, cost);
        pairs.sort_unstable_by_key(|&(_, column, _)| column);
        let aligned = pairs.iter().skip(1).map(|(_, _, cost)| 1.0 - cost).product();
        Some((pairs.iter().map(|&(own, _, _)| own).collect(), aligned))
    }

    /// The table with its columns in another order, missing cells empty.
    fn permuted(&self, order: &[usize]) -> Self {
        let permute = |row: &Vec<&'a str>| {
            order.iter().map(|&at| row.get(at).copied().unwrap_or("")).collect()
        };
        Self {
            title: self.title,
            headers: permute(&self.headers),
            rows: self.rows.iter().map(permute).collect(),
        }
    }

    /// The rows under the headers, and the title as a last one.
    fn rows_with_title(&self) -> Vec<Vec<&'a str>> {
        let title = self.title.map(|title| vec!["title", title]);
        self.rows.iter().cloned().chain(title).collect()
    }
}
