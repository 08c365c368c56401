//! The project's own tasks, run as `cargo xtask <task>`.

use std::env::{self, consts::EXE_SUFFIX};
use std::fmt::Display;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Instant, UNIX_EPOCH};

mod bench;
mod fuzz;
mod layers;
mod size;

use serde_json::{Value, json};

/// What `cargo xtask help` prints.
const HELP: &str = "\
The project's own tasks.

Usage: cargo xtask <task>

Tasks:
  test   install the servers that the tests need, where they are missing, then
         run every check that CI runs, and stop at the first that fails
  fuzz [--seconds <N>] [<target>...]
         build the fuzz targets, which takes a C++ compiler, and run each, or
         those named, for N seconds (60 by default); fuzz/README.md says more
  bench [--quick]
         install valgrind and wrk, where they are missing, then count and time the
         layers beside the crates of others, and write BENCHMARKS.md and
         docs/benchmarks/; a short run writes into target/layers/quick
  bench layers [--record | --profile]
         install valgrind, where it is missing, then count what the layers cost,
         and compare it with benches/layers/costs.json, or write that file, or
         write which functions it is spent in into benches/layers/PROFILE.md
  bench gateway [--quick]
         install what is measured beside the gateways, where it is missing, then
         write benches/gateway/RESULTS.md; benches/gateway/README.md says more
  size   build small programs with each crate and feature, and without them, then
         write what they cost into benches/size/RESULTS.md
  help   print this text";

/// The root of the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Where packages are verified, in a new directory each time.
const PACKAGES: &str = "target/packages";

/// A server that the tests run, a module of one, or another program that they need.
struct Server {
    /// Its program, or the file of the module: the names that it goes by.
    programs: &'static [&'static str],
    /// Its package, as Debian names it.
    package: &'static str,
    /// Its package, for the managers that name it otherwise.
    renamed: &'static [(&'static str, &'static str)],
}

/// The servers that the tests run.
const SERVERS: &[Server] = &[
    server(&["nginx"], "nginx", &[]),
    server(&["lighttpd"], "lighttpd", &[]),
    server(&["haproxy"], "haproxy", &[]),
    server(&["apache2", "httpd"], "apache2", &[("dnf", "httpd"), ("pacman", "apache"), ("brew", "httpd")]),
    server(
        &["mod_fcgid.so"],
        "libapache2-mod-fcgid",
        &[("dnf", "mod_fcgid"), ("apk", "apache-mod-fcgid"), ("pacman", "mod_fcgid"), ("brew", "mod_fcgid")],
    ),
    server(&["supervisord"], "supervisor", &[]),
    server(&["spawn-fcgi"], "spawn-fcgi", &[]),
    server(&["caddy"], "caddy", &[]),
    server(&["curl"], "curl", &[]),
    layers::COUNTER,
];

const fn server(
    programs: &'static [&'static str],
    package: &'static str,
    renamed: &'static [(&'static str, &'static str)],
) -> Server {
    Server { programs, package, renamed }
}

/// Where servers may be besides `PATH`, which lacks these for many users.
const SERVER_DIRS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Where modules of Apache are, which have no program.
const MODULE_DIRS: [&str; 4] =
    ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules", "/usr/lib/apache2"];

/// The package managers, in the order in which they are looked for, each with
/// the command that installs the package named after it.
const MANAGERS: &[(&str, &[&str])] = &[
    ("apt-get", &["sh", "-c", APT_INSTALL, "apt-get"]),
    ("dnf", &["dnf", "install", "--assumeyes"]),
    ("apk", &["apk", "add", "--no-cache"]),
    ("pacman", &["pacman", "--sync", "--needed", "--noconfirm"]),
    ("brew", &["brew", "install"]),
];

/// Installs the package `$1` without starting its service, which Debian's
/// packages do unless `policy-rc.d` exits with 101. One that is there already
/// is the administrator's, and stays as it is; ours is removed again even if
/// the installation fails or is interrupted.
const APT_INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ -e "$policy" ]; then
    echo "$policy is there already, and decides whether the service of $1 starts"
else
    echo "$policy keeps the service of $1 from starting, and is removed afterwards"
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
set -- --yes --no-install-recommends -o DPkg::Lock::Timeout=120 "$1"
if ! apt-get install --download-only "$@"; then
    echo "the download failed: the package lists may be missing or old"
    apt-get update
fi
apt-get install "$@""#;

