//! Checkpoints opened and read: the reference's own files, shards, formats, views.

use std::io::{Seek, SeekFrom, Write};

use crate::common::{Stored, folder, golden, parse, safetensors, sharded, with_header};
use candle_core::{DType, Device, Tensor};
use glm4v_weights::{Checkpoint, StoredDtype, StoredType, Summary, Weights, WeightsError};
use proptest::prelude::*;

const GOLDENS: [&str; 8] =
    ["glm", "glm_1m", "glm4", "glm4v", "glm46v", "glm4v_9b", "glm4v_moe", "glm_ocr"];

pub(crate) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(crate) fn f32_view(checkpoint: &Checkpoint) -> Weights {
    checkpoint.weights(DType::F32, &Device::Cpu)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A checkpoint folder with this weight file, opened.
pub(crate) fn open_one(model: impl AsRef<[u8]>) -> Result<Checkpoint, WeightsError> {
    let config: &[u8] = b"{}";
    let folder = folder([("config.json", config), ("model.safetensors", model.as_ref())]);
    Checkpoint::open(folder.path())
}

/// Reads every tensor of `checkpoint` and holds it against `expected`, bit for bit.
fn assert_holds(checkpoint: &Checkpoint, expected: &[(String, Vec<usize>, Vec<u8>)]) {
    let weights = f32_view(checkpoint);
    let names: Vec<&str> = checkpoint.tensors().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, expected.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>());
    for (name, shape, bytes) in expected {
        assert!(weights.contains(name));
        let tensor = weights.tensor(name, shape.as_slice()).unwrap();
        assert_eq!(tensor.dims(), shape);
        assert_eq!(f32_bytes(&values(&tensor)), *bytes, "{name}");
    }
    weights.finish().unwrap();
}

#[test]
fn every_tensor_of_every_golden_is_read_bit_for_bit() {
    for name in GOLDENS {
        let checkpoint = Checkpoint::open(golden(name)).unwrap();
        let expected = parse(&std::fs::read(golden(name).join("model.safetensors")).unwrap());
        assert_holds(&checkpoint, &expected);
    }
}

#[test]
fn shards_hold_the_same_as_one_file() {
    let folder = folder(sharded("glm4v"));
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let expected = parse(&std::fs::read(golden("glm4v").join("model.safetensors")).unwrap());
    assert_holds(&checkpoint, &expected);
    // The index is a convenience: shards without one are found by their names.
    std::fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    assert_holds(&Checkpoint::open(folder.path()).unwrap(), &expected);
}

#[test]
fn embedded_bytes_need_no_alignment() {
    let model = std::fs::read(golden("glm").join("model.safetensors")).unwrap();
    let expected = parse(&model);
    for shift in 1..4 {
        let shifted: &'static [u8] = Vec::leak([vec![0; shift], model.clone()].concat());
        let files: Vec<(&'static str, &'static [u8])> =
            vec![("config.json", b"{}"), ("model.safetensors", &shifted[shift..])];
        let checkpoint = Checkpoint::embedded(Vec::leak(files)).unwrap();
        assert_holds(&checkpoint, &expected);
        let error = f32_view(&checkpoint).tensor("nothing", 1).unwrap_err();
        assert!(error.to_string().starts_with("built-in model.safetensors:"), "{error}");
    }
}

#[test]
fn each_format_is_read_by_its_definition() {
    // 1 and −2 in each floating-point format, from IEEE 754, bfloat16 and OCP FP8 (E4M3).
    let f64s = [1f64.to_le_bytes(), (-2f64).to_le_bytes()].concat();
    let i64s = [7i64.to_le_bytes(), (-9i64).to_le_bytes()].concat();
    let tensors: [Stored<'_>; 7] = [
        ("f32", "F32", &[2], &f32_bytes(&[1.0, -2.0])),
        ("f16", "F16", &[2], &[0x00, 0x3c, 0x00, 0xc0]),
        ("bf16", "BF16", &[2], &[0x80, 0x3f, 0x00, 0xc0]),
        ("f64", "F64", &[2], &f64s),
        ("f8", "F8_E4M3", &[2], &[0x38, 0xc0]),
        ("i64", "I64", &[2], &i64s),
        ("u8", "U8", &[2], &[3, 250]),
    ];
    let checkpoint = open_one(safetensors(&tensors)).unwrap();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let weights = checkpoint.weights(dtype, &Device::Cpu);
        for name in ["f32", "f16", "bf16", "f64"] {
            let tensor = weights.tensor(name, 2).unwrap();
            assert_eq!(tensor.dtype(), dtype, "{name}");
            assert_eq!(values(&tensor), [1.0, -2.0], "{name}");
        }
        for (name, kept, expected) in [
            ("f8", DType::F8E4M3, [1.0, -2.0]),
            ("i64", DType::I64, [7.0, -9.0]),
            ("u8", DType::U8, [3.0, 250.0]),
        ] {
            let tensor = weights.tensor(name, 2).unwrap();
            assert_eq!(tensor.dtype(), kept, "{name}");
            assert_eq!(values(&tensor), expected, "{name}");
            let tensor = weights.tensor_as(name, 2, DType::F32).unwrap();
            assert_eq!(tensor.to_vec1::<f32>().unwrap(), expected, "{name}");
        }
        weights.finish().unwrap();
    }
}

