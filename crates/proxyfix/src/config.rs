//! A stack of fixes from TOML, JSON or the environment.
//!
//! ```text
//! proxyfix.toml, PROXYFIX_TRUST=10.0.3.0/28  →  Config  →  Stack: a fix, and the guard behind it
//! ```
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{Config, Fix, Origin, Peer};
//!
//! let stack = Config::from_toml(r#"
//!     trust = "loopback, 10.0.3.0/28"
//!     fields = ["for", "proto", "host"]
//!
//!     [guard]
//!     allow_hosts = ["good.example"]
//! "#)?.build()?;
//!
//! let (mut parts, ()) = Request::get("/")
//!     .extension("10.0.3.2".parse::<Peer>()?)
//!     .header("x-forwarded-for", "203.0.113.9")
//!     .header("x-forwarded-host", "good.example")
//!     .body(())?
//!     .into_parts();
//! stack.fix(&mut parts);
//! assert_eq!(parts.extensions.get::<Origin>().unwrap().client(), Some("203.0.113.9".parse()?));
//! assert_eq!(stack.guard().refuses(&parts), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! As a layer a stack is the fixes and the guard behind them. `proxyfix_axum::wrap` takes it as a fix alone; there
//! the guard goes onto the router: `proxyfix_axum::wrap(app.layer(stack.guard().clone()), stack)`.
//!
//! # Every key
//!
//! JSON has the same keys. No key has to be there; one that is unknown is refused.
//!
//! ```toml
#![doc = include_str!("config/every-key.toml")]
//! ```
//!
//! Other forms of the same keys:
//!
//! ```toml
#![doc = include_str!("config/other-forms.toml")]
//! ```
//!
//! ```toml
#![doc = include_str!("config/hops.toml")]
//! ```
//!
//! - A file is named from the directory of the file that names it, or where that is none, from the present
//!   one.
//! - Beside `[[hops]]`, `trust`, `trust_file`, `any_peer`, `preset`, `family`, `fields`, `counts` and `headers`
//!   are refused, because the hops say it. A `custom-proxy-fix` believes the first of them.
//! - With `any_peer` the keys `trust` and `trust_file` are not read.
//! - `remove`, `write`, `absolute_uri`, `underscore_hosts` and `secret` hold for every fix of the stack that reads
//!   headers, `shadow` for its first `proxy-fix`, or where it has none, the first of them.
//!
//! # From the environment
//!
//! [`Config::from_env`] reads these, with the prefix that it is given:
//!
//! | variable | key | example |
//! | --- | --- | --- |
//! | `PROXYFIX_CONFIG` | all others, from this file | `/etc/proxyfix.toml` |
//! | `PROXYFIX_TRUST` | `trust` | `loopback, 10.0.3.0/28` |
//! | `PROXYFIX_TRUST_FILE` | `trust_file` | `/etc/proxies.txt` |
//! | `PROXYFIX_ANY_PEER` | `any_peer` | `true` |
//! | `PROXYFIX_HOPS` | `hops` | `2` |
//! | `PROXYFIX_FAMILY` | `family` | `forwarded`, `single:CF-Connecting-IP` |
//! | `PROXYFIX_FIELDS` | `fields` | `for,proto,host` |
//! | `PROXYFIX_COUNTS` | `counts` | `for=2,proto=1` |
//! | `PROXYFIX_HEADERS` | `headers` | `host=X-FHost` |
//! | `PROXYFIX_PRESET` | `preset` | `cloudflare` |
//! | `PROXYFIX_ON_INCOMPLETE` | `on_incomplete` | `reject` |
//! | `PROXYFIX_ALLOW_HOSTS` | `guard.allow_hosts` | `good.example,*.good.example` |
//! | `PROXYFIX_REQUIRE_HTTPS` | `guard.require_https` | `true` |
//!
//! What a variable states replaces that key of the file, and leaves the others; who is trusted is one thing,
//! so that any of `TRUST`, `TRUST_FILE` and `ANY_PEER` replaces all three. An unknown variable with the prefix
//! is refused, unless `secret.env` names it.
//!
//! # Errors
//!
//! An error names the file, the line or the key, what stands there, and the cure:
//!
//! | in `proxyfix.toml` | the error |
//! | --- | --- |
//! | `hops = [{ name = "nginx", who = "loopback, 10.0.0.1/8" }]` | proxyfix.toml: hops\[0\].who: entry 2 of the trusted set, "10.0.0.1/8": host bits are set; did you mean "10.0.0.0/8" (the network) or "10.0.0.1" (the address)? |
//! | `guard = { alow_hosts = [] }` | proxyfix.toml: line 1: guard.alow_hosts: unknown field `alow_hosts`, expected one of `strict`, … |
//! | `counts = { for = 40 }` | proxyfix.toml: counts.for: a count of 40 for "for": expected 0 to 32 |
//! | `fixes = [{ script-name-stripper = "app" }]` | proxyfix.toml: fixes\[0\].script-name-stripper: "app" is not a path prefix: … |

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use proxyfix_policy::{Error, Family, Field};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::ranges::read_bounded;

/// What the builders of this crate can say, as a file or the environment says it: see [this module](self).
///
/// It can be a part of an application's own configuration, too: it implements `Deserialize`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub(crate) trust: Option<Set>,
    pub(crate) trust_file: Option<Files>,
    pub(crate) any_peer: Option<bool>,
    pub(crate) hops: Option<Hops>,
    pub(crate) preset: Option<String>,
    pub(crate) family: Option<FamilyKey>,
    pub(crate) fields: Option<Vec<Field>>,
    #[serde(deserialize_with = "stated_once")]
    pub(crate) counts: Option<BTreeMap<Field, u8>>,
    #[serde(deserialize_with = "stated_once")]
    pub(crate) headers: Option<Headers>,
    pub(crate) underscore_hosts: Option<bool>,
    pub(crate) secret: Option<Secret>,
    pub(crate) fixes: Option<Vec<FixKey>>,
    pub(crate) remove: Option<Vec<String>>,
    pub(crate) write: Option<WriteKey>,
    pub(crate) absolute_uri: Option<bool>,
    pub(crate) keep_original: Option<bool>,
    pub(crate) on_incomplete: Option<OnIncomplete>,
    pub(crate) guard: Option<GuardKeys>,
    pub(crate) shadow: Option<Box<Config>>,
    pub(crate) reload: Option<ReloadKeys>,
    pub(crate) accept: Option<Vec<String>>,
    pub(crate) sentinels: Option<bool>,
    /// The file that it was read from.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
    /// Variables that hold secrets, before those of the process.
    #[serde(skip)]
    pub(crate) variables: Option<BTreeMap<String, Hidden>>,
}

/// A trusted set as it was written.
#[derive(Clone, Debug)]
pub(crate) enum Set {
    Text(String),
    Entries(Vec<String>),
}

/// Files that hold a trusted set.
#[derive(Clone, Debug)]
pub(crate) struct Files(pub(crate) Vec<SetFile>);

