//! A cache with the points that it can go back to.

use candle_core::{Result, Tensor};
use glm4v_kernels::Trace;
use glm4v_language::{CacheMark, Decoder, KvCache, Positions};

/// A sequence's cache. One with a recurrent state goes back to marks, any other to any row.
#[derive(Debug)]
pub(crate) struct MarkedCache {
    cache: KvCache,
    needs_marks: bool,
    /// Rising: the end of the prompt's pictures, and of the prompt.
    prompt: Vec<CacheMark>,
    /// Before the last pass of several tokens.
    pass: Option<CacheMark>,
}

impl MarkedCache {
    pub(super) fn new(decoder: &Decoder) -> Self {
        let (cache, needs_marks) = (decoder.new_cache(), !decoder.rewinds());
        Self { cache, needs_marks, prompt: Vec::new(), pass: None }
    }

    /// One of its own with the same rows.
    pub(super) fn fork(&self) -> Result<Self> {
        let (prompt, pass) = (self.prompt.clone(), self.pass.clone());
        Ok(Self { cache: self.cache.fork()?, needs_marks: self.needs_marks, prompt, pass })
    }

    pub(super) fn needs_marks(&self) -> bool {
        self.needs_marks
    }

    pub(super) fn bytes(&self) -> usize {
        self.cache.bytes()
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.cache.reserve(rows);
    }

    /// Marks a point of the prompt.
    pub(super) fn mark_prompt(&mut self) {
        if self.needs_marks {
            self.prompt.push(self.cache.mark());
        }
    }

    /// Marks where a pass begins that may be taken back in part.
    pub(super) fn mark_pass(&mut self) {
        if self.needs_marks {
            self.pass = Some(self.cache.mark());
        }
    }

    /// Forgets the marks but one after `length` rows: a chat is not to keep two for each turn.
    pub(super) fn keep_mark(&mut self, length: usize) {
        self.prompt.retain(|mark| mark.length() == length);
        self.pass = None;
    }

    /// Forgets rows so that at most `length` are left, and returns how many. A recurrent state goes
    /// back to the last mark before, or to the very start.
    pub(super) fn go_back(&mut self, length: usize) -> Result<usize> {
        let is_before = |mark: &CacheMark| mark.length() <= length;
        self.prompt.retain(is_before);
        self.pass = self.pass.take().filter(is_before);
        match self.pass.as_ref().or(self.prompt.last()) {
            Some(mark) if self.cache.len() > length => {
                self.cache.return_to(mark)?;
                Ok(mark.length())
            }
            _ => Ok(self.cache.truncate(length)),
        }
    }

    /// Runs rows `(length, hidden)` that follow, to the normed hidden states of the same shape.
    pub(super) fn forward(
        &mut self,
        decoder: &Decoder,
        rows: &Tensor,
        positions: &Positions,
    ) -> Result<Tensor> {
        let sequence = &mut [(rows.dim(0)?, self)];
        run_together(decoder, rows, positions, sequence)
    }

    #[cfg(test)]
    pub(super) fn marks(&self) -> Vec<usize> {
        self.prompt.iter().map(CacheMark::length).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.cache.len()
    }

    #[cfg(test)]
    pub(super) fn forget_marks(&mut self) {
        self.prompt.clear();
        self.pass = None;
    }
}

/// Runs rows of several sequences in one pass over the weights, as many of each as its number says.
/// Should it fail half-way, their marks are forgotten, as some layers may have run what others have not.
pub(super) fn run_together(
    decoder: &Decoder,
    rows: &Tensor,
    positions: &Positions,
    sequences: &mut [(usize, &mut MarkedCache)],
) -> Result<Tensor> {
    let caches = sequences.iter_mut().map(|(rows, marked)| (*rows, &mut marked.cache));
    let mut caches: Vec<_> = caches.collect();
    let hidden = decoder.forward_together(rows, positions, &mut caches, &mut Trace::off());
    if hidden.is_err() {
        for (_, marked) in sequences {
            marked.prompt.clear();
            marked.pass = None;
        }
    }
    hidden
}
