//! What starts applications and keeps them: supervisor, spawn-fcgi, whoever has a socket already.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::apache;
use crate::process::{Process, pause, send, session};
use crate::web::{Place, Program, deployment, installed};
use crate::within;

/// A running supervisor with the file of `examples/deployment/supervisor`: two processes on one socket.
#[derive(Debug)]
pub struct Supervisor {
    process: Process,
    control: PathBuf,
    config: PathBuf,
}

impl Supervisor {
    /// Finds it and its control; see [`installed`].
    #[must_use]
    pub fn installed() -> Option<[Program; 2]> {
        Some([installed(&["supervisord"])?, installed(&["supervisorctl"])?])
    }

    /// Starts it, and waits until it says of both processes that they run, which takes it a second.
    pub async fn start([daemon, control]: &[Program; 2], place: &Place) -> Self {
        let program = deployment("supervisor", "yourapplication.conf");
        let program = program.replace("yourapplication:www-data", &apache::owner());
        let folder = place.path().display();
        let text = format!(
            "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={folder}/supervisord.pid\n\
             [unix_http_server]\nfile={folder}/control\n[supervisorctl]\nserverurl=unix://{folder}/control\n\
             [rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n{program}"
        );
        let config = place.write("supervisord.conf", &text, place.http);
        let mut command = session(daemon.path());
        command.arg("-c").arg(&config);
        let mut process = Process::start("supervisord", command, &place.path().join("supervisord.log"));
        let running = |it: &Process| it.log().matches("entered RUNNING state").count() == 2;
        process.until("two running processes", running).await;
        Self { process, control: control.path().to_owned(), config }
    }

    /// Has it end one of the two processes and start it again.
    pub async fn restart(&self, number: usize) {
        let mut control = tokio::process::Command::new(&self.control);
        let process = format!("yourapplication:yourapplication_{number}");
        control.arg("-c").arg(&self.config).args(["restart", &process]);
        let output = within("a restart by supervisor", control.output()).await.expect("supervisorctl");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(": started"), "{said}{}", self.process.log());
    }

    /// The ids of the processes that it started.
    #[must_use]
    pub fn applications(&self) -> Vec<u32> {
        self.process.ids().into_iter().filter(|id| *id != self.process.id()).collect()
    }
}

/// Processes in the background that spawn-fcgi started, which nobody keeps. They are ended when this is
/// dropped.
#[derive(Debug)]
pub struct Spawned {
    /// Their ids.
    pub ids: Vec<u32>,
}

impl Spawned {
    /// Runs the file `start.sh` of `examples/deployment/spawn-fcgi`.
    pub fn start(place: &Place) -> Self {
        let script = script(place, "start.sh");
        let output = Command::new("sh").arg(script).stdin(Stdio::null()).output().expect("a shell");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ids = fs::read_to_string(place.run().join("yourapplication.pid")).expect("a file of ids");
        Self { ids: ids.lines().map(|id| id.parse().expect("an id")).collect() }
    }

    /// Waits until the process `id` is gone.
    pub async fn ends(&mut self, id: u32) {
        within("the end of a process", async {
            while runs(id) {
                pause().await;
            }
        })
        .await;
        self.ids.retain(|it| *it != id);
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        for id in self.ids.iter().filter(|id| runs(**id)) {
            send(*id, Signal::SIGKILL);
        }
    }
}

/// The file `run.sh` of `examples/deployment/spawn-fcgi`, which stays in the foreground.
pub fn kept(place: &Place) -> Process {
    let mut command = session("sh");
    command.arg(script(place, "run.sh"));
    Process::start("run.sh", command, &place.path().join("run.log"))
}

fn script(place: &Place, name: &str) -> PathBuf {
    let mut text = deployment("spawn-fcgi", name);
    if let Some(apache) = apache::user() {
        text = text.replace("-M 0660", &format!("-M 0660 -U {}", apache.name));
    }
    place.write(name, &text, place.http)
}

/// Whether there is a process `id`, in whichever state but the last.
fn runs(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

/// `program` as systemd starts it with `StandardInput=socket`: what listens is its standard input.
pub fn with_socket(program: &Path, socket: impl Into<OwnedFd>) -> Command {
    let mut command = session(program);
    command.stdin(Stdio::from(socket.into()));
    command
}

/// `program` as systemd starts it for a socket unit: what listens is descriptor 3, and two variables say so.
pub fn activated(program: &Path, socket: impl Into<OwnedFd>) -> Command {
    let mut command = session("sh");
    command.args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" 3<&0 </dev/null"]).arg(program);
    command.stdin(Stdio::from(socket.into()));
    command
}
