//! Which frames of a video the model sees, and at what times.

use crate::VisionError;

/// The most frames or seconds that are believed: ten days at 120 frames a second.
const MAX_FRAMES: usize = 120 * 864_000;

/// What is known of a video before decoding it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VideoMetadata {
    /// Frames a second.
    pub fps: f64,
    /// Frames in the file.
    pub total_frames: usize,
    /// Seconds; `None` or 0 where the container does not say.
    pub duration: Option<f64>,
}

/// How a family chooses frames. Sources: `sample_frames` in transformers'
/// `video_processing_glm4v.py` and `video_processing_glm46v.py`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FrameSampler {
    /// GLM-4.1V: a steady rate; for long videos, a fixed number of points over the duration.
    Glm4v {
        /// Frames to take a second; the reference's default is 2.
        fps: f64,
        /// Seconds up to which the rate holds; the reference's default is 300.
        max_duration: f64,
    },
    /// GLM-4.6V and GLM-OCR: a rate that falls with the duration, and at most 640 frames.
    Glm46v {
        /// Frames of a temporal patch, `temporal_patch_size` of the video preprocessor.
        temporal_patch_size: usize,
    },
    /// GLM-GA (`glmga`): a steady rate, at most `max_frames`. Source: `video_processing_glmga.py`.
    Glmga {
        /// Frames to take a second; the reference's default is 2.
        fps: f64,
        /// The most frames; the reference's default is 640.
        max_frames: usize,
    },
    /// GLM-5.3-Flash: a steady rate, at most `max_frames`. Source: `video_processing_glm5_next.py`.
    Glm5Next {
        /// Frames to take a second; the reference's default is 2.
        fps: f64,
        /// Seconds of the video that frames are planned for; 0, the reference's default, for all.
        max_duration: f64,
        /// The most frames; the reference's default is 2048.
        max_frames: usize,
    },
}

impl FrameSampler {
    /// The indices of the chosen frames, rising, an even number of them: an odd last one is
    /// repeated. `Glm46v` and `Glm5Next` choose none from a video too short for their rates.
    ///
    /// # Errors
    /// [`VisionError::BadVideoMetadata`] when a number of the metadata or sampler cannot be.
    pub fn choose(&self, video: &VideoMetadata) -> Result<Vec<usize>, VisionError> {
        let duration = checked_duration(video)?;
        let mut chosen = match *self {
            Self::Glm4v { fps, max_duration } => steady(video, duration, fps, max_duration)?,
            Self::Glm46v { temporal_patch_size } => falling(video, duration, temporal_patch_size),
            Self::Glmga { fps, max_frames } => capped(video, duration, fps, max_frames)?,
            Self::Glm5Next { fps, max_duration, max_frames } => {
                check_rate(fps)?;
                let seconds =
                    if max_duration > 0.0 { duration.min(max_duration) } else { duration };
                let planned = ((seconds * fps) as usize).min(max_frames);
                planned_frames(video, planned, 1.0 / fps, duration.trunc())
            }
        };
        chosen.dedup();
        if chosen.len() % 2 == 1 {
            chosen.extend(chosen.last().copied());
        }
        Ok(chosen)
    }
}

/// The time in seconds of the first frame of each temporal patch, from the indices that
/// [`FrameSampler::choose`] gave. A video of unknown rate has 24 frames a second in the reference.
pub fn timestamps(chosen: &[usize], fps: f64, temporal_patch_size: usize) -> Vec<f64> {
    chosen.iter().step_by(temporal_patch_size.max(1)).map(|&frame| frame as f64 / fps).collect()
}

fn checked_duration(video: &VideoMetadata) -> Result<f64, VisionError> {
    let bad = |field, value, remedy| VisionError::BadVideoMetadata { field, value, remedy };
    let most = MAX_FRAMES as f64;
    if !(video.fps > 0.0 && video.fps <= most) {
        return Err(bad("fps", video.fps, "it must be above 0"));
    }
    if video.total_frames == 0 || video.total_frames > MAX_FRAMES {
        return Err(bad("total_frames", video.total_frames as f64, "it must be at least 1"));
    }
    let known = video.duration.filter(|&seconds| seconds != 0.0);
    let duration = known
        .unwrap_or_else(|| ((video.total_frames - 1) as f64 / video.fps).round_ties_even() + 1.0);
    if !(duration > 0.0 && duration <= most) {
        return Err(bad("duration", duration, "it must be above 0 seconds"));
    }
    Ok(duration)
}

