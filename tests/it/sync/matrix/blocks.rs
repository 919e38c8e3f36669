//! The cells of what runs tasks of its own, and of the channel that nobody waits for.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::pin;

use futures::FutureExt;
use futures::future::{Either, join_all, select};
use trio::{
    CancelHandle, CancelScope, for_each_concurrent, join, move_on_after, open_memory_channel, race, wait_all, wait_any,
};

use crate::support::{Log, forever, in_groups, secs, settle};

pub(super) async fn a_send_that_yields_has_sent() {
    let (sender, receiver) = open_memory_channel(usize::MAX);
    // Where the schedule has it yield, it is dropped there.
    let _completed = sender.send(1).now_or_never();
    assert_eq!(receiver.drain(), [1]);
    let ended = trio::cancel_scope! { |scope|
        scope.cancel();
        sender.send(2).await
    };
    assert_eq!(ended, None);
    assert!(receiver.drain().is_empty());
}

pub(super) async fn an_unbounded_buffer_is_counted() {
    let (sender, receiver) = open_memory_channel(usize::MAX);
    for before in 0..5 {
        let statistics = sender.statistics();
        assert_eq!((statistics.current_buffer_used, statistics.tasks_waiting_send), (before, 0));
        sender.send(before).await.unwrap();
    }
    assert_eq!(receiver.drain().len(), 5);
    let statistics = receiver.statistics();
    assert_eq!((statistics.current_buffer_used, statistics.peak_buffer_used), (0, 5));
    assert_eq!(statistics.max_buffer_size, usize::MAX);
}

pub(super) async fn items_come_in_order() {
    let log = Log::timed();
    let all = for_each_concurrent(2, (0_u32..).zip([1, 4, 1, 1]), async |(number, seconds)| {
        log.say(number);
        trio::sleep(secs(seconds)).await;
        Ok::<_, Infallible>(())
    });
    assert!(all.await.is_ok());
    let lines = log.lines();
    assert!(in_groups(&lines, &[&["0 at 0", "1 at 0"], &["2 at 1"], &["3 at 2"]]), "{lines:?}");
}

pub(super) async fn a_cancelled_loop_takes_no_more() {
    let (log, taken) = (Log::new(), Cell::new(0));
    let items = (0..).inspect(|_| taken.set(taken.get() + 1));
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        let log = &log;
        n.start_soon(async move {
            let all = for_each_concurrent(2, items, async |number: u32| {
                let _guard = log.guard(number.to_string());
                forever().await;
                Ok::<_, Infallible>(())
            });
            assert!(scope.run(all).await.is_none());
        });
        settle().await;
        // The third waits for room.
        assert_eq!(taken.get(), 3);
        handle.cancel();
    }
    assert_eq!(taken.get(), 3);
    assert_eq!(log.sorted(), ["0 dropped", "1 dropped"]);
}

/// Room is made at the time of the cancellation, before it or after it.
pub(super) async fn no_item_is_between_two_stools() {
    let (log, taken) = (Log::new(), Cell::new(0));
    let items = (0..).inspect(|_| taken.set(taken.get() + 1));
    let all = for_each_concurrent(1, items, async |number: u32| {
        let guard = log.guard(number.to_string());
        trio::sleep(secs(1)).await;
        guard.disarm();
        log.say(format!("{number} done"));
        Ok::<_, Infallible>(())
    });
    assert!(move_on_after(secs(1), all).await.is_none());
    let lines = log.lines();
    let expected: [(u32, &[&str]); 3] = [(2, &["0 dropped"]), (2, &["0 done"]), (3, &["0 done", "1 dropped"])];
    assert!(expected.contains(&(taken.get(), &lines.iter().map(String::as_str).collect::<Vec<_>>()[..])), "{lines:?}");
}

