//! FastCGI 1.0, the side of a responder, without I/O.

mod decoder;
mod out;
mod pairs;

pub use decoder::{Decoder, Event, Malformed};
pub(crate) use out::Out;
pub use pairs::{read_pairs, write_pair};
