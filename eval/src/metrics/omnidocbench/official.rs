//! OmniDocBench's own scorer (Ouyang et al. 2025), v1.5 of its repository: the answer is parted into
//! blocks, `quick_match` pairs them with the true ones, and each kind has its measure. Tables in
//! LaTeX score 0, as there without LaTeXML. What its limit of 30 seconds a page does is left out, so
//! that a score does not depend on the machine; CDM needs a TeX engine and is not here.

mod answer;
mod arrays;
mod merges;
mod pairing;
mod table;
mod truth;

use self::answer::{Found, Kind};
use self::pairing::Pair;
use crate::assignment::assign;
use crate::html::{cell_strings, soup};
use crate::latex;
use crate::metrics::edits::{Edits, SetEdits};
use crate::metrics::reading_order;
use crate::metrics::table_normalize;
use crate::metrics::teds::{self, Compared};
use crate::metrics::text_normalize::clean_string;
use crate::python::strip;
use serde_json::{Value, json};

/// How near an answer is to a page, block by block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageScore {
    /// The edits of each text.
    pub texts: Vec<Edits>,
    /// The edits of each formula that was found as one, or not at all.
    pub formulas: Vec<Edits>,
    /// The edits of each formula that was found as text; they count with the texts.
    pub formulas_as_texts: Vec<Edits>,
    /// The edits of the order of the texts; `None` where there are none.
    pub order: Option<Edits>,
    /// Each table.
    pub tables: Vec<TableScore>,
}

impl PageScore {
    /// What the page adds to a set's overall: its texts, with the formulas that were found as such,
    /// its tables and its formulas, each 0 to 1; `None` where it has none.
    pub(crate) fn parts_in_set(&self) -> [Option<f64>; 3] {
        let likeness = |samples: &mut dyn Iterator<Item = &Edits>| {
            let edits = SetEdits::of(samples.map(|edits| ((), *edits)));
            edits.map(|edits| 1.0 - edits.page_mean)
        };
        [
            likeness(&mut self.texts.iter().chain(&self.formulas_as_texts)),
            of_tables(std::slice::from_ref(self), |table| table.teds),
            likeness(&mut self.formulas.iter()),
        ]
    }
}

/// How near a table of an answer is to a true one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableScore {
    /// The edits of the HTML.
    pub edits: Edits,
    /// TEDS, 0 where no table was found.
    pub teds: f64,
    /// TEDS of rows and cells without what is in them.
    pub structure: f64,
}

/// Scores an answer in Markdown against a page as published.
pub fn score(answer: &str, page: &str) -> PageScore {
    let (blocks, page) = (answer::blocks(answer), truth::page(page));
    let (tables, left) = tables(&blocks, &page.tables);
    let mut found = in_kinds(blocks);
    found.extend(left);
    let mut score = PageScore { tables, ..PageScore::default() };
    let mut places = Vec::new();
    for pair in pairing::pairs(page.blocks, found) {
        let edits = Edits::of_texts(&pair.normal_found, &pair.normal_truth);
        match (pair.category == truth::FORMULA, pair.found) {
            (true, Some((false, _))) => score.formulas_as_texts.push(as_text(&pair)),
            (true, _) => score.formulas.push(edits),
            (false, _) if !truth::is_scored(&pair.category) => {}
            (false, found) => {
                score.texts.push(edits);
                let predicted = found.map(|(_, place)| place as f64);
                places.push(reading_order::Pair { truth: Some(pair.orders), predicted });
            }
        }
    }
    score.order = Some(reading_order::edits(&places)).filter(|order| order.longest > 0);
    score
}

/// Texts and formulas, those of one kind together, as the first of each comes.
fn in_kinds(blocks: Vec<Found>) -> Vec<Found> {
    let first = blocks.iter().find(|block| matches!(block.kind, Kind::Text | Kind::Formula));
    let kinds = match first.map(|block| block.kind) {
        Some(Kind::Formula) => [Kind::Formula, Kind::Text],
        _ => [Kind::Text, Kind::Formula],
    };
    let of = |kind| blocks.iter().filter(move |block| block.kind == kind).cloned();
    kinds.into_iter().flat_map(of).collect()
}

/// A formula that was found as text: what can be read of it is held against the text.
fn as_text(pair: &Pair) -> Edits {
    let read = latex::to_text(&pair.truth).unwrap_or_else(|| pair.truth.clone());
    let clean = clean_string(&read);
    let truth = if clean.is_empty() { read } else { clean };
    Edits::of_texts(&pair.normal_found, &truth)
}

