//! What Apache does that no other server does, and what becomes of it.
#![cfg(target_os = "linux")]

use nix::sys::signal::Signal;
use proxyfix_tests::apache::{Site, installed};
use proxyfix_tests::application::{Repair, Serve, octets};
use proxyfix_tests::exact::{Reply, Sent, exchange, get};
use proxyfix_tests::load::Load;
use proxyfix_tests::process::Process;
use proxyfix_tests::web::{Place, WebServer};
use serde_json::Value;

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

/// Files for the root of the host, and how the application serves there.
const SITES: [(&str, Serve); 6] = [
    ("fcgid-root.conf", Serve::Auto),
    ("root.htaccess", Serve::Auto),
    ("cgid-root.conf", Serve::Auto),
    ("proxy-fcgi-unix-root.conf", Serve::FastCgiUnix),
    ("proxy-fcgi-tcp-root.conf", Serve::FastCgiTcp),
    ("proxy-scgi-root.conf", Serve::ScgiTcp),
];

/// An Apache, and the application where Apache does not start it. `prepare` sees the place of an
/// application that was installed.
async fn start(site: &Site<'_>, serve: Serve, prepare: impl Fn(&Place)) -> (Option<Process>, WebServer) {
    let mut place = Place::new();
    let repair = Repair::Declared(String::new());
    place.install(APPLICATION, serve, repair.clone());
    prepare(&place);
    let application = match serve {
        Serve::Auto => None,
        _ => Some(place.start_application(APPLICATION, serve, repair).await),
    };
    (application, site.start(place).await)
}

async fn with_credentials(apache: &WebServer, credentials: &str) -> Reply {
    let lines = ["Connection: close", &format!("Authorization: Basic {credentials}")];
    exchange(apache.address(), &Sent::new("GET", "/foo", &lines)).await.expect("an answer")
}

/// `aladdin:opensesame`, and another password.
const RIGHT: &str = "YWxhZGRpbjpvcGVuc2VzYW1l";
const WRONG: &str = "YWxhZGRpbjpzaW1zYWxhYmlt";

#[tokio::test]
async fn credentials_pass_because_the_files_say_so() {
    for (name, serve) in SITES {
        let Some(apache) = installed(name) else { continue };
        for (site, passes) in
            [(apache.site(name), true), (apache.site(name).with("CGIPassAuth On", ""), false)]
        {
            let (_application, apache) = start(&site, serve, |_| {}).await;
            let seen = with_credentials(&apache, RIGHT).await.json();
            assert_eq!(seen["headers"].get("authorization").is_some(), passes, "{name}: {seen:#}");
            assert_eq!(seen["user"], Value::Null, "{name}: nobody asked for a password");
        }
    }
}

/// Asks for a password in a place that is called `Directory` in some files and `Location` in others.
const PASSWORD: &str = "
<Location />
    AuthType Basic
    AuthName test
    AuthUserFile /srv/yourapplication/users
    Require valid-user
</Location>
";

#[tokio::test]
async fn a_user_is_named_where_a_password_was_checked_and_apache_is_believed() {
    for (name, serve) in [SITES[0], SITES[2]] {
        let Some(apache) = installed(name) else { continue };
        let users = |place: &Place| {
            let users = place.srv().join("users");
            std::fs::write(users, "aladdin:{SHA}F2GPAaOiG5EcklvLUlodIavTBnM=\n")
                .expect("a folder to write to");
        };
        let trusts = |place: &Place| {
            users(place);
            place.trust_remote_user();
        };

        let (_application, open) = start(&apache.site(name), serve, trusts).await;
        let seen = with_credentials(&open, RIGHT).await.json();
        assert_eq!(seen["user"], Value::Null, "{name}: nobody checked the password: {seen:#}");

        let site = apache.site(name).and(PASSWORD);
        let (_application, closed) = start(&site, serve, trusts).await;
        assert_eq!(get(closed.address(), "/foo").await.expect("an answer").head.status, 401, "{name}");
        assert_eq!(with_credentials(&closed, WRONG).await.head.status, 401, "{name}");
        assert_eq!(with_credentials(&closed, RIGHT).await.json()["user"], "aladdin", "{name}");

        let (_application, closed) = start(&site, serve, users).await;
        assert_eq!(
            with_credentials(&closed, RIGHT).await.json()["user"],
            Value::Null,
            "{name}: not believed"
        );
    }
}

