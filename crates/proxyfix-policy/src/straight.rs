//! The straight way to a decision: the usual request before the usual policy, judged in one go.
//!
//! It finds what [`judge`](Policy::judge) finds, or leaves the request to it: whatever is unusual, and all that a
//! sentence has something to say of, is decided in one place.

use core::iter;
use core::net::Ipv4Addr;

use crate::claim::{FORWARDED, OneLine};
use crate::decide::LONGEST_VALUE;
use crate::forwarded::{PLAIN, TOKEN, has_class};
use crate::lexer::{is_blank_line, last_entry, trim_end, trim_start};
use crate::node::{LONGEST_ELEMENT, LONGEST_ENTRY, Node, rfc7239, x_forwarded};
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
    /// The family in which the straight way is open: one set for all hops, of which no number is declared, and no
    /// field counted or in a header of its own.
    pub(crate) fn straight_family(&self) -> Option<Family> {
        let [hop] = self.hops.as_slice() else { return None };
        let plain = |source: &Source| matches!(source, Source::Off | Source::Family(Rule::Aligned));
        let is_straight = !self.listed
            && hop.family.is_list()
            && !hop.who.trusts_every_peer()
            && hop.who.declared_hops().is_none()
            && self.sources[Field::For as usize] == Source::Family(Rule::Aligned)
            && self.sources.iter().all(plain);
        is_straight.then(|| hop.family.clone())
    }
}

impl Policy {
    /// Who the client is behind a peer that is trusted, where a decision would leave nothing else to tell: the gate
    /// asks for an address, of the scheme nothing is refused, and no other field is read. It is unknown where the
    /// chain is refused; that would be left to tell, to those who listen. For the layers, where nothing is recorded.
    #[doc(hidden)]
    #[inline]
    pub fn client_behind<C: Claims + ?Sized>(&self, peer: Peer, claims: &C) -> Option<Peer> {
        let reads_else =
            [Field::Host, Field::Port, Field::Prefix].map(|field| self.reads(field)).contains(&true);
        if reads_else || self.plan.gate != Gate::Address {
            return None;
        }
        let (client, scheme) = if *self.plan.straight.as_ref()? == Family::Forwarded {
            let OneLine::One(line) = OneLine::of(claims.lines(FORWARDED)) else { return None };
            let (walked, element) = self.walk_straight(peer, line, iter::empty(), last_element, |_| ())?;
            (walked.client, element.proto.filter(|_| self.reads(Field::Proto)))
        } else {
            let client = match claims.one_line(Field::For) {
                OneLine::None => peer,
                OneLine::One(line) => match self.walk_straight(peer, line, iter::empty(), last_hop, |_| ()) {
                    Some((walked, ())) => walked.client,
                    None if is_blank_line(line) => peer,
                    None => return Some(Peer::unknown()),
                },
                OneLine::Several => self.client_of_lines(peer, claims)?,
            };
            (client, self.said(Field::Proto, claims)?)
        };
        let refused = scheme.is_some_and(|text| Scheme::read(text).is_none());
        (!refused).then_some(client)
    }

    /// [`judge`](Self::judge), by the straight way where it leads to the end.
    #[inline(never)]
    pub(crate) fn judge_x_forwarded<C: Claims + ?Sized>(
        &self,
        peer: Peer,
        received: Received,
        claims: &C,
    ) -> Origin {
        let mut steps = Steps::one(Step { hop: peer, verdict: Verdict::Trusted });
        let OneLine::One(line) = claims.one_line(Field::For) else {
            return self.judge(peer, received, claims);
        };
        let Some((walked, ())) =
            self.walk_straight(peer, line, iter::empty(), last_hop, |step| steps.push(step))
        else {
            return self.judge(peer, received, claims);
        };
        let Some(said) = self.hear_straight(received.host.is_some(), claims) else {
            return self.judge(peer, received, claims);
        };
        self.put_together(peer, received, steps, walked, said, Written::XForwarded)
    }

