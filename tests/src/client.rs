//! A client that writes exactly what it is told, from the address that it is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{loopback, within};

/// A client on this machine.
///
/// Everything here is on loopback, and a loopback address is one that no remote client can have. So
/// that a request can come from the Internet, a client can be
/// [behind a balancer](Client::behind_a_balancer): to the server, the connection comes from the
/// balancer, which announces its client in the PROXY protocol before the first byte of HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    source: IpAddr,
    announced: Option<IpAddr>,
}

/// An answer, read to the end of the connection.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The number in the status line.
    pub status: u16,
    /// What stands behind the head.
    pub body: String,
}

impl Answer {
    /// The body of a successful answer, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        (length? == body.len()).then(|| Self { status, body: body.to_owned() })
    }
}

impl Client {
    /// A client that connects from `source`, an address of this machine.
    pub fn at(source: impl Into<IpAddr>) -> Self {
        Self { source: source.into(), announced: None }
    }

    /// A client somewhere in the world, behind a TCP balancer that connects from `balancer`.
    pub fn behind_a_balancer(client: &str, balancer: impl Into<IpAddr>) -> Self {
        let client = client.parse().expect("the address of a client");
        Self { source: balancer.into(), announced: Some(client) }
    }

    /// Sends a GET for `target` with these header lines as they are, and `Connection: close`, on a new connection.
    pub async fn get(&self, server: SocketAddr, target: &str, lines: &[&str]) -> Answer {
        let stream = connect(self.source, server).await;
        let announced = self.announced.map_or_else(String::new, announcement);
        exchange(stream, &(announced + &head(target, lines))).await
    }
}

/// Sends a GET, as [`Client::get`] does, to a unix socket at `path`.
#[cfg(unix)]
pub async fn get_unix(path: &std::path::Path, target: &str, lines: &[&str]) -> Answer {
    let stream = tokio::net::UnixStream::connect(path).await.expect("a server on the unix socket");
    exchange(stream, &head(target, lines)).await
}

/// A TCP balancer on loopback in front of `server`: it connects from `source`, and announces every
/// client of it as `client`.
pub async fn balancer(source: Ipv4Addr, client: &str, server: SocketAddr) -> SocketAddr {
    let announced = announcement(client.parse().expect("the address of a client"));
    let listener = TcpListener::bind((loopback(), 0)).await.expect("a free port of a loopback address");
    let address = listener.local_addr().expect("a bound listener has an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let announced = announced.clone();
            tokio::spawn(async move {
                let mut server = connect(source.into(), server).await;
                let _ = server.write_all(announced.as_bytes()).await;
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

async fn connect(source: IpAddr, server: SocketAddr) -> TcpStream {
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.expect("a socket");
    socket.bind(SocketAddr::new(source, 0)).expect("a loopback address to connect from");
    within(&format!("a connection to {server}"), socket.connect(server))
        .await
        .unwrap_or_else(|error| panic!("{server} does not answer: {error}"))
}

fn head(target: &str, lines: &[&str]) -> String {
    let request = format!("GET {target} HTTP/1.1");
    [&[&*request, "Connection: close"], lines, &["", ""]].concat().join("\r\n")
}

/// The line that a balancer writes first (PROXY protocol, version 1).
fn announcement(client: IpAddr) -> String {
    match client {
        IpAddr::V4(client) => format!("PROXY TCP4 {client} 192.0.2.1 51515 80\r\n"),
        IpAddr::V6(client) => format!("PROXY TCP6 {client} 2001:db8::1 51515 80\r\n"),
    }
}

async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, request: &str) -> Answer {
    let mut answer = Vec::new();
    within(&format!("an answer to {request:?}"), async {
        stream.write_all(request.as_bytes()).await.expect("a server that reads the request");
        stream.read_to_end(&mut answer).await.expect("a server that writes an answer");
    })
    .await;
    Answer::read(&answer)
        .unwrap_or_else(|| panic!("to {request:?} the answer was {:?}", String::from_utf8_lossy(&answer)))
}
