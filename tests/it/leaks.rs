//! Nothing is left behind: tasks of every kind of end, and all that they had open.
//!
//! The tests count what the run has (nodes, timers, descriptors that it watches), what the process has (open
//! descriptors), and what the tasks had (by reference counts). AddressSanitizer counts the rest of the memory.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::future::{FutureExt, join, join3};
use trio::lowlevel::{Abort, Rescheduler, current_statistics, current_token, wait_readable};
use trio::net::{TcpListener, TcpStream};
use trio::{
    CancelScope, Event, Lock, Nursery, TaskStatus, finally, move_on_after, open_memory_channel, open_nursery,
    open_try_nursery, shield, sleep,
};

use crate::support::{Failed, alone, descriptors, forever};

/// Something that every task owns, so that its count says how many of them are still there.
type Owned = Rc<()>;

async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// A panic that the hook does not print.
fn quiet_panic() {
    resume_unwind(Box::new("quiet"));
}

/// Waits for something, in one of many ways, with something of the run's open.
async fn wait_somehow(owned: Owned, number: usize) {
    let event = Event::new();
    match number % 10 {
        0 => forever().await,
        1 => sleep(Duration::from_secs(3600)).await,
        2 => event.wait().await,
        3 => {
            let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (client, server) = join(TcpStream::connect(address), listener.accept()).await;
            let (mut client, mut server) = (client.unwrap(), server.unwrap().0);
            let (mut byte, mut other) = ([0], [0]);
            let wait = join3(client.receive_some(&mut byte), server.receive_some(&mut other), listener.accept());
            drop(wait.await);
        }
        4 => drop(move_on_after(Duration::from_secs(3600), forever()).await),
        5 => {
            let (sender, receiver) = open_memory_channel(0);
            drop(sender.send(Rc::clone(&owned)).await);
            drop(receiver);
        }
        6 => {
            let lock = Lock::new(Rc::clone(&owned));
            let _guard = lock.lock().await;
            drop(lock.lock().await);
        }
        7 => {
            let scope = CancelScope::new().timeout(Duration::from_secs(3600));
            let _handle = scope.handle();
            let nursery = open_nursery(async |n| {
                n.start_soon(sleep(Duration::from_secs(3600)));
                n.start_daemon(forever());
                let _ = n.spawn(forever()).join().await;
            });
            let _ = scope.run(nursery).await;
        }
        8 => {
            let place = Rescheduler::<Owned>::new();
            drop(place.wait(|| Abort::Succeeded).await);
        }
        _ => {
            let cleanup = async {
                trio::checkpoint().await;
                drop(owned);
            };
            finally(event.wait(), cleanup).await;
        }
    }
}

/// Ends by itself, after some waiting.
async fn end_somehow(owned: Owned, number: usize) -> Owned {
    match number % 6 {
        0 => {}
        1 => trio::checkpoint().await,
        2 => sleep(Duration::from_micros(1)).await,
        3 => {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(b"x").unwrap();
            wait_readable(&theirs).await.unwrap();
            let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (client, server) = join(TcpStream::connect(address), listener.accept()).await;
            client.unwrap().send_all(b"x").await.unwrap();
            assert_eq!(server.unwrap().0.receive_some(&mut [0; 2]).await.unwrap(), 1);
        }
        4 => {
            move_on_after(Duration::from_secs(3600), trio::checkpoint()).await.unwrap();
            shield(trio::checkpoint()).await;
        }
        _ => {
            let woken = Cell::new(false);
            poll_fn(|context| {
                if woken.replace(true) {
                    return Poll::Ready(());
                }
                let kept = context.waker().clone();
                kept.wake();
                Poll::Pending
            })
            .await;
        }
    }
    owned
}

const KINDS: usize = 9;

