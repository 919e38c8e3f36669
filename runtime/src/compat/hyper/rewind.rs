//! A stream whose beginning was looked at.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which of the two a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// A stream that gives what was read from it already once more.
pub(super) struct Rewind<I> {
    io: I,
    read: [u8; PREFACE.len()],
    /// What of that is still to be given.
    given: usize,
    count: usize,
}

impl<I> Rewind<I> {
    pub(super) const fn new(io: I) -> Self {
        Self { io, read: [0; PREFACE.len()], given: 0, count: 0 }
    }

    /// Whether nothing has come yet.
    pub(super) const fn is_fresh(&self) -> bool {
        self.count == 0
    }
}

impl<I: Read + Unpin> Rewind<I> {
    /// Reads until it is clear which version the connection speaks. Dropped, it can be asked again.
    pub(super) async fn version(&mut self) -> io::Result<Version> {
        poll_fn(|context| self.poll_version(context)).await
    }

    pub(super) fn poll_version(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Version>> {
        while self.count < PREFACE.len() {
            let mut buffer = ReadBuf::new(&mut self.read[self.count..]);
            ready!(Pin::new(&mut self.io).poll_read(context, buffer.unfilled()))?;
            let count = buffer.filled().len();
            self.count += count;
            if count == 0 || self.read[..self.count] != PREFACE[..self.count] {
                return Poll::Ready(Ok(Version::Http1));
            }
        }
        Poll::Ready(Ok(Version::Http2))
    }
}

impl<I: Read + Unpin> Read for Rewind<I> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given < self.count {
            let count = buffer.remaining().min(self.count - self.given);
            buffer.put_slice(&self.read[self.given..self.given + count]);
            self.given += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: Write + Unpin> Write for Rewind<I> {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, data)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, pieces)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
