//! Let the service see the request that its client sent to the proxies.
//!
//! ```text
//! before   peer 10.0.0.2   http://app.internal:8080/users
//!          X-Forwarded-For: 203.0.113.9
//!          X-Forwarded-Proto: https
//!          X-Forwarded-Host: good.example
//! after    client 203.0.113.9   https://good.example/users
//! ```
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{Fix, Origin, Peer, ProxyFix, TrustedProxies};
//!
//! let trusted: TrustedProxies = "10.0.0.0/8".parse()?;
//! let fix = ProxyFix::builder(trusted).host().build()?;
//!
//! let (mut parts, ()) = Request::get("/users")
//!     .extension("10.0.0.2:40000".parse::<Peer>()?)
//!     .header("host", "app.internal:8080")
//!     .header("x-forwarded-for", "203.0.113.9")
//!     .header("x-forwarded-proto", "https")
//!     .header("x-forwarded-host", "good.example")
//!     .body(())?
//!     .into_parts();
//! fix.fix(&mut parts);
//!
//! let origin = parts.extensions.get::<Origin>().unwrap();
//! assert_eq!(origin.client(), Some("203.0.113.9".parse()?));
//! assert_eq!(origin.scheme().as_str(), "https");
//! assert_eq!(parts.headers["host"], "good.example");
//! assert!(!parts.headers.contains_key("x-forwarded-for"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::Arc;

use http::request::Parts;
use proxyfix_policy::{Error, Family, Field, Front, Peer, Policy, PolicyBuilder};

use crate::fix::{Glance, Head, fix_is_a_layer};
use crate::head::{Judge, Options, options};
use crate::{Connection, Fix};

/// Corrects client, scheme, host, port and prefix from the headers of trusted proxies.
///
/// By default it reads `X-Forwarded-For` and `X-Forwarded-Proto`; `host`, `port` and `prefix` are to
/// be asked for, because a proxy that does not set them passes on what the client wrote.
///
/// # What the application sees afterwards
///
/// | thing | after the fix |
/// | --- | --- |
/// | [`Origin`](crate::Origin) in the extensions | always, unless it is [not wanted](ProxyFixBuilder::unrecorded) |
/// | `Host` and, where the request target carries one, the authority | the client's; both agree, to the byte: lower case, no trailing dot, no default port. What is no host, or two `Host` lines, is removed |
/// | scheme | in `Origin`; in the `Uri` where it carries one |
/// | [`Mount`](crate::Mount) in the extensions | the prefix, validated, where a proxy or a gateway stated one; without one the application is mounted at the root |
/// | [`PROTECTED_HEADERS`](crate::PROTECTED_HEADERS), under every alias | removed, whoever sent them |
/// | [`Peer`](crate::Peer) | unchanged |
/// | [`Original`](crate::Original) in the extensions | what came in, where [asked for](ProxyFixBuilder::keep_original) |
///
/// A request whose [`Peer`](crate::Peer) is missing or not trusted keeps its own values; it is never
/// rejected for its headers.
///
/// # The counts of werkzeug
///
/// [`x_for`](ProxyFixBuilder::x_for) and its siblings take the n-th value from the right, as the
/// arguments of werkzeug's `ProxyFix` of the same names do. With a trusted set every hop that a count
/// steps over has to be trusted as well; without one
/// ([`dangerously_trust_every_peer`](crate::TrustedProxies::dangerously_trust_every_peer)) the count is all
/// there is, as in werkzeug.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct ProxyFix {
    judge: Arc<Judge>,
}

impl ProxyFix {
    /// Reads what `policy` reads: of [`TrustedProxies`](crate::TrustedProxies) `X-Forwarded-For` and
    /// `X-Forwarded-Proto`, of a [`Topology`](crate::Topology) what its hops may assert.
    pub fn new(policy: impl Into<Policy>) -> Self {
        Self { judge: Arc::new(Judge::new(policy.into(), Options::default())) }
    }

