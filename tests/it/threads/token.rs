//! Calls into a run through its token.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use trio::RunFinishedError;
use trio::from_thread::RunError;
use trio::lowlevel::{Token, current_token, in_run, in_task};
use trio::testing::wait_all_tasks_blocked;

use super::PATIENCE;

fn count_one(count: &AtomicU32) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Calls from a thread that is not trio's, and gives what that gives.
async fn in_foreign_thread<T: Send + 'static>(f: impl FnOnce(Token) -> T + Send + 'static) -> T {
    let token = current_token();
    let thread = thread::spawn(move || f(token));
    while !thread.is_finished() {
        trio::sleep(Duration::from_millis(1)).await;
    }
    thread.join().unwrap()
}

// trio: _tests/test_threads.py::test_do_in_trio_thread
#[trio::test]
async fn foreign_threads_call_into_the_run() {
    let here = thread::current().id();
    let where_it_is = |token: Token| token.run_sync(|| (thread::current().id(), in_run(), in_task()));
    assert_eq!(in_foreign_thread(where_it_is).await, Ok((here, true, false)));
    let value = in_foreign_thread(|token| {
        token.run(async || {
            trio::checkpoint().await;
            assert!(in_task());
            3
        })
    });
    assert_eq!(value.await, Ok(3));
    // An error is a value; a panic goes to the thread, and does the run no harm.
    let error = in_foreign_thread(|token| token.run_sync(|| Err::<(), _>("value")));
    assert_eq!(error.await, Ok(Err("value")));
    let panic = in_foreign_thread(|token| {
        let sync = catch_unwind(AssertUnwindSafe(|| token.run_sync(|| panic_any("value")))).unwrap_err();
        let run = || {
            token.run(async || {
                trio::checkpoint().await;
                panic_any("key")
            })
        };
        let run = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        (*sync.downcast_ref::<&str>().unwrap(), *run.downcast_ref::<&str>().unwrap())
    });
    assert_eq!(panic.await, ("value", "key"));
}

