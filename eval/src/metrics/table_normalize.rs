//! Tables as HTML before they are compared: OmniDocBench's `normalized_html_table` (Ouyang et al.
//! 2025; the fork at `invofox/OmniDocBench`) and OCRBench v2's `wrap_html_table`.

use super::{Item, MetricInfo, ScoreError};
use crate::html::{Around, Node, python_unescape, soup};
use crate::python::{collapse_spaces, strip};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use unicode_normalization::UnicodeNormalization;

pub(super) const METRICS: &[MetricInfo] = &[
    info("omnidocbench_fork.normalized_html_table", |item| {
        let undefined = ScoreError::Undefined("html.parser raises");
        omnidocbench(item.text()?).map(Value::from).ok_or(undefined)
    }),
    info("ocrbench_v2.wrap_html_table", |item| Ok(ocrbench_v2(item.text()?).into())),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "table_normalize",
        variant,
        summary: "an HTML table in the form in which it is compared",
        score,
    }
}

/// OCRBench v2's form: no line ends, and `table`, `body` and `html` around it where they are missing.
pub fn ocrbench_v2(html: &str) -> String {
    let mut html = html.replace('\n', "");
    match (html.contains("<table"), html.contains("</table>")) {
        (true, true) => {}
        (true, false) => html.push_str("</table>"),
        (false, true) => html = format!("<table>{html}"),
        (false, false) => html = format!("<table>{html}</table>"),
    }
    for tag in ["body", "html"] {
        if !html.contains(&format!("<{tag}>")) {
            html = format!("<{tag}>{html}</{tag}>");
        }
    }
    html
}

/// OmniDocBench's form: cells are `td`, formulas their text, and what only concerns the look is
/// left out. Nothing for a text without a table; `None` where Python's parser raises.
pub fn omnidocbench(html: &str) -> Option<String> {
    if !html.replace(' ', "").contains("<table") {
        return Some(String::new());
    }
    let soup = rewritten(html)?;
    let text: String = python_unescape(&soup).replace('\n', "").nfkc().collect();
    let mut table = inner_table(strip(&text)).to_owned();
    for (pattern, replacement) in LOOKS.iter() {
        table = pattern.replace_all(&table, *replacement).into_owned();
    }
    let mut html = format!(r#"<html><body><table border="1" >{table}</table></body></html>"#);
    for tag in ["sup", "sub", "span", "div", "p"] {
        html = html.replace(&format!("<{tag}>"), "").replace(&format!("</{tag}>"), "");
    }
    html = html.replace("<spandata-span-identity=\"\">", "");
    Some(match COLUMNS.as_ref() {
        Some(columns) => columns.replace_all(&html, "").into_owned(),
        None => html,
    })
}

static LOOKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        (r#" style=".*?""#, ""),
        (r#" height=".*?""#, ""),
        (r#" width=".*?""#, ""),
        (r#" align=".*?""#, ""),
        (r#" class=".*?""#, ""),
        (r"</?tbody>", ""),
        (r"[\s\x1c-\x1f]+", " "),
    ];
    rules.into_iter().filter_map(|(rule, with)| Some((Regex::new(rule).ok()?, with))).collect()
});

static COLUMNS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("<colgroup>.*?</colgroup>").ok());

/// From the first table's start tag to the last one's end tag.
fn inner_table(html: &str) -> &str {
    static TABLE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?is)<table\b[^>]*>(.*)</table>").ok());
    let found = TABLE.as_ref().and_then(|table| table.captures(html)?.get(1));
    found.map_or("", |inner| inner.as_str())
}

/// Writes what Beautiful Soup makes of a document, with the changes that OmniDocBench makes to its
/// tree: `th` becomes `td`, `thead` and `span` dissolve, `math` is its `alttext` between `$`.
fn rewritten(html: &str) -> Option<String> {
    let mut written = String::new();
    // How many `math` are open: what is inside of them is lost.
    let mut formulas = 0;
    for node in soup(html)? {
        match node {
            Node::Start { tag, attributes, is_void } => {
                if formulas == 0 {
                    write_start(&mut written, &tag, &attributes, is_void);
                }
                formulas += usize::from(tag == "math");
            }
            Node::End(tag) => {
                formulas -= usize::from(tag == "math");
                if formulas == 0 && !matches!(tag.as_str(), "thead" | "span" | "math") {
                    written.extend(["</", renamed(&tag), ">"]);
                }
            }
            Node::Text { .. } if formulas > 0 => {}
            Node::Text { text, around } => match around {
                Around::Marks(before, after) => written.extend([before, &text, after]),
                Around::Raw => written.push_str(&text),
                Around::Nothing => written.push_str(&escaped(&text)),
            },
        }
    }
    Some(written)
}

fn write_start(
    written: &mut String,
    tag: &str,
    attributes: &BTreeMap<String, String>,
    is_void: bool,
) {
    match tag {
        "thead" | "span" => {}
        "math" => {
            let text = attributes.get("alttext").map_or("", String::as_str);
            written.push_str(&escaped(&format!("${text}$")));
        }
        _ => {
            written.extend(["<", renamed(tag)]);
            for (name, value) in attributes {
                let value = attribute_value(tag, name, value);
                written.extend([" ", name, "=", &quoted(&escaped(&value))]);
            }
            written.push_str(if is_void { "/>" } else { ">" });
        }
    }
}

fn renamed(tag: &str) -> &str {
    if tag == "th" { "td" } else { tag }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn quoted(value: &str) -> String {
    match (value.contains('"'), value.contains('\'')) {
        (true, true) => format!("\"{}\"", value.replace('"', "&quot;")),
        (true, false) => format!("'{value}'"),
        _ => format!("\"{value}\""),
    }
}

/// The value of an attribute; where it is a list of words, these with a blank between.
fn attribute_value(tag: &str, name: &str, value: &str) -> String {
    let is_list = matches!(
        (tag, name),
        (_, "class" | "accesskey" | "dropzone")
            | ("a" | "link", "rel" | "rev")
            | ("td" | "th", "headers")
            | ("form", "accept-charset")
            | ("object", "archive")
            | ("area", "rel")
            | ("icon", "sizes")
            | ("iframe", "sandbox")
            | ("output", "for")
    );
    if is_list { collapse_spaces(value) } else { value.to_owned() }
}
