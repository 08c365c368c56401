//! The decision: which claims count, and what follows from them.

use crate::claim::{Element, Notation, Value, element_at, is_blank};
use crate::lexer::{Entries, Entry, Quoting};
use crate::policy::{Rule, Source};
use crate::trust::MOST_HOPS;
use crate::walk::Found;
use crate::{
    Claims, Ending, Error, Field, Host, Origin, Outcome, Peer, Policy, Port, Prefix, Refusal, Scheme, Step,
    Walk,
};

/// The request as it was received, before any claim is believed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Received {
    /// The scheme of the connection.
    pub scheme: Scheme,
    /// The host and port that the request names, where they are well-formed.
    pub host: Option<(Host, Option<Port>)>,
    /// The prefix that a gateway stated.
    pub prefix: Prefix,
}

impl Policy {
    /// Decides where a request came from.
    pub fn decide<C: Claims + ?Sized>(&self, peer: Peer, received: Received, claims: &C) -> Origin {
        self.explain(peer, received, claims, &mut |_| {})
    }

    /// [Decides](Self::decide), and hands over every step of the walk: explaining is deciding.
    pub fn explain<C: Claims + ?Sized>(
        &self,
        peer: Peer,
        received: Received,
        claims: &C,
        on_step: &mut dyn FnMut(Step),
    ) -> Origin {
        let (ending, found, for_outcome) = self.walk(peer, claims, on_step);
        let claim = Claim { policy: self, peer, claims, ending, found };
        let trusted = ending.is_from_trusted_peer();

        let (scheme, proto) = claim.take(trusted, Field::Proto, Scheme::from_bytes);
        let scheme = scheme.unwrap_or(received.scheme);
        let (host, host_outcome) = claim.take(trusted, Field::Host, |text| self.read_host(text));
        let (host, host_port) = host.or(received.host).unzip();
        let (port, port_outcome) = claim.take(trusted, Field::Port, Port::from_bytes);
        let (port, port_outcome) = match port {
            Some(_) if host.is_none() || takes_port_along(host_outcome) => {
                (None, Outcome::Refused(Refusal::WithoutHost))
            }
            port => (port, port_outcome),
        };
        let port = port.or(host_port.flatten());
        let (prefix, prefix_outcome) = claim.take(trusted, Field::Prefix, Prefix::from_bytes);
        Origin {
            peer,
            client: found.client,
            ending,
            last_verified: found.last_verified,
            scheme,
            host,
            port,
            prefix: prefix.unwrap_or(received.prefix),
            through_gateway: false,
            host_withheld: false,
            outcomes: [for_outcome, proto, host_outcome, port_outcome, prefix_outcome],
        }
    }

    fn walk<C: Claims + ?Sized>(
        &self,
        peer: Peer,
        claims: &C,
        on_step: &mut dyn FnMut(Step),
    ) -> (Ending, Found, Outcome) {
        let (ending, found) = match &self.sources[Field::For as usize] {
            Source::Off => {
                let nothing = core::iter::empty();
                Walk::new(&self.trusted, peer, Notation::XForwarded, nothing).finish(on_step)
            }
            Source::List { header, .. } => {
                Walk::new(&self.trusted, peer, Notation::XForwarded, claims.lines(header)).finish(on_step)
            }
            Source::Element(_) => {
                Walk::new(&self.trusted, peer, Notation::Forwarded, claims.lines(FORWARDED)).finish(on_step)
            }
            Source::Single { header, .. } => {
                let several = single(|| claims.lines(header)).is_err();
                let walk = Walk::new(&self.trusted, peer, Notation::XForwarded, claims.lines(header));
                // Neither the first nor the last of several is the one (threat T34).
                if several { walk.refuse_several().finish(on_step) } else { walk.finish(on_step) }
            }
        };
        let outcome = match ending {
            _ if !self.reads(Field::For) => Outcome::NotRead,
            Ending::PeerUntrusted | Ending::PeerUnknown => Outcome::NotRead,
            Ending::HeaderAbsent => Outcome::Absent,
            Ending::ClientFound | Ending::AllTrusted | Ending::HopLimit => Outcome::Believed,
            Ending::Malformed | Ending::Opaque | Ending::Unroutable | Ending::TooLong => {
                Outcome::Refused(Refusal::Malformed)
            }
            Ending::Empty => Outcome::Refused(Refusal::Empty),
            Ending::TooFew => Outcome::Refused(Refusal::TooFew),
        };
        (ending, found, outcome)
    }
}