/// The outcome of a task: an error says what failed, why, and what to do.
type Result<T = ()> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["test"] => test(),
        [] | ["help" | "-h" | "--help"] | ["fuzz", "-h" | "--help"] => {
            println!("{HELP}");
            Ok(())
        }
        ["fuzz", ref options @ ..] => fuzz::fuzz(options),
        ["bench", "gateway", ref options @ ..] => bench::gateway(options),
        ["bench", "layers", ref options @ ..] => layers::bench(options),
        ["bench", ref options @ ..] => bench::all(options),
        ["size", ref options @ ..] => size::size(options),
        _ => Err(format!("there is no task `{}`: `cargo xtask help` lists the tasks", words.join(" "))),
    };
    if let Err(message) = &outcome {
        eprintln!("\nxtask: error: {message}");
    }
    ExitCode::from(u8::from(outcome.is_err()))
}

/// Sets up the servers and runs every check.
fn test() -> Result {
    let start = Instant::now();
    println!("== set-up: the servers that the tests need");
    // The tests that run them do so on Linux only.
    for server in SERVERS.iter().filter(|_| cfg!(target_os = "linux")) {
        set_up(server)?;
    }
    println!("-- set-up: {:.1} s", start.elapsed().as_secs_f64());
    // What an earlier run left: if it cannot be removed, it does no harm.
    let _ = fs::remove_dir_all(Path::new(ROOT).join(PACKAGES));
    for (title, line, cure) in checks(&metadata()?) {
        run(title, &line.split(' ').collect::<Vec<_>>(), &cure)?;
    }
    layers::check()?;
    println!("\nall steps passed in {} s", start.elapsed().as_secs());
    Ok(())
}

/// Installs `server` if it is missing.
fn set_up(server: &Server) -> Result {
    let name = server.programs.join(" or ");
    let installed = || server.programs.iter().find_map(|program| find(program));
    if let Some(path) = installed() {
        println!("{name} is there: {}", path.display());
        return Ok(());
    }
    let Some((manager, install)) = MANAGERS.iter().find(|(name, _)| find(name).is_some()) else {
        let known: Vec<_> = MANAGERS.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "{name} is missing, and no known package manager ({}) was found: install it and run this again",
            known.join(", ")
        ));
    };
    let renamed = server.renamed.iter().find(|(other, _)| other == manager);
    let package = renamed.map_or(server.package, |(_, package)| package);
    // Homebrew alone installs for the user, and refuses root.
    let id = Command::new("id").arg("-u").output();
    let root = id.is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    let sudo = *manager != "brew" && !root;
    if sudo && find("sudo").is_none() {
        return Err(format!(
            "{name} is missing, {manager} needs root to install it, and there is no sudo: \
             install the package {package} as root and run this again"
        ));
    }
    println!("{name} is missing: {manager} installs the package {package}");
    let mut words = [*install, &[package]].concat();
    if sudo {
        words.insert(0, "sudo");
    }
    run("installation", &words, "install the package yourself")?;
    installed().map(drop).ok_or_else(|| {
        let places =
            if is_module(&name) { MODULE_DIRS.join(" or ") } else { "a directory of PATH".to_owned() };
        format!(
            "{name} is still not found, though {manager} installed the package {package}: \
             put it into {places} and run this again"
        )
    })
}

/// Finds `program` on `PATH`, or where servers are; a module, where modules are.
fn find(program: &str) -> Option<PathBuf> {
    if is_module(program) {
        return MODULE_DIRS.iter().map(|dir| Path::new(dir).join(program)).find(|file| file.is_file());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SERVER_DIRS.map(PathBuf::from))
        .map(|dir| dir.join(format!("{program}{EXE_SUFFIX}")))
        .find(|file| file.is_file())
}

/// Whether this is the file of a module, and not a program.
fn is_module(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|it| it == "so")
}

