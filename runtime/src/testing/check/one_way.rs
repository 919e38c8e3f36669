//! The checks of a stream in one direction.

use std::cell::RefCell;
use std::io;

use super::makers::CloggedStreamMaker;
use super::{
    aclose, both, cancelled, close_forcefully, first_of, is_broken, is_closed, receive_some, receives, says_broken,
    send_all, sends, sends_until_broken, settle, wait_send_all_might_not_block, works,
};
use crate::stream::{ReceiveStream, SendStream};

/// Checks that a stream in one direction does what every one must do: Trio's `check_one_way_stream`.
///
/// `maker` gives a new pair of a stream that sends and one that receives what that sends, each time it is called.
/// `clogged` gives pairs whose sender has to wait until something is received, or is
/// [`NeverClogged`](super::NeverClogged) if there can be none.
///
/// What is checked, after Trio, each number with a pair of its own:
///
/// 1. What is sent is received, in pieces as large as asked for; sending nothing means nothing; a buffer without room is
///    [`InvalidInput`](io::ErrorKind::InvalidInput); an empty stream that somebody receives from lets
///    `wait_send_all_might_not_block` return. When the receiver closes, sending fails as broken, in the end, and stays
///    broken. Both ends can be closed again and again, and fail with
///    [`ClosedResourceError`](crate::ClosedResourceError) from then on, even for no data.
/// 2. What was sent before the sender closed is received; then comes the end.
/// 3. A receiver that was closed without grace, or dropped, breaks the sender.
/// 4. A sender that was closed without grace, or dropped, gives the receiver the end or an error, not data, and does not
///    make it hang.
/// 5. Closing in a cancelled scope closes.
/// 6. Sending and receiving in a cancelled scope are cancelled, and closing works afterwards.
/// 7. *clogged*: `wait_send_all_might_not_block` waits until something is received.
/// 8. *clogged*: it returns, or fails as broken, when the receiver is closed without grace or dropped, also before it
///    begins.
///
/// Every operation that succeeds must have been a checkpoint (see [`assert_checkpoints`](super::super::assert_checkpoints)).
/// "Broken" is [`BrokenResourceError`](crate::BrokenResourceError) or the operating system's error for it, such as
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe) or [`ConnectionReset`](io::ErrorKind::ConnectionReset).
///
/// Some of what Trio checks can't happen here, because operations take `&mut self`: that a stream's data may be of various
/// types, or the size no number; two tasks in `receive_some`, or in `send_all` and `wait_send_all_might_not_block`, at
/// once; closing a stream while another task waits in it. A stream whose handles can be cloned can be used like that: for
/// such there is [`check_shared_one_way_stream`](super::check_shared_one_way_stream).
///
/// A checkpoint. A stream that hangs makes the check hang: put a timeout around it, or rely on
/// [`#[trio::test]`](macro@crate::test) finding the deadlock. Cancelled, it drops the streams.
///
/// # Panics
///
/// When a check fails.
///
/// # Examples
///
/// ```
/// use trio::testing::{NeverClogged, check_one_way_stream, memory_stream_one_way_pair};
/// trio::run(check_one_way_stream(async || memory_stream_one_way_pair(), NeverClogged));
/// ```
pub async fn check_one_way_stream<S: SendStream, R: ReceiveStream>(
    maker: impl AsyncFn() -> (S, R),
    clogged: impl CloggedStreamMaker<S, R>,
) {
    check(&maker, &clogged).await;
}

pub(super) async fn check<S: SendStream, R: ReceiveStream>(
    maker: &impl AsyncFn() -> (S, R),
    clogged: &impl CloggedStreamMaker<S, R>,
) {
    // Boxed, so that the whole is no larger than a test thread's stack takes in a debug build.
    Box::pin(data_and_close(maker().await)).await;
    Box::pin(close_after_data(maker().await)).await;
    Box::pin(receiver_is_gone(maker().await, maker().await)).await;
    Box::pin(sender_is_gone(maker().await, maker().await)).await;
    Box::pin(close_in_a_cancelled_scope(maker().await)).await;
    Box::pin(close_after_a_cancellation(maker().await)).await;
    if let Some(pair) = clogged.make().await {
        Box::pin(wait_until_something_is_received(pair)).await;
    }
    Box::pin(receiver_goes_during_a_wait(clogged)).await;
    Box::pin(receiver_has_gone_before_a_wait(clogged)).await;
}

async fn data_and_close((mut s, mut r): (impl SendStream, impl ReceiveStream)) {
    both(sends(&mut s, b"x"), receives(&mut r, 1, b"x")).await;
    let nothing_then_y = async {
        sends(&mut s, b"").await;
        sends(&mut s, b"y").await;
    };
    both(nothing_then_y, receives(&mut r, 1, b"y")).await;
    both(sends(&mut s, b"z"), receives(&mut r, 4096, b"z")).await;

    let nowhere = receive_some(&mut r, 0).await;
    let refused = nowhere.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput);
    assert!(refused, "receive_some without room must fail with InvalidInput, but gave {nowhere:?}");

    // A stream need not hold anything: it may well wait for the receiver.
    let waited = first_of(wait_send_all_might_not_block(&mut s), receive_some(&mut r, 1)).await;
    works("wait_send_all_might_not_block on an empty stream", waited);

    both(sends_until_broken(&mut s), aclose(&mut r)).await;
    is_broken("send_all on a stream that was found broken", send_all(&mut s, &[b'x'; 100]).await);
    is_closed("receive_some on a closed stream", receive_some(&mut r, 4096).await);
    aclose(&mut r).await;
    aclose(&mut r).await;

    aclose(&mut s).await;
    is_closed("send_all on a closed stream", send_all(&mut s, &[b'x'; 100]).await);
    is_closed("send_all of nothing on a closed stream", send_all(&mut s, b"").await);
    is_closed("wait_send_all_might_not_block on a closed stream", wait_send_all_might_not_block(&mut s).await);
    aclose(&mut s).await;
    aclose(&mut s).await;
}

