//! Models of the hub: which files are wanted of them.

use std::path::PathBuf;

use hf_hub::RepoType;

use super::HubOptions;
use super::cache::CacheFolder;
use super::listing::Listing;
use super::pull::{Wanted, bring, find_cached};
use super::transfer::{PullEvent, RemoteFile, Transfer};
use crate::checkpoint::{INDEX_FILE, SINGLE_FILE, read_index, weight_files};
use crate::{Files, WeightsError};

/// The files that a model is run from, beside its weights.
const SMALL_FILES: &[&str] = &[
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
];

/// Brings the model `id` at `revision` (the main branch without one) up to date in the cache and
/// gives its snapshot folder. What the cache has is not fetched again; a download that was broken
/// off goes on where it stopped, in this call or the next. With [`HubOptions::offline`] the cache
/// is looked at and nothing else, and so it is when the hub cannot be reached. The HTTP client
/// honours `ALL_PROXY` and its like.
///
/// # Errors
/// [`WeightsError`] says what to do: a token is needed, the model is unknown, the network failed,
/// the bytes that came are not those announced (these are thrown away), the disk cannot be
/// written, or the cache lacks the model and downloads are off.
pub fn pull(
    id: &str,
    revision: Option<&str>,
    options: &HubOptions,
    progress: &mut dyn FnMut(PullEvent<'_>),
) -> Result<PathBuf, WeightsError> {
    bring(&Model, id, revision, options, progress)
}

/// The snapshot folder of a model in the cache; `None` when its configuration or a weight file is
/// not there. Asks the disk alone.
pub fn cached(id: &str, revision: Option<&str>, options: &HubOptions) -> Option<PathBuf> {
    let folder = CacheFolder::new(Model::KIND, id, revision, options).ok()?;
    find_cached(&Model, &folder)
}

/// What a model is run from.
struct Model;

impl Wanted for Model {
    const KIND: RepoType = RepoType::Model;

    fn is_complete(&self, folder: &CacheFolder, commit: &str) -> bool {
        let files = Files::Folder(folder.snapshot(commit));
        let weights = weight_files(&files).unwrap_or_default();
        files.contains("config.json")
            && !weights.is_empty()
            && weights.iter().all(|name| files.contains(name))
    }

    /// Fetches the small files first: with them there, a snapshot that has its weights is complete.
    fn fetch(&self, transfer: &mut Transfer<'_>, listing: &Listing) -> Result<(), WeightsError> {
        fetch_small_files(transfer, listing)?;
        let files = weights(transfer, listing)?;
        transfer.fetch_bulk(&files)
    }
}

/// Brings the files beside the weights into the snapshot.
pub(super) fn fetch_small_files(
    transfer: &mut Transfer<'_>,
    listing: &Listing,
) -> Result<(), WeightsError> {
    if listing.find("config.json").is_none() {
        return Err(WeightsError::MissingConfig { place: on_hub(transfer) });
    }
    for name in SMALL_FILES {
        if let Some(file) = listing.find(name) {
            transfer.fetch(&file)?;
        }
    }
    Ok(())
}

/// The weight files, of which there is one at least.
pub(super) fn weights(
    transfer: &mut Transfer<'_>,
    listing: &Listing,
) -> Result<Vec<RemoteFile>, WeightsError> {
    let names = names_of_weights(transfer, listing)?;
    if names.is_empty() {
        return Err(WeightsError::NoWeights { place: on_hub(transfer) });
    }
    let find = |name: &String| {
        let id = transfer.folder.id().to_owned();
        let missing = || WeightsError::NotOnHub { id, what: name.clone() };
        listing.find(name).ok_or_else(missing)
    };
    names.iter().map(find).collect()
}

fn on_hub(transfer: &Transfer<'_>) -> String {
    format!("{} on the hub", transfer.folder.id())
}

/// The names of the weight files: the single one, those in the index, or all there are.
fn names_of_weights(
    transfer: &mut Transfer<'_>,
    listing: &Listing,
) -> Result<Vec<String>, WeightsError> {
    if listing.find(SINGLE_FILE).is_some() {
        return Ok(vec![SINGLE_FILE.to_owned()]);
    }
    if let Some(index) = listing.find(INDEX_FILE) {
        transfer.fetch(&index)?;
        let snapshot = transfer.folder.snapshot(transfer.commit);
        return Ok(read_index(&Files::Folder(snapshot))?.unwrap_or_default());
    }
    let is_weights = |name: &&str| name.ends_with(".safetensors") && !name.contains('/');
    Ok(listing.names().filter(is_weights).map(str::to_owned).collect())
}
