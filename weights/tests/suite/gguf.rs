//! GGUF headers that lie, written from the format's description and not with the crate under test.

use glm4v_weights::{
    Checkpoint, Files, Gguf, GgufTensor, GgufWriter, StoredDtype, StoredType, Take, Taken,
    WeightsError,
};
use std::fs::File;
use std::io::Write;

/// A header of version 3 with these counts.
fn header(tensors: u64, keys: u64) -> Vec<u8> {
    let counts = [tensors, keys].map(u64::to_le_bytes).concat();
    [b"GGUF".as_slice(), &3u32.to_le_bytes(), &counts].concat()
}

/// The beginning of a key `a` with a value of `kind`.
fn key(kind: u32) -> Vec<u8> {
    [&1u64.to_le_bytes(), b"a".as_slice(), &kind.to_le_bytes()].concat()
}

/// The kind and length of an array.
fn array(kind: u32, length: u64) -> Vec<u8> {
    [kind.to_le_bytes().as_slice(), &length.to_le_bytes()].concat()
}

/// Opens a file that begins so and whose other bytes, up to `length`, are a hole.
fn open(beginning: &[Vec<u8>], length: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut file = File::create(&path).unwrap();
    file.write_all(&beginning.concat()).unwrap();
    file.set_len(length).unwrap();
    let error = Gguf::open(&path).unwrap_err();
    assert!(matches!(error, WeightsError::BadGguf { .. }), "{error}");
    assert!(error.to_string().contains("model.gguf"), "{error}");
    error.to_string()
}

const GIB: u64 = 1 << 30;

#[test]
fn a_header_takes_no_more_memory_than_any_model_needs() {
    let (byte, text, list) = (0, 8, 9);
    for beginning in [
        vec![header(0, 1), key(list), array(byte, 8 * GIB)],
        vec![header(0, 1), key(list), array(list, GIB / 2)],
        vec![header(0, 1), key(text), (8 * GIB).to_le_bytes().to_vec()],
        vec![header(GIB / 4, 0)],
    ] {
        let told = open(&beginning, 9 * GIB);
        assert!(told.contains("memory"), "{told}");
    }
}

#[test]
fn counts_beyond_the_file_are_told() {
    for beginning in [
        vec![header(1 << 40, 0)],
        vec![header(0, u64::MAX)],
        vec![header(0, 1), key(9), array(0, u64::MAX)],
        vec![header(0, 1), key(8), u64::MAX.to_le_bytes().to_vec()],
    ] {
        let told = open(&beginning, 4096);
        assert!(told.contains("cut short or damaged"), "{told}");
    }
}

#[test]
fn a_tensor_without_numbers_is_refused() {
    let sizes = [4, 0, 1 << 40].map(u64::to_le_bytes).concat();
    let (name, end) =
        (b"a".to_vec(), [0u32.to_le_bytes().as_slice(), &0u64.to_le_bytes()].concat());
    let line = [1u64.to_le_bytes().to_vec(), name, 3u32.to_le_bytes().to_vec(), sizes, end];
    let told = open(&[header(1, 0), line.concat()], 4096);
    assert!(told.contains("tensor `a`") && told.contains("cannot be stored"), "{told}");
}

#[test]
fn arrays_in_arrays_end_somewhere() {
    let nested = array(9, 1).repeat(100_000);
    let told = open(&[header(0, 1), key(9), nested], 1_300_000);
    assert!(told.contains("key `a`") && told.contains("deeper"), "{told}");
}

/// What is said of taking tensor `a` in the form `take` from a file with these tensors in f32.
fn taken(tensors: &[(&str, &[usize], &[f32])], take: Take) -> Result<Vec<f32>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let entry = |&(name, shape, _): &(&str, &[usize], &[f32])| GgufTensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        stored: StoredType::Plain(StoredDtype::F32),
    };
    let entries = tensors.iter().map(entry).collect();
    let mut writer = GgufWriter::new(File::create(&path).unwrap(), &[], entries).unwrap();
    for (_, _, numbers) in tensors {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        writer.tensor(&bytes).unwrap();
    }
    writer.finish().unwrap();
    let gguf = Gguf::open(&path).unwrap();
    let (name, source) = ("b".to_owned(), "a".to_owned());
    let taken = Taken { name, part: 0, source, take };
    let checkpoint = Checkpoint::from_gguf(Files::Embedded(&[]), &[gguf], &[taken]);
    let checkpoint = checkpoint.map_err(|error| error.to_string())?;
    let tensor = checkpoint.tensors().next().unwrap();
    let bytes = checkpoint.bytes(tensor).unwrap();
    assert_eq!(bytes.len(), 4 * tensor.shape.iter().product::<usize>());
    Ok(bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

#[test]
fn numbers_that_have_no_logarithm_are_refused() {
    let log = |numbers: &[f32]| taken(&[("a", &[2], numbers)], Take::LogOfNegative);
    assert_eq!(log(&[-1.0, -0.5]).unwrap(), [0.0, 0.5f32.ln()]);
    for numbers in [[-1.0, 0.0], [-1.0, 0.5], [f32::NAN, -1.0], [f32::NEG_INFINITY, -1.0]] {
        let told = log(&numbers).unwrap_err();
        assert!(told.contains("model.gguf") && told.contains("tensor `a`"), "{told}");
        assert!(told.contains("not below 0"), "{told}");
    }
}

#[test]
fn keys_without_their_values_are_refused() {
    let keys: (&str, &[usize], &[f32]) = ("a", &[1, 2, 1], &[1.0, 2.0]);
    let both = |values: &[(&str, &[usize], &[f32])]| {
        let tensors: Vec<_> = [keys].iter().chain(values).copied().collect();
        taken(&tensors, Take::KeysAndValues("v".to_owned()))
    };
    assert_eq!(both(&[("v", &[1, 1, 2], &[3.0, 4.0])]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert!(both(&[]).unwrap_err().contains("tensor `v` is missing"));
    for shape in [[2, 1, 1].as_slice(), &[1, 2, 1], &[1, 2], &[1, 1, 1, 2]] {
        let told = both(&[("v", shape, &[3.0, 4.0])]).unwrap_err();
        assert!(told.contains("tensor `a`") && told.contains("no keys and values"), "{told}");
    }
}
