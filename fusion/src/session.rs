//! One sequence that a decoder has run: its cache, and which rows are in it.

use crate::options::CancelToken;
use crate::splice::{Piece, Spliced};
use crate::{FusionError, Model};
use candle_core::Tensor;
use glm4v_kernels::Trace;
use glm4v_language::{Decoder, KvCache, Positions};
use std::num::NonZeroUsize;

/// Rows of a prompt that are run at once; bounds the memory of activations.
const PREFILL_CHUNK: usize = 512;

/// What a cached row was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowSource {
    Token(u32),
    /// The identity of a picture or video, and the row among its visual tokens.
    Visual(u64, usize),
}

/// The rows run so far, with their keys and values.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    cache: KvCache,
    rows: Vec<RowSource>,
    next_position: u32,
    prefill_chunk: usize,
}

impl Session {
    pub(crate) fn new(decoder: &Decoder) -> Self {
        Self {
            cache: decoder.new_cache(),
            rows: Vec::new(),
            next_position: 0,
            prefill_chunk: PREFILL_CHUNK,
        }
    }

    /// The same, running prompts in chunks of `rows`.
    pub(crate) fn with_prefill_chunk(self, rows: NonZeroUsize) -> Self {
        Self { prefill_chunk: rows.get(), ..self }
    }

    /// Rows in the cache.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Runs a prompt and returns the logits after its last row, `(vocab_size)`. Rows that the
    /// cache already holds from an earlier prompt with the same beginning are not run again.
    pub(crate) fn prefill(
        &mut self,
        model: &Model,
        prompt: &Spliced,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>, FusionError> {
        let sources = row_sources(prompt);
        let last = sources.len().checked_sub(1).ok_or(FusionError::EmptyPrompt)?;
        let common = sources.iter().zip(&self.rows).take_while(|(new, old)| new == old).count();
        let mut start = common.min(last);
        self.cache.truncate(start);
        self.rows.truncate(start);
        let rows = embed_rows(model.decoder(), prompt)?; // (length, hidden)
        loop {
            if cancel.is_cancelled() {
                return Err(FusionError::Cancelled);
            }
            let length = self.prefill_chunk.min(sources.len() - start);
            let chunk = rows.narrow(0, start, length)?;
            let positions = prompt.positions.slice(start, length);
            let hidden =
                model.decoder().forward(&chunk, &positions, &mut self.cache, &mut Trace::off())?;
            start += length;
            self.rows.extend(sources.iter().take(start).skip(self.rows.len()));
            if start == sources.len() {
                self.next_position = prompt.next_position;
                return last_logits(model.decoder(), &hidden);
            }
        }
    }

    /// Runs one token and returns the logits after it, `(vocab_size)`.
    pub(crate) fn step(&mut self, model: &Model, token: u32) -> Result<Vec<f32>, FusionError> {
        let row = model.decoder().embed(&[token])?; // (1, hidden)
        let positions = Positions::sequential(self.next_position, 1);
        let hidden =
            model.decoder().forward(&row, &positions, &mut self.cache, &mut Trace::off())?;
        self.next_position += 1;
        self.rows.push(RowSource::Token(token));
        last_logits(model.decoder(), &hidden)
    }
}

/// The decoder's input rows `(length, hidden)`: the embedding table's for text, the tower's for
/// images.
pub(crate) fn embed_rows(decoder: &Decoder, prompt: &Spliced) -> Result<Tensor, FusionError> {
    let rows = prompt.pieces.iter().map(|piece| match piece {
        Piece::Text(ids) => Ok(decoder.embed(ids)?),
        Piece::Visual { tokens, rows } => {
            let rows = tokens.rows().narrow(0, rows.start, rows.len())?;
            Ok(rows.to_device(decoder.device())?.to_dtype(decoder.dtype())?)
        }
    });
    let rows = rows.collect::<Result<Vec<_>, FusionError>>()?;
    Ok(Tensor::cat(&rows, 0)?)
}

fn row_sources(prompt: &Spliced) -> Vec<RowSource> {
    let mut sources = Vec::with_capacity(prompt.rows());
    for piece in &prompt.pieces {
        match piece {
            Piece::Text(ids) => sources.extend(ids.iter().map(|&id| RowSource::Token(id))),
            Piece::Visual { tokens, rows } => {
                sources.extend(rows.clone().map(|row| RowSource::Visual(tokens.identity(), row)));
            }
        }
    }
    sources
}

fn last_logits(decoder: &Decoder, hidden: &Tensor) -> Result<Vec<f32>, FusionError> {
    let last = hidden.narrow(0, hidden.dim(0)? - 1, 1)?; // (1, hidden)
    Ok(decoder.logits(&last)?.squeeze(0)?.to_vec1()?)
}
