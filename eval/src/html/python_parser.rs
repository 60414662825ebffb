//! The events of Python's `html.parser` (CPython 3.11, `convert_charrefs=False`), which Beautiful
//! Soup builds on, and with it OmniDocBench's table normalisation.

use super::entities::python_unescape;
use crate::python::{is_space, strip};
use fancy_regex::Regex;
use std::sync::LazyLock;

/// What the parser meets, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A start tag, its names in lower case; an attribute without `=` has no value.
    Start { tag: String, attributes: Vec<(String, Option<String>)>, self_closing: bool },
    /// An end tag.
    End(String),
    /// Text as it stands.
    Text(String),
    /// What stands between `&#` and `;`.
    Number(String),
    /// What stands between `&` and `;`.
    Name(String),
    /// What stands between `<!--` and `-->`, or in what is taken for a comment.
    Comment(String),
    /// What stands between `<!` and `>` of a doctype.
    Doctype(String),
    /// What stands between `<![` and `]>`.
    Section(String),
    /// What stands between `<?` and `>`.
    Instruction(String),
}

/// The events of a document; `None` where `html.parser` raises, at a strange `<![`.
pub(crate) fn events(html: &str) -> Option<Vec<Event>> {
    let mut parser = Parser { text: html, at: 0, raw: None, events: Vec::new() };
    parser.run(false)?;
    parser.run(true)?;
    Some(parser.events)
}

/// A pattern with Python's `\s`.
fn pattern(pattern: &str) -> Option<Regex> {
    Regex::new(&pattern.replace(r"[^\s", r"[^\s\x1c-\x1f").replace(r"[\s", r"[\s\x1c-\x1f")).ok()
}

static TAG: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\A([a-zA-Z][^\t\n\r\x0c />\x00]*)(?:[\s]|/(?!>))*"));

/// With a character before it, which the pattern looks back at.
static ATTRIBUTE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r#"\A(?s:.)((?<=['"]|[\s/])[^\s/>][^\s/=>]*)([\s]*=+[\s]*('[^']*'|"[^"]*"|(?!['"])[^>\s]*))?(?:[\s]|/(?!>))*"#,
    )
});

static START_TAG: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r#"\A<[a-zA-Z][^\t\n\r\x0c />\x00]*(?:[\s/]*(?:(?<=['"]|[\s/])[^\s/>][^\s/=>]*(?:[\s]*=+[\s]*(?:'[^']*'|"[^"]*"|(?!['"])[^>\s]*)[\s]*)?(?:[\s]|/(?!>))*)*)?[\s]*"#,
    )
});

static END_TAG: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\A</[\s]*([a-zA-Z][-.a-zA-Z0-9:_]*)[\s]*>"));

/// The groups of a match at the start of a text, the whole first.
fn groups<'t>(pattern: &LazyLock<Option<Regex>>, text: &'t str) -> Option<Vec<Option<&'t str>>> {
    let found = pattern.as_ref()?.captures(text).ok()??;
    Some(found.iter().map(|group| group.map(|group| group.as_str())).collect())
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// The element whose text is taken as it stands.
    raw: Option<String>,
    events: Vec<Event>,
}

/// Where parsing goes on.
enum Next {
    At(usize),
    /// There is no end to what begins here.
    Incomplete,
    Raised,
}

