//! The files beside the weights, from a folder and from memory.

use crate::common::folder;
use glm4v_weights::{Files, WeightsError};
use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq)]
struct Config {
    vision: Vision,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Vision {
    depth: usize,
}

const GOOD: &[u8] = br#"{"vision": {"depth": 3, "other": null}}"#;
const BAD: &[u8] = b"{\n  \"vision\": {\n    \"depth\": \"three\"\n  }\n}";
const TWICE: &[u8] = b"{\"vision\": {\"depth\": 3}} {}";
const LATIN: &[u8] = b"caf\xe9";
const FILES: &[(&str, &[u8])] =
    &[("good.json", GOOD), ("bad.json", BAD), ("twice.json", TWICE), ("latin.txt", LATIN)];

#[test]
fn a_folder_and_embedded_bytes_answer_alike() {
    let folder = folder(FILES.iter().copied());
    let place = folder.path().display().to_string();
    for (files, named) in [
        (Files::Folder(folder.path().to_owned()), format!("{place}/")),
        (Files::Embedded(FILES), "built-in ".to_owned()),
    ] {
        assert_eq!(files.describe("bad.json"), format!("{named}bad.json"));
        assert!(files.contains("good.json") && !files.contains("absent.json"));
        assert_eq!(files.read("good.json").unwrap().unwrap(), GOOD);
        assert_eq!(files.read("absent.json").unwrap(), None);
        assert_eq!(files.read_text("absent.json").unwrap(), None);
        assert_eq!(files.read_json::<Config>("absent.json").unwrap(), None);
        let config: Config = files.read_json("good.json").unwrap().unwrap();
        assert_eq!(config, Config { vision: Vision { depth: 3 } });

        let error = files.read_json::<Config>("bad.json").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("{named}bad.json: ")), "{text}");
        assert!(text.contains("line 3") && text.contains("`vision.depth`"), "{text}");
        let WeightsError::BadJson { source, .. } = error else { panic!("{text}") };
        assert!(source.to_string().contains("expected usize"), "{source}");

        let error = files.read_json::<Config>("twice.json").unwrap_err();
        assert!(matches!(error, WeightsError::BadJson { .. }), "{error}");
        let error = files.read_text("latin.txt").unwrap_err();
        assert_eq!(error.to_string(), format!("{named}latin.txt: not UTF-8 text"));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_taken_for_absent() {
    let folder = folder([("config.json", "{}")]);
    std::fs::create_dir(folder.path().join("chat_template.jinja")).unwrap();
    let files = Files::Folder(folder.path().to_owned());
    let error = files.read("chat_template.jinja").unwrap_err();
    assert!(matches!(error, WeightsError::Unreadable { .. }), "{error}");
}

#[test]
fn a_file_with_no_end_is_not_read_to_its_end() {
    let folder = folder([("config.json", "{")]);
    let file = std::fs::File::options().write(true).open(folder.path().join("config.json"));
    file.unwrap().set_len(1 << 36).unwrap();
    let error = Files::Folder(folder.path().to_owned()).read("config.json").unwrap_err();
    assert!(matches!(error, WeightsError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("config.json"), "{error}");
}
