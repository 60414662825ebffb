//! Lists as Python writes them, which VLMEvalKit's tables hold in their cells.

/// The items of a list of texts and plain words such as `['a', "b's", 12]`; `None` for any other
/// text.
pub(crate) fn list_items(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('[')?.strip_suffix(']')?.trim_start();
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (item, after) = item(rest)?;
        items.push(item);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    Some(items)
}

/// One item and what follows it.
fn item(text: &str) -> Option<(String, &str)> {
    let Some(quote) = text.chars().next().filter(|quote| matches!(quote, '\'' | '"')) else {
        let end = text.find(',').unwrap_or(text.len());
        let (word, after) = text.split_at(end);
        let plain = !word.contains(['\'', '"', '[', '(', '{']);
        return plain.then(|| (word.trim().to_owned(), after));
    };
    let mut item = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => item.push(match letters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            _ if letter == quote => return Some((item, text.get(at + 1..)?)),
            _ => item.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::list_items;

    #[test]
    fn reads_what_python_writes() {
        let read = |text| list_items(text).unwrap();
        assert_eq!(read("['a', \"b's\", 12]"), ["a", "b's", "12"]);
        assert_eq!(read(r"['it\'s', 'x\ny', 'a, b']"), ["it's", "x\ny", "a, b"]);
        assert!(read("[]").is_empty());
    }

    #[test]
    fn leaves_other_texts_alone() {
        for text in ["12", "[1, [2]]", "['a' 'b']", "['open", "[('a', 1)]"] {
            assert_eq!(list_items(text), None, "{text}");
        }
    }
}
