//! The decision: which claims count, and what follows from them.

use core::cell::OnceCell;

use crate::claim::{Chain, Element, FORWARDED, OneLine, Value, element_at, is_blank};
use crate::host::Underscores;
use crate::lexer::{Entries, Entry, Quoting, trim_end, trim_start};
use crate::node::{Node, with_port};
use crate::origin::{Places, Steps};
use crate::policy::{Rule, Source};
use crate::sentence::{Brief, Flaw, Notes, Sent};
use crate::topology::{Hop, Route};
use crate::trust::MOST_HOPS;
use crate::walk::{Found, Stage};
use crate::{
    Claims, Ending, Family, Field, Gate, Host, Origin, Outcome, Peer, Place, Policy, Port, Prefix, Refusal,
    Scheme, Step, Verdict, Written,
};

/// The request as it was received, before any claim is believed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Received {
    /// The scheme of the connection.
    pub scheme: Scheme,
    /// The host and port that the request names, where they are well-formed.
    pub host: Option<(Host, Option<Port>)>,
    /// The prefix that a gateway stated.
    pub prefix: Prefix,
    /// Whether the request gave the proof that the policy [asks for](Gate).
    pub proven: bool,
}

impl Received {
    /// By this scheme.
    #[must_use]
    pub fn with_scheme(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    /// For this host and port.
    #[must_use]
    pub fn with_host(self, host: Option<(Host, Option<Port>)>) -> Self {
        Self { host, ..self }
    }

    /// Below this prefix.
    #[must_use]
    pub fn with_prefix(self, prefix: Prefix) -> Self {
        Self { prefix, ..self }
    }

    /// With or without the proof that the policy asks for.
    #[must_use]
    pub fn with_proof(self, proven: bool) -> Self {
        Self { proven, ..self }
    }
}

/// Values of one header that are counted at the most; beside more than the walk has hops none aligns.
const MOST_VALUES: usize = MOST_HOPS as usize + 1;
/// Bytes of one value of a list, without the white space around it: a prefix is the longest.
pub(crate) const LONGEST_VALUE: usize = 1100;

impl Policy {
    /// Decides where a request came from.
    ///
    /// The [`Origin`] says not only what was decided but why: every [step](Origin::steps) of the walk, its
    /// [ending](Origin::ending), and for every field its [outcome](Origin::outcome) and where its value
    /// [stood](Origin::place). There is no second function that explains.
    pub fn decide<C: Claims + ?Sized>(&self, peer: Peer, received: Received, claims: &C) -> Origin {
        let trusted = self.trusted().allows(&peer);
        if !self.opens_to(&peer, trusted, received.proven) {
            self.turn_away(peer, received, trusted, claims)
        } else if claims.is_silent() {
            self.take_as_received(peer, received)
        } else {
            match self.plan.straight {
                Some(Family::XForwarded) => self.judge_x_forwarded(peer, received, claims),
                Some(Family::Forwarded) => self.judge_forwarded(peer, received, claims),
                _ => self.judge(peer, received, claims),
            }
        }
    }

    /// The gate is shut: no claim is read, and one is looked for that the sentence names.
    #[inline]
    fn turn_away<C: Claims + ?Sized>(
        &self,
        peer: Peer,
        received: Received,
        trusted: bool,
        claims: &C,
    ) -> Origin {
        let plan = &self.plan;
        let mut notes = Notes::of(plan);
        if plan.named[Field::For as usize] {
            notes.name(Field::For, plan);
        }
        let known = !peer.is_unknown();
        if let Some((header, sent)) = plan.asked.as_ref().filter(|_| known) {
            if states(claims, Some(header)) {
                notes.sent = Some(*sent);
                if matches!(sent, Sent::Read(_)) {
                    notes.name(Field::For, plan);
                }
            }
        }
        let (ending, verdict) = if known {
            (Ending::PeerUntrusted, Verdict::Client)
        } else {
            (Ending::PeerUnknown, Verdict::Unknown)
        };
        let unproven = trusted && plan.gate == Gate::AddressAndProof;
        // It may be the proxy, and forward for anybody: it is not the client.
        let client = if unproven { Peer::unknown() } else { peer };
        let step = Step { hop: peer, verdict };
        self.without_claims(received, client, ending, step, 0, [Outcome::NotRead; 5], notes, unproven)
    }

    /// The gate is open, and nothing is claimed: the peer speaks for itself.
    #[inline]
    fn take_as_received(&self, peer: Peer, received: Received) -> Origin {
        let plan = &self.plan;
        let mut notes = Notes::of(plan);
        if plan.named[Field::For as usize] {
            notes.name(Field::For, plan);
        }
        if plan.named[Field::Proto as usize] && self.reads(Field::Proto) {
            notes.name(Field::Proto, plan);
        }
        let step = Step { hop: peer, verdict: Verdict::Trusted };
        self.without_claims(received, peer, Ending::HeaderAbsent, step, 1, plan.silent, notes, false)
    }

    /// An origin of which the only step is the peer.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "a struct of them would be copied once more")]
    fn without_claims(
        &self,
        received: Received,
        client: Peer,
        ending: Ending,
        step: Step,
        trusted_hops: u8,
        outcomes: [Outcome; 5],
        notes: Notes,
        unproven: bool,
    ) -> Origin {
        let (host, port) = received.host.map_or((None, None), |(host, port)| (Some(host), port));
        Origin {
            peer: step.hop,
            client,
            ending,
            last_verified: step.hop,
            scheme: received.scheme,
            host,
            port,
            prefix: received.prefix,
            through_gateway: false,
            host_withheld: false,
            host_conflict: false,
            unproven,
            outcomes,
            places: Places::default(),
            steps: Steps::one(step),
            trusted_hops,
            declared_hops: self.plan.declared,
            generation: self.generation,
            notes,
        }
    }

