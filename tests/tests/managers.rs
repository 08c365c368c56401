//! An application that others start and keep, behind a real Apache: supervisor, spawn-fcgi, and what
//! systemd does for a socket unit.
#![cfg(target_os = "linux")]

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use proxyfix_tests::apache;
use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::exact::get;
use proxyfix_tests::load::Load;
use proxyfix_tests::managers::{Spawned, Supervisor, activated, kept, with_socket};
use proxyfix_tests::process::{Process, send, session};
use proxyfix_tests::web::{Deploy, Listening, Place, free_port, installed};
use proxyfix_tests::{loopback, within};

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

/// Talks to `/run/yourapplication/fastcgi.sock`.
const FASTCGI: &str = "proxy-fcgi-unix-root.conf";

/// A place with the application, which nobody starts yet.
fn place() -> Place {
    let place = Place::new();
    place.install(APPLICATION, Serve::Auto, Repair::LighttpdCgiRootFix(String::new()));
    place
}

/// Waits until every one of these processes has answered a request.
async fn all_answer(server: SocketAddr, processes: &[u32]) {
    let expected: HashSet<_> = processes.iter().map(u32::to_string).collect();
    assert!(!expected.is_empty(), "there is no process");
    let mut answered = HashSet::new();
    within(&format!("answers of {expected:?}"), async {
        while answered != expected {
            let reply = get(server, "/process").await.expect("an answer");
            let process = String::from_utf8(reply.body).expect("an id");
            assert_eq!((reply.head.status, expected.contains(&process)), (200, true), "{process}");
            answered.insert(process);
        }
    })
    .await;
}

#[tokio::test]
async fn processes_of_supervisor_share_a_socket_and_are_replaced_one_by_one() {
    let (Some(programs), Some(apache)) = (Supervisor::installed(), apache::installed(FASTCGI)) else {
        return;
    };
    let place = place();
    let supervisor = Supervisor::start(&programs, &place).await;
    let apache = apache.deploy(place, FASTCGI).await;
    let before = supervisor.applications();
    assert_eq!(before.len(), 2, "numprocs=2");
    all_answer(apache.address(), &before).await;

    let load = Load::on(apache.address(), "");
    for number in 0..2 {
        load.goes_on().await;
        supervisor.restart(number).await;
    }
    load.goes_on().await;
    assert_eq!(load.ends(apache.place()).await, [""; 0]);
    let after = supervisor.applications();
    assert!(after.len() == 2 && !after.iter().any(|id| before.contains(id)), "{before:?}, {after:?}");
    all_answer(apache.address(), &after).await;
}

#[tokio::test]
async fn processes_of_spawn_fcgi_share_a_socket_and_one_may_end() {
    let (Some(_), Some(apache)) = (installed(&["spawn-fcgi"]), apache::installed(FASTCGI)) else { return };
    let place = place();
    let mut spawned = Spawned::start(&place);
    let apache = apache.deploy(place, FASTCGI).await;
    assert_eq!(spawned.ids.len(), 2, "-F 2");
    all_answer(apache.address(), &spawned.ids).await;

    let load = Load::on(apache.address(), "");
    load.goes_on().await;
    let one = spawned.ids[0];
    send(one, Signal::SIGTERM);
    spawned.ends(one).await;
    load.goes_on().await;
    assert_eq!(load.ends(apache.place()).await, [""; 0]);
    all_answer(apache.address(), &spawned.ids).await;
}

#[tokio::test]
async fn spawn_fcgi_in_the_foreground_is_the_application() {
    let (Some(_), Some(apache)) = (installed(&["spawn-fcgi"]), apache::installed(FASTCGI)) else { return };
    let place = place();
    let socket = place.run().join("fastcgi.sock");
    let mut kept = kept(&place);
    kept.until("a socket", |_| socket.exists()).await;
    let apache = apache.deploy(place, FASTCGI).await;
    all_answer(apache.address(), &[kept.id()]).await;
    kept.signal(Signal::SIGTERM);
    assert!(kept.ends().await.success());
}

/// What a unit says, as far as it matters to who is started how.
struct Unit {
    text: String,
}

impl Unit {
    fn read(place: &Place, name: &str) -> Self {
        let file = place.configure("systemd", name, name, place.http);
        Self { text: fs::read_to_string(file).expect("the file that was written") }
    }

    #[track_caller]
    fn get(&self, key: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    /// The program with the socket, as systemd starts it.
    fn command(&self, socket: OwnedFd) -> Command {
        let program = Path::new(self.get("ExecStart").expect("a program"));
        match self.get("StandardInput") {
            Some("socket") => with_socket(program, socket),
            _ => activated(program, socket),
        }
    }
}

/// Starts the program of `service` on `socket` and ends it, twice, and asserts that `server`, in front of
/// it, loses no request: those that come meanwhile wait in the socket.
async fn assert_a_restart_loses_nothing(
    service: &Unit,
    socket: impl Fn() -> OwnedFd,
    server: SocketAddr,
    place: &Place,
) {
    let start = || Process::start("the service", service.command(socket()), &place.path().join("log"));
    let mut process = start();
    all_answer(server, &[process.id()]).await;
    let load = Load::on(server, "");
    for _ in 0..2 {
        load.goes_on().await;
        process.signal(Signal::SIGTERM);
        assert!(process.ends().await.success());
        process = start();
    }
    load.goes_on().await;
    assert_eq!(load.ends(place).await, [""; 0]);
    all_answer(server, &[process.id()]).await;
}

#[tokio::test]
async fn a_service_of_systemd_is_replaced_behind_its_socket() {
    let Some(apache) = apache::installed(FASTCGI) else { return };
    let place = place();
    let socket = Unit::read(&place, "yourapplication.socket");
    let service = Unit::read(&place, "yourapplication.service");
    let path = socket.get("ListenStream").expect("a socket");
    let listener = UnixListener::bind(path).expect("a socket in the place");
    // SocketUser and SocketMode, which are for systemd.
    fs::set_permissions(path, PermissionsExt::from_mode(0o666)).expect("a socket of our own");
    let apache = apache.deploy(place, FASTCGI).await;
    let socket = || listener.try_clone().expect("another descriptor").into();
    assert_a_restart_loses_nothing(&service, socket, apache.address(), apache.place()).await;
}

#[tokio::test]
async fn a_service_of_systemd_over_http_is_replaced_behind_its_socket() {
    let place = place();
    let socket = Unit::read(&place, "yourapplication-http.socket");
    let service = Unit::read(&place, "yourapplication-http.service");
    let address = socket.get("ListenStream").expect("an address");
    let listener = TcpListener::bind(address).expect("a free port");
    let socket = || listener.try_clone().expect("another descriptor").into();
    assert_a_restart_loses_nothing(&service, socket, place.http, &place).await;
}

/// What systemd itself hands over, without a systemd that runs.
#[tokio::test]
async fn the_socket_of_systemd_is_found() {
    let Some(program) = installed(&["systemd-socket-activate"]) else { return };
    let place = place();
    let address = free_port(loopback());
    let mut command = session(program.path());
    command.arg("-l").arg(address.to_string()).arg(place.srv().join("yourapplication.fcgi"));
    let process = Process::start("systemd-socket-activate", command, &place.path().join("log"));
    let mut listening = Listening { process, address };
    assert!(listening.comes().await, "{}", listening.process.log());
    all_answer(address, &[listening.process.id()]).await;
    listening.process.signal(Signal::SIGTERM);
    assert!(listening.process.ends().await.success());
}
