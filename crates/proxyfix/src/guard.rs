//! The one layer that answers by itself.
//!
//! ```text
//! client unknown         400 Bad Request
//! host "evil.example"    421 Misdirected Request
//! scheme "http"          400 Bad Request
//! ```
//!
//! # Example
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use proxyfix::{Guard, Peer, ProxyFix, TrustedProxies};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut service = ServiceBuilder::new()
//!     .layer(ProxyFix::new("10.0.0.0/8".parse::<TrustedProxies>()?))
//!     .layer(Guard::new().reject_incomplete().allow_hosts(["good.example", "*.good.example"])?)
//!     .service(service_fn(|_: Request<()>| async {
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::new(&b"hello"[..])))
//!     }));
//!
//! let request = |host| {
//!     Request::get("/").header("host", host).extension("10.0.0.2".parse::<Peer>().unwrap()).body(())
//! };
//! let response = service.ready().await?.call(request("www.good.example")?).await?;
//! assert_eq!(response.status(), 200);
//! let response = service.ready().await?.call(request("evil.example")?).await?;
//! assert_eq!(response.status(), 421);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;
use proxyfix_policy::{Ending, Error, Field, Host, Outcome, Scheme};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Origin, events};

/// Refuses requests whose origin is not what the operator demands. Without a demand it refuses none.
///
/// It reads the decision of the fix before it, so it stands inside: after
/// [`ProxyFix`](crate::ProxyFix) in a `ServiceBuilder`, or as `Router::layer` of the router that
/// `proxyfix_axum::wrap` wraps.
///
/// | demand | refused | answer |
/// | --- | --- | --- |
/// | [`reject_incomplete`](Self::reject_incomplete) | a chain that does not say who the client is | 400 |
/// | [`allow_hosts`](Self::allow_hosts) | no well-formed host | 400 |
/// | | a host that is not ours | 421 (RFC 9110 section 15.5.20) |
/// | [`require_https`](Self::require_https) | a client that used `http` | 400 |
/// | [`strict`](Self::strict) | all of these, and what else is odd | 400 |
/// | [`require_peer`](Self::require_peer) | nobody said who is connected | 500, the operator's to mend |
/// | [`limits`](Self::limits), always | forwarding headers of a trusted peer that are too large, or too many | 431 (RFC 6585 section 5) |
/// | any of these | no fix ran before | 500, the operator's to mend |
///
/// Answers are short fixed texts that are never cached and repeat nothing of the request. The inner
/// service is not called, and what it had reserved when it was ready is released; this is why it has
/// to be [`Clone`].
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct Guard {
    rules: Arc<Rules>,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a demand of its own")]
struct Rules {
    peer: bool,
    complete: bool,
    strict: bool,
    https: bool,
    hosts: Vec<Allowed>,
    most_bytes: usize,
    most_lines: usize,
}

/// By default only what no honest proxy sends is refused.
impl Default for Rules {
    fn default() -> Self {
        Self {
            peer: false,
            complete: false,
            strict: false,
            https: false,
            hosts: Vec::new(),
            most_bytes: Guard::LIMITS.0,
            most_lines: Guard::LIMITS.1,
        }
    }
}

/// A host, or the hosts below one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    Exactly(Host),
    Below(Host),
    AtOrBelow(Host),
}

impl Guard {
    /// The bytes and lines that [`limits`](Self::limits) has by default.
    pub(crate) const LIMITS: (usize, usize) = (8 << 10, 16);

    /// Demands nothing yet but the [limits](Self::limits).
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes that the values of one family of forwarding headers may have, 8192 by default, and the
    /// lines of one of its headers, 16 by default.
    ///
    /// The limits hold for requests of trusted peers, whose headers are read; a stranger's are removed
    /// unread and never a reason to refuse. Neither can be 0.
    pub fn limits(self, bytes: usize, lines: usize) -> Result<Self, Error> {
        if bytes == 0 || lines == 0 {
            return Err(Error::refused(&format!(
                "limits of {bytes} bytes and {lines} lines: 0 would refuse every request of a proxy, and does \
                 not switch a limit off"
            )));
        }
        Ok(self.map(|rules| (rules.most_bytes, rules.most_lines) = (bytes, lines)))
    }

    /// Refuses requests of which nobody said who is connected, with 500: the operator has to wire it.
    pub fn require_peer(self) -> Self {
        self.map(|rules| rules.peer = true)
    }

