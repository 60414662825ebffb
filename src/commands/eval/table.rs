//! Scores as text.

use glm4v_eval::{Scores, Summary};
use std::fmt::Write;

/// The lines that a run's scores are told in.
pub(super) fn scores_text(scores: &Scores) -> String {
    let mut text = String::new();
    let Scores { task, preset, metric, .. } = scores;
    let better = if scores.lower_is_better { ", lower is better" } else { "" };
    let _ = writeln!(text, "{task}, {preset} prompts, {metric}{better}");
    line(&mut text, "all", &scores.all);
    if scores.answered.count != scores.all.count {
        line(&mut text, "answered in full", &scores.answered);
    }
    for (kind, groups) in &scores.breakdown {
        for (part, group) in groups {
            line(&mut text, &format!("{kind}: {part}"), &group.all);
        }
    }
    let states: Vec<String> =
        scores.states.iter().map(|(state, count)| format!("{count} {}", state.name())).collect();
    let _ = writeln!(text, "  {}", states.join(", "));
    if !scores.bad_rows.is_empty() {
        let _ = writeln!(text, "  {} rows could not be read", scores.bad_rows.len());
    }
    text
}

fn line(text: &mut String, name: &str, summary: &Summary) {
    let Summary { count, score, interval, parts } = summary;
    let score = score.map_or("no score".to_owned(), |score| format!("{score:.4}"));
    let interval = interval
        .map(|(low, high)| format!("  (95 % interval {low:.4} to {high:.4})"))
        .unwrap_or_default();
    let _ = writeln!(text, "  {name:<24} {score}{interval}  {count} samples");
    for (part, score) in parts {
        let _ = writeln!(text, "    {part:<22} {score:.4}");
    }
}
