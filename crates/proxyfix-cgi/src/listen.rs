//! Where a gateway listens.

use std::env;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use listenfd::ListenFd;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::libc::mode_t;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{Group, User, dup2_stdin};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::Error;
use crate::life::Until;

/// Connections that wait in the kernel, where the system admits so many.
pub(crate) const BACKLOG: i32 = 1024;
/// Octets of the path of a unix socket, one for its end: that is all that `sockaddr_un` has.
const LONGEST_PATH: usize = 107;
/// Who may use a unix socket where nothing else is stated: its owner and its group.
const MODE: u32 = 0o660;

/// Where a gateway listens: a socket of its own, or one that the starter of the process hands over.
///
/// Nothing happens before a [`Gateway`](crate::Gateway) serves it, and what is wrong with it is said then.
///
/// | listener | as text ([`FromStr`]) | the socket |
/// | --- | --- | --- |
/// | [`unix("/run/app.sock")`](Self::unix) | `/run/app.sock`, `unix:/run/app.sock` | bound here, with [`mode`](Self::mode), [`owner`](Self::owner) and [`group`](Self::group) |
/// | [`tcp("127.0.0.1:9000")`](Self::tcp) | `127.0.0.1:9000`, `[::1]:9000`, `localhost:9000` | bound here |
/// | [`tcp("9000")`](Self::tcp) | `9000`, `:9000` | bound here, on 127.0.0.1 |
/// | [`inherited()`](Self::inherited) | `fd` | file descriptor 0 |
/// | [`systemd()`](Self::systemd) | `systemd` | the one of `LISTEN_FDS` |
/// | `Listener::from(socket)` | | one of the standard library that was bound elsewhere |
///
/// # What each starter gives
///
/// | starter | listener | the socket | standard error | told to stop by |
/// | --- | --- | --- | --- | --- |
/// | lighttpd, `bin-path` | `inherited` | unix, **one per process** | the server's log | SIGTERM, once; it never kills |
/// | Apache, mod_fcgid | `inherited` | unix, one per process | the error log | SIGTERM, twice; killed after 8 s |
/// | supervisor, `fcgi-program` | `inherited` | shared by all its processes | a pipe, logged | SIGTERM (`stopsignal`) |
/// | spawn-fcgi | `inherited` | shared by all its processes | `/dev/null` | whoever runs it |
/// | systemd, `.socket` unit | `systemd` | kept while the service restarts | the journal | SIGTERM |
/// | systemd, `StandardInput=socket` | `inherited` | the same | the journal | SIGTERM |
///
/// A socket that several processes share serves whichever of them is free. They have to be the same
/// program: that the socket does not block is known to all of them.
///
/// lighttpd starts **four** processes where nothing is stated. Each has its own threads and its own
/// memory: what an application keeps in memory is kept four times, and differs. State `"max-procs" => 1`;
/// one process serves many requests at a time. mod_fcgid gives a process one request at a time and starts
/// more as it needs them (`FcgidMaxProcessesPerClass`): keep nothing in memory there that has to be shared.
///
/// # A unix socket
///
/// Whoever may open the file may connect, and is believed: its mode is the gate. It is bound under
/// another name in the same folder, gets its owner and mode, begins to listen, and takes its place then:
/// there is no moment at which it is open to others, or does not answer. In its place there may be
///
/// | what | becomes |
/// | --- | --- |
/// | nothing | the socket |
/// | a socket that refuses connections: whoever bound it has ended | the socket |
/// | a socket that answers | an error: another process listens there |
/// | a file of another kind, a symbolic link | an error: it is not touched |
///
/// At the end the file is removed, unless another one has taken its place.
///
/// ```no_run
/// use proxyfix_cgi::{Body, Gateway, Listener};
///
/// # async fn run(app: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
/// let listener: Listener = std::env::var("LISTEN").as_deref().unwrap_or("/run/app/app.sock").parse()?;
/// Gateway::new().fastcgi(listener.group("www-data"), app).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a listener does nothing until a gateway serves it"]
pub struct Listener {
    place: Place,
    mode: Option<u32>,
    owner: Option<String>,
    group: Option<String>,
    until: Option<Until>,
}

#[derive(Debug)]
enum Place {
    Unix(PathBuf),
    Tcp(String),
    Inherited,
    Systemd,
    Bound(OwnedFd),
}

