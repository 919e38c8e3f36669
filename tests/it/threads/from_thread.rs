//! Calls from worker threads back into the task that waits for them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use trio::from_thread::RunError;
use trio::lowlevel::{current_task, current_token, in_run, in_task};
use trio::testing::active_thread_count;
use trio::{CancelScope, CancelSource, RunFinishedError, TaskLocal, from_thread, to_thread};

use super::{Gate, PATIENCE};

// trio: _tests/test_threads.py::test_trio_from_thread_run_sync
#[trio::test]
async fn a_function_is_called_in_the_run() {
    let started = trio::current_time();
    let here = thread::current().id();
    let (then, there) = to_thread::run_sync(|| {
        assert!(!in_run());
        let then = from_thread::run_sync(trio::current_time).unwrap();
        (then, from_thread::run_sync(|| thread::current().id()).unwrap())
    })
    .await;
    assert!(then >= started);
    assert_eq!(there, here);
}

// That a plain function is not taken for an async one, or the other way round, is seen to by their types.
// trio: _tests/test_threads.py::test_trio_from_thread_run
#[trio::test]
async fn an_async_function_runs_in_the_run() {
    let (log, logged) = channel();
    to_thread::run_sync(move || {
        log.send("in thread").unwrap();
        let back = log.clone();
        from_thread::run(async move || {
            trio::checkpoint().await;
            assert!(in_task());
            back.send("back in trio").unwrap();
        })
        .unwrap();
        log.send("in thread again").unwrap();
    })
    .await;
    assert_eq!(logged.iter().collect::<Vec<_>>(), ["in thread", "back in trio", "in thread again"]);
}

#[trio::test]
async fn both_are_done_in_the_task_that_waits_with_its_task_locals() {
    static NAME: TaskLocal<&str> = TaskLocal::new("name");
    let host = current_task();
    NAME.set("host");
    let seen = to_thread::run_sync(|| {
        let seen = |task: trio::lowlevel::Task| (task.id(), NAME.get());
        (
            from_thread::run_sync(move || seen(current_task())).unwrap(),
            from_thread::run(async move || {
                trio::checkpoint().await;
                seen(current_task())
            })
            .unwrap(),
        )
    });
    assert_eq!(seen.await, ((host.id(), "host"), (host.id(), "host")));
}

#[trio::test]
async fn what_runs_in_the_task_need_not_be_send() {
    let sum = to_thread::run_sync(|| {
        from_thread::run(async || {
            let cell = Rc::new(Cell::new(1));
            trio::nursery! { |n|
                n.start_soon(async { cell.set(cell.get() + 1); });
            }
            cell.get()
        })
    });
    assert_eq!(sum.await, Ok(2));
}

#[trio::test]
async fn panics_go_to_the_thread() {
    let caught = to_thread::run_sync(|| {
        let sync = thread::Builder::new();
        drop(sync);
        let one = std::panic::catch_unwind(|| from_thread::run_sync(|| std::panic::panic_any(1_u32)));
        let two = std::panic::catch_unwind(|| {
            from_thread::run(async || {
                trio::checkpoint().await;
                std::panic::panic_any(2_u32)
            })
        });
        let number = |panic: Box<dyn std::any::Any + Send>| *panic.downcast_ref::<u32>().unwrap();
        (one.map(drop).map_err(number), two.map(drop).map_err(number))
    });
    assert_eq!(caught.await, (Err(1), Err(2)));
}

// trio: _tests/test_threads.py::test_trio_to_thread_run_sync_token, _tests/test_threads.py::test_trio_from_thread_token
#[trio::test]
async fn a_worker_thread_knows_its_run() {
    let token = current_token();
    let found = to_thread::run_sync(|| from_thread::run_sync(current_token)).await.unwrap();
    assert_eq!(found, token);
    let other = thread::spawn(|| trio::run(async { current_token() })).join().unwrap();
    assert_ne!(other, token);
}

// trio: _tests/test_threads.py::test_trio_from_thread_token_kwarg
#[trio::test]
async fn a_worker_thread_can_use_a_token_all_the_same() {
    let token = current_token();
    let given = token.clone();
    let found = to_thread::run_sync(move || {
        // Not in the task, then.
        assert_eq!(given.run_sync(in_task), Ok(false));
        given.run_sync(current_token)
    });
    assert_eq!(found.await.unwrap(), token);
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    panic.downcast_ref::<String>().expect("a message").clone()
}

