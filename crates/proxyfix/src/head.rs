//! The head of a request: what it says of itself, and writing the answer back.

use std::io::Write as _;
use std::sync::Once;

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Uri, Version};
use proxyfix_policy::lint::{Code, Finding, Severity};
use proxyfix_policy::{
    Error, Field, Gate, Host, Mount, Outcome, Peer, Policy, PolicyBuilder, Port, Prefix, Received, Scheme,
};

use crate::fix::{Glance, Head};
use crate::headers::{
    Computed, Doomed, HeaderClaims, Removed, Scan, X_FORWARDED_HOST, headers_of, host_at, own_header,
};
use crate::{Canonical, Connection, Fix, KeepOriginal, Origin, Proof, Shadow, events, uri};

/// What the policy decided, without what the layers keep beside it.
type Decided = proxyfix_policy::Origin;

/// A host and, where one is stated, a port.
type HostAndPort = (Host, Option<Port>);

/// No value is computed.
static NOTHING: Computed = Vec::new();

/// Decides and rewrites: what [`ProxyFix`](crate::ProxyFix) and
/// [`CustomProxyFix`](crate::CustomProxyFix) have in common.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    pub(crate) policy: Policy,
    /// What is asked for besides the address of the peer, or instead of it.
    proof: Option<Proof>,
    /// What is removed: the protected headers, and others.
    doomed: Doomed,
    /// Whether nothing is asked for that few services need.
    plain: bool,
    /// Whether a glance may be enough: nothing is recorded, and no field but client and scheme is read.
    glances: bool,
    /// The headers of which the sentence says that they are there and not read, a bit each.
    unread: u64,
    options: Options,
}

/// What a fix that judges does besides what its policy says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Whether an origin-form target becomes an absolute one.
    pub(crate) absolute: bool,
    pub(crate) keep_original: bool,
    pub(crate) canonical: Option<Canonical>,
    /// Each asked for beside the address or instead of it.
    pub(crate) proofs: Vec<(Gate, Proof)>,
    pub(crate) shadow: Option<Shadow>,
    /// Findings that are meant.
    pub(crate) accepted: Vec<Code>,
    /// Whether no origin is left in the extensions.
    pub(crate) unrecorded: bool,
}

impl Options {
    /// What cannot be done without a record of it.
    fn check(&self) -> Result<(), Error> {
        let needed = [
            (self.absolute, "absolute_uri"),
            (self.canonical.is_some(), "write"),
            (self.keep_original, "keep_original"),
        ];
        match needed.into_iter().find(|(asked, _)| self.unrecorded && *asked) {
            Some((_, what)) => Err(Error::refused(&format!(
                "{what} beside unrecorded: a second fix would not know what the first one wrote; leave one of \
                 the two out"
            ))),
            None => Ok(()),
        }
    }
}

impl Judge {
    pub(crate) fn new(policy: Policy, options: Options) -> Self {
        report_risks(&policy, &options.accepted);
        Self { doomed: Doomed::new(), plain: false, glances: false, unread: 0, policy, proof: None, options }
            .with_own_headers(Vec::new())
    }

    /// Builds the policy, and removes the headers of these names, too.
    pub(crate) fn build(policy: PolicyBuilder, remove: &[String], options: Options) -> Result<Self, Error> {
        let named = remove.iter().map(|name| own_header(name)).collect::<Result<Vec<_>, _>>()?;
        options.check()?;
        let policy = policy.build()?;
        let (gate, proof) = one_proof(&options.proofs)?;
        let policy = check_proof(policy, gate, proof.as_ref())?;
        Ok(Self { proof, ..Self::new(policy, options) }.with_own_headers(named))
    }

    /// The same with another policy, and the same proof.
    pub(crate) fn with_policy(&self, policy: Policy) -> Result<Self, Error> {
        let policy = check_proof(policy, self.policy.gate(), self.proof.as_ref())?;
        let mut known: Vec<Code> = self.policy.lint().iter().map(Finding::code).collect();
        known.extend(&self.options.accepted);
        report_risks(&policy, &known);
        Ok(Self { policy, ..self.clone() }.with_own_headers(Vec::new()))
    }

