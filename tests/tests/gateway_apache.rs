//! An axum application behind a real Apache, by every gateway protocol that it speaks.
#![cfg(target_os = "linux")]

use proxyfix_tests::apache::installed;
use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::corpus::{Difference, Journey};

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

async fn assert_same(config: &str, serve: Serve, mount: &str, repair: Repair, known: &[&[Difference]]) {
    let Some(apache) = installed(config) else { return };
    let http = if mount.is_empty() { "proxy-http-root.conf" } else { "proxy-http-prefix.conf" };
    let journey = Journey { config, http, serve, mount, repair, known };
    journey.go(&apache, APPLICATION).await;
}

const PREFIX: &str = "/yourapplication";

fn joined(prefix: &str) -> Repair {
    Repair::LighttpdCgiRootFix(prefix.to_owned())
}

fn stripped(prefix: &str) -> Repair {
    Repair::ScriptNameStripper(prefix.to_owned())
}

fn declared(prefix: &str) -> Repair {
    Repair::Declared(prefix.to_owned())
}

#[tokio::test]
async fn plain() {
    assert_same("proxy-http-root.conf", Serve::Http, "", joined(""), &[]).await;
}

#[tokio::test]
async fn fcgid_root() {
    assert_same("fcgid-root.conf", Serve::Auto, "", Repair::Nothing, &[]).await;
}

#[tokio::test]
async fn fcgid_prefix() {
    assert_same("fcgid-prefix.conf", Serve::Auto, PREFIX, Repair::Nothing, &[]).await;
}

#[tokio::test]
async fn htaccess_root() {
    assert_same("root.htaccess", Serve::Auto, "", stripped(""), &[]).await;
}

#[tokio::test]
async fn htaccess_sub() {
    assert_same("sub.htaccess", Serve::Auto, "/sub", stripped("/sub"), &[]).await;
}

#[tokio::test]
async fn cgid_root() {
    assert_same("cgid-root.conf", Serve::Auto, "", Repair::Nothing, &[]).await;
}

#[tokio::test]
async fn cgid_prefix() {
    assert_same("cgid-prefix.conf", Serve::Auto, PREFIX, Repair::Nothing, &[]).await;
}

#[tokio::test]
async fn unix_root() {
    assert_same("proxy-fcgi-unix-root.conf", Serve::FastCgiUnix, "", joined(""), &[]).await;
}

#[tokio::test]
async fn unix_prefix() {
    assert_same("proxy-fcgi-unix-prefix.conf", Serve::FastCgiUnix, PREFIX, joined(PREFIX), &[]).await;
}

#[tokio::test]
async fn tcp_root() {
    assert_same("proxy-fcgi-tcp-root.conf", Serve::FastCgiTcp, "", joined(""), &[]).await;
}

#[tokio::test]
async fn tcp_prefix() {
    assert_same("proxy-fcgi-tcp-prefix.conf", Serve::FastCgiTcp, PREFIX, joined(PREFIX), &[]).await;
}

#[tokio::test]
async fn handler_root() {
    assert_same("proxy-fcgi-handler-root.conf", Serve::FastCgiUnix, "", joined(""), &[]).await;
}

#[tokio::test]
async fn handler_prefix() {
    assert_same("proxy-fcgi-handler-prefix.conf", Serve::FastCgiUnix, PREFIX, Repair::Nothing, &[]).await;
}

#[tokio::test]
async fn scgi_root() {
    assert_same("proxy-scgi-root.conf", Serve::ScgiTcp, "", joined(""), &[]).await;
}

#[tokio::test]
async fn scgi_prefix() {
    assert_same("proxy-scgi-prefix.conf", Serve::ScgiTcp, PREFIX, joined(PREFIX), &[]).await;
}

#[tokio::test]
async fn declared_for_all() {
    assert_same("fcgid-root.conf", Serve::Auto, "", declared(""), &[]).await;
}
