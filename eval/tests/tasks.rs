//! The tasks in the program on small datasets of the published shapes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use glm4v_datasets::Sample;
use glm4v_eval::answerer::{AnswerError, Answerer, AnswererCard, Question, Reply};
use glm4v_eval::run::{RunFolder, RunOptions, run};
use glm4v_eval::task::{PromptTemplate, Task};
use glm4v_eval::{Scores, State};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Answers by a rule over the prompt.
struct Rule(AnswererCard, fn(&str) -> String);

impl Answerer for Rule {
    fn card(&self) -> &AnswererCard {
        &self.0
    }

    fn answer(&self, question: &Question<'_>) -> Result<Reply, AnswerError> {
        Ok(Reply { text: (self.1)(question.prompt), ..Default::default() })
    }
}

/// The scores and prompts of a run over `data`.
fn go(task: &str, data: &Path, rule: fn(&str) -> String) -> (Scores, Vec<String>) {
    let answerer = Rule(AnswererCard::default(), rule);
    let output = data.join("run");
    let options = RunOptions::new(data, &output);
    let outcome = run(&Task::find(task).unwrap(), &answerer, &options, &|_| {}).unwrap();
    assert_eq!(outcome.scores.bad_rows, Vec::<String>::new());
    let responses = RunFolder::open(output).unwrap().responses().unwrap();
    (outcome.scores, responses.into_iter().map(|response| response.prompt).collect())
}

/// A sample with nothing in it.
fn empty() -> Sample {
    Sample {
        id: String::new(),
        images: Vec::new(),
        question: String::new(),
        options: Vec::new(),
        references: Vec::new(),
        metadata: Default::default(),
    }
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn gsm8k_counts_the_number_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        json!({"question": "2000 + 34?", "answer": "Add: <<2000+34=2034>>.\n#### 2,034"}),
        json!({"question": "1 + 1?", "answer": "Two.\n#### 2"}),
    ];
    write(folder.path(), "test.jsonl", rows.map(|row| row.to_string()).join("\n"));
    let answer = |_: &str| "The sum is $2,034.".to_owned();
    let (scores, _) = go("gsm8k", folder.path(), answer);
    assert_eq!(scores.items[0].references, ["2034"]);
    assert_eq!((scores.items[0].score, scores.items[1].score), (Some(1.0), Some(0.0)));
}

#[test]
fn mmmu_tells_choices_from_open_questions() {
    let folder = tempfile::tempdir().unwrap();
    let image = "QUJD".repeat(32);
    let table = format!(
        "index\timage\tquestion\tA\tB\tanswer\tcategory\n\
         1\t{image}\tWhich? <image 1>\tcat\tdog\tB\tBiology\n\
         2\t{image}\tHow many? <image 1>\t\t\t['24', '24.0']\tArt\n\
         3\t{image}\tWho?\tcat\tdog\tA\tArt\n"
    );
    write(folder.path(), "MMMU_DEV_VAL.tsv", table);
    let answer = |prompt: &str| match prompt.lines().next().unwrap() {
        "Which? <image 1>" => "(B)".to_owned(),
        "How many? <image 1>" => "So the answer is 24".to_owned(),
        _ => "hard to say".to_owned(),
    };
    let (scores, prompts) = go("mmmu", folder.path(), answer);
    let found: Vec<Option<f64>> = scores.items.iter().map(|item| item.score).collect();
    assert_eq!(found, [Some(1.0), Some(1.0), Some(0.0)]);
    assert_eq!(scores.items[2].state, State::Unparsed);
    assert!(prompts[0].contains("A. cat\nB. dog"), "{}", prompts[0]);
    assert!(prompts[1].ends_with("single word or phrase."), "{}", prompts[1]);
    assert_eq!(scores.breakdown["subfield"]["Art"].all.count, 2);
}

