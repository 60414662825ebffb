//! A whole answer with drafts beside the same without.

use super::{Bench, Phase, Work};
use crate::ask::user_message;
use crate::session::Session;
use crate::{Answer, Draft, FusionError, GenerateOptions, Image, Message, Model, VisualTokens};
use glm4v_vision::ImageOptions;

/// What is asked about the picture, which every model of the family has something to say to.
const DESCRIBE: &str = "Describe this image.";

/// What a model without eyes is asked.
const COPY: &str =
    "Copy this table:\nApples | 42 kg | 3.10\nPears | 17 kg | 2.80\nFigs | 42 kg | 3.10";

/// One way of making the answer: its session, which keeps the prompt, and what was timed.
struct Answers {
    draft: Draft,
    session: Option<Session>,
    /// Of a token, in each timed round.
    seconds: Vec<f64>,
    last: Option<Answer>,
}

impl Answers {
    fn new(draft: Draft) -> Self {
        Self { draft, session: None, seconds: Vec::new(), last: None }
    }

    /// Makes the answer once more.
    fn make(
        &mut self,
        model: &Model,
        message: &Message,
        images: &[VisualTokens],
        most: usize,
    ) -> Result<(), FusionError> {
        let options = GenerateOptions {
            max_tokens: Some(most),
            temperature: Some(0.0),
            draft: self.draft,
            ..GenerateOptions::default()
        };
        let session = self.session.take().unwrap_or_else(|| Session::new(model.decoder()));
        let messages = std::slice::from_ref(message);
        let mut generation = model.generate_on(session, messages, images, &options)?;
        generation.by_ref().try_for_each(|chunk| chunk.map(drop))?;
        let (answer, session) = generation.into_answer();
        let tokens = answer.usage.completion.max(1) as f64;
        self.seconds.push(answer.timings.decode.as_secs_f64() / tokens);
        (self.session, self.last) = (Some(session), Some(answer));
        Ok(())
    }

    /// The phase, of which the first round was to warm up; `None` when the answer was empty.
    fn phase(&mut self, bench: &Bench, name: &'static str) -> Option<Phase> {
        let answer = self.last.as_ref().filter(|answer| answer.usage.completion > 0)?;
        let timed = self.seconds.get_mut(1..)?;
        timed.sort_by(f64::total_cmp);
        let phase = bench.phase(name, format!("{} tokens", answer.usage.completion), timed, None);
        let drafts = answer.drafts;
        Some(Phase {
            tokens_per_second: Some(1e3 / phase.ms),
            acceptance: (drafts.proposed > 0)
                .then(|| drafts.accepted as f64 / drafts.proposed as f64),
            ..phase
        })
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
        let (images, question) = match model.info().vision {
            true => {
                let image = Image::from_bytes(&work.image, &ImageOptions::default())?;
                (vec![model.embed(&image)?], DESCRIBE)
            }
            false => (Vec::new(), COPY),
        };
        let message = user_message(&images, question);
        let [mut plain, mut drafted] = [Draft::Off, work.draft].map(Answers::new);
        for _ in 0..=work.rounds.max(1) {
            plain.make(model, &message, &images, work.answer)?;
            drafted.make(model, &message, &images, work.answer)?;
        }
        if let (Some(plain), Some(drafted)) =
            (plain.phase(self, "answer"), drafted.phase(self, "answer drafts"))
        {
            let gain = Some(plain.ms / drafted.ms);
            on_phase(&plain);
            on_phase(&Phase { gain, ..drafted });
        }
        Ok(())
    }
}
