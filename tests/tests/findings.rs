//! What fuzzing found, a test each.

use proxyfix::{Ending, Family, Policy, Received, TrustedProxies};

/// Asserts that the error about a trusted set is short, and printable ASCII throughout.
#[track_caller]
fn assert_plain_error(text: &str) {
    let message = text.parse::<TrustedProxies>().unwrap_err().to_string();
    assert!(message.len() <= 1024, "{} bytes", message.len());
    assert!(message.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{message:?}");
}

#[test]
fn the_hint_about_a_zone_is_ascii() {
    assert_plain_error("fe80::1%eth0");
}

#[test]
fn the_hint_about_brackets_repeats_no_raw_text() {
    assert_plain_error("[2001:db8\x1b[2J]:80");
    assert_plain_error(&format!("[{}]", "x".repeat(100_000)));
}

#[test]
fn the_hint_about_leading_zeros_repeats_no_raw_text() {
    assert_plain_error("010.0.0.0/\x1b[2J");
    assert_plain_error(&format!("010.0.0.0/{}", "x".repeat(100_000)));
}

/// RFC 9110 section 5.6.4: a backslash escapes white space and visible bytes only.
#[test]
fn a_backslash_makes_no_control_byte_part_of_a_quoted_string() {
    let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
    let policy = Policy::builder(trusted).family(Family::Forwarded).build().unwrap();
    for line in [&b"for=203.0.113.9;x=\"\\\x01\""[..], b"for=203.0.113.9;x=\"\\\x7f\""] {
        let origin =
            policy.decide("10.0.0.2".parse().unwrap(), Received::default(), &[("forwarded", line)][..]);
        assert_eq!(origin.ending(), Ending::Malformed, "{}", line.escape_ascii());
    }
}
