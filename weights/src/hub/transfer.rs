//! One file from the hub to the cache: downloaded aside, resumed, verified, then shown.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiError, ApiRepo};

use super::cache::CacheFolder;
use super::digest::Announced;
use crate::WeightsError;

/// The wait before the first retry; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How a download gets on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEvent<'a> {
    /// Another process downloads the same repository; this one waits for it.
    Waiting,
    /// The hub cannot be reached; what the cache has is used.
    Unreachable {
        /// Why not.
        reason: &'a str,
    },
    /// A model's weight files, or a dataset's files, are known and come next.
    Files {
        /// How many files.
        files: usize,
        /// Their size together, in bytes, where the hub says it.
        bytes: Option<u64>,
    },
    /// Bytes of a file have arrived.
    Progress {
        /// The file's name in the repository.
        file: &'a str,
        /// Bytes on disk, those of an earlier, broken-off download with them.
        done: u64,
        /// Size of the file in bytes.
        total: u64,
    },
    /// A download broke off and is taken up again.
    Retrying {
        /// The file's name in the repository.
        file: &'a str,
        /// Why it broke off.
        reason: &'a str,
    },
    /// A file is complete, verified and in the cache, or was there before.
    Finished {
        /// The file's name in the repository.
        file: &'a str,
    },
}

/// A file of the repository, and what the hub says about it.
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) size: Option<u64>,
    pub(super) announced: Option<Announced>,
}

/// The download of one commit's files into the cache.
pub(super) struct Transfer<'a> {
    /// The client, with the staging folder for its cache.
    pub(super) api: &'a Api,
    pub(super) folder: &'a CacheFolder,
    pub(super) commit: &'a str,
    pub(super) retries: usize,
    pub(super) patience: Duration,
    pub(super) progress: &'a mut dyn FnMut(PullEvent<'_>),
}

