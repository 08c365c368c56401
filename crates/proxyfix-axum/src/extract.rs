//! Extractors: what a handler wants to know of the request that its client sent.

use std::fmt;
use std::net::IpAddr;
use std::sync::Once;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use proxyfix::Ending;

/// Where the request came from: the whole answer, with its reason.
///
/// ```
/// use proxyfix_axum::Origin;
///
/// async fn whoami(Origin(origin): Origin) -> String {
///     format!("{:?}, because {origin}", origin.client())
/// }
/// # let _ = whoami;
/// ```
#[derive(Clone, Debug)]
pub struct Origin(pub proxyfix::Origin);

/// The address of the client.
///
/// Rejects with 400 where nobody knows it, because a proxy or the client made the chain unreadable;
/// take `Option<ClientIp>` to go on without. Where a trusted peer sent no header at all it is the
/// peer (health checks); ask `is_complete_and` of the [origin](proxyfix::Origin) before
/// you take an address for internal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientIp(pub IpAddr);

/// The host that the client asked for. Rejects with 400 where it stated none that is well-formed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(pub proxyfix::Host);

/// The scheme that the client used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scheme(pub proxyfix::Scheme);

/// Where the application is mounted; the root where nobody said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mount(pub proxyfix::Mount);

/// Writes URLs of this application as the client has to write them: scheme, host, port and external
/// prefix. Rejects with 400 where the client stated no well-formed host.
///
/// ```
/// use axum::response::Redirect;
/// use proxyfix_axum::AbsoluteUrl;
///
/// // Behind https://good.example/app this redirects to https://good.example/app/login?next=%2F.
/// async fn login(url: AbsoluteUrl) -> Redirect {
///     Redirect::to(&url.of("/login?next=%2F"))
/// }
/// # let _ = login;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AbsoluteUrl {
    base: String,
    mount: proxyfix::Mount,
}

impl AbsoluteUrl {
    /// The URL of `path`, a path as the router knows it, with or without a query.
    ///
    /// It is taken as it is, in its encoded form; one that does not begin with `/` gets one.
    pub fn of(&self, path: &str) -> String {
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("{}{}{slash}{path}", self.base, self.mount.prefix())
    }

    /// Scheme, host and, where it is not the default, port: `https://good.example:8443`.
    pub fn origin(&self) -> &str {
        &self.base
    }
}

/// Why an extractor has nothing to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// No fix ran before this handler, so there is no origin. A wiring error: 500.
    NoFix,
    /// A fix ran, but it was not told who is connected. A wiring error: 500.
    NoPeer,
    /// The peer is a local socket, has no address and is not trusted. A wiring error: 500.
    UntrustedSocket,
    /// The chain of proxies does not say who the client is: 400.
    ClientUnknown(Ending),
    /// The request states no well-formed host: 400.
    HostUnknown,
}

impl Rejection {
    /// 500 for what the operator has to mend, 400 for what came with the request.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoFix | Self::NoPeer | Self::UntrustedSocket => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ClientUnknown(_) | Self::HostUnknown => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFix => f.write_str(
                "no ProxyFix ran before this handler: wrap the whole router, proxyfix_axum::wrap(router, fix)",
            ),
            Self::NoPeer => f.write_str(
                "nobody said who is connected: serve app.into_make_service_with_connect_info::<SocketAddr>()",
            ),
            Self::UntrustedSocket => f.write_str(
                "the peer is a local socket, which has no address and is not trusted: add \"unix\" to the \
                 trusted set if it is your proxy",
            ),
            Self::ClientUnknown(ending) => {
                write!(
                    f,
                    "the proxies in front do not say who the client is ({ending}); the Origin says which of \
                     them, where, and the cure"
                )
            }
            Self::HostUnknown => f.write_str(
                "the request states no well-formed host: let the proxy send Host, or read the header in which \
                 it states the host",
            ),
        }
    }
}

impl std::error::Error for Rejection {}

/// A fixed text, never cached, without anything of the request; wiring errors are explained in the
/// log, once each (event `axum.wiring`, an error), not to the client.
impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let body = match self {
            Self::NoFix | Self::NoPeer | Self::UntrustedSocket => {
                static REPORTED: [Once; 3] = [const { Once::new() }; 3];
                let once = match self {
                    Self::NoFix => &REPORTED[0],
                    Self::NoPeer => &REPORTED[1],
                    _ => &REPORTED[2],
                };
                // Any client can make it happen again.
                once.call_once(|| tracing::error!(event = "axum.wiring", "{self} (said once)"));
                "this service is not set up to know its clients"
            }
            Self::ClientUnknown(_) => "the proxies in front do not say who the client is",
            Self::HostUnknown => "the request states no well-formed host",
        };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        (self.status(), headers, body).into_response()
    }
}

fn origin(parts: &Parts) -> Result<&proxyfix::Origin, Rejection> {
    parts.extensions.get().ok_or(Rejection::NoFix)
}

fn mount(parts: &Parts) -> proxyfix::Mount {
    parts.extensions.get().cloned().unwrap_or_default()
}

fn client_ip(parts: &Parts) -> Result<ClientIp, Rejection> {
    let origin = origin(parts)?;
    origin.client().map(ClientIp).ok_or(match origin.ending() {
        Ending::PeerUnknown => Rejection::NoPeer,
        ending if origin.is_unproven() => Rejection::ClientUnknown(ending),
        // Only a local socket is a hop without an address.
        ending if !ending.is_incomplete() => Rejection::UntrustedSocket,
        ending => Rejection::ClientUnknown(ending),
    })
}

/// Implements an extractor by a function of the head.
macro_rules! extractor {
    ($name:ident, $read:expr) => {
        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Rejection;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
                let read: fn(&Parts) -> Result<Self, Rejection> = $read;
                read(parts)
            }
        }
    };
}

extractor!(Origin, |parts| origin(parts).cloned().map(Self));
extractor!(Scheme, |parts| origin(parts).map(|it| Self(it.scheme())));
extractor!(Mount, |parts| origin(parts).map(|_| Self(mount(parts))));
extractor!(Host, |parts| { origin(parts)?.host().cloned().map(Self).ok_or(Rejection::HostUnknown) });
extractor!(ClientIp, client_ip);
extractor!(AbsoluteUrl, |parts| {
    let origin = origin(parts)?;
    let host = origin.host().ok_or(Rejection::HostUnknown)?;
    let port = origin.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(Self { base: format!("{}://{host}{port}", origin.scheme()), mount: mount(parts) })
});

/// `None` where nobody knows the client; wiring errors are rejected all the same.
impl<S: Send + Sync> OptionalFromRequestParts<S> for ClientIp {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        match client_ip(parts) {
            Ok(client) => Ok(Some(client)),
            Err(Rejection::ClientUnknown(_) | Rejection::UntrustedSocket) => Ok(None),
            Err(wiring) => Err(wiring),
        }
    }
}
