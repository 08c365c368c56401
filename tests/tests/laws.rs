//! The laws: what holds for every request, however hostile.
//!
//! Each law says which breakages of the crates it was seen to catch.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ::metrics::with_local_recorder;
use axum::extract::ConnectInfo;
use axum::extract::connect_info::MockConnectInfo;
use http::request::Parts;
use http::uri::Uri;
use http::{HeaderName, HeaderValue, Method, Request, Response, Version, header};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proxyfix::{
    Canonical, Connection, CustomProxyFix, Ending, Family, Field, Fix, Guard, Hop, Host, KeepOriginal,
    LighttpdCgiRootFix, Mount, Origin, Original, Outcome, PROTECTED_HEADERS, Peer, Port, Prefix, Proof,
    ProxyFix, Refusal, Scheme, ScriptNameStripper, Shadow, Step, Topology, TrustedProxies, Verdict, metrics,
    restore,
};
use proxyfix_axum::ConnectInfoFix;
use tower::{Layer, Service, service_fn};

// What a client may write

/// Bytes that mean something to somebody, and others.
fn hostile_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => select(b"\"\\[](),;:%=.-_/@ \t".as_slice()),
        1 => b'0'..=b'9',
        1 => 0x20_u8..=0x7E,
        1 => 0x80_u8..=0xFF,
    ]
}

fn snippet() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "unknown",
            "127.0.0.1",
            "10.0.0.7",
            "198.51.100.7",
            "203.0.113.9:51515",
            "::ffff:10.0.0.1",
            "2001:db8::9",
            "\"[2001:db8::9]:4711\"",
            "for=",
            "for=\"",
            ";proto=https",
            ";host=evil.example",
            "\\\"",
            "_x",
            "https",
            "evil.example",
            "/app",
            ", ",
        ][..],
    )
}

/// Any bytes that a header can have.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => hostile_byte().prop_map(|byte| vec![byte]),
        8 => snippet().prop_map(|text| text.as_bytes().to_vec()),
        1 => (hostile_byte(), 60..600_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// Mostly few, sometimes 64.
fn few_or_64<S: Strategy + Clone>(element: S) -> impl Strategy<Value = Vec<S::Value>> {
    prop_oneof![12 => vec(element.clone(), 0..8), 1 => vec(element, 64)]
}

/// Values that a proxy may write, and some that it may not.
fn values(field: Field) -> &'static [&'static str] {
    match field {
        Field::For => &[
            "203.0.113.9",
            "198.51.100.7:4711",
            "10.0.0.7",
            "[2001:db8::9]:80",
            "\"1.1.1.1",
            "::1\"",
            "unknown",
            "",
        ],
        Field::Proto => &["https", "http", "HTTPS", "wss"],
        Field::Host => &[
            "good.example",
            "GOOD.example.",
            "good.example:8080",
            "a:443",
            "a:80",
            "[2001:DB8::9]:80",
            "a_b",
            "u@evil.example",
        ],
        Field::Port => &["443", "80", "8443", "0", "80x"],
        Field::Prefix => &["/app", "/", "/app/v1/", "//evil.example", "/caf%C3%A9"],
    }
}

fn elements() -> &'static [&'static str] {
    &[
        "for=203.0.113.9;proto=https;host=good.example",
        "for=\"[2001:db8::9]:4711\"",
        "for=10.0.0.7;host=\"a:443\"",
        "proto=https;host=good.example",
        "for=unknown;proto=https",
        "for=203.0.113.9;for=127.0.0.1",
        "for=198.51.100.7;host=\"a\\\", for=127.0.0.1\"",
        "",
    ]
}

/// One value, a list of several, or anything.
fn value(neat: &'static [&'static str]) -> impl Strategy<Value = HeaderValue> + Clone {
    let list = (vec(select(neat), 1..4), select(&[", ", ",", " ,\t"][..]));
    let bytes = prop_oneof![
        2 => list.prop_map(|(values, comma)| values.join(comma).into_bytes()),
        1 => hostile(),
    ];
    bytes.prop_map(|bytes| header_value(&bytes)).boxed()
}

fn header_value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap()
}

fn header_name(name: &str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).unwrap()
}

type Line = (HeaderName, HeaderValue);

/// A line of one of the five fields.
fn field_line() -> impl Strategy<Value = Line> + Clone {
    let line = |field: Field| (Just(header_name(field.x_forwarded_name())), value(values(field)));
    prop_oneof![
        4 => line(Field::For),
        1 => line(Field::Proto),
        1 => line(Field::Host),
        1 => line(Field::Port),
        1 => line(Field::Prefix),
    ]
    .boxed()
}

fn forwarded_line() -> impl Strategy<Value = Line> + Clone {
    (Just(header::FORWARDED), value(elements()))
}

/// A protected header, often under another spelling.
fn alias_line() -> impl Strategy<Value = Line> + Clone {
    let alias = (select(PROTECTED_HEADERS), select(&["-", "_", ".", "~"][..]));
    let name = prop_oneof![
        1 => select(&["x-real-ip", "client-ip", "cf-connecting-ip"][..]).prop_map(str::to_owned),
        2 => alias.prop_map(|(name, hyphen)| name.replace('-', hyphen)),
    ];
    (name.prop_map(|name| header_name(&name)), value(values(Field::For))).boxed()
}

fn line() -> impl Strategy<Value = Line> + Clone {
    prop_oneof![
        8 => field_line(),
        2 => forwarded_line(),
        2 => alias_line(),
        1 => (Just(header_name("x-fhost")), value(values(Field::Host))),
        1 => (select(&["via", "cookie", "x-request-id"][..]).prop_map(header_name), value(elements())),
    ]
    .boxed()
}

fn host_line() -> impl Strategy<Value = Line> + Clone {
    (Just(header::HOST), value(values(Field::Host)))
}

/// Between none and three, mostly one.
fn host_lines() -> impl Strategy<Value = Vec<Line>> {
    prop_oneof![1 => vec(host_line(), 0..=3), 3 => vec(host_line(), 1)]
}

/// Origin form, absolute form, authority form, asterisk form.
fn target() -> impl Strategy<Value = Uri> {
    let path = select(
        &[
            "/",
            "/users/7?x=%2F",
            "/app/x",
            "/app",
            "/app//evil.example/x?q",
            "//evil.example",
            "?q",
            "/%2e/;a=b",
            "",
        ][..],
    );
    let authority = prop_oneof![
        select(values(Field::Host)).prop_map(str::to_owned),
        "[a-c0-9.:@_%\\[\\]~!$'()*+,;=-]{1,12}",
    ];
    let absolute = (select(&["http", "https", "ftp"][..]), authority.clone(), path.clone());
    let text = prop_oneof![
        6 => path.prop_map(str::to_owned),
        4 => absolute.prop_map(|(scheme, authority, path)| format!("{scheme}://{authority}{path}")),
        1 => authority,
        1 => Just("*".to_owned()),
    ];
    text.prop_map(|text| text.parse().unwrap_or_default())
}

/// A request's head before any fix.
#[derive(Clone, Debug)]
struct Head {
    method: Method,
    target: Uri,
    version: Version,
    peer: Option<Peer>,
    scheme: Option<Scheme>,
    mount: Option<Mount>,
    lines: Vec<Line>,
}

impl Head {
    fn parts(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.method.clone();
        parts.uri = self.target.clone();
        parts.version = self.version;
        for (name, value) in &self.lines {
            parts.headers.append(name, value.clone());
        }
        self.peer.map(|peer| parts.extensions.insert(peer));
        self.scheme.map(|scheme| parts.extensions.insert(scheme));
        self.mount.clone().map(|mount| parts.extensions.insert(mount));
        parts
    }

