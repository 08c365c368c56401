//! Hello world of axum, on one thread, behind one layer or none: what the load is sent to.
//!
//! `hello <VARIANT>` says its port, then answers until its standard input ends; to each line there, it says what it
//! took so far: user and system time in microseconds.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::extract::{ConnectInfo, Request};
use axum::routing::get;
use axum::{Router, ServiceExt};
use axum_client_ip::RightmostXForwardedFor;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use proxyfix::{ProxyFix, TrustedProxies};
use proxyfix_bench_layers::limit::x_forwarded_for;
use tokio::net::TcpListener;
use tower_real_ip::{RealIp, RealIpLayer, TrustedProxyConfig};
use tower_service::Service;

/// What is answered.
const HELLO: &str = "Hello, world!\n";

fn main() -> io::Result<()> {
    let variant = std::env::args().nth(1).unwrap_or_default();
    std::thread::spawn(usage);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        serve(&variant, listener).await
    })
}

/// Says what this process took, whenever it is asked; ends it with the input.
fn usage() {
    for _ in io::stdin().lines().map_while(Result::ok) {
        if let Ok(used) = getrusage(UsageWho::RUSAGE_SELF) {
            println!("{} {}", used.user_time().num_microseconds(), used.system_time().num_microseconds());
        }
    }
    std::process::exit(0);
}

async fn serve(variant: &str, listener: TcpListener) -> io::Result<()> {
    let hello = || async { HELLO };
    let who = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() };
    let bare = Router::new().route("/", get(hello)).route("/who", get(who));
    let trusted = || "loopback".parse::<TrustedProxies>().expect("a set");
    match variant {
        // Without `ConnectInfo`: what an application is that does not care who asks.
        "unconnected" => {
            let app = Router::new().route("/", get(hello)).route("/who", get(|| async { "nobody" }));
            axum::serve(listener, app).await
        }
        "bare" => axum::serve(listener, bare.into_make_service_with_connect_info::<SocketAddr>()).await,
        "proxyfix" => {
            let app = proxyfix_axum::wrap(bare, ProxyFix::new(trusted()));
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
        }
        "proxyfix-unrecorded" => {
            let fix = ProxyFix::builder(trusted()).unrecorded().build().expect("a policy");
            let app = proxyfix_axum::wrap(bare, fix);
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
        }
        "axum-client-ip" => {
            let who = |RightmostXForwardedFor(ip): RightmostXForwardedFor| async move { ip.to_string() };
            let hello = |RightmostXForwardedFor(_): RightmostXForwardedFor| async { HELLO };
            let app = Router::new().route("/", get(hello)).route("/who", get(who));
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
        }
        "tower-real-ip" => {
            let config = TrustedProxyConfig::parse_str("127.0.0.0/8;::1").expect("networks");
            let who = |RealIp(ip): RealIp| async move { ip.to_string() };
            let hello = |RealIp(_): RealIp| async { HELLO };
            let app = Router::new().route("/", get(hello)).route("/who", get(who));
            let app = app.layer(RealIpLayer::new(config));
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
        }
        "no-op-inside" => {
            let app = bare.layer(tower_layer::layer_fn(Nothing));
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
        }
        "no-op-outside" => {
            let app = Nothing(bare);
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
        }
        "by-hand" => {
            let app = ByHand(bare);
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
        }
        _ => Err(io::Error::other(format!("there is no variant {variant}"))),
    }
}

/// A layer that does nothing.
#[derive(Clone, Copy, Debug)]
struct Nothing<S>(S);

impl<S: Service<Request>> Service<Request> for Nothing<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        self.0.call(request)
    }
}

/// What is written by hand, and knows these headers only.
#[derive(Clone, Copy, Debug)]
struct ByHand<S>(S);

impl<S: Service<Request>> Service<Request> for ByHand<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        let (mut parts, body) = request.into_parts();
        x_forwarded_for(&mut parts);
        self.0.call(Request::from_parts(parts, body))
    }
}
