//! Experts that are stored together, as the reference keeps them in memory.

use super::TensorInfo;

/// More experts than any model has: a header that tells of more is not believed.
const MOST_EXPERTS: usize = 4096;

/// The tensors that the stored one stands for. `experts.gate_up_proj` `(experts, 2 × inner, hidden)`
/// is each expert's gate and up, `experts.down_proj` `(experts, hidden, inner)` each one's down
/// projection (`modeling_glm4v_moe.py`, `Glm4vMoeTextExperts`), which transformers writes so for a
/// model type of which it does not know the published names; every other tensor is what it is.
pub(super) fn apart(tensor: TensorInfo) -> Vec<TensorInfo> {
    let Some((below, module)) = tensor.name.rsplit_once('.') else { return vec![tensor] };
    let matrices: &[&str] = match module {
        "gate_up_proj" if below.ends_with(".experts") => &["gate_proj", "up_proj"],
        "down_proj" if below.ends_with(".experts") => &["down_proj"],
        _ => return vec![tensor],
    };
    let [experts, rows, width] = *tensor.shape.as_slice() else { return vec![tensor] };
    let pieces = experts.saturating_mul(matrices.len());
    let even = rows.is_multiple_of(matrices.len()) && tensor.bytes.is_multiple_of(pieces.max(1));
    if pieces == 0 || experts > MOST_EXPERTS || !even {
        return vec![tensor];
    }
    let bytes = tensor.bytes / pieces;
    let names = (0..experts).flat_map(|expert| {
        matrices.iter().map(move |matrix| format!("{below}.{expert}.{matrix}.weight"))
    });
    let starts = (0..).map(|piece| tensor.range.start + piece * bytes);
    let pieces = names.zip(starts).map(|(name, start)| TensorInfo {
        name,
        shape: vec![rows / matrices.len(), width],
        bytes,
        range: start..start + bytes,
        ..tensor.clone()
    });
    pieces.collect()
}
