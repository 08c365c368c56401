//! Sets of networks, and the crates that can search one: is this address in the set?
//!
//! The sets of 200 and more networks are made by a generator that always makes the same ones: lengths weighted as in
//! the files that large providers publish, a quarter of them IPv6, all over the unicast space, so that few overlap.
//! Each set is asked for the same 256 addresses, half of which it holds.

use std::collections::HashSet;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proxyfix_policy::{Peer, TrustedProxies};

use crate::{Case, Input, Kind, Request};

/// The name of our own set among the cases.
pub const OURS: &str = "proxyfix";

/// How many networks the compared sets have.
pub const SIZES: [usize; 4] = [6, 22, 200, 8_000];

/// How many addresses a set is asked for.
pub const LOOKUPS: usize = 256;

/// Loopback and private networks: what a program that trusts its own neighbourhood writes.
const PRIVATE: [&str; 6] =
    ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"];

/// The networks of Cloudflare, from its pages `ips-v4` and `ips-v6`: the size and mixture of a real list.
const CDN: [&str; 22] = [
    "173.245.48.0/20",
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "141.101.64.0/18",
    "108.162.192.0/18",
    "190.93.240.0/20",
    "188.114.96.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "162.158.0.0/15",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "172.64.0.0/13",
    "131.0.72.0/22",
    "2400:cb00::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2405:b500::/32",
    "2405:8100::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
];

/// Lengths of prefixes, each as often as it is written here.
const LENGTHS_V4: [u8; 16] = [24, 24, 24, 24, 24, 24, 23, 23, 22, 22, 21, 20, 20, 19, 18, 16];
const LENGTHS_V6: [u8; 8] = [48, 48, 48, 44, 40, 40, 36, 32];

/// What SplitMix64 gives: numbers that look random and are always the same.
#[derive(Clone, Debug)]
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or_default()
    }

    /// An address of a host on the Internet.
    fn address(&mut self, v6: bool) -> IpAddr {
        let bits = self.next();
        if v6 {
            let bits = (u128::from(bits) << 64) | u128::from(self.next());
            return Ipv6Addr::from((bits >> 3) | (1 << 125)).into();
        }
        let [first, second, third, fourth, ..] = bits.to_be_bytes();
        Ipv4Addr::from([1 + first % 223, second, third, fourth]).into()
    }

    /// An address within `network`.
    fn within(&mut self, network: IpNet) -> IpAddr {
        match (network, self.address(matches!(network, IpNet::V6(_)))) {
            (IpNet::V4(net), IpAddr::V4(any)) => (net.network() | any & net.hostmask()).into(),
            (IpNet::V6(net), IpAddr::V6(any)) => (net.network() | any & net.hostmask()).into(),
            _ => unreachable!("an address of its family"),
        }
    }
}

/// The set of `size` networks; of 6 and 22, those that people really have.
///
/// # Panics
///
/// Where the networks of `PRIVATE` or `CDN` are none: a mistake in this file.
pub fn networks(size: usize) -> Vec<IpNet> {
    let written: &[&str] = match size {
        6 => &PRIVATE,
        22 => &CDN,
        _ => &[],
    };
    if !written.is_empty() {
        return written.iter().map(|text| text.parse().expect("a network")).collect();
    }
    let mut numbers = Numbers(size as u64);
    let (mut networks, mut seen) = (Vec::with_capacity(size), HashSet::new());
    while networks.len() < size {
        let v6 = networks.len() % 4 == 3;
        let lengths: &[u8] = if v6 { &LENGTHS_V6 } else { &LENGTHS_V4 };
        let address = numbers.address(v6);
        let length = lengths[numbers.below(lengths.len())];
        let network = IpNet::new(address, length).expect("a length of its family").trunc();
        if seen.insert(network) {
            networks.push(network);
        }
    }
    networks
}

/// Addresses to ask `networks` for: every other one lies within a network of it, and the families are as in the set.
pub fn addresses(networks: &[IpNet]) -> Vec<IpAddr> {
    let mut numbers = Numbers(networks.len() as u64 ^ 0x5eed);
    let held = |ip: IpAddr| networks.iter().any(|network| network.contains(&ip));
    let mut addresses = Vec::with_capacity(LOOKUPS);
    while addresses.len() < LOOKUPS {
        let network = networks[numbers.below(networks.len())];
        let address = if addresses.len() % 2 == 0 {
            numbers.within(network)
        } else {
            let outside = numbers.address(matches!(network, IpNet::V6(_)));
            if held(outside) {
                continue;
            }
            outside
        };
        addresses.push(address);
    }
    addresses
}

/// The cases of the set of `size` networks, in which each crate is asked for all addresses once.
pub fn cases(size: usize) -> Vec<Case> {
    let input = leak(format!("set-{size}"));
    let case = |Searched { name, run }| {
        let call = Box::new(move |_: &Request| {
            black_box(run());
            None
        });
        Case { name, kind: Kind::Set, input, floor: None, call }
    };
    rivals(&networks(size)).into_iter().map(case).collect()
}

/// An input without a client, for cases that read no request.
fn leak(name: String) -> &'static Input {
    let peer = (Ipv4Addr::LOCALHOST, 0).into();
    Box::leak(Box::new(Input { name: name.leak(), peer, target: "/", headers: Vec::new(), client: None }))
}

