//! Deployment: a hyper service, without a framework, behind balancers in a private network.
//!
//! The balancers have the addresses 10.0.0.0/24, terminate TLS and state what they saw in
//! `Forwarded` (RFC 7239), such as HAProxy does with `option forwarded proto host for`:
//!
//! ```text
//! client ──TLS──▶ 10.0.0.7 ──HTTP──▶ this service
//!                 Forwarded: proto=https;host=good.example;for=203.0.113.9
//! ```
//!
//! hyper hands over requests without saying who is connected. The accept loop knows, and puts a `Peer`
//! into the extensions of each request; a server that terminates TLS itself would put `Scheme::Https`
//! beside it. That is all that a server has to do for the fixes.
//!
//! ```text
//! cargo run -p proxyfix-examples --bin hyper_without_a_framework                   plays four requests
//! cargo run -p proxyfix-examples --bin hyper_without_a_framework -- --serve 3000   stays up
//! ```

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use proxyfix::{Family, Fixed, Origin, Peer, ProxyFix, TrustedProxies};
use proxyfix_examples::talk;
use tokio::net::TcpListener;
use tower::{ServiceExt, service_fn};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Where the application asks: one value has the whole answer.
async fn answer(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let text = match request.extensions().get::<Origin>() {
        Some(origin) => {
            let client = origin.client().map_or("somebody".to_owned(), |ip| ip.to_string());
            let host = origin.host().map_or("nowhere", |host| host.as_str());
            let port = origin.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("You are {client} and asked for {}://{host}{port}\n({origin})\n", origin.scheme())
        }
        None => "No fix ran.\n".to_owned(),
    };
    Ok(Response::new(text))
}

/// The accept loop.
async fn serve(listener: TcpListener, fix: ProxyFix) -> Result<(), std::io::Error> {
    loop {
        let (stream, address) = listener.accept().await?;
        let service = Fixed::new(fix.clone(), service_fn(answer));
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer::from(address));
            service.clone().oneshot(request)
        });
        tokio::spawn(async move {
            let connection = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = connection.serve_connection(TokioIo::new(stream), service).await {
                eprintln!("{address}: {error}");
            }
        });
    }
}

fn fix(balancers: &str) -> Result<ProxyFix> {
    let balancers: TrustedProxies = balancers.parse()?;
    Ok(ProxyFix::builder(balancers).family(Family::Forwarded).host().build()?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.is_empty() {
        let port = arguments.iter().find(|argument| *argument != "--serve");
        let port = port.map_or(Ok(3000), |port| port.parse::<u16>())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        println!("A hyper service behind balancers, listening on http://{}", listener.local_addr()?);
        return Ok(serve(listener, fix("10.0.0.0/24")?).await?);
    }

    // Played on this machine, the balancer has the address 127.0.0.1.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    println!("A hyper service behind a balancer, listening on http://{address}");
    tokio::spawn(serve(listener, fix("127.0.0.1")?));
    play(address).await
}

/// Four requests as they would arrive, over real connections.
async fn play(address: SocketAddr) -> Result<()> {
    let balancer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let answer = talk(
        "Through the balancer. The client is 203.0.113.9.",
        balancer,
        address,
        "GET / HTTP/1.1\n\
         Host: app.internal:8080\n\
         Forwarded: proto=https;host=good.example;for=203.0.113.9",
    )
    .await?;
    assert!(answer.contains("You are 203.0.113.9 and asked for https://good.example\n"));

    let answer = talk(
        "Through the balancer. The client has written an element of its own, and left a quote open.",
        balancer,
        address,
        "GET / HTTP/1.1\n\
         Host: app.internal:8080\n\
         Forwarded: for=127.0.0.1;host=\"evil.example, proto=https;host=good.example;for=203.0.113.9\n\
         X-Forwarded-For: 127.0.0.1",
    )
    .await?;
    assert!(answer.contains("You are 203.0.113.9 and asked for https://good.example\n"));

    let answer = talk(
        "Through the balancer, which does not say who its client is. Nobody is made up.",
        balancer,
        address,
        "GET / HTTP/1.1\n\
         Host: app.internal:8080\n\
         Forwarded: for=127.0.0.1, proto=https;host=good.example;for=unknown",
    )
    .await?;
    assert!(answer.contains("You are somebody and asked for http://app.internal:8080\n"));

    // Another address of this machine plays the stranger; not every system has one.
    let stranger = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let direct = talk(
        "Past the balancer, straight to the port, from an address that is not trusted.",
        stranger,
        address,
        "GET / HTTP/1.1\n\
         Host: app.internal:8080\n\
         Forwarded: proto=https;host=evil.example;for=127.0.0.1",
    );
    match direct.await {
        Ok(answer) => assert!(answer.contains("You are 127.0.0.2 and asked for http://app.internal:8080\n")),
        Err(error) => println!("\nThe direct request is left out here: {stranger}: {error}"),
    }
    Ok(())
}
