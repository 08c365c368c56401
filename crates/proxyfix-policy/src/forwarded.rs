//! `Forwarded` (RFC 7239), typed: read, built, written.
//!
//! Nothing here says who is believed: any client can write any of it. To learn where a request came
//! from, ask a [`Policy`](crate::Policy) of the family [`Forwarded`](crate::Family::Forwarded); it reads
//! from the right and no further than trust reaches. This module is for those who want the values
//! themselves: to show or log the header, to test one, or to write one.
//!
//! | | [`Forwarded`] | [`nearest_first`] | what a policy makes of it |
//! | --- | --- | --- | --- |
//! | reads | all, or none | element by element, from the right | from the right, up to the client |
//! | `for=a, for=1.2.3.4` | an error | `1.2.3.4`, then an error | `1.2.3.4`; what is left of the client is not read |
//! | `for="x, for=1.2.3.4` (a quote left open) | an error | `1.2.3.4`, then an error | `1.2.3.4`, likewise |
//! | `for=1.2.3.4;proto=wss` | an error | an error | `1.2.3.4`; only `proto` is refused |
//! | `for=1.2.3.4;by=x` | an error | an error | `1.2.3.4`; `by` is not read |
//! | `for=1.2.3.4;for=1.2.3.4` | an error | an error | the walk ends: malformed |
//! | an element of more than 512 bytes | read | an error, and the end | the walk ends: too long |
//!
//! All three share one lexer and one reader of parameters. Splitting from the right gives what
//! splitting from the left gives wherever all elements are well-formed.
//!
//! # Example
//!
//! ```
//! use proxyfix_policy::forwarded::{Element, Forwarded, Node};
//! use proxyfix_policy::{Peer, Scheme};
//!
//! let forwarded: Forwarded = r#"For="[2001:DB8::9]:4711", for=203.0.113.9;Proto=HTTPS;by=_edge"#.parse()?;
//! let nearest = forwarded.iter().next_back().unwrap();
//! assert_eq!(nearest.for_().map(Peer::from), Some("203.0.113.9".parse()?));
//! assert_eq!(nearest.proto(), Some(Scheme::Https));
//! assert_eq!(
//!     forwarded.to_string(),
//!     r#"for="[2001:db8::9]:4711", for=203.0.113.9;by=_edge;proto=https"#,
//! );
//!
//! let mine = Element::new()
//!     .with_for(Node::from("198.51.100.7:51515".parse::<Peer>()?))
//!     .with_host("good.example".parse()?, None);
//! assert_eq!(mine.to_string(), r#"for="198.51.100.7:51515";host=good.example"#);
//!
//! let error = "for=203.0.113.9, for=[2001:db8::9]".parse::<Forwarded>().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "element 2 of Forwarded: parameter for: \"[2001:db8::9]\" is not a value: what is not made of \
//!      letters, digits and !#$%&'*+-.^_`|~ has to be in double quotes",
//! );
//! # Ok::<(), proxyfix_policy::Error>(())
//! ```

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use crate::host::Underscores;
use crate::lexer::{Entries, Entry, Quoting, trim_start};
use crate::node::{LONGEST_ELEMENT, Name, Number, is_obfuscated, read_rfc7239};
use crate::{Error, Host, Peer, Port, Scheme};

/// The value of a `Forwarded` header: one [`Element`] a hop, the nearest hop last.
///
/// Reading is strict: one bad element, and there is no value. See the [module](self) for how that
/// differs from what a policy does, and [`nearest_first`] for the elements up to the bad one.
///
/// | text | elements |
/// | --- | --- |
/// | (nothing), `,` | none |
/// | `for=1.1.1.1, for=2.2.2.2` | two |
/// | `, for=1.1.1.1 ,` | one: empty elements of the list do not count |
/// | `;` | one, without parameters: a hop that says nothing |
/// | `for="_a, for=1.1.1.1"` | none: an error, a quoted comma separates nothing |
///
/// Written by [`Display`](fmt::Display) or [`to_bytes`](Self::to_bytes), and read again, it is the same.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Forwarded(Vec<Element>);

impl Forwarded {
    /// Without elements.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads the value of one field line.
    pub fn from_bytes(line: &[u8]) -> Result<Self, Error> {
        Self::from_lines([line])
    }

    /// Reads all field lines, given in wire order, as one list.
    ///
    /// The error names the element by its number in wire order, 1 the leftmost of the first line.
    pub fn from_lines<'a, T>(lines: T) -> Result<Self, Error>
    where
        T: IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
    {
        let mut texts: Vec<&[u8]> = Entries::new(lines.into_iter(), Quoting::Quoted, usize::MAX)
            .filter_map(|entry| match entry {
                Entry::Text(text) => Some(text).filter(|text| !text.is_empty()),
                // No entry is longer than the longest.
                Entry::TooLong => None,
            })
            .collect();
        texts.reverse();
        let read = |(index, text)| {
            Element::from_bytes(text)
                .map_err(|error| error.within(format!("element {} of Forwarded", index + 1)))
        };
        texts.into_iter().enumerate().map(read).collect()
    }

    /// Adds the element of the next hop, on the right.
    pub fn push(&mut self, element: Element) {
        self.0.push(element);
    }

    /// The elements in wire order; `.rev()` is the nearest first.
    pub fn iter(&self) -> core::slice::Iter<'_, Element> {
        self.0.iter()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no element; such a header is better not sent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The header value, byte for byte; see [`Element::to_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for element in self {
            if !out.is_empty() {
                out.extend_from_slice(b", ");
            }
            element.write(&mut out);
        }
        out
    }
}

impl FromStr for Forwarded {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text.as_bytes())
    }
}

impl FromIterator<Element> for Forwarded {
    fn from_iter<I: IntoIterator<Item = Element>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

impl Extend<Element> for Forwarded {
    fn extend<I: IntoIterator<Item = Element>>(&mut self, elements: I) {
        self.0.extend(elements);
    }
}

impl IntoIterator for Forwarded {
    type Item = Element;
    type IntoIter = alloc::vec::IntoIter<Element>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Forwarded {
    type Item = &'a Element;
    type IntoIter = core::slice::Iter<'a, Element>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The header value; bytes of extensions that are no UTF-8 become U+FFFD.
impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forwarded({})", self.to_bytes().escape_ascii())
    }
}

/// The elements of a `Forwarded` header from the right, each read on its own.
///
/// `lines` are the field lines in wire order. This is the order in which a policy reads, with the same
/// lexer: what stands on the left can not change how the right is read. An element that is refused
/// does not keep those on its left from being read, though what stands there is ever less credible;
/// where to stop is up to the caller. Only an element of more than 512 bytes ends it.
///
/// ```
/// use proxyfix_policy::forwarded::nearest_first;
///
/// let line: &[u8] = br#"for="x, for=198.51.100.7;proto=http, for=oops, for=203.0.113.9"#;
/// let read: Vec<String> = nearest_first([line])
///     .map(|element| element.map_or("refused".into(), |element| element.to_string()))
///     .collect();
/// assert_eq!(read, ["for=203.0.113.9", "refused", "for=198.51.100.7;proto=http", "refused"]);
/// ```
pub fn nearest_first<'a, T>(lines: T) -> NearestFirst<'a, T::IntoIter>
where
    T: IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
{
    let entries = Entries::new(lines.into_iter(), Quoting::Quoted, LONGEST_ELEMENT);
    NearestFirst { entries: Some(entries), position: 0 }
}

/// The iterator that [`nearest_first`] returns.
#[derive(Clone)]
pub struct NearestFirst<'a, L> {
    entries: Option<Entries<'a, L>>,
    position: usize,
}

impl<'a, L: DoubleEndedIterator<Item = &'a [u8]>> Iterator for NearestFirst<'a, L> {
    type Item = Result<Element, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.as_mut()?.next_filled();
        self.position += 1;
        let place = |position| format!("element {position} from the right of Forwarded");
        match entry {
            Some(Entry::Text(text)) => {
                Some(Element::from_bytes(text).map_err(|error| error.within(place(self.position))))
            }
            Some(Entry::TooLong) => {
                self.entries = None;
                Some(Err(Error::refused(&format!(
                    "{} has more than {LONGEST_ELEMENT} bytes; nothing left of it is read",
                    place(self.position),
                ))))
            }
            None => {
                self.entries = None;
                None
            }
        }
    }
}