    /// Begins a fix that reads more, or elsewhere, behind [`TrustedProxies`](crate::TrustedProxies) or a
    /// [`Topology`](crate::Topology).
    pub fn builder(front: impl Into<Front>) -> ProxyFixBuilder {
        Self::of(Policy::builder(front))
    }

    /// Begins a fix that reads what a policy in the making reads, such as that of a
    /// [`Preset`](crate::Preset).
    pub fn of(policy: PolicyBuilder) -> ProxyFixBuilder {
        ProxyFixBuilder { policy, remove: Vec::new(), options: Options::default() }
    }

    /// What is read, and who is trusted.
    pub fn policy(&self) -> &Policy {
        &self.judge.policy
    }

    /// The same fix with another policy. What is asked for as a proof stays as it is, so that the policy
    /// has to fit it.
    pub fn with_policy(&self, policy: Policy) -> Result<Self, Error> {
        Ok(Self { judge: Arc::new(self.judge.with_policy(policy)?) })
    }
}

impl Fix for ProxyFix {
    fn fix(&self, parts: &mut Parts) {
        self.judge.apply(Connection::default(), parts, None);
    }

    fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
        self.judge.apply(connection, parts, None)
    }

    #[inline]
    fn glances(&self) -> bool {
        self.judge.glances()
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what is passed on would be copied, byte by byte")]
    fn glance(&self, connection: Connection, head: Head<'_>, glance: &mut Glance) -> Option<()> {
        self.judge.glance(connection, head, glance)
    }
}

fix_is_a_layer!(ProxyFix);

/// Builds a [`ProxyFix`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct ProxyFixBuilder {
    policy: PolicyBuilder,
    remove: Vec<String>,
    options: Options,
}

impl ProxyFixBuilder {
    /// Reads another family than `X-Forwarded-*`. Exactly one is read, the others are removed.
    pub fn family(self, family: Family) -> Self {
        self.map(|policy| policy.family(family))
    }

    /// Reads exactly these fields.
    pub fn fields(self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.map(|policy| policy.fields(fields))
    }

    /// Reads the host, too: for proxies that set `X-Forwarded-Host`.
    pub fn host(self) -> Self {
        self.map(|policy| policy.field(Field::Host))
    }

    /// Reads the port, too: for proxies that set `X-Forwarded-Port`.
    pub fn port(self) -> Self {
        self.map(|policy| policy.field(Field::Port))
    }

    /// Reads the prefix, too: for proxies that remove a path prefix and set `X-Forwarded-Prefix`.
    pub fn prefix(self) -> Self {
        self.map(|policy| policy.field(Field::Prefix))
    }

    /// Takes the n-th value of `field` from the right; 0 does not read it.
    pub fn count(self, field: Field, count: u8) -> Self {
        self.map(|policy| policy.count(field, count))
    }

    /// The number of proxies that add to `X-Forwarded-For`; 0 does not read it.
    pub fn x_for(self, count: u8) -> Self {
        self.count(Field::For, count)
    }

    /// The number of proxies that add to `X-Forwarded-Proto`; 0 does not read it.
    pub fn x_proto(self, count: u8) -> Self {
        self.count(Field::Proto, count)
    }

    /// The number of proxies that add to `X-Forwarded-Host`; 0 does not read it.
    pub fn x_host(self, count: u8) -> Self {
        self.count(Field::Host, count)
    }

    /// The number of proxies that add to `X-Forwarded-Port`; 0 does not read it.
    pub fn x_port(self, count: u8) -> Self {
        self.count(Field::Port, count)
    }

    /// The number of proxies that add to `X-Forwarded-Prefix`; 0 does not read it.
    pub fn x_prefix(self, count: u8) -> Self {
        self.count(Field::Prefix, count)
    }

    /// Takes hosts whose labels have underscores, as the names of containers do (`my_app`). Without
    /// this they are no hosts, and a `Host` header that holds one is removed.
    pub fn underscore_hosts(self) -> Self {
        self.map(PolicyBuilder::underscore_hosts)
    }

