//! The cells of what waits for the clock.

use std::cell::Cell;
use std::pin::pin;

use futures::FutureExt;
use futures::future::{Either, join, select};
use futures::stream::{FuturesUnordered, StreamExt};
use trio::{CancelScope, Interval, RateLimiter, current_time, interval, move_on_after};

use crate::support::{Log, secs, settle};

/// A limiter for one operation every ten seconds that has just let one pass, and a log that begins there.
fn limiter() -> (RateLimiter, Log) {
    let limiter = RateLimiter::new(secs(10), 1);
    assert!(limiter.try_acquire());
    (limiter, Log::timed())
}

async fn pass(limiter: &RateLimiter, log: &Log, name: &str) {
    limiter.acquire().await;
    log.say(name);
}

pub(super) async fn a_limiter_serves_in_order() {
    let (limiter, log) = limiter();
    trio::nursery! { |n|
        for name in ["a", "b", "c"] {
            n.start_soon(pass(&limiter, &log, name));
            settle().await;
        }
        assert!(!limiter.try_acquire());
    }
    assert_eq!(log.lines(), ["a at 10", "b at 20", "c at 30"]);
}

pub(super) async fn who_leaves_a_limiter_is_in_nobodys_way() {
    let (limiter, log) = limiter();
    let (first, second) = (CancelScope::new(), CancelScope::new());
    let handles = (first.handle(), second.handle());
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(first.run(pass(&limiter, &log, "whose turn it is")).await, None) });
        settle().await;
        n.start_soon(async { assert_eq!(second.run(pass(&limiter, &log, "in the queue")).await, None) });
        settle().await;
        n.start_soon(pass(&limiter, &log, "next"));
        settle().await;
        trio::sleep(secs(3)).await;
        handles.1.cancel();
        settle().await;
        assert_eq!(limiter.statistics().tasks_waiting, 2);
        handles.0.cancel();
    }
    assert_eq!(log.lines(), ["next at 10"]);
}

pub(super) async fn a_turn_that_is_not_used_is_the_next_ones() {
    let (limiter, log) = limiter();
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async {
            pass(&limiter, &log, "first").await;
            // The next one's turn has begun, in this step.
            handle.cancel();
        });
        settle().await;
        n.start_soon(async { assert_eq!(scope.run(pass(&limiter, &log, "cancelled")).await, None) });
        settle().await;
        let mut given_up = Box::pin(limiter.acquire());
        assert!((&mut given_up).now_or_never().is_none());
        n.start_soon(pass(&limiter, &log, "last"));
        settle().await;
        assert_eq!(limiter.statistics().tasks_waiting, 4);
        trio::sleep(secs(12)).await;
        // It is the turn of this one now, which has not noticed.
        assert_eq!(limiter.statistics().tasks_waiting, 2);
        drop(given_up);
        assert_eq!(limiter.statistics().tasks_waiting, 1);
    }
    assert_eq!(log.lines(), ["first at 10", "last at 20"]);
    assert_eq!(limiter.statistics().tasks_waiting, 0);
}

pub(super) async fn a_limiter_in_foreign_combinators() {
    let (limiter, log) = limiter();
    let mut many: FuturesUnordered<_> = ["a", "b", "c"].iter().map(|name| pass(&limiter, &log, name)).collect();
    while many.next().await.is_some() {}
    assert_eq!(log.sorted(), ["a at 10", "b at 20", "c at 30"]);
    // Dropped while it is its turn, and one in the queue moved elsewhere.
    trio::nursery! { |n|
        let (mut lost, mut moved) = (Box::pin(limiter.acquire()), Box::pin(pass(&limiter, &log, "moved")));
        assert!((&mut lost).now_or_never().is_none());
        assert!((&mut moved).now_or_never().is_none());
        assert!(matches!(select(lost, pin!(trio::sleep(secs(1)))).await, Either::Right(_)));
        n.start_soon(moved);
    }
    assert_eq!(log.lines(), ["moved at 40"]);
}

pub(super) async fn a_limiter_tells() {
    let (limiter, log) = limiter();
    let waiting = || limiter.statistics().tasks_waiting;
    trio::nursery! { |n|
        for before in 0..3 {
            assert_eq!(waiting(), before);
            n.start_soon(pass(&limiter, &log, "one"));
            settle().await;
        }
        trio::sleep(secs(5)).await;
        for left in (0..3).rev() {
            assert_eq!(waiting(), left + 1);
            trio::sleep(secs(10)).await;
            assert_eq!(waiting(), left);
        }
    }
}

pub(super) async fn everybody_gets_all_ticks() {
    async fn count(mut ticks: Interval, seen: &Cell<u32>) {
        loop {
            ticks.tick().await;
            seen.set(seen.get() + 1);
        }
    }
    let seen = [const { Cell::new(0) }; 3];
    move_on_after(secs(9), async {
        trio::nursery! { |n|
            for (seen, period) in seen.iter().zip([2, 2, 4]) {
                n.start_soon(count(interval(secs(period)), seen));
            }
        }
    })
    .await;
    assert_eq!(seen.each_ref().map(Cell::get), [5, 5, 3]);
}

pub(super) async fn a_cancelled_tick_comes_again() {
    let mut ticks = interval(secs(10));
    let first = ticks.tick().await;
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        let ticks = &mut ticks;
        n.start_soon(async move { assert_eq!(scope.run(ticks.tick()).await, None) });
        settle().await;
        trio::sleep(secs(1)).await;
        handle.cancel();
    }
    assert_eq!((ticks.tick().await - first, current_time() - first), (secs(10), secs(10)));
}

pub(super) async fn a_tick_that_is_due_and_dropped_comes_again() {
    let mut ticks = interval(secs(10));
    let first = ticks.tick().await;
    trio::sleep(secs(25)).await;
    let ended = trio::cancel_scope! { |scope|
        scope.cancel();
        ticks.tick().await
    };
    assert_eq!(ended, None, "though it was due");
    assert!(ticks.tick().now_or_never().is_none(), "it yields, and is dropped there");
    for number in 1..=3 {
        assert_eq!(ticks.tick().await - first, number * secs(10));
    }
    assert_eq!(current_time() - first, secs(30));
}

pub(super) async fn ticks_in_foreign_combinators() {
    let (mut slow, mut fast) = (interval(secs(10)), interval(secs(4)));
    let (began, _) = join(slow.tick(), fast.tick()).await;
    let mut times = Vec::new();
    for _ in 0..5 {
        // Whichever loses is dropped, and asked again.
        let (Either::Left((at, _)) | Either::Right((at, _))) = select(pin!(slow.tick()), pin!(fast.tick())).await;
        times.push((at - began).as_secs());
    }
    assert_eq!(times, [4, 8, 10, 12, 16]);
}
