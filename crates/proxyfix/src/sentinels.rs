//! Notice from the traffic that a policy and the proxies in front do not fit.
//!
//! ```text
//! trusted  10.0.0.2            the balancer 10.0.9.9 before it was forgotten
//! seen     X-Forwarded-For: 203.0.113.9, 10.0.9.9, and so on for nearly every request
//! said     sentinel.unlisted_proxy: nearly every request comes from 10.0.9.9, a private address that …
//! ```
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{Fix, Peer, ProxyFix, Sentinels, TrustedProxies};
//!
//! let fix = ProxyFix::new("10.0.0.2".parse::<TrustedProxies>()?);
//! let sentinels = Sentinels::new(fix.policy());
//! let stack = (fix, sentinels);
//!
//! let (mut parts, ()) = Request::get("/users")
//!     .extension("10.0.0.2:40000".parse::<Peer>()?)
//!     .header("x-forwarded-for", "203.0.113.9, 10.0.9.9")
//!     .body(())?
//!     .into_parts();
//! stack.fix(&mut parts);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::request::Parts;
use proxyfix_policy::{Claims as _, Ending, Field, Gate, IpNet, Outcome, Peer, Policy, Refusal, Verdict};

use crate::fix::fix_is_a_layer;
use crate::headers::HeaderClaims;
use crate::{Connection, Fix, Origin};

/// Watches the decisions for what operators forget, and says so as `tracing` events, at warn level.
///
/// It stands after the fix that decides, reads the [`Origin`] that this left, and changes nothing.
///
/// | event | what nearly every request shows | what is probably wrong |
/// | --- | --- | --- |
/// | `sentinel.unlisted_proxy` | its client is one of at most four private addresses, and forwards for others | a proxy is not listed, or one hop too few is declared |
/// | `sentinel.chain_short` | it passed fewer proxies, or has fewer entries, than are declared | the count is too high, or a proxy is gone around |
/// | `sentinel.no_header` | a trusted peer sent it without the header of the chain | the proxy does not set it, or sets another one |
/// | `sentinel.never_matched` | none of the hops is in a certain network of the policy | the network is left over, or mistyped |
///
/// # When
///
/// *Nearly every* is 95 of 100 in a window of [256](Self::WINDOW) requests, the next window begins when one
/// is full, and a warning of a kind is said at most once an [hour](Self::SILENCE). A network has to be missing from
/// [10 000](Self::PATIENCE) requests of trusted peers, and for an hour, and is named once.
///
/// | request | counts for |
/// | --- | --- |
/// | from a trusted peer, with a chain | all |
/// | from a peer that is not trusted, with forwarding headers | the unlisted proxy |
/// | from a trusted peer, without a chain | the missing header; health checks do this, so that at least eight different paths have to be asked for, or half of the requests to carry other forwarding headers |
/// | any other, such as a bot that connects directly | nothing |
///
/// A private address that is the client and forwards for nobody is a client: a service of yours that calls
/// this one. *Private* is what no client on the internet has: RFC 1918, RFC 6598, `fc00::/7`, loopback
/// and link-local.
///
/// # What it cannot do
///
/// A balancer that is not listed and writes no header looks like a client. A public address never looks
/// like a proxy. In sets of more than [eight](Self::NETWORKS) networks, such as providers publish, a network may well
/// be idle, and none is named.
///
/// It knows what it counts, and no more: its memory does not grow. Requests never wait for one another;
/// one that finds another one counting is not counted.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct Sentinels {
    core: Arc<Mutex<Core>>,
}

impl Sentinels {
    /// The requests of one window.
    pub const WINDOW: u16 = 256;
    /// How long no warning of the same kind follows one.
    pub const SILENCE: Duration = Duration::from_secs(60 * 60);
    /// The requests of trusted peers after which a network is missed.
    pub const PATIENCE: u32 = 10_000;
    /// The networks of a policy that are watched at the most.
    pub const NETWORKS: usize = 8;

    /// Watches what `policy` decides.
    pub fn new(policy: &Policy) -> Self {
        Self { core: Arc::new(Mutex::new(Core::new(policy))) }
    }

    /// Watches what another policy decides, and forgets what was learned.
    ///
    /// For policies that are replaced while the service runs. Without this call the first decision of a
    /// later [generation](proxyfix_policy::Origin::generation) makes it forget all the same, and no network of the new
    /// policy is missed.
    pub fn watch(&self, policy: &Policy) {
        if let Ok(mut core) = self.core.lock() {
            let said = core.said;
            *core = Core { said, ..Core::new(policy) };
        }
    }

