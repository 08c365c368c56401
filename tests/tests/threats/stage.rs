//! The stage: heads, fixes, and what is seen afterwards.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Version};
use proxyfix::{
    CustomProxyFix, Ending, Family, Field, Fix, Guard, Host, LighttpdCgiRootFix, Mount, Origin, Outcome,
    PROTECTED_HEADERS, Peer, ProxyFix, TrustedProxies,
};

pub(crate) const PROXY: &str = "10.0.0.2:40000";
pub(crate) const ATTACKER: &str = "203.0.113.9:51515";

/// Field lines, in wire order, byte for byte.
pub(crate) type Lines<'a> = &'a [(&'a str, &'a [u8])];

pub(crate) fn trust(text: &str) -> TrustedProxies {
    text.parse().unwrap()
}

/// Reads all five fields of `X-Forwarded-*`.
pub(crate) fn everything() -> ProxyFix {
    ProxyFix::builder(trust("10.0.0.0/8")).host().port().prefix().build().unwrap()
}

/// Reads every field from a header of the operator's own.
pub(crate) fn custom() -> CustomProxyFix {
    CustomProxyFix::builder(trust("10.0.0.0/8"))
        .client("X-Real-IP")
        .scheme("X-Scheme")
        .host("X-FHost")
        .port("X-FPort")
        .prefix("X-Script-Name")
        .build()
        .unwrap()
}

pub(crate) fn forwarded() -> ProxyFix {
    ProxyFix::builder(trust("10.0.0.0/8")).family(Family::Forwarded).host().build().unwrap()
}

/// The head of `GET target` from `peer`; no peer where `peer` is empty, and no header but `lines`.
pub(crate) fn get(target: &str, peer: &str, lines: Lines<'_>) -> Parts {
    let (mut parts, ()) = Request::get(target).body(()).unwrap().into_parts();
    if !peer.is_empty() {
        parts.extensions.insert(peer.parse::<Peer>().unwrap());
    }
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        parts.headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    parts
}

/// The head of a request for `/` of `good.example`.
pub(crate) fn head(peer: &str, lines: Lines<'_>) -> Parts {
    let mut parts = get("/", peer, lines);
    parts.headers.insert("host", HeaderValue::from_static("good.example"));
    parts
}

/// A head after a fix.
pub(crate) struct Seen(pub(crate) Parts);

/// Applies `fix` and asserts what holds after any fix, whatever the request.
#[track_caller]
pub(crate) fn see(fix: &dyn Fix, mut parts: Parts) -> Seen {
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or_default();
    fix.fix(&mut parts);
    let once = snapshot(&parts);
    let origin = parts.extensions.get::<Origin>().expect("an origin, always");

    assert_eq!(origin.peer(), peer, "the peer comes from the connection");
    let folded = |name: &HeaderName| name.as_str().replace(|it: char| !it.is_ascii_alphanumeric(), "-");
    for name in parts.headers.keys() {
        assert!(!PROTECTED_HEADERS.contains(&folded(name).as_str()), "{name} is left");
    }
    if !origin.is_complete() {
        assert!(!origin.is_complete_and(|_| true), "an incomplete origin is never internal");
        assert!(origin.client().is_none() || origin.ending() == Ending::HeaderAbsent);
    }
    let mount = parts.extensions.get::<Mount>().cloned().unwrap_or_default();
    assert_eq!(mount.prefix(), origin.prefix());

    let named = |text: &[u8]| {
        let (host, port) = Host::with_port(text).unwrap();
        (Some(host), port.filter(|port| *port != origin.scheme().default_port()))
    };
    let effective = (origin.host().cloned(), origin.port());
    let hosts: Vec<_> = parts.headers.get_all("host").iter().collect();
    match hosts[..] {
        [] => assert_eq!(effective, (None, None), "no Host is left"),
        [host] => assert_eq!(named(host.as_bytes()), effective, "the Host header"),
        _ => panic!("several Host lines are left: {hosts:?}"),
    }
    if let Some(authority) = parts.uri.authority().filter(|_| parts.method != Method::CONNECT) {
        assert_eq!(named(authority.as_str().as_bytes()), effective, "the authority of the target");
        assert_eq!(parts.uri.scheme_str(), Some(origin.scheme().as_str()), "the scheme of the target");
    }

    fix.fix(&mut parts);
    assert_eq!(snapshot(&parts), once, "twice is once");
    Seen(parts)
}

