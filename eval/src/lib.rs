//! Metrics that equal the reference scorers, and the scoring of predictions that anything made.
//!
//! A metric is a plain function of a prediction and its references. Where the reference scorers
//! differ from one another, each is a variant with a name, such as `anls:lmms_eval`.

mod assignment;
mod error;
mod html;
mod latex;
pub mod metrics;
mod python;
mod score;
pub mod statistics;
mod text;
mod tree_distance;

pub use error::EvalError;
pub use metrics::MetricInfo;
pub use score::{
    GoldenMismatch, GoldenReport, ItemScore, ScoreReport, score_goldens, score_predictions,
};
