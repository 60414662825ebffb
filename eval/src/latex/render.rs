//! Writes the nodes of LaTeX as text.

use super::{MACROS, Node, Replacement};
use crate::python::{length, strip};
use unicode_normalization::UnicodeNormalization;

/// The text of nodes; `None` where `pylatexenc` raises.
pub(super) fn text(nodes: &[Node<'_>]) -> Option<String> {
    nodes.iter().map(node_text).collect()
}

fn node_text(node: &Node<'_>) -> Option<String> {
    match node {
        Node::Text(text) => Some((*text).to_owned()),
        Node::Group(nodes) => text(nodes),
        Node::Macro(name, arguments) => macro_text(name, arguments),
        Node::Environment(name, nodes) => environment_text(name, nodes),
        Node::Special(special) => Some(special_text(special).to_owned()),
        Node::Formula(nodes, displayed) => {
            let inner = text(nodes)?;
            let inner = strip(&inner);
            Some(if *displayed { block(inner) } else { inner.to_owned() })
        }
    }
}

/// A block of lines that are indented.
fn block(text: &str) -> String {
    format!("\n    {}\n", text.replace('\n', "\n    "))
}

fn special_text(special: &str) -> &'static str {
    match special {
        "&" => "   ",
        "~" => "\u{a0}",
        "``" => "“",
        "''" => "”",
        "--" => "–",
        "---" => "—",
        "!`" => "¡",
        "?`" => "¿",
        _ => "",
    }
}

