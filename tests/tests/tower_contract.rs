//! The layers among those of tower: readiness, bodies, errors and futures pass through untouched.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::identity;
use std::fmt::{self, Debug};
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use http::Request;
use http::request::Parts;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use proxyfix::{
    CustomProxyFix, Fix, LighttpdCgiRootFix, Mount, Origin, Peer, ProxyFix, ScriptNameStripper,
    TrustedProxies,
};
use tower::buffer::BufferLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Service, ServiceBuilder, ServiceExt};

/// What the innermost service was handed, as its response.
#[derive(Debug)]
struct Handed<B> {
    parts: Parts,
    body: B,
}

#[derive(Debug, PartialEq)]
struct Broken(&'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

/// A future of the service's own.
#[derive(Debug)]
struct Own<B>(Ready<Result<Handed<B>, Broken>>);

impl<B> Future for Own<B> {
    type Output = Result<Handed<B>, Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

#[derive(Debug, Default)]
struct Counts {
    ready: AtomicUsize,
    called: AtomicUsize,
}

impl Counts {
    #[track_caller]
    fn assert(&self, ready: usize, called: usize) {
        let counted = (self.ready.load(Ordering::SeqCst), self.called.load(Ordering::SeqCst));
        assert_eq!(counted, (ready, called), "poll_ready and call");
    }
}

/// Not `Clone`, and panics where the contract of tower is broken: a call without readiness.
#[derive(Debug, Default)]
struct Strict {
    counts: Arc<Counts>,
    ready: bool,
    /// What `poll_ready` answers; ready where nothing is left.
    answers: VecDeque<Poll<Result<(), Broken>>>,
}

impl<B> Service<Request<B>> for Strict {
    type Response = Handed<B>;
    type Error = Broken;
    type Future = Own<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.counts.ready.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.pop_front().unwrap_or(Poll::Ready(Ok(())));
        self.ready = answer == Poll::Ready(Ok(()));
        answer
    }

    fn call(&mut self, request: Request<B>) -> Own<B> {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        self.counts.called.fetch_add(1, Ordering::SeqCst);
        let (parts, body) = request.into_parts();
        if parts.method == http::Method::DELETE {
            return Own(ready(Err(Broken("no"))));
        }
        Own(ready(Ok(Handed { parts, body })))
    }
}

/// `Send`, but not `Sync`.
#[derive(Clone, Debug, PartialEq)]
struct Unshared(Cell<u8>);

/// A request that each of the fixes changes.
fn request<B>(body: B) -> Request<B> {
    Request::get("/users?page=2")
        .header("host", "app.internal:8080")
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-fhost", "good.example")
        .extension("10.0.0.2:40000".parse::<Peer>().unwrap())
        .extension("/app.fcgi".parse::<Mount>().unwrap())
        .body(body)
        .unwrap()
}

/// What a fix may change.
fn seen(parts: &Parts) -> impl PartialEq + Debug + use<> {
    let headers = parts.headers.clone();
    let extensions = &parts.extensions;
    (parts.uri.clone(), headers, extensions.get::<Origin>().cloned(), extensions.get::<Mount>().cloned())
}

/// Sends three requests through `service`; each has to arrive as `fix` leaves it, the body as sent.
async fn serves<S, B>(mut service: S, fix: &impl Fix, body: B)
where
    S: Service<Request<B>, Response = Handed<B>, Error: Debug>,
    B: Clone + Debug + PartialEq,
{
    let (received, ()) = request(()).into_parts();
    let mut fixed = received.clone();
    fix.fix(&mut fixed);
    assert_ne!(seen(&fixed), seen(&received));
    for _ in 0..3 {
        let handed = service.ready().await.unwrap().call(request(body.clone())).await.unwrap();
        assert_eq!(seen(&handed.parts), seen(&fixed));
        assert_eq!(handed.body, body);
    }
}

/// Sends one request that is refused, and gives the error.
async fn refused<S, B>(mut service: S, body: B) -> S::Error
where
    S: Service<Request<B>, Response = Handed<B>, Error: Debug>,
    B: Debug,
{
    let mut request = request(body);
    *request.method_mut() = http::Method::DELETE;
    service.ready().await.unwrap().call(request).await.unwrap_err()
}

fn poll_ready<S, B>(service: &mut S, _: B) -> Poll<Result<(), S::Error>>
where
    S: Service<Request<B>>,
{
    service.poll_ready(&mut Context::from_waker(Waker::noop()))
}

/// Compiles where the types of a wrapped service are those of [`Strict`], for any body.
fn has_the_types_of_strict<S, B>(_: &S, _: B)
where
    S: Service<Request<B>, Response = Handed<B>, Error = Broken, Future = Own<B>>,
{
}

fn trusted() -> TrustedProxies {
    "10.0.0.0/8".parse().unwrap()
}

fn proxy_fix() -> ProxyFix {
    ProxyFix::builder(trusted()).host().build().unwrap()
}

fn custom_proxy_fix() -> CustomProxyFix {
    CustomProxyFix::host(trusted(), "X-FHost").unwrap()
}

#[tokio::test]
#[should_panic(expected = "called without being ready")]
async fn a_broken_contract_is_noticed() {
    let mut service = ServiceBuilder::new().layer(proxy_fix()).service(Strict::default());
    let _ = service.call(request(())).await;
}

/// A module of tests per fix, which is a layer by itself or becomes one through `$layer`.
macro_rules! keeps_the_contract {
    ($($name:ident: $fix:expr, $layer:expr;)+) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn polls_once_and_calls_once() {
                let service = || ServiceBuilder::new().layer($layer($fix)).service(Strict::default());
                let mut counted = service();
                let counts = counted.get_ref().counts.clone();
                counts.assert(0, 0);
                serves(&mut counted, &$fix, String::from("body")).await;
                counts.assert(3, 3);
                serves(service(), &$fix, ()).await;
                serves(service(), &$fix, Unshared(Cell::new(7))).await;
                let sent = request(Full::new(Bytes::from_static(b"body")));
                let handed = service().oneshot(sent).await.unwrap();
                assert_eq!(handed.body.collect().await.unwrap().to_bytes(), "body");
            }

            #[tokio::test]
            async fn inside_a_concurrency_limit() {
                let service = ServiceBuilder::new()
                    .layer(ConcurrencyLimitLayer::new(1))
                    .layer($layer($fix))
                    .service(Strict::default());
                let counts = service.get_ref().get_ref().counts.clone();
                serves(service, &$fix, Unshared(Cell::new(7))).await;
                counts.assert(3, 3);
            }

            #[tokio::test]
            async fn around_a_concurrency_limit() {
                let mut service = ServiceBuilder::new()
                    .layer($layer($fix))
                    .layer(ConcurrencyLimitLayer::new(1))
                    .service(Strict::default());
                serves(&mut service, &$fix, String::from("body")).await;
                // One permit: readiness is the limit's, not ours.
                assert_eq!(poll_ready(&mut service, ()), Poll::Ready(Ok(())));
                let outstanding = service.call(request(()));
                assert_eq!(poll_ready(&mut service, ()), Poll::Pending);
                drop(outstanding);
                assert_eq!(poll_ready(&mut service, ()), Poll::Ready(Ok(())));
                service.get_ref().get_ref().counts.assert(5, 4);
            }

            #[tokio::test]
            async fn inside_a_buffer() {
                let mut service = ServiceBuilder::new()
                    .layer(BufferLayer::new(1))
                    .layer($layer($fix))
                    .service(Strict::default());
                serves(service.clone(), &$fix, Unshared(Cell::new(7))).await;
                let error = refused(&mut service, Unshared(Cell::new(7))).await;
                assert_eq!(error.downcast_ref(), Some(&Broken("no")));
            }

            #[tokio::test]
            async fn around_a_buffer() {
                let mut service = ServiceBuilder::new()
                    .layer($layer($fix))
                    .layer(BufferLayer::new(1))
                    .service(Strict::default());
                serves(service.clone(), &$fix, String::from("body")).await;
                let error = refused(&mut service, String::new()).await;
                assert_eq!(error.downcast_ref(), Some(&Broken("no")));
            }

            #[tokio::test]
            async fn between_a_buffer_and_a_limit() {
                let counts = Arc::new(Counts::default());
                let service = ServiceBuilder::new()
                    .buffer(2)
                    .layer($layer($fix))
                    .concurrency_limit(1)
                    .service(Strict { counts: counts.clone(), ..Strict::default() });
                serves(service, &$fix, ()).await;
                counts.assert(3, 3);
            }

            #[tokio::test]
            async fn readiness_and_errors_are_the_inner_services() {
                let answers = [Poll::Pending, Poll::Ready(Err(Broken("worn out"))), Poll::Ready(Ok(()))];
                let inner = Strict { answers: answers.into(), ..Strict::default() };
                let mut service = ServiceBuilder::new().layer($layer($fix)).service(inner);
                assert_eq!(poll_ready(&mut service, ()), Poll::Pending);
                assert_eq!(poll_ready(&mut service, ()), Poll::Ready(Err(Broken("worn out"))));
                assert_eq!(poll_ready(&mut service, ()), Poll::Ready(Ok(())));
                service.get_ref().counts.assert(3, 0);
                assert_eq!(refused(service, ()).await, Broken("no"));
            }

            #[test]
            fn the_types_are_the_inner_services() {
                let service = ServiceBuilder::new().layer($layer($fix)).service(Strict::default());
                has_the_types_of_strict(&service, ());
                has_the_types_of_strict(&service, String::new());
                has_the_types_of_strict(&service, Full::<Bytes>::default());
                has_the_types_of_strict(&service, Unshared(Cell::new(0)));
            }
        }
    )+};
}

keeps_the_contract! {
    proxy_fix: proxy_fix(), identity;
    custom_proxy_fix: custom_proxy_fix(), identity;
    script_name_stripper: ScriptNameStripper::new(), identity;
    lighttpd_cgi_root_fix: LighttpdCgiRootFix::new(), identity;
    a_tuple: (proxy_fix(), custom_proxy_fix(), LighttpdCgiRootFix::new()), proxyfix::layer;
}
