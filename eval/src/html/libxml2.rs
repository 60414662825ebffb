//! The HTML parser of libxml2 2.14, on which `lxml` stands: HTML5's tokens, but the tree is built by
//! tables of HTML 4's time that say which tag ends which element.

use super::entities::reference;
use super::libxml2_rules::{Content, closes, content, end_priority, is_empty};
use super::{Child, Element, ElementId, Tree};

/// Parses a document as `htmlCtxtReadMemory` does, comments dropped, blanks kept.
pub(super) fn parse(html: &str) -> Tree {
    let mut parser = Parser { rest: html, ..Parser::default() };
    parser.skip_blanks();
    while !parser.rest.is_empty() {
        parser.step();
    }
    parser.tree
}

/// Bytes of a tag's or attribute's name that are kept.
const NAME_LIMIT: usize = 100;

/// How deep elements nest at most; the parser stops at a deeper one.
const DEPTH_LIMIT: usize = 256;

#[derive(Default)]
struct Parser<'a> {
    rest: &'a str,
    tree: Tree,
    /// The open elements, outermost first.
    open: Vec<ElementId>,
    /// How the text of the innermost element is read.
    content: Content,
    head_seen: bool,
    body_seen: bool,
    doctype_seen: bool,
    /// Tags of `html`, `head` and `body` that were passed over, whose end tags will be too.
    discarded: usize,
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0c' | '\r')
}

