//! Words of captions as the tokeniser of the Penn Treebank in Stanford CoreNLP 3.4.1 parts them, in
//! small letters and without the marks that COCO's evaluation drops.
//!
//! This has its rules for words, numbers, contractions, abbreviations, brackets and marks. What is
//! rare in captions is not here: telephone numbers, dates with letters, smileys, markup with
//! attributes.

use crate::python::is_space;
use regex::Regex;
use std::sync::LazyLock;

/// The words of a caption, parted by blanks.
pub(crate) fn caption_words(caption: &str) -> String {
    let mut words = Vec::new();
    let mut rest = caption.trim_start_matches(is_space);
    while let Some(token) = next_token(rest) {
        words.extend(parts(token).into_iter().map(|part| written(&part)));
        rest = rest[token.len()..].trim_start_matches(is_space);
    }
    words.retain(|word| !DROPPED.contains(&word.as_str()));
    words.join(" ")
}

const DROPPED: [&str; 13] = ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"];

/// The forms of tokens; of those that match, the longest counts, and of equally long ones the first.
const FORMS: [&str; 16] = [
    // Addresses.
    r"(?i)https?://[^\s<>|(){}]+[^\s<>|(){}.?!,;:]",
    r"(?i)(?:www\.)?(?:[a-z0-9-]+\.)+(?:com|net|org|edu)(?:/[^\s<>|(){}]*[^\s<>|(){}.?!,;:])?",
    r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
    r"[#@][A-Za-z_][A-Za-z_0-9]*",
    r"</?[A-Za-z!][^<>\s]*>",
    // Contractions without an apostrophe within, and words that begin with one.
    r"(?i)['’](?:n['’]|(?:tis|twas|n|em|[0-9]0s)\b)",
    // Clitics that stand alone.
    r"(?i)['’](?:s|m|d|ll|re|ve)\b",
    // Abbreviations with their period.
    r"(?i)(?:mr|mrs|ms|dr|drs|prof|sr|jr|st|ave|blvd|rd|mt|ft|vs|etc|inc|co|corp|ltd|bros|gen|sen|rep|gov|lt|col|sgt|capt|rev|hon|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec|e\.g|i\.e|ph\.d)\.",
    r"\p{L}(?:\.\p{L})*\.|\p{L}(?:\.\p{L})+",
    r"(?:Ala|Ariz|Ark|Calif|Colo|Conn|Dak|Del|Fla|Ga|Ill|Ind|Kan|Kans|Ky|La|Mass|Mich|Minn|Miss|Mo|Mont|Neb|Nev|Okla|Ore|Pa|Penn|Tenn|Tex|Va|Vt|Wash|Wis|Wisc|Wyo)\.",
    r"(?:\p{L}\.)+-[\p{L}\p{N}]+(?:-[\p{L}\p{N}]+)*",
    r"[\p{L}]+(?:\.[\p{L}]+)+",
    // Numbers.
    r"[-+]?[.,]?[0-9]+(?:[.,:/-][0-9]+)*",
    // Words.
    r"(?:[dDoOlL]['’])?[\p{L}\p{M}\p{N}]+(?:[-_/&][\p{L}\p{M}\p{N}]+)*(?:['’](?:[sSmMdDtT]|ll|LL|re|RE|ve|VE)\b)?",
    // Marks that belong together.
    r"[!?]{2,}|\.{3}|-{2,}|``|''|'",
    r"(?s).",
];

fn next_token(rest: &str) -> Option<&str> {
    static FOUND: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        FORMS.iter().filter_map(|form| Regex::new(&format!("^(?:{form})")).ok()).collect()
    });
    let lengths = FOUND.iter().filter_map(|form| form.find(rest)).map(|found| found.end());
    let longest = rest.get(..lengths.max()?)?;
    // `No.` is an abbreviation before a number only.
    let after =
        rest[longest.len()..].strip_prefix('.').map(|rest| rest.trim_start_matches(is_space));
    if longest.eq_ignore_ascii_case("no")
        && after.is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()))
    {
        return rest.get(..longest.len() + 1);
    }
    Some(longest)
}

/// A contraction in its two parts.
fn parts(token: &str) -> Vec<String> {
    let lower = token.to_lowercase().replace('’', "'");
    let whole = |parts: [&str; 2]| parts.map(str::to_owned).to_vec();
    match lower.as_str() {
        "cannot" => return whole(["can", "not"]),
        "gonna" => return whole(["gon", "na"]),
        "gotta" => return whole(["got", "ta"]),
        "wanna" => return whole(["wan", "na"]),
        "lemme" => return whole(["lem", "me"]),
        "gimme" => return whole(["gim", "me"]),
        "'tis" => return whole(["'t", "is"]),
        "'twas" => return whole(["'t", "was"]),
        _ => {}
    }
    let clitic = ["n't", "'s", "'m", "'d", "'ll", "'re", "'ve"]
        .into_iter()
        .find(|clitic| lower.len() > clitic.len() && lower.ends_with(clitic));
    match clitic {
        Some(clitic) => whole([&lower[..lower.len() - clitic.len()], clitic]),
        None => vec![lower],
    }
}

/// A mark as the treebank writes it; anything else stays.
fn written(token: &str) -> String {
    match token {
        "(" => "-lrb-",
        ")" => "-rrb-",
        "[" => "-lsb-",
        "]" => "-rsb-",
        "{" => "-lcb-",
        "}" => "-rcb-",
        "\"" | "“" | "”" | "«" | "»" => "''",
        "‘" => "`",
        "–" | "—" => "--",
        "…" => "...",
        "€" => "$",
        "£" => "#",
        "½" => "1/2",
        "¼" => "1/4",
        "¾" => "3/4",
        "&amp;" => "&",
        _ if token.len() > 2 && token.bytes().all(|byte| byte == b'-') => "--",
        _ => token,
    }
    .to_owned()
}
