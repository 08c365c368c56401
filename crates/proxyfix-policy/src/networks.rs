//! A set of networks, and whether an address is inside.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Subnets};

/// Networks as sorted, disjoint, inclusive ranges, one list per address family.
///
/// Overlapping and adjacent networks merge as the set is built, so a look-up is one search however the
/// networks were written: by bisection, and of IPv4 only among those ranges that end where the address
/// is, which an index tells. Membership among 8 000 costs about as much as among 8.
/// Families never meet: an IPv6 network does not contain an IPv4 address.
///
/// A range takes 8 bytes of IPv4 or 32 of IPv6; the index takes 1 to 2 KiB or, where there are more than
/// 256 ranges of IPv4, 4 to 8 bytes for each, but never more than 256 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct NetworkSet {
    v4: Vec<(u32, u32)>,
    index: Index,
    v6: Vec<(u128, u128)>,
}

impl NetworkSet {
    pub(crate) const EMPTY: Self = Self { v4: Vec::new(), index: Index::EMPTY, v6: Vec::new() };

    fn new(v4: Vec<(u32, u32)>, v6: Vec<(u128, u128)>) -> Self {
        Self { index: Index::of(&v4), v4, v6 }
    }

    /// `ip` must be canonical (IPv4-mapped addresses folded), as every [`Peer`](crate::Peer) is.
    #[inline]
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => within(&self.v4, self.index.around(ip.to_bits()), ip.to_bits()),
            IpAddr::V6(ip) => within(&self.v6, 0..self.v6.len(), ip.to_bits()),
        }
    }

    /// Of IPv4 and of IPv6.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The networks, as few as there can be.
    pub(crate) fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.v4
            .iter()
            .flat_map(|range| v4_networks(*range))
            .chain(self.v6.iter().flat_map(|range| v6_networks(*range)))
    }

    /// The networks of every range that is wider than a `/16` of IPv4 or a `/48` of IPv6, however it was
    /// put together, widest first. Loopback is one host.
    pub(crate) fn wide(&self) -> Vec<IpNet> {
        const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        let mut wide: Vec<IpNet> = Vec::new();
        for range in &self.v4 {
            let others =
                || v4_networks(*range).filter(|it| !matches!(it, IpNet::V4(it) if LOOPBACK.contains(it)));
            if others().map(|it| 1_u64 << (it.max_prefix_len() - it.prefix_len())).sum::<u64>() > 1 << 16 {
                wide.extend(others());
            }
        }
        let v6 = self.v6.iter().filter(|(start, end)| end - start > u128::MAX >> 48);
        wide.extend(v6.flat_map(|range| v6_networks(*range)));
        wide.sort_by_key(|it| (it.addr().is_ipv6(), it.prefix_len()));
        wide
    }

    /// The family of which more than a quarter of the addresses that clients can have are inside.
    pub(crate) fn mostly(&self) -> Option<&'static str> {
        const V4: u32 = 224 << 24;
        const V6: (u128, u128) = (1 << 125, (1 << 126) - 1);
        let v4 = self
            .v4
            .iter()
            .map(|(start, end)| u64::from((end.saturating_add(1)).min(V4).saturating_sub(*start)));
        let v6 = self.v6.iter().map(|(start, end)| ((*end).min(V6.1) + 1).saturating_sub((*start).max(V6.0)));
        if v4.sum::<u64>() > u64::from(V4 / 4) {
            Some("IPv4")
        } else if v6.sum::<u128>() > 1 << 123 {
            Some("IPv6")
        } else {
            None
        }
    }

    /// How many addresses are inside.
    pub(crate) fn size(&self) -> u128 {
        let v4: u64 = self.v4.iter().map(|(start, end)| u64::from(end - start) + 1).sum();
        self.v6
            .iter()
            .fold(v4.into(), |sum: u128, (start, end)| sum.saturating_add(end - start).saturating_add(1))
    }

    /// The networks that are inside of both, as few as there can be.
    pub(crate) fn shared(&self, other: &Self) -> Self {
        Self::new(intersect(&self.v4, &other.v4), intersect(&self.v6, &other.v6))
    }

    /// Whether a whole address family is inside: everyone, in whatever spelling.
    pub(crate) fn covers_a_family(&self) -> bool {
        *self.v4 == [(0, u32::MAX)] || *self.v6 == [(0, u128::MAX)]
    }
}

