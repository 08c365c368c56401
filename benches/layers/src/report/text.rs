//! `BENCHMARKS.md`: all that was measured, beside what was asked for.

use std::fmt::Write as _;
use std::fs;

use proxyfix_bench_layers::sets::{LOOKUPS, OURS, SIZES};
use proxyfix_bench_layers::{floor, inputs, peers};

use crate::counts::{Counts, Verdict, verdict};
use crate::loads::Loads;
use crate::plots::{PLOTS, points};
use crate::said;
use crate::threads::{THREADS, Threads};
use crate::times::Times;

/// What has to hold of the instructions of one of our cases, and of its allocations.
struct Bar {
    what: &'static str,
    input: &'static str,
    case: &'static str,
    instructions: f64,
    allocations: u64,
}

const fn bar(
    what: &'static str,
    input: &'static str,
    case: &'static str,
    instructions: f64,
    allocations: u64,
) -> Bar {
    Bar { what, input, case, instructions, allocations }
}

const BARS: [Bar; 18] = [
    bar("a stranger, no headers", "stranger-no-headers", "unrecorded", 300.0, 0),
    bar("a stranger, three forged headers, removed", "stranger-forged", "recorded", 1_100.0, 1),
    bar("a proxy, no headers", "proxy-no-headers", "unrecorded", 850.0, 0),
    bar("a proxy, no headers", "proxy-no-headers", "recorded", f64::INFINITY, 1),
    bar("a proxy, one entry", "proxy-one-entry", "unrecorded", 1_500.0, 0),
    bar("a proxy, one entry", "proxy-one-entry", "recorded", f64::INFINITY, 1),
    bar("three entries, scheme, host, port and prefix", "proxy-three", "recorded", 3_800.0, 2),
    bar("the same, with an absolute `Uri`", "proxy-three", "recorded-absolute", 4_500.0, 3),
    bar("twenty IPv6 entries", "twenty-ipv6", "unrecorded", 25_000.0, 0),
    bar("twenty IPv6 entries", "twenty-ipv6", "recorded", f64::INFINITY, 1),
    bar("`Forwarded`, three elements", "forwarded-three", "unrecorded", 6_000.0, 0),
    bar("`Forwarded`, three elements", "forwarded-three", "recorded", f64::INFINITY, 1),
    bar(
        "a thousand entries by the client, one by the proxy",
        "thousand-entries-untrusted",
        "unrecorded",
        1_500.0,
        0,
    ),
    bar("8 KiB by the client, an entry by the proxy", "garbage-8k-appended", "unrecorded", 1_500.0, 0),
    bar("8 KiB, nothing appended", "garbage-8k", "unrecorded", 1_600.0, 0),
    bar("8 KiB, nothing appended, heard", "garbage-8k", "unrecorded-heard", f64::INFINITY, 0),
    bar("8 KiB of commas", "commas-8k", "unrecorded", 1_100.0, 0),
    bar("8 KiB of commas", "commas-8k", "recorded", f64::INFINITY, 1),
];

/// The most that one trusted entry more may take.
const ENTRY_BAR: f64 = 450.0;

/// The most that a look-up may take in a set of each size.
const SET_BARS: [f64; SIZES.len()] = [70.0, 115.0, 130.0, 140.0];

/// The most that the layer may add to the user time of a request, and that sharing or replacing a policy may add to
/// the processor time of a decision.
const TIME_BAR: f64 = 1.05;

/// The most that twice as much work may grow by, to be called linear.
const LINEAR: f64 = 1.1;

/// All of it.
pub(crate) fn write(
    counts: &Counts,
    times: &Times,
    threads: &Threads,
    loads: &[Loads],
    quick: bool,
) -> String {
    let mut text = String::from("# Benchmarks\n\n");
    if quick {
        text += "**A short run: only the counts mean anything.**\n\n";
    }
    text += "What the layers cost on a request, and what the crates of others cost on the same one. Written by\n\
             `cargo xtask bench`; not edited. [How to read it](#how-to-read-it) is at the end.\n\n";
    machine(&mut text);
    bars(&mut text, counts, threads, loads);
    layers(&mut text, counts, times);
    details(&mut text, counts);
    sets(&mut text, counts, times);
    served(&mut text, loads);
    growth(&mut text, counts);
    shared(&mut text, threads);
    text += HOW;
    text
}

