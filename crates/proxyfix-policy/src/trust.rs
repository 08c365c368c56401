//! Who may speak for someone else.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use crate::networks::NetworkSet;
use crate::{Error, Peer};

/// The machines that may speak for someone else: networks, local sockets, and how many hops.
///
/// A request names its sender twice: by its connection, which is hard to forge, and by a header,
/// which anyone can write. `TrustedProxies` decides how far the header is believed. By default
/// ([`TrustedProxies::none`]) nobody is trusted and no header has any effect.
///
/// # As text
///
/// Entries are separated by commas: addresses, networks, and names. The empty text trusts nobody.
///
/// | entry | who |
/// | --- | --- |
/// | `10.0.0.2`, `2001:db8::7` | one address |
/// | `10.0.0.0/8`, `2001:db8::/48` | a network; bits beyond the prefix must be zero |
/// | `loopback` | `127.0.0.0/8`, `::1` |
/// | `private` | `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16` (RFC 1918), `fc00::/7` (RFC 4193) |
/// | `link-local` | `169.254.0.0/16`, `fe80::/10` |
/// | `unix` | local sockets, which no network ever matches |
///
/// ```
/// use proxyfix_policy::TrustedProxies;
///
/// let proxies: TrustedProxies = "loopback, 10.0.0.0/24, unix".parse()?;
/// assert!(proxies.allows(&"10.0.0.2".parse()?));
/// assert!(!proxies.allows(&"10.0.1.2".parse()?));
/// assert!("10.0.0.0/33".parse::<TrustedProxies>().is_err());
/// # Ok::<(), proxyfix_policy::Error>(())
/// ```
///
/// # What it cannot do
///
/// An address is a weak proof of identity. List the addresses of your proxies, not a network that
/// they share with workloads: whoever runs on a trusted address may name any client. A proxy that
/// forwards for strangers without adding its own entry forwards their forgeries, too.
///
/// Two sets are equal when they trust the same machines, however they were written.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    pub(crate) networks: NetworkSet,
    /// The networks as they were written, in their order; of names, what they stand for.
    written: Vec<IpNet>,
    local: bool,
    any: bool,
    hops: Option<u8>,
}

impl PartialEq for TrustedProxies {
    fn eq(&self, other: &Self) -> bool {
        let said = |it: &Self| (it.local, it.any, it.hops);
        self.networks == other.networks && said(self) == said(other)
    }
}

impl Eq for TrustedProxies {}

/// The hops that a walk examines at the most.
pub(crate) const MOST_HOPS: u8 = 32;

impl TrustedProxies {
    /// Nobody: the peer of every request is its client, and no header is believed.
    pub fn none() -> Self {
        Self::default()
    }

