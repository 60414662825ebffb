//! The stemmer of Porter (1980) with the extensions of NLTK, which are its default.

/// The stem of a word, in small letters.
pub(crate) fn stem(word: &str) -> String {
    let lower = word.to_lowercase();
    if let Some(irregular) = irregular(&lower) {
        return irregular.to_owned();
    }
    if word.chars().count() <= 2 {
        return lower;
    }
    let steps = [step_1a, step_1b, step_1c, step_2, step_3, step_4, step_5a, step_5b];
    let stem = steps.into_iter().fold(lower.chars().collect(), |word: Word, step| step(word));
    stem.into_iter().collect()
}

fn irregular(word: &str) -> Option<&'static str> {
    Some(match word {
        "sky" | "skies" => "sky",
        "dying" => "die",
        "lying" => "lie",
        "tying" => "tie",
        "news" => "news",
        "innings" | "inning" => "inning",
        "outings" | "outing" => "outing",
        "cannings" | "canning" => "canning",
        "howe" => "howe",
        "proceed" => "proceed",
        "exceed" => "exceed",
        "succeed" => "succeed",
        _ => return None,
    })
}

type Word = Vec<char>;

/// Whether each letter is a consonant; a `y` is one at the start and after a vowel.
fn consonants(word: &[char]) -> Vec<bool> {
    let mut flags: Vec<bool> = Vec::with_capacity(word.len());
    for (at, c) in word.iter().enumerate() {
        flags.push(match c {
            'a' | 'e' | 'i' | 'o' | 'u' => false,
            'y' => at == 0 || !flags[at - 1],
            _ => true,
        });
    }
    flags
}

/// How often a vowel is followed by a consonant: m in the paper.
fn measure(word: &[char]) -> usize {
    consonants(word).windows(2).filter(|pair| pair == &[false, true]).count()
}

fn has_vowel(word: &[char]) -> bool {
    consonants(word).contains(&false)
}

fn ends_in_consonant(word: &[char]) -> bool {
    consonants(word).last() == Some(&true)
}

/// *d in the paper.
fn ends_in_double_consonant(word: &[char]) -> bool {
    matches!(word, [.., a, b] if a == b) && ends_in_consonant(word)
}

/// *o in the paper, and NLTK's vowel with consonant.
fn ends_short(word: &[char]) -> bool {
    match consonants(word)[..] {
        [.., true, false, true] => !matches!(word.last(), Some('w' | 'x' | 'y')),
        [false, true] => true,
        _ => false,
    }
}

/// What stands before a suffix.
fn before<'a>(word: &'a [char], suffix: &str) -> Option<&'a [char]> {
    let start = word.len().checked_sub(suffix.chars().count())?;
    word[start..].iter().copied().eq(suffix.chars()).then(|| &word[..start])
}

fn joined(stem: &[char], ending: &str) -> Word {
    stem.iter().copied().chain(ending.chars()).collect()
}

/// Applies the first rule whose suffix the word has, if the stem meets the condition.
fn by_rules(word: Word, rules: &[(&str, &str)], condition: impl Fn(&[char], &str) -> bool) -> Word {
    let rule = rules
        .iter()
        .find_map(|&(suffix, ending)| before(&word, suffix).map(|stem| (stem, suffix, ending)));
    match rule {
        Some((stem, suffix, ending)) if condition(stem, suffix) => joined(stem, ending),
        _ => word,
    }
}

fn step_1a(word: Word) -> Word {
    let rules: &[_] = match word.len() {
        4 => &[("ies", "ie"), ("sses", "ss"), ("ss", "ss"), ("s", "")],
        _ => &[("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")],
    };
    by_rules(word, rules, |_, _| true)
}

fn step_1b(word: Word) -> Word {
    if let Some(stem) = before(&word, "ied") {
        return joined(stem, if word.len() == 4 { "ie" } else { "i" });
    }
    if let Some(stem) = before(&word, "eed") {
        return if measure(stem) > 0 { joined(stem, "ee") } else { word };
    }
    let stem = ["ed", "ing"].into_iter().filter_map(|suffix| before(&word, suffix));
    let Some(stem) = { stem }.find(|stem| has_vowel(stem)) else { return word };
    if ["at", "bl", "iz"].into_iter().any(|suffix| before(stem, suffix).is_some()) {
        return joined(stem, "e");
    }
    if ends_in_double_consonant(stem) {
        let kept = usize::from(matches!(stem.last(), Some('l' | 's' | 'z')));
        return stem[..stem.len() - 1 + kept].to_vec();
    }
    joined(stem, if measure(stem) == 1 && ends_short(stem) { "e" } else { "" })
}

