//! Experts that are stored together, as the reference keeps them in memory.

use super::TensorInfo;

/// More experts than any model has: a header that tells of more is not believed.
const MOST_EXPERTS: usize = 4096;

/// The tensors that the stored one stands for. `experts.gate_up_proj`
/// `(experts, 2 × inner, hidden)` is each expert's gate and up, `experts.down_proj`
/// `(experts, hidden, inner)` each one's down projection (`modeling_glm4v_moe.py`,
/// `Glm4vMoeTextExperts`), which transformers writes so for a model type of which it does not know
/// the published names; every other tensor is what it is.
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

#[cfg(test)]
mod tests {
    use super::super::Order;
    use super::*;
    use crate::{StoredDtype, StoredType};

    fn tensor(name: &str, shape: &[usize], bytes: usize) -> TensorInfo {
        TensorInfo {
            name: name.into(),
            dtype: StoredType::Plain(StoredDtype::BF16),
            shape: shape.to_vec(),
            file: "model.safetensors".into(),
            bytes,
            part: 0,
            range: 100..100 + bytes,
            order: Order::AsStored,
        }
    }

    #[test]
    fn experts_are_taken_apart_in_order() {
        let both = apart(tensor("mlp.experts.gate_up_proj", &[2, 6, 4], 96));
        let told: Vec<_> = both.iter().map(|t| (t.name.as_str(), t.range.clone())).collect();
        let expected = [
            ("mlp.experts.0.gate_proj.weight", 100..124),
            ("mlp.experts.0.up_proj.weight", 124..148),
            ("mlp.experts.1.gate_proj.weight", 148..172),
            ("mlp.experts.1.up_proj.weight", 172..196),
        ];
        assert_eq!(told, expected);
        assert!(both.iter().all(|tensor| tensor.shape == [3, 4] && tensor.bytes == 24));
        let down = apart(tensor("mlp.experts.down_proj", &[2, 4, 3], 48));
        assert_eq!(down[1].name, "mlp.experts.1.down_proj.weight");
        assert_eq!((&down[1].shape[..], &down[1].range), (&[4, 3][..], &(124..148)));
    }

    #[test]
    fn what_is_no_stack_of_experts_stays_as_it_is() {
        for (name, shape) in [
            ("mlp.experts.0.down_proj.weight", &[4, 3][..]),
            ("mlp.down_proj", &[2, 4, 3]),
            ("mlp.experts.gate_up_proj", &[2, 5, 4]),
            ("mlp.experts.down_proj", &[usize::MAX, 0, 3]),
            ("mlp.experts.gate_up_proj", &[0, 6, 4]),
        ] {
            let bytes = 2 * shape.iter().fold(1usize, |all, size| all.saturating_mul(*size)) % 1000;
            let tensor = tensor(name, shape, bytes);
            assert_eq!(apart(tensor.clone()), [tensor], "{name}");
        }
    }
}
