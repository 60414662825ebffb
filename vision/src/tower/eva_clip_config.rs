//! `vision_config` of GLM-4V-9B (2024), as in `config.json`.

use crate::VisionError;
use serde::Deserialize;

/// The tower's numbers, under the names that `config.json` gives them.
#[derive(Clone, Debug, Deserialize)]
pub struct EvaClipConfig {
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Width of a patch inside the tower.
    pub hidden_size: usize,
    /// Attention heads; each is `hidden_size / num_heads` wide.
    pub num_heads: usize,
    /// Inner width of the layers' MLPs.
    pub intermediate_size: usize,
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Rows of the position table: one for the class token and one a patch.
    pub num_positions: usize,
    /// Colour channels.
    pub in_channels: usize,
    /// Epsilon of the layers' norms.
    pub layer_norm_eps: f64,
    /// What every visual row, boi and eoi included, is divided by.
    pub scaling_factor: f64,
    /// Activation of the MLPs; only `gelu` exists.
    pub hidden_act: String,
}

impl EvaClipConfig {
    /// Patches along one side of the image.
    pub fn grid_side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Visual rows that an image becomes, with boi and eoi.
    pub fn visual_tokens(&self) -> usize {
        (self.grid_side() / 2).pow(2) + 2
    }

    /// Checks that the numbers fit one another.
    ///
    /// # Errors
    /// [`VisionError::Config`], naming the field, when one doesn't.
    pub fn validate(&self) -> Result<(), VisionError> {
        let wrong = |field: &str, reason: String| Err(VisionError::config(field, reason));
        if self.num_heads == 0
            || self.hidden_size == 0
            || !self.hidden_size.is_multiple_of(self.num_heads)
        {
            return wrong(
                "hidden_size",
                format!("{} is not a multiple of num_heads ({})", self.hidden_size, self.num_heads),
            );
        }
        if self.patch_size == 0
            || !self.image_size.is_multiple_of(2 * self.patch_size)
            || self.image_size > 1 << 20
        {
            return wrong(
                "image_size",
                format!(
                    "{} is not a multiple of twice patch_size ({})",
                    self.image_size, self.patch_size
                ),
            );
        }
        let positions = self.grid_side().pow(2) + 1;
        if self.num_positions != positions {
            return wrong(
                "num_positions",
                format!("{} does not fit the image, which has {positions}", self.num_positions),
            );
        }
        if self.scaling_factor == 0.0 || !self.scaling_factor.is_finite() {
            return wrong("scaling_factor", format!("{} cannot divide", self.scaling_factor));
        }
        if self.hidden_act != "gelu" {
            return wrong(
                "hidden_act",
                format!("{:?} is not supported, only \"gelu\"", self.hidden_act),
            );
        }
        Ok(())
    }
}
