//! Journeys over real sockets: a client, one nginx or two, and an axum application.
//!
//! Every machine is a loopback address of its own. A client that has to come from the Internet is
//! behind a TCP balancer, which announces it to nginx in the PROXY protocol.
#![cfg(target_os = "linux")] // All of 127.0.0.0/8 answers, without setting anything up.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::body::Body;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use proxyfix::{Fixed, PROTECTED_HEADERS, Peer, ProxyFix, ProxyFixBuilder, TrustedProxies};
use proxyfix_tests::client::{Client, balancer, get_unix};
use proxyfix_tests::nginx::{Program, installed};
use proxyfix_tests::server::{seen, serve, serve_unix};
use proxyfix_tests::web::WebServer;
use proxyfix_tests::{loopback, skipped, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tower::{ServiceExt, service_fn};

/// A client in the world.
const CLIENT: &str = "203.0.113.9";

/// What an honest proxy does, as nginx writes it.
const FOR: &str = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
const PROTO: &str = "proxy_set_header X-Forwarded-Proto $scheme;";
const HOST: &str = "proxy_set_header X-Forwarded-Host $http_host;";

/// A set of exactly these machines.
fn trust(proxies: &[&dyn ToString]) -> TrustedProxies {
    TrustedProxies::from_entries(proxies.iter().map(|it| it.to_string())).unwrap()
}

fn builder(proxies: &[&dyn ToString]) -> ProxyFixBuilder {
    ProxyFix::builder(trust(proxies))
}

/// A server of nginx that connects from `from` and does the rest of what it is told.
fn server(listen: &str, from: Ipv4Addr, rest: &[&str]) -> String {
    format!("server {{ listen {listen}; proxy_bind {from}; {} }}", rest.join(" "))
}

/// A location that hands everything to `application`.
fn to(application: SocketAddr) -> String {
    format!("location / {{ proxy_pass http://{application}; }}")
}

/// An nginx that connects from `proxy`, and a client in the world.
async fn in_front(nginx: &Program, proxy: Ipv4Addr, rest: &[&str]) -> (Client, WebServer) {
    let balancer = loopback();
    let nginx = nginx.start(loopback(), |listen| server(&announced(listen, balancer), proxy, rest)).await;
    (Client::behind_a_balancer(CLIENT, balancer), nginx)
}

/// Listens for a balancer, which says who is connected.
fn announced(listen: SocketAddr, balancer: Ipv4Addr) -> String {
    format!("{listen} proxy_protocol; set_real_ip_from {balancer}; real_ip_header proxy_protocol")
}

/// Asserts of everything that the handler saw what is expected here.
#[track_caller]
fn assert_sees(seen: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(seen.get(name), Some(value), "{name} in {seen:#}");
    }
}

// One hop.

#[tokio::test]
async fn behind_one_proxy_the_client_scheme_and_host_are_the_clients() {
    let Some(nginx) = installed() else { return };
    let proxy = loopback();
    let app = serve(builder(&[&proxy]).host().build().unwrap()).await;
    let (client, nginx) = in_front(&nginx, proxy, &[FOR, PROTO, HOST, &to(app)]).await;

    let seen = client.get(nginx.address(), "/users/7?q=1", &["Host: good.example"]).await.json();

    assert_sees(
        &seen,
        &json!({
            "route": "/users/{id}",
            "method": "GET",
            "uri": "/users/7?q=1",
            "headers": { "connection": ["close"], "host": ["good.example"] },
            "peer": proxy,
            "client": CLIENT,
            "complete": true,
            "ending": "client-found",
            "last_verified": proxy,
            "scheme": "http",
            "host": "good.example",
            "port": null,
            "url": "http://good.example/login?next=%2F",
            "connect_info": CLIENT,
        }),
    );
    assert_eq!(seen["ports"]["connect_info"], 0, "X-Forwarded-For of nginx has no port");
    assert_eq!(client.get(nginx.address(), "/client-ip", &["Host: good.example"]).await.body, CLIENT);
}

