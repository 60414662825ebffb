//! The example tools, run as `glm4v chat` runs them: JSON in, text out.

use serde_json::{Value, json};
use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tools");

/// What a tool of `tools.json` makes of its arguments; `None`, said on standard error, where there
/// is no Python.
fn call(name: &str, arguments: &Value) -> Option<Output> {
    let text = std::fs::read_to_string(format!("{FOLDER}/tools.json")).unwrap();
    let tools: Value = serde_json::from_str(&text).unwrap();
    let tool = tools.as_array().unwrap().iter().find(|tool| tool["function"]["name"] == name);
    let command: Vec<&str> = tool.unwrap()["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part.as_str().unwrap())
        .collect();
    let started = Command::new(command[0])
        .args(&command[1..])
        .current_dir(FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: {} is not installed, so {name} was not run", command[0]);
            return None;
        }
        child => child.unwrap(),
    };
    child.stdin.take().unwrap().write_all(arguments.to_string().as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[cfg(unix)]
#[test]
fn python_runs_within_its_limits() {
    let run = |code: &str| call("run_python", &json!({ "code": code }));
    let Some(sum) = run("print(6 * 7)") else { return };
    assert_eq!((text(&sum.stdout).as_str(), sum.status.success()), ("42\n", true));
    let failed = text(&run("raise ValueError('no')").unwrap().stdout);
    assert!(failed.contains("ValueError: no") && failed.contains("code 1"), "{failed}");
    let greedy = text(&run("len(b'x' * (1 << 30))").unwrap().stdout);
    assert!(greedy.contains("MemoryError"), "{greedy}");
    // What is written goes to a folder that is gone afterwards.
    let place = text(&run("import os; open('a', 'w'); print(os.getcwd())").unwrap().stdout);
    assert!(!std::path::Path::new(place.trim()).exists() && place.len() > 2, "{place}");
}

#[test]
fn pages_of_the_users_own_network_are_not_fetched() {
    for url in ["http://127.0.0.1:1/", "http://[::1]/", "http://10.0.0.1/", "file:///etc/passwd"] {
        let Some(refused) = call("fetch_page", &json!({ "url": url })) else { return };
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{url}");
        let told = text(&refused.stderr);
        assert!(!told.contains("Traceback") && told.contains("not a"), "{url}: {told}");
    }
}

#[test]
fn a_picture_is_drawn_as_it_was_asked_for() {
    let shapes = json!([
        {"kind": "rectangle", "box": [2, 3, 10, 8], "colour": "#ff0000"},
        {"kind": "circle", "centre": [20, 20], "radius": 5, "colour": "#0000ff"},
    ]);
    let wish = json!({"width": 32, "height": 30, "background": "#00ff00", "shapes": shapes});
    let Some(drawn) = call("draw_image", &wish) else { return };
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    let path = text(&drawn.stdout);
    let path = std::path::Path::new(path.trim());
    let picture = image::open(path).unwrap().into_rgb8();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert_eq!(picture.dimensions(), (32, 30));
    for (place, colour) in [
        ((2, 3), [255, 0, 0]),
        ((9, 7), [255, 0, 0]),
        ((10, 8), [0, 255, 0]),
        ((20, 20), [0, 0, 255]),
        ((20, 27), [0, 255, 0]),
    ] {
        assert_eq!(picture.get_pixel(place.0, place.1).0, colour, "{place:?}");
    }
    let wrong = call("draw_image", &json!({"width": 0, "height": 9, "shapes": []})).unwrap();
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("from 1 to 2048"));
}
