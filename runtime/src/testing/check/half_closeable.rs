//! The checks of a stream whose sending side can be closed alone.

use super::makers::CloggedStreamMaker;
use super::{both, is_closed, receives, send_all, send_eof, sends, settle, two_way};
use crate::stream::{HalfCloseableStream, ReceiveStream, SplitStream};

/// Checks that a stream whose sending side can be closed alone does what every one must do: Trio's
/// `check_half_closeable_stream`.
///
/// `maker` and `clogged` are as for [`check_two_way_stream`](super::check_two_way_stream). This checks all that that one
/// does, and: after [`send_eof`](HalfCloseableStream::send_eof) the other side gets what was sent before, then the end;
/// sending fails with [`ClosedResourceError`](crate::ClosedResourceError); `send_eof` can be called again; the other
/// direction still works, its own `send_eof` included.
///
/// Trio also checks that `send_eof` while another task sends is a
/// [`BusyResourceError`](crate::BusyResourceError). Here `&mut self` makes that impossible, but for streams whose handles
/// can be cloned: see [`check_shared_half_closeable_stream`](super::check_shared_half_closeable_stream).
///
/// A checkpoint, with what [`check_one_way_stream`](super::check_one_way_stream) says of hanging and cancellation.
///
/// # Panics
///
/// When a check fails.
///
/// # Examples
///
/// ```
/// use trio::testing::{NeverClogged, check_half_closeable_stream, memory_stream_pair};
/// trio::run(check_half_closeable_stream(async || memory_stream_pair(), NeverClogged));
/// ```
pub async fn check_half_closeable_stream<A, B>(maker: impl AsyncFn() -> (A, B), clogged: impl CloggedStreamMaker<A, B>)
where
    A: HalfCloseableStream + SplitStream,
    B: HalfCloseableStream + SplitStream,
{
    Box::pin(two_way::check(&maker, &clogged)).await;
    let (mut left, mut right) = maker().await;
    both(send_then_eof(&mut left), receive_then_eof(&mut right)).await;
    is_closed("send_all after send_eof", send_all(&mut left, b"y").await);
    send_eof(&mut left).await;
    both(send_then_eof(&mut right), receive_then_eof(&mut left)).await;
}

async fn send_then_eof(stream: &mut impl HalfCloseableStream) {
    sends(stream, b"x").await;
    send_eof(stream).await;
}

async fn receive_then_eof(stream: &mut impl ReceiveStream) {
    settle().await;
    receives(stream, 10, b"x").await;
    receives(stream, 10, b"").await;
}