impl<'a> Parser<'a> {
    fn step(&mut self) {
        if self.content != Content::Markup || !self.rest.starts_with('<') {
            return self.text();
        }
        let mut after = self.rest[1..].chars();
        match after.next() {
            Some('/') => self.end_tag(),
            Some('!') => self.declaration(),
            Some('?') => self.skip_past('>'),
            Some(c) if c.is_ascii_alphabetic() => self.element(),
            _ => {
                self.start_text();
                self.characters("<");
                self.skip(1);
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }

    fn skip_past(&mut self, end: char) {
        self.rest = self.rest.split_once(end).map_or("", |(_, rest)| rest);
    }

    /// `<!…`: a doctype, a comment, or what is taken for one.
    fn declaration(&mut self) {
        let is_doctype =
            self.rest.get(2..9).is_some_and(|word| word.eq_ignore_ascii_case("doctype"));
        self.doctype_seen |= is_doctype;
        match self.rest.strip_prefix("<!--") {
            Some(comment) => self.rest = after_comment(comment),
            None => self.skip_past('>'),
        }
    }

    fn current_tag(&self) -> Option<&str> {
        self.open.last().map(|&id| self.tree.elements[id].tag.as_str())
    }

    fn is_open(&self, tag: &str) -> bool {
        self.open.iter().any(|&id| self.tree.elements[id].tag == tag)
    }

    fn open_element(&mut self, tag: &str, attributes: Vec<(String, String)>) {
        self.head_seen |= tag == "head";
        self.body_seen |= tag == "body";
        if self.open.len() >= DEPTH_LIMIT {
            self.rest = "";
            return;
        }
        let id = self.tree.elements.len();
        self.tree.elements.push(Element { tag: tag.to_owned(), attributes, children: Vec::new() });
        // An element after the end of the root goes into the root, unless a doctype precedes that.
        let parent = self.open.last().copied().or(self.tree.root.filter(|_| !self.doctype_seen));
        if let Some(parent) = parent {
            self.tree.elements[parent].children.push(Child::Element(id));
        }
        self.tree.root.get_or_insert(id);
        self.open.push(id);
    }

    /// Opens the elements that a tag may leave out: `html`, `head`, `body`.
    fn open_implied(&mut self, tag: &str) {
        if tag == "html" {
            return;
        }
        if self.open.is_empty() {
            self.open_element("html", Vec::new());
        }
        let of_head = matches!(tag, "script" | "style" | "meta" | "link" | "title" | "base");
        match tag {
            "body" | "head" => {}
            _ if self.open.len() <= 1 && of_head => {
                if !self.head_seen && !self.body_seen {
                    self.open_element("head", Vec::new());
                }
            }
            "noframes" | "frame" | "frameset" => {}
            _ if self.body_seen || self.is_open("body") || self.is_open("head") => {}
            _ => self.open_element("body", Vec::new()),
        }
    }

    /// Closes the elements that a start tag ends.
    fn close_for(&mut self, tag: &str) {
        while self.current_tag().is_some_and(|open| closes(tag, open)) {
            self.open.pop();
        }
    }

    fn element(&mut self) {
        self.start_tag();
        // Where the tag was passed over, what follows concerns the element around it.
        let Some(tag) = self.current_tag() else { return };
        let (empty, content) = (is_empty(tag), content(tag));
        if self.rest.starts_with("/>") {
            self.skip(2);
            self.open.pop();
        } else if self.rest.starts_with('>') {
            self.skip(1);
            match empty {
                true => drop(self.open.pop()),
                false => self.content = content,
            }
        }
    }

    /// Reads a start tag up to its `>` or `/>`.
    fn start_tag(&mut self) {
        self.skip(1);
        let tag = self.name(false);
        self.close_for(&tag);
        self.open_implied(&tag);
        let misplaced = match tag.as_str() {
            "html" => !self.open.is_empty(),
            "head" => self.open.len() != 1,
            "body" => self.is_open("body"),
            _ => false,
        };
        self.discarded += usize::from(misplaced);
        let attributes = self.attributes();
        // A tag that the end of the document cuts off is none.
        if !misplaced && !self.rest.is_empty() {
            self.open_element(&tag, attributes);
        }
    }

    /// Reads attributes up to `>`, `/>` or the end. Of equal names the first counts.
    fn attributes(&mut self) -> Vec<(String, String)> {
        let mut attributes: Vec<(String, String)> = Vec::new();
        self.skip_blanks();
        while !self.rest.is_empty() && !self.rest.starts_with('>') && !self.rest.starts_with("/>") {
            if self.rest.starts_with('/') {
                self.skip(1);
            } else {
                let (name, value) = self.attribute();
                if attributes.iter().all(|(other, _)| *other != name) {
                    attributes.push((name, value));
                }
            }
            self.skip_blanks();
        }
        attributes
    }

    fn attribute(&mut self) -> (String, String) {
        let name = self.name(true);
        self.skip_blanks();
        if !self.rest.starts_with('=') {
            return (name, String::new());
        }
        self.skip(1);
        self.skip_blanks();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let value = match quote {
            Some(quote) => {
                self.skip(1);
                let value = self.value(|c| c == quote);
                self.skip(usize::from(!self.rest.is_empty()));
                value
            }
            None => self.value(|c| is_blank(c) || c == '>'),
        };
        (name, value)
    }

    /// A name in lower case: at least a character, up to a blank, `/`, `>` or, of an attribute, `=`.
    fn name(&mut self, of_attribute: bool) -> String {
        let ends = |c: char| is_blank(c) || matches!(c, '/' | '>') || (of_attribute && c == '=');
        let mut characters = self.rest.char_indices();
        let end = characters.by_ref().skip(1).find(|&(_, c)| ends(c));
        let (written, rest) = self.rest.split_at(end.map_or(self.rest.len(), |(at, _)| at));
        self.rest = rest;
        let mut name = String::with_capacity(written.len());
        for c in written.chars() {
            let c = if c == '\0' { char::REPLACEMENT_CHARACTER } else { c.to_ascii_lowercase() };
            if name.len() + c.len_utf8() <= NAME_LIMIT {
                name.push(c);
            }
        }
        name
    }

    /// The value of an attribute up to the character that ends it, references resolved.
    fn value(&mut self, ends: impl Fn(char) -> bool) -> String {
        let (written, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        let mut value = String::with_capacity(written.len());
        resolve(written, References::OfAttributes, |part| value.push_str(part));
        value
    }

    fn end_tag(&mut self) {
        self.skip(2);
        match self.rest.chars().next() {
            None => {
                self.start_text();
                return self.characters("</");
            }
            Some('>') => return self.skip(1),
            Some(c) if !c.is_ascii_alphabetic() => return self.skip_past('>'),
            Some(_) => {}
        }
        let tag = self.name(false);
        self.attributes();
        match self.rest {
            "" => return,
            rest => self.skip(if rest.starts_with('>') { 1 } else { 2 }),
        }
        if self.discarded > 0 && matches!(tag.as_str(), "html" | "body" | "head") {
            self.discarded -= 1;
            return;
        }
        self.close(&tag);
    }

    /// Closes the innermost open element with a tag, and those inside it, unless one of them is of a
    /// kind that the tag cannot close.
    fn close(&mut self, tag: &str) {
        let priority = end_priority(tag);
        for at in (0..self.open.len()).rev() {
            let open = &self.tree.elements[self.open[at]].tag;
            if open == tag {
                return self.open.truncate(at);
            }
            if end_priority(open) > priority {
                return;
            }
        }
    }

    /// Makes sure that text has a place.
    fn start_text(&mut self) {
        if self.current_tag() == Some("head") {
            self.close_for("p");
        }
        self.open_implied("p");
    }

    fn characters(&mut self, text: &str) {
        if let Some(&open) = self.open.last() {
            self.tree.elements[open].push_text(text);
        }
    }

    /// Reads text up to the next tag, or in elements that hold no markup up to their end tag.
    fn text(&mut self) {
        let end = match self.content {
            Content::Markup => self.rest.find('<'),
            Content::Plain => None,
            Content::Raw | Content::References => self.end_of_raw(),
        };
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match self.content {
            Content::Markup | Content::References => {
                resolve(text, References::OfText, |part| self.text_in_place(part));
            }
            Content::Raw | Content::Plain => {
                resolve(text, References::Kept, |part| self.characters(part));
            }
        }
        if end.is_some() {
            self.content = Content::Markup;
        }
    }

    /// Adds text; outside of the body all but leading blanks open one.
    fn text_in_place(&mut self, text: &str) {
        let mut text = text;
        if matches!(self.current_tag(), None | Some("html" | "head")) {
            let inked = text.trim_start_matches(is_blank);
            self.characters(&text[..text.len() - inked.len()]);
            if inked.is_empty() {
                return;
            }
            self.start_text();
            text = inked;
        }
        self.characters(text);
    }

    /// Where the end tag of the current element begins.
    fn end_of_raw(&self) -> Option<usize> {
        let tag = self.current_tag()?;
        let ends = |&(at, _): &(usize, &str)| {
            let after = &self.rest[at + 2..];
            after.get(..tag.len()).is_some_and(|name| name.eq_ignore_ascii_case(tag))
                && after[tag.len()..].starts_with(|c| is_blank(c) || matches!(c, '/' | '>'))
        };
        self.rest.match_indices("</").find(ends).map(|(at, _)| at)
    }
}

/// What follows a comment, given what follows its `<!--`.
fn after_comment(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('>').or(text.strip_prefix("->")) {
        return rest;
    }
    let ends = ["-->", "--!>"].into_iter().filter_map(|end| Some((text.find(end)?, end.len())));
    ends.min().map_or("", |(at, length)| &text[at + length..])
}

/// Which references a text has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum References {
    OfText,
    OfAttributes,
    Kept,
}

impl References {
    /// The reference that what follows an `&` begins with, and its length.
    fn first(self, text: &str) -> Option<(String, usize)> {
        match self {
            Self::OfText => reference(text, false),
            Self::OfAttributes => reference(text, true),
            Self::Kept => None,
        }
    }
}

/// Hands on a text in parts, with references resolved and line ends as `\n`.
fn resolve(text: &str, references: References, mut part: impl FnMut(&str)) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '\r', '\0']) {
        let after = &rest[at + 1..];
        let mut keep = at;
        let mut length = 1;
        let replacement = match rest.as_bytes()[at] {
            b'\0' => char::REPLACEMENT_CHARACTER.to_string(),
            b'\r' if after.starts_with('\n') => String::new(),
            b'\r' => "\n".to_owned(),
            _ => match references.first(after) {
                Some((found, found_length)) => {
                    length += found_length;
                    found
                }
                None => {
                    keep += 1;
                    length = 0;
                    String::new()
                }
            },
        };
        for piece in [&rest[..keep], &replacement] {
            if !piece.is_empty() {
                part(piece);
            }
        }
        rest = &rest[keep + length..];
    }
    if !rest.is_empty() {
        part(rest);
    }
}
