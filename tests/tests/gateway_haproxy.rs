//! An axum application behind a real HAProxy.
#![cfg(target_os = "linux")]

use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::corpus::{Difference, EVERYWHERE, Journey, differs};
use proxyfix_tests::haproxy::installed;

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

/// Of every configuration of HAProxy.
const HAPROXY: &[Difference] = &[
    differs("status 304", "header content-length", "HAProxy adds a length of 0 to what FastCGI answers"),
    differs("HEAD 304", "header content-length", "hyper states a length of 0, which GET would not have"),
    differs("httpoxy", "seen header proxy", "HTTP_PROXY means something else to a program, so it is dropped"),
    differs("PUT", "seen header content-length", STATED),
    differs("PATCH", "seen header content-length", STATED),
    differs("chunked", "seen header content-length", STATED),
    differs("chunked", "seen header transfer-encoding", STATED),
    differs("chunked and empty", "seen header content-length", STATED),
    differs("chunked and empty", "seen header transfer-encoding", STATED),
    differs(
        "chunked 100 KiB",
        "*",
        "HAProxy answers 400 to what neither has a length nor fits into tune.bufsize",
    ),
    differs("expect 100-continue", "seen header expect", "that was between the client and HAProxy"),
];

/// Below a prefix.
const PREFIX: &[Difference] = &[differs(
    "double slash first",
    "seen uri",
    "HAProxy passes every slash on; the fix that mounts the application over HTTP leaves one",
)];

const STATED: &str = "HAProxy states the length of every body over FastCGI";

async fn assert_same(config: &str, serve: Serve, mount: &str, repair: Repair, known: &[&[Difference]]) {
    let Some(haproxy) = installed() else { return };
    let journey = Journey { config, http: "http.cfg", serve, mount, repair, known };
    journey.go(&haproxy, APPLICATION).await;
}

#[tokio::test]
async fn fastcgi_at_the_root() {
    assert_same("fastcgi-root.cfg", Serve::FastCgiUnix, "", Repair::Nothing, &[EVERYWHERE, HAPROXY]).await;
}

#[tokio::test]
async fn fastcgi_below_a_prefix() {
    assert_same(
        "fastcgi-prefix.cfg",
        Serve::FastCgiTcp,
        "/yourapplication",
        Repair::Nothing,
        &[EVERYWHERE, HAPROXY, PREFIX],
    )
    .await;
}
