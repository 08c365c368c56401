//! Plain HTTP, where there is no gateway.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{Either, Empty};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use proxyfix_policy::{Mount, Peer, Prefix, Scheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use crate::body::Flaw;
use crate::connection::{BoxError, LATE};
use crate::events::{Report, report};
use crate::life::Stop;
use crate::serve::Handler;
use crate::{Body, BodyError, Gateway, Limits};

/// An application over HTTP/1.1.
pub(crate) struct Web<S> {
    app: S,
    mount: Option<Arc<Prefix>>,
    limits: Limits,
}

/// The body of a request, within the limits.
pub(crate) struct Incoming {
    body: hyper::body::Incoming,
    received: u64,
    limit: u64,
    record_time: Duration,
    /// Set while somebody waits.
    timer: Option<Pin<Box<Sleep>>>,
    over: bool,
    too_large: Arc<AtomicBool>,
}

impl Incoming {
    fn new(body: hyper::body::Incoming, limits: &Limits, too_large: Arc<AtomicBool>) -> Self {
        let (limit, record_time) = (limits.body, limits.record_time);
        Self { body, received: 0, limit, record_time, timer: None, over: false, too_large }
    }

    fn fail(&mut self, flaw: Flaw) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.over = true;
        Poll::Ready(Some(Err(BodyError::new(flaw))))
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.timer = None;
            if let Some(Ok(data)) = frame.as_ref().map(|it| it.as_ref().map(Frame::data_ref)) {
                this.received += data.map_or(0, |it| it.len() as u64);
            }
            if this.received > this.limit {
                this.too_large.store(true, Ordering::Relaxed);
                report(Report::Limit, &"a body is longer than the limit; it was answered with 413");
                return this.fail(Flaw::TooLarge { limit: this.limit });
            }
            return Poll::Ready(frame.map(|it| it.map_err(BodyError::http)));
        }
        let time = this.record_time;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(timer.as_mut().poll(cx));
        report(Report::Timeout, &"nothing more came of a body in time");
        this.fail(Flaw::TimedOut)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// 413, and nothing else.
fn too_large<B: http_body::Body>() -> Response<Either<B, Empty<B::Data>>> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl<S> Web<S> {
    pub(crate) fn new(gateway: &Gateway, app: S) -> Self {
        let mount = gateway.mount.clone().map(Arc::new);
        Self { app, mount, limits: gateway.limits.clone() }
    }
}

impl<S, B> Handler for Web<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn handle<IO>(
        &self,
        io: IO,
        peer: Peer,
        stop: Stop,
        _: bool,
    ) -> Option<impl Future<Output = ()> + Send + 'static>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (app, mount, limits) = (self.app.clone(), self.mount.clone(), Arc::new(self.limits.clone()));
        let head_time = limits.head_time;
        let asked = Arc::new(Notify::new());
        let asks = asked.clone();
        let answer = hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
            asks.notify_one();
            let (mut app, limits) = (app.clone(), limits.clone());
            let split = split(request.uri(), mount.as_deref());
            async move {
                let (mount, uri) = split;
                if let Some(uri) = uri {
                    *request.uri_mut() = uri;
                }
                request.extensions_mut().insert(peer);
                request.extensions_mut().insert(Scheme::Http);
                request.extensions_mut().insert(mount);
                if request.body().is_end_stream() {
                    poll_fn(|cx| app.poll_ready(cx)).await?;
                    return Ok(app.call(request.map(|_| Body::empty())).await?.map(Either::Left));
                }
                if request.body().size_hint().lower() > limits.body {
                    report(Report::Limit, &"a body is longer than the limit; it was answered with 413");
                    return Ok(too_large());
                }
                let flag = Arc::new(AtomicBool::new(false));
                let request = request.map(|body| Body::http(Incoming::new(body, &limits, flag.clone())));
                poll_fn(|cx| app.poll_ready(cx)).await?;
                let response = app.call(request).await;
                if flag.load(Ordering::Relaxed) {
                    return Ok(too_large());
                }
                Ok::<_, S::Error>(response?.map(Either::Left))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_time)
            .serve_connection(TokioIo::new(io), answer)
            .with_upgrades();
        Some(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.wait() => {
                    // A connection is made for a request: the first one may be on its way.
                    let ended = tokio::select! {
                        biased;
                        ended = connection.as_mut() => Some(ended),
                        () = asked.notified() => None,
                        () = sleep(LATE) => None,
                    };
                    if let Some(ended) = ended {
                        ended
                    } else {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            };
            if let Err(error) = ended {
                if error.is_user() {
                    report(Report::Failed, &error);
                }
            }
        })
    }
}