// trio: _tests/test_threads.py::test_from_thread_no_token
#[trio::test]
async fn the_threads_of_runs_may_not_wait_for_themselves() {
    for panic in [
        std::panic::catch_unwind(|| from_thread::run_sync(trio::current_time).is_ok()).unwrap_err(),
        std::panic::catch_unwind(|| from_thread::run(async || ()).is_ok()).unwrap_err(),
        std::panic::catch_unwind(|| current_token().run_sync(|| ()).is_ok()).unwrap_err(),
        std::panic::catch_unwind(|| current_token().run(async || ()).is_ok()).unwrap_err(),
    ] {
        assert!(message(panic).contains("would wait for itself"));
    }
    // Nor a run in a worker thread.
    let panic = to_thread::run_sync(|| {
        std::panic::catch_unwind(|| trio::run(async { from_thread::run_sync(|| ()).is_ok() })).unwrap_err()
    });
    assert!(message(panic.await).contains("would wait for itself"));
}

// trio: _tests/test_threads.py::test_from_thread_check_cancelled_raises_in_foreign_threads
#[test]
fn foreign_threads_have_no_task_that_could_be_asked() {
    let panic = std::panic::catch_unwind(from_thread::check_cancelled).unwrap_err();
    assert!(message(panic).contains("needs a thread that trio::to_thread started"));
    let panic = std::panic::catch_unwind(|| from_thread::run_sync(|| ())).unwrap_err();
    assert!(message(panic).contains("needs a thread that trio::to_thread started"));
    // A worker thread that nobody waits for is one, too.
    let (sender, receiver) = channel();
    to_thread::start_thread_soon(from_thread::check_cancelled, move |result| sender.send(result).unwrap()).unwrap();
    assert!(receiver.recv_timeout(PATIENCE).unwrap().is_err());
    let panic = std::panic::catch_unwind(|| trio::run(async { from_thread::check_cancelled().is_ok() }));
    assert!(panic.is_err());
}

// trio: _tests/test_threads.py::test_recursive_to_thread
#[trio::test]
async fn a_thread_can_ask_for_another() {
    let (outer, inner) = to_thread::run_sync(|| {
        let inner = from_thread::run(async || to_thread::run_sync(|| thread::current().id()).await);
        (thread::current().id(), inner.unwrap())
    })
    .await;
    assert_ne!(outer, inner);
}

// trio: _tests/test_threads.py::test_from_thread_host_cancelled
#[trio::test]
async fn a_function_without_a_checkpoint_does_not_see_that_the_task_is_cancelled() {
    for sync in [true, false] {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let (open, gate) = Gate::new();
        let seen = handle.clone();
        let value = trio::open_nursery(async |n| {
            n.start_soon(async {
                while active_thread_count() == 0 {
                    trio::checkpoint().await;
                }
                seen.cancel();
                open.send(()).unwrap();
            });
            scope
                .run(to_thread::run_sync(move || {
                    gate.pass();
                    assert!(from_thread::check_cancelled().is_err());
                    if sync {
                        from_thread::run_sync(|| 7).map_err(RunError::from)
                    } else {
                        from_thread::run(async || 7)
                    }
                }))
                .await
        });
        assert_eq!(value.await, Some(Ok(7)));
        assert!(handle.is_cancelled() && !handle.caught());
    }
}