    /// Adds `named` to the headers that are removed, and those that the policy and the proof read.
    fn with_own_headers(mut self, named: Vec<HeaderName>) -> Self {
        // What is computed has a name that no header can have.
        let read = self.policy.single_headers().filter_map(|name| own_header(name).ok());
        let proofs = self.proof.iter().flat_map(Proof::headers);
        for name in named.into_iter().chain(read).chain(proofs).collect::<Vec<_>>() {
            self.doomed.add(name);
        }
        self.plain = self.proof.is_none()
            && self.options.shadow.is_none()
            && self.options.canonical.is_none()
            && !self.options.keep_original;
        let fields = [Field::Proto, Field::Host, Field::Prefix];
        self.unread = headers_of(fields.into_iter().filter(|field| !self.policy.reads(*field)));
        self.glances = self.plain
            && self.options.unrecorded
            && self.policy.gate() == Gate::Address
            && self.policy.reads(Field::For)
            && ![Field::Host, Field::Port, Field::Prefix].map(|it| self.policy.reads(it)).contains(&true);
        self
    }

    /// Decides, and corrects `parts`; who the client is, if that is read. `compute` finds values that do
    /// not stand in a header.
    pub(crate) fn apply(
        &self,
        connection: Connection,
        parts: &mut Parts,
        compute: Option<&dyn Fn(&Parts) -> Computed>,
    ) -> Option<Peer> {
        let alone = match connection.peer {
            _ if !self.plain || compute.is_some() || parts.uri.authority().is_some() => None,
            Some(peer) => Some(peer).filter(|_| parts.extensions.len() <= connection.own),
            // Unrecorded, a second fix would find the proxy there, and take it for the client.
            None if !self.options.unrecorded && parts.extensions.len() == 1 => {
                parts.extensions.get::<Peer>().copied()
            }
            None => None,
        };
        if let Some(client) = alone.and_then(|peer| self.apply_alone(peer, parts)) {
            return client;
        }
        self.apply_among_others(connection, parts, compute)
    }

    /// Whether a glance may be enough.
    #[inline]
    pub(crate) fn glances(&self) -> bool {
        self.glances && !cfg!(feature = "metrics")
    }

    /// What is to be done, where one look at the request is enough to know it: no fix and no gateway saw it
    /// before, its target is a path, its `Host` is written as it should be, and nobody wants to be told more
    /// than the client.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what is passed on would be copied, byte by byte")]
    pub(crate) fn glance(&self, connection: Connection, head: Head<'_>, glance: &mut Glance) -> Option<()> {
        let peer = connection.peer.filter(|peer| self.glances() && peer.ip().is_some())?;
        if head.extensions.len() > connection.own || head.uri.authority().is_some() {
            return None;
        }
        let (host, first) = self.doomed.first_that_matters(head.headers);
        glance.client = peer;
        if let Some(first) = first {
            return self.second_glance(peer, head.headers, host, first, glance);
        }
        self.leaves(host_at(head.headers, host?)?)
    }

    /// Whether a host that nobody asks for stays as it is written, whatever the scheme, and nothing is to be told.
    #[inline]
    fn leaves(&self, host: &HeaderValue) -> Option<()> {
        (self.policy.host_stays(host.as_bytes()) && !events::all_is_wanted()).then_some(())
    }

    /// The same of a request with a header that matters, or that has several lines.
    #[inline(never)]
    fn second_glance(
        &self,
        peer: Peer,
        headers: &HeaderMap,
        mut host: Option<usize>,
        first: usize,
        glance: &mut Glance,
    ) -> Option<()> {
        if !self.policy.trusted().allows(&peer) {
            glance.few = self.doomed.few_from(first, headers, &mut host)?;
            return self.leaves(host_at(headers, host?)?);
        }
        let mut scan = Scan::new(headers);
        self.doomed.look_on(host, Some(first), &mut scan);
        glance.few = scan.found().few().filter(|_| !scan.connection && scan.hosts == 1)?;
        self.leaves(scan.host?)?;
        let claims = HeaderClaims { headers, scan: Some(&scan), removed: None, computed: &NOTHING };
        let client = self.policy.client_behind(peer, &claims)?;
        // It is unknown where the chain is refused, and that is reported.
        if client.is_unknown() && events::warnings_are_wanted() {
            return None;
        }
        glance.client = client;
        Some(())
    }

