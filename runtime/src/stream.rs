//! What byte streams have in common, whatever they run over: Trio's abstract interfaces.
#![forbid(unsafe_code)]
#![expect(
    async_fn_in_trait,
    reason = "a run stays on one thread, so nobody needs these futures to be `Send`, which is all that the lint warns of"
)]

#[cfg(feature = "__poll")]
pub(crate) mod poll;
mod progress;
mod stapled;

use std::io;

pub use progress::SendProgress;
pub use stapled::StapledStream;

use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::scope::CancelScope;

/// Something that is closed when it is no longer used: Trio's `AsyncResource`.
///
/// Dropping a resource closes it at once, without ceremony. [`aclose`](Self::aclose) is for those that have something
/// to say to the other side before, such as TLS.
///
/// # Examples
///
/// ```
/// use trio::{AsyncResource, net::TcpListener};
/// async fn close_politely(mut resource: impl AsyncResource) -> std::io::Result<()> {
///     resource.aclose().await
/// }
/// trio::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     close_politely(listener).await
/// })
/// .unwrap();
/// ```
pub trait AsyncResource {
    /// Closes the resource, gracefully if possible.
    ///
    /// A checkpoint. It always closes, also when it fails or is cancelled: a cancellation only takes the grace away.
    /// Closing again does nothing but the checkpoint. Other operations then fail with
    /// [`ClosedResourceError`](crate::ClosedResourceError).
    ///
    /// # Errors
    ///
    /// When the grace failed. The resource is closed all the same.
    async fn aclose(&mut self) -> io::Result<()>;
}

/// Closes a resource without grace: Trio's `aclose_forcefully`.
///
/// For when something has gone wrong with the other side, which is not to be waited for. It is [`AsyncResource::aclose`] in a
/// scope that is cancelled already: only what that does before its first checkpoint is done.
///
/// A checkpoint; cancelled there, the resource is closed all the same.
///
/// # Errors
///
/// When it failed before it had to wait. The resource is closed all the same.
///
/// # Examples
///
/// ```
/// use trio::{ClosedResourceError, net::UnixStream};
/// trio::run(async {
///     let (mut a, _b) = UnixStream::pair()?;
///     trio::aclose_forcefully(&mut a).await?;
///     let error = a.send_all(b"x").await.unwrap_err();
///     assert!(error.get_ref().unwrap().is::<ClosedResourceError>());
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub async fn aclose_forcefully(resource: &mut (impl AsyncResource + ?Sized)) -> io::Result<()> {
    let scope = CancelScope::new();
    scope.handle().cancel();
    let result = scope.run(resource.aclose()).await;
    free_checkpoint().await;
    result.unwrap_or(Ok(()))
}

/// The sending side of a byte stream: Trio's `SendStream`.
///
/// # Examples
///
/// ```
/// use trio::SendStream;
/// /// Says hello over whatever it is given.
/// async fn greet(stream: &mut impl SendStream) -> std::io::Result<()> {
///     stream.send_all(b"hello\n").await
/// }
/// # async fn with_tcp(mut stream: trio::net::TcpStream) -> std::io::Result<()> { greet(&mut stream).await }
/// ```
pub trait SendStream: AsyncResource {
    /// Sends all of the data, and waits as long as that takes. No data is fine.
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// One of the few operations that can be interrupted half-way: any part of the data, from its beginning, may have
    /// been sent by then, and there is no way to know which. The usual thing to do with such a stream is to close it.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) if you closed the stream or its
    /// sending side; the transport's error if the connection broke.
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()>;

