//! CGI: one request, by environment, standard input and standard output.

use std::env;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use nix::unistd::dup2_stdout;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tower_service::Service;

use crate::body::{Flaw, Input};
use crate::connection::BoxError;
use crate::events::{Report, report};
use crate::request::{Refusal, declared_length};
use crate::response::{self, Payload};
use crate::{Body, BodyError, Error, Gateway, Limits, MetaVariables};

/// Octets of the body that are read at a time, and of the answer that are gathered.
const PIECE: usize = 64 << 10;
/// Pieces of the body that are read before they are wanted.
const AHEAD: usize = 1;

/// # CGI
impl Gateway {
    /// Serves the one request that the process was started for: CGI.
    ///
    /// The request is in the environment, its body in standard input, and the answer goes to standard output;
    /// the arguments of the process are ignored, for they may be the client's (RFC 3875 section 4.4). Then
    /// the method returns, and `main` has to.
    ///
    /// Each request waits until a process has started, so that it has to start fast. It needs one thread:
    /// take a runtime of the kind `current_thread`. Loading shared libraries takes most of the rest: link
    /// statically (`RUSTFLAGS="-C target-feature=+crt-static"`, and a `--target`), which makes it about as fast as
    /// a C program.
    ///
    /// ```no_run
    /// use axum::{Router, routing::get};
    /// use proxyfix_cgi::Gateway;
    ///
    /// #[tokio::main(flavor = "current_thread")]
    /// async fn main() -> Result<(), proxyfix_cgi::Error> {
    ///     let app = Router::new().route("/", get(async || "Hello, World!\n"));
    ///     Gateway::new().cgi(app).await
    /// }
    /// ```
    ///
    /// | what | becomes |
    /// | --- | --- |
    /// | a body | as many octets as `CONTENT_LENGTH` says, read once the service asks for them; skipped where it does not want them, for some servers write all of it before they read |
    /// | a body without a length | read to its end where `HTTP_TRANSFER_ENCODING` says `chunked` (Apache), else there is none |
    /// | a request that cannot be made, or beyond the [limits](crate::Limits) | an answer of the gateway's own: 400, 413, 431 |
    /// | a service that fails, before anything was written | 500 |
    /// | a body of the answer that fails later | nothing more is written, and this is an error: `main` ends with failure, the web server's log tells |
    /// | what the application prints | goes to standard error, the web server's log: nothing but the answer comes to standard output |
    ///
    /// Times are the web server's: it ends a process that takes too long.
    ///
    /// # What a CGI process has to heed
    ///
    /// - Whatever a client sends as `Proxy: …` is in the environment as `HTTP_PROXY` ("httpoxy"). Nothing here reads
    ///   it, and the request has no such header. But HTTP clients may take it for their proxy: state the
    ///   proxy of each in code, or that there is none (`reqwest`: `ClientBuilder::no_proxy`).
    /// - The environment holds what the client sent, credentials too. A child process gets all of it: state its
    ///   environment with `Command::env_clear`. It would read the body of the request, too: state its
    ///   standard input.
    /// - Apache and lighttpd may hand the answer on only when the whole body was read. A service that answers
    ///   a long body with a long answer while it reads waits for ever: it has to read first.
    /// - Nothing outlives the request: no pool, no cache, no task in the background.
    pub async fn cgi<S, B>(self, app: S) -> Result<(), Error>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body,
        B::Error: Into<BoxError>,
    {
        self.limits.check()?;
        let failed = |it| Error::io("standard output cannot be taken over", it);
        let output = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(failed)?);
        dup2_stdout(io::stderr()).map_err(|it| failed(it.into()))?;
        let variables = env::vars_os();
        let variables =
            variables.map(|(name, value)| (name.as_bytes().to_owned(), value.as_bytes().to_owned()));
        self.answer(variables.collect(), io::stdin(), output, app).await
    }

    async fn answer<S, B>(
        &self,
        variables: MetaVariables,
        input: impl Read + Send + 'static,
        output: impl Write,
        app: S,
    ) -> Result<(), Error>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body,
        B::Error: Into<BoxError>,
    {
        let head = variables.get("REQUEST_METHOD") == Some(b"HEAD");
        let method = if head { Method::HEAD } else { Method::GET };
        let (input, skipped) = Standard::new(&variables, input, &self.limits);
        let mut out = Out { octets: BytesMut::new(), output, begun: false };
        let answered = match self.take(variables, &input) {
            Ok(request) => self.respond(request, &method, &input, &mut out, app).await,
            Err(refusal) => {
                input.abandon(0);
                out.refuse(refusal.status, &method)
            }
        };
        input.abandon(0);
        if let Some(mut skipped) = skipped {
            // As long as something comes. Nothing is sent to this channel; it ends with the reader.
            let mut before = None;
            loop {
                let received = Some(input.received());
                if before == received || timeout(self.limits.shutdown_time, &mut skipped).await.is_ok() {
                    break;
                }
                before = received;
            }
        }
        answered
    }

    async fn respond<S, B, R>(
        &self,
        request: Request<Body>,
        method: &Method,
        input: &Standard<R>,
        out: &mut Out<impl Write>,
        mut app: S,
    ) -> Result<(), Error>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body,
        B::Error: Into<BoxError>,
    {
        let answer = async {
            poll_fn(|cx| app.poll_ready(cx)).await?;
            app.call(request).await
        };
        let response = match answer.await {
            Ok(response) => response,
            Err(error) => {
                report(Report::Failed, &error.into());
                return out.refuse(StatusCode::INTERNAL_SERVER_ERROR, method);
            }
        };
        let too_large = || input.too_large.load(Ordering::Relaxed);
        let (parts, body) = response.into_parts();
        let length = body.size_hint().exact();
        let payload = match self.head(&parts, method, length, &mut out.octets) {
            _ if too_large() => return out.refuse(StatusCode::PAYLOAD_TOO_LARGE, method),
            Ok(payload) => payload,
            Err(reason) => {
                report(Report::Response, &reason);
                return out.refuse(StatusCode::INTERNAL_SERVER_ERROR, method);
            }
        };
        let mut left = match payload {
            Payload::None => return out.flush(),
            Payload::Exact(length) => Some(length),
            Payload::Open => None,
        };
        let mut body = pin!(body);
        while left != Some(0) {
            let next = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
                // What there is may be all for a while.
                Poll::Pending => match out.flush() {
                    Ok(()) => Poll::Pending,
                    Err(error) => Poll::Ready(Err(error)),
                },
                Poll::Ready(next) => Poll::Ready(Ok(next)),
            });
            match next.await? {
                Some(Ok(frame)) => {
                    // There is nowhere to put trailers.
                    if let Ok(mut data) = frame.into_data() {
                        out.add(&mut data, &mut left)?;
                    }
                }
                Some(Err(error)) => {
                    let error = error.into();
                    report(Report::Response, &error);
                    return match out.begun {
                        false if too_large() => out.refuse(StatusCode::PAYLOAD_TOO_LARGE, method),
                        false => out.refuse(StatusCode::INTERNAL_SERVER_ERROR, method),
                        true => Err(Error::new(format!("the answer ended before its end: {error}"))),
                    };
                }
                None => break,
            }
        }
        out.flush()?;
        match left {
            None | Some(0) => Ok(()),
            Some(left) => Err(Error::new(format!(
                "the answer ended before its end: {left} octets of the length that it declares are missing"
            ))),
        }
    }

    /// The request, whose body is read from `input`.
    fn take<R: Read + Send + 'static>(
        &self,
        variables: MetaVariables,
        input: &Arc<Standard<R>>,
    ) -> Result<Request<Body>, Refusal> {
        let (mut octets, mut longest) = (0, 0);
        for (name, value) in variables.iter() {
            octets += name.len() + value.len();
            longest = longest.max(name.len() + value.len());
        }
        let limits = &self.limits;
        if variables.len() > limits.pairs || longest > limits.pair || octets > limits.variables {
            let refusal = Refusal::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the environment is larger than the limits",
            );
            report(Report::Limit, &refusal);
            return Err(refusal);
        }
        let declared = declared_length(&variables);
        let parts = self.request(variables)?;
        if declared.is_some_and(|it| it > limits.body) {
            let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than the limit");
            report(Report::Limit, &refusal);
            return Err(refusal);
        }
        let body = if input.is_over() { Body::empty() } else { Body::input(input.clone(), 0, declared) };
        Ok(Request::from_parts(parts, body))
    }
}

