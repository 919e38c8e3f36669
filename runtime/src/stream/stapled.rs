//! Two one-way streams that make one in both directions.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use super::{AsyncResource, ByteStream, HalfCloseableStream, ReceiveStream, SendProgress, SendStream, SplitStream};

/// A stream in both directions, made of one that sends and one that receives: Trio's `StapledStream`.
///
/// For instance the standard input and output of a child process, or two pipes. Each operation is that of the half it
/// belongs to, with what that says of checkpoints, cancellation and errors; only [`aclose`](AsyncResource::aclose) and
/// [`send_eof`](HalfCloseableStream::send_eof) have something to add.
///
/// * `aclose` begins to close the sending half, then the receiving one, and ends when both are closed. A failure or a
///   cancellation of one does not keep the other from being closed. If both fail, the error is the sending half's.
/// * `send_eof` closes the sending half. (Trio calls that half's own `send_eof`, if it has one. Here a half that only
///   sends has none: closing it is how it says the end.)
///
/// # Examples
///
/// ```
/// use trio::testing::memory_stream_one_way_pair;
/// use trio::{HalfCloseableStream, ReceiveStream, SendStream, StapledStream};
/// trio::run(async {
///     let (send_stream, mut there) = memory_stream_one_way_pair();
///     let (mut back, receive_stream) = memory_stream_one_way_pair();
///     let mut stream = StapledStream { send_stream, receive_stream };
///     stream.send_all(b"ping").await?;
///     stream.send_eof().await?;
///     let mut buffer = [0; 16];
///     assert_eq!(ReceiveStream::receive_some(&mut there, &mut buffer).await?, 4);
///     assert_eq!(ReceiveStream::receive_some(&mut there, &mut buffer).await?, 0);
///     SendStream::send_all(&mut back, b"pong").await?;
///     assert_eq!(stream.receive_some(&mut buffer).await?, 4);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct StapledStream<S, R> {
    /// What sends.
    pub send_stream: S,
    /// What receives.
    pub receive_stream: R,
}

impl<S: AsyncResource, R: AsyncResource> AsyncResource for StapledStream<S, R> {
    async fn aclose(&mut self) -> io::Result<()> {
        // Both are begun in the first step: whoever drops this, say because it is cancelled, finds both of them closed.
        let mut sending = pin!(self.send_stream.aclose());
        let mut receiving = pin!(self.receive_stream.aclose());
        let (mut sent, mut received) = (None, None);
        poll_fn(|context| {
            if sent.is_none() {
                sent = ready(sending.as_mut().poll(context));
            }
            if received.is_none() {
                received = ready(receiving.as_mut().poll(context));
            }
            if sent.is_none() || received.is_none() {
                return Poll::Pending;
            }
            let (sent, received) = (sent.take().unwrap_or(Ok(())), received.take().unwrap_or(Ok(())));
            Poll::Ready(sent.and(received))
        })
        .await
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl<S: SendStream, R: AsyncResource> SendStream for StapledStream<S, R> {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.send_stream.send_all(data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.send_stream.send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.send_stream.wait_send_all_might_not_block().await
    }
}

impl<S: AsyncResource, R: ReceiveStream> ReceiveStream for StapledStream<S, R> {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_stream.receive_some(buffer).await
    }
}

impl<S: SendStream, R: ReceiveStream> ByteStream for StapledStream<S, R> {}

impl<S: SendStream, R: ReceiveStream> HalfCloseableStream for StapledStream<S, R> {
    async fn send_eof(&mut self) -> io::Result<()> {
        self.send_stream.aclose().await
    }
}

impl<S: SendStream, R: ReceiveStream> SplitStream for StapledStream<S, R> {
    type ReceiveHalf<'a>
        = &'a mut R
    where
        Self: 'a;
    type SendHalf<'a>
        = &'a mut S
    where
        Self: 'a;

    fn split(&mut self) -> (&mut R, &mut S) {
        (&mut self.receive_stream, &mut self.send_stream)
    }
}
