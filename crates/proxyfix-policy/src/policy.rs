//! Which claims are read, and from where.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::claim::{FORWARDED, Notation};
use crate::host::Underscores;
use crate::sentence::{Brief, Notes, Sent};
use crate::topology::{Front, Hop, Route};
use crate::trust::MOST_HOPS;
use crate::{Error, Family, Field, Host, Origin, Outcome, Peer, Port, Scheme, Topology, TrustedProxies};

/// Who is trusted, which header family is read, and which fields of it.
///
/// ```
/// use proxyfix_policy::{Field, Policy, Received, TrustedProxies};
///
/// let proxies: TrustedProxies = "10.0.0.0/8".parse()?;
/// let policy = Policy::builder(proxies).field(Field::Host).build()?;
///
/// let headers: &[(&str, &[u8])] = &[
///     ("X-Forwarded-For", b"203.0.113.9"),
///     ("X-Forwarded-Proto", b"https"),
///     ("X-Forwarded-Host", b"good.example"),
/// ];
/// let origin = policy.decide("10.0.0.2".parse()?, Received::default(), headers);
///
/// assert_eq!(origin.client(), Some("203.0.113.9".parse().unwrap()));
/// assert_eq!(origin.scheme().as_str(), "https");
/// assert_eq!(origin.host().unwrap().as_str(), "good.example");
/// # Ok::<(), proxyfix_policy::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) plan: Arc<Plan>,
    pub(crate) generation: u64,
}

/// What a policy says. Its origins share it, to name hops and headers in their sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// At least one; of a flat set the one that stands for all.
    pub(crate) hops: Vec<Hop>,
    /// Whether the hops stand one after the other, rather than one for all.
    pub(crate) listed: bool,
    pub(crate) sources: [Source; 5],
    pub(crate) gate: Gate,
    pub(crate) underscores: Underscores,
    /// What sentences say of the sources, and which of them have names of the operator's; made of the rest.
    pub(crate) briefs: [Brief; 5],
    pub(crate) named: [bool; 5],
    /// The first header that is read, and how a sentence says that a stranger sent it.
    pub(crate) asked: Option<(String, Sent)>,
    /// How many proxies are said to stand in front of the service.
    pub(crate) declared: Option<u8>,
    /// What becomes of the fields where nothing is stated.
    pub(crate) silent: [Outcome; 5],
    /// How and where the nearest hop names who was connected to it.
    pub(crate) notation: Notation,
    pub(crate) chain: String,
    /// The [marks](Notes::unread) of fields that are not read where a proxy may have written them.
    pub(crate) unread: u8,
    /// The family in which usual requests are judged [in one go](crate::straight).
    pub(crate) straight: Option<Family>,
}

/// Where one field is read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum Source {
    /// Nowhere.
    #[default]
    Off,
    /// Where the family of the hops has it.
    Family(Rule),
    /// In a header that must have exactly one value.
    Single { header: String, https: Option<String> },
}

/// Which of several values belongs to the hop that was believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The one beside the chosen entry of the chain.
    Aligned,
    /// The n-th from the right.
    Count(u8),
}

/// What opens the gate besides the address of the peer: something that only the proxy can know, such as
/// a secret that it adds to each request.
///
/// The policy has no clock and no HTTP, so that whoever calls it says whether the proof was given
/// ([`Received::proven`](crate::Received::proven)); the layers of the crate `proxyfix` find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Gate {
    /// The address alone.
    #[default]
    Address,
    /// The address has to be trusted, and the proof given.
    AddressAndProof,
    /// One of the two is enough: for proxies whose addresses nobody knows, and that know a secret.
    AddressOrProof,
}

/// Builds a [`Policy`]; what cannot mean what it says does not build.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct PolicyBuilder {
    front: Front,
    family: Option<Family>,
    read: Option<[bool; 5]>,
    counts: [Option<u8>; 5],
    singles: [Option<(String, Option<String>)>; 5],
    underscores: Underscores,
    gate: Gate,
    demands: Option<String>,
}

/// What a policy reads of a flat set by default: `for` and `proto`.
const READ: [bool; 5] = [true, true, false, false, false];

impl Policy {
    /// Reads `X-Forwarded-For` and `X-Forwarded-Proto` from these proxies, or of a [`Topology`] what its
    /// hops may assert.
    pub fn new(front: impl Into<Self>) -> Self {
        front.into()
    }

