//! The host that the client asked for.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::fmt::Write as _;
use core::net::Ipv6Addr;
use core::str::FromStr;

use crate::{Error, Port};

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
pub struct Host(Box<str>);

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

impl Host {
    /// The normalised text; an IPv6 literal is in brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a host, without a port, from bytes.
    pub fn from_bytes(text: &[u8]) -> Result<Self, Error> {
        Self::read(text, Underscores::Refused)
    }

    /// Reads a host whose labels may have underscores, as the names of containers do.
    pub fn with_underscores(text: &[u8]) -> Result<Self, Error> {
        Self::read(text, Underscores::Allowed)
    }

    fn read(text: &[u8], underscores: Underscores) -> Result<Self, Error> {
        let refused = |reason| Err(Error::value("a host", text, reason));
        if let [b'[', inner @ .., b']'] = text {
            return match core::str::from_utf8(inner).ok().and_then(|ip| ip.parse().ok()) {
                Some(ip) => Ok(Self::from_ipv6(ip)),
                None => refused("expected an IPv6 address between the brackets"),
            };
        }
        let name = text.strip_suffix(b".").unwrap_or(text);
        if name.len() > LONGEST_HOST {
            return refused("it is longer than 253 bytes");
        }
        for label in name.split(|byte| *byte == b'.') {
            if label.is_empty() || label.len() > LONGEST_LABEL {
                return refused("each label has 1 to 63 bytes");
            }
            let inner = |byte: &u8| {
                byte.is_ascii_alphanumeric()
                    || *byte == b'-'
                    || (*byte == b'_' && underscores == Underscores::Allowed)
            };
            if !label.iter().all(inner) || label[0] == b'-' || label[label.len() - 1] == b'-' {
                return refused("labels are letters, digits and inner hyphens");
            }
        }
        Ok(Self(name.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect()))
    }

    fn from_ipv6(ip: Ipv6Addr) -> Self {
        let mut text = String::with_capacity(41);
        let _ = write!(text, "[{ip}]");
        Self(text.into_boxed_str())
    }

    /// Reads `host`, `host:port`, `[ipv6]` or `[ipv6]:port`, the value of a `Host` header
    /// (RFC 9110 section 7.2).
    ///
    /// A colon promises a port: `good.example:` is refused, as is an IPv6 address without brackets.
    pub fn with_port(text: &[u8]) -> Result<(Self, Option<Port>), Error> {
        Self::read_with_port(text, Underscores::Refused)
    }

    pub(crate) fn read_with_port(
        text: &[u8],
        underscores: Underscores,
    ) -> Result<(Self, Option<Port>), Error> {
        // The last colon separates the port, if no bracket closes behind it.
        match text.iter().rposition(|byte| matches!(byte, b':' | b']')) {
            Some(colon) if text[colon] == b':' => {
                let port = Port::from_bytes(&text[colon + 1..])?;
                Ok((Self::read(&text[..colon], underscores)?, Some(port)))
            }
            _ => Ok((Self::read(text, underscores)?, None)),
        }
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
        self.as_str() == text
    }
}

impl PartialEq<&str> for Host {
    fn eq(&self, text: &&str) -> bool {
        self.as_str() == *text
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
