//! E. Host, port and scheme.

use axum::response::IntoResponse;
use http::{Method, Response, Version};
use proxyfix::{
    CustomProxyFix, Ending, Field, Fix, Guard, LighttpdCgiRootFix, Outcome, ProxyFix, Refusal, Scheme,
    ScriptNameStripper,
};
use proxyfix_axum::Rejection;

use crate::stage::*;

#[test]
fn t69_a_host_is_believed_from_a_trusted_peer_that_was_asked_for_it() {
    // Whether evil.example is a host of ours is for an allow-list to say, which is the guard's.
    let lines: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Host", b"evil.example")];
    see(&everything(), head(PROXY, lines)).assert("203.0.113.9 client-found", "http://evil.example");
    see(&everything(), head(ATTACKER, lines)).assert("203.0.113.9 peer-untrusted", "http://good.example");
    let fix = ProxyFix::new(trust("10.0.0.0/8"));
    see(&fix, head(PROXY, lines)).assert("203.0.113.9 client-found", "http://good.example");
    assert_asked(Version::HTTP_11, "/", &[b"evil.example"], ("http://evil.example", "evil.example", "/"));
}

#[test]
fn t69_a_guard_asks_the_effective_host_whatever_its_source() {
    let chain = ("X-Forwarded-For", &b"203.0.113.9"[..]);
    assert_answered(&guard(), head(PROXY, &[chain, ("X-Forwarded-Host", b"evil.example")]), 421);
    assert_answered(&guard(), get("/", PROXY, &[chain, ("Host", b"evil.example")]), 421);
    assert_answered(&guard(), get("/", ATTACKER, &[("Host", b"evil.example")]), 421);
    assert_answered(&guard(), head(ATTACKER, &[("X-Forwarded-Host", b"evil.example")]), 200);
    let lines: Lines<'_> =
        &[chain, ("Host", b"app.internal:8080"), ("X-Forwarded-Host", b"good.example:8443")];
    assert_answered(&guard(), get("/", PROXY, lines), 200);
}

/// Behind the proxy and not, asserts what a guard answers to a request for each of these hosts.
#[track_caller]
fn assert_host_answered(guard: &Guard, hosts: &[&[u8]], status: u16) {
    for host in hosts {
        for peer in [PROXY, ATTACKER] {
            assert_answered(guard, get("/", peer, &[("Host", host)]), status);
        }
    }
}

#[test]
fn t70_t71_t75_t76_t77_a_guard_refuses_what_is_no_host() {
    let hosts: [&[u8]; 22] = [
        b"good.example:80@evil.example",
        b"good@evil.example",
        b"good.example/admin?x=",
        b"good.example#",
        b"evil.example\\good.example",
        b"a,b",
        b"a;b",
        b"a'b",
        b"a b",
        b"<b>",
        b"{b}",
        b"g\xc3\xb6od.example",
        b"good%2eexample",
        b"good.example:99999",
        b"good.example:",
        b"good.example:80:90",
        b":80",
        b"good.example:0",
        b"good.example:http",
        b"::1",
        b"[zz]",
        b"[203.0.113.9]",
    ];
    assert_host_answered(&guard(), &hosts, 400);
    for target in ["http://good@evil.example/", "http://good.example:80@evil.example/"] {
        assert_answered(&guard(), get(target, ATTACKER, &[("Host", b"good.example")]), 400);
        let mut http2 = get(target, ATTACKER, &[]);
        http2.version = Version::HTTP_2;
        assert_answered(&guard(), http2, 400);
    }
}

#[test]
fn t73_t74_a_guard_compares_whole_labels() {
    let guard = Guard::new().allow_hosts([".good.example", "sub.good.example"]).unwrap();
    let others: [&[u8]; 3] = [b"notgood.example", b"good.example.evil.example", b"sub-good.example"];
    assert_host_answered(&guard, &others, 421);
    assert_host_answered(&guard, &[b"evil.example#.good.example", b"good.example.."], 400);
    let ours: [&[u8]; 5] =
        [b"good.example", b"GOOD.Example", b"good.example.", b"sub.good.example", b"a.b.good.example"];
    assert_host_answered(&guard, &ours, 200);
}

