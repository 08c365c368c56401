//! The attributes of a request's span.

use std::convert::Infallible;

use http::{Request, Response};
use proxyfix::{Peer, ProxyFix, TrustedProxies};
use proxyfix_tests::log::logged_at;
use tokio::runtime;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_http::trace::TraceLayer;
use tracing::Level;

/// What is logged in the span of a request of `peer`.
fn spanned(peer: Peer, headers: &[(&str, &str)]) -> String {
    let mut request = Request::get("/").extension(peer);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(String::new()).unwrap();
    let trusted = "10.0.0.0/16, unix".parse::<TrustedProxies>().unwrap();
    let service = ServiceBuilder::new()
        .layer(ProxyFix::builder(trusted).host().build().unwrap())
        .layer(TraceLayer::new_for_http().make_span_with(proxyfix::span))
        .service(service_fn(|_: Request<String>| async {
            tracing::info!("here");
            Ok::<_, Infallible>(Response::new(String::new()))
        }));
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let text = logged_at(Level::INFO, || drop(runtime.block_on(service.oneshot(request)).unwrap()));
    text.lines().find(|line| line.ends_with("here")).unwrap().to_owned()
}

#[test]
fn the_span_of_a_request_has_the_attributes_of_its_origin() {
    let proxy: Peer = "10.0.0.2:40000".parse().unwrap();
    let headers = [("x-forwarded-for", "203.0.113.9:4711"), ("x-forwarded-host", "[2001:DB8::9]:8443")];
    let headers = [headers[0], headers[1], ("x-forwarded-proto", "https")];
    let span = "request{client.address=203.0.113.9 client.port=4711 network.peer.address=10.0.0.2 \
                network.peer.port=40000 server.address=\"2001:db8::9\" server.port=8443 url.scheme=\"https\"}";
    assert!(spanned(proxy, &headers).contains(span), "{}", spanned(proxy, &headers));
}

#[test]
fn what_is_not_known_stays_out_of_the_span() {
    let found = spanned(Peer::local(), &[("x-forwarded-for", "evil"), ("host", "u:secret@evil")]);
    assert!(found.contains("request{url.scheme=\"http\"}"), "{found}");
    assert!(!found.contains("evil"), "{found}");
    let found = spanned("203.0.113.9".parse().unwrap(), &[("host", "a.example")]);
    let span = "request{client.address=203.0.113.9 network.peer.address=203.0.113.9 \
                server.address=\"a.example\" server.port=80 url.scheme=\"http\"}";
    assert!(found.contains(span), "{found}");
}
