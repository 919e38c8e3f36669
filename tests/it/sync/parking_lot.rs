//! Parking lots: order, moving from one to another, breaking.

use futures::FutureExt;
use futures::future::join_all;
use trio::lowlevel::{Task, current_task};
use trio::{BrokenResourceError, CancelScope, ParkingLot};

use crate::support::{Log, forever, settle, yields};

async fn park_and_say(lot: &ParkingLot, log: &Log, name: &str) {
    lot.park().await.unwrap();
    log.say(name);
}

/// Starts tasks that park, in this order.
macro_rules! parkers {
    ($n:expr, $lot:expr, $log:expr, $names:expr) => {
        for name in $names {
            $n.start_soon(park_and_say($lot, $log, name));
            settle().await;
        }
    };
}

#[trio::test(schedules = 200)]
async fn those_who_have_been_parked_longest_are_woken_first() {
    let (lot, log) = (ParkingLot::new(), Log::new());
    assert!(lot.is_empty());
    trio::nursery! { |n|
        parkers!(n, &lot, &log, ["a", "b", "c", "d"]);
        assert_eq!((lot.len(), lot.statistics().tasks_waiting), (4, 4));
        assert_eq!(format!("{lot:?}"), "ParkingLot { waiting: 4 }");
        assert_eq!(lot.unpark(1), 1);
        assert_eq!(lot.len(), 3);
        settle().await;
        assert_eq!(log.lines(), ["a"]);
        assert_eq!(lot.unpark(2), 2);
        settle().await;
        assert_eq!(log.sorted(), ["b", "c"]);
        assert_eq!(lot.unpark(5), 1);
        assert_eq!(lot.unpark(1), 0);
        assert_eq!(lot.unpark_all(), 0);
        // Who parks now has not been woken before.
        parkers!(n, &lot, &log, ["e"]);
        assert_eq!(log.lines(), ["d"]);
        assert_eq!(lot.unpark_all(), 1);
    }
    assert_eq!(log.lines(), ["e"]);
}

// trio: _core/_tests/test_parking_lot.py::test_parking_lot_cancel
#[trio::test(schedules = 200)]
async fn a_cancelled_task_leaves_the_lot() {
    let (lot, log) = (ParkingLot::new(), Log::new());
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        parkers!(n, &lot, &log, ["1"]);
        n.start_soon(async {
            assert_eq!(scope.run(park_and_say(&lot, &log, "2")).await, None);
            log.say("cancelled 2");
        });
        settle().await;
        parkers!(n, &lot, &log, ["3"]);
        handle.cancel();
        settle().await;
        assert_eq!(log.lines(), ["cancelled 2"]);
        assert_eq!(lot.len(), 2);
        assert_eq!(lot.unpark_all(), 2);
    }
    assert_eq!(log.sorted(), ["1", "3"]);
}

#[trio::test(schedules = 200)]
async fn a_wake_up_reaches_one_who_is_not_cancelled() {
    let (lot, log) = (ParkingLot::new(), Log::new());
    let (before, after) = (CancelScope::new(), CancelScope::new());
    let handles = (before.handle(), after.handle());
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(before.run(park_and_say(&lot, &log, "passed over")).await, None) });
        settle().await;
        n.start_soon(async { assert_eq!(after.run(park_and_say(&lot, &log, "in time")).await, Some(())) });
        settle().await;
        handles.0.cancel();
        assert_eq!(lot.unpark(1), 1);
        handles.1.cancel();
    }
    assert_eq!(log.lines(), ["in time"]);
}

#[trio::test(schedules = 200)]
async fn a_wake_up_that_is_dropped_goes_to_the_next() {
    let (lot, log) = (ParkingLot::new(), Log::new());
    trio::nursery! { |n|
        let mut given_up = Box::pin(lot.park());
        assert!((&mut given_up).now_or_never().is_none());
        parkers!(n, &lot, &log, ["a"]);
        lot.unpark(1);
        drop(given_up);
        settle().await;
        assert_eq!(log.lines(), ["a"]);

        // One for all is not: who came later would wake for nothing.
        let mut given_up = Box::pin(lot.park());
        assert!((&mut given_up).now_or_never().is_none());
        lot.unpark_all();
        parkers!(n, &lot, &log, ["b"]);
        drop(given_up);
        settle().await;
        assert_eq!(lot.len(), 1);
        lot.unpark(1);
    }
    assert_eq!(log.lines(), ["b"]);
}

#[trio::test(schedules = 200)]
async fn parked_in_a_foreign_combinator() {
    let (lot, other, log) = (ParkingLot::new(), ParkingLot::new(), Log::new());
    trio::nursery! { |n|
        n.start_soon(async {
            join_all(["a", "b", "c"].map(|name| park_and_say(&lot, &log, name))).await;
            log.say("all");
        });
        settle().await;
        assert_eq!(lot.unpark(1), 1);
        assert_eq!(lot.repark_all(&other), 2);
        settle().await;
        assert_eq!(log.lines(), ["a"]);
        assert_eq!(other.unpark_all(), 2);
    }
    assert_eq!(log.lines(), ["b", "c", "all"]);
}

