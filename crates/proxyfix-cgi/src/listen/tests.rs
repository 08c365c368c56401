use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixStream};

use tempfile::TempDir;

use super::*;

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("app.sock");
    (folder, path)
}

/// What is in a folder.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

/// Asserts what is said where a listener cannot be opened, parts in order.
#[track_caller]
fn assert_refused(listener: Listener, parts: &[&str]) {
    let error = match listener.open(false) {
        Ok(open) => panic!("{} listens", open.name),
        Err(error) => error.to_string(),
    };
    let mut rest = &error[..];
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not in {error:?}, or not there"));
        rest = &rest[at + part.len()..];
    }
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_goes_with_the_listener() {
    let (folder, path) = folder();
    let open = Listener::unix(&path).open(false).unwrap();
    assert_eq!(open.name, format!("unix:{}", path.display()));
    assert_eq!(mode(&path), 0o660);
    assert_eq!(names(&folder), ["app.sock"]);
    UnixStream::connect(&path).unwrap();
    drop(open);
    assert!(names(&folder).is_empty());

    let _open = Listener::unix(&path).mode(0o600).open(false).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn the_mode_of_no_other_file_is_changed() {
    let (folder, path) = folder();
    let other = folder.path().join("other");
    fs::write(&other, "").unwrap();
    fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
    symlink(&other, &path).unwrap();
    assert!(set_mode(&path, 0o666).is_err());
    assert_eq!(mode(&other), 0o600);
}

#[tokio::test]
async fn owner_and_group_are_names_or_numbers() {
    let (_folder, path) = folder();
    let ours = fs::metadata(path.parent().unwrap()).unwrap();
    let user = User::from_uid(ours.uid().into()).unwrap().unwrap();
    let listener = Listener::unix(&path).owner(user.name).group(ours.gid().to_string());
    let _open = listener.open(false).unwrap();
    let socket = fs::metadata(&path).unwrap();
    assert_eq!((socket.uid(), socket.gid()), (ours.uid(), ours.gid()));
}

#[tokio::test]
async fn a_socket_that_nobody_answers_is_replaced() {
    let (folder, path) = folder();
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(names(&folder), ["app.sock"]);
    let open = Listener::unix(&path).open(false).unwrap();
    UnixStream::connect(&path).unwrap();
    drop(open);
    assert!(names(&folder).is_empty());
}

#[tokio::test]
async fn a_socket_that_answers_is_not_replaced() {
    let (folder, path) = folder();
    let other = UnixListener::bind(&path).unwrap();
    let what = path.display().to_string();
    let parts = [&what, "address in use: another process listens there", "state another path"];
    assert_refused(Listener::unix(&path), &parts);
    assert_eq!(names(&folder), ["app.sock"]);
    // Not even where it is too busy to answer at once.
    let mut waiting = Vec::new();
    other.set_nonblocking(true).unwrap();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        if socket.connect(&SockAddr::unix(&path).unwrap()).is_err() {
            break;
        }
        waiting.push(socket);
    }
    assert_refused(Listener::unix(&path), &parts);
    // Nor where it is of another type.
    drop(other);
    fs::remove_file(&path).unwrap();
    let _other = UnixDatagram::bind(&path).unwrap();
    assert_refused(Listener::unix(&path), &parts);
}

#[tokio::test]
async fn a_file_of_another_kind_is_not_touched() {
    let (folder, path) = folder();
    fs::write(&path, "precious").unwrap();
    assert_refused(Listener::unix(&path), &["app.sock: a file is there, not a socket, and stays; remove it"]);
    assert_eq!(fs::read(&path).unwrap(), b"precious");

    let link = folder.path().join("link.sock");
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    symlink(&stale, &link).unwrap();
    assert_refused(Listener::unix(&link), &["link.sock: a symbolic link is there, not a socket"]);

    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    assert_refused(Listener::unix(&inner), &["inner: a folder is there, not a socket"]);
}

#[tokio::test]
async fn only_the_file_that_was_bound_is_removed() {
    let (folder, path) = folder();
    let open = Listener::unix(&path).open(false).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(open);
    assert_eq!(names(&folder), ["app.sock"]);
}

#[tokio::test]
async fn what_fails_leaves_nothing_behind() {
    let (folder, path) = folder();
    assert_refused(Listener::unix(&path).group("no such group"), &["there is no group \"no such group\""]);
    assert_refused(Listener::unix(&path).owner("no such user"), &["there is no user \"no such user\""]);
    assert_refused(Listener::unix(&path).mode(0o1777), &["0o1777 is not the mode of a socket"]);
    assert!(names(&folder).is_empty());
}

#[tokio::test]
async fn a_path_that_cannot_be_bound_says_why() {
    let (folder, path) = folder();
    let below = folder.path().join("no/app.sock");
    let no = folder.path().join("no").display().to_string();
    assert_refused(Listener::unix(below), &["unix:", "no/app.sock: there is no folder", &no, "create it"]);

    fs::write(&path, "").unwrap();
    assert_refused(Listener::unix(path.join("app.sock")), &["app.sock is not a folder; state another path"]);

    let long = folder.path().join("x".repeat(100));
    let octets = long.as_os_str().len().to_string();
    let parts =
        ["the path has ", &octets, " octets, and that of a unix socket at most 107; state a shorter one"];
    assert_refused(Listener::unix(long), &parts);

    // Fits, but not together with the name that it has at first.
    let deep = folder.path().join("x".repeat(103 - folder.path().as_os_str().len()));
    fs::create_dir(&deep).unwrap();
    assert_refused(Listener::unix(deep.join("a")), &["too long", "107 octets, and ten are needed after"]);

    assert_refused(Listener::unix(""), &["\"unix:\": that is not the path of a file"]);
    assert_refused(Listener::unix("/tmp/a\0b"), &["that is not the path of a file"]);
}

