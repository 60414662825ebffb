//! What can go wrong with a whole model.

use glm4v_language::LanguageError;
use glm4v_vision::VisionError;
use glm4v_weights::WeightsError;
use std::path::PathBuf;

/// Why a model could not be loaded, asked or checked.
#[derive(Debug, thiserror::Error)]
pub enum FusionError {
    /// The checkpoint's files or tensors are at fault.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The image or the tower is at fault.
    #[error(transparent)]
    Vision(#[from] VisionError),
    /// The text, the prompt or the decoder is at fault.
    #[error(transparent)]
    Language(#[from] LanguageError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// The checkpoint has no config.json.
    #[error("{checkpoint}: no config.json; a model is a folder in the Hugging Face layout")]
    NoConfig {
        /// Where it was looked for.
        checkpoint: String,
    },
    /// A field that the family needs is not in the config.
    #[error("{file}: `{field}` is missing; take the file as it was published")]
    MissingField {
        /// The config file.
        file: String,
        /// The field.
        field: &'static str,
    },
    /// Drafts were asked for from a layer that the checkpoint does not have.
    #[error("{model} has no layer that predicts tokens ahead; take look-up drafts")]
    NoPredictionLayer {
        /// The model's name.
        model: String,
    },
    /// The checkpoint is of a kind that no family here handles.
    #[error("{file}: model_type \"{model_type}\" is not supported; supported: {supported}")]
    UnsupportedModel {
        /// The config file.
        file: String,
        /// What it says.
        model_type: String,
        /// The model types that are.
        supported: String,
    },
    /// The folder for visual tokens cannot be made or used.
    #[error("cannot use {} as a folder for visual tokens; choose one that can be written to", path.display())]
    CacheFolder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A shape to be timed that has no such name.
    #[error("there is no shape \"{shape}\"; there are: {known}")]
    UnknownShape {
        /// What was asked for.
        shape: String,
        /// The names that there are.
        known: String,
    },
    /// Something of a checkpoint that GGUF files have no place for.
    #[error("{file}: {what} cannot be written as GGUF: llama.cpp has no form for it")]
    NoGgufForm {
        /// The file that has it.
        file: String,
        /// What it is.
        what: String,
    },
    /// An image was given to a model that has no eyes.
    #[error("this is a text model ({model}); it cannot look at images{}", remedy(.model))]
    TextOnly {
        /// The model's name.
        model: String,
    },
    /// The prompt's places and the images and videos differ in number.
    #[error("the prompt has {places} places for images and videos, but {images} were given")]
    ImageCount {
        /// Placeholders in the prompt.
        places: usize,
        /// Images and videos given.
        images: usize,
    },
    /// A video stands where the prompt has an image, or the other way round.
    #[error(
        "{} was given for a place of the prompt that is for {}; give them in the prompt's order",
        if *video { "a video" } else { "an image" },
        if *video { "an image" } else { "a video" }
    )]
    WrongPlace {
        /// Whether it was the video that was out of place.
        video: bool,
    },
    /// A video was given to a model that takes none.
    #[error("{model} takes no videos; give it single frames as images")]
    NoVideo {
        /// The model's name.
        model: String,
    },
    /// Rows of a sequence cannot be taken back.
    #[error("a recurrent state cannot go back to an earlier row of the sequence")]
    NoWayBack,
    /// Frames and their times differ in number.
    #[error("{frames} frames and {times} times; each frame needs its time in seconds")]
    FrameTimes {
        /// Frames given.
        frames: usize,
        /// Times given.
        times: usize,
    },
    /// The model takes fewer images than were given.
    #[error(
        "{model} takes one image in a conversation, {images} were given; ask about each in turn (--each)"
    )]
    OneImageOnly {
        /// The model's name.
        model: String,
        /// Images given.
        images: usize,
    },
    /// The prompt leaves no room for an answer.
    #[error(
        "the prompt has {found} tokens, {image_tokens} of them from images; the model takes {limit}: use a smaller or fewer images, or a shorter text"
    )]
    PromptTooLong {
        /// Rows of the prompt.
        found: usize,
        /// Rows that come from images.
        image_tokens: usize,
        /// The model's context length.
        limit: usize,
    },
    /// The prompt came out empty.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// The weights would not fit the memory.
    #[error("{model} needs {needed} MiB as {dtype}, {available} MiB are free or allowed; {remedy}")]
    NotEnoughMemory {
        /// The model's name.
        model: String,
        /// What the weights take, in MiB.
        needed: u64,
        /// The type they would be loaded as.
        dtype: &'static str,
        /// What there is, in MiB.
        available: u64,
        /// What the user can do.
        remedy: &'static str,
    },
    /// The device cannot be used.
    #[error("device {device}: {reason}")]
    Device {
        /// The device that was asked for.
        device: String,
        /// Why it can't be had.
        reason: String,
    },
    /// Answers were made together, and the pass that they shared failed.
    #[error("the answers that were being made together failed: {reason}")]
    Together {
        /// What went wrong.
        reason: String,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A directory of reference outputs cannot be read.
    #[error("{file}: {reason}")]
    Reference {
        /// The file at fault.
        file: String,
        /// What is wrong with it, and what it should be.
        reason: String,
    },
}

/// What to do where a model may have its eyes in another file.
fn remedy(model: &str) -> &'static str {
    let gguf = model.to_lowercase().ends_with(".gguf");
    if gguf { "; if it has a projector file, give that as --mmproj" } else { "" }
}
