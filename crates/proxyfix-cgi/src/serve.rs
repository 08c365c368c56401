//! From a listener to connections, until the end.

use std::collections::HashSet;
use std::env;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use proxyfix_policy::Peer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tower_service::Service;

use crate::connection::{BoxError, Connection, Protocol};
use crate::events::{Report, report};
use crate::life::{End, Stop};
use crate::listen::{self, Acceptor, BACKLOG, Open};
use crate::{Body, Error, Gateway, Listener, fastcgi, scgi};

/// Connections beyond the limit that are told so; the next ones wait in the kernel.
const REFUSED: usize = 64;
/// How long accepting pauses where it failed, the first time and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// Who may connect through TCP, as the starter says it (FastCGI specification section 3.2).
const WEB_SERVERS: &str = "FCGI_WEB_SERVER_ADDRS";

/// Serves an application as whatever the process was started for, with a [`Gateway`] as it comes. See
/// [`Gateway::serve`].
///
/// ```no_run
/// use axum::{Router, routing::get};
///
/// #[tokio::main]
/// async fn main() -> Result<(), proxyfix_cgi::Error> {
///     let app = Router::new().route("/", get(async || "Hello, World!\n"));
///     proxyfix_cgi::serve(app, "127.0.0.1:3000").await
/// }
/// ```
pub async fn serve<S, B>(app: S, http_address: &str) -> Result<(), Error>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    Gateway::new().serve(app, http_address).await
}

