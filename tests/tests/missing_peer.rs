//! A forgotten `into_make_service_with_connect_info` is reported on the first request, once.

use std::io;
use std::sync::{Arc, Mutex};

use http::Request;
use http::request::Parts;
use proxyfix::{Fix, Peer, ProxyFix, TrustedProxies};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn head() -> Parts {
    Request::get("/").header("x-forwarded-for", "127.0.0.1").body(()).unwrap().into_parts().0
}

#[test]
fn t06_the_first_request_without_a_peer_reports_an_error_and_no_other_does() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).init();
    let fix = ProxyFix::new("loopback".parse::<TrustedProxies>().unwrap());

    // A peer that is known to be unknown is no wiring error.
    let mut known = head();
    known.extensions.insert(Peer::unknown());
    fix.fix(&mut known);
    assert_eq!(log.0.lock().unwrap().len(), 0);

    fix.fix(&mut head());
    fix.fix(&mut head());
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("ERROR") && text.contains("into_make_service_with_connect_info"), "{text}");
}
