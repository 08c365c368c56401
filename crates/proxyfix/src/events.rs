//! What is reported through [`tracing`], and how loudly.
//!
//! Every event has its name in the field `event`. There are no others:
//!
//! | event | level | fields besides `suppressed` | meaning |
//! | --- | --- | --- | --- |
//! | `config.trust_any` | warn | | built: every peer is trusted |
//! | `config.nearly_everyone` | warn | | built: nearly every address is trusted |
//! | `config.wide_trust` | warn | | built: a trusted network is very wide |
//! | `config.link_local_trust` | warn | | built: link-local addresses are trusted |
//! | `config.nobodys_address` | warn | | built: an entry is an address that nobody can have |
//! | `config.redundant_network` | info | | built: an entry lies within another one |
//! | `config.no_trust` | info | | built: nobody is trusted, so no header has an effect |
//! | `config.hops_beyond_set` | warn | | built: more hops are declared than there are addresses |
//! | `config.count_beyond_trust` | warn | | built: a count steps over hops that nothing shows to be trusted |
//! | `config.overlapping_hops` | warn | | built: an address may be two hops of a topology |
//! | `config.unreachable_hop` | warn | | built: no walk comes to a hop of a topology |
//! | `config.host_unrestricted` | warn | | built: the host is read; a guard should list the hosts that are yours |
//! | `fwd.no_peer` | error | | a request came without its peer; said once |
//! | `fwd.already_applied` | warn | | the same fix was applied to a request again; said once |
//! | `fwd.malformed` | warn | `peer`, `reason`, `excerpt` | a trusted peer's chain does not say who the client is |
//! | `fwd.limit` | warn | `peer` | a trusted peer's chain, or an entry of it, is too long |
//! | `fwd.too_few` | warn | `peer`, `field` | there are fewer values than declared |
//! | `fwd.count_mismatch` | warn | `peer`, `field`, `declared`, `passed` | a declared count goes beyond the trusted hops |
//! | `fwd.asymmetric` | warn | `peer`, `field` | there are not as many values as the chain has hops |
//! | `fwd.not_asserted` | warn | `peer`, `field` | only hops of a topology stated it that may not |
//! | `fwd.unproven` | warn | `peer` | a trusted address did not give the proof that the policy asks for |
//! | `scheme.invalid` | warn | `peer`, `reason`, `excerpt` | a forwarded scheme was refused |
//! | `host.invalid` | warn, debug | `peer`, `reason`, `excerpt` | a forwarded host was refused, or the request's own is none or two |
//! | `host.conflict` | warn, debug | `peer` | the target names another host than `Host` |
//! | `port.invalid` | warn | `peer`, `reason`, `excerpt` | a forwarded port was refused |
//! | `prefix.invalid` | warn | `peer`, `reason`, `excerpt` | a forwarded prefix was refused |
//! | `hop.protected` | warn, debug | `peer`, `names` | `Connection` asks to remove protected headers; they are read all the same |
//! | `alias.dropped` | warn, debug | `peer`, `names` | a protected header under another spelling was removed |
//! | `host.not_allowed` | warn, debug | `peer`, `host` | the guard refused a host |
//! | `guard.refused` | debug | `status`, `reason` | the guard refused a request |
//! | `fwd.untrusted_peer` | debug | `peer`, `ending`, `names` | headers of a peer that is not trusted were removed unread |
//! | `fwd.conflict` | debug | `peer` | the chain stands in a family that is not read, alone or beside the one that is |
//! | `fwd.decided` | debug | `peer`, `ending` | a fix decided; every decision of every request |
//! | `fwd.removed` | trace | `names` | protected headers were removed |
//! | `shadow.differs` | info, debug | `peer`, `now`, `then` | a policy in the shadow would have decided otherwise |
//! | `reload.replaced` | info | `generation` | the policy was replaced |
//! | `reload.refused` | warn | `file`, `reason` | a new policy was refused, or could not be read; the last good one goes on |
//! | `sentinel.unlisted_proxy` | warn | | nearly every request comes from one private address that forwards for others |
//! | `sentinel.chain_short` | warn | | nearly every request passed fewer proxies than are declared |
//! | `sentinel.no_header` | warn | | nearly every request of a trusted peer is without the header of the chain |
//! | `sentinel.never_matched` | warn | | no hop was ever in a certain network of the policy |
//!
//! The events of building are the findings of [`Policy::lint`](crate::Policy::lint), where each is explained;
//! those of [`Sentinels`](crate::Sentinels) come once an hour at the most.
//!
//! # Levels
//!
//! Where two levels stand, the first is for requests of trusted peers, the second for others: nothing
//! that a stranger can send is reported above debug level. A warning says that a proxy of yours wrote
//! something odd, or passed it on.
//!
//! # Sampling
//!
//! Hostile requests come by the thousand. Of each event, one in ten seconds and process is reported, and
//! tells in `suppressed` how many were not, since the one before. Not sampled are what is said while
//! building, what is said once, and `fwd.decided`. What nobody collects costs a comparison.
//!
//! # Values
//!
//! Header values appear in `excerpt` only, at most their last 128 bytes; names in `names` at most 128
//! bytes. A byte that is not printable ASCII, a quote and a backslash are written as `\xNN`; what precedes
//! `@` in a host is left out, because it may hold a password. Query, cookies and credentials are never
//! written.