    /// Does the same for the usual request: one that no fix and no gateway saw before, whose target is a path,
    /// with one `Host` that is one. What only others need is left out here; `None`, and nothing is done, where
    /// the request is another.
    #[expect(clippy::option_option, reason = "whether it was done, and what was found")]
    #[inline]
    fn apply_alone(&self, peer: Peer, parts: &mut Parts) -> Option<Option<Peer>> {
        let mut scan = Scan::new(&parts.headers);
        self.doomed.look(&mut scan);
        let line = scan.host.filter(|_| scan.hosts == 1)?.as_bytes();
        let host = self.policy.host(line)?;
        let claims =
            HeaderClaims { headers: &parts.headers, scan: Some(&scan), removed: None, computed: &NOTHING };
        let received = Received::default().with_host(Some(host));
        let decide = || Origin::new(self.policy.decide(peer, received, &claims), Removed::default());
        // Put together in the place where it stays: it is large.
        let mut unrecorded = None;
        let record = if self.options.unrecorded {
            unrecorded.insert(decide())
        } else {
            parts.extensions.get_or_insert_with(decide)
        };
        let Origin { decided: origin, removed } = &mut *record;
        events::decided(&self.policy, origin, &claims);
        if scan.connection {
            events::nominated(origin, &parts.headers, self.doomed.own());
        }
        if !scan.found().is_empty() {
            if scan.found().has_any(self.unread) || !origin.ending().is_from_trusted_peer() {
                origin.note_sent(&self.policy, scan.found().names());
            }
            events::removed(origin, scan.found(), self.doomed.own());
        }
        let host = host_line(&scan, origin, true);

        let found = scan.into_found();
        let client = origin.known_client();
        if !self.records(origin) {
            found.forget(&mut parts.headers);
            host.write(&mut parts.headers);
            return Some(self.policy.reads(Field::For).then_some(client));
        }
        found.remove(&mut parts.headers, |name, value| removed.push(name, value));
        host.write(&mut parts.headers);
        if self.options.absolute {
            write_target(&mut parts.uri, origin);
        }
        removed.judged_before_by(&self.policy);
        let prefix = origin.outcome(Field::Prefix) == Outcome::Believed;
        let prefix = prefix.then(|| origin.prefix().clone());
        if let Some(record) = unrecorded {
            parts.extensions.insert(record);
        }
        if let Some(prefix) = prefix {
            set_forwarded(&mut parts.extensions, prefix);
        }
        Some(Some(client))
    }

    /// Does it for any request.
    #[cold]
    #[inline(never)]
    fn apply_among_others(
        &self,
        connection: Connection,
        parts: &mut Parts,
        compute: Option<&dyn Fn(&Parts) -> Computed>,
    ) -> Option<Peer> {
        if self.options.keep_original {
            KeepOriginal.fix(parts);
        }
        let others = parts.extensions.len() > connection.own;
        let mut scan = Scan::new(&parts.headers);
        self.doomed.look(&mut scan);
        let earlier = if others { parts.extensions.remove::<Origin>() } else { None };
        let peer = match &earlier {
            Some(earlier) => earlier.peer(),
            None => who_is_connected(connection, others, parts),
        };
        let mount = if others { parts.extensions.get::<Mount>() } else { None };
        let through_gateway = mount.is_some();
        let named = Named::read(&self.policy, parts, &scan);
        let mut received = named.received(parts, others, mount, earlier.as_ref());
        // What functions make of a request they make of it as it came in.
        let before = earlier.as_ref().and_then(|earlier| earlier.removed.found_by(&self.policy));
        let (computed, before) = before.unzip();
        let computed = computed.unwrap_or_else(|| compute.map_or_else(Vec::new, |compute| compute(parts)));
        // What an earlier fix removed is read where it was, what came back since is not.
        let claims = HeaderClaims {
            headers: &parts.headers,
            scan: Some(&scan).filter(|_| earlier.is_none()),
            removed: earlier.as_ref().map(|earlier| &earlier.removed),
            computed: &computed,
        };
        received.proven = match (&self.proof, before) {
            (_, Some(before)) => before,
            (Some(proof), None) => proof.is_given(&peer, parts, &claims),
            (None, None) => false,
        };
        let proven = received.proven;
        let shadowed = self.options.shadow.as_ref().map(|shadow| (shadow, received.clone()));
        let origin = self.policy.decide(peer, received, &claims);
        if let Some((shadow, received)) = shadowed {
            // It may read headers that this policy does not, of which the look at them knows nothing.
            shadow.compare(&origin, received, &HeaderClaims { scan: None, ..claims });
        }
        events::decided(&self.policy, &origin, &claims);
        if earlier.is_none() {
            named.report(parts, &scan, &origin);
            if scan.connection {
                events::nominated(&origin, &parts.headers, self.doomed.own());
            }
        }
        let stated_prefix = origin.outcome(Field::Prefix) == Outcome::Believed;
        let mut origin = match &earlier {
            Some(earlier) => origin.after(earlier),
            None => origin.with_gateway(through_gateway),
        };
        if earlier.is_none() && named.conflicts(&origin) {
            origin.note_host_conflict();
        }
        if named.contradicts_itself(parts, &origin) || (origin.host().is_none() && !named.is_nothing()) {
            origin.withhold_host(named.flaw(parts));
        }
        if earlier.is_none() {
            origin.note_sent(&self.policy, scan.found().names());
        }
        // What a fix wrote itself was not sent.
        let before = earlier.map(|earlier| earlier.removed);
        if before.as_ref().is_none_or(|before| before.canonical().is_none()) {
            events::removed(&origin, scan.found(), self.doomed.own());
        }
        let host = host_line(&scan, &origin, false);
        let recorded = others || !named.authority.is_nothing() || self.records(&origin);

        let found = scan.into_found();
        let removed = match before {
            None if !recorded => {
                found.forget(&mut parts.headers);
                None
            }
            None => {
                let mut removed = Removed::default();
                found.remove(&mut parts.headers, |name, value| removed.push(name, value));
                Some(removed)
            }
            Some(mut removed) => {
                let known = removed.others().len();
                found.remove(&mut parts.headers, |name, value| removed.push_later(name, value, known));
                Some(removed)
            }
        };
        host.write(&mut parts.headers);
        named.write(parts, &origin, self.options.absolute);
        if stated_prefix {
            set_forwarded(&mut parts.extensions, origin.prefix().clone());
        }
        let Some(mut removed) = removed else {
            return self.policy.reads(Field::For).then(|| origin.known_client());
        };
        if compute.is_some() || self.proof.is_some() {
            removed.note_found(&self.policy, computed, proven);
        }
        Some(self.leave(parts, origin, removed))
    }

