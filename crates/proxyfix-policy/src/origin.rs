//! The answer: where the request came from, and why.

use alloc::boxed::Box;
use core::fmt;
use core::net::IpAddr;

use crate::sentence::{Notes, Sent};
use crate::trust::MOST_HOPS;
use crate::{Ending, Field, Host, Peer, Policy, Port, Prefix, Scheme, Step, Verdict};

/// Where a request came from: the client, and the URL that it asked for.
///
/// An origin is *complete* when its client is known: a hop that every hop nearer to us vouches for.
/// An incomplete origin has the [last verified hop](Self::last_verified) for logs, and answers no to
/// every question about the client, so that an unreadable header never makes a stranger internal.
///
/// It is the whole record of the decision, too: the [steps](Self::steps) of the walk and its
/// [ending](Self::ending), what [became](Self::outcome) of each field and where its value
/// [stood](Self::place), and which [generation](Self::generation) of the policy judged. As text it is one
/// sentence that an operator can act on:
///
/// | what happened | the sentence |
/// | --- | --- |
/// | a proxy that is not listed | 10.2.3.4 sent X-Forwarded-For but is not trusted; add it to the trusted set if it is your proxy |
/// | a client that connects directly | 203.0.113.9 is not trusted, so it is the client |
/// | a chain that holds junk | the client is unknown: 10.0.0.2 wrote no address as the last entry of X-Forwarded-For; let it write the address of who is connected to it |
/// | fewer proxies than declared | 203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; 2 proxies are declared, and the request passed 1: declare 1, or find out how the rest is gone around |
/// | a scheme of nobody | 203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; the scheme stays http, because X-Forwarded-Proto is absent: let the proxy set it |
///
/// Two origins are equal when they say the same of the request and for the same reasons; where in the
/// headers a value stood, which generation of a policy judged, and what only the sentence says is not compared.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Origin {
    pub(crate) peer: Peer,
    pub(crate) client: Peer,
    pub(crate) ending: Ending,
    pub(crate) last_verified: Peer,
    pub(crate) scheme: Scheme,
    pub(crate) host: Option<Host>,
    pub(crate) port: Option<Port>,
    pub(crate) prefix: Prefix,
    pub(crate) through_gateway: bool,
    pub(crate) host_withheld: bool,
    pub(crate) host_conflict: bool,
    /// The address of the peer would do, but the proof that the policy asks for was not given.
    pub(crate) unproven: bool,
    pub(crate) outcomes: [Outcome; 5],
    pub(crate) places: Places,
    pub(crate) steps: Steps,
    pub(crate) trusted_hops: u8,
    pub(crate) declared_hops: Option<u8>,
    pub(crate) generation: u64,
    pub(crate) notes: Notes,
}

/// What is not compared explains and decides nothing: in the notes stands, among other things, that an
/// untrusted peer sent a header, which has no influence on what was decided (threats T01 to T05).
impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        let said = |it: &Self| (it.peer, it.client, it.ending, it.last_verified, it.scheme, it.port);
        let why =
            |it: &Self| (it.through_gateway, it.host_withheld, it.host_conflict, it.unproven, it.outcomes);
        let hops = |it: &Self| (it.trusted_hops, it.declared_hops);
        said(self) == said(other)
            && (&self.host, &self.prefix) == (&other.host, &other.prefix)
            && why(self) == why(other)
            && hops(self) == hops(other)
            && self.steps().eq(other.steps())
    }
}

impl Eq for Origin {}

/// Where the value of a field stood in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Place {
    /// In which header.
    pub written: Written,
    /// In which of its lines: 1 is the last one, because lists are read from their end. Beyond 65 535 it stays there.
    pub line: usize,
    /// Which of all its values: 1 is the rightmost of the last line. Of `Forwarded`, which element.
    pub position: usize,
}

