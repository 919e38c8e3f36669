//! Deadlines and timeouts.

use std::cell::Cell;
use std::time::{Duration, Instant};

use trio::testing::MockClock;
use trio::{CancelScope, EffectiveDeadline, TooSlowError, current_effective_deadline};

use crate::support::{Log, meets_cancellation, secs, settle, yield_shielded, yields};

/// The most that a wait of one real second may take: only a machine that stands still takes so long.
const PATIENCE: Duration = secs(30);

// That a deadline is no number, or a timeout negative, can't be said with `Instant` and `Duration`.
// trio: _core/_tests/test_run.py::test_cancel_scope_validation
#[trio::test]
async fn a_scope_has_the_deadline_or_the_timeout_that_was_set_last() {
    let scope = CancelScope::new();
    let handle = scope.handle();
    assert_eq!((handle.deadline(), handle.timeout()), (None, None));
    handle.set_timeout(secs(5));
    assert_eq!((handle.deadline(), handle.timeout()), (None, Some(secs(5))));
    let at = trio::current_time() + secs(100);
    handle.set_deadline(Some(at));
    assert_eq!(handle.deadline(), Some(at));

    for scope in [CancelScope::new().deadline(at).timeout(secs(5)), scope.timeout(secs(5))] {
        assert_eq!(scope.handle().deadline(), None);
        assert_eq!(scope.handle().timeout(), Some(secs(5)));
    }
    let scope = CancelScope::new().timeout(secs(5)).deadline(at);
    assert_eq!(scope.handle().deadline(), Some(at));
}

// trio: _core/_tests/test_run.py::test_basic_timeout
#[trio::test]
async fn a_deadline_counts_while_its_scope_is_active_and_can_be_moved(clock: MockClock) {
    // It has left the scope before the time comes.
    let start = trio::current_time();
    let scope = CancelScope::new();
    let handle = scope.handle();
    assert_eq!(handle.deadline(), None);
    let value = scope.run(async {
        assert_eq!(handle.deadline(), None);
        handle.set_deadline(Some(start + secs(1)));
        assert_eq!(handle.deadline(), Some(start + secs(1)));
    });
    assert_eq!(value.await, Some(()));
    clock.jump(secs(2));
    for _ in 0..3 {
        trio::checkpoint().await;
    }
    assert!(!handle.is_cancelled());

    // The time comes while it is parked.
    let start = trio::current_time();
    let scope = CancelScope::new().deadline(start + secs(1));
    let handle = scope.handle();
    let caught = scope.run(async {
        clock.jump(secs(2));
        trio::sleep_forever().await;
    });
    assert_eq!(caught.await, None);
    assert_eq!(trio::current_time() - start, secs(2));
    assert!(handle.is_cancelled());
    assert!(handle.caught());

    // It is moved: later, then to a time that has passed.
    let start = trio::current_time();
    let scope = CancelScope::new();
    let handle = scope.handle();
    let reached = Cell::new(0);
    let caught = scope.run(async {
        trio::checkpoint().await;
        handle.set_deadline(Some(start + secs(10)));
        clock.jump(secs(5));
        trio::checkpoint().await;
        reached.set(1);
        handle.set_deadline(Some(start + secs(1)));
        yield_shielded().await;
        assert!(meets_cancellation().await);
        assert!(meets_cancellation().await);
        reached.set(2);
        trio::checkpoint().await;
        reached.set(3);
    });
    assert_eq!(caught.await, None);
    assert_eq!(reached.get(), 2);
    assert!(handle.caught());
}

#[trio::test(autojump)]
async fn moving_a_deadline_moves_the_end() {
    let log = Log::timed();
    let scope = CancelScope::new().timeout(secs(1));
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async {
            assert_eq!(scope.run(trio::sleep_forever()).await, None);
            log.say("ended");
        });
        settle().await;
        handle.set_timeout(secs(20));
        trio::sleep(secs(5)).await;
        handle.set_timeout(secs(5));
        trio::sleep(secs(1)).await;
        handle.set_timeout(secs(2));
    }
    assert_eq!(log.lines(), ["ended at 8"]);
}

// trio: _core/_tests/test_run.py::test_current_effective_deadline
#[trio::test]
async fn the_effective_deadline_is_the_earliest_that_no_shield_hides(clock: MockClock) {
    clock.jump(secs(1));
    let at = |seconds| EffectiveDeadline::At(trio::current_time() + secs(seconds));
    let ends_at = |seconds| Some(trio::current_time() + secs(seconds));
    let check = |expected| assert_eq!(current_effective_deadline(), expected);

    check(EffectiveDeadline::Never);
    let outer = CancelScope::new().timeout(secs(5));
    let scope1 = outer.handle();
    let ended = outer.run(async {
        check(at(5));
        let inner = CancelScope::new().timeout(secs(10));
        let scope2 = inner.handle();
        let ended = inner.run(async {
            check(at(5));
            scope2.set_deadline(ends_at(3));
            check(at(3));
            scope2.set_deadline(ends_at(10));
            check(at(5));
            scope2.set_shield(true);
            check(at(10));
            scope2.set_shield(false);
            check(at(5));
            scope1.cancel();
            check(EffectiveDeadline::Cancelled);
            scope2.set_shield(true);
            check(at(10));
        });
        assert_eq!(ended.await, Some(()));
        check(EffectiveDeadline::Cancelled);
    });
    assert_eq!(ended.await, Some(()));
    check(EffectiveDeadline::Never);
}

