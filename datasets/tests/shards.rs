//! Parquet shards, read side by side.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use glm4v_datasets::{Dataset, ImageSource, Layout, Samples};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

const ROWS: usize = 80;

/// A shard of two row groups whose rows are numbered from `first`.
fn write(path: &Path, first: usize) {
    let schema = parse_message_type("message rows { required binary answer (UTF8); }").unwrap();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Default::default()).unwrap();
    for group in 0..2 {
        let mut columns = writer.next_row_group().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        let begin = first + group * ROWS / 2;
        let cells: Vec<ByteArray> = (begin..begin + ROWS / 2)
            .map(|row| ByteArray::from(row.to_string().into_bytes()))
            .collect();
        column.typed::<ByteArrayType>().write_batch(&cells, None, None).unwrap();
        column.close().unwrap();
        columns.close().unwrap();
    }
    writer.close().unwrap();
}

fn samples(folder: &Path) -> Samples {
    let layout: Layout = toml::from_str(
        r#"
        name = "shards"
        format = "parquet"
        files = [{ paths = ["*.parquet"] }]
        fields = { references = "answer" }
        "#,
    )
    .unwrap();
    Dataset::find(&[layout], folder).unwrap().samples(true)
}

#[test]
fn rows_come_in_the_order_of_the_shards() {
    let folder = tempfile::tempdir().unwrap();
    for shard in 0..3 {
        write(&folder.path().join(format!("{shard}.parquet")), shard * ROWS);
    }
    let answers: Vec<String> =
        samples(folder.path()).map(|sample| sample.unwrap().references.remove(0)).collect();
    let wanted: Vec<String> = (0..3 * ROWS).map(|row| row.to_string()).collect();
    assert_eq!(answers, wanted);
}

#[test]
fn a_shard_that_is_none_is_told_between_the_others() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("0.parquet"), 0);
    std::fs::write(folder.path().join("1.parquet"), "no Parquet").unwrap();
    write(&folder.path().join("2.parquet"), ROWS);
    let rows: Vec<_> = samples(folder.path()).collect();
    assert_eq!(rows.len(), 2 * ROWS + 1);
    let bad: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].is_err()).collect();
    assert_eq!(bad, [ROWS]);
    assert!(rows[ROWS].as_ref().unwrap_err().to_string().contains("1.parquet"));
}

/// A shard of one row whose image has these bytes and this path.
fn write_image(path: &Path, bytes: &str, name: &str) {
    let schema = "message rows { required group image {
        required binary bytes; required binary path (UTF8); } required binary answer (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Default::default()).unwrap();
    let mut columns = writer.next_row_group().unwrap();
    for cell in [bytes, name, "1"] {
        let mut column = columns.next_column().unwrap().unwrap();
        let cells = [ByteArray::from(cell.as_bytes().to_vec())];
        column.typed::<ByteArrayType>().write_batch(&cells, None, None).unwrap();
        column.close().unwrap();
    }
    columns.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn images_are_bytes_or_paths() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.png"), "on disk").unwrap();
    write_image(&folder.path().join("0.parquet"), "inside", "a.png");
    write_image(&folder.path().join("1.parquet"), "", "a.png");
    write_image(&folder.path().join("2.parquet"), "", "missing.png");
    write_image(&folder.path().join("3.parquet"), "", "../a.png");
    let layout = r#"
        name = "shards"
        format = "parquet"
        files = [{ paths = ["*.parquet"] }]
        fields = { images = ["image"], references = "answer" }
    "#;
    let layout: Layout = toml::from_str(layout).unwrap();
    let found = Dataset::find(&[layout], folder.path()).unwrap().samples(true);
    let found: Vec<_> = found.map(|sample| sample.map(|sample| sample.images)).collect();
    let images: Vec<_> = found.iter().flatten().flatten().collect();
    let on_disk = ImageSource::Path(folder.path().join("a.png"));
    assert_eq!(images, [&ImageSource::Bytes(b"inside".to_vec()), &on_disk]);
    let told: Vec<String> =
        found.iter().filter_map(|row| Some(row.as_ref().err()?.to_string())).collect();
    assert!(told[0].contains("2.parquet: row 1: `image` names"), "{told:?}");
    assert!(told[1].contains("3.parquet: row 1: `image` leads out"), "{told:?}");
}

/// How many threads of this process have the file open.
#[cfg(target_os = "linux")]
fn readers(path: &Path) -> usize {
    let path = path.canonicalize().unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|file| std::fs::read_link(file.path()).is_ok_and(|open| open == path)).count()
}

#[cfg(target_os = "linux")]
#[test]
fn row_groups_and_the_next_shard_are_read_meanwhile() {
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().unwrap();
    let shards = [folder.path().join("0.parquet"), folder.path().join("1.parquet")];
    write(&shards[0], 0);
    write(&shards[1], ROWS);
    let mut samples = samples(folder.path());
    samples.next().unwrap().unwrap();
    // More rows are in each group than are read ahead, so that the threads stay where they are.
    let begun = Instant::now();
    while shards.iter().any(|shard| readers(shard) < 2) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", shards.map(|s| readers(&s)));
        std::thread::sleep(Duration::from_millis(5));
    }
}
