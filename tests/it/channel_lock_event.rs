//! Events, locks and memory channels: who gets what, and that nothing is lost when somebody who waits is cancelled.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::{Either, join, select};
use trio::{
    CancelScope, Event, Lock, MemoryReceiver, MemorySender, SendError, TryReceiveError, TrySendError,
    open_memory_channel,
};

use crate::support::{Log, meets_cancellation, secs, settle, yields};

// ---------------------------------------------------------------- events

async fn wait_and_say(event: &Event, log: &Log, name: &str) {
    let guard = log.guard(name);
    event.wait().await;
    log.say(name);
    guard.disarm();
}

#[trio::test(schedules = 200, checkpoint_budget = 1)]
async fn an_event_wakes_all_who_wait_and_stays_set() {
    let event = Event::new();
    let log = Log::new();
    trio::nursery! { |n|
        for name in ["a", "b", "c"] {
            n.start_soon(wait_and_say(&event, &log, name));
        }
        settle().await;
        assert!(!event.is_set());
        assert!(log.lines().is_empty());
        event.set();
        assert!(event.is_set());
        assert!(log.lines().is_empty(), "`set` wakes, it does not run them");
        event.set();
        settle().await;
        assert_eq!(log.sorted(), ["a", "b", "c"]);
        assert!(event.is_set());
    }
    assert!(yields(event.wait()).await, "waiting is a checkpoint");
}

#[trio::test(autojump, schedules = 200)]
async fn a_cancelled_waiter_leaves_the_event_to_the_others() {
    let event = Event::new();
    let log = Log::timed();
    trio::nursery! { |n|
        n.start_soon(async {
            let late = trio::move_on_after(secs(1), wait_and_say(&event, &log, "impatient")).await;
            assert!(late.is_none());
        });
        n.start_soon(wait_and_say(&event, &log, "patient"));
        trio::sleep(secs(2)).await;
        event.set();
    }
    assert_eq!(log.lines(), ["impatient dropped at 1", "patient at 2"]);
}

#[trio::test(schedules = 200)]
async fn an_event_in_a_foreign_combinator() {
    let (first, second) = (Event::new(), Event::new());
    let log = Log::new();
    trio::nursery! { |n|
        n.start_soon(async {
            join(wait_and_say(&first, &log, "first"), wait_and_say(&second, &log, "second")).await;
            log.say("both");
        });
        n.start_soon(async {
            let waits = (pin!(first.wait()), pin!(second.wait()));
            match select(waits.0, waits.1).await {
                Either::Left(_) => log.say("the first won"),
                Either::Right(_) => log.say("the second won"),
            }
        });
        settle().await;
        second.set();
        settle().await;
        assert_eq!(log.sorted(), ["second", "the second won"]);
        first.set();
    }
    assert_eq!(log.lines(), ["first", "both"]);
}

// ---------------------------------------------------------------- locks

#[trio::test(schedules = 200)]
async fn a_lock_goes_to_whoever_has_waited_longest() {
    async fn turns(lock: &Lock<Vec<String>>, name: &str) {
        for turn in 0..3 {
            let mut order = lock.lock().await;
            order.push(format!("{name}{turn}"));
            trio::checkpoint().await;
        }
    }
    let lock = Lock::new(Vec::new());
    trio::nursery! { |n|
        let guard = lock.lock().await;
        for name in ["a", "b", "c"] {
            n.start_soon(turns(&lock, name));
            settle().await;
        }
        drop(guard);
    }
    // Who releases it and asks again queues up behind the others.
    assert_eq!(lock.into_inner(), ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]);
}

#[trio::test(schedules = 200)]
async fn a_lock_has_one_holder() {
    async fn add(lock: &Lock<u32>, holders: &Cell<u32>) {
        for _ in 0..3 {
            let mut value = lock.lock().await;
            assert_eq!(holders.replace(1), 0);
            let before = *value;
            trio::checkpoint().await;
            *value = before + 1;
            holders.set(0);
        }
    }
    let (lock, holders) = (Lock::new(0), Cell::new(0));
    trio::nursery! { |n|
        for _ in 0..5 {
            n.start_soon(add(&lock, &holders));
        }
    }
    assert!(!lock.is_locked());
    assert_eq!(lock.into_inner(), 15);
}

