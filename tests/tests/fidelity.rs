//! Fidelity to the originals: werkzeug's `ProxyFix`, and the classes of the Flask guides.
//!
//! `data/werkzeug-3.1.9.jsonl` holds what werkzeug answered when it was run
//! (`data/generate_werkzeug.py` says how). With every peer trusted, the counts of ours answer as
//! werkzeug does wherever its answer is an address, scheme, host or prefix. The knowing departures are
//! the variants of [`Departure`]; each has a test that names what werkzeug answers.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};
use proxyfix::{
    CustomProxyFix, Field, Fix, Host, LighttpdCGIRootFix, Mount, Origin, Peer, Prefix, ProxyFix, Scheme,
    ScriptNameStripper, TrustedProxies,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Clone, Debug, Deserialize)]
struct Case {
    counts: BTreeMap<String, u8>,
    peer: String,
    mount: String,
    headers: Vec<(String, String)>,
    answer: Answer,
}

#[derive(Clone, Debug, Deserialize)]
struct Answer {
    #[serde(rename = "REMOTE_ADDR")]
    remote_addr: String,
    scheme: String,
    #[serde(rename = "HTTP_HOST")]
    http_host: Option<String>,
    #[serde(rename = "SCRIPT_NAME")]
    script_name: String,
}

/// Why we answer otherwise than werkzeug on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Departure {
    /// werkzeug reads quoted strings; the `X-Forwarded-*` headers have none, and an open quote
    /// of a client would swallow the entry of the proxy.
    Quotes,
    /// werkzeug drops empty elements, so that what stands left of one slides into the window.
    EmptyElements,
    /// werkzeug keeps the proxy's address where there are too few entries.
    ProxyForClient,
    /// werkzeug cuts a host at its first colon to put another port behind it, and publishes the
    /// beginning of something that was no host.
    PortBehindJunk,
}

