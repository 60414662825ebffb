//! How the C library's allocator treats the large blocks that layers take and free.

/// Asks the allocator to keep the blocks that are freed for the next ones, where it is glibc's.
///
/// By default glibc gives large blocks back at once, and the system clears every page anew when
/// the next layer takes one: a tenth of a vision tower's time. To be called by a program, not by a
/// library, after the weights are loaded: what loading frees should go back.
#[allow(unsafe_code, reason = "the allocator's settings are a C function")]
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `mallopt` may be called at any time; it takes numbers alone, and refuses those
        // that it does not know.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
            libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        }
    }
}
