//! `ConnectInfo` in, `ConnectInfo` out: the peer for the fixes, the client for the handlers.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::extract::connect_info::{Connected, MockConnectInfo};
use axum::serve::IncomingStream;
use http::request::Parts;
use proxyfix::{Fix, Origin, Original, Peer};

/// Connection information for any listener of axum, unix sockets included.
///
/// `into_make_service_with_connect_info::<SocketAddr>()` is enough for TCP. A unix listener has no
/// address to give; this type says what is known of either.
///
/// ```no_run
/// # #[cfg(unix)]
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, routing::get};
/// use proxyfix::{ProxyFix, TrustedProxies};
/// use proxyfix_axum::{ClientIp, ConnectedPeer, wrap};
///
/// let app = Router::new().route("/", get(|ClientIp(ip): ClientIp| async move { ip.to_string() }));
/// let app = wrap(app, ProxyFix::new("unix".parse::<TrustedProxies>()?));
///
/// let listener = tokio::net::UnixListener::bind("/run/app/http.sock")?;
/// axum::serve(listener, app.into_make_service_with_connect_info::<ConnectedPeer>()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectedPeer(pub Peer);

impl Connected<IncomingStream<'_, tokio::net::TcpListener>> for ConnectedPeer {
    fn connect_info(stream: IncomingStream<'_, tokio::net::TcpListener>) -> Self {
        Self(Peer::from(*stream.remote_addr()))
    }
}

#[cfg(unix)]
impl Connected<IncomingStream<'_, tokio::net::UnixListener>> for ConnectedPeer {
    fn connect_info(_: IncomingStream<'_, tokio::net::UnixListener>) -> Self {
        Self(Peer::local())
    }
}

/// Applies a fix between axum's `ConnectInfo` and axum's handlers; [`wrap`](crate::wrap) does this
/// for you.
///
/// Before the fix, the [`Peer`] is taken from `ConnectInfo<SocketAddr>`, `ConnectInfo<ConnectedPeer>`
/// or `MockConnectInfo<SocketAddr>`, whichever is there first. After it, `ConnectInfo<SocketAddr>` is
/// the client, so that code which reads it needs no change:
///
/// | origin | `ConnectInfo<SocketAddr>` afterwards |
/// | --- | --- |
/// | the client is the peer | the peer; an IPv4-mapped address is folded, as everywhere |
/// | another client was found | its address, and its port or 0 |
/// | incomplete: nobody knows the client | withheld, so that the proxy is not taken for it |
/// | none, for the fix looks for no client | as it was; the [`Peer`] where there was none, such as the client that a CGI gateway was told of |
///
/// The [`Peer`] in the extensions is never changed, so that a second application finds it. Where the fix
/// keeps the [`Original`], [`proxyfix::restore`] brings back `ConnectInfo<SocketAddr>` as it was.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectInfoFix<F>(pub F);

impl<F: Fix> Fix for ConnectInfoFix<F> {
    fn fix(&self, parts: &mut Parts) {
        if parts.extensions.get::<Peer>().is_none() {
            if let Some(peer) = connected_peer(parts) {
                parts.extensions.insert(peer);
            }
        }
        self.0.fix(parts);
        Original::keep::<ConnectInfo<SocketAddr>>(parts);
        Original::keep::<MockConnectInfo<SocketAddr>>(parts);
        let Some(origin) = parts.extensions.get::<Origin>() else {
            publish_peer(parts);
            return;
        };
        if let Some(ip) = origin.client() {
            let client = SocketAddr::new(ip, origin.client_port().unwrap_or(0));
            parts.extensions.insert(ConnectInfo(client));
        } else {
            parts.extensions.remove::<ConnectInfo<SocketAddr>>();
            parts.extensions.remove::<MockConnectInfo<SocketAddr>>();
        }
    }
}

/// Says who is connected in axum's word, where nobody said it.
fn publish_peer(parts: &mut Parts) {
    let extensions = &mut parts.extensions;
    let said = extensions.get::<ConnectInfo<SocketAddr>>().is_some()
        || extensions.get::<MockConnectInfo<SocketAddr>>().is_some();
    let peer = extensions.get::<Peer>().copied().unwrap_or_default();
    if let (false, Some(ip)) = (said, peer.ip()) {
        extensions.insert(ConnectInfo(SocketAddr::new(ip, peer.port().unwrap_or(0))));
    }
}

fn connected_peer(parts: &Parts) -> Option<Peer> {
    let extensions = &parts.extensions;
    if let Some(ConnectInfo(address)) = extensions.get::<ConnectInfo<SocketAddr>>() {
        return Some(Peer::from(*address));
    }
    if let Some(ConnectInfo(ConnectedPeer(peer))) = extensions.get::<ConnectInfo<ConnectedPeer>>() {
        return Some(*peer);
    }
    extensions.get::<MockConnectInfo<SocketAddr>>().map(|MockConnectInfo(address)| Peer::from(*address))
}
