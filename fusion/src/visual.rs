//! What a picture becomes: visual tokens, and the two ways to make them.

use crate::FusionError;
use crate::splice::{PlaceIds, Spliced, splice_between_marks, splice_places};
use crate::video::VideoInput;
use candle_core::{DType, Device, Tensor};
use glm4v_kernels::Trace;
use glm4v_vision::{
    EvaClipTower, FixedSquarePreprocessor, Glm4vTower, Grid, Image, Patches,
    SmartResizePreprocessor,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// The visual tokens of one picture or video, made once and good for many questions to the same
/// model.
///
/// Cheap to clone: the rows are shared.
#[derive(Clone, Debug)]
pub struct VisualTokens {
    rows: Tensor,
    grid: (usize, usize),
    times: Vec<Vec<u32>>,
    identity: u64,
}

/// Tells pictures apart within a process, so that a cached row is known to be of the same picture.
static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(0);

impl VisualTokens {
    /// A picture's rows `(tokens, hidden)`, which lie over it in `grid` rows and columns.
    pub(crate) fn picture(rows: Tensor, grid: (usize, usize)) -> Self {
        Self::video(rows, grid, Vec::new())
    }

    /// A video's rows `(frame pairs · tokens, hidden)`, with the token ids that tell the time of
    /// each frame pair.
    pub(crate) fn video(rows: Tensor, grid: (usize, usize), times: Vec<Vec<u32>>) -> Self {
        Self { rows, grid, times, identity: NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed) }
    }

    /// The number of visual tokens.
    pub fn len(&self) -> usize {
        self.rows.dims().first().copied().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether these are of a video.
    pub fn is_video(&self) -> bool {
        !self.times.is_empty()
    }

    /// Rows and columns of visual tokens over the picture, or over each frame pair of the video.
    /// In GLM-4V-9B two more tokens, which mark begin and end, stand outside this grid.
    pub fn grid(&self) -> (usize, usize) {
        self.grid
    }

    /// The tokens, `(tokens, hidden)`, in the type that the model runs in.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// Bytes that the rows take.
    pub(crate) fn bytes(&self) -> u64 {
        (self.rows.elem_count() * self.rows.dtype().size_in_bytes()) as u64
    }

    pub(crate) fn times(&self) -> &[Vec<u32>] {
        &self.times
    }

    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }
}

/// What a tower reads of one picture or video.
#[derive(Clone, Debug)]
pub(crate) struct TowerInput {
    /// Flat patches `(patches, width)`, or a square picture `(channels, side, side)`.
    pub(crate) pixels: Tensor,
    /// How the patches lie in it.
    pub(crate) grid: Grid,
}

impl TowerInput {
    /// Moves patches to where the tower is.
    pub(crate) fn patches(
        Patches { pixels, grid }: Patches,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, FusionError> {
        let shape = pixels.dim();
        let pixels = tensor(pixels.into_raw_vec_and_offset().0, shape, dtype, device)?;
        Ok(Self { pixels, grid })
    }
}

/// A tower with the preprocessing before it and the splice after it.
#[derive(Debug)]
pub(crate) enum VisionModel {
    /// GLM-4.1V and later: any grid of patches; a place is one id.
    SmartResize(Box<SmartResizeVision>),
    /// GLM-4V-9B: a fixed square; a place is three ids.
    FixedSquare(Box<FixedSquareVision>),
}

/// The eyes of GLM-4.1V and later.
#[derive(Debug)]
pub(crate) struct SmartResizeVision {
    pub(crate) preprocessor: SmartResizePreprocessor,
    pub(crate) tower: Glm4vTower,
    pub(crate) image_id: u32,
    /// What videos need besides, where the checkpoint has it.
    pub(crate) video: Option<VideoInput>,
}

/// The eyes of GLM-4V-9B.
#[derive(Debug)]
pub(crate) struct FixedSquareVision {
    pub(crate) preprocessor: FixedSquarePreprocessor,
    pub(crate) tower: EvaClipTower,
    /// The ids before and after a place.
    pub(crate) boi: u32,
    pub(crate) eoi: u32,
}

impl VisionModel {
    /// Preprocesses a picture and runs the tower.
    pub(crate) fn embed(
        &self,
        image: &Image,
        dtype: DType,
        device: &Device,
    ) -> Result<VisualTokens, FusionError> {
        self.run_tower(&self.preprocess(image, dtype, device)?)
    }

