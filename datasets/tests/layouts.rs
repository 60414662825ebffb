//! Layouts as users have them on disk, written by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use glm4v_datasets::{Dataset, DatasetError, ImageSource, Layout, Sample};
use std::fs;
use std::path::Path;

/// Samples or errors of the layout that `toml` declares.
fn read(folder: &Path, toml: &str) -> Vec<Result<Sample, DatasetError>> {
    let layout: Layout = toml::from_str(toml).unwrap();
    Dataset::find(&[layout], folder).unwrap().samples(true).collect()
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// File, row and field of each bad row.
fn told(rows: &[Result<Sample, DatasetError>]) -> Vec<(usize, &str)> {
    let errors = rows.iter().filter_map(|row| row.as_ref().err());
    errors
        .map(|error| match error {
            DatasetError::BadRow { row, field, .. } => (*row, field.as_str()),
            other => panic!("{other}"),
        })
        .collect()
}

const CHARTQA: &str = r#"
name = "published"
format = "json"
files = [{ paths = ["test_human.json", "test/test_human.json"], label = "human", images = "png" }]
fields = { images = ["imgname"], question = "query", references = "label" }
"#;
const GOOD: &str = r#"{"imgname": "a.png", "query": "How \"many\"?", "label": "14"}"#;

#[test]
fn json_rows_come_in_order_with_their_images() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "test/png/a.png", "not looked at");
    write(folder.path(), "test/test_human.json", format!("\u{feff}[{GOOD},\n {GOOD}]"));
    let samples: Vec<_> = read(folder.path(), CHARTQA).into_iter().map(Result::unwrap).collect();
    assert_eq!(samples.len(), 2);
    assert_eq!(
        (samples[1].id.as_str(), samples[1].question.as_str()),
        ("human-1", "How \"many\"?")
    );
    assert_eq!(samples[0].references, ["14"]);
    assert_eq!(samples[0].metadata["split"], "human");
    assert_eq!(samples[0].images, [ImageSource::Path(folder.path().join("test/png/a.png"))]);
}

#[test]
fn a_bad_row_is_named_and_those_behind_it_come() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "png/a.png", "");
    let bad = r#"{"imgname": "a.png", "query": ["How many?"], "label": 14}"#;
    let gone = r#"{"imgname": "gone.png", "query": "?", "label": "1"}"#;
    let out = r#"{"imgname": "../png/a.png", "query": "?", "label": "1"}"#;
    let rows = format!(r#"[{bad}, {gone}, {out}, {{"imgname": "a.png", "query": "?"}}, {GOOD}]"#);
    write(folder.path(), "test_human.json", rows);
    let rows = read(folder.path(), CHARTQA);
    assert_eq!(told(&rows), [(1, "query"), (2, "imgname"), (3, "imgname"), (4, "label")]);
    assert!(rows[4].is_ok());
}

#[test]
fn a_file_that_breaks_off_gives_what_is_before() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "png/a.png", "");
    write(folder.path(), "test_human.json", format!("[{GOOD}, {{\"imgname\""));
    let rows = read(folder.path(), CHARTQA);
    assert!(rows[0].is_ok());
    let error = rows[1].as_ref().unwrap_err();
    assert!(!error.is_one_row() && error.to_string().contains("test_human.json"), "{error}");
    assert_eq!(rows.len(), 2);
}

#[test]
fn json_rows_may_be_in_a_field_or_under_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "docvqa.json",
        r#"{"version": 1.0, "data": [{"q": "a?", "as": ["1", "2"]}]}"#,
    );
    let layout = r#"
name = "DocVQA"
format = "json"
files = [{ paths = ["docvqa.json"] }]
fields = { rows = "data", question = "q", references = "as" }
"#;
    let samples = read(folder.path(), layout);
    assert_eq!(samples[0].as_ref().unwrap().references, ["1", "2"]);
    write(
        folder.path(),
        "opencqa.json",
        r#"{"72": ["x.png", "a?", "long"], "9": ["y.png", "b?", "l"]}"#,
    );
    let layout = r#"
name = "OpenCQA"
format = "json"
files = [{ paths = ["opencqa.json"] }]
fields = { question = "1", references = "2" }
"#;
    let samples = read(folder.path(), layout);
    let sample = samples[1].as_ref().unwrap();
    assert_eq!((sample.id.as_str(), sample.question.as_str()), ("9", "b?"));
}

