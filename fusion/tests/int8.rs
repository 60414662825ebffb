//! `--quant int8` against what the reference computed in f32.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use glm4v_fusion::parity::run_model;
use glm4v_fusion::{LoadOptions, Model, Quantisation};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

/// The goldens are tiny and random: rows of 64 numbers, in which each rounded one counts for more
/// than in a trained model. GLM-4V-shaped ones come to 1.4e-2 (`q8_0`: 1.3e-2); among experts a
/// rounded number may choose another one, which costs one prompt up to 0.12: of these the mean is
/// held.
#[test]
fn bytes_give_nearly_the_references_distributions() {
    for name in ["glm", "glm4", "glm4v", "glm46v", "glm4v_9b", "glm4v_moe", "glm_ocr"] {
        let folder = golden(name);
        let load = |quant| {
            let options = LoadOptions { quant, ..LoadOptions::default() };
            Model::load(folder.to_str().unwrap(), &options).unwrap()
        };
        let model = load(Some(Quantisation::Int8));
        assert_eq!(model.info().quant, Some("int8"));
        let mut divergences = Vec::new();
        run_model(&folder, &model, &mut |case| {
            let prompts = case.stages.iter().filter(|stage| stage.stage.starts_with("logits"));
            divergences.extend(prompts.filter_map(|stage| Some(stage.divergence?.kl)));
        })
        .unwrap();
        assert!(!divergences.is_empty(), "{name}");
        let mean = divergences.iter().sum::<f64>() / divergences.len() as f64;
        let near = match name {
            "glm4v_moe" => (1e-12..0.1).contains(&mean),
            _ => divergences.iter().all(|kl| (1e-12..2e-2).contains(kl)),
        };
        assert!(near, "{name}: {divergences:?}");
    }
}