#[tokio::test]
async fn a_proxy_that_is_not_trusted_is_the_client() {
    let Some(nginx) = installed() else { return };
    let proxy = loopback();
    let app = serve(builder(&[&loopback()]).host().build().unwrap()).await;
    let (client, nginx) = in_front(&nginx, proxy, &[FOR, PROTO, HOST, &to(app)]).await;

    let seen = client.get(nginx.address(), "/", &["Host: good.example"]).await.json();

    assert_sees(
        &seen,
        &json!({
            "headers": { "connection": ["close"], "host": [app.to_string()] },
            "client": proxy,
            "complete": true,
            "ending": "peer-untrusted",
            "host": app.ip().to_string(),
            "port": app.port(),
            "connect_info": proxy,
        }),
    );
    assert_eq!(seen["ports"]["connect_info"], seen["ports"]["peer"]);
}

#[tokio::test]
async fn a_client_on_loopback_is_nobody_unless_it_is_trusted_or_counted() {
    let Some(nginx) = installed() else { return };
    let (client, proxy) = (loopback(), loopback());
    let one_hop = trust(&[&"loopback"]).hops(1).unwrap();
    for (trusted, ending, seen_client, last_verified) in [
        (trust(&[&proxy]), "unroutable", None, proxy),
        (trust(&[&proxy, &client]), "all-trusted", Some(client), client),
        (one_hop, "hop-limit", Some(client), proxy),
    ] {
        let app = serve(ProxyFix::new(trusted)).await;
        let rest = [FOR, &to(app)];
        let nginx = nginx.start(loopback(), |listen| server(&listen.to_string(), proxy, &rest)).await;

        let seen = Client::at(client).get(nginx.address(), "/", &["Host: good.example"]).await.json();

        assert_sees(
            &seen,
            &json!({
                "peer": proxy,
                "client": seen_client,
                "complete": seen_client.is_some(),
                "ending": ending,
                "last_verified": last_verified,
                "connect_info": seen_client,
            }),
        );
    }
}

// A chain of two.

#[tokio::test]
async fn behind_two_trusted_proxies_the_client_is_found() {
    let Some(nginx) = installed() else { return };
    let (outer_proxy, inner_proxy) = (loopback(), loopback());
    let app = serve(builder(&[&outer_proxy, &inner_proxy]).build().unwrap()).await;
    let rest = [FOR, &to(app)];
    let inner = nginx.start(loopback(), |listen| server(&listen.to_string(), inner_proxy, &rest)).await;
    let (client, outer) = in_front(&nginx, outer_proxy, &[FOR, PROTO, &to(inner.address())]).await;

    let seen =
        client.get(outer.address(), "/", &["Host: good.example", "X-Forwarded-For: 6.6.6.6"]).await.json();

    assert_sees(
        &seen,
        &json!({
            "headers": { "connection": ["close"], "host": [app.to_string()] },
            "peer": inner_proxy,
            "client": CLIENT,
            "complete": true,
            "ending": "client-found",
            "last_verified": outer_proxy,
            "connect_info": CLIENT,
        }),
    );
}

/// A proxy in the world, which reaches ours through a balancer.
const OUTER: &str = "198.51.100.8";

#[tokio::test]
async fn the_first_proxy_that_is_not_trusted_is_the_client() {
    let Some(nginx) = installed() else { return };
    let (inner_proxy, relay) = (loopback(), loopback());
    for (trusted, client, last_verified) in [
        (trust(&[&inner_proxy]), OUTER, inner_proxy.to_string()),
        (trust(&[&inner_proxy, &OUTER]), CLIENT, OUTER.to_owned()),
    ] {
        let app = serve(ProxyFix::new(trusted)).await;
        let rest = [FOR, &to(app)];
        let listens = |listen| server(&announced(listen, relay), inner_proxy, &rest);
        let inner = nginx.start(loopback(), listens).await;
        let relayed = balancer(relay, OUTER, inner.address()).await;
        let (world, outer) = in_front(&nginx, loopback(), &[FOR, &to(relayed)]).await;

        let seen = world.get(outer.address(), "/", &["Host: good.example"]).await.json();

        assert_sees(
            &seen,
            &json!({
                "peer": inner_proxy,
                "client": client,
                "ending": "client-found",
                "last_verified": last_verified,
                "connect_info": client,
            }),
        );
    }
}

