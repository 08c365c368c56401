//! What is reported: risky configurations as they are built, a forgotten
//! `into_make_service_with_connect_info` on the first request, once.

use std::io;
use std::sync::{Arc, Mutex};

use http::Request;
use http::request::Parts;
use proxyfix::{Fix, Peer, ProxyFix, Sentinels, TrustedProxies};

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

/// What is logged while `work` runs.
fn logged(work: impl FnOnce()) -> String {
    let log = Log::default();
    let writer = log.clone();
    let collector = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(collector, work);
    let text = log.0.lock().unwrap().clone();
    String::from_utf8(text).unwrap()
}

#[test]
fn t03_t04_t11_risky_configurations_are_reported_as_they_are_built() {
    let built = |text: &str| logged(|| drop(ProxyFix::new(text.parse::<TrustedProxies>().unwrap())));
    assert!(built("10.0.0.0/8").contains("WARN") && built("private").contains("config.wide_trust"));
    assert!(built("2001:db8::/32").contains("config.wide_trust"));
    assert!(built("").contains("INFO") && built("").contains("config.no_trust"));
    let any = TrustedProxies::dangerously_trust_every_peer();
    assert!(logged(|| drop(ProxyFix::new(any))).contains("config.trust_any"));
    assert_eq!(built("loopback, 10.0.0.0/16, 2001:db8::/48, unix"), "");
}

#[test]
fn t44_t69_each_finding_is_one_event() {
    let built = logged(|| {
        drop(ProxyFix::builder("link-local, 0.0.0.0".parse::<TrustedProxies>().unwrap()).host().build());
    });
    let names: Vec<&str> = built.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(
        names,
        ["config.link_local_trust", "config.nobodys_address", "config.host_unrestricted"],
        "{built}"
    );
    assert!(built.lines().all(|line| line.contains("WARN")), "{built}");
    assert!(built.contains("Guard::allow_hosts"), "{built}");
}

#[test]
fn t06_the_first_request_without_a_peer_reports_an_error_and_no_other_does() {
    let fix = ProxyFix::new("loopback".parse::<TrustedProxies>().unwrap());

    // A peer that is known to be unknown is no wiring error.
    let mut known = head();
    known.extensions.insert(Peer::unknown());
    assert_eq!(logged(|| fix.fix(&mut known)), "");

    let text = logged(|| {
        fix.fix(&mut head());
        fix.fix(&mut head());
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("ERROR") && text.contains("into_make_service_with_connect_info"), "{text}");
}

#[test]
fn sentinels_report_a_proxy_that_was_forgotten_once() {
    let fix = ProxyFix::new("10.0.0.2".parse::<TrustedProxies>().unwrap());
    let sentinels = Sentinels::new(fix.policy());
    let stack = (fix, sentinels);
    let text = logged(|| {
        for _ in 0..1_000 {
            let mut parts = head();
            parts.extensions.insert("127.0.0.1:40000".parse::<Peer>().unwrap());
            stack.fix(&mut parts);
        }
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    for said in ["WARN", "event=\"sentinel.unlisted_proxy\"", "127.0.0.1", "add it to the trusted set"] {
        assert!(text.contains(said), "{said} in {text}");
    }
}
