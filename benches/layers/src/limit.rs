//! The limit: what a right answer takes at least, as far as people write by hand.
//!
//! Straight code for one policy and for what the inputs really hold. It follows the rules that our layers follow: the
//! gate first, the chain from the right, an entry of no more than 64 bytes, a bad entry ends the walk, `ConnectInfo`
//! changed in its place, the forwarding headers removed. It has no configuration, no reasons, no spellings of header
//! names but the usual ones, no ports, brackets or quotes in an entry. Nothing is kept for later, but where the input
//! has a host, a port and a prefix.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use axum::extract::ConnectInfo;
use http::header::{self, Entry};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Uri};
use tower_service::Service;

use crate::floor::{self, Leaf};
use crate::{Answer, Case, Input, Kind, Request};

/// Removes what these inputs have of forwarding headers: what a layer around a crate of others has to do, where
/// nothing behind it shall read what a client made up.
pub fn remove_forwarded(headers: &mut HeaderMap) {
    let mut found = [const { None::<HeaderName> }; 5];
    let mut places = found.iter_mut();
    for name in headers.keys() {
        let known = match name.as_str().as_bytes() {
            [b'x', b'-', b'f', b'o', b'r', ..] => true,
            other => matches!(other, b"forwarded" | b"x-real-ip"),
        };
        if !known {
            continue;
        }
        let Some(place) = places.next() else { break };
        *place = Some(name.clone());
    }
    for name in found.iter().map_while(Option::as_ref) {
        headers.remove(name);
    }
}

/// The cases written by hand on `input`.
pub fn cases(input: &'static Input) -> Vec<Case> {
    let case = |name, work| {
        let call = floor::around(ByHand(work, Leaf));
        Case { name, kind: Kind::Limit, input, floor: Some(floor::NAME), call }
    };
    if input.has("x-forwarded-host") {
        return vec![
            case("limit", |parts| all_fields(parts, false)),
            case("limit-absolute", |parts| all_fields(parts, true)),
        ];
    }
    vec![case("limit", if input.has("forwarded") { forwarded } else { x_forwarded_for })]
}

#[derive(Clone, Copy, Debug)]
struct ByHand<S>(fn(&mut Parts), S);

impl<S: Service<Request>> Service<Request> for ByHand<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        let (mut parts, ()) = request.into_parts();
        (self.0)(&mut parts);
        self.1.call(Request::from_parts(parts, ()))
    }
}

const CHAIN: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const REAL: HeaderName = HeaderName::from_static("x-real-ip");

/// `10.0.0.0/8` and `2001:db8:10::/48`; and `127.0.0.0/8`, from where load comes.
fn trusts(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets()[0], 10 | 127),
        IpAddr::V6(ip) => matches!(ip.segments(), [0x2001, 0x0db8, 0x0010, ..]),
    }
}

fn peer(extensions: &mut Extensions) -> Option<&mut ConnectInfo<SocketAddr>> {
    extensions.get_mut()
}

/// The client of `X-Forwarded-For` into `ConnectInfo`, and the headers removed.
pub fn x_forwarded_for(parts: &mut Parts) {
    let Some(info) = peer(&mut parts.extensions) else { return };
    let trusted = trusts(info.0.ip());
    let [mut chain, mut proto, mut real] = [false; 3];
    for name in parts.headers.keys() {
        match name.as_str().as_bytes() {
            b"x-forwarded-for" => chain = true,
            b"x-forwarded-proto" => proto = true,
            b"x-real-ip" => real = true,
            _ => {}
        }
    }
    if proto {
        parts.headers.remove(PROTO);
    }
    if real {
        parts.headers.remove(REAL);
    }
    if !chain {
        return;
    }
    let Entry::Occupied(entry) = parts.headers.entry(CHAIN) else { return };
    if !trusted {
        entry.remove();
        return;
    }
    match walk(info.0.ip(), entry.iter().rev()) {
        Some(client) => info.0 = SocketAddr::new(client, 0),
        None => drop(parts.extensions.remove::<ConnectInfo<SocketAddr>>()),
    }
    entry.remove();
}

