//! Videos as users have them: frames in files, animated GIFs, and video files through `ffmpeg`.

mod ffmpeg;
mod gif;

use crate::{Image, ImageOptions, VideoMetadata, VisionError};
use std::path::{Path, PathBuf};

/// Files of a folder that are frames.
const FRAMES: [&str; 7] = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"];

/// A video that was opened, its frames not read yet.
#[derive(Clone, Debug)]
pub struct VideoFile {
    name: String,
    source: Source,
    /// Frames a second, where known.
    fps: Option<f64>,
    duration: Option<f64>,
    frames: usize,
    options: ImageOptions,
}

#[derive(Clone, Debug)]
enum Source {
    /// A file a frame.
    Files(Vec<PathBuf>),
    /// Frames that are in memory.
    Decoded(Vec<Image>),
    /// A file that `ffmpeg` reads.
    Program(PathBuf),
}

impl VideoFile {
    /// Opens a folder of frames (in the order of their names), an animated GIF, or a file that the
    /// program `ffmpeg` can read. `fps` is the rate of the frames of a folder, and overrides that
    /// of a file.
    ///
    /// # Errors
    /// [`VisionError::UnreadableVideo`] when there are no frames, or `ffmpeg` is needed and missing
    /// or fails; [`VisionError::TooManyPixels`] for a GIF above the limits.
    pub fn open(
        path: impl AsRef<Path>,
        fps: Option<f64>,
        options: &ImageOptions,
    ) -> Result<Self, VisionError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        if path.is_dir() {
            return Self::of_frames(&name, frames_of(path, &name)?, fps, options);
        }
        let bytes = first_bytes(path)
            .map_err(|source| VisionError::UnreadableImage { image: name.clone(), source })?;
        if bytes.starts_with(b"GIF8") {
            let (images, duration) = gif::read(path, &name, options)?;
            let frames = images.len();
            let rate = fps.or((duration > 0.0).then(|| frames as f64 / duration));
            let source = Source::Decoded(images);
            let duration = fps.is_none().then_some(duration).filter(|&seconds| seconds > 0.0);
            return Ok(Self { name, source, fps: rate, duration, frames, options: *options });
        }
        let found = ffmpeg::probe(path, &name)?;
        Ok(Self {
            source: Source::Program(path.to_owned()),
            fps: fps.or(Some(found.fps)),
            duration: fps.is_none().then_some(found.duration).flatten(),
            frames: found.frames,
            options: *options,
            name,
        })
    }

    /// A video of frames in files, in this order; `name` is what errors call it.
    ///
    /// # Errors
    /// [`VisionError::UnreadableVideo`] when there are none.
    pub fn of_frames(
        name: &str,
        files: Vec<PathBuf>,
        fps: Option<f64>,
        options: &ImageOptions,
    ) -> Result<Self, VisionError> {
        if files.is_empty() {
            let reason = format!("no frames; a folder needs files of {}", FRAMES.join(", "));
            return Err(unreadable(name, reason));
        }
        let frames = files.len();
        let (name, source) = (name.to_owned(), Source::Files(files));
        Ok(Self { name, source, fps, duration: None, frames, options: *options })
    }

    /// Frames in the video.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// What frames are chosen by; `None` when the rate is not known.
    pub fn metadata(&self) -> Option<VideoMetadata> {
        let fps = self.fps?;
        Some(VideoMetadata { fps, total_frames: self.frames, duration: self.duration })
    }

    /// Reads the frames of rising indices `chosen`, of which one may be there twice.
    ///
    /// # Errors
    /// [`VisionError::UnreadableVideo`] when a frame is missing; as [`Image::open_with`].
    pub fn read(&self, chosen: &[usize]) -> Result<Vec<Image>, VisionError> {
        let mut wanted = chosen.to_vec();
        wanted.dedup();
        let images: Vec<Image> = match &self.source {
            Source::Files(files) => {
                let files = wanted.iter().filter_map(|&frame| files.get(frame));
                let mut room = Room::new(&self.name, &self.options);
                files
                    .map(|file| room.take(Image::open_with(file, &self.options)?))
                    .collect::<Result<_, _>>()?
            }
            Source::Decoded(images) => {
                wanted.iter().filter_map(|&frame| images.get(frame).cloned()).collect()
            }
            Source::Program(path) => ffmpeg::read(path, &self.name, &wanted, &self.options)?,
        };
        if images.len() != wanted.len() {
            let reason = format!("{} of {} frames could be read", images.len(), wanted.len());
            return Err(unreadable(&self.name, reason));
        }
        let place = |frame| wanted.binary_search(frame).ok().and_then(|at| images.get(at).cloned());
        Ok(chosen.iter().filter_map(place).collect())
    }
}