    /// Makes the `Uri` of each request absolute: the URL that the client asked for, without the
    /// [`Mount`](crate::Mount). For code that reads the URL there, and not for axum before version
    /// 0.8, whose router wants paths.
    pub fn absolute_uri(mut self) -> Self {
        self.options.absolute = true;
        self
    }

    /// The fix, or why it cannot mean what it says.
    pub fn build(self) -> Result<ProxyFix, Error> {
        Ok(ProxyFix { judge: Arc::new(Judge::build(self.policy, &self.remove, self.options)?) })
    }

    fn map(self, change: impl FnOnce(PolicyBuilder) -> PolicyBuilder) -> Self {
        Self { policy: change(self.policy), ..self }
    }
}

options!(ProxyFixBuilder);

#[cfg(test)]
mod tests {
    use http::{Request, Version};
    use proxyfix_policy::{Scheme, TrustedProxies};

    use super::*;
    use crate::fix::testing::served;
    use crate::{CustomProxyFix, Origin};

    fn trusted() -> TrustedProxies {
        "10.0.0.0/8".parse().unwrap()
    }

    /// The head of a request for `target` from the trusted `10.0.0.2`.
    fn head(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(target).extension("10.0.0.2".parse::<Peer>().unwrap());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// Applies the fix twice; asserts target and `Host` after each.
    #[track_caller]
    fn assert_rewritten(fix: &impl Fix, mut parts: Parts, target: &str, host: Option<&str>) {
        for _ in 0..2 {
            fix.fix(&mut parts);
            let read = parts.headers.get("host").map(|host| host.to_str().unwrap());
            assert_eq!((parts.uri.to_string().as_str(), read), (target, host));
        }
    }

    const FORWARDED: [(&str, &str); 2] =
        [("x-forwarded-proto", "https"), ("x-forwarded-host", "good.example")];

    #[test]
    fn the_target_carries_what_it_carried_before() {
        let fix = ProxyFix::builder(trusted()).host().build().unwrap();
        let host = Some("good.example");
        assert_rewritten(&fix, head("/x?y", &FORWARDED), "/x?y", host);
        assert_rewritten(
            &fix,
            head("http://a.internal:8080/x?y", &FORWARDED),
            "https://good.example/x?y",
            host,
        );
        assert_rewritten(&fix, head("http://a.internal", &FORWARDED), "https://good.example/", host);
    }

    #[test]
    fn the_target_is_absolute_on_request() {
        let fix = ProxyFix::builder(trusted()).host().absolute_uri().build().unwrap();
        assert_rewritten(&fix, head("/x?y", &FORWARDED), "https://good.example/x?y", Some("good.example"));
        assert_rewritten(
            &fix,
            head("/x", &[("host", "a.example:8080")]),
            "http://a.example:8080/x",
            Some("a.example:8080"),
        );
        assert_rewritten(&fix, head("/x", &[]), "/x", None);
        let mut options = head("*", &FORWARDED);
        options.method = http::Method::OPTIONS;
        assert_rewritten(&fix, options, "*", Some("good.example"));
    }

    #[test]
    fn t74_t83_there_is_one_host_in_one_spelling() {
        let fix = ProxyFix::builder(trusted()).host().build().unwrap();
        assert_rewritten(&fix, head("/", &[("host", "Good.Example.:80")]), "/", Some("good.example"));
        let both = head("http://GOOD.example/x", &[("host", "good.example:80")]);
        assert_rewritten(&fix, both, "http://good.example/x", Some("good.example"));
        assert_rewritten(&fix, head("/", &[("host", "good.example:8080")]), "/", Some("good.example:8080"));
    }

    #[test]
    fn t79_a_stated_port_outlives_the_scheme_that_would_leave_it_out() {
        let first = ProxyFix::builder(trusted()).host().port().build().unwrap();
        let second = CustomProxyFix::builder(trusted()).scheme("X-Scheme").build().unwrap();
        let headers =
            [("x-forwarded-host", "good.example"), ("x-forwarded-port", "80"), ("x-scheme", "https")];
        assert_rewritten(&(first, second), head("/", &headers), "/", Some("good.example:80"));
    }

    #[test]
    fn t92_a_bare_authority_is_left_alone() {
        let fix = ProxyFix::new(trusted());
        let parts = head("evil.example:443", &[("host", "app.internal")]);
        assert_rewritten(&fix, parts, "evil.example:443", Some("app.internal"));
    }

    #[test]
    fn http2_has_one_authority_in_two_places() {
        let fix = ProxyFix::new(trusted());
        let http2 = |host: &[(&str, &str)]| {
            let mut parts = head("http://good.example/x", host);
            parts.version = Version::HTTP_2;
            parts
        };
        assert_rewritten(&fix, http2(&[]), "http://good.example/x", Some("good.example"));
        assert_rewritten(
            &fix,
            http2(&[("host", "GOOD.example:80")]),
            "http://good.example/x",
            Some("good.example"),
        );
        assert_rewritten(&fix, http2(&[("host", "evil.example")]), "/x", None);
    }

    #[test]
    fn t85_the_scheme_of_the_target_is_not_believed() {
        let fix = ProxyFix::new(trusted());
        assert_rewritten(
            &fix,
            head("https://good.example/", &[]),
            "http://good.example/",
            Some("good.example"),
        );
        let mut tls = head("/", &[]);
        tls.extensions.insert(Scheme::Https);
        fix.fix(&mut tls);
        assert_eq!(tls.extensions.get::<Origin>().unwrap().scheme(), Scheme::Https);
    }

    #[test]
    fn the_first_fix_that_reads_a_chain_decides_who_the_client_is() {
        let custom = CustomProxyFix::builder(trusted()).client("X-My-Client").build().unwrap();
        let stack = (ProxyFix::new(trusted()), custom);
        let headers = [("x-my-client", "203.0.113.9"), ("x-forwarded-for", "198.51.100.7")];
        let client = |headers: &[(&str, &str)]| {
            let mut parts = head("/", headers);
            stack.fix(&mut parts);
            assert!(parts.headers.is_empty());
            parts.extensions.get::<Origin>().unwrap().client().unwrap().to_string()
        };
        assert_eq!(client(&headers), "198.51.100.7");
        // Where the first finds no header, the second decides.
        assert_eq!(client(&headers[..1]), "203.0.113.9");
    }

    #[test]
    fn each_fix_of_a_stack_reads_what_came_in() {
        let custom = CustomProxyFix::builder(trusted()).host("X-Original-Host").build().unwrap();
        let headers = [("x-forwarded-for", "203.0.113.9"), ("x-original-host", "good.example")];
        let proxy = ProxyFix::new(trusted());
        let stacks: [&dyn Fix; 2] = [&(custom.clone(), proxy.clone()), &(proxy, custom)];
        for stack in stacks {
            let mut parts = head("/", &headers);
            stack.fix(&mut parts);
            let origin = parts.extensions.get::<Origin>().unwrap();
            assert_eq!(origin.client(), Some("203.0.113.9".parse().unwrap()));
            assert_eq!(parts.headers["host"], "good.example");
            assert_eq!(parts.headers.len(), 1);
        }
    }

    #[test]
    fn underscores_in_hosts_are_opt_in() {
        let host = [("host", "my_app:8080")];
        assert_rewritten(&ProxyFix::new(trusted()), head("/", &host), "/", None);
        let fix = ProxyFix::builder(trusted()).underscore_hosts().build().unwrap();
        assert_rewritten(&fix, head("/", &host), "/", Some("my_app:8080"));
    }

    /// The head as fixes leave it, without the peer in the extensions.
    fn without_peer(target: &str, headers: &[(&str, &str)]) -> (Connection, Parts) {
        let mut parts = head(target, headers);
        let peer = parts.extensions.remove::<Peer>().unwrap();
        (Connection::from(peer), parts)
    }

    #[test]
    fn t14_what_is_not_recorded_is_the_same_twice() {
        let all = ProxyFix::builder(trusted()).fields(Field::ALL);
        let unrecorded = all.unrecorded().build().unwrap();
        let host = ("host", "app.internal");
        for headers in [
            &[host, ("x-forwarded-proto", "https"), ("x-forwarded-host", "good.example:80")][..],
            &[("host", "good.example:80"), ("x-forwarded-proto", "https")],
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "good.example:80")],
            &[host, ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-prefix", "/app")],
        ] {
            let (connection, mut once) = without_peer("/", headers);
            unrecorded.fix_from(connection, &mut once);
            let mut twice = once.clone();
            unrecorded.fix_from(connection, &mut twice);
            assert_eq!(once.headers, twice.headers);
            assert_eq!(once.extensions.len(), twice.extensions.len(), "{headers:?}");
        }
        // Where the peer stands in the extensions, a second fix would take it for the client.
        let mut parts = head("/", &[host, ("x-forwarded-for", "203.0.113.9")]);
        for _ in 0..2 {
            let client = unrecorded.fix_from(Connection::default(), &mut parts).unwrap();
            assert_eq!(client.ip(), Some("203.0.113.9".parse().unwrap()));
        }
    }

