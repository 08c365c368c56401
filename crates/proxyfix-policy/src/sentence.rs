//! An origin as one sentence, on which an operator can act.
//!
//! It names the input (an address, a header, an entry of it), who wrote it, and the cure. Of what clients
//! write it repeats nothing but addresses that were read as such.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use crate::claim::FORWARDED;
use crate::policy::{Plan, Rule, Source};
use crate::trust::MOST_HOPS;
use crate::{Ending, Field, Gate, Hop, Origin, Outcome, Peer, Refusal, Scheme, Verdict, Written};

/// What only the sentence needs to know of the request and the policy. It decides nothing.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    /// Where each field is read.
    briefs: [Brief; 5],
    /// A header that says who the client is, and that was not read.
    pub(crate) sent: Option<Sent>,
    /// What is special about an entry of the chain that was refused.
    pub(crate) flaw: Option<Flaw>,
    pub(crate) gate: Gate,
    /// One bit for each of the marks below.
    marks: u8,
    /// How many values a field but the first has whose values are too few or too many.
    values: [u8; 4],
    /// The policy that says what the operator named.
    plan: Option<Arc<Plan>>,
    rare: Option<Box<Rare>>,
}

/// What few requests need, and only the sentence.
#[derive(Clone, Default)]
struct Rare {
    /// Why the host of the request was withheld.
    withheld: Option<&'static str>,
    /// Where several policies decided: the one that decided on a field, if that is not the noted one.
    plans: [Option<Arc<Plan>>; 5],
}

/// Where a policy reads a field, in one byte: requests that share a policy would have to take turns to count
/// who shares it, so that only what an operator named is looked up there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Brief(u8);

impl Brief {
    /// In the field's own header of the `X-Forwarded-*` family, or nothing is to say of it.
    pub(crate) const X_FORWARDED: Self = Self(0);
    pub(crate) const FORWARDED: Self = Self(1 << 6);
    pub(crate) const NOWHERE: Self = Self(2 << 6);
    /// In a header, or of a hop, that has a name of the operator's.
    pub(crate) const NAMED: Self = Self(3 << 6);
    const COUNT: u8 = (1 << 6) - 1;

    /// The same, where so many values are counted.
    pub(crate) fn with(self, rule: Rule) -> Self {
        match rule {
            Rule::Aligned => self,
            // Counts go to 32.
            Rule::Count(count) => Self(self.0 | (count & Self::COUNT)),
        }
    }

    fn count(self) -> Option<u8> {
        Some(self.0 & Self::COUNT).filter(|count| *count > 0)
    }

    fn header(self, field: Field) -> Option<&'static str> {
        match Self(self.0 & !Self::COUNT) {
            Self::X_FORWARDED => Some(field.x_forwarded_name()),
            Self::FORWARDED => Some(FORWARDED),
            _ => None,
        }
    }
}

/// What is noted of the source of a field.
#[derive(Clone, Copy)]
struct Told<'a> {
    brief: Brief,
    /// Where the operator named something.
    plan: Option<&'a Plan>,
}

impl<'a> Told<'a> {
    const NOTHING: Self = Self { brief: Brief::X_FORWARDED, plan: None };

    fn header(self, field: Field) -> Option<&'a str> {
        self.plan.map_or(self.brief.header(field), |plan| plan.header(field))
    }

    /// How many values of `field` are counted.
    fn count(self, field: Field) -> Option<u8> {
        match self.plan.map(|plan| &plan.sources[field as usize]) {
            Some(Source::Family(Rule::Count(count))) => Some(*count),
            Some(_) => None,
            None => self.brief.count(),
        }
    }

    /// What means https, if one value alone does.
    fn https(self, field: Field) -> Option<&'a str> {
        match self.plan.map(|plan| &plan.sources[field as usize]) {
            Some(Source::Single { https, .. }) => https.as_deref(),
            _ => None,
        }
    }

    /// The policy, if its hops have names.
    fn listed(self) -> Option<&'a Plan> {
        self.plan.filter(|plan| plan.listed)
    }
}

