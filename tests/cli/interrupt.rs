//! Ctrl-C: what was finished is kept, and the work ends.

use crate::{fixture, glm4v, picture, tiny};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// More images than any machine gets through before the signal arrives.
const IMAGES: usize = 5000;

fn start(arguments: &[&str], images: usize) -> Child {
    Command::new(glm4v().get_program())
        .env("GLM4V_MODEL", tiny())
        .args(arguments)
        .args(vec![picture(); images])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What Ctrl-C does.
fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn finished_lines_are_kept() {
    let mut child = start(&["describe", "--json", "--max-tokens", "20"], IMAGES);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    interrupt(&child);
    output.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let records: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!((1..IMAGES).contains(&records.len()), "{}", records.len());
    let (last, others) = records.split_last().unwrap();
    assert!(others.iter().all(|record| record["finish_reason"] != "cancelled"));
    assert!(last.get("error").is_none(), "{last}");
}

#[test]
fn text_that_was_streamed_ends_its_line() {
    let mut child = start(&["describe", "--max-tokens", "20"], IMAGES);
    let mut output = child.stdout.take().unwrap();
    let mut text = vec![0; 1];
    output.read_exact(&mut text).unwrap();
    interrupt(&child);
    output.read_to_end(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(text.ends_with(b"\n"), "{}", String::from_utf8_lossy(&text));
}

#[test]
fn work_without_answers_ends_at_once() {
    let mut child = Command::new(glm4v().get_program())
        .args(["parity", &fixture("goldens"), "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    interrupt(&child);
    output.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
}
