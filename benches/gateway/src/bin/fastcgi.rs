//! The application over FastCGI, as proxyfix-cgi serves it, on the unix socket that is named.

use std::env;
use std::error::Error;

use proxyfix_bench_gateway::app;
use proxyfix_cgi::{Gateway, Limits, Listener};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("a path is missing")?;
    // axum over HTTP has no limit of its own for what the handler streams.
    let limits = Limits::default().body(u64::MAX);
    Gateway::new().limits(limits).fastcgi(Listener::unix(path), app()).await?;
    Ok(())
}
