//! The fixes that a configuration describes.

use std::sync::Arc;
#[cfg(feature = "reload")]
use std::sync::atomic::{AtomicBool, Ordering};

use http::request::Parts;
use proxyfix_policy::lint::{Code, Severity};
use proxyfix_policy::{
    Error, Family, Field, Gate, Hop, IpNet, Peer, Policy, PolicyBuilder, Prefix, Topology, TrustedProxies,
};
use tower_layer::Layer;

use crate::config::{
    Config, FamilyKey, Files, FixKey, GateKey, GuardKeys, HeaderKey, Headers, Hidden, HopKeys, Hops,
    OnIncomplete, Secret, Set, SetFile, WriteKey,
};
use crate::head::{Judging, Options};
use crate::presets::Demand;
use crate::ranges::read_file;
use crate::{
    Canonical, Connection, CustomProxyFix, Fix, Fixed, Guard, Guarded, KeepOriginal, LighttpdCgiRootFix, Preset, Proof,
    ProxyFix, Ranges, ScriptNameStripper, Sentinels, Shadow,
};

/// The fixes of a [`Config`], which apply one after the other, and the [`Guard`] that belongs behind them.
///
/// | as a | it is |
/// | --- | --- |
/// | [`Layer`] | the fixes, and the guard behind them |
/// | [`Fix`], as for `proxyfix_axum::wrap` | the fixes alone; put `.layer(stack.guard().clone())` onto the router |
///
/// Clones share what is reloaded and what is counted.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct Stack {
    fixes: Arc<[AnyFix]>,
    policy: Policy,
    guard: Guard,
    shadow: Option<Shadow>,
    #[cfg(feature = "reload")]
    reload: Option<Watched>,
}

/// What replaces a trusted set, and what looks at its files.
#[cfg(feature = "reload")]
type Watched = (crate::Reload, Arc<[crate::Watch]>);

#[derive(Clone, Debug)]
enum AnyFix {
    Keep(KeepOriginal),
    Proxy(ProxyFix),
    #[cfg(feature = "reload")]
    Reloadable(crate::Reloadable),
    Custom(CustomProxyFix),
    Stripper(ScriptNameStripper),
    CgiRoot(LighttpdCgiRootFix),
    Sentinels(Sentinels),
}

impl Stack {
    /// What `proxy-fix` reads, whether the stack has one or not; with a reload, as it was at first.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The guard, for the place behind the fixes. It demands what `guard` and `on_incomplete` say, and without
    /// them nothing.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The policy in the shadow, and what it counted.
    pub fn shadow(&self) -> Option<&Shadow> {
        self.shadow.as_ref()
    }

    /// What replaces the trusted set, where the configuration has `reload`. Its files are watched until the last
    /// clone of this stack is dropped.
    #[cfg(feature = "reload")]
    #[cfg_attr(docsrs, doc(cfg(feature = "reload")))]
    pub fn reload(&self) -> Option<&crate::Reload> {
        self.reload.as_ref().map(|(reload, _)| reload)
    }
}

impl Fix for Stack {
    fn fix(&self, parts: &mut Parts) {
        self.fixes.fix(parts);
    }

    fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
        self.fixes.fix_from(connection, parts)
    }
}

impl AnyFix {
    fn any(&self) -> &dyn Fix {
        match self {
            Self::Keep(fix) => fix,
            Self::Proxy(fix) => fix,
            #[cfg(feature = "reload")]
            Self::Reloadable(fix) => fix,
            Self::Custom(fix) => fix,
            Self::Stripper(fix) => fix,
            Self::CgiRoot(fix) => fix,
            Self::Sentinels(fix) => fix,
        }
    }
}

impl Fix for AnyFix {
    fn fix(&self, parts: &mut Parts) {
        self.any().fix(parts);
    }

    fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
        self.any().fix_from(connection, parts)
    }
}

impl<S> Layer<S> for Stack {
    type Service = Fixed<Self, Guarded<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        Fixed::new(self.clone(), self.guard.layer(inner))
    }
}

/// Puts a place before an error.
fn at(place: impl Into<String>) -> impl FnOnce(Error) -> Error {
    move |error| error.within(place)
}

fn refuse<T>(place: impl Into<String>, reason: &str) -> Result<T, Error> {
    Err(Error::refused(reason).within(place))
}

impl Config {
    /// The stack, or why the configuration cannot mean what it says. Reads the files and variables that it
    /// names.
    pub fn build(&self) -> Result<Stack, Error> {
        self.assemble().map_err(|error| match &self.file {
            Some(file) => error.within(file.display().to_string()),
            None => error,
        })
    }

