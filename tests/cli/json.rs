//! `--json`: every record is as the tables of docs/JSON.md say.

use crate::{fixture, glm4v, glm4v_tiny, picture, run};
use assert_cmd::Command;
use serde_json::Value;

/// A row of a table: field, types, and whether it may be missing.
struct Field {
    name: &'static str,
    types: Vec<&'static str>,
    optional: bool,
}

/// The table under a heading of the document.
fn fields(heading: &str) -> Vec<Field> {
    let document = include_str!("../../docs/JSON.md");
    let start = format!("\n## {heading}\n");
    let section = document.split_once(start.as_str()).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let (name, types) = (cells.next()?.trim_end_matches('`'), cells.next()?);
        let optional = types.ends_with(", optional");
        let types = types.trim_end_matches(", optional").split(" or ").collect();
        Some(Field { name, types, optional })
    };
    let fields: Vec<Field> = section.lines().filter_map(row).collect();
    assert!(fields.len() > 1, "{heading}");
    fields
}

fn fits(value: &Value, name: &str) -> bool {
    match name {
        "any" => true,
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        _ => {
            let of = name.strip_prefix("array of ").unwrap();
            value.as_array().is_some_and(|items| items.iter().all(|item| fits(item, of)))
        }
    }
}

fn hold(record: &Value, heading: &str) {
    let fields = fields(heading);
    for field in &fields {
        match record.get(field.name) {
            Some(value) => assert!(
                field.types.iter().any(|name| fits(value, name)),
                "{}: {:?} in {record}",
                field.name,
                field.types
            ),
            None => assert!(field.optional, "{} is missing in {record}", field.name),
        }
    }
    let known = |name: &String| fields.iter().any(|field| field.name == name);
    let unknown: Vec<_> = record.as_object().unwrap().keys().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?} are not in docs/JSON.md under {heading}");
}

/// Runs a command and holds every line that it prints.
fn lines_of(command: &mut Command, heading: &str) -> Vec<Value> {
    let run = run(command);
    let lines = run.json_lines();
    assert!(!lines.is_empty(), "{}", run.stderr);
    lines.iter().for_each(|line| hold(line, heading));
    lines
}

fn hold_result(record: &Value) {
    let keys = |name: &str| -> Vec<&String> { record[name].as_object().unwrap().keys().collect() };
    assert_eq!(keys("tokens"), ["prompt", "image", "completion"]);
    assert_eq!(keys("ms"), ["decode_image", "vision", "prefill", "decode"]);
    assert!(record["tokens"].as_object().unwrap().values().all(Value::is_u64));
    assert!(record["ms"].as_object().unwrap().values().all(Value::is_number));
    let reason = record["finish_reason"].as_str().unwrap();
    assert!(["stop", "length", "cancelled", "error"].contains(&reason), "{reason}");
    assert_eq!(record.get("error").is_some(), reason == "error", "{record}");
}

#[test]
fn results_are_as_documented() {
    let (one, short) = (picture(), ["--json", "--max-tokens", "3"]);
    for (arguments, count) in [
        (&["describe", &one, "missing.png"][..], 2),
        (&["ask", &one, &one, "-p", "Which?"], 1),
        (&["ask", &one, "missing.png", "-p", "Which?"], 1),
        (&["ask", "--each", &one, &one, "-p", "What?"], 2),
        (&["ocr", &one], 1),
        (&["ocr", "--format", "json", &one], 1),
        (&["chart", &one], 1), // the tiny model's words are no table: an error
        (&["complete", "-p", "What is"], 1),
    ] {
        let lines = lines_of(glm4v_tiny().args(arguments).args(short), "Results");
        assert_eq!(lines.len(), count, "{arguments:?}");
        lines.iter().for_each(hold_result);
    }
    let mut chat = glm4v_tiny();
    chat.args(["chat", &one]).args(short).write_stdin("What?\nWhy?\n");
    let lines = lines_of(&mut chat, "Results");
    assert_eq!(lines.len(), 2);
    lines.iter().for_each(hold_result);
}

#[test]
fn formats_of_their_own_are_as_documented() {
    let one = picture();
    let ocr = ["ocr", "--format", "json", &one, "--max-tokens", "3"];
    lines_of(glm4v_tiny().args(ocr), "`ocr --format json`");
}

