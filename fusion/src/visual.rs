//! What a picture becomes: visual tokens, and the two ways to make them.

use crate::FusionError;
use crate::splice::{Spliced, splice_between_marks, splice_image_tokens};
use candle_core::{DType, Device, Tensor};
use glm4v_kernels::Trace;
use glm4v_vision::{
    EvaClipTower, FixedSquarePreprocessor, Glm4vTower, Grid, Image, Patches,
    SmartResizePreprocessor,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// The visual tokens of one picture, made once and good for many questions to the same model.
///
/// Cheap to clone: the rows are shared.
#[derive(Clone, Debug)]
pub struct VisualTokens {
    rows: Tensor,
    grid: (usize, usize),
    identity: u64,
}

/// Tells pictures apart within a process, so that a cached row is known to be of the same picture.
static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(0);

impl VisualTokens {
    fn new(rows: Tensor, grid: (usize, usize)) -> Self {
        Self { rows, grid, identity: NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed) }
    }

    /// The number of visual tokens.
    pub fn len(&self) -> usize {
        self.rows.dims().first().copied().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows and columns of visual tokens over the picture. In GLM-4V-9B two more tokens, which
    /// mark begin and end, stand outside this grid.
    pub fn grid(&self) -> (usize, usize) {
        self.grid
    }

    /// The tokens, `(tokens, hidden)`, in the type that the model runs in.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }
}

/// A tower with the preprocessing before it and the splice after it.
#[derive(Debug)]
pub(crate) enum VisionModel {
    /// GLM-4.1V, 4.6V-Flash: any grid of patches; an image token a place.
    SmartResize { preprocessor: SmartResizePreprocessor, tower: Glm4vTower, image_token: u32 },
    /// GLM-4V-9B: a fixed square; a place is three ids.
    FixedSquare { preprocessor: FixedSquarePreprocessor, tower: EvaClipTower, boi: u32, eoi: u32 },
}

impl VisionModel {
    /// Preprocesses a picture and runs the tower.
    pub(crate) fn embed(
        &self,
        image: &Image,
        dtype: DType,
        device: &Device,
    ) -> Result<VisualTokens, FusionError> {
        let mut trace = Trace::off();
        match self {
            Self::SmartResize { preprocessor, tower, .. } => {
                let Patches { pixels, grid } = preprocessor.image(image)?;
                let shape = pixels.dim();
                let pixels = tensor(pixels.into_raw_vec_and_offset().0, shape, dtype, device)?;
                embed_patches(tower, &pixels, grid, &mut trace)
            }
            Self::FixedSquare { preprocessor, tower, .. } => {
                let pixels = preprocessor.image(image);
                let shape = pixels.dim();
                let pixels = tensor(pixels.into_raw_vec_and_offset().0, shape, dtype, device)?;
                embed_square(tower, &pixels, &mut trace)
            }
        }
    }

    /// Puts visual tokens in their places among the prompt's ids.
    pub(crate) fn splice(
        &self,
        ids: &[u32],
        images: &[VisualTokens],
    ) -> Result<Spliced, FusionError> {
        match self {
            Self::SmartResize { image_token, .. } => splice_image_tokens(ids, *image_token, images),
            Self::FixedSquare { boi, eoi, .. } => splice_between_marks(ids, *boi, *eoi, images),
        }
    }

    /// How many images one prompt may hold, if there is a limit.
    pub(crate) fn image_limit(&self) -> Option<usize> {
        match self {
            Self::SmartResize { .. } => None,
            Self::FixedSquare { .. } => Some(1),
        }
    }
}

/// Runs a tower over the patches of one picture, `(patches, patch width)`.
pub(crate) fn embed_patches(
    tower: &Glm4vTower,
    pixels: &Tensor,
    grid: Grid,
    trace: &mut Trace,
) -> Result<VisualTokens, FusionError> {
    let rows = tower.forward(pixels, &[grid], trace)?; // (tokens, hidden)
    let merge = tower.config().spatial_merge_size;
    Ok(VisualTokens::new(rows, (grid.h / merge, grid.w / merge)))
}

/// Runs a tower over one square picture, `(channels, side, side)`.
pub(crate) fn embed_square(
    tower: &EvaClipTower,
    pixels: &Tensor,
    trace: &mut Trace,
) -> Result<VisualTokens, FusionError> {
    let rows = tower.forward(pixels, trace)?; // (tokens + 2, hidden)
    let side = tower.config().grid_side() / 2;
    Ok(VisualTokens::new(rows, (side, side)))
}

fn tensor(
    values: Vec<f32>,
    shape: impl Into<candle_core::Shape>,
    dtype: DType,
    device: &Device,
) -> Result<Tensor, FusionError> {
    Ok(Tensor::from_vec(values, shape.into(), device)?.to_dtype(dtype)?)
}