impl<'a, L: DoubleEndedIterator<Item = &'a [u8]>> FusedIterator for NearestFirst<'a, L> {}

impl<L> fmt::Debug for NearestFirst<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearestFirst").field("position", &self.position).finish_non_exhaustive()
    }
}

/// What one hop said about the request as it received it (RFC 7239 section 4).
///
/// | text | |
/// | --- | --- |
/// | `for=1.2.3.4;proto=https;host=a.example` | three parameters; each may stand once, in any order |
/// | `FoR=1.2.3.4 ;; Proto=HTTPS` | names in any case, white space around `;`, empty parameters |
/// | `for="1.2.3\.4"` | quotes and backslashes undone |
/// | `for="[2001:db8::9]:4711"` | brackets and colons only in quotes |
/// | `for=1.2.3.4;secret="a,b;c"` | an [extension](Self::extensions), kept |
/// | `for=1.2.3.4;for=1.2.3.4` | refused: twice |
/// | `for = 1.2.3.4`, `for=`, `=1.2.3.4`, `for` | refused |
/// | `for=a.example`, `proto=wss`, `host=a/b` | refused: the value is no node, scheme or host |
///
/// It is written in one way: `for`, `by`, `host`, `proto`, then extensions by name, names in lower
/// case, and in quotes whatever is no token. Nothing that it can hold ends a quoted string or the
/// header line, so nothing can be smuggled into a header through it. Without parameters it is
/// written `;`, because an empty element of a list would not count.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Element {
    for_: Option<Node>,
    by: Option<Node>,
    host: Option<(Host, Option<Port>)>,
    proto: Option<Scheme>,
    extensions: BTreeMap<Box<str>, Box<[u8]>>,
}

impl Element {
    /// Without parameters.
    pub const fn new() -> Self {
        Self { for_: None, by: None, host: None, proto: None, extensions: BTreeMap::new() }
    }

    /// Reads one element: a list with a comma outside quotes is refused.
    pub fn from_bytes(text: &[u8]) -> Result<Self, Error> {
        let mut element = Self::new();
        for pair in Pairs::new(text) {
            let (name, value) = pair.map_err(Fault::into_error)?;
            let value: Vec<u8> = value.plain().collect();
            element.take(name, &value).map_err(|error| error.within(parameter(name)))?;
        }
        Ok(element)
    }

    /// Takes a parameter that stands in no earlier pair.
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let is_first = match Known::of(name) {
            Some(Known::For) => self.for_.replace(Node::from_bytes(value)?).is_none(),
            Some(Known::By) => self.by.replace(Node::from_bytes(value)?).is_none(),
            Some(Known::Host) => {
                let host = Host::read_with_port(value, Underscores::Allowed)?;
                self.host.replace(host).is_none()
            }
            Some(Known::Proto) => self.proto.replace(Scheme::from_bytes(value)?).is_none(),
            None => self.extensions.insert(lower(name), value.into()).is_none(),
        };
        let twice = || Error::value("allowed", value, "the parameter stands in the element twice");
        is_first.then_some(()).ok_or_else(twice)
    }

    /// Who was connected to the hop.
    pub const fn for_(&self) -> Option<&Node> {
        self.for_.as_ref()
    }

    /// The interface of the hop where the request came in.
    pub const fn by(&self) -> Option<&Node> {
        self.by.as_ref()
    }

    /// The host that the request named when the hop received it, with the port if it named one.
    ///
    /// Labels may have underscores here, as [`Host::with_underscores`] reads them.
    pub fn host(&self) -> Option<(&Host, Option<Port>)> {
        self.host.as_ref().map(|(host, port)| (host, *port))
    }

    /// The scheme with which the request reached the hop.
    pub const fn proto(&self) -> Option<Scheme> {
        self.proto
    }

    /// All other parameters, by name (in lower case).
    pub fn extensions(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.extensions.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of one of the other parameters; `name` in any case.
    pub fn extension(&self, name: &str) -> Option<&[u8]> {
        self.extensions.get(&*name.to_ascii_lowercase()).map(|value| &**value)
    }

    /// Says who was connected, in place of what was said before.
    pub fn with_for(self, node: Node) -> Self {
        Self { for_: Some(node), ..self }
    }

    /// Says where the request came in, in place of what was said before.
    pub fn with_by(self, node: Node) -> Self {
        Self { by: Some(node), ..self }
    }

    /// Says which host was named, in place of what was said before.
    pub fn with_host(self, host: Host, port: Option<Port>) -> Self {
        Self { host: Some((host, port)), ..self }
    }

    /// Says which scheme was used, in place of what was said before.
    pub fn with_proto(self, scheme: Scheme) -> Self {
        Self { proto: Some(scheme), ..self }
    }

    /// Says something else, in place of what was said under this name before.
    ///
    /// The name has to be a token other than the four of RFC 7239; the value may be any bytes but
    /// control characters.
    pub fn with_extension(mut self, name: &str, value: &[u8]) -> Result<Self, Error> {
        let refused = |reason| Err(Error::value("the name of an extension", name.as_bytes(), reason));
        if name.is_empty() || !name.bytes().all(is_token) {
            return refused("expected letters, digits and !#$%&'*+-.^_`|~");
        }
        if Known::of(name.as_bytes()).is_some() {
            return refused("it has a method of its own: with_for, with_by, with_host or with_proto");
        }
        if !value.iter().copied().all(is_quotable) {
            let error = Error::value("a value", value, CONTROL);
            return Err(error.within(parameter(name.as_bytes())));
        }
        self.extensions.insert(lower(name.as_bytes()), value.into());
        Ok(self)
    }

    /// The element as it is written, byte for byte.
    ///
    /// The same as [`Display`](fmt::Display), unless an extension has bytes that are no UTF-8.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let mut pair = |name: &str, value: &[u8]| {
            if out.len() > start {
                out.push(b';');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            write_value(out, value);
        };
        if let Some(node) = &self.for_ {
            pair("for", node.to_string().as_bytes());
        }
        if let Some(node) = &self.by {
            pair("by", node.to_string().as_bytes());
        }
        match &self.host {
            Some((host, Some(port))) => pair("host", format!("{host}:{port}").as_bytes()),
            Some((host, None)) => pair("host", host.as_str().as_bytes()),
            None => {}
        }
        if let Some(scheme) = self.proto {
            pair("proto", scheme.as_str().as_bytes());
        }
        for (name, value) in &self.extensions {
            pair(name, value);
        }
        if out.len() == start {
            out.push(b';');
        }
    }
}

