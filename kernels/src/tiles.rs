//! Products in the tile registers of AMX: 16 × 16 sums of products of bf16 values, 32 to a sum and
//! instruction (Intel, "Intel 64 and IA-32 Architectures Software Developer's Manual", volume 1,
//! chapter 18).

#![allow(unsafe_code, reason = "tile instructions are assembly")]

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::cell::Cell;
use std::sync::OnceLock;

/// Words of two bf16 values that a tile register's row holds, and that one instruction sums over.
pub(crate) const WORDS: usize = 16;
/// Rows of one tile register.
const TILE_ROWS: usize = 16;
/// Rows of a product: two tile registers of them.
pub(crate) const ROWS: usize = 2 * TILE_ROWS;
/// Columns of a product: two tile registers of them.
pub(crate) const COLUMNS: usize = 32;
/// Bytes of a tile register's row.
const LINE: usize = 64;

/// Whether this machine has tiles, and its system lets this process use them.
pub(crate) fn detected() -> bool {
    static DETECTED: OnceLock<bool> = OnceLock::new();
    *DETECTED.get_or_init(|| {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bf16")
            && has_tiles()
            && may_use_tiles()
    })
}

/// Whether the processor has tiles and their products of bf16, and the system saves them.
fn has_tiles() -> bool {
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    const SAVED: u64 = 1 << 17 | 1 << 18;
    let features = __cpuid_count(7, 0).edx;
    // SAFETY: a processor with AVX-512 that the system supports has the instruction `xgetbv`.
    features & BF16_AND_TILES == BF16_AND_TILES && unsafe { saved_state() } & SAVED == SAVED
}

/// # Safety
/// The processor and the system must support `xsave`.
#[target_feature(enable = "xsave")]
unsafe fn saved_state() -> u64 {
    // SAFETY: register 0 is always there.
    unsafe { _xgetbv(0) }
}

