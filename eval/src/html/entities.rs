//! Character references: the named ones of HTML5 and those by number.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The characters that each name stands for, without `&`; with the `;` where HTML5 wants one, and
/// without it too for the names that predate it.
static NAMED: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let named = |entity: &entities::Entity| (&entity.entity[1..], entity.characters);
    entities::ENTITIES.iter().map(named).collect()
});

/// The longest name in HTML5's list.
const LONGEST_NAME: usize = 32;

/// The reference that `text`, what follows an `&`, begins with: what it stands for, and its length
/// in bytes. In attribute values a name without `;` counts only where no letter, digit or `=`
/// follows.
pub(super) fn reference(text: &str, in_attribute: bool) -> Option<(String, usize)> {
    if let Some(digits) = text.strip_prefix('#') {
        let (code, length) = numeric(digits)?;
        return Some((libxml2_character(code).to_string(), 1 + length));
    }
    let letters = text.bytes().take(LONGEST_NAME).take_while(u8::is_ascii_alphanumeric).count();
    for length in (2..=letters).rev() {
        let after = text[length..].chars().next();
        let whole = if after == Some(';') { NAMED.get(&text[..=length]) } else { None };
        if let Some(found) = whole {
            return Some(((*found).to_owned(), length + 1));
        }
        let ends = !in_attribute || !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '=');
        if let (true, Some(found)) = (ends, NAMED.get(&text[..length])) {
            return Some(((*found).to_owned(), length));
        }
    }
    None
}

/// The number after `&#` and its length with `x` and `;`; too large ones become 0x11_0000.
fn numeric(text: &str) -> Option<(u32, usize)> {
    let (radix, prefix) = if text.starts_with(['x', 'X']) { (16, 1) } else { (10, 0) };
    let digits =
        text[prefix..].bytes().take_while(|&byte| char::from(byte).is_digit(radix)).count();
    let mut code = 0_u32;
    for digit in text[prefix..prefix + digits].chars() {
        code = (code * radix + digit.to_digit(radix).unwrap_or(0)).min(0x11_0000);
    }
    let end = prefix + digits;
    (digits > 0).then(|| (code, end + usize::from(text[end..].starts_with(';'))))
}

/// A number as a character: Windows-1252 for the C1 controls, U+FFFD for what is none.
fn libxml2_character(code: u32) -> char {
    match code {
        0x80..=0x9f => WINDOWS_1252[code as usize - 0x80],
        0 => char::REPLACEMENT_CHARACTER,
        _ => char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

/// What browsers take the C1 controls for.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The character that Beautiful Soup makes of what stands between `&#` and `;`.
pub(crate) fn soup_number(number: &str) -> String {
    let found = numeric(number).map(|(code, _)| libxml2_character(code));
    found.map_or_else(String::new, String::from)
}

/// The characters of a name without `;`.
pub(crate) fn named(name: &str) -> Option<&'static str> {
    NAMED.get(format!("{name};").as_str()).or_else(|| NAMED.get(name)).copied()
}

/// Python's `html.unescape`.
pub(crate) fn python_unescape(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        unescaped.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let length = match after.strip_prefix('#') {
            Some(digits) => numeric(digits).map_or(0, |(code, length)| {
                unescaped.push_str(&python_character(code));
                1 + length
            }),
            None => {
                let run = after.char_indices().take(LONGEST_NAME);
                let run = run.take_while(|(_, c)| !"\t\n\x0c <&#;".contains(*c)).last();
                let end = run.map_or(0, |(at, c)| at + c.len_utf8());
                let written = &after[..end + usize::from(end > 0 && after[end..].starts_with(';'))];
                let length = longest_name(written);
                if let Some(found) = NAMED.get(&written[..length]) {
                    unescaped.push_str(found);
                }
                length
            }
        };
        if length == 0 {
            unescaped.push('&');
        }
        rest = &after[length..];
    }
    unescaped.push_str(rest);
    unescaped
}

/// The length of the longest name that a text begins with.
fn longest_name(text: &str) -> usize {
    let mut names = text.char_indices().map(|(at, c)| at + c.len_utf8());
    names.rfind(|&end| end > 1 && NAMED.contains_key(&text[..end])).unwrap_or(0)
}

/// A number as Python's `html.unescape` takes it: controls and noncharacters are nothing.
fn python_character(code: u32) -> String {
    let nothing = matches!(code, 0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f | 0xfdd0..=0xfdef)
        || (code <= 0x10_ffff && code & 0xfffe == 0xfffe);
    if nothing { String::new() } else { libxml2_character(code).to_string() }
}
