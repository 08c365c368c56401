//! A server to put behind one's own proxies: it answers what it sees.

use std::sync::Arc;

use axum::Router;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use proxyfix_axum::ConnectedPeer;
use tokio::net::TcpListener;

use crate::decision::Decision;
use crate::stack::{PolicyArgs, Stack};
use crate::text::{Reader, describe};

/// Flags of `whoami`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen: an address with a port, or unix: and the path of a socket.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,
    #[command(flatten)]
    policy: PolicyArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let stack = Arc::new(args.policy.stack()?);
    let app = Router::new().fallback(move |ConnectInfo(ConnectedPeer(peer)), request: Request| {
        let stack = Arc::clone(&stack);
        async move { answer(&stack, peer, request) }
    });
    let app = app.into_make_service_with_connect_info::<ConnectedPeer>();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(async {
        let cannot = |error| format!("cannot listen on {}: {error}", args.listen);
        if let Some(path) = args.listen.strip_prefix("unix:") {
            serve_socket(path, app).await
        } else {
            let listener = TcpListener::bind(&args.listen).await.map_err(cannot)?;
            let address = listener.local_addr().map_err(cannot)?;
            anstream::eprintln!("listening on http://{address}/");
            axum::serve(listener, app).await.map_err(|error| error.to_string())
        }
    })
}

type App = IntoMakeServiceWithConnectInfo<Router, ConnectedPeer>;

#[cfg(unix)]
async fn serve_socket(path: &str, app: App) -> Result<(), String> {
    let listener = tokio::net::UnixListener::bind(path)
        .map_err(|error| format!("cannot listen on unix:{path}: {error}"))?;
    anstream::eprintln!("listening on unix:{path}");
    axum::serve(listener, app).await.map_err(|error| error.to_string())
}

#[cfg(not(unix))]
async fn serve_socket(path: &str, _: App) -> Result<(), String> {
    Err(format!("cannot listen on unix:{path}: this system has no unix sockets for it"))
}

fn answer(stack: &Stack, peer: proxyfix::Peer, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    parts.extensions.insert(peer);
    let received = parts.clone();
    stack.apply(&mut parts);
    let origin = stack.origin(&parts);
    let status = stack.refuses(&parts, &origin);
    let (content_type, body) = if wants_json(&received) {
        let order: Vec<HeaderName> = received.headers.keys().cloned().collect();
        let mut decision = Decision::new(&parts, &origin, status, &order);
        decision.reason = Some(origin.to_string());
        ("application/json", serde_json::to_string_pretty(&decision).unwrap_or_default() + "\n")
    } else {
        let text = describe(&received, &parts, &origin, status, Reader::Anyone);
        ("text/plain; charset=utf-8", anstream::adapter::strip_str(&text).to_string())
    };
    let status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}

/// `?format=json`, else `Accept`.
fn wants_json(parts: &http::request::Parts) -> bool {
    let format =
        parts.uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("format="));
    match format {
        Some(format) => format == "json",
        None => parts.headers.get_all(header::ACCEPT).iter().any(|accept| {
            accept.as_bytes().windows(16).any(|it| it.eq_ignore_ascii_case(b"application/json"))
        }),
    }
}
