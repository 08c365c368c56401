//! Measures the gateways against HTTP, other libraries and C, in one run and as ratios.

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use proxyfix_bench_gateway::HELLO;

use crate::load::{Client, Load};
use crate::peer::{Lighttpd, Nginx, Peer, Place, Running};
use crate::results::{Bar, Results, median};

mod load;
mod peer;
mod results;
mod transfer;

/// What `--help` prints.
const HELP: &str = "\
Usage: gateway [--quick] [--rounds <N>] [--seconds <N>] [--only <PART>]

  --quick        one short round of everything, to see that it runs; nothing is written
  --rounds <N>   how often everything is measured, in turn (7)
  --seconds <N>  how long each load runs (4)
  --only <PART>  requests, transfer, direct or cgi; nothing is written";

/// The outcome of a step: an error says what failed, and why.
type Result<T = ()> = std::result::Result<T, String>;

/// Where the results are written.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

/// What stands before the results.
const TITLE: &str = "\
# The gateways, measured

Written by `cargo xtask bench gateway`; the README beside this file says how. Hello world is 14 octets, everything is on
loopback and unix sockets, and load, web server and application share the cores of one machine.

";

/// What is measured, part by part.
const PARTS: [(&str, Part); 4] =
    [("requests", requests), ("transfer", transfers), ("direct", direct), ("cgi", cgi)];

type Part = fn(&Options, &Place, &mut Results) -> Result;

/// The connections of wrk to nginx and to lighttpd, and those to a FastCGI socket.
const CONNECTIONS: [usize; 3] = [32, 8, 16];

/// The CGI program that needs no library of the system.
const STATIC: &str = "cgi-static";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(message) => {
            eprintln!("gateway: error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let Some(options) = Options::read(env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let programs = env::current_exe().map_err(|error| format!("this program is nowhere: {error}"))?;
    let folder = tempfile::tempdir().map_err(|error| format!("there is no folder for the run: {error}"))?;
    let place = Place {
        programs: programs.parent().unwrap_or(Path::new(".")).to_owned(),
        run: folder.path().to_owned(),
    };
    place.compile()?;
    let mut results = Results::default();
    for (name, part) in PARTS {
        if options.only.as_deref().is_none_or(|only| only == name) {
            part(&options, &place, &mut results)?;
        }
    }
    let text = results.markdown(&options.to_string());
    println!("\n{text}");
    if options.is_whole() {
        std::fs::write(FILE, [TITLE, &text].concat()).map_err(|error| format!("{FILE}: {error}"))?;
    }
    match results.missed() {
        0 => println!("all bars hold"),
        missed => println!("{missed} of the bars do not hold"),
    }
    Ok(ExitCode::SUCCESS)
}

/// How much is measured.
#[derive(Debug)]
struct Options {
    quick: bool,
    rounds: usize,
    seconds: u64,
    octets: u64,
    only: Option<String>,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self { quick: false, rounds: 7, seconds: 4, octets: 1 << 30, only: None };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} takes a value\n{HELP}"));
            let number = |text: String| {
                text.parse()
                    .ok()
                    .filter(|number| *number > 0)
                    .ok_or(format!("{text:?} is not a number from 1"))
            };
            match word.as_str() {
                "--quick" => {
                    options = Self { quick: true, rounds: 1, seconds: 1, octets: 1 << 24, ..options }
                }
                "--rounds" => options.rounds = usize::try_from(number(value()?)?).unwrap_or(usize::MAX),
                "--seconds" => options.seconds = number(value()?)?,
                "--only" => match value()? {
                    part if PARTS.iter().any(|(name, _)| *name == part) => options.only = Some(part),
                    part => return Err(format!("there is no part {part:?}\n{HELP}")),
                },
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no option {word:?}\n{HELP}")),
            }
        }
        Ok(Some(options))
    }

    fn is_whole(&self) -> bool {
        !self.quick && self.only.is_none()
    }
}

impl std::fmt::Display for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rounds, seconds, octets, .. } = self;
        write!(
            f,
            "{rounds} rounds in turn, {seconds} s a load, {} MiB a transfer. A ratio is taken within its round; the \
             median is held against the bar, and of memory the most.",
            octets >> 20
        )
    }
}

