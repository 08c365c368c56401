//! The right-to-left reading of the claims.

use core::fmt;
use core::iter::FusedIterator;
use core::net::IpAddr;

use crate::claim::{Chain, Notation};
use crate::node::Node;
use crate::topology::{Route, Rule};
use crate::trust::MOST_HOPS;
use crate::{Peer, TrustedProxies};

/// Why a walk stopped.
///
/// The last six are *incomplete*: a trusted hop said something that does not name the client, so
/// nobody knows who it is. An entry that cannot be read is never skipped, and the proxy before it is
/// never taken for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// The first hop that is not trusted: the client.
    ClientFound,
    /// The peer itself is not trusted: it is the client, and no header was believed. A local socket
    /// has no address, so that there is no client then; nor is a proxy the client that is listed and did
    /// not give its [proof](crate::Origin::is_unproven).
    PeerUntrusted,
    /// Nobody knows who is connected; no header was believed.
    PeerUnknown,
    /// A trusted peer sent no such header. It speaks for itself, as health checks do: it is the
    /// client for logs, but the origin is not complete, because a header may have been lost.
    HeaderAbsent,
    /// Every hop is trusted: the leftmost one is the client.
    AllTrusted,
    /// The declared number of hops was taken: the entry reached is the client.
    HopLimit,
    /// An entry is not an address.
    Malformed,
    /// An entry is a placeholder, such as `unknown`, or an obfuscated identifier.
    Opaque,
    /// An entry is empty.
    Empty,
    /// There are fewer entries than the declared count, or than the hops of a topology add.
    TooFew,
    /// An entry is an address that no remote client can have, such as `127.0.0.1`.
    Unroutable,
    /// An entry is longer than any address, or the chain longer than 32 hops.
    TooLong,
}

impl Ending {
    /// A stable name: `client-found`, `peer-untrusted`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientFound => "client-found",
            Self::PeerUntrusted => "peer-untrusted",
            Self::PeerUnknown => "peer-unknown",
            Self::HeaderAbsent => "header-absent",
            Self::AllTrusted => "all-trusted",
            Self::HopLimit => "hop-limit",
            Self::Malformed => "malformed",
            Self::Opaque => "opaque",
            Self::Empty => "empty",
            Self::TooFew => "too-few",
            Self::Unroutable => "unroutable",
            Self::TooLong => "too-long",
        }
    }

    /// Whether a trusted hop left the client unknown: the endings for which an operator may prefer
    /// to answer 400.
    pub const fn is_incomplete(self) -> bool {
        matches!(
            self,
            Self::Malformed | Self::Opaque | Self::Empty | Self::TooFew | Self::Unroutable | Self::TooLong
        )
    }

    /// Whether the header was believed at all: the peer is trusted.
    pub const fn is_from_trusted_peer(self) -> bool {
        !matches!(self, Self::PeerUntrusted | Self::PeerUnknown)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One hop, and what was found about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Step {
    /// The hop; unknown where its entry names nobody.
    pub hop: Peer,
    /// What was found.
    pub verdict: Verdict,
}

/// What was found about one hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It may speak for the hop on its left.
    Trusted,
    /// It is passed because the count says so, whoever it is.
    Counted,
    /// It is the client.
    Client,
    /// Its entry is not an address.
    Malformed,
    /// Its entry is a placeholder.
    Opaque,
    /// Its entry is empty.
    Empty,
    /// Its address is one that no remote client can have.
    Unroutable,
    /// Its entry is longer than any address, or it is one hop too many.
    TooLong,
    /// Nobody knows who it is.
    Unknown,
}

