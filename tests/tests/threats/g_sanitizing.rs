//! G. Hop-by-hop abuse, aliases, and what the fixes write themselves.

use http::{HeaderMap, HeaderName};
use proxyfix::{Canonical, CustomProxyFix, Field, Fix, PROTECTED_HEADERS, ProxyFix, Scheme};

use crate::stage::*;

#[test]
fn t111_a_nomination_hides_no_forwarding_field() {
    let lines: Lines<'_> = &[
        ("Connection", b"close, X-Forwarded-For, X-Forwarded-Proto"),
        ("X-Forwarded-For", b"203.0.113.9"),
        ("X-Forwarded-Proto", b"https"),
    ];
    let seen = see(&everything(), head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "https://good.example");
    // The connection is the server's affair.
    assert_eq!(seen.left(), ["connection", "host"]);
}

#[test]
fn t112_nor_does_an_unusual_nomination() {
    let nominations: [&[&[u8]]; 3] = [
        &[b"x-real-ip, x-forwarded-for, x-forwarded-prefix"],
        &[b"", b"X-Forwarded-Host"],
        &[b"keep-alive,,X-FORWARDED-PREFIX ,"],
    ];
    for nomination in nominations {
        let mut lines: Vec<(&str, &[u8])> = nomination.iter().map(|line| ("Connection", *line)).collect();
        lines.extend([
            ("X-Forwarded-For", &b"203.0.113.9"[..]),
            ("X-Forwarded-Host", b"www.good.example"),
            ("X-Forwarded-Prefix", b"/app"),
            ("X-Real-IP", b"203.0.113.9"),
        ]);
        let seen = see(&everything(), head(PROXY, &lines));
        seen.assert("203.0.113.9 client-found", "http://www.good.example/app");
        assert_eq!(see(&custom(), head(PROXY, &lines)).who(), "203.0.113.9 client-found");
        // Nor does it keep one that is to go.
        assert_eq!(see(&everything(), head(ATTACKER, &lines)).left(), ["connection", "host"]);
    }
}

#[test]
fn t114_aliases_are_removed_unread() {
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"203.0.113.9"),
        ("X_Forwarded_For", b"127.0.0.1"),
        ("X-Forwarded_Proto", b"https"),
        ("X_Real_IP", b"127.0.0.1"),
    ];
    let seen = see(&everything(), head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.left(), ["host"]);
    let seen = see(&everything(), head(ATTACKER, lines));
    seen.assert("203.0.113.9 peer-untrusted", "http://good.example");
    assert_eq!(seen.left(), ["host"]);
    // Every byte that is neither letter nor digit may stand for the hyphen.
    for byte in b"!#$%&'*+.^_`|~" {
        let name = format!("X{}Forwarded-For", char::from(*byte));
        let seen = see(&everything(), head(PROXY, &[(&name, b"127.0.0.1")]));
        seen.assert("10.0.0.2 header-absent", "http://good.example");
        assert_eq!(seen.left(), ["host"], "{name}");
    }
}

#[test]
fn t115_headers_of_the_front_end_are_protected_by_name() {
    let lines: Lines<'_> = &[
        ("X-Forwarded-User", b"admin"),
        ("X-Forwarded-Client-Cert", b"Subject=\"CN=admin\""),
        ("X-SSL-Client-Verify", b"SUCCESS"),
        ("X-Authenticated-Groups", b"ops"),
        ("X_Forwarded_User", b"admin"),
        ("X_SSL_Client_Verify", b"SUCCESS"),
        ("Connection", b"x-forwarded-user"),
    ];
    let fix = ProxyFix::builder(trust("10.0.0.0/8")).remove("X-Forwarded-User").remove("X-SSL-Client-Verify");
    for peer in [PROXY, ATTACKER] {
        let seen = see(&fix.clone().build().unwrap(), head(peer, lines));
        let left = ["connection", "host", "x-authenticated-groups", "x-forwarded-client-cert"];
        assert_eq!(seen.left(), left);
    }
    // Nobody asked for it: it is the application's.
    assert_eq!(see(&everything(), head(PROXY, lines)).header("x-forwarded-user"), Some("admin"));
}

/// The headers after a fix that writes `canonical`.
fn written(canonical: Canonical, peer: &str, lines: Lines<'_>) -> HeaderMap {
    let fix = ProxyFix::builder(trust("10.0.0.0/8")).host().port().prefix().write(canonical);
    let mut parts = head(peer, lines);
    fix.build().unwrap().fix(&mut parts);
    parts.headers
}

const CANONICAL: [Canonical; 3] = [Canonical::XForwarded, Canonical::Forwarded, Canonical::XRealIp];

