//! GGUF files that llama.cpp's converter and quantiser made (`tests/fixtures/gguf`), against what
//! llama.cpp computes with them and against what the reference computed before the conversion.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

#[path = "common/files.rs"]
mod files;

use files::{fixture, load, near, refusal, stages};
use glm4v_fusion::parity::StageReport;
use glm4v_fusion::{FusionError, LoadOptions, Model, export, open_checkpoint};
use glm4v_weights::{BlockType, Checkpoint, StoredDtype, StoredType};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

#[test]
fn a_model_in_parts_is_the_model_in_one_file() {
    let eyes = Some(fixture("mmproj-glm4v.gguf"));
    let tensors = |path: &str| {
        let options = LoadOptions { mmproj: eyes.clone(), ..LoadOptions::default() };
        let checkpoint = open_checkpoint(&fixture(path), &options).unwrap();
        let content = |tensor| (checkpoint.bytes(tensor).unwrap().into_owned(), tensor.clone());
        let all: Vec<_> = checkpoint.tensors().map(content).collect();
        all.into_iter().map(|(bytes, info)| (info.name, info.dtype, info.shape, bytes)).collect()
    };
    let whole: Vec<_> = tensors("glm4v.gguf");
    let parts: Vec<_> = tensors("split/glm4v-00001-of-00003.gguf");
    assert!(whole == parts && whole.len() > 29);
}

#[test]
fn parts_that_are_missing_or_not_the_first_are_named() {
    let error = |path: &Path| {
        let error = open_checkpoint(path, &LoadOptions::default()).unwrap_err();
        error.to_string()
    };
    let second = error(&fixture("split/glm4v-00002-of-00003.gguf"));
    assert!(second.contains("part 2 of 3") && second.contains("-00001-of-00003.gguf"), "{second}");
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        let to = folder.path().join(to);
        std::fs::copy(fixture(&format!("split/glm4v-{from}-of-00003.gguf")), &to).unwrap();
        to
    };
    let renamed = error(&copy("00001", "glm4v.gguf"));
    assert!(renamed.contains("whose name ends in -00001-of-00003.gguf"), "{renamed}");
    let first = copy("00001", "a-00001-of-00003.gguf");
    copy("00002", "a-00002-of-00003.gguf");
    let missing = error(&first);
    assert!(missing.contains("a-00003-of-00003.gguf"), "{missing}");
    copy("00002", "a-00003-of-00003.gguf");
    let another = error(&first);
    assert!(another.contains("does not say that it is part 3 of 3"), "{another}");
}

#[test]
fn text_models_compute_what_llama_cpp_does() {
    // llama.cpp rounds rows to f16 where weights are in f16.
    for name in ["glm_ocr", "glm4v_moe"] {
        near(&fixture(name), &load(name), 1e-2);
    }
    // Both round rows to 8 bits where weights are in blocks. llama.cpp keeps the scale of 32
    // values in f16, and we in f32; where its blocks have 256 values it has one scale for all of
    // them. A value that is rounded up here and down there moves all that comes after, so the
    // distance is that of two roundings, whatever the size of the first difference.
    for name in ["chatglm", "glm4v", "every_type"] {
        let stages = stages(&fixture(name), &load(name));
        let ids = stages.iter().find(|(_, stage)| stage.stage == "prompt_ids").unwrap();
        assert!(ids.1.passed, "{ids:?}");
        let divergence = stages.iter().find_map(|(_, stage)| stage.divergence).unwrap();
        assert!(divergence.kl < 2e-3 && divergence.top1 > 0.8, "{name}: {divergence:?}");
    }
}

/// The logits of every row of the prompt in a fixture.
fn logits(file: &str) -> Vec<Vec<f32>> {
    let path = fixture(file).with_extension("safetensors");
    let tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
    tensors["logits"].squeeze(0).unwrap().to_vec2().unwrap()
}

/// Mean Kullback-Leibler divergence of `found` from `reference`, in nats.
fn divergence(reference: &[Vec<f32>], found: &[Vec<f32>]) -> f64 {
    let log_softmax = |row: &[f32]| -> Vec<f64> {
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        row.iter().map(|&x| f64::from(x) - sum.ln()).collect()
    };
    let rows = reference.iter().zip(found).map(|(reference, found)| -> f64 {
        let pairs = log_softmax(reference).into_iter().zip(log_softmax(found));
        pairs.map(|(p, q)| p.exp() * (p - q)).sum()
    });
    rows.sum::<f64>() / reference.len() as f64
}

#[test]
fn rounding_rows_takes_us_no_further_from_the_weights_than_llama_cpp() {
    let exact = logits("exact/exact");
    let theirs = divergence(&exact, &logits("every_type/llama_cpp"));
    assert!((1e-4..1e-2).contains(&theirs), "{theirs}");
    let stages = stages(&fixture("exact"), &load("every_type"));
    let ours = stages.iter().find_map(|(_, stage)| stage.divergence).unwrap();
    assert!(ours.kl < 1.1 * theirs, "{ours:?}, llama.cpp {theirs}");
}

