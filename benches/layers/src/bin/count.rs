//! Counts the instructions and allocations of all cases, exactly: no clock is read.

use std::collections::HashMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proxyfix_bench_layers::allocations::{Allocated, Counting, so_far};
use proxyfix_bench_layers::{Answer, Case, Kind, Request, cases};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `--help` prints.
const HELP: &str = "\
Usage: count [--only <WORD>] [--json <FILE>] [--all <FILE>] [--profile <FILE>]

  --only <WORD>  the cases whose input or name contains the word
  --json <FILE>  write the costs of our layers there, too
  --all <FILE>   write the costs of all cases there, with their answers, a case a line
  --profile <FILE>
                 write there which functions the costs of some of our layers are the costs of";

/// The outcome of a step: an error says what failed, and why.
type Result<T = ()> = std::result::Result<T, String>;

/// How often a case is called before it is counted: what it makes once is made then.
const WARM_UP: u64 = 4;

/// How often it is called in the first of two laps; in the second, twice as often.
const CALLS: u64 = 8;

/// The word by which this program knows that it is the one that is counted.
const COUNTED: &str = "--counted";

/// The C library of any x86-64 machine: without this, it copies and compares with the best that the
/// processor has.
const ANY_PROCESSOR: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,\
     -AVX_Fast_Unaligned_Load,-BMI2,-LZCNT,-MOVBE,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("count: error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result {
    let mut words = env::args().skip(1);
    let (mut only, mut json, mut all, mut profile) = (String::new(), None, None, None);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} takes a value\n{HELP}"));
        match word.as_str() {
            COUNTED => {
                counted(&value()?);
                return Ok(());
            }
            "--only" => only = value()?,
            "--json" => json = Some(value()?),
            "--all" => all = Some(value()?),
            "--profile" => profile = Some(value()?),
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(());
            }
            unknown => return Err(format!("there is no option {unknown}\n{HELP}")),
        }
    }
    let counts = count(&only)?;
    let chosen = chosen(&only);
    print!("{}", table(&chosen, &counts));
    if let Some(file) = json {
        fs::write(&file, document(&chosen, &counts)).map_err(|error| format!("{file}: {error}"))?;
    }
    if let Some(file) = all {
        fs::write(&file, lines(&chosen, &counts)).map_err(|error| format!("{file}: {error}"))?;
    }
    if let Some(file) = profile {
        fs::write(&file, profiles(&chosen, &counts)).map_err(|error| format!("{file}: {error}"))?;
    }
    match chosen.iter().zip(&counts).find(|(case, count)| is_ours(case) && is_wrong(case, count)) {
        Some((case, _)) => Err(format!("{} is wrong: mend it before its cost", case.id())),
        None => Ok(()),
    }
}

fn is_ours(case: &Case) -> bool {
    case.kind == Kind::Layer
}

fn is_wrong(case: &Case, count: &Count) -> bool {
    case.kind != Kind::Floor && count.answer != case.input.client
}

/// The cases that `only` names, and their floors.
fn chosen(only: &str) -> Vec<Case> {
    let mut cases = cases();
    let named: Vec<_> = cases.iter().map(|case| case.id().contains(only)).collect();
    let needed: Vec<_> = cases
        .iter()
        .zip(&named)
        .filter(|(_, named)| **named)
        .filter_map(|(case, _)| Some((case.input.name, case.floor?)))
        .collect();
    let mut named = named.into_iter();
    cases.retain(|case| named.next() == Some(true) || needed.contains(&(case.input.name, case.name)));
    cases
}

/// What one call of a case takes.
#[derive(Clone, Debug)]
struct Count {
    instructions: i64,
    allocations: i64,
    reallocations: i64,
    bytes: i64,
    answer: Answer,
    /// The instructions of each function itself, by its name.
    functions: HashMap<String, i64>,
}

impl Count {
    /// What it takes beyond `floor`.
    fn beyond(mut self, floor: &Self) -> Self {
        for (function, instructions) in &floor.functions {
            *self.functions.entry(function.clone()).or_default() -= instructions;
        }
        Self {
            instructions: self.instructions - floor.instructions,
            allocations: self.allocations - floor.allocations,
            reallocations: self.reallocations - floor.reallocations,
            bytes: self.bytes - floor.bytes,
            answer: self.answer,
            functions: self.functions,
        }
    }
}

