//! Values that are waited for: no change is missed.

use std::cell::Cell;

use futures::FutureExt;
use futures::future::{Either, join_all, select};
use trio::{AsyncValue, CancelScope};

use crate::support::{Log, settle, yields};

#[trio::test(schedules = 200)]
async fn a_value_is_seen_though_the_next_comes_at_once() {
    let (value, log) = (AsyncValue::new(0), Log::new());
    let wanted = Cell::new(3);
    trio::nursery! { |n|
        n.start_soon(async {
            // The predicate may borrow.
            log.say(format!("got {}", value.wait_value(|value| *value == wanted.get()).await));
        });
        n.start_soon(async {
            let (new, old) = value.wait_transition(|new, old| new < old).await;
            log.say(format!("{old} to {new}"));
        });
        settle().await;
        value.set(2);
        settle().await;
        assert!(log.lines().is_empty());
        value.set(3);
        value.set(1);
        value.set(7);
    }
    assert_eq!(log.sorted(), ["3 to 1", "got 3"]);
    assert_eq!(value.get(), 7);
}

#[trio::test(schedules = 200)]
async fn all_transitions_come_in_order() {
    let value = AsyncValue::new(0);
    trio::nursery! { |n|
        for _ in 0..3 {
            let mut transitions = value.transitions();
            n.start_soon(async move {
                for expected in 1..=20 {
                    assert_eq!(transitions.next().await, (expected, expected - 1));
                }
            });
        }
        for new in 1..=20 {
            value.set(new);
            value.set(new);
            if new % 3 == 0 {
                trio::checkpoint().await;
            }
        }
    }
}

#[trio::test(schedules = 200, checkpoint_budget = 1)]
async fn a_value_that_is_there_need_not_be_waited_for() {
    let value = AsyncValue::new(String::from("a"));
    assert!(yields(value.wait_value(|value| value == "a")).await, "a checkpoint all the same");
    assert_eq!(value.with(String::len), 1);
    value.update(|value| value.push('b'));
    assert_eq!(value.get(), "ab");
    let mut transitions = value.transitions();
    value.set("c".into());
    assert_eq!(format!("{transitions:?}"), "Transitions { pending: true }");
    assert!(yields(transitions.next()).await);
    assert_eq!(format!("{transitions:?}"), "Transitions { pending: false }");
    assert_eq!(format!("{value:?}"), "AsyncValue { value: \"c\", waiting: 0 }");
}

#[trio::test(schedules = 200)]
async fn what_came_before_the_cancellation_counts() {
    let value = AsyncValue::new(0);
    let (early, late) = (CancelScope::new(), CancelScope::new());
    let handles = (early.handle(), late.handle());
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(early.run(value.wait_value(|value| *value == 2)).await, None) });
        n.start_soon(async { assert_eq!(late.run(value.wait_value(|value| *value == 2)).await, Some(2)) });
        settle().await;
        assert_eq!(value.statistics().tasks_waiting, 2);
        value.set(1);
        handles.0.cancel();
        value.set(2);
        handles.1.cancel();
        value.set(3);
    }
    assert_eq!(value.statistics().tasks_waiting, 0);
}

#[trio::test(schedules = 200)]
async fn a_cancelled_next_skips_nothing() {
    let value = AsyncValue::new(0);
    let mut transitions = value.transitions();
    assert!((transitions.next()).now_or_never().is_none());
    value.set(1);
    value.set(2);
    let ended = trio::cancel_scope! { |scope|
        scope.cancel();
        transitions.next().await
    };
    assert_eq!(ended, None);
    assert_eq!(transitions.next().await, (1, 0));
    assert_eq!(transitions.next().await, (2, 1));
}

#[trio::test(schedules = 200)]
async fn waits_in_a_foreign_combinator() {
    let value = AsyncValue::new(0);
    trio::nursery! { |n|
        n.start_soon(async {
            let got = join_all([1, 2, 3].map(|wanted| value.wait_value(move |value| *value == wanted))).await;
            assert_eq!(got, [1, 2, 3]);
        });
        n.start_soon(async {
            let never = Box::pin(value.wait_value(|value| *value == 9));
            let third = Box::pin(value.wait_value(|value| *value == 3));
            assert!(matches!(select(never, third).await, Either::Right((3, _))));
        });
        settle().await;
        for new in 1..=3 {
            value.set(new);
        }
    }
    assert_eq!(value.statistics().tasks_waiting, 0);
}

#[trio::test]
async fn a_long_history_that_nobody_wants_is_dropped() {
    let value = AsyncValue::new(0);
    let transitions = value.transitions();
    for new in 1..300_000 {
        value.set(new);
    }
    drop(transitions);
    assert_eq!(value.get(), 299_999);
}