// trio: _tests/test_threads.py::test_from_thread_host_cancelled
#[trio::test]
async fn an_async_function_is_cancelled_with_the_task_that_it_runs_in() {
    struct Dropped(std::sync::mpsc::Sender<&'static str>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }
    let (log, logged) = channel();
    let scope = CancelScope::new();
    let handle = scope.handle();
    let result = trio::open_nursery(async |n| {
        n.start_soon(async {
            while active_thread_count() == 0 {
                trio::checkpoint().await;
            }
            trio::sleep(Duration::from_millis(5)).await;
            handle.cancel_because("enough");
        });
        scope
            .run(async move {
                let error = to_thread::run_sync(move || {
                    let guard = Dropped(log.clone());
                    let result = from_thread::run(async move || {
                        let _guard = guard;
                        trio::sleep(PATIENCE).await;
                    });
                    log.send("told").unwrap();
                    // The next one is cancelled at its first checkpoint.
                    assert!(matches!(from_thread::run(trio::checkpoint), Err(RunError::Cancelled(_))));
                    result.unwrap_err()
                })
                .await;
                let RunError::Cancelled(error) = error else { panic!("{error}") };
                assert_eq!(error.reason().unwrap().text(), Some("enough"));
                trio::checkpoint().await;
                unreachable!("it is cancelled");
            })
            .await
    });
    assert!(result.await.is_none());
    assert!(handle.caught());
    // Its destructors have run when the thread goes on.
    assert_eq!(logged.iter().collect::<Vec<_>>(), ["dropped", "told"]);
}

#[trio::test]
async fn what_is_shielded_in_an_async_function_is_finished() {
    let scope = CancelScope::new();
    let handle = scope.handle();
    let result = trio::open_nursery(async |n| {
        n.start_soon(async {
            while active_thread_count() == 0 {
                trio::checkpoint().await;
            }
            handle.cancel();
        });
        scope
            .run(async move {
                let result = to_thread::run_sync(move || {
                    let (sender, receiver) = channel();
                    let result = from_thread::run(async move || {
                        trio::shield(trio::sleep(Duration::from_millis(20))).await;
                        sender.send("finished").unwrap();
                        trio::checkpoint().await;
                        sender.send("never").unwrap();
                    });
                    (result.is_err(), receiver.iter().collect::<Vec<_>>())
                });
                assert_eq!(result.await, (true, vec!["finished"]));
                trio::checkpoint().await;
            })
            .await
    });
    assert!(result.await.is_none());
}

// trio: _tests/test_threads.py::test_from_thread_host_cancelled
#[trio::test]
async fn an_abandoned_thread_has_its_functions_called_beside_the_tasks() {
    let (open, gate) = Gate::new();
    let (sender, receiver) = channel();
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::open_nursery(async |n| {
        n.start_soon(async {
            while active_thread_count() == 0 {
                trio::checkpoint().await;
            }
            handle.cancel();
        });
        let call = to_thread::Call::new().abandonable().run_sync(move || {
            let before = from_thread::run_sync(in_task);
            gate.pass();
            let after = from_thread::run(async || {
                trio::checkpoint().await;
                current_task().name().to_owned()
            });
            sender.send((before, after)).unwrap();
        });
        assert!(scope.run(call).await.is_none());
    })
    .await;
    assert!(handle.caught());
    open.send(()).unwrap();
    let found = loop {
        trio::sleep(Duration::from_millis(1)).await;
        if let Ok(found) = receiver.try_recv() {
            break found;
        }
    };
    assert_eq!(found, (Ok(false), Ok("a call from a thread".to_owned())));
}

// trio: _tests/test_threads.py::test_from_thread_check_cancelled_no_abandon
#[trio::test]
async fn a_thread_sees_that_its_task_has_been_cancelled() {
    for cancel in [false, true] {
        let (open, gate) = Gate::new();
        let (began, has_begun) = Gate::new();
        let scope = CancelScope::new();
        let handle = scope.handle();
        let ended = Cell::new(None);
        trio::nursery! { |n|
            let ended = &ended;
            n.named("worker's task").start_soon(async move {
                scope.run(async {
                    let result = to_thread::run_sync(move || {
                        from_thread::check_cancelled()?;
                        began.send(()).unwrap();
                        gate.pass();
                        from_thread::check_cancelled()
                    }).await;
                    ended.set(Some(result.map_err(|error| error.to_string())));
                    trio::checkpoint().await;
                }).await;
            });
            to_thread::run_sync(move || has_begun.pass()).await;
            if cancel {
                handle.cancel();
            }
            open.send(()).unwrap();
        }
        match ended.take().unwrap() {
            Ok(()) => assert!(!cancel),
            Err(error) => {
                assert!(cancel);
                assert!(error.starts_with("cancelled due to explicit from task "), "{error}");
            }
        }
        assert_eq!(handle.caught(), cancel);
    }
}

// trio: _tests/test_threads.py::test_from_thread_check_cancelled_abandon_on_cancel
#[trio::test]
async fn an_abandoned_thread_sees_that_its_task_has_been_cancelled() {
    let (open, gate) = Gate::new();
    let (began, has_begun) = Gate::new();
    let (sender, receiver) = channel();
    let call = to_thread::Call::new().abandonable().run_sync(move || {
        assert!(from_thread::check_cancelled().is_ok());
        began.send(()).unwrap();
        gate.pass();
        sender.send(from_thread::check_cancelled()).unwrap();
    });
    let handle = RefCell::new(None);
    trio::nursery! { |n, scope|
        handle.replace(Some(scope.clone()));
        n.start_soon(call);
        to_thread::run_sync(move || has_begun.pass()).await;
        scope.cancel_because("enough");
    };
    open.send(()).unwrap();
    let error = receiver.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.reason().cloned(), handle.take().unwrap().reason());
    assert_eq!(error.reason().unwrap().source(), CancelSource::Explicit);
}

