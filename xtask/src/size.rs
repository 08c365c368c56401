//! What each crate and feature costs to build and to carry, on this machine and at this moment.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::available_parallelism;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Check, ROOT, Result, command, metadata, name, run};

/// The package of the programs that are built.
const MANIFEST: &str = "benches/size/Cargo.toml";

/// Where the table is written.
const RESULTS: &str = "benches/size/RESULTS.md";

/// A program that is built from nothing.
struct Program {
    /// The crate that is measured, or none: then it is what others are compared with.
    package: &'static str,
    /// The feature of the crate; without a crate, what the program has.
    feature: &'static str,
    /// Its name in the package, and the features of the package with which it is built.
    bin: &'static str,
    with: &'static str,
    /// What it is compared with: `with` of an earlier one.
    over: Option<&'static str>,
}

/// What is measured, in the order of the table.
#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
    floor("nothing", "decision", ""),
    program("proxyfix-policy", "", "decision", "policy", ""),
    program("proxyfix-policy", "serde", "decision", "policy-serde", "policy"),
    floor("`http` and `tracing`", "layers", "http"),
    program("proxyfix", "", "layers", "proxyfix", "http"),
    program("proxyfix", "guard", "layers", "guard", "proxyfix"),
    program("proxyfix", "reload", "layers", "reload", "proxyfix"),
    program("proxyfix", "tokio", "layers", "tokio", "proxyfix"),
    program("proxyfix", "metrics", "layers", "metrics", "proxyfix"),
    program("proxyfix", "ranges", "layers", "ranges", "proxyfix"),
    program("proxyfix", "serde", "layers", "serde", "proxyfix"),
    program("proxyfix", "config", "layers", "config", "proxyfix"),
    floor("`axum`", "server", "axum"),
    program("proxyfix-axum", "", "server", "proxyfix-axum", "axum"),
    program("proxyfix-cgi", "", "server", "proxyfix-cgi", "axum"),
    program("proxyfix-cgi", "http", "server", "proxyfix-cgi-http", "axum"),
    // The command is a program already.
    program("proxyfix-cli", "", "proxyfix", "", "axum"),
];

const fn floor(what: &'static str, bin: &'static str, with: &'static str) -> Program {
    Program { package: "", feature: what, bin, with, over: None }
}

const fn program(
    package: &'static str,
    feature: &'static str,
    bin: &'static str,
    with: &'static str,
    over: &'static str,
) -> Program {
    Program { package, feature, bin, with, over: Some(over) }
}

/// What was measured of a program.
struct Measured {
    crates: BTreeSet<String>,
    seconds: f64,
    processor_seconds: f64,
    kibibytes: f64,
}

/// Machines without an operating system, for which there is no std. Where the compiler has one, it is built for, too.
const BARE: [&str; 4] =
    ["x86_64-unknown-none", "aarch64-unknown-none", "riscv32imac-unknown-none-elf", "thumbv7em-none-eabi"];

/// The checks that the policy does without the standard library.
pub(super) fn no_std() -> Vec<Check> {
    let manifest = "--manifest-path tests/no_std/Cargo.toml";
    let apart = format!("{manifest} --target-dir target/no_std --locked");
    let sysroot = command("rustc").args(["--print", "sysroot"]).output().map(|output| output.stdout);
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.unwrap_or_default()).trim());
    let there = |target: &&str| sysroot.join("lib/rustlib").join(target).join("lib").is_dir();
    let bare = BARE.into_iter().filter(there);
    let bare = bare.map(|target| format!("cargo build {apart} --all-features --target {target}"));
    let cure =
        "take core and alloc; where it is a crate that the policy takes, take it without its feature `std`";
    let mut checks = vec![
        ("no_std format", format!("cargo fmt {manifest} --check"), format!("run `cargo fmt {manifest}`")),
        (
            "no_std lints",
            format!("cargo clippy {apart} -- -D warnings"),
            "mend what clippy names above".to_owned(),
        ),
    ];
    let builds = [format!("cargo build {apart}"), format!("cargo build {apart} --all-features")];
    checks.extend(builds.into_iter().chain(bare).map(|line| ("no_std", line, cure.to_owned())));
    checks
}