    /// Begins a policy of [`TrustedProxies`] or a [`Topology`]; see [`PolicyBuilder`].
    pub fn builder(front: impl Into<Front>) -> PolicyBuilder {
        PolicyBuilder {
            front: front.into(),
            family: None,
            read: None,
            counts: [None; 5],
            singles: [const { None }; 5],
            underscores: Underscores::Refused,
            gate: Gate::Address,
            demands: None,
        }
    }

    /// Who may be connected to the service and be believed: of named hops, the first.
    #[inline]
    pub fn trusted(&self) -> &TrustedProxies {
        static NOBODY: TrustedProxies = TrustedProxies::NONE;
        self.plan.hops.first().map_or(&NOBODY, |hop| &hop.who)
    }

    /// The named hops, from the service outward; empty where a flat set is trusted.
    pub fn hops(&self) -> &[Hop] {
        if self.plan.listed { self.plan.hops.as_slice() } else { &[] }
    }

    /// Every set of the policy with the name of its hop, where it has one.
    pub fn sets(&self) -> impl Iterator<Item = (Option<&str>, &TrustedProxies)> {
        self.plan.hops.iter().map(|hop| (self.plan.listed.then_some(hop.name.as_str()), &hop.who))
    }

    /// Whether `field` is read at all.
    #[inline]
    pub fn reads(&self, field: Field) -> bool {
        self.plan.sources[field as usize] != Source::Off
    }

    /// The header in which `field` is read, in lower case; `None` where it is not. Of named hops that
    /// write several families, the nearest one's that may assert it.
    pub fn header(&self, field: Field) -> Option<&str> {
        self.plan.header(field)
    }

    /// The headers that a proof has to read before anything is believed, in lower case.
    pub fn demanded_headers(&self) -> impl Iterator<Item = &str> {
        self.plan.hops.iter().filter_map(|hop| hop.demands.as_deref())
    }

    /// The header of the chain that the walk of `origin` read last. For the layers.
    #[doc(hidden)]
    pub fn last_chain_header(&self, origin: &Origin) -> Option<&str> {
        self.plan.chain_header(origin.trusted_hops())
    }

    /// Whether any field is read in the header of this name, in lower case.
    pub fn reads_header(&self, header: &str) -> bool {
        let plan = &self.plan;
        Field::ALL.into_iter().any(|field| match &plan.sources[field as usize] {
            Source::Off => false,
            Source::Single { header: own, .. } => own == header,
            Source::Family(_) => {
                plan.hops.iter().any(|hop| hop.asserts(field) && hop.family.header(field) == header)
            }
        })
    }

    /// The same policy with another gate.
    #[must_use]
    pub fn with_gate(mut self, gate: Gate) -> Self {
        if self.plan.gate != gate {
            Arc::make_mut(&mut self.plan).gate = gate;
        }
        self
    }

    /// What has to be shown besides the address of the peer.
    pub fn gate(&self) -> Gate {
        self.plan.gate
    }

    /// How often the policy was replaced while the service ran; see [`Origin::generation`](crate::Origin::generation).
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The same policy as the n-th of a service. For the layers.
    #[doc(hidden)]
    #[must_use]
    pub fn with_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    /// The same policy with another trusted set: what a reload replaces. The declared number of hops
    /// stays as it is. Named hops have no one set.
    pub fn with_trusted(&self, trusted: &TrustedProxies) -> Result<Self, Error> {
        if self.plan.listed {
            return Err(Error::policy("the policy has named hops, and no one trusted set to replace"));
        }
        if trusted.trusts_every_peer() != self.trusted().trusts_every_peer() {
            return Err(Error::policy(
                "everyone cannot take the place of a set, or a set that of everyone: the number of hops \
                 would mean something else",
            ));
        }
        let mut policy = self.clone();
        for hop in &mut Arc::make_mut(&mut policy.plan).hops {
            hop.who = trusted.clone().with_hops_of(&hop.who);
        }
        Ok(policy)
    }

    /// Reads a host as this policy does: [`Host::with_port`], with underscores where it takes them.
    pub fn read_host(&self, text: &[u8]) -> Result<(Host, Option<Port>), Error> {
        Host::read_with_port(text, self.plan.underscores)
    }

