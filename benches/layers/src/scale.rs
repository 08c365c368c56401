//! The same work in growing numbers: entries, lines, networks, layers.

use std::sync::LazyLock;

use proxyfix::{Fixed, ProxyFix, TrustedProxies};
use proxyfix_axum::ConnectInfoFix;

use crate::floor::{self, Leaf, around};
use crate::inputs::{self, CLIENT, PROXY, TRUSTED};
use crate::{Case, Input, Kind, limit, ours, peers, sets};

/// What grows. The inputs of a series are called by its word and a number: `trusted-16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// Entries of `X-Forwarded-For`, all but the leftmost by proxies.
    Trusted,
    /// Entries that the client wrote, in front of the one that the proxy did.
    Client,
    /// Lines of `X-Forwarded-For`, all but the last by the client.
    Lines,
    /// Layers around each other, each with a policy of its own; a proxy and one entry.
    Layers,
    /// Networks of a set.
    Networks,
}

impl Series {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Trusted, Self::Client, Self::Lines, Self::Layers, Self::Networks];

    /// How the names of its inputs begin.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trusted => "trusted-",
            Self::Client => "client-",
            Self::Lines => "lines-",
            Self::Layers => "layers-",
            Self::Networks => "set-",
        }
    }

    /// How many there are.
    pub const fn numbers(self) -> &'static [usize] {
        match self {
            Self::Trusted => &[1, 2, 4, 8, 16, 24, 32],
            Self::Client => &[1, 10, 100, 1_000, 10_000],
            Self::Lines => &[1, 4, 16, 64, 256],
            Self::Layers => &[1, 2, 3, 4, 5, 6, 7, 8],
            Self::Networks => &[1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000],
        }
    }
}

/// The crates of others that find the client in a chain of trusted proxies, and so may be compared as it grows.
const COMPARED: [&str; 4] = ["real-ip", "trusted-proxies", "tower-real-ip", "forwarded-header-value"];

/// The cases of all series.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for input in inputs_of_series() {
        let count: usize =
            input.name.rsplit('-').next().and_then(|text| text.parse().ok()).unwrap_or_default();
        cases.push(floor::case(input));
        if input.name.starts_with(Series::Layers.word()) {
            let floor = Some(floor::NAME);
            cases.push(Case { name: "recorded", kind: Kind::Layer, input, floor, call: layers(count) });
        } else {
            cases.extend(ours::cases(input));
            cases.extend(limit::cases(input));
            let compared = |case: &Case| case.kind == Kind::Floor || COMPARED.contains(&case.name);
            cases.extend(peers::cases(input).into_iter().filter(compared));
        }
    }
    cases.extend(Series::Networks.numbers().iter().flat_map(|size| sets::cases(*size)));
    cases
}

/// The inputs of all series but the networks, which need no request.
fn inputs_of_series() -> &'static [Input] {
    static ALL: LazyLock<Vec<Input>> = LazyLock::new(|| {
        let series = [Series::Trusted, Series::Client, Series::Lines, Series::Layers];
        series.iter().flat_map(|series| series.numbers().iter().map(|count| input(*series, *count))).collect()
    });
    &ALL
}

fn input(series: Series, count: usize) -> Input {
    let proxies =
        |count: usize| (0..count).map(|n| format!(", 10.1.2.{}", n % 250)).collect::<Vec<_>>().concat();
    let forged =
        |count: usize| (0..count).map(|n| format!("198.51.100.{}, ", n % 250)).collect::<Vec<_>>().concat();
    let lines = match series {
        Series::Trusted => vec![format!("{CLIENT}{}", proxies(count - 1))],
        Series::Client => vec![format!("{}{CLIENT}", forged(count))],
        Series::Lines => {
            let forged = (1..count).map(|n| format!("198.51.100.{}", n % 250));
            forged.chain([CLIENT.to_owned()]).collect()
        }
        Series::Layers | Series::Networks => vec![CLIENT.to_owned()],
    };
    let one = inputs::named("proxy-one-entry");
    let ordinary = one.headers.iter().filter(|header| header.0 != "x-forwarded-for").cloned();
    Input {
        name: format!("{}{count}", series.word()).leak(),
        peer: PROXY.parse().expect("a peer"),
        target: one.target,
        headers: ordinary.chain(lines.into_iter().map(|line| ("x-forwarded-for", line))).collect(),
        client: one.client,
    }
}

fn over<S>(inner: S) -> Fixed<ConnectInfoFix<ProxyFix>, S> {
    let trusted: TrustedProxies = TRUSTED.join(", ").parse().expect("networks");
    Fixed::new(ConnectInfoFix(ProxyFix::new(trusted)), inner)
}

/// So many layers of ours around a leaf.
fn layers(count: usize) -> crate::Call {
    match count {
        1 => around(over(Leaf)),
        2 => around(over(over(Leaf))),
        3 => around(over(over(over(Leaf)))),
        4 => around(over(over(over(over(Leaf))))),
        5 => around(over(over(over(over(over(Leaf)))))),
        6 => around(over(over(over(over(over(over(Leaf))))))),
        7 => around(over(over(over(over(over(over(over(Leaf)))))))),
        8 => around(over(over(over(over(over(over(over(over(Leaf))))))))),
        _ => unreachable!("one to eight"),
    }
}
