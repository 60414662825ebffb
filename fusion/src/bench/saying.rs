//! A given text as an answer, with guesses by look-up and without.

use super::{Bench, Phase, Work, prefill};
use crate::FusionError;
use crate::draft::Lookup;
use candle_core::{D, Tensor};
use glm4v_kernels::Trace;
use glm4v_language::{Decoder, KvCache, LanguageError, Positions, Tokenizer};
use glm4v_weights::Files;
use std::path::Path;
use std::time::Instant;

/// The decoder at its work, and the text that it is made to say.
struct Saying<'a> {
    decoder: &'a Decoder,
    cache: KvCache,
    prompt: &'a [u32],
    text: &'a [u32],
}

/// How the guesses of one run fared.
#[derive(Clone, Copy, Default)]
struct Guesses {
    proposed: usize,
    accepted: usize,
}

impl Saying<'_> {
    /// Says the whole text, with guesses where there is a look-up; gives the seconds that a token took.
    fn say(&mut self, mut lookup: Option<Lookup>) -> Result<(f64, Guesses), FusionError> {
        self.cache.truncate(self.prompt.len());
        let mut history = self.prompt.to_vec();
        let mut guesses = Guesses::default();
        let started = Instant::now();
        let mut said = 0;
        while let Some(&token) = self.text.get(said) {
            history.push(token);
            said += 1;
            let left = self.text.get(said..).unwrap_or_default();
            let proposed = lookup.as_mut().map(|lookup| lookup.propose(&history, left.len()));
            let proposed = proposed.unwrap_or_default();
            self.run(token, &proposed)?;
            let accepted = proposed.iter().zip(left).take_while(|(a, b)| a == b).count();
            if let Some(lookup) = lookup.as_mut().filter(|_| !proposed.is_empty()) {
                lookup.learn(proposed.len(), accepted);
            }
            history.extend(left.iter().take(accepted));
            said += accepted;
            self.cache.truncate(history.len());
            guesses.proposed += proposed.len();
            guesses.accepted += accepted;
        }
        Ok((started.elapsed().as_secs_f64() / self.text.len().max(1) as f64, guesses))
    }

    /// Runs a token and what was guessed to follow it, and chooses after each as a greedy answer does.
    fn run(&mut self, token: u32, guesses: &[u32]) -> Result<Vec<u32>, FusionError> {
        let tokens: Vec<u32> = std::iter::once(token).chain(guesses.iter().copied()).collect();
        let rows = self.decoder.embed(&tokens)?; // (tokens, hidden)
        let positions = Positions::sequential(self.cache.len() as u32, tokens.len());
        let hidden = self.decoder.forward(&rows, &positions, &mut self.cache, &mut Trace::off())?;
        let logits: Tensor = self.decoder.logits(&hidden)?; // (tokens, vocabulary)
        Ok(logits.argmax(D::Minus1)?.to_vec1()?)
    }
}

impl Bench {
    /// Whether the decoder can take back tokens that were guessed, which saying a text with guesses
    /// needs.
    pub fn can_say(&self) -> bool {
        self.parts.decoder.rewinds()
    }

    /// Ids of a text, by the model's tokenizer or, where a shape has none, by that of a folder.
    ///
    /// # Errors
    /// When there is no tokenizer, or it is none of the family's.
    pub fn tokens_of(&self, text: &str, folder: Option<&Path>) -> Result<Vec<u32>, FusionError> {
        let folder = folder.map(|folder| Tokenizer::from_files(&Files::Folder(folder.to_owned())));
        let own = self.model.as_ref().map(|model| model.inner().tokenizer.clone());
        let tokenizer = folder.transpose()?.or(own).ok_or_else(|| {
            let expected = "tokenizer.json".to_owned();
            FusionError::from(LanguageError::NoTokenizer { expected })
        })?;
        Ok(tokenizer.encode_ordinary(text)?)
    }

    /// Times the tokens of a text that the decoder is made to say, without guesses and with them, in
    /// turn. What a model with random weights would say itself repeats nothing that there is to guess
    /// from; the time that a pass takes does not depend on what it says.
    pub(super) fn time_saying(
        &self,
        work: &Work,
        on_phase: &mut dyn FnMut(&Phase),
    ) -> Result<(), FusionError> {
        let decoder = &self.parts.decoder;
        if !self.can_say() {
            return Ok(());
        }
        let vocabulary = decoder.config().vocab_size as u32;
        let prompt = self.prompt(work);
        let text: Vec<u32> = work.say.iter().map(|id| id % vocabulary.max(1)).collect();
        let mut cache = decoder.new_cache();
        prefill(decoder, &decoder.embed(&prompt)?, &mut cache)?;
        let mut saying = Saying { decoder, cache, prompt: &prompt, text: &text };
        let mut seconds = [Vec::new(), Vec::new()];
        let mut guesses = Guesses::default();
        for round in 0..=work.rounds.max(1) {
            let plain = saying.say(None)?.0;
            let (guessed, counts) = saying.say(Some(Lookup::default()))?;
            if round > 0 {
                seconds[0].push(plain);
                seconds[1].push(guessed);
            }
            guesses = counts;
        }
        seconds.iter_mut().for_each(|seconds| seconds.sort_by(f64::total_cmp));
        let size = format!("{} tokens", text.len());
        let [plain, guessed] =
            [("say", &seconds[0]), ("say drafts", &seconds[1])].map(|(name, seconds)| {
                let phase = self.phase(name, size.clone(), seconds, None);
                Phase { tokens_per_second: Some(1e3 / phase.ms), ..phase }
            });
        let gain = Some(plain.ms / guessed.ms);
        let acceptance =
            (guesses.proposed > 0).then(|| guesses.accepted as f64 / guesses.proposed as f64);
        on_phase(&plain);
        on_phase(&Phase { gain, acceptance, ..guessed });
        Ok(())
    }
}
