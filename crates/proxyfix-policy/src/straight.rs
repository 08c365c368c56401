//! The straight way to a decision: the usual request before the usual policy, judged in one go.
//!
//! It finds what [`judge`](Policy::judge) finds, or leaves the request to it: whatever is unusual, and all that a
//! sentence has something to say of, is decided in one place.

use core::net::Ipv4Addr;

use crate::claim::OneLine;
use crate::decide::LONGEST_VALUE;
use crate::lexer::{last_entry, trim_end, trim_start};
use crate::node::{LONGEST_ENTRY, Node, x_forwarded};
use crate::origin::{Places, Steps};
use crate::policy::{Plan, Rule, Source};
use crate::sentence::Notes;
use crate::trust::MOST_HOPS;
use crate::walk::is_unroutable;
use crate::{
    Claims, Ending, Family, Field, Gate, Host, Origin, Outcome, Peer, Place, Policy, Port, Prefix, Received,
    Scheme, Step, Verdict, Written,
};

impl Plan {
    /// Whether the straight way is open: one set for all hops, of which no number is declared, the chain in
    /// `X-Forwarded-For`, and no field counted or in a header of its own.
    pub(crate) fn is_straight(&self) -> bool {
        let [hop] = self.hops.as_slice() else { return false };
        let plain = |source: &Source| matches!(source, Source::Off | Source::Family(Rule::Aligned));
        !self.listed
            && hop.family == Family::XForwarded
            && !hop.who.trusts_every_peer()
            && hop.who.declared_hops().is_none()
            && self.sources[Field::For as usize] == Source::Family(Rule::Aligned)
            && self.sources.iter().all(plain)
    }
}

impl Policy {
    /// Who the client is, where a decision would leave nothing else to tell: the gate asks for an address, of the
    /// chain and the scheme nothing is refused, and no other field is stated. For the layers, where nothing is
    /// recorded.
    #[doc(hidden)]
    #[inline]
    pub fn client<C: Claims + ?Sized>(&self, peer: Peer, claims: &C) -> Option<Peer> {
        if self.plan.gate != Gate::Address || peer.is_unknown() {
            return None;
        }
        if claims.is_silent() || !self.trusted().allows(&peer) {
            return Some(peer);
        }
        let walked = self.walk_straight(peer, self.way_straight(claims)?, |_| ())?;
        let said = |field| self.said(field, claims);
        if said(Field::Host)?.or(said(Field::Port)?).or(said(Field::Prefix)?).is_some() {
            return None;
        }
        match said(Field::Proto)?.map(Scheme::read) {
            Some(None) => None,
            Some(Some(_)) | None => Some(walked.client),
        }
    }