/// Builds every program, prints the table and writes it.
pub(super) fn size(options: &[&str]) -> Result {
    if let [option, ..] = options {
        return Err(format!("`cargo xtask size` has no option, and {option:?} is none"));
    }
    let metadata = metadata()?;
    complete(&metadata)?;
    let dir = Path::new(metadata["target_directory"].as_str().unwrap_or_default()).join("size");
    for manifest in [MANIFEST, "Cargo.toml"] {
        let fetch = ["cargo", "fetch", "--locked", "--manifest-path", manifest];
        run("what is built, downloaded before", &fetch, "connect to the network")?;
    }
    println!("\n== size: {} programs, each built from nothing", PROGRAMS.len());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut measured = BTreeMap::<&str, Measured>::new();
    let mut rows = vec![HEADS.map(str::to_owned).to_vec()];
    for program in PROGRAMS {
        let of_it = program.measure(&dir)?;
        println!("{}: {:.1} s, {:.0} KiB", program.title(), of_it.seconds, of_it.kibibytes);
        let over = program.over.and_then(|over| measured.get(over));
        rows.push(program.row(&of_it, over));
        measured.entry(program.with).or_insert(of_it);
    }
    // What is left is of no use to anybody.
    let _ = fs::remove_dir_all(&dir);
    let text = format!("{INTRODUCTION}\n{}{NOTES}\n{}", table(&rows), circumstances(&load));
    fs::write(Path::new(ROOT).join(RESULTS), &text)
        .map_err(|error| format!("{RESULTS} cannot be written: {error}"))?;
    println!("\n{text}\nwritten to {RESULTS}");
    Ok(())
}

/// Every published crate and each of its features has its program.
fn complete(metadata: &Value) -> Result {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    for package in packages.filter(|package| package["publish"] != json!([])) {
        let features = package["features"].as_object().into_iter().flatten();
        let features = features.map(|(feature, _)| feature.as_str()).filter(|feature| *feature != "default");
        for feature in features.chain([""]) {
            let name = name(package);
            if !PROGRAMS.iter().any(|program| (program.package, program.feature) == (name, feature)) {
                return Err(format!(
                    "nothing measures the feature {feature:?} of {name}: add it to the programs of benches/size \
                     and to xtask/src/size.rs"
                ));
            }
        }
    }
    Ok(())
}

impl Program {
    fn title(&self) -> String {
        match (self.package, self.feature) {
            ("", what) => what.to_owned(),
            (package, "") => format!("`{package}`"),
            (package, feature) => format!("`{package}`, `{feature}`"),
        }
    }

    /// The words for cargo that choose it: as it is built.
    fn chosen(&self) -> [&str; 6] {
        match self.package {
            "proxyfix-cli" => ["--manifest-path", "Cargo.toml", "--package", self.package, "--bin", self.bin],
            _ => ["--manifest-path", MANIFEST, "--features", self.with, "--bin", self.bin],
        }
    }