/// # Serving
///
/// | method | protocol | who may connect | ends |
/// | --- | --- | --- | --- |
/// | [`fastcgi`](Self::fastcgi) | FastCGI | see [`allow`](Self::allow) | with a signal, see below |
/// | [`scgi`](Self::scgi) | SCGI | the same | the same |
/// | [`cgi`](Self::cgi) | CGI | whoever started the process | with the one request |
/// | [`serve`](Self::serve) | as the process was started, or HTTP | as above; HTTP: everybody | as above |
/// | [`serve_connection`](Self::serve_connection) | FastCGI | as above | with the connection |
///
/// # Who may connect
///
/// Each variable of a request is the word of whoever is connected. So a peer that is not allowed is
/// closed before anything of it is read, and reported.
///
/// | stated | unix sockets | TCP |
/// | --- | --- | --- |
/// | nothing | whoever may open the file | this machine |
/// | [`allow`](Self::allow) | as before where the set has `unix`, else nobody, and the gateway does not start | the networks of the set |
/// | `FCGI_WEB_SERVER_ADDRS` (FastCGI) | as before | the addresses of the list, of those of the set where there is one |
///
/// # The life of the process
///
/// SIGTERM, SIGINT and SIGUSR1 stop the gateway; SIGHUP and SIGPIPE do nothing (except that SIGHUP ends
/// plain HTTP, for that is what closing its terminal means).
///
/// 1. The file of a unix socket that the gateway bound is removed. Connections that wait in the kernel are
///    accepted, those that come later are not.
/// 2. Requests in flight are answered; kept connections without one are closed.
/// 3. After [`Limits::shutdown_time`](crate::Limits::shutdown_time), or with the next signal, what is not
///    finished is cut off.
///
/// Then the method returns. Requests that a runtime cannot interrupt, such as those within
/// `spawn_blocking`, keep `main` from returning: call `std::process::exit` there where you have such.
///
/// Where accepting fails, for lack of file descriptors for example, it is reported and tried again after a
/// moment.
impl Gateway {
    /// Serves FastCGI: nginx, lighttpd, Apache (`mod_proxy_fcgi`, `mod_fcgid`), HAProxy, Caddy.
    pub async fn fastcgi<S, B>(self, listener: Listener, app: S) -> Result<(), Error>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let gate = Gate::new(&self, listed()?);
        self.cgi_like(listener, app, gate, |it| Protocol::FastCgi(fastcgi::Decoder::new(&it.limits))).await
    }

    /// Serves SCGI: nginx, lighttpd, Apache (`mod_proxy_scgi`). FastCGI does more and is as fast.
    pub async fn scgi<S, B>(self, listener: Listener, app: S) -> Result<(), Error>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let gate = Gate::new(&self, None);
        self.cgi_like(listener, app, gate, |it| Protocol::Scgi(scgi::Decoder::new(&it.limits))).await
    }

    async fn cgi_like<S, B>(
        self,
        listener: Listener,
        app: S,
        gate: Gate,
        protocol: fn(&Self) -> Protocol,
    ) -> Result<(), Error>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        self.limits.check()?;
        let mut open = listener.open(self.allowed.is_some())?;
        gate.check(&open)?;
        let end = match open.until.take() {
            Some(until) => End::Until(until),
            None => End::signals(true)?,
        };
        report(Report::Listening, &format_args!("listening on {}", open.name));
        let (connections, time) = (self.limits.connections, self.limits.shutdown_time);
        let handler = Gated { gate, gateway: Arc::new(self), app, protocol };
        run(open, end, Room::new(connections, REFUSED), time, handler).await;
        Ok(())
    }

    /// Serves FastCGI on one connection, whatever it is made of, to its end. `peer` is who is connected:
    /// it is allowed or not as for a [listener](Self#who-may-connect).
    ///
    /// ```
    /// use proxyfix_cgi::Gateway;
    /// use proxyfix_policy::Peer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), proxyfix_cgi::Error> {
    /// let (web_server, gateway) = tokio::io::duplex(64);
    /// drop(web_server);
    /// Gateway::new().serve_connection(gateway, Peer::local(), axum::Router::new()).await?;
    ///
    /// let (_stranger, gateway) = tokio::io::duplex(64);
    /// let peer = "203.0.113.9:4711".parse().unwrap();
    /// let served = Gateway::new().serve_connection(gateway, peer, axum::Router::new()).await;
    /// assert!(served.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn serve_connection<IO, S, B>(self, io: IO, peer: Peer, app: S) -> Result<(), Error>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError> + Send,
        B: http_body::Body,
        B::Error: Into<BoxError>,
    {
        self.limits.check()?;
        if !Gate::new(&self, None).admits(&peer) {
            report(Report::UntrustedPeer, &peer);
            return Err(Error::new(format!(
                "{peer} may not connect: state the web servers with Gateway::allow"
            )));
        }
        let protocol = Protocol::FastCgi(fastcgi::Decoder::new(&self.limits));
        let (_switch, stop) = Stop::new();
        Connection::new(io, protocol, Arc::new(self), app, stop, false).run().await;
        Ok(())
    }

    /// Serves as whatever the process was started for: one program for development, for servers that
    /// spawn it, and for a shared host.
    ///
    /// | the process finds | and serves |
    /// | --- | --- |
    /// | a listening socket as file descriptor 0 | FastCGI on it: [`fastcgi`](Self::fastcgi) of [`Listener::inherited`] |
    /// | else `GATEWAY_INTERFACE` in its environment | the one request: [`cgi`](Self::cgi) |
    /// | else sockets in `LISTEN_FDS` | HTTP/1.1 on [`Listener::systemd`] |
    /// | else | HTTP/1.1 on `http_address`, which is what [`Listener`] reads from text |
    ///
    /// # Plain HTTP
    ///
    /// For development, and behind a proxy. Everybody may connect who reaches the address, for nobody is
    /// believed: the peer is that of the connection. Requests have [`Peer`], `Scheme::Http` and a mount in
    /// their extensions, as they have behind a gateway. Where a [`mount`](Self::mount) was declared, it
    /// is cut off paths that lie below it; a path that does not is taken for one of the root, so that
    /// `/users` and `/yourapplication/users` both show what to expect.
    ///
    /// Of the [limits](crate::Limits), `connections` (the next ones wait), `head_time` (between requests, too),
    /// `body`, `record_time` and `shutdown_time` count; that a client takes nothing of an answer has no limit. Where standard error is a terminal, the address is printed.
    ///
    /// Takes the feature `http`, which is on by default.
    pub async fn serve<S, B>(self, app: S, http_address: &str) -> Result<(), Error>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        // Said wherever it is started, not only where it would matter.
        let listener = http_address.parse::<Listener>()?;
        if listen::fd_0_listens() {
            return self.fastcgi(Listener::inherited(), app).await;
        }
        if env::var_os("GATEWAY_INTERFACE").is_some_and(|it| !it.is_empty()) {
            return self.cgi(app).await;
        }
        let listener = if listen::systemd_starts() { Listener::systemd() } else { listener };
        self.http(listener, app).await
    }

    #[cfg(feature = "http")]
    async fn http<S, B>(self, listener: Listener, app: S) -> Result<(), Error>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        use std::io::IsTerminal as _;

        self.limits.check()?;
        let mut open = listener.open(true)?;
        let end = match open.until.take() {
            Some(until) => End::Until(until),
            None => End::signals(false)?,
        };
        report(Report::Listening, &format_args!("listening on {}, for HTTP", open.name));
        if io::stderr().is_terminal() {
            let scheme = if open.name.starts_with("unix:") { "" } else { "http://" };
            eprintln!("listening on {scheme}{}", open.name);
        }
        let (connections, time) = (self.limits.connections, self.limits.shutdown_time);
        let handler = crate::web::Web::new(&self, app);
        run(open, end, Room::new(connections, 0), time, handler).await;
        Ok(())
    }

    #[cfg(not(feature = "http"))]
    #[expect(clippy::unused_async, reason = "as with the feature")]
    async fn http<S>(self, _: Listener, _: S) -> Result<(), Error> {
        Err(Error::new(
            "file descriptor 0 is not a listening socket (FastCGI), GATEWAY_INTERFACE is not set (CGI), and \
             this program was built without plain HTTP: let a web server start it, or switch the feature \
             \"http\" of proxyfix-cgi on",
        ))
    }
}

