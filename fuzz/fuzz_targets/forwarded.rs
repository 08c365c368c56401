//! `Forwarded` (RFC 7239). An input is its field lines, one a line; for the equivalence with
//! `X-Forwarded-For`, a chain.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use proxyfix::forwarded::nearest_first;
use proxyfix::{Family, Field, Forwarded, Origin, Peer, Policy, Received, Scheme, TrustedProxies};
use proxyfix_fuzz::{
    Node, Pairs, TRUSTED_SETS, counts_at_most_two, element_node, elements, entries, has_twins,
    host_with_port, parameter, proxy, rfc7239_node, walk, x_forwarded_node,
};

/// What proxies append, two hops of it: the client, or what is said of it, and `10.0.0.7`.
const HONEST: [&[u8]; 5] = [
    b"for=203.0.113.9;proto=https;host=good.example, for=10.0.0.7;proto=http",
    b"\tfor=\"[2001:db9::9]:4711\";host=\"a\\\", for=127.0.0.1\";by=_x ,,for=\"10.0.0.7:443\"; ",
    b"for=unknown;host=good.example, proto=https;for=\"[::ffff:10.0.0.7]\"",
    b"for=203.0.113.9;for=127.0.0.1,for=10.0.0.7",
    b"proto=https;host=\"good.example:8443\", for=10.0.0.7",
];

/// The most bytes of an element, white space included.
const LONGEST_ELEMENT: usize = 512;

fuzz_target!(|data: &[u8]| {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    what_is_written_is_read_again(&lines);
    for (policy, other) in POLICIES.iter() {
        as_it_is_read_from_the_left(policy, &lines);
        if counts_at_most_two(policy.trusted()) {
            l1_prefix_invariance(policy, &lines, HONEST[data.len() % HONEST.len()]);
        }
        l6_family_equivalence(policy, other, &lines);
    }
});

/// For each trusted set a policy of this family, and one of `X-Forwarded-*`.
static POLICIES: LazyLock<Vec<(Policy, Policy)>> = LazyLock::new(|| {
    let policy = |trusted: &TrustedProxies, family| {
        let policy = Policy::builder(trusted.clone()).family(family);
        policy.fields([Field::For, Field::Proto, Field::Host]).build().unwrap()
    };
    let both = |trusted| (policy(trusted, Family::Forwarded), policy(trusted, Family::XForwarded));
    TRUSTED_SETS.iter().map(both).collect()
});

/// What is read as typed values is written in one way, and means the same: to the typed reader, from
/// the left as from the right, and to the decision.
fn what_is_written_is_read_again(lines: &[&[u8]]) {
    let Ok(read) = Forwarded::from_lines(lines.iter().copied()) else { return };
    let written = read.to_bytes();
    let again = Forwarded::from_bytes(&written).expect("what was written");
    assert_eq!(again, read);
    assert_eq!(again.to_bytes(), written);

    let line = [&written[..]];
    let from_the_right = nearest_first(line).map(Result::ok);
    if read.iter().all(|element| element.to_string().len() <= LONGEST_ELEMENT / 2) {
        assert!(from_the_right.eq(read.iter().rev().cloned().map(Some)), "{read:?}");
    }
    if lines.iter().all(|line| line.len() <= LONGEST_ELEMENT) && written.len() <= LONGEST_ELEMENT {
        for (policy, _) in POLICIES.iter() {
            let decided = |lines: &[&[u8]]| decide(policy, proxy(), "forwarded", lines);
            assert_eq!(decided(lines), decided(&line), "{read:?}");
        }
    }
}

fn decide(policy: &Policy, peer: Peer, name: &str, lines: &[&[u8]]) -> Origin {
    let claims: Vec<(&str, &[u8])> = lines.iter().map(|line| (name, *line)).collect();
    policy.decide(peer, Received::default(), &claims[..]).into()
}

