//! Our scores held against the reference scorers', on rows of their own.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use glm4v_eval::{metrics, score_goldens, score_predictions};
use std::collections::BTreeSet;
use std::fs::{File, read_dir};
use std::io::{BufReader, Cursor};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/metrics");

#[test]
fn every_golden_row_has_its_score() {
    let mut rows = 0;
    for entry in read_dir(FIXTURES).unwrap() {
        let path = entry.unwrap().path();
        let report = score_goldens(BufReader::new(File::open(&path).unwrap())).unwrap();
        assert!(report.mismatches.is_empty(), "{}: {:#?}", path.display(), report.mismatches);
        rows += report.count;
    }
    assert!(rows > 400, "only {rows} rows");
}

/// A rule of ours that no harness has, and metrics that hand each question on to one that has
/// goldens.
const WITHOUT_GOLDENS: [(&str, &str); 7] = [
    ("charxiv", "text"),
    ("judge", "verdict"),
    ("mmmu", "official"),
    ("mmmu", "lmms_eval"),
    ("mmmu", "vlmevalkit"),
    ("mmmu", "official_random"),
    ("mmmu", "lmms_eval_random"),
];

#[test]
fn every_variant_has_goldens() {
    let mut seen = BTreeSet::new();
    for entry in read_dir(FIXTURES).unwrap() {
        for line in std::fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            seen.insert((
                row["metric"].as_str().unwrap().to_owned(),
                row["variant"].as_str().unwrap().to_owned(),
            ));
        }
    }
    let with_goldens =
        metrics::all().filter(|info| !WITHOUT_GOLDENS.contains(&(info.name, info.variant)));
    let ours = with_goldens.map(|info| (info.name.to_owned(), info.variant.to_owned()));
    assert_eq!(ours.collect::<BTreeSet<_>>(), seen);
}

#[test]
fn a_wrong_score_is_a_mismatch() {
    let line = |score: &str| {
        format!(
            r#"{{"id": 1, "metric": "anls", "variant": "lmms_eval", "prediction": "a", "references": ["a"], "score": {score}}}"#
        )
    };
    let count = |score: &str| score_goldens(Cursor::new(line(score))).unwrap().mismatches.len();
    assert_eq!([count("1.0"), count("0.999"), count("\"1\"")], [0, 1, 1]);
    let unknown = line("0").replace("lmms_eval", "nobody");
    assert_eq!(score_goldens(Cursor::new(unknown)).unwrap().mismatches.len(), 1);
}

#[test]
fn predictions_give_a_mean_with_its_interval() {
    let lines = r#"{"id": "a", "prediction": "102", "references": ["100"]}

{"id": "b", "prediction": "90", "references": ["100"]}
"#;
    let report = score_predictions("relaxed_accuracy", Cursor::new(lines)).unwrap();
    assert_eq!((report.variant, report.count, report.mean), ("vlmevalkit", 2, Some(0.5)));
    assert_eq!(
        report.items.iter().map(|item| item.score.as_f64().unwrap()).collect::<Vec<_>>(),
        [1.0, 0.0]
    );
    let (low, high) = report.interval.unwrap();
    assert!(low <= 0.5 && 0.5 <= high);
}

#[test]
fn bad_input_is_named() {
    let told = |metric: &str, lines: &str| {
        score_predictions(metric, Cursor::new(lines.to_owned())).unwrap_err().to_string()
    };
    assert!(told("bleurgh", "").contains("anls:lmms_eval"));
    assert!(told("anls", "").contains("no lines"));
    assert!(told("anls", "\n{\"id\": 1}").starts_with("line 2:"));
}
