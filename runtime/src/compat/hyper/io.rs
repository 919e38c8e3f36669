//! Streams as hyper wants them.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::super::polled::{Polled, polled_streams};
use crate::fd_stream::FdStream;
use crate::net::{TcpStream, UnixStream};
use crate::stream::poll::{PollReceive, PollSend};
use crate::stream::{ReceiveStream, SendStream, StapledStream};

macro_rules! read {
    ($($stream:ty),* $(,)?) => {
        $(
            /// See [`compat`](crate::compat).
            impl Read for $stream {
                #[inline]
                fn poll_read(
                    mut self: Pin<&mut Self>,
                    context: &mut Context<'_>,
                    mut buffer: ReadBufCursor<'_>,
                ) -> Poll<io::Result<()>> {
                    super::cursor::poll_fill(&mut buffer, |buffer| self.poll_receive(context, buffer))
                }
            }
        )*
    };
}

macro_rules! write {
    ($($stream:ty),* $(,)?) => {
        $(
            /// See [`compat`](crate::compat).
            impl Write for $stream {
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

/// What connections a [server](super::serve) can serve: those of all listeners of this crate. For streams of your own, wrap the
/// listener in one whose streams are [`Polled`], or have hyper's traits themselves.
pub trait HttpStream {
    /// What hyper is given.
    type Io: Read + Write + Unpin;

    /// Makes it of the stream.
    fn into_io(self) -> Self::Io;
}

macro_rules! as_it_is {
    ([$($generics:tt)*] $stream:ty) => {
        impl<$($generics)*> HttpStream for $stream {
            type Io = Self;

            fn into_io(self) -> Self {
                self
            }
        }
    };
}

as_it_is! { [] TcpStream }
as_it_is! { [] UnixStream }
as_it_is! { [] FdStream }
as_it_is! { ['a] Polled<'a> }

impl<S: SendStream + 'static, R: ReceiveStream + 'static> HttpStream for StapledStream<S, R> {
    type Io = Polled<'static>;

    fn into_io(self) -> Polled<'static> {
        Polled::new(self)
    }
}

#[cfg(feature = "tls")]
impl<T: crate::stream::SplitStream + 'static> HttpStream for crate::tls::TlsStream<T> {
    type Io = Polled<'static>;

    fn into_io(self) -> Polled<'static> {
        Polled::new(self)
    }
}
