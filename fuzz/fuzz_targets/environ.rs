//! From variables to a request. An input is a variable a line, `NAME=value`; `\x1F` is a line end within a
//! value.

#![no_main]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use http::request::Parts;
use http::{Method, header};
use libfuzzer_sys::fuzz_target;
use proxyfix::{Mount, Peer, Scheme};
use proxyfix_cgi::{DuplicateHeaders, Gateway, MetaVariables, RemoteUser};
use proxyfix_fuzz::prefix;

static GATEWAYS: LazyLock<Vec<Operated>> = LazyLock::new(|| {
    let all = Gateway::new().redirect_authorization().trust_remote_user();
    let at = |mount: &'static str| {
        let gateway = Gateway::new().mount(mount.parse().unwrap());
        Operated { gateway, mount: Some(mount), ..Operated::default() }
    };
    vec![
        Operated::default(),
        Operated {
            gateway: all.duplicate_headers(DuplicateHeaders::Reject),
            redirects: true,
            believes: true,
            ..Operated::default()
        },
        at("/app"),
        at(""),
        at("/caf%C3%A9/v1"),
    ]
});

/// A gateway, and what was asked of it.
#[derive(Default)]
struct Operated {
    gateway: Gateway,
    mount: Option<&'static str>,
    redirects: bool,
    believes: bool,
}

fuzz_target!(|data: &[u8]| {
    let variables = read(data);
    for operated in GATEWAYS.iter() {
        let parts = match operated.gateway.request(variables.iter().cloned().collect()) {
            Ok(parts) => parts,
            Err(refusal) => {
                assert!([400, 404, 405, 414, 431, 501].contains(&refusal.status().as_u16()), "{refusal}");
                continue;
            }
        };
        headers(operated, &variables, &parts);
        target(operated, &variables, &parts);
        connection(operated, &variables, &parts);
        let again = operated.gateway.request(restated(&variables, &parts)).expect("it means the same");
        assert_eq!((&again.uri, &again.headers), (&parts.uri, &parts.headers));
        assert_eq!(again.extensions.get::<Mount>(), parts.extensions.get::<Mount>());
    }
});

fn read(data: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let lines = data.split(|octet| *octet == b'\n');
    let pair = |line: &[u8]| {
        let equals = line.iter().position(|octet| *octet == b'=')?;
        let value = line[equals + 1..].iter().map(|octet| if *octet == 0x1F { b'\n' } else { *octet });
        Some((line[..equals].to_vec(), value.collect()))
    };
    lines.filter_map(pair).collect()
}

/// The last value of a name.
fn last<'a>(variables: &'a [(Vec<u8>, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    let found = variables.iter().rev().find(|(it, _)| it == name.as_bytes());
    found.map(|(_, value)| &value[..])
}

/// The headers are those that the variables say, none of a connection among them, each value as it came.
fn headers(operated: &Operated, variables: &[(Vec<u8>, Vec<u8>)], parts: &Parts) {
    const NEVER: [&str; 10] = [
        "connection",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
        "trailer",
        "proxy-connection",
        "proxy",
        "proxy-authorization",
        "expect",
    ];
    let mut expected: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
    for (name, value) in variables {
        let Some(name) = name.strip_prefix(b"HTTP_") else { continue };
        let plain = |octet: &u8| octet.is_ascii_uppercase() || octet.is_ascii_digit() || *octet == b'_';
        if name.is_empty() || !name.iter().all(plain) {
            continue;
        }
        let name = String::from_utf8_lossy(name).to_lowercase().replace('_', "-");
        let own = ["content-type", "content-length", "authorization"].contains(&&*name);
        if own || (NEVER.contains(&&*name)) {
            continue;
        }
        let values = expected.entry(name.clone()).or_default();
        if name != "host" || values.is_empty() {
            values.push(value);
        }
    }
    let redirected = last(variables, "REDIRECT_HTTP_AUTHORIZATION").filter(|_| operated.redirects);
    let given = last(variables, "HTTP_AUTHORIZATION").filter(|value| !value.is_empty());
    for (name, value) in
        [("authorization", given.or(redirected)), ("content-type", last(variables, "CONTENT_TYPE"))]
    {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            expected.insert(name.to_owned(), vec![value]);
        }
    }
    let length = last(variables, "CONTENT_LENGTH").filter(|length| !length.is_empty() && *length != b"-1");
    let length = length.map(|digits| {
        assert!(digits.iter().all(u8::is_ascii_digit));
        std::str::from_utf8(digits).unwrap().parse::<u64>().unwrap()
    });
    let stated = parts.headers.get(header::CONTENT_LENGTH).map(|value| value.to_str().unwrap().to_owned());
    match length {
        Some(length) if length > 0 => assert_eq!(stated, Some(length.to_string())),
        Some(_) => assert!(stated.is_none_or(|stated| stated == "0")),
        None => assert_eq!(stated, None),
    }
    let mut found: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
    for (name, value) in &parts.headers {
        found.entry(name.to_string()).or_default().push(value.as_bytes());
    }
    found.remove("content-length");
    assert_eq!(found, expected);
}