const HOW: &str = "\
## How to read it

- **Instructions** are exact, counted by callgrind, the same on every run with the same compiler and C library. They are not time, but
  on code like this they are proportional to it, and a busy machine does not move them.
- **The floor** is a tower service that clones the request, with `ConnectInfo` in its extensions, and calls a leaf that reads
  `ConnectInfo`. All figures of layers are what is spent beyond it. Functions are measured beyond reading `ConnectInfo`.
- **As a layer**: tower-real-ip and rama bring their own. Around each other crate stands the cheapest layer that tells a service behind
  it, which changes `ConnectInfo` in its place. None of them removes a header; ours do, always, so that nothing behind them can read
  what a client made up. *Headers removed* is the same with a few lines behind it that remove what these inputs have. rama has requests of its own, which are cheaper to clone, and a floor of its own.
- **Not met** is explained by the [profile](benches/layers/PROFILE.md): bar by bar, what is spent and what that buys, and in which
  functions.
- **By hand** is a loop written for these inputs and one policy, without configuration, reasons, other spellings, ports or quotes: what
  a right answer takes at least, as far as somebody got.
- **wrong** is an address that is not the client's; **nobody** is no answer where there is one. A crate without a list of proxies
  believes whoever connects: it can be right behind a proxy, and is wrong for the stranger who forges. *Fooled* marks these.
- `thousand-entries-trusted` is a thousand addresses of proxies. Ours stop at 32 hops and name nobody; the leftmost address is what
  there is to say without a limit.
- **Times** are ratios within one run of criterion, of medians, the floor subtracted. Below a ratio of 2 they say little.
- **User time** of the server process for a request, by `getrusage`; a ratio is taken within its round, of rounds that begin with
  another variant each time.

## How to reproduce it

```text
cargo xtask bench            everything, in about a quarter of an hour; writes this file and docs/benchmarks/
cargo xtask bench --quick    a short run, to see that all of it works; writes into target/
```

It needs Linux on x86-64, valgrind and wrk, and installs what is missing. The machine should do nothing else: times and loads are
noisy, counts are not. The programs are in [benches/layers](benches/layers/README.md). Gateways have
[results of their own](benches/gateway/RESULTS.md), and so have [dependencies, build times and sizes](benches/size/RESULTS.md).
";

fn machine(text: &mut String) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|it| it.1);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let lock = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        // Of several versions, the newest stands last.
        let at = lock.rfind(&format!("name = \"{name}\"\nversion = \""))?;
        lock[at..].lines().nth(1)?.split('"').nth(1)
    };
    let row = |text: &mut String, what: &str, it: &str| {
        let _ = writeln!(text, "| {what} | {it} |");
    };
    *text += "## Machine and versions\n\n| | |\n| --- | --- |\n";
    row(text, "processor", &format!("{}, {cores} cores", model.unwrap_or("unknown").trim()));
    row(text, "kernel", &said("uname", &["-sr"]));
    row(text, "C library", &said("getconf", &["GNU_LIBC_VERSION"]));
    row(text, "compiler", &said("rustc", &["--version"]));
    row(text, "valgrind", &said("valgrind", &["--version"]));
    row(text, "wrk", said_wrk().trim());
    let revision = said("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
    row(text, "revision", &revision);
    let crates = [
        "actix-web",
        "axum",
        "axum-client-ip",
        "client-ip",
        "criterion",
        "forwarded-header-value",
        "http",
        "ip_network_table",
        "ipnet",
        "iprange",
        "iptrie",
        "prefix-trie",
        "rama-http",
        "rangemap",
        "real-ip",
        "rfc7239",
        "tower-real-ip",
        "tower_governor",
        "trusted-proxies",
    ];
    let crates: Vec<_> =
        crates.iter().map(|name| format!("{name} {}", version(name).unwrap_or("unknown"))).collect();
    row(text, "crates", &crates.join(", "));
    *text += "\n";
}

