//! The requests that everything is measured on.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use axum::extract::ConnectInfo;

use crate::Request;

/// A request, and who sent it.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name, which tables and records keep.
    pub name: &'static str,
    /// Who is connected.
    pub peer: SocketAddr,
    /// The request target.
    pub target: &'static str,
    /// Its headers, in the order in which they come in.
    pub headers: Vec<(&'static str, String)>,
    /// The client, where anybody can know it: the only right answer.
    pub client: Option<IpAddr>,
}

/// The networks of the proxies.
pub const TRUSTED: [&str; 2] = ["10.0.0.0/8", "2001:db8:10::/48"];

/// A peer in one of them.
pub const PROXY: &str = "10.0.0.2:40000";

/// A peer in none of them.
pub const STRANGER: &str = "192.0.2.1:40000";

/// The client where a proxy tells the truth.
pub const CLIENT: &str = "203.0.113.9";

/// How much a hostile client writes into a header.
const HOSTILE: usize = 8 << 10;

/// How many entries it writes.
const ENTRIES: usize = 1000;

/// What curl sends, whoever is asked.
const ORDINARY: [(&str, &str); 3] =
    [("host", "app.internal:8080"), ("user-agent", "curl/8.5.0"), ("accept", "*/*")];

const CHAIN: &str = "x-forwarded-for";

/// All inputs, in the order of the tables.
pub fn all() -> &'static [Input] {
    static ALL: LazyLock<Vec<Input>> = LazyLock::new(make);
    &ALL
}

/// The input of this name.
///
/// # Panics
///
/// Where there is none.
pub fn named(name: &str) -> &'static Input {
    all().iter().find(|input| input.name == name).unwrap_or_else(|| panic!("there is no input {name}"))
}

impl Input {
    /// The request as a server hands it on: the peer is in the extensions, as axum puts it there.
    ///
    /// # Panics
    ///
    /// Where the input is no request: a mistake in this file.
    pub fn request(&self) -> Request {
        let mut request = Request::new(());
        *request.uri_mut() = self.target.parse().expect("a target");
        for (name, value) in &self.headers {
            // Through octets, as a server reads them: each value has a buffer of its own.
            let value = http::HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            request.headers_mut().append(*name, value);
        }
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request
    }

    /// Whether the peer is one of the proxies.
    pub fn comes_from_a_proxy(&self) -> bool {
        self.peer == address(PROXY)
    }

    /// Whether it has a header of this name.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|header| header.0 == name)
    }
}

fn make() -> Vec<Input> {
    let entries = |entry: &dyn Fn(usize) -> String, count: usize| -> String {
        (0..count).map(entry).collect::<Vec<_>>().join(", ")
    };
    let stranger = |name, headers| input(name, STRANGER, headers, Some(address(STRANGER).ip()));
    let found = |name, headers| input(name, PROXY, headers, Some(ip(CLIENT)));
    let proxy = |name, headers| input(name, PROXY, headers, Some(address(PROXY).ip()));
    let unknown = |name, headers| input(name, PROXY, headers, None);
    let chain = |value: String| vec![(CHAIN, value)];
    let appended = |text: &str| format!("{text}, {CLIENT}");
    let forged = entries(&|n| format!("198.51.100.{}", n % 250), ENTRIES);

    // Octets of every kind that a header may hold, but no comma: one entry without an end.
    let garbage: String = (0..HOSTILE).map(|n| char::from(b"j4:/]x\"=;.%[(\\_"[n * 7 % 15])).collect();
    let commas = ",".repeat(HOSTILE);
    let ipv6 = |n: usize| match n {
        0 => "2001:db8:ff00:1:a00:27ff:fe4e:66a1".to_owned(),
        _ => format!("2001:db8:10:1:a00:27ff:fe4e:{:x}", 0x6000 + n),
    };
    let quote = format!("for=\"{}, for={CLIENT};proto=https;host=good.example", "a".repeat(HOSTILE));
    let lines = |n: usize| if n < 63 { format!("198.51.100.{n}") } else { CLIENT.to_owned() };

    vec![
        stranger("stranger-no-headers", vec![]),
        stranger(
            "stranger-forged",
            owned(&[(CHAIN, "198.51.100.7"), ("x-forwarded-proto", "https"), ("x-real-ip", "198.51.100.7")]),
        ),
        proxy("proxy-no-headers", vec![]),
        found("proxy-one-entry", chain(CLIENT.to_owned())),
        found(
            "proxy-three",
            owned(&[
                (CHAIN, "203.0.113.9, 10.0.0.8, 10.0.0.7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "good.example"),
                ("x-forwarded-port", "443"),
                ("x-forwarded-prefix", "/app"),
            ]),
        ),
        input(
            "twenty-ipv6",
            PROXY,
            chain(entries(&ipv6, 20)),
            Some(ip("2001:db8:ff00:1:a00:27ff:fe4e:66a1")),
        ),
        found(
            "forwarded-three",
            owned(&[(
                "forwarded",
                "for=203.0.113.9;proto=https;host=good.example, \
                 for=10.0.0.8;proto=http;host=good.example, for=10.0.0.7;proto=http;host=app.internal",
            )]),
        ),
        unknown("garbage-8k", chain(garbage.clone())),
        found("garbage-8k-appended", chain(appended(&garbage))),
        // Without an entry it is as without the header.
        proxy("commas-8k", chain(commas)),
        found("open-quote-8k", vec![("forwarded", quote)]),
        unknown(
            "thousand-entries-trusted",
            chain(entries(&|n| format!("10.1.{}.{}", n / 250, n % 250), ENTRIES)),
        ),
        found("thousand-entries-untrusted", chain(appended(&forged))),
        stranger("thousand-entries-stranger", chain(forged)),
        found("sixty-four-lines", (0..64).map(|n| (CHAIN, lines(n))).collect()),
    ]
}

fn input(
    name: &'static str,
    peer: &str,
    headers: Vec<(&'static str, String)>,
    client: Option<IpAddr>,
) -> Input {
    let headers = owned(&ORDINARY).into_iter().chain(headers).collect();
    Input { name, peer: address(peer), target: "/users/7?page=2", headers, client }
}

fn owned(headers: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address with a port")
}
