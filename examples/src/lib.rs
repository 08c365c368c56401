//! Runnable programs, one a deployment: `cargo run -p proxyfix-examples --bin NAME`.
//!
//! | program | deployment |
//! | --- | --- |
//! | `axum_behind_nginx` | an axum service behind nginx on the same machine |
//! | `hyper_without_a_framework` | hyper alone, behind a balancer in a private network |
//! | `custom_header` | a header of one's own (`X-FHost`), and a CDN's (`CF-Connecting-IP`) |
//! | `behind_a_cdn` | a CDN by its preset: networks from a watched file, a secret, a guard, a policy in the shadow |
//! | `yourapplication` | any web server: FastCGI, SCGI, CGI or HTTP; `examples/deployment/start.sh` starts each |
//! | `unit_testing_a_stack` | none: how to test the fixes of an application without a server |
//!
//! Here is what the programs with a server share: playing a request against themselves.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// Sends `head`, one line a header, from `from` to `to` over TCP; prints both sides and returns the
/// answer.
pub async fn talk(title: &str, from: IpAddr, to: SocketAddr, head: &str) -> io::Result<String> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    let mut stream = socket.connect(to).await?;
    let request = format!("{}\r\nConnection: close\r\n\r\n", head.replace('\n', "\r\n"));
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;

    println!("\n# {title}\n\nfrom {from}");
    head.lines().for_each(|line| println!("  > {line}"));
    // What is the same in every answer is left out.
    let dull = ["date:", "connection:", "content-type:", "content-length:"];
    let answer = answer.replace('\r', "");
    let worth_reading = answer.lines().filter(|line| !dull.iter().any(|name| line.starts_with(name)));
    worth_reading.filter(|line| !line.is_empty()).for_each(|line| println!("  < {line}"));
    Ok(answer)
}
