//! Whole processes, as each starter starts them: their life, and what the starter sees of it.
//!
//! This program is the tests and the application that they start: which one says [`ROLE`].

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, ExitCode, ExitStatus, Output, Stdio};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::BodyExt as _;
use libtest_mimic::{Arguments, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proxyfix_cgi::fastcgi::write_pair;
use proxyfix_cgi::{Error, Gateway, Limits, Listener, MetaVariables};
use tempfile::TempDir;

/// What the application is to do.
const ROLE: &str = "PROXYFIX_TEST_ROLE";

fn main() -> ExitCode {
    match env::var(ROLE) {
        Ok(role) => application(&role),
        Err(_) => libtest_mimic::run(&Arguments::from_args(), tests()).exit_code(),
    }
}

// The application.

fn router() -> Router {
    Router::new()
        .route("/", get(async || "Hello, World!\n"))
        .route("/echo", post(async |body: Bytes| body))
        .route("/length", post(async |body: Bytes| body.len().to_string()))
        .route("/unread", post(async || "not read\n"))
        .route(
            "/print",
            get(async || {
                println!("printed by the application");
                "Hello, World!\n"
            }),
        )
        .route("/input", get(async || fs::read_link("/proc/self/fd/0").unwrap().display().to_string()))
        .route("/arguments", get(async || env::args().count().to_string()))
        .route("/body", post(read))
        .route("/fails", get(async || cut(&["a piece\n"])))
        .route("/fails-first", get(async || cut(&[])))
        .route("/pieces", get(async || pieces()))
        .route(
            "/headers",
            get(async |request: Request| {
                let proxy = request.headers().contains_key("proxy");
                let held = request.extensions().get::<MetaVariables>().and_then(|it| it.get("HTTP_PROXY"));
                format!("{proxy} {}", held.is_some())
            }),
        )
        .route("/panics", get(async || -> &str { panic!("as asked") }))
}

/// What became of a body.
async fn read(request: Request) -> String {
    match request.into_body().collect().await {
        Ok(body) => format!("{} octets", body.to_bytes().len()),
        Err(error) => error.to_string(),
    }
}

fn cut(pieces: &[&'static str]) -> impl IntoResponse {
    let pieces: Vec<_> = pieces.iter().map(|it| Ok(*it)).chain([Err("no more")]).collect();
    axum::body::Body::from_stream(stream::iter(pieces))
}

fn pieces() -> impl IntoResponse {
    let piece = |number| Ok::<_, Error>(vec![b'a' + number; 100_000]);
    axum::body::Body::from_stream(stream::iter((0..5).map(piece)))
}

fn application(role: &str) -> ExitCode {
    let log = || std::io::stderr();
    tracing_subscriber::fmt().with_writer(log).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gateway = Gateway::new();
    let listener = || env::var("LISTEN").unwrap().parse::<Listener>().unwrap();
    let served = runtime.block_on(async {
        match role {
            "auto" => proxyfix_cgi::serve(router(), "127.0.0.1:0").await,
            "listener" => gateway.fastcgi(listener(), router()).await,
            "patient" => {
                let forever = Duration::from_secs(1 << 30);
                let limits = Limits::default().shutdown_time(forever).head_time(forever);
                gateway.limits(limits).serve(router(), "127.0.0.1:0").await
            }
            "small" => {
                let limits = Limits::default().body(10).pair(20_000);
                gateway.limits(limits.shutdown_time(Duration::from_millis(100))).cgi(router()).await
            }
            role => panic!("{role}: no such role"),
        }
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

// What starts it.

/// A process; ended with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env_clear().env(ROLE, role).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// A FastCGI application that has `socket` as its standard input.
    fn on(socket: impl Into<OwnedFd>) -> Self {
        Self::start(command("auto").stdin(socket.into()))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    fn log(&mut self) -> BufReader<std::process::ChildStderr> {
        BufReader::new(self.0.stderr.take().unwrap())
    }

    /// Waits for the line that says where it listens, and gives that.
    fn address(&mut self) -> String {
        let mut log = self.log();
        let mut line = String::new();
        while !line.contains("listening on ") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended before it listened");
        }
        // Somebody has to read on.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let address = line.split("listening on ").nth(1).unwrap();
        address.split([',', ' ', '\n']).next().unwrap().to_owned()
    }

    fn wait(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }

    /// Ends it politely.
    #[track_caller]
    fn stop(mut self, signal: Signal) {
        self.signal(signal);
        assert!(self.wait().success());
    }
}

// A web server.

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[1, kind, 0, 1][..], &length, &[0, 0], content].concat()
}

/// The head of a request, and the beginning of its body.
fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let mut variables = BytesMut::new();
    for (name, value) in [
        ("REQUEST_METHOD", if body.is_empty() { "GET" } else { "POST" }),
        ("REQUEST_URI", path),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", path),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("CONTENT_LENGTH", &body.len().to_string()),
    ] {
        write_pair(name.as_bytes(), value.as_bytes(), &mut variables);
    }
    let begin = record(1, &[0, 1, 0, 0, 0, 0, 0, 0]);
    [begin, record(4, &variables), record(4, b""), record(5, body), record(5, b"").split_off(8)].concat()
}

/// The end of the body.
fn end() -> Vec<u8> {
    record(5, b"")
}

/// What is in the answer, up to the end of the connection.
fn answer(mut io: impl Read) -> String {
    let mut octets = Vec::new();
    let _ = io.read_to_end(&mut octets);
    let (mut rest, mut answer) = (&octets[..], Vec::new());
    while let [1, kind, _, _, high, low, padding, _, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == 6 {
            answer.extend_from_slice(&after[..length]);
        }
        rest = &after[length + usize::from(*padding)..];
    }
    String::from_utf8(answer).unwrap()
}

/// Asks for `path`, and gives the answer.
fn ask(mut io: impl Read + Write, path: &str) -> String {
    io.write_all(&request(path, b"")).unwrap();
    io.write_all(&end()).unwrap();
    answer(io)
}

fn socket() -> (TempDir, UnixListener, impl Fn() -> UnixStream) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    (folder, listener, move || UnixStream::connect(&path).unwrap())
}

