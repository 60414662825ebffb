//! The true blocks of a page as OmniDocBench publishes it.

use super::Blocks;
use serde_json::Value;
use std::collections::HashMap;

const TEXTS: [&str; 7] =
    ["text_block", "title", "text_caption", "header", "footer", "page_number", "footnote"];
const FORMULAS: [&str; 2] = ["equation_isolated", "equation_inline"];

/// A block, which may have been cut into several.
struct Group<'a> {
    name: String,
    parts: Vec<&'a Value>,
}

pub(super) fn blocks(json: &str) -> Blocks {
    let Ok(page) = serde_json::from_str::<Value>(json) else { return Blocks::default() };
    let mut sorted: [Vec<(f64, String)>; 3] = Default::default();
    for mut group in groups(&page) {
        group.parts.sort_by(|a, b| order(a).total_cmp(&order(b)));
        let Some(first) = group.parts.first() else { continue };
        let kind = first["category_type"].as_str().unwrap_or_default();
        let (kind, field) = match kind {
            kind if TEXTS.contains(&kind) => (0, "text"),
            kind if FORMULAS.contains(&kind) => (1, "latex"),
            "table" => (2, "html"),
            _ => continue,
        };
        let parts = group.parts.iter().filter_map(|part| part[field].as_str());
        let text = parts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
        let text = crate::python::strip(&text);
        if let (false, Some(blocks)) = (text.is_empty(), sorted.get_mut(kind)) {
            blocks.push((order(first), text.to_owned()));
        }
    }
    let [texts, formulas, tables] = sorted.map(|mut blocks| {
        blocks.sort_by(|a, b| a.0.total_cmp(&b.0));
        blocks.into_iter().map(|(_, text)| text).collect()
    });
    Blocks { texts, formulas, tables }
}

fn order(block: &Value) -> f64 {
    block["order"].as_f64().unwrap_or(0.0)
}

/// Blocks that were cut at the end of a column belong together.
fn groups(page: &Value) -> Vec<Group<'_>> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let mut parents: HashMap<String, String> = HashMap::new();
    for relation in list(&page["extra"]["relation"]) {
        if relation["relation_type"] == "truncated" {
            let (from, to) = (&relation["source_anno_id"], &relation["target_anno_id"]);
            let (from, to) = (root(&parents, from.to_string()), root(&parents, to.to_string()));
            if from != to {
                parents.insert(from, to);
            }
        }
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    let blocks = page["layout_dets"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (at, block) in blocks.iter().enumerate() {
        let name = match block.get("anno_id") {
            Some(id) => root(&parents, id.to_string()),
            None => format!("block {at}"),
        };
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.parts.push(block),
            None => groups.push(Group { name, parts: vec![block] }),
        }
    }
    groups
}

fn root(parents: &HashMap<String, String>, mut name: String) -> String {
    while let Some(parent) = parents.get(&name) {
        name = parent.clone();
    }
    name
}
