//! A second policy that runs beside the first and changes nothing.
//!
//! Before a new trusted set or another family goes live, see which requests it would answer
//! differently:
//!
//! ```
//! use http::Request;
//! use proxyfix::{Field, Fix, Peer, Policy, ProxyFix, Shadow, TrustedProxies};
//!
//! let narrow = Shadow::new(Policy::new("10.0.0.2".parse::<TrustedProxies>()?));
//! let fix = ProxyFix::builder("10.0.0.0/8".parse::<TrustedProxies>()?).shadow(narrow.clone()).build()?;
//!
//! for peer in ["10.0.0.2", "10.0.0.3"] {
//!     let request = Request::get("/").extension(peer.parse::<Peer>()?);
//!     let request = request.header("x-forwarded-for", "203.0.113.9").header("x-forwarded-proto", "http");
//!     let (mut parts, ()) = request.body(())?.into_parts();
//!     fix.fix(&mut parts);
//! }
//!
//! assert_eq!((narrow.requests(), narrow.differing(), narrow.differing_in(Field::For)), (2, 1, 1));
//! let sample = &narrow.samples()[0];
//! assert_eq!(
//!     sample.to_string(),
//!     "10.0.0.3: now 203.0.113.9 is the client: 10.0.0.3 is trusted and vouches for it; \
//!      then 10.0.0.3 sent X-Forwarded-For but is not trusted; add it to the trusted set if it is your \
//!      proxy",
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proxyfix_policy::{Claims, Field, Policy, Received};

use crate::{Origin, events};

type Decided = proxyfix_policy::Origin;

/// A policy beside another one: it judges every request as the other does, and its answers are counted
/// and compared, never given.
///
/// Clones share their counts. It costs a second decision a request; a request that differs and finds the
/// samples in use is counted and not kept. The proof that a gate asks for is the one that the fix has
/// found.
#[derive(Clone)]
pub struct Shadow(Arc<Inner>);

struct Inner {
    policy: Policy,
    requests: AtomicU64,
    differing: AtomicU64,
    fields: [AtomicU64; 5],
    samples: Mutex<VecDeque<Difference>>,
}

/// Differences that are kept, the latest.
const MOST_SAMPLES: usize = 16;

/// A request that two policies answer differently.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Difference {
    /// What was decided.
    pub now: Origin,
    /// What the shadow would have decided.
    pub then: Origin,
}

impl Shadow {
    /// Runs `policy` in the shadow.
    pub fn new(policy: impl Into<Policy>) -> Self {
        Self(Arc::new(Inner {
            policy: policy.into(),
            requests: AtomicU64::new(0),
            differing: AtomicU64::new(0),
            fields: [const { AtomicU64::new(0) }; 5],
            samples: Mutex::default(),
        }))
    }

    /// The policy in the shadow.
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// The requests that were judged.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// The requests that it would have answered differently, in any field.
    pub fn differing(&self) -> u64 {
        self.0.differing.load(Ordering::Relaxed)
    }

    /// The requests that it would have answered differently in this field; [`Field::For`] is the client
    /// and whether it is known.
    pub fn differing_in(&self, field: Field) -> u64 {
        self.0.fields[field as usize].load(Ordering::Relaxed)
    }

    /// The latest requests that it would have answered differently, the latest last; at most 16.
    pub fn samples(&self) -> Vec<Difference> {
        self.0.samples.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn compare<C: Claims>(&self, now: &Decided, received: Received, claims: &C) {
        let inner = &*self.0;
        let then = inner.policy.decide(now.peer(), received, claims);
        inner.requests.fetch_add(1, Ordering::Relaxed);
        let mut differs = false;
        for field in Field::ALL.into_iter().filter(|field| said(now, *field) != said(&then, *field)) {
            inner.fields[field as usize].fetch_add(1, Ordering::Relaxed);
            #[cfg(feature = "metrics")]
            crate::metrics::shadow_differs(field);
            differs = true;
        }
        if !differs {
            return;
        }
        inner.differing.fetch_add(1, Ordering::Relaxed);
        events::shadow_differs(now, &then);
        // A sample is no reason to wait for a reader.
        if let Ok(mut samples) = inner.samples.try_lock() {
            if samples.len() == MOST_SAMPLES {
                samples.pop_front();
            }
            samples.push_back(Difference { now: now.clone().into(), then: then.into() });
        }
    }
}

/// What the application sees of a field.
#[derive(PartialEq)]
enum Said<'a> {
    Client(Option<std::net::IpAddr>, bool),
    Scheme(&'a str),
    Text(Option<&'a str>),
    Port(Option<u16>),
}

fn said(origin: &Decided, field: Field) -> Said<'_> {
    match field {
        Field::For => Said::Client(origin.client(), origin.is_complete()),
        Field::Proto => Said::Scheme(origin.scheme().as_str()),
        Field::Host => Said::Text(origin.host().map(proxyfix_policy::Host::as_str)),
        Field::Port => Said::Port(origin.port().map(proxyfix_policy::Port::get)),
        Field::Prefix => Said::Text(Some(origin.prefix().as_str())),
    }
}

/// One line for people: who was connected, and both decisions.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.now.peer();
        match peer.ip() {
            Some(ip) => write!(f, "{ip}: ")?,
            None => write!(f, "{peer}: ")?,
        }
        let said = [&self.now, &self.then].map(ToString::to_string);
        let urls = [&self.now, &self.then].map(|origin| Url(origin).to_string());
        match &said {
            [now, then] if now != then => write!(f, "now {now}; then {then}")?,
            [now, _] => f.write_str(now)?,
        }
        match &urls {
            [now, then] if now != then => write!(f, "; now {now}, then {then}"),
            _ => Ok(()),
        }
    }
}

