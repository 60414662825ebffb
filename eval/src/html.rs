//! HTML as the reference scorers' parsers read it, repairs and all.

mod entities;
mod libxml2;
mod libxml2_rules;
mod python_parser;
mod soup;

pub(crate) use entities::python_unescape;
use entities::{named as named_characters, soup_number};
use python_parser::{Event, events as parser_events};
pub(crate) use soup::{Around, Node, cell_strings, soup};

/// The place of an element in [`Tree::elements`].
pub(crate) type ElementId = usize;

/// A parsed document. Comments and processing instructions are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// Every element, in the order in which their tags were met.
    pub(crate) elements: Vec<Element>,
    /// The root; `None` for an empty document.
    pub(crate) root: Option<ElementId>,
}

/// An element.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    /// Its name, ASCII letters in lower case.
    pub(crate) tag: String,
    /// Its attributes in order, each name once; an attribute without a value has an empty one.
    pub(crate) attributes: Vec<(String, String)>,
    /// What is inside, in order; no two texts follow one another.
    pub(crate) children: Vec<Child>,
}

/// What is inside an element.
#[derive(Clone, Debug)]
pub(crate) enum Child {
    Text(String),
    Element(ElementId),
}

impl Element {
    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn push_text(&mut self, text: &str) {
        match self.children.last_mut() {
            Some(Child::Text(last)) => last.push_str(text),
            _ => self.children.push(Child::Text(text.to_owned())),
        }
    }
}

impl Tree {
    /// The document as libxml2 2.14's HTML parser builds it, which `lxml` runs.
    pub(crate) fn parse_as_libxml2(html: &str) -> Self {
        libxml2::parse(html)
    }

    /// The elements right inside of one that have a tag.
    pub(crate) fn children_with_tag<'a>(
        &'a self,
        parent: ElementId,
        tag: &'a str,
    ) -> impl Iterator<Item = ElementId> + 'a {
        self.child_elements(parent).filter(move |&child| self.elements[child].tag == tag)
    }

    /// The elements right inside of one.
    pub(crate) fn child_elements(&self, parent: ElementId) -> impl Iterator<Item = ElementId> + '_ {
        self.elements[parent].children.iter().filter_map(|child| match child {
            Child::Element(id) => Some(*id),
            Child::Text(_) => None,
        })
    }
}
