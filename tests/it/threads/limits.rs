//! How many threads work at once, and until when a call counts.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use trio::{Borrower, CapacityLimiter, to_thread};

use super::{Gate, PATIENCE};

/// How many threads are at work now, and how many there have been at most and in all.
#[derive(Default)]
struct Count {
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
    open: AtomicUsize,
}

impl Count {
    /// What each thread does: waits until it is let go.
    fn work(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.all.fetch_add(1, Ordering::SeqCst);
        let started = std::time::Instant::now();
        while self.open.load(Ordering::SeqCst) == 0 {
            assert!(started.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(1));
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn until(condition: impl Fn() -> bool) {
    trio::fail_after(PATIENCE, async {
        while !condition() {
            trio::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it comes true in time");
}

// trio: _tests/test_threads.py::test_run_in_worker_thread_limiter
#[trio::test]
async fn so_many_threads_and_no_more() {
    for most in [3, 5, 10] {
        for abandon in [false, true] {
            for default in [false, true] {
                check_limit(most, abandon, default).await;
            }
        }
    }
}

async fn check_limit(most: usize, abandon: bool, default: bool) {
    let limiter =
        if default { to_thread::current_default_thread_limiter() } else { Rc::new(CapacityLimiter::new(most)) };
    let before = limiter.total_tokens();
    limiter.set_total_tokens(most);
    let count = Arc::new(Count::default());
    trio::nursery! { |n, scope|
        for _ in 0..2 * most {
            let call = to_thread::Call::new();
            let call = if abandon { call.abandonable() } else { call };
            let (limiter, count) = (&limiter, Arc::clone(&count));
            n.start_soon(async move {
                if default {
                    call.run_sync(move || count.work()).await;
                } else {
                    call.limiter(limiter).run_sync(move || count.work()).await;
                }
            });
        }
        until(|| count.now.load(Ordering::SeqCst) == most).await;
        until(|| limiter.statistics().tasks_waiting == most).await;
        assert_eq!(limiter.borrowed_tokens(), most);
        if abandon {
            // Those who wait give up; those who work are left, and keep their tokens.
            scope.cancel();
        } else {
            count.open.store(1, Ordering::SeqCst);
        }
    };
    if abandon {
        assert_eq!(trio::testing::active_thread_count(), 0);
        assert_eq!(limiter.borrowed_tokens(), most);
        assert_eq!(limiter.statistics().tasks_waiting, 0);
        // There is no room for others yet.
        let late =
            trio::move_on_after(Duration::from_millis(2), to_thread::Call::new().limiter(&limiter).run_sync(|| ()));
        assert!(late.await.is_none());
        count.open.store(1, Ordering::SeqCst);
    }
    until(|| limiter.borrowed_tokens() == 0).await;
    assert_eq!(count.now.load(Ordering::SeqCst), 0);
    assert_eq!(count.most.load(Ordering::SeqCst), most);
    assert_eq!(count.all.load(Ordering::SeqCst), if abandon { most } else { 2 * most });
    limiter.set_total_tokens(before);
}

#[trio::test]
async fn each_run_has_a_default_limiter_of_its_own() {
    let limiter = to_thread::current_default_thread_limiter();
    assert_eq!(limiter.total_tokens(), 40);
    assert!(Rc::ptr_eq(&limiter, &to_thread::current_default_thread_limiter()));
    limiter.set_total_tokens(1);
    let others =
        to_thread::run_sync(|| trio::run(async { to_thread::current_default_thread_limiter().total_tokens() }));
    assert_eq!(others.await, 40);
}

#[trio::test]
async fn the_wait_for_the_limiter_can_be_cancelled() {
    let limiter = Rc::new(CapacityLimiter::new(0));
    let call = to_thread::Call::new().limiter(&limiter).run_sync(|| unreachable!("there is no room"));
    assert!(trio::move_on_after(Duration::from_millis(2), call).await.is_none());
    assert_eq!(limiter.statistics().tasks_waiting, 0);
}

#[trio::test]
async fn the_borrower_has_the_name_of_the_call() {
    let limiter = Rc::new(CapacityLimiter::new(1));
    let (open, gate) = Gate::new();
    trio::nursery! { |n|
        n.start_soon(to_thread::Call::new().limiter(&limiter).name("saving").run_sync(move || gate.pass()));
        until(|| limiter.borrowed_tokens() == 1).await;
        assert_eq!(limiter.statistics().borrowers[0].name(), "saving");
        open.send(()).unwrap();
    }
}

/// A limiter that only writes down what happens.
#[derive(Default)]
struct Log(Rc<RefCell<Vec<(&'static str, Borrower)>>>);

struct Logged(Rc<RefCell<Vec<(&'static str, Borrower)>>>, Borrower);

impl to_thread::ThreadLimiter for Log {
    type Token = Logged;

    async fn acquire_on_behalf_of(&self, borrower: Borrower) -> Logged {
        self.0.borrow_mut().push(("acquired", borrower.clone()));
        Logged(Rc::clone(&self.0), borrower)
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.0.borrow_mut().push(("released", self.1.clone()));
    }
}

// trio: _tests/test_threads.py::test_run_in_worker_thread_custom_limiter
#[trio::test]
async fn a_limiter_of_ones_own() {
    let log = Log::default();
    to_thread::Call::new().limiter(&log).run_sync(|| ()).await;
    let events = log.0.borrow();
    let [("acquired", one), ("released", other)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(one, other);
    assert!(one.task().is_none());
}

// trio: _tests/test_threads.py::test_run_in_worker_thread_limiter_error
#[trio::test]
async fn a_limiter_whose_release_panics() {
    struct Bad(Rc<Cell<u32>>);
    struct Token(Rc<Cell<u32>>);
    impl to_thread::ThreadLimiter for Bad {
        type Token = Token;
        async fn acquire_on_behalf_of(&self, _: Borrower) -> Token {
            Token(Rc::clone(&self.0))
        }
    }
    impl Drop for Token {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            panic!("release failed");
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let mut call = std::pin::pin!(to_thread::Call::new().limiter(Bad(Rc::clone(&dropped))).run_sync(|| 5));
    let panic = std::future::poll_fn(|context| {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.as_mut().poll(context)));
        polled.map_or_else(std::task::Poll::Ready, |poll| {
            assert!(poll.is_pending());
            std::task::Poll::Pending
        })
    })
    .await;
    assert_eq!(panic.downcast_ref(), Some(&"release failed"));
    assert_eq!(dropped.get(), 1);
}

#[trio::test]
async fn idle_threads_are_used_again() {
    const CALLS: usize = 200;
    let before = to_thread::pool_statistics();
    let mut threads = HashSet::new();
    for _ in 0..CALLS {
        threads.insert(to_thread::run_sync(|| thread::current().id()).await);
    }
    // Other tests use the same threads, so that it need not be one.
    assert!(threads.len() < CALLS / 2, "{} threads for {CALLS} calls", threads.len());
    assert!(to_thread::pool_statistics().calls >= before.calls + CALLS as u64);
}
