//! `glm4v eval compare`.

use crate::cli::{Exit, print_json, print_line};
use glm4v_eval::compare::{Comparison, Difference, Reasons, Side, compare};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  glm4v eval compare runs/nano runs/other
  glm4v eval compare runs/glm results/20260101_120000_samples_chartqa.jsonl
  glm4v eval compare runs/glm GLM4_1VThinking_ChartQA_TEST.xlsx";

/// Hold two runs, or a run and another harness's results, against each other: the difference, how
/// sure it is, and why there is one
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A run's folder, lmms-eval's samples (.jsonl) or VLMEvalKit's predictions (.xlsx, .tsv,
    /// .json)
    a: PathBuf,
    /// The other one
    b: PathBuf,
    /// Show this many of the samples whose score changed
    #[arg(long, default_value_t = 20, value_name = "N")]
    changed: usize,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let comparison = compare(&Side::open(&args.a)?, &Side::open(&args.b)?)?;
    if args.json {
        print_json(&comparison)?;
        return Ok(Exit::Done);
    }
    let Comparison { sides, count, unpaired, all, breakdown, causes, reasons, changed, .. } =
        &comparison;
    print_line(&format!("A: {}\nB: {}", sides.0, sides.1))?;
    if comparison.means_of_samples {
        print_line("scores are means over samples; those of the runs are made otherwise")?;
    }
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
    print_reasons(reasons, *count)?;
    print_line(&format!("{} samples changed", changed.len()))?;
    for change in changed.iter().take(args.changed) {
        let (from, to) = change.scores;
        let (a, b) = &change.answers;
        let (references, reason) = (&change.references, change.reason.name());
        let id = match &change.ids {
            (a, b) if a == b => a.clone(),
            (a, b) => format!("{a} = {b}"),
        };
        print_line(&format!(
            "{id}\t{from:.2} -> {to:.2}\t{a:?} -> {b:?}\t{references:?}\t{reason}"
        ))?;
    }
    Ok(Exit::Done)
}

/// At which step samples part, and how many.
fn print_reasons(reasons: &Reasons, count: usize) -> anyhow::Result<()> {
    let steps = [
        ("prompt", reasons.prompt),
        ("image or its number of tokens", reasons.image),
        ("reply", reasons.reply),
        ("answer taken out of the same reply", reasons.extraction),
        ("score that each side gave the same answer", reasons.metric),
    ];
    for (name, differing) in steps.into_iter().filter(|(_, differing)| *differing > 0) {
        print_line(&format!("differs in {differing} of {count} samples: {name}"))?;
    }
    if let Some((a, b)) = &reasons.prompts {
        print_line(&format!("first prompts that differ: {a:?} and {b:?}"))?;
    }
    if !reasons.changed.is_empty() {
        let changed = reasons.changed.iter().map(|(name, count)| format!("{count} by the {name}"));
        print_line(&format!("of changed scores, {}", changed.collect::<Vec<_>>().join(", ")))?;
    }
    Ok(())
}

fn line(name: &str, difference: &Difference) -> String {
    let Difference { count, scores: (a, b), difference, interval, p_value, .. } = difference;
    let certainty = match (interval, p_value) {
        (Some((low, high)), Some(p_value)) => {
            format!(" (95 % interval {low:+.4} to {high:+.4}), p = {p_value:.3}")
        }
        _ => ", too few for an interval".to_owned(),
    };
    format!("{name:<24} {a:.4} -> {b:.4}, {difference:+.4}{certainty}, {count} samples")
}
