//! axum: the peer comes in through `ConnectInfo`, the client goes out through it.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use proxyfix::{Guard, LighttpdCgiRootFix, Mount, Peer, Proof, ProxyFix, TrustedProxies};
use proxyfix_axum::{AbsoluteUrl, ClientIp, ConnectedPeer, Rejection, Wrapped, wrap};
use tower::{Layer, ServiceExt};

fn trusted() -> TrustedProxies {
    "10.0.0.0/8".parse().unwrap()
}

fn proxy_fix() -> ProxyFix {
    ProxyFix::builder(trusted()).host().prefix().build().unwrap()
}

/// One route for each extractor.
fn router() -> Router {
    Router::new()
        .route("/connect-info", get(|ConnectInfo(it): ConnectInfo<SocketAddr>| async move { it.to_string() }))
        .route("/client", get(|ClientIp(ip): ClientIp| async move { ip.to_string() }))
        .route("/maybe", get(|ip: Option<ClientIp>| async move { format!("{:?}", ip.map(|it| it.0)) }))
        .route("/host", get(|host: proxyfix_axum::Host| async move { host.0.to_string() }))
        .route("/scheme", get(|scheme: proxyfix_axum::Scheme| async move { scheme.0.to_string() }))
        .route("/mount", get(|mount: proxyfix_axum::Mount| async move { mount.0.to_string() }))
        .route("/url", get(|url: AbsoluteUrl| async move { url.of("/login?next=%2F") }))
        .route("/origin", get(|origin: proxyfix_axum::Origin| async move { origin.0.ending().to_string() }))
}

/// What the route answers to `peer` with these headers.
async fn ask(peer: Option<&str>, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(wrap(router(), proxy_fix()), peer, request.body(Body::empty()).unwrap()).await
}

