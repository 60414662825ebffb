//! One sequence that a decoder has run: its cache, and which rows are in it.

use crate::ahead::{Ahead, prompt_rows};
use crate::options::CancelToken;
use crate::splice::{Piece, Spliced};
use crate::{FusionError, Model};
use candle_core::Tensor;
use glm4v_kernels::Trace;
use glm4v_language::{Decoder, KvCache, LanguageError, Position, Positions};
use std::num::NonZeroUsize;

/// Rows of a prompt that are run at once; bounds the memory of activations.
const PREFILL_CHUNK: usize = 512;

/// Rows of an answer that the cache has room for from the start.
const ROOM: usize = 256;

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
    cache: KvCache,
    rows: Vec<RowSource>,
    next_position: u32,
    prefill_chunk: usize,
    /// What the prediction layer has of the rows, where it follows them.
    ahead: Option<Ahead>,
}

impl Session {
    pub(crate) fn new(decoder: &Decoder) -> Self {
        Self {
            cache: decoder.new_cache(),
            rows: Vec::new(),
            next_position: 0,
            prefill_chunk: PREFILL_CHUNK,
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
        Ok(Self { cache: self.cache.fork()?, rows: self.rows.clone(), ahead, ..*self })
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
        start = self.cache.truncate(start); // a recurrent state goes back to the very start
        self.rows.truncate(start);
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
            let length = self.prefill_chunk.min(sources.len() - start);
            let chunk = rows.narrow(0, start, length)?;
            let positions = prompt.positions.slice(start, length);
            let hidden = decoder.forward(&chunk, &positions, &mut self.cache, &mut Trace::off())?;
            if let (Some((ahead, layer)), Some(next)) = (&mut ahead, &next) {
                ahead.follow((model, layer), (prompt, next), start, &hidden)?;
            }
            start += length;
            self.rows.extend(sources.iter().take(start).skip(self.rows.len()));
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

    /// Runs one token and returns the logits after it, `(vocab_size)`.
    pub(crate) fn step(&mut self, model: &Model, token: u32) -> Result<Vec<f32>, FusionError> {
        let logits = step_together(model, &mut [(self, token)])?;
        logits.into_iter().next().ok_or(FusionError::EmptyPrompt)
    }

    /// Runs tokens in one pass and returns the logits after each, `(vocab_size)`.
    pub(crate) fn run(
        &mut self,
        model: &Model,
        tokens: &[u32],
    ) -> Result<Vec<Vec<f32>>, FusionError> {
        let hidden = self.run_tokens(model, tokens)?; // (tokens, hidden)
        Ok(model.decoder().logits(&hidden)?.to_vec2()?)
    }

    fn run_tokens(&mut self, model: &Model, tokens: &[u32]) -> Result<Tensor, FusionError> {
        let rows = model.decoder().embed(tokens)?; // (tokens, hidden)
        let positions = Positions::sequential(self.next_position, tokens.len());
        let hidden =
            model.decoder().forward(&rows, &positions, &mut self.cache, &mut Trace::off())?;
        if let Some(ahead) = &mut self.ahead {
            ahead.push(&hidden)?;
        }
        self.next_position += tokens.len() as u32;
        self.rows.extend(tokens.iter().map(|&token| RowSource::Token(token)));
        Ok(hidden)
    }

    /// Forgets the last `rows` rows, which were run one by one or together as tokens.
    ///
    /// # Errors
    /// When memory runs out for what the prediction layer keeps; [`FusionError::NoWayBack`] for a
    /// decoder that cannot, whose session is empty then.
    pub(crate) fn rewind(&mut self, rows: usize) -> Result<(), FusionError> {
        let length = self.rows.len().saturating_sub(rows);
        self.next_position = self.next_position.saturating_sub((self.rows.len() - length) as u32);
        self.rows.truncate(length);
        if self.cache.truncate(length) != length {
            self.rows.clear();
            return Err(FusionError::NoWayBack);
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
    let tokens: Vec<u32> = steps.iter().map(|(_, token)| *token).collect();
    let rows = decoder.embed(&tokens)?; // (sessions, hidden)
    let at = |(session, _): &(&mut Session, u32)| Position::text(session.next_position);
    let positions: Positions = steps.iter().map(at).collect();
    let mut caches: Vec<_> = steps.iter_mut().map(|(session, _)| (1, &mut session.cache)).collect();
    let hidden = decoder.forward_together(&rows, &positions, &mut caches, &mut Trace::off())?;
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

fn last_logits(decoder: &Decoder, hidden: &Tensor) -> Result<Vec<f32>, FusionError> {
    let last = hidden.narrow(0, hidden.dim(0)? - 1, 1)?; // (1, hidden)
    Ok(decoder.logits(&last)?.squeeze(0)?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VisualTokens;
    use crate::ask::user_message;
    use crate::fixtures::{folder, model};
    use glm4v_vision::Image;

    fn picture(model: &Model) -> VisualTokens {
        model.embed(&Image::open(folder("glm4v").join("one_image_0.png")).unwrap()).unwrap()
    }

    fn prompt(model: &Model, visuals: &[VisualTokens], question: &str) -> Spliced {
        model.prompt(&[user_message(visuals, question)], visuals, None, None).unwrap().1
    }

    fn prefill(session: &mut Session, model: &Model, prompt: &Spliced) -> Vec<f32> {
        session.prefill(model, prompt, &CancelToken::default()).unwrap()
    }

    fn near(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        let most = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most < 2e-4, "logits differ by {most}");
    }

    #[test]
    fn chunks_give_what_one_pass_gives() {
        for name in ["glm4v", "glm4v_9b", "glm4v_moe", "glm5_next"] {
            let model = model(name);
            let prompt = prompt(&model, &[picture(&model)], "What is in the first frame?");
            let whole = prefill(&mut Session::new(model.decoder()), &model, &prompt);
            for rows in [1, 2, 5, 16, prompt.rows() - 1, prompt.rows()] {
                let chunk = NonZeroUsize::new(rows).unwrap();
                let mut session = Session::new(model.decoder()).with_prefill_chunk(chunk);
                near(&prefill(&mut session, &model, &prompt), &whole);
                assert_eq!(session.len(), prompt.rows());
            }
        }
    }

    #[test]
    fn a_reused_beginning_gives_what_a_fresh_run_gives() {
        for name in ["glm4v", "glm5_next"] {
            let model = model(name);
            let visuals = [picture(&model)];
            let questions = ["What is it?", "What is it made of, and why?", "Why?", "What is it?"];
            let mut session = Session::new(model.decoder());
            for question in questions {
                let prompt = prompt(&model, &visuals, question);
                let fresh = prefill(&mut Session::new(model.decoder()), &model, &prompt);
                near(&prefill(&mut session, &model, &prompt), &fresh);
                assert_eq!(session.len(), prompt.rows());
                session.step(&model, 7).unwrap(); // an answer that the next prompt leaves out
            }
        }
    }

    #[test]
    fn a_recurrent_state_goes_on_or_starts_anew() {
        let model = model("glm5_next");
        let (ids, prompt) = model.prompt(&[user_message(&[], "Why?")], &[], None, None).unwrap();
        let mut session = Session::new(model.decoder());
        prefill(&mut session, &model, &prompt);
        session.step(&model, 65).unwrap();
        // The same rows and more: only those are run.
        let longer = model.splice(&[&ids[..], &[65, 66, 67]].concat(), &[]).unwrap();
        let fresh = prefill(&mut Session::new(model.decoder()), &model, &longer);
        near(&prefill(&mut session, &model, &longer), &fresh);
        // An earlier row: there is no way back to it.
        assert!(matches!(session.rewind(1), Err(FusionError::NoWayBack)));
        assert_eq!((session.len(), session.cache.len()), (0, 0));
        near(&prefill(&mut session, &model, &longer), &fresh);
    }

    #[test]
    fn the_common_beginning_is_not_run_again() {
        let model = model("glm4v");
        let longer = prompt(&model, &[], "What is it made of?");
        let fresh = prefill(&mut Session::new(model.decoder()), &model, &longer);
        // A cache that claims to hold this prompt's rows and holds another's must show.
        let mut session = Session::new(model.decoder());
        prefill(&mut session, &model, &prompt(&model, &[], "Why, and what, is the total?"));
        session.rows = row_sources(&longer);
        session.rows.truncate(session.cache.len());
        let found = prefill(&mut session, &model, &longer);
        assert!(found.iter().zip(&fresh).any(|(a, b)| (a - b).abs() > 0.1));
    }

    #[test]
    fn another_picture_is_not_taken_for_the_cached_one() {
        let model = model("glm4v");
        let other = Image::open(folder("glm4v").join("video_v0_f0.png")).unwrap();
        let other = model.embed(&other).unwrap();
        let mut session = Session::new(model.decoder());
        prefill(&mut session, &model, &prompt(&model, &[picture(&model)], "What?"));
        let prompt = prompt(&model, &[other], "What?");
        let fresh = prefill(&mut Session::new(model.decoder()), &model, &prompt);
        near(&prefill(&mut session, &model, &prompt), &fresh);
    }

    #[test]
    fn a_step_gives_what_a_longer_prompt_gives() {
        for name in ["glm4v", "glm4v_9b", "glm4", "glm5_next"] {
            let model = model(name);
            let visuals = if model.info().vision { vec![picture(&model)] } else { Vec::new() };
            let (mut ids, prompt) =
                model.prompt(&[user_message(&visuals, "What?")], &visuals, None, None).unwrap();
            let mut session = Session::new(model.decoder());
            prefill(&mut session, &model, &prompt);
            for token in [65, 66, 300] {
                ids.push(token);
                let longer = model.splice(&ids, &visuals).unwrap();
                let expected = prefill(&mut Session::new(model.decoder()), &model, &longer);
                near(&session.step(&model, token).unwrap(), &expected);
            }
        }
    }

    #[test]
    fn steps_made_together_give_what_each_gives_alone() {
        for name in ["glm4v", "glm4v_9b", "glm4", "glm5_next"] {
            let model = model(name);
            let visuals = if model.info().vision { vec![picture(&model)] } else { Vec::new() };
            let prompts = ["What?", "What is it made of, and why?", "Why?"]
                .map(|question| prompt(&model, &visuals, question));
            let mut sessions: Vec<Session> = prompts
                .iter()
                .map(|prompt| {
                    let mut session = Session::new(model.decoder());
                    prefill(&mut session, &model, prompt);
                    session
                })
                .collect();
            let mut alone: Vec<Session> = sessions.iter().map(|s| s.fork().unwrap()).collect();
            for tokens in [[65, 66, 300], [7, 66, 9]] {
                let mut steps: Vec<_> = sessions.iter_mut().zip(tokens).collect();
                let together = step_together(&model, &mut steps).unwrap();
                for ((session, token), logits) in alone.iter_mut().zip(tokens).zip(together) {
                    // To the bit: an answer does not depend on those made beside it.
                    assert_eq!(logits, session.step(&model, token).unwrap());
                }
            }
        }
    }

    #[test]
    fn tokens_run_together_give_the_bits_of_steps() {
        for name in ["glm4v", "glm4v_9b", "glm4", "glm4v_moe", "glm5_next"] {
            let model = model(name);
            let question = "Why, and what, is the total of all that it is made of? ".repeat(12);
            let prompt = prompt(&model, &[], &question);
            let mut one_by_one = Session::new(model.decoder());
            prefill(&mut one_by_one, &model, &prompt);
            let mut together = one_by_one.fork().unwrap();
            let tokens: Vec<u32> = (65..78).collect();
            let steps: Vec<_> =
                tokens.iter().map(|&token| one_by_one.step(&model, token).unwrap()).collect();
            assert!(together.run(&model, &tokens).unwrap() == steps, "{name}");
        }
    }

    #[test]
    fn a_cancelled_prefill_ends() {
        let model = model("glm4v");
        let cancel = CancelToken::default();
        cancel.cancel();
        let prompt = prompt(&model, &[], "What?");
        let result = Session::new(model.decoder()).prefill(&model, &prompt, &cancel);
        assert!(matches!(result, Err(FusionError::Cancelled)));
    }
}
