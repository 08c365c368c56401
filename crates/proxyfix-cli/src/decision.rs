//! One decision, as JSON.

use std::borrow::Cow;
use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderMap, HeaderName, Uri};
use proxyfix::{Mount, Origin, Peer, Step};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// The id of a case, which may be null.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Id<'a>(#[serde(borrow)] Option<&'a RawValue>);

/// What became of a request.
#[derive(Serialize)]
pub(crate) struct Decision<'a> {
    /// In a stream only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Id<'a>>,
    origin: OriginOut<'a>,
    request: RequestOut<'a>,
    mount: &'a str,
    status: Option<u16>,
    steps: Vec<StepOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

#[derive(Serialize)]
struct OriginOut<'a> {
    client: Option<IpAddr>,
    client_port: Option<u16>,
    complete: bool,
    ending: &'static str,
    last_verified: Hop,
    scheme: &'static str,
    host: Option<&'a str>,
    port: Option<u16>,
    prefix: &'a str,
}

#[derive(Serialize)]
struct RequestOut<'a> {
    target: Target<'a>,
    headers: HeadersOut<'a>,
}

impl<'a> Decision<'a> {
    /// `order` is the names of the received headers, whose order the remaining ones keep.
    pub(crate) fn new(
        parts: &'a Parts,
        origin: &'a Origin,
        status: Option<u16>,
        order: &'a [HeaderName],
    ) -> Self {
        let mount = parts.extensions.get::<Mount>().map_or("", |mount| mount.prefix().as_str());
        Self {
            id: None,
            origin: OriginOut {
                client: origin.client(),
                client_port: origin.client_port(),
                complete: origin.is_complete(),
                ending: origin.ending().as_str(),
                last_verified: Hop(origin.last_verified()),
                scheme: origin.scheme().as_str(),
                host: origin.host().map(proxyfix::Host::as_str),
                port: origin.port().map(proxyfix::Port::get),
                prefix: mount,
            },
            request: RequestOut {
                target: Target(&parts.uri),
                headers: HeadersOut { headers: &parts.headers, order },
            },
            mount,
            status,
            // A stack in which no fix judges has no walk of its own.
            steps: parts
                .extensions
                .get::<Origin>()
                .into_iter()
                .flat_map(|it| it.steps())
                .map(StepOut::from)
                .collect(),
            reason: None,
        }
    }
}

/// A request target; octets as ISO-8859-1.
struct Target<'a>(&'a Uri);

impl Serialize for Target<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0.scheme(), self.0.authority(), self.0.path_and_query()) {
            (None, None, Some(path)) if path.as_str().is_ascii() => serializer.serialize_str(path.as_str()),
            _ => serializer.serialize_str(&latin1(self.0.to_string().as_bytes())),
        }
    }
}

/// A hop by its address, `"unix"` or null.
struct Hop(Peer);

impl Serialize for Hop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.ip() {
            Some(ip) => ip.serialize(serializer),
            None if self.0.is_local() => serializer.serialize_str("unix"),
            None => serializer.serialize_none(),
        }
    }
}

#[derive(Serialize)]
struct StepOut {
    hop: Hop,
    verdict: &'static str,
}

impl From<Step> for StepOut {
    fn from(step: Step) -> Self {
        Self { hop: Hop(step.hop), verdict: step.verdict.as_str() }
    }
}

/// Pairs of name and value; octets as ISO-8859-1. In the order of the received names, each of which
/// stands once in `order`; what is new comes last: a `host`, or a header that was written anew.
struct HeadersOut<'a> {
    headers: &'a HeaderMap,
    order: &'a [HeaderName],
}

impl Serialize for HeadersOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let new = self.headers.keys().filter(|name| !self.order.contains(name));
        serializer.collect_seq(self.order.iter().chain(new).flat_map(|name| {
            self.headers.get_all(name).into_iter().map(move |value| (name.as_str(), latin1(value.as_bytes())))
        }))
    }
}

/// Octets as ISO-8859-1: each is one character.
pub(crate) fn latin1(octets: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(octets) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(octets.iter().copied().map(char::from).collect()),
    }
}
