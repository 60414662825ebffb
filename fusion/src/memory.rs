//! Whether a model's weights fit, found out before they are read.

use crate::quantise::loaded_as;
use crate::{DeviceChoice, FusionError, LoadOptions};
use candle_core::DType;
use glm4v_weights::{BlockType, Checkpoint, Quantisation, StoredDtype, StoredType, TensorInfo};

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
    let needed = needed(checkpoint, dtype, options.quant.map(Quantisation::blocks));
    if needed <= available {
        return Ok(());
    }
    let remedy = match (options.quant, dtype) {
        (None, DType::F32) => {
            "load it as --dtype bf16, which halves that, or as --quant q8_0 or q4_k, which take a \
             quarter or a seventh"
        }
        (None, _) => "load it as --quant q8_0 or q4_k, which take a half or a third of bf16",
        (Some(_), _) => "take --quant q4_k, or a machine with more memory",
    };
    Err(FusionError::NotEnoughMemory {
        model: name.to_owned(),
        needed: needed / MIB,
        dtype: options.quant.map_or(dtype.as_str(), Quantisation::name),
        available: available / MIB,
        remedy,
    })
}

/// Bytes that a model's tensors take in memory, loaded as `dtype` and quantised to `quant`.
pub fn needed(checkpoint: &Checkpoint, dtype: DType, quant: Option<BlockType>) -> u64 {
    let plain = match dtype {
        DType::F32 => StoredDtype::F32,
        _ => StoredDtype::BF16,
    };
    let bytes = |tensor: &TensorInfo| {
        let count: u64 = tensor.shape.iter().map(|&size| size as u64).product();
        match loaded_as(tensor, quant, StoredType::Plain(plain)) {
            StoredType::Blocks(blocks) => blocks.bytes(count),
            stored if stored.is_float() => count * dtype.size_in_bytes() as u64,
            _ => tensor.bytes as u64,
        }
    };
    checkpoint.tensors().map(bytes).sum()
}

/// Bytes that programs can still take, where the system says so (Linux).
pub fn available_memory() -> Option<u64> {
    let report = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = report.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
