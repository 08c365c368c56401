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
//! With axum the whole is `proxyfix_axum::wrap(app.layer(stack.guard().clone()), stack)`.
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
//!   headers, `shadow` for the first of them.
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
use std::fs;
use std::path::{Path, PathBuf};

use proxyfix_policy::{Error, Family, Field};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

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
    pub(crate) counts: Option<BTreeMap<Field, u8>>,
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
    /// The file that it was read from.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
    /// The variables that hold secrets, where they are not those of the process.
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
#[serde(deny_unknown_fields)]
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

#[derive(Clone, Copy, Debug, Default, Deserialize)]
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
        FixKeys::CustomProxyFix(headers) => FixKey::CustomProxyFix(headers),
        FixKeys::ScriptNameStripper(prefix) => FixKey::ScriptNameStripper(prefix),
        FixKeys::LighttpdCgiRootFix(root) => FixKey::LighttpdCgiRootFix(root),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FixKeys {
    CustomProxyFix(Headers),
    ScriptNameStripper(String),
    LighttpdCgiRootFix(String),
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
            let text = fs::read_to_string(path)
                .map_err(|error| Error::refused(&format!("the file cannot be read: {error}")))?;
            parse(&text)
        };
        let config = read().map_err(|error: Error| error.within(path.display().to_string()))?;
        Ok(Self { file: Some(path.to_owned()), ..config })
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

    /// The same of other variables than those of the process, for tests. Secrets are taken from these, too.
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
    /// is one thing: any of `trust`, `trust_file` and `any_peer` replaces all three.
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
            write absolute_uri keep_original on_incomplete shadow reload file variables
        );
        self
    }

    fn from_value(value: Value) -> Result<Self, Error> {
        serde_path_to_error::deserialize(value)
            .map_err(|error| located(&error.inner().to_string(), None, &error.path().to_string()))
    }
}

/// An error at a line and a key, as far as they are known; "." is no key.
fn located(message: &str, line: Option<String>, path: &str) -> Error {
    let places = line.into_iter().chain((path != ".").then(|| path.to_owned()));
    places.rev().fold(Error::refused(message), Error::within)
}

/// The variable that names a file.
const FILE: &str = "CONFIG";

/// How a variable is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
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
    ("TRUST_FILE", &["trust_file"], Form::Text),
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
        let pairs = text.split(',').map(|pair| {
            let (field, value) = pair.split_once('=')?;
            Some((field.trim().to_owned(), read(value.trim())))
        });
        pairs
            .collect::<Option<Map<_, _>>>()
            .map(Value::Object)
            .ok_or_else(|| Error::refused(&format!("{text:?}: expected FIELD=VALUE with commas between")))
    };
    let value = match form {
        Form::Text => text.into(),
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
