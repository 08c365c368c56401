//! SCGI, the side of an application, without I/O.

use bytes::BytesMut;

use crate::Limits;
use crate::fastcgi::{Event, Malformed};

/// Reads the one request of an SCGI connection, whatever pieces it comes in.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone() }
    }

    /// Takes from `octets` what makes the next event; `None` where more has to come.
    pub fn decode(&mut self, octets: &mut BytesMut) -> Result<Option<Event>, Malformed> {
        let _ = (&self.limits, octets);
        Ok(None)
    }

    /// Whether nothing was read yet.
    pub fn is_idle(&self) -> bool {
        true
    }
}
