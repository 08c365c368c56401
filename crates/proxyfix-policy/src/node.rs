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
#[inline]
pub(crate) fn x_forwarded(text: &[u8]) -> Node {
    match address(text) {
        Some(peer) => Node::Address(peer),
        None => no_address(text),
    }
}

/// What an entry says that is neither IPv4 nor in brackets.
fn no_address(text: &[u8]) -> Node {
    match ipv6(text) {
        Some(ip) => Node::Address(Peer::new(ip, None)),
        None if text.is_empty() => Node::Empty,
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
    // Nearly all are addresses.
    if let Some(peer) = address(text) {
        return Node::Address(peer);
    }
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

/// IPv4, IPv4`:`port, `[`IPv6`]` or `[`IPv6`]:`port, which are the same in both families.
#[inline]
fn address(text: &[u8]) -> Option<Peer> {
    if let [b'[', inner @ ..] = text {
        return bracketed(inner);
    }
    let mut rest = text;
    let ip = Ipv4Addr::from_bits(take_ipv4(&mut rest)?);
    Some(Peer::new(ip.into(), Some(port_behind(rest)?)))
}

/// What stands behind the opening bracket.
fn bracketed(mut text: &[u8]) -> Option<Peer> {
    let ip = Ipv6Addr::from_bits(take_ipv6(&mut text)?);
    let port = port_behind(text.strip_prefix(b"]")?)?;
    Some(Peer::new(ip.into(), Some(port)))
}

/// Nothing, which is 0 as a port is, or a colon and a port.
fn port_behind(text: &[u8]) -> Option<u16> {
    match text {
        [] => Some(0),
        [b':', digits @ ..] => port(digits),
        _ => None,
    }
}

// The language is that of the standard parsers: no leading zeros, no short or hexadecimal forms, no zones.
// They read `str`, and groups of IPv6 as IPv4 first. Here the bytes are read once: 13 of IPv4 take 165
// instructions in place of 327, 34 of IPv6 take 555 in place of 1 720.

fn ipv4(mut text: &[u8]) -> Option<IpAddr> {
    let ip = take_ipv4(&mut text)?;
    text.is_empty().then(|| Ipv4Addr::from_bits(ip).into())
}

fn ipv6(mut text: &[u8]) -> Option<IpAddr> {
    let ip = take_ipv6(&mut text)?;
    text.is_empty().then(|| Ipv6Addr::from_bits(ip).into())
}

/// Takes four octets from the beginning.
fn take_ipv4(text: &mut &[u8]) -> Option<u32> {
    let mut rest = *text;
    let mut bits = take_octet(&mut rest)?;
    for _ in 0..3 {
        rest = rest.strip_prefix(b".")?;
        bits = bits << 8 | take_octet(&mut rest)?;
    }
    *text = rest;
    Some(bits)
}

/// Takes 0 to 255. A digit behind a zero or behind three digits is left.
#[inline]
fn take_octet(text: &mut &[u8]) -> Option<u32> {
    let digit = |byte: u8| Some(u32::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit <= 9);
    let (first, mut rest) = text.split_first()?;
    let mut octet = digit(*first)?;
    if octet > 0 {
        for _ in 0..2 {
            let [byte, after @ ..] = rest else { break };
            let Some(digit) = digit(*byte) else { break };
            octet = octet * 10 + digit;
            rest = after;
        }
    }
    *text = rest;
    Some(octet).filter(|octet| *octet <= 255)
}

/// Takes as much from the beginning as can be an address.
fn take_ipv6(text: &mut &[u8]) -> Option<u128> {
    const NOT_HEX: u8 = 16;
    const HEX: [u8; 256] = {
        let mut hex = [NOT_HEX; 256];
        let mut digit = 0;
        while digit < 16 {
            hex[b"0123456789abcdef"[digit as usize] as usize] = digit;
            hex[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
            digit += 1;
        }
        hex
    };
    // The groups closed, and how many of them stand before the "::".
    let (mut bits, mut count, mut gap) = (0_u128, 0, None);
    let (mut group, mut start, mut end) = (0_u32, 0, text.len());
    for (index, byte) in text.iter().enumerate() {
        let digit = HEX[usize::from(*byte)];
        if digit != NOT_HEX {
            group = group << 4 | u32::from(digit);
            continue;
        }
        match (byte, index - start) {
            (b':', 1..=4) if count < 7 => {
                bits = bits << 16 | u128::from(group);
                count += 1;
                group = 0;
            }
            (b':', 0) if index == 0 && text.get(1) == Some(&b':') => {}
            (b':', 0) if index > 0 && gap.is_none() => gap = Some(count),
            (b'.', _) => {
                let mut rest = &text[start..];
                let ip = take_ipv4(&mut rest)?;
                bits = bits << 16 | u128::from(ip >> 16);
                count += 1;
                // Its other half stands for the last group.
                group = ip & 0xffff;
                end = text.len() - rest.len();
                start = end - 1;
                break;
            }
            (b':', _) => return None,
            _ => {
                end = index;
                break;
            }
        }
        start = index + 1;
    }
    match end - start {
        1..=4 if count < 8 => {
            bits = bits << 16 | u128::from(group);
            count += 1;
        }
        0 if gap == Some(count) => {}
        _ => return None,
    }
    *text = &text[end..];
    match gap {
        None if count == 8 => Some(bits),
        // It stands for one group at least.
        Some(before) if count < 8 => {
            let behind = 16 * (count - before);
            let high = (bits >> behind).checked_shl(16 * (8 - before)).unwrap_or(0);
            Some(high | bits & ((1 << behind) - 1))
        }
        _ => None,
    }
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
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use proptest::sample::select;

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

    // The language of the standard parsers

    /// Addresses, in this and that spelling.
    fn spelled() -> impl Strategy<Value = String> {
        let groups = (any::<[u16; 8]>(), any::<u8>(), any::<bool>(), any::<[bool; 8]>()).prop_map(
            |(groups, zero, embedded, wide)| {
                // Runs of zeros, which may be left out.
                let groups: Vec<u16> = groups
                    .iter()
                    .enumerate()
                    .map(|(i, it)| if zero >> i & 1 == 1 { 0 } else { *it })
                    .collect();
                let text = |at: usize| {
                    if wide[at] { format!("{:04X}", groups[at]) } else { format!("{:x}", groups[at]) }
                };
                let mut texts: Vec<String> = (0..8).map(text).collect();
                if embedded {
                    let ip = u32::from(groups[6]) << 16 | u32::from(groups[7]);
                    texts.truncate(6);
                    texts.push(Ipv4Addr::from_bits(ip).to_string());
                }
                let (from, to) = (usize::from(zero % 8), usize::from(zero / 8 % 8));
                if from < to && to <= texts.len() {
                    let (left, right) = (texts[..from].join(":"), texts[to..].join(":"));
                    return format!("{left}::{right}");
                }
                texts.join(":")
            },
        );
        prop_oneof![
            any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
            any::<[u8; 4]>().prop_map(|ip| Ipv4Addr::from(ip.map(|it| it & 0x83)).to_string()),
            any::<Ipv6Addr>().prop_map(|ip| ip.to_string()),
            any::<Ipv4Addr>().prop_map(|ip| ip.to_ipv6_mapped().to_string()),
            any::<Ipv4Addr>().prop_map(|ip| format!("::{ip}")),
            groups,
        ]
    }

    /// Texts that are addresses, nearly addresses, or not at all.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let piece = select(
            &[
                ":", "::", ".", "0", "00", "1", "25", "255", "256", "f", "FFFF", "g", "1.2.3.4", "a:b", "%",
                "]", " ",
            ][..],
        );
        let bytes = select(b"0123456789abfAFG.:]% \xff".as_slice());
        prop_oneof![
            3 => spelled().prop_map(String::into_bytes),
            6 => (spelled(), any::<usize>(), 0..4_u8, bytes).prop_map(|(text, at, how, byte)| {
                let mut text = text.into_bytes();
                let at = at % text.len();
                match how {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    2 => drop(text.remove(at)),
                    _ => text.truncate(at),
                }
                text
            }),
            6 => prop::collection::vec(piece, 0..18).prop_map(|pieces| pieces.concat().into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..50),
        ]
    }

    fn standard<T: core::str::FromStr + Into<IpAddr>>(text: &[u8]) -> Option<IpAddr> {
        Some(core::str::from_utf8(text).ok()?.parse::<T>().ok()?.into())
    }

    /// What an entry is by the table of its forms, with the standard parsers.
    fn by_the_table(text: &[u8]) -> Option<Peer> {
        let ported = |ip: &[u8], port: &[u8], read: fn(&[u8]) -> Option<IpAddr>| {
            Some(Peer::new(read(ip)?, Some(decimal(port)?)))
        };
        let (v4, v6) = (standard::<Ipv4Addr>, standard::<Ipv6Addr>);
        let colon = text.iter().rposition(|byte| *byte == b':');
        let bare = v4(text).or_else(|| v6(text));
        let bracketed = text.strip_prefix(b"[").and_then(|it| it.strip_suffix(b"]")).and_then(v6);
        bare.or(bracketed).map(Peer::from).or_else(|| {
            let (ip, port) = (&text[..colon?], &text[colon? + 1..]);
            let inner = || ip.strip_prefix(b"[")?.strip_suffix(b"]");
            ported(ip, port, v4).or_else(|| ported(inner()?, port, v6))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn t45_t46_t47_addresses_are_what_the_standard_parsers_read(text in texts()) {
            prop_assert_eq!(ipv4(&text), standard::<Ipv4Addr>(&text), "{}", text.escape_ascii());
            prop_assert_eq!(ipv6(&text), standard::<Ipv6Addr>(&text), "{}", text.escape_ascii());
        }

        #[test]
        fn t29_t31_entries_have_five_forms(
            text in texts(), open in any::<bool>(), close in any::<bool>(), port in "(:[0-9]{0,6})?",
        ) {
            let (open, close) = (if open { "[" } else { "" }, if close { "]" } else { "" });
            let text = [open.as_bytes(), &text, close.as_bytes(), port.as_bytes()].concat();
            let read = match x_forwarded(&text) {
                Node::Address(peer) => Some(peer),
                _ => None,
            };
            prop_assert_eq!(read, by_the_table(&text), "{}", text.escape_ascii());
            // Of Forwarded the same, but for IPv6 without brackets.
            let expected = by_the_table(&text).filter(|_| standard::<Ipv6Addr>(&text).is_none());
            let read = match rfc7239(&text) {
                Node::Address(peer) => Some(peer),
                _ => None,
            };
            prop_assert_eq!(read, expected, "{}", text.escape_ascii());
        }
    }
}
