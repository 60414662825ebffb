//! The tower of GLM-4.1V, 4.5V, 4.6V, GLM-OCR and GLM-5.3-Flash: patches of any grid to visual tokens.
//!
//! Source: transformers `Glm4vVisionModel`, `GlmOcrVisionModel`, `Glm5NextVisionModel`.

use super::glm4v_block::Block;
use super::glu_projector::{GluProjector, NORM_EPS};
use super::{Glm4vVisionConfig, TowerFlavour, linear, sample_position_grid};
use crate::{Grid, VisionError};
use candle_core::{DType, Device, Result, Tensor};
use glm4v_kernels::{GatedLinear, LayerNorm, Linear, RmsNorm, RotaryLayout, RotaryTable, Trace};
use glm4v_weights::{Weights, WeightsError};

/// Base of the 2D rotary frequencies; the reference has it as a constant.
const ROTARY_BASE: f32 = 10000.0;

/// Patch embedding, blocks, downsample and projector.
#[derive(Debug)]
pub struct Glm4vTower {
    config: Glm4vVisionConfig,
    flavour: TowerFlavour,
    patch_embed: Linear,
    positions: Option<LearnedPositions>,
    blocks: Vec<Block>,
    post_norm: RmsNorm,
    downsample: Linear,
    projector: GluProjector,
}

/// What only the flavour with learned positions has.
#[derive(Debug)]
struct LearnedPositions {
    post_conv_norm: RmsNorm,
    table: Tensor,
}

impl Glm4vTower {
    /// Reads the tower's tensors below `visual.`.
    ///
    /// # Errors
    /// When the config is at odds with itself, or a tensor is missing or misshapen.
    pub fn load(
        config: &Glm4vVisionConfig,
        flavour: TowerFlavour,
        weights: &Weights,
    ) -> std::result::Result<Self, VisionError> {
        config.validate()?;
        let norm = |name: &str| -> std::result::Result<_, WeightsError> {
            let weight = weights.pp(name).tensor("weight", config.hidden_size)?;
            Ok(RmsNorm::new(weight, config.rms_norm_eps))
        };
        let positions = match flavour {
            TowerFlavour::GlmOcr => None,
            TowerFlavour::Glm4v => {
                let side = config.position_side();
                let table = weights.pp("embeddings.position_embedding");
                let table =
                    table.tensor_as("weight", (side * side, config.hidden_size), DType::F32)?;
                Some(LearnedPositions { post_conv_norm: norm("post_conv_layernorm")?, table })
            }
        };
        let blocks = (0..config.depth)
            .map(|i| Block::load(config, flavour, &weights.pp("blocks").pp(i)))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            config: config.clone(),
            flavour,
            patch_embed: load_patch_embed(config, &weights.pp("patch_embed.proj"))?,
            positions,
            blocks,
            post_norm: norm("post_layernorm")?,
            downsample: load_downsample(config, &weights.pp("downsample"))?,
            projector: load_projector(config, flavour, &weights.pp("merger"))?,
        })
    }

    /// The config that the tower was made from.
    pub fn config(&self) -> &Glm4vVisionConfig {
        &self.config
    }

    /// Which of the two towers it is.
    pub fn flavour(&self) -> TowerFlavour {
        self.flavour
    }

    /// Flat patches `(patches, channels · frames · side²)` of one or several images to visual
    /// tokens `(patches / merge², out_hidden)`, in the same order.
    ///
    /// # Errors
    /// When the grids don't cover the patches, or a side is not a multiple of the merge size.
    pub fn forward(
        &self,
        patches: &Tensor,
        grids: &[Grid],
        trace: &mut Trace,
    ) -> std::result::Result<Tensor, VisionError> {
        self.check_grids(patches, grids)?;
        let mut x = self.patch_embed.forward(patches)?; // (patches, hidden)
        trace.record("vision_patch_embed", &x);
        if let Some(learned) = &self.positions {
            x = learned.post_conv_norm.forward(&x)?;
            trace.record("vision_post_conv_norm", &x);
            x = (&x + self.learned_positions(learned, grids)?.to_dtype(x.dtype())?)?;
            trace.record("vision_with_positions", &x);
        }
        let rotary = self.rotary_table(grids, x.device())?;
        let segments: Vec<usize> = grids.iter().flat_map(|g| vec![g.h * g.w; g.t]).collect();
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, &rotary, &segments)?;
            trace.record(format_args!("vision_block_{i}"), &x);
        }
        x = self.post_norm.forward(&x)?;
        trace.record("vision_post_norm", &x);
        let merged = self.config.spatial_merge_size.pow(2) * self.config.hidden_size;
        x = self.downsample.forward(&x.reshape(((), merged))?)?; // (tokens, out_hidden)
        trace.record("vision_downsample", &x);
        x = self.projector.forward(&x)?; // (tokens, out_hidden)
        trace.record("vision_embeddings", &x);
        Ok(x)
    }

    fn check_grids(
        &self,
        patches: &Tensor,
        grids: &[Grid],
    ) -> std::result::Result<(), VisionError> {
        let merge = self.config.spatial_merge_size;
        let expected: usize = grids.iter().map(|g| g.t * g.h * g.w).sum();
        let whole =
            grids.iter().all(|g| g.t * g.h * g.w > 0 && g.h % merge == 0 && g.w % merge == 0);
        if whole && patches.dims2()? == (expected, self.config.patch_width()) {
            return Ok(());
        }
        Err(VisionError::Grid { patches: patches.dims().to_vec(), grids: grids.to_vec(), merge })
    }

    /// Learned positions of every patch, `(patches, hidden)` in f32, in the patches' order.
    fn learned_positions(&self, learned: &LearnedPositions, grids: &[Grid]) -> Result<Tensor> {
        let (side, merge) = (self.config.position_side(), self.config.spatial_merge_size);
        let mut all = Vec::new();
        for grid in grids {
            let sampled = sample_position_grid(&learned.table, side, grid.h, grid.w)?; // (h, w, hidden)
            let blocks = sampled
                .reshape((grid.h / merge, merge, grid.w / merge, merge, self.config.hidden_size))?
                .permute((0, 2, 1, 3, 4))?
                .reshape((grid.h * grid.w, self.config.hidden_size))?;
            all.extend(std::iter::repeat_n(blocks, grid.t));
        }
        Tensor::cat(&all, 0)
    }

    /// 2D rotary angles: a quarter of the head's channels turns by the row, a quarter by the
    /// column, and the second half of the head is their partner. `(patches, head_dim / 2)`
    fn rotary_table(&self, grids: &[Grid], device: &Device) -> Result<RotaryTable> {
        let half = self.config.head_dim() / 2;
        let frequencies: Vec<f32> =
            (0..half / 2).map(|i| 1.0 / ROTARY_BASE.powf((2 * i) as f32 / half as f32)).collect();
        let positions: Vec<(usize, usize)> = grids
            .iter()
            .flat_map(|grid| patch_positions(*grid, self.config.spatial_merge_size))
            .collect();
        let angles: Vec<f32> = positions
            .iter()
            .flat_map(|&(row, column)| [row, column])
            .flat_map(|at| frequencies.iter().map(move |f| at as f32 * f))
            .collect();
        let angles = Tensor::from_vec(angles, (positions.len(), half), device)?;
        RotaryTable::new(&angles, RotaryLayout::HalfSplit, DType::F32)
    }
}

