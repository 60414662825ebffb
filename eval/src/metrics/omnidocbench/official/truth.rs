//! The true blocks of a page as OmniDocBench's scorer takes them.

use super::arrays;
use serde_json::Value;

/// Texts, in the order in which blocks of equal place are taken.
const CATEGORIES: [&str; 17] = [
    "text_block",
    "title",
    "code_txt",
    "code_txt_caption",
    "reference",
    "equation_caption",
    "figure_caption",
    "figure_footnote",
    "table_caption",
    "table_footnote",
    "code_algorithm",
    "code_algorithm_caption",
    "header",
    "footer",
    "page_footnote",
    "page_number",
    FORMULA,
];

pub(super) const FORMULA: &str = "equation_isolated";

/// Texts that are found, so that they stand in nobody's way, and not scored.
const NOT_SCORED: [&str; 11] = [
    "figure_caption",
    "figure_footnote",
    "table_caption",
    "table_footnote",
    "code_algorithm",
    "code_algorithm_caption",
    "header",
    "footer",
    "page_footnote",
    "page_number",
    "equation_caption",
];

/// Whether blocks of a category are scored.
pub(super) fn is_scored(category: &str) -> bool {
    !NOT_SCORED.contains(&category)
}

/// A true block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) category: String,
    /// Its place in reading; 0 for a block without one.
    pub(super) order: f64,
    pub(super) content: String,
}

/// A true table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    pub(super) order: f64,
    pub(super) html: String,
    pub(super) latex: String,
}

/// The blocks of a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Page {
    /// Texts and formulas.
    pub(super) blocks: Vec<Block>,
    pub(super) tables: Vec<Table>,
}

/// Reads a page as published; one without anything where the text is no such object.
pub(super) fn page(json: &str) -> Page {
    let Ok(page) = serde_json::from_str::<Value>(json) else { return Page::default() };
    let elements = elements(&page);
    let mut blocks = Vec::new();
    for category in CATEGORIES {
        let field = if category == FORMULA { "latex" } else { "text" };
        let found = elements.iter().filter(|element| element.category == category);
        blocks.extend(found.map(|element| Block {
            category: category.to_owned(),
            order: element.order,
            content: element.field(field),
        }));
    }
    blocks.sort_by(|a, b| a.order.total_cmp(&b.order));
    let tables = elements.iter().filter(|element| element.category == "table");
    let mut tables: Vec<Table> = tables
        .map(|table| Table {
            order: table.order,
            html: table.field("html"),
            latex: table.field("latex"),
        })
        .collect();
    tables.sort_by(|a, b| a.order.total_cmp(&b.order));
    Page { blocks: arrays::split_true(blocks), tables }
}

/// An annotation, or several that are one block.
struct Element<'a> {
    category: &'a str,
    order: f64,
    /// The annotation; nothing for a block made of several.
    annotation: Option<&'a Value>,
    text: String,
}

impl<'a> Element<'a> {
    fn new(annotation: &'a Value) -> Self {
        Self {
            category: annotation["category_type"].as_str().unwrap_or_default(),
            order: order(annotation),
            annotation: Some(annotation),
            text: text(&annotation["text"]),
        }
    }

    fn field(&self, name: &str) -> String {
        match self.annotation {
            _ if name == "text" => self.text.clone(),
            Some(annotation) => text(&annotation[name]),
            None => String::new(),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn order(annotation: &Value) -> f64 {
    annotation["order"].as_f64().unwrap_or(0.0)
}

/// The annotations, with those that were cut at the end of a column joined. A part that two
/// relations name is in the text twice, as in the reference.
fn elements(page: &Value) -> Vec<Element<'_>> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let mut groups: Vec<Vec<Value>> = Vec::new();
    for relation in list(&page["extra"]["relation"]) {
        if relation["relation_type"] == "truncated" {
            let pair = [relation["source_anno_id"].clone(), relation["target_anno_id"].clone()];
            let named = |group: &&mut Vec<Value>| pair.iter().any(|id| group.contains(id));
            let mut known = false;
            for group in groups.iter_mut().filter(named) {
                group.extend(pair.clone());
                known = true;
            }
            if !known {
                groups.push(pair.to_vec());
            }
        }
    }
    let annotations = page["layout_dets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_part =
        |annotation: &&Value| groups.iter().any(|group| group.contains(&annotation["anno_id"]));
    let whole = annotations.iter().filter(|annotation| !is_part(annotation));
    let mut elements: Vec<Element<'_>> = whole.map(Element::new).collect();
    for group in &groups {
        let last = |id: &Value| annotations.iter().rev().find(|found| found["anno_id"] == *id);
        let mut parts: Vec<&Value> = group.iter().filter_map(last).collect();
        parts.sort_by(|a, b| order(a).total_cmp(&order(b)));
        if let Some(first) = parts.first() {
            let joined = parts.iter().map(|part| text(&part["text"])).collect();
            elements.push(Element { text: joined, annotation: None, ..Element::new(first) });
        }
    }
    elements
}