/// A header that was sent and not read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The one that the policy reads from trusted peers.
    Read(Field),
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    XForwardedPrefix,
    Forwarded,
    XRealIp,
    CfConnectingIp,
    TrueClientIp,
}

impl Sent {
    /// Headers that name a client, in any of which a proxy may name it.
    pub(crate) const CHAINS: [Self; 5] =
        [Self::XForwardedFor, Self::Forwarded, Self::XRealIp, Self::CfConnectingIp, Self::TrueClientIp];

    /// The one in which a policy of this brief reads `field`.
    pub(crate) fn read(field: Field, brief: Brief) -> Self {
        match (brief.header(field), field) {
            (None, field) => Self::Read(field),
            (Some(FORWARDED), _) => Self::Forwarded,
            (Some(_), Field::For) => Self::XForwardedFor,
            (Some(_), Field::Proto) => Self::XForwardedProto,
            (Some(_), Field::Host) => Self::XForwardedHost,
            (Some(_), Field::Port) => Self::XForwardedPort,
            (Some(_), Field::Prefix) => Self::XForwardedPrefix,
        }
    }

    /// `None` where the policy knows it.
    pub(crate) const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Read(_) => return None,
            Self::XForwardedFor => Field::For.x_forwarded_name(),
            Self::XForwardedProto => Field::Proto.x_forwarded_name(),
            Self::XForwardedHost => Field::Host.x_forwarded_name(),
            Self::XForwardedPort => Field::Port.x_forwarded_name(),
            Self::XForwardedPrefix => Field::Prefix.x_forwarded_name(),
            Self::Forwarded => FORWARDED,
            Self::XRealIp => "x-real-ip",
            Self::CfConnectingIp => "cf-connecting-ip",
            Self::TrueClientIp => "true-client-ip",
        })
    }
}

/// What is special about an entry that was refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// `unknown`.
    Unknown,
    /// `unix:`.
    LocalSocket,
    /// Several values where there should be one.
    Several,
    /// An address with a port behind it that is not read so.
    PortBehind,
}

impl Notes {
    /// Anything stands left of the client's entry: the client sent it.
    pub(crate) const MORE: u8 = 1 << 5;
    /// Every peer is trusted.
    pub(crate) const EVERYONE: u8 = 1 << 6;
    /// The host is well-formed but for its underscores.
    pub(crate) const UNDERSCORED: u8 = 1 << 7;

    /// The header of `field` is there, and the policy does not read it.
    pub(crate) const fn unread(field: Field) -> u8 {
        1 << field as u8
    }

    pub(crate) fn of(plan: &Plan) -> Self {
        Self { briefs: plan.briefs, gate: plan.gate, ..Self::default() }
    }

    pub(crate) fn mark(&mut self, mark: u8) {
        self.marks |= mark;
    }

    fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    fn take_marks(&mut self, marks: u8, other: &Self) {
        self.marks = (self.marks & !marks) | (other.marks & marks);
    }

    /// That this policy is to be asked what the operator named.
    pub(crate) fn name(&mut self, field: Field, plan: &Arc<Plan>) {
        self.briefs[field as usize] = Brief::NAMED;
        self.plan.get_or_insert_with(|| Arc::clone(plan));
    }

    pub(crate) fn count_values(&mut self, field: Field, values: usize) {
        if let Some(noted) = (field as usize).checked_sub(1).and_then(|at| self.values.get_mut(at)) {
            *noted = u8::try_from(values).unwrap_or(u8::MAX);
        }
    }

    fn values(&self, field: Field) -> usize {
        (field as usize).checked_sub(1).map_or(0, |at| self.values[at].into())
    }

    pub(crate) fn withhold(&mut self, why: &'static str) {
        self.rare.get_or_insert_default().withheld = Some(why);
    }

