//! The attack catalogue, played against whole request heads through public names.
//!
//! A test is named for the entries of the catalogue that it covers. Unless a test says otherwise,
//! the deployment is this:
//!
//! | | |
//! | --- | --- |
//! | trusted | `10.0.0.0/8` |
//! | the last proxy, connected to us | `10.0.0.2`; others are `10.0.0.7` and `10.0.0.8` |
//! | the attacker | `203.0.113.9`, who would like to be `127.0.0.1`, `198.51.100.7` or `10.…` |
//! | the host asked for, and a hostile one | `good.example`, `evil.example` |
//! | read | `X-Forwarded-For`, `-Proto`, `-Host`, `-Port`, `-Prefix` |
//!
//! What a request with a hostile value is *answered* (400, 431, an allow-list of hosts) is decided by a
//! guard, not by a fix. Here the same inputs show what a fix owes: it publishes no such value, removes
//! a `Host` that is none, and does not panic.
//!
//! Tests that are ignored state what is required and not yet so.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::response::IntoResponse;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use proxyfix::{
    CustomProxyFix, Ending, Family, Field, Fix, Fixed, Host, LighttpdCgiRootFix, Mount, Origin, Outcome,
    PROTECTED_HEADERS, Peer, Prefix, ProxyFix, Refusal, Scheme, ScriptNameStripper, TrustedProxies,
};
use proxyfix_axum::{ClientIp, ConnectInfoFix, ConnectedPeer, Rejection};
use tower::{ServiceBuilder, ServiceExt, service_fn};

// The stage: heads, fixes, and what is seen afterwards.

const PROXY: &str = "10.0.0.2:40000";
const ATTACKER: &str = "203.0.113.9:51515";

/// Field lines, in wire order, byte for byte.
type Lines<'a> = &'a [(&'a str, &'a [u8])];

fn trust(text: &str) -> TrustedProxies {
    text.parse().unwrap()
}

/// Reads all five fields of `X-Forwarded-*`.
fn everything() -> ProxyFix {
    ProxyFix::builder(trust("10.0.0.0/8")).host().port().prefix().build().unwrap()
}

/// Reads every field from a header of the operator's own.
fn custom() -> CustomProxyFix {
    CustomProxyFix::builder(trust("10.0.0.0/8"))
        .client("X-Real-IP")
        .scheme("X-Scheme")
        .host("X-FHost")
        .port("X-FPort")
        .prefix("X-Script-Name")
        .build()
        .unwrap()
}

fn forwarded() -> ProxyFix {
    ProxyFix::builder(trust("10.0.0.0/8")).family(Family::Forwarded).host().build().unwrap()
}

