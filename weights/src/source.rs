//! Which checkpoint, or which dataset, a user means.

use std::path::{Path, PathBuf};

use crate::WeightsError;

/// Short names for published models.
const ALIASES: &[(&str, &str)] = &[
    ("glm-4v-9b", "zai-org/glm-4v-9b"),
    ("glm-4.1v", "zai-org/GLM-4.1V-9B-Thinking"),
    ("glm-4.1v-base", "zai-org/GLM-4.1V-9B-Base"),
    ("glm-4.5v", "zai-org/GLM-4.5V"),
    ("glm-4.6v", "zai-org/GLM-4.6V"),
    ("glm-4.6v-flash", "zai-org/GLM-4.6V-Flash"),
    ("glm-ocr", "zai-org/GLM-OCR"),
    ("glm-4-9b", "zai-org/glm-4-9b-hf"),
    ("glm-4-9b-chat", "zai-org/glm-4-9b-chat-hf"),
    ("glm-4-9b-chat-1m", "zai-org/glm-4-9b-chat-1m-hf"),
    ("glm-4-0414", "zai-org/GLM-4-9B-0414"),
    ("glm-4-32b-0414", "zai-org/GLM-4-32B-0414"),
];

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A folder in the Hugging Face layout.
    Folder(PathBuf),
    /// A `.gguf` file.
    Gguf(PathBuf),
    /// A model on the hub.
    Hub {
        /// `owner/name`.
        id: String,
        /// Branch, tag or commit; the main branch without one.
        revision: Option<String>,
    },
}

impl ModelSource {
    /// Reads what a user wrote for a model: a path, `owner/name`, `owner/name@revision` or a
    /// short name. A folder or file that exists wins over a hub id of the same spelling.
    ///
    /// # Errors
    /// [`WeightsError::UnknownModel`] when it can be none of these, and
    /// [`WeightsError::BadModelId`] when a hub id has characters that the hub does not allow.
    pub fn parse(text: &str) -> Result<Self, WeightsError> {
        let path = Path::new(text);
        if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf")) {
            return Ok(Self::Gguf(path.to_owned()));
        }
        if path.is_dir() || is_path(text) {
            return Ok(Self::Folder(path.to_owned()));
        }
        let (name, revision) = split_revision(text);
        let id = match ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)) {
            Some((_, id)) => *id,
            None if name.split('/').count() == 2 => name,
            None => {
                return Err(WeightsError::UnknownModel {
                    name: text.to_owned(),
                    aliases: ALIASES.iter().map(|(alias, _)| *alias).collect::<Vec<_>>().join(", "),
                });
            }
        };
        check_id(id)?;
        if let Some(revision) = &revision {
            check_revision(revision)?;
        }
        Ok(Self::Hub { id: id.to_owned(), revision })
    }

    /// Short names and the hub ids they stand for.
    pub fn aliases() -> &'static [(&'static str, &'static str)] {
        ALIASES
    }
}

/// Where a dataset comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetSource {
    /// A folder or file on disk, whether it is there or not.
    Path(PathBuf),
    /// A dataset on the hub.
    Hub {
        /// `owner/name`.
        id: String,
        /// Branch, tag or commit; the main branch without one.
        revision: Option<String>,
    },
}

impl DatasetSource {
    /// Reads what a user wrote for a dataset: a path, `owner/name` or `owner/name@revision`. A
    /// folder or file that exists wins over a hub id of the same spelling, and what cannot be an
    /// id is a path.
    ///
    /// # Errors
    /// [`WeightsError::BadModelId`] when a revision has characters that the hub does not allow.
    pub fn parse(text: &str) -> Result<Self, WeightsError> {
        let path = Path::new(text);
        let (id, revision) = split_revision(text);
        if path.exists() || is_path(text) || check_id(id).is_err() {
            return Ok(Self::Path(path.to_owned()));
        }
        if let Some(revision) = &revision {
            check_revision(revision)?;
        }
        Ok(Self::Hub { id: id.to_owned(), revision })
    }
}

/// Whether it starts as paths do, or has Windows' separators.
fn is_path(text: &str) -> bool {
    text.starts_with(['.', '/', '~', '\\']) || text.contains('\\')
}

/// The part before the first `@`, and the one behind it.
fn split_revision(text: &str) -> (&str, Option<String>) {
    match text.split_once('@') {
        Some((name, revision)) => (name, Some(revision.to_owned())),
        None => (text, None),
    }
}