    /// Where the straight way begins: the entry that the peer wrote, if it is an address in the one line of its
    /// header.
    #[inline]
    pub(crate) fn way_straight<'a, C: Claims + ?Sized>(&self, claims: &'a C) -> Option<LastHop<'a>> {
        match claims.one_line(Field::For) {
            OneLine::One(line) if self.plan.straight => last_hop(line),
            _ => None,
        }
    }

    /// [`judge`](Self::judge), by the straight way. The origin is put together where the caller wants to have it,
    /// once all is known.
    #[inline(never)]
    pub(crate) fn judge_straight<C: Claims + ?Sized>(
        &self,
        peer: Peer,
        received: Received,
        first: LastHop<'_>,
        claims: &C,
    ) -> Origin {
        let mut steps = Steps::one(Step { hop: peer, verdict: Verdict::Trusted });
        let Some(walked) = self.walk_straight(peer, first, |step| steps.push(step)) else {
            return self.judge(peer, received, claims);
        };
        let Some(said) = self.hear_straight(received.host.is_some(), claims) else {
            return self.judge(peer, received, claims);
        };

        let mut places = Places::default();
        let mut outcomes = self.plan.silent;
        let mut believe = |field: Field, position: u8| {
            outcomes[field as usize] = Outcome::Believed;
            let place = Place { written: Written::XForwarded, line: 1, position: position.into() };
            places.set(field, Some(place));
        };
        believe(Field::For, walked.position);
        if said.scheme.is_some() {
            believe(Field::Proto, 1);
        }
        if said.host.is_some() {
            believe(Field::Host, 1);
        }
        if said.port.is_some() {
            believe(Field::Port, 1);
        }
        if said.prefix.is_some() {
            believe(Field::Prefix, 1);
        }
        let mut notes = Notes::of(&self.plan);
        if walked.more {
            notes.mark(Notes::MORE);
        }
        let (host, port) = match said.host.or(received.host) {
            Some((host, port)) => (Some(host), port),
            None => (None, None),
        };
        Origin {
            peer,
            client: walked.client,
            ending: walked.ending,
            last_verified: walked.last_verified,
            scheme: said.scheme.unwrap_or(received.scheme),
            host,
            port: said.port.or(port),
            prefix: said.prefix.unwrap_or(received.prefix),
            through_gateway: false,
            host_withheld: false,
            host_conflict: false,
            unproven: false,
            outcomes,
            places,
            steps,
            trusted_hops: walked.position + u8::from(walked.ending == Ending::AllTrusted),
            declared_hops: None,
            generation: self.generation,
            notes,
        }
    }

    /// Walks a line to its end, unless an entry is no address, or none that a client can have.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "all but the steps is held in registers")]
    fn walk_straight(&self, peer: Peer, first: LastHop<'_>, mut on_step: impl FnMut(Step)) -> Option<Walked> {
        let who = self.trusted();
        let (mut before, mut hop) = first;
        let (mut last_verified, mut position, mut ending) = (peer, 1, Ending::ClientFound);
        while who.allows(&hop) {
            last_verified = hop;
            let Some(text) = before else {
                ending = Ending::AllTrusted;
                break;
            };
            if position == MOST_HOPS {
                return None;
            }
            on_step(Step { hop, verdict: Verdict::Trusted });
            (before, hop) = last_hop(text)?;
            position += 1;
        }
        if ending == Ending::ClientFound && hop.ip().is_some_and(is_unroutable) {
            return None;
        }
        on_step(Step { hop, verdict: Verdict::Client });
        let more = before.is_some_and(|before| !before.is_empty());
        Some(Walked { client: hop, ending, last_verified, position, more })
    }

    /// Reads the fields, unless anything of them has to be refused.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a host and a prefix would be copied out of the call")]
    fn hear_straight<C: Claims + ?Sized>(&self, has_host: bool, claims: &C) -> Option<Said> {
        let mut said = Said::default();
        if let Some(text) = self.said(Field::Proto, claims)? {
            said.scheme = Some(Scheme::read(text)?);
        }
        if let Some(text) = self.said(Field::Port, claims)? {
            said.port = Some(Port::read(text)?);
        }
        if let Some(text) = self.said(Field::Host, claims)? {
            said.host = Some(self.host(text)?);
        } else if said.port.is_some() && !has_host {
            return None;
        }
        if let Some(text) = self.said(Field::Prefix, claims)? {
            said.prefix = Some(Prefix::read(text)?);
        }
        Some(said)
    }

    /// The one value of a field that is read; `None` where there are several, or a long one.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "which field it is is known then")]
    #[expect(clippy::option_option, reason = "whether it is usual, and what it says")]
    fn said<'a, C: Claims + ?Sized>(&self, field: Field, claims: &'a C) -> Option<Option<&'a [u8]>> {
        if !self.reads(field) {
            return Some(None);
        }
        match claims.one_line(field) {
            OneLine::None => Some(None),
            OneLine::One(line) => sole_value(line),
            OneLine::Several => None,
        }
    }
}

/// Where a chain of one line leads.
struct Walked {
    client: Peer,
    ending: Ending,
    last_verified: Peer,
    /// The entries read.
    position: u8,
    /// Whether anything stands left of the client's entry.
    more: bool,
}

/// What the fields say, where they say something.
#[derive(Default)]
struct Said {
    scheme: Option<Scheme>,
    host: Option<(Host, Option<Port>)>,
    port: Option<Port>,
    prefix: Option<Prefix>,
}

/// The one value of a line, where there are not several and none that is too long.
#[inline]
#[expect(clippy::option_option, reason = "whether it is usual, and what it says")]
fn sole_value(line: &[u8]) -> Option<Option<&[u8]>> {
    // Of what is too long, white space before it included, nothing on the left is read.
    let text = Some(trim_end(line)).filter(|text| text.len() <= LONGEST_VALUE)?;
    let text = trim_start(text);
    let usual = !text.contains(&b',');
    usual.then_some(Some(text).filter(|text| !text.is_empty()))
}

