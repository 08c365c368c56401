//! What hops state about the hop before them, in which header.

use alloc::string::String;
use alloc::vec::Vec;

pub(crate) use crate::forwarded::{RawElement as Element, Value, element_at};
use crate::lexer::{Entries, Entry, Quoting};
use crate::node::{LONGEST_ELEMENT, LONGEST_ENTRY, Node, rfc7239, x_forwarded};

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
        ["for", "proto", "host", "port", "prefix"][self as usize]
    }

    /// The header that carries the field in the `X-Forwarded-*` family, in lower case.
    pub const fn x_forwarded_name(self) -> &'static str {
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix"]
            [self as usize]
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
    /// One named header that holds the client's address and nothing else, such as
    /// `CF-Connecting-IP`. It says nothing about the other fields.
    Single(String),
}

/// The field lines of a request, by header name.
///
/// Implemented by whatever holds the headers; values are bytes, because a header value may be any.
pub trait Claims {
    /// The values of all lines of the header `name` (lower case), in wire order.
    fn lines<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]>;
}

/// Pairs of name and value, in wire order; names are compared ASCII case-insensitively.
impl Claims for [(&str, &[u8])] {
    fn lines<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let matching: Vec<&[u8]> = self
            .iter()
            .filter(|(line, _)| line.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
            .collect();
        matching.into_iter()
    }
}

/// How the chain of hops is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    XForwarded,
    Forwarded,
}

/// The chain of hops that the headers claim, nearest first.
#[derive(Clone)]
pub(crate) struct Chain<'a, L> {
    notation: Notation,
    entries: Entries<'a, L>,
}

impl<'a, L: DoubleEndedIterator<Item = &'a [u8]>> Chain<'a, L> {
    pub(crate) fn new(notation: Notation, lines: L) -> Self {
        let entries = match notation {
            Notation::XForwarded => Entries::new(lines, Quoting::None, LONGEST_ENTRY),
            Notation::Forwarded => Entries::new(lines, Quoting::Quoted, LONGEST_ELEMENT),
        };
        Self { notation, entries }
    }
}

impl<'a, L: DoubleEndedIterator<Item = &'a [u8]>> Iterator for Chain<'a, L> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        let (entry, read): (_, fn(&[u8]) -> Node) = match self.notation {
            Notation::XForwarded => (self.entries.next()?, x_forwarded),
            // Empty elements are legal in this list, and no hop (RFC 9110 section 5.6.1.2).
            Notation::Forwarded => (self.entries.find(|entry| !entry.is_empty())?, element_node),
        };
        Some(match entry {
            Entry::Text(text) => read(text),
            Entry::TooLong => Node::TooLong,
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
pub(crate) fn is_blank<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> bool {
    lines.all(|line| line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b',')))
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
}
