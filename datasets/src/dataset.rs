//! From a folder to samples.

use crate::row::Row;
use crate::rows::{self, Rows};
use crate::{DatasetError, Fields, Format, Layout, Sample, fields};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

/// A dataset that was found on disk.
#[derive(Clone, Debug)]
pub struct Dataset {
    layout: Layout,
    files: Vec<DataFile>,
}

/// One file of a dataset.
#[derive(Clone, Debug)]
pub(crate) struct DataFile {
    pub(crate) path: PathBuf,
    pub(crate) label: Option<String>,
    /// The folder in which its images are.
    pub(crate) images: PathBuf,
    pub(crate) set: Map<String, Value>,
    /// Where the parts of its samples are.
    pub(crate) fields: Fields,
    /// Metadata of its samples: name and field.
    pub(crate) keep: BTreeMap<String, String>,
}

impl Dataset {
    /// Takes the first of `layouts` that has files in `place`, a folder or one file, and whose
    /// fields are in the first row. Where none has both, the first that has files.
    ///
    /// # Errors
    /// [`DatasetError::NoFiles`] when none has.
    pub fn find(layouts: &[Layout], place: &Path) -> Result<Self, DatasetError> {
        let found = layouts.iter().map(|layout| {
            let files = find_files(layout, place);
            Self { layout: layout.clone(), files }
        });
        let found: Vec<Self> = found.filter(|dataset| !dataset.files.is_empty()).collect();
        // Several hub layouts have files of the same names.
        let fits = |dataset: &&Self| matches!(dataset.samples(false).next(), Some(Ok(_)));
        if let Some(dataset) = found.iter().find(fits).or(found.first()) {
            return Ok(dataset.clone());
        }
        Err(Self::no_files(layouts, place))
    }

    /// What there is to say of a place, a path or the id of a repository, that has no file of any
    /// of `layouts`.
    pub fn no_files(layouts: &[Layout], place: &Path) -> DatasetError {
        let patterns = layouts.iter().flat_map(|layout| &layout.files);
        let expected: Vec<String> = patterns.map(|pattern| pattern.paths.join(" or ")).collect();
        DatasetError::NoFiles { folder: place.to_owned(), expected: expected.join(", ") }
    }

    /// The layout that fits.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The files that are read, in this order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// Reads the samples. Without `images` they have none, which saves reading them.
    pub fn samples(&self, images: bool) -> Samples {
        let files = self.files.clone().into_iter();
        Samples { layout: self.layout.clone(), files, open: VecDeque::new(), images, count: 0 }
    }
}

/// Parquet files that are read at the same time.
const SHARDS_AT_ONCE: usize = 2;

/// The samples of a dataset in the order of its files.
pub struct Samples {
    layout: Layout,
    files: std::vec::IntoIter<DataFile>,
    /// The file that is read, and the next ones as they read ahead.
    open: VecDeque<(DataFile, Result<Rows, DatasetError>)>,
    images: bool,
    /// Rows read so far, over all files.
    count: usize,
}

impl Samples {
    fn next_row(&mut self) -> Option<Result<(DataFile, Row), DatasetError>> {
        let at_once = if self.layout.format == Format::Parquet { SHARDS_AT_ONCE } else { 1 };
        loop {
            while self.open.len() < at_once
                && let Some(file) = self.files.next()
            {
                let rows = rows::open(&file, &self.layout, self.images);
                self.open.push_back((file, rows));
            }
            if let (file, Ok(rows)) = self.open.front_mut()?
                && let Some(row) = rows.next()
            {
                self.count += 1;
                return Some(row.map(|row| (file.clone(), row)));
            }
            if let Some((_, Err(error))) = self.open.pop_front() {
                return Some(Err(error));
            }
        }
    }
}

impl Iterator for Samples {
    type Item = Result<Sample, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next_row()?;
        Some(row.and_then(|(file, row)| {
            // Shards are numbered through, so that a label's rows keep their numbers.
            let number = if file.label.is_some() { row.number } else { self.count };
            fields::sample(&file, &self.layout, row, number - 1, self.images)
        }))
    }
}

fn find_files(layout: &Layout, place: &Path) -> Vec<DataFile> {
    let mut files = Vec::new();
    for pattern in &layout.files {
        let found = match place.is_file() {
            true => named_file(layout.format, &pattern.paths, place),
            false => pattern.paths.iter().map(|path| matches(place, path)).find(|f| !f.is_empty()),
        };
        for path in found.unwrap_or_default() {
            let folder = path.parent().unwrap_or(Path::new(""));
            files.push(DataFile {
                images: folder.join(&pattern.images),
                label: pattern.label.clone(),
                set: pattern.set.clone(),
                fields: pattern.fields.clone().unwrap_or_else(|| layout.fields.clone()),
                keep: layout.keep.clone().into_iter().chain(pattern.keep.clone()).collect(),
                path,
            });
        }
    }
    files
}

/// The file itself, where a pattern names it, or where any file of its form will do.
fn named_file(format: Format, patterns: &[String], file: &Path) -> Option<Vec<PathBuf>> {
    let name = file.file_name()?.to_str()?;
    let fits = patterns.iter().any(|pattern| {
        let last = pattern.rsplit('/').next().unwrap_or(pattern);
        glob::Pattern::new(last).is_ok_and(|pattern| pattern.matches(name))
    });
    let extension = file.extension().and_then(|extension| extension.to_str());
    let by_form = matches!(
        (format, extension),
        (Format::Tsv, Some("tsv")) | (Format::Parquet, Some("parquet"))
    );
    (fits || by_form).then(|| vec![file.to_owned()])
}

/// The files in `folder` that a pattern matches, by name.
fn matches(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let folder = glob::Pattern::escape(&folder.display().to_string());
    let Ok(paths) = glob::glob(&format!("{folder}/{pattern}")) else { return Vec::new() };
    paths.filter_map(Result::ok).filter(|path| path.is_file()).collect()
}
