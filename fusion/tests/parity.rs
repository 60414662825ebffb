//! Every stage against the reference outputs in `tests/fixtures/goldens`, and that a difference
//! anywhere is found and named.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

use candle_core::Device;
use glm4v_fusion::LoadOptions;
use glm4v_fusion::parity::{CaseReport, StageReport, run};
use std::path::{Path, PathBuf};

fn goldens(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

fn reports(folder: &Path) -> Vec<CaseReport> {
    let mut cases = Vec::new();
    run(folder, &LoadOptions::default(), &mut |case| cases.push(case)).unwrap();
    cases
}

fn failures(cases: &[CaseReport]) -> Vec<(String, &StageReport)> {
    cases
        .iter()
        .flat_map(|case| {
            let name = case.case.clone();
            let failed = case.stages.iter().filter(|stage| !stage.passed);
            failed.map(move |stage| (name.clone(), stage))
        })
        .collect()
}

/// All stages pass, and in each of the named cases there is a stage for every reference tensor.
fn passes(name: &str, expected: &[&str]) {
    let reports = reports(&goldens(name));
    let failures = failures(&reports);
    assert!(failures.is_empty(), "{failures:#?}");
    let cases: Vec<_> = reports.iter().map(|case| case.case.as_str()).collect();
    assert_eq!(cases, expected.iter().map(|case| format!("{name}/{case}")).collect::<Vec<_>>());
    for (report, case) in reports.iter().zip(expected) {
        let file = goldens(name).join(case).with_extension("safetensors");
        for tensor in candle_core::safetensors::load(file, &Device::Cpu).unwrap().keys() {
            let held = report.stages.iter().any(|stage| stage.stage.starts_with(tensor));
            assert!(held || ["attention_mask", "mm_token_type_ids"].contains(&tensor.as_str()));
        }
    }
}

#[test]
fn text_models_pass() {
    for name in ["glm", "glm_1m", "glm4"] {
        passes(name, &["batch_padded", "chat", "chinese"]);
    }
}

#[test]
fn vision_models_pass() {
    for name in ["glm4v", "glm46v", "glm4v_moe"] {
        passes(name, &["one_image", "text", "two_images", "video"]);
    }
    passes("glm46v_moe", &["one_image", "text", "video"]);
}

#[test]
fn glm5_next_passes() {
    passes("glm5_next", &["one_image", "text", "two_images", "video"]);
}

#[test]
fn glm_ocr_passes() {
    passes("glm_ocr", &["table_recognition", "text", "text_recognition", "two_images"]);
}

#[test]
fn glm_4v_9b_passes() {
    passes("glm4v_9b", &["one_image", "system", "text", "two_turns"]);
}

#[test]
fn tables_pass() {
    let reports = reports(&goldens("tables"));
    let failures = failures(&reports);
    assert!(failures.is_empty(), "{failures:#?}");
    let cases: Vec<_> = reports.iter().map(|case| case.case.as_str()).collect();
    let tables = ["smart_resize", "video_sampling", "position_grid", "resize"];
    assert_eq!(cases, tables.map(|table| format!("tables/{table}")));
    let stages: Vec<_> = reports.iter().map(|case| case.stages.len()).collect();
    assert_eq!(stages, [1, 2, 5, 10]);
}

#[test]
fn templates_pass() {
    let reports = reports(&goldens("templates"));
    let failures = failures(&reports);
    assert!(failures.is_empty(), "{failures:#?}");
    let stages: Vec<_> = reports.iter().map(|case| case.stages.len()).collect();
    assert_eq!(stages, [6, 6]);
}