impl FromStr for Element {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text.as_bytes())
    }
}

/// The element as it is written; bytes of extensions that are no UTF-8 become U+FFFD.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Element({})", self.to_bytes().escape_ascii())
    }
}

/// One end of a connection, as `for` and `by` name it (RFC 7239 section 6).
///
/// | text | name | port |
/// | --- | --- | --- |
/// | `203.0.113.9` | the address | |
/// | `[2001:db8::9]:4711` | the address | 4711 |
/// | `unknown`, `Unknown` | [`NodeName::Unknown`] | |
/// | `_hidden:_p` | the identifier `_hidden` | the identifier `_p` |
/// | `2001:db8::9`, `[203.0.113.9]`, `a.example`, `203.0.113.9:080` | refused | |
///
/// IPv4-mapped addresses are folded to IPv4, as everywhere in this crate. A [`Peer`] becomes a node,
/// and a node a peer; what has no address is `unknown` there.
///
/// ```
/// use proxyfix_policy::Peer;
/// use proxyfix_policy::forwarded::Node;
///
/// assert_eq!("[::ffff:10.0.0.2]:80".parse::<Node>()?, Node::from("10.0.0.2:80".parse::<Peer>()?));
/// assert_eq!(Node::from(Peer::local()).to_string(), "unknown");
/// assert_eq!(Peer::from(&"_hidden".parse::<Node>()?), Peer::unknown());
/// # Ok::<(), proxyfix_policy::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    name: NodeName,
    port: Option<NodePort>,
}

/// Whom a [`Node`] names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeName {
    /// A machine.
    Address(IpAddr),
    /// The hop does not know: `unknown`.
    Unknown,
    /// The hop does not tell.
    Obfuscated(Obfuscated),
}

/// The port of a [`Node`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodePort {
    /// 0 to 65535; as the port of a [`Peer`], 0 is none.
    Number(u16),
    /// The hop does not tell.
    Obfuscated(Obfuscated),
}

impl Node {
    /// A node with or without a port.
    pub fn new(name: NodeName, port: Option<NodePort>) -> Self {
        let name = match name {
            NodeName::Address(ip) => NodeName::Address(ip.to_canonical()),
            name => name,
        };
        Self { name, port }
    }

    /// Reads a node, without the quotes that it may have in the header.
    pub fn from_bytes(text: &[u8]) -> Result<Self, Error> {
        let (name, port) = read_rfc7239(text).map_err(|reason| Error::value("a node", text, reason))?;
        let name = match name {
            Name::Address(ip) => NodeName::Address(ip),
            Name::Unknown => NodeName::Unknown,
            Name::Obfuscated(text) => NodeName::Obfuscated(Obfuscated::from_bytes(text)?),
        };
        let port = match port {
            Some(Number::Plain(port)) => Some(NodePort::Number(port)),
            Some(Number::Obfuscated(text)) => Some(NodePort::Obfuscated(Obfuscated::from_bytes(text)?)),
            None => None,
        };
        Ok(Self::new(name, port))
    }

    /// Whom it names.
    pub const fn name(&self) -> &NodeName {
        &self.name
    }

    /// The port, where one is stated.
    pub const fn port(&self) -> Option<&NodePort> {
        self.port.as_ref()
    }
}

impl FromStr for Node {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text.as_bytes())
    }
}

impl From<Peer> for Node {
    /// A local socket and an unknown peer are `unknown`.
    fn from(peer: Peer) -> Self {
        let name = peer.ip().map_or(NodeName::Unknown, NodeName::Address);
        Self::new(name, peer.port().map(NodePort::Number))
    }
}

impl From<IpAddr> for Node {
    fn from(ip: IpAddr) -> Self {
        Peer::from(ip).into()
    }
}

impl From<SocketAddr> for Node {
    fn from(address: SocketAddr) -> Self {
        Peer::from(address).into()
    }
}

impl From<&Node> for Peer {
    /// What has no address is unknown; an obfuscated port is none.
    fn from(node: &Node) -> Self {
        match (&node.name, &node.port) {
            (NodeName::Address(ip), Some(NodePort::Number(port))) => Self::new(*ip, Some(*port)),
            (NodeName::Address(ip), _) => Self::new(*ip, None),
            (NodeName::Unknown | NodeName::Obfuscated(_), _) => Self::unknown(),
        }
    }
}

/// The node as it stands in the header, without the quotes that it may need there.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            NodeName::Address(IpAddr::V4(ip)) => write!(f, "{ip}")?,
            NodeName::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
            NodeName::Unknown => f.write_str("unknown")?,
            NodeName::Obfuscated(name) => f.write_str(name.as_str())?,
        }
        match &self.port {
            Some(NodePort::Number(port)) => write!(f, ":{port}"),
            Some(NodePort::Obfuscated(port)) => write!(f, ":{}", port.as_str()),
            None => Ok(()),
        }
    }
}

/// An identifier that stands for an address or a port without telling it: an underscore, then letters,
/// digits, `.`, `_` and `-` (RFC 7239 section 6.3).
///
/// It is text for logs, never an address, and never a name to look up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Obfuscated(Box<str>);

impl Obfuscated {
    /// Reads an identifier, underscore included.
    pub fn from_bytes(text: &[u8]) -> Result<Self, Error> {
        if is_obfuscated(text) {
            return Ok(Self(text.iter().map(|byte| char::from(*byte)).collect()));
        }
        let reason = "expected an underscore, then letters, digits, '.', '_' and '-'";
        Err(Error::value("an obfuscated identifier", text, reason))
    }

    /// The identifier, underscore included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Obfuscated {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for Obfuscated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Obfuscated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Obfuscated({self})")
    }
}

// What the decision reads, without allocating

/// The element at `position` from the right, 1 the nearest, and its line; empty ones do not count.
pub(crate) fn element_at<'a, L>(lines: L, position: usize) -> Option<(&'a [u8], usize)>
where
    L: DoubleEndedIterator<Item = &'a [u8]>,
{
    let mut entries = Entries::new(lines, Quoting::Quoted, LONGEST_ELEMENT);
    let mut left = position;
    loop {
        match entries.next_filled()? {
            Entry::TooLong => return None,
            Entry::Text(text) if left <= 1 => return Some((text, entries.line_number())),
            Entry::Text(_) => left -= 1,
        }
    }
}

