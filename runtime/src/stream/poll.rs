//! Streams that can be polled, without a future between two polls: what the traits of other libraries are made of.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use crate::kernel::context;

/// The receiving side.
pub(crate) trait PollReceive {
    /// Receives into a buffer, which need not have room: as [`receive_some`](crate::ReceiveStream::receive_some).
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
}

/// The sending side.
pub(crate) trait PollSend {
    /// Sends a part of the data, as large as it is taken.
    fn poll_send(&mut self, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Sends a part of several pieces of data.
    fn poll_send_vectored(&mut self, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Waits until all that was taken is on its way.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the sending, and tells the other side if there is a way to. Doing it again changes nothing.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A cancel point for what can't wait.
pub(crate) fn poll_not_cancelled(context: &mut Context<'_>) -> Poll<()> {
    context::with(|run| {
        if run.is_cancelled_here() {
            run.park_cancelled(context);
            return Poll::Pending;
        }
        Poll::Ready(())
    })
}

/// Whether there is nothing in any of the pieces.
pub(crate) fn are_empty(pieces: &[IoSlice<'_>]) -> bool {
    pieces.iter().all(|piece| piece.is_empty())
}

/// The end of the sending through something whose other side may know more of it than we do: that the connection is gone
/// is no failure to end it.
pub(crate) fn ended(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

/// Implements the two traits for what has `open_for_receiving` and `open_for_sending`, which give a
/// [`Socket`](crate::net::socket::Socket).
macro_rules! poll_receive {
    ([$($generics:tt)*] $stream:ty, $open:ident) => {
        impl<$($generics)*> $crate::stream::poll::PollReceive for $stream {
            #[inline]
            fn poll_receive(
                &mut self,
                context: &mut std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let open = self.$open()?;
                if buffer.is_empty() {
                    return std::task::Poll::Ready(Ok(0));
                }
                open.poll_receive(context, buffer)
            }
        }
    };
}

macro_rules! poll_send {
    ([$($generics:tt)*] $stream:ty, $open:ident, $end:ident) => {
        impl<$($generics)*> $crate::stream::poll::PollSend for $stream {
            #[inline]
            fn poll_send(
                &mut self,
                context: &mut std::task::Context<'_>,
                data: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let open = self.$open()?;
                if data.is_empty() {
                    return std::task::Poll::Ready(Ok(0));
                }
                open.poll_send(context, data)
            }

            #[inline]
            fn poll_send_vectored(
                &mut self,
                context: &mut std::task::Context<'_>,
                pieces: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let open = self.$open()?;
                if $crate::stream::poll::are_empty(pieces) {
                    return std::task::Poll::Ready(Ok(0));
                }
                open.poll_send_vectored(context, pieces)
            }

            /// What the system has taken is on its way.
            #[inline]
            fn poll_flush(&mut self, _context: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn poll_end(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
                std::task::ready!($crate::stream::poll::poll_not_cancelled(context));
                std::task::Poll::Ready($crate::stream::poll::ended(self.$end()))
            }
        }
    };
}

pub(crate) use {poll_receive, poll_send};