    /// As [`send_all`](Self::send_all), and keeps account of how much of the data has been sent.
    ///
    /// For layers such as TLS that must go on exactly where a cancelled call has stopped: what was sent is known even
    /// when the call was cancelled, dropped, or has failed. Trio has no such thing.
    ///
    /// Provided, on top of `send_all`: that can't tell what was sent when it did not complete, and says so
    /// ([`SendProgress::is_known`]). The streams of this crate can.
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// As `send_all`, but that `progress` tells which part of the data has been sent by then.
    ///
    /// # Errors
    ///
    /// As `send_all`.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::testing::lockstep_stream_pair;
    /// use trio::{ReceiveStream, SendProgress, SendStream};
    /// trio::run(async {
    ///     let (mut here, mut there) = lockstep_stream_pair();
    ///     let mut progress = SendProgress::new();
    ///     // The other side takes three bytes, and no more.
    ///     trio::race(
    ///         async { here.send_counted(b"hello", &mut progress).await.map(drop) },
    ///         async { there.receive_some(&mut [0; 3]).await.map(drop) },
    ///     )
    ///     .await?;
    ///     assert_eq!(progress.sent(), 3);
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        let was_known = progress.is_known();
        progress.lose();
        self.send_all(data).await?;
        // What was not known before this call still is not.
        if was_known {
            progress.find(data.len())
        } else {
            progress.add(data.len())
        }
        Ok(())
    }

    /// Waits until a [`send_all`](Self::send_all) might not have to wait.
    ///
    /// For those who want to decide as late as possible what to send. It may return too early, but not too late.
    ///
    /// A checkpoint. Cancelling it has no effect.
    ///
    /// # Errors
    ///
    /// As `send_all`.
    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()>;
}

/// The receiving side of a byte stream: Trio's `ReceiveStream`.
///
/// # Examples
///
/// ```
/// use trio::ReceiveStream;
/// /// Receives everything up to the end.
/// async fn receive_to_end(stream: &mut impl ReceiveStream) -> std::io::Result<Vec<u8>> {
///     let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
///     loop {
///         match stream.receive_some(&mut buffer).await? {
///             0 => return Ok(all),
///             count => all.extend_from_slice(&buffer[..count]),
///         }
///     }
/// }
/// # async fn with_tcp(mut stream: trio::net::TcpStream) -> std::io::Result<Vec<u8>> { receive_to_end(&mut stream).await }
/// ```
pub trait ReceiveStream: AsyncResource {
    /// Waits for data, and gives how many bytes it has put at the beginning of the buffer. 0 means that the other side
    /// will send no more; asked again, it stays at that.
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// Cancelled or dropped, it has received nothing: no data is lost.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) if you closed the stream;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the buffer has no room, since 0 would then look like the end;
    /// the transport's error if the connection broke.
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// A byte stream in both directions: Trio's `Stream`.
pub trait ByteStream: SendStream + ReceiveStream {}

/// A byte stream whose two directions can be used by two tasks at one time.
///
/// Every operation takes `&mut self`, so that two tasks can't disturb each other in one direction (in Trio that is a
/// `BusyResourceError` at run time). The halves are how both directions are used at once all the same. For code that
/// is generic over the stream; Trio needs no such thing, since there all of its streams can be used like that.
///
/// # Examples
///
/// ```
/// use trio::testing::memory_stream_pair;
/// use trio::{ReceiveStream, SendStream, SplitStream};
/// /// Sends a request of any size, and receives the beginning of the answer, which may come before all is sent.
/// async fn ask(stream: &mut impl SplitStream, request: &[u8], answer: &mut [u8]) -> trio::Result<usize> {
///     let (mut from, mut to) = stream.split();
///     let mut count = 0;
///     trio::try_nursery! { |n|
///         n.start_soon(async { to.send_all(request).await });
///         count = from.receive_some(answer).await?;
///     }?;
///     Ok(count)
/// }
/// trio::run(async {
///     let (mut here, mut there) = memory_stream_pair();
///     there.send_all(b"pong").await?;
///     assert_eq!(ask(&mut here, b"ping", &mut [0; 16]).await.unwrap(), 4);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub trait SplitStream: ByteStream {
    /// The half that receives.
    type ReceiveHalf<'a>: ReceiveStream
    where
        Self: 'a;