    /// What the tower reads of a picture.
    pub(crate) fn preprocess(
        &self,
        image: &Image,
        dtype: DType,
        device: &Device,
    ) -> Result<TowerInput, FusionError> {
        match self {
            Self::SmartResize(vision) => {
                TowerInput::patches(vision.preprocessor.image(image)?, dtype, device)
            }
            Self::FixedSquare(vision) => {
                let pixels = vision.preprocessor.image(image);
                let shape = pixels.dim();
                let pixels = tensor(pixels.into_raw_vec_and_offset().0, shape, dtype, device)?;
                let side = vision.tower.config().grid_side();
                Ok(TowerInput { pixels, grid: Grid { t: 1, h: side, w: side } })
            }
        }
    }

    /// The visual tokens of a preprocessed picture.
    pub(crate) fn run_tower(&self, input: &TowerInput) -> Result<VisualTokens, FusionError> {
        match self {
            Self::SmartResize(vision) => {
                let (rows, grid) = vision.run_tower(input)?;
                Ok(VisualTokens::picture(rows, grid))
            }
            Self::FixedSquare(vision) => vision.run_tower(&input.pixels, &mut Trace::off()),
        }
    }

    /// Puts visual tokens in their places among the prompt's ids.
    pub(crate) fn splice(
        &self,
        ids: &[u32],
        visuals: &[VisualTokens],
    ) -> Result<Spliced, FusionError> {
        match self {
            Self::SmartResize(vision) => splice_places(ids, &vision.place_ids(), visuals),
            Self::FixedSquare(vision) => splice_between_marks(ids, vision.boi, vision.eoi, visuals),
        }
    }

    /// How many images one prompt may hold, if there is a limit.
    pub(crate) fn image_limit(&self) -> Option<usize> {
        match self {
            Self::SmartResize(_) => None,
            Self::FixedSquare(_) => Some(1),
        }
    }
}

impl SmartResizeVision {
    /// Runs the tower over the patches of one picture or video. Returns the rows
    /// `(tokens, hidden)`, and how they lie over the picture or each frame pair.
    pub(crate) fn run_tower(
        &self,
        TowerInput { pixels, grid }: &TowerInput,
    ) -> Result<(Tensor, (usize, usize)), FusionError> {
        let rows = self.tower.forward(pixels, &[*grid], &mut Trace::off())?; // (tokens, hidden)
        Ok((rows, self.token_grid(*grid)))
    }

    /// Rows and columns of visual tokens over a frame of `grid` patches.
    pub(crate) fn token_grid(&self, grid: Grid) -> (usize, usize) {
        let merge = self.tower.config().spatial_merge_size;
        (grid.h / merge, grid.w / merge)
    }

    pub(crate) fn place_ids(&self) -> PlaceIds {
        PlaceIds { image: self.image_id, video: self.video.as_ref().map(|video| video.ids) }
    }
}

impl FixedSquareVision {
    /// Runs the tower over one square picture, `(channels, side, side)`.
    pub(crate) fn run_tower(
        &self,
        pixels: &Tensor,
        trace: &mut Trace,
    ) -> Result<VisualTokens, FusionError> {
        let rows = self.tower.forward(pixels, trace)?; // (tokens + 2, hidden)
        let side = self.tower.config().grid_side() / 2;
        Ok(VisualTokens::picture(rows, (side, side)))
    }
}

fn tensor(
    values: Vec<f32>,
    shape: impl Into<candle_core::Shape>,
    dtype: DType,
    device: &Device,
) -> Result<Tensor, FusionError> {
    Ok(Tensor::from_vec(values, shape.into(), device)?.to_dtype(dtype)?)
}
