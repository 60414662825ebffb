//! From a prompt with image places to the decoder's rows and their positions.

use crate::FusionError;
use crate::visual::VisualTokens;
use glm4v_language::{Position, Positions};
use std::ops::Range;

/// A stretch of the decoder's sequence.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Rows of the embedding table.
    Text(Vec<u32>),
    /// Rows that the tower made: all of a picture, or a frame pair of a video.
    Visual { tokens: VisualTokens, rows: Range<usize> },
}

impl Piece {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Text(ids) => ids.len(),
            Self::Visual { rows, .. } => rows.len(),
        }
    }
}

/// A prompt ready for the decoder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spliced {
    /// The sequence in order.
    pub(crate) pieces: Vec<Piece>,
    /// A position a row.
    pub(crate) positions: Positions,
    /// The position of the first row after the prompt, on every axis.
    pub(crate) next_position: u32,
}

impl Spliced {
    /// Plain text.
    pub(crate) fn text(ids: Vec<u32>) -> Self {
        let mut builder = Builder::default();
        builder.push_text(&ids);
        builder.finish()
    }

    pub(crate) fn rows(&self) -> usize {
        self.positions.len()
    }

    pub(crate) fn image_rows(&self) -> usize {
        let visual = self.pieces.iter().filter(|piece| matches!(piece, Piece::Visual { .. }));
        visual.map(Piece::rows).sum()
    }
}

/// The ids that hold places for pictures and videos in a prompt of GLM-4.1V and later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaceIds {
    /// A picture.
    pub(crate) image: u32,
    /// A video, where the model takes any.
    pub(crate) video: Option<VideoIds>,
}

/// What a video becomes: each frame pair stands between `begin_of_image` and `end_of_image`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VideoIds {
    pub(crate) video: u32,
    pub(crate) begin_of_image: u32,
    pub(crate) end_of_image: u32,
}

/// GLM-4.1V and later: each image id becomes the rows of one picture, whose positions spread over
/// height and width from where the text stands; the text goes on after the larger side. A video id
/// becomes its frame pairs, each like a picture between two marks, with its time as text behind.
///
/// Source: transformers `Glm4vModel.get_rope_index`, `Glm4vProcessor`.
pub(crate) fn splice_places(
    ids: &[u32],
    places: &PlaceIds,
    visuals: &[VisualTokens],
) -> Result<Spliced, FusionError> {
    let is_place =
        |id: &u32| *id == places.image || places.video.is_some_and(|video| *id == video.video);
    let count = ids.iter().filter(|id| is_place(id)).count();
    if count != visuals.len() {
        return Err(FusionError::ImageCount { places: count, images: visuals.len() });
    }
    let mut builder = Builder::default();
    let mut left = visuals.iter();
    for run in ids.split_inclusive(is_place) {
        let place = run.last().filter(|id| is_place(id)).and_then(|&id| Some((id, left.next()?)));
        let Some((id, tokens)) = place else {
            builder.push_text(run);
            continue;
        };
        builder.push_text(run.get(..run.len() - 1).unwrap_or_default());
        match places.video {
            Some(video) if tokens.is_video() && id == video.video => {
                builder.push_video(tokens, video);
            }
            _ if !tokens.is_video() && id == places.image => builder.push_grid(tokens, 0),
            _ => return Err(FusionError::WrongPlace { video: tokens.is_video() }),
        }
    }
    Ok(builder.finish())
}

/// GLM-4V-9B: the three ids from `boi` to `eoi` become the visual rows. Positions count the ids
/// before the splice: boi has its own, all patches share the next, eoi has the one after.
///
/// Source: `modeling_chatglm.py` of glm-4v-9b.
pub(crate) fn splice_between_marks(
    ids: &[u32],
    boi: u32,
    eoi: u32,
    images: &[VisualTokens],
) -> Result<Spliced, FusionError> {
    let is_place =
        |window: &[u32]| matches!(window, [first, _, last] if *first == boi && *last == eoi);
    let places: Vec<usize> = ids
        .windows(3)
        .enumerate()
        .filter(|(_, window)| is_place(window))
        .map(|(at, _)| at)
        .collect();
    if places.len() != images.len() {
        return Err(FusionError::ImageCount { places: places.len(), images: images.len() });
    }
    let mut builder = Builder::default();
    let mut start = 0;
    for (&at, image) in places.iter().zip(images) {
        builder.push_text(ids.get(start..at).unwrap_or_default());
        builder.push_shared_position(image);
        start = at + 3;
    }
    builder.push_text(ids.get(start..).unwrap_or_default());
    Ok(builder.finish())
}

#[derive(Default)]
struct Builder {
    pieces: Vec<Piece>,
    positions: Vec<Position>,
    next: u32,
}

impl Builder {
    fn push_text(&mut self, ids: &[u32]) {
        if ids.is_empty() {
            return;
        }
        self.positions.extend((self.next..).take(ids.len()).map(Position::text));
        self.next += ids.len() as u32;
        self.pieces.push(Piece::Text(ids.to_vec()));
    }

    /// A picture, or frame pair `pair` of a video.
    fn push_grid(&mut self, tokens: &VisualTokens, pair: usize) {
        let (height, width) = tokens.grid();
        for row in 0..height as u32 {
            self.positions.extend((0..width as u32).map(|column| Position {
                t: self.next,
                h: self.next + row,
                w: self.next + column,
            }));
        }
        self.next += height.max(width) as u32;
        let start = pair * height * width;
        self.pieces
            .push(Piece::Visual { tokens: tokens.clone(), rows: start..start + height * width });
    }

    fn push_video(&mut self, tokens: &VisualTokens, ids: VideoIds) {
        for (pair, time) in tokens.times().iter().enumerate() {
            self.push_text(&[ids.begin_of_image]);
            self.push_grid(tokens, pair);
            self.push_text(&[ids.end_of_image]);
            self.push_text(time);
        }
    }

    fn push_shared_position(&mut self, image: &VisualTokens) {
        let patches = image.len().saturating_sub(2);
        self.positions.push(Position::text(self.next));
        self.positions.extend(std::iter::repeat_n(Position::text(self.next + 1), patches));
        self.positions.push(Position::text(self.next + 2));
        self.next += 3;
        self.pieces.push(Piece::Visual { tokens: image.clone(), rows: 0..image.len() });
    }

    fn finish(self) -> Spliced {
        Spliced {
            pieces: self.pieces,
            positions: self.positions.into_iter().collect(),
            next_position: self.next,
        }
    }
}
