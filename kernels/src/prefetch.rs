//! Asking for memory before it is read or written.

#![allow(unsafe_code, reason = "prefetching is an instruction")]

/// The first-level cache, as [`ask_for`] numbers them.
pub(crate) const FIRST: usize = 1;
/// The second-level cache.
pub(crate) const SECOND: usize = 2;

/// Asks for the line at a place to be brought to a cache; any place will do.
#[inline(always)]
pub(crate) fn ask_for<const CACHE: usize, T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has the instruction, and it reads nothing.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        match CACHE {
            FIRST => _mm_prefetch::<_MM_HINT_T0>(place.cast()),
            _ => _mm_prefetch::<_MM_HINT_T1>(place.cast()),
        }
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: every processor of this architecture has the instruction, and it changes nothing.
    unsafe {
        std::arch::asm!(
            "prfm pldl{cache}keep, [{place}]",
            cache = const CACHE,
            place = in(reg) place,
            options(readonly, nostack, preserves_flags),
        );
    }
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(miri)))))]
    let _ = place;
}
