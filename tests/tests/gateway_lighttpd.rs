//! An axum application behind a real lighttpd, which starts it, or finds it started.
#![cfg(target_os = "linux")]

use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::corpus::{Difference, EVERYWHERE, Journey, differs, may_differ};
use proxyfix_tests::lighttpd::installed;

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

/// Of every configuration of lighttpd.
const LIGHTTPD: &[Difference] = &[
    differs("encoded slash", "seen uri", DECODED),
    differs("encoded slash in lower case", "seen uri", DECODED),
    differs("encoded letter", "seen uri", DECODED),
    differs("OPTIONS", "seen header content-length", ADDED),
    differs("DELETE", "seen header content-length", ADDED),
];

/// Over SCGI and CGI.
const ENDS_BY_CLOSING: &[Difference] =
    &[may_differ("answer of unknown length cut", "whole", "the end of the connection is that of the answer")];

const DECODED: &str = "lighttpd decodes the target that it passes on over HTTP; REQUEST_URI is what came";
const ADDED: &str = "lighttpd states an empty body over HTTP where the client stated none";

async fn assert_same(config: &str, serve: Serve, mount: &str, repair: Repair, known: &[&[Difference]]) {
    let Some(lighttpd) = installed() else { return };
    let journey = Journey { config, http: "http.conf", serve, mount, repair, known };
    journey.go(&lighttpd, APPLICATION).await;
}

#[tokio::test]
async fn fastcgi_started_by_lighttpd_at_the_root() {
    assert_same("fastcgi-root.conf", Serve::Auto, "", Repair::Nothing, &[EVERYWHERE, LIGHTTPD]).await;
}

#[tokio::test]
async fn fastcgi_at_the_root_split_in_the_wrong_place() {
    let repair = Repair::LighttpdCgiRootFix(String::new());
    assert_same("fastcgi-root-nofix.conf", Serve::Auto, "", repair, &[EVERYWHERE, LIGHTTPD]).await;
}

#[tokio::test]
async fn fastcgi_at_the_root_split_in_the_wrong_place_and_declared() {
    let repair = Repair::Declared(String::new());
    assert_same("fastcgi-root-nofix.conf", Serve::Auto, "", repair, &[EVERYWHERE, LIGHTTPD]).await;
}

#[tokio::test]
async fn fastcgi_below_a_prefix() {
    assert_same(
        "fastcgi-prefix.conf",
        Serve::Auto,
        "/yourapplication",
        Repair::Nothing,
        &[EVERYWHERE, LIGHTTPD],
    )
    .await;
}

#[tokio::test]
async fn fastcgi_by_rewriting() {
    let repair = Repair::ScriptNameStripper(String::new());
    assert_same("fastcgi-rewrite.conf", Serve::Auto, "", repair, &[EVERYWHERE, LIGHTTPD]).await;
}

#[tokio::test]
async fn fastcgi_on_a_socket_that_was_there() {
    assert_same("fastcgi-socket.conf", Serve::FastCgiUnix, "", Repair::Nothing, &[EVERYWHERE, LIGHTTPD])
        .await;
}

#[tokio::test]
async fn scgi_below_a_prefix() {
    assert_same(
        "scgi.conf",
        Serve::ScgiTcp,
        "/yourapplication",
        Repair::Nothing,
        &[EVERYWHERE, LIGHTTPD, ENDS_BY_CLOSING],
    )
    .await;
}

#[tokio::test]
async fn cgi_by_rewriting() {
    let repair = Repair::ScriptNameStripper(String::new());
    assert_same("cgi.conf", Serve::Auto, "", repair, &[EVERYWHERE, LIGHTTPD, ENDS_BY_CLOSING]).await;
}
