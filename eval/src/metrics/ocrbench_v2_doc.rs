//! OCRBench v2's document parsing (Fu et al. 2024): STEDS, the edit distance of the trees that
//! headings and lines make. Only their shape is compared, not what they say.

use super::{MetricInfo, ScoreError};
use crate::python::is_space;
use crate::tree_distance::{Costs, Tree, tree_distance};
use regex::{Captures, Regex};
use serde_json::Value;
use std::sync::LazyLock;

pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "ocrbench_v2_doc",
    variant: "official.steds",
    summary: "similarity of the trees of headings and lines, whatever these say",
    score: |item| match item.reference_texts()?.first() {
        Some(reference) => Ok(Value::from(score(item.text()?, reference))),
        None => Err(ScoreError::Undefined("no references")),
    },
}];

/// 1 less the edit distance of the two documents' trees over the larger one's number of nodes. A
/// node put in or taken out costs 1; so does one that is matched where either is blank.
pub fn score(prediction: &str, reference: &str) -> f64 {
    let (found, wanted) = (outline(prediction), outline(reference));
    let blank = |label: &String| label.chars().all(is_space);
    let costs = Costs {
        node: |_: &String| 1.0,
        relabel: |a: &String, b: &String| f64::from(blank(a) || blank(b)),
    };
    1.0 - tree_distance(&found, &wanted, &costs) / size(&found).max(size(&wanted)) as f64
}

fn size(tree: &Tree<String>) -> usize {
    1 + tree.children.iter().map(size).sum::<usize>()
}

/// A root with `TITLE` and the headings, of any level, below it, and below each of these its lines.
fn outline(document: &str) -> Tree<String> {
    let mut root = Tree::leaf("ROOT".to_owned());
    root.children.push(Tree::leaf("TITLE".to_owned()));
    let mut heading = String::new();
    for line in document.split('\n') {
        let line = cleaned(line);
        if line.starts_with('#') {
            heading = line.replace('#', "");
            root.children.push(Tree::leaf(heading.clone()));
        } else {
            let under = if heading.is_empty() { "TITLE" } else { &heading };
            // The first node that is labelled so, be it another heading, or a line.
            if let Some(node) = first_labelled(&mut root, under) {
                node.children.push(Tree::leaf(line));
            }
        }
    }
    root
}

fn first_labelled<'a>(tree: &'a mut Tree<String>, label: &str) -> Option<&'a mut Tree<String>> {
    if tree.label == label {
        return Some(tree);
    }
    tree.children.iter_mut().find_map(|child| first_labelled(child, label))
}

/// A line without the marks of tokenizers, and with LaTeX's braces and commands closed up.
fn cleaned(line: &str) -> String {
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        // Python's classes of white space.
        let rule = |(pattern, replacement): (&str, &'static str)| {
            let pattern = pattern.replace(r"\S", r"[^\s\x1c-\x1f]");
            Some((Regex::new(&pattern.replace(r"\_", r"[\s\x1c-\x1f]")).ok()?, replacement))
        };
        [
            (r"<bos>|<eos>|<pad>|<unk>", ""),
            (r"\_##(\S)", ""),
            (r"\\\_", r"\"),
            (r"\_\*\_\*\_", "**"),
            (r"\{\_", "{"),
            (r"\_\}", "}"),
            (r"\_\}", "}"),
            (r"\\begin\_", r"\begin"),
            (r"\\end\_", r"\end"),
            (r"\\end\{table\}", "\\end{table}   "),
        ]
        .into_iter()
        .filter_map(rule)
        .collect()
    });
    let mut line = line.to_owned();
    for (pattern, replacement) in RULES.iter() {
        let kept = |found: &Captures<'_>| {
            let group = found.get(1).map_or("", |group| group.as_str());
            format!("{replacement}{group}")
        };
        line = pattern.replace_all(&line, kept).into_owned();
    }
    line.replace(['*', '_'], " ")
}
