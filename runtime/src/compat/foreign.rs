//! Streams of other libraries, as streams of ours.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::reactor::ClosedResourceError;
use crate::stream::poll::{ended, poll_not_cancelled};
use crate::stream::{
    AsyncResource, ByteStream, HalfCloseableStream, ReceiveStream, SendProgress, SendStream, SplitStream,
};

/// A stream of another library as a stream of trio's: [`FromFutures`](super::FromFutures) or
/// [`FromTokio`](super::FromTokio), by the traits that it has.
///
/// It can be split and half-closed, and each operation is a checkpoint. What it needs from outside is its own business: a
/// `tokio::net::TcpStream`, say, works only where tokio's reactor runs.
///
/// # Cancellation
///
/// A cancelled operation polls the stream no more. `receive_some` has received nothing then, `send_all` has sent any part of
/// its data, and [`send_counted`](SendStream::send_counted) tells how much the stream has taken; what it then does with
/// that, only it knows.
///
/// `send_all` flushes, so that what was sent is not stuck in a buffer. `send_eof` is the stream's own close; whether it can
/// be read from afterwards depends on the stream. [`aclose`](AsyncResource::aclose) does the same and then drops the stream,
/// which a cancellation only hastens.
pub struct Foreign<S, K> {
    /// `None` once it has been closed.
    stream: RefCell<Option<S>>,
    eof_sent: Cell<bool>,
    receiving_closed: Cell<bool>,
    kind: PhantomData<fn() -> K>,
}

/// How to receive from a stream. In the bounds of what is public, but not to be named.
pub trait Reads<S> {
    #[doc(hidden)]
    fn poll_read(stream: Pin<&mut S>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
}

/// How to send to a stream. In the bounds of what is public, but not to be named.
pub trait Writes<S> {
    #[doc(hidden)]
    fn poll_write(stream: Pin<&mut S>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;
    #[doc(hidden)]
    fn poll_flush(stream: Pin<&mut S>, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    #[doc(hidden)]
    fn poll_close(stream: Pin<&mut S>, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<S: Unpin, K> Foreign<S, K> {
    /// Takes over a stream. One that is not `Unpin` has to be pinned: `Box::pin(stream)`.
    pub const fn new(stream: S) -> Self {
        Self {
            stream: RefCell::new(Some(stream)),
            eof_sent: Cell::new(false),
            receiving_closed: Cell::new(false),
            kind: PhantomData,
        }
    }

    /// Gives the stream back, unless it was closed.
    pub fn into_inner(self) -> Option<S> {
        self.stream.into_inner()
    }

    /// The stream, unless it was closed.
    pub fn get_mut(&mut self) -> Option<&mut S> {
        self.stream.get_mut().as_mut()
    }

    /// Polls the stream, unless the code is cancelled.
    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        ready!(poll_not_cancelled(context));
        match &mut *self.stream.borrow_mut() {
            Some(stream) => poll(Pin::new(stream), context),
            None => Poll::Ready(Err(closed())),
        }
    }
}

impl<S: Unpin, K: Reads<S>> Foreign<S, K> {
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.receiving_closed.get() || self.stream.borrow().is_none() {
            return Err(closed());
        }
        if buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a buffer without room can't receive anything"));
        }
        free_checkpoint().await;
        // Nothing is awaited after it has received something.
        poll_fn(|context| self.poll(context, |stream, context| K::poll_read(stream, context, buffer))).await
    }
}

impl<S: Unpin, K: Writes<S>> Foreign<S, K> {
    async fn send(&self, data: &[u8], mut tell: impl FnMut(usize)) -> io::Result<()> {
        self.check_sending()?;
        free_checkpoint().await;
        let mut rest = data;
        while !rest.is_empty() {
            let count =
                poll_fn(|context| self.poll(context, |stream, context| K::poll_write(stream, context, rest))).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            tell(count);
            rest = &rest[count..];
        }
        poll_fn(|context| self.poll(context, K::poll_flush)).await
    }

    async fn might_not_block(&self) -> io::Result<()> {
        self.check_sending()?;
        // There is no telling.
        free_checkpoint().await;
        Ok(())
    }

    async fn end(&self) -> io::Result<()> {
        if self.stream.borrow().is_none() {
            return Err(closed());
        }
        free_checkpoint().await;
        if !self.eof_sent.get() {
            ended(poll_fn(|context| self.poll(context, K::poll_close)).await)?;
            self.eof_sent.set(true);
        }
        Ok(())
    }

