//! What hops state about the hop before them, in which header.

use alloc::string::String;

pub(crate) use crate::forwarded::{RawElement as Element, Value, element_at};
use crate::lexer::{Entries, Entry, Quoting, is_blank_line};
use crate::node::{LONGEST_ELEMENT, LONGEST_ENTRY, Node, rfc7239, with_port, x_forwarded};

/// One thing that a hop can state about the request as it received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Who was connected to it: `X-Forwarded-For`, `for=`.
    For,
    /// The scheme: `X-Forwarded-Proto`, `proto=`.
    Proto,
    /// The host, with or without a port: `X-Forwarded-Host`, `host=`.
    Host,
    /// The port: `X-Forwarded-Port`. `Forwarded` has none of its own.
    Port,
    /// The path prefix that it removed: `X-Forwarded-Prefix`. `Forwarded` has none.
    Prefix,
}

impl Field {
    /// All five, in the order in which they are decided.
    pub const ALL: [Self; 5] = [Self::For, Self::Proto, Self::Host, Self::Port, Self::Prefix];

    /// `for`, `proto`, `host`, `port` or `prefix`.
    pub const fn as_str(self) -> &'static str {
        const NAMES: &[&str; 5] = &["for", "proto", "host", "port", "prefix"];
        NAMES[self as usize]
    }

    /// The header that carries the field in the `X-Forwarded-*` family, in lower case.
    pub const fn x_forwarded_name(self) -> &'static str {
        const NAMES: &[&str; 5] = &[
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-prefix",
        ];
        NAMES[self as usize]
    }

    /// The field of this name, as in [`as_str`](Self::as_str).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }
}

/// Which headers the claims come in. A policy reads exactly one family; there is no "first one found".
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Family {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `-Port`, `-Prefix`: one list each.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239): one list of elements.
    Forwarded,
    /// One named header that holds the client's address, with or without a port, and nothing else,
    /// such as `CF-Connecting-IP`. It says nothing about the other fields.
    Single(String),
    /// One named header that holds the client's address and always a port, behind the last colon; an
    /// IPv6 address has no brackets there: `CloudFront-Viewer-Address: 2001:db8::7:46532`.
    SingleWithPort(String),
}

impl Family {
    /// Whether several hops add to the same header.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::XForwarded | Self::Forwarded)
    }

    /// Whether it has a place for `field`.
    pub(crate) fn carries(&self, field: Field) -> bool {
        match self {
            Self::XForwarded => true,
            Self::Forwarded => matches!(field, Field::For | Field::Proto | Field::Host),
            Self::Single(_) | Self::SingleWithPort(_) => field == Field::For,
        }
    }

    /// The header that holds the chain, in lower case where it is ours to say.
    pub(crate) fn chain_header(&self) -> &str {
        match self {
            Self::XForwarded => Field::For.x_forwarded_name(),
            Self::Forwarded => FORWARDED,
            Self::Single(header) | Self::SingleWithPort(header) => header,
        }
    }

    /// The header that holds `field`, in lower case.
    pub(crate) fn header(&self, field: Field) -> &str {
        match self {
            Self::XForwarded => field.x_forwarded_name(),
            other => other.chain_header(),
        }
    }

    pub(crate) fn in_lower_case(self) -> Self {
        match self {
            Self::Single(header) => Self::Single(header.to_ascii_lowercase()),
            Self::SingleWithPort(header) => Self::SingleWithPort(header.to_ascii_lowercase()),
            other => other,
        }
    }

    pub(crate) fn notation(&self) -> Notation {
        match self {
            Self::XForwarded => Notation::XForwarded,
            Self::Forwarded => Notation::Forwarded,
            Self::Single(_) => Notation::Single,
            Self::SingleWithPort(_) => Notation::SingleWithPort,
        }
    }
}

/// The header of RFC 7239.
pub(crate) const FORWARDED: &str = "forwarded";

/// The field lines of a request, by header name.
///
/// Implemented by whatever holds the headers; values are bytes, because a header value may be any.
pub trait Claims {
    /// The values of all lines of the header `name` (lower case), in wire order.
    fn lines<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]>;

    /// Whether no name has any line, where that is known without a look at each: most health checks and
    /// direct clients state nothing. For the layers.
    #[doc(hidden)]
    fn is_silent(&self) -> bool {
        false
    }

    /// The line of the field's own header of the `X-Forwarded-*` family. For the layers.
    #[doc(hidden)]
    #[inline]
    fn one_line(&self, field: Field) -> OneLine<'_> {
        OneLine::of(self.lines(field.x_forwarded_name()))
    }
}

/// The line of a header that has one. For the layers.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum OneLine<'a> {
    None,
    One(&'a [u8]),
    Several,
}

