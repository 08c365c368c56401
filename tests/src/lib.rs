//! What the journeys in this package share. Each test file stands alone.
//!
//! | you want | take | file |
//! | --- | --- | --- |
//! | an application that answers with everything it sees | [`serve`](server::serve) | `server.rs` |
//! | a client that writes exact bytes, from any loopback address | [`Client`](client::Client) | `client.rs` |
//! | the application of the deployments | [`router`](application::router), [`Settings`](application::Settings) | `application.rs` |
//! | a real web server, in a folder of its own | [`WebServer`](web::WebServer), [`Place`](web::Place) | `web.rs` |
//! | a real Apache in front, with a file of the guide | [`installed`](apache::installed) | `apache.rs` |
//! | a client that keeps its connection and tells a whole answer from a cut one | [`Connection`](exact::Connection) | `exact.rs` |
//! | what every gateway has to answer | [`Journey`](corpus::Journey) | `corpus.rs` |
//! | a real nginx in front | [`Program::start`](nginx::Program::start) | `nginx.rs` |
//! | supervisor, spawn-fcgi, an inherited socket | [`Supervisor`](managers::Supervisor), [`Spawned`](managers::Spawned) | `managers.rs` |
//! | requests without a pause, and what became of each | [`Load`](load::Load) | `load.rs` |
//! | a process that leaves nothing behind | [`Process`](process::Process) | `process.rs` |
//! | what is logged meanwhile | [`logged_at`](log::logged_at) | `log.rs` |
//! | an address that is yours alone, an end to waiting | [`loopback`], [`within`] | `lib.rs` |
#![allow(clippy::missing_panics_doc, reason = "a journey that cannot go on panics")]

#[cfg(target_os = "linux")]
pub mod apache;
#[cfg(target_os = "linux")]
pub mod application;
pub mod client;
#[cfg(target_os = "linux")]
pub mod corpus;
pub mod exact;
#[cfg(target_os = "linux")]
pub mod haproxy;
#[cfg(target_os = "linux")]
pub mod lighttpd;
#[cfg(target_os = "linux")]
pub mod load;
pub mod log;
#[cfg(target_os = "linux")]
pub mod managers;
#[cfg(target_os = "linux")] // `/proc` says who listens.
pub mod nginx;
#[cfg(target_os = "linux")]
pub mod process;
pub mod server;
#[cfg(target_os = "linux")]
pub mod web;

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::timeout;

/// The longest that one step of a journey may take. Nothing is asserted of time; this is for what
/// would otherwise wait forever.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Does `work`, or panics at the [`DEADLINE`] and says `what` did not happen.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

/// A loopback address, another one for each call, from 127.1.0.0 to 127.250.255.255.
///
/// Two processes get different ones as long as their ids differ by less than 128 000 and neither
/// asks for more than 128. Where they do share one, only their ports have to differ, which is what
/// the system sees to.
pub fn loopback() -> Ipv4Addr {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(128).wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
    Ipv4Addr::from(0x7F01_0000 + number % (250 << 16))
}

/// Says why a test is skipped: on standard error, past the capture of the test harness.
pub fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "skipped: {why}");
}

/// The programs of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// The programs of the READMEs of the crates.
#[cfg(doctest)]
#[doc = include_str!("../../crates/proxyfix/README.md")]
#[doc = include_str!("../../crates/proxyfix-axum/README.md")]
#[doc = include_str!("../../crates/proxyfix-cgi/README.md")]
pub struct CrateReadmes;

/// The programs of the guides.
#[cfg(doctest)]
#[doc = include_str!("../../crates/proxyfix/docs/coming-from.md")]
#[doc = include_str!("../../crates/proxyfix-cgi/docs/deployment.md")]
#[doc = include_str!("../../crates/proxyfix-cgi/docs/deployment/http.md")]
#[doc = include_str!("../../crates/proxyfix-cgi/docs/deployment/fastcgi.md")]
pub struct Guides;