/// Measures everything of `all` once a round, beginning with another one each time; answers a series for each.
fn in_turn<T: Copy, V>(
    what: &str,
    rounds: usize,
    all: &[T],
    mut measure: impl FnMut(T) -> Result<V>,
) -> Result<Vec<Vec<V>>> {
    let mut series: Vec<Vec<V>> = all.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        eprintln!("{what}: round {} of {rounds}", round + 1);
        for turn in 0..all.len() {
            let index = (round + turn) % all.len();
            series[index].push(measure(all[index])?);
        }
    }
    Ok(series)
}

/// One property of a series.
fn of(series: &[Load], property: fn(&Load) -> f64) -> Vec<f64> {
    series.iter().map(property).collect()
}

/// A load, and the processor time that the servers took for each request, in microseconds.
type Cost = (Load, f64);

fn with_cost(processes: &[&Running], load: impl FnOnce() -> Result<Load>) -> Result<Cost> {
    let busy = || processes.iter().map(|it| it.busy()).sum::<Result<f64>>();
    let before = busy()?;
    let load = load()?;
    Ok((load, (busy()? - before) / load.requests))
}

fn note(results: &mut Results, what: &str, who: &'static str, loads: &[Load], costs: &[f64]) {
    let [rate, p50, p99] =
        [|it: &Load| it.rate, |it: &Load| it.p50, |it: &Load| it.p99].map(|it| median(&of(loads, it)));
    let cost = if costs.is_empty() {
        String::new()
    } else {
        format!(", {:.1} µs of processor time each", median(costs))
    };
    results.figure(what, who, format!("{rate:.0} requests/s, p50 {p50:.0} µs, p99 {p99:.0} µs{cost}"));
}

/// Hello world behind nginx with kept connections.
fn requests(options: &Options, place: &Place, results: &mut Results) -> Result {
    let peers = Peer::BEHIND_NGINX;
    let running = peers.map(|peer| peer.start(place)).into_iter().collect::<Result<Vec<_>>>()?;
    let nginx = Nginx::start(place)?;
    for peer in peers {
        let answer = transfer::get(nginx.port(peer), "/")?;
        if answer != HELLO {
            return Err(format!("{} answers {answer:?}", peer.name()));
        }
        load::wrk(nginx.port(peer), "/", CONNECTIONS[0], 1)?;
    }
    let measure = |index: usize| {
        with_cost(&[&running[index], &nginx.process], || {
            load::wrk(nginx.port(peers[index]), "/", CONNECTIONS[0], options.seconds)
        })
    };
    let (series, costs) = split(in_turn("requests", options.rounds, &[0, 1, 2, 3, 4], measure)?);
    let rates: Vec<_> = series.iter().map(|loads| of(loads, |it| it.rate)).collect();
    let rate = "requests/s behind nginx, kept connections";
    let lean = "the same, with the variables of the guide's fastcgi-stream.conf";
    for (what, ours, theirs, bar) in
        [(rate, 1, 0, 1.0), (lean, 2, 0, 1.0), (rate, 1, 3, 1.6), (rate, 1, 4, 2.5)]
    {
        results.compare(what, Bar::AtLeast(bar), &rates[ours], peers[theirs].name(), &rates[theirs]);
    }
    let late: Vec<_> = series.iter().map(|loads| of(loads, |it| it.p99)).collect();
    results.compare(
        "p99 latency behind nginx, kept connections",
        Bar::AtMost(1.1),
        &late[1],
        peers[0].name(),
        &late[0],
    );
    for (index, peer) in peers.into_iter().enumerate() {
        note(results, "behind nginx, nginx included", peer.name(), &series[index], &costs[index]);
    }
    Ok(())
}

/// What a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transfer {
    Upload,
    Download,
    /// An upload to a handler that never reads it.
    Ignored,
}

