//! Waiting until everybody waits.

use std::time::Duration;

use trio::testing::{MockClock, wait_all_tasks_blocked};

use crate::support::{Log, in_groups, secs, settle};

async fn wait(log: &Log, cushion: u64, name: &str) {
    wait_all_tasks_blocked(Duration::from_millis(cushion)).await;
    log.say(name);
}

// trio: _tests/test_testing.py::test_wait_all_tasks_blocked
#[trio::test(schedules = 50)]
async fn it_waits_for_those_who_are_busy() {
    let log = Log::new();
    trio::nursery! { |n|
        n.start_soon(async {
            for _ in 0..10 {
                trio::checkpoint().await;
            }
            log.say("busy bee exhausted");
        });
        n.start_soon(wait(&log, 0, "quiet at last!"));
        n.start_soon(wait(&log, 0, "quiet at last!"));
    }
    assert_eq!(log.lines(), ["busy bee exhausted", "quiet at last!", "quiet at last!"]);

    let went_on = trio::nursery! { |n, scope|
        n.start_soon(async {
            let _guard = log.guard("wait");
            settle().await;
            log.say("never");
        });
        scope.cancel();
        settle().await;
    };
    assert!(went_on.is_none());
    assert_eq!(log.lines(), ["wait dropped"]);
}

// trio: _tests/test_testing.py::test_wait_all_tasks_blocked_with_timeouts
#[trio::test(schedules = 50)]
async fn a_task_that_sleeps_is_blocked_until_its_time_comes(clock: MockClock) {
    let log = Log::new();
    trio::nursery! { |n|
        n.start_soon(async {
            log.say("start");
            trio::sleep(secs(5)).await;
            log.say("finished");
        });
        settle().await;
        assert_eq!(log.lines(), ["start"]);
        clock.jump(secs(10));
        settle().await;
        assert_eq!(log.lines(), ["finished"]);
    }
}

// trio: _tests/test_testing.py::test_wait_all_tasks_blocked_with_cushion
#[trio::test]
async fn the_cushion_is_for_how_long_all_must_be_blocked() {
    let log = Log::new();
    trio::nursery! { |n|
        n.start_soon(async {
            log.say("blink start");
            for _ in 0..3 {
                trio::sleep(Duration::from_millis(40)).await;
            }
            log.say("blink end");
        });
        n.start_soon(wait(&log, 0, "none"));
        n.start_soon(wait(&log, 80, "small 1"));
        n.start_soon(wait(&log, 80, "small 2"));
        n.start_soon(wait(&log, 120, "big"));
    }
    let order: &[&[&str]] = &[&["blink start"], &["none"], &["blink end"], &["small 1", "small 2"], &["big"]];
    let lines = log.lines();
    assert!(in_groups(&lines, order), "{lines:?}");
}

// trio: _core/_tests/test_tutil.py::test_check_sequence_matches
#[test]
fn a_sequence_is_in_groups_if_only_the_order_within_them_differs() {
    assert!(in_groups(&["1", "2", "3"], &[&["1"], &["2"], &["3"]]));
    assert!(!in_groups(&["1", "3", "2"], &[&["1"], &["2"], &["3"]]));
    let groups: &[&[&str]] = &[&["1"], &["2", "3"], &["4"]];
    assert!(in_groups(&["1", "2", "3", "4"], groups));
    assert!(in_groups(&["1", "3", "2", "4"], groups));
    assert!(!in_groups(&["1", "2", "4", "3"], groups));
    assert!(!in_groups(&["1", "2", "3"], groups));
    assert!(!in_groups(&["1", "2", "3", "4", "4"], groups));
}
