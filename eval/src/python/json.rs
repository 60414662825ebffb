//! `json.loads`, to the values that Python's literals have.

use super::Literal;

/// `json.loads(text)`; `None` where Python raises `JSONDecodeError`.
///
/// As in Python, `NaN` and the infinities are taken, of a repeated key the last value counts, and
/// control characters in texts are refused. Half of a surrogate pair becomes U+FFFD.
pub(crate) fn parse(text: &str) -> Option<Literal> {
    let mut parser = Parser { rest: text, depth: 0 };
    let value = parser.value()?;
    parser.skip_blanks();
    parser.rest.is_empty().then_some(value)
}

/// Deeper nesting is refused, where Python runs out of stack a little later.
const DEEPEST: usize = 900;

const CONSTANTS: [(&str, Literal); 6] = [
    ("null", Literal::Constant("None")),
    ("true", Literal::Constant("True")),
    ("false", Literal::Constant("False")),
    ("NaN", Literal::Float(f64::NAN)),
    ("Infinity", Literal::Float(f64::INFINITY)),
    ("-Infinity", Literal::Float(f64::NEG_INFINITY)),
];

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes `token` if it is next but for blanks.
    fn take_mark(&mut self, token: &str) -> bool {
        self.skip_blanks();
        self.take(token)
    }

    fn value(&mut self) -> Option<Literal> {
        self.skip_blanks();
        if self.take("\"") {
            return self.text().map(Literal::Text);
        }
        if self.rest.starts_with(['[', '{']) {
            if self.depth == DEEPEST {
                return None;
            }
            self.depth += 1;
            let value = if self.take("[") { self.list() } else { self.dict() };
            self.depth -= 1;
            return value;
        }
        for (name, value) in CONSTANTS {
            if self.take(name) {
                return Some(value);
            }
        }
        self.number()
    }

    fn list(&mut self) -> Option<Literal> {
        let mut items = Vec::new();
        if self.take_mark("]") {
            return Some(Literal::List(items));
        }
        loop {
            items.push(self.value()?);
            if self.take_mark("]") {
                return Some(Literal::List(items));
            }
            if !self.take(",") {
                return None;
            }
        }
    }

    fn dict(&mut self) -> Option<Literal> {
        self.take("{");
        let mut entries: Vec<(Literal, Literal)> = Vec::new();
        if self.take_mark("}") {
            return Some(Literal::Dict(entries));
        }
        loop {
            if !self.take_mark("\"") {
                return None;
            }
            let key = Literal::Text(self.text()?);
            if !self.take_mark(":") {
                return None;
            }
            let value = self.value()?;
            match entries.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => entries.push((key, value)),
            }
            if self.take_mark("}") {
                return Some(Literal::Dict(entries));
            }
            if !self.take(",") {
                return None;
            }
        }
    }

    /// A text whose opening quote is taken.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let end = self.rest.find(|c: char| matches!(c, '"' | '\\' | '\0'..='\x1f'))?;
            let (plain, rest) = self.rest.split_at(end);
            text.push_str(plain);
            self.rest = rest;
            if self.take("\"") {
                return Some(text);
            }
            if !self.take("\\") {
                return None;
            }
            text.push(self.escape()?);
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<char> {
        let kind = self.rest.chars().next()?;
        self.rest = &self.rest[kind.len_utf8()..];
        match kind {
            '"' | '\\' | '/' => Some(kind),
            'b' => Some('\x08'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'u' => {
                let first = self.code()?;
                let before = self.rest;
                if (0xd800..0xdc00).contains(&first)
                    && self.take("\\u")
                    && let Some(second @ 0xdc00..0xe000) = self.code()
                {
                    return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
                }
                self.rest = before;
                Some(char::from_u32(first).unwrap_or('\u{fffd}'))
            }
            _ => None,
        }
    }

    fn code(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        let code = digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(digits)?;
        self.rest = &self.rest[4..];
        u32::from_str_radix(code, 16).ok()
    }

    /// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
    fn number(&mut self) -> Option<Literal> {
        let digits = |at: usize| {
            self.rest.as_bytes()[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let sign = usize::from(self.rest.starts_with('-'));
        let whole = match self.rest.as_bytes().get(sign)? {
            b'0' => sign + 1,
            b'1'..=b'9' => sign + digits(sign),
            _ => return None,
        };
        let fraction = match self.rest[whole..].strip_prefix('.').map(|_| digits(whole + 1)) {
            Some(count @ 1..) => whole + 1 + count,
            _ => whole,
        };
        let exponent = match self.rest[fraction..].strip_prefix(['e', 'E']) {
            Some(rest) => {
                let start = fraction + 1 + usize::from(rest.starts_with(['+', '-']));
                if digits(start) > 0 { start + digits(start) } else { fraction }
            }
            None => fraction,
        };
        let (token, rest) = self.rest.split_at(exponent);
        let value = match exponent == whole {
            true if token == "-0" => Literal::Int("0".to_owned()),
            true => Literal::Int(token.to_owned()),
            false => Literal::Float(token.parse().ok()?),
        };
        self.rest = rest;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn json_is_read_as_python_reads_it() {
        // Checked against CPython 3.11: `repr(json.loads(text))`.
        for (text, repr) in [
            (
                r#" {"a": [1, -0, 1.50, 1e5, 123456789012345678901234567890]} "#,
                "{'a': [1, 0, 1.5, 100000.0, 123456789012345678901234567890]}",
            ),
            (r#"{"a": 1, "b": 2, "a": null}"#, "{'a': None, 'b': 2}"),
            (r#"["\ud83c\udde8\/\u00e9\n", true, false]"#, "['🇨/é\\n', True, False]"),
            ("[NaN, Infinity, -Infinity, 1e999, []]", "[nan, inf, -inf, inf, []]"),
            ("\"\u{7f}\"", "'\\x7f'"),
        ] {
            assert_eq!(parse(text).unwrap().repr(), repr, "{text}");
        }
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{'a': 1}",
            "01",
            "1.",
            ".5",
            "+1",
            "\"\n\"",
            "\"\\x\"",
            "nul",
            "[1] 2",
            "\u{feff}1",
            "\u{a0}1",
            "{1: 2}",
        ] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }
}
