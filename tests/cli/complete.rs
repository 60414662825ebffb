//! `complete`: text models, held to what the reference chose.

use crate::{fixture, glm4v_tiny, run};
use serde_json::Value;

#[test]
fn greedy_text_is_what_the_reference_says() {
    let folder = fixture("goldens/glm4");
    let case = std::fs::read_to_string(format!("{folder}/chinese.json")).unwrap();
    let case: Value = serde_json::from_str(&case).unwrap();
    let prompt = case["prompts"][0].as_str().unwrap();
    let options = ["--model", &folder, "--temperature", "0", "--max-tokens", "16", "--json"];
    let run = run(glm4v_tiny().args(["complete", "-p", prompt]).args(options));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let record = &run.json_lines()[0];
    assert_eq!(record["tokens"]["prompt"], case["input_ids"][0].as_array().unwrap().len());
    assert_eq!(record["text"], case["greedy_text"][0]);
    assert!(record["image"].is_null());
}

#[test]
fn a_prompt_can_come_from_standard_input() {
    let options = ["--temperature", "0", "--max-tokens", "8"];
    let given = run(glm4v_tiny().args(["complete", "-p", "What is"]).args(options));
    let mut command = glm4v_tiny();
    let piped = run(command.args(["complete", "-p", "-"]).args(options).write_stdin("What is"));
    assert_eq!((piped.code, piped.stdout), (Some(0), given.stdout));
}
