//! Kernels for x86-64 with AMX, whose tiles of 16 × 16 sums take a product of 16 × 32 by 32 × 16
//! bf16 values in one instruction (Intel, "Intel 64 and IA-32 Architectures Software Developer's
//! Manual", volume 1, chapter 18).
//!
//! A panel of bf16 weights is already in the order in which the instruction wants its right side.
//! Weights of other forms become bf16, a block of a panel at a time, before many rows meet them:
//! that costs little beside the product, and only activations are rounded further. Products of few
//! rows wait for memory, and are left to the kernels with AVX-512.

use std::arch::asm;
use std::arch::x86_64::*;
use std::cell::Cell;
use std::sync::OnceLock;

use super::amx_widen::{WideBlocks, WideBytes};
use super::gemm::{Product, multiply as gemm};
use super::pack::Line;
use super::{Form, Kernel, PANEL, Tile, avx512, blocks};

/// Inputs that a step multiplies.
pub(super) const STEP: usize = 32;
/// Words of a row in a step.
pub(super) const WORDS: usize = STEP / 2;
/// Rows of one tile register.
const TILE_ROWS: usize = 16;
/// Rows that share their weights: two tile registers of them.
pub(super) const ROWS: usize = 2 * TILE_ROWS;
/// Products of fewer rows go to the kernels with AVX-512.
pub(super) const LEAST_ROWS: usize = 24;
/// Bytes of a line, and of a step of one packed row.
const LINE: usize = 64;

/// Whether this machine has tiles, and its system lets this process use them.
pub(crate) fn detected() -> bool {
    static DETECTED: OnceLock<bool> = OnceLock::new();
    *DETECTED.get_or_init(|| avx512::detected() && has_tiles() && may_use_tiles())
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

/// Computes a product on a machine where tiles were [`detected`].
pub(super) fn multiply(form: Form, product: Product<'_>) {
    assert!(detected(), "the machine must have the instructions");
    // Bytes are padded to whole steps and blocks are whole ones; a panel of bf16 ends with its inputs.
    let whole = form != Form::Bf16 || product.inputs().is_multiple_of(STEP);
    if form == Form::F32 || product.rows() < LEAST_ROWS || !whole {
        return avx512::multiply(form, product);
    }
    match form {
        Form::F32 => unreachable!("sent to AVX-512 above"),
        Form::Bf16 => gemm(&Bf16(()), product),
        // SAFETY: the instructions are there, as asserted above; so in the next four.
        Form::Int8 => gemm(&unsafe { WideBytes::new() }, product),
        // SAFETY: as above.
        Form::Q8_0 => gemm(&unsafe { WideBlocks::<blocks::Q8_0>::new() }, product),
        // SAFETY: as above.
        Form::Q4_0 => gemm(&unsafe { WideBlocks::<blocks::Q4_0>::new() }, product),
        // SAFETY: as above.
        Form::Q4K => gemm(&unsafe { WideBlocks::<blocks::Q4K>::new() }, product),
        // SAFETY: as above.
        Form::Q6K => gemm(&unsafe { WideBlocks::<blocks::Q6K>::new() }, product),
    }
}

/// bf16 weights. Made only where tiles were detected.
struct Bf16(());

impl Kernel for Bf16 {
    const ROWS: usize = ROWS;
    const STEP: usize = STEP;
    const ROW_WORDS: usize = WORDS;
    const LINES: usize = STEP;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { pack(&rows, packed) }
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        // SAFETY: the value exists, so the instructions were detected; whoever made the tile
        // vouches for its places.
        unsafe { tile_bf16(R, rows, panel, tile) }
    }

    fn finish(&self) {
        // SAFETY: the value exists, so tiles were detected.
        unsafe { release() }
    }
}

/// Packs rows rounded to bf16, step after step, in each step row after row. Rows may end before
/// their last step does; what is missing is zeros.
///
/// # Safety
/// The machine must have AVX-512F and AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn pack(rows: &[&[f32]], packed: &mut [u32]) {
    let steps = packed.len() / (WORDS * rows.len().max(1));
    for (r, row) in rows.iter().enumerate() {
        for step in 0..steps {
            let packed = &mut packed[(step * rows.len() + r) * WORDS..][..WORDS];
            let values = row.get(step * STEP..).unwrap_or_default();
            let mut padded = [0.0; STEP];
            let values = values.first_chunk().unwrap_or_else(|| {
                padded[..values.len()].copy_from_slice(values);
                &padded
            });
            // SAFETY: a step has 32 values, and their words are 64 bytes.
            unsafe {
                let low = _mm512_loadu_ps(values.as_ptr());
                let high = _mm512_loadu_ps(values.as_ptr().add(16));
                let words = _mm512_cvtne2ps_pbh(high, low);
                packed.as_mut_ptr().cast::<__m512bh>().write_unaligned(words);
            }
        }
    }
}

