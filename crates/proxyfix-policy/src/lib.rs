//! Who may speak for whom, and what follows.
//!
//! A service behind a proxy does not see the request that its client sent, and the headers that
//! should repair this can be written by anyone. This crate decides how far they are believed. It has
//! values and decisions only: no HTTP types, no runtime, no I/O, no clock; header values are byte
//! slices, so that HTTP headers, CGI variables and command-line arguments all fit. The layers that
//! correct requests are in the crate `proxyfix`.
//!
//! # The story of a request
//!
//! ```text
//! connection → Peer → Walk → Origin, Mount → corrected request → app
//!                      ▲
//!       claims (headers) judged by TrustedProxies
//! ```
//!
//! | question | answer | file |
//! | --- | --- | --- |
//! | Who is connected? IPv4-mapped addresses, scopes | [`Peer`] | `peer.rs` |
//! | Who may speak for someone else? The text form, its errors, hops | [`TrustedProxies`] | `trust.rs`; the set itself in `networks.rs` |
//! | Who stands where, and may say what? | [`Topology`], [`Hop`] | `topology.rs` |
//! | Which headers, which fields, which counts? What does not build? | [`Policy`], [`PolicyBuilder`] | `policy.rs` |
//! | How is a list split: lines, commas, quotes, white space, length? | one entry after the other, from the right | `lexer.rs` |
//! | What is an entry: ports, brackets, `unknown`, junk? | one node | `node.rs` |
//! | Which headers make the chain, and what can a hop state? | [`Family`], [`Field`] | `claim.rs` |
//! | What is an element of `Forwarded`, and how is one written? | [`Forwarded`], the module [`forwarded`] | `forwarded.rs` |
//! | How far is the chain believed? Hop limits, loopback clients | [`Walk`], [`Step`], [`Verdict`], [`Ending`] | `walk.rs` |
//! | Which of several values is taken, which is refused? | [`Policy::decide`], [`Received`] | `decide.rs` |
//! | What is a host, scheme, port, prefix? | [`Host`], [`Scheme`], [`Port`], [`Prefix`] | one file each |
//! | So where did the request come from, and why? | [`Origin`], [`Outcome`], [`Refusal`] | `origin.rs` |
//! | Whom is a request counted against? | [`ClientKey`] | `key.rs` |
//! | And where is the application mounted? Joining and splitting paths | [`Mount`] | `mount.rs` |
//! | What was wrong with the configuration? | [`Error`] | `error.rs` |
//! | How is a decision written as JSON? | the module `record`, with the feature `serde` | `record.rs` |
//! | What is permitted and probably not wanted? | [`Policy::lint`], the module [`lint`] | `lint.rs` |
//!
//! # Example
//!
//! ```
//! use proxyfix_policy::{Policy, Received, TrustedProxies};
//!
//! let policy = Policy::new("10.0.0.0/8".parse::<TrustedProxies>()?);
//! // The client wrote 198.51.100.7 itself; the proxy appended the address it saw.
//! let headers: &[(&str, &[u8])] =
//!     &[("x-forwarded-for", b"198.51.100.7, 203.0.113.9"), ("x-forwarded-proto", b"https")];
//!
//! let origin = policy.decide("10.0.0.2".parse()?, Received::default(), headers);
//! assert_eq!(origin.client(), Some("203.0.113.9".parse().unwrap()));
//! assert_eq!(
//!     origin.to_string(),
//!     "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; 203.0.113.9 sent X-Forwarded-For, too, and \
//!      is not trusted: add it to the trusted set if it is your proxy",
//! );
//! # Ok::<(), proxyfix_policy::Error>(())
//! ```

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

mod claim;
mod decide;
mod error;
pub mod forwarded;
mod host;
mod key;
mod lexer;
pub mod lint;
mod mount;
mod networks;
mod node;
mod origin;
mod peer;
mod policy;
mod port;
mod prefix;
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
pub mod record;
mod scheme;
mod sentence;
mod straight;
mod text;
mod topology;
mod trust;
mod walk;

#[doc(hidden)]
pub use claim::OneLine;
pub use claim::{Claims, Family, Field};
pub use decide::Received;
pub use error::Error;
pub use forwarded::Forwarded;
pub use host::Host;
pub use ipnet::IpNet;
pub use key::{ClientKey, KeyWidths};
pub use mount::Mount;
pub use origin::{Origin, Outcome, Place, Refusal, Written};
pub use peer::Peer;
pub use policy::{Gate, Policy, PolicyBuilder};
pub use port::Port;
pub use prefix::Prefix;
pub use scheme::Scheme;
pub use topology::{Front, Hop, Topology};
pub use trust::TrustedProxies;
pub use walk::{Ending, Step, Verdict, Walk};