/// The mount of a request, and its new target where the path is cut.
fn split(uri: &Uri, declared: Option<&Prefix>) -> (Mount, Option<Uri>) {
    let cut = declared.filter(|it| !it.is_root()).and_then(|declared| {
        let (mount, mut path) = Mount::root().split_at(uri.path(), declared)?;
        if let Some(query) = uri.query() {
            path.push('?');
            path.push_str(query);
        }
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Some((mount, Uri::from_parts(parts).ok()?))
    });
    match cut {
        // What the fixes take as a split that was made already is for the gateways' own words.
        Some((mount, uri)) => {
            let declared = Mount::from(mount.prefix().clone());
            (declared.with_nothing_below(mount.nothing_below()), Some(uri))
        }
        None => (Mount::root(), None),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[track_caller]
    fn assert_split(target: &str, declared: &str, mount: &str, seen: &str) {
        let uri: Uri = target.parse().unwrap();
        let (found, cut) = split(&uri, Some(&declared.parse().unwrap()));
        assert_eq!(found.prefix(), mount, "{target} below {declared}");
        assert_eq!(cut.unwrap_or(uri).to_string(), seen, "{target} below {declared}");
    }

    #[test]
    fn a_declared_mount_is_cut_off_paths_below_it() {
        assert_split("/app/users?a=1", "/app", "/app", "/users?a=1");
        assert_split("/app/a%2Fb?", "/app", "/app", "/a%2Fb?");
        assert_split("/app/", "/app", "/app", "/");
        assert_split("/app", "/app", "/app", "/");
        assert_split("http://example.com/app/users", "/app", "/app", "http://example.com/users");
    }

    #[test]
    fn other_paths_are_those_of_the_root() {
        assert_split("/users", "/app", "", "/users");
        assert_split("/application", "/app", "", "/application");
        assert_split("*", "/app", "", "*");
        assert_split("/users", "", "", "/users");
    }

    #[test]
    fn a_mount_alone_has_nothing_below() {
        let split = |target: &'static str| split(&Uri::from_static(target), Some(&"/app".parse().unwrap())).0;
        assert!(split("/app").nothing_below());
        assert!(!split("/app/").nothing_below());
    }

    /// What is answered to `request`, after which nothing is sent.
    async fn answer(request: &str) -> String {
        let read = async |body: Request<axum::body::Body>| match body.into_body().collect().await {
            Ok(body) => format!("{} octets", body.to_bytes().len()),
            Err(error) => error.into_inner().to_string(),
        };
        let gateway = Gateway::new().limits(Limits::default().body(10));
        let (mut client, server) = duplex(1 << 16);
        let (_switch, stop) = Stop::new();
        let web = Web::new(&gateway, Router::new().route("/", post(read)));
        tokio::spawn(web.handle(server, Peer::local(), stop, false).unwrap());
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 1 << 16];
        let length = client.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    fn declared(length: usize, sent: usize) -> String {
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(sent))
    }

    fn chunked(sent: usize) -> String {
        let body = "x".repeat(sent);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked";
        format!("{head}\r\n\r\n{sent:x}\r\n{body}\r\n0\r\n\r\n")
    }

    #[tokio::test(start_paused = true)]
    async fn t160_a_body_over_the_limit_is_answered_with_413_over_http_too() {
        assert!(answer(&declared(10, 10)).await.ends_with("10 octets"));
        assert!(answer(&chunked(10)).await.ends_with("10 octets"));
        assert!(answer(&declared(0, 0)).await.ends_with("0 octets"));
        for request in [declared(11, 0), declared(11, 11), chunked(11)] {
            assert!(answer(&request).await.starts_with("HTTP/1.1 413 "), "{request}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn t173_a_body_that_stops_ends_over_http_too() {
        let answer = answer(&declared(10, 9)).await;
        assert!(answer.ends_with("nothing more of the body in time"), "{answer}");
    }
}
