//! Packs what METEOR needs of WordNet's database files: `pack_wordnet DIR FILE`, with `DIR` holding
//! `data.noun`, `noun.exc` and so on of WordNet 3.0.
//!
//! For each part of speech, the file has a line for each synset with the words in it that have no
//! blanks, an empty line, the exceptions of inflection, and an empty line; all that in gzip.

use anyhow::Context;
use flate2::{Compression, write::GzEncoder};
use std::collections::BTreeSet;
use std::fs::{File, read_to_string};
use std::io::Write;
use std::path::Path;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(file)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: pack_wordnet DIR FILE");
    };
    let mut packed = GzEncoder::new(File::create(&file)?, Compression::best());
    for part in ["noun", "verb", "adj", "adv"] {
        let read = |name: String| {
            let path = Path::new(&folder).join(name);
            read_to_string(&path).with_context(|| path.display().to_string())
        };
        let data = read(format!("data.{part}"))?;
        let synsets: BTreeSet<String> = data.lines().filter_map(synset).collect();
        let exceptions = read(format!("{part}.exc"))?;
        let exceptions = exceptions.lines().filter(|line| !line.contains('_'));
        for line in synsets.iter().map(String::as_str).chain([""]).chain(exceptions).chain([""]) {
            writeln!(packed, "{line}")?;
        }
    }
    packed.finish()?;
    Ok(())
}

/// The words of a line of a data file; `None` for those of the licence, and without words.
fn synset(line: &str) -> Option<String> {
    if line.starts_with(' ') {
        return None;
    }
    let fields: Vec<&str> = line.split(' ').collect();
    let count = usize::from_str_radix(fields.get(3)?, 16).ok()?;
    let words = fields.iter().skip(4).step_by(2).take(count);
    // Adjectives may carry a mark of where they stand, as in `galore(ip)`.
    let words = words.map(|word| word.split('(').next().unwrap_or(word));
    let words: BTreeSet<&str> = words.filter(|word| !word.contains('_')).collect();
    (!words.is_empty()).then(|| words.into_iter().collect::<Vec<_>>().join(" "))
}