#[test]
fn t81_t82_t83_t84_a_strict_guard_refuses_two_hosts_and_none() {
    let asked = |version, target: &str, hosts: &[&[u8]], status| {
        let mut lines: Vec<(&str, &[u8])> = hosts.iter().map(|host| ("Host", *host)).collect();
        lines.push(("X-Forwarded-Host", b"evil.example"));
        let mut parts = get(target, ATTACKER, &lines);
        parts.version = version;
        assert_answered(&Guard::new().strict(), parts, status);
    };
    asked(Version::HTTP_11, "/", &[b"good.example", b"evil.example"], 400);
    asked(Version::HTTP_11, "/", &[b"good.example", b"good.example"], 400);
    asked(Version::HTTP_11, "/", &[b"good.example"], 200);
    asked(Version::HTTP_11, "/", &[], 400);
    asked(Version::HTTP_10, "/", &[], 200);
    asked(Version::HTTP_2, "https://good.example/", &[b"evil.example"], 400);
    asked(Version::HTTP_2, "https://good.example/", &[b"Good.Example."], 200);
    asked(Version::HTTP_2, "https://good.example/", &[], 200);
    asked(Version::HTTP_11, "http://good.example/x", &[b"evil.example"], 400);
    asked(Version::HTTP_11, "http://good.example/x", &[b"good.example:80"], 200);
}

#[test]
fn t86_t87_a_strict_guard_refuses_schemes_that_do_not_align() {
    let chain = ("X-Forwarded-For", &b"203.0.113.9"[..]);
    let list = head(PROXY, &[chain, ("X-Forwarded-Proto", b"https,http")]);
    assert_answered(&guard(), list, 400);
    let lines = [chain, ("X-Forwarded-Proto", b"https"), ("X-Forwarded-Proto", b"http")];
    assert_answered(&guard(), head(PROXY, &lines), 400);
    assert_answered(&guard(), head(ATTACKER, &lines), 200);
    assert_answered(&guard(), head(PROXY, &lines[..2]), 200);
}

#[test]
fn t70_userinfo_is_never_part_of_a_host() {
    let hosts: [&[u8]; 3] =
        [b"good.example@evil.example", b"good.example:80@evil.example", b"good@evil.example"];
    assert_off(Field::Host, &hosts);
    assert_no_host(&hosts, &["good@evil.example", "good.example:80@evil.example", "@evil.example"]);
    // The port of a refused host is refused with it.
    assert_url(&[("X-Forwarded-Host", hosts[0]), ("X-Forwarded-Port", b"8443")], "http://good.example");
}

#[test]
fn t71_delimiters_are_never_part_of_a_host() {
    let hosts: [&[u8]; 14] = [
        b"good.example/admin?x=",
        b"good.example#",
        b"good.example?",
        b"evil.example\\good.example",
        b"a,b",
        b"a;b",
        b"a'b",
        b"a b",
        b"<b>",
        b"{b}",
        b"a_b",
        b"-a.example",
        b"a%b",
        b"good.example\t:80",
    ];
    assert_off(Field::Host, &hosts);
    assert_no_host(&hosts, &["a;b", "a,b", "a'b", "a_b", "-a.example"]);
    assert_off(Field::Host, &[b""]);
    assert_no_host(&[b""], &[]);
}

#[test]
fn t72_several_hosts_count_only_beside_as_many_hops() {
    let received = "http://good.example";
    let one: [Lines<'_>; 3] = [
        &[("X-Forwarded-Host", b"evil.example, www.good.example")],
        &[("X-Forwarded-Host", b"evil.example"), ("X-Forwarded-Host", b"www.good.example")],
        &[("X-Forwarded-Host", b"evil.example, www.good.example"), ("X-Forwarded-Port", b"8443")],
    ];
    for lines in one {
        assert_url(lines, received);
    }
    for (chain, hosts, url) in [
        (&b"127.0.0.1, 203.0.113.9"[..], &b"evil.example, www.good.example"[..], "http://www.good.example"),
        (b"203.0.113.9, 10.0.0.7", b"www.good.example, inner.example", "http://www.good.example"),
        // What the client put in front of the chain does not unsettle what two proxies wrote.
        (b"127.0.0.1, 203.0.113.9, 10.0.0.7", b"www.good.example, inner.example", "http://www.good.example"),
        (b"203.0.113.9, 10.0.0.7", b"evil.example, www.good.example, inner.example", received),
        (b"203.0.113.9, 10.0.0.7", b"www.good.example, , inner.example", received),
        (b"203.0.113.9, 10.0.0.7", b", inner.example", received),
        (b"203.0.113.9, 10.0.0.7", b"www.good.example", "http://www.good.example"),
    ] {
        let lines = [("X-Forwarded-For", chain), ("X-Forwarded-Host", hosts)];
        see(&everything(), head(PROXY, &lines)).assert("203.0.113.9 client-found", url);
    }
    // A count is a position from the right.
    let count = |count| {
        let fix = ProxyFix::builder(trust("10.0.0.0/8")).x_for(2).x_host(count).build().unwrap();
        let lines: Lines<'_> = &[
            ("X-Forwarded-For", b"203.0.113.9, 10.0.0.7"),
            ("X-Forwarded-Host", b"evil.example, www.good.example, inner.example"),
        ];
        see(&fix, head(PROXY, lines)).url()
    };
    assert_eq!(count(1), "http://inner.example");
    assert_eq!(count(2), "http://www.good.example");
    assert_eq!(count(3), received);
}

