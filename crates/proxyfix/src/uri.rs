//! The only code that edits a [`Uri`].

use http::request::Parts;
use http::uri;
use http::uri::{Authority, PathAndQuery, Uri};
use proxyfix_policy::Scheme;

/// Whether the target is a bare authority, which names a tunnel and no host of ours (RFC 9112
/// section 3.2.3). The `CONNECT` of HTTP/2 that names a URL (RFC 8441) is a request like others.
fn is_tunnel(uri: &Uri) -> bool {
    uri.authority().is_some() && uri.scheme().is_none()
}

/// Whether the target names a path: not the `*` of `OPTIONS` (RFC 9112 section 3.2.4), not a tunnel.
pub(crate) fn has_path(uri: &Uri) -> bool {
    !is_tunnel(uri) && uri.path().starts_with('/')
}

/// The authority that the target carries, but for a tunnel's.
pub(crate) fn authority(uri: &Uri) -> Option<&Authority> {
    uri.authority().filter(|_| !is_tunnel(uri))
}

/// Replaces the path and keeps the query. `path` has to begin with `/`.
///
/// A path that no target can hold leaves the target as it was, and answers false.
pub(crate) fn set_path(parts: &mut Parts, path: &str) -> bool {
    /// Bytes that `http` admits; older versions of it did not look.
    const LONGEST_TARGET: usize = u16::MAX as usize - 1;
    let text = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if text.len() > LONGEST_TARGET {
        return false;
    }
    match PathAndQuery::try_from(text) {
        Ok(path) => edit(&mut parts.uri, |uri| uri.path_and_query = Some(path)),
        Err(_) => false,
    }
}

/// Replaces or removes scheme and authority together: one does not go without the other.
pub(crate) fn set_origin(uri: &mut Uri, origin: Option<(Scheme, Authority)>) {
    let (scheme, authority) = origin.unzip();
    edit(uri, |uri| {
        uri.scheme = scheme.map(|scheme| match scheme {
            Scheme::Http => uri::Scheme::HTTP,
            Scheme::Https => uri::Scheme::HTTPS,
        });
        uri.authority = authority;
        // A target without a path, such as `http://good.example`, means the root.
        uri.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    });
}

fn edit(uri: &mut Uri, change: impl FnOnce(&mut uri::Parts)) -> bool {
    let mut parts = uri.clone().into_parts();
    change(&mut parts);
    Uri::from_parts(parts).map(|changed| *uri = changed).is_ok()
}
