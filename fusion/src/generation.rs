//! An answer as it is made, token by token.

use crate::session::Session;
use crate::splice::Spliced;
use crate::{
    Answer, CancelToken, FinishReason, FusionError, GenerateOptions, Model, Timings, TokenScore,
    Usage,
};
use glm4v_language::{Choice, Detokenizer, Sampler, StopStrings, Tokenizer};
use std::time::{Duration, Instant};

/// One step of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// The text that became certain with this token: whole characters, often none.
    pub text: String,
    /// The token, which may be the one that ends the answer.
    pub token: TokenScore,
}

/// An iterator over the tokens of an answer. Dropping it ends the work.
#[derive(Debug)]
pub struct Generation {
    model: Model,
    session: Session,
    sampler: Sampler,
    detokenizer: Detokenizer,
    stops: StopStrings,
    cancel: CancelToken,
    /// Ids of the prompt and the answer so far, which the repetition penalty looks at.
    history: Vec<u32>,
    limit: usize,
    /// What the reply begins with though the prompt ends with it.
    opening: &'static str,
    /// Logits of the next token, or the token whose logits are still to be computed.
    state: State,
    text: String,
    tokens: Vec<TokenScore>,
    usage: Usage,
    timings: Timings,
}

#[derive(Debug)]
enum State {
    Logits(Vec<f32>),
    Run(u32),
    Finished(FinishReason),
}

impl Generation {
    /// Runs the prompt on `session`; `ids` is the prompt before the splice.
    pub(crate) fn start(
        model: &Model,
        mut session: Session,
        ids: Vec<u32>,
        prompt: &Spliced,
        options: &GenerateOptions,
    ) -> Result<Self, FusionError> {
        let inner = model.inner();
        let started = Instant::now();
        let logits = session.prefill(model, prompt, &options.cancel)?;
        let mut sampling = options.sampling(&inner.generation);
        sampling.invalid_logits = inner.parts.invalid_logits;
        let limit =
            options.token_limit(&inner.generation, prompt.rows(), inner.info.context_length);
        let state =
            if limit == 0 { State::Finished(FinishReason::Length) } else { State::Logits(logits) };
        Ok(Self {
            model: model.clone(),
            session,
            sampler: Sampler::new(sampling)?,
            detokenizer: Detokenizer::of_reply(&inner.tokenizer),
            stops: StopStrings::new(options.stop.clone()),
            cancel: options.cancel.clone(),
            opening: opening(&inner.tokenizer, &ids),
            history: ids,
            limit,
            state,
            text: String::new(),
            tokens: Vec::new(),
            usage: Usage { prompt: prompt.rows(), image: prompt.image_rows(), completion: 0 },
            timings: Timings { prefill: started.elapsed(), ..Timings::default() },
        })
    }

    pub(crate) fn add_vision_time(&mut self, time: Duration) {
        self.timings.vision += time;
    }

    /// Runs to the end and gives the whole answer.
    ///
    /// # Errors
    /// When a step fails.
    pub fn finish(mut self) -> Result<Answer, FusionError> {
        self.by_ref().try_for_each(|chunk| chunk.map(drop))?;
        Ok(self.into_answer().0)
    }

    /// The answer so far, and why it ended; [`FinishReason::Cancelled`] when it has not.
    pub fn answer(&self) -> Answer {
        let finish_reason = match self.state {
            State::Finished(reason) => reason,
            _ => FinishReason::Cancelled,
        };
        Answer {
            text: self.text.clone(),
            finish_reason,
            usage: self.usage,
            timings: self.timings,
            tokens: self.tokens.clone(),
        }
    }

    pub(crate) fn into_answer(self) -> (Answer, Session) {
        (self.answer(), self.session)
    }

    /// Chooses the next token if its logits are there. Returns the token that has to be run next, or
    /// none at the end.
    pub(crate) fn choose(&mut self) -> Result<Option<u32>, FusionError> {
        if self.cancel.is_cancelled() && !matches!(self.state, State::Finished(_)) {
            self.state = State::Finished(FinishReason::Cancelled);
        }
        if let State::Logits(logits) = &self.state {
            let choice = self.sampler.sample(logits, &self.history)?;
            self.accept(choice);
        }
        Ok(if let State::Run(token) = self.state { Some(token) } else { None })
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Takes the logits after the token that had to be run, and the time that it took.
    pub(crate) fn take_logits(&mut self, logits: Vec<f32>, time: Duration) {
        self.state = State::Logits(logits);
        self.timings.decode += time;
    }

    fn step(&mut self) -> Result<Option<Chunk>, FusionError> {
        if self.cancel.is_cancelled() && !matches!(self.state, State::Finished(_)) {
            self.state = State::Finished(FinishReason::Cancelled);
        }
        let choice =
            match std::mem::replace(&mut self.state, State::Finished(FinishReason::Cancelled)) {
                State::Finished(reason) => {
                    self.state = State::Finished(reason);
                    return Ok(None);
                }
                State::Logits(logits) => self.sampler.sample(&logits, &self.history)?,
                State::Run(token) => {
                    let logits = self.session.step(&self.model, token)?;
                    self.sampler.sample(&logits, &self.history)?
                }
            };
        Ok(Some(self.accept(choice)))
    }

    /// Adds a chosen token to the answer and decides how to go on.
    fn accept(&mut self, choice: Choice) -> Chunk {
        let token = TokenScore { id: choice.token, log_probability: choice.log_probability };
        let ends = self.model.inner().stop_ids.contains(&token.id);
        let mut text = std::mem::take(&mut self.opening).to_owned();
        if !ends {
            self.history.push(token.id);
            self.tokens.push(token);
            self.usage.completion += 1;
            text += &self.stops.push(&self.detokenizer.push(token.id));
        }
        self.state = if ends || self.stops.stopped() {
            State::Finished(FinishReason::Stop)
        } else if self.usage.completion >= self.limit {
            State::Finished(FinishReason::Length)
        } else {
            State::Run(token.id)
        };
        if matches!(self.state, State::Finished(_)) && !self.stops.stopped() {
            text += &self.stops.push(&self.detokenizer.finish());
            text += &self.stops.finish();
        }
        self.text += &text;
        Chunk { text, token }
    }
}

/// Some templates open the model's thoughts at the end of the prompt.
fn opening(tokenizer: &Tokenizer, ids: &[u32]) -> &'static str {
    const THINK: &str = "<think>";
    let end = ids.get(ids.len().saturating_sub(8)..).unwrap_or_default();
    let opens = tokenizer.decode(end, false).trim_end().ends_with(THINK);
    if opens { THINK } else { "" }
}

impl Iterator for Generation {
    type Item = Result<Chunk, FusionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let started = Instant::now();
        let step = self.step();
        self.timings.decode += started.elapsed();
        step.transpose()
    }
}