    fn fixed(&self, fix: &dyn Fix) -> Parts {
        let mut parts = self.parts();
        fix.fix(&mut parts);
        parts
    }

    fn with_lines(&self, lines: Vec<Line>) -> Self {
        Self { lines, ..self.clone() }
    }
}

fn peer(text: &str) -> Peer {
    text.parse().unwrap()
}

fn trusted_peer() -> impl Strategy<Value = Option<Peer>> {
    select(&["10.0.0.2:40000", "::ffff:10.0.0.2", "10.255.255.255"][..]).prop_map(|text| Some(peer(text)))
}

/// Not in 10.0.0.0/8, or not there at all.
fn other_peer() -> impl Strategy<Value = Option<Peer>> {
    let text = select(&["203.0.113.9:51515", "11.0.0.0", "2001:db8::9", "::10.0.0.2", "unix"][..]);
    option::weighted(0.8, text.prop_map(peer))
}

fn any_peer() -> impl Strategy<Value = Option<Peer>> {
    prop_oneof![3 => trusted_peer(), 1 => other_peer()]
}

fn mount() -> impl Strategy<Value = Mount> {
    let script_name = select(vec![
        b"".as_slice(),
        b"/",
        b"/app",
        b"/app/",
        b"/app.fcgi",
        b"/users/7",
        b"/a b",
        b"/../x",
        b"//evil.example",
        b"/caf\xe9",
    ]);
    (script_name, any::<bool>())
        .prop_map(|(name, nothing)| Mount::from_script_name(name).unwrap().with_nothing_below(nothing))
}

prop_compose! {
    fn head(peer: impl Strategy<Value = Option<Peer>>, lines: impl Strategy<Value = Vec<Line>>)(
        method in select(vec![Method::GET, Method::POST, Method::OPTIONS, Method::CONNECT]),
        target in target(),
        version in select(vec![Version::HTTP_11, Version::HTTP_2, Version::HTTP_10]),
        peer in peer,
        scheme in option::weighted(0.3, select(vec![Scheme::Http, Scheme::Https])),
        mount in option::weighted(0.3, mount()),
        hosts in host_lines(),
        lines in lines,
    ) -> Head {
        Head { method, target, version, peer, scheme, mount, lines: [hosts, lines].concat() }
    }
}

fn any_head() -> impl Strategy<Value = Head> {
    head(any_peer(), few_or_64(line()))
}

// Whom an operator may trust, and what it may stack

/// What a trusted set may be made of; some of them overlap.
const NETWORKS: &[&str] =
    &["10.0.0.0/8", "10.9.0.0/16", "192.168.0.0/16", "203.0.113.9", "127.0.0.1", "2001:db8::/32", "unix"];

/// `10.0.0.0/8`, with and without a number of hops.
fn trusted_set() -> impl Strategy<Value = TrustedProxies> {
    (select(&["10.0.0.0/8", "::ffff:10.0.0.0/104"][..]), option::of(1..=2_u8)).prop_map(|(set, hops)| {
        let set: TrustedProxies = set.parse().unwrap();
        match hops {
            Some(hops) => set.hops(hops).unwrap(),
            None => set,
        }
    })
}

fn trusted() -> impl Strategy<Value = TrustedProxies> {
    let counted =
        (1..=3_u8).prop_map(|hops| TrustedProxies::dangerously_trust_every_peer().hops(hops).unwrap());
    let unix = trusted_set().prop_map(TrustedProxies::local_sockets);
    prop_oneof![3 => trusted_set(), 1 => unix, 1 => counted]
}