#[tokio::test]
async fn a_proxy_on_loopback_that_is_not_trusted_leaves_nobody() {
    let Some(nginx) = installed() else { return };
    let (outer_proxy, inner_proxy) = (loopback(), loopback());
    let app = serve(builder(&[&inner_proxy]).build().unwrap()).await;
    let rest = [FOR, &to(app)];
    let inner = nginx.start(loopback(), |listen| server(&listen.to_string(), inner_proxy, &rest)).await;
    let (client, outer) = in_front(&nginx, outer_proxy, &[FOR, &to(inner.address())]).await;

    let seen = client.get(outer.address(), "/", &["Host: good.example"]).await.json();

    assert_sees(
        &seen,
        &json!({ "client": null, "ending": "unroutable", "last_verified": inner_proxy, "connect_info": null }),
    );
}

#[tokio::test]
async fn a_declared_hop_ends_at_the_outer_proxy() {
    let Some(nginx) = installed() else { return };
    let (outer_proxy, inner_proxy) = (loopback(), loopback());
    let trusted = trust(&[&outer_proxy, &inner_proxy]).hops(1).unwrap();
    let app = serve(ProxyFix::new(trusted)).await;
    let rest = [FOR, &to(app)];
    let inner = nginx.start(loopback(), |listen| server(&listen.to_string(), inner_proxy, &rest)).await;
    let (client, outer) = in_front(&nginx, outer_proxy, &[FOR, &to(inner.address())]).await;

    let seen = client.get(outer.address(), "/", &["Host: good.example"]).await.json();

    assert_sees(&seen, &json!({ "client": outer_proxy, "ending": "hop-limit", "connect_info": outer_proxy }));
}

// Forgeries.

/// Nginx passes every header on, whatever its name.
const ANY_NAME: &str = "underscores_in_headers on; ignore_invalid_headers off;";

/// The protected names in three spellings: their own, with underscores, with dots.
fn spellings() -> [Vec<String>; 3] {
    ["-", "_", "."].map(|hyphen| PROTECTED_HEADERS.iter().map(|name| name.replace('-', hyphen)).collect())
}

/// What a client could hope to get something from, one request each: every protected header alone,
/// all together, and all twice. It knows the address of the proxy.
fn forgeries(proxy: Ipv4Addr) -> Vec<Vec<String>> {
    let values = [
        &proxy.to_string(),
        "6.6.6.6",
        &("6.6.6.6, ".to_owned() + &format!("{proxy}, ").repeat(40)),
        &format!("for=6.6.6.6;by={proxy};proto=https;host=evil.example"),
        "https",
        "evil.example:444",
        "444",
        "/evil",
        "\u{e9}",
        "",
    ];
    let mut forgeries = Vec::new();
    for (names, value) in spellings().iter().flat_map(|names| values.map(|value| (names, value))) {
        let lines: Vec<String> = names.iter().map(|name| format!("{name}: {value}")).collect();
        forgeries.extend(lines.iter().map(|line| vec![line.clone()]));
        if value.len() < 100 {
            forgeries.push([&*lines, &lines].concat());
            forgeries.push(lines);
        }
    }
    forgeries
}

fn without_ports(mut seen: Value) -> Value {
    seen.as_object_mut().unwrap().remove("ports").expect("ports");
    seen
}

