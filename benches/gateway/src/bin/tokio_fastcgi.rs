//! Hello world over FastCGI, as tokio-fastcgi serves it, on the unix socket that is named.

use std::{env, io};

use proxyfix_bench_gateway::HELLO;
use tokio::net::UnixListener;
use tokio_fastcgi::{RequestResult, Requests};

#[tokio::main]
async fn main() -> io::Result<()> {
    let path = env::args_os().nth(1).ok_or(io::ErrorKind::InvalidInput)?;
    let listener = UnixListener::bind(path)?;
    let answer: &str = format!(
        "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Length: {}\r\n\r\n{HELLO}",
        HELLO.len()
    )
    .leak();
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut requests = Requests::from_split_socket(stream.into_split(), 64, 1);
            while let Ok(Some(request)) = requests.next().await {
                let answered = request.process(async |request| {
                    match request.get_stdout().write(answer.as_bytes()).await {
                        Ok(_) => RequestResult::Complete(0),
                        Err(_) => RequestResult::Complete(1),
                    }
                });
                if answered.await.is_err() {
                    break;
                }
            }
        });
    }
}
