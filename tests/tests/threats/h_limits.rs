//! H. Robustness of the layers. What it costs is in `work.rs`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::IntoResponse;
use http::header::HeaderMap;
use http::{HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use proxyfix::{Ending, Field, Fix, Guard, Outcome, Policy, Received, Refusal};
use proxyfix_axum::Rejection;
use tower::{Layer, ServiceExt, service_fn};

use crate::stage::*;

/// Every byte that a header may have, in every position.
#[test]
fn t124_no_byte_is_too_hostile() {
    let originals: [(&str, &[u8]); 8] = [
        ("X-Forwarded-For", b"[2001:db8::9]:1, 10.0.0.7"),
        ("X-Forwarded-Proto", b"https"),
        ("X-Forwarded-Host", b"[::1]:80"),
        ("X-Forwarded-Port", b"8443"),
        ("X-Forwarded-Prefix", b"/a%C3%A9"),
        ("Host", b"a.b:80"),
        ("Forwarded", b"for=\"[::9]:1\\1\";host=a"),
        ("Connection", b"close, te"),
    ];
    let fix = (everything(), forwarded());
    for (name, original) in originals {
        for position in 0..original.len() {
            for byte in 0..=u8::MAX {
                let mut value = original.to_vec();
                value[position] = byte;
                let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
                let mut parts = get("/", PROXY, &[("X-Forwarded-For", b"203.0.113.9")]);
                parts.headers.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
                see(&fix, parts);
            }
        }
    }
}

/// The policy takes any bytes at all: of the headers, of CGI variables, of a command line.
#[test]
fn t124_no_byte_is_too_hostile_for_the_policy() {
    let texts: [&[u8]; 4] = [b"203.0.113.9, 10.0.0.7", b"for=\"[::9]:1\\1\"", b"[::1]:80", b"/a%C3%A9"];
    let policies = [proxyfix::Family::XForwarded, proxyfix::Family::Forwarded].map(|family| {
        Policy::builder(trust("10.0.0.0/8")).family(family).fields([Field::For, Field::Host]).build().unwrap()
    });
    for text in texts {
        for (position, byte) in (0..text.len()).flat_map(|it| (0..=u8::MAX).map(move |byte| (it, byte))) {
            let mut value = text.to_vec();
            value[position] = byte;
            let claims: Lines<'_> =
                &[("x-forwarded-for", &value), ("x-forwarded-host", &value), ("forwarded", &value)];
            for policy in &policies {
                let origin = policy.decide(PROXY.parse().unwrap(), Received::default(), claims);
                assert!(origin.ending().is_from_trusted_peer());
            }
            let _ = proxyfix::Mount::from_script_name(&value);
        }
    }
}

const SCRIPT: &str = "<script>alert(1)</script>";

/// Asserts that a refusal has a short fixed text, repeats nothing, and is not to be kept.
#[track_caller]
fn assert_plain(status: u16, headers: &HeaderMap, body: &[u8]) {
    assert!((400..=599).contains(&status), "{status}");
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(body.len() < 256 && body.is_ascii(), "{}", body.escape_ascii());
    for part in ["script", "alert", "evil", "203.0.113.9", "10.0.0.2"] {
        assert!(!body.windows(part.len()).any(|it| it == part.as_bytes()), "{}", body.escape_ascii());
        assert!(headers.values().all(|it| !it.to_str().unwrap().contains(part)), "{headers:?}");
    }
}

/// Every kind of refusal of a guard: the guard, a request that it refuses, and the status.
fn refusals() -> Vec<(Guard, http::request::Parts, u16)> {
    let fixed = |lines: Lines<'_>| {
        let mut parts = get("/script", PROXY, lines);
        everything().fix(&mut parts);
        parts
    };
    let chain = ("X-Forwarded-For", &b"203.0.113.9"[..]);
    let https = Guard::new().require_https();
    vec![
        (guard(), fixed(&[("X-Forwarded-For", SCRIPT.as_bytes()), ("Host", b"good.example")]), 400),
        (guard(), fixed(&[chain, ("Host", SCRIPT.as_bytes())]), 400),
        (guard(), fixed(&[chain, ("Host", b"evil.example")]), 421),
        (guard(), fixed(&[chain, ("X-Forwarded-Host", b"script.evil.example")]), 421),
        (https, fixed(&[chain, ("X-Forwarded-Proto", SCRIPT.as_bytes())]), 400),
        (guard(), get("/script", PROXY, &[("Host", SCRIPT.as_bytes())]), 500),
    ]
}

/// An inner service, and how often it was called.
fn counted() -> (
    impl tower::Service<Request<()>, Response = Response<Full<&'static [u8]>>, Error = Infallible, Future: Send>
    + Clone,
    Arc<AtomicUsize>,
) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let service = service_fn(move |_: Request<()>| {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(Response::new(Full::new(&b"called"[..]))))
    });
    (service, calls)
}

#[tokio::test]
async fn t125_t126_a_refusal_repeats_nothing_and_the_service_is_not_called() {
    for (guard, parts, expected) in refusals() {
        let (service, calls) = counted();
        let response = guard.layer(service).oneshot(Request::from_parts(parts, ())).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!((head.status.as_u16(), calls.load(Ordering::SeqCst)), (expected, 0));
        assert_plain(expected, &head.headers, &body);
    }
    // What is not refused is served.
    let (service, calls) = counted();
    let mut parts = head(PROXY, &[("X-Forwarded-For", b"203.0.113.9")]);
    everything().fix(&mut parts);
    guard().layer(service).oneshot(Request::from_parts(parts, ())).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn t125_rejections_of_extractors_repeat_nothing() {
    let endings = [Ending::Malformed, Ending::Opaque, Ending::Empty, Ending::TooFew, Ending::Unroutable];
    let unknown = endings.into_iter().chain([Ending::TooLong]).map(Rejection::ClientUnknown);
    let others = [Rejection::NoFix, Rejection::NoPeer, Rejection::UntrustedSocket, Rejection::HostUnknown];
    for rejection in unknown.chain(others) {
        let (head, body) = rejection.into_response().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(head.status, rejection.status());
        assert_plain(head.status.as_u16(), &head.headers, &body);
    }
}

#[test]
fn t127_host_and_port_stand_or_fall_together_and_nothing_else_with_them() {
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"203.0.113.9"),
        ("X-Forwarded-Proto", b"https"),
        ("X-Forwarded-Host", b"bad host"),
        ("X-Forwarded-Prefix", b"/ok"),
    ];
    let seen = see(&everything(), head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "https://good.example/ok");
    let with_port = [lines, &[("X-Forwarded-Port", b"8443")]].concat();
    let seen = see(&everything(), head(PROXY, &with_port));
    seen.assert("203.0.113.9 client-found", "https://good.example/ok");
    assert_eq!(seen.origin().outcome(Field::Port), Outcome::Refused(Refusal::WithoutHost));
    // In an absolute target, too, nothing is written in part.
    let mut parts = get("http://good.example/x", PROXY, &with_port);
    parts.version = Version::HTTP_2;
    assert_eq!(see(&everything(), parts).0.uri, "https://good.example/x");
}