/// An element whose values are not judged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct RawElement<'a> {
    pub(crate) node: Option<Value<'a>>,
    pub(crate) proto: Option<Value<'a>>,
    pub(crate) host: Option<Value<'a>>,
    by: Option<Value<'a>>,
}

impl<'a> RawElement<'a> {
    /// `None` where the text is not an element, or a parameter stands in it twice.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let mut element = Self::default();
        let mut extensions = 0;
        for pair in Pairs::new(text) {
            let (name, value) = pair.ok()?;
            let place = match Known::of(name) {
                Some(Known::For) => &mut element.node,
                Some(Known::By) => &mut element.by,
                Some(Known::Host) => &mut element.host,
                Some(Known::Proto) => &mut element.proto,
                None => {
                    extensions += 1;
                    continue;
                }
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        if extensions > 1 && repeats_an_extension(text) { None } else { Some(element) }
    }
}

/// Whether an extension stands twice in an element.
///
/// Compared are numbers made of the names, and then the names: of the 128 that an element can have, each
/// with each.
#[cold]
fn repeats_an_extension(text: &[u8]) -> bool {
    const MOST: usize = LONGEST_ELEMENT.div_ceil(b"a=b;".len());
    let mut names = [(0, &b""[..]); MOST];
    let extensions =
        Pairs::new(text).flatten().map(|(name, _)| name).filter(|name| Known::of(name).is_none());
    for (count, name) in extensions.enumerate() {
        let number = name
            .iter()
            .fold(0_u64, |number, byte| number.rotate_left(8) ^ u64::from(byte.to_ascii_lowercase()));
        let same = |other: &(u64, &[u8])| other.0 == number && other.1.eq_ignore_ascii_case(name);
        if count == MOST || names[..count].iter().any(same) {
            return true;
        }
        names[count] = (number, name);
    }
    false
}

/// A value as it was written: a token, or the inside of a quoted string with its escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    text: &'a [u8],
    /// Whether it has any.
    escapes: bool,
}

impl<'a> Value<'a> {
    /// Hands the value, with quoted pairs undone, to `read`.
    pub(crate) fn with<T>(self, read: impl FnOnce(&[u8]) -> T) -> T {
        if !self.escapes {
            return read(self.text);
        }
        // No value is longer than its element.
        let (mut plain, mut length) = ([0; LONGEST_ELEMENT], 0);
        for (slot, byte) in plain.iter_mut().zip(self.plain()) {
            *slot = byte;
            length += 1;
        }
        read(&plain[..length])
    }

    /// The bytes, with quoted pairs undone.
    fn plain(self) -> impl Iterator<Item = u8> + 'a {
        let mut escaped = false;
        self.text.iter().copied().filter(move |byte| {
            escaped = !escaped && *byte == b'\\';
            !escaped
        })
    }
}

// The grammar

/// The parameters that RFC 7239 defines.
enum Known {
    For,
    By,
    Host,
    Proto,
}

impl Known {
    /// Names are case-insensitive.
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            [b'b' | b'B', b'y' | b'Y'] => Some(Self::By),
            [b'f' | b'F', b'o' | b'O', b'r' | b'R'] => Some(Self::For),
            [b'h' | b'H', b'o' | b'O', b's' | b'S', b't' | b'T'] => Some(Self::Host),
            [b'p' | b'P', b'r' | b'R', b'o' | b'O', b't' | b'T', b'o' | b'O'] => Some(Self::Proto),
            _ => None,
        }
    }
}

/// The parameters of an element, as they are written; the end at the first that is none.
///
/// White space is allowed around `;` only, and between two of them nothing is needed.
struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], Value<'a>), Fault<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while let [b';' | b' ' | b'\t', after @ ..] = self.rest {
            self.rest = after;
        }
        if self.rest.is_empty() {
            return None;
        }
        let pair = read_pair(self.rest);
        self.rest = pair.as_ref().map_or(&[], |(_, _, after)| after);
        Some(pair.map(|(name, value, _)| (name, value)))
    }
}

/// A text that should begin with a parameter, and what is wrong with it.
struct Fault<'a> {
    text: &'a [u8],
    reason: &'static str,
}

impl Fault<'_> {
    fn into_error(self) -> Error {
        let until_semicolon = |text: &[u8]| text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        match split_token(self.text) {
            (name @ [_, ..], [b'=', value @ ..]) => {
                let end = if value.starts_with(b"\"") { value.len() } else { until_semicolon(value) };
                Error::value("a value", &value[..end], self.reason).within(parameter(name))
            }
            _ => Error::value("a parameter", &self.text[..until_semicolon(self.text)], self.reason),
        }
    }
}

const CONTROL: &str = "control characters are not allowed, not even in quotes";

/// Name, value and what follows them: nothing or a semicolon.
#[inline]
fn read_pair(text: &[u8]) -> Result<(&[u8], Value<'_>, &[u8]), Fault<'_>> {
    let fault = |reason| Fault { text, reason };
    let (name, [b'=', after @ ..]) = split_token(text) else {
        return Err(fault("expected a name, \"=\" and a value, without white space between them"));
    };
    if name.is_empty() {
        return Err(fault("the name before the \"=\" is missing"));
    }
    let (value, rest) = match after {
        [b'"', quoted @ ..] => split_quoted(quoted).map_err(fault)?,
        [] | [b';', ..] => return Err(fault("it is missing; an empty one is written \"\"")),
        [b' ' | b'\t', ..] => return Err(fault("no white space may follow the \"=\"")),
        _ => {
            let (text, rest) = split_token(after);
            (Value { text, escapes: false }, rest)
        }
    };
    match (trim_start(rest), after) {
        (rest @ ([] | [b';', ..]), _) => Ok((name, value, rest)),
        (_, [b'"', ..]) => Err(fault("only \";\" may follow the closing quote")),
        _ => Err(fault("what is not made of letters, digits and !#$%&'*+-.^_`|~ has to be in double quotes")),
    }
}

/// The token at the beginning, which may be empty, and what follows it.
fn split_token(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len()))
}