impl Listener {
    /// A unix socket, to be bound at `path`. Its mode is 0660, its owner and group are those of the
    /// process, where nothing else is stated.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::Unix(path.into()))
    }

    /// A TCP socket, to be bound at an address and port, or at a port of 127.0.0.1 alone.
    ///
    /// A gateway believes whoever connects. So an address that other machines can reach takes
    /// [`Gateway::allow`](crate::Gateway::allow) as well, or the gateway does not start.
    pub fn tcp(address: impl Into<String>) -> Self {
        Self::at(Place::Tcp(address.into()))
    }

    /// The listening socket that the starter gave as file descriptor 0 (`FCGI_LISTENSOCK_FILENO`), unix
    /// or TCP. Standard input is `/dev/null` from then on.
    ///
    /// A TCP socket takes connections of this machine only, where neither
    /// [`Gateway::allow`](crate::Gateway::allow) nor `FCGI_WEB_SERVER_ADDRS` says otherwise, whatever
    /// address the starter chose (that of spawn-fcgi is every one of the machine).
    pub fn inherited() -> Self {
        Self::at(Place::Inherited)
    }

    /// The one listening socket that the starter announces in `LISTEN_FDS`, unix or TCP: socket
    /// activation by systemd, or systemfd during development. Who may connect is decided as for
    /// [`inherited`](Self::inherited).
    pub fn systemd() -> Self {
        Self::at(Place::Systemd)
    }

    fn at(place: Place) -> Self {
        Self { place, mode: None, owner: None, group: None, until: None }
    }

    /// The mode of the unix socket, such as `0o666`: who may connect.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// The owner of the unix socket, a name or a number. Takes the right to give files away.
    pub fn owner(self, user: impl Into<String>) -> Self {
        Self { owner: Some(user.into()), ..self }
    }

    /// The group of the unix socket, a name or a number: one that the process belongs to, most usefully
    /// that of the web server.
    pub fn group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// Serves until `end` is there, instead of until a signal comes: no signal is handled then.
    ///
    /// ```
    /// use proxyfix_cgi::{Gateway, Listener};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), proxyfix_cgi::Error> {
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let listener = Listener::tcp("0").until(async { drop(stopped.await) });
    /// let served = tokio::spawn(Gateway::new().fastcgi(listener, axum::Router::new()));
    /// drop(stop);
    /// served.await.unwrap()
    /// # }
    /// ```
    pub fn until(self, end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { until: Some(Box::pin(end)), ..self }
    }

    /// Binds it or takes it over, within a runtime. `anywhere`: TCP beyond this machine is meant.
    pub(crate) fn open(self, anywhere: bool) -> Result<Open, Error> {
        if (self.mode, &self.owner, &self.group) != (None, &None, &None) {
            if let Some(what) = self.place.foreign() {
                return Err(Error::new(format!(
                    "a mode, an owner or a group was stated for {what}, whose socket this process does not \
                     make: only a Listener::unix has them"
                )));
            }
        }
        let (file, socket, name) = match &self.place {
            Place::Unix(path) => {
                let (file, socket) = self.bind_unix(path)?;
                (Some(file), socket, format!("unix:{}", path.display()))
            }
            Place::Tcp(address) => {
                let socket = bind_tcp(address, anywhere)?;
                (None, socket, String::new())
            }
            Place::Inherited => (None, inherited()?, String::new()),
            Place::Systemd => (None, systemd()?, String::new()),
            Place::Bound(socket) => {
                let socket = socket.try_clone().map_err(|it| Error::io("the socket cannot be used", it))?;
                (None, socket.into(), String::new())
            }
        };
        let what = self.place.to_string();
        let failed = |it| Error::io(format!("{what} cannot be used"), it);
        check(&socket, &what)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let socket = if address.is_unix() {
            Acceptor::Unix(tokio::net::UnixListener::from_std(OwnedFd::from(socket).into()).map_err(failed)?)
        } else {
            Acceptor::Tcp(tokio::net::TcpListener::from_std(OwnedFd::from(socket).into()).map_err(failed)?)
        };
        let name = match (address.as_socket(), address.as_pathname()) {
            _ if !name.is_empty() => name,
            (Some(address), _) => address.to_string(),
            (None, Some(path)) => format!("unix:{}", path.display()),
            (None, None) => what,
        };
        Ok(Open { file, socket, name, until: self.until })
    }

    fn bind_unix(&self, path: &Path) -> Result<(SocketFile, Socket), Error> {
        let what = format!("unix:{}", path.display());
        let length = path.as_os_str().len();
        if length > LONGEST_PATH {
            return Err(Error::new(format!(
                "cannot listen on {what}: the path has {length} octets, and that of a unix socket at most \
                 {LONGEST_PATH}; state a shorter one, such as one below /run"
            )));
        }
        if path.as_os_str().as_bytes().contains(&0) || path.file_name().is_none() {
            return Err(Error::new(format!("cannot listen on {what:?}: that is not the path of a file")));
        }
        let owner = self.owner.as_deref().map(user).transpose()?;
        let group = self.group.as_deref().map(group).transpose()?;
        let mode = self.mode.unwrap_or(MODE);
        if mode > 0o777 {
            return Err(Error::new(format!("{mode:#o} is not the mode of a socket: expected 0o777 or less")));
        }
        check_place(path, &what)?;
        let failed = |it: io::Error| no_file(path, &what, it);

        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        let mut file = bind_beside(path, &socket).map_err(failed)?;
        set_mode(&file.path, mode).map_err(failed)?;
        if owner.is_some() || group.is_some() {
            lchown(&file.path, owner, group).map_err(|it| {
                let (user, group) = (self.owner.as_deref(), self.group.as_deref());
                not_given_away(&what, user, group, it)
            })?;
        }
        socket.listen(BACKLOG).map_err(failed)?;
        fs::rename(&file.path, path).map_err(failed)?;
        path.clone_into(&mut file.path);
        Ok((file, socket))
    }
}

