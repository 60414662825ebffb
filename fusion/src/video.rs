//! Videos: which frames a model sees, and what their frame pairs become.

use crate::splice::VideoIds;
use crate::visual::{SmartResizeVision, TowerInput, VisionModel};
use crate::{FusionError, Model, VisualTokens};
use glm4v_vision::{
    FrameSampler, Image, PreprocessorConfig, SmartResizePreprocessor, VideoFile, VideoMetadata,
};
use glm4v_weights::Files;
use serde::Deserialize;

/// What a model needs for videos besides its tower.
#[derive(Debug)]
pub(crate) struct VideoInput {
    pub(crate) preprocessor: SmartResizePreprocessor,
    pub(crate) ids: VideoIds,
    sampler: FrameSampler,
    frames_per_patch: usize,
    times: TimeFormat,
}

/// Whose rules for frames hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VideoFamily {
    Glm4v,
    Glm46v,
    Glmga,
    Glm5Next,
}

/// How a frame pair's time is told to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeFormat {
    /// `1`: `Glm4vProcessor`.
    WholeSeconds,
    /// `1.5 seconds`: `Glm46VProcessor` and later.
    Decimal,
}

impl TimeFormat {
    fn text(self, seconds: f64) -> String {
        match self {
            Self::WholeSeconds => format!("{}", seconds.trunc()),
            Self::Decimal => format!("{seconds:.1} seconds"),
        }
    }
}

/// Frames that the processors take a second where the file says nothing.
const FRAMES_A_SECOND: f64 = 2.0;

/// The fields of `video_preprocessor_config.json` that say which processor the model goes with, and
/// how it chooses frames.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProcessorConfig {
    processor_class: String,
    image_processor_type: String,
    video_processor_type: String,
    fps: Option<f64>,
    max_duration: Option<f64>,
    max_frames: Option<usize>,
}

impl ProcessorConfig {
    /// The family whose processor the file names, or `default`.
    fn family(&self, default: VideoFamily) -> VideoFamily {
        use VideoFamily::{Glm4v, Glm5Next, Glm46v, Glmga};
        let names = [&self.video_processor_type, &self.processor_class, &self.image_processor_type];
        let known =
            [("Glmga", Glmga), ("Glm5Next", Glm5Next), ("Glm46V", Glm46v), ("Glm4v", Glm4v)];
        let is_named = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
        known.into_iter().find(|(prefix, _)| is_named(prefix)).map_or(default, |(_, family)| family)
    }

    /// Which frames are chosen. Defaults are those of transformers' video processors.
    fn sampler(&self, family: VideoFamily, frames_per_patch: usize) -> FrameSampler {
        let fps = self.fps.unwrap_or(FRAMES_A_SECOND);
        match family {
            VideoFamily::Glm4v => {
                let max_duration = self.max_duration.unwrap_or(300.0);
                FrameSampler::Glm4v { fps, max_duration }
            }
            VideoFamily::Glm46v => FrameSampler::Glm46v { temporal_patch_size: frames_per_patch },
            VideoFamily::Glmga => {
                FrameSampler::Glmga { fps, max_frames: self.max_frames.unwrap_or(640) }
            }
            VideoFamily::Glm5Next => FrameSampler::Glm5Next {
                fps,
                max_duration: self.max_duration.unwrap_or(0.0),
                max_frames: self.max_frames.unwrap_or(2048),
            },
        }
    }
}

impl VideoInput {
    /// Reads `video_preprocessor_config.json`, or, where there is none, `preprocessor_config.json`
    /// in its place, as the reference does. Where it names no processor, that of `family` is taken.
    pub(crate) fn from_files(
        files: &Files,
        ids: VideoIds,
        family: VideoFamily,
    ) -> Result<Self, FusionError> {
        const VIDEO: &str = "video_preprocessor_config.json";
        let name = if files.contains(VIDEO) { VIDEO } else { "preprocessor_config.json" };
        let config: PreprocessorConfig = files.read_json(name)?.unwrap_or_default();
        let processor: ProcessorConfig = files.read_json(name)?.unwrap_or_default();
        let frames_per_patch = config.temporal_patch_size as usize;
        let family = processor.family(family);
        let preprocessor = match family {
            VideoFamily::Glm5Next => SmartResizePreprocessor::for_padded_videos(&config)?,
            _ => SmartResizePreprocessor::for_videos(&config)?,
        };
        let times = match family {
            VideoFamily::Glm4v => TimeFormat::WholeSeconds,
            _ => TimeFormat::Decimal,
        };
        let sampler = processor.sampler(family, frames_per_patch);
        Ok(Self { preprocessor, ids, sampler, frames_per_patch, times })
    }