/// Pixels over all frames that are read, in multiples of the limit for one image.
const FRAMES_OF_LIMIT: u64 = 16;

/// What room there is for frames in memory.
struct Room<'a> {
    video: &'a str,
    pixels: u64,
}

impl<'a> Room<'a> {
    fn new(video: &'a str, options: &ImageOptions) -> Self {
        Self { video, pixels: options.max_pixels.saturating_mul(FRAMES_OF_LIMIT) }
    }

    /// Takes room for a frame.
    fn take(&mut self, frame: Image) -> Result<Image, VisionError> {
        let pixels = u64::from(frame.width()) * u64::from(frame.height());
        match self.pixels.checked_sub(pixels) {
            Some(left) => self.pixels = left,
            None => {
                let reason = "its frames have too many pixels together; give fewer or smaller ones \
                              (--video-fps says the rate of a folder's, so that not all are taken), \
                              or raise the pixel limit";
                return Err(unreadable(self.video, reason.to_owned()));
            }
        }
        Ok(frame)
    }
}

fn unreadable(video: &str, reason: String) -> VisionError {
    VisionError::UnreadableVideo { video: video.to_owned(), reason }
}

/// The frames of a folder, in the order of the numbers in their names.
fn frames_of(folder: &Path, name: &str) -> Result<Vec<PathBuf>, VisionError> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| unreadable(name, format!("the folder cannot be read: {error}")))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|e| FRAMES.contains(&e.to_ascii_lowercase().as_str()))
        })
        .collect();
    files
        .sort_by_key(|path| natural_order(&path.file_name().unwrap_or_default().to_string_lossy()));
    Ok(files)
}

/// A key that puts `frame2` before `frame10`.
fn natural_order(name: &str) -> Vec<(u128, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let words = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(words);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, after) = after.split_at(digits);
        parts.push((0, text.to_owned()));
        parts.push((number.parse().unwrap_or(u128::MAX), String::new()));
        rest = after;
    }
    parts
}

fn first_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(16).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let mut names = vec!["f10.png", "f2.png", "f1b.png", "f1.png", "e99.png"];
        names.sort_by_key(|name| natural_order(name));
        assert_eq!(names, ["e99.png", "f1.png", "f1b.png", "f2.png", "f10.png"]);
    }

    #[test]
    fn an_animated_gif_gives_its_frames_and_rate() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/images/animated.gif");
        let video = VideoFile::open(path, None, &ImageOptions::default()).unwrap();
        let metadata = video.metadata().unwrap();
        assert!(video.frames() > 1 && metadata.fps > 0.0, "{metadata:?}");
        let frames = video.read(&[0, 1, 1]).unwrap();
        assert_eq!(frames.len(), 3);
        assert!(frames[0] == Image::open(path).unwrap(), "the first frame is that of an image");
        assert!(frames[1] != frames[0] && frames[1] == frames[2]);
        assert!(matches!(video.read(&[9999]), Err(VisionError::UnreadableVideo { .. })));
    }

    #[test]
    fn frames_do_not_take_all_memory() {
        let frame = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/images/animated.gif");
        let pixels = {
            let (width, height) = Image::open(frame).unwrap().size();
            u64::from(width) * u64::from(height)
        };
        let options = ImageOptions { max_pixels: pixels, ..ImageOptions::default() };
        let read = |frames: usize| {
            let files = vec![PathBuf::from(frame); frames];
            let video = VideoFile::of_frames("many", files, None, &options).unwrap();
            video.read(&(0..frames).collect::<Vec<_>>())
        };
        assert_eq!(read(16).unwrap().len(), 16);
        let error = read(17).unwrap_err();
        assert!(error.to_string().contains("too many pixels together"), "{error}");
    }

    #[test]
    fn a_folder_without_frames_is_no_video() {
        let error = VideoFile::open(env!("CARGO_MANIFEST_DIR"), None, &ImageOptions::default());
        assert!(matches!(error, Err(VisionError::UnreadableVideo { .. })));
    }
}
