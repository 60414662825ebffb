//! Memory in large pages.

#![allow(unsafe_code, reason = "the advice to the system is a C function")]

use std::mem::MaybeUninit;

/// Fewer bytes hold few whole large pages, or come from memory that the allocator keeps.
#[cfg(target_os = "linux")]
const LARGE: usize = 8 << 20;

/// Bytes of a large page.
pub(crate) const BYTES: usize = 2 << 20;

/// As long and as aligned as a large page.
#[repr(align(0x20_0000))]
pub(crate) struct LargePage(#[expect(dead_code, reason = "it is a size")] [u8; BYTES]);

/// Asks for large pages under places that have not been written yet: handing out a page costs
/// about as much as multiplying for it, and the small ones are 512 times as many.
#[cfg(target_os = "linux")]
pub(crate) fn ask_for_large_pages<T>(places: &mut [MaybeUninit<T>]) {
    if size_of_val(places) < LARGE {
        return;
    }
    let range = places.as_mut_ptr_range();
    let skipped = range.start.align_offset(BYTES);
    let start = range.start.wrapping_add(skipped);
    let bytes = (range.end.addr().saturating_sub(start.addr())) / BYTES * BYTES;
    // SAFETY: these are whole pages of memory that is borrowed exclusively, and the advice does
    // not change what is in it. Where it is not taken nothing happens, so errors don't matter.
    unsafe { libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn ask_for_large_pages<T>(_places: &mut [MaybeUninit<T>]) {}