/// The score of each true table against its partner, at the lowest total distance of the HTML; and
/// the cells of tables without a partner as texts. Of a page with more tables in LaTeX than in HTML
/// none counts as found.
fn tables(blocks: &[Found], truth: &[truth::Table]) -> (Vec<TableScore>, Vec<Found>) {
    if truth.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let of = |kind| blocks.iter().filter(move |block| block.kind == kind).collect::<Vec<_>>();
    let (html, in_latex) = (of(Kind::HtmlTable), of(Kind::LatexTable));
    let is_latex = in_latex.len() > html.len();
    let found = if is_latex { in_latex } else { html };
    let text = |table: &truth::Table| match is_latex {
        true => table.latex.clone(),
        false => table.html.clone(),
    };
    let there = |table: &&truth::Table| !table.html.is_empty() && !text(table).is_empty();
    let truth: Vec<&truth::Table> = truth.iter().filter(there).collect();
    let wanted: Vec<String> = truth.iter().map(|table| text(table)).collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let contents: Vec<&str> = found.iter().map(|block| block.content.as_str()).collect();
    let costs = merges::distances(&wanted, &contents);
    let mut partners = vec![None; truth.len()];
    let mut is_left = vec![true; found.len()];
    for (row, column) in assign(truth.len(), found.len(), &costs) {
        is_left[column] = false;
        partners[row] = Some(contents[column]).filter(|_| !is_latex);
    }
    let scores = truth.iter().zip(partners);
    let scores = scores.map(|(table, found)| table_score(found.unwrap_or_default(), &table.html));
    let left = found.iter().zip(is_left).filter(|(_, is_left)| *is_left && !truth.is_empty());
    (scores.collect(), left.flat_map(|(block, _)| cells(block)).collect())
}

/// The cells of a table, each as a text in the table's place.
fn cells(table: &Found) -> Vec<Found> {
    let cells = cell_strings(soup(&table.content).unwrap_or_default()).into_iter();
    let text = |cell: String| Found {
        kind: Kind::Text,
        content: strip(&cell.replace(r"$\cdot$", "")).to_owned(),
        ..table.clone()
    };
    cells.map(text).collect()
}

fn table_score(found: &str, truth: &str) -> TableScore {
    let normal = |html: &str| {
        let normal = table_normalize::omnidocbench(html).filter(|normal| !normal.is_empty());
        normal.unwrap_or_else(|| html.to_owned())
    };
    let (found, truth) = (normal(found), normal(truth));
    let teds = |compared| teds::score(&found, &truth, compared).unwrap_or(0.0);
    TableScore {
        edits: Edits::of_texts(&found, &truth),
        teds: teds(Compared::Content),
        structure: teds(Compared::Structure),
    }
}

/// The parts over a set of pages, each the mean over the pages that have it. The leaderboard's
/// overall takes CDM for the formulas; here their edits stand for it.
pub(super) fn summary(pages: &[PageScore]) -> Value {
    let edits = |of: fn(&PageScore) -> &[Edits]| {
        let of_page = |(at, page)| of(page).iter().map(move |edits| (at, *edits));
        pages.iter().enumerate().flat_map(of_page).collect::<Vec<(usize, Edits)>>()
    };
    let mut texts = edits(|page| &page.texts);
    // A set without any text has nothing that they could count with.
    if !texts.is_empty() {
        texts.extend(edits(|page| &page.formulas_as_texts));
    }
    let mean = |samples| SetEdits::of(samples).map(|edits: SetEdits| edits.page_mean);
    let (text, formula) = (mean(texts), mean(edits(|page| &page.formulas)));
    let tables = pages.iter().enumerate();
    let tables = tables.flat_map(|(at, page)| page.tables.iter().map(move |t| (at, t.edits)));
    let order = pages.iter().enumerate().filter_map(|(at, page)| Some((at, page.order?)));
    let teds = of_tables(pages, |table| table.teds);
    let parts = [text.map(|edits| 1.0 - edits), teds, formula.map(|edits| 1.0 - edits)];
    let there: Vec<f64> = parts.into_iter().flatten().map(|part| part * 100.0).collect();
    json!({
        "overall": there.iter().sum::<f64>() / there.len().max(1) as f64,
        "text_edit": text,
        "formula_edit": formula,
        "table_teds": teds,
        "table_teds_structure": of_tables(pages, |table| table.structure),
        "table_edit": mean(tables.collect()),
        "reading_order_edit": mean(order.collect()),
    })
}

/// The mean over pages with tables of the mean over their tables.
fn of_tables(pages: &[PageScore], of: fn(&TableScore) -> f64) -> Option<f64> {
    let with_tables = pages.iter().filter(|page| !page.tables.is_empty());
    let means: Vec<f64> = with_tables
        .map(|page| page.tables.iter().map(of).sum::<f64>() / page.tables.len() as f64)
        .collect();
    (!means.is_empty()).then(|| means.iter().sum::<f64>() / means.len() as f64)
}
