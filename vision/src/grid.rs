//! How many patches an image or a video is cut into.

use std::fmt;

/// Patches along time, height and width: the reference's `grid_thw`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Temporal patches; 1 for a still.
    pub t: usize,
    /// Patches from top to bottom.
    pub h: usize,
    /// Patches from left to right.
    pub w: usize,
}

impl Grid {
    /// All patches: `t * h * w`.
    pub fn patches(&self) -> usize {
        self.t * self.h * self.w
    }

    /// Visual tokens after each square of `merge` by `merge` patches became one.
    pub fn tokens(&self, merge: usize) -> usize {
        self.patches() / (merge * merge).max(1)
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} x {}", self.t, self.h, self.w)
    }
}
