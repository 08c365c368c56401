//! What web servers send to applications: an encoder, and a reader that has all octets before it begins.

use std::ops::Range;
use std::time::Duration;

use bytes::BytesMut;
use http::{Request, Response};
use proxyfix::Peer;
use proxyfix_cgi::fastcgi::{Event, Malformed};
use proxyfix_cgi::{Body, Gateway, Limits, MetaVariables};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep};
use tower_service::Service;

/// Names and values, in order.
pub type Variables = Vec<(Vec<u8>, Vec<u8>)>;

/// `FCGI_BEGIN_REQUEST` and its like.
pub const BEGIN: u8 = 1;
/// `FCGI_ABORT_REQUEST`.
pub const ABORT: u8 = 2;
/// `FCGI_END_REQUEST`.
pub const END: u8 = 3;
/// `FCGI_PARAMS`.
pub const PARAMS: u8 = 4;
/// `FCGI_STDIN`.
pub const STDIN: u8 = 5;
/// `FCGI_STDOUT`.
pub const STDOUT: u8 = 6;
/// `FCGI_GET_VALUES`.
pub const GET_VALUES: u8 = 9;
/// `FCGI_GET_VALUES_RESULT`.
pub const GET_VALUES_RESULT: u8 = 10;
/// `FCGI_UNKNOWN_TYPE`.
pub const UNKNOWN_TYPE: u8 = 11;

/// Limits that an input of a few octets reaches.
pub fn small_limits() -> Limits {
    Limits::default().variables(SMALL.0).pairs(SMALL.1).pair(SMALL.2).unread(SMALL.3).body(300)
}

/// Octets of variables, pairs, octets of a pair, octets that are skipped.
pub const SMALL: (usize, usize, usize, u64) = (200, 12, 60, 100);
/// The same by default.
pub const DEFAULT: (usize, usize, usize, u64) = (64 << 10, 512, 32 << 10, 64 << 10);

// Pieces

/// Where the pieces of `length` octets end that `seed` stands for: all at once, one by one, pieces of one
/// length, or of any.
pub fn pieces(length: usize, seed: u8) -> Vec<Range<usize>> {
    let mut state = u32::from(seed) | 0x100;
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < length {
        let size = match seed {
            0 => length,
            1..=20 => usize::from(seed),
            _ => {
                state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
                [1, 2, 3, 7, 8, 9, 40, 300][(state >> 16) as usize % 8]
            }
        };
        let end = length.min(start + size);
        pieces.push(start..end);
        start = end;
    }
    pieces
}

// Encoding

/// A record with padding.
pub fn record(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("the content fits a record");
    let mut record = vec![1, kind];
    record.extend(id.to_be_bytes());
    record.extend(length.to_be_bytes());
    record.extend([padding, 0]);
    record.extend(content);
    record.extend(vec![0; usize::from(padding)]);
    record
}

/// A name and a value; `long`: lengths of four octets, whatever they are.
pub fn pair(name: &[u8], value: &[u8], long: bool) -> Vec<u8> {
    let mut pair = Vec::new();
    for text in [name, value] {
        let length = u32::try_from(text.len()).expect("it is short");
        if long || length > 127 {
            pair.extend((length | 0x8000_0000).to_be_bytes());
        } else {
            pair.push(u8::try_from(length).expect("it is below 128"));
        }
    }
    [&pair, name, value].concat()
}

/// The request of an SCGI connection, the block as it is.
pub fn netstring(block: &[u8], body: &[u8]) -> Vec<u8> {
    [block.len().to_string().as_bytes(), b":", block, b",", body].concat()
}

// What is said

/// An event, octets of a body joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A head.
    Head(Variables, bool),
    /// More variables than the limits admit; nothing after it counts.
    TooLarge,
    /// Octets of the body.
    Data(Vec<u8>),
    /// The end of the body.
    End,
    /// It is given up.
    Abort,
    /// Records to be sent back.
    Reply(Vec<u8>),
    /// The same, and the end.
    LastReply(Vec<u8>),
    /// Too much was for nobody.
    Unread,
    /// The end: the protocol was broken.
    Malformed,
}

