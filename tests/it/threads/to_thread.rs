//! `to_thread::run_sync`: values, panics, cancellation, and what is left of a call that nobody waits for.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use trio::testing::{active_thread_count, assert_checkpoints, wait_all_threads_completed};
use trio::{CancelScope, Event, from_thread, to_thread};

use super::{Gate, PATIENCE};

// trio: _tests/test_threads.py::test_run_in_worker_thread
#[trio::test]
async fn a_function_runs_in_another_thread_and_its_value_or_panic_comes_back() {
    let here = thread::current().id();
    let there = assert_checkpoints(to_thread::run_sync(move || thread::current().id())).await;
    assert_ne!(there, here);

    let failed: Result<u32, thread::ThreadId> = to_thread::run_sync(|| Err(thread::current().id())).await;
    assert_ne!(failed.unwrap_err(), here);

    let mut call = pin!(to_thread::run_sync(|| panic_any(thread::current().id())));
    let panic = poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))).map_or_else(Poll::Ready, |poll: Poll<()>| {
            assert!(poll.is_pending());
            Poll::Pending
        })
    })
    .await;
    assert_ne!(*panic.downcast_ref::<thread::ThreadId>().unwrap(), here);
}

#[test]
fn a_panic_in_the_thread_goes_on_in_the_task_and_ends_the_run() {
    let panic = catch_unwind(|| trio::run(to_thread::run_sync(|| panic_any(7_u32)))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&7_u32));
}

#[trio::test]
async fn other_tasks_run_meanwhile() {
    let (open, gate) = Gate::new();
    let event = Event::new();
    trio::nursery! { |n|
        n.start_soon(async { to_thread::run_sync(move || gate.pass()).await; event.set(); });
        for _ in 0..3 {
            trio::checkpoint().await;
        }
        assert!(!event.is_set());
        open.send(()).unwrap();
        event.wait().await;
    }
}

// trio: _tests/test_threads.py::test_run_in_worker_thread_cancellation
#[trio::test]
async fn a_cancelled_call_that_may_be_abandoned_ends_at_once() {
    let (open, gate) = Gate::new();
    let (began, has_begun) = Gate::new();
    let (ended, has_ended) = Gate::new();
    let call = to_thread::Call::new().abandonable();
    trio::nursery! { |n, scope|
        n.start_soon(call.run_sync(move || {
            began.send(()).unwrap();
            gate.pass();
            ended.send(()).unwrap();
        }));
        to_thread::run_sync(move || has_begun.pass()).await;
        scope.cancel();
    };
    assert_eq!(active_thread_count(), 0);
    // The thread is still where it was.
    open.send(()).unwrap();
    has_ended.pass();
}

// trio: _tests/test_threads.py::test_run_in_worker_thread_cancellation
#[trio::test]
async fn a_cancelled_call_holds_its_scope_until_the_thread_has_ended() {
    let (open, gate) = Gate::new();
    let (began, has_begun) = Gate::new();
    let (exited, value) = (Cell::new(false), Cell::new(None));
    trio::nursery! { |n|
        let scope = CancelScope::new();
        let handle = scope.handle();
        let (exited, value) = (&exited, &value);
        n.start_soon(async move {
            let caught = scope.run(async {
                value.set(Some(to_thread::run_sync(move || {
                    began.send(()).unwrap();
                    gate.pass();
                    7
                }).await));
                trio::checkpoint().await;
                unreachable!("the cancellation is met at the next checkpoint");
            });
            assert!(caught.await.is_none());
            exited.set(true);
        });
        to_thread::run_sync(move || has_begun.pass()).await;
        handle.cancel();
        for _ in 0..10 {
            trio::checkpoint().await;
        }
        assert!(!exited.get() && !handle.caught());
        assert_eq!(active_thread_count(), 1);
        open.send(()).unwrap();
        wait_all_threads_completed().await;
    }
    assert!(exited.get());
    assert_eq!(value.get(), Some(7));
}

// trio: _tests/test_threads.py::test_run_in_worker_thread_cancellation
#[trio::test]
async fn a_call_in_a_cancelled_scope_calls_nothing() {
    for call in [to_thread::Call::new(), to_thread::Call::new().abandonable()] {
        let called = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&called);
        let scope = CancelScope::new();
        scope.handle().cancel();
        let result = scope.run(call.run_sync(move || seen.store(true, Ordering::Relaxed))).await;
        assert!(result.is_none());
        // The closure has been dropped, so it can't be called any more.
        assert_eq!(Arc::strong_count(&called), 1);
        assert!(!called.load(Ordering::Relaxed));
    }
}

