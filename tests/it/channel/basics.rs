//! What a channel does when nothing goes wrong.

use std::cell::RefCell;

use trio::{EndOfChannel, TryReceiveError, TrySendError, open_memory_channel};

use super::{numbers, receive_all, send_all, sorted};
use crate::support::{secs, settle, yields};

// Capacities that are no number, or below 0, do not compile. Nor does a use of an end that is closed: see the
// documentation of the two.
// trio: _tests/test_channel.py::test_channel
#[trio::test(autojump, schedules = 200, checkpoint_budget = 1)]
async fn values_come_out_in_the_order_in_which_they_went_in() {
    let (sender, receiver) = open_memory_channel(2);
    sender.try_send(1).unwrap();
    assert!(yields(sender.send(2)).await, "sending is a checkpoint, even with room");
    assert_eq!(sender.try_send(3), Err(TrySendError::WouldBlock(3)));

    let mut first = None;
    assert!(yields(async { first = Some(receiver.receive().await) }).await, "and so is receiving");
    assert_eq!(first, Some(Ok(1)));
    assert_eq!(receiver.try_receive(), Ok(2));
    assert_eq!(receiver.try_receive(), Err(TryReceiveError::WouldBlock));

    sender.send(4).await.unwrap();
    sender.close();
    assert_eq!(receiver.receive().await, Ok(4), "what was sent before stays");
    assert_eq!(receiver.receive().await, Err(EndOfChannel));
    assert_eq!(receiver.receive().await, Err(EndOfChannel), "for good");
    receiver.close();
}

// trio: _tests/test_channel.py::test_inf_capacity
#[trio::test(schedules = 200)]
async fn an_unbounded_channel_never_makes_a_sender_wait() {
    let (sender, receiver) = open_memory_channel(usize::MAX);
    for value in 0..10 {
        sender.try_send(value).unwrap();
    }
    drop(sender);
    let got = RefCell::default();
    receive_all(&receiver, &got).await;
    assert_eq!(got.into_inner(), numbers(10));
}

// trio: _tests/test_channel.py::test_channel_multiple_producers
#[trio::test(autojump, schedules = 200)]
async fn a_channel_ends_when_the_last_of_many_senders_is_closed() {
    let (sender, receiver) = open_memory_channel(0);
    let got = RefCell::default();
    trio::nursery! { |n|
        for part in 0..10 {
            n.start_soon(send_all(sender.clone(), part * 3..part * 3 + 3));
        }
        drop(sender);
        receive_all(&receiver, &got).await;
    }
    assert_eq!(sorted(got), numbers(30));
}

// trio: _tests/test_channel.py::test_channel_multiple_consumers
#[trio::test(autojump, schedules = 200)]
async fn many_tasks_can_share_one_receiver() {
    let (sender, receiver) = open_memory_channel(1);
    let got: [RefCell<Vec<u32>>; 5] = Default::default();
    trio::nursery! { |n|
        for got in &got {
            n.start_soon(receive_all(&receiver, got));
        }
        settle().await;
        send_all(sender, 0..10).await;
    }
    assert!(got.iter().all(|got| !got.borrow().is_empty()), "each has had its turn: {got:?}");
    let all = got.into_iter().flat_map(RefCell::into_inner).collect();
    assert_eq!(sorted(RefCell::new(all)), numbers(10));
}

// trio: _tests/test_channel.py::test_553
#[trio::test(autojump, schedules = 200)]
async fn a_receive_that_timed_out_leaves_nothing_behind() {
    let (sender, receiver) = open_memory_channel(1);
    assert!(trio::move_on_after(secs(10), receiver.receive()).await.is_none());
    assert_eq!(receiver.statistics().tasks_waiting_receive, 0);
    sender.send("x").await.unwrap();
    assert_eq!(receiver.try_receive(), Ok("x"));
}

/// In a rendezvous a sender goes on when its value has been taken, and not before.
#[trio::test(autojump, schedules = 200)]
async fn at_capacity_0_the_two_sides_meet() {
    let (sender, receiver) = open_memory_channel(0);
    assert_eq!(sender.try_send(0), Err(TrySendError::WouldBlock(0)));
    let sent_at = trio::nursery! { |n|
        let sent_at = n.spawn(async {
            sender.send(1).await.unwrap();
            trio::current_time()
        });
        trio::sleep(secs(3)).await;
        let received_at = trio::current_time();
        assert_eq!(receiver.receive().await, Ok(1));
        assert_eq!(sent_at.join().await.unwrap(), received_at);
        received_at
    };
    assert_eq!(sent_at, trio::current_time());
    assert_eq!(receiver.statistics().peak_buffer_used, 0, "no value was ever in between");
}

#[test]
fn values_that_are_not_debug_can_be_sent_and_errors_still_be_shown() {
    struct Opaque;
    let (sender, receiver) = open_memory_channel(1);
    sender.try_send(Opaque).unwrap();
    let full = sender.try_send(Opaque).unwrap_err();
    assert_eq!((format!("{full}"), format!("{full:?}")), ("the channel is full".into(), "WouldBlock(..)".into()));
    let nothing = open_memory_channel::<Opaque>(1).1.try_receive().err().unwrap();
    assert_eq!(nothing.to_string(), "the channel is empty");
    receiver.close();
    let broken = sender.try_send(full.into_inner()).unwrap_err();
    let broken: Box<dyn std::error::Error> = Box::new(broken);
    assert_eq!(broken.to_string(), "every receiver of the channel is closed");
}
