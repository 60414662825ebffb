//! An answer as it is made, token by token.

use crate::draft::Drafter;
use crate::session::Session;
use crate::splice::Spliced;
use crate::{
    Answer, CancelToken, Draft, DraftCounts, FinishReason, FusionError, GenerateOptions, Model,
    Timings, TokenScore, Usage,
};
use glm4v_language::{
    Choice, Constraint, Detokenizer, Reply, Sampler, StopStrings, Tokenizer, ToolCall,
    ToolCallSplitter, ToolFormat,
};
use serde_json::Value;
use std::collections::VecDeque;
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
    drafter: Option<Drafter>,
    /// Guesses that the session has run already and that no choice has confirmed yet, and the
    /// logits after each.
    drafts: VecDeque<u32>,
    ahead: VecDeque<Vec<f32>>,
    draft_counts: DraftCounts,
    /// Guesses of the last pass that had any, and how many of them were right so far.
    pass: (usize, usize),
    constraint: Option<Constraint>,
    /// The token that ends the thoughts, before which the constraint does not hold.
    thoughts_end: Option<u32>,
    /// Whether a token was chosen for the limit's sake.
    is_cut: bool,
    tools: Option<(ToolFormat, Value)>,
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
        let constraint = constraint(model, options)?; // before the long part, for it may be wrong
        if options.draft == Draft::Prediction {
            session.prepare_prediction(model);
        }
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
            drafter: Drafter::new(options.draft, inner.parts.prediction.is_some()),
            drafts: VecDeque::new(),
            ahead: VecDeque::new(),
            draft_counts: DraftCounts::default(),
            pass: (0, 0),
            constraint,
            thoughts_end: thoughts_end(model, options),
            is_cut: false,
            tools: options.tools.clone().map(|tools| (ToolFormat::of(&inner.format), tools)),
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
            tool_calls: self.tool_calls(),
            drafts: self.draft_counts,
        }
    }

    fn tool_calls(&self) -> Vec<ToolCall> {
        let Some((format, tools)) = &self.tools else { return Vec::new() };
        let mut splitter = ToolCallSplitter::new(*format, tools);
        let mut calls = splitter.push(&Reply::parse(&self.text).text).calls;
        calls.extend(splitter.finish().calls);
        calls
    }

    pub(crate) fn into_answer(mut self) -> (Answer, Session) {
        self.drop_drafts();
        (self.answer(), self.session)
    }

    /// Chooses the next token if its logits are there. Returns the token that has to be run next, or
    /// none at the end.
    pub(crate) fn choose(&mut self) -> Result<Option<u32>, FusionError> {
        if self.cancel.is_cancelled() && !matches!(self.state, State::Finished(_)) {
            self.state = State::Finished(FinishReason::Cancelled);
        }
        if let State::Logits(logits) = &mut self.state {
            let logits = std::mem::take(logits);
            let choice = self.sample(&logits)?;
            self.follow(choice.token)?;
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
                State::Logits(logits) => self.sample(&logits)?,
                State::Run(token) => {
                    let logits = self.run(token)?;
                    self.sample(&logits)?
                }
            };
        self.follow(choice.token)?;
        Ok(Some(self.accept(choice)))
    }

    /// Chooses a token, among those that the grammar allows where one holds, and while the text can
    /// still be ended within the token limit.
    fn sample(&mut self, logits: &[f32]) -> Result<Choice, FusionError> {
        let room = self.limit.saturating_sub(self.usage.completion);
        let Some(constraint) = &mut self.constraint else {
            return Ok(self.sampler.sample(logits, &self.history)?);
        };
        let choice = if self.thoughts_end.is_some() {
            self.sampler.sample(logits, &self.history)?
        } else {
            self.sampler.sample_among(logits, &self.history, constraint.allowed()?)?
        };
        let stops = &self.model.inner().stop_ids;
        if let Some(end) = self.thoughts_end.filter(|_| stops.contains(&choice.token)) {
            // A reply that ends within its thoughts would be no answer: the thoughts end instead.
            return Ok(self.sampler.sample_among(logits, &self.history, |other| other == end)?);
        }
        if room > LAST_ROOM {
            return Ok(choice);
        }
        match way_to_the_end(constraint, self.thoughts_end, stops, choice.token, room) {
            Some(token) if token != choice.token => {
                self.is_cut = true;
                Ok(self.sampler.sample_among(logits, &self.history, |other| other == token)?)
            }
            _ => Ok(choice),
        }
    }

    /// Moves the grammar on; thoughts do not.
    fn follow(&mut self, token: u32) -> Result<(), FusionError> {
        let Some(constraint) = &mut self.constraint else { return Ok(()) };
        match self.thoughts_end {
            Some(end) if end == token => self.thoughts_end = None,
            Some(_) => {}
            None if self.model.inner().stop_ids.contains(&token) => {}
            None => constraint.accept(token)?,
        }
        Ok(())
    }

    /// Runs a token, and guesses at those after it in the same pass; gives the logits after it.
    fn run(&mut self, token: u32) -> Result<Vec<f32>, FusionError> {
        let room = (self.limit - self.usage.completion).saturating_sub(1);
        self.drafts = match &mut self.drafter {
            None => VecDeque::new(),
            Some(Drafter::Lookup(lookup)) => lookup.propose(&self.history, room).into(),
            Some(Drafter::Prediction(count)) => {
                self.session.guess(&self.model, token, room.min(*count))?.into()
            }
        };
        if self.drafts.is_empty() {
            return self.session.step(&self.model, token);
        }
        self.draft_counts.proposed += self.drafts.len();
        self.draft_counts.passes += 1;
        self.pass = (self.drafts.len(), 0);
        let tokens: Vec<u32> = std::iter::once(token).chain(self.drafts.iter().copied()).collect();
        self.ahead = self.session.run(&self.model, &tokens)?.into();
        self.ahead.pop_front().ok_or(FusionError::EmptyPrompt)
    }

    /// After `token` was chosen: its own logits when it was guessed, else it must be run.
    fn after(&mut self, token: u32) -> State {
        let Some(&guess) = self.drafts.front() else { return State::Run(token) };
        if guess != token {
            self.drop_drafts();
            return State::Run(token);
        }
        self.drafts.pop_front();
        self.draft_counts.accepted += 1;
        self.pass.1 += 1;
        if self.drafts.is_empty() {
            self.learn();
        }
        self.ahead.pop_front().map_or(State::Run(token), State::Logits)
    }

    /// Forgets guesses that are not going to be confirmed.
    fn drop_drafts(&mut self) {
        if !self.drafts.is_empty() {
            if self.session.rewind(self.drafts.len()).is_err() {
                self.drafter = None; // the answer goes on without guesses
            }
            self.learn();
        }
        self.drafts.clear();
        self.ahead.clear();
    }

    fn learn(&mut self) {
        let (proposed, accepted) = self.pass;
        if let Some(drafter) = &mut self.drafter {
            drafter.learn(proposed, accepted);
        }
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
        let complete = self.constraint.as_ref().is_some_and(Constraint::is_complete);
        self.state = if ends || complete || self.stops.stopped() {
            let reason = if self.is_cut { FinishReason::Length } else { FinishReason::Stop };
            State::Finished(reason)
        } else if self.usage.completion >= self.limit {
            State::Finished(FinishReason::Length)
        } else {
            self.after(token.id)
        };
        if matches!(self.state, State::Finished(_)) {
            self.drop_drafts();
        }
        if matches!(self.state, State::Finished(_)) && !self.stops.stopped() {
            text += &self.stops.push(&self.detokenizer.finish());
            text += &self.stops.finish();
        }
        self.text += &text;
        Chunk { text, token }
    }
}

