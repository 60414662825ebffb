//! A whole answer with drafts beside the same without.

use super::{Bench, Phase, Work};
use crate::ask::user_message;
use crate::session::Session;
use crate::{Answer, Draft, FusionError, GenerateOptions, Image, Model};
use glm4v_vision::ImageOptions;

/// What is asked about the picture, which every model of the family has something to say to.
const DESCRIBE: &str = "Describe this image.";

/// What a model without eyes is asked.
const COPY: &str =
    "Copy this table:\nApples | 42 kg | 3.10\nPears | 17 kg | 2.80\nFigs | 42 kg | 3.10";

/// Seconds a token of each timed answer, and the drafts of the last one.
#[derive(Default)]
struct Answers {
    seconds: Vec<f64>,
    tokens: usize,
    acceptance: Option<f64>,
}

impl Answers {
    fn add(&mut self, answer: &Answer) {
        self.tokens = answer.usage.completion;
        self.seconds.push(answer.timings.decode.as_secs_f64() / self.tokens.max(1) as f64);
        let counts = answer.drafts;
        self.acceptance =
            (counts.proposed > 0).then(|| counts.accepted as f64 / counts.proposed as f64);
    }

    fn median(&mut self) -> f64 {
        self.seconds.sort_by(f64::total_cmp);
        self.seconds.get(self.seconds.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

impl Bench {
    /// Times the tokens of an answer without drafts and with them, in turn, as the model gives it.
    pub(super) fn time_answers(
        &self,
        model: &Model,
        work: &Work,
        on_phase: &mut dyn FnMut(&Phase),
    ) -> Result<(), FusionError> {
        let image = Image::from_bytes(&work.image, &ImageOptions::default())?;
        let eyes = model.info().vision;
        let images = if eyes { vec![model.embed(&image)?] } else { Vec::new() };
        let message = user_message(&images, if eyes { DESCRIBE } else { COPY });
        let mut session = Session::new(model.decoder());
        if work.draft == Draft::Prediction {
            session.prepare_prediction(model);
        }
        let mut session = Some(session);
        let mut answer = |draft| {
            let options = GenerateOptions {
                max_tokens: Some(work.answer),
                temperature: Some(0.0),
                draft,
                ..GenerateOptions::default()
            };
            let started = session.take().unwrap_or_else(|| Session::new(model.decoder()));
            let messages = std::slice::from_ref(&message);
            let mut generation = model.generate_on(started, messages, &images, &options)?;
            generation.by_ref().try_for_each(|chunk| chunk.map(drop))?;
            let (answer, ended) = generation.into_answer();
            session = Some(ended);
            Ok::<_, FusionError>(answer)
        };
        let (mut plain, mut drafted) = (Answers::default(), Answers::default());
        for round in 0..=work.rounds.max(1) {
            let (without, with) = (answer(Draft::Off)?, answer(work.draft)?);
            if round > 0 {
                plain.add(&without);
                drafted.add(&with);
            }
        }
        if plain.tokens == 0 {
            return Ok(()); // the model has nothing to say
        }
        let gain = plain.median() / drafted.median();
        let work_of = |answers: &Answers| format!("{} tokens", answers.tokens);
        on_phase(&self.phase("answer", work_of(&plain), &plain.seconds, None).of_tokens(1));
        let phase = self.phase("answer drafts", work_of(&drafted), &drafted.seconds, None);
        let acceptance = drafted.acceptance;
        on_phase(&Phase { acceptance, gain: Some(gain), ..phase.of_tokens(1) });
        Ok(())
    }
}

impl Phase {
    /// With the rate of so many tokens in its time.
    fn of_tokens(self, tokens: usize) -> Self {
        Self { tokens_per_second: Some(tokens as f64 / self.ms * 1e3), ..self }
    }
}