#[trio::test(schedules = 200, checkpoint_budget = 1)]
async fn a_free_lock_is_a_checkpoint_and_try_lock_is_none() {
    let lock = Lock::new(());
    assert!(yields(lock.lock()).await);
    assert!(!lock.is_locked());
    let guard = lock.try_lock().unwrap();
    assert!(lock.is_locked());
    assert!(lock.try_lock().is_err());
    drop(guard);
    assert!(!lock.is_locked());
}

#[trio::test(schedules = 200)]
async fn a_lock_that_was_handed_over_goes_on_when_its_new_holder_drops_the_wait() {
    let lock = Lock::new(());
    let log = Log::new();
    trio::nursery! { |n|
        let guard = lock.lock().await;
        let mut given_up = Box::pin(lock.lock());
        assert!((&mut given_up).now_or_never().is_none());
        n.start_soon(async {
            let _guard = lock.lock().await;
            log.say("the next has it");
        });
        settle().await;
        drop(guard);
        assert!(lock.is_locked(), "handed over at once");
        drop(given_up);
        assert!(lock.is_locked(), "and handed on");
        settle().await;
        assert_eq!(log.lines(), ["the next has it"]);
        assert!(!lock.is_locked());
    }
}

#[trio::test(schedules = 200)]
async fn a_cancelled_waiter_is_passed_over_when_the_lock_is_released() {
    let lock = Lock::new(());
    let log = Log::new();
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        let guard = lock.lock().await;
        n.start_soon(async {
            let ended = scope.run(async { drop(lock.lock().await) }).await;
            assert!(ended.is_none());
        });
        settle().await;
        n.start_soon(async {
            let _guard = lock.lock().await;
            log.say("second");
            assert!(handle.is_cancelled());
        });
        settle().await;
        // In one step: before the first could leave the queue by itself.
        handle.cancel();
        drop(guard);
        settle().await;
        assert_eq!(log.lines(), ["second"]);
        assert!(!lock.is_locked());
    }
    assert!(handle.caught());
}

#[trio::test(schedules = 200)]
async fn a_lock_that_was_granted_before_the_cancellation_is_held() {
    let lock = Lock::new(());
    let log = Log::new();
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        let guard = lock.lock().await;
        n.start_soon(async {
            let ended = scope.run(async {
                let _guard = lock.lock().await;
                log.say("held");
                trio::checkpoint().await;
                log.say("not reached");
            });
            assert!(ended.await.is_none());
        });
        settle().await;
        drop(guard);
        handle.cancel();
        assert!(log.lines().is_empty());
    }
    assert_eq!(log.lines(), ["held"]);
    assert!(!lock.is_locked());
}

// ---------------------------------------------------------------- channels

async fn send_all(sender: MemorySender<u32>, values: std::ops::Range<u32>) {
    for value in values {
        sender.send(value).await.unwrap();
    }
}

async fn receive_all(receiver: MemoryReceiver<u32>, got: &RefCell<Vec<u32>>) {
    while let Ok(value) = receiver.receive().await {
        got.borrow_mut().push(value);
    }
}

#[trio::test(schedules = 200)]
async fn a_channel_delivers_everything_once_and_in_order() {
    for capacity in [0, 1, 3, usize::MAX] {
        let (sender, receiver) = open_memory_channel(capacity);
        let got = RefCell::default();
        trio::nursery! { |n|
            n.start_soon(send_all(sender, 0..20));
            n.start_soon(receive_all(receiver, &got));
        }
        assert_eq!(got.take(), (0..20).collect::<Vec<_>>());

        // With several at each end, everything still arrives once.
        let (sender, receiver) = open_memory_channel(capacity);
        trio::nursery! { |n|
            for part in 0..4 {
                n.start_soon(send_all(sender.clone(), part * 10..part * 10 + 10));
                n.start_soon(receive_all(receiver.clone(), &got));
            }
            drop((sender, receiver));
        }
        let mut got = got.take();
        got.sort_unstable();
        assert_eq!(got, (0..40).collect::<Vec<_>>());
    }
}

