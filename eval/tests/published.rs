//! Annotation files with a folder of images, in the forms of their authors, through the tasks'
//! own layouts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use glm4v_datasets::{Dataset, DatasetError, ImageSource, Sample};
use glm4v_eval::task::Task;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// The layout that a task finds in a folder, its samples, and file, row and field of bad rows.
fn read(task: &str, folder: &Path) -> (String, Vec<Sample>, Vec<(String, usize, String)>) {
    let dataset = Dataset::find(&Task::find(task).unwrap().layout, folder).unwrap();
    let (mut samples, mut bad) = (Vec::new(), Vec::new());
    for row in dataset.samples(true) {
        match row {
            Ok(sample) => samples.push(sample),
            Err(DatasetError::BadRow { file, row, field, .. }) => {
                bad.push((file.file_name().unwrap().to_string_lossy().into_owned(), row, field));
            }
            Err(other) => panic!("{other}"),
        }
    }
    (dataset.layout().name.clone(), samples, bad)
}

fn told(file: &str, row: usize, field: &str) -> (String, usize, String) {
    (file.to_owned(), row, field.to_owned())
}

fn image(folder: &Path, name: &str) -> Vec<ImageSource> {
    vec![ImageSource::Path(folder.join(name))]
}

#[test]
fn ai2d_has_a_file_of_questions_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let asked = |id: &str, letters: bool, right: usize| {
        json!({"abcLabel": letters, "answerTexts": ["ears", "nose", "mouth", "face"],
               "correctAnswer": right, "questionId": id})
    };
    let page = |name: &str, questions: Value| json!({"imageName": name, "questions": questions});
    let questions = json!({"What is A in the diagram?": asked("0.png-0", true, 3),
                           "What hears?": asked("0.png-1", false, 0)});
    write(root, "questions/0.png.json", page("0.png", questions).to_string());
    let questions = json!({"Who?": asked("7.png-0", false, 9), "X?": asked("7.png-1", true, 1)});
    write(root, "questions/7.png.json", page("7.png", questions).to_string());
    write(root, "questions/8.png.json", json!({"questions": {}}).to_string());
    write(root, "questions/9.png.json", page("9.png", json!({"A?": {}})).to_string());
    for name in ["images/0.png", "images/7.png", "images/9.png", "abc_images/0.png"] {
        write(root, name, name);
    }
    let (layout, samples, mut bad) = read("ai2d", root);
    assert_eq!((layout.as_str(), samples.len()), ("published", 2));
    let of = |id: &str| samples.iter().find(|sample| sample.id == id).unwrap();
    assert_eq!(of("0.png-0").references, ["D"]);
    let found = fs::read(match &of("0.png-0").images[0] {
        ImageSource::Path(path) => path,
        ImageSource::Bytes(_) => panic!("a path"),
    });
    assert_eq!(found.unwrap(), b"abc_images/0.png");
    assert_eq!((of("0.png-1").question.as_str(), of("0.png-1").options.len()), ("What hears?", 4));
    bad.sort();
    assert_eq!(
        bad,
        [
            told("7.png.json", 1, "correctAnswer"),
            told("7.png.json", 2, "image"),
            told("8.png.json", 1, "imageName"),
            told("9.png.json", 1, "questionId"),
        ]
    );
    // With the list of the test set only its images are read.
    write(root, "ai2d_test_ids.csv", "0\n12\n");
    write(root, "questions/8.png.json", page("8.png", json!({})).to_string());
    let (_, samples, bad) = read("ai2d", root);
    assert_eq!((samples.len(), bad.len()), (2, 0));
}