/// When the answer to a request is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// At once.
    AtHead,
    /// When its body ended.
    AtEnd,
    /// Never.
    Never,
}

/// Adds what is said, unless it goes on with what was said last.
pub fn say(said: &mut Vec<Said>, next: Said) {
    match (said.last_mut(), next) {
        (Some(Said::Data(before)), Said::Data(data)) => before.extend(data),
        (Some(Said::Unread), Said::Unread) => {}
        (_, next) => said.push(next),
    }
}

/// Names and values as they stand in the octets of a request.
pub fn owned(variables: &MetaVariables) -> Variables {
    variables.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// A decoder of either protocol.
pub trait Decode {
    /// The next event.
    fn decode(&mut self, octets: &mut BytesMut) -> Result<Option<Event>, Malformed>;
    /// The request is answered.
    fn finish(&mut self);
    /// The most octets that stay where they are while an event waits for more.
    const LEFT: usize;
}

impl Decode for proxyfix_cgi::fastcgi::Decoder {
    fn decode(&mut self, octets: &mut BytesMut) -> Result<Option<Event>, Malformed> {
        self.decode(octets)
    }

    fn finish(&mut self) {
        self.finish();
    }

    /// Of the header of a record.
    const LEFT: usize = 7;
}

impl Decode for proxyfix_cgi::scgi::Decoder {
    fn decode(&mut self, octets: &mut BytesMut) -> Result<Option<Event>, Malformed> {
        self.decode(octets)
    }

    fn finish(&mut self) {}

    const LEFT: usize = 0;
}

/// What a decoder says of `octets` that come in the pieces of `seed`.
pub fn decoded<D: Decode>(mut decoder: D, octets: &[u8], seed: u8, answered: Answered) -> Vec<Said> {
    let mut said = Vec::new();
    let mut read = BytesMut::new();
    // Each event takes octets, but for the end of a body.
    let mut steps = 3 * octets.len() + 16;
    for piece in pieces(octets.len(), seed) {
        read.extend_from_slice(&octets[piece]);
        loop {
            steps = steps.checked_sub(1).expect("every event brings the decoder on");
            let event = match decoder.decode(&mut read) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(_) => {
                    say(&mut said, Said::Malformed);
                    return said;
                }
            };
            let done = match event {
                Event::Head { .. } => answered == Answered::AtHead,
                Event::End => answered == Answered::AtEnd,
                Event::Abort => true,
                _ => false,
            };
            if done {
                decoder.finish();
            }
            let next = match event {
                Event::Head { variables, keep } => Said::Head(owned(&variables), keep),
                Event::TooLarge => Said::TooLarge,
                Event::Data(data) => {
                    assert!(!data.is_empty());
                    Said::Data(data.to_vec())
                }
                Event::End => Said::End,
                Event::Abort => Said::Abort,
                Event::Reply(records) => Said::Reply(records.to_vec()),
                Event::LastReply(records) => Said::LastReply(records.to_vec()),
                Event::Unread => Said::Unread,
                other => panic!("an event that is not known: {other:?}"),
            };
            let last = matches!(next, Said::TooLarge | Said::LastReply(_));
            say(&mut said, next);
            if last {
                return said;
            }
        }
        assert!(read.len() <= D::LEFT, "{} octets are not taken", read.len());
    }
    said
}

// Reading slowly

/// Names and values; nothing where they are malformed.
pub fn pairs(mut octets: &[u8]) -> Option<Variables> {
    let mut pairs = Variables::new();
    while !octets.is_empty() {
        let mut lengths = [0; 2];
        for length in &mut lengths {
            let count = if octets.first()? >> 7 == 1 { 4 } else { 1 };
            let digits = octets.get(..count)?;
            octets = &octets[count..];
            let number = digits.iter().fold(0_u64, |number, digit| number << 8 | u64::from(*digit));
            *length = usize::try_from(if count == 4 { number & 0x7FFF_FFFF } else { number }).ok()?;
        }
        let [name, value] = lengths;
        if name == 0 || octets.len() < name.checked_add(value)? {
            return None;
        }
        pairs.push((octets[..name].to_vec(), octets[name..name + value].to_vec()));
        octets = &octets[name + value..];
    }
    Some(pairs)
}

