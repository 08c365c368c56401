//! Web servers that are told to reload or to stop, and an application that is, while requests run.
//!
//! No request is lost that reached the application: it gets its whole right answer. A reload of the web
//! server loses none at all. While the application itself is away, the web server answers for it (502,
//! 503), and those requests reached nobody.
#![cfg(target_os = "linux")]

use nix::sys::signal::Signal;
use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::load::Load;
use proxyfix_tests::process::{Process, send};
use proxyfix_tests::web::{Deploy, Place, WebServer};
use proxyfix_tests::{haproxy, lighttpd, nginx};

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

/// An application, started, behind `server`.
async fn behind(server: &impl Deploy, config: &str, serve: Serve) -> (Process, WebServer) {
    let mut place = Place::new();
    let application = place.start_application(APPLICATION, serve, Repair::Nothing).await;
    (application, server.deploy(place, config).await)
}

/// An application that `server` starts.
async fn started_by(server: &impl Deploy, config: &str) -> WebServer {
    let place = Place::new();
    place.install(APPLICATION, Serve::Auto, Repair::Nothing);
    server.deploy(place, config).await
}

/// Those of the processes that the web server started.
fn others(server: &WebServer) -> Vec<u32> {
    server.process.ids().into_iter().filter(|id| *id != server.process.id()).collect()
}

/// Sends the signal that means a reload, twice, and asserts that every request is answered.
async fn assert_nothing_is_lost(mut server: WebServer, signal: Signal) {
    let load = Load::on(server.address(), "");
    for _ in 0..2 {
        load.goes_on().await;
        let before = others(&server);
        server.process.signal(signal);
        let replaced = |it: &Process| !it.ids().iter().any(|id| before.contains(id));
        server.process.until("the end of the processes from before", replaced).await;
    }
    load.goes_on().await;
    assert_eq!(load.ends(server.place()).await, [""; 0]);
}

#[tokio::test]
async fn a_reload_of_nginx_loses_nothing() {
    let Some(nginx) = nginx::installed() else { return };
    let (_application, nginx) = behind(&nginx, "fastcgi-stream.conf", Serve::FastCgiUnix).await;
    assert_nothing_is_lost(nginx, Signal::SIGHUP).await;
}

/// HAProxy that reloads sends `FCGI_ABORT_REQUEST` for every request in flight, though its client still
/// waits. An application that obeyed at once would end the answer, and to the client it would look whole.
#[tokio::test]
async fn a_reload_of_haproxy_loses_nothing() {
    let Some(haproxy) = haproxy::installed() else { return };
    let (_application, haproxy) = behind(&haproxy, "fastcgi-root.cfg", Serve::FastCgiUnix).await;
    assert_nothing_is_lost(haproxy, Signal::SIGUSR2).await;
}

#[tokio::test]
async fn a_reload_of_haproxy_loses_nothing_over_http() {
    let Some(haproxy) = haproxy::installed() else { return };
    let (_application, haproxy) = behind(&haproxy, "http.cfg", Serve::Http).await;
    assert_nothing_is_lost(haproxy, Signal::SIGUSR2).await;
}

#[tokio::test]
async fn a_reload_of_lighttpd_loses_nothing() {
    let Some(lighttpd) = lighttpd::installed() else { return };
    let lighttpd = started_by(&lighttpd, "fastcgi-root.conf").await;
    assert_nothing_is_lost(lighttpd, Signal::SIGUSR1).await;
}

#[tokio::test]
async fn lighttpd_that_stops_finishes_what_it_began_and_leaves_nobody() {
    let Some(lighttpd) = lighttpd::installed() else { return };
    let mut lighttpd = started_by(&lighttpd, "fastcgi-root.conf").await;
    let load = Load::on(lighttpd.address(), "");
    load.goes_on().await;
    lighttpd.process.signal(Signal::SIGINT);
    assert!(lighttpd.process.ends().await.success());
    load.ends(lighttpd.place()).await;
    lighttpd.process.leaves_nobody().await;
}

#[tokio::test]
async fn an_application_that_stops_behind_nginx_finishes_what_it_began() {
    let Some(nginx) = nginx::installed() else { return };
    let mut place = Place::new();
    let mut application = place.start_application(APPLICATION, Serve::FastCgiUnix, Repair::Nothing).await;
    let nginx = nginx.deploy(place, "fastcgi-stream.conf").await;
    let load = Load::on(nginx.address(), "");
    load.goes_on().await;
    application.signal(Signal::SIGTERM);
    assert!(application.ends().await.success());
    load.ends(nginx.place()).await;
}

#[tokio::test]
async fn an_application_that_stops_is_started_again_by_lighttpd_and_finished_what_it_began() {
    let Some(lighttpd) = lighttpd::installed() else { return };
    let mut lighttpd = started_by(&lighttpd, "fastcgi-root.conf").await;
    let load = Load::on(lighttpd.address(), "");
    load.goes_on().await;
    let before = others(&lighttpd);
    assert_eq!(before.len(), 1, "max-procs is 1");
    send(before[0], Signal::SIGTERM);
    let again = |it: &Process| it.ids().iter().any(|id| *id != it.id() && *id != before[0]);
    lighttpd.process.until("another application", again).await;
    load.goes_on().await;
    load.ends(lighttpd.place()).await;
}
