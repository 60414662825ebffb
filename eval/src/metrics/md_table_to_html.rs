//! Markdown tables as HTML, for the metrics on tables: OCRBench v2's
//! `convert_markdown_table_to_html` (Fu et al. 2024) and lmms-eval's `_md_table_to_html`.

use super::{Item, MetricInfo, ScoreError};
use crate::python::strip;
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[
    info("ocrbench_v2", |item| Ok(ocrbench_v2(item.text()?).into())),
    info("lmms_eval_omnidocbench", |item| Ok(lmms_eval(item.text()?).into())),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "md_table_to_html",
        variant,
        summary: "a Markdown table as the HTML that table metrics take",
        score,
    }
}

/// OCRBench v2's HTML. The second line is dropped, whatever it is; what stands before the first and
/// after the last `|` of a line too. Trimming ```` ```markdown ```` takes those letters off both
/// ends, one by one.
pub fn ocrbench_v2(markdown: &str) -> String {
    let fence = |c: char| "```markdown".contains(c);
    let table = strip(markdown.trim_matches(fence).trim_matches('`'));
    let mut html = String::from("<html><body><table>");
    for (line, row) in table.split('\n').enumerate() {
        if line == 1 {
            continue;
        }
        html.push_str("<tr>");
        let cells: Vec<&str> = strip(row).split('|').collect();
        for cell in cells.get(1..cells.len() - 1).unwrap_or_default() {
            let blank = !cell.is_empty() && cell.chars().all(|c| c == ' ');
            html.extend(["<td>", if blank { " " } else { strip(cell) }, "</td>"]);
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></body></html>");
    html
}

/// lmms-eval's HTML, with the first line as the head; the second line is dropped. Nothing for fewer
/// than two lines.
pub fn lmms_eval(markdown: &str) -> String {
    let mut lines = strip(markdown).split('\n');
    let (Some(head), Some(_)) = (lines.next(), lines.next()) else { return String::new() };
    let mut html = String::from("<table><thead>");
    push_row(&mut html, head, "th");
    html.push_str("</thead><tbody>");
    for row in lines.filter(|line| !strip(line).is_empty()) {
        push_row(&mut html, row, "td");
    }
    html.push_str("</tbody></table>");
    html
}

fn push_row(html: &mut String, row: &str, tag: &str) {
    html.push_str("<tr>");
    for cell in strip(row).trim_matches('|').split('|') {
        html.extend(["<", tag, ">", strip(cell), "</", tag, ">"]);
    }
    html.push_str("</tr>");
}
