//! Answers that follow a grammar, and calls of tools, from the golden checkpoints.
//!
//! What the tiny models say has no sense; a grammar makes them say what a test needs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use glm4v_fusion::{
    Draft, FinishReason, FusionError, GenerateOptions, Grammar, LoadOptions, Model, Role,
};
use serde_json::{Value, json};
use std::path::Path;

const FAMILIES: [&str; 7] = ["glm", "glm4", "glm4v", "glm46v", "glm4v_moe", "glm4v_9b", "glm_ocr"];

fn model(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name);
    Model::load(folder.to_str().unwrap(), &LoadOptions::default()).unwrap()
}

fn following(grammar: Grammar, max_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        temperature: Some(0.0),
        max_tokens: Some(max_tokens),
        grammar: Some(grammar),
        ..GenerateOptions::default()
    }
}

fn lark(text: &str) -> Grammar {
    Grammar::Lark(text.to_owned())
}

fn receipt() -> Grammar {
    Grammar::JsonSchema(json!({
        "type": "object",
        "properties": {
            "kind": {"enum": ["cash", "card"]},
            "total": {"type": "integer", "minimum": 10, "maximum": 99},
            "items": {
                "type": "array",
                "minItems": 1,
                "maxItems": 2,
                "items": {"type": "string", "pattern": "^[a-zé]{1,3}$"}
            }
        },
        "required": ["kind", "total", "items"],
        "additionalProperties": false
    }))
}

fn check_receipt(text: &str) {
    let receipt: Value = serde_json::from_str(text).unwrap();
    let fields = receipt.as_object().unwrap();
    assert_eq!(fields.len(), 3, "{text}");
    assert!(["cash", "card"].contains(&receipt["kind"].as_str().unwrap()), "{text}");
    assert!((10..=99).contains(&receipt["total"].as_i64().unwrap()), "{text}");
    let items = receipt["items"].as_array().unwrap();
    assert!((1..=2).contains(&items.len()), "{text}");
    for item in items {
        let letters = item.as_str().unwrap().chars().count();
        assert!((1..=3).contains(&letters), "{text}");
    }
}

#[test]
fn every_family_follows_a_schema_greedily_and_by_chance() {
    for name in FAMILIES {
        let model = model(name);
        let greedy = following(receipt(), 400);
        let drawn = GenerateOptions {
            temperature: Some(1.5),
            top_p: Some(0.9),
            top_k: Some(50),
            repetition_penalty: Some(1.1),
            seed: Some(3),
            ..greedy.clone()
        };
        for options in [greedy, drawn] {
            let answer = model.ask(&[], "The receipt as JSON.", &options).unwrap();
            assert_eq!(answer.finish_reason, FinishReason::Stop, "{name}: {}", answer.text);
            check_receipt(&answer.text);
            let plain = GenerateOptions { draft: Draft::Off, ..options };
            let undrafted = model.ask(&[], "The receipt as JSON.", &plain).unwrap();
            assert_eq!(undrafted.text, answer.text, "{name}");
        }
    }
}

#[test]
fn a_lark_grammar_is_followed() {
    let options = following(lark("start: \"No. \" /[0-9]{3}-[0-9]{2}/"), 40);
    let text = model("glm4v").ask(&[], "Which?", &options).unwrap().text;
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).unwrap().chars().all(|c| c.is_ascii_digit())
    };
    assert_eq!(text.len(), 10, "{text}");
    assert!(text.starts_with("No. ") && digits(4..7) && digits(8..10), "{text}");
}

/// A form whose texts and lists have no end of their own.
fn endless() -> Grammar {
    let line = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "price": {"type": "number"}},
        "required": ["name", "price"],
        "additionalProperties": false
    });
    Grammar::JsonSchema(json!({
        "type": "object",
        "properties": {
            "shop": {"type": "string"},
            "lines": {"type": "array", "items": line},
            "paid": {"type": "boolean"},
            "note": {"type": ["string", "null"]}
        },
        "required": ["shop", "lines", "paid", "note"],
        "additionalProperties": false
    }))
}