#[test]
fn seed_bench_has_a_list_of_questions_in_an_object() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let row = |id: &str, image: &str| {
        json!({"answer": "C", "choice_a": "One", "choice_b": "Two", "choice_c": "Three",
               "choice_d": "Four", "data_id": image, "data_type": "Single Image",
               "question": "How many towels?", "question_id": id, "question_image_type": "chart",
               "question_type_id": 1})
    };
    let mut mute = row("3", "a.png");
    mute.as_object_mut().unwrap().remove("question");
    let rows = [row("1", "a.png"), row("2", "gone.png"), mute];
    let file = json!({"questions": rows, "question_type": {"Chart": 1}});
    write(root, "SEED-Bench-2-plus-text-rich.json", file.to_string());
    write(root, "SEED-Bench-2-plus-image/a.png", "image");
    let (layout, samples, bad) = read("seedbench2plus", root);
    assert_eq!((layout.as_str(), samples.len()), ("published", 1));
    assert_eq!((samples[0].id.as_str(), &*samples[0].references[0]), ("1", "C"));
    assert_eq!(samples[0].options, ["One", "Two", "Three", "Four"]);
    assert_eq!(samples[0].metadata["type"], "chart");
    assert_eq!(samples[0].images, image(root, "SEED-Bench-2-plus-image/a.png"));
    let file = "SEED-Bench-2-plus-text-rich.json";
    assert_eq!(bad, [told(file, 2, "data_id"), told(file, 3, "question")]);
}

#[test]
fn mmmu_rows_name_up_to_seven_images() {
    let choice = json!({"id": "validation_Art_1", "question": "<image 1> or <image 2>?",
                        "options": "['the first', \"the second's\"]", "answer": "B",
                        "image_1": "1.png", "image_2": {"path": "2.png"}, "image_3": null,
                        "question_type": "multiple-choice", "subfield": "Drawing"});
    let open = json!({"id": "validation_Art_2", "question": "How many? <image 1>", "options": [],
                      "answer": "['24', '24.0']", "image_1": "1.png", "question_type": "open"});
    let gone = json!({"id": "3", "question": "?", "options": [], "answer": "x",
                      "image_1": "gone.png"});
    let rows = [choice, open, gone];
    for (name, content) in [
        ("validation.jsonl", lines(&rows)),
        ("Art/validation.jsonl", lines(&rows)),
        ("validation.json", json!(rows).to_string()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), name, content);
        let images = Path::new(name).parent().unwrap().join("images");
        for image in ["1.png", "2.png"] {
            write(folder.path(), images.join(image).to_str().unwrap(), image);
        }
        let (layout, samples, bad) = read("mmmu", folder.path());
        assert!(layout.starts_with("rows as json"), "{layout}");
        assert_eq!(samples.len(), 2, "{name}");
        assert_eq!(samples[0].options, ["the first", "the second's"]);
        let images = folder.path().join(images);
        let paths = ["1.png", "2.png"].map(|name| ImageSource::Path(images.join(name)));
        assert_eq!(samples[0].images, paths, "{name}");
        assert_eq!(samples[1].references, ["24", "24.0"]);
        assert_eq!(samples[1].metadata["question_type"], "open");
        let file = Path::new(name).file_name().unwrap().to_str().unwrap();
        assert_eq!(bad, [told(file, 3, "image_1")], "{name}");
    }
}

#[test]
fn chartqapro_rows_hold_turns() {
    let row = |field: &str, image: &str| {
        json!({field: image, "Question": ["Which?", "How much?"], "Answer": ["Red", "12"],
               "Question Type": "Conversational", "Year": ["NO", "NO"], "Paragraph": ""})
    };
    let mut text = row("image", "a.png");
    text["Question"] = json!("Which?");
    for (name, images, field) in [
        ("test.jsonl", "images", "image"),
        ("test.json", "images", "image"),
        // Hugging Face's folder of images.
        ("metadata.jsonl", "", "file_name"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let rows = [row(field, "a.png"), row(field, "gone.png"), text.clone()];
        let content = if name.ends_with('l') { lines(&rows) } else { json!(rows).to_string() };
        write(folder.path(), name, content);
        write(&folder.path().join(images), "a.png", "image");
        let (_, samples, bad) = read("chartqapro", folder.path());
        assert_eq!(samples.len(), 1, "{name}");
        assert_eq!(samples[0].references, ["Red", "12"]);
        assert_eq!(samples[0].metadata["questions"], json!(["Which?", "How much?"]));
        assert_eq!(samples[0].metadata["year"], json!(["NO", "NO"]));
        assert_eq!(samples[0].images, image(&folder.path().join(images), "a.png"));
        assert_eq!(bad, [told(name, 2, field), told(name, 3, "Question.0")], "{name}");
    }
}