fn macro_text(name: &str, arguments: &[Option<Node<'_>>]) -> Option<String> {
    let argument = |at: usize| match arguments.get(at) {
        Some(Some(node)) => node_text(node),
        _ => Some(String::new()),
    };
    if let Some(text) = heading(name, || argument(2)) {
        return text;
    }
    match name {
        "item" => {
            let mark = argument(0)?;
            return Some(if mark.is_empty() { "\n  * ".to_owned() } else { format!("\n  {mark}") });
        }
        "exercise" | "uebung" => {
            let optional = argument(1)?;
            let optional = if optional.is_empty() { optional } else { format!("[{optional}]\n") };
            return Some(format!("\n{}\n{optional}", argument(0)?));
        }
        "texorpdfstring" => return argument(1),
        "includegraphics" => return Some(block("< g r a p h i c s >")),
        // It is not told of its arguments, and raises.
        "href" => return None,
        _ => {}
    }
    match MACROS.get(name).copied().unwrap_or_default().replacement {
        Replacement::Nothing => Some(String::new()),
        Replacement::Text(text) => Some(text.to_owned()),
        Replacement::Arguments => (0..arguments.len()).map(argument).collect(),
        Replacement::Style(capital) => {
            Some(argument(0)?.chars().map(|c| styled(c, capital)).collect())
        }
        Replacement::Accent(mark) => {
            let inner = if arguments.is_empty() { " ".to_owned() } else { argument(0)? };
            let inner = if arguments.is_empty() { &inner } else { strip(&inner) };
            Some(inner.chars().map(|c| accented(c, mark)).collect())
        }
        Replacement::Form(form) => {
            let mut text = String::new();
            let mut rest = form;
            while let Some((before, after)) = rest.split_once('{') {
                text.push_str(before);
                let (number, after) = after.split_once('}').unwrap_or((after, ""));
                text.push_str(&argument(number.parse::<usize>().map_or(0, |number| number - 1))?);
                rest = after;
            }
            text.push_str(rest);
            Some(text)
        }
    }
}

/// The heading that a macro makes of its third argument.
fn heading(name: &str, title: impl Fn() -> Option<String>) -> Option<Option<String>> {
    let (before, capitals) = match name {
        "part" => ("PART: ", true),
        "chapter" => ("CHAPTER: ", true),
        "section" => ("§ ", true),
        "subsection" => (" §.§ ", false),
        "subsubsection" => ("  §.§.§ ", false),
        "paragraph" => ("  ", false),
        "subparagraph" => ("    ", false),
        _ => return None,
    };
    Some(title().map(|title| {
        let title = if capitals { title.to_uppercase() } else { title };
        format!("\n\n{before}{title}\n")
    }))
}

/// A letter with a mark; letters without a dot get it back.
fn accented(c: char, mark: char) -> String {
    let c = match c {
        'ı' => 'i',
        'ȷ' => 'j',
        c => c,
    };
    [c, mark].into_iter().nfc().collect()
}

/// A letter in the style that has this capital A.
fn styled(c: char, capital: char) -> char {
    // Letters that Unicode had before it had the styles.
    let older = match (capital, c) {
        ('𝐴', 'h') => 'ℎ',
        ('𝒜', 'B') => 'ℬ',
        ('𝒜', 'E') => 'ℰ',
        ('𝒜', 'F') => 'ℱ',
        ('𝒜', 'H') => 'ℋ',
        ('𝒜', 'I') => 'ℐ',
        ('𝒜', 'L') => 'ℒ',
        ('𝒜', 'M') => 'ℳ',
        ('𝒜', 'R') => 'ℛ',
        ('𝒜', 'e') => 'ℯ',
        ('𝒜', 'g') => 'ℊ',
        ('𝒜', 'o') => 'ℴ',
        ('𝔄', 'C') => 'ℭ',
        ('𝔄', 'H') => 'ℌ',
        ('𝔄', 'I') => 'ℑ',
        ('𝔄', 'R') => 'ℜ',
        ('𝔄', 'Z') => 'ℨ',
        ('𝔸', 'C') => 'ℂ',
        ('𝔸', 'H') => 'ℍ',
        ('𝔸', 'N') => 'ℕ',
        ('𝔸', 'P') => 'ℙ',
        ('𝔸', 'Q') => 'ℚ',
        ('𝔸', 'R') => 'ℝ',
        ('𝔸', 'Z') => 'ℤ',
        _ => c,
    };
    let offset = match c {
        'A'..='Z' => u32::from(c) - u32::from('A'),
        'a'..='z' => u32::from(c) - u32::from('a') + 26,
        _ => return c,
    };
    if older == c { char::from_u32(u32::from(capital) + offset).unwrap_or(c) } else { older }
}

fn environment_text(name: &str, nodes: &[Node<'_>]) -> Option<String> {
    match name {
        "array" | "pmatrix" | "bmatrix" | "smallmatrix" | "psmallmatrix" | "bsmallmatrix" => {
            matrix(nodes)
        }
        "equation" | "equation*" | "eqnarray" | "eqnarray*" | "align" | "multline" | "gather"
        | "align*" | "multline*" | "gather*" | "dmath" | "dmath*" => {
            Some(block(strip(&text(nodes)?)))
        }
        "center" | "flushleft" | "flushright" => Some(format!("\n{}\n", text(nodes)?)),
        _ => text(nodes),
    }
}

/// A matrix in brackets, its cells as wide as the widest; `None` for one without cells.
fn matrix(nodes: &[Node<'_>]) -> Option<String> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in nodes.split(|node| matches!(node, Node::Macro(r"\", _))) {
        let cells = row.split(|node| matches!(node, Node::Special("&")));
        let cells = cells.filter(|cell| !cell.is_empty());
        rows.push(cells.map(|cell| Some(strip(&text(cell)?).to_owned())).collect::<Option<_>>()?);
    }
    let width = rows.iter().flatten().map(|cell| length(cell)).max()?;
    let aligned = |cell: &String| " ".repeat(width - length(cell)) + cell;
    let row = |cells: &Vec<String>| cells.iter().map(aligned).collect::<Vec<_>>().join(" ");
    Some(format!("[ {} ]", rows.iter().map(row).collect::<Vec<_>>().join("; ")))
}
