//! A port: a number from 1 to 65535, written plainly.

use core::fmt;
use core::num::NonZeroU16;
use core::str::FromStr;

use crate::Error;

/// A TCP port, 1 to 65535.
///
/// The text form is one to five ASCII digits without a leading zero and without a sign; anything
/// else, such as `0`, `080`, `+80`, `65536` or `80,443`, is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(NonZeroU16);

impl Port {
    /// 80, the default of `http`.
    pub const HTTP: Self = Self(NonZeroU16::new(80).unwrap());
    /// 443, the default of `https`.
    pub const HTTPS: Self = Self(NonZeroU16::new(443).unwrap());

    /// A port by number; 0 is none.
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// Reads a port from bytes.
    pub fn from_bytes(text: &[u8]) -> Result<Self, Error> {
        Self::read(text).ok_or_else(|| {
            Error::value("a port", text, "expected 1 to 65535 in decimal digits, no leading zero")
        })
    }

    /// Reads a port, and says of what it refuses nothing more: requests are full of it.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        decimal(text).and_then(Self::new)
    }
}

/// Reads 0 to 65535 in one to five ASCII digits without a leading zero.
pub(crate) fn decimal(text: &[u8]) -> Option<u16> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if text.len() <= 5 => {
            let mut number = 0;
            for byte in text {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                number = number * 10 + u32::from(digit);
            }
            u16::try_from(number).ok()
        }
        _ => None,
    }
}

impl FromStr for Port {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({self})")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn t78_a_port_is_one_to_five_digits() {
        for (text, number) in [("1", 1), ("80", 80), ("443", 443), ("65535", 65535)] {
            let port: Port = text.parse().unwrap();
            assert_eq!((port.get(), format!("{port:?}")), (number, format!("Port({text})")));
        }
        for text in [
            "443@evil.example",
            "0",
            "65536",
            "80,443",
            "-1",
            "+1",
            "443/../",
            "",
            "080",
            "99999",
            "100080",
            "18446744073709551696",
            "000080",
            " 80",
            "80 ",
            "0x50",
            "\u{0664}\u{0664}\u{0663}",
        ] {
            assert!(text.parse::<Port>().is_err(), "{text:?}");
        }
    }

    proptest! {
        /// The standard parser takes a sign and leading zeros, besides.
        #[test]
        fn t78_a_number_is_what_the_standard_parser_makes_of_it(text in "[0-9+ -]{0,7}|[0-9]{1,6}|\\PC{0,6}") {
            let plain = text.len() == 1 || !text.starts_with(['0', '+']);
            prop_assert_eq!(decimal(text.as_bytes()), text.parse().ok().filter(|_| plain));
        }

        #[test]
        fn t78_every_number_is_read(number: u16) {
            prop_assert_eq!(decimal(number.to_string().as_bytes()), Some(number));
        }
    }
}
