//! The programs that are measured, the servers before them, and their processes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// How long a process may take until it can be connected to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Http,
    Ours,
    /// The same, where nginx sends what `fastcgi-stream.conf` of the guide says: what the gateway reads.
    Lean,
    TokioFastcgi,
    Go,
    Libfcgi,
}

impl Peer {
    /// Those that stand behind nginx.
    pub(crate) const BEHIND_NGINX: [Self; 5] =
        [Self::Http, Self::Ours, Self::Lean, Self::TokioFastcgi, Self::Go];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "axum over HTTP/1.1",
            Self::Ours => "proxyfix-cgi",
            Self::Lean => "proxyfix-cgi, with the variables of the guide's fastcgi-stream.conf",
            Self::TokioFastcgi => "tokio-fastcgi",
            Self::Go => "Go net/http/fcgi",
            Self::Libfcgi => "C libfcgi",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Ours | Self::Lean => "fastcgi",
            Self::TokioFastcgi => "tokio_fastcgi",
            Self::Go => "go-fcgi",
            Self::Libfcgi => "libfcgi",
        }
    }

    /// Its socket in the folder of the run.
    pub(crate) fn socket(self, place: &Place) -> PathBuf {
        place.run.join(self.key()).with_extension("sock")
    }

    /// What its socket and its upstream are named.
    fn key(self) -> &'static str {
        if self == Self::Lean { "lean" } else { self.program() }
    }

    /// Starts it.
    pub(crate) fn start(self, place: &Place) -> Result<Running> {
        let socket = self.socket(place);
        // What an earlier process of it left; there may be nothing.
        let _ = fs::remove_file(&socket);
        let mut command = Command::new(place.programs.join(self.program()));
        command.arg(&socket);
        Running::start(self.key(), place, command, || UnixStream::connect(&socket).is_ok())
    }
}

/// Where programs and files are.
pub(crate) struct Place {
    /// What cargo built, and what was compiled beside it.
    pub(crate) programs: PathBuf,
    /// Sockets, configurations and logs of this run.
    pub(crate) run: PathBuf,
}

impl Place {
    /// Compiles the peers that are not written in Rust.
    pub(crate) fn compile(&self) -> Result {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let source = |name: &str| sources.join(name).into_os_string();
        let target = |name: &str| self.programs.join(name).into_os_string();
        let mut libfcgi = command("cc");
        libfcgi.args(["-O2", "-pthread", "-o"]).args([target("libfcgi"), source("libfcgi.c")]).arg("-lfcgi");
        let mut cgi = command("cc");
        cgi.args(["-O2", "-o"]).args([target("bare-cgi"), source("cgi.c")]);
        let mut go = command("go");
        go.args(["build", "-o"]).args([target("go-fcgi"), source("fcgi.go")]);
        for mut compiler in [libfcgi, cgi, go] {
            let status = compiler.status().map_err(|error| format!("{compiler:?} failed: {error}"))?;
            if !status.success() {
                return Err(format!("{compiler:?} failed: {status}"));
            }
        }
        Ok(())
    }
}

/// A program on `PATH`, or where servers are.
pub(crate) fn command(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin:/sbin"));
    command
}

/// A process, killed when it is dropped.
pub(crate) struct Running(Child);

