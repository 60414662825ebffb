//! `ask`: several images together or each.

use crate::{fixture, glm4v_tiny, picture, run};

#[test]
fn several_images_are_seen_together() {
    let (one, two) = (fixture("goldens/glm4v/two_images_0.png"), picture());
    let command = &mut glm4v_tiny();
    command.args(["ask", &one, &two, "-p", "Which is larger?", "--json", "--max-tokens", "3"]);
    let run = run(command);
    let lines = run.json_lines();
    assert_eq!((run.code, lines.len()), (Some(0), 1), "{}", run.stderr);
    assert_eq!(lines[0]["image"], serde_json::json!([one, two]));
    assert_eq!(lines[0]["prompt"], "Which is larger?");
    assert_eq!(lines[0]["tokens"]["completion"], 3);
}

#[test]
fn each_image_is_asked_about_in_turn() {
    let images = [picture(), "missing.png".to_owned()];
    let command = &mut glm4v_tiny();
    command.args(["ask", "--each", "-p", "What?", "--json", "--max-tokens", "3"]).args(&images);
    let run = run(command);
    let lines = run.json_lines();
    assert_eq!((run.code, lines.len()), (Some(3), 2), "{}", run.stderr);
    assert_eq!(lines[0]["image"], images[0].as_str());
    assert!(lines[1]["error"].as_str().unwrap().starts_with("missing.png: "));
}

#[test]
fn one_bad_image_among_those_seen_together_fails_the_job() {
    let command = &mut glm4v_tiny();
    let run = run(command.args(["ask", &picture(), "missing.png", "-p", "What?", "--json"]));
    assert_eq!(run.code, Some(1));
    let lines = run.json_lines();
    assert_eq!(lines[0]["image"], serde_json::json!([picture(), "missing.png"]));
    assert!(lines[0]["error"].as_str().unwrap().contains("missing.png"));
}

#[test]
fn a_system_message_is_part_of_the_prompt() {
    let rows = |system: &[&str]| {
        let arguments = ["ask", &picture(), "-p", "What?", "--json", "--max-tokens", "1"];
        let run = run(glm4v_tiny().args(arguments).args(system));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.json_lines()[0]["tokens"]["prompt"].as_u64().unwrap()
    };
    assert!(rows(&["--system", "Be brief."]) > rows(&[]));
}

#[test]
fn a_text_model_says_that_it_has_no_eyes() {
    let model = fixture("goldens/glm4");
    let run = run(glm4v_tiny().args(["ask", &picture(), "-p", "What?", "--model", &model]));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("text model"), "{}", run.stderr);
}

#[test]
fn glm_4v_9b_takes_one_image_and_says_so() {
    let model = fixture("goldens/glm4v_9b");
    let arguments = ["ask", &picture(), &picture(), "-p", "What?", "--max-tokens", "2"];
    let together = run(glm4v_tiny().args(arguments).args(["--model", &model]));
    assert_eq!(together.code, Some(1));
    assert!(together.stderr.contains("--each"), "{}", together.stderr);
    let each = run(glm4v_tiny().args(arguments).args(["--model", &model, "--each"]));
    assert_eq!(each.code, Some(0), "{}", each.stderr);
}