/// Asserts that no forgery changes anything of what is seen; returns what is seen.
async fn assert_no_influence(client: Client, address: SocketAddr, proxy: Ipv4Addr) -> Value {
    let honest = ["Host: good.example", "X-Request-Id: 1"];
    let baseline = without_ports(client.get(address, "/users/7", &honest).await.json());
    for forgery in forgeries(proxy) {
        let lines: Vec<&str> = honest.into_iter().chain(forgery.iter().map(String::as_str)).collect();
        let seen = without_ports(client.get(address, "/users/7", &lines).await.json());
        assert_eq!(seen, baseline, "changed by {forgery:?}");
    }
    baseline
}

#[tokio::test]
async fn nothing_that_a_client_forges_passes_a_proxy_that_sets_what_is_read() {
    let Some(nginx) = installed() else { return };
    let proxy = loopback();
    let app = serve(builder(&[&proxy]).build().unwrap()).await;
    let (client, nginx) = in_front(&nginx, proxy, &[ANY_NAME, FOR, PROTO, &to(app)]).await;

    let seen = assert_no_influence(client, nginx.address(), proxy).await;

    assert_sees(
        &seen,
        &json!({
            "headers": { "connection": ["close"], "host": [app.to_string()], "x-request-id": ["1"] },
            "client": CLIENT,
            "ending": "client-found",
            "scheme": "http",
            "connect_info": CLIENT,
        }),
    );
}

#[tokio::test]
async fn nothing_that_a_client_forges_passes_a_proxy_that_sets_every_field() {
    let Some(nginx) = installed() else { return };
    let proxy = loopback();
    let app = serve(builder(&[&proxy]).host().port().prefix().build().unwrap()).await;
    let port = "proxy_set_header X-Forwarded-Port 8080;";
    let prefix = "proxy_set_header X-Forwarded-Prefix '';";
    let rest = [ANY_NAME, FOR, PROTO, HOST, port, prefix, &to(app)];
    let (client, nginx) = in_front(&nginx, proxy, &rest).await;

    let seen = assert_no_influence(client, nginx.address(), proxy).await;

    assert_sees(
        &seen,
        &json!({
            "headers": { "connection": ["close"], "host": ["good.example:8080"], "x-request-id": ["1"] },
            "client": CLIENT,
            "ending": "client-found",
            "scheme": "http",
            "url": "http://good.example:8080/login?next=%2F",
            "prefix": "",
            "connect_info": CLIENT,
        }),
    );
}

#[tokio::test]
async fn nothing_that_a_client_forges_counts_without_a_proxy() {
    let (client, proxy) = (loopback(), loopback());
    let app = serve(builder(&[&proxy]).host().port().prefix().build().unwrap()).await;

    let seen = assert_no_influence(Client::at(client), app, proxy).await;

    assert_sees(
        &seen,
        &json!({
            "headers": { "connection": ["close"], "host": ["good.example"], "x-request-id": ["1"] },
            "client": client,
            "complete": true,
            "ending": "peer-untrusted",
            "scheme": "http",
            "url": "http://good.example/login?next=%2F",
            "prefix": "",
            "connect_info": client,
        }),
    );
}

/// What the tests above rest on: it is the fix that removes them, not nginx and not hyper.
#[tokio::test]
async fn without_a_fix_every_forged_header_arrives() {
    let Some(nginx) = installed() else { return };
    let app = serve(None::<ProxyFix>).await;
    let (client, nginx) = in_front(&nginx, loopback(), &[ANY_NAME, FOR, PROTO, &to(app)]).await;
    for names in spellings() {
        let forged: Vec<String> = names.iter().map(|name| format!("{name}: 6.6.6.6")).collect();
        let lines: Vec<&str> = forged.iter().map(String::as_str).chain(["Host: good.example"]).collect();

        let seen = client.get(nginx.address(), "/", &lines).await.json();

        for name in names {
            assert!(seen["headers"].get(&name).is_some(), "{name} did not arrive: {seen:#}");
        }
        assert_sees(&seen, &json!({ "ending": null, "client": null }));
    }
}

