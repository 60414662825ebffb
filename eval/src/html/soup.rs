//! Beautiful Soup's tree of a document over Python's `html.parser`, as it is built: starts, ends
//! and texts in order.

use super::{Event, named_characters, parser_events, soup_number};
use std::collections::BTreeMap;

/// What is met on a walk through the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// An element begins. One that is void has no content and no end.
    Start { tag: String, attributes: BTreeMap<String, String>, is_void: bool },
    /// The element that began last and has not ended ends.
    End(String),
    /// A text, or what counts as one.
    Text { text: String, around: Around },
}

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// With its marks escaped.
    Nothing,
    /// As it stands, inside of a script or a style.
    Raw,
    /// As it stands, between these.
    Marks(&'static str, &'static str),
}

/// The tree of a document; `None` where Python's parser raises.
pub(crate) fn soup(html: &str) -> Option<Vec<Node>> {
    let mut soup = Soup::default();
    for event in parser_events(html)? {
        soup.take(event);
    }
    soup.end_text(Around::Nothing);
    while let Some(tag) = soup.open.pop() {
        soup.nodes.push(Node::End(tag));
    }
    Some(soup.nodes)
}

#[derive(Default)]
struct Soup {
    nodes: Vec<Node>,
    open: Vec<String>,
    /// The text since the last tag; nothing if none was met, not even an empty one.
    text: Option<String>,
    /// Elements without content that their start tags have closed.
    closed: Vec<String>,
}

impl Soup {
    fn take(&mut self, event: Event) {
        match event {
            Event::Start { tag, attributes, self_closing } => {
                self.start(tag, attributes, self_closing);
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

    /// Ends the text since the last tag. Blanks alone become one.
    fn end_text(&mut self, around: Around) {
        let Some(mut text) = self.text.take() else { return };
        let kept = self.open.iter().any(|tag| matches!(tag.as_str(), "pre" | "textarea"));
        if !kept && text.chars().all(|c| matches!(c, ' ' | '\n' | '\t' | '\x0c' | '\r')) {
            text = if text.contains('\n') { "\n" } else { " " }.to_owned();
        }
        let raw = matches!(self.open.last().map(String::as_str), Some("script" | "style"));
        let around = if raw && around == Around::Nothing { Around::Raw } else { around };
        self.nodes.push(Node::Text { text, around });
    }

    fn start(
        &mut self,
        tag: String,
        attributes: Vec<(String, Option<String>)>,
        self_closing: bool,
    ) {
        self.end_text(Around::Nothing);
        // Of equal names the last counts; they are written in order.
        let attributes =
            attributes.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
        let is_void = VOID.contains(&tag.as_str());
        self.nodes.push(Node::Start { tag: tag.clone(), attributes, is_void });
        match (is_void, self_closing) {
            (true, true) => {}
            (true, false) => self.closed.push(tag),
            (false, false) => self.open.push(tag),
            (false, true) => {
                self.open.push(tag.clone());
                self.end(&tag);
            }
        }
    }

    /// Closes the innermost open element with this tag, and those inside it.
    fn end(&mut self, tag: &str) {
        self.end_text(Around::Nothing);
        if self.open.iter().any(|open| open == tag) {
            while let Some(open) = self.open.pop() {
                let last = open == tag;
                self.nodes.push(Node::End(open));
                if last {
                    break;
                }
            }
        }
    }
}

/// Elements that Beautiful Soup takes to have no content.
const VOID: [&str; 24] = [
    "area", "base", "basefont", "bgsound", "br", "col", "command", "embed", "frame", "hr", "image",
    "img", "input", "isindex", "keygen", "link", "menuitem", "meta", "nextid", "param", "source",
    "spacer", "track", "wbr",
];

/// The `string` of each `td` that has one, in order: of an element with one child, that child's.
pub(crate) fn cell_strings(nodes: Vec<Node>) -> Vec<String> {
    let mut cells: Vec<Option<String>> = Vec::new();
    // Of each open element: which cell it is, how many children it has, and the string of its first.
    let mut open: Vec<(Option<usize>, usize, Option<String>)> = vec![(None, 0, None)];
    let add = |open: &mut Vec<(Option<usize>, usize, Option<String>)>, string| {
        if let Some((_, children, first)) = open.last_mut() {
            *children += 1;
            *first = if *children == 1 { string } else { None };
        }
    };
    for node in nodes {
        match node {
            Node::Text { text, .. } => add(&mut open, Some(text)),
            Node::Start { is_void: true, .. } => add(&mut open, None),
            Node::Start { tag, .. } => {
                let cell = (tag == "td").then(|| {
                    cells.push(None);
                    cells.len() - 1
                });
                open.push((cell, 0, None));
            }
            Node::End(_) => {
                let Some((cell, _, string)) = open.pop() else { continue };
                if let Some(cell) = cell.and_then(|cell| cells.get_mut(cell)) {
                    cell.clone_from(&string);
                }
                add(&mut open, string);
            }
        }
    }
    cells.into_iter().flatten().filter(|string| !string.is_empty()).collect()
}
