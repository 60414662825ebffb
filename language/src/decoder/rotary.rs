//! The frequencies of rotary positions, with and without YaRN.

use crate::LanguageError;
use glm4v_kernels::RotaryLayout;
use std::f64::consts::PI;

/// How positions turn the channels of a head.
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryConfig {
    /// Base of the frequencies.
    pub base: f64,
    /// Channels of each head that turn.
    pub rotated: usize,
    /// Which channels turn together.
    pub layout: RotaryLayout,
    /// Runs of frequencies that follow time, height, width, time, … ; none when all follow one.
    pub sections: Option<Vec<usize>>,
    /// Slower frequencies for sequences longer than the model was trained on.
    pub yarn: Option<YarnConfig>,
}

/// YaRN (Peng et al. 2023): channels that turn often keep their frequency, those that turn less
/// than once over the trained length are slowed down by `factor`, with a ramp between.
///
/// Source: `_compute_yarn_parameters` in transformers' `modeling_rope_utils.py`.
#[derive(Clone, Debug, PartialEq)]
pub struct YarnConfig {
    /// How many times longer sequences may be.
    pub factor: f64,
    /// The length that the model was trained on, in tokens.
    pub original_length: usize,
    /// What cosines and sines are multiplied by.
    pub attention_factor: f64,
    /// Turns over the trained length above which a channel keeps its frequency; 32 by default.
    pub beta_fast: f64,
    /// Turns below which it is slowed down in full; 1 by default.
    pub beta_slow: f64,
    /// Whether the ends of the ramp are whole channels.
    pub truncate: bool,
}

impl YarnConfig {
    /// The factor for cosines and sines that the paper recommends.
    pub fn default_attention_factor(factor: f64, mscale: f64) -> f64 {
        if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 }
    }

    /// Checks that the numbers can be computed with.
    ///
    /// # Errors
    /// [`LanguageError::Config`], naming the field, when one can't.
    pub fn validate(&self) -> Result<(), LanguageError> {
        let wrong = |field: &str, reason: &str| Err(LanguageError::config(field, reason.into()));
        if !(self.factor >= 1.0 && self.factor <= 1e6) {
            return wrong("factor", "it must be from 1 to a million");
        }
        if self.original_length == 0 {
            return wrong("original_max_position_embeddings", "it is 0");
        }
        if !(self.attention_factor > 0.0 && self.attention_factor.is_finite()) {
            return wrong("attention_factor", "it must be above 0");
        }
        if !(self.beta_slow > 0.0 && self.beta_fast >= self.beta_slow) {
            return wrong("beta_fast", "beta_fast and beta_slow must be above 0 and in this order");
        }
        Ok(())
    }

    /// The ramp's ends among the `rotated / 2` channel pairs.
    fn ramp(&self, base: f64, rotated: usize) -> (f64, f64) {
        let rotated = rotated as f64;
        let pair_of = |turns: f64| {
            let length = self.original_length as f64;
            rotated * (length / (turns * 2.0 * PI)).ln() / (2.0 * base.ln())
        };
        let (low, high) = (pair_of(self.beta_fast), pair_of(self.beta_slow));
        let (low, high) = if self.truncate { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, high) = (low.max(0.0), high.min(rotated - 1.0));
        (low, if low == high { high + 0.001 } else { high })
    }
}

impl RotaryConfig {
    /// The axis (0 time, 1 height, 2 width) that each of the `rotated / 2` frequencies follows.
    pub fn axes(&self) -> Vec<usize> {
        match &self.sections {
            None => vec![0; self.rotated / 2],
            Some(runs) => runs.iter().enumerate().flat_map(|(run, &n)| vec![run % 3; n]).collect(),
        }
    }

    /// The angle a position, in radians, of each of the `rotated / 2` channel pairs: in f32, as
    /// the reference has it, for half precision gets far positions wrong.
    pub fn frequencies(&self) -> Vec<f32> {
        let plain = (0..self.rotated / 2)
            .map(|pair| 1.0 / (self.base as f32).powf((2 * pair) as f32 / self.rotated as f32));
        let Some(yarn) = &self.yarn else { return plain.collect() };
        let (low, high) = yarn.ramp(self.base, self.rotated);
        let slowed = |(pair, frequency): (usize, f32)| {
            let ramp = ((pair as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
            frequency / yarn.factor as f32 * ramp + frequency * (1.0 - ramp)
        };
        plain.enumerate().map(slowed).collect()
    }

    /// What cosines and sines are multiplied by.
    pub fn attention_factor(&self) -> f64 {
        self.yarn.as_ref().map_or(1.0, |yarn| yarn.attention_factor)
    }
}
