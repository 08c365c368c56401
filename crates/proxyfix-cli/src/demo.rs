//! Ten requests against a real service, each before and after.
//!
//! The service is axum on a free loopback port, wrapped in a stack of fixes; the requests are played
//! over real TCP, as proxies and strangers would send them.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::Request;
use http::HeaderMap;
use http::request::Parts;
use proxyfix::{Fix, LighttpdCgiRootFix, Mount, ProxyFix, TrustedProxies};
use proxyfix_axum::wrap;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use crate::text::{table, url};

/// Where the proxy of the demonstration connects from.
const PROXY: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Where the stranger connects from; every Linux has this address.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
/// Who is trusted: the proxy beside the service, and the balancers before it.
const TRUST: &str = "127.0.0.1, 10.0.0.0/24";

/// One request, and how it is sent.
struct Scene {
    title: &'static str,
    from: Ipv4Addr,
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
}

const HOST: (&str, &str) = ("Host", "app.internal:8080");

const SCENES: &[Scene] = &[
    Scene {
        title: "An honest proxy",
        from: PROXY,
        target: "/users",
        headers: &[
            HOST,
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "good.example"),
        ],
    },
    Scene {
        title: "The client wrote an address of its own before the proxy did",
        from: PROXY,
        target: "/users",
        headers: &[HOST, ("X-Forwarded-For", "127.0.0.1, 203.0.113.9"), ("X-Forwarded-Proto", "https")],
    },
    Scene {
        title: "A chain of two: a balancer, then the proxy",
        from: PROXY,
        target: "/users",
        headers: &[
            HOST,
            ("X-Forwarded-For", "203.0.113.9, 10.0.0.7"),
            ("X-Forwarded-Proto", "https, http"),
            ("X-Forwarded-Host", "good.example, balancer.internal"),
        ],
    },
    Scene {
        title: "A stranger who reaches the service directly and forges every header",
        from: STRANGER,
        target: "/admin",
        headers: &[
            HOST,
            ("X-Forwarded-For", "10.0.0.7"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Prefix", "//evil.example"),
            ("X_Real_IP", "127.0.0.1"),
            ("Forwarded", "for=127.0.0.1;host=evil.example"),
        ],
    },
    Scene {
        title: "A proxy that does not say who its client is",
        from: PROXY,
        target: "/users",
        headers: &[HOST, ("X-Forwarded-For", "198.51.100.7, unknown"), ("X-Forwarded-Proto", "https")],
    },
    Scene {
        title: "An entry that is no address, between two that are",
        from: PROXY,
        target: "/users",
        headers: &[HOST, ("X-Forwarded-For", "127.0.0.1, oops, 10.0.0.7")],
    },
    Scene {
        title: "Mounted below a prefix, which the proxy removed",
        from: PROXY,
        target: "/users",
        headers: &[
            HOST,
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "good.example"),
            ("X-Forwarded-Prefix", "/app"),
        ],
    },
    Scene {
        title: "An IPv6 client, with its port",
        from: PROXY,
        target: "/users",
        headers: &[HOST, ("X-Forwarded-For", "[2001:db8::9]:51515"), ("X-Forwarded-Proto", "https")],
    },
    Scene { title: "A health check of the proxy itself", from: PROXY, target: "/healthz", headers: &[HOST] },
    Scene {
        title: "A forwarded host that is none",
        from: PROXY,
        target: "/users",
        headers: &[
            HOST,
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-Host", "good.example@evil.example"),
        ],
    },
];

/// A gateway before lighttpd, which takes the first segment of the path for the script's name.
const SPLIT: Scene = Scene {
    title: "lighttpd, which split the path of /users/7 in the wrong place",
    from: PROXY,
    target: "/7",
    headers: &[("Host", "good.example"), ("X-Forwarded-For", "203.0.113.9")],
};

/// States what a gateway behind lighttpd states for `/users/7`.
#[derive(Clone)]
struct Lighttpd;

impl Fix for Lighttpd {
    fn fix(&self, parts: &mut Parts) {
        if let Ok(mount) = Mount::from_script_name(b"/users") {
            parts.extensions.insert(mount);
        }
    }
}

/// What the application sees, as it tells it.
#[derive(Serialize, Deserialize)]
struct Seen {
    client: String,
    url: String,
    path: String,
    mount: String,
    headers: Vec<(String, String)>,
    reason: String,
}

pub(crate) fn run() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(play())
}

