//! From a response to what CGI says of it.
//!
//! What each rule is for, `docs/answers.md` says: it holds what web servers do with odd answers.

use std::fmt::Write as _;

use bytes::{BufMut as _, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, Method, StatusCode, response};

use crate::Gateway;
use crate::events::{Excerpt, Report, report};
use crate::scgi::decimal;

/// Headers beyond which a response is none.
const MOST_HEADERS: usize = 128;
/// Octets of a head beyond which a response is none. What is less fits one FastCGI record.
const LONGEST_HEAD: usize = 64_000;
/// Octets of a head that nginx takes: its buffer is of 4 KiB, and holds the header of the record, too.
const NGINX: usize = 4096 - 8;

const TOO_LARGE: &str =
    "the head of a response is longer than 64000 octets, or has more than 128 headers; 500 was answered";

/// How much of a body may follow a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Nothing; the body of the response is not polled.
    None,
    /// So many octets: one that is longer is cut, one that is shorter is not completed.
    Exact(u64),
    /// As many as come.
    Open,
}

impl Gateway {
    /// Writes the head of a response, `length` octets of body known beforehand.
    ///
    /// | response | what is written |
    /// | --- | --- |
    /// | 200 to 599 | `Status` with the usual words, then the headers, a line for each value |
    /// | 1xx, 600 and more | an error |
    /// | `Location` | goes before `Status`, because HAProxy makes a 302 of any status that stands before it |
    /// | `Location` of a 200 | nothing: CGI in Apache takes it for a redirect; reported |
    /// | `Connection` and what it names, `Transfer-Encoding` and their like, `Status` | nothing |
    /// | `X-Accel-Redirect`, `X-Sendfile` and their like | nothing, unless the gateway passes them; reported |
    /// | `Content-Length`, one or equal ones | one; malformed or different ones are an error |
    /// | no `Content-Length`, and `length` is known | `length`; not if it is zero, and the method HEAD |
    /// | 204, 304 | neither `Content-Length` nor body |
    /// | 205 | `Content-Length: 0`, no body |
    /// | HEAD | no body |
    /// | a body, and no `Content-Type` | `application/octet-stream`, and `nosniff`; reported |
    /// | more than 128 headers, or 64 000 octets | an error |
    ///
    /// Where it is an error, nothing is written.
    pub(crate) fn head(
        &self,
        parts: &response::Parts,
        method: &Method,
        length: Option<u64>,
        out: &mut BytesMut,
    ) -> Result<Payload, &'static str> {
        let start = out.len();
        let payload = self.write_head(parts, method, length, out);
        let octets = out.len() - start;
        if payload.is_err() {
            out.truncate(start);
        } else if octets > NGINX {
            let detail = format_args!(
                "the head of a response has {octets} octets, and nginx takes no more than {NGINX}; \
                 send fewer cookies, or raise fastcgi_buffer_size"
            );
            report(Report::Limit, &detail);
        }
        payload
    }

    fn write_head(
        &self,
        parts: &response::Parts,
        method: &Method,
        length: Option<u64>,
        out: &mut BytesMut,
    ) -> Result<Payload, &'static str> {
        let (status, headers) = (parts.status, &parts.headers);
        if status.is_informational() {
            return Err("a gateway has no interim responses and no upgrades: a status of 1xx became 500");
        }
        if status.as_u16() > 599 {
            return Err("a status beyond 599 became 500");
        }
        if headers.len() > MOST_HEADERS {
            return Err(TOO_LARGE);
        }
        let is_head = *method == Method::HEAD;
        let (length, payload) = match status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => (None, Payload::None),
            StatusCode::RESET_CONTENT => (Some(0), Payload::None),
            // Most often, somebody took the body off before.
            _ if is_head => (stated_length(headers)?.or(length.filter(|it| *it > 0)), Payload::None),
            _ => {
                let length = stated_length(headers)?.or(length);
                (length, length.map_or(Payload::Open, Payload::Exact))
            }
        };
        let has_content = length.map_or(payload == Payload::Open, |length| length > 0);

        let nominates = headers.contains_key(CONNECTION);
        let mut head = Head { start: out.len(), out };
        for value in headers.get_all(LOCATION) {
            if status == StatusCode::OK {
                let detail = &"the Location of a response with status 200 was not passed on, for Apache takes \
                               it for a redirect; redirect with a 3xx, or leave it out";
                report(Report::Response, detail);
            } else if !(nominates && is_nominated(headers, &LOCATION)) {
                head.line(LOCATION.as_str(), value.as_bytes())?;
            }
        }
        for piece in ["Status: ", status.as_str(), " ", reason(status), "\r\n"] {
            head.out.put_slice(piece.as_bytes());
        }
        let (mut is_typed, mut is_guarded) = (false, false);
        for (name, value) in headers {
            if *name == LOCATION || *name == CONTENT_LENGTH {
                continue;
            }
            if belongs_to_connection(name.as_str()) || nominates && is_nominated(headers, name) {
                let name = Excerpt::of(name.as_str().as_bytes());
                report(Report::Dropped, &format_args!("the header {name} of a response was not passed on"));
                continue;
            }
            if !self.accelerator_headers && commands_server(name.as_str()) {
                let name = Excerpt::of(name.as_str().as_bytes());
                let detail = format_args!(
                    "the header {name} of a response was not passed on, for web servers obey it; \
                     if that is meant, call Gateway::pass_accelerator_headers"
                );
                report(Report::Response, &detail);
                continue;
            }
            is_typed |= *name == CONTENT_TYPE;
            is_guarded |= *name == X_CONTENT_TYPE_OPTIONS;
            head.line(name.as_str(), value.as_bytes())?;
        }
        if let Some(length) = length {
            // It cannot fail: octets are reserved as they are needed.
            head.line(CONTENT_LENGTH.as_str(), decimals(length, &mut [0; 20]))?;
        }
        if has_content && !is_typed {
            let detail =
                &"a response has a body and no Content-Type; it was sent as application/octet-stream";
            report(Report::Response, detail);
            head.line(CONTENT_TYPE.as_str(), b"application/octet-stream")?;
            if !is_guarded {
                head.line(X_CONTENT_TYPE_OPTIONS.as_str(), b"nosniff")?;
            }
        }
        head.end()?;
        Ok(payload)
    }
}

