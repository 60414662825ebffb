//! `glm4v eval compare`.

use crate::cli::{Exit, print_json, print_line};
use glm4v_eval::compare::{Comparison, Difference, compare};
use glm4v_eval::run::RunFolder;
use std::path::PathBuf;

/// Hold two runs against each other: the difference, how sure it is, and why there is one
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first run's folder
    a: PathBuf,
    /// The second run's folder
    b: PathBuf,
    /// Show this many of the samples whose score changed
    #[arg(long, default_value_t = 20, value_name = "N")]
    changed: usize,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let comparison = compare(&RunFolder::open(&args.a)?, &RunFolder::open(&args.b)?)?;
    if args.json {
        print_json(&comparison)?;
        return Ok(Exit::Done);
    }
    let Comparison { count, unpaired, all, breakdown, causes, changed } = &comparison;
    print_line(&line("all", all))?;
    for (kind, parts) in breakdown {
        for (part, difference) in parts {
            print_line(&line(&format!("{kind}: {part}"), difference))?;
        }
    }
    if let Some(smallest) = all.smallest_detectable {
        print_line(&format!("{count} samples could show a difference of {smallest:.4}"))?;
    }
    if *unpaired != (0, 0) {
        let (a, b) = unpaired;
        print_line(&format!("{a} samples are in A only, {b} in B only; they count nowhere"))?;
    }
    for cause in causes {
        print_line(&format!("differs: {cause}"))?;
    }
    print_line(&format!("{} samples changed", changed.len()))?;
    for change in changed.iter().take(args.changed) {
        let (from, to) = change.scores;
        let (a, b) = &change.answers;
        let (id, references) = (&change.id, &change.references);
        print_line(&format!("{id}\t{from:.2} -> {to:.2}\t{a:?} -> {b:?}\t{references:?}"))?;
    }
    Ok(Exit::Done)
}

fn line(name: &str, difference: &Difference) -> String {
    let Difference { count, scores: (a, b), difference, interval, p_value, .. } = difference;
    let (low, high) = interval.unwrap_or((f64::NAN, f64::NAN));
    let p_value = p_value.unwrap_or(f64::NAN);
    format!(
        "{name:<24} {a:.4} -> {b:.4}, {difference:+.4} (95 % interval {low:+.4} to {high:+.4}), p = {p_value:.3}, {count} samples"
    )
}
