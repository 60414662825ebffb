//! The model in this process as an answerer of benchmarks.

use crate::cli::{Engine, told};
use glm4v::{
    Answer, CancelToken, DecodeTogether, FinishReason, GenerateOptions, HubOptions, Image,
    ImageOptions, Message, Model, NANO, Part, Role,
};
use glm4v_eval::answerer::{AnswerError, Answerer, AnswererCard, Finish, Question, Reply};
use glm4v_weights::{Checkpoint, ModelSource, cached};
use serde_json::Map;
use sha2::{Digest, Sha256};
use std::sync::{Mutex, PoisonError};

/// Answers with a loaded model. Threads that ask at once read their images side by side, run their
/// prompts one after the other, for a prompt takes all processors, and decode together.
pub(super) struct LocalAnswerer {
    model: Model,
    decoder: DecodeTogether,
    prompt: Mutex<()>,
    card: AnswererCard,
    images: ImageOptions,
    cancel: CancelToken,
}

impl LocalAnswerer {
    /// Loads the model that the user named.
    pub(super) fn new(engine: &Engine<'_>, images: ImageOptions) -> anyhow::Result<Self> {
        let model = engine.model()?.clone();
        let info = model.info();
        let is_nano = engine.name() == NANO;
        let mut details = Map::new();
        details.insert("dtype".to_owned(), info.dtype.into());
        details.insert("device".to_owned(), engine.device().into());
        details.insert("parameters".to_owned(), info.parameters.into());
        details.insert("max_pixels".to_owned(), images.max_pixels.into());
        details.insert("alpha".to_owned(), format!("{:?}", images.alpha).to_lowercase().into());
        let digest = fingerprint(engine.name())?;
        // The type and the pixels that are read change answers as other weights would.
        let digest = format!("{digest}-{}-{:?}", info.dtype, images.alpha).to_lowercase();
        let family = if is_nano { NANO.to_owned() } else { info.model_type.clone() };
        let card = AnswererCard { name: engine.name().to_owned(), family, digest, details };
        let decoder = DecodeTogether::new(&model)?;
        let cancel = engine.cancel.clone();
        Ok(Self { model, decoder, prompt: Mutex::new(()), card, images, cancel })
    }
}

/// Files that decide how a prompt is written and an answer ends.
const TEXT_FILES: [&str; 5] = [
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
];

/// Digest of the files of a model that has been loaded.
fn fingerprint(name: &str) -> anyhow::Result<String> {
    let checkpoint = checkpoint(name)?;
    let mut digest = Sha256::new().chain_update(checkpoint.fingerprint()?);
    for name in TEXT_FILES {
        if let Some(content) = checkpoint.files().read(name)? {
            digest.update((content.len() as u64).to_le_bytes());
            digest.update(&content);
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn checkpoint(name: &str) -> anyhow::Result<Checkpoint> {
    if name == NANO {
        return Ok(glm4v_fusion::nano_checkpoint()?);
    }
    let folder = match ModelSource::parse(name)? {
        ModelSource::Folder(path) | ModelSource::Gguf(path) => path,
        ModelSource::Hub { id, revision } => {
            let found = cached(&id, revision.as_deref(), &HubOptions::from_env()?);
            found.ok_or_else(|| anyhow::anyhow!("{id}: no longer in the cache"))?
        }
    };
    Ok(Checkpoint::open(folder)?)
}

impl Answerer for LocalAnswerer {
    fn card(&self) -> &AnswererCard {
        &self.card
    }

    fn answer(&self, question: &Question<'_>) -> Result<Reply, AnswerError> {
        if self.cancel.is_cancelled() {
            return Err(AnswerError::Interrupted);
        }
        let read = |bytes: &Vec<u8>| Image::from_bytes(bytes, &self.images);
        let images = question.images.iter().map(read).collect::<Result<Vec<_>, _>>();
        let answer = self.ask(&images.map_err(failed)?, question)?;
        let finish = match answer.finish_reason {
            FinishReason::Stop => Finish::Stop,
            FinishReason::Length => Finish::Length,
            FinishReason::Cancelled => return Err(AnswerError::Interrupted),
        };
        Ok(Reply {
            text: answer.text,
            finish,
            prompt_tokens: Some(answer.usage.prompt),
            image_tokens: Some(answer.usage.image),
            completion_tokens: Some(answer.usage.completion),
        })
    }
}

impl LocalAnswerer {
    fn ask(&self, images: &[Image], question: &Question<'_>) -> Result<Answer, AnswerError> {
        let turn = self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        let visuals = images.iter().map(|image| self.model.embed(image).map_err(of_model));
        let visuals = visuals.collect::<Result<Vec<_>, _>>()?;
        let mut parts = vec![Part::Image; visuals.len()];
        parts.push(Part::Text(question.prompt.to_owned()));
        let message = Message::new(Role::User, parts);
        let generation = self.model.generate(&[message], &visuals, &self.options(question));
        drop(turn);
        self.decoder.finish(generation.map_err(of_model)?).map_err(of_model)
    }

    fn options(&self, question: &Question<'_>) -> GenerateOptions {
        let options = question.options;
        GenerateOptions {
            max_tokens: options.max_tokens,
            temperature: options.temperature,
            top_p: options.top_p,
            top_k: options.top_k,
            seed: options.seed,
            thinking: options.thinking,
            cancel: self.cancel.clone(),
            ..GenerateOptions::default()
        }
    }
}

fn of_model(error: glm4v::Error) -> AnswerError {
    match error {
        glm4v::Error::Cancelled => AnswerError::Interrupted,
        error => failed(error),
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> AnswerError {
    AnswerError::Failed(told(&anyhow::Error::new(error)))
}
