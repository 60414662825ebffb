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

fn check(cases: &[(&str, &str)], variables: &Value) {
    for (source, expected) in cases {
        let found = render(source, variables.clone()).unwrap();
        assert_eq!(found, *expected, "{source}");
    }
}

/// The expected texts are what Python's `json.dumps` writes.
#[test]
fn tojson_writes_what_python_writes() {
    let value = json!({
        "city": "北京 <b>&'\"\\\u{1f}\n", "n": [1, -2.0, 1e-7, 1.5e300, 1e16, true, null], "o": {}, "l": [],
    });
    let compact = "{\"city\": \"北京 <b>&'\\\"\\\\\\u001f\\n\", \
        \"n\": [1, -2.0, 1e-07, 1.5e+300, 1e+16, true, null], \"o\": {}, \"l\": []}";
    check(
        &[
            ("{{ v | tojson }}", compact),
            ("{{ v | tojson(ensure_ascii=False) }}", compact),
            (
                "{{ [1, {'a': 2, 'b': []}] | tojson(indent=2) }}",
                "[\n  1,\n  {\n    \"a\": 2,\n    \"b\": []\n  }\n]",
            ),
            ("{{ [1, 2] | tojson(indent='\t') }}", "[\n\t1,\n\t2\n]"),
            ("{{ [1, {'a': 2}] | tojson(separators=(',', ':')) }}", "[1,{\"a\":2}]"),
            (
                "{{ {'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true) }}",
                "{\"a\": {\"c\": 2, \"d\": 1}, \"b\": 1}",
            ),
            ("{{ 'é🙂\u{7f}~' | tojson(ensure_ascii=True) }}", "\"\\u00e9\\ud83d\\ude42\\u007f~\""),
        ],
        &json!({ "v": value }),
    );
    for wrong in
        ["{{ nothing | tojson }}", "{{ 1 | tojson(indent=100000) }}", "{{ 1 | tojson(x=1) }}"]
    {
        assert!(render(wrong, json!({})).is_err(), "{wrong}");
    }
}

#[test]
fn blocks_are_trimmed_as_the_reference_trims_them() {
    check(
        &[
            ("a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc"),
            ("a\n  {{- 'b' -}}  \n c", "abc"),
            ("{% generation %}x{% endgeneration %}", "x"),
            ("a\n  {%- generation %}\n b\n  {% endgeneration -%}\n c", "a b\nc"),
            (
                "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% elif i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}",
                "013",
            ),
        ],
        &json!({}),
    );
}

#[test]
fn templates_see_messages_as_hugging_face_gives_them() {
    check(
        &[
            (
                "{% for m in messages %}{{ m.role }} {{ m.content is string }},{% endfor %}",
                "user True,user False,assistant True,observation True,",
            ),
            ("{{ messages[3].role == 'tool' }}", "True"),
            (
                "{% for p in messages[1]['content'] %}{{ p.type }}{{ p.text }} {% endfor %}",
                "image textWhat? ",
            ),
            (
                "{{ messages[2].reasoning_content }}{{ messages[0].reasoning_content is defined }}",
                "hmFalse",
            ),
            (
                "{{ messages[2].content.split('<think>')[-1] == '\n' }}{{ messages[2]['content'].strip() }}",
                "True<think>",
            ),
            (
                "{% for m in messages %}{{ loop.previtem is defined and loop.previtem.role }},{% endfor %}",
                "False,user,user,assistant,",
            ),
            (
                "{{ tools is none }} {{ enable_thinking is defined }} {{ add_generation_prompt }}",
                "True False False",
            ),
            ("{{ messages[::-1][0].role }}{{ (messages | last).role }}", "observationobservation"),
        ],
        &json!({}),
    );
}

#[test]
fn pythons_methods_and_tests_work() {
    check(
        &[
            (
                "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{{ d.get('x', 'none') }}",
                "b=1;a=True;none",
            ),
            (
                "{{ 'a-b'.startswith('a') }}{{ 'a-b'.endswith(('a', 'b')) }}{{ 'ab'.upper() }}{{ '\n x '.lstrip('\n') }}",
                "TrueTrueAB x ",
            ),
            (
                "{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
                "3",
            ),
            (
                "{{ d is mapping }}{{ [] is iterable }}{{ 'x' is sequence }}{{ d is sequence }}{{ 3 is sequence }}",
                "TrueTrueTrueTrueFalse",
            ),
            ("{% macro m(x, y='!') %}{{ x }}{{ y }}{% endmacro %}{{ m('a') }}", "a!"),
            (
                "{{ none }}{{ nothing }}{{ nothing is defined }}{{ 'x' if nothing else 'y' }}",
                "NoneFalsey",
            ),
            (
                "{{ ['a', 'b'] | join(', ') }}{{ 'x' ~ 1 }}{{ 'abc'[1:] }}{{ d | length }}",
                "a, bx1bc2",
            ),
        ],
        &json!({"d": {"b": 1, "a": true}}),
    );
    let year = render("{{ strftime_now('%Y') }}", json!({})).unwrap();
    assert!(year.len() == 4 && year.parse::<u32>().unwrap() >= 2024, "{year}");
    assert!(render("{{ strftime_now('%!') }}", json!({})).is_err());
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

#[test]
fn hostile_templates_stop_soon() {
    let started = std::time::Instant::now();
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
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
