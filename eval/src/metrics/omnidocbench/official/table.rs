//! Tables of Markdown as HTML, as OmniDocBench turns a whole answer over: each row becomes a table,
//! and tables whose lines follow one another are joined. A line with a colon inside is lost.

use regex::Regex;
use std::sync::LazyLock;

/// Whether an answer has tables of Markdown: at least two rows that end with their line.
pub(super) fn has_rows(content: &str) -> bool {
    rows(&format!("{content}\n")).len() >= 2
}

/// The answer with its rows as HTML.
pub(super) fn to_html(content: &str) -> String {
    let mut content = content.replace('\r', "") + "\n";
    let rows: Vec<String> = rows(&content).into_iter().map(str::to_owned).collect();
    for row in rows {
        content = content.replacen(&row, &table_of(&row), 1);
    }
    joined(&content)
        .replace("<table>", "<table border=\"1\" >")
        .replace("<td>", "<td colspan=\"1\" rowspan=\"1\">")
}

/// What `\|\s*.*?\s*\|\n` finds, over line ends too: from a `|` to the next one that ends its line.
fn rows(content: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = content[from..].find('|').map(|at| from + at) {
        let Some(end) = content[start + 1..].find("|\n") else { break };
        from = start + 1 + end + "|\n".len();
        found.push(&content[start..from]);
    }
    found
}

/// A table with the first line as its head, and all behind the second as its rows.
fn table_of(markdown: &str) -> String {
    let rows: Vec<&str> =
        crate::python::strip(markdown).split('\n').map(crate::python::strip).collect();
    let cells = |row: &str| -> Vec<String> {
        let cells: Vec<&str> = row.split('|').collect();
        let inner = cells.get(1..cells.len().saturating_sub(1)).unwrap_or_default();
        inner.iter().map(|cell| crate::python::strip(cell).to_owned()).collect()
    };
    let mut html = "<table>\n  <thead>\n    <tr>\n".to_owned();
    for cell in rows.first().map(|row| cells(row)).unwrap_or_default() {
        html += &format!("      <th>{cell}</th>\n");
    }
    html += "    </tr>\n  </thead>\n  <tbody>\n";
    for row in rows.iter().skip(2) {
        html += "    <tr>\n";
        for cell in cells(row) {
            html += &format!("      <td>{cell}</td>\n");
        }
        html += "    </tr>\n";
    }
    html + "  </tbody>\n</table>\n"
}

/// Joins tables that no other line parts.
fn joined(content: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let (mut in_table, mut tables, mut last) = (false, String::new(), "");
    for line in content.split('\n') {
        if line.contains("<table>") {
            in_table = true;
            tables += last;
        } else if in_table {
            if !is_rule(last) && !last.contains("</thead>") {
                tables.extend(["\n", last]);
            }
            if last.contains("</table>") {
                in_table = false;
                lines.push(one_table(&std::mem::take(&mut tables)));
            }
        } else {
            lines.push(last.to_owned());
        }
        last = line;
    }
    if !last.is_empty() {
        if in_table || last.contains("</table>") {
            tables.extend(["\n", last]);
            lines.push(one_table(&tables));
        } else {
            lines.push(last.to_owned());
        }
    }
    lines.join("\n")
}

/// Whether a line is taken for the one under a head: `-*?:|---|:-*?` is found in it.
fn is_rule(line: &str) -> bool {
    line.contains(':') || line.contains("---")
}

struct Forms {
    comment: Regex,
    table: Regex,
    frame: Regex,
}

static FORMS: LazyLock<Option<Forms>> = LazyLock::new(|| {
    Some(Forms {
        comment: Regex::new(r"(?s)<!--.*?-->").ok()?,
        table: Regex::new(r"(?s)<table>.*?</table>").ok()?,
        frame: Regex::new(r"</?t(able|head|body)>").ok()?,
    })
});

/// One table with the rows of all; those of two lines or less have none.
fn one_table(tables: &str) -> String {
    let Some(forms) = FORMS.as_ref() else { return String::new() };
    let tables = forms.comment.replace_all(tables, "");
    let mut rows: Vec<String> = Vec::new();
    for table in forms.table.find_iter(&tables) {
        let lines = table.as_str().split('\n').map(|line| match line.contains("<th>") {
            true => line.replace("<th>", "<td>").replace("</th>", "</td>"),
            false => line.to_owned(),
        });
        let inner: Vec<String> = lines.filter(|line| !forms.frame.is_match(line)).collect();
        if inner.len() > 2 {
            rows.extend(inner);
        }
    }
    format!("\n\n<table>\n{}\n</table>\n\n", rows.join("\n"))
}
