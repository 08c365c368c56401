//! What was measured, as Markdown.

use std::fmt::{self, Display, Write as _};
use std::fs;

use crate::peer::command;

/// What has to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    /// At least so many times the other's.
    AtLeast(f64),
    /// At most so many times the other's.
    AtMost(f64),
    /// At most so many MiB.
    Within(f64),
}

impl Bar {
    fn holds(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(bar) => measured >= bar,
            Self::AtMost(bar) | Self::Within(bar) => measured <= bar,
        }
    }

    fn unit(self) -> &'static str {
        if matches!(self, Self::Within(_)) { "MiB" } else { "×" }
    }
}

impl Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bar) => write!(f, "≥ {bar:.1} ×"),
            Self::AtMost(bar) => write!(f, "≤ {bar:.1} ×"),
            Self::Within(bar) => write!(f, "≤ {bar} MiB"),
        }
    }
}

/// All results of a run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    bars: Vec<(String, &'static str, Bar, Vec<f64>)>,
    figures: Vec<(String, &'static str, String)>,
}

impl Results {
    /// Compares two series of the same rounds: `ours` is divided by `theirs`, round by round.
    pub(crate) fn compare(
        &mut self,
        what: &str,
        bar: Bar,
        ours: &[f64],
        against: &'static str,
        theirs: &[f64],
    ) {
        let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        self.bars.push((what.to_owned(), against, bar, ratios));
    }

    /// Notes what has a bar of its own.
    pub(crate) fn state(&mut self, what: &str, bar: Bar, measured: &[f64]) {
        self.bars.push((what.to_owned(), "", bar, measured.to_vec()));
    }

    /// Notes an absolute figure.
    pub(crate) fn figure(&mut self, what: &str, who: &'static str, figure: String) {
        self.figures.push((what.to_owned(), who, figure));
    }

    /// How many bars do not hold.
    pub(crate) fn missed(&self) -> usize {
        self.bars.iter().filter(|(_, _, bar, measured)| !bar.holds(decisive(*bar, measured))).count()
    }

    /// The tables.
    pub(crate) fn markdown(&self, how: &str) -> String {
        let mut text = String::from(
            "| what | against | bar | measured | rounds, least to greatest | holds |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        for (what, against, bar, measured) in &self.bars {
            let value = decisive(*bar, measured);
            let holds = if bar.holds(value) { "yes" } else { "**no**" };
            let (low, high) = range(measured);
            let unit = bar.unit();
            let _ = writeln!(
                text,
                "| {what} | {against} | {bar} | {value:.2} {unit} | {low:.2} to {high:.2} | {holds} |"
            );
        }
        let _ = write!(
            text,
            "\n{how}\n\nThe figures behind them, medians of the rounds. On another machine they are others; the ratios \
             are what can be compared.\n\n| what | who | figure |\n| --- | --- | --- |\n"
        );
        for (what, who, figure) in &self.figures {
            let _ = writeln!(text, "| {what} | {who} | {figure} |");
        }
        let _ = write!(text, "\n{}", machine());
        text
    }
}

/// What a bar is held against: the median, or all of the memory that was ever needed.
fn decisive(bar: Bar, measured: &[f64]) -> f64 {
    if matches!(bar, Bar::Within(_)) { range(measured).1 } else { median(measured) }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

fn range(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
}

/// The machine and the versions of all that took part.
fn machine() -> String {
    let first = |program: &str, word: &str| {
        // Some write it to standard error, and wrk exits with 1.
        let output = command(program).args(word.split(' ')).output();
        let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        said.lines().next().unwrap_or("unknown").trim().to_owned()
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut lines = vec![
        format!(
            "{cores} × {}, Linux {}",
            cpu.map_or("an unnamed processor", |it| it.1),
            read("/proc/sys/kernel/osrelease").trim()
        ),
        first("rustc", "--version"),
        first("nginx", "-v"),
        first("lighttpd", "-v"),
        first("wrk", "-v"),
        first("go", "version"),
        first("cc", "--version"),
        format!("libfcgi {}", first("pkg-config", "--modversion fcgi")),
    ];
    lines.extend(["axum", "hyper", "tokio", "tokio-fastcgi"].map(locked));
    lines.iter().fold(String::new(), |text, line| text + "- " + line + "\n")
}

/// The version of a crate in the lock file.
fn locked(name: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    let version = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).map(|(_, rest)| rest);
    format!("{name} {}", version.and_then(|rest| rest.split('"').next()).unwrap_or("unknown"))
}