    /// The machines of these networks.
    ///
    /// Refuses a set that contains a whole address family, in whatever spelling.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Result<Self, Error> {
        let entries = networks.into_iter().map(|network| network.to_string()).collect::<Vec<_>>();
        Self::from_entries(&entries)
    }

    /// One entry of the [text form](Self#as-text) each, as configuration files have them.
    ///
    /// Unlike in the text form, an empty entry is an error: it is a variable that was not filled in.
    pub fn from_entries<T: AsRef<str>>(entries: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let (mut networks, mut local) = (Vec::new(), false);
        for (index, entry) in entries.into_iter().enumerate() {
            let entry = entry.as_ref();
            match read_entry(entry.trim_ascii()) {
                Ok(Entry::Networks(texts)) => {
                    networks.extend(texts.iter().filter_map(|text| text.parse::<IpNet>().ok()));
                }
                Ok(Entry::Network(network)) => networks.push(network),
                Ok(Entry::Local) => local = true,
                Err(reason) => return Err(Error::entry(index + 1, entry.trim_ascii(), reason)),
            }
        }
        let written = networks;
        let networks: NetworkSet = written.iter().copied().collect();
        if networks.covers_a_family() {
            return Err(Error::policy(format!(
                "the trusted set contains every address of a family: then every client may name \
                 itself; list your proxies, or say so with {DANGEROUS}"
            )));
        }
        Ok(Self { networks, written, local, any: false, hops: None })
    }

    /// The text form over lines, as files have it: an entry a line, or several with commas between. Empty
    /// lines and what follows a `#` are ignored.
    ///
    /// ```
    /// use proxyfix_policy::TrustedProxies;
    ///
    /// let file = "# balancers\n10.0.0.0/24, 10.0.1.0/24\n\nunix # the sidecar\n";
    /// assert_eq!(TrustedProxies::from_lines(file)?, "10.0.0.0/24, 10.0.1.0/24, unix".parse()?);
    ///
    /// let error = TrustedProxies::from_lines("10.0.0.0/24\n10.0.0.1/8\n").unwrap_err();
    /// assert!(error.to_string().starts_with("line 2: entry 2 of the trusted set, \"10.0.0.1/8\""));
    /// # Ok::<(), proxyfix_policy::Error>(())
    /// ```
    pub fn from_lines(text: &str) -> Result<Self, Error> {
        let mut places = Vec::new();
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim_ascii();
            if !line.is_empty() {
                entries.extend(line.split(','));
                places.resize(entries.len(), index + 1);
            }
        }
        Self::from_entries(&entries).map_err(|error| match error.position() {
            Some(position) => {
                let line = places.get(position - 1).copied().unwrap_or_default();
                error.within(format!("line {line}"))
            }
            None => error,
        })
    }

    /// Trusts every peer, whoever it is, for exactly one hop: the client is the rightmost entry, or
    /// the n-th from the right after [`hops`](Self::hops).
    ///
    /// This is the rule of werkzeug's `ProxyFix`: right only where nothing but your own proxies can
    /// ever connect, because whoever does can claim to be anybody. A set of networks can be checked;
    /// this cannot.
    pub fn dangerously_trust_every_peer() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// Trusts, besides, every peer that is connected through a local (unix) socket.
    #[must_use]
    pub fn local_sockets(self) -> Self {
        Self { local: true, ..self }
    }

    /// How many proxies you operate that add to the header, 1 to 32.
    ///
    /// With a set this is a limit: the walk takes at most so many steps, and every step must still
    /// be trusted. Where [every peer is trusted](Self::dangerously_trust_every_peer) it is the count
    /// itself: the n-th entry from the right is the client.
    pub fn hops(self, hops: u8) -> Result<Self, Error> {
        if hops == 0 || hops > MOST_HOPS {
            return Err(Error::policy(format!(
                "{hops} hops: expected 1 to {MOST_HOPS}; to believe nobody, trust nobody"
            )));
        }
        Ok(Self { hops: Some(hops), ..self })
    }

    /// Whether `peer` may speak for someone else. An unknown peer never may.
    #[inline]
    pub fn allows(&self, peer: &Peer) -> bool {
        match peer.ip() {
            Some(ip) => self.any || self.networks.contains(ip),
            None => peer.is_local() && (self.local || self.any),
        }
    }

    /// Whether every peer is trusted ([`dangerously_trust_every_peer`](Self::dangerously_trust_every_peer)).
    pub fn trusts_every_peer(&self) -> bool {
        self.any
    }

    /// The networks as they were written, in their order; of a name, those that it stands for. An address
    /// is a network of one.
    pub fn networks(&self) -> &[IpNet] {
        &self.written
    }

    /// Whether local (unix) sockets are trusted by name.
    pub fn trusts_local_sockets(&self) -> bool {
        self.local
    }

    /// How many networks the set has, of IPv4 and of IPv6; those that overlap or touch are one.
    pub fn network_counts(&self) -> (usize, usize) {
        self.networks.counts()
    }

    /// Whether nobody is trusted.
    pub fn trusts_nobody(&self) -> bool {
        !self.any && !self.local && self.networks.is_empty()
    }

    /// The declared number of hops: a limit with a set, a count without.
    pub fn declared_hops(&self) -> Option<u8> {
        self.hops
    }

    /// Nobody, as a constant.
    pub(crate) const NONE: Self =
        Self { networks: NetworkSet::EMPTY, written: Vec::new(), local: false, any: false, hops: None };

    /// The number of hops that `other` declares.
    pub(crate) fn with_hops_of(self, other: &Self) -> Self {
        Self { hops: other.hops, ..self }
    }

    /// Whether this address stands in the set, rather than being admitted with everyone.
    pub(crate) fn lists(&self, ip: IpAddr) -> bool {
        self.networks.contains(ip)
    }
}

impl FromStr for TrustedProxies {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.trim_ascii().is_empty() { Ok(Self::none()) } else { Self::from_entries(text.split(',')) }
    }
}

const DANGEROUS: &str = "TrustedProxies::dangerously_trust_every_peer (any_peer)";

const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];
const PRIVATE: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
const LINK_LOCAL: &[&str] = &["169.254.0.0/16", "fe80::/10"];

enum Entry {
    Networks(&'static [&'static str]),
    Network(IpNet),
    Local,
}

