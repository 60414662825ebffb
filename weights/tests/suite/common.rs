//! Checkpoints for tests: the golden folders, and safetensors files made by hand.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// A folder of the reference outputs.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/goldens")).join(name)
}

/// A tensor to be written: name, dtype as the format spells it, shape, bytes.
pub(crate) type Stored<'a> = (&'a str, &'a str, &'a [usize], &'a [u8]);

/// A safetensors file, written from the format's description and not with the crate under test.
pub(crate) fn safetensors(tensors: &[Stored<'_>]) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let start = data.len();
        data.extend_from_slice(bytes);
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    with_header(&Value::Object(header).to_string(), &data)
}

/// A safetensors file with this header, right or wrong.
pub(crate) fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [length.as_slice(), header.as_bytes(), data].concat()
}

/// The values of a file's tensors as the format's description says they are stored: name, shape,
/// bytes; sorted by name.
pub(crate) fn parse(file: &[u8]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let data = &file[8 + length..];
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let mut tensors: Vec<_> = header
        .into_iter()
        .filter(|(name, _)| name != "__metadata__")
        .map(|(name, entry)| {
            let shape = entry["shape"].as_array().unwrap().iter().map(number).collect();
            let offsets = &entry["data_offsets"];
            (name, shape, data[number(&offsets[0])..number(&offsets[1])].to_vec())
        })
        .collect();
    tensors.sort();
    tensors
}

/// The files of golden `name` as a checkpoint of two shards: `config.json`, index and shards.
pub(crate) fn sharded(name: &str) -> Vec<(String, Vec<u8>)> {
    let shard_names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let tensors = parse(&std::fs::read(golden(name).join("model.safetensors")).unwrap());
    let mut weight_map = Map::new();
    let mut files = vec![];
    let halves = tensors.split_at(tensors.len() / 2);
    for (shard, tensors) in shard_names.into_iter().zip([halves.0, halves.1]) {
        let stored: Vec<Stored<'_>> = tensors
            .iter()
            .map(|(name, shape, bytes)| (name.as_str(), "F32", shape.as_slice(), bytes.as_slice()))
            .collect();
        files.push((shard.to_owned(), safetensors(&stored)));
        weight_map.extend(tensors.iter().map(|(name, ..)| (name.clone(), json!(shard))));
    }
    let index = json!({"metadata": {"total_size": 0}, "weight_map": weight_map});
    files.push(("model.safetensors.index.json".to_owned(), index.to_string().into_bytes()));
    let config = std::fs::read(golden(name).join("config.json")).unwrap();
    files.push(("config.json".to_owned(), config));
    files
}

/// Writes files into a new folder that is removed at the end of the test.
pub(crate) fn folder<N: AsRef<Path>, B: AsRef<[u8]>>(
    files: impl IntoIterator<Item = (N, B)>,
) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}
