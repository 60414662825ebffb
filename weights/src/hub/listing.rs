//! What the hub says about a repository: its commit and its files.

use std::path::{Component, Path};
use std::time::Duration;

use hf_hub::api::sync::{Api, ApiError};
use serde::Deserialize;

use super::cache::CacheFolder;
use super::digest::Announced;
use super::transfer::{RemoteFile, hub_error};
use crate::WeightsError;

/// What the hub says about a repository at a revision.
#[derive(Deserialize)]
pub(super) struct Listing {
    /// The commit.
    pub(super) sha: String,
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
    /// Asks the hub for the list at the folder's revision, for `patience` at most.
    pub(super) fn fetch(
        folder: &CacheFolder,
        api: &Api,
        patience: Duration,
    ) -> Result<Self, WeightsError> {
        let what = format!("revision {}", folder.revision());
        let failed = |error| hub_error(folder, &what, error);
        let request = api.repo(folder.repo().clone()).info_request().query("blobs", "true");
        let response = request
            .timeout(patience)
            .call()
            .map_err(|error| failed(ApiError::from(Box::new(error))))?;
        let mut listing: Self =
            response.into_json().map_err(|error| failed(ApiError::from(error)))?;
        listing.siblings.retain(|sibling| stays_inside(&sibling.rfilename));
        Ok(listing)
    }

    /// The names of all files.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.siblings.iter().map(|sibling| sibling.rfilename.as_str())
    }

    /// The file of this name.
    pub(super) fn find(&self, name: &str) -> Option<RemoteFile> {
        self.siblings.iter().find(|sibling| sibling.rfilename == name).map(Sibling::remote)
    }

    /// The files whose names are in `wanted`, in the list's order.
    pub(super) fn select(&self, wanted: &[String]) -> Vec<RemoteFile> {
        let wanted: std::collections::HashSet<&str> = wanted.iter().map(String::as_str).collect();
        let siblings = self.siblings.iter();
        siblings.filter(|s| wanted.contains(s.rfilename.as_str())).map(Sibling::remote).collect()
    }
}

impl Sibling {
    fn remote(&self) -> RemoteFile {
        let etag = match &self.lfs {
            Some(lfs) => Some(lfs.sha256.as_str()),
            None => self.blob_id.as_deref(),
        };
        RemoteFile {
            name: self.rfilename.clone(),
            size: self.size,
            announced: etag.and_then(Announced::from_etag),
        }
    }
}

/// Whether a file of this name would lie in the folder that it is put into, on any system.
fn stays_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    parts.all(|part| matches!(part, Component::Normal(_)))
        && !name.is_empty()
        && !name.chars().any(|letter| letter == '\\' || letter.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_the_folder_are_no_files() {
        for name in ["config.json", "data/test-00000-of-00001.parquet", "a b/ü#?.png", "..x"] {
            assert!(stays_inside(name), "{name}");
        }
        for name in ["", "..", "../x", "a/../../x", "/etc/passwd", "a\\..\\x", "a\nb"] {
            assert!(!stays_inside(name), "{name}");
        }
    }
}
