//! Positions of a sequence's rows, on the three axes of images and video.

/// The position of one row: time, height and width. Text has the same number on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Time: the frame.
    pub t: u32,
    /// Height: the row within a frame.
    pub h: u32,
    /// Width: the column within a frame.
    pub w: u32,
}

impl Position {
    /// A position with the same number on each axis.
    pub fn text(at: u32) -> Self {
        Self { t: at, h: at, w: at }
    }

    /// The number on an axis: 0 time, 1 height, 2 width.
    pub fn axis(&self, axis: usize) -> u32 {
        match axis {
            0 => self.t,
            1 => self.h,
            _ => self.w,
        }
    }
}

/// The positions of consecutive rows. `(length)` with three axes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(Vec<Position>);

impl Positions {
    /// `length` text rows that count up from `start`.
    pub fn sequential(start: u32, length: usize) -> Self {
        (start..).take(length).map(Position::text).collect()
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = &Position> {
        self.0.iter()
    }

    /// The rows from `start` on, at most `length` of them.
    pub fn slice(&self, start: usize, length: usize) -> Self {
        self.0.iter().skip(start).take(length).copied().collect()
    }

    /// The largest number on any axis, or `None` for no rows.
    pub fn max(&self) -> Option<u32> {
        self.0.iter().map(|at| at.t.max(at.h).max(at.w)).max()
    }
}

impl FromIterator<Position> for Positions {
    fn from_iter<I: IntoIterator<Item = Position>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}
