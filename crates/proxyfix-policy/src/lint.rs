//! What is permitted, and probably not what its operator wants.
//!
//! A policy that cannot mean what it says does not build. Others build and are risky, or say something that
//! has no effect; [`Policy::lint`] finds them, and tells the cure. It needs no traffic.
//!
//! | finding | severity | what it says |
//! | --- | --- | --- |
//! | `trust-any` | warning | every peer is trusted: whoever can connect may name any client |
//! | `nearly-everyone` | error | a set of networks that is as good as everyone |
//! | `wide-trust` | warning | a range wider than `/16` (IPv6: `/48`), such as the whole of `private`: workloads of others may live there |
//! | `link-local-trust` | warning | link-local addresses: anybody on any of the machine's links can have one |
//! | `nobodys-address` | warning | an entry that nobody can have, such as `0.0.0.0`: it does not mean everyone |
//! | `redundant-network` | note | an entry that lies within another one |
//! | `no-trust` | note | nobody is trusted: no header has any effect |
//! | `hops-beyond-set` | warning | more hops or values are counted than the set has addresses |
//! | `count-beyond-trust` | error | a count that steps over hops which no chain can show to be trusted |
//! | `overlapping-hops` | warning | an address that may be two hops: such a machine can go around what stands between |
//! | `unreachable-hop` | error | a hop that no walk can come to |
//! | `host-unrestricted` | warning | the host is read: a list of allowed hosts belongs behind it |
//!
//! A policy of this kind has no finding:
//!
//! ```
//! use proxyfix_policy::{Policy, TrustedProxies, lint::{Code, Severity}};
//!
//! let lint = |text: &str| text.parse::<TrustedProxies>().map(|trusted| Policy::new(trusted).lint());
//! assert_eq!(lint("loopback, unix, 10.0.0.0/24, 2001:db8::7")?, []);
//!
//! let findings = lint("10.0.0.0/8")?;
//! assert_eq!((findings[0].code(), findings[0].severity()), (Code::WideTrust, Severity::Warning));
//! assert_eq!(
//!     findings[0].to_string(),
//!     "the whole private network 10.0.0.0/8 is trusted: every workload in it may name any client; list \
//!      the addresses of the proxies, or a network that only they are in",
//! );
//! # Ok::<(), proxyfix_policy::Error>(())
//! ```

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::policy::{Rule, Source};
use crate::{Field, Gate, Policy, TrustedProxies};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It does no harm, and is probably not what was meant.
    Note,
    /// It may be meant, and whoever means it takes a risk.
    Warning,
    /// It cannot be what was meant.
    Error,
}

impl Severity {
    /// `note`, `warning` or `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What was found: see the [table](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Code {
    /// Every peer is trusted.
    TrustAny,
    /// The set is as good as everyone.
    NearlyEveryone,
    /// A range is so wide that others live there.
    WideTrust,
    /// Link-local addresses are trusted.
    LinkLocalTrust,
    /// An entry that nobody can have.
    NobodysAddress,
    /// An entry that lies within another one.
    RedundantNetwork,
    /// Nobody is trusted.
    NoTrust,
    /// More hops are counted than there are addresses.
    HopsBeyondSet,
    /// A count steps over hops that nothing shows to be trusted.
    CountBeyondTrust,
    /// An address may be two hops.
    OverlappingHops,
    /// No walk comes to a hop.
    UnreachableHop,
    /// The host is read.
    HostUnrestricted,
}

