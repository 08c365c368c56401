//! Many small requests: through wrk, or straight to a FastCGI socket.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use proxyfix_bench_gateway::HELLO;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Result;
use crate::peer::command;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a load measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Percentiles of the time that one took, in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// One thread of wrk with that many connections.
pub(crate) fn wrk(port: u16, path: &str, connections: usize, seconds: u64) -> Result<Load> {
    let mut wrk = command("wrk");
    wrk.args(["--threads", "1", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{seconds}s")])
        .args(["--script", concat!(env!("CARGO_MANIFEST_DIR"), "/wrk.lua")])
        .arg(format!("http://127.0.0.1:{port}{path}"));
    let output = wrk.output().map_err(|error| format!("wrk failed: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().find_map(|line| line.strip_prefix("figures "));
    let figures: Vec<f64> =
        figures.unwrap_or_default().split(' ').filter_map(|figure| figure.parse().ok()).collect();
    match figures[..] {
        [requests, micros, p50, p99, 0.0] if requests > 0.0 => {
            Ok(Load { requests, rate: requests * 1e6 / micros, p50, p99 })
        }
        _ => Err(format!(
            "wrk met errors at port {port}{path}:\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// Who keeps the connections to a FastCGI socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// One thread that polls all of them, as web servers do.
    EventLoop,
    /// A thread for each, which waits for its answer.
    Threads,
}

/// That many kept connections to a FastCGI socket, each with one request at a time.
pub(crate) fn direct(client: Client, socket: &Path, connections: usize, time: Duration) -> Result<Load> {
    let request = request();
    let start = Instant::now();
    let end = start + time;
    let times = match client {
        Client::EventLoop => event_loop(socket, connections, &request, end),
        Client::Threads => threads(socket, connections, &request, end),
    };
    let took = start.elapsed();
    let mut times = times.map_err(|error| format!("{}: {error}", socket.display()))?.concat();
    if times.is_empty() {
        return Err(format!("{} answered nothing", socket.display()));
    }
    times.sort_unstable();
    let percentile = |percent: usize| f64::from(times[(times.len() - 1) * percent / 100]) / 1e3;
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let requests = times.len() as f64;
    Ok(Load { requests, rate: requests / took.as_secs_f64(), p50: percentile(50), p99: percentile(99) })
}

/// The nanoseconds that the answers took, for each connection.
type Times = io::Result<Vec<Vec<u32>>>;

fn threads(socket: &Path, connections: usize, request: &[u8], end: Instant) -> Times {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(|| ask(socket, request, end))).collect();
        threads.into_iter().map(|it| it.join().expect("a thread of the load does not panic")).collect()
    })
}

fn ask(socket: &Path, request: &[u8], end: Instant) -> io::Result<Vec<u32>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Answer::default();
    let mut times = Vec::new();
    while let Some(start) = now_before(end) {
        stream.write_all(request)?;
        while !answer.is_whole()? {
            let read = stream.read(answer.room())?;
            answer.add(read)?;
        }
        times.push(nanoseconds(start));
    }
    Ok(times)
}

fn event_loop(socket: &Path, connections: usize, request: &[u8], end: Instant) -> Times {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let late = end.saturating_duration_since(Instant::now()) + PATIENCE;
    runtime.block_on(async {
        let tasks: Vec<_> = (0..connections)
            .map(|_| tokio::spawn(poll(socket.to_owned(), request.to_owned(), end)))
            .collect();
        let all = async {
            let mut times = Vec::new();
            for task in tasks {
                times.push(task.await.expect("a task of the load does not panic")?);
            }
            Ok(times)
        };
        tokio::time::timeout(late, all).await?
    })
}

async fn poll(socket: PathBuf, request: Vec<u8>, end: Instant) -> io::Result<Vec<u32>> {
    let mut stream = tokio::net::UnixStream::connect(socket).await?;
    let mut answer = Answer::default();
    let mut times = Vec::new();
    while let Some(start) = now_before(end) {
        stream.write_all(&request).await?;
        while !answer.is_whole()? {
            let read = stream.read(answer.room()).await?;
            answer.add(read)?;
        }
        times.push(nanoseconds(start));
    }
    Ok(times)
}

fn now_before(end: Instant) -> Option<Instant> {
    Some(Instant::now()).filter(|now| *now < end)
}

fn nanoseconds(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)
}

/// What came of an answer.
struct Answer {
    octets: Box<[u8]>,
    filled: usize,
}

impl Default for Answer {
    fn default() -> Self {
        Self { octets: vec![0; 8192].into(), filled: 0 }
    }
}

impl Answer {
    fn room(&mut self) -> &mut [u8] {
        &mut self.octets[self.filled..]
    }

    fn add(&mut self, read: usize) -> io::Result<()> {
        self.filled += read;
        if read == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Whether all of it is there; then the next one is awaited.
    fn is_whole(&mut self) -> io::Result<bool> {
        let whole = is_whole(&self.octets[..self.filled])?;
        if whole {
            self.filled = 0;
        }
        Ok(whole)
    }
}

/// Whether `octets` are a whole answer, up to the record that ends the request.
fn is_whole(mut octets: &[u8]) -> io::Result<bool> {
    const END_REQUEST: u8 = 3;
    const STDOUT: u8 = 6;
    let mut greeted = false;
    while let [1, kind, _, _, high, low, padding, _, rest @ ..] = octets {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(content) = rest.get(..length) else { break };
        greeted |= *kind == STDOUT && content.ends_with(HELLO.as_bytes());
        let Some(rest) = rest.get(length + usize::from(*padding)..) else { break };
        match (*kind, rest) {
            (END_REQUEST, []) if greeted => return Ok(true),
            (END_REQUEST, _) => return Err(ErrorKind::InvalidData.into()),
            _ => octets = rest,
        }
    }
    Ok(false)
}

/// A request that keeps its connection, as nginx writes it.
fn request() -> Vec<u8> {
    const KEEP: [u8; 8] = [0, 1, 1, 0, 0, 0, 0, 0];
    let mut pairs = Vec::new();
    for (name, value) in VARIABLES {
        pairs.extend([name.len(), value.len()].map(|length| u8::try_from(length).expect("they are short")));
        pairs.extend([*name, *value].concat().bytes());
    }
    let record = |kind: u8, content: &[u8]| {
        let [high, low] = u16::try_from(content.len()).expect("it is short").to_be_bytes();
        [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
    };
    [record(1, &KEEP), record(4, &pairs), record(4, &[]), record(5, &[])].concat()
}

const VARIABLES: &[(&str, &str)] = &[
    ("QUERY_STRING", ""),
    ("REQUEST_METHOD", "GET"),
    ("CONTENT_TYPE", ""),
    ("CONTENT_LENGTH", ""),
    ("SCRIPT_NAME", ""),
    ("PATH_INFO", "/"),
    ("REQUEST_URI", "/"),
    ("DOCUMENT_URI", "/"),
    ("DOCUMENT_ROOT", "/usr/share/nginx/html"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
    ("REQUEST_SCHEME", "http"),
    ("GATEWAY_INTERFACE", "CGI/1.1"),
    ("SERVER_SOFTWARE", "nginx/1.22.1"),
    ("REMOTE_ADDR", "127.0.0.1"),
    ("REMOTE_PORT", "40000"),
    ("SERVER_ADDR", "127.0.0.1"),
    ("SERVER_PORT", "8080"),
    ("SERVER_NAME", "localhost"),
    ("REDIRECT_STATUS", "200"),
    ("HTTP_HOST", "127.0.0.1:8080"),
];
