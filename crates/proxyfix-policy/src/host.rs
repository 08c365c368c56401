//! The host that the client asked for.

use core::fmt;
use core::fmt::Write as _;
use core::net::Ipv6Addr;
use core::str::FromStr;

use crate::text::{ANY, DIGITS, LOWER, Machine, State, Text, UPPER};
use crate::{Error, Port, Scheme};

/// A host name or address literal, normalised: lower case, no trailing dot, IPv6 in its canonical
/// text form and in brackets.
///
/// The grammar is our own, because the URI types of the HTTP libraries accept far more: dot-separated
/// labels of letters, digits and inner hyphens (1 to 63 bytes each, 253 in all), or `[`IPv6`]`. IPv4
/// addresses are labels too. There is no percent-decoding and no IDNA mapping; A-labels
/// (`xn--…`) pass as the ASCII they are.
///
/// ```
/// use proxyfix_policy::Host;
///
/// assert_eq!("GOOD.Example.".parse::<Host>()?.as_str(), "good.example");
/// assert_eq!("[2001:DB8::0:9]".parse::<Host>()?.as_str(), "[2001:db8::9]");
/// assert!("good.example@evil.example".parse::<Host>().is_err());
/// # Ok::<(), proxyfix_policy::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Text<IN_PLACE>);

/// Whether labels may have underscores, which no host name of the DNS has and container names do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Underscores {
    #[default]
    Refused,
    Allowed,
}

/// Bytes of a host name, without the trailing dot (RFC 1035 section 2.3.4).
const LONGEST_HOST: usize = 253;
/// Bytes of one label of it.
const LONGEST_LABEL: usize = 63;
/// Bytes of a host with a trailing dot and a port.
const LONGEST_TEXT: usize = LONGEST_HOST + ".:65535".len();
/// Bytes that are held in place; more than most hosts have, and than every address.
const IN_PLACE: usize = 54;

/// Where the machine stands: where a label begins, in one, behind a hyphen; behind a colon, or so many digits of a
/// port; or behind what is not yet as it is written, where it leaves the rest to others.
const START: State = State::S1;
const LABEL: State = State::S2;
const HYPHEN: State = State::S3;
const COLON: State = State::S4;
const DIGITS_1: State = State::S5;
const DIGITS_2: State = State::S6;
const DIGITS_3: State = State::S7;
const DIGITS_4: State = State::S8;
const DIGITS_5: State = State::S9;
const UNUSUAL: State = State::S10;

/// Names with or without a port, of which no label is too long, without and with underscores.
static NAMES: [Machine; 2] = [names(), label_bytes(names(), b"_", LABEL)];

const fn names() -> Machine {
    let names = label_bytes(label_bytes(Machine::new(), LOWER, LABEL), DIGITS, LABEL);
    label_bytes(names, UPPER, UNUSUAL)
        .with(LABEL, b"-", HYPHEN)
        .with(HYPHEN, b"-", HYPHEN)
        .with(LABEL, b".", START)
        // Of a name with a dot at its end.
        .with(START, b":", UNUSUAL)
        .with(START, b"[", UNUSUAL)
        .with(UNUSUAL, ANY, UNUSUAL)
        .with(LABEL, b":", COLON)
        .with(COLON, b"123456789", DIGITS_1)
        .with(DIGITS_1, DIGITS, DIGITS_2)
        .with(DIGITS_2, DIGITS, DIGITS_3)
        .with(DIGITS_3, DIGITS, DIGITS_4)
        .with(DIGITS_4, DIGITS, DIGITS_5)
}

const fn label_bytes(names: Machine, bytes: &[u8], to: State) -> Machine {
    names.with(START, bytes, to).with(LABEL, bytes, to).with(HYPHEN, bytes, to)
}

impl Host {
    /// The normalised text; an IPv6 literal is in brackets.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The text in ASCII. For the layers: unlike [`as_str`](Self::as_str) it costs nothing.
    #[doc(hidden)]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Reads a host, without a port, from bytes.
    pub fn from_bytes(text: &[u8]) -> Result<Self, Error> {
        Self::name_by_the_grammar(text, Underscores::Refused).map_err(|reason| refused(text, reason))
    }

