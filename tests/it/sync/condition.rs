//! Conditions: who is notified, and who gets the lock then.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::join_all;
use trio::{CancelScope, Condition, Lock};

use crate::support::{Log, secs, settle};

async fn wait_and_say(condition: &Condition, log: &Log, name: &str) {
    let guard = condition.lock().await;
    let _guard = condition.wait(guard).await;
    log.say(name);
    trio::checkpoint().await;
}

/// Starts tasks that wait, in this order.
macro_rules! waiters {
    ($n:expr, $condition:expr, $log:expr, $names:expr) => {
        for name in $names {
            $n.start_soon(wait_and_say($condition, $log, name));
            settle().await;
        }
    };
}

#[trio::test(schedules = 200)]
async fn those_who_have_waited_longest_are_notified_first() {
    let (condition, log) = (Condition::new(()), Log::new());
    trio::nursery! { |n|
        waiters!(n, &condition, &log, ["a", "b", "c", "d", "e"]);
        let guard = condition.lock().await;
        condition.notify(1);
        assert!(log.lines().is_empty());
        drop(guard);
        settle().await;
        assert_eq!(log.lines(), ["a"]);
        let guard = condition.lock().await;
        condition.notify(2);
        drop(guard);
        settle().await;
        assert_eq!(log.lines(), ["b", "c"]);
        let guard = condition.lock().await;
        condition.notify_all();
        drop(guard);
    }
    assert_eq!(log.lines(), ["d", "e"]);
    assert!(!condition.is_locked());
}

#[trio::test(schedules = 200)]
async fn the_notified_queue_for_the_lock_in_order() {
    let (condition, log) = (Condition::new(()), Log::new());
    trio::nursery! { |n|
        waiters!(n, &condition, &log, ["a", "b", "c"]);
        let guard = condition.lock().await;
        n.start_soon(async {
            let _guard = condition.lock().await;
            log.say("came before the notification");
        });
        settle().await;
        condition.notify(2);
        n.start_soon(async {
            let _guard = condition.lock().await;
            log.say("came after it");
        });
        settle().await;
        let statistics = condition.statistics();
        assert_eq!((statistics.tasks_waiting, statistics.lock_statistics.tasks_waiting), (1, 4));
        drop(guard);
        settle().await;
        assert_eq!(log.lines(), ["came before the notification", "a", "b", "came after it"]);
        let _guard = condition.lock().await;
        condition.notify(7);
    }
    assert_eq!(log.lines(), ["c"]);
}

#[trio::test(schedules = 200)]
async fn no_notification_is_missed_between_releasing_and_waiting() {
    let turns = Condition::new(0);
    async fn play(turns: &Condition<u32>, own: u32) {
        let mut turn = turns.lock().await;
        while *turn < 20 {
            if *turn % 2 == own {
                *turn += 1;
                turns.notify(1);
            } else {
                turn = turns.wait(turn).await;
            }
        }
        turns.notify_all();
    }
    trio::nursery! { |n|
        n.start_soon(play(&turns, 0));
        n.start_soon(play(&turns, 1));
    }
    assert_eq!(*turns.try_lock().unwrap(), 20);
}

#[trio::test(schedules = 200)]
async fn a_cancelled_wait_leaves_the_queue_and_the_lock() {
    let (condition, log) = (Condition::new(()), Log::new());
    let (scope, early) = (CancelScope::new(), CancelScope::new());
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(scope.run(wait_and_say(&condition, &log, "gone")).await, None) });
        settle().await;
        waiters!(n, &condition, &log, ["next"]);
        assert_eq!(condition.statistics().tasks_waiting, 2);
        let guard = condition.lock().await;
        // In one step: before it could leave by itself.
        handle.cancel();
        condition.notify(1);
        drop(guard);
    }
    assert_eq!(log.lines(), ["next"]);

    let guard = condition.lock().await;
    early.handle().cancel();
    assert!(early.run(condition.wait(guard)).await.is_none());
    assert!(!condition.is_locked());
    assert_eq!(condition.statistics().tasks_waiting, 0);
}

#[trio::test(schedules = 200)]
async fn a_notification_whose_waiter_is_cancelled_goes_to_the_next() {
    let (condition, log) = (Condition::new(()), Log::new());
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(scope.run(wait_and_say(&condition, &log, "gone")).await, None) });
        settle().await;
        waiters!(n, &condition, &log, ["next", "last"]);
        let guard = condition.lock().await;
        condition.notify(1);
        handle.cancel();
        settle().await;
        drop(guard);
        settle().await;
        assert_eq!(log.lines(), ["next"]);
        let _guard = condition.lock().await;
        condition.notify_all();
    }
    assert_eq!(log.lines(), ["last"]);
    assert!(!condition.is_locked());
}

#[trio::test(schedules = 200)]
async fn a_notification_for_all_is_not_passed_on_to_who_comes_later() {
    let (condition, log) = (Condition::new(()), Log::new());
    trio::nursery! { |n|
        let mut given_up = Box::pin(wait_and_say(&condition, &log, "gone"));
        while condition.statistics().tasks_waiting == 0 {
            assert!((&mut given_up).now_or_never().is_none());
        }
        let guard = condition.lock().await;
        condition.notify_all();
        drop(guard);
        waiters!(n, &condition, &log, ["later"]);
        drop(given_up);
        settle().await;
        assert!(log.lines().is_empty());
        let _guard = condition.lock().await;
        condition.notify(1);
    }
    assert_eq!(log.lines(), ["later"]);
}

