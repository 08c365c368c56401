//! The misconfigurations that operators have, and the sentence that each of them is answered with. The
//! guide `crates/proxyfix/docs/troubleshooting.md` has the same rows.

use http::request::Parts;
use http::{Request, Version};
use proxyfix::{
    CustomProxyFix, Family, Field, Fix, Hop, Origin, Peer, Proof, ProxyFix, ProxyFixBuilder, Topology,
    TrustedProxies,
};

/// What is wrong, the request that shows it, and what is said of it.
struct Row {
    symptom: &'static str,
    fix: Box<dyn Fix>,
    request: Parts,
    sentence: &'static str,
}

fn row(
    symptom: &'static str,
    fix: impl Fix + 'static,
    peer: &str,
    headers: &[(&str, &str)],
    sentence: &'static str,
) -> Row {
    let request = headers.iter().fold(Request::get("/"), |it, (name, value)| it.header(*name, *value));
    let request = match peer {
        "-" => request,
        peer => request.extension(peer.parse::<Peer>().unwrap()),
    };
    Row { symptom, fix: Box::new(fix), request: request.body(()).unwrap().into_parts().0, sentence }
}

fn set(text: &str) -> TrustedProxies {
    text.parse().unwrap()
}

fn builder(trusted: &str) -> ProxyFixBuilder {
    ProxyFix::builder(set(trusted))
}

fn trusting(trusted: &str) -> ProxyFix {
    builder(trusted).build().unwrap()
}

fn reading(family: Family) -> ProxyFix {
    builder("10.0.0.2").family(family).build().unwrap()
}

fn named(header: &str) -> Family {
    Family::Single(header.to_owned())
}

/// Any peer, for so many hops.
fn counting(hops: u8) -> ProxyFix {
    let everyone = TrustedProxies::dangerously_trust_every_peer().hops(hops).unwrap();
    ProxyFix::builder(everyone).build().unwrap()
}

fn nginx() -> Hop {
    Hop::new("nginx", set("127.0.0.1"))
}

fn balancer() -> Hop {
    Hop::new("balancer", set("10.0.1.0/24")).fields([Field::For, Field::Proto, Field::Host])
}

fn topology(hops: impl IntoIterator<Item = Hop>) -> ProxyFix {
    ProxyFix::new(Topology::new(hops).unwrap())
}

fn two_hops() -> ProxyFix {
    topology([nginx(), balancer()])
}

fn proven() -> Proof {
    Proof::secret("X-Origin-Secret", ["9f86d081884c7d659a2feaa0c55ad015"]).unwrap()
}

const HTTPS: (&str, &str) = ("x-forwarded-proto", "https");
const CHAIN: (&str, &str) = ("x-forwarded-for", "203.0.113.9");

/// `X-Forwarded-For`, beside an honest `X-Forwarded-Proto`.
macro_rules! chain {
    ($chain:expr) => {
        &[("x-forwarded-for", $chain), HTTPS]
    };
}