// A prefix.

#[tokio::test]
async fn a_prefix_that_nginx_removes_is_in_urls_and_not_in_routes() {
    let Some(nginx) = installed() else { return };
    let proxy = loopback();
    let app = serve(builder(&[&proxy]).host().prefix().build().unwrap()).await;
    let app = format!(
        "location /app/ {{ proxy_pass http://{app}/; {FOR} {HOST} proxy_set_header X-Forwarded-Prefix /app; }}"
    );
    let (client, nginx) = in_front(&nginx, proxy, &[&app]).await;

    let lines = ["Host: good.example", "X-Forwarded-Prefix: /evil"];
    let seen = client.get(nginx.address(), "/app/users/7?q=1", &lines).await.json();

    assert_sees(
        &seen,
        &json!({
            "route": "/users/{id}",
            "uri": "/users/7?q=1",
            "headers": { "connection": ["close"], "host": ["good.example"] },
            "prefix": "/app",
            "mount": "/app",
            "url": "http://good.example/app/login?next=%2F",
        }),
    );
}

// Scheme, host and port.

#[tokio::test]
async fn urls_are_what_nginx_says_of_scheme_host_and_port() {
    let Some(nginx) = installed() else { return };
    for (headers, host, url) in [
        ("X-Forwarded-Host $host", "good.example", "http://good.example"),
        ("X-Forwarded-Proto https", "APP", "https://APP"),
        ("X-Forwarded-Proto https; Host $http_host", "good.example:9999", "https://good.example:9999"),
        ("X-Forwarded-Proto https; X-Forwarded-Host $host", "good.example", "https://good.example"),
        (
            "X-Forwarded-Proto https; X-Forwarded-Host $host; X-Forwarded-Port 443",
            "good.example",
            "https://good.example",
        ),
        (
            "X-Forwarded-Proto https; X-Forwarded-Host $host; X-Forwarded-Port $server_port",
            "good.example:PORT",
            "https://good.example:PORT",
        ),
        (
            "X-Forwarded-Proto https; X-Forwarded-Host $host:$server_port",
            "good.example:PORT",
            "https://good.example:PORT",
        ),
        ("X-Forwarded-Proto https; X-Forwarded-Host $host:443", "good.example", "https://good.example"),
        (
            "X-Forwarded-Proto https; X-Forwarded-Host $http_host",
            "good.example:9999",
            "https://good.example:9999",
        ),
    ] {
        let proxy = loopback();
        let app = serve(builder(&[&proxy]).host().port().build().unwrap()).await;
        let sets: Vec<String> = headers.split("; ").map(|it| format!("proxy_set_header {it};")).collect();
        let (client, nginx) = in_front(&nginx, proxy, &[FOR, &sets.concat(), &to(app)]).await;

        let seen = client.get(nginx.address(), "/", &["Host: Good.Example:9999"]).await.json();

        let here = |text: &str| {
            text.replace("APP", &app.to_string()).replace("PORT", &nginx.address().port().to_string())
        };
        assert_eq!(seen["headers"]["host"], json!([here(host)]), "{headers}");
        assert_eq!(seen["url"], here(url) + "/login?next=%2F", "{headers}");
        assert_sees(&seen, &json!({ "client": CLIENT, "uri": "/" }));
    }
}

// IPv6.

/// Whether this machine has ::1; says so where it has not.
fn ipv6() -> bool {
    let bound = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !bound {
        skipped("this machine has no IPv6 loopback address");
    }
    bound
}

