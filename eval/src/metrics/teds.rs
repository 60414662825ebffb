//! TEDS, the tree edit distance similarity of tables (Zhong et al. 2020), as in PubTabNet's
//! `metric.py`, which OmniDocBench, OCRBench v2 and VLMEvalKit carry copies of.

use super::{Item, MetricInfo, ScoreError, table_normalize};
use crate::html::{Child, ElementId, Tree};
use crate::python::{int, is_space};
use crate::tree_distance::{self, Costs, tree_distance};
use rapidfuzz::distance::levenshtein;
use serde_json::Value;
use std::collections::HashMap;

pub(super) const METRICS: &[MetricInfo] = &[
    info("omnidocbench.teds", |item| of_item(item, Compared::Content)),
    info("omnidocbench.teds_structure", |item| of_item(item, Compared::Structure)),
    info("pubtabnet.teds", |item| of_item(item, Compared::Content)),
    info("pubtabnet.teds_structure", |item| of_item(item, Compared::Structure)),
    info("ocrbench_v2.teds", |item| of_item(item, Compared::Content)),
    info("ocrbench_v2.teds_structure", |item| of_item(item, Compared::Structure)),
    info("vlmevalkit.teds", |item| of_item(item, Compared::Content)),
    info("vlmevalkit.teds_structure", |item| of_item(item, Compared::Structure)),
    info("omnidocbench_fork.normalized_teds", |item| of_normal_tables(item, Compared::Content)),
    info("omnidocbench_fork.normalized_teds_structure", |item| {
        of_normal_tables(item, Compared::Structure)
    }),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "teds",
        variant,
        summary: "similarity of two HTML tables by the edit distance of their trees",
        score,
    }
}

/// The best over the references.
fn of_item(item: &Item, compared: Compared) -> Result<Value, ScoreError> {
    let prediction = item.text()?;
    let references = item.reference_texts()?;
    let scores: Option<Vec<f64>> =
        references.iter().map(|reference| score(prediction, reference, compared)).collect();
    let best = scores.and_then(|scores| scores.into_iter().reduce(f64::max));
    best.map(Value::from).ok_or(UNDEFINED)
}

/// Of the tables in OmniDocBench's normal form, which is how it compares them.
fn of_normal_tables(item: &Item, compared: Compared) -> Result<Value, ScoreError> {
    let normal = |html: &str| table_normalize::omnidocbench(html).ok_or(UNDEFINED);
    let references = item.reference_texts()?.into_iter().map(normal);
    let item = Item {
        prediction: normal(item.text()?)?.into(),
        references: references.collect::<Result<Vec<_>, _>>()?.into(),
        ..Item::default()
    };
    of_item(&item, compared)
}

const UNDEFINED: ScoreError =
    ScoreError::Undefined("a span that is no number, or no elements in either table");

/// What of a table counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The cells' content too.
    Content,
    /// Only rows, cells and what they span (TEDS-S).
    Structure,
}

/// The similarity of two HTML documents' first tables: 1 when equal, below 0 when a table has to be
/// taken apart. 0 when either document has no table right inside its body, which takes the `<html>`
/// and `<body>` tags. `None` where the reference scorers raise: a span that is no number, a document
/// without anything, or two tables without elements. Most harnesses count that as 0.
///
/// Only `td` cells have content and spans; `th` cells are nodes like any other.
pub fn score(prediction: &str, reference: &str, compared: Compared) -> Option<f64> {
    if prediction.is_empty() || reference.is_empty() {
        return Some(0.0);
    }
    let mut reader = Reader { compared, tokens: HashMap::new() };
    let (prediction, reference) = (document(prediction)?, document(reference)?);
    let (Some(found), Some(wanted)) = (table_of(&prediction), table_of(&reference)) else {
        return Some(0.0);
    };
    let elements = prediction.below(found).max(reference.below(wanted));
    let found = reader.read(&prediction.tree, found)?;
    let wanted = reader.read(&reference.tree, wanted)?;
    let distance = tree_distance(&found, &wanted, &Costs { node: |_: &Node| 1.0, relabel: rename });
    (elements > 0).then(|| 1.0 - distance / elements as f64)
}

