//! Capacity limiters: what `gates` has not, resizing and borrowers.

use std::rc::Rc;

use trio::lowlevel::current_task;
use trio::{Borrower, CancelScope, CapacityLimiter, WouldBlock};

use crate::support::{forever, settle};

// trio: _tests/test_sync.py::test_CapacityLimiter_change_total_tokens
#[trio::test(schedules = 200)]
async fn the_total_can_be_changed_at_any_time() {
    let limiter = CapacityLimiter::new(2);
    assert_eq!(limiter.total_tokens(), 2);
    let borrowers: Vec<_> = (0..5).map(|number| Borrower::new(number.to_string())).collect();
    let names = || {
        let borrowers = limiter.statistics().borrowers;
        borrowers.iter().map(|borrower| borrower.name().parse().unwrap()).collect::<Vec<u32>>()
    };
    trio::nursery! { |n|
        let mut tasks = Vec::new();
        for borrower in &borrowers {
            let limiter = &limiter;
            tasks.push(n.spawn(async move {
                let _token = limiter.acquire_on_behalf_of(borrower.clone()).await;
                forever().await;
            }));
            settle().await;
        }
        assert_eq!((names(), limiter.statistics().tasks_waiting), (vec![0, 1], 3));
        limiter.set_total_tokens(limiter.total_tokens() + 2);
        // At once, before those who got them have run.
        assert_eq!((names(), limiter.statistics().tasks_waiting), (vec![0, 1, 2, 3], 1));
        settle().await;
        assert_eq!(limiter.available_tokens(), 0);

        limiter.set_total_tokens(1);
        assert_eq!((limiter.borrowed_tokens(), limiter.available_tokens()), (4, -3));
        for (task, left) in tasks.iter().zip([vec![1, 2, 3], vec![2, 3], vec![3]]) {
            task.cancel();
            settle().await;
            assert_eq!((names(), limiter.statistics().tasks_waiting), (left, 1));
        }
        tasks[3].cancel();
        settle().await;
        assert_eq!((names(), limiter.statistics().tasks_waiting), (vec![4], 0));
        tasks[4].cancel();
    }
    let statistics = limiter.statistics();
    assert_eq!((statistics.borrowed_tokens, statistics.total_tokens), (0, 1));
    assert!(statistics.borrowers.is_empty());
}

// trio: _tests/test_sync.py::test_CapacityLimiter_memleak_548
#[trio::test(schedules = 200)]
async fn a_cancelled_wait_leaves_nothing_behind() {
    let limiter = CapacityLimiter::new(0);
    let name: Rc<str> = "waiter".into();
    let borrower = Borrower::new(Rc::clone(&name));
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async {
            assert!(scope.run(limiter.acquire_on_behalf_of(borrower.clone())).await.is_none());
        });
        settle().await;
        assert_eq!(limiter.statistics().tasks_waiting, 1);
        handle.cancel();
    }
    assert_eq!(limiter.statistics().tasks_waiting, 0);
    drop(borrower);
    assert_eq!(Rc::strong_count(&name), 1, "the limiter knows it no more");
}

#[trio::test(schedules = 200)]
async fn a_task_borrows_for_itself() {
    let limiter = CapacityLimiter::new(2);
    let token = limiter.acquire().await;
    assert_eq!(token.borrower().task(), Some(current_task()));
    assert_eq!(*token.borrower(), Borrower::current_task());
    assert_eq!(limiter.statistics().borrowers, [Borrower::current_task()]);
    trio::nursery! { |n|
        n.named("child").start_soon(async {
            let token = limiter.acquire().await;
            assert_eq!(format!("{:?}", token.borrower()), "Borrower(\"child\")");
            assert_ne!(*token.borrower(), limiter.statistics().borrowers[0]);
        });
    }
    drop(token);
    let limiter = CapacityLimiter::new(usize::MAX);
    let token = limiter.try_acquire().unwrap();
    assert_eq!(limiter.available_tokens(), isize::MAX);
    drop(token);
    assert_eq!(format!("{:?}", CapacityLimiter::new(3)), "CapacityLimiter { borrowed: 0, total: 3, waiting: 0 }");
    assert_eq!(CapacityLimiter::new(0).try_acquire().unwrap_err(), WouldBlock);
}

#[trio::test]
#[should_panic = "has one of this CapacityLimiter's tokens already"]
async fn a_task_that_has_a_token_asks_for_another() {
    let limiter = CapacityLimiter::new(2);
    let _token = limiter.acquire().await;
    drop(limiter.acquire().await);
}

#[trio::test]
#[should_panic = "waits for one of this CapacityLimiter's tokens already"]
async fn a_task_asks_twice_at_once() {
    let limiter = CapacityLimiter::new(0);
    drop(futures::future::join(limiter.acquire(), limiter.acquire()).await);
}