    fn withheld(&self) -> Option<&'static str> {
        self.rare.as_ref().and_then(|rare| rare.withheld)
    }

    fn plan(&self, field: Field) -> Option<&Arc<Plan>> {
        let own = self.rare.as_ref().and_then(|rare| rare.plans[field as usize].as_ref());
        own.or(self.plan.as_ref()).filter(|_| self.briefs[field as usize] == Brief::NAMED)
    }

    fn told(&self, field: Field) -> Told<'_> {
        Told { brief: self.briefs[field as usize], plan: self.plan(field).map(|plan| &**plan) }
    }

    /// Takes over what `other` notes of `field`.
    pub(crate) fn adopt(&mut self, other: &Self, field: Field) {
        let at = field as usize;
        self.briefs[at] = other.briefs[at];
        if let Some(rare) = &mut self.rare {
            rare.plans[at] = None;
        }
        if let Some(theirs) = other.plan(field) {
            let ours = self.plan.get_or_insert_with(|| Arc::clone(theirs));
            if !Arc::ptr_eq(ours, theirs) {
                self.rare.get_or_insert_default().plans[at] = Some(Arc::clone(theirs));
            }
        }
        self.count_values(field, other.values(field));
        match field {
            Field::For => {
                (self.sent, self.flaw, self.gate) = (other.sent, other.flaw, other.gate);
                self.take_marks(Self::MORE | Self::EVERYONE, other);
            }
            Field::Host => self.take_marks(Self::UNDERSCORED, other),
            Field::Proto | Field::Port | Field::Prefix => {}
        }
    }

    /// Takes over what `other` notes of the request.
    pub(crate) fn adopt_rest(&mut self, other: &Self) {
        for field in Field::ALL {
            self.mark(other.marks & Self::unread(field));
        }
        if let (None, Some(why)) = (self.withheld(), other.withheld()) {
            self.withhold(why);
        }
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").finish_non_exhaustive()
    }
}

/// One sentence that says who the client is and why, what was not taken, and what to change if that is
/// not what was meant.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.notes.told(Field::For);
        Sentence { origin: self, told, plan: told.plan }.write(f)?;
        // A stranger does not say what to read.
        let asked = self.is_complete() && self.ending().is_from_trusted_peer();
        let unread = |field: Field| asked && self.notes.is(Notes::unread(field));
        for field in Field::ALL {
            let told = match self.outcome(field) {
                Outcome::NotRead => Told::NOTHING,
                _ => self.notes.told(field),
            };
            let name = Header::of(field, told);
            match self.outcome(field) {
                Outcome::Refused(refusal) if field != Field::For || refusal == Refusal::NotAsserted => {
                    write!(f, "; {name} is not taken: ")?;
                    self.explain_refusal(f, field, refusal, told)?;
                }
                Outcome::Absent
                    if field == Field::Proto
                        && self.outcome(Field::For) == Outcome::Believed
                        && self.scheme() == Scheme::Http =>
                {
                    write!(f, "; the scheme stays http, because {name} is absent: let the proxy set it")?;
                }
                Outcome::NotRead if unread(field) => write!(
                    f,
                    "; {name} is there and not read: read {:?} if your proxy sets it",
                    field.as_str()
                )?,
                _ => {}
            }
        }
        if self.has_host_conflict() && !self.is_host_withheld() {
            f.write_str(
                "; the target of the request names another host than its Host header, and counts; let the \
                 proxy send both alike",
            )?;
        }
        if self.is_host_withheld() {
            let why = self.notes.withheld().unwrap_or("it states none that is well-formed");
            write!(f, "; the host of the request is removed: {why}")?;
        }
        Ok(())
    }
}