    #[test]
    fn t02_a_stranger_changes_nothing_of_what_is_answered_to_the_framework() {
        let fix = ProxyFix::builder(trusted()).fields([]).unrecorded().build().unwrap();
        let answers = [&[][..], &[("x-forwarded-for", "127.0.0.1")]].map(|headers| {
            let (_, mut parts) = without_peer("/", &[&[("host", "a.example")], headers].concat());
            fix.fix_from(Connection::from("203.0.113.9".parse::<Peer>().unwrap()), &mut parts)
        });
        assert_eq!(answers[0], answers[1]);
    }

    #[test]
    fn t07_an_untrusted_socket_is_nobody_to_the_framework() {
        for builder in [ProxyFix::builder(trusted()), ProxyFix::builder(trusted()).unrecorded()] {
            let (_, mut parts) = without_peer("/", &[("host", "a.example"), ("x-forwarded-for", "6.6.6.6")]);
            let client = builder.build().unwrap().fix_from(Peer::local().into(), &mut parts);
            assert_eq!(client, Some(Peer::unknown()));
        }
    }

    #[test]
    fn what_is_sent_and_not_read_is_named_whichever_way_and_however_many() {
        let fix = ProxyFix::new(trusted());
        let host = ("host", "a.example");
        let chain = ("x-forwarded-for", "203.0.113.9");
        let others = crate::PROTECTED_HEADERS.iter().filter(|name| !name.ends_with("-for"));
        let all: Vec<_> = others.map(|name| (*name, "https")).chain([host, chain]).collect();
        let unread = ("x-forwarded-host", "b.example");
        for (headers, named) in [(&[host, chain, unread][..], true), (&[host, chain], false), (&all, true)] {
            let [short, long] = [false, true].map(|others| {
                let (connection, mut parts) = without_peer("/", headers);
                if others {
                    parts.extensions.insert("something else");
                }
                fix.fix_from(connection, &mut parts);
                parts.extensions.get::<Origin>().unwrap().to_string()
            });
            assert_eq!(short, long);
            assert_eq!(short.contains("X-Forwarded-Host"), named, "{short}");
        }
    }