#[test]
fn ocrbench_v2_is_the_mean_over_skills_of_a_language() {
    let folder = tempfile::tempdir().unwrap();
    let row = |id: usize, kind: &str, question: &str, answers: serde_json::Value| {
        json!({"id": id, "type": kind, "dataset_name": "x", "question": question,
               "image_path": "EN/a.jpg", "answers": answers})
    };
    let mut counted = row(2, "text counting en", "count", json!(["4"]));
    counted["eval"] = "exact match".into();
    let mut spotted = row(3, "text spotting en", "spot", json!(["[0, 0, 10, 10, 'Stop!']"]));
    spotted["bbox"] = json!([[0, 0, 10, 0, 10, 10, 0, 10]]);
    spotted["content"] = json!(["Stop!"]);
    let rows = [
        row(0, "text recognition en", "stop", json!(["stop"])),
        row(1, "text recognition en", "go", json!(["stop"])),
        counted,
        spotted,
        row(4, "key information extraction en", "key", json!([{"total": ["5", "5.0"]}])),
        row(5, "formula recognition cn", "formula", json!(["x^2"])),
        row(6, "text grounding en", "ground", json!([0, 0, 10, 10])),
    ];
    write(folder.path(), "OCRBench_v2.json", json!(rows).to_string());
    write(folder.path(), "EN/a.jpg", "image");
    let answer = |prompt: &str| match prompt {
        "count" => "There are 4.".to_owned(),
        "key" => r#"{"total": "5.0"}"#.to_owned(),
        "formula" => "x^3".to_owned(),
        "ground" => "(0, 0, 10, 5)".to_owned(),
        "spot" => "[[0, 0, 10, 9, 'stop']]".to_owned(),
        other => other.to_owned(),
    };
    let (scores, _) = go("ocrbench_v2", folder.path(), answer);
    assert_eq!(scores.items[3].score, Some(1.0));
    let of = |kind: &str, part: &str| scores.breakdown[kind][part].all.score.unwrap();
    assert_eq!(of("skill", "English text recognition"), 0.5);
    assert_eq!(of("skill", "English text detection"), 0.5);
    // Half, half, and one for each of counting, key information and spotting.
    assert_eq!(of("language", "English"), 0.8);
    assert_eq!(of("language", "Chinese"), 0.0);
    assert_eq!(scores.all.count, 7);
}

#[test]
fn omnidocbench_reads_pages_and_sums_them_up() {
    let folder = tempfile::tempdir().unwrap();
    let block = |id: usize, kind: &str, field: &str, text: &str| json!({"anno_id": id, "order": id, "category_type": kind, field: text});
    let table = "<table><tr><td>a</td><td>b</td></tr></table>";
    let page = |name: &str, blocks: serde_json::Value| {
        json!({"layout_dets": blocks, "extra": {"relation": []},
               "page_info": {"image_path": name, "page_attribute": {"language": "english"}}})
    };
    let rows = json!([
        page(
            "a.png",
            json!([
                block(1, "title", "text", "Title"),
                block(2, "equation_isolated", "latex", "x^2"),
                block(3, "table", "html", table)
            ])
        ),
        page("b.png", json!([block(1, "text_block", "text", "0123456789")])),
    ]);
    write(folder.path(), "OmniDocBench.json", rows.to_string());
    for name in ["a.png", "b.png"] {
        write(folder.path(), &format!("images/{name}"), name);
    }
    let answer = |_: &str| {
        "# Title\n\n$$x^2$$\n\n| a | b |\n|---|---|\n| c | d |\n\n01234\n\n<table><tr><td>a</td><td>b</td></tr></table>"
            .to_owned()
    };
    let (scores, _) = go("omnidocbench", folder.path(), answer);
    assert_eq!(scores.items[0].score, Some(100.0));
    assert_eq!(scores.items[1].score, Some(50.0));
    // Half of one page is missing, and nothing of the other.
    assert_eq!(scores.all.parts["text_edit"], 0.25);
    assert_eq!(scores.all.parts["formula_edit"], 0.0);
    assert_eq!(scores.all.parts["table_teds"], 1.0);
    assert_eq!(scores.all.parts["reading_order_edit"], 0.0);
    assert_eq!(scores.breakdown["language"]["english"].all.count, 2);
}

#[test]
fn st_vqa_finds_images_in_the_folders_of_their_sources() {
    let folder = tempfile::tempdir().unwrap();
    let row = |id: usize, name: &str| {
        json!({"question_id": id, "file_path": format!("coco-text/{name}"), "dataset": "coco-text",
               "question": "What?", "answers": ["stop", "a stop"]})
    };
    let rows = json!({"dataset_name": "st-vqa", "data": [row(7, "a.jpg"), row(8, "b.jpg")]});
    write(folder.path(), "train_task_3.json", rows.to_string());
    for name in ["a.jpg", "b.jpg"] {
        write(folder.path(), &format!("coco-text/{name}"), name);
    }
    let (scores, _) = go("stvqa", folder.path(), |_| "STOP".to_owned());
    assert_eq!((scores.all.score, scores.items[0].id.as_str()), (Some(1.0), "7"));
    assert_eq!(scores.breakdown["source"]["coco-text"].all.count, 2);
}

