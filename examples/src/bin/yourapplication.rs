//! Deployment: any. One program, unchanged, as FastCGI, as SCGI, as CGI and as plain HTTP.
//!
//! Started by lighttpd, mod_fcgid, spawn-fcgi or supervisor it finds a listening socket as its standard
//! input and speaks FastCGI on it; started for one request it speaks CGI; otherwise it is an HTTP server.
//! `examples/deployment/` has a configuration for each case and a script that starts it:
//!
//! ```text
//! cargo run -p proxyfix-examples --bin yourapplication      plain HTTP on 127.0.0.1:3000
//! examples/deployment/start.sh                              lists the deployments
//! examples/deployment/start.sh apache/fcgid-root            starts one of them
//! ```
//!
//! What differs between deployments is told by the environment, never by arguments: a web server may put
//! the query of a request there.
//!
//! | variable | means | without it |
//! | --- | --- | --- |
//! | `YOURAPPLICATION_MOUNT` | the public mount: empty for the root of the host, or `/yourapplication` | script name and path are taken as the web server sends them |
//! | `YOURAPPLICATION_PROXIES` | who may speak for the client: `127.0.0.1` where a proxy of this machine speaks HTTP to us | nobody |
//! | `YOURAPPLICATION_HTTP` | the address of the HTTP server | `127.0.0.1:3000` |
//! | `YOURAPPLICATION_FASTCGI` | a socket file or an address on which to listen for FastCGI | found out as above |
//! | `YOURAPPLICATION_SCGI` | the same for SCGI | found out as above |

use std::env;
use std::error::Error;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::{StatusCode, Uri};
use axum::response::Redirect;
use axum::routing::{get, post};
use proxyfix::{Prefix, ProxyFix, TrustedProxies};
use proxyfix_axum::{AbsoluteUrl, ClientIp, wrap};
use proxyfix_cgi::Gateway;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let router = Router::new()
        .route("/", get(index))
        .route("/hello/{name}", get(hello))
        .route("/old", get(old))
        .route("/upload", post(upload).layer(DefaultBodyLimit::disable()))
        .fallback(lost);

    // Declared once, the mount is right behind every server, whatever that sends as SCRIPT_NAME, and by HTTP.
    let mount: Option<Prefix> = said("YOURAPPLICATION_MOUNT").map(|it| it.parse()).transpose()?;
    let proxies: TrustedProxies = match said("YOURAPPLICATION_PROXIES") {
        Some(proxies) => proxies.parse()?,
        None => TrustedProxies::none(),
    };
    let app = wrap(router, ProxyFix::new(proxies));

    let mut gateway = Gateway::new();
    if let Some(mount) = mount {
        gateway = gateway.mount(mount);
    }
    match (said("YOURAPPLICATION_FASTCGI"), said("YOURAPPLICATION_SCGI"), said("YOURAPPLICATION_HTTP")) {
        (Some(place), ..) => gateway.fastcgi(place.parse()?, app).await?,
        (_, Some(place), _) => gateway.scgi(place.parse()?, app).await?,
        (.., address) => gateway.serve(app, address.as_deref().unwrap_or("127.0.0.1:3000")).await?,
    }
    Ok(())
}

fn said(name: &str) -> Option<String> {
    env::var(name).ok()
}

async fn index(ClientIp(client): ClientIp, url: AbsoluteUrl) -> String {
    format!("Hello, {client}. You are at {}\n", url.of("/"))
}

/// What the path was escaped for comes through: `/hello/a%2Fb` greets `a/b`.
async fn hello(Path(name): Path<String>, url: AbsoluteUrl) -> String {
    format!("Hello, {name}. Home is {}\n", url.of("/"))
}

/// Redirects have to carry the mount, which the router never sees.
async fn old(url: AbsoluteUrl) -> Redirect {
    Redirect::to(&url.of("/hello/again"))
}

async fn upload(body: Bytes) -> String {
    format!("{} octets\n", body.len())
}

async fn lost(uri: Uri) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("Nothing is at {}\n", uri.path()))
}
