//! Builds and runs the fuzz targets, with the compiler that everything else is built with.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{ROOT, Result, command, find, metadata, run};

/// What `cargo fuzz run --sanitizer none` tells the compiler: to count where the program was, and what
/// it compared. It is for the targets alone, so that it stands in no configuration file.
const RUSTFLAGS: &str = "RUSTFLAGS=-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions";

/// What libFuzzer is told: the bytes of an input, the seconds that one may take, the megabytes in all.
const LIMITS: [&str; 3] = ["-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"];

/// How long a target runs, where nothing else is said.
const SECONDS: u32 = 60;

/// Builds the targets, then runs each of those named, or all.
pub(super) fn fuzz(words: &[&str]) -> Result {
    let targets = targets()?;
    let (seconds, chosen) = options(words, &targets)?;
    let named = env::vars_os().any(|(name, _)| name.to_string_lossy().contains("CXX"));
    if !named && find("c++").is_none() {
        return Err("no C++ compiler was found, and libFuzzer is built from its C++ source: install one \
                    (the package is g++ on Debian, gcc-c++ on Fedora), or name yours in CXX"
            .to_owned());
    }
    let host = host()?;
    let metadata = metadata()?;
    let dir = Path::new(metadata["target_directory"].as_str().unwrap_or_default()).join("fuzz");
    let dir_text = dir.to_string_lossy();
    let mut build = vec![RUSTFLAGS, "cargo", "build", "--release", "--locked"];
    build.extend(["--manifest-path", "fuzz/Cargo.toml", "--target-dir", &dir_text]);
    // With a target named, build scripts are built without the flags.
    build.extend(["--target", &host]);
    build.extend(chosen.iter().flat_map(|target| ["--bin", target]));
    run("fuzz targets", &build, "mend what the compiler names above")?;

    println!("\n== fuzz: {seconds} s for each of {}", chosen.join(", "));
    let width = chosen.iter().map(String::len).max().unwrap_or_default();
    let mut findings = Vec::new();
    for target in &chosen {
        let program = dir.join(&host).join("release").join(target);
        let finding = Run { target, program, dir: &dir }.run(seconds, width)?;
        findings.extend(finding.then_some(target.as_str()));
    }
    match findings[..] {
        [] => Ok(()),
        _ => Err(format!(
            "findings in {}: mend the crate or the target, and keep the input as fuzz/README.md says",
            findings.join(", ")
        )),
    }
}

/// The seconds and the targets that `words` ask for.
fn options(words: &[&str], targets: &[String]) -> Result<(u32, Vec<String>)> {
    let (mut seconds, mut chosen) = (SECONDS, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => {
                let number = words.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
                let cure = "`--seconds` takes a whole number from 1, such as `--seconds 60`";
                seconds = number.ok_or(cure)?;
            }
            flag if flag.starts_with('-') => {
                return Err(format!("`fuzz` has no option `{flag}`: it has `--seconds <N>`"));
            }
            target if targets.iter().any(|known| known == target) => chosen.push(target.to_owned()),
            unknown => {
                return Err(format!(
                    "there is no fuzz target `{unknown}`: the targets are {}",
                    targets.join(", ")
                ));
            }
        }
    }
    Ok((seconds, if chosen.is_empty() { targets.to_vec() } else { chosen }))
}

