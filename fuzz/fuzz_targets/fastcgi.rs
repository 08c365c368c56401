//! The records of a web server. An input is two octets, how they are cut into pieces and how requests are
//! answered, and then the records.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxyfix_cgi::Limits;
use proxyfix_cgi::fastcgi::Decoder;
use proxyfix_fuzz::gateway::{
    Answered, BEGIN, DEFAULT, PARAMS, SMALL, STDIN, Said, decoded, fastcgi, pair, record, small_limits,
};

fuzz_target!(|data: &[u8]| {
    let &[seed, mode, ref octets @ ..] = data else { return };
    let answered = [Answered::AtHead, Answered::AtEnd, Answered::Never][usize::from(mode) % 3];
    let small = mode & 0x80 == 0;
    let (limits, numbers) = if small { (small_limits(), SMALL) } else { (Limits::default(), DEFAULT) };
    let limits = limits.connections(usize::from(seed) + 1);

    let expected = fastcgi(octets, numbers, usize::from(seed) + 1, answered);
    for seed in [0, 1, seed] {
        let said = decoded(Decoder::new(&limits), octets, seed, answered);
        assert_eq!(said, expected, "in the pieces of {seed}");
    }
    within_limits(&expected, numbers);
    what_is_written_is_read_again(&expected, seed, mode);
});

/// What is handed out is never more than what is admitted.
fn within_limits(said: &[Said], (variables, pairs, pair, _): (usize, usize, usize, u64)) {
    let mut replies = 0;
    for said in said {
        match said {
            Said::Head(head, _) => {
                replies = 0;
                let lengths = head.iter().map(|(name, value)| name.len() + value.len());
                assert!(head.len() <= pairs && lengths.clone().all(|length| length <= pair));
                assert!(lengths.sum::<usize>() <= variables);
            }
            Said::Reply(records) | Said::LastReply(records) => {
                replies += 1;
                assert!(replies <= 64 && records.len() <= 128, "{replies}");
            }
            _ => {}
        }
    }
}

/// The requests that were understood, in records of other lengths, with padding.
fn what_is_written_is_read_again(said: &[Said], seed: u8, mode: u8) {
    let mut octets = Vec::new();
    let mut requests = Vec::new();
    let split = usize::from(mode) + 1;
    for part in said.chunk_by(|_, next| !matches!(next, Said::Head(..))) {
        let Said::Head(variables, keep) = &part[0] else { continue };
        let params: Vec<u8> =
            variables.iter().flat_map(|(name, value)| pair(name, value, mode & 2 == 0)).collect();
        let body: Vec<u8> = part
            .iter()
            .filter_map(|said| if let Said::Data(data) = said { Some(&data[..]) } else { None })
            .collect::<Vec<_>>()
            .concat();
        let id = u16::from(seed) + 1;
        octets.extend(record(BEGIN, id, &[0, 1, u8::from(*keep), 0, 0, 0, 0, 0], seed));
        for (kind, content) in [(PARAMS, &params), (STDIN, &body)] {
            for content in content.chunks(split) {
                octets.extend(record(kind, id, content, mode));
            }
            octets.extend(record(kind, id, b"", seed));
        }
        requests.push(Said::Head(variables.clone(), *keep));
        if !body.is_empty() {
            requests.push(Said::Data(body));
        }
        requests.push(Said::End);
    }
    assert_eq!(decoded(Decoder::new(&Limits::default()), &octets, seed, Answered::AtEnd), requests);
}