#[trio::test]
async fn that_it_has_been_cancelled_stays_so_when_the_task_is_shielded_later() {
    let (open, gate) = Gate::new();
    let shield = CancelScope::new();
    let handle = shield.handle();
    trio::nursery! { |n, scope|
        n.start_soon(async move {
            shield.run(async {
                let result = to_thread::run_sync(move || {
                    gate.pass();
                    from_thread::check_cancelled().is_err()
                }).await;
                assert!(result);
            }).await;
        });
        while active_thread_count() == 0 {
            trio::checkpoint().await;
        }
        scope.cancel();
        handle.set_shield(true);
        open.send(()).unwrap();
    };
}

// trio: _tests/test_threads.py::test_from_thread_run_during_shutdown
#[test]
fn during_shutdown_only_the_task_that_waits_can_be_asked() {
    let (sender, receiver) = channel();
    trio::run(async {
        let token = current_token();
        let (began, has_begun) = Gate::new();
        trio::lowlevel::spawn_system_task("host", async move {
            to_thread::run_sync(move || {
                began.send(()).unwrap();
                while from_thread::check_cancelled().is_ok() {
                    thread::sleep(Duration::from_millis(1));
                }
                let reason = from_thread::check_cancelled().unwrap_err().reason().map(trio::CancelReason::source);
                let with_token = token.run(async || ());
                let without = from_thread::run(async || ());
                let sync = token.run_sync(|| 1);
                sender.send((reason, with_token, without, sync)).unwrap();
            })
            .await;
        })
        .unwrap();
        to_thread::run_sync(move || has_begun.pass()).await;
    });
    let (reason, with_token, without, sync) = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reason, Some(CancelSource::Shutdown));
    assert_eq!(with_token, Err(RunError::RunFinished(RunFinishedError)));
    assert_eq!(without, Ok(()));
    assert_eq!(sync, Ok(1));
}

#[test]
fn an_abandoned_thread_finds_that_the_run_has_finished() {
    let (open, gate) = Gate::new();
    let (sender, receiver) = channel();
    trio::run(async {
        let call = to_thread::Call::new().abandonable().run_sync(move || {
            gate.pass();
            sender.send((from_thread::run_sync(|| 1), from_thread::run(async || 2))).unwrap();
        });
        assert!(trio::move_on_after(Duration::from_millis(1), call).await.is_none());
    });
    open.send(()).unwrap();
    let found = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(found, (Err(RunFinishedError), Err(RunError::RunFinished(RunFinishedError))));
}

#[trio::test]
async fn a_thread_that_asks_without_end_does_not_starve_the_tasks() {
    let (passes, calls) = trio::nursery! { |n|
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stop = std::sync::Arc::clone(&done);
        let calls = n.spawn(to_thread::run_sync(move || {
            let mut calls = 0_u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                from_thread::run_sync(|| ()).unwrap();
                calls += 1;
            }
            calls
        }));
        let started = std::time::Instant::now();
        let mut passes = 0_u32;
        while started.elapsed() < Duration::from_millis(50) {
            trio::checkpoint().await;
            passes += 1;
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        (passes, calls.join().await.unwrap())
    };
    assert!(passes > 10 && calls > 1, "{passes} {calls}");
}
