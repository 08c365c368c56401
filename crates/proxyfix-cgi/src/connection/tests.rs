//! What a web server sees of a connection.

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::Limits;
use crate::fastcgi::write_pair;

const BEGIN: u8 = 1;
const ABORT: u8 = 2;
const END: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const KEEP: u8 = 1;

/// A web server at the other end.
struct Server {
    io: DuplexStream,
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

#[derive(Debug, PartialEq, Eq)]
struct Record {
    kind: u8,
    id: u16,
    content: Vec<u8>,
}

/// An answer: what came out, and whether it was completed.
#[derive(Debug)]
struct Answer {
    stdout: String,
    complete: bool,
}

fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    [
        &[1, kind][..],
        &id.to_be_bytes(),
        &u16::try_from(content.len()).unwrap().to_be_bytes(),
        &[0, 0],
        content,
    ]
    .concat()
}

fn begin(id: u16, flags: u8) -> Vec<u8> {
    record(BEGIN, id, &[0, 1, flags, 0, 0, 0, 0, 0])
}

fn params(id: u16, variables: &[(&str, &str)]) -> Vec<u8> {
    let mut content = BytesMut::new();
    for (name, value) in variables {
        write_pair(name.as_bytes(), value.as_bytes(), &mut content);
    }
    [record(PARAMS, id, &content), record(PARAMS, id, b"")].concat()
}

fn head(id: u16, flags: u8, method: &str, path: &str, length: &str) -> Vec<u8> {
    let variables = [
        ("REQUEST_METHOD", method),
        ("REQUEST_URI", path),
        ("PATH_INFO", path),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("CONTENT_LENGTH", length),
        ("REMOTE_ADDR", "203.0.113.9"),
    ];
    [begin(id, flags), params(id, &variables)].concat()
}

/// A GET without a body.
fn simple(id: u16, flags: u8, path: &str) -> Vec<u8> {
    [head(id, flags, "GET", path, ""), record(STDIN, id, b"")].concat()
}

impl Server {
    fn start(app: Router, limits: Limits) -> Self {
        Self::start_with(app, limits, false)
    }

    fn start_with(app: Router, limits: Limits, refuse: bool) -> Self {
        let (io, ours) = duplex(256 << 10);
        let (stop, told) = Stop::new();
        let protocol = Protocol::FastCgi(fastcgi::Decoder::new(&limits));
        let gateway = Arc::new(Gateway::new().limits(limits));
        let connection = Connection::new(ours, protocol, gateway, app, told, refuse);
        Self { io, task: tokio::spawn(connection.run()), stop }
    }

    async fn send(&mut self, octets: &[u8]) {
        self.io.write_all(octets).await.unwrap();
    }

    async fn record(&mut self) -> Option<Record> {
        let mut header = [0; 8];
        self.io.read_exact(&mut header).await.ok()?;
        let mut content = vec![0; usize::from(u16::from_be_bytes([header[4], header[5]]))];
        self.io.read_exact(&mut content).await.ok()?;
        self.io.read_exact(&mut vec![0; usize::from(header[6])]).await.ok()?;
        Some(Record { kind: header[1], id: u16::from_be_bytes([header[2], header[3]]), content })
    }

    /// The answer to request `id`.
    async fn answer(&mut self, id: u16) -> Answer {
        let mut stdout = Vec::new();
        let complete = loop {
            match self.record().await {
                None => break false,
                Some(record) => {
                    assert_eq!(record.id, id, "{record:?}");
                    match record.kind {
                        STDOUT => stdout.extend(record.content),
                        END => break record.content == [0; 8],
                        other => panic!("a record of type {other}"),
                    }
                }
            }
        };
        Answer { stdout: String::from_utf8_lossy(&stdout).into_owned(), complete }
    }

    async fn is_closed(&mut self) -> bool {
        self.record().await.is_none()
    }
}

/// Says what it read of the body, or why not.
async fn length(request: Request) -> String {
    let mut body = request.into_body();
    let mut length = 0;
    loop {
        match body.frame().await {
            None => break format!("{length} octets"),
            Some(Ok(frame)) => length += frame.into_data().unwrap().len(),
            Some(Err(error)) => break format!("{length} octets, then {}", error.into_inner()),
        }
    }
}

fn app() -> Router {
    Router::new().route("/", get(async || "Hello, World!\n")).route("/length", post(length)).route(
        "/large",
        get(async || {
            let piece = || Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(vec![b'x'; 100_000])));
            axum::body::Body::new(StreamBody::new(stream::iter([piece(), piece(), piece()])))
        }),
    )
}

#[tokio::test]
async fn a_request_is_answered_in_one_write_and_the_connection_closed() {
    let mut server = Server::start(app(), Limits::default());
    server.send(&simple(1, 0, "/")).await;
    let stdout = server.record().await.unwrap();
    assert_eq!((stdout.kind, stdout.id), (STDOUT, 1));
    assert!(stdout.content.ends_with(b"\r\n\r\nHello, World!\n"));
    assert_eq!(server.record().await, Some(Record { kind: STDOUT, id: 1, content: vec![] }));
    assert_eq!(server.record().await, Some(Record { kind: END, id: 1, content: vec![0; 8] }));
    assert!(server.is_closed().await);
}