impl Code {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::TrustAny,
        Self::NearlyEveryone,
        Self::WideTrust,
        Self::LinkLocalTrust,
        Self::NobodysAddress,
        Self::RedundantNetwork,
        Self::NoTrust,
        Self::HopsBeyondSet,
        Self::CountBeyondTrust,
        Self::OverlappingHops,
        Self::UnreachableHop,
        Self::HostUnrestricted,
    ];

    /// A stable name: `trust-any`, `nearly-everyone`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TrustAny => "trust-any",
            Self::NearlyEveryone => "nearly-everyone",
            Self::WideTrust => "wide-trust",
            Self::LinkLocalTrust => "link-local-trust",
            Self::NobodysAddress => "nobodys-address",
            Self::RedundantNetwork => "redundant-network",
            Self::NoTrust => "no-trust",
            Self::HopsBeyondSet => "hops-beyond-set",
            Self::CountBeyondTrust => "count-beyond-trust",
            Self::OverlappingHops => "overlapping-hops",
            Self::UnreachableHop => "unreachable-hop",
            Self::HostUnrestricted => "host-unrestricted",
        }
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::NearlyEveryone | Self::CountBeyondTrust | Self::UnreachableHop => Severity::Error,
            Self::RedundantNetwork | Self::NoTrust => Severity::Note,
            _ => Severity::Warning,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that an operator should know about a policy. As text, a sentence with the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    code: Code,
    hop: Option<String>,
    message: String,
}

