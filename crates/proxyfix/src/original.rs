//! The request as it came in, for handlers and logs that want it.
//!
//! ```text
//! received   /7          Host: app.internal   X-Forwarded-Host: good.example   mount "/users"
//! fixed      /users/7    Host: good.example                                    mount ""
//! restored   /7          Host: app.internal   X-Forwarded-Host: good.example   mount "/users"
//! ```
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{Fix, KeepOriginal, Original, Peer, ProxyFix, TrustedProxies};
//!
//! let fix = ProxyFix::builder("10.0.0.0/8".parse::<TrustedProxies>()?).host().build()?;
//! let stack = (KeepOriginal, fix); // or `.host().keep_original().build()?`
//!
//! let (mut parts, ()) = Request::get("/")
//!     .extension("10.0.0.2".parse::<Peer>()?)
//!     .header("host", "app.internal")
//!     .header("x-forwarded-host", "good.example")
//!     .body(())?
//!     .into_parts();
//! stack.fix(&mut parts);
//! assert_eq!(parts.headers["host"], "good.example");
//!
//! let original = parts.extensions.get::<Original>().unwrap();
//! assert_eq!(original.headers()["host"], "app.internal");
//!
//! assert!(proxyfix::restore(&mut parts));
//! assert_eq!(parts.headers["host"], "app.internal");
//! assert_eq!(parts.headers["x-forwarded-host"], "good.example");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Uri, Version};
use proxyfix_policy::{Mount, Peer};

use crate::fix::fix_is_a_layer;
use crate::{Connection, Fix, Origin};

/// Keeps the head of each request as it stands, as an [`Original`] in the extensions.
///
/// Put it first: what it sees is what is kept, and behind another fix that is what the other one left.
/// Where several fixes of a stack keep the original, the first one's stays.
///
/// It costs a copy of the header map, a few hundred bytes to a few kilobytes a request; the values and
/// the target are shared, not copied.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct KeepOriginal;

impl Fix for KeepOriginal {
    fn fix(&self, parts: &mut Parts) {
        if parts.extensions.get::<Original>().is_some() {
            return;
        }
        let kept = Kept {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            headers: parts.headers.clone(),
            extensions: Extensions::new(),
            put_back: Vec::new(),
        };
        parts.extensions.insert(Original(Arc::new(kept)));
        Original::keep::<Mount>(parts);
        Original::keep::<Origin>(parts);
    }

    fn fix_from(&self, _: Connection, parts: &mut Parts) -> Option<Peer> {
        self.fix(parts);
        None
    }
}

fix_is_a_layer!(KeepOriginal);

/// The head of a request as [`KeepOriginal`] saw it, before the fixes.
///
/// Whatever a client wrote stands here as it wrote it: for logs and for passing on, not for decisions.
/// [`restore`] puts it back.
///
/// [`Debug`] shows the names of headers and how long their values are, because values may be secret
/// (`Authorization`, `Cookie`, the query):
///
/// ```
/// use http::Request;
/// use proxyfix::{Fix, KeepOriginal, Original};
///
/// let (mut parts, ()) =
///     Request::get("/?token=7").header("cookie", "id=42").body(())?.into_parts();
/// KeepOriginal.fix(&mut parts);
///
/// let shown = format!("{:?}", parts.extensions.get::<Original>().unwrap());
/// assert_eq!(shown, r#"Original { method: GET, target: 9 bytes, headers: {"cookie": 5 bytes} }"#);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone)]
pub struct Original(Arc<Kept>);

#[derive(Clone)]
struct Kept {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    /// The extensions that fixes change, as they were.
    extensions: Extensions,
    /// Their types, the absent ones too, and what puts each back.
    put_back: Vec<(TypeId, PutBack)>,
}

type PutBack = fn(kept: &mut Extensions, into: &mut Extensions);

impl Original {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// The target.
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// All header lines, the protected ones too.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// Keeps the extension of type `T` as it is now, or that there is none: for fixes of your own, to be
    /// called before they change it. Without an original, or a second time, nothing happens.
    ///
    /// ```
    /// use http::request::Parts;
    /// use proxyfix::{Fix, KeepOriginal, Original};
    ///
    /// #[derive(Clone)]
    /// struct Tenant(&'static str);
    ///
    /// struct Tenants;
    ///
    /// impl Fix for Tenants {
    ///     fn fix(&self, parts: &mut Parts) {
    ///         Original::keep::<Tenant>(parts);
    ///         parts.extensions.insert(Tenant("acme"));
    ///     }
    /// }
    ///
    /// let (mut parts, ()) = http::Request::new(()).into_parts();
    /// (KeepOriginal, Tenants).fix(&mut parts);
    /// assert!(proxyfix::restore(&mut parts));
    /// assert!(parts.extensions.is_empty());
    /// ```
    pub fn keep<T: Clone + Send + Sync + 'static>(parts: &mut Parts) {
        let extensions = &mut parts.extensions;
        let kept = |original: &Self| original.0.put_back.iter().any(|(it, _)| *it == TypeId::of::<T>());
        if extensions.get::<Self>().is_none_or(kept) {
            return;
        }
        let value = extensions.get::<T>().cloned();
        if let Some(Self(original)) = extensions.get_mut() {
            let kept = Arc::make_mut(original);
            value.map(|value| kept.extensions.insert(value));
            kept.put_back.push((TypeId::of::<T>(), |kept, into| match kept.remove::<T>() {
                Some(value) => drop(into.insert(value)),
                None => drop(into.remove::<T>()),
            }));
        }
    }
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Original")
            .field("method", &self.0.method)
            .field("target", &Bytes(self.0.uri.to_string().len()))
            .field("headers", &Lengths(&self.0.headers))
            .finish()
    }
}

