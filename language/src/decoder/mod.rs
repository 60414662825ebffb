//! The GLM decoder: embeddings in, logits out, with a key-value cache between calls.
//!
//! Source: transformers `GlmModel`, `Glm4Model`, `Glm4vTextModel`; `modeling_chatglm.py`.

mod attention;
mod cache;
mod config;
mod hugging_face;
mod hybrid;
mod layer;
mod mlp;
mod moe;
mod names;
mod positions;
mod prediction;
mod rotary;

pub use cache::{CacheMark, CacheType, KvCache};
pub use config::{ChatGlmConfig, DecoderConfig, MoeConfig};
pub use hugging_face::{RopeParameters, TextConfig, TextFamily};
pub use hybrid::{
    Glm5NextTextConfig, HybridConfig, HybridLayerConfig, IndexerConfig, LatentAttentionConfig,
    LinearAttentionConfig, LinearAttnConfig, Mixing, StreamsConfig,
};
pub use names::TensorNames;
pub use positions::{Position, Positions};
pub use prediction::PredictionLayer;
pub use rotary::{RotaryConfig, YarnConfig};

use crate::LanguageError;
use candle_core::{DType, Device, Result, Tensor};
use glm4v_kernels::{Embedding, Linear, Precision, RmsNorm, RotaryTable, Trace, activation_type};
use glm4v_weights::{Weights, WeightsError};
use hybrid::HybridLayers;
use layer::Layer;

/// A decoder with its embedding table and output head.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    embeddings: Embedding,
    device: Device,
    layers: Layers,
    final_norm: RmsNorm,
    head: Linear,
    cache_type: CacheType,
}

/// The two graphs that there are.
#[derive(Debug)]
enum Layers {
    /// Attention over keys and values in every layer.
    Attention(Vec<Layer>),
    /// GLM-5.3-Flash's.
    Hybrid(HybridLayers),
}

impl Decoder {
    /// Reads the decoder's tensors, found from the checkpoint's root under `names`.
    ///
    /// # Errors
    /// When the config is at odds with itself, or a tensor is missing or misshapen.
    pub fn load(
        config: &DecoderConfig,
        names: &TensorNames,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        config.validate()?;
        let (rows, width) = (config.vocab_size, config.hidden_size);
        let embeddings = weights.pp(&names.embeddings).embedding(rows, width)?;
        let head = match config.tied_embeddings {
            true => embeddings.as_head(),
            false => weights.pp(&names.head).linear(width, rows, false)?,
        };
        let layers = weights.pp(&names.layers);
        let layers = match &config.hybrid {
            Some(hybrid) => Layers::Hybrid(HybridLayers::load(config, hybrid, names, &layers)?),
            None => Layers::Attention(
                (0..config.layers)
                    .map(|i| Layer::load(config, names, i, &layers.pp(i)))
                    .collect::<std::result::Result<_, _>>()?,
            ),
        };
        Ok(Self {
            config: config.clone(),
            embeddings,
            device: weights.device().clone(),
            layers,
            final_norm: rms_norm(config, &weights.pp(&names.final_norm))?,
            head,
            cache_type: CacheType::default(),
        })
    }

    /// The config that the decoder was made from.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The device that the weights are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type of the activations.
    pub fn dtype(&self) -> DType {
        activation_type(self.weight_dtype(), self.device())
    }

    /// The type of the weights.
    pub fn weight_dtype(&self) -> DType {
        self.embeddings.dtype()
    }

    /// An empty cache for one sequence.
    pub fn new_cache(&self) -> KvCache {
        match &self.layers {
            Layers::Attention(layers) => KvCache::new(layers.len(), self.cache_type()),
            Layers::Hybrid(layers) => layers.new_cache(self.cache_type()),
        }
    }

    /// How its caches are kept; never [`CacheType::Auto`].
    pub fn cache_type(&self) -> CacheType {
        match (self.cache_type, &self.layers) {
            (CacheType::Auto, Layers::Attention(layers)) => {
                let rounds = layers.iter().any(|layer| layer.precision() != Precision::Single);
                let halves = rounds && self.device.is_cpu() && self.dtype() == DType::F32;
                if halves { CacheType::Half } else { CacheType::Float }
            }
            (CacheType::Auto | CacheType::Half, Layers::Hybrid(_)) => CacheType::Float,
            (chosen, _) => chosen,
        }
    }