/// The version of wrk, of its first line.
fn said_wrk() -> String {
    let line = said("wrk", &["--version"]);
    line.lines().next().unwrap_or("unknown").split('[').next().unwrap_or_default().replace("wrk ", "")
}

fn met(holds: bool) -> &'static str {
    if holds { "met" } else { "**not met**" }
}

fn bars(text: &mut String, counts: &Counts, threads: &Threads, loads: &[Loads]) {
    *text += "## What was asked for\n\nOf our layers, beyond the floor. *Recorded* keeps an `Origin` for later, *unrecorded* only changes\n\
              `ConnectInfo`. *Heard* is with a subscriber of `tracing` that collects warnings, to whom a refused chain is reported; otherwise\n\
              there is none.\n\n| input | mode | instructions | bar | by hand | allocations | bar | |\n\
              | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n";
    for Bar { what, input, case, instructions, allocations } in BARS {
        let Some(count) = counts.get(input, case) else {
            let _ = writeln!(text, "| {what} | {case} | not measured | | | | | **not met** |");
            continue;
        };
        let by_hand =
            counts.instructions(input, if case == "recorded-absolute" { "limit-absolute" } else { "limit" });
        let holds = count.instructions <= instructions && count.allocations <= allocations;
        let bar = if instructions.is_finite() { whole(instructions) } else { "–".to_owned() };
        let _ = writeln!(
            text,
            "| {what} | {case} | {} | {bar} | {} | {} | {allocations} | {} |",
            whole(count.instructions),
            by_hand.map_or_else(|| "–".to_owned(), whole),
            count.allocations,
            met(holds)
        );
    }
    for case in ["unrecorded", "recorded"] {
        let line = points(counts, &PLOTS[0], case);
        if let Some((slope, _)) = slope(&line) {
            let _ = writeln!(
                text,
                "| each trusted entry more | {case} | {} | {} | {} | | | {} |",
                whole(slope),
                whole(ENTRY_BAR),
                crate::text::slope(&points(counts, &PLOTS[0], "limit"))
                    .map_or_else(String::new, |it| whole(it.0)),
                met(slope <= ENTRY_BAR)
            );
        }
    }
    for (size, bar) in SIZES.iter().zip(SET_BARS) {
        let Some(one) = lookup(counts, *size, OURS) else { continue };
        let _ = writeln!(
            text,
            "| a look-up among {} networks | | {} | {} | – | 0 | 0 | {} |",
            whole(as_f64(*size)),
            tenth(one),
            whole(bar),
            met(one <= bar)
        );
    }
    *text += "\n| time | ratio | bar | |\n| --- | ---: | ---: | --- |\n";
    for loads in loads {
        for (variant, (name, what)) in loads.load.variants.iter().enumerate() {
            if name.starts_with("proxyfix") {
                let [ratio, ..] = Loads::ratios(&loads.user, variant);
                let _ = writeln!(
                    text,
                    "| user time of a request with {} through axum, {what} | {} | {} | {} |",
                    loads.load.what,
                    percent(ratio),
                    percent(TIME_BAR),
                    met(ratio <= TIME_BAR)
                );
            }
        }
    }
    let rows = [
        (format!("{THREADS} threads over one policy, against one"), &threads.shared),
        (format!("{THREADS} threads over a policy that is replaced meanwhile"), &threads.replaced),
    ];
    for (what, ratios) in rows {
        let ratio = crate::median(ratios);
        let _ = writeln!(
            text,
            "| {what} | {} | {} | {} |",
            percent(ratio),
            percent(TIME_BAR),
            met(ratio <= TIME_BAR)
        );
    }
    faster(text, counts);
}