/// A record, and as much of its content as came.
struct Piece<'a> {
    kind: u8,
    id: u16,
    content: &'a [u8],
    length: usize,
}

/// A request that is being read.
struct Active {
    id: u16,
    keep: bool,
    params: Vec<u8>,
    has_head: bool,
    has_end: bool,
}

/// What a whole FastCGI stream says, its end being where it breaks off.
#[derive(Default)]
struct Records {
    said: Vec<Said>,
    active: Option<Active>,
    skipped: u64,
    questions: u32,
}

/// What FastCGI octets say, under limits of `(variables, pairs, pair, unread)`.
pub fn fastcgi(
    octets: &[u8],
    limits: (usize, usize, usize, u64),
    connections: usize,
    answered: Answered,
) -> Vec<Said> {
    let mut records = Records::default();
    let mut rest = octets;
    while rest.len() >= 8 {
        let (header, after) = rest.split_at(8);
        let (length, padding) = (u16::from_be_bytes([header[4], header[5]]).into(), usize::from(header[6]));
        let content = &after[..after.len().min(length)];
        let id = u16::from_be_bytes([header[2], header[3]]);
        let record = Piece { kind: header[1], id, content, length };
        let goes_on = match header[0] {
            1 => records.read(&record, limits, connections, answered),
            _ => records.malformed(),
        };
        if goes_on.is_none() || content.len() < length {
            break;
        }
        rest = after.get(length + padding..).unwrap_or_default();
    }
    records.said
}

impl Records {
    fn say(&mut self, next: Said) {
        say(&mut self.said, next);
    }

    fn malformed(&mut self) -> Option<()> {
        self.say(Said::Malformed);
        None
    }

    /// One more that is answered without an application.
    fn ask(&mut self) -> Option<()> {
        self.questions += 1;
        if self.questions > 64 { self.malformed() } else { Some(()) }
    }

    fn finish(&mut self) {
        (self.active, self.skipped) = (None, 0);
    }

    /// One record of which so much came; nothing where no more is to be read.
    fn read(
        &mut self,
        piece: &Piece<'_>,
        limits: (usize, usize, usize, u64),
        connections: usize,
        answered: Answered,
    ) -> Option<()> {
        let Piece { kind, id, content, length } = *piece;
        let complete = content.len() == length;
        if id == 0 {
            match kind {
                GET_VALUES => {
                    self.ask()?;
                    if complete {
                        self.say(Said::Reply(values(content, connections)));
                    }
                    return Some(());
                }
                0 | 10.. => {
                    self.ask()?;
                    self.say(Said::Reply(record(UNKNOWN_TYPE, 0, &[kind, 0, 0, 0, 0, 0, 0, 0], 0)));
                }
                _ => return self.malformed(),
            }
            self.skip(content, limits.3);
            return Some(());
        }
        let Some(active) = self.active.as_mut().filter(|active| active.id == id) else {
            if kind == BEGIN {
                return self.begin(piece);
            }
            self.skip(content, limits.3);
            return Some(());
        };
        match kind {
            BEGIN => return self.malformed(),
            PARAMS if active.has_head => return self.malformed(),
            PARAMS if content.is_empty() && complete => {
                self.questions = 0;
                active.has_head = true;
                let keep = active.keep;
                let Some(variables) = pairs(&std::mem::take(&mut active.params)) else {
                    return self.malformed();
                };
                let too_long = variables.iter().any(|(name, value)| name.len() + value.len() > limits.2);
                if too_long || variables.len() > limits.1 {
                    self.say(Said::TooLarge);
                    return None;
                }
                self.say(Said::Head(variables, keep));
                if answered == Answered::AtHead {
                    self.finish();
                }
            }
            PARAMS => {
                active.params.extend(content);
                if active.params.len() > limits.0 {
                    self.say(Said::TooLarge);
                    return None;
                }
            }
            STDIN if !active.has_head || active.has_end => return self.malformed(),
            STDIN if content.is_empty() && complete => {
                active.has_end = true;
                self.say(Said::End);
                if answered == Answered::AtEnd {
                    self.finish();
                }
            }
            STDIN if content.is_empty() => {}
            STDIN => self.say(Said::Data(content.to_vec())),
            ABORT => {
                if !active.has_head {
                    self.ask()?;
                }
                self.say(Said::Abort);
                self.finish();
                self.skip(content, limits.3);
            }
            _ => self.skip(content, limits.3),
        }
        Some(())
    }