#[test]
fn t73_only_what_is_a_host_gets_as_far_as_a_list_of_hosts() {
    // Whole labels are what a guard compares; a host that hides another behind a delimiter never
    // arrives there.
    assert_no_host(&[b"evil.example#.good.example", b".good.example", b"evil.example\\.good.example"], &[]);
    for host in ["notgood.example", "good.example.evil.example", "sub-good.example"] {
        assert_asked(Version::HTTP_11, "/", &[host.as_bytes()], (&format!("http://{host}"), host, "/"));
    }
}

#[test]
fn t74_case_and_one_trailing_dot_mean_nothing() {
    for host in [&b"GOOD.Example"[..], b"good.example.", b"GOOD.EXAMPLE.:80"] {
        for peer in [PROXY, ATTACKER] {
            assert_eq!(see(&everything(), get("/", peer, &[("Host", host)])).url(), "http://good.example");
        }
        assert_url(&[("X-Forwarded-Host", host)], "http://good.example");
    }
    // A believed host is written out in its normal form.
    let lines: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Host", b"WWW.Good.Example.")];
    assert_eq!(see(&everything(), head(PROXY, lines)).header("host"), Some("www.good.example"));
    assert_off(Field::Host, &[b"good.example..", b"www..good.example", b"."]);
    assert_no_host(&[b"good.example..", b"."], &["good.example..", "."]);
}

#[test]
fn t75_hosts_are_ascii_and_not_decoded() {
    assert_off(Field::Host, &[b"g\xc3\xb6od.example", b"g\xf6od.example", b"good%2eexample"]);
    assert_no_host(&[b"g\xc3\xb6od.example", b"g\xf6od.example", b"good%2eexample"], &[]);
    assert_url(&[("X-Forwarded-Host", b"xn--gd-fka.example")], "http://xn--gd-fka.example");
}

#[test]
fn t76_a_bad_port_refuses_the_host() {
    let hosts: [&[u8]; 8] = [
        b"good.example:99999",
        b"good.example:",
        b"good.example:80:90",
        b":80",
        b"good.example:0",
        b"good.example:080",
        b"good.example:+80",
        b"good.example:http",
    ];
    assert_off(Field::Host, &hosts);
    assert_no_host(
        &hosts,
        &["good.example:99999", "good.example:", ":80", "good.example:0", "good.example:080"],
    );
}

#[test]
fn t77_ipv6_has_brackets_and_brackets_have_ipv6() {
    assert_url(&[("X-Forwarded-Host", b"::1"), ("X-Forwarded-Port", b"443")], "http://good.example");
    let lines: Lines<'_> = &[
        ("X-Forwarded-Host", b"[2001:DB8::0:9]"),
        ("X-Forwarded-Port", b"443"),
        ("X-Forwarded-Proto", b"https"),
    ];
    assert_url(lines, "https://[2001:db8::9]");
    assert_url(&[("X-Forwarded-Host", b"[2001:db8::9]:8443")], "http://[2001:db8::9]:8443");
    let hosts: [&[u8]; 8] =
        [b"::1", b"2001:db8::9", b"[::1]x", b"[zz]", b"[]", b"[203.0.113.9]", b"[::1", b"[[::1]]"];
    assert_off(Field::Host, &hosts);
    assert_no_host(&hosts, &["[::1]x", "[zz]", "[]"]);
    let asked = ("http://[2001:db8::9]:8080", "[2001:db8::9]:8080", "/");
    assert_asked(Version::HTTP_11, "/", &[b"[2001:db8::9]:8080"], asked);
}

