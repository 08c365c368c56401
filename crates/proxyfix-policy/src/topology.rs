//! Who stands in front of the service, hop by hop.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::trust::MOST_HOPS;
use crate::{Error, Family, Field, Policy, TrustedProxies};

/// One proxy in front of the service: who it may be, and what it writes.
///
/// By default it writes `X-Forwarded-*`, adds one entry to the chain, and may assert who was
/// connected to it (`for`) and the scheme (`proto`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a hop does nothing until it is part of a topology"]
pub struct Hop {
    pub(crate) name: String,
    pub(crate) who: TrustedProxies,
    pub(crate) family: Family,
    pub(crate) asserts: [bool; 5],
    pub(crate) entries: u8,
    /// The header without which nothing of this hop is believed.
    pub(crate) demands: Option<String>,
}

impl Hop {
    /// The hop that people call `name`, and who it may be.
    pub fn new(name: &str, who: TrustedProxies) -> Self {
        let asserts = [true, true, false, false, false];
        Self { name: name.to_owned(), who, family: Family::XForwarded, asserts, entries: 1, demands: None }
    }

    /// The header family that it writes.
    pub fn family(self, family: Family) -> Self {
        Self { family: family.in_lower_case(), ..self }
    }

    /// Exactly these fields may it assert.
    pub fn fields(self, fields: impl IntoIterator<Item = Field>) -> Self {
        let mut asserts = [false; 5];
        fields.into_iter().for_each(|field| asserts[field as usize] = true);
        Self { asserts, ..self }
    }

    /// How many entries it adds to the chain, 1 by default.
    ///
    /// The leftmost of them names who was connected to it; the others are its own affair, as with the
    /// load balancers of Google, which append the client's address and then their own.
    pub fn entries(self, entries: u8) -> Self {
        Self { entries, ..self }
    }

    /// Nothing is believed of any hop unless a proof is asked for that reads this header, as the id of an
    /// Azure Front Door is one: then the [gate](crate::Gate) is opened by address and proof.
    pub fn demands(self, header: &str) -> Self {
        Self { demands: Some(header.to_ascii_lowercase()), ..self }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who it may be.
    pub fn who(&self) -> &TrustedProxies {
        &self.who
    }

    /// Whether it may assert `field`.
    pub fn asserts(&self, field: Field) -> bool {
        self.asserts[field as usize]
    }
}

/// The proxies in front of the service, one after the other, from the service outward.
///
/// A flat [`TrustedProxies`] says that any of its machines may be any hop. A topology says which
/// machine stands where, and what each may say: the peer has to be the first hop, whoever is connected
/// to it the second if it is to be believed, and so on. The first machine that is not the hop that
/// should stand in its place is the client.
///
/// With `nginx` on loopback before the service, and the balancer `10.0.1.0/24` before nginx:
///
/// | peer | `X-Forwarded-For` | client | because |
/// | --- | --- | --- | --- |
/// | `127.0.0.1` | `203.0.113.9, 10.0.1.7` | `203.0.113.9` | both hops vouch |
/// | `127.0.0.1` | `198.51.100.7, 203.0.113.9` | `203.0.113.9` | it is connected to nginx and not the balancer |
/// | `10.0.1.7` | `203.0.113.9` | `10.0.1.7` | the balancer does not stand before the service |
/// | `127.0.0.1` | `203.0.113.9, 127.0.0.1` | `127.0.0.1` | a second nginx is no balancer |
///
/// # Who says what
///
/// A field belongs to the outermost hop that was verified and may assert it. A header with one value is
/// that of the nearest hop that may assert it: the others pass it on. A header with several values
/// needs one for each of them. What only hops asserted that may not is off, and the
/// [outcome](crate::Outcome) says so ([`Refusal::NotAsserted`](crate::Refusal::NotAsserted)).
///
/// So a hop that passes on a field must not be declared to assert it: nothing in a request tells a value
/// that a proxy set from one that it let through. By default a hop asserts the scheme; say
/// [`fields`](Hop::fields) for one that does not. A hop that writes a header of its own and appends to
/// `X-Forwarded-For` as well, as many CDNs do, leaves an entry there that no hop beyond it may count as
/// its own: only the outermost hop should write such a header.
///
/// Each hop may write another family: nginx appends to `X-Forwarded-For`, and the CDN before it says
/// `CF-Connecting-IP`, which is read where nginx says that the CDN was connected to it.
///
/// ```
/// use proxyfix_policy::{Family, Field, Hop, Policy, Received, Topology};
///
/// let policy = Policy::new(Topology::new([
///     Hop::new("nginx", "loopback".parse()?).fields([Field::For, Field::Proto, Field::Host]),
///     Hop::new("cdn", "198.51.100.0/24".parse()?)
///         .family(Family::Single("CF-Connecting-IP".into()))
///         .fields([Field::For]),
/// ])?);
///
/// let headers: &[(&str, &[u8])] = &[
///     ("x-forwarded-for", b"198.51.100.7"),
///     ("x-forwarded-proto", b"https"),
///     ("cf-connecting-ip", b"203.0.113.9"),
/// ];
/// let origin = policy.decide("127.0.0.1".parse()?, Received::default(), headers);
/// assert_eq!(origin.client(), Some("203.0.113.9".parse().unwrap()));
/// assert_eq!(origin.scheme().as_str(), "https");
///
/// // Whoever reaches nginx directly is no CDN, and what it writes of itself is not read.
/// let headers: &[(&str, &[u8])] =
///     &[("x-forwarded-for", b"203.0.113.66"), ("cf-connecting-ip", b"127.0.0.1")];
/// let origin = policy.decide("127.0.0.1".parse()?, Received::default(), headers);
/// assert_eq!(origin.client(), Some("203.0.113.66".parse().unwrap()));
/// # Ok::<(), proxyfix_policy::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    pub(crate) hops: Vec<Hop>,
}

