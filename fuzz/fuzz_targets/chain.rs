//! The chain of `X-Forwarded-For`. An input is its field lines, one a line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxyfix::{Ending, Peer, Step, TrustedProxies};
use proxyfix_fuzz::{TRUSTED_SETS, Walked, counts_at_most_two, entries, proxy, walk, x_forwarded_node};

/// What proxies append, two hops of it: the client, or what is said of it, and `10.0.0.7`.
const HONEST: [&[u8]; 5] = [
    b"203.0.113.9, 10.0.0.7",
    b"\t[2001:db9::9]:4711\t,10.0.0.7:443 ",
    b"unknown, ::ffff:10.0.0.7",
    b"oops,10.0.0.7",
    b", 10.0.0.7",
];

fuzz_target!(|data: &[u8]| {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    for trusted in TRUSTED_SETS.iter() {
        as_it_is_read_from_the_left(trusted, &lines);
        if counts_at_most_two(trusted) {
            l1_prefix_invariance(trusted, &lines, HONEST[data.len() % HONEST.len()]);
        }
        l5_line_independence(trusted, &lines);
    }
});

fn walked(trusted: &TrustedProxies, peer: Peer, lines: &[&[u8]]) -> (Walked, Vec<Step>) {
    let mut walk = trusted.walk(peer, lines.iter().copied());
    let steps = walk.by_ref().collect();
    let walked =
        Walked { ending: walk.ending().unwrap(), client: walk.client(), verified: walk.last_verified() };
    (walked, steps)
}

/// Splitting the whole from the left leads to the same place (and so the client is the peer, an entry,
/// or nobody: L7).
fn as_it_is_read_from_the_left(trusted: &TrustedProxies, lines: &[&[u8]]) {
    let nodes: Vec<_> = entries(lines).into_iter().map(x_forwarded_node).collect();
    for peer in [proxy(), Peer::local(), Peer::unknown()] {
        let (found, steps) = walked(trusted, peer, lines);
        let (expected, read) = walk(trusted, peer, &nodes);
        assert_eq!(found, expected, "{trusted:?} {peer}");
        let hops = steps.len() - 1;
        assert!(hops == read || found.ending == Ending::HeaderAbsent, "{read} entries read: {steps:?}");
    }
}

fn l1_prefix_invariance(trusted: &TrustedProxies, lines: &[&[u8]], honest: &[u8]) {
    let alone = walked(trusted, proxy(), &[honest]);
    let in_earlier_lines = [lines, &[honest]].concat();
    assert_eq!(walked(trusted, proxy(), &in_earlier_lines), alone, "{trusted:?}");
    let (last, earlier) = lines.split_last().unwrap();
    let same_line = [last, &b", "[..], honest].concat();
    let in_the_same_line = [earlier, &[same_line.as_slice()]].concat();
    assert_eq!(walked(trusted, proxy(), &in_the_same_line), alone, "{trusted:?}");
}

fn l5_line_independence(trusted: &TrustedProxies, lines: &[&[u8]]) {
    let whole = walked(trusted, proxy(), lines);
    let split: Vec<&[u8]> = lines.iter().flat_map(|line| line.split(|byte| *byte == b',')).collect();
    assert_eq!(walked(trusted, proxy(), &split), whole, "{trusted:?}");
    let joined = lines.join(&b',');
    assert_eq!(walked(trusted, proxy(), &[&joined]), whole, "{trusted:?}");
}
