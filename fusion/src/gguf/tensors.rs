//! Which tensor of a GGUF file is which tensor of the checkpoint that it was made from.

use super::{Architecture, Text, bad, glm5_next};
use crate::FusionError;
use glm4v_weights::{Gguf, Take, Taken};

/// Which of the files a tensor is in.
const TEXT: usize = 0;
const PROJECTOR: usize = 1;

/// More experts are damage.
const MOST_EXPERTS: usize = 1 << 16;

/// The second temporal slice of the patch embedding, taken together with the first.
const SECOND_SLICE: &str = "v.patch_embd.weight.1";

/// Modules of a layer below `blk.N.` and what they are below `layers.N.`, in all architectures.
pub(super) const LAYER: &[(&str, &str)] = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("post_ffw_norm", "post_mlp_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_gate_inp", "mlp.gate"),
    ("ffn_gate_shexp", "mlp.shared_experts.gate_proj"),
    ("ffn_up_shexp", "mlp.shared_experts.up_proj"),
    ("ffn_down_shexp", "mlp.shared_experts.down_proj"),
    ("nextn.eh_proj", "eh_proj"),
    ("nextn.enorm", "enorm"),
    ("nextn.hnorm", "hnorm"),
    ("nextn.embed_tokens", "embed_tokens"),
    ("nextn.shared_head_head", "shared_head.head"),
    ("nextn.shared_head_norm", "shared_head.norm"),
];

