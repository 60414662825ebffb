//! The answer normalisation of VQA v2 (Goyal et al. 2017), as in its official `vqaEval.py` and the
//! ports of it in the harnesses: marks, periods, number words, articles and contractions.

use super::{Item, MetricInfo, ScoreError};
use crate::python::{is_decimal, is_space, strip};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

pub(super) const METRICS: &[MetricInfo] = &[
    info("vqa_official", |item| of_item(item, Variant::Official)),
    info("lmms_eval_evalai", |item| of_item(item, Variant::LmmsEval)),
    info("vlmevalkit", |item| of_item(item, Variant::VlmEvalKit)),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo { name: "vqa_normalize", variant, summary: "the answer as VQA compares it", score }
}

fn of_item(item: &Item, variant: Variant) -> Result<Value, ScoreError> {
    Ok(normalised(item.text()?, variant).into())
}

/// Whose definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The official script: a period goes unless a digit follows.
    Official,
    /// lmms-eval, after Pythia's processor for EvalAI: `,` and `?` go first, and `'s` becomes a
    /// word of its own.
    LmmsEval,
    /// VLMEvalKit: a period goes unless a digit stands before or after it.
    VlmEvalKit,
}

/// The answer with its marks, articles and number words normalised.
pub fn normalised(answer: &str, variant: Variant) -> String {
    let answer = match variant {
        Variant::LmmsEval => {
            let plain = answer.to_lowercase().replace([',', '?'], "").replace("'s", " 's");
            on_one_line(&plain)
        }
        Variant::Official | Variant::VlmEvalKit => on_one_line(answer),
    };
    words(&without_periods(&without_marks(&answer), variant))
}

/// Blanks for line ends and tabs, none at the ends.
pub(super) fn on_one_line(answer: &str) -> String {
    strip(&answer.replace(['\n', '\t'], " ")).to_owned()
}

const MARKS: [char; 21] = [
    ';', '/', '[', ']', '"', '{', '}', '(', ')', '=', '+', '\\', '_', '-', '>', '<', '@', '`', ',',
    '?', '!',
];

/// Takes out each mark that stands next to a blank somewhere, or any where a comma stands between
/// digits; the others become blanks.
fn without_marks(answer: &str) -> String {
    let text: Vec<char> = answer.chars().collect();
    let groups_digits =
        text.windows(3).any(|w| w[1] == ',' && is_decimal(w[0]) && is_decimal(w[2]));
    let beside_blank =
        |mark: char| text.windows(2).any(|pair| pair == [mark, ' '] || pair == [' ', mark]);
    let goes = MARKS.map(|mark| groups_digits || beside_blank(mark));
    let kept = text.into_iter().filter_map(|c| match MARKS.iter().position(|&mark| mark == c) {
        Some(at) => (!goes[at]).then_some(' '),
        None => Some(c),
    });
    kept.collect()
}

/// The references pass a flag of `re` where it counts replacements: no more than 32 periods go.
const MOST_PERIODS: usize = 32;

fn without_periods(answer: &str, variant: Variant) -> String {
    let text: Vec<char> = answer.chars().collect();
    let digit = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|&c| is_decimal(c));
    let mut gone = 0;
    let mut kept = String::with_capacity(answer.len());
    for (at, &c) in text.iter().enumerate() {
        let stays =
            digit(Some(at + 1)) || (variant == Variant::VlmEvalKit && digit(at.checked_sub(1)));
        if c == '.' && !stays && gone < MOST_PERIODS {
            gone += 1;
        } else {
            kept.push(c);
        }
    }
    kept
}

/// Digits for number words, no articles, apostrophes in contractions.
fn words(answer: &str) -> String {
    let lower = answer.to_lowercase();
    let words = lower.split(is_space).filter(|word| !word.is_empty());
    let words = words.filter_map(|word| match word {
        "a" | "an" | "the" => None,
        "none" | "zero" => Some("0"),
        "one" => Some("1"),
        "two" => Some("2"),
        "three" => Some("3"),
        "four" => Some("4"),
        "five" => Some("5"),
        "six" => Some("6"),
        "seven" => Some("7"),
        "eight" => Some("8"),
        "nine" => Some("9"),
        "ten" => Some("10"),
        _ => Some(CONTRACTIONS.get(word).copied().unwrap_or(word)),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What contractions become. The references' entries with capitals are left out, as no word has
/// any by then, and so are those that change nothing.
static CONTRACTIONS: LazyLock<HashMap<&str, &str>> =
    LazyLock::new(|| TABLE.split(' ').filter_map(|entry| entry.split_once('=')).collect());

const TABLE: &str = "\
    aint=ain't arent=aren't cant=can't couldve=could've couldnt=couldn't couldn'tve=couldn't've \
    couldnt've=couldn't've didnt=didn't doesnt=doesn't dont=don't hadnt=hadn't hadnt've=hadn't've \
    hadn'tve=hadn't've hasnt=hasn't havent=haven't hed=he'd hed've=he'd've he'dve=he'd've hes=he's \
    howd=how'd howll=how'll hows=how's isnt=isn't itd=it'd itd've=it'd've it'dve=it'd've itll=it'll \
    maam=ma'am mightnt=mightn't mightnt've=mightn't've mightn'tve=mightn't've mightve=might've \
    mustnt=mustn't mustve=must've neednt=needn't notve=not've oclock=o'clock oughtnt=oughtn't \
    ow's'at='ow's'at 'ows'at='ow's'at 'ow'sat='ow's'at shant=shan't shed've=she'd've \
    she'dve=she'd've shouldve=should've shouldnt=shouldn't shouldnt've=shouldn't've \
    shouldn'tve=shouldn't've somebody'd=somebodyd somebodyd've=somebody'd've \
    somebody'dve=somebody'd've somebodyll=somebody'll somebodys=somebody's someoned=someone'd \
    someoned've=someone'd've someone'dve=someone'd've someonell=someone'll someones=someone's \
    somethingd=something'd somethingd've=something'd've something'dve=something'd've \
    somethingll=something'll thats=that's thered=there'd thered've=there'd've there'dve=there'd've \
    therere=there're theres=there's theyd=they'd theyd've=they'd've they'dve=they'd've \
    theyll=they'll theyre=they're theyve=they've twas='twas wasnt=wasn't wed've=we'd've \
    we'dve=we'd've weve=we've werent=weren't whatll=what'll whatre=what're whats=what's \
    whatve=what've whens=when's whered=where'd wheres=where's whereve=where've whod=who'd \
    whod've=who'd've who'dve=who'd've wholl=who'll whos=who's whove=who've whyll=why'll whyre=why're \
    whys=why's wont=won't wouldve=would've wouldnt=wouldn't wouldnt've=wouldn't've \
    wouldn'tve=wouldn't've yall=y'all yall'll=y'all'll y'allll=y'all'll yall'd've=y'all'd've \
    y'alld've=y'all'd've y'all'dve=y'all'd've youd=you'd youd've=you'd've you'dve=you'd've \
    youll=you'll youre=you're youve=you've";
