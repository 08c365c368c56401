//! The text form of a trusted set. An input is the text.

#![no_main]

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use libfuzzer_sys::fuzz_target;
use proxyfix::{Peer, TrustedProxies};

/// More than any error needs: what it quotes has 128 bytes, each four characters when escaped.
const LONGEST_MESSAGE: usize = 1024;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let expected = networks(text);
    match text.parse::<TrustedProxies>() {
        Ok(set) => membership(&set, &expected.expect("it is no trusted set")),
        Err(error) => {
            assert_eq!(expected, None, "{error}");
            let message = error.to_string();
            assert!((1..=LONGEST_MESSAGE).contains(&message.len()), "{} bytes", message.len());
            assert!(message.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{message:?}");
        }
    }
});

/// Networks as they are written, and whether local sockets are among them.
#[derive(Debug, PartialEq)]
struct Networks {
    networks: Vec<IpNet>,
    local: bool,
}

fn networks(text: &str) -> Option<Networks> {
    let (mut networks, mut local) = (Vec::new(), false);
    if !text.trim_ascii().is_empty() {
        for entry in text.split(',') {
            match entry.trim_ascii() {
                "unix" => local = true,
                "loopback" => networks.extend(["127.0.0.0/8", "::1/128"].map(net)),
                "private" => {
                    networks.extend(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"].map(net));
                }
                "link-local" => networks.extend(["169.254.0.0/16", "fe80::/10"].map(net)),
                entry => networks.push(network(entry)?),
            }
        }
    }
    let mapped = net("::ffff:0:0/96");
    let folded = networks.iter().map(|network| match network {
        IpNet::V6(inner) if mapped.contains(network) => {
            let ip = inner.addr().to_ipv4_mapped().unwrap();
            IpNet::V4(Ipv4Net::new(ip, inner.prefix_len() - 96).unwrap())
        }
        _ => *network,
    });
    let merged = IpNet::aggregate(&folded.collect());
    // Nobody trusts a whole family by accident, in whatever spelling.
    let too_wide = |network: &IpNet| network.prefix_len() == 0 || network.contains(&mapped);
    let refused = merged.iter().any(|network| network.prefix_len() == 0) || networks.iter().any(too_wide);
    (!refused).then_some(Networks { networks, local })
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// One address, or a network without host bits, its length written plainly. The parser of `ipnet` would
/// take leading zeros.
fn network(entry: &str) -> Option<IpNet> {
    let Some((address, length)) = entry.split_once('/') else {
        return entry.parse().map(IpAddr::into).ok();
    };
    let bits: u8 = length.parse().ok()?;
    let network = IpNet::new(address.parse().ok()?, bits).ok()?;
    (bits.to_string() == length && network.trunc() == network).then_some(network)
}

fn membership(set: &TrustedProxies, expected: &Networks) {
    let Networks { networks, local } = expected;
    assert_eq!(set.allows(&Peer::local()), *local);
    assert!(!set.allows(&Peer::unknown()) && !set.trusts_every_peer());
    assert_eq!(set.trusts_nobody(), networks.is_empty() && !local);
    let mut probes: Vec<IpAddr> = [
        "127.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "10.0.0.2",
        "203.0.113.9",
        "::",
        "::1",
        "::10.0.0.2",
        "fe80::1",
    ]
    .map(|text| text.parse().unwrap())
    .to_vec();
    for network in networks {
        probes.extend(around(*network));
    }
    for probe in probes {
        // As the listener of either family reports it.
        let spellings = match probe {
            IpAddr::V4(v4) => vec![probe, v4.to_ipv6_mapped().into()],
            IpAddr::V6(_) => vec![probe, probe.to_canonical()],
        };
        let expected = networks.iter().any(|network| spellings.iter().any(|probe| network.contains(probe)));
        for spelling in spellings {
            assert_eq!(set.allows(&Peer::from(spelling)), expected, "{spelling}");
        }
    }
    let again = TrustedProxies::new(networks.iter().copied()).unwrap();
    assert_eq!(if *local { again.local_sockets() } else { again }, *set);
}

/// The first and the last address of a network, and their neighbours outside.
fn around(network: IpNet) -> [IpAddr; 4] {
    match network {
        IpNet::V4(network) => {
            let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
                .map(|bits| std::net::Ipv4Addr::from_bits(bits).into())
        }
        IpNet::V6(network) => {
            let (first, last) = (Ipv6Net::network(&network).to_bits(), network.broadcast().to_bits());
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
                .map(|bits| std::net::Ipv6Addr::from_bits(bits).into())
        }
    }
}
