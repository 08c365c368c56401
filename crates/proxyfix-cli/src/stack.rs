//! A stack of fixes from command-line flags, a file, the environment or JSON.

use std::borrow::Cow;
use std::path::PathBuf;

use http::request::Parts;
use proxyfix::{Config, Error, Fix, Origin, ProxyFix};
use serde_json::{Map, Value, json};

/// The prefix of the variables that are read.
pub(crate) const PREFIX: &str = "PROXYFIX";

/// What describes the stack: a configuration, or flags.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PolicyArgs {
    /// Reads everything from this file, .toml or .json, instead of from flags.
    #[arg(long, value_name = "FILE", conflicts_with_all = FLAGS)]
    config: Option<PathBuf>,
    /// Reads everything from variables whose names begin with PROXYFIX_, instead of from flags.
    #[arg(long, conflicts_with_all = FLAGS, conflicts_with = "config")]
    env: bool,
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
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',', default_values = ["for", "proto"])]
    fields: Vec<String>,
    /// Takes the n-th value of a field from the right, as werkzeug's ProxyFix does; repeatable.
    #[arg(long, value_name = "FIELD=N", value_parser = count)]
    count: Vec<(String, u8)>,
    /// What follows where nobody knows the client.
    #[arg(long, value_enum, default_value = "proceed")]
    on_incomplete: OnIncomplete,
    /// The fixes, in the order in which they apply; repeatable: proxy-fix,
    /// script-name-stripper[=PREFIX], lighttpd-cgi-root-fix[=ROOT], custom-proxy-fix=FIELD:HEADER,…
    #[arg(long = "fix", value_name = "FIX", value_parser = fix, default_value = "proxy-fix")]
    fixes: Vec<Value>,
}

/// The flags that a configuration takes the place of.
const FLAGS: [&str; 8] = ["trust", "any_peer", "hops", "family", "fields", "count", "on_incomplete", "fixes"];

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OnIncomplete {
    /// Goes on without a client.
    Proceed,
    /// Answers 400.
    Reject,
}

fn count(text: &str) -> Result<(String, u8), String> {
    let (name, number) = text.split_once('=').ok_or("expected FIELD=N, such as for=1")?;
    let number = number.parse().map_err(|_| format!("{number:?} is not a count from 0 to 32"))?;
    Ok((name.to_owned(), number))
}

/// A fix as a configuration has it.
fn fix(text: &str) -> Result<Value, String> {
    Ok(match text.split_once('=') {
        None => text.into(),
        Some((name @ "custom-proxy-fix", pairs)) => {
            let pairs = pairs.split(',').map(|pair| {
                let (field, header) = pair.split_once(':')?;
                Some((field.to_owned(), header.into()))
            });
            let pairs: Option<Map<String, Value>> = pairs.collect();
            json!({ name: pairs.ok_or("expected FIELD:HEADER, such as host:x-fhost")? })
        }
        Some((name, argument)) => json!({ name: argument }),
    })
}

impl PolicyArgs {
    /// The fixes that the flags or the configuration describe.
    pub(crate) fn stack(&self) -> Result<Stack, String> {
        self.config().and_then(|config| Stack::build(&config)).map_err(|error| error.to_string())
    }

    fn config(&self) -> Result<Config, Error> {
        if let Some(file) = &self.config {
            return Config::from_file(file);
        }
        if self.env {
            return Config::from_env(PREFIX);
        }
        let counts: Map<String, Value> =
            self.count.iter().map(|(field, count)| (field.clone(), (*count).into())).collect();
        let config = json!({
            "trust": self.trust,
            "any_peer": self.any_peer,
            "hops": self.hops,
            "family": match self.family.as_str() {
                known @ ("x-forwarded" | "forwarded") => known.into(),
                header => json!({ "single": header }),
            },
            "fields": self.fields,
            "counts": counts,
            "on_incomplete": match self.on_incomplete {
                OnIncomplete::Proceed => "proceed",
                OnIncomplete::Reject => "reject",
            },
            "fixes": self.fixes,
        });
        Config::from_json(&config.to_string())
    }
}

/// Fixes that apply one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    fixes: proxyfix::Stack,
    /// Judges the connection alone, for stacks in which no fix judges the headers.
    connection: ProxyFix,
}

impl Stack {
    pub(crate) fn build(config: &Config) -> Result<Self, Error> {
        let fixes = config.build()?;
        let connection = ProxyFix::builder(fixes.policy().trusted().clone()).fields([]).build()?;
        Ok(Self { fixes, connection })
    }

    /// Applies the fixes.
    pub(crate) fn apply(&self, parts: &mut Parts) {
        self.fixes.fix(parts);
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

    /// The status with which the guard refuses the request, after the fixes.
    pub(crate) fn refuses(&self, parts: &Parts, origin: &Origin) -> Option<u16> {
        let guard = self.fixes.guard();
        let refused = if parts.extensions.get::<Origin>().is_some() {
            guard.refuses(parts)
        } else {
            let mut judged = parts.clone();
            judged.extensions.insert(origin.clone());
            guard.refuses(&judged)
        };
        refused.map(|status| status.as_u16())
    }
}
