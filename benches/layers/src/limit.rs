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
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use tower_service::Service;

use crate::floor::{self, Leaf};
use crate::{Answer, Case, Input, Kind, Request};

/// The cases written by hand on `input`.
pub fn cases(input: &'static Input) -> Vec<Case> {
    let case = |name, work| {
        let call = floor::around(ByHand(work, Leaf));
        Case { name, kind: Kind::Limit, input, floor: Some(floor::NAME), call }
    };
    if input.has("x-forwarded-host") {
        return vec![
            case("limit", |request| all_fields(request, false)),
            case("limit-absolute", |request| all_fields(request, true)),
        ];
    }
    vec![case("limit", if input.has("forwarded") { forwarded } else { x_forwarded_for })]
}

#[derive(Clone, Copy, Debug)]
struct ByHand<S>(fn(&mut Request), S);

impl<S: Service<Request>> Service<Request> for ByHand<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        (self.0)(&mut request);
        self.1.call(request)
    }
}

const CHAIN: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// `10.0.0.0/8` and `2001:db8:10::/48`.
fn trusts(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 10,
        IpAddr::V6(ip) => ip.to_bits() >> 80 == 0x2001_0db8_0010,
    }
}

/// The peer, where it is a proxy.
fn proxy(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip();
    trusts(peer).then_some(peer)
}

fn tell(request: &mut Request, client: Answer) {
    if let Some(ip) = client {
        if let Some(info) = request.extensions_mut().get_mut::<ConnectInfo<SocketAddr>>() {
            info.0 = SocketAddr::new(ip, 0);
        }
    } else {
        request.extensions_mut().remove::<ConnectInfo<SocketAddr>>();
    }
}

/// Removes what is there of the headers that these inputs have.
fn strip(headers: &mut HeaderMap) {
    let mut doomed = [const { None::<HeaderName> }; 5];
    let mut places = doomed.iter_mut();
    for name in headers.keys() {
        let bytes = name.as_str().as_bytes();
        if bytes.starts_with(b"x-forwarded-") || matches!(bytes, b"forwarded" | b"x-real-ip") {
            if let Some(place) = places.next() {
                *place = Some(name.clone());
            }
        }
    }
    for name in doomed.iter().map_while(Option::as_ref) {
        headers.remove(name);
    }
}

/// The client of a chain: from the peer over the entries from the right, to the first that is not trusted.
fn walk(peer: IpAddr, headers: &HeaderMap) -> Answer {
    let mut client = peer;
    let mut blank = true;
    for line in headers.get_all(CHAIN).iter().rev() {
        let mut rest = line.as_bytes();
        if blank {
            // Commas at the end are no entries.
            while let [before @ .., b',' | b' '] = rest {
                rest = before;
            }
            if rest.is_empty() {
                continue;
            }
            blank = false;
        }
        let mut hops = 0;
        loop {
            let (entry, before) = last(rest, 64);
            client = address(entry)?;
            hops += 1;
            if !trusts(client) {
                return Some(client);
            }
            let Some(before) = before else { break };
            if hops == 32 {
                return None;
            }
            rest = before;
        }
    }
    Some(client)
}

/// What stands right of the last comma, within `most` bytes, and what stands left of it.
fn last(text: &[u8], most: usize) -> (&[u8], Option<&[u8]>) {
    let seen = text.len().saturating_sub(most);
    match text[seen..].iter().rposition(|byte| *byte == b',') {
        Some(at) => (text[seen + at + 1..].trim_ascii(), Some(&text[..seen + at])),
        None if seen > 0 => (b"", None),
        None => (text.trim_ascii(), None),
    }
}

fn address(entry: &[u8]) -> Answer {
    let (mut bits, mut octet, mut digits, mut dots) = (0_u32, 0_u32, 0_u32, 0_u32);
    for byte in entry {
        match byte {
            b'0'..=b'9' => {
                octet = octet * 10 + u32::from(byte - b'0');
                digits += 1;
                if octet > 255 || digits > 3 {
                    return ipv6(entry);
                }
            }
            b'.' if digits > 0 => {
                bits = bits << 8 | octet;
                (octet, digits) = (0, 0);
                dots += 1;
            }
            _ => return ipv6(entry),
        }
    }
    (dots == 3 && digits > 0).then(|| Ipv4Addr::from(bits << 8 | octet).into())
}