    fn assemble(&self) -> Result<Stack, Error> {
        // Also a policy that no fix uses has to be right.
        let policy = self.policy()?;
        let proof =
            self.secret.as_ref().map(|secret| self.proof(secret)).transpose().map_err(at("secret"))?;
        let policy = self.gated(self, policy, proof.as_ref())?;
        let shadow = self.shadow.as_deref().map(|shadow| self.shadow(shadow, proof.as_ref()));
        let shadow = shadow.transpose().map_err(at("shadow"))?;
        for (index, header) in self.remove.iter().flatten().enumerate() {
            crate::headers::own_header(header).map_err(at(format!("remove[{index}]")))?;
        }
        let mut options = Options {
            absolute: self.absolute_uri == Some(true),
            keep_original: false,
            canonical: self.write.map(|write| match write {
                WriteKey::XForwarded => Canonical::XForwarded,
                WriteKey::Forwarded => Canonical::Forwarded,
                WriteKey::XRealIp => Canonical::XRealIp,
            }),
            proofs: proof.map(|proof| (policy.gate(), proof)).into_iter().collect(),
            shadow: shadow.clone(),
            accepted: self.accepted()?,
            // The guard has to find the origin.
            unrecorded: false,
        };
        let keys = self.fixes.as_deref().unwrap_or(&[FixKey::ProxyFix]);
        let has_proxy_fix = keys.iter().any(|key| matches!(key, FixKey::ProxyFix));
        let mut fixes = Vec::new();
        if self.keep_original == Some(true) {
            fixes.push(AnyFix::Keep(KeepOriginal));
        }
        for (index, key) in keys.iter().enumerate() {
            let place = |name: &str| at(format!("fixes[{index}].{name}"));
            fixes.push(match key {
                FixKey::ProxyFix => {
                    let builder = ProxyFix::of(self.policy_builder()?);
                    AnyFix::Proxy(
                        self.with(builder, &mut options, |it| it).build().map_err(place("proxy-fix"))?,
                    )
                }
                FixKey::CustomProxyFix(headers) => {
                    schemes_alone(headers, &format!("fixes[{index}].custom-proxy-fix"))?;
                    let builder = CustomProxyFix::builder(self.nearest()?);
                    let mut unshadowed = Options { shadow: None, ..options.clone() };
                    // Whose policy the shadow is beside.
                    let options = if has_proxy_fix { &mut unshadowed } else { &mut options };
                    let builder = self.with(builder, options, |policy| {
                        let policy = underscores(policy, self.underscore_hosts);
                        headers.iter().fold(policy, |policy, (field, header)| single(policy, *field, header))
                    });
                    AnyFix::Custom(builder.build().map_err(place("custom-proxy-fix"))?)
                }
                FixKey::ScriptNameStripper(prefix) => {
                    let prefix = prefix.parse::<Prefix>().map_err(place("script-name-stripper"))?;
                    AnyFix::Stripper(ScriptNameStripper::to(prefix))
                }
                FixKey::LighttpdCgiRootFix(root) => {
                    let root = root.parse::<Prefix>().map_err(place("lighttpd-cgi-root-fix"))?;
                    AnyFix::CgiRoot(LighttpdCgiRootFix::at(root))
                }
            });
        }
        let judges = fixes.iter().any(|fix| matches!(fix, AnyFix::Proxy(_) | AnyFix::Custom(_)));
        let idle = [
            ("secret", self.secret.is_some()),
            ("shadow", self.shadow.is_some()),
            ("remove", self.remove.is_some()),
            ("write", self.write.is_some()),
            ("absolute_uri", options.absolute),
            ("guard", self.guard.is_some()),
            ("sentinels", self.sentinels == Some(true)),
        ];
        if let Some((key, _)) = idle.iter().find(|(_, stated)| *stated && !judges) {
            return refuse(
                *key,
                "no fix of the stack reads headers, so that this has no effect; add proxy-fix",
            );
        }
        if self.sentinels == Some(true) {
            fixes.push(AnyFix::Sentinels(Sentinels::new(&policy)));
        }
        #[cfg(feature = "reload")]
        let reload = self.reloaded(&mut fixes)?;
        #[cfg(not(feature = "reload"))]
        if self.reload.is_some() {
            return refuse(
                "reload",
                "this build cannot reload; it lacks the feature `reload` of the crate proxyfix",
            );
        }
        Ok(Stack {
            fixes: fixes.into(),
            policy,
            guard: self.guarded(judges)?,
            shadow,
            #[cfg(feature = "reload")]
            reload,
        })
    }

