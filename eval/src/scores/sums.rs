//! Scores of whole sets as functions of sums over their samples, so that a bootstrap can draw
//! samples without scoring each draw anew.
//!
//! BLEU, field F1, means of groups' means and OmniDocBench's overall are all such functions: of
//! counts of n-grams, of fields, of scores by group, of parts by page.

use super::ItemResult;
use crate::metrics::omnidocbench::{self, official};
use crate::metrics::{MetricInfo, caption_corpus, kie_f1};
use crate::statistics::sums_bootstrap_interval;
use crate::task::{Aggregate, Scoring};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What each sample adds to the sums, and the score that sums give; `None` where sums give none.
struct SetSums {
    samples: Vec<Vec<f64>>,
    score: fn(&[f64]) -> Option<f64>,
}

/// The 95 % percentile interval of a set's `score`, drawing clusters of samples. `None` where it is
/// known of no sums, or where these do not give the score.
pub(super) fn interval(
    scoring: &Scoring,
    metric: &MetricInfo,
    items: &[&ItemResult],
    clusters: &[&str],
    score: f64,
) -> Option<(f64, f64)> {
    let sums = SetSums::of(scoring, metric, items)?;
    let mut whole = vec![0.0; sums.samples.first()?.len()];
    for sample in &sums.samples {
        whole.iter_mut().zip(sample).for_each(|(sum, value)| *sum += value);
    }
    if ((sums.score)(&whole)? - score).abs() > 1e-9 {
        return None;
    }
    let interval = sums_bootstrap_interval(&sums.samples, clusters, sums.score, 0.95)?;
    Some((interval.low, interval.high))
}

impl SetSums {
    fn of(scoring: &Scoring, metric: &MetricInfo, items: &[&ItemResult]) -> Option<Self> {
        let part = scoring.part.as_deref();
        match (scoring.aggregate, metric.name, metric.variant, part) {
            (Aggregate::GroupMean, ..) => {
                Some(Self { samples: by_group(scoring, items), score: mean_of_means })
            }
            (Aggregate::Documents, "kie_f1", "donut_field_f1", None) => {
                Some(Self::each(items, fields, f1))
            }
            (Aggregate::CorpusLists, "caption_corpus", _, Some("bleu.3")) => {
                Some(Self::each(items, ngrams, |sums| Some(caption_corpus::bleu_of_sums(sums)[3])))
            }
            (Aggregate::Pages, "omnidocbench", "official", Some("overall")) => {
                Some(Self::each(items, page, overall))
            }
            (Aggregate::Pages, "omnidocbench", "lmms_eval", Some("overall")) => {
                Some(Self::each(items, lmms_page, overall))
            }
            _ => None,
        }
    }

    fn each(
        items: &[&ItemResult],
        sample: fn(&ItemResult) -> Vec<f64>,
        score: fn(&[f64]) -> Option<f64>,
    ) -> Self {
        Self { samples: items.iter().map(|item| sample(item)).collect(), score }
    }
}

/// Of each group, in turn, its sum of scores and its number of samples.
fn by_group(scoring: &Scoring, items: &[&ItemResult]) -> Vec<Vec<f64>> {
    let group = |item: &ItemResult| {
        let name = scoring.group.as_ref().and_then(|name| item.groups.get(name));
        name.cloned().unwrap_or_default()
    };
    let mut places: BTreeMap<String, usize> = items.iter().map(|i| (group(i), 0)).collect();
    places.values_mut().enumerate().for_each(|(at, place)| *place = at);
    let sample = |item: &&ItemResult| {
        let mut sums = vec![0.0; 2 * places.len()];
        let place = places.get(&group(item)).copied();
        if let (Some(score), Some(place)) = (item.score, place) {
            sums[2 * place] = score;
            sums[2 * place + 1] = 1.0;
        }
        sums
    };
    items.iter().map(sample).collect()
}

/// The mean of the means; a group of which nothing was drawn is left out.
fn mean_of_means(sums: &[f64]) -> Option<f64> {
    let pairs = sums.chunks_exact(2).filter(|pair| pair[1] > 0.0);
    let means: Vec<f64> = pairs.map(|pair| pair[0] / pair[1]).collect();
    (!means.is_empty()).then(|| means.iter().sum::<f64>() / means.len() as f64)
}