/// A number of bytes, as people read it.
struct Bytes(usize);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// Headers without their values.
struct Lengths<'a>(&'a HeaderMap);

impl fmt::Debug for Lengths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, Bytes(value.len())))).finish()
    }
}

/// Undoes what the fixes did to `parts`, if the original was kept; false where it was not.
///
/// Method, target, version and header lines are as they were received, to the byte and in their order;
/// so are the extensions that fixes change, and what the fixes put there is gone. What others put into
/// the extensions stays, and so does the [`Peer`](crate::Peer), which is not the request's.
///
/// | | received | fixed | restored |
/// | --- | --- | --- | --- |
/// | target, `Host`, protected headers | as sent | rewritten, removed | as sent |
/// | [`Mount`] | a gateway's, or none | the same, or what a proxy stated | as received |
/// | [`Origin`], [`Original`] | none | there | none |
/// | `ConnectInfo` of axum, with `proxyfix-axum` | the peer | the client, or none | the peer |
pub fn restore(parts: &mut Parts) -> bool {
    let Some(Original(kept)) = parts.extensions.remove() else { return false };
    let Kept { method, uri, version, headers, mut extensions, put_back } = Arc::unwrap_or_clone(kept);
    (parts.method, parts.uri, parts.version, parts.headers) = (method, uri, version, headers);
    for (_, put_back) in put_back {
        put_back(&mut extensions, &mut parts.extensions);
    }
    true
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proxyfix_policy::TrustedProxies;

    use super::*;
    use crate::{CustomProxyFix, LighttpdCgiRootFix, ProxyFix};

    fn trusted() -> TrustedProxies {
        "10.0.0.0/8".parse().unwrap()
    }

    fn received() -> Parts {
        Request::get("http://App.internal/7?x")
            .extension("10.0.0.2".parse::<Peer>().unwrap())
            .extension("/users".parse::<Mount>().unwrap())
            .header("x-forwarded-for", "203.0.113.9")
            .header("Host", "App.Internal:80")
            .header("x_forwarded_for", b"\xff".as_slice())
            .header("accept", "a")
            .header("x-forwarded-for", "10.0.0.7")
            .header("x-fhost", "good.example")
            .header("accept", "b")
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    /// All of a head, to the byte.
    fn all(parts: &Parts) -> String {
        let Parts { method, uri, version, headers, extensions, .. } = parts;
        let mount = extensions.get::<Mount>();
        let known = (extensions.len(), extensions.get::<Peer>(), mount, extensions.get::<Origin>());
        format!("{method} {uri} {version:?} {:?} {known:?}", headers.iter().collect::<Vec<_>>())
    }

    #[track_caller]
    fn assert_restored(stack: &impl Fix) {
        let mut parts = received();
        for _ in 0..2 {
            stack.fix(&mut parts);
            assert_ne!(all(&parts), all(&received()));
        }
        let fixed = parts.headers.clone();
        assert!(restore(&mut parts));
        assert_eq!(all(&parts), all(&received()));
        assert!(!restore(&mut parts), "there is nothing to restore twice");
        stack.fix(&mut parts);
        assert_eq!(parts.headers, fixed, "what is restored is fixed alike");
    }

    #[test]
    fn any_fix_that_keeps_the_original_can_be_undone() {
        let proxy = || ProxyFix::builder(trusted()).host().prefix().absolute_uri();
        let custom = || CustomProxyFix::builder(trusted()).host("X-FHost");
        let root = LighttpdCgiRootFix::new();
        assert_restored(&proxy().keep_original().build().unwrap());
        assert_restored(&custom().keep_original().build().unwrap());
        assert_restored(&(KeepOriginal, root.clone(), proxy().build().unwrap(), custom().build().unwrap()));
        // The first of several keeps what came in.
        assert_restored(&(
            custom().keep_original().build().unwrap(),
            root,
            proxy().keep_original().build().unwrap(),
        ));
    }

    #[test]
    fn nothing_is_kept_that_nobody_asked_for() {
        let mut parts = received();
        ProxyFix::new(trusted()).fix(&mut parts);
        let fixed = all(&parts);
        assert!(parts.extensions.get::<Original>().is_none());
        assert!(!restore(&mut parts));
        assert_eq!(all(&parts), fixed);
    }

    #[test]
    fn behind_another_fix_it_keeps_what_that_one_left() {
        let (first, mut parts) = (ProxyFix::new(trusted()), received());
        first.fix(&mut parts);
        let left = all(&parts);
        let second = CustomProxyFix::builder(trusted()).host("X-FHost").keep_original().build().unwrap();
        second.fix(&mut parts);
        assert_eq!(parts.headers["host"], "good.example");
        assert!(restore(&mut parts));
        assert_eq!(all(&parts), left);
    }

    #[test]
    fn t193_values_are_not_shown() {
        let mut parts = Request::get("http://user:pass@a.example/?token=7")
            .header("authorization", "Bearer abc")
            .header("cookie", "id=42")
            .header("cookie", "id=43")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        KeepOriginal.fix(&mut parts);
        let shown = format!("{:?}", parts.extensions.get::<Original>().unwrap());
        for secret in ["abc", "42", "43", "token", "pass"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("\"authorization\": 10 bytes"), "{shown}");
    }
}