    /// As [`read_host`](Self::read_host), without a reason for what is refused. For the layers.
    #[doc(hidden)]
    pub fn host(&self, text: &[u8]) -> Option<(Host, Option<Port>)> {
        Host::read(text, self.plan.underscores)
    }

    /// Whether `line` is a host, with or without a port, that stands as the layers write it, whatever the scheme:
    /// lower case, no trailing dot, neither port 80 nor 443. Of the unusual, such as IPv6, it says no. For the layers.
    #[doc(hidden)]
    pub fn host_stays(&self, line: &[u8]) -> bool {
        Host::is_plain_for(line, self.plan.underscores, &[Scheme::Http, Scheme::Https])
    }

    /// The headers that carry a single value for this policy, in lower case.
    pub fn single_headers(&self) -> impl Iterator<Item = &str> {
        let own = self.plan.sources.iter().filter_map(|source| match source {
            Source::Single { header, .. } => Some(header.as_str()),
            _ => None,
        });
        let chain = matches!(self.plan.sources[Field::For as usize], Source::Family(_));
        let hops = self.plan.hops.iter().filter(move |hop| chain && !hop.family.is_list());
        own.chain(hops.map(|hop| hop.family.chain_header()))
    }

    fn of(mut plan: Plan) -> Self {
        plan.briefs = Field::ALL.map(|field| plan.brief(field).unwrap_or_default());
        plan.named = Field::ALL.map(|field| plan.brief(field).is_none());
        let read = Field::ALL.into_iter().find_map(|field| plan.header(field).map(|header| (field, header)));
        plan.asked = read.map(|(field, header)| {
            let sent = plan.brief(field).map_or(Sent::Read(field), |brief| Sent::read(field, brief));
            (header.to_owned(), sent)
        });
        let silent = |field| if plan.header(field).is_some() { Outcome::Absent } else { Outcome::NotRead };
        plan.silent = Field::ALL.map(silent);
        let (notation, chain) = plan.chain_at(0);
        (plan.notation, plan.chain) = (notation, chain.to_owned());
        plan.declared = match plan.hops.as_slice() {
            // A topology has as many as a walk at the most.
            hops if plan.listed => u8::try_from(hops.len()).ok(),
            hops => hops.first().and_then(|hop| hop.who.declared_hops()),
        };
        let unread = Field::ALL.into_iter().filter(|field| plan.sources[*field as usize] == Source::Off);
        plan.unread = match plan.header(Field::For) {
            Some(FORWARDED) => 0,
            _ => unread.fold(0, |marks, field| marks | Notes::unread(field)),
        };
        plan.straight = plan.straight_family();
        Self { plan: Arc::new(plan), generation: 0 }
    }

    pub(crate) fn route(&self) -> Route<'_> {
        if self.plan.listed { Route::Listed(&self.plan.hops) } else { Route::alike(self.trusted()) }
    }

    /// Whether the gate is open to `peer`, whose address is trusted or not, and which did or did not give the proof
    /// that is asked for.
    #[inline]
    pub(crate) fn opens_to(&self, peer: &Peer, trusted: bool, proven: bool) -> bool {
        match self.plan.gate {
            Gate::Address => trusted,
            Gate::AddressAndProof => trusted && proven,
            Gate::AddressOrProof => !peer.is_unknown() && (trusted || proven),
        }
    }
}

impl Plan {
    /// [`Policy::header`].
    pub(crate) fn header(&self, field: Field) -> Option<&str> {
        match &self.sources[field as usize] {
            Source::Off => None,
            Source::Single { header, .. } => Some(header),
            Source::Family(_) => {
                self.hops.iter().find(|hop| hop.asserts(field)).map(|hop| hop.family.header(field))
            }
        }
    }
}

impl Plan {
    /// How and where the hop at `place` names who was connected to it.
    pub(crate) fn chain_at(&self, place: usize) -> (Notation, &str) {
        match (&self.sources[Field::For as usize], self.hops.get(place)) {
            (Source::Single { header, .. }, _) => (Notation::Single, header.as_str()),
            (Source::Family(_), Some(hop)) if hop.asserts(Field::For) => {
                (hop.family.notation(), hop.family.chain_header())
            }
            _ => (Notation::XForwarded, ""),
        }
    }

