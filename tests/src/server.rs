//! The application behind the proxies: it answers with everything that it sees.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::routing::get;
use axum::{Json, Router};
use http::request::Parts;
use proxyfix::{Fix, Mount, Origin, Peer, Port};
use proxyfix_axum::{AbsoluteUrl, ClientIp, ConnectedPeer, wrap};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::loopback;

/// Serves the application behind `fix`, with axum, on a loopback address of its own, until the
/// runtime ends.
///
/// | path | answer |
/// | --- | --- |
/// | `/client-ip` | what [`ClientIp`] extracts, or its rejection |
/// | `/optional-client-ip` | what `Option<ClientIp>` extracts, for people |
/// | `/users/{id}` and any other | what it [sees](seen) |
pub async fn serve(fix: impl Fix + Clone + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((loopback(), 0)).await.expect("a free port of a loopback address");
    let address = listener.local_addr().expect("a bound listener has an address");
    let app = wrap(router(), fix).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Serves the same application on a unix socket at `path`.
#[cfg(unix)]
pub fn serve_unix(path: &std::path::Path, fix: impl Fix + Clone + Send + Sync + 'static) {
    let listener = tokio::net::UnixListener::bind(path).expect("a unix socket in a temporary folder");
    let app = wrap(router(), fix).into_make_service_with_connect_info::<ConnectedPeer>();
    tokio::spawn(async move { axum::serve(listener, app).await });
}

fn router() -> Router {
    let answer = |route: &'static str| {
        async move |request: Request| Json(seen(&mut request.into_parts().0, route).await)
    };
    Router::new()
        .route("/users/{id}", get(answer("/users/{id}")))
        .route("/client-ip", get(|ClientIp(ip): ClientIp| async move { ip.to_string() }))
        .route("/optional-client-ip", get(|ip: Option<ClientIp>| async move { format!("{ip:?}") }))
        .fallback(answer("fallback"))
}

/// Everything that the handler of `route` sees of a request, as JSON. What it does not see is null.
///
/// All ports of connections are under `ports`: they differ from one connection to the next.
pub async fn seen(parts: &mut Parts, route: &str) -> Value {
    let url = AbsoluteUrl::from_request_parts(parts, &()).await.ok();
    let mut headers = BTreeMap::<&str, Vec<String>>::new();
    for (name, value) in &parts.headers {
        headers.entry(name.as_str()).or_default().push(value.as_bytes().escape_ascii().to_string());
    }
    let origin = parts.extensions.get::<Origin>();
    let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
    let peer = origin.map(|it| it.peer()).or_else(|| parts.extensions.get().copied());
    let peer = peer.filter(|it| !it.is_unknown());
    json!({
        "route": route,
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "headers": headers,
        "peer": peer.map(|it| it.ip().map_or(it.to_string(), |ip| ip.to_string())),
        "client": origin.and_then(|it| it.client()),
        "complete": origin.map(|it| it.is_complete()),
        "ending": origin.map(|it| it.ending().as_str()),
        "last_verified": origin.map(|it| it.last_verified().ip()),
        "scheme": origin.map(|it| it.scheme().as_str()),
        "host": origin.and_then(|it| it.host()).map(ToString::to_string),
        "port": origin.and_then(|it| it.port()).map(Port::get),
        "prefix": origin.map(|it| it.prefix().as_str()),
        "mount": parts.extensions.get::<Mount>().map(|it| it.prefix().as_str()),
        "url": url.map(|it| it.of("/login?next=%2F")),
        "connect_info": connected.map(|it| it.ip()),
        "ports": {
            "peer": peer.and_then(|it: Peer| it.port()),
            "client": origin.and_then(|it| it.client_port()),
            "connect_info": connected.map(|it| it.port()),
        },
    })
}
