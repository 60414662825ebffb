//! The tower of GLM-4V-9B (2024): EVA2-CLIP-E, a strided convolution and a gated projector.
//!
//! Source: `visual.py` of the published glm-4v-9b.

use super::glu_projector::{GluProjector, NORM_EPS};
use super::{EvaClipConfig, in_chunks, linear, split_heads};
use crate::VisionError;
use candle_core::{Result, Tensor};
use glm4v_kernels::{
    GatedLinear, LayerNorm, Linear, Mask, Trace, attention_in, beside_activations,
};
use glm4v_weights::{Weights, WeightsError};

/// Patch embedding with a class token, layers, convolution, projector, and the boi and eoi rows.
#[derive(Debug)]
pub struct EvaClipTower {
    config: EvaClipConfig,
    patch_embed: Linear,
    class_embedding: Tensor,
    positions: Tensor,
    layers: Vec<Layer>,
    conv: Linear,
    projector: GluProjector,
    boi: Tensor,
    eoi: Tensor,
}

impl EvaClipTower {
    /// Reads the tower's tensors below `transformer.vision.`. `out_hidden` is the decoder's hidden
    /// size and `projector_width` its `ffn_hidden_size`, the projector's inner width.
    ///
    /// # Errors
    /// When the config is at odds with itself, or a tensor is missing or misshapen.
    pub fn load(
        config: &EvaClipConfig,
        out_hidden: usize,
        projector_width: usize,
        weights: &Weights,
    ) -> std::result::Result<Self, VisionError> {
        config.validate()?;
        let hidden = config.hidden_size;
        let (patch, channels) = (config.patch_size, config.in_channels);
        let embed = weights.pp("patch_embedding");
        let patch_weight = embed.pp("proj").tensor("weight", (hidden, channels, patch, patch))?;
        let layers = (0..config.num_hidden_layers)
            .map(|i| Layer::load(config, &weights.pp("transformer.layers").pp(i)))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            config: config.clone(),
            patch_embed: Linear::new(
                patch_weight.reshape((hidden, channels * patch * patch))?,
                Some(embed.pp("proj").tensor("bias", hidden)?),
            ),
            class_embedding: beside_activations(embed.tensor("cls_embedding", (1, hidden))?)?,
            positions: beside_activations(
                embed.pp("position_embedding").tensor("weight", (config.num_positions, hidden))?,
            )?,
            layers,
            conv: load_conv(config, out_hidden, &weights.pp("conv"))?,
            projector: load_projector(out_hidden, projector_width, &weights.pp("linear_proj"))?,
            boi: beside_activations(weights.tensor("boi", (1, 1, out_hidden))?.squeeze(0)?)?,
            eoi: beside_activations(weights.tensor("eoi", (1, 1, out_hidden))?.squeeze(0)?)?,
        })
    }

    /// The config that the tower was made from.
    pub fn config(&self) -> &EvaClipConfig {
        &self.config
    }

    /// Pixels `(channels, image_size, image_size)` to visual rows `(visual_tokens, out_hidden)`:
    /// boi, the patches in raster order, eoi, all divided by the scaling factor.
    ///
    /// # Errors
    /// When the pixels have another shape.
    pub fn forward(
        &self,
        pixels: &Tensor,
        trace: &mut Trace,
    ) -> std::result::Result<Tensor, VisionError> {
        let size = self.config.image_size;
        let expected = [self.config.in_channels, size, size];
        if pixels.dims() != expected {
            return Err(VisionError::PixelShape {
                expected: expected.to_vec(),
                found: pixels.dims().to_vec(),
            });
        }
        let mut x = self.embed(pixels)?; // (1 + patches, hidden)
        trace.record("vision_patch_embed", &x);
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x)?;
            trace.record(format_args!("vision_layer_{i}"), &x);
        }
        let x = self.conv.forward(&self.blocks_of_four(&x)?)?; // (tokens, out_hidden)
        trace.record("vision_conv", &x.t()?);
        let x = self.projector.forward(&x)?; // (tokens, out_hidden)
        trace.record("vision_projector", &x);
        let rows = (Tensor::cat(&[&self.boi, &x, &self.eoi], 0)? / self.config.scaling_factor)?;
        trace.record("vision_embeddings", &rows);
        Ok(rows)
    }

    /// Pixels to rows with their positions, the class token first, `(1 + patches, hidden)`.
    fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let patches = self.patch_embed.forward(&self.unfold(pixels)?)?; // (patches, hidden)
        Tensor::cat(&[&self.class_embedding, &patches], 0)? + &self.positions
    }

    /// Pixels to flat patches in raster order, `(patches, channels · patch²)`.
    fn unfold(&self, pixels: &Tensor) -> Result<Tensor> {
        let (side, patch, channels) =
            (self.config.grid_side(), self.config.patch_size, self.config.in_channels);
        pixels
            .reshape((channels, side, patch, side, patch))?
            .permute((1, 3, 0, 2, 4))?
            .reshape((side * side, channels * patch * patch))
    }

    /// Drops the class token and lays each 2 × 2 block of patches in one row, `(tokens, 4 · hidden)`.
    fn blocks_of_four(&self, x: &Tensor) -> Result<Tensor> {
        let (side, hidden) = (self.config.grid_side(), self.config.hidden_size);
        x.narrow(0, 1, side * side)?
            .reshape(&[side / 2, 2, side / 2, 2, hidden][..])?
            .permute((0, 2, 1, 3, 4))?
            .reshape((side * side / 4, 4 * hidden))
    }
}

