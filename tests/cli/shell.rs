//! What shells and readers get: completions, manual pages, help.

use crate::{glm4v, run};

/// Every command, as `glm4v help` takes it.
fn commands() -> Vec<String> {
    let run = run(glm4v().arg("--help"));
    assert_eq!(run.code, Some(0));
    let list = run.stdout.split_once("Commands:\n").unwrap().1;
    let list = list.split("\n\n").next().unwrap();
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(first).filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_help_with_examples() {
    let commands = commands();
    assert!(commands.len() >= 11, "{commands:?}");
    for command in commands {
        let run = run(glm4v().args(["help", &command]));
        assert_eq!(run.code, Some(0), "{command}");
        let examples = run.stdout.split_once("Examples:\n").map(|(_, rest)| rest);
        let named = format!("glm4v {command}");
        assert!(examples.is_some_and(|text| text.contains(&named)), "{command}: {}", run.stdout);
    }
}

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let commands = commands();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = run(glm4v().args(["completions", shell]));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{shell}");
        for command in &commands {
            assert!(run.stdout.contains(command.as_str()), "{shell} {command}");
        }
    }
    assert_eq!(run(glm4v().args(["completions", "tcsh"])).code, Some(2));
}

#[test]
fn every_command_gets_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let run = run(glm4v().args(["man", pages.to_str().unwrap()]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for command in commands() {
        let page = std::fs::read_to_string(pages.join(format!("glm4v-{command}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains("Examples:"), "{command}");
    }
    assert!(pages.join("glm4v.1").is_file());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let run = run(glm4v().args(["man", file.to_str().unwrap()]));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains(file.to_str().unwrap()), "{}", run.stderr);
}