    fn begin(&mut self, &Piece { id, content, length, .. }: &Piece<'_>) -> Option<()> {
        if length != 8 {
            return self.malformed();
        }
        if content.len() < 8 {
            return None;
        }
        let (role, keep) = (u16::from_be_bytes([content[0], content[1]]), content[2] & 1 == 1);
        let refused = |status| record(END, id, &[0, 0, 0, 0, status, 0, 0, 0], 0);
        if self.active.is_some() {
            self.ask()?;
            self.say(Said::Reply(refused(1)));
        } else if role != 1 {
            self.ask()?;
            self.say(if keep { Said::Reply(refused(3)) } else { Said::LastReply(refused(3)) });
            return keep.then_some(());
        } else {
            self.active = Some(Active { id, keep, params: Vec::new(), has_head: false, has_end: false });
        }
        Some(())
    }

    fn skip(&mut self, content: &[u8], unread: u64) {
        if self.active.is_none() && !content.is_empty() {
            self.skipped += content.len() as u64;
            if self.skipped > unread {
                self.say(Said::Unread);
            }
        }
    }
}

/// The answer to `FCGI_GET_VALUES`.
fn values(content: &[u8], connections: usize) -> Vec<u8> {
    let content = &content[..content.len().min(1024)];
    // Pairs that are whole, up to the first one that is not.
    let asked = (0..=content.len()).rev().find_map(|end| pairs(&content[..end])).unwrap_or_default();
    let connections = connections.to_string();
    let known =
        [("FCGI_MAX_CONNS", &*connections), ("FCGI_MAX_REQS", &*connections), ("FCGI_MPXS_CONNS", "0")];
    let known = known.into_iter().filter(|(name, _)| asked.iter().any(|(it, _)| it == name.as_bytes()));
    let answer: Vec<u8> =
        known.flat_map(|(name, value)| pair(name.as_bytes(), value.as_bytes(), false)).collect();
    record(GET_VALUES_RESULT, 0, &answer, 0)
}

/// What SCGI octets say, under limits of `(variables, pairs, pair, unread)`.
pub fn scgi(octets: &[u8], limits: (usize, usize, usize, u64)) -> Vec<Said> {
    let mut said = Vec::new();
    let malformed = vec![Said::Malformed];
    let digits = octets.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let number = &octets[..digits];
    let complete = octets.len() > digits;
    if number.starts_with(b"0") || digits > 6 || (complete && (digits == 0 || octets[digits] != b':')) {
        return malformed;
    }
    if !complete {
        return said;
    }
    let length = number.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    if length > limits.0 {
        return vec![Said::TooLarge];
    }
    let Some(block) = octets.get(digits + 1..digits + 1 + length + 1) else { return said };
    let body = &octets[digits + 1 + length + 1..];
    let Some((b',', block)) = block.split_last() else { return malformed };
    let Some((0, strings)) = block.split_last() else { return malformed };
    let strings: Vec<&[u8]> = strings.split(|octet| *octet == 0).collect();
    for (index, pair) in strings.chunks(2).enumerate() {
        match pair {
            [b"", _] | [_] => return malformed,
            [name, value] if name.len() + value.len() > limits.2 => return vec![Said::TooLarge],
            _ if index == limits.1 => return vec![Said::TooLarge],
            _ => {}
        }
    }
    let variables: Variables = strings.chunks(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec())).collect();
    let all = |name: &[u8]| -> Vec<&[u8]> {
        variables.iter().filter(|(it, _)| it == name).map(|(_, value)| &value[..]).collect()
    };
    let lengths = all(b"CONTENT_LENGTH");
    let first = variables[0].0 == b"CONTENT_LENGTH";
    let declared = std::str::from_utf8(lengths.first().copied().unwrap_or_default())
        .ok()
        .filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()))
        .and_then(|text| text.parse::<u64>().ok());
    let (Some(declared), true, 1, [b"1"]) = (declared, first, lengths.len(), &all(b"SCGI")[..]) else {
        return malformed;
    };
    said.push(Said::Head(variables, false));
    let body = &body[..body.len().min(usize::try_from(declared).unwrap_or(usize::MAX))];
    if !body.is_empty() {
        said.push(Said::Data(body.to_vec()));
    }
    if body.len() as u64 == declared {
        said.push(Said::End);
    }
    said
}

