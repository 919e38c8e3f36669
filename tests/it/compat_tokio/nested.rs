//! Several runtimes at once: bridges side by side and inside one another, in several threads, and inside of tokio itself.

use std::cell::Cell;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Id};
use trio::compat::tokio::open;
use trio::lowlevel::{GuestHost, HostCallback, start_guest_run};

use super::{ask, in_tokio, start_echo};
use crate::support::soon;

fn current() -> Id {
    Handle::current().id()
}

#[trio::test]
async fn two_bridges_in_one_run_are_two_runtimes() {
    soon(open(async |outer| {
        open(async |inner| {
            assert_ne!(outer.handle().id(), inner.handle().id());
            let (echo, other) = (outer.within(start_echo), inner.within(start_echo));
            let rounds = Cell::new(0);
            trio::nursery! { |n|
                for (tokio, echo) in [(outer, &echo), (inner, &other), (outer, &other), (inner, &echo)] {
                    let rounds = &rounds;
                    n.start_soon(async move {
                        for number in 0..50 {
                            tokio.run(async {
                                assert_eq!(current(), tokio.handle().id());
                                assert_eq!(ask(echo, number).await, number + 1);
                                assert_eq!(current(), tokio.handle().id());
                            })
                            .await;
                            rounds.set(rounds.get() + 1);
                        }
                    });
                }
            };
            assert_eq!(rounds.get(), 200);
            // One inside the other: the innermost counts, and the outer one is back afterwards.
            outer
                .run(async {
                    let inside = inner.run(async {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        assert_eq!(current(), inner.handle().id());
                        outer.run(async { assert_eq!(current(), outer.handle().id()) }).await;
                        assert_eq!(current(), inner.handle().id());
                    });
                    inside.await;
                    assert_eq!(current(), outer.handle().id());
                })
                .await;
        })
        .await
        .unwrap();
        // What belongs to the outer one still works.
        outer.run(async { tokio::time::sleep(Duration::from_millis(1)).await }).await;
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn a_bridge_that_is_opened_inside_another_one() {
    soon(open(async |outer| {
        outer
            .run(async {
                let id = current();
                open(async |inner| {
                    inner.run(async { tokio::time::sleep(Duration::from_millis(1)).await }).await;
                    assert_eq!(current(), id);
                    inner.run(async { assert_ne!(current(), id) }).await;
                })
                .await
                .unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            })
            .await;
    }))
    .await
    .unwrap();
}

/// Does something that needs both runtimes.
async fn work() -> u32 {
    let worked = open(async |tokio| {
        let echo = tokio.within(start_echo);
        let mut number = 0;
        for _ in 0..20 {
            number = tokio.run(ask(&echo, number)).await;
            trio::checkpoint().await;
        }
        number
    });
    soon(worked).await.unwrap()
}

#[test]
fn runs_in_several_threads_have_their_own() {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let rounds: u32 = (0..5).map(|_| trio::run(work())).sum();
                    assert!(!in_tokio());
                    rounds
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 100);
        }
    });
}

#[test]
fn a_run_in_a_thread_of_another_runtime_of_tokio() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let id = runtime.handle().id();
    // In a future that the runtime polls: while the run lasts, that runtime drives nothing.
    runtime.block_on(async {
        tokio::task::yield_now().await;
        assert_eq!(trio::run(work()), 20);
        assert_eq!(current(), id);
        tokio::time::sleep(Duration::from_millis(1)).await;
    });
    // In one of its blocking threads, while it drives others.
    let blocking = runtime.block_on(async {
        let thread = tokio::task::spawn_blocking(move || {
            assert_eq!(current(), id);
            let worked = trio::run(async {
                // The runtime around the run is at hand outside of `run`, as it would be without trio.
                assert_eq!(current(), id);
                tokio::time::sleep(Duration::from_millis(1)).await;
                work().await
            });
            assert_eq!(current(), id);
            worked
        });
        let (worked, ()) = tokio::join!(thread, tokio::time::sleep(Duration::from_millis(1)));
        worked.unwrap()
    });
    assert_eq!(blocking, 20);
}

#[test]
fn a_run_in_a_task_that_a_bridge_has_spawned() {
    let sum = trio::run(soon(open(async |tokio| {
        // Blocks the helper of this bridge, but not that of the run inside.
        let task = tokio.handle().spawn(async { trio::run(work()) });
        let blocking = tokio.handle().spawn_blocking(|| trio::run(work()));
        tokio.run(task).await.unwrap() + tokio.run(blocking).await.unwrap()
    })));
    assert_eq!(sum.unwrap(), 40);
}

#[test]
fn a_run_that_is_a_guest_of_tokio() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let worked = tokio::task::LocalSet::new().block_on(&runtime, async {
        let id = current();
        let (calls, mut queue) = tokio::sync::mpsc::unbounded_channel::<HostCallback>();
        // A host that has gone drops what it gets.
        let host = GuestHost::new(move |callback| drop(calls.send(callback)));
        let (done, mut finished) = tokio::sync::oneshot::channel();
        start_guest_run(work(), host, |outcome| done.send(outcome.unwrap()).unwrap());
        loop {
            tokio::select! {
                biased;
                worked = &mut finished => break worked.unwrap(),
                callback = queue.recv() => {
                    callback.expect("the guest goes on")();
                    assert_eq!(current(), id);
                }
            }
        }
    });
    assert_eq!(worked, 20);
}

#[trio::test]
async fn trio_functions_called_by_a_worker_thread_can_use_a_bridge() {
    let worker = || trio::from_thread::run(async || work().await);
    assert_eq!(soon(trio::to_thread::run_sync(worker)).await.unwrap(), 20);
}
