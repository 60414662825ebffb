//! OmniDocBench's pages (Ouyang et al. 2025) from an answer in Markdown: as its own scorer does it,
//! in [`official`], and as lmms-eval does, where the answer is parted into texts, formulas and tables,
//! each is paired with the true blocks, and texts and formulas are scored by edits, tables by TEDS.

mod answer;
pub mod official;
mod page;

use super::lmms_omnidocbench::{self, PageEdits, pair};
use super::teds::{self, Compared};
use super::{Item, MetricInfo, ScoreError, formula_normalize, table_normalize, text_normalize};
use crate::python::{is_space, strip};
use rayon::prelude::*;
use serde_json::{Value, json};

/// A prediction is an answer in Markdown, its first reference the page as published, in JSON. Lists
/// of both are scored as a set.
pub(super) const METRICS: &[MetricInfo] = &[
    MetricInfo {
        name: "omnidocbench",
        variant: "official",
        summary: "texts, formulas, tables and order of a page of Markdown; overall of 0 to 100",
        score: |item| of_item(item, official::score, official::summary),
    },
    MetricInfo {
        name: "omnidocbench",
        variant: "lmms_eval",
        summary: "texts, formulas and tables of a page of Markdown; overall of 0 to 100",
        score: |item| of_item(item, score, summary),
    },
];

fn of_item<Page: Send>(
    item: &Item,
    score: fn(&str, &str) -> Page,
    summary: fn(&[Page]) -> Value,
) -> Result<Value, ScoreError> {
    if let Some(answers) = item.prediction.as_array() {
        let references = item.references.as_array().map(Vec::as_slice).unwrap_or_default();
        let pages = answers.par_iter().zip(references).map(|(answer, references)| {
            let page = references.get(0).unwrap_or(references).as_str().unwrap_or_default();
            score(answer.as_str().unwrap_or_default(), page)
        });
        return Ok(summary(&pages.collect::<Vec<_>>()));
    }
    let references = item.reference_texts()?;
    let page = references.first().copied().unwrap_or_default();
    Ok(summary(&[score(item.text()?, page)]))
}

/// The blocks of a page by kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocks {
    /// Paragraphs, headings, captions and the like.
    pub texts: Vec<String>,
    /// Displayed formulas in LaTeX.
    pub formulas: Vec<String>,
    /// Tables in HTML.
    pub tables: Vec<String>,
}

impl Blocks {
    /// The blocks of an answer in Markdown.
    pub fn of_answer(markdown: &str) -> Self {
        answer::blocks(markdown)
    }

    /// The true blocks of a page as published, a JSON object with `layout_dets`; none of a text
    /// that is no such object.
    pub fn of_page(json: &str) -> Self {
        page::blocks(json)
    }
}

/// How near an answer is to a page. A kind of block that the page does not have is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageScore {
    /// The edits of the texts.
    pub text: Option<PageEdits>,
    /// The edits of the formulas.
    pub formula: Option<PageEdits>,
    /// TEDS of each true table, 0 where none was found.
    pub tables: Vec<f64>,
}

/// Scores an answer in Markdown against a page as published.
pub fn score(answer: &str, page: &str) -> PageScore {
    let (found, truth) = (Blocks::of_answer(answer), Blocks::of_page(page));
    let edits = |found: &[String], truth: &[String], normalise: fn(&str) -> String| {
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        let truth: Vec<&str> = truth.iter().map(String::as_str).collect();
        (!truth.is_empty()).then(|| lmms_omnidocbench::score(&found, &truth, normalise))
    };
    PageScore {
        text: edits(&found.texts, &truth.texts, text_normalize::lmms_eval),
        formula: edits(&found.formulas, &truth.formulas, formula_normalize::lmms_eval),
        tables: tables(&found.tables, &truth.tables),
    }
}

/// TEDS of each true table against its partner.
fn tables(found: &[String], truth: &[String]) -> Vec<f64> {
    let plain = |html: &String| plain_html(html);
    let normal: Vec<String> = truth.iter().map(plain).collect();
    let partners = pair(&found.iter().map(plain).collect::<Vec<_>>(), &normal);
    let teds = |(truth, partner): (&String, Option<usize>)| {
        let Some(found) = partner.and_then(|at| found.get(at)) else { return 0.0 };
        let (found, truth) =
            (table_normalize::ocrbench_v2(found), table_normalize::ocrbench_v2(truth));
        teds::score(&found, &truth, Compared::Content).unwrap_or(0.0).clamp(0.0, 1.0)
    };
    truth.iter().zip(partners).map(teds).collect()
}

/// In small letters, each run of white space one blank.
fn plain_html(html: &str) -> String {
    let text = strip(html).to_lowercase();
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match is_space(c) {
            true if plain.ends_with(' ') => {}
            true => plain.push(' '),
            false => plain.push(c),
        }
    }
    plain
}

/// The parts over all pages, each weighted by its length or number, and the mean of those that
/// there are, in percent.
fn summary(pages: &[PageScore]) -> Value {
    let mean = |edits: Vec<PageEdits>| {
        let weight: f64 = edits.iter().map(|edits| edits.weight as f64).sum();
        let sum: f64 = edits.iter().map(|edits| edits.distance * edits.weight as f64).sum();
        (!edits.is_empty()).then(|| if weight > 0.0 { sum / weight } else { 0.0 })
    };
    let text = mean(pages.iter().filter_map(|page| page.text).collect());
    let formula = mean(pages.iter().filter_map(|page| page.formula).collect());
    let tables: Vec<f64> = pages.iter().flat_map(|page| page.tables.clone()).collect();
    let table = (!tables.is_empty()).then(|| tables.iter().sum::<f64>() / tables.len() as f64);
    let parts = [text.map(|edits| 1.0 - edits), table, formula.map(|edits| 1.0 - edits)];
    let there: Vec<f64> = parts.into_iter().flatten().map(|part| part * 100.0).collect();
    let overall = there.iter().sum::<f64>() / there.len().max(1) as f64;
    json!({ "overall": overall, "text_edit": text, "table_teds": table, "formula_edit": formula })
}