    /// The gate is open: the claims count as far as the walk goes.
    #[inline(never)]
    pub(crate) fn judge<C: Claims + ?Sized>(&self, peer: Peer, received: Received, claims: &C) -> Origin {
        let mut steps = Steps::default();
        let (mut chain, _) = self.chain(0, claims);
        let stage = Stage::new(self.route(), peer, true);
        let turn = |place| Some(self.chain(place, claims));
        let (ending, found) = stage.finish(&mut chain, turn, |step| steps.push(step));
        let text = chain.element();
        let claim =
            Claim { policy: self, peer, claims, ending, found: &found, text, element: OnceCell::new() };
        let mut fates = Fates {
            outcomes: [
                claim.chain_outcome(),
                Outcome::NotRead,
                Outcome::NotRead,
                Outcome::NotRead,
                Outcome::NotRead,
            ],
            places: Places::default(),
            notes: Notes::of(&self.plan),
        };
        if found.position > 0 {
            let place = Place { written: claim.chain_written(), line: found.line, position: found.position };
            fates.places.set(Field::For, Some(place));
        }
        claim.note_chain(&mut fates.notes);

        let (scheme, fate) = claim.take(Field::Proto, Scheme::read);
        claim.settle(&mut fates, Field::Proto, fate);
        let (host, host_fate) = claim.take(Field::Host, |text| self.host(text));
        claim.settle(&mut fates, Field::Host, host_fate);
        let (host, mut port) = match host.or(received.host) {
            Some((host, port)) => (Some(host), port),
            None => (None, None),
        };
        let (stated, mut fate) = claim.take(Field::Port, Port::read);
        match stated {
            Some(_) if host.is_none() || takes_port_along(host_fate.0) => {
                fate.0 = Outcome::Refused(Refusal::WithoutHost);
            }
            Some(_) => port = stated,
            None => {}
        }
        claim.settle(&mut fates, Field::Port, fate);
        let (prefix, fate) = claim.take(Field::Prefix, Prefix::read);
        claim.settle(&mut fates, Field::Prefix, fate);
        Origin {
            peer,
            client: found.client,
            ending,
            last_verified: found.last_verified,
            scheme: scheme.unwrap_or(received.scheme),
            host,
            port,
            prefix: prefix.unwrap_or(received.prefix),
            through_gateway: false,
            host_withheld: false,
            host_conflict: false,
            unproven: false,
            outcomes: fates.outcomes,
            places: fates.places,
            steps,
            trusted_hops: u8::try_from(found.trusted_hops).unwrap_or(u8::MAX),
            declared_hops: self.plan.declared,
            generation: self.generation,
            notes: fates.notes,
        }
    }

    /// The chain in which the hop at `place` speaks, behind the entries that nearer hops wrote there, and
    /// the number of those.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a chain is large, and would be copied out of the call")]
    fn chain<'a, C: Claims + ?Sized>(
        &'a self,
        place: usize,
        claims: &'a C,
    ) -> (Chain<'a, impl DoubleEndedIterator<Item = &'a [u8]>>, usize) {
        let (notation, header) = if place == 0 {
            (self.plan.notation, self.plan.chain.as_str())
        } else {
            self.plan.chain_at(place)
        };
        let mut chain = Chain::new(notation, claims.lines(header));
        let read = if place == 0 { 0 } else { self.written_before(place) };
        for _ in 0..read {
            chain.next();
        }
        (chain, read)
    }

    /// How many entries the hops before `place` wrote where the one at `place` speaks.
    #[cold]
    fn written_before(&self, place: usize) -> usize {
        let hop = self.plan.hops.get(place);
        let nearer = self.plan.hops.get(..place).unwrap_or_default();
        let same = |other: &&Hop| hop.is_some_and(|hop| hop.family == other.family);
        nearer.iter().filter(same).map(|hop| usize::from(hop.entries)).sum()
    }
}

/// Whether the port belongs to a host that was stated and not taken, rather than to the received one
/// (threat T127). Too few values state none.
fn takes_port_along(host: Outcome) -> bool {
    matches!(host, Outcome::Refused(refusal) if !matches!(refusal, Refusal::TooFew | Refusal::Empty))
}

/// Whether a header is there and holds anything.
fn states<C: Claims + ?Sized>(claims: &C, header: Option<&str>) -> bool {
    header.is_some_and(|header| !is_blank(claims.lines(header)))
}

/// One request's claims beside the walk that says which of them count.
struct Claim<'a, C: ?Sized> {
    policy: &'a Policy,
    peer: Peer,
    claims: &'a C,
    ending: Ending,
    found: &'a Found,
    /// The element of `Forwarded` at which the walk ended.
    text: &'a [u8],
    /// The element that stands beside the walk's choice, read once for all fields.
    element: OnceCell<Result<Option<Spoken<'a>>, Refusal>>,
}

/// What an element says, and where it stood.
type Spoken<'a> = (Element<'a>, Place);

/// What became of a field, and where its value stood.
type Fate = (Outcome, Option<Place>);

/// What became of all fields, and what is to say of it.
struct Fates {
    outcomes: [Outcome; 5],
    places: Places,
    notes: Notes,
}

/// Who speaks of a field.
struct Speaker<'a> {
    family: &'a Family,
    /// How many hops say it, where the walk came to its end: the outermost one's value is so many from the
    /// right.
    voices: Option<usize>,
    /// Whether the hop that speaks may.
    may: bool,
}

/// The text of a value.
#[derive(Clone, Copy)]
enum Text<'a> {
    Plain(&'a [u8]),
    /// A parameter of `Forwarded`, which may be quoted.
    Parameter(Value<'a>),
}

impl Text<'_> {
    fn with<T>(self, read: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Plain(text) => read(text),
            Self::Parameter(value) => value.with(read),
        }
    }
}

/// A value, and where it stood.
type Placed<'a> = (Text<'a>, Place);

impl<'a, C: Claims + ?Sized> Claim<'a, C> {
    fn chain_outcome(&self) -> Outcome {
        match self.ending {
            _ if !self.policy.reads(Field::For) => Outcome::NotRead,
            Ending::PeerUntrusted | Ending::PeerUnknown => Outcome::NotRead,
            Ending::HeaderAbsent => match self.outermost() {
                Some(hop) if !hop.asserts(Field::For) => {
                    let silent = is_blank(self.claims.lines(hop.family.chain_header()));
                    if silent { Outcome::Absent } else { Outcome::Refused(Refusal::NotAsserted) }
                }
                _ => Outcome::Absent,
            },
            Ending::ClientFound | Ending::AllTrusted | Ending::HopLimit => Outcome::Believed,
            Ending::Malformed | Ending::Opaque | Ending::Unroutable | Ending::TooLong => {
                Outcome::Refused(Refusal::Malformed)
            }
            Ending::Empty => Outcome::Refused(Refusal::Empty),
            Ending::TooFew => Outcome::Refused(Refusal::TooFew),
        }
    }

    /// Where the client was named.
    fn chain_written(&self) -> Written {
        match &self.policy.plan.sources[Field::For as usize] {
            Source::Single { header, .. } => Written::in_own(header),
            _ => match self.outermost().map(|hop| &hop.family) {
                Some(Family::Forwarded) => Written::Forwarded,
                Some(Family::Single(_) | Family::SingleWithPort(_)) => Written::OwnHeader,
                Some(Family::XForwarded) | None => Written::XForwarded,
            },
        }
    }

    /// What the sentence needs to know of the chain besides the decision.
    #[inline]
    fn note_chain(&self, notes: &mut Notes) {
        let plan = &self.policy.plan;
        if self.found.more {
            notes.mark(Notes::MORE);
        }
        let as_usual = self.ending == Ending::ClientFound && !self.found.more;
        if plan.named[Field::For as usize] && (plan.listed || !as_usual) {
            notes.name(Field::For, plan);
        }
        match self.ending {
            Ending::HeaderAbsent if self.policy.reads(Field::For) => {
                let read = plan.chain_header(self.found.trusted_hops);
                let other = |chain: &Sent| chain.name() != read && states(self.claims, chain.name());
                notes.sent = Sent::CHAINS.into_iter().find(other);
            }
            Ending::HopLimit if self.policy.trusted().trusts_every_peer() => notes.mark(Notes::EVERYONE),
            Ending::Malformed | Ending::Opaque => notes.flaw = self.flaw(),
            _ => {}
        }
    }

