//! A receiver as a `Stream` of the `futures` crates.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};
use trio::{CancelScope, open_memory_channel};

use super::{numbers, send_all};
use crate::support::{Log, OnDrop, meets_cancellation, secs, settle, yields};

#[trio::test(autojump, schedules = 200)]
async fn a_stream_gives_every_value_and_ends_with_the_channel() {
    for capacity in [0, 2, usize::MAX] {
        let (sender, mut receiver) = open_memory_channel(capacity);
        let got = trio::nursery! { |n|
            n.start_soon(send_all(sender, 0..20));
            let mut got = Vec::new();
            while let Some(value) = receiver.next().await {
                got.push(value);
            }
            got
        };
        assert_eq!(got, numbers(20));
        assert_eq!(receiver.next().await, None, "for good");
    }
}

#[trio::test(schedules = 200, checkpoint_budget = 1)]
async fn a_value_of_a_stream_is_a_checkpoint() {
    let (sender, mut receiver) = open_memory_channel(2);
    sender.try_send(1).unwrap();
    assert!(yields(receiver.next()).await);
    let ended = trio::cancel_scope! { |scope|
        sender.try_send(2).unwrap();
        scope.cancel();
        receiver.next().await
    };
    assert_eq!(ended, None);
    assert_eq!(receiver.try_receive(), Ok(2), "nothing was taken");
}

#[trio::test(autojump, schedules = 200)]
async fn what_comes_for_a_next_that_was_dropped_is_given_by_the_next_one() {
    let (sender, mut receiver) = open_memory_channel(0);
    assert!(trio::move_on_after(secs(1), receiver.next()).await.is_none());
    sender.try_send(1).unwrap();
    assert_eq!(receiver.next().await, Some(1));

    // Or by any other use of the receiver, or of another one once this one is gone.
    let other = receiver.clone();
    for use_it in 0..3 {
        assert!(receiver.next().now_or_never().is_none());
        // The second poll is the one that finds nothing and waits.
        assert!(receiver.next().now_or_never().is_none());
        sender.try_send(use_it).unwrap();
        match use_it {
            0 => assert_eq!(receiver.try_receive(), Ok(0)),
            1 => assert_eq!(receiver.receive().await, Ok(1)),
            _ => assert_eq!(receiver.drain(), [2]),
        }
    }
    assert!(receiver.next().now_or_never().is_none());
    assert!(receiver.next().now_or_never().is_none());
    sender.try_send(3).unwrap();
    drop(receiver);
    assert_eq!(other.receive().await, Ok(3));
}

#[trio::test(autojump, schedules = 200)]
async fn nothing_is_lost_to_a_select_of_streams() {
    let (left_sender, mut left) = open_memory_channel(0);
    let (right_sender, mut right) = open_memory_channel(2);
    let mut got = Vec::new();
    trio::nursery! { |n|
        n.start_soon(send_all(left_sender, 0..30));
        n.start_soon(send_all(right_sender, 30..60));
        while let Either::Left((Some(value), _)) | Either::Right((Some(value), _)) =
            select(left.next(), right.next()).await
        {
            got.push(value);
        }
        got.extend(left.collect::<Vec<u32>>().await);
        got.extend(right.collect::<Vec<u32>>().await);
    }
    got.sort_unstable();
    assert_eq!(got, numbers(60));
}

/// A `next()` that was polled once and given up holds nothing: a cancellation still gets through.
#[trio::test(autojump, schedules = 200, checkpoint_budget = 1)]
async fn a_next_that_was_given_up_holds_no_cancellation_off() {
    let (sender, mut receiver) = open_memory_channel(5);
    sender.try_send(1).unwrap();
    let ended = trio::move_on_after(secs(1), async {
        assert!(receiver.next().now_or_never().is_none(), "it yields first");
        trio::sleep_forever().await
    });
    assert!(ended.await.is_none());
    assert_eq!(receiver.next().await, Some(1));
}

#[trio::test(schedules = 200)]
async fn a_cancelled_stream_is_passed_over() {
    let (sender, receiver) = open_memory_channel(0);
    let log = Log::new();
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        let mut stream = receiver.clone();
        n.start_soon(async move { assert_eq!(scope.run(stream.next()).await, None) });
        settle().await;
        n.start_soon(async { log.say(receiver.receive().await.unwrap()) });
        settle().await;
        handle.cancel();
        sender.try_send("for the other").unwrap();
    }
    assert_eq!(log.lines(), ["for the other"]);
    assert!(!meets_cancellation().await);
}

#[trio::test(schedules = 200)]
async fn what_a_stream_was_given_and_did_not_take_is_dropped_once() {
    let drops = Rc::new(Cell::new(0));
    let count = Rc::clone(&drops);
    let (sender, mut receiver) = open_memory_channel(0);
    {
        let mut next = pin!(receiver.next());
        assert!((&mut next).now_or_never().is_none());
        assert!((&mut next).now_or_never().is_none());
    }
    assert!(sender.try_send(OnDrop(move || count.set(count.get() + 1))).is_ok());
    drop(receiver);
    assert_eq!(drops.get(), 1);
}
