//! Hello world under load: what a layer adds to the user time of a request.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::{Result, beside, median};

/// Requests, and what they are sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// What the requests are, in words.
    pub(crate) what: &'static str,
    headers: &'static [&'static str],
    /// The first is what the others are compared with.
    pub(crate) variants: &'static [(&'static str, &'static str)],
}

pub(crate) const LOADS: [Load; 2] = [
    Load { what: "the headers of one proxy", headers: &HEADERS, variants: &VARIANTS },
    Load { what: "no forwarding headers", headers: &[], variants: VARIANTS.split_at(5).0 },
];

/// What the load is sent to.
const VARIANTS: [(&str, &str); 9] = [
    ("bare", "nothing"),
    ("proxyfix", "`proxyfix_axum::wrap`, the origin recorded"),
    ("proxyfix-unrecorded", "`proxyfix_axum::wrap`, nothing recorded"),
    ("by-hand", "by hand, from outside: the client in `ConnectInfo`, three headers removed"),
    ("no-op-outside", "a layer that does nothing, from outside"),
    ("no-op-inside", "a layer that does nothing, by `Router::layer`"),
    ("axum-client-ip", "the extractor of axum-client-ip, in the handler"),
    ("tower-real-ip", "tower-real-ip by `Router::layer`, and its extractor"),
    ("unconnected", "nothing, and no `ConnectInfo` either"),
];

/// What one proxy says of a request.
const HEADERS: [&str; 3] =
    ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Real-IP: 203.0.113.9"];

/// Of each variant, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Loads {
    pub(crate) load: Load,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    /// User time of a request in microseconds, in each round.
    pub(crate) user: Vec<Vec<f64>>,
    /// The same with the time that the kernel spent for it.
    pub(crate) both: Vec<Vec<f64>>,
    /// Who the client is, in its opinion.
    pub(crate) answers: Vec<String>,
    /// Instructions of the whole process for a request.
    pub(crate) instructions: Vec<f64>,
}

impl Loads {
    /// The median of the ratios to the first variant, round by round, and the smallest and the largest.
    pub(crate) fn ratios(series: &[Vec<f64>], variant: usize) -> [f64; 3] {
        let ratios = series[variant].iter().zip(&series[0]).map(|(one, bare)| one / bare);
        let ratios: Vec<_> = ratios.collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        [median(&ratios), least, ratios.iter().copied().fold(0.0, f64::max)]
    }
}

pub(crate) fn measure(load: Load, quick: bool) -> Result<Loads> {
    let (rounds, seconds) = if quick { (2, 1) } else { (15, 2) };
    let Load { headers, variants, .. } = load;
    let mut servers = variants.iter().map(|variant| Server::start(variant.0)).collect::<Result<Vec<_>>>()?;
    let mut loads = Loads {
        load,
        rounds,
        seconds,
        user: vec![Vec::new(); variants.len()],
        both: vec![Vec::new(); variants.len()],
        answers: Vec::new(),
        instructions: Vec::new(),
    };
    for (server, (variant, _)) in servers.iter().zip(variants) {
        loads.answers.push(server.who(headers)?);
        let [few, many] = [counted(variant, headers, FEW)?, counted(variant, headers, MANY)?];
        loads.instructions.push((many - few) / f64::from(MANY - FEW));
    }
    // The first round warms up.
    for round in 0..=rounds {
        for turn in 0..variants.len() {
            let which = (turn + round) % variants.len();
            let server = &mut servers[which];
            let before = server.used()?;
            let requests = server.load(headers, seconds)?;
            let after = server.used()?;
            if round > 0 {
                loads.user[which].push((after[0] - before[0]) / requests);
                loads.both[which].push((after.iter().sum::<f64>() - before.iter().sum::<f64>()) / requests);
            }
        }
    }
    Ok(loads)
}

/// How many requests are sent to a server that is counted, in two runs.
const FEW: u32 = 100;
const MANY: u32 = 600;

/// All instructions of a server that answers so many requests, one after another on one connection.
fn counted(variant: &str, headers: &[&str], requests: u32) -> Result<f64> {
    let failed = |why: &dyn std::fmt::Display| format!("the server {variant} cannot be counted: {why}");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(beside("hello")?).arg(variant);
    valgrind.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = valgrind.spawn().map_err(|error| failed(&error))?;
    let mut asked = || -> std::io::Result<()> {
        let mut port = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut port)?;
        let mut stream = TcpStream::connect(("127.0.0.1", port.trim().parse().unwrap_or_default()))?;
        let head = head("GET / HTTP/1.1", headers);
        let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
        for _ in 0..requests {
            stream.write_all(head.as_bytes())?;
            answer.clear();
            while !answer.ends_with(b"Hello, world!\n") {
                let read = stream.read(&mut piece)?;
                if read == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                answer.extend_from_slice(&piece[..read]);
            }
        }
        Ok(())
    };
    let asked = asked();
    // It ends with its input, which is dropped here; if nobody answered, it may not have begun.
    if asked.is_err() {
        let _ = process.kill();
    }
    let output = process.wait_with_output().map_err(|error| failed(&error))?;
    asked.map_err(|error| failed(&error))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let total = said.lines().find_map(|line| line.split_once("Collected : "));
    total.and_then(|(_, number)| number.trim().parse().ok()).ok_or_else(|| failed(&said))
}

/// The head of a request to this server.
fn head(line: &str, headers: &[&str]) -> String {
    [&[line, "Host: a"], headers, &["", ""]].concat().join("\r\n")
}

/// A process with one of the variants, which ends with its input.
struct Server {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    fn start(variant: &str) -> Result<Self> {
        let failed = |why: &str| format!("the server {variant} does not start: {why}");
        let mut command = Command::new(beside("hello")?);
        command.arg(variant).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| failed(&error.to_string()))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(failed("it has no pipes"));
        };
        let mut server = Self { process, input, output: BufReader::new(output), port: 0 };
        server.port = server.line()?.parse().map_err(|_| failed("it says no port"))?;
        Ok(server)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| format!("a server says nothing: {error}"))?;
        Ok(line.trim().to_owned())
    }

    /// The microseconds that it took so far, of the user and of the system.
    fn used(&mut self) -> Result<[f64; 2]> {
        writeln!(self.input).map_err(|error| format!("a server does not listen: {error}"))?;
        let line = self.line()?;
        let times: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        times.try_into().map_err(|_| format!("a server says {line:?} of its times"))
    }

    /// Sends requests for so long, and says how many were answered.
    fn load(&self, headers: &[&str], seconds: u64) -> Result<f64> {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--connections", "32", "--duration", &format!("{seconds}s")]);
        for header in headers {
            wrk.args(["--header", header]);
        }
        wrk.arg(format!("http://127.0.0.1:{}/", self.port));
        let output = wrk.output().map_err(|error| format!("wrk does not start ({error}): install it"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "));
        let bad = text.contains("Non-2xx") || text.contains("Socket errors");
        match requests.and_then(|(number, _)| number.parse().ok()) {
            Some(requests) if requests > 0.0 && !bad => Ok(requests),
            _ => Err(format!("wrk met errors:\n{text}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Who the client of a request with these headers is.
    fn who(&self, headers: &[&str]) -> Result<String> {
        let failed = |error: std::io::Error| format!("port {}: {error}", self.port);
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(failed)?;
        let head = head("GET /who HTTP/1.1", &[&["Connection: close"], headers].concat());
        stream.write_all(head.as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        Ok(answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
