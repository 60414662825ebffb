//! Benchmarks on datasets of a hub of our own. What downloads do is tested in the weights crate.

use crate::hub_server::{COMMIT, Hub, ID};
use crate::{Run, glm4v, picture, run};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// ChartQA as it is published, two questions on a picture, beside files that nobody reads.
fn repository() -> Vec<(String, Vec<u8>)> {
    let row = |query: &str| json!({ "imgname": "a.png", "query": query, "label": "1" });
    let rows = json!([row("What is one?"), row("What is two?")]);
    let picture = std::fs::read(picture()).unwrap();
    let file = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    vec![
        file("README.md", b"not needed"),
        file("test/test_human.json", rows.to_string().as_bytes()),
        file("test/png/a.png", &picture),
        file("train/png/b.png", &picture),
    ]
}

struct Scene {
    hub: Hub,
    home: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { hub: Hub::start_dataset(repository()), home: tempfile::tempdir().unwrap() }
    }

    /// `eval run TASK --data DATA`, with the cache and the runs in this scene's folder.
    fn eval(&self, arguments: [&str; 2], output: &str, offline: bool) -> Run {
        let [task, data] = arguments;
        let mut command = glm4v();
        command.current_dir(self.home.path()).env_remove("HF_TOKEN");
        command.env("HF_HOME", self.home.path()).env("HF_ENDPOINT", self.hub.endpoint());
        command.env("HF_HUB_OFFLINE", if offline { "1" } else { "0" });
        let options = ["--json", "--max-tokens", "8", "--output", output];
        run(command.args(["eval", "run", task, "--data", data]).args(options))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }
}

fn write(folder: &Path, files: Vec<(String, Vec<u8>)>) {
    for (name, bytes) in files {
        std::fs::create_dir_all(folder.join(&name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

#[test]
fn a_dataset_of_the_hub_is_run_as_the_same_files_on_disk() {
    let scene = Scene::new();
    scene.hub.state().break_off.insert("a.png".to_owned(), 100);
    let fetched = scene.eval(["chartqa", ID], "fetched", false);
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
    assert!(fetched.stderr.contains("a.png") && fetched.stderr.contains("retrying"));
    let scores = &fetched.json_lines()[0];
    assert_eq!((&scores["count"], &scores["asked"]), (&json!(2), &json!(2)));
    let log = scene.hub.take_log();
    assert!(log.iter().all(|r| !r.path.contains("README") && !r.path.contains("train")), "{log:?}");
    let snapshot = scene.path("hub/datasets--owner--tiny-model/snapshots").join(COMMIT);
    let manifest = std::fs::read(scene.path("fetched/run.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["data"], json!(snapshot));

    let cached = scene.eval(["chartqa", ID], "cached", true);
    assert_eq!(cached.code, Some(0), "{}", cached.stderr);
    assert!(scene.hub.take_log().is_empty());
    write(&scene.path("folder"), repository());
    assert_eq!(scene.eval(["chartqa", "folder"], "local", false).code, Some(0));
    let scores = |run: &str| std::fs::read(scene.path(run).join("scores.json")).unwrap();
    assert_eq!(scores("cached"), scores("fetched"));
    assert_eq!(scores("local"), scores("fetched"));
}

#[test]
fn a_folder_wins_over_an_id_of_the_same_spelling() {
    let scene = Scene::new();
    let files = repository().into_iter().map(|(name, bytes)| {
        let bytes = if name.ends_with(".json") {
            json!([{ "imgname": "a.png", "query": "What is it?", "label": "1" }]).to_string().into()
        } else {
            bytes
        };
        (name, bytes)
    });
    write(&scene.path(ID), files.collect());
    let local = scene.eval(["chartqa", ID], "run", false);
    assert_eq!(local.code, Some(0), "{}", local.stderr);
    assert_eq!(local.json_lines()[0]["count"], 1);
    assert!(scene.hub.take_log().is_empty());
}

#[test]
fn what_cannot_be_fetched_is_told_with_its_remedy() {
    let scene = Scene::new();
    let told = |arguments: [&str; 2], offline: bool, parts: &[&str]| {
        let run = scene.eval(arguments, "run", offline);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
        for part in parts {
            assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        }
    };
    told(["chartqa", ID], true, &[ID, "not in the cache", "HF_HUB_OFFLINE"]);
    told(["chartqa", "owner/other"], false, &["no such folder", "owner/other", "not found"]);
    told(["chartqa", "owner/tiny-model@v9"], false, &[ID, "revision v9 not found on the hub"]);
    told(["gsm8k", ID], false, &[ID, "no files of this dataset", "test.jsonl"]);
    scene.hub.state().token = Some("secret".to_owned());
    told(["chartqa", ID], false, &[ID, "401", "HF_TOKEN"]);
}

#[test]
fn a_run_without_a_dataset_says_where_to_get_it() {
    let told = |task: &str, part: &str| {
        let run = run(glm4v().args(["eval", "run", task, "--output", "run"]));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
        assert!(run.stderr.contains(part), "{}", run.stderr);
    };
    told("chartqa", "--data lmms-lab/ChartQA");
    told("sroie", "--data DIR");
    let listed = run(glm4v().args(["eval", "list", "--json"])).json_lines();
    let chartqa = listed.iter().find(|task| task["task"] == "chartqa").unwrap();
    assert_eq!(chartqa["hub"], "lmms-lab/ChartQA");
}