fn step_1c(word: Word) -> Word {
    by_rules(word, &[("y", "i")], |stem, _| stem.len() > 1 && ends_in_consonant(stem))
}

fn step_2(word: Word) -> Word {
    if let Some(stem) = before(&word, "alli")
        && measure(stem) > 0
    {
        return step_2(joined(stem, "al"));
    }
    const RULES: [(&str, &str); 22] = [
        ("ational", "ate"),
        ("tional", "tion"),
        ("enci", "ence"),
        ("anci", "ance"),
        ("izer", "ize"),
        ("bli", "ble"),
        ("alli", "al"),
        ("entli", "ent"),
        ("eli", "e"),
        ("ousli", "ous"),
        ("ization", "ize"),
        ("ation", "ate"),
        ("ator", "ate"),
        ("alism", "al"),
        ("iveness", "ive"),
        ("fulness", "ful"),
        ("ousness", "ous"),
        ("aliti", "al"),
        ("iviti", "ive"),
        ("biliti", "ble"),
        ("fulli", "ful"),
        ("logi", "log"),
    ];
    by_rules(word, &RULES, |stem, suffix| match suffix {
        // The l is put with the stem, for `theologi` and the like.
        "logi" => measure(&joined(stem, "l")) > 0,
        _ => measure(stem) > 0,
    })
}

fn step_3(word: Word) -> Word {
    const RULES: [(&str, &str); 7] = [
        ("icate", "ic"),
        ("ative", ""),
        ("alize", "al"),
        ("iciti", "ic"),
        ("ical", "ic"),
        ("ful", ""),
        ("ness", ""),
    ];
    by_rules(word, &RULES, |stem, _| measure(stem) > 0)
}

fn step_4(word: Word) -> Word {
    const SUFFIXES: [&str; 19] = [
        "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion",
        "ou", "ism", "ate", "iti", "ous", "ive", "ize",
    ];
    by_rules(word, &SUFFIXES.map(|suffix| (suffix, "")), |stem, suffix| {
        measure(stem) > 1 && (suffix != "ion" || matches!(stem.last(), Some('s' | 't')))
    })
}

fn step_5a(word: Word) -> Word {
    by_rules(word, &[("e", "")], |stem, _| match measure(stem) {
        0 => false,
        1 => !ends_short(stem),
        _ => true,
    })
}

fn step_5b(word: Word) -> Word {
    by_rules(word, &[("ll", "l")], |stem, _| measure(&joined(stem, "l")) > 1)
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn words_have_the_stems_that_nltk_gives() {
        // Checked against nltk 3.10.4.
        let words = "caresses ponies ties cats feed agreed plastered motoring sing conflated \
            troubled sized hopping tanned falling hissing fizzed failing filing happy sky enjoy \
            relational conditional rational valenci digitizer conformabli radicalli differentli \
            vileli analogousli vietnamization predication operator feudalism decisiveness \
            hopefulness callousness formaliti sensitiviti sensibiliti triplicate formative \
            formalize electriciti electrical goodness revival allowance inference airliner \
            adjustable defensible irritant replacement adjustment dependent adoption homologou \
            communism activate angulariti effective bowdlerize probate rate cease controll roll \
            dying news innings dies died syzygy yyyy theologi geologi fulli owed as 2019s";
        let stems = "caress poni tie cat feed agre plaster motor sing conflat troubl size hop tan \
            fall hiss fizz fail file happi sky enjoy relat condit ration valenc digit \
            conform radic differ vile analog vietnam predic oper feudal decis hope callous \
            formal sensit sensibl triplic form formal electr electr good reviv allow infer \
            airlin adjust defens irrit replac adjust depend adopt homolog commun activ \
            angular effect bowdler probat rate ceas control roll die news inning die die \
            syzygi yyyi theolog geolog fulli owe as 2019";
        let found: Vec<String> = words.split_whitespace().map(stem).collect();
        assert_eq!(found, stems.split_whitespace().collect::<Vec<_>>());
    }
}
