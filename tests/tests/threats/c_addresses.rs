//! C. Addresses and networks.

use std::net::IpAddr;

use proxyfix::{Ending, Field, ProxyFix, TrustedProxies};

use crate::stage::*;

#[test]
fn t40_a_mapped_peer_is_its_ipv4_address() {
    let seen = see(&everything(), head("[::ffff:10.0.0.2]:40000", &[("X-Forwarded-For", b"203.0.113.9")]));
    assert_eq!(seen.who(), "203.0.113.9 client-found");
    let seen = see(&everything(), head("[::ffff:203.0.113.9]:51515", FORGED));
    assert_eq!(seen.who(), "203.0.113.9 peer-untrusted");
}

#[test]
fn t41_a_mapped_entry_is_its_ipv4_address() {
    for entry in [&b"::ffff:198.51.100.7"[..], b"::FFFF:C633:6407", b"[::ffff:198.51.100.7]:80"] {
        assert_chain(&[entry], "198.51.100.7 client-found");
    }
    assert_chain(&[b"203.0.113.9, ::ffff:10.0.0.7"], "203.0.113.9 client-found");
}

#[test]
fn t42_a_mapped_network_is_its_ipv4_network() {
    let fix = ProxyFix::new(trust("::ffff:10.0.0.0/104"));
    assert_eq!(
        see(&fix, head(PROXY, &[("X-Forwarded-For", b"203.0.113.9")])).who(),
        "203.0.113.9 client-found"
    );
    for text in ["::/1", "::ffff:0:0/95", "::/80"] {
        assert!(text.parse::<TrustedProxies>().is_err(), "{text}");
    }
}

#[test]
fn t43_other_embedded_addresses_are_ordinary_ipv6() {
    for (entry, client) in [
        (&b"::10.0.0.2"[..], "::10.0.0.2"),
        (b"64:ff9b::10.0.0.2", "64:ff9b::a00:2"),
        (b"2002:0a00:0002::1", "2002:a00:2::1"),
    ] {
        let client: IpAddr = client.parse().unwrap();
        assert_chain(&[&[b"127.0.0.1, ", entry].concat()], &format!("{client} client-found"));
    }
}

#[test]
fn t44_zones_are_malformed() {
    assert_nobody(
        &[b"fe80::1%eth0", b"fe80::1%25eth0", b"[fe80::1%eth0]", b"[2001:db8::9%1]:80"],
        Ending::Malformed,
    );
    let seen = see(&forwarded(), head(PROXY, &[("Forwarded", b"for=\"[fe80::1%25eth0]\"")]));
    assert_eq!(seen.who(), "nobody malformed");
    assert_off(Field::Host, &[b"[fe80::1%25eth0]", b"[fe80::1%eth0]"]);
    assert!("fe80::1%eth0".parse::<TrustedProxies>().is_err());
    // The scope of a socket address is no part of who is connected.
    let fix = ProxyFix::new(trust("link-local"));
    let seen = see(&fix, head("[fe80::1%3]:40000", &[("X-Forwarded-For", b"203.0.113.9")]));
    assert_eq!(seen.who(), "203.0.113.9 client-found");
}

#[test]
fn t45_t46_t47_an_address_is_written_in_one_way() {
    assert_nobody(
        &[
            b"010.0.0.2",
            b"203.000.113.009",
            b"0x0a.0.0.2",
            b"0x0a000002",
            b"10.2",
            b"10.0.2",
            b"167772162",
            b"10.0.0.256",
            b"999.1.1.1",
            b"10.0.0.2.",
            b"10.0.0.2%00",
            b"10.0.0.2/8",
            b"10.0.0.2#",
            b"+10.0.0.2",
            b"1::2::3",
            b"12345::",
            b"::ffff:010.0.0.1",
        ],
        Ending::Malformed,
    );
}

/// Asserts which of `entries` `network` holds: a trusted entry passes on to the one on its left.
#[track_caller]
fn assert_members(network: &str, inside: &[&str], outside: &[&str]) {
    let fix = ProxyFix::new(trust(&format!("192.0.2.1, {network}")));
    for (entries, trusted) in [(inside, true), (outside, false)] {
        for entry in entries {
            let line = format!("198.51.100.7, {entry}");
            let seen = see(&fix, head("192.0.2.1", &[("X-Forwarded-For", line.as_bytes())]));
            let client = if trusted { "198.51.100.7" } else { entry };
            assert_eq!(seen.origin().client(), client.parse().ok(), "{entry} in {network}");
        }
    }
}

#[test]
fn t48_addresses_are_compared_by_number() {
    assert_members(
        "2001:db8::9, 10.0.0.1",
        &["2001:DB8:0:0:0:0:0:9", "2001:db8::0009", "10.0.0.1"],
        &["10.0.0.10", "110.0.0.1", "2001:db8::90"],
    );
}

#[test]
fn t49_membership_is_exact_at_both_edges() {
    assert_members("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"], &["9.255.255.255", "11.0.0.0", "::a00:1"]);
    assert_members("203.0.113.8/31", &["203.0.113.8", "203.0.113.9"], &["203.0.113.7", "203.0.113.10"]);
    assert_members("203.0.113.9/32", &["203.0.113.9"], &["203.0.113.8", "203.0.113.10"]);
    assert_members("2001:db8::/127", &["2001:db8::", "2001:db8::1"], &["2001:db8::2"]);
    assert_members("2001:db8::9/128", &["2001:db8::9"], &["2001:db8::8", "203.0.113.9"]);
    assert_members("128.0.0.0/1", &["128.0.0.0", "255.255.255.255"], &["126.0.0.1", "8000::1"]);
    assert_members("8000::/1", &["8000::", "ffff::1"], &["7fff::1", "128.0.0.1"]);
}
