//! Deployments: a proxy that says the host in a header of its own, and a CDN that says the client in
//! one of its own.
//!
//! `X-FHost` is the header of the class `CustomProxyFix` in the Flask guides. Here it comes from one
//! proxy in the private network:
//!
//! ```text
//! client ──▶ 10.0.0.2 ──▶ this service
//!            X-FHost: good.example
//! ```
//!
//! `CF-Connecting-IP` is Cloudflare's, which publishes the networks that it connects from as text, one
//! network a line:
//!
//! ```text
//! client ──▶ Cloudflare ──▶ this service
//!            CF-Connecting-IP: 203.0.113.9
//!            X-Forwarded-Proto: https
//! ```
//!
//! Such a header is worth what its peer is worth: anyone can write it, so it is read from those
//! networks only. They are shared by all customers of the CDN; where another customer must not be
//! able to point a zone of theirs at this service, have the CDN authenticate itself as well.
//!
//! Nothing is started here: a fix is a value, and heads are enough to see it work.
//!
//! ```text
//! cargo run -p proxyfix-examples --bin custom_header              with the excerpt below
//! cargo run -p proxyfix-examples --bin custom_header -- FILE...   with the lists of networks in FILE...
//! ```

use http::Request;
use proxyfix::{CustomProxyFix, Error, Fix, Origin, Peer, TrustedProxies};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The beginnings of <https://www.cloudflare.com/ips-v4> and <https://www.cloudflare.com/ips-v6>.
///
/// An excerpt, to make this program run. The provider changes its networks: fetch both lists as you
/// deploy, and again from time to time. A network that is missing makes the CDN a stranger, and one
/// that the CDN has given up makes a stranger the CDN.
const NETWORKS: &str = "\
173.245.48.0/20
103.21.244.0/22
103.22.200.0/22
2400:cb00::/32
2606:4700::/32
";

/// Reads one network a line; empty lines are skipped, anything else that is no network is an error.
fn networks(text: &str) -> Result<TrustedProxies, Error> {
    TrustedProxies::from_entries(text.lines().map(str::trim).filter(|line| !line.is_empty()))
}

fn main() -> Result<()> {
    let mut text = String::new();
    for file in std::env::args().skip(1) {
        text.push_str(&std::fs::read_to_string(&file)?);
        text.push('\n');
    }
    let cdn = networks(if text.is_empty() { NETWORKS } else { &text })?;

    println!("# X-FHost, from 10.0.0.2\n");
    let fix = CustomProxyFix::host("10.0.0.2".parse()?, "X-FHost")?;
    show(&fix, "10.0.0.2", &[("host", "app.internal:8080"), ("x-fhost", "good.example")])?;
    show(&fix, "203.0.113.9", &[("host", "app.internal:8080"), ("x-fhost", "evil.example")])?;
    show(&fix, "10.0.0.2", &[("host", "app.internal:8080"), ("x-fhost", "good.example@evil.example")])?;

    println!("# CF-Connecting-IP and X-Forwarded-Proto, from the networks of the CDN\n");
    let fix = CustomProxyFix::builder(cdn).client("CF-Connecting-IP").scheme("X-Forwarded-Proto").build()?;
    let host = ("host", "good.example");
    let honest = [host, ("cf-connecting-ip", "203.0.113.9"), ("x-forwarded-proto", "https")];
    show(&fix, "173.245.48.7", &honest)?;
    show(&fix, "2400:cb00::7", &honest)?;
    show(&fix, "198.51.100.7", &[host, ("cf-connecting-ip", "127.0.0.1"), ("x-forwarded-proto", "https")])?;
    let doubled = [host, ("cf-connecting-ip", "127.0.0.1"), ("cf-connecting-ip", "203.0.113.9")];
    show(&fix, "173.245.48.7", &doubled)?;

    println!("# A list that went wrong does not build\n");
    if let Err(error) = networks("173.245.48.0/20\n<html>\n") {
        println!("{error}");
    }
    Ok(())
}

/// Prints the head of a request before `fix` and after.
fn show(fix: &dyn Fix, peer: &str, headers: &[(&str, &str)]) -> Result<()> {
    let mut request = Request::get("/").extension(peer.parse::<Peer>()?);
    println!("from {peer}");
    for (name, value) in headers {
        println!("  > {name}: {value}");
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(())?.into_parts();
    fix.fix(&mut parts);

    for (name, value) in &parts.headers {
        println!("  < {name}: {}", value.to_str()?);
    }
    if let Some(origin) = parts.extensions.get::<Origin>() {
        let client = origin.client().map_or("unknown".to_owned(), |ip| ip.to_string());
        let host = origin.host().map_or("-", |host| host.as_str());
        let port = origin.port().map(|port| format!(":{port}")).unwrap_or_default();
        println!("  = client {client}, {}://{host}{port}", origin.scheme());
        println!("    {origin}\n");
    }
    Ok(())
}