const HELLO: &str = "Hello, World!\n";

// FastCGI.

fn fd_0_unix() {
    let (_folder, listener, connect) = socket();
    let process = Process::on(listener);
    assert!(ask(connect(), "/").ends_with(HELLO));
    assert!(ask(connect(), "/input").ends_with("/dev/null"));
    process.stop(Signal::SIGTERM);
}

fn fd_0_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let process = Process::on(listener);
    assert!(ask(TcpStream::connect(address).unwrap(), "/").ends_with(HELLO));
    process.stop(Signal::SIGINT);
}

/// As supervisor and spawn-fcgi do: one socket, several processes, none of which may wait for ever for a
/// connection that another one took.
fn fd_0_shared() {
    let (_folder, listener, connect) = socket();
    let first = Process::on(listener.try_clone().unwrap());
    let second = Process::on(listener);
    for _ in 0..50 {
        assert!(ask(connect(), "/").ends_with(HELLO));
    }
    first.stop(Signal::SIGTERM);
    for _ in 0..50 {
        assert!(ask(connect(), "/").ends_with(HELLO));
    }
    second.stop(Signal::SIGUSR1);
}

fn hangup_is_ignored() {
    let (_folder, listener, connect) = socket();
    let process = Process::on(listener);
    assert!(ask(connect(), "/").ends_with(HELLO));
    process.signal(Signal::SIGHUP);
    assert!(ask(connect(), "/").ends_with(HELLO));
    process.stop(Signal::SIGTERM);
}

