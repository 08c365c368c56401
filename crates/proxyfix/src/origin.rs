//! Where a request came from, as the fixes leave it in the extensions.

use std::fmt;
use std::ops::Deref;

use proxyfix_policy::Prefix;

use crate::headers::Removed;

/// The answer in the extensions of a request: what the policy [decided](proxyfix_policy::Origin), with all
/// that this says of client, scheme, host, port, prefix and the reason for each.
///
/// It is one extension, made by the first fix of a stack and carried on by the later ones, which find here
/// the headers that were removed: each judges the request as it came in.
///
/// ```
/// use http::Request;
/// use proxyfix::{Ending, Fix, Origin, Peer, ProxyFix, TrustedProxies};
///
/// let fix = ProxyFix::new("10.0.0.0/8".parse::<TrustedProxies>()?);
/// let (mut parts, ()) = Request::get("/")
///     .extension("10.0.0.2".parse::<Peer>()?)
///     .header("x-forwarded-for", "203.0.113.9")
///     .body(())?
///     .into_parts();
/// fix.fix(&mut parts);
///
/// let origin = parts.extensions.get::<Origin>().unwrap();
/// assert_eq!((origin.client(), origin.ending()), ("203.0.113.9".parse().ok(), Ending::ClientFound));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// For the tests of a handler, a decision becomes one without a fix:
///
/// ```
/// use proxyfix::{Origin, Policy, Received, TrustedProxies};
///
/// let policy = Policy::new("10.0.0.0/8".parse::<TrustedProxies>()?);
/// let headers: &[(&str, &[u8])] = &[("x-forwarded-for", b"203.0.113.9")];
/// let origin: Origin = policy.decide("10.0.0.2".parse()?, Received::default(), headers).into();
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(origin);
/// # Ok::<(), proxyfix::Error>(())
/// ```
#[derive(Clone)]
pub struct Origin {
    pub(crate) decided: proxyfix_policy::Origin,
    /// What was removed from the request, for the fixes that come later.
    pub(crate) removed: Removed,
}

impl Origin {
    pub(crate) fn new(decided: proxyfix_policy::Origin, removed: Removed) -> Self {
        Self { decided, removed }
    }

    pub(crate) fn set_prefix(&mut self, prefix: Prefix) {
        self.decided.set_prefix(prefix);
    }
}

impl Deref for Origin {
    type Target = proxyfix_policy::Origin;

    fn deref(&self) -> &proxyfix_policy::Origin {
        &self.decided
    }
}

impl From<proxyfix_policy::Origin> for Origin {
    fn from(decided: proxyfix_policy::Origin) -> Self {
        Self::new(decided, Removed::default())
    }
}

/// Equal is what was decided alike.
impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.decided == other.decided
    }
}

impl Eq for Origin {}

impl PartialEq<proxyfix_policy::Origin> for Origin {
    fn eq(&self, other: &proxyfix_policy::Origin) -> bool {
        self.decided == *other
    }
}

/// The sentence of what was [decided](proxyfix_policy::Origin).
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decided.fmt(f)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decided.fmt(f)
    }
}

/// The record of what was [decided](proxyfix_policy::Origin).
#[cfg(feature = "serde")]
impl serde::Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.decided.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proxyfix_policy::{Received, TrustedProxies};

    use super::*;
    use crate::{Fixed, ProxyFix};

    /// What every request carries and every connection clones: growth is a decision. Beyond 1 032 bytes the
    /// allocator of glibc leaves its short way.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn sizes_are_known() {
        assert_eq!(size_of::<Origin>(), 632);
        assert_eq!(size_of::<ProxyFix>(), 8);
        assert_eq!(size_of::<Fixed<ProxyFix, ()>>(), 8);
        assert_eq!(size_of::<Option<proxyfix_policy::Origin>>(), size_of::<proxyfix_policy::Origin>());
    }

    #[test]
    fn an_origin_is_what_was_decided() {
        let policy = proxyfix_policy::Policy::new(TrustedProxies::none());
        let decided = policy.decide("192.0.2.1".parse().unwrap(), Received::default(), &[][..]);
        let origin = Origin::from(decided.clone());
        assert_eq!(origin, decided);
        assert_eq!(
            (origin.to_string(), format!("{origin:?}")),
            (decided.to_string(), format!("{decided:?}"))
        );
        assert_eq!(origin.clone(), origin);
        let other = policy.decide("192.0.2.2".parse().unwrap(), Received::default(), &[][..]);
        assert_ne!(origin, other);
        assert_ne!(origin, Origin::from(other));
    }
}
