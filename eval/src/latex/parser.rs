//! Reads LaTeX into nodes.

use super::{MACROS, Node, environment_arguments};
use crate::python::is_space;

/// The nodes of a formula: none after an error outside of all groups; `None` where `pylatexenc`
/// raises.
pub(super) fn parse(latex: &str) -> Option<Vec<Node<'_>>> {
    let mut parser = Parser { rest: latex, depth: 0 };
    let state = State { brackets: false, closing: None };
    Some(parser.nodes(state, Stop::End)?.unwrap_or_default())
}

/// Characters that stand for others, longer ones first.
const SPECIALS: [&str; 8] = ["---", "--", "``", "''", "!`", "?`", "&", "~"];

/// Marks that begin and end formulas, longer ones first.
const FORMULA_MARKS: [&str; 6] = ["$$", r"\(", r"\)", r"\[", r"\]", "$"];

#[derive(Clone, Copy)]
struct State {
    /// Whether `[` and `]` hold a group.
    brackets: bool,
    /// The mark that ends the formula around.
    closing: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop<'a> {
    End,
    Closing(char),
    Environment(&'a str),
    Formula(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Text(&'a str),
    Macro(&'a str),
    Begin(&'a str),
    End(&'a str),
    Open(char),
    Close(char),
    Special(&'static str),
    Formula(&'static str),
    /// What is behind a `%`, by the blanks after its line.
    Remark(&'a str),
}

struct Parser<'a> {
    rest: &'a str,
    /// Stretches that are open.
    depth: usize,
}

/// How deep groups nest at most: about where Python's own limit on recursion stops `pylatexenc`.
const DEPTH_LIMIT: usize = 140;

/// The nodes of a stretch; `None` inside when it is not well formed, outside where `pylatexenc`
/// raises.
type Parsed<'a> = Option<Option<Vec<Node<'a>>>>;

impl<'a> Parser<'a> {
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// The next token with the blanks before it; `None` at the end.
    fn token(&mut self, state: State, environments: bool) -> Option<(&'a str, Token<'a>)> {
        let blanks = self.rest.len() - self.rest.trim_start_matches(is_space).len();
        let blanks = self.take(blanks);
        let Some(first) = self.rest.chars().next() else {
            return (!blanks.is_empty()).then_some((blanks, Token::Text("")));
        };
        let marks = state.closing.into_iter().chain(FORMULA_MARKS);
        if let Some(mark) = marks.into_iter().find(|mark| self.rest.starts_with(mark)) {
            self.take(mark.len());
            return Some((blanks, Token::Formula(mark)));
        }
        let token = match first {
            '\\' => self.command(environments),
            '%' => self.remark(),
            '{' | '[' if first == '{' || state.brackets => {
                self.take(1);
                Token::Open(first)
            }
            '}' | ']' if first == '}' || state.brackets => {
                self.take(1);
                Token::Close(first)
            }
            _ => match SPECIALS.into_iter().find(|special| self.rest.starts_with(special)) {
                Some(special) => {
                    self.take(special.len());
                    Token::Special(special)
                }
                None => Token::Text(self.take(first.len_utf8())),
            },
        };
        Some((blanks, token))
    }

    /// A remark to the end of its line. Blanks that end a paragraph are not its own.
    fn remark(&mut self) -> Token<'a> {
        let line = self.rest.find('\n').unwrap_or(self.rest.len());
        self.take(line);
        let blanks = self.rest.len() - self.rest.trim_start_matches(is_space).len();
        match self.rest[..blanks].matches('\n').count() {
            0 | 1 => Token::Remark(self.take(blanks)),
            _ => Token::Remark(""),
        }
    }

    /// What begins with a backslash.
    fn command(&mut self, environments: bool) -> Token<'a> {
        let name = &self.rest[1..];
        let letters = name.bytes().take_while(u8::is_ascii_alphabetic).count();
        if environments && matches!(&name[..letters], "begin" | "end") {
            let is_begin = &name[..letters] == "begin";
            return match environment_name(&name[letters..]) {
                Some((environment, length)) => {
                    self.take(1 + letters + length);
                    if is_begin { Token::Begin(environment) } else { Token::End(environment) }
                }
                None => Token::Text(self.take(1 + letters)),
            };
        }
        let Some(first) = name.chars().next() else {
            self.rest = "";
            return Token::Text("");
        };
        let length = letters.max(first.len_utf8());
        let command = &self.take(1 + length)[1..];
        if letters > 0 {
            self.rest = self.rest.trim_start_matches(is_space);
        }
        Token::Macro(command)
    }

    fn nodes(&mut self, state: State, stop: Stop<'_>) -> Parsed<'a> {
        if self.depth > DEPTH_LIMIT {
            return None;
        }
        self.depth += 1;
        let nodes = self.nodes_inside(state, stop);
        self.depth -= 1;
        nodes
    }

    fn nodes_inside(&mut self, state: State, stop: Stop<'_>) -> Parsed<'a> {
        // Inside of brackets, only what brackets hold has brackets too.
        let inner = State { brackets: false, ..state };
        let mut nodes = Vec::new();
        loop {
            let Some((blanks, token)) = self.token(state, true) else {
                return Some((stop == Stop::End).then_some(nodes));
            };
            if !blanks.is_empty() {
                nodes.push(Node::Text(blanks));
            }
            let node = match token {
                Token::Close(close) if stop == Stop::Closing(close) => return Some(Some(nodes)),
                Token::End(name) if stop == Stop::Environment(name) => return Some(Some(nodes)),
                Token::Formula(mark) if stop == Stop::Formula(mark) => return Some(Some(nodes)),
                Token::Close(_) | Token::End(_) | Token::Formula(r"\)" | r"\]") => {
                    return Some(None);
                }
                Token::Remark(blanks) => Node::Text(blanks),
                Token::Text(text) => Node::Text(text),
                Token::Special(special) => Node::Special(special),
                Token::Open(open) => self.group(if open == '[' { state } else { inner }, open)?,
                Token::Macro("verb") => {
                    self.verbatim();
                    Node::Macro("verb", Vec::new())
                }
                Token::Macro(name) => {
                    let arguments = MACROS.get(name).copied().unwrap_or_default().arguments;
                    Node::Macro(name, self.arguments(inner, arguments)?)
                }
                Token::Begin(name) => self.environment(inner, name)?,
                Token::Formula(mark) => self.formula(inner, mark)?,
            };
            nodes.push(node);
        }
    }

    /// The rest of a group.
    fn group(&mut self, state: State, open: char) -> Option<Node<'a>> {
        let close = if open == '[' { ']' } else { '}' };
        Some(Node::Group(self.nodes(state, Stop::Closing(close))?.unwrap_or_default()))
    }

    /// The rest of a formula.
    fn formula(&mut self, state: State, mark: &'static str) -> Option<Node<'a>> {
        let closing = match mark {
            r"\(" => r"\)",
            r"\[" => r"\]",
            same => same,
        };
        let state = State { closing: Some(closing), ..state };
        let nodes = self.nodes(state, Stop::Formula(closing))?.unwrap_or_default();
        Some(Node::Formula(nodes, matches!(mark, r"\[" | "$$")))
    }

    /// The rest of an environment.
    fn environment(&mut self, state: State, name: &'a str) -> Option<Node<'a>> {
        if matches!(name, "verbatim" | "lstlisting") {
            let end = format!(r"\end{{{name}}}");
            self.rest = self.rest.split_once(&end).map_or("", |(_, rest)| rest);
            return Some(Node::Environment(name, Vec::new()));
        }
        self.arguments(state, environment_arguments(name))?;
        let nodes = self.nodes(state, Stop::Environment(name))?.unwrap_or_default();
        Some(Node::Environment(name, nodes))
    }

    /// What `\verb` takes: from a character to where it comes again.
    fn verbatim(&mut self) {
        if let Some(mark) = self.rest.chars().next() {
            let inner = &self.rest[mark.len_utf8()..];
            self.rest = inner.split_once(mark).map_or("", |(_, rest)| rest);
        }
    }

    fn arguments(&mut self, state: State, kinds: &str) -> Option<Vec<Option<Node<'a>>>> {
        let mut arguments = Vec::new();
        for kind in kinds.chars() {
            arguments.push(match kind {
                '*' => self.stars(state),
                '[' => self.optional(|parser| {
                    let bracketed = State { brackets: true, ..state };
                    match parser.token(bracketed, true) {
                        // After a line's end, a bracket counts only when no blank is before it.
                        Some((blanks, Token::Open('['))) if kinds != "*[" || blanks.is_empty() => {
                            parser.group(bracketed, '[').map(Some)
                        }
                        _ => Some(None),
                    }
                })?,
                't' => Some(self.expression(State { closing: None, ..state })?),
                _ => Some(self.expression(state)?),
            });
        }
        Some(arguments)
    }

    /// Takes as many stars as there are.
    fn stars(&mut self, state: State) -> Option<Node<'a>> {
        let mut found = None;
        loop {
            let before = self.rest;
            if !self.token(state, true).is_some_and(|(_, token)| token == Token::Text("*")) {
                self.rest = before;
                return found;
            }
            found = Some(Node::Text("*"));
        }
    }

    /// Takes what is there, or nothing at all.
    fn optional(
        &mut self,
        take: impl FnOnce(&mut Self) -> Option<Option<Node<'a>>>,
    ) -> Option<Option<Node<'a>>> {
        let before = self.rest;
        let found = take(self)?;
        if found.is_none() {
            self.rest = before;
        }
        Some(found)
    }

    /// A group or a single token.
    fn expression(&mut self, state: State) -> Option<Node<'a>> {
        loop {
            let before = self.rest;
            return Some(match self.token(state, false) {
                None => Node::Group(Vec::new()),
                Some((_, Token::Remark(_))) => continue,
                Some((_, Token::Text(""))) => Node::Group(Vec::new()),
                Some((_, Token::Text(text))) => Node::Text(text),
                Some((_, Token::Special(special))) => Node::Special(special),
                Some((_, Token::Macro(name))) => Node::Macro(name, Vec::new()),
                Some((_, Token::Open(open))) => self.group(state, open)?,
                Some((_, Token::Close(_))) => {
                    self.rest = before;
                    Node::Text("")
                }
                Some((_, Token::Begin(_) | Token::End(_) | Token::Formula(_))) => return None,
            });
        }
    }
}

/// The name in braces that a text begins with, and its length.
fn environment_name(text: &str) -> Option<(&str, usize)> {
    let braced = text.trim_start_matches(is_space).strip_prefix('{')?;
    let name = &braced[..braced.find('}')?];
    let allowed = |c: char| c.is_ascii_alphanumeric() || "*._ :/!^()[]-".contains(c);
    let length = text.len() - braced.len() + name.len() + 1;
    (!name.is_empty() && name.chars().all(allowed)).then_some((name, length))
}