/// The head of `GET target` from `peer`; no peer where `peer` is empty, and no header but `lines`.
fn get(target: &str, peer: &str, lines: Lines<'_>) -> Parts {
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
fn head(peer: &str, lines: Lines<'_>) -> Parts {
    let mut parts = get("/", peer, lines);
    parts.headers.insert("host", HeaderValue::from_static("good.example"));
    parts
}

/// A head after a fix.
struct Seen(Parts);

/// Applies `fix` and asserts what holds after any fix, whatever the request.
#[track_caller]
fn see(fix: &dyn Fix, mut parts: Parts) -> Seen {
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
    assert_eq!(parts.extensions.get::<Mount>().unwrap().prefix(), origin.prefix());

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
fn snapshot(parts: &Parts) -> String {
    let Parts { method, uri, headers, extensions, .. } = parts;
    format!(
        "{method} {uri} {headers:?} {:?} {:?} {:?}",
        extensions.get::<Origin>(),
        extensions.get::<Mount>(),
        extensions.get::<Peer>()
    )
}

impl Seen {
    fn origin(&self) -> &Origin {
        self.0.extensions.get().unwrap()
    }

    /// `203.0.113.9 client-found`, or `nobody malformed`.
    fn who(&self) -> String {
        let client = self.origin().client().map_or("nobody".to_owned(), |ip| ip.to_string());
        format!("{client} {}", self.origin().ending())
    }

    /// `https://good.example:8443/app`; `?` in the place of the host where there is none.
    fn url(&self) -> String {
        let origin = self.origin();
        let host = origin.host().map_or("?", Host::as_str);
        let port = origin.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{host}{port}{}", origin.scheme(), self.mount())
    }

    fn mount(&self) -> &str {
        self.0.extensions.get::<Mount>().unwrap().prefix().as_str()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The names of the headers that are left, sorted.
    fn left(&self) -> Vec<&str> {
        let mut left: Vec<&str> = self.0.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        left
    }

    #[track_caller]
    fn assert(&self, who: &str, url: &str) {
        assert_eq!((self.who().as_str(), self.url().as_str()), (who, url), "{}", self.origin());
    }
}

/// Behind the proxy, asserts who is found for these lines of `X-Forwarded-For`.
#[track_caller]
fn assert_chain(lines: &[&[u8]], who: &str) {
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
fn assert_nobody(entries: &[&[u8]], ending: Ending) {
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
fn assert_url(lines: Lines<'_>, url: &str) {
    let lines = [&[("X-Forwarded-For", &b"203.0.113.9"[..])], lines].concat();
    see(&everything(), head(PROXY, &lines)).assert("203.0.113.9 client-found", url);
}

/// Asserts that each value of `field`, in either kind of header, leaves the request as it was received.
#[track_caller]
fn assert_off(field: Field, values: &[&[u8]]) {
    let own = ["X-Real-IP", "X-Scheme", "X-FHost", "X-FPort", "X-Script-Name"][field as usize];
    for value in values {
        let lines = [("X-Forwarded-For", &b"203.0.113.9"[..]), (field.x_forwarded_name(), value)];
        let seen = see(&everything(), head(PROXY, &lines));
        assert_eq!(seen.url(), "http://good.example", "{}", value.escape_ascii());
        let outcome = seen.origin().outcome(field);
        assert!(matches!(outcome, Outcome::Refused(_) | Outcome::Absent), "{outcome:?}");
        let seen = see(&custom(), head(PROXY, &[("X-Real-IP", b"203.0.113.9"), (own, value)]));
        assert_eq!(seen.url(), "http://good.example", "{}", value.escape_ascii());
    }
}

/// Asserts URL, `Host` (`-` for none) and target after a request that names its host itself.
#[track_caller]
fn assert_asked(version: Version, target: &str, hosts: &[&[u8]], expected: (&str, &str, &str)) {
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
fn assert_no_host(hosts: &[&[u8]], authorities: &[&str]) {
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
fn assert_mounted(fix: &dyn Fix, script_name: &[u8], target: &str, expected: (&str, &str)) {
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

fn root_at(prefix: &str) -> LighttpdCgiRootFix {
    LighttpdCgiRootFix::at(prefix.parse().unwrap())
}

// A. The gate, and who is connected.

/// What an attacker sends who knows every name.
const FORGED: Lines<'static> = &[
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

#[test]
fn t01_a_peer_that_is_not_trusted_says_nothing() {
    let single = ProxyFix::builder(trust("10.0.0.0/8")).family(Family::Single("X-Real-IP".into()));
    let fixes: [&dyn Fix; 4] = [&everything(), &forwarded(), &single.build().unwrap(), &custom()];
    for fix in fixes {
        let seen = see(fix, head(ATTACKER, FORGED));
        seen.assert("203.0.113.9 peer-untrusted", "http://good.example");
        assert_eq!(seen.header("host"), Some("good.example"));
        assert_eq!(seen.header("accept"), Some("*/*"));
        assert!(Field::ALL.iter().all(|field| seen.origin().outcome(*field) == Outcome::NotRead));
    }
    assert_eq!(see(&custom(), head(ATTACKER, FORGED)).left(), ["accept", "host"]);
}

#[test]
fn t02_one_gate_for_all_five_fields() {
    let without_for =
        ProxyFix::builder(trust("10.0.0.0/8")).fields([Field::Proto, Field::Host, Field::Prefix]);
    let host_only = CustomProxyFix::host(trust("10.0.0.0/8"), "X-FHost").unwrap();
    let computed = CustomProxyFix::builder(trust("10.0.0.0/8"))
        .field_from_fn(Field::Proto, |_| Some("https".to_owned()))
        .build()
        .unwrap();
    let fixes: [&dyn Fix; 4] = [&everything(), &without_for.build().unwrap(), &host_only, &computed];
    for fix in fixes {
        // Once with the chain, once without.
        see(fix, head(ATTACKER, FORGED)).assert("203.0.113.9 peer-untrusted", "http://good.example");
        see(fix, head(ATTACKER, &FORGED[1..])).assert("203.0.113.9 peer-untrusted", "http://good.example");
    }
}

#[test]
fn t02_a_computed_host_passes_the_same_gate() {
    let fix = CustomProxyFix::builder(trust("10.0.0.0/8"))
        .field_from_fn(Field::Host, |_| Some("www.good.example".to_owned()))
        .build()
        .unwrap();
    assert_eq!(see(&fix, head(PROXY, &[])).url(), "http://www.good.example");
    assert_eq!(see(&fix, head(ATTACKER, &[])).url(), "http://good.example");
}

#[test]
fn t03_nobody_is_trusted_by_default() {
    let fix = ProxyFix::builder(TrustedProxies::default()).host().build().unwrap();
    for (peer, who) in [
        ("127.0.0.1:40000", "127.0.0.1 peer-untrusted"),
        ("10.0.0.2", "10.0.0.2 peer-untrusted"),
        ("::1", "::1 peer-untrusted"),
        ("unix", "nobody peer-untrusted"),
    ] {
        see(&fix, head(peer, FORGED)).assert(who, "http://good.example");
    }
}

#[test]
fn t04_trusting_everyone_is_refused_or_dangerous() {
    for text in ["0.0.0.0/0", "::/0", "*", "0.0.0.0/1, 128.0.0.0/1", "::ffff:0.0.0.0/96"] {
        let error = text.parse::<TrustedProxies>().unwrap_err().to_string();
        assert!(error.contains("dangerously_trust_every_peer"), "{error}");
    }
    let fix = ProxyFix::new(TrustedProxies::dangerously_trust_every_peer());
    let chain = &[("X-Forwarded-For", &b"127.0.0.1, 198.51.100.7"[..])];
    see(&fix, head(ATTACKER, chain)).assert("198.51.100.7 hop-limit", "http://good.example");
}

#[test]
fn t05_a_bad_entry_is_an_error_that_names_it() {
    for entry in ["10.0.0.0/33", "10.0.0", "proxy.good.example", "10.0.0.1/8", "010.0.0.0/8", ""] {
        let error = TrustedProxies::from_entries(["10.0.0.7", entry]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("entry 2 of the trusted set, \"{entry}\": ")), "{error}");
    }
}

#[test]
fn t06_without_a_peer_nothing_is_believed() {
    let trusted = [trust("loopback"), trust("unix"), TrustedProxies::dangerously_trust_every_peer()];
    for trusted in trusted {
        let seen = see(&ProxyFix::builder(trusted).host().build().unwrap(), head("", FORGED));
        seen.assert("nobody peer-unknown", "http://good.example");
    }
}

#[tokio::test]
async fn t06_axum_without_connection_information_answers_500_and_invents_nobody() {
    let mut parts = head("", FORGED);
    ConnectInfoFix(everything()).fix(&mut parts);
    assert!(parts.extensions.get::<ConnectInfo<SocketAddr>>().is_none());
    let rejection = ClientIp::from_request_parts(&mut parts, &()).await.unwrap_err();
    assert_eq!((rejection, rejection.status().as_u16()), (Rejection::NoPeer, 500));
}

#[test]
fn t07_a_local_socket_is_trusted_by_name_only() {
    let chain: Lines<'_> = &[("X-Forwarded-For", b"127.0.0.1, 203.0.113.9"), ("X-Forwarded-Proto", b"https")];
    for networks in ["", "loopback, private, link-local", "127.0.0.1, ::1"] {
        let seen = see(&ProxyFix::new(trust(networks)), head("unix", chain));
        seen.assert("nobody peer-untrusted", "http://good.example");
        assert!(!seen.origin().is_complete());
    }
    let seen = see(&ProxyFix::new(trust("unix")), head("unix", chain));
    seen.assert("203.0.113.9 client-found", "https://good.example");
    see(&ProxyFix::new(trust("unix")), head("127.0.0.1", chain))
        .assert("127.0.0.1 peer-untrusted", "http://good.example");

    let mut parts = head("", chain);
    parts.extensions.insert(ConnectInfo(ConnectedPeer(Peer::local())));
    ConnectInfoFix(ProxyFix::new(trust("unix"))).fix(&mut parts);
    assert_eq!(connect_info(&parts), Some("203.0.113.9:0"));
}

/// What handlers of axum read from `ConnectInfo`.
fn connect_info(parts: &Parts) -> Option<&'static str> {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(info.0.to_string().leak())
}

#[test]
fn t08_a_count_is_consulted_behind_the_gate_only() {
    let fix = ProxyFix::builder(trust("10.0.0.0/8")).x_for(1).x_proto(1).x_host(1).x_port(1).x_prefix(1);
    let fix = fix.build().unwrap();
    see(&fix, head(ATTACKER, FORGED)).assert("203.0.113.9 peer-untrusted", "http://good.example");
    let lines: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Host", b"www.good.example")];
    see(&fix, head(PROXY, lines)).assert("203.0.113.9 client-found", "http://www.good.example");
}

#[test]
fn t09_a_count_steps_over_trusted_hops_only() {
    let fix = ProxyFix::builder(trust("10.0.0.0/8")).x_for(2).x_proto(2).x_host(2).build().unwrap();
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"198.51.100.7, 203.0.113.9"),
        ("X-Forwarded-Proto", b"https, http"),
        ("X-Forwarded-Host", b"evil.example, good.example"),
    ];
    let seen = see(&fix, head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.origin().outcome(Field::Host), Outcome::Refused(Refusal::BeyondTrust));
    assert_eq!(seen.origin().outcome(Field::Proto), Outcome::Refused(Refusal::BeyondTrust));
    // Nor does it step further than it says, even over trusted hops.
    let fix = ProxyFix::builder(trust("10.0.0.0/8")).x_for(1).build().unwrap();
    let chain: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9, 10.0.0.7")];
    assert_eq!(see(&fix, head(PROXY, chain)).who(), "10.0.0.7 hop-limit");
}

#[test]
fn t09_without_a_chain_no_hop_is_stepped_over() {
    let fix = ProxyFix::builder(trust("10.0.0.0/8")).x_for(0).x_host(2).build().unwrap();
    let lines: Lines<'_> = &[("X-Forwarded-Host", b"evil.example, good.example")];
    assert_eq!(see(&fix, head(PROXY, lines)).url(), "http://good.example");
}

#[test]
fn t10_fewer_entries_than_the_count() {
    let chain: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9")];
    let fix = ProxyFix::builder(trust("10.0.0.0/8")).x_for(2).build().unwrap();
    see(&fix, head(PROXY, chain)).assert("203.0.113.9 client-found", "http://good.example");

    let any = TrustedProxies::dangerously_trust_every_peer();
    let fix = ProxyFix::builder(any).x_for(2).build().unwrap();
    let seen = see(&fix, head(PROXY, chain));
    seen.assert("nobody too-few", "http://good.example");
    assert_eq!(seen.origin().last_verified(), PROXY.parse().unwrap());

    // Nor does axum's `ConnectInfo` say that the proxy is the client.
    let mut parts = head("", chain);
    parts.extensions.insert(ConnectInfo(PROXY.parse::<SocketAddr>().unwrap()));
    ConnectInfoFix(fix).fix(&mut parts);
    assert_eq!(connect_info(&parts), None);
    assert_eq!(parts.extensions.get(), Some(&PROXY.parse::<Peer>().unwrap()));
}

#[test]
fn t11_who_sits_in_a_trusted_network_may_name_anybody() {
    // Inherent in the configuration: list proxies, not the networks that they share.
    assert_chain(&[b"198.51.100.7, 10.44.0.9"], "198.51.100.7 client-found");
}

#[test]
fn t12_no_remote_client_is_loopback_or_unroutable() {
    assert_nobody(
        &[
            b"127.0.0.1",
            b"::1",
            b"0.0.0.0",
            b"::",
            b"169.254.169.254",
            b"255.255.255.255",
            b"240.0.0.1",
            b"224.0.0.1",
            b"ff02::1",
            b"fe80::1",
            b"::ffff:127.0.0.1",
            b"[::1]:80",
        ],
        Ending::Unroutable,
    );
    let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", b"127.0.0.1")]));
    assert!(!seen.origin().is_complete_and(|ip| ip.is_loopback()));
    // The operator may list them.
    let fix = ProxyFix::new(trust("10.0.0.0/8, loopback"));
    let seen = see(&fix, head(PROXY, &[("X-Forwarded-For", b"127.0.0.1")]));
    assert_eq!(seen.who(), "127.0.0.1 all-trusted");
}

#[test]
fn t13_where_every_hop_is_trusted_the_leftmost_is_the_client() {
    assert_chain(&[b"10.9.9.9, 10.0.0.7"], "10.9.9.9 all-trusted");
    assert_chain(&[b"oops, 10.0.0.7"], "nobody malformed");
    assert_chain(&[b", 10.0.0.7"], "nobody empty");
}

#[tokio::test]
async fn t14_a_fix_applied_twice_decides_once() {
    let lines: Lines<'_> = &[
        ("Host", b"app.internal:8080"),
        ("X-Forwarded-For", b"198.51.100.7, 10.44.0.9"),
        ("X-Forwarded-Proto", b"https"),
        ("X-Forwarded-Host", b"good.example"),
        ("X-Forwarded-Prefix", b"/app"),
    ];
    let once = see(&everything(), get("/", PROXY, lines));
    once.assert("198.51.100.7 client-found", "https://good.example/app");
    let twice = see(&(everything(), everything()), get("/", PROXY, lines));
    assert_eq!(snapshot(&twice.0), snapshot(&once.0));

    let service = ServiceBuilder::new()
        .layer(everything())
        .layer(everything())
        .service(service_fn(|request: Request<()>| async { Ok::<_, Infallible>(request.into_parts().0) }));
    let served = service.oneshot(Request::from_parts(get("/", PROXY, lines), ())).await.unwrap();
    assert_eq!(snapshot(&served), snapshot(&once.0));
}

#[test]
fn t14_a_rewritten_connect_info_is_no_peer() {
    // 10.9.9.9 is inside the trusted set: taken for the peer, it would open the gate.
    let mut parts = head("", &[("X-Forwarded-For", b"10.9.9.9, 10.0.0.7")]);
    parts.extensions.insert(ConnectInfo(PROXY.parse::<SocketAddr>().unwrap()));
    let fix = ConnectInfoFix(ConnectInfoFix(everything()));
    for _ in 0..2 {
        fix.fix(&mut parts);
        assert_eq!(connect_info(&parts), Some("10.9.9.9:0"));
        assert_eq!(parts.extensions.get::<Origin>().unwrap().peer(), PROXY.parse().unwrap());
        assert_eq!(parts.extensions.get(), Some(&PROXY.parse::<Peer>().unwrap()));
    }
    // Another layer that rewrites addresses changes nothing, either.
    parts.extensions.insert(ConnectInfo("198.51.100.7:1".parse::<SocketAddr>().unwrap()));
    fix.fix(&mut parts);
    assert_eq!(connect_info(&parts), Some("10.9.9.9:0"));
}

/// A fix for a CDN, in front of one for proxies of our own that does not trust the CDN.
fn two_sets() -> impl Fix {
    let cdn = CustomProxyFix::builder(trust("192.0.2.0/24")).client("CF-Connecting-IP").build().unwrap();
    (cdn, everything())
}

#[test]
fn t14_a_client_that_was_found_stays_found() {
    let from_cdn = |value| see(&two_sets(), head("192.0.2.1", &[("CF-Connecting-IP", value)]));
    assert_eq!(from_cdn(b"203.0.113.9").who(), "203.0.113.9 client-found");
    assert_eq!(from_cdn(b"garbage").who(), "nobody malformed");
    assert_eq!(from_cdn(b"1.1.1.1, 203.0.113.9").who(), "nobody malformed");
    // Neither set holds the peer.
    assert_eq!(see(&two_sets(), head(ATTACKER, FORGED)).who(), "203.0.113.9 peer-untrusted");
}

#[test]
fn t14_a_proxy_that_any_fix_trusts_is_no_complete_client() {
    let stack = (everything(), CustomProxyFix::host(trust("192.0.2.0/24"), "X-FHost").unwrap());
    // Trusted by the first fix, by the second, by the first; the header is absent.
    for (fix, peer) in [(&two_sets() as &dyn Fix, "192.0.2.1"), (&two_sets(), PROXY), (&stack, PROXY)] {
        let seen = see(fix, head(peer, &[("X-Forwarded-Proto", b"https")]));
        assert!(!seen.origin().is_complete(), "{peer}: {}", seen.origin());
    }
}

#[test]
fn t14_a_later_fix_refines_what_it_reads() {
    let stack = (everything(), CustomProxyFix::host(trust("10.0.0.0/8"), "X-FHost").unwrap());
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"203.0.113.9"),
        ("X-Forwarded-Proto", b"https"),
        ("X-FHost", b"www.good.example"),
    ];
    see(&stack, head(PROXY, lines)).assert("203.0.113.9 client-found", "https://www.good.example");
    see(&stack, head(ATTACKER, lines)).assert("203.0.113.9 peer-untrusted", "http://good.example");
    // One fix may read headers of both kinds.
    let fix = CustomProxyFix::builder(trust("10.0.0.0/8"))
        .client("CF-Connecting-IP")
        .scheme("X-Forwarded-Proto")
        .build()
        .unwrap();
    let lines: Lines<'_> = &[("CF-Connecting-IP", b"203.0.113.9"), ("X-Forwarded-Proto", b"https")];
    see(&fix, head(PROXY, lines)).assert("203.0.113.9 client-found", "https://good.example");
}

#[test]
fn t15_no_header_is_left_that_says_something_else() {
    let fix = ProxyFix::new(trust("10.0.0.0/8"));
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"203.0.113.9"),
        ("X-Forwarded-Host", b"evil.example"),
        ("Forwarded", b"host=evil.example"),
        ("X-Real-IP", b"127.0.0.1"),
        ("X_Forwarded_Host", b"evil.example"),
        ("X-Request-Id", b"7"),
    ];
    let seen = see(&fix, head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.left(), ["host", "x-request-id"]);
    assert_eq!(seen.header("host"), Some("good.example"));
}