#[test]
fn t78_a_bad_port_leaves_the_host() {
    let ports: [&[u8]; 10] = [
        b"443@evil.example",
        b"0",
        b"65536",
        b"80,443",
        b"-1",
        b"443/../",
        b"",
        b"080",
        b"4 43",
        b"\xd9\xa4\xd9\xa4\xd9\xa3",
    ];
    assert_off(Field::Port, &ports);
    for port in ports {
        let lines = [("X-Forwarded-Host", &b"www.good.example"[..]), ("X-Forwarded-Port", port)];
        assert_url(&lines, "http://www.good.example");
    }
}

#[test]
fn t79_a_port_that_contradicts_the_scheme_is_kept() {
    let lines: Lines<'_> = &[("X-Forwarded-Proto", b"https"), ("X-Forwarded-Port", b"80")];
    assert_url(lines, "https://good.example:80");
    assert_url(&[("X-Forwarded-Port", b"443")], "http://good.example:443");
    assert_url(&[("X-Forwarded-Port", b"80")], "http://good.example");
}

#[test]
fn t80_a_port_belongs_to_the_effective_host() {
    let lines: Lines<'_> = &[("X-Forwarded-Port", b"443"), ("X-Forwarded-Proto", b"https")];
    for (host, url, written) in [
        (&b"good.example:8080"[..], "https://good.example", Some("good.example")),
        (b"good@evil.example", "https://?", None),
    ] {
        let seen = see(&everything(), get("/", PROXY, &[&[("Host", host)], lines].concat()));
        assert_eq!((seen.url().as_str(), seen.header("host")), (url, written));
    }
    let seen = see(&everything(), get("/", PROXY, lines));
    assert_eq!((seen.url().as_str(), seen.header("host")), ("https://?", None));
    assert_eq!(seen.origin().outcome(Field::Port), Outcome::Refused(Refusal::WithoutHost));
}

#[test]
fn t81_two_host_lines_are_no_host() {
    // To answer 400 is the guard's; no fix picks one of them.
    for hosts in [[&b"good.example"[..], b"evil.example"], [b"good.example", b"good.example"]] {
        assert_asked(Version::HTTP_11, "/", &hosts, ("http://?", "-", "/"));
        assert_asked(Version::HTTP_11, "http://good.example/", &hosts, ("http://?", "-", "/"));
        assert_asked(Version::HTTP_2, "http://good.example/", &hosts, ("http://?", "-", "/"));
    }
    // A host that a trusted proxy states is one.
    let lines: Lines<'_> =
        &[("Host", b"good.example"), ("Host", b"evil.example"), ("X-Forwarded-Host", b"www.good.example")];
    assert_eq!(see(&everything(), get("/", PROXY, lines)).header("host"), Some("www.good.example"));
}

#[test]
fn t82_a_missing_host_is_not_made_up() {
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        assert_asked(version, "/", &[], ("http://?", "-", "/"));
    }
    let lines: Lines<'_> = &[("X-Forwarded-Host", b"evil.example"), ("X-Original-Host", b"evil.example")];
    let seen = see(&everything(), get("/", ATTACKER, lines));
    assert_eq!((seen.url().as_str(), seen.left()), ("http://?", vec![]));
}

#[test]
fn t83_two_authorities_that_differ_are_none() {
    let target = "http://good.example/x";
    for host in [&b"evil.example"[..], b"good.example:8080", b"good@evil.example", b"", b"good.example:"] {
        assert_asked(Version::HTTP_2, target, &[host], ("http://?", "-", "/x"));
    }
    assert_asked(Version::HTTP_2, "http://good.example:8443/", &[b"good.example"], ("http://?", "-", "/"));
    // One, or two that are the same: both views agree afterwards.
    assert_asked(Version::HTTP_2, target, &[], ("http://good.example", "good.example", target));
    assert_asked(Version::HTTP_2, "/x", &[b"good.example"], ("http://good.example", "good.example", "/x"));
    for host in [&b"good.example"[..], b"GOOD.example", b"good.example.", b"good.example:80"] {
        for peer in [PROXY, ATTACKER] {
            let mut parts = get(target, peer, &[("Host", host)]);
            parts.version = Version::HTTP_2;
            assert_eq!(see(&everything(), parts).url(), "http://good.example");
        }
    }
    let ipv6 = "http://[2001:db8::9]/";
    let mut parts = get(ipv6, ATTACKER, &[("Host", b"[2001:DB8:0::9]")]);
    parts.version = Version::HTTP_2;
    assert_eq!(see(&everything(), parts).url(), "http://[2001:db8::9]");
}