fn read_entry(text: &str) -> Result<Entry, String> {
    match text {
        "loopback" => return Ok(Entry::Networks(LOOPBACK)),
        "private" => return Ok(Entry::Networks(PRIVATE)),
        "link-local" => return Ok(Entry::Networks(LINK_LOCAL)),
        "unix" => return Ok(Entry::Local),
        _ => {}
    }
    let network = match text.split_once('/') {
        None => text.parse::<IpAddr>().map(IpNet::from).ok(),
        Some((address, length)) => match (address.parse::<IpAddr>(), decimal(length)) {
            (Ok(address), Some(length)) => Some(network(text, address, length)?),
            _ => None,
        },
    };
    canonical(text, network.ok_or_else(|| explain(text))?).map(Entry::Network)
}

/// Digits only, without a leading zero, as in a network's `/8`.
fn decimal(text: &str) -> Option<u8> {
    crate::port::decimal(text.as_bytes()).map(|length| u8::try_from(length).unwrap_or(u8::MAX))
}

fn network(text: &str, address: IpAddr, length: u8) -> Result<IpNet, String> {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let network = IpNet::new(address, length)
        .map_err(|_| format!("the prefix exceeds {bits} bits; did you mean \"{address}\"?"))?;
    if network.addr() == network.network() {
        Ok(network)
    } else {
        let meant = canonical(text, network.trunc()).unwrap_or(network.trunc());
        Err(format!(
            "host bits are set; did you mean \"{meant}\" (the network) or \"{}\" (the address)?",
            address.to_canonical()
        ))
    }
}

/// Folds IPv4-mapped networks to IPv4, exactly as addresses are folded (threat T42).
fn canonical(text: &str, network: IpNet) -> Result<IpNet, String> {
    const MAPPED_BITS: u8 = 96;
    let IpNet::V6(v6) = network else { return Ok(network) };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(MAPPED_BITS)) {
        (Some(v4), Some(length)) => Ipv4Net::new(v4, length).map(IpNet::from).map_err(|_| explain(text)),
        _ if v6.prefix_len() > 0 && v6.contains(&core::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()) => {
            Err("it contains all IPv4-mapped addresses, that is, every IPv4 address".to_owned())
        }
        _ => Ok(network),
    }
}

/// The reason why `text` is neither a name nor a network, and what was probably meant.
fn explain(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let likely = |name: &str| format!("not a name, an address or a network; did you mean \"{name}\"?");
    match lower.trim_end_matches(':') {
        "" => return "it is empty; remove the comma, or fill in the missing value".to_owned(),
        "*" | "all" | "any" | "everyone" | "everybody" | "true" => {
            return format!("this would trust everyone; list your proxies, or say so with {DANGEROUS}");
        }
        "none" | "nobody" | "false" => {
            return "to trust nobody, leave the set empty".to_owned();
        }
        "loopback" | "localhost" | "local" => return likely("loopback"),
        "private" | "rfc1918" | "internal" | "uniquelocal" | "unique-local" => return likely("private"),
        "link-local" | "linklocal" | "link_local" => return likely("link-local"),
        "unix" | "uds" | "socket" => return likely("unix"),
        _ => {}
    }
    if text.contains(char::is_whitespace) {
        return "entries are separated by commas".to_owned();
    }
    if text.contains('%') {
        return "a zone (%...) has no meaning in a trusted set; leave it out".to_owned();
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    if let Some(meant) = bracketed.and_then(|it| it.0.parse::<IpAddr>().ok()) {
        return format!("trust is by address, without brackets or port; did you mean \"{meant}\"?");
    }
    if let Ok(address) = text.parse::<core::net::SocketAddr>() {
        let meant = address.ip();
        return format!("trust is by address, without a port; did you mean \"{meant}\"?");
    }
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    if let (Ok(IpAddr::V4(address)), Some(Ok(mask))) = (address.parse(), length.map(str::parse)) {
        return match Ipv4Net::with_netmask(address, mask) {
            Ok(meant) => format!("netmasks are not read; did you mean \"{}\"?", meant.trunc()),
            Err(_) => "netmasks are not read; write the number of bits, such as /24".to_owned(),
        };
    }
    if address.parse::<IpAddr>().is_ok() {
        return "the prefix length has to be a plain number of bits".to_owned();
    }
    if !address.contains(':') && address.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return explain_ipv4(address, length);
    }
    if address.contains(':') {
        return "not an IPv6 address or network".to_owned();
    }
    if let Some((first, _)) = text.split_once('-').filter(|(first, _)| first.parse::<IpAddr>().is_ok()) {
        return format!("ranges are not read; write networks, such as {first}/28");
    }
    if address.starts_with("0x") {
        return "an IPv4 address has four decimal numbers".to_owned();
    }
    "host names are never resolved, because whoever answers for the name would be trusted; \
     write the addresses"
        .to_owned()
}

