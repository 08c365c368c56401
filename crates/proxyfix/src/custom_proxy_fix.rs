//! Read any field from any header that the operator names.
//!
//! ```text
//! before   peer 10.0.0.2   http://app.internal:8080/users   X-FHost: good.example
//! after                    http://good.example/users
//! ```
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{CustomProxyFix, Fix, Peer, TrustedProxies};
//!
//! let fix = CustomProxyFix::host("10.0.0.0/8".parse::<TrustedProxies>()?, "X-FHost")?;
//!
//! let (mut parts, ()) = Request::get("/users")
//!     .extension("10.0.0.2".parse::<Peer>()?)
//!     .header("host", "app.internal:8080")
//!     .header("x-fhost", "good.example")
//!     .body(())?
//!     .into_parts();
//! fix.fix(&mut parts);
//!
//! assert_eq!(parts.headers["host"], "good.example");
//! assert!(!parts.headers.contains_key("x-fhost"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use proxyfix_policy::{Error, Field, Peer, Policy, PolicyBuilder, TrustedProxies};

use crate::{Connection, Fix};
use crate::fix::fix_is_a_layer;
use crate::head::{Judge, Options, options};

/// Corrects any field from the header that the operator names for it: `CF-Connecting-IP`, `X-Scheme`,
/// `X-FHost`, `X-Script-Name`, …
///
/// The gate, the grammars and the removal are those of [`ProxyFix`](crate::ProxyFix): only a trusted
/// peer is believed, only a well-formed value is taken, and the header is gone afterwards, whoever
/// sent it. Each header holds exactly one value; two values, or two lines, are refused, because
/// nobody can say which of them the proxy wrote.
///
/// # Several headers, and together with `ProxyFix`
///
/// One fix reads all that it is told to:
///
/// ```
/// use proxyfix::{CustomProxyFix, TrustedProxies};
///
/// // The file of networks that the provider publishes, one a line.
/// let published = "173.245.48.0/20\n103.21.244.0/22\n";
/// let cloudflare = TrustedProxies::from_entries(published.lines())?;
/// let fix = CustomProxyFix::builder(cloudflare)
///     .client("CF-Connecting-IP")
///     .scheme("X-Forwarded-Proto")
///     .build()?;
/// # Ok::<(), proxyfix::Error>(())
/// ```
///
/// In a stack with `ProxyFix`, in either order, each reads the request as it came in. The first of
/// them that reads who the client is decides it; other fields are the last one's that reads them.
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct CustomProxyFix {
    inner: Arc<Inner>,
}

struct Inner {
    judge: Judge,
    functions: Vec<(Field, Function)>,
}

type Function = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;

/// The names under which computed values reach the policy; no header can have them.
const COMPUTED: [&str; 5] = [":for", ":proto", ":host", ":port", ":prefix"];

impl CustomProxyFix {
    /// Reads the host from `header`: the class of this name in the Flask guides, whose header is
    /// `X-FHost`.
    pub fn host(trusted: TrustedProxies, header: &str) -> Result<Self, Error> {
        Self::builder(trusted).host(header).build()
    }

    /// Begins a fix that reads nothing yet.
    pub fn builder(trusted: TrustedProxies) -> CustomProxyFixBuilder {
        CustomProxyFixBuilder {
            policy: Policy::builder(trusted).fields([]),
            remove: Vec::new(),
            options: Options::default(),
            functions: Vec::new(),
        }
    }

    /// What is read, and who is trusted.
    pub fn policy(&self) -> &Policy {
        &self.inner.judge.policy
    }
}

impl Fix for CustomProxyFix {
    fn fix(&self, parts: &mut Parts) {
        self.fix_from(Connection::default(), parts);
    }

    fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
        let Inner { judge, functions } = &*self.inner;
        let compute = |parts: &Parts| {
            let computed = |(field, function): &(Field, Function)| {
                function(parts).map(|value| (COMPUTED[*field as usize], value.into_bytes()))
            };
            functions.iter().filter_map(computed).collect()
        };
        judge.apply(connection, parts, if functions.is_empty() { None } else { Some(&compute) })
    }
}

fix_is_a_layer!(CustomProxyFix);

impl fmt::Debug for CustomProxyFix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let computed: Vec<Field> = self.inner.functions.iter().map(|(field, _)| *field).collect();
        f.debug_struct("CustomProxyFix")
            .field("policy", &self.inner.judge.policy)
            .field("computed", &computed)
            .finish_non_exhaustive()
    }
}

/// Builds a [`CustomProxyFix`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct CustomProxyFixBuilder {
    policy: PolicyBuilder,
    remove: Vec<String>,
    options: Options,
    functions: Vec<(Field, Function)>,
}

impl CustomProxyFixBuilder {
    /// Reads the client's address from this header: an address, with or without a port.
    pub fn client(self, header: &str) -> Self {
        self.field(Field::For, header)
    }

    /// Reads the scheme from this header: `http` or `https`.
    pub fn scheme(self, header: &str) -> Self {
        self.field(Field::Proto, header)
    }

    /// The scheme is `https` where this header's value is exactly `token`, as in
    /// `Front-End-Https: on` or `X-Forwarded-Protocol: ssl`.
    pub fn https_when(self, header: &str, token: &str) -> Self {
        Self { policy: self.policy.https_when(header, token), ..self }
    }

    /// Reads the host, with or without a port, from this header.
    pub fn host(self, header: &str) -> Self {
        self.field(Field::Host, header)
    }

    /// Reads the port from this header.
    pub fn port(self, header: &str) -> Self {
        self.field(Field::Port, header)
    }

    /// Reads the path prefix from this header.
    pub fn prefix(self, header: &str) -> Self {
        self.field(Field::Prefix, header)
    }

    /// Reads `field` from `header`.
    pub fn field(self, field: Field, header: &str) -> Self {
        Self { policy: self.policy.single(field, header), ..self }
    }

    /// Computes `field`; `None` leaves it as received. The value passes the same gate and the same
    /// grammar as a header's would. The function is asked once a request and fix, and sees what earlier
    /// fixes left: protected headers are gone behind another fix.
    ///
    /// ```
    /// use proxyfix::{CustomProxyFix, Field, TrustedProxies};
    ///
    /// // Behind these balancers everything is https, and only behind them.
    /// let balancers: TrustedProxies = "10.0.0.0/24".parse()?;
    /// let fix = CustomProxyFix::builder(balancers)
    ///     .field_from_fn(Field::Proto, |_request| Some("https".to_owned()))
    ///     .build()?;
    /// # Ok::<(), proxyfix::Error>(())
    /// ```
    pub fn field_from_fn<F>(mut self, field: Field, function: F) -> Self
    where
        F: Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    {
        self.functions.retain(|(other, _)| *other != field);
        self.functions.push((field, Arc::new(function)));
        Self { policy: self.policy.single(field, COMPUTED[field as usize]), ..self }
    }

    /// The fix, or why it cannot mean what it says.
    pub fn build(self) -> Result<CustomProxyFix, Error> {
        let judge = Judge::build(self.policy, &self.remove, self.options)?;
        if judge.policy.single_headers().next().is_none() {
            return Err(Error::refused("a CustomProxyFix without a source: name a header for a field"));
        }
        Ok(CustomProxyFix { inner: Arc::new(Inner { judge, functions: self.functions }) })
    }
}

options!(CustomProxyFixBuilder);

impl fmt::Debug for CustomProxyFixBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomProxyFixBuilder").field("policy", &self.policy).finish_non_exhaustive()
    }
}