/// One fix of a stack.
#[derive(Clone, Debug)]
enum Piece {
    Proxy { family: Family, count: Option<u8>, absolute: bool },
    Custom,
    Strip(&'static str),
    Root(&'static str),
}

type AnyFix = Arc<dyn Fix + Send + Sync>;

impl Piece {
    fn fix(&self, trusted: &TrustedProxies) -> AnyFix {
        match self {
            Self::Proxy { family, count, absolute } => {
                Arc::new(proxy_fix(trusted, family, *count, *absolute))
            }
            Self::Custom => Arc::new(CustomProxyFix::host(trusted.clone(), "X-FHost").unwrap()),
            Self::Strip(prefix) => Arc::new(ScriptNameStripper::to(prefix.parse().unwrap())),
            Self::Root(root) => Arc::new(LighttpdCgiRootFix::at(root.parse().unwrap())),
        }
    }
}

/// All five fields; `count` holds for all but the chain.
fn proxy_fix(trusted: &TrustedProxies, family: &Family, count: Option<u8>, absolute: bool) -> ProxyFix {
    let mut builder = ProxyFix::builder(trusted.clone()).family(family.clone()).fields(Field::ALL);
    if let Some(count) = count {
        builder = builder.x_proto(count).x_host(count).x_port(count).x_prefix(count);
    }
    if absolute {
        builder = builder.absolute_uri();
    }
    builder.build().unwrap()
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![2 => Just(Family::XForwarded), 1 => Just(Family::Forwarded)]
}

/// Fixes that judge claims.
fn judge() -> impl Strategy<Value = Piece> + Clone {
    let proxy = (family(), option::weighted(0.3, 1..=2_u8), any::<bool>())
        .prop_map(|(family, count, absolute)| Piece::Proxy { family, count, absolute });
    prop_oneof![3 => proxy, 1 => Just(Piece::Custom)].boxed()
}

/// Fixes of the mount.
fn mount_fix() -> impl Strategy<Value = Piece> + Clone {
    let prefix = select(&["", "/app", "/users"][..]);
    prop_oneof![prefix.clone().prop_map(Piece::Strip), prefix.prop_map(Piece::Root)].boxed()
}

/// At least one fix that judges, among up to two others.
fn judges_and_others() -> impl Strategy<Value = Vec<Piece>> {
    let other = prop_oneof![judge(), mount_fix()];
    (vec(other.clone(), 0..=1), judge(), vec(other, 0..=1))
        .prop_map(|(before, judge, after)| [before, vec![judge], after].concat())
}

/// Up to two fixes that judge, and one of the mount before or behind them. The last judge may make the
/// target absolute.
fn judges_beside_a_mount_fix() -> impl Strategy<Value = Vec<Piece>> {
    let parts = (vec(judge(), 0..=2), option::of(mount_fix()), any::<bool>());
    parts.prop_map(|(mut pieces, mount_fix, first)| {
        let last = pieces.len().saturating_sub(1);
        for (index, piece) in pieces.iter_mut().enumerate() {
            if let Piece::Proxy { absolute, .. } = piece {
                *absolute &= index == last;
            }
        }
        let at = if first { 0 } else { pieces.len() };
        pieces.splice(at..at, mount_fix);
        pieces
    })
}

/// The pieces as a tuple.
fn stack(pieces: &[Piece], trusted: &TrustedProxies) -> AnyFix {
    let fixes: Vec<AnyFix> = pieces.iter().map(|piece| piece.fix(trusted)).collect();
    match <[AnyFix; 3]>::try_from(fixes) {
        Ok([a, b, c]) => Arc::new((a, b, c)),
        Err(fixes) => match &fixes[..] {
            [] => Arc::new(None::<ProxyFix>),
            [a] => a.clone(),
            [a, rest @ ..] => Arc::new((a.clone(), rest.first().cloned())),
        },
    }
}

/// One piece after the other, each with a trusted set of its own.
fn fix_all(pieces: &[Piece], trusted: &[TrustedProxies], parts: &mut Parts) {
    for (piece, trusted) in pieces.iter().zip(trusted) {
        piece.fix(trusted).fix(parts);
    }
}

// What an application sees

/// A head after the fixes. Header names are sorted, because removal changes the order between names;
/// the values of a name keep theirs.
#[derive(Debug, PartialEq)]
struct Seen {
    method: Method,
    target: String,
    version: Version,
    headers: BTreeMap<String, Vec<HeaderValue>>,
    origin: Option<Origin>,
    mount: Option<Mount>,
    peer: Option<Peer>,
}

fn seen(parts: &Parts) -> Seen {
    let mut headers: BTreeMap<String, Vec<HeaderValue>> = BTreeMap::new();
    for (name, value) in &parts.headers {
        headers.entry(name.to_string()).or_default().push(value.clone());
    }
    Seen {
        method: parts.method.clone(),
        target: parts.uri.to_string(),
        version: parts.version,
        headers,
        origin: parts.extensions.get().cloned(),
        mount: parts.extensions.get().cloned(),
        peer: parts.extensions.get().copied(),
    }
}

/// What counts of a head, its header lines in order: all but what became of the fields other than the
/// client, of which several fixes tell each its own.
fn told(parts: &Parts) -> impl PartialEq + Debug + use<> {
    let origin = parts.extensions.get::<Origin>().map(|origin| {
        let client = (origin.client(), origin.client_port(), origin.ending(), origin.last_verified());
        let place = (origin.scheme(), origin.host().cloned(), origin.port(), origin.prefix().clone());
        let why = (origin.steps().collect::<Vec<_>>(), origin.outcome(Field::For), origin.trusted_hops());
        (origin.peer(), client, place, why, origin.through_gateway())
    });
    let lines: Vec<_> = parts.headers.clone().into_iter().collect();
    (Seen { origin: None, ..seen(parts) }, origin, lines)
}

/// Asserts that names and labels of the counters are ours; answers with the decisions and refusals
/// counted.
#[track_caller]
fn assert_closed(recorder: &DebuggingRecorder) -> [u64; 2] {
    const ENDINGS: &str = "client-found peer-untrusted peer-unknown header-absent all-trusted hop-limit \
        malformed opaque empty too-few unroutable too-long";
    const OUTCOMES: &str = "believed malformed empty asymmetric too-few beyond-trust multiple walk-ended \
        without-host not-asserted";
    let mut counted = [0; 2];
    for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
        let labels: Vec<_> = key.key().labels().map(|label| (label.key(), label.value())).collect();
        let DebugValue::Counter(count) = value else { panic!("{key:?} is no counter") };
        let one_of = |list: &str, value: &str| assert!(list.split(' ').any(|it| it == value), "{key:?}");
        match (key.key().name(), &labels[..]) {
            (metrics::DECISIONS, [("ending", ending)]) => {
                one_of(ENDINGS, ending);
                counted[0] += count;
            }
            (metrics::FIELDS, [("field", field), ("outcome", outcome)]) => {
                one_of("for proto host port prefix", field);
                one_of(OUTCOMES, outcome);
            }
            (metrics::REFUSALS, [("reason", reason)]) => {
                one_of("no-fix no-peer too-large incomplete odd no-host host-not-allowed not-https", reason);
                counted[1] += count;
            }
            _ => panic!("{key:?}"),
        }
    }
    counted
}

/// All of a head, to the byte: its header lines in order, and every extension.
fn to_the_byte(parts: &Parts) -> String {
    let Parts { method, uri, version, headers, extensions, .. } = parts;
    let ours = (extensions.get::<Origin>(), extensions.get::<Original>(), extensions.get::<Mount>());
    let connection = (extensions.get::<Peer>(), extensions.get::<Scheme>());
    let connect_info = extensions.get::<ConnectInfo<SocketAddr>>();
    let mocked = extensions.get::<MockConnectInfo<SocketAddr>>().map(|mock| mock.0);
    let lines: Vec<_> = headers.iter().collect();
    // Extensions that nobody can name are counted.
    let extensions = (extensions.len(), ours, connection, connect_info, mocked);
    format!("{method} {uri} {version:?} {lines:?} {extensions:?}")
}

fn origin(parts: &Parts) -> &Origin {
    parts.extensions.get().unwrap()
}

/// Whether `name` folds to a protected header or to `own`.
fn is_protected(name: &HeaderName, own: &str) -> bool {
    let folded: String =
        name.as_str().chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect();
    PROTECTED_HEADERS.contains(&folded.as_str()) || folded == own
}

#[track_caller]
fn assert_same(fix: &dyn Fix, one: &Head, other: &Head) {
    assert_eq!(seen(&one.fixed(fix)), seen(&other.fixed(fix)));
}

// What honest proxies write

/// How an honest proxy repeats a field of its own.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// It leaves the field to others.
    Silent,
    /// The last proxy sets it.
    Sets,
    /// Every proxy appends to it, in one line.
    Appends,
    /// Every proxy appends a line.
    AppendsLines,
}

fn habit() -> impl Strategy<Value = Habit> {
    select(vec![Habit::Silent, Habit::Sets, Habit::Appends, Habit::AppendsLines])
}

/// What proxies append to the chain: a client outside of 10.0.0.0/8, or no address, then hops inside.
/// Nothing but an empty entry would be no chain.
fn honest_chain() -> impl Strategy<Value = Vec<&'static str>> {
    let client = select(
        &[
            "203.0.113.9",
            "203.0.113.9:51515",
            "[2001:db8::9]:4711",
            "11.0.0.0",
            "::ffff:198.51.100.7",
            "127.0.0.1",
            "unknown",
            "_x",
            "fe80::1%eth0",
            "",
        ][..],
    );
    let hops = vec(select(&["10.0.0.7", "10.0.0.8:443", "::ffff:10.0.0.9"][..]), 0..4);
    let chain = (client, hops).prop_map(|(client, hops)| [vec![client], hops].concat());
    chain.prop_filter("no chain", |chain| *chain != [""])
}

/// As many values of each field as the chain has entries.
fn honest_fields() -> impl Strategy<Value = Vec<(Field, Habit, Vec<&'static str>)>> {
    let field = |field: Field| (Just(field), habit(), vec(select(values(field)), 4));
    (field(Field::Proto), field(Field::Host), field(Field::Port), field(Field::Prefix))
        .prop_map(|(proto, host, port, prefix)| vec![proto, host, port, prefix])
}

fn honest_lines(habit: Habit, values: &[&str]) -> Vec<String> {
    match habit {
        Habit::Silent => vec![],
        Habit::Sets => vec![values[values.len() - 1].to_owned()],
        Habit::Appends => vec![values.join(", ")],
        Habit::AppendsLines => values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

/// An element of `Forwarded`, its values quoted as RFC 7239 asks.
fn honest_element(node: &str, proto: &str, host: &str) -> String {
    let node = match node.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{node}]"),
        Err(_) => node.to_owned(),
    };
    let host = host.replace('\\', "\\\\").replace('"', "\\\"");
    format!("for=\"{node}\";proto={proto};host=\"{host}\"")
}

/// A chain as `family` writes it: its header, and the entries.
fn written(family: &Family, chain: &[String]) -> (HeaderName, Vec<String>) {
    match family {
        Family::Forwarded => {
            (header::FORWARDED, chain.iter().map(|node| honest_element(node, "http", "a.example")).collect())
        }
        _ => (header_name("x-forwarded-for"), chain.to_vec()),
    }
}

