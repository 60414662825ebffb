//! Points that a cache can be brought back to.

use super::{KvCache, LayerState};
use crate::decoder::hybrid::{LatentMark, RecurrentState};
use candle_core::Result;

/// A point in a sequence that its cache can go back to, even with a recurrent state, of which the
/// mark keeps what it was. Making one copies nothing.
#[derive(Clone, Debug)]
pub struct CacheMark {
    length: usize,
    layers: Vec<LayerMark>,
}

/// What a layer needs to go back.
#[derive(Clone, Debug)]
enum LayerMark {
    Rows(usize),
    Latent(LatentMark),
    Recurrent(RecurrentState),
}

impl CacheMark {
    /// The rows that the sequence had.
    pub fn length(&self) -> usize {
        self.length
    }
}

impl KvCache {
    /// The point where the sequence is, for [`Self::return_to`].
    pub fn mark(&self) -> CacheMark {
        let layers = self.layers.iter().map(|layer| match layer {
            LayerState::Rows(rows) => LayerMark::Rows(rows.length()),
            LayerState::Latent(cache) => LayerMark::Latent(cache.mark()),
            LayerState::Recurrent(state) => LayerMark::Recurrent(state.clone()),
        });
        CacheMark { length: self.len(), layers: layers.collect() }
    }

    /// Forgets every row after the mark, which must be this cache's. A mark is good as long as the
    /// rows before it are: once the cache went back to fewer, it is not.
    ///
    /// # Errors
    /// When a layer has fewer rows than the mark says, or the mark is of another decoder's cache.
    pub fn return_to(&mut self, mark: &CacheMark) -> Result<()> {
        let fits = |(layer, mark): (&LayerState, &LayerMark)| match (layer, mark) {
            (LayerState::Rows(rows), LayerMark::Rows(length)) => rows.length() >= *length,
            (LayerState::Latent(cache), LayerMark::Latent(mark)) => cache.has(mark),
            (LayerState::Recurrent(_), LayerMark::Recurrent(_)) => true,
            _ => false,
        };
        let same = self.layers.len() == mark.layers.len();
        if !same || !self.layers.iter().zip(&mark.layers).all(fits) {
            candle_core::bail!("the cache has not the rows of the mark that it should go back to");
        }
        for (layer, mark) in self.layers.iter_mut().zip(&mark.layers) {
            match (layer, mark) {
                (LayerState::Rows(rows), LayerMark::Rows(length)) => rows.truncate(*length),
                (LayerState::Latent(cache), LayerMark::Latent(mark)) => cache.return_to(mark),
                (LayerState::Recurrent(state), LayerMark::Recurrent(then)) => {
                    state.clone_from(then)
                }
                _ => {}
            }
        }
        Ok(())
    }
}