impl Verdict {
    /// A stable name: `trusted`, `client`, `malformed`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Counted => "counted",
            Self::Client => "client",
            Self::Malformed => "malformed",
            Self::Opaque => "opaque",
            Self::Empty => "empty",
            Self::Unroutable => "unroutable",
            Self::TooLong => "too-long",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The walk from the peer leftward, one hop a step.
///
/// Begin at the peer and read the header from right to left. A trusted hop vouches for the entry to
/// its left; the first hop that is not trusted is the client. Trusting `10.0.0.0/8`:
///
/// | peer | `X-Forwarded-For` | client | ending |
/// | --- | --- | --- | --- |
/// | `10.0.0.2` | `198.51.100.7, 203.0.113.9` | `203.0.113.9` | client found |
/// | `10.0.0.2` | `203.0.113.9, 10.0.0.7` | `203.0.113.9` | client found |
/// | `203.0.113.9` | `127.0.0.1` | `203.0.113.9` | peer not trusted |
/// | `10.0.0.2` | (absent) | `10.0.0.2`, not complete | header absent |
/// | `10.0.0.2` | `10.9.9.9, 10.0.0.7` | `10.9.9.9` | all trusted |
/// | `10.0.0.2` | `1.1.1.1, unknown` | none | opaque |
/// | `10.0.0.2` | `1.1.1.1, oops, 10.0.0.7` | none | malformed |
/// | `10.0.0.2` | `203.0.113.9,,10.0.0.7` | none | empty |
/// | `10.0.0.2`, hops 1 | `203.0.113.9, 10.0.0.7` | `10.0.0.7` | hop limit |
/// | any peer, hops 2 | `198.51.100.7, 203.0.113.9` | `198.51.100.7` | hop limit |
/// | any peer, hops 2 | `203.0.113.9` | none | too few |
///
/// The walk is lazy: it reads no further left than it has to, so nothing beyond the client has any
/// influence. It allocates nothing.
///
/// ```
/// use proxyfix_policy::{Ending, TrustedProxies};
///
/// let proxies: TrustedProxies = "10.0.0.0/8".parse()?;
/// let header: &[u8] = b"198.51.100.7, 203.0.113.9, 10.0.0.7";
/// let mut walk = proxies.walk("10.0.0.2".parse()?, [header]);
///
/// let steps: Vec<String> = walk.by_ref().map(|step| format!("{} {}", step.hop, step.verdict)).collect();
/// assert_eq!(steps, ["10.0.0.2 trusted", "10.0.0.7 trusted", "203.0.113.9 client"]);
/// assert_eq!(walk.ending(), Some(Ending::ClientFound));
/// # Ok::<(), proxyfix_policy::Error>(())
/// ```
#[derive(Clone)]
pub struct Walk<'a, L> {
    chain: Chain<'a, L>,
    stage: Stage<'a>,
}

/// A walk beside its chain. Apart from it the compiler holds most of this in registers.
#[derive(Clone)]
pub(crate) struct Stage<'a> {
    route: Route<'a>,
    peer: Peer,
    /// Whether the gate is open to the peer.
    admitted: bool,
    ahead: Ahead,
    /// The entries that the last trusted hop added and that were not read yet.
    owed: u8,
    found: Found,
    ending: Option<Ending>,
}

/// The lines of a header, read from the last one.
pub(crate) trait Lines<'a>: DoubleEndedIterator<Item = &'a [u8]> {}

impl<'a, L: DoubleEndedIterator<Item = &'a [u8]>> Lines<'a> for L {}

/// Where the walk stands.
#[derive(Clone, Copy)]
enum Ahead {
    Peer,
    Hop(Option<Node>),
}

/// What a walk has found so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The client; unknown where there is none.
    pub(crate) client: Peer,
    /// The last hop that is trusted, or the peer.
    pub(crate) last_verified: Peer,
    /// The entries read, the last of them the client's where one was found.
    pub(crate) depth: usize,
    /// The same within the header that was read last: other hops may write another one.
    pub(crate) position: usize,
    /// The line of the last entry read, 1 the last one.
    pub(crate) line: usize,
    /// The trusted hops passed, the peer among them.
    pub(crate) trusted_hops: usize,
    /// Whether anything stands left of the client's entry.
    pub(crate) more: bool,
}

impl TrustedProxies {
    /// Walks the lines of an `X-Forwarded-For` header, given in wire order.
    pub fn walk<'a, T>(&'a self, peer: Peer, lines: T) -> Walk<'a, T::IntoIter>
    where
        T: IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
    {
        let chain = Chain::new(Notation::XForwarded, lines.into_iter());
        Walk { chain, stage: Stage::new(Route::alike(self), peer, self.allows(&peer)) }
    }
}