/// What a client wrote before the proxies appended to it, and in headers that are not read.
#[derive(Clone, Debug, Default)]
struct Forgery {
    earlier_lines: Vec<Vec<u8>>,
    same_line: Option<Vec<u8>>,
    unread: Vec<Line>,
}

fn forgery(unread: impl Strategy<Value = Line> + Clone) -> impl Strategy<Value = Forgery> {
    (few_or_64(hostile().boxed()), option::of(hostile()), vec(unread, 0..4))
        .prop_map(|(earlier_lines, same_line, unread)| Forgery { earlier_lines, same_line, unread })
}

impl Forgery {
    /// The lines of the header `name`: what the client wrote, then what the proxies appended.
    fn before(&self, name: &HeaderName, honest: &[String]) -> Vec<Line> {
        let mut honest: Vec<Vec<u8>> = honest.iter().map(|line| line.as_bytes().to_vec()).collect();
        if let (Some(forged), Some(first)) = (&self.same_line, honest.first_mut()) {
            *first = [forged, &b", "[..], first].concat();
        }
        let lines = self.earlier_lines.iter().chain(&honest);
        lines.map(|line| (name.clone(), header_value(line))).collect()
    }
}

/// Joins the entries to lines, a new one where `breaks` says so.
fn joined(entries: &[String], breaks: u64) -> Vec<String> {
    let mut lines = vec![entries[0].clone()];
    for (index, entry) in entries.iter().enumerate().skip(1) {
        match lines.last_mut() {
            Some(line) if breaks >> (index % 64) & 1 == 0 => *line = format!("{line}, {entry}"),
            _ => lines.push(entry.clone()),
        }
    }
    lines
}

/// Trusts the proxies that wrote a chain of `entries`, by their set or by count, up to `reach` of them.
fn trusting(entries: usize, reach: usize, any: bool) -> TrustedProxies {
    let hops = u8::try_from(reach.clamp(1, entries)).unwrap();
    match any {
        true => TrustedProxies::dangerously_trust_every_peer().hops(hops).unwrap(),
        false if reach > entries => "10.0.0.0/8".parse().unwrap(),
        false => "10.0.0.0/8".parse::<TrustedProxies>().unwrap().hops(hops).unwrap(),
    }
}

// Addresses

/// Every text form of an address that a chain may have, or that a trusted set may have.
fn spellings(ip: IpAddr) -> Vec<String> {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b] = [v4.to_bits() >> 16, v4.to_bits() & 0xFFFF];
            vec![
                v4.to_string(),
                format!("::ffff:{v4}"),
                format!("::FFFF:{a:x}:{b:x}"),
                format!("0:0:0:0:0:ffff:{a:04X}:{b:04x}"),
            ]
        }
        IpAddr::V6(v6) => {
            let groups = v6.segments();
            let full = |group: &u16| format!("{group:04x}");
            let short = |group: &u16| format!("{group:X}");
            vec![
                v6.to_string(),
                v6.to_string().to_uppercase(),
                groups.iter().map(full).collect::<Vec<_>>().join(":"),
                groups.iter().map(short).collect::<Vec<_>>().join(":"),
            ]
        }
    }
}

/// The text of one entry: an address in a spelling, bare, in brackets, with a port.
fn entry_text(ip: IpAddr, spelling: usize, form: usize) -> String {
    let text = spellings(ip)[spelling].clone();
    match (text.contains(':'), form) {
        (true, 1) => format!("[{text}]"),
        (true, 2) => format!("[{text}]:4711"),
        (false, 2) => format!("{text}:4711"),
        _ => text,
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    let known = select(&["10.0.0.7", "10.255.255.255", "203.0.113.9", "127.0.0.1", "2001:db8::9", "::1"][..]);
    prop_oneof![3 => known.prop_map(|text| text.parse().unwrap()), 1 => any::<IpAddr>()]
}

/// Every address that stands in a line, however it is separated: a reader that knows no position.
fn addresses(line: &[u8]) -> Vec<IpAddr> {
    let text: String = String::from_utf8_lossy(line).replace('\\', "");
    text.split([',', ';', '=', '"', ' ', '\t'])
        .filter_map(|token| {
            let token = token.split_once(":_").map_or(token, |(node, _)| node);
            let bare = token.trim_start_matches('[').trim_end_matches(']');
            token.parse::<SocketAddr>().map(|it| it.ip()).or_else(|_| bare.parse()).ok()
        })
        .map(|ip| ip.to_canonical())
        .collect()
}

/// The steps of the walk, and what was decided.
fn explained(fix: &dyn Fix, head: &Head) -> (Vec<Step>, Parts) {
    let parts = head.fixed(fix);
    (origin(&parts).steps().collect(), parts)
}

/// The verdict that a walk of this ending gives last.
fn last_verdict(ending: Ending) -> &'static [Verdict] {
    match ending {
        Ending::ClientFound | Ending::PeerUntrusted | Ending::AllTrusted | Ending::HopLimit => {
            &[Verdict::Client]
        }
        Ending::PeerUnknown => &[Verdict::Unknown],
        Ending::HeaderAbsent => &[Verdict::Trusted],
        Ending::Malformed => &[Verdict::Malformed],
        Ending::Opaque => &[Verdict::Opaque],
        Ending::Empty => &[Verdict::Empty],
        Ending::Unroutable => &[Verdict::Unroutable],
        Ending::TooLong => &[Verdict::TooLong],
        Ending::TooFew => &[Verdict::Trusted, Verdict::Counted],
    }
}

/// Asserts that the steps lead to the origin.
#[track_caller]
fn assert_consistent(steps: &[Step], origin: &Origin) {
    let ending = origin.ending();
    let (last, passed) = steps.split_last().unwrap();
    assert_eq!(steps[0].hop, origin.peer());
    assert!(
        passed.iter().all(|step| matches!(step.verdict, Verdict::Trusted | Verdict::Counted)),
        "{steps:?}"
    );
    assert!(last_verdict(ending).contains(&last.verdict), "{ending}: {steps:?}");
    let client = match last.verdict {
        Verdict::Client => last.hop,
        _ if ending == Ending::HeaderAbsent => origin.peer(),
        _ => Peer::unknown(),
    };
    assert_eq!((origin.client(), origin.client_port()), (client.ip(), client.port()), "{steps:?}");
    let trusted = steps.iter().rfind(|step| step.verdict == Verdict::Trusted);
    let verified = match ending {
        Ending::AllTrusted => client,
        _ => trusted.map_or(origin.peer(), |step| step.hop),
    };
    assert_eq!(origin.last_verified(), verified, "{steps:?}");
}

/// Asserts that what `text` says is the host and port of `origin`.
#[track_caller]
fn assert_says(text: &[u8], origin: &Origin) {
    let (host, port) = Host::with_port(text).unwrap();
    let port = port.filter(|port| *port != origin.scheme().default_port());
    assert_eq!((Some(&host), port), (origin.host(), origin.port()), "{}", text.escape_ascii());
}

/// Asserts that `text` has letters, digits and `others` only: what no grammar of ours may loosen.
#[track_caller]
fn assert_plain(text: &str, others: &str) {
    assert!(text.chars().all(|char| char.is_ascii_alphanumeric() || others.contains(char)), "{text:?}");
}

