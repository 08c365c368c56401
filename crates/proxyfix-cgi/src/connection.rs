//! One connection of a web server: requests in, answers out.
//!
//! One task serves it, and calls the service in that task. The body of a request is read by whoever
//! polls it, which usually is the same task; so there is no channel between the two, and nothing is read
//! before it is asked for. While the service works, the task looks whether the web server is still there.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tower_service::Service;

use crate::body::{Flaw, Input};
use crate::events::{Report, report};
use crate::fastcgi::{self, Event, Malformed, Out};
use crate::life::Stop;
use crate::request::declared_length;
use crate::response::{Payload, refusal};
use crate::{Body, BodyError, Gateway, MetaVariables, Refusal, scgi};

/// Octets that are read at a time at first, and at most; also, how many are read ahead of what the
/// service asked for.
const READ: (usize, usize) = (8 << 10, 64 << 10);
/// Octets of a body that are copied rather than shared.
const SMALL: usize = 4 << 10;
/// How long a new connection may still bring a request once the process was told to stop.
pub(crate) const LATE: Duration = Duration::from_secs(1);

/// Any error of a service or of the body of its response.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A service that gateways serve. It is implemented for every one that fits.
pub(crate) trait App:
    Service<Request<Body>, Response = Response<Self::Payload>, Error: Into<BoxError>>
{
    type Payload: http_body::Body<Error: Into<BoxError>>;
}

impl<S, B> App for S
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>>,
    B: http_body::Body<Error: Into<BoxError>>,
{
    type Payload = B;
}

/// Which protocol a connection speaks.
#[derive(Debug)]
pub(crate) enum Protocol {
    FastCgi(fastcgi::Decoder),
    Scgi(scgi::Decoder),
}

impl Protocol {
    fn decode(&mut self, octets: &mut BytesMut) -> Result<Option<Event>, Malformed> {
        match self {
            Self::FastCgi(decoder) => decoder.decode(octets),
            Self::Scgi(decoder) => decoder.decode(octets),
        }
    }

    /// The id for the records of the answer.
    fn id(&self) -> Option<u16> {
        match self {
            Self::FastCgi(decoder) => decoder.id(),
            Self::Scgi(_) => None,
        }
    }

    fn is_idle(&self) -> bool {
        match self {
            Self::FastCgi(decoder) => decoder.is_idle(),
            Self::Scgi(decoder) => decoder.is_idle(),
        }
    }

    /// Whether `octets`, which come next, say that there is no body.
    fn has_no_body(&self, octets: &[u8]) -> bool {
        match self {
            Self::FastCgi(decoder) => decoder.has_no_body(octets),
            Self::Scgi(_) => false,
        }
    }

    fn malformed(&self) -> Report {
        match self {
            Self::FastCgi(_) => Report::Malformed,
            Self::Scgi(_) => Report::ScgiMalformed,
        }
    }

    fn finish(&mut self) {
        if let Self::FastCgi(decoder) = self {
            decoder.finish();
        }
    }
}

/// One connection. A service, not yet called, for all its requests in turn.
pub(crate) struct Connection<IO, S> {
    shared: Arc<Shared<IO>>,
    out: Out,
    /// What comes next, where that is known: also from while the answer to the request before was written.
    next: Option<Next>,
    /// Whether the stream passed on what it took.
    flushed: bool,
    /// Octets that the web server took.
    written: u64,
    /// Whether it takes nothing more now, and since when.
    blocked: bool,
    written_at: Instant,
    scratch: BytesMut,
    timer: Pin<Box<Sleep>>,
    gateway: Arc<Gateway>,
    service: S,
    stop: Stop,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    refuse: bool,
}