impl Parser<'_> {
    fn rest(&self, at: usize) -> &str {
        self.text.get(at..).unwrap_or_default()
    }

    fn data(&mut self, from: usize, to: usize) {
        self.events.push(Event::Text(self.text[from..to].to_owned()));
    }

    /// `goahead`: once for what is whole, and at the end once more for the rest.
    fn run(&mut self, end: bool) -> Option<()> {
        let length = self.text.len();
        while self.at < length {
            let next = match &self.raw {
                Some(tag) => match end_of_raw(self.rest(self.at), tag) {
                    Some(found) => self.at + found,
                    None => break,
                },
                None => self.rest(self.at).find(['&', '<']).map_or(length, |at| self.at + at),
            };
            if self.at < next {
                self.data(self.at, next);
                self.at = next;
            }
            if self.at == length {
                break;
            }
            let goes_on = match self.text.as_bytes()[self.at] {
                b'<' => self.markup(end)?,
                _ => self.reference(end),
            };
            if !goes_on {
                break;
            }
        }
        if end && self.at < length && self.raw.is_none() {
            self.data(self.at, length);
            self.at = length;
        }
        Some(())
    }

    /// What begins with `<`; whether to go on, `None` where Python raises.
    fn markup(&mut self, end: bool) -> Option<bool> {
        let (start, rest) = (self.at, self.rest(self.at));
        let next = match () {
            () if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) => self.start_tag(start),
            () if rest.starts_with("</") => self.end_tag(start),
            () if rest.starts_with("<!--") => self.comment(start),
            () if rest.starts_with("<?") => self.up_to_bracket(start, Event::Instruction),
            () if rest.starts_with("<!") => self.declaration(start),
            () if rest.len() > 1 => {
                self.data(start, start + 1);
                Next::At(start + 1)
            }
            () => return Some(false),
        };
        self.at = match next {
            Next::Raised => return None,
            Next::At(next) => next,
            Next::Incomplete if !end => return Some(false),
            Next::Incomplete => {
                let after = self.rest(start + 1);
                let bracket = after.find('>').map(|at| at + 1).or(after.find('<'));
                let next = start + 1 + bracket.unwrap_or(0);
                self.data(start, next);
                next
            }
        };
        Some(true)
    }

    /// What begins with `&`; whether to go on.
    fn reference(&mut self, end: bool) -> bool {
        let rest = self.rest(self.at);
        let (event, length) = match rest.strip_prefix("&#") {
            Some(digits) => match numbered(digits) {
                Some(number) => (Event::Number(number.to_owned()), 2 + number.len()),
                None => {
                    if rest.contains(';') {
                        self.data(self.at, self.at + 2);
                        self.at += 2;
                    }
                    return false;
                }
            },
            None => match named(&rest[1..]) {
                Some(name) => (Event::Name(name.to_owned()), 1 + name.len()),
                None if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    // Of `&` and a letter at the very end the `&` is lost.
                    self.at += usize::from(end && rest.len() == 2);
                    return false;
                }
                None if rest.len() > 1 => (Event::Text("&".to_owned()), 1),
                None => return false,
            },
        };
        let semicolon = !matches!(event, Event::Text(_)) && rest[length..].starts_with(';');
        self.at += length + usize::from(semicolon);
        self.events.push(event);
        true
    }

    fn start_tag(&mut self, start: usize) -> Next {
        let Some(end) = self.end_of_start_tag(start) else { return Next::Incomplete };
        let Some(found) = groups(&TAG, self.rest(start + 1)) else { return Next::Incomplete };
        let tag = found[1].unwrap_or_default().to_lowercase();
        let mut at = start + 1 + found[0].unwrap_or_default().len();
        let mut attributes = Vec::new();
        while at < end {
            // The character before the attribute is part of the match.
            let before = self.text[..at].chars().next_back().map_or(0, char::len_utf8);
            let Some(found) = groups(&ATTRIBUTE, self.rest(at - before)) else { break };
            let value = found[2].map(|_| {
                let value = found[3].unwrap_or_default();
                let quoted = ['\'', '"'].into_iter().find_map(|quote| {
                    let inner = value.strip_prefix(quote)?;
                    if inner.is_empty() { Some("") } else { inner.strip_suffix(quote) }
                });
                python_unescape(quoted.unwrap_or(value))
            });
            attributes.push((found[1].unwrap_or_default().to_lowercase(), value));
            at += found[0].unwrap_or_default().len() - before;
        }
        let close = strip(self.text.get(at..end).unwrap_or_default());
        if !matches!(close, ">" | "/>") {
            self.data(start, end);
            return Next::At(end);
        }
        let self_closing = close == "/>";
        if !self_closing && matches!(tag.as_str(), "script" | "style") {
            self.raw = Some(tag.clone());
        }
        self.events.push(Event::Start { tag, attributes, self_closing });
        Next::At(end)
    }

    /// Where a start tag ends, or what is wrong with it begins; `None` where more has to come.
    fn end_of_start_tag(&self, start: usize) -> Option<usize> {
        let found = groups(&START_TAG, self.rest(start))?;
        let end = start + found[0].unwrap_or_default().len();
        let rest = self.rest(end);
        match rest.chars().next() {
            Some('>') => Some(end + 1),
            Some('/') if rest.starts_with("/>") => Some(end + 2),
            None | Some('/' | '=') => None,
            Some(c) if c.is_ascii_alphabetic() => None,
            Some(_) => Some(end),
        }
    }

    fn end_tag(&mut self, start: usize) -> Next {
        let rest = self.rest(start);
        let Some(bracket) = rest.find('>').map(|at| start + at + 1) else {
            return Next::Incomplete;
        };
        let Some(found) = groups(&END_TAG, rest) else { return self.odd_end_tag(start, bracket) };
        let tag = found[1].unwrap_or_default().to_lowercase();
        let end = start + found[0].unwrap_or_default().len();
        if self.raw.as_ref().is_some_and(|raw| *raw != tag) {
            self.data(start, bracket);
            return Next::At(bracket);
        }
        self.raw = None;
        self.events.push(Event::End(tag));
        Next::At(end)
    }

    /// An end tag with more than a name in it.
    fn odd_end_tag(&mut self, start: usize, bracket: usize) -> Next {
        if self.raw.is_some() {
            self.data(start, bracket);
            return Next::At(bracket);
        }
        let rest = self.rest(start);
        if let Some(found) = groups(&TAG, self.rest(start + 2)) {
            let tag = found[1].unwrap_or_default().to_lowercase();
            let after = start + 2 + found[0].unwrap_or_default().len();
            let end = self.rest(after).find('>').map_or(bracket, |at| after + at + 1);
            self.events.push(Event::End(tag));
            return Next::At(end);
        }
        match rest.starts_with("</>") {
            true => Next::At(start + 3),
            false => self.up_to_bracket(start, Event::Comment),
        }
    }

    /// What begins with two marks and goes up to the next `>`.
    fn up_to_bracket(&mut self, start: usize, event: fn(String) -> Event) -> Next {
        match self.rest(start + 2).find('>') {
            Some(length) => {
                let inner = self.rest(start + 2)[..length].to_owned();
                self.events.push(event(inner));
                Next::At(start + 2 + length + 1)
            }
            None => Next::Incomplete,
        }
    }

    fn comment(&mut self, start: usize) -> Next {
        let inner = self.rest(start + 4);
        let Some(length) = first_comment_end(inner) else { return Next::Incomplete };
        let after = inner[length + 2..].find('>').map_or(inner.len(), |at| length + 2 + at + 1);
        let comment = inner[..length].to_owned();
        self.events.push(Event::Comment(comment));
        Next::At(start + 4 + after)
    }

    /// `<!` and no comment: a doctype, a marked section, or what is taken for a comment.
    fn declaration(&mut self, start: usize) -> Next {
        let rest = self.rest(start);
        if rest.starts_with("<![") {
            return self.section(start);
        }
        let is_doctype = rest.get(..9).is_some_and(|word| word.eq_ignore_ascii_case("<!doctype"));
        self.up_to_bracket(start, if is_doctype { Event::Doctype } else { Event::Comment })
    }

    fn section(&mut self, start: usize) -> Next {
        let inner = self.rest(start + 3);
        let name_end = inner
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(inner.len());
        let blanks = inner[name_end..].trim_start_matches(is_space);
        let named = inner.starts_with(|c: char| c.is_ascii_alphabetic());
        if inner.is_empty() || (named && blanks.is_empty()) {
            return Next::Incomplete;
        }
        let brackets = match inner[..name_end].to_lowercase().as_str() {
            "temp" | "cdata" | "ignore" | "include" | "rcdata" if named => 2,
            "if" | "else" | "endif" if named => 1,
            _ => return Next::Raised,
        };
        for (at, _) in inner.match_indices(']') {
            let mut after = &inner[at..];
            for mark in if brackets == 2 { "]]>" } else { "]>" }.chars() {
                match after.trim_start_matches(is_space).strip_prefix(mark) {
                    Some(rest) => after = rest,
                    None => {
                        after = "\0";
                        break;
                    }
                }
            }
            if after != "\0" {
                let end = self.text.len() - after.len();
                let section = inner[..at].to_owned();
                self.events.push(Event::Section(section));
                return Next::At(end);
            }
        }
        Next::Incomplete
    }
}