/// In which header a value stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Written {
    /// In the field's own header of the `X-Forwarded-*` family.
    XForwarded,
    /// In `Forwarded`.
    Forwarded,
    /// In a header that the operator named.
    OwnHeader,
    /// Nowhere: it was computed.
    Computed,
}

impl Written {
    pub(crate) fn in_own(header: &str) -> Self {
        if header.starts_with(':') { Self::Computed } else { Self::OwnHeader }
    }

    /// The name of the header, in lower case, for `field`; `None` where the operator knows it.
    pub const fn header(self, field: Field) -> Option<&'static str> {
        match self {
            Self::XForwarded => Some(field.x_forwarded_name()),
            Self::Forwarded => Some("forwarded"),
            Self::OwnHeader | Self::Computed => None,
        }
    }
}

/// The [`Place`] of each field, in a fifth of its room: an origin is built and moved on every request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places {
    written: [Option<Written>; 5],
    /// No walk and no count goes further than 64 values.
    positions: [u8; 5],
    /// No header map has more lines.
    lines: [u16; 5],
}

impl Places {
    pub(crate) fn get(&self, field: Field) -> Option<Place> {
        let at = field as usize;
        let (line, position) = (self.lines[at].into(), self.positions[at].into());
        self.written[at].map(|written| Place { written, line, position })
    }

    #[inline]
    pub(crate) fn set(&mut self, field: Field, place: Option<Place>) {
        let at = field as usize;
        self.written[at] = place.map(|place| place.written);
        if let Some(place) = place {
            self.positions[at] = u8::try_from(place.position).unwrap_or(u8::MAX);
            self.lines[at] = u16::try_from(place.line).unwrap_or(u16::MAX);
        }
    }
}

/// The steps of a walk. Most walks have few, and allocate nothing to be kept; the others allocate once.
#[derive(Clone, Default)]
pub(crate) struct Steps {
    hops: [Peer; FIRST],
    verdicts: [Option<Verdict>; FIRST],
    taken: u8,
    more: Option<Box<[Option<Step>; MORE]>>,
}

/// The peer, two proxies and the client.
const FIRST: usize = 4;
/// A walk judges its peer, and stops at the entry beyond the last hop at the latest.
const MORE: usize = MOST_HOPS as usize + 2 - FIRST;

impl Steps {
    #[inline]
    pub(crate) fn one(step: Step) -> Self {
        const NOBODY: Peer = Peer::unknown();
        Self {
            hops: [step.hop, NOBODY, NOBODY, NOBODY],
            verdicts: [Some(step.verdict), None, None, None],
            taken: 1,
            more: None,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, step: Step) {
        let taken = usize::from(self.taken);
        self.taken += 1;
        if taken < FIRST {
            self.hops[taken] = step.hop;
            self.verdicts[taken] = Some(step.verdict);
        } else {
            self.push_more(taken - FIRST, step);
        }
    }

    fn push_more(&mut self, taken: usize, step: Step) {
        if let Some(free) = self.more.get_or_insert_with(|| Box::new([None; MORE])).get_mut(taken) {
            *free = Some(step);
        }
    }

    fn iter(&self) -> impl Iterator<Item = Step> {
        let first = self.hops.iter().zip(&self.verdicts);
        let first = first.filter_map(|(hop, verdict)| verdict.map(|verdict| Step { hop: *hop, verdict }));
        first.chain(self.more.iter().flat_map(|more| more.iter()).flatten().copied())
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What became of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Outcome {
    /// The policy does not read it, or not from this peer; the value is as received.
    #[default]
    NotRead,
    /// The header is absent, or holds nothing; the value is as received.
    Absent,
    /// The value comes from the header.
    Believed,
    /// The header is there and its value was not taken; the value is as received.
    Refused(Refusal),
}

/// Why the value of a header was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It did not pass the grammar of its field.
    Malformed,
    /// The value is empty where the hop's value should stand.
    Empty,
    /// There are several values, and not as many as hops in the chain: nobody can say whose is whose.
    Asymmetric,
    /// There are fewer values than the declared count.
    TooFew,
    /// The declared count goes beyond the hops that are trusted.
    BeyondTrust,
    /// A header that must be single has several values.
    Multiple,
    /// The walk ended before the hop that the value would belong to.
    WalkEnded,
    /// A port without a host that it could belong to, or whose host was refused.
    WithoutHost,
    /// Only hops stated it that may not.
    NotAsserted,
}

impl Refusal {
    /// A stable name: `malformed`, `asymmetric`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::Asymmetric => "asymmetric",
            Self::TooFew => "too-few",
            Self::BeyondTrust => "beyond-trust",
            Self::Multiple => "multiple",
            Self::WalkEnded => "walk-ended",
            Self::WithoutHost => "without-host",
            Self::NotAsserted => "not-asserted",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Malformed => "its value is not well-formed",
            Self::Empty => "its value is empty",
            Self::Asymmetric => "it has several values, and not as many as the chain has hops",
            Self::TooFew => "it has fewer values than the declared count",
            Self::BeyondTrust => "the declared count goes beyond the trusted hops",
            Self::Multiple => "it has several values where one is expected",
            Self::WalkEnded => "the walk ended before the hop that it belongs to",
            Self::WithoutHost => "there is no valid host that it could belong to",
            Self::NotAsserted => "no hop that may assert it was there to do so",
        })
    }
}

