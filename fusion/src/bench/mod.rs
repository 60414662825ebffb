//! The speed of each phase: a file's bytes to pixels, pixels to patches, patches to visual tokens,
//! prompt, answer.

mod answers;
mod cost;
mod saying;
mod shapes;

pub use glm4v_kernels::Limits;
pub use shapes::shapes;

use crate::family::Parts;
use crate::memory::available_memory;
use crate::quantise::of_tables;
use crate::visual::VisionModel;
use crate::{Draft, FusionError, Model};
use candle_core::{DType, Tensor};
use cost::Cost;
use glm4v_kernels::Trace;
use glm4v_language::{CacheType, Decoder, KvCache, Position, Positions};
use glm4v_vision::{Image, ImageOptions};
use glm4v_weights::Quantisation;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// Rows of a prompt that run at once, as in a session.
const PREFILL_CHUNK: usize = 512;

/// A model whose phases are to be timed.
#[derive(Debug)]
pub struct Bench {
    name: String,
    parts: Arc<Parts>,
    quant: Option<Quantisation>,
    /// There when it is one that can answer.
    model: Option<Model>,
}

/// What is to be timed.
#[derive(Clone, Debug)]
pub struct Work {
    /// The bytes of an image file.
    pub image: Vec<u8>,
    /// Rows of the prompt; 0 leaves the decoder out.
    pub prompt: usize,
    /// Tokens after the prompt.
    pub decode: usize,
    /// Sequences whose tokens are made together, timed besides one alone; 1 leaves that out.
    pub batch: usize,
    /// The most tokens of an answer that is made with drafts and without; 0 leaves that out. A
    /// model with random weights has no answers.
    pub answer: usize,
    /// Where the drafts of that answer come from.
    pub draft: Draft,
    /// Ids of a text that the decoder is made to say after the prompt, as if it had chosen it, with
    /// guesses by look-up and without; none leaves that out. Ids beyond the vocabulary stand for others.
    pub say: Vec<u32>,
    /// Timed runs of each phase, after one that is not timed.
    pub rounds: usize,
}

/// How fast a phase was.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// What was timed.
    pub name: &'static str,
    /// What went in, such as `1600 patches`.
    pub work: String,
    /// The median of the timed runs, in milliseconds.
    pub ms: f64,
    /// The fastest of them.
    pub least_ms: f64,
    /// Tokens a second, in phases that make or read tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Multiplications and additions a second, in units of 10¹².
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tflops: Option<f64>,
    /// Weights and cached rows read from memory a second, in units of 10⁹ bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gigabytes_per_second: Option<f64>,
    /// Of the tokens that were guessed, the share that the model would have chosen too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<f64>,
    /// How many times faster a token was than without guesses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<f64>,
}

impl Bench {
    /// Times a loaded model.
    pub fn of_model(model: &Model) -> Self {
        let inner = model.inner();
        let quant = inner.info.quant.and_then(Quantisation::parse);
        let (name, parts) = (inner.info.name.clone(), inner.parts.clone());
        Self { name, parts, quant, model: Some(model.clone()) }
    }

    /// What is timed, in words.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of the weights, in which products are taken.
    pub fn dtype(&self) -> DType {
        self.parts.decoder.weight_dtype()
    }

    /// What the matrices were quantised to while they were loaded.
    pub fn quant(&self) -> Option<Quantisation> {
        self.quant
    }

    /// Times each phase and tells of it as soon as it is done.
    ///
    /// # Errors
    /// When a phase fails.
    pub fn run(&self, work: &Work, on_phase: &mut dyn FnMut(&Phase)) -> Result<(), FusionError> {
        if let Some(vision) = &self.parts.vision {
            self.time_vision(vision, work, on_phase)?;
        }
        if work.prompt > 0 {
            self.time_decoder(work, on_phase)?;
        }
        if work.prompt > 0 && !work.say.is_empty() {
            self.time_saying(work, on_phase)?;
        }
        if let Some(model) = self.model.as_ref().filter(|_| work.answer > 0) {
            self.time_answers(model, work, on_phase)?;
        }
        Ok(())
    }

