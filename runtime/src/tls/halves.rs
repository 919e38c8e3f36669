//! The two directions of a TLS stream, for two tasks.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;

use super::operations;
use super::session::Session;
use super::wire::Halves;
use crate::kernel::checkpoint::free_checkpoint;
use crate::stream::{AsyncResource, ReceiveStream, SendProgress, SendStream, SplitStream};

/// The half of a [`TlsStream`](super::TlsStream) that receives. Made by [`split`](super::TlsStream::split).
///
/// Dropping it changes nothing. Closing it ends the receiving, for the stream as well; the other side is not told.
pub struct TlsReceiveHalf<'a, T: SplitStream + 'a> {
    session: &'a RefCell<Session>,
    halves: Rc<Halves<'a, T>>,
}

/// The half of a [`TlsStream`](super::TlsStream) that sends. Made by [`split`](super::TlsStream::split).
///
/// Dropping it changes nothing. Closing it ends the sending, for the stream as well: the other side sees the end after
/// all that was sent, as after [`send_eof`](Self::send_eof).
pub struct TlsSendHalf<'a, T: SplitStream + 'a> {
    session: &'a RefCell<Session>,
    halves: Rc<Halves<'a, T>>,
}

pub(super) fn halves<'a, T: SplitStream>(
    session: &'a RefCell<Session>,
    transport: &'a mut T,
) -> (TlsReceiveHalf<'a, T>, TlsSendHalf<'a, T>) {
    let halves = Rc::new(Halves::new(transport));
    (TlsReceiveHalf { session, halves: Rc::clone(&halves) }, TlsSendHalf { session, halves })
}

impl<T: SplitStream> TlsReceiveHalf<'_, T> {
    /// Does the handshake: see [`TlsStream::do_handshake`](super::TlsStream::do_handshake).
    ///
    /// A checkpoint.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn do_handshake(&mut self) -> io::Result<()> {
        operations::do_handshake(self.session, &mut &*self.halves).await
    }

    /// Waits for data: see [`TlsStream::receive_some`](super::TlsStream::receive_some).
    ///
    /// A checkpoint. Cancelled or dropped, it has received nothing.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        operations::receive_some(self.session, &mut &*self.halves, buffer).await
    }

    /// Ends the receiving. Doing it again changes nothing.
    ///
    /// A checkpoint; cancelled there, the receiving has ended all the same.
    ///
    /// # Errors
    ///
    /// None: the result is that of [`AsyncResource::aclose`].
    pub async fn aclose(&mut self) -> io::Result<()> {
        self.session.borrow_mut().close_receiving();
        free_checkpoint().await;
        Ok(())
    }
}

impl<T: SplitStream> TlsSendHalf<'_, T> {
    /// Does the handshake: see [`TlsStream::do_handshake`](super::TlsStream::do_handshake).
    ///
    /// A checkpoint.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn do_handshake(&mut self) -> io::Result<()> {
        operations::do_handshake(self.session, &mut &*self.halves).await
    }

    /// Sends all of the data: see [`TlsStream::send_all`](super::TlsStream::send_all).
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// Any part of the data, from its beginning, may have been sent by then. The stream can still be used.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.send_counted(data, &mut SendProgress::new()).await
    }

    /// As [`send_all`](Self::send_all), and keeps account of how much was encrypted, which is what will be sent.
    ///
    /// A checkpoint.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        operations::send_all(self.session, &mut &*self.halves, data, progress).await
    }

    /// Waits until a [`send_all`](Self::send_all) might not have to wait.
    ///
    /// A checkpoint. Cancelling it has no effect.
    ///
    /// # Errors
    ///
    /// As `send_all`.
    pub async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        operations::wait_send_all_might_not_block(self.session, &mut &*self.halves).await
    }

    /// Says that no more data will come: see [`TlsStream::send_eof`](super::TlsStream::send_eof).
    ///
    /// A checkpoint. Doing it again changes nothing.
    ///
    /// # Errors
    ///
    /// Those of the stream's method.
    pub async fn send_eof(&mut self) -> io::Result<()> {
        operations::send_eof(self.session, &mut &*self.halves).await
    }

    /// Ends the sending, as [`send_eof`](Self::send_eof) does. Doing it again changes nothing.
    ///
    /// A checkpoint; cancelled there, the sending has ended all the same.
    ///
    /// # Errors
    ///
    /// As `send_eof`. The sending has ended all the same.
    pub async fn aclose(&mut self) -> io::Result<()> {
        let nothing_to_do = {
            let session = self.session.borrow();
            // What went wrong with it is told once.
            session.has_sent_end() || (session.is_sending_closed() && operations::can_not_end_sending(&session))
        };
        let ended = Ended(self.session);
        let result = if nothing_to_do { Ok(()) } else { self.send_eof().await };
        drop(ended);
        free_checkpoint().await;
        result
    }
}

/// When this is dropped, nothing more can be sent.
struct Ended<'a>(&'a RefCell<Session>);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().close_sending();
    }
}

impl<T: SplitStream> fmt::Debug for TlsReceiveHalf<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReceiveHalf").finish_non_exhaustive()
    }
}

impl<T: SplitStream> fmt::Debug for TlsSendHalf<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSendHalf").finish_non_exhaustive()
    }
}

impl<T: SplitStream> AsyncResource for TlsReceiveHalf<'_, T> {
    async fn aclose(&mut self) -> io::Result<()> {
        self.aclose().await
    }
}

impl<T: SplitStream> ReceiveStream for TlsReceiveHalf<'_, T> {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_some(buffer).await
    }
}

impl<T: SplitStream> AsyncResource for TlsSendHalf<'_, T> {
    async fn aclose(&mut self) -> io::Result<()> {
        self.aclose().await
    }
}

impl<T: SplitStream> SendStream for TlsSendHalf<'_, T> {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.send_all(data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.wait_send_all_might_not_block().await
    }
}