    /// The half that sends.
    type SendHalf<'a>: SendStream
    where
        Self: 'a;

    /// The two halves. They borrow the stream; when they are gone, it is whole again.
    ///
    /// Not a checkpoint. What closing a half means is for each stream to say; dropping one changes nothing.
    fn split(&mut self) -> (Self::ReceiveHalf<'_>, Self::SendHalf<'_>);
}

/// A byte stream whose sending side can be closed alone: Trio's `HalfCloseableStream`.
///
/// # Examples
///
/// ```
/// use trio::HalfCloseableStream;
/// /// Sends a request whose end is the end of the stream, and receives the first part of the answer.
/// async fn ask(stream: &mut impl HalfCloseableStream, answer: &mut [u8]) -> std::io::Result<usize> {
///     stream.send_all(b"what time is it?").await?;
///     stream.send_eof().await?;
///     stream.receive_some(answer).await
/// }
/// # async fn with_tcp(mut stream: trio::net::TcpStream) -> std::io::Result<usize> { ask(&mut stream, &mut [0; 9]).await }
/// ```
pub trait HalfCloseableStream: ByteStream {
    /// Says that no more data will come. The other side sees the end after all that was sent; receiving goes on.
    ///
    /// A checkpoint. Doing it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) if you closed the stream; the
    /// transport's error if the connection broke.
    async fn send_eof(&mut self) -> io::Result<()>;
}

/// What gives a stream for each peer that connects: Trio's `Listener`.
///
/// # Examples
///
/// ```
/// use trio::{AsyncResource, Listener};
/// /// Turns everybody away.
/// async fn closed_today<L: Listener<Stream: AsyncResource>>(listener: &mut L) -> std::io::Result<()> {
///     loop {
///         listener.accept().await?.aclose().await?;
///     }
/// }
/// # async fn with_tcp(mut listener: trio::net::TcpListener) -> std::io::Result<()> { closed_today(&mut listener).await }
/// ```
pub trait Listener {
    /// What a peer is talked to through.
    type Stream;

    /// Waits for a peer to connect.
    ///
    /// A checkpoint. Cancelled or dropped, it has accepted nobody: the peer is there for the next call.
    ///
    /// # Errors
    ///
    /// When the listener can accept nobody, because it was closed or because the system has run out of something. What
    /// goes wrong with one peer only is not an error: that peer is passed over.
    async fn accept(&mut self) -> io::Result<Self::Stream>;
}

impl<T: AsyncResource + ?Sized> AsyncResource for &mut T {
    async fn aclose(&mut self) -> io::Result<()> {
        (**self).aclose().await
    }
}

impl<T: SendStream + ?Sized> SendStream for &mut T {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        (**self).send_all(data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        (**self).send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        (**self).wait_send_all_might_not_block().await
    }
}

impl<T: ReceiveStream + ?Sized> ReceiveStream for &mut T {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).receive_some(buffer).await
    }
}

impl<T: ByteStream + ?Sized> ByteStream for &mut T {}

impl<T: SplitStream + ?Sized> SplitStream for &mut T {
    type ReceiveHalf<'a>
        = T::ReceiveHalf<'a>
    where
        Self: 'a;
    type SendHalf<'a>
        = T::SendHalf<'a>
    where
        Self: 'a;

    fn split(&mut self) -> (T::ReceiveHalf<'_>, T::SendHalf<'_>) {
        (**self).split()
    }
}

impl<T: HalfCloseableStream + ?Sized> HalfCloseableStream for &mut T {
    async fn send_eof(&mut self) -> io::Result<()> {
        (**self).send_eof().await
    }
}

impl<T: Listener + ?Sized> Listener for &mut T {
    type Stream = T::Stream;

    async fn accept(&mut self) -> io::Result<Self::Stream> {
        (**self).accept().await
    }
}
