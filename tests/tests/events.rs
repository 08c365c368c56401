//! What is reported: risky configurations as they are built, a forgotten
//! `into_make_service_with_connect_info` on the first request, and every other event of the catalogue,
//! once in a while.

use std::convert::Infallible;

use axum::response::IntoResponse;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use proxyfix::{
    Field, Fix, Guard, Hop, Peer, Proof, ProxyFix, Reloadable, Sentinels, Shadow, Topology, TrustedProxies,
    events, lint,
};
use proxyfix_axum::Rejection;
use proxyfix_tests::log::logged_at;
use tower::{Layer, Service, service_fn};
use tracing::Level;

fn head() -> Parts {
    Request::get("/").header("x-forwarded-for", "127.0.0.1").body(()).unwrap().into_parts().0
}

fn logged(work: impl FnOnce()) -> String {
    logged_at(Level::INFO, work)
}

#[test]
fn t03_t04_t11_risky_configurations_are_reported_as_they_are_built() {
    let built = |text: &str| logged(|| drop(ProxyFix::new(text.parse::<TrustedProxies>().unwrap())));
    assert!(built("10.0.0.0/8").contains("WARN") && built("private").contains("config.wide_trust"));
    assert!(built("2001:db8::/32").contains("config.wide_trust"));
    assert!(built("").contains("INFO") && built("").contains("config.no_trust"));
    let any = TrustedProxies::dangerously_trust_every_peer();
    assert!(logged(|| drop(ProxyFix::new(any))).contains("config.trust_any"));
    assert_eq!(built("loopback, 10.0.0.0/16, 2001:db8::/48, unix"), "");
}

#[test]
fn a_wiring_error_of_axum_is_reported_once() {
    let text = logged(|| (0..3).for_each(|_| drop(Rejection::NoFix.into_response())));
    assert_eq!(text.matches("axum.wiring").count(), 1, "{text}");
    assert!(text.contains("ERROR") && text.contains("proxyfix_axum::wrap"), "{text}");
    assert!(logged(|| drop(Rejection::NoPeer.into_response())).contains("with_connect_info"));
}

#[test]
fn replacements_are_reported_taken_or_refused() {
    let (_, reload) = Reloadable::new(ProxyFix::new("10.0.0.2".parse::<TrustedProxies>().unwrap()));
    let text = logged(|| {
        reload.replace(&TrustedProxies::none()).unwrap_err();
        reload.replace(&"10.0.0.4".parse().unwrap()).unwrap();
    });
    assert!(text.contains("reload.refused") && text.contains("is empty"), "{text}");
    assert!(text.contains("reload.replaced") && text.contains("generation=1"), "{text}");
}

#[test]
fn t44_t69_each_finding_is_one_event() {
    let built = logged(|| {
        drop(ProxyFix::builder("link-local, 0.0.0.0".parse::<TrustedProxies>().unwrap()).host().build());
    });
    let names: Vec<&str> = built.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(
        names,
        ["config.link_local_trust", "config.nobodys_address", "config.host_unrestricted"],
        "{built}"
    );
    assert!(built.lines().all(|line| line.contains("WARN")), "{built}");
    assert!(built.contains("Guard::allow_hosts"), "{built}");

    let meant = ProxyFix::builder("10.0.0.2".parse::<TrustedProxies>().unwrap()).host();
    let meant = meant.accept(lint::Code::HostUnrestricted);
    assert_eq!(logged(|| drop(meant.build())), "");
}

