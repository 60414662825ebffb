//! The tables of libxml2's HTML parser (`htmlStartClose`, `htmlEndPriority`, `html40ElementTable`).

/// How the text of an element is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Content {
    /// With tags and references.
    #[default]
    Markup,
    /// With references, up to the end tag.
    References,
    /// As it is, up to the end tag.
    Raw,
    /// As it is, up to the end of the document.
    Plain,
}

/// How the text of elements with this tag is read.
pub(super) fn content(tag: &str) -> Content {
    match tag {
        "textarea" | "title" => Content::References,
        "iframe" | "noembed" | "noframes" | "script" | "style" | "xmp" => Content::Raw,
        "plaintext" => Content::Plain,
        _ => Content::Markup,
    }
}

/// Whether elements with this tag have nothing inside and no end tag.
pub(super) fn is_empty(tag: &str) -> bool {
    matches!(
        tag,
        "area"
            | "base"
            | "basefont"
            | "br"
            | "col"
            | "frame"
            | "hr"
            | "img"
            | "input"
            | "isindex"
            | "link"
            | "meta"
            | "param"
    )
}

/// An end tag closes open elements up to its own priority.
pub(super) fn end_priority(tag: &str) -> u8 {
    match tag {
        "div" => 150,
        "td" | "th" => 160,
        "tr" => 170,
        "thead" | "tbody" | "tfoot" => 180,
        "table" => 190,
        "head" | "body" => 200,
        "html" => 220,
        _ => 100,
    }
}

/// Whether the start of an element with `tag` ends an open one with the tag `open`.
pub(super) fn closes(tag: &str, open: &str) -> bool {
    match open {
        "a" => matches!(tag, "a" | "fieldset" | "table" | "td" | "th"),
        "address" => matches!(tag, "dd" | "dl" | "dt" | "form" | "li" | "ul"),
        "b" | "i" => matches!(tag, "center" | "p" | "td" | "th"),
        "big" | "s" | "small" | "strike" | "tt" => matches!(tag, "p"),
        "caption" | "col" => matches!(tag, "col" | "colgroup" | "tbody" | "tfoot" | "thead" | "tr"),
        "colgroup" => matches!(tag, "colgroup" | "tbody" | "tfoot" | "thead" | "tr"),
        "dd" => matches!(tag, "dt"),
        "dir" | "menu" => matches!(tag, "dd" | "dl" | "dt" | "form" | "ul"),
        "dl" => matches!(tag, "form" | "li"),
        "dt" => matches!(tag, "dd" | "dl"),
        "font" => matches!(tag, "center" | "td" | "th"),
        "form" | "hr" | "ol" => matches!(tag, "form"),
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
            matches!(tag, "fieldset" | "form" | "li" | "p" | "table")
        }
        "head" => matches!(
            tag,
            "a" | "abbr"
                | "acronym"
                | "address"
                | "b"
                | "bdo"
                | "big"
                | "blockquote"
                | "body"
                | "br"
                | "center"
                | "cite"
                | "code"
                | "dd"
                | "dfn"
                | "dir"
                | "div"
                | "dl"
                | "dt"
                | "em"
                | "fieldset"
                | "font"
                | "form"
                | "frameset"
                | "h1"
                | "h2"
                | "h3"
                | "h4"
                | "h5"
                | "h6"
                | "hr"
                | "i"
                | "iframe"
                | "img"
                | "kbd"
                | "li"
                | "listing"
                | "map"
                | "menu"
                | "ol"
                | "p"
                | "pre"
                | "q"
                | "s"
                | "samp"
                | "small"
                | "span"
                | "strike"
                | "strong"
                | "sub"
                | "sup"
                | "table"
                | "tt"
                | "u"
                | "ul"
                | "var"
                | "xmp"
        ),
        "legend" => matches!(tag, "fieldset"),
        "li" => matches!(tag, "li"),
        "link" | "style" | "title" => matches!(tag, "body" | "frameset"),
        "listing" | "pre" | "xmp" => {
            matches!(tag, "dd" | "dl" | "dt" | "fieldset" | "form" | "li" | "table" | "ul")
        }
        "option" => matches!(tag, "optgroup" | "option"),
        "p" => matches!(
            tag,
            "address"
                | "blockquote"
                | "body"
                | "caption"
                | "center"
                | "col"
                | "colgroup"
                | "dd"
                | "dir"
                | "div"
                | "dl"
                | "dt"
                | "fieldset"
                | "form"
                | "frameset"
                | "h1"
                | "h2"
                | "h3"
                | "h4"
                | "h5"
                | "h6"
                | "head"
                | "hr"
                | "li"
                | "listing"
                | "menu"
                | "ol"
                | "p"
                | "pre"
                | "table"
                | "tbody"
                | "td"
                | "tfoot"
                | "th"
                | "title"
                | "tr"
                | "ul"
                | "xmp"
        ),
        "script" => matches!(tag, "noscript"),
        "span" => matches!(tag, "td" | "th"),
        "tbody" | "thead" => matches!(tag, "tbody" | "tfoot"),
        "td" | "th" => matches!(tag, "tbody" | "td" | "tfoot" | "th" | "tr"),
        "tfoot" => matches!(tag, "tbody"),
        "tr" => matches!(tag, "tbody" | "tfoot" | "tr"),
        "u" => matches!(tag, "p" | "td" | "th"),
        "ul" => matches!(tag, "address" | "form" | "menu" | "pre"),
        _ => false,
    }
}
