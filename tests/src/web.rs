//! A real web server, which lives in a temporary folder and as long as the test.

use std::env;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::process::{Process, pause};
use crate::{skipped, within};

/// A program, found by [`installed`].
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    path: PathBuf,
}

/// Where servers may be besides `PATH`, which lacks these for many users.
const SERVER_DIRS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Finds the program that goes by one of these names. Where it is missing the test is skipped, and says
/// so on standard error, past the capture of the test harness; it fails where
/// `PROXYFIX_REQUIRE_SERVERS` is set.
pub fn installed(names: &[&str]) -> Option<Program> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<_> = env::split_paths(&path).chain(SERVER_DIRS.map(PathBuf::from)).collect();
    let mut files = names.iter().flat_map(|name| dirs.iter().map(move |dir| (name, dir.join(name))));
    let found = files.find(|(_, file)| file.is_file());
    if found.is_none() {
        missing(names.join(" or "));
    }
    found.map(|(name, path)| Program { name: (*name).to_owned(), path })
}

/// Says that `what` is not installed, and that the test is skipped; fails where it must not be.
pub fn missing(what: impl std::fmt::Display) {
    let required = env::var_os("PROXYFIX_REQUIRE_SERVERS").is_some_and(|value| !value.is_empty());
    assert!(!required, "{what} is not installed, and this test needs it: `cargo xtask test` installs it");
    skipped(&format!("{what} is not installed; `cargo xtask test` installs it"));
}

impl Program {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it so that it listens on a free port of `ip`, and waits until it does. `command` writes
    /// what it needs into the folder, which is empty, and makes a [`session`](crate::process::session).
    pub async fn start(
        &self,
        place: Place,
        ip: impl Into<IpAddr>,
        mut command: impl FnMut(&Place, SocketAddr) -> Command,
    ) -> WebServer {
        let ip = ip.into();
        for _ in 0..ATTEMPTS {
            let address = free_port(ip);
            let log = place.path().join(format!("{}.log", self.name));
            let process = Process::start(&self.name, command(&place, address), &log);
            let mut process = Listening { process, address };
            if process.comes().await {
                return WebServer { process: process.process, place, address };
            }
        }
        panic!("{} found {ATTEMPTS} free ports of {ip} taken", self.name);
    }
}

/// Ports that are tried: between our choice of a free one and a server's listening anybody may take it.
pub const ATTEMPTS: usize = 5;

/// A port of `ip` that nobody listens on.
pub fn free_port(ip: impl Into<IpAddr>) -> SocketAddr {
    TcpListener::bind((ip.into(), 0)).and_then(|it| it.local_addr()).expect("a free port")
}

/// A web server that is there, and starts with any of the files in its folder of `examples/deployment`.
pub trait Deploy {
    /// Starts it with the file `name`, and waits until it listens.
    fn deploy(&self, place: Place, name: &str) -> impl Future<Output = WebServer>;
}

/// A process that is about to listen.
#[derive(Debug)]
pub struct Listening {
    /// The process.
    pub process: Process,
    /// Where it will listen.
    pub address: SocketAddr,
}

impl Listening {
    /// Waits until it does; false where somebody else has the port.
    pub async fn comes(&mut self) -> bool {
        within("a listening server", async {
            loop {
                if let Some(status) = self.process.ended() {
                    let log = self.process.log();
                    assert!(log.contains("ddress already in use"), "it ended with {status}: {log}");
                    return false;
                }
                if self.process.listens(self.address) {
                    return true;
                }
                pause().await;
            }
        })
        .await
    }
}

/// A running web server, all its processes, and its folder.
#[derive(Debug)]
pub struct WebServer {
    /// Its processes, killed before the folder goes.
    pub process: Process,
    place: Place,
    address: SocketAddr,
}

impl WebServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its folder.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What it had to say.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// A temporary folder with all that belongs to one deployment, in the place of the standing texts of
/// the files in `examples/deployment`:
///
/// | in the files | in a test |
/// | --- | --- |
/// | `/srv/yourapplication`, where the program is | `srv` |
/// | `/run/yourapplication`, where sockets are | `run` |
/// | `127.0.0.1:8080`, where the web server listens | a free port |
/// | `127.0.0.1:3000`, the application over HTTP | [`http`](Self::http) |
/// | `127.0.0.1:9000`, the application over FastCGI or SCGI | [`gateway`](Self::gateway) |
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    /// Where the application serves HTTP.
    pub http: SocketAddr,
    /// Where the application serves FastCGI or SCGI over TCP.
    pub gateway: SocketAddr,
}

impl Place {
    /// A new folder.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let place =
            Self { folder, http: free_port(crate::loopback()), gateway: free_port(crate::loopback()) };
        // Some servers give up root for another user, who has to reach it.
        let modes = if geteuid().is_root() { [0o755, 0o755, 0o777] } else { [0o700; 3] };
        for (folder, mode) in ["", "srv/htdocs", "run"].into_iter().zip(modes) {
            let folder = place.path().join(folder);
            fs::create_dir_all(&folder).expect("a folder to write to");
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("a folder of our own");
        }
        place
    }

    /// The whole folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What stands for `/srv/yourapplication`.
    pub fn srv(&self) -> PathBuf {
        self.path().join("srv")
    }

    /// What stands for `/run/yourapplication`.
    pub fn run(&self) -> PathBuf {
        self.path().join("run")
    }

    /// Writes the file `name` with this `text`, where standing texts are replaced, and `listen` is where
    /// the web server listens.
    pub fn write(&self, name: &str, text: &str, listen: SocketAddr) -> PathBuf {
        let texts = [
            ("/srv/yourapplication", self.srv().display().to_string()),
            ("/run/yourapplication", self.run().display().to_string()),
            ("127.0.0.1:3000", self.http.to_string()),
            ("127.0.0.1:9000", self.gateway.to_string()),
            // lighttpd states addresses and ports apart.
            (
                "\"127.0.0.1\"\nserver.port = 8080",
                format!("\"{}\"\nserver.port = {}", listen.ip(), listen.port()),
            ),
            ("\"host\" => \"127.0.0.1\", \"port\" => 3000", host_and_port(self.http)),
            ("\"host\" => \"127.0.0.1\", \"port\" => 9000", host_and_port(self.gateway)),
            ("127.0.0.1:8080", listen.to_string()),
        ];
        let text = texts.iter().fold(text.to_owned(), |text, (standing, own)| text.replace(standing, own));
        let file = self.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder to write to");
        fs::write(&file, text).expect("a folder to write to");
        file
    }

    /// Writes the file `name` of `examples/deployment/<server>` as the file `to`, with its standing
    /// texts replaced.
    pub fn configure(&self, server: &str, name: &str, to: &str, listen: SocketAddr) -> PathBuf {
        self.write(to, &deployment(server, name), listen)
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// As lighttpd states it.
fn host_and_port(address: SocketAddr) -> String {
    format!("\"host\" => \"{}\", \"port\" => {}", address.ip(), address.port())
}

/// The file `name` of `examples/deployment/<server>`.
pub fn deployment(server: &str, name: &str) -> String {
    let file = Path::new(DEPLOYMENTS).join(server).join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The configurations of the deployment guide.
pub const DEPLOYMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/deployment");
