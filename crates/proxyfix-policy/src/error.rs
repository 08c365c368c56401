//! All that is refused at construction.

use alloc::borrow::ToOwned;
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

    pub(crate) fn value(what: &'static str, text: &[u8], reason: &'static str) -> Self {
        Self(Kind::Value { what, text: excerpt(text), reason })
    }

    pub(crate) fn policy(message: impl Into<String>) -> Self {
        Self(Kind::Policy(message.into()))
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
        match &self.0 {
            Kind::Entry { position, text, reason } => {
                write!(f, "entry {position} of the trusted set, \"{text}\": {reason}")
            }
            Kind::Value { what, text, reason } => write!(f, "\"{text}\" is not {what}: {reason}"),
            Kind::Policy(message) => f.write_str(message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl core::error::Error for Error {}