/// Where the `--`, blanks and `>` of a comment's end begin.
fn first_comment_end(inner: &str) -> Option<usize> {
    let bytes = inner.as_bytes();
    (0..bytes.len()).find(|&at| {
        bytes[at..].starts_with(b"--")
            && inner[at + 2..].trim_start_matches(is_space).starts_with('>')
    })
}

/// Where the end tag of a raw element begins.
fn end_of_raw(text: &str, tag: &str) -> Option<usize> {
    let ends = |&(at, _): &(usize, &str)| {
        let name = text[at + 2..].trim_start_matches(is_space);
        name.get(..tag.len()).is_some_and(|name| name.eq_ignore_ascii_case(tag))
            && name[tag.len()..].trim_start_matches(is_space).starts_with('>')
    };
    text.match_indices("</").find(ends).map(|(at, _)| at)
}

/// The digits after `&#`, with their `x`, that something other than a hexadecimal digit follows.
fn numbered(text: &str) -> Option<&str> {
    let hexadecimal = text.starts_with(['x', 'X']);
    let prefix = usize::from(hexadecimal);
    let digit = |c: char| if hexadecimal { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
    let end = prefix + text[prefix..].find(|c| !digit(c))?;
    let ends = end > prefix && !text[end..].starts_with(|c: char| c.is_ascii_hexdigit());
    ends.then(|| &text[..end])
}

/// The name after `&`, which something other than a letter or digit follows.
fn named(text: &str) -> Option<&str> {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    match text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))) {
        Some(end) => Some(&text[..end]),
        None => text.rfind(['-', '.']).map(|end| &text[..end]),
    }
}
