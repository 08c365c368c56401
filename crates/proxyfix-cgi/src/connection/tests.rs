//! What a web server sees of a connection.

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::*;
use crate::Limits;
use crate::fastcgi::write_pair;

mod hostile;

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

#[tokio::test]
async fn a_kept_connection_answers_request_after_request_also_of_the_same_id() {
    let mut server = Server::start(app(), Limits::default());
    for id in [1, 1, 7, 1] {
        server.send(&simple(id, KEEP, "/")).await;
        let answer = server.answer(id).await;
        assert!(answer.complete && answer.stdout.ends_with("Hello, World!\n"), "{answer:?}");
    }
    server.send(&simple(1, 0, "/")).await;
    assert!(server.answer(1).await.complete);
    assert!(server.is_closed().await);
}

#[tokio::test]
async fn a_body_comes_through_in_any_pieces() {
    for piece in [1, 7, 8, 1000, 65_535] {
        let mut server = Server::start(app(), Limits::default());
        server.send(&head(1, KEEP, "POST", "/length", "")).await;
        let mut wire = Vec::new();
        for content in vec![b'x'; 130_000].chunks(65_535) {
            wire.extend(record(STDIN, 1, content));
        }
        wire.extend(record(STDIN, 1, b""));
        for piece in wire.chunks(piece) {
            server.send(piece).await;
        }
        let answer = server.answer(1).await;
        assert!(answer.complete && answer.stdout.ends_with("130000 octets"), "{piece}: {answer:?}");
    }
}

#[tokio::test]
async fn a_large_answer_is_cut_into_records_and_whole() {
    let mut server = Server::start(app(), Limits::default());
    server.send(&simple(1, KEEP, "/large")).await;
    let answer = server.answer(1).await;
    let (_, body) = answer.stdout.split_once("\r\n\r\n").unwrap();
    assert!(answer.complete && body == "x".repeat(300_000), "{}", body.len());
    server.send(&simple(1, 0, "/")).await;
    assert!(server.answer(1).await.complete);
}

#[tokio::test]
async fn t159_a_body_that_is_shorter_than_declared_is_an_error_and_a_longer_one_is_cut() {
    for (declared, sent, expected) in [
        ("5", 10, "5 octets"),
        ("5", 5, "5 octets"),
        ("10", 5, "the body ended after 5 of the 10 octets that CONTENT_LENGTH declares"),
        ("", 5, "5 octets"),
        ("-1", 5, "5 octets"),
        ("0", 5, "0 octets"),
    ] {
        let mut server = Server::start(app(), Limits::default());
        let body = [record(STDIN, 1, &b"x".repeat(sent)), record(STDIN, 1, b"")].concat();
        server.send(&[head(1, KEEP, "POST", "/length", declared), body].concat()).await;
        let answer = server.answer(1).await;
        assert!(answer.complete && answer.stdout.ends_with(expected), "{declared}: {answer:?}");
        // Nothing of it is left for the next one.
        server.send(&simple(1, 0, "/")).await;
        assert!(server.answer(1).await.stdout.ends_with("Hello, World!\n"));
    }
}

#[tokio::test]
async fn t160_a_body_over_the_limit_is_answered_with_413_declared_or_not() {
    for declared in ["101", "99999999999", ""] {
        let mut server = Server::start(app(), Limits::default().body(100));
        let body = [record(STDIN, 1, &b"x".repeat(101)), record(STDIN, 1, b"")].concat();
        server.send(&[head(1, KEEP, "POST", "/length", declared), body].concat()).await;
        let answer = server.answer(1).await;
        assert!(answer.complete && answer.stdout.starts_with("Status: 413 "), "{declared}: {answer:?}");
        server.send(&simple(1, KEEP, "/")).await;
        assert!(server.answer(1).await.stdout.starts_with("Status: 200 "), "{declared}");
    }
}