impl Origin {
    fn explain_refusal(
        &self,
        f: &mut fmt::Formatter<'_>,
        field: Field,
        refusal: Refusal,
        told: Told<'_>,
    ) -> fmt::Result {
        let (values, hops) = (self.notes.values(field), self.trusted_hops());
        match (refusal, told.https(field), told.count(field)) {
            (Refusal::Malformed, Some(token), _) => {
                write!(f, "it is not {token:?}, which means https; let the proxy send that")
            }
            (Refusal::Malformed, ..) if field == Field::Host && self.notes.is(Notes::UNDERSCORED) => {
                f.write_str("it has an underscore, which hosts have only with underscore_hosts()")
            }
            (Refusal::Malformed, ..) => f.write_str(match field {
                Field::For => "it is no address",
                Field::Proto => "it is neither http nor https; let the proxy set one of them",
                Field::Host => "it is no host, with or without a port; let the proxy set the host",
                Field::Port => "it is no port from 1 to 65535; let the proxy set one number",
                Field::Prefix => {
                    "it is no path that begins with one \"/\" and has plain segments; let the proxy set it"
                }
            }),
            (Refusal::Asymmetric, ..) if values > 0 => {
                let most = if values > usize::from(MOST_HOPS) { "at least " } else { "" };
                write!(
                    f,
                    "it has {most}{} beside {}; let the proxy nearest to the service set one value",
                    Counted(values, VALUES),
                    Counted(hops, TRUSTED)
                )
            }
            (Refusal::TooFew, _, Some(count)) if values > 0 => write!(
                f,
                "it has {}, and {count} are counted; count {values}, or let each proxy add one",
                Counted(values, VALUES)
            ),
            (Refusal::BeyondTrust, _, Some(count)) => write!(
                f,
                "the count of {count} goes beyond {}; count {hops}, or trust the proxies that it steps over",
                Counted(hops, TRUSTED)
            ),
            (Refusal::Multiple, ..) => {
                write!(f, "{refusal}; let the proxy replace what the client sent, and not add to it")
            }
            (Refusal::NotAsserted, ..) => self.explain_not_asserted(f, field, told.plan),
            _ => write!(f, "{refusal}"),
        }
    }

    fn explain_not_asserted(
        &self,
        f: &mut fmt::Formatter<'_>,
        field: Field,
        plan: Option<&Plan>,
    ) -> fmt::Result {
        let hop = plan.and_then(|plan| plan.hop(self.trusted_hops()));
        let may = plan.and_then(|plan| plan.hops.iter().find(|hop| hop.asserts(field)));
        match (hop, may) {
            (Some(hop), Some(may)) => {
                let (field, hop, may) = (field.as_str(), hop.name(), may.name());
                write!(
                    f,
                    "hop {may:?} may assert it, and was not passed; let {hop:?} assert {field:?} if it sets it"
                )
            }
            _ => write!(f, "{}", Refusal::NotAsserted),
        }
    }
}

/// The part that says who the client is.
struct Sentence<'a> {
    origin: &'a Origin,
    told: Told<'a>,
    plan: Option<&'a Plan>,
}