    /// The policy that `stated` describes with the gate of the proof, which has to be the one that it demands.
    fn gated(&self, stated: &Self, policy: Policy, proof: Option<&Proof>) -> Result<Policy, Error> {
        let gate: Option<Gate> = self.secret.as_ref().map(|secret| secret.gate.into());
        if let Some(header) =
            policy.demanded_headers().find(|it| !proof.is_some_and(|proof| proof.asks_for(it)))
        {
            let key = if stated.preset.is_some() { "preset" } else { "hops" };
            let reason = format!(
                "nothing is believed without a proof in {header:?}; state it as \
                 secret = {{ header = {header:?}, values = [\"…\"] }}"
            );
            return refuse(key, &reason);
        }
        if policy.gate() == Gate::AddressAndProof && gate == Some(Gate::AddressOrProof) {
            return refuse("secret.gate", "the preset asks for the proof besides the address: \"and\"");
        }
        Ok(policy.with_gate(gate.unwrap_or_default()))
    }

    /// The findings about the policy that are meant; those about the host where the guard has a list.
    fn accepted(&self) -> Result<Vec<Code>, Error> {
        let mut accepted = Vec::new();
        for (index, name) in self.accept.iter().flatten().enumerate() {
            accepted.extend(Code::ALL.iter().find(|code| code.as_str() == name));
            // What does not build cannot be meant.
            let codes = Finding::codes().filter(|code| *code != "does-not-build");
            if !codes.clone().any(|code| code == name) {
                let codes = codes.collect::<Vec<_>>().join(", ");
                return refuse(
                    format!("accept[{index}]"),
                    &format!("{name:?} is no finding; there are {codes}"),
                );
            }
        }
        if self.guard.as_ref().is_some_and(|guard| guard.allow_hosts.is_some()) {
            accepted.push(Code::HostUnrestricted);
        }
        Ok(accepted)
    }

    /// The options of a fix that judges; the shadow runs beside the first.
    fn with<B: Judging>(
        &self,
        builder: B,
        options: &mut Options,
        policy: impl FnOnce(PolicyBuilder) -> PolicyBuilder,
    ) -> B {
        let builder = builder.with(options.clone(), self.remove.clone().unwrap_or_default(), policy);
        options.shadow = None;
        builder
    }

    /// The policy that is built, with the key that is at fault where it does not build.
    fn policy(&self) -> Result<Policy, Error> {
        self.policy_builder()?.build().map_err(|error| {
            let fault = self
                .smaller()
                .into_iter()
                .find(|(_, smaller)| smaller.policy_builder().is_ok_and(|builder| builder.build().is_ok()));
            error.within(fault.map_or("trust".to_owned(), |(key, _)| key))
        })
    }

    /// The same policy without one of its keys.
    fn smaller(&self) -> Vec<(String, Self)> {
        let mut smaller = Vec::new();
        let mut without = |key: String, change: &dyn Fn(&mut Self)| {
            let mut config = self.clone();
            change(&mut config);
            smaller.push((key, config));
        };
        for field in Field::ALL {
            without(format!("counts.{}", field.as_str()), &|it| {
                it.counts.iter_mut().for_each(|counts| counts.retain(|key, _| *key != field));
            });
            without(format!("headers.{}", field.as_str()), &|it| {
                it.headers.iter_mut().for_each(|headers| headers.retain(|key, _| *key != field));
            });
        }
        without("counts".into(), &|it| it.counts = None);
        without("headers".into(), &|it| it.headers = None);
        without("fields".into(), &|it| it.fields = None);
        without("family".into(), &|it| it.family = None);
        without("hops".into(), &|it| it.hops = None);
        smaller
    }

    fn policy_builder(&self) -> Result<PolicyBuilder, Error> {
        let mut builder = match (&self.hops, &self.preset) {
            (Some(Hops::Listed(hops)), _) => {
                let beside = [
                    ("trust", self.trust.is_some()),
                    ("trust_file", self.trust_file.is_some()),
                    ("any_peer", self.any_peer == Some(true)),
                    ("preset", self.preset.is_some()),
                ];
                if let Some((key, _)) = beside.into_iter().find(|(_, stated)| *stated) {
                    return refuse(
                        key,
                        "the hops say who is trusted and what they write; state it with a hop",
                    );
                }
                Policy::builder(topology(hops)?)
            }
            (_, Some(name)) => {
                if self.family.is_some() {
                    return refuse("family", "the preset says which headers are read; leave one of them out");
                }
                if self.fields.is_some() {
                    return refuse("fields", "the preset says which fields are read; leave one of them out");
                }
                let preset: Preset = name.parse().map_err(at("preset"))?;
                preset.builder(self.trusted()?).map_err(at("preset"))?
            }
            _ => Policy::builder(self.trusted()?),
        };
        if let Some(family) = self.family.clone() {
            builder = builder.family(family.into());
        }
        if let Some(fields) = &self.fields {
            builder = builder.fields(fields.iter().copied());
        }
        for (field, count) in self.counts.iter().flatten() {
            builder = builder.count(*field, *count);
        }
        if let Some(headers) = &self.headers {
            schemes_alone(headers, "headers")?;
            builder = headers.iter().fold(builder, |it, (field, header)| single(it, *field, header));
        }
        Ok(underscores(builder, self.underscore_hosts))
    }