/// The quoted string whose opening quote stands before `text`, and what follows it.
fn split_quoted(text: &[u8]) -> Result<(Value<'_>, &[u8]), &'static str> {
    const OPEN: &str = "the closing quote is missing";
    let (mut end, mut escapes) = (0, false);
    loop {
        end += text[end..].iter().position(|byte| !has_class(*byte, PLAIN)).ok_or(OPEN)?;
        match text[end..] {
            [b'"', ref rest @ ..] => return Ok((Value { text: &text[..end], escapes }, rest)),
            [b'\\'] => return Err(OPEN),
            [b'\\', byte, ..] if is_quotable(byte) => escapes = true,
            _ => return Err(CONTROL),
        }
        end += 2;
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    has_class(byte, TOKEN)
}

/// What a quoted string may hold, some of it behind a backslash (RFC 9110 section 5.6.4).
fn is_quotable(byte: u8) -> bool {
    has_class(byte, PLAIN) || matches!(byte, b'"' | b'\\')
}

pub(crate) const TOKEN: u8 = 1;
/// Stands in a quoted string without a backslash.
pub(crate) const PLAIN: u8 = 2;

/// Looked up, because every byte of an element is.
#[inline]
pub(crate) fn has_class(byte: u8, class: u8) -> bool {
    const CLASSES: [u8; 256] = {
        let mut classes = [0; 256];
        let mut byte = 0_u8;
        loop {
            classes[byte as usize] = match byte {
                b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~' => {
                    TOKEN | PLAIN
                }
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => TOKEN | PLAIN,
                b'"' | b'\\' => 0,
                b'\t' | b' '..=b'~' | 0x80.. => PLAIN,
                _ => 0,
            };
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        classes
    };
    CLASSES[usize::from(byte)] & class != 0
}

fn write_value(out: &mut Vec<u8>, value: &[u8]) {
    if !value.is_empty() && value.iter().copied().all(is_token) {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// The name of an extension in its one spelling; it is a token.
fn lower(name: &[u8]) -> Box<str> {
    name.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

/// The place of an error; a client may write a name of any length.
fn parameter(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(&name[..name.len().min(64)]);
    format!("parameter {name}")
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::collection::vec as many;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::claim::{Chain, Notation};
    use crate::node::Node as Hop;

    /// What the decision makes of a line that is one element.
    #[track_caller]
    fn decided(line: &[u8]) -> Hop {
        let mut chain = Chain::new(Notation::Forwarded, [line].into_iter());
        let hop = chain.next().unwrap();
        assert_eq!(chain.next(), None, "{}", line.escape_ascii());
        hop
    }

    #[track_caller]
    fn assert_for(element: &str, peer: &str) {
        let peer = peer.parse().unwrap();
        assert_eq!(decided(element.as_bytes()), Hop::Address(peer), "{element}");
        assert_eq!(element.parse::<Element>().unwrap().for_().map(Peer::from), Some(peer), "{element}");
    }

    #[track_caller]
    fn assert_malformed(elements: &[&[u8]]) {
        for element in elements {
            assert_eq!(decided(element), Hop::Malformed, "{}", element.escape_ascii());
            assert!(Element::from_bytes(element).is_err(), "{}", element.escape_ascii());
        }
    }

    #[track_caller]
    fn assert_elements(lines: &[&str], elements: &[&str]) {
        let forwarded = Forwarded::from_lines(lines.iter().map(|line| line.as_bytes())).unwrap();
        let read: Vec<String> = forwarded.iter().map(ToString::to_string).collect();
        assert_eq!(read, elements, "{lines:?}");
    }

    #[track_caller]
    fn assert_refused(line: &str, message: &str) {
        assert_eq!(line.parse::<Forwarded>().unwrap_err().to_string(), message, "{line}");
    }

    #[test]
    fn t57_names_are_case_insensitive() {
        let text = b"FoR=203.0.113.9;PrOtO=HTTPS;HOST=Good.Example;X-Ext=A";
        let element = Element::from_bytes(text).unwrap();
        assert_eq!(element.proto(), Some(Scheme::Https));
        assert_eq!(element.host().unwrap().0.as_str(), "good.example");
        assert_eq!(element.extension("x-EXT"), Some(&b"A"[..]));
        assert_for("FoR=203.0.113.9;PrOtO=HTTPS", "203.0.113.9");
        let raw = RawElement::read(text).unwrap();
        assert!(raw.proto.unwrap().with(|text| text == b"HTTPS"));
        assert!(raw.host.unwrap().with(|text| text == b"Good.Example"));
    }

    #[test]
    fn t53_a_quoted_semicolon_separates_nothing() {
        assert_malformed(&[br#"for="203.0.113.9;host=evil.example;proto=https""#]);
    }

    #[test]
    fn t54_a_quoted_comma_separates_nothing() {
        assert_elements(
            &[r#"x="_a, for=127.0.0.1", for=203.0.113.9"#, r#"for=_b;x="\",", for=_c"#],
            &[r#"x="_a, for=127.0.0.1""#, "for=203.0.113.9", r#"for=_b;x="\",""#, "for=_c"],
        );
    }

    #[test]
    fn t55_an_open_quote_spoils_the_whole_value_and_only_the_left_of_the_decision() {
        let lines: [&[u8]; 2] = [b"for=1.1.1.1", br#"for="x, for=203.0.113.9"#];
        assert!(Forwarded::from_lines(lines).is_err());
        let mut read = nearest_first(lines);
        assert_eq!(read.next(), Some(Ok("for=203.0.113.9".parse().unwrap())));
        assert!(read.next().unwrap().is_err());
        assert_eq!(read.next(), Some(Ok("for=1.1.1.1".parse().unwrap())));
        assert_eq!(read.next(), None);
    }

    #[test]
    fn t56_no_parameter_twice() {
        assert_malformed(&[
            b"for=203.0.113.9;for=127.0.0.1",
            b"for=203.0.113.9;proto=https;proto=http",
            b"for=203.0.113.9;host=a;host=a",
            b"for=203.0.113.9;ext=1;EXT=2",
            b"by=1.1.1.1;for=203.0.113.9;By=1.1.1.1",
        ]);
        assert_for(r#"a="b;c=d";c=1;for=203.0.113.9"#, "203.0.113.9");
    }

    #[test]
    fn t58_no_white_space_around_the_equals_sign() {
        assert_malformed(&[b"for = 203.0.113.9", b"for= 203.0.113.9", b"for =203.0.113.9"]);
        assert_malformed(&[b"for=203.0.113.9;x= ;y=1", b"for=203.0.113.9;x=\t", b"x= 1;for=203.0.113.9"]);
        assert_for("proto=https ;\tfor=203.0.113.9 ", "203.0.113.9");
    }

    #[test]
    fn t59_opaque_nodes_keep_their_text() {
        for (text, written, name) in [
            ("for=unKnown", "for=unknown", NodeName::Unknown),
            ("for=_Hidden", "for=_Hidden", NodeName::Obfuscated("_Hidden".parse().unwrap())),
            (
                r#"for="_SEVKISEK:8080""#,
                r#"for="_SEVKISEK:8080""#,
                NodeName::Obfuscated("_SEVKISEK".parse().unwrap()),
            ),
            (r#"for="unknown:_x""#, r#"for="unknown:_x""#, NodeName::Unknown),
        ] {
            assert_eq!(decided(text.as_bytes()), Hop::Opaque, "{text}");
            let element: Element = text.parse().unwrap();
            assert_eq!(element.for_().unwrap().name(), &name, "{text}");
            assert_eq!(element.to_string(), written);
            assert!(Peer::from(element.for_().unwrap()).is_unknown());
        }
        assert_malformed(&[b"for=_", b"for=_a/b", br#"for="_a b""#, b"for=unknown1"]);
    }

    #[test]
    fn t60_t61_hosts_and_bare_ipv6_are_no_nodes() {
        assert_malformed(&[
            b"for=proxy.evil.example",
            b"for=2001:db8::9",
            b"for=[2001:db8::9]",
            br#"for="2001:db8::9""#,
            b"for=1.2.3.4:80",
            br#"for="[2001:db8::9%eth0]""#,
            br#"for="[203.0.113.9]""#,
        ]);
        assert_for(r#"for="[2001:db8::9]:4711""#, "[2001:db8::9]:4711");
        assert_for(r#"for="[::ffff:203.0.113.9]""#, "203.0.113.9");
    }

    #[test]
    fn ports_of_nodes_are_0_to_65535_or_obfuscated() {
        for (port, read) in [
            ("0", NodePort::Number(0)),
            ("65535", NodePort::Number(65535)),
            ("_P", NodePort::Obfuscated("_P".parse().unwrap())),
        ] {
            let node: Node = format!("203.0.113.9:{port}").parse().unwrap();
            assert_eq!(node.port(), Some(&read));
            assert_eq!(node.to_string(), format!("203.0.113.9:{port}"));
        }
        assert_eq!(Peer::from(&"203.0.113.9:0".parse::<Node>().unwrap()), "203.0.113.9".parse().unwrap());
        for port in ["", "65536", "080", "+1", "_", "http", "1 "] {
            assert!(format!("203.0.113.9:{port}").parse::<Node>().is_err(), "{port}");
        }
    }

    #[test]
    fn t62_quoted_pairs() {
        assert_for(r#"for="203.0.113\.9""#, "203.0.113.9");
        assert_malformed(&[br#"for="\"203.0.113.9\"""#, br#"for="203.0.113.9\"#, br#"for="203.0.113.9\""#]);
        let element: Element = r#"x="a\\\"\b\	""#.parse().unwrap();
        assert_eq!(element.extension("x"), Some(&b"a\\\"b\t"[..]));
    }

    #[test]
    fn t63_empty_elements_and_pairs() {
        assert_for(";;for=203.0.113.9;", "203.0.113.9");
        assert_malformed(&[
            b"for=",
            b"=203.0.113.9",
            b"for",
            br#"for="""#,
            b"for=203.0.113.9;=1",
            b"a=;for=_x",
        ]);
        assert_elements(&[", for=203.0.113.9 ,", "", " \t"], &["for=203.0.113.9"]);
        assert_elements(&["", ","], &[]);
        // A hop that says nothing is still a hop, to the decision, too.
        assert_elements(&["; ;, for=_a"], &[";", "for=_a"]);
        assert_eq!(decided(b";"), Hop::Silent);
    }

    #[test]
    fn t64_t65_extensions_are_checked_and_kept() {
        let text = r#"secret="a,b;c";for=203.0.113.9;x-ext=1;empty="""#;
        assert_for(text, "203.0.113.9");
        let element: Element = text.parse().unwrap();
        let extensions: Vec<_> = element.extensions().collect();
        assert_eq!(extensions, [("empty", &b""[..]), ("secret", b"a,b;c"), ("x-ext", b"1")]);
        assert_eq!(element.to_string(), r#"for=203.0.113.9;empty="";secret="a,b;c";x-ext=1"#);
        assert_malformed(&[
            b"for=203.0.113.9;x=\"\x01\"",
            b"for=203.0.113.9;x=\"\\\x01\"",
            b"for=203.0.113.9;x=\"\x7f\"",
            b"for=203.0.113.9;x=\xe9",
            b"for=203.0.113.9;x y",
            b"for=203.0.113.9 x",
            b"for=203.0.113.9;x=\"\"y",
            b"for=203.0.113.9 x=1",
            b"for=203.0.113.9;x=\"\"y=1",
        ]);
        assert_eq!(decided(b"proto=https;host=good.example"), Hop::Silent);
    }

    #[test]
    fn only_tokens_stand_without_quotes() {
        for byte in 0..=255 {
            let (name, value) = ([b"a", &[byte][..], b"=1"].concat(), [b"a=b", &[byte][..], b"c"].concat());
            let token = byte > b' ' && byte < 0x7f && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(Element::from_bytes(&name).is_ok(), token, "{}", name.escape_ascii());
            assert_eq!(Element::from_bytes(&value).is_ok(), token, "{}", value.escape_ascii());
            let quoted = [b"a=\"", &[b'\\', byte][..], b"\""].concat();
            let quotable = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            assert_eq!(Element::from_bytes(&quoted).is_ok(), quotable, "{}", quoted.escape_ascii());
        }
    }

    #[test]
    fn t65_bytes_that_are_no_utf8_are_kept_and_are_no_host() {
        let line = b"for=203.0.113.9;x=\"\xe9\\\xff\"";
        let element = Element::from_bytes(line).unwrap();
        assert_eq!(element.extension("x"), Some(&b"\xe9\xff"[..]));
        assert_eq!(element.to_bytes(), b"for=203.0.113.9;x=\"\xe9\xff\"");
        assert_eq!(element.to_string(), "for=203.0.113.9;x=\"\u{fffd}\u{fffd}\"");
        assert_eq!(format!("{element:?}"), r#"Element(for=203.0.113.9;x=\"\xe9\xff\")"#);
        let host = b"for=203.0.113.9;host=\"g\xf6od.example\"";
        assert!(matches!(decided(host), Hop::Address(_)));
        assert!(Element::from_bytes(host).is_err());
    }

    #[test]
    fn t68_what_is_no_token_is_written_in_quotes() {
        let element = Element::new()
            .with_for("[2001:db8::9]:_p".parse().unwrap())
            .with_by(Node::from("10.0.0.2".parse::<IpAddr>().unwrap()))
            .with_host(
                "my_app".parse().or_else(|_| Host::with_underscores(b"my_app")).unwrap(),
                Port::new(8080),
            )
            .with_proto(Scheme::Https)
            .with_extension("Secret", br#"a",for=127.0.0.1;\"#)
            .unwrap();
        let written = r#"for="[2001:db8::9]:_p";by=10.0.0.2;host="my_app:8080";proto=https;secret="a\",for=127.0.0.1;\\""#;
        assert_eq!(element.to_string(), written);
        assert_elements(&[written], &[written]);
        assert_eq!(element.by().map(Peer::from), Some("10.0.0.2".parse().unwrap()));
    }

    #[test]
    fn t68_nothing_that_breaks_out_can_be_built() {
        for (name, value) in [
            ("x", &b"a\r\nset-cookie: b"[..]),
            ("x", b"\0"),
            ("x", b"\x7f"),
            ("", b"a"),
            ("a b", b"a"),
            ("a=b;c", b"a"),
            ("x\r\n", b"a"),
            ("f\u{f6}r", b"a"),
            ("For", b"127.0.0.1"),
            ("by", b"127.0.0.1"),
            ("HOST", b"a"),
            ("proto", b"https"),
        ] {
            assert!(Element::new().with_extension(name, value).is_err(), "{name:?}");
        }
        let plain: Obfuscated = "_a.b-C".parse().unwrap();
        assert_eq!(format!("{plain} {plain:?}"), "_a.b-C Obfuscated(_a.b-C)");
        for text in ["_a\r\nb", "_a\"", "_a;b", "_", "a", ""] {
            assert!(text.parse::<Obfuscated>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn errors_name_element_parameter_text_and_cure() {
        assert_refused(
            r#"for=_a,, for="2001:db8::9""#,
            "element 2 of Forwarded: parameter for: \"2001:db8::9\" is not a node: an IPv6 address has to be in brackets",
        );
        assert_refused(
            "for=1.2.3.4:80;proto=https",
            "element 1 of Forwarded: parameter for: \"1.2.3.4:80\" is not a value: what is not made of letters, \
             digits and !#$%&'*+-.^_`|~ has to be in double quotes",
        );
        assert_refused(
            "proto=wss",
            "element 1 of Forwarded: parameter proto: \"wss\" is not a scheme: expected http or https",
        );
        assert_refused(
            "for = 1.2.3.4; x=1",
            "element 1 of Forwarded: \"for = 1.2.3.4\" is not a parameter: expected a name, \"=\" and a value, \
             without white space between them",
        );
        assert_refused(
            "by=_a, x=1;X=2",
            "element 2 of Forwarded: parameter X: \"2\" is not allowed: the parameter stands in the element twice",
        );
        assert_refused(
            "for= _a;by=_b",
            "element 1 of Forwarded: parameter for: \" _a\" is not a value: no white space may follow the \"=\"",
        );
        assert_refused(
            r#"x="1"2"#,
            r#"element 1 of Forwarded: parameter x: "\"1\"2" is not a value: only ";" may follow the closing quote"#,
        );
        assert_refused(
            r#"for="_a, for=_b"#,
            r#"element 1 of Forwarded: parameter for: "\"_a" is not a value: the closing quote is missing"#,
        );
        let line: &[u8] = b"for=x, for=_a";
        assert_eq!(
            nearest_first([line]).nth(1).unwrap().unwrap_err().to_string(),
            "element 2 from the right of Forwarded: parameter for: \"x\" is not a node: expected an IPv4 address, \
             an IPv6 address in brackets, \"unknown\", or an identifier such as \"_hidden\"; a host name is none of \
             them",
        );
        // T191: an excerpt, escaped.
        let long = format!("{}=\"\r\n", "n".repeat(5000));
        let message = long.parse::<Forwarded>().unwrap_err().to_string();
        assert!(message.len() < 300 && !message.contains('\n'), "{message}");
    }

    #[test]
    fn t56_an_extension_stands_once_however_many_there_are() {
        let names = "0123456789abcdefghijklmnopqrstuvwxyz!#$%&'*+-.^_`|~";
        let short = names.chars().fold(String::new(), |text, name| text + &format!(";{name}=1"));
        let both = names.chars().fold(short, |text, name| text + &format!(";{name}a=1"));
        let element = format!("for=_a{both}");
        assert_eq!(decided(element.as_bytes()), Hop::Opaque);
        assert_eq!(element.parse::<Element>().unwrap().extensions().count(), 102);
        for (repeated, hop) in
            [("A=2", Hop::Malformed), ("q=", Hop::Malformed), ("0A=2", Hop::Malformed), ("zz=2", Hop::Opaque)]
        {
            assert_eq!(decided(format!("{element};{repeated}").as_bytes()), hop, "{repeated}");
        }
    }

    #[test]
    fn from_the_right_an_element_of_more_than_512_bytes_is_the_end() {
        let element = format!("for=_a;x={}", "y".repeat(LONGEST_ELEMENT - 9));
        let line = format!("for=_c,{element}y,{element},for=_b");
        let read: Vec<_> = nearest_first([line.as_bytes()]).take(9).collect();
        assert!(matches!(&read[..], [Ok(_), Ok(_), Err(_)]), "{read:?}");
        assert_eq!(
            read[2].as_ref().unwrap_err().to_string(),
            "element 3 from the right of Forwarded has more than 512 bytes; nothing left of it is read",
        );
        assert_eq!(line.parse::<Forwarded>().unwrap().len(), 4);
        let chain = Chain::new(Notation::Forwarded, [line.as_bytes()].into_iter());
        assert!(chain.take(3).eq([Hop::Opaque, Hop::Opaque, Hop::TooLong]));
    }

    #[test]
    fn peers_become_nodes_and_back() {
        for (peer, node) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:80", "203.0.113.9:80"),
            ("[2001:db8::9]:80", "[2001:db8::9]:80"),
            ("[::ffff:203.0.113.9]:80", "203.0.113.9:80"),
        ] {
            let peer: Peer = peer.parse().unwrap();
            assert_eq!(Node::from(peer).to_string(), node);
            assert_eq!(Peer::from(&Node::from(peer)), peer);
        }
        for peer in [Peer::local(), Peer::unknown()] {
            assert_eq!(Node::from(peer).to_string(), "unknown");
        }
        let mapped = NodeName::Address("::ffff:203.0.113.9".parse().unwrap());
        assert_eq!(Node::new(mapped, None).to_string(), "203.0.113.9");
    }

    #[test]
    fn a_header_is_a_list_of_elements() {
        let element = |text: &str| text.parse::<Element>().unwrap();
        let mut forwarded = Forwarded::new();
        assert!(forwarded.is_empty());
        forwarded.push(element("for=_a"));
        forwarded.extend([element("for=_b"), element("x=\"\\\"\"")]);
        assert_eq!((forwarded.len(), forwarded.is_empty()), (3, false));
        assert_eq!(forwarded.to_string(), r#"for=_a, for=_b, x="\"""#);
        assert_eq!(format!("{forwarded:?}"), r#"Forwarded(for=_a, for=_b, x=\"\\\"\")"#);
        let read: Vec<Element> = forwarded.clone().into_iter().collect();
        assert_eq!(read, forwarded.0);
        let mut elements = nearest_first([&b"for=_a"[..]]);
        elements.next();
        assert_eq!(format!("{elements:?}"), "NearestFirst { position: 1, .. }");
    }

    // Properties

    fn obfuscated() -> impl Strategy<Value = Obfuscated> {
        "_[A-Za-z0-9._-]{1,70}".prop_map(|text| text.parse().unwrap())
    }

    fn node() -> impl Strategy<Value = Node> {
        let name = prop_oneof![
            any::<IpAddr>().prop_map(NodeName::Address),
            any::<[u8; 4]>().prop_map(|v4| NodeName::Address(IpAddr::from(v4).to_canonical())),
            Just(NodeName::Unknown),
            obfuscated().prop_map(NodeName::Obfuscated),
        ];
        let port =
            prop_oneof![any::<u16>().prop_map(NodePort::Number), obfuscated().prop_map(NodePort::Obfuscated)];
        (name, option::of(port)).prop_map(|(name, port)| Node::new(name, port))
    }

    fn host() -> impl Strategy<Value = (Host, Option<Port>)> {
        let host = prop_oneof![
            "[a-zA-Z0-9]{1,63}([.][a-z_]{1,9}){0,3}"
                .prop_map(|text| Host::with_underscores(text.as_bytes()).unwrap()),
            any::<core::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]").parse().unwrap()),
        ];
        (host, any::<u16>().prop_map(Port::new))
    }

    fn element() -> impl Strategy<Value = Element> {
        let known = (
            option::of(node()),
            option::of(node()),
            option::of(host()),
            option::of(select(&[Scheme::Http, Scheme::Https][..])),
        );
        let value = many(any::<u8>().prop_filter("control", |byte| is_quotable(*byte)), 0..12);
        let value = prop_oneof![value, "[ -~]{0,9}".prop_map(String::into_bytes)];
        (known, many(("[!-~]{1,4}", value), 0..4)).prop_map(|((for_, by, host, proto), extensions)| {
            extensions
                .into_iter()
                .fold(Element { for_, by, host, proto, ..Element::new() }, |element, (name, value)| {
                    element.clone().with_extension(&name, &value).unwrap_or(element)
                })
        })
    }

    /// Lines that are nearly well-formed, and lines that are not at all.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            8 => select(
                &[
                    "for=", "by=", "host=", "proto=", "FOR=", "x=", "X=", ";", ",", ", ", " ", "\"", "\\", "=",
                    "203.0.113.9", "\"[2001:db8::9]:80\"", "_a", "unknown", "\"", "https", "wss", "a.example",
                    "\"a.example:80\"", "\"1.2.3.4:80\"", "for=1.2.3.4", "x=1;", ";X=2", "host=a;", ";Host=b", "for=1.2.3.4;", "for=_a,",
                    "proto=http", "x=\"a,b;\\\"\"", "a b", "\"\\1.2.3.4\"", "\t",
                ][..]
            )
            .prop_map(|text| text.as_bytes().to_vec()),
            2 => element().prop_map(|element| element.to_bytes()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        many(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// How a line is split from the left, written down once more: `None` where a quote stays open.
    fn split_from_the_left(line: &[u8]) -> Option<Vec<&[u8]>> {
        let (mut elements, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
        for (index, byte) in line.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted => {
                    elements.push(&line[start..index]);
                    start = index + 1;
                }
                _ => {}
            }
        }
        elements.push(&line[start..]);
        elements.retain(|text| !text.iter().all(|byte| b" \t".contains(byte)));
        (!quoted).then_some(elements)
    }

    /// What the decision would accept of an element, with the grammars of its fields.
    fn decision_accepts(text: &[u8]) -> bool {
        RawElement::read(text).is_some_and(|raw| {
            raw.node.is_none_or(|value| value.with(crate::node::rfc7239) != Hop::Malformed)
                && raw.by.is_none_or(|value| value.with(crate::node::rfc7239) != Hop::Malformed)
                && raw.proto.is_none_or(|value| value.with(Scheme::from_bytes).is_ok())
                && raw.host.is_none_or(|value| {
                    value.with(|text| Host::read_with_port(text, Underscores::Allowed)).is_ok()
                })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(elements in many(element(), 0..5)) {
            let forwarded: Forwarded = elements.into_iter().collect();
            let written = forwarded.to_bytes();
            prop_assert!(written.iter().all(|byte| is_quotable(*byte)));
            prop_assert_eq!(&Forwarded::from_bytes(&written).unwrap(), &forwarded);
            let lines: Vec<Vec<u8>> = forwarded.iter().map(Element::to_bytes).collect();
            prop_assert_eq!(Forwarded::from_lines(lines.iter().map(Vec::as_slice)).unwrap(), forwarded);
        }

        #[test]
        fn what_is_read_is_written_in_one_way(line in line()) {
            if let Ok(forwarded) = Forwarded::from_bytes(&line) {
                let written = forwarded.to_bytes();
                let again = Forwarded::from_bytes(&written).unwrap();
                prop_assert_eq!(&again, &forwarded);
                prop_assert_eq!(again.to_bytes(), written);
            }
        }

        #[test]
        fn nodes_and_peers_agree(node in node()) {
            prop_assert_eq!(&node.to_string().parse::<Node>().unwrap(), &node);
            let peer = Peer::from(&node);
            prop_assert_eq!(Peer::from(&Node::from(peer)), peer);
        }

        #[test]
        fn the_decision_accepts_the_same_elements_and_reads_the_same(line in line()) {
            for text in line.split(|byte| *byte == b',').chain([&*line]) {
                let read = Element::from_bytes(text);
                prop_assert_eq!(read.is_ok(), decision_accepts(text), "{}", text.escape_ascii());
                let Ok(element) = read else { continue };
                let raw = RawElement::read(text).unwrap();
                let hop = raw.node.map(|value| value.with(crate::node::rfc7239));
                prop_assert_eq!(hop, element.for_().map(|node| match node.name() {
                    NodeName::Address(_) => Hop::Address(node.into()),
                    NodeName::Unknown | NodeName::Obfuscated(_) => Hop::Opaque,
                }));
                prop_assert_eq!(
                    raw.proto.map(|value| value.with(Scheme::from_bytes).unwrap()), element.proto()
                );
                let host = raw.host.map(|value| {
                    value.with(|text| Host::read_with_port(text, Underscores::Allowed)).unwrap()
                });
                prop_assert_eq!(host.as_ref().map(|(host, port)| (host, *port)), element.host());
            }
        }

        #[test]
        fn the_decision_walks_the_same_elements(lines in many(line(), 0..4)) {
            let lines = || lines.iter().map(Vec::as_slice);
            let mut chain = Chain::new(Notation::Forwarded, lines());
            for (index, read) in nearest_first(lines()).enumerate() {
                let hop = chain.next().unwrap();
                match read {
                    Ok(element) => prop_assert_eq!(hop, match element.for_() {
                        None => Hop::Silent,
                        Some(node) if matches!(node.name(), NodeName::Address(_)) => Hop::Address(node.into()),
                        Some(_) => Hop::Opaque,
                    }),
                    Err(_) if hop == Hop::TooLong => return Ok(()),
                    Err(_) => {
                        let (text, _) = element_at(lines(), index + 1).unwrap();
                        prop_assert!(!decision_accepts(text), "{}", text.escape_ascii());
                    }
                }
            }
            prop_assert_eq!(chain.next(), None);
        }

        #[test]
        fn legal_lines_are_split_alike_from_both_ends(line in line()) {
            let from_the_left = split_from_the_left(&line)
                .and_then(|texts| texts.into_iter().map(|text| Element::from_bytes(text).ok()).collect());
            prop_assert_eq!(Forwarded::from_bytes(&line).ok(), from_the_left);
        }
    }
}
