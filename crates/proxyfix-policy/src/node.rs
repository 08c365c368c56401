//! One entry of a chain: who a proxy says was connected to it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Peer;
use crate::port::decimal;

/// What one entry says about the hop that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// An address, with or without a port.
    Address(Peer),
    /// A token that proxies write when they will not or cannot name an address.
    Opaque,
    /// Text that is no node.
    Malformed,
    /// Nothing at all.
    Empty,
    /// An element of `Forwarded` that says something, but not who was connected.
    Silent,
    /// More text than a node can have.
    TooLong,
    /// Several entries in a header that has one.
    Several,
}

/// Bytes of an entry of `X-Forwarded-For`, without the white space around it. The longest address,
/// `[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535`, has 53.
pub(crate) const LONGEST_ENTRY: usize = 64;
/// Bytes of an element of `Forwarded`, white space included.
pub(crate) const LONGEST_ELEMENT: usize = 512;

/// An entry of `X-Forwarded-For`: IPv4, IPv4`:`port, IPv6, `[`IPv6`]` or `[`IPv6`]:`port.
///
/// The whole text must match. A value with two or more colons and no brackets is only ever a plain
/// IPv6 address, so no port can be mistaken for a part of it.
pub(crate) fn x_forwarded(text: &[u8]) -> Node {
    if text.is_empty() {
        return Node::Empty;
    }
    let address = match text {
        [b'[', ..] => bracketed(text),
        _ => match text.iter().position(|byte| *byte == b':') {
            None => ipv4(text).map(|ip| (ip, None)),
            Some(colon) if text[colon + 1..].contains(&b':') => ipv6(text).map(|ip| (ip, None)),
            Some(colon) => ipv4(&text[..colon]).zip(port(&text[colon + 1..]).map(Some)),
        },
    };
    match address {
        Some((ip, port)) => Node::Address(Peer::new(ip, port)),
        None if is_opaque(text) => Node::Opaque,
        None => Node::Malformed,
    }
}

/// An address and, behind the last colon, always a port; an IPv6 address stands without brackets.
pub(crate) fn with_port(text: &[u8]) -> Node {
    let Some(colon) = text.iter().rposition(|byte| *byte == b':') else {
        return if text.is_empty() { Node::Empty } else { Node::Malformed };
    };
    let (ip, port) = (&text[..colon], port(&text[colon + 1..]));
    match (ipv4(ip).or_else(|| ipv6(ip)), port) {
        (Some(ip), Some(port)) => Node::Address(Peer::new(ip, Some(port))),
        _ => Node::Malformed,
    }
}

/// A node of `Forwarded`, after quoted-string has been undone.
pub(crate) fn rfc7239(text: &[u8]) -> Node {
    match read_rfc7239(text) {
        Ok((Name::Address(ip), Some(Number::Plain(port)))) => Node::Address(Peer::new(ip, Some(port))),
        Ok((Name::Address(ip), _)) => Node::Address(Peer::new(ip, None)),
        Ok((Name::Unknown | Name::Obfuscated(_), _)) => Node::Opaque,
        Err(_) => Node::Malformed,
    }
}

/// Whom a node of RFC 7239 names.
pub(crate) enum Name<'a> {
    Address(IpAddr),
    Unknown,
    /// With its underscore.
    Obfuscated(&'a [u8]),
}

/// The port of a node of RFC 7239.
pub(crate) enum Number<'a> {
    Plain(u16),
    /// With its underscore.
    Obfuscated(&'a [u8]),
}

