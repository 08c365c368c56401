//! Hello world by axum: as it is, with the client's address, or as FastCGI and CGI.

use std::error::Error;

use axum::{Router, routing::get};

const ADDRESS: &str = "127.0.0.1:3000";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Router::new().route("/", get(hello));

    #[cfg(feature = "proxyfix-axum")]
    let app =
        proxyfix_axum::wrap(app, proxyfix::ProxyFix::new("loopback".parse::<proxyfix::TrustedProxies>()?));

    #[cfg(feature = "proxyfix-cgi")]
    proxyfix_cgi::serve(app, ADDRESS).await?;
    #[cfg(not(feature = "proxyfix-cgi"))]
    {
        let listener = tokio::net::TcpListener::bind(ADDRESS).await?;
        let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
        axum::serve(listener, app).await?;
    }
    Ok(())
}

#[cfg(feature = "proxyfix-axum")]
async fn hello(proxyfix_axum::ClientIp(client): proxyfix_axum::ClientIp) -> String {
    client.to_string()
}

#[cfg(not(feature = "proxyfix-axum"))]
async fn hello() -> &'static str {
    "hello, world"
}
