//! `glm4v eval rescore`.

use super::table::scores_text;
use crate::cli::{Exit, print_json, print_line};
use glm4v_eval::Scores;
use glm4v_eval::rescore::rescore_all_variants;
use glm4v_eval::run::RunFolder;
use glm4v_eval::task::Extraction;
use std::path::PathBuf;

/// Score a run again: by another metric, or by every variant of its own
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run's folder; nothing in it is changed
    run: PathBuf,
    /// Another metric, NAME:VARIANT
    #[arg(long)]
    metric: Option<String>,
    /// Another rule for taking answers out of replies: glm, boxed, json, last_number, none, or a
    /// variant of `answer_extract`
    #[arg(long, value_name = "RULE")]
    extract: Option<String>,
    /// Every variant of the run's metric, and the samples on which they differ
    #[arg(long, conflicts_with_all = ["metric", "extract"])]
    all_variants: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let folder = RunFolder::open(&args.run)?;
    if !args.all_variants {
        let extract = args.extract.as_deref().map(Extraction::find).transpose()?;
        let scores = Scores::with(&folder, args.metric.as_deref(), extract.as_ref())?;
        if args.json {
            print_json(&scores)?;
        } else {
            print_line(scores_text(&scores).trim_end())?;
        }
        return Ok(Exit::Done);
    }
    let rescored = rescore_all_variants(&folder)?;
    if args.json {
        print_json(&rescored)?;
        return Ok(Exit::Done);
    }
    let number = |score: Option<f64>| score.map_or("-".to_owned(), |score| format!("{score:.4}"));
    for (variant, score) in &rescored.variants {
        print_line(&format!("{}:{variant:<24} {}", rescored.metric, number(*score)))?;
    }
    print_line(&format!("{} samples on which they differ", rescored.differing.len()))?;
    for item in &rescored.differing {
        let scores: Vec<String> = item.scores.iter().map(|score| number(*score)).collect();
        let (id, answer, references) = (&item.id, &item.answer, &item.references);
        print_line(&format!("{id}\t{}\t{answer:?}\t{references:?}", scores.join(" ")))?;
    }
    Ok(Exit::Done)
}
