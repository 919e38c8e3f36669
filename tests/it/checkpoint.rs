//! Checkpoints: where a task can be cancelled, and where others get their turn.

use std::cell::Cell;
use std::time::Duration;

use trio::lowlevel::{cancel_shielded_checkpoint, checkpoint_if_cancelled};
use trio::testing::MockClock;

use crate::support::{Log, secs, yields};

// trio: _core/_tests/test_run.py::test_cancel_points
#[test]
fn each_kind_of_checkpoint_is_a_cancel_point_or_is_not() {
    let passed = Cell::new(0);
    let pass = || passed.set(passed.get() + 1);

    let ended = trio::run(async {
        trio::cancel_scope! { |scope|
            checkpoint_if_cancelled().await;
            pass();
            scope.cancel();
            checkpoint_if_cancelled().await;
            pass();
        }
    });
    assert_eq!((ended, passed.take()), (None, 1));

    let ended = trio::run(async {
        trio::cancel_scope! { |scope|
            trio::checkpoint().await;
            pass();
            scope.cancel();
            trio::checkpoint().await;
            pass();
        }
    });
    assert_eq!((ended, passed.take()), (None, 1));

    let ended = trio::run(async {
        trio::cancel_scope! { |scope|
            scope.cancel();
            pass();
            trio::sleep(secs(100_000)).await;
            pass();
        }
    });
    assert_eq!((ended, passed.take()), (None, 1));

    let ended = trio::run(async {
        trio::cancel_scope! { |scope|
            scope.cancel();
            cancel_shielded_checkpoint().await;
            pass();
            cancel_shielded_checkpoint().await;
            pass();
            trio::checkpoint().await;
            pass();
        }
    });
    assert_eq!((ended, passed.take()), (None, 2));
}

// trio: _core/_tests/test_run.py::test_yield_briefly_checks_for_timeout
#[trio::test]
async fn the_very_next_checkpoint_after_a_deadline_is_cancelled(clock: MockClock) {
    let passed = Cell::new(0);
    let ended = trio::move_on_after!(secs(5), {
        trio::checkpoint().await;
        passed.set(1);
        clock.jump(secs(10));
        trio::checkpoint().await;
        passed.set(2);
    });
    assert_eq!((ended, passed.get()), (None, 1));
}

#[trio::test]
async fn which_checkpoints_yield() {
    assert!(yields(trio::checkpoint()).await);
    assert!(yields(cancel_shielded_checkpoint()).await);
    assert!(yields(trio::sleep(Duration::ZERO)).await);
    assert!(!yields(checkpoint_if_cancelled()).await);
}

#[trio::test(schedules = 20)]
async fn a_checkpoint_lets_every_other_task_take_one_step() {
    async fn step(log: &Log, name: &'static str) {
        log.say(name);
        trio::checkpoint().await;
        log.say(name);
    }
    let log = Log::new();
    trio::nursery! { |n|
        n.start_soon(step(&log, "a"));
        n.start_soon(step(&log, "b"));
        n.start_soon(step(&log, "c"));
        trio::checkpoint().await;
        log.say("body");
    }
    // Each pass is one step of each.
    let mut lines = log.lines();
    lines[..4].sort();
    lines[4..].sort();
    assert_eq!(lines, ["a", "b", "body", "c", "a", "b", "c"]);
}