#[test]
fn vision_models_compute_what_the_reference_did() {
    // Weights in f16 have a relative error of 5e-4 at most, which the layers of a random model
    // amplify; a tensor out of place gives an error of about 1.
    for name in ["glm_ocr", "glm4v_moe"] {
        near(&golden(name), &load(name), 5e-2);
    }
}

#[test]
fn vision_models_in_blocks_stay_near_the_reference() {
    let stages = stages(&golden("glm4v"), &load("glm4v"));
    for (case, stage) in &stages {
        let whole = ["prompt_ids", "input_ids", "position_ids", "image_grid_thw"];
        if whole.iter().any(|name| stage.stage.starts_with(name)) {
            assert!(stage.passed, "{case}: {stage:?}");
        }
    }
    let prompts = stages.iter().filter(|(_, stage)| stage.stage == "logits");
    let divergences: Vec<_> = prompts.filter_map(|(_, stage)| stage.divergence).collect();
    assert_eq!(divergences.len(), 3);
    for divergence in divergences {
        assert!(divergence.kl < 0.06 && divergence.top1 > 0.5, "{divergence:?}");
    }
}

#[test]
fn without_a_projector_the_decoder_alone_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::copy(fixture("glm_ocr.gguf"), &path).unwrap();
    let has_eyes = || {
        let model = Model::load(path.to_str().unwrap(), &LoadOptions::default()).unwrap();
        model.info().vision
    };
    assert!(!has_eyes());
    // The only projector in the folder is taken by itself, and a model of another width is not.
    let beside = folder.path().join("mmproj-F16.gguf");
    std::fs::copy(fixture("mmproj-glm4v.gguf"), &beside).unwrap();
    assert!(!has_eyes());
    std::fs::copy(fixture("mmproj-glm_ocr.gguf"), &beside).unwrap();
    assert!(has_eyes());
    std::fs::copy(&beside, folder.path().join("mmproj-F32.gguf")).unwrap();
    assert!(!has_eyes());
    // Among several, that of the model's own name is taken.
    std::fs::copy(&beside, folder.path().join("mmproj-model.gguf")).unwrap();
    assert!(has_eyes());
}

#[test]
fn a_wrong_projector_is_named() {
    let open = |model: &str, mmproj: &str| -> FusionError {
        let options = LoadOptions { mmproj: Some(fixture(mmproj)), ..LoadOptions::default() };
        open_checkpoint(&fixture(model), &options).unwrap_err()
    };
    let error = open("glm_ocr.gguf", "mmproj-glm4v.gguf").to_string();
    assert!(
        error.contains("mmproj-glm4v.gguf") && error.contains("glm_ocr.gguf has 48"),
        "{error}"
    );
    let error = open("glm_ocr.gguf", "glm4v.gguf").to_string();
    assert!(error.contains("glm4v.gguf") && error.contains("projector of type"), "{error}");
    let error = open_checkpoint(&fixture("mmproj-glm4v.gguf"), &LoadOptions::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("--mmproj"), "{error}");
}

#[test]
fn damaged_files_are_refused_by_name() {
    let good = std::fs::read(fixture("glm4v.gguf")).unwrap();
    let refused = |bytes: &[u8], expected: &str| {
        let error = refusal(bytes);
        assert!(error.contains("damaged.gguf") && error.contains(expected), "{error}");
    };
    refused(&[], "no GGUF file");
    refused(b"GGML", "no GGUF file");
    refused(b"version https://git-lfs.github.com/spec/v1", "git lfs pull");
    refused(&good[..20], "cut short");
    refused(&good[..good.len() - 2000], "cut short; download it again");
    let replaced = |from: &[u8], to: &[u8]| {
        let mut bytes = good.clone();
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    refused(&replaced(&3u32.to_le_bytes(), &1u32.to_le_bytes()), "version 1");
    refused(&replaced(&3u32.to_le_bytes(), &3u32.to_be_bytes()), "big-endian");
    refused(&replaced(b"blk.0.ffn_down", b"blk.0.ffn_gone"), "blk.0.ffn_gone");
    refused(&replaced(b"glm4.embedding_length", b"glm4.embedding_lengtX"), "glm4.embedding_length");
    // The type of a tensor follows its two sizes.
    let name = b"blk.0.ffn_down.weight";
    let at = good.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    let mut bytes = good.clone();
    bytes[at + 20] = 99;
    refused(&bytes, "blk.0.ffn_down.weight`: number format 99");
    let mut bytes = good.clone();
    bytes[at + 4..at + 12].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&bytes, "blk.0.ffn_down.weight`: sizes");
}

