//! The semantics of Python's text functions that the reference scorers lean on.

pub(crate) mod json;
mod literal;
mod repr;
pub(crate) mod set_order;

pub(crate) use literal::Literal;
pub(crate) use repr::{float_repr, text_repr};

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Whether Python's `str.isspace` holds: Unicode white space and the four separators of ASCII.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Whether `c` is `\w` in Python's `re`: a letter, a number or `_`. Marks that combine are not.
pub(crate) fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    matches!(
        c.general_category_group(),
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number
    )
}

/// Whether `c` is `\d` in Python's `re`.
pub(crate) fn is_decimal(c: char) -> bool {
    ascii_digit(c).is_some_and(|c| c.is_ascii_digit())
}

/// `text.strip()`.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `" ".join(text.strip().split())`.
pub(crate) fn collapse_spaces(text: &str) -> String {
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `text.splitlines()`.
pub(crate) fn split_lines(text: &str) -> Vec<&str> {
    let ends_line = |c: char| matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(ends_line) {
        lines.push(&rest[..end]);
        let ending = if rest[end..].starts_with("\r\n") { "\r\n".len() } else { 0 };
        let ending = ending.max(rest[end..].chars().next().map_or(0, char::len_utf8));
        rest = &rest[end + ending..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Code points, Python's `len`.
pub(crate) fn length(text: &str) -> usize {
    text.chars().count()
}

/// `float(text)`; `None` where Python raises `ValueError`.
///
/// White space around the number, `_` between digits and any Unicode decimal digits are taken;
/// commas, `%`, currency signs and hexadecimal are not.
pub(crate) fn float(text: &str) -> Option<f64> {
    let ascii: Option<String> = strip(text).chars().map(ascii_digit).collect();
    let ascii = ascii?.to_ascii_lowercase();
    let (sign, digits) = match ascii.strip_prefix(['+', '-']) {
        Some(rest) => (if ascii.starts_with('-') { -1.0 } else { 1.0 }, rest),
        None => (1.0, ascii.as_str()),
    };
    match digits {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let plain = without_underscores(digits)?;
    let looks_like_a_number = plain.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && plain.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | '+' | '-'));
    if !looks_like_a_number {
        return None;
    }
    plain.parse::<f64>().ok().map(|value| sign * value)
}

/// `int(text)`; `None` where Python raises `ValueError`. Numbers beyond 2⁵³ are rounded.
pub(crate) fn int(text: &str) -> Option<f64> {
    let whole = |c: char| is_decimal(c) || matches!(c, '_' | '+' | '-');
    strip(text).chars().all(whole).then(|| float(text)).flatten()
}

/// A Unicode decimal digit as ASCII, an ASCII character as it is, `None` for anything else.
fn ascii_digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c);
    }
    let zero = DECIMAL_ZEROS.iter().rev().find(|&&zero| zero <= u32::from(c))?;
    char::from_digit(u32::from(c).checked_sub(*zero)?, 10)
}

/// Takes out the underscores that stand between two digits; `None` when one stands elsewhere.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let misplaced = |at: usize| !digit(at.checked_sub(1)) || !digit(Some(at + 1));
    let mut places = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_');
    match places.any(|(at, _)| misplaced(at)) {
        true => None,
        false => Some(text.replace('_', "")),
    }
}

/// The code point of zero in every run of ten decimal digits (general category Nd, Unicode 15).
const DECIMAL_ZEROS: &[u32] = &[
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650,
    0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16A60, 0x16AC0,
    0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E950,
    0x1FBF0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_takes_what_python_takes() {
        // Checked against CPython 3.11.
        for (text, value) in [
            (" 12 ", 12.0),
            ("1_000", 1000.0),
            ("+5", 5.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e400", f64::INFINITY),
            ("１２", 12.0),
            ("١٢", 12.0),
            ("१२", 12.0),
            ("\u{a0}7\u{3000}", 7.0),
            ("1_0.0_1e1_0", 10.01e10),
            ("-0", 0.0),
            ("\u{1c}3", 3.0),
        ] {
            assert_eq!(float(text), Some(value), "{text:?}");
        }
        assert!(float("NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn lines_end_where_python_ends_them() {
        assert_eq!(split_lines("a\r\nb\n\nc\u{2028}d\r\x0be\n"), ["a", "b", "", "c", "d", "", "e"]);
        assert_eq!(split_lines(""), [""; 0]);
    }

    #[test]
    fn float_refuses_what_python_refuses() {
        for text in [
            "",
            "1,000",
            "12%",
            "$5",
            "½",
            "²",
            "0x10",
            "_1",
            "1_",
            "1__0",
            "1_.0",
            "e5",
            ".",
            "1e",
            "++1",
            "+-1",
            "\u{200b}1",
            "infin",
            "1 2",
        ] {
            assert_eq!(float(text), None, "{text:?}");
        }
    }
}
