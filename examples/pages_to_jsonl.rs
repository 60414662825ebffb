//! A folder of pages to JSON lines, one a page.
//!
//! ```text
//! cargo run --release --example pages_to_jsonl -- FOLDER [MODEL] > pages.jsonl
//! ```
//!
//! The model is loaded once. A page that cannot be read becomes a line with `error`, and the next
//! page is read all the same.

use anyhow::Context;
use glm4v::{GenerateOptions, Image, LoadOptions, Model, NANO};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().context("usage: pages_to_jsonl FOLDER [MODEL]")?);
    let name = arguments.next().and_then(|name| name.into_string().ok());
    let model = Model::load(name.as_deref().unwrap_or(NANO), &LoadOptions::default())?;

    let mut output = std::io::stdout().lock();
    for page in pages(&folder)? {
        let line = match read(&model, &page) {
            Ok(text) => json!({ "page": page.display().to_string(), "text": text }),
            Err(error) => json!({ "page": page.display().to_string(), "error": error.to_string() }),
        };
        write_line(&mut output, &line)?;
    }
    Ok(())
}

/// The image files of a folder, by name.
fn pages(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let is_page = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default();
        EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
    };
    let entries = folder.read_dir().with_context(|| folder.display().to_string())?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
    paths.retain(is_page);
    paths.sort();
    Ok(paths)
}

/// The text of a page.
fn read(model: &Model, page: &Path) -> anyhow::Result<String> {
    // Greedy, so that the same page gives the same line.
    let options = GenerateOptions { temperature: Some(0.0), ..GenerateOptions::default() };
    let answer = model.ask(&[Image::open(page)?], "Text Recognition:", &options)?;
    Ok(answer.text)
}

/// Writes a line whole, so that whoever reads along sees no half of one.
fn write_line(output: &mut impl Write, line: &Value) -> std::io::Result<()> {
    writeln!(output, "{line}")?;
    output.flush()
}