/// Where a peer that is right is cheaper than ours.
fn faster(text: &mut String, counts: &Counts) {
    *text += "\n**Faster than every peer that gives the right address.** Instructions, nothing recorded. Of peers that do the same, the cheapest \
              that is right on this input: the same is that the forwarding headers are removed as well. And the cheapest that removes \
              nothing. *Fooled* is who believes any stranger, and is right here by the luck of the input.\n\n\
              | input | ours | the same job, not fooled | the same job, fooled elsewhere | nothing removed, not fooled |\n\
              | --- | ---: | --- | --- | --- |\n";
    for input in inputs::all() {
        let best = |kind: &str, fooled: bool| {
            let peers = counts.on(input.name).iter().filter(|count| count.kind == kind);
            let right =
                peers.filter(|it| it.answer == input.client && counts.checks_the_peer(&it.name) != fooled);
            right.min_by(|a, b| a.instructions.total_cmp(&b.instructions))
        };
        let ours = counts.instructions(input.name, "unrecorded").unwrap_or(f64::NAN);
        let cell = |kind, fooled| match best(kind, fooled) {
            Some(peer) => {
                let name = peer.name.trim_end_matches("-removing");
                let slower = if ours <= peer.instructions { "" } else { ", **faster than ours**" };
                format!("{name} {}{slower}", whole(peer.instructions))
            }
            None => "none is right".to_owned(),
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            input.name,
            whole(ours),
            cell("Removing", false),
            cell("Removing", true),
            cell("Peer", false)
        );
    }
    *text += "\n";
}

const OURS_LAYERS: [&str; 2] = ["unrecorded", "recorded"];

/// The names of the peers that are layers, in the order of the cases.
fn peer_layers(counts: &Counts) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for input in inputs::all() {
        for count in counts.on(input.name).iter().filter(|count| count.kind == "Peer") {
            if !names.contains(&count.name) {
                names.push(count.name.clone());
            }
        }
    }
    names
}

fn layers(text: &mut String, counts: &Counts, times: &Times) {
    let peers = peer_layers(counts);
    *text += "## Layers, instructions\n\n| input | by hand | ours | recorded |";
    for peer in &peers {
        let fooled = if counts.checks_the_peer(peer) { "" } else { "<br>*fooled*" };
        let _ = write!(text, " {peer}{fooled} |");
    }
    *text += "\n| --- | ---: | ---: | ---: |";
    *text += &" ---: |".repeat(peers.len());
    *text += "\n";
    for input in inputs::all() {
        let _ = write!(text, "| `{}` |", input.name);
        for name in ["limit"].into_iter().chain(OURS_LAYERS).chain(peers.iter().map(String::as_str)) {
            let cell = counts.get(input.name, name).map(|count| {
                let mark = match verdict(input.name, count.answer) {
                    Verdict::Right => "",
                    Verdict::Nobody => " nobody",
                    Verdict::Wrong => " wrong",
                    Verdict::Leftmost => " leftmost",
                };
                format!("{}{mark}", whole(count.instructions))
            });
            let _ = write!(text, " {} |", cell.unwrap_or_default());
        }
        *text += "\n";
    }
    *text += "\n## Layers, time\n\nHow many times as long as ours (nothing recorded), the floor subtracted; wrong answers in brackets.\n\n\
              | input | ours | by hand | recorded |";
    for peer in &peers {
        let _ = write!(text, " {peer} |");
    }
    *text += "\n| --- | ---: | ---: | ---: |";
    *text += &" ---: |".repeat(peers.len());
    *text += "\n";
    for input in inputs::all() {
        let time = |name: &str| {
            let floor = match name {
                "tower-real-ip" => peers::RESPONSE_FLOOR,
                "rama" => peers::RAMA_FLOOR,
                _ => floor::NAME,
            };
            let of = |name: &str| times.get(&(input.name.to_owned(), name.to_owned()));
            Some(of(name)? - of(floor)?)
        };
        let Some(ours) = time("unrecorded") else { continue };
        let _ = write!(text, "| `{}` | {} ns |", input.name, whole(ours));
        for name in ["limit", "recorded"].into_iter().chain(peers.iter().map(String::as_str)) {
            let wrong = counts
                .get(input.name, name)
                .is_some_and(|count| verdict(input.name, count.answer) != Verdict::Right);
            let cell = time(name).map(|time| tenth(time / ours)).unwrap_or_default();
            let _ = if wrong { write!(text, " ({cell}) |") } else { write!(text, " {cell} |") };
        }
        *text += "\n";
    }
    *text += "\n";
}

