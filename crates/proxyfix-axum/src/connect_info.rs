//! `ConnectInfo` in, `ConnectInfo` out: the peer for the fixes, the client for the handlers.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::extract::connect_info::{Connected, MockConnectInfo};
use axum::serve::IncomingStream;
use http::Extensions;
use http::request::Parts;
use proxyfix::{Connection, Fix, Glance, Head, Origin, Original, Peer};

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
/// The fix learns who is connected from the [`Peer`] in the extensions, `ConnectInfo<SocketAddr>`,
/// `ConnectInfo<ConnectedPeer>` or `MockConnectInfo<SocketAddr>`, whichever is there first. After it,
/// `ConnectInfo<SocketAddr>` is the client, so that code which reads it needs no change:
///
/// | origin | `ConnectInfo<SocketAddr>` afterwards |
/// | --- | --- |
/// | the client is the peer | the peer; an IPv4-mapped address is folded, as everywhere |
/// | another client was found | its address, and its port or 0 |
/// | incomplete: nobody knows the client | withheld, so that the proxy is not taken for it |
/// | none, for the fix looks for no client | as it was; the [`Peer`] where there was none, such as the client that a CGI gateway was told of |
///
/// Who was connected is kept in the [`Origin`] (`Origin::peer`), where a second application
/// finds it; a [`Peer`] in the extensions is never changed. Where the fix keeps the [`Original`], [`proxyfix::restore`] brings back `ConnectInfo<SocketAddr>` as it was.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectInfoFix<F>(pub F);

impl<F: Fix> Fix for ConnectInfoFix<F> {
    fn fix(&self, parts: &mut Parts) {
        self.fix_from(Connection::default(), parts);
    }

    fn fix_from(&self, known: Connection, parts: &mut Parts) -> Option<Peer> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
        let connection = match address {
            Some(address) => Connection::from(Peer::from(address)).beside(1),
            None => connection(parts).unwrap_or(known),
        };
        let found = match self.0.fix_from(connection, parts) {
            Some(client) => client,
            None => client_found_before(connection, parts)?,
        };
        let client = address_of(found);
        // Most requests without a proxy end here.
        if client != address || address.is_none() {
            set_client(parts, client);
        }
        Some(found)
    }

    #[inline]
    fn glances(&self) -> bool {
        self.0.glances()
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what is passed on would be copied, byte by byte")]
    fn glance(&self, _: Connection, head: Head<'_>, glance: &mut Glance) -> Option<()> {
        let ConnectInfo(address) = head.extensions.get::<ConnectInfo<SocketAddr>>()?;
        self.0.glance(Connection::from(Peer::from(*address)).beside(1), head, glance)?;
        // Most requests without a proxy end here.
        if !is_of(address, glance.client()) {
            glance.and_tell(tell);
        }
        Some(())
    }
}

/// Whether this is the address of the client.
#[inline]
fn is_of(address: &SocketAddr, client: Peer) -> bool {
    match (address, client.ip()) {
        (SocketAddr::V4(v4), Some(IpAddr::V4(ip))) => {
            (*v4.ip(), v4.port()) == (ip, client.port().unwrap_or(0))
        }
        _ => Some(*address) == address_of(client),
    }
}

/// The address of a client that is known.
fn address_of(client: Peer) -> Option<SocketAddr> {
    client.ip().map(|ip| SocketAddr::new(ip, client.port().unwrap_or(0)))
}

/// Lets `ConnectInfo`, the only extension, say who the client is.
fn tell(extensions: &mut Extensions, client: Peer) {
    match (address_of(client), extensions.get_mut::<ConnectInfo<SocketAddr>>()) {
        (Some(client), Some(ConnectInfo(address))) => *address = client,
        _ => drop(extensions.remove::<ConnectInfo<SocketAddr>>()),
    }
}