#[test]
fn an_async_function_that_the_run_did_not_finish() {
    let (sender, receiver) = channel();
    let thread = trio::run(async {
        let token = current_token();
        let thread = thread::spawn(move || {
            sender.send(()).unwrap();
            (token.run(trio::sleep_forever), token.run(async || ()), token.run_sync(|| ()))
        });
        receiver.recv_timeout(PATIENCE).unwrap();
        // Long enough for it to have begun, mostly: otherwise it finds the run finished.
        trio::sleep(Duration::from_millis(50)).await;
        thread
    });
    let (cancelled, late, late_sync) = thread.join().unwrap();
    match cancelled {
        Err(RunError::Cancelled(error)) => {
            assert_eq!(error.reason().unwrap().source(), trio::CancelSource::Shutdown);
        }
        other => assert_eq!(other, Err(RunError::RunFinished(RunFinishedError))),
    }
    assert_eq!(late, Err(RunError::RunFinished(RunFinishedError)));
    assert_eq!(late_sync, Err(RunFinishedError));
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_basic
#[trio::test]
async fn a_call_is_made_soon_and_once() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    current_token().run_sync_soon(move || count_one(&count)).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    wait_all_tasks_blocked(Duration::ZERO).await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_idempotent_requeue
#[test]
fn a_repeatable_call_that_asks_for_itself_is_made_again() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    trio::run(async move {
        let own = Arc::new(std::sync::OnceLock::<trio::lowlevel::RepeatableCall>::new());
        let itself = Arc::clone(&own);
        let counter = Arc::clone(&count);
        let call = current_token().repeatable(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            // Refused at the very end of the run.
            let _ = itself.get().unwrap().run_sync_soon();
        });
        own.set(call.clone()).unwrap();
        call.run_sync_soon().unwrap();
        trio::sleep(Duration::from_millis(1)).await;
        while count.load(Ordering::Relaxed) < 2 {
            trio::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(calls.load(Ordering::Relaxed) >= 2);
}

#[test]
fn a_repeatable_call_that_waits_already_is_not_made_twice() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let call = trio::run(async {
        let call = current_token().repeatable(move || count_one(&count));
        for _ in 0..100 {
            call.run_sync_soon().unwrap();
        }
        wait_all_tasks_blocked(Duration::ZERO).await;
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        call.clone().run_sync_soon().unwrap();
        wait_all_tasks_blocked(Duration::ZERO).await;
        call
    });
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(call.run_sync_soon(), Err(RunFinishedError));
    assert_eq!(call.run_sync_soon(), Err(RunFinishedError));
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_after_main_crash
#[test]
fn a_call_that_was_accepted_is_made_although_main_panics() {
    let called = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&called);
    let panic = catch_unwind(move || {
        trio::run(async move {
            current_token().run_sync_soon(move || seen.store(true, Ordering::Relaxed)).unwrap();
            panic_any("main");
        })
    });
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"main"));
    assert!(called.load(Ordering::Relaxed));
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_crashes
#[test]
fn a_call_that_panics_cancels_main_and_ends_the_run() {
    let called = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&called);
    let cancelled = Rc::new(Cell::new(false));
    struct OnDrop(Rc<Cell<bool>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let guard = OnDrop(Rc::clone(&cancelled));
    let panic = catch_unwind(AssertUnwindSafe(|| {
        trio::run(async move {
            let _guard = guard;
            current_token().run_sync_soon(|| panic_any("key")).unwrap();
            current_token().run_sync_soon(move || seen.store(true, Ordering::Relaxed)).unwrap();
            trio::sleep_forever().await
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"key"));
    assert!(called.load(Ordering::Relaxed));
    assert!(cancelled.get());
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_FIFO
#[trio::test]
async fn calls_are_made_in_order() {
    let record = Arc::new(Mutex::new(Vec::new()));
    for number in 0..100 {
        let record = Arc::clone(&record);
        current_token().run_sync_soon(move || record.lock().unwrap().push(number)).unwrap();
    }
    wait_all_tasks_blocked(Duration::ZERO).await;
    assert_eq!(*record.lock().unwrap(), Vec::from_iter(0..100));
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_starvation_resistance
#[test]
fn calls_that_call_again_do_not_starve_the_tasks() {
    fn again(token: Token, record: Arc<Mutex<(u32, u32)>>) {
        record.lock().unwrap().0 += 1;
        let next = (token.clone(), Arc::clone(&record));
        if token.run_sync_soon(move || again(next.0, next.1)) == Err(RunFinishedError) {
            record.lock().unwrap().1 += 1;
        }
    }
    let record = Arc::new(Mutex::new((0, 0)));
    let shared = Arc::clone(&record);
    trio::run(async move {
        let token = current_token();
        token.clone().run_sync_soon(move || again(token, shared)).unwrap();
        for _ in 0..2000 {
            trio::checkpoint().await;
        }
    });
    let (calls, refused) = *record.lock().unwrap();
    // The run looks for calls every so many steps.
    assert!(calls > 19, "{calls}");
    assert_eq!(refused, 1);
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_threaded_stress_test
#[test]
fn a_thread_that_calls_without_end_is_told_when_the_run_has_ended() {
    let count = Arc::new(AtomicU32::new(0));
    let shared = Arc::clone(&count);
    let thread = trio::run(async move {
        let token = current_token();
        let counter = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            loop {
                let counter = Arc::clone(&counter);
                let call = move || count_one(&counter);
                if let Err(error) = token.run_sync_soon(call) {
                    return error;
                }
                thread::sleep(Duration::from_micros(20));
            }
        });
        for _ in 0..10 {
            let before = shared.load(Ordering::Relaxed);
            while shared.load(Ordering::Relaxed) == before {
                trio::sleep(Duration::from_millis(1)).await;
            }
        }
        thread
    });
    assert_eq!(thread.join().unwrap(), RunFinishedError);
    assert!(count.load(Ordering::Relaxed) >= 10);
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_massive_queue
#[trio::test]
async fn a_thousand_calls_at_once() {
    let token = current_token();
    let record = Arc::new(Mutex::new(Vec::new()));
    for number in 0..1000 {
        let record = Arc::clone(&record);
        token.run_sync_soon(move || record.lock().unwrap().push(number)).unwrap();
    }
    wait_all_tasks_blocked(Duration::ZERO).await;
    assert_eq!(*record.lock().unwrap(), Vec::from_iter(0..1000));
}

// The last code of a run is that of the system tasks' destructors.
// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_late_crash
#[test]
fn calls_that_come_at_the_very_end_are_made_although_one_panics() {
    struct Late(Token, Arc<AtomicBool>);
    impl Drop for Late {
        fn drop(&mut self) {
            let called = Arc::clone(&self.1);
            self.0.run_sync_soon(|| panic_any("late")).unwrap();
            self.0.run_sync_soon(move || called.store(true, Ordering::Relaxed)).unwrap();
        }
    }
    let called = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&called);
    let log = RefCell::new(Vec::new());
    let panic = catch_unwind(AssertUnwindSafe(|| {
        trio::run(async {
            let late = Late(current_token(), shared);
            trio::lowlevel::spawn_system_task("late", async move {
                let _late = late;
                trio::sleep_forever().await
            })
            .unwrap();
            trio::checkpoint().await;
            log.borrow_mut().push("main has ended");
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"late"));
    assert!(called.load(Ordering::Relaxed));
    assert_eq!(log.into_inner(), ["main has ended"]);
}