impl<'a> OneLine<'a> {
    #[inline]
    pub fn of(mut lines: impl DoubleEndedIterator<Item = &'a [u8]>) -> Self {
        match (lines.next_back(), lines.next_back()) {
            (None, _) => Self::None,
            (Some(line), None) => Self::One(line),
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

/// Pairs of name and value, in wire order; names are compared ASCII case-insensitively.
impl Claims for [(&str, &[u8])] {
    fn lines<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.iter().filter(move |(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    fn is_silent(&self) -> bool {
        self.is_empty()
    }
}

/// How the chain of hops is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    XForwarded,
    Forwarded,
    /// One entry, as `X-Forwarded-For` has them.
    Single,
    /// One entry with a port behind its last colon.
    SingleWithPort,
}

/// The chain of hops that the headers claim, nearest first.
#[derive(Clone)]
pub(crate) struct Chain<'a, L> {
    notation: Notation,
    entries: Entries<'a, L>,
    element: &'a [u8],
}

impl<'a, L: DoubleEndedIterator<Item = &'a [u8]>> Chain<'a, L> {
    pub(crate) fn new(notation: Notation, lines: L) -> Self {
        let entries = match notation {
            Notation::Forwarded => Entries::new(lines, Quoting::Quoted, LONGEST_ELEMENT),
            Notation::XForwarded | Notation::Single | Notation::SingleWithPort => {
                Entries::new(lines, Quoting::None, LONGEST_ENTRY)
            }
        };
        Self { notation, entries, element: &[] }
    }

    /// The line of the last entry read, 1 the last one of the request.
    pub(crate) fn line(&self) -> usize {
        self.entries.line_number()
    }

    /// The element of `Forwarded` that was read last, so that nobody has to look for it again.
    pub(crate) fn element(&self) -> &'a [u8] {
        self.element
    }

    /// Whether anything stands further left, found out without reading it.
    pub(crate) fn has_more(&mut self) -> bool {
        self.entries.has_more()
    }

    /// Whether nothing but empty entries is left.
    pub(crate) fn is_blank(&mut self) -> bool {
        self.entries.next_filled().is_none()
    }

    /// The one entry of a header that has one.
    fn only(&mut self, entry: Entry<'a>, read: fn(&[u8]) -> Node) -> Node {
        let several = match entry {
            // Nothing but empty entries is as good as no header.
            Entry::Text(b"") => self.entries.next_filled().is_some(),
            Entry::Text(_) => self.entries.next().is_some(),
            Entry::TooLong => false,
        };
        match entry {
            // Neither the first nor the last of several is the one (threat T34).
            _ if several => Node::Several,
            Entry::Text(text) => read(text),
            Entry::TooLong => Node::TooLong,
        }
    }
}

impl<'a, L: DoubleEndedIterator<Item = &'a [u8]>> Iterator for Chain<'a, L> {
    type Item = Node;

    #[inline]
    fn next(&mut self) -> Option<Node> {
        // Empty elements are legal in `Forwarded`, and no hop (RFC 9110 section 5.6.1.2).
        let entry = match self.notation {
            Notation::Forwarded => self.entries.next_filled()?,
            _ => self.entries.next()?,
        };
        Some(match (self.notation, entry) {
            (Notation::XForwarded, Entry::Text(text)) => x_forwarded(text),
            (Notation::Forwarded, Entry::Text(text)) => {
                self.element = text;
                element_node(text)
            }
            (Notation::XForwarded | Notation::Forwarded, Entry::TooLong) => Node::TooLong,
            (Notation::Single, entry) => self.only(entry, x_forwarded),
            (Notation::SingleWithPort, entry) => self.only(entry, with_port),
        })
    }
}

fn element_node(text: &[u8]) -> Node {
    match Element::read(text) {
        None => Node::Malformed,
        Some(Element { node: None, .. }) => Node::Silent,
        Some(Element { node: Some(value), .. }) => value.with(rfc7239),
    }
}

/// Whether the lines hold nothing but white space and separators: such a field equals an absent one.
/// Looked for from the right, as everything is.
pub(crate) fn is_blank<'a>(lines: impl DoubleEndedIterator<Item = &'a [u8]>) -> bool {
    lines.rev().all(is_blank_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_may_be_pairs() {
        let pairs: [(&str, &[u8]); 3] = [("A", b"1"), ("b", b"2"), ("a", b"3")];
        assert!(pairs[..].lines("a").eq([b"1", b"3"]));
        assert!(pairs[..].lines("a").rev().eq([b"3", b"1"]));
    }

    #[test]
    fn every_field_is_found_by_its_name() {
        for field in Field::ALL {
            assert_eq!(Field::from_name(field.as_str()), Some(field));
        }
        assert_eq!(Field::from_name("For"), None);
    }

    #[test]
    fn t34_beside_a_blank_one_a_single_entry_is_one_of_several() {
        let node = |line: &'static [u8]| Chain::new(Notation::Single, [line].into_iter()).next();
        assert_eq!(node(b"203.0.113.9,"), Some(Node::Several));
        assert_eq!(node(b",203.0.113.9"), Some(Node::Several));
        assert_eq!(node(b" , ,"), Some(Node::Empty));
    }
}
