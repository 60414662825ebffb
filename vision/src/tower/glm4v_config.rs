//! `vision_config` of the `glm4v` family, as in `config.json`.

use crate::VisionError;
use serde::Deserialize;

/// The tower's numbers, under the names that `config.json` gives them.
///
/// Defaults are those of transformers' `Glm4vVisionConfig`.
#[derive(Clone, Debug, Deserialize)]
pub struct Glm4vVisionConfig {
    /// Number of transformer blocks.
    pub depth: usize,
    /// Width of a patch inside the tower.
    pub hidden_size: usize,
    /// Attention heads; each is `hidden_size / num_heads` wide.
    pub num_heads: usize,
    /// Width of a visual token, the decoder's hidden size.
    pub out_hidden_size: usize,
    /// Inner width of the projector (`glm4v`) or of the blocks (`glm_ocr`).
    pub intermediate_size: usize,
    /// Side in pixels of the square image that the learned positions were laid out for.
    #[serde(default = "default_image_size")]
    pub image_size: usize,
    /// Colour channels of a patch.
    #[serde(default = "default_in_channels")]
    pub in_channels: usize,
    /// Side of a patch in pixels.
    #[serde(default = "default_patch_size")]
    pub patch_size: usize,
    /// Side of the square of patches that becomes one visual token.
    #[serde(default = "default_two")]
    pub spatial_merge_size: usize,
    /// Frames that a patch spans.
    #[serde(default = "default_two")]
    pub temporal_patch_size: usize,
    /// Epsilon of the RMS norms.
    #[serde(default = "default_rms_norm_eps")]
    pub rms_norm_eps: f64,
    /// Activation of the MLPs; only `silu` exists.
    #[serde(default = "default_hidden_act")]
    pub hidden_act: String,
    /// Whether the attention's linear layers have biases.
    #[serde(default)]
    pub attention_bias: bool,
    /// Inner width of the projector, where the config says it (`glm5_next`).
    pub projection_intermediate_size: Option<usize>,
    /// Where gate and up of the MLPs are cut, in models that do so (`glm5_next`).
    pub swiglu_limit: Option<f64>,
}

/// Larger numbers are damage; products of two of them must not overflow.
const LARGEST_SIZE: usize = 1 << 20;
/// The same for what four of are multiplied.
const LARGEST_STEP: usize = 1 << 10;

fn default_image_size() -> usize {
    336
}
fn default_in_channels() -> usize {
    3
}
fn default_patch_size() -> usize {
    14
}
fn default_two() -> usize {
    2
}
fn default_rms_norm_eps() -> f64 {
    1e-5
}
fn default_hidden_act() -> String {
    "silu".into()
}

/// The two towers that share one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TowerFlavour {
    /// GLM-4.1V, 4.5V, 4.6V: learned positions, no biases in the blocks.
    Glm4v,
    /// GLM-OCR and GLM-5.3-Flash: norms on queries and keys, biases in the blocks, no learned positions.
    GlmOcr,
}

impl Glm4vVisionConfig {
    /// Width of one flattened patch: channels · frames · side · side.
    pub fn patch_width(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// Side of the learned position grid, in patches.
    pub fn position_side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Inner width of the MLPs in the blocks.
    pub fn block_width(&self, flavour: TowerFlavour) -> usize {
        match flavour {
            TowerFlavour::Glm4v => self.out_hidden_size,
            TowerFlavour::GlmOcr => self.intermediate_size,
        }
    }

    /// Inner width of the projector.
    pub fn projector_width(&self, flavour: TowerFlavour) -> usize {
        match flavour {
            TowerFlavour::Glm4v => self.intermediate_size,
            TowerFlavour::GlmOcr => {
                self.projection_intermediate_size.unwrap_or(self.out_hidden_size * self.in_channels)
            }
        }
    }

    /// Checks that the numbers fit one another.
    ///
    /// # Errors
    /// [`VisionError::Config`], naming the field, when one doesn't.
    pub fn validate(&self) -> Result<(), VisionError> {
        let wrong = |field: &str, reason: String| Err(VisionError::config(field, reason));
        for (field, value, largest) in [
            ("num_heads", self.num_heads, LARGEST_SIZE),
            ("hidden_size", self.hidden_size, LARGEST_SIZE),
            ("out_hidden_size", self.out_hidden_size, LARGEST_SIZE),
            ("intermediate_size", self.intermediate_size, LARGEST_SIZE),
            ("image_size", self.image_size, LARGEST_SIZE),
            ("patch_size", self.patch_size, LARGEST_STEP),
            ("spatial_merge_size", self.spatial_merge_size, LARGEST_STEP),
            ("temporal_patch_size", self.temporal_patch_size, LARGEST_STEP),
            ("in_channels", self.in_channels, LARGEST_STEP),
        ] {
            if value == 0 || value > largest {
                return wrong(field, format!("{value} is outside 1 to {largest}"));
            }
        }
        if self.projection_intermediate_size.is_some_and(|size| size == 0 || size > LARGEST_SIZE) {
            let reason = format!("it is outside 1 to {LARGEST_SIZE}");
            return wrong("projection_intermediate_size", reason);
        }
        if self.swiglu_limit.is_some_and(|limit| !(limit > 0.0 && limit.is_finite())) {
            return wrong("swiglu_limit", "it must be above 0".into());
        }
        if !self.hidden_size.is_multiple_of(4 * self.num_heads) {
            return wrong(
                "hidden_size",
                format!(
                    "{} is not a multiple of 4 · num_heads ({})",
                    self.hidden_size, self.num_heads
                ),
            );
        }
        if self.image_size < self.patch_size {
            return wrong(
                "image_size",
                format!("{} is less than patch_size ({})", self.image_size, self.patch_size),
            );
        }
        if self.hidden_act != "silu" {
            return wrong(
                "hidden_act",
                format!("{:?} is not supported, only \"silu\"", self.hidden_act),
            );
        }
        Ok(())
    }
}
