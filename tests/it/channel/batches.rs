//! `drain`: all that can be had without waiting. With `receive` before it, it is what Trio's `UnboundedQueue` was.

use trio::{MemoryReceiver, open_memory_channel};

use crate::support::{Log, settle, yields};

/// What `UnboundedQueue.get_batch` gives: waits for one value, and takes what is there beside it.
async fn batch(receiver: &MemoryReceiver<u32>) -> Vec<u32> {
    let mut batch: Vec<u32> = receiver.receive().await.into_iter().collect();
    batch.extend(receiver.drain());
    batch
}

// trio: _core/_tests/test_unbounded_queue.py::test_UnboundedQueue_basic
#[trio::test(schedules = 200)]
async fn a_batch_is_all_that_is_there() {
    let (sender, receiver) = open_memory_channel(usize::MAX);
    for value in 1..=3 {
        sender.try_send(value).unwrap();
    }
    assert_eq!(receiver.statistics().current_buffer_used, 3);
    assert_eq!(batch(&receiver).await, [1, 2, 3]);
    assert_eq!(receiver.statistics().current_buffer_used, 0);
    assert!(receiver.drain().is_empty());
    sender.try_send(4).unwrap();
    assert_eq!(receiver.drain(), [4]);
    sender.close();
    assert!(receiver.drain().is_empty());
}

// trio: _core/_tests/test_unbounded_queue.py::test_UnboundedQueue_blocking
#[trio::test(autojump, schedules = 200)]
async fn what_comes_before_a_woken_receiver_runs_is_in_its_batch() {
    let (sender, receiver) = open_memory_channel(usize::MAX);
    let log = Log::new();
    trio::nursery! { |n|
        n.start_soon(async {
            for _ in 0..2 {
                log.say(format!("{:?}", batch(&receiver).await));
            }
        });
        settle().await;
        assert_eq!(receiver.statistics().tasks_waiting_receive, 1);
        sender.try_send(10).unwrap();
        sender.try_send(11).unwrap();
        settle().await;
        sender.try_send(12).unwrap();
    }
    assert_eq!(log.lines(), ["[10, 11]", "[12]"]);
}

// trio: _core/_tests/test_unbounded_queue.py::test_UnboundedQueue_fairness
#[trio::test(schedules = 200)]
async fn a_drain_takes_nothing_from_those_who_wait() {
    let (sender, receiver) = open_memory_channel(usize::MAX);
    let log = Log::new();
    let read = async |name: &str| {
        while let Ok(value) = receiver.receive().await {
            log.say(format!("{name}{value}"));
        }
    };
    trio::nursery! { |n|
        n.start_soon(read("a"));
        settle().await;
        sender.try_send(0).unwrap();
        assert!(receiver.drain().is_empty(), "it belongs to the one that waits");
        settle().await;
        n.start_soon(read("b"));
        settle().await;
        for value in 1..=20 {
            sender.try_send(value).unwrap();
            settle().await;
        }
        sender.close();
    }
    // The first went to `a`, which was alone, and still waits longest after it; from then on they alternate.
    let name = |value| if value == 0 || value % 2 == 1 { "a" } else { "b" };
    let expected: Vec<String> = (0..=20).map(|value| format!("{}{value}", name(value))).collect();
    assert_eq!(log.lines(), expected);
}

// trio: _core/_tests/test_unbounded_queue.py::test_UnboundedQueue_trivial_yields
#[trio::test(schedules = 200, checkpoint_budget = 1)]
async fn a_batch_is_a_checkpoint_even_if_it_is_there() {
    let (sender, receiver) = open_memory_channel(usize::MAX);
    sender.try_send(1).unwrap();
    assert!(yields(batch(&receiver)).await);
}

#[trio::test(schedules = 200)]
async fn a_drain_empties_the_senders_that_wait_in_their_order() {
    for capacity in [0, 2] {
        let (sender, receiver) = open_memory_channel(capacity);
        trio::nursery! { |n|
            for value in 0..5 {
                let sender = sender.clone();
                n.start_soon(async move { sender.send(value).await.unwrap() });
                settle().await;
            }
            assert_eq!(receiver.drain(), [0, 1, 2, 3, 4]);
        }
        assert_eq!(receiver.statistics().tasks_waiting_send, 0);
        assert!(receiver.drain().is_empty());
    }
}
