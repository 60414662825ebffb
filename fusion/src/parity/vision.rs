//! From image files to visual tokens: pixels, grids and the stages of the tower.
//!
//! The tower reads the reference's pixels, not ours, so that its stages are held by themselves.

use super::case::{Case, CaseVideo, integers};
use super::compare::{self, VISION_BOUND};
use super::stages::Stages;
use crate::visual::{FixedSquareVision, SmartResizeVision, VisionModel};
use crate::{FusionError, Model, VisualTokens};
use candle_core::{Device, Tensor};
use glm4v_kernels::Trace;
use glm4v_vision::{
    Grid, Image, Patches, Resampler, SmartResizePreprocessor, VideoMetadata, VisionError,
};

/// Red, green, blue.
const CHANNELS: usize = 3;

/// Holds all vision stages, and returns the visual tokens of the case's pictures and videos, in
/// the order of the prompt's places: pictures, then videos.
pub(super) fn run(
    model: &Model,
    case: &Case,
    stages: &mut Stages<'_>,
) -> Result<Vec<VisualTokens>, FusionError> {
    match &model.inner().parts.vision {
        Some(VisionModel::SmartResize(vision)) => {
            let mut visuals = pictures(model, vision, case, stages)?;
            visuals.extend(videos(model, vision, case, stages)?);
            Ok(visuals)
        }
        Some(VisionModel::FixedSquare(vision)) => square(model, vision, case, stages),
        None => Err(FusionError::TextOnly { model: model.info().name.clone() }),
    }
}

fn pictures(
    model: &Model,
    vision: &SmartResizeVision,
    case: &Case,
    stages: &mut Stages<'_>,
) -> Result<Vec<VisualTokens>, FusionError> {
    let images = case.open(case.picture_files())?;
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let prepare = |preprocessor: &SmartResizePreprocessor| -> Result<Vec<Patches>, VisionError> {
        images.iter().map(|image| preprocessor.image(image)).collect()
    };
    let ours = prepare(&vision.preprocessor)?;
    hold_patches(stages, "pixel_values", &vision.preprocessor, &ours, 1.0);
    let pillow = vision.preprocessor.clone().with_resampler(Resampler::Pillow);
    hold_patches(stages, "pixel_values_pil", &pillow, &prepare(&pillow)?, 2.0);
    hold_grids(stages, "image_grid_thw", &ours);
    let (rows, grids) = tower(model, vision, case, ["pixel_values", "image_grid_thw"], stages)?;
    let mut start = 0;
    let one = |grid: &Grid| {
        let (height, width) = vision.token_grid(*grid);
        let rows = rows.narrow(0, start, height * width)?;
        start += height * width;
        Ok(VisualTokens::picture(rows, (height, width)))
    };
    grids.iter().map(one).collect()
}

fn videos(
    model: &Model,
    vision: &SmartResizeVision,
    case: &Case,
    stages: &mut Stages<'_>,
) -> Result<Vec<VisualTokens>, FusionError> {
    if case.file.video_metadata.is_empty() {
        return Ok(Vec::new());
    }
    let Some(input) = &vision.video else {
        return Err(FusionError::NoVideo { model: model.info().name.clone() });
    };
    let mut first = case.picture_files().len();
    let (mut ours, mut times) = (Vec::new(), Vec::new());
    for video in &case.file.video_metadata {
        let files = case.file.files.get(first..first + video.frames()).unwrap_or_default();
        first += files.len();
        let (frames, seconds) = chosen_frames(model, case, video, case.open(files)?)?;
        ours.push(input.preprocessor.frames(&frames)?);
        times.push(model.encode_times(input, &seconds)?);
    }
    hold_patches(stages, "pixel_values_videos", &input.preprocessor, &ours, 1.0);
    hold_grids(stages, "video_grid_thw", &ours);
    let names = ["pixel_values_videos", "video_grid_thw"];
    let (rows, grids) = tower(model, vision, case, names, stages)?;
    video_tokens(vision, &rows, &grids, times)
}

/// The frames that the reference showed the model, and the time of each in seconds.
fn chosen_frames(
    model: &Model,
    case: &Case,
    video: &CaseVideo,
    frames: Vec<Image>,
) -> Result<(Vec<Image>, Vec<f64>), FusionError> {
    let seconds = |index: usize| index as f64 / video.fps;
    if case.file.do_sample_frames != Some(true) {
        return Ok((frames, video.frames_indices.iter().map(|&i| seconds(i)).collect()));
    }
    let metadata = VideoMetadata {
        fps: video.fps,
        total_frames: video.total_num_frames,
        duration: video.duration,
    };
    let chosen = model.choose_frames(&metadata)?;
    let frame = |i: &usize| Some((frames.get(*i)?.clone(), seconds(*i)));
    Ok(chosen.iter().filter_map(frame).unzip())
}

