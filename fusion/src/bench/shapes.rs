//! Models of published shapes with random weights: speed does not depend on the values.

use super::Bench;
use crate::load::open_device;
use crate::quantise::recipe;
use crate::{FusionError, LoadOptions, family};
use candle_core::DType;
use glm4v_weights::{Checkpoint, Files};
use serde_json::Value;

/// The shapes that have names, and their configs.
const SHAPES: &[(&str, &str)] = &[
    ("glm-ocr", include_str!("shapes/glm-ocr.json")),
    ("glm-4v-9b", include_str!("shapes/glm-4v-9b.json")),
    ("glm-4.1v-9b", include_str!("shapes/glm-4.1v-9b.json")),
    ("glm-4-9b", include_str!("shapes/glm-4-9b.json")),
];

/// Where the configs keep the number of layers of the decoder and of the tower.
const LAYER_FIELDS: [&str; 5] = [
    "/num_layers",
    "/num_hidden_layers",
    "/text_config/num_hidden_layers",
    "/vision_config/num_hidden_layers",
    "/vision_config/depth",
];

/// The names of the shapes.
pub fn shapes() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().map(|(name, _)| *name)
}

impl Bench {
    /// A model of a published shape with random weights, put together by the code that loads
    /// checkpoints. With `layers`, decoder and tower have at most so many layers.
    ///
    /// # Errors
    /// [`FusionError::UnknownShape`]; or as loading a checkpoint does.
    pub fn of_shape(
        shape: &str,
        layers: Option<usize>,
        options: &LoadOptions,
    ) -> Result<Self, FusionError> {
        let Some((name, config)) = SHAPES.iter().find(|(name, _)| *name == shape) else {
            let known = shapes().collect::<Vec<_>>().join(", ");
            return Err(FusionError::UnknownShape { shape: shape.to_owned(), known });
        };
        let files = Files::Made([("config.json".to_owned(), cut(config, layers))].into());
        let dtype = options.dtype.map_or(DType::F32, |dtype| dtype.candle());
        let device = open_device(options.device)?;
        let checkpoint = Checkpoint::random(files);
        let weights = checkpoint.weights(dtype, &device).quantised(options.quant.map(recipe));
        let parts = family::load(checkpoint.files(), &weights)?;
        let name = match layers {
            Some(layers) => format!("{name}, random weights, at most {layers} layers"),
            None => format!("{name}, random weights"),
        };
        Ok(Self { name, parts: parts.into(), quant: options.quant, model: None })
    }
}

/// A config with fewer layers.
fn cut(config: &str, layers: Option<usize>) -> Vec<u8> {
    let (Some(layers), Ok(mut value)) = (layers, serde_json::from_str::<Value>(config)) else {
        return config.as_bytes().to_vec();
    };
    for field in LAYER_FIELDS {
        if let Some(count) = value.pointer_mut(field) {
            *count = count.as_u64().map_or(layers as u64, |all| all.min(layers as u64)).into();
        }
    }
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_valid_json_and_can_be_cut() {
        for (name, config) in SHAPES {
            let whole: Value = serde_json::from_str(config).unwrap();
            let cut: Value = serde_json::from_slice(&cut(config, Some(2))).unwrap();
            let there: Vec<_> =
                LAYER_FIELDS.iter().filter(|field| whole.pointer(field).is_some()).collect();
            assert!(!there.is_empty(), "{name}");
            for field in there {
                assert_eq!(cut.pointer(field).unwrap(), 2, "{name}{field}");
            }
        }
    }
}
