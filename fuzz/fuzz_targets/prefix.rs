//! A path prefix. An input is the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxyfix::Prefix;
use proxyfix_fuzz::prefix;

fuzz_target!(|text: &[u8]| {
    let read = Prefix::from_bytes(text).ok();
    assert_eq!(read.as_ref().map(Prefix::to_string), prefix(text));
    let Some(prefix) = read else { return };
    let text = prefix.as_str();
    assert_eq!(Prefix::from_bytes(text.as_bytes()), Ok(prefix.clone()), "what is written is read again");
    assert_eq!(prefix.is_root(), text.is_empty());
    assert!(text.is_empty() || text.starts_with('/'));
    assert!(text.len() <= 1024 && text.is_ascii() && !text.ends_with('/') && !text.contains("//"));
    assert!(!text.split('/').any(|segment| segment == "." || segment == ".."));
    assert!(!text.contains(['\\', '?', '#', ';', ',', '"', '\'', '<', '>', ' ', '(', ')']));
});