pub(super) async fn a_loop_is_dropped_whole() {
    let (log, taken) = (Log::new(), Cell::new(0));
    let items = (0..).inspect(|_| taken.set(taken.get() + 1));
    let all = Box::pin(for_each_concurrent(3, items, async |number: u32| {
        let _guard = log.guard(number.to_string());
        forever().await;
        Ok::<_, Infallible>(())
    }));
    let Either::Right((_, all)) = select(all, pin!(trio::sleep(secs(1)))).await else { panic!("it has no end") };
    assert_eq!(taken.get(), 4);
    drop(all);
    assert_eq!(log.sorted(), ["0 dropped", "1 dropped", "2 dropped"]);
    assert_eq!(taken.get(), 4);
}

/// Nobody is held up by the others: all get their turns until each has had ten.
pub(super) async fn everybody_gets_on() {
    async fn work(turns: &[Cell<u32>], own: usize) {
        while turns.iter().any(|turns| turns.get() < 10) {
            turns[own].set(turns[own].get() + 1);
            trio::checkpoint().await;
        }
    }
    let turns = [const { Cell::new(0) }; 4];
    let two = || join(work(&turns, 0), race(work(&turns, 1), forever()));
    let others = || wait_all([2, 3].map(|own| wait_any([work(&turns, own)])));
    join(two(), others()).await;
    assert!(turns.iter().all(|turns| turns.get() >= 10));
}

pub(super) async fn a_cancellation_reaches_all() {
    async fn park(log: &Log, name: &'static str) {
        let _guard = log.guard(name);
        forever().await;
    }
    let log = Log::timed();
    let one = |name| park(&log, name);
    assert!(move_on_after(secs(1), join(one("a"), one("b"))).await.is_none());
    assert_eq!(log.sorted(), ["a dropped at 1", "b dropped at 1"]);
    assert!(move_on_after(secs(1), race(one("a"), one("b"))).await.is_none());
    assert_eq!(log.sorted(), ["a dropped at 2", "b dropped at 2"]);
    assert!(move_on_after(secs(1), wait_all(["a", "b"].map(one))).await.is_none());
    assert_eq!(log.sorted(), ["a dropped at 3", "b dropped at 3"]);
    assert!(move_on_after(secs(1), wait_any(["a", "b"].map(one))).await.is_none());
    assert_eq!(log.sorted(), ["a dropped at 4", "b dropped at 4"]);
}

/// The last one to end cancels the scope around, which finds nobody then.
pub(super) async fn who_has_ended_is_not_cancelled() {
    async fn within<T>(run: impl AsyncFnOnce(&CancelHandle) -> T) -> Option<T> {
        let scope = CancelScope::new();
        let handle = scope.handle();
        scope.run(run(&handle)).await
    }
    let last = async |handle: &CancelHandle| {
        settle().await;
        handle.cancel();
        2
    };
    assert_eq!(within(async |handle| join(async { 1 }, last(handle)).await).await, Some((1, 2)));
    assert_eq!(within(async |handle| wait_all([last(handle)]).await).await, Some(vec![2]));
    assert_eq!(within(async |handle| wait_any([last(handle)]).await).await, Some((0, 2)));
}

pub(super) async fn combinators_in_foreign_ones() {
    let log = Log::timed();
    let sleep = async |seconds: u64| {
        let guard = log.guard(seconds.to_string());
        trio::sleep(secs(seconds)).await;
        guard.disarm();
        seconds
    };
    let pairs = join_all([(1, 2), (2, 1), (3, 3)].map(|(one, other)| join(sleep(one), sleep(other)))).await;
    assert_eq!(pairs, [(1, 2), (2, 1), (3, 3)]);
    assert_eq!(join_all([(1, 2), (4, 3)].map(|(one, other)| race(sleep(one), sleep(other)))).await, [1, 3]);
    assert_eq!(log.sorted(), ["2 dropped at 4", "4 dropped at 6"]);
    // Dropped from outside, with all that is in it.
    let all = Box::pin(wait_all([wait_any([sleep(5), sleep(7)])]));
    let Either::Right((_, all)) = select(all, pin!(trio::sleep(secs(1)))).await else { panic!("it is slower") };
    drop(all);
    assert_eq!(log.sorted(), ["5 dropped at 7", "7 dropped at 7"]);
}
