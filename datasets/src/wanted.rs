//! Which files of a repository a dataset is read from.

use crate::{FilePattern, Format, Layout};
use std::collections::BTreeSet;

/// As patterns match on disk: a `*` stays in its folder.
const AS_ON_DISK: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The ends of names of images, in small letters.
const IMAGES: [&str; 8] = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"];

/// Of a repository's files, given by name with slashes between folders, those that the first of
/// `layouts` with any file there is read from: its rows, the images in the folder that they name,
/// and what else its format has beside them. Sorted; none where no layout has a file. Archives are
/// not looked into.
pub fn wanted_files(layouts: &[Layout], names: &[String]) -> Vec<String> {
    let mut found = layouts.iter().map(|layout| of_layout(layout, names));
    let found = found.find(|found| !found.is_empty()).unwrap_or_default();
    found.into_iter().map(str::to_owned).collect()
}

fn of_layout<'a>(layout: &Layout, names: &'a [String]) -> BTreeSet<&'a str> {
    let mut wanted = BTreeSet::new();
    for pattern in &layout.files {
        let mut rows = pattern.paths.iter().map(|path| matches(path, names));
        let rows = rows.find(|rows| !rows.is_empty()).unwrap_or_default();
        let folders: BTreeSet<&str> = rows.iter().map(|name| folder_of(name)).collect();
        for folder in folders {
            wanted.extend(beside(layout, pattern, folder, names));
        }
        wanted.extend(rows);
    }
    wanted
}

/// The files that a pattern matches.
fn matches<'a>(pattern: &str, names: &'a [String]) -> Vec<&'a str> {
    let Ok(pattern) = glob::Pattern::new(pattern) else { return Vec::new() };
    let names = names.iter().map(String::as_str);
    names.filter(|name| pattern.matches_with(name, AS_ON_DISK)).collect()
}

/// What belongs to the rows of the files in `folder`.
fn beside<'a>(
    layout: &Layout,
    pattern: &FilePattern,
    folder: &str,
    names: &'a [String],
) -> Vec<&'a str> {
    let fields = pattern.fields.as_ref().unwrap_or(&layout.fields);
    let has_images = match layout.format {
        Format::Json | Format::Jsonl | Format::Csv | Format::Words => !fields.images.is_empty(),
        Format::Sroie | Format::Funsd | Format::Ai2d => true,
        // Images are in the rows, unless a task says where else.
        Format::Tsv | Format::Parquet => !pattern.images.is_empty(),
    };
    let images = has_images.then(|| join(folder, &pattern.images)).flatten();
    let boxes = if layout.format == Format::Sroie { join(folder, "../box") } else { None };
    let wanted = |name: &str| {
        let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
        let is_image = end.as_deref().is_some_and(|end| IMAGES.contains(&end));
        let is_box = end.as_deref() == Some("csv");
        (is_image && images.as_deref().is_some_and(|folder| is_below(name, folder)))
            || (is_box && boxes.as_deref().is_some_and(|folder| is_below(name, folder)))
    };
    names.iter().map(String::as_str).filter(|name| wanted(name)).collect()
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn is_below(name: &str, folder: &str) -> bool {
    folder.is_empty() || name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The folder `path` seen from `folder`; `None` where it leads out of the repository.
fn join(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(layouts: &str, names: &[&str]) -> Vec<String> {
        #[derive(serde::Deserialize)]
        struct Task {
            layout: Vec<Layout>,
        }
        let task: Task = toml::from_str(layouts).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        wanted_files(&task.layout, &names)
    }

    #[test]
    fn the_first_layout_with_files_says_which() {
        let layouts = r#"
            [[layout]]
            name = "rows"
            format = "json"
            files = [
                { paths = ["human.json", "test/human.json"], images = "png" },
                { paths = ["machine.json", "test/machine.json"], images = "png" },
            ]
            fields = { images = ["image"] }
            [[layout]]
            name = "shards"
            format = "parquet"
            files = [{ paths = ["data/test-*.parquet", "test-*.parquet"] }]
            fields = { images = ["image"] }
        "#;
        let shards = ["README.md", "data/test-1.parquet", "data/test-2.parquet", "data/a.png"];
        let more = ["data/old/test-3.parquet", "data/train-1.parquet", "test-4.parquet"];
        assert_eq!(wanted(layouts, &[&shards[..], &more].concat()), shards[1..3]);
        assert_eq!(wanted(layouts, &more), ["test-4.parquet"]);
        let rows = ["test/human.json", "test/machine.json", "test/png/a.png", "test/png/b/c.JPG"];
        let more = ["test/png/notes.txt", "test/pngs/x.png", "train/png/x.png", "test-4.parquet"];
        assert_eq!(wanted(layouts, &[&rows[..], &more].concat()), rows);
        assert!(wanted(layouts, &["README.md", "png/a.png"]).is_empty());
    }

    #[test]
    fn images_are_fetched_where_there_are_any_in_the_layout() {
        let layout = |fields: &str| {
            format!(
                "[[layout]]\nname = 'x'\nformat = 'jsonl'\nfiles = [{{ paths = ['test.jsonl'] }}]\n\
                 fields = {{ {fields} }}"
            )
        };
        let names = ["a/b.png", "c.jpg", "c.zip", "test.jsonl"];
        assert_eq!(wanted(&layout("question = 'q'"), &names), ["test.jsonl"]);
        let images = layout("question = 'q', images = ['image']");
        assert_eq!(wanted(&images, &names), ["a/b.png", "c.jpg", "test.jsonl"]);
    }

    #[test]
    fn folders_of_receipts_come_with_images_and_boxes() {
        let layout = "[[layout]]\nname = 'x'\nformat = 'sroie'\n\
             files = [{ paths = ['key/*.json', 'data/key/*.json'], images = '../img' }]";
        let names = ["data/box/1.csv", "data/img/1.jpg", "data/key/1.json"];
        let more = ["data/img/1.txt", "data/box.csv", "img/2.jpg"];
        assert_eq!(wanted(layout, &[&names[..], &more].concat()), names);
        // Nothing lies above the repository.
        assert_eq!(join("key", "../../img"), None);
    }
}
