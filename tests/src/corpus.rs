//! The requests that every gateway has to answer as plain HTTP does, and what else it has to bear.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::application::{Digest, Repair, Serve, octets};
use crate::exact::{Connection, Reply, Sent, exchange, read_head};
use crate::process::pause;
use crate::web::{Deploy, Place, WebServer};
use crate::within;

/// Where a gateway knowingly differs from plain HTTP behind the same server.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// The case.
    pub case: &'static str,
    /// What differs, as [`compare`] names it, or `*` for all of it.
    pub field: &'static str,
    /// Who is the cause, and why it is right or cannot be helped.
    pub why: &'static str,
    /// Whether it does not always occur: it depends on how fast the server was.
    pub sometimes: bool,
}

/// Of every server.
pub const EVERYWHERE: &[Difference] = &[
    differs("status 201", "header content-type", UNSTATED),
    differs("status 201", "header x-content-type-options", UNSTATED),
    may_differ("answer cut", "*", EARLY),
    may_differ("answer of unknown length cut", "*", EARLY),
];

const EARLY: &str =
    "a body that fails before anything was written is a 500, where HTTP has sent its head already";

const UNSTATED: &str = "a body of no stated type: some web servers would guess, so the gateway states one";

/// A row of a table of differences.
pub const fn differs(case: &'static str, field: &'static str, why: &'static str) -> Difference {
    Difference { case, field, why, sometimes: false }
}

/// A row for what depends on how fast the server was.
pub const fn may_differ(case: &'static str, field: &'static str, why: &'static str) -> Difference {
    Difference { case, field, why, sometimes: true }
}

/// A gateway to try: a file of `examples/deployment` and an application that fits it.
#[derive(Clone, Debug)]
pub struct Journey<'a> {
    /// The file.
    pub config: &'a str,
    /// The same server over plain HTTP.
    pub http: &'a str,
    /// How the application serves. [`Serve::Auto`]: the web server starts it.
    pub serve: Serve,
    /// Where the application is.
    pub mount: &'a str,
    /// What mends script name and path.
    pub repair: Repair,
    /// Where it knowingly differs from plain HTTP.
    pub known: &'a [&'a [Difference]],
}

impl Journey<'_> {
    /// Starts the application `program` behind `server` twice, as a gateway and over plain HTTP, and
    /// sends everything.
    pub async fn go(self, server: &impl Deploy, program: &str) {
        let (config, serve, repair) = (self.config, self.serve, self.repair.clone());
        let mut place = Place::new();
        let mut started = None;
        if serve == Serve::Auto {
            place.install(program, serve, repair);
        } else {
            started = Some(place.start_application(program, serve, repair).await);
        }
        let gateway = server.deploy(place, config).await;
        self.against(gateway, server, program).await;
        drop(started);
    }

    /// The same with a `gateway` that somebody else has started.
    pub async fn against(self, gateway: WebServer, server: &impl Deploy, program: &str) {
        let Self { http, mount, known, .. } = self;
        let mut plain = Place::new();
        let mounted = Repair::LighttpdCgiRootFix(mount.to_owned());
        let _application = plain.start_application(program, Serve::Http, mounted).await;
        let http = server.deploy(plain, http).await;

        compare(gateway.address(), http.address(), mount, known).await;
        early(gateway.address(), mount).await;
        slow_reader(gateway.address(), mount).await;
        client_gone(gateway.place(), gateway.address(), mount).await;
        parallel(gateway.address(), mount).await;
        kept(gateway.address(), mount).await;
    }
}

