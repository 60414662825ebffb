//! What the phases cost by their formulas: multiplications and additions, and bytes read.

use crate::visual::VisionModel;
use glm4v_language::{DecoderConfig, HybridConfig, Mixing, MoeConfig};
use glm4v_vision::{EvaClipConfig, Glm4vVisionConfig, TowerFlavour};

/// What a pass costs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Multiplications and additions.
    pub(super) flops: f64,
    /// Weights of layers read, counted once a pass.
    pub(super) weights: f64,
    /// Weights of the head read; they may have more bits than the layers'.
    pub(super) head: f64,
    /// Keys and values read from the cache, counted once for each row of the pass.
    pub(super) cached: f64,
}

/// Of `rows` rows through the decoder after `earlier` ones, and the head on the last row.
pub(super) fn decoder(config: &DecoderConfig, rows: usize, earlier: usize) -> Cost {
    let (hidden, inner) = (config.hidden_size as f64, config.intermediate_size as f64);
    let (q_width, kv_width) =
        ((config.heads * config.head_dim) as f64, (config.kv_heads * config.head_dim) as f64);
    let attention = hidden * (2.0 * q_width + 2.0 * kv_width);
    let (dense_layers, expert_layers) = match &config.moe {
        Some(moe) => {
            let dense = moe.first_k_dense_replace.min(config.layers);
            (dense, config.layers - dense)
        }
        None => (config.layers, 0),
    };
    let used_experts = |moe: &MoeConfig| {
        let experts = moe.num_experts_per_tok + moe.n_shared_experts;
        3.0 * hidden * (experts * moe.moe_intermediate_size) as f64
    };
    let hybrid = config.hybrid.as_ref().map(|hybrid| Mixers::of(config, hybrid));
    let layers = hybrid.as_ref().map_or(config.layers as f64 * attention, |mixers| mixers.weights)
        + dense_layers as f64 * 3.0 * hidden * inner
        + expert_layers as f64 * config.moe.as_ref().map_or(0.0, used_experts);
    let head = hidden * config.vocab_size as f64;
    let (rows, earlier) = (rows as f64, earlier as f64);
    let seen = rows * earlier + rows * (rows + 1.0) / 2.0;
    if let (Some(mixers), Some(hybrid)) = (hybrid, &config.hybrid) {
        let seen = seen.min(rows * (hybrid.indexer.top_k + hybrid.indexer.pool - 1) as f64);
        return Cost {
            flops: 2.0 * (rows * layers + head) + rows * mixers.recurrent + mixers.latent * seen,
            weights: layers,
            head,
            cached: mixers.cached * seen,
        };
    }
    Cost {
        flops: 2.0 * (rows * layers + head) + 4.0 * config.layers as f64 * q_width * seen,
        weights: layers,
        head,
        cached: 2.0 * config.layers as f64 * kv_width * seen,
    }
}

/// What the layers of GLM-5.3-Flash's decoder have in attention's place, all of them together. What
/// the indexer does over its pools and the mixing of streams are small and left out.
struct Mixers {
    /// Weights of the projections.
    weights: f64,
    /// Multiplications and additions of the delta rule, a row.
    recurrent: f64,
    /// Those of attention, a row and key that it sees.
    latent: f64,
    /// Numbers read from the cache, the same.
    cached: f64,
}

impl Mixers {
    fn of(config: &DecoderConfig, hybrid: &HybridConfig) -> Self {
        let hidden = config.hidden_size as f64;
        let layers = |mixing: Mixing| {
            hybrid.layers.iter().filter(|layer| layer.mixing == mixing).count() as f64
        };
        let (linear, indexed, shared) =
            (layers(Mixing::Linear), layers(Mixing::Indexed), layers(Mixing::Shared));
        let (heads, d) = (hybrid.linear.heads as f64, hybrid.linear.head_dim as f64);
        let kda = hidden * (4.0 * heads * d + heads + 2.0 * d) + 2.0 * heads * d * d;
        let size = &hybrid.latent;
        let (q_rank, kv_rank) = (size.q_rank as f64, size.kv_rank as f64);
        let (q_width, v_width) =
            ((size.heads * size.qk_dim) as f64, (size.heads * size.v_dim) as f64);
        let latent = hidden * (q_rank + kv_rank + v_width)
            + q_rank * q_width
            + kv_rank * (q_width + v_width);
        let (heads_of_index, width) = (hybrid.indexer.heads as f64, hybrid.indexer.head_dim as f64);
        let indexer = q_rank * heads_of_index * width + hidden * (2.0 * width + heads_of_index);
        Self {
            weights: linear * kda + (indexed + shared) * latent + indexed * indexer,
            recurrent: linear * 8.0 * heads * d * d,
            latent: (indexed + shared) * 4.0 * size.heads as f64 * kv_rank,
            cached: (indexed + shared) * kv_rank,
        }
    }
}

/// Of `patches` patches of one picture through a tower and its projector, before `decoder`.
pub(super) fn vision(model: &VisionModel, decoder: &DecoderConfig, patches: usize) -> Cost {
    match model {
        VisionModel::SmartResize(vision) => {
            let config = vision.tower.config();
            glm4v_tower(config, vision.tower.flavour(), patches as f64)
        }
        VisionModel::FixedSquare(vision) => {
            eva_clip_tower(vision.tower.config(), decoder, patches as f64)
        }
    }
}

fn glm4v_tower(config: &Glm4vVisionConfig, flavour: TowerFlavour, patches: f64) -> Cost {
    let (hidden, out) = (config.hidden_size as f64, config.out_hidden_size as f64);
    let merge = config.spatial_merge_size.pow(2) as f64;
    let block = 4.0 * hidden * hidden + 3.0 * hidden * config.block_width(flavour) as f64;
    let trunk = hidden * config.patch_width() as f64 + config.depth as f64 * block;
    let projector = out * (merge * hidden + out + 3.0 * config.projector_width(flavour) as f64);
    let attention = 4.0 * config.depth as f64 * patches * patches * hidden;
    Cost {
        flops: 2.0 * patches * (trunk + projector / merge) + attention,
        weights: trunk + projector,
        head: 0.0,
        cached: 0.0,
    }
}

fn eva_clip_tower(config: &EvaClipConfig, decoder: &DecoderConfig, patches: f64) -> Cost {
    let hidden = config.hidden_size as f64;
    let (inner, out) = (decoder.intermediate_size as f64, decoder.hidden_size as f64);
    let patch = (config.in_channels * config.patch_size * config.patch_size) as f64;
    let layer = 4.0 * hidden * hidden + 2.0 * hidden * config.intermediate_size as f64;
    let layers = config.num_hidden_layers as f64;
    let projector = out * (4.0 * hidden + out + 3.0 * inner);
    let rows = patches + 1.0; // the class token
    Cost {
        flops: 2.0 * (rows * layers * layer + patches * (hidden * patch + projector / 4.0))
            + 4.0 * layers * rows * rows * hidden,
        weights: hidden * patch + layers * layer + projector,
        head: 0.0,
        cached: 0.0,
    }
}
