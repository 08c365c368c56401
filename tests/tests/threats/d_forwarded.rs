//! D. `Forwarded` (RFC 7239).

use proxyfix::{Canonical, Family, Field, Fix, Outcome, ProxyFix, Refusal};

use crate::stage::*;

/// Behind the proxy, asserts who is found for these lines of `Forwarded`, and the URL.
#[track_caller]
fn assert_forwarded(lines: &[&[u8]], who: &str, url: &str) -> Seen {
    let lines: Vec<(&str, &[u8])> = lines.iter().map(|line| ("Forwarded", *line)).collect();
    let seen = see(&forwarded(), head(PROXY, &lines));
    seen.assert(who, url);
    seen
}

/// Behind the proxy, asserts that each of these lines names nobody, that nothing else of it is taken,
/// and that a strict guard refuses it.
#[track_caller]
fn assert_nobody_forwarded(lines: &[&[u8]], ending: &str) {
    for line in lines {
        let seen = assert_forwarded(&[line], &format!("nobody {ending}"), "http://good.example");
        assert_eq!(seen.origin().last_verified(), PROXY.parse().unwrap());
        assert_eq!(guard().refuses(&seen.0).unwrap().as_u16(), 400);
    }
}

#[test]
fn t50_the_client_is_in_the_first_untrusted_element_from_the_right() {
    let line = b"for=198.51.100.7;host=evil.example;proto=http, for=203.0.113.9;proto=https";
    assert_forwarded(&[line], "203.0.113.9 client-found", "https://good.example");
    let lines: [&[u8]; 2] = [b"for=198.51.100.7;host=evil.example", b"for=203.0.113.9;proto=https"];
    assert_forwarded(&lines, "203.0.113.9 client-found", "https://good.example");
}

#[test]
fn t51_all_parameters_are_of_the_chosen_element() {
    let line: &[u8] = b"host=evil.example, for=203.0.113.9;proto=https";
    let seen = assert_forwarded(&[line], "203.0.113.9 client-found", "https://good.example");
    assert_eq!(seen.origin().outcome(Field::Host), Outcome::Absent);
    // Nor of a nearer one.
    let line: &[u8] = b"for=203.0.113.9;proto=https, for=10.0.0.7;host=inner.example;proto=http";
    assert_forwarded(&[line], "203.0.113.9 client-found", "https://good.example");
}

#[test]
fn t52_an_element_without_for_names_nobody_and_says_the_rest() {
    let line: &[u8] = b"for=198.51.100.7, proto=https;host=good.example";
    assert_forwarded(&[line], "nobody empty", "https://good.example");
    let line: &[u8] = b"for=198.51.100.7, proto=https;host=www.good.example";
    assert_forwarded(&[line], "nobody empty", "https://www.good.example");
    let line: &[u8] = b"for=198.51.100.7, host=\"a b\";proto=https";
    assert_forwarded(&[line], "nobody empty", "https://good.example");
}

#[test]
fn t53_a_quoted_semicolon_separates_nothing() {
    assert_nobody_forwarded(&[b"for=\"203.0.113.9;host=evil.example;proto=https\""], "malformed");
}

#[test]
fn t54_a_quoted_comma_separates_nothing() {
    let line: &[u8] = b"for=\"_a, for=127.0.0.1\", for=203.0.113.9";
    assert_forwarded(&[line], "203.0.113.9 client-found", "http://good.example");
    // Two elements, not three.
    let line: &[u8] = b"for=\"_a, for=198.51.100.7\", for=10.0.0.7";
    let seen = see(&forwarded(), head(PROXY, &[("Forwarded", line)]));
    seen.assert("nobody malformed", "http://good.example");
    assert_eq!(seen.origin().last_verified(), "10.0.0.7".parse().unwrap());
}

/// What a client left open does not reach what the proxy appended, in the same line or in the next.
#[test]
fn t55_a_quote_left_open_spoils_its_own_element() {
    let lines: [&[&[u8]]; 3] = [
        &[b"for=\"x, for=203.0.113.9"],
        &[b"for=\"x", b"for=203.0.113.9"],
        &[b"for=\"198.51.100.7;host=\"evil.example, for=203.0.113.9"],
    ];
    for lines in lines {
        assert_forwarded(lines, "203.0.113.9 client-found", "http://good.example");
    }
    assert_nobody_forwarded(
        &[b"for=\"x", b"for=203.0.113.9, for=\"x", b"for=203.0.113.9;host=\"x"],
        "malformed",
    );
}

#[test]
fn t56_a_parameter_that_stands_twice_spoils_its_element() {
    assert_nobody_forwarded(
        &[b"for=203.0.113.9;for=127.0.0.1", b"for=203.0.113.9;proto=https;proto=http"],
        "malformed",
    );
}

#[test]
fn t57_names_have_any_case() {
    let line: &[u8] = b"FoR=203.0.113.9;PrOtO=HTTPS;HOST=Good.Example";
    let seen = assert_forwarded(&[line], "203.0.113.9 client-found", "https://good.example");
    assert_eq!(seen.origin().outcome(Field::Host), Outcome::Believed);
}

#[test]
fn t58_no_white_space_stands_around_the_equals_sign() {
    assert_nobody_forwarded(&[b"for = 203.0.113.9", b"for= 203.0.113.9", b"for =203.0.113.9"], "malformed");
    let line: &[u8] = b"\tfor=203.0.113.9 ;\tproto=https ";
    assert_forwarded(&[line], "203.0.113.9 client-found", "https://good.example");
}

