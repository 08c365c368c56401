//! An axum application behind a real Apache, by everything that it has for applications.
#![cfg(target_os = "linux")]

use proxyfix_tests::apache::installed;
use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::corpus::{Difference, Journey, differs};

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

async fn assert_same(config: &str, serve: Serve, mount: &str, repair: Repair, known: &[&[Difference]]) {
    let Some(apache) = installed(config) else { return };
    let http = if mount == PREFIX { "proxy-http-prefix.conf" } else { "proxy-http-root.conf" };
    let known = [known, &[&OURS, &OF_APACHE]].concat();
    Journey { config, http, serve, mount, repair, known: &known }.go(&apache, APPLICATION).await;
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

/// What the gateway does on purpose.
const OURS: [Difference; 8] = [
    differs("*", "header content-type", "a body without a type is named application/octet-stream"),
    differs("*", "header x-content-type-options", "and no browser is to guess otherwise"),
    differs("httpoxy", "seen header proxy", "HTTP_PROXY means something else to many programs"),
    differs("chunked", "seen header transfer-encoding", "the body comes without a coding"),
    differs("expect 100-continue", "seen header expect", "the server has answered it"),
    differs("utf-8 raw", "seen uri", "octets that are not ASCII are encoded"),
    differs("utf-8 raw", "seen joined", "the same"),
    differs("query in utf-8 raw", "seen uri", "the same"),
];

/// What Apache does to everything that is like CGI.
const OF_APACHE: [Difference; 7] = [
    differs("double slash", "seen uri", "it routes what it has normalized, so that is the path"),
    differs("double slash", "seen joined", "the same"),
    differs("dots", "seen uri", "the same"),
    differs("dots", "seen joined", "the same"),
    differs("encoded dots", "seen uri", "the same"),
    differs("encoded dots", "seen joined", "the same"),
    differs("repeated in the answer", "header x-repeated", "lines of the same name become one"),
];

/// A process of mod_fcgid knows how long a body is before it gets one.
const FCGID: [Difference; 5] = [
    differs("PUT", "seen header content-length", "mod_fcgid says that there is nothing"),
    differs("PATCH", "seen header content-length", "the same"),
    differs("chunked", "seen header content-length", "mod_fcgid collects the body and says how long it is"),
    differs("answer of unknown length cut", "whole", "an end without END_REQUEST is like any other to it"),
    differs("answer of unknown length cut", "body", "the same"),
];

/// A folder is a folder to Apache, whatever is to be rewritten in it.
const FOLDER: [Difference; 2] = [
    differs("nothing below the mount", "*", "301 to the folder, by mod_dir"),
    differs("nothing below the mount but a query", "*", "the same"),
];

#[tokio::test]
async fn fcgid_at_the_root() {
    assert_same("fcgid-root.conf", Serve::Auto, "", Repair::Nothing, &[&FCGID]).await;
}

#[tokio::test]
async fn fcgid_below_a_prefix() {
    assert_same("fcgid-prefix.conf", Serve::Auto, PREFIX, Repair::Nothing, &[&FCGID]).await;
}

#[tokio::test]
async fn fcgid_by_htaccess_at_the_root() {
    assert_same("root.htaccess", Serve::Auto, "", stripped(""), &[&FCGID]).await;
}

#[tokio::test]
async fn fcgid_by_htaccess_in_a_folder() {
    assert_same("sub.htaccess", Serve::Auto, "/sub", stripped("/sub"), &[&FCGID, &FOLDER]).await;
}

#[tokio::test]
async fn fcgid_by_htaccess_in_a_folder_declared() {
    assert_same("sub.htaccess", Serve::Auto, "/sub", declared("/sub"), &[&FCGID, &FOLDER]).await;
}

const CGI: [Difference; 2] = [
    differs(
        "chunked and empty",
        "seen header content-length",
        "nothing is stated of a body that is streamed",
    ),
    differs(
        "answer of unknown length cut",
        "*",
        "CGI ends with the process; before anything is written, in a 500",
    ),
];

#[tokio::test]
async fn cgi_at_the_root() {
    assert_same("cgid-root.conf", Serve::Auto, "", Repair::Nothing, &[&CGI]).await;
}

#[tokio::test]
async fn cgi_below_a_prefix() {
    assert_same("cgid-prefix.conf", Serve::Auto, PREFIX, Repair::Nothing, &[&CGI]).await;
}

#[tokio::test]
async fn fastcgi_on_a_unix_socket_at_the_root() {
    assert_same("proxy-fcgi-unix-root.conf", Serve::FastCgiUnix, "", joined(""), &[]).await;
}

#[tokio::test]
async fn fastcgi_on_a_unix_socket_below_a_prefix() {
    assert_same("proxy-fcgi-unix-prefix.conf", Serve::FastCgiUnix, PREFIX, joined(PREFIX), &[]).await;
}

#[tokio::test]
async fn fastcgi_over_tcp_at_the_root() {
    assert_same("proxy-fcgi-tcp-root.conf", Serve::FastCgiTcp, "", joined(""), &[]).await;
}

#[tokio::test]
async fn fastcgi_over_tcp_below_a_prefix() {
    assert_same("proxy-fcgi-tcp-prefix.conf", Serve::FastCgiTcp, PREFIX, joined(PREFIX), &[]).await;
}

#[tokio::test]
async fn fastcgi_over_tcp_below_a_prefix_declared() {
    assert_same("proxy-fcgi-tcp-prefix.conf", Serve::FastCgiTcp, PREFIX, declared(PREFIX), &[]).await;
}

#[tokio::test]
async fn fastcgi_as_a_handler_at_the_root() {
    let known = [differs("encoded question mark", "*", "a handler takes ? for the query: 403 by Apache")];
    assert_same("proxy-fcgi-handler-root.conf", Serve::FastCgiUnix, "", joined(""), &[&known]).await;
}

#[tokio::test]
async fn fastcgi_as_a_handler_below_a_prefix() {
    assert_same("proxy-fcgi-handler-prefix.conf", Serve::FastCgiUnix, PREFIX, Repair::Nothing, &[]).await;
}

const SCGI: [Difference; 6] = [
    differs("chunked", "*", "SCGI needs a length: 411 by mod_proxy_scgi"),
    differs("chunked and empty", "*", "the same"),
    differs("PUT", "seen header content-length", "SCGI has a length always"),
    differs("PATCH", "seen header content-length", "the same"),
    differs("answer of unknown length cut", "whole", "SCGI ends with the connection"),
    differs("answer of unknown length cut", "body", "the same"),
];

#[tokio::test]
async fn scgi_at_the_root() {
    assert_same("proxy-scgi-root.conf", Serve::ScgiTcp, "", joined(""), &[&SCGI]).await;
}

#[tokio::test]
async fn scgi_below_a_prefix() {
    assert_same("proxy-scgi-prefix.conf", Serve::ScgiTcp, PREFIX, joined(PREFIX), &[&SCGI]).await;
}
