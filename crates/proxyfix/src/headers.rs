//! Which header names exist, their aliases, and their removal.

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};
use proxyfix_policy::{Claims, Error, Policy};

use crate::Canonical;

/// The headers that could tell a later reader something else than the decision, in lower case.
///
/// Removed from every request, trusted peer or not, under any spelling that a gateway folds into the
/// same name: case, and any byte that is neither letter nor digit in the place of a hyphen
/// (`X_Forwarded_For`, `X.Forwarded-For`).
pub const PROTECTED_HEADERS: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "cloudfront-viewer-address",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "front-end-https",
    "proxy",
    "script-name",
    "true-client-ip",
    "x-accel-mapping",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-forwarded",
    "x-forwarded-by",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-script-name",
    "x-sendfile-type",
    "x-url-scheme",
];

/// What was removed from a request, for the fixes that come later in a stack: a request is judged by
/// what it said as it came in, whichever fix reads it.
#[derive(Clone, Default)]
pub(crate) struct Removed {
    lines: Vec<(HeaderName, HeaderValue)>,
    /// Which policies judged the request, by where they stand in memory.
    judges: [usize; 4],
    /// What functions found in the request as it came in, by the policy that they belong to.
    found: Vec<(usize, Computed, bool)>,
    /// What is written in their place.
    pub(crate) canonical: Option<Canonical>,
}

/// Values that do not stand in a header, under names that no header can have.
pub(crate) type Computed = Vec<(&'static str, Vec<u8>)>;

/// Removes every protected header and the operator's own, under all their aliases.
pub(crate) fn sanitize(headers: &mut HeaderMap, own: &[HeaderName]) -> Removed {
    let doomed: Vec<HeaderName> =
        headers.keys().filter(|name| is_protected(name.as_str(), own)).cloned().collect();
    let mut removed = Vec::with_capacity(doomed.len());
    for name in doomed {
        if let Entry::Occupied(entry) = headers.entry(&name) {
            removed.extend(entry.remove_entry_mult().1.map(|value| (name.clone(), value)));
        }
    }
    Removed { lines: removed, ..Removed::default() }
}

impl Removed {
    /// Adds what a later fix removed, but for headers that came back from inside: protected ones, and
    /// those that were removed before.
    pub(crate) fn extend(&mut self, later: Self) {
        let known = self.lines.len();
        for (name, value) in later.lines {
            let before = self.lines[..known].iter().any(|(removed, _)| *removed == name);
            if !before && !is_protected(name.as_str(), &[]) {
                self.lines.push((name, value));
            }
        }
    }

    /// What the functions of this policy's fix found when it judged first: they see what later stands
    /// there no more.
    pub(crate) fn found_by(&self, policy: &Policy) -> Option<(Computed, bool)> {
        let judge = std::ptr::from_ref(policy).addr();
        self.found.iter().find(|found| found.0 == judge).map(|found| (found.1.clone(), found.2))
    }

    /// Remembers it.
    pub(crate) fn note_found(&mut self, policy: &Policy, computed: Computed, proven: bool) {
        let judge = std::ptr::from_ref(policy).addr();
        if !self.found.iter().any(|found| found.0 == judge) {
            self.found.push((judge, computed, proven));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.found.is_empty() && self.canonical.is_none()
    }

    /// The most lines that one header had.
    #[cfg(feature = "guard")]
    pub(crate) fn most_lines(&self) -> usize {
        self.lines.chunk_by(|a, b| a.0 == b.0).map(<[_]>::len).max().unwrap_or_default()
    }

    /// The most bytes that the values of one family had: `X-Forwarded-*` is one, others stand alone.
    #[cfg(feature = "guard")]
    pub(crate) fn most_bytes(&self) -> usize {
        let (mut family, mut most) = (0, 0);
        for lines in self.lines.chunk_by(|a, b| a.0 == b.0) {
            let bytes = lines.iter().map(|(_, value)| value.len()).sum();
            if lines.iter().all(|(name, _)| name.as_str().starts_with("x-forwarded-")) {
                family += bytes;
            }
            most = most.max(bytes).max(family);
        }
        most
    }

    /// The names, each once.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.lines.chunk_by(|a, b| a.0 == b.0).filter_map(|lines| Some(lines.first()?.0.as_str()))
    }

    /// Whether `policy` judged this request before; it has now.
    pub(crate) fn judged_before_by(&mut self, policy: &Policy) -> bool {
        let judge = std::ptr::from_ref(policy).addr();
        if self.judges.contains(&judge) {
            return true;
        }
        if let Some(free) = self.judges.iter_mut().find(|judge| **judge == 0) {
            *free = judge;
        }
        false
    }
}

/// Whether `name` folds to a protected name.
pub(crate) fn is_protected(name: &str, own: &[HeaderName]) -> bool {
    let first = name.as_bytes().first().map(u8::to_ascii_lowercase);
    // No protected name begins otherwise; most headers end here.
    (matches!(first, Some(b'c' | b'f' | b'p' | b's' | b't' | b'x'))
        && PROTECTED_HEADERS.iter().any(|protected| folds_to(name, protected)))
        || own.iter().any(|own| folds_to(name, own.as_str()))
}

/// Whether `name`, in lower case, folds to a protected name that is spelled otherwise.
pub(crate) fn is_alias(name: &str, own: &[HeaderName]) -> bool {
    PROTECTED_HEADERS.binary_search(&name).is_err() && !own.iter().any(|own| own == name)
}

/// Folding ignores case and maps every byte that is neither letter nor digit to the hyphen.
fn folds_to(name: &str, protected: &str) -> bool {
    name.len() == protected.len()
        && name.bytes().zip(protected.bytes()).all(|(byte, expected)| {
            byte.to_ascii_lowercase() == expected || (expected == b'-' && !byte.is_ascii_alphanumeric())
        })
}

/// The headers of a request, as the policy reads them.
pub(crate) struct HeaderClaims<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// What earlier fixes removed; `None` where no fix ran before.
    pub(crate) removed: Option<&'a Removed>,
    /// Values that were computed, under names that no header can have.
    pub(crate) computed: &'a Computed,
}

