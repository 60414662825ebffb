//! `ocr` and `chart`: formats. Their contents are the models' affair.

use crate::{glm4v_tiny, picture, run};
use serde_json::Value;

#[test]
fn ocr_gives_lines_as_json() {
    let arguments = ["ocr", &picture(), &picture(), "--format", "json", "--max-tokens", "4"];
    let run = run(glm4v_tiny().args(arguments));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines = run.json_lines();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["image"] == picture() && line["lines"].is_array()));
}

#[test]
fn ocr_asks_as_the_models_were_trained() {
    let prompt = |format: &str| -> Value {
        let arguments = ["ocr", &picture(), "--json", "--format", format, "--max-tokens", "1"];
        run(glm4v_tiny().args(arguments)).json_lines()[0]["prompt"].clone()
    };
    assert_eq!(prompt("text"), "Text Recognition:");
    assert!(prompt("markdown").as_str().unwrap().contains("Markdown"));
}

#[test]
fn an_answer_that_is_no_table_is_an_error() {
    // With this stop text no answer can have a row.
    let arguments = ["chart", &picture(), "--stop", "|", "--max-tokens", "4"];
    for format in ["csv", "markdown", "json"] {
        let run = run(glm4v_tiny().args(arguments).args(["--format", format]));
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{format}");
        assert!(run.stderr.contains("no table"), "{}", run.stderr);
    }
    let run = run(glm4v_tiny().args(arguments).arg("--json"));
    assert!(run.json_lines()[0]["error"].as_str().unwrap().contains("no table"));
}
