//! Answers through the public interface, from the golden checkpoints.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{greedy, ids};
use glm4v_fusion::{
    CancelToken, DecodeTogether, Draft, DraftCounts, FinishReason, FusionError, GenerateOptions,
    Image, ImageOptions, LoadOptions, Message, Model, Part, Role, VideoFile, VideoMetadata,
};
use std::path::{Path, PathBuf};

fn goldens(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

fn model(name: &str) -> Model {
    Model::load(goldens(name).to_str().unwrap(), &LoadOptions::default()).unwrap()
}

fn image(file: &str) -> Image {
    Image::open(goldens(file)).unwrap()
}

/// The greedy tokens of a golden case, up to the first that ends an answer.
fn reference(case: &str, stop: &[u32]) -> Vec<u32> {
    let text = std::fs::read(goldens(case).with_extension("json")).unwrap();
    let case: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let tokens: Vec<u32> = serde_json::from_value(case["greedy_tokens"].clone()).unwrap();
    tokens.into_iter().take_while(|token| !stop.contains(token)).collect()
}

/// `<|endoftext|>`, `<|user|>` and `<|observation|>` in the golden vocabularies.
const STOP: [u32; 3] = [440, 447, 449];

#[test]
fn answers_about_a_picture_are_the_references() {
    let cases = [
        ("glm4v", "one_image", "Describe this image in detail."),
        ("glm46v", "one_image", "Describe this image in detail."),
        ("glm4v_moe", "one_image", "Describe this image in detail."),
        ("glm4v_9b", "one_image", "Describe this image in detail."),
        ("glm_ocr", "text_recognition", "Text Recognition:"),
        ("glm_ocr", "table_recognition", "Table Recognition:"),
    ];
    for (name, case, question) in cases {
        let picture = image(&format!("{name}/{case}_0.png"));
        let answer = model(name).ask(&[picture], question, &greedy(16)).unwrap();
        let expected = reference(&format!("{name}/{case}"), &STOP);
        assert_eq!(ids(&answer), expected, "{name}");
        assert_eq!(answer.usage.completion, expected.len());
        assert!(answer.usage.image > 0 && answer.usage.prompt > answer.usage.image);
    }
}

#[test]
fn answers_about_a_video_are_the_references() {
    for name in ["glm4v", "glm46v", "glm4v_moe"] {
        let model = model(name);
        let frames: Vec<Image> =
            (0..4).map(|frame| image(&format!("{name}/video_v0_f{frame}.png"))).collect();
        let video = model.embed_video(&frames, &[0.0, 0.5, 1.0, 1.5]).unwrap();
        assert!(video.is_video());
        let generation = model.stream_visual(&[video], "What happens?", &greedy(16)).unwrap();
        let answer = generation.finish().unwrap();
        let stop: &[u32] = if name == "glm4v" { &[440, 447, 449, 459] } else { &STOP };
        assert_eq!(ids(&answer), reference(&format!("{name}/video"), stop), "{name}");
    }
}

#[test]
fn videos_need_frames_times_and_a_model_that_takes_them() {
    let frames = vec![image("glm4v/video_v0_f0.png"); 3];
    let glm4v = model("glm4v");
    let error = glm4v.embed_video(&frames, &[0.0, 1.0]).unwrap_err();
    assert!(matches!(error, FusionError::FrameTimes { frames: 3, times: 2 }), "{error}");
    let error = glm4v.embed_video(&frames[..1], &[0.0]).unwrap_err();
    assert!(matches!(error, FusionError::Vision(_)), "{error}");
    let error = model("glm4v_9b").embed_video(&frames, &[0.0, 1.0, 2.0]).unwrap_err();
    assert!(matches!(error, FusionError::NoVideo { .. }), "{error}");
    let video = VideoMetadata { fps: 24.0, total_frames: 48, duration: Some(2.0) };
    assert_eq!(glm4v.choose_frames(&video).unwrap(), [0, 12, 24, 36]);
    assert_ne!(model("glm46v").choose_frames(&video).unwrap(), [0, 12, 24, 36]);
    let error = model("glm").choose_frames(&video).unwrap_err();
    assert!(matches!(error, FusionError::TextOnly { .. }), "{error}");
    let tokens = glm4v.embed_video(&frames, &[0.0, 1.0, 2.0]).unwrap(); // the last one is repeated
    let message = Message::new(Role::User, vec![Part::Image]);
    let error = glm4v.generate(&[message], &[tokens], &greedy(1)).unwrap_err();
    assert!(matches!(error, FusionError::WrongPlace { video: true }), "{error}");
}

#[test]
fn a_conversation_is_the_references() {
    let picture = image("glm4v_9b/two_turns_0.png");
    let model = model("glm4v_9b");
    let user = |parts| Message::new(Role::User, parts);
    let messages = [
        user(vec![Part::Image, Part::Text("Describe this image".into())]),
        Message::text(Role::Assistant, "It's a chart."),
        user(vec![Part::Text("And what does it show? 请描述".into())]),
    ];
    let visuals = [model.embed(&picture).unwrap()];
    let generation = model.generate(&messages, &visuals, &greedy(16)).unwrap();
    let answer = generation.finish().unwrap();
    assert_eq!(ids(&answer), reference("glm4v_9b/two_turns", &STOP));
}

#[test]
fn completion_is_the_references() {
    let prompt = "<|user|>\nHello, what's in table 7 on page 12?<|assistant|>";
    for name in ["glm", "glm_1m", "glm4"] {
        let model = model(name);
        let expected = reference(&format!("{name}/chat"), &STOP);
        for prompt in [prompt.to_owned(), format!("[gMASK]<sop>{prompt}")] {
            let answer = model.complete(&prompt, &greedy(16)).unwrap().finish().unwrap();
            assert_eq!(ids(&answer), expected, "{name}");
        }
    }
}

#[test]
fn ask_many_gives_what_separate_asks_give() {
    let model = model("glm4v");
    let pictures = [image("glm4v/two_images_0.png"), image("glm4v/two_images_1.png")];
    // More than are made at once, and the answers end at different times.
    let questions =
        ["What is it?", "What is it made of?", "Compare the two.", "Why?", "What is it?"].repeat(4);
    let together = model.ask_many(&pictures, &questions, &greedy(12)).unwrap();
    assert_eq!(together.len(), questions.len());
    for (question, answer) in questions.iter().zip(&together) {
        let alone = model.ask(&pictures, question, &greedy(12)).unwrap();
        assert_eq!((ids(answer), &answer.text), (ids(&alone), &alone.text));
        assert_eq!(answer.usage, alone.usage);
    }
}

#[test]
fn threads_that_decode_together_get_what_each_would_alone() {
    let model = model("glm4v");
    let question = |i: usize| ["What is it?", "Why?", "What is it made of, and why?"][i % 3];
    let start = |i: usize| {
        let message = Message::new(Role::User, vec![Part::Text(question(i).to_owned())]);
        model.generate(&[message], &[], &greedy(4 + 3 * i)).unwrap()
    };
    let decoder = DecodeTogether::new(&model).unwrap();
    std::thread::scope(|scope| {
        for i in 0..20 {
            let (start, decoder) = (&start, &decoder);
            scope.spawn(move || {
                let (alone, together) = (start(i).finish().unwrap(), start(i));
                let together = decoder.finish(together).unwrap();
                assert_eq!((ids(&together), &together.text), (ids(&alone), &alone.text), "{i}");
                assert_eq!(together.finish_reason, alone.finish_reason);
            });
        }
    });
    let cancelled = {
        let options = greedy(400);
        let message = Message::new(Role::User, vec![Part::Text("Why?".to_owned())]);
        let generation = model.generate(&[message], &[], &options).unwrap();
        options.cancel.cancel();
        decoder.finish(generation).unwrap()
    };
    assert_eq!(cancelled.finish_reason, FinishReason::Cancelled);
}

#[test]
fn chat_keeps_what_it_has_run_and_answers_as_the_whole_conversation_would() {
    let model = model("glm4v");
    let picture = image("glm4v/one_image_0.png");
    let mut chat = model.chat(Some("Be brief."));
    assert_eq!(chat.cached_tokens(), 0);
    let mut streamed = String::new();
    let first = chat
        .send(std::slice::from_ref(&picture), "What is it?", &greedy(8), |chunk| {
            streamed += &chunk.text
        })
        .unwrap();
    assert_eq!(streamed, first.text);
    assert!(chat.cached_tokens() >= first.usage.prompt);
    let second = chat.send(&[], "And why?", &greedy(8), |_| ()).unwrap();
    assert_eq!(second.usage.image, first.usage.image);
    assert_eq!(chat.messages().len(), 5);

    let visuals = [model.embed(&picture).unwrap()];
    let before_last = &chat.messages()[..4];
    let whole = model.generate(before_last, &visuals, &greedy(8)).unwrap().finish().unwrap();
    assert_eq!((ids(&second), second.text), (ids(&whole), whole.text));
}

#[test]
fn chat_is_unchanged_by_a_turn_that_fails() {
    let model = model("glm4v");
    let mut chat = model.chat(None);
    let first = chat.send(&[], "What is it?", &greedy(4), |_| ()).unwrap();
    let too_long = "table ".repeat(3000);
    let error = chat.send(&[], &too_long, &greedy(4), |_| ()).unwrap_err();
    assert!(matches!(error, FusionError::PromptTooLong { limit: 2048, .. }), "{error}");
    assert_eq!(chat.messages().len(), 2);
    let second = chat.send(&[], "And why?", &greedy(4), |_| ()).unwrap();
    assert!(second.usage.prompt > first.usage.prompt);
}

#[test]
fn cancelling_ends_an_answer_and_keeps_what_was_made() {
    let model = model("glm4v");
    let options = greedy(100);
    let mut generation = model.stream(&[], "What's 12 times 30?", &options).unwrap();
    let first = generation.next().unwrap().unwrap();
    options.cancel.cancel();
    assert!(generation.next().is_none());
    let answer = generation.answer();
    assert_eq!(
        (answer.finish_reason, ids(&answer)),
        (FinishReason::Cancelled, vec![first.token.id])
    );

    let cancel = CancelToken::default();
    cancel.cancel();
    let options = GenerateOptions { cancel, ..greedy(4) };
    let error = model.ask(&[], "What's 12 times 30?", &options).unwrap_err();
    assert!(matches!(error, FusionError::Cancelled), "{error}");
}

#[test]
fn stop_strings_end_an_answer_and_are_not_in_it() {
    let model = model("glm4v");
    let picture = [image("glm4v/one_image_0.png")];
    let whole = model.ask(&picture, "Describe this image in detail.", &greedy(16)).unwrap();
    // Both reach over the borders of tokens: the golden's text is `…eche|able|mage|&…`.
    for stop in ["ablem", "eablemag"] {
        let before = whole.text.split_once(stop).expect("the golden's text").0;
        let options = GenerateOptions { stop: vec!["never".into(), stop.into()], ..greedy(16) };
        let mut generation =
            model.stream(&picture, "Describe this image in detail.", &options).unwrap();
        let chunks: String = generation.by_ref().map(|chunk| chunk.unwrap().text).collect();
        let answer = generation.answer();
        assert_eq!((answer.text.as_str(), chunks.as_str()), (before, before));
        assert_eq!(answer.finish_reason, FinishReason::Stop);
    }
}

#[test]
fn limits_end_an_answer() {
    let model = model("glm4v");
    let question = "What's 12 times 30?";
    let limited = model.ask(&[], question, &greedy(3)).unwrap();
    assert_eq!((limited.usage.completion, limited.finish_reason), (3, FinishReason::Length));
    assert_eq!(ids(&limited), ids(&model.ask(&[], question, &greedy(8)).unwrap())[..3]);
    let none = model.ask(&[], question, &greedy(0)).unwrap();
    assert_eq!((none.text.as_str(), none.finish_reason), ("", FinishReason::Length));
    // The context ends an answer when nothing else does.
    let long = "table ".repeat(2030);
    let options = GenerateOptions { temperature: Some(0.0), ..GenerateOptions::default() };
    let full = model.ask(&[], &long, &options).unwrap();
    assert_eq!(full.usage.prompt + full.usage.completion, 2048);
    assert_eq!(full.finish_reason, FinishReason::Length);
}

#[test]
fn wrong_numbers_of_images_are_told() {
    let picture = image("glm4v/one_image_0.png");
    let glm4v = model("glm4v");
    let tokens = glm4v.embed(&picture).unwrap();
    let message = Message::new(Role::User, vec![Part::Image, Part::Image]);
    let error = glm4v.generate(&[message], &[tokens], &greedy(1)).unwrap_err();
    assert!(matches!(error, FusionError::ImageCount { places: 2, images: 1 }), "{error}");
    let two = [picture.clone(), picture.clone()];
    let error = model("glm4v_9b").ask(&two, "What?", &greedy(1)).unwrap_err();
    assert!(matches!(error, FusionError::OneImageOnly { images: 2, .. }), "{error}");
    let error = model("glm").ask(&[picture], "What?", &greedy(1)).unwrap_err();
    assert!(matches!(error, FusionError::TextOnly { .. }), "{error}");
}

#[test]
fn log_probabilities_are_those_of_the_answer() {
    for (name, question) in [("glm4", "What's 12 times 30?"), ("glm4v", "What's 12 times 30?")] {
        let model = model(name);
        let answer = model.ask(&[], question, &greedy(1)).unwrap();
        let scores = model.log_probabilities(&[], question, "It's a table.").unwrap();
        assert!(!scores.is_empty());
        assert!(scores.iter().all(|score| score.log_probability < 0.0));
        // Nothing is likelier as the first token than what greedy decoding takes.
        let best = answer.tokens.first().unwrap().log_probability;
        assert!(scores[0].log_probability <= best);
        let likeliest = model.log_probabilities(&[], question, &answer.text).unwrap();
        if likeliest.len() == 1 && likeliest[0].id == answer.tokens[0].id {
            assert!((likeliest[0].log_probability - best).abs() < 1e-3);
        }
        assert!(model.log_probabilities(&[], question, "").unwrap().is_empty());
    }
}

#[test]
fn a_seed_makes_a_draw_repeatable() {
    let model = model("glm4v");
    let draw = |seed| {
        let options = GenerateOptions {
            temperature: Some(1.0),
            top_k: Some(20),
            top_p: Some(1.0),
            seed: Some(seed),
            ..greedy(12)
        };
        ids(&model.ask(&[], "What's 12 times 30?", &options).unwrap())
    };
    assert_eq!(draw(1), draw(1));
    assert!((2..10).any(|seed| draw(seed) != draw(1)));
}

#[test]
fn threads_share_a_model() {
    fn shared<T: Send + Sync>(_: &T) {}
    let model = model("glm4v");
    shared(&model);
    let ask = |file: &str| ids(&model.ask(&[image(file)], "What is it?", &greedy(12)).unwrap());
    let files = ["glm4v/two_images_0.png", "glm4v/two_images_1.png"];
    let alone = files.map(ask);
    let at_once = std::thread::scope(|scope| {
        let threads = files.map(|file| scope.spawn(move || ask(file)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(at_once, alone);
}

#[test]
fn a_folder_of_frames_is_a_video() {
    let model = model("glm4v");
    let files = (0..4).map(|frame| goldens(&format!("glm4v/video_v0_f{frame}.png"))).collect();
    let video = VideoFile::of_frames("frames", files, Some(2.0), &ImageOptions::default()).unwrap();
    let visual = model.embed_video_file(&video).unwrap();
    let generation = model.stream_visual(&[visual], "What happens?", &greedy(16)).unwrap();
    let answer = generation.finish().unwrap();
    assert_eq!(ids(&answer), reference("glm4v/video", &[440, 447, 449, 459]));
}

#[test]
fn drafts_of_the_prediction_layer_change_nothing() {
    let options = LoadOptions { prediction_layer: true, ..LoadOptions::default() };
    let drafting = Model::load(goldens("glm_ocr").to_str().unwrap(), &options).unwrap();
    let plain = model("glm_ocr");
    for (case, question) in [
        ("text_recognition", "Text Recognition:"),
        ("table_recognition", "Table Recognition:"),
        ("table_recognition", "one two one two one two"),
    ] {
        let picture = [image(&format!("glm_ocr/{case}_0.png"))];
        for options in [
            greedy(96),
            GenerateOptions { temperature: Some(0.7), top_k: Some(2), seed: Some(7), ..greedy(48) },
        ] {
            let without = GenerateOptions { draft: Draft::Off, ..options.clone() };
            let without = plain.ask(&picture, question, &without).unwrap();
            let with = GenerateOptions { draft: Draft::Prediction, ..options };
            let with = drafting.ask(&picture, question, &with).unwrap();
            assert_eq!(ids(&with), ids(&without), "{case}");
            assert_eq!((with.text, with.finish_reason), (without.text, without.finish_reason));
            assert!(with.drafts.passes > 0 && with.drafts.proposed >= with.drafts.passes);
        }
    }
}

#[test]
fn a_chat_with_drafts_of_the_prediction_layer_is_the_one_without() {
    let options = LoadOptions { prediction_layer: true, ..LoadOptions::default() };
    let drafting = Model::load(goldens("glm_ocr").to_str().unwrap(), &options).unwrap();
    let (mut with, mut without) = (drafting.chat(None), model("glm_ocr").chat(None));
    let picture = [image("glm_ocr/text_recognition_0.png")];
    for (pictures, question) in [(&picture[..], "What is it?"), (&[], "Why?"), (&[], "And then?")] {
        let drafted = GenerateOptions { draft: Draft::Prediction, ..greedy(24) };
        let plain = GenerateOptions { draft: Draft::Off, ..greedy(24) };
        let drafted = with.send(pictures, question, &drafted, |_| ()).unwrap();
        let plain = without.send(pictures, question, &plain, |_| ()).unwrap();
        assert_eq!(ids(&drafted), ids(&plain));
    }
}

#[test]
fn a_model_without_a_prediction_layer_says_so() {
    let options = LoadOptions { prediction_layer: true, ..LoadOptions::default() };
    let error = Model::load(goldens("glm4v").to_str().unwrap(), &options).unwrap_err();
    assert!(matches!(error, FusionError::NoPredictionLayer { .. }), "{error}");
}

/// Long greedy answers of tiny models go round in circles, which look-up guesses well.
#[test]
fn drafts_change_nothing_but_the_number_of_passes() {
    let mut accepted = 0;
    for name in ["glm", "glm_1m", "glm4", "glm4v", "glm46v", "glm4v_moe", "glm4v_9b", "glm_ocr"] {
        let model = model(name);
        let pictures: Vec<Image> = match name {
            "glm" | "glm_1m" | "glm4" => Vec::new(),
            "glm_ocr" => vec![image("glm_ocr/table_recognition_0.png")],
            _ => vec![image(&format!("{name}/one_image_0.png"))],
        };
        for options in [
            greedy(96),
            GenerateOptions { repetition_penalty: Some(1.1), ..greedy(48) },
            GenerateOptions { temperature: Some(0.7), top_k: Some(2), seed: Some(7), ..greedy(48) },
        ] {
            let ask = |draft| {
                let options = GenerateOptions { draft, ..options.clone() };
                model.ask(&pictures, "one two one two one two", &options).unwrap()
            };
            let (plain, drafted) = (ask(Draft::Off), ask(Draft::Lookup));
            assert_eq!(ids(&drafted), ids(&plain), "{name}");
            assert_eq!(drafted.text, plain.text);
            assert_eq!(drafted.finish_reason, plain.finish_reason);
            assert_eq!(plain.drafts, DraftCounts::default());
            assert!(drafted.drafts.accepted <= drafted.drafts.proposed);
            // Each token but the first came of a pass of its own, a pass with guesses, or a guess.
            let (alone, guesses) = (drafted.timings.unguessed_steps as usize, drafted.drafts);
            let made = alone + guesses.passes + guesses.accepted;
            assert_eq!(made, plain.timings.unguessed_steps as usize, "{name}");
            let ends = usize::from(plain.finish_reason == FinishReason::Length);
            assert_eq!(made, plain.usage.completion - ends, "{name}");
            assert!(drafted.timings.unguessed <= drafted.timings.decode);
            accepted += drafted.drafts.accepted;
        }
    }
    assert!(accepted > 50, "only {accepted} guesses were right");
}