impl Finding {
    /// What was found.
    pub fn code(&self) -> Code {
        self.code
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// The named hop that it is about; `None` where it is about a flat set, or the policy.
    pub fn hop(&self) -> Option<&str> {
        self.hop.as_deref()
    }

    /// What it is, what follows from it, and the cure; without the name of the hop.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hop) = &self.hop {
            write!(f, "hop {hop:?}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Policy {
    /// What is permitted and probably not wanted; empty for a policy that has no such thing. At most one
    /// finding of a kind for each set.
    pub fn lint(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.trusted().trusts_nobody() && self.plan.gate != Gate::AddressOrProof {
            let message = "nobody is trusted: forwarding headers have no effect, and every peer is its own \
                           client; list the addresses of your proxies if there are any";
            findings.push(finding(Code::NoTrust, None, message));
            return findings;
        }
        for (place, (hop, set)) in self.sets().enumerate() {
            // Where a set only judges the peer, and the peer has to give a proof, its width is no risk.
            let peer_only =
                self.plan.listed || set.declared_hops().map_or(set.trusts_every_peer(), |hops| hops == 1);
            let proven = place == 0 && peer_only && self.plan.gate == Gate::AddressAndProof;
            let mut note = |code, message: String| findings.push(finding(code, hop, message));
            if !proven {
                lint_width(set, place, &mut note);
            }
            lint_entries(set, &mut note);
        }
        self.lint_counts(&mut findings);
        self.lint_places(&mut findings);
        if self.reads(Field::Host) {
            let message = "the host is believed as the proxies forward it, which is often what the client \
                           wrote; say which hosts are served, with Guard::allow_hosts behind the fix";
            findings.push(finding(Code::HostUnrestricted, None, message));
        }
        findings
    }

    fn lint_counts(&self, findings: &mut Vec<Finding>) {
        let trusted = self.trusted();
        if trusted.trusts_every_peer() {
            return;
        }
        let count = |field: Field| match self.plan.sources[field as usize] {
            Source::Family(Rule::Count(count)) => count,
            _ => 0,
        };
        let chain = matches!(self.plan.sources[Field::For as usize], Source::Family(_));
        let counted = Field::ALL.into_iter().filter(|field| *field != Field::For);
        if let Some(field) = counted.clone().find(|field| !chain && count(*field) > 1) {
            let (field, count) = (field.as_str(), count(field));
            let message = format!(
                "{field} is the value {count} from the right, and no chain is read that could show whether \
                 the proxies on its right are trusted, so it is not taken; read for, too, or count 1"
            );
            findings.push(finding(Code::CountBeyondTrust, None, message));
        }
        let most = counted.map(count).chain(trusted.declared_hops()).max().unwrap_or_default();
        // Several proxies can run on this machine.
        let loopback = trusted.networks().iter().any(|network| network.addr().is_loopback());
        let size = trusted.networks.size();
        if !loopback && !trusted.trusts_local_sockets() && size > 0 && u128::from(most) > size {
            let room = if size == 1 { "1 address".to_owned() } else { format!("{size} addresses") };
            let message = format!(
                "{most} proxies are counted, and the trusted set has {room}; list the other proxies, or \
                 count only those that are listed"
            );
            findings.push(finding(Code::HopsBeyondSet, None, message));
        }
    }

    fn lint_places(&self, findings: &mut Vec<Finding>) {
        for (place, hop) in self.hops().iter().enumerate() {
            let nearer = &self.plan.hops[..place];
            let mut note = |code, message: String| findings.push(finding(code, Some(&hop.name), message));
            if let Some(mute) = nearer.iter().find(|nearer| !nearer.asserts(Field::For)) {
                let message = format!(
                    "no request comes to it, because {:?} before it may not assert for, that is, who is \
                     connected; allow that, or leave this hop out",
                    mute.name
                );
                note(Code::UnreachableHop, message);
            } else if place > 0 && hop.who.networks().is_empty() && !hop.who.trusts_every_peer() {
                let message = "no request comes to it, because only local sockets may be this hop, and a \
                               header cannot name one; list its addresses, or put it first";
                note(Code::UnreachableHop, message.to_owned());
            }
            let shared = |nearer: &TrustedProxies| {
                let shared = nearer.networks.shared(&hop.who.networks);
                // Several proxies can run on this machine.
                shared.networks().filter(|network| !network.addr().is_loopback()).collect::<Vec<_>>()
            };
            let shared = nearer.iter().map(|nearer| (nearer, shared(&nearer.who)));
            if let Some((nearer, shared)) = shared.into_iter().find(|(_, shared)| !shared.is_empty()) {
                let message = format!(
                    "{} may be hop {:?}, too, so that a machine there can go around what stands between, and \
                     say what only {:?} may say; give each hop its own addresses",
                    Names(&shared),
                    nearer.name,
                    nearer.name
                );
                note(Code::OverlappingHops, message);
            }
        }
    }
}

fn finding(code: Code, hop: Option<&str>, message: impl Into<String>) -> Finding {
    Finding { code, hop: hop.map(ToOwned::to_owned), message: message.into() }
}

/// How many the set trusts.
fn lint_width(set: &TrustedProxies, place: usize, note: &mut dyn FnMut(Code, String)) {
    const CURE: &str = "list the addresses of the proxies, or a network that only they are in";
    if set.trusts_every_peer() {
        let message = match set.declared_hops() {
            Some(hops) if hops > 1 => format!(
                "every peer is trusted, and entry {hops} from the right is the client, whoever wrote it: who \
                 can connect, or go around a proxy, may name any client; list the addresses of the proxies"
            ),
            _ if place > 0 => "everybody may be this hop: a client that connects to the hop before it may \
                               name any other client; list the addresses of the proxies"
                .to_owned(),
            _ => "every peer is trusted: whoever can connect may name any client; list the addresses of the \
                  proxies"
                .to_owned(),
        };
        return note(Code::TrustAny, message);
    }
    if let Some(family) = set.networks.mostly() {
        let message = format!(
            "more than a quarter of all {family} addresses that a client can have are trusted: clients among \
             them may name any other; {CURE}"
        );
        return note(Code::NearlyEveryone, message);
    }
    let (whole, other): (Vec<IpNet>, Vec<IpNet>) = set
        .networks
        .wide()
        .into_iter()
        .filter(|network| !is_link_local(network) && !is_nobodys(network))
        .partition(|network| PRIVATE.contains(network));
    let plural = |networks: &[IpNet], one, many| if networks.len() == 1 { one } else { many };
    if !whole.is_empty() {
        let network = plural(&whole, "network", "networks");
        let are = plural(&whole, "is trusted: every workload in it", "are trusted: every workload in them");
        let message =
            format!("the whole private {network} {} {are} may name any client; {CURE}", Names(&whole));
        note(Code::WideTrust, message);
    } else if !other.is_empty() {
        let are = plural(&other, "is", "are");
        let message = format!(
            "{} {are} trusted, wider than /16 (IPv6: /48): whoever else runs there may name any client; {CURE}",
            Names(&other)
        );
        note(Code::WideTrust, message);
    }
}

/// What the set lists.
fn lint_entries(set: &TrustedProxies, note: &mut dyn FnMut(Code, String)) {
    let listed = |filter: fn(&IpNet) -> bool| -> Vec<IpNet> {
        let mut found: Vec<IpNet> = set.networks().iter().copied().filter(filter).collect();
        found.dedup();
        found
    };
    let link_local = listed(is_link_local);
    if !link_local.is_empty() {
        let message = format!(
            "{} is link-local, and links are not told apart: whoever is on any link of this machine can take \
             such an address; list addresses that are routed",
            Names(&link_local)
        );
        note(Code::LinkLocalTrust, message);
    }
    let nobodys = listed(is_nobodys);
    if !nobodys.is_empty() {
        let message = format!(
            "{} is nobody's address, so that nobody is trusted by it, least of all everyone; list the \
             addresses of the proxies",
            Names(&nobodys)
        );
        note(Code::NobodysAddress, message);
    }
    if let Some((inner, outer, more)) = redundant(set.networks()) {
        let inner = Names(&[inner]).to_string();
        let what = if Names(&[outer]).to_string() == inner {
            format!("{inner} is listed twice")
        } else {
            format!("{inner} is listed, and lies within {}, which is listed, too", Names(&[outer]))
        };
        let more = if more > 0 { format!(" (and {more} more like this)") } else { String::new() };
        let message = format!("{what}{more}; leave it out, or the wider one if that was not meant");
        note(Code::RedundantNetwork, message);
    }
}

/// The first network that lies within another one, that one, and how many more there are.
fn redundant(written: &[IpNet]) -> Option<(IpNet, IpNet, usize)> {
    let mut sorted = written.to_vec();
    sorted.sort_unstable_by_key(|network| (network.network(), network.prefix_len()));
    let mut outer: Option<IpNet> = None;
    let mut found = None;
    for network in sorted {
        match outer.filter(|outer| outer.contains(&network)) {
            Some(outer) => {
                let (.., more) = found.get_or_insert((network, outer, 0_usize));
                *more += 1;
            }
            None => outer = Some(network),
        }
    }
    found.map(|(inner, outer, found)| (inner, outer, found - 1))
}

/// Of `fc00::/7` only half is in use. `192.168.0.0/16` is not wide.
const PRIVATE: [IpNet; 4] = [v4([10, 0, 0, 0], 8), v4([172, 16, 0, 0], 12), v6(0xfc00, 7), v6(0xfd00, 8)];

const NOBODYS: [IpNet; 4] = [
    v4([0, 0, 0, 0], 8),
    // Multicast and reserved.
    v4([224, 0, 0, 0], 3),
    v6(0, 128),
    v6(0xff00, 8),
];

const LINK_LOCAL: [IpNet; 2] = [v4([169, 254, 0, 0], 16), v6(0xfe80, 10)];

const fn v4(octets: [u8; 4], bits: u8) -> IpNet {
    let [a, b, c, d] = octets;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits))
}