    fn trusted(&self) -> Result<TrustedProxies, Error> {
        let trusted = match (self.any_peer, &self.hops) {
            (Some(true), _) => TrustedProxies::dangerously_trust_every_peer(),
            _ => union(("trust", self.trust.as_ref()), ("trust_file", self.trust_file.as_ref()))?,
        };
        match self.hops {
            Some(Hops::Count(hops)) => trusted.hops(hops).map_err(at("hops")),
            _ => Ok(trusted),
        }
    }

    /// Who may be the peer: of named hops, the first.
    fn nearest(&self) -> Result<TrustedProxies, Error> {
        match &self.hops {
            Some(Hops::Listed(_)) => Ok(self.policy()?.trusted().clone()),
            _ => self.trusted(),
        }
    }

    fn proof(&self, secret: &Secret) -> Result<Proof, Error> {
        let values = self.values(secret)?;
        if secret.header.eq_ignore_ascii_case(FRONT_DOOR) {
            Proof::front_door(values)
        } else {
            Proof::secret(&secret.header, values)
        }
    }

    /// The same with another secret, for what holds whichever it is.
    fn with_some_secret(&self) -> Self {
        let mut config = self.clone();
        if let Some(secret) = &mut config.secret {
            (secret.env, secret.files) = (Vec::new(), Vec::new());
            secret.values = vec![Hidden("00000000-0000-0000-0000-000000000000".to_owned())];
        }
        config
    }

    /// The secrets, wherever they are.
    fn values(&self, secret: &Secret) -> Result<Vec<String>, Error> {
        let variable = |name: &String| {
            let given = self.variables.as_ref().and_then(|variables| variables.get(name));
            given.map(|value| value.0.clone()).or_else(|| std::env::var(name).ok())
        };
        let mut values: Vec<String> = secret.values.iter().map(|value| value.0.clone()).collect();
        values.extend(secret.env.iter().filter_map(variable).filter(|value| !value.is_empty()));
        for (index, file) in secret.files.iter().enumerate() {
            let place = || format!("files[{index}]: {}", file.display());
            let octets = read_file(file).map_err(|error| unreadable(&error).within(place()))?;
            let text = String::from_utf8(octets).or_else(|_| refuse(place(), "it is not UTF-8"))?;
            values.push(
                text.strip_suffix('\n').map_or(&*text, |it| it.strip_suffix('\r').unwrap_or(it)).to_owned(),
            );
        }
        if values.is_empty() && !secret.env.is_empty() {
            return refuse(
                "env",
                &format!("no variable holds a secret: {} is not set", secret.env.join(", ")),
            );
        }
        Ok(values)
    }

    fn shadow(&self, shadow: &Self, proof: Option<&Proof>) -> Result<Shadow, Error> {
        let none_of = [
            ("secret", shadow.secret.is_some()),
            ("fixes", shadow.fixes.is_some()),
            ("remove", shadow.remove.is_some()),
            ("write", shadow.write.is_some()),
            ("absolute_uri", shadow.absolute_uri.is_some()),
            ("keep_original", shadow.keep_original.is_some()),
            ("on_incomplete", shadow.on_incomplete.is_some()),
            ("guard", shadow.guard.is_some()),
            ("sentinels", shadow.sentinels.is_some()),
            ("accept", shadow.accept.is_some()),
            ("shadow", shadow.shadow.is_some()),
            ("reload", shadow.reload.is_some()),
        ];
        if let Some((key, _)) = none_of.into_iter().find(|(_, stated)| *stated) {
            return refuse(
                key,
                "a shadow changes nothing; it takes only the keys that say who is trusted and what is read",
            );
        }
        // It is shown the same proof.
        Ok(Shadow::new(self.gated(shadow, shadow.policy()?, proof)?))
    }

