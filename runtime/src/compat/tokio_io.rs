//! The traits of the crate `tokio`: `tokio::io`.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::foreign::{Foreign, Reads, Writes};
use super::polled::polled_streams;
use crate::stream::poll::{PollReceive, PollSend};

/// A stream with the traits of `tokio::io`, as a stream of trio's: see [`Foreign`].
///
/// # Examples
///
/// ```
/// use trio::compat::FromTokio;
/// use trio::{ReceiveStream, SendStream};
/// trio::run(async {
///     // A pipe of tokio's that needs no runtime.
///     let (here, there) = tokio::io::duplex(100);
///     let (mut here, mut there) = (FromTokio::new(here), FromTokio::new(there));
///     here.send_all(b"hello").await?;
///     assert_eq!(there.receive_some(&mut [0; 16]).await?, 5);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub type FromTokio<S> = Foreign<S, TokioIo>;

/// The kind of streams that have the traits of `tokio::io`.
#[derive(Debug)]
pub enum TokioIo {}

impl<S: AsyncRead> Reads<S> for TokioIo {
    fn poll_read(stream: Pin<&mut S>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        stream.poll_read(context, &mut buffer).map_ok(|()| buffer.filled().len())
    }
}

impl<S: AsyncWrite> Writes<S> for TokioIo {
    fn poll_write(stream: Pin<&mut S>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        stream.poll_write(context, data)
    }

    fn poll_flush(stream: Pin<&mut S>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream.poll_flush(context)
    }

    fn poll_close(stream: Pin<&mut S>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream.poll_shutdown(context)
    }
}

macro_rules! read {
    ($($stream:ty),* $(,)?) => {
        $(
            /// See [`compat`](crate::compat).
            impl AsyncRead for $stream {
                #[inline]
                fn poll_read(
                    mut self: Pin<&mut Self>,
                    context: &mut Context<'_>,
                    buffer: &mut ReadBuf<'_>,
                ) -> Poll<io::Result<()>> {
                    let count = ready!(self.poll_receive(context, buffer.initialize_unfilled()))?;
                    buffer.advance(count);
                    Poll::Ready(Ok(()))
                }
            }
        )*
    };
}

macro_rules! write {
    ($($stream:ty),* $(,)?) => {
        $(
            /// See [`compat`](crate::compat).
            impl AsyncWrite for $stream {
                #[inline]
                fn poll_write(
                    mut self: Pin<&mut Self>,
                    context: &mut Context<'_>,
                    data: &[u8],
                ) -> Poll<io::Result<usize>> {
                    self.poll_send(context, data)
                }

                #[inline]
                fn poll_write_vectored(
                    mut self: Pin<&mut Self>,
                    context: &mut Context<'_>,
                    pieces: &[IoSlice<'_>],
                ) -> Poll<io::Result<usize>> {
                    self.poll_send_vectored(context, pieces)
                }

                fn is_write_vectored(&self) -> bool {
                    true
                }

                #[inline]
                fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                    PollSend::poll_flush(&mut *self, context)
                }

                fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                    self.poll_end(context)
                }
            }
        )*
    };
}

polled_streams!(read, write);