fn table() -> Vec<Case> {
    include_str!("../data/werkzeug-3.1.9.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|octet| u8::try_from(octet).unwrap()).collect()
}

/// The head after `ProxyFix` with the case's counts, every peer trusted.
fn fixed(case: &Case) -> Parts {
    let mut builder = ProxyFix::builder(TrustedProxies::dangerously_trust_every_peer());
    for field in Field::ALL {
        builder = builder.count(field, case.counts.get(field.as_str()).copied().unwrap_or(0));
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    for (name, value) in &case.headers {
        let value = HeaderValue::from_bytes(&octets(value)).unwrap();
        parts.headers.append(name.parse::<HeaderName>().unwrap(), value);
    }
    parts.extensions.insert(case.peer.parse::<Peer>().unwrap());
    parts.extensions.insert(Mount::from_script_name(&octets(&case.mount)).unwrap());
    builder.build().unwrap().fix(&mut parts);
    parts
}

/// The elements of a header, as commas separate them.
fn elements(case: &Case, field: Field) -> Vec<String> {
    let lines = case.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(field.x_forwarded_name()));
    let elements = lines.flat_map(|(_, line)| line.split(','));
    elements.map(|element| element.trim_matches([' ', '\t']).to_owned()).collect()
}

/// Whether werkzeug and we split the header differently.
fn split_differently(case: &Case, fields: &[Field]) -> Option<Departure> {
    let elements: Vec<String> = fields.iter().flat_map(|field| elements(case, *field)).collect();
    if elements.iter().any(|element| element.contains('"')) {
        Some(Departure::Quotes)
    } else if elements.iter().any(String::is_empty) {
        Some(Departure::EmptyElements)
    } else {
        None
    }
}

/// What we answer and what werkzeug does, where its answer is valid; `None` where it is not.
type Compared = Option<(String, String, Option<Departure>)>;

fn client(case: &Case, origin: &Origin) -> Compared {
    let theirs: IpAddr = case.answer.remote_addr.parse().ok()?;
    let ours = origin.client().map_or("none".to_owned(), |ip| ip.to_string());
    let count = usize::from(case.counts.get("for").copied().unwrap_or(0));
    let too_few = (1..count).contains(&elements(case, Field::For).len());
    let departure = split_differently(case, &[Field::For]).or(too_few.then_some(Departure::ProxyForClient));
    Some((ours, theirs.to_canonical().to_string(), departure))
}

fn scheme(case: &Case, origin: &Origin) -> Compared {
    let theirs: Scheme = case.answer.scheme.parse().ok()?;
    Some((origin.scheme().to_string(), theirs.to_string(), split_differently(case, &[Field::Proto])))
}

fn host(case: &Case, origin: &Origin) -> Compared {
    let (theirs, port) = Host::with_port(&octets(case.answer.http_host.as_ref()?)).ok()?;
    let port = port.filter(|port| *port != origin.scheme().default_port());
    let ours = origin.host().map(|host| (host, origin.port()));
    let junk = elements(case, Field::Host)
        .iter()
        .chain(case.headers.iter().filter(|(name, _)| name == "Host").map(|(_, value)| value))
        .any(|host| Host::with_port(&octets(host)).is_err());
    let departure = split_differently(case, &[Field::Host, Field::Port, Field::Proto])
        .or(junk.then_some(Departure::PortBehindJunk));
    Some((format!("{ours:?}"), format!("{:?}", Some((&theirs, port))), departure))
}

fn prefix(case: &Case, origin: &Origin) -> Compared {
    let theirs = Prefix::from_bytes(&octets(&case.answer.script_name)).ok()?;
    Some((origin.prefix().to_string(), theirs.to_string(), split_differently(case, &[Field::Prefix])))
}

#[test]
fn counts_answer_as_werkzeug_does_wherever_its_answer_is_valid() {
    let (mut agreed, mut departed) = (0, BTreeMap::new());
    for (number, case) in table().iter().enumerate() {
        let parts = fixed(case);
        let origin = parts.extensions.get::<Origin>().unwrap();
        for compare in [client, scheme, host, prefix] {
            match compare(case, origin) {
                Some((ours, theirs, _)) if ours == theirs => agreed += 1,
                Some((_, _, Some(departure))) => *departed.entry(departure).or_insert(0) += 1,
                Some((ours, theirs, None)) => {
                    panic!("line {}: ours {ours}, werkzeug {theirs}\n{case:#?}\n{origin:#?}", number + 1)
                }
                None => {}
            }
        }
    }
    assert!(agreed > 2500, "only {agreed} answers agreed; departed: {departed:?}");
    assert_eq!(departed.len(), 4, "every departure is met in the table: {departed:?}");
}

/// Looks a case up by its one interesting header; asserts what werkzeug answers and what we do.
#[track_caller]
fn assert_departure(name: &str, value: &str, count: (&str, u8), theirs: &str, ours: &str) {
    let is_it = |case: &&Case| {
        let of_family = |name: &str| name.to_ascii_lowercase().starts_with("x-forwarded");
        let headers: Vec<_> = case.headers.iter().filter(|(name, _)| of_family(name)).collect();
        matches!(headers[..], [(only, it)] if only == name && it == value)
            && case.counts == BTreeMap::from([(count.0.to_owned(), count.1)])
            && case.peer == "10.0.0.2"
    };
    let table = table();
    let case = table.iter().find(is_it).unwrap_or_else(|| panic!("{name}: {value} is not in the table"));
    assert_eq!(case.answer.remote_addr, theirs, "werkzeug");
    let parts = fixed(case);
    let client = parts.extensions.get::<Origin>().unwrap().client();
    assert_eq!(client.map_or("none".to_owned(), |ip| ip.to_string()), ours);
}

#[test]
fn departure_an_open_quote_does_not_swallow_the_proxys_entry() {
    // werkzeug discards the whole list and takes the proxy for the client.
    assert_departure("X-Forwarded-For", "\"1.2.3.4, 5.6.7.8", ("for", 1), "10.0.0.2", "5.6.7.8");
}

#[test]
fn departure_empty_elements_hold_their_position() {
    // werkzeug drops the empty element and reaches one further left.
    assert_departure("X-Forwarded-For", "1.2.3.4,,5.6.7.8", ("for", 2), "1.2.3.4", "none");
}

#[test]
fn departure_too_few_entries_do_not_make_the_proxy_the_client() {
    assert_departure("X-Forwarded-For", "5.6.7.8", ("for", 2), "10.0.0.2", "none");
}

#[test]
fn departure_no_port_is_put_behind_something_that_is_no_host() {
    let table = table();
    let case = table
        .iter()
        .find(|case| {
            let (ours, theirs) = (fixed(case), &case.answer.http_host);
            let origin = ours.extensions.get::<Origin>().unwrap();
            host(case, origin).is_some_and(|(ours, theirs, departure)| {
                ours != theirs && departure == Some(Departure::PortBehindJunk)
            }) && theirs.is_some()
        })
        .unwrap();
    let parts = fixed(case);
    let junk = case.headers.iter().any(|(_, value)| Host::with_port(&octets(value)).is_err());
    assert!(junk, "{case:?}");
    // What was no host is neither published nor left behind.
    let origin = parts.extensions.get::<Origin>().unwrap();
    let left = parts.headers.get("host").map(|host| Host::with_port(host.as_bytes()).unwrap().0);
    assert_eq!(left.as_ref(), origin.host());
}

/// The head of `GET target` with `headers`, from a trusted peer, below `mount`.
fn head(target: &str, mount: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get(target)
        .extension("10.0.0.2".parse::<Peer>().unwrap())
        .extension(Mount::from_script_name(mount.as_bytes()).unwrap());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn custom_proxy_fix_of_the_flask_guides_takes_the_host_from_x_fhost() {
    let fix = CustomProxyFix::host("10.0.0.0/8".parse().unwrap(), "X-FHost").unwrap();
    let mut parts = head("/", "", &[("Host", "app.internal"), ("X-FHost", "good.example")]);
    fix.fix(&mut parts);
    assert_eq!(parts.headers["host"], "good.example");
    // The original leaves the host alone where the header is empty.
    let mut parts = head("/", "", &[("Host", "app.internal"), ("X-FHost", "")]);
    fix.fix(&mut parts);
    assert_eq!(parts.headers["host"], "app.internal");
    // A departure: the original believes everyone.
    let mut parts = head("/", "", &[("Host", "app.internal"), ("X-FHost", "evil.example")]);
    parts.extensions.insert("203.0.113.9".parse::<Peer>().unwrap());
    fix.fix(&mut parts);
    assert_eq!(parts.headers["host"], "app.internal");
    assert!(!parts.headers.contains_key("x-fhost"));
}

#[test]
fn script_name_stripper_of_the_flask_guides_empties_the_script_name() {
    let mut parts = head("/users?x=1", "/app.fcgi", &[]);
    ScriptNameStripper::new().fix(&mut parts);
    assert!(parts.extensions.get::<Mount>().unwrap().prefix().is_root());
    assert_eq!(parts.uri, "/users?x=1");
}

#[test]
fn lighttpd_cgi_root_fix_under_its_old_spelling_joins_script_name_and_path() {
    let mut parts = head("/7", "/users", &[]);
    LighttpdCGIRootFix::new().fix(&mut parts);
    assert!(parts.extensions.get::<Mount>().unwrap().prefix().is_root());
    assert_eq!(parts.uri, "/users/7");
}
