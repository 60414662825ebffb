//! How near two tensors must be, and where they first are not.

use crate::FusionError;
use candle_core::{DType, Tensor};
use serde::Serialize;

/// Bound on stages that have seen pixels, times max(1, RMS of the reference).
pub(super) const VISION_BOUND: f64 = 5e-4;
/// Bound on stages that have seen text alone, times the same.
pub(super) const TEXT_BOUND: f64 = 1e-4;
/// Share of pixel values that must be equal, beside the bound in grey levels.
const EQUAL_PIXELS: f64 = 0.999;

/// One stage held against its reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageReport {
    /// The stage's name, as the reference has it.
    pub stage: String,
    /// Values compared.
    pub values: usize,
    /// Largest absolute error; for ids and other whole things, how many differ.
    pub max_error: f64,
    /// The same, relative to the RMS of the reference.
    pub max_relative_error: f64,
    /// The root of the mean square of the differences; of whole things, each differs by 0 or 1.
    pub rms_error: f64,
    /// The largest absolute error that passes.
    pub bound: f64,
    /// Whether the stage passed.
    pub passed: bool,
    /// The first place that differs by more than the bound, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_difference: Option<String>,
    /// How far the distributions lie apart, where the values are logits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub divergence: Option<Divergence>,
}

/// How far the distributions over the next token lie from the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Divergence {
    /// Rows compared.
    pub rows: usize,
    /// Kullback-Leibler divergence KL(reference ‖ ours) in nats, the mean over the rows.
    pub kl: f64,
    /// Share of rows whose likeliest token is the reference's.
    pub top1: f64,
}

impl Divergence {
    /// Compares logits `(rows, vocabulary)`.
    ///
    /// # Errors
    /// When the shapes differ, or there are no rows.
    pub fn of(found: &Tensor, reference: &Tensor) -> Result<Self, FusionError> {
        let rows = |logits: &Tensor| -> Result<Vec<Vec<f64>>, FusionError> {
            Ok(logits.to_dtype(DType::F64)?.to_vec2()?)
        };
        let (found, reference) = (rows(found)?, rows(reference)?);
        let same = found.iter().map(Vec::len).eq(reference.iter().map(Vec::len));
        if !same || reference.iter().all(Vec::is_empty) {
            return Err(candle_core::Error::Msg("logits of different shapes".into()).into());
        }
        let (mut kl, mut agreed) = (0.0, 0);
        for (found, reference) in found.iter().zip(&reference) {
            let (q, p) = (log_softmax(found), log_softmax(reference));
            kl += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            agreed += usize::from(largest(found) == largest(reference));
        }
        let rows = reference.len();
        Ok(Self { rows, kl: kl / rows as f64, top1: agreed as f64 / rows as f64 })
    }
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    logits.iter().map(|logit| logit - most - sum.ln()).collect()
}

/// The place of the largest logit.
fn largest(logits: &[f64]) -> Option<usize> {
    let places = logits.iter().enumerate();
    places.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place)
}

/// Floats within `bound · max(1, RMS of the reference)`.
pub(super) fn floats(
    stage: &str,
    found: &Tensor,
    reference: &Tensor,
    bound: f64,
) -> Result<StageReport, FusionError> {
    let (found_values, values) = (flat(found)?, flat(reference)?);
    if found_values.len() != values.len() {
        return Ok(misshapen(stage, found, reference));
    }
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        let reason = "the reference is empty, or has values that are not finite";
        return Ok(failed(stage, reason.into()));
    }
    let bound = bound * rms(&values).max(1.0);
    Ok(measure(stage, &found_values, &values, bound))
}