/// What `ConnectInfo` says of a unix socket, or a test of any.
#[cold]
fn connection(parts: &Parts) -> Option<Connection> {
    if let Some(ConnectInfo(ConnectedPeer(peer))) = parts.extensions.get::<ConnectInfo<ConnectedPeer>>() {
        return Some(Connection::from(*peer).beside(1));
    }
    let MockConnectInfo(address) = parts.extensions.get::<MockConnectInfo<SocketAddr>>()?;
    Some(Connection::from(Peer::from(*address)).beside(1))
}

/// Behind a fix that does not look for the client: what an earlier one found. Where there was none, a
/// later one finds the peer, and handlers find who is connected in axum's word.
#[cold]
fn client_found_before(connection: Connection, parts: &mut Parts) -> Option<Peer> {
    if let Some(origin) = parts.extensions.get::<Origin>() {
        let port = origin.client_port();
        return Some(origin.client().map_or(Peer::unknown(), |ip| Peer::new(ip, port)));
    }
    connection.leave_peer(parts);
    let extensions = &mut parts.extensions;
    let said = extensions.get::<ConnectInfo<SocketAddr>>().is_some()
        || extensions.get::<MockConnectInfo<SocketAddr>>().is_some();
    let peer = extensions.get::<Peer>().copied().unwrap_or_default();
    if let (false, Some(ip)) = (said, peer.ip()) {
        keep_original(parts);
        parts.extensions.insert(ConnectInfo(SocketAddr::new(ip, peer.port().unwrap_or(0))));
    }
    None
}

/// Lets `ConnectInfo` say who the client is, in the place where it is: that needs no memory.
fn set_client(parts: &mut Parts, client: Option<SocketAddr>) {
    // Beside the original there is an origin, or what said who is connected.
    if parts.extensions.len() > 1 {
        keep_original(parts);
    }
    let extensions = &mut parts.extensions;
    match (client, extensions.get_mut::<ConnectInfo<SocketAddr>>()) {
        (Some(client), Some(ConnectInfo(address))) => *address = client,
        (Some(client), None) => drop(extensions.insert(ConnectInfo(client))),
        (None, _) => {
            extensions.remove::<ConnectInfo<SocketAddr>>();
            extensions.remove::<MockConnectInfo<SocketAddr>>();
        }
    }
}

