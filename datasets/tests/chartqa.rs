//! ChartQA's published layout, written by hand.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use glm4v_datasets::{ChartQa, ChartQaSplit, DatasetError, ImageSource};
use std::fs;
use std::path::Path;

fn write(folder: &Path, rows: &str) {
    fs::create_dir_all(folder.join("png")).unwrap();
    fs::write(folder.join("png/a.png"), b"not looked at by the reader").unwrap();
    fs::write(folder.join("test_human.json"), rows).unwrap();
}

const GOOD: &str = r#"{"imgname": "a.png", "query": "How many?", "label": "14"}"#;

#[test]
fn reads_rows_in_order() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("test"), &format!("[{GOOD}, {GOOD}]"));
    let samples: Vec<_> =
        ChartQa::open(folder.path(), ChartQaSplit::Human).unwrap().map(Result::unwrap).collect();
    assert_eq!(samples.len(), 2);
    assert_eq!(samples[1].id, "human-1");
    assert_eq!(samples[0].question, "How many?");
    assert_eq!(samples[0].references, ["14"]);
    assert_eq!(samples[0].metadata["split"], "human");
    assert_eq!(samples[0].images, [ImageSource::Path(folder.path().join("test/png/a.png"))]);
}

#[test]
fn names_a_bad_row_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let bad = r#"{"imgname": "a.png", "query": "How many?", "label": 14}"#;
    let gone = r#"{"imgname": "gone.png", "query": "?", "label": "1"}"#;
    write(folder.path(), &format!(r#"[{bad}, {gone}, {{"imgname": "a.png"}}, {GOOD}]"#));
    let rows: Vec<_> = ChartQa::open(folder.path(), ChartQaSplit::Human).unwrap().collect();
    let told: Vec<_> = rows
        .iter()
        .filter_map(|row| row.as_ref().err())
        .map(|error| match error {
            DatasetError::BadRow { row, field, .. } => (*row, *field),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(told, [(1, "label"), (2, "imgname"), (3, "query")]);
    assert!(rows[3].is_ok());
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = ChartQa::open(folder.path(), ChartQaSplit::Augmented).unwrap_err();
    assert!(error.to_string().contains("test_augmented.json"), "{error}");
    write(folder.path(), "{");
    let error = ChartQa::open(folder.path(), ChartQaSplit::Human).unwrap_err();
    assert!(matches!(error, DatasetError::WrongForm { .. }), "{error}");
}