/// Writes a whole answer of the gateway's own: a line of text that says the status, and nothing else.
///
/// With 503, `Retry-After: 1`: whoever was refused for too many connections may come again soon.
pub(crate) fn refusal(status: StatusCode, method: &Method, out: &mut BytesMut) {
    let (code, reason) = (status.as_str(), reason(status));
    let length = code.len() + 1 + reason.len() + 1;
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE { "retry-after: 1\r\n" } else { "" };
    let _ = write!(
        out,
        "Status: {code} {reason}\r\ncache-control: no-store\r\n{retry}\
         content-type: text/plain\r\ncontent-length: {length}\r\n\r\n"
    );
    if *method != Method::HEAD {
        let _ = writeln!(out, "{code} {reason}");
    }
}

/// A head that is being written.
struct Head<'a> {
    out: &'a mut BytesMut,
    start: usize,
}

impl Head<'_> {
    fn line(&mut self, name: &str, value: &[u8]) -> Result<(), &'static str> {
        if self.out.len() - self.start + name.len() + value.len() > LONGEST_HEAD {
            return Err(TOO_LARGE);
        }
        self.out.reserve(name.len() + value.len() + 4);
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b": ");
        self.out.put_slice(value);
        self.out.put_slice(b"\r\n");
        Ok(())
    }

    fn end(self) -> Result<(), &'static str> {
        self.out.put_slice(b"\r\n");
        if self.out.len() - self.start > LONGEST_HEAD { Err(TOO_LARGE) } else { Ok(()) }
    }
}

/// The digits of a number, without the machinery of formatting: this is written with nearly every response.
fn decimals(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        // A digit is less than ten.
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}

/// The words beside a status: none would make an empty reason of it, and confuse some servers.
fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Unknown")
}

/// The length that the headers state.
fn stated_length(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let mut stated = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let length = decimal(value.as_bytes())
            .ok_or("the Content-Length of a response is not a number; 500 was answered")?;
        if stated.is_some_and(|stated| stated != length) {
            return Err("a response states two lengths; 500 was answered");
        }
        stated = Some(length);
    }
    Ok(stated)
}

