//! No value is lost or doubled, whatever is cancelled or dropped between a send and its receive. The values count
//! their own drops.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::select;
use trio::{CancelScope, MemoryReceiver, MemorySender, TryReceiveError, open_memory_channel};

use crate::support::{secs, settle};

/// Where each value has ended.
#[derive(Default)]
struct Ledger(RefCell<BTreeMap<u32, &'static str>>);

impl Ledger {
    fn note(&self, number: u32, end: &'static str) {
        let before = self.0.borrow_mut().insert(number, end);
        assert_eq!(before, None, "{number} came twice");
    }

    fn count(&self, end: &str) -> usize {
        self.0.borrow().values().filter(|other| **other == end).count()
    }
}

/// A value that tells the ledger if it is dropped without having been received.
struct Parcel {
    number: u32,
    ledger: Option<Rc<Ledger>>,
}

impl Parcel {
    fn new(number: u32, ledger: &Rc<Ledger>) -> Self {
        Self { number, ledger: Some(Rc::clone(ledger)) }
    }

    fn received(mut self) {
        if let Some(ledger) = self.ledger.take() {
            ledger.note(self.number, "received");
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if let Some(ledger) = self.ledger.take() {
            ledger.note(self.number, "dropped");
        }
    }
}

/// Senders and receivers that lose their patience at all kinds of times: each value is received once, or its `send`
/// was cancelled.
#[trio::test(autojump, schedules = 200)]
async fn a_value_is_received_or_its_send_was_cancelled() {
    const EACH: u32 = 12;
    for capacity in [0, 2] {
        let ledger = Rc::new(Ledger::default());
        let sent = Cell::new(0);
        let (sender, receiver) = open_memory_channel(capacity);
        let send = async |part: u32, sender: MemorySender<Parcel>| {
            for turn in 0..EACH {
                let parcel = Parcel::new(part * EACH + turn, &ledger);
                let patience = Duration::from_millis(u64::from((part + turn) % 4) * 500);
                let outcome = trio::move_on_after(patience, sender.send(parcel)).await;
                sent.set(sent.get() + usize::from(outcome.is_some_and(|sent| sent.is_ok())));
                trio::sleep(secs(u64::from(turn % 2))).await;
            }
        };
        let receive = async |part: u64, receiver: MemoryReceiver<Parcel>| {
            loop {
                let patience = Duration::from_millis(part * 300);
                match trio::move_on_after(patience, receiver.receive()).await {
                    Some(Ok(parcel)) => parcel.received(),
                    Some(Err(_)) => return,
                    None => trio::sleep(Duration::from_millis(500)).await,
                }
            }
        };
        trio::nursery! { |n|
            for part in 0..3 {
                n.start_soon(send(part, sender.clone()));
                n.start_soon(receive(u64::from(part) + 1, receiver.clone()));
            }
            drop((sender, receiver));
        }
        assert_eq!(ledger.0.borrow().len() as u32, 3 * EACH, "every value has ended somewhere");
        assert_eq!(ledger.count("received"), sent.get(), "what was sent was received, and nothing else");
    }
}

/// The same, but it is foreign code that drops the waits, granted or not.
#[trio::test(autojump, schedules = 200)]
async fn nothing_is_lost_when_a_combinator_drops_a_wait() {
    for capacity in [0, 1, 3] {
        let ledger = Rc::new(Ledger::default());
        let (sender, receiver) = open_memory_channel(capacity);
        let receive = async |receiver: MemoryReceiver<Parcel>| {
            loop {
                let waits = (pin!(receiver.receive()), pin!(receiver.receive()));
                match select(waits.0, waits.1).await.factor_first().0 {
                    Ok(parcel) => parcel.received(),
                    Err(_) => return,
                }
            }
        };
        trio::nursery! { |n|
            for part in 0..3 {
                let (sender, ledger) = (sender.clone(), &ledger);
                n.start_soon(async move {
                    for turn in 0..10 {
                        assert!(sender.send(Parcel::new(part * 10 + turn, ledger)).await.is_ok());
                    }
                });
            }
            n.start_soon(receive(receiver.clone()));
            n.start_soon(receive(receiver.clone()));
            drop(sender);
        }
        // A wait that was dropped after the last receiver had looked leaves its value in the buffer.
        while let Ok(parcel) = receiver.try_receive() {
            parcel.received();
        }
        assert_eq!(ledger.count("received"), 30);
    }
}

/// Granted, then cancelled: the grant stands.
#[trio::test(schedules = 200)]
async fn a_send_that_was_taken_before_the_cancellation_is_sent() {
    let (sender, receiver) = open_memory_channel(0);
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async {
            assert_eq!(scope.run(sender.send("in time")).await, Some(Ok(())));
            assert!(handle.is_cancelled() && !handle.caught());
        });
        settle().await;
        assert_eq!(receiver.try_receive(), Ok("in time"));
        handle.cancel();
    }
}