/// All that a fix may touch.
pub(crate) fn snapshot(parts: &Parts) -> String {
    let Parts { method, uri, headers, extensions, .. } = parts;
    format!(
        "{method} {uri} {headers:?} {:?} {:?} {:?}",
        extensions.get::<Origin>(),
        extensions.get::<Mount>(),
        extensions.get::<Peer>()
    )
}

impl Seen {
    pub(crate) fn origin(&self) -> &Origin {
        self.0.extensions.get().unwrap()
    }

    /// `203.0.113.9 client-found`, or `nobody malformed`.
    pub(crate) fn who(&self) -> String {
        let client = self.origin().client().map_or("nobody".to_owned(), |ip| ip.to_string());
        format!("{client} {}", self.origin().ending())
    }

    /// `https://good.example:8443/app`; `?` in the place of the host where there is none.
    pub(crate) fn url(&self) -> String {
        let origin = self.origin();
        let host = origin.host().map_or("?", Host::as_str);
        let port = origin.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{host}{port}{}", origin.scheme(), self.mount())
    }

    pub(crate) fn mount(&self) -> &str {
        self.0.extensions.get::<Mount>().map_or("", |mount| mount.prefix().as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The names of the headers that are left, sorted.
    pub(crate) fn left(&self) -> Vec<&str> {
        let mut left: Vec<&str> = self.0.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        left
    }

    #[track_caller]
    pub(crate) fn assert(&self, who: &str, url: &str) {
        assert_eq!((self.who().as_str(), self.url().as_str()), (who, url), "{}", self.origin());
    }
}

/// Behind the proxy, asserts who is found for these lines of `X-Forwarded-For`.
#[track_caller]
pub(crate) fn assert_chain(lines: &[&[u8]], who: &str) {
    let lines: Vec<(&str, &[u8])> = lines.iter().map(|line| ("X-Forwarded-For", *line)).collect();
    let seen = see(&everything(), head(PROXY, &lines));
    assert_eq!(seen.who(), who, "{}", seen.origin());
    if who.starts_with("nobody") {
        // For logs, never for decisions about the client.
        assert!(seen.origin().last_verified().ip().is_some());
    }
}

/// Behind the proxy, asserts that each of these texts, as the nearest entry, names nobody.
#[track_caller]
pub(crate) fn assert_nobody(entries: &[&[u8]], ending: Ending) {
    for entry in entries {
        let line = [b"198.51.100.7, ", *entry].concat();
        let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", &line)]));
        let found = (seen.who(), seen.origin().last_verified().ip());
        let expected = (format!("nobody {ending}"), "10.0.0.2".parse().ok());
        assert_eq!(found, expected, "{}", entry.escape_ascii());
    }
}

/// Behind the proxy and a chain of one entry, asserts the URL that `lines` make of
/// `http://good.example`.
#[track_caller]
pub(crate) fn assert_url(lines: Lines<'_>, url: &str) {
    let lines = [&[("X-Forwarded-For", &b"203.0.113.9"[..])], lines].concat();
    see(&everything(), head(PROXY, &lines)).assert("203.0.113.9 client-found", url);
}

/// Asserts that each value of `field`, in either kind of header, leaves the request as it was received,
/// and that a strict guard refuses it.
#[track_caller]
pub(crate) fn assert_off(field: Field, values: &[&[u8]]) {
    let own = ["X-Real-IP", "X-Scheme", "X-FHost", "X-FPort", "X-Script-Name"][field as usize];
    for value in values {
        let lines = [("X-Forwarded-For", &b"203.0.113.9"[..]), (field.x_forwarded_name(), value)];
        let seen = see(&everything(), head(PROXY, &lines));
        assert_eq!(seen.url(), "http://good.example", "{}", value.escape_ascii());
        let outcome = seen.origin().outcome(field);
        assert!(matches!(outcome, Outcome::Refused(_) | Outcome::Absent), "{outcome:?}");
        if outcome != Outcome::Absent {
            let strict = guard().refuses(&seen.0).map(|status| status.as_u16());
            assert!(matches!(strict, Some(400 | 431)), "{strict:?} {}", value.escape_ascii());
        }
        let seen = see(&custom(), head(PROXY, &[("X-Real-IP", b"203.0.113.9"), (own, value)]));
        assert_eq!(seen.url(), "http://good.example", "{}", value.escape_ascii());
    }
}

/// Asserts URL, `Host` (`-` for none) and target after a request that names its host itself.
#[track_caller]
pub(crate) fn assert_asked(version: Version, target: &str, hosts: &[&[u8]], expected: (&str, &str, &str)) {
    let lines: Vec<(&str, &[u8])> = hosts.iter().map(|host| ("Host", *host)).collect();
    for peer in [PROXY, ATTACKER] {
        let mut parts = get(target, peer, &lines);
        parts.version = version;
        let seen = see(&everything(), parts);
        let found = (seen.url(), seen.header("host").unwrap_or("-"), seen.0.uri.to_string());
        let shown: Vec<_> = hosts.iter().map(|host| host.escape_ascii().to_string()).collect();
        assert_eq!((&*found.0, found.1, &*found.2), expected, "{version:?} {target} {shown:?}");
    }
}

/// Asserts that a `Host` of these bytes, and each of these targets, names no host.
#[track_caller]
pub(crate) fn assert_no_host(hosts: &[&[u8]], authorities: &[&str]) {
    for host in hosts {
        assert_asked(Version::HTTP_11, "/x?y", &[host], ("http://?", "-", "/x?y"));
        assert_asked(Version::HTTP_2, "/x?y", &[host], ("http://?", "-", "/x?y"));
    }
    for authority in authorities {
        let target = format!("http://{authority}/x?y");
        assert_asked(Version::HTTP_11, &target, &[b"good.example"], ("http://?", "-", "/x?y"));
        assert_asked(Version::HTTP_2, &target, &[], ("http://?", "-", "/x?y"));
        assert_asked(Version::HTTP_2, &target, &[b"good.example"], ("http://?", "-", "/x?y"));
    }
}

/// Applies a fix of the mount to a request that a gateway split into `script_name` and `target`
/// (empty: no path info); asserts mount and target, after one application and after two.
#[track_caller]
pub(crate) fn assert_mounted(fix: &dyn Fix, script_name: &[u8], target: &str, expected: (&str, &str)) {
    let mount = Mount::from_script_name(script_name).unwrap().with_nothing_below(target.is_empty());
    let mut parts = get(if target.is_empty() { "/" } else { target }, "", &[]);
    parts.extensions.insert(mount);
    for times in 1..=2 {
        fix.fix(&mut parts);
        let mount = parts.extensions.get::<Mount>().unwrap().prefix().as_str();
        let found = (mount, parts.uri.to_string());
        assert_eq!((found.0, &*found.1), expected, "{} + {target:?}, {times}", script_name.escape_ascii());
    }
}

pub(crate) fn root_at(prefix: &str) -> LighttpdCgiRootFix {
    LighttpdCgiRootFix::at(prefix.parse().unwrap())
}

/// What an attacker sends who knows every name.
pub(crate) const FORGED: Lines<'static> = &[
    ("X-Forwarded-For", b"127.0.0.1"),
    ("X-Forwarded-Proto", b"https"),
    ("X-Forwarded-Host", b"admin.good.example"),
    ("X-Forwarded-Port", b"8443"),
    ("X-Forwarded-Prefix", b"/internal"),
    ("Forwarded", b"for=127.0.0.1;proto=https;host=admin.good.example"),
    ("X-Real-IP", b"10.0.0.2"),
    ("X-Scheme", b"https"),
    ("X-FHost", b"admin.good.example"),
    ("X-FPort", b"8443"),
    ("X-Script-Name", b"/internal"),
    ("X_Forwarded_For", b"127.0.0.1"),
    ("X.Forwarded-Host", b"admin.good.example"),
    ("Accept", b"*/*"),
];

/// What handlers of axum read from `ConnectInfo`.
pub(crate) fn connect_info(parts: &Parts) -> Option<&'static str> {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(info.0.to_string().leak())
}

/// Refuses whatever is odd, and hosts that are not ours.
pub(crate) fn guard() -> Guard {
    Guard::new().strict().allow_hosts(["good.example"]).unwrap()
}

/// Asserts what `guard` answers behind a fix that reads everything: a status, or 200 for the service's.
#[track_caller]
pub(crate) fn assert_answered(guard: &Guard, mut parts: Parts, status: u16) {
    let asked = format!("{} {:?}", parts.uri, parts.headers);
    everything().fix(&mut parts);
    let answered = guard.refuses(&parts).map_or(200, |status| status.as_u16());
    assert_eq!(answered, status, "{asked}: {}", parts.extensions.get::<Origin>().unwrap());
}