#[test]
fn models_are_as_documented() {
    let all = lines_of(glm4v().args(["models", "list", "--json"]), "`models list`");
    assert!(all.len() > 5 && all[0]["name"] == "nano", "{all:?}");
    for model in ["nano".to_owned(), fixture("goldens/glm4v_9b"), fixture("goldens/glm4")] {
        let arguments = ["models", "inspect", &model, "--json"];
        let cards = lines_of(glm4v().args(arguments), "`models inspect`");
        assert!(cards[0].get("tensors").is_none());
        let cards = lines_of(glm4v().args(arguments).arg("--tensors"), "`models inspect`");
        assert!(cards[0]["tensors"].as_array().unwrap().len() > 10);
    }
}

#[test]
fn parity_is_as_documented() {
    for folder in ["goldens/glm", "goldens/tables"] {
        let arguments = ["parity", &fixture(folder), "--json"];
        lines_of(glm4v().args(arguments), "`parity`");
    }
}

#[test]
fn bench_is_as_documented() {
    let run = run(glm4v_tiny().args(["bench", "--rounds", "1", "--image", "56x56", "--json"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines = run.json_lines();
    let (limits, phases) = lines.split_first().unwrap();
    hold(limits, "`bench`");
    assert!(phases.len() > 1, "{phases:?}");
    phases.iter().for_each(|phase| hold(phase, "Phases of `bench`"));
    let named = |name| phases.iter().find(|phase| phase["name"] == name).unwrap();
    assert!(named("answer")["gain"].is_null());
    assert!(named("answer drafts")["gain"].as_f64().unwrap() > 0.0);
}

/// A text of one line over and over is guessed nearly whole; one whose letters never come again in
/// the same order is not guessed at all.
#[test]
fn bench_says_a_text_with_guesses_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let said = |text: &str| {
        let file = folder.path().join("text.txt");
        std::fs::write(&file, text).unwrap();
        let mut command = glm4v_tiny();
        command.args(["bench", "--rounds", "1", "--image", "56x56", "--prompt", "8"]);
        command.args(["--answer", "0", "--json", "--say"]).arg(&file);
        let run = run(&mut command);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let phases = run.json_lines();
        phases.iter().skip(1).for_each(|phase| hold(phase, "Phases of `bench`"));
        let named = |name| phases.iter().find(|phase| phase["name"] == name).unwrap().clone();
        assert!(named("say")["ms"].as_f64().unwrap() > 0.0 && named("say")["gain"].is_null());
        assert!(named("say drafts")["gain"].as_f64().unwrap() > 0.0);
        assert_eq!(named("say")["work"], named("say drafts")["work"]);
        named("say drafts")["acceptance"].as_f64()
    };
    assert!(said(&"<td>3.10</td>".repeat(30)).unwrap() > 0.9);
    assert_eq!(said("abcdefghijklmnopqrstuvwxyz"), None);
}

#[test]
fn bench_needs_a_tokenizer_to_say_a_text_with_a_shape() {
    let run = run(glm4v().args(["bench", "--shape", "glm-ocr", "--layers", "1", "--say", "x.txt"]));
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--tokenizer"), "{}", run.stderr);
}

#[test]
fn scores_are_as_documented() {
    let goldens = fixture("metrics/anls.jsonl");
    lines_of(glm4v().args(["score", "--list", "--json"]), "`score --list`");
    lines_of(glm4v().args(["score", "--goldens", &goldens, "--json"]), "`score --goldens`");
    let predictions = "{\"id\": 1, \"prediction\": \"a\", \"references\": [\"a\", \"b\"]}\n\
        {\"id\": \"two\", \"prediction\": \"cat\", \"references\": [\"cut\"]}\n";
    let mut command = glm4v();
    command.args(["score", "--metric", "anls", "-", "--items", "--json"]);
    let run = run(command.write_stdin(predictions));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines = run.json_lines();
    assert_eq!(lines.len(), 3);
    lines[..2].iter().for_each(|line| hold(line, "`score --items`"));
    hold(&lines[2], "`score --metric`");
}