/// `x += input_norm(attn(x)); x += post_norm(fc2(gelu(fc1(x))))`: the norm is on each sub-layer's
/// output, inside the residual branch.
#[derive(Debug)]
struct Layer {
    input_norm: LayerNorm,
    post_norm: LayerNorm,
    qkv: Linear,
    dense: Linear,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
}

impl Layer {
    fn load(config: &EvaClipConfig, weights: &Weights) -> std::result::Result<Self, WeightsError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |name: &str| layer_norm(&weights.pp(name), hidden, config.layer_norm_eps);
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            post_norm: norm("post_attention_layernorm")?,
            qkv: linear(&weights.pp("attention.query_key_value"), hidden, 3 * hidden, true)?,
            dense: linear(&weights.pp("attention.dense"), hidden, hidden, true)?,
            fc1: linear(&weights.pp("mlp.fc1"), hidden, inner, true)?,
            fc2: linear(&weights.pp("mlp.fc2"), inner, hidden, true)?,
            heads: config.num_heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let attended = self.dense.forward(&self.attend(x)?)?;
        let x = self.input_norm.forward_onto(x, &attended)?; // (1 + patches, hidden)
        drop(attended);
        let y = in_chunks(&x, |x| self.fc2.forward(&self.fc1.forward_gelu(x)?))?;
        self.post_norm.forward_onto(&x, &y)
    }

    /// Apart from the rest, so that the fused projection is freed before the MLP begins.
    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let [q, k, v] = split_heads(&self.qkv.forward(x)?, self.heads)?; // (heads, 1 + patches, d)
        attention_in(self.qkv.precision(), &q, &k, &v, Mask::Full)
    }
}

fn layer_norm(
    weights: &Weights,
    width: usize,
    eps: f64,
) -> std::result::Result<LayerNorm, WeightsError> {
    Ok(LayerNorm::new(weights.tensor("weight", width)?, weights.tensor("bias", width)?, eps))
}

/// The 2 × 2 convolution whose stride is its kernel, as one matrix over a block's patches.
fn load_conv(
    config: &EvaClipConfig,
    out: usize,
    weights: &Weights,
) -> std::result::Result<Linear, VisionError> {
    let weight = weights.tensor("weight", (out, config.hidden_size, 2, 2))?;
    let weight =
        weight.permute((0, 2, 3, 1))?.contiguous()?.reshape((out, 4 * config.hidden_size))?;
    Ok(Linear::new(weight, Some(weights.tensor("bias", out)?)))
}

/// In this checkpoint `dense_h_to_4h` is the up matrix alone; the gate is beside it.
fn load_projector(
    hidden: usize,
    inner: usize,
    weights: &Weights,
) -> std::result::Result<GluProjector, VisionError> {
    let gate = linear(&weights.pp("gate_proj"), hidden, inner, false)?;
    let up = linear(&weights.pp("dense_h_to_4h"), hidden, inner, false)?;
    Ok(GluProjector {
        proj: linear(&weights.pp("linear_proj"), hidden, hidden, false)?,
        norm: layer_norm(&weights.pp("norm1"), hidden, NORM_EPS)?,
        inner: GatedLinear::of_two(gate, up, None)?,
        down: linear(&weights.pp("dense_4h_to_h"), inner, hidden, false)?,
    })
}
