//! Who is accepted, and when it ends.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::Limits;

fn gate(allowed: Option<&str>, listed: Option<&str>) -> Gate {
    let gateway = match allowed {
        Some(set) => Gateway::new().allow(set.parse().unwrap()),
        None => Gateway::new(),
    };
    Gate::new(&gateway, listed.map(|text| read_list(text).unwrap()))
}

#[track_caller]
fn assert_admits(allowed: Option<&str>, listed: Option<&str>, peer: &str, expected: bool) {
    let admits = gate(allowed, listed).admits(&peer.parse().unwrap());
    assert_eq!(admits, expected, "allowed {allowed:?}, listed {listed:?}, peer {peer}");
}

#[test]
fn t161_who_may_connect_is_stated_or_of_this_machine() {
    assert_admits(None, None, "unix", true);
    assert_admits(None, None, "127.0.0.1:4711", true);
    assert_admits(None, None, "[::1]:4711", true);
    assert_admits(None, None, "[::ffff:127.0.0.1]:4711", true);
    assert_admits(None, None, "203.0.113.9:4711", false);
    assert_admits(Some("10.0.0.0/8"), None, "10.0.0.2:4711", true);
    assert_admits(Some("10.0.0.0/8"), None, "127.0.0.1:4711", false);
    assert_admits(Some("10.0.0.0/8"), None, "unix", false);
    assert_admits(Some("10.0.0.0/8, unix"), None, "unix", true);
    assert!(!gate(None, None).admits(&Peer::unknown()));
    let everybody = Gateway::new().allow(proxyfix_policy::TrustedProxies::dangerously_trust_every_peer());
    assert!(!Gate::new(&everybody, None).admits(&Peer::unknown()));
}

#[test]
fn t161_the_list_of_the_starter_is_honoured() {
    assert_admits(None, Some("192.0.2.7,192.0.2.8"), "192.0.2.8:4711", true);
    assert_admits(None, Some("192.0.2.7, ::1"), "[::1]:4711", true);
    assert_admits(None, Some("192.0.2.7"), "127.0.0.1:4711", false);
    assert_admits(None, Some("192.0.2.7"), "unix", true);
    // What is stated twice has to be true twice.
    assert_admits(Some("10.0.0.0/8"), Some("192.0.2.7"), "10.0.0.2:4711", false);
    assert_admits(Some("10.0.0.0/8"), Some("192.0.2.7"), "192.0.2.7:4711", false);
    assert_admits(Some("10.0.0.0/8"), Some("10.0.0.2"), "10.0.0.2:4711", true);
}

#[test]
fn t161_a_list_that_cannot_be_read_is_an_error() {
    for text in ["", "192.0.2.7,", "localhost", "192.0.2.0/24"] {
        let error = read_list(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("FCGI_WEB_SERVER_ADDRS is {text:?}, of which ")), "{error}");
        assert!(error.contains("expected addresses with commas between"), "{error}");
    }
}

#[tokio::test]
async fn a_place_that_became_free_is_taken() {
    let room = Room::new(1, 1);
    let first = room.wait().await;
    let second = room.wait().await;
    assert!(!first.refuse && second.refuse);
    drop(first);
    assert!(!room.best(second).refuse);
    // Both are free again.
    let (first, second) = (room.wait().await, room.wait().await);
    assert!(!first.refuse && second.refuse);
}

/// A gateway at work, and where.
struct Server {
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), Error>>,
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("app.sock")
}

impl Server {
    fn start(limits: Limits, app: Router) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(path(&folder)).unwrap();
        let (stop, stopped) = oneshot::channel();
        let listener = Listener::from(listener).until(async { drop(stopped.await) });
        let served = tokio::spawn(Gateway::new().limits(limits).scgi(listener, app));
        Self { folder, stop: Some(stop), served }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(path(&self.folder)).await.unwrap()
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        self.served.await.unwrap().unwrap();
    }
}

async fn send(io: &mut (impl AsyncWrite + Unpin)) {
    let block = b"CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_METHOD\0GET\0REQUEST_URI\0/\0PATH_INFO\0/\0";
    let request = [format!("{}:", block.len()).as_bytes(), block, b","].concat();
    // Whoever is turned away may not even get that far.
    let _ = io.write_all(&request).await;
}