/// Who may connect.
#[derive(Clone, Debug)]
struct Gate {
    allowed: Option<proxyfix_policy::TrustedProxies>,
    listed: Option<HashSet<IpAddr>>,
}

/// What the starter says of the web servers' addresses.
fn listed() -> Result<Option<HashSet<IpAddr>>, Error> {
    env::var_os(WEB_SERVERS).map(|text| read_list(&text.to_string_lossy())).transpose()
}

fn read_list(text: &str) -> Result<HashSet<IpAddr>, Error> {
    let read = |entry: &str| {
        entry.trim_ascii().parse::<IpAddr>().map(|it| it.to_canonical()).map_err(|_| {
            Error::new(format!(
                "{WEB_SERVERS} is {text:?}, of which {entry:?} is not an IP address: expected addresses with \
                 commas between, such as 192.0.2.7,192.0.2.8, or no such variable"
            ))
        })
    };
    text.split(',').map(read).collect()
}

impl Gate {
    fn new(gateway: &Gateway, listed: Option<HashSet<IpAddr>>) -> Self {
        Self { allowed: gateway.allowed.clone(), listed }
    }

    fn admits(&self, peer: &Peer) -> bool {
        let allowed = self.allowed.as_ref().map(|it| it.allows(peer));
        match peer.ip() {
            None => peer.is_local() && allowed != Some(false),
            Some(ip) => match &self.listed {
                Some(listed) => listed.contains(&ip) && allowed != Some(false),
                None => allowed.unwrap_or(ip.is_loopback()),
            },
        }
    }

    /// That somebody may connect.
    fn check(&self, open: &Open) -> Result<(), Error> {
        let Some(allowed) = &self.allowed else { return Ok(()) };
        let nobody = match open.socket {
            Acceptor::Unix(_) => !allowed.allows(&Peer::local()),
            Acceptor::Tcp(_) => !allowed.trusts_every_peer() && allowed.networks().is_empty(),
        };
        if !nobody {
            return Ok(());
        }
        let cure = match open.socket {
            Acceptor::Unix(_) => "add \"unix\" to the set; who may open the file decides then",
            Acceptor::Tcp(_) => "add the addresses of the web servers, or \"loopback\"",
        };
        Err(Error::new(format!(
            "nobody could connect to {}: the set that Gateway::allow states does not admit it; {cure}",
            open.name
        )))
    }
}

/// What becomes of connections.
pub(crate) trait Handler {
    /// Serves one. `refuse`: there are too many.
    fn handle<IO>(
        &self,
        io: IO,
        peer: Peer,
        stop: Stop,
        refuse: bool,
    ) -> Option<impl Future<Output = ()> + Send + 'static>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static;
}

struct Gated<S> {
    gate: Gate,
    gateway: Arc<Gateway>,
    app: S,
    protocol: fn(&Gateway) -> Protocol,
}

impl<S, B> Handler for Gated<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn handle<IO>(
        &self,
        io: IO,
        peer: Peer,
        stop: Stop,
        refuse: bool,
    ) -> Option<impl Future<Output = ()> + Send + 'static>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        if !self.gate.admits(&peer) {
            report(Report::UntrustedPeer, &peer);
            return None;
        }
        let protocol = (self.protocol)(&self.gateway);
        let connection = Connection::new(io, protocol, self.gateway.clone(), self.app.clone(), stop, refuse);
        Some(connection.run())
    }
}

/// How many connections there may be.
struct Room {
    served: Arc<Semaphore>,
    refused: Arc<Semaphore>,
}

impl Room {
    fn new(served: usize, refused: usize) -> Self {
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self { served: places(served), refused: places(refused) }
    }

    /// Waits until there is room for one more.
    async fn wait(&self) -> Place {
        let served = async {
            let permit = self.served.clone().acquire_owned().await;
            permit.map(|permit| Place { permit, refuse: false })
        };
        let refused = async {
            let permit = self.refused.clone().acquire_owned().await;
            permit.map(|permit| Place { permit, refuse: true })
        };
        let place = tokio::select! { biased; it = served => it, it = refused => it };
        match place {
            Ok(place) => place,
            // Nobody closes the semaphores.
            Err(_) => pending().await,
        }
    }

    /// A better place, where one has become free meanwhile.
    fn best(&self, place: Place) -> Place {
        match self.served.clone().try_acquire_owned() {
            Ok(permit) if place.refuse => Place { permit, refuse: false },
            _ => place,
        }
    }
}

