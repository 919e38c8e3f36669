//! Locks: what `gates` has not, their owner.

use trio::lowlevel::current_task;
use trio::{CancelScope, Event, Lock, StrictFifoLock, WouldBlock};

use crate::support::{forever, settle, yields};

#[trio::test(schedules = 200)]
async fn the_statistics_of_an_event() {
    let event = Event::new();
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(event.wait());
        n.start_soon(async { assert_eq!(scope.run(event.wait()).await, None) });
        settle().await;
        assert_eq!(event.statistics().tasks_waiting, 2);
        handle.cancel();
        settle().await;
        assert_eq!(event.statistics().tasks_waiting, 1);
        assert_eq!(format!("{event:?}"), "Event { set: false, waiting: 1 }");
        event.set();
        assert_eq!(event.statistics().tasks_waiting, 0);
    }
}

// trio: _tests/test_sync.py::test_Lock_and_StrictFIFOLock
#[trio::test(schedules = 200, checkpoint_budget = 1)]
async fn a_lock_knows_its_owner() {
    let lock: StrictFifoLock<u32> = Lock::new(1);
    assert!(!lock.is_locked());
    assert!(yields(lock.lock()).await);
    assert!(!lock.is_locked());

    let guard = lock.try_lock().unwrap();
    assert!(lock.is_locked());
    assert_eq!(lock.try_lock().unwrap_err(), WouldBlock, "not even the owner gets it twice");
    let statistics = lock.statistics();
    assert!(statistics.locked);
    assert_eq!(statistics.owner, Some(current_task()));
    assert_eq!(statistics.tasks_waiting, 0);
    assert_eq!(format!("{lock:?}"), "Lock { value: <locked>, waiting: 0 }");
    drop(guard);
    assert_eq!(format!("{lock:?}"), "Lock { value: 1, waiting: 0 }");
    let statistics = lock.statistics();
    assert!(!statistics.locked);
    assert_eq!(statistics.owner, None);

    // The owner and a waiter, both cancelled.
    trio::nursery! { |n|
        let owner = n.named("owner").spawn(async {
            let _guard = lock.lock().await;
            forever().await;
        });
        settle().await;
        let waiter = n.named("waiter").spawn(async { drop(lock.lock().await) });
        settle().await;
        assert!(lock.try_lock().is_err());
        let statistics = lock.statistics();
        assert_eq!(statistics.owner.unwrap().name(), "owner");
        assert_eq!(statistics.tasks_waiting, 1);
        waiter.cancel();
        owner.cancel();
    }
    let statistics = lock.statistics();
    assert!(!statistics.locked);
    assert_eq!(statistics.owner, None);
    assert_eq!(statistics.tasks_waiting, 0);
}

#[trio::test(schedules = 200)]
async fn the_owner_is_who_the_lock_was_handed_to() {
    let lock = Lock::new(());
    trio::nursery! { |n|
        let guard = lock.lock().await;
        n.named("next").start_soon(async {
            let _guard = lock.lock().await;
            assert_eq!(lock.statistics().owner, Some(current_task()));
        });
        settle().await;
        drop(guard);
        // Before the next one has taken a step.
        assert_eq!(lock.statistics().owner.unwrap().name(), "next");
    }
}

/// In Trio this breaks the lock. Here the guard is dropped with its task.
#[trio::test(schedules = 200)]
async fn a_task_that_ends_leaves_no_lock_behind() {
    let lock = Lock::new(());
    trio::nursery! { |n|
        n.start_soon(async {
            let _guard = lock.lock().await;
            trio::checkpoint().await;
        });
        n.start_soon(async { drop(lock.lock().await) });
    }
    assert!(!lock.is_locked());
}

/// A guard is a value: it goes where it is sent.
#[trio::test(schedules = 200)]
async fn a_guard_outlives_the_task_that_took_it() {
    let lock = Lock::new(0);
    trio::nursery! { |n|
        let task = n.spawn(lock.lock());
        let mut guard = task.join().await.unwrap();
        *guard += 1;
        let statistics = lock.statistics();
        assert!(statistics.locked);
        assert_eq!(statistics.owner, None, "that task has ended");
    }
    assert!(!lock.is_locked());
}
