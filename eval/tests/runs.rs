//! Runs with an answerer that knows no model.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use glm4v_eval::answerer::{AnswerError, Answerer, AnswererCard, Finish, Question, Reply};
use glm4v_eval::compare::{Reason, Reasons, Side, compare};
use glm4v_eval::export::{ExportForm, export};
use glm4v_eval::judge::judge;
use glm4v_eval::rescore::rescore_all_variants;
use glm4v_eval::run::{Outcome, RunFolder, RunOptions, Selection, Shard, merge, run};
use glm4v_eval::task::Task;
use glm4v_eval::{EvalError, State};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers by what the prompt says, and counts how often it was asked.
struct Fake {
    card: AnswererCard,
    asked: AtomicUsize,
    /// Interrupts from this question on.
    until: usize,
}

impl Fake {
    fn new(until: usize) -> Self {
        let card = AnswererCard { name: "fake".into(), digest: "1".into(), ..Default::default() };
        Self { card, asked: AtomicUsize::new(0), until }
    }
}

impl Answerer for Fake {
    fn card(&self) -> &AnswererCard {
        &self.card
    }

    fn answer(&self, question: &Question<'_>) -> Result<Reply, AnswerError> {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= self.until {
            return Err(AnswerError::Interrupted);
        }
        let first = question.prompt.lines().next().unwrap_or_default();
        let (text, finish) = match first {
            "slow" => return Err(AnswerError::Timeout("10 s".into())),
            "long" => ("1", Finish::Length),
            "think" => ("<think>well", Finish::Stop),
            "refuse" => ("I'm sorry, but I cannot.", Finish::Stop),
            "spaces" => (" Yes", Finish::Stop),
            other => (other, Finish::Stop),
        };
        Ok(Reply { text: text.into(), finish, ..Default::default() })
    }
}

/// ChartQA with these questions; the right answer is always 1, or Yes where spaces are asked for.
fn dataset(folder: &Path, questions: &[&str]) {
    fs::create_dir_all(folder.join("png")).unwrap();
    let row = |(at, question): (usize, &&str)| {
        fs::write(folder.join(format!("png/{at}.png")), format!("image {at}")).unwrap();
        let label = if *question == "spaces" { "Yes" } else { "1" };
        serde_json::json!({ "imgname": format!("{at}.png"), "query": question, "label": label })
    };
    let rows: Vec<_> = questions.iter().enumerate().map(row).collect();
    fs::write(folder.join("test_human.json"), serde_json::to_vec(&rows).unwrap()).unwrap();
}

fn task() -> Task {
    Task::find("chartqa").unwrap()
}

fn go(data: &Path, output: &Path, fake: &Fake) -> Result<Outcome, EvalError> {
    run(&task(), fake, &RunOptions::new(data, output), &|_| {})
}

#[test]
fn failures_are_told_from_wrong_answers() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &["1", "2", "slow", "long", "think", "refuse"]);
    let output = folder.path().join("run");
    let scores = go(folder.path(), &output, &Fake::new(100)).unwrap().scores;
    let states: Vec<State> = scores.items.iter().map(|item| item.state).collect();
    use State::{Answered, Refused, TimedOut, Truncated, UnclosedThinking};
    assert_eq!(states, [Answered, Answered, TimedOut, Truncated, UnclosedThinking, Refused]);
    assert_eq!((scores.all.count, scores.all.score), (6, Some(2.0 / 6.0)));
    assert_eq!((scores.answered.count, scores.answered.score), (2, Some(0.5)));
    assert_eq!(scores.breakdown["split"]["human"].all.count, 6);
    // The one that timed out is asked again, and nothing else.
    let again = Fake::new(100);
    go(folder.path(), &output, &again).unwrap();
    assert_eq!(again.asked.into_inner(), 1);
}

#[test]
fn a_run_goes_on_where_it_stopped_and_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &["1", "2", "1", "3", "1", "4", "1"]);
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    go(folder.path(), &whole, &Fake::new(100)).unwrap();
    let interrupted = go(folder.path(), &broken, &Fake::new(3));
    assert!(matches!(interrupted, Err(EvalError::Interrupted)));
    // What a crash in the middle of a line leaves.
    let log = broken.join("responses.jsonl");
    let mut text = fs::read_to_string(&log).unwrap();
    text += "{\"index\":3,\"id\":\"hum";
    fs::write(&log, text).unwrap();
    let rest = Fake::new(100);
    go(folder.path(), &broken, &rest).unwrap();
    assert_eq!(rest.asked.into_inner(), 4);
    let ids: Vec<String> = RunFolder::open(&broken)
        .unwrap()
        .responses()
        .unwrap()
        .into_iter()
        .map(|response| response.id)
        .collect();
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 7);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 7);
    let scores = |run: &Path| fs::read(run.join("scores.json")).unwrap();
    assert_eq!(scores(&whole), scores(&broken));
    let page = fs::read_to_string(whole.join("report.html")).unwrap();
    assert!(page.contains("human-6") && !page.contains("{{data}}"));
}