#[tokio::test]
async fn a_client_on_ipv6_loopback_is_all_trusted_or_nobody() {
    let Some(nginx) = installed().filter(|_| ipv6()) else { return };
    let proxy = loopback();
    let trusted = json!({
        "peer": proxy, "client": "::1", "complete": true, "ending": "all-trusted",
        "last_verified": "::1", "connect_info": "::1",
    });
    let unroutable = json!({
        "peer": proxy, "client": null, "complete": false, "ending": "unroutable",
        "last_verified": proxy, "connect_info": null,
    });
    for (proxies, expected, ip, optional) in [
        ("loopback", trusted, (200, "::1"), "Some(ClientIp(::1))"),
        (&*proxy.to_string(), unroutable, (400, "the proxies in front do not say who the client is"), "None"),
    ] {
        let app = serve(builder(&[&proxies]).build().unwrap()).await;
        let rest = [FOR, &to(app)];
        let listens = |listen: SocketAddr| server(&listen.to_string(), proxy, &rest);
        let nginx = nginx.start(Ipv6Addr::LOCALHOST, listens).await;
        let client = Client::at(Ipv6Addr::LOCALHOST);

        let lines = ["Host: good.example"];
        assert_sees(&client.get(nginx.address(), "/", &lines).await.json(), &expected);
        let answer = client.get(nginx.address(), "/client-ip", &lines).await;
        assert_eq!((answer.status, answer.body.as_str()), ip, "trusting {proxies}");
        let answer = client.get(nginx.address(), "/optional-client-ip", &lines).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, optional), "trusting {proxies}");
    }
}

#[tokio::test]
async fn a_client_with_an_ipv6_address_is_found_behind_ipv6() {
    let Some(nginx) = installed().filter(|_| ipv6()) else { return };
    let proxy = loopback();
    let app = serve(builder(&[&proxy]).host().build().unwrap()).await;
    let rest = ["set_real_ip_from ::1; real_ip_header proxy_protocol;", FOR, HOST, &to(app)];
    let listens = |listen: SocketAddr| server(&format!("{listen} proxy_protocol"), proxy, &rest);
    let nginx = nginx.start(Ipv6Addr::LOCALHOST, listens).await;
    let client = Client::behind_a_balancer("2001:db8::9", Ipv6Addr::LOCALHOST);

    let seen = client.get(nginx.address(), "/", &["Host: [2001:DB8:0::7]:8080"]).await.json();

    assert_sees(
        &seen,
        &json!({
            "headers": { "connection": ["close"], "host": ["[2001:db8::7]:8080"] },
            "client": "2001:db8::9",
            "ending": "client-found",
            "connect_info": "2001:db8::9",
            "url": "http://[2001:db8::7]:8080/login?next=%2F",
        }),
    );
}

// Unix sockets.

/// An nginx in front of an application on a unix socket.
async fn in_front_of_unix(nginx: &Program, folder: &TempDir, fix: ProxyFix) -> (Client, WebServer) {
    let socket = folder.path().join("app.sock");
    serve_unix(&socket, fix);
    let app = format!("location / {{ proxy_pass http://unix:{}:; }}", socket.display());
    let balancer = loopback();
    let listens =
        |listen| format!("server {{ listen {}; {FOR} {PROTO} {HOST} {app} }}", announced(listen, balancer));
    (Client::behind_a_balancer(CLIENT, balancer), nginx.start(loopback(), listens).await)
}

#[tokio::test]
async fn behind_a_trusted_unix_socket_the_client_is_found() {
    let Some(nginx) = installed() else { return };
    let folder = TempDir::new().unwrap();
    let fix = builder(&[&"unix"]).host().build().unwrap();
    let (client, nginx) = in_front_of_unix(&nginx, &folder, fix).await;

    let lines = ["Host: good.example", "X-Forwarded-For: 6.6.6.6"];
    let seen = client.get(nginx.address(), "/", &lines).await.json();

    assert_sees(
        &seen,
        &json!({
            "headers": { "connection": ["close"], "host": ["good.example"] },
            "peer": "unix",
            "client": CLIENT,
            "complete": true,
            "ending": "client-found",
            "last_verified": null,
            "connect_info": CLIENT,
        }),
    );
    assert_eq!(client.get(nginx.address(), "/client-ip", &lines).await.body, CLIENT);
}

