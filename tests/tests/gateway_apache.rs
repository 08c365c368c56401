//! An axum application behind a real Apache, by everything that it has for applications.
#![cfg(target_os = "linux")]

use proxyfix_tests::apache::installed;
use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::corpus::{Difference, EVERYWHERE, Journey, differs, may_differ};
use proxyfix_tests::managers::{Spawned, Supervisor};
use proxyfix_tests::web::{self, Deploy as _, Place};

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

async fn assert_same(config: &str, serve: Serve, mount: &str, repair: Repair, known: &[&[Difference]]) {
    let Some(apache) = installed(config) else { return };
    let http = if mount == PREFIX { "proxy-http-prefix.conf" } else { "proxy-http-root.conf" };
    let known = [known, &[EVERYWHERE, APACHE]].concat();
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

/// Of everything that is like CGI in Apache.
const APACHE: &[Difference] = &[
    differs("double slash", "seen uri", ROUTED),
    differs("dots", "seen uri", ROUTED),
    differs("encoded dots", "seen uri", ROUTED),
    differs("utf-8 raw", "seen uri", ESCAPED),
    differs("query in utf-8 raw", "seen uri", ESCAPED),
    differs("httpoxy", "seen header proxy", "Apache drops it for HTTP_PROXY, as the gateway would"),
    differs("repeated in the answer", "header x-repeated", "Apache makes one line of several"),
    differs("status 204", "header content-type", TYPELESS),
    differs("status 304", "header content-type", TYPELESS),
    differs("HEAD 204", "header content-type", TYPELESS),
    differs("HEAD 304", "header content-type", TYPELESS),
    differs("expect 100-continue", "seen header expect", "Apache has answered it"),
    may_differ("answer cut", "*", FAILED),
    may_differ("answer of unknown length cut", "*", FAILED),
];

const ROUTED: &str = "Apache normalizes the path and routes by that, so does the gateway";
const FAILED: &str = "a failure before anything was passed on is a 500 or 503";
const ESCAPED: &str = "octets that no URL may hold are escaped";
const TYPELESS: &str = "Apache says no type of nothing where the answer is like that of a CGI program";

/// Where the body of a request comes as a stream.
const STREAM: &[Difference] = &[
    may_differ("chunked", "seen header content-length", "mod_proxy_http collects a short body"),
    may_differ("chunked", "seen header transfer-encoding", DECODED),
    may_differ("chunked and empty", "seen header content-length", "mod_proxy_http collects a short body"),
    may_differ("chunked and empty", "seen header transfer-encoding", DECODED),
    differs("chunked 100 KiB", "seen header transfer-encoding", DECODED),
];

const DECODED: &str = "to the application the body has no coding";

/// Where mod_fcgid collects it.
const FCGID: &[Difference] = &[
    differs("PUT", "seen header content-length", "mod_fcgid says that there is nothing"),
    differs("PATCH", "seen header content-length", "mod_fcgid says that there is nothing"),
    may_differ("chunked", "seen header content-length", COLLECTED),
    may_differ("chunked", "seen header transfer-encoding", DECODED),
    may_differ("chunked and empty", "seen header content-length", COLLECTED),
    may_differ("chunked and empty", "seen header transfer-encoding", DECODED),
    differs("chunked 100 KiB", "seen header content-length", COLLECTED),
    differs("chunked 100 KiB", "seen header transfer-encoding", DECODED),
    may_differ("answer of unknown length cut", "whole", "to mod_fcgid an end without END_REQUEST is an end"),
];

const COLLECTED: &str = "mod_fcgid collects the body and says how long it is";

/// A folder is a folder to Apache, whatever is to be rewritten in it.
const FOLDER: &[Difference] = &[
    differs("nothing below the mount", "*", "301 to the folder, by mod_dir"),
    differs("nothing below the mount but a query", "*", "the same"),
];

#[tokio::test]
async fn fcgid_at_the_root() {
    assert_same("fcgid-root.conf", Serve::Auto, "", Repair::Nothing, &[FCGID]).await;
}

#[tokio::test]
async fn fcgid_below_a_prefix() {
    assert_same("fcgid-prefix.conf", Serve::Auto, PREFIX, Repair::Nothing, &[FCGID]).await;
}

#[tokio::test]
async fn fcgid_by_htaccess_at_the_root() {
    assert_same("root.htaccess", Serve::Auto, "", stripped(""), &[FCGID]).await;
}

#[tokio::test]
async fn fcgid_by_htaccess_in_a_folder() {
    assert_same("sub.htaccess", Serve::Auto, "/sub", stripped("/sub"), &[FCGID, FOLDER]).await;
}

#[tokio::test]
async fn fcgid_by_htaccess_in_a_folder_declared() {
    assert_same("sub.htaccess", Serve::Auto, "/sub", declared("/sub"), &[FCGID, FOLDER]).await;
}

const CGI: &[Difference] = &[may_differ(
    "answer of unknown length cut",
    "*",
    "to CGI the end of the process is that of the answer; before anything was written, it is a 500",
)];

#[tokio::test]
async fn cgi_at_the_root() {
    assert_same("cgid-root.conf", Serve::Auto, "", Repair::Nothing, &[STREAM, CGI]).await;
}

#[tokio::test]
async fn cgi_below_a_prefix() {
    assert_same("cgid-prefix.conf", Serve::Auto, PREFIX, Repair::Nothing, &[STREAM, CGI]).await;
}

#[tokio::test]
async fn fastcgi_on_a_unix_socket_at_the_root() {
    assert_same("proxy-fcgi-unix-root.conf", Serve::FastCgiUnix, "", joined(""), &[STREAM]).await;
}

#[tokio::test]
async fn fastcgi_on_a_unix_socket_below_a_prefix() {
    assert_same("proxy-fcgi-unix-prefix.conf", Serve::FastCgiUnix, PREFIX, joined(PREFIX), &[STREAM]).await;
}

/// The same, of an application that `start` starts and keeps.
async fn assert_same_kept<K>(start: impl AsyncFnOnce(&Place) -> K) {
    const CONFIG: &str = "proxy-fcgi-unix-root.conf";
    let Some(apache) = installed(CONFIG) else { return };
    let (serve, repair) = (Serve::Auto, joined(""));
    let place = Place::new();
    place.install(APPLICATION, serve, repair.clone());
    let _kept = start(&place).await;
    let gateway = apache.deploy(place, CONFIG).await;
    let known: &[&[Difference]] = &[STREAM, EVERYWHERE, APACHE];
    let journey = Journey { config: CONFIG, http: "proxy-http-root.conf", serve, mount: "", repair, known };
    journey.against(gateway, &apache, APPLICATION).await;
}

#[tokio::test]
async fn two_processes_of_supervisor_on_one_socket() {
    let Some(programs) = Supervisor::installed() else { return };
    assert_same_kept(async |place| Supervisor::start(&programs, place).await).await;
}

#[tokio::test]
async fn two_processes_of_spawn_fcgi_on_one_socket() {
    if web::installed(&["spawn-fcgi"]).is_none() {
        return;
    }
    assert_same_kept(async |place| Spawned::start(place)).await;
}

#[tokio::test]
async fn fastcgi_over_tcp_at_the_root() {
    assert_same("proxy-fcgi-tcp-root.conf", Serve::FastCgiTcp, "", joined(""), &[STREAM]).await;
}

#[tokio::test]
async fn fastcgi_over_tcp_below_a_prefix() {
    assert_same("proxy-fcgi-tcp-prefix.conf", Serve::FastCgiTcp, PREFIX, joined(PREFIX), &[STREAM]).await;
}

#[tokio::test]
async fn fastcgi_over_tcp_below_a_prefix_declared() {
    assert_same("proxy-fcgi-tcp-prefix.conf", Serve::FastCgiTcp, PREFIX, declared(PREFIX), &[STREAM]).await;
}

#[tokio::test]
async fn fastcgi_as_a_handler_at_the_root() {
    let known = [differs("encoded question mark", "*", "a handler takes ? for the query: 403 by Apache")];
    assert_same("proxy-fcgi-handler-root.conf", Serve::FastCgiUnix, "", joined(""), &[STREAM, &known]).await;
}

#[tokio::test]
async fn fastcgi_as_a_handler_below_a_prefix() {
    assert_same("proxy-fcgi-handler-prefix.conf", Serve::FastCgiUnix, PREFIX, Repair::Nothing, &[STREAM])
        .await;
}

const SCGI: &[Difference] = &[
    differs("chunked", "*", LENGTH),
    differs("chunked 100 KiB", "*", LENGTH),
    differs("chunked and empty", "*", LENGTH),
    differs("PUT", "seen header content-length", "SCGI states the length of every body"),
    differs("PATCH", "seen header content-length", "SCGI states the length of every body"),
    may_differ(
        "answer of unknown length cut",
        "whole",
        "to SCGI the end of the connection is that of the answer",
    ),
];

const LENGTH: &str = "SCGI needs a length: 411 by mod_proxy_scgi";

#[tokio::test]
async fn scgi_at_the_root() {
    assert_same("proxy-scgi-root.conf", Serve::ScgiTcp, "", joined(""), &[SCGI]).await;
}

#[tokio::test]
async fn scgi_below_a_prefix() {
    assert_same("proxy-scgi-prefix.conf", Serve::ScgiTcp, PREFIX, joined(PREFIX), &[SCGI]).await;
}
