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

mod body;
mod cgi;
mod connection;
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