impl Topology {
    /// These hops, the one that connects to the service first; at most 32, and 32 entries in all.
    pub fn new(hops: impl IntoIterator<Item = Hop>) -> Result<Self, Error> {
        let hops: Vec<Hop> = hops.into_iter().collect();
        if hops.is_empty() {
            return Err(Error::policy("a topology without a hop: to believe nobody, trust nobody"));
        }
        for (index, hop) in hops.iter().enumerate() {
            hop.check().map_err(|reason| {
                Error::policy(format!("hop {} of the topology, {:?}: {reason}", index + 1, hop.name))
            })?;
            if hops[..index].iter().any(|other| other.name == hop.name) {
                return Err(Error::policy(format!(
                    "hop {} of the topology, {:?}: another hop has this name",
                    index + 1,
                    hop.name
                )));
            }
        }
        let entries: usize = hops.iter().map(|hop| usize::from(hop.entries)).sum();
        if entries > usize::from(MOST_HOPS) {
            return Err(Error::policy(format!(
                "the hops of the topology add {entries} entries: at most {MOST_HOPS} are read"
            )));
        }
        let topology = Self { hops };
        Policy::from(topology.clone()).check_single_headers()?;
        Ok(topology)
    }

    /// The hops, from the service outward.
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }
}

impl Hop {
    fn check(&self) -> Result<(), String> {
        if self.name.trim().is_empty() {
            return Err("it has no name".to_owned());
        }
        if self.who.trusts_nobody() {
            return Err("nobody can be this hop; say who it may be".to_owned());
        }
        if let Some(hops) = self.who.declared_hops() {
            return Err(format!("its set declares {hops} hops; in a topology each hop stands for itself"));
        }
        if self.entries == 0 {
            return Err("it adds no entry, so it cannot say who was connected to it; leave it out, and \
                        give its addresses to the hop beyond it"
                .to_owned());
        }
        if !self.family.is_list() && self.entries > 1 {
            return Err(format!("it adds {} entries to a header that has one value", self.entries));
        }
        match Field::ALL.into_iter().find(|field| self.asserts(*field) && !self.family.carries(*field)) {
            Some(field) => Err(format!(
                "it may assert \"{}\", which the family that it writes does not carry",
                field.as_str()
            )),
            None => Ok(()),
        }
    }
}

/// Who stands in front of the service: what a policy is built of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Front {
    /// Any machine of one set may be any hop.
    Alike(TrustedProxies),
    /// One hop after the other.
    Hops(Topology),
}

