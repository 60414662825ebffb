//! What can go wrong between an image file and its visual tokens.

use std::error::Error as StdError;

/// A lower library's own error, kept as the source.
pub(crate) type Source = Box<dyn StdError + Send + Sync>;

/// Why an image could not be read, prepared or turned into visual tokens.
///
/// `image` is written for people: the path of the file, or `image data` for bytes from memory.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// The operating system could not read the file.
    #[error("{image}: cannot be read; check the path and its permissions")]
    UnreadableImage {
        /// The file.
        image: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A video file or a folder of frames that gives no frames.
    #[error("{video}: {reason}")]
    UnreadableVideo {
        /// The file or folder.
        video: String,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// The bytes are no image at all: empty, text, a PDF…
    #[error("{image}: not an image: {found}; {remedy}")]
    NotAnImage {
        /// The file.
        image: String,
        /// What the bytes are.
        found: String,
        /// What the user can do.
        remedy: &'static str,
    },
    /// The file is an image, but of a kind that is not decoded here.
    #[error("{image}: {format} of an unsupported kind ({reason}); convert it to PNG or JPEG")]
    UnsupportedImage {
        /// The file.
        image: String,
        /// The file format, such as `TIFF`.
        format: &'static str,
        /// What is not supported.
        reason: String,
    },
    /// The file is cut short.
    #[error(
        "{image}: {format} cut short: it ends before the picture does; copy or download it again"
    )]
    TruncatedImage {
        /// The file.
        image: String,
        /// The file format, such as `PNG`.
        format: &'static str,
        /// What the decoder said, where it was the decoder that noticed.
        source: Option<Source>,
    },
    /// The file breaks the rules of its format: a bad checksum, impossible values…
    #[error("{image}: damaged {format} ({reason}); copy or download it again, or export it anew")]
    DamagedImage {
        /// The file.
        image: String,
        /// The file format, such as `PNG`.
        format: &'static str,
        /// What is wrong.
        reason: String,
        /// What the decoder said.
        source: Option<Source>,
    },
    /// The file has more bytes than the limit.
    #[error("{image}: more than {limit} bytes; raise the byte limit if you trust this file")]
    TooManyBytes {
        /// The file.
        image: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The header promises more pixels than the limit; nothing was decoded.
    #[error(
        "{image}: {width} x {height} pixels, more than the limit of {limit}; scale it down, or \
         raise the pixel limit if you trust this file"
    )]
    TooManyPixels {
        /// The file.
        image: String,
        /// Width in the header, in pixels.
        width: u32,
        /// Height in the header, in pixels.
        height: u32,
        /// The limit on width times height.
        limit: u64,
    },
    /// Decoding would take more memory than the pixel limit allows for.
    #[error(
        "{image}: {format} that needs more memory than {limit} pixels should; raise the pixel \
         limit if you trust this file"
    )]
    TooMuchMemory {
        /// The file.
        image: String,
        /// The file format, such as `TIFF`.
        format: &'static str,
        /// The limit on width times height.
        limit: u64,
    },
    /// Raw pixels whose number does not fit the size they come with.
    #[error("{width} x {height} RGB pixels need {expected} bytes, found {found}")]
    WrongPixelCount {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// `3 * width * height`.
        expected: u64,
        /// The bytes given.
        found: u64,
    },
    /// The picture is so long and thin that the model's reference refuses it.
    #[error(
        "{width} x {height} pixels: one side is more than 200 times the other; crop the image or \
         cut it into pieces"
    )]
    TooElongated {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Resizing is switched off, and the image does not fit the patch grid.
    #[error(
        "{width} x {height} pixels are not whole blocks of {block} x {block}, and \
         preprocessor_config.json says do_resize = false; resize the image or set do_resize"
    )]
    OffGrid {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Side of a block of merged patches, in pixels.
        block: u32,
    },
    /// A video of fewer frames than one temporal patch holds.
    #[error("a video of {found} frames; at least {needed} are needed, give a still as an image")]
    TooFewFrames {
        /// Frames given.
        found: usize,
        /// Frames in a temporal patch.
        needed: usize,
    },
    /// A video of more frames than may have a visual token each.
    #[error(
        "a video of {frames} frames, but all of them may have {tokens} visual tokens together; give \
         it fewer"
    )]
    TooManyFrames {
        /// Frames given.
        frames: usize,
        /// The most visual tokens, `max_image_tokens` of the preprocessor.
        tokens: u64,
    },
    /// The frames of a video differ in size.
    #[error("frame {frame} is {found:?}, the first frame is {expected:?} (width, height)")]
    UnequalFrames {
        /// Index of the frame, from 0.
        frame: usize,
        /// Width and height of the first frame.
        expected: (u32, u32),
        /// Width and height of this frame.
        found: (u32, u32),
    },
    /// Video facts from which no frame can be chosen.
    #[error("video metadata: {field} is {value}, which cannot be; {remedy}")]
    BadVideoMetadata {
        /// The field, such as `fps`.
        field: &'static str,
        /// Its value.
        value: f64,
        /// What the field must be.
        remedy: &'static str,
    },
    /// A preprocessor configuration that cannot be used.
    #[error("preprocessor_config.json: `{field}` {reason}")]
    BadPreprocessorConfig {
        /// The field, such as `size.shortest_edge`.
        field: &'static str,
        /// What is wrong with it and what it must be.
        reason: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A file or tensor of the checkpoint is missing, misshapen or unreadable.
    #[error(transparent)]
    Weights(#[from] glm4v_weights::WeightsError),
    /// A number in the tower's config cannot be used.
    #[error("config.json: vision_config: `{field}`: {reason}")]
    Config {
        /// The field of `vision_config`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Patches that the grids beside them don't describe.
    #[error(
        "patches {patches:?} do not fit the grids {grids:?} in blocks of {merge} x {merge}: the \
         preprocessor's config and the model's differ"
    )]
    Grid {
        /// Shape of the patches.
        patches: Vec<usize>,
        /// The grids, in patches.
        grids: Vec<crate::Grid>,
        /// Side of a block of merged patches.
        merge: usize,
    },
    /// Pixels of another shape than the tower takes.
    #[error("pixels of shape {found:?}; the tower takes {expected:?} (channels, height, width)")]
    PixelShape {
        /// The shape that the tower takes.
        expected: Vec<usize>,
        /// The shape given.
        found: Vec<usize>,
    },
}

impl VisionError {
    /// A number in the tower's config cannot be used.
    pub(crate) fn config(field: &str, reason: String) -> Self {
        Self::Config { field: field.to_owned(), reason }
    }
}