async fn answer(mut io: impl AsyncRead + Unpin) -> String {
    let mut answer = String::new();
    let _ = io.read_to_string(&mut answer).await;
    answer
}

fn hello() -> Router {
    Router::new().route("/", get(async || "Hello, World!\n"))
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so_and_then_wait() {
    let server = Server::start(Limits::default().connections(1), hello());
    let mut first = server.connect().await;
    let mut refused = Vec::new();
    for _ in 0..REFUSED {
        refused.push(server.connect().await);
    }
    let mut waiting = server.connect().await;
    send(&mut waiting).await;
    for mut io in refused {
        send(&mut io).await;
        assert!(answer(io).await.starts_with("Status: 503"));
    }
    send(&mut first).await;
    assert!(answer(first).await.starts_with("Status: 200"));
    // Whether it was refused depends on who ended first; it was accepted.
    assert!(answer(waiting).await.starts_with("Status: "));
    server.stop().await;
}

/// A request that asks to keep the connection, and the answer.
async fn ask_fastcgi(io: &mut UnixStream) -> String {
    let mut pairs = bytes::BytesMut::new();
    for (name, value) in [("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/")] {
        fastcgi::write_pair(name.as_bytes(), value.as_bytes(), &mut pairs);
    }
    let record = |kind, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        [&[1, kind, 0, 1, 0, length, 0, 0], content].concat()
    };
    let begin = record(1, &[0, 1, 1, 0, 0, 0, 0, 0]);
    let _ = io.write_all(&[begin, record(4, &pairs), record(4, b""), record(5, b"")].concat()).await;
    let mut answer = vec![0; 4096];
    let length = io.read(&mut answer).await.unwrap_or(0);
    String::from_utf8_lossy(answer[..length].get(8..).unwrap_or_default()).into_owned()
}

