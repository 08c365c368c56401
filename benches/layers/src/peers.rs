//! The crates of others, each configured as its documentation says for proxies in [`TRUSTED`], and so that it gives
//! the right address wherever it can.
//!
//! | crate | configured | its trust | as a layer |
//! | --- | --- | --- | --- |
//! | client-ip | the rightmost entry of the header in use | whoever connects | ours |
//! | axum-client-ip | the same, its extractor | whoever connects | ours, which extracts |
//! | real-ip | the networks | the networks; prefers `Forwarded` to `X-Forwarded-For` to `X-Real-IP` | ours |
//! | trusted-proxies | the networks, and the header in use | the networks | ours |
//! | tower-real-ip | the networks | the networks; knows `X-Forwarded-For` only | its own |
//! | rama | `GetForwardedHeaderLayer` for the header in use | whoever connects; the leftmost entry | its own, on its own requests |
//! | tower_governor | `SmartIpKeyExtractor`, without the limiter | whoever connects; the leftmost entry | ours |
//! | actix-web | `ConnectionInfo`, asked anew each time | whoever connects; the leftmost entry | none: its requests are not those of `http` |
//! | forwarded-header-value | a parser; the walk over its stanzas is ours | the networks | ours |
//! | rfc7239 | a parser; the walk over its nodes is ours | the networks; knows `Forwarded` only | ours |
//!
//! *Ours* is [`Reader`], the cheapest layer that tells a service behind it: it changes `ConnectInfo` in its place. No
//! peer removes a header, and none but tower-real-ip and rama keep anything for later. So that the same job is
//! compared, too, each stands a second time with [`Remover`] behind it, which removes what these inputs have. A parser's
//! walk stops at the first entry that no proxy wrote, as a careful user would write it.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use actix_web::HttpMessage as _;
use axum::extract::{ConnectInfo, FromRequestParts};
use forwarded_header_value::{ForwardedHeaderValue, ForwardedStanza};
use ipnet::IpNet;
use rama_core::extensions::ExtensionsRef as _;
use rfc7239::NodeName;
use tower_governor::key_extractor::{KeyExtractor as _, SmartIpKeyExtractor};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::floor::{self, Bare, Leaf};
use crate::inputs::TRUSTED;
use crate::limit::remove_forwarded;
use crate::{Answer, Call, Case, Input, Kind, Request};

/// The floor of functions: who is connected is all that they need besides the headers.
pub const FUNCTION_FLOOR: &str = "function-floor";

/// The floor of tower-real-ip, whose service answers with an `http::Response`.
pub const RESPONSE_FLOOR: &str = "response-floor";

/// The floor of rama, which has requests and services of its own.
pub const RAMA_FLOOR: &str = "rama-floor";

/// All cases of others on `input`, their floors first.
///
/// # Panics
///
/// Where a configuration does not build: a mistake in this file.
pub fn cases(input: &'static Input) -> Vec<Case> {
    let forwarded = input.has("forwarded");
    let mut cases = Cases { input, made: Vec::new() };
    cases.add(Kind::Floor, FUNCTION_FLOOR, None, Box::new(peer));
    cases.add(Kind::Floor, RESPONSE_FLOOR, None, around_response(Bare(ResponseLeaf)));
    cases.add(Kind::Floor, RAMA_FLOOR, None, rama_floor(input));
    if forwarded {
        cases.both(["client-ip-function", "client-ip"], |request: &Request| {
            client_ip::rightmost_forwarded(request.headers()).ok()
        });
        let read = |it: axum_client_ip::RightmostForwarded| it.0;
        cases.layer("axum-client-ip", Extractor(read, Leaf), Extractor(read, Remover(Leaf)));
    } else {
        cases.both(["client-ip-function", "client-ip"], |request: &Request| {
            client_ip::rightmost_x_forwarded_for(request.headers()).ok()
        });
        let read = |it: axum_client_ip::RightmostXForwardedFor| it.0;
        cases.layer("axum-client-ip", Extractor(read, Leaf), Extractor(read, Remover(Leaf)));
    }
    cases.both(["real-ip-function", "real-ip"], |request: &Request| {
        real_ip::real_ip(request.headers(), peer(request)?, trusted())
    });
    cases.both(["trusted-proxies-function", "trusted-proxies"], trusted_proxies(input));
    let layer = tower_real_ip::RealIpLayer::new(
        tower_real_ip::TrustedProxyConfig::parse_str(&TRUSTED.join(";")).expect("networks"),
    );
    let call = around_response(layer.layer(ResponseLeaf));
    cases.add(Kind::Peer, "tower-real-ip", Some(RESPONSE_FLOOR), call);
    let call = around_response(layer.layer(Remover(ResponseLeaf)));
    cases.add(Kind::Removing, "tower-real-ip-removing", Some(RESPONSE_FLOOR), call);
    cases.add(Kind::Peer, "rama", Some(RAMA_FLOOR), rama(input, false));
    cases.add(Kind::Removing, "rama-removing", Some(RAMA_FLOOR), rama(input, true));
    cases.both(["tower_governor-function", "tower_governor"], |request: &Request| {
        SmartIpKeyExtractor.extract(request).ok()
    });
    cases.add(Kind::Function, "actix-web-function", Some(FUNCTION_FLOOR), actix_web(input));
    if forwarded {
        let names = ["forwarded-header-value-function", "forwarded-header-value"];
        cases.both(names, |request: &Request| {
            stanzas(request, "forwarded", ForwardedHeaderValue::from_forwarded)
        });
    } else {
        let names = ["forwarded-header-value-function", "forwarded-header-value"];
        cases.both(names, |request: &Request| {
            stanzas(request, "x-forwarded-for", ForwardedHeaderValue::from_x_forwarded_for)
        });
    }
    if forwarded || !input.has("x-forwarded-for") {
        cases.both(["rfc7239-function", "rfc7239"], nodes);
    }
    cases.made
}