impl From<UnixListener> for Listener {
    fn from(socket: UnixListener) -> Self {
        Self::at(Place::Bound(socket.into()))
    }
}

impl From<TcpListener> for Listener {
    /// Who may connect is decided as for [`inherited`](Self::inherited).
    fn from(socket: TcpListener) -> Self {
        Self::at(Place::Bound(socket.into()))
    }
}

impl FromStr for Listener {
    type Err = Error;

    /// Reads a listener, as the table above has them.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "fd" => return Ok(Self::inherited()),
            "systemd" => return Ok(Self::systemd()),
            _ => {}
        }
        if let Some(path) = text.strip_prefix("unix:").or(Some(text).filter(|it| it.starts_with('/'))) {
            return Ok(Self::unix(path));
        }
        address(text).map_err(|()| {
            Error::new(format!(
                "{text:?} is nothing to listen on: expected a path, such as /run/app.sock, an address and a \
                 port, such as 127.0.0.1:9000, a port alone, \"fd\" or \"systemd\""
            ))
        })?;
        Ok(Self::tcp(text))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.place)
    }
}

impl Place {
    /// Its name, where no file is made for it.
    fn foreign(&self) -> Option<String> {
        Some(self).filter(|it| !matches!(it, Self::Unix(_))).map(Self::to_string)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
            Self::Inherited => f.write_str("file descriptor 0"),
            Self::Systemd => f.write_str("the socket of LISTEN_FDS"),
            Self::Bound(_) => f.write_str("the socket"),
        }
    }
}

/// A listener at work.
pub(crate) struct Open {
    /// Goes first: while the socket lives, no other file gets the number of this one.
    pub(crate) file: Option<SocketFile>,
    pub(crate) socket: Acceptor,
    /// What to call it in logs.
    pub(crate) name: String,
    pub(crate) until: Option<Until>,
}

#[derive(Debug)]
pub(crate) enum Acceptor {
    Unix(tokio::net::UnixListener),
    Tcp(tokio::net::TcpListener),
}

/// The file of a socket that was bound here; it is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|it| (it.dev(), it.ino()) == self.identity) {
            // Where it cannot be removed, the next one to listen here replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds under a name that nobody uses.
fn bind_beside(path: &Path, socket: &Socket) -> io::Result<SocketFile> {
    for _ in 0..8 {
        let random = RandomState::new().hash_one(path) >> 32;
        let path = path.with_file_name(format!(".{random:08x}"));
        match SockAddr::unix(&path).and_then(|address| socket.bind(&address)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            bound => {
                bound?;
                let it = fs::symlink_metadata(&path)?;
                return Ok(SocketFile { path, identity: (it.dev(), it.ino()) });
            }
        }
    }
    Err(ErrorKind::AddrInUse.into())
}

