//! From a reply to the answer that is scored.

use crate::metrics::{self, Item};
use crate::task::{Extraction, RULES};
use serde_json::Value;

/// What a reply comes down to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extracted {
    pub(crate) answer: String,
    /// Thoughts began and never ended, so that there is no answer.
    pub(crate) unclosed: bool,
}

/// Takes the answer out of a reply.
pub(crate) fn extract(reply: &str, extraction: &Extraction) -> Extracted {
    if let Extraction::Rule(name) = extraction {
        return by_rule(reply, name);
    }
    if *extraction == Extraction::None {
        return Extracted { answer: reply.to_owned(), unclosed: false };
    }
    let (answer, unclosed) = without_thoughts(reply);
    let answer = glm_answer(&answer);
    let answer = match extraction {
        Extraction::Boxed => boxed(&answer).unwrap_or(answer),
        Extraction::Json => json(&answer).unwrap_or(answer),
        Extraction::LastNumber => last_number(&answer).unwrap_or(answer),
        Extraction::Glm | Extraction::None | Extraction::Rule(_) => answer,
    };
    Extracted { answer, unclosed }
}

/// Another harness's rule; where it finds nothing, the answer is empty.
fn by_rule(reply: &str, name: &str) -> Extracted {
    let item = Item { prediction: reply.into(), ..Item::default() };
    let found = metrics::find(&format!("{RULES}:{name}")).map(|rule| (rule.score)(&item));
    let answer = match found {
        Some(Ok(Value::String(answer))) => answer,
        _ => String::new(),
    };
    Extracted { answer, unclosed: without_thoughts(reply).1 }
}

/// Drops `<think>…</think>`. A closing mark alone ends thoughts that the template began; an
/// opening mark alone begins thoughts that never end.
fn without_thoughts(reply: &str) -> (String, bool) {
    let mut text = reply.to_owned();
    while let Some(start) = text.find("<think>") {
        let Some(length) = text.get(start..).and_then(|rest| rest.find("</think>")) else {
            text.truncate(start);
            return (text, true);
        };
        text.replace_range(start..start + length + "</think>".len(), "");
    }
    match text.rsplit_once("</think>") {
        Some((_, answer)) => (answer.to_owned(), false),
        None => (text, false),
    }
}

/// What stands between GLM's marks: `<answer>`, then the box.
fn glm_answer(text: &str) -> String {
    let text = between(text, "<answer>", "</answer>").unwrap_or(text);
    let text = between(text, "<|begin_of_box|>", "<|end_of_box|>").unwrap_or(text);
    text.trim().to_owned()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

/// The last `\boxed{…}`, braces inside it included.
fn boxed(text: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once("\\boxed{")?;
    let mut depth = 1_usize;
    for (at, letter) in rest.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return rest.get(..at).map(str::to_owned);
        }
    }
    None
}

/// The first code block's content, or what the outermost braces hold.
fn json(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.split_once("```")
        && let Some((block, _)) = rest.split_once("```")
    {
        let block = block.strip_prefix("json").unwrap_or(block);
        return Some(block.trim().to_owned());
    }
    let (start, end) = (text.find('{')?, text.rfind('}')?);
    text.get(start..=end).map(str::to_owned)
}

/// The last number: digits with a sign, commas between thousands and a fraction.
fn last_number(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, ',' | '.' | '-');
    let runs = text.split(|c: char| !is_part(c));
    let numbers = runs.map(|run| run.trim_end_matches(['.', ',', '-']).replace(',', ""));
    let mut numbers = numbers.filter(|run| run.parse::<f64>().is_ok());
    let last = numbers.next_back()?;
    let whole = last.strip_suffix(".00").or_else(|| last.strip_suffix(".0")).unwrap_or(&last);
    Some(whole.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(reply: &str, extraction: Extraction) -> String {
        extract(reply, &extraction).answer
    }

    #[test]
    fn thoughts_and_marks_are_dropped() {
        let reply =
            "<think>12 or 14?</think><answer>It is <|begin_of_box|>14<|end_of_box|>.</answer>";
        assert_eq!(answer(reply, Extraction::Glm), "14");
        assert_eq!(answer("thoughts</think>\nYes ", Extraction::Glm), "Yes");
        assert_eq!(answer(" Yes", Extraction::None), " Yes");
    }

    #[test]
    fn rules_of_other_harnesses_go_by_name() {
        let rule = |name: &str| Extraction::find(name).unwrap();
        assert_eq!(rule("glm"), Extraction::Glm);
        let reply = r"<think>a</think>So \boxed{4}, <|begin_of_box|>5<|end_of_box|>";
        assert_eq!(answer(reply, rule("vlmevalkit.glm_thinking")), "5");
        assert_eq!(answer(reply, rule("vlmevalkit.boxed_or_glm_box")), "4");
        assert_eq!(answer("nothing", rule("vlmevalkit.boxed_or_glm_box")), "");
        let error = Extraction::find("vlmevalkit").unwrap_err().to_string();
        assert!(error.contains("lmms_eval.extract_answer_tag"), "{error}");
    }

    #[test]
    fn thoughts_without_end_leave_no_answer() {
        let found = extract("<think>12 or 14", &Extraction::Glm);
        assert_eq!(found, Extracted { answer: String::new(), unclosed: true });
    }

    #[test]
    fn forms_of_answers_are_found() {
        assert_eq!(answer(r"so \boxed{\frac{1}{2}}.", Extraction::Boxed), r"\frac{1}{2}");
        assert_eq!(answer("Here:\n```json\n{\"a\": 1}\n```", Extraction::Json), "{\"a\": 1}");
        assert_eq!(answer("It is {\"a\": {}} indeed", Extraction::Json), "{\"a\": {}}");
        assert_eq!(answer("3 + 4 = 7, so $1,234.00.", Extraction::LastNumber), "1234");
    }
}