/// The cases that were made so far.
struct Cases {
    input: &'static Input,
    made: Vec<Case>,
}

impl Cases {
    fn add(&mut self, kind: Kind, name: &'static str, floor: Option<&'static str>, call: Call) {
        self.made.push(Case { name, kind, input: self.input, floor, call });
    }

    /// A layer, and the same where the headers are removed.
    fn layer<S, R>(&mut self, name: &'static str, service: S, removing: R)
    where
        S: Service<Request, Response = Answer, Error = Infallible> + Send + 'static,
        R: Service<Request, Response = Answer, Error = Infallible> + Send + 'static,
    {
        self.add(Kind::Peer, name, Some(floor::NAME), floor::around(service));
        let name = format!("{name}-removing").leak();
        self.add(Kind::Removing, name, Some(floor::NAME), floor::around(removing));
    }

    /// A function, and our layer around it.
    fn both(
        &mut self,
        [function, layer]: [&'static str; 2],
        read: impl Fn(&Request) -> Answer + Copy + Send + 'static,
    ) {
        self.add(Kind::Function, function, Some(FUNCTION_FLOOR), Box::new(read));
        self.layer(layer, Reader(read, Leaf), Reader(read, Remover(Leaf)));
    }
}

/// The networks, as their crates take them.
fn trusted() -> &'static [IpNet; 2] {
    static NETWORKS: LazyLock<[IpNet; 2]> =
        LazyLock::new(|| TRUSTED.map(|text| text.parse().expect("a network")));
    &NETWORKS
}

fn trusts(ip: IpAddr) -> bool {
    trusted().iter().any(|network| network.contains(&ip))
}

fn peer(request: &Request) -> Answer {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

/// What somebody has to write around a function: it changes `ConnectInfo` to what the function says, and removes it
/// where that is nobody.
#[derive(Clone, Copy, Debug)]
pub struct Reader<F, S>(pub F, pub S);

impl<F: Fn(&Request) -> Answer, S: Service<Request>> Service<Request> for Reader<F, S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        let answer = (self.0)(&request);
        tell(request.extensions_mut(), answer);
        self.1.call(request)
    }
}

/// What removes the headers that a crate has read, or passed over.
#[derive(Clone, Copy, Debug)]
pub struct Remover<S>(pub S);

impl<S: Service<Request>> Service<Request> for Remover<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        remove_forwarded(request.headers_mut());
        self.0.call(request)
    }
}

/// The same around an extractor of axum.
#[derive(Clone, Copy, Debug)]
pub struct Extractor<T, S>(pub fn(T) -> IpAddr, pub S);

impl<T: FromRequestParts<()>, S: Service<Request>> Service<Request> for Extractor<T, S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        let (mut parts, ()) = request.into_parts();
        let answer = at_once(T::from_request_parts(&mut parts, &())).ok().map(self.0);
        tell(&mut parts.extensions, answer);
        self.1.call(Request::from_parts(parts, ()))
    }
}

fn tell(extensions: &mut http::Extensions, answer: Answer) {
    match answer {
        Some(ip) => {
            if let Some(info) = extensions.get_mut::<ConnectInfo<SocketAddr>>() {
                info.0 = SocketAddr::new(ip, 0);
            }
        }
        None => {
            extensions.remove::<ConnectInfo<SocketAddr>>();
        }
    }
}

/// What a future gives that waits for nothing.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

fn trusted_proxies(input: &Input) -> impl Fn(&Request) -> Answer + Copy + Send + use<> {
    let mut config = trusted_proxies::Config::new();
    for network in TRUSTED {
        config.add_trusted_ip(network).expect("a network");
    }
    if input.has("forwarded") {
        config.trust_forwarded();
    } else {
        config.trust_x_forwarded_for();
    }
    if input.has("x-forwarded-host") {
        config.trust_x_forwarded_host();
        config.trust_x_forwarded_proto();
    }
    // Kept as long as the program, as the configuration of a server is.
    let config: &'static trusted_proxies::Config = Box::leak(Box::new(config));
    move |request| Some(trusted_proxies::Trusted::from(peer(request)?, request, config).ip())
}

