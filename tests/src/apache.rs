//! Apache.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::{Group, User, geteuid};

use crate::loopback;
use crate::process::session;
use crate::web::{self, Deploy, Place, WebServer, deployment, missing};

/// The program and its modules, found by [`installed`].
#[derive(Clone, Debug)]
pub struct Program {
    apache: web::Program,
    modules: PathBuf,
}

/// Where distributions have the modules.
const MODULES: [&str; 6] = [
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
    "/usr/lib64/apache2",
    "/usr/lib/apache2",
    "/usr/local/libexec/apache24",
];

/// What distributions enable from the start. What is not there as a file is built in.
const ENABLED: &str = "mpm_event unixd authn_core authn_file authz_core authz_host authz_user auth_basic \
                       alias dir env mime setenvif";

/// Finds Apache with the modules which the file `name` of `examples/deployment/apache` says to enable;
/// see [`web::installed`].
#[must_use]
pub fn installed(name: &str) -> Option<Program> {
    let apache = web::installed(&["apache2", "httpd"])?;
    let modules = MODULES.map(PathBuf::from).into_iter().find(|it| it.join("mod_alias.so").is_file());
    let Some(modules) = modules else {
        missing("Apache with its modules as files");
        return None;
    };
    let program = Program { apache, modules };
    let site = program.site(name);
    let lacks = site.enabled().find(|it| !program.module(it).is_file());
    if let Some(module) = lacks {
        missing(format_args!("mod_{module} of Apache"));
        return None;
    }
    Some(program)
}

impl Program {
    fn module(&self, name: &str) -> PathBuf {
        self.modules.join(format!("mod_{name}.so"))
    }

    /// A file of `examples/deployment/apache`; for one that is to be an `.htaccess`, with that of the host.
    #[must_use]
    pub fn site(&self, name: &str) -> Site<'_> {
        let text = deployment("apache", name);
        match name {
            "root.htaccess" => Site { program: self, text: host(), htaccess: Some(("htdocs", text)) },
            "sub.htaccess" => Site { program: self, text: host(), htaccess: Some(("htdocs/sub", text)) },
            _ => Site { program: self, text, htaccess: None },
        }
    }
}

fn host() -> String {
    deployment("apache", "htaccess.conf")
}

impl Deploy for Program {
    async fn deploy(&self, place: Place, name: &str) -> WebServer {
        self.site(name).start(place).await
    }
}

/// What is configured.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    program: &'a Program,
    text: String,
    htaccess: Option<(&'static str, String)>,
}

impl Site<'_> {
    /// The same with another `text`, wherever it stands.
    #[must_use]
    #[track_caller]
    pub fn with(mut self, text: &str, other: &str) -> Self {
        let texts = [Some(&mut self.text), self.htaccess.as_mut().map(|(_, text)| text)];
        let texts: Vec<_> = texts.into_iter().flatten().filter(|it| it.contains(text)).collect();
        assert!(!texts.is_empty(), "{text:?} is not there");
        for it in texts {
            *it = it.replace(text, other);
        }
        self
    }

    /// The same with more at the end of the virtual host.
    #[must_use]
    pub fn and(self, more: &str) -> Self {
        self.with("</VirtualHost>", &format!("{more}\n</VirtualHost>"))
    }

    /// The modules that it says to enable.
    fn enabled(&self) -> impl Iterator<Item = &str> {
        let line = self.text.lines().find_map(|line| line.strip_prefix("# a2enmod "));
        line.expect("a file that says which modules to enable").split(' ')
    }

    /// Starts it, and waits until it listens.
    pub async fn start(&self, place: Place) -> WebServer {
        let program = place.srv().join("yourapplication.fcgi");
        let _ = symlink(&program, place.srv().join("yourapplication.cgi"));
        if let Some((folder, _)) = self.htaccess {
            let folder = place.srv().join(folder);
            fs::create_dir_all(&folder).expect("a folder to write to");
            symlink(&program, folder.join("yourapplication.fcgi")).expect("a folder to write to");
        }
        self.program.apache.start(place, loopback(), |place, listen| self.command(place, listen)).await
    }

    fn command(&self, place: &Place, listen: SocketAddr) -> Command {
        let folder = place.path().display();
        let mut text = String::new();
        for module in ENABLED.split(' ').chain(self.enabled()) {
            let file = self.program.module(module);
            if file.is_file() {
                writeln!(text, "LoadModule {module}_module {}", file.display()).expect("a string");
            }
        }
        text += &BASE.replace("FOLDER", &folder.to_string());
        if let Some(user) = user() {
            writeln!(text, "User {}\nGroup #{}", user.name, user.gid).expect("a string");
        }
        if let Some((folder, text)) = &self.htaccess {
            place.write(&format!("srv/{folder}/.htaccess"), text, listen);
        }
        let config = place.write("apache.conf", &(text + &self.text), listen);
        let mut command = session(self.program.apache.path());
        command.arg("-DFOREGROUND").arg("-f").arg(config);
        command
    }
}

/// Everything in the folder; few processes, and none before they are needed.
const BASE: &str = "
ServerRoot FOLDER
ServerName localhost
PidFile apache.pid
DefaultRuntimeDir FOLDER
Mutex file:FOLDER default
ErrorLog /dev/stderr
LogLevel warn
TypesConfig /dev/null
StartServers 1
<Directory />
    AllowOverride None
    Require all denied
</Directory>
<IfModule fcgid_module>
    FcgidIPCDir FOLDER/run
    FcgidProcessTableFile FOLDER/fcgid
</IfModule>
<IfModule cgid_module>
    ScriptSock FOLDER/cgid
</IfModule>
";

/// Who Apache is where it is started as root; where it is not, it is who started it.
#[must_use]
pub fn user() -> Option<User> {
    let users = ["www-data", "apache", "wwwrun", "http", "www", "nobody"];
    let known = || users.iter().find_map(|name| User::from_name(name).ok().flatten());
    geteuid().is_root().then(|| known().expect("a user for Apache"))
}

/// Who owns what Apache has to reach, and whose group: `user:group`.
#[must_use]
pub fn owner() -> String {
    let me = User::from_uid(geteuid()).ok().flatten().expect("a user with a name");
    let group = user().map_or(me.gid, |apache| apache.gid);
    let group = Group::from_gid(group).ok().flatten().expect("a group with a name");
    format!("{}:{}", me.name, group.name)
}
