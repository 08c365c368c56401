//! What `count` counted.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::process::Command;

use proxyfix_bench_layers::{Answer, inputs};

use crate::{Result, beside};

/// What a case takes beyond its floor.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) instructions: f64,
    pub(crate) allocations: u64,
    pub(crate) bytes: u64,
    pub(crate) answer: Answer,
}

/// How good an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// Nobody, where somebody can be known: of no use, and no lie.
    Nobody,
    /// An address that is not the client's.
    Wrong,
    /// The leftmost of a thousand proxies: right without our limit of 32 hops.
    Leftmost,
}

/// The counts of all cases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<String, Vec<Count>>);

impl Counts {
    /// The cases on the input of this name.
    pub(crate) fn on(&self, input: &str) -> &[Count] {
        self.0.get(input).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn get(&self, input: &str, case: &str) -> Option<&Count> {
        self.on(input).iter().find(|count| count.name == case)
    }

    pub(crate) fn instructions(&self, input: &str, case: &str) -> Option<f64> {
        self.get(input, case).map(|count| count.instructions)
    }

    /// Whether this peer, as a layer, is fooled by no stranger: it asks who is connected.
    pub(crate) fn checks_the_peer(&self, case: &str) -> bool {
        let strangers = inputs::all().iter().filter(|input| !input.comes_from_a_proxy());
        let answers = strangers.filter_map(|input| Some((self.get(input.name, case)?, input)));
        answers.clone().count() > 0 && answers.clone().all(|(count, input)| count.answer == input.client)
    }
}

/// What the answer of `count` is worth on `input`.
pub(crate) fn verdict(input: &str, answer: Answer) -> Verdict {
    let right = inputs::named(input).client;
    match answer {
        _ if answer == right => Verdict::Right,
        None => Verdict::Nobody,
        Some(ip) if input == "thousand-entries-trusted" && ip == IpAddr::from([10, 1, 0, 0]) => {
            Verdict::Leftmost
        }
        Some(_) => Verdict::Wrong,
    }
}

/// Counts all cases.
pub(crate) fn count() -> Result<Counts> {
    let program = beside("count")?;
    let file = program.with_file_name("counts.tsv");
    println!("== instructions and allocations");
    let status = Command::new(&program).arg("--all").arg(&file).status();
    let status = status.map_err(|error| format!("{}: {error}", program.display()))?;
    if !status.success() {
        return Err(format!("{} failed ({status})", program.display()));
    }
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut counts = Counts::default();
    for line in text.lines() {
        let words: Vec<_> = line.split('\t').collect();
        let [input, name, kind, instructions, allocations, bytes, answer] = words[..] else {
            return Err(format!("{} has a line that is no count: {line:?}", file.display()));
        };
        let bad = |_| format!("{} has a line without a number: {line:?}", file.display());
        counts.0.entry(input.to_owned()).or_default().push(Count {
            name: name.to_owned(),
            kind: kind.to_owned(),
            instructions: instructions.parse().map_err(|_| format!("no number: {line:?}"))?,
            allocations: allocations.parse().map_err(bad)?,
            bytes: bytes.parse().map_err(bad)?,
            answer: answer.parse().ok(),
        });
    }
    Ok(counts)
}
