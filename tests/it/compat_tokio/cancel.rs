//! What a cancellation does on each side.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use trio::CancelScope;
use trio::compat::tokio::open;

use super::{Witness, ask, in_tokio, start_echo};
use crate::support::{forever, secs, settle, soon};

/// Asks the echo several times; cancelled when it is polled for the `at`-th time. Gives what came of it, how often it was
/// polled, and whether it went in the runtime.
async fn cancelled_at(at: u32, tokio: &trio::compat::tokio::Tokio) -> (Option<u32>, u32, Option<bool>) {
    let (polls, went) = (Cell::new(0), Cell::new(None));
    let outcome = trio::cancel_scope! { |scope|
        let mut asking = pin!(tokio.run(async {
            let _witness = Witness(&went);
            let echo = start_echo();
            let mut number = 0;
            while number < 5 {
                number = ask(&echo, number).await;
                tokio::task::yield_now().await;
                trio::checkpoint().await;
            }
            number
        }));
        poll_fn(|context| {
            polls.set(polls.get() + 1);
            if polls.get() == at {
                scope.cancel();
            }
            asking.as_mut().poll(context)
        })
        .await
    };
    (outcome, polls.get(), went.get())
}

#[trio::test]
async fn cancelled_at_any_poll_it_is_dropped_in_the_runtime_and_nothing_is_left_there() {
    soon(open(async |tokio| {
        let mut completed = 0;
        for at in 1..=200 {
            let (outcome, polls, went) = cancelled_at(at, tokio).await;
            // At the first poll it has not begun; later it is polled no more than once after the cancellation.
            assert_eq!(went, if at == 1 { None } else { Some(true) }, "cancelled at poll {at}");
            match outcome {
                Some(number) => {
                    assert_eq!(number, 5);
                    completed += 1;
                }
                None => assert!((at..=at + 1).contains(&polls), "{polls} polls, cancelled at poll {at}"),
            }
            assert!(!in_tokio());
        }
        assert!(completed > 0, "the last of them came too late");
        // The echoes have ended with those who asked.
        while tokio.handle().metrics().num_alive_tasks() > 0 {
            trio::sleep(Duration::from_millis(1)).await;
        }
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn a_shield_holds() {
    soon(open(async |tokio| {
        let done = Cell::new(false);
        let after = trio::cancel_scope! { |scope|
            scope.cancel();
            trio::shield(tokio.run(async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                trio::sleep(Duration::from_millis(1)).await;
                done.set(true);
            }))
            .await;
            trio::checkpoint().await;
        };
        assert!(after.is_none());
        assert!(done.get());

        // Inside of the future.
        done.set(false);
        let (sender, receiver) = oneshot::channel();
        trio::nursery! { |n, scope|
            n.start_soon(tokio.run(trio::shield(async {
                receiver.await.unwrap();
                done.set(true);
            })));
            settle().await;
            scope.cancel();
            trio::shield(async {
                settle().await;
                sender.send(()).unwrap();
            })
            .await;
        };
        assert!(done.get());
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn clean_up_of_trio_can_use_tokio() {
    soon(open(async |tokio| {
        let clean = Cell::new(false);
        let work = tokio.run(async {
            trio::finally(async { tokio::time::sleep(secs(3600)).await }, async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                clean.set(true);
            })
            .await;
        });
        assert!(trio::move_on_after(Duration::from_millis(5), work).await.is_none());
        assert!(clean.get());
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn what_was_handed_on_goes_on_and_the_answer_is_dropped() {
    soon(open(async |tokio| {
        let count = Arc::new(AtomicU32::new(0));
        let (go, gone) = oneshot::channel::<()>();
        let counting = Arc::clone(&count);
        let asked = trio::cancel_scope! { |scope|
            tokio.run(async {
                let task = tokio::spawn(async move {
                    gone.await.unwrap();
                    counting.fetch_add(1, Ordering::Relaxed);
                });
                scope.cancel();
                task.await.unwrap();
            })
            .await;
        };
        assert!(asked.is_none());
        // It is detached, not cancelled.
        go.send(()).unwrap();
        while count.load(Ordering::Relaxed) == 0 {
            trio::sleep(Duration::from_millis(1)).await;
        }
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn a_cancelled_block_waits_for_the_end_of_its_thread() {
    let (begun, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let dropped = Arc::new(());
    let (has_begun, has_ended, held) = (Arc::clone(&begun), Arc::clone(&ended), Arc::clone(&dropped));
    let others = Cell::new(0);
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_daemon(async {
            loop {
                others.set(others.get() + 1);
                trio::sleep(Duration::from_millis(1)).await;
            }
        });
        let left = scope.run(open(async |tokio| {
            let blocking = tokio.handle().spawn_blocking(move || {
                has_begun.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(200));
                has_ended.store(true, Ordering::SeqCst);
            });
            tokio.handle().spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            while !begun.load(Ordering::SeqCst) {
                trio::sleep(Duration::from_millis(1)).await;
            }
            handle.cancel();
            tokio.run(blocking).await.unwrap();
        }));
        let before = others.get();
        assert!(soon(left).await.is_none());
        assert!(ended.load(Ordering::SeqCst));
        assert_eq!(Arc::strong_count(&dropped), 1);
        // Meanwhile the run went on.
        assert!(others.get() > before + 5, "{} steps", others.get() - before);
    };
}

#[trio::test]
async fn cancelled_on_entry_nothing_is_started() {
    let opened = trio::cancel_scope! { |scope|
        scope.cancel();
        open(async |_tokio| panic!("it is not called")).await
    };
    assert!(opened.is_none());
}

#[trio::test]
async fn a_cancellation_of_everything_ends_many_bridges() {
    let begun = Cell::new(0);
    soon(async {
        trio::nursery! { |n, scope|
            for _ in 0..20 {
                n.start_soon(async {
                    open(async |tokio| {
                        begun.set(begun.get() + 1);
                        trio::nursery! { |n|
                            n.start_soon(tokio.run(std::future::pending::<()>()));
                            n.start_soon(tokio.run(async { tokio::time::sleep(secs(3600)).await }));
                            forever().await;
                        };
                    })
                    .await
                    .unwrap();
                });
            }
            while begun.get() < 20 {
                trio::checkpoint().await;
            }
            scope.cancel();
        };
    })
    .await;
}
