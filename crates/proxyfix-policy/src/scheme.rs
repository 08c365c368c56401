//! The scheme: `http` or `https`, and nothing else.

use core::fmt;
use core::str::FromStr;

use crate::{Error, Port};

/// The scheme that the client used.
///
/// | text | meaning |
/// | --- | --- |
/// | `http`, `HTTP` | [`Scheme::Http`] |
/// | `https`, `Https` | [`Scheme::Https`] |
/// | everything else (`wss`, `javascript`, `https:`, the empty string) | refused |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Scheme {
    /// Plain HTTP; default port 80.
    #[default]
    Http,
    /// HTTP over TLS; default port 443.
    Https,
}

impl Scheme {
    /// `"http"` or `"https"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme leaves out (RFC 9110 sections 4.2.1 and 4.2.2).
    pub const fn default_port(self) -> Port {
        match self {
            Self::Http => Port::HTTP,
            Self::Https => Port::HTTPS,
        }
    }

    /// Reads a scheme from bytes, ASCII case-insensitively.
    pub fn from_bytes(text: &[u8]) -> Result<Self, Error> {
        Self::read(text).ok_or_else(|| Error::value("a scheme", text, "expected http or https"))
    }

    /// Reads a scheme, and says of what it refuses nothing more: requests are full of it.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let (http, rest) = text.split_first_chunk()?;
        // All four at once: the bit of lower case is set in each, and makes a letter of nothing else.
        if u32::from_be_bytes(*http) | 0x2020_2020 != u32::from_be_bytes(*b"http") {
            return None;
        }
        match rest {
            [] => Some(Self::Http),
            b"s" | b"S" => Some(Self::Https),
            _ => None,
        }
    }
}

impl FromStr for Scheme {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t88_only_http_and_https_are_schemes() {
        for text in ["http", "HTTP", "https", "HtTpS"] {
            assert_eq!(text.parse::<Scheme>().unwrap().as_str(), text.to_ascii_lowercase());
        }
        for text in [
            "javascript",
            "data",
            "file",
            "ftp",
            "1http",
            "https:",
            "https://evil.example/?",
            "",
            " https",
            "ws",
            "wss",
            "java\\script",
            "https\u{e9}",
        ] {
            assert!(text.parse::<Scheme>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn another_byte_in_any_place_is_no_scheme() {
        for scheme in [Scheme::Http, Scheme::Https] {
            for place in 0..scheme.as_str().len() {
                for byte in 0..=u8::MAX {
                    let mut text = scheme.as_str().as_bytes().to_vec();
                    text[place] = byte;
                    let same = text.eq_ignore_ascii_case(scheme.as_str().as_bytes());
                    assert_eq!(Scheme::read(&text), same.then_some(scheme), "{}", text.escape_ascii());
                }
            }
        }
    }
}
