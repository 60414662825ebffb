//! Python's literals: `ast.literal_eval`, `str` and `repr`.

use super::repr::{float_repr, text_repr};

/// A value that `ast.literal_eval` gives. Complex numbers and bytes are not taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    /// A whole number of any size, as Python writes it.
    Int(String),
    Float(f64),
    /// `True`, `False`, `None` and `...`, as Python writes them.
    Constant(&'static str),
    List(Vec<Literal>),
    Tuple(Vec<Literal>),
    Set(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

impl Literal {
    /// `ast.literal_eval(text)`; `None` where Python raises.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches([' ', '\t']);
        let mut parser = Parser { rest: text, depth: 0 };
        let value = parser.value_or_bare_tuple()?;
        // Nothing but line ends and remarks may follow.
        parser.depth = 1;
        parser.skip_blanks();
        parser.rest.is_empty().then_some(value)
    }

    /// `str(value)`.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            _ => self.repr(),
        }
    }

    /// `repr(value)`.
    pub(crate) fn repr(&self) -> String {
        let list = |items: &[Self]| items.iter().map(Self::repr).collect::<Vec<_>>().join(", ");
        match self {
            Self::Text(text) => text_repr(text),
            Self::Int(digits) => digits.clone(),
            Self::Float(value) => float_repr(*value),
            Self::Constant(name) => (*name).to_owned(),
            Self::List(items) => format!("[{}]", list(items)),
            Self::Tuple(items) if items.len() == 1 => format!("({},)", list(items)),
            Self::Tuple(items) => format!("({})", list(items)),
            Self::Set(items) if items.is_empty() => "set()".to_owned(),
            Self::Set(items) => format!("{{{}}}", list(items)),
            Self::Dict(entries) => {
                let entries =
                    entries.iter().map(|(key, value)| format!("{}: {}", key.repr(), value.repr()));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Whether `not value` holds.
    pub(crate) fn is_false(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Int(digits) => digits == "0",
            Self::Float(value) => *value == 0.0,
            Self::Constant(name) => matches!(*name, "None" | "False"),
            Self::List(items) | Self::Tuple(items) | Self::Set(items) => items.is_empty(),
            Self::Dict(entries) => entries.is_empty(),
        }
    }

    /// Whether the value may be a key or an item of a set.
    fn is_hashable(&self) -> bool {
        match self {
            Self::List(_) | Self::Set(_) | Self::Dict(_) => false,
            Self::Tuple(items) => items.iter().all(Self::is_hashable),
            _ => true,
        }
    }
}

/// Deeper nesting is refused, as CPython's parser does.
const DEEPEST: usize = 190;

struct Parser<'a> {
    rest: &'a str,
    /// Brackets that are open: within them, lines may end.
    depth: usize,
}