/// Merges slashes and removes the segments `.` and `..`.
fn normal(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let all: Vec<&[u8]> = path.split(|octet| *octet == b'/').collect();
    for (index, segment) in all.iter().enumerate() {
        let is_last = index + 1 == all.len();
        match *segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
        // A path that ends with one of them ends with a slash.
        if is_last && matches!(*segment, b"" | b"." | b"..") {
            segments.push(b"");
        }
    }
    segments.iter().flat_map(|segment| [b"/", *segment].concat()).collect()
}

fn decode(path: &[u8]) -> Vec<u8> {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < path.len() {
        let escape = match path[at..] {
            [b'%', high, low, ..] => hex(high).zip(hex(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        decoded.push(escape.unwrap_or(path[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    decoded
}

/// Path and query of `REQUEST_URI`.
fn requested(variables: &[(Vec<u8>, Vec<u8>)]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let uri = last(variables, "REQUEST_URI").filter(|uri| !uri.is_empty())?;
    let uri = uri.split(|octet| *octet == b'#').next()?;
    let uri = if uri[0] == b'/' || uri == b"*" {
        uri
    } else {
        let authority = uri.windows(3).position(|it| it == b"://")? + 3;
        let start = uri[authority..].iter().position(|octet| b"/?".contains(octet));
        &uri[start.map_or(uri.len(), |start| authority + start)..]
    };
    let question = uri.iter().position(|octet| *octet == b'?');
    let path = &uri[..question.unwrap_or(uri.len())];
    let path = if path.is_empty() { b"/" } else { path };
    Some((path.to_vec(), question.map(|at| uri[at + 1..].to_vec())))
}

/// The target begins with a slash, the mount is one, and together they are what was requested.
fn target(operated: &Operated, variables: &[(Vec<u8>, Vec<u8>)], parts: &Parts) {
    let (path, mount) = (parts.uri.path(), parts.extensions.get::<Mount>().unwrap());
    assert!(parts.uri.scheme().is_none() && parts.uri.authority().is_none());
    assert!(![Method::CONNECT, Method::TRACE].contains(&parts.method));
    assert!(path.starts_with('/') || (path == "*" && parts.method == Method::OPTIONS), "{path}");
    let text = mount.prefix().as_str();
    assert_eq!(prefix(text.as_bytes()).as_deref(), Some(text));
    assert!(mount.script_name().is_empty() || mount.script_name().starts_with('/'));
    assert!(!mount.nothing_below() || path == "/");
    let Some(declared) = operated.mount else { return };
    assert_eq!((text, mount.script_name()), (declared, declared));
    if path == "*" {
        return;
    }
    if let Some((whole, _)) = requested(variables) {
        let below = if mount.nothing_below() { "" } else { path };
        let joined = [decode(declared.as_bytes()), decode(below.as_bytes())].concat();
        let expected = normal(&decode(&whole));
        assert_eq!(normal(&joined), expected, "{declared} {below} {}", whole.escape_ascii());
    }
}

/// Who asked, and how.
fn connection(operated: &Operated, variables: &[(Vec<u8>, Vec<u8>)], parts: &Parts) {
    let text = |name| std::str::from_utf8(last(variables, name).unwrap_or_default()).unwrap_or("\n");
    let https = ["on", "1"].contains(&&*text("HTTPS").to_ascii_lowercase())
        || text("REQUEST_SCHEME").eq_ignore_ascii_case("https");
    assert_eq!(parts.extensions.get::<Scheme>() == Some(&Scheme::Https), https);
    let peer = parts.extensions.get::<Peer>().unwrap();
    let address = text("REMOTE_ADDR");
    let plain = address.trim_start_matches('[').trim_end_matches(']').split('%').next().unwrap();
    match peer.ip() {
        Some(ip) => assert_eq!(Some(ip), plain.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())),
        None => {
            assert!(address.parse::<IpAddr>().is_err() && peer.is_local() == address.starts_with("unix:"));
        }
    }
    assert!(operated.believes || parts.extensions.get::<RemoteUser>().is_none());
}

/// The same request as a web server would state it that splits as the mount does.
fn restated(variables: &[(Vec<u8>, Vec<u8>)], parts: &Parts) -> MetaVariables {
    let mount = parts.extensions.get::<Mount>().unwrap();
    let (path, query) = (parts.uri.path(), parts.uri.query());
    let ours = ["REQUEST_URI", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"];
    let mut again: Vec<(Vec<u8>, Vec<u8>)> =
        variables.iter().filter(|(name, _)| !ours.iter().any(|it| it.as_bytes() == name)).cloned().collect();
    let mut add = |name: &str, value: &[u8]| again.push((name.as_bytes().to_vec(), value.to_vec()));
    let script_name = mount.script_name();
    let below = if mount.nothing_below() { "" } else { path };
    let target = match format!("{script_name}{below}") {
        _ if path == "*" => "*".to_owned(),
        target if target.is_empty() => "/".to_owned(),
        target => target,
    };
    let question = if query.is_some() { "?" } else { "" };
    let target = format!("{target}{question}{}", query.unwrap_or_default());
    add("REQUEST_URI", target.as_bytes());
    add("SCRIPT_NAME", &decode(script_name.as_bytes()));
    add("PATH_INFO", &decode(below.as_bytes()));
    add("QUERY_STRING", query.unwrap_or_default().as_bytes());
    again.into_iter().collect()
}