struct Place {
    permit: OwnedSemaphorePermit,
    refuse: bool,
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// The connections that are served.
struct Work<H> {
    handler: H,
    stop: Stop,
    tasks: JoinSet<()>,
    room: Room,
}

impl<H: Handler> Work<H> {
    fn begin(&mut self, stream: Stream, peer: Peer, place: Place) {
        while let Some(ended) = self.tasks.try_join_next() {
            note(&ended);
        }
        let Place { permit, refuse } = self.room.best(place);
        self.stop.set_crowded(refuse);
        if refuse {
            report(
                Report::Connections,
                &"there are as many connections as the limit admits; the next ones get 503",
            );
        }
        let stop = self.stop.clone();
        match stream {
            Stream::Unix(io) => spawn(&mut self.tasks, self.handler.handle(io, peer, stop, refuse), permit),
            Stream::Tcp(io) => {
                // Answers go out in as few pieces as can be; none has to wait for the next.
                let _ = io.set_nodelay(true);
                spawn(&mut self.tasks, self.handler.handle(io, peer, stop, refuse), permit);
            }
        }
    }

    /// Accepts what waits already, and nothing that comes later.
    async fn drain(&mut self, socket: Acceptor) -> io::Result<()> {
        let socket = socket.into_std()?;
        // The socket may be shared, and busy: then there is no end to what waits.
        for _ in 0..BACKLOG {
            let place = self.room.wait().await;
            match socket.accept() {
                Ok((stream, peer)) => self.begin(stream, peer, place),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn finish(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            note(&ended);
        }
    }
}

fn spawn<F>(tasks: &mut JoinSet<()>, served: Option<F>, permit: OwnedSemaphorePermit)
where
    F: Future<Output = ()> + Send + 'static,
{
    if let Some(served) = served {
        tasks.spawn(async move {
            served.await;
            drop(permit);
        });
    }
}

fn note(ended: &Result<(), JoinError>) {
    if ended.as_ref().is_err_and(JoinError::is_panic) {
        report(Report::Failed, &"the application panicked");
    }
}

/// Whether the next connection can be accepted though this one could not.
fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

impl Acceptor {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Unix(socket) => {
                socket.accept().await.map(|(stream, _)| (Stream::Unix(stream), Peer::local()))
            }
            Self::Tcp(socket) => {
                socket.accept().await.map(|(stream, peer)| (Stream::Tcp(stream), peer.into()))
            }
        }
    }

    fn into_std(self) -> io::Result<StdAcceptor> {
        Ok(match self {
            Self::Unix(socket) => StdAcceptor::Unix(socket.into_std()?),
            Self::Tcp(socket) => StdAcceptor::Tcp(socket.into_std()?),
        })
    }
}

/// The same without the runtime, whose word that nothing waits may be old.
enum StdAcceptor {
    Unix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener),
}

impl StdAcceptor {
    fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Stream::Unix(UnixStream::from_std(stream)?), Peer::local()))
            }
            Self::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Stream::Tcp(TcpStream::from_std(stream)?), peer.into()))
            }
        }
    }
}

/// Accepts and serves until the end.
async fn run<H: Handler>(open: Open, mut end: End, room: Room, time: Duration, handler: H) {
    let Open { file, socket, .. } = open;
    let (switch, stop) = Stop::new();
    let mut work = Work { handler, stop, tasks: JoinSet::new(), room };
    let mut pause = PAUSES.0;
    loop {
        let next = async {
            let place = work.room.wait().await;
            (place, socket.accept().await)
        };
        tokio::select! {
            biased;
            () = end.wait() => break,
            (place, accepted) = next => match accepted {
                Ok((stream, peer)) => {
                    pause = PAUSES.0;
                    work.begin(stream, peer, place);
                }
                Err(error) if passes(&error) => {}
                Err(error) => {
                    report(Report::Connections, &format_args!("a connection cannot be accepted: {error}"));
                    tokio::select! {
                        biased;
                        () = end.wait() => break,
                        () = sleep(pause) => pause = (pause * 2).min(PAUSES.1),
                    }
                }
            },
        }
    }

    let _ = switch.send(true);
    drop(file);
    let finished = async {
        if let Err(error) = work.drain(socket).await {
            report(Report::Connections, &format_args!("a connection cannot be accepted: {error}"));
        }
        work.finish().await;
    };
    let finished = tokio::select! {
        biased;
        () = finished => true,
        () = end.wait() => false,
        () = sleep(time) => false,
    };
    if !finished {
        report(
            Report::CutOff,
            &format_args!("{} connections are cut off: the process ends", work.tasks.len()),
        );
        work.tasks.abort_all();
    }
}

#[cfg(test)]
mod tests;
