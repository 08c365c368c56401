//! A second reading of the rules, for the oracles: slow and plain, from the left, and sharing no code
//! with the crates that it checks. What it asks them is membership in a trusted set and no more, which
//! the target `trusted` checks for itself.

pub mod gateway;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;

use proxyfix::{Ending, Peer, TrustedProxies};

/// The trusted proxy that is connected.
pub fn proxy() -> Peer {
    Peer::new(Ipv4Addr::new(10, 0, 0, 2).into(), Some(40_000))
}

/// Some of the sets that operators have, each naming [`proxy`] but for the first.
pub static TRUSTED_SETS: LazyLock<Vec<TrustedProxies>> = LazyLock::new(|| {
    let set = |text: &str| text.parse::<TrustedProxies>().unwrap();
    let hops = |set: TrustedProxies, hops| set.hops(hops).unwrap();
    vec![
        TrustedProxies::none(),
        set("10.0.0.0/8"),
        hops(set("10.0.0.0/8"), 1),
        hops(set("10.0.0.0/8, unix"), 2),
        hops(set("10.0.0.0/8"), 32),
        set("10.0.0.0/8, 2001:db8::/32, 127.0.0.1"),
        TrustedProxies::dangerously_trust_every_peer(),
        hops(TrustedProxies::dangerously_trust_every_peer(), 2),
        hops(TrustedProxies::dangerously_trust_every_peer(), 3),
    ]
});

/// Whether a suffix of two hops is honest for the set: it does not count further than that.
pub fn counts_at_most_two(trusted: &TrustedProxies) -> bool {
    !trusted.trusts_every_peer() || trusted.declared_hops() <= Some(2)
}

// Lists

/// Without SP and HTAB at either end.
pub fn trim(text: &[u8]) -> &[u8] {
    let solid = |byte: &u8| *byte != b' ' && *byte != b'\t';
    let Some(start) = text.iter().position(solid) else { return &[] };
    let end = text.iter().rposition(solid).unwrap_or(start);
    &text[start..=end]
}

/// All entries of all lines of a header without quoted strings, from the left.
pub fn entries<'a>(lines: &[&'a [u8]]) -> Vec<&'a [u8]> {
    lines.iter().flat_map(|line| line.split(|byte| *byte == b',')).map(trim).collect()
}

/// The pairs of one element of `Forwarded`: the name in lower case, and the value without quotes.
pub type Pairs = Vec<(String, Vec<u8>)>;

/// The elements of a line of `Forwarded` from the left, without the empty ones; nothing where the line
/// is not well-formed (RFC 7239 section 4, RFC 9110 sections 5.6.1 to 5.6.4).
pub fn elements(line: &[u8]) -> Option<Vec<Pairs>> {
    let (mut elements, mut pairs, mut blank) = (Vec::new(), Pairs::new(), true);
    let mut at = 0;
    loop {
        while matches!(line.get(at), Some(b' ' | b'\t')) {
            at += 1;
        }
        match line.get(at) {
            None | Some(b',') => {
                if !blank {
                    elements.push(std::mem::take(&mut pairs));
                }
                if at == line.len() {
                    return Some(elements);
                }
                (at, blank) = (at + 1, true);
            }
            Some(b';') => (at, blank) = (at + 1, false),
            Some(_) => {
                let name = token(line, &mut at)?.to_ascii_lowercase();
                if line.get(at) != Some(&b'=') {
                    return None;
                }
                at += 1;
                let value = match line.get(at) {
                    Some(b'"') => quoted_string(line, &mut at)?,
                    _ => token(line, &mut at)?.to_vec(),
                };
                pairs.push((String::from_utf8(name).ok()?, value));
                blank = false;
                while matches!(line.get(at), Some(b' ' | b'\t')) {
                    at += 1;
                }
                if !matches!(line.get(at), None | Some(b',' | b';')) {
                    return None;
                }
            }
        }
    }
}

fn token<'a>(line: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let start = *at;
    while let Some(byte) = line.get(*at) {
        match byte {
            0..=b' '
            | 0x7F..
            | b'"'
            | b'('
            | b')'
            | b','
            | b'/'
            | b':'..=b'@'
            | b'['..=b']'
            | b'{'
            | b'}' => {
                break;
            }
            _ => *at += 1,
        }
    }
    (*at > start).then(|| &line[start..*at])
}

fn quoted_string(line: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    loop {
        *at += 1;
        let mut byte = *line.get(*at)?;
        match byte {
            b'"' => {
                *at += 1;
                return Some(value);
            }
            b'\\' => {
                *at += 1;
                byte = *line.get(*at)?;
            }
            _ => {}
        }
        if byte == 0x7F || (byte < b' ' && byte != b'\t') {
            return None;
        }
        value.push(byte);
    }
}