impl Sentence<'_> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { peer, client, .. } = *self.origin;
        let (peer, client, hop) = (Bare(peer), Bare(client), self.hop());
        let chain = self.chain();
        match self.origin.ending() {
            Ending::PeerUntrusted => self.untrusted(f),
            Ending::PeerUnknown => f.write_str(
                "nobody knows who is connected, so no header is believed; give each request its Peer, with \
                 axum by into_make_service_with_connect_info::<SocketAddr>()",
            ),
            Ending::HeaderAbsent if self.origin.outcome(Field::For) == Outcome::NotRead => write!(
                f,
                "{peer} is trusted, and the policy does not read who its client is; read \"for\", too, if that \
                 matters"
            ),
            Ending::HeaderAbsent => match self.origin.notes.sent {
                Some(other) => {
                    let other = Title(other.name().unwrap_or_default());
                    write!(
                        f,
                        "{hop} is trusted and sent {other}, and not {chain}, which the policy reads; let it \
                         set {chain}, or read {other} if the proxy itself writes that"
                    )
                }
                _ => write!(
                    f,
                    "{hop} is trusted and names nobody in {chain}, so it speaks for itself, as health checks \
                     do; let it set {chain} if it forwards for others"
                ),
            },
            Ending::ClientFound => {
                write!(f, "{client} is the client: {hop} is trusted and vouches for it")?;
                self.beyond_client(f)
            }
            Ending::AllTrusted => write!(
                f,
                "{client} is the client: every hop up to it is trusted, it too; take it out of the trusted \
                 set if it is no proxy, or let it add to {chain} if it is one"
            ),
            Ending::HopLimit => self.hop_limit(f),
            Ending::Malformed
            | Ending::Opaque
            | Ending::Empty
            | Ending::TooFew
            | Ending::Unroutable
            | Ending::TooLong => {
                f.write_str("the client is unknown: ")?;
                self.unknown(f)
            }
        }
    }

    fn untrusted(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin;
        let peer = Bare(origin.peer());
        if origin.unproven {
            return write!(
                f,
                "{peer} would be trusted, but did not give the proof that the policy asks for, so no header \
                 is believed; check the secret that it adds against the one expected here"
            );
        }
        if origin.peer().is_local() {
            return f.write_str(
                "the peer is a local socket, which is not trusted: no header is believed; add \"unix\" to \
                 the trusted set if it is your proxy",
            );
        }
        let first = self.told.listed().and_then(|plan| plan.hops.first());
        let other = self
            .plan
            .filter(|_| first.is_some())
            .and_then(|plan| plan.hops.iter().find(|hop| hop.who().allows(&origin.peer())));
        if let Some((first, other)) = first.zip(other) {
            return write!(
                f,
                "{peer} is hop {:?} and connected in the place of hop {:?}, so it is not believed; let it go \
                 through that one",
                other.name(),
                first.name()
            );
        }
        let sent = match origin.notes.sent {
            None => return write!(f, "{peer} is not trusted, so it is the client"),
            Some(Sent::Read(field)) => Header { field: None, ..Header::of(field, self.told) },
            Some(other) => Header { name: other.name(), field: None },
        };
        match first {
            Some(first) => write!(
                f,
                "{peer} sent {sent} but is not hop {:?}, which has to be connected; add it to that hop if it \
                 is your proxy",
                first.name()
            ),
            None if origin.notes.gate == Gate::AddressOrProof => write!(
                f,
                "{peer} sent {sent} but is neither trusted nor gave the proof; add it to the trusted set, or \
                 check the secret that it adds, if it is your proxy"
            ),
            None => write!(
                f,
                "{peer} sent {sent} but is not trusted; add it to the trusted set if it is your proxy"
            ),
        }
    }

    /// What the found client may be instead: a proxy that nobody listed.
    fn beyond_client(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin;
        let hops = origin.trusted_hops();
        let (client, chain, more) = (Bare(origin.client), self.chain(), origin.notes.is(Notes::MORE));
        let next = self.told.listed().and_then(|plan| plan.hops.get(hops));
        match (next, origin.declared_hops().filter(|_| origin.is_short())) {
            (Some(next), _) => write!(
                f,
                "; it is not hop {:?}: add it there if it is your proxy, or find out how that was gone around",
                next.name()
            ),
            (None, Some(declared)) => {
                write!(
                    f,
                    "; {} declared, and the request passed {hops}: ",
                    Counted(declared, ["proxy is", "proxies are"])
                )?;
                if more {
                    write!(f, "add it to the trusted set if it is your proxy, or declare {hops}")
                } else {
                    write!(f, "declare {hops}, or find out how the rest is gone around")
                }
            }
            (None, None) if more => write!(
                f,
                "; {client} sent {chain}, too, and is not trusted: add it to the trusted set if it is your proxy"
            ),
            (None, None) => Ok(()),
        }
    }

    fn hop_limit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin;
        let client = Bare(origin.client);
        let hops = origin.declared_hops().unwrap_or(1);
        let everyone = self.plan.map_or(origin.notes.is(Notes::EVERYONE), |plan| {
            plan.hops.iter().any(|hop| hop.who().trusts_every_peer())
        });
        write!(f, "{client} is the client: ")?;
        if everyone {
            write!(f, "it is {}, and {} declared", self.entry(), Counted(hops, HOPS))?;
            return if origin.notes.is(Notes::MORE) {
                write!(f, "; declare more if proxies of yours wrote what stands left of it")
            } else {
                Ok(())
            };
        }
        match self.told.listed().and_then(|plan| plan.hops.last()) {
            Some(last) => write!(
                f,
                "it may be a hop, but stands beyond the last one, {:?}; add a hop for it if it is your proxy",
                last.name()
            ),
            None => write!(
                f,
                "it is trusted, but {} declared, and it stands beyond; declare {} if it is your proxy",
                Counted(hops, HOPS),
                hops + 1
            ),
        }
    }

    /// Why nobody knows the client.
    fn unknown(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin;
        let (hop, entry, chain) = (self.hop(), self.entry(), self.chain());
        let flaw = origin.notes.flaw;
        match (origin.ending(), flaw) {
            (_, Some(Flaw::Several)) => write!(
                f,
                "{chain} of {hop} has several values where one is expected; let it replace what the client \
                 sent, and not add to it"
            ),
            (Ending::Malformed, Some(Flaw::PortBehind)) => write!(
                f,
                "{hop} wrote a port behind the address in {chain}; read that as Family::SingleWithPort"
            ),
            (Ending::Opaque, Some(Flaw::Unknown)) => write!(
                f,
                "{hop} wrote \"unknown\" as {entry}; let it write who is connected to it (Squid: \
                 forwarded_for on)"
            ),
            (Ending::Opaque, Some(Flaw::LocalSocket)) => write!(
                f,
                "{hop} wrote \"unix:\" as {entry}: a local socket is connected to it; let it take the address \
                 from there (nginx: set_real_ip_from unix:)"
            ),
            (Ending::Opaque, _) => {
                write!(f, "{hop} wrote a placeholder as {entry}; let it write who is connected to it")
            }
            (Ending::Empty, _)
                if origin.place(Field::For).is_some_and(|it| it.written == Written::Forwarded) =>
            {
                write!(f, "{hop} wrote no for into {entry}; let it write who is connected to it")
            }
            (Ending::Empty, _) => {
                write!(f, "{hop} left {entry} empty; let it write who is connected to it")
            }
            (Ending::TooFew, _) => self.too_few(f),
            (Ending::Unroutable, _) => {
                match origin.steps().last().filter(|it| it.verdict == Verdict::Unroutable) {
                    Some(step) => write!(
                        f,
                        "{hop} is trusted and wrote {}, an address that no remote client can have; add it to the \
                     trusted set if it is your proxy",
                        Bare(step.hop)
                    ),
                    None => write!(f, "{hop} wrote an address that no remote client can have as {entry}"),
                }
            }
            (Ending::TooLong, _) if origin.trusted_hops() > usize::from(MOST_HOPS) => write!(
                f,
                "{chain} names more than {MOST_HOPS} trusted hops; look for proxies that forward in a circle, \
                 or narrow the trusted set"
            ),
            (Ending::TooLong, _) => write!(
                f,
                "{hop} wrote more than an address has as {entry}; let it write who is connected to it"
            ),
            _ => write!(
                f,
                "{hop} wrote no address as {entry}; let it write the address of who is connected to it"
            ),
        }
    }

    fn too_few(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.origin.place(Field::For).map_or(0, |place| place.position);
        let (chain, stated) = (self.chain(), Counted(entries, ["entry", "entries"]));
        match self.told.listed().and_then(|plan| plan.hop(self.origin.trusted_hops())) {
            Some(_) if entries == 0 => write!(
                f,
                "{chain} is missing, in which {} names who is connected to it; let it set the header, and \
                 the hops before it pass it on",
                self.hop()
            ),
            Some(hop) => write!(
                f,
                "{chain} has {stated}, and {} adds {}; check how many it adds, or how it was gone around",
                self.hop(),
                hop.entries
            ),
            None => write!(
                f,
                "{chain} has {stated}, and {} declared; find out which proxy was gone around, or \
                 declare {entries}",
                Counted(self.origin.declared_hops().unwrap_or(1), HOPS)
            ),
        }
    }

    /// The last trusted hop.
    fn hop(&self) -> Named<'_> {
        let listed = self.told.listed();
        let hop = listed.and_then(|plan| plan.hop(self.origin.trusted_hops()));
        Named { peer: Bare(self.origin.last_verified()), name: hop.map(Hop::name) }
    }

    /// The header in which it names who is connected to it.
    fn chain(&self) -> Header<'_> {
        let name = match self.plan {
            Some(plan) => plan.chain_header(self.origin.trusted_hops()),
            None => self.told.brief.header(Field::For),
        };
        Header { name, field: name.is_none().then_some(Field::For) }
    }

    /// The entry where the walk ended.
    fn entry(&self) -> Entry<'_> {
        let place = self.origin.place(Field::For);
        let list =
            place.is_some_and(|place| matches!(place.written, Written::XForwarded | Written::Forwarded));
        Entry { chain: self.chain(), position: place.filter(|_| list).map(|place| place.position) }
    }
}

