//! LaTeX formulas as text, as `pylatexenc` 3.0 (`LatexNodes2Text`) writes them, with which
//! OmniDocBench levels inline formulas and Unicode.

mod parser;
mod render;

use std::collections::HashMap;
use std::sync::LazyLock;

/// The text of a formula of one line; `None` where `pylatexenc` raises. What stands in a group that
/// is not well formed is lost, and with an error outside of all groups the whole text.
pub(crate) fn to_text(latex: &str) -> Option<String> {
    render::text(&parser::parse(latex)?)
}

/// What is known of a macro.
#[derive(Clone, Copy, Debug, Default)]
struct Macro {
    /// Its arguments: `{` for one, `[` for an optional one, `*` for a star, `t` for one whose content
    /// is no formula.
    arguments: &'static str,
    replacement: Replacement,
}

/// What a macro becomes.
#[derive(Clone, Copy, Debug, Default)]
enum Replacement {
    #[default]
    Nothing,
    /// This, whatever its arguments.
    Text(&'static str),
    /// This with the arguments in the places of their numbers in braces.
    Form(&'static str),
    /// The characters of its argument, each with this mark.
    Accent(char),
    /// The letters of its argument in the style that has this capital A.
    Style(char),
    /// Its arguments.
    Arguments,
}

/// What `pylatexenc` (MIT, by Philippe Faist) knows: a line a macro, with its name, its arguments,
/// and what it is replaced with, as its own answers have it.
static MACROS: LazyLock<HashMap<&'static str, Macro>> = LazyLock::new(|| {
    let lines = include_str!("latex/macros.tsv").lines();
    lines.filter_map(|line| Some((line.split('\t').next()?, macro_of(line)?))).collect()
});

fn macro_of(line: &'static str) -> Option<Macro> {
    let mut columns = line.split('\t').skip(1);
    let arguments = columns.next()?;
    let Some(kind) = columns.next() else {
        return Some(Macro { arguments, ..Macro::default() });
    };
    let text = columns.next()?;
    let replacement = match kind {
        "text" if text == r"\n" => Replacement::Text("\n"),
        "text" => Replacement::Text(text),
        "form" => Replacement::Form(text),
        "accent" => Replacement::Accent(text.chars().next()?),
        "style" => Replacement::Style(text.chars().next()?),
        _ => Replacement::Arguments,
    };
    Some(Macro { arguments, replacement })
}

/// The arguments of an environment, as in [`Macro`].
fn environment_arguments(name: &str) -> &'static str {
    match name {
        "tabular" | "alignat" | "alignat*" => "{",
        "tabular*" => "{{",
        "tabularx" => "{[{",
        "array" => "[{",
        "figure" | "figure*" | "table" | "table*" | "theorem" | "proposition" | "lemma"
        | "corollary" | "definition" | "conjecture" | "remark" | "proof" | "thm" | "prop"
        | "lem" | "cor" | "conj" | "rem" | "defn" | "enumerate" | "itemize" | "description" => "[",
        _ => "",
    }
}

/// A piece of a formula.
#[derive(Clone, Debug)]
enum Node<'a> {
    Text(&'a str),
    Group(Vec<Node<'a>>),
    /// With its arguments; one that is missing is `None`.
    Macro(&'a str, Vec<Option<Node<'a>>>),
    Environment(&'a str, Vec<Node<'a>>),
    /// Characters that stand for others, such as `--`.
    Special(&'static str),
    /// A formula, and whether it stands on a line of its own.
    Formula(Vec<Node<'a>>, bool),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_well_formed_is_lost() {
        // As pylatexenc 3.0a33 has it.
        for (latex, text) in [
            ("a^{b", "a^"),
            ("a_b}c", ""),
            (r"\frac ab", "a/b"),
            (r"\hat\frac{a}{b}c", "/\u{302}abc"),
            (r"\sqrt[a{]}c]d_e", "√(d)_e"),
            (r"\begin{a}x\end{b}y_z", "y_z"),
            (r"a_1\\ [2]b", "a_1\n [2]b"),
            ("a % b\nc_1", "a \nc_1"),
            ("{a % b}\nc_1", ""),
            ("{a % b\n d}\nc_1", "a \n d\nc_1"),
            ("% a\n\n  b", "\n\n  b"),
            (r"\begin{bmatrix}a&b\\c&t/t\end{bmatrix}_c", "[   a   b;   c t/t ]_c"),
        ] {
            assert_eq!(to_text(latex).as_deref(), Some(text), "{latex}");
        }
        assert_eq!(to_text(r"\begin{pmatrix}\end{pmatrix}"), None);
    }

    #[test]
    fn nesting_without_end_is_refused() {
        assert_eq!(to_text(&"{".repeat(100_000)), None);
        let nested = format!("{}x{}", "{".repeat(100), "}".repeat(100));
        assert_eq!(to_text(&nested).as_deref(), Some("x"));
    }
}