/// The same for the original ChatGLM names.
pub(super) const CHAT_GLM_LAYER: &[(&str, &str)] = &[
    ("attn_norm", "input_layernorm"),
    ("attn_qkv", "self_attention.query_key_value"),
    ("attn_output", "self_attention.dense"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_up", "mlp.dense_h_to_4h"),
    ("ffn_down", "mlp.dense_4h_to_h"),
];

/// Modules of a tower's block below `v.blk.N.` and what they are below `blocks.N.`.
pub(super) const TOWER_BLOCK: &[(&str, &str)] = &[
    ("ln1", "norm1"),
    ("ln2", "norm2"),
    ("attn_qkv", "attn.qkv"),
    ("attn_q_norm", "attn.q_norm"),
    ("attn_k_norm", "attn.k_norm"),
    ("attn_out", "attn.proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The rest of the tower and its projector.
pub(super) const TOWER: &[(&str, &str)] = &[
    ("v.patch_embd", "patch_embed.proj"),
    ("v.norm_embd", "post_conv_layernorm"),
    ("v.position_embd", "embeddings.position_embedding"),
    ("v.post_ln", "post_layernorm"),
    ("mm.patch_merger", "downsample"),
    ("mm.model.fc", "merger.proj"),
    ("mm.post_norm", "merger.post_projection_norm"),
    ("mm.gate", "merger.gate_proj"),
    ("mm.up", "merger.up_proj"),
    ("mm.down", "merger.down_proj"),
];

/// All tensors of the model and, with eyes, of the projector.
pub(super) fn taken(text: &Text<'_>, projector: Option<&Gguf>) -> Result<Vec<Taken>, FusionError> {
    let mut taken = Vec::new();
    for (name, entry) in text.gguf.tensors() {
        let found = text_tensor(text, name, &entry.shape);
        taken.extend(found.ok_or_else(|| unknown(text.gguf, name))?);
    }
    for (name, _) in projector.iter().flat_map(|projector| projector.tensors()) {
        if name == SECOND_SLICE {
            continue;
        }
        let Some(found) = tower_tensor(name) else {
            return Err(projector.map_or(FusionError::Cancelled, |gguf| unknown(gguf, name)));
        };
        taken.push(found);
    }
    Ok(taken)
}

fn unknown(gguf: &Gguf, name: &str) -> FusionError {
    bad(gguf, format!("tensor `{name}` belongs to no part of this architecture"))
}

fn text_tensor(text: &Text<'_>, name: &str, shape: &[usize]) -> Option<Vec<Taken>> {
    let chat_glm = text.model_type == "chatglm";
    let body = match text.model_type {
        "glm" | "glm4" => "model",
        _ => "model.language_model",
    };
    let whole = |name: String| Some(vec![taken_whole(name, TEXT)]);
    let renamed = |name: String, take: Take| Taken { take, ..taken_whole(name, TEXT) };
    let source = |mut taken: Vec<Taken>| {
        taken.iter_mut().for_each(|taken| name.clone_into(&mut taken.source));
        taken
    };
    let found = match (name, chat_glm) {
        ("token_embd.weight", false) => whole(format!("{body}.embed_tokens.weight")),
        ("output_norm.weight", false) => whole(format!("{body}.norm.weight")),
        ("output.weight", false) => whole("lm_head.weight".into()),
        ("token_embd.weight", true) => whole("transformer.embedding.word_embeddings.weight".into()),
        ("output_norm.weight", true) => whole("transformer.encoder.final_layernorm.weight".into()),
        ("output.weight", true) => whole("transformer.output_layer.weight".into()),
        _ => {
            let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
            let layer: usize = layer.parse().ok()?;
            let below = format!("{body}.layers.{layer}");
            if text.architecture == Architecture::Glm5Next
                && let Some(own) = glm5_next::layer_tensors(layer, rest, shape)
            {
                let own = own.into_iter();
                let own = own.map(|(name, take)| renamed(format!("{below}.{name}"), take));
                return Some(source(own.collect()));
            }
            let (module, end) = rest.rsplit_once('.')?;
            if chat_glm {
                let module = look_up(CHAT_GLM_LAYER, module)?;
                return whole(format!("transformer.encoder.layers.{layer}.{module}.{end}"))
                    .map(source);
            }
            if let Some(expert) = module.strip_suffix("_exps").and_then(|m| m.strip_prefix("ffn_"))
            {
                let experts = 0..shape.first().copied().filter(|&count| count <= MOST_EXPERTS)?;
                let name = |i| format!("{below}.mlp.experts.{i}.{expert}_proj.{end}");
                return Some(source(experts.map(|i| renamed(name(i), Take::Matrix(i))).collect()));
            }
            let module = layer_module(text.architecture, module)?;
            let end = if module.ends_with("_correction_bias") { "" } else { &format!(".{end}") };
            // Models with positions on three axes have the rows of queries and keys in halves.
            let halves = text.architecture == Architecture::Glm4 && text.sections.is_some();
            let take = match halves && matches!(module, "self_attn.q_proj" | "self_attn.k_proj") {
                true => Take::Pairs { head: text.head_dim, rotated: text.rotated },
                false => Take::Whole,
            };
            Some(vec![renamed(format!("{below}.{module}{end}"), take)])
        }
    };
    found.map(source)
}

/// What a layer's module is called in the Hugging Face form.
fn layer_module(architecture: Architecture, module: &str) -> Option<&'static str> {
    match (module, architecture) {
        // The name is that of the norm before the MLP in one architecture, and of the one after
        // attention in the other.
        ("post_attention_norm", Architecture::Glm4Moe) => Some("post_attention_layernorm"),
        ("post_attention_norm", _) => Some("post_self_attn_layernorm"),
        ("ffn_up", Architecture::Glm4Moe | Architecture::Glm5Next) => Some("mlp.up_proj"),
        ("ffn_up", _) => Some("mlp.gate_up_proj"),
        ("exp_probs_b", _) => Some("mlp.gate.e_score_correction_bias"),
        _ => look_up(LAYER, module),
    }
}

fn tower_tensor(name: &str) -> Option<Taken> {
    let (module, end) = name.rsplit_once('.')?;
    let module = match module.strip_prefix("v.blk.").and_then(|rest| rest.split_once('.')) {
        Some((block, module)) => {
            let block: usize = block.parse().ok()?;
            format!("blocks.{block}.{}", look_up(TOWER_BLOCK, module)?)
        }
        None => look_up(TOWER, module)?.to_owned(),
    };
    let take = match name {
        "v.patch_embd.weight" => Take::WithSecond(SECOND_SLICE.into()),
        _ => Take::Whole,
    };
    let whole = taken_whole(format!("model.visual.{module}.{end}"), PROJECTOR);
    Some(Taken { source: name.into(), take, ..whole })
}

fn taken_whole(name: String, part: usize) -> Taken {
    Taken { name, part, source: String::new(), take: Take::Whole }
}

/// What a module or a tensor is called in the Hugging Face form, by one of the tables.
pub(super) fn look_up(table: &[(&str, &'static str)], module: &str) -> Option<&'static str> {
    table.iter().find(|(found, _)| *found == module).map(|(_, name)| *name)
}