/// Standard input. It is read by a thread of its own, which nobody waits for longer than a while: where the
/// web server keeps it open, a read of it does not end.
///
/// What nobody wants of the body is skipped: a web server that writes all of it before it reads the answer
/// would wait, or take our end for a failure.
struct Standard<R> {
    state: Mutex<State<R>>,
    /// Octets that came.
    received: Arc<AtomicU64>,
    /// There was more than the limit.
    too_large: AtomicBool,
}

enum State<R> {
    Unread(Reader<R>),
    Read(mpsc::Receiver<Result<Bytes, BodyError>>),
    Over,
}

/// Who reads it.
struct Reader<R> {
    input: R,
    declared: Option<u64>,
    received: Arc<AtomicU64>,
    /// Octets that a body has, and that are skipped of one whose length nobody knows.
    limit: u64,
    /// Dropped at the end.
    _end: oneshot::Sender<()>,
}

impl<R: Read + Send + 'static> Standard<R> {
    /// And what comes when nobody reads any more, where there is a body at all.
    fn new(
        variables: &MetaVariables,
        input: R,
        limits: &Limits,
    ) -> (Arc<Self>, Option<oneshot::Receiver<()>>) {
        let declared = declared_length(variables);
        let chunked = declared.is_none()
            && variables
                .get("HTTP_TRANSFER_ENCODING")
                .is_some_and(|it| it.trim_ascii().to_ascii_lowercase().ends_with(b"chunked"));
        let received = Arc::<AtomicU64>::default();
        let (state, end) = if declared.unwrap_or(0) == 0 && !chunked {
            (State::Over, None)
        } else {
            let (sender, end) = oneshot::channel();
            let limit = limits.body;
            (
                State::Unread(Reader { input, declared, received: received.clone(), limit, _end: sender }),
                Some(end),
            )
        };
        (Arc::new(Self { state: Mutex::new(state), received, too_large: AtomicBool::new(false) }), end)
    }

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        matches!(*self.state(), State::Over)
    }
}