#[derive(Clone, Debug)]
pub(crate) struct SetFile {
    pub(crate) path: PathBuf,
    /// The service or service tag, in files that have many.
    pub(crate) part: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Hops {
    Count(u8),
    Listed(Vec<HopKeys>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HopKeys {
    pub(crate) name: String,
    pub(crate) who: Option<Set>,
    pub(crate) who_file: Option<Files>,
    pub(crate) preset: Option<String>,
    pub(crate) family: Option<FamilyKey>,
    pub(crate) fields: Option<Vec<Field>>,
    pub(crate) entries: Option<u8>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FamilyKey {
    XForwarded,
    Forwarded,
    Single(String),
    SingleWithPort(String),
}

impl From<FamilyKey> for Family {
    fn from(key: FamilyKey) -> Self {
        match key {
            FamilyKey::XForwarded => Self::XForwarded,
            FamilyKey::Forwarded => Self::Forwarded,
            FamilyKey::Single(header) => Self::Single(header),
            FamilyKey::SingleWithPort(header) => Self::SingleWithPort(header),
        }
    }
}

/// Fields that have a header of their own.
pub(crate) type Headers = BTreeMap<Field, HeaderKey>;

#[derive(Clone, Debug)]
pub(crate) struct HeaderKey {
    pub(crate) name: String,
    pub(crate) https_when: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with header, and env, files or values")]
pub(crate) struct Secret {
    pub(crate) header: String,
    #[serde(default)]
    pub(crate) env: Vec<String>,
    #[serde(default)]
    pub(crate) files: Vec<PathBuf>,
    #[serde(default)]
    pub(crate) values: Vec<Hidden>,
    #[serde(default)]
    pub(crate) gate: GateKey,
}

/// Text that is never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GateKey {
    #[default]
    And,
    Or,
}

#[derive(Clone, Debug)]
pub(crate) enum FixKey {
    ProxyFix,
    CustomProxyFix(Headers),
    ScriptNameStripper(String),
    LighttpdCgiRootFix(String),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WriteKey {
    XForwarded,
    Forwarded,
    XRealIp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnIncomplete {
    Proceed,
    Reject,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GuardKeys {
    pub(crate) strict: Option<bool>,
    pub(crate) require_peer: Option<bool>,
    pub(crate) reject_incomplete: Option<bool>,
    pub(crate) allow_hosts: Option<Vec<String>>,
    pub(crate) require_https: Option<bool>,
    pub(crate) limits: Option<LimitKeys>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitKeys {
    pub(crate) bytes: usize,
    pub(crate) lines: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "reload"), expect(dead_code, reason = "the key is refused then, whatever it holds"))]
pub(crate) struct ReloadKeys {
    pub(crate) interval: String,
}

/// Reads a type that has several forms: text, a number, a list or a table.
macro_rules! forms {
    ($type:ty: $expected:literal $(, $form:ident $(<$inner:ty>)? |$value:ident| $read:expr)+) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Forms;
                impl<'de> Visitor<'de> for Forms {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    $(forms!(@$form $(<$inner>)? |$value| $read);)+
                }
                deserializer.deserialize_any(Forms)
            }
        }
    };
    (@text |$value:ident| $read:expr) => {
        fn visit_str<E: de::Error>(self, $value: &str) -> Result<Self::Value, E> {
            Result::<_, String>::map_err($read, E::custom)
        }
    };
    (@number |$value:ident| $read:expr) => {
        fn visit_u64<E: de::Error>(self, $value: u64) -> Result<Self::Value, E> {
            Result::<_, String>::map_err($read, E::custom)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
            let unexpected = de::Unexpected::Signed(number);
            u64::try_from(number).map_err(|_| E::invalid_value(unexpected, &self)).and_then(|it| self.visit_u64(it))
        }
    };
    (@list <$inner:ty> |$value:ident| $read:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            let $value = <$inner>::deserialize(SeqAccessDeserializer::new(list))?;
            Ok($read)
        }
    };
    (@table <$inner:ty> |$value:ident| $read:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
            let $value = <$inner>::deserialize(MapAccessDeserializer::new(table))?;
            Ok($read)
        }
    };
}

forms! { Set: "a trusted set as text, or as a list of entries",
    text |text| Ok(Set::Text(text.to_owned())),
    list<Vec<String>> |entries| Set::Entries(entries)
}

forms! { SetFile: "the path of a file, or { path = \"…\", part = \"…\" }",
    text |path| Ok(SetFile { path: path.into(), part: None }),
    table<SetFileKeys> |keys| SetFile { path: keys.path, part: keys.part }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetFileKeys {
    path: PathBuf,
    part: Option<String>,
}

forms! { Files: "the path of a file, { path = \"…\", part = \"…\" }, or a list of these",
    text |path| Ok(Files(vec![SetFile { path: path.into(), part: None }])),
    table<SetFileKeys> |keys| Files(vec![SetFile { path: keys.path, part: keys.part }]),
    list<Vec<SetFile>> |files| Files(files)
}

forms! { Hops: "a number of proxies from 1 to 32, or a list of named hops",
    number |number| u8::try_from(number).map(Hops::Count).map_err(|_| format!("{number} hops: expected 1 to 32")),
    list<Vec<HopKeys>> |hops| Hops::Listed(hops)
}

forms! { HeaderKey: "the name of a header, or { name = \"…\", https_when = \"…\" }",
    text |name| Ok(HeaderKey { name: name.to_owned(), https_when: None }),
    table<HeaderKeys> |keys| HeaderKey { name: keys.name, https_when: Some(keys.https_when) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderKeys {
    name: String,
    https_when: String,
}

const EXPECTED_FIX: &str = "expected \"proxy-fix\", {\"script-name-stripper\": \"\"}, \
                            {\"lighttpd-cgi-root-fix\": \"\"} or {\"custom-proxy-fix\": {\"host\": \"x-fhost\"}}";

forms! { FixKey: "the name of a fix, or a table with its name and argument",
    text |name| match name {
        "proxy-fix" => Ok(FixKey::ProxyFix),
        "script-name-stripper" => Ok(FixKey::ScriptNameStripper(String::new())),
        "lighttpd-cgi-root-fix" => Ok(FixKey::LighttpdCgiRootFix(String::new())),
        _ => Err(format!("unknown fix {name:?}, {EXPECTED_FIX}")),
    },
    table<FixKeys> |keys| match keys {
        FixKeys::CustomProxyFix(headers) => FixKey::CustomProxyFix(headers.0),
        FixKeys::ScriptNameStripper(prefix) => FixKey::ScriptNameStripper(prefix),
        FixKeys::LighttpdCgiRootFix(root) => FixKey::LighttpdCgiRootFix(root),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FixKeys {
    CustomProxyFix(PerField<HeaderKey>),
    ScriptNameStripper(String),
    LighttpdCgiRootFix(String),
}

/// A table with a value for each field, which states none twice: JSON has no such rule of its own.
struct PerField<V>(BTreeMap<Field, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for PerField<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Once<V> {
            type Value = PerField<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Self::Value, A::Error> {
                let mut values = BTreeMap::new();
                while let Some((field, value)) = table.next_entry::<Field, V>()? {
                    if values.insert(field, value).is_some() {
                        return Err(de::Error::custom(twice(field.as_str())));
                    }
                }
                Ok(PerField(values))
            }
        }
        deserializer.deserialize_map(Once(PhantomData))
    }
}

fn stated_once<'de, V, D>(deserializer: D) -> Result<Option<BTreeMap<Field, V>>, D::Error>
where
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<PerField<V>>::deserialize(deserializer)?.map(|fields| fields.0))
}

fn twice(field: &str) -> String {
    format!("the field {field:?} is stated twice; leave one of them out")
}

impl Config {
    /// Reads TOML.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let line = |error: &toml::de::Error| {
            error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1)
        };
        let refused = |error: &toml::de::Error, path: &str| {
            located(error.message(), line(error).map(|line| format!("line {line}")), path)
        };
        let toml = toml::Deserializer::parse(text).map_err(|error| refused(&error, "."))?;
        serde_path_to_error::deserialize(toml)
            .map_err(|error| refused(error.inner(), &error.path().to_string()))
    }