    /// `None` where the operator named something.
    fn brief(&self, field: Field) -> Option<Brief> {
        let family = self.hops.first().map(|hop| &hop.family);
        match (&self.sources[field as usize], family) {
            _ if self.listed => None,
            (Source::Family(rule), Some(Family::XForwarded)) => Some(Brief::X_FORWARDED.with(*rule)),
            (Source::Family(rule), Some(Family::Forwarded)) => Some(Brief::FORWARDED.with(*rule)),
            (Source::Off, _) if field == Field::For => Some(Brief::NOWHERE),
            (Source::Off, _) => Some(Brief::X_FORWARDED),
            _ => None,
        }
    }

    /// The header in which the last of so many trusted hops names who is connected to it, in lower case.
    pub(crate) fn chain_header(&self, trusted_hops: usize) -> Option<&str> {
        let header = match &self.sources[Field::For as usize] {
            Source::Off => return None,
            Source::Single { header, .. } => header,
            Source::Family(_) => self.hop(trusted_hops)?.family.chain_header(),
        };
        (!header.starts_with(':')).then_some(header)
    }

    /// The last of so many trusted hops; of a flat set the one that stands for all.
    pub(crate) fn hop(&self, trusted_hops: usize) -> Option<&Hop> {
        if self.listed { self.hops.get(trusted_hops.checked_sub(1)?) } else { self.hops.first() }
    }
}

impl From<TrustedProxies> for Policy {
    fn from(trusted: TrustedProxies) -> Self {
        let [for_, proto] = [Source::Family(Rule::Aligned), Source::Family(Rule::Aligned)];
        Self::of(Plan {
            hops: vec![Hop::new("", trusted)],
            listed: false,
            sources: [for_, proto, Source::Off, Source::Off, Source::Off],
            gate: Gate::Address,
            underscores: Underscores::Refused,
            briefs: [Brief::X_FORWARDED; 5],
            named: [false; 5],
            asked: None,
            declared: None,
            silent: [Outcome::NotRead; 5],
            notation: Notation::XForwarded,
            chain: String::new(),
            unread: 0,
            straight: None,
        })
    }
}

impl From<Topology> for Policy {
    fn from(topology: Topology) -> Self {
        let sources = Field::ALL.map(|field| {
            if topology.hops.iter().any(|hop| hop.asserts(field)) {
                Source::Family(Rule::Aligned)
            } else {
                Source::Off
            }
        });
        let demanded = topology.hops.iter().any(|hop| hop.demands.is_some());
        Self::of(Plan {
            hops: topology.hops,
            listed: true,
            sources,
            gate: if demanded { Gate::AddressAndProof } else { Gate::Address },
            underscores: Underscores::Refused,
            briefs: [Brief::X_FORWARDED; 5],
            named: [false; 5],
            asked: None,
            declared: None,
            silent: [Outcome::NotRead; 5],
            notation: Notation::XForwarded,
            chain: String::new(),
            unread: 0,
            straight: None,
        })
    }
}

impl PolicyBuilder {
    /// Reads another family than `X-Forwarded-*`.
    pub fn family(self, family: Family) -> Self {
        Self { family: Some(family), ..self }
    }

    /// Reads exactly these fields.
    pub fn fields(self, fields: impl IntoIterator<Item = Field>) -> Self {
        let mut read = [false; 5];
        fields.into_iter().for_each(|field| read[field as usize] = true);
        Self { read: Some(read), ..self }
    }

    /// Reads this field, too.
    pub fn field(mut self, field: Field) -> Self {
        self.read.get_or_insert(READ)[field as usize] = true;
        self
    }

    /// Takes the n-th value of this field from the right, as the counts of werkzeug's `ProxyFix` do;
    /// 0 does not read the field.
    ///
    /// For [`Field::For`] this is the same as [`TrustedProxies::hops`].
    pub fn count(mut self, field: Field, count: u8) -> Self {
        self.counts[field as usize] = Some(count);
        self
    }

    /// Reads this field from one header of the operator's own, which must have exactly one value.
    pub fn single(mut self, field: Field, header: &str) -> Self {
        self.singles[field as usize] = Some((header.to_ascii_lowercase(), None));
        self
    }

