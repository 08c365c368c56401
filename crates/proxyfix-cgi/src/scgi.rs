//! SCGI, the side of an application, without I/O.

use std::mem;

use bytes::{Bytes, BytesMut};

use crate::fastcgi::{Event, Malformed};
use crate::{Limits, MetaVariables};

/// The most digits that the length of the variables may have.
const DIGITS: u8 = 6;

/// Reads the one request of an SCGI connection, whatever pieces it comes in.
///
/// A request is a netstring of variables, each name and value ended by an octet of zero, and then the
/// body:
///
/// | octets | answer |
/// | --- | --- |
/// | `24:CONTENT_LENGTH␀2␀SCGI␀1␀,hi` | [`Event::Head`], [`Event::Data`], [`Event::End`] |
/// | a length beyond [`Limits::variables`], more pairs or longer ones than the limits admit | [`Event::TooLarge`] |
/// | a length of no digits, of more than six, or that begins with zero; no comma | [`Malformed`] |
/// | `CONTENT_LENGTH` not first, twice, or anything but digits; no `SCGI`, two, or not `1` | [`Malformed`] |
/// | a name without a value, an empty name, no zero at the end | [`Malformed`] |
///
/// Any other name may come twice: nginx sends a variable for each line of a header. Octets behind the body
/// are ignored, for a connection has one request. Memory is bounded by [`Limits`].
///
/// ```
/// use bytes::BytesMut;
/// use proxyfix_cgi::Limits;
/// use proxyfix_cgi::fastcgi::Event;
/// use proxyfix_cgi::scgi::Decoder;
///
/// let mut decoder = Decoder::new(&Limits::default());
/// let mut octets = BytesMut::from(&b"24:CONTENT_LENGTH\x002\0SCGI\x001\0,hi"[..]);
/// let Some(Event::Head { variables, .. }) = decoder.decode(&mut octets)? else { panic!() };
/// assert_eq!(variables.get("CONTENT_LENGTH"), Some(&b"2"[..]));
/// let Some(Event::Data(body)) = decoder.decode(&mut octets)? else { panic!() };
/// assert_eq!(body, "hi");
/// assert!(matches!(decoder.decode(&mut octets)?, Some(Event::End)));
/// assert!(decoder.decode(&mut octets)?.is_none());
/// # Ok::<(), proxyfix_cgi::fastcgi::Malformed>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    stage: Stage,
    /// Of the variables: octets, pairs, octets of a pair.
    limits: (usize, usize, usize),
}

#[derive(Debug)]
enum Stage {
    /// The length of the variables, so far.
    Length { digits: u8, length: usize },
    /// Variables and comma, so far.
    Variables { length: usize, gathered: BytesMut },
    /// What is left of the body.
    Body { left: u64 },
    /// What comes now is ignored.
    Over,
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub fn new(limits: &Limits) -> Self {
        Self {
            stage: Stage::Length { digits: 0, length: 0 },
            limits: (limits.variables, limits.pairs, limits.pair),
        }
    }