    /// Reads a host whose labels may have underscores, as the names of containers do.
    pub fn with_underscores(text: &[u8]) -> Result<Self, Error> {
        Self::name_by_the_grammar(text, Underscores::Allowed).map_err(|reason| refused(text, reason))
    }

    /// The grammar, written for people; [`read`](Self::read) takes usual names faster, to the same end.
    fn name_by_the_grammar(text: &[u8], underscores: Underscores) -> Result<Self, &'static str> {
        if let [b'[', inner @ .., b']'] = text {
            return match core::str::from_utf8(inner).ok().and_then(|ip| ip.parse().ok()) {
                Some(ip) => Ok(Self::from_ipv6(ip)),
                None => Err("expected an IPv6 address between the brackets"),
            };
        }
        let name = text.strip_suffix(b".").unwrap_or(text);
        if name.len() > LONGEST_HOST {
            return Err("it is longer than 253 bytes");
        }
        for label in name.split(|byte| *byte == b'.') {
            if label.is_empty() || label.len() > LONGEST_LABEL {
                return Err("each label has 1 to 63 bytes");
            }
            let inner = |byte: &u8| {
                byte.is_ascii_alphanumeric()
                    || *byte == b'-'
                    || (*byte == b'_' && underscores == Underscores::Allowed)
            };
            if !label.iter().all(inner) || label[0] == b'-' || label[label.len() - 1] == b'-' {
                return Err("labels are letters, digits and inner hyphens");
            }
        }
        let mut host = Text::new(name);
        host.make_lower_case();
        Ok(Self(host))
    }

    fn from_ipv6(ip: Ipv6Addr) -> Self {
        let mut text = Text::default();
        // The longest has 41 bytes, and fits.
        let _ = write!(text, "[{ip}]");
        Self(text)
    }

    /// Reads `host`, `host:port`, `[ipv6]` or `[ipv6]:port`, the value of a `Host` header
    /// (RFC 9110 section 7.2).
    ///
    /// A colon promises a port: `good.example:` is refused, as is an IPv6 address without brackets.
    pub fn with_port(text: &[u8]) -> Result<(Self, Option<Port>), Error> {
        Self::read_with_port(text, Underscores::Refused)
    }

    /// Reads a host with or without a port; what is refused is refused with its reason.
    pub(crate) fn read_with_port(
        text: &[u8],
        underscores: Underscores,
    ) -> Result<(Self, Option<Port>), Error> {
        Self::read(text, underscores).map_or_else(|| by_the_grammar(text, underscores), Ok)
    }

    /// Reads a host with or without a port, and says of what it refuses nothing more: requests are full of it.
    #[inline]
    pub(crate) fn read(text: &[u8], underscores: Underscores) -> Option<(Self, Option<Port>)> {
        // So short, no label is too long.
        let end = if text.len() <= IN_PLACE { underscores.names().run(START, text) } else { UNUSUAL };
        let (name, port) = match end {
            LABEL => (text, None),
            DIGITS_1 => split_port::<1>(text)?,
            DIGITS_2 => split_port::<2>(text)?,
            DIGITS_3 => split_port::<3>(text)?,
            DIGITS_4 => split_port::<4>(text)?,
            DIGITS_5 => split_port::<5>(text)?,
            START | UNUSUAL => return unusual(text, underscores),
            _ => return None,
        };
        let mut host = Text::default();
        host.push(name)?;
        Some((Self(host), port))
    }

    /// Whether `text` is a host, with or without a port, that is written as the layers write it for each of
    /// `schemes`: lower case, no trailing dot, no default port. Of the unusual, such as IPv6, it says no.
    #[inline]
    pub(crate) fn is_plain_for(text: &[u8], underscores: Underscores, schemes: &[Scheme]) -> bool {
        // So short, no label is too long.
        if text.len() > LONGEST_LABEL {
            return false;
        }
        match underscores.names().run(START, text) {
            LABEL | DIGITS_1 | DIGITS_4 => true,
            DIGITS_2 => !(schemes.contains(&Scheme::Http) && text.ends_with(b"80")),
            DIGITS_3 => !(schemes.contains(&Scheme::Https) && text.ends_with(b"443")),
            DIGITS_5 => split_port::<5>(text).is_some(),
            _ => false,
        }
    }
}

