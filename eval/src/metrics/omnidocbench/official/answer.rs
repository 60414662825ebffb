//! An answer in Markdown parted into blocks, as by OmniDocBench's `md_tex_filter`.

use super::table;
use crate::python::{length, strip};
use regex::{Captures, Regex};
use std::ops::Range;
use std::sync::LazyLock;

/// What a block of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Formula,
    HtmlTable,
    LatexTable,
}

/// A block of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    /// Whether it is a formula inside of a line, which is in its text too.
    pub(super) inline: bool,
    /// Where it begins, in code points. Texts are counted without the empty lines between them.
    pub(super) place: usize,
    pub(super) content: String,
}

/// What the rules look for; `None` never happens, as the tests show.
struct Forms {
    /// What is put in the place of what, in this order.
    cleaned: Vec<(Regex, &'static str)>,
    latex_table: Regex,
    tabular: Regex,
    table: Regex,
    html_table: Regex,
    formula: Regex,
    dollars: Regex,
    code: Regex,
    /// Commands whose content stays.
    unwrapped: Vec<Regex>,
}

static FORMS: LazyLock<Option<Forms>> = LazyLock::new(|| {
    let regex = |text: &str| Regex::new(text).ok();
    let cleaned = [
        (r"!\[.*?\]\(.*?\)", ""),
        (r"(?m)^```markdown\n?", ""),
        (r"(?m)^```html\n?", ""),
        (r"(?m)^```latex\n?", ""),
        (r"(?m)```\n?$", ""),
        ("_{4,}", "____"),
        (" {4,}", "    "),
        ("<html>", ""),
        ("</html>", ""),
        ("<body>", ""),
        ("</body>", ""),
    ];
    let unwrapped = [
        r"\\title\{(.*?)\}",
        r"(?s)\\title\s*\{\s*(.*?)\s*\}",
        r"(?s)\\text\s*\{\s*(.*?)\s*\}",
        r"\\section\*?\{(.*?)\}",
        r"(?s)\\section\*?\{\s*(.*?)\s*\}",
    ];
    Some(Forms {
        cleaned: cleaned
            .into_iter()
            .map(|(text, with)| Some((regex(text)?, with)))
            .collect::<Option<_>>()?,
        latex_table: regex(r"(?s)\\begin\{table\}(.*?)\\end\{table\}")?,
        tabular: regex(r"\\begin\{tabular\}")?,
        table: regex(r"<table(?:[^>]*)>")?,
        html_table: regex(r"(?s)<table.*?</table>")?,
        formula: regex(r"(?s)\$\$(.*?)\$\$|\\\[(.*?)\\\]|\$(.*?)\$|\\\((.*?)\\\)")?,
        dollars: regex(r"(?s)\$\$(.*?)\$\$|\$(.*?)\$|\\\((.*?)\\\)")?,
        code: regex(r"(?s)```(\w+)\n(.*?)```")?,
        unwrapped: unwrapped.into_iter().map(regex).collect::<Option<_>>()?,
    })
});

/// The blocks of an answer in the order of their places.
pub(super) fn blocks(markdown: &str) -> Vec<Found> {
    let Some(forms) = FORMS.as_ref() else { return Vec::new() };
    // It is read from a file, where Python makes one of the three line ends.
    let mut content = markdown.replace("\r\n", "\n").replace('\r', "\n");
    for (form, with) in &forms.cleaned {
        content = form.replace_all(&content, *with).into_owned();
    }
    let mut blocks = Blocks { content, found: Vec::new() };
    blocks.take_latex_tables(forms);
    let tables = nested(&blocks.content, &forms.table, "</table>", HTML_TABLE);
    blocks.take(tables, Kind::HtmlTable);
    blocks.take_formulas(forms);
    blocks.take_markdown_tables(forms);
    blocks.take_code(forms);
    blocks.take_texts(forms);
    blocks.found.sort_by_key(|found| found.place);
    blocks.found
}

/// How many characters the reference goes on by behind the start of a nested block that has not
/// ended, and behind a tag: the lengths of its patterns, which are not those of what they find.
#[derive(Clone, Copy)]
struct Steps {
    start: usize,
    end: usize,
}

const HTML_TABLE: Steps = Steps { start: 16, end: 8 };
const TABULAR: Steps = Steps { start: 16, end: 14 };

/// The outermost blocks between a start and an end tag. From a start without an end it is tried
/// again a little behind.
fn nested(text: &str, start: &Regex, end: &str, steps: Steps) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    loop {
        let mut open: Vec<usize> = Vec::new();
        while from < text.len() {
            let rest = &text[from..];
            let starts = start.find(rest).map(|tag| tag.start());
            match (starts, rest.find(end)) {
                (None, None) => break,
                (Some(starts), ends) if ends.is_none_or(|ends| starts < ends) => {
                    open.push(from + starts);
                    from = behind(text, from + starts, steps.end);
                }
                (_, ends) => {
                    from = behind(text, from + ends.unwrap_or_default(), steps.end);
                    if let (Some(begun), true) = (open.pop(), open.is_empty()) {
                        found.push(begun..from);
                    }
                }
            }
        }
        match open.first() {
            Some(&first) => from = behind(text, first, steps.start),
            None => return found,
        }
    }
}