#[test]
fn nothing_is_asked_twice() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &["1", "1", "2"]);
    fs::write(folder.path().join("png/1.png"), "image 0").unwrap();
    let fake = Fake::new(100);
    let options =
        RunOptions { concurrency: 3, ..RunOptions::new(folder.path(), folder.path().join("run")) };
    let outcome = run(&task(), &fake, &options, &|_| {}).unwrap();
    assert_eq!((fake.asked.into_inner(), outcome.scores.all.count), (2, 3));
}

#[test]
fn another_run_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &["1"]);
    let output = folder.path().join("run");
    go(folder.path(), &output, &Fake::new(100)).unwrap();
    let options =
        RunOptions { preset: "lmms-eval".into(), ..RunOptions::new(folder.path(), &output) };
    let error = run(&task(), &Fake::new(100), &options, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("preset"), "{error}");
}

#[test]
fn shards_join_to_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &["1", "2", "1", "3", "1"]);
    let whole = folder.path().join("whole");
    let selection = Selection { sample: Some(4), seed: 7, ..Default::default() };
    let options = |output: &str, shard| RunOptions {
        selection: selection.clone(),
        shard,
        ..RunOptions::new(folder.path(), folder.path().join(output))
    };
    run(&task(), &Fake::new(100), &options("whole", None), &|_| {}).unwrap();
    let parts: Vec<RunFolder> = (1..=2)
        .map(|part| {
            let name = format!("part{part}");
            let options = options(&name, Some(Shard { part, parts: 2 }));
            run(&task(), &Fake::new(100), &options, &|_| {}).unwrap();
            RunFolder::open(folder.path().join(name)).unwrap()
        })
        .collect();
    let joined = folder.path().join("joined");
    merge(&parts, &joined).unwrap();
    let scores = |run: &Path| fs::read(run.join("scores.json")).unwrap();
    assert_eq!(scores(&whole), scores(&joined));
    let page = fs::read_to_string(joined.join("report.html")).unwrap();
    assert!(page.contains("relaxed_accuracy:vlmevalkit"));
    // What a missing part leaves out can be told from the run.
    let half = folder.path().join("half");
    merge(&parts[..1], &half).unwrap();
    let manifest = RunFolder::open(half).unwrap().manifest().unwrap();
    assert_eq!((manifest.asked, manifest.samples), (2, 4));
}

#[test]
fn right_or_wrong_has_wilsons_interval() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &["2"; 20]);
    let scores = go(folder.path(), &folder.path().join("run"), &Fake::new(100)).unwrap().scores;
    // None of twenty: 0 to z² / (20 + z²), and not a point as by bootstrap.
    let (low, high) = scores.all.interval.unwrap();
    assert_eq!(scores.all.score, Some(0.0));
    assert!(low == 0.0 && (high - 0.161_125).abs() < 1e-5, "{low} {high}");
}

#[test]
fn variants_and_runs_are_held_against_each_other() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &["1", "spaces", "2"]);
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    go(folder.path(), &first, &Fake::new(100)).unwrap();
    let first = RunFolder::open(first).unwrap();
    let mut plain = task();
    plain.scoring.extract = glm4v_eval::task::Extraction::None;
    plain.scoring.metric = "relaxed_accuracy:lmms_eval".into();
    run(&plain, &Fake::new(100), &RunOptions::new(folder.path(), &second), &|_| {}).unwrap();
    let second = RunFolder::open(second).unwrap();
    // Only the variant that does not trim finds ` Yes` wrong.
    let rescored = rescore_all_variants(&second).unwrap();
    assert_eq!(rescored.differing.len(), 1);
    assert_eq!(rescored.differing[0].id, "human-1");
    let sides = [&first, &second].map(|run| Side::of_run(run).unwrap());
    let comparison = compare(&sides[0], &sides[1]).unwrap();
    assert_eq!((comparison.count, comparison.changed.len()), (3, 1));
    assert!((comparison.all.difference + 1.0 / 3.0).abs() < 1e-12);
    assert!(comparison.causes.iter().any(|cause| cause.contains("relaxed_accuracy:lmms_eval")));
    // The same reply, out of which another answer was taken.
    assert_eq!(comparison.changed[0].reason, Reason::Extraction);
    assert_eq!((comparison.reasons.reply, comparison.reasons.extraction), (0, 1));
}