/// Reads a node of RFC 7239 section 6: IPv4 or `[`IPv6`]`, `unknown` or an obfuscated identifier,
/// each with or without a port, which may be obfuscated, too. The error is what would be right.
pub(crate) fn read_rfc7239(text: &[u8]) -> Result<(Name<'_>, Option<Number<'_>>), &'static str> {
    let name_end = match text {
        [b'[', ..] => text.iter().position(|byte| *byte == b']').map_or(text.len(), |end| end + 1),
        _ => text.iter().position(|byte| *byte == b':').unwrap_or(text.len()),
    };
    let (name, port_text) = text.split_at(name_end);
    let name = match name {
        [b'[', inner @ .., b']'] => match ipv6(inner) {
            Some(ip) => Name::Address(ip),
            None => return Err("expected an IPv6 address without a zone between the brackets"),
        },
        name if is_obfuscated(name) => Name::Obfuscated(name),
        name if name.eq_ignore_ascii_case(b"unknown") => Name::Unknown,
        name => match ipv4(name) {
            Some(ip) => Name::Address(ip),
            None if ipv6(text).is_some() => return Err("an IPv6 address has to be in brackets"),
            None => {
                return Err("expected an IPv4 address, an IPv6 address in brackets, \"unknown\", or an \
                            identifier such as \"_hidden\"; a host name is none of them");
            }
        },
    };
    let port = match port_text {
        [] => None,
        [b':', text @ ..] if is_obfuscated(text) => Some(Number::Obfuscated(text)),
        [b':', digits @ ..] => match port(digits) {
            Some(port) => Some(Number::Plain(port)),
            None => {
                return Err("the port has to be 0 to 65535 without leading zeros, or an identifier such as \
                            \"_hidden\"");
            }
        },
        _ => return Err("only a colon and a port may follow the brackets"),
    };
    Ok((name, port))
}

fn bracketed(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let end = text.iter().position(|byte| *byte == b']')?;
    let ip = ipv6(&text[1..end])?;
    match &text[end + 1..] {
        [] => Some((ip, None)),
        [b':', digits @ ..] => Some((ip, Some(port(digits)?))),
        _ => None,
    }
}

/// The standard parsers refuse leading zeros, short and hexadecimal forms, zones and white space.
fn ipv4(text: &[u8]) -> Option<IpAddr> {
    core::str::from_utf8(text).ok()?.parse().map(Ipv4Addr::into).ok()
}

fn ipv6(text: &[u8]) -> Option<IpAddr> {
    core::str::from_utf8(text).ok()?.parse().map(Ipv6Addr::into).ok()
}

/// A port of a node; 0 is tolerated and means none.
fn port(text: &[u8]) -> Option<u16> {
    decimal(text)
}

/// An obfuscated identifier or port (RFC 7239 section 6.3).
pub(crate) fn is_obfuscated(text: &[u8]) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    matches!(text, [b'_', rest @ ..] if !rest.is_empty() && rest.iter().all(inner))
}

