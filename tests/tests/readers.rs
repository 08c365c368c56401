//! The readers that people really use, unmodified: what they believe without the fix, and with it.
//!
//! Each of them reads forwarding headers for itself, somewhere inside the application. A table says
//! what it answers to the same requests in each [`Column`]: the left one is evidence (this version of
//! this crate says so), the right one is the promise. Behind the fix a reader answers the truth or
//! refuses; no header is left from which it could answer something else.
//!
//! The deployment is that of `threats.rs`: `10.0.0.0/8` is trusted, `10.0.0.2` is connected to us, the
//! client is `203.0.113.9` and would like to be `127.0.0.1`, the host is `good.example`.
//!
//! To add a column, add a variant to [`Column`], say in [`Column::answer`] how a request reaches the
//! router, and give each row one more answer. To add a reader, add a table.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use axum_client_ip::ClientIpSource;
use proxyfix::{Canonical, IpNet, ProxyFix, ProxyFixBuilder, TrustedProxies};
use proxyfix_axum::wrap;
use proxyfix_tests::log::logged_during;
use tower::ServiceExt;
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::{KeyExtractor, PeerIpKeyExtractor, SmartIpKeyExtractor};
use tower_http::trace::{DefaultMakeSpan, DefaultOnRequest, TraceLayer};
use tracing::Level;

// The requests.

/// What a client did, how it reached us, and what a reader may say of it.
#[derive(Clone, Copy)]
struct Ask {
    name: &'static str,
    peer: &'static str,
    headers: &'static [(&'static str, &'static str)],
    client: Option<&'static str>,
    host: &'static str,
    scheme: &'static str,
}

