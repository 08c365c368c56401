//! An axum application behind a real nginx, by every protocol that it speaks to gateways.
#![cfg(target_os = "linux")]

use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::corpus::{Difference, EVERYWHERE, Journey, differs, may_differ};
use proxyfix_tests::exact::{Connection, Sent};
use proxyfix_tests::nginx::installed;
use proxyfix_tests::web::{Deploy, Place};
use tokio::io::AsyncWriteExt;

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

/// Of every configuration of nginx.
const NGINX: &[Difference] = &[
    differs("double slash", "seen uri", ROUTED),
    differs("dots", "seen uri", ROUTED),
    differs("encoded dots", "seen uri", ROUTED),
    differs("utf-8 raw", "seen uri", ESCAPED),
    differs("query in utf-8 raw", "seen uri", ESCAPED),
    differs("httpoxy", "seen header proxy", "HTTP_PROXY means something else to a program, so it is dropped"),
    differs("HEAD 204", "header content-length", NO_LENGTH),
    differs("HEAD 304", "header content-length", NO_LENGTH),
    may_differ(
        "answer of unknown length cut",
        "whole",
        "to nginx the end of the connection is that of the answer",
    ),
];

/// Where the application has the whole host.
const ROOT: &[Difference] = &[differs("double slash first", "seen uri", ROUTED)];

/// Over SCGI.
const SCGI: &[Difference] = &[
    differs("PUT", "seen header content-length", STATED),
    differs("PATCH", "seen header content-length", STATED),
];

/// Where nginx does not collect bodies.
const STREAM: &[Difference] = &[
    may_differ("chunked", "seen header content-length", STREAMS),
    may_differ("chunked 100 KiB", "seen header content-length", STREAMS),
    may_differ("chunked and empty", "seen header content-length", STREAMS),
];

const ROUTED: &str =
    "nginx normalises the path and routes by that, so does the gateway; over HTTP it passes the raw one";
const ESCAPED: &str = "octets that no URL may hold are escaped";
const NO_LENGTH: &str = "hyper states a length of 0, which GET would not have";
const STATED: &str = "SCGI states the length of every body";
const STREAMS: &str = "nginx passes the body on before it knows its length";

async fn assert_same(config: &str, serve: Serve, mount: &str, repair: Repair, known: &[&[Difference]]) {
    let Some(nginx) = installed() else { return };
    let journey = Journey { config, http: "http.conf", serve, mount, repair, known };
    journey.go(&nginx, APPLICATION).await;
}

#[tokio::test]
async fn fastcgi_at_the_root() {
    assert_same("fastcgi-root.conf", Serve::FastCgiUnix, "", Repair::Nothing, &[EVERYWHERE, NGINX, ROOT])
        .await;
}

#[tokio::test]
async fn fastcgi_below_a_prefix() {
    assert_same(
        "fastcgi-prefix.conf",
        Serve::FastCgiUnix,
        "/yourapplication",
        Repair::Nothing,
        &[EVERYWHERE, NGINX],
    )
    .await;
}

#[tokio::test]
async fn fastcgi_with_the_parameters_of_nginx_alone() {
    let repair = Repair::LighttpdCgiRootFix(String::new());
    assert_same("fastcgi-params.conf", Serve::FastCgiTcp, "", repair, &[EVERYWHERE, NGINX, ROOT]).await;
}

#[tokio::test]
async fn fastcgi_with_a_declared_mount() {
    let mount = "/yourapplication";
    let repair = Repair::Declared(mount.to_owned());
    assert_same("fastcgi-params.conf", Serve::FastCgiTcp, mount, repair, &[EVERYWHERE, NGINX]).await;
}

#[tokio::test]
async fn fastcgi_on_kept_connections_without_buffers() {
    assert_same(
        "fastcgi-stream.conf",
        Serve::FastCgiUnix,
        "",
        Repair::Nothing,
        &[EVERYWHERE, NGINX, ROOT, STREAM],
    )
    .await;
}

#[tokio::test]
async fn scgi_at_the_root() {
    assert_same("scgi-root.conf", Serve::ScgiUnix, "", Repair::Nothing, &[EVERYWHERE, NGINX, ROOT, SCGI])
        .await;
}

/// nginx alone says at once that its client went away; other servers when they would write.
#[tokio::test]
async fn a_handler_that_has_said_nothing_is_dropped_when_its_client_leaves() {
    let Some(nginx) = installed() else { return };
    let mut place = Place::new();
    let _application = place.start_application(APPLICATION, Serve::FastCgiUnix, Repair::Nothing).await;
    let nginx = nginx.deploy(place, "fastcgi-root.conf").await;
    let mut connection = Connection::open(nginx.address()).await.unwrap();
    connection.writer.write_all(&Sent::new("GET", "/hang/silent", &[""; 0]).head).await.unwrap();
    nginx.place().began("silent").await;
    drop(connection);
    nginx.place().gone("silent").await;
}
