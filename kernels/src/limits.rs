//! What this machine can do at most, measured by loops that do nothing else.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::pages::ask_for_large_pages;
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// Each loop is timed this often, and the best counts: a limit is what nothing disturbed.
const ROUNDS: usize = 7;
/// Passes over the accumulators in one timing.
const STEPS: usize = 1 << 20;
/// Independent sums in flight: enough to hide the latency of two units of four cycles each.
#[cfg(not(target_arch = "aarch64"))]
const SUMS: usize = 12;
/// Bytes of the buffer that is read; far more than a last-level cache holds.
const READ_BYTES: usize = 256 << 20;

/// What the threads of the global pool reach together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Threads that were measured together.
    pub threads: usize,
    /// Multiplications and additions of f32 a second, by fused multiply-adds.
    pub f32: f64,
    /// The same of bf16 with sums in f32, where the processor has such an instruction; where products
    /// of f16 are faster, of these, in which bf16 is multiplied then.
    pub bf16: Option<f64>,
    /// The same of 8-bit integers with sums in 32 bits, where the processor has such an instruction.
    pub int8: Option<f64>,
    /// Bytes read from memory a second.
    pub read: f64,
}

impl Limits {
    /// Measures all of them, which takes about a second.
    pub fn measure() -> Self {
        Self {
            threads: rayon::current_num_threads(),
            f32: measure_f32(),
            bf16: measure_bf16(),
            int8: measure_int8(),
            read: measure_read(),
        }
    }
}

/// How often a second all threads together do what one run of `work` does `count` times.
fn rate(count: usize, work: impl Fn() + Sync) -> f64 {
    let timing = |_| {
        let started = Instant::now();
        let threads = rayon::broadcast(|_| work()).len();
        (threads * count) as f64 / started.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(timing).fold(0.0, f64::max)
}

fn measure_f32() -> f64 {
    #[cfg(target_arch = "x86_64")]
    if let Some(rate) = x86::f32_rate() {
        return rate;
    }
    #[cfg(target_arch = "aarch64")]
    return arm::f32_rate();
    #[cfg(not(target_arch = "aarch64"))]
    plain_f32_rate()
}

/// The same in plain Rust.
#[cfg(not(target_arch = "aarch64"))]
fn plain_f32_rate() -> f64 {
    const LANES: usize = 8;
    rate(2 * STEPS * SUMS * LANES, || {
        let (a, b) = (black_box(1.25f32), black_box(-0.5f32));
        let mut sums = [[a; LANES]; SUMS];
        for _ in 0..STEPS {
            for sum in sums.iter_mut().flatten() {
                *sum += a * b;
            }
        }
        black_box(sums);
    })
}

fn measure_bf16() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    return x86::bf16_rate();
    #[cfg(target_arch = "aarch64")]
    return arm::bf16_rate();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    None
}

fn measure_int8() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    return x86::int8_rate();
    #[cfg(target_arch = "aarch64")]
    return arm::int8_rate();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    None
}

fn measure_read() -> f64 {
    let mut buffer: Vec<u64> = Vec::with_capacity(READ_BYTES / 8);
    ask_for_large_pages(buffer.spare_capacity_mut()); // as weights are kept
    buffer.par_extend((0..(READ_BYTES / 8) as u64).into_par_iter());
    let share = buffer.len().div_ceil(rayon::current_num_threads());
    let timing = |_| {
        let started = Instant::now();
        let sum: u64 = buffer.par_chunks(share).map(sum).reduce(|| 0, u64::wrapping_add);
        black_box(sum);
        READ_BYTES as f64 / started.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(timing).fold(0.0, f64::max)
}

fn sum(values: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = x86::sum(values) {
        return sum;
    }
    sum_in_lanes(values)
}

/// A sum in so many lanes that memory, and not addition, is what it waits for.
#[inline(always)]
fn sum_in_lanes(values: &[u64]) -> u64 {
    const LANES: usize = 64;
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0u64; LANES];
    for block in blocks {
        for (sum, value) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(*value);
        }
    }
    sums.iter().chain(rest).fold(0, |sum, value| sum.wrapping_add(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_whole() {
        let values: Vec<u64> = (0..1000).collect();
        for length in [0, 1, 63, 64, 65, 1000] {
            let values = &values[..length];
            assert_eq!(sum(values), values.iter().sum::<u64>());
        }
    }

    #[test]
    fn every_limit_is_a_positive_number() {
        let limits = Limits::measure();
        assert_eq!(limits.threads, rayon::current_num_threads());
        for rate in [Some(limits.f32), limits.bf16, limits.int8, Some(limits.read)] {
            assert!(rate.is_none_or(|rate| rate.is_finite() && rate > 0.0), "{limits:?}");
        }
    }
}