    fn time_vision(
        &self,
        vision: &VisionModel,
        work: &Work,
        on_phase: &mut dyn FnMut(&Phase),
    ) -> Result<(), FusionError> {
        let decode = || Ok(Image::from_bytes(&work.image, &ImageOptions::default())?);
        let (timing, image) = time(work.rounds, decode)?;
        on_phase(&self.phase("decode image", format!("{} bytes", work.image.len()), &timing, None));

        let (dtype, device) = (self.parts.decoder.dtype(), self.parts.decoder.device());
        let (timing, pixels) = time(work.rounds, || vision.preprocess(&image, dtype, device))?;
        let size = format!("{} x {}", image.width(), image.height());
        on_phase(&self.phase("preprocess", size, &timing, None));

        let (timing, tokens) = time(work.rounds, || vision.run_tower(&pixels))?;
        let patches = pixels.grid.patches();
        let size = format!("{patches} patches");
        let cost = (cost::vision(vision, self.parts.decoder.config(), patches), tokens.len());
        on_phase(&self.phase("vision", size, &timing, Some(cost)));
        Ok(())
    }

    fn time_decoder(
        &self,
        work: &Work,
        on_phase: &mut dyn FnMut(&Phase),
    ) -> Result<(), FusionError> {
        self.check_room(work)?;
        let decoder = &self.parts.decoder;
        let rows = decoder.embed(&self.prompt(work))?;
        let mut cache = decoder.new_cache();
        let (timing, ()) = time(work.rounds, || {
            cache.truncate(0);
            prefill(decoder, &rows, &mut cache)
        })?;
        let cost = (cost::decoder(decoder.config(), work.prompt, 0), work.prompt);
        on_phase(&self.phase("prefill", format!("{} rows", work.prompt), &timing, Some(cost)));
        if work.decode == 0 {
            return Ok(());
        }
        on_phase(&self.time_decode(work, std::slice::from_mut(&mut cache), "decode")?);
        if work.batch > 1 {
            cache.truncate(work.prompt);
            let caches = (0..work.batch).map(|_| cache.fork()).collect::<Result<Vec<_>, _>>();
            on_phase(&self.time_decode(work, &mut caches?, "decode batch")?);
        }
        Ok(())
    }

    /// Ids of a prompt in which nothing repeats.
    fn prompt(&self, work: &Work) -> Vec<u32> {
        let vocabulary = self.parts.decoder.config().vocab_size as u32;
        (0..work.prompt as u32).map(|i| i.wrapping_mul(2_654_435_761) % vocabulary).collect()
    }

    /// The type of the numbers in the KV cache.
    fn cached_as(&self) -> DType {
        match self.parts.decoder.cache_type() {
            CacheType::Half => DType::F16,
            _ => self.parts.decoder.dtype(),
        }
    }

    /// Refuses prompts whose keys and values the machine has no memory for.
    fn check_room(&self, work: &Work) -> Result<(), FusionError> {
        let Some(available) = available_memory() else { return Ok(()) };
        let config = self.parts.decoder.config();
        let row = [config.cached_numbers(), self.cached_as().size_in_bytes() as u64];
        let sequences = if work.batch > 1 { work.batch.saturating_add(1) } else { 1 };
        let sizes = [work.prompt.saturating_add(work.decode.max(work.say.len())), sequences];
        let needed = row
            .into_iter()
            .chain(sizes.map(|size| size as u64))
            .fold(1, |product: u64, size| product.saturating_mul(size));
        if needed <= available {
            return Ok(());
        }
        Err(FusionError::NotEnoughMemory {
            model: format!("the KV cache of {}", self.name),
            needed: needed >> 20,
            dtype: self.cached_as().as_str(),
            available: available >> 20,
            remedy: "take a shorter prompt or a smaller batch",
        })
    }