    /// Leaves the answer in the extensions, and in a header if that is asked for.
    fn leave(&self, parts: &mut Parts, origin: Decided, mut removed: Removed) -> Peer {
        if removed.judged_before_by(&self.policy) {
            events::already_applied();
        }
        // What one fix of a stack writes, later ones write anew: they may know better.
        if let Some(canonical) = self.options.canonical.or(removed.canonical()) {
            removed.set_canonical(canonical);
            let mount = parts.extensions.get::<Mount>();
            canonical.write(&mut parts.headers, &origin, mount.map_or(&Prefix::root(), Mount::prefix));
        }
        let client = origin.known_client();
        parts.extensions.insert(Origin::new(origin, removed));
        client
    }

    /// Whether a record is wanted, or a second fix would find another answer without it: it would take the mount
    /// for a gateway's, and a port for the default one of a scheme that it does not know.
    #[inline]
    fn records(&self, origin: &Decided) -> bool {
        !self.options.unrecorded
            || origin.outcome(Field::Prefix) == Outcome::Believed
            || origin.port() == Some(Scheme::Http.default_port())
    }
}

/// The peer of a request that no fix has judged.
fn who_is_connected(connection: Connection, others: bool, parts: &Parts) -> Peer {
    let stated = if others { parts.extensions.get::<Peer>().copied() } else { None };
    stated.or(connection.peer).unwrap_or_else(|| {
        report_missing_peer();
        Peer::unknown()
    })
}

/// Publishes the prefix that a proxy stated. Where nobody states one, there is no mount but a gateway's.
fn set_forwarded(extensions: &mut Extensions, prefix: Prefix) {
    extensions.get_or_insert_with(Mount::root).set_forwarded(prefix);
}

/// The proofs as one, and the gate that they make.
fn one_proof(proofs: &[(Gate, Proof)]) -> Result<(Gate, Option<Proof>), Error> {
    let Some((gate, first)) = proofs.first() else { return Ok((Gate::Address, None)) };
    if proofs.iter().any(|(other, _)| other != gate) {
        return Err(Error::refused(
            "and_proof beside or_proof: nobody can say which of them is enough; combine the proofs with \
             Proof::all and Proof::any, and state one of the two",
        ));
    }
    let all = || proofs.iter().map(|(_, proof)| proof.clone());
    Ok((
        *gate,
        Some(match (proofs.len(), gate) {
            (1, _) => first.clone(),
            (_, Gate::AddressAndProof) => Proof::all(all()),
            _ => Proof::any(all()),
        }),
    ))
}