/// A hop without its port, as sentences name it.
struct Bare(Peer);

impl fmt::Display for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.ip() {
            Some(ip) => ip.fmt(f),
            None if self.0.is_local() => f.write_str("the local socket"),
            None => f.write_str("nobody"),
        }
    }
}

/// A hop and, of a topology, its name.
struct Named<'a> {
    peer: Bare,
    name: Option<&'a str>,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.fmt(f)?;
        self.name.map_or(Ok(()), |name| write!(f, " (hop {name:?})"))
    }
}

/// A header, as most people write it: `X-Forwarded-For`, `CF-Connecting-IP`.
#[derive(Clone, Copy)]
struct Title<'a>(&'a str);

impl fmt::Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.split('-').enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            let capitals = if matches!(word, "cf" | "ip" | "id" | "ssl" | "url") { word.len() } else { 1 };
            for (at, letter) in word.chars().enumerate() {
                let letter = if at < capitals { letter.to_ascii_uppercase() } else { letter };
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// A header, or what stands in one, or what no header states.
#[derive(Clone, Copy)]
struct Header<'a> {
    name: Option<&'a str>,
    /// The parameter, in a header of several fields.
    field: Option<Field>,
}

impl<'a> Header<'a> {
    fn named(name: &'a str) -> Self {
        Self { name: Some(name), field: None }
    }