    /// Puts down what became of a field but the first.
    #[inline]
    fn settle(&self, fates: &mut Fates, field: Field, fate: Fate) {
        let (outcome, place) = fate;
        fates.outcomes[field as usize] = outcome;
        if place.is_some() {
            fates.places.set(field, place);
        }
        match outcome {
            Outcome::Refused(refusal) => self.note_refusal(&mut fates.notes, field, refusal),
            Outcome::Absent if field == Field::Proto && self.policy.plan.named[field as usize] => {
                fates.notes.name(field, &self.policy.plan);
            }
            _ => {}
        }
    }

    #[cold]
    fn note_refusal(&self, notes: &mut Notes, field: Field, refusal: Refusal) {
        match refusal {
            Refusal::Asymmetric | Refusal::TooFew => {
                let lines = self.claims.lines(field.x_forwarded_name());
                notes.count_values(field, values(lines).take(MOST_VALUES).count());
            }
            Refusal::Malformed
                if field == Field::Host
                    && self.take(field, |text| Host::read(text, Underscores::Allowed)).0.is_some() =>
            {
                notes.mark(Notes::UNDERSCORED);
            }
            _ => {}
        }
        if self.policy.plan.named[field as usize] {
            notes.name(field, &self.policy.plan);
        }
    }

    /// What is special about the entry that ended the walk.
    fn flaw(&self) -> Option<Flaw> {
        let header = self.policy.plan.chain_header(self.found.trusted_hops)?;
        let family = match &self.policy.plan.sources[Field::For as usize] {
            Source::Single { .. } => None,
            _ => self.outermost().map(|hop| &hop.family),
        };
        let judge = |text: &[u8]| match text {
            b"unix:" => Some(Flaw::LocalSocket),
            _ if text.eq_ignore_ascii_case(b"unknown") => Some(Flaw::Unknown),
            _ => None,
        };
        match (family, self.ending) {
            (Some(Family::XForwarded), Ending::Opaque) => {
                match values(self.claims.lines(header)).nth(self.found.position.checked_sub(1)?)? {
                    Entry::Text(text) => judge(text),
                    Entry::TooLong => None,
                }
            }
            (Some(Family::Forwarded), Ending::Opaque) => {
                let (text, _) = element_at(self.claims.lines(header), self.found.position)?;
                Element::read(text)?.node?.with(judge)
            }
            (None | Some(Family::Single(_) | Family::SingleWithPort(_)), _) => match self.single(header) {
                Err(Refusal::Multiple) => Some(Flaw::Several),
                Ok(Some((text, _))) => text.with(|text| match with_port(text) {
                    Node::Address(_) if !matches!(family, Some(Family::SingleWithPort(_))) => {
                        Some(Flaw::PortBehind)
                    }
                    _ => judge(text),
                }),
                _ => None,
            },
            _ => None,
        }
    }

