//! What the family's models can do beyond plain answers: boxes, grammars, tools, thoughts.

use crate::{file, fixture, glm4v_tiny, picture, run};
use serde_json::{Value, json};
use std::fs;

#[test]
fn boxes_are_given_in_pixels_and_drawn() {
    let (folder, grammar) = file("boxes.lark", "start: \"cat: [[0,500,250,1000]]\"");
    let drawn = folder.path().join("drawn.png");
    let command = &mut glm4v_tiny();
    command.args(["ask", &picture(), "-p", "Where?", "--json", "--grammar", &grammar]);
    let run = run(command.arg("--draw-boxes").arg(&drawn));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let (width, height) = image::image_dimensions(picture()).unwrap();
    let quarter = (f64::from(width) / 4.0).round() as u32;
    let half = (f64::from(height) / 2.0).round() as u32;
    let expected = json!([{"label": "cat", "box": [0, half, quarter, height]}]);
    assert_eq!(run.json_lines()[0]["boxes"], expected);
    assert_eq!(image::image_dimensions(&drawn).unwrap(), (width, height));
}

#[test]
fn several_images_together_have_no_boxes_to_draw() {
    let command = &mut glm4v_tiny();
    command.args(["ask", &picture(), &picture(), "-p", "Where?", "--draw-boxes", "out.png"]);
    let run = run(command);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--each"), "{}", run.stderr);
}

#[test]
fn an_answer_follows_a_json_schema_or_says_that_it_was_cut() {
    let schema = r#"{"type": "object", "properties": {"paid": {"type": "boolean"}},
        "required": ["paid"], "additionalProperties": false}"#;
    let (_folder, path) = file("schema.json", schema);
    for (limit, whole) in [("200", true), ("2", false)] {
        let command = &mut glm4v_tiny();
        command.args(["ask", &picture(), "-p", "Paid?", "--temperature", "0"]);
        let run = run(command.args(["--json-schema", &path, "--max-tokens", limit]));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let answer: Option<Value> = serde_json::from_str(&run.stdout).ok();
        assert_eq!(answer.is_some_and(|answer| answer["paid"].is_boolean()), whole);
        assert_eq!(run.stderr.contains("cut the answer"), !whole, "{}", run.stderr);
    }
}

#[test]
fn tools_run_only_when_they_are_allowed() {
    let tools = json!([{
        "type": "function",
        "function": {"name": "mark", "description": "Makes a file"},
        "command": ["touch", "ran"]
    }]);
    for (words, allow, ran) in [("Do it.\nn\n", false, false), ("Do it.\n", true, true)] {
        let (folder, path) = file("tools.json", &tools.to_string());
        // The answer is a call each time, so the turn goes on until the tiny context is full.
        let call = "start: \"mark\\n{}\"";
        let (_grammar_folder, grammar) = file("call.lark", call);
        let command = &mut glm4v_tiny();
        command.env("GLM4V_MODEL", fixture("goldens/glm")).args(["chat", "--tools", &path]);
        command.args(["--grammar", &grammar, "--max-tokens", "60"]).write_stdin(words);
        if allow {
            command.args(["--allow-tool", "mark"]);
        }
        let run = run(command);
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert_eq!(folder.path().join("ran").exists(), ran);
        assert_eq!(run.stderr.contains("Run mark {}? [y/N]"), !allow, "{}", run.stderr);
    }
}

#[test]
fn a_tool_to_allow_must_be_in_the_file() {
    let (_folder, path) = file("tools.json", "[]");
    let command = &mut glm4v_tiny();
    let run = run(command.args(["chat", "--tools", &path, "--allow-tool", "rm"]));
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--allow-tool rm"), "{}", run.stderr);
}

#[test]
fn boxes_are_drawn_into_a_folder_and_never_over_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let image = |name: &str| {
        let path = folder.path().join(name);
        fs::copy(picture(), &path).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let images = [image("a.v1.png"), image("a.v2.png")];
    let ask = |target: &str| {
        let command = &mut glm4v_tiny();
        command.args(["ask", "--each", "-p", "Where?", "--max-tokens", "2"]).args(&images);
        run(command.args(["--draw-boxes", target]))
    };
    let refused = ask(folder.path().to_str().unwrap());
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    assert!(refused.stderr.contains("one of the images"), "{}", refused.stderr);
    for image in &images {
        assert_eq!(fs::read(image).unwrap(), fs::read(picture()).unwrap());
    }
    let drawn = tempfile::tempdir().unwrap();
    let done = ask(drawn.path().to_str().unwrap());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let entries = fs::read_dir(drawn.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.v1.png", "a.v2.png"]);
}

#[test]
fn a_grammar_that_cannot_be_followed_is_told_once_with_its_file() {
    for (option, name, text, told) in [
        ("--grammar", "wrong.lark", "start: [1-9]", "Expected"),
        ("--grammar", "circle.lark", "start: start", "no text fulfils it"),
        ("--json-schema", "circle.json", r##"{"$ref": "#"}"##, "no text fulfils it"),
        ("--json-schema", "regex.json", r#"{"type": "string", "pattern": "("}"#, "regex"),
    ] {
        let (_folder, path) = file(name, text);
        let command = &mut glm4v_tiny();
        command.args(["describe", &picture(), &picture(), "-q", option, &path]);
        let run = run(command);
        assert_eq!(run.code, Some(2), "{name}: {}", run.stderr);
        assert!(run.stderr.contains(name) && run.stderr.contains(told), "{}", run.stderr);
        assert_eq!(run.stderr.matches(&path).count(), 1, "{}", run.stderr);
        assert!(!run.stderr.contains("<state>"), "{}", run.stderr);
    }
}

/// The template that GLM-4.5V's checkpoints bring takes the switch: `/nothink` and empty thoughts
/// make the prompt longer. Without the switch the model thinks.
#[test]
fn thinking_is_switched_through_the_template() {
    let tokens = |switch: &[&str]| {
        let command = &mut glm4v_tiny();
        command.args(["ask", &picture(), "-p", "What is it?", "--json", "--max-tokens", "2"]);
        command.env("GLM4V_MODEL", fixture("goldens/glm46v")).args(switch);
        let run = run(command);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.json_lines()[0]["tokens"]["prompt"].as_u64().unwrap()
    };
    let (own, on, off) = (tokens(&[]), tokens(&["--think"]), tokens(&["--no-think"]));
    assert_eq!(on, own);
    assert!(off > on, "{off} {on}");
}