#[test]
fn a_tsv_cell_may_stand_for_another_rows_image() {
    let folder = tempfile::tempdir().unwrap();
    let image = "QUJD".repeat(16);
    let table = format!(
        "index\timage\tquestion\tanswer\tA\tB\n\
         5\t8\tfirst?\t['x', 'y']\tred\tblue\n\
         8\t{image}\t\"a \"\"quoted\"\" one?\"\tB\tred\tblue\n\
         9\t77\tthird?\tA\tred\tblue\n\
         10\t{image}\tshort\n"
    );
    write(folder.path(), "T.tsv", table);
    let layout = r#"
name = "VLMEvalKit"
format = "tsv"
files = [{ paths = ["*.tsv"] }]
fields = { id = "index", images = ["image"], question = "question", references = "answer", references_form = "literal", options = ["A", "B"] }
"#;
    let rows = read(folder.path(), layout);
    let first = rows[0].as_ref().unwrap();
    assert_eq!(first.images, [ImageSource::Bytes(b"ABC".repeat(16))]);
    assert_eq!(first.references, ["x", "y"]);
    let second = rows[1].as_ref().unwrap();
    assert_eq!(second.question, "a \"quoted\" one?");
    assert_eq!(second.options, ["red", "blue"]);
    assert_eq!(told(&rows), [(3, "image"), (4, "line")]);
}

#[test]
fn jsonl_names_a_broken_line_and_an_index_becomes_a_letter() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "{\"q\": \"?\", \"o\": [\"x\", \"y\"], \"a\": 1, \"t\": 0}\n{broken\n\n{\"q\": \"?\", \"o\": [\"x\"], \"a\": 1}\n";
    write(folder.path(), "t.jsonl", rows);
    let layout = r#"
name = "own"
format = "jsonl"
files = [{ paths = ["t.jsonl"], set = { year = 2026 } }]
fields = { question = "q", references = "a", references_form = "index", options = ["o"] }
keep = { type = "t" }
rename = { type = { "0" = "human" } }
"#;
    let rows = read(folder.path(), layout);
    let sample = rows[0].as_ref().unwrap();
    assert_eq!(sample.references, ["B"]);
    assert_eq!(
        (&sample.metadata["type"], &sample.metadata["year"]),
        (&"human".into(), &2026.into())
    );
    assert_eq!(told(&rows), [(2, "line"), (4, "a")]);
}

#[test]
fn sroie_joins_key_boxes_and_image() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "img/007.jpg", "");
    write(folder.path(), "key/007.json", r#"{"company": "A, B", "total": "1.00"}"#);
    write(folder.path(), "key/008.json", r#"{"company": "C"}"#);
    write(folder.path(), "box/007.csv", "1,2,3,4,5,6,7,8,A, B\n1,2,3,4,5,6,7,8,TOTAL 1.00\n");
    let layout = r#"
name = "SROIE"
format = "sroie"
files = [{ paths = ["key/*.json"], images = "../img" }]
fields = { id = "id", images = ["image"], references = "text" }
keep = { key = "key" }
"#;
    let rows = read(folder.path(), layout);
    let sample = rows[0].as_ref().unwrap();
    assert_eq!(sample.references, ["A, B\nTOTAL 1.00"]);
    assert_eq!(sample.metadata["key"]["company"], "A, B");
    assert_eq!(told(&rows), [(1, "image")]);
}

#[test]
fn words_come_with_commas_or_tabs_and_quotes() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "w/1.png", "");
    write(folder.path(), "gt.txt", "\u{feff}1.png, \"Yes, we \\\"can\\\"\"\n1.png\ttab\n\nnone\n");
    let layout = r#"
name = "words"
format = "words"
files = [{ paths = ["gt.txt"], images = "w" }]
fields = { images = ["image"], references = "text" }
"#;
    let rows = read(folder.path(), layout);
    assert_eq!(rows[0].as_ref().unwrap().references, ["Yes, we \"can\""]);
    assert_eq!(rows[1].as_ref().unwrap().references, ["tab"]);
    assert_eq!(told(&rows), [(4, "line")]);
}

#[test]
fn a_folder_without_the_dataset_says_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let layout: Layout = toml::from_str(CHARTQA).unwrap();
    let error = Dataset::find(&[layout], folder.path()).unwrap_err();
    assert!(error.to_string().contains("test/test_human.json"), "{error}");
}

#[test]
fn of_layouts_with_the_same_files_the_one_whose_fields_are_there_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "t.jsonl", "{\"query\": \"?\"}\n");
    let layout = |name: &str, field: &str| -> Layout {
        let text = format!(
            "name = \"{name}\"\nformat = \"jsonl\"\nfiles = [{{ paths = [\"*.jsonl\"] }}]\nfields = {{ question = \"{field}\" }}"
        );
        toml::from_str(&text).unwrap()
    };
    let find =
        |layouts: &[Layout]| Dataset::find(layouts, folder.path()).unwrap().layout().name.clone();
    assert_eq!(find(&[layout("one", "question"), layout("two", "query")]), "two");
    assert_eq!(find(&[layout("one", "question"), layout("two", "q")]), "one");
}