fn details(text: &mut String, counts: &Counts) {
    *text += "## Every answer\n\nBeyond the floor of each. The requests are described in [benches/layers](benches/layers/README.md#the-cases).\n\n";
    for input in inputs::all() {
        let right = input.client.map_or_else(|| "nobody".to_owned(), |ip| ip.to_string());
        let _ = writeln!(
            text,
            "<details><summary><code>{}</code>: the right answer is {right}</summary>\n\n\
             | who | instructions | allocations | bytes | answer | |\n| --- | ---: | ---: | ---: | --- | --- |",
            input.name
        );
        for count in counts.on(input.name) {
            if count.kind == "Floor" {
                continue;
            }
            let mark = match verdict(input.name, count.answer) {
                Verdict::Right => "",
                Verdict::Nobody => "no answer",
                Verdict::Wrong => "**wrong**",
                Verdict::Leftmost => "the leftmost",
            };
            let name = match (&*count.kind, &*count.name) {
                ("Layer", name) => format!("**proxyfix, {name}**"),
                ("Limit", "limit") => "by hand".to_owned(),
                ("Limit", _) => "by hand, absolute".to_owned(),
                ("Removing", name) => format!("{}, headers removed", name.trim_end_matches("-removing")),
                ("Function", name) => format!("{}, the function alone", name.trim_end_matches("-function")),
                (_, name) => name.to_owned(),
            };
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {mark} |",
                whole(count.instructions),
                count.allocations,
                whole(as_f64(count.bytes)),
                count.answer.map_or_else(|| "nobody".to_owned(), |ip| ip.to_string()),
            );
        }
        *text += "\n</details>\n\n";
    }
}

/// The instructions of one look-up.
fn lookup(counts: &Counts, size: usize, name: &str) -> Option<f64> {
    Some(counts.instructions(&format!("set-{size}"), name)? / as_f64(LOOKUPS))
}

fn sets(text: &mut String, counts: &Counts, times: &Times) {
    *text += "## Sets of networks\n\nInstructions of one look-up, and how many times as long as ours it takes; half of the addresses are held. Six are the\n\
              private networks, 22 those of Cloudflare (its pages `ips-v4` and `ips-v6`); 200 and 8 000 are generated with the lengths of\n\
              large providers, a quarter of them IPv6. Each crate is used as it is fastest: a set for each family, built once and\n\
              compressed or merged where it can be. All agree on every address.\n\n| |";
    for size in SIZES {
        let _ = write!(text, " {} |", whole(as_f64(size)));
    }
    for size in SIZES {
        let _ = write!(text, " time, {} |", whole(as_f64(size)));
    }
    *text += "\n| --- |";
    *text += &" ---: |".repeat(2 * SIZES.len());
    *text += "\n";
    for count in counts.on("set-6") {
        let name = match &*count.name {
            OURS => "**proxyfix**",
            "loop" => "the loop around a look-up",
            "ipnet-linear" => "ipnet, one after another",
            other => other,
        };
        let _ = write!(text, "| {name} |");
        for size in SIZES {
            let _ = write!(text, " {} |", lookup(counts, size, &count.name).map(tenth).unwrap_or_default());
        }
        for size in SIZES {
            let of = |name: &str| times.get(&(format!("set-{size}"), name.to_owned()));
            let ratio = of(&count.name).zip(of(OURS)).map(|(time, ours)| tenth(time / ours));
            let _ = write!(text, " {} |", ratio.unwrap_or_default());
        }
        *text += "\n";
    }
    *text += "\n";
}

fn served(text: &mut String, loads: &[Loads]) {
    let (rounds, seconds) = loads.first().map_or((0, 0), |loads| (loads.rounds, loads.seconds));
    let _ = writeln!(
        text,
        "## Through axum, under load\n\nHello world, one thread; wrk with one thread and 32 connections over loopback, which is trusted.\n\
         {rounds} rounds of {seconds} seconds each; the median of the ratios, and the smallest and the largest. Instructions are those of the\n\
         whole process outside the kernel, of requests one after another.\n"
    );
    for loads in loads {
        served_one(text, loads);
    }
}

