//! Whom to count a request against.

use alloc::format;
use core::fmt;
use core::net::IpAddr;

use crate::{Ending, Error, IpNet, Origin, Peer};

/// The key of a rate limit: all requests of one client have the same.
///
/// An IPv4 client is its address. An IPv6 client is its network, by default the `/64`, because whoever
/// has one address there has all of them. Ports and spellings make no difference, and IPv4-mapped
/// addresses are IPv4.
///
/// Where the client is not known, the key belongs to the last verified hop, in a space of its own: it is
/// never the key of a client, not even of that hop, so that nobody can spend the budget of the proxy
/// by being unreadable, or hide in it. Proxies have separate keys, so that what goes wrong at one does not
/// throttle the others. A trusted peer that names nobody, as health checks do, is apart from those who
/// wrote something unreadable through it, so that they can not starve the health checks.
///
/// With `10.0.0.0/8`, `2001:db8:ffff::/48` and `unix` trusted:
///
/// | peer | `X-Forwarded-For` | key |
/// | --- | --- | --- |
/// | `10.0.0.2` | `203.0.113.9`, `203.0.113.9:51515`, `::ffff:203.0.113.9` | `203.0.113.9` |
/// | `10.0.0.2` | `2001:db8:1:2::9`, `[2001:DB8:1:2:0::A]:443` | `2001:db8:1:2::/64` |
/// | `10.0.0.2` | `10.9.9.9, 10.0.0.7` | `10.9.9.9` |
/// | `203.0.113.9:40000` | anything | `203.0.113.9` |
/// | `10.0.0.2` | `oops`, `unknown`, `203.0.113.9,` | `incomplete:10.0.0.2` |
/// | `10.0.0.2` | `oops, 10.0.0.7` | `incomplete:10.0.0.7` |
/// | `2001:db8:ffff::2` | `oops` | `incomplete:2001:db8:ffff::2` |
/// | `unix` | `oops` | `incomplete:unix` |
/// | unknown | anything | `incomplete:unknown` |
/// | `10.0.0.2` | (absent) | `header-absent:10.0.0.2` |
/// | `unix` | (absent) | `header-absent:unix` |
///
/// The text form is stable, has neither white space nor control characters, and at most 53 bytes: it may
/// be (a part of) a key in a store that several servers share. Equal keys have equal texts, and unequal
/// keys unequal ones.
///
/// # What it cannot do
///
/// Clients behind one address translation share a key. A client with several networks has several;
/// fewer bits in [`KeyWidths`] take a subscriber's `/56` or `/48` for one.
///
/// ```
/// use proxyfix_policy::{KeyWidths, Policy, Received, TrustedProxies};
///
/// let policy = Policy::new("10.0.0.0/8".parse::<TrustedProxies>()?);
/// let headers: &[(&str, &[u8])] = &[("x-forwarded-for", b"2001:db8:1:2::9")];
/// let origin = policy.decide("10.0.0.2".parse()?, Received::default(), headers);
///
/// assert_eq!(origin.client_key().to_string(), "2001:db8:1:2::/64");
/// let widths = KeyWidths::default().ipv6(48)?;
/// assert_eq!(origin.client_key_with(widths).to_string(), "2001:db8:1::/48");
/// # Ok::<(), proxyfix_policy::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(Kind);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Client(IpNet),
    /// The last verified hop, without its port.
    Incomplete(Peer),
    HeaderAbsent(Peer),
}

/// How many leading bits of an address are the client: 32 of IPv4 and 64 of IPv6, unless said
/// otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyWidths {
    v4: u8,
    v6: u8,
}

impl Default for KeyWidths {
    fn default() -> Self {
        Self { v4: 32, v6: 64 }
    }
}

impl KeyWidths {
    /// IPv4 clients are their `/bits`, 8 to 32.
    pub fn ipv4(self, bits: u8) -> Result<Self, Error> {
        match bits {
            8..=32 => Ok(Self { v4: bits, ..self }),
            _ => Err(Error::refused(&format!(
                "{bits} is not a width of IPv4 keys: expected 8 to 32 bits; 32 is one address",
            ))),
        }
    }