    /// Times tokens of several sequences, each with a cache of the prompt, made together.
    fn time_decode(
        &self,
        work: &Work,
        caches: &mut [KvCache],
        name: &'static str,
    ) -> Result<Phase, FusionError> {
        let decoder = &self.parts.decoder;
        let (timing, ()) = time(work.rounds, || {
            if !decoder.rewinds() {
                let forks = caches.iter().map(KvCache::fork).collect::<Result<Vec<_>, _>>();
                let mut forks = forks?;
                return (0..work.decode).try_for_each(|_| step(decoder, &mut forks));
            }
            for cache in caches.iter_mut() {
                cache.truncate(work.prompt);
            }
            (0..work.decode).try_for_each(|_| step(decoder, caches))
        })?;
        let timing: Vec<f64> = timing.iter().map(|s| s / work.decode as f64).collect();
        let one = cost::decoder(decoder.config(), 1, work.prompt + work.decode / 2);
        let sequences = caches.len() as f64;
        let all = Cost { flops: one.flops * sequences, cached: one.cached * sequences, ..one };
        let tokens = if caches.len() == 1 { "token" } else { "tokens" };
        let size = format!("{} {tokens}", caches.len());
        Ok(self.phase(name, size, &timing, Some((all, caches.len()))))
    }

    /// Sums up the timings, in seconds, of a phase that has a cost and a number of tokens.
    fn phase(
        &self,
        name: &'static str,
        work: String,
        timings: &[f64],
        cost: Option<(Cost, usize)>,
    ) -> Phase {
        let median = timings.get(timings.len() / 2).copied().unwrap_or(f64::NAN);
        let plain = self.dtype().size_in_bytes() as f64;
        let weight = self.quant.map_or(plain, Quantisation::bytes_per_number);
        let head = self.quant.map_or(plain, |quant| of_tables(quant).bytes_per_number());
        let cached = self.cached_as().size_in_bytes() as f64;
        Phase {
            name,
            work,
            ms: median * 1e3,
            least_ms: timings.first().copied().unwrap_or(f64::NAN) * 1e3,
            tokens_per_second: cost.map(|(_, tokens)| tokens as f64 / median),
            tflops: cost.map(|(cost, _)| cost.flops / median / 1e12),
            gigabytes_per_second: cost.map(|(cost, _)| {
                let bytes = cost.weights * weight + cost.head * head + cost.cached * cached;
                bytes / median / 1e9
            }),
            acceptance: None,
            gain: None,
        }
    }
}

/// Runs `work` once to warm up and `rounds` times timed. Returns the seconds in ascending order and
/// the last result.
fn time<T>(
    rounds: usize,
    mut work: impl FnMut() -> Result<T, FusionError>,
) -> Result<(Vec<f64>, T), FusionError> {
    let mut result = work()?;
    let mut timings = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        let started = Instant::now();
        result = work()?;
        timings.push(started.elapsed().as_secs_f64());
    }
    timings.sort_by(f64::total_cmp);
    Ok((timings, result))
}

/// Runs rows `(length, hidden)` in chunks, and the head on the last one.
fn prefill(decoder: &Decoder, rows: &Tensor, cache: &mut KvCache) -> Result<(), FusionError> {
    let length = rows.dim(0)?;
    for start in (0..length).step_by(PREFILL_CHUNK) {
        let count = PREFILL_CHUNK.min(length - start);
        let positions = Positions::sequential(start as u32, count);
        let chunk = rows.narrow(0, start, count)?;
        let hidden = decoder.forward(&chunk, &positions, cache, &mut Trace::off())?;
        if start + count == length {
            decoder.logits(&hidden.narrow(0, count - 1, 1)?)?;
        }
    }
    Ok(())
}

/// Runs one token of each sequence and the head.
fn step(decoder: &Decoder, caches: &mut [KvCache]) -> Result<(), FusionError> {
    let rows = decoder.embed(&vec![1; caches.len()])?; // (sequences, hidden)
    let positions = caches.iter().map(|cache| Position::text(cache.len() as u32)).collect();
    let mut sequences: Vec<_> = caches.iter_mut().map(|cache| (1, cache)).collect();
    let hidden = decoder.forward_together(&rows, &positions, &mut sequences, &mut Trace::off())?;
    decoder.logits(&hidden)?;
    Ok(())
}