#[trio::test(schedules = 200)]
async fn waiting_receivers_are_served_in_the_order_in_which_they_came() {
    let (sender, receiver) = open_memory_channel(0);
    let log = Log::new();
    trio::nursery! { |n|
        for name in ["a", "b", "c"] {
            let (receiver, log) = (receiver.clone(), &log);
            n.start_soon(async move {
                for _ in 0..2 {
                    let value: u32 = receiver.receive().await.unwrap();
                    log.say(format!("{name} {value}"));
                }
            });
            settle().await;
        }
        for value in 0..6 {
            sender.send(value).await.unwrap();
            settle().await;
        }
    }
    assert_eq!(log.lines(), ["a 0", "b 1", "c 2", "a 3", "b 4", "c 5"]);
}

#[trio::test(autojump, schedules = 200)]
async fn a_full_channel_makes_the_sender_wait() {
    let log = Log::timed();
    let (sender, receiver) = open_memory_channel(1);
    trio::nursery! { |n|
        let log = &log;
        n.start_soon(async move {
            for value in 0..4 {
                sender.send(value).await.unwrap();
                log.say(format!("sent {value}"));
            }
        });
        for _ in 0..4 {
            trio::sleep(secs(1)).await;
            receiver.receive().await.unwrap();
        }
        assert!(receiver.receive().await.is_err());
    }
    assert_eq!(log.lines(), ["sent 0 at 0", "sent 1 at 1", "sent 2 at 2", "sent 3 at 3"]);
}

#[trio::test(schedules = 200, checkpoint_budget = 1)]
async fn what_does_not_wait_says_why_it_failed() {
    let (sender, receiver) = open_memory_channel(1);
    assert_eq!(receiver.try_receive(), Err(TryReceiveError::WouldBlock));
    assert_eq!(sender.try_send("one"), Ok(()));
    assert_eq!(sender.try_send("two"), Err(TrySendError::WouldBlock("two")));
    assert_eq!(sender.statistics().current_buffer_used, 1);
    assert_eq!(receiver.try_receive(), Ok("one"));

    sender.try_send("left").unwrap();
    sender.close();
    assert_eq!(receiver.try_receive(), Ok("left"));
    assert_eq!(receiver.try_receive(), Err(TryReceiveError::EndOfChannel));
    assert!(yields(receiver.receive()).await, "a checkpoint all the same");
    assert!(receiver.receive().await.is_err());

    let (sender, receiver) = open_memory_channel(1);
    receiver.close();
    assert_eq!(sender.try_send(3), Err(TrySendError::Broken(3)));
    assert_eq!(sender.send(4).await, Err(SendError(4)));
    assert!(yields(sender.send(5)).await);
}

#[trio::test(schedules = 200)]
async fn closing_one_end_ends_the_waits_at_the_other() {
    let (sender, receiver) = open_memory_channel::<u32>(0);
    trio::nursery! { |n|
        for _ in 0..2 {
            let receiver = receiver.clone();
            n.start_soon(async move { assert!(receiver.receive().await.is_err()) });
        }
        settle().await;
        let other = sender.clone();
        drop(sender);
        settle().await;
        assert_eq!(n.child_count(), 2, "one sender is left");
        drop(other);
    }

    let (sender, receiver) = open_memory_channel(0);
    trio::nursery! { |n|
        for value in 0..2 {
            let sender = sender.clone();
            n.start_soon(async move { assert_eq!(sender.send(value).await, Err(SendError(value))) });
        }
        settle().await;
        receiver.close();
    }
}

#[trio::test(schedules = 200)]
async fn a_cancelled_receiver_takes_nothing() {
    let (sender, receiver) = open_memory_channel(5);
    sender.try_send(1).unwrap();
    // On entry the cancellation wins, though there is something to be had.
    let ended = trio::cancel_scope! { |scope|
        scope.cancel();
        receiver.receive().await
    };
    assert_eq!(ended, None);
    assert_eq!(receiver.try_receive(), Ok(1));

    // While waiting: the value goes to the next.
    let log = Log::new();
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(scope.run(receiver.receive()).await, None) });
        settle().await;
        n.start_soon(async { log.say(receiver.receive().await.unwrap()) });
        settle().await;
        handle.cancel();
        sender.try_send(2).unwrap();
        settle().await;
        assert_eq!(log.lines(), ["2"]);
    }
    assert!(handle.caught());
}

#[trio::test(schedules = 200)]
async fn a_value_that_came_before_the_cancellation_is_received() {
    let (sender, receiver) = open_memory_channel(0);
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async {
            let ended = scope.run(receiver.receive()).await;
            assert_eq!(ended, Some(Ok("in time")));
            assert!(handle.is_cancelled());
            assert!(!handle.caught());
        });
        settle().await;
        sender.try_send("in time").unwrap();
        handle.cancel();
    }
}