    fn check_sending(&self) -> io::Result<()> {
        if self.eof_sent.get() || self.stream.borrow().is_none() { Err(closed()) } else { Ok(()) }
    }
}

fn closed() -> io::Error {
    io::Error::other(ClosedResourceError)
}

/// The half that receives of a stream of another library. Made by [`SplitStream::split`].
///
/// Closing it ends the receiving, for the stream as well; the other side is not told.
pub struct ForeignReceiveHalf<'a, S, K>(&'a Foreign<S, K>);

/// The half that sends of a stream of another library. Made by [`SplitStream::split`].
///
/// Closing it is [`send_eof`](HalfCloseableStream::send_eof), after which nothing can be sent.
pub struct ForeignSendHalf<'a, S, K>(&'a Foreign<S, K>);

/// Closes the stream when it is dropped.
struct Closing<'a, S, K>(&'a Foreign<S, K>);

impl<S, K> Drop for Closing<'_, S, K> {
    fn drop(&mut self) {
        let stream = self.0.stream.take();
        drop(stream);
    }
}

/// Ends the sending when it is dropped.
struct Ending<'a, S, K>(&'a Foreign<S, K>);

impl<S, K> Drop for Ending<'_, S, K> {
    fn drop(&mut self) {
        self.0.eof_sent.set(true);
    }
}

/// Says the end first, if the stream can be written to.
impl<S: Unpin, K: Writes<S>> AsyncResource for Foreign<S, K> {
    async fn aclose(&mut self) -> io::Result<()> {
        let closing = Closing(self);
        if self.stream.borrow().is_none() {
            free_checkpoint().await;
            return Ok(());
        }
        let told = self.end().await;
        drop(closing);
        told
    }
}

impl<S: Unpin, K: Writes<S>> SendStream for Foreign<S, K> {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.send(data, |_| {}).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.send(data, |count| progress.add(count)).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.might_not_block().await
    }
}

impl<S: Unpin, K: Reads<S> + Writes<S>> ReceiveStream for Foreign<S, K> {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer).await
    }
}

impl<S: Unpin, K: Reads<S> + Writes<S>> ByteStream for Foreign<S, K> {}

impl<S: Unpin, K: Reads<S> + Writes<S>> HalfCloseableStream for Foreign<S, K> {
    async fn send_eof(&mut self) -> io::Result<()> {
        self.end().await
    }
}

impl<S: Unpin, K: Reads<S> + Writes<S>> SplitStream for Foreign<S, K> {
    type ReceiveHalf<'a>
        = ForeignReceiveHalf<'a, S, K>
    where
        Self: 'a;
    type SendHalf<'a>
        = ForeignSendHalf<'a, S, K>
    where
        Self: 'a;

    fn split(&mut self) -> (ForeignReceiveHalf<'_, S, K>, ForeignSendHalf<'_, S, K>) {
        (ForeignReceiveHalf(self), ForeignSendHalf(self))
    }
}

impl<S: Unpin, K> AsyncResource for ForeignReceiveHalf<'_, S, K> {
    async fn aclose(&mut self) -> io::Result<()> {
        self.0.receiving_closed.set(true);
        free_checkpoint().await;
        Ok(())
    }
}

impl<S: Unpin, K: Reads<S>> ReceiveStream for ForeignReceiveHalf<'_, S, K> {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buffer).await
    }
}

impl<S: Unpin, K: Writes<S>> AsyncResource for ForeignSendHalf<'_, S, K> {
    async fn aclose(&mut self) -> io::Result<()> {
        if self.0.check_sending().is_err() {
            free_checkpoint().await;
            return Ok(());
        }
        let _ending = Ending(self.0);
        self.0.end().await
    }
}

impl<S: Unpin, K: Writes<S>> SendStream for ForeignSendHalf<'_, S, K> {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.send(data, |_| {}).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.0.send(data, |count| progress.add(count)).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.0.might_not_block().await
    }
}

impl<S: fmt::Debug, K> fmt::Debug for Foreign<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.stream.borrow() {
            Some(stream) => f.debug_tuple("Foreign").field(stream).finish(),
            None => f.write_str("Foreign(closed)"),
        }
    }
}

impl<S: fmt::Debug, K> fmt::Debug for ForeignReceiveHalf<'_, S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForeignReceiveHalf").field(self.0).finish()
    }
}

impl<S: fmt::Debug, K> fmt::Debug for ForeignSendHalf<'_, S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForeignSendHalf").field(self.0).finish()
    }
}
