use proptest::prelude::*;

use super::StopStrings;

fn watch(stops: &[&str]) -> StopStrings {
    StopStrings::new(stops.iter().map(|stop| (*stop).to_owned()).collect())
}

#[test]
fn holds_back_what_may_become_a_stop_string() {
    let mut stops = watch(&["</answer>", "\n\n"]);
    assert_eq!(stops.push("The answer</ans"), "The answer");
    assert_eq!(stops.push("!"), "</ans!");
    assert_eq!(stops.push("one\n"), "one");
    assert_eq!(stops.push("two</answer"), "\ntwo");
    assert!(!stops.stopped());
    assert_eq!(stops.push("> and more"), "");
    assert!(stops.stopped());
    assert_eq!(stops.push("more"), "");
    assert_eq!(stops.finish(), "");
}

#[test]
fn gives_the_held_text_at_the_end() {
    let mut stops = watch(&["END", ""]);
    assert_eq!(stops.push("the EN"), "the ");
    assert_eq!(stops.finish(), "EN");
    assert_eq!(watch(&[]).push("anything"), "anything");
}

#[test]
fn the_first_to_be_complete_ends_the_text() {
    assert_eq!(watch(&["abcd", "bc"]).push("xabcd"), "xa");
    assert_eq!(watch(&["bc", "abc"]).push("xabcd"), "x");
}

/// What is shown when the text comes one character at a time.
fn reference(text: &str, stops: &[String]) -> String {
    for (end, _) in text.char_indices().skip(1).chain([(text.len(), ' ')]) {
        let found = stops.iter().filter(|stop| text[..end].ends_with(stop.as_str()));
        if let Some(longest) = found.map(String::len).max() {
            return text[..end - longest].to_owned();
        }
    }
    text.to_owned()
}

proptest! {
    #[test]
    fn cuts_do_not_matter_and_nothing_leaks(
        pieces in proptest::collection::vec("[abé]{0,4}", 0..12),
        stops in proptest::collection::vec("[abé]{1,4}", 0..4),
    ) {
        let text = pieces.concat();
        let mut watch = StopStrings::new(stops.clone());
        let mut shown = String::new();
        for piece in &pieces {
            shown += &watch.push(piece);
            // Nothing is shown that a stop string would have taken back.
            prop_assert!(reference(&text, &stops).starts_with(&shown));
        }
        shown += &watch.finish();
        prop_assert_eq!(&shown, &reference(&text, &stops));
        prop_assert!(stops.iter().all(|stop| !shown.contains(stop.as_str())));
        prop_assert_eq!(watch.stopped(), shown != text);
    }
}