const FORWARDED: &str = "forwarded";

/// Whether the port belongs to a host that was stated and not taken, rather than to the received one
/// (threat T127). Too few values state none.
fn takes_port_along(host: Outcome) -> bool {
    matches!(host, Outcome::Refused(refusal) if !matches!(refusal, Refusal::TooFew | Refusal::Empty))
}

/// One request's claims beside the walk that says which of them count.
struct Claim<'a, C: ?Sized> {
    policy: &'a Policy,
    peer: Peer,
    claims: &'a C,
    ending: Ending,
    found: Found,
}

impl<C: Claims + ?Sized> Claim<'_, C> {
    /// The field's value where it is believed and passes its grammar.
    fn take<T>(
        &self,
        trusted: bool,
        field: Field,
        grammar: impl Fn(&[u8]) -> Result<T, Error>,
    ) -> (Option<T>, Outcome) {
        if !trusted {
            return (None, Outcome::NotRead);
        }
        let read = |text: &[u8]| match grammar(text) {
            Ok(value) => (Some(value), Outcome::Believed),
            Err(_) => (None, Outcome::Refused(Refusal::Malformed)),
        };
        let found = match &self.policy.sources[field as usize] {
            Source::Off => return (None, Outcome::NotRead),
            Source::List { header, rule } => self.listed(|| self.claims.lines(header), *rule),
            Source::Element(rule) => match self.element(field, *rule) {
                Ok(Some(value)) => return value.with(read),
                Ok(None) => Ok(None),
                Err(refusal) => Err(refusal),
            },
            Source::Single { header, https } => match (single(|| self.claims.lines(header)), https) {
                (Ok(Some(text)), Some(token)) if text == token.as_bytes() => Ok(Some(&b"https"[..])),
                (Ok(Some(_)), Some(_)) => Err(Refusal::Malformed),
                (found, _) => found,
            },
        };
        match found {
            Ok(Some(text)) => read(text),
            Ok(None) => (None, Outcome::Absent),
            Err(refusal) => (None, Outcome::Refused(refusal)),
        }
    }

    /// The position from the right of the entry that the walk chose.
    fn chosen(&self) -> Option<usize> {
        let found = matches!(self.ending, Ending::ClientFound | Ending::AllTrusted | Ending::HopLimit);
        found.then_some(self.found.depth)
    }

    /// In count mode every hop that the count steps over has to be trusted (threat T09). A chain that
    /// the policy does not read proves nothing: its header may be the client's.
    fn within_trust(&self, count: u8) -> bool {
        let policy = self.policy;
        let count = usize::from(count);
        count <= 1
            || policy.trusted.trusts_every_peer()
            || count <= self.found.trusted_hops
            || match &policy.sources[Field::For as usize] {
                // The chain's own hop limit may have ended the walk short of this count.
                Source::List { header, .. } => {
                    self.reaches(count, Notation::XForwarded, self.claims.lines(header))
                }
                Source::Element(_) => self.reaches(count, Notation::Forwarded, self.claims.lines(FORWARDED)),
                Source::Off | Source::Single { .. } => false,
            }
    }

    fn reaches<'a>(
        &'a self,
        count: usize,
        notation: Notation,
        lines: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> bool {
        let walk = Walk::new(&self.policy.trusted, self.peer, notation, lines).with_reach(count);
        walk.finish(&mut |_| {}).1.trusted_hops >= count
    }

    fn listed<'a, L>(&self, lines: impl Fn() -> L, rule: Rule) -> Result<Option<&'a [u8]>, Refusal>
    where
        L: DoubleEndedIterator<Item = &'a [u8]>,
    {
        let mut rest = values(lines());
        let Some(nearest) = rest.next() else { return Ok(None) };
        if nearest.is_empty() && is_blank(lines()) {
            return Ok(None);
        }
        let value = match rule {
            Rule::Count(count) if !self.within_trust(count) => {
                return Err(Refusal::BeyondTrust);
            }
            Rule::Count(count) => values(lines()).nth(usize::from(count) - 1).ok_or(Refusal::TooFew)?,
            Rule::Aligned => match rest.count() + 1 {
                1 => nearest,
                several => {
                    let position = self.chosen().ok_or(Refusal::WalkEnded)?;
                    if ![position, self.unlimited_depth(), self.chain_length()].contains(&several) {
                        return Err(Refusal::Asymmetric);
                    }
                    values(lines()).nth(position - 1).ok_or(Refusal::Asymmetric)?
                }
            },
        };
        if value.is_empty() { Err(Refusal::Empty) } else { Ok(Some(value)) }
    }

    /// The number of entries that the walk would take if no number of hops were declared: what the
    /// proxies wrote, of which the operator counts some.
    fn unlimited_depth(&self) -> usize {
        match &self.policy.sources[Field::For as usize] {
            Source::List { header, .. } if self.ending == Ending::HopLimit => {
                let walk = Walk::new(
                    &self.policy.trusted,
                    self.peer,
                    Notation::XForwarded,
                    self.claims.lines(header),
                );
                walk.with_reach(usize::from(MOST_HOPS)).finish(&mut |_| {}).1.depth
            }
            _ => self.found.depth,
        }
    }

    /// The number of all entries of the chain, believed or not.
    fn chain_length(&self) -> usize {
        match &self.policy.sources[Field::For as usize] {
            Source::List { header, .. } => values(self.claims.lines(header)).count(),
            Source::Off | Source::Element(_) | Source::Single { .. } => 0,
        }
    }

    fn element(&self, field: Field, rule: Rule) -> Result<Option<Value<'_>>, Refusal> {
        if is_blank(self.claims.lines(FORWARDED)) {
            return Ok(None);
        }
        let position = match (rule, self.ending) {
            (Rule::Count(count), _) if !self.within_trust(count) => {
                return Err(Refusal::BeyondTrust);
            }
            (Rule::Count(count), _) => usize::from(count),
            (Rule::Aligned, Ending::HeaderAbsent) if self.policy.reads(Field::For) => return Ok(None),
            // Without a chain to choose from, the nearest hop speaks.
            (Rule::Aligned, Ending::HeaderAbsent) => 1,
            // The chosen element, or one that names nobody: a verified hop wrote the rest of it.
            (Rule::Aligned, Ending::Empty) => self.found.depth,
            (Rule::Aligned, _) => self.chosen().ok_or(Refusal::WalkEnded)?,
        };
        let text = element_at(self.claims.lines(FORWARDED), position).ok_or(Refusal::TooFew)?;
        let element = Element::read(text).ok_or(Refusal::Malformed)?;
        Ok(match field {
            Field::For => element.node,
            Field::Proto => element.proto,
            Field::Host => element.host,
            Field::Port | Field::Prefix => None,
        })
    }
}

/// The values of a list, nearest first.
fn values<'a>(lines: impl DoubleEndedIterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    Entries::new(lines, Quoting::None, usize::MAX).map(|entry| match entry {
        Entry::Text(text) => text,
        Entry::TooLong => &[],
    })
}

/// The value of a header that must have exactly one.
fn single<'a, L>(lines: impl Fn() -> L) -> Result<Option<&'a [u8]>, Refusal>
where
    L: DoubleEndedIterator<Item = &'a [u8]>,
{
    let mut all = values(lines());
    match (all.next(), all.next()) {
        (None | Some([]), _) if is_blank(lines()) => Ok(None),
        (only, None) => Ok(only),
        (_, Some(_)) => Err(Refusal::Multiple),
    }
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

    #[test]
    fn t90_a_scheme_header_has_to_equal_its_token() {
        let front_end = |builder: PolicyBuilder| builder.https_when("Front-End-Https", "on");
        assert_eq!(decide(front_end, &[("Front-End-Https", "on")]).scheme(), Scheme::Https);
        for other in ["off", "On", "on, on", "onn", ""] {
            assert_eq!(decide(front_end, &[("Front-End-Https", other)]).scheme(), Scheme::Http, "{other}");
        }
    }
}