#[test]
fn t16_fields_that_nobody_asked_for_are_not_read() {
    let fix = ProxyFix::new(trust("10.0.0.0/8"));
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"203.0.113.9"),
        ("X-Forwarded-Proto", b"https"),
        ("X-Forwarded-Host", b"evil.example"),
        ("X-Forwarded-Port", b"1"),
        ("X-Forwarded-Prefix", b"//evil.example"),
    ];
    let seen = see(&fix, head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "https://good.example");
    assert_eq!(seen.left(), ["host"]);
}

#[test]
fn t17_an_address_that_nobody_validated_is_no_peer() {
    // An acceptor that cannot vouch for the address hands over the unknown peer.
    let mut parts = head("", &[("X-Forwarded-For", b"127.0.0.1")]);
    parts.extensions.insert(Peer::unknown());
    see(&everything(), parts).assert("nobody peer-unknown", "http://good.example");
}

#[test]
fn t18_the_source_of_a_proxy_protocol_header_is_the_peer() {
    // The acceptor hands over 203.0.113.9, not the balancer; the rest came from the client.
    let seen = see(&everything(), head("203.0.113.9:51515", &[("X-Forwarded-For", b"127.0.0.1")]));
    seen.assert("203.0.113.9 peer-untrusted", "http://good.example");
}

#[test]
fn t19_a_request_dispatched_again_keeps_its_decision_or_has_no_peer() {
    let lines: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Host", b"www.good.example")];
    let first = see(&everything(), head(PROXY, lines));
    let again = see(&everything(), first.0.clone());
    assert_eq!(snapshot(&again.0), snapshot(&first.0));

    let evil: Lines<'_> = &[("X-Forwarded-For", b"127.0.0.1"), ("X-Forwarded-Host", b"evil.example")];
    see(&everything(), head("", evil)).assert("nobody peer-unknown", "http://good.example");
    see(&everything(), head("127.0.0.1", evil)).assert("127.0.0.1 peer-untrusted", "http://good.example");
}

#[test]
fn t19_headers_that_come_back_do_not_change_the_decision() {
    let fix = everything();
    let mut parts = head(PROXY, &[("X-Forwarded-For", b"203.0.113.9")]);
    fix.fix(&mut parts);
    parts.headers.insert("x-forwarded-for", HeaderValue::from_static("198.51.100.7"));
    parts.headers.insert("x-forwarded-host", HeaderValue::from_static("evil.example"));
    see(&fix, parts).assert("203.0.113.9 client-found", "http://good.example");
}

// B. The chain.

#[test]
fn t20_the_client_is_the_first_untrusted_address_from_the_right() {
    assert_chain(&[b"198.51.100.7, 203.0.113.9"], "203.0.113.9 client-found");
    assert_chain(&[b"127.0.0.1, 203.0.113.9, 10.0.0.8, 10.0.0.7"], "203.0.113.9 client-found");
}

#[test]
fn t21_t22_all_lines_are_one_list() {
    assert_chain(&[b"127.0.0.1", b"203.0.113.9"], "203.0.113.9 client-found");
    assert_chain(&[b"203.0.113.9, 10.0.0.7", b"10.0.0.8"], "203.0.113.9 client-found");
    assert_chain(&[b"127.0.0.1", b"203.0.113.9", b"10.0.0.7", b"10.0.0.8"], "203.0.113.9 client-found");
}

#[test]
fn t23_an_empty_entry_is_a_hop_that_said_nothing() {
    assert_chain(&[b", ,203.0.113.9"], "203.0.113.9 client-found");
    assert_chain(&[b"203.0.113.9,"], "nobody empty");
    assert_chain(&[b"203.0.113.9", b""], "nobody empty");
    assert_chain(&[b"203.0.113.9,,10.0.0.7"], "nobody empty");
    let blank: [&[&[u8]]; 5] = [&[], &[b""], &[b" \t "], &[b" ,, ,"], &[b"", b","]];
    for nothing in blank {
        assert_chain(nothing, "10.0.0.2 header-absent");
    }
    let any = TrustedProxies::dangerously_trust_every_peer();
    let fix = ProxyFix::builder(any).x_for(2).build().unwrap();
    for line in [&b"198.51.100.7,,203.0.113.9"[..], b"198.51.100.7, 203.0.113.9,"] {
        assert_eq!(see(&fix, head(PROXY, &[("X-Forwarded-For", line)])).who(), "nobody empty");
    }
}

#[test]
fn t24_only_space_and_tab_around_an_entry_are_white_space() {
    assert_chain(&[b"\t 203.0.113.9 \t"], "203.0.113.9 client-found");
    assert_chain(&[b"127.0.0.1 \t,\t 203.0.113.9"], "203.0.113.9 client-found");
    assert_nobody(
        &[b"203.0.113 .9", b"203.0.113.9\xc2\xa0", b"\xe2\x80\x80203.0.113.9", b"203.0.113.9\x85"],
        Ending::Malformed,
    );
}

#[test]
fn t25_a_quote_swallows_nothing() {
    assert_chain(&[b"\"198.51.100.7, 203.0.113.9"], "203.0.113.9 client-found");
    assert_nobody(&[b"\"203.0.113.9\"", b"203.0.113.9\""], Ending::Malformed);
    // In `Forwarded`, where there are quoted strings, one that was left open on the left (T55) ends
    // where the proxy's own element begins.
    let seen = see(&forwarded(), head(PROXY, &[("Forwarded", b"for=\"x, for=203.0.113.9")]));
    seen.assert("203.0.113.9 client-found", "http://good.example");
}