#[test]
fn t83_only_the_default_port_of_the_effective_scheme_may_be_left_out() {
    let target = "http://good.example:443/";
    assert_asked(Version::HTTP_2, target, &[b"good.example"], ("http://?", "-", "/"));
}

#[test]
fn t84_the_target_replaces_the_host() {
    let target = "http://good.example/x";
    for host in [&b"evil.example"[..], b"good@evil.example", b""] {
        assert_asked(Version::HTTP_11, target, &[host], ("http://good.example", "good.example", target));
    }
    assert_asked(Version::HTTP_11, target, &[], ("http://good.example", "good.example", target));
    // What a trusted proxy states replaces both.
    let lines: Lines<'_> =
        &[("Host", b"a.internal"), ("X-Forwarded-Host", b"good.example"), ("X-Forwarded-Proto", b"https")];
    let seen = see(&everything(), get("http://b.internal:8080/x?y", PROXY, lines));
    assert_eq!(seen.header("host"), Some("good.example"));
    assert_eq!(seen.0.uri, "https://good.example/x?y");
}

#[test]
fn t85_the_scheme_is_not_taken_from_the_target() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let expected = ("http://good.example", "good.example", "http://good.example/");
        assert_asked(version, "https://good.example/", &[b"good.example"], expected);
    }
    let lines: Lines<'_> = &[("X-Forwarded-Proto", b"https")];
    assert_eq!(see(&everything(), get("http://good.example/", PROXY, lines)).0.uri, "https://good.example/");
}

#[test]
fn t86_t87_several_schemes_count_only_beside_as_many_hops() {
    let several: [Lines<'_>; 4] = [
        &[("X-Forwarded-Proto", b"https,http")],
        &[("X-Forwarded-Proto", b"http,https")],
        &[("X-Forwarded-Proto", b"https"), ("X-Forwarded-Proto", b"http")],
        &[("X-Forwarded-Proto", b"http"), ("X-Forwarded-Proto", b"https")],
    ];
    for lines in several {
        assert_url(lines, "http://good.example");
    }
    for (chain, schemes, url) in [
        (&b"203.0.113.9, 10.0.0.7"[..], &b"https, http"[..], "https://good.example"),
        (b"127.0.0.1, 203.0.113.9", b"https, http", "http://good.example"),
        (b"203.0.113.9, garbage", b"https, https", "http://good.example"),
        (b"203.0.113.9, garbage", b"https", "https://good.example"),
    ] {
        let lines = [("X-Forwarded-For", chain), ("X-Forwarded-Proto", schemes)];
        assert_eq!(see(&everything(), head(PROXY, &lines)).url(), url, "{}", schemes.escape_ascii());
    }
}

#[test]
fn t88_only_http_and_https_are_schemes() {
    assert_off(
        Field::Proto,
        &[
            b"javascript",
            b"data",
            b"file",
            b"ftp",
            b"1http",
            b"https:",
            b"https://evil.example/?",
            b"",
            b"ws",
            b"wss",
            b"https\xff",
            b"\"https\"",
        ],
    );
    assert_url(&[("X-Forwarded-Proto", b"HtTpS")], "https://good.example");
    for element in [&b"for=203.0.113.9;proto=\"java\\script\""[..], b"for=203.0.113.9;proto=javascript"] {
        let seen = see(&forwarded(), head(PROXY, &[("Forwarded", element)]));
        seen.assert("203.0.113.9 client-found", "http://good.example");
    }
}