/// A stranger reaches the service itself, and forges all there is.
const STRANGER: Ask = Ask {
    name: "stranger",
    peer: "203.0.113.9:51515",
    headers: &[
        ("Host", "good.example"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=127.0.0.1;proto=https;host=evil.example"),
        ("X-Real-IP", "127.0.0.1"),
        ("X_Real_IP", "127.0.0.1"),
        ("CF-Connecting-IP", "127.0.0.1"),
        ("True-Client-IP", "127.0.0.1"),
        ("X-Envoy-External-Address", "127.0.0.1"),
        ("Fly-Client-IP", "127.0.0.1"),
        ("CloudFront-Viewer-Address", "127.0.0.1:51515"),
    ],
    client: Some("203.0.113.9"),
    host: "good.example",
    scheme: "http",
};

/// A proxy that appends to the chain, sets scheme and host, and passes on the rest as the client
/// wrote it.
const PROXY: Ask = Ask {
    name: "proxy",
    peer: "10.0.0.2:40000",
    headers: &[
        ("Host", "app.internal:8080"),
        ("X-Forwarded-For", "127.0.0.1, 203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "good.example"),
        ("Forwarded", "for=127.0.0.1;proto=http;host=evil.example"),
        ("X-Real-IP", "127.0.0.1"),
        ("CF-Connecting-IP", "127.0.0.1"),
        ("True-Client-IP", "127.0.0.1"),
        ("X-Envoy-External-Address", "127.0.0.1"),
        ("Fly-Client-IP", "127.0.0.1"),
        ("CloudFront-Viewer-Address", "127.0.0.1:51515"),
    ],
    client: Some("203.0.113.9"),
    host: "good.example",
    scheme: "https",
};

/// Two proxies that append to all three headers; the client's own entries stand in front, in a line
/// of their own as in the same line.
const CHAIN: Ask = Ask {
    name: "chain",
    peer: "10.0.0.2:40000",
    headers: &[
        ("Host", "app.internal:8080"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-For", "203.0.113.9, 10.0.0.7"),
        ("X-Forwarded-Proto", "ftp, https, http"),
        ("X-Forwarded-Host", "evil.example, good.example, balancer.internal"),
    ],
    client: Some("203.0.113.9"),
    host: "good.example",
    scheme: "https",
};

/// The proxy would not say who was connected to it. The forgery stands beside that.
const UNREADABLE: Ask = Ask {
    name: "unreadable",
    peer: "10.0.0.2:40000",
    headers: &[("Host", "good.example"), ("X-Forwarded-For", "127.0.0.1, unknown")],
    client: None,
    host: "good.example",
    scheme: "http",
};

/// The proxy knows its headers under one spelling only, and passes on nominations (T111, T112, T114).
const ALIASES: Ask = Ask {
    name: "aliases",
    peer: "10.0.0.2:40000",
    headers: &[
        ("Host", "good.example"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X_Forwarded_For", "127.0.0.1"),
        ("X-Forwarded_Proto", "https"),
        ("X_Forwarded_Host", "evil.example"),
        ("X_Real_IP", "127.0.0.1"),
        ("Connection", "close, X-Forwarded-For"),
        ("Connection", ",x-real-ip, X-FORWARDED-PROTO ,"),
    ],
    client: Some("203.0.113.9"),
    host: "good.example",
    scheme: "http",
};

const ASKS: [Ask; 5] = [STRANGER, PROXY, CHAIN, UNREADABLE, ALIASES];

impl Ask {
    /// The request as axum's server hands it over.
    fn request(&self) -> Request {
        let peer: SocketAddr = self.peer.parse().unwrap();
        let request = Request::get("/").extension(ConnectInfo(peer));
        let request =
            self.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).unwrap()
    }
}

// The columns.

/// What stands between the connection and the application.
#[derive(Clone, Copy, Debug)]
enum Column {
    /// Nothing.
    Bare,
    /// [`fix`].
    Fixed,
    /// The same, which writes the verified headers anew.
    Canonical,
}

const COLUMNS: [Column; 3] = [Column::Bare, Column::Fixed, Column::Canonical];

/// What is put around an application whose proxy sets client, scheme and host.
fn fix() -> ProxyFixBuilder {
    ProxyFix::builder("10.0.0.0/8".parse::<TrustedProxies>().unwrap()).host()
}

impl Column {
    async fn answer(self, application: Router, request: Request) -> Response {
        let answer = match self {
            Self::Bare => application.oneshot(request).await,
            Self::Fixed => wrap(application, fix().build().unwrap()).oneshot(request).await,
            Self::Canonical => {
                let fix = fix().write(Canonical::XForwarded).build().unwrap();
                wrap(application, fix).oneshot(request).await
            }
        };
        answer.unwrap()
    }
}

// The tables.

/// The reader has no answer: any status but success.
const REFUSED: &str = "(refused)";

/// What `tower-real-ip` answers where nobody is connected: as good as a refusal.
const UNSPECIFIED: &str = "0.0.0.0";

/// What a reader answers: a row for each of [`ASKS`], with an answer for each of [`COLUMNS`].
type Table = [[&'static str; COLUMNS.len()]; ASKS.len()];

/// What a reader is about.
#[derive(Clone, Copy, Debug)]
enum About {
    Client,
    Host,
    Scheme,
}

impl About {
    fn truth(self, ask: &Ask) -> Option<&'static str> {
        match self {
            Self::Client => ask.client,
            Self::Host => Some(ask.host),
            Self::Scheme => Some(ask.scheme),
        }
    }
}

/// Asserts that `reader`, an application that answers with what it believes, answers as `table` says,
/// that it is wrong somewhere in the first column, and nowhere in any other.
async fn assert_table(reader: Router, about: About, table: Table) {
    let mut fooled = false;
    for (ask, row) in ASKS.iter().zip(table) {
        for (column, expected) in COLUMNS.into_iter().zip(row) {
            let what = format!("{about:?}, {}, {column:?}", ask.name);
            let answer = text(column.answer(reader.clone(), ask.request()).await).await;
            assert_eq!(answer, expected, "{what}");
            let right = [Some(REFUSED), Some(UNSPECIFIED), about.truth(ask)].contains(&Some(answer.as_str()));
            match column {
                Column::Bare => fooled |= !right,
                Column::Fixed | Column::Canonical => assert!(right, "{what}: {answer}"),
            }
        }
    }
    assert!(fooled, "{about:?}: a reader that is never wrong needs no fix, and shows nothing");
}

/// What a reader answered.
async fn text(response: Response) -> String {
    if !response.status().is_success() {
        return REFUSED.to_owned();
    }
    let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// An application that answers with what `$pattern`, an extractor, holds.
macro_rules! answers {
    ($pattern:pat = $extractor:ty => $value:expr) => {
        Router::new().route("/", get(|$pattern: $extractor| async move { $value.to_string() }))
    };
}

/// The versions whose answers these are. When one changes, look at the tables again.
#[test]
fn the_readers_are_these_versions() {
    let lock = include_str!("../../Cargo.lock").replace('\r', "");
    for (name, version) in [
        ("axum-client-ip", "1.3.1"),
        ("axum-extra", "0.12.6"),
        ("real-ip", "0.1.2"),
        ("tower-http", "0.7.1"),
        ("tower-real-ip", "0.1.0"),
        ("tower_governor", "0.8.0"),
        ("trusted-proxies", "0.3.0"),
    ] {
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&entry), "{name} is not {version} any more");
    }
}

#[tokio::test]
#[expect(deprecated, reason = "these are the last versions that have them, and they are used")]
async fn t15_axum_extra_host_and_scheme() {
    use axum_extra::extract::{Host, Scheme};

    #[rustfmt::skip]
    assert_table(answers!(Host(it) = Host => it), About::Host, [
        // bare                                            fixed, canonical
        ["evil.example",                                   "good.example", "good.example"],
        ["evil.example",                                   "good.example", "good.example"],
        ["evil.example, good.example, balancer.internal",  "good.example", "good.example"],
        ["good.example",                                   "good.example", "good.example"],
        ["good.example",                                   "good.example", "good.example"],
    ]).await;

    // Without a header it has the target only, which holds a scheme in HTTP/2 or when it is absolute.
    #[rustfmt::skip]
    assert_table(answers!(Scheme(it) = Scheme => it), About::Scheme, [
        ["https",            REFUSED, "http"],
        ["http",             REFUSED, "https"],
        ["ftp, https, http", REFUSED, "https"],
        [REFUSED,            REFUSED, "http"],
        [REFUSED,            REFUSED, "http"],
    ]).await;
}

#[tokio::test]
#[expect(deprecated, reason = "these are the last versions that have them, and they are used")]
async fn t15_axum_extra_scheme_knows_the_scheme_where_the_target_says_it() {
    use axum_extra::extract::Scheme;

    let reader = answers!(Scheme(it) = Scheme => it);
    for ask in ASKS {
        // The target of HTTP/2 is absolute.
        let http2 = || {
            let mut request = ask.request();
            *request.uri_mut() = format!("http://{}/", ask.headers[0].1).parse().unwrap();
            *request.version_mut() = http::Version::HTTP_2;
            request
        };
        let answer = Column::Fixed.answer(reader.clone(), http2()).await;
        assert_eq!(text(answer).await, ask.scheme, "{}", ask.name);

        // The fix makes that of HTTP/1 so on demand.
        let absolute = ProxyFix::builder("10.0.0.0/8".parse::<TrustedProxies>().unwrap())
            .host()
            .absolute_uri()
            .build()
            .unwrap();
        let answer = wrap(reader.clone(), absolute).oneshot(ask.request()).await.unwrap();
        assert_eq!(text(answer).await, ask.scheme, "{}", ask.name);
    }
}

/// The key by which `extractor` would count the request.
fn keyed_by(extractor: impl KeyExtractor<Key = IpAddr> + Send + Sync + 'static) -> Router {
    let handler = move |request: Request| async move {
        extractor.extract(&request).map(|key| key.to_string()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    };
    Router::new().route("/", get(handler))
}

#[tokio::test]
async fn t15_tower_governor_keys() {
    #[rustfmt::skip]
    assert_table(keyed_by(SmartIpKeyExtractor), About::Client, [
        // bare        fixed, canonical
        ["127.0.0.1",  "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",  "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",  "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",  REFUSED, REFUSED],
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
    ]).await;

    // The peer is no forgery, and no client either: behind a proxy all share one bucket.
    #[rustfmt::skip]
    assert_table(keyed_by(PeerIpKeyExtractor), About::Client, [
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
        ["10.0.0.2",    "203.0.113.9", "203.0.113.9"],
        ["10.0.0.2",    "203.0.113.9", "203.0.113.9"],
        ["10.0.0.2",    REFUSED, REFUSED],
        ["10.0.0.2",    "203.0.113.9", "203.0.113.9"],
    ]).await;
}

/// One attacker with a limit of one request, who names another client each time; then the client that
/// it named first comes by itself.
#[tokio::test]
async fn t15_tower_governor_limits_whom_it_should() {
    const LIMITED: StatusCode = StatusCode::TOO_MANY_REQUESTS;
    const OK: StatusCode = StatusCode::OK;

    for (column, [forged, again, victim]) in [
        (Column::Bare, [OK, OK, LIMITED]),
        (Column::Fixed, [OK, LIMITED, OK]),
        (Column::Canonical, [OK, LIMITED, OK]),
    ] {
        let once = GovernorConfigBuilder::default()
            .period(std::time::Duration::from_secs(3600))
            .burst_size(1)
            .key_extractor(SmartIpKeyExtractor)
            .finish()
            .unwrap();
        let application = Router::new().route("/", get(|| async { "" })).layer(GovernorLayer::new(once));
        let ask = async |chain: &str| {
            let mut request = PROXY.request();
            request.headers_mut().insert("x-forwarded-for", chain.parse().unwrap());
            column.answer(application.clone(), request).await.status()
        };
        assert_eq!(ask("198.51.100.7, 203.0.113.9").await, forged, "{column:?}");
        assert_eq!(ask("198.51.100.8, 203.0.113.9").await, again, "{column:?}");
        assert_eq!(ask("198.51.100.7").await, victim, "{column:?}");
    }
}

/// What readers of a header answer that the client writes and no proxy does.
#[rustfmt::skip]
const SINGLE: Table = [
    // bare       fixed, canonical
    ["127.0.0.1", REFUSED, REFUSED],
    ["127.0.0.1", REFUSED, REFUSED],
    [REFUSED,     REFUSED, REFUSED],
    [REFUSED,     REFUSED, REFUSED],
    [REFUSED,     REFUSED, REFUSED],
];

#[tokio::test]
async fn t15_axum_client_ip() {
    use axum_client_ip::{
        CfConnectingIp, ClientIp, CloudFrontViewerAddress, FlyClientIp, RightmostForwarded,
        RightmostXForwardedFor, TrueClientIp, XEnvoyExternalAddress, XRealIp,
    };

    // It insists on its header: without one it refuses and does not invent.
    #[rustfmt::skip]
    assert_table(answers!(RightmostXForwardedFor(it) = RightmostXForwardedFor => it), About::Client, [
        // bare         fixed, canonical
        ["127.0.0.1",   REFUSED, "203.0.113.9"],
        ["203.0.113.9", REFUSED, "203.0.113.9"],
        ["10.0.0.7",    REFUSED, "203.0.113.9"],
        [REFUSED,       REFUSED, REFUSED],
        ["203.0.113.9", REFUSED, "203.0.113.9"],
    ]).await;

    assert_table(answers!(RightmostForwarded(it) = RightmostForwarded => it), About::Client, SINGLE).await;
    assert_table(answers!(XRealIp(it) = XRealIp => it), About::Client, SINGLE).await;
    assert_table(answers!(CfConnectingIp(it) = CfConnectingIp => it), About::Client, SINGLE).await;
    assert_table(answers!(TrueClientIp(it) = TrueClientIp => it), About::Client, SINGLE).await;
    let envoy = answers!(XEnvoyExternalAddress(it) = XEnvoyExternalAddress => it);
    assert_table(envoy, About::Client, SINGLE).await;
    assert_table(answers!(FlyClientIp(it) = FlyClientIp => it), About::Client, SINGLE).await;
    let cloudfront = answers!(CloudFrontViewerAddress(it) = CloudFrontViewerAddress => it);
    assert_table(cloudfront, About::Client, SINGLE).await;

    // What to configure behind the fix.
    let connected =
        answers!(ClientIp(it) = ClientIp => it).layer(ClientIpSource::ConnectInfo.into_extension());
    #[rustfmt::skip]
    assert_table(connected, About::Client, [
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
        ["10.0.0.2",    "203.0.113.9", "203.0.113.9"],
        ["10.0.0.2",    "203.0.113.9", "203.0.113.9"],
        ["10.0.0.2",    REFUSED, REFUSED],
        ["10.0.0.2",    "203.0.113.9", "203.0.113.9"],
    ]).await;
}

/// These know a trusted set. They prefer one family to another, read the first line only, or step
/// over what they cannot read.
#[tokio::test]
async fn t15_readers_with_a_trusted_set_of_their_own() {
    let real_ip = get(|ConnectInfo(peer): ConnectInfo<SocketAddr>, headers: HeaderMap| async move {
        let trusted: IpNet = "10.0.0.0/8".parse().unwrap();
        real_ip::real_ip(&headers, peer.ip(), &[trusted]).unwrap().to_string()
    });
    #[rustfmt::skip]
    assert_table(Router::new().route("/", real_ip), About::Client, [
        // bare         fixed, canonical
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",   "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",   "203.0.113.9", "203.0.113.9"],
        ["10.0.0.2",    REFUSED, REFUSED],
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
    ]).await;

    let config = tower_real_ip::TrustedProxyConfig::parse_str("10.0.0.0/8").unwrap();
    let tower_real_ip = answers!(tower_real_ip::RealIp(it) = tower_real_ip::RealIp => it)
        .layer(tower_real_ip::RealIpLayer::new(config));
    #[rustfmt::skip]
    assert_table(tower_real_ip, About::Client, [
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",   "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",   UNSPECIFIED, UNSPECIFIED],
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
    ]).await;

    let trusted_proxies = |read: fn(&trusted_proxies::Trusted<'_>) -> Option<String>| {
        let handler = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| async move {
            let mut config = trusted_proxies::Config::new();
            config.add_trusted_ip("10.0.0.0/8").unwrap();
            config.trust_forwarded();
            config.trust_x_forwarded_for();
            config.trust_x_forwarded_host();
            config.trust_x_forwarded_proto();
            let (parts, _) = request.into_parts();
            read(&trusted_proxies::Trusted::from(peer.ip(), &parts, &config)).ok_or(StatusCode::NOT_FOUND)
        };
        Router::new().route("/", get(handler))
    };
    #[rustfmt::skip]
    assert_table(trusted_proxies(|it| Some(it.ip().to_string())), About::Client, [
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",   "203.0.113.9", "203.0.113.9"],
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
        ["10.0.0.2",    REFUSED, REFUSED],
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
    ]).await;
    #[rustfmt::skip]
    assert_table(trusted_proxies(|it| it.host().map(str::to_owned)), About::Host, [
        ["good.example",      "good.example", "good.example"],
        ["evil.example",      "good.example", "good.example"],
        ["balancer.internal", "good.example", "good.example"],
        ["good.example",      REFUSED, REFUSED],
        ["good.example",      "good.example", "good.example"],
    ]).await;
}

/// What an inner component does that obeys RFC 9110 section 7.6.1: it removes what `Connection` names.
async fn obeys_connection(mut request: Request, next: Next) -> Response {
    let lines: Vec<_> = request.headers().get_all(header::CONNECTION).iter().cloned().collect();
    for name in lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')) {
        request.headers_mut().remove(name.trim());
    }
    next.run(request).await
}

#[tokio::test]
async fn t111_t112_nominations_remove_nothing_that_was_decided() {
    // Without the fix the chain is gone, and the proxy is taken for the client.
    #[rustfmt::skip]
    assert_table(keyed_by(SmartIpKeyExtractor).layer(from_fn(obeys_connection)), About::Client, [
        // bare         fixed, canonical
        ["127.0.0.1",   "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",   "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",   "203.0.113.9", "203.0.113.9"],
        ["127.0.0.1",   REFUSED, REFUSED],
        ["10.0.0.2",    "203.0.113.9", "203.0.113.9"],
    ]).await;

    let origin = answers!(it = proxyfix_axum::Origin => {
        let url = format!("{}://{}", it.0.scheme(), it.0.host().unwrap());
        it.0.client().map_or(url.clone(), |client| format!("{client} at {url}"))
    });
    for ask in ASKS {
        let answer =
            Column::Fixed.answer(origin.clone().layer(from_fn(obeys_connection)), ask.request()).await;
        let url = format!("{}://{}", ask.scheme, ask.host);
        let expected = ask.client.map_or(url.clone(), |client| format!("{client} at {url}"));
        assert_eq!(text(answer).await, expected, "{}", ask.name);
    }
}

/// Gateways (CGI, FastCGI, WSGI) make one variable of all spellings of a header.
#[tokio::test]
async fn t114_aliases_are_gone_before_they_become_variables() {
    let variable = |name: &'static str| {
        let handler = async move |headers: HeaderMap| {
            let named = |header: &str| header.to_uppercase().replace('-', "_") == name;
            let values: Vec<_> = headers.iter().filter(|(header, _)| named(header.as_str())).collect();
            let last = values.last().map(|(_, value)| value.to_str().unwrap().to_owned());
            last.ok_or(StatusCode::NOT_FOUND)
        };
        Router::new().route("/", get(handler))
    };
    #[rustfmt::skip]
    assert_table(variable("X_REAL_IP"), About::Client, [
        // bare       fixed, canonical
        ["127.0.0.1", REFUSED, REFUSED],
        ["127.0.0.1", REFUSED, REFUSED],
        [REFUSED,     REFUSED, REFUSED],
        [REFUSED,     REFUSED, REFUSED],
        ["127.0.0.1", REFUSED, REFUSED],
    ]).await;
}

/// The span of `tower-http` holds the target and, on demand, every header.
#[tokio::test]
async fn t15_t114_the_trace_layer_of_tower_http_logs_no_forgery() {
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().include_headers(true))
        .on_request(DefaultOnRequest::new());
    let application = Router::new().route("/", get(|| async { "" })).layer(trace);
    for ask in ASKS {
        for column in COLUMNS {
            let mut request = ask.request();
            *request.uri_mut() = format!("http://{}/", ask.headers[0].1).parse().unwrap();
            let text = logged_during(Level::DEBUG, column.answer(application.clone(), request)).await;
            let text = text.lines().find(|line| line.contains("started processing request")).unwrap();
            let forgeries = ["127.0.0.1", "evil.example", "ftp", "\"forwarded\"", "\"x_", "\"x-real-ip\""];
            let forged = forgeries.iter().any(|forgery| text.contains(forgery));
            let uri = format!("uri={}://{}/ ", ask.scheme, ask.host);
            match column {
                Column::Bare => assert!(forged, "{}: {text}", ask.name),
                Column::Fixed => {
                    assert!(!forged && !text.contains("\"x") && text.contains(&uri), "{}: {text}", ask.name);
                }
                Column::Canonical => assert!(!forged && text.contains(&uri), "{}: {text}", ask.name),
            }
        }
    }
}
