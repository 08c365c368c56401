//! [`proxyfix`] for axum: three lines, and every handler knows its client.
//!
//! ```no_run
//! use std::net::SocketAddr;
//!
//! use axum::{Router, routing::get};
//! use proxyfix::{ProxyFix, TrustedProxies};
//! use proxyfix_axum::{AbsoluteUrl, ClientIp, wrap};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let app = Router::new().route("/", get(hello));
//!
//!     let trusted: TrustedProxies = "loopback, 10.0.0.0/24".parse()?;
//!     let app = wrap(app, ProxyFix::builder(trusted).host().build()?);
//!
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
//!     Ok(())
//! }
//!
//! async fn hello(ClientIp(ip): ClientIp, url: AbsoluteUrl) -> String {
//!     format!("Hello, {ip}. You are at {}.\n", url.of("/"))
//! }
//! ```
//!
//! | you want | take | file |
//! | --- | --- | --- |
//! | the fix around the whole router | [`wrap`] | `wrap.rs` |
//! | the peer of a unix listener | [`ConnectedPeer`] | `connect_info.rs` |
//! | `ConnectInfo` rewritten, in a stack of your own | [`ConnectInfoFix`] | `connect_info.rs` |
//! | client, host, scheme, mount, URLs in a handler | [`ClientIp`], [`Host`], [`Scheme`], [`Mount`], [`AbsoluteUrl`] | `extract.rs` |
//! | the whole answer and its reason | [`Origin`] | `extract.rs` |
//!
//! The peer comes from axum's connection information. Where
//! `into_make_service_with_connect_info` is missing, no header is believed, the first request reports
//! an error through `tracing` (on standard error where nothing collects it), and [`ClientIp`] answers
//! 500: that is the operator's to mend.

mod connect_info;
mod extract;
mod wrap;

pub use connect_info::{ConnectInfoFix, ConnectedPeer};
pub use extract::{AbsoluteUrl, ClientIp, Host, Mount, Origin, Rejection, Scheme};
pub use wrap::{Wrapped, wrap};
