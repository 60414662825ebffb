//! Bringing a repository from the hub into the cache: in which order, under which lock.

use std::fs::File;
use std::path::PathBuf;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, RepoType};

use super::HubOptions;
use super::cache::CacheFolder;
use super::listing::Listing;
use super::transfer::{PullEvent, Transfer, hub_error, is_unreachable, reason};
use crate::WeightsError;
use crate::source::check_revision;

/// What is wanted of a repository.
pub(super) trait Wanted {
    /// Whether it is a model or a dataset.
    const KIND: RepoType;

    /// Whether the cache has all that is wanted of `commit`. Asks the disk alone.
    fn is_complete(&self, folder: &CacheFolder, commit: &str) -> bool;

    /// Fetches what is wanted.
    fn fetch(&self, transfer: &mut Transfer<'_>, listing: &Listing) -> Result<(), WeightsError>;
}

/// Brings what is wanted of a repository up to date in the cache; gives the snapshot folder.
pub(super) fn bring<W: Wanted>(
    wanted: &W,
    id: &str,
    revision: Option<&str>,
    options: &HubOptions,
    progress: &mut dyn FnMut(PullEvent<'_>),
) -> Result<PathBuf, WeightsError> {
    let folder = CacheFolder::new(W::KIND, id, revision, options)?;
    if options.offline {
        let not_cached =
            || WeightsError::NotCached { id: id.to_owned(), cache: options.cache.clone() };
        return find_cached(wanted, &folder).ok_or_else(not_cached);
    }
    let api = api(&folder, options).map_err(|error| hub_error(&folder, "the file list", error))?;
    let listing = match Listing::fetch(&folder, &api, options.patience) {
        Err(error) if is_unreachable(&error) => {
            let Some(snapshot) = find_cached(wanted, &folder) else { return Err(error) };
            progress(PullEvent::Unreachable { reason: &reason(&error) });
            return Ok(snapshot);
        }
        listing => listing?,
    };
    check_revision(&listing.sha)?;
    let _lock = lock(&folder, progress)?;
    let mut transfer = Transfer {
        api: &api,
        folder: &folder,
        commit: &listing.sha,
        retries: options.retries,
        patience: options.patience,
        progress,
    };
    wanted.fetch(&mut transfer, &listing)?;
    folder.set_commit(&listing.sha)?;
    // Empty but for hf-hub's own lock files and links; the next pull copes with what stays.
    let _ = std::fs::remove_dir_all(folder.staging());
    Ok(folder.snapshot(&listing.sha))
}

/// The snapshot folder in the cache, if all that is wanted is there.
pub(super) fn find_cached<W: Wanted>(wanted: &W, folder: &CacheFolder) -> Option<PathBuf> {
    let commit = folder.commit();
    check_revision(&commit).ok()?;
    wanted.is_complete(folder, &commit).then(|| folder.snapshot(&commit))
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

/// Waits until no other process downloads this repository. Dropping the file gives the lock back.
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