/// What real proxies write into `X-Forwarded-For` in the place of an address: `unknown` (Squid),
/// `unix:` (nginx, for a client on a unix socket), obfuscated identifiers, and habits of old.
fn is_opaque(text: &[u8]) -> bool {
    match text {
        b"unix:" | b"hidden" | b"-" | b"(null)" => true,
        _ => is_obfuscated(text) || text.eq_ignore_ascii_case(b"unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_address(text: &str, peer: &str) {
        assert_eq!(x_forwarded(text.as_bytes()), Node::Address(peer.parse().unwrap()), "{text}");
    }

    #[track_caller]
    fn assert_malformed(texts: &[&[u8]]) {
        for text in texts {
            assert_eq!(x_forwarded(text), Node::Malformed, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn t29_ports_and_brackets() {
        assert_address("203.0.113.9:51515", "203.0.113.9:51515");
        assert_address("[2001:db8::9]:51515", "[2001:db8::9]:51515");
        assert_address("[2001:db8::9]", "2001:db8::9");
        assert_address("2001:db8::9", "2001:db8::9");
        assert_address("203.0.113.9:0", "203.0.113.9");
    }

    #[test]
    fn a_header_that_always_has_a_port_needs_no_brackets() {
        let peer = |text: &str| text.parse().map(Node::Address).unwrap();
        assert_eq!(with_port(b"203.0.113.9:46532"), peer("203.0.113.9:46532"));
        assert_eq!(with_port(b"2001:db8::9:46532"), peer("[2001:db8::9]:46532"));
        assert_eq!(with_port(b"::ffff:203.0.113.9:1"), peer("203.0.113.9:1"));
        assert_eq!(with_port(b""), Node::Empty);
        for text in
            ["203.0.113.9", "[2001:db8::9]:46532", "2001:db8::9:99999", "2001:db8::9:", ":1", "unknown"]
        {
            assert_eq!(with_port(text.as_bytes()), Node::Malformed, "{text}");
        }
    }

    #[test]
    fn t30_two_colons_are_always_a_plain_address() {
        assert_address("2001:db8::9:443", "2001:db8::9:443");
    }

    #[test]
    fn t31_brackets_and_suffixes() {
        assert_malformed(&[
            b"[203.0.113.9]",
            b"[2001:db8::9",
            b"2001:db8::9]",
            b"[[2001:db8::9]]",
            b"[2001:db8::9]x",
            b"203.0.113.9:",
            b"203.0.113.9:99999",
            b"203.0.113.9:https",
            b"[2001:db8::9]:",
            b"[]",
            b"[",
            b"203.0.113.9:080",
            b":80",
            b"[::1]:+1",
        ]);
    }

    #[test]
    fn t28_placeholders_are_opaque() {
        for text in ["unknown", "Unknown", "unix:", "hidden", "-", "(null)", "_gazonk", "_a.b-c"] {
            assert_eq!(x_forwarded(text.as_bytes()), Node::Opaque, "{text}");
        }
        assert_malformed(&[b"_", b"_a b", b"unknown:1", b"--", b"garbage", b"proxy.evil.example"]);
    }

    #[test]
    fn t41_mapped_addresses_are_folded() {
        assert_address("::ffff:198.51.100.7", "198.51.100.7");
        assert_address("::FFFF:C633:6407", "198.51.100.7");
    }

    #[test]
    fn t43_other_embedded_addresses_are_not_folded() {
        for text in ["::10.0.0.2", "64:ff9b::10.0.0.2", "2002:a00:2::1"] {
            let Node::Address(peer) = x_forwarded(text.as_bytes()) else { panic!("{text}") };
            assert!(peer.ip().unwrap().is_ipv6(), "{text}");
        }
    }

    #[test]
    fn t44_zones_are_malformed() {
        assert_malformed(&[b"fe80::1%eth0", b"fe80::1%25eth0", b"[fe80::1%eth0]", b"fe80::1%1"]);
        assert_eq!(rfc7239(b"[fe80::1%25eth0]"), Node::Malformed);
    }

    #[test]
    fn t45_t46_only_four_decimal_octets() {
        assert_malformed(&[
            b"010.0.0.2",
            b"203.000.113.009",
            b"0x0a.0.0.2",
            b"0x0a000002",
            b"10.2",
            b"10.0.2",
            b"167772162",
            b"10.0.0.256",
            b"999.1.1.1",
        ]);
    }

    #[test]
    fn t47_the_whole_text_must_match() {
        assert_malformed(&[
            b"10.0.0.2.",
            b"10.0.0.2%00",
            b"10.0.0.2/8",
            b"10.0.0.2#",
            b"+10.0.0.2",
            b"1::2::3",
            b"12345::",
            b"::ffff:010.0.0.1",
            b"10.0.0.2\0",
            b"10.0.0.2\xff",
            b"203.0.113 .9",
        ]);
    }

    #[test]
    fn t59_t60_t61_nodes_of_forwarded() {
        for (text, peer) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9:4711"),
            ("[2001:db8::9]:4711", "[2001:db8::9]:4711"),
            ("203.0.113.9:_port", "203.0.113.9"),
        ] {
            assert_eq!(rfc7239(text.as_bytes()), Node::Address(peer.parse().unwrap()), "{text}");
        }
        for text in ["unknown", "_hidden", "_SEVKISEK:8080", "unknown:_x"] {
            assert_eq!(rfc7239(text.as_bytes()), Node::Opaque, "{text}");
        }
        for text in ["proxy.evil.example", "2001:db8::9", "[203.0.113.9]", "", "_", "[::1", "1.2.3.4:", "-"] {
            assert_eq!(rfc7239(text.as_bytes()), Node::Malformed, "{text}");
        }
    }
}