// Whole connections

/// A record that came back: its type, id and content.
pub type Record = (u8, u16, Vec<u8>);

/// Lets a web server send `octets` in the pieces of `seed`, wait a second for what is still to come, and go
/// away; what came back. `room` octets fit in the pipe.
///
/// The clock is the runtime's, which goes on when nobody has anything to do.
/// The last record may be cut.
pub fn converse<S, B>(gateway: Gateway, app: S, octets: &[u8], seed: u8, room: usize) -> Vec<Record>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let back = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let began = Instant::now();
            let (io, ours) = tokio::io::duplex(room);
            let (mut read, mut write) = tokio::io::split(io);
            let served = tokio::spawn(gateway.serve_connection(ours, Peer::local(), app));
            let reading = tokio::spawn(async move {
                let mut back = Vec::new();
                read.read_to_end(&mut back).await.expect("a pipe can be read");
                back
            });
            for piece in pieces(octets.len(), seed) {
                if write.write_all(&octets[piece]).await.is_err() {
                    break;
                }
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
            }
            sleep(Duration::from_secs(1)).await;
            // The gateway may have gone before.
            let _ = write.shutdown().await;
            let back = reading.await.expect("reading does not panic");
            served.await.expect("it does not panic").expect("this peer may connect");
            assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
            back
        })
    });
    records(&back)
}

/// An error of a service.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime takes nothing that could be missing");
}

/// The records that came back.
pub fn records(mut octets: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((header, rest)) = octets.split_first_chunk::<8>() {
        let [version, kind, a, b, c, d, padding, _] = *header;
        assert_eq!(version, 1);
        let length = usize::from(u16::from_be_bytes([c, d]));
        let whole = length + usize::from(padding);
        let Some((content, rest)) = rest.split_at_checked(whole) else { break };
        records.push((kind, u16::from_be_bytes([a, b]), content[..length].to_vec()));
        octets = rest;
    }
    records
}

/// The lines of a head: names in lower case, and values.
pub type Lines = Vec<(String, Vec<u8>)>;

/// The head of an answer, as a web server reads it, and its body; nothing where there is no head.
pub fn head(octets: &[u8]) -> Option<(Lines, &[u8])> {
    let end = octets.windows(4).position(|it| it == b"\r\n\r\n")?;
    let (mut lines, mut rest) = (Vec::new(), &octets[..end + 2]);
    while let Some(length) = rest.windows(2).position(|it| it == b"\r\n") {
        let line = &rest[..length];
        rest = &rest[length + 2..];
        let colon = line.iter().position(|octet| *octet == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
        let is_plain = |octet: &u8| !matches!(octet, 0..=8 | 10..=31 | 0x7F);
        if name.is_empty() || !name.iter().all(is_token) || !value.iter().all(is_plain) {
            return None;
        }
        lines.push((std::str::from_utf8(name).ok()?.to_ascii_lowercase(), value.trim_ascii().to_vec()));
    }
    Some((lines, &octets[end + 4..]))
}