// trio: _core/_tests/test_parking_lot.py::test_parking_lot_repark
#[trio::test(schedules = 200)]
async fn tasks_are_moved_without_being_woken() {
    let (one, two, log) = (ParkingLot::new(), ParkingLot::new(), Log::new());
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        parkers!(n, &one, &log, ["1"]);
        n.start_soon(async {
            assert_eq!(scope.run(park_and_say(&one, &log, "2")).await, None);
            log.say("cancelled 2");
        });
        settle().await;
        parkers!(n, &one, &log, ["3"]);
        assert_eq!(one.len(), 3);

        assert_eq!(one.repark(&two, 1), 1);
        assert_eq!((one.len(), two.len()), (2, 1));
        two.unpark_all();
        settle().await;
        assert_eq!(log.lines(), ["1"]);

        assert_eq!(one.repark_all(&two), 2);
        assert_eq!((one.len(), two.len()), (0, 2));
        settle().await;
        assert!(log.lines().is_empty());

        handle.cancel();
        settle().await;
        assert_eq!(log.lines(), ["cancelled 2"]);
        assert_eq!((one.len(), two.len()), (0, 1));
        two.unpark_all();
    }
    assert_eq!(log.lines(), ["3"]);
    assert!(two.is_empty());
}

// trio: _core/_tests/test_parking_lot.py::test_parking_lot_repark_with_count
#[trio::test(schedules = 200)]
async fn some_tasks_are_moved() {
    let (one, two, log) = (ParkingLot::new(), ParkingLot::new(), Log::new());
    trio::nursery! { |n|
        parkers!(n, &one, &log, ["1", "2", "3"]);
        assert_eq!(one.repark(&two, 2), 2);
        assert_eq!((one.len(), two.len()), (1, 2));
        settle().await;
        assert!(log.lines().is_empty());
        for name in ["1", "2"] {
            two.unpark(1);
            settle().await;
            assert_eq!(log.lines(), [name]);
        }
        assert_eq!((one.len(), two.len()), (1, 0));
        one.unpark_all();
    }
    assert_eq!(log.lines(), ["3"]);
}

#[trio::test(schedules = 200)]
async fn moved_again_and_dropped_on_the_way() {
    let lots = [ParkingLot::new(), ParkingLot::new(), ParkingLot::new()];
    let log = Log::new();
    trio::nursery! { |n|
        let mut given_up = Box::pin(lots[0].park());
        assert!((&mut given_up).now_or_never().is_none());
        parkers!(n, &lots[0], &log, ["a", "b"]);
        for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 0), (0, 2)] {
            assert_eq!(lots[from].repark_all(&lots[to]), 3);
        }
        assert_eq!(lots.each_ref().map(ParkingLot::len), [0, 0, 3]);
        lots[2].unpark(1);
        drop(given_up);
        settle().await;
        assert_eq!(log.lines(), ["a"]);

        let mut given_up = Box::pin(lots[0].park());
        assert!((&mut given_up).now_or_never().is_none());
        lots[0].repark(&lots[1], 1);
        drop(given_up);
        assert_eq!(lots.each_ref().map(ParkingLot::len), [0, 0, 1]);
        // The order in one lot, with one moved to its own end.
        parkers!(n, &lots[2], &log, ["c"]);
        lots[2].repark(&lots[2], 1);
        lots[2].unpark(1);
        settle().await;
        assert_eq!(log.lines(), ["c"]);
        lots[2].unpark(1);
    }
    assert_eq!(log.lines(), ["b"]);
}

#[trio::test(schedules = 200)]
async fn a_task_outlives_the_lot_that_it_was_moved_from() {
    let (first, second) = (ParkingLot::new(), ParkingLot::new());
    let mut parked = Box::pin(async move { first.park().await.map(|()| first) });
    // It is the future's own, so it is moved from inside.
    assert!((&mut parked).now_or_never().is_none());
    drop(parked);

    let first = ParkingLot::new();
    let mut parked = Box::pin(first.park());
    assert!((&mut parked).now_or_never().is_none());
    first.repark_all(&second);
    second.unpark_all();
    drop(second);
    assert_eq!(parked.await, Ok(()));
}

// trio: _core/_tests/test_parking_lot.py::test_parking_lot_breaker_basic
#[trio::test(schedules = 200, checkpoint_budget = 1)]
async fn a_broken_lot_is_good_for_nothing() {
    let lot = ParkingLot::new();
    let task = current_task();
    assert!(lot.broken_by().is_empty());
    lot.break_lot();
    assert_eq!(lot.broken_by(), std::slice::from_ref(&task));
    lot.break_lot_by(task.clone());
    assert_eq!(lot.broken_by(), [task.clone(), task.clone()]);

    let error = lot.park().await.unwrap_err();
    assert_eq!(error.to_string(), format!("Attempted to park in parking lot broken by [{task:?}, {task:?}]"));
    assert!(yields(lot.park()).await, "a checkpoint all the same");
    assert_eq!(format!("{lot:?}"), format!("ParkingLot {{ waiting: 0, broken_by: [{task:?}, {task:?}] }}"));
    assert!(lot.is_empty());
}

