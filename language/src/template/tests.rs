use serde_json::{Value, json};

use super::ChatTemplate;
use crate::{LanguageError, Message, Part, PromptOptions, Role};

fn render(source: &str, variables: Value) -> Result<String, LanguageError> {
    let extra = variables.as_object().cloned().unwrap_or_default();
    let options = PromptOptions { extra, ..PromptOptions::default() };
    let messages = [
        Message::text(Role::User, "Hi"),
        Message::new(Role::User, vec![Part::Image, Part::Text("What?".into())]),
        Message { reasoning: Some("hm".into()), ..Message::text(Role::Assistant, " <think>\n") },
        Message::text(Role::Observation, "18"),
    ];
    ChatTemplate::parse("test.jinja", source)?.render(&messages, &options)
}

/// Texts that Jinja2 gave, set up as transformers sets it up; null where it failed.
#[test]
fn gives_what_jinja2_gives() {
    const CASES: &str = include_str!("../../../tests/fixtures/templates/jinja_cases.json");
    let file: Value = serde_json::from_str(CASES).unwrap();
    let mut differences = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let source = case["source"].as_str().unwrap();
        let found = render(source, file["variables"].clone());
        match (case["text"].as_str(), found) {
            (Some(expected), Ok(found)) if expected == found => {}
            (None, Err(_)) => {}
            (expected, found) => differences.push((source, expected, found)),
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn strftime_now_gives_the_date() {
    let year = render("{{ strftime_now('%Y') }}", json!({})).unwrap();
    assert!(year.len() == 4 && year.parse::<u32>().unwrap() >= 2024, "{year}");
    let date = render("{{ strftime_now('%d %b %Y, %A %H:%M:%S') }}", json!({})).unwrap();
    assert!(date.contains(&year), "{date}");
    assert!(render("{{ strftime_now('%!') }}", json!({})).is_err());
}

#[test]
fn the_role_of_tools_is_named_as_the_template_names_it() {
    let old = render("{{ messages[3].role }}", json!({})).unwrap();
    let new = render("{{ messages[3].role }}{{ '' if 'tool' else '' }}", json!({})).unwrap();
    assert_eq!((old.as_str(), new.as_str()), ("observation", "tool"));
}

#[test]
fn errors_name_the_file_the_line_and_the_reason() {
    let cases = [
        ("a\n{{ raise_exception('roles must alternate') }}", 2, "roles must alternate"),
        ("a\nb\n{{ nothing.field }}", 3, "undefined"),
        ("{{ 'x'.no_such_method() }}", 1, "no_such_method"),
        ("a\n{% endfor %}", 2, "endfor"),
    ];
    for (source, line, reason) in cases {
        let error = render(source, json!({})).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("test.jinja") && text.contains(&format!("line {line}")), "{text}");
        assert!(text.contains(reason), "{text}");
        assert!(matches!(error, LanguageError::Template { line: found, .. } if found == line));
    }
}

/// Without limits none of them would end.
#[test]
fn hostile_templates_stop() {
    for source in [
        "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ messages | tojson }}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 'a' * 99999999999 }}",
        "{{ '%9999999999d' | format(1) }}",
    ] {
        assert!(render(source, json!({})).is_err(), "{source}");
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(render(&deep, json!({})).is_err());
}
