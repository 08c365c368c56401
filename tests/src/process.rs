//! A process that lives as long as the test, with everything that it starts.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::within;

/// A process that was started and all that it started in turn, a session of their own. All of them
/// are killed when this is dropped, by their ids. Where the test panics, their log is printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    leader: Child,
    log: PathBuf,
}

/// A command that [`Process::start`] starts: `program` in a session of its own, and standard input empty.
///
/// Servers put the processes that they spawn into groups of their own, and forget them when they end;
/// the session stays.
pub fn session(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setsid");
    command.arg(program).stdin(Stdio::null());
    command
}

impl Process {
    /// Starts a [`session`], whose standard output and error are appended to the file `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let open = || File::options().create(true).append(true).open(log).expect("a folder to write to");
        let leader = command.stdout(open()).stderr(open()).spawn();
        let leader = leader.unwrap_or_else(|error| panic!("{name} does not start ({error}): {command:?}"));
        Self { name: name.to_owned(), leader, log: log.to_owned() }
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.leader.id()
    }

    /// The ids of all processes of the session that run, its own among them.
    pub fn ids(&self) -> Vec<u32> {
        let session = self.id().to_string();
        let processes = fs::read_dir("/proc").expect("a system that shows its processes").flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|id| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // The name of the program, in parentheses, may hold anything.
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            let fields: Vec<_> = fields.split(' ').collect();
            // State, parent, group, session.
            fields.get(3) == Some(&&*session) && fields[0] != "Z"
        })
        .collect()
    }

    /// Sends it `signal`, and nobody else.
    pub fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.leader.try_wait().expect("the state of a child process")
    }

    /// Waits until it ends.
    pub async fn ends(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        within(&what, async {
            loop {
                if let Some(status) = self.ended() {
                    return status;
                }
                pause().await;
            }
        })
        .await
    }

    /// Waits until nobody of the session runs any more.
    pub async fn leaves_nobody(&self) {
        let what = format!("the end of all that {} started", self.name);
        within(&what, async {
            while !self.ids().is_empty() {
                pause().await;
            }
        })
        .await;
    }

    /// What it had to say.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until `what` holds, which must come to pass.
    pub async fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let waited = format!("{what} ({})", self.name);
        within(&waited, async {
            while !holds(self) {
                let ended = self.ended();
                assert!(ended.is_none(), "{} ended ({ended:?}) before {what}: {}", self.name, self.log());
                pause().await;
            }
        })
        .await;
    }

    /// Whether a process of the session listens on the port of `address`: whoever else does is a stranger.
    pub fn listens(&self, address: SocketAddr) -> bool {
        let table = if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
        let port = format!(":{:04X}", address.port());
        let table = fs::read_to_string(table).expect("a system that shows its sockets");
        let sockets = table.lines().filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let listens = fields.get(1)?.ends_with(&port) && *fields.get(3)? == "0A";
            listens.then(|| format!("socket:[{}]", fields[9]))
        });
        let sockets: Vec<_> = sockets.collect();
        !sockets.is_empty()
            && self.ids().iter().any(|id| {
                let files = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
                let mut files = files.filter_map(|file| fs::read_link(file.path()).ok());
                files.any(|file| sockets.iter().any(|socket| file.as_os_str() == OsStr::new(socket)))
            })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A server that is asked to stop waits for the processes that it started; the rest is not asked.
        // Its id stays its own until it is waited for, and that of the session as long as anybody is in it.
        if let Ok(None) = self.leader.try_wait() {
            self.signal(Signal::SIGTERM);
            for _ in 0..100 {
                if !matches!(self.leader.try_wait(), Ok(None)) {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.leader.kill();
        loop {
            let left = self.ids();
            if left.is_empty() {
                break;
            }
            for id in left {
                send(id, Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(1));
        }
        let _ = self.leader.wait();
        if thread::panicking() {
            eprintln!("the log of {}:\n{}", self.name, self.log());
        }
    }
}

/// Sends a signal to the process `id`, which may have ended meanwhile.
pub fn send(id: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(id.try_into().expect("the id of a process")), signal);
}

/// Between two looks at what has to come to pass.
pub async fn pause() {
    sleep(Duration::from_millis(5)).await;
}

/// Puts the file `from` also at `to`. Nothing is written by this process: what is open for writing
/// anywhere, be it in a child that is just being started, cannot be executed.
pub fn link(from: &Path, to: &Path) {
    match fs::hard_link(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => panic!("{} is there", to.display()),
        Err(_) => {
            let copied = Command::new("cp").arg(from).arg(to).status();
            assert!(copied.is_ok_and(|it| it.success()), "{} cannot be copied", from.display());
        }
    }
}
