//! Any HTTP service as a FastCGI, SCGI or CGI application.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let app = Router::new().route("/", get(async || "Hello, World!\n"));
//!     proxyfix_cgi::serve(app, "127.0.0.1:3000").await?;
//!     Ok(())
//! }
//! ```
//!
//! # Where is what
//!
//! | you want to | look at | file |
//! | --- | --- | --- |
//! | deploy it, and know what goes wrong | the module `deployment` | `docs/deployment.md` |
//! | serve what the process was started for | [`serve`](fn@serve), [`Gateway::serve`] | `serve.rs` |
//! | choose protocol and socket | [`Gateway::fastcgi`], [`Gateway::scgi`], [`Gateway::cgi`], [`Listener`] | `serve.rs`, `listen.rs` |
//! | say where the application is mounted, and what is believed | [`Gateway`] | `gateway.rs`, `request.rs` |
//! | test what a request becomes, without a server | [`Gateway::request`] | `request.rs` |
//! | read what the web server said of a request | [`MetaVariables`], [`RemoteUser`] | `variables.rs` |
//! | know what is too large or too slow | [`Limits`] | `limits.rs` |
//! | know what is logged | [`events`] | `events.rs` |
//! | read the protocols yourself | [`fastcgi`], [`scgi`] | `fastcgi/`, `scgi.rs` |

mod body;
mod cgi;
mod connection;
#[cfg(all(doc, not(doctest)))]
pub mod deployment;
mod error;
pub mod events;
pub mod fastcgi;
mod gateway;
mod life;
mod limits;
mod listen;
mod request;
mod response;
pub mod scgi;
mod serve;
mod variables;
#[cfg(feature = "http")]
mod web;

pub use body::{Body, BodyError};
pub use error::Error;
pub use gateway::{DuplicateHeaders, Gateway};
pub use limits::Limits;
pub use listen::Listener;
pub use request::{Refusal, RemoteUser};
pub use serve::serve;
pub use variables::MetaVariables;