/// Eight groups, or fewer with one `::` among them.
fn ipv6(entry: &[u8]) -> Answer {
    let (mut head, mut bits, mut groups, mut gap) = (0_u128, 0_u128, 0_u32, None);
    let (mut group, mut digits) = (0_u128, 0_u32);
    for byte in entry {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b':' if digits > 0 => {
                bits = bits << 16 | group;
                groups += 1;
                (group, digits) = (0, 0);
                continue;
            }
            b':' if gap.is_none() => {
                (head, bits, gap) = (bits, 0, Some(groups));
                continue;
            }
            _ => return None,
        };
        group = group << 4 | u128::from(digit);
        digits += 1;
        if digits > 4 || groups > 7 {
            return None;
        }
    }
    if digits > 0 {
        bits = bits << 16 | group;
        groups += 1;
    }
    let bits = match gap {
        None if groups == 8 => bits,
        // The groups on the left of the gap are moved to the left.
        Some(left @ 1..) if groups < 8 => head << (16 * (8 - left)) | bits,
        Some(0) if groups < 8 => bits,
        _ => return None,
    };
    Some(Ipv6Addr::from(bits).into())
}

fn x_forwarded_for(request: &mut Request) {
    let client = proxy(request).map(|peer| walk(peer, request.headers()));
    strip(request.headers_mut());
    if let Some(client) = client {
        tell(request, client);
    }
}

fn forwarded(request: &mut Request) {
    let mut found = proxy(request).map(|peer| (Some(peer), None));
    if let (Some((client, host)), Some(line)) = (&mut found, request.headers().get(header::FORWARDED)) {
        let mut rest = line.as_bytes();
        loop {
            let (element, before) = last(rest, 512);
            let (mut ip, mut named) = (None, None);
            for pair in element.split(|byte| *byte == b';') {
                match pair {
                    [b'f' | b'F', b'o' | b'O', b'r' | b'R', b'=', node @ ..] => ip = address(node),
                    [b'h' | b'H', b'o' | b'O', b's' | b'S', b't' | b'T', b'=', name @ ..] => named = Some(name),
                    _ => {}
                }
            }
            *client = ip;
            if ip.is_some() {
                *host = named.filter(|name| is_host(name)).and_then(|name| HeaderValue::from_bytes(name).ok());
            }
            match (ip, before) {
                (Some(ip), Some(before)) if trusts(ip) => rest = before,
                _ => break,
            }
        }
    }
    strip(request.headers_mut());
    if let Some((client, host)) = found {
        if let Some(host) = host {
            request.headers_mut().insert(header::HOST, host);
        }
        tell(request, client);
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

fn all_fields(request: &mut Request, absolute: bool) {
    let Some(peer) = proxy(request) else { return strip(request.headers_mut()) };
    let client = walk(peer, request.headers());
    tell(request, client);
    let headers = request.headers_mut();
    headers.remove(CHAIN);
    let (Some(proto), Some(host), Some(port), Some(prefix)) =
        (headers.remove(PROTO), headers.remove(HOST), headers.remove(PORT), headers.remove(PREFIX))
    else {
        return;
    };
    let Some(client) = client else { return };
    let https = proto == "https";
    let port = port.as_bytes().iter().try_fold(0_u16, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 { sum.checked_mul(10)?.checked_add(digit.into()) } else { None }
    });
    let path = prefix.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~');
    let (Some(port), b'/', true, true) =
        (port, path.first().copied().unwrap_or_default(), path.iter().all(plain), is_host(host.as_bytes()))
    else {
        return;
    };
    headers.insert(header::HOST, host.clone());
    if absolute {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Authority::from_maybe_shared(host.clone()).ok();
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
    let known = Known { _client: client, _https: https, _host: host, _port: port, _prefix: prefix };
    request.extensions_mut().insert(known);
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

    #[test]
    fn addresses_are_those_of_std() {
        for text in ["1.2.3.4", "255.255.255.255", "::", "::1", "1::", "2001:db8:ff00:1:a00:27ff:fe4e:66a1", "1::2:3"] {
            assert_eq!(address(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1::2::3", "1:2:3:4:5:6:7:8:9", "g::", "unknown"] {
            assert_eq!(address(text.as_bytes()), None, "{text}");
        }
    }
}