#[test]
fn a_format_without_arithmetic_is_refused_by_name() {
    let checkpoint = open_one(safetensors(&[("mask", "BOOL", &[2], &[0, 1])])).unwrap();
    let error = f32_view(&checkpoint).tensor("mask", 2).unwrap_err();
    assert!(matches!(
        error,
        WeightsError::UnsupportedDtype { dtype: StoredType::Plain(StoredDtype::BOOL), .. }
    ));
    assert!(error.to_string().ends_with("tensor `mask` is stored as BOOL, which is not supported"));
}

#[test]
fn prefixes_nest_and_views_share_their_record() {
    let one = f32_bytes(&[1.0]);
    let tensors: [Stored<'_>; 4] = [
        ("model.layers.1.a", "F32", &[1], &one),
        ("model.layers.10.a", "F32", &[1], &one),
        ("model.layers.1", "F32", &[1], &one),
        ("top", "F32", &[], &one),
    ];
    let checkpoint = open_one(safetensors(&tensors)).unwrap();
    let weights = f32_view(&checkpoint);
    let layers = weights.pp("model").pp("layers");
    assert_eq!(layers.pp(1).prefix(), "model.layers.1");
    assert_eq!(weights.pp("model.layers").prefix(), layers.prefix());
    assert!(layers.pp(1).contains("a") && !layers.contains("a") && weights.contains("top"));
    assert_eq!(layers.pp(10).tensor("a", 1).unwrap().dims(), [1]);
    assert_eq!(weights.tensor("top", ()).unwrap().rank(), 0);
    // What is below `model.layers.1`, and that name itself, but not `model.layers.10`.
    layers.ignore("1");
    weights.finish().unwrap();
}