/// The grammar that the answer must follow, at its start.
fn constraint(model: &Model, options: &GenerateOptions) -> Result<Option<Constraint>, FusionError> {
    let Some(grammar) = &options.grammar else { return Ok(None) };
    let inner = model.inner();
    let vocab_size = model.decoder().config().vocab_size;
    Ok(Some(Constraint::new(grammar, &inner.tokenizer, vocab_size, &inner.stop_ids)?))
}

/// The token before which a grammar does not hold, when thoughts were asked for.
fn thoughts_end(model: &Model, options: &GenerateOptions) -> Option<u32> {
    let tokenizer = &model.inner().tokenizer;
    (options.thinking == Some(true)).then(|| tokenizer.token_id("</think>")).flatten()
}

/// Tokens before the limit from which on it is looked whether a grammar's text can still be ended.
const LAST_ROOM: usize = 256;

/// `choice` when the text can be ended in the room after it; else the token that leads to an end
/// within `room` tokens, and nothing where none does.
fn way_to_the_end(
    constraint: &Constraint,
    thoughts_end: Option<u32>,
    stops: &[u32],
    choice: u32,
    room: usize,
) -> Option<u32> {
    if let Some(end) = thoughts_end {
        let fits = choice == end || constraint.closing(room.saturating_sub(2)).is_some();
        return Some(if fits { choice } else { end });
    }
    let left = room.saturating_sub(1);
    if stops.contains(&choice) || constraint.closing_after(choice, left).is_some() {
        return Some(choice);
    }
    let path = constraint.closing(room)?;
    path.first().or(stops.first()).copied()
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
        let (runs, passes) = (matches!(self.state, State::Run(_)), self.draft_counts.passes);
        let step = self.step();
        let time = started.elapsed();
        self.timings.decode += time;
        if runs && passes == self.draft_counts.passes {
            self.timings.unguessed += time;
            self.timings.unguessed_steps += 1;
        }
        step.transpose()
    }
}
