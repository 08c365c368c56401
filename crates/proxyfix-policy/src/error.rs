//! All that is refused at construction.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;

/// Why a configuration value or a piece of text was refused.
///
/// The message quotes the offending text, says where it stands and, where there is one, what was
/// probably meant:
///
/// ```
/// use proxyfix_policy::TrustedProxies;
///
/// let error = "loopback, 10.0.0.1/8".parse::<TrustedProxies>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "entry 2 of the trusted set, \"10.0.0.1/8\": host bits are set; did you mean \"10.0.0.0/8\" \
///      (the network) or \"10.0.0.1\" (the address)?",
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Entry { position: usize, text: String, reason: String },
    Value { what: &'static str, text: String, reason: &'static str },
    Policy(String),
    Within { place: String, inner: Box<Kind> },
}

/// As much of a refused text as a message repeats (threat T191).
const EXCERPT: usize = 128;

/// The beginning of `text`, with everything but plain ASCII escaped.
fn excerpt(text: &[u8]) -> String {
    let cut = &text[..text.len().min(EXCERPT)];
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("{}{more}", cut.escape_ascii())
}

impl Error {
    pub(crate) fn entry(position: usize, text: &str, reason: impl Into<String>) -> Self {
        Self(Kind::Entry { position, text: excerpt(text.as_bytes()), reason: reason.into() })
    }

    #[cold]
    pub(crate) fn value(what: &'static str, text: &[u8], reason: &'static str) -> Self {
        Self(Kind::Value { what, text: excerpt(text), reason })
    }

    pub(crate) fn policy(message: impl Into<String>) -> Self {
        Self(Kind::Policy(message.into()))
    }

    /// The same, found inside of `place`: a file, a line, a key.
    #[must_use]
    pub fn within(self, place: impl Into<String>) -> Self {
        Self(Kind::Within { place: place.into(), inner: Box::new(self.0) })
    }

    /// Where it was found, the widest place first: a file, a line, a key.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        let mut kind = &self.0;
        core::iter::from_fn(move || match kind {
            Kind::Within { place, inner } => {
                kind = inner;
                Some(place.as_str())
            }
            _ => None,
        })
    }

    /// The message without the [places](Self::places).
    pub fn reason(&self) -> impl fmt::Display + '_ {
        let mut kind = &self.0;
        while let Kind::Within { inner, .. } = kind {
            kind = inner;
        }
        kind
    }

    /// The position of the refused entry in its set, from 1.
    pub(crate) fn position(&self) -> Option<usize> {
        match &self.0 {
            Kind::Entry { position, .. } => Some(*position),
            _ => None,
        }
    }

    /// Refuses a configuration for a reason that only a layer above the policy knows.
    ///
    /// The message should name the input, the place and the cure, as the policy's own do.
    #[must_use]
    pub fn refused(message: &str) -> Self {
        Self::policy(message.to_owned())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { position, text, reason } => {
                write!(f, "entry {position} of the trusted set, \"{text}\": {reason}")
            }
            Self::Value { what, text, reason } => write!(f, "\"{text}\" is not {what}: {reason}"),
            Self::Policy(message) => f.write_str(message),
            Self::Within { place, inner } => write!(f, "{place}: {inner}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn t191_a_message_repeats_the_beginning_of_a_text() {
        let message =
            |length: usize| Error::value("a host", "x".repeat(length).as_bytes(), "why").to_string();
        assert_eq!(message(128), format!("\"{}\" is not a host: why", "x".repeat(128)));
        assert_eq!(message(129), format!("\"{}...\" is not a host: why", "x".repeat(128)));
    }

    #[test]
    fn an_error_has_a_place_and_of_an_entry_a_position() {
        let entry = Error::entry(2, "x\n", "why");
        assert_eq!((entry.position(), Error::policy("why").position()), (Some(2), None));
        assert_eq!(
            format!("{:?}", entry.within("line 7")),
            "Error(line 7: entry 2 of the trusted set, \"x\\n\": why)"
        );
    }
}