#[test]
fn a_run_is_held_against_files_of_other_harnesses() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &["1", "spaces", "2"]);
    let run = folder.path().join("run");
    go(folder.path(), &run, &Fake::new(100)).unwrap();
    let run = RunFolder::open(run).unwrap();
    let side = Side::of_run(&run).unwrap();
    for form in [ExportForm::LmmsEval, ExportForm::Vlmevalkit] {
        let files = export(&run, form, folder.path()).unwrap();
        let file = files.iter().find(|file| !file.ends_with("glm4v_results.json")).unwrap();
        let same = compare(&side, &Side::open(file).unwrap()).unwrap();
        assert_eq!((same.count, same.unpaired, same.changed.len()), (3, (0, 0), 0), "{form:?}");
        let Reasons { prompt, reply, extraction, metric, .. } = same.reasons;
        // VLMEvalKit's files have no raw reply, so that the trimmed one stands for it.
        let trimmed = usize::from(form == ExportForm::Vlmevalkit);
        assert_eq!((prompt, reply, extraction, metric), (0, trimmed, 0, 0), "{form:?}");
    }
    // Another score for the first answer, and another answer to the third question.
    let file = folder.path().join("fake/glm4v_samples_chartqa.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replacen("\"relaxed_overall\":1.0", "\"relaxed_overall\":0.0", 1);
    let text =
        text.replace("\"resps\":[\"2\"],\"filtered_resps\":\"2\"", "\"filtered_resps\":\"1\"");
    fs::write(&file, text).unwrap();
    let other = compare(&side, &Side::open(&file).unwrap()).unwrap();
    assert_eq!(other.reasons.metric, 1);
    assert_eq!((other.changed.len(), other.changed[0].scores), (1, (0.0, 1.0)));
    assert_eq!(other.changed[0].reason, Reason::Reply);
}

#[test]
fn samples_are_paired_by_what_they_ask_where_ids_differ() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &["1", "spaces", "2"]);
    let run = folder.path().join("run");
    go(folder.path(), &run, &Fake::new(100)).unwrap();
    let side = Side::of_run(&RunFolder::open(run).unwrap()).unwrap();
    let file = folder.path().join("x_ChartQA_TEST.json");
    let rows = serde_json::json!([
        { "index": 7, "question": "2", "answer": "1", "prediction": "1.02" },
        { "index": 8, "question": "other", "answer": "1", "prediction": "1" },
    ]);
    fs::write(&file, rows.to_string()).unwrap();
    let found = compare(&side, &Side::open(&file).unwrap()).unwrap();
    assert_eq!((found.count, found.unpaired), (1, (2, 1)));
    assert_eq!(found.changed[0].ids, ("human-2".to_owned(), "7".to_owned()));
    assert_eq!(found.changed[0].scores, (0.0, 1.0));
    let error = Side::open(&folder.path().join("png/0.png")).unwrap_err().to_string();
    assert!(error.contains(".jsonl") && error.contains(".xlsx"), "{error}");
}

/// Judges by what stands between the marks of the answer, and counts how often it was asked.
struct Judge(AnswererCard, AtomicUsize);

impl Answerer for Judge {
    fn card(&self) -> &AnswererCard {
        &self.0
    }

    fn answer(&self, question: &Question<'_>) -> Result<Reply, AnswerError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        assert!(question.images.is_empty() && question.prompt.contains("<right>1</right>"));
        let (_, after) = question.prompt.split_once("<answer>\n").unwrap();
        let text = match after.split_once("\n</answer>").unwrap().0 {
            "1" => r#"It is. {"extracted_answer": "1", "score": 1}"#,
            "" => "There is none.",
            _ => r#"{"extracted_answer": "other", "score": 0}"#,
        };
        Ok(Reply { text: text.into(), ..Default::default() })
    }
}

#[test]
fn a_judgement_is_a_run_over_the_answers_of_another() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &["1", "2", "slow", "long"]);
    let output = folder.path().join("run");
    go(folder.path(), &output, &Fake::new(100)).unwrap();
    let judged = RunFolder::open(&output).unwrap();
    let options = RunOptions::new("", folder.path().join("judgement"));
    let asks = || Judge(AnswererCard { name: "judge".into(), ..Default::default() }, 0.into());
    let first = asks();
    let scores = judge(&judged, &first, &options, None, &|_| {}).unwrap().scores;
    assert_eq!(first.1.into_inner(), 4);
    let given: Vec<Option<f64>> = scores.items.iter().map(|item| item.score).collect();
    assert_eq!(given, [Some(1.0), Some(0.0), Some(0.0), Some(1.0)]);
    assert_eq!(scores.items[2].state, State::Unparsed);
    assert_eq!(scores.items[0].detail["extracted"], "1");
    assert_eq!((scores.task.as_str(), scores.all.score), ("chartqa-judged", Some(0.5)));
    assert_eq!(scores.breakdown["model"]["fake"].all.count, 4);
    assert_eq!(scores.breakdown["split"]["human"].all.count, 4);
    let ids = |folder: &RunFolder| -> Vec<String> {
        folder.scores().unwrap().items.into_iter().map(|item| item.id).collect()
    };
    assert_eq!(ids(&RunFolder::open(&options.output).unwrap()), ids(&judged));
    // What was judged is not asked again, and another prompt is another judgement.
    let again = asks();
    judge(&judged, &again, &options, None, &|_| {}).unwrap();
    assert_eq!(again.1.into_inner(), 0);
    let other = judge(&judged, &asks(), &options, Some("{{ meta.answer }}"), &|_| {});
    assert!(matches!(other, Err(EvalError::OtherRun { .. })));
    // The folder of the run that is judged is left as it is.
    let own = RunOptions::new("", &output);
    let refused = judge(&judged, &asks(), &own, None, &|_| {});
    assert!(matches!(refused, Err(EvalError::OtherRun { .. })));
    assert!(!judged.file("judged.jsonl").exists());
}