#[test]
fn t59_an_opaque_hop_ends_the_walk() {
    let lines: [&[u8]; 3] = [
        b"for=203.0.113.9, for=unknown",
        b"for=203.0.113.9, for=_hidden",
        b"for=203.0.113.9, for=\"_SEVKISEK:8080\"",
    ];
    assert_nobody_forwarded(&lines, "opaque");
    // The identifier is no key.
    let seen = assert_forwarded(&[lines[1]], "nobody opaque", "http://good.example");
    assert_eq!(seen.origin().client_key().to_string(), "incomplete:10.0.0.2");
}

#[test]
fn t60_a_host_name_is_no_node() {
    assert_nobody_forwarded(&[b"for=proxy.evil.example", b"for=localhost"], "malformed");
    assert_nobody(&[b"proxy.evil.example", b"localhost"], proxyfix::Ending::Malformed);
}

#[test]
fn t61_ipv6_has_brackets_and_quotes() {
    assert_nobody_forwarded(&[b"for=2001:db8::9", b"for=[2001:db8::9]", b"for=\"2001:db8::9\""], "malformed");
    let line: &[u8] = b"for=\"[2001:db8::9]:4711\"";
    let seen = assert_forwarded(&[line], "2001:db8::9 client-found", "http://good.example");
    assert_eq!(seen.origin().client_port(), Some(4711));
}

#[test]
fn t62_escapes_are_undone_before_the_node_is_read() {
    let line: &[u8] = b"for=\"203.0.113\\.9\"";
    assert_forwarded(&[line], "203.0.113.9 client-found", "http://good.example");
    assert_nobody_forwarded(&[b"for=\"\\\"203.0.113.9\\\"\"", b"for=\"203.0.113.9\\"], "malformed");
}

#[test]
fn t63_empty_elements_and_pairs_are_legal_and_empty_names_are_not() {
    for line in [&b", for=203.0.113.9 ,"[..], b";;for=203.0.113.9;"] {
        assert_forwarded(&[line], "203.0.113.9 client-found", "http://good.example");
    }
    assert_nobody_forwarded(&[b"for=", b"=203.0.113.9"], "malformed");
}

#[test]
fn t64_extensions_are_read_over() {
    let line: &[u8] = b"secret=\"a,b;c\";for=203.0.113.9;x-ext=1";
    assert_forwarded(&[line], "203.0.113.9 client-found", "http://good.example");
    assert_nobody_forwarded(&[b"for=203.0.113.9;x y=1", b"for=203.0.113.9;x=\"1"], "malformed");
}

#[test]
fn t65_a_bad_byte_spoils_its_own_value() {
    let line: &[u8] = b"for=\"\xe9\", for=203.0.113.9";
    assert_forwarded(&[line], "203.0.113.9 client-found", "http://good.example");
    let line: &[u8] = b"for=203.0.113.9;host=\"g\xf6od.example\"";
    let seen = assert_forwarded(&[line], "203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.origin().outcome(Field::Host), Outcome::Refused(Refusal::Malformed));
}

#[test]
fn t66_the_other_family_is_removed_unread() {
    let lines: Lines<'_> =
        &[("Forwarded", b"for=127.0.0.1;proto=https;host=evil.example"), ("X-Forwarded-For", b"203.0.113.9")];
    let seen = see(&everything(), head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.left(), ["host"]);
    let lines: Lines<'_> = &[
        ("X-Forwarded-For", b"127.0.0.1"),
        ("X-Forwarded-Proto", b"https"),
        ("X-Forwarded-Host", b"evil.example"),
        ("Forwarded", b"for=203.0.113.9"),
    ];
    let seen = see(&forwarded(), head(PROXY, lines));
    seen.assert("203.0.113.9 client-found", "http://good.example");
    assert_eq!(seen.left(), ["host"]);
}

#[test]
fn t67_an_unreadable_family_gives_way_to_no_other() {
    let lines: Lines<'_> = &[("Forwarded", b"for=\"x"), ("X-Forwarded-For", b"127.0.0.1")];
    let seen = see(&forwarded(), head(PROXY, lines));
    seen.assert("nobody malformed", "http://good.example");
    assert_eq!(seen.left(), ["host"]);
    let lines: Lines<'_> = &[("X-Forwarded-For", b"garbage"), ("Forwarded", b"for=198.51.100.7")];
    see(&everything(), head(PROXY, lines)).assert("nobody malformed", "http://good.example");
}

#[test]
fn t68_nothing_is_injected_into_what_is_written() {
    let fix = ProxyFix::builder(trust("10.0.0.0/8")).family(Family::Forwarded).host();
    let fix = fix.write(Canonical::Forwarded).build().unwrap();
    for host in [&b"good.example;for=127.0.0.1"[..], b"a,for=127.0.0.1", b"a\";for=127.0.0.1"] {
        let mut parts = get("/", PROXY, &[("Host", host), ("Forwarded", b"for=203.0.113.9")]);
        fix.fix(&mut parts);
        assert_eq!(parts.headers["forwarded"], "for=203.0.113.9;proto=http");
        let mut parts = get("/", ATTACKER, &[("Host", host), ("Forwarded", b"for=127.0.0.1")]);
        fix.fix(&mut parts);
        assert_eq!(parts.headers["forwarded"], "for=203.0.113.9;proto=http");
    }
    // What is no token is quoted.
    let mut parts = get("/", PROXY, &[("Host", b"[::1]:8080"), ("Forwarded", b"for=\"[2001:db8::9]:1\"")]);
    fix.fix(&mut parts);
    let written = r#"for="[2001:db8::9]";host="[::1]:8080";proto=http"#;
    assert_eq!(parts.headers["forwarded"], written);
}
