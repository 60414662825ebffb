//! Datasets of the hub: files that the caller chooses from a repository's list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hf_hub::RepoType;

use super::HubOptions;
use super::cache::CacheFolder;
use super::listing::Listing;
use super::pull::{Wanted, bring};
use super::transfer::{PullEvent, Transfer};
use crate::WeightsError;

/// Brings files of the dataset `id` at `revision` (the main branch without one) up to date in the
/// cache and gives the snapshot folder, as [`pull`](super::pull()) does with models. `choose` gets
/// the names of all files, with slashes between folders, and gives those that are wanted.
///
/// Without the hub, a snapshot counts when it has every file that `choose` wants of the list that
/// the hub last gave; where other programs filled the cache and there is no list, of the files
/// that are there, if no numbered series of them (`test-00001-of-00003.parquet`) has gaps.
///
/// # Errors
/// As [`pull`](super::pull()), and [`WeightsError::NothingWanted`] when `choose` wants no file.
pub fn pull_dataset(
    id: &str,
    revision: Option<&str>,
    options: &HubOptions,
    choose: &dyn Fn(&[String]) -> Vec<String>,
    progress: &mut dyn FnMut(PullEvent<'_>),
) -> Result<PathBuf, WeightsError> {
    bring(&Chosen(choose), id, revision, options, progress)
}

/// The files of a dataset that the caller chooses.
struct Chosen<'a>(&'a dyn Fn(&[String]) -> Vec<String>);

impl Wanted for Chosen<'_> {
    const KIND: RepoType = RepoType::Dataset;

    fn is_complete(&self, folder: &CacheFolder, commit: &str) -> bool {
        let snapshot = folder.snapshot(commit);
        let listed = folder.listed(commit);
        let is_listed = listed.is_some();
        let wanted = (self.0)(&listed.unwrap_or_else(|| names_below(&snapshot)));
        !wanted.is_empty()
            && wanted.iter().all(|name| snapshot.join(name).is_file())
            && (is_listed || has_no_gaps(&wanted))
    }

    fn fetch(&self, transfer: &mut Transfer<'_>, listing: &Listing) -> Result<(), WeightsError> {
        let names: Vec<String> = listing.names().map(str::to_owned).collect();
        let files = listing.select(&(self.0)(&names));
        if files.is_empty() {
            return Err(WeightsError::NothingWanted { id: transfer.folder.id().to_owned() });
        }
        // Two tasks may want different files of a commit. The list tells, without the hub, whether
        // all of one's are there.
        transfer.folder.set_listed(transfer.commit, &names)?;
        transfer.fetch_bulk(&files)
    }
}

/// The names of the files in `folder` and the folders in it.
fn names_below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let (path, name) = (entry.path(), format!("{prefix}{name}"));
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push((path, format!("{name}/"))),
                _ => names.push(name),
            }
        }
    }
    names.sort();
    names
}

/// Whether of each numbered series of files there are as many as their names say.
fn has_no_gaps(names: &[String]) -> bool {
    let mut found: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for series in names.iter().filter_map(|name| series(name)) {
        *found.entry(series).or_default() += 1;
    }
    found.iter().all(|((_, total), count)| count >= total)
}

/// The part before the numbers of a name such as `test-00001-of-00003-0a1b.parquet`, and how many
/// such files there are.
fn series(name: &str) -> Option<(&str, usize)> {
    let (before, after) = name.rsplit_once("-of-")?;
    let total = after.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
    Some((before.trim_end_matches(|letter: char| letter.is_ascii_digit()), total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_in_numbered_series_are_seen() {
        let whole = |names: &[&str]| {
            has_no_gaps(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert!(whole(&["test.jsonl", "images/best-of-me.png"]));
        assert!(whole(&["d/test-00000-of-00002-a1.parquet", "d/test-00001-of-00002-b2.parquet"]));
        assert!(!whole(&["d/test-00001-of-00002.parquet", "e/test-00000-of-00001.parquet"]));
        assert!(!whole(&["a/x-0-of-2.parquet", "b/x-1-of-2.parquet"]));
    }
}
