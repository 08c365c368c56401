//! The trusted set is replaced while requests run.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http::Request;
use proxyfix::{
    Field, Fix, Hop, Origin, Peer, Policy, Proof, ProxyFix, Reload, Reloadable, Topology, TrustedProxies,
};

fn set(text: &str) -> TrustedProxies {
    text.parse().unwrap()
}

fn reloadable(text: &str) -> (Reloadable, Reload) {
    Reloadable::new(ProxyFix::new(set(text)))
}

/// Who the client is that 10.0.0.2 names.
fn origin(fix: &impl Fix) -> Origin {
    let request = Request::get("/").extension("10.0.0.2".parse::<Peer>().unwrap());
    let (mut parts, ()) = request.header("x-forwarded-for", "203.0.113.9").body(()).unwrap().into_parts();
    fix.fix(&mut parts);
    parts.extensions.remove::<Origin>().unwrap()
}

fn client(fix: &impl Fix) -> String {
    origin(fix).client().unwrap().to_string()
}

/// Waits until `holds`, because a thread or a task does its work some time.
fn wait_until(holds: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < patience, "it never happened");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_replacement_has_the_next_generation() {
    let (fix, reload) = reloadable("192.0.2.1");
    assert_eq!((client(&fix).as_str(), origin(&fix).generation()), ("10.0.0.2", 0));
    assert_eq!(reload.replace(&set("10.0.0.0/24")), Ok(1));
    assert_eq!((client(&fix).as_str(), origin(&fix).generation()), ("203.0.113.9", 1));
    // The same set is no replacement.
    assert_eq!(reload.replace(&set("10.0.0.0/25, 10.0.0.128/25")), Ok(1));
    assert_eq!(reload.replace(&set("192.0.2.2")), Ok(2));
    assert_eq!((client(&fix).as_str(), reload.policy().generation()), ("10.0.0.2", 2));
}

#[test]
fn a_request_keeps_what_else_the_fix_does() {
    let fix = ProxyFix::builder(set("192.0.2.1")).count(Field::For, 1).host().build().unwrap();
    let (fix, reload) = Reloadable::new(fix);
    reload.replace(&set("10.0.0.0/24")).unwrap();
    assert!(reload.policy().reads(Field::Host));
    assert_eq!(origin(&fix).declared_hops(), Some(1));
}

#[track_caller]
fn assert_refused(present: &str, new: &str, reason: &str) {
    let (fix, reload) = reloadable(present);
    let before = origin(&fix);
    let error = reload.replace(&set(new)).unwrap_err().to_string();
    assert!(error.contains(reason) && error.ends_with("Force it if that is meant"), "{error}");
    assert_eq!(origin(&fix), before);
    assert_eq!(reload.force(&set(new)), Ok(1));
    assert_eq!(reload.policy().trusted(), &set(new));
}

#[test]
fn what_looks_like_a_mistake_is_refused_unless_forced() {
    assert_refused("10.0.0.2", "", "is empty");
    assert_refused("unix", "", "is empty");
    let four = "10.0.0.2, 10.0.0.4, 10.0.0.6, 10.0.0.8";
    assert_refused(four, "10.0.0.2", "has 1 networks, the present one 4");
    assert_refused("10.0.0.2, 2001:db8::7", "10.0.0.2", "has no IPv6 network, the present one 1");
    assert_refused("10.0.0.2, 2001:db8::7", "2001:db8::7", "has no IPv4 network");
    assert_refused("10.0.0.2, unix", "10.0.0.2", "has no local sockets");
    for (present, new) in [(four, "10.0.0.2, 10.0.0.4"), ("10.0.0.2, 10.0.0.4", "10.0.0.6"), ("", "loopback")]
    {
        assert!(reloadable(present).1.replace(&set(new)).is_ok(), "{new}");
    }
}

#[test]
fn everyone_takes_no_ones_place() {
    let (_, reload) = reloadable("10.0.0.2");
    assert!(reload.force(&TrustedProxies::dangerously_trust_every_peer()).is_err());
}

#[test]
fn what_the_lint_calls_an_error_is_refused_unless_forced() {
    assert_refused("10.0.0.0/24, 64.0.0.0/24", "10.0.0.0/24, 64.0.0.0/2", "more than a quarter");
    let (_, reload) = reloadable("10.0.0.2");
    let every = Policy::new(TrustedProxies::dangerously_trust_every_peer());
    assert!(reload.replace_policy(&every).unwrap_err().to_string().contains("every peer"));
    assert_eq!(reload.force_policy(&every), Ok(1));
}

#[test]
fn a_replaced_policy_asks_for_the_same_proof() {
    let proof = Proof::secret("x-secret", ["0123456789abcdef"]).unwrap();
    let (fix, reload) = Reloadable::new(ProxyFix::builder(set("10.0.0.2")).and_proof(proof).build().unwrap());
    assert!(origin(&fix).is_unproven());
    assert_eq!(reload.replace_policy(&Policy::new(set("10.0.0.2"))), Ok(0), "nothing else is new");
    assert_eq!(reload.replace_policy(&Policy::new(set("10.0.0.2, 10.0.0.4"))), Ok(1));
    assert!(origin(&fix).is_unproven());
}