/// Normalised pixels within `levels` grey levels of 8 bits, and nearly all equal. `step` is the
/// size of one grey level of each channel after normalisation; `channel_of` finds a value's channel.
pub(super) fn pixels(
    stage: &str,
    found: &Tensor,
    reference: &Tensor,
    levels: f64,
    steps: &[f64],
    channel_of: impl Fn(usize) -> usize,
) -> Result<StageReport, FusionError> {
    let (found_values, values) = (flat(found)?, flat(reference)?);
    if found_values.len() != values.len() {
        return Ok(misshapen(stage, found, reference));
    }
    let in_levels = |values: &[f64]| -> Vec<f64> {
        let level = |(at, value): (usize, &f64)| {
            value / steps.get(channel_of(at)).copied().unwrap_or(f64::NAN)
        };
        values.iter().enumerate().map(level).collect()
    };
    let (found_levels, levels_wanted) = (in_levels(&found_values), in_levels(&values));
    // Normalisation in f32 moves a value by far less than a hundredth of a level.
    let mut report = measure(stage, &found_levels, &levels_wanted, levels + 0.01);
    let equal =
        found_levels.iter().zip(&levels_wanted).filter(|(a, b)| (*a - *b).abs() < 0.5).count();
    if levels <= 1.0 && (equal as f64) < EQUAL_PIXELS * values.len() as f64 {
        report.passed = false;
        report.first_difference =
            Some(format!("only {equal} of {} values are equal", values.len()));
    }
    Ok(report)
}

/// Whole things that must be equal: ids, positions, grids.
pub(super) fn equal<T: PartialEq + std::fmt::Debug>(
    stage: &str,
    found: &[T],
    reference: &[T],
) -> StageReport {
    let differ = found.iter().zip(reference).filter(|(a, b)| a != b).count()
        + found.len().abs_diff(reference.len());
    let first = found.iter().zip(reference).position(|(a, b)| a != b);
    let first_difference = match first {
        Some(at) => {
            Some(format!("at {at}: {:?}, the reference has {:?}", found.get(at), reference.get(at)))
        }
        None if differ > 0 => {
            Some(format!("{} values, the reference has {}", found.len(), reference.len()))
        }
        None => None,
    };
    StageReport {
        stage: stage.to_owned(),
        values: reference.len(),
        max_error: differ as f64,
        max_relative_error: differ as f64 / reference.len().max(1) as f64,
        rms_error: (differ as f64 / reference.len().max(1) as f64).sqrt(),
        bound: 0.0,
        passed: differ == 0,
        first_difference,
        divergence: None,
    }
}

/// A stage that could not be run at all.
pub(super) fn failed(stage: &str, reason: String) -> StageReport {
    StageReport {
        stage: stage.to_owned(),
        values: 0,
        max_error: f64::INFINITY,
        max_relative_error: f64::INFINITY,
        rms_error: f64::INFINITY,
        bound: 0.0,
        passed: false,
        first_difference: Some(reason),
        divergence: None,
    }
}

fn measure(stage: &str, found: &[f64], reference: &[f64], bound: f64) -> StageReport {
    let errors: Vec<f64> = found.iter().zip(reference).map(|(a, b)| (a - b).abs()).collect();
    // `max` skips NaN, which must not pass.
    let max_error = errors
        .iter()
        .copied()
        .fold(0.0, |most: f64, e| if e.is_nan() { f64::INFINITY } else { most.max(e) });
    let first = errors.iter().position(|error| error.is_nan() || *error > bound);
    StageReport {
        stage: stage.to_owned(),
        values: reference.len(),
        max_error,
        max_relative_error: max_error / rms(reference).max(f64::MIN_POSITIVE),
        rms_error: if max_error.is_finite() { rms(&errors) } else { f64::INFINITY },
        bound,
        passed: first.is_none(),
        first_difference: first.and_then(|at| {
            Some(format!("at {at}: {}, the reference has {}", found.get(at)?, reference.get(at)?))
        }),
        divergence: None,
    }
}

fn misshapen(stage: &str, found: &Tensor, reference: &Tensor) -> StageReport {
    failed(stage, format!("shape {:?}, the reference has {:?}", found.dims(), reference.dims()))
}

fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

fn flat(tensor: &Tensor) -> Result<Vec<f64>, FusionError> {
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}