#[test]
fn questions_of_ones_own_need_no_task_file() {
    let lines = r#"{"image": "a.png", "question": "Total?", "answer": ["12", "12.00"], "group": "x"}
{"image": ["a.png", "b.png"], "question": "Which?", "answer": "B", "options": ["cat", "dog"]}"#;
    let table = "image,question,answer,group,options\n\
                 a.png,Total?,\"['12', '12.00']\",x,\n\
                 b.png,Which?,B,,\"['cat', 'dog']\"\n";
    for (name, content) in [("mine.jsonl", lines), ("mine.csv", table)] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), name, content);
        write(folder.path(), "a.png", "one");
        write(folder.path(), "b.png", "two");
        let answer = |prompt: &str| match prompt.contains("\nB. dog\n") {
            true => "B".to_owned(),
            false => "12.00".to_owned(),
        };
        let (scores, prompts) = go("own", folder.path(), answer);
        assert_eq!((scores.all.count, scores.all.score), (2, Some(1.0)), "{name}");
        assert_eq!(prompts[0], "Total?", "{name}");
        assert_eq!(scores.breakdown["group"]["x"].all.count, 1, "{name}");
        // The file itself will do in place of its folder.
        let options = RunOptions::new(folder.path().join(name), folder.path().join("again"));
        let answerer = Rule(AnswererCard::default(), answer);
        let again = run(&Task::find("own").unwrap(), &answerer, &options, &|_| {}).unwrap();
        assert_eq!(again.scores.all.score, Some(1.0), "{name}");
    }
}

#[test]
fn an_error_rate_of_a_set_has_a_score_a_sample_and_an_interval() {
    let folder = tempfile::tempdir().unwrap();
    let words: String = (0..40).map(|at| format!("{at}.png\tword\n")).collect();
    write(folder.path(), "gt.txt", words);
    for at in 0..40 {
        write(folder.path(), &format!("{at}.png"), format!("image {at}"));
    }
    let (scores, _) = go("words", folder.path(), |_| "word".to_owned());
    assert_eq!(scores.all.score, Some(0.0));
    // A reply that is wrong in a letter of four.
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "gt.txt", "a.png\tword\nb.png\twards and more\nc.png\tsorry, but i\n");
    for name in ["a.png", "b.png", "c.png"] {
        write(folder.path(), name, name);
    }
    let (scores, _) = go("words", folder.path(), |_| "Sorry, but I".to_owned());
    let found: Vec<Option<f64>> = scores.items.iter().map(|item| item.score).collect();
    assert!(found.iter().all(Option::is_some), "{found:?}");
    let lengths = [4.0, 14.0, 12.0];
    let edits: f64 = found.iter().zip(lengths).map(|(rate, length)| rate.unwrap() * length).sum();
    assert!((scores.all.score.unwrap() - edits / 30.0).abs() < 1e-12);
    let (low, high) = scores.all.interval.unwrap();
    assert!(low < edits / 30.0 && edits / 30.0 < high, "{low} {high}");
    assert_eq!(scores.items[0].state, State::Refused);
}

#[test]
fn a_caption_has_a_score_of_its_own_and_no_zero_below_zero() {
    let folder = tempfile::tempdir().unwrap();
    let rows = json!({"1": ["a.png", "Title", "x", "What falls?", "the share of red falls fast"]});
    write(folder.path(), "test.json", rows.to_string());
    write(folder.path(), "chart_images/a.png", "image");
    let (scores, _) = go("opencqa", folder.path(), |_| "the share of red falls fast".to_owned());
    assert!(scores.items[0].score.unwrap() > 0.99);
    let (nothing, _) = {
        fs::remove_dir_all(folder.path().join("run")).unwrap();
        go("opencqa", folder.path(), |_| String::new())
    };
    assert_eq!(format!("{:.4}", nothing.all.parts["cider"]), "0.0000");
}

/// The table of presets in the docs.
#[test]
fn the_docs_say_which_presets_there_are() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/EVAL.md");
    let docs = fs::read_to_string(docs).unwrap();
    let (_, table) = docs.split_once("| task | `lmms-eval` | `vlmevalkit` |").unwrap();
    let table = table.split_once("\n\n").unwrap().0;
    let mut told = 0;
    for line in table.lines().skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        for name in cells[0].split(", ") {
            let task = Task::find(name.trim_matches('`')).unwrap();
            for (preset, cell) in [("lmms-eval", cells[1]), ("vlmevalkit", cells[2])] {
                assert_eq!(task.prompts.contains_key(preset), cell == "yes", "{name}: {preset}");
            }
            told += 1;
        }
    }
    assert_eq!(told, Task::builtin().unwrap().len());
}