fn keep_original(parts: &mut Parts) {
    if parts.extensions.get::<Original>().is_some() {
        Original::keep::<ConnectInfo<SocketAddr>>(parts);
        Original::keep::<MockConnectInfo<SocketAddr>>(parts);
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use proxyfix::{Fixed, KeepOriginal, Mount, Proof, ProxyFix, Scheme, TrustedProxies};
    use tower_service::Service as _;

    use super::*;

    /// Finds the client by means of its own.
    struct Finder(SocketAddr);

    impl Fix for Finder {
        fn fix(&self, _: &mut Parts) {}

        fn fix_from(&self, _: Connection, _: &mut Parts) -> Option<Peer> {
            Some(self.0.into())
        }
    }

    /// Red when: at a glance another client is told, or the address of a dual-stack listener is left as it was.
    #[test]
    fn a_service_tells_what_a_fix_tells() {
        let trusted: TrustedProxies = "10.0.0.0/8, 2001:db8:1::/48".parse().unwrap();
        let fix = ConnectInfoFix(ProxyFix::builder(trusted).unrecorded().build().unwrap());
        let peers = ["10.0.0.2:40000", "192.0.2.1:0", "[::ffff:10.0.0.2]:1", "[::ffff:192.0.2.1]:1"];
        let peers = peers.into_iter().chain(["[2001:db8:1::7]:1", "[2001:db8:9::7]:1", "[fe80::1%3]:1"]);
        let peers = peers.map(|peer| peer.parse::<SocketAddr>().unwrap());
        let lines =
            [None, Some("203.0.113.9"), Some("[2001:db8:9::1]:7, 10.0.0.9"), Some("10.0.0.2"), Some("junk")];
        let beside: [&dyn Fn(&mut Extensions); 5] = [
            &|_| (),
            &|it| _ = it.insert("203.0.113.77".parse::<Peer>().unwrap()),
            &|it| _ = it.insert(Scheme::Https),
            &|it| _ = it.insert(Mount::from_script_name(b"/app").unwrap()),
            &|it| _ = it.insert(0),
        ];
        let mut glances = 0;
        for (peer, line) in peers.flat_map(|peer| lines.map(|line| (peer, line))) {
            for insert in beside {
                let mut request = http::Request::get("/").header("host", "good.example");
                if let Some(line) = line {
                    request = request.header("x-forwarded-for", line);
                }
                let mut request = request.body(()).unwrap();
                request.extensions_mut().insert(ConnectInfo(peer));
                insert(request.extensions_mut());
                let (uri, headers, extensions) = (request.uri(), request.headers(), request.extensions());
                let glance = fix.glance(
                    Connection::default(),
                    Head { uri, headers, extensions },
                    &mut Glance::default(),
                );
                glances += usize::from(glance.is_some());
                let (mut parts, ()) = request.clone().into_parts();
                fix.fix(&mut parts);
                let leaf = tower::service_fn(|request: http::Request<()>| ready(Ok::<_, ()>(request)));
                let told = Fixed::new(&fix, leaf).call(request).into_inner().unwrap();
                let address = |it: &Extensions| it.get::<ConnectInfo<SocketAddr>>().map(|it| it.0);
                assert_eq!(address(told.extensions()), address(&parts.extensions), "{peer} {line:?}");
                assert_eq!(told.headers(), &parts.headers, "{peer} {line:?}");
                assert_eq!(told.extensions().len(), parts.extensions.len(), "{peer} {line:?}");
            }
        }
        // Of each peer and line, what has nothing beside it.
        let enough = fix.0.glances();
        assert_eq!((fix.glances(), Fix::glances(&&fix)), (enough, enough));
        assert_eq!(glances, if enough { 7 * 5 } else { 0 });
    }

    #[test]
    fn a_fix_around_a_fix_changes_nothing() {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let fix = || ConnectInfoFix(ProxyFix::builder(trusted.clone()).unrecorded().build().unwrap());
        let (mut parts, ()) =
            http::Request::get("/").header("x-forwarded-for", "203.0.113.9").body(()).unwrap().into_parts();
        parts.extensions.insert(ConnectInfo("10.0.0.2:40000".parse::<SocketAddr>().unwrap()));
        let mut nested = parts.clone();
        fix().fix(&mut parts);
        ConnectInfoFix(fix()).fix(&mut nested);
        let address = |it: &Parts| it.extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0);
        assert_eq!((address(&nested), nested.extensions.len()), (address(&parts), parts.extensions.len()));
        assert_eq!(address(&nested), "203.0.113.9:0".parse().ok());
    }

    #[test]
    fn what_is_kept_is_restored_where_connect_info_was_withheld_or_no_origin_is_left() {
        let proxy: SocketAddr = "10.0.0.2:40000".parse().unwrap();
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let proof = Proof::secret("X-Secret", ["0123456789abcdef0123456789abcdef"]).unwrap();
        let first = ConnectInfoFix(ProxyFix::builder(trusted.clone()).and_proof(proof).build().unwrap());
        let second = ConnectInfoFix((KeepOriginal, ProxyFix::new(trusted.clone())));
        let finder = ConnectInfoFix((KeepOriginal, Finder("203.0.113.9:1".parse().unwrap())));

        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.extensions.insert(ConnectInfo(proxy));
        let address = |parts: &Parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0);

        let mut withheld = parts.clone();
        first.fix(&mut withheld);
        assert_eq!(address(&withheld), None);
        second.fix(&mut withheld);
        assert_eq!(address(&withheld), Some(proxy));
        proxyfix::restore(&mut withheld);
        assert_eq!(address(&withheld), None);

        finder.fix(&mut parts);
        assert_eq!(address(&parts), "203.0.113.9:1".parse().ok());
        proxyfix::restore(&mut parts);
        assert_eq!(address(&parts), Some(proxy));
    }
}