    #[test]
    fn own_headers_are_removed() {
        let fix = ProxyFix::builder(trusted()).remove("X-Forwarded-User").build().unwrap();
        let mut parts = head("/", &[("x_forwarded_user", "admin"), ("x-request-id", "7")]);
        fix.fix(&mut parts);
        assert_eq!(parts.headers.len(), 1);
        assert!(ProxyFix::builder(trusted()).remove("Host").build().is_err());
    }

    #[test]
    #[cfg(not(feature = "metrics"))]
    fn a_glance_is_enough_for_the_usual_and_for_nothing_else() {
        use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

        type Change<'a> = &'a dyn Fn(&mut Parts);
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let fix = ProxyFix::builder(trusted.clone()).unrecorded().build().unwrap();
        let glance = |fix: &ProxyFix, peer: &str, change: Change<'_>| {
            let mut parts = head("/", &[("host", "good.example"), ("accept", "*/*")]);
            parts.extensions.remove::<Peer>();
            change(&mut parts);
            let Parts { uri, headers, extensions, .. } = &parts;
            let (connection, head) =
                (peer.parse::<Peer>().unwrap_or_default().into(), Head { uri, headers, extensions });
            let mut glance = Glance::default();
            fix.glance(connection, head, &mut glance).map(|()| glance.client())
        };
        let add = |name: &'static str, value: &'static str| {
            move |parts: &mut Parts| _ = parts.headers.append(name, value.parse().unwrap())
        };
        let client = "203.0.113.9".parse().ok();
        assert_eq!(glance(&fix, "203.0.113.9", &|_| ()), client);
        assert_eq!(glance(&fix, "203.0.113.9", &add("x-forwarded-for", "6.6.6.6")), client);
        assert_eq!(glance(&fix, "10.0.0.2", &add("x-forwarded-for", "203.0.113.9")), client);
        assert_eq!(glance(&fix, "203.0.113.9", &add("connection", "Keep-Alive")), client);
        let other: [(&str, Change<'_>); 11] = [
            ("unix", &|_| ()),
            ("unknown", &|_| ()),
            ("203.0.113.9", &add("x_forwarded_for", "6.6.6.6")),
            ("203.0.113.9", &add("connection", "x-forwarded-for")),
            ("203.0.113.9", &add("host", "good.example")),
            ("203.0.113.9", &|parts| drop(parts.headers.remove("host"))),
            ("203.0.113.9", &|parts| drop(parts.headers.insert("host", "Good.Example".parse().unwrap()))),
            ("203.0.113.9", &|parts| drop(parts.headers.insert("host", "good.example:80".parse().unwrap()))),
            ("203.0.113.9", &|parts| parts.uri = "http://good.example/".parse().unwrap()),
            ("203.0.113.9", &|parts| _ = parts.extensions.insert(1)),
            ("10.0.0.2", &add("x-forwarded-proto", "junk")),
        ];
        for (place, (peer, change)) in other.iter().enumerate() {
            assert_eq!(glance(&fix, peer, change), None, "{place}");
        }

        // What somebody wants to hear is said by the decision.
        let junk = add("x-forwarded-for", "junk");
        assert_eq!(glance(&fix, "10.0.0.2", &junk), Some(Peer::unknown()));
        let heard = |level: tracing::Level| {
            let listener =
                tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::sink).finish();
            tracing::subscriber::with_default(listener, || {
                (glance(&fix, "10.0.0.2", &junk), glance(&fix, "203.0.113.9", &|_| ()))
            })
        };
        assert_eq!(heard(tracing::Level::ERROR), (Some(Peer::unknown()), client));
        assert_eq!(heard(tracing::Level::WARN), (None, client));
        assert_eq!(heard(tracing::Level::DEBUG), (None, None));
        // A filter may admit one level and not the ones above it.
        let traces =
            tracing_subscriber::filter::filter_fn(|metadata| *metadata.level() == tracing::Level::TRACE);
        let listener =
            tracing_subscriber::registry().with(tracing_subscriber::fmt::layer().with_filter(traces));
        let removed = tracing::subscriber::with_default(listener, || {
            glance(&fix, "203.0.113.9", &add("x-forwarded-for", "6.6.6.6"))
        });
        assert_eq!(removed, None);

