//! What a session keeps for the layer that predicts tokens ahead.

use crate::session::{RowSource, embed_rows};
use crate::splice::Spliced;
use crate::{FusionError, Model};
use candle_core::Tensor;
use glm4v_language::{KvCache, Positions, PredictionLayer};

/// The prediction layer's rows of a session. It runs a row once the token after it is known, so
/// it is behind the decoder by at least one.
#[derive(Debug)]
pub(crate) struct Ahead {
    cache: KvCache,
    /// The decoder's outputs at the rows that the layer has not run, `(rows, hidden)`.
    waiting: Option<Tensor>,
}

impl Ahead {
    pub(crate) fn new(layer: &PredictionLayer) -> Self {
        Self { cache: layer.new_cache(), waiting: None }
    }

    pub(crate) fn fork(&self) -> Result<Self, FusionError> {
        Ok(Self { cache: self.cache.fork()?, waiting: self.waiting.clone() })
    }

    /// Rows that the layer has run.
    pub(crate) fn len(&self) -> usize {
        self.cache.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Adds the decoder's outputs at its newest rows, `(rows, hidden)`.
    pub(crate) fn push(&mut self, hidden: &Tensor) -> Result<(), FusionError> {
        self.waiting = Some(match self.waiting.take() {
            Some(earlier) => Tensor::cat(&[&earlier, hidden], 0)?,
            None => hidden.clone(),
        });
        Ok(())
    }

    /// Forgets rows from `length` on.
    pub(crate) fn truncate(&mut self, length: usize) -> Result<(), FusionError> {
        let kept = length.saturating_sub(self.cache.len());
        self.cache.truncate(length);
        self.waiting = match self.waiting.take() {
            Some(waiting) if kept > 0 => Some(waiting.narrow(0, 0, kept.min(waiting.dim(0)?))?),
            _ => None,
        };
        Ok(())
    }

    /// Follows a chunk of the prompt that begins at row `start`: `hidden` `(chunk, hidden)` is the
    /// decoder's output, and `rows` `(length, hidden)` are the whole prompt's by
    /// [`prompt_rows`]. The prompt's last row waits for the token that is chosen after it.
    pub(crate) fn follow(
        &mut self,
        (model, layer): (&Model, &PredictionLayer),
        (prompt, rows): (&Spliced, &Tensor),
        start: usize,
        hidden: &Tensor,
    ) -> Result<(), FusionError> {
        let length = hidden.dim(0)?;
        let known = length.min(rows.dim(0)? - 1 - start);
        if known > 0 {
            let next = rows.narrow(0, start + 1, known)?;
            let positions = prompt.positions.slice(start, known);
            let run = hidden.narrow(0, 0, known)?;
            layer.forward(model.decoder(), &next, &run, &positions, &mut self.cache)?;
        }
        self.waiting = match length - known {
            0 => None,
            waiting => Some(hidden.narrow(0, known, waiting)?),
        };
        Ok(())
    }

    /// Guesses `count` tokens that may follow `token`, which was chosen and has not been run;
    /// `rows` are those that the decoder has run, and `position` is the next one's.
    pub(crate) fn guess(
        &mut self,
        (model, layer): (&Model, &PredictionLayer),
        (rows, position): (&[RowSource], u32),
        token: u32,
        count: usize,
    ) -> Result<Vec<u32>, FusionError> {
        let decoder = model.decoder();
        let mut guesses = Vec::with_capacity(count);
        let Some(hidden) = (if count > 0 { self.waiting.take() } else { None }) else {
            return Ok(guesses);
        };
        let waiting = hidden.dim(0)?;
        let next = layer.embed(decoder, &tokens_after(rows, waiting, token))?;
        let positions = Positions::sequential(position - waiting as u32, waiting);
        let output = layer.forward(decoder, &next, &hidden, &positions, &mut self.cache)?;
        let mut output = output.narrow(0, waiting - 1, 1)?; // (1, hidden)
        for position in position.. {
            let guess: u32 = layer.logits(&output)?.argmax(1)?.squeeze(0)?.to_scalar()?;
            guesses.push(guess);
            if guesses.len() == count {
                break;
            }
            let next = layer.embed(decoder, &[guess])?;
            let positions = Positions::sequential(position, 1);
            output = layer.forward(decoder, &next, &output, &positions, &mut self.cache)?;
        }
        self.cache.truncate(rows.len()); // what was run on guesses is not kept
        Ok(guesses)
    }
}

/// A prompt's rows with the layer's own embeddings of text, `(length, hidden)`.
pub(crate) fn prompt_rows(
    model: &Model,
    layer: &PredictionLayer,
    prompt: &Spliced,
) -> Result<Tensor, FusionError> {
    let decoder = model.decoder();
    embed_rows(decoder, prompt, |ids| layer.embed(decoder, ids))
}

/// The token after each of the last `waiting` rows; after the first of them come tokens alone.
fn tokens_after(rows: &[RowSource], waiting: usize, token: u32) -> Vec<u32> {
    let later = rows.iter().skip(rows.len() + 1 - waiting);
    let tokens = later.filter_map(|source| match source {
        RowSource::Token(id) => Some(*id),
        RowSource::Visual(..) => None,
    });
    tokens.chain([token]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::folder;
    use crate::session::Session;
    use crate::{CancelToken, Image, LoadOptions};
    use glm4v_kernels::Trace;
    use serde::Deserialize;
    use std::collections::HashMap;
    use std::num::NonZeroUsize;

    /// What `tests/fixtures/mtp/make.py` computed.
    #[derive(Deserialize)]
    struct Reference {
        case: String,
        /// The token chosen after the prompt.
        token: u32,
        guesses: Vec<u32>,
    }

    fn references() -> (Vec<Reference>, HashMap<String, Tensor>) {
        let text = std::fs::read_to_string(folder("../mtp/reference.json")).unwrap();
        let logits = folder("../mtp/logits.safetensors");
        let logits = candle_core::safetensors::load(logits, &candle_core::Device::Cpu).unwrap();
        (serde_json::from_str(&text).unwrap(), logits)
    }

    fn drafting_model() -> Model {
        let options = LoadOptions { prediction_layer: true, ..LoadOptions::default() };
        Model::load(folder("glm_ocr").to_str().unwrap(), &options).unwrap()
    }

    fn golden_prompt(model: &Model, case: &str) -> Spliced {
        let text = std::fs::read_to_string(folder("glm_ocr").join(format!("{case}.json"))).unwrap();
        let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ids: Vec<u32> = serde_json::from_value(golden["input_ids"].clone()).unwrap();
        let picture = folder("glm_ocr").join(format!("{case}_0.png"));
        let picture = picture.exists().then(|| Image::open(picture).unwrap());
        let visuals: Vec<_> = picture.iter().map(|picture| model.embed(picture).unwrap()).collect();
        // The golden has the image's id once for each of its rows; a place in a prompt is one.
        let mut places = ids.clone();
        places.dedup_by(|a, b| a == b && *a == 474);
        let prompt = model.splice(&places, &visuals).unwrap();
        assert_eq!(prompt.rows(), ids.len(), "{case}");
        prompt
    }

    #[test]
    fn the_logits_are_the_references() {
        let (references, logits) = references();
        let model = drafting_model();
        let decoder = model.decoder();
        let layer = model.inner().parts.prediction.as_ref().unwrap();
        for Reference { case, token, guesses } in references {
            let prompt = golden_prompt(&model, &case);
            let length = prompt.rows();
            let rows = embed_rows(decoder, &prompt, |ids| decoder.embed(ids)).unwrap();
            let (positions, mut cache) = (&prompt.positions, decoder.new_cache());
            let hidden = decoder.forward(&rows, positions, &mut cache, &mut Trace::off()).unwrap();
            let rows = prompt_rows(&model, layer, &prompt).unwrap().narrow(0, 1, length - 1);
            let last = layer.embed(decoder, &[token]).unwrap();
            let next = Tensor::cat(&[rows.unwrap(), last], 0).unwrap();
            let mut cache = layer.new_cache();
            let mut run = |next: &Tensor, hidden: &Tensor, positions: &Positions| {
                layer.forward(decoder, next, hidden, positions, &mut cache).unwrap()
            };
            let mut outputs = vec![run(&next, &hidden, positions)];
            for (at, guess) in (prompt.next_position..).zip(&guesses[..guesses.len() - 1]) {
                let last = outputs.last().unwrap();
                let last = last.narrow(0, last.dim(0).unwrap() - 1, 1).unwrap();
                let next = layer.embed(decoder, &[*guess]).unwrap();
                outputs.push(run(&next, &last, &Positions::sequential(at, 1)));
            }
            let found = layer.logits(&Tensor::cat(&outputs, 0).unwrap()).unwrap();
            let error = (found - &logits[&case]).unwrap().abs().unwrap();
            let error: f32 = error.max_all().unwrap().to_scalar().unwrap();
            // The bounds of parity: a tower before the decoder adds its own rounding.
            let bound = if case == "text" { 1e-4 } else { 5e-4 };
            assert!(error < bound, "{case}: {error}");
        }
    }

    #[test]
    fn the_guesses_are_the_references_however_the_session_went() {
        let (references, _) = references();
        let model = drafting_model();
        for Reference { case, token, guesses } in references {
            let prompt = golden_prompt(&model, &case);
            for chunk in [1, 4, prompt.rows()] {
                let chunk = NonZeroUsize::new(chunk).unwrap();
                let mut session = Session::new(model.decoder()).with_prefill_chunk(chunk);
                session.prepare_prediction(&model);
                session.prefill(&model, &prompt, &CancelToken::default()).unwrap();
                assert_eq!(session.guess(&model, token, 3).unwrap(), guesses, "{case}");
                // The same prompt after an answer, part of which was taken back.
                session.run(&model, &[token, 5, 6]).unwrap();
                session.rewind(2).unwrap();
                session.guess(&model, 7, 2).unwrap();
                session.step(&model, 7).unwrap();
                session.prefill(&model, &prompt, &CancelToken::default()).unwrap();
                assert_eq!(session.guess(&model, token, 3).unwrap(), guesses, "{case}");
            }
        }
    }

    #[test]
    fn rows_run_one_by_one_together_or_after_a_rewind_are_guessed_from_alike() {
        let model = drafting_model();
        let prompt = golden_prompt(&model, "text");
        let guesses = |go: &dyn Fn(&mut Session)| {
            let mut session = Session::new(model.decoder());
            session.prepare_prediction(&model);
            session.prefill(&model, &prompt, &CancelToken::default()).unwrap();
            go(&mut session);
            session.guess(&model, 9, 3).unwrap()
        };
        let together = guesses(&|session| drop(session.run(&model, &[5, 6, 7]).unwrap()));
        let one_by_one = guesses(&|session| {
            for token in [5, 6, 7] {
                session.guess(&model, token, 1).unwrap();
                session.step(&model, token).unwrap();
            }
        });
        let after_a_rewind = guesses(&|session| {
            session.guess(&model, 5, 2).unwrap();
            session.run(&model, &[5, 6, 8, 8]).unwrap();
            session.rewind(2).unwrap();
            session.guess(&model, 7, 1).unwrap();
            *session = session.fork().unwrap();
            session.step(&model, 7).unwrap();
        });
        assert_eq!(one_by_one, together);
        assert_eq!(after_a_rewind, together);
    }
}