impl<'a> Stage<'a> {
    #[inline]
    pub(crate) fn new(route: Route<'a>, peer: Peer, admitted: bool) -> Self {
        let client = Peer::unknown();
        let found = Found {
            client,
            last_verified: peer,
            depth: 0,
            position: 0,
            line: 0,
            trusted_hops: 0,
            more: false,
        };
        Self { route, peer, admitted, ahead: Ahead::Peer, owed: 0, found, ending: None }
    }

    /// Takes all steps. `turn` finds the chain in which the hop at a place speaks, where that is not the one that
    /// the hop before it spoke in, and how many of its entries were read before.
    #[inline]
    pub(crate) fn finish<L: Lines<'a>>(
        mut self,
        chain: &mut Chain<'a, L>,
        mut turn: impl FnMut(usize) -> Option<(Chain<'a, L>, usize)>,
        mut on_step: impl FnMut(Step),
    ) -> (Ending, Found) {
        loop {
            match (self.advance(chain, &mut turn), self.ending) {
                (Some(step), _) => on_step(step),
                (None, Some(ending)) => {
                    let named = matches!(ending, Ending::ClientFound | Ending::HopLimit);
                    self.found.more = named && chain.has_more();
                    return (ending, self.found);
                }
                // A walk without an ending takes another step.
                (None, None) => {}
            }
        }
    }

