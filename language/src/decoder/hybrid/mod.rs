//! The decoder of GLM-5.3-Flash: most layers have linear attention (KDA) over a recurrent state, the
//! others latent attention over the keys that an indexer chooses (DSA), and the residual runs in
//! several streams (hyper-connections). Rows have no positions but by their order.
//!
//! Source: transformers `Glm5NextTextModel` (`modeling_glm5_next.py`, 5.24).

mod config;
mod indexer;
mod latent;
mod linear;
mod state;
mod streams;
mod text_config;

pub use config::{
    HybridConfig, HybridLayerConfig, IndexerConfig, LatentAttentionConfig, LinearAttentionConfig,
    Mixing, StreamsConfig,
};
pub(super) use state::{LatentCache, LatentMark, RecurrentState};
pub use text_config::{Glm5NextTextConfig, LinearAttnConfig};

use super::cache::{CacheType, KvCache, LayerState};
use super::layer::FeedForward;
use super::{DecoderConfig, TensorNames, rms_norm};
use crate::LanguageError;
use candle_core::{Result, Tensor};
use glm4v_kernels::{RmsNorm, Trace};
use glm4v_weights::Weights;
use indexer::Chosen;
use latent::LatentAttention;
use linear::LinearAttention;
use streams::HyperConnection;

/// All layers, and the number of streams between them.
#[derive(Debug)]
pub(super) struct HybridLayers {
    config: HybridConfig,
    layers: Vec<HybridLayer>,
}

/// `streams → attention → streams → MLP → streams`, with a norm before each.
#[derive(Debug)]
struct HybridLayer {
    attention_streams: HyperConnection,
    input_norm: RmsNorm,
    attention: Attention,
    mlp_streams: HyperConnection,
    mlp_input_norm: RmsNorm,
    mlp: FeedForward,
}

/// How a layer's rows see one another.
#[derive(Debug)]
enum Attention {
    Linear(LinearAttention),
    Latent(LatentAttention),
}

impl HybridLayers {
    /// Reads the layers, whose tensors are below `weights` by their number.
    pub(super) fn load(
        config: &DecoderConfig,
        hybrid: &HybridConfig,
        names: &TensorNames,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let layers = hybrid.layers.iter().enumerate();
        let load = |(i, layer)| HybridLayer::load(config, (hybrid, layer), names, &weights.pp(i));
        let layers = layers.map(load).collect::<std::result::Result<_, _>>()?;
        Ok(Self { config: hybrid.clone(), layers })
    }

    /// An empty cache for one sequence, whose latents are kept so.
    pub(super) fn new_cache(&self, kept: CacheType) -> KvCache {
        KvCache::of(self.config.layers.iter().map(|layer| match layer.mixing {
            Mixing::Linear => LayerState::Recurrent(RecurrentState::default()),
            Mixing::Indexed | Mixing::Shared => LayerState::Latent(LatentCache::new(kept)),
        }))
    }

    /// Rows `(length, hidden)`, so many of each sequence, to the mean of the streams after the last
    /// layer, of the same shape.
    pub(super) fn forward(
        &self,
        rows: &Tensor,
        sequences: &mut [(usize, &mut KvCache)],
        trace: &mut Trace,
    ) -> Result<Tensor> {
        let (length, hidden) = rows.dims2()?;
        let shape = (length, self.config.streams.count, hidden);
        let mut streams = rows.unsqueeze(1)?.broadcast_as(shape)?.contiguous()?;
        let mut chosen = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let states = sequences.iter_mut().map(|(length, cache)| Ok((*length, cache.state(i)?)));
            let states = states.collect::<Result<Vec<_>>>()?;
            streams = layer.forward(&streams, states, &mut chosen, i, trace)?; // (length, streams, hidden)
            trace.record(format_args!("layer_{i}"), &streams);
        }
        streams.mean(1)
    }
}

impl HybridLayer {
    /// Reads a layer whose tensors are right below `weights`.
    fn load(
        config: &DecoderConfig,
        (hybrid, layer): (&HybridConfig, &HybridLayerConfig),
        names: &TensorNames,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let norm = |name: &str| rms_norm(config, &weights.pp(name));
        let streams = |name| HyperConnection::load(config, &hybrid.streams, name, weights);
        let attention = weights.pp("self_attn");
        let latent = |shared| LatentAttention::load(config, hybrid, shared, &attention);
        Ok(Self {
            attention_streams: streams("hc_attn")?,
            input_norm: norm("input_layernorm")?,
            attention: match layer.mixing {
                Mixing::Linear => {
                    Attention::Linear(LinearAttention::load(config, &hybrid.linear, &attention)?)
                }
                Mixing::Indexed => Attention::Latent(latent(false)?),
                Mixing::Shared => Attention::Latent(latent(true)?),
            },
            mlp_streams: streams("hc_ffn")?,
            mlp_input_norm: norm("post_attention_layernorm")?,
            mlp: FeedForward::load(config, names, layer.experts, weights)?,
        })
    }

    /// Streams `(length, streams, hidden)` to the same shape. `chosen` are the keys that the layer
    /// before chose, for a layer that shares them.
    fn forward(
        &self,
        streams: &Tensor,
        states: Vec<(usize, &mut LayerState)>,
        chosen: &mut Vec<Chosen>,
        index: usize,
        trace: &mut Trace,
    ) -> Result<Tensor> {
        let (x, expansion) = self.attention_streams.collapse(streams)?; // (length, hidden)
        let x = self.input_norm.forward(&x)?;
        let attended = match &self.attention {
            Attention::Linear(linear) => {
                let states = states.into_iter().map(|(rows, state)| Ok((rows, state.recurrent()?)));
                linear.forward(&x, &mut states.collect::<Result<Vec<_>>>()?)?
            }
            Attention::Latent(latent) => {
                let states = states.into_iter().map(|(rows, state)| Ok((rows, state.latent()?)));
                latent.forward(&x, &mut states.collect::<Result<Vec<_>>>()?, chosen)?
            }
        };
        trace.record(format_args!("layer_{index}_attention"), &attended);
        let streams = expansion.expand(&attended, streams)?; // (length, streams, hidden)
        let (x, expansion) = self.mlp_streams.collapse(&streams)?; // (length, hidden)
        let y = self.mlp.forward(&self.mlp_input_norm.forward(&x)?)?;
        expansion.expand(&y, &streams)
    }
}
