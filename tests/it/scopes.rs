//! Cancel scopes that nobody has a handle of: they get a node and a timer late, which nobody may notice.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures::future::{FutureExt, poll_fn};
use futures::stream::{FuturesUnordered, StreamExt};
use trio::lowlevel::current_statistics;
use trio::testing::MockClock;
use trio::{CancelScope, EffectiveDeadline, current_effective_deadline, current_time, move_on_after, move_on_at};

const SECOND: Duration = Duration::from_secs(1);

/// The time until the deadline that reaches the caller.
fn time_left() -> Option<Duration> {
    match current_effective_deadline() {
        EffectiveDeadline::At(deadline) => Some(deadline - current_time()),
        _ => None,
    }
}

#[trio::test]
async fn what_is_ready_at_once_leaves_nothing() {
    let before = current_statistics();
    for _ in 0..100 {
        assert_eq!(move_on_after(SECOND, async { 7 }).await, Some(7));
        assert_eq!(CancelScope::new().run(async { 8 }).await, Some(8));
    }
    let after = current_statistics();
    assert_eq!((after.nodes, after.timers), (before.nodes, before.timers));
}

#[trio::test(autojump)]
async fn what_has_parked_and_ended_leaves_nothing() {
    let before = current_statistics();
    for _ in 0..100 {
        move_on_after(SECOND, trio::checkpoint()).await.unwrap();
    }
    trio::nursery! { |n|
        for _ in 0..100 {
            n.start_soon(async { move_on_after(SECOND, trio::checkpoint()).await.unwrap() });
        }
    }
    let after = current_statistics();
    assert_eq!((after.nodes, after.timers), (before.nodes, before.timers));
}

#[trio::test]
async fn nested_scopes_know_their_deadlines_before_they_park(_clock: MockClock) {
    move_on_after(5 * SECOND, async {
        assert_eq!(time_left(), Some(5 * SECOND));
        move_on_after(9 * SECOND, async { assert_eq!(time_left(), Some(5 * SECOND)) }).await;
        move_on_after(2 * SECOND, async {
            assert_eq!(time_left(), Some(2 * SECOND));
            trio::shield(async { assert_eq!(time_left(), None) }).await;
        })
        .await;
        assert_eq!(time_left(), Some(5 * SECOND));
        assert_eq!(current_statistics().timers, 1);
    })
    .await
    .unwrap();
    assert_eq!((time_left(), current_statistics().timers), (None, 0));
}

#[trio::test]
async fn the_time_of_the_first_step_counts(clock: MockClock) {
    let reached = Cell::new(false);
    let outcome = move_on_after(5 * SECOND, async {
        clock.jump(6 * SECOND);
        reached.set(true);
        trio::checkpoint().await;
        unreachable!("the time was up before the checkpoint");
    });
    assert_eq!(outcome.await, None::<()>);
    assert!(reached.get());
}

#[test]
fn the_time_of_the_first_step_counts_on_the_real_clock_too() {
    let outcome = trio::run(move_on_after(SECOND / 2, async {
        std::thread::sleep(SECOND);
        let left = time_left().unwrap_or_default();
        assert!(left < SECOND / 4, "{left:?} are left of a time that was up long ago");
        trio::sleep_forever().await
    }));
    assert!(outcome.is_none());
}

#[test]
fn on_the_real_clock_a_scope_is_up_before_a_sleep_of_its_length_in_it() {
    trio::run(async {
        for _ in 0..20 {
            let time = Duration::from_millis(1);
            assert!(move_on_after(time, trio::sleep(time)).await.is_none());
            let nested = move_on_after(time, async { move_on_after(time, trio::sleep(time)).await });
            assert!(nested.await.is_none(), "the outer one catches");
        }
    });
}

#[trio::test(autojump)]
async fn a_nursery_in_the_first_step_is_in_the_scopes_around_it() {
    let began = current_time();
    let outcome = move_on_after(3 * SECOND, async {
        move_on_after(9 * SECOND, async {
            trio::nursery! { |n|
                n.start_soon(trio::sleep_forever());
            }
        })
        .await
    });
    assert!(outcome.await.is_none());
    assert_eq!(current_time() - began, 3 * SECOND);
}

#[trio::test(autojump)]
async fn a_cancellation_in_the_first_step_is_met_there() {
    let outcome = trio::cancel_scope! { |scope|
        let inner = move_on_after(SECOND, async {
            scope.cancel();
            trio::lowlevel::checkpoint_if_cancelled().await;
        });
        inner.await;
        unreachable!("the outer scope is cancelled");
    };
    assert!(outcome.is_none());
}

#[trio::test(autojump)]
async fn a_panic_in_the_first_step_leaves_all_scopes() {
    let before = current_statistics();
    for asked in [false, true] {
        let inner = move_on_after(SECOND, async {
            if asked {
                assert_eq!(time_left(), Some(SECOND));
            }
            panic!("in the first step");
        });
        let outer = move_on_after(2 * SECOND, async { move_on_after(3 * SECOND, inner).await });
        let panic = AssertUnwindSafe(outer).catch_unwind().await.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"in the first step"));
        assert_eq!(time_left(), None);
        let after = current_statistics();
        assert_eq!((after.nodes, after.timers), (before.nodes, before.timers));
    }
    // And whoever comes next is where it belongs.
    assert!(move_on_after(SECOND, trio::sleep_forever()).await.is_none());
}

#[trio::test(autojump)]
async fn a_scope_dropped_or_forgotten_after_its_first_step_is_no_more() {
    let before = current_statistics();
    {
        let mut dropped = pin!(move_on_after(SECOND, trio::sleep_forever()));
        poll_fn(|context| {
            assert!(dropped.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    let after = current_statistics();
    assert_eq!((after.nodes, after.timers), (before.nodes, before.timers));
    let mut forgotten = Box::pin(move_on_after(SECOND, trio::sleep_forever()));
    poll_fn(|context| {
        assert!(forgotten.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    std::mem::forget(forgotten);
    trio::sleep(2 * SECOND).await;
    assert_eq!(time_left(), None);
}

#[trio::test(autojump)]
async fn scopes_polled_with_a_foreign_waker_are_up_in_time() {
    let began = current_time();
    let mut scopes: FuturesUnordered<_> =
        (1..=10).map(|seconds| move_on_after(seconds * SECOND, trio::sleep_forever()).map(move |_| seconds)).collect();
    let mut ended = Vec::new();
    while let Some(seconds) = scopes.next().await {
        assert_eq!(current_time() - began, seconds * SECOND);
        ended.push(seconds);
    }
    assert_eq!(ended, (1..=10).collect::<Vec<_>>());
}

#[trio::test(autojump)]
async fn scopes_entered_in_turn_in_one_step_have_times_of_their_own() {
    let began = current_time();
    let first = move_on_at(began + SECOND, trio::sleep_forever());
    let second = move_on_after(2 * SECOND, trio::sleep_forever());
    let third = move_on_after(3 * SECOND, trio::checkpoint());
    let ends = futures::future::join3(
        first.map(|_| current_time()),
        second.map(|_| current_time()),
        third.map(|_| current_time()),
    );
    assert_eq!(ends.await, (began + SECOND, began + 2 * SECOND, began));
}