// trio: _core/_tests/test_run.py::test_cancel_scope_deadline_duplicates
#[trio::test(autojump)]
async fn moving_a_deadline_thousands_of_times_leaves_nothing_behind() {
    let timers = || trio::lowlevel::current_statistics().timers;
    let now = trio::current_time();
    let before = timers();
    let scope = CancelScope::new();
    let handle = scope.handle();
    let value = scope.run(async {
        for _ in 0..2000 {
            handle.set_deadline(Some(now + secs(10_000)));
            handle.set_deadline(Some(now + secs(20_000)));
        }
        assert_eq!(timers(), before + 1);
        trio::sleep(Duration::from_millis(10)).await;
        assert_eq!(timers(), before + 1);
    });
    assert_eq!(value.await, Some(()));
    assert_eq!(timers(), before);
    assert_eq!(trio::current_time() - now, Duration::from_millis(10));
}

/// How long something takes by the clock on the wall.
async fn taken<T>(operation: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let output = operation.await;
    (start.elapsed(), output)
}

#[track_caller]
fn assert_took_a_second(taken: Duration) {
    assert!(taken >= secs(1) && taken < PATIENCE, "it took {taken:?} instead of a second");
}

// trio: _tests/test_timeouts.py::test_sleep
#[trio::test]
async fn a_sleep_takes_its_time() {
    let (time, ()) = taken(trio::sleep(secs(1))).await;
    assert_took_a_second(time);
    let (time, ()) = taken(trio::sleep_until(trio::current_time() + secs(1))).await;
    assert_took_a_second(time);

    // No time is a checkpoint.
    assert!(yields(trio::sleep(Duration::ZERO)).await);
    assert!(yields(trio::sleep_until(trio::current_time())).await);
    let now = trio::current_time();
    let late = trio::move_on_at(now, trio::sleep(Duration::ZERO));
    assert_eq!(late.await, None);
}

// trio: _tests/test_timeouts.py::test_move_on_after
#[trio::test]
async fn move_on_after_moves_on() {
    let (time, value) = taken(trio::move_on_after(secs(1), trio::sleep(secs(100)))).await;
    assert_eq!(value, None);
    assert_took_a_second(time);
}

// trio: _tests/test_timeouts.py::test_fail
#[trio::test]
async fn fail_at_and_fail_after_fail_when_the_time_is_up() {
    let at = trio::current_time() + secs(1);
    let (time, result) = taken(trio::fail_at(at, trio::sleep(secs(100)))).await;
    assert!(matches!(result, Err(TooSlowError { .. })));
    assert_took_a_second(time);
    let (time, result) = taken(trio::fail_after(secs(1), trio::sleep(secs(100)))).await;
    assert!(matches!(result, Err(TooSlowError { .. })));
    assert_took_a_second(time);

    let at = trio::current_time() + secs(100);
    assert_eq!(trio::fail_at(at, trio::sleep(Duration::ZERO)).await, Ok(()));
    let in_time = trio::fail_after(secs(100), trio::sleep(Duration::ZERO));
    assert_eq!(in_time.await, Ok(()));
}

// trio: _tests/test_timeouts.py::test_timeout_deadline_on_entry
#[trio::test]
async fn a_timeout_counts_from_the_entry(clock: MockClock) {
    let scope = CancelScope::new().timeout(secs(5));
    let handle = scope.handle();
    assert_eq!((handle.timeout(), handle.deadline()), (Some(secs(5)), None));
    assert!(!handle.is_shielded());
    handle.set_shield(true);
    assert!(handle.is_shielded());
    clock.jump(secs(3));
    let entered = scope.run(async {
        // The handle is of the scope that was entered.
        assert!(handle.is_shielded());
        let start = trio::current_time();
        assert_eq!(handle.deadline(), Some(start + secs(5)));
        assert_eq!(handle.timeout(), Some(secs(5)));
        handle.set_deadline(Some(start + secs(3)));
        assert_eq!(handle.timeout(), Some(secs(3)));
        handle.set_timeout(secs(4));
        assert_eq!(handle.deadline(), Some(start + secs(4)));
        clock.jump(secs(1));
        assert_eq!(handle.timeout(), Some(secs(3)));
        handle.set_deadline(None);
        assert_eq!((handle.timeout(), handle.deadline()), (None, None));
    });
    // Making the future is not entering the scope.
    clock.jump(secs(3));
    assert_eq!(entered.await, Some(()));
}