impl Transfer<'_> {
    /// The repository at the commit.
    pub(super) fn repo(&self) -> ApiRepo {
        self.api.repo(self.folder.repo_at(self.commit))
    }

    /// Tells how many files come, and puts them into the snapshot.
    pub(super) fn fetch_bulk(&mut self, files: &[RemoteFile]) -> Result<(), WeightsError> {
        let bytes = files.iter().map(|file| file.size).sum();
        (self.progress)(PullEvent::Files { files: files.len(), bytes });
        files.iter().try_for_each(|file| self.fetch(file))
    }

    /// Puts `file` into the snapshot unless it is there.
    pub(super) fn fetch(&mut self, file: &RemoteFile) -> Result<(), WeightsError> {
        if !self.folder.snapshot(self.commit).join(&file.name).exists() {
            let known = file.announced.as_ref().map(|announced| self.folder.blob(announced.hex()));
            let blob = match known.filter(|blob| blob.exists()) {
                Some(blob) => blob,
                None => self.download(file)?,
            };
            self.link(&blob, &file.name)?;
        }
        (self.progress)(PullEvent::Finished { file: &file.name });
        Ok(())
    }

    /// Downloads and verifies `file`, with retries; gives its blob.
    fn download(&mut self, file: &RemoteFile) -> Result<PathBuf, WeightsError> {
        let (mut furthest, mut failures, mut was_damaged) = (0, 0, false);
        loop {
            let mut reached = 0;
            let error = match self.attempt(file, &mut reached) {
                Ok(blob) => return Ok(blob),
                Err(error) => error,
            };
            if reached > furthest {
                (furthest, failures) = (reached, 0);
            }
            // The part that an earlier run left may have been at fault: once more, from the
            // start. What is wrong again then will stay wrong.
            let damaged = matches!(error, WeightsError::DamagedDownload { .. });
            if failures >= self.retries || !is_passing(&error) || (damaged && was_damaged) {
                return Err(error);
            }
            was_damaged |= damaged;
            let reason = reason(&error);
            (self.progress)(PullEvent::Retrying { file: &file.name, reason: &reason });
            thread::sleep(wait(failures));
            failures += 1;
        }
    }

    /// Downloads `file` once, from where an earlier attempt stopped; gives its verified blob.
    fn attempt(&mut self, file: &RemoteFile, reached: &mut u64) -> Result<PathBuf, WeightsError> {
        let staged = match self.left_unverified(file) {
            Some(staged) => staged,
            None => self.download_aside(file, reached)?,
        };
        let unwritable =
            |path: &Path, source| WeightsError::Unwritable { path: path.to_owned(), source };
        if let Err(error) = self.verify(&staged, file) {
            std::fs::remove_file(&staged).map_err(|source| unwritable(&staged, source))?;
            return Err(error);
        }
        let blob = self.folder.blob(&etag_of(&staged));
        move_to(&staged, &blob).map_err(|source| unwritable(&blob, source))?;
        Ok(blob)
    }

    /// A whole file in the staging folder, left by a run that ended while verifying it.
    fn left_unverified(&self, file: &RemoteFile) -> Option<PathBuf> {
        let blobs = self.folder.staging_repo().join("blobs");
        let staged = blobs.join(file.announced.as_ref()?.hex());
        staged.exists().then_some(staged)
    }

    /// Has `hf-hub` download `file` into the staging folder; gives its blob there.
    fn download_aside(
        &mut self,
        file: &RemoteFile,
        reached: &mut u64,
    ) -> Result<PathBuf, WeightsError> {
        // A link that an interrupted run left would be taken for a finished file.
        let _ = std::fs::remove_dir_all(self.folder.staging_repo().join("snapshots"));
        let link = self.watched(file, reached)?;
        let link = link.map_err(|error| {
            if is_bad_part(&error) {
                let _ = std::fs::remove_dir_all(self.folder.staging());
            }
            hub_error(self.folder, &file.name, error)
        })?;
        link.canonicalize().map_err(|source| WeightsError::Unwritable { path: link, source })
    }

    /// The same while the hub keeps sending. `hf-hub` waits for ever for a hub that has fallen
    /// silent, so it runs on a thread of its own, which is left behind then: it holds the part file
    /// locked until the connection or the process ends.
    fn watched(
        &mut self,
        file: &RemoteFile,
        reached: &mut u64,
    ) -> Result<Result<PathBuf, ApiError>, WeightsError> {
        let (sender, events) = mpsc::channel();
        let (repo, name) = (self.repo(), escaped(&file.name));
        thread::spawn(move || {
            let link = repo.download_with_progress(&name, Reporter(sender.clone()));
            // Nobody listens any more once it was given up.
            let _ = sender.send(Event::Ended(link));
        });
        let (mut done, mut total) = (0, 0);
        loop {
            match events.recv_timeout(self.patience) {
                Ok(Event::Began(size)) => (done, total) = (0, size),
                Ok(Event::Arrived(bytes)) => {
                    done += bytes;
                    *reached = done;
                    (self.progress)(PullEvent::Progress { file: &file.name, done, total });
                }
                Ok(Event::Ended(link)) => return Ok(link),
                Err(RecvTimeoutError::Timeout) => {
                    let (id, what) = (self.folder.id().to_owned(), file.name.clone());
                    let seconds = self.patience.as_secs_f64();
                    return Err(WeightsError::Stalled { id, what, seconds });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let ended = io::Error::other("the download ended without a result");
                    return Ok(Err(ApiError::from(ended)));
                }
            }
        }
    }

    /// Compares a downloaded file with what the hub announced, in its list of files or, without
    /// that, in the ETag that named the blob.
    fn verify(&self, staged: &Path, file: &RemoteFile) -> Result<(), WeightsError> {
        let damaged = |kind, expected: String, found: String| {
            let (id, file) = (self.folder.id().to_owned(), file.name.clone());
            Err(WeightsError::DamagedDownload { id, file, kind, expected, found })
        };
        let unreadable =
            |source| WeightsError::Unreadable { file: staged.display().to_string(), source };
        let size = staged.metadata().map_err(unreadable)?.len();
        if let Some(expected) = file.size.filter(|&expected| expected != size) {
            return damaged("size in bytes", expected.to_string(), size.to_string());
        }
        let announced = file.announced.clone().or_else(|| Announced::from_etag(&etag_of(staged)));
        let Some(announced) = announced else { return Ok(()) };
        let found = announced.of_file(staged).map_err(unreadable)?;
        if found != announced.hex() {
            return damaged(announced.kind(), announced.hex().to_owned(), found);
        }
        Ok(())
    }

    /// Shows a blob in the snapshot under its name.
    fn link(&self, blob: &Path, name: &str) -> Result<(), WeightsError> {
        let snapshot = self.folder.snapshot(self.commit);
        let path = snapshot.join(name);
        let depth = Path::new(name).components().count();
        let make = || {
            std::fs::create_dir_all(path.parent().unwrap_or(&snapshot))?;
            // A link whose blob is gone is in the way.
            if path.symlink_metadata().is_ok() {
                std::fs::remove_file(&path)?;
            }
            link_or_move(blob, &path, depth)
        };
        make().map_err(|source| WeightsError::Unwritable { path: path.clone(), source })
    }
}

