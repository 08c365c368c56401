//! A. The gate, and who is connected.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use http::{HeaderValue, Request};
use proxyfix::{
    CustomProxyFix, Ending, Family, Field, Fix, Origin, Outcome, Peer, ProxyFix, Refusal, TrustedProxies,
};
use proxyfix_axum::{ClientIp, ConnectInfoFix, ConnectedPeer, Rejection};
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::stage::*;

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
    let origin = parts.extensions.get::<Origin>().unwrap();
    assert_eq!(origin.peer(), PROXY.parse().unwrap());
}

#[test]
fn t06_t09_t10_a_strict_guard_refuses_what_does_not_fit_the_setup() {
    let refused = |fix: &ProxyFix, peer: &str, chain: &[u8]| {
        let mut parts = head(peer, &[("X-Forwarded-For", chain)]);
        fix.fix(&mut parts);
        guard().refuses(&parts).map(|status| status.as_u16())
    };
    let two = ProxyFix::builder(trust("10.0.0.0/8")).x_for(2).build().unwrap();
    assert_eq!(refused(&two, PROXY, b"198.51.100.7, 203.0.113.9"), Some(400));
    assert_eq!(refused(&two, PROXY, b"203.0.113.9"), Some(400));
    assert_eq!(refused(&two, PROXY, b"203.0.113.9, 10.0.0.7"), None);
    assert_eq!(refused(&two, "", b"203.0.113.9, 10.0.0.7"), Some(500));
    let any = TrustedProxies::dangerously_trust_every_peer();
    let any = ProxyFix::builder(any).x_for(2).build().unwrap();
    assert_eq!(refused(&any, PROXY, b"203.0.113.9"), Some(400));
    // Who is not trusted is refused for nothing that it wrote.
    assert_eq!(refused(&two, ATTACKER, b"garbage"), None);
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
        // The origin knows it; a peer that was not there is not put there.
        assert_eq!(parts.extensions.get::<Peer>(), None);
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