#[trio::test(schedules = 200)]
async fn a_cancelled_sender_has_sent_nothing() {
    let (sender, receiver) = open_memory_channel(0);
    let value = Rc::new(());
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async {
            let sent = scope.run(sender.send(Rc::clone(&value))).await;
            assert!(sent.is_none());
        });
        settle().await;
        assert_eq!(Rc::strong_count(&value), 2);
        handle.cancel();
        assert_eq!(receiver.try_receive(), Err(TryReceiveError::WouldBlock));
    }
    assert_eq!(Rc::strong_count(&value), 1);

    // On entry too, though there is room.
    let (sender, receiver) = open_memory_channel(5);
    let ended = trio::cancel_scope! { |scope|
        scope.cancel();
        sender.send(1).await
    };
    assert_eq!(ended, None);
    assert_eq!(receiver.try_receive(), Err(TryReceiveError::WouldBlock));
}

#[trio::test(schedules = 200)]
async fn a_value_that_was_handed_to_a_dropped_wait_goes_to_the_next() {
    let (sender, receiver) = open_memory_channel(0);
    let mut given_up = Box::pin(receiver.receive());
    assert!((&mut given_up).now_or_never().is_none());
    let mut next = Box::pin(receiver.receive());
    assert!((&mut next).now_or_never().is_none());

    sender.try_send(1).unwrap();
    assert_eq!(sender.try_send(2), Ok(()));
    drop(given_up);
    // The next has its own already, so the first is for whoever comes then.
    assert_eq!(next.await, Ok(2));
    assert_eq!(receiver.receive().await, Ok(1));

    let mut given_up = Box::pin(receiver.receive());
    assert!((&mut given_up).now_or_never().is_none());
    let mut next = Box::pin(receiver.receive());
    assert!((&mut next).now_or_never().is_none());
    sender.try_send(3).unwrap();
    drop(given_up);
    assert_eq!(next.await, Ok(3));
}

/// Two receives in a `select`, over and over: whatever the one that lost had been given comes with a later receive.
#[trio::test(schedules = 200)]
async fn nothing_is_lost_to_a_select() {
    for capacity in [0, 2] {
        let (left_sender, left) = open_memory_channel(capacity);
        let (right_sender, right) = open_memory_channel(capacity);
        let mut got = Vec::new();
        trio::nursery! { |n|
            n.start_soon(send_all(left_sender, 0..50));
            n.start_soon(send_all(right_sender, 50..100));
            let mut open = 2;
            while open == 2 {
                let receives = (pin!(left.receive()), pin!(right.receive()));
                let value = select(receives.0, receives.1).await.factor_first().0;
                match value {
                    Ok(value) => got.push(value),
                    Err(_) => open -= 1,
                }
            }
            for rest in [&left, &right] {
                while let Ok(value) = rest.receive().await {
                    got.push(value);
                }
            }
        }
        let (mut left, mut right): (Vec<u32>, Vec<u32>) = got.into_iter().partition(|&value| value < 50);
        assert!(left.is_sorted(), "in order: {left:?}");
        assert!(right.is_sorted(), "in order: {right:?}");
        left.append(&mut right);
        assert_eq!(left, (0..100).collect::<Vec<_>>());
    }
}

/// Receivers with all kinds of deadlines: each value arrives once.
#[trio::test(autojump, schedules = 200)]
async fn nothing_is_lost_to_a_timeout() {
    let (sender, receiver) = open_memory_channel(0);
    let got = RefCell::new(Vec::new());
    trio::nursery! { |n|
        let (got, receiver) = (&got, &receiver);
        for patience in 1..=5 {
            n.start_daemon(async move {
                while !meets_cancellation().await {
                    let received = trio::move_on_after(secs(patience), receiver.receive()).await;
                    got.borrow_mut().extend(received.and_then(Result::ok));
                }
            });
        }
        for value in 0..60 {
            trio::sleep(secs(value % 4)).await;
            sender.send(value).await.unwrap();
        }
    }
    let mut got = got.into_inner();
    got.sort_unstable();
    assert_eq!(got, (0..60).collect::<Vec<_>>());
}