async fn close_after_data((mut s, mut r): (impl SendStream, impl ReceiveStream)) {
    let send_and_close = async {
        sends(&mut s, b"y").await;
        aclose(&mut s).await;
    };
    let receive = async {
        // The sender gets as far as it can before anything is received; it may not get far.
        settle().await;
        receives(&mut r, 1, b"y").await;
        receives(&mut r, 1, b"").await;
        receives(&mut r, 1, b"").await;
        aclose(&mut r).await;
    };
    both(send_and_close, receive).await;
}

async fn receiver_is_gone<S: SendStream, R: ReceiveStream>((mut s, mut r): (S, R), (mut other_s, other_r): (S, R)) {
    close_forcefully(&mut r).await;
    sends_until_broken(&mut s).await;
    is_closed("receive_some on a stream that was closed without grace", receive_some(&mut r, 4096).await);

    drop(other_r);
    sends_until_broken(&mut other_s).await;
}

async fn sender_is_gone<S: SendStream, R: ReceiveStream>((mut s, mut r): (S, R), (other_s, mut other_r): (S, R)) {
    close_forcefully(&mut s).await;
    is_closed("send_all on a stream that was closed without grace", send_all(&mut s, b"123").await);
    ends_or_is_broken(&mut r).await;

    drop(other_s);
    ends_or_is_broken(&mut other_r).await;
}

async fn ends_or_is_broken(r: &mut impl ReceiveStream) {
    match receive_some(r, 1).await {
        Ok(data) => assert_eq!(data, b"", "the sender is gone and has sent nothing"),
        Err(error) => is_broken("receive_some after the sender was closed without grace", Err::<(), _>(error)),
    }
}

async fn close_in_a_cancelled_scope((mut s, mut r): (impl SendStream, impl ReceiveStream)) {
    // Whether the call is cancelled, or completes first, is the stream's own affair.
    let _ = cancelled(r.aclose()).await;
    let _ = cancelled(s.aclose()).await;
    is_closed("send_all on a stream whose aclose was cancelled", send_all(&mut s, b"123").await);
    is_closed("receive_some on a stream whose aclose was cancelled", receive_some(&mut r, 4096).await);
}

async fn close_after_a_cancellation((mut s, mut r): (impl SendStream, impl ReceiveStream)) {
    let (sent, received) = both(cancelled(send_all(&mut s, b"x")), cancelled(receive_some(&mut r, 1))).await;
    assert!(sent.is_none(), "send_all in a cancelled scope must be cancelled, but gave {sent:?}");
    assert!(received.is_none(), "receive_some in a cancelled scope must be cancelled, but gave {received:?}");
    both(aclose(&mut s), aclose(&mut r)).await;
}

async fn wait_until_something_is_received((mut s, mut r): (impl SendStream, impl ReceiveStream)) {
    let record = RefCell::new(Vec::new());
    let say = |what| record.borrow_mut().push(what);
    let wait = async {
        say("waiter sleeping");
        works("wait_send_all_might_not_block", wait_send_all_might_not_block(&mut s).await);
        say("waiter woke up");
    };
    let receive = async {
        settle().await;
        say("receiver starting");
        loop {
            works("receive_some", receive_some(&mut r, 16_384).await);
        }
    };
    first_of(wait, receive).await;
    assert_eq!(
        record.into_inner(),
        ["waiter sleeping", "receiver starting", "waiter woke up"],
        "wait_send_all_might_not_block on a clogged stream must wait until something is received"
    );
}

async fn receiver_goes_during_a_wait<S: SendStream, R: ReceiveStream>(clogged: &impl CloggedStreamMaker<S, R>) {
    if let Some((mut s, mut r)) = clogged.make().await {
        let close = async {
            settle().await;
            close_forcefully(&mut r).await;
        };
        both(returns_or_is_broken(&mut s), close).await;
    }
    if let Some((mut s, r)) = clogged.make().await {
        let close = async move {
            settle().await;
            drop(r);
        };
        both(returns_or_is_broken(&mut s), close).await;
    }
}

async fn receiver_has_gone_before_a_wait<S: SendStream, R: ReceiveStream>(clogged: &impl CloggedStreamMaker<S, R>) {
    if let Some((mut s, mut r)) = clogged.make().await {
        close_forcefully(&mut r).await;
        returns_or_is_broken(&mut s).await;
    }
    if let Some((mut s, r)) = clogged.make().await {
        drop(r);
        returns_or_is_broken(&mut s).await;
    }
}

async fn returns_or_is_broken(s: &mut impl SendStream) {
    if let Err(error) = wait_send_all_might_not_block(s).await {
        assert!(says_broken(&error), "wait_send_all_might_not_block after the receiver was closed gave {error:?}");
    }
}
