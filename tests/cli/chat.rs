//! `chat`, with its turns from a pipe.

use crate::{glm4v_tiny, picture, run};

#[test]
fn turns_come_from_standard_input_and_keep_their_history() {
    let turns = format!("What is this?\n\n/image {}\nAnd this?\n/quit\nnever sent\n", picture());
    let command = &mut glm4v_tiny();
    command.args(["chat", &picture(), "--json", "--max-tokens", "3"]);
    let run = run(command.write_stdin(turns));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines = run.json_lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["prompt"], &lines[1]["prompt"]),
        (&"What is this?".into(), &"And this?".into())
    );
    assert_eq!((&lines[0]["image"], &lines[1]["image"]), (&picture().into(), &picture().into()));
    let image_tokens = |turn: usize| lines[turn]["tokens"]["image"].as_u64().unwrap();
    assert_eq!(image_tokens(1), 2 * image_tokens(0));
}

#[test]
fn a_turn_without_images_has_none() {
    let command = &mut glm4v_tiny();
    let run = run(command.args(["chat", "--json", "--max-tokens", "2"]).write_stdin("hello"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.json_lines()[0]["image"].is_null());
}

#[test]
fn what_fails_is_told_and_the_conversation_goes_on() {
    let turns = "/image missing.png\n/paint\nhello\n";
    let command = &mut glm4v_tiny();
    let run = run(command.args(["chat", "--max-tokens", "2"]).write_stdin(turns));
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.contains("missing.png: cannot be read"), "{}", run.stderr);
    assert!(run.stderr.contains("/paint is not known"), "{}", run.stderr);
    assert!(!run.stdout.is_empty());
}

#[test]
fn standard_input_holds_the_turns_and_no_image() {
    let refused = run(glm4v_tiny().args(["chat", "-"]).write_stdin("hello\n"));
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    assert!(refused.stderr.contains("holds the turns"), "{}", refused.stderr);
    let mut command = glm4v_tiny();
    let later = run(command.args(["chat", "--max-tokens", "2"]).write_stdin("/image -\nhello\n"));
    assert_eq!(later.code, Some(3), "{}", later.stderr);
    assert!(later.stderr.contains("holds the turns") && !later.stdout.is_empty());
}

#[test]
fn a_line_that_is_no_text_costs_its_own_turn() {
    let command = &mut glm4v_tiny();
    command.args(["chat", "--json", "--max-tokens", "2"]);
    let run = run(command.write_stdin(&b"caf\xe9?\nhello\n"[..]));
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("standard input"), "{}", run.stderr);
    assert_eq!(run.json_lines()[0]["prompt"], "hello");
}
