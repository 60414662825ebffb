//! Which of a model's tensors are quantised, and to what: the recipes that `--quant` names.
//!
//! A recipe is named after its block type; `int8` is that of `q8_0`, but that layers get bytes with
//! a scale for every output and 256 inputs in place of blocks.
//!
//! - Matrices of the decoder, the tower and the projector get the type.
//! - The embedding table and the head get `q6_k` if the type has fewer bits: an error there goes
//!   straight into a row or a logit.
//! - Norms, biases, routers, position tables, class embeddings and convolutions stay as they are:
//!   they are small, or one wrong number in them is felt everywhere.
//! - Of GLM-5.3-Flash the indexer, the gates of linear attention and what makes the latents stay as
//!   they are, and what makes queries gets at least `q8_0`, as in llama.cpp: an error there turns
//!   choices, or is remembered.
//! - Rows that are no whole number of blocks get a type with smaller blocks and no fewer bits
//!   (`q4_k` → `q5_0`, `q5_k` → `q5_1`, `q6_k` → `q8_0`), as in llama.cpp; rows that are no
//!   multiple of 32 numbers stay as they are.

use glm4v_weights::{BlockType, Checkpoint, Quantisation, Recipe, StoredType, TensorInfo};

/// Types that a model can be quantised to while it is loaded.
pub const QUANTISED: [BlockType; 8] = [
    BlockType::Q4_0,
    BlockType::Q4_1,
    BlockType::Q4K,
    BlockType::Q5_0,
    BlockType::Q5_1,
    BlockType::Q5K,
    BlockType::Q6K,
    BlockType::Q8_0,
];

/// The recipe that is named after `quantisation`.
pub fn recipe(quantisation: Quantisation) -> Recipe {
    let int8 = quantisation == Quantisation::Int8;
    Recipe { blocks: quantisation.blocks(), int8, choose }
}

/// Parts of names whose matrices stay as they are; the second half is of GLM-5.3-Flash.
const KEPT: [&str; 9] = [
    "mlp.gate.weight",
    "position_embedding",
    "eh_proj",
    "rotary_pos_emb",
    "self_attn.indexer.",
    "self_attn.f_",
    "self_attn.g_",
    "self_attn.b_proj",
    "self_attn.kv_a_proj",
];
/// Parts of names of what makes queries in GLM-5.3-Flash.
const QUERIES: [&str; 2] = ["self_attn.q_a_proj", "self_attn.q_b_proj"];
/// Parts of names of embedding tables and heads, in both forms of checkpoints.
const TABLES: [&str; 5] =
    ["embed_tokens", "word_embeddings", "lm_head", "output_layer", "shared_head.head"];

/// Embedding tables and heads get no fewer bits than this.
const LEAST_OF_TABLES: BlockType = BlockType::Q6K;
/// [`QUERIES`] get no fewer bits than this.
const LEAST_OF_QUERIES: BlockType = BlockType::Q8_0;

/// The form of embedding tables and heads beside layers of a form.
pub(crate) fn of_tables(layers: Quantisation) -> Quantisation {
    match layers {
        Quantisation::Blocks(blocks) => Quantisation::Blocks(blocks.max(LEAST_OF_TABLES)),
        Quantisation::Int8 => layers,
    }
}

fn choose(blocks: BlockType, name: &str, shape: &[usize]) -> Option<BlockType> {
    let [_, width] = *shape else { return None };
    if !name.ends_with(".weight") || KEPT.iter().any(|kept| name.contains(kept)) {
        return None;
    }
    let is_of = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let wanted = if is_of(&TABLES) {
        blocks.max(LEAST_OF_TABLES)
    } else if is_of(&QUERIES) {
        blocks.max(LEAST_OF_QUERIES)
    } else {
        blocks
    };
    [wanted, with_smaller_blocks(wanted)]
        .into_iter()
        .find(|blocks| width > 0 && width.is_multiple_of(blocks.block_size()))
}