#[test]
fn t89_a_trusted_scheme_is_stronger_than_the_connection() {
    for (peer, scheme, url) in [
        (PROXY, &b"http"[..], "http://good.example"),
        (PROXY, b"javascript", "https://good.example"),
        (ATTACKER, b"http", "https://good.example"),
    ] {
        let mut parts = head(peer, &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Proto", scheme)]);
        parts.extensions.insert(Scheme::Https);
        assert_eq!(see(&everything(), parts).url(), url);
    }
}

#[test]
fn t90_other_scheme_headers_are_read_by_name_only() {
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"203.0.113.9"),
        ("X-Forwarded-Ssl", b"on"),
        ("Front-End-Https", b"on"),
        ("X-Url-Scheme", b"https"),
        ("X-Forwarded-Protocol", b"ssl"),
        ("X-Forwarded-Scheme", b"https"),
    ];
    let seen = see(&everything(), head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.left(), ["host"]);

    let trusted = trust("10.0.0.0/8");
    let fix = CustomProxyFix::builder(trusted).https_when("X-Forwarded-Protocol", "ssl").build().unwrap();
    for (value, scheme) in [
        (&b"ssl"[..], "https"),
        (b"SSL", "http"),
        (b"sslx", "http"),
        (b"ssl, ssl", "http"),
        (b"https", "http"),
    ] {
        let seen = see(&fix, head(PROXY, &[("X-Forwarded-Protocol", value)]));
        assert_eq!(seen.origin().scheme().as_str(), scheme, "{}", value.escape_ascii());
    }
    let seen = see(&fix, head(ATTACKER, &[("X-Forwarded-Protocol", b"ssl")]));
    assert_eq!(seen.origin().scheme(), Scheme::Http);
}

#[test]
fn t91_nothing_that_poisons_a_cache_is_published() {
    let lines: Lines<'_> = &[
        ("X-Forwarded-Host", b"evil.example"),
        ("X-Forwarded-Scheme", b"https"),
        ("X-Forwarded-Port", b"1"),
        ("X-Forwarded-Prefix", b"/x"),
    ];
    let seen = see(&everything(), head(ATTACKER, lines));
    seen.assert("203.0.113.9 peer-untrusted", "http://good.example");
    assert_eq!(seen.left(), ["host"]);
    // Shared caches key on the effective origin; a refusal is not kept, and repeats nothing.
    for rejection in [
        Rejection::ClientUnknown(Ending::Malformed),
        Rejection::HostUnknown,
        Rejection::NoPeer,
        Rejection::NoFix,
    ] {
        let response: Response<_> = rejection.into_response();
        assert_eq!(response.headers()["cache-control"], "no-store", "{rejection}");
    }
}

#[test]
fn t92_targets_without_a_path_are_left_alone() {
    let absolute = ProxyFix::builder(trust("10.0.0.0/8")).host().prefix().absolute_uri().build().unwrap();
    let stripper = ScriptNameStripper::to("/sub".parse().unwrap());
    let fix = (absolute, custom(), stripper, root_at("/sub"), LighttpdCgiRootFix::new());
    for (method, target) in [(Method::OPTIONS, "*"), (Method::CONNECT, "evil.example:443")] {
        for peer in [PROXY, ATTACKER] {
            let mut parts = head(
                peer,
                &[
                    ("X-Forwarded-For", b"203.0.113.9"),
                    ("X-Forwarded-Host", b"www.good.example"),
                    ("X-Forwarded-Prefix", b"/app"),
                ],
            );
            (parts.method, parts.uri) = (method.clone(), target.parse().unwrap());
            let seen = see(&fix, parts);
            assert_eq!(seen.0.uri, target);
            let host = if peer == PROXY { "www.good.example" } else { "good.example" };
            assert_eq!(seen.header("host"), Some(host));
        }
    }
}

#[test]
fn t92_a_websocket_over_http2_has_a_host() {
    let lines: Lines<'_> = &[("X-Forwarded-For", b"203.0.113.9"), ("X-Forwarded-Host", b"good.example")];
    let connect = |target: &str, peer, lines| {
        let mut parts = get(target, peer, lines);
        (parts.method, parts.version) = (Method::CONNECT, Version::HTTP_2);
        everything().fix(&mut parts);
        (Seen(parts.clone()).url(), parts.uri.to_string())
    };
    let expect = |url: &str, target: &str| (url.to_owned(), target.to_owned());
    let fixed = expect("http://good.example", "http://good.example/chat");
    assert_eq!(connect("https://internal.example/chat", PROXY, lines), fixed);
    assert_eq!(connect("https://good.example/chat", ATTACKER, &[]), fixed);
    assert_eq!(connect("https://good@evil.example/chat", ATTACKER, &[]), expect("http://?", "/chat"));
}
