//! A set of networks, searched by bisection.

use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::IpNet;

/// Networks as sorted, disjoint, inclusive ranges, one list per address family.
///
/// Overlapping and adjacent networks merge as the set is built, so a look-up is one bisection
/// however the networks were written: membership among 8 000 costs about as much as among 8.
/// Families never meet: an IPv6 network does not contain an IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct NetworkSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl NetworkSet {
    pub(crate) const EMPTY: Self = Self { v4: Vec::new(), v6: Vec::new() };

    /// `ip` must be canonical (IPv4-mapped addresses folded), as every [`Peer`](crate::Peer) is.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => within(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => within(&self.v6, ip.to_bits()),
        }
    }

    /// Of IPv4 and of IPv6.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether a range is wider than a `/16` of IPv4 or a `/48` of IPv6. Loopback is one host.
    pub(crate) fn is_wide(&self) -> bool {
        let loopback = |start: u32| start >> 24 == 127;
        self.v4.iter().any(|(start, end)| end - start > 0xffff && !loopback(*start))
            || self.v6.iter().any(|(start, end)| end - start > u128::MAX >> 48)
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
        Self {
            v4: merge(v4, |end, start| end.checked_add(1).is_none_or(|next| start <= next)),
            v6: merge(v6, |end, start| end.checked_add(1).is_none_or(|next| start <= next)),
        }
    }
}

fn within<T: PartialOrd + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= address);
    after > 0 && address <= ranges[after - 1].1
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
        let wide = |net: &str| NetworkSet::from_iter([net.parse::<IpNet>().unwrap()]).is_wide();
        assert!(wide("10.0.0.0/8") && wide("10.0.0.0/15") && wide("2001:db8::/47") && wide("fc00::/7"));
        assert!(!wide("10.0.0.0/16") && !wide("2001:db8::/48") && !wide("127.0.0.0/8") && !wide("::1/128"));
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
}