    /// Counts a request that was decided, and says what that shows, if it is time to say it: what the fix
    /// does before it reports, for whoever reports elsewhere.
    pub fn observe(&self, parts: &Parts, now: Instant) -> Option<Warning> {
        let origin = parts.extensions.get::<Origin>()?;
        let headers = HeaderClaims {
            headers: &parts.headers,
            scan: None,
            removed: Some(&origin.removed),
            computed: &Vec::new(),
        };
        self.core.try_lock().ok()?.observe(&Seen { origin, headers, path: parts.uri.path() }, now)
    }
}

impl Fix for Sentinels {
    fn fix(&self, parts: &mut Parts) {
        if let Some(warning) = self.observe(parts, Instant::now()) {
            tracing::warn!(event = warning.name(), "{warning}");
        }
    }

    fn fix_from(&self, _: Connection, parts: &mut Parts) -> Option<Peer> {
        self.fix(parts);
        None
    }
}

fix_is_a_layer!(Sentinels);

/// What the traffic shows. As text, a sentence with the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Nearly every request seems to come from these private addresses, most frequent first.
    UnlistedProxy {
        /// At most four.
        addresses: Vec<IpAddr>,
        /// Why they are not taken for proxies.
        because: Unlisted,
    },
    /// Nearly every request passed fewer proxies than are declared.
    ChainShort {
        /// So many are declared.
        declared: usize,
        /// The most that were passed.
        passed: usize,
        /// The name of the first hop that was not passed, where hops have names.
        missing: Option<String>,
    },
    /// Nearly every chain has fewer entries than are declared, so that its client is unknown.
    TooFewEntries,
    /// Nearly every request of a trusted peer comes without a chain.
    NoHeader {
        /// The header that is read.
        header: String,
        /// The one that most of them have instead.
        instead: Option<&'static str>,
    },
    /// No hop was in these networks.
    NeverMatched {
        /// As they were written.
        networks: Vec<IpNet>,
    },
}

/// Why an address that looks like a proxy is not taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unlisted {
    /// It is not in the trusted set.
    NotTrusted,
    /// It is not the hop of the topology that should be in its place, 1 the one that connects.
    NotTheHop(usize),
    /// No more than so many hops are declared.
    BeyondHops(usize),
}

impl Warning {
    /// The names of all events.
    pub const NAMES: &[&str] =
        &["sentinel.unlisted_proxy", "sentinel.chain_short", "sentinel.no_header", "sentinel.never_matched"];

    /// The name of its event.
    pub const fn name(&self) -> &'static str {
        Self::NAMES[self.kind()]
    }

    const fn kind(&self) -> usize {
        match self {
            Self::UnlistedProxy { .. } => 0,
            Self::ChainShort { .. } | Self::TooFewEntries => 1,
            Self::NoHeader { .. } => 2,
            Self::NeverMatched { .. } => 3,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnlistedProxy { addresses, because } => unlisted(f, addresses, *because),
            Self::ChainShort { declared, passed, missing: Some(hop) } => write!(
                f,
                "nearly every request passed {passed} of the {declared} hops, and not {hop:?}; check the \
                 addresses of that hop, leave it out if it is gone, or find out how it is gone around"
            ),
            Self::ChainShort { declared, passed, missing: None } => write!(
                f,
                "{declared} proxies are declared, and nearly every request passed {passed}; declare {passed}, \
                 add the addresses of the others to the trusted set, or find out how they are gone around"
            ),
            Self::TooFewEntries => f.write_str(
                "nearly every chain has fewer entries than are declared, so that its client is unknown; \
                 declare as many as your proxies add, or find out how one of them is gone around",
            ),
            Self::NoHeader { header, instead: Some(instead) } => write!(
                f,
                "nearly every request of a trusted peer has no {header}, and has {instead} instead, so that \
                 its client is unknown; read {instead}, or let the proxy set {header}"
            ),
            Self::NoHeader { header, instead: None } => write!(
                f,
                "nearly every request of a trusted peer has no {header}, so that its client is unknown; let \
                 the proxy set it, or stop trusting peers that are no proxies"
            ),
            Self::NeverMatched { networks } => {
                f.write_str("no hop was ever in ")?;
                list(f, networks)?;
                let it = if networks.len() == 1 { "it" } else { "them" };
                write!(
                    f,
                    "; take {it} out of the trusted set, or correct {it}, if no proxy of yours is there"
                )
            }
        }
    }
}

