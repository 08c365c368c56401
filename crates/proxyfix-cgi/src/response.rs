//! From a response to what CGI says of it.

use bytes::BytesMut;
use http::{Method, StatusCode, response};

use crate::Gateway;

/// How much of a body may follow a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Nothing; the body of the response is not polled.
    None,
    /// So many octets: one that is longer is cut, one that is shorter is not completed.
    Exact(u64),
    /// As many as come.
    Open,
}

impl Gateway {
    /// Writes the head of a response, `length` octets of body known beforehand.
    pub(crate) fn head(
        &self,
        parts: &response::Parts,
        method: &Method,
        length: Option<u64>,
        out: &mut BytesMut,
    ) -> Result<Payload, &'static str> {
        let _ = (parts, method, length);
        out.extend_from_slice(b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n");
        Ok(Payload::Open)
    }
}

/// Writes a whole answer of the gateway's own.
pub(crate) fn refusal(status: StatusCode, method: &Method, out: &mut BytesMut) {
    let _ = method;
    out.extend_from_slice(
        format!("Status: {status}\r\nContent-Type: text/plain\r\n\r\n{status}\n").as_bytes(),
    );
}
