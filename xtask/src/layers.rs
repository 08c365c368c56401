//! Counts what the layers cost on a request, and compares it with what is recorded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{ROOT, Result, Server, command, metadata, run, server, set_up};

/// What counts instructions.
pub(super) const COUNTER: Server = server(&["valgrind"], "valgrind", &[]);

/// Where the costs are recorded.
const FILE: &str = "benches/layers/costs.json";

/// The command that records them anew.
const RECORD: &str = "cargo xtask bench layers --record";

/// How far instructions may be from the record, in percent and in addition.
///
/// Where nothing changes they are the same to the last, on any processor and wherever the checkout is;
/// this much a change of the code may move without a word.
const MARGIN: (u64, u64) = (2, 8);

/// The same, where another compiler or C library is used than for the record. Two releases of the compiler
/// moved costs by 1.3 percent, and other hashes of the types move them by up to 60.
const WIDE_MARGIN: (u64, u64) = (10, 64);

/// What one call of a case takes beyond its floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    instructions: u64,
    /// Reallocations included.
    allocations: u64,
    bytes: u64,
}

/// The costs of all cases, and of what they are a property.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Costs {
    compiler: String,
    libc: String,
    cases: BTreeMap<String, Cost>,
}

/// Counts and compares, as a part of `cargo xtask test`.
pub(super) fn check() -> Result {
    if let Some(why) = no_counter() {
        println!("\n== costs: NOT CHECKED, because {why}");
        return Ok(());
    }
    let costs = count()?;
    let text = fs::read_to_string(Path::new(ROOT).join(FILE)).unwrap_or_default();
    let recorded =
        Costs::read(&text).ok_or_else(|| format!("{FILE} is no record of costs: make one by `{RECORD}`"))?;
    if !recorded.is_comparable(&costs) {
        println!(
            "ATTENTION: recorded with {} and {}, counted with {} and {}. What is 10 % dearer fails; what is cheaper \
             passes, and the bytes of allocations are not compared",
            recorded.compiler, recorded.libc, costs.compiler, costs.libc
        );
    }
    match recorded.compare(&costs)[..] {
        [] => {
            println!("{} costs are as recorded in {FILE}", costs.cases.len());
            Ok(())
        }
        ref findings => Err(format!(
            "the layers do not cost what {FILE} says:\n  {}\n\
             Mend what became dearer; or, where it has to be so, record it by `{RECORD}`, \
             and say in the commit what it buys. What became cheaper is to be recorded, too, so that it stays",
            findings.join("\n  ")
        )),
    }
}

/// Counts, and compares or records.
pub(super) fn bench(options: &[&str]) -> Result {
    match *options {
        [] => {
            set_up(&COUNTER)?;
            check()
        }
        ["--record"] => {
            if let Some(why) = no_counter() {
                return Err(format!("nothing is recorded, because {why}"));
            }
            set_up(&COUNTER)?;
            let text = count()?.write();
            fs::write(Path::new(ROOT).join(FILE), text).map_err(|error| format!("{FILE}: {error}"))?;
            println!("{FILE} is written: commit it with what it is the cost of");
            Ok(())
        }
        ["--profile"] => {
            set_up(&COUNTER)?;
            profile()
        }
        _ => Err("`bench layers` has two options, `--record` and `--profile`".to_owned()),
    }
}

/// Why nothing can be counted here, if so.
fn no_counter() -> Option<String> {
    use std::env::consts::{ARCH, OS};
    let counts = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    (!counts).then(|| format!("costs are counted on x86-64 Linux, and this is {ARCH} {OS}"))
}

/// What a profile shows, before its figures.
const PROFILE: &str = "\
# What the layers spend their instructions on

Written by `cargo xtask bench layers --profile`; not edited. Instructions beyond the floor, of each function itself, inlined ones in
the one that they are inlined into; a negative one would be what the floor alone does.

## What they buy

Where `BENCHMARKS.md` says that a bar is not met, or names a smaller number by hand:

| bar | what is spent beyond it | what that buys |
| --- | --- | --- |
| a stranger, no headers | `host_stays`, and for each name a look at its length and first letter in place of a comparison with three names | a `Host` that is none, doubled or oddly spelled does not reach the application, and no alias of 38 names does |
| a stranger, forged headers, recorded | `HeaderMap::remove`, `hash_elem_using`, `remove_found` for each of three headers are most of the bar; then the record | nothing behind the fix can read what was forged, and the `Origin` names what was sent, and that it went unread |
| one entry; one behind what a client wrote | the same of one header, `host_stays`, a second look into the extensions to write the client | as above; the request is not taken apart |
| three entries with all fields | five headers removed, two hosts, a prefix and a scheme read by their grammars, `Host` written, the record, the mount | what is believed is typed, what is refused has a reason; the order of two fixes does not matter, because what was removed is kept |
| twenty IPv6 entries, recorded: two allocations | the steps are a list of their own beyond four | every hop of the chain is in the record |
| commas | `without_end` reads all eight KiB | a header of nothing but commas is an absent one (health checks send it), and `x,,,,` is not |
| through axum, under load | as of one entry, with three headers to remove, which is most of it | as above |

