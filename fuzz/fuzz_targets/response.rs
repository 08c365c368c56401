//! From a response to what a web server reads. An input is a status, then lines, a blank line, and the
//! body. Lines are headers, or, where they begin with a colon, what no header says:
//!
//! | line | meaning |
//! | --- | --- |
//! | `:head` | the method is HEAD |
//! | `:length` | the body knows its length |
//! | `:waits` | the body is not there at once |
//! | `:fails` | the body ends with an error |
//! | `:pass` | the gateway passes on what web servers obey |
//! | `:cut N` | the body comes in the pieces of N |

#![no_main]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use libfuzzer_sys::fuzz_target;
use proxyfix_cgi::{Body, Gateway};
use proxyfix_fuzz::gateway::{BEGIN, END, PARAMS, STDIN, STDOUT, converse, head, pair, pieces, record};
use tower_service::Service;

fuzz_target!(|data: &[u8]| {
    let answer = Answer::read(data);
    let gateway = Gateway::new();
    let gateway = if answer.is(Told::Pass) { gateway.pass_accelerator_headers() } else { gateway };
    let method: &[u8] = if answer.is(Told::Head) { b"HEAD" } else { b"GET" };
    let params = [pair(b"REQUEST_METHOD", method, false), pair(b"REQUEST_URI", b"/", false)].concat();
    let asked = [
        record(BEGIN, 1, &[0, 1, 1, 0, 0, 0, 0, 0], 0),
        record(PARAMS, 1, &params, 0),
        record(PARAMS, 1, b"", 0),
        record(STDIN, 1, b"", 0),
    ]
    .concat();
    let expected = answer.expected();
    for (room, seed) in [(1 << 16, 0), (64, 1)] {
        let records = converse(gateway.clone(), answer.clone(), &asked, seed, room);
        let mut stdout = Vec::new();
        let mut ended = false;
        for (kind, id, content) in records {
            assert!(id == 1 && !ended);
            match kind {
                STDOUT => stdout.extend(content),
                END => {
                    assert_eq!(content, [0; 8]);
                    ended = true;
                }
                other => panic!("a record of type {other}"),
            }
        }
        let Some((lines, body)) = head(&stdout) else {
            assert!(!ended && room == 64 && matches!(expected, Expected::Answer { complete: false, .. }));
            continue;
        };
        match &expected {
            Expected::Refused => {
                let status = ("status".to_owned(), b"500 Internal Server Error".to_vec());
                assert_eq!(lines[0], status);
                assert!(ended && (answer.is(Told::Head) == body.is_empty()));
            }
            Expected::Answer { headers, body: expected, complete } => {
                assert_eq!(ended, *complete);
                assert!(if ended { body == expected } else { expected.starts_with(body) });
                let at = lines.iter().position(|(name, _)| name == "status").expect("there is a status");
                assert!(lines[..at].iter().all(|(name, _)| name == "location"));
                let mut found: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
                for (name, value) in &lines {
                    found.entry(name).or_default().push(value);
                }
                let status = found.remove("status").unwrap();
                assert!(status.len() == 1 && status[0].starts_with(answer.status.as_str().as_bytes()));
                assert!(status[0].len() > 4 && status[0][3] == b' ');
                let headers: BTreeMap<&str, Vec<&[u8]>> = headers
                    .iter()
                    .map(|(name, values)| (&**name, values.iter().map(|it| it.trim_ascii()).collect()))
                    .collect();
                assert_eq!(found, headers);
            }
        }
    }
});

/// A service of one answer.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    frames: VecDeque<Bytes>,
    told: Vec<Told>,
}

/// What no header says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Head,
    Length,
    Waits,
    Fails,
    Pass,
}

/// What a web server reads.
enum Expected {
    /// An error of the gateway's own.
    Refused,
    Answer {
        headers: BTreeMap<String, Vec<Vec<u8>>>,
        body: Vec<u8>,
        complete: bool,
    },
}

impl Answer {
    fn read(data: &[u8]) -> Self {
        let mut lines = data.split(|octet| *octet == b'\n');
        let status = lines.next().and_then(|line| StatusCode::from_bytes(line).ok()).unwrap_or_default();
        let mut answer = Self { status, headers: Vec::new(), frames: VecDeque::new(), told: Vec::new() };
        let mut cut = 0;
        for line in lines.by_ref() {
            match line {
                b"" => break,
                b":head" => answer.told.push(Told::Head),
                b":length" => answer.told.push(Told::Length),
                b":waits" => answer.told.push(Told::Waits),
                b":fails" => answer.told.push(Told::Fails),
                b":pass" => answer.told.push(Told::Pass),
                _ => match line.strip_prefix(b":cut ") {
                    Some(number) => cut = number.first().copied().unwrap_or_default(),
                    None => answer.headers.extend(header_line(line)),
                },
            }
        }
        let body: Vec<u8> = lines.collect::<Vec<_>>().join(&b'\n');
        answer.frames =
            pieces(body.len(), cut).into_iter().map(|it| Bytes::copy_from_slice(&body[it])).collect();
        answer
    }

