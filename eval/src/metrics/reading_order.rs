//! OmniDocBench's reading order (Ouyang et al. 2025), as in the `omnidocbench` package: how many
//! edits bring the predicted order of a page's blocks to the true one.

use super::edits::Edits;
use super::{Item, MetricInfo, ScoreError};
use serde::Deserialize;
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "reading_order",
    variant: "omnidocbench",
    summary: "edits over length between the predicted and the true order of blocks",
    score: of_item,
}];

/// Of an item with `extra` as `{"match": [{"gt_position": [place, …], "pred_position": place}]}`;
/// a place that is missing is `""`, and of blocks that are not scored null or 0.
fn of_item(item: &Item) -> Result<Value, ScoreError> {
    let expected = r#"a list of {"gt_position", "pred_position"}"#;
    let rows: Vec<Row> = item.extra_part("match", "extra.match", expected)?;
    let pairs: Option<Vec<Pair>> = rows.iter().map(Row::pair).collect();
    let pairs = pairs.ok_or(ScoreError::WrongForm { field: "extra.match", expected })?;
    score(&pairs).map(Value::from).ok_or(ScoreError::Undefined("no blocks on either side"))
}

#[derive(Deserialize)]
struct Row {
    gt_position: Vec<Value>,
    pred_position: Value,
}

impl Row {
    fn pair(&self) -> Option<Pair> {
        let place = |value: &Value| match value {
            Value::Null => Some(0.0),
            Value::String(text) if text.is_empty() => Some(0.0),
            value => value.as_f64(),
        };
        let missing = matches!(&self.gt_position[..], [Value::String(text)] if text.is_empty());
        let predicted = match &self.pred_position {
            Value::String(text) if text.is_empty() => None,
            value => Some(value.as_f64()?),
        };
        let truth = self.gt_position.iter().map(place).collect::<Option<Vec<f64>>>()?;
        Some(Pair { truth: (!missing).then_some(truth), predicted })
    }
}

/// A predicted block with the true blocks that it was matched to.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The places of the true blocks, from 1; 0 for a block that is not scored. `None` for a
    /// prediction without a partner.
    pub truth: Option<Vec<f64>>,
    /// The place of the prediction; `None` for true blocks that were not found.
    pub predicted: Option<f64>,
}

/// Edits over length, 0 (the true order) to 1. Predictions without a partner are passed over, true
/// blocks without one are missing. `None` where there is no block to score.
pub fn score(pairs: &[Pair]) -> Option<f64> {
    edits(pairs).ratio()
}

/// The edits behind [`score`].
pub fn edits(pairs: &[Pair]) -> Edits {
    let places = |pair: &Pair| pair.truth.clone().unwrap_or_default();
    let scored = |&place: &f64| place != 0.0;
    let mut truth: Vec<f64> = pairs.iter().flat_map(places).filter(scored).collect();
    truth.sort_by(f64::total_cmp);
    let mut found: Vec<&Pair> =
        pairs.iter().filter(|pair| pair.truth.is_some() && pair.predicted.is_some()).collect();
    found.sort_by(|a, b| {
        a.predicted.unwrap_or_default().total_cmp(&b.predicted.unwrap_or_default())
    });
    let found: Vec<f64> = found.into_iter().flat_map(places).filter(scored).collect();
    Edits::of_places(&truth, &found)
}