/// `Glm4v`: every `fps`-th part of a second, or `max_duration * fps` points over a longer video.
fn steady(
    video: &VideoMetadata,
    duration: f64,
    fps: f64,
    max_duration: f64,
) -> Result<Vec<usize>, VisionError> {
    if !(fps > 0.0 && fps * duration.min(max_duration) <= MAX_FRAMES as f64) {
        let remedy = "the sampler's rate must be above 0";
        return Err(VisionError::BadVideoMetadata { field: "fps", value: fps, remedy });
    }
    let last = video.total_frames - 1;
    let frame_at = |position: f64| (position.ceil() as usize).min(last);
    if duration <= max_duration {
        let count = ((duration * fps).floor() as usize).max(1);
        return Ok((0..count).map(|i| frame_at(i as f64 * video.fps / fps)).collect());
    }
    let count = (max_duration * fps) as usize;
    if count >= video.total_frames {
        return Ok((0..video.total_frames).collect());
    }
    Ok(linspace(0.0, duration, count).map(|seconds| frame_at(seconds * video.fps)).collect())
}

/// `Glm46v`: the first frame at or after each of a row of evenly spaced times, and, where that
/// gives another number of frames than planned, that many spread evenly.
fn falling(video: &VideoMetadata, duration: f64, temporal_patch_size: usize) -> Vec<usize> {
    const MAX_SECONDS: f64 = 2400.0;
    const MAX_CHOSEN: usize = 640;
    let seconds = duration.min(MAX_SECONDS);
    let fps = match seconds {
        s if s <= 30.0 => 3.0,
        s if s <= 300.0 => 1.0,
        _ => 0.5,
    };
    let frames = temporal_patch_size as f64;
    let planned = ((seconds * fps * frames) as usize).min(MAX_CHOSEN);
    planned_frames(video, planned, 1.0 / (frames * fps), duration.trunc())
}

/// The first frame at or after each of a row of times, `step` seconds apart, and, where that gives
/// another number of frames than `planned`, that many spread evenly.
fn planned_frames(video: &VideoMetadata, planned: usize, step: f64, end: f64) -> Vec<usize> {
    let last = video.total_frames - 1;
    if video.total_frames < planned {
        return spread(0, last, planned);
    }
    let greedy = first_frames_after(video, step, end);
    match greedy.len() {
        found if found < planned => {
            let (start, end) = (greedy.first().copied(), greedy.last().copied());
            spread(start.unwrap_or(0), end.unwrap_or(last), planned)
        }
        found if found > planned => spread(0, last, planned),
        _ => greedy,
    }
}

fn check_rate(fps: f64) -> Result<(), VisionError> {
    if fps > 0.0 && fps <= MAX_FRAMES as f64 {
        return Ok(());
    }
    let remedy = "the sampler's rate must be above 0";
    Err(VisionError::BadVideoMetadata { field: "fps", value: fps, remedy })
}

/// `Glmga`: as [`falling`], at one rate; videos of few frames have them spread over the plan.
fn capped(
    video: &VideoMetadata,
    duration: f64,
    fps: f64,
    max_frames: usize,
) -> Result<Vec<usize>, VisionError> {
    check_rate(fps)?;
    let planned = ((duration * fps) as usize).min(max_frames);
    if video.total_frames < planned {
        let total = video.total_frames as f64;
        return Ok((0..planned).map(|i| (i as f64 * total / planned as f64) as usize).collect());
    }
    let step = 1.0 / fps;
    Ok(planned_frames(video, planned, step, duration - step))
}

/// The first frame at or after 0, `step`, `2 * step`… seconds, until `end`.
fn first_frames_after(video: &VideoMetadata, step: f64, end: f64) -> Vec<usize> {
    let frame_seconds = 1.0 / video.fps;
    let mut chosen = Vec::new();
    let mut wanted = 0.0;
    for frame in 0..video.total_frames {
        if frame as f64 * frame_seconds >= wanted {
            wanted += step;
            chosen.push(frame);
            if wanted >= end {
                break;
            }
        }
    }
    chosen
}

/// `count` whole numbers spread evenly from `start` to `end`, rounded down.
fn spread(start: usize, end: usize, count: usize) -> Vec<usize> {
    linspace(start as f64, end as f64, count).map(|x| x.floor() as usize).collect()
}

/// `count` numbers from `start` to `end`, both included, with NumPy's rounding.
fn linspace(start: f64, end: f64, count: usize) -> impl Iterator<Item = f64> {
    let step = (end - start) / count.saturating_sub(1) as f64;
    (0..count).map(move |i| {
        if i == 0 {
            start
        } else if i == count - 1 {
            end
        } else {
            i as f64 * step + start
        }
    })
}
