//! Apache.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Group, User, geteuid};

use crate::process::session;
use crate::web::{self, Place, WebServer, missing};

/// A file of `examples/deployment/apache`, and an Apache that has the modules which it says to enable.
#[derive(Clone, Debug)]
pub struct Site {
    apache: web::Program,
    modules: Vec<(String, PathBuf)>,
    text: String,
}

/// Where distributions have the modules.
const MODULE_DIRS: [&str; 6] = [
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
    "/usr/lib64/apache2",
    "/usr/lib/apache2",
    "/usr/local/libexec/apache24",
];

/// What distributions enable from the start. What is not there as a file is built in.
const ENABLED: [&str; 12] = [
    "mpm_event",
    "unixd",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_host",
    "authz_user",
    "auth_basic",
    "alias",
    "dir",
    "mime",
    "setenvif",
];

/// Finds Apache for the file `name`, see [`web::installed`]; a module that it lacks is missing, too.
#[must_use]
pub fn site(name: &str) -> Option<Site> {
    let apache = web::installed(&["apache2", "httpd"])?;
    let text = web::deployment("apache", name);
    let folder = MODULE_DIRS.iter().map(Path::new).find(|folder| folder.join("mod_alias.so").is_file());
    let Some(folder) = folder else {
        missing("Apache with its modules as files");
        return None;
    };
    let file = |module: &str| folder.join(format!("mod_{module}.so"));
    let named = text.lines().find_map(|line| line.strip_prefix("# a2enmod "));
    let named = named.unwrap_or_else(|| panic!("{name} does not say which modules to enable"));
    if let Some(module) = named.split(' ').find(|module| !file(module).is_file()) {
        missing(format_args!("mod_{module} of Apache"));
        return None;
    }
    let modules = ENABLED.into_iter().filter(|module| file(module).is_file()).chain(named.split(' '));
    let modules = modules.map(|module| (module.to_owned(), file(module))).collect();
    Some(Site { apache, modules, text })
}

impl Site {
    /// The same with another text in one place.
    #[must_use]
    #[track_caller]
    pub fn with(mut self, text: &str, other: &str) -> Self {
        assert!(self.text.contains(text), "{text:?} is not in {}", self.text);
        self.text = self.text.replace(text, other);
        self
    }

    /// The same with more at the end of the virtual host.
    #[must_use]
    pub fn and(self, more: &str) -> Self {
        self.with("</VirtualHost>", &format!("{more}\n</VirtualHost>"))
    }

    /// Starts it, and waits until it listens.
    pub async fn start(&self, place: Place, ip: impl Into<IpAddr>) -> WebServer {
        self.apache.start(place, ip, |place, listen| self.command(place, listen)).await
    }

    fn command(&self, place: &Place, listen: SocketAddr) -> Command {
        let folder = place.path().display();
        let has = |module: &str| self.modules.iter().any(|(name, _)| name == module);
        let mut text = String::new();
        for (name, file) in &self.modules {
            text += &format!("LoadModule {name}_module {}\n", file.display());
        }
        text += &format!(
            "ServerRoot {folder}\nPidFile apache.pid\nDefaultRuntimeDir {folder}\nMutex file:{folder} default\n\
             ErrorLog /dev/stderr\nLogLevel warn\nTypesConfig /dev/null\nServerName localhost\n\
             StartServers 1\nGracefulShutdownTimeout 10\n\
             <Directory />\nAllowOverride None\nRequire all denied\n</Directory>\n"
        );
        if let Some(user) = user() {
            text += &format!("User {}\nGroup #{}\n", user.name, user.gid);
        }
        if has("fcgid") {
            text += &format!("FcgidIPCDir {}\nFcgidProcessTableFile {folder}/fcgid\n", place.run().display());
        }
        if has("cgid") {
            text += &format!("ScriptSock {folder}/cgid\n");
        }
        let config = place.write("apache.conf", &(text + &self.text), listen);
        let mut command = session(self.apache.path());
        command.arg("-DFOREGROUND").arg("-f").arg(config);
        command
    }
}

/// Who Apache is where it is started as root; where it is not, it is who started it.
#[must_use]
pub fn user() -> Option<User> {
    let users = ["www-data", "apache", "wwwrun", "http", "www", "nobody"];
    let known = || users.iter().find_map(|name| User::from_name(name).ok().flatten());
    geteuid().is_root().then(|| known().expect("a user for Apache"))
}

/// The names of a user and a group that own what Apache has to reach, as `user:group`.
#[must_use]
pub fn owner() -> String {
    let me = User::from_uid(geteuid()).ok().flatten().expect("a user with a name");
    let group = user().map_or(me.gid, |apache| apache.gid);
    let group = Group::from_gid(group).ok().flatten().expect("a group with a name");
    format!("{}:{}", me.name, group.name)
}
