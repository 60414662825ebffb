//! Image arguments: where images come from, and their limits.

use crate::{Run, fixture, glm4v_tiny, picture, run};
use std::path::Path;

/// Runs `describe --json` over arguments; gives the names of the images in the results too.
fn names(arguments: &[&str]) -> (Run, Vec<String>) {
    let mut command = glm4v_tiny();
    let run = run(command.args(["describe", "--json", "--max-tokens", "1"]).args(arguments));
    let name = |line: &serde_json::Value| line["image"].as_str().unwrap().to_owned();
    let names = run.json_lines().iter().map(name).collect();
    (run, names)
}

/// A folder with `b.png`, `a.PNG`, `notes.txt` and `below/c.png`.
fn album() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("below")).unwrap();
    for name in ["b.png", "a.PNG", "below/c.png"] {
        std::fs::copy(picture(), folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    folder
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_folder_gives_its_images_and_recursive_those_below() {
    let album = album();
    let folder = album.path().to_str().unwrap();
    let (run, flat) = names(&[folder]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(flat, [path(album.path(), "a.PNG"), path(album.path(), "b.png")]);
    let (_, deep) = names(&[folder, "--recursive"]);
    assert_eq!(deep, [&flat[..], &[path(album.path(), "below/c.png")]].concat());
}

#[test]
fn a_glob_gives_the_files_that_match() {
    let album = album();
    let (run, found) = names(&[&path(album.path(), "**/*.png")]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(found, [path(album.path(), "b.png"), path(album.path(), "below/c.png")]);
}

#[test]
fn what_stands_for_no_image_is_an_error_of_that_input() {
    let empty = tempfile::tempdir().unwrap();
    let (run, names) = names(&[empty.path().to_str().unwrap(), &picture(), "none/*.gif"]);
    assert_eq!((run.code, names.len()), (Some(3), 3));
    assert!(run.stderr.contains("no image files in this folder; --recursive"), "{}", run.stderr);
    assert!(run.stderr.contains("none/*.gif: no file matches"), "{}", run.stderr);
}

#[test]
fn standard_input_is_an_image() {
    let from_file = run(glm4v_tiny().args(["describe", &picture(), "--temperature", "0"]));
    let mut command = glm4v_tiny();
    command.args(["describe", "-", "--temperature", "0"]);
    let from_pipe = run(command.write_stdin(std::fs::read(picture()).unwrap()));
    assert_eq!((from_pipe.code, from_pipe.stdout), (Some(0), from_file.stdout));

    let nothing = run(glm4v_tiny().args(["describe", "-"]).write_stdin(""));
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.stderr.contains("standard input"), "{}", nothing.stderr);
}

#[test]
fn a_bomb_is_refused() {
    let run = run(glm4v_tiny().args(["describe", &fixture("images/bomb.png")]));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("raise the pixel limit"), "{}", run.stderr);
}

#[test]
fn limits_can_be_set() {
    let (run, _) = names(&[&picture(), "--max-pixels", "100"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("more than the limit of 100"), "{}", run.stderr);
    let (run, _) = names(&[&picture(), "--max-bytes", "1kB"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("more than 1000 bytes"), "{}", run.stderr);
}

#[test]
fn alpha_is_laid_on_white_or_dropped() {
    let say = |alpha| {
        let image = fixture("images/rgba.png");
        run(glm4v_tiny().args(["describe", &image, "--alpha", alpha, "--temperature", "0"]))
    };
    let (white, drop) = (say("white"), say("drop"));
    assert_eq!((white.code, drop.code), (Some(0), Some(0)), "{} {}", white.stderr, drop.stderr);
    assert_ne!(white.stdout, drop.stdout);
}

#[cfg(unix)]
#[test]
fn any_file_name_will_do() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    for name in [&b"two words.png"[..], b"page[1].png", b"\xe7\x8c\xab.png", b"old \xe9.png"] {
        let path = folder.path().join(OsStr::from_bytes(name));
        std::fs::copy(picture(), &path).unwrap();
        let mut command = glm4v_tiny();
        let run = run(command.args(["describe", "--json", "--max-tokens", "1"]).arg(&path));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(run.json_lines()[0]["image"], path.display().to_string());
    }
    let (run, names) = names(&[folder.path().to_str().unwrap()]);
    assert_eq!((run.code, names.len()), (Some(0), 4), "{}", run.stderr);
}