#[tokio::test]
async fn t162_t163_t166_lengths_that_do_not_fit_close_the_connection() {
    let cases: [&[u8]; 6] = [
        // Lengths of 2³¹ - 1, twice.
        b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFAB",
        b"\x05\x00AB",
        b"\x01\x7FAB",
        // Cut within a length.
        b"\x80\x00",
        b"\x01",
        // No name.
        b"\x00\x01A",
    ];
    for content in cases {
        let mut server = Server::start(app(), Limits::default());
        server.send(&[begin(1, KEEP), record(PARAMS, 1, content), record(PARAMS, 1, b"")].concat()).await;
        assert!(server.is_closed().await, "{}", content.escape_ascii());
    }
}

#[tokio::test]
async fn t165_parameters_without_an_end_are_answered_with_431_and_the_connection_closed() {
    let mut server = Server::start(app(), Limits::default());
    server.send(&begin(1, KEEP)).await;
    server.send(&record(PARAMS, 1, &b"x".repeat(65_535))).await;
    server.send(&record(PARAMS, 1, &b"x".repeat(65_535))).await;
    let answer = server.answer(1).await;
    assert!(answer.complete && answer.stdout.starts_with("Status: 431 "), "{answer:?}");
    assert!(server.is_closed().await);

    let name = "N".repeat(60);
    for (limits, pairs) in [
        (Limits::default().pairs(3), vec![("A", "1"), ("B", "2"), ("C", "3"), ("D", "4")]),
        (Limits::default().pair(50), vec![(&*name, "1")]),
    ] {
        let mut server = Server::start(app(), limits);
        server.send(&[begin(1, KEEP), params(1, &pairs)].concat()).await;
        assert!(server.answer(1).await.stdout.starts_with("Status: 431 "));
        assert!(server.is_closed().await);
    }
}