fn served_one(text: &mut String, loads: &Loads) {
    let _ = writeln!(
        text,
        "Requests with {}:\n\n\
         | around the router | client | instructions | to bare | user time of a request | user time, to bare | user and system time, to bare |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |",
        loads.load.what
    );
    for (variant, (_, what)) in loads.load.variants.iter().enumerate() {
        let cell = |series| {
            let [middle, least, most] = Loads::ratios(series, variant);
            format!("{} ({} to {})", percent(middle), percent(least), percent(most))
        };
        let _ = writeln!(
            text,
            "| {what} | {} | {} | {} | {} µs | {} | {} |",
            loads.answers[variant],
            whole(loads.instructions[variant]),
            percent(loads.instructions[variant] / loads.instructions[0]),
            tenth(crate::median(&loads.user[variant])),
            cell(&loads.user),
            cell(&loads.both),
        );
    }
    *text += "\n";
}

fn growth(text: &mut String, counts: &Counts) {
    *text += "## What grows\n\nThe cost of one more, fitted over all points; and by how much twice as many cost, between the last two points: up to 2 is\n\
              linear or better. Only lines whose answers are right are drawn.\n\n";
    for plot in &PLOTS {
        let _ = writeln!(
            text,
            "![{}](docs/benchmarks/{})\n\n| {} | at {} | at {} | one more | twice as many | |\n\
             | --- | ---: | ---: | ---: | ---: | --- |",
            plot.title,
            plot.file,
            plot.title,
            whole(plot.series.numbers().first().map_or(0.0, |it| as_f64(*it))),
            whole(plot.series.numbers().last().map_or(0.0, |it| as_f64(*it))),
        );
        for (case, name) in plot.lines {
            let line = points(counts, plot, case);
            let ([first, ..], [.., last], Some((one, twice))) = (&line[..], &line[..], slope(&line)) else {
                continue;
            };
            let complete = line.len() == plot.series.numbers().len();
            if !complete {
                continue;
            }
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {:.2} × | {} |",
                whole(first.1),
                whole(last.1),
                tenth(one),
                twice,
                if twice <= 2.0 * LINEAR { "linear or better" } else { "**worse than linear**" }
            );
        }
        *text += "\n";
    }
}

/// The slope of the straight line that fits best, and what twice as many cost, by the last two points.
fn slope(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let [.., before, last] = points else { return None };
    let count = as_f64(points.len());
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let rise: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
    let run: f64 = points.iter().map(|it| (it.0 - x).powi(2)).sum();
    let power = (last.1 / before.1).ln() / (last.0 / before.0).ln();
    Some((rise / run, power.exp2()))
}

fn shared(text: &mut String, threads: &Threads) {
    let row = |text: &mut String, what: &str, ratios: &[f64]| {
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        let middle = percent(crate::median(ratios));
        let _ = writeln!(text, "| {what} | {middle} ({} to {}) |", percent(least), percent(most));
    };
    let _ = writeln!(
        text,
        "## Many threads, and a policy that is replaced\n\nProcessor time of the threads that decide, for one decision on `proxy-three`, which takes one thread alone {} ns.\n\
         {} rounds; the median of the ratios within a round, and the smallest and the largest.\n\n| | ratio |\n| --- | ---: |",
        whole(threads.alone),
        threads.rounds
    );
    row(
        text,
        &format!("{THREADS} threads over one policy, to one thread that does the work of all"),
        &threads.shared,
    );
    row(
        text,
        &format!("{THREADS} threads over a `Reloadable`, to {THREADS} over a fixed policy"),
        &threads.reloadable,
    );
    row(
        text,
        &format!(
            "the same, replaced {} times a second, to {THREADS} over a fixed policy",
            whole(threads.replacements)
        ),
        &threads.replaced,
    );
    *text += "\n";
}

/// A whole number with a thin space between its thousands.
pub(crate) fn whole(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    if value < -0.5 { format!("-{text}") } else { text }
}

fn tenth(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.1}") } else { whole(value) }
}

fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "numbers that people read")]
fn as_f64(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or_default() as f64
}