/// Runs a task that has a breaker of a lot and sleeps, and cancels it.
async fn break_by_ending(lot: &ParkingLot) -> Task {
    trio::nursery! { |n|
        let task = n.spawn(async {
            let _breaker = lot.breaker();
            forever().await;
        });
        settle().await;
        let view = current_task().child_nurseries().pop().unwrap().child_tasks().remove(0);
        task.cancel();
        view
    }
}

// trio: _core/_tests/test_parking_lot.py::test_parking_lot_break_parking_tasks
#[trio::test(schedules = 200)]
async fn a_task_that_ends_breaks_the_lot_for_those_who_are_parked() {
    let lot = ParkingLot::new();
    let result: Result<_, trio::ErrorGroup<BrokenResourceError>> = trio::open_try_nursery(async |n| {
        n.start_soon(lot.park());
        settle().await;
        Ok(break_by_ending(&lot).await)
    })
    .await;
    let errors: Vec<_> = result.unwrap_err().into_errors().collect();
    let [breaker] = lot.broken_by().try_into().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].to_string(), format!("Parking lot broken by {breaker:?}"));
    assert!(!breaker.is_alive());
}

// trio: _core/_tests/test_parking_lot.py::test_parking_lot_breaker_registration
#[trio::test(schedules = 200)]
async fn each_breaker_counts_and_can_be_taken_away() {
    let lot = ParkingLot::new();
    let task = current_task();
    // The same task twice: each has to be taken away. One that is not there can't be: there is no guard to do it with.
    let (one, two) = (lot.breaker(), lot.breaker());
    assert_eq!(format!("{one:?}"), format!("LotBreaker(Some({task:?}))"));
    one.disarm();
    two.disarm();
    assert!(lot.broken_by().is_empty());
    drop((lot.breaker(), lot.breaker()));
    assert_eq!(lot.broken_by(), [task.clone(), task.clone()]);

    // In a lot that is broken already.
    let ended = break_by_ending(&lot).await;
    assert_eq!(lot.broken_by(), [task.clone(), task.clone(), ended.clone()]);
    // And in the name of a task that has ended.
    let lot = ParkingLot::new();
    lot.break_lot_by(ended.clone());
    assert_eq!(lot.broken_by(), [ended]);
}

// trio: _core/_tests/test_parking_lot.py::test_parking_lot_breaker_rebreak
#[trio::test(schedules = 200)]
async fn a_broken_lot_is_broken_by_another_task() {
    let lot = ParkingLot::new();
    trio::nursery! { |n|
        n.start_daemon(forever());
        settle().await;
        let child = current_task().child_nurseries()[0].child_tasks().remove(0);
        lot.break_lot();
        lot.break_lot_by(child.clone());
        assert_eq!(lot.broken_by(), [current_task(), child]);
    }
}

// trio: _core/_tests/test_parking_lot.py::test_parking_lot_multiple_breakers_exit
#[trio::test(schedules = 200)]
async fn several_tasks_break_one_lot() {
    let lot = ParkingLot::new();
    let children = trio::nursery! { |n|
        for _ in 0..3 {
            n.start_daemon(async {
                let _breaker = lot.breaker();
                forever().await;
            });
        }
        settle().await;
        current_task().child_nurseries()[0].child_tasks()
    };
    let broken_by = lot.broken_by();
    assert_eq!(broken_by.len(), 3);
    assert!(children.iter().all(|child| broken_by.contains(child)));
}

// trio: _core/_tests/test_parking_lot.py::test_parking_lot_break_itself
#[trio::test(schedules = 200)]
async fn a_lot_is_broken_in_the_name_of_who_is_parked_there() {
    let lot = ParkingLot::new();
    let result: Result<(), trio::ErrorGroup<BrokenResourceError>> = trio::open_try_nursery(async |n| {
        n.start_soon(lot.park());
        settle().await;
        let child = current_task().child_nurseries()[0].child_tasks().remove(0);
        lot.break_lot_by(child);
        Ok(())
    })
    .await;
    assert_eq!(result.unwrap_err().len(), 1);
}

#[trio::test(schedules = 200)]
async fn who_is_moved_to_a_broken_lot_is_told() {
    let (lot, broken) = (ParkingLot::new(), ParkingLot::new());
    broken.break_lot();
    trio::nursery! { |n|
        let parked = n.spawn(lot.park());
        settle().await;
        assert_eq!(lot.repark_all(&broken), 1);
        assert!(matches!(parked.join().await, Ok(Err(BrokenResourceError { .. }))));

        // And if it breaks afterwards.
        let other = ParkingLot::new();
        let parked = n.spawn(lot.park());
        settle().await;
        lot.repark_all(&other);
        other.break_lot();
        assert!(parked.join().await.unwrap().is_err());
    }
}