    /// Whether nothing of the request was read.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Length { digits: 0, .. })
    }

    /// Takes from `octets` what makes the next event; `None` where more has to come. It is to be called
    /// until then: [`Event::End`] takes no octets.
    pub fn decode(&mut self, octets: &mut BytesMut) -> Result<Option<Event>, Malformed> {
        loop {
            match &mut self.stage {
                Stage::Length { digits, length } => {
                    let Some(&octet) = octets.first() else { return Ok(None) };
                    match octet {
                        b'0' if *digits == 0 => {
                            return Err(Malformed::new("the length of the variables begins with zero"));
                        }
                        b'0'..=b'9' if *digits < DIGITS => {
                            *digits += 1;
                            *length = *length * 10 + usize::from(octet - b'0');
                        }
                        b'0'..=b'9' => {
                            return Err(Malformed::new(
                                "the length of the variables has more than six digits",
                            ));
                        }
                        b':' if *digits > 0 => {
                            let length = *length;
                            if length > self.limits.0 {
                                self.stage = Stage::Over;
                                return Ok(Some(Event::TooLarge));
                            }
                            self.stage = Stage::Variables { length, gathered: BytesMut::new() };
                        }
                        _ => {
                            return Err(Malformed::new(
                                "the length of the variables is not digits and a colon",
                            ));
                        }
                    }
                    let _ = octets.split_to(1);
                }
                Stage::Variables { length, gathered } => {
                    let missing = *length + 1 - gathered.len();
                    if octets.len() < missing {
                        gathered.extend_from_slice(&octets.split());
                        return Ok(None);
                    }
                    let taken = octets.split_to(missing);
                    let block = if gathered.is_empty() {
                        taken
                    } else {
                        gathered.extend_from_slice(&taken);
                        mem::take(gathered)
                    };
                    return self.head(&block.freeze()).map(Some);
                }
                Stage::Body { left: 0 } => {
                    self.stage = Stage::Over;
                    return Ok(Some(Event::End));
                }
                Stage::Body { .. } if octets.is_empty() => return Ok(None),
                Stage::Body { left } => {
                    let length = octets.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= length as u64;
                    return Ok(Some(Event::Data(octets.split_to(length).freeze())));
                }
                Stage::Over => {
                    octets.clear();
                    return Ok(None);
                }
            }
        }
    }

    /// What the variables, and the comma behind them, mean.
    fn head(&mut self, block: &Bytes) -> Result<Event, Malformed> {
        self.stage = Stage::Over;
        let octets =
            block.strip_suffix(b",").ok_or(Malformed::new("there is no comma behind the variables"))?;
        let octets =
            octets.strip_suffix(b"\0").ok_or(Malformed::new("the variables do not end with zero"))?;
        let (_, most, longest) = self.limits;
        let mut variables = MetaVariables::over(block.clone(), octets.len() / 24);
        let mut lengths = octets.split(|octet| *octet == 0).map(<[u8]>::len);
        let mut start = 0;
        while let Some(name) = lengths.next() {
            let value = lengths.next().ok_or(Malformed::new("a variable has a name and no value"))?;
            if name == 0 {
                return Err(Malformed::new("a variable has no name"));
            }
            if variables.len() == most || name + value > longest {
                return Ok(Event::TooLarge);
            }
            let middle = start + name;
            let end = middle + 1 + value;
            variables.push(start..middle, middle + 1..end);
            start = end + 1;
        }
        let Some((b"CONTENT_LENGTH", length)) = variables.iter().next() else {
            return Err(Malformed::new("the first variable is not CONTENT_LENGTH"));
        };
        let left = decimal(length).ok_or(Malformed::new("CONTENT_LENGTH is not a number"))?;
        if variables.get_all("CONTENT_LENGTH").nth(1).is_some() {
            return Err(Malformed::new("there are two CONTENT_LENGTH"));
        }
        let mut versions = variables.get_all("SCGI");
        if versions.next() != Some(b"1") || versions.next().is_some() {
            return Err(Malformed::new("there is not one SCGI, of 1"));
        }
        drop(versions);
        self.stage = Stage::Body { left };
        Ok(Event::Head { variables, keep: false })
    }
}

