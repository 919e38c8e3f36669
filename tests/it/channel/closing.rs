//! Closing either end, by name or by dropping it, while nobody waits and while somebody does.
//!
//! What Trio refuses with `ClosedResourceError` (using an end that is closed, or closing it under a task that waits
//! through it) does not compile: the documentation of `MemorySender` and `MemoryReceiver` shows it.

use std::cell::Cell;
use std::rc::Rc;

use trio::{EndOfChannel, MemorySender, SendError, TryReceiveError, TrySendError, open_memory_channel};

use crate::support::settle;

// trio: _tests/test_channel.py::test_close_basics
#[trio::test(schedules = 200)]
async fn closing_ends_the_waits_at_the_other_end() {
    let (sender, receiver) = open_memory_channel::<u32>(0);
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(receiver.receive().await, Err(EndOfChannel)) });
        settle().await;
        sender.close();
    }
    assert_eq!(receiver.try_receive(), Err(TryReceiveError::EndOfChannel));
    assert_eq!(receiver.receive().await, Err(EndOfChannel));

    let (sender, receiver) = open_memory_channel(0);
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(sender.send(1).await, Err(SendError(1)), "the value comes back") });
        settle().await;
        receiver.close();
    }
    assert_eq!(sender.try_send(2), Err(TrySendError::Broken(2)));
    assert_eq!(sender.send(3).await, Err(SendError(3)));
}

// trio: _tests/test_channel.py::test_close_sync
#[trio::test(schedules = 200)]
async fn closing_works_without_awaiting_and_at_once() {
    let (sender, receiver) = open_memory_channel::<u32>(0);
    trio::nursery! { |n|
        let waiting = n.spawn(receiver.receive());
        settle().await;
        drop(sender);
        assert_eq!(receiver.statistics().tasks_waiting_receive, 0, "told at once, before it takes its step");
        assert_eq!(waiting.join().await.unwrap(), Err(EndOfChannel));
    }
    let (sender, receiver) = open_memory_channel(0);
    trio::nursery! { |n|
        let waiting = n.spawn(sender.send("back"));
        settle().await;
        drop(receiver);
        assert_eq!(sender.statistics().tasks_waiting_send, 0);
        assert_eq!(waiting.join().await.unwrap(), Err(SendError("back")));
    }
}

// trio: _tests/test_channel.py::test_receive_channel_clone_and_close
#[trio::test(schedules = 200)]
async fn senders_fail_only_when_the_last_receiver_is_closed() {
    let (sender, first) = open_memory_channel(10);
    let (second, third) = (first.clone(), first.clone());
    first.close();
    {
        let _ends_with_this_block = second;
    }
    sender.try_send("one is left").unwrap();
    sender.send("still").await.unwrap();
    third.close();
    assert_eq!(sender.try_send("none"), Err(TrySendError::Broken("none")));
}

// trio: _tests/test_channel.py::test_close_multiple_send_handles
#[trio::test(schedules = 200)]
async fn closing_one_sender_leaves_what_waits_through_another() {
    let (first, receiver) = open_memory_channel(0);
    let second = first.clone();
    trio::nursery! { |n|
        // The one end that waits is given up with its wait: a sender can't be closed under a `send` in any other way.
        let waiting = n.spawn(async move { first.send("nope").await });
        settle().await;
        n.start_soon(async { second.send("ok").await.unwrap() });
        settle().await;
        waiting.cancel();
        settle().await;
        assert_eq!(receiver.statistics().open_senders, 1);
        assert_eq!(receiver.receive().await, Ok("ok"));
    }
}

// trio: _tests/test_channel.py::test_close_multiple_receive_handles
#[trio::test(schedules = 200)]
async fn closing_one_receiver_leaves_what_waits_through_another() {
    let (sender, first) = open_memory_channel(0);
    let second = first.clone();
    trio::nursery! { |n|
        let waiting = n.spawn(async move { first.receive().await });
        settle().await;
        n.start_soon(async { assert_eq!(second.receive().await, Ok("ok")) });
        settle().await;
        waiting.cancel();
        settle().await;
        assert_eq!(sender.statistics().open_receivers, 1);
        sender.send("ok").await.unwrap();
    }
}

#[trio::test(schedules = 200)]
async fn every_sender_that_waits_gets_its_own_value_back() {
    let (sender, receiver) = open_memory_channel(1);
    sender.try_send(100).unwrap();
    trio::nursery! { |n|
        for value in 0..5 {
            let sender = sender.clone();
            n.start_soon(async move { assert_eq!(sender.send(value).await, Err(SendError(value))) });
        }
        settle().await;
        receiver.close();
    }
}

/// A value that looks at its own channel when it is dropped.
struct Curious {
    channel: MemorySender<Self>,
    drops: Rc<Cell<u32>>,
}

impl Drop for Curious {
    fn drop(&mut self) {
        assert_eq!(self.channel.statistics().current_buffer_used, 0);
        self.drops.set(self.drops.get() + 1);
    }
}

#[trio::test(schedules = 200)]
async fn what_is_left_is_dropped_with_the_last_receiver() {
    let drops = Rc::new(Cell::new(0));
    let (sender, receiver) = open_memory_channel(3);
    for _ in 0..3 {
        let value = Curious { channel: sender.clone(), drops: Rc::clone(&drops) };
        assert!(sender.try_send(value).is_ok());
    }
    let other = receiver.clone();
    receiver.close();
    assert_eq!(drops.get(), 0);
    other.close();
    assert_eq!(drops.get(), 3);
}
