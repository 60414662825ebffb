//! A hub of our own on loopback: the paths, headers and faults of the real one. The program's tests
//! use it too.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use serde_json::json;
use sha1::{Digest, Sha1};
use sha2::Sha256;

pub(crate) const ID: &str = "owner/tiny-model";
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the hub holds and how it misbehaves. Tests change it while the hub runs.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) commit: String,
    /// Whether it is the dataset of this id, and not the model.
    pub(crate) is_dataset: bool,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Only this token opens the model.
    pub(crate) token: Option<String>,
    /// Refuses with 403 even with the token: gated.
    pub(crate) gated: bool,
    /// Closes the connection after so many bytes of the body, once a file named here.
    pub(crate) break_off: HashMap<String, usize>,
    /// As `break_off`, but the connection stays open and silent.
    pub(crate) fall_silent: HashMap<String, usize>,
    /// The connections that stay open.
    pub(crate) held: Vec<TcpStream>,
    /// Sends this file with one byte changed.
    pub(crate) damage: Option<String>,
    /// Answers requests for a part of a file's body with the whole of it.
    pub(crate) ignores_ranges: bool,
    /// Leaves sizes and digests out of the list of files.
    pub(crate) names_only: bool,
    /// Answers the next request for a file's body with 503.
    pub(crate) busy: bool,
    pub(crate) log: Vec<Request>,
}

/// A request as it came, and how many body bytes were sent for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) sent: usize,
}

impl Request {
    /// Whether it asks for a file's body, and not for its first byte to learn its size.
    pub(crate) fn is_download(&self) -> bool {
        self.range.as_deref() != Some("bytes=0-0") && !self.path.starts_with("/api/")
    }
}

pub(crate) struct Hub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    /// A hub with a model of these files.
    pub(crate) fn start(files: Vec<(String, Vec<u8>)>) -> Self {
        Self::serve(State { commit: COMMIT.to_owned(), files, ..State::default() })
    }

    /// A hub with a dataset of these files.
    pub(crate) fn start_dataset(files: Vec<(String, Vec<u8>)>) -> Self {
        let commit = COMMIT.to_owned();
        Self::serve(State { commit, is_dataset: true, files, ..State::default() })
    }

    fn serve(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(state));
        let stopping = Arc::new(AtomicBool::new(false));
        let (shared, stop) = (state.clone(), stopping.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away is no fault of the hub.
                let _ = answer(&stream.unwrap(), &shared, address);
            }
        });
        Self { address, state, stopping, thread: Some(thread) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The requests since the last call.
    pub(crate) fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().log)
    }

    /// The downloads among the requests since the last call.
    pub(crate) fn take_downloads(&self) -> Vec<Request> {
        self.take_log().into_iter().filter(Request::is_download).collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The ETag of a file: its SHA-256 in large-file storage, else its id as a Git object.
pub(crate) fn etag(name: &str, bytes: &[u8]) -> String {
    let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if is_large(name) {
        hex(&Sha256::digest(bytes))
    } else {
        hex(&Sha1::digest([format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat()))
    }
}

fn is_large(name: &str) -> bool {
    [".safetensors", ".bin", ".parquet"].iter().any(|end| name.ends_with(end))
}

/// Reads one request and answers it; the connection is closed after that.
fn answer(stream: &TcpStream, state: &Mutex<State>, address: SocketAddr) -> std::io::Result<()> {
    let request = read_request(stream)?;
    let mut state = state.lock().unwrap();
    let (head, body) = respond(&request, &mut state, address);
    // A body that breaks off has a head that promises the whole of it.
    let name = request.path.rsplit('/').next().unwrap_or_default();
    let is_body = request.is_download() && !body.is_empty();
    let silent = if is_body { state.fall_silent.remove(name) } else { None };
    if silent.is_some() {
        state.held.push(stream.try_clone()?);
    }
    let limit = if is_body { state.break_off.remove(name).or(silent) } else { None };
    let sent = limit.unwrap_or(body.len()).min(body.len());
    state.log.push(Request { sent, ..request });
    drop(state);
    let mut stream = stream;
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body[..sent])
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { path, ..Request::default() };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "authorization" => request.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(request)
}

fn head(status: &str, headers: &str, length: usize) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n")
}

