//! What can be wrong with a checkpoint's folder and files, and that each fault is told by name.

use glm4v_weights::{Checkpoint, WeightsError};
use proptest::prelude::*;

use crate::checkpoint::{f32_bytes, f32_view, open_one};
use crate::common::{Stored, folder, safetensors, sharded, with_header};

#[test]
fn a_truncated_shard_is_named_with_both_sizes() {
    let folder = folder(sharded("glm"));
    let path = folder.path().join("model-00002-of-00002.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for length in [whole.len() - 1, whole.len() / 2, 100, 7, 0] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap_err();
        let WeightsError::TruncatedFile { file, expected, found } = &error else {
            panic!("{error}")
        };
        assert_eq!(*file, path.display().to_string());
        assert_eq!(*found, length as u64);
        // Without its whole header a file cannot say how long it should be.
        if length > 100 {
            assert_eq!(*expected, whole.len() as u64);
        }
    }
}

#[test]
fn a_folder_that_is_no_checkpoint_is_told_apart() {
    let empty = folder([("notes.txt", "")]);
    let open = |path: &std::path::Path| Checkpoint::open(path).unwrap_err();
    assert!(matches!(open(&empty.path().join("no")), WeightsError::NotAFolder { .. }));
    assert!(matches!(open(&empty.path().join("notes.txt")), WeightsError::NotAFolder { .. }));
    assert!(matches!(open(empty.path()), WeightsError::MissingConfig { .. }));
    let no_weights = folder([("config.json", "{}"), ("pytorch_model.bin", "")]);
    assert!(matches!(open(no_weights.path()), WeightsError::NoWeights { .. }));
    let lost = folder(sharded("glm"));
    std::fs::remove_file(lost.path().join("model-00001-of-00002.safetensors")).unwrap();
    let error = open(lost.path());
    assert!(matches!(error, WeightsError::MissingShard { .. }));
    assert!(error.to_string().contains("model-00001-of-00002.safetensors: missing"), "{error}");
}

#[test]
fn a_bad_index_is_an_error_and_never_a_way_out_of_the_folder() {
    let name = "model.safetensors.index.json";
    let open = |index: &str| {
        let folder = folder([("config.json", "{}"), (name, index)]);
        Checkpoint::open(folder.path()).unwrap_err()
    };
    for shard in ["../x.safetensors", "/x.safetensors", "a\\b.safetensors", "x.bin", ""] {
        let index = serde_json::json!({"weight_map": {"a": shard}}).to_string();
        assert!(matches!(open(&index), WeightsError::BadIndex { .. }), "{shard}");
    }
    assert!(matches!(open(r#"{"weight_map": {}}"#), WeightsError::BadIndex { .. }));
    let error = open("{\n\"weight_map\": {\"a\": 1}}");
    let WeightsError::BadJson { field, line, .. } = &error else { panic!("{error}") };
    assert_eq!((field.as_str(), *line), ("weight_map.a", 2));
}

#[test]
fn the_same_tensor_in_two_shards_is_an_error() {
    let one = safetensors(&[("a", "U8", &[1], &[1])]);
    let config = b"{}".to_vec();
    let files = [("config.json", config), ("x.safetensors", one.clone()), ("y.safetensors", one)];
    let folder = folder(files);
    let error = Checkpoint::open(folder.path()).unwrap_err();
    let WeightsError::DuplicateTensor { tensor, first, second } = &error else { panic!("{error}") };
    assert_eq!(tensor, "a");
    assert!(first.ends_with("x.safetensors") && second.ends_with("y.safetensors"));
}

#[test]
fn hostile_headers_are_refused_with_a_reason() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let one = |dtype: &str, shape: &str, offsets: &str| {
        with_header(&format!(r#"{{"a":{}}}"#, entry(dtype, shape, offsets)), &[0; 8])
    };
    let two = |first: &str, second: &str| {
        let (a, b) = (entry("U8", "[4]", first), entry("U8", "[4]", second));
        with_header(&format!(r#"{{"a":{a},"b":{b}}}"#), &[0; 8])
    };
    let huge = usize::MAX;
    let cases = [
        ("not JSON", with_header("{", &[])),
        ("not UTF-8", [8u64.to_le_bytes().as_slice(), &[0xff; 8]].concat()),
        ("no object", with_header("[]", &[])),
        ("length beyond the limit", [u64::MAX.to_le_bytes().as_slice(), b"{}"].concat()),
        ("unknown dtype", one("F1", "[8]", "[0,8]")),
        ("shape too large for the bytes", one("U8", "[9]", "[0,8]")),
        ("shape too small for the bytes", one("F32", "[1]", "[0,8]")),
        ("negative size", one("U8", "[-8]", "[0,8]")),
        ("product of sizes overflows", one("U8", &format!("[{huge},{huge}]"), "[0,8]")),
        ("bytes of sizes overflow", one("F64", &format!("[{huge}]"), "[0,8]")),
        ("end before start", one("U8", "[8]", "[8,0]")),
        ("start after the beginning", one("U8", "[4]", "[4,8]")),
        ("overlap", two("[0,4]", "[2,6]")),
        ("gap", two("[0,4]", "[5,9]")),
        ("trailing bytes", one("U8", "[4]", "[0,4]")),
        ("a Git LFS pointer", b"version https://git-lfs.example/spec/v1\noid sha256:0".to_vec()),
    ];
    for (what, bytes) in cases {
        match open_one(bytes) {
            Err(WeightsError::BadHeader { file, reason }) => {
                assert!(file.ends_with("model.safetensors") && !reason.is_empty(), "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    let beyond = one("U8", "[9]", "[0,9]");
    assert!(matches!(open_one(beyond), Err(WeightsError::TruncatedFile { .. })));
    let longer_than_file = [1000u64.to_le_bytes().as_slice(), b"{}"].concat();
    assert!(matches!(open_one(longer_than_file), Err(WeightsError::TruncatedFile { .. })));
}

proptest! {
    /// Whatever a weight file holds, opening and reading it ends in a result.
    #[test]
    fn no_bytes_make_it_panic(
        header in prop_oneof![".{0,200}", r#"\{("[a-c]":\{("(dtype|shape|data_offsets)":("F32"|\[[0-9,]{0,9}\]),?){0,3}\},?){0,3}\}"#],
        data in prop::collection::vec(any::<u8>(), 0..64),
        length in prop::option::of(any::<u64>()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = with_header(&header, &data);
        if let Some(length) = length {
            bytes[..8].copy_from_slice(&length.to_le_bytes());
        }
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(checkpoint) = open_one(&bytes) {
            read_all(&checkpoint);
        }
    }

    /// A valid file with some bytes changed opens or fails, and what opens can be read.
    #[test]
    fn damaged_files_do_not_make_it_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let one = f32_bytes(&[1.0, 2.0]);
        let tensors: [Stored<'_>; 2] = [("a.b", "F32", &[2, 1], &one), ("c", "BF16", &[4], &one)];
        let mut bytes = safetensors(&tensors);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(checkpoint) = open_one(bytes) {
                read_all(&checkpoint);
            }
        }
    }
}

fn read_all(checkpoint: &Checkpoint) {
    let weights = f32_view(checkpoint);
    for tensor in checkpoint.tensors() {
        match weights.tensor(&tensor.name, tensor.shape.as_slice()) {
            Ok(read) => assert_eq!(read.dims(), tensor.shape),
            Err(error) => {
                assert!(matches!(error, WeightsError::UnsupportedDtype { .. }), "{error}");
            }
        }
    }
    weights.finish().unwrap();
}
