//! What hops state about the hop before them, in which header.

use alloc::string::String;
use alloc::vec::Vec;

use crate::lexer::{Entries, Entry, Quoting, trim, trim_start};
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
}

impl<'a, L: DoubleEndedIterator<Item = &'a [u8]>> Chain<'a, L> {
    pub(crate) fn new(notation: Notation, lines: L) -> Self {
        let entries = match notation {
            Notation::Forwarded => Entries::new(lines, Quoting::Quoted, LONGEST_ELEMENT),
            Notation::XForwarded | Notation::Single | Notation::SingleWithPort => {
                Entries::new(lines, Quoting::None, LONGEST_ENTRY)
            }
        };
        Self { notation, entries }
    }

    /// The line of the last entry read, 1 the last one of the request.
    pub(crate) fn line(&self) -> usize {
        self.entries.line_number()
    }

    /// The next element that is not empty; a loop, because a client may write thousands.
    fn next_element(&mut self) -> Option<Node> {
        loop {
            match self.entries.next()? {
                Entry::Text(b"") => {}
                Entry::Text(text) => return Some(element_node(text)),
                Entry::TooLong => return Some(Node::TooLong),
            }
        }
    }

    /// The one entry of a header that has one.
    fn only(&mut self, entry: Entry<'a>, read: fn(&[u8]) -> Node) -> Node {
        let several = match entry {
            // Nothing but empty entries is as good as no header.
            Entry::Text(b"") => self.entries.any(|entry| entry != Entry::Text(b"")),
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

    fn next(&mut self) -> Option<Node> {
        Some(match (self.notation, self.entries.next()?) {
            (Notation::Single, entry) => self.only(entry, x_forwarded),
            (Notation::SingleWithPort, entry) => self.only(entry, with_port),
            (_, Entry::TooLong) => Node::TooLong,
            (Notation::XForwarded, Entry::Text(text)) => x_forwarded(text),
            // Empty elements are legal in this list, and no hop (RFC 9110 section 5.6.1.2).
            (Notation::Forwarded, Entry::Text(b"")) => return self.next_element(),
            (Notation::Forwarded, Entry::Text(text)) => element_node(text),
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

/// The element of `Forwarded` at `position` from the right, 1 the nearest, and its line; empty ones do
/// not count.
pub(crate) fn element_at<'a, L>(lines: L, position: usize) -> Option<(&'a [u8], usize)>
where
    L: DoubleEndedIterator<Item = &'a [u8]>,
{
    let mut entries = Entries::new(lines, Quoting::Quoted, LONGEST_ELEMENT);
    let mut left = position;
    loop {
        match entries.next()? {
            Entry::TooLong => return None,
            Entry::Text(b"") => {}
            Entry::Text(text) if left <= 1 => return Some((text, entries.line_number())),
            Entry::Text(_) => left -= 1,
        }
    }
}

/// One element of `Forwarded` (RFC 7239 section 4): what this library reads of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Element<'a> {
    pub(crate) node: Option<Value<'a>>,
    pub(crate) proto: Option<Value<'a>>,
    pub(crate) host: Option<Value<'a>>,
    by: Option<Value<'a>>,
}

/// A value as it was written: a token, or the inside of a quoted string with its escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a>(&'a [u8]);

impl Value<'_> {
    /// Hands the value, with quoted pairs undone, to `read`.
    pub(crate) fn with<T>(self, read: impl FnOnce(&[u8]) -> T) -> T {
        if !self.0.contains(&b'\\') {
            return read(self.0);
        }
        let (mut plain, mut length, mut escaped) = ([0; LONGEST_ELEMENT], 0, false);
        for byte in self.0 {
            escaped = !escaped && *byte == b'\\';
            if !escaped {
                plain[length] = *byte;
                length += 1;
            }
        }
        read(&plain[..length])
    }
}

impl<'a> Element<'a> {
    /// `None` where the text is not an element, or a parameter stands in it twice.
    ///
    /// Names are case-insensitive, unknown ones are checked for syntax and ignored. White space is
    /// allowed around `;` only.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let (mut element, mut rest) = (Self::default(), trim(text));
        // The names of unknown parameters, to refuse a second one.
        let whole = rest;
        loop {
            if let [b';', after @ ..] = rest {
                rest = trim_start(after);
                continue;
            }
            if rest.is_empty() {
                return Some(element);
            }
            let start = whole.len() - rest.len();
            let name_length = rest.iter().position(|byte| !is_token(*byte))?;
            let (name, after) = rest.split_at(name_length);
            let [b'=', after @ ..] = after else { return None };
            let (value, after) = read_value(after)?;
            let slot = match name {
                _ if name.is_empty() => return None,
                name if name.eq_ignore_ascii_case(b"for") => Some(&mut element.node),
                name if name.eq_ignore_ascii_case(b"proto") => Some(&mut element.proto),
                name if name.eq_ignore_ascii_case(b"host") => Some(&mut element.host),
                name if name.eq_ignore_ascii_case(b"by") => Some(&mut element.by),
                _ => None,
            };
            match slot {
                Some(slot) if slot.is_some() => return None,
                Some(slot) => *slot = Some(value),
                None if names_before(&whole[..start], name) => return None,
                None => {}
            }
            rest = trim_start(after);
            if !matches!(rest, [] | [b';', ..]) {
                return None;
            }
        }
    }
}

/// Whether an earlier pair of the same element, already known to be well-formed, has this name.
fn names_before(mut earlier: &[u8], name: &[u8]) -> bool {
    loop {
        match earlier {
            [] => return false,
            [b';' | b' ' | b'\t', after @ ..] => earlier = after,
            _ => {
                let end = earlier.iter().position(|byte| *byte == b'=').unwrap_or(earlier.len());
                if earlier[..end].eq_ignore_ascii_case(name) {
                    return true;
                }
                match earlier.get(end + 1..).and_then(read_value) {
                    Some((_, after)) => earlier = after,
                    None => return false,
                }
            }
        }
    }
}

/// A token or a quoted string, and what follows it.
fn read_value(text: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let [b'"', quoted @ ..] = text else {
        let end = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
        return (end > 0).then(|| (Value(&text[..end]), &text[end..]));
    };
    let mut escaped = false;
    for (index, byte) in quoted.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((Value(&quoted[..index]), &quoted[index + 1..])),
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return None,
        }
    }
    None
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_node(element: &str, peer: &str) {
        assert_eq!(element_node(element.as_bytes()), Node::Address(peer.parse().unwrap()), "{element}");
    }

    #[track_caller]
    fn assert_malformed(elements: &[&[u8]]) {
        for element in elements {
            assert_eq!(element_node(element), Node::Malformed, "{}", element.escape_ascii());
        }
    }

    #[test]
    fn t57_names_are_case_insensitive() {
        let element = Element::read(b"FoR=203.0.113.9;PrOtO=HTTPS;HOST=Good.Example").unwrap();
        assert_eq!(element.proto, Some(Value(b"HTTPS")));
        assert_eq!(element.host, Some(Value(b"Good.Example")));
        assert_node("FoR=203.0.113.9;PrOtO=HTTPS", "203.0.113.9");
    }

    #[test]
    fn t53_a_quoted_semicolon_separates_nothing() {
        assert_malformed(&[br#"for="203.0.113.9;host=evil.example;proto=https""#]);
    }

    #[test]
    fn t56_no_parameter_twice() {
        assert_malformed(&[
            b"for=203.0.113.9;for=127.0.0.1",
            b"for=203.0.113.9;proto=https;proto=http",
            b"for=203.0.113.9;ext=1;EXT=2",
            b"by=1.1.1.1;for=203.0.113.9;By=1.1.1.1",
        ]);
        assert_node(r#"a="b;c=d";c=1;for=203.0.113.9"#, "203.0.113.9");
    }

    #[test]
    fn t58_no_white_space_around_the_equals_sign() {
        assert_malformed(&[b"for = 203.0.113.9", b"for= 203.0.113.9", b"for =203.0.113.9"]);
        assert_node("proto=https ;\tfor=203.0.113.9 ", "203.0.113.9");
    }

    #[test]
    fn t61_ipv6_and_ports_need_quotes() {
        assert_malformed(&[
            b"for=2001:db8::9",
            b"for=[2001:db8::9]",
            br#"for="2001:db8::9""#,
            b"for=1.2.3.4:80",
        ]);
        assert_node(r#"for="[2001:db8::9]:4711""#, "[2001:db8::9]:4711");
    }

    #[test]
    fn t62_quoted_pairs() {
        assert_node(r#"for="203.0.113\.9""#, "203.0.113.9");
        assert_malformed(&[br#"for="\"203.0.113.9\"""#, br#"for="203.0.113.9\"#, br#"for="203.0.113.9\""#]);
    }

    #[test]
    fn t63_empty_pairs() {
        assert_node(";;for=203.0.113.9;", "203.0.113.9");
        assert_malformed(&[b"for=", b"=203.0.113.9", b"for", br#"for="""#]);
    }

    #[test]
    fn t64_t65_extensions_are_checked_and_ignored() {
        assert_node(r#"secret="a,b;c";for=203.0.113.9;x-ext=1"#, "203.0.113.9");
        assert_node("for=203.0.113.9;host=\"g\u{f6}od.example\"", "203.0.113.9");
        assert_malformed(&[b"for=203.0.113.9;x=\"\x01\"", b"for=203.0.113.9;x y", b"for=203.0.113.9 x"]);
        assert_eq!(element_node(b"proto=https;host=good.example"), Node::Silent);
    }

    #[test]
    fn claims_may_be_pairs() {
        let pairs: [(&str, &[u8]); 3] = [("A", b"1"), ("b", b"2"), ("a", b"3")];
        assert!(pairs[..].lines("a").eq([b"1", b"3"]));
        assert!(pairs[..].lines("a").rev().eq([b"3", b"1"]));
    }
}
