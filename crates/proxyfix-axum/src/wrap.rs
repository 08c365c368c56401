//! The whole router, wrapped: rewriting happens before routing.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use axum::extract::Request;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::response::Response;
use axum::{BoxError, Router};
use proxyfix::{Fix, Fixed};
use tower_service::Service;

use crate::ConnectInfoFix;

/// Puts `fix` around the whole of `router`.
///
/// `Router::layer` runs after routing, too late to change the path or the host that routes match;
/// this runs before. It is cheaper, too: `Router::layer` boxes the service of every route. `fix` is any [`Fix`], a tuple
/// of several included.
///
/// ```no_run
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// use std::net::SocketAddr;
///
/// use axum::{Router, routing::get};
/// use proxyfix::{ProxyFix, TrustedProxies};
/// use proxyfix_axum::{ClientIp, wrap};
///
/// let app = Router::new().route("/", get(|ClientIp(ip): ClientIp| async move { ip.to_string() }));
/// let app = wrap(app, ProxyFix::new("loopback".parse::<TrustedProxies>()?));
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Tests
///
/// [`MockConnectInfo`](axum::extract::connect_info::MockConnectInfo) has to be where the real one
/// would come from, outside:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::net::SocketAddr;
///
/// use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use proxyfix::{ProxyFix, TrustedProxies};
/// use tower::{Layer, ServiceExt};
///
/// let app = Router::new()
///     .route("/", get(|ConnectInfo(client): ConnectInfo<SocketAddr>| async move { client.to_string() }));
/// let app = proxyfix_axum::wrap(app, ProxyFix::new("10.0.0.0/8".parse::<TrustedProxies>()?));
/// let app = MockConnectInfo("10.0.0.2:40000".parse::<SocketAddr>()?).layer(app);
///
/// let request = Request::get("/").header("x-forwarded-for", "203.0.113.9").body(Body::empty())?;
/// let response = app.oneshot(request).await?;
/// let body = axum::body::to_bytes(response.into_body(), 100).await?;
/// assert_eq!(body, "203.0.113.9:0");
/// # Ok(())
/// # }
/// ```
pub fn wrap<F: Fix>(router: Router, fix: F) -> Wrapped<F> {
    Wrapped(Fixed::new(ConnectInfoFix(fix), router))
}

/// A router behind a fix, made by [`wrap`]: a service for [`axum::serve()`], and like the router itself for
/// requests with any body.
#[derive(Clone, Debug)]
#[must_use = "a service does nothing until it is served"]
pub struct Wrapped<F>(Fixed<ConnectInfoFix<F>, Router>);

impl<F: Clone> Wrapped<F> {
    /// What [`axum::serve()`] serves, with the connection information that the fix needs: `C` is
    /// [`SocketAddr`](std::net::SocketAddr) for TCP, [`ConnectedPeer`](crate::ConnectedPeer) for any.
    pub fn into_make_service_with_connect_info<C>(self) -> IntoMakeServiceWithConnectInfo<Self, C>
    where
        F: Fix,
    {
        axum::ServiceExt::<Request>::into_make_service_with_connect_info(self)
    }
}

impl<F, B> Service<Request<B>> for Wrapped<F>
where
    F: Fix,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request)
    }
}