impl FromIterator<IpNet> for NetworkSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self::new(
            merge(v4, |end, start| end.checked_add(1).is_none_or(|next| start <= next)),
            merge(v6, |end, start| end.checked_add(1).is_none_or(|next| start <= next)),
        )
    }
}

/// The addresses of IPv4 in equal parts, and how many ranges end before each part, so that a look-up has
/// the few to search that end in the part of its address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Index {
    /// An address shifted so far to the right is the number of its part.
    shift: u32,
    /// One more than there are parts, or none where there are no ranges.
    ended: Vec<u32>,
}

impl Index {
    const EMPTY: Self = Self { shift: 0, ended: Vec::new() };

    /// At least as many parts as ranges: 256 to 65 536, a power of two.
    fn of(ranges: &[(u32, u32)]) -> Self {
        if ranges.is_empty() {
            return Self::EMPTY;
        }
        let shift = 32 - ranges.len().next_power_of_two().ilog2().clamp(8, 16);
        let first_within = |part: u32| ranges.partition_point(|(_, end)| end >> shift < part);
        let ended = (0..=1 << (32 - shift)).map(|part| u32::try_from(first_within(part)).unwrap_or(u32::MAX));
        Self { shift, ended: ended.collect() }
    }

    /// Which ranges end in the part of `address`.
    #[inline]
    fn around(&self, address: u32) -> Range<usize> {
        let part = (address >> self.shift) as usize;
        match self.ended.get(part..) {
            Some([start, end, ..]) => *start as usize..*end as usize,
            _ => 0..0,
        }
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::EMPTY
    }
}

fn v4_networks((start, end): (u32, u32)) -> impl Iterator<Item = IpNet> {
    Ipv4Subnets::new(Ipv4Addr::from_bits(start), Ipv4Addr::from_bits(end), 0).map(IpNet::from)
}

fn v6_networks((start, end): (u128, u128)) -> impl Iterator<Item = IpNet> {
    Ipv6Subnets::new(Ipv6Addr::from_bits(start), Ipv6Addr::from_bits(end), 0).map(IpNet::from)
}

/// The ranges that are inside of both lists.
fn intersect<T: Ord + Copy>(mut a: &[(T, T)], mut b: &[(T, T)]) -> Vec<(T, T)> {
    let mut shared = Vec::new();
    while let ([first, a_rest @ ..], [other, b_rest @ ..]) = (a, b) {
        let (start, end) = (first.0.max(other.0), first.1.min(other.1));
        if start <= end {
            shared.push((start, end));
        }
        (a, b) = if end == first.1 { (a_rest, b) } else { (a, b_rest) };
    }
    shared
}

/// Whether one of the `ranges` holds `address`: the first that does not end before it, one of those `near`
/// it or the next.
#[inline]
fn within<T: PartialOrd + Copy>(ranges: &[(T, T)], near: Range<usize>, address: T) -> bool {
    let before = near.start;
    let Some(near) = ranges.get(near) else { return false };
    let first = before + near.partition_point(|(_, end)| *end < address);
    ranges.get(first).is_some_and(|(start, _)| *start <= address)
}

