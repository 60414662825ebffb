//! Vision-language models of the GLM-V family: pictures and a question in, text out.
//!
//! ```no_run
//! # fn main() -> Result<(), glm4v::Error> {
//! let model = glm4v::Model::load("zai-org/GLM-OCR", &glm4v::LoadOptions::default())?;
//! let page = glm4v::Image::open("page.png")?;
//! let answer = model.ask(&[page], "Text Recognition:", &glm4v::GenerateOptions::default())?;
//! println!("{}", answer.text);
//! # Ok(())
//! # }
//! ```
//!
//! The model called `nano` is inside the library, so this runs without a download:
//!
//! ```
//! # fn main() -> Result<(), glm4v::Error> {
//! use glm4v::{GenerateOptions, Image, LoadOptions, Model, NANO};
//!
//! let model = Model::load(NANO, &LoadOptions::default())?;
//! let chart = Image::open("examples/images/bars.png")?;
//! let options = GenerateOptions { max_tokens: Some(16), ..GenerateOptions::default() };
//! for chunk in model.stream(&[chart], "Convert the chart to a table.", &options)? {
//!     print!("{}", chunk?.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Model`] is `Send + Sync`, and a clone of it shares the weights: give one to each thread.
//!
//! | to | use |
//! |---|---|
//! | ask one question | [`Model::ask`], or [`Model::stream`] for the tokens as they come |
//! | ask many about the same images | [`Model::ask_many`] |
//! | answer for several threads at once | [`DecodeTogether`] |
//! | keep an image's visual tokens | [`Model::embed`], then [`Model::stream_visual`] |
//! | hold a conversation | [`Model::chat`] |
//! | let the model call tools | `tools` in [`GenerateOptions`], [`Answer::tool_calls`], [`Chat::observe`] |
//! | have JSON of a schema | `grammar` in [`GenerateOptions`] |
//! | look at a video | [`VideoFile`], then [`Model::embed_video_file`] |
//! | end an answer early | [`CancelToken`] in [`GenerateOptions`], or drop the [`Generation`] |
//! | part thoughts, answer and boxes | [`Answer::reply`] |
//! | score given answers | [`Model::log_probabilities`] |
//!
//! Nothing here prints or panics on input. The environment is read in one place:
//! [`HubOptions::from_env`], which [`Model::load`] calls for a hub id when
//! [`LoadOptions::hub`] is `None`.

pub use glm4v_fusion::{
    AlphaMode, Answer, BUILT_IN_TOOLS, CacheOptions, CacheType, CancelToken, Chat, Chunk,
    DecodeTogether, DeviceChoice, Draft, DraftCounts, FinishReason, FloatType,
    FusionError as Error, GenerateOptions, Generation, Grammar, Grounding, HubOptions, Image,
    ImageOptions, LoadOptions, Message, Model, ModelInfo, NANO, Part, PullEvent, Quantisation,
    Reply, Role, Timings, TokenScore, ToolCall, Usage, VideoFile, VideoMetadata, VisualTokens,
};