/// Why a connection ends before its answer does.
#[derive(Debug)]
enum Lost {
    /// The web server is gone.
    Gone,
    /// It gave this request up.
    Aborted,
    /// It broke the protocol.
    Malformed(Malformed),
    TimedOut(&'static str),
    /// Too much came of a body that nobody read.
    Unread,
    /// It asked for what is not offered, and does not keep the connection.
    Refused,
    /// The body is longer than the limit.
    TooLarge,
    /// The service failed after its head was written.
    Failed,
    Io(io::Error),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What the head of a request said.
struct Head {
    /// Nothing where there were too many.
    variables: Option<MetaVariables>,
    keep: bool,
}

/// What comes after an answer.
enum Next {
    Head(Head),
    /// The connection is to be closed once what waits is written.
    End,
}

impl<IO, S> Connection<IO, S>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: App,
{
    /// `refuse`: every request is answered with 503, for there are too many connections.
    pub(crate) fn new(
        io: IO,
        protocol: Protocol,
        gateway: Arc<Gateway>,
        service: S,
        stop: Stop,
        refuse: bool,
    ) -> Self {
        let wakers = Arc::new(Wakers::default());
        let now = Instant::now();
        let state = State {
            io: Some(io),
            protocol,
            octets: BytesMut::new(),
            size: READ.0,
            closed: false,
            turn: 0,
            body: Incoming::default(),
            lost: None,
            replies: BytesMut::new(),
        };
        let waker = Waker::from(Arc::clone(&wakers));
        Self {
            shared: Arc::new(Shared { state: Mutex::new(state), wakers, waker }),
            out: Out::default(),
            next: None,
            flushed: true,
            written: 0,
            blocked: false,
            written_at: now,
            scratch: BytesMut::new(),
            timer: Box::pin(sleep_until(now + gateway.limits.head_time)),
            gateway,
            service,
            stopped: Box::pin(stop.clone().wait()),
            stop,
            refuse,
        }
    }

    /// Answers request after request.
    pub(crate) async fn run(mut self) {
        let mut first = true;
        loop {
            let kept = match self.next_head(mem::take(&mut first)).await {
                Ok(Some(head)) => self.answer(head).await,
                Ok(None) => return,
                Err(lost) => Err(lost),
            };
            match kept {
                Ok(true) if !self.stop.is_set() && !self.stop.is_crowded() => {}
                Ok(_) | Err(Lost::Unread | Lost::Refused) => return self.linger().await,
                Err(lost) => return self.report(&lost),
            }
        }
    }

    /// Waits for the next request; `None` where there is none any more.
    async fn next_head(&mut self, first: bool) -> Result<Option<Head>, Lost> {
        let began = Instant::now();
        self.shared.lock().shrink();
        // A connection is made for a request, so that the first one is awaited for less long.
        let mut head_began = first.then_some(began);
        let mut told = None;
        poll_fn(|cx| {
            let shared = Arc::clone(&self.shared);
            let mut state = shared.lock();
            let mut watched = shared.watch_as_driver(cx);
            match self.poll_between(&mut state, &mut watched) {
                Poll::Ready(Err(Lost::Gone)) if state.is_idle() => return Poll::Ready(Ok(None)),
                Poll::Ready(Err(lost)) => return Poll::Ready(Err(lost)),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            if let Some(Next::Head(head)) = self.next.take_if(|it| matches!(it, Next::Head(_))) {
                return Poll::Ready(Ok(Some(head)));
            }
            if self.poll_write(&mut state, &mut watched)?.is_pending() {
                let end = self.written_at + self.gateway.limits.write_time;
                return poll_deadline(self.timer.as_mut(), end, cx).map(|()| Err(Lost::TimedOut(WRITE)));
            }
            let idle = state.is_idle();
            drop(state);
            if let Some(Next::End) = self.next {
                return Poll::Ready(Err(Lost::Refused));
            }
            if idle && told.is_none() && (self.stop.is_set() || self.stopped.as_mut().poll(cx).is_ready()) {
                told = Some(Instant::now() + if first { LATE } else { Duration::ZERO });
            }
            if !idle {
                head_began.get_or_insert_with(Instant::now);
            }
            let limits = &self.gateway.limits;
            let end = head_began.map_or(began + limits.idle_time, |began| began + limits.head_time);
            let end = told.map_or(end, |told| told.min(end));
            ready!(poll_deadline(self.timer.as_mut(), end, cx));
            Poll::Ready(if idle { Ok(None) } else { Err(Lost::TimedOut(HEAD)) })
        })
        .await
    }

    /// Reads what comes between two requests, up to the head of the next one.
    fn poll_between(&mut self, state: &mut State<IO>, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        while self.next.is_none() {
            match ready!(state.poll_event(cx))? {
                Event::Head { variables, keep } => {
                    self.next = Some(Next::Head(Head { variables: Some(variables), keep }));
                }
                Event::TooLarge => self.next = Some(Next::Head(Head { variables: None, keep: false })),
                Event::Reply(records) => self.out.records(&records),
                Event::LastReply(records) => {
                    self.out.records(&records);
                    self.next = Some(Next::End);
                }
                // It gave up before it had said everything.
                Event::Abort => {
                    if let Some(id) = state.protocol.id() {
                        state.protocol.finish();
                        self.out.end_request(id);
                    }
                }
                Event::Unread => return Poll::Ready(Err(Lost::Unread)),
                Event::Data(_) | Event::End => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Answers one request; whether the connection goes on.
    async fn answer(&mut self, head: Head) -> Result<bool, Lost> {
        // Kept, it would be refused for ever, whatever room there is then.
        let keep = head.keep && !self.refuse;
        let id = self.shared.lock().protocol.id();
        match self.respond(id, head.variables).await {
            Ok(()) => Ok(keep),
            Err(Lost::Aborted) => {
                // What was begun is finished: a record cannot be taken back.
                self.out.forget_rest();
                self.write_end(Out::end_request).await?;
                Ok(keep)
            }
            Err(lost) => Err(lost),
        }
    }

    async fn respond(&mut self, id: Option<u16>, variables: Option<MetaVariables>) -> Result<(), Lost> {
        let Some(variables) = variables else {
            report(
                Report::Limit,
                &"a request has more variables than the limits admit; it was answered with 431",
            );
            return self.refuse(id, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &Method::GET).await;
        };
        let asked = if variables.get("REQUEST_METHOD") == Some(b"HEAD") { Method::HEAD } else { Method::GET };
        let parts = if self.refuse {
            report(Report::Connections, &"there are too many connections; a request was answered with 503");
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections"))
        } else {
            let length = declared_length(&variables);
            if length.is_some_and(|length| length > self.gateway.limits.body) {
                report(Report::Limit, &"a body is longer than the limit; it was answered with 413");
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than the limit"))
            } else {
                self.gateway.request(variables).map(|parts| (parts, length))
            }
        };
        let (parts, length) = match parts {
            Ok(parts) => parts,
            Err(refused) => return self.refuse(id, refused.status, &asked).await,
        };

        let body = self.begin(length);
        let method = parts.method.clone();
        let request = Request::from_parts(parts, body);
        let ready = self.watching(|connection, cx| connection.service.poll_ready(cx)).await?;
        if let Err(error) = ready {
            report(Report::Failed, &format_args!("the service is not ready: {}", error.into()));
            return self.refuse(id, StatusCode::SERVICE_UNAVAILABLE, &method).await;
        }
        let response = {
            let mut future = pin!(self.service.call(request));
            self.watching(|_, cx| future.as_mut().poll(cx)).await
        };
        if self.shared.lock().body.too_large {
            return self.refuse(id, StatusCode::PAYLOAD_TOO_LARGE, &method).await;
        }
        match response? {
            Ok(response) => self.write(id, response, &method).await,
            Err(error) => {
                report(Report::Failed, &format_args!("the service failed: {}", error.into()));
                self.refuse(id, StatusCode::INTERNAL_SERVER_ERROR, &method).await
            }
        }
    }

    /// The body of the request that begins.
    fn begin(&mut self, declared: Option<u64>) -> Body {
        let mut state = self.shared.lock();
        state.turn += 1;
        let empty = declared == Some(0) || (declared.is_none() && state.has_no_body());
        let reader = if empty { Reader::Nobody } else { Reader::Holds };
        state.body = Incoming { reader, declared, limit: self.gateway.limits.body, ..Incoming::default() };
        if empty {
            return Body::empty();
        }
        let turn = state.turn;
        drop(state);
        Body::input(Arc::clone(&self.shared) as Arc<dyn Input>, turn, declared)
    }

    /// Does `work` while the web server is there.
    async fn watching<T>(
        &mut self,
        mut work: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Lost> {
        poll_fn(|cx| {
            if let Poll::Ready(done) = work(self, cx) {
                return Poll::Ready(Ok(done));
            }
            let shared = Arc::clone(&self.shared);
            let mut state = shared.lock();
            self.poll_watch(&mut state, cx)?;
            if state.body.too_large {
                return Poll::Ready(Err(Lost::TooLarge));
            }
            if self.poll_write(&mut state, &mut shared.watch_as_driver(cx))?.is_ready() {
                return Poll::Pending;
            }
            self.poll_write_deadline(cx)
        })
        .await
    }

    /// Looks whether the web server is still there, skips what nobody reads, and takes the answers to
    /// management records.
    fn poll_watch(&mut self, state: &mut State<IO>, cx: &mut Context<'_>) -> Result<(), Lost> {
        let shared = Arc::clone(&self.shared);
        let watched = &mut shared.watch_as_driver(cx);
        loop {
            if let Some(lost) = state.lost.take() {
                return Err(lost);
            }
            // What the service does not ask for stays with the web server, but for what tells whether it is
            // still there.
            if state.body.reader != Reader::Nobody && state.body.ahead.len() >= READ.1 {
                break;
            }
            let Poll::Ready(event) = state.poll_event(watched) else { break };
            match event? {
                Event::Data(data) if state.body.reader != Reader::Nobody && state.body.end.is_none() => {
                    // Copied: a piece, however small, would hold all that was read together with it.
                    state.body.ahead.extend_from_slice(&data);
                }
                Event::End => state.body.came_whole = true,
                // HAProxy says this of every request when it reloads, though its client waits for the answer,
                // and passes that on: it may still come.
                Event::Abort if state.body.came_whole || state.body.end.is_some() => {
                    state.body.aborted_at.get_or_insert_with(Instant::now);
                    continue;
                }
                Event::Abort => return Err(Lost::Aborted),
                Event::Reply(records) | Event::LastReply(records) => {
                    self.out.records(&records);
                    continue;
                }
                Event::Data(_) | Event::Head { .. } | Event::TooLarge | Event::Unread => continue,
            }
            state.wake_reader(&shared.wakers);
        }
        if let Reader::Waits { since } = state.body.reader {
            let end = since + self.gateway.limits.record_time;
            if poll_deadline(self.timer.as_mut(), end, cx).is_ready() {
                state.body.end = Some(Err(Some(Flaw::TimedOut)));
                state.wake_reader(&shared.wakers);
                self.report(&Lost::TimedOut(RECORD));
            }
        }
        if let Some(at) = state.body.aborted_at {
            let end = at + self.gateway.limits.shutdown_time;
            if poll_deadline(self.timer.as_mut(), end, cx).is_ready() {
                return Err(Lost::Aborted);
            }
        }
        self.take_replies(state);
        Ok(())
    }

    fn take_replies(&mut self, state: &mut State<IO>) {
        if !state.replies.is_empty() {
            self.out.records(&state.replies.split());
        }
    }

    /// Writes a response.
    async fn write(
        &mut self,
        id: Option<u16>,
        response: Response<S::Payload>,
        method: &Method,
    ) -> Result<(), Lost> {
        let (parts, body) = response.into_parts();
        self.scratch.clear();
        let known = body.size_hint().exact();
        let payload = match self.gateway.head(&parts, method, known, &mut self.scratch) {
            Ok(payload) => payload,
            Err(reason) => {
                report(Report::Response, &reason);
                return self.refuse(id, StatusCode::INTERNAL_SERVER_ERROR, method).await;
            }
        };
        // Nothing else waits that would be half written where this is given up.
        let before = self.out.is_empty().then_some(self.written);
        self.out.gather(id, &self.scratch);
        let mut left = match payload {
            Payload::None => return self.write_end(Out::end).await,
            Payload::Exact(length) => Some(length),
            Payload::Open => None,
        };
        let mut body = pin!(body);
        let mut ended = left == Some(0) && body.is_end_stream();
        let written = poll_fn(|cx| {
            let shared = Arc::clone(&self.shared);
            loop {
                let mut waits = false;
                while !ended && !self.out.is_full() {
                    let frame = match body.as_mut().poll_frame(cx) {
                        Poll::Pending => {
                            waits = true;
                            break;
                        }
                        Poll::Ready(Some(Ok(frame))) => frame,
                        Poll::Ready(Some(Err(error))) => {
                            report(
                                Report::Failed,
                                &format_args!("the body of a response failed: {}", error.into()),
                            );
                            return Poll::Ready(Err(Lost::Failed));
                        }
                        Poll::Ready(None) if left.is_none_or(|left| left == 0) => {
                            ended = true;
                            break;
                        }
                        Poll::Ready(None) => {
                            report(Report::Response, &"a response is shorter than its Content-Length");
                            return Poll::Ready(Err(Lost::Failed));
                        }
                    };
                    let Ok(mut data) = frame.into_data() else { continue };
                    let mut piece = data.copy_to_bytes(data.remaining());
                    if let Some(left) = &mut left {
                        if piece.len() as u64 > *left {
                            report(
                                Report::Response,
                                &"a response is longer than its Content-Length, and was cut",
                            );
                            piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                            ended = true;
                        }
                        *left -= piece.len() as u64;
                    }
                    self.out.data(id, piece);
                    ended |= body.is_end_stream() && left.is_none_or(|left| left == 0);
                }
                let mut state = shared.lock();
                if ended {
                    // What is left is written together with the end.
                    return Poll::Ready(Ok(()));
                }
                let written = self.poll_write(&mut state, &mut shared.watch_as_driver(cx))?;
                if written.is_pending() || waits {
                    self.poll_watch(&mut state, cx)?;
                    if written.is_ready() && !self.out.is_empty() {
                        continue;
                    }
                    drop(state);
                    return if written.is_pending() { self.poll_write_deadline(cx) } else { Poll::Pending };
                }
            }
        })
        .await;
        match written {
            Ok(()) => self.write_end(Out::end).await,
            // Nobody saw anything of it yet.
            Err(Lost::Failed) if before == Some(self.written) => {
                self.out.clear();
                let status = if self.shared.lock().body.too_large {
                    StatusCode::PAYLOAD_TOO_LARGE
                } else {
                    StatusCode::INTERNAL_SERVER_ERROR
                };
                self.refuse(id, status, method).await
            }
            Err(lost) => Err(lost),
        }
    }

    /// Writes an answer of the gateway's own.
    async fn refuse(&mut self, id: Option<u16>, status: StatusCode, method: &Method) -> Result<(), Lost> {
        self.scratch.clear();
        refusal(status, method, &mut self.scratch);
        self.out.gather(id, &self.scratch);
        self.write_end(Out::end).await
    }

    /// Adds the end of an answer, and writes all that is left.
    async fn write_end(&mut self, end: impl FnOnce(&mut Out, u16)) -> Result<(), Lost> {
        {
            let shared = Arc::clone(&self.shared);
            let mut state = shared.lock();
            match state.lost.take() {
                // It was answered before the task heard of it.
                None | Some(Lost::Aborted) => {}
                Some(lost) => return Err(lost),
            }
            // Forgotten before the web server may use the id again.
            let id = state.protocol.id();
            state.protocol.finish();
            state.next_turn(&shared.wakers);
            if let Some(id) = id {
                end(&mut self.out, id);
            }
            self.take_replies(&mut state);
        }
        poll_fn(|cx| {
            let shared = Arc::clone(&self.shared);
            let mut state = shared.lock();
            let mut watched = shared.watch_as_driver(cx);
            if self.poll_write(&mut state, &mut watched)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            // A web server that writes before it reads needs somebody who reads.
            while let Poll::Ready(read) = self.poll_between(&mut state, &mut watched) {
                match read {
                    Ok(()) => break,
                    Err(Lost::Unread) => {}
                    Err(lost) => return Poll::Ready(Err(lost)),
                }
            }
            drop(state);
            self.poll_write_deadline(cx)
        })
        .await
    }

    fn poll_write(&mut self, state: &mut State<IO>, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let Some(io) = state.io.as_mut().filter(|_| !self.flushed || !self.out.is_empty()) else {
            return Poll::Ready(Ok(()));
        };
        let before = self.written;
        let mut written = self.out.poll_write(io, &mut self.written, cx);
        if let Poll::Ready(Ok(())) = written {
            written = Pin::new(io).poll_flush(cx);
        }
        self.flushed = written.is_ready();
        if written.is_pending() && (self.written != before || !self.blocked) {
            self.written_at = Instant::now();
        }
        self.blocked = written.is_pending();
        written.map_err(Lost::Io)
    }

    fn poll_write_deadline<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Lost>> {
        let end = self.written_at + self.gateway.limits.write_time;
        poll_deadline(self.timer.as_mut(), end, cx).map(|()| Err(Lost::TimedOut(WRITE)))
    }

    /// Ends the connection so that the web server still reads what was written: to close before it has said
    /// everything would reset the connection, and many a web server says everything before it reads.
    async fn linger(self) {
        let time = self.gateway.limits.shutdown_time;
        let shared = &self.shared;
        let ended = timeout(time, async {
            poll_fn(|cx| match &mut shared.lock().io {
                Some(io) => Pin::new(io).poll_shutdown(cx),
                None => Poll::Ready(Ok(())),
            })
            .await?;
            poll_fn(|cx| {
                let mut state = shared.lock();
                while !state.closed {
                    state.octets.clear();
                    ready!(state.poll_read(cx))?;
                }
                Poll::Ready(Ok::<_, Lost>(()))
            })
            .await
        });
        if ended.await.is_err() {
            report(Report::Drain, &"a body that nobody read did not end in time");
        }
    }

    fn report(&self, lost: &Lost) {
        match lost {
            Lost::Gone | Lost::Aborted | Lost::Unread | Lost::Refused | Lost::TooLarge | Lost::Failed => {}
            Lost::Io(error) => tracing::trace!(%error, "a connection was lost"),
            Lost::Malformed(flaw) => report(self.shared.lock().protocol.malformed(), flaw),
            Lost::TimedOut(what) => report(Report::Timeout, what),
        }
    }
}

/// A body may outlive the connection, and keeps nothing of it open.
impl<IO, S> Drop for Connection<IO, S> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.next_turn(&self.shared.wakers);
        let io = state.io.take();
        drop(state);
        drop(io);
    }
}

const HEAD: &str = "a request did not come to the end of its variables in time";
const RECORD: &str = "nothing more came of a body in time";
const WRITE: &str = "the web server took nothing of an answer in time";

/// What the task of a connection and the body of its request both use.
struct Shared<IO> {
    state: Mutex<State<IO>>,
    wakers: Arc<Wakers>,
    /// Wakes both, whichever of them polled the stream last: it remembers one waker only.
    waker: Waker,
}

#[derive(Debug, Default)]
struct Wakers {
    driver: Mutex<Option<Waker>>,
    body: Mutex<Option<Waker>>,
}

impl Wakers {
    /// Wakes the task of the connection, unless that is what `waker` wakes.
    fn wake_driver_but_for(&self, waker: &Waker) {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(driver) = driver.filter(|driver| !driver.will_wake(waker)) {
            driver.wake();
        }
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        wake(&self.body);
        wake(&self.driver);
    }
}

fn wake(slot: &Mutex<Option<Waker>>) {
    let waker = slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn register(slot: &Mutex<Option<Waker>>, waker: &Waker) {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *slot {
        Some(known) => known.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

impl<IO> Shared<IO> {
    fn lock(&self) -> MutexGuard<'_, State<IO>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch_as_driver(&self, cx: &Context<'_>) -> Context<'_> {
        register(&self.wakers.driver, cx.waker());
        Context::from_waker(&self.waker)
    }

    fn watch_as_body(&self, cx: &Context<'_>) -> Context<'_> {
        register(&self.wakers.body, cx.waker());
        Context::from_waker(&self.waker)
    }
}

struct State<IO> {
    /// Nothing once the connection is over.
    io: Option<IO>,
    protocol: Protocol,
    /// Octets that were read and not yet understood.
    octets: BytesMut,
    /// How many are read at a time.
    size: usize,
    /// Nothing will follow.
    closed: bool,
    /// Counts requests and answers, so that the body of a request that is over reads nothing of the next.
    turn: u64,
    body: Incoming,
    /// What the body found out, for the task.
    lost: Option<Lost>,
    /// Answers to management records.
    replies: BytesMut,
}

/// The body of the request that is being answered.
#[derive(Debug, Default)]
struct Incoming {
    /// How it ended, if it did; a flaw is told once.
    end: Option<Result<(), Option<Flaw>>>,
    reader: Reader,
    /// What was read before it was asked for.
    ahead: BytesMut,
    /// Whether the end was read.
    came_whole: bool,
    /// When the web server gave the request up, where all of it had come.
    aborted_at: Option<Instant>,
    declared: Option<u64>,
    received: u64,
    limit: u64,
    too_large: bool,
}

/// Who reads the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reader {
    #[default]
    Nobody,
    /// The service may, and does not wait for more of it.
    Holds,
    Waits {
        since: Instant,
    },
}

impl<IO> State<IO> {
    /// Whoever waits for more of the body is to look again.
    fn wake_reader(&mut self, wakers: &Wakers) {
        if let Reader::Waits { .. } = self.body.reader {
            self.body.reader = Reader::Holds;
            wake(&wakers.body);
        }
    }

    /// Whatever body there is, it is over.
    fn next_turn(&mut self, wakers: &Wakers) {
        self.turn += 1;
        self.wake_reader(wakers);
        self.body = Incoming::default();
    }
}

impl<IO: AsyncRead + Unpin> State<IO> {
    fn is_idle(&self) -> bool {
        self.octets.is_empty() && self.protocol.is_idle()
    }

    fn has_no_body(&self) -> bool {
        self.protocol.has_no_body(&self.octets)
    }

    /// The next of what is for the body, read ahead or not.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Lost>> {
        if !self.body.ahead.is_empty() {
            return Poll::Ready(Ok(Event::Data(mem::take(&mut self.body.ahead).freeze())));
        }
        if self.body.came_whole {
            return Poll::Ready(Ok(Event::End));
        }
        self.poll_event(cx)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Lost>> {
        loop {
            if let Some(event) = self.protocol.decode(&mut self.octets).map_err(Lost::Malformed)? {
                return Poll::Ready(Ok(event));
            }
            if self.closed {
                return Poll::Ready(Err(Lost::Gone));
            }
            ready!(self.poll_read(cx))?;
        }
    }

    /// Gives back the room that a large body took: the connection may be idle for long.
    fn shrink(&mut self) {
        if self.size > READ.0 && self.octets.is_empty() {
            (self.size, self.octets) = (READ.0, BytesMut::new());
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        if self.octets.capacity() - self.octets.len() < self.size / 2 {
            self.octets.reserve(self.size);
        }
        let room = self.octets.capacity() - self.octets.len();
        let Some(io) = &mut self.io else { return Poll::Ready(Err(Lost::Gone)) };
        let length = ready!(pin!(io.read_buf(&mut self.octets)).poll(cx))?;
        if length == room {
            self.size = READ.1;
        }
        self.closed = length == 0;
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Send + Unpin> Input for Shared<IO> {
    fn poll_data(&self, turn: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.turn != turn {
            return Poll::Ready(Some(Err(BodyError::new(Flaw::Over))));
        }
        let mut watched = self.watch_as_body(cx);
        loop {
            if let Some(end) = &mut state.body.end {
                let flaw = end.as_mut().err().and_then(Option::take);
                return Poll::Ready(flaw.map(|flaw| Err(BodyError::new(flaw))));
            }
            if state.body.ahead.len() >= READ.1 {
                // The task of the connection had stopped to look whether the web server is still there.
                self.wakers.wake_driver_but_for(cx.waker());
            }
            let Poll::Ready(event) = state.poll_body(&mut watched) else {
                if state.body.reader == Reader::Holds {
                    state.body.reader = Reader::Waits { since: Instant::now() };
                    // The task of the connection ends the silence, and may be another one.
                    self.wakers.wake_driver_but_for(cx.waker());
                }
                return Poll::Pending;
            };
            state.body.reader = Reader::Holds;
            let body = &mut state.body;
            match event {
                Ok(Event::Data(mut data)) => {
                    let room = body.declared.map_or(u64::MAX, |declared| declared - body.received);
                    if data.len() as u64 > room {
                        // RFC 3875 section 4.2: what is more than declared is not read.
                        data.truncate(usize::try_from(room).unwrap_or(usize::MAX));
                    }
                    if data.is_empty() {
                        continue;
                    }
                    body.received += data.len() as u64;
                    if body.received > body.limit {
                        body.end = Some(Err(Some(Flaw::TooLarge { limit: body.limit })));
                        body.too_large = true;
                        report(Report::Limit, &"a body is longer than the limit; it was answered with 413");
                        continue;
                    }
                    if data.len() < SMALL {
                        // A piece holds all that was read together with it.
                        data = Bytes::copy_from_slice(&data);
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Ok(Event::End) => {
                    body.end = Some(match body.declared {
                        Some(declared) if declared > body.received => {
                            report(
                                Report::Body,
                                &"a body ended before the length that CONTENT_LENGTH declares",
                            );
                            Err(Some(Flaw::Short { declared, received: body.received }))
                        }
                        _ => Ok(()),
                    });
                }
                Ok(Event::Reply(records) | Event::LastReply(records)) => {
                    state.replies.extend_from_slice(&records);
                    wake(&self.wakers.driver);
                }
                Ok(Event::Head { .. } | Event::TooLarge | Event::Unread) => {}
                Ok(Event::Abort) => {
                    body.end = Some(Err(Some(Flaw::Aborted)));
                    state.lost = Some(Lost::Aborted);
                    wake(&self.wakers.driver);
                }
                Err(lost) => {
                    body.end = Some(Err(Some(Flaw::Aborted)));
                    state.lost = Some(lost);
                    wake(&self.wakers.driver);
                }
            }
        }
    }

    fn abandon(&self, turn: u64) {
        let mut state = self.lock();
        if state.turn == turn {
            state.body.reader = Reader::Nobody;
            state.body.ahead = BytesMut::new();
            wake(&self.wakers.driver);
        }
    }
}

/// Whether `deadline` is over. The timer is set anew only where it would ring too late: one that rings too
/// early costs less than one that is set for each request.
fn poll_deadline(mut timer: Pin<&mut Sleep>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if timer.is_elapsed() || timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    loop {
        ready!(timer.as_mut().poll(cx));
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
}

#[cfg(test)]
mod tests;
