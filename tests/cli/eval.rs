//! Benchmarks: runs that are killed and go on, and endpoints that fail in every way.

use super::{fixture, glm4v, glm4v_tiny, picture, run, tiny};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn dataset(folder: &Path, count: usize) {
    fs::create_dir_all(folder.join("png")).unwrap();
    fs::copy(picture(), folder.join("png/a.png")).unwrap();
    let row = |at| json!({ "imgname": "a.png", "query": format!("What is {at}?"), "label": "1" });
    let rows: Vec<Value> = (0..count).map(row).collect();
    fs::write(folder.join("test_human.json"), serde_json::to_vec(&rows).unwrap()).unwrap();
}

/// A number that differs from run to run.
fn random() -> usize {
    std::hash::RandomState::new().build_hasher().finish() as usize
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn tasks_are_listed() {
    let listed = run(glm4v().args(["eval", "list", "--json"]));
    assert_eq!(listed.code, Some(0));
    assert!(listed.json_lines().iter().any(|task| task["task"] == "chartqa"));
    let text = run(glm4v().args(["eval", "list"])).stdout;
    let told =
        "2500 samples, relaxed_accuracy:vlmevalkit, GPL-3.0, https://github.com/vis-nlp/ChartQA";
    assert!(text.contains(told), "{text}");
}

#[test]
fn an_endpoint_is_asked_no_faster_than_it_allows() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), 5);
    let (address, asked) = failing_server();
    asked.store(6, Ordering::SeqCst); // no failures
    let (data, output) = (text(folder.path()), text(&folder.path().join("run")));
    let arguments = ["eval", "run", "chartqa", "--data", &data, "--output", &output];
    let served = ["--endpoint", &address, "--model", "served", "--json"];
    let pace = ["--concurrency", "5", "--requests-per-minute", "120"];
    let ended = run(glm4v().args(arguments).args(served).args(pace));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Five questions have four gaps of half a second between them.
    let seconds = ended.json_lines()[0]["seconds"].as_f64().unwrap();
    assert!(seconds >= 1.99, "{seconds}");
    assert_eq!(asked.load(Ordering::SeqCst), 6 + 5);
    let here = run(glm4v().args(arguments).args(["--requests-per-minute", "9"]));
    assert_eq!(here.code, Some(2), "{}", here.stderr);
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), 200);
    let arguments = |output: &str| {
        let (data, output) = (text(folder.path()), text(&folder.path().join(output)));
        // Answers that take a few milliseconds each, so that there is time to kill it between them.
        let slowly = ["--max-tokens", "192", "--concurrency", "1"].map(str::to_owned);
        let run = ["eval", "run", "chartqa", "--data", &data, "--output", &output];
        run.map(str::to_owned).into_iter().chain(slowly).collect::<Vec<String>>()
    };
    let log = folder.path().join("killed/responses.jsonl");
    let answered = || fs::read_to_string(&log).map_or(0, |lines| lines.lines().count());
    let mut midway = 0;
    for kill in 0..20 {
        let (before, more) = (answered(), random() % 6);
        let mut child = Command::new(env!("CARGO_BIN_EXE_glm4v"))
            .args(arguments("killed"))
            .env("GLM4V_MODEL", tiny())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The first ones as it starts, the others a few answers on.
        while kill > 1 && answered() < before + more && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(random() as u64 % 10_000));
        child.kill().unwrap();
        child.wait().unwrap();
        midway += usize::from((1..200).contains(&answered()));
    }
    assert!(midway >= 12, "only {midway} kills came between the first answer and the last");
    let killed = run(glm4v_tiny().args(arguments("killed")));
    assert_eq!(killed.code, Some(0), "{}", killed.stderr);
    assert_eq!(run(glm4v_tiny().args(arguments("whole"))).code, Some(0));
    let lines = fs::read_to_string(folder.path().join("killed/responses.jsonl")).unwrap();
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].to_string();
    let ids: Vec<String> = lines.lines().map(id).collect();
    assert_eq!((ids.len(), ids.iter().collect::<HashSet<_>>().len()), (200, 200));
    let scores = |run: &str| fs::read(folder.path().join(run).join("scores.json")).unwrap();
    assert_eq!(scores("killed"), scores("whole"));
}

/// Answers each connection in another wrong way, then rightly.
fn failing_server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let turn = count.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || answer(stream, turn));
        }
    });
    (address, asked)
}

fn answer(mut stream: TcpStream, turn: usize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let content = request["messages"][0]["content"].as_array().unwrap();
    let (text, images) = content.split_last().unwrap();
    assert!(text["text"].is_string());
    assert_eq!(images.len(), usize::from(request["model"] == "served")); // a judge sees none
    for image in images {
        let url = image["image_url"]["url"].as_str().unwrap();
        assert!(url.starts_with("data:image/png;base64,"));
    }
    let good = json!({
        "choices": [{ "message": { "content": "1" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 1 },
    })
    .to_string();
    let told = |status: &str, headers: &str, body: &str, length: usize| {
        format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    };
    let response = match turn {
        0 => told("429 Too Many Requests", "Retry-After: 0\r\n", "slow down", 9),
        1 => told("500 Internal Server Error", "", "oh", 2),
        2 => return std::thread::sleep(Duration::from_secs(20)),
        3 => told("200 OK", "", &good[..10], good.len()),
        4 => told("200 OK", "", "{\"choices\": []}", 15),
        5 => told("200 OK", "", "<html>", 6),
        _ => told("200 OK", "", &good, good.len()),
    };
    let _ = stream.write_all(response.as_bytes());
}

#[test]
fn an_endpoint_that_fails_in_every_way_is_asked_until_it_answers() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), 4);
    let (address, asked) = failing_server();
    let output = folder.path().join("run");
    let (data, output) = (text(folder.path()), text(&output));
    let arguments = [
        "eval",
        "run",
        "chartqa",
        "--data",
        &data,
        "--output",
        &output,
        "--endpoint",
        &address,
        "--model",
        "served",
        "--concurrency",
        "1",
        "--timeout",
        "1",
        "--retries",
        "8",
        "--json",
    ];
    let ended = run(glm4v().args(arguments));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.json_lines()[0]["score"], 1.0);
    assert_eq!(asked.load(Ordering::SeqCst), 6 + 4);

    let judgement = text(&folder.path().join("judgement"));
    let arguments = ["eval", "judge", &output, "--output", &judgement, "--endpoint", &address];
    let judged = run(glm4v().args(arguments).args(["--model", "judge", "--json"]));
    assert_eq!(judged.code, Some(0), "{}", judged.stderr);
    // This judge says `1` to everything, which is no verdict.
    let told = &judged.json_lines()[0];
    assert_eq!((&told["score"], &told["states"]["unparsed"]), (&0.0.into(), &4.into()), "{told}");
    assert!(asked.load(Ordering::SeqCst) > 6 + 4);
}

#[test]
fn an_endpoint_that_is_not_there_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), 12);
    let (data, output) = (text(folder.path()), text(&folder.path().join("run")));
    let arguments = [
        "eval",
        "run",
        "chartqa",
        "--data",
        &data,
        "--output",
        &output,
        "--endpoint",
        "http://127.0.0.1:9/v1",
        "--model",
        "served",
        "--retries",
        "0",
    ];
    let ended = run(glm4v().args(arguments));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("the first 10 questions all failed"), "{}", ended.stderr);
    let wrong = run(glm4v().args([
        "eval",
        "run",
        "chartqa",
        "--data",
        &fixture("none"),
        "--output",
        &output,
    ]));
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("test_human.json"), "{}", wrong.stderr);
}
