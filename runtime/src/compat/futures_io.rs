//! The traits of the crate `futures-io`.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::foreign::{Foreign, Reads, Writes};
use super::polled::polled_streams;
use crate::stream::poll::{PollReceive, PollSend};

/// A stream with the traits of `futures_io`, as a stream of trio's: see [`Foreign`].
///
/// # Examples
///
/// ```
/// use trio::compat::FromFutures;
/// use trio::{ReceiveStream, SendStream};
/// trio::run(async {
///     let mut stream = FromFutures::new(futures::io::Cursor::new(b"hello".to_vec()));
///     let mut buffer = [0; 16];
///     assert_eq!(stream.receive_some(&mut buffer).await?, 5);
///     stream.send_all(b" world").await?;
///     assert_eq!(stream.into_inner().unwrap().into_inner(), b"hello world");
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub type FromFutures<S> = Foreign<S, FuturesIo>;

/// The kind of streams that have the traits of `futures_io`.
#[derive(Debug)]
pub enum FuturesIo {}

impl<S: AsyncRead> Reads<S> for FuturesIo {
    fn poll_read(stream: Pin<&mut S>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        stream.poll_read(context, buffer)
    }
}

impl<S: AsyncWrite> Writes<S> for FuturesIo {
    fn poll_write(stream: Pin<&mut S>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        stream.poll_write(context, data)
    }

    fn poll_flush(stream: Pin<&mut S>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream.poll_flush(context)
    }

    fn poll_close(stream: Pin<&mut S>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream.poll_close(context)
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
                    buffer: &mut [u8],
                ) -> Poll<io::Result<usize>> {
                    self.poll_receive(context, buffer)
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

                #[inline]
                fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                    PollSend::poll_flush(&mut *self, context)
                }

                fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                    self.poll_end(context)
                }
            }
        )*
    };
}

polled_streams!(read, write);
