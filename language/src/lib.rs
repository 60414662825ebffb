//! Tokenizer, chat template, GLM decoder, KV cache and sampling.

mod constraint;
mod decoder;
mod detokenizer;
mod error;
mod generation_config;
mod grounding;
mod marks;
mod message;
mod prompt;
mod reasoning;
mod reply;
mod sampling;
mod stop;
mod template;
mod tokenizer;
mod tools;

pub use constraint::{Constraint, Grammar};
pub use decoder::{
    CacheMark, CacheType, ChatGlmConfig, Decoder, DecoderConfig, Glm5NextTextConfig, HybridConfig,
    HybridLayerConfig, IndexerConfig, KvCache, LatentAttentionConfig, LinearAttentionConfig,
    LinearAttnConfig, Mixing, MoeConfig, Position, Positions, PredictionLayer, RopeParameters,
    RotaryConfig, StreamsConfig, TensorNames, TextConfig, TextFamily, YarnConfig,
};
pub use detokenizer::Detokenizer;
pub use error::LanguageError;
pub use generation_config::{GenerationConfig, stop_ids};
pub use grounding::Grounding;
pub use message::{Message, Part, Role};
pub use prompt::{PromptFormat, PromptOptions};
pub use reasoning::{ReasoningSplitter, Split};
pub use reply::{Reply, without_thoughts};
pub use sampling::{
    Choice, InvalidLogits, Sampler, SamplingOptions, log_softmax, top_log_probabilities,
};
pub use stop::StopStrings;
pub use template::ChatTemplate;
pub use tokenizer::Tokenizer;
pub use tools::{BARE_ARGUMENT, BUILT_IN, ToolCall, ToolCallSplitter, ToolFormat, ToolSplit};