    fn guarded(&self, judges: bool) -> Result<Guard, Error> {
        let keys = self.guard.as_ref();
        let limits = match keys {
            None => (usize::MAX, usize::MAX),
            Some(GuardKeys { limits: Some(limits), .. }) => (limits.bytes, limits.lines),
            Some(_) => Guard::LIMITS,
        };
        let mut guard = Guard::new().limits(limits.0, limits.1).map_err(at("guard.limits"))?;
        let reject = judges && self.on_incomplete == Some(OnIncomplete::Reject);
        let Some(keys) = keys else { return Ok(if reject { guard.reject_incomplete() } else { guard }) };
        let asked = |key: Option<bool>| key == Some(true);
        if (asked(keys.reject_incomplete) || asked(keys.strict))
            && self.on_incomplete == Some(OnIncomplete::Proceed)
        {
            return refuse("on_incomplete", "\"proceed\", and the guard rejects; leave one of them out");
        }
        if reject || asked(keys.reject_incomplete) {
            guard = guard.reject_incomplete();
        }
        if asked(keys.strict) {
            guard = guard.strict();
        }
        if asked(keys.require_peer) {
            guard = guard.require_peer();
        }
        if asked(keys.require_https) {
            guard = guard.require_https();
        }
        match &keys.allow_hosts {
            Some(hosts) => guard.allow_hosts(hosts).map_err(at("guard.allow_hosts")),
            None => Ok(guard),
        }
    }
}

/// Whose id is no secret.
const FRONT_DOOR: &str = "X-Azure-FDID";

impl From<GateKey> for Gate {
    fn from(key: GateKey) -> Self {
        match key {
            GateKey::And => Self::AddressAndProof,
            GateKey::Or => Self::AddressOrProof,
        }
    }
}

fn underscores(builder: PolicyBuilder, stated: Option<bool>) -> PolicyBuilder {
    if stated == Some(true) { builder.underscore_hosts() } else { builder }
}

/// Refuses `https_when` where it means nothing, in the table of this key.
fn schemes_alone(headers: &Headers, key: &str) -> Result<(), Error> {
    match headers.iter().find(|(field, header)| **field != Field::Proto && header.https_when.is_some()) {
        Some((field, _)) => {
            refuse(format!("{key}.{}", field.as_str()), "https_when is of the field proto alone; take it out")
        }
        None => Ok(()),
    }
}

fn single(builder: PolicyBuilder, field: Field, header: &HeaderKey) -> PolicyBuilder {
    match &header.https_when {
        Some(token) if field == Field::Proto => builder.https_when(&header.name, token),
        _ => builder.single(field, &header.name),
    }
}

fn topology(keys: &[HopKeys]) -> Result<Topology, Error> {
    let hops = keys.iter().enumerate().map(|(index, keys)| {
        let place = |key: &str| format!("hops[{index}].{key}");
        let who = union((&place("who"), keys.who.as_ref()), (&place("who_file"), keys.who_file.as_ref()))?;
        if let Some(name) = &keys.preset {
            let stated = [
                ("family", keys.family.is_some()),
                ("fields", keys.fields.is_some()),
                ("entries", keys.entries.is_some()),
            ];
            if let Some((key, _)) = stated.into_iter().find(|(_, stated)| *stated) {
                return refuse(place(key), "the preset says what the hop writes; leave one of them out");
            }
            let preset: Preset = name.parse().map_err(at(place("preset")))?;
            return preset.hop(&keys.name, who).map_err(at(place("preset")));
        }
        let mut hop = Hop::new(&keys.name, who);
        if let Some(family) = keys.family.clone() {
            hop = hop.family(Family::from(family));
        }
        if let Some(fields) = &keys.fields {
            hop = hop.fields(fields.iter().copied());
        }
        Ok(hop.entries(keys.entries.unwrap_or(1)))
    });
    Topology::new(hops.collect::<Result<Vec<_>, Error>>()?).map_err(at("hops"))
}

/// Who is trusted, by what stands here and in files.
fn union(
    (key, set): (&str, Option<&Set>),
    (files_key, files): (&str, Option<&Files>),
) -> Result<TrustedProxies, Error> {
    let listed = match set {
        None => TrustedProxies::none(),
        Some(Set::Text(text)) => text.parse().map_err(at(key))?,
        Some(Set::Entries(entries)) => TrustedProxies::from_entries(entries).map_err(at(key))?,
    };
    let Some(Files(files)) = files else { return Ok(listed) };
    let read = files.iter().map(|file| file.read_file().map_err(at(file.path.display().to_string())));
    let sets = std::iter::once(Ok(listed)).chain(read).collect::<Result<Vec<_>, _>>();
    sets.and_then(|sets| all_of(&sets)).map_err(at(files_key))
}

fn unreadable(error: &std::io::Error) -> Error {
    Error::refused(&format!("the file cannot be read: {error}"))
}

/// The set that trusts whom any of these trusts.
fn all_of(sets: &[TrustedProxies]) -> Result<TrustedProxies, Error> {
    let networks: Vec<IpNet> = sets.iter().flat_map(TrustedProxies::networks).copied().collect();
    let all = TrustedProxies::new(networks)?;
    Ok(if sets.iter().any(TrustedProxies::trusts_local_sockets) { all.local_sockets() } else { all })
}