/// A crate with a set that is built: looks up all addresses and says how many the set holds.
pub struct Searched {
    /// The crate.
    pub name: &'static str,
    /// One run over all addresses.
    pub run: Box<dyn Fn() -> usize>,
}

/// The look-ups as one loop, in which `held` is inlined: what every crate is measured in.
fn searched<T: Copy + 'static>(
    name: &'static str,
    asked: Vec<T>,
    held: impl Fn(T) -> bool + 'static,
) -> Searched {
    let run = move || asked.iter().filter(|one| held(**one)).count();
    Searched { name, run: Box::new(run) }
}

/// Every crate with a set of `networks`, asked for the same addresses; first the loop alone.
///
/// # Panics
///
/// Where a crate does not take what is a network: a mistake in this file.
pub fn rivals(networks: &[IpNet]) -> Vec<Searched> {
    let asked = addresses(networks);
    let v4 = || networks.iter().filter_map(|net| if let IpNet::V4(net) = net { Some(*net) } else { None });
    let v6 = || networks.iter().filter_map(|net| if let IpNet::V6(net) = net { Some(*net) } else { None });
    vec![
        searched("loop", asked.clone(), |ip| ip.is_ipv4()),
        ours(networks, &asked),
        {
            let networks = networks.to_vec();
            searched("ipnet-linear", asked.clone(), move |ip| {
                networks.iter().any(|network| network.contains(&ip))
            })
        },
        {
            use iptrie::{
                IpPrefix, Ipv4LCTrieSet, Ipv4Prefix, Ipv4RTrieSet, Ipv6LCTrieSet, Ipv6Prefix, Ipv6RTrieSet,
            };
            let v4: Ipv4LCTrieSet = v4()
                .map(|net| Ipv4Prefix::new(net.network(), net.prefix_len()).expect("a prefix"))
                .collect::<Ipv4RTrieSet>()
                .compress();
            let v6: Ipv6LCTrieSet = v6()
                .map(|net| Ipv6Prefix::new(net.network(), net.prefix_len()).expect("a prefix"))
                .collect::<Ipv6RTrieSet>()
                .compress();
            // The root is always in the set, and no network of ours.
            searched("iptrie", asked.clone(), move |ip| match ip {
                IpAddr::V4(ip) => v4.lookup(&ip).len() > 0,
                IpAddr::V6(ip) => v6.lookup(&ip).len() > 0,
            })
        },
        {
            use prefix_trie::PrefixSet;
            let v4: PrefixSet<(u32, u8)> =
                v4().map(|net| (net.network().to_bits(), net.prefix_len())).collect();
            let v6: PrefixSet<(u128, u8)> =
                v6().map(|net| (net.network().to_bits(), net.prefix_len())).collect();
            searched("prefix-trie", asked.clone(), move |ip| match ip {
                IpAddr::V4(ip) => v4.is_covered(&(ip.to_bits(), 32)),
                IpAddr::V6(ip) => v6.is_covered(&(ip.to_bits(), 128)),
            })
        },
        {
            let (mut v4, mut v6): (iprange::IpRange<Ipv4Net>, iprange::IpRange<Ipv6Net>) =
                (v4().collect(), v6().collect());
            v4.simplify();
            v6.simplify();
            searched("iprange", asked.clone(), move |ip| match ip {
                IpAddr::V4(ip) => v4.contains(&ip),
                IpAddr::V6(ip) => v6.contains(&ip),
            })
        },
        {
            use rangemap::RangeInclusiveSet;
            let v4: RangeInclusiveSet<u32> =
                v4().map(|net| net.network().to_bits()..=net.broadcast().to_bits()).collect();
            let v6: RangeInclusiveSet<u128> =
                v6().map(|net| net.network().to_bits()..=net.broadcast().to_bits()).collect();
            searched("rangemap", asked.clone(), move |ip| match ip {
                IpAddr::V4(ip) => v4.contains(&ip.to_bits()),
                IpAddr::V6(ip) => v6.contains(&ip.to_bits()),
            })
        },
        {
            let mut table = ip_network_table::IpNetworkTable::new();
            for network in networks {
                let network = ip_network::IpNetwork::new(network.network(), network.prefix_len());
                table.insert(network.expect("no bits of a host"), ());
            }
            searched("ip_network_table", asked, move |ip| table.longest_match(ip).is_some())
        },
    ]
}

/// Our own set, asked for `asked`.
fn ours(networks: &[IpNet], asked: &[IpAddr]) -> Searched {
    let trusted = TrustedProxies::new(networks.iter().copied()).expect("networks, written properly");
    // A peer is made of an address once a request, whatever it is asked for.
    let asked: Vec<Peer> = asked.iter().copied().map(Peer::from).collect();
    let run = move || asked.iter().filter(|peer| trusted.allows(peer)).count();
    Searched { name: OURS, run: Box::new(run) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sets_hold_the_same_half_of_the_addresses() {
        for size in SIZES {
            for searched in rivals(&networks(size)).into_iter().skip(1) {
                assert_eq!((searched.run)(), LOOKUPS / 2, "{} of {size}", searched.name);
            }
        }
    }
}
