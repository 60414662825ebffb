//! Text as a chat template: a prompt or an error, in bounded time and memory.

#![no_main]

use glm4v_language::{ChatTemplate, Message, Part, PromptOptions, Role};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::parse("fuzzed.jinja", source) else { return };
    let messages = [
        Message::text(Role::System, "Be brief."),
        Message::new(Role::User, vec![Part::Image, Part::Text("What is \"this\"?".into())]),
        Message::text(Role::Assistant, "A cat — 猫."),
        Message::new(Role::User, vec![Part::Video, Part::Text("And this?".into())]),
    ];
    let tools = serde_json::json!([{"type": "function", "function": {"name": "f"}}]);
    for (thinking, tools) in [(None, None), (Some(false), Some(tools))] {
        let options = PromptOptions {
            add_generation_prompt: true,
            thinking,
            tools,
            ..PromptOptions::default()
        };
        let _ = template.render(&messages, &options);
    }
});