impl From<TrustedProxies> for Front {
    fn from(trusted: TrustedProxies) -> Self {
        Self::Alike(trusted)
    }
}

impl From<Topology> for Front {
    fn from(topology: Topology) -> Self {
        Self::Hops(topology)
    }
}

/// What the walk asks about the hop at its place.
#[derive(Clone, Copy)]
pub(crate) struct Rule<'a> {
    pub(crate) who: &'a TrustedProxies,
    /// The entries that it adds.
    pub(crate) entries: u8,
}

/// The hops that a walk may pass, nearest first.
#[derive(Clone, Copy)]
pub(crate) enum Route<'a> {
    /// The same set at every place, up to a number of hops.
    Alike {
        who: &'a TrustedProxies,
        limit: Option<u8>,
    },
    Listed(&'a [Hop]),
}

impl<'a> Route<'a> {
    pub(crate) fn alike(who: &'a TrustedProxies) -> Self {
        Self::Alike { who, limit: who.declared_hops() }
    }

    /// The rule for the hop at `place`, 0 the peer's.
    pub(crate) fn rule(self, place: usize) -> Option<Rule<'a>> {
        match self {
            // Where everyone is trusted the number of hops is a count: one hop that adds so many.
            Self::Alike { who, limit } if who.trusts_every_peer() => {
                (place == 0).then_some(Rule { who, entries: limit.unwrap_or(1) })
            }
            Self::Alike { who, limit } => {
                limit.is_none_or(|limit| place < usize::from(limit)).then_some(Rule { who, entries: 1 })
            }
            Self::Listed(hops) => hops.get(place).map(|hop| Rule { who: &hop.who, entries: hop.entries }),
        }
    }

    /// Whether an operator listed this address for any hop.
    pub(crate) fn lists(self, ip: core::net::IpAddr) -> bool {
        match self {
            Self::Alike { who, .. } => who.lists(ip),
            Self::Listed(hops) => hops.iter().any(|hop| hop.who.lists(ip)),
        }
    }

    /// Whether each hop has its place.
    pub(crate) fn is_listed_by_place(self) -> bool {
        matches!(self, Self::Listed(_))
    }

    /// Whether the hop at `place` speaks in another header than the one before it.
    pub(crate) fn turns(self, place: usize) -> bool {
        match self {
            Self::Alike { .. } => false,
            Self::Listed(hops) => match (hops.get(place.wrapping_sub(1)), hops.get(place)) {
                (Some(before), Some(hop)) => {
                    before.family != hop.family || before.asserts(Field::For) != hop.asserts(Field::For)
                }
                _ => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::{Origin, Outcome, Received, Refusal, Written};

    fn hop(name: &str) -> Hop {
        Hop::new(name, "10.0.0.0/8".parse().unwrap())
    }

    #[track_caller]
    fn assert_refused(hops: impl IntoIterator<Item = Hop>, reason: &str) {
        let error = Topology::new(hops).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn topologies_that_cannot_mean_what_they_say_do_not_build() {
        assert_refused([], "without a hop");
        assert_refused([hop("a"), hop(" ")], "hop 2 of the topology, \" \": it has no name");
        assert_refused([hop("a"), hop("a")], "hop 2 of the topology, \"a\": another hop has this name");
        assert_refused([Hop::new("a", TrustedProxies::none())], "nobody can be this hop");
        let counted = "loopback".parse::<TrustedProxies>().unwrap().hops(2).unwrap();
        assert_refused([Hop::new("a", counted)], "declares 2 hops");
        assert_refused([hop("a").entries(0)], "give its addresses to the hop beyond it");
        assert_refused([hop("a").entries(30), hop("b").entries(3)], "add 33 entries");
        let single = || hop("a").family(Family::Single("x-real-ip".into()));
        assert_refused(
            [single().fields([Field::For]).entries(2)],
            "2 entries to a header that has one value",
        );
        assert_refused([single()], "\"proto\", which the family that it writes does not carry");
        assert_refused([hop("a").family(Family::Forwarded).fields([Field::Port])], "\"port\"");
        let cdn = |header: &str| hop(header).family(Family::Single(header.into())).fields([Field::For]);
        assert_refused([cdn("Connection")], "routes or frames");
        assert_refused([cdn("x-cdn"), cdn("X-CDN")], "two hops");
        assert_refused([hop("a"), cdn("X-Forwarded-For")], "two hops");
        assert!(Topology::new([hop("a").fields(Field::ALL).entries(32)]).is_ok());
    }

    fn who(text: &str) -> TrustedProxies {
        text.parse().unwrap()
    }

    fn decide(hops: impl IntoIterator<Item = Hop>, peer: &str, headers: &[(&str, &str)]) -> Origin {
        let policy = Policy::new(Topology::new(hops).unwrap());
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        policy.decide(peer.parse().unwrap(), Received::default(), &headers[..])
    }

    /// Client (or `-`), ending, and the number of hops that were verified.
    #[track_caller]
    fn assert_decided(origin: &Origin, client: &str, ending: &str, hops: usize) {
        let found = origin.client().map_or("-".to_owned(), |ip| ip.to_string());
        assert_eq!((found.as_str(), origin.ending().as_str(), origin.trusted_hops()), (client, ending, hops));
    }

    /// nginx on this machine, and a balancer before it.
    fn two() -> [Hop; 2] {
        let fields = [Field::For, Field::Proto, Field::Host];
        [Hop::new("nginx", who("loopback, unix")).fields(fields), Hop::new("balancer", who("10.0.1.0/24"))]
    }

    #[test]
    fn each_hop_has_its_place() {
        let chain = |peer, chain| decide(two(), peer, &[("x-forwarded-for", chain)]);
        assert_decided(&chain("127.0.0.1", "203.0.113.9, 10.0.1.7"), "203.0.113.9", "client-found", 2);
        assert_decided(&chain("unix", "203.0.113.9, 10.0.1.7"), "203.0.113.9", "client-found", 2);
        assert_decided(&chain("127.0.0.1", "198.51.100.7, 203.0.113.9"), "203.0.113.9", "client-found", 1);
        assert!(chain("127.0.0.1", "203.0.113.9").is_short());
        assert_decided(&chain("10.0.1.7", "203.0.113.9"), "10.0.1.7", "peer-untrusted", 0);
        // Nobody stands before the balancer, not even another one.
        assert_decided(&chain("127.0.0.1", "6.6.6.6, 10.0.1.8, 10.0.1.7"), "10.0.1.8", "hop-limit", 2);
        assert_decided(&chain("127.0.0.1", "10.0.1.7"), "10.0.1.7", "all-trusted", 2);
        assert_decided(&chain("127.0.0.1", "junk, 10.0.1.7"), "-", "malformed", 2);
        assert_decided(&chain("127.0.0.1", "169.254.1.1, 10.0.1.7"), "-", "unroutable", 2);
        assert_decided(&chain("127.0.0.1", ""), "127.0.0.1", "header-absent", 1);
        // A listed address out of its place is a client; whoever is not listed cannot be on loopback.
        assert_decided(&chain("127.0.0.1", "6.6.6.6, 127.0.0.1"), "127.0.0.1", "client-found", 1);
    }

    #[test]
    fn a_hop_may_add_several_entries() {
        let hops = || [Hop::new("google", who("35.191.0.0/16")).entries(2)];
        let chain = |chain| decide(hops(), "35.191.0.7", &[("x-forwarded-for", chain)]);
        assert_decided(&chain("6.6.6.6, 203.0.113.9, 198.51.100.1"), "203.0.113.9", "client-found", 1);
        assert_decided(&chain("203.0.113.9"), "-", "too-few", 1);
        assert_decided(&chain("203.0.113.9,"), "-", "empty", 1);
        let proto = |proto| {
            let headers = [("x-forwarded-for", "203.0.113.9, 198.51.100.1"), ("x-forwarded-proto", proto)];
            decide(hops(), "35.191.0.7", &headers).scheme().as_str()
        };
        assert_eq!((proto("https"), proto("https, http")), ("https", "http"));
    }

    #[test]
    fn a_hop_that_adds_entries_adds_all_of_them() {
        let [nginx, _] = two();
        let hops = || [nginx.clone(), Hop::new("google", who("35.191.0.0/16")).entries(2)];
        let chain = |chain| decide(hops(), "127.0.0.1", &[("x-forwarded-for", chain)]);
        let whole = "203.0.113.9, 198.51.100.1, 35.191.0.7";
        assert_decided(&chain(whole), "203.0.113.9", "client-found", 2);
        assert_decided(&chain("198.51.100.1, 35.191.0.7"), "-", "too-few", 2);
        assert_decided(&chain("35.191.0.7"), "-", "too-few", 2);
    }

    #[test]
    fn another_machine_s_loopback_is_nobody() {
        let chain = |chain| decide(two(), "127.0.0.1", &[("x-forwarded-for", chain)]);
        assert_decided(&chain("127.0.0.1, 10.0.1.7"), "-", "unroutable", 2);
        assert_decided(&chain("127.0.0.1"), "127.0.0.1", "client-found", 1);
    }

    #[test]
    fn what_the_client_wrote_before_all_hops_unsettles_nothing() {
        let proto = |chain, proto| {
            let headers = [("x-forwarded-for", chain), ("x-forwarded-proto", proto)];
            decide(two(), "127.0.0.1", &headers).scheme().as_str()
        };
        assert_eq!(proto("6.6.6.6, 203.0.113.9, 10.0.1.7", "http, https, http"), "https");
        // Blank entries are no chain that anything could stand beside.
        assert_eq!(proto(",", "https, https"), "http");
    }

    #[test]
    fn a_hop_of_another_family_that_may_not_say_a_field_leaves_it_to_the_others() {
        let [nginx, _] = two();
        let edge = Hop::new("edge", who("10.0.1.0/24")).family(Family::Forwarded).fields([Field::For]);
        let headers = [
            ("x-forwarded-for", "10.0.1.7"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=203.0.113.9;proto=http"),
        ];
        let origin = decide([nginx, edge], "127.0.0.1", &headers);
        assert_decided(&origin, "203.0.113.9", "client-found", 2);
        assert_eq!(origin.scheme().as_str(), "https");
    }

    #[test]
    fn fields_belong_to_the_outermost_hop_that_may_assert_them() {
        let decided = |chain, field: &str, value| {
            let header = format!("x-forwarded-{field}");
            decide(two(), "127.0.0.1", &[("x-forwarded-for", chain), (&header, value)])
        };
        let both = "203.0.113.9, 10.0.1.7";
        assert_eq!(decided(both, "proto", "https, http").scheme().as_str(), "https");
        assert_eq!(decided(both, "proto", "https").scheme().as_str(), "https");
        assert_eq!(decided(both, "proto", "https, https, http").outcome(Field::Proto), OFF);
        // nginx alone may say the host; the balancer passes on what the client wrote of it.
        assert_eq!(decided(both, "host", "good.example").host().unwrap().as_str(), "good.example");
        assert_eq!(decided(both, "host", "evil.example, good.example").outcome(Field::Host), OFF);
    }

    const OFF: Outcome = Outcome::Refused(Refusal::Asymmetric);
    const NOT_ASSERTED: Outcome = Outcome::Refused(Refusal::NotAsserted);

    #[test]
    fn what_only_a_hop_says_that_may_not_is_off_and_said_so() {
        let hops = || {
            [
                Hop::new("nginx", who("loopback")).fields([Field::For]),
                Hop::new("balancer", who("10.0.1.0/24")),
            ]
        };
        let scheme = |chain| {
            let headers = [("x-forwarded-for", chain), ("x-forwarded-proto", "https")];
            decide(hops(), "127.0.0.1", &headers)
        };
        // nginx passes on what the balancer set ...
        assert_eq!(scheme("203.0.113.9, 10.0.1.7").scheme().as_str(), "https");
        // ... and what a client wrote that went around the balancer.
        let around = scheme("203.0.113.9");
        assert_eq!((around.scheme().as_str(), around.outcome(Field::Proto)), ("http", NOT_ASSERTED));
        assert!(around.to_string().contains("hop \"balancer\" may assert it"), "{around}");
        // Nobody may say the prefix.
        let prefix = decide(hops(), "127.0.0.1", &[("x-forwarded-prefix", "/x")]);
        assert_eq!(prefix.outcome(Field::Prefix), Outcome::NotRead);
    }

    #[test]
    fn a_hop_that_may_not_say_for_ends_the_walk() {
        let hops = [Hop::new("terminator", who("loopback")).fields([Field::Proto]), two()[1].clone()];
        let headers = [("x-forwarded-for", "127.0.0.1, 10.0.1.7"), ("x-forwarded-proto", "https")];
        let origin = decide(hops, "127.0.0.1", &headers);
        assert_decided(&origin, "127.0.0.1", "header-absent", 1);
        assert_eq!((origin.scheme().as_str(), origin.outcome(Field::For)), ("https", NOT_ASSERTED));
        assert!(!origin.is_complete());
    }

    #[test]
    fn each_hop_may_write_its_own_family() {
        let cdn = Hop::new("cdn", who("198.51.100.0/24"))
            .family(Family::Single("CF-Connecting-IP".into()))
            .fields([Field::For]);
        let [nginx, _] = two();
        let hops = || [nginx.clone(), cdn.clone()];
        let decided = |headers: &[(&str, &str)]| decide(hops(), "127.0.0.1", headers);
        let (xff, cf) = ("x-forwarded-for", "cf-connecting-ip");
        let host = ("x-forwarded-host", "good.example");
        let both = decided(&[(xff, "6.6.6.6, 198.51.100.7"), (cf, "203.0.113.9"), host]);
        assert_decided(&both, "203.0.113.9", "client-found", 2);
        assert_eq!(both.host().unwrap().as_str(), "good.example");
        assert_eq!(both.place(Field::For).unwrap().written, Written::OwnHeader);
        // The header of the CDN is read behind the CDN only.
        assert_decided(
            &decided(&[(xff, "203.0.113.66"), (cf, "127.0.0.1")]),
            "203.0.113.66",
            "client-found",
            1,
        );
        // A hop further out that names nobody is no health check: its header was lost.
        assert_decided(&decided(&[(xff, "198.51.100.7")]), "-", "too-few", 2);
        assert_decided(&decided(&[(xff, "198.51.100.7"), (cf, "1.1.1.1, 2.2.2.2")]), "-", "malformed", 2);

        let element = Hop::new("edge", who("198.51.100.0/24")).family(Family::Forwarded);
        let hops = || [nginx.clone(), element.clone(), Hop::new("far", who("192.0.2.0/24"))];
        let headers = [
            (xff, "203.0.113.9, 198.51.100.7"),
            ("forwarded", "for=127.0.0.1, for=192.0.2.7;proto=https;host=a.example"),
        ];
        let origin = decide(hops(), "127.0.0.1", &headers);
        // The entry of nginx is read, and the next one of the same header is the far hop's.
        assert_decided(&origin, "203.0.113.9", "client-found", 3);
        assert_eq!(origin.place(Field::For).unwrap().position, 2);
    }

    #[test]
    fn an_element_of_forwarded_says_what_its_hop_may() {
        let hops = || {
            [
                Hop::new("near", who("loopback")).family(Family::Forwarded),
                Hop::new("far", who("10.0.1.0/24")).family(Family::Forwarded).fields([Field::For]),
            ]
        };
        let headers = [("forwarded", "for=203.0.113.9;proto=https, for=10.0.1.7;proto=http")];
        let origin = decide(hops(), "127.0.0.1", &headers);
        assert_decided(&origin, "203.0.113.9", "client-found", 2);
        assert_eq!((origin.scheme().as_str(), origin.outcome(Field::Proto)), ("http", NOT_ASSERTED));
        let headers = [("forwarded", "for=203.0.113.9;proto=https")];
        assert_eq!(decide(hops(), "127.0.0.1", &headers).scheme().as_str(), "https");
        // T52: an element that names nobody ends the walk, and says the rest.
        let headers = [("forwarded", "for=6.6.6.6, proto=https")];
        let origin = decide(hops(), "127.0.0.1", &headers);
        assert_decided(&origin, "-", "empty", 1);
        assert_eq!(origin.scheme().as_str(), "https");
    }

    #[test]
    fn a_topology_names_its_hops() {
        let topology = Topology::new(two()).unwrap();
        let names: Vec<&str> = topology.hops().iter().map(Hop::name).collect();
        assert_eq!(names, ["nginx", "balancer"]);
        assert_eq!(topology.hops()[1].who(), &who("10.0.1.0/24"));
    }

    #[test]
    fn what_a_hop_further_out_would_write_is_off_until_it_is_verified() {
        let cdn =
            Hop::new("cdn", who("loopback")).family(Family::Single("x-cdn".into())).fields([Field::For]);
        let outcome = |client, proto| {
            let headers = [("x-cdn", client), ("x-forwarded-proto", proto)];
            decide([cdn.clone(), two()[1].clone()], "127.0.0.1", &headers).outcome(Field::Proto)
        };
        assert_eq!(outcome("203.0.113.9", "https"), NOT_ASSERTED);
        assert_eq!(outcome("203.0.113.9", " ,"), Outcome::Absent);
        assert_eq!(outcome("10.0.1.7", "https"), Outcome::Believed);
    }

    #[test]
    fn a_walk_that_stopped_leaves_the_hops_their_one_value() {
        let decided = |proto| {
            let headers = [("x-forwarded-for", "junk, 10.0.1.7"), ("x-forwarded-proto", proto)];
            decide(two(), "127.0.0.1", &headers).outcome(Field::Proto)
        };
        assert_eq!(decided("https"), Outcome::Believed);
        assert_eq!(decided("https, https"), Outcome::Refused(Refusal::WalkEnded));
    }

    #[test]
    fn an_element_is_the_terminators_where_no_hop_but_the_next_may_say_for() {
        let terminator = Hop::new("terminator", who("loopback")).fields([Field::Proto]);
        let hops = [terminator, two()[1].clone()].map(|hop| hop.family(Family::Forwarded));
        let origin = decide(hops, "127.0.0.1", &[("forwarded", "proto=http, proto=https")]);
        assert_decided(&origin, "127.0.0.1", "header-absent", 1);
        assert_eq!(origin.scheme().as_str(), "https");
    }

    #[test]
    fn a_hop_whose_header_was_read_by_nearer_ones_wrote_none() {
        let [nginx, far] = two();
        let edge = Hop::new("edge", who("198.51.100.0/24")).family(Family::Forwarded);
        let headers = [("x-forwarded-for", "198.51.100.7"), ("forwarded", "for=10.0.1.7")];
        let origin = decide([nginx, edge, far], "127.0.0.1", &headers);
        assert_decided(&origin, "-", "too-few", 3);
    }

    #[test]
    fn elements_of_a_hop_that_adds_several_are_counted() {
        let near = Hop::new("near", who("loopback")).family(Family::Forwarded).entries(2);
        let decided = |line| decide([near.clone()], "127.0.0.1", &[("forwarded", line)]);
        let origin = decided("for=203.0.113.9;proto=https, for=10.9.9.9;proto=http");
        assert_decided(&origin, "203.0.113.9", "client-found", 1);
        assert_eq!(origin.scheme().as_str(), "https");
        // One that names nobody holds no place.
        assert_decided(&decided("for=203.0.113.9, proto=https"), "-", "empty", 1);
    }

    #[test]
    fn a_header_goes_on_behind_all_entries_of_nearer_hops() {
        let near = Hop::new("near", who("loopback")).entries(2);
        let edge = Hop::new("edge", who("198.51.100.0/24")).family(Family::Forwarded);
        let headers = [
            ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 198.51.100.7, 10.9.9.9"),
            ("forwarded", "for=10.0.1.7"),
        ];
        let origin = decide([near, edge, two()[1].clone()], "127.0.0.1", &headers);
        assert_decided(&origin, "203.0.113.9", "client-found", 3);
    }

    #[test]
    fn a_further_hop_that_may_not_say_for_is_not_read() {
        let [nginx, balancer] = two();
        let headers = [("x-forwarded-for", "127.0.0.1, 10.0.1.7")];
        let origin = decide([nginx, balancer.fields([Field::Proto])], "127.0.0.1", &headers);
        assert_decided(&origin, "-", "too-few", 2);
        assert!(!origin.is_complete());
    }
}
