//! B. The chain of `X-Forwarded-For`.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use proxyfix::{Ending, Family, Field, Fix, Fixed, Outcome, ProxyFix, Refusal, TrustedProxies};
use proxyfix_axum::ConnectInfoFix;
use tower::{ServiceExt, service_fn};

use crate::stage::*;

#[test]
fn t20_the_client_is_the_first_untrusted_address_from_the_right() {
    assert_chain(&[b"198.51.100.7, 203.0.113.9"], "203.0.113.9 client-found");
    assert_chain(&[b"127.0.0.1, 203.0.113.9, 10.0.0.8, 10.0.0.7"], "203.0.113.9 client-found");
}

#[test]
fn t21_t22_all_lines_are_one_list() {
    assert_chain(&[b"127.0.0.1", b"203.0.113.9"], "203.0.113.9 client-found");
    assert_chain(&[b"203.0.113.9, 10.0.0.7", b"10.0.0.8"], "203.0.113.9 client-found");
    assert_chain(&[b"127.0.0.1", b"203.0.113.9", b"10.0.0.7", b"10.0.0.8"], "203.0.113.9 client-found");
}

#[test]
fn t23_an_empty_entry_is_a_hop_that_said_nothing() {
    assert_chain(&[b", ,203.0.113.9"], "203.0.113.9 client-found");
    assert_chain(&[b"203.0.113.9,"], "nobody empty");
    assert_chain(&[b"203.0.113.9", b""], "nobody empty");
    assert_chain(&[b"203.0.113.9,,10.0.0.7"], "nobody empty");
    let blank: [&[&[u8]]; 5] = [&[], &[b""], &[b" \t "], &[b" ,, ,"], &[b"", b","]];
    for nothing in blank {
        assert_chain(nothing, "10.0.0.2 header-absent");
    }
    let any = TrustedProxies::dangerously_trust_every_peer();
    let fix = ProxyFix::builder(any).x_for(2).build().unwrap();
    for line in [&b"198.51.100.7,,203.0.113.9"[..], b"198.51.100.7, 203.0.113.9,"] {
        assert_eq!(see(&fix, head(PROXY, &[("X-Forwarded-For", line)])).who(), "nobody empty");
    }
}

#[test]
fn t24_only_space_and_tab_around_an_entry_are_white_space() {
    assert_chain(&[b"\t 203.0.113.9 \t"], "203.0.113.9 client-found");
    assert_chain(&[b"127.0.0.1 \t,\t 203.0.113.9"], "203.0.113.9 client-found");
    assert_nobody(
        &[b"203.0.113 .9", b"203.0.113.9\xc2\xa0", b"\xe2\x80\x80203.0.113.9", b"203.0.113.9\x85"],
        Ending::Malformed,
    );
}

#[test]
fn t25_a_quote_swallows_nothing() {
    assert_chain(&[b"\"198.51.100.7, 203.0.113.9"], "203.0.113.9 client-found");
    assert_nobody(&[b"\"203.0.113.9\"", b"203.0.113.9\""], Ending::Malformed);
    // In `Forwarded`, where there are quoted strings, one that was left open on the left (T55) ends
    // where the proxy's own element begins.
    let seen = see(&forwarded(), head(PROXY, &[("Forwarded", b"for=\"x, for=203.0.113.9")]));
    seen.assert("203.0.113.9 client-found", "http://good.example");
}

#[test]
fn t26_a_bad_byte_spoils_its_own_entry_only() {
    assert_chain(&[b"1.1.1.1\xff, 203.0.113.9"], "203.0.113.9 client-found");
    assert_chain(&[b"\xff\xfe\x80", b"203.0.113.9, 10.0.0.7"], "203.0.113.9 client-found");
    assert_chain(&[b"203.0.113.9, 10.0.0.7\xff"], "nobody malformed");
    let seen = see(&forwarded(), head(PROXY, &[("Forwarded", b"for=1.1.1.1\xff, for=203.0.113.9")]));
    assert_eq!(seen.who(), "203.0.113.9 client-found");
}

#[test]
fn t27_a_garbage_entry_ends_the_walk() {
    for (line, last_verified) in
        [(&b"203.0.113.9, garbage"[..], PROXY), (b"1.1.1.1, oops, 10.0.0.7", "10.0.0.7")]
    {
        let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", line)]));
        seen.assert("nobody malformed", "http://good.example");
        assert_eq!(seen.origin().last_verified(), last_verified.parse().unwrap());
    }
    let mut parts = head("", &[("X-Forwarded-For", b"203.0.113.9, garbage")]);
    parts.extensions.insert(ConnectInfo(PROXY.parse::<SocketAddr>().unwrap()));
    ConnectInfoFix(everything()).fix(&mut parts);
    assert_eq!(connect_info(&parts), None, "the proxy is not the client");
}

