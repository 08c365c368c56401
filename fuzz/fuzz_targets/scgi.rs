//! The request of an SCGI connection. An input is an octet, how the request is cut into pieces, and then
//! the request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxyfix_cgi::Limits;
use proxyfix_cgi::scgi::Decoder;
use proxyfix_fuzz::gateway::{Answered, DEFAULT, SMALL, Said, decoded, netstring, scgi, small_limits};

fuzz_target!(|data: &[u8]| {
    let &[seed, ref octets @ ..] = data else { return };
    for (limits, numbers) in [(small_limits(), SMALL), (Limits::default(), DEFAULT)] {
        let expected = scgi(octets, numbers);
        for seed in [0, 1, seed] {
            let said = decoded(Decoder::new(&limits), octets, seed, Answered::Never);
            assert_eq!(said, expected, "in the pieces of {seed}");
        }
        // What was understood is written, and read again.
        let [Said::Head(variables, _), rest @ ..] = &expected[..] else { continue };
        let block: Vec<u8> =
            variables.iter().flat_map(|(name, value)| [name, &b"\0"[..], value, b"\0"].concat()).collect();
        let body = if let [Said::Data(body), ..] = rest { &body[..] } else { b"" };
        let again = netstring(&block, body);
        assert_eq!(decoded(Decoder::new(&limits), &again, seed, Answered::Never), expected);
    }
});
