//! The checks that only streams with several handles can fail.

use std::fmt;
use std::io;

use super::makers::CloggedStreamMaker;
use super::{both, close_forcefully, is_busy, is_closed, receive_some, settle};
use crate::kernel::scope::CancelScope;
use crate::stream::{HalfCloseableStream, ReceiveStream, SendStream};

/// Checks what a stream in one direction must do when several tasks use it at once, which they can if a clone is another
/// handle to it: the rest of Trio's `check_one_way_stream`.
///
/// `maker` and `clogged` are as for [`check_one_way_stream`](super::check_one_way_stream), which checks everything else:
///
/// 1. Two tasks in `receive_some`: one of them fails with [`BusyResourceError`](crate::BusyResourceError).
/// 2. Closing the receiver without grace while a task waits in `receive_some` makes that fail with
///    [`ClosedResourceError`](crate::ClosedResourceError).
/// 3. *clogged*: two tasks in `wait_send_all_might_not_block`, or in that and in `send_all`, or in `send_all`: one of them
///    fails with `BusyResourceError`.
/// 4. *clogged*: closing the sender without grace while a task waits in `send_all` or in
///    `wait_send_all_might_not_block` makes that fail with `ClosedResourceError`.
///
/// A checkpoint, with what the other function says of hanging and cancellation.
///
/// # Panics
///
/// When a check fails.
///
/// # Examples
///
/// ```
/// use trio::testing::{check_shared_one_way_stream, lockstep_stream_one_way_pair};
/// let maker = async || lockstep_stream_one_way_pair();
/// trio::run(check_shared_one_way_stream(maker, maker));
/// ```
pub async fn check_shared_one_way_stream<S, R>(maker: impl AsyncFn() -> (S, R), clogged: impl CloggedStreamMaker<S, R>)
where
    S: SendStream + Clone,
    R: ReceiveStream + Clone,
{
    {
        let (_s, mut r) = maker().await;
        let mut other = r.clone();
        conflict("receive_some twice", receive_some(&mut r, 1), receive_some(&mut other, 1)).await;
    }
    {
        let (_s, mut r) = maker().await;
        let other = r.clone();
        let (received, ()) = both(receive_some(&mut r, 10), close_soon(other)).await;
        is_closed("receive_some on a stream that is closed meanwhile", received);
    }
    conflicts_of_senders(&clogged).await;
    if let Some((mut s, _r)) = clogged.make().await {
        let other = s.clone();
        let (sent, ()) = both(s.send_all(b"xyzzy"), close_soon(other)).await;
        is_closed("send_all on a stream that is closed meanwhile", sent);
    }
    if let Some((mut s, _r)) = clogged.make().await {
        let other = s.clone();
        let (waited, ()) = both(s.wait_send_all_might_not_block(), close_soon(other)).await;
        is_closed("wait_send_all_might_not_block on a stream that is closed meanwhile", waited);
    }
}

async fn conflicts_of_senders<S: SendStream + Clone, R>(clogged: &impl CloggedStreamMaker<S, R>) {
    if let Some((mut s, _r)) = clogged.make().await {
        let mut other = s.clone();
        let what = "wait_send_all_might_not_block twice";
        conflict(what, s.wait_send_all_might_not_block(), other.wait_send_all_might_not_block()).await;
        let what = "wait_send_all_might_not_block and send_all";
        conflict(what, s.wait_send_all_might_not_block(), other.send_all(b"123")).await;
    }
    // A send_all that was cancelled half-way may have spoilt the stream.
    if let Some((mut s, _r)) = clogged.make().await {
        let mut other = s.clone();
        conflict("send_all twice", s.send_all(b"123"), other.send_all(b"123")).await;
    }
}

/// Checks what a stream whose sending side can be closed alone must do when several tasks use it at once, which they can if
/// a clone is another handle to it: the rest of Trio's `check_half_closeable_stream`.
///
/// On a clogged stream, `send_eof` while another task is in `send_all`, or in `wait_send_all_might_not_block`, fails with
/// [`BusyResourceError`](crate::BusyResourceError). For streams whose `send_eof` is a check of its own; where it closes the
/// sending half, as with a [`StapledStream`](crate::StapledStream), it is not.
///
/// A checkpoint, with what [`check_one_way_stream`](super::check_one_way_stream) says of hanging and cancellation.
///
/// # Panics
///
/// When a check fails.
pub async fn check_shared_half_closeable_stream<A: HalfCloseableStream + Clone, B>(
    clogged: impl CloggedStreamMaker<A, B>,
) {
    if let Some((mut s, _r)) = clogged.make().await {
        let mut other = s.clone();
        conflict("send_all and send_eof", s.send_all(b"x"), late(other.send_eof())).await;
    }
    if let Some((mut s, _r)) = clogged.make().await {
        let mut other = s.clone();
        let what = "wait_send_all_might_not_block and send_eof";
        conflict(what, s.wait_send_all_might_not_block(), late(other.send_eof())).await;
    }
}

/// Runs an operation when the other one waits.
async fn late<T>(operation: impl Future<Output = T>) -> T {
    settle().await;
    operation.await
}

async fn close_soon(mut resource: impl crate::stream::AsyncResource) {
    late(close_forcefully(&mut resource)).await;
}

/// Runs two operations that must not run at once, and gives up the one that waits when the other has been refused.
async fn conflict<A: fmt::Debug, B: fmt::Debug>(
    what: &str,
    first: impl Future<Output = io::Result<A>>,
    second: impl Future<Output = io::Result<B>>,
) {
    let scope = CancelScope::new();
    let handle = scope.handle();
    let (mut one, mut two) = (None, None);
    let first = async {
        one = Some(first.await);
        handle.cancel();
    };
    let second = async {
        two = Some(second.await);
        handle.cancel();
    };
    scope.run(both(first, second)).await;
    let refused = one.as_ref().is_some_and(is_busy) || two.as_ref().is_some_and(is_busy);
    assert!(refused, "{what} at once must be a BusyResourceError, but gave {one:?} and {two:?}");
}
