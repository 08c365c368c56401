//! The external path prefix under which an application is mounted.

use core::fmt;
use core::str::FromStr;

use crate::Error;
use crate::text::{ANY, DIGITS, LOWER, Machine, State, Text, UPPER};

/// An external path prefix: empty for the root, else `/` and segments, never a trailing `/`.
///
/// | text | prefix |
/// | --- | --- |
/// | the empty string, `/` | empty |
/// | `/app`, `/app/` | `/app` |
/// | `/app/v1` | `/app/v1` |
/// | `/caf%C3%A9` | `/caf%C3%A9` |
/// | `//evil.example`, `app`, `/a//b`, `/..`, `/a%2fb`, `/a;b`, `/a b` | refused |
///
/// Segments are letters, digits and `-._~!$&*+=:@`, or runs of `%HH` that decode to well-formed
/// UTF-8 outside ASCII, so that a prefix can neither name another host nor leave its place once it
/// is put into a URL, a cookie path or a `Location`. At most 1 024 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Prefix(Text<IN_PLACE>);

/// Bytes of a prefix.
const LONGEST_PREFIX: usize = 1024;
/// Bytes that are held in place; more than most prefixes have.
const IN_PLACE: usize = 30;

/// Where the machine stands: at the start; behind a slash; behind one dot or two that began a segment; in a
/// segment; behind an escape, of which the machine knows nothing.
const START: State = State::S1;
const SLASH: State = State::S2;
const ONE_DOT: State = State::S3;
const TWO_DOTS: State = State::S4;
const SEGMENT: State = State::S5;
const ESCAPED: State = State::S6;

static PREFIXES: Machine = {
    let prefixes = plain_bytes(plain_bytes(plain_bytes(Machine::new(), LOWER), UPPER), DIGITS);
    plain_bytes(prefixes, b"-_~!$&*+=:@")
        .with(START, b"/", SLASH)
        .with(SEGMENT, b"/", SLASH)
        .with(SLASH, b".", ONE_DOT)
        .with(ONE_DOT, b".", TWO_DOTS)
        .with(TWO_DOTS, b".", SEGMENT)
        .with(SEGMENT, b".", SEGMENT)
        .with(SLASH, b"%", ESCAPED)
        .with(ONE_DOT, b"%", ESCAPED)
        .with(TWO_DOTS, b"%", ESCAPED)
        .with(SEGMENT, b"%", ESCAPED)
        .with(ESCAPED, ANY, ESCAPED)
};

const fn plain_bytes(prefixes: Machine, bytes: &[u8]) -> Machine {
    prefixes
        .with(SLASH, bytes, SEGMENT)
        .with(ONE_DOT, bytes, SEGMENT)
        .with(TWO_DOTS, bytes, SEGMENT)
        .with(SEGMENT, bytes, SEGMENT)
}

impl Prefix {
    /// The empty prefix: mounted at the root.
    pub fn root() -> Self {
        Self::default()
    }

    /// The text: empty, or beginning with exactly one `/` and not ending in one.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The text in ASCII. For the layers: unlike [`as_str`](Self::as_str) it costs nothing.
    #[doc(hidden)]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether the application is mounted at the root.
    pub fn is_root(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Reads a prefix from bytes.
    pub fn from_bytes(text: &[u8]) -> Result<Self, Error> {
        match Self::read(text) {
            Some(prefix) => Ok(prefix),
            None => by_the_grammar(text).map_err(|reason| Error::value("a path prefix", text, reason)),
        }
    }

    /// Reads a prefix, and says of what it refuses nothing more: requests are full of it.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let plain = text.strip_suffix(b"/").unwrap_or(text);
        let mut prefix = Text::default();
        let end = if plain.len() <= IN_PLACE { PREFIXES.run(START, plain) } else { ESCAPED };
        match end {
            START | SEGMENT => prefix.push(plain).map(|()| Self(prefix)),
            // With escapes, or long: out of the way of what is usual.
            ESCAPED => by_the_grammar(text).ok(),
            _ => None,
        }
    }
}

