//! Calls into a run from threads that are not trio's, through its token.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use trio::RunFinishedError;
use trio::from_thread::RunError;
use trio::lowlevel::{Token, current_token, in_run, in_task};

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
    let (begins, begun) = channel();
    let thread = trio::run(async {
        let token = current_token();
        let thread = thread::spawn(move || {
            let waits = async move || {
                begins.send(()).unwrap();
                trio::sleep_forever().await
            };
            (token.run(waits), token.run(async || ()), token.run_sync(|| ()))
        });
        while begun.try_recv().is_err() {
            trio::sleep(Duration::from_millis(1)).await;
        }
        thread
    });
    let (cancelled, late, late_sync) = thread.join().unwrap();
    let Err(RunError::Cancelled(error)) = cancelled else { panic!("{cancelled:?}") };
    assert_eq!(error.reason().unwrap().source(), trio::CancelSource::Shutdown);
    assert_eq!(late, Err(RunError::RunFinished(RunFinishedError)));
    assert_eq!(late_sync, Err(RunFinishedError));
}

/// What a thread is told that comes too late, whatever it wants.
#[test]
fn calls_into_a_run_that_has_ended() {
    let token = trio::run(async { current_token() });
    assert_eq!(token.run(trio::sleep_forever), Err(RunError::RunFinished(RunFinishedError)));
    assert_eq!(token.run_sync(|| ()), Err(RunFinishedError));
}