- `HeaderMap::remove`, `hash_elem_using` and `remove_found` are how the crate `http` removes one header; nothing cheaper is public.
- A record takes an allocation, an entry in the extensions and the copy of an `Origin`: who was connected, each step, what became
  of each field and where it stood, and the lines that were removed.
- A refused chain is reported to those who listen to warnings. With such a subscriber the request goes the general way, which can say
  why, after the short one; without one, it is refused after 64 bytes.
- The lines of one header stand in a list inside the map, which gives them back one by one.

A crate of others may be cheaper where it does less: for a stranger who forges, it looks at no header, and leaves all of them; for three
entries with all fields it reads the addresses alone; one that believes any stranger has no network to look an address up in.

";

/// Counts, and writes which functions it was.
fn profile() -> Result {
    const PROFILE_FILE: &str = "benches/layers/PROFILE.md";
    if let Some(why) = no_counter() {
        return Err(format!("nothing is counted, because {why}"));
    }
    let (dir, program) = build()?;
    let file = dir.join("profile.md");
    run("profile", &[&program, "--profile", &file.to_string_lossy()], "see what it says above")?;
    let figures = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let text = format!("{PROFILE}{}\n", figures.trim_end());
    fs::write(Path::new(ROOT).join(PROFILE_FILE), text)
        .map_err(|error| format!("{PROFILE_FILE}: {error}"))?;
    println!("{PROFILE_FILE} is written");
    Ok(())
}

/// Builds the program that counts: where it was built, and where it is.
fn build() -> Result<(PathBuf, String)> {
    let metadata = metadata()?;
    let dir = Path::new(metadata["target_directory"].as_str().unwrap_or_default()).join("layers");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let target = text(&dir);
    // Compiled as the record was, wherever the checkout is and whatever the user has configured.
    let wrapper = format!("RUSTC_WRAPPER={ROOT}/benches/layers/rustc.sh");
    let mut build = vec![&*wrapper, "RUSTFLAGS=", "CARGO_INCREMENTAL=0"];
    build.extend(["cargo", "build", "--release", "--locked"]);
    build.extend(["--manifest-path", "benches/layers/Cargo.toml", "--target-dir", &target, "--bin", "count"]);
    run("counter", &build, "mend what the compiler names above")?;
    let program = text(&dir.join("release/count"));
    Ok((dir, program))
}

/// Runs the program that counts.
fn count() -> Result<Costs> {
    let (dir, program) = build()?;
    let file: PathBuf = dir.join("costs.json");
    run("costs", &[&program, "--json", &file.to_string_lossy()], "see what it says above")?;
    let cases = fs::read_to_string(&file).ok().and_then(|text| cases(&serde_json::from_str(&text).ok()?));
    Ok(Costs {
        compiler: said("rustc", "--version"),
        libc: said("getconf", "GNU_LIBC_VERSION"),
        cases: cases.ok_or_else(|| format!("{} is not as expected: remove it", file.display()))?,
    })
}

/// The first line that a program says, or that it says nothing.
fn said(program: &str, option: &str) -> String {
    let output = command(program).arg(option).output().map(|output| output.stdout).unwrap_or_default();
    let line = String::from_utf8_lossy(&output).lines().next().unwrap_or_default().trim().to_owned();
    if line.is_empty() { format!("an unknown {program}") } else { line }
}

/// Reads the costs of cases.
fn cases(value: &Value) -> Option<BTreeMap<String, Cost>> {
    let case = |(name, cost): (&String, &Value)| {
        let number = |name| cost[name].as_u64();
        let (instructions, allocations) = (number("instructions")?, number("allocations")?);
        Some((name.clone(), Cost { instructions, allocations, bytes: number("bytes")? }))
    };
    value.as_object()?.iter().map(case).collect()
}