/// Whether a parameter stands in the element twice.
pub fn has_twins(pairs: &Pairs) -> bool {
    pairs.iter().enumerate().any(|(index, (name, _))| pairs[..index].iter().any(|(other, _)| other == name))
}

/// The value of a parameter.
pub fn parameter<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a [u8]> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_slice())
}

// Nodes

/// What an entry of a chain says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// An address, with or without a port.
    Address(Peer),
    /// A placeholder.
    Opaque,
    /// No node.
    Malformed,
    /// Nothing.
    Empty,
    /// An element without `for`.
    Silent,
    /// More than a node can be.
    TooLong,
}

/// An entry of `X-Forwarded-For`, trimmed.
pub fn x_forwarded_node(text: &[u8]) -> Node {
    match text {
        [] => return Node::Empty,
        [_, ..] if text.len() > 64 => return Node::TooLong,
        b"unix:" | b"hidden" | b"-" | b"(null)" => return Node::Opaque,
        _ if text.eq_ignore_ascii_case(b"unknown") || is_obfuscated(text) => return Node::Opaque,
        _ => {}
    }
    // The standard library reads numeric zones, which mean nothing off the host that wrote them.
    let Some(text) = std::str::from_utf8(text).ok().filter(|text| !text.contains('%')) else {
        return Node::Malformed;
    };
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.map_or_else(|| text.parse(), |bare| bare.parse().map(Ipv6Addr::into)) {
        return Node::Address(Peer::new(ip, None));
    }
    match (text.parse::<SocketAddr>(), text.rsplit_once(':')) {
        // It reads leading zeros, too.
        (Ok(address), Some((_, port))) if port == address.port().to_string() => {
            Node::Address(Peer::new(address.ip(), Some(address.port())))
        }
        _ => Node::Malformed,
    }
}

/// A node of RFC 7239 section 6, without the quotes.
pub fn rfc7239_node(text: &[u8]) -> Node {
    let whole = node_name(text, None);
    let Some(colon) = text.iter().rposition(|byte| *byte == b':').filter(|_| whole == Node::Malformed) else {
        return whole;
    };
    let (name, port) = (&text[..colon], &text[colon + 1..]);
    match std::str::from_utf8(port).ok().and_then(|text| text.parse::<u16>().ok()) {
        Some(number) if number.to_string().as_bytes() == port => node_name(name, Some(number)),
        _ if is_obfuscated(port) => node_name(name, None),
        _ => Node::Malformed,
    }
}

fn node_name(name: &[u8], port: Option<u16>) -> Node {
    if name.eq_ignore_ascii_case(b"unknown") || is_obfuscated(name) {
        return Node::Opaque;
    }
    let Ok(text) = std::str::from_utf8(name) else { return Node::Malformed };
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bracketed {
        Some(inner) => inner.parse().map(|ip: Ipv6Addr| IpAddr::from(ip)),
        None => text.parse().map(|ip: Ipv4Addr| IpAddr::from(ip)),
    };
    ip.map_or(Node::Malformed, |ip| Node::Address(Peer::new(ip, port)))
}

fn is_obfuscated(text: &[u8]) -> bool {
    text.len() > 1
        && text[0] == b'_'
        && text[1..]
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

/// The node that an element names.
pub fn element_node(pairs: &Pairs) -> Node {
    match parameter(pairs, "for") {
        _ if has_twins(pairs) => Node::Malformed,
        None => Node::Silent,
        Some(text) => rfc7239_node(text),
    }
}

// The walk

/// Where a walk leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Why it stopped.
    pub ending: Ending,
    /// The client; unknown where there is none.
    pub client: Peer,
    /// The last hop that is trusted, or the peer.
    pub verified: Peer,
}

