//! The layout of the Hugging Face cache: `models--owner--name/{blobs,refs,snapshots}`, and so for
//! `datasets--owner--name`.
//!
//! A blob is a file's content under its ETag. A snapshot is a commit's files: links to blobs
//! under their names. A ref is a branch or tag: a file that says its commit. Of datasets we keep
//! the list of a commit's files too, a name a line, in `.listings`, which other programs pass over.

use std::io;
use std::path::PathBuf;

use hf_hub::{Cache, Repo, RepoType};

use super::HubOptions;
use crate::WeightsError;
use crate::source::{check_id, check_revision};

/// The revision that is meant when none is given.
const MAIN: &str = "main";

/// A repository's folder in the cache.
pub(super) struct CacheFolder {
    id: String,
    kind: RepoType,
    repo: Repo,
    cache: Cache,
    folder: PathBuf,
}

impl CacheFolder {
    pub(super) fn new(
        kind: RepoType,
        id: &str,
        revision: Option<&str>,
        options: &HubOptions,
    ) -> Result<Self, WeightsError> {
        let revision = revision.unwrap_or(MAIN);
        check_id(id)?;
        check_revision(revision)?;
        let repo = Repo::with_revision(id.to_owned(), kind, revision.to_owned());
        let folder = options.cache.join(repo.folder_name());
        let cache = Cache::new(options.cache.clone());
        Ok(Self { id: id.to_owned(), kind, repo, cache, folder })
    }

    /// `owner/name`.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What the repository holds, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self.kind {
            RepoType::Dataset => "dataset",
            _ => "model",
        }
    }

    /// The repository at the revision.
    pub(super) fn repo(&self) -> &Repo {
        &self.repo
    }

    /// The repository at `commit`.
    pub(super) fn repo_at(&self, commit: &str) -> Repo {
        Repo::with_revision(self.id.clone(), self.kind, commit.to_owned())
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

    /// The folder in it that `hf-hub` takes for this repository's in a cache.
    pub(super) fn staging_repo(&self) -> PathBuf {
        self.staging().join(self.repo.folder_name())
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
    pub(super) fn commit(&self) -> String {
        match std::fs::read_to_string(self.folder.join("refs").join(self.revision())) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => self.revision().to_owned(),
        }
    }

    /// The names of all files that `commit` has on the hub, where they were noted.
    pub(super) fn listed(&self, commit: &str) -> Option<Vec<String>> {
        let list = std::fs::read_to_string(self.listing(commit)).ok()?;
        Some(list.lines().map(str::to_owned).collect())
    }

    /// Notes the names of all files that `commit` has on the hub.
    pub(super) fn set_listed(&self, commit: &str, names: &[String]) -> Result<(), WeightsError> {
        let path = self.listing(commit);
        let write = || {
            let aside = path.with_extension("part");
            std::fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
            std::fs::write(&aside, names.join("\n"))?;
            std::fs::rename(&aside, &path)
        };
        let written: io::Result<()> = write();
        written.map_err(|source| WeightsError::Unwritable { path: path.clone(), source })
    }

    fn listing(&self, commit: &str) -> PathBuf {
        self.folder.join(".listings").join(commit)
    }
}