    /// Refuses whatever is odd: requests without a [peer](Self::require_peer), with an
    /// [incomplete](Self::reject_incomplete) origin, and those of trusted peers
    ///
    /// - with a value that was [refused](crate::Outcome::Refused), whatever its field,
    /// - that passed fewer proxies than are declared ([`Origin::is_short`](proxyfix_policy::Origin::is_short));
    ///
    /// and, whoever sent it, one whose own host is none, or two, or that names one in its target and
    /// another in `Host`; since HTTP/1.1 a request states one (RFC 9112 section 3.2).
    pub fn strict(self) -> Self {
        self.map(|rules| rules.strict = true)
    }

    /// Refuses requests whose chain does not say who the client is
    /// ([`Ending::is_incomplete`](crate::Ending::is_incomplete)), or whose proxy did not give its
    /// [proof](proxyfix_policy::Origin::is_unproven). The peer of a health check, which sends no chain, is not refused.
    pub fn reject_incomplete(self) -> Self {
        self.map(|rules| rules.complete = true)
    }

    /// Refuses requests for any other host: `good.example` is that host, `*.good.example` are the
    /// hosts below it, on a label boundary, and not itself; `.good.example` is both. Ports do not
    /// matter.
    ///
    /// The list applies to the host that was decided upon, whether it was forwarded or received.
    pub fn allow_hosts<T: AsRef<str>>(self, hosts: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let hosts = hosts.into_iter().map(|host| {
            let host = host.as_ref();
            let read = |text: &str| Host::with_underscores(text.as_bytes());
            let parent =
                host.strip_prefix("*.").map(|parent| (parent, Allowed::Below as fn(Host) -> Allowed));
            match parent.or(host.strip_prefix('.').map(|parent| (parent, Allowed::AtOrBelow as _))) {
                Some((parent, _)) if parent.starts_with('[') => Err(Error::refused(&format!(
                    "{host:?} is not an allowed host: nothing is below an address"
                ))),
                Some((parent, allowed)) => read(parent).map(allowed),
                None => read(host).map(Allowed::Exactly),
            }
        });
        let hosts = hosts.collect::<Result<Vec<_>, Error>>()?;
        if hosts.is_empty() {
            return Err(Error::refused("a list of allowed hosts without a host would refuse every request"));
        }
        Ok(self.map(|rules| rules.hosts.extend(hosts)))
    }

    /// Refuses requests whose client used `http`.
    pub fn require_https(self) -> Self {
        self.map(|rules| rules.https = true)
    }

    /// The status with which a request of this head is refused, if it is: what the layer does, for
    /// unit tests.
    pub fn refuses(&self, parts: &Parts) -> Option<StatusCode> {
        self.rules.refusal(parts).map(|refusal| refusal.status)
    }

    fn map(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }
}

impl Allowed {
    fn admits(&self, host: &Host) -> bool {
        let below = |parent: &Host| {
            host.as_str().strip_suffix(parent.as_str()).is_some_and(|labels| labels.ends_with('.'))
        };
        match self {
            Self::Exactly(allowed) => allowed == host,
            Self::Below(parent) => below(parent),
            Self::AtOrBelow(parent) => parent == host || below(parent),
        }
    }
}

/// What is answered instead of calling the service.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    status: StatusCode,
    /// For events: one of few.
    reason: &'static str,
    text: &'static str,
}