/// Fields that are right, and fields of both sides.
fn fields(item: &ItemResult) -> Vec<f64> {
    // One of a set of documents, as the whole is scored.
    let object = |text: Option<&String>| {
        let parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let fields = parsed.filter(Value::is_object).unwrap_or_else(|| Value::Object(Map::new()));
        serde_json::json!({ "0": fields }).to_string()
    };
    let (found, wanted) = (object(Some(&item.answer)), object(item.references.first()));
    let counts = kie_f1::donut_field_counts(&found.into(), &wanted.into());
    let (right, all) = counts.unwrap_or_default();
    vec![right as f64, all as f64]
}

fn f1(sums: &[f64]) -> Option<f64> {
    let [right, all] = sums else { return None };
    (*all > 0.0).then(|| 2.0 * right / all)
}

fn ngrams(item: &ItemResult) -> Vec<f64> {
    caption_corpus::sums(&item.answer, &item.references)
}

/// Of a page's texts, tables and formulas, in turn, the score from 0 to 1 and its weight.
fn page(item: &ItemResult) -> Vec<f64> {
    let part = |name: &str| item.detail.get(name).and_then(Value::as_f64);
    let parts = match part("text_edit") {
        Some(edits) => {
            [Some(1.0 - edits), part("table_teds"), part("formula_edit").map(|edits| 1.0 - edits)]
        }
        // Alone, such a page says nothing of formulas that were found as texts.
        None => official::score(&item.answer, reference(item)).parts_in_set(),
    };
    parts
        .iter()
        .flat_map(|part| [part.unwrap_or(0.0), f64::from(u8::from(part.is_some()))])
        .collect()
}

fn lmms_page(item: &ItemResult) -> Vec<f64> {
    let page = omnidocbench::score(&item.answer, reference(item));
    let edits = |edits: Option<crate::metrics::lmms_omnidocbench::PageEdits>| {
        edits.map_or([0.0; 2], |e| [(1.0 - e.distance) * e.weight as f64, e.weight as f64])
    };
    let tables = [page.tables.iter().sum::<f64>(), page.tables.len() as f64];
    [edits(page.text), tables, edits(page.formula)].concat()
}

fn reference(item: &ItemResult) -> &str {
    item.references.first().map_or("", String::as_str)
}

/// The mean, in percent, of the parts that there are.
fn overall(sums: &[f64]) -> Option<f64> {
    mean_of_means(sums).map(|mean| 100.0 * mean)
}

#[cfg(test)]
mod tests {
    use super::super::summary::{Summary, score_of_set};
    use super::*;
    use serde_json::json;

    /// Every way to draw as many samples as there are, which is what a bootstrap takes some of.
    fn all_draws(count: usize) -> impl Iterator<Item = Vec<usize>> {
        let ways = count.pow(u32::try_from(count).unwrap());
        (0..ways).map(move |way| {
            let digit = |place| way / count.pow(place) % count;
            (0..u32::try_from(count).unwrap()).map(digit).collect()
        })
    }

    fn scoring(task: &str) -> Scoring {
        crate::task::Task::find(task).unwrap().scoring
    }

    fn item(index: usize, answer: &str, reference: &str) -> ItemResult {
        ItemResult {
            index,
            id: index.to_string(),
            score: Some(0.0),
            answer: answer.to_owned(),
            references: vec![reference.to_owned()],
            ..ItemResult::default()
        }
    }

    /// Holds the interval of a set against its score over all draws, each scored by the metric
    /// itself: what lies outside is as much as 1,000 of the draws can leave there.
    #[track_caller]
    fn held_against_all_draws(scoring: &Scoring, items: &[ItemResult]) {
        let metric = scoring.metric().unwrap();
        let whole: Vec<&ItemResult> = items.iter().collect();
        let summary = Summary::of(scoring, metric, &whole).unwrap();
        let mut scores = Vec::new();
        for draw in all_draws(items.len()) {
            let again = |(index, at): (usize, &usize)| ItemResult { index, ..items[*at].clone() };
            let drawn: Vec<ItemResult> = draw.iter().enumerate().map(again).collect();
            scores.extend(score_of_set(scoring, metric, &drawn.iter().collect::<Vec<_>>()));
        }
        let share = |holds: &dyn Fn(f64) -> bool| {
            scores.iter().filter(|&&score| holds(score)).count() as f64 / scores.len() as f64
        };
        let (low, high) = summary.interval.unwrap();
        let score = summary.score.unwrap();
        assert!(low < score && score < high, "{low} {score} {high}");
        // 0.025, and three standard deviations of its estimate.
        let (least, most) = (0.01, 0.04);
        assert!(share(&|score| score < low - 1e-9) <= most, "{low}");
        assert!(share(&|score| score <= low + 1e-9) >= least, "{low}");
        assert!(share(&|score| score > high + 1e-9) <= most, "{high}");
        assert!(share(&|score| score >= high - 1e-9) >= least, "{high}");
        // The same answers, the same interval.
        assert_eq!(Summary::of(scoring, metric, &whole).unwrap(), summary);
    }

