//! Metrics that equal the reference scorers, and the scoring of predictions that anything made.
//!
//! A metric is a plain function of a prediction and its references. Where the reference scorers
//! differ from one another, each is a variant with a name, such as `anls:lmms_eval`.

pub mod answerer;
mod assignment;
pub mod compare;
mod digest;
mod error;
pub mod export;
mod extract;
mod html;
pub mod judge;
mod latex;
pub mod metrics;
mod python;
pub mod report;
pub mod rescore;
pub mod run;
mod score;
mod scores;
pub mod statistics;
pub mod task;
mod text;
mod tree_distance;

pub use error::EvalError;
pub use metrics::MetricInfo;
pub use score::{
    GoldenMismatch, GoldenReport, ItemScore, ScoreReport, score_goldens, score_predictions,
};
pub use scores::{Group, ItemResult, Scores, State, Summary};
