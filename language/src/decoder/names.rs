//! What checkpoints call the decoder's tensors.

/// Tensor names of a decoder, from the checkpoint's root, without `.weight` and `.bias`.
#[derive(Clone, Debug)]
pub struct TensorNames {
    pub(super) embeddings: String,
    pub(super) layers: String,
    pub(super) final_norm: String,
    pub(super) head: String,
    /// Within a layer: queries, keys and values, in one matrix or in three.
    pub(super) qkv: QkvNames,
    pub(super) attention_output: &'static str,
    /// Within a layer.
    pub(super) mlp: MlpNames,
}

/// Names of an MLP's projections.
#[derive(Clone, Copy, Debug)]
pub(super) struct MlpNames {
    pub(super) gate_up: GateUpNames,
    pub(super) down: &'static str,
}

/// Whether gate and up are stored together.
#[derive(Clone, Copy, Debug)]
pub(super) enum GateUpNames {
    Fused(&'static str),
    Split([&'static str; 2]),
}

impl MlpNames {
    /// Those of an expert, below its own prefix.
    pub(super) const EXPERT: Self =
        Self { gate_up: GateUpNames::Split(["gate_proj", "up_proj"]), down: "down_proj" };
}

/// Whether queries, keys and values are stored together.
#[derive(Clone, Copy, Debug)]
pub(super) enum QkvNames {
    Fused(&'static str),
    Split([&'static str; 3]),
}

impl TensorNames {
    /// The Hugging Face names below `body`: `model` for text models, `model.language_model` for
    /// vision models. The head is `lm_head` in both.
    pub fn hugging_face(body: &str) -> Self {
        Self {
            embeddings: format!("{body}.embed_tokens"),
            layers: format!("{body}.layers"),
            final_norm: format!("{body}.norm"),
            head: "lm_head".into(),
            qkv: QkvNames::Split(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
            attention_output: "self_attn.o_proj",
            mlp: MlpNames {
                gate_up: GateUpNames::Fused("mlp.gate_up_proj"),
                down: "mlp.down_proj",
            },
        }
    }

    /// As [`Self::hugging_face`], where gate and up are stored apart: the models with experts.
    pub fn hugging_face_experts(body: &str) -> Self {
        let gate_up = GateUpNames::Split(["mlp.gate_proj", "mlp.up_proj"]);
        Self { mlp: MlpNames { gate_up, down: "mlp.down_proj" }, ..Self::hugging_face(body) }
    }

    /// The names of the original ChatGLM checkpoints: GLM-4-9B and GLM-4V-9B as first published.
    pub fn chat_glm() -> Self {
        Self {
            embeddings: "transformer.embedding.word_embeddings".into(),
            layers: "transformer.encoder.layers".into(),
            final_norm: "transformer.encoder.final_layernorm".into(),
            head: "transformer.output_layer".into(),
            qkv: QkvNames::Fused("self_attention.query_key_value"),
            attention_output: "self_attention.dense",
            mlp: MlpNames {
                gate_up: GateUpNames::Fused("mlp.dense_h_to_4h"),
                down: "mlp.dense_4h_to_h",
            },
        }
    }
}