    /// The same of `Forwarded`.
    #[inline(never)]
    pub(crate) fn judge_forwarded<C: Claims + ?Sized>(
        &self,
        peer: Peer,
        received: Received,
        claims: &C,
    ) -> Origin {
        let mut steps = Steps::one(Step { hop: peer, verdict: Verdict::Trusted });
        let OneLine::One(line) = OneLine::of(claims.lines(FORWARDED)) else {
            return self.judge(peer, received, claims);
        };
        let Some((walked, element)) =
            self.walk_straight(peer, line, iter::empty(), last_element, |step| steps.push(step))
        else {
            return self.judge(peer, received, claims);
        };
        let Some(said) = self.hear_element(element) else {
            return self.judge(peer, received, claims);
        };
        self.put_together(peer, received, steps, walked, said, Written::Forwarded)
    }

    /// The origin, once all is known: it is put together where the caller wants to have it.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "all of this would be copied into the call, and out of it")]
    fn put_together(
        &self,
        peer: Peer,
        received: Received,
        steps: Steps,
        walked: Walked,
        said: Said,
        written: Written,
    ) -> Origin {
        // A value of its own header stands alone there, a parameter in the element of the client.
        let beside = if written == Written::Forwarded { walked.position } else { 1 };
        let mut places = Places::default();
        let mut outcomes = self.plan.silent;
        let mut believe = |field: Field, position: u8| {
            outcomes[field as usize] = Outcome::Believed;
            let place = Place { written, line: 1, position: position.into() };
            places.set(field, Some(place));
        };
        believe(Field::For, walked.position);
        if said.scheme.is_some() {
            believe(Field::Proto, beside);
        }
        if said.host.is_some() {
            believe(Field::Host, beside);
        }
        if said.port.is_some() {
            believe(Field::Port, beside);
        }
        if said.prefix.is_some() {
            believe(Field::Prefix, beside);
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

    /// The client of a chain of several lines, unless something of it is refused.
    #[cold]
    fn client_of_lines<C: Claims + ?Sized>(&self, peer: Peer, claims: &C) -> Option<Peer> {
        let mut lines = claims.lines(Field::For.x_forwarded_name());
        let line = lines.next_back()?;
        Some(self.walk_straight(peer, line, lines, last_hop, |_| ())?.0.client)
    }

    /// Walks a line to its end, and those `before` it, unless an entry is no address, or none that a client can have.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "all but the steps is held in registers")]
    fn walk_straight<'a, T>(
        &self,
        peer: Peer,
        line: &'a [u8],
        mut before: impl DoubleEndedIterator<Item = &'a [u8]>,
        last: impl Fn(&'a [u8]) -> Option<LastHop<'a, T>>,
        mut on_step: impl FnMut(Step),
    ) -> Option<(Walked, T)> {
        let who = self.trusted();
        let (mut text, mut last_verified, mut position) = (line, peer, 0);
        loop {
            let (rest, hop, said) = last(text)?;
            if position == MOST_HOPS {
                return None;
            }
            position += 1;
            if !who.allows(&hop) {
                if hop.ip().is_some_and(is_unroutable) {
                    return None;
                }
                on_step(Step { hop, verdict: Verdict::Client });
                let more = rest.map_or_else(|| before.next_back().is_some(), |rest| !rest.is_empty());
                let ending = Ending::ClientFound;
                return Some((Walked { client: hop, ending, last_verified, position, more }, said));
            }
            last_verified = hop;
            let Some(rest) = rest.or_else(|| before.next_back()) else {
                on_step(Step { hop, verdict: Verdict::Client });
                let ending = Ending::AllTrusted;
                return Some((Walked { client: hop, ending, last_verified, position, more: false }, said));
            };
            on_step(Step { hop, verdict: Verdict::Trusted });
            text = rest;
        }
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

    /// Reads what the element says of the fields, unless anything has to be refused.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a host would be copied out of the call")]
    fn hear_element(&self, element: Element<'_>) -> Option<Said> {
        let mut said = Said::default();
        if let Some(text) = element.proto.filter(|_| self.reads(Field::Proto)) {
            said.scheme = Some(Scheme::read(text)?);
        }
        if let Some(text) = element.host.filter(|_| self.reads(Field::Host)) {
            said.host = Some(self.host(text)?);
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
#[derive(Clone, Copy)]
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

/// The one value of a line, unless it is too long. Several are none: no value that passes its grammar has a comma.
#[inline]
#[expect(clippy::option_option, reason = "whether it is usual, and what it says")]
fn sole_value(line: &[u8]) -> Option<Option<&[u8]>> {
    // Of what is too long, white space before it included, nothing on the left is read.
    let text = Some(trim_end(line)).filter(|text| text.len() <= LONGEST_VALUE)?;
    Some(Some(trim_start(text)).filter(|text| !text.is_empty()))
}

/// What stands before the last comma of a line, the hop named behind it, and what is said there besides.
type LastHop<'a, T> = (Option<&'a [u8]>, Peer, T);

/// IPv4 is read from its end, together with the search for the comma.
#[inline(always)]
#[expect(clippy::inline_always, reason = "there is one walk, which holds all of this in registers")]
fn last_hop(line: &[u8]) -> Option<LastHop<'_, ()>> {
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
    Some((before, Peer::new(Ipv4Addr::from_bits(ip).into(), None), ()))
}

#[inline(never)]
fn last_other_hop(line: &[u8]) -> Option<LastHop<'_, ()>> {
    let line = trim_end(line);
    // Of garbage the last byte tells.
    let [.., b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':' | b']'] = line else { return None };
    let (before, entry) = last_entry(line, LONGEST_ENTRY);
    match x_forwarded(trim_start(entry?)) {
        Node::Address(hop) => Some((before, hop, ())),
        _ => None,
    }
}

/// What an element of `Forwarded` says besides who was connected.
#[derive(Clone, Copy, Default)]
struct Element<'a> {
    proto: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

/// The last element of a line, where it names an address and nothing stands in it but `for`, `proto` and `host`, each
/// once, their values short and without escapes. It is read once, from its end, as the comma before it is looked for.
#[inline(never)]
fn last_element(line: &[u8]) -> Option<LastHop<'_, Element<'_>>> {
    let line = trim_end(line);
    let (mut node, mut element) = (None, Element::default());
    let mut rest = line;
    let before = loop {
        let (name, value) = split_last_value(rest)?;
        let (before, place) = match name {
            [before @ .., b'f' | b'F', b'o' | b'O', b'r' | b'R'] => (before, &mut node),
            [before @ .., b'p' | b'P', b'r' | b'R', b'o' | b'O', b't' | b'T', b'o' | b'O'] => {
                (before, &mut element.proto)
            }
            [before @ .., b'h' | b'H', b'o' | b'O', b's' | b'S', b't' | b'T'] => (before, &mut element.host),
            _ => return None,
        };
        if place.replace(value).is_some() {
            return None;
        }
        match trim_end(before) {
            [before @ .., b';'] => rest = trim_end(before),
            [before @ .., b','] => break Some(before),
            [] => break None,
            _ => return None,
        }
    };
    if line.len() - before.map_or(0, |before| before.len() + 1) > LONGEST_ELEMENT {
        return None;
    }
    match rfc7239(node?) {
        Node::Address(hop) => Some((before, hop, element)),
        _ => None,
    }
}

/// What stands before the last equals sign of a text, and the value behind it.
#[inline]
fn split_last_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let [text @ .., b'"'] = text {
        let (before, value) = split_behind(text, |byte| !has_class(byte, PLAIN));
        return Some((before.strip_suffix(b"=\"")?, value));
    }
    let (before, value) = split_behind(text, |byte| !has_class(byte, TOKEN));
    before.strip_suffix(b"=").filter(|_| !value.is_empty()).map(|name| (name, value))
}

/// Splits a text behind the last byte that is one of `others`, or where a value becomes too long.
#[inline(always)]
#[expect(clippy::inline_always, reason = "every byte of an element is looked at")]
fn split_behind(text: &[u8], others: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let least = text.len().saturating_sub(LONGEST_USUAL);
    let other = text[least..].iter().rposition(|byte| others(*byte));
    text.split_at(other.map_or(least, |other| least + other + 1))
}

/// Bytes of a value that is looked at here.
const LONGEST_USUAL: usize = 64;

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
    let mut octet = take_last_digit(text)?;
    // Each number of digits has the one bound that it can break.
    let Some(tens) = take_last_digit(text) else { return Some(octet) };
    octet += 10 * tens;
    let Some(hundreds) = take_last_digit(text) else { return Some(octet).filter(|octet| *octet >= 10) };
    octet += 100 * hundreds;
    Some(octet).filter(|octet| (100..=255).contains(octet))
}

#[inline]
fn take_last_digit(text: &mut &[u8]) -> Option<u32> {
    let (last, before) = text.split_last()?;
    let digit = last.wrapping_sub(b'0');
    if digit > 9 {
        return None;
    }
    *text = before;
    Some(digit.into())
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
        let lines = prop_oneof![9 => many(chain(), 1), 1 => many(chain(), 0..4)];
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
            assert_one_answer(Family::XForwarded, &headers, read, local, underscores, host)?;
        }

