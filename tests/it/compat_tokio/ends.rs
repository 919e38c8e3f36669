//! However a bridge ends, nothing of it is left: no task, no thread, no descriptor.

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use trio::compat::tokio::open;
use trio::to_thread::pool_statistics;

use super::{Witness, eventually, open_what_stays_open, poll_once, start_echo, workers_are_idle};
use crate::support::{alone, descriptors, panic_text, secs, soon};

/// How many threads the process has.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[trio::test]
async fn spawned_tasks_end_with_the_block() {
    let held = Arc::new(());
    let mut tasks = Vec::new();
    let handle = soon(open(async |tokio| {
        for _ in 0..10 {
            let held = Arc::clone(&held);
            tasks.push(tokio.handle().spawn(async move {
                let _held = held;
                tokio::time::sleep(secs(3600)).await;
            }));
        }
        tokio.handle().clone()
    }))
    .await
    .unwrap();
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(handle.metrics().num_alive_tasks(), 0);
    for task in tasks {
        // They have ended, so nobody has to be asked.
        assert!(task.await.unwrap_err().is_cancelled());
    }
    // The handle is good for nothing more.
    assert!(handle.spawn(async {}).await.unwrap_err().is_cancelled());
}

#[trio::test]
async fn the_value_and_the_question_mark_come_out() {
    let result: std::io::Result<trio::Result<u32>> = soon(open(async |tokio| {
        tokio.run(async { tokio::net::TcpStream::connect("127.0.0.1:1").await }).await?;
        Ok(1)
    }))
    .await;
    assert!(result.unwrap().is_err());
    assert_eq!(soon(open(async |_| 42)).await.unwrap(), 42);
}

#[test]
fn a_panic_of_a_spawned_task_is_its_handles_only() {
    trio::run(soon(open(async |tokio| {
        let error = tokio.run(async { tokio::spawn(async { panic!("theirs") }).await }).await.unwrap_err();
        assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "theirs");
        // One that nobody looks at.
        tokio.handle().spawn(async { panic!("nobody's") });
        tokio.run(async { tokio::task::spawn_blocking(|| ()).await.unwrap() }).await;
    })))
    .unwrap();
}

#[test]
fn a_panic_of_the_future_is_ours_and_the_runtime_ends_all_the_same() {
    let held = Arc::new(());
    let went = Cell::new(None);
    let text = panic_text(|| {
        trio::run(soon(open(async |tokio| {
            let held = Arc::clone(&held);
            tokio.handle().spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            let _left: () = tokio
                .run(async {
                    let _witness = Witness(&went);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    panic!("ours");
                })
                .await;
        })))
        .unwrap();
    });
    assert_eq!(text, "ours");
    assert_eq!(went.get(), Some(true));
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(!super::in_tokio());
}

#[test]
fn a_spawned_task_that_panics_when_it_is_dropped_does_no_harm() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "a destructor's panic");
        }
    }
    let ended = catch_unwind(AssertUnwindSafe(|| {
        trio::run(soon(open(async |tokio| {
            tokio.handle().spawn(async {
                let _bomb = Bomb;
                std::future::pending::<()>().await;
            });
            tokio.run(async { tokio::time::sleep(Duration::from_millis(5)).await }).await;
        })))
        .unwrap();
    }));
    // tokio keeps it to the task, whose handle nobody has.
    assert!(ended.is_ok());
}

#[test]
fn bridges_leak_neither_descriptors_nor_threads() {
    alone(module_path!(), "bridges_leak_neither_descriptors_nor_threads", || {
        let round = |number: u32| {
            trio::run(async {
                let limit = Duration::from_micros(u64::from(number) * 50);
                let _ = trio::move_on_after(
                    limit,
                    open(async |tokio| {
                        let echo = tokio.within(start_echo);
                        for number in 0..20 {
                            tokio.run(super::ask(&echo, number)).await;
                        }
                        tokio
                            .run(async {
                                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                                tokio::task::spawn_blocking(|| ()).await.unwrap();
                                listener.accept().await.unwrap();
                            })
                            .await;
                    }),
                )
                .await;
            });
        };
        round(100);
        eventually("the worker is idle", workers_are_idle);
        let (open_before, threads_before) = (descriptors(), threads());
        for number in 0..200 {
            round(number);
            // When the block is over, the thread has nothing of it any more.
            assert_eq!(descriptors(), open_before);
        }
        eventually("the threads of tokio's that block end", || threads() == threads_before);
        // One after the other, all used the same thread.
        assert_eq!(pool_statistics().threads_started, 1);
    });
}

