//! A stack of fixes from a description: command-line flags or JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::request::Parts;
use proxyfix::{
    CustomProxyFix, Error, Family, Field, Fix, LighttpdCgiRootFix, Origin, Prefix, ProxyFix,
    ScriptNameStripper, TrustedProxies,
};
use serde::Deserialize;
use serde_json::Value;

/// Who is trusted, what is read, and what follows from an incomplete origin.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PolicySpec {
    pub(crate) trust: Option<String>,
    pub(crate) any_peer: Option<bool>,
    pub(crate) hops: Option<u8>,
    pub(crate) family: Option<FamilySpec>,
    pub(crate) fields: Option<Vec<FieldSpec>>,
    pub(crate) counts: Option<BTreeMap<FieldSpec, u8>>,
    pub(crate) on_incomplete: Option<OnIncomplete>,
}

/// Which header family is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FamilySpec {
    XForwarded,
    Forwarded,
    Single(String),
}

/// A field by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FieldSpec {
    For,
    Proto,
    Host,
    Port,
    Prefix,
}

impl From<FieldSpec> for Field {
    fn from(spec: FieldSpec) -> Self {
        match spec {
            FieldSpec::For => Self::For,
            FieldSpec::Proto => Self::Proto,
            FieldSpec::Host => Self::Host,
            FieldSpec::Port => Self::Port,
            FieldSpec::Prefix => Self::Prefix,
        }
    }
}

/// What a policy answers where nobody knows the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnIncomplete {
    /// Goes on without a client.
    #[default]
    Proceed,
    /// Answers 400.
    Reject,
}

/// The same as flags.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PolicyArgs {
    /// Who is trusted: addresses, networks and the names loopback, private, link-local, unix, separated by
    /// commas.
    #[arg(long, value_name = "SET")]
    trust: Option<String>,
    /// Trusts every peer, whoever it is, for --hops hops: only where nothing but your proxies can connect.
    #[arg(long, conflicts_with = "trust")]
    any_peer: bool,
    /// How many proxies you operate that add to the header.
    #[arg(long, value_name = "N")]
    hops: Option<u8>,
    /// The header family that is read: x-forwarded, forwarded, or the name of one header that holds the
    /// client's address.
    #[arg(long, value_name = "FAMILY", default_value = "x-forwarded")]
    family: String,
    /// The fields that are read: for, proto, host, port, prefix.
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',', value_parser = field, default_values = ["for", "proto"])]
    fields: Vec<FieldSpec>,
    /// Takes the n-th value of a field from the right, as werkzeug's ProxyFix does; repeatable.
    #[arg(long, value_name = "FIELD=N", value_parser = count)]
    count: Vec<(FieldSpec, u8)>,
    /// What follows where nobody knows the client.
    #[arg(long, value_enum, default_value = "proceed")]
    on_incomplete: OnIncomplete,
    /// The fixes, in the order in which they apply; repeatable: proxy-fix,
    /// script-name-stripper[=PREFIX], lighttpd-cgi-root-fix[=ROOT], custom-proxy-fix=FIELD:HEADER,…
    #[arg(long = "fix", value_name = "FIX", value_parser = fix, default_value = "proxy-fix")]
    fixes: Vec<FixSpec>,
}

fn field(text: &str) -> Result<FieldSpec, String> {
    FieldSpec::deserialize(Value::from(text)).map_err(|_| UNKNOWN_FIELD.to_owned())
}

fn count(text: &str) -> Result<(FieldSpec, u8), String> {
    let (name, number) = text.split_once('=').ok_or("expected FIELD=N, such as for=1")?;
    let number = number.parse().map_err(|_| format!("{number:?} is not a count from 0 to 32"))?;
    Ok((field(name)?, number))
}