        // The host that is looked at is the host, wherever it stands.
        let hosts = [("good.example", client), ("a b", None)];
        for ((host, expected), before) in
            hosts.into_iter().flat_map(|it| [0, 1, 7, 8, 9, 12].map(|n| (it, n)))
        {
            let stands = |parts: &mut Parts| {
                let mut headers = http::HeaderMap::new();
                for at in 0..before {
                    let name = http::HeaderName::try_from(format!("x-{at}")).unwrap();
                    headers.insert(name, "other.example".parse().unwrap());
                }
                headers.insert("host", host.parse().unwrap());
                parts.headers = headers;
            };
            assert_eq!(glance(&fix, "203.0.113.9", &stands), expected, "{host} behind {before}");
        }

        let builder = || ProxyFix::builder(trusted.clone());
        let shadow = crate::Shadow::new(builder().build().unwrap().policy().clone());
        let secret = crate::Proof::secret("X-Secret", ["0123456789abcdef0123456789abcdef"]).unwrap();
        for other in [
            builder(),
            builder().unrecorded().host(),
            builder().unrecorded().fields([Field::Proto]),
            builder().unrecorded().shadow(shadow),
            builder().unrecorded().and_proof(secret),
        ] {
            let other = other.build().unwrap();
            assert!(!other.glances() && glance(&other, "203.0.113.9", &|_| ()).is_none(), "{other:?}");
        }
    }

    /// Red when: the short way of what is not recorded finds another client, or leaves a header. With the feature
    /// `metrics` there is no such way, and the same holds.
    #[test]
    fn what_is_not_recorded_is_decided_alike() {
        const FOR: &str = "x-forwarded-for";
        let chains: [&[(&str, &str)]; 12] = [
            &[],
            &[(FOR, "203.0.113.9")],
            &[(FOR, "6.6.6.6, [2001:db8::9]:1, 10.0.0.7")],
            &[(FOR, "10.0.0.8,10.0.0.7")],
            &[(FOR, "203.0.113.9"), (FOR, "10.0.0.7")],
            &[(FOR, "junk")],
            &[(FOR, "127.0.0.1")],
            &[(FOR, ", ,")],
            &[(FOR, "203.0.113.9,")],
            &[("forwarded", "for=203.0.113.9;proto=https, for=10.0.0.7;proto=http")],
            &[("forwarded", "for=203.0.113.9;proto=ftp")],
            &[("x_forwarded_for", "6.6.6.6"), ("x-real-ip", "6.6.6.6")],
        ];
        let hosts =
            ["good.example", "good.example:443", "good.example:80", "Good.Example.", "a b", "[::1]:8080"];
        let protos = [None, Some("https"), Some("ftp"), Some("https, http")];
        let peers = ["10.0.0.2:40000", "192.0.2.1", "2001:db8::7", "unix"];
        let mut judged = 0;
        for (set, family) in [
            ("10.0.0.0/8", Family::XForwarded),
            ("10.0.0.0/8, unix", Family::XForwarded),
            ("10.0.0.0/8, unix", Family::Forwarded),
        ] {
            let builder = || ProxyFix::builder(set.parse::<TrustedProxies>().unwrap()).family(family.clone());
            let [recorded, unrecorded] = [builder(), builder().unrecorded()].map(|it| it.build().unwrap());
            for (peer, chain) in peers.iter().flat_map(|peer| chains.iter().map(move |chain| (peer, chain))) {
                for (host, proto) in hosts.iter().flat_map(|host| protos.iter().map(move |it| (host, it))) {
                    let mut lines = vec![("host", *host), ("accept", "*/*")];
                    lines.extend(*chain);
                    lines.extend(proto.map(|proto| ("x-forwarded-proto", proto)));
                    let answer = |fix: &ProxyFix| {
                        let mut parts = head("/", &lines);
                        parts.extensions.remove::<Peer>();
                        let client = fix.fix_from(peer.parse::<Peer>().unwrap().into(), &mut parts);
                        (client, parts.headers, parts.uri)
                    };
                    let right = answer(&recorded);
                    assert_eq!(answer(&unrecorded), right, "{set} {family:?} {peer} {lines:?}");
                    let mut parts = head("/", &lines);
                    parts.extensions.remove::<Peer>();
                    let (client, parts) = served(&unrecorded, peer.parse().unwrap(), parts);
                    assert_eq!(
                        (client, parts.headers, parts.uri),
                        right,
                        "{set} {family:?} {peer} {lines:?}"
                    );
                    judged += 1;
                }
            }
        }
        assert_eq!(judged, 3 * 4 * 12 * 6 * 4);
    }
}
