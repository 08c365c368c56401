//! H. Robustness of the layers. What it costs is in `work.rs`.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::post;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version, response};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use proxyfix::{Ending, Family, Field, Fix, Guard, Mount, Outcome, Policy, Received, Refusal};
use proxyfix_axum::{Rejection, wrap};
use proxyfix_tests::{loopback, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, ServiceExt, service_fn};

use crate::stage::*;

#[test]
fn t37_a_guard_refuses_a_chain_of_too_many_bytes() {
    let chain = |bytes: usize| {
        let forged = b"198.51.100.7,".repeat((bytes - 11) / 13);
        [&forged[..], &b" ".repeat(bytes - forged.len() - 11), b"203.0.113.9"].concat()
    };
    for (bytes, status) in [(320_000, 431), (8193, 431), (8192, 200)] {
        let chain = chain(bytes);
        assert_eq!(chain.len(), bytes);
        let lines: Lines<'_> = &[("X-Forwarded-For", &chain)];
        assert_answered(&guard(), head(PROXY, lines), status);
        assert_answered(&Guard::new(), head(PROXY, lines), status);
        assert_answered(&guard(), head(ATTACKER, lines), 200);
        see(&everything(), head(PROXY, lines)).assert("203.0.113.9 client-found", "http://good.example");
    }
}

#[test]
fn t38_a_guard_refuses_a_chain_of_too_many_lines() {
    for (forged, status) in [(15, 200), (16, 431), (98, 431), (5_000, 431)] {
        let mut lines = vec![("X-Forwarded-For", &b"198.51.100.7"[..]); forged];
        lines.push(("X-Forwarded-For", b"203.0.113.9"));
        assert_answered(&guard(), head(PROXY, &lines), status);
        assert_answered(&guard(), head(ATTACKER, &lines), 200);
    }
    // Seventeen lines of several headers are no crowd.
    let lines: Vec<(&str, &[u8])> =
        FORGED.iter().cycle().take(17).filter(|line| line.0 != "X-Forwarded-For").copied().collect();
    let lines = [&lines[..], &[("X-Forwarded-For", b"203.0.113.9")]].concat();
    assert_answered(&Guard::new(), head(PROXY, &lines), 200);
}

#[test]
fn t121_a_guard_refuses_a_family_of_too_many_bytes() {
    let chain = ("X-Forwarded-For", &b"203.0.113.9"[..]);
    let host = b"a".repeat(64 << 10);
    assert_answered(&Guard::new(), head(PROXY, &[chain, ("X-Forwarded-Host", &host)]), 431);
    let forwarded = b"for=_a,".repeat((64 << 10) / 7);
    assert_answered(&Guard::new(), head(PROXY, &[chain, ("Forwarded", &forwarded)]), 431);
    // All headers of a family count together.
    let half = b"a".repeat(4 << 10);
    let lines: Lines<'_> = &[chain, ("X-Forwarded-Host", &half), ("X-Forwarded-Prefix", &half)];
    assert_answered(&Guard::new(), head(PROXY, lines), 431);
    assert_answered(&Guard::new(), head(PROXY, &lines[..2]), 200);
    assert_answered(&Guard::new(), head(ATTACKER, lines), 200);
    let generous = Guard::new().limits(16 << 10, 16).unwrap();
    assert_answered(&generous, head(PROXY, lines), 200);
    // A limit is not switched off by zero.
    assert!(Guard::new().limits(0, 16).is_err() && Guard::new().limits(8192, 0).is_err());
}

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
                parts.headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
                see(&fix, parts);
            }
        }
    }
}

/// The policy takes any bytes at all: of the headers, of CGI variables, of a command line.
#[test]
fn t124_no_byte_is_too_hostile_for_the_policy() {
    let texts: [&[u8]; 4] = [b"203.0.113.9, 10.0.0.7", b"for=\"[::9]:1\\1\"", b"[::1]:80", b"/a%C3%A9"];
    let policies = [Family::XForwarded, Family::Forwarded].map(|family| {
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
            let _ = Mount::from_script_name(&value);
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
fn refusals() -> Vec<(Guard, Parts, u16)> {
    let fixed = |lines: Lines<'_>| {
        let mut parts = get("/script", PROXY, lines);
        everything().fix(&mut parts);
        parts
    };
    let chain = ("X-Forwarded-For", &b"203.0.113.9"[..]);
    let https = Guard::new().require_https();
    let odd = fixed(&[chain, ("Host", b"good.example"), ("X-Forwarded-Prefix", SCRIPT.as_bytes())]);
    let mut nobody = get("/script", "", &[("Host", SCRIPT.as_bytes())]);
    everything().fix(&mut nobody);
    let long = SCRIPT.repeat(1000);
    vec![
        (guard(), fixed(&[("X-Forwarded-For", SCRIPT.as_bytes()), ("Host", b"good.example")]), 400),
        (guard(), fixed(&[chain, ("Host", SCRIPT.as_bytes())]), 400),
        (guard(), fixed(&[chain, ("Host", b"evil.example")]), 421),
        (guard(), fixed(&[chain, ("X-Forwarded-Host", b"script.evil.example")]), 421),
        (guard(), odd, 400),
        (guard(), nobody, 500),
        (guard(), fixed(&[("X-Forwarded-For", long.as_bytes()), ("Host", b"good.example")]), 431),
        (https, fixed(&[chain, ("X-Forwarded-Proto", SCRIPT.as_bytes())]), 400),
        (guard(), get("/script", PROXY, &[("Host", SCRIPT.as_bytes())]), 500),
    ]
}

/// What a client is answered behind `guard`, and whether the service was called.
async fn served(guard: &Guard, parts: Parts) -> (response::Parts, Bytes, bool) {
    let called = AtomicBool::new(false);
    let service = service_fn(|_: Request<()>| {
        called.store(true, Ordering::SeqCst);
        ready(Ok::<_, Infallible>(Response::new(Full::new(&b"called"[..]))))
    });
    let answer = guard.layer(service).oneshot(Request::from_parts(parts, ())).await.unwrap();
    let (head, body) = answer.into_parts();
    (head, body.collect().await.unwrap().to_bytes(), called.into_inner())
}

#[tokio::test]
async fn t125_t126_a_refusal_repeats_nothing_and_the_service_is_not_called() {
    for (guard, parts, expected) in refusals() {
        let (head, body, called) = served(&guard, parts).await;
        assert_eq!((head.status.as_u16(), called), (expected, false));
        assert_plain(expected, &head.headers, &body);
    }
    let mut parts = head(PROXY, &[("X-Forwarded-For", b"203.0.113.9")]);
    everything().fix(&mut parts);
    assert!(served(&guard(), parts).await.2, "what is not refused is served");
}

/// What is left of a body is not taken for the next request: the connection ends.
#[tokio::test]
async fn t125_a_connection_whose_body_was_not_read_is_closed() {
    let listener = TcpListener::bind((loopback(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = wrap(Router::new().route("/", post(async || "called")).layer(guard()), everything());
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\n\r\n\
        GET /smuggled HTTP/1.1\r\nHost: good.example\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    within("the end of the connection", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
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