/// A file's name as it stands in an address. `hf-hub` puts names there as they are.
pub(super) fn escaped(name: &str) -> String {
    // The rest, such as spaces, is escaped where the address is read.
    name.replace('%', "%25").replace('#', "%23").replace('?', "%3F")
}

/// A blob is named after its ETag.
fn etag_of(blob: &Path) -> String {
    blob.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::rename(from, to)
}

/// A snapshot's entry is a relative link, so that the cache can be moved. `depth` counts the steps
/// from the snapshot's folder to `path`.
#[cfg(unix)]
fn link_or_move(blob: &Path, path: &Path, depth: usize) -> io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    let up = "../".repeat(depth + 1);
    std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), path)
}

/// Links need rights that few Windows users have; the hub's own client moves the file then.
#[cfg(not(unix))]
fn link_or_move(blob: &Path, path: &Path, _depth: usize) -> io::Result<()> {
    std::fs::rename(blob, path)
}

/// What the thread that downloads tells.
enum Event {
    /// The file has so many bytes.
    Began(u64),
    /// So many more are there.
    Arrived(u64),
    Ended(Result<PathBuf, ApiError>),
}

/// Passes `hf-hub`'s progress on.
struct Reporter(mpsc::Sender<Event>);

impl Progress for Reporter {
    fn init(&mut self, size: usize, _filename: &str) {
        let _ = self.0.send(Event::Began(size as u64));
    }

    fn update(&mut self, size: usize) {
        let _ = self.0.send(Event::Arrived(size as u64));
    }

    fn finish(&mut self) {}
}

/// The error that tells a user what `error`, met while fetching `what`, means.
pub(super) fn hub_error(folder: &CacheFolder, what: &str, error: ApiError) -> WeightsError {
    let (id, what) = (folder.id().to_owned(), what.to_owned());
    match status(&error) {
        Some(status @ (401 | 403)) => {
            WeightsError::AccessRefused { id, kind: folder.kind(), status }
        }
        Some(404) => WeightsError::NotOnHub { id, what },
        _ => WeightsError::Download { id, what, source: Box::new(error) },
    }
}

fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match error.as_ref() {
            ureq::Error::Status(status, _) => Some(*status),
            ureq::Error::Transport(_) => None,
        },
        _ => None,
    }
}

/// Whether the part file on disk cannot be resumed: it is as long as the file or longer.
fn is_bad_part(error: &ApiError) -> bool {
    matches!(error, ApiError::InvalidResume) || status(error) == Some(416)
}

/// Whether nobody answered.
pub(super) fn is_unreachable(error: &WeightsError) -> bool {
    let WeightsError::Download { source, .. } = error else { return false };
    match source.as_ref() {
        ApiError::RequestError(error) => matches!(**error, ureq::Error::Transport(_)),
        _ => false,
    }
}

/// Whether trying again may help.
fn is_passing(error: &WeightsError) -> bool {
    match error {
        WeightsError::DamagedDownload { .. } => true,
        WeightsError::Download { source, .. } => match status(source) {
            Some(status) => status == 416 || status == 429 || status >= 500,
            None => !matches!(**source, ApiError::MissingHeader(_) | ApiError::InvalidHeader(_)),
        },
        _ => false,
    }
}

/// An error's message with its cause.
pub(super) fn reason(error: &WeightsError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    }
}

fn wait(failures: usize) -> Duration {
    let doubled = 1 << failures.min(16);
    FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
}
