//! `describe`: the main job, batches, and how they end.

use crate::{fixture, glm4v, glm4v_tiny, picture, run, tiny};

#[test]
fn the_built_in_model_answers_and_says_what_it_can_do() {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/images/bars.png");
    let run = run(glm4v().args(["describe", chart, "--max-tokens", "8"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.ends_with('\n'));
    assert_eq!(run.stderr.matches("built-in nano model").count(), 1, "{}", run.stderr);
}

#[test]
fn a_model_with_a_recurrent_state_describes() {
    let (model, page) = (fixture("goldens/glm5_next"), fixture("goldens/glm5_next/page.png"));
    let run = run(glm4v().args(["describe", "--model", &model, &page, "--max-tokens", "8"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(!run.stdout.trim().is_empty());
}

#[test]
fn quiet_leaves_standard_error_empty() {
    let mut command = glm4v();
    let run = run(command.args(["describe", &picture(), &picture(), "--max-tokens", "4", "-q"]));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn verbose_tells_model_and_times() {
    let run = run(glm4v_tiny().args(["describe", &picture(), "--max-tokens", "4", "-v"]));
    assert!(run.stderr.contains("context 2048 tokens"), "{}", run.stderr);
    assert!(run.stderr.contains("prefill"), "{}", run.stderr);
}

#[test]
fn several_images_have_a_header_each_and_one_has_none() {
    let (one, two) = (picture(), fixture("goldens/glm4v/two_images_0.png"));
    let greedy = ["--max-tokens", "6", "--temperature", "0"];
    let alone = run(glm4v_tiny().args(["describe", &one]).args(greedy));
    let both = run(glm4v_tiny().args(["describe", &one, &two]).args(greedy));
    assert!(!alone.stdout.contains("==>"));
    let expected = format!("==> {one} <==\n{}\n==> {two} <==\n", alone.stdout);
    assert!(both.stdout.starts_with(&expected), "{} / {expected}", both.stdout);
}

#[test]
fn a_bad_image_in_a_batch_is_told_and_the_others_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.png");
    std::fs::write(&text, "Dear reader,\nthis is no picture.\n").unwrap();
    let text = text.to_str().unwrap();
    let arguments = ["describe", &picture(), text, "missing.png", &picture()];
    let run = run(glm4v_tiny().args(arguments).args(["--json", "--max-tokens", "4"]));
    assert_eq!(run.code, Some(3));
    let lines = run.json_lines();
    let failed: Vec<bool> = lines.iter().map(|line| line.get("error").is_some()).collect();
    assert_eq!(failed, [false, true, true, false]);
    assert!(lines[1]["error"].as_str().unwrap().contains("text"), "{}", lines[1]);
    assert!(run.stderr.contains(&format!("error: {text}: not an image")), "{}", run.stderr);
    assert!(run.stderr.contains("error: missing.png: cannot be read"), "{}", run.stderr);
}

#[test]
fn a_job_with_no_good_image_fails_and_loads_no_model() {
    let run = run(glm4v().args(["describe", "--model", "owner/absent", "a.png", "b.png"]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(!run.stderr.contains("owner/absent"), "{}", run.stderr);
}

#[test]
fn models_that_are_not_there_are_told_with_a_remedy() {
    let unknown = run(glm4v().args(["describe", &picture(), "--model", "gpt"]));
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("glm-4.1v"), "{}", unknown.stderr);
    let offline = run(glm4v().args(["describe", &picture(), "--model", "zai-org/GLM-OCR"]));
    assert_eq!(offline.code, Some(1));
    assert!(offline.stderr.contains("HF_HUB_OFFLINE"), "{}", offline.stderr);
    let folder = run(glm4v().args(["describe", &picture(), "--model", "./nowhere"]));
    assert_eq!(folder.code, Some(1));
    assert!(folder.stderr.contains("nowhere: not a folder"), "{}", folder.stderr);
}

#[test]
fn the_option_goes_before_the_variable() {
    let command = &mut glm4v();
    command.env("GLM4V_MODEL", "./nowhere");
    let run = run(command.args(["describe", &picture(), "--model", &tiny(), "--max-tokens", "2"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    for arguments in [
        &["describe"][..],
        &["describe", "a.png", "--temperature", "-1"],
        &["describe", "a.png", "--top-p", "0"],
        &["describe", "a.png", "--device", "gpu"],
        &["describe", "a.png", "--max-memory", "lots"],
        &["describe", "a.png", "--think", "--no-think"],
        &["describe", "a.png", "--quiet", "--verbose"],
        &["describe", "https://example.org/a.png"],
        &["describe", "-", "-"],
        &["describe", "a.png", "--mmproj", "mmproj.gguf"],
        &["paint", "a.png"],
        &["ask", "a.png"],
    ] {
        let run = run(glm4v().args(arguments));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(run.stderr.contains("error: "), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn a_seed_repeats_a_draw_and_zero_temperature_needs_none() {
    let say = |options: &[&str]| {
        let arguments = ["describe", &picture(), "--max-tokens", "12"];
        run(glm4v_tiny().args(arguments).args(options)).stdout
    };
    let hot = ["--temperature", "2", "--top-k", "1000", "--top-p", "1", "--seed"];
    assert_eq!(say(&[&hot[..], &["7"]].concat()), say(&[&hot[..], &["7"]].concat()));
    assert_ne!(say(&[&hot[..], &["7"]].concat()), say(&[&hot[..], &["8"]].concat()));
    assert_eq!(say(&["--temperature", "0"]), say(&["--temperature", "0"]));
}

#[test]
fn a_stop_text_ends_the_answer_before_it() {
    let greedy = ["--json", "--temperature", "0", "--max-tokens", "16"];
    let whole = run(glm4v_tiny().args(["describe", &picture()]).args(greedy));
    let text = whole.json_lines()[0]["text"].as_str().unwrap().to_owned();
    let stop: String = text.chars().skip(3).take(2).collect();
    let cut = run(glm4v_tiny().args(["describe", &picture(), "--stop", &stop]).args(greedy));
    let cut = &cut.json_lines()[0];
    assert_eq!(cut["text"].as_str().unwrap(), text.split_once(&stop).unwrap().0.trim_end());
    assert_eq!(cut["finish_reason"], "stop");
}

#[test]
fn weights_beyond_the_memory_limit_are_refused() {
    let run = run(glm4v_tiny().args(["describe", &picture(), "--max-memory", "0"]));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("MiB"), "{}", run.stderr);
}

#[test]
fn threads_and_types_can_be_chosen() {
    let options = ["--threads", "1", "--dtype", "bf16", "--max-tokens", "2", "-v"];
    let run = run(glm4v_tiny().args(["describe", &picture()]).args(options));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("bf16"), "{}", run.stderr);
}

/// `/dev/full` takes nothing, as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_job() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(glm4v_tiny().get_program())
        .env("GLM4V_MODEL", tiny())
        .args(["describe", "-q", &picture(), &picture(), "--max-tokens", "4"])
        .stdout(full)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told.matches("error: ").count(), 1, "{told}");
}