    /// The scheme is `https` where this header's one value is exactly `token`, such as `on` in
    /// `Front-End-Https: on`.
    pub fn https_when(mut self, header: &str, token: &str) -> Self {
        self.singles[Field::Proto as usize] = Some((header.to_ascii_lowercase(), Some(token.into())));
        self
    }

    /// Takes hosts whose labels have underscores, as the names of containers do (`my_app`).
    pub fn underscore_hosts(self) -> Self {
        Self { underscores: Underscores::Allowed, ..self }
    }

    /// Asks for a proof of the proxy beside its address, or instead of it.
    pub fn gate(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    /// Believes nothing unless a proof is asked for that reads this header: see [`Hop::demands`].
    pub fn demands(self, header: &str) -> Self {
        Self { demands: Some(header.to_ascii_lowercase()), gate: Gate::AddressAndProof, ..self }
    }

    /// The policy, or why it cannot mean what it says.
    pub fn build(self) -> Result<Policy, Error> {
        let policy = match self.front.clone() {
            Front::Alike(trusted) => self.alike(trusted)?,
            Front::Hops(topology) => self.listed(topology)?,
        };
        policy.check_single_headers()?;
        Ok(policy)
    }

    fn listed(self, topology: Topology) -> Result<Policy, Error> {
        let stated = [
            (self.family.is_some(), "a family"),
            (self.read.is_some(), "fields"),
            (self.counts.iter().any(Option::is_some), "counts"),
            (self.singles.iter().any(Option::is_some), "headers of their own"),
        ];
        if let Some((_, what)) = stated.into_iter().find(|(stated, _)| *stated) {
            return Err(Error::policy(format!(
                "{what} beside a topology, whose hops say what they write; state it with each hop"
            )));
        }
        let mut policy = Policy::from(topology);
        let plan = Arc::make_mut(&mut policy.plan);
        if let (Some(header), Some(nearest)) = (self.demands, plan.hops.first_mut()) {
            nearest.demands = Some(header);
        }
        plan.underscores = self.underscores;
        if self.gate != Gate::Address {
            plan.gate = self.gate;
        }
        Ok(policy)
    }

    fn alike(self, mut trusted: TrustedProxies) -> Result<Policy, Error> {
        for field in Field::ALL {
            if let Some(too_many) = self.counts[field as usize].filter(|count| *count > MOST_HOPS) {
                return Err(Error::policy(format!(
                    "a count of {too_many} for \"{}\": expected 0 to {MOST_HOPS}",
                    field.as_str()
                )));
            }
        }
        let hops = trusted.declared_hops();
        match self.counts[Field::For as usize] {
            None | Some(0) => {}
            Some(count) if hops.is_none_or(|hops| hops == count) => trusted = trusted.hops(count)?,
            Some(count) => {
                return Err(Error::policy(format!(
                    "a count of {count} for \"for\" contradicts {} declared hops: both say how many \
                     proxies add to the header; state one of them",
                    hops.unwrap_or_default()
                )));
            }
        }
        let family = self.family.unwrap_or_default();
        let read = self.read.unwrap_or(READ);
        let mut sources = [const { Source::Off }; 5];
        for field in Field::ALL {
            let count = self.counts[field as usize];
            if let (Some(count), Some((header, _))) = (count, &self.singles[field as usize]) {
                return Err(Error::policy(format!(
                    "a count of {count} for \"{}\", which is read from {header:?}, a header that has one \
                     value; state one of them",
                    field.as_str()
                )));
            }
            sources[field as usize] = match &self.singles[field as usize] {
                Some((header, https)) => Source::Single { header: header.clone(), https: https.clone() },
                None if count == Some(0) || (count.is_none() && !read[field as usize]) => Source::Off,
                // A policy can be switched between families that carry more and fewer fields.
                None if !family.carries(field) => Source::Off,
                None => Source::Family(count.map_or(Rule::Aligned, Rule::Count)),
            };
        }
        let single_chain = match sources[Field::For as usize] {
            Source::Single { .. } => true,
            Source::Family(_) => !family.is_list(),
            Source::Off => false,
        };
        if let Some(hops) = trusted.declared_hops().filter(|hops| single_chain && *hops > 1) {
            return Err(Error::policy(format!(
                "{hops} hops, but the client is read from a header that has one value; declare 1 or none"
            )));
        }
        let asserts = Field::ALL.map(|field| sources[field as usize] != Source::Off);
        let hop = Hop { asserts, demands: self.demands, ..Hop::new("", trusted).family(family) };
        Ok(Policy::of(Plan {
            hops: vec![hop],
            listed: false,
            sources,
            gate: self.gate,
            underscores: self.underscores,
            briefs: [Brief::X_FORWARDED; 5],
            named: [false; 5],
            asked: None,
            declared: None,
            silent: [Outcome::NotRead; 5],
            notation: Notation::XForwarded,
            chain: String::new(),
            unread: 0,
            straight: None,
        }))
    }
}

/// Headers that route, frame or belong to one connection: no source of a claim (threat T119).
const UNFIT: [&str; 13] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "proxy-authenticate",
    "content-length",
    "content-type",
    "cookie",
];