/// All targets: a file each.
fn targets() -> Result<Vec<String>> {
    let dir = Path::new(ROOT).join("fuzz/fuzz_targets");
    let files = fs::read_dir(&dir).map_err(|error| failed("reading", &dir, &error))?;
    let mut targets: Vec<String> = files
        .filter_map(|file| file.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    targets.sort_unstable();
    Ok(targets)
}

/// The platform that the compiler runs on.
pub(super) fn host() -> Result<String> {
    let output = command("cargo").arg("-vV").output().map_err(|error| error.to_string());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let host =
        text.as_deref().ok().and_then(|text| text.lines().find_map(|line| line.strip_prefix("host: ")));
    host.map(str::to_owned).ok_or_else(|| "`cargo -vV` does not say the host: install cargo anew".to_owned())
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> String {
    format!("{what} {} failed ({error}): see to it that it can be read and written", path.display())
}

/// One run of one target.
struct Run<'a> {
    target: &'a str,
    program: PathBuf,
    /// Where all that fuzzing makes is kept.
    dir: &'a Path,
}

impl Run<'_> {
    /// Runs the target, prints one line about it, and answers whether there is a finding.
    fn run(&self, seconds: u32, width: usize) -> Result<bool> {
        let [corpus, artifacts] = ["corpus", "artifacts"].map(|name| self.dir.join(name).join(self.target));
        for dir in [&corpus, &artifacts] {
            fs::create_dir_all(dir).map_err(|error| failed("making", dir, &error))?;
        }
        let seeds = self.expand_seeds()?;
        let log = self.dir.join(format!("{}.log", self.target));
        let file = File::create(&log).map_err(|error| failed("making", &log, &error))?;
        let start = Instant::now();
        let status = command(&self.program.to_string_lossy())
            .args(LIMITS)
            .args(["-dict=fuzz/dictionary.txt", "-print_final_stats=1"])
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args([&corpus, &seeds])
            .stderr(file)
            .status()
            .map_err(|error| failed("running", &self.program, &error))?;
        let took = start.elapsed().as_secs();
        let text = fs::read(&log).map_err(|error| failed("reading", &log, &error))?;
        let text = String::from_utf8_lossy(&text);
        let last = |label: &str| {
            let rest = text.rsplit_once(label).map_or("", |(_, rest)| rest);
            rest.split_whitespace().next().unwrap_or("?").to_owned()
        };
        let input = last("Test unit written to ");
        let result = match status.success() {
            true => "no finding",
            false if Path::new(&input).is_file() => "A FINDING",
            false => "IT FAILED",
        };
        println!(
            "{:width$}  {:>9} executions in {took} s, coverage {}, corpus {}: {result}",
            self.target,
            last("stat::number_of_executed_units: "),
            last(" cov: "),
            last(" corp: "),
        );
        if !status.success() {
            self.explain(&text, &log, &input);
        }
        Ok(!status.success())
    }

    /// Says what was found, where the input is, and how to see it again.
    fn explain(&self, text: &str, log: &Path, input: &str) {
        let lines = text.lines().skip_while(|line| !line.contains("panicked at"));
        for line in lines.take_while(|line| *line != "stack backtrace:").take(8) {
            println!("    {line}");
        }
        println!("    the log:     {}", log.display());
        if let Ok(bytes) = fs::read(input) {
            println!("    the input:   {input}");
            if bytes.len() <= 512 {
                println!("    as a seed:   {}", bytes.escape_ascii());
            }
            println!("    to see it:   {} {input}", self.program.display());
            println!("    to cut it:   {} -minimize_crash=1 -runs=100000 {input}", self.program.display());
        }
    }

    /// Writes each line of the target's seeds to a file of its own, as libFuzzer reads them.
    fn expand_seeds(&self) -> Result<PathBuf> {
        let dir = self.dir.join("seeds").join(self.target);
        // What an earlier run left; there may be nothing.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).map_err(|error| failed("making", &dir, &error))?;
        let path = Path::new(ROOT).join(format!("fuzz/seeds/{}.txt", self.target));
        let text = fs::read_to_string(&path).map_err(|error| failed("reading", &path, &error))?;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let number = index + 1;
            let seed = unescape(line.as_bytes()).ok_or_else(|| {
                format!(
                    "line {number} of {} has a bad escape: there are \\n, \\r, \\t, \\\\, \\\", \\' and \\xNN",
                    path.display()
                )
            })?;
            let file = dir.join(number.to_string());
            fs::write(&file, seed).map_err(|error| failed("writing", &file, &error))?;
        }
        Ok(dir)
    }
}

/// Undoes `escape_ascii`.
fn unescape(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    while let Some((byte, rest)) = text.split_first() {
        text = rest;
        bytes.push(match (byte, rest) {
            (b'\\', [b'x', high, low, rest @ ..]) => {
                text = rest;
                let digit = |digit: u8| char::from(digit).to_digit(16);
                u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?
            }
            (b'\\', [escaped, rest @ ..]) => {
                text = rest;
                match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'\\' | b'"' | b'\'' => *escaped,
                    _ => return None,
                }
            }
            (b'\\', []) => return None,
            _ => *byte,
        });
    }
    Some(bytes)
}