/// The place some characters behind another.
fn behind(text: &str, from: usize, characters: usize) -> usize {
    text[from..].char_indices().nth(characters).map_or(text.len(), |(at, _)| from + at)
}

/// What has been found, and the content with blanks in its place.
struct Blocks {
    content: String,
    found: Vec<Found>,
}

impl Blocks {
    fn add(&mut self, kind: Kind, at: usize, content: String) {
        let place = length(&self.content[..at]);
        self.found.push(Found { kind, inline: false, place, content });
    }

    /// Takes what stands at `places` as it is.
    fn take(&mut self, places: Vec<Range<usize>>, kind: Kind) {
        for place in &places {
            self.add(kind, place.start, self.content[place.clone()].to_owned());
        }
        self.blank(&places);
    }

    /// Puts a blank in the place of each character.
    fn blank(&mut self, places: &[Range<usize>]) {
        if !places.is_empty() {
            let taken = |at: usize| places.iter().any(|place| place.contains(&at));
            let characters = self.content.char_indices();
            self.content = characters.map(|(at, c)| if taken(at) { ' ' } else { c }).collect();
        }
    }

    fn take_latex_tables(&mut self, forms: &Forms) {
        let found = forms.latex_table.find_iter(&self.content);
        let mut tables: Vec<Range<usize>> = found.map(|table| table.range()).collect();
        let whole = self.content.clone();
        // Blanks of as many bytes keep the places of the whole.
        let mut rest = whole.clone();
        for table in &tables {
            rest.replace_range(table.clone(), &" ".repeat(table.len()));
        }
        tables.extend(nested(&rest, &forms.tabular, r"\end{tabular}", TABULAR));
        tables.sort_by_key(|table| table.start);
        self.take(tables, Kind::LatexTable);
    }

    fn take_formulas(&mut self, forms: &Forms) {
        let places: Vec<Range<usize>> =
            forms.formula.find_iter(&self.content).map(|found| found.range()).collect();
        let mut displayed = Vec::new();
        for place in places {
            let line = strip(&self.content[place.clone()]).replace('\n', " ");
            let marked = |groups: &'static [usize]| {
                let with = |found: &Captures<'_>| {
                    let inner = groups.iter().filter_map(|&group| found.get(group));
                    let inner: String = inner.map(|inner| inner.as_str()).collect();
                    format!(r"\[{inner}\]")
                };
                forms.dollars.replace_all(&line, with).into_owned()
            };
            let dollars = forms.dollars.captures(&line);
            let is_displayed = dollars
                .as_ref()
                .is_none_or(|found| found.get(1).is_some_and(|inner| !inner.as_str().is_empty()));
            let content = match dollars {
                None => line.clone(),
                Some(_) if is_displayed => marked(&[1]),
                Some(_) => marked(&[2, 3]),
            };
            self.add(Kind::Formula, place.start, content);
            if is_displayed {
                displayed.push(place);
            } else if let Some(last) = self.found.last_mut() {
                last.inline = true;
            }
        }
        self.blank(&displayed);
    }

    fn take_markdown_tables(&mut self, forms: &Forms) {
        if table::has_rows(&self.content) {
            self.content = table::to_html(&self.content);
            let found = forms.html_table.find_iter(&self.content);
            let places = found.map(|table| table.range()).collect();
            self.take(places, Kind::HtmlTable);
        }
    }

    fn take_code(&mut self, forms: &Forms) {
        let found = forms.code.captures_iter(&self.content);
        let blocks: Vec<(Range<usize>, String)> = found
            .filter_map(|code| {
                Some((code.get(0)?.range(), strip(code.get(2)?.as_str()).to_owned()))
            })
            .collect();
        let places: Vec<Range<usize>> = blocks.iter().map(|(place, _)| place.clone()).collect();
        for (place, code) in blocks {
            self.add(Kind::Text, place.start, code);
        }
        self.blank(&places);
    }

    fn take_texts(&mut self, forms: &Forms) {
        for form in &forms.unwrapped {
            self.content = form.replace_all(&self.content, "$1").into_owned();
        }
        let apart = if self.content.contains("\n\n") { "\n\n" } else { "\n" };
        let mut place = 0;
        for piece in self.content.split(apart) {
            let lines = strip(piece).split('\n').map(strip).filter(|line| !line.is_empty());
            let content = lines.collect::<Vec<_>>().join("\n");
            let kind = kind_of(&content);
            let empty = match kind {
                Kind::Formula => strip(&content.replace('$', "")).is_empty(),
                _ => content.is_empty(),
            };
            if !empty {
                self.found.push(Found { kind, inline: false, place, content });
            }
            place += length(piece);
        }
    }
}

fn kind_of(text: &str) -> Kind {
    if text.starts_with("<table") && text.ends_with("</table>") {
        Kind::HtmlTable
    } else if text.starts_with('$') && text.ends_with('$') {
        Kind::Formula
    } else {
        Kind::Text
    }
}
