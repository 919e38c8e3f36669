//! Several futures at once, of which nothing is left in the end.

use std::future::Ready;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::{Either, select};
use trio::{CancelScope, join, race, wait_all, wait_any};

use crate::support::{Log, forever, secs, settle};

async fn sleep_and_say(log: &Log, seconds: u64) -> u64 {
    let guard = log.guard(seconds.to_string());
    trio::sleep(secs(seconds)).await;
    guard.disarm();
    log.say(seconds);
    seconds
}

#[trio::test(autojump, schedules = 200)]
async fn all_are_waited_for() {
    let log = Log::timed();
    assert_eq!(join(sleep_and_say(&log, 2), async { "ready" }).await, (2, "ready"));
    assert_eq!(log.lines(), ["2 at 2"]);
    let log = Log::timed();
    assert_eq!(wait_all([3, 1, 2].map(|seconds| sleep_and_say(&log, seconds))).await, [3, 1, 2]);
    assert_eq!(log.lines(), ["1 at 1", "2 at 2", "3 at 3"]);
    assert!(wait_all(Vec::<Ready<()>>::new()).await.is_empty());
}

#[trio::test(autojump, schedules = 200)]
async fn the_first_wins_and_the_others_are_gone() {
    let log = Log::timed();
    assert_eq!(race(sleep_and_say(&log, 5), sleep_and_say(&log, 1)).await, 1);
    assert_eq!(log.lines(), ["1 at 1", "5 dropped at 1"]);
    let log = Log::timed();
    assert_eq!(wait_any([3, 1, 2].map(|seconds| sleep_and_say(&log, seconds))).await, (1, 1));
    assert_eq!(log.sorted(), ["1 at 1", "2 dropped at 1", "3 dropped at 1"]);
}

#[trio::test(autojump, schedules = 200)]
async fn a_loser_finishes_what_is_shielded() {
    let log = Log::timed();
    let loser = async {
        trio::shield(sleep_and_say(&log, 5)).await;
        trio::checkpoint().await;
        log.say("never");
        0
    };
    assert_eq!(race(loser, sleep_and_say(&log, 1)).await, 1);
    assert_eq!(log.lines(), ["1 at 1", "5 at 5"]);
    // One that ends by that has lost all the same.
    let log = Log::timed();
    let losers = [1, 3, 2].map(|seconds| trio::shield(sleep_and_say(&log, seconds)));
    assert_eq!(wait_any(losers).await, (0, 1));
    assert_eq!(log.lines(), ["1 at 1", "2 at 2", "3 at 3"]);
}

#[trio::test(autojump, schedules = 200)]
async fn a_cancellation_reaches_all() {
    let log = Log::timed();
    let ended = trio::move_on_after(secs(1), join(sleep_and_say(&log, 5), trio::shield(sleep_and_say(&log, 3)))).await;
    assert_eq!(ended, None);
    assert_eq!(log.lines(), ["5 dropped at 1", "3 at 3"]);
    let log = Log::timed();
    let ended = trio::move_on_after(secs(1), race(sleep_and_say(&log, 5), sleep_and_say(&log, 3))).await;
    assert_eq!(ended, None);
    assert_eq!(log.sorted(), ["3 dropped at 1", "5 dropped at 1"]);
    // Cancelled from outside, and won, at once: what is outside wins.
    let scope = CancelScope::new();
    let handle = scope.handle();
    let cancels = async { handle.cancel() };
    let ended = scope.run(async {
        race(cancels, forever()).await;
        trio::checkpoint().await;
        log.say("never");
    });
    assert_eq!(ended.await, None);
    assert!(log.lines().is_empty());
}

#[trio::test(schedules = 200)]
async fn a_panic_ends_the_others_and_goes_on() {
    let log = Log::new();
    let waits = async {
        let _guard = log.guard("other");
        forever().await;
    };
    let panics = async {
        settle().await;
        panic!("on purpose");
    };
    let caught = AssertUnwindSafe(join(waits, panics)).catch_unwind().await;
    assert!(caught.is_err());
    assert_eq!(log.lines(), ["other dropped"]);
}

#[trio::test(autojump, schedules = 200)]
async fn in_foreign_combinators() {
    let log = Log::timed();
    let (slow, fast) = (
        Box::pin(wait_all([sleep_and_say(&log, 5)])),
        Box::pin(race(sleep_and_say(&log, 1), async {
            forever().await;
            0
        })),
    );
    let Either::Right((1, slow)) = select(slow, fast).await else { panic!("the fast one is faster") };
    drop(slow);
    assert_eq!(log.lines(), ["1 at 1", "5 dropped at 1"]);
}

#[trio::test]
#[should_panic = "`wait_any` needs something to wait for"]
async fn nothing_to_wait_for() {
    wait_any(Vec::<Ready<()>>::new()).await;
}