/// The policy with the gate of the proof, or why the two do not fit.
fn check_proof(policy: Policy, gate: Gate, proof: Option<&Proof>) -> Result<Policy, Error> {
    if policy.gate() != Gate::Address && policy.gate() != gate {
        return Err(Error::refused(match policy.gate() {
            Gate::AddressOrProof => {
                "the policy asks for a proof instead of the address; state it with or_proof"
            }
            _ => "the policy asks for a proof of the proxy besides its address; state it with and_proof",
        }));
    }
    for header in policy.demanded_headers() {
        let asked = proof.is_some_and(|proof| proof.asks_for(header));
        if gate != Gate::AddressAndProof || !asked {
            return Err(Error::refused(&format!(
                "the policy believes nothing without a proof in {header:?}; state it with and_proof"
            )));
        }
    }
    Ok(policy.with_gate(gate))
}

/// What the builders of all fixes that judge have in common.
macro_rules! options {
    ($builder:ty) => {
        impl $builder {
            /// Removes this header from every request, too, under every alias: one that only a proxy of
            /// yours may set and that no fix reads, such as `X-Forwarded-User`.
            pub fn remove(mut self, header: &str) -> Self {
                self.remove.push(header.to_owned());
                self
            }

            /// Keeps what came in, for [`Original`](crate::Original) and [`restore`](crate::restore): the
            /// same as [`KeepOriginal`](crate::KeepOriginal) before this fix. In a stack, say it to the
            /// first fix.
            pub fn keep_original(mut self) -> Self {
                self.options.keep_original = true;
                self
            }

            /// Writes one verified header, or family of headers, after all were removed.
            pub fn write(mut self, canonical: $crate::Canonical) -> Self {
                self.options.canonical = Some(canonical);
                self
            }

            /// Believes a trusted peer only if its request gives this proof, too; of several, each.
            pub fn and_proof(mut self, proof: $crate::Proof) -> Self {
                self.options.proofs.push(($crate::Gate::AddressAndProof, proof));
                self
            }

            /// Believes any peer whose request gives this proof, or another one, besides those that are
            /// trusted. It does not go together with [`and_proof`](Self::and_proof): say with
            /// [`Proof::all`](crate::Proof::all) and [`Proof::any`](crate::Proof::any) what is meant.
            pub fn or_proof(mut self, proof: $crate::Proof) -> Self {
                self.options.proofs.push(($crate::Gate::AddressOrProof, proof));
                self
            }

            /// Does not report this finding of [`Policy::lint`](crate::Policy::lint) as the fix is built: it
            /// is meant. `Code::HostUnrestricted`, for instance, where a `Guard` behind the
            /// fix lists the hosts.
            pub fn accept(mut self, code: $crate::lint::Code) -> Self {
                self.options.accepted.push(code);
                self
            }

            /// Leaves no [`Origin`](crate::Origin) in the extensions, which saves the one allocation that a
            /// fix makes: for services that want the headers corrected and their framework's address of the
            /// client, and nothing else. For a fix that stands alone: a later one would not find what this one
            /// removed, nor would a [`Guard`](crate::Guard) what to judge.
            ///
            /// Where it is needed to do the same thing twice, the origin is there all the same: for a target
            /// that names a host, as those of HTTP/2 do, for a stated prefix, for port 80 of https, and where
            /// an earlier fix or the server left one of the extensions that fixes read, such as the
            /// [`Peer`](crate::Peer).
            pub fn unrecorded(mut self) -> Self {
                self.options.unrecorded = true;
                self
            }

            /// Runs another policy beside this one, which changes nothing and counts what it would have
            /// decided otherwise.
            pub fn shadow(mut self, shadow: $crate::Shadow) -> Self {
                self.options.shadow = Some(shadow);
                self
            }
        }

        #[cfg(feature = "config")]
        impl $crate::head::Judging for $builder {
            fn with(
                self,
                options: $crate::head::Options,
                remove: Vec<String>,
                policy: impl FnOnce(proxyfix_policy::PolicyBuilder) -> proxyfix_policy::PolicyBuilder,
            ) -> Self {
                let mut builder = self;
                builder.policy = policy(builder.policy);
                (builder.options, builder.remove) = (options, remove);
                builder
            }
        }
    };
}