/// Sets the mode of a socket, and of no file that somebody put in its place: whoever may write to the folder
/// could have our own rights changed for another file by a symbolic link.
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let bits = Mode::from_bits_truncate(mode as mode_t);
    match fchmodat(AT_FDCWD, path, bits, FchmodatFlags::NoFollowSymlink) {
        // Systems that cannot do so, and symbolic links.
        Err(Errno::EOPNOTSUPP) if fs::symlink_metadata(path)?.file_type().is_socket() => {
            fs::set_permissions(path, Permissions::from_mode(mode))
        }
        set => Ok(set?),
    }
}

/// That a socket may take this place.
fn check_place(path: &Path, what: &str) -> Result<(), Error> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(no_file(path, what, error)),
    };
    if !there.is_socket() {
        let kind = match there {
            _ if there.is_dir() => "a folder",
            _ if there.is_symlink() => "a symbolic link",
            _ => "a file",
        };
        return Err(Error::new(format!(
            "cannot listen on {what}: {kind} is there, not a socket, and stays; remove it, or state another path"
        )));
    }
    // Does not block: where nobody accepts and the queue is full, that is an answer, too.
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    });
    match probe {
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Error::io(
            format!(
                "cannot listen on {what}: a socket is there, and this user may not ask whether another \
                 process listens on it; remove it, or state another path"
            ),
            error,
        )),
        _ => Err(Error::new(format!(
            "cannot listen on {what}: address in use: another process listens there; stop it, or state \
             another path"
        ))),
    }
}

fn no_file(path: &Path, what: &str, error: io::Error) -> Error {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.display();
    match error.kind() {
        ErrorKind::NotFound => Error::new(format!(
            "cannot listen on {what}: there is no folder {folder}; create it (systemd: RuntimeDirectory=), \
             or state another path"
        )),
        ErrorKind::NotADirectory => {
            Error::new(format!("cannot listen on {what}: {folder} is not a folder; state another path"))
        }
        ErrorKind::PermissionDenied => Error::io(
            format!(
                "cannot listen on {what}: this user may not create files in {folder}; give it a folder of \
                 its own (systemd: RuntimeDirectory=), or let the starter bind the socket"
            ),
            error,
        ),
        ErrorKind::InvalidInput => Error::new(format!(
            "cannot listen on {what}: the path is too long for that of a unix socket, which has at most \
             {LONGEST_PATH} octets, and ten are needed after {folder}; state a shorter one"
        )),
        _ => Error::io(format!("cannot listen on {what}"), error),
    }
}

fn not_given_away(what: &str, user: Option<&str>, group: Option<&str>, error: io::Error) -> Error {
    let cure = match (user, group) {
        (None, Some(_)) => "make this process a member of the group",
        _ => "only root may; state a group that this process belongs to, or a mode",
    };
    let whom = [("user ", user), ("group ", group)]
        .into_iter()
        .filter_map(|(kind, name)| name.map(|name| format!("{kind}{name:?}")))
        .collect::<Vec<_>>()
        .join(" and ");
    Error::io(format!("cannot give {what} to {whom}: {cure}"), error)
}

fn user(name: &str) -> Result<u32, Error> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(Error::new(format!(
            "there is no user {name:?}: state the owner of the socket by a name of /etc/passwd or a number"
        ))),
        Err(error) => Err(Error::io(format!("the user {name:?} cannot be looked up"), error.into())),
    }
}

fn group(name: &str) -> Result<u32, Error> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(Error::new(format!(
            "there is no group {name:?}: state the group of the socket by a name of /etc/group or a number"
        ))),
        Err(error) => Err(Error::io(format!("the group {name:?} cannot be looked up"), error.into())),
    }
}

/// An address and port, or a port of this machine alone.
fn address(text: &str) -> Result<SocketAddr, ()> {
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| ())
}