async fn answer(app: Wrapped<ProxyFix>, peer: Option<&str>, request: Request<Body>) -> (StatusCode, String) {
    let response = match peer {
        Some(peer) => MockConnectInfo(peer.parse::<SocketAddr>().unwrap()).layer(app).oneshot(request).await,
        None => app.oneshot(request).await,
    };
    let response = response.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[track_caller]
fn assert_answer((found, answer): (StatusCode, String), status: u16, body: &str) {
    assert_eq!((found.as_u16(), answer.as_str()), (status, body));
}

const PROXY: Option<&str> = Some("10.0.0.2:40000");
const CHAIN: (&str, &str) = ("x-forwarded-for", "203.0.113.9:51515");
const JUNK: (&str, &str) = ("x-forwarded-for", "203.0.113.9, junk");

#[tokio::test]
async fn connect_info_becomes_the_client() {
    assert_answer(ask(PROXY, "/connect-info", &[CHAIN]).await, 200, "203.0.113.9:51515");
    assert_answer(
        ask(PROXY, "/connect-info", &[("x-forwarded-for", "2001:db8::9")]).await,
        200,
        "[2001:db8::9]:0",
    );
}

#[tokio::test]
async fn connect_info_stays_where_the_client_is_the_peer() {
    assert_answer(ask(Some("203.0.113.9:1"), "/connect-info", &[CHAIN]).await, 200, "203.0.113.9:1");
    assert_answer(ask(PROXY, "/connect-info", &[]).await, 200, "10.0.0.2:40000");
    // A dual-stack listener says the same address otherwise; it is one address (L8).
    let mapped = Some("[::ffff:203.0.113.9]:1");
    assert_answer(ask(mapped, "/connect-info", &[]).await, 200, "203.0.113.9:1");
}

#[tokio::test]
async fn connect_info_is_withheld_where_nobody_knows_the_client() {
    let (status, body) = ask(PROXY, "/connect-info", &[JUNK]).await;
    assert!(!status.is_success() && !body.contains("10.0.0.2"), "{body}");
}

/// A listed proxy without its proof may forward for anybody: it is not the client, nor a wiring error.
#[tokio::test]
async fn an_unproven_proxy_is_no_client() {
    let fix = ProxyFix::builder(trusted()).and_proof(Proof::from_fn(|_, _| false)).build().unwrap();
    for (path, status) in [("/client", 400), ("/connect-info", 500)] {
        let request = Request::get(path).header(CHAIN.0, CHAIN.1).body(Body::empty()).unwrap();
        let (found, body) = answer(wrap(router(), fix.clone()), PROXY, request).await;
        assert_eq!(found.as_u16(), status, "{path}: {body}");
    }
}

#[tokio::test]
async fn an_unknown_client_is_no_server_error() {
    let (status, body) = ask(PROXY, "/client", &[JUNK]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body, "the proxies in front do not say who the client is");
    assert_answer(ask(PROXY, "/maybe", &[JUNK]).await, 200, "None");
    assert_answer(ask(PROXY, "/maybe", &[CHAIN]).await, 200, "Some(203.0.113.9)");
    assert_answer(ask(PROXY, "/origin", &[JUNK]).await, 200, "malformed");
}

#[tokio::test]
async fn wiring_errors_are_server_errors() {
    assert_eq!(ask(None, "/client", &[CHAIN]).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ask(None, "/maybe", &[CHAIN]).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    let request = Request::get("/client").body(Body::empty()).unwrap();
    let response = router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(Rejection::NoPeer.to_string().contains("into_make_service_with_connect_info"));
}

#[tokio::test]
async fn extractors_tell_the_url_that_the_client_used() {
    let headers = [
        ("host", "app.internal:8080"),
        CHAIN,
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "good.example:8443"),
        ("x-forwarded-prefix", "/app"),
    ];
    assert_answer(ask(PROXY, "/url", &headers).await, 200, "https://good.example:8443/app/login?next=%2F");
    assert_answer(ask(PROXY, "/host", &headers).await, 200, "good.example");
    assert_answer(ask(PROXY, "/scheme", &headers).await, 200, "https");
    assert_answer(ask(PROXY, "/mount", &headers).await, 200, "/app");
    // From a stranger, all as received.
    let stranger = Some("198.51.100.7:1");
    assert_answer(ask(stranger, "/url", &headers).await, 200, "http://app.internal:8080/login?next=%2F");
    assert_answer(ask(stranger, "/mount", &headers).await, 200, "");
}

#[tokio::test]
async fn a_request_without_a_host_is_refused_by_what_needs_one() {
    assert_answer(ask(PROXY, "/url", &[]).await, 400, "the request states no well-formed host");
    assert_answer(
        ask(PROXY, "/host", &[("host", "a@b")]).await,
        400,
        "the request states no well-formed host",
    );
    assert_answer(ask(PROXY, "/scheme", &[]).await, 200, "http");
}

#[tokio::test]
async fn rewriting_happens_before_routing() {
    let app = Router::new().route(
        "/users/{id}",
        get(|axum::extract::Path(id): axum::extract::Path<u32>| async move { id.to_string() }),
    );
    let app = wrap(app, (proxy_fix(), LighttpdCgiRootFix::new()));
    // A gateway behind lighttpd splits /users/7 into /users and /7.
    let request = Request::get("/7")
        .extension("/users".parse::<Mount>().unwrap())
        .extension("203.0.113.9:1".parse::<Peer>().unwrap());
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let body = to_bytes(response.into_body(), 100).await.unwrap();
    assert_eq!(body, "7");
}

#[tokio::test]
async fn twice_is_once_although_connect_info_has_changed() {
    let app = wrap(router(), (proxy_fix(), proxy_fix()));
    let once_more = proxyfix::Fixed::new(proxyfix_axum::ConnectInfoFix(proxy_fix()), app);
    let app = MockConnectInfo("10.0.0.2:40000".parse::<SocketAddr>().unwrap()).layer(once_more);
    // 10.44.0.9 is trusted, too: as a peer it would be believed about the client.
    let request = Request::get("/connect-info").header("x-forwarded-for", "198.51.100.7, 10.44.0.9");
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let body = to_bytes(response.into_body(), 100).await.unwrap();
    assert_eq!(body, "198.51.100.7:0");
}

#[tokio::test]
async fn the_request_can_be_restored_with_its_connect_info() {
    // What a dual-stack listener says, before it is folded.
    let peer: SocketAddr = "[::ffff:10.0.0.2]:40000".parse().unwrap();
    for chain in [CHAIN, JUNK] {
        let headers = [("host", "App.internal:80"), chain, ("x-forwarded-prefix", "/app")];
        let restored = |request: Request<Body>| async move {
            let (mut parts, _) = request.into_parts();
            assert!(proxyfix::restore(&mut parts));
            let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>().unwrap();
            let mount = parts.extensions.get::<Mount>().is_some();
            format!("{peer} {:?} {mount}", parts.headers.iter().collect::<Vec<_>>())
        };
        let fix = ProxyFix::builder(trusted()).host().prefix().keep_original().build().unwrap();
        let app = wrap(Router::new().fallback(restored), fix);
        let mut request = Request::get("/").extension(ConnectInfo(peer));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::empty()).unwrap();
        let expected = format!("{peer} {:?} false", request.headers().iter().collect::<Vec<_>>());
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(to_bytes(response.into_body(), 10_000).await.unwrap(), expected);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_listener_has_a_local_peer() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let folder = tempfile::tempdir().unwrap();
    for (name, trust, expected) in
        [("a", "unix", "203.0.113.9:51515"), ("b", "", "Missing request extension")]
    {
        let path = folder.path().join(name);
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let app = wrap(router(), ProxyFix::new(trust.parse::<TrustedProxies>().unwrap()));
        let server = tokio::spawn(async move {
            axum::serve(listener, app.into_make_service_with_connect_info::<ConnectedPeer>()).await
        });
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        let request = "GET /connect-info HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9:51515\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(expected), "{answer}");
        server.abort();
    }
}

#[tokio::test]
async fn a_configured_stack_goes_around_the_router_and_its_guard_inside() {
    let config = "trust = '10.0.0.0/8'\nfields = ['for', 'host']\nguard.allow_hosts = ['good.example']";
    let stack = proxyfix::Config::from_toml(config).unwrap().build().unwrap();
    for (host, status) in [("good.example", 200), ("evil.example", 421)] {
        let app = wrap(router().layer(stack.guard().clone()), stack.clone());
        let app = MockConnectInfo("10.0.0.2:40000".parse::<SocketAddr>().unwrap()).layer(app);
        let request = Request::get("/client").header(CHAIN.0, CHAIN.1).header("x-forwarded-host", host);
        let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
}

#[tokio::test]
async fn a_guard_inside_the_router_answers_before_the_handlers() {
    let guard = Guard::new().reject_incomplete().allow_hosts(["good.example"]).unwrap();
    let ask = |host: &'static str, chain: &'static str| {
        let app = wrap(router().layer(guard.clone()), proxy_fix());
        let app = MockConnectInfo("10.0.0.2:1".parse::<SocketAddr>().unwrap()).layer(app);
        let request = Request::get("/client").header("host", host).header("x-forwarded-for", chain);
        async move {
            let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            (response.status(), to_bytes(response.into_body(), 1000).await.unwrap())
        }
    };
    assert_eq!(ask("good.example", "203.0.113.9").await, (StatusCode::OK, "203.0.113.9".into()));
    assert_eq!(ask("good.example", "junk").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(ask("evil.example", "203.0.113.9").await.0, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn t126_a_refused_request_does_not_keep_what_the_service_had_reserved() {
    use tower::limit::ConcurrencyLimitLayer;
    use tower::{Service, ServiceBuilder};

    let service = ServiceBuilder::new()
        .layer(proxyfix::layer(proxy_fix()))
        .layer(Guard::new().allow_hosts(["good.example"]).unwrap())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(router());
    let request = |host: &str| Request::get("/scheme").header("host", host).body(Body::empty()).unwrap();
    // The first clone is refused, and kept: were its one permit kept with it, the second would wait.
    let (mut first, mut second) = (service.clone(), service);
    let ready = ServiceExt::<Request<Body>>::ready(&mut first).await.unwrap();
    let refused = ready.call(request("evil.example")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::MISDIRECTED_REQUEST);
    let poll = std::future::poll_fn(|cx| {
        std::task::Poll::Ready(Service::<Request<Body>>::poll_ready(&mut second, cx))
    });
    assert!(poll.await.is_ready(), "the permit is free");
    drop(first);
}

/// A request as a gateway makes it: a peer in the extensions, a mount, a body that is not axum's.
fn from_a_gateway(remote_addr: &str, script_name: &str, path_info: &str) -> Request<proxyfix_cgi::Body> {
    let variables = [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", script_name),
        ("PATH_INFO", path_info),
        ("REMOTE_ADDR", remote_addr),
        ("REMOTE_PORT", "51515"),
    ];
    let parts = proxyfix_cgi::Gateway::new().request(variables.into_iter().collect()).unwrap();
    Request::from_parts(parts, proxyfix_cgi::Body::empty())
}

#[tokio::test]
async fn a_wrapped_router_takes_requests_with_any_body() {
    let app = wrap(router(), LighttpdCgiRootFix::new());
    let whole = Request::get("/").body(http_body_util::Full::new(axum::body::Bytes::from("x"))).unwrap();
    assert_eq!(app.clone().oneshot(whole).await.unwrap().status(), 404);
    let response = app.oneshot(from_a_gateway("203.0.113.9", "/connect-info", "")).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn behind_a_gateway_connect_info_is_who_is_connected_to_the_web_server() {
    let app = wrap(router(), LighttpdCgiRootFix::new());
    for (remote_addr, status, body) in [
        ("203.0.113.9", 200, "203.0.113.9:51515"),
        ("::1", 200, "[::1]:51515"),
        ("unix:", 500, ""),
        ("", 500, ""),
    ] {
        let request = from_a_gateway(remote_addr, "/connect-info", "");
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{remote_addr}");
        let found = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        assert!(status != 200 || found == body, "{remote_addr}: {found:?}");
    }
}

#[tokio::test]
async fn connect_info_that_is_there_is_not_replaced_by_the_peer() {
    let app = wrap(router(), LighttpdCgiRootFix::new());
    let mut request = from_a_gateway("203.0.113.9", "/connect-info", "");
    request.extensions_mut().insert(ConnectInfo("192.0.2.1:1".parse::<SocketAddr>().unwrap()));
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(to_bytes(response.into_body(), 1 << 16).await.unwrap(), "192.0.2.1:1");

    let app = MockConnectInfo("192.0.2.2:2".parse::<SocketAddr>().unwrap()).layer(app);
    let response = app.oneshot(from_a_gateway("203.0.113.9", "/connect-info", "")).await.unwrap();
    assert_eq!(to_bytes(response.into_body(), 1 << 16).await.unwrap(), "192.0.2.2:2");
}

#[tokio::test]
async fn t151_behind_a_gateway_the_fix_judges_who_is_connected_to_the_web_server() {
    let app = wrap(router(), (LighttpdCgiRootFix::new(), proxy_fix()));
    for (remote_addr, expected) in [("10.0.0.2", "203.0.113.9:51515"), ("192.0.2.1", "192.0.2.1:51515")] {
        let mut request = from_a_gateway(remote_addr, "/connect-info", "");
        request.headers_mut().insert("x-forwarded-for", "203.0.113.9:51515".parse().unwrap());
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(to_bytes(response.into_body(), 1 << 16).await.unwrap(), expected);
    }
}