/// What stands before the last comma of a line, and the hop named behind it, if one is.
pub(crate) type LastHop<'a> = (Option<&'a [u8]>, Peer);

/// IPv4 is read from its end, together with the search for the comma.
#[inline]
fn last_hop(line: &[u8]) -> Option<LastHop<'_>> {
    let mut rest = line;
    let Some(ip) = take_last_ipv4(&mut rest) else { return last_other_hop(line) };
    if let [before @ .., b' '] = rest {
        rest = before;
    }
    let before = match rest {
        [] => None,
        [before @ .., b','] => Some(before),
        _ => return last_other_hop(line),
    };
    Some((before, Peer::new(Ipv4Addr::from_bits(ip).into(), None)))
}

#[inline(never)]
fn last_other_hop(line: &[u8]) -> Option<LastHop<'_>> {
    let (before, entry) = last_entry(trim_end(line), LONGEST_ENTRY);
    match x_forwarded(trim_start(entry?)) {
        Node::Address(hop) => Some((before, hop)),
        _ => None,
    }
}

/// Takes four octets from the end. What stands before them may be part of the first.
#[inline]
fn take_last_ipv4(text: &mut &[u8]) -> Option<u32> {
    let mut rest = *text;
    let mut bits = take_last_octet(&mut rest)?;
    for shift in [8, 16, 24] {
        rest = rest.strip_suffix(b".")?;
        bits |= take_last_octet(&mut rest)? << shift;
    }
    *text = rest;
    Some(bits)
}