impl Refusal {
    fn response<D: Buf + From<&'static [u8]>>(self) -> Response<Full<D>> {
        let mut response = Response::new(Full::new(D::from(self.text.as_bytes())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

impl Rules {
    fn refusal(&self, parts: &Parts) -> Option<Refusal> {
        use StatusCode as Status;
        let refusal = |status, reason, text| Some(Refusal { status, reason, text });
        let demands = self.peer || self.complete || self.strict || self.https || !self.hosts.is_empty();
        let Some(origin) = parts.extensions.get::<Origin>() else {
            return demands.then_some(Refusal {
                status: Status::INTERNAL_SERVER_ERROR,
                reason: "no-fix",
                text: "this service is not set up to know its clients\n",
            });
        };
        if (self.peer || self.strict) && origin.ending() == Ending::PeerUnknown {
            let text = "this service is not set up to know its clients\n";
            return refusal(Status::INTERNAL_SERVER_ERROR, "no-peer", text);
        }
        if origin.ending().is_from_trusted_peer() && self.is_exceeded(parts) {
            let text = "the forwarding headers are too large\n";
            return refusal(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, "too-large", text);
        }
        let unknown = origin.ending().is_incomplete() || origin.is_unproven();
        if (self.complete || self.strict) && unknown {
            let text = "the proxies in front do not say who the client is\n";
            return refusal(Status::BAD_REQUEST, "incomplete", text);
        }
        if self.strict && is_odd(origin) {
            let text = "the forwarding headers contradict the setup of this service\n";
            return refusal(Status::BAD_REQUEST, "odd", text);
        }
        let needed = self.strict && (origin.has_host_conflict() || parts.version >= Version::HTTP_11);
        let no_host = origin.host().is_none() && (needed || origin.is_host_withheld());
        if self.strict && (no_host || origin.has_host_conflict()) {
            return refusal(Status::BAD_REQUEST, "no-host", "the request states no well-formed host\n");
        }
        match origin.host() {
            _ if self.hosts.is_empty() => {}
            None => {
                return refusal(Status::BAD_REQUEST, "no-host", "the request states no well-formed host\n");
            }
            Some(host) if self.hosts.iter().any(|allowed| allowed.admits(host)) => {}
            Some(_) => {
                let text = "this host is not served here\n";
                return refusal(Status::MISDIRECTED_REQUEST, "host-not-allowed", text);
            }
        }
        if self.https && origin.scheme() != Scheme::Https {
            let text = "this service is served over https only\n";
            return refusal(Status::BAD_REQUEST, "not-https", text);
        }
        None
    }

    /// Whether a family of the headers that the fix removed exceeds the limits.
    fn is_exceeded(&self, parts: &Parts) -> bool {
        parts.extensions.get::<Origin>().is_some_and(|Origin { removed, .. }| {
            removed.most_lines() > self.most_lines || removed.most_bytes() > self.most_bytes
        })
    }
}

/// Whether a trusted peer's headers do not fit what is declared.
fn is_odd(origin: &Origin) -> bool {
    let refused = |field| matches!(origin.outcome(field), Outcome::Refused(_));
    origin.is_short() || Field::ALL.into_iter().any(refused)
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { rules: Arc::clone(&self.rules), inner }
    }
}

/// The service of [`Guard`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    rules: Arc<Rules>,
    inner: S,
}

pin_project! {
    /// The body of a guarded response: the inner service's, or a short text.
    pub struct GuardBody<B: Body> {
        #[pin]
        answer: Answer<B>,
    }
}

pin_project! {
    #[project = AnswerProjected]
    enum Answer<B: Body> {
        Text { #[pin] text: Full<B::Data> },
        Inner { #[pin] body: B },
    }
}

impl<B: Body> Body for GuardBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().answer.project() {
            AnswerProjected::Text { text } => {
                text.poll_frame(cx).map(|frame| frame.map(|it| it.map_err(|never| match never {})))
            }
            AnswerProjected::Inner { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.answer {
            Answer::Text { text } => text.is_end_stream(),
            Answer::Inner { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.answer {
            Answer::Text { text } => text.size_hint(),
            Answer::Inner { body } => body.size_hint(),
        }
    }
}

impl<B: Body> fmt::Debug for GuardBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardBody").finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body,
    R::Data: From<&'static [u8]>,
{
    type Response = Response<GuardBody<R>>;
    type Error = S::Error;
    type Future = GuardFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let state = match self.rules.refusal(&parts) {
            None => State::Inner { future: self.inner.call(Request::from_parts(parts, body)) },
            Some(refusal) => {
                events::guard_refused(
                    parts.extensions.get::<Origin>().map(|it| &**it),
                    refusal.status,
                    refusal.reason,
                );
                // A service that was ready and is not called would keep what it had reserved.
                let fresh = self.inner.clone();
                drop(mem::replace(&mut self.inner, fresh));
                State::Refused { refusal }
            }
        };
        GuardFuture { state }
    }
}

pin_project! {
    /// The future of [`Guarded`].
    #[derive(Debug)]
    pub struct GuardFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = Projected]
    enum State<F> {
        Inner { #[pin] future: F },
        Refused { refusal: Refusal },
    }
}

impl<F, R, E> Future for GuardFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    R::Data: From<&'static [u8]>,
{
    type Output = Result<Response<GuardBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Inner { future } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(response.map(|body| GuardBody { answer: Answer::Inner { body } })))
            }
            Projected::Refused { refusal } => {
                let text = |text| GuardBody { answer: Answer::Text { text } };
                Poll::Ready(Ok(refusal.response().map(text)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proxyfix_policy::{Peer, TrustedProxies};

    use super::*;
    use crate::{Fix, ProxyFix};

    /// The head of a request for `host` that `10.0.0.2` forwarded, after the fix.
    fn fixed(host: Option<&str>, chain: &str, scheme: &str) -> Parts {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let request = Request::get("/").extension("10.0.0.2".parse::<Peer>().unwrap());
        let request = request.header("x-forwarded-for", chain).header("x-forwarded-proto", scheme);
        let request = host.into_iter().fold(request, |request, host| request.header("host", host));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        ProxyFix::new(trusted).fix(&mut parts);
        parts
    }

    #[track_caller]
    fn assert_refuses(guard: &Guard, parts: &Parts, status: Option<u16>) {
        assert_eq!(guard.refuses(parts).map(|status| status.as_u16()), status);
    }

    #[test]
    fn without_a_demand_nothing_is_refused() {
        assert_refuses(&Guard::new(), &fixed(None, "garbage", "http"), None);
        assert_refuses(&Guard::new(), &Request::new(()).into_parts().0, None);
    }

    #[test]
    fn a_guard_without_a_fix_is_a_wiring_error() {
        let head = Request::new(()).into_parts().0;
        assert_refuses(&Guard::new().require_https(), &head, Some(500));
    }

    #[test]
    fn incomplete_origins_are_refused_on_demand() {
        let guard = Guard::new().reject_incomplete();
        for chain in ["garbage", "203.0.113.9,", "unknown", "127.0.0.1"] {
            assert_refuses(&guard, &fixed(None, chain, "http"), Some(400));
        }
        for chain in ["203.0.113.9", ""] {
            assert_refuses(&guard, &fixed(None, chain, "http"), None);
        }
    }

    #[test]
    fn t69_t73_only_our_hosts_on_a_label_boundary() {
        let guard =
            Guard::new().allow_hosts(["good.example", "*.sub.example", "[::1]", ".both.example"]).unwrap();
        for ours in [
            "good.example",
            "GOOD.Example.",
            "good.example:8080",
            "a.sub.example",
            "a.b.sub.example",
            "[::1]",
            "both.example",
            "a.both.example",
        ] {
            assert_refuses(&guard, &fixed(Some(ours), "203.0.113.9", "http"), None);
        }
        for other in [
            "evil.example",
            "notgood.example",
            "good.example.evil.example",
            "a.good.example",
            "sub.example",
            "asub.example",
            "sub-good.example",
        ] {
            assert_refuses(&guard, &fixed(Some(other), "203.0.113.9", "http"), Some(421));
        }
        for none in [None, Some("evil.example#.good.example"), Some("good.example@evil.example")] {
            assert_refuses(&guard, &fixed(none, "203.0.113.9", "http"), Some(400));
        }
    }

    #[test]
    fn the_scheme_is_the_clients() {
        let guard = Guard::new().require_https();
        assert_refuses(&guard, &fixed(None, "203.0.113.9", "https"), None);
        assert_refuses(&guard, &fixed(None, "203.0.113.9", "http"), Some(400));
    }

    /// The head of a request from `peer`, after the fix, whose hops are two.
    fn judged(peer: Option<&str>, target: &str, headers: &[(&str, &str)]) -> Parts {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let request = headers.iter().fold(Request::get(target), |it, (name, value)| it.header(*name, *value));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        peer.map(|peer| parts.extensions.insert(peer.parse::<Peer>().unwrap()));
        ProxyFix::builder(trusted).x_for(2).host().build().unwrap().fix(&mut parts);
        parts
    }

    #[test]
    fn t06_a_missing_peer_is_refused_on_demand() {
        let parts = judged(None, "/", &[("host", "a.example")]);
        assert_refuses(&Guard::new(), &parts, None);
        assert_refuses(&Guard::new().require_peer(), &parts, Some(500));
        assert_refuses(&Guard::new().strict(), &parts, Some(500));
    }

    #[test]
    fn a_proxy_that_does_not_prove_itself_leaves_the_client_unknown() {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let unproven = crate::Proof::from_fn(|_, _| false);
        let fix = ProxyFix::builder(trusted).and_proof(unproven).build().unwrap();
        for (peer, refused) in [("10.0.0.2", Some(400)), ("203.0.113.9", None)] {
            let request = Request::get("/").header("host", "a.example");
            let request = request.extension(peer.parse::<Peer>().unwrap());
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            fix.fix(&mut parts);
            assert_refuses(&Guard::new(), &parts, None);
            assert_refuses(&Guard::new().reject_incomplete(), &parts, refused);
            assert_refuses(&Guard::new().strict(), &parts, refused);
        }
    }

    #[test]
    fn strictness_refuses_whatever_is_odd() {
        const HOST: (&str, &str) = ("host", "a.example");
        const CHAIN: (&str, &str) = ("x-forwarded-for", "203.0.113.9, 10.0.0.7");
        let strict = Guard::new().strict();
        let proxied = |headers: &[(&str, &str)]| judged(Some("10.0.0.2"), "/", headers);
        assert_refuses(&strict, &proxied(&[HOST, CHAIN]), None);
        for odd in [
            &[HOST, ("x-forwarded-for", "203.0.113.9, junk")][..],
            // T09
            &[HOST, ("x-forwarded-for", "198.51.100.7, 203.0.113.9")],
            // T86, T88, T70
            &[HOST, CHAIN, ("x-forwarded-proto", "https, http, http")],
            &[HOST, CHAIN, ("x-forwarded-proto", "javascript")],
            &[HOST, CHAIN, ("x-forwarded-host", "good.example@evil.example")],
            // T81, T82
            &[HOST, HOST, CHAIN],
            &[("host", "a b"), CHAIN],
            &[CHAIN],
        ] {
            assert_refuses(&strict, &proxied(odd), Some(400));
            assert_refuses(&Guard::new(), &proxied(odd), None);
        }
        // T84
        let target = "http://good.example/x";
        let forged = [("host", "evil.example"), CHAIN];
        assert_refuses(&strict, &judged(Some("10.0.0.2"), target, &forged), Some(400));
        assert_refuses(&strict, &judged(Some("203.0.113.9"), target, &forged), Some(400));
        assert_refuses(
            &strict,
            &judged(Some("10.0.0.2"), target, &[("host", "GOOD.example:80"), CHAIN]),
            None,
        );
        // A stranger's headers are no reason, and a health check is none.
        let stranger = [HOST, ("x-forwarded-for", "junk"), ("x-forwarded-proto", "javascript")];
        assert_refuses(&strict, &judged(Some("203.0.113.9"), "/", &stranger), None);
        assert_refuses(&strict, &proxied(&[HOST]), None);
    }

    #[test]
    fn t82_http_1_0_needs_no_host() {
        let mut parts = judged(Some("203.0.113.9"), "/", &[]);
        assert_refuses(&Guard::new().strict(), &parts, Some(400));
        parts.version = Version::HTTP_10;
        assert_refuses(&Guard::new().strict(), &parts, None);
    }

    #[test]
    fn t37_t38_t121_forwarding_headers_have_limits() {
        let long = format!("{}203.0.113.9", "198.51.100.7,".repeat(700));
        let lines = |count| vec![("x-forwarded-for", "203.0.113.9"); count];
        let proxied = |headers: &[(&str, &str)]| judged(Some("10.0.0.2"), "/", headers);
        let guard = Guard::new();
        assert_refuses(&guard, &proxied(&[("x-forwarded-for", &long)]), Some(431));
        assert_refuses(&guard, &proxied(&[("forwarded", &long)]), Some(431));
        assert_refuses(&guard, &proxied(&[("x-forwarded-for", &long[..8000])]), None);
        let half = &long[..5000];
        assert_refuses(&guard, &proxied(&[("x-forwarded-for", half), ("x-forwarded-host", half)]), Some(431));
        assert_refuses(&guard, &proxied(&[("x-forwarded-for", half), ("forwarded", half)]), None);
        assert_refuses(&guard, &proxied(&lines(16)), None);
        assert_refuses(&guard, &proxied(&lines(17)), Some(431));
        assert_refuses(&guard.limits(8192, 17).unwrap(), &proxied(&lines(17)), None);
        assert_refuses(&Guard::new(), &judged(Some("203.0.113.9"), "/", &lines(100)), None);
        assert!(Guard::new().limits(0, 16).is_err() && Guard::new().limits(8192, 0).is_err());
    }

    #[test]
    fn lists_that_cannot_mean_what_they_say_do_not_build() {
        let refused = |hosts: &[&str]| Guard::new().allow_hosts(hosts).unwrap_err().to_string();
        assert!(refused(&[".good..example"]).contains("good..example"));
        assert!(refused(&["good.example:80"]).contains("good.example:80"));
        assert!(refused(&["*"]).contains('*'));
        assert!(refused(&["*.[::1]"]).contains("nothing is below"));
        assert!(Guard::new().allow_hosts(["my_app"]).is_ok());
        assert!(refused(&[]).contains("every request"));
    }

    #[test]
    fn t125_the_answer_repeats_nothing_and_is_never_cached() {
        let guard = Guard::new().allow_hosts(["good.example"]).unwrap();
        let refusal = guard.rules.refusal(&fixed(Some("evil.example"), "203.0.113.9", "http")).unwrap();
        let response = refusal.response::<&'static [u8]>();
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert!(!refusal.text.contains("evil"));
    }
}
