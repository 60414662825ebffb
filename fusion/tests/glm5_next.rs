//! GLM-5.3-Flash: what its recurrent state changes for callers, and what is refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(clippy::result_large_err, reason = "the error is the one under test")]

mod common;

use common::{greedy, ids};
use glm4v_fusion::{
    CacheType, Draft, DraftCounts, FusionError, GenerateOptions, Grammar, Image, LoadOptions,
    Model, Quantisation, VideoMetadata, export,
};
use glm4v_weights::{BlockType, Checkpoint};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens/glm5_next")
}

fn load(folder: &Path, options: &LoadOptions) -> Result<Model, FusionError> {
    Model::load(folder.to_str().unwrap(), options)
}

fn model() -> Model {
    load(&golden(), &LoadOptions::default()).unwrap()
}

fn page() -> Image {
    Image::open(golden().join("page.png")).unwrap()
}

/// The golden checkpoint with another `config.json`.
fn with_config(edit: impl FnOnce(&mut Value)) -> TempDir {
    let folder = TempDir::new().unwrap();
    for entry in std::fs::read_dir(golden()).unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
    }
    let file = folder.path().join("config.json");
    let mut config = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    edit(&mut config);
    std::fs::write(file, config.to_string()).unwrap();
    folder
}

#[test]
fn an_answer_about_a_picture_is_the_references() {
    let text = std::fs::read(golden().join("one_image.json")).unwrap();
    let case: Value = serde_json::from_slice(&text).unwrap();
    let expected: Vec<u32> = serde_json::from_value(case["greedy_tokens"].clone()).unwrap();
    let stop = [440, 447, 449];
    let expected: Vec<u32> =
        expected.into_iter().take_while(|token| !stop.contains(token)).collect();
    let answer = model().ask(&[page()], "Describe this image in detail.", &greedy(16)).unwrap();
    assert_eq!(ids(&answer), expected);
}

#[test]
fn an_answer_about_a_video_is_the_references() {
    let text = std::fs::read(golden().join("video.json")).unwrap();
    let case: Value = serde_json::from_slice(&text).unwrap();
    let expected: Vec<u32> = serde_json::from_value(case["greedy_tokens"].clone()).unwrap();
    let question = case["prompt"].as_str().unwrap();
    let (_, question) = question.split_once("<|end_of_video|>").unwrap();
    let (question, _) = question.split_once("<|assistant|>").unwrap();
    let model = model();
    let metadata = VideoMetadata { fps: 3.0, total_frames: 6, duration: Some(2.0) };
    let chosen = model.choose_frames(&metadata).unwrap();
    assert_eq!(chosen.len(), 4);
    let frame = |i: &usize| Image::open(golden().join(format!("frame_{i}.png"))).unwrap();
    let frames: Vec<Image> = chosen.iter().map(frame).collect();
    let seconds: Vec<f64> = chosen.iter().map(|&i| i as f64 / 3.0).collect();
    let video = model.embed_video(&frames, &seconds).unwrap();
    let answer = model.stream_visual(&[video], question, &greedy(16)).unwrap().finish().unwrap();
    let stop = [440, 447, 449];
    let expected: Vec<u32> = expected.into_iter().take_while(|id| !stop.contains(id)).collect();
    assert!(!expected.is_empty());
    assert_eq!(ids(&answer), expected);
}

/// A grammar makes the small model's answers repeat themselves, so that guesses are right, and leaves
/// it choices, so that they are wrong.
#[test]
fn drafts_change_nothing_but_the_number_of_passes() {
    let model = model();
    for lark in
        [r"start: /(one two three four ){12}/", r"start: /((one|six) (two|ten) three ){16}/"]
    {
        let grammar = Some(Grammar::Lark(lark.to_owned()));
        let ask = |draft| {
            let options = GenerateOptions { draft, grammar: grammar.clone(), ..greedy(400) };
            let drawn = GenerateOptions { temperature: Some(2.0), seed: Some(7), ..options };
            model.ask(&[page()], "one two one two", &drawn).unwrap()
        };
        let (plain, drafted) = (ask(Draft::Off), ask(Draft::Lookup));
        assert_eq!(drafted.tokens, plain.tokens, "{lark}"); // with their probabilities, to the bit
        assert_eq!((drafted.text, plain.drafts), (plain.text, DraftCounts::default()));
        let DraftCounts { proposed, accepted, .. } = drafted.drafts;
        assert!(accepted > 10 && accepted < proposed, "{lark}: {accepted} of {proposed}");
    }
}