/// One large body each way, through nginx that buffers neither.
fn transfers(options: &Options, place: &Place, results: &mut Results) -> Result {
    use Transfer::{Download, Ignored, Upload};
    let nginx = Nginx::start(place)?;
    let all = [Upload, Download, Ignored].map(|kind| [Peer::Ours, Peer::Http].map(|peer| (kind, peer)));
    // A process of its own for each, so that its memory is that of this transfer.
    let measure = |(kind, peer): (Transfer, Peer)| {
        let process = peer.start(place)?;
        let port = nginx.port(peer);
        let time = match kind {
            Upload => transfer::upload(port, options.octets)?,
            Download => transfer::download(port, options.octets)?,
            Ignored => transfer::ignored(port, options.octets).map(|()| Duration::ZERO)?,
        };
        Ok((time.as_secs_f64(), process.peak()?))
    };
    let series = in_turn("transfer", options.rounds, &all.concat(), measure)?;
    let apart = |index: usize| -> (Vec<f64>, Vec<f64>) { series[index].iter().copied().unzip() };
    for (index, name) in
        ["upload", "download", "an upload that the handler never reads"].into_iter().enumerate()
    {
        let [(ours, memory), (theirs, their_memory)] = [2 * index, 2 * index + 1].map(apart);
        if all[index][0].0 != Ignored {
            results.compare(
                &format!("time of {name}, unbuffered"),
                Bar::AtMost(1.1),
                &ours,
                Peer::Http.name(),
                &theirs,
            );
            results.figure(name, Peer::Ours.name(), format!("{:.2} s", median(&ours)));
            results.figure(name, Peer::Http.name(), format!("{:.2} s", median(&theirs)));
        }
        results.state(&format!("peak memory: {name}"), Bar::Within(8.0), &memory);
        results.figure(
            &format!("peak memory: {name}"),
            Peer::Http.name(),
            format!("{:.1} MiB", median(&their_memory)),
        );
    }
    Ok(())
}

/// Hello world straight from the FastCGI socket.
fn direct(options: &Options, place: &Place, results: &mut Results) -> Result {
    let peers = [Peer::Ours, Peer::Libfcgi];
    let running = peers.map(|peer| peer.start(place)).into_iter().collect::<Result<Vec<_>>>()?;
    let ask = |client, peer: Peer, seconds| {
        load::direct(client, &peer.socket(place), CONNECTIONS[2], Duration::from_secs(seconds))
    };
    for (client, name) in [(Client::EventLoop, "an event loop"), (Client::Threads, "16 threads")] {
        for peer in peers {
            ask(client, peer, 1)?;
        }
        let measure =
            |index: usize| with_cost(&[&running[index]], || ask(client, peers[index], options.seconds));
        let (series, costs) = split(in_turn(&format!("direct, {name}"), options.rounds, &[0, 1], measure)?);
        let [ours, theirs] = [0, 1].map(|index| of(&series[index], |it| it.rate));
        let what = format!("requests/s direct, 16 kept connections of {name}");
        results.compare(&what, Bar::AtLeast(0.7), &ours, Peer::Libfcgi.name(), &theirs);
        for (index, peer) in peers.into_iter().enumerate() {
            note(results, &format!("direct, {name}"), peer.name(), &series[index], &costs[index]);
        }
    }
    Ok(())
}

/// Loads and costs, apart.
fn split(series: Vec<Vec<Cost>>) -> (Vec<Vec<Load>>, Vec<Vec<f64>>) {
    series.into_iter().map(|it| it.into_iter().unzip()).unzip()
}

/// Hello world from a process a request, behind lighttpd.
fn cgi(options: &Options, place: &Place, results: &mut Results) -> Result {
    let names = [
        ("bare-cgi", "a bare C program"),
        ("cgi", "proxyfix-cgi"),
        (STATIC, "proxyfix-cgi, linked statically"),
    ];
    let here: Vec<_> =
        names.into_iter().filter(|(program, _)| place.programs.join(program).exists()).collect();
    if here.len() < names.len() {
        eprintln!("cgi: {STATIC} is missing, which `cargo xtask bench gateway` builds");
    }
    let lighttpd = Lighttpd::start(place, here.iter().map(|(program, _)| *program))?;
    for (program, _) in &here {
        let answer = transfer::get(lighttpd.port, &format!("/{program}/"))?;
        if answer != HELLO {
            return Err(format!("{program} answers {answer:?}"));
        }
    }
    let measure =
        |(program, _)| load::wrk(lighttpd.port, &format!("/{program}/"), CONNECTIONS[1], options.seconds);
    let series = in_turn("cgi", options.rounds, &here, measure)?;
    let rates: Vec<_> = series.iter().map(|loads| of(loads, |it| it.rate)).collect();
    for (index, (program, _)) in here.iter().enumerate().skip(1) {
        let how = if *program == STATIC { ", linked statically" } else { "" };
        let what = format!("requests/s as CGI behind lighttpd{how}");
        results.compare(&what, Bar::AtLeast(0.6), &rates[index], here[0].1, &rates[0]);
    }
    for ((_, name), loads) in here.iter().zip(&series) {
        note(results, "CGI behind lighttpd", name, loads, &[]);
    }
    Ok(())
}