#[tokio::test]
async fn t166_padding_is_skipped_by_count_whatever_it_holds() {
    let mut padded = Vec::new();
    for plain in [begin(1, KEEP), params(1, &[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/")])] {
        // Each record again, with padding that looks like a record.
        let mut rest = &plain[..];
        while !rest.is_empty() {
            let length = 8 + usize::from(u16::from_be_bytes([rest[4], rest[5]]));
            let (record, after) = rest.split_at(length);
            padded.extend_from_slice(record);
            let start = padded.len() - length;
            padded[start + 6] = 24;
            padded.extend(begin(9, KEEP));
            padded.extend([1; 8]);
            rest = after;
        }
    }
    let mut end = record(STDIN, 1, b"");
    end[6] = 255;
    end.extend([0; 255]);
    let mut server = Server::start(app(), Limits::default());
    server.send(&[padded, end].concat()).await;
    let answer = server.answer(1).await;
    assert!(answer.complete && answer.stdout.starts_with("Status: "), "{answer:?}");
    server.send(&simple(2, 0, "/")).await;
    assert!(server.answer(2).await.complete);
}

#[tokio::test]
async fn t167_a_second_id_is_refused_and_its_octets_reach_nobody() {
    let mut server = Server::start(app(), Limits::default());
    server.send(&head(1, KEEP, "POST", "/length", "")).await;
    server.send(&[begin(2, KEEP), params(2, &[("A", "B")]), record(STDIN, 2, b"other")].concat()).await;
    let refused = Record { kind: END, id: 2, content: vec![0, 0, 0, 0, 1, 0, 0, 0] };
    assert_eq!(server.record().await, Some(refused));
    server.send(&[record(STDIN, 1, b"own"), record(STDIN, 2, b""), record(STDIN, 1, b"")].concat()).await;
    assert!(server.answer(1).await.stdout.ends_with("3 octets"));

    for kind in [BEGIN, ABORT, PARAMS, STDIN, STDOUT] {
        let mut server = Server::start(app(), Limits::default());
        server.send(&record(kind, 0, &[0; 8])).await;
        assert!(server.is_closed().await, "type {kind} with the id 0");
    }
}

#[tokio::test]
async fn t168_what_comes_out_of_order_closes_the_connection() {
    let ended = || [head(1, KEEP, "POST", "/wait", ""), record(STDIN, 1, b"")].concat();
    for wrong in [
        [head(1, KEEP, "POST", "/wait", ""), begin(1, KEEP)].concat(),
        [head(1, KEEP, "POST", "/wait", ""), params(1, &[("A", "B")])].concat(),
        [ended(), record(STDIN, 1, b"")].concat(),
        [ended(), record(STDIN, 1, b"more")].concat(),
        [begin(1, KEEP), record(STDIN, 1, b"early")].concat(),
    ] {
        let app = Router::new().route("/wait", post(std::future::pending::<()>));
        let mut server = Server::start(app, Limits::default());
        server.send(&wrong).await;
        assert!(server.is_closed().await, "{}", wrong.escape_ascii());
    }
}

#[tokio::test]
async fn t169_other_versions_types_and_roles() {
    let mut server = Server::start(app(), Limits::default());
    let mut wrong = begin(1, KEEP);
    wrong[0] = 2;
    server.send(&wrong).await;
    assert!(server.is_closed().await);

    let mut server = Server::start(app(), Limits::default());
    server.send(&record(99, 0, b"what")).await;
    assert_eq!(
        server.record().await,
        Some(Record { kind: 11, id: 0, content: vec![99, 0, 0, 0, 0, 0, 0, 0] })
    );
    server.send(&record(99, 1, b"what")).await;
    for role in [2, 3, 0xFFFF_u16] {
        let [high, low] = role.to_be_bytes();
        server.send(&record(BEGIN, 3, &[high, low, KEEP, 9, 9, 9, 9, 9])).await;
        server.send(&params(3, &[("A", "B")])).await;
        let refused = Record { kind: END, id: 3, content: vec![0, 0, 0, 0, 3, 0, 0, 0] };
        assert_eq!(server.record().await, Some(refused));
    }
    // The connection is none the worse for it.
    let mut reserved = begin(1, KEEP);
    reserved[7] = 0xFF;
    reserved[11..].fill(0xFF);
    let rest = simple(1, KEEP, "/").split_off(16);
    server.send(&[reserved, rest].concat()).await;
    assert!(server.answer(1).await.complete);
    server.send(&record(BEGIN, 4, &[0, 3, 0, 0, 0, 0, 0, 0])).await;
    assert_eq!(server.record().await.map(|it| it.content[4]), Some(3));
    assert!(server.is_closed().await, "which was not to be kept");
}

#[tokio::test]
async fn t170_management_records_are_answered_and_not_without_end() {
    let mut asked = BytesMut::new();
    for name in ["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS", "FCGI_OTHER"] {
        write_pair(name.as_bytes(), b"", &mut asked);
    }
    asked.extend_from_slice(b"\x20");
    let mut server = Server::start(app(), Limits::default());
    server.send(&record(9, 0, &asked)).await;
    let answer = server.record().await.unwrap();
    assert_eq!((answer.kind, answer.id), (10, 0));
    let values = fastcgi::read_pairs(&answer.content.into()).unwrap();
    let values: Vec<_> = values.iter().map(|(name, value)| [name, value].concat()).collect();
    let expected = ["FCGI_MAX_CONNS1024", "FCGI_MAX_REQS1024", "FCGI_MPXS_CONNS0"];
    assert_eq!(values, expected.map(|it| it.as_bytes().to_vec()));

    // One that is as long as it can be, over and over.
    let flood = record(9, 0, &b"x".repeat(65_535));
    let (mut read, mut write) = tokio::io::split(server.io);
    let writing = tokio::spawn(async move { while write.write_all(&flood).await.is_ok() {} });
    let mut answers = Vec::new();
    read.read_to_end(&mut answers).await.unwrap();
    writing.await.unwrap();
    assert!(answers.len() <= 64 * 8, "{}", answers.len());
}

/// Says when it is called, and when it is dropped.
struct Told(mpsc::UnboundedSender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

/// An application whose handler never answers, and what is told of it.
fn waiting() -> (Router, mpsc::UnboundedReceiver<&'static str>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let wait = async move |request: Request| {
        sender.send("called").unwrap();
        let _held = (Told(sender), request);
        std::future::pending::<()>().await;
    };
    (app().route("/wait", post(wait)), receiver)
}

#[tokio::test(start_paused = true)]
async fn t171_an_abort_drops_the_handler_and_is_answered_once() {
    // A request that is not whole cannot be answered. One that is may be, for a while: HAProxy aborts all
    // requests when it reloads, and passes their answers on.
    for (rest, time) in [(&b""[..], 0), (&record(STDIN, 1, b""), 5)] {
        let (app, mut told) = waiting();
        let mut server = Server::start(app, Limits::default());
        server.send(&[head(1, KEEP, "POST", "/wait", ""), record(ABORT, 9, b"")].concat()).await;
        assert_eq!(told.recv().await, Some("called"));
        let began = Instant::now();
        server.send(&[rest, &record(ABORT, 1, b"")].concat()).await;
        assert_eq!(told.recv().await, Some("dropped"));
        assert_eq!(began.elapsed().as_secs(), time);
        assert_eq!(server.record().await, Some(Record { kind: END, id: 1, content: vec![0; 8] }));
        server.send(&simple(2, KEEP, "/")).await;
        assert!(server.answer(2).await.complete);

        // Straight after the beginning, as HAProxy does it.
        server.send(&[begin(1, KEEP), record(ABORT, 1, b"")].concat()).await;
        assert_eq!(server.record().await, Some(Record { kind: END, id: 1, content: vec![0; 8] }));
        server.send(&simple(1, 0, "/")).await;
        assert!(server.answer(1).await.complete);
    }
}

#[tokio::test(start_paused = true)]
async fn t171_an_answer_in_time_is_whole_though_the_request_was_given_up() {
    let app = Router::new().route(
        "/",
        get(async || {
            tokio::time::sleep(Duration::from_secs(4)).await;
            "x".repeat(300_000)
        }),
    );
    let mut server = Server::start(app, Limits::default());
    server.send(&[simple(1, KEEP, "/"), record(ABORT, 1, b"")].concat()).await;
    let answer = server.answer(1).await;
    assert!(answer.complete && answer.stdout.ends_with(&"x".repeat(300_000)), "{}", answer.stdout.len());
}

#[tokio::test]
async fn t171_a_handler_is_dropped_when_the_web_server_goes_away() {
    for body in [record(STDIN, 1, b""), record(STDIN, 1, b"not read"), vec![]] {
        let (app, mut told) = waiting();
        let mut server = Server::start(app, Limits::default());
        server.send(&[head(1, 0, "POST", "/wait", ""), body].concat()).await;
        assert_eq!(told.recv().await, Some("called"));
        drop(server.io);
        assert_eq!(told.recv().await, Some("dropped"));
        server.task.await.unwrap();
    }
}

#[tokio::test]
async fn t172_what_nobody_read_does_not_become_the_next_request() {
    // Within the limit it is skipped, though it looks like records; beyond it the connection ends.
    for (length, next) in [(1, true), (60_000, true), (200_000, false)] {
        let mut server = Server::start(app(), Limits::default().unread(100_000));
        let disguised = begin(2, KEEP).repeat(length / 16 + 1);
        let mut sent = head(1, KEEP, "POST", "/", "");
        for content in disguised.chunks(30_000) {
            sent.extend(record(STDIN, 1, content));
        }
        sent.extend(record(STDIN, 1, b""));
        sent.extend(simple(3, 0, "/"));
        server.send(&sent).await;
        let answer = server.answer(1).await;
        assert!(answer.complete && answer.stdout.starts_with("Status: "), "{answer:?}");
        if next {
            assert!(server.answer(3).await.stdout.ends_with("Hello, World!\n"), "{length}");
        } else {
            assert!(server.is_closed().await, "{length}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t172_a_web_server_may_say_everything_before_it_reads_the_answer() {
    for flags in [0, KEEP] {
        let mut server = Server::start(app(), Limits::default());
        let mut sent = head(1, flags, "POST", "/", "");
        for _ in 0..100 {
            sent.extend(record(STDIN, 1, &b"x".repeat(60_000)));
        }
        server.send(&sent).await;
        assert!(server.answer(1).await.complete && server.is_closed().await);
        // It does not take for ever.
        let began = Instant::now();
        while server.io.write_all(b"more").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(began.elapsed() <= Duration::from_secs(6), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn t173_every_silence_has_an_end() {
    // Nothing, a piece of a head, a head without its end: absolute, whatever trickles in.
    for piece in [&b""[..], b"\x01", &begin(1, KEEP)] {
        let mut server = Server::start(app(), Limits::default());
        let began = Instant::now();
        server.send(piece).await;
        let (mut read, mut write) = tokio::io::split(server.io);
        let trickle = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if write.write_all(&record(PARAMS, 1, b"x")[..1]).await.is_err() {
                    break;
                }
            }
        });
        read.read_to_end(&mut Vec::new()).await.unwrap();
        assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
        trickle.abort();
    }
    // A kept connection is idle for a minute.
    let mut server = Server::start(app(), Limits::default());
    server.send(&simple(1, KEEP, "/")).await;
    server.answer(1).await;
    let began = Instant::now();
    assert!(server.is_closed().await);
    assert_eq!(began.elapsed().as_secs(), 60);
    // A body that stops ends with an error, and the handler says what it wants.
    let mut server = Server::start(app(), Limits::default());
    server.send(&head(1, KEEP, "POST", "/length", "")).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        server.send(&record(STDIN, 1, b"x")).await;
    }
    let answer = server.answer(1).await;
    assert!(answer.stdout.ends_with("nothing more of the body in time"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_read_may_take_its_time() {
    let app = Router::new().route(
        "/",
        post(async |request: Request| {
            tokio::time::sleep(Duration::from_secs(1000)).await;
            length(request).await
        }),
    );
    let mut server = Server::start(app, Limits::default());
    server.send(&[head(1, 0, "POST", "/", ""), record(STDIN, 1, b"12345")].concat()).await;
    tokio::time::sleep(Duration::from_secs(500)).await;
    server.send(&record(STDIN, 1, b"")).await;
    assert!(server.answer(1).await.stdout.ends_with("5 octets"));
}

#[tokio::test(start_paused = true)]
async fn t173_a_web_server_that_takes_nothing_is_left() {
    let mut server = Server::start(app(), Limits::default());
    // Its buffer holds less than the answer.
    server.send(&simple(1, KEEP, "/large")).await;
    let began = Instant::now();
    server.task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_does_not_read_stays_with_the_web_server() {
    let (app, _told) = waiting();
    let mut server = Server::start(app, Limits::default());
    server.send(&head(1, 0, "POST", "/wait", "")).await;
    let (_read, mut write) = tokio::io::split(server.io);
    let mut taken = 0;
    let piece = record(STDIN, 1, &[b'x'; 8184]);
    while tokio::time::timeout(Duration::from_secs(5), write.write_all(&piece)).await.is_ok() {
        taken += piece.len();
    }
    // The pipe between the two holds 256 KiB of it.
    assert!(taken < 500 << 10, "{taken}");
}

#[tokio::test]
async fn a_body_may_be_read_by_another_task() {
    let app =
        Router::new().route("/", post(async |request: Request| tokio::spawn(length(request)).await.unwrap()));
    let mut server = Server::start(app, Limits::default());
    server.send(&head(1, KEEP, "POST", "/", "")).await;
    for _ in 0..100 {
        server.send(&record(STDIN, 1, &[b'x'; 1000])).await;
        tokio::task::yield_now().await;
    }
    server.send(&record(STDIN, 1, b"")).await;
    assert!(server.answer(1).await.stdout.ends_with("100000 octets"));
}

#[tokio::test]
async fn a_body_that_outlives_its_request_reads_nothing_of_the_next() {
    let (sender, mut bodies) = mpsc::unbounded_channel();
    let app = app().route(
        "/keep",
        post(async move |request: Request| {
            sender.send(request).unwrap();
        }),
    );
    let mut server = Server::start(app, Limits::default());
    server.send(&[head(1, KEEP, "POST", "/keep", ""), record(STDIN, 1, b"first")].concat()).await;
    assert!(server.answer(1).await.complete);
    let stale = bodies.recv().await.unwrap();
    server.send(&[record(STDIN, 1, b""), head(1, KEEP, "POST", "/length", "")].concat()).await;
    assert!(length(stale).await.starts_with("0 octets, then the request was answered already"));
    server.send(&[record(STDIN, 1, b"second"), record(STDIN, 1, b"")].concat()).await;
    assert!(server.answer(1).await.stdout.ends_with("6 octets"));
}

#[tokio::test]
async fn a_body_that_fails_is_never_completed() {
    let app = Router::new().route(
        "/{pieces}",
        get(async |axum::extract::Path(pieces): axum::extract::Path<usize>| {
            let piece = || Ok(http_body::Frame::data(Bytes::from(vec![b'x'; 100_000])));
            let frames = std::iter::repeat_with(piece).take(pieces);
            let frames = frames.chain([Err(std::io::Error::other("the disk is gone"))]);
            axum::body::Body::new(StreamBody::new(stream::iter(frames.collect::<Vec<_>>())))
        }),
    );
    let mut server = Server::start(app.clone(), Limits::default());
    server.send(&simple(1, KEEP, "/2")).await;
    let answer = server.answer(1).await;
    assert!(!answer.complete && answer.stdout.starts_with("Status: 200 "), "{}", answer.stdout.len());
    // As long as nobody saw anything, it is a failure like others.
    let mut server = Server::start(app, Limits::default());
    server.send(&simple(1, KEEP, "/0")).await;
    let answer = server.answer(1).await;
    assert!(answer.complete && answer.stdout.starts_with("Status: 500 "), "{answer:?}");
}

#[tokio::test]
async fn too_many_connections_are_answered_with_503() {
    let mut server = Server::start_with(app(), Limits::default(), true);
    server.send(&simple(1, 0, "/")).await;
    let answer = server.answer(1).await;
    assert!(answer.complete && answer.stdout.starts_with("Status: 503 "), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_one_too_many_is_not_kept() {
    let mut server = Server::start_with(app(), Limits::default(), true);
    server.send(&simple(1, KEEP, "/")).await;
    let began = Instant::now();
    assert!(server.answer(1).await.stdout.starts_with("Status: 503 "));
    assert!(server.is_closed().await && began.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_a_connection_finishes_what_it_has() {
    // Idle: at once. New: it may still bring its request. Busy: after the answer, though it was to be kept.
    let mut idle = Server::start(app(), Limits::default());
    idle.send(&simple(1, KEEP, "/")).await;
    idle.answer(1).await;
    let mut new = Server::start(app(), Limits::default());
    let mut silent = Server::start(app(), Limits::default());
    let mut busy = Server::start(app(), Limits::default());
    busy.send(&head(1, KEEP, "POST", "/length", "")).await;
    tokio::task::yield_now().await;
    let began = Instant::now();
    for server in [&idle, &new, &silent, &busy] {
        server.stop.send(true).unwrap();
    }
    assert!(idle.is_closed().await && began.elapsed().is_zero());
    new.send(&simple(1, KEEP, "/")).await;
    assert!(new.answer(1).await.complete && new.is_closed().await);
    assert!(silent.is_closed().await && began.elapsed() == LATE);
    busy.send(&[record(STDIN, 1, b"12345"), record(STDIN, 1, b"")].concat()).await;
    assert!(busy.answer(1).await.stdout.ends_with("5 octets") && busy.is_closed().await);
}

#[tokio::test]
async fn a_small_piece_of_a_body_holds_nothing_of_what_was_read_with_it() {
    let app = Router::new().route(
        "/",
        post(async |request: Request| {
            let piece = request.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
            format!("{} octets, alone: {}", piece.len(), piece.is_unique())
        }),
    );
    for (length, alone) in [(5, true), (4095, true), (5000, false)] {
        let mut server = Server::start(app.clone(), Limits::default());
        let body = [record(STDIN, 1, &b"x".repeat(length)), record(STDIN, 1, b"")].concat();
        server.send(&[head(1, 0, "POST", "/", ""), body].concat()).await;
        let answer = server.answer(1).await;
        assert!(answer.stdout.ends_with(&format!("{length} octets, alone: {alone}")), "{answer:?}");
    }
}