#[tokio::test]
async fn connections_that_are_kept_lock_nobody_out() {
    let folder = TempDir::new().unwrap();
    let listener = Listener::from(UnixListener::bind(path(&folder)).unwrap());
    let gateway = Gateway::new().limits(Limits::default().connections(1));
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(gateway.fastcgi(listener.until(async { drop(stopped.await) }), hello()));
    let connect = || UnixStream::connect(path(&folder));

    let mut kept = connect().await.unwrap();
    assert!(ask_fastcgi(&mut kept).await.starts_with("Status: 200"));
    let mut second = connect().await.unwrap();
    assert!(ask_fastcgi(&mut second).await.starts_with("Status: 503"));
    drop(second);
    // The one that holds the place is served once more, and leaves.
    assert!(ask_fastcgi(&mut kept).await.starts_with("Status: 200"));
    assert_eq!(ask_fastcgi(&mut kept).await, "");
    drop(kept);
    let mut third = connect().await.unwrap();
    let mut said = ask_fastcgi(&mut third).await;
    while said.starts_with("Status: 503") {
        third = connect().await.unwrap();
        said = ask_fastcgi(&mut third).await;
    }
    // Nobody else waits: it is kept.
    assert!(said.starts_with("Status: 200"));
    assert!(ask_fastcgi(&mut third).await.starts_with("Status: 200"));
    drop((stop, third));
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_waited_is_served_once_there_is_room() {
    let server = Server::start(Limits::default().connections(1), hello());
    let mut first = server.connect().await;
    let mut refused = Vec::new();
    for _ in 0..REFUSED {
        refused.push(server.connect().await);
    }
    let mut waiting = server.connect().await;
    send(&mut waiting).await;
    send(&mut first).await;
    assert!(answer(first).await.starts_with("Status: 200"));
    // Nobody was refused meanwhile, and nobody else has left.
    assert!(answer(waiting).await.starts_with("Status: 200"));
    drop(refused);
    server.stop().await;
}

#[tokio::test]
async fn what_waits_at_the_end_is_served() {
    let folder = TempDir::new().unwrap();
    let socket = UnixListener::bind(path(&folder)).unwrap();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut io = UnixStream::connect(path(&folder)).await.unwrap();
        send(&mut io).await;
        waiting.push(io);
    }
    let listener = Listener::from(socket).until(async {});
    let served = tokio::spawn(Gateway::new().scgi(listener, hello()));
    for io in waiting {
        assert!(answer(io).await.starts_with("Status: 200"));
    }
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_does_not_finish_is_cut_off() {
    let (began, mut running) = tokio::sync::mpsc::channel(1);
    let app = Router::new().route(
        "/",
        get(move || {
            let began = began.clone();
            async move {
                began.send(()).await.unwrap();
                pending::<()>().await;
            }
        }),
    );
    let server = Server::start(Limits::default().shutdown_time(Duration::from_millis(1)), app);
    let mut io = server.connect().await;
    send(&mut io).await;
    running.recv().await.unwrap();
    server.stop().await;
    assert_eq!(answer(io).await, "");
}

#[tokio::test]
async fn an_application_that_panics_ends_its_connection_only() {
    let count = Arc::new(AtomicUsize::new(0));
    let app = Router::new().route(
        "/",
        get(async move || {
            assert_ne!(count.fetch_add(1, Ordering::Relaxed), 0, "the first one fails");
            "Hello, World!\n"
        }),
    );
    let server = Server::start(Limits::default().connections(1), app);
    let mut io = server.connect().await;
    send(&mut io).await;
    assert_eq!(answer(io).await, "");
    let mut io = server.connect().await;
    send(&mut io).await;
    assert!(answer(io).await.starts_with("Status: 200"));
    server.stop().await;
}

#[tokio::test]
async fn t161_a_peer_that_is_not_allowed_is_closed_unheard() {
    for (allowed, expected) in [("192.0.2.0/24", ""), ("127.0.0.1", "Status: 200")] {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = Listener::from(socket).until(async { drop(stopped.await) });
        let served = tokio::spawn(Gateway::new().allow(allowed.parse().unwrap()).scgi(listener, hello()));
        let mut io = TcpStream::connect(address).await.unwrap();
        send(&mut io).await;
        let answer = answer(io).await;
        assert!(answer.starts_with(expected) && answer.is_empty() == expected.is_empty(), "{answer}");
        drop(stop);
        served.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn t161_a_set_that_admits_nobody_is_an_error() {
    let folder = TempDir::new().unwrap();
    let gateway = Gateway::new().allow("192.0.2.0/24".parse().unwrap());
    let error =
        gateway.clone().fastcgi(Listener::unix(path(&folder)), hello()).await.unwrap_err().to_string();
    assert!(
        error.starts_with("nobody could connect to unix:") && error.contains("add \"unix\" to the set"),
        "{error}"
    );
    assert!(!path(&folder).exists());
    let gateway = Gateway::new().allow("unix".parse().unwrap());
    let error = gateway.scgi(Listener::tcp("0"), hello()).await.unwrap_err().to_string();
    assert!(error.contains("add the addresses of the web servers"), "{error}");
}

#[tokio::test]
async fn a_limit_of_nothing_is_an_error_wherever_it_starts() {
    let gateway = || Gateway::new().limits(Limits::default().connections(0));
    let (io, _) = tokio::io::duplex(1);
    for error in [
        gateway().fastcgi(Listener::tcp("0"), hello()).await,
        gateway().scgi(Listener::tcp("0"), hello()).await,
        gateway().serve_connection(io, Peer::local(), hello()).await,
        gateway().cgi(hello()).await,
    ] {
        assert!(error.unwrap_err().to_string().contains("\"connections\" is zero"));
    }
}

#[tokio::test]
async fn a_time_without_end_is_an_error_and_no_panic() {
    for limits in [
        Limits::default().head_time(Duration::MAX),
        Limits::default().record_time(Duration::MAX),
        Limits::default().idle_time(Duration::MAX),
        Limits::default().write_time(Duration::MAX),
        Limits::default().shutdown_time(Duration::MAX),
    ] {
        let (io, other_end) = tokio::io::duplex(1);
        drop(other_end);
        let served = Gateway::new().limits(limits).serve_connection(io, Peer::local(), hello()).await;
        assert!(served.unwrap_err().to_string().contains("more than 100 years"));
    }
}