impl Underscores {
    #[inline]
    fn names(self) -> &'static Machine {
        // Not a choice between two, of which the compiler would make all that follows twice.
        &NAMES[self as usize]
    }
}

/// Splits a colon and a port of so many digits from the end. The machine has seen that they are there, and that the
/// first of them is no zero.
#[inline]
fn split_port<const N: usize>(text: &[u8]) -> Option<(&[u8], Option<Port>)> {
    let (before, digits) = text.split_last_chunk::<N>()?;
    let number = digits.iter().fold(0, |number: u32, digit| number * 10 + u32::from(digit & 0xF));
    Some((before.split_last()?.1, Some(Port::new(u16::try_from(number).ok()?)?)))
}

/// Reads what is not yet as it is written, long, or an address in brackets: out of the way of what is usual.
#[cold]
#[inline(never)]
fn unusual(text: &[u8], underscores: Underscores) -> Option<(Host, Option<Port>)> {
    if text.len() > LONGEST_TEXT {
        return None;
    }
    let (name, port) = match split_at_colon(text) {
        (name, Some(port)) => (name, Some(Port::read(port)?)),
        (name, None) => (name, None),
    };
    if name.len() > IN_PLACE || name.starts_with(b"[") {
        return Some((Host::name_by_the_grammar(name, underscores).ok()?, port));
    }
    let mut host = Text::new(name.strip_suffix(b".").unwrap_or(name));
    host.make_lower_case();
    (underscores.names().run(START, host.as_bytes()) == LABEL).then_some((Host(host), port))
}

/// The last colon separates the port, if no bracket closes behind it.
fn split_at_colon(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(colon) if text[colon] == b':' => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    }
}

fn refused(text: &[u8], reason: &'static str) -> Error {
    Error::value("a host", text, reason)
}

/// Reads a host with or without a port in the way that knows why something is refused.
#[cold]
fn by_the_grammar(text: &[u8], underscores: Underscores) -> Result<(Host, Option<Port>), Error> {
    let (name, port) = match split_at_colon(text) {
        (name, Some(port)) => (name, Some(Port::from_bytes(port)?)),
        (name, None) => (name, None),
    };
    match Host::name_by_the_grammar(name, underscores) {
        Ok(host) => Ok((host, port)),
        Err(reason) => Err(refused(name, reason)),
    }
}

impl FromStr for Host {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text.as_bytes())
    }
}