#[trio::test(schedules = 200)]
async fn a_lock_that_came_before_the_cancellation_is_held() {
    let (condition, log) = (Condition::new(()), Log::new());
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(scope.run(wait_and_say(&condition, &log, "held")).await, None) });
        settle().await;
        let guard = condition.lock().await;
        condition.notify(1);
        drop(guard);
        handle.cancel();
    }
    assert_eq!(log.lines(), ["held"]);
    assert!(!condition.is_locked());
}

#[trio::test(schedules = 200)]
async fn what_a_dropped_wait_was_granted_is_passed_on() {
    let (condition, log) = (Condition::new(()), Log::new());
    trio::nursery! { |n|
        // Dropped with the lock, and dropped with its place in the lock's queue.
        for with_lock in [true, false] {
            let mut given_up = Box::pin(wait_and_say(&condition, &log, "gone"));
            while condition.statistics().tasks_waiting == 0 {
                assert!((&mut given_up).now_or_never().is_none());
            }
            waiters!(n, &condition, &log, ["next"]);
            let guard = condition.lock().await;
            condition.notify(1);
            assert_eq!(condition.statistics().lock_statistics.tasks_waiting, 1);
            if with_lock {
                drop(guard);
                drop(given_up);
            } else {
                drop(given_up);
                assert_eq!(condition.statistics().lock_statistics.tasks_waiting, 1, "the next one");
                drop(guard);
            }
            settle().await;
            assert_eq!(log.lines(), ["next"]);
            assert!(!condition.is_locked());
        }
    }
}

#[trio::test(schedules = 200)]
async fn waits_in_a_foreign_combinator() {
    let (condition, log) = (Condition::new(()), Log::new());
    trio::nursery! { |n|
        n.start_soon(async {
            join_all(["a", "b", "c"].map(|name| wait_and_say(&condition, &log, name))).await;
            log.say("all");
        });
        settle().await;
        for _ in 0..3 {
            let _guard = condition.lock().await;
            condition.notify(1);
        }
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[3], "all");
}

#[trio::test(schedules = 200)]
async fn several_conditions_about_one_lock() {
    let lock = Rc::new(Lock::new(Vec::new()));
    let (not_empty, not_full) = (Condition::with_lock(Rc::clone(&lock)), Condition::with_lock(Rc::clone(&lock)));
    trio::nursery! { |n|
        n.start_soon(async {
            for item in 0..10 {
                let mut items = not_full.lock().await;
                while items.len() == 2 {
                    items = not_full.wait(items).await;
                }
                items.push(item);
                not_empty.notify(1);
            }
        });
        for item in 0..10 {
            let mut items = lock.lock().await;
            while items.is_empty() {
                items = not_empty.wait(items).await;
            }
            assert_eq!(items.remove(0), item);
            not_full.notify(1);
        }
    }
}

#[trio::test(schedules = 200)]
async fn the_statistics_of_a_condition() {
    let (condition, log) = (Condition::default(), Log::new());
    assert_eq!(format!("{condition:?}"), "Condition { lock: Lock { value: (), waiting: 0 }, waiting: 0 }");
    trio::nursery! { |n|
        waiters!(n, &condition, &log, ["a", "b"]);
        let statistics = condition.statistics();
        assert_eq!(statistics.tasks_waiting, 2);
        assert!(!statistics.lock_statistics.locked);
        let _guard = condition.lock().await;
        condition.notify_all();
        let statistics = condition.statistics();
        assert_eq!((statistics.tasks_waiting, statistics.lock_statistics.tasks_waiting), (0, 2));
        assert_eq!(statistics.lock_statistics.owner, Some(trio::lowlevel::current_task()));
    }
    let guard = condition.lock().await;
    assert!(condition.wait(guard).now_or_never().is_none(), "waiting is a checkpoint");
    assert!(!condition.is_locked());
}

#[trio::test]
#[should_panic = "notify needs the condition's lock, which nobody holds"]
async fn notifying_needs_the_lock() {
    Condition::new(()).notify(1);
}

#[trio::test]
#[should_panic = "this guard is of another lock than the condition's"]
async fn waiting_needs_the_right_lock() {
    let (condition, other) = (Condition::new(()), Lock::new(()));
    let guard = other.lock().await;
    drop(condition.wait(guard).await);
}

/// A queue whose consumers give up at all times, also between the notification and the lock: each item arrives once.
#[trio::test(autojump, schedules = 200)]
async fn nothing_is_lost_to_timeouts() {
    async fn put(items: &Condition<VecDeque<u64>>, item: u64) {
        let mut guard = items.lock().await;
        guard.push_back(item);
        items.notify(1);
        trio::sleep(secs(item % 2)).await;
    }
    async fn take(items: &Condition<VecDeque<u64>>) -> u64 {
        let mut guard = items.lock().await;
        loop {
            match guard.pop_front() {
                Some(item) => return item,
                None => guard = items.wait(guard).await,
            }
        }
    }
    const LAST: u64 = 30;
    let (items, taken) = (Condition::new(VecDeque::new()), Cell::new(0));
    trio::nursery! { |n|
        let (items, taken) = (&items, &taken);
        n.start_soon(async move {
            while take(items).await != LAST {
                taken.set(taken.get() + 1);
            }
        });
        trio::nursery! { |impatient|
            for patience in 1..=3 {
                impatient.start_soon(async move {
                    for _ in 0..5 {
                        let got = trio::move_on_after(secs(patience), take(items)).await;
                        taken.set(taken.get() + u64::from(got.is_some()));
                    }
                });
            }
            for item in 0..LAST {
                put(items, item).await;
            }
        }
        settle().await;
        assert_eq!(taken.get(), LAST, "the patient one has been told of all that the others left");
        put(items, LAST).await;
    }
}