    /// The text that tells the time of each frame pair, from the time of each frame.
    pub(crate) fn time_texts(&self, seconds: &[f64]) -> Vec<String> {
        let firsts = seconds.iter().step_by(self.frames_per_patch.max(1));
        firsts.map(|&seconds| self.times.text(seconds)).collect()
    }
}

impl Model {
    /// The indices of the frames that the model should see of a video, rising; for
    /// [`Self::embed_video`].
    ///
    /// # Errors
    /// [`FusionError::TextOnly`] and [`FusionError::NoVideo`] when the model takes no videos;
    /// [`FusionError::Vision`] when a number of the metadata cannot be.
    pub fn choose_frames(&self, video: &VideoMetadata) -> Result<Vec<usize>, FusionError> {
        Ok(self.video_input()?.1.sampler.choose(video)?)
    }

    /// Makes the visual tokens of a video from its chosen frames, all of one size, and the time of
    /// each in seconds. They can be used wherever those of images can.
    ///
    /// # Errors
    /// As [`Self::choose_frames`]; [`FusionError::FrameTimes`] when the numbers of frames and times
    /// differ; [`FusionError::Vision`] for too few frames, or of a shape that the model can't take.
    pub fn embed_video(
        &self,
        frames: &[Image],
        seconds: &[f64],
    ) -> Result<VisualTokens, FusionError> {
        let (vision, video) = self.video_input()?;
        if frames.len() != seconds.len() {
            return Err(FusionError::FrameTimes { frames: frames.len(), times: seconds.len() });
        }
        let patches = video.preprocessor.frames(frames)?;
        let times = self.encode_times(video, seconds)?;
        let (dtype, device) = (self.decoder().dtype(), self.decoder().device());
        let (rows, grid) = vision.run_tower(&TowerInput::patches(patches, dtype, device)?)?;
        Ok(VisualTokens::video(rows, grid, times))
    }

    /// Makes the visual tokens of a video file: chooses frames by the model's rule and reads them.
    /// Of frames without a known rate all are taken, and their times are those of 24 a second, as
    /// in the reference.
    ///
    /// # Errors
    /// As [`Self::embed_video`]; [`FusionError::Vision`] when the file can't be read.
    pub fn embed_video_file(&self, video: &VideoFile) -> Result<VisualTokens, FusionError> {
        const UNKNOWN_RATE: f64 = 24.0;
        let (chosen, rate) = match video.metadata() {
            Some(metadata) => (self.choose_frames(&metadata)?, metadata.fps),
            None => ((0..video.frames()).collect(), UNKNOWN_RATE),
        };
        let frames = video.read(&chosen)?;
        let seconds: Vec<f64> = chosen.iter().map(|&frame| frame as f64 / rate).collect();
        self.embed_video(&frames, &seconds)
    }

    /// The ids that tell the time of each frame pair.
    pub(crate) fn encode_times(
        &self,
        video: &VideoInput,
        seconds: &[f64],
    ) -> Result<Vec<Vec<u32>>, FusionError> {
        let texts = video.time_texts(seconds);
        let ids = texts.iter().map(|text| self.inner().tokenizer.encode_ordinary(text));
        Ok(ids.collect::<Result<_, _>>()?)
    }

    fn video_input(&self) -> Result<(&SmartResizeVision, &VideoInput), FusionError> {
        let model = || self.info().name.clone();
        match &self.inner().parts.vision {
            Some(VisionModel::SmartResize(vision)) => match &vision.video {
                Some(video) => Ok((vision, video)),
                None => Err(FusionError::NoVideo { model: model() }),
            },
            Some(VisionModel::FixedSquare(_)) => Err(FusionError::NoVideo { model: model() }),
            None => Err(FusionError::TextOnly { model: model() }),
        }
    }
}
