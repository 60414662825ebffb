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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};

    const IMAGE: u32 = 100;
    const VIDEO: u32 = 101;
    const BEGIN: u32 = 102;
    const END: u32 = 103;
    const PLACES: PlaceIds = PlaceIds {
        image: IMAGE,
        video: Some(VideoIds { video: VIDEO, begin_of_image: BEGIN, end_of_image: END }),
    };

    fn rows(count: usize) -> Tensor {
        Tensor::zeros((count, 4), DType::F32, &Device::Cpu).unwrap()
    }

    fn picture(height: usize, width: usize) -> VisualTokens {
        VisualTokens::picture(rows(height * width), (height, width))
    }

    fn axes(spliced: &Spliced) -> Vec<[u32; 3]> {
        spliced.positions.iter().map(|at| [at.t, at.h, at.w]).collect()
    }

    fn expanded(spliced: &Spliced) -> Vec<u32> {
        let ids = |piece: &Piece| match piece {
            Piece::Text(ids) => ids.clone(),
            Piece::Visual { rows, .. } => vec![IMAGE; rows.len()],
        };
        spliced.pieces.iter().flat_map(ids).collect()
    }

    #[test]
    fn text_counts_up_on_all_axes() {
        let spliced = splice_places(&[7, 8, 9], &PLACES, &[]).unwrap();
        assert_eq!(axes(&spliced), [[0; 3], [1; 3], [2; 3]]);
        assert_eq!((spliced.next_position, spliced.rows(), spliced.image_rows()), (3, 3, 0));
    }

    #[test]
    fn a_picture_spreads_over_height_and_width_and_text_goes_on_after_the_larger_side() {
        let spliced = splice_places(&[7, IMAGE, 8], &PLACES, &[picture(2, 3)]).unwrap();
        let picture = [[1, 1, 1], [1, 1, 2], [1, 1, 3], [1, 2, 1], [1, 2, 2], [1, 2, 3]];
        assert_eq!(axes(&spliced)[1..7], picture);
        assert_eq!(axes(&spliced)[7], [4; 3]);
        assert_eq!((spliced.next_position, spliced.rows(), spliced.image_rows()), (5, 8, 6));
        let tall = splice_places(&[IMAGE], &PLACES, &[super::tests::picture(5, 1)]).unwrap();
        assert_eq!(tall.next_position, 5);
    }

    #[test]
    fn pictures_go_to_their_places_in_order() {
        let pictures = [picture(1, 1), picture(2, 2)];
        let spliced = splice_places(&[IMAGE, IMAGE, 7], &PLACES, &pictures).unwrap();
        let identities: Vec<u64> = spliced
            .pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Visual { tokens, .. } => Some(tokens.identity()),
                Piece::Text(_) => None,
            })
            .collect();
        assert_eq!(identities, pictures.each_ref().map(VisualTokens::identity));
        assert_eq!(axes(&spliced)[5], [3; 3]);
    }

    #[test]
    fn a_video_becomes_its_frame_pairs_with_marks_and_times() {
        let video = VisualTokens::video(rows(4), (1, 2), vec![vec![5], vec![6, 6]]);
        let spliced = splice_places(&[7, VIDEO, 8], &PLACES, &[video]).unwrap();
        let ids = [7, BEGIN, IMAGE, IMAGE, END, 5, BEGIN, IMAGE, IMAGE, END, 6, 6, 8];
        assert_eq!(expanded(&spliced), ids);
        let at = axes(&spliced);
        assert_eq!(at[2..4], [[2, 2, 2], [2, 2, 3]]);
        assert_eq!(at[4], [4; 3]); // the mark after the first pair
        assert_eq!(at[7..9], [[7, 7, 7], [7, 7, 8]]);
        let rows_of = |piece: &Piece| match piece {
            Piece::Visual { rows, .. } => Some(rows.clone()),
            Piece::Text(_) => None,
        };
        assert_eq!(spliced.pieces.iter().filter_map(rows_of).collect::<Vec<_>>(), [0..2, 2..4]);
    }

    #[test]
    fn wrong_numbers_and_kinds_are_refused() {
        for (ids, pictures) in [(vec![7], 1), (vec![IMAGE], 0), (vec![IMAGE, IMAGE], 1)] {
            let pictures = vec![picture(1, 1); pictures];
            let error = splice_places(&ids, &PLACES, &pictures).unwrap_err();
            let places = ids.iter().filter(|&&id| id == IMAGE).count();
            assert!(
                matches!(error, FusionError::ImageCount { places: p, images } if p == places && images == pictures.len()),
                "{error}"
            );
        }
        let error = splice_places(&[VIDEO], &PLACES, &[picture(1, 1)]).unwrap_err();
        assert!(matches!(error, FusionError::WrongPlace { video: false }), "{error}");
        let video = VisualTokens::video(rows(1), (1, 1), vec![vec![5]]);
        let error = splice_places(&[IMAGE], &PLACES, &[video]).unwrap_err();
        assert!(matches!(error, FusionError::WrongPlace { video: true }), "{error}");
    }

    #[test]
    fn between_marks_all_patches_share_a_position() {
        let (boi, other, eoi) = (BEGIN, 9, END);
        let tokens = [VisualTokens::picture(rows(2 * 2 + 2), (2, 2))];
        let spliced = splice_between_marks(&[7, boi, other, eoi, 8], boi, eoi, &tokens).unwrap();
        let positions: Vec<u32> = spliced.positions.iter().map(|at| at.t).collect();
        assert_eq!(positions, [0, 1, 2, 2, 2, 2, 3, 4]);
        assert_eq!((spliced.next_position, spliced.image_rows()), (5, 6));
        // Marks that are not three ids apart are text.
        let error = splice_between_marks(&[boi, eoi], boi, eoi, &tokens).unwrap_err();
        assert!(matches!(error, FusionError::ImageCount { places: 0, images: 1 }), "{error}");
    }
}