impl Origin {
    /// Who is connected. From the connection, never from a header.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The client: an address, and its port where one was stated.
    ///
    /// `None` where nobody knows. Where a trusted peer sent no header
    /// ([`Ending::HeaderAbsent`]) it is the peer, although the origin is not complete.
    pub fn client(&self) -> Option<IpAddr> {
        self.client.ip()
    }

    /// The client with its port; unknown where nobody knows its address. For the layers.
    #[doc(hidden)]
    pub fn known_client(&self) -> Peer {
        if self.client.ip().is_some() { self.client } else { Peer::unknown() }
    }

    /// The client's port, where one was stated.
    pub fn client_port(&self) -> Option<u16> {
        self.client.port()
    }

    /// Whether the client is known: found by the walk, and nothing left open.
    pub fn is_complete(&self) -> bool {
        self.client.ip().is_some() && self.ending != Ending::HeaderAbsent
    }

    /// Whether the client is known and `matches` holds for its address: the form for allow-lists and
    /// "is it internal?". An incomplete origin is never internal.
    ///
    /// ```
    /// use proxyfix_policy::{Policy, Received, TrustedProxies};
    ///
    /// let policy = Policy::new("10.0.0.0/8".parse::<TrustedProxies>()?);
    /// let garbage: &[(&str, &[u8])] = &[("x-forwarded-for", b"garbage")];
    /// let origin = policy.decide("10.0.0.2".parse()?, Received::default(), garbage);
    ///
    /// assert_eq!(origin.last_verified(), "10.0.0.2".parse()?);
    /// assert!(!origin.is_complete_and(|ip| ip.to_string().starts_with("10.")));
    /// # Ok::<(), proxyfix_policy::Error>(())
    /// ```
    pub fn is_complete_and(&self, matches: impl FnOnce(IpAddr) -> bool) -> bool {
        self.is_complete() && self.client.ip().is_some_and(matches)
    }

    /// Why the walk ended where it did.
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// The last hop that is trusted, or the peer: for logs, never for decisions about the client.
    pub fn last_verified(&self) -> Peer {
        self.last_verified
    }

