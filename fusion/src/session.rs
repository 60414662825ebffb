//! One sequence that a decoder has run: its cache, and which rows are in it.

mod marked;

use crate::ahead::{Ahead, prompt_rows};
use crate::options::CancelToken;
use crate::splice::{Piece, Spliced};
use crate::{FusionError, Model};
use candle_core::Tensor;
use glm4v_language::{Decoder, LanguageError, Position, Positions};
use marked::{MarkedCache, run_together};
use std::num::NonZeroUsize;

/// Rows of a prompt that are run at once; bounds the memory of activations.
const PREFILL_CHUNK: usize = 512;

/// Rows of an answer that the cache has room for from the start.
const ROOM: usize = 256;

/// Tokens that may be run again together with new ones; more are run by themselves once.
const MOST_OWED: usize = 16;

/// What a cached row was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowSource {
    Token(u32),
    /// The identity of a picture or video, and the row among its visual tokens.
    Visual(u64, usize),
}

/// The rows run so far, with their keys and values.
#[derive(Debug)]
pub(crate) struct Session {
    cache: MarkedCache,
    rows: Vec<RowSource>,
    next_position: u32,
    prefill_chunk: usize,
    /// Tokens that follow the rows and are to be run with the next one: they were, before the cache
    /// went back to a mark.
    owed: Vec<u32>,
    /// What the prediction layer has of the rows, where it follows them.
    ahead: Option<Ahead>,
}

impl Session {
    pub(crate) fn new(decoder: &Decoder) -> Self {
        Self {
            cache: MarkedCache::new(decoder),
            rows: Vec::new(),
            next_position: 0,
            prefill_chunk: PREFILL_CHUNK,
            owed: Vec::new(),
            ahead: None,
        }
    }

    /// The same, running prompts in chunks of `rows`.
    pub(crate) fn with_prefill_chunk(self, rows: NonZeroUsize) -> Self {
        Self { prefill_chunk: rows.get(), ..self }
    }

    /// A session of its own that has run the same rows.
    pub(crate) fn fork(&self) -> Result<Self, FusionError> {
        let ahead = self.ahead.as_ref().map(Ahead::fork).transpose()?;
        Ok(Self {
            cache: self.cache.fork()?,
            rows: self.rows.clone(),
            owed: self.owed.clone(),
            ahead,
            ..*self
        })
    }

