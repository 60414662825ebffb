//! The choice of the next token.
//!
//! The options mean what they mean in transformers (`generation/logits_process.py`) and act in the
//! same order: repetition penalty, temperature, top-k, top-p, min-p, then one draw.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::LanguageError;

/// How to choose. The default is greedy.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingOptions {
    /// Divisor of the logits, 0 or more; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Keep this many of the likeliest tokens, 1 or more, and those as likely as the last of them.
    pub top_k: Option<usize>,
    /// Keep the likeliest tokens until their probabilities reach this sum, above 0; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the likeliest one, 0 to 1; 0 drops none.
    pub min_p: f32,
    /// Makes tokens of the history less likely when above 1: divides their positive logits and
    /// multiplies their negative ones.
    pub repetition_penalty: f32,
    /// What to do when a logit is NaN or infinite.
    pub invalid_logits: InvalidLogits,
    /// The same seed, options and logits give the same tokens.
    pub seed: u64,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            invalid_logits: InvalidLogits::Refuse,
            seed: 0,
        }
    }
}

/// What to do when a logit is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InvalidLogits {
    /// Fail with [`LanguageError::InvalidLogit`].
    #[default]
    Refuse,
    /// Choose this token. `InvalidScoreLogitsProcessor` in GLM-4V-9B's `modeling_chatglm.py` sets
    /// all logits to 0 and that of its newline, token 198, to 5e4, which leaves no other choice.
    Choose(u32),
}

/// A chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Its id.
    pub token: u32,
    /// Natural logarithm of its probability under the model's own logits, before any option
    /// changed them; NaN when they were invalid.
    pub log_probability: f32,
}

/// Chooses tokens one after another.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplingOptions,
    random: StdRng,
}

impl Sampler {
    /// A sampler at the start of its random sequence.
    ///
    /// # Errors
    /// [`LanguageError::InvalidOption`] when an option is outside its range.
    pub fn new(options: SamplingOptions) -> Result<Self, LanguageError> {
        check(&options)?;
        let random = StdRng::seed_from_u64(options.seed);
        Ok(Self { options, random })
    }

    /// Chooses a token by the model's logits, one for each token of the vocabulary. `history` is
    /// the prompt and the answer so far, which the repetition penalty looks at.
    ///
    /// # Errors
    /// [`LanguageError::NoLogits`] for an empty slice; [`LanguageError::InvalidLogit`] for NaN or
    /// an infinity, unless the options say what to choose then.
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> Result<Choice, LanguageError> {
        self.sample_among(logits, history, |_| true)
    }

    /// Like [`Self::sample`], among the tokens that `allowed` is true for.
    ///
    /// # Errors
    /// As [`Self::sample`]; [`LanguageError::NoLogits`] when no token is allowed.
    pub fn sample_among(
        &mut self,
        logits: &[f32],
        history: &[u32],
        allowed: impl Fn(u32) -> bool,
    ) -> Result<Choice, LanguageError> {
        let mut scores = logits.to_vec();
        penalise(&mut scores, history, self.options.repetition_penalty);
        let invalid = scores.iter().position(|score| !score.is_finite());
        for (token, score) in (0..).zip(&mut scores) {
            if !allowed(token) {
                *score = f32::NEG_INFINITY;
            }
        }
        if scores.iter().all(|score| *score == f32::NEG_INFINITY) {
            return Err(LanguageError::NoLogits);
        }
        let token = match (invalid, self.options.invalid_logits) {
            (None, _) if self.options.temperature == 0.0 => likeliest(&scores)?,
            (None, _) => self.draw(&distribution(&self.options, scores))?,
            (Some(_), InvalidLogits::Choose(token)) => token,
            (Some(token), InvalidLogits::Refuse) => {
                return Err(LanguageError::InvalidLogit { token, value: scores[token] });
            }
        };
        let logit = logits.get(token as usize).copied().unwrap_or(f32::NAN);
        let log_probability = (f64::from(logit) - log_sum_exp(logits)) as f32;
        Ok(Choice { token, log_probability })
    }

    fn draw(&mut self, distribution: &[Candidate]) -> Result<u32, LanguageError> {
        let mut left: f64 = self.random.random();
        for candidate in distribution {
            left -= candidate.probability;
            if left < 0.0 {
                return Ok(candidate.token);
            }
        }
        // Rounding can leave a sliver beyond the last one.
        distribution.last().map(|candidate| candidate.token).ok_or(LanguageError::NoLogits)
    }
}

