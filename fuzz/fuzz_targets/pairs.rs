//! Names and values of FastCGI. An input is a stream of them.

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use proxyfix_cgi::fastcgi::{read_pairs, write_pair};
use proxyfix_fuzz::gateway::{owned, pair, pairs};

fuzz_target!(|octets: &[u8]| {
    let read = read_pairs(&Bytes::copy_from_slice(octets)).ok();
    let found = read.as_ref().map(owned);
    assert_eq!(found, pairs(octets));
    let (Some(read), Some(found)) = (read, found) else { return };
    assert_eq!(read.len(), found.len());
    assert!(read.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= octets.len());
    for (name, _) in &found {
        let all: Vec<&[u8]> =
            found.iter().filter(|(it, _)| it == name).map(|(_, value)| &value[..]).collect();
        if let Ok(name) = std::str::from_utf8(name) {
            assert_eq!(read.get(name), all.last().copied());
            assert!(read.get_all(name).eq(all));
        }
    }
    // What is written, in either length of lengths, is read again.
    for long in [false, true] {
        let written: Vec<u8> = found.iter().flat_map(|(name, value)| pair(name, value, long)).collect();
        assert_eq!(owned(&read_pairs(&written.clone().into()).unwrap()), found);
        if !long {
            let mut out = BytesMut::new();
            for (name, value) in &found {
                write_pair(name, value, &mut out);
            }
            assert_eq!(out, written);
        }
    }
});