struct Document {
    tree: Tree,
    /// Whether the text begins like a whole document.
    whole: bool,
}

/// Reads a document as `lxml.html.fromstring` does, which raises where there is nothing in it.
fn document(html: &str) -> Option<Document> {
    let start = html.trim_start_matches(is_space).to_ascii_lowercase();
    let whole = start.starts_with("<html") || start.starts_with("<!doctype");
    let tree = Tree::parse_as_libxml2(html);
    tree.root.map(|_| Document { tree, whole })
}

impl Document {
    /// How many elements there are below one.
    fn below(&self, element: ElementId) -> usize {
        let mut count = 0;
        let mut open = vec![element];
        while let Some(element) = open.pop() {
            let children = self.tree.child_elements(element);
            let before = open.len();
            open.extend(children);
            count += open.len() - before;
        }
        count
    }
}

/// The first table right inside the body. A text that does not begin like a document and has no
/// head either is a fragment to lxml: what it gives back then has no body.
fn table_of(document: &Document) -> Option<ElementId> {
    let tree = &document.tree;
    let root = tree.root?;
    if !document.whole && tree.children_with_tag(root, "head").next().is_none() {
        return None;
    }
    let mut bodies = tree.children_with_tag(root, "body");
    bodies.find_map(|body| tree.children_with_tag(body, "table").next())
}

/// A node of a table's tree.
#[derive(Debug)]
struct Node {
    tag: u32,
    /// Columns and rows that a cell spans; nothing for other nodes.
    span: Option<(f64, f64)>,
    /// The tokens of a cell.
    content: Vec<u32>,
}

/// Turns elements into nodes; tags and the characters of cells into numbers.
struct Reader {
    compared: Compared,
    tokens: HashMap<String, u32>,
}

impl Reader {
    /// An element with all below it, but for cells nothing below them. `None` at a span that is no
    /// number.
    fn read(&mut self, tree: &Tree, id: ElementId) -> Option<tree_distance::Tree<Node>> {
        let element = &tree.elements[id];
        let tag = self.token(&element.tag);
        if element.tag != "td" {
            let children: Option<_> =
                tree.child_elements(id).map(|child| self.read(tree, child)).collect();
            let label = Node { tag, span: None, content: Vec::new() };
            return Some(tree_distance::Tree { label, children: children? });
        }
        let mut content = Vec::new();
        if self.compared == Compared::Content {
            self.push_content(tree, id, &mut content);
        }
        let span = |name| element.attribute(name).map_or(Some(1.0), int);
        let span = Some((span("colspan")?, span("rowspan")?));
        Some(tree_distance::Tree::leaf(Node { tag, span, content }))
    }

    /// The tokens inside an element: its characters, and a token for each tag.
    fn push_content(&mut self, tree: &Tree, id: ElementId, content: &mut Vec<u32>) {
        let mut dropped = false;
        for child in &tree.elements[id].children {
            match child {
                // The text after a cell inside a cell is lost, as is the end tag of `unk`.
                Child::Text(text) if !dropped => content.extend(text.chars().map(u32::from)),
                Child::Text(_) => {}
                Child::Element(child) => {
                    let tag = &tree.elements[*child].tag;
                    content.push(self.token(&format!("<{tag}>")));
                    self.push_content(tree, *child, content);
                    if tag != "unk" {
                        content.push(self.token(&format!("</{tag}>")));
                    }
                    dropped = tag == "td";
                }
            }
        }
    }

    /// A number for a text, beyond those of characters.
    fn token(&mut self, text: &str) -> u32 {
        let next = u32::from(char::MAX) + 1 + self.tokens.len() as u32;
        match self.tokens.get(text) {
            Some(token) => *token,
            None => *self.tokens.entry(text.to_owned()).or_insert(next),
        }
    }
}

/// What it costs to turn one node into another.
fn rename(a: &Node, b: &Node) -> f64 {
    let longest = a.content.len().max(b.content.len());
    match () {
        () if a.tag != b.tag || a.span != b.span => 1.0,
        () if longest == 0 || a.content == b.content => 0.0,
        () => {
            levenshtein::distance(a.content.iter().copied(), b.content.iter().copied()) as f64
                / longest as f64
        }
    }
}