/// Sorts, then joins every range to its predecessor where the two overlap or touch.
fn merge<T: Ord + Copy>(mut ranges: Vec<(T, T)>, joins: impl Fn(T, T) -> bool) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if joins(last.1, start) => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged.shrink_to_fit();
    merged
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn assert_members(networks: &[&str], inside: &[&str], outside: &[&str]) {
        let set: NetworkSet = networks.iter().map(|net| net.parse::<IpNet>().unwrap()).collect();
        for ip in inside {
            assert!(set.contains(ip.parse().unwrap()), "{ip} should be in {networks:?}");
        }
        for ip in outside {
            assert!(!set.contains(ip.parse().unwrap()), "{ip} should not be in {networks:?}");
        }
    }

    #[test]
    fn t49_membership_is_exact_at_both_edges() {
        assert_members(
            &["10.0.0.0/8"],
            &["10.0.0.0", "10.255.255.255"],
            &["9.255.255.255", "11.0.0.0", "::a00:1"],
        );
        assert_members(&["203.0.113.8/31"], &["203.0.113.8", "203.0.113.9"], &["203.0.113.10"]);
        assert_members(&["203.0.113.9/32"], &["203.0.113.9"], &["203.0.113.8", "203.0.113.10"]);
        assert_members(&["2001:db8::/127"], &["2001:db8::", "2001:db8::1"], &["2001:db8::2"]);
        assert_members(&["2001:db8::9/128"], &["2001:db8::9"], &["2001:db8::8", "203.0.113.9"]);
        assert_members(&["::/0"], &["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], &["0.0.0.0"]);
    }

    #[test]
    fn t11_wide_networks_are_known() {
        let wide = |networks: &[&str]| {
            let set: NetworkSet = networks.iter().map(|net| net.parse::<IpNet>().unwrap()).collect();
            set.wide().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        for network in ["10.0.0.0/8", "10.0.0.0/15", "2001:db8::/47", "fc00::/7", "126.0.0.0/7"] {
            assert_eq!(wide(&[network]), network);
        }
        for network in ["10.0.0.0/16", "2001:db8::/48", "127.0.0.0/8", "::1/128"] {
            assert_eq!(wide(&[network]), "");
        }
        assert_eq!(wide(&["10.0.0.0/16", "10.1.0.0/16", "192.0.2.0/24"]), "10.0.0.0/15");
        assert_eq!(wide(&["127.0.0.0/8", "128.0.0.0/16"]), "");
        assert_eq!(wide(&["127.0.0.0/8", "128.0.0.0/9", "126.255.0.0/16"]), "128.0.0.0/9 126.255.0.0/16");
    }

    #[test]
    fn what_two_sets_share_is_exact() {
        let set = |networks: &[&str]| -> NetworkSet {
            networks.iter().map(|net| net.parse::<IpNet>().unwrap()).collect()
        };
        let shared = |a: &[&str], b: &[&str]| {
            let (ab, ba) = (set(a).shared(&set(b)), set(b).shared(&set(a)));
            assert_eq!(ab, ba);
            ab.networks().map(|net| net.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shared(&["10.0.0.0/8", "2001:db8::/32"], &["11.0.0.0/8"]), "");
        assert_eq!(
            shared(
                &["10.0.0.0/8", "2001:db8::/32"],
                &["10.9.0.0/16", "10.200.0.7/32", "12.0.0.0/8", "2001:db8::1/128"]
            ),
            "10.9.0.0/16 10.200.0.7/32 2001:db8::1/128"
        );
        assert_eq!(set(&["255.255.255.255/32", "10.0.0.0/8"]).size(), (1 << 24) + 1);
    }

    #[test]
    fn overlapping_and_adjacent_networks_merge() {
        let set: NetworkSet = ["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "192.0.2.0/24"]
            .iter()
            .map(|net| net.parse::<IpNet>().unwrap())
            .collect();
        assert_eq!(set.v4.len(), 2);
        let halves: NetworkSet =
            ["0.0.0.0/1", "128.0.0.0/1"].iter().map(|net| net.parse::<IpNet>().unwrap()).collect();
        assert!(halves.covers_a_family());
    }

    #[test]
    fn t04_most_of_a_family_is_more_than_a_quarter_of_what_clients_can_have() {
        let mostly = |networks: &[&str]| {
            let set: NetworkSet = networks.iter().map(|net| net.parse::<IpNet>().unwrap()).collect();
            set.mostly()
        };
        assert_eq!(mostly(&["2000::/5", "2800::/128"]), Some("IPv6"));
        assert_eq!(mostly(&["2000::/5", "::/4", "1000::/4", "4000::/2", "8000::/1"]), None);
        assert_eq!(mostly(&["0.0.0.0/3", "32.0.0.0/4", "48.0.0.0/5", "56.0.0.0/32"]), Some("IPv4"));
        assert_eq!(mostly(&["0.0.0.0/3", "32.0.0.0/4", "48.0.0.0/5", "224.0.0.0/3"]), None);
    }

    fn networks() -> impl Strategy<Value = Vec<IpNet>> {
        let v4 =
            (any::<u32>(), 0..=32_u8).prop_map(|(ip, bits)| IpNet::new(Ipv4Addr::from_bits(ip).into(), bits));
        let v6 = (any::<u128>(), 0..=128_u8)
            .prop_map(|(ip, bits)| IpNet::new(Ipv6Addr::from_bits(ip).into(), bits));
        prop::collection::vec(prop_oneof![v4, v6].prop_map(|network| network.unwrap().trunc()), 0..12)
    }

    /// So many that the index has more parts than the fewest, some of them crowded.
    fn many_networks() -> impl Strategy<Value = Vec<IpNet>> {
        let crowded = (any::<bool>(), any::<u32>(), 16..=32_u8).prop_map(|(near, rest, bits)| {
            let ip = if near { rest >> 8 } else { rest };
            IpNet::new(Ipv4Addr::from_bits(ip).into(), bits).unwrap().trunc()
        });
        prop::collection::vec(crowded, 250..700)
    }

    proptest! {
        /// The answer is that of asking one network after the other.
        #[test]
        fn t49_membership_is_that_of_any_network(
            networks in prop_oneof![8 => networks(), 1 => many_networks()],
            others in prop::collection::vec(any::<IpAddr>(), 8),
        ) {
            let set: NetworkSet = networks.iter().copied().collect();
            let beside = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => [ip.to_bits().wrapping_sub(1), ip.to_bits(), ip.to_bits().wrapping_add(1)]
                    .map(|bits| Ipv4Addr::from_bits(bits).into()),
                IpAddr::V6(ip) => [ip.to_bits().wrapping_sub(1), ip.to_bits(), ip.to_bits().wrapping_add(1)]
                    .map(|bits| Ipv6Addr::from_bits(bits).into()),
            };
            let edges = networks.iter().flat_map(|network| [network.network(), network.broadcast()]);
            for ip in edges.chain(others).flat_map(beside) {
                let expected = networks.iter().any(|network| network.contains(&ip));
                prop_assert_eq!(set.contains(ip), expected, "{}", ip);
            }
        }

        /// The fewest networks are the same set; nothing of what is measured is beyond the numbers.
        #[test]
        fn a_set_is_its_networks(a in networks(), b in networks()) {
            let (a, b) = (NetworkSet::from_iter(a), NetworkSet::from_iter(b));
            prop_assert_eq!(&a.networks().collect::<NetworkSet>(), &a);
            let shared = a.shared(&b);
            for network in a.networks().chain(b.networks()) {
                for ip in [network.network(), network.broadcast()] {
                    prop_assert_eq!(shared.contains(ip), a.contains(ip) && b.contains(ip));
                }
            }
            prop_assert_eq!(&shared.networks().collect::<NetworkSet>(), &shared);
            prop_assert!(a.wide().iter().all(|network| a.contains(network.network())));
            prop_assert!(shared.size() <= a.size());
            prop_assert!(shared.mostly().is_none() || a.mostly().is_some());
        }
    }
}
