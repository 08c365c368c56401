//! nginx.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::geteuid;

use crate::loopback;
use crate::process::session;
use crate::web::{self, Deploy, Place, WebServer};

/// The program, found by [`installed`].
#[derive(Clone, Debug)]
pub struct Program(web::Program);

/// Finds nginx; see [`web::installed`].
pub fn installed() -> Option<Program> {
    web::installed(&["nginx"]).map(Program)
}

impl Program {
    /// Starts nginx with what `http` says of the address to listen on, a free port of `ip`, and
    /// waits until it listens.
    pub async fn start(&self, ip: impl Into<IpAddr>, http: impl Fn(SocketAddr) -> String) -> WebServer {
        self.0.start(Place::new(), ip, |place, listen| self.command(place, &http(listen), listen)).await
    }

    fn command(&self, place: &Place, site: &str, listen: SocketAddr) -> Command {
        place.write("nginx/yourapplication.conf", site, listen);
        let config = place.configure("nginx", "nginx.conf", "nginx/nginx.conf", listen);
        for params in ["fastcgi_params", "scgi_params"] {
            let to = config.with_file_name(params);
            if !to.exists() {
                symlink(self.conf_dir().join(params), &to).expect("a folder to write to");
            }
        }
        let mut command = session(self.0.path());
        command.arg("-c").arg(config).args(["-e", "stderr"]);
        if geteuid().is_root() {
            command.args(["-g", "user root;"]);
        }
        command
    }

    /// Where the files are that came with it.
    fn conf_dir(&self) -> PathBuf {
        let output = Command::new(self.0.path()).arg("-V").output().expect("an nginx that runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let conf = said.split_whitespace().find_map(|word| word.strip_prefix("--conf-path="));
        let conf = PathBuf::from(conf.unwrap_or("/etc/nginx/nginx.conf"));
        conf.parent().expect("a folder").to_owned()
    }
}

impl Deploy for Program {
    async fn deploy(&self, place: Place, name: &str) -> WebServer {
        let site = web::deployment("nginx", name);
        self.0.start(place, loopback(), |place, listen| self.command(place, &site, listen)).await
    }
}
