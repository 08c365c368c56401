//! Octets on their way to the web server.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::decoder::{END_REQUEST, STDOUT, header};

/// Pieces from this length on are written from where they are; shorter ones are gathered.
const LARGE: usize = 16 << 10;
/// Octets of content in one record: as many as fit, in a multiple of eight.
const RECORD: usize = 0xFFF8;
/// Where what is gathered is enough for a write.
const ENOUGH: usize = 64 << 10;

/// What waits to be written: small pieces gathered in one buffer, then at most one large piece.
///
/// With an id, octets go into `FCGI_STDOUT` records; without one (SCGI), as they are.
#[derive(Debug, Default)]
pub(crate) struct Out {
    gathered: BytesMut,
    /// Where the header of the record stands that small pieces are added to.
    open: Option<usize>,
    large: Bytes,
    /// What follows `large`, in records of its own.
    rest: Bytes,
}

impl Out {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.gathered.is_empty() && self.large.is_empty()
    }

    /// Whether it is time to write before more is added.
    pub(crate) fn is_full(&self) -> bool {
        !self.large.is_empty() || self.gathered.len() >= ENOUGH
    }

    /// Adds octets of the answer; not while there is a large piece.
    pub(crate) fn data(&mut self, id: Option<u16>, piece: Bytes) {
        if piece.len() < LARGE {
            self.gather(id, &piece);
        } else {
            self.rest = piece;
            self.next_record(id);
        }
    }

    /// Adds octets of the answer by copying them.
    pub(crate) fn gather(&mut self, id: Option<u16>, octets: &[u8]) {
        let Some(id) = id else { return self.gathered.put_slice(octets) };
        for piece in octets.chunks(RECORD) {
            let room = self.open.map_or(0, |start| RECORD - (self.gathered.len() - start - 8));
            if room < piece.len() {
                self.seal();
                self.open = Some(self.gathered.len());
                self.gathered.put_slice(&header(STDOUT, id, 0));
            }
            self.gathered.put_slice(piece);
        }
    }

    /// Adds records as they are.
    pub(crate) fn records(&mut self, records: &[u8]) {
        self.seal();
        self.gathered.put_slice(records);
    }

    /// Adds the end of a FastCGI answer.
    pub(crate) fn end(&mut self, id: u16) {
        self.seal();
        self.gathered.put_slice(&header(STDOUT, id, 0));
        self.end_request(id);
    }

    /// Adds `FCGI_END_REQUEST` alone: the answer to an abort.
    pub(crate) fn end_request(&mut self, id: u16) {
        self.seal();
        self.gathered.put_slice(&header(END_REQUEST, id, 8));
        self.gathered.put_bytes(0, 8);
    }

    /// Drops what was not written.
    pub(crate) fn clear(&mut self) {
        *self = Self { gathered: std::mem::take(&mut self.gathered), ..Self::default() };
        self.gathered.clear();
    }

    fn next_record(&mut self, id: Option<u16>) {
        self.seal();
        if let Some(id) = id {
            self.large = self.rest.split_to(self.rest.len().min(RECORD));
            self.gathered.put_slice(&header(STDOUT, id, self.large.len()));
        } else {
            self.large = std::mem::take(&mut self.rest);
        }
    }

    /// Writes the length of the record that small pieces were added to.
    fn seal(&mut self) {
        if let Some(start) = self.open.take() {
            let length = u16::try_from(self.gathered.len() - start - 8).unwrap_or(u16::MAX);
            self.gathered[start + 4..start + 6].copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Writes all of it; says how many octets went out since the last call.
    pub(crate) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        id: Option<u16>,
        io: &mut IO,
        written: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.seal();
        while !self.is_empty() {
            let io = Pin::new(&mut *io);
            let mut length = if self.large.is_empty() {
                ready!(io.poll_write(cx, &self.gathered))?
            } else {
                let pieces = [IoSlice::new(&self.gathered), IoSlice::new(&self.large)];
                let pieces = if self.gathered.is_empty() { &pieces[1..] } else { &pieces };
                ready!(io.poll_write_vectored(cx, pieces))?
            };
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += length as u64;
            let gathered = length.min(self.gathered.len());
            self.gathered.advance(gathered);
            length -= gathered;
            self.large.advance(length);
            if self.large.is_empty() && !self.rest.is_empty() {
                self.next_record(id);
            }
        }
        Poll::Ready(Ok(()))
    }
}