fn fix(text: &str) -> Result<FixSpec, String> {
    let (name, argument) = text.split_once('=').map_or((text, None), |(name, it)| (name, Some(it)));
    let value = match (name, argument) {
        (_, None) => Value::from(name),
        ("custom-proxy-fix", Some(pairs)) => {
            let pairs = pairs.split(',').map(|pair| {
                let (field, header) = pair.split_once(':')?;
                Some((field.to_owned(), Value::from(header)))
            });
            let pairs: Option<serde_json::Map<_, _>> = pairs.collect();
            serde_json::json!({ name: pairs.ok_or("expected FIELD:HEADER, such as host:x-fhost")? })
        }
        (_, Some(argument)) => serde_json::json!({ name: argument }),
    };
    FixSpec::read(&value)
}

impl PolicyArgs {
    /// The fixes that the flags describe.
    pub(crate) fn stack(&self) -> Result<Stack, String> {
        let policy = PolicySpec {
            trust: self.trust.clone(),
            any_peer: Some(self.any_peer),
            hops: self.hops,
            family: Some(match self.family.as_str() {
                "x-forwarded" => FamilySpec::XForwarded,
                "forwarded" => FamilySpec::Forwarded,
                header => FamilySpec::Single(header.to_owned()),
            }),
            fields: Some(self.fields.clone()),
            counts: Some(self.count.iter().copied().collect()),
            on_incomplete: Some(self.on_incomplete),
        };
        Stack::build(&policy, &self.fixes).map_err(|error| error.to_string())
    }
}

/// One fix of a stack.
#[derive(Clone, Debug)]
pub(crate) enum FixSpec {
    ProxyFix,
    ScriptNameStripper(String),
    LighttpdCgiRootFix(String),
    CustomProxyFix(Vec<(FieldSpec, String)>),
}

const UNKNOWN_FIELD: &str = "expected one of for, proto, host, port, prefix";
const UNKNOWN_FIX: &str = "expected \"proxy-fix\", {\"script-name-stripper\": \"\"}, \
                           {\"lighttpd-cgi-root-fix\": \"\"} or {\"custom-proxy-fix\": {\"host\": \"x-fhost\"}}";

impl FixSpec {
    /// Reads the list of fixes.
    pub(crate) fn read_all(fixes: &Value) -> Result<Vec<Self>, String> {
        let fixes = fixes.as_array().ok_or("fixes: expected a list")?;
        fixes
            .iter()
            .enumerate()
            .map(|(index, fix)| Self::read(fix).map_err(|error| format!("fix {}, {fix}: {error}", index + 1)))
            .collect()
    }

    fn read(fix: &Value) -> Result<Self, String> {
        match fix {
            Value::String(name) => match name.as_str() {
                "proxy-fix" => Ok(Self::ProxyFix),
                "script-name-stripper" => Ok(Self::ScriptNameStripper(String::new())),
                "lighttpd-cgi-root-fix" => Ok(Self::LighttpdCgiRootFix(String::new())),
                _ => Err(UNKNOWN_FIX.to_owned()),
            },
            Value::Object(object) => {
                let mut pairs = object.iter();
                match (pairs.next().map(|(name, argument)| (name.as_str(), argument)), pairs.next()) {
                    (Some(("script-name-stripper", Value::String(prefix))), None) => {
                        Ok(Self::ScriptNameStripper(prefix.clone()))
                    }
                    (Some(("lighttpd-cgi-root-fix", Value::String(root))), None) => {
                        Ok(Self::LighttpdCgiRootFix(root.clone()))
                    }
                    (Some(("custom-proxy-fix", Value::Object(headers))), None) => headers
                        .iter()
                        .map(|(name, header)| {
                            let header = header.as_str().ok_or("expected the name of a header")?;
                            Ok((field(name)?, header.to_owned()))
                        })
                        .collect::<Result<_, String>>()
                        .map(Self::CustomProxyFix),
                    _ => Err(UNKNOWN_FIX.to_owned()),
                }
            }
            _ => Err(UNKNOWN_FIX.to_owned()),
        }
    }
}

/// Fixes that apply one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    fixes: Vec<AnyFix>,
    /// Judges the connection alone, for stacks in which no fix judges the headers.
    connection: ProxyFix,
    on_incomplete: OnIncomplete,
}