#[test]
fn a_future_that_foreign_code_drops_leaves_nothing_for_long() {
    alone(module_path!(), "a_future_that_foreign_code_drops_leaves_nothing_for_long", || {
        open_what_stays_open();
        let before = descriptors();
        let held = Arc::new(());
        trio::run(async {
            let inside = descriptors();
            for polls in 1..4 {
                let mut block = Box::pin(open(async |tokio| {
                    let held = Arc::clone(&held);
                    tokio.handle().spawn(async move {
                        let _held = held;
                        std::future::pending::<()>().await;
                    });
                    tokio.run(async { tokio::time::sleep(secs(3600)).await }).await;
                }));
                for _ in 0..polls {
                    assert!(poll_once(block.as_mut()).await.is_pending());
                }
                drop(block);
                while !workers_are_idle() || descriptors() > inside {
                    trio::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        assert_eq!((descriptors(), Arc::strong_count(&held)), (before, 1));
    });
}

#[test]
fn a_future_that_is_forgotten_is_stopped_at_the_end_of_the_run() {
    alone(module_path!(), "a_future_that_is_forgotten_is_stopped_at_the_end_of_the_run", || {
        let held = Arc::new(());
        let ended = Arc::new(AtomicBool::new(false));
        trio::run(async {
            let (held, ended) = (Arc::clone(&held), Arc::clone(&ended));
            let mut block = Box::pin(open(async move |tokio| {
                tokio.handle().spawn(async move {
                    let _held = held;
                    let _ended = crate::support::OnDrop(|| ended.store(true, Ordering::SeqCst));
                    std::future::pending::<()>().await;
                });
                // A call that is forgotten, in a block that is.
                let mut call = Box::pin(tokio.run(async { tokio::time::sleep(Duration::from_millis(1)).await }));
                assert!(poll_once(call.as_mut()).await.is_pending());
                mem::forget(call);
                std::future::pending::<()>().await;
            }));
            assert!(poll_once(block.as_mut()).await.is_pending());
            mem::forget(block);
            // tokio wakes what nobody polls any more.
            trio::sleep(Duration::from_millis(5)).await;
            assert!(!workers_are_idle());
        });
        eventually("the thread ends", || workers_are_idle() && ended.load(Ordering::SeqCst));
        assert_eq!(Arc::strong_count(&held), 1);
        // Another run has nothing to do with it.
        assert_eq!(trio::run(soon(open(async |tokio| tokio.run(async { 1 }).await))).unwrap(), 1);
    });
}

#[test]
fn a_block_that_outlives_its_run_stops_too() {
    alone(module_path!(), "a_block_that_outlives_its_run_stops_too", || {
        let mut block = Box::pin(open(async |tokio| {
            tokio.run(async { tokio::time::sleep(secs(3600)).await }).await;
        }));
        trio::run(async { assert!(poll_once(block.as_mut()).await.is_pending()) });
        eventually("the thread ends", workers_are_idle);
        // In no run, and in another one.
        drop(block);
        trio::run(async {
            let mut first = Box::pin(open(async |_| std::future::pending::<()>().await));
            assert!(poll_once(first.as_mut()).await.is_pending());
            mem::forget(first);
        });
        eventually("the thread ends", workers_are_idle);
    });
}

#[test]
fn a_bridge_in_a_system_task_ends_with_the_run() {
    let held = Arc::new(());
    let own = Arc::clone(&held);
    trio::run(async {
        let begun = std::rc::Rc::new(trio::Event::new());
        let is_begun = std::rc::Rc::clone(&begun);
        trio::lowlevel::spawn_system_task("a bridge", async move {
            open(async |tokio| {
                tokio.handle().spawn(async move {
                    let _own = own;
                    std::future::pending::<()>().await;
                });
                is_begun.set();
                tokio.run(std::future::pending::<()>()).await;
            })
            .await
            .unwrap();
        })
        .unwrap();
        soon(begun.wait()).await;
    });
    assert_eq!(Arc::strong_count(&held), 1);
}

#[trio::test]
async fn what_was_made_in_a_block_can_be_dropped_after_it() {
    let (go, gone) = oneshot::channel::<()>();
    let (stream, interval, task) = soon(open(async |tokio| {
        tokio
            .run(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                (stream, tokio::time::interval(secs(1)), tokio::spawn(gone))
            })
            .await
    }))
    .await
    .unwrap();
    // tokio's own errors, and no hang.
    assert!(soon(stream.readable()).await.is_err());
    assert!(soon(task).await.unwrap_err().is_cancelled());
    drop((stream, interval));
    assert!(go.send(()).is_err());
}
