//! Who is connected.

use alloc::borrow::{Cow, ToOwned};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU16;
use core::str::FromStr;

use crate::Error;

/// One end of a connection: an address, a local (unix) socket, or unknown.
///
/// The peer of a request comes from its connection, never from a header, and never changes; it is
/// the only thing that opens the gate of [`TrustedProxies`](crate::TrustedProxies). The same type
/// names the hops that a [`Walk`](crate::Walk) passes.
///
/// IPv4-mapped IPv6 addresses (`::ffff:0:0/96`, what a dual-stack listener reports) are folded to
/// IPv4 as they come in, and nothing else is: two peers are equal when they are the same machine
/// and port. Scope ids have no meaning off the host that wrote them and are dropped.
///
/// ```
/// use proxyfix_policy::Peer;
/// use std::net::SocketAddr;
///
/// let dual_stack: SocketAddr = "[::ffff:10.0.0.2]:40000".parse()?;
/// assert_eq!(Peer::from(dual_stack).to_string(), "10.0.0.2:40000");
/// assert_eq!("unix".parse::<Peer>()?, Peer::local());
/// assert!(Peer::default().is_unknown());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Peer(Kind);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
enum Kind {
    Address(IpAddr, Option<NonZeroU16>),
    Local,
    #[default]
    Unknown,
}

impl Peer {
    /// A machine, by its address and, where it is known, its port. Port 0 means no port.
    #[inline]
    pub fn new(ip: IpAddr, port: Option<u16>) -> Self {
        Self(Kind::Address(ip.to_canonical(), port.and_then(NonZeroU16::new)))
    }

    /// A process on this machine, connected through a unix socket.
    ///
    /// It has no address, so that no network can match it: trusting local sockets is a decision of
    /// its own ([`TrustedProxies::local_sockets`](crate::TrustedProxies::local_sockets)).
    #[inline]
    pub const fn local() -> Self {
        Self(Kind::Local)
    }

    /// Nobody knows: the connection information was not wired, or the acceptor could not vouch for
    /// the address. Never trusted.
    #[inline]
    pub const fn unknown() -> Self {
        Self(Kind::Unknown)
    }

    /// The address, folded to IPv4 where it was IPv4-mapped.
    #[inline]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self.0 {
            Kind::Address(ip, _) => Some(ip),
            Kind::Local | Kind::Unknown => None,
        }
    }

    /// The port, where one is known; never 0.
    #[inline]
    pub const fn port(&self) -> Option<u16> {
        match self.0 {
            Kind::Address(_, Some(port)) => Some(port.get()),
            Kind::Address(_, None) | Kind::Local | Kind::Unknown => None,
        }
    }

    /// Whether this is a unix socket on this machine.
    #[inline]
    pub const fn is_local(&self) -> bool {
        matches!(self.0, Kind::Local)
    }

    /// Whether nothing is known.
    #[inline]
    pub const fn is_unknown(&self) -> bool {
        matches!(self.0, Kind::Unknown)
    }
}

impl From<SocketAddr> for Peer {
    #[inline]
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self(Kind::Address(IpAddr::V4(*v4.ip()), NonZeroU16::new(v4.port()))),
            SocketAddr::V6(v6) => Self::new(IpAddr::V6(*v6.ip()), Some(v6.port())),
        }
    }
}

impl From<IpAddr> for Peer {
    fn from(ip: IpAddr) -> Self {
        Self::new(ip, None)
    }
}

impl FromStr for Peer {
    type Err = Error;

    /// Reads `10.0.0.2`, `10.0.0.2:40000`, `2001:db8::7`, `[2001:db8::7]:40000` or `unix`.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "unix" {
            return Ok(Self::local());
        }
        // A scope id (`fe80::1%eth0`) has no meaning here, and only IPv6 has one.
        let unscoped = match text.split_once('%') {
            Some((address, scope)) if address.contains(':') => {
                Cow::Owned(address.to_owned() + scope.find(']').map_or("", |end| &scope[end..]))
            }
            _ => Cow::Borrowed(text),
        };
        let bare = unscoped.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(&unscoped);
        unscoped
            .parse::<SocketAddr>()
            .map(Self::from)
            .or_else(|_| bare.parse::<IpAddr>().map(Self::from))
            .map_err(|_| {
                Error::value(
                    "a peer",
                    text.as_bytes(),
                    "expected an address with or without a port, such as 10.0.0.2, \
                     10.0.0.2:40000 or [2001:db8::7]:40000, or \"unix\"",
                )
            })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Address(ip, Some(port)) => SocketAddr::new(ip, port.get()).fmt(f),
            Kind::Address(ip, None) => ip.fmt(f),
            Kind::Local => f.pad("unix"),
            Kind::Unknown => f.pad("unknown"),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({self})")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn peers_are_read_and_folded() {
        for (text, expected) in [
            ("10.0.0.2", "10.0.0.2"),
            ("10.0.0.2:40000", "10.0.0.2:40000"),
            ("10.0.0.2:0", "10.0.0.2"),
            ("[::ffff:10.0.0.2]:40000", "10.0.0.2:40000"),
            ("2001:DB8::7", "2001:db8::7"),
            ("[2001:db8::7]:80", "[2001:db8::7]:80"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%eth0]:80", "[fe80::1]:80"),
            ("[::1]", "::1"),
            ("unix", "unix"),
        ] {
            let peer: Peer = text.parse().unwrap();
            assert_eq!(
                (peer.to_string(), format!("{peer:?}")),
                (expected.into(), format!("Peer({expected})"))
            );
        }
        for text in [
            "",
            "localhost",
            "10.0.0",
            "10.0.0.2:",
            "unknown",
            "10.0.0.2/8",
            "%eth0",
            "10.0.0.2%eth0",
            "[10.0.0.2",
            "10.0.0.2]",
        ] {
            assert!(text.parse::<Peer>().is_err(), "{text:?}");
        }
    }
}