fn texts(column: &mut SerializedColumnWriter<'_>, values: &[&str]) {
    let values: Vec<ByteArray> =
        values.iter().map(|text| text.as_bytes().to_vec().into()).collect();
    column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
}

fn numbers(column: &mut SerializedColumnWriter<'_>, values: &[i64]) {
    column.typed::<Int64Type>().write_batch(values, None, None).unwrap();
}

/// Two charts with their five questions.
fn charxiv(path: &Path) {
    let questions: String = (1..=4)
        .map(|n| {
            format!("required int64 descriptive_q{n}; required binary descriptive_a{n} (UTF8); ")
        })
        .collect();
    let schema = format!(
        "message schema {{ required group image {{ required binary bytes; required binary path (UTF8); }}
         required binary reasoning_q (UTF8); required binary reasoning_a (UTF8);
         required int64 num_subplots; required int64 subplot_row; required int64 subplot_col; {questions} }}"
    );
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut at = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        match at {
            0 => texts(&mut column, &["image 1", "image 2"]),
            1 => texts(&mut column, &["", ""]),
            2 => texts(&mut column, &["Which falls?", "Which rises?"]),
            3 => texts(&mut column, &["Red", "Blue"]),
            4 => numbers(&mut column, &[1, 4]),
            5 | 6 => numbers(&mut column, &[0, 2]),
            // Question 13 asks for the labels of the legend.
            at if at % 2 == 1 => numbers(&mut column, &[13, 19]),
            _ => texts(&mut column, &["A, B", "4"]),
        }
        column.close().unwrap();
        at += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn charxiv_asks_whole_questions_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let asked = "For the current plot, what are the labels?\\n * In any order.";
    let columns = "index\timage\tquestion\tanswer\tqid\tgrading_query\n";
    let image = "QUJD".repeat(32);
    let rows = format!("7\t{image}\t{asked}\tA, B\t13\tIs {{PREDICTION}} right?\n");
    write(folder.path(), "CharXiv_descriptive_val.tsv", format!("{columns}{rows}"));
    write(
        folder.path(),
        "CharXiv_reasoning_val.tsv",
        format!(
            "index\timage\tquestion\tanswer\tinst_category\n0\t{image}\tWhich falls?\tRed\t1\n"
        ),
    );
    let answer = |prompt: &str| if prompt.contains("labels") { "B, A" } else { "red" }.to_owned();
    let (scores, prompts) = go("charxiv", folder.path(), answer);
    assert_eq!(prompts, ["Which falls?", asked]);
    assert_eq!(scores.all.score, Some(1.0));

    let preset =
        Task::find("charxiv").unwrap().preset("vlmevalkit").unwrap().template("").to_owned();
    let template = PromptTemplate::new(&preset).unwrap();
    let mut sample = Sample { question: asked.to_owned(), ..empty() };
    let error = template.render(&sample).unwrap_err().to_string();
    assert!(error.contains("give --data a folder with these"), "{error}");
    sample.metadata.insert("whole".to_owned(), true.into());
    assert_eq!(template.render(&sample).unwrap(), asked);
}

#[test]
fn charxiv_makes_five_questions_of_a_row() {
    let folder = tempfile::tempdir().unwrap();
    charxiv(&folder.path().join("val.parquet"));
    let answer = |prompt: &str| {
        let answers =
            [("falls", "red"), ("rises", "green"), ("labels", "B, A"), ("subplots", "4.0")];
        answers.iter().find(|(mark, _)| prompt.contains(mark)).unwrap().1.to_owned()
    };
    let (scores, prompts) = go("charxiv", folder.path(), answer);
    assert_eq!(scores.items.len(), 10);
    assert_eq!(
        (scores.items[0].id.as_str(), scores.items[2].id.as_str()),
        ("reasoning-0", "descriptive-1-0")
    );
    assert_eq!(scores.breakdown["kind"]["reasoning"].all.score, Some(0.5));
    assert_eq!(scores.breakdown["kind"]["descriptive"].all.score, Some(1.0));
    assert!(prompts[0].starts_with("Which falls?\n"), "{}", prompts[0]);
    assert!(prompts[2].starts_with("In the plot, which labels"), "{}", prompts[2]);
    assert!(prompts[3].starts_with("In the figure, how many subplots"), "{}", prompts[3]);
}
