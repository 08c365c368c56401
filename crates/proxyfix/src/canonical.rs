//! One verified header, for applications that insist on reading one.
//!
//! ```text
//! received   X-Forwarded-For: 127.0.0.1, 203.0.113.9   X-Forwarded-Proto: https   Forwarded: for=127.0.0.1
//! fixed      X-Forwarded-For: 203.0.113.9              X-Forwarded-Proto: https
//! ```
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{Canonical, Fix, Peer, ProxyFix, TrustedProxies};
//!
//! let fix = ProxyFix::builder("10.0.0.0/8".parse::<TrustedProxies>()?)
//!     .write(Canonical::XForwarded)
//!     .build()?;
//! let (mut parts, ()) = Request::get("/")
//!     .extension("10.0.0.2".parse::<Peer>()?)
//!     .header("x-forwarded-for", "127.0.0.1, 203.0.113.9")
//!     .header("forwarded", "for=127.0.0.1")
//!     .body(())?
//!     .into_parts();
//! fix.fix(&mut parts);
//!
//! assert_eq!(parts.headers["x-forwarded-for"], "203.0.113.9");
//! assert_eq!(parts.headers["x-forwarded-proto"], "http");
//! assert!(!parts.headers.contains_key("forwarded"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use http::{HeaderMap, HeaderName, HeaderValue};
use proxyfix_policy::forwarded::Element;
use proxyfix_policy::{Field, Origin, Prefix};

/// Which header family is written anew, after all of them were removed.
///
/// Each header has one value, and it is what was decided: the client's address without its port, the
/// scheme, the host with its port, and the prefix where there is one. Of an origin that is not complete
/// no address is written, so that whoever reads the header finds none rather than the proxy's.
///
/// | family | headers |
/// | --- | --- |
/// | [`XForwarded`](Self::XForwarded) | `X-Forwarded-For`, `-Proto`, `-Host`, `-Port`, `-Prefix` |
/// | [`Forwarded`](Self::Forwarded) | `Forwarded: for=…;proto=…;host=…` (RFC 7239), one element |
/// | [`XRealIp`](Self::XRealIp) | `X-Real-IP` alone |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Canonical {
    /// `X-Forwarded-For` and its siblings.
    XForwarded,
    /// `Forwarded`.
    Forwarded,
    /// `X-Real-IP`.
    XRealIp,
}

impl Canonical {
    pub(crate) fn write(self, headers: &mut HeaderMap, origin: &Origin, prefix: &Prefix) {
        let client = origin.client().filter(|_| origin.is_complete());
        let authority = origin.host().map(|host| match origin.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        });
        let mut set = |name: &'static str, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                // Fails only in a map as full as it can be, which no server builds.
                let _ = headers.try_insert(HeaderName::from_static(name), value);
            }
        };
        match self {
            Self::XForwarded => {
                let prefix = (!prefix.is_root()).then(|| prefix.as_str().to_owned());
                let port = origin.port().unwrap_or(origin.scheme().default_port());
                set(Field::For.x_forwarded_name(), client.map(|ip| ip.to_string()));
                set(Field::Proto.x_forwarded_name(), Some(origin.scheme().as_str().to_owned()));
                set(Field::Port.x_forwarded_name(), authority.is_some().then(|| port.to_string()));
                set(Field::Host.x_forwarded_name(), authority);
                set(Field::Prefix.x_forwarded_name(), prefix);
            }
            Self::Forwarded => {
                let mut element = Element::new().with_proto(origin.scheme());
                if let Some(ip) = client {
                    element = element.with_for(ip.into());
                }
                if let Some(host) = origin.host() {
                    element = element.with_host(host.clone(), origin.port());
                }
                set("forwarded", Some(element.to_string()));
            }
            Self::XRealIp => set("x-real-ip", client.map(|ip| ip.to_string())),
        }
    }
}