#[tokio::test]
async fn behind_an_untrusted_unix_socket_nobody_knows_the_client() {
    let Some(nginx) = installed() else { return };
    let folder = TempDir::new().unwrap();
    let fix = builder(&[&"loopback"]).host().build().unwrap();
    let (client, nginx) = in_front_of_unix(&nginx, &folder, fix).await;

    let lines = ["Host: good.example"];
    let seen = client.get(nginx.address(), "/", &lines).await.json();
    let ip = client.get(nginx.address(), "/client-ip", &lines).await;
    let optional = client.get(nginx.address(), "/optional-client-ip", &lines).await;

    assert_sees(
        &seen,
        &json!({
            "headers": { "connection": ["close"], "host": ["localhost"] },
            "peer": "unix",
            "client": null,
            "complete": false,
            "ending": "peer-untrusted",
            "connect_info": null,
        }),
    );
    assert_eq!((ip.status, ip.body.as_str()), (500, "this service is not set up to know its clients"));
    assert_eq!((optional.status, optional.body.as_str()), (200, "None"));
}

#[tokio::test]
async fn a_client_of_nginx_on_a_unix_socket_is_nobody() {
    let Some(nginx) = installed() else { return };
    let (proxy, folder) = (loopback(), TempDir::new().unwrap());
    let socket = folder.path().join("nginx.sock");
    let app = serve(builder(&[&proxy, &"unix"]).build().unwrap()).await;
    let listens = |listen| format!("{listen}; listen unix:{}", socket.display());
    let rest = [FOR, &to(app)];
    let _nginx = nginx.start(loopback(), |listen| server(&listens(listen), proxy, &rest)).await;

    let seen = get_unix(&socket, "/", &["Host: good.example"]).await.json();

    assert_sees(&seen, &json!({ "peer": proxy, "client": null, "ending": "opaque", "connect_info": null }));
}

// HTTP/2, without nginx.

/// Serves a plain service behind `fix` with hyper, which knows nothing of `ConnectInfo`.
async fn serve_hyper(fix: ProxyFix) -> SocketAddr {
    let listener = TcpListener::bind((loopback(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let app = Fixed::new(fix.clone(), service_fn(answer));
            let app = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Peer::from(peer));
                app.clone().oneshot(request)
            });
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), app).await
            });
        }
    });
    address
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut parts = request.into_parts().0;
    let version = format!("{:?}", parts.version);
    Ok(Response::new(Body::from(seen(&mut parts, &version).await.to_string())))
}

/// Asks for `url` with prior knowledge of HTTP/2, from `source`. Scheme and authority of the URL
/// become `:scheme` and `:authority`.
async fn get_http2(source: Ipv4Addr, server: SocketAddr, url: &str, headers: &[(&str, &str)]) -> Value {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::from(source), 0).into()).unwrap();
    within("an answer by HTTP/2", async {
        let stream = TokioIo::new(socket.connect(server).await.unwrap());
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let request =
            headers.iter().fold(Request::get(url), |request, (name, value)| request.header(*name, *value));
        let answer = client.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
    })
    .await
}

#[tokio::test]
async fn by_http2_the_authority_becomes_the_host_and_the_scheme_is_the_proxys() {
    let proxy = loopback();
    let app = serve_hyper(builder(&[&proxy]).build().unwrap()).await;

    let headers = [("x-forwarded-for", CLIENT), ("x-forwarded-proto", "https")];
    let seen = get_http2(proxy, app, "http://good.example/users?q=1", &headers).await;

    assert_sees(
        &seen,
        &json!({
            "route": "HTTP/2.0",
            "uri": "https://good.example/users?q=1",
            "headers": { "host": ["good.example"] },
            "client": CLIENT,
            "ending": "client-found",
            "scheme": "https",
            "host": "good.example",
            "port": null,
            "url": "https://good.example/login?next=%2F",
        }),
    );
}

