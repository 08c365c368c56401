//! Counts and times everything, and writes `BENCHMARKS.md` and its plots: `cargo xtask bench`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

mod counts;
mod loads;
mod plots;
mod text;
mod threads;
mod times;

/// What `--help` prints.
const HELP: &str = "\
Usage: report [--quick] [--into <DIR>]

  --quick       short rounds, to see that all of it runs: the times mean nothing
  --into <DIR>  where BENCHMARKS.md and docs/benchmarks/ are written";

/// The outcome of a step: an error says what failed, and why.
type Result<T = ()> = std::result::Result<T, String>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("report: error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result {
    let (mut quick, mut into) = (false, None);
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => quick = true,
            "--into" => into = words.next(),
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(());
            }
            unknown => return Err(format!("there is no option {unknown}\n{HELP}")),
        }
    }
    let into = PathBuf::from(into.ok_or_else(|| format!("--into is missing\n{HELP}"))?);
    let times = times::read()?;
    let counts = counts::count()?;
    println!("== threads over one policy");
    let threads = threads::measure(quick);
    println!("== requests through wrk");
    let loads = loads::LOADS.map(|load| loads::measure(load, quick));
    let loads = loads.into_iter().collect::<Result<Vec<_>>>()?;
    let plots = into.join("docs/benchmarks");
    fs::create_dir_all(&plots).map_err(|error| format!("{}: {error}", plots.display()))?;
    plots::draw(&counts, &plots)?;
    let text = text::write(&counts, &times, &threads, &loads, quick);
    print!("{text}");
    let file = into.join("BENCHMARKS.md");
    fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("{} is written", file.display());
    Ok(())
}

/// A program that was built beside this one.
fn beside(name: &str) -> Result<PathBuf> {
    let program = env::current_exe().map_err(|error| format!("this program is nowhere: {error}"))?;
    let beside = program.with_file_name(name);
    if beside.is_file() { Ok(beside) } else { Err(format!("{} is missing: build it", beside.display())) }
}

/// What a program says.
fn said(program: impl AsRef<Path>, words: &[&str]) -> String {
    let mut command = Command::new(program.as_ref());
    let output = command.args(words).stdin(Stdio::null()).output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default()).trim().to_owned()
}

/// The one in the middle; of an even number, the lower of two.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