/// The names under which values reach a policy that were computed, not read: no header can have them.
const COMPUTED: [&str; 5] = [":for", ":proto", ":host", ":port", ":prefix"];

impl Policy {
    pub(crate) fn check_single_headers(&self) -> Result<(), Error> {
        let mut seen: Vec<&str> = Vec::new();
        for hop in self.plan.hops.iter().filter(|hop| hop.family == Family::XForwarded) {
            let read = |field: &Field| matches!(self.plan.sources[*field as usize], Source::Family(_));
            let fields = Field::ALL.into_iter().filter(|field| hop.asserts(*field)).filter(read);
            for field in fields {
                seen.push(field.x_forwarded_name());
            }
        }
        for header in self.single_headers() {
            let refused = |reason| {
                Err(Error::value("a header that a field can be read from", header.as_bytes(), reason))
            };
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^`|~".contains(&byte);
            if COMPUTED.contains(&header) {
                continue;
            }
            if header.is_empty() {
                return refused("it is empty");
            }
            if header.contains('_') {
                return refused(
                    "gateways cannot tell \"_\" from \"-\", so that a client could write it; use \"-\"",
                );
            }
            if !header.bytes().all(token) {
                return refused("a header name is a token (RFC 9110 section 5.6.2)");
            }
            if matches!(header, "forwarded" | "x-forwarded") {
                return refused(
                    "it holds more than one value; to read RFC 7239, choose the family \"forwarded\"",
                );
            }
            if UNFIT.contains(&header) {
                return refused("it routes or frames the request, or belongs to one connection");
            }
            if seen.contains(&header) {
                return refused("it is the source of two fields, or of two hops");
            }
            seen.push(header);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn t119_unsafe_sources_do_not_build() {
        let built = |header| Policy::builder(TrustedProxies::none()).single(Field::For, header).build();
        for header in [
            "Connection",
            "Host",
            "X_Real_IP",
            "Transfer-Encoding",
            "Keep-Alive",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Upgrade",
            "Proxy-Authorization",
            "Proxy-Authenticate",
            "Content-Length",
            "Content-Type",
            "Cookie",
            "Forwarded",
            "X-Forwarded",
            "",
            "a b",
            "x\r\n",
            ":other",
        ] {
            assert!(built(header).is_err(), "{header:?}");
        }
        for header in ["X-Real-IP", "!#$%&'*+-.^`|~09az", ":for", ":proto", ":host", ":port", ":prefix"] {
            assert!(built(header).is_ok(), "{header:?}");
        }
        let twice =
            Policy::builder(TrustedProxies::none()).single(Field::For, "x-a").single(Field::Host, "X-A");
        assert!(twice.build().unwrap_err().to_string().contains("two fields"));
        let of_the_chain = || Policy::builder(TrustedProxies::none()).single(Field::Host, "X-Forwarded-For");
        assert!(of_the_chain().build().unwrap_err().to_string().contains("two fields"));
        assert!(of_the_chain().family(Family::Forwarded).build().is_ok());
    }

    #[test]
    fn contradictions_do_not_build() {
        let hops = |hops| "10.0.0.0/8".parse::<TrustedProxies>().unwrap().hops(hops).unwrap();
        assert!(Policy::builder(hops(2)).count(Field::For, 1).build().is_err());
        assert!(Policy::builder(hops(2)).count(Field::For, 2).build().is_ok());
        assert!(Policy::builder(hops(1)).count(Field::Host, 33).build().is_err());
        assert!(Policy::builder(hops(2)).family(Family::Single("x-real-ip".into())).build().is_err());
    }

