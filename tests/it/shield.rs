//! Shields: what they keep off, and what they don't.

use std::cell::Cell;
use std::time::Instant;

use trio::{CancelScope, TooSlowError};

use crate::support::{Log, forever, meets_cancellation, park, secs, settle};

// trio: _core/_tests/test_run.py::test_cancel_shielding
#[trio::test]
async fn a_shield_keeps_off_what_comes_from_further_out_and_nothing_else() {
    let outer = CancelScope::new();
    let outer_handle = outer.handle();
    let inner = CancelScope::new();
    let inner_handle = inner.handle();
    let reached = Cell::new(false);
    let ended = outer.run(async {
        assert!(!meets_cancellation().await);
        outer_handle.cancel();
        assert!(meets_cancellation().await);
        let ended = inner.run(async {
            assert!(!inner_handle.is_shielded());
            assert!(meets_cancellation().await);
            inner_handle.set_shield(true);
            trio::checkpoint().await;

            let nested = CancelScope::new();
            let nested_handle = nested.handle();
            let caught = nested.run(async {
                trio::checkpoint().await;
                nested_handle.cancel();
                trio::checkpoint().await;
                unreachable!("its own scope is cancelled");
            });
            assert_eq!(caught.await, None);
            trio::checkpoint().await;

            inner_handle.set_shield(false);
            assert!(meets_cancellation().await);
            inner_handle.set_shield(true);
            trio::checkpoint().await;

            inner_handle.cancel();
            assert!(meets_cancellation().await);
            assert!(inner_handle.is_shielded());
            reached.set(true);
            trio::checkpoint().await;
            unreachable!("a scope's own shield does not keep its own cancellation off");
        });
        assert_eq!(ended.await, None);
        // Out of the shield.
        assert!(meets_cancellation().await);
    });
    assert_eq!(ended.await, Some(()));
    assert!(reached.get());
    assert!(inner_handle.caught());
    assert!(!outer_handle.caught());
}

// trio: _core/_tests/test_run.py::test_cancel_shield_abort
#[trio::test(schedules = 20)]
async fn taking_a_shield_away_delivers_what_it_held_back() {
    let log = Log::new();
    let outer = CancelScope::new();
    let outer_handle = outer.handle();
    let shielded = CancelScope::new().shield(true);
    let shield = shielded.handle();
    let ended = outer.run(async {
        outer_handle.cancel();
        shielded
            .run(async {
                trio::nursery! { |n|
                    n.start_soon(park(&log, "child"));
                    settle().await;
                    assert_eq!(log.lines(), ["child"]);
                    // The body waits under a shield of its own.
                    trio::shield!({
                        shield.set_shield(false);
                        settle().await;
                        assert_eq!(log.lines(), ["child dropped"]);
                        log.say("still in the nursery");
                    });
                }
            })
            .await;
        log.say("not reached");
    });
    // The nursery was interrupted, so nothing behind it runs.
    assert_eq!(ended.await, None);
    assert!(outer_handle.caught());
    assert_eq!(log.lines(), ["still in the nursery"]);
}

// Here, a shield around a time limit is what Trio writes as `move_on_after(…, shield=True)`.
// trio: _tests/test_timeouts.py::test_context_shields_from_outer
#[trio::test]
async fn a_shield_around_a_time_limit_can_be_taken_away() {
    let passed = Cell::new(0);
    for fails in [false, true] {
        let outer = CancelScope::new();
        let outer_handle = outer.handle();
        let ended = outer.run(async {
            outer_handle.cancel();
            let inner = CancelScope::new().shield(true);
            let inner_handle = inner.handle();
            let code = async {
                trio::checkpoint().await;
                passed.set(passed.get() + 1);
                inner_handle.set_shield(false);
                trio::checkpoint().await;
                unreachable!("the shield is gone");
            };
            if fails {
                // No time was up, so nothing is too slow: the outer scope ends it all.
                let result = inner.run(trio::fail_after(secs(10), code)).await;
                unreachable!("{result:?}");
            } else {
                let result = inner.timeout(secs(10)).run(code).await;
                unreachable!("{result:?}");
            }
        });
        assert_eq!(ended.await, None::<()>);
        assert!(outer_handle.caught());
    }
    assert_eq!(passed.get(), 2);
}

/// Runs something in a scope that is cancelled, on the real clock.
async fn in_a_cancelled_scope<T>(code: impl Future<Output = T>) -> Option<T> {
    let start = Instant::now();
    let outer = CancelScope::new();
    let outer_handle = outer.handle();
    let ended = outer
        .run(async {
            outer_handle.cancel();
            code.await
        })
        .await;
    assert!(outer_handle.is_cancelled());
    let taken = start.elapsed();
    assert!(taken >= secs(1) && taken < secs(30), "it took {taken:?} instead of a second");
    ended
}

// trio: _tests/test_timeouts.py::test_move_on_after_moves_on_even_if_shielded
#[trio::test]
async fn a_shielded_time_limit_is_not_ended_by_an_outer_cancellation_but_by_its_time() {
    let scope = CancelScope::new().timeout(secs(1)).shield(true);
    let handle = scope.handle();
    let ended = in_a_cancelled_scope(scope.run(forever())).await;
    assert_eq!(ended, Some(None));
    assert!(handle.caught());
}

// trio: _tests/test_timeouts.py::test_fail_after_fails_even_if_shielded
#[trio::test]
async fn a_shielded_time_limit_fails_out_through_a_cancelled_scope() {
    let limit = trio::shield(trio::fail_after(secs(1), forever()));
    let ended = in_a_cancelled_scope(limit).await;
    assert!(matches!(ended, Some(Err(TooSlowError { .. }))));
}
