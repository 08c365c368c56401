//! Octets on their way to the web server.

use std::io::{self, IoSlice};
use std::mem;
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
/// Memory that is kept for the next answer.
const KEPT: usize = 4 << 10;

/// What waits to be written: pieces that were gathered, at most one large piece, and what follows it.
///
/// With an id, octets go into `FCGI_STDOUT` records; without one (SCGI), as they are.
#[derive(Debug, Default)]
pub(crate) struct Out {
    gathered: BytesMut,
    /// How many of them were written.
    sent: usize,
    /// Where the header of the record stands that small pieces are added to.
    open: Option<usize>,
    large: Bytes,
    /// What follows `large` in records of its own, and their id.
    rest: Bytes,
    id: Option<u16>,
    /// Whole records that follow all of that.
    after: BytesMut,
}

impl Out {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.gathered.len() && self.large.is_empty()
    }

    /// Whether it is time to write before more of the answer is added.
    pub(crate) fn is_full(&self) -> bool {
        !self.large.is_empty() || self.gathered.len() >= ENOUGH
    }

    /// Adds octets of the answer; not while it is [full](Self::is_full).
    pub(crate) fn data(&mut self, id: Option<u16>, piece: Bytes) {
        if piece.len() < LARGE {
            self.gather(id, &piece);
        } else {
            (self.rest, self.id) = (piece, id);
            self.next_record();
        }
    }

    /// Adds octets of the answer by copying them; not while it is [full](Self::is_full).
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

    /// Adds whole records.
    pub(crate) fn records(&mut self, records: &[u8]) {
        self.seal();
        let last = if self.large.is_empty() { &mut self.gathered } else { &mut self.after };
        last.put_slice(records);
    }

    /// Adds the end of a FastCGI answer.
    pub(crate) fn end(&mut self, id: u16) {
        self.records(&header(STDOUT, id, 0));
        self.end_request(id);
    }

    /// Adds `FCGI_END_REQUEST` alone: the answer to an abort.
    pub(crate) fn end_request(&mut self, id: u16) {
        self.records(&header(END_REQUEST, id, 8));
        // FCGI_REQUEST_COMPLETE, and a status of 0, which is all that web servers look at.
        self.records(&[0; 8]);
    }

    /// Drops what was not written, where nothing was.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Drops what is not in a record yet.
    pub(crate) fn forget_rest(&mut self) {
        self.rest = Bytes::new();
    }

    fn next_record(&mut self) {
        self.seal();
        if let Some(id) = self.id {
            self.large = self.rest.split_to(self.rest.len().min(RECORD));
            self.gathered.put_slice(&header(STDOUT, id, self.large.len()));
        } else {
            self.large = mem::take(&mut self.rest);
        }
    }

    /// Writes the length of the record that small pieces were added to.
    fn seal(&mut self) {
        if let Some(start) = self.open.take() {
            let length = u16::try_from(self.gathered.len() - start - 8).unwrap_or(u16::MAX);
            self.gathered[start + 4..start + 6].copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Writes all of it, and counts what was `written`.
    pub(crate) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        written: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.seal();
        while !self.is_empty() {
            let io = Pin::new(&mut *io);
            let gathered = &self.gathered[self.sent..];
            let length = if self.large.is_empty() {
                ready!(io.poll_write(cx, gathered))?
            } else {
                // What follows goes out with the last record.
                let after = if self.rest.is_empty() { &self.after[..] } else { &[] };
                let pieces = [gathered, &self.large, after].map(IoSlice::new);
                ready!(io.poll_write_vectored(cx, &pieces))?
            };
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += length as u64;
            let gathered = length.min(gathered.len());
            self.sent += gathered;
            let large = (length - gathered).min(self.large.len());
            self.large.advance(large);
            self.after.advance(length - gathered - large);
            if self.sent == self.gathered.len() && self.large.is_empty() {
                self.forget_sent();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Goes on to what follows. A small buffer is kept, so that an answer allocates nothing here.
    fn forget_sent(&mut self) {
        self.sent = 0;
        if self.gathered.capacity() > KEPT {
            self.gathered = BytesMut::new();
        }
        self.gathered.clear();
        if !self.rest.is_empty() {
            self.next_record();
        } else if !self.after.is_empty() {
            self.gathered = mem::take(&mut self.after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that takes at most so many octets at a time.
    struct Narrow(usize, Vec<u8>);

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            octets: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = octets.len().min(self.0);
            self.1.extend_from_slice(&octets[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Two answers, the first of which has two large records and an end that follows them.
    fn written(at_most: usize) -> Vec<u8> {
        let (mut out, mut stream, mut count) = (Out::default(), Narrow(at_most, Vec::new()), 0);
        let mut write = |out: &mut Out| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(out.poll_write(&mut stream, &mut count, &mut cx).is_ready() && out.is_empty());
        };
        out.gather(Some(1), b"Status: 200 OK\r\n\r\n");
        out.data(Some(1), vec![b'x'; RECORD + LARGE].into());
        out.end(1);
        write(&mut out);
        out.gather(Some(2), b"Status: 204 No Content\r\n\r\n");
        out.end(2);
        write(&mut out);
        assert_eq!(count, stream.1.len() as u64);
        stream.1
    }

    #[test]
    fn an_answer_is_the_same_whatever_pieces_the_web_server_takes() {
        let whole = written(usize::MAX);
        assert_eq!(whole.len(), (8 + 18) + (8 + RECORD) + (8 + LARGE) + 24 + (8 + 26) + 24);
        for at_most in [1, 2, 3, 7, 8, 9, 24, 100, RECORD, RECORD + 8] {
            assert!(written(at_most) == whole, "at most {at_most} octets at a time");
        }
    }
}
