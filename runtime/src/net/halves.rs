//! The two directions of a TCP connection, for two tasks.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use super::socket::closed;
use super::stream::Open;
use crate::kernel::checkpoint::free_checkpoint;
use crate::stream::{AsyncResource, ReceiveStream, SendProgress, SendStream};

/// The half of a [`TcpStream`](super::TcpStream) that receives. Made by [`split`](super::TcpStream::split).
///
/// Dropping it changes nothing. [`aclose`](Self::aclose) ends the receiving, for the stream as well; the other side is not
/// told, and what it has sent is left unread.
pub struct TcpReceiveHalf<'a> {
    /// `None` if the stream had been closed.
    open: Option<&'a Open>,
    closed: &'a mut bool,
}

/// The half of a [`TcpStream`](super::TcpStream) that sends. Made by [`split`](super::TcpStream::split).
///
/// Dropping it changes nothing. [`aclose`](Self::aclose) ends the sending, for the stream as well: the other side sees the
/// end after all that was sent, as after [`send_eof`](Self::send_eof).
pub struct TcpSendHalf<'a> {
    /// `None` if the stream had been closed.
    open: Option<&'a Open>,
    eof_sent: &'a mut bool,
}

impl<'a> TcpReceiveHalf<'a> {
    pub(super) fn new(open: Option<&'a Open>, closed: &'a mut bool) -> Self {
        Self { open, closed }
    }

    fn open(&self) -> io::Result<&'a Open> {
        self.open.filter(|_| !*self.closed).ok_or_else(closed)
    }

    /// Waits for data: see [`TcpStream::receive_some`](super::TcpStream::receive_some).
    ///
    /// A checkpoint. Cancelled or dropped, it has received nothing.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.open()?.receive_some(buffer).await
    }

    /// Ends the receiving. Doing it again changes nothing.
    ///
    /// A checkpoint; cancelled there, the receiving has ended all the same.
    ///
    /// # Errors
    ///
    /// None: the result is that of [`AsyncResource::aclose`].
    pub async fn aclose(&mut self) -> io::Result<()> {
        *self.closed = true;
        free_checkpoint().await;
        Ok(())
    }
}

impl<'a> TcpSendHalf<'a> {
    pub(super) fn new(open: Option<&'a Open>, eof_sent: &'a mut bool) -> Self {
        Self { open, eof_sent }
    }

    fn open(&self) -> io::Result<&'a Open> {
        self.open.filter(|_| !*self.eof_sent).ok_or_else(closed)
    }

    /// Sends all of the data: see [`TcpStream::send_all`](super::TcpStream::send_all).
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// Any part of the data, from its beginning, may have been sent by then.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.open()?.send_all(data).await
    }

    /// Waits until a [`send_all`](Self::send_all) might not have to wait: see
    /// [`TcpStream::wait_send_all_might_not_block`](super::TcpStream::wait_send_all_might_not_block).
    ///
    /// A checkpoint. Cancelling it has no effect.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.open()?.wait_send_all_might_not_block().await
    }

    /// Says that no more data will come: see [`TcpStream::send_eof`](super::TcpStream::send_eof).
    ///
    /// A checkpoint; cancelled there, it has done nothing. Doing it again changes nothing.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn send_eof(&mut self) -> io::Result<()> {
        let open = self.open.ok_or_else(closed)?;
        free_checkpoint().await;
        open.say_eof(self.eof_sent)
    }

    /// Ends the sending, as [`send_eof`](Self::send_eof) does. Doing it again changes nothing.
    ///
    /// A checkpoint; cancelled there, the sending has ended all the same.
    ///
    /// # Errors
    ///
    /// The system's if the connection broke. The sending has ended all the same.
    pub async fn aclose(&mut self) -> io::Result<()> {
        let told = self.open.map_or(Ok(()), |open| open.say_eof(self.eof_sent));
        *self.eof_sent = true;
        free_checkpoint().await;
        told
    }
}

impl fmt::Debug for TcpReceiveHalf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.open() {
            Ok(open) => f.debug_tuple("TcpReceiveHalf").field(open).finish(),
            Err(_) => f.write_str("TcpReceiveHalf(closed)"),
        }
    }
}

impl fmt::Debug for TcpSendHalf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.open() {
            Ok(open) => f.debug_tuple("TcpSendHalf").field(open).finish(),
            Err(_) => f.write_str("TcpSendHalf(closed)"),
        }
    }
}

impl AsyncResource for TcpReceiveHalf<'_> {
    async fn aclose(&mut self) -> io::Result<()> {
        self.aclose().await
    }
}

impl ReceiveStream for TcpReceiveHalf<'_> {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_some(buffer).await
    }
}

impl AsyncResource for TcpSendHalf<'_> {
    async fn aclose(&mut self) -> io::Result<()> {
        self.aclose().await
    }
}

impl SendStream for TcpSendHalf<'_> {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.send_all(data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.open()?.send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.wait_send_all_might_not_block().await
    }
}