fn in_flight() {
    let (_folder, listener, connect) = socket();
    let mut process = Process::on(listener);
    let mut slow = connect();
    slow.write_all(&request("/echo", b"the body\n")).unwrap();
    // Accepted before it, and so begun before it.
    assert!(ask(connect(), "/").ends_with(HELLO));
    let mut idle = connect();
    let mut kept = request("/", b"");
    kept[10] = 1;
    idle.write_all(&[kept, end()].concat()).unwrap();
    let mut octet = [0];
    idle.read_exact(&mut octet).unwrap();
    process.signal(Signal::SIGTERM);
    // The idle connection is closed while the other one is not finished.
    answer(idle);
    slow.write_all(&end()).unwrap();
    assert!(answer(slow).ends_with("the body\n"));
    assert!(process.wait().success());
}

/// What waits to be accepted when the signal comes is answered.
fn backlog() {
    let (_folder, listener, connect) = socket();
    let mut process = Process::on(listener.try_clone().unwrap());
    assert!(ask(connect(), "/").ends_with(HELLO));
    process.signal(Signal::SIGSTOP);
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let mut io = connect();
            io.write_all(&[request("/", b""), end()].concat()).unwrap();
            io
        })
        .collect();
    process.signal(Signal::SIGTERM);
    process.signal(Signal::SIGCONT);
    for io in waiting {
        assert!(answer(io).ends_with(HELLO));
    }
    assert!(process.wait().success());
}

fn second_signal() {
    let (folder, listener, connect) = socket();
    let mut process = Process::start(command("patient").stdin(OwnedFd::from(listener)));
    let mut log = process.log();
    let mut slow = connect();
    slow.write_all(&request("/echo", b"the body\n")).unwrap();
    assert!(ask(connect(), "/").ends_with(HELLO));
    process.signal(Signal::SIGTERM);
    // Once nobody accepts any more, the first one has been seen.
    while UnixStream::connect(folder.path().join("app.sock")).is_ok() {
        std::thread::yield_now();
    }
    process.signal(Signal::SIGTERM);
    assert!(process.wait().success());
    assert!(!answer(slow).contains("the body"));
    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
    // And perhaps some of those that only asked whether anybody accepts.
    assert!(said.contains(" connections are cut off"), "{said}");
}

fn bound_here() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("app.sock");
    let mut process = Process::start(command("listener").env("LISTEN", &path));
    assert_eq!(process.address(), format!("unix:{}", path.display()));
    assert!(ask(UnixStream::connect(&path).unwrap(), "/").ends_with(HELLO));
    // Killed, it leaves its socket behind, which the next one replaces.
    drop(process);
    assert!(path.exists());
    let mut process = Process::start(command("listener").env("LISTEN", &path));
    process.address();
    assert!(ask(UnixStream::connect(&path).unwrap(), "/").ends_with(HELLO));
    // A second one is not served beside it.
    let second = command("listener").env("LISTEN", &path).output().unwrap();
    assert!(!second.status.success());
    assert!(log(&second).contains("Error: cannot listen on unix:"), "{}", log(&second));
    assert!(log(&second).contains("address in use"), "{}", log(&second));
    process.stop(Signal::SIGTERM);
    assert!(!path.exists());
}

/// Too few file descriptors for all who come at a time: they are answered one after the other.
fn few_descriptors() {
    let (_folder, listener, connect) = socket();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -n 14; exec \"$0\""]).arg(env::current_exe().unwrap());
    shell.env_clear().env(ROLE, "auto").stdin(OwnedFd::from(listener)).stderr(Stdio::piped());
    let mut process = Process::start(&mut shell);
    let mut log = process.log();
    let mut waiting: Vec<_> = (0..20).map(|_| connect()).collect();
    // The limit is reached before anybody is served.
    let mut line = String::new();
    while !line.contains("a connection cannot be accepted") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
    }
    for io in &mut waiting {
        io.write_all(&[request("/", b""), end()].concat()).unwrap();
    }
    for io in waiting {
        assert!(answer(io).ends_with(HELLO));
    }
    process.stop(Signal::SIGTERM);
}