impl<R: Read + Send + 'static> State<R> {
    /// Starts to read; false where that is impossible.
    fn start(&mut self) -> bool {
        match mem::replace(self, Self::Over) {
            Self::Unread(reader) => {
                let (sender, receiver) = mpsc::channel(AHEAD);
                let thread = thread::Builder::new().name("body".into());
                if let Err(error) = thread.spawn(move || reader.run(sender)) {
                    report(Report::Limit, &error);
                    return false;
                }
                *self = Self::Read(receiver);
            }
            begun => *self = begun,
        }
        true
    }
}

impl<R: Read + Send + 'static> Input for Standard<R> {
    fn poll_data(&self, _: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut state = self.state();
        if !state.start() {
            return Poll::Ready(Some(Err(BodyError::new(Flaw::Aborted))));
        }
        let State::Read(receiver) = &mut *state else { return Poll::Ready(None) };
        receiver.poll_recv(cx).map(|piece| {
            if let Some(Err(error)) = &piece {
                report(Report::Body, error);
                self.too_large.fetch_or(error.is_too_large(), Ordering::Relaxed);
            }
            piece
        })
    }

    fn abandon(&self, _: u64) {
        let mut state = self.state();
        state.start();
        *state = State::Over;
    }
}

impl<R: Read> Reader<R> {
    fn run(mut self, to: mpsc::Sender<Result<Bytes, BodyError>>) {
        if let Err(flaw) = self.read(&to) {
            let _ = to.blocking_send(Err(BodyError::new(flaw)));
        }
        drop(to);
        let mut skipped = 0;
        while let Ok(Some(piece)) = self.piece() {
            skipped += piece.len() as u64;
            if self.declared.is_none() && skipped > self.limit {
                break;
            }
        }
    }

