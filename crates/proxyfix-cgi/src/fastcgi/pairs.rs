//! Names and values (FastCGI specification section 3.4).

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::Malformed;
use crate::MetaVariables;

/// Reads a whole stream of names and values.
///
/// Lengths below 128 take one octet or four, others four, as the specification has it.
pub fn read_pairs(octets: &Bytes) -> Result<MetaVariables, Malformed> {
    let mut variables = MetaVariables::over(octets.clone(), octets.len() / 16);
    for pair in Pairs::new(octets) {
        let (name, value) = pair?;
        variables.push(name, value);
    }
    Ok(variables)
}

/// The places of names and values in a stream of them.
#[derive(Debug)]
pub(super) struct Pairs<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    fn read(&mut self) -> Result<(Range<usize>, Range<usize>), Malformed> {
        let (name, at) = length(self.octets, self.at)?;
        let (value, at) = length(self.octets, at)?;
        let left = self.octets.len() - at;
        // No sum that could overflow is made before this.
        if name > left || value > left - name {
            return Err(Malformed::new("a name or value is longer than what is left of the parameters"));
        }
        if name == 0 {
            return Err(Malformed::new("a parameter has no name"));
        }
        self.at = at + name + value;
        Ok((at..at + name, at + name..self.at))
    }
}

impl Iterator for Pairs<'_> {
    type Item = Result<(Range<usize>, Range<usize>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.at < self.octets.len()).then(|| {
            let pair = self.read();
            if pair.is_err() {
                self.at = self.octets.len();
            }
            pair
        })
    }
}

/// The length at `at`, and where it ends.
fn length(octets: &[u8], at: usize) -> Result<(usize, usize), Malformed> {
    let cut = Malformed::new("the parameters end within a length");
    match octets.get(at) {
        None => Err(cut),
        Some(short) if *short < 0x80 => Ok((usize::from(*short), at + 1)),
        Some(_) => {
            let four = octets.get(at..at + 4).and_then(|it| <[u8; 4]>::try_from(it).ok()).ok_or(cut)?;
            let length = u32::from_be_bytes(four) & 0x7FFF_FFFF;
            let length = usize::try_from(length).map_err(|_| Malformed::new("a length is too large"))?;
            Ok((length, at + 4))
        }
    }
}

/// Writes a name and a value, the lengths as short as they can be.
///
/// # Panics
///
/// Where one of them is 2 GiB or longer.
pub fn write_pair(name: &[u8], value: &[u8], out: &mut BytesMut) {
    for octets in [name, value] {
        match u8::try_from(octets.len()) {
            Ok(short) if short < 0x80 => out.put_u8(short),
            _ => {
                let length = u32::try_from(octets.len()).ok().filter(|it| it >> 31 == 0);
                out.put_u32(length.expect("shorter than 2 GiB") | 0x8000_0000);
            }
        }
    }
    out.put_slice(name);
    out.put_slice(value);
}