#[test]
fn what_is_not_permitted_has_a_cure() {
    let denied = || io::Error::from(ErrorKind::PermissionDenied);
    let error = no_file(Path::new("/run/app.sock"), "unix:/run/app.sock", denied());
    assert_eq!(
        error.to_string(),
        "cannot listen on unix:/run/app.sock: this user may not create files in /run; give it a folder of its \
         own (systemd: RuntimeDirectory=), or let the starter bind the socket: permission denied"
    );
    let error = not_given_away("unix:/run/app.sock", None, Some("www-data"), denied());
    assert_eq!(
        error.to_string(),
        "cannot give unix:/run/app.sock to group \"www-data\": make this process a member of the group: \
         permission denied"
    );
    let error = not_given_away("unix:/run/app.sock", Some("app"), Some("www-data"), denied());
    assert_eq!(
        error.to_string(),
        "cannot give unix:/run/app.sock to user \"app\" and group \"www-data\": only root may; state a group \
         that this process belongs to, or a mode: permission denied"
    );
}

#[test]
fn a_port_alone_is_one_of_this_machine() {
    for (text, expected) in [
        ("9000", Some("127.0.0.1:9000")),
        (":9000", Some("127.0.0.1:9000")),
        ("localhost:9000", Some("127.0.0.1:9000")),
        ("127.0.0.1:9000", Some("127.0.0.1:9000")),
        ("0.0.0.0:9000", Some("0.0.0.0:9000")),
        ("[::1]:9000", Some("[::1]:9000")),
        ("", None),
        ("127.0.0.1", None),
        ("::1", None),
        ("65536", None),
        ("localhost", None),
        ("example.com:9000", None),
        ("localhost:localhost:9000", None),
    ] {
        assert_eq!(address(text).ok().map(|it| it.to_string()).as_deref(), expected, "{text}");
    }
}

#[tokio::test]
async fn t161_no_port_is_open_to_other_machines_unless_it_is_stated_for_whom() {
    for text in ["0.0.0.0:0", "[::]:0", "192.0.2.7:0"] {
        assert_refused(
            Listener::tcp(text),
            &[
                "will not listen on",
                text,
                "state the web servers with Gateway::allow, or listen on 127.0.0.1",
            ],
        );
    }
    assert!(Listener::tcp("0.0.0.0:0").open(true).is_ok());
    let open = Listener::tcp("0").open(false).unwrap();
    TcpStream::connect(&open.name).unwrap();
}

#[tokio::test]
async fn a_port_that_cannot_be_bound_says_why() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    assert_refused(Listener::tcp(&taken), &[&taken, "address in use", "state another port"]);
    let error = Listener::tcp("192.0.2.7:0").open(true).map(|it| it.name).unwrap_err().to_string();
    assert!(error.contains("192.0.2.7:0: this machine does not have the address"), "{error}");
    assert_refused(Listener::tcp("www"), &["\"www\" is not an address to listen on", "127.0.0.1:9000"]);
}

#[tokio::test]
async fn only_a_socket_that_is_made_here_has_a_mode() {
    for listener in
        [Listener::tcp("0").mode(0o600), Listener::inherited().owner("root"), Listener::systemd().group("0")]
    {
        let what = listener.place.to_string();
        assert_refused(listener, &["was stated for ", &what, "only a Listener::unix has them"]);
    }
}

#[tokio::test]
async fn a_socket_that_was_bound_elsewhere_is_served() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    assert_eq!(Listener::from(other).open(false).unwrap().name, address);

    let (folder, path) = folder();
    let open = Listener::from(UnixListener::bind(&path).unwrap()).open(false).unwrap();
    assert_eq!(open.name, format!("unix:{}", path.display()));
    drop(open);
    // Not ours to remove.
    assert_eq!(names(&folder), ["app.sock"]);
}

#[test]
fn what_cannot_be_accepted_from_is_refused() {
    let refused = |socket: Socket, is: &str| {
        let error = check(&socket, "file descriptor 0").unwrap_err().to_string();
        assert!(error.starts_with(&format!("file descriptor 0 is {is}")), "{error}");
    };
    let (one, _other) = UnixStream::pair().unwrap();
    refused(one.into(), "a socket that does not listen: the starter has to hand over the listening one");
    let (one, _other) = UnixDatagram::pair().unwrap();
    refused(Socket::from(OwnedFd::from(one)), "not a stream socket: give a SOCK_STREAM one");
    let file = File::open("/dev/null").unwrap();
    refused(Socket::from(OwnedFd::from(file)), "not a socket: start this program from lighttpd (bin-path)");
}

#[test]
fn a_listener_is_read_from_text() {
    for (text, expected) in [
        ("/run/app.sock", "unix:/run/app.sock"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
        ("unix:app.sock", "unix:app.sock"),
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("9000", "9000"),
        ("fd", "file descriptor 0"),
        ("systemd", "the socket of LISTEN_FDS"),
    ] {
        let listener: Listener = text.parse().unwrap();
        assert_eq!(listener.place.to_string(), expected, "{text}");
    }
    for text in ["", "app.sock", "example.com:80", "tcp:9000"] {
        let error = text.parse::<Listener>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{text:?} is nothing to listen on: expected a path")), "{error}");
    }
}