/// Takes up to three digits from the end, of which the first is zero only if it is alone.
#[inline]
fn take_last_octet(text: &mut &[u8]) -> Option<u32> {
    let digit = |byte: u8| Some(u32::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit <= 9);
    let (last, mut rest) = text.split_last()?;
    let mut octet = digit(*last)?;
    let mut first = 1;
    for place in [10, 100] {
        let [before @ .., byte] = rest else { break };
        let Some(digit) = digit(*byte) else { break };
        octet += digit * place;
        first = digit;
        rest = before;
    }
    *text = rest;
    Some(octet).filter(|octet| first > 0 && *octet <= 255)
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use proptest::collection::vec as many;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::TrustedProxies;

    /// Entries of a chain, usual and unusual.
    fn entry() -> impl Strategy<Value = String> {
        let usual = select(vec![
            "10.0.0.7",
            "10.0.0.8",
            "203.0.113.9",
            " 10.1.2.3",
            "  10.1.2.3",
            "10.0.0.9:80",
            "2001:db8:1::2",
            "[2001:db8:1::3]:99",
            "2001:db8:9::2",
            "::ffff:10.0.0.4",
            "198.51.100.255",
        ]);
        let odd = select(vec![
            "",
            " ",
            "\t",
            "127.0.0.1",
            "unknown",
            "_x",
            "oops",
            "010.0.0.7",
            "10.0.0.256",
            "10.0.0",
            "x10.0.0.7",
            "1234.0.0.1",
            "10.00.0.1",
            "10.0.0.7 ",
            "10.0.0.7\t",
            "0.0.0.0",
            "fe80::1",
            "10.0.0.7:",
            "10.0.0.7 x",
            "110.0.0.7",
            ".10.0.0.7",
            "10.0.0.7.",
            "unix:",
        ]);
        prop_oneof![8 => usual.prop_map(String::from), 2 => odd.prop_map(String::from),
            1 => "[0-9.:a-f ,]{0,70}", 1 => Just(format!("{}10.0.0.7", " ".repeat(80)))]
    }

    fn chain() -> impl Strategy<Value = String> {
        let usual = many(entry(), 1..5);
        let long =
            many(select(vec!["10.0.0.7".to_string(), " 10.0.0.8".into(), "203.0.113.9".into()]), 28..36);
        prop_oneof![6 => usual, 1 => long].prop_map(|entries| entries.join(","))
    }

    fn value() -> impl Strategy<Value = &'static str> {
        select(vec![
            "https",
            "HTTP",
            "http",
            "good.example",
            "Good.Example:8443",
            "a_b",
            "[2001:db8::1]:80",
            "8443",
            "443",
            "0",
            "/app",
            "/a/../b",
            "/",
            " https ",
            "",
            " ",
            ",",
            "https,http",
            "x, y",
            "/%41",
            "good.example:0",
        ])
    }

    fn headers() -> impl Strategy<Value = Vec<(&'static str, String)>> {
        let fitting = (
            select(vec!["https", "HTTP"]),
            select(vec!["good.example", "Good.Example:8443"]),
            select(vec!["8443", "443"]),
            select(vec!["/app", "/"]),
        );
        let fitting = (fitting, any::<[bool; 4]>()).prop_map(|((proto, host, port, prefix), there)| {
            let names = Field::ALL.map(Field::x_forwarded_name);
            let all = [proto, host, port, prefix];
            (0..4).filter(|at| there[*at]).map(|at| (names[at + 1], all[at].to_string())).collect::<Vec<_>>()
        });
        let others = many((select(Field::ALL.map(Field::x_forwarded_name).to_vec()), value()), 0..4)
            .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name, value.to_string())).collect());
        let lines = prop_oneof![9 => many(chain(), 1), 1 => many(chain(), 0..3)];
        (lines, prop_oneof![2 => fitting, 1 => others]).prop_map(|(lines, fields)| {
            let lines = lines.into_iter().map(|line| (Field::For.x_forwarded_name(), line));
            lines.chain(fields).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_straight_way_leads_where_the_long_one_does(
            headers in headers(),
            read in any::<[bool; 4]>(),
            local in any::<bool>(),
            underscores in any::<bool>(),
            host in select(vec![None, Some("internal.example")]),
        ) {
            let trusted: TrustedProxies = "10.0.0.0/8, 2001:db8:1::/48".parse().unwrap();
            let fields = Field::ALL.into_iter().filter(|field| (*field as usize).checked_sub(1).is_none_or(|at| read[at]));
            let builder = Policy::builder(trusted.local_sockets()).fields(fields);
            let policy = if underscores { builder.underscore_hosts() } else { builder }.build().unwrap();
            prop_assert!(policy.plan.straight);
            let peer = if local { Peer::local() } else { "10.0.0.2:99".parse().unwrap() };
            let received = || Received::default()
                .with_host(host.map(|host| (host.parse().unwrap(), Port::new(8080))))
                .with_prefix("/gw".parse().unwrap());
            let claims: Vec<(&str, &[u8])> = headers.iter().map(|(name, line)| (*name, line.as_bytes())).collect();

            let straight = policy.decide(peer, received(), &claims[..]);
            if let Some(client) = policy.client(peer, &claims[..]) {
                prop_assert_eq!(client, straight.client);
                prop_assert!(!straight.ending.is_incomplete());
                let told = |field| matches!(straight.outcome(field), Outcome::NotRead | Outcome::Absent);
                prop_assert!([Field::Host, Field::Port, Field::Prefix].into_iter().all(told));
                prop_assert!(told(Field::Proto) || straight.outcome(Field::Proto) == Outcome::Believed);
            }
            let long = policy.judge(peer, received(), &claims[..]);
            prop_assert_eq!(&straight, &long);
            prop_assert_eq!(Field::ALL.map(|field| straight.place(field)), Field::ALL.map(|field| long.place(field)));
            prop_assert_eq!(straight.to_string(), long.to_string());
            prop_assert_eq!(format!("{straight:?}"), format!("{long:?}"));
        }
    }

    #[test]
    fn unusual_policies_go_the_long_way() {
        let set = || "10.0.0.0/8".parse::<TrustedProxies>().unwrap();
        let unusual = [
            Policy::builder(set().hops(2).unwrap()),
            Policy::builder(TrustedProxies::dangerously_trust_every_peer()),
            Policy::builder(set()).family(Family::Forwarded),
            Policy::builder(set()).count(Field::Host, 1),
            Policy::builder(set()).single(Field::Prefix, "x-script-name"),
            Policy::builder(set()).https_when("front-end-https", "on"),
            Policy::builder(set()).fields([Field::Proto]),
            Policy::builder(crate::Topology::new([crate::Hop::new("near", set())]).unwrap()),
        ];
        for builder in unusual {
            let policy = builder.build().unwrap();
            assert!(!policy.plan.straight, "{policy:?}");
        }
        assert!(Policy::new(set()).plan.straight);
    }
}
