//! The application over HTTP/1.1, as axum serves it, on the unix socket that is named.

use std::{env, io};

use proxyfix_bench_gateway::app;
use tokio::net::UnixListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let path = env::args_os().nth(1).ok_or(io::ErrorKind::InvalidInput)?;
    axum::serve(UnixListener::bind(path)?, app()).await
}