    fn measure(&self, dir: &Path) -> Result<Measured> {
        let dir = dir.join(if self.package == "proxyfix-cli" { self.package } else { self.with });
        let gone = |error: io::Error| format!("{} cannot be removed: {error}", dir.display());
        fs::remove_dir_all(&dir).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(gone(error)),
        })?;
        let (seconds, processor_seconds) = self.build(&dir)?;
        let file = dir.join("release").join(format!("{}{}", self.bin, env::consts::EXE_SUFFIX));
        let length = fs::metadata(&file).map_err(|error| format!("{} is not there: {error}", file.display()));
        #[expect(clippy::cast_precision_loss, reason = "no program is that long")]
        let kibibytes = length?.len() as f64 / 1024.0;
        fs::remove_dir_all(&dir).map_err(gone)?;
        Ok(Measured { crates: self.crates()?, seconds, processor_seconds, kibibytes })
    }

    /// Builds it in `dir`: the seconds that this took, and those of all processors together.
    fn build(&self, dir: &Path) -> Result<(f64, f64)> {
        let mut build = command("sh");
        // The shell knows what the processes that it waited for have used.
        build.args(["-c", r#""$@" && times"#, "sh"]).arg(env::var_os("CARGO").unwrap_or("cargo".into()));
        build.args(["build", "--quiet", "--release", "--locked", "--offline", "--target-dir"]).arg(dir);
        build.args(self.chosen());
        // As cargo builds where nobody says otherwise; the workspace has other ideas.
        for (variable, value) in [("LTO", "false"), ("CODEGEN_UNITS", "16"), ("STRIP", "true")] {
            build.env(format!("CARGO_PROFILE_RELEASE_{variable}"), value);
        }
        for variable in ["CARGO_INCREMENTAL", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS"] {
            build.env_remove(variable);
        }
        let start = Instant::now();
        let output = build.stderr(Stdio::inherit()).output().map_err(|error| format!("no `sh`: {error}"))?;
        let seconds = start.elapsed().as_secs_f64();
        let used = String::from_utf8_lossy(&output.stdout).lines().last().and_then(processor_seconds);
        match used {
            Some(used) if output.status.success() => Ok((seconds, used)),
            _ => Err(format!("{} was not built: mend what cargo names above", self.title())),
        }
    }

    /// The names of the crates that are built for it: of the crate that is measured, not of the program.
    fn crates(&self) -> Result<BTreeSet<String>> {
        let mut tree = command("cargo");
        tree.args(["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]);
        tree.args(["--locked", "--offline", "--no-default-features"]);
        match self.package {
            "" => tree.args(["--manifest-path", MANIFEST, "--features", self.with]),
            package => tree.args(["--package", package, "--features", self.feature]),
        };
        let output = tree.stderr(Stdio::inherit()).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!(
                "the dependencies of {} are unknown: see what cargo says above",
                self.title()
            ));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().skip(1).filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect())
    }

    /// Its row in the table.
    fn row(&self, measured: &Measured, over: Option<&Measured>) -> Vec<String> {
        let compared = |text: &dyn Fn(&Measured) -> String| over.map(text).unwrap_or_default();
        let base = |program: &&Program| Some(program.with) == self.over;
        vec![
            self.title(),
            PROGRAMS.iter().find(base).map(Self::title).unwrap_or_default(),
            measured.crates.len().to_string(),
            compared(&|over| measured.crates.difference(&over.crates).count().to_string()),
            format!("{:.1} s", measured.seconds),
            compared(&|over| format!("{:+.1} s", measured.seconds - over.seconds)),
            compared(&|over| match over.crates.len() {
                // A multiple of next to nothing says nothing.
                0 => String::new(),
                _ => format!("{:.1} ×", measured.processor_seconds / over.processor_seconds),
            }),
            format!("{:.0} KiB", measured.kibibytes),
            compared(&|over| format!("{:+.0} KiB", measured.kibibytes - over.kibibytes)),
        ]
    }
}

/// The sum of what `times` says in a line: `0m1.25s 0m0.31s`.
fn processor_seconds(line: &str) -> Option<f64> {
    let seconds = line.split_whitespace().map(|word| {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    });
    seconds.sum()
}

const INTRODUCTION: &str = "\
# What the crates cost to build and to carry

Written by `cargo xtask size`. Each row is a small program (`benches/size/src`) that calls the crate as one does, beside the
program named under \"over\", which does the same without it.
";

const HEADS: [&str; 9] =
    ["crate, feature", "over", "crates", "new", "cold build", "longer by", "work", "program", "added"];

const NOTES: &str = "
- crates: all that the crate and its feature take with them, built for themselves. new: those of them that are not built for what is
  under \"over\". Both are facts of the lock file.
- cold build: of the program and of all that it needs, once, in a new directory, as `cargo build --release` has it by default, with
  everything downloaded. These seconds are of one machine and one moment; anything else that runs there makes them longer.
  work: the time of all processors together, as a multiple of the other program's; this is what can be compared.
- program: stripped, with what the standard library has. added: what the crate makes of it.
- The programs for `serde` write the record of a decision with `serde_json`, which is in the program and not among the crates.
  `proxyfix-cgi` takes the place of `axum::serve`. `proxyfix-cli` is the command itself, with all of its features.
";

/// The rows as a table that can be read as it stands, too.
fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let _ = match column {
                0 | 1 => write!(text, "| {cell:<0$} ", width(column)),
                _ => write!(text, "| {cell:>0$} ", width(column)),
            };
        }
        text.push_str("|\n");
        if number == 0 {
            (0..row.len()).for_each(|column| text.push_str(if column < 2 { "| --- " } else { "| ---: " }));
            text.push_str("|\n");
        }
    }
    text
}

/// The machine, and how busy it was before.
fn circumstances(load: &str) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1));
    let cores = available_parallelism().map_or(1, usize::from);
    let rustc = command("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let mut text = format!(
        "- {cores} × {}, {} {}\n- {}\n",
        cpu.unwrap_or("an unnamed processor"),
        env::consts::OS,
        read("/proc/sys/kernel/osrelease").trim(),
        String::from_utf8_lossy(&rustc).trim()
    );
    if let Some(load) = load.split(' ').next().filter(|load| !load.is_empty()) {
        let _ = writeln!(text, "- load of the machine in the minute before: {load}");
    }
    text
}
