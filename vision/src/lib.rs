//! Image files to visual tokens: decoding, preprocessing that matches the reference, towers and projectors.

mod error;
mod grid;
mod tower;

pub use error::VisionError;
pub use grid::Grid;
pub use tower::{
    EvaClipConfig, EvaClipTower, Glm4vTower, Glm4vVisionConfig, TowerFlavour, sample_position_grid,
};
