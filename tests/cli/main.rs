//! The program as its users run it: what it prints where, and how it ends.
//!
//! Most tests use the tiny checkpoint of the goldens: what it says has no sense, but it is quick.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod ask;
mod chat;
mod complete;
mod datasets;
mod describe;
mod eval;
mod family;
#[path = "../../weights/tests/suite/server.rs"]
#[allow(dead_code, reason = "the tests of downloads use the rest")]
mod hub_server;
mod images;
#[cfg(unix)]
mod interrupt;
mod json;
mod models;
mod ocr_and_chart;
mod parity;
mod remote;
mod score;
mod shell;
mod tools;
mod videos;

use assert_cmd::Command;
use serde_json::Value;
use std::time::Duration;

/// A file or folder of `tests/fixtures`.
fn fixture(path: &str) -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/").to_owned() + path
}

/// The tiny `glm4v` checkpoint.
fn tiny() -> String {
    fixture("goldens/glm4v")
}

/// A small picture that every model takes.
fn picture() -> String {
    fixture("goldens/glm4v/one_image_0.png")
}

/// A file of this text in a folder of its own.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// The program with the built-in model, away from the user's caches and from the network.
fn glm4v() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glm4v"));
    command.env_remove("GLM4V_MODEL").env_remove("HF_HUB_CACHE");
    command.env("HF_HOME", fixture("no such cache")).env("HF_HUB_OFFLINE", "1");
    command.timeout(Duration::from_secs(300));
    command
}

/// The program with the tiny checkpoint.
fn glm4v_tiny() -> Command {
    let mut command = glm4v();
    command.env("GLM4V_MODEL", tiny());
    command
}

/// What a finished run left.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs to the end. Nothing may panic, whatever the end.
fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    Run { code: output.status.code(), stdout, stderr }
}

impl Run {
    /// Standard output as JSON lines.
    fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
