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
        let mut set = |name: &'static str, value: Option<String>| set(headers, name, value);
        match self {
            Self::XForwarded => {
                let port = origin.port().unwrap_or(origin.scheme().default_port());
                set(Field::For.x_forwarded_name(), client.map(|ip| ip.to_string()));
                set(Field::Proto.x_forwarded_name(), Some(origin.scheme().as_str().to_owned()));
                set(Field::Port.x_forwarded_name(), authority.is_some().then(|| port.to_string()));
                set(Field::Host.x_forwarded_name(), authority);
                self.write_prefix(headers, prefix);
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
    /// Writes the prefix anew, where a fix of the mount has changed it.
    pub(crate) fn write_prefix(self, headers: &mut HeaderMap, prefix: &Prefix) {
        if self == Self::XForwarded {
            let name = Field::Prefix.x_forwarded_name();
            headers.remove(name);
            set(headers, name, (!prefix.is_root()).then(|| prefix.as_str().to_owned()));
        }
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: Option<String>) {
    if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
        // Fails only in a map as full as it can be, which no server builds.
        let _ = headers.try_insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;
    use proxyfix_policy::{Mount, Peer, TrustedProxies};

    use super::*;
    use crate::{CustomProxyFix, Fix, ProxyFix, ScriptNameStripper};

    fn head(headers: &[(&str, &str)]) -> Parts {
        let request = Request::get("/").extension("10.0.0.2:40000".parse::<Peer>().unwrap());
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn fix(canonical: Canonical) -> ProxyFix {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        ProxyFix::builder(trusted).fields(Field::ALL).write(canonical).build().unwrap()
    }

    /// Names and values, in the order of the names.
    fn written(stack: &impl Fix, mut parts: Parts) -> String {
        for _ in 0..2 {
            stack.fix(&mut parts);
        }
        let mut lines: Vec<String> = parts
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort_unstable();
        lines.join(" | ")
    }

    const ALL: [(&str, &str); 7] = [
        ("x-forwarded-for", "127.0.0.1, [2001:db8::9]:443"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "good.example:8443"),
        ("x-forwarded-prefix", "/app"),
        ("x_forwarded_for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
    ];

    #[test]
    fn what_was_decided_is_written_and_nothing_else() {
        let host = "host: good.example:8443";
        assert_eq!(
            written(&fix(Canonical::XForwarded), head(&ALL)),
            format!(
                "{host} | x-forwarded-for: 2001:db8::9 | x-forwarded-host: good.example:8443 | \
                 x-forwarded-port: 8443 | x-forwarded-prefix: /app | x-forwarded-proto: https"
            )
        );
        assert_eq!(
            written(&fix(Canonical::Forwarded), head(&ALL)),
            format!("forwarded: for=\"[2001:db8::9]\";host=\"good.example:8443\";proto=https | {host}")
        );
        assert_eq!(written(&fix(Canonical::XRealIp), head(&ALL)), format!("{host} | x-real-ip: 2001:db8::9"));
    }

    #[test]
    fn nobody_is_named_where_nobody_is_known() {
        for chain in ["203.0.113.9, unknown", ""] {
            let head = || head(&[("x-forwarded-for", chain)]);
            assert_eq!(written(&fix(Canonical::XForwarded), head()), "x-forwarded-proto: http");
            assert_eq!(written(&fix(Canonical::Forwarded), head()), "forwarded: proto=http");
            assert_eq!(written(&fix(Canonical::XRealIp), head()), "");
        }
    }

    #[test]
    fn what_was_written_is_nothing_that_a_stranger_sent() {
        let mut parts = head(&[]);
        parts.extensions.insert("203.0.113.9".parse::<Peer>().unwrap());
        let fix = fix(Canonical::XForwarded);
        fix.fix(&mut parts);
        let once = parts.extensions.get::<crate::Origin>().unwrap().to_string();
        fix.fix(&mut parts);
        assert_eq!(parts.extensions.get::<crate::Origin>().unwrap().to_string(), once);
    }

    #[test]
    fn later_fixes_of_a_stack_write_what_they_know_better() {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let host = CustomProxyFix::host(trusted, "x-fhost").unwrap();
        let head = || head(&[("x-forwarded-for", "203.0.113.9"), ("x-fhost", "good.example")]);
        let lines = written(&(fix(Canonical::XForwarded), host), head());
        assert!(lines.contains("x-forwarded-host: good.example |"), "{lines}");

        let mut mounted = head();
        mounted.extensions.insert(Mount::from_script_name(b"/app.fcgi").unwrap());
        let stack = (fix(Canonical::XForwarded), ScriptNameStripper::new());
        assert!(!written(&stack, mounted).contains("x-forwarded-prefix"));
    }
}