/// The builders, as a configuration sees them: all options at once.
#[cfg(feature = "config")]
pub(crate) trait Judging {
    fn with(
        self,
        options: Options,
        remove: Vec<String>,
        policy: impl FnOnce(PolicyBuilder) -> PolicyBuilder,
    ) -> Self;
}
pub(crate) use options;

/// Says at construction what is permitted and probably not wanted: one event for each finding, named
/// after it, `config.wide_trust` after `wide-trust`.
fn report_risks(policy: &Policy, accepted: &[Code]) {
    for finding in policy.lint().iter().filter(|finding| !accepted.contains(&finding.code())) {
        let name = format!("config.{}", finding.code()).replace('-', "_");
        if finding.severity() == Severity::Note {
            tracing::info!(event = name, "{finding}");
        } else {
            tracing::warn!(event = name, "{finding}");
        }
    }
}

/// Says once, and loudly, that the peer is missing: no header has any effect then.
fn report_missing_peer() {
    const MESSAGE: &str = "a request came without its peer, so that no forwarding header is believed; insert a \
        proxyfix::Peer into the extensions of each request, or, with axum, serve \
        into_make_service_with_connect_info::<SocketAddr>() through proxyfix-axum (said once)";
    static REPORTED: Once = Once::new();
    REPORTED.call_once(|| {
        tracing::error!(event = "fwd.no_peer", "{MESSAGE}");
        if !tracing::dispatcher::has_been_set() {
            // Nobody collects events, and this must not pass in silence; if nobody reads standard
            // error either, it passes.
            let _ = writeln!(std::io::stderr(), "proxyfix: {MESSAGE}");
        }
    });
}

/// Whether the fixes of the mount apply: the request came through a gateway or a trusted peer.
pub(crate) fn mount_may_change(parts: &Parts) -> bool {
    match parts.extensions.get::<Origin>() {
        Some(origin) => origin.through_gateway() || origin.ending().is_from_trusted_peer(),
        None => parts.extensions.get::<Mount>().is_some(),
    }
}

/// Publishes where the application is mounted, in all places that say so.
pub(crate) fn set_mount(parts: &mut Parts, mount: Mount) {
    let prefix: Prefix = mount.prefix().clone();
    if let Some(canonical) = parts.extensions.get::<Origin>().and_then(|origin| origin.removed.canonical()) {
        canonical.write_prefix(&mut parts.headers, &prefix);
    }
    if let Some(origin) = parts.extensions.get_mut::<Origin>() {
        origin.set_prefix(prefix);
    }
    parts.extensions.insert(mount);
}

/// What one place says of the host.
enum Said {
    Nothing,
    /// Something that is no host.
    Junk,
    Host(HostAndPort),
}

impl Said {
    fn read(policy: &Policy, text: &[u8]) -> Self {
        policy.host(text).map_or(Self::Junk, Self::Host)
    }

    fn host(&self) -> Option<&HostAndPort> {
        match self {
            Self::Host(host) => Some(host),
            Self::Nothing | Self::Junk => None,
        }
    }

    fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Whether this is the same authority as `other`, the default port of `scheme` written or not.
    fn says(&self, other: Option<&HostAndPort>, scheme: Scheme) -> bool {
        let plain = |port: &Option<Port>| port.filter(|port| *port != scheme.default_port());
        self.host()
            .zip(other)
            .is_some_and(|((a, a_port), (b, b_port))| a == b && plain(a_port) == plain(b_port))
    }
}

/// The hosts that a request names, before anything is believed.
struct Named {
    /// In the target.
    authority: Said,
    /// In the `Host` header.
    host: Said,
    /// Whether that has several lines.
    several: bool,
}

impl Named {
    fn read(policy: &Policy, parts: &Parts, scan: &Scan<'_>) -> Self {
        let authority =
            uri::authority(&parts.uri).map_or(Said::Nothing, |it| Said::read(policy, it.as_str().as_bytes()));
        let host = match scan.host {
            None => Said::Nothing,
            Some(line) if scan.hosts == 1 => Said::read(policy, line.as_bytes()),
            // Two lines are never a host, not even two equal ones (RFC 9112 section 3.2).
            Some(_) => Said::Junk,
        };
        Self { authority, host, several: scan.hosts > 1 }
    }

