//! See the request that your client sent, not the one that your proxies delivered.
//!
//! A service behind nginx, a load balancer, a CDN, lighttpd or Apache sees the proxy as its peer,
//! `http` as the scheme, an internal host, and a path prefix that is gone or doubled. Headers say what
//! was before, and anyone can write them. The layers of this crate repair the request, and only
//! machines that you named have a say in that.
//!
//! ```
//! use http::{Request, Response};
//! use proxyfix::{Origin, Peer, ProxyFix, TrustedProxies};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let trusted: TrustedProxies = "loopback, 10.0.0.0/24".parse()?;
//!
//! let mut service = ServiceBuilder::new()
//!     .layer(ProxyFix::builder(trusted).host().build()?)
//!     .service(service_fn(|request: Request<String>| async move {
//!         let origin = request.extensions().get::<Origin>().unwrap();
//!         let host = origin.host().map_or("nowhere", |host| host.as_str());
//!         Ok::<_, std::convert::Infallible>(Response::new(match origin.client() {
//!             Some(client) => format!("{client} at {}://{host}", origin.scheme()),
//!             None => format!("somebody: {origin}"),
//!         }))
//!     }));
//!
//! let request = Request::get("/")
//!     .extension("10.0.0.2:40000".parse::<Peer>()?) // your server's connection; see below
//!     .header("host", "app.internal:8080")
//!     .header("x-forwarded-for", "6.6.6.6, 203.0.113.9") // 6.6.6.6 is the client's own invention
//!     .header("x-forwarded-proto", "https")
//!     .header("x-forwarded-host", "good.example")
//!     .body(String::new())?;
//! let response = service.ready().await?.call(request).await?;
//!
//! assert_eq!(response.into_body(), "203.0.113.9 at https://good.example");
//! # Ok(())
//! # }
//! ```
//!
//! # The peer
//!
//! Who may be believed depends on who is connected, and only your server knows that. With axum, the
//! crate `proxyfix-axum` takes it from `ConnectInfo`; elsewhere insert a [`Peer`] into the extensions
//! of each request, as soon as the connection is accepted. A request without one is answered, but no
//! header of it is believed, and the first such request is reported as an error through `tracing`.
//! A server that terminates TLS itself inserts [`Scheme::Https`] likewise; the scheme that a client
//! writes into the request target is never believed.
//!
//! # Where is what
//!
//! | you want to | look at | file |
//! | --- | --- | --- |
//! | read `X-Forwarded-*` or `Forwarded` | [`ProxyFix`] | `proxy_fix.rs` |
//! | read a header of your own, or of your CDN | [`CustomProxyFix`] | `custom_proxy_fix.rs` |
//! | know what your CDN, balancer or platform writes | [`Preset`] | `presets.rs` |
//! | read the networks that a provider publishes | [`Ranges`] | `ranges.rs` |
//! | hide the name of a CGI script | [`ScriptNameStripper`] | `script_name_stripper.rs` |
//! | repair a path that a server split in the wrong place | [`LighttpdCgiRootFix`] | `lighttpd_cgi_root_fix.rs` |
//! | answer 400 or 421 where the origin is not what you demand | `Guard`, with the feature `guard` | `guard.rs` |
//! | be told what a policy permits and should not | [`Policy::lint`], the module [`lint`] | the crate `proxyfix-policy` |
//! | be told when the policy and the proxies do not fit | [`Sentinels`] | `sentinels.rs` |
//! | write a fix, or stack several | [`Fix`], [`Fixed`], [`layer`] | `fix.rs` |
//! | see what came in, or put it back | [`KeepOriginal`], [`Original`], [`restore`] | `original.rs` |
//! | have client, server and scheme in the span of each request | [`span`](fn@span), [`record`] | `span.rs` |
//! | know what is logged | [`events`] | `events.rs` |
//! | count decisions and refusals | the module `metrics`, with the feature `metrics` | `metrics.rs` |
//! | configure a stack by TOML, JSON or the environment | the module `config`, with the feature `config` | `config.rs`, `stack.rs` |
//! | write a decision as JSON | the feature `serde` | the crate `proxyfix-policy` |
//! | know which headers are removed | [`PROTECTED_HEADERS`] | `headers.rs` |
//! | know how `Host`, the target and the mount are rewritten | [`ProxyFix`] | `head.rs`, `uri.rs` |
//! | limit the rate of each client | [`Origin::client_key`](proxyfix_policy::Origin::client_key), [`ClientKey`] | the crate `proxyfix-policy` |
//! | read or write `Forwarded` yourself | [`Forwarded`], the module [`forwarded`] | the crate `proxyfix-policy` |
//! | know who is trusted, how the chain is read, what a host is | [`TrustedProxies`], [`Walk`], [`Host`] | the crate `proxyfix-policy` |
//!
//! Two pages go with it: `coming_from`, the settings of nginx, werkzeug, Express, Rails and others beside
//! ours, and `troubleshooting`, what is often wrong, what is said of it, and the cure.
//!
//! Rewriting has to happen before routing: wrap the whole router, not its routes.
//!
//! # Unit-testing a stack
//!
//! A fix is a value. Call [`Fix::fix`] on the head of a request, as the examples of each fix do; there
//! is nothing to start and nothing to await.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod canonical;
#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
pub mod config;
mod custom_proxy_fix;
pub mod events;
mod fix;
#[cfg(feature = "guard")]
mod guard;
mod head;
mod headers;
mod lighttpd_cgi_root_fix;
#[cfg(feature = "metrics")]
pub mod metrics;
mod origin;
mod original;
pub mod presets;
mod proof;
mod proxy_fix;
mod ranges;
#[cfg(feature = "reload")]
mod reload;
mod script_name_stripper;
mod sentinels;
mod shadow;
mod span;
#[cfg(feature = "config")]
mod stack;
mod uri;

pub use canonical::Canonical;
#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
pub use config::Config;
pub use custom_proxy_fix::{CustomProxyFix, CustomProxyFixBuilder};
pub use fix::{Connection, Fix, FixLayer, Fixed, layer};
#[doc(hidden)]
pub use fix::{Glance, Head};
#[cfg(feature = "guard")]
#[cfg_attr(docsrs, doc(cfg(feature = "guard")))]
pub use guard::{Guard, GuardBody, GuardFuture, Guarded};
pub use headers::PROTECTED_HEADERS;
pub use lighttpd_cgi_root_fix::{LighttpdCGIRootFix, LighttpdCgiRootFix};
pub use origin::Origin;
pub use original::{KeepOriginal, Original, restore};
pub use presets::Preset;
pub use proof::Proof;
pub use proxy_fix::{ProxyFix, ProxyFixBuilder};
pub use proxyfix_policy::{
    Claims, ClientKey, Ending, Error, Family, Field, Forwarded, Front, Gate, Hop, Host, IpNet, KeyWidths,
    Mount, Outcome, Peer, Place, Policy, PolicyBuilder, Port, Prefix, Received, Refusal, Scheme, Step,
    Topology, TrustedProxies, Verdict, Walk, Written, forwarded, lint,
};
pub use ranges::Ranges;
#[cfg(feature = "reload")]
#[cfg_attr(docsrs, doc(cfg(feature = "reload")))]
pub use reload::{Reload, Reloadable, Watch};
pub use script_name_stripper::ScriptNameStripper;
pub use sentinels::{Sentinels, Unlisted, Warning};
pub use shadow::{Difference, Shadow};
pub use span::{record, span};
#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
pub use stack::{Finding, Stack};
