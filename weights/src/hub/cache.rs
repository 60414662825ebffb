//! The layout of the Hugging Face cache: `models--owner--name/{blobs,refs,snapshots}`.
//!
//! A blob is a file's content under its ETag. A snapshot is a commit's files: links to blobs
//! under their names. A ref is a branch or tag: a file that says its commit.

use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use super::HubOptions;
use crate::checkpoint::weight_files;
use crate::source::{check_id, check_revision};
use crate::{Files, WeightsError};

/// The revision that is meant when none is given.
const MAIN: &str = "main";

/// A model's folder in the cache.
pub(super) struct CacheFolder {
    repo: Repo,
    cache: Cache,
    folder: PathBuf,
}

impl CacheFolder {
    pub(super) fn new(
        id: &str,
        revision: Option<&str>,
        options: &HubOptions,
    ) -> Result<Self, WeightsError> {
        let revision = revision.unwrap_or(MAIN);
        check_id(id)?;
        check_revision(revision)?;
        let repo = Repo::with_revision(id.to_owned(), RepoType::Model, revision.to_owned());
        let folder = options.cache.join(repo.folder_name());
        Ok(Self { repo, cache: Cache::new(options.cache.clone()), folder })
    }

    pub(super) fn revision(&self) -> &str {
        self.repo.revision()
    }

    /// The snapshot folder of `commit`.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The file of a blob.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Where files stay until they are complete and verified.
    pub(super) fn staging(&self) -> PathBuf {
        self.folder.join(".incoming")
    }

    /// The file that the downloading process holds locked.
    pub(super) fn lock(&self) -> PathBuf {
        let locks = self.cache.path().join(".locks").join(self.repo.folder_name());
        locks.join("glm4v-pull.lock")
    }

    /// Notes that the revision is `commit`.
    pub(super) fn set_commit(&self, commit: &str) -> Result<(), WeightsError> {
        if self.revision() == commit {
            return Ok(());
        }
        let path = self.folder.join("refs").join(self.revision());
        self.cache
            .repo(self.repo.clone())
            .create_ref(commit)
            .map_err(|source| WeightsError::Unwritable { path, source })
    }

    /// The commit that the revision was when it was last pulled, or the revision itself, which
    /// may be a commit.
    fn commit(&self) -> String {
        match std::fs::read_to_string(self.folder.join("refs").join(self.revision())) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => self.revision().to_owned(),
        }
    }
}

/// The snapshot folder of a model in the cache; `None` when its configuration or a weight file is
/// not there. Asks the disk alone.
pub fn cached(id: &str, revision: Option<&str>, options: &HubOptions) -> Option<PathBuf> {
    let folder = CacheFolder::new(id, revision, options).ok()?;
    let commit = folder.commit();
    check_revision(&commit).ok()?;
    let snapshot = folder.snapshot(&commit);
    is_complete(&snapshot).then_some(snapshot)
}

fn is_complete(snapshot: &Path) -> bool {
    let files = Files::Folder(snapshot.to_owned());
    let weights = weight_files(&files).unwrap_or_default();
    files.contains("config.json")
        && !weights.is_empty()
        && weights.iter().all(|name| files.contains(name))
}