/// Lines that are well-formed, read from the left, lead to the same place. A line of one element that
/// is not names nobody.
fn as_it_is_read_from_the_left(policy: &Policy, lines: &[&[u8]]) {
    if lines.iter().any(|line| line.len() > LONGEST_ELEMENT) {
        return;
    }
    let read: Option<Vec<Vec<Pairs>>> = lines.iter().map(|line| elements(line)).collect();
    let (elements, nodes) = match (read, lines) {
        (Some(elements), _) => {
            let elements = elements.concat();
            let nodes: Vec<Node> = elements.iter().map(element_node).collect();
            (elements, nodes)
        }
        (None, [line]) if !line.contains(&b',') => (vec![Pairs::new()], vec![Node::Malformed]),
        (None, _) => return,
    };
    let origin = decide(policy, proxy(), "forwarded", lines);
    let (walked, depth) = walk(policy.trusted(), proxy(), &nodes);
    let found = (origin.ending(), origin.client(), origin.client_port(), origin.last_verified());
    assert_eq!(found, (walked.ending, walked.client.ip(), walked.client.port(), walked.verified));

    // The walk stopped at this element; it speaks where it names the client, or nobody at all.
    let chosen = depth.checked_sub(1).and_then(|index| elements.iter().rev().nth(index));
    let speaks = walked.client != Peer::unknown()
        || nodes.iter().rev().nth(depth.wrapping_sub(1)) == Some(&Node::Silent);
    let said =
        |name| chosen.filter(|pairs| speaks && !has_twins(pairs)).and_then(|pairs| parameter(pairs, name));
    let scheme = match said("proto") {
        Some(text) if text.eq_ignore_ascii_case(b"https") => Scheme::Https,
        _ => Scheme::Http,
    };
    let (host, port) = said("host").and_then(host_with_port).unzip();
    let port = port.flatten().filter(|port| *port != scheme.default_port().get());
    assert_eq!(origin.scheme(), scheme);
    assert_eq!(origin.host().map(ToString::to_string), host);
    assert_eq!(origin.port().map(proxyfix::Port::get), port);
}

fn l1_prefix_invariance(policy: &Policy, lines: &[&[u8]], honest: &[u8]) {
    let alone = decide(policy, proxy(), "forwarded", &[honest]);
    let in_earlier_lines = [lines, &[honest]].concat();
    assert_eq!(decide(policy, proxy(), "forwarded", &in_earlier_lines), alone);
    let (last, earlier) = lines.split_last().unwrap();
    let same_line = [last, &b", "[..], honest].concat();
    let in_the_same_line = [earlier, &[same_line.as_slice()]].concat();
    assert_eq!(decide(policy, proxy(), "forwarded", &in_the_same_line), alone);
}

/// The chain that the input is, without empty entries and with one spelling for what is no node, is
/// decided alike in either family.
fn l6_family_equivalence(policy: &Policy, other: &Policy, lines: &[&[u8]]) {
    let (mut x_forwarded, mut forwarded) = (Vec::<u8>::new(), Vec::<u8>::new());
    for entry in entries(lines) {
        let (plain, element) = match x_forwarded_node(entry) {
            Node::Empty => continue,
            Node::Address(hop) if hop.ip().is_some_and(|ip| ip.is_ipv6()) && hop.port().is_none() => {
                (entry.to_vec(), format!("for=\"[{hop}]\""))
            }
            Node::Address(hop) => (entry.to_vec(), format!("for=\"{hop}\"")),
            Node::Opaque if rfc7239_node(entry) == Node::Opaque => {
                (entry.to_vec(), format!("for={}", String::from_utf8_lossy(entry)))
            }
            Node::Opaque => (entry.to_vec(), "for=unknown".to_owned()),
            _ => (b"junk".to_vec(), "for=junk".to_owned()),
        };
        for (line, entry) in [(&mut x_forwarded, plain), (&mut forwarded, element.into_bytes())] {
            if !line.is_empty() {
                line.extend(b", ");
            }
            line.extend(entry);
        }
    }
    let told = |origin: Origin| {
        (
            origin.client(),
            origin.client_port(),
            origin.ending(),
            origin.last_verified(),
            origin.outcome(Field::For),
        )
    };
    for peer in [proxy(), Peer::local()] {
        let one = decide(other, peer, "x-forwarded-for", &[&x_forwarded]);
        let same = decide(policy, peer, "forwarded", &[&forwarded]);
        assert_eq!(told(one), told(same));
    }
}
