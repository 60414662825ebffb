//! The layer that predicts the token after the next one, for drafts.
//!
//! `x = eh_proj([enorm(embed(next)) ‖ hnorm(hidden)])`, one ordinary decoder layer, then
//! `shared_head`: a norm and a head of its own. `hidden` is the decoder's normed output at a row,
//! and for later guesses this layer's own output before its norm; `next` is the token after the
//! row. The embedding at position 0 counts as zero.
//!
//! Source: `glm_ocr_mtp.py` and `glm4_moe_lite_mtp.py` in vLLM. SGLang's `glm_ocr_nextn.py` wires
//! the first guess in the same way, but for the zero at position 0, and hands its output on after
//! the norm. The idea is section 2.2 of DeepSeek-V3's report.

use super::cache::{CacheType, KvCache};
use super::layer::Layer;
use super::{Decoder, DecoderConfig, Positions, TensorNames, rms_norm};
use crate::LanguageError;
use candle_core::{DType, Result, Tensor};
use glm4v_kernels::{Embedding, Linear, RmsNorm, Trace};
use glm4v_weights::Weights;

/// A next-token-prediction layer with its own embedding table and head.
#[derive(Debug)]
pub struct PredictionLayer {
    embeddings: Embedding,
    embedding_norm: RmsNorm,
    hidden_norm: RmsNorm,
    projection: Linear,
    layer: Layer,
    head_norm: RmsNorm,
    head: Linear,
    vocab_size: usize,
}

impl PredictionLayer {
    /// Reads the layer, whose tensors are right below `weights`; it is number `index`.
    ///
    /// # Errors
    /// When a tensor is missing or misshapen.
    pub fn load(
        config: &DecoderConfig,
        names: &TensorNames,
        index: usize,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let (hidden, vocab_size) = (config.hidden_size, config.vocab_size);
        Ok(Self {
            embeddings: weights.pp("embed_tokens").embedding(vocab_size, hidden)?,
            embedding_norm: rms_norm(config, &weights.pp("enorm"))?,
            hidden_norm: rms_norm(config, &weights.pp("hnorm"))?,
            projection: weights.pp("eh_proj").linear(2 * hidden, hidden, false)?,
            layer: Layer::load(config, names, index, weights)?,
            head_norm: rms_norm(config, &weights.pp("shared_head.norm"))?,
            head: weights.pp("shared_head.head").linear(hidden, vocab_size, false)?,
            vocab_size,
        })
    }

    /// An empty cache for one sequence.
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(1, CacheType::Float)
    }

    /// Rows of the layer's embedding table, `(length, hidden)`, in the decoder's type.
    ///
    /// # Errors
    /// [`LanguageError::TokenId`] when an id is not in the table.
    pub fn embed(
        &self,
        decoder: &Decoder,
        ids: &[u32],
    ) -> std::result::Result<Tensor, LanguageError> {
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.vocab_size) {
            return Err(LanguageError::TokenId { id, vocab_size: self.vocab_size });
        }
        Ok(self.embeddings.look_up(ids)?.to_dtype(decoder.dtype())?)
    }

    /// Runs rows that follow those in the cache: `next` `(length, hidden)`, the embedding of the
    /// token after each row, and `hidden` `(length, hidden)`, the decoder's output at the row.
    /// Returns `(length, hidden)`, for [`Self::logits`] and for the next guess.
    ///
    /// # Errors
    /// When shapes don't fit.
    pub fn forward(
        &self,
        decoder: &Decoder,
        next: &Tensor,
        hidden: &Tensor,
        positions: &Positions,
        cache: &mut KvCache,
    ) -> Result<Tensor> {
        let next = if cache.is_empty() { without_first(next)? } else { next.clone() };
        let parts = [self.embedding_norm.forward(&next)?, self.hidden_norm.forward(hidden)?];
        let x = self.projection.forward(&Tensor::cat(&parts, 1)?)?; // (length, hidden)
        let rotary = decoder.rotary_table(positions)?;
        let mut sequence = [(x.dim(0)?, cache.layer(0)?)];
        self.layer.forward(&x, &rotary, &mut sequence, 0, &mut Trace::off())
    }

    /// Logits in f32, `(length, vocab_size)`, of this layer's outputs `(length, hidden)`.
    ///
    /// # Errors
    /// When the rows are not `hidden` wide.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(&self.head_norm.forward(hidden)?)?.to_dtype(DType::F32)
    }
}

/// The rows with zeros in the place of the first.
fn without_first(rows: &Tensor) -> Result<Tensor> {
    let zeros = rows.narrow(0, 0, 1)?.zeros_like()?;
    match rows.dim(0)? {
        1 => Ok(zeros),
        length => Tensor::cat(&[zeros, rows.narrow(0, 1, length - 1)?], 0),
    }
}