#[test]
fn an_answer_that_the_limit_cuts_parses() {
    for name in FAMILIES {
        let model = model(name);
        let mut cut = 0;
        for (seed, limit) in (60..300).step_by(29).enumerate() {
            let options = GenerateOptions {
                temperature: Some(1.2),
                seed: Some(seed as u64),
                ..following(endless(), limit)
            };
            let answer = model.ask(&[], "The receipt as JSON.", &options).unwrap();
            assert!(answer.usage.completion <= limit, "{name}: {}", answer.text);
            let form: Value = serde_json::from_str(&answer.text)
                .unwrap_or_else(|error| panic!("{name}, {limit}: {error}: {}", answer.text));
            assert!(form["shop"].is_string() && form["paid"].is_boolean(), "{}", answer.text);
            let lines = form["lines"].as_array().unwrap();
            assert!(lines.iter().all(|line| line["name"].is_string() && line["price"].is_number()));
            cut += usize::from(answer.finish_reason == FinishReason::Length);
        }
        assert!(cut > 0, "{name}: no answer was cut");
    }
}

#[test]
fn thoughts_leave_room_for_the_answer() {
    let model = model("glm46v");
    let mut cut = 0;
    for seed in 0..8 {
        let options = GenerateOptions {
            thinking: Some(true),
            temperature: Some(1.2),
            seed: Some(seed),
            ..following(receipt(), 80)
        };
        let answer = model.ask(&[], "The receipt as JSON.", &options).unwrap();
        // The tiny model ends thoughts that it has not begun.
        check_receipt(answer.text.rsplit("</think>").next().unwrap());
        cut += usize::from(answer.finish_reason == FinishReason::Length);
    }
    assert!(cut > 0, "no thoughts were cut");
}

#[test]
fn the_token_limit_is_told_from_the_end_of_a_grammar() {
    let answer = model("glm4v").ask(&[], "Which?", &following(receipt(), 5)).unwrap();
    assert_eq!(answer.finish_reason, FinishReason::Length);
    assert!(serde_json::from_str::<Value>(&answer.text).is_err());
}

#[test]
fn what_is_no_grammar_is_an_error() {
    for grammar in [lark("start: missing"), lark("((("), Grammar::JsonSchema(json!({"type": 5}))] {
        let error = model("glm4v").ask(&[], "Which?", &following(grammar, 5)).unwrap_err();
        assert!(matches!(error, FusionError::Language(_)), "{error}");
        assert!(error.to_string().starts_with("the grammar of the answer: "), "{error}");
    }
}

fn clock() -> Option<Value> {
    let zone = json!({"properties": {"zone": {"type": "string"}}});
    Some(json!([{"type": "function", "function": {"name": "get_time", "parameters": zone}}]))
}

/// A model calls a tool in its own format, is told what it said, and goes on in the same turn.
#[test]
fn calls_go_out_and_observations_come_back() {
    let tagged =
        "<tool_call>get_time\\n<arg_key>zone</arg_key>\\n<arg_value>CET</arg_value>\\n</tool_call>";
    let name_line = "get_time\\n{\\\"zone\\\": \\\"CET\\\"}";
    for (name, call) in [("glm", name_line), ("glm4v_9b", name_line), ("glm4v_moe", tagged)] {
        let model = model(name);
        let mut chat = model.chat(None);
        let calling = GenerateOptions {
            tools: clock(),
            ..following(lark(&format!("start: \"{call}\"")), 200)
        };
        let mut seen = String::new();
        let answer =
            chat.send(&[], "What time is it?", &calling, |chunk| seen += &chunk.text).unwrap();
        assert_eq!(seen, answer.text);
        let [found] = answer.tool_calls.as_slice() else { panic!("{name}: {answer:?}") };
        assert_eq!(found.name, "get_time");
        assert_eq!(Value::Object(found.arguments.clone()), json!({"zone": "CET"}), "{name}");
        let answering =
            GenerateOptions { tools: clock(), ..following(lark("start: \"Noon.\""), 200) };
        let answer = chat.observe(&["12:00".into()], &answering, |_| ()).unwrap();
        assert_eq!(answer.text, "Noon.");
        assert!(answer.tool_calls.is_empty());
        let roles: Vec<Role> = chat.messages().iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::Observation, Role::Assistant]);
        let call = &chat.messages()[1];
        assert!(call.tool_calls.is_some() || call.metadata.as_deref() == Some("get_time"));
    }
}
