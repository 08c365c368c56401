//! A client of HTTP/1.1 that writes the octets that it is told, and tells a whole answer from one that
//! was cut.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Take};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::within;

/// A connection, on which one request follows the other.
#[derive(Debug)]
pub struct Connection {
    /// What comes.
    pub reader: BufReader<OwnedReadHalf>,
    /// Where requests go.
    pub writer: OwnedWriteHalf,
}

/// The head of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The number in the status line.
    pub status: u16,
    /// Names in lower case and values, as they came.
    pub headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its head.
    pub head: Head,
    /// Its body, as far as it came.
    pub body: Vec<u8>,
    /// Whether all of the body came that was announced.
    pub whole: bool,
}

/// What was sent of a request.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The request line and the header, and the empty line.
    pub head: Vec<u8>,
    /// The body, as it stands on the wire.
    pub body: Vec<u8>,
    /// Whether the body waits for `100 Continue`.
    pub waits: bool,
    /// Whether the answer has no body: the method is HEAD.
    pub head_only: bool,
}

impl Head {
    /// The first value of the header `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
    }
}

impl Reply {
    /// The body of a successful answer, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.head.status, 200, "{:?}", self.head);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.head))
    }
}

impl Sent {
    /// A request without a body. `lines` follow the `Host` line.
    pub fn new(method: &str, target: impl AsRef<[u8]>, lines: &[impl AsRef<[u8]>]) -> Self {
        let mut head =
            [method.as_bytes(), b" ", target.as_ref(), b" HTTP/1.1\r\nHost: good.example\r\n"].concat();
        for line in lines {
            head.extend([line.as_ref(), b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        Self { head, body: Vec::new(), waits: false, head_only: method == "HEAD" }
    }
}

impl Connection {
    /// Connects.
    pub async fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: BufReader::new(reader), writer })
    }

    /// Sends a request, reads the answer meanwhile: a server may answer before it has read all.
    pub async fn exchange(&mut self, sent: &Sent) -> io::Result<Reply> {
        self.writer.write_all(&sent.head).await?;
        if sent.waits {
            let head = read_head(&mut self.reader).await?;
            if head.status != 100 {
                return read_body(&mut self.reader, head, sent.head_only).await;
            }
        }
        let write = async {
            // Who has answered need not read on.
            let _ = self.writer.write_all(&sent.body).await;
        };
        let read = async {
            loop {
                let head = read_head(&mut self.reader).await?;
                if head.status >= 200 {
                    return read_body(&mut self.reader, head, sent.head_only).await;
                }
            }
        };
        // The answer is what is waited for; when it is there, the rest of the request is of no use.
        let mut read = std::pin::pin!(read);
        tokio::select! {
            biased;
            reply = &mut read => return reply,
            () = write => {}
        }
        read.await
    }
}

/// Sends a request on a new connection, and reads the answer.
pub async fn exchange(server: SocketAddr, sent: &Sent) -> io::Result<Reply> {
    let what = String::from_utf8_lossy(&sent.head).into_owned();
    within(&what, async { Connection::open(server).await?.exchange(sent).await }).await
}

/// Sends a GET with `Connection: close` on a new connection, and reads the answer.
pub async fn get(server: SocketAddr, target: &str) -> io::Result<Reply> {
    exchange(server, &Sent::new("GET", target, &["Connection: close"])).await
}

/// Reads the head of an answer, be it an interim one.
pub async fn read_head(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Head> {
    let status = line(reader).await?;
    let number = status.split(' ').nth(1).and_then(|it| it.parse().ok());
    let status = number.ok_or_else(|| malformed(&status))?;
    let mut headers = Vec::new();
    loop {
        let line = line(reader).await?;
        if line.is_empty() {
            return Ok(Head { status, headers });
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
        headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

/// Reads the body that follows `head`.
pub async fn read_body(
    reader: &mut (impl AsyncBufRead + Unpin),
    head: Head,
    head_only: bool,
) -> io::Result<Reply> {
    let mut body = Vec::new();
    let length = head.get("content-length").map(str::parse::<u64>);
    let whole = if head_only || matches!(head.status, 204 | 304) {
        true
    } else if head.get("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
        chunks(reader, &mut body).await.is_ok()
    } else if let Some(length) = length {
        let length = length.map_err(|error| malformed(&error.to_string()))?;
        take(reader, length, &mut body).await.is_ok()
    } else {
        reader.read_to_end(&mut body).await.is_ok()
    };
    Ok(Reply { head, body, whole })
}

async fn chunks(reader: &mut (impl AsyncBufRead + Unpin), body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let size = line(reader).await?;
        let digits = size.split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(digits.trim(), 16).map_err(|_| malformed(&size))?;
        take(reader, size, body).await?;
        let end = line(reader).await?;
        if !end.is_empty() {
            return Err(malformed(&end));
        }
        if size == 0 {
            return Ok(());
        }
    }
}

async fn take(reader: &mut (impl AsyncBufRead + Unpin), length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let mut part: Take<_> = reader.take(length);
    part.read_to_end(body).await?;
    if part.limit() == 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A line, without its end. Octets that are not ASCII are escaped.
async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).await?;
    let line = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(line
        .iter()
        .map(|it| if it.is_ascii() { char::from(*it).to_string() } else { format!("\\x{it:02x}") })
        .collect())
}

fn malformed(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} in an answer"))
}