    #[inline]
    fn advance<L: Lines<'a>>(
        &mut self,
        chain: &mut Chain<'a, L>,
        turn: &mut impl FnMut(usize) -> Option<(Chain<'a, L>, usize)>,
    ) -> Option<Step> {
        match (self.ending, self.ahead) {
            (Some(_), _) => None,
            (None, Ahead::Peer) => Some(self.judge_peer(chain)),
            (None, Ahead::Hop(node)) => self.judge_entry(node, chain, turn),
        }
    }

    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }

    fn found_client(&mut self, client: Peer, ending: Ending) -> Step {
        self.found.client = client;
        self.end(ending);
        Step { hop: client, verdict: Verdict::Client }
    }

    fn stopped(&mut self, hop: Peer, verdict: Verdict, ending: Ending) -> Step {
        self.end(ending);
        Step { hop, verdict }
    }

    /// The peer: the gate.
    #[inline]
    fn judge_peer<L: Lines<'a>>(&mut self, chain: &mut Chain<'a, L>) -> Step {
        let peer = self.peer;
        if peer.is_unknown() {
            return self.stopped(peer, Verdict::Unknown, Ending::PeerUnknown);
        }
        match self.route.rule(0).filter(|_| self.admitted) {
            Some(rule) => self.trust(peer, rule, true, chain),
            None => self.found_client(peer, Ending::PeerUntrusted),
        }
    }

    /// Believes `hop`, and looks at the first entry that it added, which may be the first of its header.
    #[inline]
    fn trust<L: Lines<'a>>(
        &mut self,
        hop: Peer,
        rule: Rule<'_>,
        begins: bool,
        chain: &mut Chain<'a, L>,
    ) -> Step {
        self.found.trusted_hops += 1;
        self.found.last_verified = hop;
        self.owed = rule.entries;
        let first = chain.next();
        self.ahead = Ahead::Hop(first);
        let absent = match first {
            None => true,
            // Nothing but empty entries is as good as no header. The walk ends here, either way.
            Some(Node::Empty) if begins => chain.is_blank(),
            Some(_) => false,
        };
        if absent {
            match (self.found.trusted_hops, begins, rule.entries) {
                // A peer that sends no header speaks for itself, as health checks do.
                (1, ..) => {
                    self.found.client = hop;
                    self.end(Ending::HeaderAbsent);
                }
                (_, false, 1) => return self.found_client(hop, Ending::AllTrusted),
                // A hop further out has to say whom it forwards for: its header was lost on the way.
                _ => self.end(Ending::TooFew),
            }
        }
        Step { hop, verdict: Verdict::Trusted }
    }

    /// The next entry to the left.
    #[inline]
    fn judge_entry<L: Lines<'a>>(
        &mut self,
        node: Option<Node>,
        chain: &mut Chain<'a, L>,
        turn: &mut impl FnMut(usize) -> Option<(Chain<'a, L>, usize)>,
    ) -> Option<Step> {
        let Some(node) = node else {
            // Fewer entries than the last hop adds.
            self.end(Ending::TooFew);
            return None;
        };
        if self.found.depth == usize::from(MOST_HOPS) {
            return Some(self.stopped(Peer::unknown(), Verdict::TooLong, Ending::TooLong));
        }
        self.found.depth += 1;
        self.found.position += 1;
        self.found.line = chain.line();
        self.owed = self.owed.saturating_sub(1);
        let passed = self.owed > 0;
        Some(match node {
            Node::TooLong => self.stopped(Peer::unknown(), Verdict::TooLong, Ending::TooLong),
            Node::Empty | Node::Silent => self.stopped(Peer::unknown(), Verdict::Empty, Ending::Empty),
            Node::Opaque | Node::Malformed if passed => self.pass(Peer::unknown(), chain),
            Node::Opaque => self.stopped(Peer::unknown(), Verdict::Opaque, Ending::Opaque),
            Node::Malformed | Node::Several => {
                self.stopped(Peer::unknown(), Verdict::Malformed, Ending::Malformed)
            }
            Node::Address(hop) if passed => self.pass(hop, chain),
            Node::Address(hop) => self.judge_hop(hop, chain, turn),
        })
    }

    /// An entry of its own that the last trusted hop added before the one that counts.
    fn pass<L: Lines<'a>>(&mut self, hop: Peer, chain: &mut Chain<'a, L>) -> Step {
        self.ahead = Ahead::Hop(chain.next());
        Step { hop, verdict: Verdict::Counted }
    }

    /// Whom the last trusted hop named: another hop, or the client.
    #[inline]
    fn judge_hop<L: Lines<'a>>(
        &mut self,
        hop: Peer,
        chain: &mut Chain<'a, L>,
        turn: &mut impl FnMut(usize) -> Option<(Chain<'a, L>, usize)>,
    ) -> Step {
        let place = self.found.trusted_hops;
        let next = self.route.rule(place);
        if let Some(rule) = next.filter(|rule| rule.who.allows(&hop)) {
            let turned = if self.route.turns(place) { turn(place) } else { None };
            let begins = turned.is_some();
            if let Some((turned, read)) = turned {
                *chain = turned;
                self.found.position = read;
            }
            return self.trust(hop, rule, begins, chain);
        }
        let here = place.checked_sub(1).and_then(|here| self.route.rule(here));
        let everyone = here.is_some_and(|rule| rule.who.trusts_every_peer());
        if next.is_none() && (everyone || hop.ip().is_some_and(|ip| self.is_listed(ip))) {
            return self.found_client(hop, Ending::HopLimit);
        }
        if hop.ip().is_some_and(|ip| is_unroutable(ip) && !self.is_listed(ip)) {
            return self.stopped(hop, Verdict::Unroutable, Ending::Unroutable);
        }
        self.found_client(hop, Ending::ClientFound)
    }

    /// Whether an operator listed the address that the last trusted hop named. In a topology, loopback and
    /// link-local addresses are those of that hop's machine, and listed ones are this machine's.
    fn is_listed(&self, ip: IpAddr) -> bool {
        let here = self.found.last_verified;
        let elsewhere = self.route.is_listed_by_place()
            && is_unroutable(ip)
            && !(here.is_local() || here.ip().is_some_and(|ip| ip.is_loopback()));
        !elsewhere && self.route.lists(ip)
    }
}

