//! Deployment: an axum service behind nginx on the same machine.
//!
//! nginx terminates TLS, serves the application below `/app` and removes that prefix:
//!
//! ```nginx
//! server {
//!     listen 443 ssl;
//!     server_name good.example;
//!
//!     location /app/ {
//!         proxy_pass http://127.0.0.1:3000/;
//!         proxy_set_header X-Forwarded-For    $proxy_add_x_forwarded_for;
//!         proxy_set_header X-Forwarded-Proto  $scheme;
//!         proxy_set_header X-Forwarded-Host   $host;
//!         proxy_set_header X-Forwarded-Prefix /app;
//!     }
//! }
//! ```
//!
//! The first line appends to what the client wrote; the other three replace it. Host and prefix are
//! asked for below because nginx sets them here. A proxy that does not would pass on whatever the
//! client wrote, and then they must not be asked for.
//!
//! ```text
//! cargo run -p proxyfix-examples --bin axum_behind_nginx                   plays three requests
//! cargo run -p proxyfix-examples --bin axum_behind_nginx -- --serve 3000   stays up behind nginx
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{Router, response::Redirect, routing::get};
use proxyfix::{ProxyFix, TrustedProxies};
use proxyfix_axum::{AbsoluteUrl, ClientIp, Origin, Wrapped, wrap};
use proxyfix_examples::talk;
use tokio::net::TcpListener;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The whole application, the fix around it.
fn app() -> Result<Wrapped<ProxyFix>> {
    let router = Router::new().route("/", get(whoami)).route("/old", get(moved));
    // nginx connects from this very address, and nobody else does.
    let nginx: TrustedProxies = "127.0.0.1".parse()?;
    Ok(wrap(router, ProxyFix::builder(nginx).host().prefix().build()?))
}

async fn whoami(ClientIp(ip): ClientIp, url: AbsoluteUrl, Origin(origin): Origin) -> String {
    format!("You are {ip} and asked for {}\n({origin})\n", url.of("/"))
}

/// Redirects have to carry the prefix that the router never sees.
async fn moved(url: AbsoluteUrl) -> Redirect {
    Redirect::to(&url.of("/new"))
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let serve = !arguments.is_empty();
    let port = match arguments.iter().find(|argument| *argument != "--serve") {
        Some(port) => port.parse()?,
        None if serve => 3000,
        None => 0,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    println!("An axum service behind nginx, listening on http://{address}");

    let app = app()?.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    if serve {
        return Ok(server.await??);
    }
    play(address).await
}

/// Three requests as they would arrive, over real connections.
async fn play(address: SocketAddr) -> Result<()> {
    let nginx = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let answer = talk(
        "Through nginx. The client is 203.0.113.9.",
        nginx,
        address,
        "GET /old HTTP/1.1\n\
         Host: 127.0.0.1:3000\n\
         X-Forwarded-For: 203.0.113.9\n\
         X-Forwarded-Proto: https\n\
         X-Forwarded-Host: good.example\n\
         X-Forwarded-Prefix: /app",
    )
    .await?;
    assert!(answer.contains("location: https://good.example/app/new"));

    let answer = talk(
        "Through nginx again. The client has written headers of its own: nginx appended to the first, \
         and knows nothing of the last two.",
        nginx,
        address,
        "GET / HTTP/1.1\n\
         Host: 127.0.0.1:3000\n\
         X-Forwarded-For: 127.0.0.1, 203.0.113.9\n\
         X-Forwarded-Proto: https\n\
         X-Forwarded-Host: good.example\n\
         X-Forwarded-Prefix: /app\n\
         X-Real-IP: 127.0.0.1\n\
         Forwarded: for=127.0.0.1;host=evil.example",
    )
    .await?;
    assert!(answer.contains("You are 203.0.113.9 and asked for https://good.example/app/\n"));

    // Another address of this machine plays the stranger; not every system has one.
    let stranger = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let direct = talk(
        "Past nginx, straight to the port, from an address that is not trusted.",
        stranger,
        address,
        "GET / HTTP/1.1\n\
         Host: 127.0.0.1:3000\n\
         X-Forwarded-For: 127.0.0.1\n\
         X-Forwarded-Proto: https\n\
         X-Forwarded-Host: evil.example",
    );
    match direct.await {
        Ok(answer) => assert!(answer.contains("You are 127.0.0.2 and asked for http://127.0.0.1:3000/\n")),
        Err(error) => println!("\nThe direct request is left out here: {stranger}: {error}"),
    }
    Ok(())
}