    fn is(&self, told: Told) -> bool {
        self.told.contains(&told)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_bytes())
    }

    fn left(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }

    /// The rules, read slowly.
    fn expected(&self) -> Expected {
        let status = self.status.as_u16();
        if !(200..600).contains(&status) || self.headers.len() > 128 {
            return Expected::Refused;
        }
        let has_no_body = matches!(status, 204 | 205 | 304);
        let mut stated = None;
        for value in self.values("content-length").filter(|_| !has_no_body) {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
            match number.filter(|_| is_number) {
                Some(number) if stated.is_none_or(|stated| stated == number) => stated = Some(number),
                _ => return Expected::Refused,
            }
        }
        let known = (self.is(Told::Length) && !self.is(Told::Fails)).then(|| self.left());
        let length = match status {
            204 | 304 => None,
            205 => Some(0),
            _ => stated.or(known.filter(|length| !self.is(Told::Head) || *length > 0)),
        };
        let silent = has_no_body || self.is(Told::Head);
        let (mut body, mut complete) = (Vec::new(), true);
        if !silent {
            let whole = self.frames.iter().flatten().copied();
            body = whole
                .take(length.map_or(usize::MAX, |length| length.try_into().unwrap_or(usize::MAX)))
                .collect();
            let short = length.is_some_and(|length| length > self.left());
            let cut = length.is_some_and(|length| length < self.left());
            complete = !short && (!self.is(Told::Fails) || cut);
            if !complete && !self.is(Told::Waits) {
                return Expected::Refused;
            }
        }
        Expected::Answer { headers: self.expected_headers(length, silent), body, complete }
    }

    fn expected_headers(&self, length: Option<u64>, silent: bool) -> BTreeMap<String, Vec<Vec<u8>>> {
        let nominated: Vec<Vec<u8>> = self
            .values("connection")
            .flat_map(|line| line.split(|octet| *octet == b','))
            .map(|name| name.trim_ascii().to_ascii_lowercase())
            .collect();
        let passes = |name: &str| {
            let connection = ["connection", "keep-alive", "proxy-connection", "status", "te", "trailer"];
            let commands = ["x-accel-", "x-sendfile", "x-lighttpd-", "x-reproxy-"];
            let obeyed = name != "x-accel-buffering" && commands.iter().any(|it| name.starts_with(it));
            let never = connection.contains(&name) || ["transfer-encoding", "upgrade"].contains(&name);
            let never = never || nominated.iter().any(|it| it == name.as_bytes());
            !(never || obeyed && !self.is(Told::Pass) || name == "location" && self.status == StatusCode::OK)
        };
        let mut headers: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for (name, value) in &self.headers {
            if name != "content-length" && passes(name.as_str()) {
                headers.entry(name.to_string()).or_default().push(value.as_bytes().to_vec());
            }
        }
        if let Some(length) = length {
            headers.insert("content-length".into(), vec![length.to_string().into_bytes()]);
        }
        let has_content = length.map_or(!silent, |length| length > 0);
        if has_content && !headers.contains_key("content-type") {
            headers.insert("content-type".into(), vec![b"application/octet-stream".to_vec()]);
            headers.entry("x-content-type-options".into()).or_insert_with(|| vec![b"nosniff".to_vec()]);
        }
        headers
    }
}

fn header_line(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let value = line[colon + 1..].trim_ascii_start();
    Some((HeaderName::from_bytes(&line[..colon]).ok()?, HeaderValue::from_bytes(value).ok()?))
}

impl Service<Request<Body>> for Answer {
    type Response = Response<Pieces>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Response<Pieces>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert_eq!((request.method() == "HEAD", request.uri().path()), (self.is(Told::Head), "/"));
        let mut response = Response::new(Pieces { answer: self.clone(), waited: false });
        *response.status_mut() = self.status;
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        std::future::ready(Ok(response))
    }
}

/// The body of the answer.
struct Pieces {
    answer: Answer,
    waited: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.answer.is(Told::Waits) && !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.waited = false;
        Poll::Ready(match self.answer.frames.pop_front() {
            Some(frame) => Some(Ok(Frame::data(frame))),
            None if self.answer.is(Told::Fails) => {
                self.answer.told.clear();
                Some(Err(io::Error::other("it failed")))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.answer.frames.is_empty() && !self.answer.is(Told::Fails)
    }

    fn size_hint(&self) -> SizeHint {
        if self.answer.is(Told::Length) && !self.answer.is(Told::Fails) {
            SizeHint::with_exact(self.answer.left())
        } else {
            SizeHint::default()
        }
    }
}
