//! Installs what the benchmarks need, and runs them.

use std::fs;
use std::path::Path;

use super::layers::COUNTER;
use super::{ROOT, Result, Server, fuzz, metadata, run, set_up};

/// What sends requests.
const WRK: Server = Server { programs: &["wrk"], package: "wrk", renamed: &[] };

/// What is measured beside the gateways, and what measures.
const SERVERS: &[Server] = &[
    Server { programs: &["nginx"], package: "nginx", renamed: &[] },
    Server { programs: &["lighttpd"], package: "lighttpd", renamed: &[] },
    WRK,
    Server { programs: &["cc"], package: "gcc", renamed: &[] },
    // Headers stand beside the programs.
    Server {
        programs: &["../include/fcgiapp.h"],
        package: "libfcgi-dev",
        renamed: &[("dnf", "fcgi-devel"), ("apk", "fcgi-dev"), ("pacman", "fcgi"), ("brew", "fcgi")],
    },
    Server {
        programs: &["go"],
        package: "golang-go",
        renamed: &[("dnf", "golang"), ("apk", "go"), ("pacman", "go"), ("brew", "go")],
    },
];

/// What is measured around a router, and what counts instructions.
const LAYERS: [&Server; 2] = [&COUNTER, &WRK];

/// Counts and times the layers beside the crates of others, and writes `BENCHMARKS.md` and its plots.
///
/// A short run writes into the target directory.
pub(super) fn all(options: &[&str]) -> Result {
    let quick = match *options {
        [] => false,
        ["--quick"] => true,
        _ => return Err("`bench` has one option, `--quick`, and the parts `layers` and `gateway`".to_owned()),
    };
    println!("== set-up: what measures");
    for server in LAYERS {
        set_up(server)?;
    }
    let metadata = metadata()?;
    let dir = Path::new(metadata["target_directory"].as_str().unwrap_or_default()).join("layers");
    let into = if quick { dir.join("quick") } else { Path::new(ROOT).to_owned() };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (target, into) = (text(&dir), text(&into));
    // Compiled as the costs are that are recorded.
    let wrapper = format!("RUSTC_WRAPPER={ROOT}/benches/layers/rustc.sh");
    let cargo = [&*wrapper, "RUSTFLAGS=", "CARGO_INCREMENTAL=0", "cargo"];
    let package = ["--locked", "--manifest-path", "benches/layers/Cargo.toml", "--target-dir", &target];
    let feature = ["--features", "peers"];
    let build = [&cargo[..], &["build", "--release"], &package, &feature].concat();
    run("programs", &build, "mend what the compiler names above")?;
    // Criterion keeps what earlier runs measured; what is no case any more would stay.
    let kept = dir.join("criterion");
    let _ = fs::remove_dir_all(&kept);
    let home = format!("CRITERION_HOME={}", kept.display());
    let mut bench = [&[&*home], &cargo[..], &["bench", "--bench", "times"], &package, &feature].concat();
    if quick {
        bench.extend(["--", "--quick"]);
    }
    run("times", &bench, "mend what is named above")?;
    let mut report = vec!["--into", &into];
    if quick {
        report.push("--quick");
    }
    let program = text(&dir.join("release/report"));
    run("report", &[&[&*program], &report[..]].concat(), "see what it says above")
}

/// Measures the gateways.
pub(super) fn gateway(options: &[&str]) -> Result {
    println!("== set-up: what is measured, and what measures");
    for server in SERVERS {
        set_up(server)?;
    }
    let metadata = metadata()?;
    let dir = Path::new(metadata["target_directory"].as_str().unwrap_or_default()).join("benches");
    let dir_text = dir.to_string_lossy();
    let mut build = vec!["cargo", "build", "--release", "--locked"];
    build.extend(["--manifest-path", "benches/gateway/Cargo.toml", "--target-dir", &dir_text]);
    run("programs", &build, "mend what the compiler names above")?;
    // A CGI program starts for each request: without libraries to load it does so in half the time.
    let host = fuzz::host()?;
    let flags = "RUSTFLAGS=-Ctarget-feature=+crt-static";
    let linked = [&[flags], &build[..], &["--bin", "cgi", "--target", &host]].concat();
    run("a CGI program, linked statically", &linked, "install the C library for static linking")?;
    let [from, to] = [dir.join(&host).join("release/cgi"), dir.join("release/cgi-static")];
    fs::copy(&from, &to).map_err(|error| format!("{} cannot be copied: {error}", from.display()))?;
    let program = dir.join("release/gateway");
    let program = program.to_string_lossy();
    run("gateways", &[&[&*program], options].concat(), "see what it says above")
}