/// Multiplies up to [`ROWS`] packed rows with a panel of bf16 weights.
///
/// # Safety
/// The machine must have tiles that this process may use; the tile's places must be readable and
/// writable, and no other task may touch them.
pub(super) unsafe fn tile_bf16(rows: usize, packed: &[u32], panel: &[Line], tile: &Tile) {
    let steps = panel.len() / STEP;
    assert!((1..=ROWS).contains(&rows) && panel.len() == steps * STEP);
    assert_eq!(packed.len(), steps * rows * WORDS, "rows and panel must have the same steps");
    if tile.columns == PANEL {
        // SAFETY: the lengths were checked; there are all columns of the tile's places.
        return unsafe { run(rows, packed, panel, steps, tile) };
    }
    let mut whole = [0.0f32; ROWS * PANEL];
    for row in 0..rows {
        for column in 0..tile.columns {
            // SAFETY: `rows` rows of `columns` values are readable, as the caller vouches.
            whole[row * PANEL + column] =
                unsafe { *tile.seed.add(row * tile.seed_stride + column) };
        }
    }
    let (seed, out) = (whole.as_ptr(), whole.as_mut_ptr());
    let inner = Tile { seed, seed_stride: PANEL, out, stride: PANEL, columns: PANEL };
    // SAFETY: the lengths were checked; the buffer has a row of all columns for each row.
    unsafe { run(rows, packed, panel, steps, &inner) };
    for row in 0..rows {
        for column in 0..tile.columns {
            // SAFETY: `rows` rows of `columns` values are writable, as the caller vouches.
            unsafe { *tile.out.add(row * tile.stride + column) = whole[row * PANEL + column] };
        }
    }
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
    /// Registers 0 to 3 hold sums, 4 and 5 rows, 6 and 7 weights. Each has rows of 64 bytes.
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

/// A configuration of tile registers for all rows.
pub(crate) fn whole_tiles() -> *const u8 {
    (&raw const BY_ROWS[ROWS]).cast()
}

/// What the loop reads from memory, as registers are few.
#[repr(C)]
struct Places {
    /// Sums to begin with and bytes from one row to the next.
    seed: *const f32,
    seed_stride: usize,
    /// Where sums go.
    out: *mut f32,
    stride: usize,
}

thread_local! {
    /// Rows for which this thread has configured its tile registers; 0 when they are unused.
    /// Configuring waits for all earlier tile instructions, a third of a tile's time.
    static CONFIGURED: Cell<usize> = const { Cell::new(0) };
}

/// Configures this thread's tile registers for so many rows.
///
/// # Safety
/// The machine must have tiles that this process may use.
unsafe fn configure(rows: usize) {
    if CONFIGURED.replace(rows) != rows {
        // SAFETY: the configuration is one of palette 1, with what the machine has.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const BY_ROWS[rows], options(nostack, readonly))
        };
    }
}

/// Says that this thread is done with its tile registers, so that nobody has to save them.
///
/// # Safety
/// The machine must have tiles that this process may use.
pub(super) unsafe fn release() {
    if CONFIGURED.replace(0) != 0 {
        // SAFETY: the registers are this thread's, and configured anew before they are used again.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// The product itself: sums stay in tile registers from the first step to the last.
///
/// # Safety
/// The machine must have tiles that this process may use. `packed` must have `steps` steps of
/// `rows` rows and `panel` of a panel, and `tile` all columns of a panel.
unsafe fn run(rows: usize, packed: &[u32], panel: &[Line], steps: usize, tile: &Tile) {
    let places = Places {
        seed: tile.seed,
        seed_stride: tile.seed_stride * 4,
        out: tile.out,
        stride: tile.stride * 4,
    };
    // SAFETY: tiles are configured for the rows that there are, and every load and store keeps to
    // what the caller vouches for: 16 lines of a half panel a step, rows of 64 bytes, and rows of
    // two times 16 sums. With at most 16 rows the second tile of them is not touched. The compiler
    // uses no tile registers, and nothing else is changed.
    unsafe {
        configure(rows);
        asm!(
            "mov {at}, [{places}]",
            "mov {stride}, [{places} + 8]",
            "tileloadd tmm0, [{at} + {stride}]",
            "tileloadd tmm1, [{at} + {stride} + 64]",
            "cmp {rows}, 16",
            "jbe 4f",
            // Rows 16 and on.
            "mov {wide}, {stride}",
            "shl {wide}, 4",
            "add {at}, {wide}",
            "tileloadd tmm2, [{at} + {stride}]",
            "tileloadd tmm3, [{at} + {stride} + 64]",
            "shl {rows}, 6",
            "mov {stride:e}, 64",
            "mov {wide:e}, 128",
            "test {steps}, {steps}",
            "jz 3f",
            "2:",
            "tileloadd tmm6, [{weights} + {wide}]",
            "tileloaddt1 tmm4, [{x} + {stride}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {wide} + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloaddt1 tmm5, [{x} + {stride} + 1024]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {weights}, 2048",
            "add {x}, {rows}",
            "dec {steps}",
            "jnz 2b",
            "3:",
            "mov {at}, [{places} + 16]",
            "mov {stride}, [{places} + 24]",
            "tilestored [{at} + {stride}], tmm0",
            "tilestored [{at} + {stride} + 64], tmm1",
            "mov {wide}, {stride}",
            "shl {wide}, 4",
            "add {at}, {wide}",
            "tilestored [{at} + {stride}], tmm2",
            "tilestored [{at} + {stride} + 64], tmm3",
            "jmp 7f",
            // At most 16 rows.
            "4:",
            "shl {rows}, 6",
            "mov {stride:e}, 64",
            "mov {wide:e}, 128",
            "test {steps}, {steps}",
            "jz 6f",
            "5:",
            "tileloadd tmm6, [{weights} + {wide}]",
            "tileloaddt1 tmm4, [{x} + {stride}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {wide} + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {weights}, 2048",
            "add {x}, {rows}",
            "dec {steps}",
            "jnz 5b",
            "6:",
            "mov {at}, [{places} + 16]",
            "mov {stride}, [{places} + 24]",
            "tilestored [{at} + {stride}], tmm0",
            "tilestored [{at} + {stride} + 64], tmm1",
            "7:",
            places = in(reg) &raw const places,
            weights = inout(reg) panel.as_ptr() => _,
            x = inout(reg) packed.as_ptr() => _,
            steps = inout(reg) steps => _,
            rows = inout(reg) rows => _,
            at = out(reg) _,
            stride = out(reg) _,
            wide = out(reg) _,
            options(nostack),
        );
    }
}