impl SetFile {
    fn read_file(&self) -> Result<TrustedProxies, Error> {
        self.read(&read_file(&self.path).map_err(|error| unreadable(&error))?)
    }

    /// The set that a file holds: as text over lines, an include of nginx, or as a provider publishes it.
    fn read(&self, octets: &[u8]) -> Result<TrustedProxies, Error> {
        let text = std::str::from_utf8(octets).map_err(|_| Error::refused("it is not UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let published = self.part.is_some() || text.trim_start().starts_with(['{', '[', '<']);
        if published && cfg!(feature = "ranges") {
            #[cfg(feature = "ranges")]
            return Ranges::detect(octets, self.part.as_deref())?.trusted();
        }
        if published {
            return Err(Error::refused(
                "this build reads lists only, an entry a line; it lacks the feature `ranges` of the crate \
                 proxyfix, which reads what providers publish",
            ));
        }
        if text.lines().any(|line| line.trim_start().starts_with("set_real_ip_from")) {
            return Ranges::from_text(octets)?.trusted();
        }
        TrustedProxies::from_lines(text)
    }
}

#[cfg(feature = "reload")]
impl Config {
    /// Makes the `proxy-fix` of the stack replaceable, and watches the files.
    fn reloaded(&self, stack: &mut [AnyFix]) -> Result<Option<Watched>, Error> {
        let Some(keys) = &self.reload else { return Ok(None) };
        let Some(interval) = interval(&keys.interval) else {
            let reason = format!("{:?}: expected a time such as \"30s\", \"5m\" or \"1h\"", keys.interval);
            return refuse("reload.interval", &reason);
        };
        let Some(Files(files)) = self.trust_file.as_ref().filter(|_| self.any_peer != Some(true)) else {
            return refuse("reload", "there is no file to look at; name it with trust_file");
        };
        if stack.iter().any(|fix| matches!(fix, AnyFix::Custom(_))) {
            return refuse(
                "reload",
                "the trusted set of a custom-proxy-fix cannot be replaced; read its headers with proxy-fix, under \
                 the key headers",
            );
        }
        let mut proxies = stack.iter_mut().filter(|fix| matches!(fix, AnyFix::Proxy(_)));
        let (Some(place), None) = (proxies.next(), proxies.next()) else {
            return refuse("reload", "the stack needs one proxy-fix, whose trusted set is replaced");
        };
        let AnyFix::Proxy(fix) = place else { return Ok(None) };
        let (reloadable, reload) = crate::Reloadable::new(fix.clone());
        *place = AnyFix::Reloadable(reloadable);

        let listed = union(("trust", self.trust.as_ref()), ("", None))?;
        let files: Arc<[Watchable]> = files.iter().cloned().map(Watchable::new).collect();
        let watches = files.iter().enumerate().map(|(changed, Watchable { file, .. })| {
            let (files, listed) = (Arc::clone(&files), listed.clone());
            reload.watch_file_with(&file.path, interval, move |octets| {
                let sets = files.iter().enumerate();
                let sets = sets.map(|(index, file)| file.read((index == changed).then_some(octets)));
                let sets = std::iter::once(Ok(listed.clone())).chain(sets);
                all_of(&sets.collect::<Result<Vec<_>, _>>()?)
            })
        });
        let watches = watches.collect::<Result<_, _>>().map_err(at("trust_file"))?;
        Ok(Some((reload, watches)))
    }
}

/// A file that is watched.
#[cfg(feature = "reload")]
pub(crate) struct Watchable {
    file: SetFile,
    /// Whether it ever named somebody.
    named: AtomicBool,
}

#[cfg(feature = "reload")]
impl Watchable {
    pub(crate) fn new(file: SetFile) -> Self {
        Self { file, named: AtomicBool::new(false) }
    }

    /// The set that the file holds now, or in these octets; one that became empty is taken for a mistake.
    pub(crate) fn read(&self, octets: Option<&[u8]>) -> Result<TrustedProxies, Error> {
        let set = octets.map_or_else(|| self.file.read_file(), |octets| self.file.read(octets))?;
        let somebody = !set.trusts_nobody();
        if self.named.fetch_or(somebody, Ordering::Relaxed) && !somebody {
            let reason = "it trusts nobody any more; take it out of trust_file if that is meant";
            return refuse(self.file.path.display().to_string(), reason);
        }
        Ok(set)
    }
}

/// `30s`, `5m`, `1h`; never 0.
#[cfg(feature = "reload")]
fn interval(text: &str) -> Option<std::time::Duration> {
    let (number, seconds) = match text.strip_suffix('s') {
        Some(number) => (number, 1),
        None => text.strip_suffix('m').map(|it| (it, 60)).or(text.strip_suffix('h').map(|it| (it, 3600)))?,
    };
    let number = number.trim().parse::<u32>().ok().filter(|number| *number > 0)?;
    Some(std::time::Duration::from_secs(u64::from(number) * seconds))
}

/// What a configuration permits, or says, and probably should not: see [`Config::lint`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name: those of [`lint`](crate::lint), and those of [`Config::lint`].
    pub code: &'static str,
    /// The key that it is about.
    pub place: String,
    /// What it is, what follows from it, and the cure.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}] {}: {}", self.severity, self.code, self.place, self.message)
    }
}