    /// Reads JSON.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        let config: Self = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| located(&error.inner().to_string(), None, &error.path().to_string()))?;
        json.end().map_err(|error| located(&error.to_string(), None, "."))?;
        Ok(config)
    }

    /// Reads a file whose name ends in `.toml` or `.json`. What it names in turn is looked for beside it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let read = || {
            let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase).unwrap_or_default();
            let parse = match extension.to_str() {
                Some("toml") => Self::from_toml,
                Some("json") => Self::from_json,
                _ => return Err(Error::refused("expected a file whose name ends in .toml or .json")),
            };
            let octets = read_bounded(path)
                .map_err(|error| Error::refused(&format!("the file cannot be read: {error}")))?;
            let text = String::from_utf8(octets)
                .map_err(|_| Error::refused("the file cannot be read: it is not UTF-8"))?;
            parse(&text)
        };
        let config = read().map_err(|error: Error| error.within(path.display().to_string()))?;
        Ok(config.of_file(path))
    }

    /// The same, as if it stood in this file: what it names is looked for beside it, and errors name it.
    #[must_use]
    pub fn of_file(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let directory = path.parent().unwrap_or(Path::new(""));
        // What is overlaid with it later may be of another directory.
        let directory = std::path::absolute(directory.join(".")).unwrap_or(directory.into());
        self.named_from(&directory);
        Self { file: Some(path), ..self }
    }

    /// Joins the files that are named with this directory.
    fn named_from(&mut self, directory: &Path) {
        let hops = match &mut self.hops {
            Some(Hops::Listed(hops)) => hops.as_mut_slice(),
            _ => &mut [],
        };
        let of_hops = hops.iter_mut().filter_map(|hop| hop.who_file.as_mut());
        let sets = self.trust_file.iter_mut().chain(of_hops).flat_map(|files| &mut files.0);
        let secrets = self.secret.iter_mut().flat_map(|secret| &mut secret.files);
        for path in sets.map(|file| &mut file.path).chain(secrets) {
            *path = directory.join(&path);
        }
        if let Some(shadow) = &mut self.shadow {
            shadow.named_from(directory);
        }
    }

    /// Reads the variables of the process whose names begin with `prefix` and an underscore; by convention the
    /// prefix is `PROXYFIX`. See [the table](self#from-the-environment).
    pub fn from_env(prefix: &str) -> Result<Self, Error> {
        let mut variables = Vec::new();
        for (name, value) in std::env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => variables.push((name, value)),
                (Ok(name), Err(_)) if suffix(&name, prefix).is_some() => {
                    return Err(Error::refused("the value is not UTF-8").within(name));
                }
                _ => {}
            }
        }
        Self::from_variables(prefix, variables)
    }

    /// The same of other variables than those of the process, for tests. Secrets are taken from these, and from
    /// the process where they are not among these.
    pub fn from_variables<N, V>(
        prefix: &str,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, Error>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let mut variables: BTreeMap<String, Hidden> =
            variables.into_iter().map(|(name, value)| (name.into(), Hidden(value.into()))).collect();
        let file = format!("{prefix}_{FILE}");
        let config = match variables.get(&file) {
            Some(path) => Self::from_file(&path.0).map_err(|error| error.within(file.as_str()))?,
            None => Self::default(),
        };
        let secrets: Vec<String> = config.secret.iter().flat_map(|secret| &secret.env).cloned().collect();
        let mut over = Value::Object(Map::new());
        for (name, value) in &variables {
            let Some(suffix) = suffix(name, prefix).filter(|it| *it != FILE && !secrets.contains(name))
            else {
                continue;
            };
            let variable = read_variable(suffix, &value.0, prefix).and_then(|(path, value)| {
                let alone = path.iter().rev().fold(value.clone(), |inner, key| json!({ *key: inner }));
                Self::from_value(alone).map(|_| (path, value))
            });
            let (path, value) = variable.map_err(|error| error.within(name.as_str()))?;
            *path.iter().fold(&mut over, |table, key| &mut table[*key]) = value;
        }
        variables.retain(|name, _| secrets.contains(name));
        let config = config.overlay(Self::from_value(over)?);
        Ok(Self { variables: Some(variables), ..config })
    }

    /// What `over` states replaces what this states, key by key; of `guard`, each of its keys. Who is trusted
    /// is one thing: any of `trust`, `trust_file` and `any_peer` replaces all three. Files stay those that each of
    /// the two named, and variables that hold secrets are looked for in both.
    #[must_use]
    pub fn overlay(mut self, over: Self) -> Self {
        macro_rules! replace {
            ($under:expr, $over:expr; $($key:ident)+) => {
                $(if $over.$key.is_some() {
                    $under.$key = $over.$key;
                })+
            };
        }
        if over.trust.is_some() || over.trust_file.is_some() || over.any_peer.is_some() {
            (self.trust, self.trust_file, self.any_peer) = (None, None, None);
        }
        if let (Some(guard), Some(over)) = (&mut self.guard, over.guard.clone()) {
            replace!(guard, over; strict require_peer reject_incomplete allow_hosts require_https limits);
        } else {
            replace!(self, over; guard);
        }
        replace!(
            self, over;
            trust trust_file any_peer hops preset family fields counts headers underscore_hosts secret fixes remove
            write absolute_uri keep_original on_incomplete shadow reload accept sentinels file
        );
        if let Some(variables) = over.variables {
            self.variables.get_or_insert_default().extend(variables);
        }
        self
    }

    /// The first key that names a file or a variable, if one does: for whoever takes a configuration from
    /// somebody who should not read those.
    pub fn looks_outside(&self) -> Option<&'static str> {
        let secret = self.secret.as_ref().is_some_and(|it| !it.env.is_empty() || !it.files.is_empty());
        let hops = match &self.hops {
            Some(Hops::Listed(hops)) => hops.iter().any(|hop| hop.who_file.is_some()),
            _ => false,
        };
        let keys = [("trust_file", self.trust_file.is_some()), ("hops", hops), ("secret", secret)];
        let own = keys.into_iter().find_map(|(key, outside)| outside.then_some(key));
        own.or_else(|| self.shadow.as_ref().and_then(|shadow| shadow.looks_outside().and(Some("shadow"))))
    }

    fn from_value(value: Value) -> Result<Self, Error> {
        serde_path_to_error::deserialize(value)
            .map_err(|error| located(&error.inner().to_string(), None, &error.path().to_string()))
    }
}

/// An error at a line and a key, as far as they are known; "." and "?" are no keys.
fn located(message: &str, line: Option<String>, path: &str) -> Error {
    let path = path.trim_end_matches(['.', '?']);
    let hidden = path.split(['.', '[']).any(|key| key == "secret").then(|| without_value(message));
    let message = hidden.as_deref().unwrap_or(message);
    let places = line.into_iter().chain((!path.is_empty()).then(|| path.to_owned()));
    places.rev().fold(Error::refused(message), Error::within)
}

/// What is said of a key that may hold a secret, without what stands there.
fn without_value(message: &str) -> String {
    if ["unknown field", "missing field", "duplicate field"].iter().any(|known| message.starts_with(known)) {
        return message.to_owned();
    }
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("what stands there is not what is meant, expected {expected}"),
        None => "what stands there cannot be read".to_owned(),
    }
}

/// The variable that names a file.
const FILE: &str = "CONFIG";

/// How a variable is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    /// From the present directory, wherever the configuration is.
    Path,
    Number,
    Flag,
    /// Words with commas between.
    List,
    /// Fields, each with a number.
    Numbers,
    /// Fields, each with a text.
    Texts,
    Family,
}

/// The variables besides [`FILE`]: what follows the prefix, the key, and how the value is written.
const VARIABLES: &[(&str, &[&str], Form)] = &[
    ("TRUST", &["trust"], Form::Text),
    ("TRUST_FILE", &["trust_file"], Form::Path),
    ("ANY_PEER", &["any_peer"], Form::Flag),
    ("HOPS", &["hops"], Form::Number),
    ("FAMILY", &["family"], Form::Family),
    ("FIELDS", &["fields"], Form::List),
    ("COUNTS", &["counts"], Form::Numbers),
    ("HEADERS", &["headers"], Form::Texts),
    ("PRESET", &["preset"], Form::Text),
    ("ON_INCOMPLETE", &["on_incomplete"], Form::Text),
    ("ALLOW_HOSTS", &["guard", "allow_hosts"], Form::List),
    ("REQUIRE_HTTPS", &["guard", "require_https"], Form::Flag),
];