    /// Rows in the cache.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Memory of the cache, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.cache.bytes() + self.ahead.as_ref().map_or(0, Ahead::bytes)
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
        let decoder = model.decoder();
        let common = self.rows_in_common(&sources);
        let mut start = common.min(last);
        if let Some(ahead) = &mut self.ahead {
            // The layer ran the last common row with the token that stood after it before, and
            // running a row again takes the decoder's output there, which is not kept.
            start = start.min(ahead.len()).min(common.saturating_sub(1));
            ahead.truncate(start)?;
        }
        self.go_back(start)?;
        start = self.rows.len();
        let visual_end = end_of_visuals(&sources);
        self.cache.keep_mark(visual_end);
        let rows = embed_rows(decoder, prompt, |ids| decoder.embed(ids))?; // (length, hidden)
        let layer = model.inner().parts.prediction.as_ref();
        let mut ahead = self.ahead.as_mut().zip(layer);
        let next = match ahead {
            Some((_, layer)) => Some(prompt_rows(model, layer, prompt)?), // (length, hidden)
            None => None,
        };
        self.cache.reserve(sources.len() + ROOM);
        loop {
            if cancel.is_cancelled() {
                return Err(FusionError::Cancelled);
            }
            let mut length = self.prefill_chunk.min(sources.len() - start);
            if self.cache.needs_marks() && start < visual_end {
                length = length.min(visual_end - start); // where other questions part
            }
            let chunk = rows.narrow(0, start, length)?;
            let positions = prompt.positions.slice(start, length);
            let hidden = self.cache.forward(decoder, &chunk, &positions)?; // (chunk, hidden)
            if let (Some((ahead, layer)), Some(next)) = (&mut ahead, &next) {
                ahead.follow((model, layer), (prompt, next), start, &hidden)?;
            }
            start += length;
            self.rows.extend(sources.iter().take(start).skip(self.rows.len()));
            if start == visual_end || start == sources.len() {
                self.cache.mark_prompt();
            }
            if start == sources.len() {
                self.next_position = prompt.next_position;
                return last_logits(decoder, &hidden);
            }
        }
    }

    /// How many of a prompt's first rows are in the cache.
    pub(crate) fn rows_in_common(&self, sources: &[RowSource]) -> usize {
        sources.iter().zip(&self.rows).take_while(|(new, old)| new == old).count()
    }

    /// Forgets rows so that at most `length` are left, and returns those forgotten. A recurrent state goes
    /// back to the last mark before, or to the very start.
    fn go_back(&mut self, length: usize) -> Result<Vec<RowSource>, FusionError> {
        self.owed.clear();
        let left = self.cache.go_back(length)?;
        Ok(self.rows.split_off(left.min(self.rows.len())))
    }

    /// Runs one token and returns the logits after it, `(vocab_size)`.
    pub(crate) fn step(&mut self, model: &Model, token: u32) -> Result<Vec<f32>, FusionError> {
        let logits = match self.owed.is_empty() {
            true => step_together(model, &mut [(self, token)])?,
            false => self.run(model, &[token])?,
        };
        logits.into_iter().next().ok_or(FusionError::EmptyPrompt)
    }

    /// Runs tokens in one pass and returns the logits after each, `(vocab_size)`.
    pub(crate) fn run(
        &mut self,
        model: &Model,
        tokens: &[u32],
    ) -> Result<Vec<Vec<f32>>, FusionError> {
        if self.owed.len() > MOST_OWED {
            self.run_owed(model)?;
        }
        if tokens.len() > 1 {
            self.cache.mark_pass();
        }
        let owed = std::mem::take(&mut self.owed);
        let hidden = self.run_tokens(model, &[&owed, tokens].concat())?; // (owed + tokens, hidden)
        let hidden = hidden.narrow(0, owed.len(), tokens.len())?;
        Ok(model.decoder().logits(&hidden)?.to_vec2()?)
    }

    /// Runs the tokens that a way back has left.
    fn run_owed(&mut self, model: &Model) -> Result<(), FusionError> {
        let owed = std::mem::take(&mut self.owed);
        if !owed.is_empty() {
            self.run_tokens(model, &owed)?;
        }
        Ok(())
    }

    fn run_tokens(&mut self, model: &Model, tokens: &[u32]) -> Result<Tensor, FusionError> {
        let rows = model.decoder().embed(tokens)?; // (tokens, hidden)
        let positions = Positions::sequential(self.next_position, tokens.len());
        let hidden = self.cache.forward(model.decoder(), &rows, &positions)?;
        if let Some(ahead) = &mut self.ahead {
            ahead.push(&hidden)?;
        }
        self.next_position += tokens.len() as u32;
        self.rows.extend(tokens.iter().map(|&token| RowSource::Token(token)));
        Ok(hidden)
    }

    /// Forgets the last `rows` rows, which were run together as tokens. A recurrent state goes back to
    /// where that pass began, and what is left of it is run with the next token.
    ///
    /// # Errors
    /// When memory runs out for what the prediction layer keeps; [`FusionError::NoWayBack`] when there
    /// was no such pass, and then the session is empty.
    pub(crate) fn rewind(&mut self, rows: usize) -> Result<(), FusionError> {
        let length = self.rows.len().saturating_sub(rows);
        let forgotten = self.go_back(length)?;
        self.next_position = self.next_position.saturating_sub(forgotten.len() as u32);
        for source in forgotten.iter().take(length - self.rows.len()) {
            let RowSource::Token(token) = *source else {
                self.go_back(0)?;
                return Err(FusionError::NoWayBack);
            };
            self.owed.push(token);
        }
        self.ahead.as_mut().map_or(Ok(()), |ahead| ahead.truncate(length))
    }

    /// Has the model's prediction layer, if it has one, follow the rows from the next prompt on.
    pub(crate) fn prepare_prediction(&mut self, model: &Model) {
        if let (None, Some(layer)) = (&self.ahead, &model.inner().parts.prediction) {
            self.ahead = Some(Ahead::new(layer));
        }
    }

    /// Guesses at most `count` tokens that may follow `token`, which was chosen and has not been
    /// run; none unless the prediction layer followed the rows.
    pub(crate) fn guess(
        &mut self,
        model: &Model,
        token: u32,
        count: usize,
    ) -> Result<Vec<u32>, FusionError> {
        match (&mut self.ahead, &model.inner().parts.prediction) {
            (Some(ahead), Some(layer)) => {
                ahead.guess((model, layer), (&self.rows, self.next_position), token, count)
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Runs one token of each session in one pass over the weights, and returns the logits after each,
/// `(vocab_size)`.
pub(crate) fn step_together(
    model: &Model,
    steps: &mut [(&mut Session, u32)],
) -> Result<Vec<Vec<f32>>, FusionError> {
    let decoder = model.decoder();
    steps.iter_mut().try_for_each(|(session, _)| session.run_owed(model))?;
    let tokens: Vec<u32> = steps.iter().map(|(_, token)| *token).collect();
    let rows = decoder.embed(&tokens)?; // (sessions, hidden)
    let at = |(session, _): &(&mut Session, u32)| Position::text(session.next_position);
    let positions: Positions = steps.iter().map(at).collect();
    let mut caches: Vec<_> = steps.iter_mut().map(|(session, _)| (1, &mut session.cache)).collect();
    let hidden = run_together(decoder, &rows, &positions, &mut caches)?;
    for (i, (session, token)) in steps.iter_mut().enumerate() {
        if let Some(ahead) = &mut session.ahead {
            ahead.push(&hidden.narrow(0, i, 1)?)?;
        }
        session.next_position += 1;
        session.rows.push(RowSource::Token(*token));
    }
    Ok(decoder.logits(&hidden)?.to_vec2()?)
}

/// Input rows `(length, hidden)`: those of `embed` for text, the tower's for images.
pub(crate) fn embed_rows(
    decoder: &Decoder,
    prompt: &Spliced,
    embed: impl Fn(&[u32]) -> Result<Tensor, LanguageError>,
) -> Result<Tensor, FusionError> {
    let rows = prompt.pieces.iter().map(|piece| match piece {
        Piece::Text(ids) => Ok(embed(ids)?),
        Piece::Visual { tokens, rows } => {
            let rows = tokens.rows().narrow(0, rows.start, rows.len())?;
            Ok(rows.to_device(decoder.device())?.to_dtype(decoder.dtype())?)
        }
    });
    let rows = rows.collect::<Result<Vec<_>, FusionError>>()?;
    Ok(Tensor::cat(&rows, 0)?)
}

/// What each row of a prompt is made from.
pub(crate) fn row_sources(prompt: &Spliced) -> Vec<RowSource> {
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

/// The row after the last one of a picture or video.
fn end_of_visuals(sources: &[RowSource]) -> usize {
    let last = sources.iter().rposition(|source| matches!(source, RowSource::Visual(..)));
    last.map_or(0, |last| last + 1)
}

fn last_logits(decoder: &Decoder, hidden: &Tensor) -> Result<Vec<f32>, FusionError> {
    let last = hidden.narrow(0, hidden.dim(0)? - 1, 1)?; // (1, hidden)
    Ok(decoder.logits(&last)?.squeeze(0)?.to_vec1()?)
}

#[cfg(test)]
mod tests;