/// From the peer over the entries from the right, to the first that is not trusted.
fn walk<'a>(peer: IpAddr, lines: impl Iterator<Item = &'a HeaderValue>) -> Answer {
    let (mut client, mut hops) = (peer, 0);
    for line in lines {
        let mut rest = Some(line.as_bytes());
        if hops == 0 {
            rest = without_blanks(line.as_bytes());
        }
        while let Some(text) = rest {
            (client, rest) = entry(text)?;
            if !trusts(client) {
                return Some(client);
            }
            hops += 1;
            if hops == 32 {
                return None;
            }
        }
    }
    Some(client)
}

/// Commas and spaces at the end are no entries; many of them are passed many at a time.
fn without_blanks(mut text: &[u8]) -> Option<&[u8]> {
    let blank = |byte: &u8| matches!(byte, b',' | b' ');
    while let Some((before, chunk)) = text.split_last_chunk::<256>() {
        if chunk.iter().fold(0, |other, byte| other | (byte ^ b',')) != 0 {
            break;
        }
        text = before;
    }
    while let Some((last, before)) = text.split_last() {
        if !blank(last) {
            return Some(text);
        }
        text = before;
    }
    None
}

/// The address that ends `text`, read from its end, and what stands left of its comma.
fn entry(text: &[u8]) -> Option<(IpAddr, Option<&[u8]>)> {
    let (mut bits, mut octet, mut scale, mut dots) = (0_u32, 0_u32, 1_u32, 0_u32);
    let mut at = text.len();
    while at > 0 {
        at -= 1;
        match text[at] {
            digit @ b'0'..=b'9' if scale < 1000 => {
                octet += u32::from(digit - b'0') * scale;
                scale *= 10;
            }
            b'.' if scale > 1 && dots < 3 && octet < 256 => {
                bits |= octet << (8 * dots);
                dots += 1;
                (octet, scale) = (0, 1);
            }
            b' ' if scale > 1 => {}
            b',' => {
                let whole = dots == 3 && scale > 1 && octet < 256;
                return whole.then(|| (Ipv4Addr::from(bits | octet << 24).into(), Some(&text[..at])));
            }
            b':' | b'a'..=b'f' | b'0'..=b'9' => return ipv6(text),
            _ => return None,
        }
    }
    let whole = dots == 3 && scale > 1 && octet < 256;
    whole.then(|| (Ipv4Addr::from(bits | octet << 24).into(), None))
}

/// Eight groups, or fewer with one `::` among them, which is where `right` of them have been read.
fn ipv6(text: &[u8]) -> Option<(IpAddr, Option<&[u8]>)> {
    let mut groups = [0_u16; 8];
    let (mut left, mut right) = (8_usize, None);
    let (mut group, mut shift) = (0_u16, 0_u32);
    let mut at = text.len();
    let rest = loop {
        if at == 0 {
            break None;
        }
        at -= 1;
        let digit = match text[at] {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'f' => letter - b'a' + 10,
            letter @ b'A'..=b'F' => letter - b'A' + 10,
            b':' => {
                if shift > 0 {
                    left = left.checked_sub(1)?;
                    groups[left] = group;
                    (group, shift) = (0, 0);
                }
                if at > 0 && text[at - 1] == b':' {
                    if right.replace(8 - left).is_some() {
                        return None;
                    }
                    at -= 1;
                }
                continue;
            }
            b' ' => continue,
            b',' => break Some(&text[..at]),
            _ => return None,
        };
        if shift > 12 {
            return None;
        }
        group |= u16::from(digit) << shift;
        shift += 4;
    };
    if shift > 0 {
        left = left.checked_sub(1)?;
        groups[left] = group;
    }
    match right {
        None if left > 0 => return None,
        None => {}
        Some(_) if left == 0 => return None,
        // The groups on the left of the gap are moved to the left.
        Some(right) => {
            for at in left..8 - right {
                groups.swap(at, at - left);
            }
        }
    }
    Some((Ipv6Addr::from(groups).into(), rest))
}

