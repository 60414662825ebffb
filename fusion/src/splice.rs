//! From a prompt with image places to the decoder's rows and their positions.

use crate::FusionError;
use crate::visual::VisualTokens;
use glm4v_language::{Position, Positions};

/// A stretch of the decoder's sequence.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Rows of the embedding table.
    Text(Vec<u32>),
    /// Rows that the tower made.
    Visual(VisualTokens),
}

impl Piece {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Text(ids) => ids.len(),
            Self::Visual(tokens) => tokens.len(),
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
        let visual = self.pieces.iter().filter(|piece| matches!(piece, Piece::Visual(_)));
        visual.map(Piece::rows).sum()
    }
}

/// GLM-4.1V and later: each image token becomes the rows of one image, whose positions spread over
/// height and width from where the text stands; the text goes on after the larger side.
///
/// Source: transformers `Glm4vModel.get_rope_index`.
pub(crate) fn splice_image_tokens(
    ids: &[u32],
    image_token: u32,
    images: &[VisualTokens],
) -> Result<Spliced, FusionError> {
    let places = ids.iter().filter(|&&id| id == image_token).count();
    if places != images.len() {
        return Err(FusionError::ImageCount { places, images: images.len() });
    }
    let mut builder = Builder::default();
    let mut images = images.iter();
    for run in ids.split_inclusive(|&id| id == image_token) {
        match run.split_last() {
            Some((&last, text)) if last == image_token => {
                builder.push_text(text);
                if let Some(image) = images.next() {
                    builder.push_image_grid(image);
                }
            }
            _ => builder.push_text(run),
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

    fn push_image_grid(&mut self, image: &VisualTokens) {
        let (height, width) = image.grid();
        for row in 0..height as u32 {
            self.positions.extend((0..width as u32).map(|column| Position {
                t: self.next,
                h: self.next + row,
                w: self.next + column,
            }));
        }
        self.next += height.max(width) as u32;
        self.pieces.push(Piece::Visual(image.clone()));
    }

    fn push_shared_position(&mut self, image: &VisualTokens) {
        let patches = image.len().saturating_sub(2);
        self.positions.push(Position::text(self.next));
        self.positions.extend(std::iter::repeat_n(Position::text(self.next + 1), patches));
        self.positions.push(Position::text(self.next + 2));
        self.next += 3;
        self.pieces.push(Piece::Visual(image.clone()));
    }

    fn finish(self) -> Spliced {
        Spliced {
            pieces: self.pieces,
            positions: self.positions.into_iter().collect(),
            next_position: self.next,
        }
    }
}
