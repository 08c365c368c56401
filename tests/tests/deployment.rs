//! The deployment guide: what it prints is what stands in `examples/deployment`, and every file there is
//! started, with the example `yourapplication`, by the script that the guide names.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use proxyfix_tests::exact::{Reply, Sent, exchange};
use proxyfix_tests::process::{Process, pause, session};
use proxyfix_tests::web::{ATTEMPTS, DEPLOYMENTS, Place, free_port, missing};
use proxyfix_tests::{skipped, within};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/proxyfix-cgi/docs");

/// What a web server has besides the file of the application. The journeys of the other tests start it.
const OF_THE_SERVER: [&str; 6] = [
    "apache/apache2.conf",
    "apache/htaccess.conf",
    "caddy/Caddyfile",
    "haproxy/haproxy.cfg",
    "lighttpd/lighttpd.conf",
    "nginx/nginx.conf",
];

// The guide and the files.

/// `PROXYFIX_WRITE_GUIDE=1 cargo test -p proxyfix-tests --test deployment` writes the files into the guide.
#[test]
fn what_the_guide_prints_is_the_file_word_for_word() {
    let mut printed = 0;
    for (page, mut text) in pages() {
        for (file, block) in configurations(&page, &text) {
            let path = Path::new(DEPLOYMENTS).join(&file);
            let file_text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {file}: {error}"));
            if block != file_text && env::var_os("PROXYFIX_WRITE_GUIDE").is_some() {
                text = text.replace(&format!("\n{block}```\n"), &format!("\n{file_text}```\n"));
                fs::write(Path::new(GUIDE).join(&page), &text).expect("a guide to write to");
            } else {
                assert!(block == file_text, "{page} prints another {file} than there is:\n{block}");
            }
            printed += 1;
        }
    }
    assert!(printed >= 20, "only {printed} configurations found");
}

#[test]
fn the_guide_names_every_file() {
    let text: String = pages().into_iter().map(|(_, text)| text).collect();
    let unnamed: Vec<_> = files().into_iter().filter(|file| !text.contains(file.as_str())).collect();
    assert!(unnamed.is_empty(), "the guide does not name {unnamed:?}");
}

#[test]
fn the_guide_names_no_file_that_is_not_there() {
    let servers: BTreeSet<_> =
        files().iter().filter_map(|it| it.split_once('/')).map(|(it, _)| it.to_owned()).collect();
    for (page, text) in pages() {
        // Whatever is between backticks and begins with the folder of a server.
        for named in text.split('`').skip(1).step_by(2).filter(|it| !it.contains([' ', '\n'])) {
            let named = named.strip_prefix("examples/deployment/").unwrap_or(named);
            if named.split_once('/').is_some_and(|(server, _)| servers.contains(server)) {
                assert!(
                    Path::new(DEPLOYMENTS).join(named).is_file(),
                    "{page} names {named}, which is not there"
                );
            }
        }
    }
}

#[test]
fn the_script_starts_every_file() {
    let listed: BTreeSet<_> = deployments().into_iter().collect();
    for file in files() {
        let Some((name, extension)) = file.rsplit_once('.') else {
            assert!(OF_THE_SERVER.contains(&&*file), "{file}");
            continue;
        };
        // Of a socket and its service the script names one, and those without a server it uses itself.
        if extension == "service" || OF_THE_SERVER.contains(&&*file) || !file.contains('/') {
            continue;
        }
        assert!(listed.contains(name), "start.sh does not list {file}");
    }
}

/// The pages of the guide: name and text.
fn pages() -> Vec<(String, String)> {
    let mut pages = vec!["deployment.md".to_owned()];
    let folder = fs::read_dir(Path::new(GUIDE).join("deployment")).expect("the folder of the guide");
    pages.extend(folder.map(|it| format!("deployment/{}", it.unwrap().file_name().to_str().unwrap())));
    let text = |page: &String| fs::read_to_string(Path::new(GUIDE).join(page)).expect("a page of the guide");
    pages.into_iter().map(|page| (page.clone(), text(&page))).collect()
}

