//! The shortest way to the end of a text, for answers that have little room left.

use llguidance::Matcher;
use llguidance::toktrie::{SimpleVob, TokTrie};

use super::Constraint;

impl Constraint {
    /// Tokens after which the text is whole, by a simple search: what is open is closed, what must
    /// still be written is as short as the search finds. Empty when the text is whole now; `None`
    /// when there is no end within `most` tokens.
    pub fn closing(&self, most: usize) -> Option<Vec<u32>> {
        self.path(self.matcher.clone(), most)
    }

    /// As [`Self::closing`], after `token`; `None` too when the token is not allowed.
    pub fn closing_after(&self, token: u32, most: usize) -> Option<Vec<u32>> {
        let mut ahead = self.matcher.clone();
        ahead.consume_token(token).ok()?;
        self.path(ahead, most)
    }

    fn path(&self, mut ahead: Matcher, most: usize) -> Option<Vec<u32>> {
        let mut path = Vec::new();
        while !ahead.is_stopped() && !ahead.is_accepting().ok()? {
            if path.len() == most {
                return None;
            }
            let token = shortest(&ahead.compute_mask().ok()?, self.environment.tok_trie())?;
            ahead.consume_token(token).ok()?;
            path.push(token);
        }
        (!ahead.is_error()).then_some(path)
    }
}

/// What closes JSON, before what is least to say: nothing, and zero.
const CLOSERS: [&str; 6] = ["}", "]", "\"", "null", "0", "1"];

/// The allowed token that most likely leads to the end.
fn shortest(allowed: &SimpleVob, words: &TokTrie) -> Option<u32> {
    let allows =
        |text: &str| words.token_id_at_bytes(text.as_bytes()).filter(|id| allowed.is_allowed(*id));
    // In the middle of free text brackets are letters like all others.
    let is_free_text = allows("a").is_some() && allows("}").is_some();
    if is_free_text && let Some(quote) = allows("\"") {
        return Some(quote);
    }
    if !is_free_text && let Some(closer) = CLOSERS.into_iter().find_map(allows) {
        return Some(closer);
    }
    let tokens = || allowed.iter().filter(|&id| !words.token(id).is_empty());
    let first = words.token(tokens().next()?).first();
    if tokens().all(|id| words.token(id).first() == first) {
        return tokens().max_by_key(|&id| words.token(id).len()); // there is one way to go on
    }
    tokens().min_by_key(|&id| words.token(id).len())
}