/// Walks from `peer` over `nodes`, which stand as in the header, and says how many of them it read.
pub fn walk(trusted: &TrustedProxies, peer: Peer, nodes: &[Node]) -> (Walked, usize) {
    let (unknown, mut verified) = (Peer::unknown(), peer);
    let end = |ending, client, verified| Walked { ending, client, verified };
    if peer.is_unknown() {
        return (end(Ending::PeerUnknown, unknown, peer), 0);
    }
    if !trusted.allows(&peer) {
        return (end(Ending::PeerUntrusted, peer, peer), 0);
    }
    if nodes.iter().all(|node| *node == Node::Empty) {
        return (end(Ending::HeaderAbsent, peer, peer), 0);
    }
    let any = trusted.trusts_every_peer();
    let hops = trusted.declared_hops().map(usize::from).or(any.then_some(1));
    for (index, node) in nodes.iter().rev().enumerate() {
        let depth = index + 1;
        let (is_last, is_leftmost) = (hops == Some(depth), depth == nodes.len());
        let ended = match *node {
            _ if depth > 32 => end(Ending::TooLong, unknown, verified),
            Node::TooLong => end(Ending::TooLong, unknown, verified),
            Node::Empty | Node::Silent => end(Ending::Empty, unknown, verified),
            _ if any && !is_last => continue,
            Node::Opaque => end(Ending::Opaque, unknown, verified),
            Node::Malformed => end(Ending::Malformed, unknown, verified),
            Node::Address(hop) if any => end(Ending::HopLimit, hop, verified),
            Node::Address(hop) if !trusted.allows(&hop) => match hop.ip() {
                Some(ip) if is_unroutable(ip) => end(Ending::Unroutable, unknown, verified),
                _ => end(Ending::ClientFound, hop, verified),
            },
            Node::Address(hop) if is_last => end(Ending::HopLimit, hop, verified),
            Node::Address(hop) if is_leftmost => end(Ending::AllTrusted, hop, hop),
            Node::Address(hop) => {
                verified = hop;
                continue;
            }
        };
        return (ended, depth);
    }
    (end(Ending::TooFew, unknown, verified), nodes.len())
}

/// Whether no remote client can have the address.
fn is_unroutable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            matches!(a, 127 | 224..) || (a, b) == (169, 254) || ip.to_bits() == 0
        }
        IpAddr::V6(ip) => ip.to_bits() < 2 || matches!(ip.segments()[0], 0xFE80..=0xFEBF | 0xFF00..),
    }
}

// Values

/// A port, 1 to 65535.
pub fn port(text: &[u8]) -> Option<u16> {
    let mut number = 0_u32;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = (number * 10 + u32::from(byte - b'0')).min(99_999);
    }
    if text.len() > 5 || text.first() == Some(&b'0') {
        return None;
    }
    u16::try_from(number).ok().filter(|number| *number > 0)
}

/// A host, normalised, with or without a port.
pub fn host_with_port(text: &[u8]) -> Option<(String, Option<u16>)> {
    let mut end = 0;
    while end < text.len() && (text[0] == b'[' || text[end] != b':') {
        end += 1;
        if text[0] == b'[' && text[end - 1] == b']' {
            break;
        }
    }
    let host = host(&text[..end], false)?;
    match &text[end..] {
        [] => Some((host, None)),
        [b':', digits @ ..] => Some((host, Some(port(digits)?))),
        _ => None,
    }
}

/// A host, normalised.
pub fn host(text: &[u8], underscores: bool) -> Option<String> {
    if text.first() == Some(&b'[') {
        let inner = std::str::from_utf8(text).ok()?.strip_prefix('[')?.strip_suffix(']')?;
        return inner.parse::<Ipv6Addr>().ok().map(|ip| format!("[{ip}]"));
    }
    let (mut plain, mut label) = (String::new(), 0);
    for (index, byte) in text.iter().enumerate() {
        let ends_label = matches!(text.get(index + 1), None | Some(b'.'));
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => plain.push(char::from(*byte)),
            b'A'..=b'Z' => plain.push(char::from(byte + (b'a' - b'A'))),
            b'-' if label > 0 && !ends_label => plain.push('-'),
            b'_' if underscores => plain.push('_'),
            b'.' if label > 0 && index + 1 == text.len() => break,
            b'.' if label > 0 => plain.push('.'),
            _ => return None,
        }
        label = if *byte == b'.' { 0 } else { label + 1 };
        if label > 63 {
            return None;
        }
    }
    (1..=253).contains(&plain.len()).then_some(plain)
}

/// A path prefix, without a slash at its end.
pub fn prefix(text: &[u8]) -> Option<String> {
    if text.len() > 1024 {
        return None;
    }
    let mut decoded: Vec<u8> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let plain = matches!(text[at], b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'&'..=b'+' | b'-'..=b'/' | b'!' | b'$' | b':' | b'=' | b'@' | b'_' | b'~');
        if plain && !matches!(text[at], b'\'' | b'(' | b')') {
            decoded.push(text[at]);
            at += 1;
        } else {
            let digits = std::str::from_utf8(text.get(at..at + 3)?).ok()?.strip_prefix('%')?;
            let is_hex = digits.chars().all(|digit| digit.is_ascii_hexdigit());
            let byte = u8::from_str_radix(digits, 16).ok().filter(|byte| is_hex && *byte >= 0x80)?;
            decoded.push(byte);
            at += 3;
        }
    }
    let decoded = String::from_utf8(decoded).ok()?;
    let whole = std::str::from_utf8(text).ok()?;
    let Some(inner) = decoded.strip_prefix('/') else { return decoded.is_empty().then(String::new) };
    if inner.is_empty() {
        return Some(String::new());
    }
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let good = inner.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    good.then(|| whole.strip_suffix('/').unwrap_or(whole).to_owned())
}