#[test]
fn t28_placeholders_end_the_walk() {
    assert_nobody(
        &[b"unknown", b"UNKNOWN", b"unix:", b"hidden", b"-", b"(null)", b"_gazonk"],
        Ending::Opaque,
    );
}

#[test]
fn t29_ports_are_kept_apart_from_addresses() {
    for (entry, client, port) in [
        (&b"203.0.113.9:51515"[..], "203.0.113.9", Some(51515)),
        (b"[2001:db8::9]:51515", "2001:db8::9", Some(51515)),
        (b"[2001:db8::9]", "2001:db8::9", None),
        (b"2001:db8::9", "2001:db8::9", None),
        (b"203.0.113.9:0", "203.0.113.9", None),
    ] {
        let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", entry)]));
        assert_eq!(seen.origin().client(), client.parse().ok());
        assert_eq!(seen.origin().client_port(), port);
    }
    // Trust does not look at ports.
    assert_chain(&[b"203.0.113.9, 10.0.0.7:443, [::ffff:10.0.0.8]:443"], "203.0.113.9 client-found");
}

#[test]
fn t30_two_colons_without_brackets_are_a_plain_address() {
    assert_chain(&[b"2001:db8::9:443"], "2001:db8::9:443 client-found");
    let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", b"2001:db8::9:443")]));
    assert_eq!(seen.origin().client_port(), None);
}

#[test]
fn t31_brackets_and_suffixes_have_to_be_right() {
    assert_nobody(
        &[
            b"[203.0.113.9]",
            b"[2001:db8::9",
            b"2001:db8::9]",
            b"[[2001:db8::9]]",
            b"[2001:db8::9]x",
            b"[2001:db8::9]:",
            b"203.0.113.9:",
            b"203.0.113.9:99999",
            b"203.0.113.9:080",
            b"203.0.113.9:+80",
            b"203.0.113.9:https",
        ],
        Ending::Malformed,
    );
}

#[test]
fn t32_a_payload_is_never_a_client() {
    for payload in
        [&b"<script>alert(1)</script>"[..], b"${jndi:ldap://evil.example/a}", b"'; DROP TABLE x; --"]
    {
        let seen = see(&everything(), head(PROXY, &[("X-Forwarded-For", payload)]));
        assert_eq!(seen.who(), "nobody malformed");
        // Nor does the explanation repeat it.
        let told = format!("{} {:?}", seen.origin(), seen.origin());
        assert!(!told.contains(std::str::from_utf8(payload).unwrap()), "{told}");
    }
}

#[test]
fn t33_the_comma_is_the_only_separator() {
    for line in
        [&b"127.0.0.1; 203.0.113.9"[..], b"127.0.0.1 203.0.113.9", b"127.0.0.1\xef\xbc\x8c203.0.113.9"]
    {
        assert_chain(&[line], "nobody malformed");
    }
}

#[test]
fn t34_a_single_header_with_several_values_names_nobody() {
    let family = ProxyFix::builder(trust("10.0.0.0/8")).family(Family::Single("X-Real-IP".into()));
    let family = family.build().unwrap();
    let fixes: [&dyn Fix; 2] = [&family, &custom()];
    let several: [Lines<'_>; 4] = [
        &[("X-Real-IP", b"127.0.0.1, 203.0.113.9")],
        &[("X-Real-IP", b"127.0.0.1"), ("X-Real-IP", b"203.0.113.9")],
        &[("X-Real-IP", b"203.0.113.9"), ("X-Real-IP", b"203.0.113.9")],
        &[("X-Real-IP", b"203.0.113.9,")],
    ];
    for fix in fixes {
        for lines in several {
            see(fix, head(PROXY, lines)).assert("nobody malformed", "http://good.example");
        }
        see(fix, head(PROXY, &[("X-Real-IP", b"203.0.113.9")]))
            .assert("203.0.113.9 client-found", "http://good.example");
    }
    let seen =
        see(&custom(), head(PROXY, &[("X-Real-IP", b"203.0.113.9"), ("X-FHost", b"a.example, b.example")]));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.origin().outcome(Field::Host), Outcome::Refused(Refusal::Multiple));
}

#[test]
fn t35_there_is_no_second_header_to_fall_back_to() {
    let lines: Lines<'_> = &[
        ("X-Real-IP", b"127.0.0.1"),
        ("CF-Connecting-IP", b"127.0.0.1"),
        ("True-Client-IP", b"127.0.0.1"),
        ("Client-IP", b"127.0.0.1"),
        ("Forwarded", b"for=127.0.0.1;proto=https"),
    ];
    // A trusted peer without the header speaks for itself, in logs; it is not complete.
    let seen = see(&everything(), head(PROXY, lines));
    seen.assert("10.0.0.2 header-absent", "http://good.example");
    assert!(!seen.origin().is_complete());
    assert_eq!(seen.left(), ["host"]);
    let lines: Lines<'_> = &[("X-Forwarded-For", b"127.0.0.1"), ("X-Forwarded-Proto", b"https")];
    for fix in [&forwarded() as &dyn Fix, &custom()] {
        see(fix, head(PROXY, lines)).assert("10.0.0.2 header-absent", "http://good.example");
    }
}