// The counted program.

/// Calls each case, so that somebody can count, and says what it allocates and answers.
fn counted(only: &str) {
    // On a stack of its own, which begins at a page: what copying takes depends on addresses, and those
    // of the first stack on the environment.
    let thread = thread::Builder::new().stack_size(1 << 20).spawn({
        let only = only.to_owned();
        move || {
            for mut case in chosen(&only) {
                let request = case.input.request();
                call(&mut case, &request, WARM_UP);
                lap();
                let before = so_far();
                let answer = call(&mut case, &request, CALLS);
                let allocated = so_far();
                lap();
                call(&mut case, &request, 2 * CALLS);
                lap();
                let per_call = |count: fn(&Allocated) -> u64| (count(&allocated) - count(&before)) / CALLS;
                println!(
                    "{} {} {} {}",
                    per_call(|it| it.allocations),
                    per_call(|it| it.reallocations),
                    per_call(|it| it.bytes),
                    answer.map_or_else(|| "-".to_owned(), |ip| ip.to_string()),
                );
            }
        }
    });
    thread.expect("a thread").join().expect("no panic");
}

#[inline(never)]
fn call(case: &mut Case, request: &Request, times: u64) -> Answer {
    let mut answer = None;
    for _ in 0..times {
        answer = black_box((case.call)(black_box(request)));
    }
    answer
}

/// Where callgrind writes down what it counted since it was here before; by its name.
#[inline(never)]
fn lap() {
    static LAPS: AtomicU64 = AtomicU64::new(0);
    LAPS.fetch_add(1, Ordering::Relaxed);
}

// The counting program.

/// Counts the cases in one run of callgrind.
fn count(only: &str) -> Result<Vec<Count>> {
    let program = env::current_exe().map_err(|error| format!("this program is nowhere: {error}"))?;
    let dir = program.with_file_name(format!("callgrind-{}", process::id()));
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--callgrind-out-file=laps"])
        .arg("--dump-before=*count*lap*")
        .arg(&program)
        .args([COUNTED, only])
        .current_dir(&dir)
        // Of the environment, nothing that could change what is counted.
        .env_clear()
        .env("GLIBC_TUNABLES", ANY_PROCESSOR)
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .output()
        .map_err(|error| format!("valgrind does not start ({error}): install it"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("valgrind or the program failed ({}):\n{why}", output.status));
    }
    let counts = said.lines().enumerate().map(|(index, line)| {
        // Three laps a case: the warm-up, some calls, twice as many.
        let lap = |lap: usize| read_lap(&dir, 3 * index + lap + 1);
        let ((once, before), (twice, mut functions)) = (lap(1)?, lap(2)?);
        for (function, instructions) in &mut functions {
            *instructions -= before.get(function).copied().unwrap_or_default();
            *instructions /= CALLS.cast_signed();
        }
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let mut number = || word().parse().map_err(|_| format!("the program said {line:?}"));
        let (allocations, reallocations, bytes) = (number()?, number()?, number()?);
        let answer = word().parse().ok();
        Ok(Count {
            instructions: (twice - once) / CALLS.cast_signed(),
            allocations,
            reallocations,
            bytes,
            answer,
            functions,
        })
    });
    let counts = counts.collect::<Result<Vec<_>>>()?;
    let _ = fs::remove_dir_all(&dir);
    Ok(counts)
}

/// The instructions of a lap, and those of each function itself.
fn read_lap(dir: &Path, lap: usize) -> Result<(i64, HashMap<String, i64>)> {
    let file: PathBuf = dir.join(format!("laps.{lap}"));
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let number = total.and_then(|text| text.trim().parse().ok());
    let total = number.ok_or_else(|| format!("{} has no totals", file.display()))?;
    // `fn=(7) name` begins a function, and is `fn=(7)` from then on; so is `cfn=` for one that is called, whose
    // costs are told in the line behind `calls=` and are not the caller's own.
    let (mut known, mut functions) = (HashMap::new(), HashMap::<String, i64>::new());
    let (mut function, mut called) = (String::new(), false);
    for line in text.lines() {
        let named = line.strip_prefix("fn=").map(|name| (name, true));
        let named = named.or_else(|| line.strip_prefix("cfn=").map(|name| (name, false)));
        if let Some((name, begins)) = named {
            let (number, name) = name.split_once(' ').unwrap_or((name, ""));
            if !name.is_empty() {
                known.insert(number, name);
            }
            if begins {
                known.get(number).copied().unwrap_or(number).clone_into(&mut function);
            }
        } else if line.starts_with("calls=") {
            called = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<i64>().ok()).unwrap_or_default();
            if !called {
                *functions.entry(function.clone()).or_default() += cost;
            }
            called = false;
        }
    }
    Ok((total, functions))
}