/// What follows the prefix and an underscore in the name of a variable.
fn suffix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_prefix('_')
}

/// The key that the variable states, and its value. What cannot be read stays text, which its key refuses.
fn read_variable(suffix: &str, text: &str, prefix: &str) -> Result<(&'static [&'static str], Value), Error> {
    let Some((_, path, form)) = VARIABLES.iter().find(|(name, ..)| *name == suffix) else {
        let names = VARIABLES.iter().map(|(name, ..)| *name).chain([FILE]);
        let near = names.clone().min_by_key(|name| strsim::osa_distance(name, suffix)).unwrap_or(FILE);
        let cure = if strsim::osa_distance(near, suffix) <= 3 {
            format!("did you mean {prefix}_{near}?")
        } else {
            format!("after {prefix}_ there may be {}", names.collect::<Vec<_>>().join(", "))
        };
        return Err(Error::refused(&format!("an unknown variable; {cure}")));
    };
    let number = |text: &str| text.trim().parse::<u64>().map_or_else(|_| text.into(), Value::from);
    let pairs = |read: fn(&str) -> Value| {
        let mut pairs = Map::new();
        for pair in text.split(',') {
            let Some((field, value)) = pair.split_once('=') else {
                let reason = format!("{text:?}: expected FIELD=VALUE with commas between");
                return Err(Error::refused(&reason));
            };
            let field = field.trim();
            if pairs.insert(field.to_owned(), read(value.trim())).is_some() {
                return Err(Error::refused(&format!("{text:?}: {}", twice(field))));
            }
        }
        Ok(Value::Object(pairs))
    };
    let value = match form {
        Form::Text => text.into(),
        Form::Path => {
            std::path::absolute(text).ok().and_then(|it| it.to_str().map(Value::from)).unwrap_or(text.into())
        }
        Form::Number => number(text),
        Form::Flag => match text.trim() {
            "true" => true.into(),
            "false" => false.into(),
            _ => return Err(Error::refused(&format!("{text:?}: expected true or false"))),
        },
        Form::List => text.split(',').map(|word| Value::from(word.trim())).collect(),
        Form::Numbers => pairs(number)?,
        Form::Texts => pairs(|text| text.into())?,
        Form::Family => match text.split_once(':') {
            Some((name, header)) => json!({ name.trim(): header.trim() }),
            None => text.trim().into(),
        },
    };
    Ok((path, value))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use http::request::Parts;
    use http::{HeaderName, Request};
    use proxyfix_policy::Peer;

    use super::*;
    use crate::{Fix, Origin};

    /// The text of this file, whose tables are tested.
    const SOURCE: &str = include_str!("config.rs");
    const EVERY_KEY: &str = include_str!("config/every-key.toml");
    const OTHER_FORMS: &str = include_str!("config/other-forms.toml");
    const HOPS: &str = include_str!("config/hops.toml");

    const SECRET: &str = "0123456789abcdef-secret";

    /// The cells of the rows of the table in the documentation that begins with `head`.
    fn rows(head: &str) -> Vec<Vec<&'static str>> {
        let table = SOURCE.lines().skip_while(move |line| *line != format!("//! | {head} |")).skip(2);
        let table = table.map_while(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"));
        table.map(|row| row.split(" | ").collect()).collect()
    }

    /// A directory with these files.
    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    fn head(peer: &str, headers: &[(&str, &str)]) -> Parts {
        let request = Request::get("/").extension(peer.parse::<Peer>().unwrap());
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    /// The origin that the stack of `config` finds.
    #[track_caller]
    fn origin(config: &Config, peer: &str, headers: &[(&str, &str)]) -> Origin {
        let mut parts = head(peer, headers);
        config.build().unwrap().fix(&mut parts);
        parts.extensions.remove::<Origin>().unwrap()
    }

    #[track_caller]
    fn assert_client(config: &Config, peer: &str, chain: &str, client: &str) {
        let origin = origin(config, peer, &[("x-forwarded-for", chain)]);
        assert_eq!(origin.client().map(|it| it.to_string()).as_deref(), Some(client), "{origin}");
    }

    fn toml(text: &str) -> Config {
        Config::from_toml(text).unwrap()
    }

    #[track_caller]
    fn refused(toml: &str) -> String {
        Config::from_toml(toml).and_then(|config| config.build().map(drop)).unwrap_err().to_string()
    }

    #[test]
    fn the_annotated_example_is_read_and_builds() {
        let mut config = toml(EVERY_KEY);
        config.variables = Some([("ORIGIN_SECRET".into(), Hidden(SECRET.into()))].into());
        let stack = config.build().unwrap();
        let mut parts = head(
            "10.0.3.2",
            &[
                ("x-forwarded-for", "203.0.113.9, 10.0.3.3"),
                ("x-fhost", "www.good.example"),
                ("x-forwarded-proto", "https"),
                ("x-origin-secret", SECRET),
                ("x-forwarded-user", "root"),
            ],
        );
        stack.fix(&mut parts);
        assert_eq!(stack.guard().refuses(&parts), None);
        assert_eq!(stack.shadow().unwrap().requests(), 1);
        let origin = parts.extensions.get::<Origin>().unwrap();
        assert_eq!(origin.client(), Some("203.0.113.9".parse().unwrap()));
        assert_eq!(parts.headers["host"], "www.good.example");
        assert_eq!(parts.headers["x-real-ip"], "203.0.113.9");
        let left: Vec<&HeaderName> = parts.headers.keys().collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(crate::restore(&mut parts));
    }

    #[test]
    #[cfg(all(feature = "ranges", feature = "reload"))]
    fn the_other_forms_are_read_and_build() {
        let aws = r#"{"prefixes": [{"ip_prefix": "192.0.2.0/24", "region": "GLOBAL",
            "service": "CLOUDFRONT_ORIGIN_FACING"}], "ipv6_prefixes": []}"#;
        let directory = directory(&[
            ("proxyfix.toml", OTHER_FORMS),
            ("proxies.txt", "10.0.3.2 # nginx\n"),
            ("ip-ranges.json", aws),
            ("origin-secret", "0123456789abcdef-secret\n"),
        ]);
        let config = Config::from_file(directory.path().join("proxyfix.toml")).unwrap();
        assert!(config.build().unwrap().reload().is_some());
        for peer in ["10.0.3.2", "192.0.2.7"] {
            let viewer = ("cloudfront-viewer-address", "203.0.113.9:1024");
            let headers = [viewer, ("front-end-https", "on"), ("x-origin-secret", SECRET)];
            let origin = origin(&config, peer, &headers);
            assert_eq!(origin.client(), Some("203.0.113.9".parse().unwrap()));
            assert_eq!(origin.scheme().as_str(), "https");
        }
    }

    #[test]
    fn named_hops_are_read_and_build() {
        let config = toml(HOPS);
        let headers = [("x-forwarded-for", "198.51.100.7"), ("cf-connecting-ip", "203.0.113.9")];
        assert_eq!(origin(&config, "127.0.0.1", &headers).client(), Some("203.0.113.9".parse().unwrap()));
        assert_eq!(config.build().unwrap().policy().hops().len(), 2);
    }

    /// The keys that serde expects in the table in which it finds `text`.
    fn keys(text: &str) -> Vec<String> {
        let error = Config::from_toml(text).unwrap_err().to_string();
        let (_, expected) = error.split_once("expected").unwrap_or_else(|| panic!("{error}"));
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_key_is_documented() {
        let documented = [EVERY_KEY, OTHER_FORMS, HOPS].concat();
        let words: Vec<&str> =
            documented.split(|it: char| !(it.is_alphanumeric() || "_-".contains(it))).collect();
        for table in [
            "no = 1",
            "[guard]\nno = 1",
            "[guard.limits]\nno = 1",
            "[secret]\nno = 1",
            "[reload]\nno = 1",
            "[[hops]]\nno = 1",
            "[shadow]\nno = 1",
            "trust_file = { no = 1 }",
            "headers = { for = { no = 1 } }",
            "headers = { no = \"X-A\" }",
            "family = \"no\"",
            "write = \"no\"",
            "on_incomplete = \"no\"",
            "fixes = [{ no = \"\" }]",
            "[secret]\nheader = \"X-A\"\ngate = \"no\"",
        ] {
            let keys = keys(table);
            assert!(keys.len() > 1 || table.contains("reload"), "{table}: {keys:?}");
            for key in keys {
                assert!(words.contains(&key.as_str()) || key == "port", "{key} of {table:?}");
            }
        }
    }

    #[test]
    fn every_variable_is_documented_and_its_example_is_read() {
        let rows = rows("variable | key | example");
        let documented = rows.iter().map(|row| row[0].trim_matches('`').to_owned());
        let names =
            [FILE].into_iter().chain(VARIABLES.iter().map(|it| it.0)).map(|it| format!("PROXYFIX_{it}"));
        assert_eq!(documented.collect::<Vec<_>>(), names.collect::<Vec<_>>());
        for (row, (name, path, _)) in rows[1..].iter().zip(VARIABLES) {
            assert_eq!(row[1].trim_matches('`'), path.join("."));
            for example in row[2].split("`, `") {
                let example = example.trim_matches('`');
                let config = Config::from_variables("PROXYFIX", [(format!("PROXYFIX_{name}"), example)]);
                assert!(config.is_ok(), "{config:?}");
            }
        }
    }

    #[test]
    fn the_documented_errors_are_what_is_said() {
        let rows = rows("in `proxyfix.toml` | the error");
        assert_eq!(rows.len(), 4);
        for row in rows {
            let directory = directory(&[("proxyfix.toml", row[0].trim_matches('`'))]);
            let path = directory.path().join("proxyfix.toml");
            let error = Config::from_file(&path).and_then(|config| config.build().map(drop)).unwrap_err();
            let error = error.to_string().replace(path.to_str().unwrap(), "proxyfix.toml");
            let documented = row[1].replace("\\[", "[").replace("\\]", "]");
            match documented.strip_suffix('…') {
                Some(beginning) => assert!(error.starts_with(beginning), "{error}\n{documented}"),
                None => assert_eq!(error, documented),
            }
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "it is one table")]
    fn errors_name_the_key_in_either_format() {
        for (text, path) in [
            (
                "guard = { limits = { bytes = \"many\", lines = 1 } }",
                "line 1: guard.limits.bytes: invalid type",
            ),
            ("trust = 7", "line 1: trust: invalid type: integer `7`, expected a trusted set"),
            ("hops = 256", "line 1: hops: 256 hops"),
            ("hops = -1", "line 1: hops: invalid value: integer `-1`, expected a number of proxies"),
            ("hops = 33", "hops: 33 hops"),
            ("\n[[hops]]\nname = \"a\"\nwhom = \"\"", "line 4: hops[0].whom: unknown field"),
            (
                "fixes = [\"proxy-fix\", \"nope\"]",
                "line 1: fixes[1]: unknown fix \"nope\", expected \"proxy-fix\"",
            ),
            (
                "fixes = [{ custom-proxy-fix = { hots = \"X\" } }]",
                "line 1: fixes[0].custom-proxy-fix.hots: unknown variant",
            ),
            ("fixes = [{ script-name-stripper = \"\", proxy-fix = \"\" }]", "line 1: fixes[0]"),
            ("counts = { for = 1, for = 2 }", "line 1: "),
            ("trust = \"10.0.0.0/8\"\ncounts = { proto = 33 }", "counts.proto: a count of 33"),
            ("hops = 2\ncounts = { for = 3 }", "counts.for: a count of 3 for \"for\" contradicts 2"),
            ("headers = { host = \"Host\" }", "headers.host: "),
            ("trust = \"unix\"\nhops = 2\nfamily = { single = \"X-A\" }", "family: 2 hops"),
            ("preset = \"clodflare\"", "preset: \"clodflare\" is not a preset"),
            ("preset = \"cloudflare\"", "preset: the preset \"cloudflare\": who may send"),
            ("preset = \"nginx\"\nfamily = \"forwarded\"", "family: the preset says"),
            ("preset = \"nginx\"\ntrust = \"unix\"\nfields = [\"for\"]", "fields: the preset says"),
            (
                "trust = \"unix\"\nheaders = { host = { name = \"X-A\", https_when = \"on\" } }",
                "headers.host: https_when",
            ),
            (
                "fixes = [{ custom-proxy-fix = { host = { name = \"X-A\", https_when = \"on\" } } }]",
                "fixes[0].custom-proxy-fix.host: https_when",
            ),
            (
                "preset = \"azure-front-door\"\ntrust = \"192.0.2.0/24\"",
                "preset: nothing is believed without a proof in",
            ),
            ("trust = \"unix\"\n[[hops]]\nname = \"a\"", "trust: the hops say"),
            ("[[hops]]\nname = \"a\"", "hops: hop 1 of the topology, \"a\": nobody"),
            (
                "fields = [\"for\"]\n[[hops]]\nname = \"a\"\nwho = \"unix\"",
                "fields: fields beside a topology",
            ),
            (
                "preset = \"azure-front-door\"\ntrust = \"192.0.2.1\"\n[secret]\nheader = \"X-Azure-FDID\"\ngate = \"or\"\n\
                 values = [\"a0a0a0a0-bbbb-cccc-dddd-e1e1e1e1e1e1\"]",
                "secret.gate: the preset asks",
            ),
            (
                "accept = [\"wide-turst\"]",
                "accept[0]: \"wide-turst\" is no finding; there are secret-missing, ",
            ),
            ("accept = [\"does-not-build\"]", "accept[0]: \"does-not-build\" is no finding"),
            (
                "trust = \"unix\"\n[shadow]\npreset = \"azure-front-door\"\ntrust = \"192.0.2.1\"",
                "shadow: preset: nothing is believed without a proof in",
            ),
            ("remove = [\"X-A\", \"Host\"]", "remove[1]: "),
            ("[guard]\nallow_hosts = []", "guard.allow_hosts: "),
            ("on_incomplete = \"proceed\"\n[guard]\nstrict = true", "on_incomplete: \"proceed\", and"),
            ("[secret]\nheader = \"X-A\"", "secret: the secret in \"X-A\": none is given"),
            ("[secret]\nheader = \"X-A\"\nenv = [\"NO_SUCH_VARIABLE\"]", "secret: env: no variable holds"),
            (
                "[secret]\nheader = \"X-A\"\nfiles = [\"/nowhere\"]",
                "secret: files[0]: /nowhere: the file cannot",
            ),
            ("trust_file = \"/\"", "trust_file: /: the file cannot be read: it is no regular file"),
            (
                "[secret]\nheader = \"X-A\"\nfiles = [\"/dev/null\"]",
                "secret: files[0]: /dev/null: the file cannot be read: it is no regular file",
            ),
            ("trust_file = \"/nowhere\"", "trust_file: /nowhere: the file cannot be read"),
            ("[shadow]\ntrust = \"nobody\"", "shadow: trust: entry 1 of the trusted set, \"nobody\""),
            ("[shadow.guard]\nstrict = true", "shadow: guard: a shadow changes nothing"),
            ("fixes = [\"script-name-stripper\"]\nwrite = \"forwarded\"", "write: no fix of the stack"),
            ("fixes = [{ custom-proxy-fix = {} }]", "fixes[0].custom-proxy-fix: a CustomProxyFix without"),
            ("= 1", "line 1: "),
        ] {
            let error = refused(text);
            assert!(error.starts_with(path), "{text}\n{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let json = |text| Config::from_json(text).unwrap_err().to_string();
        assert!(
            json(r#"{"guard": {"alow": 1}}"#)
                .starts_with("guard.alow: unknown field `alow`, expected one of")
        );
        assert!(json("{\n\"hops\": [{\"name\": 7}]}").contains("hops[0].name: invalid type"));
        assert!(json("{").contains("line 1 column"));
        assert!(json("{} {}").contains("trailing"));
        for twice in [
            r#"{"counts": {"for": 1, "for": 2}}"#,
            r#"{"headers": {"host": "X-A", "host": "X-B"}}"#,
            r#"{"fixes": [{"custom-proxy-fix": {"host": "X-A", "host": "X-B"}}]}"#,
        ] {
            assert!(json(twice).contains("is stated twice"), "{}", json(twice));
        }
        assert!(json(r#"{"trust": "", "trust": ""}"#).contains("duplicate"));
        assert!(
            json(r#"{"fixes": [{"script-name-stripper": "", "proxy-fix": ""}]}"#).starts_with("fixes[0]")
        );
    }

    #[test]
    fn an_error_never_shows_what_may_be_a_secret() {
        let front_door =
            "preset = \"azure-front-door\"\ntrust = \"192.0.2.1\"\n[secret]\nheader = \"X-Azure-FDID\"\n";
        for (text, said) in [
            (
                "secret = \"s3cr3t\"".to_owned(),
                "line 1: secret: what stands there is not what is meant, expected a table",
            ),
            ("secret.values = \"s3cr3t\"".to_owned(), "line 1: secret.values: what stands"),
            ("secret.values = [1233210]".to_owned(), "line 1: secret.values[0]: what stands"),
            ("secret.env = \"s3cr3t, expected s3cr3t\"".to_owned(), "line 1: secret.env: what stands"),
            ("secret.gate = \"s3cr3t\"".to_owned(), "line 1: secret.gate: what stands"),
            ("shadow.secret.values = \"s3cr3t\"".to_owned(), "line 1: shadow.secret.values: what stands"),
            (format!("{front_door}values = [\"s3cr3t\"]"), "secret: value 1 is not the id of a Front Door"),
        ] {
            let error = refused(&text);
            assert!(error.starts_with(said), "{error}");
            assert!(!error.contains("s3cr3t") && !error.contains("1233210"), "{error}");
        }
        let error = Config::from_json(r#"{"secret": {"values": "s3cr3t"}}"#).unwrap_err().to_string();
        assert!(error.starts_with("secret.values: ") && !error.contains("s3cr3t"), "{error}");
    }

    #[test]
    fn as_a_layer_the_stack_refuses_what_its_guard_refuses() {
        use std::convert::Infallible;
        use std::task::{Context, Poll, Waker};

        use http::{Response, StatusCode};
        use http_body_util::Full;
        use tower_layer::Layer as _;
        use tower_service::Service as _;

        let status = |config: &str, chain: &str| {
            let stack = toml(&format!("trust = \"10.0.0.2\"\n{config}")).build().unwrap();
            let mut service = stack.layer(tower::service_fn(|_: Request<()>| async {
                Ok::<_, Infallible>(Response::new(Full::new(&b"hello"[..])))
            }));
            let parts = head("10.0.0.2", &[("x-forwarded-for", chain)]);
            let mut future = Box::pin(service.call(Request::from_parts(parts, ())));
            match Future::poll(future.as_mut(), &mut Context::from_waker(Waker::noop())) {
                Poll::Ready(response) => response.unwrap().status(),
                Poll::Pending => panic!("it waits for nothing"),
            }
        };
        let long = ",x".repeat(4500);
        assert_eq!(status("on_incomplete = \"reject\"", "junk"), StatusCode::BAD_REQUEST);
        assert_eq!(status("guard = { require_https = true }", "203.0.113.9"), StatusCode::BAD_REQUEST);
        assert_eq!((status("", "junk"), status("", &long)), (StatusCode::OK, StatusCode::OK));
        assert_eq!(status("fixes = [\"script-name-stripper\"]", "junk"), StatusCode::OK);
    }

    #[test]
    fn files_say_their_format() {
        let directory = directory(&[("a.yaml", ""), ("a.JSON", r#"{"trust": ["unix"], "hops": null}"#)]);
        let error = Config::from_file(directory.path().join("a.yaml")).unwrap_err().to_string();
        assert!(error.contains("a.yaml: expected a file whose name ends in .toml or .json"), "{error}");
        assert_client(
            &Config::from_file(directory.path().join("a.JSON")).unwrap(),
            "unix",
            "203.0.113.9",
            "203.0.113.9",
        );
        let error = Config::from_file(directory.path().join("none.toml")).unwrap_err().to_string();
        assert!(error.contains("none.toml: the file cannot be read"), "{error}");
    }

    #[test]
    fn the_set_is_what_stands_here_and_in_files() {
        let directory = directory(&[
            ("proxyfix.toml", "trust = \"10.0.0.1\"\ntrust_file = [\"lines\", \"nginx.conf\"]"),
            ("lines", "# ours\n10.0.0.2, unix\n"),
            ("nginx.conf", "set_real_ip_from 10.0.0.3;\n"),
        ]);
        let file = directory.path().join("proxyfix.toml");
        let config = Config::from_file(&file).unwrap();
        for peer in ["10.0.0.1", "10.0.0.2", "10.0.0.3", "unix"] {
            assert_client(&config, peer, "203.0.113.9", "203.0.113.9");
        }
        assert_client(&config, "10.0.0.4", "203.0.113.9", "10.0.0.4");
        fs::write(directory.path().join("lines"), "10.0.0.2\n10.0.0.1/8\n").unwrap();
        let error = config.build().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: trust_file: ", file.display())), "{error}");
        assert!(error.contains("lines: line 2: entry 2 of the trusted set, \"10.0.0.1/8\""), "{error}");
    }

    #[test]
    fn any_peer_is_for_so_many_hops_and_no_set_is_read() {
        let config = toml("any_peer = true\ntrust = \"not read\"\nhops = 2");
        assert_client(&config, "192.0.2.1", "198.51.100.7, 203.0.113.9", "198.51.100.7");
    }

    #[test]
    fn the_secret_is_taken_from_variables_and_files_and_never_printed() {
        let asked = "trust = \"10.0.0.2\"\n[secret]\nheader = \"X-Secret\"\n";
        let directory = directory(&[
            ("a.toml", &format!("{asked}files = [\"secret\"]\nenv = [\"UNSET\"]")),
            ("secret", &format!("{SECRET}\r\n")),
            ("b.toml", &format!("{asked}env = [\"P_OLD\", \"P_NEW\"]")),
        ]);
        let path = |name| directory.path().join(name).to_str().unwrap().to_owned();
        let variables = [("P_CONFIG", path("b.toml")), ("P_NEW", SECRET.into()), ("P_OLD", String::new())];
        let inline = toml(&format!("{asked}values = [\"{SECRET}\"]"));
        for config in [
            Config::from_file(path("a.toml")).unwrap(),
            Config::from_variables("P", variables).unwrap(),
            inline.clone(),
        ] {
            let client = |secret| {
                let headers = [("x-forwarded-for", "203.0.113.9"), ("x-secret", secret)];
                origin(&config, "10.0.0.2", &headers).client()
            };
            assert_eq!((client(SECRET), client("guess")), (Some("203.0.113.9".parse().unwrap()), None));
            assert!(!format!("{config:?} {:?}", config.build().unwrap()).contains(SECRET));
        }
        let instead =
            toml(&format!("[secret]\nheader = \"X-Secret\"\nvalues = [\"{SECRET}\"]\ngate = \"or\""));
        let headers = [("x-forwarded-for", "203.0.113.9"), ("x-secret", SECRET)];
        assert_eq!(origin(&instead, "192.0.2.1", &headers).client(), Some("203.0.113.9".parse().unwrap()));
    }

    #[test]
    fn what_holds_for_all_fixes_reaches_each() {
        let trust =
            "trust = \"10.0.0.2\"\nremove = [\"X-A\"]\nunderscore_hosts = true\nabsolute_uri = true\n";
        let secret = format!("[secret]\nheader = \"X-Secret\"\nvalues = [\"{SECRET}\"]");
        for fix in ["fields = [\"host\"]", "fixes = [{ custom-proxy-fix = { host = \"X-Forwarded-Host\" } }]"]
        {
            let stack = toml(&format!("{trust}{fix}\n{secret}")).build().unwrap();
            let fixed = |secret| {
                let headers = [("x-forwarded-host", "my_app"), ("x-a", "1"), ("x-secret", secret)];
                let mut parts = head("10.0.0.2", &headers);
                stack.fix(&mut parts);
                assert!(!parts.headers.contains_key("x-a") && !parts.headers.contains_key("x-secret"));
                parts.uri.to_string()
            };
            assert_eq!((fixed(SECRET).as_str(), fixed("guess").as_str()), ("http://my_app/", "/"), "{fix}");
        }
    }

    #[test]
    fn the_shadow_is_shown_the_same_proof() {
        let config = format!(
            "trust = \"10.0.0.2\"\n[shadow]\ntrust = \"10.0.0.2\"\n[secret]\nheader = \"X-Secret\"\nvalues = [\"{SECRET}\"]"
        );
        let stack = toml(&config).build().unwrap();
        for secret in [SECRET, "guess"] {
            stack.fix(&mut head("10.0.0.2", &[("x-forwarded-for", "203.0.113.9"), ("x-secret", secret)]));
        }
        let shadow = stack.shadow().unwrap();
        assert_eq!((shadow.requests(), shadow.differing()), (2, 0));
    }

    #[test]
    fn the_shadow_is_beside_the_proxy_fix_if_there_is_one() {
        let custom = "{ custom-proxy-fix = { host = \"X-A\" } }";
        for (fixes, differing) in [(format!("{custom}, \"proxy-fix\""), 0), (custom.to_owned(), 1)] {
            let shadow = "[shadow]\ntrust = \"10.0.0.2\"";
            let stack = toml(&format!("trust = \"10.0.0.2\"\nfixes = [{fixes}]\n{shadow}")).build().unwrap();
            stack.fix(&mut head("10.0.0.2", &[("x-forwarded-for", "203.0.113.9"), ("x-a", "a.example")]));
            let shadow = stack.shadow().unwrap();
            assert_eq!((shadow.requests(), shadow.differing()), (1, differing), "{fixes}");
        }
    }

    #[test]
    fn variables_replace_keys_of_the_file() {
        let file =
            "trust = \"10.0.0.1\"\nhops = 3\n[guard]\nrequire_https = true\nallow_hosts = [\"a.example\"]";
        let directory = directory(&[("proxyfix.toml", file), ("set", "10.0.0.3")]);
        let file = directory.path().join("proxyfix.toml");
        let read = |variables: &[(&str, &str)]| {
            let file = ("PROXYFIX_CONFIG", file.to_str().unwrap());
            Config::from_variables("PROXYFIX", variables.iter().copied().chain([file])).unwrap()
        };
        let config = read(&[("PROXYFIX_TRUST", "10.0.0.2"), ("OTHER", "1"), ("PROXYFIXES", "2")]);
        assert_client(&config, "10.0.0.2", "203.0.113.9", "203.0.113.9");
        assert_client(&config, "10.0.0.1", "203.0.113.9", "10.0.0.1");
        assert_eq!(config.build().unwrap().policy().trusted().declared_hops(), Some(3));

        let set = directory.path().join("set").display().to_string();
        let config = read(&[("PROXYFIX_TRUST_FILE", &set), ("PROXYFIX_ALLOW_HOSTS", "b.example, c.example")]);
        assert_client(&config, "10.0.0.3", "203.0.113.9", "203.0.113.9");
        assert_client(&config, "10.0.0.1", "203.0.113.9", "10.0.0.1");
        let guard = config.guard.as_ref().unwrap();
        assert_eq!(guard.require_https, Some(true));
        assert_eq!(guard.allow_hosts.as_deref().unwrap(), ["b.example", "c.example"]);
        assert!(read(&[("PROXYFIX_ANY_PEER", "true")]).trust.is_none());
        // It is named from the present directory, and not from that of the configuration.
        let error = read(&[("PROXYFIX_TRUST_FILE", "set")]).build().unwrap_err().to_string();
        assert!(error.contains("set: the file cannot be read"), "{error}");
    }

    #[test]
    fn what_is_overlaid_keeps_its_directory_and_its_variables() {
        let (under, over) = (directory(&[("set", "10.0.0.1")]), directory(&[("set", "10.0.0.2")]));
        let file = |text: &str, at: &tempfile::TempDir| toml(text).of_file(at.path().join("a.toml"));
        let sets = |over: Config| file("trust_file = \"set\"", &under).overlay(over);
        assert_client(&sets(file("hops = 1", &over)), "10.0.0.1", "203.0.113.9", "203.0.113.9");
        let config = sets(file("trust_file = \"set\"", &over));
        assert_client(&config, "10.0.0.2", "203.0.113.9", "203.0.113.9");

        let secret = |name: &str| {
            let config = Config::from_variables("P", [(name, SECRET)]).unwrap();
            Config { variables: Some([(name.to_owned(), Hidden(SECRET.into()))].into()), ..config }
        };
        let asked = toml("[secret]\nheader = \"X-A\"\nenv = [\"A_SECRET\"]");
        assert!(asked.overlay(secret("A_SECRET")).overlay(secret("B_SECRET")).build().is_ok());
    }

    #[test]
    fn variables_that_cannot_be_meant_are_refused() {
        for (name, value, reason) in [
            ("PROXYFIX_TURST", "", "PROXYFIX_TURST: an unknown variable; did you mean PROXYFIX_TRUST?"),
            ("PROXYFIX_CONFIGURATION", "", "; after PROXYFIX_ there may be TRUST, "),
            ("PROXYFIX_HOPS", "two", "PROXYFIX_HOPS: hops: invalid type: string \"two\", expected a number"),
            ("PROXYFIX_ANY_PEER", "yes", "PROXYFIX_ANY_PEER: \"yes\": expected true or false"),
            ("PROXYFIX_FIELDS", "for,", "PROXYFIX_FIELDS: fields[1]: unknown variant ``"),
            ("PROXYFIX_COUNTS", "for", "PROXYFIX_COUNTS: \"for\": expected FIELD=VALUE"),
            ("PROXYFIX_COUNTS", "for=1,for=2", "the field \"for\" is stated twice"),
            ("PROXYFIX_COUNTS", "for=x", "PROXYFIX_COUNTS: counts.for: invalid type"),
            ("PROXYFIX_FAMILY", "cf-connecting-ip", "PROXYFIX_FAMILY: family: unknown variant"),
            ("PROXYFIX_CONFIG", "/nowhere.toml", "PROXYFIX_CONFIG: /nowhere.toml: the file cannot be read"),
        ] {
            let error = Config::from_variables("PROXYFIX", [(name, value)]).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    #[cfg(feature = "reload")]
    fn the_files_are_watched() {
        use std::time::{Duration, Instant};
        let directory = directory(&[
            (
                "proxyfix.toml",
                "trust = \"10.0.0.1\"\ntrust_file = [\"a\", \"b\"]\nreload = { interval = \"1s\" }",
            ),
            ("a", "10.0.0.2"),
            ("b", "10.0.0.3"),
        ]);
        let stack = Config::from_file(directory.path().join("proxyfix.toml")).unwrap().build().unwrap();
        let trusts = |peer: &str| {
            let policy = stack.reload().unwrap().policy();
            policy.trusted().allows(&peer.parse().unwrap())
        };
        assert!(trusts("10.0.0.1") && trusts("10.0.0.2") && trusts("10.0.0.3"));
        fs::write(directory.path().join("b"), "10.0.0.4").unwrap();
        let patience = Instant::now() + Duration::from_secs(60);
        while !trusts("10.0.0.4") && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(trusts("10.0.0.1") && trusts("10.0.0.2") && trusts("10.0.0.4") && !trusts("10.0.0.3"));

        let base = "trust = \"unix\"\n";
        let reload = "reload = { interval = \"1s\" }\n";
        assert!(refused(&format!("{base}{reload}")).starts_with("reload: there is no file"));
        let file = format!("trust_file = \"{}\"\n", directory.path().join("a").display());
        assert!(
            refused(&format!("{file}reload = {{ interval = \"0s\" }}"))
                .starts_with("reload.interval: \"0s\"")
        );
        assert!(refused(&format!("{file}{reload}fixes = []")).starts_with("reload: the stack needs one"));
        let custom =
            format!("{file}{reload}fixes = [\"proxy-fix\", {{ custom-proxy-fix = {{ host = \"X-A\" }} }}]");
        assert!(refused(&custom).starts_with("reload: the trusted set of a custom"));
    }

    #[test]
    #[cfg(feature = "reload")]
    fn a_watched_file_that_becomes_empty_is_refused() {
        let file = crate::stack::Watchable::new(SetFile { path: "/nowhere".into(), part: None });
        assert!(file.read(Some(b"# nobody yet\n")).unwrap().trusts_nobody());
        assert!(!file.read(Some(b"10.0.0.2\n")).unwrap().trusts_nobody());
        let error = file.read(Some(b"# nobody\n")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere: it trusts nobody any more"), "{error}");
        assert!(file.read(Some(b"10.0.0.3\n")).is_ok());
    }

    #[test]
    fn what_is_permitted_and_risky_is_found_with_its_key() {
        let found = |text: &str| {
            let findings = toml(text).lint();
            findings.iter().map(|it| format!("{} {}", it.code, it.place)).collect::<Vec<_>>()
        };
        assert_eq!(found("trust = \"loopback\""), [""; 0]);
        assert_eq!(found("trust = \"10.0.0.1/8\""), ["does-not-build trust"]);
        assert_eq!(
            found("trust = \"10.0.0.0/8\"\n[shadow]\ntrust = \"private\""),
            ["wide-trust trust", "wide-trust shadow.trust"]
        );
        assert_eq!(
            found("trust = \"unix\"\nany_peer = true"),
            ["trust-not-read trust", "trust-any any_peer"]
        );
        let host = "trust = \"unix\"\nfields = [\"for\", \"host\"]\n";
        assert_eq!(found(host), ["host-unrestricted guard.allow_hosts"]);
        let custom = "trust = \"unix\"\nfixes = [\"proxy-fix\", { custom-proxy-fix = { host = \"X-A\" } }]";
        assert_eq!(found(custom), ["host-unrestricted guard.allow_hosts"]);
        assert_eq!(found(&format!("{host}[guard]\nallow_hosts = [\"a\"]")), [""; 0]);
        let inline = format!("trust = \"unix\"\n[secret]\nheader = \"X-A\"\nvalues = [\"{SECRET}\"]");
        assert_eq!(found(&inline), ["inline-secret secret.values"]);
        let front_door = "preset = \"azure-front-door\"\ntrust = \"192.0.2.1\"\n[secret]\nheader = \"X-Azure-FDID\"\n\
                          values = [\"a0a0a0a0-bbbb-cccc-dddd-e1e1e1e1e1e1\"]";
        assert_eq!(found(front_door), ["host-unrestricted guard.allow_hosts"]);
        let shared = "preset = \"cloudflare\"\ntrust = \"192.0.2.1\"";
        assert_eq!(found(shared), ["secret-not-asked-for preset"]);
        let instead = format!("{shared}\n[secret]\nheader = \"X-A\"\nvalues = [\"{SECRET}\"]\ngate = ");
        assert_eq!(found(&format!("{instead}\"and\"")), ["inline-secret secret.values"]);
        assert_eq!(
            found(&format!("{instead}\"or\"")),
            ["inline-secret secret.values", "secret-not-asked-for preset"]
        );
        assert_eq!(
            found("trust = \"unix\"\nfields = [\"for\"]\nfixes = [\"script-name-stripper\"]"),
            ["policy-not-used fields"]
        );
        let single = "trust = \"unix\"\nfamily = { single = \"X-A\" }\nfields = [\"for\", \"proto\"]\n";
        assert_eq!(found(single), ["field-not-carried fields"]);
        assert_eq!(found(&format!("{single}headers = {{ proto = \"X-B\" }}")), [""; 0]);
        let forwarded = "family = \"forwarded\"\nfields = [\"port\"]";
        assert_eq!(
            found(&format!("trust = \"unix\"\n[shadow]\ntrust = \"unix\"\n{forwarded}")),
            ["field-not-carried shadow.fields"]
        );
        assert_eq!(found("trust = \"unix\"\nfixes = []"), ["policy-not-used trust"]);
        assert_eq!(found("hops = 2\nany_peer = true\nfixes = []")[0], "policy-not-used any_peer");
        let missing = "[secret]\nheader = \"X-A\"\nenv = [\"NO_SUCH_VARIABLE\"]";
        assert_eq!(
            found(&format!("trust = \"10.0.0.0/8\"\n{missing}")),
            ["secret-missing secret: env", "wide-trust trust"]
        );
        assert_eq!(
            found(&format!("trust = \"10.0.0.1/8\"\n{missing}")),
            ["does-not-build trust", "secret-missing secret: env"]
        );
        assert_eq!(
            found("[[hops]]\nname = \"a\"\nwho = \"unix\"\n[[hops]]\nname = \"b\"\nwho = \"private\""),
            ["wide-trust hops[1].who"]
        );
    }

    #[test]
    fn a_key_that_names_a_file_or_a_variable_is_told() {
        let told = |text: &str| toml(text).looks_outside();
        assert_eq!(told(EVERY_KEY), Some("secret"));
        assert_eq!(told(OTHER_FORMS), Some("trust_file"));
        assert_eq!(told("[[hops]]\nname = \"a\"\nwho_file = \"a\""), Some("hops"));
        assert_eq!(told("[shadow]\ntrust_file = \"a\""), Some("shadow"));
        assert_eq!(told(HOPS), None);
    }

    #[test]
    fn a_guard_demands_what_is_stated_and_nothing_else() {
        let refuses = |text: &str, chain: &str| {
            let stack = toml(&format!("trust = \"10.0.0.2\"\n{text}")).build().unwrap();
            let mut parts = head("10.0.0.2", &[("x-forwarded-for", chain)]);
            stack.fix(&mut parts);
            stack.guard().refuses(&parts).map(|status| status.as_u16())
        };
        let long = ",x".repeat(4500);
        assert_eq!(refuses("", &long), None);
        assert_eq!(refuses("on_incomplete = \"reject\"", &long), Some(400));
        assert_eq!(refuses("[guard]\nreject_incomplete = true", &long), Some(431));
        assert_eq!(refuses("[guard]\nlimits = { bytes = 10000, lines = 1 }", &long), None);
        assert_eq!(refuses("[guard]\nstrict = true", "junk"), Some(400));
        assert_eq!(refuses("[guard]\nrequire_https = true", "203.0.113.9"), Some(400));
    }
}