fn explain_ipv4(address: &str, length: Option<&str>) -> String {
    let mut octets: Vec<&str> = address.split('.').collect();
    let given = octets.len();
    if given < 4 && !octets.contains(&"") {
        octets.resize(4, "0");
        let bits = length.map_or_else(|| (given * 8).to_string(), ToOwned::to_owned);
        let meant = format!("{}/{bits}", octets.join("."));
        if meant.parse::<IpNet>().is_ok() {
            return format!("an IPv4 address has four numbers; did you mean \"{meant}\"?");
        }
    }
    let plain: Vec<&str> = octets
        .iter()
        .map(|octet| match octet.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        })
        .collect();
    let plain = plain.join(".");
    let meant = length.map_or_else(|| plain.clone(), |length| format!("{plain}/{length}"));
    let is_read = meant.parse::<IpAddr>().is_ok() || meant.parse::<IpNet>().is_ok();
    if octets.len() == 4 && !octets.contains(&"") && plain != address && is_read {
        return format!("leading zeros are not read, some would mean octal; did you mean \"{meant}\"?");
    }
    "an IPv4 address has four numbers from 0 to 255".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_refused(text: &str, reason: &str) {
        let error = text.parse::<TrustedProxies>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text:?} said: {error}");
    }

    #[track_caller]
    fn assert_trusts(text: &str, inside: &[&str], outside: &[&str]) {
        let proxies: TrustedProxies = text.parse().unwrap();
        for peer in inside {
            assert!(proxies.allows(&peer.parse().unwrap()), "{peer} should be in {text}");
        }
        for peer in outside {
            assert!(!proxies.allows(&peer.parse().unwrap()), "{peer} should not be in {text}");
        }
        assert!(!proxies.allows(&Peer::unknown()));
    }

    #[test]
    fn t03_nobody_is_trusted_by_default() {
        assert_trusts("", &[], &["127.0.0.1", "10.0.0.2", "::1", "unix"]);
        assert_eq!(TrustedProxies::default(), TrustedProxies::none());
    }

    #[test]
    fn t04_trusting_everyone_does_not_build() {
        for text in ["0.0.0.0/0", "::/0", "*", "0.0.0.0/1, 128.0.0.0/1", "::ffff:0:0/96"] {
            assert_refused(text, "dangerously_trust_every_peer");
        }
        for text in ["all", "Any", "everyone", "everybody", "true"] {
            assert_refused(text, "this would trust everyone");
        }
        for text in ["none", "Nobody", "false"] {
            assert_refused(text, "leave the set empty");
        }
        assert_refused("::/1", "every IPv4 address");
        assert_refused("::/80", "every IPv4 address");
    }

    #[test]
    fn t05_a_bad_entry_is_named_with_its_position_and_its_cure() {
        assert_refused("10.0.0.0/33", "entry 1 of the trusted set, \"10.0.0.0/33\": the prefix exceeds 32");
        assert_refused(
            "loopback,10.0.0",
            "entry 2 of the trusted set, \"10.0.0\": an IPv4 address has four numbers; did you mean \"10.0.0.0/24\"?",
        );
        assert_refused("proxy.good.example", "never resolved");
        assert_refused("10.0.0.1/8", "did you mean \"10.0.0.0/8\"");
        assert_refused("010.0.0.0/8", "did you mean \"10.0.0.0/8\"?");
        assert_refused("loopback,", "entry 2 of the trusted set, \"\": it is empty");
        assert_refused("::ffff:10.0.0.1/104", "did you mean \"10.0.0.0/8\"");
        assert_refused("10.0..0/8", "0 to 255");
        assert_refused("10.0.0.1:80", "did you mean \"10.0.0.1\"?");
        assert_refused("[::1]:80", "did you mean \"::1\"?");
        assert_refused("[::1]", "did you mean \"::1\"?");
        assert_refused("fe80::1%eth0", "zone");
        for (name, likely) in [
            ("loopback", &["Loopback", "localhost", "local"][..]),
            ("private", &["Private", "rfc1918", "internal", "uniquelocal", "unique-local"]),
            ("link-local", &["Link-Local", "linklocal", "link_local"]),
            ("unix", &["unix:", "uds", "socket"]),
        ] {
            for text in likely {
                assert_refused(text, &format!("did you mean \"{name}\"?"));
            }
        }
        assert_refused("10.0.0.0/255.0.0.0", "did you mean \"10.0.0.0/8\"?");
        assert_refused("10.0.0.0/255.0.255.0", "number of bits");
        assert_refused("10.0.0.0/08", "plain number of bits");
        assert_refused("10.0.0.0/", "plain number of bits");
        assert_refused("10.0.0.1 10.0.0.2", "separated by commas");
        assert_refused("10.0.0.1-10.0.0.9", "ranges");
        assert_refused("2001:db8::/129", "exceeds 128 bits");
        assert_refused("2001:db8:::1", "not an IPv6");
        assert_refused("0x0a.0.0.1", "four decimal numbers");
        assert_refused("256.0.0.1", "0 to 255");
        assert!(TrustedProxies::from_entries([""]).is_err());
    }

    #[test]
    fn t42_mapped_networks_are_folded() {
        assert_trusts("::ffff:10.0.0.0/104", &["10.0.0.2", "::ffff:10.0.0.2"], &["11.0.0.1"]);
        assert_trusts("::ffff:10.0.0.7", &["10.0.0.7"], &["10.0.0.8"]);
    }

    #[test]
    fn t40_t48_addresses_are_compared_by_number() {
        assert_trusts("10.0.0.0/8", &["[::ffff:10.0.0.2]:40000"], &["::10.0.0.2", "64:ff9b::a00:2"]);
        assert_trusts(
            "2001:db8::9, 10.0.0.1",
            &["2001:DB8:0:0:0:0:0:9", "2001:db8::0009"],
            &["10.0.0.10", "110.0.0.1"],
        );
    }

    #[test]
    fn t07_no_network_matches_a_local_socket() {
        assert_trusts("loopback, private, link-local", &["127.0.0.1", "172.16.0.1", "fe80::1"], &["unix"]);
        assert_trusts("unix", &["unix"], &["127.0.0.1"]);
    }

    #[test]
    fn hops_are_one_to_thirty_two() {
        assert!(TrustedProxies::none().hops(0).is_err());
        assert!(TrustedProxies::none().hops(33).is_err());
        assert_eq!(TrustedProxies::none().hops(32).unwrap().declared_hops(), Some(32));
    }

    #[test]
    fn sets_are_equal_that_trust_the_same() {
        let set = |text: &str| text.parse::<TrustedProxies>().unwrap();
        assert_eq!(set("10.0.0.0/9, 10.128.0.0/9, 10.0.0.1"), set("10.0.0.0/8"));
        assert_eq!(set("").local_sockets(), set("unix"));
        assert_eq!(set("10.0.0.0/8").local_sockets(), set("unix, 10.0.0.0/8"));
        let all = [
            set("10.0.0.0/8"),
            set("10.0.0.0/7"),
            set("10.0.0.0/8, unix"),
            set("10.0.0.0/8").hops(1).unwrap(),
            TrustedProxies::none(),
            TrustedProxies::dangerously_trust_every_peer(),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| one != other), "{one:?}");
        }
    }

    #[test]
    fn names_stand_for_networks() {
        let set = |text: &str| text.parse::<TrustedProxies>().unwrap();
        for (name, networks) in [
            ("loopback", "127.0.0.0/8, ::1"),
            ("private", "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7"),
            ("link-local", "169.254.0.0/16, fe80::/10"),
        ] {
            assert_eq!(set(name), set(networks));
            assert_eq!(set(name).networks(), set(networks).networks());
        }
    }

    #[test]
    fn networks_that_touch_are_counted_once() {
        let set: TrustedProxies = "10.0.0.0/9, 10.128.0.0/9, 192.0.2.1, 203.0.113.9, ::1".parse().unwrap();
        assert_eq!(set.network_counts(), (3, 1));
    }

    #[test]
    fn lines_are_entries_and_an_error_names_its_line() {
        let text = "# balancers\n10.0.0.0/24, 10.0.1.0/24\n\n  unix # the sidecar\n";
        assert_eq!(
            TrustedProxies::from_lines(text).unwrap(),
            "10.0.0.0/24, 10.0.1.0/24, unix".parse().unwrap()
        );
        let refused = |text| TrustedProxies::from_lines(text).unwrap_err().to_string();
        let place = "line 3: entry 3 of the trusted set, \"10.0.0.1/8\": ";
        assert!(refused("10.1.0.0/24, 10.2.0.0/24\n\n10.0.0.1/8").starts_with(place));
        assert!(refused("10.0.0.1/8").starts_with("line 1: entry 1 "));
        assert!(refused("0.0.0.0/1\n128.0.0.0/1").starts_with("the trusted set contains"));
    }
}
