//! The mixture of experts in the MLP's place (GLM-4.5V, GLM-4.6V).
//!
//! Source: transformers `Glm4vMoeTextMoE`, `Glm4vMoeTextTopkRouter`.

use super::DecoderConfig;
use super::config::MoeConfig;
use super::mlp::Mlp;
use super::names::MlpNames;
use crate::LanguageError;
use candle_core::{DType, Result, Tensor};
use glm4v_kernels::Linear;
use glm4v_weights::Weights;

/// A router, the experts it chooses among for each row, and a shared one for every row.
#[derive(Debug)]
pub(super) struct Moe {
    config: MoeConfig,
    /// In f32, whatever the other weights are: a rounded score chooses another expert.
    router: Linear,
    /// Added to the scores for the choice, not for the weights.
    correction: Vec<f32>,
    experts: Vec<Mlp>,
    shared: Mlp,
}

/// The rows that an expert was chosen for, and the weight of its output in each.
#[derive(Clone, Debug, Default)]
struct Assignment {
    rows: Vec<u32>,
    weights: Vec<f32>,
}

impl Moe {
    /// Reads the tensors below a layer's `mlp.`.
    pub(super) fn load(
        config: &DecoderConfig,
        moe: &MoeConfig,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let (hidden, inner, experts) =
            (config.hidden_size, moe.moe_intermediate_size, moe.n_routed_experts);
        let router = weights.pp("gate");
        let correction = router.tensor_as("e_score_correction_bias", experts, DType::F32)?;
        let mlp = |inner, weights: &Weights| {
            Mlp::load((hidden, inner), config.swiglu_limit, MlpNames::EXPERT, weights)
        };
        let expert = |i| mlp(inner, &weights.pp("experts").pp(i));
        Ok(Self {
            router: Linear::new(router.tensor_as("weight", (experts, hidden), DType::F32)?, None),
            correction: correction.to_vec1()?,
            experts: (0..experts).map(expert).collect::<std::result::Result<_, _>>()?,
            shared: mlp(inner * moe.n_shared_experts, &weights.pp("shared_experts"))?,
            config: moe.clone(),
        })
    }

    /// `x` `(length, hidden)` to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = self.shared.forward(x)?;
        for (expert, Assignment { rows, weights }) in self.experts.iter().zip(self.route(x)?) {
            if rows.is_empty() {
                continue;
            }
            let weights = Tensor::from_vec(weights, (rows.len(), 1), x.device())?;
            let rows = Tensor::new(rows, x.device())?;
            let out = expert.forward(&x.index_select(&rows, 0)?)?; // (rows, hidden)
            y = y.index_add(&rows, &out.broadcast_mul(&weights.to_dtype(x.dtype())?)?, 0)?;
        }
        Ok(y)
    }

    /// What each expert has to do for the rows of `x`.
    fn route(&self, x: &Tensor) -> Result<Vec<Assignment>> {
        let scores = candle_nn::ops::sigmoid(&self.router.forward(&x.to_dtype(DType::F32)?)?)?;
        let mut assignments = vec![Assignment::default(); self.experts.len()];
        for (row, scores) in scores.to_vec2::<f32>()?.iter().enumerate() {
            for (expert, weight) in self.config.choose(scores, &self.correction) {
                if let Some(assignment) = assignments.get_mut(expert) {
                    assignment.rows.push(row as u32);
                    assignment.weights.push(weight);
                }
            }
        }
        Ok(assignments)
    }
}

impl MoeConfig {
    /// The experts of one row, and their weights: the best by corrected score among the best
    /// groups, a group being as good as its best two; weighted by their scores without correction.
    fn choose(&self, scores: &[f32], correction: &[f32]) -> Vec<(usize, f32)> {
        let corrected: Vec<f32> = scores.iter().zip(correction).map(|(s, c)| s + c).collect();
        let group_size = (corrected.len() / self.n_group.max(1)).max(1);
        let group_scores: Vec<f32> = corrected
            .chunks(group_size)
            .map(|group| best(group, 2).iter().filter_map(|&i| group.get(i)).sum())
            .collect();
        let groups = best(&group_scores, self.topk_group);
        let open = |(i, &score): (usize, &f32)| {
            if groups.contains(&(i / group_size)) { score } else { f32::NEG_INFINITY }
        };
        let open: Vec<f32> = corrected.iter().enumerate().map(open).collect();
        let chosen = best(&open, self.num_experts_per_tok);
        let weight = |&i: &usize| Some((i, *scores.get(i)?));
        let mut chosen: Vec<(usize, f32)> = chosen.iter().filter_map(weight).collect();
        let sum: f32 = chosen.iter().map(|(_, weight)| weight).sum();
        let divisor = if self.norm_topk_prob { sum + 1e-20 } else { 1.0 };
        for (_, weight) in &mut chosen {
            *weight = *weight / divisor * self.routed_scaling_factor;
        }
        chosen
    }
}

/// The places of the `count` largest scores, largest first.
fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<(usize, &f32)> = scores.iter().enumerate().collect();
    places.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    places.into_iter().take(count).map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(n_group: usize, topk_group: usize, num_experts_per_tok: usize) -> MoeConfig {
        MoeConfig { n_group, topk_group, num_experts_per_tok, ..MoeConfig::default() }
    }

    #[test]
    fn the_correction_chooses_and_does_not_weigh() {
        let chosen = config(1, 1, 2).choose(&[0.9, 0.2, 0.6, 0.5], &[0.0, 1.0, 0.0, 0.0]);
        let weights = [(1, 0.2 / 1.1), (0, 0.9 / 1.1)];
        for ((expert, weight), (expected, share)) in chosen.iter().zip(weights) {
            assert_eq!(*expert, expected);
            assert!((weight - share).abs() < 1e-6, "{weight} {share}");
        }
    }

    #[test]
    fn weights_are_scaled_and_left_unnormalised_when_the_config_says_so() {
        let config =
            MoeConfig { norm_topk_prob: false, routed_scaling_factor: 2.0, ..config(1, 1, 1) };
        assert_eq!(config.choose(&[0.25, 0.75], &[0.0, 0.0]), [(1, 1.5)]);
    }

    #[test]
    fn experts_outside_the_best_groups_are_closed() {
        // The best single expert, 4, is in a group whose second one makes it worse than the others.
        let scores = [0.6, 0.5, 0.1, 0.55, 0.7, 0.0];
        let places = |config: MoeConfig| -> Vec<usize> {
            config.choose(&scores, &[0.0; 6]).iter().map(|(expert, _)| *expert).collect()
        };
        assert_eq!(places(config(3, 1, 2)), [0, 1]);
        assert_eq!(places(config(3, 2, 2)), [4, 0]);
        // Even when nothing open is better than 0 by its corrected score.
        let lowered = config(3, 1, 2).choose(&scores, &[-1.0; 6]);
        assert_eq!(lowered.iter().map(|(expert, _)| *expert).collect::<Vec<_>>(), [0, 1]);
    }
}
