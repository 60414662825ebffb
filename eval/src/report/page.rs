//! The page and its Markdown.

use crate::run::Manifest;
use crate::scores::{Scores, Summary};
use serde_json::Value;
use std::fmt::Write;

const TEMPLATE: &str = include_str!("page.html");

/// The page, with everything in it.
pub(super) fn html(manifest: &Manifest, scores: &Scores, data: &Value) -> String {
    // `<` is escaped so that no text can end the script that holds it.
    let data = data.to_string().replace('<', "\\u003c");
    let identity = &manifest.identity;
    let title = format!("{} · {}", identity.task, identity.model.name);
    TEMPLATE
        .replace("{{title}}", &escape(&title))
        .replace("{{scores}}", &score_rows(scores))
        .replace("{{facts}}", &facts(manifest, scores))
        .replace("{{data}}", &data)
}

fn facts(manifest: &Manifest, scores: &Scores) -> String {
    let identity = &manifest.identity;
    let states = scores.states.iter().map(|(state, count)| format!("{count} {}", state.name()));
    let max_tokens = identity.options.max_tokens;
    let facts = [
        ("Metric", scores.metric.clone()),
        ("Prompts", format!("{}: {}", identity.preset, identity.prompt)),
        ("Model", format!("{} {}", identity.model.name, identity.model.digest)),
        ("Most tokens", max_tokens.map_or("as the model says".to_owned(), |n| n.to_string())),
        ("Samples", states.collect::<Vec<_>>().join(", ")),
        ("Bad rows", scores.bad_rows.len().to_string()),
        ("Dataset", identity.layout.clone()),
        ("Version", manifest.version.clone()),
    ];
    let row = |(name, fact): (&str, String)| format!("<dt>{name}</dt><dd>{}</dd>", escape(&fact));
    facts.into_iter().map(row).collect()
}

/// Names and summaries of the whole and its parts.
fn lines(scores: &Scores) -> Vec<(String, &Summary)> {
    let mut lines = vec![("all".to_owned(), &scores.all)];
    if scores.answered.count != scores.all.count {
        lines.push(("answered in full".to_owned(), &scores.answered));
    }
    for (kind, parts) in &scores.breakdown {
        lines.extend(parts.iter().map(|(part, group)| (format!("{kind}: {part}"), &group.all)));
    }
    lines
}

/// A table row a score, with a bar and its interval drawn as SVG.
fn score_rows(scores: &Scores) -> String {
    let lines = lines(scores);
    let ends = lines.iter().flat_map(|(_, summary)| {
        [summary.score, summary.interval.map(|(_, high)| high)].into_iter().flatten()
    });
    let most = ends.fold(1.0_f64, f64::max);
    let mut rows = String::new();
    for (name, summary) in lines {
        let x = |value: f64| 300.0 * (value / most).clamp(0.0, 1.0);
        let mut drawing = String::new();
        if let Some(score) = summary.score {
            let _ =
                write!(drawing, r#"<rect class="bar" y="3" width="{:.1}" height="12"/>"#, x(score));
        }
        if let Some((low, high)) = summary.interval {
            let (low, high) = (x(low), x(high));
            let path = format!("M{low:.1} 5v8M{low:.1} 9H{high:.1}M{high:.1} 5v8");
            let _ = write!(drawing, r#"<path class="interval" d="{path}"/>"#);
        }
        let (score, interval) = numbers(summary);
        let _ = write!(
            rows,
            r#"<tr><th scope="row">{}</th><td>{score}</td><td>{interval}</td><td>{}</td><td><svg viewBox="0 0 304 18" role="img" aria-label="{score}">{drawing}</svg></td></tr>"#,
            escape(&name),
            summary.count,
        );
    }
    rows
}

fn numbers(summary: &Summary) -> (String, String) {
    let score = summary.score.map_or("–".to_owned(), |score| format!("{score:.4}"));
    let interval = summary.interval.map(|(low, high)| format!("{low:.4} to {high:.4}"));
    (score, interval.unwrap_or_default())
}

/// The scores as a Markdown table.
pub(super) fn markdown(manifest: &Manifest, scores: &Scores) -> String {
    let identity = &manifest.identity;
    let mut text = format!(
        "# {} · {}\n\n{}, {} prompts\n\n| part | score | 95 % interval | samples |\n|---|---|---|---|\n",
        identity.task, identity.model.name, scores.metric, identity.preset
    );
    for (name, summary) in lines(scores) {
        let (score, interval) = numbers(summary);
        let _ = writeln!(text, "| {name} | {score} | {interval} | {} |", summary.count);
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