    #[test]
    fn field_f1_of_documents() {
        let answers = [
            (r#"{"total": "5", "company": "A"}"#, r#"{"total": "5", "company": "A", "date": "1"}"#),
            (r#"{"total": "7"}"#, r#"{"total": "8", "company": "B"}"#),
            ("nothing", r#"{"total": "8", "company": "C", "date": "2"}"#),
            (r#"{"total": "1"}"#, r#"{"total": "1"}"#),
            (r#"{"total": "3", "date": "4"}"#, r#"{"total": "3", "company": "D", "date": "5"}"#),
        ];
        let items = answers.iter().enumerate().map(|(at, (found, wanted))| item(at, found, wanted));
        held_against_all_draws(&scoring("sroie"), &items.collect::<Vec<_>>());
    }

    #[test]
    fn bleu_of_captions() {
        let answers = [
            ("the share of red falls fast in may", "the share of red falls fast in june"),
            ("blue rises", "the share of blue rises slowly over the years"),
            ("green is the largest part of the pie of all", "green is the largest part of the pie"),
            (
                "nothing at all can be said of this chart",
                "most people say yes to the first question",
            ),
            (
                "about half of all people agree with this",
                "about half of all people do agree with this",
            ),
        ];
        let items = answers.iter().enumerate().map(|(at, (found, wanted))| item(at, found, wanted));
        held_against_all_draws(&scoring("opencqa"), &items.collect::<Vec<_>>());
    }

    #[test]
    fn means_of_groups() {
        let scoring = scoring("ocrbench_v2");
        let sample = |(index, (group, score)): (usize, (&str, f64))| {
            let groups = [("skill".to_owned(), group.to_owned())].into();
            ItemResult { score: Some(score), groups, ..item(index, "", "") }
        };
        let scores = [("a", 1.0), ("a", 0.0), ("a", 0.5), ("b", 0.25), ("b", 0.75)];
        let items: Vec<ItemResult> = scores.into_iter().enumerate().map(sample).collect();
        held_against_all_draws(&scoring, &items);
    }

    #[test]
    fn overall_of_pages() {
        let block = |id: usize, kind: &str, field: &str, text: &str| json!({"anno_id": id, "order": id, "category_type": kind, field: text});
        let page = |blocks: Value| {
            json!({"layout_dets": blocks, "extra": {"relation": []}, "page_info": {"image_path": "a.png"}}).to_string()
        };
        let text = |words: &str| block(1, "text_block", "text", words);
        let table = |cell: &str| format!("<table><tr><td>{cell}</td><td>b</td></tr></table>");
        let formula = block(2, "equation_isolated", "latex", "x^2");
        let pages = [
            ("first words", page(json!([text("first words here"), formula]))),
            (&*table("a"), page(json!([text("lost"), block(2, "table", "html", &table("a"))]))),
            ("other words\n\n$$x^2$$", page(json!([text("other words"), formula]))),
            // A formula that is found as text, on a page that has none.
            ("x^2", page(json!([formula]))),
        ];
        for metric in ["omnidocbench:official", "omnidocbench:lmms_eval"] {
            let scoring = Scoring { metric: metric.to_owned(), ..scoring("omnidocbench") };
            let info = scoring.metric().unwrap();
            let scored = pages.iter().enumerate().map(|(at, (found, wanted))| {
                let detail = (info.score)(&crate::metrics::Item {
                    prediction: (*found).into(),
                    references: vec![wanted.clone()].into(),
                    ..Default::default()
                });
                ItemResult { detail: detail.unwrap(), ..item(at, found, wanted) }
            });
            held_against_all_draws(&scoring, &scored.collect::<Vec<_>>());
        }
    }
}