    /// The verified hops that speak of another, nearest first; of a flat set the one that stands for all.
    fn verified(&self) -> &'a [Hop] {
        let hops = &self.policy.plan.hops;
        // Where all are trusted, the outermost is the client, and spoken of.
        let client = usize::from(self.ending == Ending::AllTrusted);
        let speakers = self.found.trusted_hops.saturating_sub(client);
        if self.policy.plan.listed { hops.get(..speakers).unwrap_or(hops) } else { hops }
    }

    fn outermost(&self) -> Option<&'a Hop> {
        self.verified().last()
    }

    /// The field's value where it is believed and passes its grammar.
    #[inline]
    fn take<T>(&self, field: Field, grammar: impl Fn(&[u8]) -> Option<T>) -> (Option<T>, Fate) {
        let plan = &self.policy.plan;
        let at = field as usize;
        if matches!(plan.sources[at], Source::Off) {
            return (None, (Outcome::NotRead, None));
        }
        // What nearly every request has: one value, which is the nearest proxy's word.
        let ours = plan.briefs[at] == Brief::X_FORWARDED && !plan.named[at];
        let found = match ours.then(|| sole(self.claims.one_line(field))) {
            Some(Sole::None) => Ok(None),
            Some(Sole::Value(text)) => {
                let place = Place { written: Written::XForwarded, line: 1, position: 1 };
                Ok(Some((Text::Plain(text), place)))
            }
            Some(Sole::Several) | None => self.find(field),
        };
        match found {
            Ok(Some((value, place))) => match value.with(grammar) {
                Some(value) => (Some(value), (Outcome::Believed, Some(place))),
                None => (None, (Outcome::Refused(Refusal::Malformed), Some(place))),
            },
            Ok(None) => (None, (Outcome::Absent, None)),
            Err(refusal) => (None, (Outcome::Refused(refusal), None)),
        }
    }

    /// The field's value where it is believed.
    #[inline(never)]
    fn find(&self, field: Field) -> Result<Option<Placed<'a>>, Refusal> {
        match &self.policy.plan.sources[field as usize] {
            Source::Off => Ok(None),
            Source::Single { header, https } => match (self.single(header), https) {
                (Ok(Some((value, place))), Some(token)) => {
                    if value.with(|text| text == token.as_bytes()) {
                        Ok(Some((Text::Plain(b"https"), place)))
                    } else {
                        Err(Refusal::Malformed)
                    }
                }
                (found, _) => found,
            },
            Source::Family(rule) => self.spoken(field, *rule),
        }
    }

    /// What the hops say of `field`.
    fn spoken(&self, field: Field, rule: Rule) -> Result<Option<Placed<'a>>, Refusal> {
        match self.speaker(field) {
            Some(speaker) => match speaker.family {
                Family::XForwarded => self.listed(field, rule, &speaker),
                Family::Forwarded => self.element(field, rule, &speaker),
                Family::Single(_) | Family::SingleWithPort(_) => Ok(None),
            },
            // Only a hop further out could say it: what stands there, somebody else wrote.
            None => match self.policy.header(field) {
                Some(header) if !is_blank(self.claims.lines(header)) => Err(Refusal::NotAsserted),
                _ => Ok(None),
            },
        }
    }

    /// The outermost verified hop whose family has a place for `field`.
    fn speaker(&self, field: Field) -> Option<Speaker<'a>> {
        let verified = self.verified();
        if !self.policy.plan.listed {
            let hop = verified.last().filter(|hop| hop.family.carries(field))?;
            return Some(Speaker { family: &hop.family, voices: self.chosen(), may: true });
        }
        let carrying = || verified.iter().rev().filter(|hop| hop.family.carries(field));
        // Of the elements of one header the outermost counts, and nobody speaks in its place.
        let first = |hop: &&Hop| carrying().find(|other| other.family == hop.family) == Some(*hop);
        let speaks = |hop: &&Hop| hop.asserts(field) && (hop.family == Family::XForwarded || first(hop));
        let hop = carrying().find(speaks).or(carrying().next())?;
        let same = verified.iter().filter(|other| other.family == hop.family);
        let (voices, may) = match hop.family {
            // Each that may say it adds a value, or the others pass on the one of the nearest.
            Family::XForwarded => {
                let voices = same.filter(|hop| hop.asserts(field)).count();
                (voices, voices > 0)
            }
            // Each adds an element, whatever it says there.
            _ => (same.map(|hop| usize::from(hop.entries)).sum(), hop.asserts(field)),
        };
        let heard = self.chosen().is_some() || self.ending == Ending::HeaderAbsent;
        Some(Speaker { family: &hop.family, voices: heard.then_some(voices), may })
    }

    /// The position from the right of the entry that the walk chose.
    fn chosen(&self) -> Option<usize> {
        let found = matches!(self.ending, Ending::ClientFound | Ending::AllTrusted | Ending::HopLimit);
        found.then_some(self.found.position)
    }

    /// In count mode every hop that the count steps over has to be trusted (threat T09). A chain that
    /// the policy does not read proves nothing: its header may be the client's.
    fn within_trust(&self, count: u8) -> bool {
        let policy = self.policy;
        let reached = usize::from(count);
        policy.trusted().trusts_every_peer()
            || reached <= self.found.trusted_hops
            // The chain's own hop limit may have ended the walk short of this count.
            || (matches!(policy.plan.sources[Field::For as usize], Source::Family(_))
                && self.walk_up_to(Some(count)).trusted_hops >= reached)
    }

    /// What the walk finds where another number of hops is declared.
    fn walk_up_to(&self, limit: Option<u8>) -> Found {
        let route = Route::Alike { who: self.policy.trusted(), limit };
        let (mut chain, _) = self.policy.chain(0, self.claims);
        Stage::new(route, self.peer, true).finish(&mut chain, |_| None, |_| {}).1
    }

    /// The value of a field in its own `X-Forwarded-*` header.
    fn listed(&self, field: Field, rule: Rule, speaker: &Speaker<'_>) -> Result<Option<Placed<'a>>, Refusal> {
        let lines = || self.claims.lines(field.x_forwarded_name());
        let mut rest = values(lines());
        match rest.next() {
            None => return Ok(None),
            Some(Entry::Text([])) if is_blank(lines()) => return Ok(None),
            Some(_) if !speaker.may => return Err(Refusal::NotAsserted),
            // It hides how many there are.
            Some(Entry::TooLong) => return Err(Refusal::Malformed),
            Some(_) => {}
        }
        let position = match rule {
            Rule::Count(count) if !self.within_trust(count) => return Err(Refusal::BeyondTrust),
            Rule::Count(count) => usize::from(count),
            Rule::Aligned => match rest.take(MOST_VALUES).count() + 1 {
                1 => 1,
                several => {
                    let position = speaker.voices.ok_or(Refusal::WalkEnded)?;
                    if !self.aligns(several, position) {
                        return Err(Refusal::Asymmetric);
                    }
                    position
                }
            },
        };
        let mut entries = values(lines());
        match position.checked_sub(1).and_then(|skipped| entries.nth(skipped)) {
            None => Err(Refusal::TooFew),
            Some(Entry::TooLong) => Err(Refusal::Malformed),
            Some(Entry::Text([])) => Err(Refusal::Empty),
            Some(Entry::Text(text)) => {
                let place = Place { written: Written::XForwarded, line: entries.line_number(), position };
                Ok(Some((Text::Plain(text), place)))
            }
        }
    }

    /// Whether so many values stand beside the chain: one for each hop that speaks. Hops that are all
    /// alike may be more than are declared, and the client may have written the same fields as they did.
    fn aligns(&self, several: usize, voices: usize) -> bool {
        if several == voices {
            return true;
        }
        let one_each = |hop: &Hop| hop.family == Family::XForwarded && hop.entries == 1;
        if self.policy.plan.listed {
            let all = self.verified();
            let all_speak = voices == all.len() && all.iter().all(one_each);
            return self.chosen().is_some() && all_speak && several == self.chain_length();
        }
        [self.unlimited_depth(), self.chain_length()].contains(&several)
    }

    /// The number of entries that the walk would take if no number of hops were declared: what the
    /// proxies wrote, of which the operator counts some.
    fn unlimited_depth(&self) -> usize {
        let everyone = self.policy.trusted().trusts_every_peer();
        match &self.policy.plan.sources[Field::For as usize] {
            Source::Family(_) if self.ending == Ending::HopLimit && !everyone => self.walk_up_to(None).depth,
            _ => self.found.depth,
        }
    }

    /// The number of all entries of the chain, believed or not; 0 where they are too many to align.
    fn chain_length(&self) -> usize {
        match &self.policy.plan.sources[Field::For as usize] {
            Source::Family(_) => {
                let header = Field::For.x_forwarded_name();
                let length = values(self.claims.lines(header)).take(MOST_VALUES).count();
                if length < MOST_VALUES { length } else { 0 }
            }
            Source::Off | Source::Single { .. } => 0,
        }
    }

    /// The value of a field in an element of `Forwarded`.
    fn element(
        &self,
        field: Field,
        rule: Rule,
        speaker: &Speaker<'_>,
    ) -> Result<Option<Placed<'a>>, Refusal> {
        // Of hops that are all alike the same element speaks of all fields that are not counted.
        let found = match rule {
            Rule::Aligned if !self.policy.plan.listed => {
                *self.element.get_or_init(|| self.find_element(rule, speaker))
            }
            _ => self.find_element(rule, speaker),
        };
        let Some((element, place)) = found? else { return Ok(None) };
        let value = match field {
            Field::For => element.node,
            Field::Proto => element.proto,
            Field::Host => element.host,
            Field::Port | Field::Prefix => None,
        };
        match value {
            Some(_) if !speaker.may => Err(Refusal::NotAsserted),
            value => Ok(value.map(|value| (Text::Parameter(value), place))),
        }
    }

    fn find_element(&self, rule: Rule, speaker: &Speaker<'_>) -> Result<Option<Spoken<'a>>, Refusal> {
        let beside_chosen = rule == Rule::Aligned && !self.policy.plan.listed;
        let (text, line, position) = if beside_chosen && self.chosen().is_some() && !self.text.is_empty() {
            (self.text, self.found.line, self.found.position)
        } else {
            if is_blank(self.claims.lines(FORWARDED)) {
                return Ok(None);
            }
            let position = self.position(rule, speaker)?;
            let (text, line) = element_at(self.claims.lines(FORWARDED), position).ok_or(Refusal::TooFew)?;
            (text, line, position)
        };
        let element = Element::read(text).ok_or(Refusal::Malformed)?;
        Ok(Some((element, Place { written: Written::Forwarded, line, position })))
    }

    /// Which element speaks.
    fn position(&self, rule: Rule, speaker: &Speaker<'_>) -> Result<usize, Refusal> {
        match (rule, self.ending) {
            (Rule::Count(count), _) if !self.within_trust(count) => Err(Refusal::BeyondTrust),
            (Rule::Count(count), _) => Ok(usize::from(count)),
            // Without a chain to choose from, the nearest hop speaks.
            (Rule::Aligned, Ending::HeaderAbsent)
                if !self.policy.plan.listed && !self.policy.reads(Field::For) =>
            {
                Ok(1)
            }
            // One that names nobody: a verified hop wrote the rest of it.
            (Rule::Aligned, Ending::Empty) => Ok(self.found.position),
            (Rule::Aligned, _) => speaker.voices.ok_or(Refusal::WalkEnded),
        }
    }

    /// The value of a header that must have exactly one.
    fn single(&self, header: &str) -> Result<Option<Placed<'a>>, Refusal> {
        let mut all = values(self.claims.lines(header));
        match (all.next(), all.next()) {
            (None | Some(Entry::Text([])), _) if is_blank(self.claims.lines(header)) => Ok(None),
            (Some(Entry::TooLong), _) => Err(Refusal::Malformed),
            (_, Some(_)) => Err(Refusal::Multiple),
            (Some(Entry::Text(text)), None) => Ok(Some((
                Text::Plain(text),
                Place { written: Written::in_own(header), line: 1, position: 1 },
            ))),
            (None, None) => Ok(None),
        }
    }
}