#[trio::test]
async fn a_nursery_with_a_thread_waits_for_it_when_it_is_cancelled_from_above() {
    let (open, gate) = Gate::new();
    let (began, has_begun) = Gate::new();
    let after = Cell::new(false);
    let result = trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            n.start_soon(to_thread::run_sync(move || {
                began.send(()).unwrap();
                gate.pass();
            }));
            to_thread::run_sync(move || has_begun.pass()).await;
            scope.cancel();
            trio::shield!({
                for _ in 0..10 {
                    trio::checkpoint().await;
                }
                assert_eq!(active_thread_count(), 1);
                open.send(()).unwrap();
            });
        }
        trio::checkpoint().await;
        after.set(true);
    };
    assert!(result.is_none());
    assert!(!after.get());
    assert_eq!(active_thread_count(), 0);
}

/// A waker that tells that it has been woken, and passes it on.
struct Told(AtomicBool, Waker);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
        self.1.wake_by_ref();
    }
}

impl Told {
    fn new(waker: &Waker) -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(false), waker.clone()))
    }

    /// Blocks the thread until it has been woken.
    fn wait(&self) {
        let started = Instant::now();
        while !self.0.load(Ordering::SeqCst) {
            assert!(started.elapsed() < PATIENCE, "nobody has been woken");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[trio::test]
async fn an_answer_that_came_before_the_cancellation_is_not_lost() {
    let (open, gate) = Gate::new();
    let (value, told) = (Cell::new(None), RefCell::new(None));
    trio::nursery! { |n|
        let scope = CancelScope::new();
        let handle = scope.handle();
        let call = to_thread::Call::new().abandonable().run_sync(move || { gate.pass(); 7 });
        let (value, seen) = (&value, &told);
        n.start_soon(async move {
            let mut call = pin!(call);
            let call = poll_fn(|context| {
                let told = Told::new(context.waker());
                let poll = call.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&told))));
                seen.replace(Some(told));
                poll
            });
            scope.run(async { value.set(Some(call.await)) }).await;
        });
        // Until it waits for its thread, and nothing else.
        while active_thread_count() == 0 {
            trio::checkpoint().await;
        }
        trio::testing::wait_all_tasks_blocked(Duration::ZERO).await;
        open.send(()).unwrap();
        // Without a checkpoint, so that the task can't fetch the answer, which is there.
        told.take().expect("it has been polled").wait();
        handle.cancel();
    }
    assert_eq!(value.get(), Some(7));
}