#[test]
fn t26_a_bad_byte_spoils_its_own_entry_only() {
    assert_chain(&[b"1.1.1.1\xff, 203.0.113.9"], "203.0.113.9 client-found");
    assert_chain(&[b"\xff\xfe\x80", b"203.0.113.9, 10.0.0.7"], "203.0.113.9 client-found");
    assert_chain(&[b"203.0.113.9, 10.0.0.7\xff"], "nobody malformed");
    let seen = see(&forwarded(), head(PROXY, &[("Forwarded", b"for=1.1.1.1\xff, for=203.0.113.9")]));
    assert_eq!(seen.who(), "203.0.113.9 client-found");
}

#[test]
fn t27_a_garbage_entry_ends_the_walk() {
    for (line, last_verified) in
        [(&b"203.0.113.9, garbage"[..], PROXY), (b"1.1.1.1, oops, 10.0.0.7", "10.0.0.7")]
    {
        let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", line)]));
        seen.assert("nobody malformed", "http://good.example");
        assert_eq!(seen.origin().last_verified(), last_verified.parse().unwrap());
    }
    let mut parts = head("", &[("X-Forwarded-For", b"203.0.113.9, garbage")]);
    parts.extensions.insert(ConnectInfo(PROXY.parse::<SocketAddr>().unwrap()));
    ConnectInfoFix(everything()).fix(&mut parts);
    assert_eq!(connect_info(&parts), None, "the proxy is not the client");
}

#[test]
fn t28_placeholders_end_the_walk() {
    assert_nobody(
        &[b"unknown", b"UNKNOWN", b"unix:", b"hidden", b"-", b"(null)", b"_gazonk"],
        Ending::Opaque,
    );
}

#[test]
fn t29_ports_are_kept_apart_from_addresses() {
    for (entry, client, port) in [
        (&b"203.0.113.9:51515"[..], "203.0.113.9", Some(51515)),
        (b"[2001:db8::9]:51515", "2001:db8::9", Some(51515)),
        (b"[2001:db8::9]", "2001:db8::9", None),
        (b"2001:db8::9", "2001:db8::9", None),
        (b"203.0.113.9:0", "203.0.113.9", None),
    ] {
        let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", entry)]));
        assert_eq!(seen.origin().client(), client.parse().ok());
        assert_eq!(seen.origin().client_port(), port);
    }
    // Trust does not look at ports.
    assert_chain(&[b"203.0.113.9, 10.0.0.7:443, [::ffff:10.0.0.8]:443"], "203.0.113.9 client-found");
}

#[test]
fn t30_two_colons_without_brackets_are_a_plain_address() {
    assert_chain(&[b"2001:db8::9:443"], "2001:db8::9:443 client-found");
    let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", b"2001:db8::9:443")]));
    assert_eq!(seen.origin().client_port(), None);
}

#[test]
fn t31_brackets_and_suffixes_have_to_be_right() {
    assert_nobody(
        &[
            b"[203.0.113.9]",
            b"[2001:db8::9",
            b"2001:db8::9]",
            b"[[2001:db8::9]]",
            b"[2001:db8::9]x",
            b"[2001:db8::9]:",
            b"203.0.113.9:",
            b"203.0.113.9:99999",
            b"203.0.113.9:080",
            b"203.0.113.9:+80",
            b"203.0.113.9:https",
        ],
        Ending::Malformed,
    );
}

#[test]
fn t32_a_payload_is_never_a_client() {
    for payload in
        [&b"<script>alert(1)</script>"[..], b"${jndi:ldap://evil.example/a}", b"'; DROP TABLE x; --"]
    {
        let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", payload)]));
        assert_eq!(seen.who(), "nobody malformed");
        // Nor does the explanation repeat it.
        let told = format!("{} {:?}", seen.origin(), seen.origin());
        assert!(!told.contains(std::str::from_utf8(payload).unwrap()), "{told}");
    }
}

#[test]
fn t33_the_comma_is_the_only_separator() {
    for line in
        [&b"127.0.0.1; 203.0.113.9"[..], b"127.0.0.1 203.0.113.9", b"127.0.0.1\xef\xbc\x8c203.0.113.9"]
    {
        assert_chain(&[line], "nobody malformed");
    }
}

#[test]
fn t34_a_single_header_with_several_values_names_nobody() {
    let family = ProxyFix::builder(trust("10.0.0.0/8")).family(Family::Single("X-Real-IP".into()));
    let family = family.build().unwrap();
    let fixes: [&dyn Fix; 2] = [&family, &custom()];
    let several: [Lines<'_>; 4] = [
        &[("X-Real-IP", b"127.0.0.1, 203.0.113.9")],
        &[("X-Real-IP", b"127.0.0.1"), ("X-Real-IP", b"203.0.113.9")],
        &[("X-Real-IP", b"203.0.113.9"), ("X-Real-IP", b"203.0.113.9")],
        &[("X-Real-IP", b"203.0.113.9,")],
    ];
    for fix in fixes {
        for lines in several {
            see(fix, head(PROXY, lines)).assert("nobody malformed", "http://good.example");
        }
        see(fix, head(PROXY, &[("X-Real-IP", b"203.0.113.9")]))
            .assert("203.0.113.9 client-found", "http://good.example");
    }
    let seen =
        see(&custom(), head(PROXY, &[("X-Real-IP", b"203.0.113.9"), ("X-FHost", b"a.example, b.example")]));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.origin().outcome(Field::Host), Outcome::Refused(Refusal::Multiple));
}

#[test]
fn t35_there_is_no_second_header_to_fall_back_to() {
    let lines: Lines<'_> = &[
        ("X-Real-IP", b"127.0.0.1"),
        ("CF-Connecting-IP", b"127.0.0.1"),
        ("True-Client-IP", b"127.0.0.1"),
        ("Client-IP", b"127.0.0.1"),
        ("Forwarded", b"for=127.0.0.1;proto=https"),
    ];
    // A trusted peer without the header speaks for itself, in logs; it is not complete.
    let seen = see(&everything(), head(PROXY, lines));
    seen.assert("10.0.0.2 header-absent", "http://good.example");
    assert!(!seen.origin().is_complete());
    assert_eq!(seen.left(), ["host"]);
    let lines: Lines<'_> = &[("X-Forwarded-For", b"127.0.0.1"), ("X-Forwarded-Proto", b"https")];
    for fix in [&forwarded() as &dyn Fix, &custom()] {
        see(fix, head(PROXY, lines)).assert("10.0.0.2 header-absent", "http://good.example");
    }
}

#[test]
fn t36_headers_that_contradict_each_other_are_no_error() {
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"203.0.113.9"),
        ("Client-IP", b"10.0.0.1"),
        ("X-Client-IP", b"10.0.0.1"),
        ("X-Cluster-Client-IP", b"\xff"),
    ];
    let seen = see(&everything(), head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.left(), ["host"]);
}

#[test]
fn t37_length_on_the_left_is_no_matter_and_on_the_right_ends_the_walk() {
    // A guard answers 431 above a limit of bytes; the fix answers the same with or without one.
    let forged = b"198.51.100.7,".repeat(40_000);
    assert_chain(&[&[&forged[..], b" 203.0.113.9"].concat()], "203.0.113.9 client-found");
    assert_chain(&[&[&b"x".repeat(320_000)[..], b",203.0.113.9"].concat()], "203.0.113.9 client-found");
    assert_chain(&[&b",".repeat(320_000), b"203.0.113.9"], "203.0.113.9 client-found");
    assert_chain(&[&b"x".repeat(320_000)], "nobody too-long");
    assert_chain(&[&[b"203.0.113.9,", &b" ".repeat(320_000)[..]].concat()], "nobody empty");
    // 32 hops are examined, not one more.
    let behind = |hops: usize| [b"203.0.113.9", &b", 10.0.0.7".repeat(hops)[..]].concat();
    assert_chain(&[&behind(31)], "203.0.113.9 client-found");
    assert_chain(&[&behind(32)], "nobody too-long");
    assert_chain(&[&behind(40_000)], "nobody too-long");
}

#[test]
fn t38_many_lines_are_one_list_too() {
    for forged in [98, 5_000] {
        let mut lines = vec![&b"198.51.100.7"[..]; forged];
        lines.push(b"203.0.113.9");
        assert_chain(&lines, "203.0.113.9 client-found");
        let mut lines = vec![&b"203.0.113.9"[..]];
        lines.extend(vec![&b"10.0.0.7"[..]; forged]);
        assert_chain(&lines, "nobody too-long");
    }
}

#[tokio::test]
async fn t39_trailers_are_no_headers() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
    trailers.insert("x-forwarded-host", HeaderValue::from_static("evil.example"));
    let sent = trailers.clone();
    let body = Full::new(&b"body"[..]).with_trailers(std::future::ready(Some(Ok::<_, Infallible>(sent))));
    let lines: Lines<'_> = &[("Trailer", b"X-Forwarded-For"), ("X-Forwarded-For", b"203.0.113.9")];

    let service = Fixed::new(
        everything(),
        service_fn(|request: Request<_>| async {
            let (parts, body) = request.into_parts();
            Ok::<_, Infallible>((parts, BodyExt::collect(body).await?))
        }),
    );
    let request = Request::from_parts(head(PROXY, lines), body);
    let (parts, collected) = service.oneshot(request).await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers), "the body passes untouched");
    see(&everything(), parts).assert("203.0.113.9 client-found", "http://good.example");
}