    /// The steps of the walk, from the peer leftward.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        self.steps.iter()
    }

    /// How many hops were found that are trusted, the peer among them.
    pub fn trusted_hops(&self) -> usize {
        self.trusted_hops.into()
    }

    /// How many proxies are declared: [hops](crate::TrustedProxies::hops), or those of a
    /// [`Topology`](crate::Topology).
    pub fn declared_hops(&self) -> Option<usize> {
        self.declared_hops.map(usize::from)
    }

    /// Whether the request passed fewer proxies than are declared, though nothing else is wrong: one of
    /// them was gone around, or the count is too high.
    pub fn is_short(&self) -> bool {
        self.ending == Ending::ClientFound
            && self.declared_hops.is_some_and(|declared| self.trusted_hops < declared)
    }

    /// Which policy judged, where it can be replaced while the service runs: 0 is the first one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Where the value of `field` stood, if one was found there; whether it was taken says its
    /// [outcome](Self::outcome).
    pub fn place(&self, field: Field) -> Option<Place> {
        self.places.get(field)
    }

    /// The scheme that the client used.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host that the client asked for; `None` where none was stated that is well-formed.
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// Whether the address of the peer is trusted, and the [proof](crate::Gate) that the policy asks for was
    /// not given: no header is believed, and nobody knows the client, because the proxy is not it.
    pub fn is_unproven(&self) -> bool {
        self.unproven
    }

    /// Whether what the request says of its host is no host, or two, so that it has none.
    pub fn is_host_withheld(&self) -> bool {
        self.host_withheld
    }

    /// Whether the request names one host in its target and another one in `Host`, and no proxy's word
    /// stands for either. The target's counts (RFC 9112 section 3.2.2); of HTTP/2, neither.
    pub fn has_host_conflict(&self) -> bool {
        self.host_conflict
    }

    /// Notes such a conflict. For the layers.
    #[doc(hidden)]
    pub fn note_host_conflict(&mut self) {
        self.host_conflict = true;
    }

    /// The port that the client asked for, where it is not the default of the scheme.
    pub fn port(&self) -> Option<Port> {
        self.port.filter(|port| *port != self.scheme.default_port())
    }

    /// The port as it was stated, the default or not. For the layers.
    #[doc(hidden)]
    pub fn stated_port(&self) -> Option<Port> {
        self.port
    }

    /// The external prefix under which the application is mounted.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// What became of `field`.
    pub fn outcome(&self, field: Field) -> Outcome {
        self.outcomes[field as usize]
    }

    /// Whether the request came through a gateway, which said where the application is mounted.
    pub fn through_gateway(&self) -> bool {
        self.through_gateway
    }

    /// States whether the request came through a gateway, which said where the application is
    /// mounted. For the layers.
    #[doc(hidden)]
    #[must_use]
    pub fn with_gateway(self, through_gateway: bool) -> Self {
        Self { through_gateway, ..self }
    }

    /// Another prefix, as the fixes of the mount find it. For the layers.
    #[doc(hidden)]
    pub fn set_prefix(&mut self, prefix: Prefix) {
        self.prefix = prefix;
    }

    /// How much a decision knows of the client: a chain that was read, a trusted peer that sent none, one
    /// that was not asked, a peer that is not trusted.
    fn weight(&self) -> u8 {
        match self.outcome(Field::For) {
            Outcome::Believed | Outcome::Refused(_) => 3,
            _ if !self.ending.is_from_trusted_peer() => 0,
            Outcome::Absent => 2,
            Outcome::NotRead => 1,
        }
    }

    /// Notes which forwarding headers the request had besides those that `policy` reads, for the sentence.
    /// For the layers.
    #[doc(hidden)]
    #[inline]
    pub fn note_sent<'a>(&mut self, policy: &Policy, names: impl Iterator<Item = &'a str>) {
        const PROTO: &str = Field::Proto.x_forwarded_name();
        const HOST: &str = Field::Host.x_forwarded_name();
        const PREFIX: &str = Field::Prefix.x_forwarded_name();
        let untrusted = self.ending == Ending::PeerUntrusted;
        let unread = policy.plan.unread;
        if !untrusted && unread == 0 {
            return;
        }
        for name in names {
            if untrusted && self.notes.sent.is_none() {
                self.notes.sent = Sent::CHAINS.into_iter().find(|chain| chain.name() == Some(name));
            }
            // Proxies write a port wherever they write a host, and it is of use beside that alone.
            let mark = match name {
                PROTO => Notes::unread(Field::Proto),
                HOST => Notes::unread(Field::Host),
                PREFIX => Notes::unread(Field::Prefix),
                _ => 0,
            };
            self.notes.mark(mark & unread);
        }
    }

    /// Takes the host back, and its port with it, for a reason that a sentence ends with. For the layers.
    #[doc(hidden)]
    pub fn withhold_host(&mut self, why: &'static str) {
        self.notes.withhold(why);
        self.host = None;
        self.port = None;
        self.host_withheld = true;
        let port = &mut self.outcomes[Field::Port as usize];
        if *port == Outcome::Believed {
            *port = Outcome::Refused(Refusal::WithoutHost);
        }
    }

    /// Merges this decision into an `earlier` one about the same request. For the layers.
    ///
    /// A request is judged once: who the client is stays as the first fix that read a chain found it.
    /// A field that this decision read from a header replaces the earlier one's.
    #[doc(hidden)]
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        if earlier.weight() >= self.weight() {
            self.client = earlier.client;
            self.ending = earlier.ending;
            self.last_verified = earlier.last_verified;
            self.unproven = earlier.unproven;
            self.steps = earlier.steps.clone();
            self.trusted_hops = earlier.trusted_hops;
            self.declared_hops = earlier.declared_hops;
            self.generation = earlier.generation;
            self.outcomes[Field::For as usize] = earlier.outcome(Field::For);
            self.places.set(Field::For, earlier.place(Field::For));
            self.notes.adopt(&earlier.notes, Field::For);
        }
        let host_is_new = self.outcome(Field::Host) == Outcome::Believed;
        for field in [Field::Proto, Field::Host, Field::Port, Field::Prefix] {
            // What this decision did not find is what the earlier one made of the request. Another host
            // has another port.
            let earlier_stands = match self.outcome(field) {
                Outcome::Believed => false,
                Outcome::Refused(_) => earlier.outcome(field) == Outcome::Believed,
                Outcome::NotRead | Outcome::Absent => true,
            };
            if earlier_stands && !(field == Field::Port && host_is_new) {
                self.outcomes[field as usize] = earlier.outcome(field);
                self.places.set(field, earlier.place(field));
                self.notes.adopt(&earlier.notes, field);
            }
        }
        self.notes.adopt_rest(&earlier.notes);
        self.peer = earlier.peer;
        self.through_gateway = earlier.through_gateway;
        self.host_conflict |= earlier.host_conflict;
        self.host_withheld |= earlier.host_withheld && self.host.is_none();
        self
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Policy, Received, TrustedProxies};

    const ALL: [(&str, &[u8]); 5] = [
        ("x-forwarded-for", b"203.0.113.9:51515"),
        ("x-forwarded-proto", b"https"),
        ("x-forwarded-host", b"good.example"),
        ("x-forwarded-port", b"8443"),
        ("x-forwarded-prefix", b"/app"),
    ];

    fn origin(peer: &str, headers: &[(&str, &[u8])]) -> Origin {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let policy = Policy::builder(trusted.hops(2).unwrap()).fields(Field::ALL).build().unwrap();
        policy.with_generation(3).decide(peer.parse().unwrap(), Received::default(), headers)
    }

    #[test]
    fn an_origin_answers_what_was_decided() {
        let origin = origin("10.0.0.2:40000", &ALL);
        assert_eq!((origin.peer(), origin.client_port()), ("10.0.0.2:40000".parse().unwrap(), Some(51515)));
        assert_eq!((origin.trusted_hops(), origin.declared_hops()), (1, Some(2)));
        assert_eq!((origin.port(), origin.stated_port()), ("8443".parse().ok(), "8443".parse().ok()));
        assert_eq!(origin.generation(), 3);
        assert!(origin.is_complete() && origin.is_complete_and(|ip| ip.is_ipv4()));
        assert!(!origin.is_complete_and(|ip| ip.is_ipv6()));
        assert!(!origin.through_gateway() && !origin.is_host_withheld() && !origin.has_host_conflict());
        assert!(format!("{origin:?}").contains("steps: [Step"), "{origin:?}");
    }

    #[test]
    fn an_incomplete_origin_answers_no() {
        for chain in ["", "oops"] {
            let origin = origin("10.0.0.2", &[("x-forwarded-for", chain.as_bytes())]);
            assert!(!origin.is_complete() && !origin.is_complete_and(|_| true), "{origin}");
        }
    }

    #[test]
    fn the_default_port_is_stated_and_not_shown() {
        let headers = [ALL[0], ALL[1], ALL[2], ("x-forwarded-port", b"443")];
        let origin = origin("10.0.0.2", &headers);
        assert_eq!((origin.port(), origin.stated_port()), (None, Some(Port::HTTPS)));
    }

    #[test]
    fn origins_are_equal_that_say_the_same_for_the_same_reasons() {
        let origin = origin("10.0.0.2:40000", &ALL);
        let changes: [fn(&mut Origin); 16] = [
            |it| it.peer = Peer::local(),
            |it| it.client = Peer::local(),
            |it| it.ending = Ending::AllTrusted,
            |it| it.last_verified = Peer::local(),
            |it| it.scheme = Scheme::Http,
            |it| it.host = None,
            |it| it.port = None,
            |it| it.prefix = Prefix::root(),
            |it| it.through_gateway = true,
            |it| it.host_withheld = true,
            |it| it.host_conflict = true,
            |it| it.unproven = true,
            |it| it.outcomes[0] = Outcome::NotRead,
            |it| it.trusted_hops = 9,
            |it| it.declared_hops = None,
            |it| it.steps.push(Step { hop: Peer::local(), verdict: Verdict::Client }),
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut other = origin.clone();
            change(&mut other);
            assert_ne!(other, origin, "change {index}");
        }
        assert_eq!(Origin { generation: 7, places: Places::default(), ..origin.clone() }, origin);
    }

    /// An origin is built, moved and kept on every request; a walk stands on the stack of each.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_origin_and_a_walk_grow_only_on_purpose() {
        use core::slice::Iter;
        assert_eq!(size_of::<Origin>(), 320);
        assert_eq!(size_of::<crate::Walk<'_, core::iter::Copied<Iter<'_, &[u8]>>>>(), 232);
    }

    #[test]
    fn the_longest_walk_keeps_its_steps() {
        let mut steps = Steps::default();
        for port in 1..=u16::from(MOST_HOPS) + 2 {
            let hop = Peer::new(IpAddr::from([10, 0, 0, 7]), Some(port));
            steps.push(Step { hop, verdict: Verdict::Trusted });
        }
        assert!(steps.iter().map(|step| step.hop.port()).eq((1..=34).map(Some)));
        assert_eq!(Steps::one(steps.iter().next().unwrap()).iter().count(), 1);
    }

    #[test]
    fn refusals_have_stable_names() {
        use Refusal::*;
        let all = [
            Malformed,
            Empty,
            Asymmetric,
            TooFew,
            BeyondTrust,
            Multiple,
            WalkEnded,
            WithoutHost,
            NotAsserted,
        ];
        assert_eq!(
            all.map(Refusal::as_str).join(" "),
            "malformed empty asymmetric too-few beyond-trust multiple walk-ended without-host not-asserted"
        );
    }

    #[test]
    fn a_header_of_the_operators_own_has_no_name_of_ours() {
        let names = |written: Written| Field::ALL.map(|field| written.header(field));
        assert_eq!(names(Written::XForwarded)[1], Some("x-forwarded-proto"));
        assert_eq!(names(Written::Forwarded), [Some("forwarded"); 5]);
        for (header, written) in [("x-real-ip", Written::OwnHeader), (":for", Written::Computed)] {
            assert_eq!((Written::in_own(header), names(written)), (written, [None; 5]));
        }
    }

    #[test]
    fn a_host_that_is_withheld_takes_its_port_along() {
        let mut with_port = origin("10.0.0.2", &ALL);
        with_port.withhold_host("");
        assert_eq!((with_port.host(), with_port.stated_port()), (None, None));
        assert!(with_port.is_host_withheld());
        assert_eq!(with_port.outcome(Field::Port), Outcome::Refused(Refusal::WithoutHost));
        let mut without = origin("10.0.0.2", &ALL[..3]);
        without.withhold_host("");
        assert_eq!(without.outcome(Field::Port), Outcome::Absent);
    }

    #[test]
    fn the_decision_that_knows_more_of_the_client_stays_and_the_earlier_of_equals() {
        let chain = |value: &'static [u8]| origin("10.0.0.2", &[("x-forwarded-for", value)]);
        let silent = origin("10.0.0.2", &[]);
        let untrusted = origin("198.51.100.7", &[]);
        let read = Origin {
            generation: 5,
            declared_hops: Some(7),
            unproven: true,
            ..chain(b"203.0.113.9, 10.0.0.7")
        };
        let other = chain(b"junk");
        for (earlier, later, kept) in [
            (&read, &other, &read),
            (&other, &read, &other),
            (&read, &silent, &read),
            (&silent, &read, &read),
            (&silent, &untrusted, &silent),
            (&untrusted, &silent, &silent),
            (&untrusted, &read, &read),
        ] {
            let merged = later.clone().after(earlier);
            let who = |it: &Origin| (it.client, it.ending, it.outcome(Field::For), it.place(Field::For));
            assert_eq!(who(&merged), who(kept), "{earlier}, then {later}");
            let why = |it: &Origin| (it.last_verified, it.trusted_hops, it.declared_hops, it.unproven);
            assert_eq!((why(&merged), merged.generation()), (why(kept), kept.generation()));
            assert!(merged.steps().eq(kept.steps()));
            assert_eq!(merged.peer(), earlier.peer());
        }
    }

    #[test]
    fn a_field_that_is_not_read_again_keeps_what_became_of_it() {
        let earlier = origin("10.0.0.2", &[ALL[0], ALL[1], ("x-forwarded-host", b"a b")]).with_gateway(true);
        let later = origin("10.0.0.2", &[ALL[0], ALL[2]]).after(&earlier);
        assert_eq!(
            Field::ALL.map(|field| later.outcome(field)),
            [Outcome::Believed, Outcome::Believed, Outcome::Believed, Outcome::Absent, Outcome::Absent]
        );
        assert_eq!(later.place(Field::Proto), earlier.place(Field::Proto));
        assert!(later.place(Field::Proto).is_some() && later.through_gateway());
    }

    #[test]
    fn a_conflict_stays_and_a_withheld_host_until_there_is_one() {
        let plain = origin("10.0.0.2", &ALL[..1]);
        let named = origin("10.0.0.2", &ALL[..3]);
        let (mut conflict, mut withheld) = (plain.clone(), plain.clone());
        conflict.note_host_conflict();
        withheld.withhold_host("");
        for (later, earlier) in [(&plain, &conflict), (&conflict, &plain), (&conflict, &conflict)] {
            assert!(later.clone().after(earlier).has_host_conflict());
        }
        for (later, earlier, expected) in [
            (&plain, &plain, false),
            (&plain, &withheld, true),
            (&withheld, &plain, true),
            (&withheld, &withheld, true),
            (&named, &withheld, false),
        ] {
            assert_eq!(later.clone().after(earlier).is_host_withheld(), expected);
        }
    }

    #[test]
    fn another_prefix_takes_the_place_of_the_decided_one() {
        let mut origin = origin("10.0.0.2", &ALL);
        assert_eq!(origin.prefix().as_str(), "/app");
        origin.set_prefix("/other".parse().unwrap());
        assert_eq!(origin.prefix().as_str(), "/other");
    }
}