fn t161_listed_servers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut process = Process::start(
        command("auto").env("FCGI_WEB_SERVER_ADDRS", "192.0.2.7").stdin(OwnedFd::from(listener)),
    );
    let mut io = TcpStream::connect(address).unwrap();
    let _ = io.write_all(&[request("/", b""), end()].concat());
    assert_eq!(answer(io), "");
    let mut log = process.log();
    process.stop(Signal::SIGTERM);
    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
    assert!(said.contains("127.0.0.1"), "{said}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = command("auto")
        .env("FCGI_WEB_SERVER_ADDRS", "somewhere")
        .stdin(OwnedFd::from(listener))
        .output()
        .unwrap();
    assert!(log_of(&refused, "FCGI_WEB_SERVER_ADDRS is \"somewhere\""));
}

// HTTP.

fn http(io: impl Read + Write, path: &str) -> String {
    let mut io = io;
    io.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).unwrap();
    answer
}

fn http_else() {
    let mut process = Process::start(&mut command("patient"));
    let address = process.address();
    let answer = http(TcpStream::connect(&address).unwrap(), "/");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(HELLO), "{answer}");
    // A connection that is kept does not keep the process.
    let mut kept = TcpStream::connect(&address).unwrap();
    kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    kept.read_exact(&mut [0]).unwrap();
    process.stop(Signal::SIGTERM);
}

/// Starts it as systemd does: the socket is file descriptor 3.
fn activated(role: &str, socket: OwnedFd, count: u32, pid: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("LISTEN_PID={pid} LISTEN_FDS={count} exec \"$0\" 3<&0 0</dev/null"));
    shell.arg(env::current_exe().unwrap()).env_clear().env(ROLE, role).env("LISTEN", "systemd");
    shell.stdin(socket).stdout(Stdio::null()).stderr(Stdio::piped());
    shell
}

fn systemd_http() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let process = Process::start(&mut activated("auto", listener.into(), 1, "$$"));
    assert!(http(TcpStream::connect(address).unwrap(), "/").ends_with(HELLO));
    process.stop(Signal::SIGTERM);
}

fn systemd_fastcgi() {
    let (_folder, listener, connect) = socket();
    let process = Process::start(&mut activated("listener", listener.into(), 1, "$$"));
    assert!(ask(connect(), "/").ends_with(HELLO));
    process.stop(Signal::SIGTERM);
}

fn systemd_errors() {
    let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let refused = |count, pid, socket, said| {
        let output = activated("listener", socket, count, pid).output().unwrap();
        assert!(log_of(&output, said));
    };
    refused(2, "$$", listener(), "LISTEN_FDS announces 2 sockets, and one is served: keep one ListenStream=");
    refused(1, "1", listener(), "no socket was handed over: LISTEN_FDS announces none, or LISTEN_PID names");
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    refused(
        1,
        "$$",
        datagrams.into(),
        "neither a unix nor a TCP stream socket: the .socket unit has to have",
    );
    let (one, _other) = UnixStream::pair().unwrap();
    refused(1, "$$", one.into(), "the socket of LISTEN_FDS is a socket that does not listen");
    let output = command("listener").env("LISTEN", "systemd").output().unwrap();
    assert!(log_of(
        &output,
        "no socket was handed over: LISTEN_FDS is not set; start this program through its"
    ));
}

fn fd_0_errors() {
    let output = command("listener").env("LISTEN", "fd").output().unwrap();
    assert!(log_of(
        &output,
        "file descriptor 0 is not a socket: start this program from lighttpd (bin-path)"
    ));
    let (one, _other) = UnixStream::pair().unwrap();
    let output = command("listener").env("LISTEN", "fd").stdin(OwnedFd::from(one)).output().unwrap();
    assert!(log_of(
        &output,
        "file descriptor 0 is a socket that does not listen: the starter has to hand over"
    ));
}

// CGI.

fn cgi_command(role: &str, method: &str, path: &str) -> Command {
    let mut command = command(role);
    command
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("REQUEST_METHOD", method)
        .env("REQUEST_URI", path)
        .env("SCRIPT_NAME", "")
        .env("PATH_INFO", path.split('?').next().unwrap())
        .env("SERVER_PROTOCOL", "HTTP/1.1")
        .stdout(Stdio::piped());
    command
}