struct Url<'a>(&'a Origin);

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host().map_or("(no host)", proxyfix_policy::Host::as_str);
        write!(f, "{}://{host}", self.0.scheme())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.0.prefix())
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow")
            .field("policy", &self.0.policy)
            .field("requests", &self.requests())
            .field("differing", &self.differing())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;
    use proxyfix_policy::{Family, Peer, TrustedProxies};

    use super::*;
    use crate::{Fix, ProxyFix};

    fn head(headers: &[(&str, &str)]) -> Parts {
        let request = Request::get("/").extension("10.0.0.2".parse::<Peer>().unwrap());
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn trusted() -> TrustedProxies {
        "10.0.0.0/8".parse().unwrap()
    }

    #[test]
    fn a_shadow_changes_nothing_and_counts_by_field() {
        let policy = Policy::builder(trusted()).family(Family::Forwarded).field(Field::Host);
        let shadow = Shadow::new(policy.build().unwrap());
        let alone = ProxyFix::builder(trusted()).build().unwrap();
        let shadowed = ProxyFix::builder(trusted()).shadow(shadow.clone()).build().unwrap();
        for headers in [
            &[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")][..],
            &[
                ("x-forwarded-for", "203.0.113.9"),
                ("forwarded", "for=203.0.113.9;proto=https;host=b.example"),
            ],
            &[("x-forwarded-for", "203.0.113.9")],
            &[],
        ] {
            let (mut one, mut other) = (head(headers), head(headers));
            alone.fix(&mut one);
            shadowed.fix(&mut other);
            assert_eq!(one.headers, other.headers);
            assert_eq!(one.extensions.get::<Origin>(), other.extensions.get::<Origin>());
        }
        assert_eq!((shadow.requests(), shadow.differing()), (4, 2));
        let differing = Field::ALL.map(|field| shadow.differing_in(field));
        assert_eq!(differing, [1, 1, 1, 0, 0]);
        let samples: Vec<String> = shadow.samples().iter().map(ToString::to_string).collect();
        assert!(samples[0].ends_with("; now http://(no host), then https://b.example"), "{}", samples[0]);
        assert!(
            samples[1].contains("then 10.0.0.2 is trusted and sent X-Forwarded-For, and not Forwarded"),
            "{}",
            samples[1]
        );
    }

    #[test]
    fn a_shadow_reads_what_the_policy_in_force_leaves() {
        let policy = Policy::builder(trusted()).family(Family::Single("X-My-Client".into()));
        let shadow = Shadow::new(policy.build().unwrap());
        let fix = ProxyFix::builder(trusted()).shadow(shadow.clone()).build().unwrap();
        let mut parts = head(&[("x-my-client", "203.0.113.9")]);
        fix.fix(&mut parts);
        assert_eq!(parts.headers.len(), 1);
        let then = shadow.samples().first().and_then(|difference| difference.then.client());
        assert_eq!(then, "203.0.113.9".parse().ok());
    }

    #[test]
    fn samples_are_the_latest_sixteen() {
        let shadow = Shadow::new(TrustedProxies::none());
        let fix = ProxyFix::builder(trusted()).shadow(shadow.clone()).build().unwrap();
        for client in 1..=20 {
            fix.fix(&mut head(&[("x-forwarded-for", &format!("203.0.113.{client}"))]));
        }
        let samples = shadow.samples();
        assert_eq!(samples.len(), MOST_SAMPLES);
        assert_eq!(samples[15].now.client().unwrap().to_string(), "203.0.113.20");
    }
}