/// Sends the corpus to `gateway` and `http`, and asserts that the answers are the same, or differ as is
/// `known`. What is known and does not occur has to go.
///
/// | field | what |
/// | --- | --- |
/// | `status`, `whole`, `body` | the status; whether all came that was announced; the octets |
/// | `header NAME` | all lines of a header of the answer, but for those that change from one to the next |
/// | `seen NAME`, `seen header NAME` | what the application says that it saw |
/// | `error` | no answer at all |
pub async fn compare(gateway: SocketAddr, http: SocketAddr, mount: &str, known: &[&[Difference]]) {
    let known: Vec<_> = known.iter().copied().flatten().collect();
    let mut occurred = BTreeSet::new();
    let mut surprises = Vec::new();
    for (case, sent) in corpus(mount) {
        let (ours, theirs) = tokio::join!(exchange(gateway, &sent), exchange(http, &sent));
        let (mut ours, mut theirs) = (fields(&ours), fields(&theirs));
        if case.starts_with("download") {
            // A server that has seen the end before it writes the head states the length itself.
            ours.remove("header content-length");
            theirs.remove("header content-length");
        }
        if ours.get("whole") != theirs.get("whole") {
            // How much came of the one that was cut depends on the moment.
            ours.remove("body");
            theirs.remove("body");
        }
        let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for name in names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name)) {
            let known = known.iter().position(|it| it.case == case && [name, "*"].contains(&it.field));
            match known {
                Some(row) => drop(occurred.insert(row)),
                None => surprises.push(format!(
                    "{case}, {name}:\n  gateway {:?}\n  http    {:?}",
                    ours.get(name),
                    theirs.get(name)
                )),
            }
        }
    }
    for (row, difference) in known.iter().enumerate() {
        if !difference.sometimes && !occurred.contains(&row) {
            surprises.push(format!("this difference is gone: {difference:?}"));
        }
    }
    assert!(surprises.is_empty(), "{} surprises:\n{}", surprises.len(), surprises.join("\n"));
}

/// Headers of an answer that are the server's own, or change from one answer to the next.
const OF_THE_SERVER: [&str; 7] =
    ["accept-ranges", "connection", "date", "keep-alive", "server", "transfer-encoding", "via"];

fn fields(reply: &std::io::Result<Reply>) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => {
            fields.insert("error".to_owned(), error.kind().to_string());
            return fields;
        }
    };
    fields.insert("status".to_owned(), reply.head.status.to_string());
    fields.insert("whole".to_owned(), reply.whole.to_string());
    let json = serde_json::from_slice::<Value>(&reply.body).ok();
    for (name, value) in &reply.head.headers {
        // The length of what was seen differs where what was seen does.
        let skipped = OF_THE_SERVER.contains(&&**name) || (json.is_some() && name == "content-length");
        if !skipped {
            let lines = fields.entry(format!("header {name}")).or_default();
            *lines = [lines, &**value, "\n"].concat();
        }
    }
    match json {
        Some(Value::Object(seen)) => {
            for (name, value) in seen {
                match value {
                    Value::Object(headers) if name == "headers" => {
                        let headers = headers.into_iter();
                        fields.extend(
                            headers.map(|(name, it)| (format!("seen header {name}"), it.to_string())),
                        );
                    }
                    value => drop(fields.insert(format!("seen {name}"), value.to_string())),
                }
            }
        }
        // How much of it came depends on the moment.
        _ if !reply.whole => {}
        _ if reply.body.len() > 1000 => {
            fields.insert("body".to_owned(), Digest::seen(&reply.body).to_string());
        }
        _ => {
            fields.insert("body".to_owned(), reply.body.escape_ascii().to_string());
        }
    }
    fields
}

const CLOSE: &str = "Connection: close";

/// Name and request of every case.
pub fn corpus(mount: &str) -> Vec<(&'static str, Sent)> {
    let target = |path: &str| [mount, path].concat();
    let mut cases: Vec<(&str, Sent)> = Vec::new();
    for (name, path) in PATHS {
        cases.push((name, Sent::new("GET", target(path), &[CLOSE])));
    }
    if !mount.is_empty() {
        cases.push(("nothing below the mount", Sent::new("GET", mount, &[CLOSE])));
        cases.push(("nothing below the mount but a query", Sent::new("GET", target("?a=1"), &[CLOSE])));
    }
    for (name, lines) in HEADERS {
        let lines: Vec<_> = [CLOSE.as_bytes()].into_iter().chain(lines.iter().copied()).collect();
        cases.push((name, Sent::new("GET", target("/foo"), &lines)));
    }
    let many: Vec<_> = (0..60).map(|it| format!("X-Many-{it}: {it}")).chain([CLOSE.to_owned()]).collect();
    cases.push(("many headers", Sent::new("GET", target("/foo"), &many)));
    for (name, method, path) in METHODS {
        cases.push((name, Sent::new(method, target(path), &[CLOSE])));
    }
    for (name, length) in LENGTHS {
        cases.push((name, with_length(target("/foo"), length)));
    }
    cases.push(("early answer", Sent::new("GET", target("/early"), &[CLOSE])));
    let chunked = |path: &str, pieces: &[usize]| {
        let lines = [CLOSE, "Transfer-Encoding: chunked", "Content-Type: text/plain"];
        let mut sent = Sent::new("POST", target(path), &lines);
        for piece in pieces.iter().chain(&[0]) {
            sent.body.extend(format!("{piece:x}\r\n").into_bytes());
            sent.body.extend(octets(*piece));
            sent.body.extend(b"\r\n");
        }
        sent
    };
    cases.push(("chunked", chunked("/foo", &[1, 10, 8000, 3])));
    cases.push(("chunked 100 KiB", chunked("/foo", &[3, 100 << 10, 1])));
    cases.push(("chunked and empty", chunked("/foo", &[])));
    let lines = [CLOSE, "Content-Length: 5", "Expect: 100-continue"];
    let mut expects = Sent::new("POST", target("/foo"), &lines);
    expects.body.extend(b"hello");
    expects.waits = true;
    cases.push(("expect 100-continue", expects));
    cases
}