// C. Addresses and networks.

#[test]
fn t40_a_mapped_peer_is_its_ipv4_address() {
    let seen = see(&everything(), head("[::ffff:10.0.0.2]:40000", &[("X-Forwarded-For", b"203.0.113.9")]));
    assert_eq!(seen.who(), "203.0.113.9 client-found");
    let seen = see(&everything(), head("[::ffff:203.0.113.9]:51515", FORGED));
    assert_eq!(seen.who(), "203.0.113.9 peer-untrusted");
}

#[test]
fn t41_a_mapped_entry_is_its_ipv4_address() {
    for entry in [&b"::ffff:198.51.100.7"[..], b"::FFFF:C633:6407", b"[::ffff:198.51.100.7]:80"] {
        assert_chain(&[entry], "198.51.100.7 client-found");
    }
    assert_chain(&[b"203.0.113.9, ::ffff:10.0.0.7"], "203.0.113.9 client-found");
}

#[test]
fn t42_a_mapped_network_is_its_ipv4_network() {
    let fix = ProxyFix::new(trust("::ffff:10.0.0.0/104"));
    assert_eq!(
        see(&fix, head(PROXY, &[("X-Forwarded-For", b"203.0.113.9")])).who(),
        "203.0.113.9 client-found"
    );
    for text in ["::/1", "::ffff:0:0/95", "::/80"] {
        assert!(text.parse::<TrustedProxies>().is_err(), "{text}");
    }
}

#[test]
fn t43_other_embedded_addresses_are_ordinary_ipv6() {
    for (entry, client) in [
        (&b"::10.0.0.2"[..], "::10.0.0.2"),
        (b"64:ff9b::10.0.0.2", "64:ff9b::a00:2"),
        (b"2002:0a00:0002::1", "2002:a00:2::1"),
    ] {
        let client: IpAddr = client.parse().unwrap();
        assert_chain(&[&[b"127.0.0.1, ", entry].concat()], &format!("{client} client-found"));
    }
}

#[test]
fn t44_zones_are_malformed() {
    assert_nobody(
        &[b"fe80::1%eth0", b"fe80::1%25eth0", b"[fe80::1%eth0]", b"[2001:db8::9%1]:80"],
        Ending::Malformed,
    );
    let seen = see(&forwarded(), head(PROXY, &[("Forwarded", b"for=\"[fe80::1%25eth0]\"")]));
    assert_eq!(seen.who(), "nobody malformed");
    assert_off(Field::Host, &[b"[fe80::1%25eth0]", b"[fe80::1%eth0]"]);
    assert!("fe80::1%eth0".parse::<TrustedProxies>().is_err());
    // The scope of a socket address is no part of who is connected.
    let fix = ProxyFix::new(trust("link-local"));
    let seen = see(&fix, head("[fe80::1%3]:40000", &[("X-Forwarded-For", b"203.0.113.9")]));
    assert_eq!(seen.who(), "203.0.113.9 client-found");
}

#[test]
fn t45_t46_t47_an_address_is_written_in_one_way() {
    assert_nobody(
        &[
            b"010.0.0.2",
            b"203.000.113.009",
            b"0x0a.0.0.2",
            b"0x0a000002",
            b"10.2",
            b"10.0.2",
            b"167772162",
            b"10.0.0.256",
            b"999.1.1.1",
            b"10.0.0.2.",
            b"10.0.0.2%00",
            b"10.0.0.2/8",
            b"10.0.0.2#",
            b"+10.0.0.2",
            b"1::2::3",
            b"12345::",
            b"::ffff:010.0.0.1",
        ],
        Ending::Malformed,
    );
}

/// Asserts which of `entries` `network` holds: a trusted entry passes on to the one on its left.
#[track_caller]
fn assert_members(network: &str, inside: &[&str], outside: &[&str]) {
    let fix = ProxyFix::new(trust(&format!("192.0.2.1, {network}")));
    for (entries, trusted) in [(inside, true), (outside, false)] {
        for entry in entries {
            let line = format!("198.51.100.7, {entry}");
            let seen = see(&fix, head("192.0.2.1", &[("X-Forwarded-For", line.as_bytes())]));
            let client = if trusted { "198.51.100.7" } else { entry };
            assert_eq!(seen.origin().client(), client.parse().ok(), "{entry} in {network}");
        }
    }
}

#[test]
fn t48_addresses_are_compared_by_number() {
    assert_members(
        "2001:db8::9, 10.0.0.1",
        &["2001:DB8:0:0:0:0:0:9", "2001:db8::0009", "10.0.0.1"],
        &["10.0.0.10", "110.0.0.1", "2001:db8::90"],
    );
}

#[test]
fn t49_membership_is_exact_at_both_edges() {
    assert_members("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"], &["9.255.255.255", "11.0.0.0", "::a00:1"]);
    assert_members("203.0.113.8/31", &["203.0.113.8", "203.0.113.9"], &["203.0.113.7", "203.0.113.10"]);
    assert_members("203.0.113.9/32", &["203.0.113.9"], &["203.0.113.8", "203.0.113.10"]);
    assert_members("2001:db8::/127", &["2001:db8::", "2001:db8::1"], &["2001:db8::2"]);
    assert_members("2001:db8::9/128", &["2001:db8::9"], &["2001:db8::8", "203.0.113.9"]);
    assert_members("128.0.0.0/1", &["128.0.0.0", "255.255.255.255"], &["126.0.0.1", "8000::1"]);
    assert_members("8000::/1", &["8000::", "ffff::1"], &["7fff::1", "128.0.0.1"]);
}

// E. Host, port and scheme.

#[test]
fn t69_a_host_is_believed_from_a_trusted_peer_that_was_asked_for_it() {
    // Whether evil.example is a host of ours is for an allow-list to say, which is the guard's.
    let lines: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Host", b"evil.example")];
    see(&everything(), head(PROXY, lines)).assert("203.0.113.9 client-found", "http://evil.example");
    see(&everything(), head(ATTACKER, lines)).assert("203.0.113.9 peer-untrusted", "http://good.example");
    let fix = ProxyFix::new(trust("10.0.0.0/8"));
    see(&fix, head(PROXY, lines)).assert("203.0.113.9 client-found", "http://good.example");
    assert_asked(Version::HTTP_11, "/", &[b"evil.example"], ("http://evil.example", "evil.example", "/"));
}

#[test]
fn t70_userinfo_is_never_part_of_a_host() {
    let hosts: [&[u8]; 3] =
        [b"good.example@evil.example", b"good.example:80@evil.example", b"good@evil.example"];
    assert_off(Field::Host, &hosts);
    assert_no_host(&hosts, &["good@evil.example", "good.example:80@evil.example", "@evil.example"]);
    // The port of a refused host is refused with it.
    assert_url(&[("X-Forwarded-Host", hosts[0]), ("X-Forwarded-Port", b"8443")], "http://good.example");
}

#[test]
fn t71_delimiters_are_never_part_of_a_host() {
    let hosts: [&[u8]; 14] = [
        b"good.example/admin?x=",
        b"good.example#",
        b"good.example?",
        b"evil.example\\good.example",
        b"a,b",
        b"a;b",
        b"a'b",
        b"a b",
        b"<b>",
        b"{b}",
        b"a_b",
        b"-a.example",
        b"a%b",
        b"good.example\t:80",
    ];
    assert_off(Field::Host, &hosts);
    assert_no_host(&hosts, &["a;b", "a,b", "a'b", "a_b", "-a.example"]);
    assert_off(Field::Host, &[b""]);
    assert_no_host(&[b""], &[]);
}

#[test]
fn t72_several_hosts_count_only_beside_as_many_hops() {
    let received = "http://good.example";
    let one: [Lines<'_>; 3] = [
        &[("X-Forwarded-Host", b"evil.example, www.good.example")],
        &[("X-Forwarded-Host", b"evil.example"), ("X-Forwarded-Host", b"www.good.example")],
        &[("X-Forwarded-Host", b"evil.example, www.good.example"), ("X-Forwarded-Port", b"8443")],
    ];
    for lines in one {
        assert_url(lines, received);
    }
    for (chain, hosts, url) in [
        (&b"127.0.0.1, 203.0.113.9"[..], &b"evil.example, www.good.example"[..], "http://www.good.example"),
        (b"203.0.113.9, 10.0.0.7", b"www.good.example, inner.example", "http://www.good.example"),
        // What the client put in front of the chain does not unsettle what two proxies wrote.
        (b"127.0.0.1, 203.0.113.9, 10.0.0.7", b"www.good.example, inner.example", "http://www.good.example"),
        (b"203.0.113.9, 10.0.0.7", b"evil.example, www.good.example, inner.example", received),
        (b"203.0.113.9, 10.0.0.7", b"www.good.example, , inner.example", received),
        (b"203.0.113.9, 10.0.0.7", b", inner.example", received),
        (b"203.0.113.9, 10.0.0.7", b"www.good.example", "http://www.good.example"),
    ] {
        let lines = [("X-Forwarded-For", chain), ("X-Forwarded-Host", hosts)];
        see(&everything(), head(PROXY, &lines)).assert("203.0.113.9 client-found", url);
    }
    // A count is a position from the right.
    let count = |count| {
        let fix = ProxyFix::builder(trust("10.0.0.0/8")).x_for(2).x_host(count).build().unwrap();
        let lines: Lines<'_> = &[
            ("X-Forwarded-For", b"203.0.113.9, 10.0.0.7"),
            ("X-Forwarded-Host", b"evil.example, www.good.example, inner.example"),
        ];
        see(&fix, head(PROXY, lines)).url()
    };
    assert_eq!(count(1), "http://inner.example");
    assert_eq!(count(2), "http://www.good.example");
    assert_eq!(count(3), received);
}

