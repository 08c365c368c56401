//! Deployment: an axum service behind a CDN, whose networks change while it runs.
//!
//! ```text
//! client ──▶ CDN ──▶ this service
//!            CF-Connecting-IP: 203.0.113.9
//!            X-Forwarded-Proto: https
//!            X-Origin-Secret: …              only our zone adds it
//! ```
//!
//! What stands here is what such a service has in earnest: the preset that knows the CDN's headers, the
//! list of its networks in a file that is watched, a secret besides the address, a guard that knows our
//! hosts, and another policy in the shadow of the present one. For the demonstration, the file is a
//! temporary one and the CDN connects from `127.0.0.2`; every Linux has that address.
//!
//! ```text
//! cargo run -p proxyfix-examples --bin behind_a_cdn
//! ```

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::{Router, routing::get};
use proxyfix::lint::Code;
use proxyfix::{Field, Guard, Preset, Proof, ProxyFix, Ranges, Reloadable, Shadow};
use proxyfix_axum::{AbsoluteUrl, ClientIp, Origin, wrap};
use proxyfix_examples::talk;
use tokio::net::TcpListener;

/// In earnest it comes from the environment, and only the CDN's account knows it besides.
const SECRET: &str = "0c9f1d3e7b5a4862";

/// As providers publish them: a network a line. In earnest the machines of the CDN, here our own.
const BEFORE: &str = "# as of this morning\n192.0.2.0/24\n";
const AFTER: &str = "# as of now\n192.0.2.0/24\n127.0.0.2\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("proxyfix-example-{}.txt", std::process::id()));
    std::fs::write(&path, BEFORE)?;
    let outcome = serve_and_ask(&path).await;
    std::fs::remove_file(&path)?;
    outcome
}

async fn serve_and_ask(path: &std::path::Path) -> Result<(), Box<dyn Error>> {
    // Nobody at first; the file says who the CDN is.
    let nobody_yet = "192.0.2.1".parse()?;
    // What if all of them were listed, and no secret asked for?
    let other = Shadow::new(Preset::Cloudflare.policy("192.0.2.0/24, 127.0.0.2".parse()?)?);
    let fix = ProxyFix::of(Preset::Cloudflare.builder(nobody_yet)?)
        .and_proof(Proof::secret("X-Origin-Secret", [SECRET])?)
        .shadow(other.clone())
        // The guard below says which hosts are served.
        .accept(Code::HostUnrestricted)
        .build()?;
    let (fix, reload) = Reloadable::new(fix);
    let watch = reload
        .watch_file_with(path, Duration::from_millis(50), |octets| Ranges::from_text(octets)?.trusted())?;

    let app = Router::new()
        .route("/", get(hello))
        .layer(Guard::new().allow_hosts(["good.example", "*.good.example"])?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let app = wrap(app, fix).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let cdn = IpAddr::from([127, 0, 0, 2]);
    let request = format!(
        "GET / HTTP/1.1\nHost: good.example\nCF-Connecting-IP: 203.0.113.9\nX-Forwarded-Proto: https\n\
         X-Origin-Secret: {SECRET}"
    );
    talk("The list does not have the CDN yet", cdn, address, &request).await?;

    std::fs::write(path, AFTER)?;
    while reload.policy().generation() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    talk("The list was replaced, and nothing was restarted", cdn, address, &request).await?;
    let guess = request.replace(SECRET, "0000000000000000");
    talk("Another customer of the CDN, who does not know the secret", cdn, address, &guess).await?;
    let foreign = request.replace("good.example", "evil.example");
    talk("A host that is not ours", cdn, address, &foreign).await?;

    println!("\n# The policy in the shadow\n");
    println!("{} requests, {} decided otherwise,", other.requests(), other.differing());
    println!("{} of them the client; the last one:", other.differing_in(Field::For));
    other.samples().last().iter().for_each(|sample| println!("  {sample}"));
    drop(watch);
    Ok(())
}

async fn hello(ClientIp(ip): ClientIp, url: AbsoluteUrl, Origin(origin): Origin) -> String {
    format!("Hello, {ip}, at {}.\nGeneration {}: {origin}.\n", url.of("/"), origin.generation())
}