fn unlisted(f: &mut fmt::Formatter<'_>, addresses: &[IpAddr], because: Unlisted) -> fmt::Result {
    f.write_str("nearly every request seems to come from ")?;
    list(f, addresses)?;
    let one = addresses.len() == 1;
    let number = |singular, plural| if one { singular } else { plural };
    f.write_str(number(
        ", a private address that forwards for others and ",
        ", private addresses that forward for others and ",
    ))?;
    let yours = number("if it is your proxy", "if they are your proxies");
    let (is, it) = (number("is", "are"), number("it", "them"));
    match because {
        Unlisted::NotTrusted => write!(f, "{is} not trusted; add {it} to the trusted set {yours}"),
        Unlisted::NotTheHop(place) => write!(
            f,
            "{is} not hop {place} of the topology; add {it} to the addresses of that hop, or a hop for {it} \
             there, {yours}"
        ),
        Unlisted::BeyondHops(declared) => {
            let hops = if declared == 1 { "hop" } else { "hops" };
            write!(f, "{is} beyond the {declared} {hops} declared; declare {} {yours}", declared + 1)
        }
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        f.write_str(match index {
            0 => "",
            _ if index + 1 == items.len() => " and ",
            _ => ", ",
        })?;
        item.fmt(f)?;
    }
    Ok(())
}

/// One decided request.
struct Seen<'a> {
    origin: &'a Origin,
    /// As they came in.
    headers: HeaderClaims<'a>,
    path: &'a str,
}

/// Headers that name a client, any of which a proxy may set instead of the one that is read.
const CHAINS: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"];
/// What a proxy may set besides.
const OTHERS: [&str; 2] = ["x-forwarded-proto", "x-forwarded-host"];

impl Seen<'_> {
    fn has(&self, header: &str) -> bool {
        self.headers.lines(header).any(|line| !line.trim_ascii().is_empty())
    }

    /// Whether the one who seems to be the client forwards for somebody: something stands in the chain
    /// that was not read.
    fn forwards(&self, chain: &str) -> bool {
        if !self.origin.ending().is_from_trusted_peer() {
            return self.has(chain) || CHAINS.into_iter().any(|header| self.has(header));
        }
        let (chain, read) = match self.origin.place(Field::For) {
            Some(place) => (place.written.header(Field::For), place.position),
            None => (Some(chain), self.origin.steps().count().saturating_sub(1)),
        };
        // In a header of one value nothing is left.
        chain.is_some_and(|chain| self.headers.lines(chain).map(entries).sum::<usize>() > read)
    }

    /// The private address that passes for the client, if one does.
    fn private(&self) -> Option<IpAddr> {
        let ip = match self.origin.ending() {
            Ending::PeerUntrusted | Ending::ClientFound | Ending::HopLimit => self.origin.client(),
            Ending::Unroutable => self.origin.steps().last().and_then(|step| step.hop.ip()),
            _ => None,
        };
        ip.filter(|ip| is_private(*ip))
    }
}

