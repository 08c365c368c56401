//! A host with or without a port. An input is the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxyfix::{Host, Port};
use proxyfix_fuzz::{host, host_with_port};

fuzz_target!(|text: &[u8]| {
    let read = Host::with_port(text).ok();
    let plain = read.as_ref().map(|(host, port)| (host.to_string(), port.map(Port::get)));
    assert_eq!(plain, host_with_port(text));
    if let Some((host, port)) = read {
        let text = port.map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        assert_eq!(Host::with_port(text.as_bytes()), Ok((host, port)), "what is written is read again");
    }
    check(Host::from_bytes(text).ok(), host(text, false).as_deref());
    check(Host::with_underscores(text).ok(), host(text, true).as_deref());
});

fn check(read: Option<Host>, expected: Option<&str>) {
    assert_eq!(read.as_ref().map(Host::as_str), expected);
    let Some(host) = read else { return };
    let text = host.as_str();
    assert_eq!(Host::with_underscores(text.as_bytes()), Ok(host.clone()), "what is written is read again");
    assert!((1..=253).contains(&text.len()) && !text.ends_with('.'));
    let inside_brackets = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    for byte in inside_brackets.unwrap_or(text).bytes() {
        assert!(match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' => true,
            b':' => inside_brackets.is_some(),
            b'-' | b'_' => inside_brackets.is_none(),
            _ => false,
        });
    }
}
