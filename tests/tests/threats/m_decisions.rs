//! M. Decisions: keys of rate limits, and allow-lists. What is logged is in `events.rs`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proxyfix::{Fix, KeepOriginal, Origin, Proof, ProxyFix, Shadow};

use crate::stage::*;

/// The key of a request that the proxy forwarded with this chain.
fn key(chain: &[u8]) -> String {
    see(&everything(), head(PROXY, &[("X-Forwarded-For", chain)])).origin().client_key().to_string()
}

#[test]
fn t193_debugging_shows_no_secret() {
    const SECRET: &str = "9f86d081884c7d659a2feaa0c55ad015";
    let proof = Proof::secret("X-Origin-Secret", [SECRET]).unwrap();
    let shadow = Shadow::new(trust("loopback"));
    let fix = ProxyFix::builder(trust("10.0.0.0/8")).and_proof(proof).shadow(shadow.clone()).build().unwrap();
    let lines: Lines<'_> = &[
        ("Authorization", b"Bearer hidden-1"),
        ("Cookie", b"id=hidden-2"),
        ("X-Origin-Secret", SECRET.as_bytes()),
        ("X-Forwarded-For", b"hidden-3, 203.0.113.9"),
        ("X-Forwarded-Host", b"hidden-4:password@good.example"),
    ];
    let mut parts = get("/?token=hidden-5", PROXY, lines);
    (KeepOriginal, fix.clone(), everything()).fix(&mut parts);
    let shown = format!(
        "{fix:?} {shadow:?} {:?} {:?} {:?}",
        shadow.samples(),
        parts.extensions.get::<Origin>().unwrap(),
        parts.extensions.get::<proxyfix::Original>().unwrap(),
    );
    assert!(shown.contains("203.0.113.9"), "{shown}");
    for secret in ["hidden", "password", SECRET] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    // Nor do all extensions of the request, whatever they are.
    assert!(!format!("{:?}", parts.extensions).contains("hidden"));
}

#[test]
fn t195_a_subscriber_has_one_key() {
    for host in ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff:ffff:ffff:ffff"] {
        assert_eq!(key(host.as_bytes()), "2001:db8:1:2::/64");
    }
    assert_ne!(key(b"2001:db8:1:3::1"), key(b"2001:db8:1:2::1"));
}

#[test]
fn t196_mapped_addresses_are_no_network() {
    assert_eq!(key(b"::ffff:198.51.100.7"), "198.51.100.7");
    assert_eq!(key(b"::ffff:203.0.113.9"), "203.0.113.9");
}

#[test]
fn t197_neither_port_nor_spelling_is_part_of_a_key() {
    assert_eq!(key(b"203.0.113.9:1"), key(b"203.0.113.9:2"));
    assert_eq!(key(b"2001:DB8::9"), key(b"2001:db8:0::9"));
    assert_eq!(key(b"[2001:db8::9]:1"), key(b"2001:db8::9"));
}

#[test]
fn t198_who_is_not_known_takes_nobodys_key() {
    let incomplete: BTreeSet<String> =
        [&b"garbage"[..], b"203.0.113.9, unknown", b"203.0.113.9,", b"127.0.0.1"].map(key).into();
    assert_eq!(incomplete.len(), 1, "they share one: {incomplete:?}");
    // Not the proxy's own, as a client or in a health check, nor that of a machine beside it.
    for other in [&b"10.0.0.2"[..], b"10.0.0.7", b"203.0.113.9", b""] {
        assert!(!incomplete.contains(&key(other)));
    }
    let stranger = see(&everything(), head("203.0.113.9", &[("X-Forwarded-For", b"garbage")]));
    assert_eq!(stranger.origin().client_key().to_string(), "203.0.113.9");
    // Each proxy has a key of its own for what goes wrong there.
    assert!(!incomplete.contains(&key(b"garbage, 10.0.0.7")));
    let open = see(&forwarded(), head(PROXY, &[("Forwarded", b"for=\"x")]));
    assert!(incomplete.contains(&open.origin().client_key().to_string()));
}

#[test]
fn t199_nobody_is_on_no_allow_list() {
    let allow_list = trust("10.0.0.0/8");
    let allowed = |ip: IpAddr| allow_list.allows(&ip.into());
    let (everyone, internal) = (|_: IpAddr| true, |ip: IpAddr| ip.is_loopback() || allowed(ip));
    for chain in
        [&b"garbage"[..], b"10.9.9.9, unknown", b"10.9.9.9,", b"127.0.0.1", b"garbage, 10.0.0.7", b""]
    {
        let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", chain)]));
        assert!(!seen.origin().is_complete_and(internal), "{}", chain.escape_ascii());
        assert!(!seen.origin().is_complete_and(everyone), "{}", chain.escape_ascii());
        // A deny-list has the last hop that was verified.
        assert!(seen.origin().last_verified().ip().is_some_and(allowed));
    }
    let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", b"10.9.9.9")]));
    assert!(seen.origin().is_complete_and(internal));
}