fn with_length(target: String, length: usize) -> Sent {
    let length_line = format!("Content-Length: {length}");
    let mut sent =
        Sent::new("POST", target, &[CLOSE, &length_line, "Content-Type: application/octet-stream"]);
    sent.body = octets(length);
    sent
}

const PATHS: [(&str, &str); 40] = [
    ("root", "/"),
    ("plain", "/foo"),
    ("two segments", "/foo/bar"),
    ("trailing slash", "/foo/"),
    ("double slash", "/foo//bar"),
    ("double slash first", "//foo"),
    ("dots", "/foo/./bar/../baz"),
    ("encoded slash", "/foo/bar%2Fbaz?q=1"),
    ("encoded slash in lower case", "/foo%2fbar"),
    ("encoded percent", "/100%25"),
    ("encoded question mark", "/foo%3Fbar?q"),
    ("encoded hash", "/foo%23bar"),
    ("encoded letter", "/%66oo"),
    ("encoded dots", "/foo/%2e%2e/bar"),
    ("space and plus", "/a%20b+c"),
    ("reserved", "/a;b=c/d:e@f,g!h$i'j(k)*~l"),
    ("utf-8 in percent", "/caf%C3%A9"),
    ("utf-8 raw", "/caf\u{e9}"),
    ("latin-1 in percent", "/caf%E9"),
    ("empty query", "/foo?"),
    ("query", "/foo?a=1&b=%2F&c=%26&d=a+b&a=2"),
    ("query with question marks", "/foo?a=b?c=d?"),
    ("query in utf-8 raw", "/foo?q=\u{e9}"),
    ("status 201", "/status/201"),
    ("status 204", "/status/204"),
    ("status 302", "/status/302"),
    ("status 304", "/status/304"),
    ("status 404", "/status/404"),
    ("status 418", "/status/418"),
    ("status 500", "/status/500"),
    ("status 503", "/status/503"),
    ("repeated in the answer", "/repeated"),
    ("download of nothing", "/download/0"),
    ("download of one octet", "/download/1"),
    ("download of 4 MiB", "/download/4194304"),
    ("length of nothing", "/sized/0"),
    ("length of 4 MiB", "/sized/4194304"),
    ("slow answer", "/slow/4"),
    ("answer cut", "/cut/50000"),
    ("answer of unknown length cut", "/open/4194304"),
];

const HEADERS: [(&str, &[&[u8]]); 9] = [
    ("repeated in the request", &[b"X-Repeated: one", b"X-Repeated: two, three", b"X-Empty:"]),
    ("cookies", &[b"Cookie: a=1", b"Cookie: b=\"2\"; c=3"]),
    ("negotiation", &[b"Accept: text/html, */*;q=0.8", b"Accept-Language: de", b"User-Agent: test (x, y)"]),
    ("not ASCII", &[b"X-Utf8: caf\xC3\xA9", b"X-Latin1: caf\xE9", b"X-Tab: a\tb"]),
    ("credentials", &[b"Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l"]),
    ("httpoxy", &[b"Proxy: http://evil.example:3128/"]),
    (
        "spoofed variables",
        &[b"Script-Name: /evil", b"Path-Info: /evil", b"Remote-Addr: 6.6.6.6", b"Https: on"],
    ),
    ("conditional", &[b"If-None-Match: \"x\"", b"If-Modified-Since: Wed, 21 Oct 2015 07:28:00 GMT"]),
    ("content type without a body", &[b"Content-Type: text/plain"]),
];

