//! Installs what the benchmarks need, and runs them.

use std::fs;
use std::path::Path;

use super::{Result, Server, fuzz, metadata, run, set_up};

/// What is measured beside the gateways, and what measures.
const SERVERS: &[Server] = &[
    Server { programs: &["nginx"], package: "nginx", renamed: &[] },
    Server { programs: &["lighttpd"], package: "lighttpd", renamed: &[] },
    Server { programs: &["wrk"], package: "wrk", renamed: &[] },
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