/// The type of blocks of 32 that takes the place of a type of larger blocks.
fn with_smaller_blocks(blocks: BlockType) -> BlockType {
    match blocks {
        BlockType::Q2K | BlockType::Q3K => BlockType::Q4_0,
        BlockType::Q4K => BlockType::Q5_0,
        BlockType::Q5K => BlockType::Q5_1,
        BlockType::Q6K => BlockType::Q8_0,
        other => other,
    }
}

/// The format that `tensor` has once it is loaded, with plain numbers as `plain`.
pub fn loaded_as(tensor: &TensorInfo, blocks: Option<BlockType>, plain: StoredType) -> StoredType {
    match tensor.dtype {
        StoredType::Plain(_) if tensor.dtype.is_float() => {
            let chosen = blocks.and_then(|blocks| choose(blocks, &tensor.name, &tensor.shape));
            chosen.map_or(plain, StoredType::Blocks)
        }
        stored => stored,
    }
}

/// Whether a recipe would turn the tensor, were its rows whole blocks.
pub(crate) fn is_matrix(tensor: &TensorInfo) -> bool {
    let whole = if tensor.shape.len() == 2 { [1, 256] } else { return false };
    tensor.dtype.is_float() && choose(BlockType::Q8_0, &tensor.name, &whole).is_some()
}

/// Tensors that the recipe would have in `blocks`, but whose rows are no whole number of blocks,
/// with what they get: `None` when they stay as they are.
pub fn exceptions(checkpoint: &Checkpoint, blocks: BlockType) -> Vec<(String, Option<BlockType>)> {
    let exception = |tensor: &TensorInfo| {
        let plain = matches!(tensor.dtype, StoredType::Plain(_)) && tensor.dtype.is_float();
        let [_, width] = *tensor.shape.as_slice() else { return None };
        // The recipe's choice if all rows were whole blocks.
        let wanted = choose(blocks, &tensor.name, &[1, 256]).filter(|_| plain)?;
        let got = choose(blocks, &tensor.name, &[1, width]);
        (got != Some(wanted)).then(|| (tensor.name.clone(), got))
    };
    checkpoint.tensors().filter_map(exception).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_is_as_documented() {
        use BlockType::*;
        let cases = [
            (Q4K, "model.layers.0.mlp.down_proj.weight", vec![512, 1024], Some(Q4K)),
            (Q4K, "model.layers.0.mlp.down_proj.weight", vec![512, 96], Some(Q5_0)),
            (Q5K, "model.layers.0.mlp.down_proj.weight", vec![512, 96], Some(Q5_1)),
            (Q6K, "model.visual.blocks.0.attn.qkv.weight", vec![512, 96], Some(Q8_0)),
            (Q4_0, "model.visual.merger.gate_proj.weight", vec![512, 72], None),
            (Q4K, "model.language_model.embed_tokens.weight", vec![9, 256], Some(Q6K)),
            (Q4_0, "lm_head.weight", vec![9, 96], Some(Q8_0)),
            (Q8_0, "lm_head.weight", vec![9, 256], Some(Q8_0)),
            (Q4K, "model.layers.1.mlp.gate.weight", vec![8, 256], None),
            (Q4K, "model.layers.1.self_attn.indexer.wq_b.weight", vec![8, 256], None),
            (Q4K, "model.layers.1.self_attn.f_a_proj.weight", vec![8, 256], None),
            (Q4K, "model.layers.1.self_attn.q_b_proj.weight", vec![8, 256], Some(Q8_0)),
            (Q4K, "model.layers.1.self_attn.q_proj.weight", vec![8, 256], Some(Q4K)),
            (Q4K, "model.visual.embeddings.position_embedding.weight", vec![64, 256], None),
            (Q4K, "model.visual.downsample.weight", vec![256, 256, 2, 2], None),
            (Q4K, "model.layers.0.input_layernorm.weight", vec![256], None),
            (Q4K, "transformer.vision.boi", vec![1, 256], None),
        ];
        for (blocks, name, shape, expected) in cases {
            assert_eq!(choose(blocks, name, &shape), expected, "{name} {shape:?}");
        }
    }
}