impl Costs {
    /// Reads what `write` wrote.
    fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let text = |name| value[name].as_str().map(str::to_owned);
        Some(Self { compiler: text("compiler")?, libc: text("libc")?, cases: cases(&value["cases"])? })
    }

    /// JSON with a case a line, so that a diff shows what changed.
    fn write(&self) -> String {
        let line = |(name, cost): (&String, &Cost)| {
            let Cost { instructions, allocations, bytes } = cost;
            format!(
                "    {name:?}: {{ \"instructions\": {instructions}, \"allocations\": {allocations}, \
                 \"bytes\": {bytes} }}"
            )
        };
        let cases: Vec<_> = self.cases.iter().map(line).collect();
        format!(
            "{{\n  \"compiler\": {:?},\n  \"libc\": {:?},\n  \"cases\": {{\n{}\n  }}\n}}\n",
            self.compiler,
            self.libc,
            cases.join(",\n")
        )
    }

    /// Whether the same code costs the same in both.
    fn is_comparable(&self, other: &Self) -> bool {
        (&self.compiler, &self.libc) == (&other.compiler, &other.libc)
    }

    /// What is not as in this record, a line each.
    fn compare(&self, counted: &Self) -> Vec<String> {
        let exact = self.is_comparable(counted);
        let mut findings = Vec::new();
        for (name, now) in &counted.cases {
            let Some(then) = self.cases.get(name) else {
                findings.push(format!("{name} is not recorded"));
                continue;
            };
            findings.extend(then.compare(*now, exact).into_iter().map(|finding| format!("{name} {finding}")));
        }
        let gone = self.cases.keys().filter(|name| !counted.cases.contains_key(*name));
        findings.extend(gone.map(|name| format!("{name} is recorded, and there is no such case")));
        findings
    }
}

impl Cost {
    /// What is not as in this record; all that differs, or what the compiler cannot have done.
    fn compare(self, now: Self, exact: bool) -> Vec<String> {
        let (percent, more) = if exact { MARGIN } else { WIDE_MARGIN };
        let margin = self.instructions * percent / 100 + more;
        let dearer = now.instructions > self.instructions + margin;
        let cheaper = exact && now.instructions + margin < self.instructions;
        let differs = [
            ("instructions", self.instructions, now.instructions, dearer || cheaper),
            ("allocations", self.allocations, now.allocations, self.allocations != now.allocations),
            ("bytes", self.bytes, now.bytes, exact && self.bytes != now.bytes),
        ];
        let said = differs.into_iter().filter(|(.., differs)| *differs).map(|(what, then, now, _)| {
            let allowed = match what {
                "instructions" => format!(" (± {margin} are allowed)"),
                _ => String::new(),
            };
            let how = if now > then { "dearer" } else { "cheaper" };
            format!("is {how}: {now} {what}, recorded are {then}{allowed}")
        });
        said.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Cost = Cost { instructions: 1000, allocations: 2, bytes: 300 };

    fn costs(compiler: &str, cases: &[(&str, Cost)]) -> Costs {
        let cases = cases.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect();
        Costs { compiler: compiler.to_owned(), libc: "glibc 2.36".to_owned(), cases }
    }

    /// What is said of one case that was `COST`.
    fn findings(compiler: &str, now: Cost) -> Vec<String> {
        costs("rustc 1", &[("a: b", COST)]).compare(&costs(compiler, &[("a: b", now)]))
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = costs("rustc 1", &[("a: b", COST), ("c: d", COST)]);
        assert_eq!(Costs::read(&record.write()), Some(record));
        assert_eq!(Costs::read(""), None);
    }

    #[test]
    fn within_the_margin_nothing_is_said() {
        for instructions in [972, 1000, 1028] {
            assert!(findings("rustc 1", Cost { instructions, ..COST }).is_empty(), "{instructions}");
        }
    }

    #[test]
    fn dearer_and_cheaper_have_to_be_recorded() {
        let said = |now| findings("rustc 1", now);
        assert_eq!(
            said(Cost { instructions: 1029, ..COST }),
            ["a: b is dearer: 1029 instructions, recorded are 1000 (± 28 are allowed)"]
        );
        assert_eq!(
            said(Cost { instructions: 971, ..COST }),
            ["a: b is cheaper: 971 instructions, recorded are 1000 (± 28 are allowed)"]
        );
        assert_eq!(
            said(Cost { allocations: 3, bytes: 332, ..COST }),
            ["a: b is dearer: 3 allocations, recorded are 2", "a: b is dearer: 332 bytes, recorded are 300"]
        );
    }

    #[test]
    fn another_compiler_may_do_better_but_not_much_worse() {
        let said = |now| findings("rustc 2", now).len();
        assert_eq!(said(Cost { instructions: 1164, bytes: 400, ..COST }), 0);
        assert_eq!(said(Cost { instructions: 1165, ..COST }), 1);
        assert_eq!(said(Cost { instructions: 1, ..COST }), 0);
        assert_eq!(said(Cost { allocations: 3, ..COST }), 1);
    }

    #[test]
    fn every_case_is_recorded_and_every_record_a_case() {
        let findings = costs("rustc 1", &[("old: b", COST)]).compare(&costs("rustc 1", &[("new: b", COST)]));
        assert_eq!(findings, ["new: b is not recorded", "old: b is recorded, and there is no such case"]);
    }
}
