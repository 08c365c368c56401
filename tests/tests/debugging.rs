//! The debugging page of the deployment guide: what it says that the logs of web servers say, they say.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use proxyfix_tests::exact::{Sent, exchange};
use proxyfix_tests::process::{Process, pause, session};
use proxyfix_tests::web::{Deploy, Place, WebServer, free_port, installed};
use proxyfix_tests::{apache, lighttpd, loopback, nginx, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const PAGE: &str = include_str!("../../crates/proxyfix-cgi/docs/deployment/debugging.md");
const APPLICATION: &str = env!("CARGO_BIN_EXE_yourapplication-under-test");

/// Asks for `/` with these octets as a body, and asserts the status, and that log and page have these
/// lines. In the page a line may stand without what `…` leaves out.
#[track_caller]
fn assert_said(server: &str, log: &str, lines: &[&str]) {
    for line in lines {
        let mut rest = log;
        let parts: Vec<_> = line.split('…').collect();
        let said = parts.iter().all(|part| match rest.split_once(part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        });
        assert!(said, "{server} does not say {line:?}:\n{log}");
        assert!(PAGE.contains(line), "the page does not have {line:?}");
    }
}

async fn ask(server: &WebServer, body: &[u8]) -> u16 {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let length = format!("Content-Length: {}", body.len());
    let mut sent = Sent::new(method, "/", &["Connection: close", &length]);
    body.clone_into(&mut sent.body);
    exchange(server.address(), &sent).await.expect("an answer").head.status
}

/// Asks until there is an answer. mod_fcgid starts a program that has ended again, once a second and not for
/// ever; a request for one that ends before it is asked may wait for longer than anybody here does.
async fn ask_again(server: &WebServer) -> u16 {
    within("an answer of mod_fcgid", async {
        loop {
            if let Ok(status) = timeout(Duration::from_secs(2), ask(server, b"")).await {
                return status;
            }
        }
    })
    .await
}

/// Deploys the file `name`, asks, and asserts what is answered and logged.
async fn assert_fails(server: &impl Deploy, place: Place, name: &str, status: u16, lines: &[&str]) {
    let mut server = server.deploy(place, name).await;
    let answered = if name.starts_with("fcgid") { ask_again(&server).await } else { ask(&server, b"").await };
    assert_eq!(answered, status, "{name}: {}", server.log());
    let last = lines.last().unwrap().rsplit('…').next().unwrap();
    server.process.until(last, |it| it.log().contains(last)).await;
    assert_said(name, &server.log(), lines);
}

/// A place where the program is a script with this text and mode.
fn script(text: &str, mode: u32) -> Place {
    let place = Place::new();
    for name in ["yourapplication.fcgi", "yourapplication.cgi"] {
        let file = place.srv().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
    place
}

/// A place with the socket of an application that has ended.
fn stale() -> Place {
    let place = Place::new();
    let socket = place.run().join("fastcgi.sock");
    drop(UnixListener::bind(&socket).unwrap());
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
    place
}

// 502 and 503: nobody answers.

#[tokio::test]
async fn nginx_without_an_application() {
    let Some(nginx) = nginx::installed() else { return };
    let line = "(2: No such file or directory) while connecting to upstream";
    assert_fails(&nginx, Place::new(), "fastcgi-root.conf", 502, &[line]).await;
    assert_fails(&nginx, stale(), "fastcgi-root.conf", 502, &["failed (111: Connection refused)"]).await;
    let line = "connect() failed (111: Connection refused)";
    assert_fails(&nginx, Place::new(), "http.conf", 502, &[line]).await;
}

#[tokio::test]
async fn lighttpd_without_an_application() {
    let Some(lighttpd) = lighttpd::installed() else { return };
    let lines = ["establishing connection failed: socket: unix:/", "all handlers for … are down."];
    assert_fails(&lighttpd, Place::new(), "fastcgi-socket.conf", 503, &lines[1..]).await;
    assert_fails(&lighttpd, stale(), "fastcgi-socket.conf", 503, &[lines[0], "Connection refused"]).await;
}

#[tokio::test]
async fn apache_without_an_application() {
    let name = "proxy-fcgi-unix-root.conf";
    let Some(apache) = apache::installed(name) else { return };
    let line = "AH02454: FCGI: attempt to connect to Unix domain socket /";
    let missing = ["(2)No such file or directory: AH02454", line];
    assert_fails(&apache, Place::new(), name, 503, &missing).await;
    assert_fails(&apache, stale(), name, 503, &["(111)Connection refused: AH02454: "]).await;
    let line = "AH00957: FCGI: attempt to connect to 127.";
    assert_fails(&apache, Place::new(), "proxy-fcgi-tcp-root.conf", 503, &[line]).await;
}

// 502 and 504: both run, and do not understand each other.

#[tokio::test]
async fn nginx_speaks_fastcgi_to_http() {
    let Some(nginx) = nginx::installed() else { return };
    let place = Place::new();
    let listener = tokio::net::TcpListener::bind(place.gateway).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let line =
        "upstream sent unsupported FastCGI protocol version: 72 while reading response header from upstream";
    assert_fails(&nginx, place, "fastcgi-params.conf", 502, &[line]).await;
}

#[tokio::test]
async fn servers_speak_http_to_fastcgi() {
    if let Some(nginx) = nginx::installed() {
        let (_application, place) = fastcgi_where_http_is_expected().await;
        let line = "upstream prematurely closed connection while reading response header from upstream";
        assert_fails(&nginx, place, "http.conf", 502, &[line]).await;
    }
    if let Some(apache) = apache::installed("proxy-http-root.conf") {
        let (_application, place) = fastcgi_where_http_is_expected().await;
        let line = "AH01102: error reading status line from remote server 127.";
        assert_fails(&apache, place, "proxy-http-root.conf", 502, &[line]).await;
    }
}

/// The example, as FastCGI at the address for HTTP.
async fn fastcgi_where_http_is_expected() -> (Process, Place) {
    let place = Place::new();
    let mut command = session(APPLICATION);
    command.env("YOURAPPLICATION_FASTCGI", place.http.to_string());
    let mut process = Process::start("yourapplication", command, &place.path().join("application.log"));
    let address = place.http;
    process.until("listening", |it| it.listens(address)).await;
    (process, place)
}

// 500: end of script output before headers.

const END: &str = "End of script output before headers: yourapplication.cgi";

#[tokio::test]
async fn apache_cannot_start_a_cgi_program() {
    let name = "cgid-root.conf";
    let Some(apache) = apache::installed(name) else { return };
    let cases = [
        (script("#!/bin/sh\n", 0o644), "(13)Permission denied: AH01241: exec of '…' failed"),
        (script("#!/bin/nowhere\n", 0o755), "(2)No such file or directory: AH01241: exec of '…' failed"),
        (script("#!/bin/sh\r\n", 0o755), "(2)No such file or directory: AH01241: exec of '…' failed"),
        (script("cut", 0o755), "(8)Exec format error: AH01241: exec of '…' failed"),
        (script("#!/bin/sh\nexit 3\n", 0o755), END),
    ];
    for (place, line) in cases {
        assert_fails(&apache, place, name, 500, &[line, END]).await;
    }
    let line = "malformed header from script 'yourapplication.cgi': Bad header: Hello";
    assert_fails(&apache, script("#!/bin/sh\necho Hello\n", 0o755), name, 500, &[line]).await;
}

#[tokio::test]
async fn apache_cannot_start_a_fastcgi_program() {
    let name = "fcgid-root.conf";
    let Some(apache) = apache::installed(name) else { return };
    let lines = [
        "(104)Connection reset by peer: [client ",
        "mod_fcgid: error reading data from FastCGI server",
        "End of script output before headers: yourapplication.fcgi",
    ];
    assert_fails(&apache, script("#!/bin/sh\n", 0o644), name, 500, &lines).await;
    assert_fails(&apache, script("#!/bin/sh\nexit 3\n", 0o755), name, 500, &lines).await;
}

#[tokio::test]
async fn mod_fcgid_refuses_more_than_128_kib() {
    let Some(apache) = apache::installed("fcgid-root.conf") else { return };
    let place = Place::new();
    fs::copy(APPLICATION, place.srv().join("yourapplication.fcgi")).unwrap();
    let site =
        apache.site("fcgid-root.conf").with("FcgidMaxRequestLen 104857600", "FcgidMaxRequestLen 131072");
    let server = site.start(place).await;
    assert_eq!(ask(&server, &vec![b'x'; 131_073]).await, 500);
    assert_said("mod_fcgid", &server.log(), &["HTTP request length … exceeds MaxRequestLen (131072)"]);
}

#[tokio::test]
async fn lighttpd_cannot_start_a_program() {
    let Some(lighttpd) = lighttpd::installed() else { return };
    let cases = [
        ("#!/bin/sh\n", 0o644, "Permission denied"),
        ("cut", 0o755, "Exec format error"),
        ("#!/no\n", 0o755, "No such file or directory"),
    ];
    for (text, mode, line) in cases {
        assert_fails(&lighttpd, script(text, mode), "cgi.conf", 500, &[line]).await;
    }
}

#[tokio::test]
async fn lighttpd_cannot_start_what_it_shall_connect_to() {
    let Some(lighttpd) = installed(&["lighttpd"]) else { return };
    let place = script("#!/bin/sh\n", 0o644);
    let address = free_port(loopback());
    place.configure("lighttpd", "fastcgi-root.conf", "yourapplication.conf", address);
    let config = place.configure("lighttpd", "lighttpd.conf", "lighttpd.conf", address);
    let mut command = session(lighttpd.path());
    command.arg("-D").arg("-f").arg(config);
    let log = place.path().join("lighttpd.log");
    let mut process = Process::start("lighttpd", command, &log);
    // It ends, or goes on and tries again, whichever it notices first.
    within("what lighttpd says", async {
        while process.ended().is_none() && !process.log().contains("If you're trying") {
            if let Ok(connection) = tokio::net::TcpStream::connect(address).await {
                let _ = connection.try_write(b"GET / HTTP/1.0\r\n\r\n");
                pause().await;
            }
        }
    })
    .await;
    let lines = [
        "invalid \"bin-path\" => \"/",
        "(check that file exists, is regular file, and is executable by lighttpd)",
        "child exited: 13 unix:/",
        "gw-backend failed to start: /",
    ];
    assert_said("lighttpd", &process.log(), &lines);
}

#[tokio::test]
async fn nginx_refuses_a_large_body() {
    let Some(nginx) = nginx::installed() else { return };
    let server = nginx.start(IpAddr::from(loopback()), |address| {
        format!("server {{ listen {address}; location / {{ fastcgi_pass 127.0.0.1:9; }} }}")
    });
    let server = server.await;
    assert_eq!(ask(&server, &vec![b'x'; 2_000_000]).await, 413);
    assert_said("nginx", &server.log(), &["client intended to send too large body: 2000000 bytes"]);
}

// By hand.

#[tokio::test]
async fn what_the_page_tries_by_hand_works() {
    let command = PAGE.lines().find_map(|it| it.strip_prefix("$ env -i ")).expect("a command");
    let command = format!("env -i {command}").replace("./yourapplication", APPLICATION);
    let output = tokio::process::Command::new("sh").args(["-c", &command]).stdin(Stdio::null()).output();
    let output = within("CGI by hand", output).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("Status: 200 OK\r\n"), "{command}: {said}{:?}", output.stderr);
    assert!(said.contains("Hello, 192.0.2.9."), "{said}");
}

#[tokio::test]
async fn a_second_application_says_what_is_in_its_way() {
    let place = Place::new();
    let taken = TcpListener::bind(place.http).unwrap();
    let said = ended(&place, "YOURAPPLICATION_HTTP", &place.http.to_string()).await;
    assert!(said.contains("address in use: another process listens there"), "{said}");
    drop(taken);
    fs::write(place.run().join("fastcgi.sock"), "a file").unwrap();
    let said =
        ended(&place, "YOURAPPLICATION_FASTCGI", place.run().join("fastcgi.sock").to_str().unwrap()).await;
    assert!(said.contains("is there, not a socket"), "{said}");
    let said =
        ended(&place, "YOURAPPLICATION_FASTCGI", place.run().join("no/fastcgi.sock").to_str().unwrap()).await;
    assert!(said.contains("there is no folder"), "{said}");
    for part in
        ["address in use: another process listens there", "is there, not a socket", "there is no folder"]
    {
        assert!(PAGE.contains(part), "the page does not have {part:?}");
    }
}

/// What the example says when it cannot start.
async fn ended(place: &Place, variable: &str, value: &str) -> String {
    let log = Path::new(place.path()).join("ended.log");
    let mut command = session(APPLICATION);
    command.env(variable, value);
    let mut process = Process::start("yourapplication", command, &log);
    assert!(!process.ends().await.success());
    process.log()
}
