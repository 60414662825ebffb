//! Bringing a model from the hub into the cache: which files, in which order, under which lock.

use std::fs::File;
use std::path::PathBuf;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;

use super::cache::CacheFolder;
use super::digest::Announced;
use super::transfer::{PullEvent, RemoteFile, Transfer, hub_error, is_unreachable, reason};
use super::{HubOptions, cached};
use crate::checkpoint::{INDEX_FILE, SINGLE_FILE, read_index};
use crate::source::check_revision;
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
/// is looked at and nothing else, and so it is when the hub cannot be reached. The HTTP client honours `ALL_PROXY` and its like.
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
    let folder = CacheFolder::new(id, revision, options)?;
    if options.offline {
        let not_cached =
            || WeightsError::NotCached { id: id.to_owned(), cache: options.cache.clone() };
        return cached(id, revision, options).ok_or_else(not_cached);
    }
    let api = api(&folder, options).map_err(|error| hub_error(id, "the file list", error))?;
    let listing = match list(id, &api, folder.revision()) {
        Err(error) if is_unreachable(&error) => {
            let Some(snapshot) = cached(id, revision, options) else { return Err(error) };
            progress(PullEvent::Unreachable { reason: &reason(&error) });
            return Ok(snapshot);
        }
        listing => listing?,
    };
    check_revision(&listing.sha)?;
    let _lock = lock(&folder, progress)?;
    let at_commit = Repo::with_revision(id.to_owned(), RepoType::Model, listing.sha.clone());
    let mut transfer = Transfer {
        id,
        repo: api.repo(at_commit),
        folder: &folder,
        commit: &listing.sha,
        retries: options.retries,
        progress,
    };
    let snapshot = fetch_all(&mut transfer, &listing)?;
    folder.set_commit(&listing.sha)?;
    // Empty but for hf-hub's own lock files and links; the next pull copes with what stays.
    let _ = std::fs::remove_dir_all(folder.staging());
    Ok(snapshot)
}

/// Fetches the small files first: with them there, a snapshot that has its weights is complete.
fn fetch_all(transfer: &mut Transfer<'_>, listing: &Listing) -> Result<PathBuf, WeightsError> {
    let snapshot = transfer.folder.snapshot(transfer.commit);
    let place = format!("{} on the hub", transfer.id);
    if listing.find("config.json").is_none() {
        return Err(WeightsError::MissingConfig { place });
    }
    for name in SMALL_FILES {
        if let Some(file) = listing.find(name) {
            transfer.fetch(&file)?;
        }
    }
    let mut names = Vec::new();
    if listing.find(SINGLE_FILE).is_some() {
        names.push(SINGLE_FILE.to_owned());
    } else if let Some(index) = listing.find(INDEX_FILE) {
        transfer.fetch(&index)?;
        names = read_index(&Files::Folder(snapshot.clone()))?.unwrap_or_default();
    } else {
        names = listing.top_level_safetensors();
    }
    if names.is_empty() {
        return Err(WeightsError::NoWeights { place });
    }
    let find = |name: &String| {
        listing.find(name).ok_or_else(|| WeightsError::NotOnHub {
            id: transfer.id.to_owned(),
            what: name.clone(),
        })
    };
    let files: Vec<RemoteFile> = names.iter().map(find).collect::<Result<_, _>>()?;
    let bytes = files.iter().map(|file| file.size).sum();
    (transfer.progress)(PullEvent::Weights { files: files.len(), bytes });
    for file in &files {
        transfer.fetch(file)?;
    }
    Ok(snapshot)
}

/// `hf-hub`'s client, told to put what it downloads into the staging folder.
fn api(folder: &CacheFolder, options: &HubOptions) -> Result<Api, ApiError> {
    ApiBuilder::from_cache(Cache::new(folder.staging()))
        .with_endpoint(options.endpoint.clone())
        .with_token(options.token.clone())
        .with_progress(false)
        // Its own retries take up a resumed file at the wrong place; `Transfer` retries.
        .with_retries(0)
        .with_user_agent("glm4v", env!("CARGO_PKG_VERSION"))
        .build()
}

/// What the hub says about a model at a revision.
#[derive(Deserialize)]
struct Listing {
    /// The commit.
    sha: String,
    siblings: Vec<Sibling>,
}

/// A file of the repository. Servers that know only names leave out the rest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    /// Id as a Git object; of the pointer when the file is in large-file storage.
    blob_id: Option<String>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    sha256: String,
}

impl Listing {
    fn find(&self, name: &str) -> Option<RemoteFile> {
        let sibling = self.siblings.iter().find(|sibling| sibling.rfilename == name)?;
        let etag = match &sibling.lfs {
            Some(lfs) => Some(lfs.sha256.as_str()),
            None => sibling.blob_id.as_deref(),
        };
        Some(RemoteFile {
            name: name.to_owned(),
            size: sibling.size,
            announced: etag.and_then(Announced::from_etag),
        })
    }

    fn top_level_safetensors(&self) -> Vec<String> {
        let names = self.siblings.iter().map(|sibling| &sibling.rfilename);
        names
            .filter(|name| name.ends_with(".safetensors") && !name.contains(['/', '\\']))
            .cloned()
            .collect()
    }
}

fn list(id: &str, api: &Api, revision: &str) -> Result<Listing, WeightsError> {
    let repo: ApiRepo =
        api.repo(Repo::with_revision(id.to_owned(), RepoType::Model, revision.to_owned()));
    let what = format!("revision {revision}");
    let response = repo
        .info_request()
        .query("blobs", "true")
        .call()
        .map_err(|error| hub_error(id, &what, ApiError::from(Box::new(error))))?;
    response.into_json().map_err(|error| hub_error(id, &what, ApiError::from(error)))
}

/// Waits until no other process downloads this model. Dropping the file gives the lock back.
fn lock(
    folder: &CacheFolder,
    progress: &mut dyn FnMut(PullEvent<'_>),
) -> Result<File, WeightsError> {
    let path = folder.lock();
    let take = |progress: &mut dyn FnMut(PullEvent<'_>)| {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = File::create(&path)?;
        if file.try_lock().is_err() {
            progress(PullEvent::Waiting);
            file.lock()?;
        }
        Ok(file)
    };
    take(progress).map_err(|source| WeightsError::Unwritable { path: path.clone(), source })
}