impl<L> Walk<'_, L> {
    /// Why the walk stopped; `None` while it goes on.
    pub fn ending(&self) -> Option<Ending> {
        self.stage.ending
    }

    /// The client, as far as the walk has come; unknown where there is none.
    pub fn client(&self) -> Peer {
        self.stage.found.client
    }

    /// The last trusted hop, or the peer.
    pub fn last_verified(&self) -> Peer {
        self.stage.found.last_verified
    }
}

impl<'a, L> Iterator for Walk<'a, L>
where
    L: DoubleEndedIterator<Item = &'a [u8]>,
{
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        self.stage.advance(&mut self.chain, &mut |_| None)
    }
}

impl<'a, L> FusedIterator for Walk<'a, L> where L: DoubleEndedIterator<Item = &'a [u8]> {}

impl<L> fmt::Debug for Walk<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("peer", &self.stage.peer)
            .field("client", &self.stage.found.client)
            .field("last_verified", &self.stage.found.last_verified)
            .field("ending", &self.stage.ending)
            .finish_non_exhaustive()
    }
}

/// Addresses that no remote client can have, unless the operator lists them: unspecified, loopback,
/// link-local, multicast, broadcast, reserved (240.0.0.0/4).
pub(crate) fn is_unroutable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.octets()[0] >= 240
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use super::*;

    /// Trusting `trust`, asserts client, ending and the last verified hop.
    #[track_caller]
    fn assert_walk(trust: &TrustedProxies, peer: &str, lines: &[&str], expected: (&str, &str, &str)) {
        let peer = if peer == "-" { Peer::unknown() } else { peer.parse().unwrap() };
        let mut walk = trust.walk(peer, lines.iter().map(|line| line.as_bytes()));
        let steps: Vec<Step> = walk.by_ref().collect();
        let ending = walk.ending().unwrap();
        let found: (String, &str, String) =
            (walk.client().to_string(), ending.as_str(), walk.last_verified().to_string());
        assert_eq!((&*found.0, found.1, &*found.2), expected, "peer {peer}, {lines:?}: {steps:?}");
        assert_eq!(walk.next(), None);
    }

    fn trust(text: &str) -> TrustedProxies {
        text.parse().unwrap()
    }

    #[track_caller]
    fn assert_client(header: &str, client: &str) {
        let proxies = trust("10.0.0.0/8");
        let mut walk = proxies.walk("10.0.0.2".parse().unwrap(), [header.as_bytes()]);
        walk.by_ref().for_each(drop);
        assert_eq!(walk.client().to_string(), client, "{header:?}");
    }

    #[test]
    fn the_table_of_the_documentation() {
        let set = trust("10.0.0.0/8");
        let one = set.clone().hops(1).unwrap();
        let two = set.clone().hops(2).unwrap();
        let any = TrustedProxies::dangerously_trust_every_peer().hops(2).unwrap();
        assert_walk(
            &set,
            "10.0.0.2",
            &["198.51.100.7, 203.0.113.9"],
            ("203.0.113.9", "client-found", "10.0.0.2"),
        );
        assert_walk(
            &set,
            "10.0.0.2",
            &["203.0.113.9, 10.0.0.7"],
            ("203.0.113.9", "client-found", "10.0.0.7"),
        );
        assert_walk(&set, "203.0.113.9", &["127.0.0.1"], ("203.0.113.9", "peer-untrusted", "203.0.113.9"));
        assert_walk(&set, "10.0.0.2", &[], ("10.0.0.2", "header-absent", "10.0.0.2"));
        assert_walk(&set, "10.0.0.2", &["10.9.9.9, 10.0.0.7"], ("10.9.9.9", "all-trusted", "10.9.9.9"));
        assert_walk(&set, "10.0.0.2", &["1.1.1.1, unknown"], ("unknown", "opaque", "10.0.0.2"));
        assert_walk(&set, "10.0.0.2", &["1.1.1.1, oops, 10.0.0.7"], ("unknown", "malformed", "10.0.0.7"));
        assert_walk(&set, "10.0.0.2", &["203.0.113.9,,10.0.0.7"], ("unknown", "empty", "10.0.0.7"));
        assert_walk(&one, "10.0.0.2", &["203.0.113.9, 10.0.0.7"], ("10.0.0.7", "hop-limit", "10.0.0.2"));
        assert_walk(
            &two,
            "10.0.0.2",
            &["198.51.100.7, 203.0.113.9"],
            ("203.0.113.9", "client-found", "10.0.0.2"),
        );
        assert_walk(
            &any,
            "192.0.2.1",
            &["198.51.100.7, 203.0.113.9"],
            ("198.51.100.7", "hop-limit", "192.0.2.1"),
        );
        assert_walk(&any, "192.0.2.1", &["203.0.113.9"], ("unknown", "too-few", "192.0.2.1"));
        let unix = trust("unix");
        assert_walk(&unix, "unix", &["127.0.0.1, 203.0.113.9"], ("203.0.113.9", "client-found", "unix"));
    }

    #[test]
    fn endings_say_whether_a_client_is_missing_and_whether_a_header_was_believed() {
        use Ending::*;
        for ending in [ClientFound, HeaderAbsent, AllTrusted, HopLimit] {
            assert_eq!((ending.is_incomplete(), ending.is_from_trusted_peer()), (false, true), "{ending}");
        }
        for ending in [PeerUntrusted, PeerUnknown] {
            assert_eq!((ending.is_incomplete(), ending.is_from_trusted_peer()), (false, false), "{ending}");
        }
        for ending in [Malformed, Opaque, Empty, TooFew, Unroutable, TooLong] {
            assert_eq!((ending.is_incomplete(), ending.is_from_trusted_peer()), (true, true), "{ending}");
        }
    }

    #[test]
    fn endings_and_verdicts_have_stable_names() {
        use Ending::*;
        use Verdict as V;
        let all = [
            ClientFound,
            PeerUntrusted,
            PeerUnknown,
            HeaderAbsent,
            AllTrusted,
            HopLimit,
            Malformed,
            Opaque,
            Empty,
            TooFew,
            Unroutable,
            TooLong,
        ];
        assert_eq!(
            all.map(Ending::as_str).join(" "),
            "client-found peer-untrusted peer-unknown header-absent all-trusted hop-limit malformed opaque empty \
             too-few unroutable too-long"
        );
        let all = [
            V::Trusted,
            V::Counted,
            V::Client,
            V::Malformed,
            V::Opaque,
            V::Empty,
            V::Unroutable,
            V::TooLong,
            V::Unknown,
        ];
        assert_eq!(
            all.map(Verdict::as_str).join(" "),
            "trusted counted client malformed opaque empty unroutable too-long unknown"
        );
    }

    #[test]
    fn a_walk_shows_how_far_it_has_come() {
        let set = trust("10.0.0.0/8");
        let mut walk = set.walk("10.0.0.2".parse().unwrap(), [&b"203.0.113.9"[..]]);
        walk.next();
        assert!(format!("{walk:?}").contains("last_verified: Peer(10.0.0.2), ending: None"), "{walk:?}");
    }

    #[test]
    fn t06_an_unknown_peer_is_never_trusted() {
        let any = TrustedProxies::dangerously_trust_every_peer();
        assert_walk(&any, "-", &["203.0.113.9"], ("unknown", "peer-unknown", "unknown"));
        assert_walk(&trust("loopback"), "-", &["203.0.113.9"], ("unknown", "peer-unknown", "unknown"));
    }

    #[test]
    fn t12_no_remote_client_has_such_an_address() {
        let set = trust("10.0.0.0/8");
        for ip in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "255.255.255.255",
            "240.0.0.0",
            "224.0.0.1",
            "ff02::1",
            "fe80::1",
            "::ffff:127.0.0.1",
        ] {
            assert_walk(&set, "10.0.0.2", &[ip], ("unknown", "unroutable", "10.0.0.2"));
        }
        assert_walk(
            &trust("loopback"),
            "127.0.0.1",
            &["127.0.0.9"],
            ("127.0.0.9", "all-trusted", "127.0.0.9"),
        );
    }

    #[test]
    fn a_remote_client_may_have_any_other_address() {
        for ip in ["223.255.255.255", "100.64.0.1", "192.168.0.1", "169.253.0.1", "fc00::1", "fec0::1", "::2"]
        {
            assert_walk(&trust("10.0.0.0/8"), "10.0.0.2", &[ip], (ip, "client-found", "10.0.0.2"));
        }
    }

    #[test]
    fn t21_t22_all_lines_are_one_list() {
        let set = trust("10.0.0.0/8");
        assert_walk(
            &set,
            "10.0.0.2",
            &["127.0.0.1", "203.0.113.9"],
            ("203.0.113.9", "client-found", "10.0.0.2"),
        );
        assert_walk(
            &set,
            "10.0.0.2",
            &["203.0.113.9, 10.0.0.7", "10.0.0.8"],
            ("203.0.113.9", "client-found", "10.0.0.7"),
        );
    }

    #[test]
    fn t23_empty_entries_are_hops_that_said_nothing() {
        let set = trust("10.0.0.0/8");
        assert_client(", ,203.0.113.9", "203.0.113.9");
        assert_walk(&set, "10.0.0.2", &["203.0.113.9,"], ("unknown", "empty", "10.0.0.2"));
        assert_walk(&set, "10.0.0.2", &["203.0.113.9", ""], ("unknown", "empty", "10.0.0.2"));
        // Nothing left of a hop that wrote is not the absence of the header.
        for left in [", 10.0.0.7", ",,10.0.0.7"] {
            assert_walk(&set, "10.0.0.2", &[left], ("unknown", "empty", "10.0.0.7"));
        }
        for blank in ["", " ", ",", " ,\t, "] {
            assert_walk(&set, "10.0.0.2", &[blank], ("10.0.0.2", "header-absent", "10.0.0.2"));
        }
        let any = TrustedProxies::dangerously_trust_every_peer().hops(2).unwrap();
        assert_walk(&any, "10.0.0.2", &["198.51.100.7,,203.0.113.9"], ("unknown", "empty", "10.0.0.2"));
    }

    #[test]
    fn t37_the_walk_examines_32_hops() {
        let set = trust("10.0.0.0/8");
        let chain = |trusted: usize| alloc::format!("203.0.113.9{}", ", 10.0.0.7".repeat(trusted));
        assert_walk(&set, "10.0.0.2", &[&chain(31)], ("203.0.113.9", "client-found", "10.0.0.7"));
        assert_walk(&set, "10.0.0.2", &[&chain(32)], ("unknown", "too-long", "10.0.0.7"));
        let forged = "198.51.100.7,".repeat(40_000);
        assert_client(&alloc::format!("{forged} 203.0.113.9"), "203.0.113.9");
    }

    #[test]
    fn what_is_counted_over_is_not_judged() {
        let any = TrustedProxies::dangerously_trust_every_peer().hops(2).unwrap();
        assert_walk(&any, "10.0.0.2", &["198.51.100.7, unix:"], ("198.51.100.7", "hop-limit", "10.0.0.2"));
        assert_walk(&any, "10.0.0.2", &["198.51.100.7, junk"], ("198.51.100.7", "hop-limit", "10.0.0.2"));
        let one = TrustedProxies::dangerously_trust_every_peer();
        assert_walk(&one, "unix", &["198.51.100.7, 203.0.113.9"], ("203.0.113.9", "hop-limit", "unix"));
        assert_walk(&any, "10.0.0.2", &["junk, 198.51.100.7"], ("unknown", "malformed", "10.0.0.2"));
    }

    #[test]
    fn an_endless_entry_is_too_long() {
        let set = trust("10.0.0.0/8");
        assert_walk(&set, "10.0.0.2", &[&"x".repeat(64)], ("unknown", "malformed", "10.0.0.2"));
        assert_walk(&set, "10.0.0.2", &[&"x".repeat(65)], ("unknown", "too-long", "10.0.0.2"));
        let endless = "x".repeat(8192);
        assert_walk(&set, "10.0.0.2", &[&endless], ("unknown", "too-long", "10.0.0.2"));
        assert_client(&alloc::format!("{endless},203.0.113.9"), "203.0.113.9");
    }
}
