//! Clocks. What a `MockClock` shows by itself is tested where it is written.

use std::cell::Cell;
use std::time::{Duration, Instant};

use trio::Builder;
use trio::testing::{MockClock, wait_all_tasks_blocked};

use crate::support::{Log, secs};

// trio: _core/_tests/test_mock_clock.py::test_mock_clock_autojump_interference
#[test]
fn the_threshold_of_another_clock_does_not_matter() {
    let installed = MockClock::new();
    installed.set_autojump_threshold(Some(Duration::from_millis(20)));
    Builder::new().clock(installed.clone()).run(async {
        let other = MockClock::new();
        other.set_autojump_threshold(Some(Duration::from_millis(10)));
        wait_all_tasks_blocked(Duration::from_millis(15)).await;
        assert_eq!(installed.elapsed(), Duration::ZERO);
        // Only the installed clock's own autojump can end this.
        trio::sleep(secs(100_000)).await;
        assert_eq!(installed.elapsed(), secs(100_000));
        assert_eq!(other.elapsed(), Duration::ZERO);
    });
}

async fn yawn(log: &Log) {
    trio::sleep(secs(100)).await;
    log.say("yawn");
}

// trio: _core/_tests/test_mock_clock.py::test_mock_clock_autojump_0_and_wait_all_tasks_blocked_0
#[trio::test(autojump, schedules = 20)]
async fn whoever_waits_for_all_to_be_blocked_goes_on_before_the_clock_jumps() {
    async fn wait(log: &Log) {
        wait_all_tasks_blocked(Duration::ZERO).await;
        log.say("waiter woke");
        trio::sleep(secs(1000)).await;
        log.say("waiter done");
    }
    let log = Log::timed();
    trio::nursery! { |n|
        n.start_soon(yawn(&log));
        n.start_soon(wait(&log));
    }
    assert_eq!(log.lines(), ["waiter woke at 0", "yawn at 100", "waiter done at 1000"]);
}

// trio: _core/_tests/test_mock_clock.py::test_mock_clock_autojump_0_and_wait_all_tasks_blocked_nonzero
#[trio::test(autojump)]
async fn the_clock_does_not_jump_during_the_cushion_of_a_waiter() {
    async fn wait(log: &Log) {
        let start = Instant::now();
        wait_all_tasks_blocked(secs(1)).await;
        assert!(start.elapsed() >= secs(1), "the cushion is real time");
        log.say("waiter done");
    }
    let log = Log::timed();
    trio::nursery! { |n|
        n.start_soon(yawn(&log));
        n.start_soon(wait(&log));
    }
    assert_eq!(log.lines(), ["waiter done at 0", "yawn at 100"]);
}

// trio: _core/_tests/test_mock_clock.py::test_initialization_doesnt_mutate_runner
#[trio::test(autojump)]
async fn making_a_clock_does_not_install_it(installed: MockClock) {
    let other = MockClock::new();
    other.set_autojump_threshold(Some(secs(2)));
    other.set_rate(3.0);
    let (start, real) = (trio::current_time(), Instant::now());
    // At a rate of 3, or with a threshold of 2, this would take real time.
    trio::sleep(secs(1_000_000)).await;
    assert!(real.elapsed() < secs(1000));
    assert_eq!(trio::current_time() - start, secs(1_000_000));
    assert_eq!(installed.elapsed(), secs(1_000_000));
    assert_eq!(installed.rate(), 0.0);
}

// trio: _core/_tests/test_run.py::test_current_time
#[trio::test]
async fn the_real_clock_goes_on() {
    let start = trio::current_time();
    std::thread::sleep(Duration::from_millis(20));
    let end = trio::current_time();
    assert!(end > start);
    assert!(end - start >= Duration::from_millis(20));
}

#[test]
fn a_jump_takes_effect_in_the_next_pass() {
    let clock = MockClock::new();
    Builder::new().clock(clock.clone()).run(async {
        let steps = Cell::new(0);
        trio::nursery! { |n|
            n.start_soon(async {
                trio::checkpoint().await;
                clock.jump(secs(10));
            });
            // Its turn in the pass of the jump comes after the jump.
            n.start_soon(async {
                let ended = trio::move_on_after!(secs(5), {
                    loop {
                        trio::checkpoint().await;
                        steps.set(steps.get() + 1);
                    }
                });
                assert!(ended.is_none());
            });
        }
        assert_eq!(steps.get(), 1);
    });
}
