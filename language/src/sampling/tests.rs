use proptest::prelude::*;

use super::{
    Candidate, InvalidLogits, Sampler, SamplingOptions, distribution, likeliest, penalise,
};
use crate::{LanguageError, log_softmax, top_log_probabilities};

fn tokens(candidates: &[Candidate]) -> Vec<u32> {
    let mut tokens: Vec<u32> = candidates.iter().map(|candidate| candidate.token).collect();
    tokens.sort_unstable();
    tokens
}

fn drawing(temperature: f32) -> SamplingOptions {
    SamplingOptions { temperature, ..SamplingOptions::default() }
}

/// Transformers' warpers as they are written there: over the whole vocabulary, dropped tokens at
/// minus infinity, sorted upwards.
fn reference(options: &SamplingOptions, logits: &[f32]) -> Vec<f64> {
    let mut scores: Vec<f32> = logits.iter().map(|logit| logit / options.temperature).collect();
    let softmax = |scores: &[f32]| -> Vec<f64> {
        let weights: Vec<f64> = scores.iter().map(|score| f64::from(*score).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    };
    if let Some(k) = options.top_k {
        let mut sorted = scores.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let least = sorted[k.min(sorted.len()) - 1];
        scores.iter_mut().filter(|score| **score < least).for_each(|s| *s = f32::NEG_INFINITY);
    }
    if options.top_p < 1.0 {
        let probabilities = softmax(&scores);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let mut sum = 0.0;
        for index in &order[..order.len() - 1] {
            sum += probabilities[*index];
            if sum <= 1.0 - f64::from(options.top_p) {
                scores[*index] = f32::NEG_INFINITY;
            }
        }
    }
    let probabilities = softmax(&scores);
    let top = probabilities.iter().copied().fold(0.0, f64::max);
    for (score, probability) in scores.iter_mut().zip(&probabilities) {
        if *probability < top * f64::from(options.min_p) {
            *score = f32::NEG_INFINITY;
        }
    }
    softmax(&scores)
}

#[test]
fn drops_what_transformers_drops() {
    // probabilities 0.4, 0.3, 0.2, 0.1
    let logits: Vec<f32> = [0.1f32, 0.4, 0.3, 0.2].iter().map(|p| p.ln()).collect();
    let kept = |options: SamplingOptions| tokens(&distribution(&options, logits.clone()));
    assert_eq!(kept(drawing(1.0)), [0, 1, 2, 3]);
    assert_eq!(kept(SamplingOptions { top_k: Some(2), ..drawing(1.0) }), [1, 2]);
    assert_eq!(kept(SamplingOptions { top_p: 0.65, ..drawing(1.0) }), [1, 2]);
    assert_eq!(kept(SamplingOptions { top_p: 0.75, ..drawing(1.0) }), [1, 2, 3]);
    assert_eq!(kept(SamplingOptions { top_p: 0.01, ..drawing(1.0) }), [1]);
    assert_eq!(kept(SamplingOptions { min_p: 0.6, ..drawing(1.0) }), [1, 2]);
    // Top-p acts on what top-k left: 4/7 and 3/7, so 0.5 keeps one token.
    let both = SamplingOptions { top_k: Some(2), top_p: 0.5, ..drawing(1.0) };
    assert_eq!(kept(both), [1]);
    // A high temperature flattens before top-p counts.
    assert_eq!(kept(SamplingOptions { top_p: 0.65, ..drawing(100.0) }), [1, 2, 3]);
    // Top-k keeps all that equal the last.
    let equal = SamplingOptions { top_k: Some(1), ..drawing(1.0) };
    assert_eq!(tokens(&distribution(&equal, vec![2.0, 1.0, 2.0])), [0, 2]);
}

#[test]
fn repetition_penalty_acts_once_and_by_sign() {
    let mut scores = [2.0, -2.0, 1.0];
    penalise(&mut scores, &[0, 1, 1, 0, 77], 2.0);
    assert_eq!(scores, [1.0, -4.0, 1.0]);

    let options = SamplingOptions { repetition_penalty: 3.0, ..SamplingOptions::default() };
    let choice = Sampler::new(options).unwrap().sample(&[2.0, -2.0, 1.0], &[0]).unwrap();
    assert_eq!(choice.token, 2);
    // The probability is the model's, not the one after the penalty.
    assert!((choice.log_probability - log_softmax(&[2.0, -2.0, 1.0])[2]).abs() < 1e-6);
}

#[test]
fn invalid_logits_are_an_error_or_a_fixed_token() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let logits = [0.0, 1.0, value, 2.0];
        let mut sampler = Sampler::new(SamplingOptions::default()).unwrap();
        let error = sampler.sample(&logits, &[]).unwrap_err();
        assert!(matches!(error, LanguageError::InvalidLogit { token: 2, .. }), "{error}");

        let invalid_logits = InvalidLogits::Choose(1);
        let mut sampler = Sampler::new(SamplingOptions { invalid_logits, ..drawing(0.8) }).unwrap();
        assert_eq!(sampler.sample(&logits, &[]).unwrap().token, 1);
    }
    let mut sampler = Sampler::new(drawing(1.0)).unwrap();
    assert!(matches!(sampler.sample(&[], &[]), Err(LanguageError::NoLogits)));
}