async fn play() -> Result<(), String> {
    let trusted = || TRUST.parse::<TrustedProxies>().map_err(|error| error.to_string());
    let proxy_fix =
        ProxyFix::builder(trusted()?).host().prefix().build().map_err(|error| error.to_string())?;
    let service = serve(proxy_fix.clone()).await?;
    let gateway = serve((Lighttpd, proxy_fix, LighttpdCgiRootFix::new())).await?;

    let bold = anstyle::Style::new().bold();
    anstream::println!(
        "An axum service on http://{service} trusts {TRUST}.\nIt reads for, proto, host and prefix of X-Forwarded-*.\n"
    );
    let scenes = SCENES.iter().map(|scene| (service, scene)).chain([(gateway, &SPLIT)]);
    for (number, (address, scene)) in scenes.enumerate() {
        anstream::println!("{bold}{}. {}{bold:#}", number + 1, scene.title);
        match ask(address, scene).await {
            Ok((peer, seen)) => show(scene, peer, &seen),
            Err(error) if scene.from == STRANGER => anstream::println!("   not played here: {error}\n"),
            Err(error) => return Err(format!("request {}: {error}", number + 1)),
        }
    }
    Ok(())
}

/// Serves what it sees, on a free port.
async fn serve<F: Fix + Clone + Send + Sync + 'static>(fix: F) -> Result<SocketAddr, String> {
    let app = wrap(Router::new().fallback(tell), fix);
    let cannot = |error: std::io::Error| format!("cannot serve on loopback: {error}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(cannot)?;
    let port = listener.local_addr().map_err(cannot)?.port();
    tokio::spawn(async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    });
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

async fn tell(proxyfix_axum::Origin(origin): proxyfix_axum::Origin, request: Request) -> String {
    let (parts, _) = request.into_parts();
    let seen = Seen {
        client: match origin.client() {
            Some(ip) if origin.is_complete() => ip.to_string(),
            Some(ip) => format!("{ip}, speaking for itself"),
            None => "unknown".to_owned(),
        },
        url: url(&parts, &origin),
        path: parts.uri.path().to_owned(),
        mount: origin.prefix().to_string(),
        headers: header_lines(&parts.headers),
        reason: origin.to_string(),
    };
    serde_json::to_string(&seen).unwrap_or_default()
}

fn header_lines(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| value.as_bytes().escape_ascii().to_string();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// Sends the request from its own address and reads what the application tells.
async fn ask(address: SocketAddr, scene: &Scene) -> Result<(SocketAddr, Seen), String> {
    let failed = |error: std::io::Error| error.to_string();
    let socket = TcpSocket::new_v4().map_err(failed)?;
    socket.bind(SocketAddr::from((scene.from, 0))).map_err(failed)?;
    let mut stream = socket.connect(address).await.map_err(failed)?;
    let peer = stream.local_addr().map_err(failed)?;
    let lines = scene.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines: String = lines.collect();
    let request = format!("GET {} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n", scene.target);
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await.map_err(failed)?;
    let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let seen = serde_json::from_str(body).map_err(|error| format!("{error} in {response:?}"))?;
    Ok((peer, seen))
}

fn show(scene: &Scene, peer: SocketAddr, seen: &Seen) {
    let host = scene.headers.iter().find(|(name, _)| *name == "Host").map_or("", |(_, value)| value);
    let mount = if scene.title == SPLIT.title { "/users" } else { "" };
    let row = |what: &str, before: &str, after: &str| [what, before, after].map(str::to_owned);
    let mut rows = vec![
        row("client", &peer.ip().to_string(), &seen.client),
        row("url", &format!("http://{host}{mount}{}", scene.target), &seen.url),
    ];
    if !mount.is_empty() || !seen.mount.is_empty() {
        rows.push(row("mount", mount, &seen.mount));
        rows.push(row("path", scene.target, &seen.path));
    }
    for (name, value) in scene.headers.iter().filter(|(name, _)| *name != "Host") {
        let kept = seen.headers.iter().find(|(kept, _)| kept.eq_ignore_ascii_case(name));
        rows.push(row(name, value, kept.map_or("(removed)", |(_, value)| value)));
    }
    let style = match seen.client.as_str() {
        "unknown" => anstyle::AnsiColor::Yellow,
        _ => anstyle::AnsiColor::Green,
    };
    anstream::println!("{}", table(&rows));
    anstream::println!("   {}→ {}.{}\n", style.on_default(), seen.reason, anstyle::Reset);
}