impl Config {
    /// What [`Policy::lint`] finds in the policy and in its shadow, and besides:
    ///
    /// | finding | severity | what it says |
    /// | --- | --- | --- |
    /// | `does-not-build` | error | the configuration cannot mean what it says |
    /// | `secret-missing` | error | no variable holds the secret, or its file cannot be read |
    /// | `field-not-carried` | warning | a field is named that no header of the family says |
    /// | `trust-not-read` | warning | `any_peer` beside `trust` or `trust_file` |
    /// | `inline-secret` | warning | a secret stands in the file |
    /// | `secret-not-asked-for` | warning | other customers of the provider connect from the same machines |
    /// | `policy-not-used` | warning | keys of a policy in a stack without `proxy-fix` |
    ///
    /// A host that is read is no finding where `guard.allow_hosts` says which are served, and what the key
    /// `accept` names is none; it cannot name `does-not-build`.
    pub fn lint(&self) -> Vec<Finding> {
        let missing =
            self.secret.as_ref().and_then(|secret| self.values(secret).err()).map(|it| it.within("secret"));
        let mut findings: Vec<Finding> = missing.iter().map(Finding::from).collect();
        for finding in &mut findings {
            finding.code = "secret-missing";
        }
        let stack = match if missing.is_some() { self.with_some_secret().assemble() } else { self.assemble() }
        {
            Ok(stack) => stack,
            Err(error) => {
                findings.insert(0, Finding::from(&error));
                return findings;
            }
        };
        findings.extend(self.own_findings().map(|(code, place, message)| {
            let message = message.to_owned();
            Finding { severity: Severity::Warning, code, place, message }
        }));
        let customs = stack.fixes.iter().filter_map(|fix| match fix {
            AnyFix::Custom(fix) => Some(fix.policy()),
            _ => None,
        });
        let mut add = |policy: &Policy, config: &Self, prefix: &str| {
            for found in policy.lint() {
                let finding = Finding {
                    severity: found.severity(),
                    code: found.code().as_str(),
                    place: format!("{prefix}{}", config.place_of(&found)),
                    message: found.message().to_owned(),
                };
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        };
        std::iter::once(&stack.policy).chain(customs).for_each(|policy| add(policy, self, ""));
        if let (Some(shadow), Some(config)) = (&stack.shadow, &self.shadow) {
            add(shadow.policy(), config, "shadow.");
        }
        let hosts_allowed = self.guard.as_ref().is_some_and(|guard| guard.allow_hosts.is_some());
        findings.retain(|it| {
            let of_host = it.code == Code::HostUnrestricted.as_str();
            let moot = of_host && (hosts_allowed || it.place.starts_with("shadow."));
            !moot && !self.accept.iter().flatten().any(|code| code == it.code)
        });
        findings
    }

    /// Whether a field is named that no header of the family says. Of hops that does not build.
    fn names_more_than_is_carried(&self) -> bool {
        let headers = self.headers.as_ref();
        let carries = |field: &Field| match &self.family {
            _ if headers.is_some_and(|headers| headers.contains_key(field)) => true,
            None | Some(FamilyKey::XForwarded) => true,
            Some(FamilyKey::Forwarded) => matches!(field, Field::For | Field::Proto | Field::Host),
            Some(FamilyKey::Single(_) | FamilyKey::SingleWithPort(_)) => *field == Field::For,
        };
        !self.fields.iter().flatten().all(carries)
    }

    /// What is found outside of the policy.
    fn own_findings(&self) -> impl Iterator<Item = (&'static str, String, &'static str)> {
        let set = if self.trust.is_some() { "trust" } else { "trust_file" };
        let set_not_read = self.any_peer == Some(true) && (self.trust.is_some() || self.trust_file.is_some());
        let inline = self.secret.as_ref().is_some_and(|secret| {
            !secret.values.is_empty() && !secret.header.eq_ignore_ascii_case(FRONT_DOOR)
        });
        let hops = match &self.hops {
            Some(Hops::Listed(hops)) => hops.as_slice(),
            _ => &[],
        };
        let hops = hops.iter().enumerate().map(|(index, hop)| (format!("hops[{index}].preset"), &hop.preset));
        let shared = std::iter::once(("preset".to_owned(), &self.preset)).chain(hops).find(|(_, preset)| {
            let preset = preset.as_deref().and_then(Preset::from_name);
            let asked = self.secret.as_ref().is_some_and(|secret| secret.gate == GateKey::And);
            !asked && preset.is_some_and(|it| it.facts().demands.contains(&Demand::Secret))
        });
        let fixes = self.fixes.as_deref().unwrap_or(&[FixKey::ProxyFix]);
        let unused = [
            ("preset", self.preset.is_some()),
            ("family", self.family.is_some()),
            ("fields", self.fields.is_some()),
            ("counts", self.counts.is_some()),
            ("headers", self.headers.is_some()),
        ];
        // A custom-proxy-fix believes the same peers.
        let of_peers = [
            ("trust", self.trust.is_some()),
            ("trust_file", self.trust_file.is_some()),
            ("any_peer", self.any_peer == Some(true)),
            ("hops", self.hops.is_some()),
            ("on_incomplete", self.on_incomplete == Some(OnIncomplete::Reject)),
        ];
        let custom = fixes.iter().any(|fix| matches!(fix, FixKey::CustomProxyFix(_)));
        let unused = unused.into_iter().chain(of_peers.into_iter().filter(|_| !custom));
        let unused = unused.filter(|_| !fixes.iter().any(|fix| matches!(fix, FixKey::ProxyFix)));
        let unused = unused.into_iter().find(|(_, stated)| *stated);
        let shadow = self.shadow.as_ref().is_some_and(|shadow| shadow.names_more_than_is_carried());
        let not_carried = if self.names_more_than_is_carried() {
            Some("fields")
        } else {
            shadow.then_some("shadow.fields")
        };
        [
            not_carried.map(|place| {
                let message = "the family has no header for one of these, so that it is not read; take it out, or \
                               name its header with the key headers";
                ("field-not-carried", place.to_owned(), message)
            }),
            set_not_read.then(|| {
                let message = "every peer is trusted, so that this is not read; remove any_peer";
                ("trust-not-read", set.to_owned(), message)
            }),
            inline.then(|| {
                let message = "whoever reads the configuration knows the secret; take it from secret.env or \
                               secret.files";
                ("inline-secret", "secret.values".to_owned(), message)
            }),
            shared.map(|(place, _)| {
                let message = "other customers of the provider connect from the same machines; let your account \
                               add a secret to each request, and ask for it with the key secret and the gate \"and\"";
                ("secret-not-asked-for", place, message)
            }),
            unused.map(|(key, _)| {
                let message = "no proxy-fix is in fixes, and no other fix reads this; add it";
                ("policy-not-used", key.to_owned(), message)
            }),
        ]
        .into_iter()
        .flatten()
    }

    /// The key that a finding about the policy is about.
    fn place_of(&self, finding: &proxyfix_policy::lint::Finding) -> String {
        let hop = match (&self.hops, finding.hop()) {
            (Some(Hops::Listed(hops)), Some(name)) => hops.iter().position(|hop| hop.name == name),
            _ => None,
        };
        match (hop, finding.code()) {
            (Some(index), _) => format!("hops[{index}].who"),
            (None, Code::TrustAny) => "any_peer".to_owned(),
            (None, Code::HopsBeyondSet) if self.hops.is_some() => "hops".to_owned(),
            (None, Code::HopsBeyondSet | Code::CountBeyondTrust) => "counts".to_owned(),
            (None, Code::HostUnrestricted) => "guard.allow_hosts".to_owned(),
            (None, _) if self.trust.is_none() && self.trust_file.is_some() => "trust_file".to_owned(),
            (None, _) => "trust".to_owned(),
        }
    }
}

impl Finding {
    /// The codes that a finding can have.
    pub fn codes() -> impl Iterator<Item = &'static str> + Clone {
        let own = [
            "does-not-build",
            "secret-missing",
            "field-not-carried",
            "trust-not-read",
            "inline-secret",
            "secret-not-asked-for",
            "policy-not-used",
        ];
        own.into_iter().chain(Code::ALL.iter().map(|code| code.as_str()))
    }
}

/// What does not build, as a finding.
impl From<&Error> for Finding {
    fn from(error: &Error) -> Self {
        Self {
            severity: Severity::Error,
            code: "does-not-build",
            place: error.places().collect::<Vec<_>>().join(": "),
            message: error.reason().to_string(),
        }
    }
}
