//! Records as they come in.

use std::fmt;
use std::mem;

use bytes::{Buf as _, Bytes, BytesMut};

use super::pairs::{Pairs, read_pairs, write_pair};
use crate::{Limits, MetaVariables};

const VERSION: u8 = 1;
const RESPONDER: u16 = 1;
const KEEP_CONN: u8 = 1;

const BEGIN_REQUEST: u8 = 1;
const ABORT_REQUEST: u8 = 2;
pub(super) const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
pub(super) const STDOUT: u8 = 6;
const GET_VALUES: u8 = 9;
const GET_VALUES_RESULT: u8 = 10;
const UNKNOWN_TYPE: u8 = 11;

const CANT_MPX_CONN: u8 = 1;
const UNKNOWN_ROLE: u8 = 3;

/// Octets of one `FCGI_GET_VALUES` record that are read; three names are known, in 47 octets.
const QUESTION: usize = 1024;
/// Records that are answered without an application, from one head of a request to the next.
const QUESTIONS: u32 = 64;

/// Reads the records of one connection, whatever pieces they come in, and gives what they mean.
///
/// One request at a time: that is what it says of itself (`FCGI_MPXS_CONNS` is 0), and a second one
/// that begins meanwhile is refused with `FCGI_CANT_MPX_CONN`. Octets of one request id never reach
/// another. Memory is bounded by [`Limits`].
///
/// ```
/// use bytes::BytesMut;
/// use proxyfix_cgi::Limits;
/// use proxyfix_cgi::fastcgi::{Decoder, Event};
///
/// let mut decoder = Decoder::new(&Limits::default());
/// let mut octets = BytesMut::from(&b"\
///     \x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\
///     \x01\x04\x00\x01\x00\x06\x00\x00\x01\x03AabC\
///     \x01\x04\x00\x01\x00\x00\x00\x00"[..]);
/// let Some(Event::Head { variables, keep: true }) = decoder.decode(&mut octets)? else { panic!() };
/// assert_eq!(variables.get("A"), Some(&b"abC"[..]));
/// assert!(decoder.decode(&mut octets)?.is_none());
/// # Ok::<(), proxyfix_cgi::fastcgi::Malformed>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    /// What is left of the record that is being read.
    content: u16,
    padding: u8,
    /// What its content is for.
    purpose: Purpose,
    request: Option<Request>,
    /// Content of the record that is being read, where it has to be there as a whole.
    record: BytesMut,
    params: BytesMut,
    limits: (usize, usize, usize),
    connections: usize,
    unread: u64,
    /// Octets that were for nobody since the last request.
    skipped: u64,
    questions: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Begin { id: u16 },
    Params,
    Stdin,
    Question,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    id: u16,
    keep: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Params,
    Stdin,
    Ended,
}

/// What the web server said.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A request, whose body follows. `keep`: the connection stays open afterwards.
    Head {
        /// What was said of it.
        variables: MetaVariables,
        /// `FCGI_KEEP_CONN`.
        keep: bool,
    },
    /// A request of more variables than the limits admit. What follows is of no use.
    TooLarge,
    /// The next octets of the body.
    Data(Bytes),
    /// The end of the body.
    End,
    /// The web server gave the request up.
    Abort,
    /// Records to be sent back: an answer that takes no application.
    Reply(Bytes),
    /// The same, and the connection is to be closed.
    LastReply(Bytes),
    /// More came since the last answer that belongs to no request than [`Limits::unread`] admits: the rest
    /// of a body, mostly.
    Unread,
}

