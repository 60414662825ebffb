//! Several parts of a run to one.

use super::{Failure, Response, RunFolder};
use crate::EvalError;
use crate::scores::Scores;
use std::collections::HashSet;
use std::path::Path;

/// Joins runs that differ in nothing but their part into a new run, and scores it and
/// writes its report. Samples that are in none of them count nowhere; the new run's `run.json` says
/// how many were `asked` of its `samples`.
///
/// # Errors
/// When they are not parts of one run, or `output` holds something else.
pub fn merge(parts: &[RunFolder], output: &Path) -> Result<Scores, EvalError> {
    let Some(first) = parts.first() else { return Err(EvalError::Empty) };
    let mut manifest = first.manifest()?;
    let mut responses: Vec<Response> = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    for part in parts {
        let found = part.manifest()?;
        let differences = manifest.identity.differences(&found.identity);
        if !differences.is_empty() {
            let folder = part.path().to_owned();
            return Err(EvalError::OtherRun { folder, differences: differences.join(", ") });
        }
        responses.extend(part.responses()?);
        failures.extend(part.failures()?);
    }
    responses.sort_by_key(|response| response.index);
    responses.dedup_by_key(|response| response.index);
    let answered: HashSet<usize> = responses.iter().map(|response| response.index).collect();
    failures.retain(|failure| !answered.contains(&failure.response.index));
    failures.sort_by_key(|failure| failure.response.index);
    manifest.shard = None;
    manifest.asked = responses.len() + failures.len();
    let folder = RunFolder::begin(output, &manifest)?;
    let mut log = folder.response_log()?;
    let there: HashSet<String> =
        folder.responses()?.into_iter().map(|response| response.id).collect();
    for response in responses.iter().filter(|response| !there.contains(&response.id)) {
        log.append(response)?;
    }
    folder.write_failures(&failures)?;
    let scores = Scores::of_run(&folder)?;
    folder.write_json("scores.json", &scores)?;
    crate::report::write_report(&folder)?;
    Ok(scores)
}