#[test]
fn t73_only_what_is_a_host_gets_as_far_as_a_list_of_hosts() {
    // Whole labels are what a guard compares; a host that hides another behind a delimiter never
    // arrives there.
    assert_no_host(&[b"evil.example#.good.example", b".good.example", b"evil.example\\.good.example"], &[]);
    for host in ["notgood.example", "good.example.evil.example", "sub-good.example"] {
        assert_asked(Version::HTTP_11, "/", &[host.as_bytes()], (&format!("http://{host}"), host, "/"));
    }
}

#[test]
fn t74_case_and_one_trailing_dot_mean_nothing() {
    for host in [&b"GOOD.Example"[..], b"good.example.", b"GOOD.EXAMPLE.:80"] {
        for peer in [PROXY, ATTACKER] {
            assert_eq!(see(&everything(), get("/", peer, &[("Host", host)])).url(), "http://good.example");
        }
        assert_url(&[("X-Forwarded-Host", host)], "http://good.example");
    }
    // A believed host is written out in its normal form.
    let lines: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Host", b"WWW.Good.Example.")];
    assert_eq!(see(&everything(), head(PROXY, lines)).header("host"), Some("www.good.example"));
    assert_off(Field::Host, &[b"good.example..", b"www..good.example", b"."]);
    assert_no_host(&[b"good.example..", b"."], &["good.example..", "."]);
}

#[test]
fn t75_hosts_are_ascii_and_not_decoded() {
    assert_off(Field::Host, &[b"g\xc3\xb6od.example", b"g\xf6od.example", b"good%2eexample"]);
    assert_no_host(&[b"g\xc3\xb6od.example", b"g\xf6od.example", b"good%2eexample"], &[]);
    assert_url(&[("X-Forwarded-Host", b"xn--gd-fka.example")], "http://xn--gd-fka.example");
}

#[test]
fn t76_a_bad_port_refuses_the_host() {
    let hosts: [&[u8]; 8] = [
        b"good.example:99999",
        b"good.example:",
        b"good.example:80:90",
        b":80",
        b"good.example:0",
        b"good.example:080",
        b"good.example:+80",
        b"good.example:http",
    ];
    assert_off(Field::Host, &hosts);
    assert_no_host(
        &hosts,
        &["good.example:99999", "good.example:", ":80", "good.example:0", "good.example:080"],
    );
}

#[test]
fn t77_ipv6_has_brackets_and_brackets_have_ipv6() {
    assert_url(&[("X-Forwarded-Host", b"::1"), ("X-Forwarded-Port", b"443")], "http://good.example");
    let lines: Lines<'_> = &[
        ("X-Forwarded-Host", b"[2001:DB8::0:9]"),
        ("X-Forwarded-Port", b"443"),
        ("X-Forwarded-Proto", b"https"),
    ];
    assert_url(lines, "https://[2001:db8::9]");
    assert_url(&[("X-Forwarded-Host", b"[2001:db8::9]:8443")], "http://[2001:db8::9]:8443");
    let hosts: [&[u8]; 8] =
        [b"::1", b"2001:db8::9", b"[::1]x", b"[zz]", b"[]", b"[203.0.113.9]", b"[::1", b"[[::1]]"];
    assert_off(Field::Host, &hosts);
    assert_no_host(&hosts, &["[::1]x", "[zz]", "[]"]);
    let asked = ("http://[2001:db8::9]:8080", "[2001:db8::9]:8080", "/");
    assert_asked(Version::HTTP_11, "/", &[b"[2001:db8::9]:8080"], asked);
}

#[test]
fn t78_a_bad_port_leaves_the_host() {
    let ports: [&[u8]; 10] = [
        b"443@evil.example",
        b"0",
        b"65536",
        b"80,443",
        b"-1",
        b"443/../",
        b"",
        b"080",
        b"4 43",
        b"\xd9\xa4\xd9\xa4\xd9\xa3",
    ];
    assert_off(Field::Port, &ports);
    for port in ports {
        let lines = [("X-Forwarded-Host", &b"www.good.example"[..]), ("X-Forwarded-Port", port)];
        assert_url(&lines, "http://www.good.example");
    }
}

#[test]
fn t79_a_port_that_contradicts_the_scheme_is_kept() {
    let lines: Lines<'_> = &[("X-Forwarded-Proto", b"https"), ("X-Forwarded-Port", b"80")];
    assert_url(lines, "https://good.example:80");
    assert_url(&[("X-Forwarded-Port", b"443")], "http://good.example:443");
    assert_url(&[("X-Forwarded-Port", b"80")], "http://good.example");
}

#[test]
fn t80_a_port_belongs_to_the_effective_host() {
    let lines: Lines<'_> = &[("X-Forwarded-Port", b"443"), ("X-Forwarded-Proto", b"https")];
    for (host, url, written) in [
        (&b"good.example:8080"[..], "https://good.example", Some("good.example")),
        (b"good@evil.example", "https://?", None),
    ] {
        let seen = see(&everything(), get("/", PROXY, &[&[("Host", host)], lines].concat()));
        assert_eq!((seen.url().as_str(), seen.header("host")), (url, written));
    }
    let seen = see(&everything(), get("/", PROXY, lines));
    assert_eq!((seen.url().as_str(), seen.header("host")), ("https://?", None));
    assert_eq!(seen.origin().outcome(Field::Port), Outcome::Refused(Refusal::WithoutHost));
}

#[test]
fn t81_two_host_lines_are_no_host() {
    // To answer 400 is the guard's; no fix picks one of them.
    for hosts in [[&b"good.example"[..], b"evil.example"], [b"good.example", b"good.example"]] {
        assert_asked(Version::HTTP_11, "/", &hosts, ("http://?", "-", "/"));
        assert_asked(Version::HTTP_11, "http://good.example/", &hosts, ("http://?", "-", "/"));
        assert_asked(Version::HTTP_2, "http://good.example/", &hosts, ("http://?", "-", "/"));
    }
    // A host that a trusted proxy states is one.
    let lines: Lines<'_> =
        &[("Host", b"good.example"), ("Host", b"evil.example"), ("X-Forwarded-Host", b"www.good.example")];
    assert_eq!(see(&everything(), get("/", PROXY, lines)).header("host"), Some("www.good.example"));
}

#[test]
fn t82_a_missing_host_is_not_made_up() {
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        assert_asked(version, "/", &[], ("http://?", "-", "/"));
    }
    let lines: Lines<'_> = &[("X-Forwarded-Host", b"evil.example"), ("X-Original-Host", b"evil.example")];
    let seen = see(&everything(), get("/", ATTACKER, lines));
    assert_eq!((seen.url().as_str(), seen.left()), ("http://?", vec![]));
}

#[test]
fn t83_two_authorities_that_differ_are_none() {
    let target = "http://good.example/x";
    for host in [&b"evil.example"[..], b"good.example:8080", b"good@evil.example", b"", b"good.example:"] {
        assert_asked(Version::HTTP_2, target, &[host], ("http://?", "-", "/x"));
    }
    assert_asked(Version::HTTP_2, "http://good.example:8443/", &[b"good.example"], ("http://?", "-", "/"));
    // One, or two that are the same: both views agree afterwards.
    assert_asked(Version::HTTP_2, target, &[], ("http://good.example", "good.example", target));
    assert_asked(Version::HTTP_2, "/x", &[b"good.example"], ("http://good.example", "good.example", "/x"));
    for host in [&b"good.example"[..], b"GOOD.example", b"good.example.", b"good.example:80"] {
        for peer in [PROXY, ATTACKER] {
            let mut parts = get(target, peer, &[("Host", host)]);
            parts.version = Version::HTTP_2;
            assert_eq!(see(&everything(), parts).url(), "http://good.example");
        }
    }
    let ipv6 = "http://[2001:db8::9]/";
    let mut parts = get(ipv6, ATTACKER, &[("Host", b"[2001:DB8:0::9]")]);
    parts.version = Version::HTTP_2;
    assert_eq!(see(&everything(), parts).url(), "http://[2001:db8::9]");
}

#[test]
fn t83_only_the_default_port_of_the_effective_scheme_may_be_left_out() {
    let target = "http://good.example:443/";
    assert_asked(Version::HTTP_2, target, &[b"good.example"], ("http://?", "-", "/"));
}

#[test]
fn t84_the_target_replaces_the_host() {
    let target = "http://good.example/x";
    for host in [&b"evil.example"[..], b"good@evil.example", b""] {
        assert_asked(Version::HTTP_11, target, &[host], ("http://good.example", "good.example", target));
    }
    assert_asked(Version::HTTP_11, target, &[], ("http://good.example", "good.example", target));
    // What a trusted proxy states replaces both.
    let lines: Lines<'_> =
        &[("Host", b"a.internal"), ("X-Forwarded-Host", b"good.example"), ("X-Forwarded-Proto", b"https")];
    let seen = see(&everything(), get("http://b.internal:8080/x?y", PROXY, lines));
    assert_eq!(seen.header("host"), Some("good.example"));
    assert_eq!(seen.0.uri, "https://good.example/x?y");
}