/// The response's head and body.
fn respond(request: &Request, state: &mut State, address: SocketAddr) -> (String, Vec<u8>) {
    let nothing = |status: &str| (head(status, "", 0), vec![]);
    if let Some(rest) = request.path.strip_prefix("/storage/") {
        let name = rest.split_once('/').map(|(_, name)| unescaped(name)).unwrap_or_default();
        let found = state.files.iter().find(|(found, _)| *found == name);
        return found.cloned().map_or_else(
            || nothing("404 Not Found"),
            |(name, bytes)| send_file(request, state, &name, bytes, ""),
        );
    }
    let expected = state.token.as_ref().map(|token| format!("Bearer {token}"));
    if expected.is_some() && request.authorization != expected {
        return nothing("401 Unauthorized");
    }
    if state.gated {
        return nothing("403 Forbidden");
    }
    let (kind, place) = if state.is_dataset { ("datasets", "/datasets") } else { ("models", "") };
    let revisions = ["main".to_owned(), "refs%2Fpr%2F1".to_owned(), state.commit.clone()];
    for revision in revisions {
        if request.path == format!("/api/{kind}/{ID}/revision/{revision}?blobs=true") {
            let body = listing(state).into_bytes();
            return (head("200 OK", "Content-Type: application/json\r\n", body.len()), body);
        }
        let files = format!("{place}/{ID}/resolve/{revision}/");
        let Some(name) = request.path.strip_prefix(&files) else { continue };
        let name = unescaped(name);
        let found = state.files.iter().find(|(found, _)| *found == name).cloned();
        return found.map_or_else(
            || nothing("404 Not Found"),
            |(name, bytes)| resolve(request, state, &name, bytes, address),
        );
    }
    nothing("404 Not Found")
}

/// A name out of an address.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// The list of files with sizes and digests.
fn listing(state: &State) -> String {
    let siblings: Vec<_> = state
        .files
        .iter()
        .map(|(name, bytes)| match (state.names_only, is_large(name)) {
            (true, _) => json!({"rfilename": name}),
            (false, true) => json!({
                "rfilename": name, "size": bytes.len(), "blobId": "ce013625030ba8dba906f756967f9e9ca394464a",
                "lfs": {"sha256": etag(name, bytes), "size": bytes.len(), "pointerSize": 127},
            }),
            (false, false) => {
                json!({"rfilename": name, "size": bytes.len(), "blobId": etag(name, bytes)})
            }
        })
        .collect();
    json!({"id": ID, "sha": state.commit, "siblings": siblings}).to_string()
}

/// Small files are sent; for large ones the client is told their place in the storage.
fn resolve(
    request: &Request,
    state: &mut State,
    name: &str,
    bytes: Vec<u8>,
    address: SocketAddr,
) -> (String, Vec<u8>) {
    let (etag, commit) = (etag(name, &bytes), &state.commit);
    if is_large(name) {
        let headers = format!(
            "X-Repo-Commit: {commit}\r\nX-Linked-ETag: \"{etag}\"\r\nX-Linked-Size: {}\r\n\
             Location: http://{address}/storage/{etag}/{name}\r\n",
            bytes.len()
        );
        return (head("302 Found", &headers, 0), vec![]);
    }
    let headers = format!("X-Repo-Commit: {commit}\r\nETag: \"{etag}\"\r\n");
    send_file(request, state, name, bytes, &headers)
}

/// A file's content, or the part of it that the request names.
fn send_file(
    request: &Request,
    state: &mut State,
    name: &str,
    mut bytes: Vec<u8>,
    headers: &str,
) -> (String, Vec<u8>) {
    let total = bytes.len();
    if request.is_download() && std::mem::take(&mut state.busy) {
        return (head("503 Service Unavailable", "", 0), vec![]);
    }
    if state.damage.as_deref() == Some(name) {
        bytes[total / 2] ^= 1;
    }
    let range = request.range.as_deref().and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return (head("200 OK", headers, total), bytes);
    };
    if state.ignores_ranges && request.is_download() {
        return (head("200 OK", headers, total), bytes);
    }
    let first: usize = first.parse().unwrap();
    let end = last.parse().map_or(total, |last: usize| last + 1).min(total);
    if first >= end {
        let headers = format!("Content-Range: bytes */{total}\r\n");
        return (head("416 Range Not Satisfiable", &headers, 0), vec![]);
    }
    let headers = format!("{headers}Content-Range: bytes {first}-{}/{total}\r\n", end - 1);
    (head("206 Partial Content", &headers, end - first), bytes[first..end].to_vec())
}