/// Asserts that all that is published has passed its grammar, and that all places agree.
#[track_caller]
fn assert_typed(parts: &Parts, own: &str) {
    let origin = origin(parts);
    if let Some(host) = origin.host() {
        assert_eq!(Host::from_bytes(host.as_str().as_bytes()).as_ref(), Ok(host));
        assert_plain(host.as_str(), "-.[]:");
    }
    if let Some(port) = origin.port() {
        assert_eq!(Port::from_bytes(port.to_string().as_bytes()), Ok(port));
        assert!(origin.host().is_some() && port != origin.scheme().default_port());
    }
    let prefix = origin.prefix();
    assert_eq!(Prefix::from_bytes(prefix.as_str().as_bytes()).as_ref(), Ok(prefix));
    assert_plain(prefix.as_str(), "/-._~!$&*+=:@%");
    assert!(!prefix.as_str().contains("//") && !prefix.as_str().ends_with('/'), "{prefix}");
    let mount = parts.extensions.get::<Mount>().cloned().unwrap_or_default();
    assert_eq!(mount.prefix(), prefix);

    let hosts: Vec<&HeaderValue> = parts.headers.get_all(header::HOST).iter().collect();
    assert_eq!(hosts.len(), usize::from(origin.host().is_some()), "{hosts:?}");
    for host in hosts {
        assert_says(host.as_bytes(), origin);
    }
    // A bare authority, without a scheme, names a tunnel.
    if let Some(scheme) = parts.uri.scheme_str() {
        assert_says(parts.uri.authority().unwrap().as_str().as_bytes(), origin);
        assert_eq!(scheme, origin.scheme().as_str());
    }
    let left: Vec<&HeaderName> = parts.headers.keys().filter(|name| is_protected(name, own)).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// So many cases for each law, or as many as `PROPTEST_CASES` says.
fn cases(cases: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases, ..config } }
}