    /// Whether its caches can go back to any earlier row; a recurrent state cannot, and then
    /// [`KvCache::truncate`] forgets all rows, and [`KvCache::return_to`] goes back to a mark.
    pub fn rewinds(&self) -> bool {
        matches!(self.layers, Layers::Attention(_))
    }

    /// The same decoder, whose new caches are kept in `cache_type`.
    pub fn with_cache_type(self, cache_type: CacheType) -> Self {
        Self { cache_type, ..self }
    }

    /// Rows of the embedding table, `(length, hidden)`.
    ///
    /// # Errors
    /// [`LanguageError::TokenId`] when an id is not below `vocab_size`.
    pub fn embed(&self, ids: &[u32]) -> std::result::Result<Tensor, LanguageError> {
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.config.vocab_size) {
            return Err(LanguageError::TokenId { id, vocab_size: self.config.vocab_size });
        }
        Ok(self.embeddings.look_up(ids)?.to_dtype(self.dtype())?)
    }

    /// Runs rows `(length, hidden)` that follow what is in the cache, and adds them to it.
    ///
    /// Returns the normed hidden states `(length, hidden)`, to be given to [`Self::logits`].
    ///
    /// # Errors
    /// When shapes don't fit, or memory for the cache runs out.
    pub fn forward(
        &self,
        rows: &Tensor,
        positions: &Positions,
        cache: &mut KvCache,
        trace: &mut Trace,
    ) -> Result<Tensor> {
        let length = rows.dim(0)?;
        self.forward_together(rows, positions, &mut [(length, cache)], trace)
    }

    /// As [`Self::forward`], for rows of several sequences in one pass over the weights: as many
    /// rows of each as its number says, one sequence after another.
    ///
    /// # Errors
    /// As [`Self::forward`]; or when the numbers don't add up to the rows.
    pub fn forward_together(
        &self,
        rows: &Tensor,
        positions: &Positions,
        sequences: &mut [(usize, &mut KvCache)],
        trace: &mut Trace,
    ) -> Result<Tensor> {
        let lengths: usize = sequences.iter().map(|(length, _)| length).sum();
        if rows.dim(0)? != lengths || positions.len() != lengths {
            let (rows, positions) = (rows.dims(), positions.len());
            candle_core::bail!("{lengths} rows of sequences, {positions} positions, rows {rows:?}");
        }
        let x = match &self.layers {
            Layers::Attention(layers) => {
                self.run_layers(layers, rows, positions, sequences, trace)?
            }
            Layers::Hybrid(layers) => layers.forward(rows, sequences, trace)?,
        };
        let x = self.final_norm.forward(&x)?; // (length, hidden)
        trace.record("final_norm", &x);
        Ok(x)
    }

    fn run_layers(
        &self,
        layers: &[Layer],
        rows: &Tensor,
        positions: &Positions,
        sequences: &mut [(usize, &mut KvCache)],
        trace: &mut Trace,
    ) -> Result<Tensor> {
        let rotary = self.rotary_table(positions)?;
        let mut x = rows.clone();
        for (i, layer) in layers.iter().enumerate() {
            let caches = sequences.iter_mut().map(|(length, cache)| Ok((*length, cache.layer(i)?)));
            let mut caches = caches.collect::<Result<Vec<_>>>()?;
            x = layer.forward(&x, &rotary, &mut caches, i, trace)?; // (length, hidden)
            trace.record(format_args!("layer_{i}"), &x);
        }
        Ok(x)
    }

    /// Logits in f32, `(length, vocab_size)`, of normed hidden states `(length, hidden)`.
    ///
    /// # Errors
    /// When the rows are not `hidden` wide.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(hidden)?.to_dtype(DType::F32)
    }

    /// Angles are position · frequency.
    fn rotary_table(&self, positions: &Positions) -> Result<RotaryTable> {
        let rotary = &self.config.rotary;
        let frequencies = rotary.frequencies();
        let axes = rotary.axes();
        let angles: Vec<f32> = positions
            .iter()
            .flat_map(|at| {
                frequencies.iter().zip(&axes).map(move |(f, &axis)| at.axis(axis) as f32 * f)
            })
            .collect();
        let angles = Tensor::from_vec(angles, (positions.len(), frequencies.len()), self.device())?;
        RotaryTable::scaled(&angles, rotary.layout, self.dtype(), rotary.attention_factor())
    }
}

fn rms_norm(
    config: &DecoderConfig,
    weights: &Weights,
) -> std::result::Result<RmsNorm, WeightsError> {
    Ok(RmsNorm::new(weights.tensor("weight", config.hidden_size)?, config.norm_eps))
}