    #[test]
    fn a_topology_says_itself_what_is_read() {
        let topology = || Topology::new([Hop::new("a", "loopback".parse().unwrap())]).unwrap();
        let refused = |builder: PolicyBuilder| builder.build().unwrap_err().to_string();
        assert!(refused(Policy::builder(topology()).count(Field::For, 1)).contains("counts beside"));
        assert!(refused(Policy::builder(topology()).field(Field::Host)).contains("fields beside"));
        assert!(refused(Policy::builder(topology()).family(Family::Forwarded)).contains("family beside"));
        assert!(refused(Policy::builder(topology()).single(Field::Host, "x-a")).contains("headers of"));
        assert_eq!(Policy::builder(topology()).build().unwrap(), Policy::new(topology()));
    }

    #[test]
    fn another_set_takes_the_place_of_a_flat_one_and_keeps_the_hops() {
        let set = |text: &str| text.parse::<TrustedProxies>().unwrap();
        let policy =
            Policy::builder(set("10.0.0.0/8")).count(Field::For, 2).field(Field::Host).build().unwrap();
        let replaced = policy.with_trusted(&set("loopback")).unwrap();
        assert_eq!(replaced.trusted(), &set("loopback").hops(2).unwrap());
        assert!(replaced.reads(Field::Host));
        assert!(policy.with_trusted(&TrustedProxies::dangerously_trust_every_peer()).is_err());
        let topology = Topology::new([Hop::new("a", set("loopback"))]).unwrap();
        assert!(Policy::new(topology).with_trusted(&set("loopback")).is_err());
    }

    #[test]
    fn a_policy_says_what_it_was_built_of() {
        let built = |builder: PolicyBuilder| {
            let policy = builder.gate(Gate::AddressOrProof).underscore_hosts().build().unwrap();
            (policy.gate(), policy.read_host(b"my_app").is_ok())
        };
        let topology = Topology::new([Hop::new("a", "loopback".parse().unwrap())]).unwrap();
        for builder in [Policy::builder(topology), Policy::builder(TrustedProxies::none())] {
            assert_eq!(built(builder), (Gate::AddressOrProof, true));
        }
        assert!(Policy::new(TrustedProxies::none()).read_host(b"my_app").is_err());
        let policy = Policy::new(TrustedProxies::none());
        assert_eq!((policy.generation(), policy.with_generation(7).generation()), (0, 7));
    }

    #[test]
    fn t06_a_proof_does_not_admit_a_peer_that_nobody_knows() {
        let policy = Policy::builder(TrustedProxies::none()).gate(Gate::AddressOrProof).build().unwrap();
        let opens = |peer: Peer| policy.opens_to(&peer, policy.trusted().allows(&peer), true);
        assert!(opens(Peer::local()) && !opens(Peer::unknown()));
    }

    #[test]
    fn each_field_has_its_header() {
        let headers = |builder: PolicyBuilder| {
            let policy = builder.single(Field::Prefix, "X-Script-Name").build().unwrap();
            Field::ALL.map(|field| policy.header(field).unwrap_or("-").to_string())
        };
        let builder = || Policy::builder(TrustedProxies::none()).fields(Field::ALL).count(Field::Host, 0);
        assert_eq!(
            headers(builder()),
            ["x-forwarded-for", "x-forwarded-proto", "-", "x-forwarded-port", "x-script-name"]
        );
        let viewer = Family::SingleWithPort("CloudFront-Viewer-Address".into());
        assert_eq!(
            headers(builder().family(viewer).https_when("Front-End-Https", "on")),
            ["cloudfront-viewer-address", "front-end-https", "-", "-", "x-script-name"]
        );
        // `Forwarded` has no place for a port.
        assert_eq!(
            headers(builder().family(Family::Forwarded)),
            ["forwarded", "forwarded", "-", "-", "x-script-name"]
        );
    }

    #[test]
    fn the_largest_counts_and_the_smallest_limits_build() {
        let one = "10.0.0.0/8".parse::<TrustedProxies>().unwrap().hops(1).unwrap();
        assert!(Policy::builder(one.clone()).count(Field::Host, 32).build().is_ok());
        assert!(Policy::builder(one).single(Field::For, "x-real-ip").build().is_ok());
    }
}