/// Natural logarithms of the probabilities that `logits` stand for.
pub fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let sum = log_sum_exp(logits);
    logits.iter().map(|logit| (f64::from(*logit) - sum) as f32).collect()
}

/// The `count` likeliest tokens with their log-probabilities, likeliest first; of equals the lower
/// id first.
pub fn top_log_probabilities(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut tokens: Vec<(u32, f32)> = (0..).zip(log_softmax(logits)).collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < tokens.len() {
        tokens.select_nth_unstable_by(count, order);
        tokens.truncate(count);
    }
    tokens.sort_unstable_by(order);
    tokens
}

/// A token that may be drawn.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    score: f32,
    probability: f64,
}

/// The tokens that the options leave, likeliest first, with probabilities that sum to 1.
fn distribution(options: &SamplingOptions, scores: Vec<f32>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = (0..)
        .zip(scores)
        .filter(|(_, score)| *score > f32::NEG_INFINITY) // not allowed
        .map(|(token, score)| Candidate {
            token,
            score: score / options.temperature,
            probability: 0.0,
        })
        .collect();
    if let Some(count) = options.top_k {
        keep_top_k(&mut candidates, count);
    }
    // The reference sorts upwards and keeps the order of equals, so of equals it drops the lower id.
    candidates.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(b.token.cmp(&a.token)));
    softmax(&mut candidates);
    if options.top_p < 1.0 {
        let mut before = 0.0;
        let kept = candidates.iter().take_while(|candidate| {
            let within = before < f64::from(options.top_p);
            before += candidate.probability;
            within
        });
        let kept = kept.count();
        candidates.truncate(kept);
    }
    let least = candidates.first().map_or(0.0, |top| top.probability * f64::from(options.min_p));
    candidates.retain(|candidate| candidate.probability >= least);
    softmax(&mut candidates);
    candidates
}

fn keep_top_k(candidates: &mut Vec<Candidate>, count: usize) {
    if count < candidates.len() {
        let mut scores: Vec<f32> = candidates.iter().map(|candidate| candidate.score).collect();
        let (_, least, _) = scores.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        candidates.retain(|candidate| candidate.score >= *least);
    }
}

/// Sets the probabilities of candidates that are sorted, likeliest first.
fn softmax(candidates: &mut [Candidate]) {
    let top = candidates.first().map_or(0.0, |candidate| f64::from(candidate.score));
    let mut sum = 0.0;
    for candidate in &mut *candidates {
        candidate.probability = (f64::from(candidate.score) - top).exp();
        sum += candidate.probability;
    }
    for candidate in candidates {
        candidate.probability /= sum;
    }
}

/// `RepetitionPenaltyLogitsProcessor`: once for each distinct token of the history.
fn penalise(scores: &mut [f32], history: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    let mut done = vec![false; scores.len()];
    for token in history {
        let index = *token as usize;
        if done.get(index) == Some(&false) {
            done[index] = true;
            let score = &mut scores[index];
            *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
        }
    }
}

/// The token of the highest score; of equals the lowest id.
fn likeliest(scores: &[f32]) -> Result<u32, LanguageError> {
    let best = (0u32..).zip(scores).reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(token, _)| token).ok_or(LanguageError::NoLogits)
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - top).exp()).sum();
    f64::from(top) + sum.ln()
}

fn check(options: &SamplingOptions) -> Result<(), LanguageError> {
    let top_k = options.top_k.map_or(1.0, |count| count as f32);
    let rules = [
        ("temperature", options.temperature, 0.0..=f32::MAX, "0 or more"),
        ("top_k", top_k, 1.0..=f32::MAX, "1 or more"),
        ("top_p", options.top_p, f32::MIN_POSITIVE..=1.0, "above 0 and at most 1"),
        ("min_p", options.min_p, 0.0..=1.0, "from 0 to 1"),
        ("repetition_penalty", options.repetition_penalty, f32::MIN_POSITIVE..=f32::MAX, "above 0"),
    ];
    match rules.into_iter().find(|(_, value, range, _)| !range.contains(value)) {
        Some((name, value, _, expected)) => {
            Err(LanguageError::InvalidOption { name, value, expected })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