/// Apache serves `/elsewhere` by itself instead where CGI answers 200 with a `Location`.
#[tokio::test]
async fn a_location_in_a_success_is_no_redirect() {
    for (name, serve) in SITES {
        let Some(apache) = installed(name) else { continue };
        let (_application, apache) = start(&apache.site(name), serve, |_| {}).await;
        let reply = get(apache.address(), "/located").await.expect("an answer");
        assert_eq!((reply.head.status, &*reply.body), (200, &b"located\n"[..]), "{name}");
    }
}

fn post(path: &str, length: usize) -> Sent {
    let mut sent = Sent::new("POST", path, &["Connection: close", &format!("Content-Length: {length}")]);
    sent.body = octets(length);
    sent
}

/// Apache writes the whole body before it reads an answer, and answers by itself where it cannot.
#[tokio::test]
async fn an_answer_arrives_though_the_body_was_not_read() {
    for (name, serve) in SITES {
        let Some(apache) = installed(name) else { continue };
        let (_application, apache) = start(&apache.site(name), serve, |_| {}).await;
        for length in [100_000, 1 << 20, 16 << 20] {
            let reply = exchange(apache.address(), &post("/early", length)).await;
            let reply = reply.unwrap_or_else(|error| panic!("{name}, {length} octets: {error}"));
            let answer = (reply.head.status, &*reply.body);
            assert_eq!(answer, (403, &b"not for you\n"[..]), "{name}, {length} octets");
            // Nor is the next request on that connection hurt.
            for _ in 0..3 {
                let reply = get(apache.address(), "/foo").await.expect("an answer");
                assert_eq!(reply.head.status, 200, "{name}, after {length} octets: {reply:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_of_the_gateway_is_refused_in_its_words() {
    for (name, serve) in SITES {
        let Some(apache) = installed(name) else { continue };
        let mut site = apache.site(name);
        if serve == Serve::Auto && name != "cgid-root.conf" {
            site = site.with("FcgidMaxRequestLen 104857600", "FcgidMaxRequestLen 1048576000");
        }
        let (_application, apache) = start(&site, serve, |_| {}).await;
        let reply = exchange(apache.address(), &post("/foo", (100 << 20) + 1)).await.expect("an answer");
        assert_eq!(reply.head.status, 413, "{name}: {reply:?}");
        assert_eq!(reply.head.get("cache-control"), Some("no-store"), "{name}: {reply:?}");
    }
}

/// mod_fcgid tells its processes to stop meanwhile, and starts others. (mod_cgid is not here: while the daemon
/// that starts its programs is replaced, it answers 503 by itself, for programs that have begun, too.)
#[tokio::test]
async fn a_graceful_restart_loses_nothing() {
    for (name, serve) in [SITES[0], SITES[3], SITES[4]] {
        let Some(apache) = installed(name) else { continue };
        let (_application, mut apache) = start(&apache.site(name), serve, |_| {}).await;
        // mod_fcgid is not fair where there are more of them than processes.
        let load = Load::of(4, apache.address(), "");
        for restarts in 2..4 {
            load.goes_on().await;
            apache.process.signal(Signal::SIGUSR1);
            let restarted = |it: &Process| it.log().matches("resuming normal operations").count() == restarts;
            apache.process.until("a restart", restarted).await;
        }
        load.goes_on().await;
        assert_eq!(load.ends(apache.place()).await, [""; 0], "{name}");
    }
}