#[test]
fn t85_the_scheme_is_not_taken_from_the_target() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let expected = ("http://good.example", "good.example", "http://good.example/");
        assert_asked(version, "https://good.example/", &[b"good.example"], expected);
    }
    let lines: Lines<'_> = &[("X-Forwarded-Proto", b"https")];
    assert_eq!(see(&everything(), get("http://good.example/", PROXY, lines)).0.uri, "https://good.example/");
}

#[test]
fn t86_t87_several_schemes_count_only_beside_as_many_hops() {
    let several: [Lines<'_>; 4] = [
        &[("X-Forwarded-Proto", b"https,http")],
        &[("X-Forwarded-Proto", b"http,https")],
        &[("X-Forwarded-Proto", b"https"), ("X-Forwarded-Proto", b"http")],
        &[("X-Forwarded-Proto", b"http"), ("X-Forwarded-Proto", b"https")],
    ];
    for lines in several {
        assert_url(lines, "http://good.example");
    }
    for (chain, schemes, url) in [
        (&b"203.0.113.9, 10.0.0.7"[..], &b"https, http"[..], "https://good.example"),
        (b"127.0.0.1, 203.0.113.9", b"https, http", "http://good.example"),
        (b"203.0.113.9, garbage", b"https, https", "http://good.example"),
        (b"203.0.113.9, garbage", b"https", "https://good.example"),
    ] {
        let lines = [("X-Forwarded-For", chain), ("X-Forwarded-Proto", schemes)];
        assert_eq!(see(&everything(), head(PROXY, &lines)).url(), url, "{}", schemes.escape_ascii());
    }
}

#[test]
fn t88_only_http_and_https_are_schemes() {
    assert_off(
        Field::Proto,
        &[
            b"javascript",
            b"data",
            b"file",
            b"ftp",
            b"1http",
            b"https:",
            b"https://evil.example/?",
            b"",
            b"ws",
            b"wss",
            b"https\xff",
            b"\"https\"",
        ],
    );
    assert_url(&[("X-Forwarded-Proto", b"HtTpS")], "https://good.example");
    for element in [&b"for=203.0.113.9;proto=\"java\\script\""[..], b"for=203.0.113.9;proto=javascript"] {
        let seen = see(&forwarded(), head(PROXY, &[("Forwarded", element)]));
        seen.assert("203.0.113.9 client-found", "http://good.example");
    }
}

#[test]
fn t89_a_trusted_scheme_is_stronger_than_the_connection() {
    for (peer, scheme, url) in [
        (PROXY, &b"http"[..], "http://good.example"),
        (PROXY, b"javascript", "https://good.example"),
        (ATTACKER, b"http", "https://good.example"),
    ] {
        let mut parts = head(peer, &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Proto", scheme)]);
        parts.extensions.insert(Scheme::Https);
        assert_eq!(see(&everything(), parts).url(), url);
    }
}

#[test]
fn t90_other_scheme_headers_are_read_by_name_only() {
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"203.0.113.9"),
        ("X-Forwarded-Ssl", b"on"),
        ("Front-End-Https", b"on"),
        ("X-Url-Scheme", b"https"),
        ("X-Forwarded-Protocol", b"ssl"),
        ("X-Forwarded-Scheme", b"https"),
    ];
    let seen = see(&everything(), head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.left(), ["host"]);

    let trusted = trust("10.0.0.0/8");
    let fix = CustomProxyFix::builder(trusted).https_when("X-Forwarded-Protocol", "ssl").build().unwrap();
    for (value, scheme) in [
        (&b"ssl"[..], "https"),
        (b"SSL", "http"),
        (b"sslx", "http"),
        (b"ssl, ssl", "http"),
        (b"https", "http"),
    ] {
        let seen = see(&fix, head(PROXY, &[("X-Forwarded-Protocol", value)]));
        assert_eq!(seen.origin().scheme().as_str(), scheme, "{}", value.escape_ascii());
    }
    let seen = see(&fix, head(ATTACKER, &[("X-Forwarded-Protocol", b"ssl")]));
    assert_eq!(seen.origin().scheme(), Scheme::Http);
}

#[test]
fn t91_nothing_that_poisons_a_cache_is_published() {
    let lines: Lines<'_> = &[
        ("X-Forwarded-Host", b"evil.example"),
        ("X-Forwarded-Scheme", b"https"),
        ("X-Forwarded-Port", b"1"),
        ("X-Forwarded-Prefix", b"/x"),
    ];
    let seen = see(&everything(), head(ATTACKER, lines));
    seen.assert("203.0.113.9 peer-untrusted", "http://good.example");
    assert_eq!(seen.left(), ["host"]);
    // Shared caches key on the effective origin; a refusal is not kept, and repeats nothing.
    for rejection in [
        Rejection::ClientUnknown(Ending::Malformed),
        Rejection::HostUnknown,
        Rejection::NoPeer,
        Rejection::NoFix,
    ] {
        let response: Response<_> = rejection.into_response();
        assert_eq!(response.headers()["cache-control"], "no-store", "{rejection}");
    }
}

#[test]
fn t92_targets_without_a_path_are_left_alone() {
    let absolute = ProxyFix::builder(trust("10.0.0.0/8")).host().prefix().absolute_uri().build().unwrap();
    let stripper = ScriptNameStripper::to("/sub".parse().unwrap());
    let fix = (absolute, custom(), stripper, root_at("/sub"), LighttpdCgiRootFix::new());
    for (method, target) in [(Method::OPTIONS, "*"), (Method::CONNECT, "evil.example:443")] {
        for peer in [PROXY, ATTACKER] {
            let mut parts = head(
                peer,
                &[
                    ("X-Forwarded-For", b"203.0.113.9"),
                    ("X-Forwarded-Host", b"www.good.example"),
                    ("X-Forwarded-Prefix", b"/app"),
                ],
            );
            (parts.method, parts.uri) = (method.clone(), target.parse().unwrap());
            let seen = see(&fix, parts);
            assert_eq!(seen.0.uri, target);
            let host = if peer == PROXY { "www.good.example" } else { "good.example" };
            assert_eq!(seen.header("host"), Some(host));
        }
    }
}

#[test]
fn t92_a_websocket_over_http2_has_a_host() {
    let lines: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Host", b"good.example")];
    let connect = |target: &str, peer, lines| {
        let mut parts = get(target, peer, lines);
        (parts.method, parts.version) = (Method::CONNECT, Version::HTTP_2);
        everything().fix(&mut parts);
        (Seen(parts.clone()).url(), parts.uri.to_string())
    };
    let expect = |url: &str, target: &str| (url.to_owned(), target.to_owned());
    let fixed = expect("http://good.example", "http://good.example/chat");
    assert_eq!(connect("https://internal.example/chat", PROXY, lines), fixed);
    assert_eq!(connect("https://good.example/chat", ATTACKER, &[]), fixed);
    assert_eq!(connect("https://good@evil.example/chat", ATTACKER, &[]), expect("http://?", "/chat"));
}

// F. Prefix and path.

#[test]
fn t93_a_prefix_names_no_other_host() {
    assert_off(Field::Prefix, &[b"//evil.example", b"///evil.example", b"//"]);
}

#[test]
fn t94_a_prefix_has_no_backslash() {
    assert_off(Field::Prefix, &[b"/\\evil.example", b"/app\\..", b"\\app"]);
}

#[test]
fn t95_a_prefix_is_neither_absolute_nor_relative() {
    assert_off(Field::Prefix, &[b"https://evil.example/", b"app", b"javascript:alert(1)", b"?", b"*"]);
}

#[test]
fn t96_a_prefix_has_no_dot_segments() {
    assert_off(Field::Prefix, &[b"/..", b"/app/../admin", b"/app/.", b"/../", b"/./app"]);
    assert_url(&[("X-Forwarded-Prefix", b"/...")], "http://good.example/...");
}

#[test]
fn t97_a_prefix_has_no_controls() {
    assert_off(Field::Prefix, &[b"/app%0d%0aSet-Cookie:%20a=b", b"/app%00", b"/a\tb", b"/a%7f"]);
    assert!("/app\r\nX: y".parse::<Prefix>().is_err());
    assert!(Mount::from_script_name(b"/app\r\nX: y").unwrap().prefix().is_root());
}

#[test]
fn t98_a_prefix_escapes_only_what_has_to_be_escaped() {
    let refused: [&[u8]; 11] = [
        b"/app%2f..%2fadmin",
        b"/app%zz",
        b"/app%",
        b"/app%4",
        b"/%41",
        b"/%2e%2e",
        b"/%C3",
        b"/%C0%AF",
        b"/%ED%A0%80",
        b"/caf\xc3\xa9",
        b"/%c3%28",
    ];
    assert_off(Field::Prefix, &refused);
    assert_url(&[("X-Forwarded-Prefix", b"/caf%C3%A9")], "http://good.example/caf%C3%A9");
}