        #[test]
        fn the_straight_way_through_elements_leads_where_the_long_one_does(
            lines in prop_oneof![9 => many(elements(), 1), 1 => many(elements(), 0..3)],
            read in any::<[bool; 4]>(),
            local in any::<bool>(),
            underscores in any::<bool>(),
            host in select(vec![None, Some("internal.example")]),
        ) {
            let headers: Vec<_> = lines.into_iter().map(|line| (FORWARDED, line)).collect();
            assert_one_answer(Family::Forwarded, &headers, read, local, underscores, host)?;
        }
    }

    /// Each entry that the laws draw from by chance, and every number in the place of an octet.
    #[test]
    fn every_unusual_entry_is_read_as_the_long_way_reads_it() {
        let texts = [
            "2001:DB8::A",
            "2001:db8:9::F",
            "[2001:db8:9::f]",
            "2001:db8:1::a",
            "::ffff:203.0.113.9",
            "203.0.113.9:080",
            "203.0.113.9:",
            "[::1]x",
            "oopa",
            "10.0.0.7.1",
            "a.b.c.d",
            "",
            " ",
            ",",
            ", ,",
            "203.0.113.9,",
        ];
        let octets = (0..=999).flat_map(|octet| {
            [
                format!("{octet}.0.0.7"),
                format!("10.0.0.{octet}"),
                format!("10.{octet:02}.0.7"),
                format!("10.0.{octet:03}.7"),
            ]
        });
        for line in texts.into_iter().map(String::from).chain(octets) {
            for lines in [&[&line][..], &[&line, &line], &[&line, &String::new()]] {
                let headers: Vec<_> =
                    lines.iter().map(|line| (Field::For.x_forwarded_name(), (*line).clone())).collect();
                let alike = assert_one_answer(Family::XForwarded, &headers, [false; 4], false, false, None);
                assert!(alike.is_ok(), "{headers:?}: {alike:?}");
            }
        }
    }

    /// Elements of `Forwarded`, usual and unusual.
    fn elements() -> impl Strategy<Value = String> {
        let usual = select(vec![
            "for=10.0.0.7",
            "for=10.0.0.8",
            "For=203.0.113.9",
            "for=\"[2001:db8:1::2]:80\"",
            "for=\"10.0.0.9:80\"",
            "for=\"[2001:db8:9::2]\"",
            "for=10.0.0.7 ",
            " for=10.0.0.7",
        ]);
        let besides = select(vec![
            "",
            "",
            ";proto=https",
            ";PROTO=http",
            ";host=good.example",
            ";Host=\"good.example:8443\"",
            "; host=x",
            " ;proto=https",
            ";",
        ]);
        let odd = select(vec![
            "",
            " ",
            "for=unknown",
            "for=_x",
            "for=\"\"",
            "proto=https",
            "by=10.0.0.1;",
            ";by=\"a,b\"",
            "for=127.0.0.1",
            ";proto=gopher",
            ";host=a_b",
            ";host=\"\"",
            ";host=\"a\\\"b\"",
            "for=2001:db8::1",
            ";x=1;x=2",
            "for =10.0.0.7",
            "for=10.0.0.7;for=10.0.0.8",
            "\"",
            ";host=\"a,b\"",
            ";=x",
            ";host= x",
            "xfor=10.0.0.7",
            ";x=\"for=10.0.0.7\"",
            ";host=\"x=\";proto=\"https\"",
            ";;proto=http",
        ]);
        let usual =
            (usual, besides.clone(), besides).prop_map(|(node, one, other)| format!("{node}{one}{other}"));
        let odd = many(odd, 1..3).prop_map(|parts| parts.concat());
        let long =
            (480_usize..520).prop_map(|blanks| format!("for=10.0.0.7;{}proto=http", " ".repeat(blanks)));
        let host = (50_usize..70).prop_map(|letters| format!("for=10.0.0.7;host={}", "a".repeat(letters)));
        let element = prop_oneof![12 => usual, 2 => odd, 1 => "[a-z=;\", ]{0,40}", 1 => long, 1 => host];
        let many_elements = many(Just("for=10.0.0.7".to_string()), 28..36);
        prop_oneof![9 => many(element, 1..5), 1 => many_elements].prop_map(|elements| elements.join(","))
    }

    fn assert_one_answer(
        family: Family,
        headers: &[(&'static str, String)],
        read: [bool; 4],
        local: bool,
        underscores: bool,
        host: Option<&str>,
    ) -> Result<(), TestCaseError> {
        let trusted: TrustedProxies = "10.0.0.0/8, 2001:db8:1::/48".parse().unwrap();
        let is_read = |field: &Field| (*field as usize).checked_sub(1).is_none_or(|at| read[at]);
        let builder = Policy::builder(trusted.local_sockets()).family(family);
        let builder = builder.fields(Field::ALL.into_iter().filter(is_read));
        let policy = if underscores { builder.underscore_hosts() } else { builder }.build().unwrap();
        prop_assert!(policy.plan.straight.is_some());
        let peer = if local { Peer::local() } else { "10.0.0.2:99".parse().unwrap() };
        let received = || {
            Received::default()
                .with_host(host.map(|host| (host.parse().unwrap(), Port::new(8080))))
                .with_prefix("/gw".parse().unwrap())
        };
        let claims: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, line)| (*name, line.as_bytes())).collect();

        let straight = policy.decide(peer, received(), &claims[..]);
        let long = policy.judge(peer, received(), &claims[..]);
        prop_assert_eq!(&straight, &long);
        let places = |origin: &Origin| Field::ALL.map(|field| origin.place(field));
        prop_assert_eq!(places(&straight), places(&long));
        prop_assert_eq!(straight.to_string(), long.to_string());
        prop_assert_eq!(format!("{straight:?}"), format!("{long:?}"));

        let client = policy.client_behind(peer, &claims[..]).filter(|_| policy.trusted().allows(&peer));
        if let Some(client) = client {
            prop_assert_eq!(client, long.client);
            prop_assert_eq!(client.is_unknown(), long.ending.is_incomplete());
            let told = |field| matches!(long.outcome(field), Outcome::NotRead | Outcome::Absent);
            prop_assert!([Field::Host, Field::Port, Field::Prefix].into_iter().all(told));
            let fine = told(Field::Proto) || long.outcome(Field::Proto) == Outcome::Believed;
            prop_assert!(fine || client.is_unknown());
        }
        Ok(())
    }

    #[test]
    fn unusual_policies_go_the_long_way() {
        let set = || "10.0.0.0/8".parse::<TrustedProxies>().unwrap();
        let unusual = [
            Policy::builder(set().hops(2).unwrap()),
            Policy::builder(TrustedProxies::dangerously_trust_every_peer()),
            Policy::builder(set()).family(Family::Single("x-real-ip".into())),
            Policy::builder(set()).count(Field::Host, 1),
            Policy::builder(set()).single(Field::Prefix, "x-script-name"),
            Policy::builder(set()).https_when("front-end-https", "on"),
            Policy::builder(set()).fields([Field::Proto]),
            Policy::builder(crate::Topology::new([crate::Hop::new("near", set())]).unwrap()),
        ];
        for builder in unusual {
            let policy = builder.build().unwrap();
            assert!(policy.plan.straight.is_none(), "{policy:?}");
        }
        assert_eq!(Policy::new(set()).plan.straight, Some(Family::XForwarded));
    }
}