#[trio::test]
async fn a_call_that_foreign_code_drops_leaves_the_thread_to_itself() {
    let (open, gate) = Gate::new();
    let (told, tells) = channel();
    let mut call = Box::pin(to_thread::run_sync(move || {
        gate.pass();
        told.send(from_thread::check_cancelled().map_err(|error| error.reason().is_some())).unwrap();
    }));
    assert!(poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await);
    while active_thread_count() == 0 {
        trio::checkpoint().await;
        assert!(poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await);
    }
    assert_eq!(to_thread::current_default_thread_limiter().borrowed_tokens(), 1);
    drop(call);
    assert_eq!(active_thread_count(), 0);
    assert_eq!(to_thread::current_default_thread_limiter().borrowed_tokens(), 1);
    open.send(()).unwrap();
    assert_eq!(tells.recv_timeout(PATIENCE), Ok(Err(false)));
    while to_thread::current_default_thread_limiter().borrowed_tokens() > 0 {
        trio::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_thread_of_a_call_that_was_forgotten_is_told_at_the_end_of_the_run() {
    let (open, gate) = Gate::new();
    let (told, tells) = channel();
    trio::run(async {
        let mut call = Box::pin(to_thread::run_sync(move || {
            gate.pass();
            told.send(from_thread::run_sync(|| 1)).unwrap();
        }));
        let asked = poll_fn(|context| Poll::Ready(Told::new(context.waker()))).await;
        let waker = Waker::from(Arc::clone(&asked));
        let mut context = Context::from_waker(&waker);
        assert!(call.as_mut().poll(&mut context).is_pending());
        while active_thread_count() == 0 {
            trio::checkpoint().await;
            assert!(call.as_mut().poll(&mut context).is_pending());
        }
        trio::testing::wait_all_tasks_blocked(Duration::ZERO).await;
        asked.0.store(false, Ordering::SeqCst);
        std::mem::forget(call);
        open.send(()).unwrap();
        // It asks a task that will never look.
        asked.wait();
    });
    assert_eq!(tells.recv_timeout(PATIENCE), Ok(Err(trio::RunFinishedError)));
}

#[trio::test]
async fn calls_work_in_combinators_with_wakers_of_their_own() {
    use futures::stream::{FuturesUnordered, StreamExt};
    let mut calls: FuturesUnordered<_> = (0..20_u64).map(|i| to_thread::run_sync(move || i * i)).collect();
    let mut sum = 0;
    while let Some(square) = calls.next().await {
        sum += square;
    }
    assert_eq!(sum, (0..20).map(|i| i * i).sum::<u64>());
}

#[test]
fn the_call_is_a_future_that_does_nothing_outside_a_run() {
    let call = pin!(to_thread::run_sync(|| ()));
    let polled = catch_unwind(AssertUnwindSafe(|| call.poll(&mut Context::from_waker(Waker::noop()))));
    assert!(polled.is_err());
}

// trio: _tests/test_threads.py::test_wait_all_threads_completed
#[trio::test]
async fn waiting_for_all_threads() {
    let (open1, gate1) = Gate::new();
    let (open2, gate2) = Gate::new();
    let completed = Rc::new(Cell::new(false));
    trio::nursery! { |n|
        n.start_soon(to_thread::run_sync(move || gate1.pass()));
        n.start_soon(to_thread::run_sync(move || gate2.pass()));
        while active_thread_count() < 2 {
            trio::checkpoint().await;
        }
        let seen = Rc::clone(&completed);
        n.start_soon(async move {
            wait_all_threads_completed().await;
            seen.set(true);
        });
        trio::testing::wait_all_tasks_blocked(Duration::ZERO).await;
        assert!(!completed.get());
        assert_eq!(active_thread_count(), 2);
        open1.send(()).unwrap();
        while active_thread_count() > 1 {
            trio::sleep(Duration::from_millis(1)).await;
        }
        trio::testing::wait_all_tasks_blocked(Duration::ZERO).await;
        assert!(!completed.get());
        open2.send(()).unwrap();
    }
    assert!(completed.get());
    assert_eq!(active_thread_count(), 0);
}

// trio: _tests/test_threads.py::test_wait_all_threads_completed_no_threads
#[trio::test]
async fn waiting_for_no_threads() {
    assert_checkpoints(wait_all_threads_completed()).await;
    assert_eq!(active_thread_count(), 0);
}

#[trio::test(autojump)]
async fn a_virtual_clock_does_not_wait_for_threads() {
    let (open, gate) = Gate::new();
    let started = trio::current_time();
    let result = trio::move_on_after!(Duration::from_secs(5), {
        trio::nursery! { |n|
            n.start_soon(to_thread::run_sync(move || gate.pass()));
            n.start_soon(async move { trio::shield(trio::sleep(Duration::from_secs(6))).await; open.send(()).unwrap(); });
        }
    });
    // The thread ignores the deadline; all that ran has completed.
    assert_eq!(trio::current_time() - started, Duration::from_secs(6));
    assert_eq!(result, Some(()));
}

// trio: _core/_tests/test_thread_cache.py::test_thread_cache_basics
#[test]
fn a_thread_without_a_task() {
    let (sender, receiver) = channel();
    let here = thread::current().id();
    let deliver = move |result: thread::Result<()>| sender.send((result, thread::current().id())).unwrap();
    to_thread::start_thread_soon(|| panic_any("hi"), deliver).unwrap();
    let (result, there) = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"hi"));
    assert_ne!(there, here);
}

#[trio::test]
async fn calls_without_end_keep_neither_input_nor_deadlines_away() {
    use std::io::Write;
    let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
    reader.set_nonblocking(true).unwrap();
    let started = Instant::now();
    trio::nursery! { |n, scope|
        n.start_soon(async {
            loop {
                to_thread::run_sync(|| ()).await;
                assert!(started.elapsed() < PATIENCE, "the others have had no turn");
            }
        });
        trio::sleep(Duration::from_millis(5)).await;
        // In the middle of it, so that the run hears of it by looking only.
        writer.write_all(b"x").unwrap();
        trio::lowlevel::wait_readable(&reader).await.unwrap();
        scope.cancel();
    };
}
