//! Datasets whose samples are files of their own.

use crate::dataset::DataFile;
use crate::row::Row;
use crate::rows::{Rows, buffered};
use crate::{DatasetError, Format};
use serde_json::{Map, Value, json};
use std::io::{BufRead, Read};
use std::path::Path;

/// Opens a file of such a dataset: one sample, or for words and AI2D a list of them.
pub(crate) fn open(file: &DataFile, format: Format) -> Result<Rows, DatasetError> {
    match format {
        Format::Words => words(file),
        Format::Ai2d => ai2d(file),
        Format::Sroie => Ok(Box::new(std::iter::once(sroie(file)))),
        _ => Ok(Box::new(std::iter::once(funsd(file)))),
    }
}

/// A row with `id`, `image` (a file name), `key` (the entities) and `text` (the lines of the
/// receipt, where `box/ID.csv` is there).
fn sroie(file: &DataFile) -> Result<Row, DatasetError> {
    let key: Map<String, Value> = read_json(file)?;
    let id = stem(&file.path);
    let mut row = Map::new();
    row.insert("image".to_owned(), image_name(file, &id)?.into());
    row.insert("key".to_owned(), Value::Object(key));
    let boxes = file.path.parent().and_then(Path::parent).map(|root| root.join("box"));
    let boxes = boxes.and_then(|folder| std::fs::read(folder.join(format!("{id}.csv"))).ok());
    if let Some(boxes) = boxes {
        // Some files are in Latin-1; the lines that matter are ASCII.
        let boxes = String::from_utf8_lossy(&boxes).into_owned();
        row.insert("text".to_owned(), box_texts(&boxes).join("\n").into());
    }
    row.insert("id".to_owned(), id.into());
    Ok(Row::of_values(1, Value::Object(row)))
}

/// What stands behind the eight coordinates of each line; it may hold commas.
fn box_texts(boxes: &str) -> Vec<&str> {
    let lines = boxes.lines().filter_map(|line| line.splitn(9, ',').nth(8));
    lines.map(str::trim).filter(|text| !text.is_empty()).collect()
}

/// A row with `id`, `image`, `text` (the form's lines in the file's order) and `entities`, a list
/// of `{label, text}`.
fn funsd(file: &DataFile) -> Result<Row, DatasetError> {
    let form: Map<String, Value> = read_json(file)?;
    let Some(Value::Array(blocks)) = form.get("form") else {
        let (path, field) = (file.path.clone(), "form".to_owned());
        let reason = "is no list".to_owned();
        return Err(DatasetError::BadRow { file: path, row: 1, field, reason });
    };
    let id = stem(&file.path);
    let entity = |block: &Value| json!({ "label": block["label"], "text": block["text"] });
    let entities: Vec<Value> = blocks.iter().map(entity).collect();
    let lines: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.trim().is_empty()).collect();
    let image = image_name(file, &id)?;
    let row = json!({ "id": id, "image": image, "text": lines.join("\n"), "entities": entities });
    Ok(Row::of_values(1, row))
}

/// A row for each question on an image: what the file says of it, with `question` (its words) and
/// `image` (seen from the dataset's folder). None for an image outside of the test set, where that
/// is told.
fn ai2d(file: &DataFile) -> Result<Rows, DatasetError> {
    let page: Map<String, Value> = read_json(file)?;
    let bad = |row: usize, field: &str, reason: &str| DatasetError::BadRow {
        file: file.path.clone(),
        row,
        field: field.to_owned(),
        reason: reason.to_owned(),
    };
    let name = page.get("imageName").and_then(Value::as_str);
    let name = name.ok_or_else(|| bad(1, "imageName", "is no text"))?;
    if !is_tested(file, name) {
        return Ok(Box::new(std::iter::empty()));
    }
    let questions = page.get("questions").and_then(Value::as_object);
    let questions = questions.ok_or_else(|| bad(1, "questions", "is no object"))?;
    let rows = questions.iter().enumerate().map(|(index, (question, asked))| {
        let Value::Object(asked) = asked else {
            return Err(bad(index + 1, "questions", "holds a question that is no object"));
        };
        let folder =
            if asked.get("abcLabel") == Some(&true.into()) { "abc_images" } else { "images" };
        let mut row = asked.clone();
        row.insert("question".to_owned(), question.as_str().into());
        row.insert("image".to_owned(), format!("{folder}/{name}").into());
        Ok(Row::of_values(index + 1, Value::Object(row)))
    });
    let rows: Vec<Result<Row, DatasetError>> = rows.collect();
    Ok(Box::new(rows.into_iter()))
}

/// Whether an image is of the test set, or there is no list of it.
fn is_tested(file: &DataFile, image: &str) -> bool {
    let id = image.split_once('.').map_or(image, |(id, _)| id);
    let list = std::fs::read_to_string(file.images.join("ai2d_test_ids.csv"));
    list.map_or(true, |ids| ids.lines().any(|line| line.trim() == id))
}

/// Lines such as `word_1.png, "Tiredness"`, as ICDAR's ground truth has them, or
/// `img/1.png<tab>word`.
fn words(file: &DataFile) -> Result<Rows, DatasetError> {
    let mut text = String::new();
    let read = buffered(file)?.read_to_string(&mut text);
    read.map_err(|source| DatasetError::UnreadableFile { file: file.path.clone(), source })?;
    let path = file.path.clone();
    let lines: Vec<(usize, String)> = text
        .trim_start_matches('\u{feff}')
        .as_bytes()
        .lines()
        .map_while(Result::ok)
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    Ok(Box::new(lines.into_iter().map(move |(index, line)| {
        let cut =
            line.split_once('\t').or_else(|| line.split_once(',')).or_else(|| line.split_once(' '));
        let Some((image, word)) = cut else {
            return Err(DatasetError::BadRow {
                file: path.clone(),
                row: index + 1,
                field: "line".to_owned(),
                reason: "has no word behind the image's name".to_owned(),
            });
        };
        let word = word.trim();
        let unquoted = word.strip_prefix('"').and_then(|word| word.strip_suffix('"'));
        let word = unquoted.unwrap_or(word).replace("\\\"", "\"");
        let image = image.trim();
        Ok(Row::of_texts(index + 1, [("id", image), ("image", image), ("text", &word)]))
    })))
}

fn read_json<T: serde::de::DeserializeOwned>(file: &DataFile) -> Result<T, DatasetError> {
    let bytes = std::fs::read(&file.path)
        .map_err(|source| DatasetError::UnreadableFile { file: file.path.clone(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| DatasetError::BadRow {
        file: file.path.clone(),
        row: 1,
        field: "file".to_owned(),
        reason: format!("is no JSON object: {error}"),
    })
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The image that goes with an id, whatever its kind.
fn image_name(file: &DataFile, id: &str) -> Result<String, DatasetError> {
    let kinds = ["jpg", "png", "jpeg", "tif"];
    let mut names = kinds.iter().map(|kind| format!("{id}.{kind}"));
    names.find(|name| file.images.join(name).is_file()).ok_or_else(|| DatasetError::BadRow {
        file: file.path.clone(),
        row: 1,
        field: "image".to_owned(),
        reason: format!("{} has no image called {id}", file.images.display()),
    })
}