    /// The one that counts, if any: the target does (RFC 9112 section 3.2.2).
    fn effective(&self) -> Option<&HostAndPort> {
        match (&self.authority, &self.host) {
            _ if self.several => None,
            (Said::Nothing, host) => host.host(),
            (authority, _) => authority.host(),
        }
    }

    /// The request as it came in, or as an earlier fix left it.
    fn received(
        &self,
        parts: &Parts,
        others: bool,
        mount: Option<&Mount>,
        earlier: Option<&Origin>,
    ) -> Received {
        let mut host = self.effective().cloned();
        let scheme = match earlier {
            Some(earlier) => earlier.scheme(),
            None if others => parts.extensions.get::<Scheme>().copied().unwrap_or_default(),
            None => Scheme::default(),
        };
        // The `Host` that an earlier fix wrote leaves the default port out; it was stated all the same.
        if let (Some((name, port)), Some(earlier)) = (&mut host, earlier) {
            if earlier.host() == Some(name)
                && earlier.port() == port.filter(|it| *it != scheme.default_port())
            {
                *port = earlier.stated_port();
            }
        }
        let prefix = mount.map(Mount::prefix).cloned().unwrap_or_default();
        Received::default().with_scheme(scheme).with_host(host).with_prefix(prefix)
    }

    fn is_nothing(&self) -> bool {
        self.host.is_nothing() && self.authority.is_nothing()
    }

    /// Whether the host stands as received and an HTTP/2 request names another one in `Host` than in
    /// `:authority`: then nobody can say which (RFC 9113 section 8.3.1).
    fn contradicts_itself(&self, parts: &Parts, origin: &Decided) -> bool {
        parts.version >= Version::HTTP_2
            && origin.outcome(Field::Host) != Outcome::Believed
            && !self.host.is_nothing()
            && !self.authority.is_nothing()
            && !(self.host.says(self.effective(), origin.scheme())
                && self.authority.says(self.effective(), origin.scheme()))
    }

    /// Why there is no host, and the cure.
    fn flaw(&self, parts: &Parts) -> &'static str {
        let lines = || parts.headers.get_all(HOST).iter();
        let authority = || uri::authority(&parts.uri).map(|it| it.as_str().as_bytes());
        match (&self.authority, &self.host) {
            (_, Said::Junk) if lines().nth(1).is_some() => {
                "it has several Host lines; let the proxy send one"
            }
            (Said::Junk, _) | (_, Said::Junk) => {
                let mut texts = lines().map(HeaderValue::as_bytes).chain(authority());
                let underscored = |text: &[u8]| {
                    let name = text.split(|byte| *byte == b':').next().unwrap_or_default();
                    name.contains(&b'_') && Host::with_underscores(name).is_ok()
                };
                if texts.any(underscored) {
                    "it has an underscore; let the proxy send another one, or allow it with underscore_hosts()"
                } else {
                    "it is no host, with or without a port; let the proxy send the one that the client asked for"
                }
            }
            _ => "its target and its Host header name different ones; let the proxy send both alike",
        }
    }

    /// Whether target and `Host` name different hosts, and the request's own host counts.
    fn conflicts(&self, origin: &Decided) -> bool {
        origin.outcome(Field::Host) != Outcome::Believed
            && self.host.host().is_some()
            && self.authority.host().is_some()
            && !self.host.says(self.authority.host(), origin.scheme())
    }

    /// Reports what is wrong with a host that stands as received.
    fn report(&self, parts: &Parts, scan: &Scan<'_>, origin: &Decided) {
        if origin.outcome(Field::Host) == Outcome::Believed {
            return;
        }
        let last = || scan.host.map_or(&[][..], HeaderValue::as_bytes);
        match (&self.authority, &self.host) {
            (_, Said::Junk) if self.several => events::host_invalid(origin, "multiple", last()),
            (_, Said::Junk) => events::host_invalid(origin, "malformed", last()),
            (Said::Junk, _) => {
                let authority = uri::authority(&parts.uri).map_or("", Authority::as_str);
                events::host_invalid(origin, "malformed", authority.as_bytes());
            }
            _ if self.conflicts(origin) => events::host_conflict(origin),
            (Said::Nothing, Said::Nothing) if parts.version == Version::HTTP_11 => {
                events::host_invalid(origin, "missing", b"");
            }
            _ => {}
        }
    }

    /// Makes the target's authority say what `origin` says, to the byte.
    fn write(&self, parts: &mut Parts, origin: &Decided, absolute: bool) {
        if origin.host().is_some() && (absolute || !self.authority.is_nothing()) {
            write_target(&mut parts.uri, origin);
        } else if !self.authority.is_nothing() {
            uri::set_origin(&mut parts.uri, None);
        }
    }
}

