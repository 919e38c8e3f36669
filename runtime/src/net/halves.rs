//! The two directions of a stream, for two tasks.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::net::UnixStream;

use super::seam::StreamSocket;
use super::socket::{Socket, closed};
use super::transport::{HalfCloseable, Transport};
use crate::kernel::checkpoint::free_checkpoint;
#[cfg(feature = "__poll")]
use crate::stream::poll::{poll_receive, poll_send};
use crate::stream::{AsyncResource, ReceiveStream, SendProgress, SendStream};

/// The half of a [`TcpStream`](super::TcpStream) that receives. Made by [`split`](super::TcpStream::split).
pub type TcpReceiveHalf<'a> = ReceiveHalf<'a, std::net::TcpStream>;

/// The half of a [`TcpStream`](super::TcpStream) that sends. Made by [`split`](super::TcpStream::split).
pub type TcpSendHalf<'a> = SendHalf<'a, std::net::TcpStream>;

/// The half of a [`UnixStream`](super::UnixStream) that receives. Made by [`split`](super::UnixStream::split).
pub type UnixReceiveHalf<'a> = ReceiveHalf<'a, UnixStream>;

/// The half of a [`UnixStream`](super::UnixStream) that sends. Made by [`split`](super::UnixStream::split).
pub type UnixSendHalf<'a> = SendHalf<'a, UnixStream>;

/// The half of a stream that receives: [`TcpReceiveHalf`], [`UnixReceiveHalf`], and that of
/// [`FdStream::split`](crate::FdStream::split).
///
/// Dropping it changes nothing. [`aclose`](Self::aclose) ends the receiving, for the stream as well; the other side is not
/// told, and what it has sent is left unread.
pub struct ReceiveHalf<'a, S> {
    /// `None` if the stream had been closed.
    open: Option<&'a Socket<S, dyn StreamSocket>>,
    closed: &'a mut bool,
}

/// The half of a stream that sends: [`TcpSendHalf`], [`UnixSendHalf`], and that of
/// [`FdStream::split`](crate::FdStream::split).
///
/// Dropping it changes nothing. [`aclose`](Self::aclose) ends the sending, for the stream as well: the other side of a socket
/// sees the end after all that was sent, as after [`send_eof`](Self::send_eof).
pub struct SendHalf<'a, S> {
    /// `None` if the stream had been closed.
    open: Option<&'a Socket<S, dyn StreamSocket>>,
    eof_sent: &'a mut bool,
}

impl<'a, S: Transport> ReceiveHalf<'a, S> {
    pub(crate) fn new(open: Option<&'a Socket<S, dyn StreamSocket>>, closed: &'a mut bool) -> Self {
        Self { open, closed }
    }

    fn open(&self) -> io::Result<&'a Socket<S, dyn StreamSocket>> {
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

    /// Waits for data, for several buffers: see
    /// [`TcpStream::receive_some_vectored`](super::TcpStream::receive_some_vectored).
    ///
    /// A checkpoint. Cancelled or dropped, it has received nothing.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn receive_some_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.open()?.receive_some_vectored(buffers).await
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

impl<'a, S: Transport> SendHalf<'a, S> {
    pub(crate) fn new(open: Option<&'a Socket<S, dyn StreamSocket>>, eof_sent: &'a mut bool) -> Self {
        Self { open, eof_sent }
    }

    fn open(&self) -> io::Result<&'a Socket<S, dyn StreamSocket>> {
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

    /// Sends all of several pieces of data: see
    /// [`TcpStream::send_all_vectored`](super::TcpStream::send_all_vectored).
    ///
    /// A checkpoint. Cancelled, it may have sent any part of the data, from its beginning.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn send_all_vectored(&mut self, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.open()?.send_all_vectored(pieces).await
    }

    /// Ends the sending, as [`send_eof`](Self::send_eof) does; the other side of a pipe is not told before the descriptor is closed.
    /// Doing it again changes nothing.
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

impl<S: HalfCloseable> SendHalf<'_, S> {
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
}

impl<S: Transport + fmt::Debug> fmt::Debug for ReceiveHalf<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.open() {
            Ok(open) => write!(f, "{}ReceiveHalf({open:?})", S::NAME),
            Err(_) => write!(f, "{}ReceiveHalf(closed)", S::NAME),
        }
    }
}

impl<S: Transport + fmt::Debug> fmt::Debug for SendHalf<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.open() {
            Ok(open) => write!(f, "{}SendHalf({open:?})", S::NAME),
            Err(_) => write!(f, "{}SendHalf(closed)", S::NAME),
        }
    }
}

#[cfg(feature = "__poll")]
poll_receive! { [S: Transport] ReceiveHalf<'_, S>, open }
#[cfg(feature = "__poll")]
poll_send! { [S: Transport] SendHalf<'_, S>, open, end_sending }

#[cfg(feature = "__poll")]
impl<S: Transport> SendHalf<'_, S> {
    /// As [`aclose`](Self::aclose).
    fn end_sending(&mut self) -> io::Result<()> {
        let told = self.open.map_or(Ok(()), |open| open.say_eof(self.eof_sent));
        *self.eof_sent = true;
        told
    }
}

impl<S: Transport> AsyncResource for ReceiveHalf<'_, S> {
    fn aclose(&mut self) -> impl Future<Output = io::Result<()>> {
        Self::aclose(self)
    }
}

impl<S: Transport> ReceiveStream for ReceiveHalf<'_, S> {
    fn receive_some(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        Self::receive_some(self, buffer)
    }
}

impl<S: Transport> AsyncResource for SendHalf<'_, S> {
    fn aclose(&mut self) -> impl Future<Output = io::Result<()>> {
        Self::aclose(self)
    }
}

impl<S: Transport> SendStream for SendHalf<'_, S> {
    fn send_all(&mut self, data: &[u8]) -> impl Future<Output = io::Result<()>> {
        Self::send_all(self, data)
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.open()?.send_counted(data, progress).await
    }

    fn wait_send_all_might_not_block(&mut self) -> impl Future<Output = io::Result<()>> {
        Self::wait_send_all_might_not_block(self)
    }
}
