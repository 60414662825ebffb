//! `glm4v models list`.

use crate::cli::{Exit, print_json, print_line};
use glm4v::{HubOptions, NANO};
use glm4v_weights::{ModelSource, cached};
use serde::Serialize;

/// Show the models that have short names, and which of them are here
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object a model
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    /// The hub id; null for the built-in model.
    id: Option<&'static str>,
    /// Whether it can be used without a download.
    here: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let hub = HubOptions::from_env()?;
    let built_in = Entry { name: NANO, id: None, here: true };
    let aliases = ModelSource::aliases().iter().map(|&(name, id)| Entry {
        name,
        id: Some(id),
        here: cached(id, None, &hub).is_some(),
    });
    for entry in [built_in].into_iter().chain(aliases) {
        if args.json {
            print_json(&entry)?;
            continue;
        }
        let state = if entry.here { "here" } else { "to be pulled" };
        print_line(&format!("{:<18} {state:<14} {}", entry.name, entry.id.unwrap_or("built in")))?;
    }
    Ok(Exit::Done)
}
