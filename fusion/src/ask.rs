//! The ways to put a question.

use crate::batch::answer_together;
use crate::generation::Generation;
use crate::session::{Session, embed_rows};
use crate::{Answer, FusionError, GenerateOptions, Model, TokenScore, VisualTokens};
use glm4v_kernels::Trace;
use glm4v_language::{Message, Part, Role, log_softmax};
use glm4v_vision::Image;
use std::time::Instant;

impl Model {
    /// Answers a question about some images, seen together; with no image, about nothing but the
    /// text.
    ///
    /// # Errors
    /// When an image can't be taken, the prompt is too long, or the answer was cancelled before
    /// its first token.
    pub fn ask(
        &self,
        images: &[Image],
        question: &str,
        options: &GenerateOptions,
    ) -> Result<Answer, FusionError> {
        self.stream(images, question, options)?.finish()
    }

    /// Like [`Self::ask`], but gives the tokens as they come.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn stream(
        &self,
        images: &[Image],
        question: &str,
        options: &GenerateOptions,
    ) -> Result<Generation, FusionError> {
        let started = Instant::now();
        let images = images.iter().map(|image| self.embed(image)).collect::<Result<Vec<_>, _>>()?;
        let vision_time = started.elapsed();
        let mut generation = self.stream_visual(&images, question, options)?;
        generation.add_vision_time(vision_time);
        Ok(generation)
    }

    /// Like [`Self::stream`], over visual tokens that [`Self::embed`] made before.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn stream_visual(
        &self,
        images: &[VisualTokens],
        question: &str,
        options: &GenerateOptions,
    ) -> Result<Generation, FusionError> {
        self.generate(&[user_message(images, question)], images, options)
    }

    /// Answers several questions about the same images, whose visual tokens are made once. The
    /// part of the prompt that the questions share is run once too, and the answers are made
    /// together, a token of each in one pass over the weights.
    ///
    /// # Errors
    /// As [`Self::ask`]; the first failure ends it.
    pub fn ask_many(
        &self,
        images: &[Image],
        questions: &[&str],
        options: &GenerateOptions,
    ) -> Result<Vec<Answer>, FusionError> {
        let started = Instant::now();
        let images = images.iter().map(|image| self.embed(image)).collect::<Result<Vec<_>, _>>()?;
        let mut vision_time = started.elapsed();
        let mut shared: Option<Session> = None;
        let start = |question: &str| {
            let session = match &shared {
                Some(session) => session.fork()?,
                None => Session::new(self.decoder()),
            };
            let messages = [user_message(&images, question)];
            let mut generation = self.generate_on(session, &messages, &images, options)?;
            generation.add_vision_time(std::mem::take(&mut vision_time));
            if shared.is_none() {
                shared = Some(generation.session().fork()?);
            }
            Ok(generation)
        };
        answer_together(self, questions.iter().copied(), start)
    }

    /// Answers a whole conversation. `images` are the pictures and videos of all messages, in order.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn generate(
        &self,
        messages: &[Message],
        images: &[VisualTokens],
        options: &GenerateOptions,
    ) -> Result<Generation, FusionError> {
        self.generate_on(Session::new(self.decoder()), messages, images, options)
    }

    pub(crate) fn generate_on(
        &self,
        session: Session,
        messages: &[Message],
        images: &[VisualTokens],
        options: &GenerateOptions,
    ) -> Result<Generation, FusionError> {
        let (ids, prompt) =
            self.prompt(messages, images, options.prompt_thinking(), options.tools.as_ref())?;
        Generation::start(self, session, ids, &prompt, options)
    }

    /// Goes on from a text, without a conversation around it. Special tokens in the text count as
    /// such; the marks that GLM sequences begin with are put in front when they are missing.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn complete(
        &self,
        text: &str,
        options: &GenerateOptions,
    ) -> Result<Generation, FusionError> {
        let tokenizer = &self.inner().tokenizer;
        let mut ids = tokenizer.encode(text)?;
        let start: Option<Vec<u32>> =
            ["[gMASK]", "<sop>"].iter().map(|mark| tokenizer.token_id(mark)).collect();
        if let Some(start) = start.filter(|start| !ids.starts_with(start)) {
            ids.splice(0..0, start);
        }
        let prompt = self.splice(&ids, &[])?;
        Generation::start(self, Session::new(self.decoder()), ids, &prompt, options)
    }

    /// How likely the model finds a given answer: the log-probability of each token of
    /// `continuation` after the question and the tokens before it.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn log_probabilities(
        &self,
        images: &[Image],
        question: &str,
        continuation: &str,
    ) -> Result<Vec<TokenScore>, FusionError> {
        let images = images.iter().map(|image| self.embed(image)).collect::<Result<Vec<_>, _>>()?;
        let mut ids = self.encode(&[user_message(&images, question)], None, None)?;
        let continuation = self.inner().tokenizer.encode_ordinary(continuation)?;
        ids.extend(&continuation);
        let prompt = self.splice(&ids, &images)?;
        let rows = embed_rows(self.decoder(), &prompt, |ids| self.decoder().embed(ids))?; // (length, hidden)
        let mut cache = self.decoder().new_cache();
        let hidden =
            self.decoder().forward(&rows, &prompt.positions, &mut cache, &mut Trace::off())?;
        let start = (prompt.rows() - continuation.len()).saturating_sub(1);
        let logits = self.decoder().logits(&hidden.narrow(0, start, continuation.len())?)?; // (tokens, vocab)
        let rows: Vec<Vec<f32>> = logits.to_vec2()?;
        let score = |(&id, row): (&u32, &Vec<f32>)| {
            let log_probability =
                log_softmax(row).get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
            TokenScore { id, log_probability }
        };
        Ok(continuation.iter().zip(&rows).map(score).collect())
    }
}

/// A user's message: the images and videos first, as every model of the family was trained, then
/// the text.
pub(crate) fn user_message(visuals: &[VisualTokens], text: &str) -> Message {
    let place = |tokens: &VisualTokens| if tokens.is_video() { Part::Video } else { Part::Image };
    let mut parts: Vec<Part> = visuals.iter().map(place).collect();
    parts.push(Part::Text(text.to_owned()));
    Message::new(Role::User, parts)
}