#[test]
fn mutated_headers_are_never_more_than_an_error() {
    for name in ["glm4v.gguf", "glm5_next.gguf"] {
        mutated_headers(&std::fs::read(fixture(name)).unwrap());
    }
}

fn mutated_headers(good: &[u8]) {
    let header = good.windows(18).rposition(|window| window == b"output_norm.weight").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutated.gguf");
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    for _ in 0..400 {
        let mut bytes = good.to_vec();
        for _ in 0..=random(3) {
            let at = random(header + 64);
            bytes[at] = match random(3) {
                0 => 0xff,
                1 => bytes[at] ^ (1 << random(8)),
                _ => random(256) as u8,
            };
        }
        if random(8) == 0 {
            bytes.truncate(random(good.len()));
        }
        std::fs::write(&path, &bytes).unwrap();
        refused +=
            usize::from(Model::load(path.to_str().unwrap(), &LoadOptions::default()).is_err());
    }
    assert!((50..400).contains(&refused), "{refused} of 400 were refused");
}

#[test]
fn an_exported_model_is_the_one_that_is_quantised_while_it_is_loaded() {
    for (name, quant) in [
        ("glm", BlockType::Q4_0),
        ("glm4", BlockType::Q5K),
        ("glm4v", BlockType::Q4K),
        ("glm_ocr", BlockType::Q8_0),
        ("glm4v_moe", BlockType::Q5_1),
        ("glm46v_moe", BlockType::Q6K),
    ] {
        let checkpoint = Checkpoint::open(golden(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let mut last = (0, 0);
        let written = export(&checkpoint, &path, quant, &mut |done, total| last = (done, total));
        let written = written.unwrap();
        assert_eq!(last, (written.bytes, written.bytes));
        let eyes = ["glm4v", "glm_ocr", "glm4v_moe", "glm46v_moe"].contains(&name);
        assert_eq!(written.mmproj, eyes.then(|| folder.path().join("mmproj-model.gguf")));
        // Nothing half-written is left, and nothing is overwritten.
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1 + usize::from(eyes));
        assert!(export(&checkpoint, &path, quant, &mut |_, _| ()).is_err());

        let options = LoadOptions { quant: Some(quant.into()), ..LoadOptions::default() };
        let loaded = Model::from_checkpoint(&checkpoint, name, &options).unwrap();
        let exported = Model::load(path.to_str().unwrap(), &LoadOptions::default()).unwrap();
        assert_eq!(exported.info().vision, eyes);
        let loaded = stages(&golden(name), &loaded);
        for ((case, stage), (_, expected)) in stages(&golden(name), &exported).iter().zip(&loaded) {
            assert_eq!(stage, expected, "{name} {case}");
        }
        let error = |stages: &[(String, StageReport)]| -> Vec<f64> {
            stages.iter().filter_map(|(_, stage)| Some(stage.divergence?.kl)).collect()
        };
        assert!(error(&loaded).iter().all(|kl| (1e-9..0.5).contains(kl)), "{:?}", error(&loaded));
    }
}

#[test]
fn plain_numbers_go_into_the_file_as_they_are() {
    for name in ["glm4", "glm46v_moe"] {
        let checkpoint = Checkpoint::open(golden(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (form, bound) in [(StoredDtype::F32, 1e-9), (StoredDtype::F16, 1e-4)] {
            let path = folder.path().join(format!("{form:?}.gguf"));
            export(&checkpoint, &path, StoredType::Plain(form), &mut |_, _| ()).unwrap();
            let model = Model::load(path.to_str().unwrap(), &LoadOptions::default()).unwrap();
            let stages = stages(&golden(name), &model);
            assert!(form != StoredDtype::F32 || stages.iter().all(|(_, stage)| stage.passed));
            let logits = stages.iter().filter(|(_, stage)| stage.stage.starts_with("logits"));
            let found: Vec<f64> = logits.map(|(_, stage)| stage.divergence.unwrap().kl).collect();
            assert!(found.len() >= 2 && found.iter().all(|kl| *kl < bound), "{name} {found:?}");
        }
    }
}

/// llama.cpp refuses a list of merges that is not one of texts, and `nano`'s vocabulary has no merge.
#[test]
fn a_vocabulary_without_merges_has_an_empty_list_of_texts() {
    let nano = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/nano");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nano.gguf");
    let written = Checkpoint::open(nano).unwrap();
    export(&written, &path, BlockType::Q8_0, &mut |_, _| ()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let key = b"tokenizer.ggml.merges";
    let place = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    let (array, text, length) = (9u32.to_le_bytes(), 8u32.to_le_bytes(), 0u64.to_le_bytes());
    assert_eq!(bytes[place..place + 16], [&array[..], &text, &length].concat());
}

#[test]
fn what_gguf_has_no_form_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::open(golden("glm4v_9b")).unwrap();
    let path = folder.path().join("model.gguf");
    let error = export(&checkpoint, &path, BlockType::Q8_0, &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("GLM-4V-9B"), "{error}");
    assert!(!path.exists());
    // It can be quantised while it is loaded all the same.
    let options = LoadOptions { quant: Some(BlockType::Q8_0.into()), ..LoadOptions::default() };
    let model = Model::from_checkpoint(&checkpoint, "glm4v_9b", &options).unwrap();
    for (case, stage) in stages(&golden("glm4v_9b"), &model) {
        if let Some(divergence) = stage.divergence {
            assert!(divergence.kl < 1e-2, "{case}: {divergence:?}");
        }
    }
}

#[test]
fn yarn_goes_into_the_file_and_out_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let yarn = golden("../yarn");
    for (from, file) in [
        (&yarn, "config.json"),
        (&yarn, "long.json"),
        (&yarn, "long.safetensors"),
        (&golden("glm4"), "model.safetensors"),
        (&golden("glm4"), "tokenizer.json"),
        (&golden("glm4"), "tokenizer_config.json"),
    ] {
        std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let path = folder.path().join("long.gguf");
    let quant = BlockType::Q8_0;
    export(&checkpoint, &path, quant, &mut |_, _| ()).unwrap();
    let options = LoadOptions { quant: Some(quant.into()), ..LoadOptions::default() };
    let loaded = Model::from_checkpoint(&checkpoint, "long", &options).unwrap();
    let exported = Model::load(path.to_str().unwrap(), &LoadOptions::default()).unwrap();
    assert_eq!(exported.info().context_length, 128);
    assert_eq!(stages(folder.path(), &exported), stages(folder.path(), &loaded));
    // Other scalings of attention have no place in the file.
    let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    let config = config.replace("\"factor\"", "\"attention_factor\": 2.0, \"factor\"");
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let error = export(&checkpoint, &folder.path().join("b.gguf"), quant, &mut |_, _| ());
    assert!(matches!(error, Err(FusionError::NoGgufForm { .. })), "{error:?}");
}

/// A key of a GGUF file with a text, or else a number of 32 bits, as bytes.
fn entry(key: &str, text: Result<&str, f32>) -> Vec<u8> {
    let sized = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let value = match text {
        Ok(text) => [8u32.to_le_bytes().to_vec(), sized(text)].concat(),
        Err(number) => [6u32.to_le_bytes(), number.to_le_bytes()].concat(),
    };
    [sized(key), value].concat()
}

/// A GGUF file with more keys, its tensors still where their alignment wants them.
fn with_entries(file: &[u8], entries: &[Vec<u8>]) -> Vec<u8> {
    const ALIGNMENT: usize = 32;
    let (keys, width) = (16, 8);
    let mut added = entries.concat();
    let filler = entry("general.comment", Ok("")).len();
    let missing = (2 * ALIGNMENT - (added.len() + filler) % ALIGNMENT) % ALIGNMENT;
    added.extend(entry("general.comment", Ok(&".".repeat(missing))));
    let mut bytes = file.to_vec();
    let count = u64::from_le_bytes(bytes[keys..keys + width].try_into().unwrap());
    let more = count + entries.len() as u64 + 1;
    bytes[keys..keys + width].copy_from_slice(&more.to_le_bytes());
    bytes.splice(keys + width..keys + width, added);
    bytes
}

#[test]
fn scalings_of_positions_that_a_model_never_had_are_refused() {
    let scaling = |key: &str, value| entry(&format!("chatglm.rope.scaling.{key}"), value);
    let good = std::fs::read(fixture("chatglm.gguf")).unwrap();
    let changed = |entries: &[Vec<u8>]| with_entries(&good, entries);
    let folder = tempfile::tempdir().unwrap();
    for (i, none) in [vec![], vec![scaling("type", Ok("none"))]].into_iter().enumerate() {
        let path = folder.path().join(format!("{i}.gguf"));
        std::fs::write(&path, changed(&none)).unwrap();
        Model::load(path.to_str().unwrap(), &LoadOptions::default()).unwrap();
    }
    for (entries, told) in [
        (vec![scaling("type", Ok("longrope"))], "`chatglm.rope.scaling.type` asks"),
        (vec![scaling("factor", Err(4.0))], "`chatglm.rope.scaling.factor` asks"),
        (
            vec![scaling("type", Ok("yarn")), scaling("factor", Err(4.0))],
            "scales positions, which GLM-4's original checkpoints do not",
        ),
    ] {
        let error = refusal(&changed(&entries));
        assert!(error.contains("damaged.gguf") && error.contains(told), "{error}");
    }
}