    /// IPv6 clients are their `/bits`, 32 to 128.
    pub fn ipv6(self, bits: u8) -> Result<Self, Error> {
        match bits {
            32..=128 => Ok(Self { v6: bits, ..self }),
            _ => Err(Error::refused(&format!(
                "{bits} is not a width of IPv6 keys: expected 32 to 128 bits; 64 is one subscriber's network, \
                 56 or 48 a larger one's",
            ))),
        }
    }

    /// The network of the address; it is canonical, as every peer's is.
    fn network(self, ip: IpAddr) -> IpNet {
        let bits = if ip.is_ipv4() { self.v4 } else { self.v6 };
        // The widths are checked as they are set.
        IpNet::new(ip, bits).map_or(IpNet::from(ip), |net| net.trunc())
    }
}

impl Origin {
    /// Whom to count this request against: see [`ClientKey`] for the rules.
    pub fn client_key(&self) -> ClientKey {
        self.client_key_with(KeyWidths::default())
    }

    /// The same, with other widths. Networks of different widths are different keys.
    pub fn client_key_with(&self, widths: KeyWidths) -> ClientKey {
        let hop = self.last_verified();
        let hop = hop.ip().map_or(hop, Peer::from);
        ClientKey(match (self.client(), self.ending()) {
            (Some(client), _) if self.is_complete() => Kind::Client(widths.network(client)),
            (_, Ending::HeaderAbsent) => Kind::HeaderAbsent(hop),
            _ => Kind::Incomplete(hop),
        })
    }
}