#[test]
fn t99_a_prefix_has_no_separators() {
    assert_off(
        Field::Prefix,
        &[b"/app;Domain=evil.example", b"/a, /b", b"/a,/a", b"/a\"b", b"/a b", b"/a?b"],
    );
    let lines: Lines<'_> =
        &[("X-Forwarded-For", b"203.0.113.9, 10.0.0.7"), ("X-Forwarded-Prefix", b"/a, /b")];
    assert_eq!(see(&everything(), head(PROXY, lines)).mount(), "/a");
}

#[test]
fn t100_one_trailing_slash_is_removed_from_a_prefix() {
    assert_url(&[("X-Forwarded-Prefix", b"/app/")], "http://good.example/app");
    assert_url(&[("X-Forwarded-Prefix", b"/")], "http://good.example");
    assert_off(Field::Prefix, &[b"/app//v1", b"/app//"]);
}

#[test]
fn t101_a_prefix_is_not_longer_than_1024_bytes() {
    let long = |length: usize| [b"/", &b"a".repeat(length - 1)[..]].concat();
    assert_off(Field::Prefix, &[&long(1025), &long(4097), &long(60_000)]);
    let seen = see(&everything(), head(PROXY, &[("X-Forwarded-Prefix", &long(1024))]));
    assert_eq!(seen.mount().len(), 1024);
}

#[test]
fn t102_a_path_is_split_between_segments_only() {
    assert_mounted(&root_at("/app"), b"", "/application/admin", ("", "/application/admin"));
    assert_mounted(&root_at("/app"), b"/application", "/admin", ("/application", "/admin"));
    assert_mounted(&root_at("/app"), b"/app", "/admin", ("/app", "/admin"));
    assert_mounted(&root_at("/app"), b"/a", "/pp/admin", ("/a", "/pp/admin"));
    // The stripper does not touch the path, whatever it begins with.
    assert_mounted(&ScriptNameStripper::new(), b"/app", "/application/admin", ("", "/application/admin"));
}

#[test]
fn t103_a_split_exposes_no_double_slash() {
    assert_mounted(&root_at("/app"), b"", "/app//evil.example/x", ("/app", "/evil.example/x"));
    assert_mounted(&root_at("/app"), b"/app///evil.example/x", "", ("/app", "/evil.example/x"));
    // A path that is not rewritten is left alone.
    assert_mounted(&root_at("/app"), b"/app", "//evil.example/x", ("/app", "//evil.example/x"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"", "//evil.example/x", ("", "//evil.example/x"));
}

#[test]
fn t104_a_path_begins_with_a_slash() {
    assert_mounted(&root_at("/app"), b"", "/app", ("/app", "/"));
    assert_mounted(&root_at("/app"), b"", "/app?x=1", ("/app", "/?x=1"));
    assert_mounted(&root_at("/app"), b"/app", "", ("/app", "/"));
    assert_mounted(&ScriptNameStripper::new(), b"/app", "", ("", "/"));
    assert_mounted(&ScriptNameStripper::to("/sub".parse().unwrap()), b"/app", "/?x=1", ("/sub", "/?x=1"));
}

#[test]
fn t105_the_kept_part_of_a_path_keeps_its_bytes() {
    for path in ["/%61dmin/%2e%2E/..%2f;a=b", "/caf%c3%a9/caf%C3%A9", "/a%20b+c//d/./e", "/%zz"] {
        assert_mounted(
            &root_at("/app"),
            b"",
            &format!("/app{path}?%61=1"),
            ("/app", &format!("{path}?%61=1")),
        );
        assert_mounted(&LighttpdCgiRootFix::new(), b"/app", path, ("", &format!("/app{path}")));
        assert_mounted(&ScriptNameStripper::new(), b"/app", path, ("", path));
    }
    // Escapes are not undone to find the root.
    assert_mounted(&root_at("/app"), b"", "/%61pp/x", ("", "/%61pp/x"));
}

#[test]
fn t105_a_trailing_slash_is_kept() {
    // Apache mod_proxy_fcgi, mod_proxy_scgi, nginx with stock parameters and HAProxy say this of
    // `GET /foo/`: everything is script name.
    assert_mounted(&LighttpdCgiRootFix::new(), b"/foo/", "", ("", "/foo/"));
    assert_mounted(&root_at("/app"), b"/app/", "", ("/app", "/"));
    // mod_proxy_uwsgi, of `GET /foo/`.
    assert_mounted(&LighttpdCgiRootFix::new(), b"/foo/", "/", ("", "/foo/"));
}

#[test]
fn t106_no_header_changes_the_target() {
    let lines: Lines<'_> = &[
        ("X-Original-URL", b"/admin"),
        ("X-Rewrite-URL", b"/admin"),
        ("X-Forwarded-Uri", b"/admin"),
        ("X-Forwarded-Path", b"/admin"),
        ("X-Envoy-Original-Path", b"/admin"),
        ("X_Original_URL", b"/admin"),
    ];
    for peer in [PROXY, ATTACKER] {
        let stack = (everything(), ScriptNameStripper::new(), LighttpdCgiRootFix::new());
        let seen = see(&stack, get("/public", peer, lines));
        assert_eq!((seen.0.uri.to_string().as_str(), seen.left()), ("/public", vec![]));
    }
}

#[test]
fn t107_a_mount_is_read_from_one_source_of_a_trusted_peer() {
    let lines: Lines<'_> =
        &[("SCRIPT_NAME", b"/REMOVED"), ("X-Script-Name", b"/REMOVED"), ("Script-Name", b"/REMOVED")];
    for peer in [PROXY, ATTACKER] {
        let stack = (everything(), LighttpdCgiRootFix::new());
        let seen = see(&stack, get("/REMOVED/admin", peer, lines));
        assert_eq!((seen.mount(), seen.0.uri.to_string().as_str()), ("", "/REMOVED/admin"));
        assert!(seen.left().is_empty());
    }
    assert_eq!(see(&custom(), head(PROXY, &[("X-Script-Name", b"/app")])).mount(), "/app");
    assert_eq!(see(&custom(), head(ATTACKER, &[("X-Script-Name", b"/app")])).mount(), "");
    assert_eq!(see(&custom(), head(PROXY, &[("X_Script_Name", b"/app")])).mount(), "");
}

#[test]
fn t108_no_dangerous_path_is_built() {
    assert_mounted(&LighttpdCgiRootFix::new(), b"/", "//evil.example/x?q", ("", "/evil.example/x?q"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"//", "/evil.example/x", ("", "/evil.example/x"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"//evil.example", "/x", ("", "/evil.example/x"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"/index.fcgi", "/../admin", ("", "/index.fcgi/../admin"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"", "", ("", "/"));
    // A decoded name cannot add a query or a fragment.
    assert_mounted(&LighttpdCgiRootFix::new(), b"/a?b#c", "/d?e", ("", "/a%3Fb%23c/d?e"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"/a\r\n\0\xff", "/d", ("", "/a%0D%0A%00%FF/d"));
    assert!(Mount::from_script_name(b"evil.example").is_err());
}

#[test]
fn t108_a_path_that_cannot_be_joined_leaves_the_request_alone() {
    // Joined, the path would be longer than a target can be.
    let path = format!("/admin{}", "b".repeat(65_000));
    let mut parts = get(&path, "", &[]);
    let mount = Mount::from_script_name(&[b"/", &b"a".repeat(1000)[..]].concat()).unwrap();
    parts.extensions.insert(mount.clone());
    LighttpdCgiRootFix::new().fix(&mut parts);
    assert!(parts.uri.path() == path && parts.extensions.get() == Some(&mount));
}

#[test]
fn t109_a_root_fix_that_is_not_needed_does_nothing() {
    assert_mounted(&root_at("/app"), b"/app", "/x", ("/app", "/x"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"", "/x", ("", "/x"));
    assert_mounted(&(root_at("/app"), root_at("/app")), b"/app/x", "", ("/app", "/x"));
    assert_mounted(&root_at("/app"), b"/app", "/app/x", ("/app", "/app/x"));
    // The name of the server, wherever a client writes it, is not looked at.
    let lines: Lines<'_> = &[("Server-Software", b"lighttpd/1.4.18"), ("Server", b"lighttpd/1.4.18")];
    let mut parts = get("/x", "", lines);
    parts.extensions.insert("/app".parse::<Mount>().unwrap());
    root_at("/app").fix(&mut parts);
    assert_eq!(parts.uri, "/x");
    // Without a gateway and without a trusted peer there is nothing to repair.
    let seen = see(&(everything(), ScriptNameStripper::to("/sub".parse().unwrap())), head(ATTACKER, FORGED));
    seen.assert("203.0.113.9 peer-untrusted", "http://good.example");
}

#[test]
fn t109_a_stack_with_a_root_fix_is_applied_once() {
    let stack = (LighttpdCgiRootFix::new(), everything());
    let mut parts = get("/7", PROXY, &[("X-Forwarded-Prefix", b"/app")]);
    parts.extensions.insert("/users".parse::<Mount>().unwrap());
    for _ in 0..2 {
        stack.fix(&mut parts);
        assert_eq!(parts.uri, "/users/7");
        assert_eq!(parts.extensions.get::<Mount>().unwrap().prefix().as_str(), "/app");
    }
}

#[test]
fn t110_a_configured_mount_has_the_same_grammar() {
    for text in ["//evil.example", "app", "/a b", "/app?x", "/app/..", "/app%2f", "/app;x", "/app\0"] {
        assert!(text.parse::<Prefix>().is_err(), "{text:?}");
        assert!(text.parse::<Mount>().is_err(), "{text:?}");
    }
}