#[test]
fn a_topology_is_replaced_as_a_policy() {
    let policy = |who: &str| {
        let hops = [Hop::new("nginx", set(who)), Hop::new("balancer", set("10.0.1.0/24"))];
        Policy::new(Topology::new(hops).unwrap())
    };
    let (fix, reload) = Reloadable::new(ProxyFix::new(policy("192.0.2.1, 192.0.2.3, 192.0.2.5, 192.0.2.7")));
    assert!(reload.replace(&set("10.0.0.2")).unwrap_err().to_string().contains("named hops"));
    let error = reload.replace_policy(&policy("10.0.0.2")).unwrap_err().to_string();
    assert!(error.contains("of \"nginx\" has 1 networks"), "{error}");
    let flat = reload.replace_policy(&Policy::new(set("10.0.0.2"))).unwrap_err().to_string();
    assert!(flat.contains("has no hop \"nginx\""), "{flat}");
    assert_eq!(reload.force_policy(&policy("10.0.0.2")), Ok(1));
    assert_eq!(client(&fix), "203.0.113.9");
}

#[test]
fn requests_run_while_the_set_is_replaced() {
    let (fix, reload) = reloadable("10.0.0.2");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // One generation or the other, and never a mixture of both.
                    let origin = origin(&fix);
                    let trusted = origin.generation() % 2 == 0;
                    assert_eq!(origin.ending().is_from_trusted_peer(), trusted, "{origin:?}");
                }
            });
        }
        for generation in 1..=2_000 {
            let who = if generation % 2 == 0 { "10.0.0.2" } else { "192.0.2.1" };
            assert_eq!(reload.replace(&set(who)), Ok(generation));
        }
        done.store(true, Ordering::Relaxed);
    });
}

const OFTEN: Duration = Duration::from_millis(2);

fn write(path: &Path, text: &str) {
    // As careful writers do it.
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

#[test]
fn a_file_is_watched_for_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trusted.txt");
    write(&path, "# the balancers\n192.0.2.1,\t192.0.2.3 # two\n\n");
    let (fix, reload) = reloadable("");
    let watch = reload.watch_file(&path, OFTEN).unwrap();
    assert_eq!((client(&fix).as_str(), origin(&fix).generation()), ("10.0.0.2", 1));

    write(&path, "10.0.0.0/24\n");
    wait_until(|| client(&fix) == "203.0.113.9");

    // What does not parse, is empty or gone changes nothing.
    write(&path, "10.0.0.1/8\n");
    thread::sleep(OFTEN * 10);
    write(&path, "");
    thread::sleep(OFTEN * 10);
    fs::remove_file(&path).unwrap();
    thread::sleep(OFTEN * 10);
    assert_eq!((client(&fix).as_str(), origin(&fix).generation()), ("203.0.113.9", 2));

    write(&path, "192.0.2.1\n");
    wait_until(|| client(&fix) == "10.0.0.2");

    drop(watch);
    write(&path, "10.0.0.0/24\n");
    thread::sleep(OFTEN * 10);
    assert_eq!(client(&fix), "10.0.0.2");
}

#[test]
fn a_file_that_is_wrong_from_the_start_is_an_error() {
    let (_, reload) = reloadable("10.0.0.2");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trusted.txt");
    assert!(reload.watch_file(&path, OFTEN).unwrap_err().to_string().contains("trusted.txt"));
    write(&path, "10.0.0.0/24\n10.0.0.1/8\n");
    let error = reload.watch_file(&path, OFTEN).unwrap_err().to_string();
    assert!(error.contains("trusted.txt: line 2: entry 2") && error.contains("10.0.0.1/8"), "{error}");
    assert_eq!(reload.policy().generation(), 0);
}

#[test]
fn a_reader_that_panics_is_called_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trusted.json");
    write(&path, "first");
    let (fix, reload) = reloadable("192.0.2.1");
    let watch = reload.watch_file_with(&path, OFTEN, |octets| match octets {
        b"first" => "192.0.2.3".parse(),
        b"panic" => panic!("this is no list"),
        _ => "10.0.0.2".parse(),
    });
    let watch = watch.unwrap();
    write(&path, "panic");
    thread::sleep(OFTEN * 20);
    write(&path, "good");
    wait_until(|| client(&fix) == "203.0.113.9");
    drop(watch);
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (_, reload) = reloadable("10.0.0.2");
    let error = reload.watch_file(directory.path(), OFTEN).unwrap_err().to_string();
    assert!(error.contains("it is no regular file"), "{error}");
}

#[tokio::test]
async fn a_future_is_asked_again_and_again() {
    let (fix, reload) = reloadable("192.0.2.1");
    let asked = AtomicU8::new(0);
    let answers = reload.refresh(OFTEN, || {
        let time = asked.fetch_add(1, Ordering::Relaxed);
        async move {
            match time {
                0 => Ok(set("192.0.2.3")),
                1 => Err("the name server does not answer".into()),
                2 => Ok(TrustedProxies::none()),
                _ => Ok(set("10.0.0.2")),
            }
        }
    });
    let found = async {
        while client(&fix) != "203.0.113.9" {
            tokio::time::sleep(OFTEN).await;
        }
    };
    tokio::select! {
        () = answers => unreachable!("it goes on"),
        found = tokio::time::timeout(Duration::from_secs(30), found) => found.unwrap(),
    }
    assert_eq!(origin(&fix).generation(), 2, "failures and refusals are no replacements");
}
