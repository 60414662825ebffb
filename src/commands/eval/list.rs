//! `glm4v eval list`.

use crate::cli::{Exit, print_json, print_line};
use glm4v_eval::task::Task;
use serde_json::json;

/// Show the benchmarks: what they ask, their size, metric, source and licence
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object a task
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    for task in Task::builtin()? {
        let metric = &task.scoring.metric;
        if args.json {
            let layouts: Vec<_> = task.layout.iter().map(|layout| &layout.name).collect();
            let presets: Vec<_> = task.prompts.keys().collect();
            print_json(&json!({
                "task": task.name, "summary": task.summary, "size": task.size, "metric": metric,
                "source": task.source, "licence": task.licence, "hub": task.hub, "layouts": layouts, "presets": presets,
            }))?;
            continue;
        }
        print_line(&format!("{:<20} {}", task.name, task.summary))?;
        let (source, licence) = (&task.source, &task.licence);
        let size = if task.size == 0 { "any".to_owned() } else { task.size.to_string() };
        let hub = task.hub.as_ref().map_or(String::new(), |id| format!(", --data {id}"));
        print_line(&format!("{:<20} {size} samples, {metric}, {licence}, {source}{hub}", ""))?;
    }
    Ok(Exit::Done)
}