/// Row and column of each patch, in the order of the patches: blocks in raster order, and within a
/// block its patches in raster order.
fn patch_positions(grid: Grid, merge: usize) -> Vec<(usize, usize)> {
    let mut frame = Vec::with_capacity(grid.h * grid.w);
    for block_row in (0..grid.h).step_by(merge) {
        for block_column in (0..grid.w).step_by(merge) {
            for row in block_row..block_row + merge {
                frame.extend((block_column..block_column + merge).map(|column| (row, column)));
            }
        }
    }
    frame.repeat(grid.t)
}

/// The 3D convolution whose stride is its kernel, as one matrix `(hidden, patch width)`.
fn load_patch_embed(
    config: &Glm4vVisionConfig,
    weights: &Weights,
) -> std::result::Result<Linear, VisionError> {
    let side = config.patch_size;
    let shape = [config.hidden_size, config.in_channels, config.temporal_patch_size, side, side];
    let weight = weights
        .tensor("weight", &shape[..])?
        .reshape((config.hidden_size, config.patch_width()))?;
    Ok(Linear::new(weight, Some(weights.tensor("bias", config.hidden_size)?)))
}

/// The convolution over each block of patches as one matrix. Its kernel `(out, in, y, x)` is turned
/// to `(out, y, x, in)`, the order in which a block's patches lie in memory.
fn load_downsample(
    config: &Glm4vVisionConfig,
    weights: &Weights,
) -> std::result::Result<Linear, VisionError> {
    let (out, hidden, merge) =
        (config.out_hidden_size, config.hidden_size, config.spatial_merge_size);
    let weight = weights.tensor("weight", (out, hidden, merge, merge))?;
    let weight =
        weight.permute((0, 2, 3, 1))?.contiguous()?.reshape((out, merge * merge * hidden))?;
    // llama.cpp's files may lack the bias where it is zero.
    let bias = weights.contains("bias").then(|| weights.tensor("bias", out)).transpose()?;
    Ok(Linear::new(weight, bias))
}

fn load_projector(
    config: &Glm4vVisionConfig,
    flavour: TowerFlavour,
    weights: &Weights,
) -> std::result::Result<GluProjector, VisionError> {
    let (hidden, inner) = (config.out_hidden_size, config.projector_width(flavour));
    let norm = weights.pp("post_projection_norm");
    let gate = linear(&weights.pp("gate_proj"), hidden, inner, false)?;
    let up = linear(&weights.pp("up_proj"), hidden, inner, false)?;
    Ok(GluProjector {
        proj: linear(&weights.pp("proj"), hidden, hidden, false)?,
        norm: LayerNorm::new(
            norm.tensor("weight", hidden)?,
            norm.tensor("bias", hidden)?,
            NORM_EPS,
        ),
        inner: GatedLinear::of_two(gate, up, config.swiglu_limit)?,
        down: linear(&weights.pp("down_proj"), inner, hidden, false)?,
    })
}
