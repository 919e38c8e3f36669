//! Asserting that something is a checkpoint, or none.

use std::future::{pending, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;

use trio::lowlevel::{cancel_shielded_checkpoint, checkpoint_if_cancelled};
use trio::testing::{assert_checkpoints, assert_no_checkpoints};
use trio::{Builder, Event, Lock, open_memory_channel};

use crate::support::{panic_text, secs};

/// The panic of a test that fails, without the place.
#[track_caller]
fn complaint<T>(test: impl Future<Output = T>) -> String {
    let text = panic_text(|| trio::run(test));
    let (before, after) = text.split_once(" at ").unwrap();
    let (place, after) = after.split_once(": ").unwrap();
    assert!(place.contains(file!()), "{place} is not where the assertion stands");
    format!("{before}: {after}")
}

/// One step of a future, for the other half of a checkpoint.
async fn first_step(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _ = future.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}

// trio: _tests/test_testing.py::test_assert_no_checkpoints
#[test]
fn a_checkpoint_or_half_of_one_is_found_where_none_may_be() {
    trio::run(async {
        assert_eq!(assert_no_checkpoints(ready(42)).await, 42);
        assert_no_checkpoints(async {
            let event = Event::new();
            event.set();
            // A scope that is only entered is no checkpoint, nor is a child that is only started.
            trio::cancel_scope! { |scope| scope.cancel(); };
            trio::move_on_after(secs(1), async {}).await
        })
        .await;
    });
    let says = |what| format!("assert_no_checkpoints: the future executed {what}");
    assert_eq!(complaint(assert_no_checkpoints(trio::checkpoint())), says("a checkpoint"));
    assert_eq!(
        complaint(assert_no_checkpoints(checkpoint_if_cancelled())),
        says("a cancel point, but no schedule point")
    );
    assert_eq!(
        complaint(assert_no_checkpoints(cancel_shielded_checkpoint())),
        says("a schedule point, but no cancel point")
    );
    // It is said at once: this would never end.
    assert_eq!(complaint(assert_no_checkpoints(pending::<()>())), says("a checkpoint"));
}

#[test]
fn half_a_checkpoint_is_not_enough_where_there_must_be_one() {
    let says = |what| format!("assert_checkpoints: the future executed {what}");
    assert_eq!(complaint(assert_checkpoints(ready(()))), says("neither a schedule point nor a cancel point"));
    assert_eq!(complaint(assert_checkpoints(checkpoint_if_cancelled())), says("a cancel point, but no schedule point"));
    assert_eq!(
        complaint(assert_checkpoints(cancel_shielded_checkpoint())),
        says("a schedule point, but no cancel point")
    );
    // The end of a nursery is a schedule point, never a cancel point.
    let nursery = async {
        trio::nursery! { |_n| }
    };
    assert_eq!(complaint(assert_checkpoints(nursery)), says("a schedule point, but no cancel point"));
    trio::run(assert_checkpoints(async {
        checkpoint_if_cancelled().await;
        cancel_shielded_checkpoint().await;
    }));
}

/// With a budget, operations that need not wait complete without a yield, and are checkpoints all the same.
#[test]
fn operations_are_checkpoints_with_any_budget() {
    for budget in [1, 2, 3, 32] {
        Builder::new().checkpoint_budget(budget).run(async {
            let (event, lock) = (Event::new(), Lock::new(()));
            let (sender, receiver) = open_memory_channel(8);
            event.set();
            for _ in 0..4 {
                assert_checkpoints(trio::checkpoint()).await;
                assert_checkpoints(event.wait()).await;
                drop(assert_checkpoints(lock.lock()).await);
                assert_checkpoints(sender.send(1)).await.unwrap();
                assert_eq!(assert_checkpoints(receiver.receive()).await, Ok(1));
                assert_checkpoints(trio::sleep(secs(0))).await;
            }
        });
    }
}

#[trio::test]
async fn what_waits_and_can_be_cancelled_is_a_checkpoint_whoever_made_it() {
    let (sender, mut foreign) = futures::channel::oneshot::channel();
    trio::nursery! { |n|
        n.start_soon(async {
            trio::checkpoint().await;
            sender.send(42).unwrap();
        });
        assert_eq!(assert_checkpoints(&mut foreign).await, Ok(42));
    }
}

/// The counts are the run's: what other tasks do between two steps is not this one's doing.
#[trio::test(schedules = 20)]
async fn what_other_tasks_do_does_not_count() {
    trio::nursery! { |n|
        n.start_soon(async {
            for _ in 0..10 {
                trio::checkpoint().await;
            }
        });
        let watched = async {
            for _ in 0..5 {
                cancel_shielded_checkpoint().await;
            }
        };
        let mut watched = pin!(assert_checkpoints(watched));
        let failed = poll_fn(|context| {
            let poll = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| watched.as_mut().poll(context)));
            match poll {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready(false),
                Err(_) => Poll::Ready(true),
            }
        });
        assert!(failed.await, "no cancel point was executed");
        assert_no_checkpoints(ready(())).await;
        first_step(assert_checkpoints(trio::checkpoint())).await;
    }
}