#[test]
fn options_out_of_range_are_refused() {
    let wrong = [
        SamplingOptions { temperature: -1.0, ..drawing(1.0) },
        SamplingOptions { temperature: f32::NAN, ..drawing(1.0) },
        SamplingOptions { temperature: f32::INFINITY, ..drawing(1.0) },
        SamplingOptions { top_k: Some(0), ..drawing(1.0) },
        SamplingOptions { top_p: 0.0, ..drawing(1.0) },
        SamplingOptions { top_p: 1.5, ..drawing(1.0) },
        SamplingOptions { min_p: -0.1, ..drawing(1.0) },
        SamplingOptions { repetition_penalty: 0.0, ..drawing(1.0) },
    ];
    for options in wrong {
        let error = Sampler::new(options.clone()).unwrap_err();
        assert!(matches!(error, LanguageError::InvalidOption { .. }), "{options:?}: {error}");
    }
}

#[test]
fn draws_follow_the_distribution() {
    let probabilities = [0.5f32, 0.3, 0.15, 0.05];
    let logits: Vec<f32> = probabilities.iter().map(|p| p.ln()).collect();
    let mut sampler = Sampler::new(SamplingOptions { seed: 7, ..drawing(1.0) }).unwrap();
    let mut counts = [0u32; 4];
    for _ in 0..20_000 {
        counts[sampler.sample(&logits, &[]).unwrap().token as usize] += 1;
    }
    for (count, probability) in counts.iter().zip(probabilities) {
        // Six standard deviations at most.
        assert!((*count as f32 / 20_000.0 - probability).abs() < 0.022, "{counts:?}");
    }
}

prop_compose! {
    fn any_logits()(logits in proptest::collection::vec(-12.0f32..12.0, 1..60)) -> Vec<f32> { logits }
}

prop_compose! {
    fn any_options()(
        temperature in 0.1f32..3.0,
        top_k in proptest::option::of(1usize..70),
        top_p in prop_oneof![Just(1.0f32), 0.01f32..1.0],
        min_p in prop_oneof![Just(0.0f32), 0.0f32..1.0],
        seed: u64,
    ) -> SamplingOptions {
        SamplingOptions { temperature, top_k, top_p, min_p, seed, ..SamplingOptions::default() }
    }
}

proptest! {
    #[test]
    fn distributions_are_the_references(logits in any_logits(), options in any_options()) {
        let expected = reference(&options, &logits);
        let found = distribution(&options, logits.clone());
        let sum: f64 = found.iter().map(|candidate| candidate.probability).sum();
        prop_assert!((sum - 1.0).abs() < 1e-9);
        let kept: Vec<u32> =
            (0..).zip(&expected).filter(|(_, p)| **p > 0.0).map(|(token, _)| token).collect();
        prop_assert_eq!(tokens(&found), kept);
        for candidate in found {
            let expected = expected[candidate.token as usize];
            prop_assert!((candidate.probability - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn greedy_takes_the_likeliest(logits in any_logits(), seed: u64) {
        let top = logits.iter().copied().fold(f32::MIN, f32::max);
        let expected = logits.iter().position(|logit| *logit == top).unwrap() as u32;
        prop_assert_eq!(likeliest(&logits).unwrap(), expected);
        let greedy = SamplingOptions { seed, ..SamplingOptions::default() };
        prop_assert_eq!(Sampler::new(greedy).unwrap().sample(&logits, &[]).unwrap().token, expected);
        let top_1 = SamplingOptions { top_k: Some(1), seed, ..drawing(1.0) };
        let token = Sampler::new(top_1).unwrap().sample(&logits, &[]).unwrap().token;
        prop_assert_eq!(logits[token as usize], top);
    }

    #[test]
    fn a_seed_repeats(logits in any_logits(), options in any_options()) {
        let run = || {
            let mut sampler = Sampler::new(options.clone()).unwrap();
            let draw = |_| sampler.sample(&logits, &[]).unwrap();
            (0..20).map(draw).collect::<Vec<_>>()
        };
        let first = run();
        prop_assert_eq!(&first, &run());
        let allowed = tokens(&distribution(&options, logits.clone()));
        let probabilities = log_softmax(&logits);
        for choice in first {
            prop_assert!(allowed.contains(&choice.token));
            let expected = probabilities[choice.token as usize];
            prop_assert!((choice.log_probability - expected).abs() < 1e-4);
        }
    }

    #[test]
    fn log_probabilities_are_sorted_and_sum_to_one(logits in any_logits(), count in 0usize..70) {
        let sum: f64 = log_softmax(&logits).iter().map(|log| f64::from(*log).exp()).sum();
        prop_assert!((sum - 1.0).abs() < 1e-5);
        let top = top_log_probabilities(&logits, count);
        prop_assert_eq!(top.len(), count.min(logits.len()));
        prop_assert!(top.is_sorted_by(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0)));
        if let Some(first) = top.first() {
            prop_assert_eq!(first.0, likeliest(&logits).unwrap());
        }
    }
}
