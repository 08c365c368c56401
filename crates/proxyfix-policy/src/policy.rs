//! Which claims are read, and from where.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::host::Underscores;
use crate::trust::MOST_HOPS;
use crate::{Error, Family, Field, Host, Port, TrustedProxies};

/// Who is trusted, which header family is read, and which fields of it.
///
/// ```
/// use proxyfix_policy::{Field, Policy, Received, TrustedProxies};
///
/// let proxies: TrustedProxies = "10.0.0.0/8".parse()?;
/// let policy = Policy::builder(proxies).field(Field::Host).build()?;
///
/// let headers: &[(&str, &[u8])] = &[
///     ("X-Forwarded-For", b"203.0.113.9"),
///     ("X-Forwarded-Proto", b"https"),
///     ("X-Forwarded-Host", b"good.example"),
/// ];
/// let origin = policy.decide("10.0.0.2".parse()?, Received::default(), headers);
///
/// assert_eq!(origin.client(), Some("203.0.113.9".parse().unwrap()));
/// assert_eq!(origin.scheme().as_str(), "https");
/// assert_eq!(origin.host().unwrap().as_str(), "good.example");
/// # Ok::<(), proxyfix_policy::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) trusted: TrustedProxies,
    pub(crate) sources: [Source; 5],
    underscores: Underscores,
}

/// Where one field is read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum Source {
    /// Nowhere.
    #[default]
    Off,
    /// In a list header of its own.
    List { header: String, rule: Rule },
    /// In the elements of `Forwarded`.
    Element(Rule),
    /// In a header that must have exactly one value.
    Single { header: String, https: Option<String> },
}

/// Which of several values belongs to the hop that was believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The one beside the chosen entry of the chain.
    Aligned,
    /// The n-th from the right.
    Count(u8),
}

/// Builds a [`Policy`]; what cannot mean what it says does not build.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct PolicyBuilder {
    trusted: TrustedProxies,
    family: Family,
    read: [bool; 5],
    counts: [Option<u8>; 5],
    singles: [Option<(String, Option<String>)>; 5],
    underscores: Underscores,
}

impl Policy {
    /// Reads `X-Forwarded-For` and `X-Forwarded-Proto` from these proxies.
    pub fn new(trusted: TrustedProxies) -> Self {
        let list =
            |field: Field| Source::List { header: field.x_forwarded_name().into(), rule: Rule::Aligned };
        let [for_, proto, ..] = Field::ALL;
        Self {
            trusted,
            sources: [list(for_), list(proto), Source::Off, Source::Off, Source::Off],
            underscores: Underscores::Refused,
        }
    }

    /// Begins a policy that reads `X-Forwarded-For` and `X-Forwarded-Proto`; see [`PolicyBuilder`].
    pub fn builder(trusted: TrustedProxies) -> PolicyBuilder {
        PolicyBuilder {
            trusted,
            family: Family::XForwarded,
            read: [true, true, false, false, false],
            counts: [None; 5],
            singles: [const { None }; 5],
            underscores: Underscores::Refused,
        }
    }

    /// Who is trusted.
    pub fn trusted(&self) -> &TrustedProxies {
        &self.trusted
    }

    /// Whether `field` is read at all.
    pub fn reads(&self, field: Field) -> bool {
        self.sources[field as usize] != Source::Off
    }

    /// Reads a host as this policy does: [`Host::with_port`], with underscores where it takes them.
    pub fn read_host(&self, text: &[u8]) -> Result<(Host, Option<Port>), Error> {
        Host::read_with_port(text, self.underscores)
    }

    /// The headers that carry a single value for this policy.
    pub fn single_headers(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(|source| match source {
            Source::Single { header, .. } => Some(header.as_str()),
            _ => None,
        })
    }
}

impl From<TrustedProxies> for Policy {
    fn from(trusted: TrustedProxies) -> Self {
        Self::new(trusted)
    }
}

impl PolicyBuilder {
    /// Reads another family than `X-Forwarded-*`.
    pub fn family(self, family: Family) -> Self {
        Self { family, ..self }
    }

    /// Reads exactly these fields.
    pub fn fields(self, fields: impl IntoIterator<Item = Field>) -> Self {
        let mut read = [false; 5];
        fields.into_iter().for_each(|field| read[field as usize] = true);
        Self { read, ..self }
    }

    /// Reads this field, too.
    pub fn field(mut self, field: Field) -> Self {
        self.read[field as usize] = true;
        self
    }

    /// Takes the n-th value of this field from the right, as the counts of werkzeug's `ProxyFix` do;
    /// 0 does not read the field.
    ///
    /// For [`Field::For`] this is the same as [`TrustedProxies::hops`].
    pub fn count(mut self, field: Field, count: u8) -> Self {
        self.counts[field as usize] = Some(count);
        self
    }

    /// Reads this field from one header of the operator's own, which must have exactly one value.
    pub fn single(mut self, field: Field, header: &str) -> Self {
        self.singles[field as usize] = Some((header.to_ascii_lowercase(), None));
        self
    }

    /// The scheme is `https` where this header's one value is exactly `token`, such as `on` in
    /// `Front-End-Https: on`.
    pub fn https_when(mut self, header: &str, token: &str) -> Self {
        self.singles[Field::Proto as usize] = Some((header.to_ascii_lowercase(), Some(token.into())));
        self
    }