use std::fmt::{self, Write as _};
use std::str;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(test))]
use std::{sync::OnceLock, time::Instant};

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName};
use proxyfix_policy::{Claims as _, Ending, Field, Origin, Outcome, Peer, Policy, Refusal};
use tracing::Level;
use tracing::level_filters::LevelFilter;

use crate::headers::{Found, HeaderClaims, is_alias, is_protected};

/// One event in this many seconds, and process.
const WINDOW: u32 = 10;

/// The bytes of request data that an event may show, before they are escaped.
const LONGEST_EXCERPT: usize = 128;

/// Declares [`NAMES`], and a static for each event that is sampled.
macro_rules! catalogue {
    ($($name:literal $($sampled:ident $(in $feature:literal)?)?,)*) => {
        /// The name of every event of this crate.
        pub const NAMES: &[&str] = &[$($name),*];

        $($($(#[cfg(feature = $feature)])? static $sampled: Event = Event::new($name);)?)*
    };
}

catalogue! {
    "config.trust_any",
    "config.nearly_everyone",
    "config.wide_trust",
    "config.link_local_trust",
    "config.nobodys_address",
    "config.redundant_network",
    "config.no_trust",
    "config.hops_beyond_set",
    "config.count_beyond_trust",
    "config.overlapping_hops",
    "config.unreachable_hop",
    "config.host_unrestricted",
    "fwd.no_peer",
    "fwd.already_applied",
    "fwd.malformed" MALFORMED,
    "fwd.limit" LIMIT,
    "fwd.too_few" TOO_FEW,
    "fwd.count_mismatch" COUNT_MISMATCH,
    "fwd.asymmetric" ASYMMETRIC,
    "fwd.not_asserted" NOT_ASSERTED,
    "fwd.unproven" UNPROVEN,
    "scheme.invalid" SCHEME_INVALID,
    "host.invalid" HOST_INVALID,
    "host.conflict" HOST_CONFLICT,
    "port.invalid" PORT_INVALID,
    "prefix.invalid" PREFIX_INVALID,
    "hop.protected" HOP_PROTECTED,
    "alias.dropped" ALIAS_DROPPED,
    "host.not_allowed" HOST_NOT_ALLOWED in "guard",
    "guard.refused" GUARD_REFUSED in "guard",
    "fwd.untrusted_peer" UNTRUSTED_PEER,
    "fwd.conflict" CONFLICT,
    "fwd.decided",
    "fwd.removed" REMOVED,
    "shadow.differs" SHADOW_DIFFERS,
    "reload.replaced",
    "reload.refused",
    "sentinel.unlisted_proxy",
    "sentinel.chain_short",
    "sentinel.no_header",
    "sentinel.never_matched",
}

/// Reports a sampled event: at warn level if the peer is trusted, at debug level if not, or at the level
/// that is named. Its fields are computed only where it is collected and not suppressed.
macro_rules! report {
    (if $trusted:expr, $event:ident, $($fields:tt)*) => {
        if $trusted {
            report!(WARN $event, $($fields)*);
        } else {
            report!(DEBUG $event, $($fields)*);
        }
    };
    ($level:ident $event:ident, $($fields:tt)*) => {
        if tracing::event_enabled!(tracing::Level::$level) {
            if let Some(suppressed) = $event.sampler.admit(seconds()) {
                tracing::event!(tracing::Level::$level, event = $event.name, suppressed, $($fields)*);
            }
        }
    };
}

/// Whether somebody looks for mistakes, or at every decision.
#[inline]
pub(crate) fn decisions_are_wanted() -> bool {
    tracing::event_enabled!(tracing::Level::DEBUG)
}

/// Whether somebody wants to hear of what is not odd: of each decision, or of headers that are removed.
#[inline]
pub(crate) fn all_is_wanted() -> bool {
    LevelFilter::current() >= Level::DEBUG && all_is_heard()
}

#[cold]
fn all_is_heard() -> bool {
    decisions_are_wanted() || tracing::event_enabled!(Level::TRACE)
}

/// Whether somebody hears of what is odd.
#[inline]
pub(crate) fn warnings_are_wanted() -> bool {
    tracing::event_enabled!(tracing::Level::WARN)
}

/// Reports, and counts, what a fix decided by itself.
#[inline]
pub(crate) fn decided(policy: &Policy, origin: &Origin, claims: &HeaderClaims<'_>) {
    #[cfg(feature = "metrics")]
    crate::metrics::decided(origin);
    let fine = !origin.ending().is_incomplete();
    let refused = Field::ALL.map(|field| matches!(origin.outcome(field), Outcome::Refused(_)));
    let odd = !fine || refused.contains(&true) || origin.is_unproven() || origin.is_short();
    if odd || decisions_are_wanted() {
        report_decided(policy, origin, claims);
    }
}

/// What is odd, or asked for by whoever looks for mistakes.
#[cold]
fn report_decided(policy: &Policy, origin: &Origin, claims: &HeaderClaims<'_>) {
    let (peer, ending) = (origin.peer(), origin.ending());
    tracing::debug!(event = "fwd.decided", %peer, ending = ending.as_str());
    if origin.is_unproven() {
        report!(WARN UNPROVEN, %peer, "a trusted address did not give the proof that the policy asks for");
    }
    if !ending.is_from_trusted_peer() {
        return;
    }
    match ending {
        Ending::TooLong => {
            report!(WARN LIMIT, %peer, "the chain of proxies, or an entry of it, is too long");
        }
        Ending::TooFew => too_few(peer, Field::For),
        _ if ending.is_incomplete() => report!(
            WARN MALFORMED,
            %peer,
            reason = match origin.outcome(Field::For) {
                Outcome::Refused(refusal @ Refusal::Multiple) => refusal.as_str(),
                _ => ending.as_str(),
            },
            excerpt = stated(policy, origin, claims, Field::For),
            "the chain of proxies does not say who the client is"
        ),
        _ if origin.is_short() => report!(
            WARN COUNT_MISMATCH,
            %peer,
            field = Field::For.as_str(),
            declared = origin.declared_hops(),
            passed = origin.trusted_hops(),
            "the request passed fewer proxies than are declared"
        ),
        _ => {}
    }
    for field in [Field::Proto, Field::Host, Field::Port, Field::Prefix] {
        if let Outcome::Refused(refusal) = origin.outcome(field) {
            refused(peer, field, refusal, || stated(policy, origin, claims, field));
        }
    }
    if decisions_are_wanted() {
        let unread = |name| !policy.reads_header(name) && claims.lines(name).next().is_some();
        if policy.reads(Field::For) && (unread("x-forwarded-for") || unread("forwarded")) {
            report!(DEBUG CONFLICT, %peer, "the chain stands in a family that is not read");
        }
    }
}

fn too_few(peer: Peer, field: Field) {
    report!(WARN TOO_FEW, %peer, field = field.as_str(), "there are fewer values than declared");
}

fn refused(peer: Peer, field: Field, refusal: Refusal, excerpt: impl Fn() -> Option<String>) {
    let name = field.as_str();
    let reason = refusal.as_str();
    match (refusal, field) {
        // The chain, or the host, is reported already.
        (Refusal::WalkEnded | Refusal::WithoutHost, _) => {}
        (Refusal::TooFew, _) => too_few(peer, field),
        (Refusal::BeyondTrust, _) => {
            report!(WARN COUNT_MISMATCH, %peer, field = name, "a count goes beyond the trusted hops");
        }
        (Refusal::NotAsserted, _) => {
            report!(WARN NOT_ASSERTED, %peer, field = name, "no hop that may assert it was there to do so");
        }
        (Refusal::Asymmetric, _) => report!(
            WARN ASYMMETRIC, %peer, field = name, "there are not as many values as the chain has hops"
        ),
        (_, Field::Proto) => report!(WARN SCHEME_INVALID, %peer, reason, excerpt = excerpt()),
        (_, Field::Host) => report!(WARN HOST_INVALID, %peer, reason, excerpt = excerpt()),
        (_, Field::Port) => report!(WARN PORT_INVALID, %peer, reason, excerpt = excerpt()),
        (_, Field::Prefix) => report!(WARN PREFIX_INVALID, %peer, reason, excerpt = excerpt()),
        (_, Field::For) => {}
    }
}

/// The last line of the header that states `field`; of the chain, the one that was read last.
fn stated(policy: &Policy, origin: &Origin, claims: &HeaderClaims<'_>, field: Field) -> Option<String> {
    let header = if field == Field::For { policy.last_chain_header(origin) } else { policy.header(field) };
    let line = claims.lines(header?).next_back()?;
    Some(if field == Field::Host { host_excerpt(line) } else { Excerpt::end_of(line).to_string() })
}

/// Reports that a policy in the shadow would have decided otherwise.
pub(crate) fn shadow_differs(now: &Origin, then: &Origin) {
    let trusted = |origin: &Origin| origin.ending().is_from_trusted_peer();
    if trusted(now) || trusted(then) {
        report!(INFO SHADOW_DIFFERS, peer = %now.peer(), %now, %then);
    } else {
        report!(DEBUG SHADOW_DIFFERS, peer = %now.peer(), %now, %then);
    }
}

/// Reports that the request's own host is none, or two.
pub(crate) fn host_invalid(origin: &Origin, reason: &'static str, host: &[u8]) {
    report!(
        if origin.ending().is_from_trusted_peer(),
        HOST_INVALID,
        peer = %origin.peer(),
        reason,
        excerpt = host_excerpt(host),
        "the host of the request is removed"
    );
}

/// Reports that target and `Host` name different hosts.
pub(crate) fn host_conflict(origin: &Origin) {
    report!(
        if origin.ending().is_from_trusted_peer(),
        HOST_CONFLICT,
        peer = %origin.peer(),
        "the target of the request names another host than its Host header"
    );
}

/// Reports what was removed.
#[inline]
pub(crate) fn removed(origin: &Origin, newly: &Found, own: &[HeaderName]) {
    // Of names that are spelled as they should be, nothing is said above debug level.
    if newly.few().is_none() || LevelFilter::current() >= Level::DEBUG {
        report_removed(origin, newly, own);
    }
}

#[cold]
fn report_removed(origin: &Origin, newly: &Found, own: &[HeaderName]) {
    let (peer, ending) = (origin.peer(), origin.ending());
    let trusted = ending.is_from_trusted_peer();
    if newly.is_empty() {
        return;
    }
    report!(TRACE REMOVED, names = names(newly.names()));
    if !trusted {
        report!(
            DEBUG UNTRUSTED_PEER, %peer, ending = ending.as_str(), names = names(newly.names()),
            "headers of a peer that is not trusted are removed unread"
        );
    }
    let aliases = || newly.names().filter(|name| is_alias(name, own));
    if tracing::event_enabled!(tracing::Level::WARN) && aliases().next().is_some() {
        report!(
            if trusted, ALIAS_DROPPED, %peer, names = names(aliases()),
            "another spelling of a protected header is removed"
        );
    }
}

/// Reports that `Connection` names protected headers, as hop-by-hop ones (RFC 9110 section 7.6.1).
pub(crate) fn nominated(origin: &Origin, headers: &HeaderMap, own: &[HeaderName]) {
    let nominated = || {
        let lines = headers.get_all(CONNECTION).into_iter();
        let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let names = names.filter_map(|name| str::from_utf8(name.trim_ascii()).ok());
        names.filter(|name| is_protected(name, own))
    };
    if tracing::event_enabled!(tracing::Level::WARN) && nominated().next().is_some() {
        report!(
            if origin.ending().is_from_trusted_peer(),
            HOP_PROTECTED,
            peer = %origin.peer(),
            names = names(nominated()),
            "Connection names protected headers, which are read all the same"
        );
    }
}

/// Reports that the same fix judged a request again: once.
pub(crate) fn already_applied() {
    static REPORTED: Once = Once::new();
    if !tracing::event_enabled!(tracing::Level::WARN) {
        return;
    }
    REPORTED.call_once(|| {
        tracing::warn!(
            event = "fwd.already_applied",
            "the same fix is applied to a request twice, which changes nothing; leave one out (said once)"
        );
    });
}

/// Reports, and counts, what the guard refused.
#[cfg(feature = "guard")]
pub(crate) fn guard_refused(origin: Option<&Origin>, status: http::StatusCode, reason: &'static str) {
    #[cfg(feature = "metrics")]
    crate::metrics::guard_refused(reason);
    report!(DEBUG GUARD_REFUSED, status = status.as_u16(), reason);
    if let (http::StatusCode::MISDIRECTED_REQUEST, Some(origin)) = (status, origin) {
        report!(
            if origin.ending().is_from_trusted_peer(),
            HOST_NOT_ALLOWED,
            peer = %origin.peer(),
            host = origin.host().map(|host| Excerpt::end_of(host.as_str().as_bytes()).to_string())
        );
    }
}

/// An event that is sampled.
struct Event {
    name: &'static str,
    sampler: Sampler,
}

impl Event {
    const fn new(name: &'static str) -> Self {
        Self { name, sampler: Sampler::new() }
    }
}

/// Admits one in [`WINDOW`] seconds, and counts the others.
struct Sampler {
    /// The second from which on the next one is admitted.
    next: AtomicU32,
    suppressed: AtomicU32,
}

impl Sampler {
    const fn new() -> Self {
        Self { next: AtomicU32::new(0), suppressed: AtomicU32::new(0) }
    }

    /// How many were suppressed since the last one that was admitted; `None` suppresses this one.
    fn admit(&self, now: u32) -> Option<u32> {
        let next = self.next.load(Ordering::Relaxed);
        let then = now.saturating_add(WINDOW);
        // Of those that come at once, the one that moves the window is admitted.
        if now >= next && self.next.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
use tests::seconds;

/// The seconds since this was first asked.
#[cfg(not(test))]
fn seconds() -> u32 {
    static START: OnceLock<Instant> = OnceLock::new();
    u32::try_from(START.get_or_init(Instant::now).elapsed().as_secs()).unwrap_or(u32::MAX)
}

/// Bytes of a request, harmless in any log: at most 128, all of them printable ASCII.
struct Excerpt<'a>(&'a [u8]);

impl<'a> Excerpt<'a> {
    /// The end, because lists are read from there.
    fn end_of(octets: &'a [u8]) -> Self {
        Self(&octets[octets.len().saturating_sub(LONGEST_EXCERPT)..])
    }

    fn start_of(octets: &'a [u8]) -> Self {
        Self(&octets[..octets.len().min(LONGEST_EXCERPT)])
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            0x20..=0x7E if !b"\"\\".contains(byte) => f.write_char(char::from(*byte)),
            _ => write!(f, "\\x{byte:02x}"),
        })
    }
}

/// What stands for a host, without a user and a password before it.
fn host_excerpt(octets: &[u8]) -> String {
    let at = octets.iter().rposition(|byte| *byte == b'@').unwrap_or(0);
    Excerpt::end_of(&octets[at..]).to_string()
}

/// As many names as fit.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
        if text.len() >= LONGEST_EXCERPT {
            break;
        }
    }
    Excerpt::start_of(text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicU64;
    use std::sync::{Arc, Mutex, PoisonError};

    use http::request::Parts;
    use http::{Request, Version};
    use proxyfix_policy::{Family, TrustedProxies};
    use tracing::field::{Field as Name, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::subscriber::{Interest, with_default};
    use tracing::{Level, Metadata};

    use super::*;
    use crate::fix::testing::served;
    use crate::{CustomProxyFix, Fix, ProxyFix};

    static NOW: AtomicU32 = AtomicU32::new(0);

    /// The clock of these tests.
    pub(super) fn seconds() -> u32 {
        NOW.load(Ordering::SeqCst)
    }

    /// The fields of an event, all but what people read.
    type Seen = (Level, BTreeMap<&'static str, String>);

    /// Name, level and fields.
    type Expected<'a> = (&'a str, Level, &'a [(&'a str, &'a str)]);

    struct Collector(Arc<Mutex<Vec<Seen>>>, Level);

    struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, name: &Name, value: &dyn fmt::Debug) {
            self.0.insert(name.name(), format!("{value:?}"));
        }

        fn record_str(&mut self, name: &Name, value: &str) {
            self.0.insert(name.name(), value.to_owned());
        }
    }

    impl tracing::Subscriber for Collector {
        /// Not "always", which would hold for the threads of other tests, too.
        fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
            Interest::sometimes()
        }

        /// As with a filter by target.
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "proxyfix::events" && *metadata.level() <= self.1
        }

        fn event(&self, event: &tracing::Event<'_>) {
            let mut fields = BTreeMap::new();
            event.record(&mut Fields(&mut fields));
            self.0.lock().unwrap().push((*event.metadata().level(), fields));
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            static NEXT: AtomicU64 = AtomicU64::new(1);
            Id::from_u64(NEXT.fetch_add(1, Ordering::Relaxed))
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// The events of `work`, each of which is the first of its window. One test at a time: samplers are
    /// the process's.
    fn collect(work: impl FnOnce()) -> Vec<Seen> {
        collect_up_to(Level::TRACE, work)
    }

    fn collect_up_to(level: Level, work: impl FnOnce()) -> Vec<Seen> {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        NOW.fetch_add(WINDOW, Ordering::SeqCst);
        let collector = Collector(Arc::default(), level);
        let seen = Arc::clone(&collector.0);
        with_default(collector, work);
        std::mem::take(&mut *seen.lock().unwrap())
    }

    /// The head of a request to `a.example` from `peer`.
    fn head(peer: &str, headers: &[(&str, &[u8])]) -> Parts {
        let mut request = Request::get("/").extension(peer.parse::<Peer>().unwrap());
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", "a.example");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn trusted() -> TrustedProxies {
        "10.0.0.0/8".parse().unwrap()
    }

    /// All five fields, from `X-Forwarded-*`.
    fn fix() -> ProxyFix {
        ProxyFix::builder(trusted()).fields(Field::ALL).build().unwrap()
    }

    const PROXY: &str = "10.0.0.2";
    const STRANGER: &str = "203.0.113.9";
    const CHAIN: (&str, &[u8]) = ("x-forwarded-for", b"198.51.100.7");

    /// Fixes one request; asserts which event is reported besides `fwd.decided` and `fwd.removed`, how
    /// loudly, and its fields besides the peer.
    #[track_caller]
    fn assert_reported(fix: &dyn Fix, mut parts: Parts, expected: Option<Expected<'_>>) {
        let peer = *parts.extensions.get::<Peer>().unwrap();
        let mut seen = collect(|| fix.fix(&mut parts));
        seen.retain(|(_, fields)| !["fwd.decided", "fwd.removed"].contains(&fields["event"].as_str()));
        let expected = expected.map(|(event, level, fields)| {
            let peer = peer.to_string();
            let common = [("event", event), ("peer", peer.as_str())];
            let fields = fields.iter().chain(&common).map(|(name, value)| (*name, (*value).to_owned()));
            (level, fields.collect::<BTreeMap<_, _>>())
        });
        for (_, fields) in &mut seen {
            fields.remove("message");
            assert!(fields.remove("suppressed").is_some());
        }
        let found: Vec<_> =
            seen.into_iter().map(|(level, fields)| (level, fields.into_iter().collect())).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }

    #[track_caller]
    fn assert_warned(headers: &[(&str, &[u8])], event: &str, fields: &[(&str, &str)]) {
        assert_reported(&fix(), head(PROXY, headers), Some((event, Level::WARN, fields)));
    }

    #[test]
    fn what_is_in_order_is_not_reported() {
        assert_reported(&fix(), head(PROXY, &[CHAIN, ("x-forwarded-proto", b"https")]), None);
        assert_reported(&fix(), head(PROXY, &[]), None);
        assert_reported(&fix(), head(STRANGER, &[("connection", b"close")]), None);
    }

    #[test]
    fn every_decision_is_reported_the_short_ones_too() {
        for fix in [fix(), ProxyFix::builder(trusted()).unrecorded().build().unwrap()] {
            for peer in [PROXY, STRANGER] {
                let mut parts = head(peer, &[]);
                let peer: Peer = parts.extensions.remove().unwrap();
                let seen = collect(|| _ = served(&fix, peer, parts));
                let seen: Vec<_> = seen.iter().map(|(_, fields)| fields["event"].as_str()).collect();
                assert_eq!(seen, ["fwd.decided"], "{peer}");
            }
        }
    }

    #[test]
    fn a_refused_chain_is_reported_to_those_who_hear_nothing_but_warnings() {
        let fix = ProxyFix::builder(trusted()).unrecorded().build().unwrap();
        for chain in [&b"oops"[..], b"unknown", b"1.1.1.1,,10.0.0.7", b"127.0.0.1", b"1.1.1.1, ,"] {
            let mut parts = head(PROXY, &[("x-forwarded-for", chain)]);
            let peer: Peer = parts.extensions.remove().unwrap();
            let seen = collect_up_to(Level::WARN, || _ = served(&fix, peer, parts));
            let seen: Vec<_> = seen.iter().map(|(_, fields)| fields["event"].as_str()).collect();
            assert_eq!(seen, ["fwd.malformed"], "{}", chain.escape_ascii());
        }
    }

    #[test]
    fn t01_t07_a_stranger_is_named_and_what_it_wrote_is_not() {
        let sent: &[(&str, &[u8])] =
            &[CHAIN, CHAIN, ("x-forwarded-host", b"secret.example"), ("x-request-id", b"1")];
        for peer in [STRANGER, "unix"] {
            let fields = [("ending", "peer-untrusted"), ("names", "x-forwarded-for, x-forwarded-host")];
            let expected = Some(("fwd.untrusted_peer", Level::DEBUG, &fields[..]));
            assert_reported(&fix(), head(peer, sent), expected);
        }
    }

    #[test]
    fn t27_t28_t23_t12_a_chain_that_names_nobody_is_reported_with_its_reason() {
        for (chain, reason, excerpt) in [
            (&b"1.1.1.1, oops\xe9"[..], "malformed", "1.1.1.1, oops\\xe9"),
            (b"1.1.1.1, \xe9\"", "malformed", "1.1.1.1, \\xe9\\x22"),
            (b"unknown", "opaque", "unknown"),
            (b"1.1.1.1,,10.0.0.7", "empty", "1.1.1.1,,10.0.0.7"),
            (b"127.0.0.1", "unroutable", "127.0.0.1"),
        ] {
            let fields = [("reason", reason), ("excerpt", excerpt)];
            assert_warned(&[("x-forwarded-for", chain)], "fwd.malformed", &fields);
            // What depends on the chain is no event of its own.
            let list: (&str, &[u8]) = ("x-forwarded-proto", b"https, http");
            assert_warned(&[("x-forwarded-for", chain), list], "fwd.malformed", &fields);
        }
    }

    #[test]
    fn t191_an_excerpt_is_short_and_printable() {
        let shown = |text: &[u8]| Excerpt::end_of(text).to_string();
        assert_eq!(shown(b"1.1.1.1\x1b[2J\r\n\0\x7f\xc3"), r"1.1.1.1\x1b[2J\x0d\x0a\x00\x7f\xc3");
        assert_eq!(shown(br#"a" b\ ~"#), r"a\x22 b\x5c ~");
        // Truncated before it is escaped.
        assert_eq!(shown(&[b'"'; 1000]), r"\x22".repeat(128));
        assert_eq!(Excerpt::start_of(&[0; 1000]).to_string().len(), 4 * 128);
        assert_eq!(names(["a-b", "c"].into_iter()), "a-b, c");
        assert_eq!(names(std::iter::repeat("x-forwarded-for")).len(), 128);
    }

    #[test]
    fn t37_a_chain_that_is_too_long_is_reported_without_it() {
        assert_warned(&[("x-forwarded-for", &[b'1'; 500])], "fwd.limit", &[]);
        let hops = ["10.0.0.7"; 40].join(",");
        assert_warned(&[("x-forwarded-for", hops.as_bytes())], "fwd.limit", &[]);
    }

    #[test]
    fn t09_t10_t86_what_does_not_fit_the_configuration_is_reported() {
        let any = TrustedProxies::dangerously_trust_every_peer().hops(2).unwrap();
        let fields = [("field", "for")];
        let expected = Some(("fwd.too_few", Level::WARN, &fields[..]));
        assert_reported(&ProxyFix::new(any), head(PROXY, &[CHAIN]), expected);

        let fix = ProxyFix::builder(trusted()).x_host(2).x_proto(1).build().unwrap();
        let fields = [("field", "host")];
        let hosts: [(&str, &[u8]); 2] = [CHAIN, ("x-forwarded-host", b"b.example, c.example")];
        assert_reported(&fix, head(PROXY, &hosts), Some(("fwd.count_mismatch", Level::WARN, &fields)));
        let one: [(&str, &[u8]); 2] =
            [("x-forwarded-for", b"198.51.100.7, 10.0.0.7"), ("x-forwarded-host", b"c.example")];
        assert_reported(&fix, head(PROXY, &one), Some(("fwd.too_few", Level::WARN, &fields)));

        let several: (&str, &[u8]) = ("x-forwarded-proto", b"https, http, http");
        assert_warned(&[CHAIN, several], "fwd.asymmetric", &[("field", "proto")]);
    }

    #[test]
    fn t70_t78_t88_t93_values_that_fail_their_grammar_are_reported() {
        for (name, value, event, excerpt) in [
            ("x-forwarded-proto", "javascript", "scheme.invalid", "javascript"),
            ("x-forwarded-host", "a b", "host.invalid", "a b"),
            ("x-forwarded-host", "user:password@evil.example", "host.invalid", "@evil.example"),
            ("x-forwarded-prefix", "//evil.example", "prefix.invalid", "//evil.example"),
        ] {
            let fields = [("reason", "malformed"), ("excerpt", excerpt)];
            assert_warned(&[CHAIN, (name, value.as_bytes())], event, &fields);
        }
        let port: [(&str, &[u8]); 3] =
            [CHAIN, ("x-forwarded-host", b"b.example"), ("x-forwarded-port", b"80x")];
        assert_warned(&port, "port.invalid", &[("reason", "malformed"), ("excerpt", "80x")]);
        let single = CustomProxyFix::host(trusted(), "X-FHost").unwrap();
        let fields = [("reason", "multiple"), ("excerpt", "a.example, b.example")];
        let sent: &[(&str, &[u8])] = &[("x-fhost", b"a.example, b.example")];
        assert_reported(&single, head(PROXY, sent), Some(("host.invalid", Level::WARN, &fields)));
    }

    #[test]
    fn t81_t82_t83_t84_the_hosts_of_the_request_itself_are_reported() {
        for (peer, level) in [(PROXY, Level::WARN), (STRANGER, Level::DEBUG)] {
            let invalid = |sent: &[(&str, &[u8])], reason, excerpt| {
                let fields = [("reason", reason), ("excerpt", excerpt)];
                assert_reported(&fix(), head(peer, sent), Some(("host.invalid", level, &fields)));
            };
            invalid(&[("host", b"a b")], "malformed", "a b");
            invalid(&[("host", b"u:p@b")], "malformed", "@b");
            invalid(&[("host", b"a.example"), ("host", b"b.example")], "multiple", "b.example");

            let mut parts = head(peer, &[]);
            parts.headers.clear();
            let fields = [("reason", "missing"), ("excerpt", "")];
            assert_reported(&fix(), parts.clone(), Some(("host.invalid", level, &fields)));
            parts.version = Version::HTTP_10;
            assert_reported(&fix(), parts.clone(), None);

            parts.uri = "http://u:p@b/".parse().unwrap();
            let fields = [("reason", "malformed"), ("excerpt", "@b")];
            assert_reported(&fix(), parts, Some(("host.invalid", level, &fields)));

            for version in [Version::HTTP_11, Version::HTTP_2] {
                let mut parts = head(peer, &[]);
                parts.version = version;
                parts.uri = "http://a.example:80/".parse().unwrap();
                assert_reported(&fix(), parts.clone(), None);
                parts.uri = "http://b.example/".parse().unwrap();
                assert_reported(&fix(), parts, Some(("host.conflict", level, &[])));
            }
        }
    }

    #[test]
    fn t111_t112_nominated_headers_are_reported() {
        for (peer, level) in [(PROXY, Level::WARN), (STRANGER, Level::DEBUG)] {
            let sent: &[(&str, &[u8])] = &[
                ("connection", b""),
                ("connection", b"close, X-Forwarded-Proto,,\xff"),
                ("connection", b"keep-alive,,X-FORWARDED_PREFIX ,"),
            ];
            let fields = [("names", "X-Forwarded-Proto, X-FORWARDED_PREFIX")];
            assert_reported(&fix(), head(peer, sent), Some(("hop.protected", level, &fields)));
        }
        let own = ProxyFix::builder(trusted()).remove("X-User").build().unwrap();
        let fields = [("names", "x-user")];
        let sent: &[(&str, &[u8])] = &[("connection", b"x-user")];
        assert_reported(&own, head(PROXY, sent), Some(("hop.protected", Level::WARN, &fields)));
        assert_reported(&fix(), head(PROXY, sent), None);
    }

    #[test]
    fn t114_aliases_are_reported() {
        let sent: &[(&str, &[u8])] = &[CHAIN, ("x_forwarded_for", b"127.0.0.1"), ("X.Real.IP", b"127.0.0.1")];
        assert_warned(sent, "alias.dropped", &[("names", "x_forwarded_for, x.real.ip")]);
        let own = ProxyFix::builder(trusted()).remove("X-User").build().unwrap();
        let sent: &[(&str, &[u8])] = &[("x-user", b"a"), ("x_user", b"b")];
        let fields = [("names", "x_user")];
        assert_reported(&own, head(PROXY, sent), Some(("alias.dropped", Level::WARN, &fields)));
    }

    #[test]
    fn t66_the_family_that_is_not_read_is_reported() {
        let expected = Some(("fwd.conflict", Level::DEBUG, &[][..]));
        let forwarded: (&str, &[u8]) = ("forwarded", b"for=198.51.100.7");
        assert_reported(&fix(), head(PROXY, &[CHAIN, forwarded]), expected);
        assert_reported(&fix(), head(PROXY, &[forwarded]), expected);
        let other = ProxyFix::builder(trusted()).family(Family::Forwarded).build().unwrap();
        assert_reported(&other, head(PROXY, &[forwarded]), None);
        assert_reported(&other, head(PROXY, &[CHAIN]), expected);
    }

    #[test]
    fn t14_the_same_fix_twice_is_reported_once_and_a_stack_is_not() {
        let applied = |fixes: &[&dyn Fix]| {
            let seen = collect(|| {
                for _ in 0..3 {
                    let mut parts = head(PROXY, &[CHAIN]);
                    for fix in fixes {
                        fix.fix(&mut parts);
                    }
                }
            });
            seen.iter().filter(|(_, fields)| fields["event"] == "fwd.already_applied").count()
        };
        let custom = CustomProxyFix::host(trusted(), "X-FHost").unwrap();
        let one = fix();
        assert_eq!(applied(&[&one, &custom, &fix()]), 0);
        assert_eq!(applied(&[&one, &custom, &one.clone()]), 1);
        assert_eq!(applied(&[&one, &one]), 0, "said once");
    }

    #[cfg(feature = "guard")]
    #[test]
    fn t69_t73_refusals_of_the_guard_are_reported() {
        use http::Response;
        use http_body_util::Full;
        use tower::{Layer as _, Service as _, service_fn};

        for (peer, level) in [(PROXY, Level::WARN), (STRANGER, Level::DEBUG)] {
            let mut parts = head(peer, &[("host", b"evil.example")]);
            fix().fix(&mut parts);
            let guard = crate::Guard::new().allow_hosts(["a.example"]).unwrap();
            let inner =
                service_fn(|_: Request<()>| async { Ok::<_, ()>(Response::new(Full::new(&b""[..]))) });
            let mut service = guard.layer(inner);
            let seen = collect(|| drop(service.call(Request::from_parts(parts, ()))));
            let seen: Vec<_> = seen
                .iter()
                .map(|(level, fields)| {
                    (*level, fields["event"].as_str(), fields.get("host").map(String::as_str))
                })
                .collect();
            let expected =
                [(Level::DEBUG, "guard.refused", None), (level, "host.not_allowed", Some("evil.example"))];
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn t192_one_in_ten_seconds_tells_how_many_were_not() {
        let sampler = Sampler::new();
        assert_eq!(sampler.admit(0), Some(0));
        assert!((0..100_000).all(|request| sampler.admit(request / 10_001).is_none()));
        assert_eq!(sampler.admit(10), Some(100_000));
        assert_eq!(sampler.admit(19), None);
        assert_eq!(sampler.admit(1000), Some(1));
        assert_eq!(sampler.admit(u32::MAX), Some(0));
    }

    #[test]
    fn t192_threads_share_a_window() {
        let sampler = Sampler::new();
        let admitted = || (0..1000).filter_map(|_| sampler.admit(7)).collect::<Vec<_>>();
        let told: Vec<u32> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(admitted)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        // One is admitted, which may tell of others that came meanwhile; none is forgotten, none told of twice.
        let &[first] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(sampler.admit(17), Some(3999 - first));
    }

    #[test]
    fn t192_a_hostile_request_is_one_event_of_a_kind() {
        let mut sent: Vec<(&str, &[u8])> = vec![("x-forwarded-for", b"a,b,\xff,,"); 50];
        sent.push(("connection", b"x-forwarded-for,x-forwarded-for,x_forwarded_for"));
        sent.extend(vec![("x_forwarded_host", &b"x"[..]); 50]);
        let seen = collect(|| (0..100).for_each(|_| fix().fix(&mut head(PROXY, &sent))));
        let mut events: Vec<_> = seen.iter().map(|(_, fields)| fields["event"].as_str()).collect();
        events.retain(|event| *event != "fwd.decided" && !event.starts_with("config."));
        events.sort_unstable();
        assert_eq!(events, ["alias.dropped", "fwd.malformed", "fwd.removed", "hop.protected"]);
    }

    #[test]
    fn the_table_lists_every_event() {
        let table = include_str!("events.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        let table: Vec<&str> = table.filter_map(|row| Some(row.split_once('`')?.0)).collect();
        assert_eq!(table, NAMES);
        let sources = [
            include_str!("events.rs"),
            include_str!("guard.rs"),
            include_str!("head.rs"),
            include_str!("headers.rs"),
            include_str!("lighttpd_cgi_root_fix.rs"),
            include_str!("reload.rs"),
            include_str!("shadow.rs"),
        ];
        for code in proxyfix_policy::lint::Code::ALL {
            let name = format!("config.{code}").replace('-', "_");
            assert!(NAMES.contains(&name.as_str()), "{name}");
        }
        let said = include_str!("sentinels.rs").split(['"', '`']).filter(|it| it.starts_with("sentinel."));
        let said: Vec<&str> = said.filter_map(|it| it.split([' ', ':']).next()).collect();
        let said: Vec<&str> = said.into_iter().filter(|it| it.ends_with(char::is_alphabetic)).collect();
        assert!(!said.is_empty() && said.iter().all(|name| NAMES.contains(name)), "{said:?}");
        let literals = sources.iter().flat_map(|source| source.split("event = \"").skip(1));
        let literals = literals.filter_map(|rest| Some(rest.split_once('"')?.0));
        let foreign: Vec<&str> =
            literals.filter(|name| !NAMES.contains(name) && name.contains('.')).collect();
        assert_eq!(foreign, [""; 0]);
    }
}