#[tokio::test]
async fn by_http2_a_believed_host_replaces_the_authority_too() {
    let proxy = loopback();
    let app = serve_hyper(builder(&[&proxy]).host().build().unwrap()).await;

    let headers = [("x-forwarded-for", CLIENT), ("x-forwarded-host", "good.example:8443")];
    let seen = get_http2(proxy, app, "http://app.internal:8080/", &headers).await;

    assert_sees(
        &seen,
        &json!({
            "uri": "http://good.example:8443/",
            "headers": { "host": ["good.example:8443"] },
            "host": "good.example",
            "port": 8443,
        }),
    );
}

#[tokio::test]
async fn by_http2_a_stranger_chooses_neither_scheme_nor_client() {
    let (stranger, proxy) = (loopback(), loopback());
    let app = serve_hyper(builder(&[&proxy]).host().build().unwrap()).await;

    let headers =
        [("x-forwarded-for", CLIENT), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example")];
    let seen = get_http2(stranger, app, "https://good.example/", &headers).await;

    assert_sees(
        &seen,
        &json!({
            "uri": "http://good.example/",
            "headers": { "host": ["good.example"] },
            "client": stranger,
            "ending": "peer-untrusted",
            "scheme": "http",
        }),
    );
}

#[tokio::test]
async fn by_http2_an_authority_that_differs_from_the_host_publishes_neither() {
    let client = loopback();
    let app = serve_hyper(ProxyFix::new(TrustedProxies::none())).await;

    let seen = get_http2(client, app, "http://good.example/users", &[("host", "evil.example")]).await;
    let agreeing = get_http2(client, app, "http://good.example/users", &[("host", "good.example")]).await;

    assert_sees(&seen, &json!({ "uri": "/users", "headers": {}, "host": null, "port": null, "url": null }));
    assert_sees(&agreeing, &json!({ "uri": "http://good.example/users", "host": "good.example" }));
}

// One connection, many clients.

#[tokio::test]
async fn on_one_upstream_connection_every_request_is_decided_on_its_own() {
    let Some(nginx) = installed() else { return };
    let (proxy, balancer) = (loopback(), loopback());
    let app = serve(builder(&[&proxy]).host().build().unwrap()).await;
    let rest = [
        "proxy_http_version 1.1; proxy_set_header Connection '';",
        "proxy_set_header X-Forwarded-Proto $http_x_test_proto;",
        FOR,
        HOST,
        "location / { proxy_pass http://app; }",
    ];
    let nginx = nginx
        .start(loopback(), |listen| {
            format!("upstream app {{ server {app}; keepalive 1; }} ")
                + &server(&announced(listen, balancer), proxy, &rest)
        })
        .await;

    let mut connections = Vec::new();
    for number in 1..=50 {
        let address = format!("203.0.113.{number}");
        let scheme = if number % 3 == 0 { "https" } else { "http" };
        let lines = [
            format!("Host: host-{number}.example"),
            format!("X-Test-Proto: {scheme}"),
            // Every other client tries to be the one before.
            format!("X-Forwarded-For: 203.0.113.{}", number - 1),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).take(2 + number % 2).collect();
        let client = Client::behind_a_balancer(&address, balancer);

        let seen = client.get(nginx.address(), "/", &lines).await.json();

        assert_sees(
            &seen,
            &json!({
                "peer": proxy,
                "client": address,
                "ending": "client-found",
                "scheme": scheme,
                "host": format!("host-{number}.example"),
                "connect_info": address,
            }),
        );
        connections.push(seen["ports"]["peer"].clone());
    }
    connections.dedup();
    assert_eq!(connections.len(), 1, "not one connection, but {connections:?}");
}
