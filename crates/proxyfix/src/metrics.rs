//! What is counted, through the facade crate of this name (feature `metrics`).
//!
//! | counter | labels | counts |
//! | --- | --- | --- |
//! | [`DECISIONS`] `proxyfix_decisions_total` | `ending`: an [`Ending`](crate::Ending) | decisions: one for each request and fix that judges it |
//! | [`FIELDS`] `proxyfix_fields_total` | `field`: a [`Field`]; `outcome`: `believed`, or a [`Refusal`](crate::Refusal) | values in headers of trusted peers that were taken, or refused and why |
//! | [`REFUSALS`] `proxyfix_guard_refusals_total` | `reason`: `no-fix`, `no-peer`, `too-large`, `incomplete`, `odd`, `no-host`, `host-not-allowed` or `not-https` | requests that a `Guard` refused |
//! | [`SHADOW`] `proxyfix_shadow_differences_total` | `field`: a [`Field`] | values that a policy in the [shadow](crate::Shadow) would have decided otherwise |
//!
//! Labels are names out of lists that are ours, such as `client-found` and `malformed`; no client and no
//! proxy can add one. Events are sampled ([`events`](crate::events)), counters count everything.
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use metrics_util::debugging::{DebugValue, DebuggingRecorder};
//! use proxyfix::{Fix, Peer, ProxyFix, TrustedProxies};
//!
//! // In a service: the recorder of your exporter, installed once.
//! let recorder = DebuggingRecorder::new();
//! let fix = ProxyFix::new("10.0.0.0/24".parse::<TrustedProxies>()?);
//!
//! metrics::with_local_recorder(&recorder, || {
//!     proxyfix::metrics::describe();
//!     let (mut parts, ()) = Request::new(()).into_parts();
//!     parts.extensions.insert(Peer::local());
//!     fix.fix(&mut parts);
//! });
//!
//! let counted = recorder.snapshotter().snapshot().into_vec();
//! let (key, .., value) = &counted[0];
//! assert_eq!(key.key().to_string(), "Key(proxyfix_decisions_total, [ending = peer-untrusted])");
//! assert_eq!(*value, DebugValue::Counter(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use ::metrics::{counter, describe_counter};
use proxyfix_policy::{Field, Origin, Outcome};

/// How walks ended.
pub const DECISIONS: &str = "proxyfix_decisions_total";

/// What became of values.
pub const FIELDS: &str = "proxyfix_fields_total";

/// What a guard refused.
pub const REFUSALS: &str = "proxyfix_guard_refusals_total";

/// What a policy in the shadow would have decided otherwise.
pub const SHADOW: &str = "proxyfix_shadow_differences_total";

/// Tells the recorder what each counter means, for exporters that show it.
pub fn describe() {
    describe_counter!(DECISIONS, "Decisions where a request came from, by the ending of the walk.");
    describe_counter!(FIELDS, "Values in headers of trusted peers, believed or refused.");
    describe_counter!(REFUSALS, "Requests that a guard refused.");
    describe_counter!(SHADOW, "Values that a policy in the shadow would have decided otherwise.");
}

pub(crate) fn decided(origin: &Origin) {
    counter!(DECISIONS, "ending" => origin.ending().as_str()).increment(1);
    for field in Field::ALL {
        let outcome = match origin.outcome(field) {
            Outcome::Believed => "believed",
            Outcome::Refused(refusal) => refusal.as_str(),
            _ => continue,
        };
        counter!(FIELDS, "field" => field.as_str(), "outcome" => outcome).increment(1);
    }
}

#[cfg(feature = "guard")]
pub(crate) fn guard_refused(reason: &'static str) {
    counter!(REFUSALS, "reason" => reason).increment(1);
}

pub(crate) fn shadow_differs(field: Field) {
    counter!(SHADOW, "field" => field.as_str()).increment(1);
}