// Parsers, and the walk that their users write.

/// The walk: from the peer, over the entries from the right, to the first that is not trusted.
fn walk(request: &Request, entries: impl Iterator<Item = Answer>) -> Answer {
    let mut last = peer(request)?;
    if trusts(last) {
        for entry in entries {
            last = entry?;
            if !trusts(last) {
                break;
            }
        }
    }
    Some(last)
}

fn stanzas<E>(
    request: &Request,
    name: &str,
    parse: impl Fn(&str) -> Result<ForwardedHeaderValue, E> + Copy,
) -> Answer {
    // The lines from the right, each parsed whole, as the crate does it; a line that does not parse ends the walk.
    let lines = request.headers().get_all(name).iter().rev();
    let lines = lines.map(|line| line.to_str().ok().and_then(|text| parse(text).ok()));
    walk(
        request,
        lines.flat_map(|line| {
            let entries: Vec<Answer> = match &line {
                Some(value) => value.iter().rev().map(ForwardedStanza::forwarded_for_ip).collect(),
                None => vec![None],
            };
            entries
        }),
    )
}

fn nodes(request: &Request) -> Answer {
    let lines = request.headers().get_all("forwarded").iter().rev();
    let elements = lines.flat_map(|line| rfc7239::parse(line.to_str().unwrap_or("?")).rev());
    walk(
        request,
        elements.map(|element| match element.ok()?.forwarded_for?.name {
            NodeName::Ip(ip) => Some(ip),
            _ => None,
        }),
    )
}

// tower-real-ip answers with a response.

/// [`Leaf`] for a layer that insists on `http::Response`, and tells in an extension of its own.
#[derive(Clone, Copy, Debug)]
struct ResponseLeaf;

thread_local! {
    static TOLD: Cell<Answer> = const { Cell::new(None) };
}

impl Service<Request> for ResponseLeaf {
    type Response = http::Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<http::Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let request = black_box(request);
        let told = request.extensions().get::<tower_real_ip::RealIp>().map(|it| it.0);
        TOLD.set(told.or_else(|| peer(&request)));
        ready(Ok(http::Response::new(())))
    }
}

fn around_response<S>(mut service: S) -> Call
where
    S: Service<Request, Response = http::Response<()>, Error = Infallible> + Send + 'static,
{
    Box::new(move |request| {
        let Ok(response) = at_once(service.call(request.clone()));
        drop(black_box(response));
        TOLD.get()
    })
}

// rama has requests of its own.

fn rama_request(input: &Input) -> rama_http::Request<()> {
    let mut request = rama_http::Request::new(());
    *request.headers_mut() = input.request().headers().clone();
    *request.uri_mut() = input.target.parse().expect("a target");
    request
}

/// The leaf: where no header named anybody, it is the peer.
fn rama_leaf(
    peer: IpAddr,
    removing: bool,
) -> impl rama_core::Service<rama_http::Request<()>, Output = Answer, Error = Infallible> {
    rama_core::service::service_fn(move |request: rama_http::Request<()>| {
        let mut request = black_box(request);
        if removing {
            remove_forwarded(request.headers_mut());
        }
        let forwarded = request.extensions().get::<rama_net::forwarded::Forwarded>();
        ready(Ok(forwarded.map_or(Some(peer), rama_net::forwarded::Forwarded::client_ip)))
    })
}

fn rama_around<S>(input: &'static Input, service: S) -> Call
where
    S: rama_core::Service<rama_http::Request<()>, Output = Answer, Error = Infallible>,
{
    let request = rama_request(input);
    Box::new(move |_| {
        let Ok(answer) = at_once(service.serve(black_box(&request).clone()));
        answer
    })
}

fn rama_floor(input: &'static Input) -> Call {
    rama_around(input, rama_leaf(input.peer.ip(), false))
}

fn rama(input: &'static Input, removing: bool) -> Call {
    use rama_core::Layer as _;
    use rama_http::layer::forwarded::GetForwardedHeaderLayer;

    let leaf = rama_leaf(input.peer.ip(), removing);
    if input.has("forwarded") {
        rama_around(input, GetForwardedHeaderLayer::forwarded().into_layer(leaf))
    } else {
        rama_around(input, GetForwardedHeaderLayer::x_forwarded_for().into_layer(leaf))
    }
}

// actix-web has requests of its own, which do not leave their thread.

fn actix_web(input: &'static Input) -> Call {
    let mut request = actix_web::test::TestRequest::with_uri(input.target).peer_addr(input.peer);
    for (name, value) in &input.headers {
        request = request.append_header((*name, value.as_str()));
    }
    let request = request.to_http_request();
    Box::new(move |_| {
        let answer = black_box(&request).connection_info().realip_remote_addr()?.parse().ok();
        // It is kept for the next who asks; this asks anew.
        request.extensions_mut().remove::<actix_web::dev::ConnectionInfo>();
        answer
    })
}