/// The costs of each case beyond its floor, by its id.
fn costs<'a>(cases: &'a [Case], counts: &'a [Count]) -> impl Iterator<Item = (&'a Case, Count)> + use<'a> {
    cases.iter().zip(counts).map(|(case, count)| {
        let same = |other: &Case| Some(other.name) == case.floor && other.input.name == case.input.name;
        let floor = cases.iter().position(same).map(|at| &counts[at]);
        (case, floor.map_or_else(|| count.clone(), |floor| count.clone().beyond(floor)))
    })
}

/// The costs as people read them.
fn table(cases: &[Case], counts: &[Count]) -> String {
    let mut text = format!(
        "{:<46} {:>12} {:>11} {:>13} {:>6}  answer\n",
        "case", "instructions", "allocations", "reallocations", "bytes"
    );
    for (case, cost) in costs(cases, counts) {
        let answer = cost.answer.map_or_else(|| "nobody".to_owned(), |ip| ip.to_string());
        let wrong = if is_wrong(case, &cost) { ", WRONG" } else { "" };
        let _ = writeln!(
            text,
            "{:<46} {:>12} {:>11} {:>13} {:>6}  {answer}{wrong}",
            case.id(),
            cost.instructions,
            cost.allocations,
            cost.reallocations,
            cost.bytes,
        );
    }
    text
}

/// The costs of our layers as programs read them, a case a line.
fn document(cases: &[Case], counts: &[Count]) -> String {
    let mut lines: Vec<_> = costs(cases, counts)
        .filter(|(case, _)| is_ours(case))
        .map(|(case, cost)| {
            format!(
                "  {:?}: {{\"instructions\": {}, \"allocations\": {}, \"bytes\": {}}}",
                case.id(),
                cost.instructions,
                cost.allocations + cost.reallocations,
                cost.bytes
            )
        })
        .collect();
    lines.sort_unstable();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// The costs of all cases, and what they answer, for the program that compares them.
fn lines(cases: &[Case], counts: &[Count]) -> String {
    let mut text = String::new();
    for (case, cost) in costs(cases, counts) {
        let answer = cost.answer.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
        let _ = writeln!(
            text,
            "{}\t{}\t{:?}\t{}\t{}\t{}\t{answer}",
            case.input.name,
            case.name,
            case.kind,
            cost.instructions,
            cost.allocations + cost.reallocations,
            cost.bytes,
        );
    }
    text
}

/// The cases whose costs are worth a look: those of most requests, and those that cost more than was asked for.
const PROFILED: [&str; 8] = [
    "stranger-no-headers: unrecorded",
    "stranger-forged: recorded",
    "proxy-one-entry: unrecorded",
    "proxy-one-entry: recorded",
    "proxy-three: recorded",
    "garbage-8k: unrecorded",
    "commas-8k: unrecorded",
    "sixty-four-lines: unrecorded",
];

/// Which functions the costs of these cases are the costs of, dearest first; those of a few instructions are left out.
fn profiles(cases: &[Case], counts: &[Count]) -> String {
    const FEW: i64 = 15;
    let mut text = String::new();
    for (case, cost) in costs(cases, counts).filter(|(case, _)| PROFILED.contains(&&*case.id())) {
        let mut functions: Vec<_> = cost.functions.into_iter().filter(|(_, cost)| *cost >= FEW).collect();
        functions.sort_by(|(a, a_cost), (b, b_cost)| (b_cost, a).cmp(&(a_cost, b)));
        let _ = writeln!(text, "## `{}`\n\n| instructions | of |\n| ---: | --- |", case.id());
        let _ = writeln!(text, "| {} | all |", cost.instructions);
        for (function, instructions) in functions {
            let _ = writeln!(text, "| {instructions} | `{function}` |");
        }
        text.push('\n');
    }
    text
}
