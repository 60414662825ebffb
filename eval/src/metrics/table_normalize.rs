//! Tables as HTML before they are compared: OmniDocBench's `normalized_html_table` (Ouyang et al.
//! 2025; the fork at `invofox/OmniDocBench`) and OCRBench v2's `wrap_html_table`.

use super::{Item, MetricInfo, ScoreError};
use crate::html::{Event, named_characters, parser_events, python_unescape, soup_number};
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
    let soup = Soup::read(html)?;
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
#[derive(Default)]
struct Soup {
    written: String,
    open: Vec<String>,
    /// The text since the last tag; nothing if none was met, not even an empty one.
    text: Option<String>,
    /// Elements without content that their start tags have closed.
    closed: Vec<String>,
}

/// How a text is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    Nothing,
    /// Between these, and as it stands.
    Marks(&'static str, &'static str),
}

impl Soup {
    fn read(html: &str) -> Option<String> {
        let mut soup = Self::default();
        for event in parser_events(html)? {
            soup.take(event);
        }
        soup.end_text(Around::Nothing);
        while let Some(tag) = soup.open.pop() {
            soup.write_end(&tag);
        }
        Some(soup.written)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Start { tag, attributes, self_closing } => {
                self.start(&tag, attributes, self_closing);
            }
            Event::End(tag) => match self.closed.iter().position(|closed| *closed == tag) {
                Some(at) => drop(self.closed.remove(at)),
                None => self.end(&tag),
            },
            Event::Text(text) => self.add_text(&text),
            Event::Number(number) => self.add_text(&soup_number(&number)),
            Event::Name(name) => match named_characters(&name) {
                Some(characters) => self.add_text(characters),
                None => self.add_text(&format!("&{name}")),
            },
            Event::Comment(text) => self.marked(&text, Around::Marks("<!--", "-->")),
            Event::Doctype(text) => {
                let name: String = text.chars().skip("DOCTYPE ".len()).collect();
                self.marked(&name, Around::Marks("<!DOCTYPE ", ">\n"));
            }
            Event::Section(text) => match text.get(..6) {
                Some(start) if start.eq_ignore_ascii_case("CDATA[") => {
                    self.marked(&text[6..], Around::Marks("<![CDATA[", "]]>"));
                }
                _ => self.marked(&text, Around::Marks("<?", "?>")),
            },
            Event::Instruction(text) => self.marked(&text, Around::Marks("<?", ">")),
        }
    }

    fn add_text(&mut self, text: &str) {
        self.text.get_or_insert_default().push_str(text);
    }

    fn marked(&mut self, text: &str, around: Around) {
        self.end_text(Around::Nothing);
        self.add_text(text);
        self.end_text(around);
    }

    /// Writes the text since the last tag. Blanks alone become one.
    fn end_text(&mut self, around: Around) {
        let Some(mut text) = self.text.take() else { return };
        let kept = self.open.iter().any(|tag| matches!(tag.as_str(), "pre" | "textarea"));
        if !kept && text.chars().all(|c| matches!(c, ' ' | '\n' | '\t' | '\x0c' | '\r')) {
            text = if text.contains('\n') { "\n" } else { " " }.to_owned();
        }
        if self.in_formula() {
            return;
        }
        let raw = matches!(self.open.last().map(String::as_str), Some("script" | "style"));
        match around {
            Around::Marks(before, after) => self.written.extend([before, &text, after]),
            Around::Nothing if raw => self.written.push_str(&text),
            Around::Nothing => self.written.push_str(&escaped(&text)),
        }
    }

    fn in_formula(&self) -> bool {
        self.open.iter().any(|tag| tag == "math")
    }

    fn start(&mut self, tag: &str, attributes: Vec<(String, Option<String>)>, self_closing: bool) {
        self.end_text(Around::Nothing);
        // Of equal names the last counts; they are written in order.
        let attributes: BTreeMap<String, String> =
            attributes.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
        let is_void = VOID.contains(&tag);
        if !self.in_formula() {
            match tag {
                "thead" | "span" => {}
                "math" => {
                    let text = attributes.get("alttext").map_or("", String::as_str);
                    self.written.push_str(&escaped(&format!("${text}$")));
                }
                _ => {
                    self.written.extend(["<", renamed(tag)]);
                    for (name, value) in &attributes {
                        let value = attribute_value(tag, name, value);
                        self.written.extend([" ", name, "=", &quoted(&escaped(&value))]);
                    }
                    self.written.push_str(if is_void { "/>" } else { ">" });
                }
            }
        }
        if is_void {
            if !self_closing {
                self.closed.push(tag.to_owned());
            }
            return;
        }
        self.open.push(tag.to_owned());
        if self_closing {
            self.end(tag);
        }
    }

    /// Closes the innermost open element with this tag, and those inside it.
    fn end(&mut self, tag: &str) {
        self.end_text(Around::Nothing);
        if self.open.iter().any(|open| open == tag) {
            while let Some(open) = self.open.pop() {
                self.write_end(&open);
                if open == tag {
                    break;
                }
            }
        }
    }

    /// Writes the end of an element that is open no more.
    fn write_end(&mut self, tag: &str) {
        if !self.in_formula() && !matches!(tag, "thead" | "span" | "math") {
            self.written.extend(["</", renamed(tag), ">"]);
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

/// Elements that Beautiful Soup takes to have no content.
const VOID: [&str; 24] = [
    "area", "base", "basefont", "bgsound", "br", "col", "command", "embed", "frame", "hr", "image",
    "img", "input", "isindex", "keygen", "link", "menuitem", "meta", "nextid", "param", "source",
    "spacer", "track", "wbr",
];
