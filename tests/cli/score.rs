//! `score`: what it prints and how it ends. The metrics are tested in the eval crate.

use crate::{fixture, glm4v, run};

const PREDICTIONS: &str = "{\"id\": \"a\", \"prediction\": \"cat\", \"references\": [\"cat\"]}\n\
    {\"id\": \"b\", \"prediction\": \"dog\", \"references\": [\"bird\"]}\n";

#[test]
fn predictions_get_a_mean_with_its_interval() {
    let mut command = glm4v();
    command.args(["score", "--metric", "anls:lmms_eval", "-"]);
    let run = run(command.write_stdin(PREDICTIONS));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.starts_with("anls:lmms_eval 0.5000 (95 % interval "), "{}", run.stdout);
    assert!(run.stdout.contains("2 predictions"));
}

#[test]
fn items_come_before_the_mean() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictions.jsonl");
    std::fs::write(&file, PREDICTIONS).unwrap();
    let arguments = ["score", "--metric", "anls", file.to_str().unwrap(), "--items"];
    let run = run(glm4v().args(arguments));
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!((run.code, lines.len()), (Some(0), 3), "{}", run.stderr);
    assert!(lines[0].starts_with("a\t1") && lines[1].starts_with("b\t0"), "{}", run.stdout);
}

#[test]
fn goldens_pass_or_are_told_line_by_line() {
    let goldens = fixture("metrics/relaxed_accuracy.jsonl");
    let good = run(glm4v().args(["score", "--goldens", &goldens]));
    assert_eq!(good.code, Some(0), "{}", good.stdout);
    assert!(good.stdout.ends_with(" 0 differ\n"), "{}", good.stdout);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goldens.jsonl");
    let line = std::fs::read_to_string(&goldens).unwrap().lines().next().unwrap().to_owned();
    let mut golden: serde_json::Value = serde_json::from_str(&line).unwrap();
    golden["score"] = (1.0 - golden["score"].as_f64().unwrap()).into();
    std::fs::write(&file, golden.to_string()).unwrap();
    let bad = run(glm4v().args(["score", "--goldens", file.to_str().unwrap()]));
    assert_eq!(bad.code, Some(1));
    assert!(bad.stdout.starts_with("line 1, "), "{}", bad.stdout);
}

#[test]
fn the_list_names_metrics_with_their_variants() {
    let run = run(glm4v().args(["score", "--list"]));
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.lines().any(|line| line.starts_with("anls:lmms_eval ")), "{}", run.stdout);
}

#[test]
fn errors_name_the_metric_the_file_and_the_line() {
    let unknown = run(glm4v().args(["score", "--metric", "blue", "-"]).write_stdin(PREDICTIONS));
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("blue"), "{}", unknown.stderr);
    let missing = run(glm4v().args(["score", "--metric", "anls", "missing.jsonl"]));
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("missing.jsonl: cannot be read"), "{}", missing.stderr);
    let mut command = glm4v();
    command.args(["score", "--metric", "anls", "-"]);
    let broken = run(command.write_stdin(format!("{PREDICTIONS}{{\"id\": 3}}\n")));
    assert_eq!(broken.code, Some(1));
    assert!(broken.stderr.contains("line 3"), "{}", broken.stderr);
    let no_file = run(glm4v().args(["score", "--metric", "anls"]));
    assert_eq!(no_file.code, Some(2));
}