#[derive(Clone, Debug)]
enum AnyFix {
    Proxy(ProxyFix),
    Custom(CustomProxyFix),
    Stripper(ScriptNameStripper),
    CgiRoot(LighttpdCgiRootFix),
}

impl Stack {
    pub(crate) fn build(policy: &PolicySpec, fixes: &[FixSpec]) -> Result<Self, Error> {
        let fixes = fixes
            .iter()
            .map(|fix| {
                Ok(match fix {
                    FixSpec::ProxyFix => AnyFix::Proxy(proxy_fix(policy)?),
                    FixSpec::ScriptNameStripper(prefix) => {
                        AnyFix::Stripper(ScriptNameStripper::to(prefix.parse::<Prefix>()?))
                    }
                    FixSpec::LighttpdCgiRootFix(root) => {
                        AnyFix::CgiRoot(LighttpdCgiRootFix::at(root.parse::<Prefix>()?))
                    }
                    FixSpec::CustomProxyFix(headers) => {
                        let builder = CustomProxyFix::builder(trusted(policy)?);
                        let builder = headers.iter().fold(builder, |builder, (field, header)| {
                            builder.field(Field::from(*field), header)
                        });
                        AnyFix::Custom(builder.build()?)
                    }
                })
            })
            .collect::<Result<_, Error>>()?;
        // A policy that no fix uses has to be right all the same.
        let _ = proxy_fix(policy)?;
        let connection = ProxyFix::builder(trusted(policy)?).fields([]).build()?;
        Ok(Self { fixes, connection, on_incomplete: policy.on_incomplete.unwrap_or_default() })
    }

    /// Applies the fixes.
    pub(crate) fn apply(&self, parts: &mut Parts) {
        for fix in &self.fixes {
            match fix {
                AnyFix::Proxy(fix) => fix.fix(parts),
                AnyFix::Custom(fix) => fix.fix(parts),
                AnyFix::Stripper(fix) => fix.fix(parts),
                AnyFix::CgiRoot(fix) => fix.fix(parts),
            }
        }
    }

    /// The origin that the fixes recorded, or the connection's own where none of them judges.
    pub(crate) fn origin<'a>(&self, parts: &'a Parts) -> Cow<'a, Origin> {
        if let Some(origin) = parts.extensions.get::<Origin>() {
            return Cow::Borrowed(origin);
        }
        let mut connection = parts.clone();
        self.connection.fix(&mut connection);
        Cow::Owned(connection.extensions.remove::<Origin>().expect("ProxyFix records an origin"))
    }

    /// The status with which the policy rejects a request of this origin.
    pub(crate) fn rejects(&self, origin: &Origin) -> Option<u16> {
        (self.on_incomplete == OnIncomplete::Reject && origin.ending().is_incomplete()).then_some(400)
    }
}

fn trusted(policy: &PolicySpec) -> Result<TrustedProxies, Error> {
    let trusted = match (policy.any_peer, &policy.trust) {
        (Some(true), _) => TrustedProxies::dangerously_trust_every_peer(),
        (_, Some(text)) => text.parse()?,
        (_, None) => TrustedProxies::none(),
    };
    match policy.hops {
        Some(hops) => trusted.hops(hops),
        None => Ok(trusted),
    }
}

fn proxy_fix(policy: &PolicySpec) -> Result<ProxyFix, Error> {
    let mut builder = ProxyFix::builder(trusted(policy)?).family(match &policy.family {
        None | Some(FamilySpec::XForwarded) => Family::XForwarded,
        Some(FamilySpec::Forwarded) => Family::Forwarded,
        Some(FamilySpec::Single(header)) => Family::Single(header.clone()),
    });
    if let Some(fields) = &policy.fields {
        builder = builder.fields(fields.iter().copied().map(Field::from));
    }
    for (field, count) in policy.counts.iter().flatten() {
        builder = builder.count(Field::from(*field), *count);
    }
    builder.build()
}
