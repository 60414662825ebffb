//! The page and its Markdown.

use super::chart;
use crate::run::Manifest;
use crate::scores::{Scores, State, Summary};
use serde_json::Value;
use std::fmt::Write;

const TEMPLATE: &str = include_str!("page.html");

/// The page, with everything in it.
pub(super) fn html(manifest: &Manifest, scores: &Scores, data: &Value) -> String {
    let identity = &manifest.identity;
    let title = escape(&format!("{} · {}", identity.task, identity.model.name));
    let parts = [
        ("title", title),
        ("headline", headline(scores)),
        ("charts", charts(scores)),
        ("states", state_rows(scores)),
        ("scores", score_rows(scores)),
        ("facts", facts(manifest, scores)),
        // `<` is escaped so that no text can end the script that holds it.
        ("data", data.to_string().replace('<', "\\u003c")),
    ];
    let mut page = String::new();
    let mut rest = TEMPLATE;
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, after)| Some((before, after.split_once("}}")?)))
    {
        page += before;
        page += parts.iter().find(|(part, _)| *part == name).map_or("", |(_, text)| text);
        rest = after;
    }
    page + rest
}

fn facts(manifest: &Manifest, scores: &Scores) -> String {
    let identity = &manifest.identity;
    let max_tokens = identity.options.max_tokens;
    let facts = [
        ("Metric", scores.metric.clone()),
        ("Prompts", format!("{}: {}", identity.preset, identity.prompt)),
        ("Model", format!("{} {}", identity.model.name, identity.model.digest)),
        ("Most tokens", max_tokens.map_or("as the model says".to_owned(), |n| n.to_string())),
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

/// A table row a score.
fn score_rows(scores: &Scores) -> String {
    let mut rows = String::new();
    for (name, summary) in lines(scores) {
        let (score, interval) = numbers(summary);
        let count = summary.count;
        let name = escape(&name);
        let _ = write!(
            rows,
            r#"<tr><th scope="row">{name}</th><td>{score}</td><td>{interval}</td><td>{count}</td></tr>"#
        );
        for (part, score) in &summary.parts {
            let part = escape(part);
            let _ = write!(
                rows,
                r#"<tr><th scope="row">{name}, {part}</th><td>{score:.4}</td><td></td><td></td></tr>"#
            );
        }
    }
    rows
}

/// The score of the whole in large letters.
fn headline(scores: &Scores) -> String {
    let (score, interval) = numbers(&scores.all);
    let interval = match interval.as_str() {
        "" => String::new(),
        interval => format!(" 95 % interval {interval}, "),
    };
    let lower = if scores.lower_is_better { ", lower is better" } else { "" };
    let (metric, count) = (escape(&scores.metric), scores.all.count);
    format!(
        r#"<p class="headline">{score} <small>{metric}{lower},{interval} {count} samples</small></p>"#
    )
}

/// Each chart for wide screens and for narrow ones.
fn charts(scores: &Scores) -> String {
    let lines = lines(scores);
    let [wide, narrow] = chart::WIDTHS;
    let mut drawn = String::new();
    for (class, width) in [("wide", wide), ("narrow", narrow)] {
        let parts = chart::parts(&lines, width);
        let distribution = chart::distribution(scores, width);
        let _ = write!(drawn, r#"<div class="{class}">{parts}{distribution}</div>"#);
    }
    drawn
}

fn state_rows(scores: &Scores) -> String {
    let row = |(state, count): (&State, &usize)| {
        format!(r#"<tr><th scope="row">{}</th><td>{count}</td></tr>"#, state.name())
    };
    scores.states.iter().map(row).collect()
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
    text += "\n| samples that ended | |\n|---|---|\n";
    for (state, count) in &scores.states {
        let _ = writeln!(text, "| {} | {count} |", state.name());
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
