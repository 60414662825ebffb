//! An answer in Markdown parted into blocks, by lmms-eval's rules.

use super::Blocks;
use crate::metrics::md_table_to_html;
use crate::python::strip;
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// What the rules look for; `None` never happens, as the tests show.
struct Forms {
    fence: Regex,
    html_table: Regex,
    markdown_table: Regex,
    formula: Regex,
    inline: Regex,
    heading: Regex,
    content: Regex,
}

static FORMS: LazyLock<Option<Forms>> = LazyLock::new(|| {
    let regex = |text: &str| Regex::new(text).ok();
    Some(Forms {
        fence: regex(r"```(?:markdown|html|latex)?\s*\n?")?,
        html_table: regex(r"(?is)<table[\s>].*?</table>")?,
        markdown_table: regex(
            r"(?m)((?:^\|.+\|[ \t]*\n)(?:^\|[\s:|-]+\|[ \t]*\n)(?:^\|.+\|[ \t]*(?:\n|$))+)",
        )?,
        formula: regex(r"(?s)\$\$(.+?)\$\$|\\\[(.+?)\\\]")?,
        inline: regex(r"\$(.+?)\$")?,
        heading: regex(r"^#{1,6}\s*")?,
        content: regex(r"\n\s*\n([#|<$\\]|[\x{4e00}-\x{9fff}]|[A-Z][a-z])")?,
    })
});

pub(super) fn blocks(markdown: &str) -> Blocks {
    let Some(forms) = FORMS.as_ref() else { return Blocks::default() };
    let mut blocks = Blocks::default();
    let text = forms.fence.replace_all(without_preamble(markdown, forms), "").replace("```", "");
    blocks.tables.extend(forms.html_table.find_iter(&text).map(|table| table.as_str().to_owned()));
    let text = forms.html_table.replace_all(&text, "\n");
    for table in forms.markdown_table.find_iter(&text) {
        let html = md_table_to_html::lmms_eval(table.as_str());
        blocks.tables.extend((!html.is_empty()).then_some(html));
    }
    let text = forms.markdown_table.replace_all(&text, "\n");
    let inner = |found: &Captures<'_>| {
        let inner = found.get(1).or_else(|| found.get(2))?.as_str();
        Some(strip(inner).to_owned()).filter(|inner| !inner.is_empty())
    };
    blocks.formulas.extend(forms.formula.captures_iter(&text).filter_map(|found| inner(&found)));
    let text = forms.formula.replace_all(&text, "\n");
    for line in text.split('\n') {
        let line = forms.inline.replace_all(line, "$1");
        let line = forms.heading.replace(strip(&line), "").into_owned();
        if line.chars().count() > 1 {
            blocks.texts.push(line);
        }
    }
    blocks
}

/// Leaves out what a model says before it begins with the page, when it does not begin with it.
fn without_preamble<'a>(text: &'a str, forms: &Forms) -> &'a str {
    let begun = text.trim_start_matches(crate::python::is_space);
    let thinks = begun.chars().take(20).collect::<String>().contains("Thinking");
    match begun.chars().next() {
        None | Some('#' | '|' | '<' | '$' | '\\') => return text,
        Some(first) if first.is_alphanumeric() && !thinks => return text,
        Some(_) => {}
    }
    let content = forms.content.captures(text).and_then(|found| found.get(1));
    if let Some(content) = content {
        return text.get(content.start()..).unwrap_or_default();
    }
    let markers = ["Here is the", "Here's the", "```markdown", "```"];
    let behind = markers.iter().find_map(|marker| text.split_once(marker));
    behind.map_or(text, |(_, behind)| behind.trim_start_matches('\n'))
}