fn who_is_connected() -> Vec<Row> {
    vec![
        row(
            "the proxy is not in the trusted set",
            trusting("10.0.0.2"),
            "10.2.3.4",
            &[CHAIN],
            "10.2.3.4 sent X-Forwarded-For but is not trusted; add it to the trusted set if it is your proxy",
        ),
        row(
            "a client that forwards for nobody connects directly",
            trusting("10.0.0.2"),
            "203.0.113.9",
            &[],
            "203.0.113.9 is not trusted, so it is the client",
        ),
        row(
            "the proxy runs in a container, and its bridge is not listed",
            trusting("loopback"),
            "172.17.0.1",
            &[CHAIN],
            "172.17.0.1 sent X-Forwarded-For but is not trusted; add it to the trusted set if it is your proxy",
        ),
        row(
            "the proxy writes another family, and is not listed either",
            trusting("10.0.0.2"),
            "10.2.3.4",
            &[("forwarded", "for=203.0.113.9")],
            "10.2.3.4 sent Forwarded but is not trusted; add it to the trusted set if it is your proxy",
        ),
        row(
            "a tunnel connects from an address that is not the CDN's",
            reading(named("CF-Connecting-IP")),
            "172.18.0.5",
            &[("cf-connecting-ip", "203.0.113.9")],
            "172.18.0.5 sent CF-Connecting-IP but is not trusted; add it to the trusted set if it is your proxy",
        ),
        row(
            "a sidecar connects from another loopback address",
            trusting("127.0.0.1"),
            "127.0.0.6",
            &[CHAIN],
            "127.0.0.6 sent X-Forwarded-For but is not trusted; add it to the trusted set if it is your proxy",
        ),
        row(
            "the proxy connects to a unix socket",
            trusting("loopback"),
            "unix",
            &[CHAIN],
            "the peer is a local socket, which is not trusted: no header is believed; add \"unix\" to the trusted set if it is your proxy",
        ),
        row(
            "the server does not say who is connected",
            trusting("10.0.0.2"),
            "-",
            &[CHAIN],
            "nobody knows who is connected, so no header is believed; give each request its Peer, with axum by into_make_service_with_connect_info::<SocketAddr>()",
        ),
        row(
            "the proxy does not add the secret, or an old one",
            builder("10.0.0.2").and_proof(proven()).build().unwrap(),
            "10.0.0.2",
            &[CHAIN, ("x-origin-secret", "an old one")],
            "10.0.0.2 would be trusted, but did not give the proof that the policy asks for, so no header is believed; check the secret that it adds against the one expected here",
        ),
        row(
            "a proxy of unknown address does not add the secret",
            builder("10.0.0.2").or_proof(proven()).build().unwrap(),
            "10.2.3.4",
            &[CHAIN],
            "10.2.3.4 sent X-Forwarded-For but is neither trusted nor gave the proof; add it to the trusted set, or check the secret that it adds, if it is your proxy",
        ),
        row(
            "the header of an own fix comes from a proxy that is not listed",
            CustomProxyFix::host(set("10.0.0.2"), "X-FHost").unwrap(),
            "10.2.3.4",
            &[("x-fhost", "good.example")],
            "10.2.3.4 sent X-Fhost but is not trusted; add it to the trusted set if it is your proxy",
        ),
        row(
            "the second hop connects in the place of the first",
            two_hops(),
            "10.0.1.7",
            &[CHAIN],
            "10.0.1.7 is hop \"balancer\" and connected in the place of hop \"nginx\", so it is not believed; let it go through that one",
        ),
        row(
            "the first hop has an address that is not its own",
            two_hops(),
            "127.0.0.6",
            &[CHAIN],
            "127.0.0.6 sent X-Forwarded-For but is not hop \"nginx\", which has to be connected; add it to that hop if it is your proxy",
        ),
    ]
}