/// The grammar, written for people.
#[cold]
fn by_the_grammar(text: &[u8]) -> Result<Prefix, &'static str> {
    if text.len() > LONGEST_PREFIX {
        return Err("it is longer than 1024 bytes");
    }
    let prefix = text.strip_suffix(b"/").unwrap_or(text);
    let Some((first, segments)) = prefix.split_first() else { return Ok(Prefix::root()) };
    if *first != b'/' {
        return Err("it has to begin with one \"/\"");
    }
    for segment in segments.split(|byte| *byte == b'/') {
        match segment {
            b"" => return Err("a segment is empty"),
            b"." | b".." => return Err("dot segments are not allowed"),
            segment if !is_segment(segment) => {
                return Err("segments are letters, digits and -._~!$&*+=:@, or %HH escapes of UTF-8 \
                         outside ASCII");
            }
            _ => {}
        }
    }
    // `is_segment` admits ASCII only.
    Ok(Prefix(Text::new(prefix)))
}

/// Whether every byte is plain, or part of a run of escapes that decodes to UTF-8 outside ASCII.
fn is_segment(mut segment: &[u8]) -> bool {
    while let Some((byte, rest)) = segment.split_first() {
        if *byte == b'%' {
            let Some(rest) = skip_escaped_scalar(segment) else { return false };
            segment = rest;
        } else if byte.is_ascii_alphanumeric() || b"-._~!$&*+=:@".contains(byte) {
            segment = rest;
        } else {
            return false;
        }
    }
    true
}

/// Steps over the `%HH` escapes of one character outside ASCII.
fn skip_escaped_scalar(mut text: &[u8]) -> Option<&[u8]> {
    let mut scalar = [0; 4];
    for length in 1..=scalar.len() {
        let [b'%', high, low, rest @ ..] = text else { return None };
        let byte = hex(*high)? * 16 + hex(*low)?;
        if byte.is_ascii() {
            return None;
        }
        scalar[length - 1] = byte;
        text = rest;
        if core::str::from_utf8(&scalar[..length]).is_ok() {
            return Some(text);
        }
    }
    None
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl FromStr for Prefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text.as_bytes())
    }
}