/// Cancelled, then a hand-over in the same step: whoever is cancelled is passed over on both sides.
#[trio::test(schedules = 200)]
async fn whoever_is_cancelled_is_passed_over() {
    let (sender, receiver) = open_memory_channel(0);
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(scope.run(sender.send("late")).await, None) });
        settle().await;
        n.start_soon(async { sender.send("next").await.unwrap() });
        settle().await;
        handle.cancel();
        assert_eq!(receiver.try_receive(), Ok("next"));
        assert_eq!(receiver.try_receive(), Err(TryReceiveError::WouldBlock));
    }
}

/// A cancellation has whoever it finds parked, as in Trio: a shield that is raised afterwards brings nobody back into
/// the queue.
#[trio::test(schedules = 200)]
async fn a_shield_that_comes_after_the_cancellation_is_too_late_for_a_receiver() {
    let (sender, receiver) = open_memory_channel(0);
    let (outer, inner) = (CancelScope::new(), CancelScope::new());
    let (cancel, shield) = (outer.handle(), inner.handle());
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(outer.run(inner.run(receiver.receive())).await, None) });
        settle().await;
        cancel.cancel();
        shield.set_shield(true);
        assert!(sender.try_send(1).is_err(), "nobody waits any more");
    }
    assert!(cancel.caught());
}

/// A value that comes back to a channel without room has a place there all the same, and senders wait for theirs.
#[trio::test(schedules = 200)]
async fn a_value_that_is_given_back_comes_first() {
    let (sender, receiver) = open_memory_channel(0);
    let mut given_up = Box::pin(receiver.receive());
    assert!((&mut given_up).now_or_never().is_none());
    sender.try_send(1).unwrap();
    let mut second = Box::pin(sender.send(2));
    assert!((&mut second).now_or_never().is_none());
    drop(given_up);
    assert_eq!((receiver.statistics().current_buffer_used, receiver.statistics().peak_buffer_used), (1, 1));
    assert_eq!(receiver.try_receive(), Ok(1));
    assert_eq!(receiver.statistics().tasks_waiting_send, 1, "at capacity 0 nothing moves into the buffer");
    assert_eq!(receiver.try_receive(), Ok(2));
    assert_eq!(second.await, Ok(()));
}

/// When everything is cancelled, each value is dropped once: in the buffer, in a wait, or by whoever received it.
#[trio::test(schedules = 200)]
async fn every_value_is_dropped_once() {
    let ledger = Rc::new(Ledger::default());
    trio::nursery! { |n, scope|
        let (sender, receiver) = open_memory_channel(2);
        for part in 0..4 {
            let (sender, ledger) = (sender.clone(), &ledger);
            n.start_soon(async move {
                for turn in 0..3 {
                    assert!(sender.send(Parcel::new(part * 3 + turn, ledger)).await.is_ok());
                }
                trio::sleep_forever().await;
            });
        }
        n.start_soon(async move {
            for _ in 0..3 {
                receiver.receive().await.unwrap().received();
            }
            trio::sleep_forever().await;
        });
        settle().await;
        scope.cancel();
    };
    assert_eq!(ledger.count("received"), 3);
    // Three have been received, two were in the buffer, and each of the other senders that had more to send held one.
    let dropped = ledger.count("dropped");
    assert!((2 + 2..=2 + 4).contains(&dropped), "{dropped}");
}