/// What has to be done to make `Host` say what `origin` says, to the byte. `was_read` says that the received
/// host and port stood in this header.
fn host_line(scan: &Scan<'_>, origin: &Decided, was_read: bool) -> HostLine {
    let Some(host) = origin.host() else {
        return if scan.hosts == 0 { HostLine::Stays } else { HostLine::Goes };
    };
    let text = Text { host: host.as_bytes(), port: origin.port() };
    if let Some(line) = scan.host.filter(|_| scan.hosts == 1).map(HeaderValue::as_bytes) {
        let stated = [Field::Host, Field::Port].map(|field| origin.outcome(field));
        let stays = if was_read && !stated.contains(&Outcome::Believed) {
            text.was_read_from(line)
        } else {
            text.is(line)
        };
        if stays {
            return HostLine::Stays;
        }
    }
    // The header that stated it may hold it as it is written, and then its buffer does.
    let stated = scan.only(X_FORWARDED_HOST).filter(|line| text.is(line.as_bytes()));
    match stated.cloned().map_or_else(|| HeaderValue::try_from(text.to_vec()), Ok) {
        Ok(line) => HostLine::Is(line),
        Err(_) => HostLine::Stays,
    }
}

/// Makes the target absolute, for the host of `origin`, unless it is a bare authority or names no path.
fn write_target(target: &mut Uri, origin: &Decided) {
    let Some(host) = origin.host() else { return };
    let text = Text { host: host.as_bytes(), port: origin.port() };
    let scheme = origin.scheme();
    let authority = uri::authority(target);
    let wanted = authority.is_some() || (uri::has_path(target) && target.authority().is_none());
    let written = authority.is_some_and(|it| text.is(it.as_str().as_bytes()))
        && target.scheme_str() == Some(scheme.as_str());
    if wanted && !written {
        if let Ok(authority) = Authority::try_from(text.to_vec()) {
            uri::set_origin(target, Some((scheme, authority)));
        }
    }
}

/// What becomes of the `Host` header.
enum HostLine {
    Stays,
    Goes,
    Is(HeaderValue),
}

impl HostLine {
    #[inline]
    fn write(self, headers: &mut HeaderMap) {
        match self {
            Self::Stays => {}
            Self::Goes => drop(headers.remove(HOST)),
            // Fails only in a map as full as it can be, which no server builds.
            Self::Is(line) => drop(headers.try_insert(HOST, line)),
        }
    }
}

/// A host and its port as `Host` and a target write them.
struct Text<'a> {
    host: &'a [u8],
    port: Option<Port>,
}

impl Text<'_> {
    /// Whether `line`, from which host and port were read, is this text: then the digits of the port are.
    fn was_read_from(&self, line: &[u8]) -> bool {
        line.split_at_checked(self.host.len())
            .is_some_and(|(host, rest)| host == self.host && rest.first() == self.port.map(|_| &b':'))
    }

    /// Whether `octets` are this text, found out without writing it.
    fn is(&self, octets: &[u8]) -> bool {
        let Some((host, rest)) = octets.split_at_checked(self.host.len()) else { return false };
        let (mut left, digits) = match (rest, self.port) {
            ([], None) => return host == self.host,
            ([b':', digits @ ..], Some(port)) => (u32::from(port.get()), digits),
            _ => return false,
        };
        for digit in digits.iter().rev() {
            // A division by a constant; a leading zero is more digits than there are.
            let (rest, last) = (left / 10, left % 10);
            if left == 0 || u32::from(digit.wrapping_sub(b'0')) != last {
                return false;
            }
            left = rest;
        }
        left == 0 && host == self.host
    }

    /// The text, in as much memory as it takes: what is made of it keeps the rest.
    fn to_vec(&self) -> Vec<u8> {
        let Some(port) = self.port else { return self.host.to_vec() };
        let digits = port.get().ilog10() as usize + 1;
        let mut text = Vec::with_capacity(self.host.len() + 1 + digits);
        text.extend_from_slice(self.host);
        // Writing to a vector does not fail.
        let _ = write!(text, ":{port}");
        text
    }
}