/// As many entries as a line seems to have.
fn entries(line: &[u8]) -> usize {
    line.split(|byte| *byte == b',').count()
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// All that is remembered.
#[derive(Debug)]
struct Core {
    policy: Policy,
    generation: u64,
    chains: Chains,
    peers: Peers,
    networks: Networks,
    /// When a warning of each kind was said last.
    said: [Option<Instant>; Warning::NAMES.len()],
}

/// A window of requests that somebody forwarded.
#[derive(Debug, Default)]
struct Chains {
    counted: u16,
    /// Private addresses that forward for others, why they are no proxies, and how often they came.
    private: [Option<(IpAddr, Unlisted, u16)>; 4],
    short: u16,
    passed: usize,
    too_few: u16,
}

/// A window of requests of trusted peers.
#[derive(Debug, Default)]
struct Peers {
    counted: u16,
    absent: u16,
    /// Of those without a chain, how many have forwarding headers that are not read, and which.
    other: u16,
    instead: [u16; CHAINS.len()],
    /// One bit for each path asked for, or several.
    paths: u64,
}

/// The networks in which there was no hop.
#[derive(Debug, Default)]
struct Networks {
    unseen: Vec<IpNet>,
    since: Option<Instant>,
    counted: u32,
}

/// Whether so many are nearly all of a window.
fn nearly_all(count: u16) -> bool {
    u32::from(count) * 100 >= u32::from(Sentinels::WINDOW) * 95
}

impl Core {
    fn new(policy: &Policy) -> Self {
        Self {
            generation: policy.generation(),
            chains: Chains::default(),
            peers: Peers::default(),
            networks: Networks::of(policy),
            said: Default::default(),
            policy: policy.clone(),
        }
    }

    fn observe(&mut self, seen: &Seen<'_>, now: Instant) -> Option<Warning> {
        let generation = seen.origin.generation();
        if generation < self.generation {
            return None;
        }
        if generation > self.generation {
            self.generation = generation;
            self.chains = Chains::default();
            self.peers = Peers::default();
            self.networks = Networks::default();
        }
        self.networks.count(seen.origin, now);
        let windows = [self.count_chain(seen), self.count_peer(seen)];
        let silent = |said: Instant| now.saturating_duration_since(said) < Sentinels::SILENCE;
        let fresh = |it: &Warning| !self.said[it.kind()].is_some_and(silent);
        let warning = windows.into_iter().flatten().find(fresh).or_else(|| self.networks.missing(now))?;
        self.said[warning.kind()] = Some(now);
        Some(warning)
    }

    fn count_chain(&mut self, seen: &Seen<'_>) -> Option<Warning> {
        let origin = seen.origin;
        let chain = self.policy.header(Field::For)?;
        let walked = matches!(origin.outcome(Field::For), Outcome::Believed | Outcome::Refused(_));
        let private = seen.private();
        let forwards = (!walked || private.is_some()) && seen.forwards(chain);
        // Whoever is listed and gave no proof is not missing from the set.
        let unproven =
            !walked && self.policy.gate() != Gate::Address && self.policy.trusted().allows(&origin.peer());
        if !(walked || (origin.ending() == Ending::PeerUntrusted && forwards && !unproven)) {
            return None;
        }
        let window = &mut self.chains;
        window.counted += 1;
        if let Some(ip) = private.filter(|_| forwards) {
            let because = match (origin.ending(), origin.declared_hops()) {
                _ if !self.policy.hops().is_empty() => Unlisted::NotTheHop(origin.trusted_hops() + 1),
                (Ending::HopLimit, Some(declared)) => Unlisted::BeyondHops(declared),
                (Ending::HopLimit, None) => Unlisted::BeyondHops(1),
                _ => Unlisted::NotTrusted,
            };
            let slot = window.private.iter_mut().find(|slot| slot.is_none_or(|(other, ..)| other == ip));
            if let Some(slot) = slot {
                slot.get_or_insert((ip, because, 0)).2 += 1;
            }
        } else if origin.is_short() {
            window.short += 1;
            window.passed = window.passed.max(origin.trusted_hops());
        } else if origin.outcome(Field::For) == Outcome::Refused(Refusal::TooFew) {
            window.too_few += 1;
        }
        if window.counted < Sentinels::WINDOW {
            return None;
        }
        let full = std::mem::take(window);
        full.shows(&self.policy, origin.declared_hops().unwrap_or_default())
    }

    fn count_peer(&mut self, seen: &Seen<'_>) -> Option<Warning> {
        let header = self.policy.header(Field::For)?;
        let absent = match seen.origin.outcome(Field::For) {
            Outcome::Absent => true,
            Outcome::Believed | Outcome::Refused(_) => false,
            _ => return None,
        };
        let window = &mut self.peers;
        window.counted += 1;
        if absent {
            window.absent += 1;
            for (count, chain) in window.instead.iter_mut().zip(CHAINS) {
                *count += u16::from(chain != header && seen.has(chain));
            }
            let others = CHAINS.into_iter().chain(OTHERS);
            window.other += u16::from(others.filter(|other| *other != header).any(|other| seen.has(other)));
            let mut hasher = DefaultHasher::new();
            seen.path.hash(&mut hasher);
            window.paths |= 1 << (hasher.finish() % 64);
        }
        if window.counted < Sentinels::WINDOW {
            return None;
        }
        let full = std::mem::take(window);
        full.shows(header)
    }
}

impl Chains {
    fn shows(mut self, policy: &Policy, declared: usize) -> Option<Warning> {
        self.private.sort_by_key(|slot| std::cmp::Reverse(slot.map_or(0, |(.., count)| count)));
        let private = || self.private.iter().flatten();
        if let Some((_, because, _)) = self.private[0] {
            if nearly_all(private().map(|(.., count)| count).sum()) {
                // An address that came once is not what this is about.
                let often = private().filter(|(.., count)| !nearly_all(Sentinels::WINDOW - count));
                return Some(Warning::UnlistedProxy {
                    addresses: often.map(|(ip, ..)| *ip).collect(),
                    because,
                });
            }
        }
        if !nearly_all(self.short + self.too_few) {
            return None;
        }
        Some(if self.too_few > self.short {
            Warning::TooFewEntries
        } else {
            let missing = policy.hops().get(self.passed).map(|hop| hop.name().to_owned());
            Warning::ChainShort { declared, passed: self.passed, missing }
        })
    }
}

impl Peers {
    fn shows(self, header: &str) -> Option<Warning> {
        const PATHS: u32 = 8;
        let half = |count: u16| count >= self.absent / 2;
        if !nearly_all(self.absent) || !(half(self.other) || self.paths.count_ones() >= PATHS) {
            return None;
        }
        let instead = CHAINS.into_iter().zip(self.instead).find(|(_, count)| half(*count));
        Some(Warning::NoHeader { header: header.to_owned(), instead: instead.map(|(chain, _)| chain) })
    }
}

impl Networks {
    fn of(policy: &Policy) -> Self {
        let networks = || policy.sets().flat_map(|(_, set)| set.networks()).copied();
        let networks = || networks().filter(|network| !network.addr().is_loopback());
        // No more than one is looked at beyond those that are watched.
        let few = networks().nth(Sentinels::NETWORKS).is_none();
        Self { unseen: if few { networks().collect() } else { Vec::new() }, ..Self::default() }
    }

    fn count(&mut self, origin: &Origin, now: Instant) {
        if self.unseen.is_empty() || !origin.ending().is_from_trusted_peer() {
            return;
        }
        let trusted = origin.steps().filter(|step| step.verdict == Verdict::Trusted);
        // The outermost hop is trusted, too, where all are.
        let client = origin.client().filter(|_| origin.ending() == Ending::AllTrusted);
        for ip in trusted.filter_map(|step| step.hop.ip()).chain(client) {
            self.unseen.retain(|network| !network.contains(&ip));
        }
        self.counted = self.counted.saturating_add(1);
        self.since.get_or_insert(now);
    }

    fn missing(&mut self, now: Instant) -> Option<Warning> {
        let since = self.since?;
        let waited = now.saturating_duration_since(since) >= Sentinels::SILENCE;
        if self.unseen.is_empty() || self.counted < Sentinels::PATIENCE || !waited {
            return None;
        }
        Some(Warning::NeverMatched { networks: std::mem::take(&mut self.unseen) })
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proxyfix_policy::{Family, Hop, PolicyBuilder, Topology, TrustedProxies};

    use super::*;
    use crate::ProxyFix;

    /// A fix, the sentinels behind it, and a clock that goes forward as it is told.
    struct Service {
        fix: ProxyFix,
        sentinels: Sentinels,
        now: Instant,
        requests: u32,
    }

    impl Service {
        fn new(policy: Policy) -> Self {
            let sentinels = Sentinels::new(&policy);
            Self { fix: ProxyFix::new(policy), sentinels, now: Instant::now(), requests: 0 }
        }

        fn trusting(text: &str) -> Self {
            Self::new(Policy::new(set(text)))
        }

        /// One request; in `{}` stands a client that changes.
        fn request(&mut self, peer: &str, headers: &[(&str, &str)], path: &str) -> Option<Warning> {
            self.requests += 1;
            let client = format!("203.0.113.{}", self.requests % 200);
            let mut request = Request::get(path.replace("{}", &client));
            request = request.extension(peer.replace("{}", &client).parse::<Peer>().unwrap());
            for (name, value) in headers {
                request = request.header(*name, value.replace("{}", &client));
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            self.fix.fix(&mut parts);
            self.sentinels.observe(&parts, self.now)
        }

        /// As many requests as are asked for, from one peer with one chain.
        fn chains(&mut self, count: u32, peer: &str, chain: &str) -> Vec<Warning> {
            let one = |_| self.request(peer, &[("x-forwarded-for", chain)], "/users/{}");
            (0..count).filter_map(one).collect()
        }

        /// The requests of a window, and one warning at the end of it.
        #[track_caller]
        fn assert_warns(&mut self, peer: &str, chain: &str, name: &str, sentence: &str) {
            assert_eq!(self.chains(WINDOW - 1, peer, chain), [], "too early");
            let warnings = self.chains(1, peer, chain);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert_eq!((warnings[0].name(), warnings[0].to_string().as_str()), (name, sentence));
        }

        fn wait(&mut self) {
            self.now += Sentinels::SILENCE;
        }
    }

    const WINDOW: u32 = Sentinels::WINDOW as u32;

    fn set(text: &str) -> TrustedProxies {
        text.parse().unwrap()
    }

    fn hops(text: &str, hops: u8) -> Policy {
        Policy::new(set(text).hops(hops).unwrap())
    }

    fn nginx_and_balancer() -> Policy {
        let hops = [Hop::new("nginx", set("loopback")), Hop::new("balancer", set("10.0.1.0/24"))];
        Policy::new(Topology::new(hops).unwrap())
    }

    #[test]
    fn a_proxy_that_is_not_listed_is_named_with_the_cure() {
        const NAME: &str = "sentinel.unlisted_proxy";
        let said = |address: &str, rest: &str| {
            format!(
                "nearly every request seems to come from {address}, a private address that forwards for \
                 others and {rest} if it is your proxy"
            )
        };
        let untrusted = |address| said(address, "is not trusted; add it to the trusted set");
        let flat = || Service::trusting("10.0.0.2");
        flat().assert_warns("127.0.0.1", "{}", NAME, &untrusted("127.0.0.1"));
        flat().assert_warns("fd00::7", "{}", NAME, &untrusted("fd00::7"));
        flat().assert_warns("10.0.0.2", "{}, 10.0.9.9", NAME, &untrusted("10.0.9.9"));
        flat().assert_warns("10.0.0.2", "{}, 100.64.0.9", NAME, &untrusted("100.64.0.9"));
        flat().assert_warns("10.0.0.2", "{}, 127.0.0.1", NAME, &untrusted("127.0.0.1"));
        let mut declared = Service::new(hops("10.0.0.0/24", 1));
        let beyond = said("10.0.0.9", "is beyond the 1 hop declared; declare 2");
        declared.assert_warns("10.0.0.2", "{}, 10.0.0.9", NAME, &beyond);
        // It explains why the chain is short, too.
        let mut declared = Service::new(hops("10.0.0.0/24", 2));
        declared.assert_warns("10.0.0.2", "{}, 10.0.9.9", NAME, &untrusted("10.0.9.9"));
        let place =
            "is not hop 2 of the topology; add it to the addresses of that hop, or a hop for it there,";
        let mut listed = Service::new(nginx_and_balancer());
        listed.assert_warns("127.0.0.1", "{}, 10.0.2.7", NAME, &said("10.0.2.7", place));
        let mut any = Service::new(Policy::new(TrustedProxies::dangerously_trust_every_peer()));
        any.assert_warns(
            "{}",
            "{}, 10.0.9.9",
            NAME,
            &said("10.0.9.9", "is beyond the 1 hop declared; declare 2"),
        );
    }

    #[test]
    fn several_proxies_that_are_not_listed_are_one_warning() {
        let mut service = Service::trusting("10.0.0.2");
        let mut warnings = service.chains(5, "10.0.0.2", "{}, 10.0.9.7");
        warnings.extend(service.chains(100, "10.0.0.2", "{}, 10.0.9.8"));
        warnings.extend(service.chains(WINDOW - 105, "10.0.0.2", "{}, 10.0.9.9"));
        assert_eq!(warnings.len(), 1);
        assert_eq!(
            warnings[0].to_string(),
            "nearly every request seems to come from 10.0.9.9 and 10.0.9.8, private addresses that forward \
             for others and are not trusted; add them to the trusted set if they are your proxies"
        );
    }

    #[test]
    fn chains_that_are_always_short_are_named_with_the_cure() {
        const NAME: &str = "sentinel.chain_short";
        Service::new(hops("10.0.0.0/24", 2)).assert_warns(
            "10.0.0.2",
            "{}",
            NAME,
            "2 proxies are declared, and nearly every request passed 1; declare 1, add the addresses of the \
             others to the trusted set, or find out how they are gone around",
        );
        Service::new(nginx_and_balancer()).assert_warns(
            "127.0.0.1",
            "{}",
            NAME,
            "nearly every request passed 1 of the 2 hops, and not \"balancer\"; check the addresses of that \
             hop, leave it out if it is gone, or find out how it is gone around",
        );
        let any = TrustedProxies::dangerously_trust_every_peer().hops(2).unwrap();
        Service::new(Policy::new(any)).assert_warns(
            "10.0.0.2",
            "{}",
            NAME,
            "nearly every chain has fewer entries than are declared, so that its client is unknown; declare \
             as many as your proxies add, or find out how one of them is gone around",
        );
    }

    /// A window of requests of the trusted peer without a chain: the warning's sentence, or nothing.
    fn without_chain(policy: Policy, headers: &[(&str, &str)], path: &str) -> String {
        let mut service = Service::new(policy);
        let warnings = (0..WINDOW).filter_map(|_| service.request("10.0.0.2", headers, path));
        let warnings: Vec<String> = warnings.map(|it| format!("{} {it}", it.name())).collect();
        warnings.concat()
    }

    #[test]
    fn a_header_that_is_never_there_is_named_with_the_one_that_is() {
        let flat = || Policy::new(set("10.0.0.2"));
        assert_eq!(
            without_chain(flat(), &[], "/users/{}"),
            "sentinel.no_header nearly every request of a trusted peer has no x-forwarded-for, so that its \
             client is unknown; let the proxy set it, or stop trusting peers that are no proxies"
        );
        assert_eq!(
            without_chain(flat(), &[("x-real-ip", "{}")], "/graphql"),
            "sentinel.no_header nearly every request of a trusted peer has no x-forwarded-for, and has \
             x-real-ip instead, so that its client is unknown; read x-real-ip, or let the proxy set \
             x-forwarded-for"
        );
        // A chain of nothing but commas is none.
        assert!(without_chain(flat(), &[("x-forwarded-for", ", ,")], "/{}").contains("let the proxy set it"));
        let forwarded = Policy::builder(set("10.0.0.2")).family(Family::Forwarded).build().unwrap();
        assert!(
            without_chain(forwarded, &[("x-forwarded-for", "{}")], "/")
                .contains("has x-forwarded-for instead")
        );
        assert!(
            without_chain(flat(), &[("x-forwarded-proto", "https")], "/").contains("let the proxy set it")
        );
    }

    #[test]
    fn health_checks_are_no_traffic() {
        let flat = || Policy::new(set("10.0.0.2"));
        for path in ["/health", "/"] {
            assert_eq!(without_chain(flat(), &[], path), "");
        }
        // A fix that reads no chain misses none.
        let host = Policy::builder(set("10.0.0.2")).fields([Field::Host]).build().unwrap();
        assert_eq!(without_chain(host, &[("x-real-ip", "{}")], "/users/{}"), "");
        // Many checks beside some traffic, and checks that connect directly.
        let mut service = Service::trusting("10.0.0.2");
        for _ in 0..WINDOW {
            for _ in 0..9 {
                assert_eq!(service.request("10.0.0.2", &[], "/live"), None);
                assert_eq!(service.request("10.0.5.5", &[], "/ready"), None);
            }
            assert_eq!(service.request("10.0.0.2", &[("x-forwarded-for", "{}")], "/users/{}"), None);
        }
        // Nor do they hide what the traffic shows.
        let mut service = Service::trusting("10.0.0.2");
        let mut warnings = Vec::new();
        for _ in 0..WINDOW {
            assert_eq!(service.request("10.0.5.5", &[], "/ready"), None);
            assert_eq!(service.request("10.0.0.2", &[], "/live"), None);
            warnings.extend(service.chains(1, "10.0.9.9", "{}"));
        }
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn good_traffic_is_silent() {
        let two = || hops("10.0.0.0/24", 2);
        let cases: [(Policy, &str, &str); 9] = [
            (two(), "10.0.0.2", "{}, 10.0.0.7"),
            (two(), "10.0.0.2", "6.6.6.6, {}, 10.0.0.7"),
            (nginx_and_balancer(), "127.0.0.1", "{}, 10.0.1.7"),
            (Policy::new(set("10.0.0.2")), "10.0.0.2", "6.6.6.6, {}"),
            // A service of ours that calls this one through the proxy, and directly.
            (Policy::new(set("10.0.0.2")), "10.0.0.2", "10.0.5.5"),
            (Policy::new(set("10.0.0.0/24")), "10.0.0.2", "10.0.0.7"),
            (two(), "10.0.0.2", "10.0.0.7"),
            // Bots, which say what they like.
            (two(), "{}", "127.0.0.1, 10.0.9.9"),
            (two(), "10.0.0.2", "junk"),
        ];
        for (policy, peer, chain) in cases {
            let mut service = Service::new(policy);
            assert_eq!(service.chains(3 * WINDOW, peer, chain), [], "{peer} {chain}");
        }
        let mut direct = Service::trusting("10.0.0.2");
        for _ in 0..2 * WINDOW {
            assert_eq!(direct.request("10.0.5.5", &[], "/users/{}"), None);
        }
    }

    #[test]
    fn a_twentieth_of_other_traffic_is_enough_to_be_silent() {
        // 13 of 256 are more than 5 of 100, and 12 are less.
        for (good, warnings) in [(12, 1), (13, 0)] {
            let mut service = Service::new(hops("10.0.0.0/24", 2));
            assert_eq!(service.chains(good, "10.0.0.2", "{}, 10.0.0.7"), []);
            assert_eq!(service.chains(WINDOW - good, "10.0.0.2", "{}").len(), warnings, "{good}");
            let mut service = Service::trusting("10.0.0.2");
            assert_eq!(service.chains(good, "10.0.0.2", "{}"), []);
            assert_eq!(service.chains(WINDOW - good, "10.0.0.2", "{}, 10.0.9.9").len(), warnings, "{good}");
        }
    }

    #[test]
    fn a_warning_is_said_once_an_hour() {
        let mut service = Service::new(hops("10.0.0.0/24", 2));
        assert_eq!(service.chains(10 * WINDOW, "10.0.0.2", "{}").len(), 1);
        let said = service.now;
        service.now = said + Duration::from_secs(59 * 60);
        service.sentinels.watch(&hops("10.0.0.0/24", 2));
        assert_eq!(service.chains(WINDOW, "10.0.0.2", "{}"), []);
        service.now = said + Sentinels::SILENCE;
        assert_eq!(service.chains(10 * WINDOW, "10.0.0.2", "{}").len(), 1);
        // Another kind has an hour of its own.
        assert_eq!(service.chains(WINDOW, "10.0.0.2", "{}, 10.0.9.9").len(), 1);
    }

    #[test]
    fn a_network_in_which_no_proxy_ever_was_is_named_once() {
        let mut service = Service::trusting("loopback, unix, 10.0.0.0/24, 10.7.0.0/24, 2001:db8::/48");
        assert_eq!(service.chains(Sentinels::PATIENCE, "10.0.0.2", "{}"), [], "not within the hour");
        service.wait();
        let warnings = service.chains(10, "10.0.0.2", "{}");
        let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            ["no hop was ever in 10.7.0.0/24 and 2001:db8::/48; take them out of the trusted set, or \
              correct them, if no proxy of yours is there"]
        );
        service.wait();
        assert_eq!(service.chains(Sentinels::PATIENCE, "10.0.0.2", "{}"), []);

        let mut few = Service::trusting("10.0.0.0/24, 10.7.0.0/24");
        few.chains(Sentinels::PATIENCE - 2, "10.0.0.2", "{}");
        few.wait();
        assert_eq!(few.chains(1, "10.0.0.2", "{}"), [], "one too few");
        assert_eq!(few.chains(9, "{}", "{}"), [], "of trusted peers");
        assert_eq!(few.chains(1, "10.0.0.2", "{}").len(), 1);
    }

    #[test]
    fn a_network_with_one_hop_is_not_missed() {
        let assert_silent = |text: &str, peer: &str, chain: &str| {
            let mut service = Service::trusting(text);
            service.chains(1, peer, chain);
            service.chains(Sentinels::PATIENCE, "10.0.0.2", "{}");
            service.wait();
            assert_eq!(service.chains(1, "10.0.0.2", "{}"), [], "{text}");
        };
        assert_silent("10.0.0.0/24, 10.7.0.0/24", "10.7.0.9", "{}");
        assert_silent("10.0.0.0/24, 10.7.0.0/24", "10.0.0.2", "{}, 10.7.0.9");
        assert_silent("10.0.0.0/24, 10.7.0.0/24", "10.0.0.2", "10.7.0.9");
        // A list that a provider publishes.
        let published: Vec<String> = (1..=8).map(|net| format!("198.51.{net}.0/24")).collect();
        assert_silent(&format!("10.0.0.0/24, {}", published.join(", ")), "10.0.0.2", "{}");
    }

    #[test]
    fn another_generation_begins_anew() {
        let policy = || hops("10.0.0.0/24, 10.7.0.0/24", 2);
        let mut service = Service::new(policy());
        assert_eq!(service.chains(WINDOW - 1, "10.0.0.2", "{}"), []);
        service.fix = ProxyFix::new(policy().with_generation(1));
        assert_eq!(service.chains(WINDOW - 1, "10.0.0.2", "{}"), []);
        // A late decision of the one before counts for neither.
        service.fix = ProxyFix::new(policy());
        assert_eq!(service.chains(WINDOW, "10.0.0.2", "{}"), []);
        service.fix = ProxyFix::new(policy().with_generation(1));
        assert_eq!(service.chains(1, "10.0.0.2", "{}").len(), 1);
        // Whose networks are not known are not missed.
        service.chains(Sentinels::PATIENCE, "10.0.0.2", "{}, 10.0.0.7");
        service.wait();
        assert_eq!(service.chains(WINDOW, "10.0.0.2", "{}, 10.0.0.7"), []);

        service.sentinels.watch(&policy().with_generation(2));
        service.fix = ProxyFix::new(policy().with_generation(2));
        service.chains(Sentinels::PATIENCE, "10.0.0.2", "{}, 10.0.0.7");
        service.wait();
        let warnings = service.chains(WINDOW, "10.0.0.2", "{}, 10.0.0.7");
        assert_eq!(warnings, [Warning::NeverMatched { networks: vec!["10.7.0.0/24".parse().unwrap()] }]);
    }

    #[test]
    fn who_is_listed_and_gave_no_proof_is_not_unlisted() {
        let proof = |builder: PolicyBuilder| builder.gate(Gate::AddressAndProof).build().unwrap();
        let mut service = Service::new(proof(Policy::builder(set("10.0.0.2"))));
        assert_eq!(service.chains(2 * WINDOW, "10.0.0.2", "{}"), []);
        assert_eq!(service.chains(2 * WINDOW, "10.0.0.3", "{}").len(), 1);
    }

    #[test]
    fn a_request_never_waits_for_another_one() {
        let mut service = Service::new(hops("10.0.0.0/24", 2));
        let sentinels = service.sentinels.clone();
        let counting = sentinels.core.lock().unwrap();
        assert_eq!(service.chains(WINDOW, "10.0.0.2", "{}"), []);
        drop(counting);
        assert_eq!(service.chains(WINDOW, "10.0.0.2", "{}").len(), 1);
    }

    #[test]
    fn the_table_lists_every_event() {
        let rows =
            include_str!("sentinels.rs").lines().filter_map(|line| line.strip_prefix("/// | `sentinel."));
        let names: Vec<String> =
            rows.filter_map(|row| Some(format!("sentinel.{}", row.split_once('`')?.0))).collect();
        assert_eq!(names, Warning::NAMES);
    }
}
