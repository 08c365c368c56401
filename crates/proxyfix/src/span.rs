//! Where a request came from, as attributes of its span.
//!
//! # Example
//!
//! ```
//! use http::{Request, Response};
//! use proxyfix::{Peer, ProxyFix, TrustedProxies};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_http::trace::TraceLayer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! tracing_subscriber::fmt().init();
//!
//! let mut service = ServiceBuilder::new()
//!     .layer(ProxyFix::new("10.0.0.0/24".parse::<TrustedProxies>()?))
//!     .layer(TraceLayer::new_for_http().make_span_with(proxyfix::span)) // inside: after the fix
//!     .service(service_fn(|_: Request<String>| async {
//!         tracing::info!("hello");
//!         Ok::<_, std::convert::Infallible>(Response::new(String::new()))
//!     }));
//!
//! // INFO request{client.address=203.0.113.9 network.peer.address=10.0.0.2 url.scheme="http"}: … hello
//! let request = Request::get("/")
//!     .extension("10.0.0.2".parse::<Peer>()?)
//!     .header("x-forwarded-for", "203.0.113.9")
//!     .body(String::new())?;
//! service.ready().await?.call(request).await?;
//! # Ok(())
//! # }
//! ```

use http::Request;
use proxyfix_policy::Host;
use tracing::Span;
use tracing::field::{Empty, display};

use crate::Origin;

/// A span for a request, with the attributes of its [`Origin`]: for `TraceLayer::make_span_with` of
/// `tower-http`, behind the fix.
///
/// The names are those of OpenTelemetry's conventions for HTTP. What is not known stays empty.
///
/// | attribute | value |
/// | --- | --- |
/// | `client.address`, `client.port` | the client, where somebody knows it; its port, where one was stated |
/// | `network.peer.address`, `network.peer.port` | the peer; nothing for a local socket |
/// | `server.address`, `server.port` | the host that the client asked for, and the port, the scheme's default too |
/// | `url.scheme` | the scheme that the client used |
///
/// No text of the request gets there that has not passed a grammar of ours.
pub fn span<B>(request: &Request<B>) -> Span {
    let span = tracing::info_span!(
        "request",
        client.address = Empty,
        client.port = Empty,
        network.peer.address = Empty,
        network.peer.port = Empty,
        server.address = Empty,
        server.port = Empty,
        url.scheme = Empty,
    );
    if let Some(origin) = request.extensions().get() {
        record(&span, origin);
    }
    span
}

/// Records the attributes of [`span`](fn@span) in a span of your own, which has to declare them:
///
/// ```
/// use tracing::field::Empty;
///
/// # let origin: Option<proxyfix::Origin> = None;
/// let span = tracing::info_span!("request", method = "GET", client.address = Empty, url.scheme = Empty);
/// if let Some(origin) = &origin {
///     proxyfix::record(&span, origin);
/// }
/// ```
pub fn record(span: &Span, origin: &Origin) {
    if span.is_disabled() {
        return;
    }
    let peer = origin.peer();
    origin.client().map(|ip| span.record("client.address", display(ip)));
    origin.client_port().map(|port| span.record("client.port", port));
    peer.ip().map(|ip| span.record("network.peer.address", display(ip)));
    peer.port().map(|port| span.record("network.peer.port", port));
    if let Some(host) = origin.host().map(Host::as_str) {
        let port = origin.port().unwrap_or(origin.scheme().default_port());
        span.record("server.address", host.trim_matches(['[', ']']));
        span.record("server.port", port.get());
    }
    span.record("url.scheme", origin.scheme().as_str());
}