/// Whether a header is between the web server and its client (RFC 9110 section 7.6.1), or would be a
/// second status.
fn belongs_to_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "status"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether `Connection` names it.
fn is_nominated(headers: &HeaderMap, name: &HeaderName) -> bool {
    let lines = headers.get_all(CONNECTION).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|octet| *octet == b','))
        .any(|it| it.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Whether web servers obey it, and deliver a file or another answer: nginx `X-Accel-*`, lighttpd
/// `X-Sendfile`, `X-Sendfile2` and `X-LIGHTTPD-*`, mod_xsendfile of Apache `X-Sendfile` and
/// `X-Sendfile-Temporary`, Perlbal, H2O and mod_reproxy `X-Reproxy-*`. `X-Accel-Buffering` delivers
/// nothing, and streams of events need it.
fn commands_server(name: &str) -> bool {
    name.starts_with("x-")
        && name != "x-accel-buffering"
        && ["x-accel-", "x-sendfile", "x-lighttpd-", "x-reproxy-"].iter().any(|it| name.starts_with(it))
}

/// The catalogue of threats tells what a web server owes its client when a script answers. Here it is the
/// other way around: we write what web servers read, so each entry asks that the odd answer never leaves us.
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::str;

    use allocation_counter::measure;
    use http::header::{HeaderValue, SET_COOKIE};
    use http::{HeaderName, Response};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tracing::Level;

    use super::*;
    use crate::events::tests::collect;

    type Headers<'a> = &'a [(&'a str, &'a str)];

    fn response(status: u16, headers: Headers<'_>) -> response::Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        response.body(()).unwrap().into_parts().0
    }

    /// What `Gateway::new()` writes of it.
    fn write(
        parts: &response::Parts,
        method: &Method,
        length: Option<u64>,
    ) -> Result<(String, Payload), &'static str> {
        let mut out = BytesMut::from("before");
        let payload = Gateway::new().head(parts, method, length, &mut out);
        let written = str::from_utf8(&out).unwrap().strip_prefix("before").unwrap().to_owned();
        assert!(payload.is_ok() || written.is_empty(), "an error wrote {written:?}");
        payload.map(|payload| (written, payload))
    }

    fn get(
        status: u16,
        headers: Headers<'_>,
        length: Option<u64>,
    ) -> Result<(String, Payload), &'static str> {
        write(&response(status, headers), &Method::GET, length)
    }

    /// Asserts the lines of a head, but for the blank one.
    #[track_caller]
    fn assert_lines((written, _): &(String, Payload), lines: &[&str]) {
        let written: Vec<&str> = written.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
        assert_eq!(written, lines);
    }

    /// Asserts the events: name, and a word of the message.
    #[track_caller]
    fn assert_reported(work: impl FnOnce(), expected: &[(&str, &str)]) {
        let seen = collect(work);
        assert_eq!(seen.len(), expected.len(), "{seen:?}");
        for (seen, (event, word)) in seen.iter().zip(expected) {
            assert_eq!(seen.event, *event);
            assert!(seen.message.contains(word), "{:?} is not in {:?}", word, seen.message);
        }
    }

    const TEXT: (&str, &str) = ("content-type", "text/plain");

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 1, 9, 10, 14, 99, 100, 12_345_678_901, u64::MAX - 1, u64::MAX] {
            assert_eq!(decimals(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_head_is_the_status_and_the_headers() {
        let head = get(200, &[TEXT, ("x-a", "b\tc")], Some(2)).unwrap();
        assert_lines(
            &head,
            &["Status: 200 OK", "content-type: text/plain", "x-a: b\tc", "content-length: 2"],
        );
        assert_eq!(head.1, Payload::Exact(2));
        assert_reported(|| drop(get(200, &[TEXT], Some(2))), &[]);
    }

    #[test]
    fn octets_that_are_no_text_are_written_as_they_are() {
        let mut parts = response(200, &[]);
        parts.headers.insert("x-a", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        let mut out = BytesMut::new();
        Gateway::new().head(&parts, &Method::GET, Some(0), &mut out).unwrap();
        assert_eq!(&out[..], b"Status: 200 OK\r\nx-a: caf\xe9\r\ncontent-length: 0\r\n\r\n");
    }

    /// Without one, mod_proxy_fcgi and Caddy answer 200 to a redirect, and nginx sends an empty reason
    /// where there is none.
    #[test]
    fn there_is_always_a_status_and_it_has_words() {
        for (status, line) in [
            (200, "Status: 200 OK"),
            (299, "Status: 299 Unknown"),
            (404, "Status: 404 Not Found"),
            (599, "Status: 599 Unknown"),
        ] {
            assert_lines(&get(status, &[], Some(0)).unwrap(), &[line, "content-length: 0"]);
        }
    }

    /// HAProxy 2.6 answers 302 where it comes behind the status: to a 201, and to a 308, which would make
    /// a GET of a POST.
    #[test]
    fn location_comes_before_the_status() {
        for status in [201, 303, 308, 404] {
            let (written, _) = get(status, &[("x-a", "b"), ("location", "/thing/1")], Some(0)).unwrap();
            assert!(written.starts_with(&format!("location: /thing/1\r\nStatus: {status} ")), "{written}");
            assert_eq!(written.matches("location").count(), 1);
        }
    }

    #[test]
    fn every_value_has_a_line_of_its_own() {
        let parts = response(200, &[("set-cookie", "a=1"), ("x-a", "b"), ("set-cookie", "b=2")]);
        let (written, _) = write(&parts, &Method::GET, Some(0)).unwrap();
        let cookies = written.split("\r\n").filter_map(|line| line.strip_prefix("set-cookie: "));
        assert_eq!(cookies.collect::<Vec<_>>(), ["a=1", "b=2"]);
    }

    /// nginx answers 502 to one octet more.
    #[test]
    fn a_head_that_nginx_would_not_take_is_reported() {
        let head = |octets: usize| {
            let rest = "Status: 200 OK\r\nx-a: \r\ncontent-length: 0\r\n\r\n".len();
            let head = get(200, &[("x-a", &"b".repeat(octets - rest))], Some(0));
            assert_eq!(head.unwrap().0.len(), octets);
        };
        assert_reported(|| head(4088), &[]);
        assert_reported(
            || head(4089),
            &[("cgi.limit", "has 4089 octets, and nginx takes no more than 4088")],
        );
    }

    #[test]
    fn nothing_is_allocated_but_what_is_written() {
        let parts = response(
            302,
            &[TEXT, ("location", "/a"), ("set-cookie", "a=1"), ("connection", "x-a"), ("x-a", "b")],
        );
        let gateway = Gateway::new();
        let mut out = BytesMut::with_capacity(1024);
        let head = measure(|| {
            gateway.head(&parts, &Method::GET, Some(12_345), &mut out).unwrap();
        });
        assert_eq!(head.count_total, 0);
        let refused = measure(|| refusal(StatusCode::SERVICE_UNAVAILABLE, &Method::GET, &mut out));
        assert_eq!(refused.count_total, 0);
    }

    /// Web servers owe a client 502 for `Status: abc`, `99`, `1000` and two of them. We never write such.
    #[test]
    fn t179_one_status_of_200_to_599_is_written() {
        for status in [600, 999] {
            assert!(get(status, &[], None).is_err(), "{status}");
        }
        let sent = [("status", "302 Found"), ("status", "abc"), TEXT];
        let expected = ["Status: 200 OK", "content-type: text/plain", "content-length: 2"];
        assert_lines(&get(200, &sent, Some(2)).unwrap(), &expected);
        assert_reported(|| drop(get(200, &sent[..1], Some(0))), &[("cgi.dropped", "status")]);
    }

    /// Every web server sends what follows an interim response as body, or as an answer of its own.
    #[test]
    fn t179_t190_interim_responses_and_upgrades_are_errors() {
        for status in 100..200 {
            assert!(get(status, &[], Some(0)).is_err(), "{status}");
        }
    }

    /// A web server owes 502 for the whole, not for what follows a bad header. An error leaves nothing
    /// of the head behind.
    #[test]
    fn t181_an_error_writes_nothing() {
        assert!(get(200, &[("x-a", "b"), ("content-length", "x")], None).is_err());
        assert!(get(200, &[("x-a", "b"), ("x-b", &"c".repeat(64_000))], None).is_err());
        // `write` asserts that nothing is left.
    }

    /// A web server owes 502 to a head without end; HAProxy answers it to one of 40 000 octets.
    #[test]
    fn t182_a_head_has_an_end() {
        let headers = |count: usize| {
            let mut parts = response(200, &[]);
            for _ in 0..count {
                parts.headers.append(SET_COOKIE, HeaderValue::from_static("a"));
            }
            write(&parts, &Method::GET, Some(0))
        };
        assert!(headers(128).is_ok());
        assert_eq!(headers(129), Err(TOO_LARGE));

        let octets = |octets: usize| {
            let rest = "Status: 200 OK\r\nx-a: \r\ncontent-length: 0\r\n\r\n".len();
            get(200, &[("x-a", &"b".repeat(octets - rest))], Some(0))
        };
        assert_eq!(octets(64_000).unwrap().0.len(), 64_000);
        assert_eq!(octets(64_001), Err(TOO_LARGE));

        let parts = response(200, &[("x-a", &"b".repeat(1 << 20))]);
        let mut out = BytesMut::new();
        Gateway::new().head(&parts, &Method::GET, Some(0), &mut out).unwrap_err();
        assert!(out.capacity() < 1 << 10, "it is not copied first");
    }

    /// Apache dispatches a `Location` that is a path internally where the status is 200, and no script
    /// may be led there by what it mirrors. Behind any other status it is a redirect for the client.
    #[test]
    fn t183_a_response_never_asks_for_a_local_redirect() {
        for location in ["/admin/secret", "http://a.example/", "//evil.example/"] {
            let sent = [("location", location)];
            assert_lines(&get(200, &sent, Some(0)).unwrap(), &["Status: 200 OK", "content-length: 0"]);
            assert_reported(|| drop(get(200, &sent, Some(0))), &[("cgi.response", "Location")]);

            let line = format!("location: {location}");
            let lines = [&*line, "Status: 302 Found", "content-length: 0"];
            assert_lines(&get(302, &sent, Some(0)).unwrap(), &lines);
            assert_reported(|| drop(get(302, &sent, Some(0))), &[]);
        }
    }

    /// nginx delivers whatever file `X-Accel-Redirect` names: a service that mirrors the answers of
    /// another one must not hand that over unknowingly.
    #[test]
    fn t184_what_web_servers_obey_is_not_passed_on_unasked() {
        for name in [
            "x-accel-redirect",
            "x-accel-limit-rate",
            "x-sendfile",
            "x-sendfile2",
            "x-sendfile-temporary",
            "x-lighttpd-send-file",
            "x-lighttpd-send-tempfile",
            "x-reproxy-url",
            "x-reproxy-file",
        ] {
            let sent = [(name, "/etc/hostname")];
            assert_lines(&get(200, &sent, Some(0)).unwrap(), &["Status: 200 OK", "content-length: 0"]);
            assert_reported(|| drop(get(200, &sent, Some(0))), &[("cgi.response", name)]);
            assert_reported(
                || drop(get(200, &sent, Some(0))),
                &[("cgi.response", "Gateway::pass_accelerator_headers")],
            );

            let mut out = BytesMut::new();
            let gateway = Gateway::new().pass_accelerator_headers();
            gateway.head(&response(200, &sent), &Method::GET, Some(0), &mut out).unwrap();
            let line = format!("\r\n{name}: /etc/hostname\r\n");
            assert!(str::from_utf8(&out).unwrap().contains(&line), "{name}");
        }
        let harmless = [("x-send", "a"), ("x-accel", "b"), ("x-accel-buffering", "no")];
        assert_eq!(get(200, &harmless, Some(0)).unwrap().0.lines().count(), 6);
    }

    /// nginx, mod_cgid and mod_proxy_fcgi chunk again what says that it is chunked.
    #[test]
    fn t185_t190_what_belongs_to_the_connection_is_not_passed_on() {
        let sent = [
            ("connection", "close, X-Hop ,,"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("X-Other", "2"),
            ("x-kept", "3"),
            ("keep-alive", "5"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("trailer", "x-a"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
        ];
        let expected = ["Status: 200 OK", "x-kept: 3", "content-length: 0"];
        assert_lines(&get(200, &sent, Some(0)).unwrap(), &expected);
        let seen = collect(|| drop(get(200, &sent[9..10], Some(0))));
        assert_eq!((&*seen[0].event, seen[0].level), ("cgi.dropped", Level::DEBUG));
        assert_eq!(seen[0].message, "the header transfer-encoding of a response was not passed on");
    }

    #[test]
    fn t185_connection_names_neither_length_nor_status() {
        let sent =
            [("connection", "content-length, status, location, content-type"), ("location", "/"), TEXT];
        let head = get(302, &sent, Some(2)).unwrap();
        let expected = [
            "Status: 302 Found",
            "content-length: 2",
            "content-type: application/octet-stream",
            "x-content-type-options: nosniff",
        ];
        assert_lines(&head, &expected);
    }

    /// HAProxy answers 502 to a body that is longer than stated, mod_fcgid sends the rest, and others
    /// state no length, or an empty one. The driver cuts what is longer, and does not complete what is
    /// shorter.
    #[test]
    fn t185_one_length_is_stated_and_it_is_the_one_that_is_kept() {
        let stated = |values: &[&str], known| {
            let headers: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
            get(404, &[&[TEXT][..], &headers].concat(), known)
        };
        for (values, known, length) in [
            (&["5"][..], Some(5), 5),
            (&["5", "5"], None, 5),
            (&["005", "5"], Some(5), 5),
            (&["0"], Some(0), 0),
            (&[], Some(7), 7),
            (&["5"], Some(10), 5),
            (&["10"], Some(5), 10),
            (&["18446744073709551615"], None, u64::MAX),
        ] {
            let (written, payload) = stated(values, known).unwrap();
            assert_eq!(payload, Payload::Exact(length), "{values:?}");
            let lengths = written.split("\r\n").filter_map(|line| line.strip_prefix("content-length: "));
            assert_eq!(lengths.collect::<Vec<_>>(), [length.to_string()], "{values:?}");
        }
        for values in [&["5", "6"][..], &["5", ""], &["5, 5"], &["+5"], &["-1"], &["5 "], &["0x5"], &[""]] {
            assert!(stated(values, Some(5)).is_err(), "{values:?}");
        }
        assert!(stated(&["18446744073709551616"], None).is_err());

        let (written, payload) = stated(&[], None).unwrap();
        assert_eq!(payload, Payload::Open);
        assert!(!written.contains("content-length"), "{written}");
    }

    /// Caddy guesses a type from the first octets, and browsers do where a server does not.
    #[test]
    fn t186_a_body_without_a_type_is_octets() {
        let lines = ["content-type: application/octet-stream", "x-content-type-options: nosniff"];
        let all = [&["Status: 200 OK"][..], &lines].concat();
        assert_lines(&get(200, &[], None).unwrap(), &all);
        assert_lines(&get(200, &[], Some(5)).unwrap(), &[all[0], "content-length: 5", all[1], all[2]]);
        assert_reported(|| drop(get(200, &[], None)), &[("cgi.response", "Content-Type")]);
        // HEAD says what GET would.
        let head = write(&response(200, &[("content-length", "5")]), &Method::HEAD, Some(0)).unwrap();
        assert_lines(&head, &[all[0], "content-length: 5", all[1], all[2]]);

        let (written, _) = get(200, &[("x-content-type-options", "NoSniff")], None).unwrap();
        assert_eq!(written.matches("x-content-type-options").count(), 1);
        assert!(!get(200, &[], Some(0)).unwrap().0.contains("content-type"));
        assert!(!get(304, &[], None).unwrap().0.contains("content-type"));
    }

    /// Non-parsed headers: some web servers take a line of HTTP, others answer 500 or 502.
    #[test]
    fn t187_a_head_is_never_a_line_of_http() {
        for version in [http::Version::HTTP_09, http::Version::HTTP_2] {
            let mut parts = response(206, &[TEXT]);
            parts.version = version;
            let (written, _) = write(&parts, &Method::GET, None).unwrap();
            assert!(written.starts_with("Status: 206 Partial Content\r\n"), "{written}");
            assert!(!written.contains("HTTP/"));
        }
    }

    /// HAProxy answers 502 to a body behind 204, and behind HEAD.
    #[test]
    fn t188_there_is_no_body_where_none_is_allowed() {
        for status in [204, 304] {
            let head = get(status, &[("content-length", "4")], Some(4)).unwrap();
            assert_eq!(head.1, Payload::None);
            assert!(!head.0.contains("content-length"), "{status}");
            assert!(get(status, &[("content-length", "a")], None).is_ok(), "it is not read");
        }
        for sent in [&[("content-length", "4")][..], &[]] {
            let head = get(205, sent, Some(4)).unwrap();
            assert_lines(&head, &["Status: 205 Reset Content", "content-length: 0"]);
            assert_eq!(head.1, Payload::None);
        }
    }

    #[test]
    fn t188_head_has_the_headers_of_get_and_no_body() {
        let head = |headers: Headers<'_>, length| {
            write(&response(200, &[&[TEXT][..], headers].concat()), &Method::HEAD, length)
        };
        let length = [("content-length", "10")];
        for (headers, known, stated) in [
            (&length[..], Some(10), Some("10")),
            (&length, Some(0), Some("10")),
            (&length, None, Some("10")),
            (&[], Some(10), Some("10")),
            // The body was taken off, and what GET would send is not known.
            (&[], Some(0), None),
            (&[], None, None),
        ] {
            let (written, payload) = head(headers, known).unwrap();
            assert_eq!(payload, Payload::None);
            let found = written.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
            assert_eq!(found, stated, "{headers:?}, {known:?}");
        }
        assert!(head(&[("content-length", "x")], None).is_err());
    }

    /// A status of the protocol becomes an empty 200 behind mod_proxy_fcgi, so a refusal is a response.
    #[test]
    fn a_refusal_is_a_response_that_nobody_keeps() {
        let refused = |status, method| {
            let mut out = BytesMut::new();
            refusal(status, &method, &mut out);
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(
            refused(StatusCode::PAYLOAD_TOO_LARGE, Method::POST),
            "Status: 413 Payload Too Large\r\ncache-control: no-store\r\ncontent-type: text/plain\r\n\
             content-length: 22\r\n\r\n413 Payload Too Large\n"
        );
        let busy = refused(StatusCode::SERVICE_UNAVAILABLE, Method::HEAD);
        assert!(busy.contains("\r\nretry-after: 1\r\n"), "{busy}");
        assert!(busy.ends_with("\r\ncontent-length: 24\r\n\r\n"), "{busy}");
        for status in [400, 405, 413, 431, 500, 501, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            let whole = refused(status, Method::GET);
            let (head, body) = whole.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{whole}");
        }
    }

    /// The lines of a head, as a web server reads them; `None` where they are none.
    fn parse(octets: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
        let mut rest = octets;
        let mut lines = Vec::new();
        loop {
            let end = rest.windows(2).position(|it| it == b"\r\n")?;
            let line = &rest[..end];
            rest = &rest[end + 2..];
            if line.is_empty() {
                return rest.is_empty().then_some(lines);
            }
            let colon = line.iter().position(|octet| *octet == b':')?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
            if name.is_empty() || !name.iter().all(is_token) {
                return None;
            }
            if value.iter().any(|octet| (*octet < b' ' && *octet != b'\t') || *octet == 0x7F) {
                return None;
            }
            let name = str::from_utf8(name).ok()?.to_ascii_lowercase();
            lines.push((name, value.trim_ascii().to_vec()));
        }
    }

    /// Names that mean something, and others.
    fn name() -> impl Strategy<Value = HeaderName> {
        let known = prop::sample::select(vec![
            "connection",
            "transfer-encoding",
            "keep-alive",
            "upgrade",
            "status",
            "location",
            "content-type",
            "set-cookie",
            "x-accel-redirect",
            "x-sendfile",
            "x-a",
            "x-b",
        ]);
        prop_oneof![
            known.prop_map(HeaderName::from_static),
            "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,9}".prop_map(|name| name.parse().unwrap()),
        ]
    }

    /// Whatever `http` admits: not the ends of lines.
    fn value() -> impl Strategy<Value = HeaderValue> {
        let octets = prop_oneof![
            Just(b"x-a, close".to_vec()),
            Just(b"a\r\nx-forged: b".to_vec()),
            Just(b"a\r\n\r\nbody".to_vec()),
            vec(any::<u8>(), 0..9),
        ];
        let refused = HeaderValue::from_static("refused");
        octets.prop_map(move |octets| HeaderValue::from_bytes(&octets).unwrap_or(refused.clone()))
    }

    proptest! {
        /// No response makes a line that is none of its headers, and what may pass passes as it is.
        #[test]
        fn t180_any_response_is_read_as_its_headers_and_nothing_else(
            status in 100u16..1000,
            headers in vec((name(), value()), 0..12),
            is_head: bool,
            length in prop_oneof![Just(None), any::<u64>().prop_map(Some), Just(Some(0))],
        ) {
            let mut response = Response::builder().status(status).body(()).unwrap();
            for (name, value) in &headers {
                response.headers_mut().append(name, value.clone());
            }
            let parts = response.into_parts().0;
            let method = if is_head { Method::HEAD } else { Method::GET };
            let mut out = BytesMut::new();
            let payload = Gateway::new().head(&parts, &method, length, &mut out);
            prop_assert_eq!(payload.is_ok(), (200..600).contains(&status));
            let Ok(payload) = payload else { return Ok(()) };
            let lines = parse(&out);
            prop_assert!(lines.is_some(), "{:?}", out);
            let mut lines = lines.unwrap();

            // Exactly one status, and before it `Location` only.
            let at = lines.iter().position(|(name, _)| name == "status").unwrap();
            prop_assert!(lines[..at].iter().all(|(name, _)| name == "location"));
            let (_, said) = lines.remove(at);
            let (code, words) = said.split_at(3);
            prop_assert_eq!(code, parts.status.as_str().as_bytes());
            prop_assert!(words.len() > 1 && words[0] == b' ');

            let nominated: Vec<String> = parts
                .headers
                .get_all("connection")
                .iter()
                .flat_map(|line| line.as_bytes().split(|octet| *octet == b','))
                .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
                .collect();
            let removed =
                ["connection", "transfer-encoding", "keep-alive", "upgrade", "status", "te", "trailer"];
            let passes = |name: &str| match name {
                "location" if status == 200 => false,
                _ if removed.contains(&name) || nominated.contains(&name.to_owned()) => false,
                _ => !name.starts_with("x-accel-") && !name.starts_with("x-sendfile"),
            };
            let mut expected: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
            for (name, value) in parts.headers.iter().filter(|(name, _)| passes(name.as_str())) {
                let value = value.as_bytes().trim_ascii().to_vec();
                expected.entry(name.as_str().to_owned()).or_default().push(value);
            }
            let mut add = |name: &str, value: &str| expected.insert(name.into(), vec![value.into()]);
            let stated = match status {
                204 | 304 => None,
                205 => Some(0),
                _ => length.filter(|length| !is_head || *length > 0),
            };
            if let Some(length) = stated {
                add("content-length", &length.to_string());
            }
            let body = match (is_head, status, length) {
                (true, ..) | (_, 204 | 205 | 304, _) => Payload::None,
                (_, _, Some(length)) => Payload::Exact(length),
                (_, _, None) => Payload::Open,
            };
            prop_assert_eq!(payload, body);
            let has_content = stated.map_or(body == Payload::Open, |length| length > 0);
            if has_content && !(passes("content-type") && parts.headers.contains_key("content-type")) {
                add("content-type", "application/octet-stream");
                add("x-content-type-options", "nosniff");
            }
            let mut found: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
            for (name, value) in lines {
                found.entry(name).or_default().push(value);
            }
            prop_assert_eq!(found, expected);
        }
    }
}
