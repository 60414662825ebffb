//! The metrics, each with the variants of its reference scorers.
//!
//! A metric is a module with plain functions, and a `METRICS` table that names its variants for
//! `glm4v score`. A new metric is a module here and a line in `ALL`.

pub mod anls;
mod answer_dict;
pub mod answer_extract;
pub mod caption_corpus;
pub mod cer_wer;
pub mod chart_table;
pub mod chartqapro;
pub mod charxiv;
pub mod edits;
pub mod entity_f1;
pub mod formula_bleu;
pub mod formula_normalize;
pub mod gsm8k;
mod item;
pub mod judge;
pub mod kie_f1;
pub mod lmms_omnidocbench;
pub mod mcq_extract;
pub mod md_table_to_html;
pub mod mmmu;
pub mod mmmu_open;
pub mod ocrbench_v1;
pub mod ocrbench_v2;
pub mod ocrbench_v2_chart;
pub mod ocrbench_v2_counting;
pub mod ocrbench_v2_doc;
pub mod ocrbench_v2_grounding;
pub mod ocrbench_v2_math;
pub mod ocrbench_v2_page_ocr;
pub mod ocrbench_v2_spotting;
pub mod ocrbench_v2_vqa;
pub mod ocrbench_v2_vqa_position;
pub mod omnidocbench;
pub mod omnidocbench_edit;
pub mod reading_order;
pub mod relaxed_accuracy;
pub mod rouge_bleu_sentence;
pub mod table_normalize;
pub mod teds;
pub mod text_normalize;
pub mod vqa_accuracy;
pub mod vqa_normalize;

pub use item::{Item, ScoreError};

use serde_json::Value;

/// A metric with one of its variants, as `glm4v score` knows it.
#[derive(Clone, Copy)]
pub struct MetricInfo {
    /// The metric's name.
    pub name: &'static str,
    /// Whose definition.
    pub variant: &'static str,
    /// What it measures.
    pub summary: &'static str,
    /// Gives the score: a number, or where the metric extracts or normalises, a text or a list.
    pub(crate) score: fn(&Item) -> Result<Value, ScoreError>,
}

/// Every metric. The first variant of each is its default, the leaderboard's.
const ALL: &[&[MetricInfo]] = &[
    anls::METRICS,
    answer_extract::METRICS,
    caption_corpus::METRICS,
    cer_wer::METRICS,
    chart_table::METRICS,
    chartqapro::METRICS,
    charxiv::METRICS,
    entity_f1::METRICS,
    formula_bleu::METRICS,
    formula_normalize::METRICS,
    gsm8k::METRICS,
    judge::METRICS,
    kie_f1::METRICS,
    lmms_omnidocbench::METRICS,
    mcq_extract::METRICS,
    md_table_to_html::METRICS,
    mmmu::METRICS,
    mmmu_open::METRICS,
    ocrbench_v1::METRICS,
    ocrbench_v2::METRICS,
    ocrbench_v2_chart::METRICS,
    ocrbench_v2_counting::METRICS,
    ocrbench_v2_doc::METRICS,
    ocrbench_v2_grounding::METRICS,
    ocrbench_v2_math::METRICS,
    ocrbench_v2_page_ocr::METRICS,
    ocrbench_v2_spotting::METRICS,
    ocrbench_v2_vqa::METRICS,
    ocrbench_v2_vqa_position::METRICS,
    omnidocbench::METRICS,
    omnidocbench_edit::METRICS,
    reading_order::METRICS,
    relaxed_accuracy::METRICS,
    rouge_bleu_sentence::METRICS,
    table_normalize::METRICS,
    teds::METRICS,
    text_normalize::METRICS,
    vqa_accuracy::METRICS,
    vqa_normalize::METRICS,
];

/// Every metric and variant.
pub fn all() -> impl Iterator<Item = &'static MetricInfo> {
    ALL.iter().copied().flatten()
}

/// Finds `name:variant`, or the default variant of `name`.
pub(crate) fn find(name: &str) -> Option<&'static MetricInfo> {
    let (metric, variant) = match name.split_once(':') {
        Some((metric, variant)) => (metric, Some(variant)),
        None => (name, None),
    };
    all().find(|info| info.name == metric && variant.is_none_or(|variant| variant == info.variant))
}