impl Running {
    fn start(name: &str, place: &Place, mut command: Command, up: impl Fn() -> bool) -> Result<Self> {
        let failed = |reason: &str, log: &Path| {
            let log = fs::read_to_string(log).unwrap_or_default();
            format!("{name} does not start ({reason}): {}", log.trim())
        };
        let log = place.run.join(name).with_extension("log");
        let file = File::create(&log).map_err(|error| failed(&error.to_string(), &log))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let mut child = Self(command.spawn().map_err(|error| failed(&error.to_string(), &log))?);
        let start = Instant::now();
        while !up() {
            if let Ok(Some(status)) = child.0.try_wait() {
                return Err(failed(&status.to_string(), &log));
            }
            if start.elapsed() > PATIENCE {
                return Err(failed("nobody listens", &log));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(child)
    }

    /// The processor time that it took until now, in microseconds.
    pub(crate) fn busy(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.0.id());
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The 14th and 15th field, in ticks of 10 ms, on all of Linux that there is.
        let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').skip(11).take(2);
        let ticks: Vec<u32> = fields.filter_map(|field| field.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Ok(f64::from(user + system) * 1e4),
            _ => Err(format!("{path} has no times")),
        }
    }

    /// The most memory that it ever had, in MiB.
    pub(crate) fn peak(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.0.id());
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let peak: Option<u32> = peak.and_then(|peak| peak.trim().parse().ok());
        Ok(f64::from(peak.ok_or_else(|| format!("{path} has no VmHWM"))?) / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nginx with one worker, and a port for each peer.
pub(crate) struct Nginx {
    ports: [u16; Peer::BEHIND_NGINX.len()],
    pub(crate) process: Running,
}

impl Nginx {
    pub(crate) fn start(place: &Place) -> Result<Self> {
        let ports = free_ports()?;
        let mut servers = String::new();
        for (peer, port) in Peer::BEHIND_NGINX.into_iter().zip(ports) {
            let (module, settings) = match peer {
                Peer::Http => ("proxy", PROXY.to_owned()),
                Peer::Lean => ("fastcgi", READ.to_owned()),
                _ => ("fastcgi", [READ, UNREAD].concat()),
            };
            let (name, socket) = (peer.key(), peer.socket(place));
            let scheme = if peer == Peer::Http { "http://" } else { "" };
            let _ = write!(
                servers,
                "upstream {name} {{ server unix:{}; keepalive 64; }}\n\
                 server {{\n\
                 listen 127.0.0.1:{port};\n\
                 {settings}\
                 location / {{ {module}_pass {scheme}{name}; }}\n\
                 location ~ ^/(upload|download|ignore) {{\n\
                 {module}_request_buffering off; {module}_buffering off; {module}_pass {scheme}{name};\n\
                 }}\n\
                 }}\n",
                socket.display()
            );
        }
        let file = write(place, "nginx.conf", &include_str!("../nginx.conf").replace("@servers@", &servers))?;
        let mut nginx = command("nginx");
        nginx.arg("-p").arg(&place.run).arg("-c").arg(file).args(["-e", "stderr"]);
        Ok(Self { ports, process: Running::start("nginx", place, nginx, || connects(ports[0]))? })
    }

    /// The port that leads to `peer`.
    pub(crate) fn port(&self, peer: Peer) -> u16 {
        let index = Peer::BEHIND_NGINX.into_iter().position(|it| it == peer);
        self.ports[index.expect("the peer stands behind nginx")]
    }
}

/// HTTP with kept connections, and what an application has to know: the client, the scheme and the host.
const PROXY: &str = "proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
    proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;\n\
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n";

/// FastCGI with kept connections, and the variables that the gateway reads.
const READ: &str = "fastcgi_keep_conn on;\n\
    fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri;\n\
    fastcgi_param QUERY_STRING $query_string; fastcgi_param SERVER_PROTOCOL $server_protocol;\n\
    fastcgi_param SCRIPT_NAME \"\"; fastcgi_param PATH_INFO $uri;\n\
    fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;\n\
    fastcgi_param REMOTE_ADDR $remote_addr; fastcgi_param REMOTE_PORT $remote_port;\n\
    fastcgi_param HTTPS $https if_not_empty;\n";

/// The others of the stock fastcgi_params.
const UNREAD: &str = "\
    fastcgi_param DOCUMENT_URI $document_uri; fastcgi_param DOCUMENT_ROOT $document_root;\n\
    fastcgi_param REQUEST_SCHEME $scheme; fastcgi_param GATEWAY_INTERFACE CGI/1.1;\n\
    fastcgi_param SERVER_SOFTWARE nginx/$nginx_version; fastcgi_param SERVER_ADDR $server_addr;\n\
    fastcgi_param SERVER_PORT $server_port; fastcgi_param SERVER_NAME $server_name;\n\
    fastcgi_param REDIRECT_STATUS 200;\n";

/// lighttpd, which starts a process for each request.
pub(crate) struct Lighttpd {
    pub(crate) port: u16,
    _process: Running,
}

impl Lighttpd {
    /// `programs`: those that are started, `/cgi/` the one named `cgi`.
    pub(crate) fn start(place: &Place, programs: impl Iterator<Item = &'static str>) -> Result<Self> {
        let [port] = free_ports()?;
        let root = place.run.join("cgi-bin");
        let failed = |error| format!("{}: {error}", root.display());
        fs::create_dir_all(&root).map_err(failed)?;
        for program in programs {
            fs::copy(place.programs.join(program), root.join(program)).map_err(failed)?;
        }
        let text = include_str!("../lighttpd.conf")
            .replace("@root@", &root.to_string_lossy())
            .replace("@port@", &port.to_string());
        let mut lighttpd = command("lighttpd");
        lighttpd.arg("-D").arg("-f").arg(write(place, "lighttpd.conf", &text)?);
        Ok(Self { port, _process: Running::start("lighttpd", place, lighttpd, || connects(port))? })
    }
}

fn write(place: &Place, name: &str, text: &str) -> Result<PathBuf> {
    let file = place.run.join(name);
    fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

fn connects(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let failed = |error| format!("there is no free port: {error}");
    // All of them are held until the last is found.
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        *port = listener.local_addr().map_err(failed)?.port();
        held.push(listener);
    }
    Ok(ports)
}
