//! Single requests over HTTP, small and large.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

const CHUNK: usize = 1 << 16;

/// What `path` answers.
pub(crate) fn get(port: u16, path: &str) -> Result<String> {
    let mut text = String::new();
    let (mut answer, _) = open(port, path)?;
    answer.read_to_string(&mut text).map_err(failed(path))?;
    Ok(text)
}

/// The time until that many octets were sent and the number of them came back.
pub(crate) fn upload(port: u16, octets: u64) -> Result<Duration> {
    let start = Instant::now();
    let text = send(port, "/upload", octets, false)?;
    (text == octets.to_string()).then(|| start.elapsed()).ok_or_else(|| format!("/upload counted {text}"))
}

/// Sends as many octets to a handler that does not read them, until it answers.
pub(crate) fn ignored(port: u16, octets: u64) -> Result {
    let text = send(port, "/ignore", octets, true)?;
    (text == "ignored").then_some(()).ok_or_else(|| format!("/ignore answered {text}"))
}

/// The time until that many octets were received.
pub(crate) fn download(port: u16, octets: u64) -> Result<Duration> {
    let start = Instant::now();
    let path = format!("/download/{octets}");
    let (mut answer, length) = open(port, &path)?;
    if length != Some(octets) {
        return Err(format!("{path} declares {length:?} octets"));
    }
    let mut chunk = vec![0; CHUNK];
    let mut received = 0;
    while received < octets {
        match answer.read(&mut chunk).map_err(failed(&path))? {
            0 => return Err(format!("{path} ended after {received} octets")),
            read => received += read as u64,
        }
    }
    Ok(start.elapsed())
}

/// Sends a body while the answer is awaited. `early`: it may be answered before it was read.
fn send(port: u16, path: &str, octets: u64, early: bool) -> Result<String> {
    let mut stream = connect(port).map_err(failed(path))?;
    let mut writer = stream.try_clone().map_err(failed(path))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {octets}\r\n\r\n"
    )
    .map_err(failed(path))?;
    let writing = thread::spawn(move || {
        let chunk = vec![0; CHUNK];
        let mut left = octets;
        while left > 0 {
            let length = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
            writer.write_all(&chunk[..length])?;
            left -= length as u64;
        }
        Ok::<_, io::Error>(())
    });
    let (mut answer, length) = head(stream.try_clone().map_err(failed(path))?, path)?;
    let mut text = vec![0; usize::try_from(length.unwrap_or_default()).unwrap_or_default()];
    answer.read_exact(&mut text).map_err(failed(path))?;
    // The writer still waits where the body is not read.
    stream.shutdown(std::net::Shutdown::Both).ok();
    let written = writing.join().expect("the writer does not panic");
    if !early {
        written.map_err(failed(path))?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn open(port: u16, path: &str) -> Result<(BufReader<TcpStream>, Option<u64>)> {
    let mut stream = connect(port).map_err(failed(path))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").map_err(failed(path))?;
    head(stream, path)
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    Ok(stream)
}

/// Reads the head of the answer, which has to be 200, and the length that it declares.
fn head(stream: TcpStream, path: &str) -> Result<(BufReader<TcpStream>, Option<u64>)> {
    let mut answer = BufReader::new(stream);
    let mut length = None;
    let mut status = String::new();
    answer.read_line(&mut status).map_err(failed(path))?;
    if status.split(' ').nth(1) != Some("200") {
        return Err(format!("{path} answered {:?}", status.trim_end()));
    }
    loop {
        let mut line = String::new();
        answer.read_line(&mut line).map_err(failed(path))?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok(),
            Some(_) => {}
            None => return Ok((answer, length)),
        }
    }
}

fn failed(path: &str) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{path}: {error}")
}