/// Why a connection cannot go on: the web server broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl Malformed {
    pub(crate) const fn new(reason: &'static str) -> Self {
        Self(reason)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub fn new(limits: &Limits) -> Self {
        Self {
            content: 0,
            padding: 0,
            purpose: Purpose::Nothing,
            request: None,
            record: BytesMut::new(),
            params: BytesMut::new(),
            limits: (limits.variables, limits.pairs, limits.pair),
            connections: limits.connections,
            unread: limits.unread,
            skipped: 0,
            questions: 0,
        }
    }

    /// The id of the request that is being read or answered.
    pub fn id(&self) -> Option<u16> {
        self.request.map(|request| request.id)
    }

    /// Whether nothing of a next request was read.
    pub fn is_idle(&self) -> bool {
        self.request.is_none() && self.content == 0 && self.padding == 0
    }

    /// Whether `octets`, which come next, are the end of the body.
    pub(crate) fn has_no_body(&self, octets: &[u8]) -> bool {
        let end = |id: u16| header(STDIN, id, 0);
        let next = octets.get(usize::from(self.padding)..).and_then(|it| it.get(..6));
        match (self.request, next) {
            (Some(Request { id, stage: Stage::Stdin, .. }), Some(next)) => {
                self.content == 0 && next == &end(id)[..6]
            }
            _ => false,
        }
    }

    /// The request is answered: what still comes of it is skipped, and its id may begin another one.
    pub fn finish(&mut self) {
        if let Purpose::Params | Purpose::Stdin = self.purpose {
            self.purpose = Purpose::Nothing;
        }
        self.request = None;
        self.skipped = 0;
    }

    /// Takes from `octets` what makes the next event; `None` where more has to come.
    pub fn decode(&mut self, octets: &mut BytesMut) -> Result<Option<Event>, Malformed> {
        loop {
            if self.content > 0 {
                if octets.is_empty() {
                    return Ok(None);
                }
                let length = octets.len().min(usize::from(self.content));
                // Not more than the content, which is 16 bits long.
                self.content -= u16::try_from(length).unwrap_or(self.content);
                match self.purpose {
                    Purpose::Stdin => return Ok(Some(Event::Data(octets.split_to(length).freeze()))),
                    Purpose::Params if self.params.len() + length > self.limits.0 => {
                        octets.advance(length);
                        self.params = BytesMut::new();
                        return Ok(Some(Event::TooLarge));
                    }
                    // Mostly all of them are in one record, and need not be copied.
                    Purpose::Params if self.params.is_empty() => self.params = octets.split_to(length),
                    Purpose::Params => {
                        self.params.extend_from_slice(&octets[..length]);
                        octets.advance(length);
                    }
                    Purpose::Begin { .. } | Purpose::Question => {
                        let room = QUESTION.saturating_sub(self.record.len());
                        self.record.extend_from_slice(&octets[..length.min(room)]);
                        octets.advance(length);
                    }
                    Purpose::Nothing => {
                        octets.advance(length);
                        if self.request.is_none() {
                            self.skipped += length as u64;
                            if self.skipped > self.unread {
                                return Ok(Some(Event::Unread));
                            }
                        }
                    }
                }
                if self.content > 0 {
                    continue;
                }
                let event = self.whole_record()?;
                if event.is_some() {
                    return Ok(event);
                }
            }
            if self.padding > 0 {
                let length = octets.len().min(usize::from(self.padding));
                octets.advance(length);
                self.padding -= u8::try_from(length).unwrap_or(self.padding);
                if self.padding > 0 {
                    return Ok(None);
                }
            }
            let Some(&[version, kind, id_high, id_low, high, low, padding, _]) = octets.first_chunk() else {
                return Ok(None);
            };
            octets.advance(8);
            let (id, content) = (u16::from_be_bytes([id_high, id_low]), u16::from_be_bytes([high, low]));
            if version != VERSION {
                return Err(Malformed::new("a record is not of version 1"));
            }
            (self.content, self.padding) = (content, padding);
            let event = self.record(kind, id)?;
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// What a record of this kind is for; the event where it has no content.
    fn record(&mut self, kind: u8, id: u16) -> Result<Option<Event>, Malformed> {
        self.purpose = Purpose::Nothing;
        if id == 0 {
            return match kind {
                GET_VALUES => {
                    self.ask()?;
                    self.purpose = Purpose::Question;
                    if self.content == 0 { self.whole_record() } else { Ok(None) }
                }
                GET_VALUES_RESULT.. | 0 => {
                    self.ask()?;
                    Ok(Some(Event::Reply(reply(UNKNOWN_TYPE, 0, &[kind, 0, 0, 0, 0, 0, 0, 0]))))
                }
                _ => Err(Malformed::new("a record of a request has the id 0")),
            };
        }
        let active = self.request.as_mut().filter(|request| request.id == id);
        match (kind, active) {
            (BEGIN_REQUEST, Some(_)) => Err(Malformed::new("a request begins whose id is in use")),
            (BEGIN_REQUEST, None) if self.content != 8 => {
                Err(Malformed::new("FCGI_BEGIN_REQUEST has not 8 octets"))
            }
            (BEGIN_REQUEST, None) => {
                self.purpose = Purpose::Begin { id };
                self.record.clear();
                Ok(None)
            }
            (PARAMS, Some(request)) => match (request.stage, self.content) {
                (Stage::Params, 0) => {
                    request.stage = Stage::Stdin;
                    self.questions = 0;
                    let keep = request.keep;
                    let variables = read_pairs(&mem::take(&mut self.params).freeze())?;
                    let (_, pairs, pair) = self.limits;
                    if variables.len() > pairs
                        || variables.iter().any(|(name, value)| name.len() + value.len() > pair)
                    {
                        return Ok(Some(Event::TooLarge));
                    }
                    Ok(Some(Event::Head { variables, keep }))
                }
                (Stage::Params, _) => {
                    self.purpose = Purpose::Params;
                    Ok(None)
                }
                _ => Err(Malformed::new("parameters come after their end")),
            },
            (STDIN, Some(request)) => match (request.stage, self.content) {
                (Stage::Params, _) => Err(Malformed::new("the body comes before the end of the parameters")),
                (Stage::Stdin, 0) => {
                    request.stage = Stage::Ended;
                    Ok(Some(Event::End))
                }
                (Stage::Stdin, _) => {
                    self.purpose = Purpose::Stdin;
                    Ok(None)
                }
                (Stage::Ended, _) => Err(Malformed::new("the body goes on after its end")),
            },
            (ABORT_REQUEST, Some(request)) => {
                if request.stage == Stage::Params {
                    self.ask()?;
                }
                Ok(Some(Event::Abort))
            }
            // Of a request that was answered or refused, or of a type that a responder has no use for.
            _ => Ok(None),
        }
    }

    /// What a record means that had to be there as a whole.
    fn whole_record(&mut self) -> Result<Option<Event>, Malformed> {
        match self.purpose {
            Purpose::Begin { id } => {
                let (role, flags) = match self.record[..] {
                    [high, low, flags, ..] => (u16::from_be_bytes([high, low]), flags),
                    _ => return Err(Malformed::new("FCGI_BEGIN_REQUEST has not 8 octets")),
                };
                let keep = flags & KEEP_CONN != 0;
                let refused = |status| reply(END_REQUEST, id, &[0, 0, 0, 0, status, 0, 0, 0]);
                if self.request.is_some() {
                    self.ask()?;
                    return Ok(Some(Event::Reply(refused(CANT_MPX_CONN))));
                }
                if role != RESPONDER {
                    self.ask()?;
                    let refused = refused(UNKNOWN_ROLE);
                    return Ok(Some(if keep { Event::Reply(refused) } else { Event::LastReply(refused) }));
                }
                self.params.clear();
                self.request = Some(Request { id, keep, stage: Stage::Params });
                Ok(None)
            }
            Purpose::Question => Ok(Some(Event::Reply(self.values()))),
            Purpose::Params | Purpose::Stdin | Purpose::Nothing => Ok(None),
        }
    }

    /// The answer to `FCGI_GET_VALUES`: names that are unknown, or cut off, are left out.
    fn values(&mut self) -> Bytes {
        let mut content = BytesMut::new();
        let asked = self.record.split();
        // What is cut off is not read, and nor is what comes twice.
        let asked: Vec<&[u8]> =
            Pairs::new(&asked).map_while(Result::ok).map(|(name, _)| &asked[name]).collect();
        let connections = self.connections.to_string();
        for (name, value) in
            [("FCGI_MAX_CONNS", &*connections), ("FCGI_MAX_REQS", &*connections), ("FCGI_MPXS_CONNS", "0")]
        {
            if asked.contains(&name.as_bytes()) {
                write_pair(name.as_bytes(), value.as_bytes(), &mut content);
            }
        }
        reply(GET_VALUES_RESULT, 0, &content)
    }

    /// Counts what is answered without an application.
    fn ask(&mut self) -> Result<(), Malformed> {
        self.record.clear();
        self.questions += 1;
        if self.questions > QUESTIONS {
            return Err(Malformed::new("too many management records"));
        }
        Ok(())
    }
}

/// The header of a record without padding.
pub(super) fn header(kind: u8, id: u16, content: usize) -> [u8; 8] {
    let [id_high, id_low] = id.to_be_bytes();
    let [high, low] = u16::try_from(content).unwrap_or(u16::MAX).to_be_bytes();
    [VERSION, kind, id_high, id_low, high, low, 0, 0]
}

fn reply(kind: u8, id: u16, content: &[u8]) -> Bytes {
    let header = header(kind, id, content.len());
    Bytes::from([&header, content].concat())
}