/// The samplers and what is said once are the process's: everything that is reported of requests is
/// asked for in this one test, in order.
#[test]
fn t191_t192_t193_every_event_is_reported_once_and_shows_no_secret() {
    let fix = ProxyFix::new("loopback".parse::<TrustedProxies>().unwrap());

    // A peer that is known to be unknown is no wiring error.
    let mut known = head();
    known.extensions.insert(Peer::unknown());
    assert!(!logged(|| fix.fix(&mut known)).contains("fwd.no_peer"));

    let text = logged(|| {
        fix.fix(&mut head());
        fix.fix(&mut head());
    });
    assert!(text.contains("ERROR") && text.contains("into_make_service_with_connect_info"), "{text}");
    assert_eq!(text.matches("fwd.no_peer").count(), 1, "{text}");

    let first = logged_at(Level::TRACE, || every_kind_of_request(1));
    let elsewhere = ["config.", "reload.", "sentinel."];
    let of_a_request = |name: &&&str| !elsewhere.iter().any(|kind| name.starts_with(kind));
    for name in events::NAMES.iter().filter(of_a_request).filter(|name| **name != "fwd.no_peer") {
        assert!(first.contains(&format!("event=\"{name}\"")), "{name} is not in {first}");
    }

    // T191: nothing that a terminal or a reader of lines could take for something else.
    assert!(first.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{first}");
    // The collector escapes what is escaped once more.
    assert!(first.contains(r"oops\\xff\\x22\\x5c"), "{first}");
    // T193: neither query nor cookie nor credentials.
    assert!(!first.contains("hidden"), "{first}");

    // T192: a flood is silent, at every level, but for what is asked for each request.
    let flood = logged_at(Level::TRACE, || every_kind_of_request(1000));
    assert!(flood.lines().count() > 1000);
    let once = |line: &&str| !line.contains("fwd.decided") && !line.contains("config.");
    for line in flood.lines().filter(once) {
        // Where ten seconds have passed, the others are counted.
        assert!(line.contains("suppressed=") && !line.contains("suppressed=0"), "{line}");
    }
}

/// Requests that ask for every event of a request, `times` times.
fn every_kind_of_request(times: usize) {
    const CHAIN: (&str, &[u8]) = ("x-forwarded-for", b"203.0.113.9");
    let trusted = || "10.0.0.0/16".parse::<TrustedProxies>().unwrap();
    let fix = ProxyFix::builder(trusted()).fields(Field::ALL).build().unwrap();
    let counted = ProxyFix::builder(trusted()).x_host(2).build().unwrap();
    let unproven = ProxyFix::builder(trusted()).and_proof(Proof::from_fn(|_, _| false)).build().unwrap();
    let hop = Hop::new("nginx", trusted()).fields([Field::For]);
    let far = Hop::new("balancer", "192.0.2.1".parse().unwrap());
    let named = ProxyFix::builder(Topology::new([hop, far]).unwrap());
    let named = named.shadow(Shadow::new(TrustedProxies::none())).build().unwrap();
    let of = |peer: &str, headers: &[(&str, &[u8])]| {
        let mut request =
            Request::get("/?q=hidden").extension(peer.parse::<Peer>().unwrap()).header("host", "a.example");
        request = request.header("authorization", "Bearer hidden").header("cookie", "id=hidden");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    };
    let proxied = |headers: &[(&str, &[u8])]| fix.fix(&mut of("10.0.0.2", headers));
    for _ in 0..times {
        proxied(&[("x-forwarded-for", b"oops\xff\"\\")]);
        proxied(&[("x-forwarded-for", &[b'1'; 100])]);
        proxied(&[CHAIN, ("x-forwarded-proto", b"http, http, http")]);
        proxied(&[CHAIN, ("x-forwarded-proto", b"ftp\xff")]);
        proxied(&[CHAIN, ("x-forwarded-host", b"b.example"), ("x-forwarded-port", b"80x\xff")]);
        proxied(&[CHAIN, ("x-forwarded-host", b"hidden:hidden@b\xff")]);
        proxied(&[CHAIN, ("x-forwarded-prefix", b"//evil.example\xff")]);
        proxied(&[("connection", b"close, x-forwarded-for")]);
        proxied(&[("x_forwarded_for", b"127.0.0.1")]);
        proxied(&[CHAIN, ("forwarded", b"for=203.0.113.9")]);
        named.fix(&mut of("10.0.0.2", &[CHAIN, ("x-forwarded-proto", b"https")]));
        unproven.fix(&mut of("10.0.0.2", &[CHAIN]));
        fix.fix(&mut of("203.0.113.9", &[CHAIN]));
        counted.fix(&mut of("10.0.0.2", &[CHAIN, ("x-forwarded-host", b"a.example, b.example")]));
        let chain: (&str, &[u8]) = ("x-forwarded-for", b"203.0.113.9, 10.0.0.7");
        counted.fix(&mut of("10.0.0.2", &[chain, ("x-forwarded-host", b"b.example")]));

        let mut parts = of("10.0.0.2", &[]);
        parts.uri = "http://b.example/".parse().unwrap();
        fix.fix(&mut parts);

        let mut parts = of("10.0.0.2", &[CHAIN]);
        fix.fix(&mut parts);
        fix.fix(&mut parts);
        let inner =
            service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Full::new(&b""[..]))) });
        let mut guarded = Guard::new().allow_hosts(["good.example"]).unwrap().layer(inner);
        drop(guarded.call(Request::from_parts(parts, ())));
    }
}

#[test]
fn sentinels_report_a_proxy_that_was_forgotten_once() {
    let fix = ProxyFix::new("10.0.0.2".parse::<TrustedProxies>().unwrap());
    let sentinels = Sentinels::new(fix.policy());
    let stack = (fix, sentinels);
    let text = logged(|| {
        for _ in 0..1_000 {
            let mut parts = head();
            parts.extensions.insert("127.0.0.1:40000".parse::<Peer>().unwrap());
            stack.fix(&mut parts);
        }
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    for said in ["WARN", "event=\"sentinel.unlisted_proxy\"", "127.0.0.1", "add it to the trusted set"] {
        assert!(text.contains(said), "{said} in {text}");
    }
}
