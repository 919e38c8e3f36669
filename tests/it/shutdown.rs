//! Soft cancellation: `CancelHandle::shut_down` and `until_shutdown`.

use std::cell::Cell;
use std::time::Duration;

use trio::testing::wait_all_tasks_blocked;
use trio::{
    CancelHandle, CancelScope, CancelSource, current_time, move_on_after, sleep, sleep_forever, until_shutdown,
};

use crate::support::Log;

const SECOND: Duration = Duration::from_secs(1);

async fn worker(log: &Log, name: &str, seconds: u32) {
    let _guard = log.guard(name);
    sleep(seconds * SECOND).await;
    log.say(format_args!("{name} done"));
}

async fn waiting(log: &Log, name: &str) {
    let outcome = until_shutdown(sleep_forever()).await;
    assert!(outcome.is_none());
    log.say(format_args!("{name} told"));
}

#[trio::test(autojump, schedules = 20)]
async fn what_waits_is_told_and_the_rest_has_its_time() {
    let log = Log::timed();
    let outcome = trio::nursery! { |n, scope|
        n.start_soon(worker(&log, "short", 3));
        n.start_soon(worker(&log, "long", 30));
        n.start_soon(waiting(&log, "waiting"));
        sleep(SECOND).await;
        assert!(!scope.is_shutting_down());
        scope.shut_down(5 * SECOND);
        assert!(scope.is_shutting_down() && !scope.is_cancelled());
    };
    // The block had ended by itself.
    assert_eq!(outcome, Some(()));
    let mut lines = log.lines();
    lines.retain(|line| !line.starts_with("short dropped"));
    assert_eq!(lines, ["waiting told at 1", "short done at 3", "long dropped at 6"]);
}

#[trio::test(autojump)]
async fn who_comes_later_is_told_at_once() {
    let began = current_time();
    let outcome = trio::cancel_scope! { |scope|
        scope.shut_down(10 * SECOND);
        assert!(until_shutdown(sleep_forever()).await.is_none());
        // What need not wait is done all the same.
        assert_eq!(until_shutdown(async { 7 }).await, Some(7));
        assert_eq!(current_time(), began);
        sleep_forever().await
    };
    assert!(outcome.is_none());
    assert_eq!(current_time() - began, 10 * SECOND);
}

#[trio::test(autojump)]
async fn a_second_call_can_only_shorten_the_grace() {
    for (first, second, expected) in [(10, 3, 3), (3, 10, 3)] {
        let began = current_time();
        let ended = trio::cancel_scope! { |scope|
            scope.shut_down(first * SECOND);
            scope.shut_down(second * SECOND);
            sleep_forever().await
        };
        assert!(ended.is_none());
        assert_eq!(current_time() - began, expected * SECOND);
    }
    let began = current_time();
    let scope = CancelScope::new().timeout(2 * SECOND);
    scope.handle().shut_down(10 * SECOND);
    assert!(scope.run(sleep_forever()).await.is_none());
    assert_eq!(current_time() - began, 2 * SECOND, "a deadline that is earlier stays");
}

#[trio::test(autojump)]
async fn a_handle_works_before_the_scope_and_after_it() {
    let scope = CancelScope::new();
    let handle = scope.handle();
    handle.shut_down(5 * SECOND);
    handle.shut_down(9 * SECOND);
    assert!(handle.is_shutting_down());
    sleep(60 * SECOND).await;
    let began = current_time();
    let ended = scope.run(async {
        assert!(handle.is_shutting_down());
        assert!(until_shutdown(sleep_forever()).await.is_none());
        sleep_forever().await
    });
    assert!(ended.await.is_none());
    assert_eq!(current_time() - began, 5 * SECOND, "the grace counts from the entry");
    assert_eq!(handle.reason().unwrap().source(), CancelSource::Deadline);
    assert!(!handle.is_shutting_down());
    handle.shut_down(SECOND);
}

#[trio::test(autojump)]
async fn a_shield_keeps_it_off() {
    let began = current_time();
    let outcome = trio::cancel_scope! { |scope|
        scope.shut_down(SECOND);
        trio::shield(async {
            assert!(until_shutdown(sleep(20 * SECOND)).await.is_some());
        })
        .await;
        trio::checkpoint().await;
        unreachable!("the grace is over");
    };
    assert!(outcome.is_none());
    assert_eq!(current_time() - began, 20 * SECOND);
    // And what is shielded within is finished first.
    let finished = Cell::new(false);
    trio::cancel_scope! { |scope|
        scope.shut_down(60 * SECOND);
        let inner = until_shutdown(trio::shield(async {
            sleep(5 * SECOND).await;
            finished.set(true);
        }));
        inner.await
    };
    assert!(finished.get());
}

#[trio::test(autojump)]
async fn other_scopes_are_not_concerned() {
    let log = Log::timed();
    trio::nursery! { |n|
        let left = n.spawn(async {
            trio::cancel_scope! { |scope|
                sleep(SECOND).await;
                scope.shut_down(SECOND);
                waiting(&log, "left").await;
            }
        });
        let right = until_shutdown(sleep(5 * SECOND)).await;
        assert!(right.is_some());
        assert_eq!(left.join().await.unwrap(), Some(()));
    };
    assert_eq!(log.lines(), ["left told at 1"]);
}

#[trio::test(autojump)]
async fn a_cancellation_goes_through() {
    let outcome = move_on_after(SECOND, async {
        until_shutdown(sleep_forever()).await;
        unreachable!("it was no shutdown");
    });
    assert!(outcome.await.is_none());
}

#[trio::test(autojump)]
async fn it_reaches_deep_into_the_tree_and_leaves_nothing() {
    async fn deep(level: u32, told: &Cell<u32>) {
        if level == 0 {
            assert!(until_shutdown(sleep_forever()).await.is_none());
            told.set(told.get() + 1);
            return;
        }
        trio::nursery! { |n|
            for _ in 0..2 {
                n.start_soon(Box::pin(deep(level - 1, told)));
            }
        };
    }
    async fn stop(scope: CancelHandle) {
        wait_all_tasks_blocked(Duration::ZERO).await;
        scope.shut_down(SECOND);
    }
    let before = trio::lowlevel::current_statistics();
    let told = Cell::new(0);
    let outcome = trio::nursery! { |n, scope|
        n.start_soon(deep(5, &told));
        n.start_soon(stop(scope));
    };
    assert_eq!((outcome, told.get()), (Some(()), 32));
    let after = trio::lowlevel::current_statistics();
    assert_eq!((after.nodes, after.timers), (before.nodes, before.timers));
}