#[test]
fn an_8_bit_cache_changes_the_logits_a_little() {
    let int8 = LoadOptions { cache_type: CacheType::Int8, ..LoadOptions::default() };
    let int8 = load(&golden(), &int8).unwrap();
    let scores = |model: &Model| -> Vec<f32> {
        let text = " table of fruit, and what each of them costs in the shops of the town";
        let scores = model.log_probabilities(&[page()], "What is it?", text).unwrap();
        scores.iter().map(|score| score.log_probability).collect()
    };
    let (found, expected) = (scores(&int8), scores(&model()));
    assert_ne!(found, expected);
    let errors: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).collect();
    // The indexer may take another pool where two are nearly as good.
    assert!(errors.iter().all(|&error| error < 0.5), "{errors:?}");
    assert!(errors.iter().sum::<f32>() / (errors.len() as f32) < 0.06, "{errors:?}");
}

#[test]
fn answers_made_together_are_those_made_alone() {
    let model = model();
    let questions = ["What is it?", "What is it made of, and why?", "What is it?"];
    let together = model.ask_many(&[page()], &questions, &greedy(12)).unwrap();
    for (question, answer) in questions.iter().zip(&together) {
        let alone = model.ask(&[page()], question, &greedy(12)).unwrap();
        assert_eq!(ids(answer), ids(&alone), "{question}");
    }
}

#[test]
fn a_chat_goes_on_as_if_it_began_anew() {
    let model = model();
    let turns = ["What is it?", "And what is it made of?", "Why?"];
    let whole = |upto: usize| {
        let mut chat = model.chat(None);
        let mut last = Vec::new();
        for turn in turns.iter().take(upto) {
            last = ids(&chat.send(&[], turn, &greedy(8), |_| ()).unwrap());
        }
        last
    };
    let mut chat = model.chat(None);
    for (at, turn) in turns.iter().enumerate() {
        let found = ids(&chat.send(&[], turn, &greedy(8), |_| ()).unwrap());
        assert_eq!(found, whole(at + 1), "{turn}");
    }
}

#[test]
fn layers_are_quantised_while_they_are_read() {
    let plain = model();
    for quant in [Quantisation::Blocks(BlockType::Q8_0), Quantisation::Int8] {
        let options = LoadOptions { quant: Some(quant), ..LoadOptions::default() };
        let quantised = load(&golden(), &options).unwrap();
        let ends = |model: &Model| {
            let scores = model.log_probabilities(&[page()], "What is it?", " table").unwrap();
            scores.first().unwrap().log_probability
        };
        let (found, expected) = (ends(&quantised), ends(&plain));
        assert!((found - expected).abs() < 0.5 && found != expected, "{found} {expected}");
    }
}

#[test]
fn what_it_has_not_is_refused() {
    let mtp = LoadOptions { prediction_layer: true, ..LoadOptions::default() };
    let error = load(&golden(), &mtp).unwrap_err();
    assert!(matches!(error, FusionError::NoPredictionLayer { .. }), "{error}");
    let (folder, checkpoint) = (TempDir::new().unwrap(), Checkpoint::open(golden()).unwrap());
    let file = folder.path().join("model.gguf");
    let error = export(&checkpoint, &file, BlockType::Q8_0, &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("glm5_next"), "{error}");
}

#[test]
fn a_config_that_cannot_be_names_its_field() {
    let wrong: [(&str, Value); 11] = [
        ("index_topk", json!(18)),
        ("index_kpool", json!(0)),
        ("index_kpool_always_select_tail", json!(false)),
        ("layer_types", json!(["linear_attention", "indexed_attention"])),
        ("layer_types", json!(["linear_attention", "square", "linear_attention", "square"])),
        ("indexer_types", json!(["full", "shared", "shared", "full"])),
        ("qk_rope_head_dim", json!(4)),
        ("linear_conv_kernel_dim", json!(0)),
        ("hc_mult", json!(1u64 << 40)),
        ("swiglu_limit", json!(-1.0)),
        ("num_key_value_heads", json!(2)),
    ];
    for (field, value) in wrong {
        let folder = with_config(|config| config["text_config"][field] = value.clone());
        let error = load(folder.path(), &LoadOptions::default()).unwrap_err().to_string();
        assert!(error.contains(field), "{field} {value}: {error}");
    }
    let folder = with_config(|config| config["text_config"]["kv_lora_rank"] = json!(16));
    let error = load(folder.path(), &LoadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("kv_b_proj"), "{error}");
}

/// The fields of the original config, from which transformers makes its own.
#[test]
fn an_original_config_is_the_same_model() {
    let folder = with_config(|config| {
        let text = &mut config["text_config"];
        text["linear_attn_config"] = json!({"head_dim": 8, "num_heads": 3, "short_conv_kernel_size": 4, "gate_lower_bound": -5.0});
        for field in ["linear_head_dim", "linear_num_heads", "linear_conv_kernel_dim"] {
            text[field] = json!(5);
        }
        text["index_topk_pattern"] = json!("FFSF");
        text.as_object_mut().unwrap().remove("indexer_types");
    });
    let other = load(folder.path(), &LoadOptions::default()).unwrap();
    let ask = |model: &Model| ids(&model.ask(&[page()], "What?", &greedy(8)).unwrap());
    assert_eq!(ask(&other), ask(&model()));
}
