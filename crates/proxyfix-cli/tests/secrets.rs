//! What the command does not show.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

const SECRET: &str = "0123456789abcdef-secret";

/// Whoever asks `whoami` through the proxies has not seen what they added.
#[test]
fn whoami_does_not_tell_the_secret_of_the_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    std::fs::write(
        &file,
        "trust = \"127.0.0.1\"\n[secret]\nheader = \"X-Origin-Secret\"\nenv = [\"ORIGIN_SECRET\"]\n",
    )
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_proxyfix"))
        .args(["whoami", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()])
        .env("ORIGIN_SECRET", SECRET)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().trim_end_matches('/').to_owned();
    let ask = |format: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "GET /?format={format} HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 203.0.113.9\r\n\
             X-Origin-Secret: {SECRET}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answers = [ask("text"), ask("json")];
    child.kill().unwrap();
    child.wait().unwrap();
    for answer in answers {
        assert!(answer.contains("203.0.113.9 is the client") && !answer.contains(SECRET), "{answer}");
    }
}
