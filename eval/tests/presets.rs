//! The presets' prompts held against those that the other harnesses' own code makes
//! (`eval/scripts/make_prompt_cases.py`).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use glm4v_datasets::Sample;
use glm4v_eval::task::{PromptTemplate, Task};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

#[derive(Deserialize)]
struct Case {
    task: String,
    preset: String,
    #[serde(default)]
    question: String,
    #[serde(default)]
    meta: Map<String, Value>,
    prompt: String,
}

#[test]
fn prompts_are_those_of_the_harnesses() {
    let cases = include_str!("../../tests/fixtures/prompts.json");
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    let mut seen = BTreeSet::new();
    for Case { task, preset, question, meta, prompt } in cases {
        let found = Task::find(&task).unwrap();
        let text = found.preset(&preset).unwrap().template("").to_owned();
        let sample = Sample {
            id: String::new(),
            images: Vec::new(),
            question,
            options: Vec::new(),
            references: Vec::new(),
            metadata: meta,
        };
        let rendered = PromptTemplate::new(&text).unwrap().render(&sample).unwrap();
        assert_eq!(rendered, prompt, "{task} as {preset}: {:?}", sample.metadata);
        seen.insert((task, preset));
    }
    assert_eq!(seen.len(), 5);
}