proptest! {
    #![proptest_config(cases(1024))]

    /// What a client wrote before the proxies appended to it changes nothing.
    ///
    /// Red when: only the first line is read; unreadable, opaque or empty entries are skipped; a bad byte
    /// spoils its line; fields are aligned with the length of the chain alone, or counted from the left.
    #[test]
    fn l1_prefix_invariance(
        chain in honest_chain(),
        fields in honest_fields(),
        count in option::of(1..=4_u8),
        breaks in any::<u64>(),
        (reach, any) in (1..7_usize, any::<bool>()),
        head in head(trusted_peer(), Just(vec![])),
        forgery in forgery(prop_oneof![forwarded_line(), alias_line()].prop_filter("read", |(name, _)| {
            !name.as_str().starts_with("x-forwarded-")
        })),
    ) {
        let count = count.filter(|count| usize::from(*count) <= chain.len());
        let fix = proxy_fix(&trusting(chain.len(), reach, any), &Family::XForwarded, count, false);
        let entries: Vec<String> = chain.iter().map(|&entry| entry.to_owned()).collect();
        let lines = |forgery: &Forgery| {
            let name = |field: Field| header_name(field.x_forwarded_name());
            let chain_lines = forgery.before(&name(Field::For), &joined(&entries, breaks));
            let mut lines = [head.lines.clone(), forgery.unread.clone(), chain_lines].concat();
            for (field, habit, values) in &fields {
                // Where the count alone is trust, entries beyond it are a client's, and no honest suffix.
                let beyond = any && count.is_none() && reach < chain.len();
                let habit = if beyond { Habit::Sets } else { *habit };
                let honest = honest_lines(habit, &values[..chain.len()]);
                // Without a count, a client's own value before a proxy's turns the field off.
                let appended = matches!(habit, Habit::Appends | Habit::AppendsLines);
                let forgery = if appended && count.is_some() { forgery } else { &Forgery::default() };
                lines.extend(forgery.before(&name(*field), &honest));
            }
            lines
        };
        let (honest, forged) = (lines(&Forgery::default()), lines(&forgery));
        assert_same(&fix, &head.with_lines(honest), &head.with_lines(forged));
    }

    /// The same of the elements of `Forwarded`.
    ///
    /// Red when: quotes are read from the left; the leftmost element is taken; elements are skipped.
    #[test]
    fn l1_prefix_invariance_of_forwarded(
        chain in honest_chain(),
        protos in vec(select(values(Field::Proto)), 4),
        hosts in vec(prop_oneof![select(values(Field::Host)), select(elements())], 4),
        count in option::of(1..=4_u8),
        breaks in any::<u64>(),
        (reach, any) in (1..7_usize, any::<bool>()),
        head in head(trusted_peer(), Just(vec![])),
        forgery in forgery(prop_oneof![field_line(), alias_line()].prop_filter("read", |(name, _)| {
            *name != header::FORWARDED
        })),
    ) {
        let count = count.filter(|count| usize::from(*count) <= chain.len());
        let fix = proxy_fix(&trusting(chain.len(), reach, any), &Family::Forwarded, count, false);
        let elements: Vec<String> = chain
            .iter()
            .zip(protos.iter().zip(hosts))
            .map(|(node, (proto, host))| honest_element(node, proto, host))
            .collect();
        let lines = |forgery: &Forgery| {
            let chain_lines = forgery.before(&header::FORWARDED, &joined(&elements, breaks));
            [head.lines.clone(), forgery.unread.clone(), chain_lines].concat()
        };
        let (honest, forged) = (lines(&Forgery::default()), lines(&forgery));
        assert_same(&fix, &head.with_lines(honest), &head.with_lines(forged));
    }

    /// Nobody who is not trusted says anything by a forwarding header.
    ///
    /// Red when: one field is read before the gate; headers of strangers, or aliases, are kept; a local
    /// socket is trusted by default; networks are compared as text.
    #[test]
    fn l2_silence(
        pieces in judges_and_others(),
        trusted in trusted_set(),
        head in head(other_peer(), few_or_64(line())),
    ) {
        let own = if pieces.iter().any(|piece| matches!(piece, Piece::Custom)) { "x-fhost" } else { "" };
        let silent = head.lines.iter().filter(|(name, _)| !is_protected(name, own)).cloned().collect();
        assert_same(&stack(&pieces, &trusted), &head, &head.with_lines(silent));
    }

    /// A larger trusted set takes the same steps, and then perhaps more; what cannot be read stays so.
    ///
    /// Red when: merging two networks forgets the wider one.
    #[test]
    fn l3_monotone_trust(
        smaller in proptest::sample::subsequence(NETWORKS, 0..NETWORKS.len()),
        more in proptest::sample::subsequence(NETWORKS, 0..NETWORKS.len()),
        hops in option::of(1..=3_u8),
        peer in select(&["10.0.0.2", "192.168.0.1", "203.0.113.9", "unix"][..]),
        chain in vec(select(&["10.9.9.9", "10.200.0.1", "192.168.0.1", "203.0.113.9", "127.0.0.1", "junk"][..]), 0..6),
        hostile in option::weighted(0.3, hostile()),
        breaks in any::<u64>(),
        family in family(),
        head in head(Just(None), Just(vec![])),
    ) {
        let (name, entries) = written(&family, &chain.iter().map(ToString::to_string).collect::<Vec<_>>());
        let honest = if entries.is_empty() { vec![] } else { joined(&entries, breaks) };
        let lines = hostile.into_iter().chain(honest.into_iter().map(String::into_bytes));
        let lines = lines.map(|line| (name.clone(), header_value(&line))).collect();
        let head = Head { peer: Some(peer.parse().unwrap()), ..head.with_lines(lines) };
        let decide = |networks: &[&str]| {
            let mut trusted: TrustedProxies = networks.join(",").parse().unwrap();
            if let Some(hops) = hops {
                trusted = trusted.hops(hops).unwrap();
            }
            explained(&proxy_fix(&trusted, &family, None, false), &head)
        };
        let ((few, fewer), (many, larger)) = (decide(&smaller), decide(&[smaller.clone(), more].concat()));
        let (fewer, larger) = (origin(&fewer), origin(&larger));
        let (last, passed) = few.split_last().unwrap();
        assert!(many.starts_with(passed) && many[passed.len()].hop == last.hop, "{few:?} {many:?}");
        assert!(larger.trusted_hops() >= fewer.trusted_hops());
        let movable = [Verdict::Client, Verdict::Unroutable];
        if !movable.contains(&last.verdict) {
            assert_eq!((many, larger.ending(), larger.client()), (few, fewer.ending(), fewer.client()));
        }
    }

    /// Twice is once.
    ///
    /// Red when: the second application judges the client anew, forgets the port that was stated or writes
    /// `Host` again; a host that is none is left; mount and origin part.
    #[test]
    fn l4_idempotence(
        pieces in judges_beside_a_mount_fix(),
        trusted in vec(trusted(), 3),
        mut head in any_head(),
    ) {
        if matches!(pieces[..], [Piece::Strip(_) | Piece::Root(_), ..]) {
            // Before anything is judged, they apply to what came through a gateway, which has a path.
            head.mount.get_or_insert_default();
            head.target = head.target.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        }
        let mut once = head.parts();
        fix_all(&pieces, &trusted, &mut once);
        let mut twice = once.clone();
        fix_all(&pieces, &trusted, &mut twice);
        assert_eq!(told(&once), told(&twice));
        if pieces.iter().filter(|piece| matches!(piece, Piece::Proxy { .. } | Piece::Custom)).count() < 2 {
            assert_eq!(seen(&once), seen(&twice));
        }
    }

    /// A comma is as good as a new line.
    ///
    /// Red when: only the first or the last line is read; empty lines are dropped; several lines of a field
    /// are refused; quotes hide commas in `X-Forwarded-For`.
    #[test]
    fn l5_line_independence(
        trusted in trusted(),
        count in option::of(1..=2_u8),
        head in head(any_peer(), few_or_64(field_line())),
        breaks in any::<u64>(),
    ) {
        let mut commas = 0;
        let mut broken = Vec::new();
        for (name, value) in &head.lines {
            let mut rest = value.as_bytes();
            let listed = *name != header::HOST;
            while let Some(comma) = rest.iter().enumerate().position(|(_, byte)| {
                commas += u32::from(*byte == b',');
                listed && *byte == b',' && breaks.rotate_left(commas) & 1 == 1
            }) {
                broken.push((name.clone(), header_value(&rest[..comma])));
                rest = &rest[comma + 1..];
            }
            broken.push((name.clone(), header_value(rest)));
        }
        let fix = proxy_fix(&trusted, &Family::XForwarded, count, false);
        assert_same(&fix, &head, &head.with_lines(broken));
    }

    /// The same chain is decided alike in either family, and scheme and host with it.
    ///
    /// Two things only differ, because `X-Forwarded-*` has a header for each field: a single value is the
    /// nearest proxy's, whatever the chain says, and more values than a walk has hops align with none.
    ///
    /// Red when: `Forwarded` loses the port of a node, or reads obfuscated identifiers otherwise.
    #[test]
    fn l6_family_equivalence(
        trusted in trusted(),
        peer in any_peer(),
        chain in vec(
            (
                prop_oneof![
                    4 => (address(), 0..4_usize, 0..3_usize).prop_map(|it| entry_text(it.0, it.1, it.2)),
                    1 => select(&["unknown", "_x", "Unknown", "junk", "10.0.0", "999.1.1.1"][..])
                        .prop_map(str::to_owned),
                ],
                select(values(Field::Proto)),
                select(values(Field::Host)),
            ),
            0..40,
        ),
        length in prop_oneof![4 => 0..8_usize, 1 => 8..40_usize],
        count in option::of(1..=3_u8),
        breaks in any::<u64>(),
        head in head(Just(None), Just(vec![])),
    ) {
        let chain = &chain[..length.min(chain.len())];
        let texts = |text: fn(&(String, &str, &str)) -> String| chain.iter().map(text).collect::<Vec<_>>();
        let lines = |name: &str, texts: Vec<String>| -> Vec<Line> {
            let lines = if texts.is_empty() { vec![] } else { joined(&texts, breaks) };
            lines.iter().map(|line| (header_name(name), header_value(line.as_bytes()))).collect()
        };
        let separate = [
            lines("x-forwarded-for", texts(|it| it.0.clone())),
            lines("x-forwarded-proto", texts(|it| it.1.to_owned())),
            lines("x-forwarded-host", texts(|it| it.2.to_owned())),
        ];
        let together = lines("forwarded", texts(|it| honest_element(&it.0, it.1, it.2)));
        let decide = |family: Family, lines: Vec<Line>, fields: &[Field]| {
            let mut fix = ProxyFix::builder(trusted.clone()).family(family).fields(fields.iter().copied());
            if let Some(count) = count.filter(|_| fields.len() > 1) {
                fix = fix.x_proto(count).x_host(count);
            }
            let lines = [head.lines.clone(), lines].concat();
            let (steps, parts) = explained(&fix.build().unwrap(), &Head { peer, ..head.with_lines(lines) });
            (steps, Seen { headers: BTreeMap::new(), ..seen(&parts) }, parts.headers.get("host").cloned())
        };
        let alike = |fields: &[Field]| {
            let (one, other) = (
                decide(Family::XForwarded, separate.concat(), fields),
                decide(Family::Forwarded, together.clone(), fields),
            );
            assert_eq!(one, other);
            one.1.origin.unwrap().ending()
        };
        let ending = alike(&[Field::For]);
        let aligned = chain.len() < 33 && (chain.len() != 1 || !ending.is_incomplete());
        if count.is_some() || aligned {
            alike(&[Field::For, Field::Proto, Field::Host]);
        }
    }

    /// The client is the peer, an address that stands in the header, or nobody.
    ///
    /// Red when: an absent header is replaced by `X-Real-IP`, or by the other family.
    #[test]
    fn l7_no_invention(trusted in trusted(), family in family(), head in any_head()) {
        let name = if family == Family::XForwarded { "x-forwarded-for" } else { "forwarded" };
        let parts = head.fixed(&proxy_fix(&trusted, &family, None, false));
        let stated = head.lines.iter().filter(|line| line.0 == name).flat_map(|it| addresses(it.1.as_bytes()));
        if let Some(client) = origin(&parts).client() {
            let candidates: Vec<IpAddr> = stated.chain(head.peer.and_then(|peer| peer.ip())).collect();
            assert!(candidates.contains(&client), "{client}: {candidates:?}");
        }
    }

    /// However an address is written, it is the same machine.
    ///
    /// Red when: mapped addresses or networks are not folded; brackets or upper case are not read.
    #[test]
    fn l8_address_identity(
        set in select(vec![["10.0.0.0/8", "::ffff:10.0.0.0/104"], ["2001:db8::9", "2001:DB8:0:0::0009/128"]]),
        (peer_ip, peer_spellings) in (address(), [0..4_usize, 0..4]),
        chain in vec((address(), [(0..4_usize, 0..3_usize), (0..4, 0..3)]), 0..4),
        family in family(),
        head in head(Just(None), Just(vec![])),
    ) {
        let decide = |which: usize| {
            let entry = |(ip, forms): &(IpAddr, [(usize, usize); 2])| {
                let (spelling, form) = forms[which];
                match (&family, entry_text(*ip, spelling, form)) {
                    (Family::XForwarded, text) => text,
                    (_, text) => honest_element(&text, "http", ""),
                }
            };
            let text: Vec<String> = chain.iter().map(entry).collect();
            let name = if family == Family::XForwarded { "x-forwarded-for" } else { "forwarded" };
            let line = (header_name(name), header_value(text.join(", ").as_bytes()));
            let spelled: IpAddr = spellings(peer_ip)[peer_spellings[which]].parse().unwrap();
            let peer = Some(Peer::from(SocketAddr::new(spelled, 40_000)));
            let trusted: TrustedProxies = set[which].parse().unwrap();
            let fix = proxy_fix(&trusted, &family, None, false);
            let (steps, parts) = explained(&fix, &Head { peer, ..head.with_lines(vec![line]) });
            let origin = origin(&parts);
            let steps: Vec<_> = steps.iter().map(|step| (step.hop.ip(), step.verdict)).collect();
            let who = (origin.client(), origin.client_key(), origin.last_verified().ip(), origin.peer());
            let why = (origin.ending(), origin.trusted_hops(), Field::ALL.map(|field| origin.outcome(field)));
            (steps, who, why, parts.headers.get("host").cloned(), parts.uri.to_string())
        };
        assert_eq!(decide(0), decide(1));
    }

    /// Hops that are all of one set, in a topology, are that set with so many hops.
    ///
    /// The topology says how many values a field with several has, the set asks the chain: what the
    /// topology believes, the set believes, too, and what only the set believes is asymmetric there.
    ///
    /// Red when: a topology steps over a hop, takes the value of another one, or lets a trusted client
    /// speak of itself.
    #[test]
    fn topology_of_like_hops_is_a_flat_set(
        hops in 1..=4_u8,
        family in family(),
        head in head(any_peer(), few_or_64(prop_oneof![4 => field_line(), 1 => forwarded_line()])),
        chain in vec(select(&["10.0.0.7", "10.0.0.8:1", "203.0.113.9", "unknown"][..]), 0..5),
    ) {
        let set: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let fields: Vec<Field> =
            Field::ALL.into_iter().filter(|it| family == Family::XForwarded || *it < Field::Port).collect();
        let hop = |number: u8| {
            Hop::new(&number.to_string(), set.clone()).family(family.clone()).fields(fields.iter().copied())
        };
        let listed = ProxyFix::new(Topology::new((0..hops).map(hop)).unwrap());
        let flat = ProxyFix::builder(set.clone().hops(hops).unwrap()).family(family.clone());
        let flat = flat.fields(fields.iter().copied()).build().unwrap();

        let (name, entries) = written(&family, &chain.iter().map(ToString::to_string).collect::<Vec<_>>());
        let line = (name, header_value(entries.join(",").as_bytes()));
        let head = head.with_lines([head.lines.clone(), vec![line]].concat());
        let ((steps, listed), (flat_steps, flat)) = (explained(&listed, &head), explained(&flat, &head));
        let (listed, flat) = (origin(&listed), origin(&flat));
        assert_eq!(steps, flat_steps);
        assert_eq!(listed.ending(), flat.ending());
        let who = |it: &Origin| (it.client(), it.client_port(), it.last_verified(), it.trusted_hops());
        assert_eq!(who(listed), who(flat));
        for field in fields {
            match (listed.outcome(field), flat.outcome(field)) {
                (Outcome::Believed, flat) => assert_eq!(flat, Outcome::Believed),
                (Outcome::Refused(_), Outcome::Refused(_))
                | (Outcome::Refused(Refusal::Asymmetric), Outcome::Believed) => {}
                // A port falls with its host.
                (Outcome::Refused(Refusal::WithoutHost), Outcome::Believed) if field == Field::Port => {}
                (listed, flat) => assert_eq!(listed, flat, "{field:?}"),
            }
        }
    }

    /// What one service writes, another one that trusts it reads as the same origin.
    ///
    /// Red when: the port, or the prefix of a mount, is not written; IPv6 is written without brackets; the
    /// proxy is written in the place of a client that nobody knows.
    #[test]
    fn canonical_headers_say_the_same_to_the_next_service(
        pieces in vec(prop_oneof![judge(), mount_fix()], 0..=2),
        trusted in trusted(),
        canonical in select(vec![Canonical::XForwarded, Canonical::Forwarded]),
        head in any_head(),
    ) {
        let writer = ProxyFix::builder(trusted.clone()).fields(Field::ALL).write(canonical).build().unwrap();
        let first = head.fixed(&(stack(&pieces, &trusted), writer));
        let mut passed_on = first.clone();
        passed_on.extensions = http::Extensions::new();
        passed_on.extensions.insert(peer("192.0.2.1"));
        let family = if canonical == Canonical::Forwarded { Family::Forwarded } else { Family::XForwarded };
        proxy_fix(&"192.0.2.1".parse().unwrap(), &family, None, false).fix(&mut passed_on);

        let (said, read) = (origin(&first), origin(&passed_on));
        assert_eq!((said.scheme(), said.host(), said.port()), (read.scheme(), read.host(), read.port()));
        if canonical == Canonical::XForwarded {
            assert_eq!(said.prefix(), read.prefix());
        }
        match read.ending() {
            Ending::ClientFound => assert_eq!((said.is_complete(), said.client()), (true, read.client())),
            // A client that is no remote one is known here, by its connection, and nowhere else.
            Ending::Unroutable => assert!(said.is_complete()),
            // Nobody is named: there is no header, or no node in it.
            ending => {
                assert!(matches!(ending, Ending::HeaderAbsent | Ending::Empty), "{ending}");
                assert!(!said.is_complete() && !read.is_complete());
            }
        }
    }

    /// A policy in the shadow changes nothing, and counts what it would.
    ///
    /// Red when: the shadow decides first, or its answer is given.
    #[test]
    fn shadow_changes_nothing(
        (trusted, other) in (trusted(), trusted()),
        (family, other_family) in (family(), family()),
        head in any_head(),
    ) {
        let shadow = Shadow::new(proxy_fix(&other, &other_family, None, false).policy().clone());
        let fix = || ProxyFix::builder(trusted.clone()).family(family.clone()).fields(Field::ALL);
        let alone = head.fixed(&fix().build().unwrap());
        let shadowed = head.fixed(&fix().shadow(shadow.clone()).build().unwrap());
        assert_eq!(to_the_byte(&alone), to_the_byte(&shadowed));
        assert_eq!(shadow.requests(), 1);
        let differing = Field::ALL.map(|field| shadow.differing_in(field));
        assert_eq!(shadow.differing(), differing.into_iter().max().unwrap());
        if (trusted, family) == (other, other_family) {
            assert_eq!(shadow.differing(), 0);
        }
    }

    /// Law L2 of a gate that asks for a proof: without it a trusted peer says nothing, either; with it,
    /// what it says is judged as if none were asked for.
    ///
    /// Red when: a field is read before the gate, or the secret is left to the application.
    #[test]
    fn l2_silence_without_proof(
        trusted in trusted_set(),
        family in family(),
        head in head(any_peer(), few_or_64(line())),
        guesses in vec(select(&["", "a guess", "9f86d081884c7d659a2feaa0c55ad01", "x-forwarded-for"][..]), 0..3),
    ) {
        const NAME: &str = "x-origin-secret";
        const SECRET: &str = "9f86d081884c7d659a2feaa0c55ad015";
        let fix = || ProxyFix::builder(trusted.clone()).family(family.clone()).fields(Field::ALL);
        let proof = || Proof::secret(NAME, [SECRET]).unwrap();
        let secret = |text: &str| (header_name(NAME), header_value(text.as_bytes()));
        let with = |lines: Vec<Line>| head.with_lines([lines, head.lines.clone()].concat());
        let asking = fix().and_proof(proof()).build().unwrap();

        let guessed = with(guesses.iter().map(|guess| secret(guess)).collect());
        let silent = guessed.lines.iter().filter(|(name, _)| !is_protected(name, NAME)).cloned().collect();
        assert_same(&asking, &guessed, &guessed.with_lines(silent));
        assert!(!origin(&guessed.fixed(&asking)).ending().is_from_trusted_peer());
        // Twice is no proof, whatever stands there.
        let twice = with(vec![secret(SECRET), secret(guesses.first().unwrap_or(&SECRET))]);
        assert!(!origin(&twice.fixed(&asking)).ending().is_from_trusted_peer());

        let proven = with(vec![secret(SECRET)]);
        let unasked = fix().remove(NAME).build().unwrap();
        assert_eq!(seen(&proven.fixed(&asking)), seen(&proven.fixed(&unasked)));
        // Instead of an address, it opens the gate to any peer that somebody knows.
        let instead = fix().or_proof(proof()).build().unwrap();
        assert_eq!(
            origin(&proven.fixed(&instead)).ending().is_from_trusted_peer(),
            head.peer.is_some_and(|peer| !peer.is_unknown())
        );
        assert_eq!(seen(&guessed.fixed(&instead)), seen(&guessed.fixed(&unasked)));
    }

    /// What was fixed can be restored, to the byte, and fixed again alike.
    ///
    /// Red when: mount, target, a header line, `ConnectInfo` or what was removed is forgotten; a later fix
    /// keeps its own original; the origin stays.
    #[test]
    fn l10_restorable(
        pieces in vec(prop_oneof![judge(), mount_fix()], 0..=3),
        trusted in trusted(),
        head in any_head(),
        connected in option::of(select(&["[::ffff:10.0.0.2]:40000", "10.0.0.2:1", "[2001:db8::9%3]:1"][..])),
        mocked in any::<bool>(),
        times in 1..=2_u8,
    ) {
        let mut received = head.parts();
        if let Some(connected) = connected {
            let connected: SocketAddr = connected.parse().unwrap();
            if mocked {
                received.extensions.insert(MockConnectInfo(connected));
            } else {
                received.extensions.insert(ConnectInfo(connected));
            }
            // The peer is always known, and stays.
            received.extensions.get_or_insert(Peer::from(connected));
        }
        let stack = ConnectInfoFix((KeepOriginal, stack(&pieces, &trusted), KeepOriginal));
        let mut parts = received.clone();
        (0..times).for_each(|_| stack.fix(&mut parts));
        let fixed = seen(&parts);
        assert!(restore(&mut parts));
        assert_eq!(to_the_byte(&parts), to_the_byte(&received));
        (0..times).for_each(|_| stack.fix(&mut parts));
        assert_eq!(seen(&parts), fixed);
    }

    /// T194: whatever is sent, counters have few names and labels, and count every decision once.
    ///
    /// Red when: the label of a refusal is its sentence, a host becomes a label, a decision is not counted.
    #[test]
    fn t194_labels_are_closed(pieces in judges_and_others(), trusted in trusted(), head in any_head()) {
        let recorder = DebuggingRecorder::new();
        with_local_recorder(&recorder, || {
            let mut parts = head.parts();
            stack(&pieces, &trusted).fix(&mut parts);
            let inner = service_fn(|_: Request<()>| async { Ok::<_, ()>(Response::new(String::new())) });
            let guard = Guard::new().reject_incomplete().allow_hosts(["good.example"]).unwrap().require_https();
            let refused = u64::from(guard.refuses(&parts).is_some());
            drop(guard.layer(inner).call(Request::from_parts(parts, ())));
            let judges = pieces.iter().filter(|it| matches!(it, Piece::Proxy { .. } | Piece::Custom)).count();
            assert_eq!(assert_closed(&recorder), [judges as u64, refused]);
        });
    }

    /// What is published has passed its grammar, and no second answer is left.
    ///
    /// Red when: a host or prefix is published unread; target, `Host`, scheme or mount is not rewritten; a
    /// host that is none, the default port, a protected header or an alias of one is left.
    #[test]
    fn l11_typed_or_absent(pieces in judges_and_others(), trusted in vec(trusted(), 3), head in any_head()) {
        let mut parts = head.parts();
        fix_all(&pieces, &trusted, &mut parts);
        let own = if pieces.iter().any(|piece| matches!(piece, Piece::Custom)) { "x-fhost" } else { "" };
        assert_typed(&parts, own);
    }

    /// The short way that the usual request takes through a fix is the long one: with something else in the
    /// extensions everything is looked for, and the same is found. A fix that records nothing leaves the same
    /// request, and answers the same client.
    ///
    /// Red when: the short way forgets a header, an event's cause, the mount or the target; a stranger's request
    /// passes with something left to do; what is not recorded is not decided.
    #[test]
    fn l12_one_way(
        trusted in trusted(),
        family in family(),
        count in option::of(1..=2_u8),
        absolute in any::<bool>(),
        head in any_head(),
    ) {
        let fix = proxy_fix(&trusted, &family, count, absolute);
        let mut received = head.parts();
        let peer = received.extensions.remove::<Peer>().unwrap_or_default();
        let judged = |fix: &ProxyFix, others: bool| {
            let mut parts = received.clone();
            if others {
                parts.extensions.insert("something else");
            }
            let client = fix.fix_from(Connection::from(peer), &mut parts).unwrap();
            parts.extensions.remove::<&str>();
            let origin = parts.extensions.remove::<Origin>();
            let record = origin.map(|origin| {
                let stood = Field::ALL.map(|field| (origin.outcome(field), origin.place(field)));
                (origin.to_string(), stood, origin.steps().collect::<Vec<_>>())
            });
            (client, seen(&parts), record)
        };
        prop_assert_eq!(judged(&fix, false), judged(&fix, true));
        if !absolute {
            for builder in [
                ProxyFix::builder(trusted.clone()).family(family.clone()),
                ProxyFix::builder(trusted.clone()).family(family.clone()).fields(Field::ALL),
            ] {
                let [one, other] = [builder.clone(), builder.unrecorded()].map(|it| it.build().unwrap());
                let ((client, seen, _), (unrecorded, left, _)) = (judged(&one, false), judged(&other, false));
                prop_assert_eq!((client, seen), (unrecorded, left));
            }
        }
    }

    /// The record of a decision is the walk that decided.
    ///
    /// Red when: a step is left out, the walk of the record is not the public one, the proxy becomes the
    /// client of an unreadable entry, or a verified hop is not recorded.
    #[test]
    fn l12_one_path(trusted in trusted(), family in family(), head in any_head()) {
        let fix = proxy_fix(&trusted, &family, None, false);
        let (steps, parts) = explained(&fix, &head);
        assert_consistent(&steps, origin(&parts));
        if family == Family::XForwarded {
            let lines: Vec<&[u8]> = head
                .lines
                .iter()
                .filter(|(name, _)| name == Field::For.x_forwarded_name())
                .map(|(_, value)| value.as_bytes())
                .collect();
            let walk = trusted.walk(head.peer.unwrap_or_default(), lines);
            assert_eq!(walk.collect::<Vec<_>>(), steps);
        }
        let fix = CustomProxyFix::host(trusted, "X-FHost").unwrap();
        let (steps, parts) = explained(&fix, &head);
        assert_consistent(&steps, origin(&parts));
    }
}
