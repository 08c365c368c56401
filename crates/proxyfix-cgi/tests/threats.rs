//! Threats that whole connections play out, through public names.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proxyfix_cgi::fastcgi::{Decoder, Event, write_pair};
use proxyfix_cgi::{Gateway, Limits};
use proxyfix_policy::{Mount, Peer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::runtime::Builder;
use tokio::sync::mpsc;

const ABORT: u8 = 2;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const GET_VALUES: u8 = 9;

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[1, kind, 0, 1][..], &length, &[0, 0], content].concat()
}

/// The head of a request that is all there is on its connection.
fn head(variables: &[(&str, &str)]) -> Vec<u8> {
    let mut pairs = BytesMut::new();
    for (name, value) in [("REQUEST_METHOD", "POST")].iter().chain(variables) {
        write_pair(name.as_bytes(), value.as_bytes(), &mut pairs);
    }
    [record(1, &[0, 1, 0, 0, 0, 0, 0, 0]), record(PARAMS, &pairs), record(PARAMS, b"")].concat()
}

/// What comes back of `sent`. Then the web server waits for a second, and goes.
async fn converse(gateway: Gateway, app: Router, sent: &[&[u8]]) -> Vec<u8> {
    let (io, ours) = duplex(64 << 10);
    let served = tokio::spawn(gateway.serve_connection(ours, Peer::local(), app));
    let (mut read, mut write) = tokio::io::split(io);
    let reading = tokio::spawn(async move {
        let mut back = Vec::new();
        read.read_to_end(&mut back).await.unwrap();
        back
    });
    for piece in sent {
        // It may have closed by then.
        let _ = write.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _ = write.shutdown().await;
    served.await.unwrap().unwrap();
    reading.await.unwrap()
}

/// What the service answered.
fn stdout(mut back: &[u8]) -> String {
    let mut stdout = Vec::new();
    while let Some(header) = back.get(..8) {
        let end = 8 + usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[1] == STDOUT {
            stdout.extend_from_slice(&back[8..end]);
        }
        back = &back[end..];
    }
    String::from_utf8(stdout).unwrap()
}

/// An application that tells what it was asked, and what became of the body.
fn telling() -> (Router, mpsc::UnboundedReceiver<String>) {
    let (sender, told) = mpsc::unbounded_channel();
    let tell = async move |request: Request| {
        let (parts, body) = request.into_parts();
        sender.send(parts.uri.to_string()).unwrap();
        let body = body.collect().await.map(|body| format!("{} octets", body.to_bytes().len()));
        sender.send(body.unwrap_or_else(|error| error.into_inner().to_string())).unwrap();
    };
    (Router::new().fallback(routing::any(tell)), told)
}

#[tokio::test(start_paused = true)]
async fn t113_what_belongs_to_a_connection_goes_no_further_in_either_direction() {
    let app = Router::new().fallback(routing::any(async |headers: HeaderMap| {
        let names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
        let sent = [("connection", "x-own, close"), ("x-own", "1"), ("te", "trailers"), ("x-other", "2")];
        (sent, names.join(" ")).into_response()
    }));
    let variables = [
        ("HTTP_CONNECTION", "x-named"),
        ("HTTP_TE", "trailers"),
        ("HTTP_TRANSFER_ENCODING", "chunked"),
        ("HTTP_UPGRADE", "websocket"),
        ("HTTP_KEEP_ALIVE", "1"),
        ("HTTP_TRAILER", "x"),
        ("HTTP_PROXY_CONNECTION", "x"),
        ("HTTP_ACCEPT", "*/*"),
    ];
    let back = stdout(&converse(Gateway::new(), app, &[&head(&variables), &record(STDIN, b"")]).await);
    assert!(back.ends_with("\r\n\r\naccept"), "{back}");
    assert!(back.contains("\r\nx-other: 2\r\n"), "{back}");
    for name in ["connection:", "x-own:", "te:"] {
        assert!(!back.contains(&format!("\n{name}")), "{back}");
    }
}

#[test]
fn t154_no_path_climbs_out_of_a_declared_mount() {
    let gateway = Gateway::new().mount("/app".parse().unwrap());
    for path in [
        "/app/../secret",
        "/app/%2e%2e/secret",
        "/app/..%2fsecret",
        "/app/a/../../secret",
        "/app%2f..%2fsecret",
        "/../app/../secret",
        "/app/.%2e",
    ] {
        for name in ["REQUEST_URI", "PATH_INFO"] {
            let decoded = percent_encoding::percent_decode_str(path).collect::<Vec<u8>>();
            let value = if name == "REQUEST_URI" { path.as_bytes() } else { &decoded[..] };
            let variables = [("REQUEST_METHOD", &b"GET"[..]), (name, value)].into_iter().collect();
            assert_eq!(gateway.request(variables).unwrap_err().status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
    // What stays below it comes without the dots, where they mean something to a reader of paths.
    for (path, below) in
        [("/app/a/../b", "/b"), ("/app/./a", "/a"), ("/x/../app/a", "/a"), ("/app/a/..", "/")]
    {
        let variables = [("REQUEST_METHOD", "GET"), ("REQUEST_URI", path)].into_iter().collect();
        let parts = gateway.request(variables).unwrap();
        assert_eq!(
            (parts.uri.path(), parts.extensions.get::<Mount>().unwrap().prefix().as_str()),
            (below, "/app")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn t158_variables_beyond_a_limit_are_answered_with_431_and_the_service_is_not_called() {
    let long = "x".repeat(40 << 10);
    let many: Vec<String> = (0..600).map(|number| format!("NAME_{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (&**name, "")).collect();
    let pieces: Vec<(&str, &str)> = vec![("A", &long[..30 << 10]), ("B", &long[..30 << 10])];
    for (limits, variables) in [
        (Limits::default(), vec![("HTTP_X", &*long)]),
        (Limits::default(), many),
        (Limits::default().variables(50 << 10), pieces),
    ] {
        let (app, mut told) = telling();
        let sent = [head(&variables), record(STDIN, b"")].concat();
        let back = stdout(&converse(Gateway::new().limits(limits), app, &[&sent]).await);
        assert!(back.starts_with("Status: 431 "), "{back}");
        assert_eq!(told.recv().await, None);
    }
}

#[test]
fn t163_pairs_in_any_records_and_with_any_lengths_say_the_same() {
    let short = b"\x01\x05Aabcde\x02\x00BC";
    let long = b"\x80\0\0\x01\x80\0\0\x05Aabcde\x02\x80\0\0\0BC";
    for pairs in [&short[..], long] {
        for size in 1..=pairs.len() {
            let mut octets = BytesMut::from(&record(1, &[0, 1, 0, 0, 0, 0, 0, 0])[..]);
            pairs.chunks(size).for_each(|piece| octets.extend(record(PARAMS, piece)));
            let mut decoder = Decoder::new(&Limits::default());
            assert!(decoder.decode(&mut octets).unwrap().is_none(), "it has no end yet");
            octets.extend(record(PARAMS, b""));
            let Some(Event::Head { variables, .. }) = decoder.decode(&mut octets).unwrap() else { panic!() };
            let expected = [(&b"A"[..], &b"abcde"[..]), (b"BC", b"")];
            assert!(variables.iter().eq(expected), "in records of {size}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t166_a_request_that_breaks_off_is_never_a_whole_one() {
    let begun = head(&[("REQUEST_URI", "/x"), ("CONTENT_LENGTH", "10")]);
    let whole = [&begun[..], &record(STDIN, b"0123456789"), &record(STDIN, b"")].concat();
    for length in 0..=whole.len() {
        let (app, mut told) = telling();
        let back = converse(Gateway::new(), app, &[&whole[..length]]).await;
        let mut heard = Vec::new();
        while let Some(said) = told.recv().await {
            heard.push(said);
        }
        let complete = length == whole.len();
        assert_eq!(!back.is_empty(), complete, "{length}");
        match &heard[..] {
            [] => assert!(length < begun.len()),
            // Its handler is dropped while it waits.
            [target] => assert!(target == "/x" && length >= begun.len() && !complete),
            [target, body] => {
                assert!(target == "/x" && (body == "10 octets") == complete, "{length}: {body}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Records as web servers send them, with octets that are not theirs.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let small = [("REQUEST_URI", "/"), ("CONTENT_LENGTH", "3")];
    let parts = select(vec![
        head(&small),
        head(&[]),
        record(1, &[0, 1, 1, 0, 0, 0, 0, 0]),
        record(PARAMS, b""),
        record(PARAMS, b"\x01\x01AB"),
        record(STDIN, b"abc"),
        record(STDIN, b""),
        record(ABORT, b""),
        record(GET_VALUES, b"\x0f\x00FCGI_MPXS_CONNS"),
        vec![1, GET_VALUES, 0, 0, 0, 0, 255, 0],
        vec![1, 99, 0, 0, 0xFF, 0xFF, 0, 0],
    ]);
    (vec(parts, 1..12), vec((any::<Index>(), any::<u8>()), 0..4)).prop_map(|(parts, wrong)| {
        let mut octets = parts.concat();
        for (place, octet) in wrong {
            let place = place.index(octets.len());
            octets[place] = octet;
        }
        octets
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing panics, and everything ends: the clock goes on when nobody has anything to do.
    #[test]
    fn t124_no_octet_is_too_hostile_for_a_connection(octets in hostile(), size in 1usize..40) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let pieces: Vec<&[u8]> = octets.chunks(size).collect();
            let (app, _told) = telling();
            let conversation = converse(Gateway::new(), app, &pieces);
            tokio::time::timeout(Duration::from_secs(60), conversation).await.unwrap();
        });
    }
}