fn cgi(path: &str) -> Output {
    cgi_command("auto", "GET", path).output().unwrap()
}

/// A request with a body, after which standard input stays open.
fn cgi_post(role: &str, path: &str, body: &[u8], variables: &[(&str, &str)]) -> Output {
    let mut command = cgi_command(role, "POST", path);
    let mut child = command.stdin(Stdio::piped()).envs(variables.iter().copied()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // It may end before it has read everything.
    let _ = input.write_all(body);
    let output = child.wait_with_output().unwrap();
    drop(input);
    output
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn log(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Whether it ended with failure, and said so.
fn log_of(output: &Output, said: &str) -> bool {
    let log = log(output);
    assert!(log.contains(said), "{log:?} does not say {said:?}");
    !output.status.success() && log.contains("Error: ")
}

fn cgi_answers() {
    let output = cgi("/");
    assert!(output.status.success(), "{}", log(&output));
    let out = out(&output);
    assert!(out.starts_with("Status: 200 OK\r\n") && out.ends_with("\r\n\r\nHello, World!\n"), "{out}");
    assert_eq!(out.matches("Status:").count(), 1);
}

fn cgi_head() {
    let output = cgi_command("auto", "HEAD", "/").output().unwrap();
    assert!(out(&output).starts_with("Status: 200 OK\r\n") && out(&output).ends_with("\r\n\r\n"));
    assert!(output.status.success());
}

fn cgi_long_answer() {
    let output = cgi("/pieces");
    let out = out(&output);
    let (_, body) = out.split_once("\r\n\r\n").unwrap();
    let expected: String = ('a'..='e').map(|it| it.to_string().repeat(100_000)).collect();
    assert!(body == expected && output.status.success());
}

fn cgi_prints() {
    let output = cgi("/print");
    assert!(out(&output).ends_with("\r\n\r\nHello, World!\n") && !out(&output).contains("printed"));
    assert!(log(&output).contains("printed by the application"));
}

/// RFC 3875 section 4.2: exactly so many octets, and no waiting for the end.
fn cgi_body() {
    let output = cgi_post("auto", "/echo", b"the body, and more", &[("CONTENT_LENGTH", "8")]);
    assert!(out(&output).ends_with("\r\n\r\nthe body"), "{}", out(&output));
    let long = vec![b'x'; 1_000_000];
    let output = cgi_post("auto", "/length", &long, &[("CONTENT_LENGTH", "1000000")]);
    assert!(out(&output).ends_with("\r\n\r\n1000000"), "{}", out(&output));
    // Nothing says that there is one, or it is not wanted: nobody waits for it, or not for long.
    for (path, variables) in [
        ("/length", &[][..]),
        ("/length", &[("CONTENT_LENGTH", "")]),
        ("/unread", &[("CONTENT_LENGTH", "9")]),
    ] {
        let output = cgi_post("small", path, b"", variables);
        let expected = if path == "/unread" { "not read\n" } else { "0" };
        assert!(out(&output).ends_with(&format!("\r\n\r\n{expected}")), "{path}: {}", out(&output));
        assert!(output.status.success());
    }
}

/// Apache decodes the transfer coding, and leaves the header and no length.
fn cgi_chunked() {
    let mut command = cgi_command("auto", "POST", "/echo");
    let mut child = command.env("HTTP_TRANSFER_ENCODING", "chunked").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"to its end").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(out(&output).ends_with("\r\n\r\nto its end"), "{}", out(&output));
}

fn t159_cgi_short_body() {
    let mut command = cgi_command("auto", "POST", "/body");
    let mut child = command.env("CONTENT_LENGTH", "10").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"short").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(out(&output).ends_with("5 of the 10 octets that CONTENT_LENGTH declares"), "{}", out(&output));
}

fn t160_cgi_large_body() {
    let output = cgi_post("small", "/body", b"eleven octs", &[("CONTENT_LENGTH", "11")]);
    assert!(out(&output).starts_with("Status: 413"), "{}", out(&output));
    let output = cgi_post("small", "/body", b"eleven octs", &[("HTTP_TRANSFER_ENCODING", "chunked")]);
    assert!(out(&output).starts_with("Status: 413"), "{}", out(&output));
    let output = cgi_post("small", "/body", b"ten octets", &[("CONTENT_LENGTH", "10")]);
    assert!(out(&output).ends_with("10 octets"), "{}", out(&output));
}

fn t158_cgi_large_environment() {
    let long = "x".repeat(20_000);
    let output = cgi_command("small", "GET", "/").env("HTTP_LONG", long).output().unwrap();
    assert!(out(&output).starts_with("Status: 431"), "{}", out(&output));
}

fn cgi_fails() {
    let output = cgi("/fails-first");
    assert!(out(&output).starts_with("Status: 500"), "{}", out(&output));
    assert!(!out(&output).contains("no more"));
    let mut command = cgi_command("auto", "GET", "/fails");
    let output = command.output().unwrap();
    // Both pieces are there at once: nothing was written yet.
    assert!(out(&output).starts_with("Status: 500"), "{}", out(&output));
    let output = cgi("/panics");
    assert_eq!(out(&output), "");
    assert!(!output.status.success() && log(&output).contains("as asked"));
}

fn t146_cgi_proxy() {
    let output =
        cgi_command("auto", "GET", "/headers").env("HTTP_PROXY", "http://evil.example").output().unwrap();
    assert!(out(&output).ends_with("\r\n\r\nfalse true"), "{}", out(&output));
}

/// What a client puts into its query may be the arguments (RFC 3875 section 4.4).
fn t156_cgi_arguments() {
    let mut command = cgi_command("auto", "GET", "/arguments?--help");
    let output = command.args(["--help", "-s"]).output().unwrap();
    assert!(out(&output).ends_with("\r\n\r\n3"), "{}", out(&output));
}

fn tests() -> Vec<Trial> {
    let test = |name: &str, run: fn()| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    };
    vec![
        test("a_unix_socket_as_fd_0_is_fastcgi", fd_0_unix),
        test("a_tcp_socket_as_fd_0_is_fastcgi", fd_0_tcp),
        test("processes_share_a_socket", fd_0_shared),
        test("sighup_does_nothing", hangup_is_ignored),
        test("what_is_in_flight_is_finished_and_what_is_idle_closed", in_flight),
        test("what_waits_to_be_accepted_is_answered", backlog),
        test("a_second_signal_ends_at_once", second_signal),
        test("a_socket_that_was_bound_here_is_removed_and_a_stale_one_replaced", bound_here),
        test("a_lack_of_file_descriptors_ends_nothing", few_descriptors),
        test("t161_the_servers_that_the_starter_lists", t161_listed_servers),
        test("http_where_nothing_else_is_asked_for", http_else),
        test("a_socket_of_systemd_is_http", systemd_http),
        test("a_socket_of_systemd_may_be_fastcgi", systemd_fastcgi),
        test("a_socket_of_systemd_that_is_none_says_why", systemd_errors),
        test("an_fd_0_that_does_not_listen_says_why", fd_0_errors),
        test("cgi_answers_one_request", cgi_answers),
        test("cgi_answers_head_without_a_body", cgi_head),
        test("cgi_writes_a_long_answer_in_pieces", cgi_long_answer),
        test("cgi_what_the_application_prints_is_no_answer", cgi_prints),
        test("cgi_a_body_has_its_declared_length", cgi_body),
        test("cgi_a_chunked_body_is_read_to_its_end", cgi_chunked),
        test("cgi_what_fails_is_never_completed", cgi_fails),
        test("t146_no_request_has_a_proxy_header", t146_cgi_proxy),
        test("t156_arguments_are_ignored", t156_cgi_arguments),
        test("t158_an_environment_beyond_the_limits_is_refused", t158_cgi_large_environment),
        test("t159_a_body_that_is_too_short_is_an_error", t159_cgi_short_body),
        test("t160_a_body_beyond_the_limit_is_refused", t160_cgi_large_body),
    ]
}
