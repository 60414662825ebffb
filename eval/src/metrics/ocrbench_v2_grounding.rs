//! OCRBench v2's grounding of text (Fu et al. 2024), as in its `IoUscore_metric.py`: the overlap of
//! boxes, in thousandths of the image.

use super::{MetricInfo, ScoreError};
use crate::python::int;
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "ocrbench_v2_grounding",
    variant: "official",
    summary: "intersection over union of the last box in the prediction",
    score: |item| {
        let expected = "a list with one box of four numbers";
        let wrong_form = ScoreError::WrongForm { field: "references", expected };
        let wanted = gold_box(&item.references[0]).ok_or(wrong_form)?;
        Ok(last_box(item.text()?).map_or(0.0, |found| overlap(found, wanted)).into())
    },
}];

/// A box as left, top, right, bottom.
pub type Corners = [f64; 4];

/// The first four numbers of a list, without their fractions.
pub(super) fn gold_box(value: &Value) -> Option<Corners> {
    let corners = value.as_array()?.iter().take(4).map(|value| match value {
        Value::Number(number) => number.as_f64().map(f64::trunc),
        Value::String(text) => int(text),
        _ => None,
    });
    corners.collect::<Option<Vec<f64>>>()?.try_into().ok()
}

/// The last `(x1, y1, x2, y2)` or `[…]` of whole numbers from 0 to 1000 in a text.
pub fn last_box(text: &str) -> Option<Corners> {
    static BOX: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let blanks = r"[\s\x1c-\x1f]*";
        let number = format!(r"{blanks}(\d+){blanks}");
        Regex::new(&format!(r"[(\[]{number},{number},{number},{number}[)\]]")).ok()
    });
    let corners = BOX.as_ref()?.captures_iter(text).filter_map(|found| {
        let corner = |group: usize| {
            int(found.get(group)?.as_str()).filter(|corner| (0.0..=1000.0).contains(corner))
        };
        Some([corner(1)?, corner(2)?, corner(3)?, corner(4)?])
    });
    corners.last()
}

/// Intersection over union. 0 where the union is nothing; boxes with their corners swapped have
/// areas below 0, as in the reference.
pub fn overlap(a: Corners, b: Corners) -> f64 {
    let both = common_area(a, b);
    let either = area(a) + area(b) - both;
    if either == 0.0 { 0.0 } else { both / either }
}

/// The area that two boxes have in common.
pub(super) fn common_area(a: Corners, b: Corners) -> f64 {
    let side = |first: usize| (a[first + 2].min(b[first + 2]) - a[first].max(b[first])).max(0.0);
    side(0) * side(1)
}

/// The area of a box, below 0 where its corners are swapped.
pub(super) fn area(corners: Corners) -> f64 {
    (corners[2] - corners[0]) * (corners[3] - corners[1])
}
