//! A real nginx, which lives in a temporary folder and as long as the test.

use std::env;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::{skipped, within};

/// The program, found by [`installed`].
#[derive(Clone, Debug)]
pub struct Program(PathBuf);

/// Where servers may be besides `PATH`, which lacks these for many users.
const SERVER_DIRS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Finds nginx. Where it is missing the test is skipped, and says so on standard error, past the
/// capture of the test harness; it fails where `PROXYFIX_REQUIRE_SERVERS` is set.
pub fn installed() -> Option<Program> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs = env::split_paths(&path).chain(SERVER_DIRS.map(PathBuf::from));
    let found = dirs.find_map(|dir| Some(dir.join("nginx")).filter(|file| file.is_file()));
    if found.is_none() {
        let required = env::var_os("PROXYFIX_REQUIRE_SERVERS").is_some_and(|value| !value.is_empty());
        assert!(!required, "nginx is not installed, and this test needs it: `cargo xtask test` installs it");
        skipped("nginx is not installed; `cargo xtask test` installs it");
    }
    found.map(Program)
}

/// A running nginx: one process, stopped when this is dropped. Where the test panics, its log is
/// printed.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    folder: TempDir,
    address: SocketAddr,
}

/// Ports that are tried: between our choice of a free one and nginx's listening anybody may take it.
const ATTEMPTS: usize = 5;

impl Program {
    /// Starts nginx with what `http` says of the address to listen on, a free port of `ip`, and
    /// waits until it listens. Relative paths are in its folder.
    pub async fn start(&self, ip: impl Into<IpAddr>, http: impl Fn(SocketAddr) -> String) -> Nginx {
        let ip = ip.into();
        for _ in 0..ATTEMPTS {
            if let Some(nginx) = self.try_start(ip, &http).await {
                return nginx;
            }
        }
        panic!("nginx found {ATTEMPTS} free ports of {ip} taken");
    }

    /// `None` where another process took the port.
    async fn try_start(&self, ip: IpAddr, http: impl Fn(SocketAddr) -> String) -> Option<Nginx> {
        let address = TcpListener::bind((ip, 0)).and_then(|it| it.local_addr()).expect("a free port");
        let folder = TempDir::new().expect("a temporary folder");
        let config = CONFIG.replace("HTTP", &http(address));
        fs::write(folder.path().join("nginx.conf"), config).expect("a folder to write to");
        let log = File::create(folder.path().join("error.log")).expect("a folder to write to");
        let process = Command::new(&self.0)
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.0.display()));
        let mut nginx = Nginx { process, folder, address };
        within("a listening nginx", nginx.listens()).await.then_some(nginx)
    }
}

/// Everything in the folder, one process, and no privileges to give up.
const CONFIG: &str = "
daemon off;
master_process off;
pid nginx.pid;
lock_file nginx.lock;
error_log stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    HTTP
}
";

impl Nginx {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it had to say.
    pub fn log(&self) -> String {
        let log = fs::read(self.folder().join("error.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Waits until it accepts connections; false where the port was taken.
    async fn listens(&mut self) -> bool {
        loop {
            if let Some(status) = self.process.try_wait().expect("the state of a child process") {
                let log = self.log();
                assert!(log.contains("Address already in use"), "nginx ended with {status}: {log}");
                return false;
            }
            // It writes the file when it listens: whoever answers before that is somebody else.
            let pid = fs::read_to_string(self.folder().join("nginx.pid")).unwrap_or_default();
            if pid.trim() == self.process.id().to_string() && TcpStream::connect(self.address).await.is_ok() {
                return true;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("the log of nginx at {}:\n{}", self.address, self.log());
        }
    }
}