    /// Where `field` is read.
    fn of(field: Field, told: Told<'a>) -> Self {
        match told.header(field) {
            Some(FORWARDED) => Self { name: Some(FORWARDED), field: Some(field) },
            Some(name) if !name.starts_with(':') => Self::named(name),
            _ => Self { name: None, field: Some(field) },
        }
    }
}

impl fmt::Display for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = self.field {
            f.write_str(field.as_str())?;
        }
        if self.field.is_some() && self.name.is_some() {
            f.write_str(" of ")?;
        }
        self.name.map_or(Ok(()), |name| Title(name).fmt(f))
    }
}

/// One entry of a chain, or the header that has no more than one.
struct Entry<'a> {
    chain: Header<'a>,
    position: Option<usize>,
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = self.chain;
        match self.position {
            None => chain.fmt(f),
            Some(0 | 1) => write!(f, "the last entry of {chain}"),
            Some(position) => write!(f, "entry {position} from the right of {chain}"),
        }
    }
}

/// `1 entry`, `2 entries`.
struct Counted(usize, [&'static str; 2]);

const HOPS: [&str; 2] = ["hop is", "hops are"];
const TRUSTED: [&str; 2] = ["trusted hop", "trusted hops"];
const VALUES: [&str; 2] = ["value", "values"];

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, [one, several]) = *self;
        write!(f, "{number} {}", if number == 1 { one } else { several })
    }
}
