//! `interval` and `RateLimiter`, on the virtual clock.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use trio::testing::{MockClock, wait_all_tasks_blocked};
use trio::{MissedTicks, RateLimiter, current_time, interval, move_on_after};

const SECOND: Duration = Duration::from_secs(1);

#[trio::test(autojump, schedules = 200)]
async fn ticks_come_at_equal_distances_from_now_on() {
    let began = current_time();
    let mut ticks = interval(3 * SECOND);
    assert_eq!(ticks.period(), 3 * SECOND);
    for number in 0..5 {
        assert_eq!(ticks.tick().await - began, number * 3 * SECOND);
        assert_eq!(current_time() - began, number * 3 * SECOND);
        trio::sleep(SECOND).await;
    }
    ticks.reset();
    let reset = current_time();
    assert_eq!(ticks.tick().await - reset, 3 * SECOND);
}

/// The seconds at which ticks come if somebody is away from the first to second 35, with a period of ten.
async fn after_a_pause(missed: MissedTicks) -> Vec<u64> {
    let began = current_time();
    let mut ticks = interval(10 * SECOND).missed_ticks(missed);
    let mut seen = Vec::new();
    ticks.tick().await;
    trio::sleep(35 * SECOND).await;
    for _ in 0..4 {
        ticks.tick().await;
        seen.push((current_time() - began).as_secs());
    }
    seen
}

#[trio::test(autojump, schedules = 200)]
async fn missed_ticks_are_made_up_for_or_forgotten() {
    assert_eq!(after_a_pause(MissedTicks::Burst).await, [35, 35, 35, 40]);
    assert_eq!(after_a_pause(MissedTicks::Delay).await, [35, 45, 55, 65]);
    assert_eq!(after_a_pause(MissedTicks::Skip).await, [35, 40, 50, 60]);
}

#[trio::test(autojump, schedules = 200)]
async fn a_cancelled_wait_uses_up_no_tick() {
    let mut ticks = interval(10 * SECOND);
    let first = ticks.tick().await;
    assert!(move_on_after(SECOND, ticks.tick()).await.is_none());
    assert_eq!(ticks.tick().await - first, 10 * SECOND);
}

#[trio::test]
#[should_panic(expected = "an interval needs a period")]
async fn an_interval_needs_a_period() {
    interval(Duration::ZERO);
}

#[trio::test(autojump, schedules = 200)]
async fn a_limiter_lets_a_burst_pass_and_then_one_a_period() {
    let began = current_time();
    let limiter = RateLimiter::new(2 * SECOND, 3);
    let passed = RefCell::new(Vec::new());
    let one = async || {
        limiter.acquire().await;
        passed.borrow_mut().push((current_time() - began).as_secs());
    };
    trio::nursery! { |n|
        for _ in 0..6 {
            n.start_soon(one());
        }
    };
    assert_eq!(passed.take(), [0, 0, 0, 2, 4, 6]);
    // A pause fills the bucket, but no further than to its brim.
    trio::sleep(100 * SECOND).await;
    let now = (current_time() - began).as_secs();
    for _ in 0..4 {
        one().await;
    }
    assert_eq!(passed.take(), [now, now, now, now + 2]);
}

#[trio::test(autojump, schedules = 200)]
async fn those_who_wait_for_a_limiter_pass_in_order() {
    let limiter = RateLimiter::new(SECOND, 1);
    let order = RefCell::new(Vec::new());
    let one = async |number: u32| {
        limiter.acquire().await;
        order.borrow_mut().push(number);
    };
    limiter.acquire().await;
    trio::nursery! { |n|
        for number in 0..5 {
            n.start_soon(one(number));
            wait_all_tasks_blocked(Duration::ZERO).await;
        }
        assert!(!limiter.try_acquire(), "others wait");
    };
    assert_eq!(order.into_inner(), [0, 1, 2, 3, 4]);
}

#[trio::test(autojump, schedules = 200)]
async fn who_gives_up_at_a_limiter_uses_up_nothing() {
    let began = current_time();
    let limiter = RateLimiter::new(10 * SECOND, 1);
    assert!(limiter.try_acquire() && !limiter.try_acquire());
    let gave_up = Cell::new(0);
    trio::nursery! { |n|
        n.start_soon(async {
            assert!(move_on_after(SECOND, limiter.acquire()).await.is_none());
            gave_up.set(gave_up.get() + 1);
        });
        n.start_soon(async {
            assert!(move_on_after(2 * SECOND, limiter.acquire()).await.is_none());
            gave_up.set(gave_up.get() + 1);
        });
        limiter.acquire().await;
        assert_eq!(current_time() - began, 10 * SECOND);
    };
    assert_eq!(gave_up.get(), 2);
    assert!(format!("{limiter:?}").contains("RateLimiter"));
}

#[trio::test(schedules = 200)]
async fn a_limiter_goes_by_the_runs_clock(clock: MockClock) {
    let limiter = RateLimiter::new(SECOND, 1);
    assert!(limiter.try_acquire());
    assert!(!limiter.try_acquire());
    clock.jump(SECOND);
    assert!(limiter.try_acquire());
}