fn forwarded(parts: &mut Parts) {
    let Some(info) = peer(&mut parts.extensions) else { return };
    if !parts.headers.keys().any(|name| name == header::FORWARDED) {
        return;
    }
    let Some(line) = parts.headers.remove(header::FORWARDED) else { return };
    if !trusts(info.0.ip()) {
        return;
    }
    let mut rest = line.as_bytes();
    let client = loop {
        let (element, before) = last(rest);
        let mut client = None;
        for pair in element.split(|byte| *byte == b';') {
            if let [b'f' | b'F', b'o' | b'O', b'r' | b'R', b'=', node @ ..] = pair {
                client = entry(node).map(|it| it.0);
            }
        }
        match (client, before) {
            (Some(ip), Some(before)) if trusts(ip) => rest = before,
            _ => break client,
        }
    };
    match client {
        Some(client) => info.0 = SocketAddr::new(client, 0),
        None => drop(parts.extensions.remove::<ConnectInfo<SocketAddr>>()),
    }
}

/// What stands right of the last comma, within 512 bytes, and what stands left of it.
fn last(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let seen = text.len().saturating_sub(512);
    match text[seen..].iter().rposition(|byte| *byte == b',') {
        Some(at) => (text[seen + at + 1..].trim_ascii(), Some(&text[..seen + at])),
        None if seen > 0 => (b"", None),
        None => (text.trim_ascii(), None),
    }
}

/// What an application may want to know of a request besides the client.
#[derive(Clone, Debug)]
struct Known {
    _client: IpAddr,
    _https: bool,
    _host: HeaderValue,
    _port: u16,
    _prefix: HeaderValue,
}

fn all_fields(parts: &mut Parts, absolute: bool) {
    let Parts { headers, extensions, uri, .. } = parts;
    let Some(info) = peer(extensions) else { return };
    let lines = [headers.remove(CHAIN), headers.remove(PROTO), headers.remove(HOST), headers.remove(PORT)];
    let ([Some(chain), Some(proto), Some(host), Some(port)], Some(prefix), true) =
        (lines, headers.remove(PREFIX), trusts(info.0.ip()))
    else {
        return;
    };
    let Some(client) = walk(info.0.ip(), std::iter::once(&chain)) else { return };
    info.0 = SocketAddr::new(client, 0);
    let https = proto.as_bytes() == b"https";
    let port = port.as_bytes().iter().try_fold(0_u16, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 { sum.checked_mul(10)?.checked_add(digit.into()) } else { None }
    });
    let path = prefix.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~');
    let (Some(port), Some(b'/'), true, true) =
        (port, path.first(), path.iter().all(plain), is_host(host.as_bytes()))
    else {
        return;
    };
    headers.insert(header::HOST, host.clone());
    if absolute {
        let mut target = std::mem::take(uri).into_parts();
        target.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
        target.authority = Authority::from_maybe_shared(host.clone()).ok();
        *uri = Uri::from_parts(target).unwrap_or_default();
    }
    let known = Known { _client: client, _https: https, _host: host, _port: port, _prefix: prefix };
    extensions.insert(known);
}

fn is_host(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs;

    #[test]
    fn the_limit_is_right() {
        for input in inputs::all() {
            for mut case in cases(input) {
                assert_eq!((case.call)(&input.request()), input.client, "{}", case.id());
            }
        }
    }

    fn address(text: &str) -> Answer {
        entry(text.as_bytes()).map(|it| it.0)
    }

    #[test]
    fn addresses_are_those_of_std() {
        for text in
            ["1.2.3.4", "255.255.255.255", "::", "::1", "1::", "2001:db8:ff00:1:a00:27ff:fe4e:66a1", "1::2:3"]
        {
            assert_eq!(address(text), text.parse().ok(), "{text}");
        }
        for text in ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1::2::3", "1:2:3:4:5:6:7:8:9", "g::", "unknown"]
        {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