#[test]
fn t36_headers_that_contradict_each_other_are_no_error() {
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"203.0.113.9"),
        ("Client-IP", b"10.0.0.1"),
        ("X-Client-IP", b"10.0.0.1"),
        ("X-Cluster-Client-IP", b"\xff"),
    ];
    let seen = see(&everything(), head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.left(), ["host"]);
}

#[test]
fn t37_length_on_the_left_is_no_matter_and_on_the_right_ends_the_walk() {
    // A guard answers 431 above a limit of bytes; the fix answers the same with or without one.
    let forged = b"198.51.100.7,".repeat(40_000);
    assert_chain(&[&[&forged[..], b" 203.0.113.9"].concat()], "203.0.113.9 client-found");
    assert_chain(&[&[&b"x".repeat(320_000)[..], b",203.0.113.9"].concat()], "203.0.113.9 client-found");
    assert_chain(&[&b",".repeat(320_000), b"203.0.113.9"], "203.0.113.9 client-found");
    assert_chain(&[&b"x".repeat(320_000)], "nobody too-long");
    assert_chain(&[&[b"203.0.113.9,", &b" ".repeat(320_000)[..]].concat()], "nobody empty");
    // 32 hops are examined, not one more.
    let behind = |hops: usize| [b"203.0.113.9", &b", 10.0.0.7".repeat(hops)[..]].concat();
    assert_chain(&[&behind(31)], "203.0.113.9 client-found");
    assert_chain(&[&behind(32)], "nobody too-long");
    assert_chain(&[&behind(40_000)], "nobody too-long");
}

#[test]
fn t38_many_lines_are_one_list_too() {
    for forged in [98, 5_000] {
        let mut lines = vec![&b"198.51.100.7"[..]; forged];
        lines.push(b"203.0.113.9");
        assert_chain(&lines, "203.0.113.9 client-found");
        let mut lines = vec![&b"203.0.113.9"[..]];
        lines.extend(vec![&b"10.0.0.7"[..]; forged]);
        assert_chain(&lines, "nobody too-long");
    }
}

#[tokio::test]
async fn t39_trailers_are_no_headers() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
    trailers.insert("x-forwarded-host", HeaderValue::from_static("evil.example"));
    let sent = trailers.clone();
    let body = Full::new(&b"body"[..]).with_trailers(std::future::ready(Some(Ok::<_, Infallible>(sent))));
    let lines: Lines<'_> = &[("Trailer", b"X-Forwarded-For"), ("X-Forwarded-For", b"203.0.113.9")];

    let service = Fixed::new(
        everything(),
        service_fn(|request: Request<_>| async {
            let (parts, body) = request.into_parts();
            Ok::<_, Infallible>((parts, BodyExt::collect(body).await?))
        }),
    );
    let request = Request::from_parts(head(PROXY, lines), body);
    let (parts, collected) = service.oneshot(request).await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers), "the body passes untouched");
    see(&everything(), parts).assert("203.0.113.9 client-found", "http://good.example");
}

#[test]
fn t23_t27_t28_t31_t33_a_strict_guard_refuses_a_chain_that_names_nobody() {
    let chains: [&[u8]; 9] = [
        b"203.0.113.9,",
        b"203.0.113.9, garbage",
        b"203.0.113.9, unknown",
        b"203.0.113.9:https",
        b"127.0.0.1; 203.0.113.9",
        b"203.0.113 .9",
        b"<script>alert(1)</script>",
        b"127.0.0.1",
        b"010.0.0.2",
    ];
    for chain in chains {
        assert_answered(&guard(), head(PROXY, &[("X-Forwarded-For", chain)]), 400);
        // Whoever is not trusted is not refused for headers that are not read.
        assert_answered(&guard(), head(ATTACKER, &[("X-Forwarded-For", chain)]), 200);
    }
    assert_answered(&guard(), head(PROXY, &[("X-Forwarded-For", b"203.0.113.9")]), 200);
    assert_answered(&guard(), head(PROXY, &[]), 200);
}

#[test]
fn t34_a_strict_guard_refuses_several_values_of_a_single_header() {
    for lines in [
        &[("X-Real-IP", &b"127.0.0.1, 203.0.113.9"[..])][..],
        &[("X-Real-IP", b"127.0.0.1"), ("X-Real-IP", b"203.0.113.9")],
    ] {
        let mut parts = head(PROXY, lines);
        custom().fix(&mut parts);
        assert_eq!(guard().refuses(&parts).unwrap().as_u16(), 400);
    }
}
