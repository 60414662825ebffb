//! What a model of the hub is, before its weights are downloaded: its small files and the headers
//! of its weight files.

use std::cell::RefCell;
use std::io::Read;

use hf_hub::RepoType;
use hf_hub::api::sync::ApiError;

use super::HubOptions;
use super::cache::CacheFolder;
use super::listing::Listing;
use super::model::{fetch_small_files, weights};
use super::pull::{Wanted, bring};
use super::transfer::{PullEvent, RemoteFile, Transfer, escaped, hub_error};
use crate::checkpoint::Header;
use crate::{Checkpoint, Files, WeightsError, header};

/// Bytes that the first request asks for. The headers of published shards take some 50 KB.
const FIRST_PIECE: u64 = 256 << 10;

/// The model `id` at `revision`, of which the small files are brought into the cache and the
/// headers of the weight files read. Its tensors have names, types and shapes, but no bytes.
///
/// # Errors
/// As [`pull`](super::pull), and [`WeightsError::BadHeader`]; with [`HubOptions::offline`] always.
pub fn look_up(
    id: &str,
    revision: Option<&str>,
    options: &HubOptions,
    progress: &mut dyn FnMut(PullEvent<'_>),
) -> Result<Checkpoint, WeightsError> {
    let headers = Headers { options, found: RefCell::default() };
    let folder = bring(&headers, id, revision, options, progress)?;
    Checkpoint::of_headers(Files::Folder(folder), &headers.found.take())
}

/// The headers of a model.
struct Headers<'a> {
    options: &'a HubOptions,
    found: RefCell<Vec<Header>>,
}

impl Wanted for Headers<'_> {
    const KIND: RepoType = RepoType::Model;

    /// Headers are not kept.
    fn is_complete(&self, _folder: &CacheFolder, _commit: &str) -> bool {
        false
    }

    fn fetch(&self, transfer: &mut Transfer<'_>, listing: &Listing) -> Result<(), WeightsError> {
        fetch_small_files(transfer, listing)?;
        for file in weights(transfer, listing)? {
            let header = self.header(transfer, &file)?;
            self.found.borrow_mut().push(header);
        }
        Ok(())
    }
}

impl Headers<'_> {
    fn header(&self, transfer: &Transfer<'_>, file: &RemoteFile) -> Result<Header, WeightsError> {
        let place = format!("{} of {} on the hub", file.name, transfer.folder.id());
        let mut bytes = self.beginning(transfer, &file.name, FIRST_PIECE)?;
        let needed = header::length(&bytes, &place)?;
        if needed > bytes.len() as u64 {
            bytes = self.beginning(transfer, &file.name, needed)?;
        }
        Ok(Header { file: place, bytes, file_size: file.size })
    }

    /// The first bytes of a file, at most `length`. A server that sends the whole file is cut off.
    fn beginning(
        &self,
        transfer: &Transfer<'_>,
        name: &str,
        length: u64,
    ) -> Result<Vec<u8>, WeightsError> {
        let failed = |error| hub_error(transfer.folder, name, error);
        let patience = self.options.patience;
        let agent = ureq::builder().try_proxy_from_env(true).timeout_read(patience).build();
        let range = format!("bytes=0-{}", length.saturating_sub(1));
        let request = agent.get(&transfer.repo().url(&escaped(name))).set("Range", &range);
        // The client leaves the token out where it is sent on to another host.
        let request = match &self.options.token {
            Some(token) => request.set("Authorization", &format!("Bearer {token}")),
            None => request,
        };
        let response = request.call().map_err(|error| failed(ApiError::from(Box::new(error))))?;
        let mut bytes = Vec::new();
        let read = response.into_reader().take(length).read_to_end(&mut bytes);
        read.map_err(|error| failed(ApiError::from(error)))?;
        Ok(bytes)
    }
}