/// A number of digits only, at least one.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Pair<'a> = (&'a [u8], &'a [u8]);

    const SCGI: Pair<'_> = (b"SCGI", b"1");

    /// What nginx sends of `GET /yourapplication/foo`, behind `include scgi_params`.
    const NGINX: &[Pair<'_>] = &[
        (b"CONTENT_LENGTH", b"0"),
        (b"REQUEST_METHOD", b"GET"),
        (b"REQUEST_URI", b"/yourapplication/foo"),
        (b"QUERY_STRING", b""),
        (b"SCRIPT_NAME", b"/yourapplication/foo"),
        SCGI,
        (b"HTTP_HOST", b"a.example"),
        (b"HTTP_X_A", b"1"),
        (b"HTTP_X_A", b"2"),
        (b"SCRIPT_NAME", b"/yourapplication"),
    ];

    /// The request that a web server sends.
    fn encode(pairs: &[Pair<'_>], body: &[u8]) -> Vec<u8> {
        let block: Vec<u8> =
            pairs.iter().flat_map(|(name, value)| [name, &b"\0"[..], value, b"\0"].concat()).collect();
        netstring(&block, body)
    }

    fn netstring(block: &[u8], body: &[u8]) -> Vec<u8> {
        [block.len().to_string().as_bytes(), b":", block, b",", body].concat()
    }

    /// What was said, octets of the body joined.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Said {
        head: Option<Vec<(Vec<u8>, Vec<u8>)>>,
        body: Vec<u8>,
        ended: bool,
        too_large: bool,
        flaw: Option<String>,
    }

    /// Sends `pieces` one after the other.
    fn send<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Said {
        let mut decoder = Decoder::new(&Limits::default());
        let mut said = Said::default();
        let mut octets = BytesMut::new();
        for piece in pieces {
            octets.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut octets) {
                    Ok(None) => break,
                    Ok(Some(Event::Head { variables, keep })) => {
                        assert!(!keep && said.head.is_none());
                        let owned = |(name, value): Pair<'_>| (name.to_vec(), value.to_vec());
                        said.head = Some(variables.iter().map(owned).collect());
                    }
                    Ok(Some(Event::Data(data))) => {
                        assert!(said.head.is_some() && !said.ended && !data.is_empty());
                        said.body.extend_from_slice(&data);
                    }
                    Ok(Some(Event::End)) => {
                        assert!(said.head.is_some() && !said.ended);
                        said.ended = true;
                    }
                    Ok(Some(Event::TooLarge)) => {
                        assert!(said.head.is_none() && !said.too_large);
                        said.too_large = true;
                    }
                    Ok(Some(other)) => panic!("{other:?}"),
                    Err(flaw) => {
                        said.flaw = Some(flaw.to_string());
                        return said;
                    }
                }
            }
            assert!(octets.is_empty(), "what was not taken: {octets:?}");
        }
        said
    }

    #[track_caller]
    fn assert_malformed(octets: &[u8], flaw: &str) {
        let said = send([octets]);
        assert_eq!(said.flaw.as_deref(), Some(flaw), "{}", octets.escape_ascii());
        assert_eq!(said.head, None);
    }

    #[track_caller]
    fn assert_refused(pairs: &[Pair<'_>], flaw: &str) {
        assert_malformed(&encode(pairs, b""), flaw);
    }

    #[test]
    fn a_request_is_its_variables_and_its_body() {
        let said = send([&encode(&[(b"CONTENT_LENGTH", b"2"), SCGI, (b"A", b"")], b"hi")[..]]);
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let head = vec![pair("CONTENT_LENGTH", "2"), pair("SCGI", "1"), pair("A", "")];
        assert_eq!(said, Said { head: Some(head), body: b"hi".to_vec(), ended: true, ..Said::default() });
    }

    #[test]
    fn a_request_without_a_body_ends_at_once() {
        let said = send([&encode(NGINX, b"")[..]]);
        assert!(said.ended && said.body.is_empty());
    }

    #[test]
    fn what_follows_the_body_is_ignored() {
        let one = encode(&[(b"CONTENT_LENGTH", b"2"), SCGI], b"hi");
        let said = send([&one[..], b"0:garbage", &one]);
        assert_eq!(said.body, b"hi");
        assert!(said.ended);
    }

    #[test]
    fn it_is_idle_until_the_first_octet() {
        let mut decoder = Decoder::new(&Limits::default());
        assert!(decoder.is_idle());
        decoder.decode(&mut BytesMut::new()).unwrap();
        assert!(decoder.is_idle());
        decoder.decode(&mut BytesMut::from("2")).unwrap();
        assert!(!decoder.is_idle());
        decoder.decode(&mut BytesMut::from(&encode(NGINX, b"")[1..])).unwrap();
        assert!(!decoder.is_idle());
    }

    #[test]
    fn t177_the_length_is_one_to_six_digits() {
        let form = "the length of the variables is not digits and a colon";
        let zero = "the length of the variables begins with zero";
        for (octets, flaw) in [
            (&b"0:,"[..], zero),
            (b"00012:", zero),
            (b"99999999999999999999:", "the length of the variables has more than six digits"),
            (b"1234567", "the length of the variables has more than six digits"),
            (b"-5:", form),
            (b"+5:", form),
            (b" 70:", form),
            (b"70 :", form),
            (b":", form),
            (b"GET / HTTP/1.1\r\n", form),
            (b"\x01\x01\0\x01", form),
        ] {
            assert_malformed(octets, flaw);
        }
    }

    #[test]
    fn t177_a_netstring_ends_with_a_comma() {
        let comma = "there is no comma behind the variables";
        let mut octets = encode(NGINX, b"");
        *octets.last_mut().unwrap() = b';';
        assert_malformed(&octets, comma);
        // The length is one too short, or one too long.
        assert_malformed(b"23:CONTENT_LENGTH\x000\0SCGI\x001\0,", comma);
        assert_malformed(b"25:CONTENT_LENGTH\x000\0SCGI\x001\0,,", "the variables do not end with zero");
    }

    /// Not one octet is kept of what is beyond the limit: it is refused when its length is known.
    #[test]
    fn t177_a_length_beyond_the_limit_is_refused_before_anything_is_kept() {
        let mut decoder = Decoder::new(&Limits::default());
        let mut octets = BytesMut::from("65537:");
        assert!(matches!(decoder.decode(&mut octets), Ok(Some(Event::TooLarge))));
        for _ in 0..100 {
            octets.extend_from_slice(&[b'a'; 1000]);
            assert!(matches!(decoder.decode(&mut octets), Ok(None)));
            assert!(octets.is_empty());
        }
        assert!(send([&b"999999:"[..]]).too_large);
        assert!(!send([&b"65536:"[..]]).too_large);
    }

    #[test]
    fn t178_content_length_comes_first_once_and_is_a_number() {
        let first = "the first variable is not CONTENT_LENGTH";
        assert_refused(&[SCGI, (b"CONTENT_LENGTH", b"0")], first);
        assert_refused(&[SCGI], first);
        assert_refused(&[(b"content_length", b"0"), SCGI], first);
        for number in [&b"5x"[..], b"5 ", b" 5", b"-5", b"+5", b"", b"0x5", b"18446744073709551616"] {
            assert_refused(&[(b"CONTENT_LENGTH", number), SCGI], "CONTENT_LENGTH is not a number");
        }
        let twice = [(&b"CONTENT_LENGTH"[..], &b"5"[..]), SCGI, (b"CONTENT_LENGTH", b"5")];
        assert_refused(&twice, "there are two CONTENT_LENGTH");
    }

    #[test]
    fn t178_there_is_one_scgi_and_it_is_1() {
        let flaw = "there is not one SCGI, of 1";
        let length: Pair<'_> = (b"CONTENT_LENGTH", b"0");
        assert_refused(&[length], flaw);
        assert_refused(&[length, (b"SCGI", b"2")], flaw);
        assert_refused(&[length, (b"SCGI", b"")], flaw);
        assert_refused(&[length, (b"scgi", b"1")], flaw);
        assert_refused(&[length, SCGI, SCGI], flaw);
        let last = [length, (b"HTTP_HOST", b"a.example"), SCGI];
        assert!(send([&encode(&last, b"")[..]]).ended, "lighttpd sends it last");
    }

    #[test]
    fn t178_names_have_values_and_octets() {
        let head = b"CONTENT_LENGTH\x000\0SCGI\x001\0";
        let block = |rest: &[u8]| netstring(&[&head[..], rest].concat(), b"");
        assert_malformed(&block(b"A\0"), "a variable has a name and no value");
        assert_malformed(&block(b"A"), "the variables do not end with zero");
        assert_malformed(&block(b"A\0b"), "the variables do not end with zero");
        assert_malformed(&block(b"\0b\0"), "a variable has no name");
        assert_malformed(&block(b"\0\0"), "a variable has no name");
        assert!(send([&block(b"A\0\0")[..]]).ended, "an empty value is one");
    }

    /// A knowing departure: SCGI forbids duplicates of any name, and T178 would have the connection
    /// closed. But nginx sends a variable for each line of a header, and `SCRIPT_NAME` twice, where
    /// `scgi_param SCRIPT_NAME` follows `include scgi_params`.
    #[test]
    fn t178_other_names_may_come_twice() {
        let head = send([&encode(NGINX, b"")[..]]).head.unwrap();
        assert_eq!(head.len(), NGINX.len());
        let last = head.iter().rfind(|(name, _)| name == b"SCRIPT_NAME").unwrap();
        assert_eq!(last.1, b"/yourapplication");
    }

    #[test]
    fn t158_more_variables_or_longer_ones_than_the_limits_admit_are_too_large() {
        let head = [(&b"CONTENT_LENGTH"[..], &b"0"[..]), SCGI];
        let many = |count| {
            let pairs: Vec<Pair<'_>> =
                head.into_iter().chain(std::iter::repeat((&b"A"[..], &b""[..]))).take(count).collect();
            send([&encode(&pairs, b"")[..]])
        };
        assert!(many(512).ended);
        assert_eq!(many(513), Said { too_large: true, ..Said::default() });

        let long = |length| send([&encode(&[head[0], SCGI, (b"A", &vec![b'a'; length])], b"")[..]]);
        assert!(long((32 << 10) - 1).ended);
        assert_eq!(long(32 << 10), Said { too_large: true, ..Said::default() });
    }

    fn pairs() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
        vec((vec(1u8.., 1..9), vec(1u8.., 0..9)), 0..9)
    }

    /// Where pieces begin and end.
    fn split<'a>(octets: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(octets.len() + 1)).collect();
        cuts.extend([0, octets.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|cut| &octets[cut[0]..cut[1]]).collect()
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_whatever_the_pieces(
            pairs in pairs(),
            body in vec(any::<u8>(), 0..99),
            rest in vec(any::<u8>(), 0..9),
            cuts in vec(any::<prop::sample::Index>(), 0..9),
        ) {
            let length = body.len().to_string();
            let mut sent: Vec<Pair<'_>> = vec![(b"CONTENT_LENGTH", length.as_bytes()), SCGI];
            sent.extend(pairs.iter().map(|(name, value)| (&name[..], &value[..])));
            prop_assume!(pairs.iter().all(|(name, _)| name != b"SCGI"));
            let octets = [encode(&sent, &body), rest].concat();
            let head = sent.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            let said = send(split(&octets, &cuts));
            prop_assert_eq!(said, Said { head: Some(head), body, ended: true, ..Said::default() });
        }

        /// Broken ones, too.
        #[test]
        fn any_split_of_the_same_octets_says_the_same(
            octets in prop_oneof![
                vec(any::<u8>(), 0..40),
                (vec(prop_oneof![Just(0u8), any::<u8>()], 1..40), vec(any::<u8>(), 0..9))
                    .prop_map(|(block, body)| netstring(&block, &body)),
                (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, octet)| {
                    let mut octets = encode(NGINX, b"hi");
                    let at = at.index(octets.len());
                    octets[at] = octet;
                    octets
                }),
            ],
            cuts in vec(any::<prop::sample::Index>(), 0..9),
        ) {
            let whole = send([&octets[..]]);
            prop_assert_eq!(&send(split(&octets, &cuts)), &whole);
            prop_assert_eq!(&send(octets.chunks(1)), &whole);
        }
    }
}