fn bind_tcp(text: &str, anywhere: bool) -> Result<Socket, Error> {
    let address = address(text).map_err(|()| {
        Error::new(format!(
            "{text:?} is not an address to listen on: expected an IP address and a port, such as \
             127.0.0.1:9000 or [::1]:9000, or a port alone, which is one of 127.0.0.1"
        ))
    })?;
    if !anywhere && !address.ip().to_canonical().is_loopback() {
        return Err(Error::new(format!(
            "will not listen on {address}: other machines can connect there, and a gateway believes whoever \
             does; state the web servers with Gateway::allow, or listen on 127.0.0.1:{}",
            address.port()
        )));
    }
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket)
    };
    bind().map_err(|error: io::Error| match error.kind() {
        ErrorKind::AddrInUse => Error::new(format!(
            "cannot listen on {address}: address in use: another process listens there; stop it, or state \
             another port"
        )),
        ErrorKind::AddrNotAvailable => Error::new(format!(
            "cannot listen on {address}: this machine does not have the address; state one that it has"
        )),
        ErrorKind::PermissionDenied => Error::io(
            format!(
                "cannot listen on {address}: this user may not have the port; state one from 1024 on, or let \
                 the starter bind the socket"
            ),
            error,
        ),
        _ => Error::io(format!("cannot listen on {address}"), error),
    })
}

/// Whether file descriptor 0 is a listening socket: the mark of a FastCGI starter.
pub(crate) fn fd_0_listens() -> bool {
    SockRef::from(&io::stdin()).is_listener().unwrap_or(false)
}

fn inherited() -> Result<Socket, Error> {
    let input = io::stdin();
    // Before anything is changed, so that standard input stays what it is where this fails.
    check(&SockRef::from(&input), &Place::Inherited.to_string())?;
    let failed = |it| Error::io("file descriptor 0 cannot be taken over", it);
    // A new descriptor is above 2 and not passed on to children.
    let socket = input.as_fd().try_clone_to_owned().map_err(failed)?;
    let null = File::open("/dev/null").map_err(|it| Error::io("/dev/null cannot be opened", it))?;
    dup2_stdin(&null).map_err(|it| failed(it.into()))?;
    Ok(socket.into())
}

/// Whether `LISTEN_FDS` announces sockets to this process.
pub(crate) fn systemd_starts() -> bool {
    let said = |name| env::var(name).unwrap_or_default();
    let pid = said("LISTEN_PID");
    said("LISTEN_FDS").parse().is_ok_and(|count: u32| count > 0)
        && (pid.is_empty() || pid.parse() == Ok(std::process::id()))
}

fn systemd() -> Result<Socket, Error> {
    if !systemd_starts() {
        let why = match env::var_os("LISTEN_FDS") {
            None => "LISTEN_FDS is not set",
            Some(_) if env::var_os("LISTEN_PID").is_some() => {
                "LISTEN_FDS announces none, or LISTEN_PID names another process"
            }
            Some(_) => "LISTEN_FDS announces none",
        };
        return Err(Error::new(format!(
            "no socket was handed over: {why}; start this program through its .socket unit, or use \
             Listener::unix or Listener::tcp"
        )));
    }
    let mut sockets = ListenFd::from_env();
    if sockets.len() != 1 {
        return Err(Error::new(format!(
            "LISTEN_FDS announces {} sockets, and one is served: keep one ListenStream= in the .socket unit",
            sockets.len()
        )));
    }
    let socket = match sockets.take_unix_listener(0) {
        Ok(Some(socket)) => Socket::from(socket),
        _ => match sockets.take_tcp_listener(0) {
            Ok(Some(socket)) => socket.into(),
            _ => {
                return Err(Error::new(
                    "the socket of LISTEN_FDS is neither a unix nor a TCP stream socket: the .socket unit has \
                     to have ListenStream=",
                ));
            }
        },
    };
    Ok(socket)
}

/// That connections can be accepted from it.
fn check(socket: &Socket, what: &str) -> Result<(), Error> {
    let wrong = |is: &str, cure: &str| Err(Error::new(format!("{what} is {is}: {cure}")));
    let kind = match socket.r#type() {
        Ok(kind) => kind,
        Err(error) => {
            return Err(Error::io(
                format!(
                    "{what} is not a socket: start this program from lighttpd (bin-path), mod_fcgid, \
                     spawn-fcgi or supervisor (fcgi-program), or use Listener::unix or Listener::tcp"
                ),
                error,
            ));
        }
    };
    if kind != Type::STREAM {
        return wrong("not a stream socket", "give a SOCK_STREAM one, as every web server does");
    }
    if !socket.is_listener().unwrap_or(false) {
        return wrong(
            "a socket that does not listen",
            "the starter has to hand over the listening one, not a connection (inetd: wait)",
        );
    }
    if !socket.local_addr().is_ok_and(|it| it.is_unix() || it.is_ipv4() || it.is_ipv6()) {
        return wrong("neither a unix nor a TCP socket", "give one of these");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
