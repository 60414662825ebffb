//! Whether a model's weights fit, found out before they are read.

use crate::{DeviceChoice, FusionError, LoadOptions};
use candle_core::DType;
use glm4v_weights::{Checkpoint, Summary};

const MIB: u64 = 1 << 20;

/// Refuses a model whose weights, loaded as `dtype`, take more than `max_memory` or, on a CPU,
/// more than the machine has free.
pub(crate) fn check(
    checkpoint: &Checkpoint,
    name: &str,
    dtype: DType,
    options: &LoadOptions,
) -> Result<(), FusionError> {
    let free = if options.device == DeviceChoice::Cpu { available_memory() } else { None };
    let Some(available) = options.max_memory.or(free) else { return Ok(()) };
    let needed = Summary::of(checkpoint).bytes_as(dtype);
    if needed <= available {
        return Ok(());
    }
    let remedy = match dtype {
        DType::F32 => {
            "load it as --dtype bf16, which halves that, or use a machine with more memory"
        }
        _ => "use a machine with more memory",
    };
    Err(FusionError::NotEnoughMemory {
        model: name.to_owned(),
        needed: needed / MIB,
        dtype: dtype.as_str(),
        available: available / MIB,
        remedy,
    })
}

/// Bytes that programs can still take, where the system says so (Linux).
fn available_memory() -> Option<u64> {
    let report = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = report.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