/// Asks Linux for the room that saving tiles takes; other systems are not asked.
fn may_use_tiles() -> bool {
    #[cfg(target_os = "linux")]
    {
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const TILE_DATA: libc::c_long = 18;
        // SAFETY: the call takes two numbers, and changes nothing but what this process may use.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// What `ldtilecfg` reads: how many rows, and bytes of each, a tile register has.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// Registers 0 to 3 hold sums, 4 and 5 rows of the left side, 6 and 7 the right side.
    const fn of(rows: usize) -> Self {
        let first = if rows < TILE_ROWS { rows } else { TILE_ROWS } as u8;
        let second = (rows.saturating_sub(TILE_ROWS)) as u8;
        let all = WORDS as u8;
        let line = LINE as u16;
        let other = if second > 0 { line } else { 0 };
        let bytes = [line, line, other, other, line, other, line, line, 0, 0, 0, 0, 0, 0, 0, 0];
        let rows = [first, first, second, second, first, second, all, all, 0, 0, 0, 0, 0, 0, 0, 0];
        Self { palette: 1, start_row: 0, reserved: [0; 14], bytes, rows }
    }
}

/// A configuration for each number of rows.
static BY_ROWS: [Config; ROWS + 1] = {
    let mut all = [const { Config::of(1) }; ROWS + 1];
    let mut rows = 1;
    while rows <= ROWS {
        all[rows] = Config::of(rows);
        rows += 1;
    }
    all
};

thread_local! {
    /// Rows for which this thread has configured its tile registers; 0 when they are unused.
    /// Configuring waits for all earlier tile instructions, a third of a product's time.
    static CONFIGURED: Cell<usize> = const { Cell::new(0) };
}

/// Configures this thread's tile registers for so many rows.
///
/// # Safety
/// Tiles must have been [`detected`].
pub(crate) unsafe fn configure(rows: usize) {
    if CONFIGURED.replace(rows) != rows {
        let config = &raw const BY_ROWS[rows];
        // SAFETY: the configuration is one of palette 1, with what every machine with tiles has.
        unsafe { asm!("ldtilecfg [{}]", in(reg) config, options(nostack, readonly)) };
    }
}

/// Says that this thread is done with its tile registers, so that nobody has to save them.
///
/// # Safety
/// Tiles must have been [`detected`].
pub(crate) unsafe fn release() {
    if CONFIGURED.replace(0) != 0 {
        // SAFETY: the registers are this thread's, and configured anew before they are used again.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// A product of up to [`ROWS`] rows with [`COLUMNS`] columns. Strides are in words of 4 bytes.
#[repr(C)]
pub(crate) struct Product {
    /// What is added to; rows this far apart, or one for all rows with a stride of 0.
    pub(crate) seed: *const f32,
    pub(crate) seed_stride: usize,
    /// Where the sums go.
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    /// Words of the left side: from one row to the next, and from [`WORDS`] words to the next.
    pub(crate) left: *const u32,
    pub(crate) left_stride: usize,
    pub(crate) left_step: usize,
    /// Words of the right side, a row for each word of the left: pairs that are to be summed over,
    /// a pair for each column.
    pub(crate) right: *const u32,
    pub(crate) right_stride: usize,
    /// How many times [`WORDS`] words are summed over.
    pub(crate) steps: usize,
}

impl Product {
    /// Multiplies `rows` rows.
    ///
    /// # Safety
    /// Tiles must have been [`detected`]; `rows` must be from 1 to [`ROWS`], and all places that the
    /// product speaks of must be readable, those of `out` writable, by nobody else meanwhile.
    pub(crate) unsafe fn run(&self, rows: usize) {
        let place =
            [self.seed as usize, self.seed_stride * 4, self.out as usize, self.out_stride * 4];
        let second_left = self.left.wrapping_add(TILE_ROWS * self.left_stride);
        // SAFETY: tiles are configured for the rows that there are, and every load and store keeps
        // to them; with at most 16 rows the second tile of them is not touched. The compiler uses no
        // tile registers, and nothing else is changed. Rows are read with the hint that they go by,
        // so that the right side, which the next rows meet too, stays in the first-level cache.
        unsafe {
            configure(rows);
            asm!(
                "mov {at}, [{place}]",
                "mov {stride}, [{place} + 8]",
                "tileloadd tmm0, [{at} + {stride}]",
                "tileloadd tmm1, [{at} + {stride} + 64]",
                "cmp {rows}, 16",
                "jbe 4f",
                // Rows 16 and on.
                "mov {rows}, {stride}",
                "shl {rows}, 4",
                "add {at}, {rows}",
                "tileloadd tmm2, [{at} + {stride}]",
                "tileloadd tmm3, [{at} + {stride} + 64]",
                "test {steps}, {steps}",
                "jz 3f",
                "2:",
                "tileloadd tmm6, [{right} + {right_stride}]",
                "tileloaddt1 tmm4, [{left} + {left_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{right} + {right_stride} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloaddt1 tmm5, [{second} + {left_stride}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {right}, {right_step}",
                "add {left}, {left_step}",
                "add {second}, {left_step}",
                "dec {steps}",
                "jnz 2b",
                "3:",
                "mov {at}, [{place} + 16]",
                "mov {stride}, [{place} + 24]",
                "tilestored [{at} + {stride}], tmm0",
                "tilestored [{at} + {stride} + 64], tmm1",
                "mov {rows}, {stride}",
                "shl {rows}, 4",
                "add {at}, {rows}",
                "tilestored [{at} + {stride}], tmm2",
                "tilestored [{at} + {stride} + 64], tmm3",
                "jmp 7f",
                // At most 16 rows.
                "4:",
                "test {steps}, {steps}",
                "jz 6f",
                "5:",
                "tileloadd tmm6, [{right} + {right_stride}]",
                "tileloaddt1 tmm4, [{left} + {left_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{right} + {right_stride} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {right}, {right_step}",
                "add {left}, {left_step}",
                "dec {steps}",
                "jnz 5b",
                "6:",
                "mov {at}, [{place} + 16]",
                "mov {stride}, [{place} + 24]",
                "tilestored [{at} + {stride}], tmm0",
                "tilestored [{at} + {stride} + 64], tmm1",
                "7:",
                place = in(reg) place.as_ptr(),
                left = inout(reg) self.left => _,
                second = inout(reg) second_left => _,
                left_stride = in(reg) self.left_stride * 4,
                left_step = in(reg) self.left_step * 4,
                right = inout(reg) self.right => _,
                right_stride = in(reg) self.right_stride * 4,
                right_step = in(reg) self.right_stride * 4 * WORDS,
                steps = inout(reg) self.steps => _,
                rows = inout(reg) rows => _,
                at = out(reg) _,
                stride = out(reg) _,
                options(nostack),
            );
        }
    }
}