impl Claims for HeaderClaims<'_> {
    fn lines<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let computed = self.computed.iter().find(|(computed, _)| *computed == name);
        // The lines of one name were removed together and stand together.
        let removed = self.removed.map_or(&[][..], |removed| &removed.lines);
        let start = removed.iter().position(|(removed, _)| removed == name).unwrap_or(removed.len());
        let length = removed[start..].iter().take_while(|(removed, _)| removed == name).count();
        let removed = &removed[start..start + length];
        let hidden =
            computed.is_some() || !removed.is_empty() || (self.removed.is_some() && is_protected(name, &[]));
        self.headers
            .get_all(if hidden { "" } else { name })
            .into_iter()
            .chain(removed.iter().map(|(_, value)| value))
            .map(HeaderValue::as_bytes)
            .chain(computed.map(|(_, value)| value.as_slice()))
    }
}

/// A header name that the operator adds to the protected ones, folded as those are.
pub(crate) fn own_header(name: &str) -> Result<HeaderName, Error> {
    /// Removing these would unroute or unframe the request.
    const NEEDED: [&str; 6] =
        ["host", "connection", "content-length", "content-type", "transfer-encoding", "upgrade"];
    let refused = |reason: &str| Err(Error::refused(&format!("{name:?} cannot be removed: {reason}")));
    let fold = |byte: char| if byte.is_ascii_alphanumeric() { byte } else { '-' };
    let folded: String = name.chars().map(fold).collect();
    match (HeaderName::from_bytes(name.as_bytes()), HeaderName::from_bytes(folded.as_bytes())) {
        (Ok(_), Ok(name)) if NEEDED.contains(&name.as_str()) => refused("it routes or frames the request"),
        (Ok(_), Ok(name)) => Ok(name),
        _ => refused("a header name is a token (RFC 9110 section 5.6.2)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remaining(names: &[&str], own: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), "v".parse().unwrap());
        }
        let own: Vec<HeaderName> = own.iter().map(|name| own_header(name).unwrap()).collect();
        sanitize(&mut headers, &own);
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn every_protected_header_goes() {
        assert_eq!(remaining(PROTECTED_HEADERS, &[]), [""; 0]);
        assert!(PROTECTED_HEADERS.is_sorted());
    }

    #[test]
    fn t114_aliases_go_with_their_names() {
        let aliases = [
            "X_Forwarded_For",
            "X-Forwarded_Proto",
            "X_Real_IP",
            "X.Forwarded.Host",
            "x~forwarded-prefix",
            "CF_Connecting_IP",
            "x!real*ip",
        ];
        assert_eq!(remaining(&aliases, &[]), [""; 0]);
    }

    #[test]
    fn other_headers_stay() {
        let others = [
            "host",
            "x-forwarded-user",
            "x-forwarded-forx",
            "xforwarded-for",
            "x-request-id",
            "via",
            "x1forwarded-for",
            "cookie",
            "content-type",
        ];
        assert_eq!(remaining(&others, &[]), others);
    }

    #[test]
    fn t115_operators_add_their_own() {
        let sent = ["X-Forwarded-User", "x_forwarded_user", "x-ssl-client-verify"];
        assert_eq!(remaining(&sent, &["X-Forwarded-User"]), ["x-ssl-client-verify"]);
        assert_eq!(remaining(&["X-Auth-User"], &["X_Auth_User"]), [""; 0]);
        assert!(own_header("Host").is_err());
        assert!(own_header("Content_Length").is_err());
        assert!(own_header("a b").is_err());
    }
}
