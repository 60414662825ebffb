//! A file's bytes as memory, read from disk only where they are looked at.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};

/// A read-only memory map of a whole file; derefs to its bytes.
///
/// Nothing is copied: the operating system reads a page when it is first touched and may drop
/// it again. The file must not be cut short while the map lives: touching a page that the file
/// no longer has ends the process with a bus error, as in every program that maps files.
#[derive(Debug)]
pub struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps `file` from its first byte to its present end. An empty file gives no bytes.
    ///
    /// # Errors
    /// What the operating system says when it cannot map the file, a pipe or a device for one.
    #[allow(unsafe_code, reason = "mapping a file is the one unsafe step of reading weights")]
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the map is read-only and private to this value, so nothing in this process
        // writes to it. Bytes that another process changes in the file are plain data here: every
        // reader of the map copies what it reads and accepts any bit pattern.
        unsafe { memmap2::Mmap::map(file) }.map(Self)
    }

    /// Tells the operating system that the bytes `range` are not needed for now, so that they
    /// stop counting as this process's memory. They are read from disk again if they are looked
    /// at. A hint: where it can't be given, nothing happens.
    #[allow(unsafe_code, reason = "dropping pages is unsafe for maps that are written to")]
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if range.start < range.end && range.end <= self.0.len() {
            let length = range.end - range.start;
            // SAFETY: the map is read-only and of a file, so a page that is dropped holds what the
            // file holds and comes back the same; no reference to it sees another value than it
            // may see at any time (see `new`).
            let _ = unsafe {
                self.0.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    length,
                )
            };
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
