//! `parity`: what it prints and how it ends. What it finds is tested in the fusion crate.

use crate::{fixture, glm4v, run};
use std::path::Path;

/// A copy of a folder of goldens with one file changed.
fn changed(name: &str, file: &str, change: impl Fn(String) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let new = change(text.clone());
    assert_ne!(new, text);
    std::fs::write(path, new).unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_line_a_stage_and_success_when_all_pass() {
    let run = run(glm4v().args(["parity", &fixture("goldens/glm4")]));
    assert_eq!(run.code, Some(0), "{}", run.stdout);
    assert!(run.stdout.lines().count() > 20);
    // Behind the verdict on logits stands how far they diverge.
    assert!(run.stdout.lines().all(|line| line.contains("  pass")), "{}", run.stdout);
    assert!(!run.stdout.contains("FAIL"), "{}", run.stdout);
    assert!(run.stderr.contains(" 0 failed"), "{}", run.stderr);
}

#[test]
fn a_failed_stage_is_named_with_the_first_difference() {
    let folder = changed("goldens/glm", "config.json", |config| {
        config.replace("\"rope_theta\": 10000.0", "\"rope_theta\": 20000.0")
    });
    let run = run(glm4v().args(["parity", text(folder.path())]));
    assert_eq!(run.code, Some(1));
    let first = run.stdout.lines().find(|line| line.contains("FAIL")).unwrap();
    assert!(first.contains("layer_0") && first.contains("the reference has"), "{first}");
}

#[test]
fn a_folder_of_folders_runs_them_all() {
    let run = run(glm4v().args(["parity", &fixture("goldens"), "-q"]));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    for name in ["glm", "glm4v", "glm4v_9b", "glm_ocr", "tables", "templates"] {
        assert!(run.stdout.lines().any(|line| line.contains(name)), "{name}");
    }
}

#[test]
fn what_is_no_reference_is_an_error() {
    let empty = tempfile::tempdir().unwrap();
    for folder in [text(empty.path()), "no/such/folder"] {
        let run = run(glm4v().args(["parity", folder]));
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
        assert!(run.stderr.contains(folder), "{}", run.stderr);
    }
}

#[test]
fn the_built_in_model_computes_what_transformers_does() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/models/nano");
    let run = run(glm4v().args(["parity", &fixture("nano"), "--model", folder]));
    assert_eq!(run.code, Some(0), "{}", run.stdout);
    assert!(run.stdout.lines().count() >= 14, "{}", run.stdout);
    assert!(run.stdout.contains("greedy_tokens"), "{}", run.stdout);
}
