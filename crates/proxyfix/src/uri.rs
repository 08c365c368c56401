//! The only code that edits a [`Uri`].

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Uri};
use http::{Method, uri};
use proxyfix_policy::Scheme;

/// Whether the target names a path: not `*`, and not the authority of a `CONNECT` (RFC 9112
/// sections 3.2.3 and 3.2.4), which are left alone.
pub(crate) fn has_path(parts: &Parts) -> bool {
    parts.method != Method::CONNECT && parts.uri.path().starts_with('/')
}

/// The authority that the target carries; that of a `CONNECT` names a tunnel, not a host.
pub(crate) fn authority(parts: &Parts) -> Option<&Authority> {
    parts.uri.authority().filter(|_| parts.method != Method::CONNECT)
}

/// Replaces the path and keeps the query. `path` has to begin with `/`.
///
/// A path that is no URL path leaves the target as it was.
pub(crate) fn set_path(parts: &mut Parts, path: &str) {
    let text = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if let Ok(path) = PathAndQuery::try_from(text) {
        edit(&mut parts.uri, |uri| uri.path_and_query = Some(path));
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

fn edit(uri: &mut Uri, change: impl FnOnce(&mut uri::Parts)) {
    let mut parts = uri.clone().into_parts();
    change(&mut parts);
    if let Ok(changed) = Uri::from_parts(parts) {
        *uri = changed;
    }
}
