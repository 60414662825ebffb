//! ANLS* (Peer et al. 2024) of dictionaries and lists, as in the `anls-star` package: the similarity
//! of texts at matching places, the longer side counting.

use crate::assignment::assign;
use crate::metrics::anls;
use crate::python::Literal;

/// The score, 0 to 1, of a value against the one that is wanted.
pub(super) fn score(found: &Literal, wanted: &Literal) -> f64 {
    mean(&compared(wanted, found))
}

/// The similarities of the leaves of two values, added up, how many leaves there are to count, and
/// whether the values are equal, keys for nothing aside.
struct Compared {
    sum: f64,
    count: usize,
    equal: bool,
}

fn mean(compared: &Compared) -> f64 {
    if compared.count > 0 { compared.sum / compared.count as f64 } else { 1.0 }
}

/// Leaves of a value.
fn size(value: &Literal) -> usize {
    match value {
        Literal::List(items) => items.iter().map(size).sum(),
        Literal::Dict(entries) => entries.iter().map(|(_, value)| size(value)).sum(),
        _ => 1,
    }
}

const NONE: Literal = Literal::Constant("None");

fn is_none(value: &Literal) -> bool {
    match value {
        Literal::List(items) => items.is_empty(),
        Literal::Dict(entries) => entries.is_empty(),
        Literal::Text(text) => text.is_empty(),
        _ => *value == NONE,
    }
}

fn compared(wanted: &Literal, found: &Literal) -> Compared {
    let count = size(wanted).max(size(found));
    let nothing = Compared { sum: 0.0, count, equal: false };
    match (wanted, found) {
        _ if *wanted == NONE => {
            let equal = is_none(found);
            Compared { sum: f64::from(equal), count, equal }
        }
        (Literal::Dict(wanted), Literal::Dict(found)) => compared_dicts(wanted, found),
        (Literal::List(wanted), Literal::List(found)) => compared_lists(wanted, found),
        (Literal::Dict(_) | Literal::List(_), _) | (_, Literal::Dict(_) | Literal::List(_)) => {
            nothing
        }
        _ if *found == NONE => nothing,
        _ => {
            let equal = wanted == found;
            let (wanted, found) = (wanted.to_text(), found.to_text());
            let sum = anls::score(&found, &[&wanted], anls::Variant::Star).unwrap_or(0.0);
            Compared { sum, count, equal }
        }
    }
}

type Entries = [(Literal, Literal)];

fn value_of<'a>(entries: &'a Entries, key: &Literal) -> Option<&'a Literal> {
    entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
}

/// Key by key; one that is missing compares with nothing.
fn compared_dicts(wanted: &Entries, found: &Entries) -> Compared {
    let mut all = Compared { sum: 0.0, count: 0, equal: true };
    for (key, value) in wanted {
        let other = value_of(found, key);
        let part = compared(value, other.unwrap_or(&NONE));
        all.sum += part.sum;
        all.count += part.count;
        all.equal &= if other.is_some() { part.equal } else { is_none(value) };
    }
    for (_, value) in found.iter().filter(|(key, _)| value_of(wanted, key).is_none()) {
        // An empty value that nobody wanted counts as a leaf, though not as a right one.
        all.count += size(value).max(1);
        all.equal = false;
    }
    all
}

/// In the order that gives the largest sum of means.
fn compared_lists(wanted: &[Literal], found: &[Literal]) -> Compared {
    let parts: Vec<Compared> = wanted
        .iter()
        .flat_map(|wanted| found.iter().map(|found| compared(wanted, found)))
        .collect();
    // Of equal means, that of equal values is taken.
    let cost = |part: &Compared| if part.equal { -mean(part).next_up() } else { -mean(part) };
    let costs: Vec<f64> = parts.iter().map(cost).collect();
    let pairs = assign(wanted.len(), found.len(), &costs);
    let mut all = Compared { sum: 0.0, count: 0, equal: wanted.len() == found.len() };
    for &(row, column) in &pairs {
        let part = &parts[row * found.len() + column];
        all.sum += part.sum;
        all.count += part.count;
        all.equal &= part.equal;
    }
    let left = |items: &[Literal], taken: Vec<usize>| -> usize {
        (0..items.len()).filter(|at| !taken.contains(at)).map(|at| size(&items[at])).sum()
    };
    all.count += left(wanted, pairs.iter().map(|&(row, _)| row).collect());
    all.count += left(found, pairs.iter().map(|&(_, column)| column).collect());
    all
}
