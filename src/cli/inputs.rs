//! Image arguments: paths, standard input, globs, folders, addresses.

use super::{ImageArgs, UsageError, remote};
use anyhow::{Context, bail};
use glm4v::{Image, ImageOptions};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Files that a folder contributes. What a file holds is found out from its bytes, not its name.
const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"];

/// An image that the user named, not read yet.
#[derive(Debug)]
pub(crate) struct Picture {
    /// What results and messages call it.
    pub(crate) name: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    StandardInput,
    Address,
    /// The argument stood for no image; why.
    Nothing(String),
}

impl Picture {
    /// The images that arguments stand for, in order. An argument that stands for none becomes one
    /// that fails to open.
    ///
    /// # Errors
    /// [`UsageError`] for an address without leave, and for standard input taken twice.
    pub(crate) fn expand(arguments: &[OsString], args: &ImageArgs) -> anyhow::Result<Vec<Self>> {
        let mut pictures = Vec::new();
        for argument in arguments {
            match argument.to_str() {
                Some("-") => pictures.push(Self::new("-".to_owned(), Source::StandardInput)),
                Some(address) if is_address(address) => {
                    if !args.allow_remote {
                        let message = format!("{address}: give --allow-remote to fetch images");
                        bail!(UsageError(message));
                    }
                    pictures.push(Self::new(address.to_owned(), Source::Address));
                }
                _ => pictures.extend(Self::expand_path(argument, args.recursive)),
            }
        }
        if pictures.iter().filter(|p| matches!(p.source, Source::StandardInput)).count() > 1 {
            bail!(UsageError("standard input (-) holds one image only".to_owned()));
        }
        Ok(pictures)
    }

    fn new(name: String, source: Source) -> Self {
        Self { name, source }
    }

    /// The file that holds it, where it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        if let Source::File(path) = &self.source { Some(path) } else { None }
    }

    pub(crate) fn file(path: PathBuf) -> Self {
        Self::new(path.display().to_string(), Source::File(path))
    }

    fn expand_path(argument: &OsStr, recursive: bool) -> Vec<Self> {
        let path = Path::new(argument);
        let nothing = |reason| vec![Self::nothing(path, reason)];
        if path.is_dir() {
            let mut found = Vec::new();
            list_folder(path, recursive, &mut found);
            let hint = if recursive { "" } else { "; --recursive looks in the folders below" };
            return match found.is_empty() {
                true => nothing(format!("no image files in this folder{hint}")),
                false => found,
            };
        }
        // File names need not be UTF-8; patterns are.
        let pattern = argument.to_str().filter(|text| text.contains(['*', '?', '[']));
        match pattern.filter(|_| !path.exists()).map(list_matches) {
            None => vec![Self::file(path.to_owned())],
            Some(Ok(found)) if found.is_empty() => nothing("no file matches".to_owned()),
            Some(Ok(found)) => found,
            Some(Err(error)) => nothing(error.to_string()),
        }
    }

    fn nothing(path: &Path, reason: String) -> Self {
        Self::new(path.display().to_string(), Source::Nothing(reason))
    }

    /// Reads and decodes the image. The error's text begins with the image's name.
    pub(crate) fn open(&self, options: &ImageOptions) -> anyhow::Result<Opened> {
        let started = Instant::now();
        let image = match &self.source {
            Source::File(path) => Image::open_with(path, options)?,
            Source::StandardInput => {
                let bytes = read_limited(std::io::stdin().lock(), options.max_bytes)
                    .context("standard input")?;
                Image::from_bytes(&bytes, options).context("standard input")?
            }
            Source::Address => {
                let bytes = remote::fetch(&self.name, options.max_bytes)
                    .with_context(|| self.name.clone())?;
                Image::from_bytes(&bytes, options).with_context(|| self.name.clone())?
            }
            Source::Nothing(reason) => bail!("{}: {reason}", self.name),
        };
        Ok(Opened { image, time: started.elapsed() })
    }
}

/// An image, and how long reading and decoding it took.
pub(crate) struct Opened {
    pub(crate) image: Image,
    pub(crate) time: Duration,
}

/// Opens images that are seen together; the time is that of all.
pub(crate) fn open_all(
    pictures: &[Picture],
    options: &ImageOptions,
) -> anyhow::Result<(Vec<Image>, Duration)> {
    let mut time = Duration::ZERO;
    let mut images = Vec::with_capacity(pictures.len());
    for picture in pictures {
        let opened = picture.open(options)?;
        time += opened.time;
        images.push(opened.image);
    }
    Ok((images, time))
}

fn is_address(argument: &str) -> bool {
    argument.starts_with("http://") || argument.starts_with("https://")
}

/// Reads at most one byte more than `limit`, which the decoder then refuses.
pub(crate) fn read_limited(reader: impl Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The image files of a folder by name, then those of the folders in it. A folder that cannot be
/// listed is one that fails, and the others are listed all the same.
fn list_folder(folder: &Path, recursive: bool, found: &mut Vec<Picture>) {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            return found.push(Picture::nothing(folder, format!("cannot be listed: {error}")));
        }
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let images = entries.iter().map(std::fs::DirEntry::path).filter(|path| is_image_file(path));
    found.extend(images.map(Picture::file));
    for entry in entries.iter().filter(|_| recursive) {
        // A link to a folder may lead in a circle, and `file_type` does not follow it.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list_folder(&entry.path(), recursive, found);
        }
    }
}

fn is_image_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)) && path.is_file()
}

fn list_matches(pattern: &str) -> Result<Vec<Picture>, glob::PatternError> {
    let matches = glob::glob(pattern)?.filter_map(|found| match found {
        Ok(path) => path.is_file().then(|| Picture::file(path)),
        Err(error) => Some(Picture::nothing(error.path(), format!("{}", error.error()))),
    });
    Ok(matches.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_images_by_name_and_those_below_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("a_below")).unwrap();
        for name in ["b.PNG", "a.jpg", "notes.txt", "a_below/c.tiff"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let list = |recursive| {
            let mut found = Vec::new();
            list_folder(root, recursive, &mut found);
            let below =
                |picture: &Picture| picture.path().unwrap().strip_prefix(root).unwrap().to_owned();
            found.iter().map(below).collect::<Vec<_>>()
        };
        assert_eq!(list(false), [Path::new("a.jpg"), Path::new("b.PNG")]);
        assert_eq!(list(true)[2], Path::new("a_below/c.tiff"));
        let mut found = Vec::new();
        list_folder(&root.join("missing"), true, &mut found);
        assert!(matches!(&found[..], [Picture { source: Source::Nothing(_), .. }]));
    }

    #[test]
    fn a_name_with_brackets_is_a_file_before_it_is_a_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page[1].png");
        std::fs::write(&path, "").unwrap();
        let pictures = Picture::expand_path(path.as_os_str(), false);
        assert!(matches!(&pictures[..], [Picture { source: Source::File(_), .. }]));
        let pictures = Picture::expand_path(folder.path().join("*.gif").as_os_str(), false);
        assert!(matches!(&pictures[..], [Picture { source: Source::Nothing(_), .. }]));
    }
}