/// A check: its title, its command line, and what to do when it fails.
type Check = (&'static str, String, String);

/// The checks of the workspace that `metadata` describes, in their order.
fn checks(metadata: &Value) -> Vec<Check> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let (unpublished, published): (Vec<_>, Vec<_>) =
        packages.partition(|package| package["publish"] == json!([]));
    let all = "--workspace --all-features --locked";
    // What cargo keeps of a package that it verified goes stale when the package
    // changes and its version does not: a new target directory has none of it.
    let now = UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs());
    let mut package = format!(
        "CARGO_PROFILE_DEV_DEBUG=0 cargo package --workspace --locked --allow-dirty \
         --target-dir {PACKAGES}/{now}"
    );
    for private in unpublished {
        package.extend([" --exclude ", name(private)]);
    }
    let check = |title, line, cure: &str| (title, line, cure.to_owned());
    let mut checks = vec![
        check("format", "cargo fmt --all --check".to_owned(), "run `cargo fmt --all`"),
        check(
            "lints",
            format!("cargo clippy {all} --all-targets -- -D warnings"),
            "mend what clippy names above",
        ),
    ];
    checks.extend(published.into_iter().flat_map(feature_checks));
    // Without libFuzzer, which is C++, the fuzz targets are not run.
    checks.extend(alone(["fuzz format", "fuzz lints"], "fuzz", "fuzz", " --no-default-features"));
    for (package, options) in
        [("benches/gateway", ""), ("benches/layers", ""), ("benches/size", " --all-features")]
    {
        checks.extend(alone(["benchmark format", "benchmark lints"], package, "benches", options));
    }
    checks.extend(size::no_std());
    checks.extend([
        check(
            "tests",
            // A test that needs a server then fails without it, not skips.
            format!("PROXYFIX_REQUIRE_SERVERS=1 cargo test {all}"),
            "mend what the tests name above",
        ),
        check(
            // With the feature `metrics` every decision is counted, and the shortest way through a fix is shut.
            "tests without features",
            "cargo test -p proxyfix -p proxyfix-axum --lib --locked".to_owned(),
            "mend what the tests name above",
        ),
        check(
            "documentation",
            format!("RUSTDOCFLAGS=-Dwarnings cargo doc {all} --no-deps"),
            "mend what rustdoc names above",
        ),
        check("packages", package, "mend the package named above, with cargo 1.90 or newer"),
    ]);
    checks
}

/// The checks of a workspace of its own at `path`, which is built in a directory of target/.
fn alone(titles: [&'static str; 2], path: &str, target: &str, options: &str) -> [Check; 2] {
    let manifest = format!("--manifest-path {path}/Cargo.toml");
    let lints = format!(
        "cargo clippy {manifest} --target-dir target/{target}{options} --all-targets --locked -- -D warnings"
    );
    let mend =
        "mend what clippy names above; if it is the lock file, run `cargo update --workspace".to_owned();
    [
        (titles[0], format!("cargo fmt {manifest} --check"), format!("run `cargo fmt {manifest}`")),
        (titles[1], lints, format!("{mend} {manifest}`")),
    ]
}

/// The checks that `package` compiles without features, and with each alone.
fn feature_checks(package: &Value) -> Vec<Check> {
    let name = name(package);
    let none = format!("cargo check -p {name} --no-default-features --locked");
    let mut lines = vec![none.clone()];
    for (feature, enables) in package["features"].as_object().into_iter().flatten() {
        // An empty `default` is no different from no feature at all.
        if feature != "default" || *enables != json!([]) {
            lines.push(format!("{none} --features {feature}"));
        }
    }
    let check = |line| ("features", line, "mend what the compiler names above".to_owned());
    lines.into_iter().map(check).collect()
}

/// The name of `package`.
fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

/// What cargo says of the workspace.
fn metadata() -> Result<Value> {
    let line = "cargo metadata --no-deps --format-version 1";
    let failed =
        |reason: &dyn Display| format!("`{line}` failed ({reason}): mend the manifests, or install cargo");
    let mut command = command("cargo");
    command.args(line.split(' ').skip(1)).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))
}

/// Runs the command `words`, which may begin with environment variables, with a
/// heading before it and the time that it took after it.
fn run(title: &str, words: &[&str], cure: &str) -> Result {
    let spaced = |text: &str| text.contains([' ', '\n']);
    let quoted = |word: &&str| match (*word, word.split_once('=')) {
        (plain, _) if !spaced(plain) => plain.to_owned(),
        (_, Some((name, value))) if !spaced(name) => format!("{name}='{value}'"),
        (other, _) => format!("'{}'", other.replace('\'', r"'\''")),
    };
    let line: Vec<_> = words.iter().map(quoted).collect();
    let line = line.join(" ");
    println!("\n== {title}: {line}");
    let start = Instant::now();
    let variables = words.iter().map_while(|word| word.split_once('='));
    let words = &words[variables.clone().count()..];
    let mut command = command(words[0]);
    let status = command.args(&words[1..]).envs(variables).status();
    println!("-- {title}: {:.1} s", start.elapsed().as_secs_f64());
    let reason = match status {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Err(format!("{title} failed ({reason}): {cure}\nthe command was: {line}"))
}

/// A command for `program`, to be run at the root of the workspace.
fn command(program: &str) -> Command {
    let cargo = env::var_os("CARGO").filter(|_| program == "cargo");
    let mut command = Command::new(cargo.unwrap_or_else(|| program.into()));
    command.current_dir(ROOT);
    command.stdin(Stdio::null());
    // A log is easier to read without colours.
    if env::var_os("CARGO_TERM_COLOR").is_none() && !io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "never");
    }
    command
}
