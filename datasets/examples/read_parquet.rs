//! How long Parquet takes to read, and in how much memory: `read_parquet FOLDER`. A folder without
//! shards gets four, of 10,000 rows with 32 KiB of bytes that look like images, in row groups of 500.

use anyhow::{Context, Result};
use glm4v_datasets::{Dataset, ImageSource, Layout};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const SHARDS: u64 = 4;
const GROUPS: u64 = 5;
const ROWS: u64 = 500;
const IMAGE: usize = 32 * 1024;
const LAYOUT: &str = r#"
name = "shards"
format = "parquet"
files = [{ paths = ["*.parquet"] }]
fields = { images = ["image.bytes"], question = "question", references = "answer" }
"#;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("read_parquet FOLDER")?;
    let folder = Path::new(&folder);
    if !folder.join("0.parquet").exists() {
        fs::create_dir_all(folder)?;
        for shard in 0..SHARDS {
            write(&folder.join(format!("{shard}.parquet")), shard)?;
        }
    }
    let layout: Layout = toml::from_str(LAYOUT)?;
    let begun = Instant::now();
    let (mut rows, mut bytes) = (0, 0);
    for sample in Dataset::find(&[layout], folder)?.samples(true) {
        for image in sample?.images {
            if let ImageSource::Bytes(image) = image {
                bytes += image.len();
            }
        }
        rows += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{rows} rows, {} MB of images, {seconds:.2} s, {}", bytes / 1_000_000, peak());
    Ok(())
}

/// The largest memory so far, where the system tells it.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("peak not known".to_owned(), |peak| format!("peak {}", peak.trim()))
}

fn write(path: &Path, shard: u64) -> Result<()> {
    let schema = "message rows { required binary question (UTF8); required binary answer (UTF8); \
                  required group image { required binary bytes; } }";
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
    let properties = properties.set_dictionary_enabled(false).build();
    let schema = Arc::new(parse_message_type(schema)?);
    let mut writer = SerializedFileWriter::new(File::create(path)?, schema, Arc::new(properties))?;
    for group in 0..GROUPS {
        let mut columns = writer.next_row_group()?;
        let mut column = 0;
        while let Some(mut open) = columns.next_column()? {
            let first = (shard * GROUPS + group) * ROWS;
            for row in first..first + ROWS {
                let cell = match column {
                    0 => format!("Question {row}?").into_bytes(),
                    1 => row.to_string().into_bytes(),
                    _ => image(row),
                };
                open.typed::<ByteArrayType>().write_batch(&[ByteArray::from(cell)], None, None)?;
            }
            open.close()?;
            column += 1;
        }
        columns.close()?;
    }
    writer.close()?;
    Ok(())
}

/// Bytes of which half the bits are noise, by splitmix64 (Steele et al. 2014).
fn image(row: u64) -> Vec<u8> {
    let mut state = row;
    let next = |_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed >> 31) & 0x0F) as u8
    };
    (0..IMAGE).map(next).collect()
}