fn video_tokens(
    vision: &SmartResizeVision,
    rows: &Tensor,
    grids: &[Grid],
    times: Vec<Vec<Vec<u32>>>,
) -> Result<Vec<VisualTokens>, FusionError> {
    let mut start = 0;
    let one = |(grid, times): (&Grid, Vec<Vec<u32>>)| {
        let (height, width) = vision.token_grid(*grid);
        let rows = rows.narrow(0, start, grid.t * height * width)?;
        start += grid.t * height * width;
        Ok(VisualTokens::video(rows, (height, width), times))
    };
    grids.iter().zip(times).map(one).collect()
}

/// Runs the tower once over the reference's pixels, as the reference did, and holds its stages.
fn tower(
    model: &Model,
    vision: &SmartResizeVision,
    case: &Case,
    [pixels, grids]: [&'static str; 2],
    stages: &mut Stages<'_>,
) -> Result<(Tensor, Vec<Grid>), FusionError> {
    let grids: Vec<Grid> = integers(case.require(grids)?)?
        .chunks_exact(3)
        .map(|thw| Grid { t: thw[0] as usize, h: thw[1] as usize, w: thw[2] as usize })
        .collect();
    let pixels = to_model(model, case.require(pixels)?)?;
    let mut trace = Trace::on();
    let rows = vision.tower.forward(&pixels, &grids, &mut trace)?; // (tokens, hidden)
    hold_trace(stages, &trace);
    Ok((rows, grids))
}

fn square(
    model: &Model,
    vision: &FixedSquareVision,
    case: &Case,
    stages: &mut Stages<'_>,
) -> Result<Vec<VisualTokens>, FusionError> {
    let images = case.open(&case.file.files)?;
    let side = vision.preprocessor.side();
    let prepare = |image: &Image| vision.preprocessor.image(image).into_raw_vec_and_offset().0;
    let ours: Vec<f32> = images.iter().flat_map(prepare).collect();
    stages.hold("pixel_values", |reference| {
        let ours = Tensor::from_vec(ours, (images.len(), CHANNELS, side, side), &Device::Cpu)?;
        let channel = |at: usize| at / (side * side) % CHANNELS;
        let steps = grey_steps(channel, |image| Ok(prepare(image)))?;
        compare::pixels("pixel_values", &ours, reference, 1.0, &steps, channel)
    });
    let reference = to_model(model, case.require("pixel_values")?)?; // (images, 3, side, side)
    let mut trace = Trace::on();
    let tokens = vision.run_tower(&reference.get(0)?, &mut trace)?;
    hold_trace(stages, &trace);
    Ok(vec![tokens])
}

fn hold_patches(
    stages: &mut Stages<'_>,
    name: &str,
    preprocessor: &SmartResizePreprocessor,
    ours: &[Patches],
    levels: f64,
) {
    stages.hold(name, |reference| {
        let width = ours.first().map_or(0, |patches| patches.pixels.ncols());
        let values: Vec<f32> = ours.iter().flat_map(|patches| &patches.pixels).copied().collect();
        let ours = Tensor::from_vec(values, ((), width.max(1)), &Device::Cpu)?;
        let channel = |at: usize| at % width / (width / CHANNELS);
        let steps = grey_steps(channel, |image| {
            Ok(preprocessor.image(image)?.pixels.into_raw_vec_and_offset().0)
        })?;
        compare::pixels(name, &ours, reference, levels, &steps, channel)
    });
}

/// What one grey level is worth in each channel after normalisation: the way from black to white,
/// parted in 255.
fn grey_steps(
    channel: impl Fn(usize) -> usize,
    prepare: impl Fn(&Image) -> Result<Vec<f32>, FusionError>,
) -> Result<Vec<f64>, FusionError> {
    const SIDE: u32 = 56;
    let plain = |level: u8| {
        let bytes = vec![level; CHANNELS * (SIDE * SIDE) as usize];
        prepare(&Image::from_rgb(SIDE, SIDE, bytes)?)
    };
    let mut steps = vec![f64::NAN; CHANNELS];
    for (at, (black, white)) in plain(0)?.into_iter().zip(plain(255)?).enumerate() {
        if let Some(step) = steps.get_mut(channel(at)) {
            *step = f64::from(white - black) / 255.0;
        }
    }
    Ok(steps)
}

fn hold_grids(stages: &mut Stages<'_>, name: &str, ours: &[Patches]) {
    let ours: Vec<i64> = ours
        .iter()
        .flat_map(|patches| [patches.grid.t, patches.grid.h, patches.grid.w])
        .map(|n| n as i64)
        .collect();
    stages.hold(name, |reference| Ok(compare::equal(name, &ours, &integers(reference)?)));
}

/// Holds every stage that the tower recorded.
fn hold_trace(stages: &mut Stages<'_>, trace: &Trace) {
    for (name, ours) in trace.stages() {
        stages.hold(name, |reference| compare::floats(name, ours, reference, VISION_BOUND));
    }
}

fn to_model(model: &Model, tensor: &Tensor) -> Result<Tensor, FusionError> {
    let decoder = model.decoder();
    Ok(tensor.to_device(decoder.device())?.to_dtype(decoder.dtype())?)
}