const fn v6(first: u16, bits: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), bits))
}

fn is_link_local(network: &IpNet) -> bool {
    LINK_LOCAL.iter().any(|link_local| link_local.contains(network))
}

fn is_nobodys(network: &IpNet) -> bool {
    NOBODYS.iter().any(|nobodys| nobodys.contains(network))
}

/// Networks as a sentence names them: the first three, addresses without a prefix.
struct Names<'a>(&'a [IpNet]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let more = self.0.len().saturating_sub(SHOWN);
        let shown = &self.0[..self.0.len() - more];
        for (index, network) in shown.iter().enumerate() {
            f.write_str(match index {
                0 => "",
                _ if index + 1 == shown.len() && more == 0 => " and ",
                _ => ", ",
            })?;
            if network.prefix_len() == network.max_prefix_len() {
                let address: IpAddr = network.addr();
                write!(f, "{address}")?;
            } else {
                write!(f, "{network}")?;
            }
        }
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Family, Hop, PolicyBuilder, Topology};

    fn set(text: &str) -> TrustedProxies {
        text.parse().unwrap()
    }

    fn any() -> TrustedProxies {
        TrustedProxies::dangerously_trust_every_peer()
    }

    fn policy(builder: PolicyBuilder) -> Policy {
        builder.build().unwrap()
    }

    fn hops(hops: impl IntoIterator<Item = Hop>) -> Policy {
        Policy::new(Topology::new(hops).unwrap())
    }

    fn hop(name: &str, who: &str) -> Hop {
        Hop::new(name, set(who))
    }

    /// The findings as `code: sentence`.
    fn lint(policy: &Policy) -> Vec<String> {
        policy.lint().iter().map(|finding| format!("{}: {finding}", finding.code())).collect()
    }

    /// The policy has just one finding, with this code, and these words in its sentence.
    #[track_caller]
    fn assert_finding(policy: &Policy, code: &str, words: &[&str]) {
        let found = lint(policy);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{code}: ")), "{code} in {found:#?}");
        for word in words {
            assert!(found[0].contains(word), "{word:?} in {found:#?}");
        }
    }

    #[track_caller]
    fn assert_set(text: &str, code: &str, words: &[&str]) {
        assert_finding(&Policy::new(set(text)), code, words);
    }

    #[test]
    fn good_policies_have_no_findings() {
        for text in [
            "loopback",
            "unix",
            "loopback, unix, 10.0.0.0/24, 2001:db8::7",
            "10.0.0.0/16, 2001:db8::/48",
            "192.168.0.0/16",
            "10.0.0.1, 10.0.0.2, 10.0.0.3",
            "198.51.100.0/24, 203.0.113.0/24, 2001:db8:1::/48, 2001:db8:3::/48",
        ] {
            assert_eq!(lint(&Policy::new(set(text))), [""; 0], "{text}");
        }
        let two = || set("10.0.0.1, 10.0.0.2").hops(2).unwrap();
        let local = || set("loopback, unix").hops(3).unwrap();
        for good in [
            Policy::new(two()),
            Policy::new(local()),
            policy(Policy::builder(two()).count(Field::Proto, 2)),
            policy(Policy::builder(two()).field(Field::Port).field(Field::Prefix)),
            policy(Policy::builder(set("10.0.0.0/24")).family(Family::Forwarded)),
            policy(Policy::builder(set("10.0.0.2")).family(Family::Single("x-real-ip".into()))),
            policy(Policy::builder(set("10.0.0.2")).fields([Field::Proto])),
            policy(Policy::builder(TrustedProxies::none()).gate(Gate::AddressOrProof)),
            policy(Policy::builder(TrustedProxies::none()).gate(Gate::AddressOrProof).count(Field::Proto, 2)),
            policy(Policy::builder(set("10.0.0.2")).fields([]).count(Field::Proto, 1)),
            policy(Policy::builder(any()).gate(Gate::AddressAndProof)),
            policy(Policy::builder(set("10.0.0.0/8").hops(1).unwrap()).gate(Gate::AddressAndProof)),
            Policy::new(set("127.0.0.1").hops(2).unwrap()),
            Policy::new(set("unix, 10.0.0.1").hops(2).unwrap()),
            hops([hop("nginx", "unix"), hop("balancer", "10.0.1.0/24")]),
            hops([hop("nginx", "loopback, unix"), hop("balancer", "10.0.1.0/24")]),
            hops([hop("varnish", "loopback"), hop("nginx", "127.0.0.1"), hop("balancer", "10.0.1.0/24")]),
            hops([hop("balancer", "10.0.1.0/24"), hop("cdn", "10.0.2.0/24").fields([Field::Proto])]),
        ] {
            assert_eq!(lint(&good), [""; 0], "{good:?}");
        }
    }

    #[test]
    fn t03_nobody_is_a_note_and_nothing_else() {
        let nobody = policy(Policy::builder(TrustedProxies::none()).field(Field::Host));
        assert_finding(&nobody, "no-trust", &["have no effect", "list the addresses"]);
        assert_eq!(nobody.lint()[0].severity(), Severity::Note);
    }

    #[test]
    fn t04_everyone_is_found_in_any_spelling() {
        for one in [any(), any().hops(1).unwrap()] {
            assert_finding(&Policy::new(one), "trust-any", &["whoever can connect", "list the addresses"]);
        }
        let no_chain = Policy::builder(any()).count(Field::For, 0).count(Field::Proto, 2);
        assert_finding(&policy(no_chain), "trust-any", &[]);
        let counted = Policy::new(any().hops(2).unwrap());
        assert_finding(&counted, "trust-any", &["entry 2 from the right", "go around"]);
        let outer = hops([hop("nginx", "loopback"), Hop::new("cdn", any())]);
        assert_finding(&outer, "trust-any", &["hop \"cdn\": everybody may be this hop"]);
        for text in [
            "0.0.0.0/1, 128.0.0.0/2",
            "0.0.0.0/1, 128.0.0.0/2, 192.0.0.0/3",
            "0.0.0.0/2",
            "128.0.0.0/1",
            "64.0.0.0/3, 96.0.0.0/4, 112.0.0.0/4",
        ] {
            assert_set(text, "nearly-everyone", &["quarter of all IPv4", "list the addresses"]);
        }
        for text in ["2000::/3", "2000::/4", "2400::/6, 2800::/5, 2001::/16"] {
            assert_set(text, "nearly-everyone", &["IPv6"]);
        }
        assert_eq!(Policy::new(set("2000::/3")).lint()[0].severity(), Severity::Error);
        // Exactly a quarter is wide, and no more; in the last eighth is nobody.
        assert_set("192.0.0.0/3, 16.0.0.0/4, 8.0.0.0/5", "wide-trust", &[]);
        assert_set("192.0.0.0/3, 16.0.0.0/4, 8.0.0.0/5, 7.1.2.3", "nearly-everyone", &[]);
        let reserved = lint(&Policy::new(set("192.0.0.0/3, 16.0.0.0/4, 8.0.0.0/5, 224.0.0.0/3")));
        assert!(reserved.len() == 2 && reserved[0].starts_with("wide-trust"), "{reserved:#?}");
        assert_set("2000::/5", "wide-trust", &[]);
        // A proof of the second hop would not help: it is not asked for one.
        let proven = |trusted| policy(Policy::builder(trusted).gate(Gate::AddressAndProof));
        assert_finding(&proven(any().hops(2).unwrap()), "trust-any", &[]);
        assert_finding(&proven(set("10.0.0.0/8")), "wide-trust", &[]);
    }

    #[test]
    fn t11_wide_and_private_networks_are_named() {
        assert_set(
            "private",
            "wide-trust",
            &[
                "the whole private networks 10.0.0.0/8, 172.16.0.0/12 and fc00::/7 are trusted",
                "list the addresses of the proxies",
            ],
        );
        assert_set("10.0.0.0/9, 10.128.0.0/9", "wide-trust", &["private network 10.0.0.0/8 is"]);
        assert_set("fd00::/8", "wide-trust", &["the whole private network fd00::/8"]);
        assert_set("10.0.0.0/15, loopback", "wide-trust", &["10.0.0.0/15 is trusted, wider than /16"]);
        assert_set("2001:db8::/32, 11.0.0.0/8", "wide-trust", &["11.0.0.0/8 and 2001:db8::/32 are"]);
        assert_set(
            "11.0.0.0/8, 20.0.0.0/8, 22.0.0.0/8, 24.0.0.0/8, 26.0.0.0/8",
            "wide-trust",
            &["11.0.0.0/8, 20.0.0.0/8, 22.0.0.0/8 and 2 more"],
        );
        let named = hops([hop("nginx", "loopback"), hop("pods", "10.0.0.0/8")]);
        assert_finding(&named, "wide-trust", &["hop \"pods\": the whole private"]);
        let finding = &named.lint()[0];
        assert_eq!(finding.hop(), Some("pods"));
        assert!(finding.message().starts_with("the whole private network 10.0.0.0/8"), "{finding}");
    }

    #[test]
    fn t44_link_local_networks_are_named() {
        for text in ["link-local", "fe80::1, 169.254.0.0/16", "fe80::/64, 169.254.7.0/24"] {
            assert_set(text, "link-local-trust", &["on any link of this machine", "that are routed"]);
        }
        let twice = lint(&Policy::new(set("fe80::/64, fe80::/64")));
        assert!(twice[0].starts_with("link-local-trust: fe80::/64 is link-local"), "{twice:#?}");
    }

    #[test]
    fn entries_that_do_nothing_are_named() {
        for text in ["0.0.0.0", "::", "10.0.0.1, 0.0.0.0", "224.0.0.1", "240.0.0.0/4", "ff02::1"] {
            assert_set(text, "nobodys-address", &["nobody's address", "least of all everyone"]);
        }
        assert_set(
            "10.0.1.0/24, 10.0.0.0/16",
            "redundant-network",
            &["10.0.1.0/24 is listed, and lies within 10.0.0.0/16", "leave it out"],
        );
        assert_set(
            "127.0.0.1, loopback",
            "redundant-network",
            &["127.0.0.1 is listed, and lies within 127.0.0.0/8"],
        );
        assert_set("10.0.0.1, 10.0.0.2, 10.0.0.1", "redundant-network", &["10.0.0.1 is listed twice;"]);
        assert_set(
            "10.0.0.0/24, 10.0.0.1, 10.0.0.9, ::ffff:10.0.0.7",
            "redundant-network",
            &["and 2 more like this"],
        );
        assert_set("2001:db8::/48, 2001:db8::7, 10.0.0.1", "redundant-network", &["2001:db8::7 is"]);
    }

    #[test]
    fn counts_that_nothing_bears_out_are_named() {
        let three = set("10.0.0.1, 10.0.0.2").hops(3).unwrap();
        assert_finding(&Policy::new(three), "hops-beyond-set", &["3 proxies are counted", "2 addresses"]);
        let proto = policy(Policy::builder(set("10.0.0.2")).count(Field::Proto, 2));
        assert_finding(&proto, "hops-beyond-set", &["2 proxies are counted", "1 address;"]);
        let without = Policy::builder(set("10.0.0.0/24")).count(Field::For, 0).count(Field::Proto, 2);
        let without = policy(without);
        assert_finding(
            &without,
            "count-beyond-trust",
            &["proto is the value 2", "read for, too, or count 1"],
        );
        let headers: &[(&str, &[u8])] =
            &[("x-forwarded-for", b"1.1.1.1, 10.0.0.9"), ("x-forwarded-proto", b"https, https")];
        let origin = without.decide("10.0.0.2".parse().unwrap(), crate::Received::default(), headers);
        assert_eq!(origin.scheme().as_str(), "http");
    }

    #[test]
    fn hops_that_no_request_reaches_are_named() {
        let mute = hops([hop("tls", "loopback").fields([Field::Proto]), hop("cdn", "10.0.1.0/24")]);
        assert_finding(&mute, "unreachable-hop", &["hop \"cdn\": no request", "because \"tls\" before it"]);
        let socket = hops([hop("balancer", "10.0.1.0/24"), hop("nginx", "unix")]);
        assert_finding(&socket, "unreachable-hop", &["hop \"nginx\"", "only local sockets"]);
    }

    #[test]
    fn addresses_that_may_be_two_hops_are_named() {
        let both = hops([hop("nginx", "loopback, 10.0.0.0/16"), hop("balancer", "127.0.0.1, 10.0.1.0/24")]);
        assert_finding(
            &both,
            "overlapping-hops",
            &["hop \"balancer\": 10.0.1.0/24 may be hop \"nginx\", too"],
        );
    }

    #[test]
    fn t69_a_host_that_is_read_wants_a_list_of_hosts() {
        let host = policy(Policy::builder(set("10.0.0.2")).field(Field::Host));
        assert_finding(&host, "host-unrestricted", &["Guard::allow_hosts"]);
        let hop = hops([hop("nginx", "loopback").fields(Field::ALL)]);
        assert_finding(&hop, "host-unrestricted", &[]);
    }

    #[test]
    fn the_table_lists_every_code_with_its_severity() {
        let rows = include_str!("lint.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        let rows: Vec<Vec<&str>> = rows.map(|row| row.split(" | ").take(2).collect()).collect();
        let codes = Code::ALL.iter().map(|code| [format!("{code}`"), code.severity().to_string()]);
        assert_eq!(rows, codes.collect::<Vec<_>>());
        assert!(Code::ALL.is_sorted());
    }
}