impl Parser<'_> {
    fn skip_blanks(&mut self) {
        loop {
            self.rest = match self.depth {
                0 => self.rest.trim_start_matches([' ', '\t', '\x0c']),
                _ => self.rest.trim_start_matches([' ', '\t', '\x0c', '\n', '\r']),
            };
            if self.rest.starts_with('#') {
                let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
            } else if let Some(rest) =
                self.rest.strip_prefix("\\\n").or_else(|| self.rest.strip_prefix("\\\r\n"))
            {
                self.rest = rest;
            } else {
                return;
            }
        }
    }

    /// Takes `token` if it is next.
    fn take(&mut self, token: char) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A value, or values parted by commas, which are a tuple.
    fn value_or_bare_tuple(&mut self) -> Option<Literal> {
        let first = self.value()?;
        if !self.take(',') {
            return Some(first);
        }
        let mut items = vec![first];
        loop {
            self.skip_blanks();
            if self.rest.is_empty() || self.rest.starts_with([')', '\n', '\r']) {
                return Some(Literal::Tuple(items));
            }
            items.push(self.value()?);
            if !self.take(',') {
                return Some(Literal::Tuple(items));
            }
        }
    }

    fn value(&mut self) -> Option<Literal> {
        self.skip_blanks();
        match self.rest.chars().next()? {
            '[' => self.bracketed(|parser| parser.items(']').map(Literal::List)),
            '{' => self.bracketed(Self::set_or_dict),
            '(' => self.bracketed(|parser| {
                if parser.take(')') {
                    return Some(Literal::Tuple(Vec::new()));
                }
                let value = parser.value_or_bare_tuple()?;
                parser.take(')').then_some(value)
            }),
            '+' | '-' => self.signed(),
            first if first.is_ascii_digit() || first == '.' => self.number(),
            _ => self.constant().or_else(|| self.texts()),
        }
    }

    /// Parses what follows an opening bracket.
    fn bracketed(&mut self, inner: impl Fn(&mut Self) -> Option<Literal>) -> Option<Literal> {
        if self.depth == DEEPEST {
            return None;
        }
        self.rest = self.rest.get(1..)?;
        self.depth += 1;
        let value = inner(self)?;
        self.depth -= 1;
        Some(value)
    }

    fn items(&mut self, end: char) -> Option<Vec<Literal>> {
        let mut items = Vec::new();
        loop {
            if self.take(end) {
                return Some(items);
            }
            items.push(self.value()?);
            if !self.take(',') {
                return self.take(end).then_some(items);
            }
        }
    }

    fn set_or_dict(&mut self) -> Option<Literal> {
        if self.take('}') {
            return Some(Literal::Dict(Vec::new()));
        }
        let first = self.value()?;
        if !self.take(':') {
            let mut items = vec![first];
            if self.take(',') {
                items.extend(self.items('}')?);
            } else if !self.take('}') {
                return None;
            }
            return items
                .iter()
                .all(Literal::is_hashable)
                .then(|| Literal::Set(without_repeats(items)));
        }
        let mut entries = Vec::new();
        insert(&mut entries, first, self.value()?)?;
        while self.take(',') {
            if self.take('}') {
                return Some(Literal::Dict(entries));
            }
            let key = self.value()?;
            if !self.take(':') {
                return None;
            }
            let value = self.value()?;
            insert(&mut entries, key, value)?;
        }
        self.take('}').then_some(Literal::Dict(entries))
    }

    /// One sign and a number; Python takes no more than one.
    fn signed(&mut self) -> Option<Literal> {
        let negative = self.rest.starts_with('-');
        self.rest = self.rest.get(1..)?;
        self.skip_blanks();
        match self.number()? {
            Literal::Int(digits) if negative && digits != "0" => {
                Some(Literal::Int(format!("-{digits}")))
            }
            Literal::Float(value) if negative => Some(Literal::Float(-value)),
            value => Some(value),
        }
    }

    fn constant(&mut self) -> Option<Literal> {
        let end =
            self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let name = ["True", "False", "None"].into_iter().find(|&name| name == &self.rest[..end])?;
        self.rest = &self.rest[end..];
        Some(Literal::Constant(name))
    }

    fn number(&mut self) -> Option<Literal> {
        if let Some(rest) = self.rest.strip_prefix("...") {
            self.rest = rest;
            return Some(Literal::Constant("Ellipsis"));
        }
        let mut end = 0;
        let bytes = self.rest.as_bytes();
        let hexadecimal = self.rest.get(1..2).is_some_and(|c| c.eq_ignore_ascii_case("x"));
        while let Some(&byte) = bytes.get(end) {
            let signed = matches!(byte, b'+' | b'-')
                && !hexadecimal
                && end.checked_sub(1).is_some_and(|at| bytes[at].eq_ignore_ascii_case(&b'e'));
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || signed) {
                break;
            }
            end += 1;
        }
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        whole(token).or_else(|| decimal(token))
    }

    /// Texts in quotes; several in a row are one.
    fn texts(&mut self) -> Option<Literal> {
        let mut whole = self.text()?;
        loop {
            self.skip_blanks();
            if !self.rest.starts_with(['\'', '"', 'r', 'R', 'u', 'U']) {
                return Some(Literal::Text(whole));
            }
            whole += &self.text()?;
        }
    }

    fn text(&mut self) -> Option<String> {
        let (raw, rest) = match self.rest.strip_prefix(['r', 'R']) {
            Some(rest) => (true, rest),
            None => (false, self.rest.strip_prefix(['u', 'U']).unwrap_or(self.rest)),
        };
        let quote =
            ["'''", "\"\"\"", "'", "\""].into_iter().find(|quote| rest.starts_with(quote))?;
        self.rest = &rest[quote.len()..];
        let mut text = String::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix(quote) {
                self.rest = rest;
                return Some(text);
            }
            match self.next_char()? {
                '\n' | '\r' if quote.len() == 1 => return None,
                '\\' if raw => text.extend(['\\', self.next_char()?]),
                '\\' => self.escape(&mut text)?,
                c => text.push(c),
            }
        }
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// What follows a backslash; an unknown escape stays as it is.
    fn escape(&mut self, text: &mut String) -> Option<()> {
        let plain = match self.next_char()? {
            '\n' => return Some(()),
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'v' => '\x0b',
            c @ ('\\' | '\'' | '"') => c,
            'x' => self.code(2, 16)?,
            'u' => self.code(4, 16)?,
            'U' => self.code(8, 16)?,
            first @ '0'..='7' => {
                let more =
                    self.rest.bytes().take(2).take_while(|byte| (b'0'..=b'7').contains(byte));
                let more = more.count();
                let digits = format!("{first}{}", &self.rest[..more]);
                self.rest = &self.rest[more..];
                char::from_u32(u32::from_str_radix(&digits, 8).ok()?)?
            }
            // A name, such as `\N{BULLET}`, is not looked up.
            'N' => return None,
            other => {
                text.push('\\');
                other
            }
        };
        text.push(plain);
        Some(())
    }

    fn code(&mut self, length: usize, radix: u32) -> Option<char> {
        let digits = self.rest.get(..length)?;
        let code = digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(digits)?;
        self.rest = &self.rest[length..];
        char::from_u32(u32::from_str_radix(code, radix).ok()?)
    }
}

/// A whole number: decimal without leading zeros, or with a prefix for another base.
fn whole(token: &str) -> Option<Literal> {
    let lower = token.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return u128::from_str_radix(digits, radix)
                .ok()
                .map(|value| Literal::Int(value.to_string()));
        }
    }
    let digits = super::without_underscores(token)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    match (significant.is_empty(), digits.len() == significant.len()) {
        (true, _) => Some(Literal::Int("0".to_owned())),
        (false, true) => Some(Literal::Int(digits)),
        (false, false) => None,
    }
}

/// A number with a point or an exponent.
fn decimal(token: &str) -> Option<Literal> {
    token.contains(['.', 'e', 'E']).then(|| super::float(token)).flatten().map(Literal::Float)
}

fn insert(entries: &mut Vec<(Literal, Literal)>, key: Literal, value: Literal) -> Option<()> {
    if !key.is_hashable() {
        return None;
    }
    match entries.iter_mut().find(|(known, _)| *known == key) {
        Some((_, old)) => *old = value,
        None => entries.push((key, value)),
    }
    Some(())
}

fn without_repeats(items: Vec<Literal>) -> Vec<Literal> {
    let mut kept: Vec<Literal> = Vec::with_capacity(items.len());
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}