/// Checks that `id` is `owner/name` in the hub's characters, and so safe as part of a path.
pub(crate) fn check_id(id: &str) -> Result<(), WeightsError> {
    let good = matches!(id.split_once('/'), Some((owner, name)) if is_word(owner) && is_word(name));
    if good { Ok(()) } else { Err(WeightsError::BadModelId { id: id.to_owned(), part: "id" }) }
}

/// Checks that `revision` is words between slashes, such as `main` or `refs/pr/1`.
pub(crate) fn check_revision(revision: &str) -> Result<(), WeightsError> {
    if revision.split('/').all(is_word) {
        return Ok(());
    }
    Err(WeightsError::BadModelId { id: revision.to_owned(), part: "revision" })
}

/// Letters, digits, `-`, `_` and `.`, not starting with a dot or a dash.
fn is_word(text: &str) -> bool {
    !text.starts_with(['.', '-'])
        && !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(id: &str, revision: Option<&str>) -> ModelSource {
        ModelSource::Hub { id: id.to_owned(), revision: revision.map(str::to_owned) }
    }

    #[test]
    fn reads_what_users_write() {
        let cases = [
            ("glm-ocr", hub("zai-org/GLM-OCR", None)),
            ("GLM-4.1V", hub("zai-org/GLM-4.1V-9B-Thinking", None)),
            ("glm-ocr@v1.0", hub("zai-org/GLM-OCR", Some("v1.0"))),
            ("zai-org/GLM-4.5V", hub("zai-org/GLM-4.5V", None)),
            ("zai-org/GLM-4.5V@refs/pr/1", hub("zai-org/GLM-4.5V", Some("refs/pr/1"))),
            ("./model", ModelSource::Folder("./model".into())),
            ("/models/a/b", ModelSource::Folder("/models/a/b".into())),
            ("C:\\models\\a", ModelSource::Folder("C:\\models\\a".into())),
            ("src", ModelSource::Folder("src".into())),
            ("a/b/model.GGUF", ModelSource::Gguf("a/b/model.GGUF".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(ModelSource::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_model_and_says_what_would_be() {
        let error = ModelSource::parse("gpt").unwrap_err();
        assert!(matches!(error, WeightsError::UnknownModel { .. }));
        assert!(error.to_string().contains("glm-4.1v-base, glm-4.5v"), "{error}");
        for text in ["a/..", "a/b c", "-a/b", "a/b@../../x", "a/b@", "a/b@x//y"] {
            let error = ModelSource::parse(text).unwrap_err();
            assert!(matches!(error, WeightsError::BadModelId { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn a_dataset_is_a_path_or_an_id() {
        let path = |text: &str| DatasetSource::Path(text.into());
        let hub = |id: &str, revision: Option<&str>| DatasetSource::Hub {
            id: id.to_owned(),
            revision: revision.map(str::to_owned),
        };
        let cases = [
            ("lmms-lab/ChartQA", hub("lmms-lab/ChartQA", None)),
            ("lmms-lab/ChartQA@v1.0", hub("lmms-lab/ChartQA", Some("v1.0"))),
            ("lmms-lab/ChartQA@refs/pr/1", hub("lmms-lab/ChartQA", Some("refs/pr/1"))),
            // What is there wins: this crate's folders and files.
            ("src/hub", path("src/hub")),
            ("src/lib.rs", path("src/lib.rs")),
            // What cannot be an id is a path that is not there.
            ("./a/b", path("./a/b")),
            ("~/chartqa", path("~/chartqa")),
            ("chartqa", path("chartqa")),
            ("a/b/c", path("a/b/c")),
            ("my data/chart qa", path("my data/chart qa")),
            ("a\\b", path("a\\b")),
        ];
        for (text, expected) in cases {
            assert_eq!(DatasetSource::parse(text).unwrap(), expected, "{text}");
        }
        for text in ["a/b@../../x", "a/b@", "a/b@x//y"] {
            let error = DatasetSource::parse(text).unwrap_err();
            assert!(matches!(error, WeightsError::BadModelId { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn every_alias_stands_for_a_hub_id() {
        for (alias, id) in ModelSource::aliases() {
            assert_eq!(ModelSource::parse(alias).unwrap(), hub(id, None));
        }
    }
}
