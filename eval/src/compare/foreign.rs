//! Results that lmms-eval and VLMEvalKit wrote.

use super::side::{Side, SideItem};
use crate::EvalError;
use crate::python::Literal;
use calamine::{Data, Reader};
use serde_json::{Map, Value};
use std::path::Path;

/// Reads a file by its ending.
pub(super) fn read(path: &Path) -> Result<Side, EvalError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let rows = match extension {
        "jsonl" => lines(path)?,
        "json" => serde_json::from_str(&text(path)?).map_err(|error| bad(path, error))?,
        "tsv" => table(path, b'\t')?,
        "csv" => table(path, b',')?,
        "xlsx" => sheet(path)?,
        _ => {
            let reason = "is no run's folder and no file of results; those of lmms-eval end in \
                          .jsonl, those of VLMEvalKit in .xlsx, .tsv, .csv or .json";
            return Err(bad(path, reason));
        }
    };
    let of_lmms_eval = rows.first().is_some_and(|row| row.contains_key("filtered_resps"));
    let item = if of_lmms_eval { lmms_eval } else { vlmevalkit };
    let items: Option<Vec<SideItem>> = rows.iter().map(item).collect();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let harness = if of_lmms_eval { "lmms-eval" } else { "VLMEvalKit" };
    match items {
        Some(items) if !items.is_empty() => {
            let what = format!("{name} of {harness}");
            Ok(Side { what, items, manifest: None, metric: None })
        }
        _ => Err(bad(
            path,
            "has rows without `doc_id` and `filtered_resps`, as lmms-eval writes them, or without \
             `index` and `prediction`, as VLMEvalKit does",
        )),
    }
}

type Row = Map<String, Value>;

/// A line of `…_samples_TASK.jsonl`.
fn lmms_eval(row: &Row) -> Option<SideItem> {
    let answer = first_text(row.get("filtered_resps")?);
    let reply = row.get("resps").map_or_else(|| answer.clone(), first_text);
    // Beside these, every field is a metric.
    let known = [
        "doc_id",
        "target",
        "filtered_resps",
        "resps",
        "input",
        "doc_hash",
        "token_counts",
        "prompt_hash",
        "target_hash",
        "input_media",
    ];
    let metrics = row.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    let score =
        |(_, value): (&String, &Value)| value.as_f64().or_else(|| value.get("score")?.as_f64());
    Some(SideItem {
        id: plain(row.get("doc_id")?),
        prompt: row.get("input").map(first_text).unwrap_or_default(),
        references: references(row.get("target").unwrap_or(&Value::Null)),
        reply,
        answer,
        score: metrics.filter_map(score).next(),
        ..SideItem::default()
    })
}

/// A row of `MODEL_DATASET.xlsx`.
fn vlmevalkit(row: &Row) -> Option<SideItem> {
    let reply = plain(row.get("prediction")?);
    let scores = ["hit", "eval_score", "score"];
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let group = |name: &str| Some((name.to_owned(), plain(row.get(name)?)));
    Some(SideItem {
        id: plain(row.get("index")?),
        question: row.get("question").map(plain).unwrap_or_default(),
        references: references(row.get("answer").unwrap_or(&Value::Null)),
        answer: reply.clone(),
        reply,
        score: scores.iter().find_map(|name| number(row.get(*name)?)),
        groups: ["split", "category"].into_iter().filter_map(group).collect(),
        ..SideItem::default()
    })
}

/// A text, or the first one of a list, however deep.
fn first_text(value: &Value) -> String {
    match value {
        Value::Array(items) => items.first().map(first_text).unwrap_or_default(),
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Right answers: a list, a Python list in a text, or the text.
fn references(value: &Value) -> Vec<String> {
    if let Value::Array(items) = value {
        return items.iter().map(plain).collect();
    }
    let text = plain(value);
    match Literal::parse(&text) {
        Some(Literal::List(items)) if !items.is_empty() => {
            let texts = items.into_iter().map(|item| match item {
                Literal::Text(text) => Some(text),
                // `[2015, 2016]` is one answer of two years.
                _ => None,
            });
            texts.collect::<Option<Vec<_>>>().unwrap_or_else(|| vec![text])
        }
        _ => vec![text],
    }
}

fn lines(path: &Path) -> Result<Vec<Row>, EvalError> {
    let text = text(path)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).map_err(|error| bad(path, error))).collect()
}

fn table(path: &Path, delimiter: u8) -> Result<Vec<Row>, EvalError> {
    let reader = csv::ReaderBuilder::new().delimiter(delimiter).from_path(path);
    let mut reader = reader.map_err(|error| bad(path, error))?;
    let header = reader.headers().map_err(|error| bad(path, error))?.clone();
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|error| bad(path, error))?;
        let cells = header.iter().zip(record.iter());
        Ok(cells.map(|(name, cell)| (name.to_owned(), cell.into())).collect())
    };
    reader.records().map(row).collect()
}

/// The first sheet of a workbook, its first line the names of the columns.
fn sheet(path: &Path) -> Result<Vec<Row>, EvalError> {
    let opened = calamine::open_workbook::<calamine::Xlsx<_>, _>(path);
    let mut book = opened.map_err(|error| bad(path, error))?;
    let range = book.worksheet_range_at(0).transpose().map_err(|error| bad(path, error))?;
    let range = range.unwrap_or_default();
    let cell = |cell: &Data| match cell {
        Data::Int(number) => (*number).into(),
        Data::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            (*number as i64).into()
        }
        Data::Float(number) => (*number).into(),
        Data::Empty => Value::Null,
        other => other.to_string().into(),
    };
    let mut rows = range.rows();
    let header: Vec<String> =
        rows.next().into_iter().flatten().map(|cell| cell.to_string()).collect();
    let row = |row: &[Data]| header.iter().cloned().zip(row.iter().map(cell)).collect();
    Ok(rows.map(row).collect())
}

fn text(path: &Path) -> Result<String, EvalError> {
    std::fs::read_to_string(path)
        .map_err(|source| EvalError::File { file: path.to_owned(), source })
}

fn bad(path: &Path, reason: impl ToString) -> EvalError {
    EvalError::BadFile { file: path.to_owned(), reason: reason.to_string() }
}
