//! Donut's measures of parsed documents (Kim et al. 2022), for CORD and SROIE, as in the
//! `JSONParseEvaluator` of `donut-python`.

use crate::python::{Literal, length, strip};
use crate::text::edit_distance;
use crate::tree_distance::{Costs, Tree, tree_distance};

/// A dictionary's fields, normalised: empty ones dropped, scalars as texts in lists.
#[derive(Clone, Debug)]
enum Fields {
    /// Keys by length, then by code points.
    Dict(Vec<(String, Fields)>),
    Dicts(Vec<Fields>),
    Texts(Vec<String>),
}

impl Fields {
    fn of(value: &Literal) -> Self {
        match value {
            Literal::Dict(entries) => {
                let mut fields: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| (key.to_text(), Self::of(value)))
                    .filter(|(_, value)| !value.is_empty())
                    .collect();
                fields.sort_by(|(a, _), (b, _)| (length(a), a).cmp(&(length(b), b)));
                Self::Dict(fields)
            }
            Literal::List(items) if items.iter().all(|item| matches!(item, Literal::Dict(_))) => {
                Self::Dicts(items.iter().map(Self::of).filter(|item| !item.is_empty()).collect())
            }
            Literal::List(items) => {
                let scalar = |item: &&Literal| {
                    matches!(item, Literal::Text(_) | Literal::Int(_) | Literal::Float(_))
                };
                let texts = items.iter().filter(scalar).map(trimmed);
                Self::Texts(texts.filter(|text| !text.is_empty()).collect())
            }
            _ if value.is_false() => Self::Dict(Vec::new()),
            _ => Self::Texts(vec![trimmed(value)]),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Dict(fields) => fields.is_empty(),
            Self::Dicts(items) => items.is_empty(),
            Self::Texts(texts) => texts.is_empty(),
        }
    }

    /// Adds every text with the dotted path of keys that leads to it.
    fn flatten<'a>(&'a self, path: &str, into: &mut Vec<(String, &'a str)>) {
        match self {
            Self::Dict(fields) => {
                for (key, value) in fields {
                    let dot = if path.is_empty() { "" } else { "." };
                    value.flatten(&format!("{path}{dot}{key}"), into);
                }
            }
            Self::Dicts(items) => items.iter().for_each(|item| item.flatten(path, into)),
            Self::Texts(texts) => {
                into.extend(texts.iter().map(|text| (path.to_owned(), text.as_str())))
            }
        }
    }

    fn tree(&self, label: Label) -> Tree<Label> {
        let children = match self {
            Self::Dict(fields) => {
                // A dictionary under a key is in a list of its own.
                let child = |(key, value): &(String, Self)| match value {
                    Self::Dict(_) => Tree {
                        label: Label::named(key),
                        children: vec![value.tree(Label::Inner("<subtree>".to_owned()))],
                    },
                    _ => value.tree(Label::named(key)),
                };
                fields.iter().map(child).collect()
            }
            Self::Dicts(items) => {
                items.iter().map(|item| item.tree(Label::Inner("<subtree>".to_owned()))).collect()
            }
            Self::Texts(texts) => texts
                .iter()
                .map(|text| Tree::leaf(Label::named(&format!("{LEAF}{text}"))))
                .collect(),
        };
        Tree { label, children }
    }
}

fn trimmed(value: &Literal) -> String {
    strip(&value.to_text()).to_owned()
}

/// The reference marks values so, wherever in a label it stands.
const LEAF: &str = "<leaf>";

#[derive(Clone, Debug, PartialEq)]
enum Label {
    Inner(String),
    Leaf(String),
}

impl Label {
    fn named(name: &str) -> Self {
        match name.contains(LEAF) {
            true => Self::Leaf(name.replace(LEAF, "")),
            false => Self::Inner(name.to_owned()),
        }
    }
}

/// Field F1, 0 to 1: values with equal paths and texts, as a multiset. `None` where both sides are
/// empty, on which the reference divides by zero. The reference takes it over a whole set, adding up
/// the counts.
pub(super) fn field_f1(found: &Literal, wanted: &Literal) -> Option<f64> {
    let (right, all) = field_counts(found, wanted);
    (all > 0).then(|| 2.0 * right as f64 / all as f64)
}

/// How many values both sides have at equal paths, and how many values there are on both sides.
pub(super) fn field_counts(found: &Literal, wanted: &Literal) -> (usize, usize) {
    let (found, wanted) = (Fields::of(found), Fields::of(wanted));
    let (mut fields, mut left) = (Vec::new(), Vec::new());
    found.flatten("", &mut fields);
    wanted.flatten("", &mut left);
    let mut right = 0_usize;
    let all = fields.len() + left.len();
    for field in &fields {
        if let Some(at) = left.iter().position(|other| other == field) {
            left.swap_remove(at);
            right += 1;
        }
    }
    (right, all)
}

/// Tree accuracy, 0 to 1: 1 − distance ÷ distance of an empty tree, no less than 0; 0 where the
/// reference is empty.
pub(super) fn tree_accuracy(found: &Literal, wanted: &Literal) -> f64 {
    let tree = |fields: Fields| fields.tree(Label::Inner("<root>".to_owned()));
    let wanted = tree(Fields::of(wanted));
    let costs = Costs { node: node_cost, relabel: relabel_cost };
    let distance = |from| tree_distance(&from, &wanted, &costs);
    let whole = distance(tree(Fields::Dict(Vec::new())));
    let distance = distance(tree(Fields::of(found)));
    // The maximum of 0 and nan is 0 here as there.
    (1.0 - distance / whole).max(0.0)
}

fn node_cost(label: &Label) -> f64 {
    match label {
        Label::Leaf(text) => length(text) as f64,
        Label::Inner(_) => 1.0,
    }
}

fn relabel_cost(from: &Label, to: &Label) -> f64 {
    match (from, to) {
        (Label::Leaf(from), Label::Leaf(to)) => edit_distance(from, to) as f64,
        (Label::Leaf(text), Label::Inner(_)) | (Label::Inner(_), Label::Leaf(text)) => {
            1.0 + length(text) as f64
        }
        (Label::Inner(from), Label::Inner(to)) => f64::from(from != to),
    }
}