/// The configurations that a page prints, each under the line that names its file.
fn configurations(page: &str, text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut before = "";
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: String =
                lines.by_ref().take_while(|it| *it != "```").flat_map(|it| [it, "\n"]).collect();
            let file = before.strip_prefix("`examples/deployment/").and_then(|it| it.strip_suffix("`:"));
            let program = ["rust", "rust,no_run", "console", "text"].contains(&language);
            assert!(file.is_some() != program, "{page}: a block of {language:?} under the line {before:?}");
            found.extend(file.map(|file| (file.to_owned(), block)));
        } else if !line.is_empty() {
            before = line;
        }
    }
    found
}

/// All files of the deployments, from their folder.
fn files() -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![DEPLOYMENTS.into()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir::<std::path::PathBuf>(folder).expect("a folder of deployments") {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(DEPLOYMENTS).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

// The script.

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/deployment/start.sh");

/// What the script lists.
fn deployments() -> Vec<String> {
    let output = Command::new("sh").arg(SCRIPT).output().expect("a shell");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn start_sh_nginx() {
    all_of("nginx").await;
}

#[tokio::test]
async fn start_sh_lighttpd() {
    all_of("lighttpd").await;
}

#[tokio::test]
async fn start_sh_apache() {
    all_of("apache").await;
}

#[tokio::test]
async fn start_sh_haproxy() {
    all_of("haproxy").await;
}

#[tokio::test]
async fn start_sh_caddy() {
    all_of("caddy").await;
}

#[tokio::test]
async fn start_sh_supervisor() {
    all_of("supervisor").await;
}

#[tokio::test]
async fn start_sh_spawn_fcgi() {
    all_of("spawn-fcgi").await;
}

#[tokio::test]
async fn start_sh_systemd() {
    all_of("systemd").await;
}

#[test]
fn start_sh_says_what_is_not_a_deployment() {
    let output = Command::new("sh").args([SCRIPT, "nginx/fastcgi"]).output().expect("a shell");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("there is no deployment nginx/fastcgi"), "{said}");
}

/// Starts one deployment of `server` after the other.
async fn all_of(server: &str) {
    let deployments = deployments();
    let mut deployments = deployments.iter().filter(|it| it.starts_with(&format!("{server}/"))).peekable();
    assert!(deployments.peek().is_some(), "the script lists no deployment of {server}");
    for deployment in deployments {
        start(deployment).await;
    }
}

/// Starts a deployment by the script, asks, and stops it.
async fn start(deployment: &str) {
    let place = Place::new();
    for _ in 0..ATTEMPTS {
        let mut command = session("sh");
        let address = free_port(Ipv4Addr::LOCALHOST);
        command.arg(SCRIPT).arg(deployment).env("PORT", address.port().to_string());
        command.env("YOURAPPLICATION", env!("CARGO_BIN_EXE_yourapplication-under-test"));
        command.env("TMPDIR", place.path());
        let log = place.path().join(format!("{}.log", address.port()));
        let mut process = Process::start(deployment, command, &log);
        let up = format!("{deployment} is up: ");
        let came_up = within(&up, async {
            loop {
                if process.log().contains(&up) {
                    break true;
                }
                if process.ended().is_some() {
                    break false;
                }
                pause().await;
            }
        });
        if came_up.await {
            answers(deployment, &process.log(), address).await;
            process.signal(Signal::SIGTERM);
            process.ends().await;
            let left: Vec<_> = folders(place.path()).collect();
            assert!(left.is_empty(), "{deployment} leaves {left:?}");
            return;
        }
        let said = process.log();
        // Not every system has it to install.
        if said.contains("install the package systemd") {
            return skipped(said.trim());
        }
        if said.contains("is missing: install the package") {
            return missing(said.trim());
        }
        let taken = ["is taken", "ddress already in use", "address in use"];
        assert!(taken.iter().any(|it| said.contains(it)), "{said}");
    }
    panic!("{deployment} found {ATTEMPTS} ports taken");
}

/// The folders that the script made.
fn folders(place: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = fs::read_dir(place).expect("the place of the test").map(|it| it.unwrap().path());
    entries.filter(|it| it.file_name().unwrap().to_str().unwrap().starts_with("tmp."))
}

/// Asks as the script says, and a little more.
async fn answers(deployment: &str, said: &str, address: SocketAddr) {
    let url = format!("http://{address}");
    let prefix = said.split(" is up: ").nth(1).and_then(|it| it.lines().next()?.strip_prefix(&url));
    let mount = prefix.and_then(|it| it.strip_suffix('/')).expect("a URL");
    assert!(said.contains(&format!("curl -i '{url}{mount}/hello/a%2Fb'")), "{said}");
    let get = async |path: &str, lines: &[&str]| get(address, &format!("{mount}{path}"), lines).await;

    let index = get("/", &[]).await;
    assert_body(deployment, &index, 200, &format!("Hello, 127.0.0.1. You are at http://127.0.0.1{mount}/\n"));
    let hello = get("/hello/a%2Fb", &[]).await;
    if deployment == "lighttpd/http" {
        // The guide says so: its mod_proxy decodes %2F, unless it is told not to.
        assert_body(deployment, &hello, 404, "Nothing is at /hello/a/b\n");
    } else {
        assert_body(deployment, &hello, 200, &format!("Hello, a/b. Home is http://127.0.0.1{mount}/\n"));
    }
    let old = get("/old", &[]).await;
    assert_eq!(old.head.status, 303, "{deployment}");
    let location = old.head.get("location");
    assert_eq!(location, Some(&*format!("http://127.0.0.1{mount}/hello/again")), "{deployment}");
    // Only over HTTP is the peer a proxy; behind a gateway it is the client, who may not name another.
    let http =
        ["http", "http-root", "http-prefix", "proxy-http-root", "proxy-http-prefix", "yourapplication-http"];
    let proxied = http.contains(&deployment.split_once('/').unwrap().1);
    let forged = get("/", &FORGED).await;
    let client = match deployment.split_once('/').unwrap().0 {
        // Here the client is trusted, too, for it is on the same machine. Caddy asks who it is by itself.
        server if proxied && server != "caddy" => "203.0.113.9",
        _ => "127.0.0.1",
    };
    let expected = format!("Hello, {client}. You are at http://127.0.0.1{mount}/\n");
    assert_body(deployment, &forged, 200, &expected);
}

/// What no web server of the guide lets pass, but for the first over HTTP: that chain only grows.
const FORGED: [&str; 4] = [
    "X-Forwarded-For: 203.0.113.9",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Prefix: /evil",
];

async fn get(address: SocketAddr, target: &str, lines: &[&str]) -> Reply {
    let (request, host) = (format!("GET {target} HTTP/1.1"), format!("Host: {}", address.ip()));
    let head = [&[&*request, &host, "Connection: close"], lines, &["", ""]].concat().join("\r\n");
    let sent = Sent { head: head.into(), body: Vec::new(), waits: false, head_only: false };
    exchange(address, &sent).await.unwrap_or_else(|error| panic!("{target}: {error}"))
}

#[track_caller]
fn assert_body(deployment: &str, reply: &Reply, status: u16, body: &str) {
    assert_eq!(reply.head.status, status, "{deployment}: {reply:?}");
    assert_eq!(String::from_utf8_lossy(&reply.body), body, "{deployment}");
}

// systemd.

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skipped("systemd-analyze is not installed");
    }
    let place = Place::new();
    let address = free_port(Ipv4Addr::LOCALHOST);
    let units: Vec<_> = files().into_iter().filter(|file| file.starts_with("systemd/")).collect();
    assert_eq!(units.len(), 4);
    for name in ["yourapplication", "yourapplication.fcgi"] {
        std::os::unix::fs::symlink("/bin/true", place.srv().join(name)).unwrap();
    }
    let paths = units.iter().map(|unit| {
        let name = unit.strip_prefix("systemd/").unwrap();
        place.configure("systemd", name, name, address)
    });
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(paths).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