/// Starts a hundred tasks that all end in the same way.
async fn hundred(kind: usize, owned: &Owned) {
    let own = &|| Rc::clone(owned);
    match kind {
        // Done, with and without a handle, which is or is not used.
        0 => {
            let nursery = open_nursery(async |n| {
                for i in 0..60 {
                    n.start_soon(end_somehow(own(), i).map(drop));
                }
                drop((0..20).map(|i| n.spawn(end_somehow(own(), i))).collect::<Vec<_>>());
                for handle in (0..20).map(|i| n.spawn(end_somehow(own(), i))).collect::<Vec<_>>() {
                    handle.join().await.unwrap();
                }
            });
            nursery.await;
        }
        // One fails, and so do others, or are cancelled.
        1 => {
            let nursery = open_try_nursery(async |n: &Nursery<'_, '_, Failed>| {
                for i in 0..50 {
                    n.start_soon(wait_somehow(own(), i));
                    n.start_soon(async move {
                        let _owned = end_somehow(own(), i).await;
                        Err(Failed("failed"))
                    });
                }
                Ok(())
            });
            assert!(nursery.await.is_err());
        }
        // One panics, and so do others.
        2 => {
            let nursery = open_nursery(async |n| {
                for i in 0..50 {
                    n.start_soon(wait_somehow(own(), i));
                    n.start_soon(async move {
                        let _owned = end_somehow(own(), i).await;
                        quiet_panic();
                    });
                }
            });
            assert!(AssertUnwindSafe(nursery).catch_unwind().await.is_err());
        }
        // Cancelled with a scope, or each by itself.
        3 => {
            let nursery = open_nursery(async |n| {
                for i in 0..100 {
                    n.start_soon(wait_somehow(own(), i));
                }
            });
            assert!(move_on_after(Duration::from_micros(100), nursery).await.is_none());
        }
        4 => {
            open_nursery(async |n| {
                let handles: Vec<_> = (0..100).map(|i| n.spawn(wait_somehow(own(), i))).collect();
                trio::checkpoint().await;
                for handle in handles {
                    handle.cancel();
                    assert!(handle.join().await.is_err());
                }
            })
            .await;
        }
        // Daemons, cancelled with the end of the others.
        5 => {
            open_nursery(async |n| {
                for i in 0..100 {
                    n.start_daemon(wait_somehow(own(), i));
                }
                trio::checkpoint().await;
            })
            .await;
        }
        // Dropped by force, before, at and after their first steps.
        6 => {
            for turns in 0..4 {
                let mut nursery = pin!(open_nursery(async |n| {
                    for i in 0..25 {
                        n.start_soon(shield(wait_somehow(own(), i)));
                    }
                    wait_somehow(own(), turns).await;
                }));
                for _ in 0..turns {
                    assert!(poll_once(nursery.as_mut()).await.is_pending());
                }
            }
        }
        // Started, and moved, refused, failed or given up.
        7 => {
            let nursery = open_nursery(async |n| {
                for i in 0..25 {
                    let started = n.start(async move |status: TaskStatus<Owned>| {
                        trio::checkpoint().await;
                        status.started(own());
                        drop(end_somehow(own(), i).await);
                    });
                    started.await.unwrap();
                    let failed = n.start(async move |status: TaskStatus<Owned>| {
                        drop(end_somehow(own(), i).await);
                        drop(status);
                    });
                    assert!(failed.await.is_err());
                    let refused = n.start(async move |status: TaskStatus<Owned>| {
                        wait_somehow(own(), i).await;
                        status.started(own());
                    });
                    assert!(move_on_after(Duration::ZERO, refused).await.is_none());
                    let mut given_up = pin!(n.start(async move |status: TaskStatus<Owned>| {
                        status.started(own());
                        drop(end_somehow(own(), i).await);
                    }));
                    for _ in 0..i % 3 {
                        let _ = poll_once(given_up.as_mut()).await;
                        trio::checkpoint().await;
                    }
                }
            });
            nursery.await;
        }
        // Their output's destructor panics, or their future's does.
        _ => {
            struct Bomb(#[expect(dead_code, reason = "owned, not used")] Owned);
            impl Drop for Bomb {
                fn drop(&mut self) {
                    quiet_panic();
                }
            }
            let nursery = open_nursery(async |n| {
                for i in 0..50 {
                    drop(n.spawn(end_somehow(own(), i).map(Bomb)));
                    let bomb = Bomb(own());
                    n.start_soon(async move {
                        let _bomb = bomb;
                        forever().await;
                    });
                }
            });
            assert!(AssertUnwindSafe(nursery).catch_unwind().await.is_err());
        }
    }
}

#[test]
fn a_hundred_thousand_tasks_of_every_kind_of_end_leave_nothing() {
    alone(module_path!(), "a_hundred_thousand_tasks_of_every_kind_of_end_leave_nothing", || {
        let before = descriptors();
        let owned = Owned::default();
        trio::run(async {
            let token = current_token();
            let first = current_statistics();
            let open = descriptors();
            for round in 0..1_000 {
                hundred(round % KINDS, &owned).await;
                token.run_sync_soon(|| {}).unwrap();
                if round < KINDS || round % 100 == 0 {
                    check(&owned, open, first.nodes, round % KINDS);
                }
            }
            trio::checkpoint().await;
            sleep(Duration::from_millis(1)).await;
            assert_eq!(current_statistics().run_sync_soon_queue_size, 0);
            check(&owned, open, first.nodes, KINDS);
        });
        assert_eq!(descriptors(), before, "descriptors after the run");
    });
}

#[track_caller]
fn check(owned: &Owned, open: usize, nodes: usize, kind: usize) {
    let now = current_statistics();
    assert_eq!(now.nodes, nodes, "nodes after tasks of kind {kind}");
    assert_eq!(now.tasks_living, 1, "tasks after tasks of kind {kind}");
    assert_eq!(now.timers, 0, "timers after tasks of kind {kind}");
    assert_eq!(now.io_registrations, 0, "watched descriptors after tasks of kind {kind}");
    assert_eq!(descriptors(), open, "open descriptors after tasks of kind {kind}");
    assert_eq!(Rc::strong_count(owned), 1, "futures and outputs after tasks of kind {kind}");
}

#[test]
fn runs_leave_nothing() {
    alone(module_path!(), "runs_leave_nothing", || {
        let owned = Owned::default();
        let open = |count: usize| {
            for round in 0..count {
                let (owned, handle) = (Rc::clone(&owned), Cell::new(None));
                // Main ends while system tasks, daemons and half-polled futures are there, or panics.
                let run = || {
                    trio::run(async {
                        for i in 0..10 {
                            let task = wait_somehow(Rc::clone(&owned), i);
                            trio::lowlevel::spawn_system_task("waits", task).unwrap();
                        }
                        trio::checkpoint().await;
                        let mut half = Box::pin(wait_somehow(Rc::clone(&owned), round));
                        let _ = poll_once(half.as_mut()).await;
                        let scope = CancelScope::new();
                        handle.set(Some(scope.handle()));
                        let token = current_token();
                        token.run_sync_soon(|| {}).unwrap();
                        if round % 3 == 0 {
                            quiet_panic();
                        }
                        (half, scope, token)
                    })
                };
                drop(std::panic::catch_unwind(AssertUnwindSafe(run)));
            }
            descriptors()
        };
        let few = open(3);
        assert_eq!(open(300), few, "open descriptors");
        assert_eq!(Rc::strong_count(&owned), 1);
    });
}
