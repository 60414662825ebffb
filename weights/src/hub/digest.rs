//! Whether a file's bytes are those that the hub announced.

use std::io::{self, Read};
use std::path::Path;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// What the hub says a file's bytes hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    /// SHA-256 of the content: files in large-file storage, whose ETag it is.
    Sha256(String),
    /// The id of the file as a Git object, SHA-1 of `blob LENGTH\0` and the content: other files.
    GitSha1(String),
}

impl Announced {
    /// Reads an ETag, or the name of a blob in the cache, which is its ETag. `None` when it is
    /// neither digest; a server is free to send anything.
    pub(super) fn from_etag(etag: &str) -> Option<Self> {
        let is_hex = etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match etag.len() {
            64 if is_hex => Some(Self::Sha256(etag.to_ascii_lowercase())),
            40 if is_hex => Some(Self::GitSha1(etag.to_ascii_lowercase())),
            _ => None,
        }
    }

    /// The digest in hexadecimal digits.
    pub(super) fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitSha1(hex) => hex,
        }
    }

    /// What kind of digest it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::GitSha1(_) => "git sha1",
        }
    }

    /// The digest of the same kind of the file at `path`.
    pub(super) fn of_file(&self, path: &Path) -> io::Result<String> {
        let file = std::fs::File::open(path)?;
        match self {
            Self::Sha256(_) => digest(Sha256::new(), file),
            Self::GitSha1(_) => {
                let prefix = format!("blob {}\0", file.metadata()?.len());
                digest(Sha1::new().chain_update(prefix), file)
            }
        }
    }
}

fn digest(mut state: impl Digest, mut file: std::fs::File) -> io::Result<String> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(state.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        state.update(buffer.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `git hash-object` and `sha256sum` of a file that says `hello` and ends in a newline.
    const GIT: &str = "ce013625030ba8dba906f756967f9e9ca394464a";
    const SHA256: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

    #[test]
    fn digests_are_those_of_git_and_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        std::fs::write(&path, "hello\n").unwrap();
        for etag in [GIT, SHA256] {
            let announced = Announced::from_etag(etag).unwrap();
            assert_eq!(announced.of_file(&path).unwrap(), etag);
        }
    }

    #[test]
    fn other_etags_announce_nothing() {
        for etag in ["", "abc", "W/5891", &"g".repeat(64), &"../".repeat(16)] {
            assert_eq!(Announced::from_etag(etag), None, "{etag}");
        }
    }
}