impl AsRef<str> for Host {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Host {
    fn eq(&self, text: &str) -> bool {
        self.as_bytes() == text.as_bytes()
    }
}

impl PartialEq<&str> for Host {
    fn eq(&self, text: &&str) -> bool {
        self.as_bytes() == text.as_bytes()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({self})")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use core::iter;

    use proptest::prelude::*;

    use super::*;

    impl Host {
        fn is_plain(text: &[u8], underscores: Underscores, scheme: Scheme) -> bool {
            Self::is_plain_for(text, underscores, &[scheme])
        }
    }

    #[track_caller]
    fn assert_host(text: &str, host: &str, port: Option<u16>) {
        let (read, read_port) = Host::with_port(text.as_bytes()).unwrap();
        assert_eq!((read.as_str(), read_port.map(Port::get)), (host, port), "{text}");
    }

    #[track_caller]
    fn assert_refused(texts: &[&[u8]]) {
        for text in texts {
            assert!(Host::with_port(text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn hosts_are_normalised() {
        assert_host("good.example", "good.example", None);
        assert_host("good.example:8080", "good.example", Some(8080));
        assert_host("198.51.100.7:80", "198.51.100.7", Some(80));
        assert_host("[2001:DB8:0::9]:443", "[2001:db8::9]", Some(443));
        assert_host("[::1]", "[::1]", None);
        assert_host("localhost", "localhost", None);
    }

    #[test]
    fn t70_userinfo_is_never_a_host() {
        assert_refused(&[b"good.example@evil.example", b"good.example:80@evil.example", b"good@evil"]);
    }

    #[test]
    fn t71_delimiters_are_never_in_a_host() {
        assert_refused(&[
            b"good.example/admin?x=",
            b"good.example#",
            b"evil.example\\good.example",
            b"a,b",
            b"a;b",
            b"a'b",
            b"a b",
            b"<b>",
            b"{b}",
            b"a_b",
            b"a\tb",
            b" a",
            b"a ",
            b"a?b",
            b"",
            b"-a",
            b"a-",
        ]);
    }

    #[test]
    fn t74_case_and_one_trailing_dot_are_normalised() {
        assert_host("GOOD.Example", "good.example", None);
        assert_host("good.example.", "good.example", None);
        assert_refused(&[b"good.example..", b".good.example", b"a..b", b"."]);
    }

    #[test]
    fn t75_non_ascii_and_percent_are_refused_and_a_labels_pass() {
        assert_refused(&[b"g\xc3\xb6od.example", b"g\xf6od.example", b"good%2eexample"]);
        assert_host("xn--gd-fka.example", "xn--gd-fka.example", None);
    }

    #[test]
    fn t76_port_junk_refuses_the_whole() {
        assert_refused(&[
            b"good.example:99999",
            b"good.example:",
            b"good.example:80:90",
            b":80",
            b"good.example:0",
            b"good.example:http",
            b"good.example:080",
            b"good.example:+80",
        ]);
    }

    #[test]
    fn t77_ipv6_needs_brackets_and_brackets_need_ipv6() {
        assert_refused(&[
            b"::1",
            b"2001:db8::9",
            b"[::1]x",
            b"[zz]",
            b"[]",
            b"[203.0.113.9]",
            b"[::1",
            b"::1]",
            b"[[::1]]",
            b"[fe80::1%25eth0]",
            b"[fe80::1%eth0]",
        ]);
    }

    #[test]
    fn underscores_are_opt_in() {
        let allowed = Host::read_with_port(b"my_app:8080", Underscores::Allowed).unwrap();
        assert_eq!((allowed.0.as_str(), allowed.1.map(Port::get)), ("my_app", Some(8080)));
        assert!(Host::with_port(b"my_app:8080").is_err());
        assert!(Host::read_with_port(b"my app", Underscores::Allowed).is_err());
    }

    #[test]
    fn lengths_are_bounded() {
        let label = "a".repeat(63);
        let longest = [label.as_str(), &label, &label, &"a".repeat(61)].join(".");
        assert_host(&longest, &longest, None);
        assert_refused(&["a".repeat(64).as_bytes(), format!("{longest}a").as_bytes()]);
    }

    #[test]
    fn a_host_is_its_text() {
        let host: Host = "GOOD.example".parse().unwrap();
        assert_eq!((host.as_ref(), format!("{host:?}").as_str()), ("good.example", "Host(good.example)"));
        assert!(host == "good.example" && host == *"good.example");
        assert!(host != "GOOD.example" && host != *"GOOD.example");
    }

    /// Both ways of reading come to the same end, and what is said to be plain is what would be written.
    #[track_caller]
    fn assert_same(text: &[u8]) {
        for underscores in [Underscores::Refused, Underscores::Allowed] {
            let read = Host::read(text, underscores);
            assert_eq!(read, by_the_grammar(text, underscores).ok(), "{}", text.escape_ascii());
            for scheme in [Scheme::Http, Scheme::Https] {
                let written = read.clone().map(|(host, port)| match port {
                    Some(port) if port != scheme.default_port() => format!("{host}:{port}"),
                    _ => host.to_string(),
                });
                let is_short = text.len() <= LONGEST_LABEL && !text.starts_with(b"[");
                let same = written.is_some_and(|it| it.as_bytes() == text);
                let plain = Host::is_plain(text, underscores, scheme);
                assert!(same || !plain, "{} is plain", text.escape_ascii());
                assert!(plain || !same || !is_short, "{} is not plain", text.escape_ascii());
            }
        }
    }

    /// Every text of at most four bytes, of each kind one.
    #[test]
    fn short_texts_are_read_as_the_grammar_reads_them() {
        let kinds = b"aZ08-._:[]@";
        let mut texts: Vec<Vec<u8>> = vec![vec![]];
        for _ in 0..4 {
            for text in &texts {
                assert_same(text);
            }
            let longer = |text: Vec<u8>| kinds.iter().map(move |byte| [text.as_slice(), &[*byte]].concat());
            texts = texts.into_iter().flat_map(longer).collect();
        }
        for text in &texts {
            assert_same(text);
        }
    }

    #[test]
    fn every_byte_is_read_as_the_grammar_reads_it() {
        for byte in 0..=u8::MAX {
            for text in [&[byte][..], &[b'a', byte], &[byte, b'a'], &[b'a', byte, b'a']] {
                assert_same(text);
                assert_same(&[text, b".example:8080"].concat());
                assert_same(&[b"Good.example:44".as_slice(), text].concat());
            }
        }
    }

    #[test]
    fn long_texts_are_read_as_the_grammar_reads_them() {
        for length in (50..70).chain(120..130).chain(250..257) {
            for label in [1, 2, 31, 61, 62, 63, 64] {
                let labels = iter::repeat_n("a".repeat(label), 128).collect::<Vec<_>>().join(".");
                let name = labels.get(..length).unwrap_or(&labels);
                for text in ["", ".", ":8080", ".:80", "_", "Z", "-", "@"] {
                    assert_same(format!("{name}{text}").as_bytes());
                }
            }
        }
    }

    #[test]
    fn ports_are_read_as_the_grammar_reads_them() {
        for number in (0..70_000).step_by(7).chain([80, 443, 65_535, 65_536, 99_999, 655_360, 1_000_000]) {
            assert_same(format!("a:{number}").as_bytes());
            assert_same(format!("[::1]:{number}").as_bytes());
            assert_same(format!("a:0{number}").as_bytes());
        }
    }

    /// A host, often a slightly broken one.
    fn mostly_hosts() -> impl Strategy<Value = Vec<u8>> {
        let name = prop_oneof![
            "[a-zA-Z0-9_-]{1,8}(\\.[a-zA-Z0-9-]{1,8}){0,9}\\.?",
            "\\[[0-9a-fA-F:.]{2,20}\\]",
            "([a-z]{1,30}\\.){0,8}[a-z]{1,70}",
        ];
        let host = (name, "(:[0-9]{1,6})?").prop_map(|(name, port)| String::into_bytes(name + &port));
        let places = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2);
        (host, places).prop_map(|(mut host, places)| {
            for (at, byte) in places {
                *at.get_mut(&mut host) = byte;
            }
            host
        })
    }

    proptest! {
        #[test]
        fn hosts_are_read_as_the_grammar_reads_them(text in mostly_hosts()) {
            assert_same(&text);
        }

        #[test]
        fn octets_are_read_as_the_grammar_reads_them(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            assert_same(&text);
        }
    }

    #[test]
    fn a_usual_host_is_plain() {
        let is_plain = |text: &str, scheme| Host::is_plain(text.as_bytes(), Underscores::Refused, scheme);
        for text in ["good.example", "a", "198.51.100.7", "good.example:8080", "xn--gd-fka.example:1"] {
            assert!(is_plain(text, Scheme::Http) && is_plain(text, Scheme::Https), "{text}");
        }
        for text in
            ["", "Good.example", "good.example.", "my_app", "good.example:", "[::1]", ":80", "a:080", "a b"]
        {
            assert!(!is_plain(text, Scheme::Http) && !is_plain(text, Scheme::Https), "{text}");
        }
        assert!(!is_plain("good.example:80", Scheme::Http) && is_plain("good.example:80", Scheme::Https));
        assert!(!is_plain("good.example:443", Scheme::Https) && is_plain("good.example:443", Scheme::Http));
        assert!(Host::is_plain(b"my_app", Underscores::Allowed, Scheme::Http));
    }

    #[test]
    fn the_size_of_a_host() {
        assert_eq!((size_of::<Host>(), size_of::<Option<Host>>()), (56, 56));
    }
}