/// One address, or a network with its width; in front of a hop, why it is no client.
impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Client(net) if net.prefix_len() == net.max_prefix_len() => write!(f, "{}", net.addr()),
            Kind::Client(net) => write!(f, "{net}"),
            Kind::Incomplete(hop) => write!(f, "incomplete:{hop}"),
            Kind::HeaderAbsent(hop) => write!(f, "header-absent:{hop}"),
        }
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use super::*;
    use crate::{Policy, Received, TrustedProxies};

    fn origin(peer: &str, chain: Option<&str>) -> Origin {
        let trusted: TrustedProxies = "10.0.0.0/8, 2001:db8:ffff::/48, unix".parse().unwrap();
        let peer = if peer == "unknown" { Peer::unknown() } else { peer.parse().unwrap() };
        let headers: Vec<(&str, &[u8])> =
            chain.map(|chain| ("x-forwarded-for", chain.as_bytes())).into_iter().collect();
        Policy::new(trusted).decide(peer, Received::default(), &headers[..])
    }

    fn key(peer: &str, chain: &str) -> ClientKey {
        origin(peer, Some(chain)).client_key()
    }

    /// The table of the documentation.
    #[test]
    fn t195_t196_t197_t198_the_key_of_every_case() {
        for (peer, chains, expected) in [
            ("10.0.0.2", &["203.0.113.9", "203.0.113.9:51515", "::ffff:203.0.113.9"][..], "203.0.113.9"),
            ("10.0.0.2", &["2001:db8:1:2::9", "[2001:DB8:1:2:0::A]:443"], "2001:db8:1:2::/64"),
            ("10.0.0.2", &["10.9.9.9, 10.0.0.7"], "10.9.9.9"),
            ("203.0.113.9:40000", &["anything", "127.0.0.1", ""], "203.0.113.9"),
            ("10.0.0.2", &["oops", "unknown", "203.0.113.9,"], "incomplete:10.0.0.2"),
            ("10.0.0.2", &["oops, 10.0.0.7"], "incomplete:10.0.0.7"),
            ("2001:db8:ffff::2", &["oops"], "incomplete:2001:db8:ffff::2"),
            ("unix", &["oops"], "incomplete:unix"),
            ("unknown", &["anything", "203.0.113.9"], "incomplete:unknown"),
            ("10.0.0.2", &[""], "header-absent:10.0.0.2"),
            ("unix", &[""], "header-absent:unix"),
        ] {
            for chain in chains {
                assert_eq!(key(peer, chain).to_string(), expected, "{peer}, {chain:?}");
                assert_eq!(format!("{:?}", key(peer, chain)), format!("ClientKey({expected})"));
                assert_eq!(key(peer, chain), key(peer, chains[0]), "{peer}, {chain:?}");
            }
        }
        assert_eq!(origin("10.0.0.2:1", None).client_key(), origin("10.0.0.2:2", None).client_key());
    }

    #[test]
    fn t196_mapped_addresses_are_not_one_client() {
        assert_ne!(key("10.0.0.2", "::ffff:198.51.100.7"), key("10.0.0.2", "::ffff:203.0.113.9"));
        assert_eq!(key("::ffff:198.51.100.7", ""), key("198.51.100.7", ""));
    }

    #[test]
    fn t198_an_incomplete_key_is_never_a_client() {
        let clients = ["10.0.0.2", "10.0.0.7", "203.0.113.9", "2001:db8:ffff::2"];
        let of_clients: BTreeSet<ClientKey> = clients
            .into_iter()
            .flat_map(|ip| [key(ip, "10.0.0.3"), key("10.0.0.3", ip), origin(ip, Some(ip)).client_key()])
            .collect();
        for peer in ["10.0.0.2", "10.0.0.7", "unix", "unknown", "2001:db8:ffff::2"] {
            for chain in [None, Some("oops"), Some("127.0.0.1"), Some("_hidden"), Some("1.1.1.1,,")] {
                let incomplete = origin(peer, chain);
                assert!(!incomplete.is_complete());
                assert!(!of_clients.contains(&incomplete.client_key()), "{peer}, {chain:?}");
            }
        }
        assert!(of_clients.contains(&origin("10.0.0.3", Some("10.0.0.2")).client_key()));
        assert_ne!(key("10.0.0.2", "oops"), key("10.0.0.7", "oops"));
        assert_ne!(key("10.0.0.2", "oops"), key("10.0.0.2", ""));
    }

    #[test]
    fn widths_are_the_operators() {
        let with = |chain: &str, widths| origin("10.0.0.2", Some(chain)).client_key_with(widths).to_string();
        let default = KeyWidths::default();
        for (bits, text) in [(32, "2001:db8::/32"), (56, "2001:db8:1:200::/56"), (128, "2001:db8:1:2ff::9")] {
            assert_eq!(with("2001:db8:1:2ff::9", default.ipv6(bits).unwrap()), text);
        }
        for (bits, text) in [(8, "203.0.0.0/8"), (24, "203.0.113.0/24"), (32, "203.0.113.9")] {
            assert_eq!(with("203.0.113.9", default.ipv4(bits).unwrap()), text);
        }
        assert_eq!(with("203.0.113.9", default.ipv6(32).unwrap()), "203.0.113.9");
        for bits in [0, 31, 129, 255] {
            assert!(default.ipv6(bits).is_err(), "{bits}");
        }
        for bits in [0, 7, 33, 64] {
            assert!(default.ipv4(bits).is_err(), "{bits}");
        }
        assert_eq!(
            default.ipv6(24).unwrap_err().to_string(),
            "24 is not a width of IPv6 keys: expected 32 to 128 bits; 64 is one subscriber's network, 56 or 48 a \
             larger one's",
        );
    }

    #[test]
    fn texts_are_short_and_distinct() {
        let longest = Kind::HeaderAbsent("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap());
        assert_eq!(ClientKey(longest).to_string().len(), 53);
        let mut texts: Vec<String> = ["10.0.0.2", "unix", "unknown"]
            .iter()
            .flat_map(|peer| {
                [None, Some("oops"), Some("203.0.113.9")].map(|it| origin(peer, it).client_key())
            })
            .collect::<BTreeSet<_>>()
            .iter()
            .map(ToString::to_string)
            .collect();
        let all = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), all);
    }
}