#[test]
fn t116_a_header_that_is_written_is_set_and_not_added() {
    let lines: Lines<'_> = &[
        ("X-Real-IP", b"127.0.0.1"),
        ("X-Real-IP", b"198.51.100.7"),
        ("X-Forwarded-For", b"127.0.0.1, 203.0.113.9"),
        ("Forwarded", b"for=127.0.0.1"),
    ];
    for (canonical, name, value) in [
        (Canonical::XRealIp, "x-real-ip", "203.0.113.9"),
        (Canonical::XForwarded, "x-forwarded-for", "203.0.113.9"),
        (Canonical::Forwarded, "forwarded", "for=203.0.113.9;host=good.example;proto=http"),
    ] {
        let headers = written(canonical, PROXY, lines);
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(lines, [value]);
    }
    // Of nobody nothing is written, least of all the proxy's address.
    let headers = written(Canonical::XRealIp, PROXY, &[("X-Forwarded-For", b"garbage")]);
    assert!(!headers.contains_key("x-real-ip"));
}

#[test]
fn t117_headers_that_were_not_believed_suppress_none_that_is_written() {
    let headers = written(Canonical::XForwarded, ATTACKER, &[("X-Forwarded-For", b"127.0.0.1")]);
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    assert_eq!(lines, ["203.0.113.9"]);
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-forwarded-host"], "good.example");
}

#[test]
fn t118_whatever_is_written_is_protected() {
    // Decisions are extensions; the only headers with a meaning of ours are these.
    let lines: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Prefix", b"/app")];
    for canonical in CANONICAL {
        let headers = written(canonical, PROXY, lines);
        let ours: Vec<&HeaderName> = headers.keys().filter(|name| *name != "host").collect();
        assert!(!ours.is_empty());
        for name in ours {
            assert!(PROTECTED_HEADERS.contains(&name.as_str()), "{name}");
            // A client that sends it says nothing.
            let seen = see(&ProxyFix::new(trust("")), head(ATTACKER, &[(name.as_str(), b"127.0.0.1")]));
            seen.assert("203.0.113.9 peer-untrusted", "http://good.example");
        }
    }
}

#[test]
fn t119_unsafe_sources_do_not_build() {
    let builder = || CustomProxyFix::builder(trust("10.0.0.0/8"));
    let refused = |builder: proxyfix::CustomProxyFixBuilder| builder.build().unwrap_err().to_string();
    for header in
        ["Connection", "Transfer-Encoding", "X_Real_IP", "Content-Length", "Upgrade", "TE", "a b", ""]
    {
        let error = refused(builder().client(header));
        assert!(error.contains(&header.to_ascii_lowercase()), "{error}");
    }
    assert!(refused(builder().host("Host")).contains("host"));
    assert!(refused(builder().client("X-A").host("x-a")).contains("x-a"));
    assert!(builder().client("X-A").host("X-B").build().is_ok());
}

#[test]
fn t120_forced_values_pass_the_gate() {
    let forced = |builder: proxyfix::CustomProxyFixBuilder| {
        builder
            .field_from_fn(Field::Proto, |_| Some("https".to_owned()))
            .field_from_fn(Field::Host, |_| Some("www.good.example".to_owned()))
            .build()
            .unwrap()
    };
    let fix = forced(CustomProxyFix::builder(trust("10.0.0.0/8")));
    assert_eq!(see(&fix, head(PROXY, &[])).url(), "https://www.good.example");
    for peer in [ATTACKER, "unix", ""] {
        let seen = see(&fix, head(peer, &[]));
        assert_eq!(seen.url(), "http://good.example");
        assert_eq!(seen.origin().scheme(), Scheme::Http);
    }
    // Nor does a stranger's header open it.
    let from_header = CustomProxyFix::builder(trust("10.0.0.0/8")).client("X-Real-IP");
    let seen = see(&forced(from_header), head(ATTACKER, &[("X-Real-IP", b"10.0.0.2")]));
    seen.assert("203.0.113.9 peer-untrusted", "http://good.example");
}

/// Of parts I to L, which are the gateways', this much is the fixes'.
#[test]
fn t146_t184_headers_that_would_steer_a_gateway_are_removed() {
    let lines: Lines<'_> = &[
        ("Proxy", b"http://evil.example:8080"),
        ("X-Sendfile-Type", b"X-Accel-Redirect"),
        ("X-Accel-Mapping", b".*=/internal/"),
        ("X_Sendfile_Type", b"X-Accel-Redirect"),
    ];
    for peer in [PROXY, ATTACKER] {
        assert_eq!(see(&everything(), head(peer, lines)).left(), ["host"]);
    }
}