impl AsRef<str> for Prefix {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Prefix {
    fn eq(&self, text: &str) -> bool {
        self.as_bytes() == text.as_bytes()
    }
}

impl PartialEq<&str> for Prefix {
    fn eq(&self, text: &&str) -> bool {
        self.as_bytes() == text.as_bytes()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn assert_prefix(text: &str, prefix: &str) {
        assert_eq!(text.parse::<Prefix>().unwrap().as_str(), prefix, "{text}");
    }

    #[track_caller]
    fn assert_refused(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<Prefix>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn plain_prefixes_pass() {
        for text in ["", "/app", "/app/v1", "/a.b", "/~user", "/a:b@c", "/caf%C3%A9", "/%e2%82%ac", "/..."] {
            assert_prefix(text, text);
        }
    }

    #[test]
    fn t93_protocol_relative() {
        assert_refused(&["//evil.example", "///evil.example", "//"]);
    }

    #[test]
    fn t94_backslash() {
        assert_refused(&["/\\evil.example", "/app\\.."]);
    }

    #[test]
    fn t95_absolute_or_relative() {
        assert_refused(&["https://evil.example/", "app", "javascript:alert(1)"]);
    }

    #[test]
    fn t96_dot_segments() {
        assert_refused(&["/..", "/app/../admin", "/app/.", "/../"]);
    }

    #[test]
    fn t97_controls_raw_or_encoded() {
        assert_refused(&["/app%0d%0aSet-Cookie:%20a=b", "/app%00", "/app\r\nX: y", "/app\0", "/a\u{7f}"]);
    }

    #[test]
    fn t98_percent_encoded_delimiters() {
        assert_refused(&[
            "/app%2f..%2fadmin",
            "/app%zz",
            "/app%",
            "/app%c",
            "/%41",
            "/%C3",
            "/%C3%28",
            "/%C3x",
            "/%C0%AF",
            "/%ED%A0%80",
            "/%F5%80%80%80",
            "/%A9",
        ]);
    }

    #[test]
    fn t99_cookie_and_list_separators() {
        assert_refused(&["/app;Domain=evil.example", "/a, /b", "/a'b", "/a\"b", "/a b", "/a?b", "/a#b"]);
    }

    #[test]
    fn t100_one_trailing_slash_is_removed() {
        assert_prefix("/app/", "/app");
        assert_prefix("/", "");
        assert_refused(&["/app//", "/app//v1"]);
    }

    #[test]
    fn t101_length_is_bounded() {
        assert_prefix(&format!("/{}", "a".repeat(1023)), &format!("/{}", "a".repeat(1023)));
        assert_refused(&[&format!("/{}", "a".repeat(1024)), &format!("/{}", "a".repeat(4096))]);
    }

    #[test]
    fn a_prefix_is_its_text_and_the_root_is_none() {
        let prefix: Prefix = "/app/".parse().unwrap();
        assert_eq!((prefix.as_ref(), format!("{prefix:?}").as_str()), ("/app", "Prefix(\"/app\")"));
        assert!(prefix == "/app" && prefix == *"/app");
        assert!(prefix != "/app/" && prefix != *"/app/");
        assert!(Prefix::root().is_root() && !prefix.is_root());
    }

    /// Both ways of reading come to the same end.
    #[track_caller]
    fn assert_same(text: &[u8]) {
        assert_eq!(Prefix::read(text), by_the_grammar(text).ok(), "{}", text.escape_ascii());
    }

    /// Every text of at most five bytes, of each kind one.
    #[test]
    fn short_texts_are_read_as_the_grammar_reads_them() {
        let mut texts: Vec<Vec<u8>> = vec![vec![]];
        for _ in 0..5 {
            for text in &texts {
                assert_same(text);
            }
            let longer =
                |text: Vec<u8>| b"/.aZ%;".iter().map(move |byte| [text.as_slice(), &[*byte]].concat());
            texts = texts.into_iter().flat_map(longer).collect();
        }
        for text in &texts {
            assert_same(text);
        }
    }

    #[test]
    fn every_byte_is_read_as_the_grammar_reads_it() {
        for byte in 0..=u8::MAX {
            for before in ["", "/", "/.", "/..", "/a", "/%C3"] {
                for behind in ["", "a", "/", "%A9"] {
                    assert_same(&[before.as_bytes(), &[byte], behind.as_bytes()].concat());
                }
            }
        }
    }

    #[test]
    fn long_texts_are_read_as_the_grammar_reads_them() {
        for length in (28..34).chain(1020..1030) {
            for (before, behind) in
                [("/", ""), ("/", "/"), ("/%C3%A9", ""), ("/", "//"), ("/", "/.."), ("a", "")]
            {
                let text = format!("{before}{}", "a".repeat(length));
                assert_same(format!("{}{behind}", &text[..length]).as_bytes());
            }
        }
    }

    proptest! {
        #[test]
        fn prefixes_are_read_as_the_grammar_reads_them(
            text in "(/([a-zA-Z0-9._~!$&*+=:@-]{1,5}|%[C-F][3A]%A9|%E2%82%AC|[.]{1,3})){0,8}/?",
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![3 => Just(None), 1 => any::<u8>().prop_map(Some)],
        ) {
            let mut text = text.into_bytes();
            if let (Some(byte), false) = (byte, text.is_empty()) {
                *at.get_mut(&mut text) = byte;
            }
            assert_same(&text);
        }

        #[test]
        fn octets_are_read_as_the_grammar_reads_them(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            assert_same(&text);
        }
    }

    #[test]
    fn the_size_of_a_prefix() {
        assert_eq!((size_of::<Prefix>(), size_of::<Option<Prefix>>()), (32, 32));
    }
}