fn which_header() -> Vec<Row> {
    let cloudfront = || reading(named("CloudFront-Viewer-Address"));
    vec![
        row(
            "the proxy sets no header at all",
            trusting("10.0.0.2"),
            "10.0.0.2",
            &[],
            "10.0.0.2 is trusted and names nobody in X-Forwarded-For, so it speaks for itself, as health checks do; let it set X-Forwarded-For if it forwards for others",
        ),
        row(
            "the proxy writes Forwarded, and X-Forwarded-For is read",
            trusting("10.0.0.2"),
            "10.0.0.2",
            &[("forwarded", "for=203.0.113.9;proto=https")],
            "10.0.0.2 is trusted and sent Forwarded, and not X-Forwarded-For, which the policy reads; let it set X-Forwarded-For, or read Forwarded if the proxy itself writes that",
        ),
        row(
            "the proxy writes X-Forwarded-For, and Forwarded is read",
            reading(Family::Forwarded),
            "10.0.0.2",
            &[CHAIN, HTTPS],
            "10.0.0.2 is trusted and sent X-Forwarded-For, and not Forwarded, which the policy reads; let it set Forwarded, or read X-Forwarded-For if the proxy itself writes that",
        ),
        row(
            "the header of another provider is read",
            reading(named("CF-Connecting-IP")),
            "10.0.0.2",
            &[("true-client-ip", "203.0.113.9")],
            "10.0.0.2 is trusted and sent True-Client-IP, and not CF-Connecting-IP, which the policy reads; let it set CF-Connecting-IP, or read True-Client-IP if the proxy itself writes that",
        ),
        row(
            "the CDN's own header is missing behind nginx",
            topology([
                nginx(),
                Hop::new("cdn", set("198.51.100.0/24"))
                    .family(named("CF-Connecting-IP"))
                    .fields([Field::For]),
            ]),
            "127.0.0.1",
            chain!("198.51.100.7"),
            "the client is unknown: CF-Connecting-IP is missing, in which 198.51.100.7 (hop \"cdn\") names who is connected to it; let it set the header, and the hops before it pass it on",
        ),
        row(
            "the header of one value is added to, not replaced",
            reading(named("X-Real-IP")),
            "10.0.0.2",
            &[("x-real-ip", "198.51.100.7"), ("x-real-ip", "203.0.113.9")],
            "the client is unknown: X-Real-IP of 10.0.0.2 has several values where one is expected; let it replace what the client sent, and not add to it",
        ),
        row(
            "CloudFront's address with a port is read as an address",
            cloudfront(),
            "10.0.0.2",
            &[("cloudfront-viewer-address", "2001:db8::7:46532")],
            "the client is unknown: 10.0.0.2 wrote a port behind the address in Cloudfront-Viewer-Address; read that as Family::SingleWithPort",
        ),
        row(
            "a fix that reads the host alone",
            CustomProxyFix::host(set("10.0.0.2"), "X-FHost").unwrap(),
            "10.0.0.2",
            &[("x-fhost", "good.example")],
            "10.0.0.2 is trusted, and the policy does not read who its client is; read \"for\", too, if that matters",
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn which_entry() -> Vec<Row> {
    vec![
        row(
            "the second balancer is not listed",
            trusting("10.0.0.2"),
            "10.0.0.2",
            chain!("203.0.113.9, 10.9.9.9"),
            "10.9.9.9 is the client: 10.0.0.2 is trusted and vouches for it; 10.9.9.9 sent X-Forwarded-For, too, and is not trusted: add it to the trusted set if it is your proxy",
        ),
        row(
            "the CDN in front of the balancer is not listed",
            trusting("10.0.0.0/24"),
            "10.0.0.2",
            chain!("203.0.113.9, 198.51.100.7"),
            "198.51.100.7 is the client: 10.0.0.2 is trusted and vouches for it; 198.51.100.7 sent X-Forwarded-For, too, and is not trusted: add it to the trusted set if it is your proxy",
        ),
        row(
            "the balancer adds its own address behind the client's",
            trusting("10.0.0.2"),
            "10.0.0.2",
            chain!("203.0.113.9, 192.0.2.80"),
            "192.0.2.80 is the client: 10.0.0.2 is trusted and vouches for it; 192.0.2.80 sent X-Forwarded-For, too, and is not trusted: add it to the trusted set if it is your proxy",
        ),
        row(
            "the set is so wide that clients are in it",
            trusting("10.0.0.0/8"),
            "10.0.0.2",
            chain!("10.9.9.9"),
            "10.9.9.9 is the client: every hop up to it is trusted, it too; take it out of the trusted set if it is no proxy, or let it add to X-Forwarded-For if it is one",
        ),
        row(
            "fewer hops are declared than there are",
            ProxyFix::new(set("10.0.0.0/24").hops(1).unwrap()),
            "10.0.0.2",
            chain!("203.0.113.9, 10.0.0.7"),
            "10.0.0.7 is the client: it is trusted, but 1 hop is declared, and it stands beyond; declare 2 if it is your proxy",
        ),
        row(
            "more hops are declared than there are",
            ProxyFix::new(set("10.0.0.0/24").hops(2).unwrap()),
            "10.0.0.2",
            chain!("203.0.113.9"),
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; 2 proxies are declared, and the request passed 1: declare 1, or find out how the rest is gone around",
        ),
        row(
            "a declared hop is not listed",
            ProxyFix::new(set("10.0.0.2").hops(2).unwrap()),
            "10.0.0.2",
            chain!("203.0.113.9, 10.9.9.9"),
            "10.9.9.9 is the client: 10.0.0.2 is trusted and vouches for it; 2 proxies are declared, and the request passed 1: add it to the trusted set if it is your proxy, or declare 1",
        ),
        row(
            "any peer is trusted, for fewer hops than there are",
            counting(1),
            "192.0.2.1",
            chain!("203.0.113.9, 10.0.0.7"),
            "10.0.0.7 is the client: it is the last entry of X-Forwarded-For, and 1 hop is declared; declare more if proxies of yours wrote what stands left of it",
        ),
        row(
            "any peer is trusted, for more hops than there are",
            counting(2),
            "192.0.2.1",
            chain!("203.0.113.9"),
            "the client is unknown: X-Forwarded-For has 1 entry, and 2 hops are declared; find out which proxy was gone around, or declare 1",
        ),
        row(
            "the balancer is gone around",
            two_hops(),
            "127.0.0.1",
            chain!("203.0.113.9"),
            "203.0.113.9 is the client: 127.0.0.1 (hop \"nginx\") is trusted and vouches for it; it is not hop \"balancer\": add it there if it is your proxy, or find out how that was gone around",
        ),
        row(
            "a hop stands in the chain beyond the last one",
            two_hops(),
            "127.0.0.1",
            chain!("203.0.113.9, 10.0.1.8, 10.0.1.7"),
            "10.0.1.8 is the client: it may be a hop, but stands beyond the last one, \"balancer\"; add a hop for it if it is your proxy",
        ),
        row(
            "a hop adds fewer entries than the topology says",
            topology([Hop::new("gcp", set("35.191.0.0/16")).entries(2)]),
            "35.191.0.1",
            chain!("203.0.113.9"),
            "the client is unknown: X-Forwarded-For has 1 entry, and 35.191.0.1 (hop \"gcp\") adds 2; check how many it adds, or how it was gone around",
        ),
        row(
            "a second nginx stands before the first, and the balancer should",
            two_hops(),
            "127.0.0.1",
            chain!("203.0.113.9, 127.0.0.1"),
            "127.0.0.1 is the client: 127.0.0.1 (hop \"nginx\") is trusted and vouches for it; it is not hop \"balancer\": add it there if it is your proxy, or find out how that was gone around",
        ),
        row(
            "Squid hides its clients",
            trusting("10.0.0.2"),
            "10.0.0.2",
            chain!("unknown"),
            "the client is unknown: 10.0.0.2 wrote \"unknown\" as the last entry of X-Forwarded-For; let it write who is connected to it (Squid: forwarded_for on)",
        ),
        row(
            "nginx is connected through a unix socket",
            trusting("10.0.0.2"),
            "10.0.0.2",
            chain!("203.0.113.9, unix:"),
            "the client is unknown: 10.0.0.2 wrote \"unix:\" as the last entry of X-Forwarded-For: a local socket is connected to it; let it take the address from there (nginx: set_real_ip_from unix:)",
        ),
        row(
            "a proxy writes an obfuscated name",
            reading(Family::Forwarded),
            "10.0.0.2",
            &[("forwarded", "for=_hidden;proto=https")],
            "the client is unknown: 10.0.0.2 wrote a placeholder as the last entry of Forwarded; let it write who is connected to it; proto of Forwarded is not taken: the walk ended before the hop that it belongs to",
        ),
        row(
            "a proxy writes a host name",
            trusting("10.0.0.0/24"),
            "10.0.0.2",
            chain!("client.example, 10.0.0.7"),
            "the client is unknown: 10.0.0.7 wrote no address as entry 2 from the right of X-Forwarded-For; let it write the address of who is connected to it",
        ),
        row(
            "a proxy writes IPv6 with a zone",
            trusting("10.0.0.2"),
            "10.0.0.2",
            chain!("fe80::1%eth0"),
            "the client is unknown: 10.0.0.2 wrote no address as the last entry of X-Forwarded-For; let it write the address of who is connected to it",
        ),
        row(
            "a proxy writes an empty entry",
            trusting("10.0.0.2"),
            "10.0.0.2",
            chain!("203.0.113.9, "),
            "the client is unknown: 10.0.0.2 left the last entry of X-Forwarded-For empty; let it write who is connected to it",
        ),
        row(
            "a proxy writes an element without for",
            reading(Family::Forwarded),
            "10.0.0.2",
            &[("forwarded", "proto=https")],
            "the client is unknown: 10.0.0.2 wrote no for into the last entry of Forwarded; let it write who is connected to it",
        ),
        row(
            "a sidecar on the proxy's machine hands on loopback",
            trusting("10.0.0.2"),
            "10.0.0.2",
            chain!("203.0.113.9, 127.0.0.1"),
            "the client is unknown: 10.0.0.2 is trusted and wrote 127.0.0.1, an address that no remote client can have; add it to the trusted set if it is your proxy",
        ),
        row(
            "two proxies forward to each other",
            trusting("10.0.0.0/24"),
            "10.0.0.2",
            chain!(&["10.0.0.7"; 40].join(", ")),
            "the client is unknown: X-Forwarded-For names more than 32 trusted hops; look for proxies that forward in a circle, or narrow the trusted set",
        ),
        row(
            "a proxy writes more than an address",
            trusting("10.0.0.2"),
            "10.0.0.2",
            chain!(&"x".repeat(100)),
            "the client is unknown: 10.0.0.2 wrote more than an address has as the last entry of X-Forwarded-For; let it write who is connected to it",
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn the_other_fields() -> Vec<Row> {
    let host = || builder("10.0.0.2").host().build().unwrap();
    let plain = |value: &'static str| [CHAIN, HTTPS, ("x-forwarded-host", value)];
    vec![
        row(
            "the site is https and seems to be http",
            trusting("10.0.0.2"),
            "10.0.0.2",
            &[CHAIN],
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; the scheme stays http, because X-Forwarded-Proto is absent: let the proxy set it",
        ),
        row(
            "two proxies add a scheme, and one is listed in the chain",
            trusting("10.0.0.2"),
            "10.0.0.2",
            &[CHAIN, ("x-forwarded-proto", "https, http")],
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Forwarded-Proto is not taken: it has 2 values beside 1 trusted hop; let the proxy nearest to the service set one value",
        ),
        row(
            "the proxy says wss",
            trusting("10.0.0.2"),
            "10.0.0.2",
            &[CHAIN, ("x-forwarded-proto", "wss")],
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Forwarded-Proto is not taken: it is neither http nor https; let the proxy set one of them",
        ),
        row(
            "Front-End-Https has another token",
            builder_https(),
            "10.0.0.2",
            &[("front-end-https", "1")],
            "10.0.0.2 is trusted, and the policy does not read who its client is; read \"for\", too, if that matters; Front-End-Https is not taken: it is not \"on\", which means https; let the proxy send that",
        ),
        row(
            "links name the internal host, because host is not read",
            trusting("10.0.0.2"),
            "10.0.0.2",
            &plain("good.example"),
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Forwarded-Host is there and not read: read \"host\" if your proxy sets it",
        ),
        row(
            "the forwarded host has an underscore",
            host(),
            "10.0.0.2",
            &plain("my_app:8080"),
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Forwarded-Host is not taken: it has an underscore, which hosts have only with underscore_hosts()",
        ),
        row(
            "the forwarded host is a URL",
            host(),
            "10.0.0.2",
            &plain("https://good.example"),
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Forwarded-Host is not taken: it is no host, with or without a port; let the proxy set the host",
        ),
        row(
            "the port header has a port for each of two schemes",
            builder("10.0.0.2").host().port().build().unwrap(),
            "10.0.0.2",
            &[CHAIN, HTTPS, ("host", "good.example"), ("x-forwarded-port", "80,443")],
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Forwarded-Port is not taken: it has 2 values beside 1 trusted hop; let the proxy nearest to the service set one value",
        ),
        row(
            "the prefix begins with two slashes",
            builder("10.0.0.2").prefix().build().unwrap(),
            "10.0.0.2",
            &[CHAIN, HTTPS, ("x-forwarded-prefix", "//evil.example")],
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Forwarded-Prefix is not taken: it is no path that begins with one \"/\" and has plain segments; let the proxy set it",
        ),
        row(
            "the prefix is sent and not read",
            trusting("10.0.0.2"),
            "10.0.0.2",
            &[CHAIN, HTTPS, ("x-forwarded-prefix", "/app")],
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Forwarded-Prefix is there and not read: read \"prefix\" if your proxy sets it",
        ),
        row(
            "more schemes are counted than are sent",
            builder("10.0.0.0/24").x_proto(2).build().unwrap(),
            "10.0.0.2",
            &[("x-forwarded-for", "203.0.113.9, 10.0.0.7"), HTTPS],
            "203.0.113.9 is the client: 10.0.0.7 is trusted and vouches for it; X-Forwarded-Proto is not taken: it has 1 value, and 2 are counted; count 1, or let each proxy add one",
        ),
        row(
            "a count steps over a proxy that is not listed",
            builder("10.0.0.2").x_proto(2).build().unwrap(),
            "10.0.0.2",
            &[CHAIN, ("x-forwarded-proto", "https, http")],
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Forwarded-Proto is not taken: the count of 2 goes beyond 1 trusted hop; count 1, or trust the proxies that it steps over",
        ),
        row(
            "a header of one value comes twice",
            CustomProxyFix::builder(set("10.0.0.2")).client("X-Real-IP").host("X-FHost").build().unwrap(),
            "10.0.0.2",
            &[("x-real-ip", "203.0.113.9"), ("x-fhost", "a.example"), ("x-fhost", "b.example")],
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Fhost is not taken: it has several values where one is expected; let the proxy replace what the client sent, and not add to it",
        ),
        row(
            "the hop that may say the host was gone around",
            two_hops(),
            "127.0.0.1",
            &plain("good.example"),
            "203.0.113.9 is the client: 127.0.0.1 (hop \"nginx\") is trusted and vouches for it; it is not hop \"balancer\": add it there if it is your proxy, or find out how that was gone around; X-Forwarded-Host is not taken: hop \"balancer\" may assert it, and was not passed; let \"nginx\" assert \"host\" if it sets it",
        ),
        row(
            "the proxy sends two Host headers",
            trusting("10.0.0.2"),
            "10.0.0.2",
            &[CHAIN, HTTPS, ("host", "a.example"), ("host", "b.example")],
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; the host of the request is removed: it has several Host lines; let the proxy send one",
        ),
        row(
            "the proxy sends the name of a container as Host",
            trusting("10.0.0.2"),
            "10.0.0.2",
            &[CHAIN, HTTPS, ("host", "my_app:8080")],
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; the host of the request is removed: it has an underscore; let the proxy send another one, or allow it with underscore_hosts()",
        ),
        on_the_wire(
            "an HTTP/2 request has two authorities",
            Version::HTTP_2,
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; the host of the request is removed: its target and its Host header name different ones; let the proxy send both alike",
        ),
        on_the_wire(
            "an HTTP/1.1 request names one host in its target and another in Host",
            Version::HTTP_11,
            "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; the target of the request names another host than its Host header, and counts; let the proxy send both alike",
        ),
    ]
}

fn builder_https() -> CustomProxyFix {
    CustomProxyFix::builder(set("10.0.0.2")).https_when("Front-End-Https", "on").build().unwrap()
}

/// A request for `a.example` whose `Host` is another.
fn on_the_wire(symptom: &'static str, version: Version, sentence: &'static str) -> Row {
    let mut row =
        row(symptom, trusting("10.0.0.2"), "10.0.0.2", &[CHAIN, HTTPS, ("host", "b.example")], sentence);
    row.request.version = version;
    row.request.uri = "http://a.example/".parse().unwrap();
    row
}

fn rows() -> Vec<Row> {
    [who_is_connected(), which_header(), which_entry(), the_other_fields()].into_iter().flatten().collect()
}

fn said(row: &Row) -> String {
    let mut parts = row.request.clone();
    row.fix.fix(&mut parts);
    parts.extensions.get::<Origin>().unwrap().to_string()
}

#[test]
fn each_misconfiguration_is_answered_with_its_cure() {
    for row in rows() {
        assert_eq!(said(&row), row.sentence, "{}", row.symptom);
    }
}

#[test]
fn sentences_are_short_and_repeat_no_bytes_of_a_client() {
    for row in rows() {
        let faults =
            row.sentence.matches("not taken").count() + row.sentence.matches("it is not hop").count();
        assert!(row.sentence.len() <= if faults > 1 { 300 } else { 220 }, "{}", row.sentence);
        for text in ["evil", "client.example", "my_app", "eth0", "_hidden", "an old one", "wss", "xxx"] {
            assert!(!row.sentence.contains(text), "{}", row.sentence);
        }
    }
}

#[test]
fn the_guide_has_the_same_rows() {
    let guide = include_str!("../../crates/proxyfix/docs/troubleshooting.md");
    for row in rows() {
        let begin = format!("| {} | `{}` | ", row.symptom, row.sentence);
        let found = guide.lines().filter(|line| line.starts_with(&begin) && line.len() > begin.len() + 2);
        assert_eq!(found.count(), 1, "{begin}");
    }
    let (tables, _) = guide.split_once("## Where there is no sentence").unwrap();
    assert_eq!(tables.lines().filter(|line| line.contains(" | `")).count(), rows().len());
}

/// The sentence says that a stranger sent a header, and nothing else knows (law L2).
#[test]
fn t01_what_a_stranger_sends_is_said_and_decides_nothing() {
    let decide = |headers: &[(&str, &str)]| {
        let mut parts = row("", trusting("10.0.0.2"), "203.0.113.9", headers, "").request;
        trusting("10.0.0.2").fix(&mut parts);
        parts.extensions.remove::<Origin>().unwrap()
    };
    let silent = decide(&[]);
    for headers in [[CHAIN], [("forwarded", "for=127.0.0.1")], [("x-real-ip", "127.0.0.1")]] {
        let origin = decide(&headers);
        assert_eq!(origin, silent);
        assert_ne!(origin.to_string(), silent.to_string());
    }
}

#[test]
fn a_second_fix_keeps_the_sentence() {
    for row in rows() {
        let mut parts = row.request.clone();
        row.fix.fix(&mut parts);
        row.fix.fix(&mut parts);
        assert_eq!(parts.extensions.get::<Origin>().unwrap().to_string(), row.sentence, "{}", row.symptom);
    }
}

/// Each field is explained by the policy that decided on it.
#[test]
fn a_stack_of_fixes_has_one_sentence() {
    let stack = (trusting("10.0.0.2"), CustomProxyFix::host(set("10.0.0.2"), "X-FHost").unwrap());
    let headers = [CHAIN, HTTPS, ("x-fhost", "a"), ("x-fhost", "b")];
    let mut parts = row("", trusting("10.0.0.2"), "10.0.0.2", &headers, "").request;
    stack.fix(&mut parts);
    assert_eq!(
        parts.extensions.get::<Origin>().unwrap().to_string(),
        "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Fhost is not taken: it has \
         several values where one is expected; let the proxy replace what the client sent, and not add to it",
    );
}
