//! Barriers: when all are there.

use std::cell::Cell;

use futures::FutureExt;
use futures::future::join_all;
use trio::{Barrier, CancelScope};

use crate::support::{settle, yields};

#[trio::test(schedules = 200)]
async fn all_go_on_when_the_last_one_comes() {
    async fn walk(barrier: &Barrier, arrived: &Cell<u32>, leaders: &Cell<u32>) {
        for round in 1..=5 {
            arrived.set(arrived.get() + 1);
            let last = barrier.wait().await;
            assert!(arrived.get() >= 4 * round, "all have come");
            leaders.set(leaders.get() + u32::from(last));
        }
    }
    let (barrier, arrived, leaders) = (Barrier::new(4), Cell::new(0), Cell::new(0));
    trio::nursery! { |n|
        for _ in 0..4 {
            n.start_soon(walk(&barrier, &arrived, &leaders));
        }
    }
    assert_eq!((arrived.get(), leaders.get()), (20, 5));
    assert_eq!(barrier.statistics().tasks_waiting, 0);
}

#[trio::test(schedules = 200)]
async fn who_is_cancelled_has_not_come() {
    let barrier = Barrier::new(2);
    let (gone, early, late) = (CancelScope::new(), CancelScope::new(), CancelScope::new());
    let handles = (gone.handle(), early.handle(), late.handle());
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(gone.run(barrier.wait()).await, None) });
        settle().await;
        handles.0.cancel();
        settle().await;
        assert_eq!(barrier.statistics().tasks_waiting, 0);

        // Cancelled in the step in which another one comes.
        n.start_soon(async { assert_eq!(early.run(barrier.wait()).await, None) });
        settle().await;
        handles.1.cancel();
        let mut waits = Box::pin(barrier.wait());
        assert!((&mut waits).now_or_never().is_none());
        settle().await;
        assert_eq!(barrier.statistics().tasks_waiting, 1);

        // Cancelled when all are there.
        n.start_soon(async { assert_eq!(late.run(barrier.wait()).await, Some(true)) });
        assert!(!waits.await);
        handles.2.cancel();
    }
}

#[trio::test(schedules = 200)]
async fn a_wait_that_is_dropped_has_not_come() {
    let barrier = Barrier::new(2);
    let mut given_up = Box::pin(barrier.wait());
    assert!((&mut given_up).now_or_never().is_none());
    drop(given_up);
    let mut first = Box::pin(barrier.wait());
    assert!((&mut first).now_or_never().is_none());
    assert!(barrier.wait().await);
    assert!(!first.await);

    // In a foreign combinator, and dropped when it had been let through: the round is complete all the same.
    let lasts = join_all([barrier.wait(), barrier.wait()]).await;
    assert_eq!(lasts, [false, true]);
    let mut given_up = Box::pin(barrier.wait());
    assert!((&mut given_up).now_or_never().is_none());
    assert!(barrier.wait().await);
    drop(given_up);
    assert_eq!(barrier.statistics().tasks_waiting, 0);
}

#[trio::test(schedules = 200, checkpoint_budget = 1)]
async fn a_barrier_for_one_holds_nobody_up() {
    for parties in [0, 1] {
        let barrier = Barrier::new(parties);
        assert!(yields(barrier.wait()).await, "a checkpoint all the same");
        assert!(barrier.wait().await);
        assert_eq!(barrier.statistics().parties, parties);
    }
    assert_eq!(format!("{:?}", Barrier::new(3)), "Barrier { parties: 3, waiting: 0 }");
}