/// What a header of one value holds.
enum Sole<'a> {
    None,
    Value(&'a [u8]),
    /// Or something long, which is for the lexer to judge.
    Several,
}

/// The value of a header of one line and one value, found in one look.
#[inline]
fn sole(line: OneLine<'_>) -> Sole<'_> {
    let line = match line {
        OneLine::None => return Sole::None,
        // Not a byte on the left of a long one is looked at.
        OneLine::One(line) => trim_end(line),
        OneLine::Several => return Sole::Several,
    };
    if line.len() > LONGEST_VALUE || line.contains(&b',') {
        return Sole::Several;
    }
    match trim_start(line) {
        [] => Sole::None,
        text => Sole::Value(text),
    }
}

/// The values of a list, nearest first.
fn values<'a, L>(lines: L) -> Entries<'a, L>
where
    L: DoubleEndedIterator<Item = &'a [u8]>,
{
    Entries::new(lines, Quoting::None, LONGEST_VALUE)
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use super::*;
    use crate::{Family, PolicyBuilder, TrustedProxies};

    /// Decides with all five fields, trusting `10.0.0.0/8`, behind `10.0.0.2`.
    fn decide(builder: impl Fn(PolicyBuilder) -> PolicyBuilder, headers: &[(&str, &str)]) -> Origin {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let policy = builder(Policy::builder(trusted).fields(Field::ALL)).build().unwrap();
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let received = Received {
            host: Some(("internal.example".parse().unwrap(), "8080".parse().ok())),
            ..Received::default()
        };
        policy.decide("10.0.0.2".parse().unwrap(), received, &headers[..])
    }

    /// With `203.0.113.9` as the one entry of the chain, asserts scheme, host, port, prefix.
    #[track_caller]
    fn assert_fields(headers: &[(&str, &str)], expected: &str) {
        let mut all = Vec::from([("X-Forwarded-For", "203.0.113.9")]);
        all.extend_from_slice(headers);
        let origin = decide(|builder| builder, &all);
        assert_eq!(origin.client().unwrap().to_string(), "203.0.113.9");
        assert_eq!(url(&origin), expected, "{headers:?}");
    }

    fn url(origin: &Origin) -> String {
        let host = origin.host().map_or("-", Host::as_str);
        let port = origin.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{host}{port}{}", origin.scheme(), origin.prefix())
    }

    #[test]
    fn all_five_fields() {
        assert_fields(
            &[
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "good.example"),
                ("X-Forwarded-Port", "8443"),
                ("X-Forwarded-Prefix", "/app"),
            ],
            "https://good.example:8443/app",
        );
        assert_fields(&[], "http://internal.example:8080");
    }

    #[test]
    fn t72_several_hosts_count_only_beside_as_many_hops() {
        assert_fields(&[("X-Forwarded-Host", "evil.example, good.example")], "http://internal.example:8080");
        assert_fields(
            &[("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Host", "good.example")],
            "http://internal.example:8080",
        );
        let two = [
            ("X-Forwarded-For", "198.51.100.7, 203.0.113.9"),
            ("X-Forwarded-Host", "evil.example, good.example"),
        ];
        assert_eq!(url(&decide(|builder| builder, &two)), "http://good.example");
        // Nor where the operator counts fewer hops than there are.
        let two_of_three = |chain: &str| {
            let headers = [("X-Forwarded-For", chain), ("X-Forwarded-Proto", "http, https")];
            decide(|builder| builder.count(Field::For, 1), &headers).scheme()
        };
        assert_eq!(two_of_three("203.0.113.9, 10.0.0.7"), Scheme::Https);
        assert_eq!(two_of_three("6.6.6.6, 203.0.113.9, 10.0.0.7"), Scheme::Https);
        // What a client adds to the chain alone does not unsettle what the proxies wrote (L1).
        let forged =
            [("X-Forwarded-For", "127.0.0.1, 203.0.113.9, 10.0.0.7"), ("X-Forwarded-Proto", "https, http")];
        assert_eq!(decide(|builder| builder, &forged).scheme(), Scheme::Https);
    }

    #[test]
    fn t79_the_port_is_kept_as_given() {
        assert_fields(
            &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "80")],
            "https://internal.example:80",
        );
    }

    #[test]
    fn t80_a_port_without_a_host_replaces_the_received_one() {
        assert_fields(
            &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "443")],
            "https://internal.example",
        );
    }

    #[test]
    fn t86_t87_asymmetric_schemes_are_off() {
        assert_fields(&[("X-Forwarded-Proto", "https,http")], "http://internal.example:8080");
        assert_fields(
            &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")],
            "http://internal.example:8080",
        );
        let origin = decide(
            |builder| builder,
            &[("X-Forwarded-Proto", "https,http"), ("X-Forwarded-For", "203.0.113.9")],
        );
        assert_eq!(origin.outcome(Field::Proto), Outcome::Refused(Refusal::Asymmetric));
    }

    #[test]
    fn t127_a_refused_host_takes_its_port_along_and_nothing_else() {
        assert_fields(
            &[
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "bad host"),
                ("X-Forwarded-Port", "9"),
                ("X-Forwarded-Prefix", "/ok"),
            ],
            "https://internal.example:8080/ok",
        );
    }

    #[test]
    fn t78_a_refused_port_leaves_the_host() {
        assert_fields(
            &[("X-Forwarded-Host", "good.example"), ("X-Forwarded-Port", "443@evil.example")],
            "http://good.example",
        );
    }

    #[test]
    fn a_stopped_walk_leaves_single_values_alone() {
        let origin = decide(
            |builder| builder,
            &[
                ("X-Forwarded-For", "203.0.113.9, garbage"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "a.example, b.example"),
            ],
        );
        assert_eq!((origin.client(), origin.is_complete()), (None, false));
        assert_eq!(url(&origin), "https://internal.example:8080");
        assert_eq!(origin.outcome(Field::Host), Outcome::Refused(Refusal::WalkEnded));
    }

    #[test]
    fn t09_a_count_steps_over_trusted_hops_only() {
        let headers = [
            ("X-Forwarded-For", "198.51.100.7, 203.0.113.9"),
            ("X-Forwarded-Host", "evil.example, good.example"),
        ];
        let origin = decide(|builder| builder.count(Field::For, 2).count(Field::Host, 2), &headers);
        assert_eq!(origin.client().unwrap().to_string(), "203.0.113.9");
        assert_eq!(origin.outcome(Field::Host), Outcome::Refused(Refusal::BeyondTrust));
        let headers = [
            ("X-Forwarded-For", "203.0.113.9, 10.0.0.7"),
            ("X-Forwarded-Host", "good.example, inner.example"),
        ];
        let origin = decide(|builder| builder.count(Field::For, 1).count(Field::Host, 2), &headers);
        assert_eq!(
            (origin.client().unwrap().to_string().as_str(), url(&origin).as_str()),
            ("10.0.0.7", "http://good.example")
        );
    }

    #[test]
    fn t34_a_single_header_with_several_values_names_nobody() {
        let cloudflare = |builder: PolicyBuilder| builder.family(Family::Single("CF-Connecting-IP".into()));
        for several in [
            &[("CF-Connecting-IP", "127.0.0.1, 203.0.113.9")][..],
            &[("CF-Connecting-IP", "127.0.0.1"), ("cf-connecting-ip", "203.0.113.9")],
        ] {
            let origin = decide(cloudflare, several);
            assert_eq!((origin.client(), origin.ending()), (None, Ending::Malformed));
        }
        let origin =
            decide(cloudflare, &[("CF-Connecting-IP", "203.0.113.9"), ("X-Forwarded-For", "127.0.0.1")]);
        assert_eq!(origin.client().unwrap().to_string(), "203.0.113.9");
    }

    /// Trusting `10.0.0.0/8` behind `10.0.0.2`, asserts client (or ending) and URL.
    #[track_caller]
    fn assert_forwarded(lines: &[&str], client: &str, expected: &str) {
        let headers: Vec<(&str, &str)> = lines.iter().map(|line| ("Forwarded", *line)).collect();
        let origin = decide(|builder| builder.family(Family::Forwarded), &headers);
        let found = origin.client().filter(|_| origin.is_complete());
        let found = found.map_or(origin.ending().to_string(), |ip| ip.to_string());
        assert_eq!((found.as_str(), url(&origin).as_str()), (client, expected), "{lines:?}");
    }

    #[test]
    fn forwarded_is_read_element_by_element() {
        let received = "http://internal.example:8080";
        // T50, T51: the chosen element speaks, no other.
        assert_forwarded(
            &["for=198.51.100.7;host=evil.example;proto=http, for=203.0.113.9;proto=https"],
            "203.0.113.9",
            "https://internal.example:8080",
        );
        assert_forwarded(
            &["host=evil.example, for=203.0.113.9;proto=https"],
            "203.0.113.9",
            "https://internal.example:8080",
        );
        assert_forwarded(
            &["for=203.0.113.9;host=good.example;proto=https", "for=10.0.0.7;host=x.example"],
            "203.0.113.9",
            "https://good.example",
        );
        // T52: the hop did not say who was connected, but it said the rest.
        assert_forwarded(
            &["for=198.51.100.7, proto=https;host=good.example"],
            "empty",
            "https://good.example",
        );
        // T55, by L1: what a client left open does not reach the right.
        assert_forwarded(&[r#"for="x, for=203.0.113.9"#], "203.0.113.9", received);
        // T56, T59: nothing of such an element is used.
        assert_forwarded(&["for=203.0.113.9;proto=https;proto=http"], "malformed", received);
        assert_forwarded(&["for=203.0.113.9, for=unknown;proto=https"], "opaque", received);
        // T63
        assert_forwarded(&[", for=203.0.113.9 ,"], "203.0.113.9", received);
        assert_forwarded(&[",", ""], "header-absent", received);
        // T66: the other family is not read.
        let origin = decide(
            |builder| builder,
            &[("Forwarded", "for=127.0.0.1;proto=https"), ("X-Forwarded-For", "203.0.113.9")],
        );
        assert_eq!(
            (origin.client().unwrap().to_string().as_str(), origin.scheme()),
            ("203.0.113.9", Scheme::Http)
        );
    }

    /// What is known to state nothing is judged as what turns out to.
    #[test]
    fn a_silent_request_is_judged_as_one_without_headers() {
        struct Unasked;
        impl Claims for Unasked {
            fn lines<'a>(&'a self, _: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
                [].into_iter()
            }
        }
        let set = || "10.0.0.0/8".parse::<TrustedProxies>().unwrap();
        let hop = |name| crate::Hop::new(name, set());
        let policies = [
            Policy::new(set()),
            Policy::new(set().hops(2).unwrap()),
            Policy::new(TrustedProxies::dangerously_trust_every_peer()),
            Policy::builder(set()).fields(Field::ALL).family(Family::Forwarded).build().unwrap(),
            Policy::builder(set()).fields([Field::Host]).count(Field::Host, 2).build().unwrap(),
            Policy::builder(set()).https_when("front-end-https", "on").build().unwrap(),
            Policy::builder(set()).single(Field::For, "x-real-ip").field(Field::Port).build().unwrap(),
            Policy::new(crate::Topology::new([hop("near").entries(2), hop("far")]).unwrap()),
            Policy::new(crate::Topology::new([hop("near").fields([Field::Host])]).unwrap()),
        ];
        let silent: [(&str, &[u8]); 0] = [];
        for policy in policies {
            for peer in
                [Peer::unknown(), Peer::local(), "10.0.0.2".parse().unwrap(), "192.0.2.1".parse().unwrap()]
            {
                let known = policy.decide(peer, Received::default(), &silent[..]);
                let found = policy.decide(peer, Received::default(), &Unasked);
                assert_eq!(known, found);
                assert_eq!(known.to_string(), found.to_string());
            }
        }
    }

    #[test]
    fn a_proof_stands_beside_the_address_or_instead_of_it() {
        let set: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let headers: [(&str, &[u8]); 1] = [("x-forwarded-for", b"203.0.113.9")];
        let client = |gate: Gate, peer: &str, proven: bool| {
            let policy = Policy::builder(set.clone()).gate(gate).build().unwrap();
            let received = Received { proven, ..Received::default() };
            let origin = policy.decide(peer.parse().unwrap_or_default(), received, &headers[..]);
            (origin.client().map(|ip| ip.to_string()).unwrap_or_default(), origin.to_string())
        };
        let (good, bad, other) = ("10.0.0.2", "192.0.2.1", "203.0.113.9");
        for (gate, peer, proven, expected) in [
            (Gate::Address, good, false, other),
            (Gate::Address, bad, true, bad),
            (Gate::AddressAndProof, good, true, other),
            (Gate::AddressAndProof, good, false, ""),
            (Gate::AddressAndProof, bad, true, bad),
            (Gate::AddressOrProof, good, false, other),
            (Gate::AddressOrProof, bad, true, other),
            (Gate::AddressOrProof, bad, false, bad),
            (Gate::AddressOrProof, "nobody", true, ""),
            (Gate::AddressOrProof, "unix", true, other),
        ] {
            assert_eq!(client(gate, peer, proven).0, expected, "{gate:?} {peer} {proven}");
        }
        assert!(client(Gate::AddressAndProof, good, false).1.contains("check the secret"));
        assert!(client(Gate::AddressAndProof, bad, false).1.contains("add it to the trusted set"));
    }

    #[test]
    fn the_record_says_where_each_value_stood() {
        let origin = decide(
            |builder| builder.single(Field::Prefix, "x-script-name"),
            &[
                ("X-Forwarded-For", "203.0.113.9"),
                ("X-Forwarded-For", "10.0.0.8, 10.0.0.7"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "good.example, b.example, c.example"),
                ("X-Script-Name", "/app"),
            ],
        );
        let place = |field| origin.place(field).map(|it| (it.written.header(field), it.line, it.position));
        assert_eq!(place(Field::For), Some((Some("x-forwarded-for"), 2, 3)));
        assert_eq!(place(Field::Proto), Some((Some("x-forwarded-proto"), 1, 1)));
        assert_eq!(place(Field::Host), Some((Some("x-forwarded-host"), 1, 3)));
        assert_eq!(place(Field::Prefix), Some((None, 1, 1)));
        assert_eq!(origin.place(Field::Port), None);
        let steps: Vec<String> = origin.steps().map(|it| format!("{} {}", it.hop, it.verdict)).collect();
        assert_eq!(steps, ["10.0.0.2 trusted", "10.0.0.7 trusted", "10.0.0.8 trusted", "203.0.113.9 client"]);
        assert_eq!(origin.trusted_hops(), 3);

        let elements = [("Forwarded", "for=203.0.113.9;proto=https,"), ("Forwarded", ", for=10.0.0.7")];
        let origin = decide(|builder| builder.family(Family::Forwarded), &elements);
        let place = origin.place(Field::Proto).unwrap();
        assert_eq!((place.written, place.line, place.position), (Written::Forwarded, 2, 2));
        assert_eq!(origin.place(Field::For), Some(place));
    }

    #[test]
    fn the_line_of_a_header_of_one_line_is_the_last() {
        let origin = decide(
            |builder| builder.family(Family::Single("x-real-ip".into())),
            &[("X-Real-IP", "203.0.113.9")],
        );
        let place = origin.place(Field::For).unwrap();
        assert_eq!((place.line, place.position), (1, 1));
    }

    #[test]
    fn long_walks_keep_all_their_steps() {
        let chain = format!("203.0.113.9{}", ", 10.0.0.7".repeat(31));
        let origin = decide(|builder| builder, &[("X-Forwarded-For", &chain)]);
        assert_eq!(origin.steps().count(), 33);
        assert_eq!(origin.steps().last().unwrap().verdict, crate::Verdict::Client);
    }

    #[test]
    fn fewer_hops_than_declared_are_said() {
        let two = |chain: &str| decide(|builder| builder.count(Field::For, 2), &[("X-Forwarded-For", chain)]);
        assert!(two("203.0.113.9").is_short());
        assert!(two("203.0.113.9").to_string().contains("2 proxies are declared, and the request passed 1"));
        assert!(!two("203.0.113.9, 10.0.0.7").is_short());
        assert!(!two("junk").is_short());
        assert!(!decide(|builder| builder, &[("X-Forwarded-For", "203.0.113.9")]).is_short());
    }

    #[test]
    fn t90_a_scheme_header_has_to_equal_its_token() {
        let front_end = |builder: PolicyBuilder| builder.https_when("Front-End-Https", "on");
        assert_eq!(decide(front_end, &[("Front-End-Https", "on")]).scheme(), Scheme::Https);
        for other in ["off", "On", "on, on", "onn", ""] {
            assert_eq!(decide(front_end, &[("Front-End-Https", other)]).scheme(), Scheme::Http, "{other}");
        }
    }

    #[test]
    fn t02_nothing_that_an_untrusted_peer_writes_is_read() {
        let policy = Policy::builder("10.0.0.0/8".parse::<TrustedProxies>().unwrap()).fields(Field::ALL);
        let headers = Field::ALL.map(|field| (field.x_forwarded_name(), &b"https"[..]));
        for peer in ["203.0.113.9".parse().unwrap(), Peer::local(), Peer::unknown()] {
            let policy = policy.clone().build().unwrap();
            let origin = policy.decide(peer, Received::default(), &headers[..]);
            assert_eq!(Field::ALL.map(|field| origin.outcome(field)), [Outcome::NotRead; 5]);
            assert_eq!(origin.scheme(), Scheme::Http);
        }
    }

    #[test]
    fn a_field_that_is_not_read_has_no_outcome() {
        let origin = decide(|builder| builder.fields([Field::Proto]), &[("X-Forwarded-For", "203.0.113.9")]);
        assert_eq!(
            (origin.outcome(Field::For), origin.outcome(Field::Host)),
            (Outcome::NotRead, Outcome::NotRead)
        );
        assert_eq!(origin.outcome(Field::Proto), Outcome::Absent);
    }

    #[test]
    fn a_header_of_its_own_names_the_client_beside_a_family() {
        let real_ip = |builder: PolicyBuilder| builder.single(Field::For, "X-Real-IP");
        let headers = [("X-Real-IP", "203.0.113.9"), ("X-Forwarded-For", "127.0.0.1")];
        let origin = decide(real_ip, &headers);
        assert_eq!(origin.client().unwrap().to_string(), "203.0.113.9");
        assert_eq!(origin.place(Field::For).unwrap().written, Written::OwnHeader);
        let origin = decide(real_ip, &headers[1..]);
        assert_eq!((origin.ending(), origin.outcome(Field::For)), (Ending::HeaderAbsent, Outcome::Absent));
    }

    #[test]
    fn a_header_of_blanks_is_absent_and_one_of_blanks_and_a_value_is_a_list() {
        let prefix = |builder: PolicyBuilder| builder.single(Field::Prefix, "x-script-name");
        for (proto, script_name, expected, of_single) in [
            (" ", "\t", Outcome::Absent, Outcome::Absent),
            (", ,", ",", Outcome::Absent, Outcome::Absent),
            ("https,", "/app,", Outcome::Refused(Refusal::Asymmetric), Outcome::Refused(Refusal::Multiple)),
        ] {
            let headers = [
                ("X-Forwarded-For", "203.0.113.9"),
                ("X-Forwarded-Proto", proto),
                ("X-Script-Name", script_name),
            ];
            let origin = decide(prefix, &headers);
            assert_eq!((origin.outcome(Field::Proto), origin.outcome(Field::Prefix)), (expected, of_single));
        }
    }

    #[test]
    fn t37_as_many_values_align_as_a_walk_has_hops() {
        let outcome = |entries: usize| {
            let chain = format!("{}203.0.113.9", "6.6.6.6, ".repeat(entries - 1));
            let schemes = format!("{}https", "http, ".repeat(entries - 1));
            let headers = [("X-Forwarded-For", chain.as_str()), ("X-Forwarded-Proto", &schemes)];
            decide(|builder| builder, &headers).outcome(Field::Proto)
        };
        assert_eq!(outcome(32), Outcome::Believed);
        assert_eq!(outcome(33), Outcome::Refused(Refusal::Asymmetric));
    }

    #[test]
    fn t101_the_longest_prefix_passes_and_an_endless_value_is_refused() {
        let outcome = |bytes: usize| {
            let prefix = format!("/{}", "a".repeat(bytes - 1));
            let headers = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Prefix", prefix.as_str())];
            let list = decide(|builder| builder, &headers).outcome(Field::Prefix);
            let single = |builder: PolicyBuilder| builder.single(Field::Prefix, "x-forwarded-prefix");
            assert_eq!(decide(single, &headers).outcome(Field::Prefix), list);
            list
        };
        assert_eq!(outcome(1024), Outcome::Believed);
        assert_eq!(outcome(1025), Outcome::Refused(Refusal::Malformed));
        assert_eq!(outcome(8192), Outcome::Refused(Refusal::Malformed));
    }

    #[test]
    fn a_count_needs_no_trust_where_every_peer_is_trusted() {
        let any = TrustedProxies::dangerously_trust_every_peer();
        let policy = Policy::builder(any).count(Field::For, 2).count(Field::Host, 2).build().unwrap();
        let headers: [(&str, &[u8]); 2] = [
            ("x-forwarded-for", b"203.0.113.9, 198.51.100.7"),
            ("x-forwarded-host", b"good.example, inner.example"),
        ];
        let origin = policy.decide("192.0.2.1".parse().unwrap(), Received::default(), &headers[..]);
        assert_eq!(origin.host().unwrap().as_str(), "good.example");
    }

    #[test]
    fn t09_a_count_of_elements_steps_over_trusted_hops_only() {
        let host = |line: &str| {
            let counted = |builder: PolicyBuilder| builder.family(Family::Forwarded).count(Field::Host, 2);
            let origin = decide(counted, &[("Forwarded", line)]);
            (origin.host().unwrap().to_string(), origin.outcome(Field::Host))
        };
        let beyond = Outcome::Refused(Refusal::BeyondTrust);
        assert_eq!(
            host("for=198.51.100.7;host=evil.example, for=203.0.113.9;host=good.example"),
            ("internal.example".into(), beyond)
        );
        assert_eq!(
            host("for=203.0.113.9;host=good.example, for=10.0.0.7;host=inner.example"),
            ("good.example".into(), Outcome::Believed)
        );
    }

    #[test]
    fn without_a_chain_to_read_the_nearest_element_speaks() {
        let proto = |builder: PolicyBuilder| builder.family(Family::Forwarded).fields([Field::Proto]);
        let headers = [("Forwarded", "for=203.0.113.9;proto=http, for=10.0.0.7;proto=https")];
        assert_eq!(decide(proto, &headers).scheme(), Scheme::Https);
        // With one that is absent, nobody does.
        let other =
            |builder: PolicyBuilder| builder.family(Family::Forwarded).single(Field::For, "x-real-ip");
        let origin = decide(other, &headers);
        assert_eq!(origin.outcome(Field::Proto), Outcome::Refused(Refusal::WalkEnded));
    }

    #[test]
    fn what_no_header_says_is_as_received() {
        let policy = Policy::builder("10.0.0.0/8".parse::<TrustedProxies>().unwrap()).fields(Field::ALL);
        let received =
            || Received { scheme: Scheme::Https, prefix: "/gw".parse().unwrap(), ..Received::default() };
        let headers: [(&str, &[u8]); 1] = [("x-forwarded-port", b"8443")];
        for peer in ["10.0.0.2", "203.0.113.9"] {
            let policy = policy.clone().build().unwrap();
            let origin = policy.decide(peer.parse().unwrap(), received(), &headers[..]);
            assert_eq!(url(&origin), "https://-/gw");
        }
        // A port needs a host.
        let origin = policy.build().unwrap().decide("10.0.0.2".parse().unwrap(), received(), &headers[..]);
        assert_eq!(origin.outcome(Field::Port), Outcome::Refused(Refusal::WithoutHost));
    }

    #[test]
    fn t127_a_host_that_nobody_stated_leaves_the_port() {
        let any = TrustedProxies::dangerously_trust_every_peer();
        for (count, host, refusal) in
            [(1, "good.example,", Refusal::Empty), (2, "good.example", Refusal::TooFew)]
        {
            let policy = Policy::builder(any.clone()).field(Field::Port).count(Field::Host, count);
            let headers: [(&str, &[u8]); 3] = [
                ("x-forwarded-for", b"203.0.113.9"),
                ("x-forwarded-host", host.as_bytes()),
                ("x-forwarded-port", b"8443"),
            ];
            let received =
                Received { host: Some(("in.example".parse().unwrap(), None)), ..Received::default() };
            let origin = policy.build().unwrap().decide("10.0.0.2".parse().unwrap(), received, &headers[..]);
            assert_eq!(origin.outcome(Field::Host), Outcome::Refused(refusal));
            assert_eq!(url(&origin), "http://in.example:8443");
        }
    }

    #[test]
    fn t09_a_header_that_is_no_chain_bears_no_count_out() {
        let trusted = "10.0.0.0/8".parse::<TrustedProxies>().unwrap().hops(1).unwrap();
        let policy = Policy::builder(trusted).single(Field::For, "x-real-ip").count(Field::Proto, 2);
        let headers: [(&str, &[u8]); 2] = [("x-real-ip", b"10.0.0.9"), ("x-forwarded-proto", b"https, http")];
        let origin =
            policy.build().unwrap().decide("10.0.0.2".parse().unwrap(), Received::default(), &headers[..]);
        assert_eq!(origin.outcome(Field::Proto), Outcome::Refused(Refusal::BeyondTrust));
    }

    #[test]
    fn a_header_with_a_port_behind_the_last_colon_names_the_client() {
        let viewer = |builder: PolicyBuilder| builder.family(Family::SingleWithPort("X-Viewer".into()));
        let origin = decide(viewer, &[("X-Viewer", "2001:db8::7:46532")]);
        assert_eq!((origin.client(), origin.client_port()), ("2001:db8::7".parse().ok(), Some(46532)));
    }
}