    /// Takes hosts whose labels have underscores, as the names of containers do (`my_app`).
    pub fn underscore_hosts(self) -> Self {
        Self { underscores: Underscores::Allowed, ..self }
    }

    /// The policy, or why it cannot mean what it says.
    pub fn build(self) -> Result<Policy, Error> {
        for field in Field::ALL {
            if let Some(too_many) = self.counts[field as usize].filter(|count| *count > MOST_HOPS) {
                return Err(Error::policy(format!(
                    "a count of {too_many} for \"{}\": expected 0 to {MOST_HOPS}",
                    field.as_str()
                )));
            }
        }
        let mut trusted = self.trusted;
        let hops = trusted.declared_hops();
        match self.counts[Field::For as usize] {
            None | Some(0) => {}
            Some(count) if hops.is_none_or(|hops| hops == count) => trusted = trusted.hops(count)?,
            Some(count) => {
                return Err(Error::policy(format!(
                    "a count of {count} for \"for\" contradicts {} declared hops: both say how many \
                     proxies add to the header; state one of them",
                    hops.unwrap_or_default()
                )));
            }
        }
        let mut sources = [const { Source::Off }; 5];
        for field in Field::ALL {
            let count = self.counts[field as usize];
            if let (Some(count), Some((header, _))) = (count, &self.singles[field as usize]) {
                return Err(Error::policy(format!(
                    "a count of {count} for \"{}\", which is read from {header:?}, a header that has one \
                     value; state one of them",
                    field.as_str()
                )));
            }
            let rule = count.map_or(Rule::Aligned, Rule::Count);
            sources[field as usize] = match (&self.singles[field as usize], &self.family) {
                (Some((header, https)), _) => Source::Single { header: header.clone(), https: https.clone() },
                _ if count == Some(0) || (count.is_none() && !self.read[field as usize]) => Source::Off,
                (None, Family::XForwarded) => Source::List { header: field.x_forwarded_name().into(), rule },
                (None, Family::Forwarded) => match field {
                    Field::Port | Field::Prefix => Source::Off,
                    _ => Source::Element(rule),
                },
                (None, Family::Single(header)) => match field {
                    Field::For => Source::Single { header: header.to_ascii_lowercase(), https: None },
                    _ => Source::Off,
                },
            };
        }
        let single_chain = matches!(sources[Field::For as usize], Source::Single { .. });
        if let Some(hops) = trusted.declared_hops().filter(|hops| single_chain && *hops > 1) {
            return Err(Error::policy(format!(
                "{hops} hops, but the client is read from a header that has one value; declare 1 or none"
            )));
        }
        let policy = Policy { trusted, sources, underscores: self.underscores };
        policy.check_single_headers()?;
        Ok(policy)
    }
}

/// Headers that route, frame or belong to one connection: no source of a claim (threat T119).
const UNFIT: [&str; 13] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "proxy-authenticate",
    "content-length",
    "content-type",
    "cookie",
];

/// The names under which values reach a policy that were computed, not read: no header can have them.
const COMPUTED: [&str; 5] = [":for", ":proto", ":host", ":port", ":prefix"];

impl Policy {
    fn check_single_headers(&self) -> Result<(), Error> {
        let lists = self.sources.iter().filter_map(|source| match source {
            Source::List { header, .. } => Some(header.as_str()),
            _ => None,
        });
        let mut seen: Vec<&str> = lists.collect();
        for header in self.single_headers() {
            let refused = |reason| {
                Err(Error::value("a header that a field can be read from", header.as_bytes(), reason))
            };
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^`|~".contains(&byte);
            if COMPUTED.contains(&header) {
                continue;
            }
            if header.is_empty() {
                return refused("it is empty");
            }
            if header.contains('_') {
                return refused(
                    "gateways cannot tell \"_\" from \"-\", so that a client could write it; use \"-\"",
                );
            }
            if !header.bytes().all(token) {
                return refused("a header name is a token (RFC 9110 section 5.6.2)");
            }
            if matches!(header, "forwarded" | "x-forwarded") {
                return refused(
                    "it holds more than one value; to read RFC 7239, choose the family \"forwarded\"",
                );
            }
            if UNFIT.contains(&header) {
                return refused("it routes or frames the request, or belongs to one connection");
            }
            if seen.contains(&header) {
                return refused("it is the source of two fields");
            }
            seen.push(header);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn t119_unsafe_sources_do_not_build() {
        for header in ["Connection", "Host", "X_Real_IP", "Transfer-Encoding", "", "a b", "x\r\n"] {
            let built = Policy::builder(TrustedProxies::none()).single(Field::For, header).build();
            assert!(built.is_err(), "{header:?}");
        }
        let twice =
            Policy::builder(TrustedProxies::none()).single(Field::For, "x-a").single(Field::Host, "X-A");
        assert!(twice.build().unwrap_err().to_string().contains("two fields"));
    }

    #[test]
    fn contradictions_do_not_build() {
        let hops = |hops| "10.0.0.0/8".parse::<TrustedProxies>().unwrap().hops(hops).unwrap();
        assert!(Policy::builder(hops(2)).count(Field::For, 1).build().is_err());
        assert!(Policy::builder(hops(2)).count(Field::For, 2).build().is_ok());
        assert!(Policy::builder(hops(1)).count(Field::Host, 33).build().is_err());
        assert!(Policy::builder(hops(2)).family(Family::Single("x-real-ip".into())).build().is_err());
    }
}
