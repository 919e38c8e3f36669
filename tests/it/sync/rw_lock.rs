//! Reader-writer locks: what `gates` has not, the readers.

use std::cell::Cell;

use futures::FutureExt;
use trio::{CancelScope, Event, RwLock, WouldBlock};

use crate::support::{Log, secs, settle};

async fn read_and_say(lock: &RwLock<u32>, log: &Log, name: &str) {
    let _guard = lock.read().await;
    log.say(format!("{name} in"));
    for _ in 0..3 {
        trio::checkpoint().await;
    }
    log.say(format!("{name} out"));
}

async fn write_and_say(lock: &RwLock<u32>, log: &Log, name: &str) {
    let _guard = lock.write().await;
    log.say(format!("{name} in"));
    trio::checkpoint().await;
    log.say(format!("{name} out"));
}

#[trio::test(schedules = 200)]
async fn many_read_or_one_writes() {
    async fn work(lock: &RwLock<u32>, most: &Cell<usize>) {
        for turn in 0..4 {
            if turn % 2 == 0 {
                let value = lock.read().await;
                let before = *value;
                let statistics = lock.statistics();
                assert!(!statistics.written);
                most.set(most.get().max(statistics.readers));
                trio::checkpoint().await;
                assert_eq!(*value, before, "nobody writes meanwhile");
            } else {
                let mut value = lock.write().await;
                assert_eq!(lock.statistics().readers, 0);
                let before = *value;
                trio::checkpoint().await;
                *value = before + 1;
            }
        }
    }
    let (lock, most) = (RwLock::new(0), Cell::new(0));
    trio::nursery! { |n|
        for _ in 0..5 {
            n.start_soon(work(&lock, &most));
        }
    }
    assert_eq!(most.get(), 5);
    assert_eq!(lock.into_inner(), 10);
}

#[trio::test(schedules = 200)]
async fn everybody_is_let_in_in_turn() {
    let (lock, log) = (RwLock::new(0), Log::new());
    trio::nursery! { |n|
        let guard = lock.read().await;
        n.start_soon(write_and_say(&lock, &log, "writer"));
        settle().await;
        // They could read now, but the writer came before them.
        for name in ["a", "b"] {
            n.start_soon(read_and_say(&lock, &log, name));
            settle().await;
        }
        n.start_soon(write_and_say(&lock, &log, "last"));
        settle().await;
        assert_eq!(lock.try_read().unwrap_err(), WouldBlock);
        let statistics = lock.statistics();
        assert_eq!((statistics.readers, statistics.written), (1, false));
        assert_eq!((statistics.tasks_waiting_read, statistics.tasks_waiting_write), (2, 2));
        assert_eq!(format!("{lock:?}"), "RwLock { value: 0, readers: 1, waiting: 4 }");
        drop(guard);
    }
    let mut lines = log.lines();
    assert_eq!(lines[..2], ["writer in", "writer out"]);
    assert_eq!(lines[6..], ["last in", "last out"]);
    // Both readers at once.
    lines[2..4].sort();
    assert_eq!(lines[2..4], ["a in", "b in"]);
}

#[trio::test(schedules = 200)]
async fn a_writer_that_goes_away_lets_in_who_waited_for_it() {
    let (lock, log, over) = (RwLock::new(0), Log::new(), Event::new());
    trio::nursery! { |n|
        let guard = lock.read().await;
        // Dropped by foreign code.
        let mut writer = Box::pin(lock.write());
        assert!((&mut writer).now_or_never().is_none());
        n.start_soon(read_and_say(&lock, &log, "a"));
        settle().await;
        assert!(log.lines().is_empty());
        drop(writer);
        settle().await;
        assert_eq!(log.lines(), ["a in", "a out"]);

        // Cancelled, with something beside it that keeps its future alive.
        let scope = CancelScope::new();
        let handle = scope.handle();
        n.start_soon(async {
            let writer = async { drop(lock.write().await) };
            assert!(scope.run(futures::future::join(writer, trio::shield(over.wait()))).await.is_none());
        });
        settle().await;
        n.start_soon(read_and_say(&lock, &log, "b"));
        settle().await;
        assert_eq!(lock.statistics().tasks_waiting_read, 1);
        handle.cancel();
        settle().await;
        assert_eq!(log.lines(), ["b in", "b out"]);
        over.set();
        drop(guard);
    }
    assert!(lock.try_write().is_ok());
}

#[trio::test(schedules = 200)]
async fn a_read_that_is_granted_and_dropped_is_given_back() {
    let lock = RwLock::new(0);
    let writer = lock.write().await;
    let mut reads = [Box::pin(lock.read()), Box::pin(lock.read())];
    for read in &mut reads {
        assert!(read.now_or_never().is_none());
    }
    drop(writer);
    assert_eq!(lock.statistics().readers, 2);
    let [one, two] = reads;
    drop(one);
    assert_eq!(lock.statistics().readers, 1);
    assert_eq!(*two.await, 0);
    assert_eq!(lock.statistics().readers, 0);
}

#[trio::test(schedules = 200)]
async fn a_read_that_was_granted_before_the_cancellation_is_had() {
    let (lock, log) = (RwLock::new(0), Log::new());
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        let guard = lock.write().await;
        n.start_soon(async { assert_eq!(scope.run(read_and_say(&lock, &log, "reader")).await, None) });
        settle().await;
        drop(guard);
        handle.cancel();
    }
    assert_eq!(log.lines(), ["reader in"]);
    assert_eq!(lock.statistics().readers, 0);
}

#[trio::test(schedules = 200)]
async fn the_value_of_a_lock() {
    let mut lock = RwLock::<u32>::default();
    *lock.get_mut() = 1;
    {
        let (one, two) = (lock.try_read().unwrap(), lock.try_read().unwrap());
        assert_eq!(format!("{one:?} {two:?}"), "1 1");
        assert_eq!(lock.try_write().unwrap_err(), WouldBlock);
    }
    let guard = lock.try_write().unwrap();
    assert_eq!(format!("{guard:?}"), "1");
    assert_eq!(format!("{lock:?}"), "RwLock { value: <locked>, readers: 0, waiting: 0 }");
    assert!(lock.statistics().written);
}

#[trio::test(autojump, schedules = 200)]
async fn nothing_is_lost_to_timeouts() {
    async fn work(lock: &RwLock<u32>, patience: u64) {
        for turn in 0..6 {
            let visit = async {
                let kind = (turn + patience) % 3;
                if kind == 0 {
                    let mut value = lock.write().await;
                    let before = *value;
                    trio::sleep(secs(turn % 2)).await;
                    *value = before + 1;
                } else {
                    let value = lock.read().await;
                    let before = *value;
                    trio::sleep(secs(turn % 3)).await;
                    assert_eq!(*value, before);
                }
            };
            trio::move_on_after(secs(patience), visit).await;
        }
    }
    let lock = RwLock::new(0);
    trio::nursery! { |n|
        for patience in 1..=6 {
            n.start_soon(work(&lock, patience));
        }
    }
    assert!(lock.try_write().is_ok());
    let statistics = lock.statistics();
    assert_eq!((statistics.tasks_waiting_read, statistics.tasks_waiting_write), (0, 0));
}