#[test]
fn a_missing_tensor_is_named_with_its_file_and_shape() {
    let weights = f32_view(&Checkpoint::open(golden("glm")).unwrap()).pp("model");
    let error = weights.tensor("norms.weight", (3, 4)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no tensor `model.norms.weight`, expected with shape [3, 4]"), "{text}");
    assert!(text.contains("glm/model.safetensors"), "{text}");
}

#[test]
fn a_misshapen_tensor_is_named_with_its_file_and_both_shapes() {
    let folder = folder(sharded("glm"));
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let found = checkpoint.tensors().find(|t| t.name == "model.norm.weight").unwrap().clone();
    let error = f32_view(&checkpoint).pp("model.norm").tensor("weight", (7, 2)).unwrap_err();
    let WeightsError::ShapeMismatch { tensor, file, expected, found: shape } = &error else {
        panic!("{error}")
    };
    assert_eq!(tensor, "model.norm.weight");
    assert!(file.ends_with("model-00002-of-00002.safetensors"), "{file}");
    assert_eq!(expected.dims(), [7, 2]);
    assert_eq!(shape.dims(), found.shape);
    assert!(error.to_string().contains("expected [7, 2]"), "{error}");
}

#[test]
fn tensors_that_nobody_read_are_an_error_until_ignored() {
    let checkpoint = Checkpoint::open(golden("glm_ocr")).unwrap();
    let weights = f32_view(&checkpoint);
    let mtp = "model.language_model.layers.2";
    for tensor in checkpoint.tensors().filter(|tensor| !tensor.name.starts_with(mtp)) {
        weights.tensor(&tensor.name, tensor.shape.as_slice()).unwrap();
    }
    let error = weights.pp("model").finish().unwrap_err();
    let WeightsError::ExtraTensors { names, count, file } = &error else { panic!("{error}") };
    let extra = checkpoint.tensors().filter(|tensor| tensor.name.starts_with(mtp)).count();
    assert!(extra > 8, "the golden has a layer for speculative decoding");
    assert_eq!((names.len(), *count), (8, extra));
    assert!(names.iter().all(|name| name.starts_with(mtp)));
    assert!(file.ends_with("glm_ocr/model.safetensors"), "{file}");
    weights.pp("model.language_model").ignore("layers.2");
    weights.finish().unwrap();
}

proptest! {
    /// Any tensors that are written come back, in any shapes.
    #[test]
    fn what_is_written_is_read(
        tensors in prop::collection::btree_map(
            "[a-z]{1,3}(\\.[a-z]{1,3}){0,2}",
            (0usize..4, 0usize..4, any::<u32>()),
            0..6,
        ),
    ) {
        let stored: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
            .into_iter()
            .map(|(name, (rows, columns, seed))| {
                let values: Vec<f32> =
                    (0..rows * columns).map(|at| seed as f32 + at as f32).collect();
                (name, vec![rows, columns], f32_bytes(&values))
            })
            .collect();
        let borrowed: Vec<Stored<'_>> = stored
            .iter()
            .map(|(name, shape, bytes)| (name.as_str(), "F32", shape.as_slice(), bytes.as_slice()))
            .collect();
        let checkpoint = open_one(safetensors(&borrowed)).unwrap();
        assert_holds(&checkpoint, &stored);
    }
}

#[test]
fn opening_reads_headers_and_one_tensor_its_own_bytes() {
    // 16 GB that are not there: the file system stores no zeros that were never written.
    let large = 4_usize << 30;
    let header = format!(
        r#"{{"large":{{"dtype":"F32","shape":[{large}],"data_offsets":[0,{}]}},
            "small":{{"dtype":"F32","shape":[2],"data_offsets":[{0},{}]}}}}"#,
        4 * large,
        4 * large + 8
    );
    let folder = folder([("config.json", b"{}".to_vec())]);
    let mut file = std::fs::File::create(folder.path().join("model.safetensors")).unwrap();
    file.write_all(&with_header(&header, &[])).unwrap();
    file.seek(SeekFrom::Current(4 * large as i64)).unwrap();
    file.write_all(&f32_bytes(&[1.0, 2.0])).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let small = f32_view(&checkpoint).tensor("small", 2).unwrap();
    assert_eq!(small.to_vec1::<f32>().unwrap(), [1.0, 2.0]);
    let summary = Summary::of(&checkpoint);
    assert_eq!(summary.total.parameters, large as u64 + 2);
    assert_eq!(summary.bytes_as(DType::BF16), 2 * (large as u64 + 2));
}

#[test]
fn a_summary_counts_what_the_headers_say() {
    let checkpoint = Checkpoint::open(golden("glm4v")).unwrap();
    let summary = Summary::of(&checkpoint);
    let expected = parse(&std::fs::read(golden("glm4v").join("model.safetensors")).unwrap());
    let bytes: u64 = expected.iter().map(|(.., bytes)| bytes.len() as u64).sum();
    assert_eq!(summary.total.tensors, expected.len());
    assert_eq!((summary.total.bytes, summary.total.parameters), (bytes, bytes / 4));
    assert_eq!(summary.by_dtype.keys().collect::<Vec<_>>(), [&StoredType::Plain(StoredDtype::F32)]);
    let modules: Vec<&str> = summary.by_module.keys().map(String::as_str).collect();
    assert_eq!(modules, ["lm_head", "model.language_model", "model.visual"]);
    let parameters: u64 = summary.by_module.values().map(|count| count.parameters).sum();
    assert_eq!(parameters, summary.total.parameters);
    assert_eq!(summary.bytes_as(DType::F16), bytes / 2);
    assert_eq!(summary.files.len(), 1);
    let integers = open_one(safetensors(&[("a", "I64", &[2], &[0; 16])])).unwrap();
    assert_eq!(Summary::of(&integers).bytes_as(DType::F16), 16);
}

#[test]
fn views_are_shared_by_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<Checkpoint>();
    shared::<Weights>();
}
