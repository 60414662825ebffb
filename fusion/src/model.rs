//! A loaded model, shared by threads.

use crate::family::Parts;
use crate::splice::Spliced;
use crate::visual::VisionModel;
use crate::visual_cache::VisualCache;
use crate::{FusionError, VisualTokens};
use glm4v_language::{Decoder, GenerationConfig, Message, PromptFormat, PromptOptions, Tokenizer};
use glm4v_vision::Image;
use serde_json::Value;
use std::sync::Arc;

/// A model that looks at images and answers.
///
/// Cheap to clone and safe to use from several threads at once; each answer has its own cache.
#[derive(Clone, Debug)]
pub struct Model {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) info: ModelInfo,
    pub(crate) parts: Arc<Parts>,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) format: PromptFormat,
    pub(crate) generation: GenerationConfig,
    pub(crate) stop_ids: Vec<u32>,
    pub(crate) visual_cache: VisualCache,
}

/// What a model is.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ModelInfo {
    /// Where it came from, as the user named it.
    pub name: String,
    /// `model_type` of its config.json.
    pub model_type: String,
    /// Numbers in its tensors.
    pub parameters: u64,
    /// The type that it runs in.
    pub dtype: &'static str,
    /// The block type that its matrices were quantised to while it was loaded.
    pub quant: Option<&'static str>,
    /// The longest sequence it takes, in tokens.
    pub context_length: usize,
    /// Whether it can look at images.
    pub vision: bool,
}

impl Model {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// What this model is.
    pub fn info(&self) -> &ModelInfo {
        &self.inner.info
    }

    /// An image's visual tokens, to be used for many questions. They are kept by the image's pixels,
    /// within [`LoadOptions::cache`](crate::LoadOptions::cache): asking for them again costs a
    /// digest of the pixels.
    ///
    /// # Errors
    /// [`FusionError::TextOnly`] for a text model; [`FusionError::Vision`] when the image's shape
    /// is one that the model can't take.
    pub fn embed(&self, image: &Image) -> Result<VisualTokens, FusionError> {
        let Some(vision) = &self.inner.parts.vision else {
            return Err(FusionError::TextOnly { model: self.inner.info.name.clone() });
        };
        let (dtype, device) = (self.decoder().dtype(), self.decoder().device());
        let embed = || vision.embed(image, dtype, device);
        self.inner.visual_cache.get_or_embed(image, device, embed)
    }

    /// The ids of a conversation's prompt, each image still one placeholder.
    pub(crate) fn encode(
        &self,
        messages: &[Message],
        thinking: Option<bool>,
        tools: Option<&Value>,
    ) -> Result<Vec<u32>, FusionError> {
        let options = PromptOptions {
            add_generation_prompt: true,
            thinking,
            tools: tools.cloned(),
            ..PromptOptions::default()
        };
        Ok(self.inner.format.encode(&self.inner.tokenizer, messages, &options)?)
    }

    /// The ids of a conversation's prompt, and the prompt with its images and videos in place.
    pub(crate) fn prompt(
        &self,
        messages: &[Message],
        visuals: &[VisualTokens],
        thinking: Option<bool>,
        tools: Option<&Value>,
    ) -> Result<(Vec<u32>, Spliced), FusionError> {
        let limit = self.inner.parts.vision.as_ref().map(VisionModel::image_limit);
        if limit.flatten().is_some_and(|limit| visuals.len() > limit) {
            let model = self.inner.info.name.clone();
            return Err(FusionError::OneImageOnly { model, images: visuals.len() });
        }
        let ids = self.encode(messages, thinking, tools)?;
        let spliced = self.splice(&ids, visuals)?;
        Ok((ids, spliced))
    }

    /// Puts visual tokens in their places among the prompt's ids, and checks that an answer fits.
    pub(crate) fn splice(
        &self,
        ids: &[u32],
        visuals: &[VisualTokens],
    ) -> Result<Spliced, FusionError> {
        let spliced = match &self.inner.parts.vision {
            Some(vision) => vision.splice(ids, visuals)?,
            None if visuals.is_empty() => Spliced::text(ids.to_vec()),
            None => return Err(FusionError::TextOnly { model: self.inner.info.name.clone() }),
        };
        if spliced.rows() == 0 {
            return Err(FusionError::EmptyPrompt);
        }
        let limit = self.inner.info.context_length;
        if spliced.rows() >= limit {
            return Err(FusionError::PromptTooLong {
                found: spliced.rows(),
                image_tokens: spliced.image_rows(),
                limit,
            });
        }
        Ok(spliced)
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.inner.parts.decoder
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}