    /// Reads the body while somebody wants it.
    fn read(&mut self, to: &mpsc::Sender<Result<Bytes, BodyError>>) -> Result<(), Flaw> {
        while let Some(piece) = self.piece()? {
            if self.received.load(Ordering::Relaxed) > self.limit {
                return Err(Flaw::TooLarge { limit: self.limit });
            }
            if to.blocking_send(Ok(piece)).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The next octets, which end where the body does.
    fn piece(&mut self) -> Result<Option<Bytes>, Flaw> {
        let received = self.received.load(Ordering::Relaxed);
        let left = self.declared.map_or(u64::MAX, |declared| declared - received);
        let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
        while !piece.is_empty() {
            match self.input.read(&mut piece) {
                Ok(0) => match self.declared {
                    Some(declared) => return Err(Flaw::Short { declared, received }),
                    None => break,
                },
                Ok(count) => {
                    self.received.fetch_add(count as u64, Ordering::Relaxed);
                    piece.truncate(count);
                    return Ok(Some(piece.into()));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Flaw::Aborted),
            }
        }
        Ok(None)
    }
}

/// The answer on its way to standard output.
struct Out<W> {
    octets: BytesMut,
    output: W,
    /// Something was written: there is no other answer any more.
    begun: bool,
}

impl<W: Write> Out<W> {
    /// Adds octets, as many as are `left`.
    fn add(&mut self, data: &mut impl Buf, left: &mut Option<u64>) -> Result<(), Error> {
        while data.has_remaining() {
            let chunk = data.chunk();
            let allowed =
                left.map_or(chunk.len(), |it| chunk.len().min(usize::try_from(it).unwrap_or(usize::MAX)));
            if allowed == 0 {
                return Ok(());
            }
            *left = left.map(|it| it - allowed as u64);
            if self.octets.len() + allowed > PIECE {
                self.flush()?;
            }
            if allowed > PIECE {
                self.begun = true;
                self.output.write_all(&chunk[..allowed]).map_err(gone)?;
            } else {
                self.octets.put_slice(&chunk[..allowed]);
            }
            data.advance(allowed);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.octets.is_empty() {
            self.begun = true;
            self.output.write_all(&self.octets).map_err(gone)?;
            self.octets.clear();
        }
        Ok(())
    }

    /// Answers that instead of what was gathered.
    fn refuse(&mut self, status: StatusCode, method: &Method) -> Result<(), Error> {
        self.octets.clear();
        response::refusal(status, method, &mut self.octets);
        self.flush()
    }
}

fn gone(error: io::Error) -> Error {
    Error::io("the web server does not take the answer", error)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use axum::body::Body as Stream;
    use futures_util::{StreamExt as _, stream};
    use tower::service_fn;

    use super::*;
    use crate::Limits;

    /// What was written at a time.
    #[derive(Default)]
    struct Writes(Vec<String>);

    impl Write for &mut Writes {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8(octets.to_vec()).unwrap());
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn serve(
        variables: &[(&str, &str)],
        input: impl Read + Send + 'static,
        answer: impl AsyncFn(Request<Body>) -> Response<Stream>,
    ) -> (Vec<String>, Result<(), Error>) {
        let mut writes = Writes::default();
        let usual = [("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/"), ("PATH_INFO", "/")];
        let variables = usual.iter().chain(variables).copied().collect();
        let gateway =
            Gateway::new().limits(Limits::default().body(10).shutdown_time(Duration::from_millis(100)));
        let app = service_fn(async |request| Ok::<_, Infallible>(answer(request).await));
        let served = gateway.answer(variables, input, &mut writes, app).await;
        (writes.0, served)
    }

    /// Pieces that do not come at once; `!` is a failure.
    fn slow(pieces: &'static [&str]) -> Stream {
        Stream::from_stream(stream::iter(pieces).then(async |piece| {
            tokio::task::yield_now().await;
            if *piece == "!" { Err("no more") } else { Ok(*piece) }
        }))
    }

    fn body(writes: &[String]) -> String {
        let all = writes.concat();
        all.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    #[tokio::test]
    async fn head_and_body_are_one_write_where_they_can_be() {
        let (writes, served) = serve(&[], io::empty(), async |_| Response::new("hello".into())).await;
        assert!(writes.len() == 1 && writes[0].ends_with("\r\n\r\nhello"), "{writes:?}");
        served.unwrap();
    }

    #[tokio::test]
    async fn what_takes_time_is_not_waited_for() {
        let (writes, served) = serve(&[], io::empty(), async |_| Response::new(slow(&["one", "two"]))).await;
        assert!(writes[0].ends_with("\r\n\r\n"), "{writes:?}");
        assert_eq!(writes[1..], ["one", "two"]);
        served.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_fails_is_not_completed() {
        let (writes, served) =
            serve(&[], io::empty(), async |_| Response::new(slow(&["one", "!", "two"]))).await;
        assert_eq!(body(&writes), "one");
        assert_eq!(served.unwrap_err().to_string(), "the answer ended before its end: no more");
        assert!(!writes.concat().contains("500"), "{writes:?}");
    }

    #[tokio::test]
    async fn an_answer_that_fails_before_anything_was_written_is_500() {
        let (writes, served) = serve(&[], io::empty(), async |_| {
            Response::new(Stream::from_stream(stream::iter([Ok("one"), Err("no more")])))
        })
        .await;
        assert!(writes.concat().starts_with("Status: 500") && !writes.concat().contains("one"), "{writes:?}");
        served.unwrap();
    }

    #[tokio::test]
    async fn a_declared_length_is_kept_or_the_answer_is_not_complete() {
        let declared =
            |length: &str, body| Response::builder().header("content-length", length).body(body).unwrap();
        let (writes, served) = serve(&[], io::empty(), async |_| declared("4", slow(&["one", "two"]))).await;
        assert_eq!(body(&writes), "onet");
        served.unwrap();
        let (writes, served) = serve(&[], io::empty(), async |_| declared("9", slow(&["one", "two"]))).await;
        assert_eq!(body(&writes), "onetwo");
        assert!(served.unwrap_err().to_string().contains("3 octets of the length that it declares"));
    }

    #[tokio::test]
    async fn t160_a_body_beyond_the_limit_is_413_whatever_is_answered() {
        let input = io::repeat(b'x').take(11);
        let variables = [("HTTP_TRANSFER_ENCODING", "gzip, Chunked")];
        let (writes, _) = serve(&variables, input, async |request| {
            let read = http_body_util::BodyExt::collect(request.into_body()).await;
            assert!(read.is_err_and(|it| it.is_too_large()));
            Response::new("all is well".into())
        })
        .await;
        assert!(writes.concat().starts_with("Status: 413"), "{writes:?}");
    }

    /// Counts what is read of it, and has no end where it is `endless`.
    struct Counting {
        read: Arc<AtomicUsize>,
        endless: bool,
    }

    impl Read for Counting {
        fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
            if self.endless {
                thread::park();
            }
            self.read.fetch_add(octets.len(), Ordering::Relaxed);
            Ok(octets.len())
        }
    }

    async fn read_of(length: &str, endless: bool) -> (Vec<String>, usize) {
        let read = Arc::<AtomicUsize>::default();
        let input = Counting { read: read.clone(), endless };
        let (writes, served) = serve(&[("CONTENT_LENGTH", length)], input, async |request| {
            assert_eq!(http_body::Body::size_hint(request.body()).exact(), length.parse().ok());
            Response::new("hello".into())
        })
        .await;
        served.unwrap();
        (writes, read.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn what_nobody_wants_of_a_body_is_skipped() {
        let (writes, read) = read_of("7", false).await;
        assert_eq!((&*body(&writes), read), ("hello", 7));
        // Beyond the limit of a body, too.
        let (writes, read) = read_of("300000", false).await;
        assert_eq!((writes[0].starts_with("Status: 413 "), read), (true, 300_000));
        // And where it does not come, for a while.
        let (writes, read) = read_of("7", true).await;
        assert_eq!((&*body(&writes), read), ("hello", 0));
    }
}
