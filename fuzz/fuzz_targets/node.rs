//! One entry of a chain, alone. An input is the entry.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use proxyfix::{Ending, Family, Field, Peer, Policy, Received, TrustedProxies};
use proxyfix_fuzz::{Node, proxy, rfc7239_node, trim, x_forwarded_node};

fuzz_target!(|entry: &[u8]| {
    x_forwarded(entry);
    forwarded(entry);
});

/// What a walk that takes one entry, whoever it is, makes of `node`.
fn expected(node: Node) -> (Ending, Peer) {
    match node {
        Node::Address(hop) => (Ending::HopLimit, hop),
        Node::Opaque => (Ending::Opaque, Peer::unknown()),
        Node::Malformed => (Ending::Malformed, Peer::unknown()),
        Node::Empty => (Ending::HeaderAbsent, proxy()),
        Node::Silent => (Ending::Empty, Peer::unknown()),
        Node::TooLong => (Ending::TooLong, Peer::unknown()),
    }
}

fn x_forwarded(entry: &[u8]) {
    if entry.contains(&b',') {
        return;
    }
    let any = TrustedProxies::dangerously_trust_every_peer();
    let mut walk = any.walk(proxy(), [entry]);
    assert_eq!(walk.by_ref().count(), 2 - usize::from(trim(entry).is_empty()));
    assert_eq!((walk.ending().unwrap(), walk.client()), expected(x_forwarded_node(trim(entry))));
}

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let policy = Policy::builder(TrustedProxies::dangerously_trust_every_peer());
    policy.family(Family::Forwarded).fields([Field::For]).build().unwrap()
});

/// The same as the value of `for`, quoted, its escapes where they have to be and everywhere.
fn forwarded(entry: &[u8]) {
    let is_quotable = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !entry.iter().all(is_quotable) || entry.len() > 200 {
        return;
    }
    for escape in [|byte: u8| matches!(byte, b'"' | b'\\'), |_| true] {
        let mut line = b"For=\"".to_vec();
        for byte in entry {
            line.extend(escape(*byte).then_some(b'\\'));
            line.push(*byte);
        }
        line.push(b'"');
        let origin = POLICY.decide(proxy(), Received::default(), &[("forwarded", line.as_slice())][..]);
        let (ending, client) = expected(rfc7239_node(entry));
        assert_eq!(
            (origin.ending(), origin.client(), origin.client_port()),
            (ending, client.ip(), client.port())
        );
    }
}
