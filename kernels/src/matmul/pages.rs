//! Memory for large outputs and weights.

use std::mem::MaybeUninit;

/// Fewer bytes hold few whole large pages, or come from memory that the allocator keeps.
#[cfg(target_os = "linux")]
const LARGE: usize = 8 << 20;

/// Asks for large pages under places that have not been written yet: handing out a page costs
/// about as much as multiplying for it, and the small ones are 512 times as many.
#[cfg(target_os = "linux")]
pub(super) fn ask_for_large_pages<T>(places: &mut [MaybeUninit<T>]) {
    const PAGE: usize = 2 << 20;
    if size_of_val(places) < LARGE {
        return;
    }
    let range = places.as_mut_ptr_range();
    let skipped = range.start.align_offset(PAGE);
    let start = range.start.wrapping_add(skipped);
    let bytes = (range.end.addr().saturating_sub(start.addr())) / PAGE * PAGE;
    // SAFETY: these are whole pages of memory that is borrowed exclusively, and the advice does
    // not change what is in it. Where it is not taken nothing happens, so errors don't matter.
    unsafe { libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ask_for_large_pages<T>(_places: &mut [MaybeUninit<T>]) {}