const METHODS: [(&str, &str, &str); 10] = [
    ("HEAD", "HEAD", "/foo"),
    ("HEAD of 4 MiB", "HEAD", "/sized/4194304"),
    ("HEAD of unknown length", "HEAD", "/download/100"),
    ("HEAD 204", "HEAD", "/status/204"),
    ("HEAD 304", "HEAD", "/status/304"),
    ("HEAD 404", "HEAD", "/status/404"),
    ("OPTIONS", "OPTIONS", "/foo"),
    ("PUT", "PUT", "/foo"),
    ("DELETE", "DELETE", "/foo"),
    ("PATCH", "PATCH", "/foo"),
];

const LENGTHS: [(&str, usize); 5] = [
    ("POST of nothing", 0),
    ("POST of one octet", 1),
    ("POST of 64 KiB", 64 << 10),
    ("POST of 1 MiB", 1 << 20),
    ("POST of 64 MiB", 64 << 20),
];

/// An answer arrives, though the body of its request was not read. Not more of it than `Limits::unread`:
/// beyond that, as over HTTP, the connection is reset, and the answer may be lost with it.
async fn early(gateway: SocketAddr, mount: &str) {
    for length in [1, 60_000] {
        let reply = exchange(gateway, &with_length(format!("{mount}/early"), length)).await;
        let reply = reply.unwrap_or_else(|error| panic!("after {length} octets: {error}"));
        assert_eq!((reply.head.status, &*reply.body), (403, &b"not for you\n"[..]), "after {length} octets");
    }
}

/// A client that takes its time gets the whole answer.
async fn slow_reader(gateway: SocketAddr, mount: &str) {
    const LENGTH: usize = 4 << 20;
    within("an answer to a slow reader", async {
        let mut connection = Connection::open(gateway).await.expect("a server");
        let sent = Sent::new("GET", format!("{mount}/sized/{LENGTH}"), &[CLOSE]);
        connection.writer.write_all(&sent.head).await.expect("a server that reads");
        let head = read_head(&mut connection.reader).await.expect("an answer");
        assert_eq!((head.status, head.get("content-length")), (200, Some("4194304")), "{head:?}");
        let mut body = vec![0; LENGTH];
        for piece in body.chunks_mut(LENGTH / 32) {
            pause().await;
            connection.reader.read_exact(piece).await.expect("the next piece");
        }
        assert!(body == octets(LENGTH), "other octets");
    })
    .await;
}

/// A handler whose client went away does not work on.
async fn client_gone(place: &Place, gateway: SocketAddr, mount: &str) {
    let mut connection = Connection::open(gateway).await.expect("a server");
    let sent = Sent::new("GET", format!("{mount}/drip/client"), &[CLOSE]);
    connection.writer.write_all(&sent.head).await.expect("a server that reads");
    place.began("client").await;
    drop(connection);
    place.gone("client").await;
}

/// A hundred requests at the same time are told apart.
async fn parallel(gateway: SocketAddr, mount: &str) {
    let mut requests = JoinSet::new();
    for number in 0..100 {
        let mut sent = with_length(format!("{mount}/parallel?{number}"), 1000 + number);
        sent.body.rotate_left(number);
        requests.spawn(async move { (number, exchange(gateway, &sent).await, sent.body) });
    }
    while let Some(request) = requests.join_next().await {
        let (number, reply, body) = request.expect("an answer");
        let seen = reply.expect("an answer").json();
        assert_eq!(seen["uri"], format!("/parallel?{number}"), "{seen:#}");
        assert_eq!(seen["body"], Digest::seen(&body), "{seen:#}");
    }
}

/// A hundred requests on four connections, one after the other on each.
async fn kept(gateway: SocketAddr, mount: &str) {
    let mut connections = JoinSet::new();
    for connection in 0..4 {
        let mount = mount.to_owned();
        connections.spawn(async move {
            let mut kept = Connection::open(gateway).await.expect("a server");
            for number in 0..25 {
                let mut sent =
                    Sent::new("POST", format!("{mount}/kept?{connection}-{number}"), &["Content-Length: 7"]);
                sent.body = format!("body {connection}{}", number % 10).into_bytes();
                let reply = within("an answer on a kept connection", kept.exchange(&sent)).await;
                let seen = reply.unwrap_or_else(|error| panic!("{number}: {error}")).json();
                assert_eq!(seen["uri"], format!("/kept?{connection}-{number}"), "{seen:#}");
                assert_eq!(seen["body"], Digest::seen(&sent.body), "{seen:#}");
            }
        });
    }
    while let Some(connection) = connections.join_next().await {
        connection.expect("answers on a kept connection");
    }
}
