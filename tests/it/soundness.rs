//! Safe programs that try to have tasks outlive what they borrow, to catch the kernel half-way, or to be polled where
//! and when they should not be.
//!
//! What they assert is only half of it: under AddressSanitizer they also show that no memory is used after its end,
//! `RUSTFLAGS=-Zsanitizer=address cargo +nightly test --target x86_64-unknown-linux-gnu soundness`. (Leaks are on
//! purpose in the tests that forget futures: `ASAN_OPTIONS=detect_leaks=0`.)
#![forbid(unsafe_code)]
#![expect(
    clippy::async_yields_async,
    reason = "futures that are handed on before they are done are what this is about"
)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use futures::future::{Either, FutureExt, join, join3, select, select_all};
use futures::stream::{FuturesUnordered, StreamExt};
use trio::lowlevel::{Abort, Rescheduler, current_statistics, current_token, wait_readable};
use trio::net::{TcpListener, TcpStream};
use trio::testing::MockClock;
use trio::{
    Builder, CancelScope, Event, Lock, Nursery, TaskHandle, TaskStatus, finally, move_on_after, open_memory_channel,
    open_nursery, open_try_nursery, shield, sleep, sleep_forever,
};

use crate::support::{OnDrop, forever, panic_text, settle};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

const MS: Duration = Duration::from_millis(1);

async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// Lets the run go round.
async fn passes(count: usize) {
    for _ in 0..count {
        trio::checkpoint().await;
    }
}

/// Polls a future and counts how often.
async fn count_polls<F: Future>(polls: Rc<Cell<usize>>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        polls.set(polls.get() + 1);
        future.as_mut().poll(context)
    })
    .await
}

/// Leaves the waker it is polled with, and waits.
async fn leave_waker(wakers: &RefCell<Vec<Waker>>) {
    poll_fn(|context| {
        wakers.borrow_mut().push(context.waker().clone());
        Poll::<()>::Pending
    })
    .await;
}

// ---------------------------------------------------------------------- forgotten

/// What children of a forgotten nursery borrow, and wait for meanwhile.
async fn use_after<F: Future>(data: &RefCell<Vec<u32>>, wait: F) {
    data.borrow_mut()[0] += 1;
    wait.await;
    data.borrow_mut()[0] += 1;
}

#[test]
fn a_forgotten_nursery_never_polls_its_children_again() {
    trio::run(async {
        let polls = Rc::new(Cell::new(0));
        let event = Rc::new(Event::new());
        let wakers = Rc::new(RefCell::new(Vec::new()));
        let data = RefCell::new(vec![7_u32; 1000]);
        let (mut ours, theirs) = UnixStream::pair().unwrap();

        let mut nursery = Box::pin(open_nursery(async |n| {
            let counted = |future| count_polls(Rc::clone(&polls), future);
            let borrowing: [Boxed<'_, ()>; 5] = [
                Box::pin(event.wait()),
                Box::pin(sleep(5 * MS)),
                Box::pin(leave_waker(&wakers)),
                Box::pin(async {
                    let _ = wait_readable(&theirs).await;
                }),
                Box::pin(async {
                    open_nursery(async |inner| {
                        inner.start_soon(use_after(&data, event.wait()));
                        inner.start_daemon(use_after(&data, sleep(6 * MS)));
                    })
                    .await;
                }),
            ];
            for wait in borrowing {
                n.start_soon(counted(use_after(&data, wait)));
            }
            forever().await;
        }));
        for _ in 0..3 {
            assert!(poll_once(nursery.as_mut()).await.is_pending());
        }
        let before = polls.get();
        assert_eq!(wakers.borrow().len(), 1);
        std::mem::forget(nursery);
        drop(data);
        drop(theirs);
        let other_data = vec![0_u32; 1000];

        event.set();
        let _ = ours.write_all(b"x");
        let wakers = wakers.take();
        for waker in &wakers {
            waker.wake_by_ref();
        }
        thread::spawn(move || wakers.into_iter().for_each(Waker::wake)).join().unwrap();
        sleep(20 * MS).await;
        assert_eq!(polls.get(), before);
        assert!(other_data.iter().all(|&number| number == 0));

        // Descriptors that get the old numbers are watched as if nothing had been there.
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"x").unwrap();
        wait_readable(&theirs).await.unwrap();
        trio::nursery! { |n|
            n.start_soon(trio::checkpoint());
        }
    });
}

#[test]
fn forgotten_futures_of_all_kinds_do_not_hinder_the_run() {
    let clock = MockClock::new().autojump();
    Builder::new().clock(clock).run(async {
        let data = RefCell::new(vec![1_u32; 100]);
        let event = Rc::new(Event::new());
        let lock = Rc::new(Lock::new(()));
        let ended = move_on_after(Duration::from_secs(10), async {
            let guard = lock.lock().await;
            let mut futures: Vec<Boxed<'_, ()>> = vec![
                Box::pin(async {
                    move_on_after(Duration::from_secs(1), use_after(&data, forever())).await;
                }),
                Box::pin(async {
                    CancelScope::new().run(use_after(&data, event.wait())).await;
                }),
                Box::pin(async {
                    open_nursery(async |n| {
                        n.start_soon(use_after(&data, event.wait()));
                        let handle = n.spawn(use_after(&data, event.wait()));
                        let _ = handle.join().await;
                    })
                    .await;
                }),
                Box::pin(async {
                    use_after(&data, lock.lock()).await;
                }),
            ];
            for future in &mut futures {
                for _ in 0..3 {
                    assert!(poll_once(future.as_mut()).await.is_pending());
                }
            }
            std::mem::forget(futures);
            drop(guard);
            passes(3).await;
            event.set();
            forever().await;
        })
        .await;
        assert_eq!(ended, None, "the scope around them could be cancelled");
        drop(data);
        sleep(Duration::from_secs(100)).await;
    });
}

#[test]
fn a_forgotten_start_call_never_polls_its_task_again() {
    trio::run(async {
        let polls = Rc::new(Cell::new(0));
        let status = Rc::new(RefCell::new(None));
        let ended = move_on_after(20 * MS, async {
            open_nursery(async |n| {
                let data = Box::new([1_u8; 100]);
                let mut call = Box::pin(n.start(|given: TaskStatus<()>| {
                    *status.borrow_mut() = Some(given);
                    count_polls(Rc::clone(&polls), async move {
                        loop {
                            trio::checkpoint().await;
                            if data[0] != 1 {
                                break;
                            }
                        }
                    })
                }));
                assert!(poll_once(call.as_mut()).await.is_pending());
                passes(1).await;
                assert!(poll_once(call.as_mut()).await.is_pending());
                std::mem::forget(call);
                let before = polls.get();
                status.borrow_mut().take().unwrap().started(());
                passes(10).await;
                assert_eq!(polls.get(), before);
            })
            .await;
        })
        .await;
        assert_eq!(ended, None, "the nursery waits for the call, which can't end");
    });
}

#[test]
fn a_forgotten_task_handle_changes_nothing() {
    trio::run(async {
        let sum = Cell::new(0);
        open_nursery(async |n| {
            std::mem::forget(n.spawn(async {
                trio::checkpoint().await;
                sum.set(1);
                String::from("nobody gets this")
            }));
        })
        .await;
        assert_eq!(sum.get(), 1);
        assert_eq!(current_statistics().tasks_living, 1);
    });
}

// ---------------------------------------------------------------------- dropped by others

/// How many nodes there were before, to be compared with how many there are after.
#[derive(Clone, Copy)]
struct Nodes(usize);

impl Nodes {
    fn now() -> Self {
        Self(current_statistics().nodes)
    }

    #[track_caller]
    fn assert_same(self) {
        assert_eq!(current_statistics().nodes, self.0, "nodes of the tree");
    }
}

#[test]
fn a_foreign_select_may_drop_a_nursery() {
    trio::run(async {
        let nodes = Nodes::now();
        let dropped = Cell::new(0);
        let guard = || OnDrop(|| dropped.set(dropped.get() + 1));
        {
            let nursery = open_nursery(async |n| {
                let _body = guard();
                for _ in 0..10 {
                    n.start_soon(async {
                        let _child = guard();
                        shield(open_nursery(async |inner| {
                            let _body = guard();
                            inner.start_soon(async {
                                let _grandchild = guard();
                                finally(forever(), forever()).await;
                            });
                            forever().await;
                        }))
                        .await;
                    });
                }
                forever().await;
            })
            .fuse();
            let timer = sleep(2 * MS).fuse();
            let (mut nursery, mut timer) = (pin!(nursery), pin!(timer));
            futures::select! {
                () = nursery => unreachable!("its tasks never end"),
                () = timer => {}
            }
            assert_eq!(dropped.get(), 0);
        }
        assert_eq!(dropped.get(), 31);
        nodes.assert_same();
        passes(3).await;
    });
}

#[test]
fn the_loser_of_a_foreign_select_goes_on_elsewhere() {
    trio::run(async {
        let nodes = Nodes::now();
        let total = Cell::new(0);
        let nursery = Box::pin(open_nursery(async |n| {
            for i in 1..=4_u32 {
                n.start_soon(
                    async move {
                        sleep(i * 3 * MS).await;
                        i
                    }
                    .map(|i| total.set(total.get() + i)),
                );
            }
            "done"
        }));
        let Either::Left(((), nursery)) = select(Box::pin(sleep(5 * MS)), nursery).await else {
            panic!("the sleep is shorter")
        };
        // Now within a task of another nursery, which gives it back, and then here.
        let nursery = open_nursery(async |n| {
            let task = n.spawn(async {
                match move_on_after(Duration::from_secs(60), select(Box::pin(passes(2)), nursery)).await {
                    Some(Either::Left(((), nursery))) => nursery,
                    _ => panic!("the passes are shorter"),
                }
            });
            task.join().await.unwrap()
        })
        .await;
        assert_eq!(nursery.await, "done");
        assert_eq!(total.get(), 10);
        nodes.assert_same();
    });
}

#[test]
fn a_scope_may_be_dropped_while_a_child_is_polled() {
    trio::run(async {
        let nodes = Nodes::now();
        let dropped = Cell::new(0);
        let guard = || OnDrop(|| dropped.set(dropped.get() + 1));
        let scopes: RefCell<Vec<Boxed<'_, ()>>> = RefCell::default();
        for _ in 0..3 {
            scopes.borrow_mut().push(Box::pin(async {
                let _scope = guard();
                move_on_after(
                    Duration::from_secs(60),
                    open_nursery(async |n| {
                        n.start_soon(async {
                            let _child = guard();
                            shield(forever()).await;
                        });
                        forever().await;
                    }),
                )
                .await;
            }));
        }
        open_nursery(async |n| {
            // One task polls them, and another one drops them, also from inside of something of its own.
            n.start_soon(async {
                for _ in 0..3 {
                    let mut polled = scopes.take();
                    for scope in &mut polled {
                        assert!(poll_once(scope.as_mut()).await.is_pending());
                    }
                    scopes.replace(polled);
                    trio::checkpoint().await;
                }
            });
            n.start_soon(async {
                passes(5).await;
                drop(scopes.borrow_mut().pop());
                assert_eq!(dropped.get(), 2);
                move_on_after(Duration::from_secs(60), async {
                    drop(scopes.borrow_mut().pop());
                    trio::checkpoint().await;
                })
                .await;
                open_nursery(async |inner| {
                    inner.start_soon(async {
                        drop(scopes.borrow_mut().pop());
                    });
                })
                .await;
            });
        })
        .await;
        assert_eq!(dropped.get(), 6);
        drop(scopes);
        nodes.assert_same();
    });
}

#[test]
fn a_child_may_drop_its_nurserys_handle_and_its_own() {
    trio::run(async {
        let nodes = Nodes::now();
        let ended = trio::nursery! { |n, scope|
            let last = scope.clone();
            n.start_soon(async move { drop(scope); });
            n.start_soon(async move {
                passes(3).await;
                last.cancel();
                drop(last);
                forever().await;
            });
            forever().await;
        };
        assert_eq!(ended, None);

        open_nursery(async |n| {
            let place: Rc<RefCell<Option<TaskHandle<'_, ()>>>> = Rc::default();
            let of_task = Rc::clone(&place);
            let handle = n.spawn(async move {
                trio::checkpoint().await;
                let own = of_task.borrow_mut().take().unwrap();
                assert!(!own.is_finished());
                own.cancel();
                drop(own);
                forever().await;
            });
            *place.borrow_mut() = Some(handle);
        })
        .await;
        nodes.assert_same();
    });
}

// ---------------------------------------------------------------------- moved

#[test]
fn a_nursery_may_be_moved_between_tasks_before_and_between_its_polls() {
    trio::run(async {
        let nodes = Nodes::now();
        let steps = Cell::new(0);
        let steps = &steps;
        let event = Event::new();
        let event = &event;
        let (sender, receiver) = open_memory_channel::<Boxed<'_, u32>>(4);
        let (to_last, last) = open_memory_channel::<Boxed<'_, u32>>(4);
        open_nursery(async |n| {
            for polls in 0..4 {
                let sender = sender.clone();
                n.start_soon(async move {
                    let mut nursery: Boxed<'_, u32> = Box::pin(open_nursery(async move |inner| {
                        for _ in 0..3 {
                            inner.start_soon(async {
                                for _ in 0..5 {
                                    trio::checkpoint().await;
                                    steps.set(steps.get() + 1);
                                }
                                event.wait().await;
                                move_on_after(MS, forever()).await;
                                steps.set(steps.get() + 1);
                            });
                        }
                        passes(2).await;
                        polls
                    }));
                    for _ in 0..polls {
                        assert!(poll_once(nursery.as_mut()).await.is_pending());
                    }
                    assert!(sender.send(nursery).await.is_ok());
                });
            }
            drop(sender);
            n.start_soon(async move {
                while let Ok(mut nursery) = receiver.receive().await {
                    for _ in 0..3 {
                        let in_scope = move_on_after(Duration::from_secs(60), poll_once(nursery.as_mut()));
                        assert!(in_scope.await.unwrap().is_pending());
                    }
                    assert!(to_last.send(nursery).await.is_ok());
                }
                event.set();
            });
            n.start_soon(async move {
                let mut got = Vec::new();
                while let Ok(nursery) = last.receive().await {
                    got.push(nursery.await);
                }
                got.sort_unstable();
                assert_eq!(got, [0, 1, 2, 3]);
            });
        })
        .await;
        assert_eq!(steps.get(), 4 * 3 * 6);
        nodes.assert_same();
    });
}

#[test]
fn a_moved_nursery_is_cancelled_with_its_new_place_and_not_with_its_old_one() {
    trio::run(async {
        let nodes = Nodes::now();
        let dropped = Cell::new(false);
        let mut nursery: Boxed<'_, ()> = Box::pin(open_nursery(async |n| {
            n.start_soon(async {
                let _guard = OnDrop(|| dropped.set(true));
                forever().await;
            });
        }));
        // It begins in a scope that ends cancelled.
        let first = CancelScope::new();
        let handle = first.handle();
        let ended = first
            .run(async {
                for _ in 0..2 {
                    assert!(poll_once(nursery.as_mut()).await.is_pending());
                }
                handle.cancel();
                assert!(poll_once(nursery.as_mut()).await.is_pending());
                trio::checkpoint().await;
            })
            .await;
        assert_eq!(ended, None);
        // What was in it when the cancellation came, and was polled there, is gone.
        assert!(dropped.get());
        drop(nursery);

        dropped.set(false);
        let mut nursery: Boxed<'_, ()> = Box::pin(open_nursery(async |n| {
            n.start_soon(async {
                let _guard = OnDrop(|| dropped.set(true));
                forever().await;
            });
        }));
        move_on_after(Duration::from_secs(60), async {
            for _ in 0..2 {
                assert!(poll_once(nursery.as_mut()).await.is_pending());
            }
        })
        .await;
        assert!(move_on_after(MS, nursery.as_mut()).await.is_none());
        assert!(dropped.get());
        drop(nursery);
        nodes.assert_same();
    });
}

// ---------------------------------------------------------------------- foreign executors

#[test]
fn foreign_executors_and_combinators_inside_a_run_poll_trio_futures() {
    trio::run(async {
        let nodes = Nodes::now();
        let data = RefCell::new(Vec::new());
        let (sender, receiver) = open_memory_channel(1);
        let sum = open_nursery(async |n| {
            let task = n.spawn(async {
                // Its own executor, on this thread, inside of a task.
                let in_between = block_on(join3(
                    open_nursery(async |inner| {
                        for i in 0..10 {
                            let data = &data;
                            inner.start_soon(async move {
                                passes(i).await;
                                data.borrow_mut().push(i);
                            });
                        }
                        inner.spawn(async { 7 }).join().await.unwrap()
                    }),
                    async {
                        for i in 0..10 {
                            sender.send(i).await.unwrap();
                        }
                        drop(sender);
                    },
                    async {
                        let mut sum = 0;
                        while let Ok(i) = receiver.receive().await {
                            sum += i;
                        }
                        sum
                    },
                ));
                trio::checkpoint().await;
                in_between.0 + in_between.2
            });
            task.join().await.unwrap()
        })
        .await;
        assert_eq!(sum, 52);
        assert_eq!(data.borrow().len(), 10);

        let mut unordered: FuturesUnordered<_> = (0..10_u32)
            .map(|i| {
                open_nursery(async move |n| {
                    n.start_soon(sleep(i * MS));
                    n.start_soon(passes(3));
                    i
                })
            })
            .collect();
        let mut all = Vec::new();
        while let Some(i) = unordered.next().await {
            all.push(i);
        }
        assert_eq!(all.len(), 10);
        let (first, _, rest) = select_all((0..3_u32).map(|i| Box::pin(sleep(i * MS)))).await;
        let () = first;
        drop(rest);
        assert!(block_on(move_on_after(Duration::ZERO, forever())).is_none());
        nodes.assert_same();
    });
}

#[test]
fn a_cancellation_that_is_taken_back_reaches_futures_with_foreign_wakers() {
    Builder::new().clock(MockClock::new().autojump()).run(async {
        let nodes = Nodes::now();
        let lock = Lock::new(());
        let event = Event::new();
        let (sender, receiver) = open_memory_channel::<u32>(0);
        let outer = CancelScope::new();
        let outer_handle = outer.handle();
        let done = outer
            .run(async {
                let inner = CancelScope::new();
                let inner_handle = inner.handle();
                inner
                    .run(async {
                        outer_handle.cancel();
                        let guard = lock.try_lock().unwrap();
                        let mut operations: FuturesUnordered<Boxed<'_, u32>> = FuturesUnordered::new();
                        operations.push(Box::pin(async {
                            event.wait().await;
                            1
                        }));
                        operations.push(Box::pin(async {
                            drop(lock.lock().await);
                            2
                        }));
                        operations.push(Box::pin(async { receiver.receive().await.unwrap() }));
                        operations.push(Box::pin(async {
                            sleep(MS).await;
                            4
                        }));
                        operations.push(Box::pin(async {
                            trio::checkpoint().await;
                            5
                        }));
                        operations.push(Box::pin(open_nursery(async |n| {
                            n.start_soon(shield(trio::checkpoint()));
                            6
                        })));
                        // They park because of the cancellation, with the wakers of `FuturesUnordered`.
                        let first = poll_fn(|context| Poll::Ready(operations.poll_next_unpin(context)));
                        assert!(first.await.is_pending());
                        inner_handle.set_shield(true);
                        event.set();
                        drop(guard);
                        let mut got = Vec::new();
                        open_nursery(async |n| {
                            n.start_soon(async {
                                sender.send(3).await.unwrap();
                            });
                            while let Some(number) = operations.next().await {
                                got.push(number);
                            }
                        })
                        .await;
                        got.sort_unstable();
                        assert_eq!(got, [1, 2, 3, 4, 5, 6]);
                    })
                    .await
            })
            .await;
        assert_eq!(done, Some(Some(())));
        nodes.assert_same();
    });
}

// ---------------------------------------------------------------------- panics

/// Panics when it is polled, or when it is dropped, or both.
struct Panics {
    in_poll: Option<&'static str>,
    in_drop: Option<&'static str>,
}

impl Panics {
    const fn twice(in_poll: &'static str, in_drop: &'static str) -> Self {
        Self { in_poll: Some(in_poll), in_drop: Some(in_drop) }
    }

    const fn when_dropped(in_drop: &'static str) -> Self {
        Self { in_poll: None, in_drop: Some(in_drop) }
    }
}

impl Future for Panics {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.in_poll {
            Some(text) => panic!("{text}"),
            None => Poll::Pending,
        }
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        if let Some(text) = self.in_drop {
            panic!("{text}");
        }
    }
}

#[test]
fn panics_in_poll_and_in_drop_at_once_come_out_as_the_first_of_them() {
    trio::run(async {
        let nodes = Nodes::now();
        let borrowed = String::from("borrowed by all of them");
        let touched = Cell::new(0);

        let nursery = open_nursery(async |n| {
            n.start_soon(async {
                let _guard = OnDrop(|| touched.set(touched.get() + borrowed.len()));
                forever().await;
            });
            n.start_soon(Panics::twice("the first", "in its destructor"));
            n.start_soon(Panics::twice("the second", "in its destructor too"));
            n.start_soon(Panics::when_dropped("only in its destructor"));
            let _ = n.spawn(Panics::twice("the third", "with a handle"));
            forever().await;
        });
        assert_eq!(caught(nursery).await, "the first");
        assert_eq!(touched.get(), borrowed.len());

        let nursery = open_nursery(bare(|n| {
            n.start_soon(Panics::when_dropped("in a child's destructor"));
            Panics::twice("in the bare body", "in the bare body's destructor")
        }));
        assert_eq!(caught(nursery).await, "in the bare body");

        let result = open_try_nursery(async |n: &Nursery<'_, '_, String>| {
            let call = n.start(|_: TaskStatus<()>| Panics::twice("in start", "in its destructor"));
            call.await.map_err(|_| String::new())
        });
        assert_eq!(caught(result).await, "in start");
        nodes.assert_same();
    });
}

/// A body that is a plain function: it runs before there is a future.
fn bare<'env, F, B>(body: F) -> F
where
    F: for<'scope> FnOnce(&'scope Nursery<'scope, 'env>) -> B,
{
    body
}

/// The text of the panic that a future ends with.
async fn caught<F: Future>(future: F) -> String {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(_) => panic!("a panic was expected"),
        Err(panic) => panic_text(|| std::panic::resume_unwind(panic)),
    }
}

#[test]
fn panics_of_destructors_in_what_a_cancellation_drops_come_out() {
    trio::run(async {
        let nodes = Nodes::now();
        let scope = move_on_after(MS, Panics::when_dropped("in the scope"));
        assert_eq!(caught(scope).await, "in the scope");

        let cleaned = Cell::new(false);
        let cleanup = async {
            trio::checkpoint().await;
            cleaned.set(true);
        };
        let body = finally(Panics::twice("in the body of finally", "again"), cleanup);
        assert_eq!(caught(body).await, "in the body of finally");
        assert!(cleaned.take());
        let cleanup = async {
            trio::checkpoint().await;
            cleaned.set(true);
        };
        let body = move_on_after(MS, finally(Panics::when_dropped("cancelled"), cleanup));
        assert_eq!(caught(body).await, "cancelled");
        assert!(cleaned.get());

        let nursery = move_on_after(
            MS,
            open_nursery(async |n| {
                n.start_soon(Panics::when_dropped("one child"));
                n.start_soon(forever());
                forever().await;
            }),
        );
        assert_eq!(caught(nursery).await, "one child");

        let start = move_on_after(
            MS,
            open_nursery(async |n| {
                let _ = n.start(|_: TaskStatus<()>| Panics::when_dropped("being started")).await;
            }),
        );
        assert_eq!(caught(start).await, "being started");
        nodes.assert_same();
    });
}

#[test]
fn a_nursery_that_is_dropped_drops_every_child_whatever_their_destructors_do() {
    trio::run(async {
        let nodes = Nodes::now();
        let dropped = Cell::new(0);
        let nursery = || {
            Box::pin(open_nursery(async |n| {
                for i in 0..10 {
                    let guard = OnDrop(|| dropped.set(dropped.get() + 1));
                    n.start_soon(async move {
                        let _guard = guard;
                        match i % 3 {
                            0 => Panics::when_dropped("a child's destructor").await,
                            _ => forever().await,
                        }
                    });
                }
                let guard = OnDrop(|| dropped.set(dropped.get() + 1));
                let _guard = guard;
                Panics::when_dropped("the body's destructor").await;
            }))
        };
        let mut started = nursery();
        for _ in 0..2 {
            assert!(poll_once(started.as_mut()).await.is_pending());
        }
        assert_eq!(panic_text(|| drop(started)), "the body's destructor");
        assert_eq!(dropped.take(), 11);
        nodes.assert_same();

        // The same while a panic is on its way: a second one that leaves a destructor would abort the process.
        let mut started = nursery();
        for _ in 0..2 {
            assert!(poll_once(started.as_mut()).await.is_pending());
        }
        let text = panic_text(move || {
            let _started = started;
            panic!("on its way");
        });
        assert_eq!(text, "on its way");
        assert_eq!(dropped.take(), 11);

        let task = open_nursery(async |n| {
            n.start_soon(async {
                let mut call = pin!(n.start(|_: TaskStatus<()>| Panics::when_dropped("while it is on its way")));
                assert!(poll_once(call.as_mut()).await.is_pending());
                passes(2).await;
                assert!(poll_once(call.as_mut()).await.is_pending());
                fail("on its way with a start call");
            });
        });
        assert_eq!(caught(task).await, "on its way with a start call");
    });
}

/// Panics, as a call that gives `()`.
fn fail(text: &str) {
    panic!("{text}");
}

/// An output that panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("nobody took the bomb");
    }
}

#[test]
fn the_panic_of_an_output_that_nobody_took_is_its_tasks() {
    trio::run(async {
        let nodes = Nodes::now();
        let cleaned = Cell::new(false);
        let nursery = open_nursery(async |n| {
            drop(n.spawn(async { Bomb }));
            // Cancelled in order, not dropped on the spot.
            n.start_soon(finally(forever(), async {
                trio::checkpoint().await;
                cleaned.set(true);
            }));
            forever().await;
        });
        assert_eq!(caught(nursery).await, "nobody took the bomb");
        assert!(cleaned.get());

        // Taken, or left in a handle that lives longer than the task.
        let took = open_nursery(async |n| {
            let late = n.spawn(async { String::from("late") });
            let bomb = n.spawn(async { Bomb }).join().await.unwrap();
            std::mem::forget(bomb);
            settle().await;
            assert!(late.is_finished());
            late.join().await.unwrap()
        });
        assert_eq!(took.await, "late");
        nodes.assert_same();
    });
}

#[test]
fn a_body_that_starts_tasks_and_panics_before_it_is_a_future() {
    trio::run(async {
        let nodes = Nodes::now();
        let dropped = Cell::new(0);
        let finished = Cell::new(0);
        let status = RefCell::new(None);
        let nursery = open_nursery(bare(|n| -> std::future::Ready<()> {
            n.start_soon(async {
                let _guard = OnDrop(|| dropped.set(dropped.get() + 1));
                finally(forever(), async {
                    trio::checkpoint().await;
                    finished.set(finished.get() + 1);
                })
                .await;
            });
            // A call whose task has moved to the nursery already, which the call itself has not noticed.
            let mut call = Box::pin(n.start(|given: TaskStatus<()>| {
                *status.borrow_mut() = Some(given);
                async {
                    let _guard = OnDrop(|| dropped.set(dropped.get() + 1));
                    forever().await;
                }
            }));
            assert!(call.as_mut().now_or_never().is_none());
            status.borrow_mut().take().unwrap().started(());
            n.start_soon(async move {
                let _call = call;
                forever().await;
            });
            panic!("not even a future");
        }));
        assert_eq!(caught(nursery).await, "not even a future");
        assert_eq!((dropped.get(), finished.get()), (2, 1));
        nodes.assert_same();
    });
}

// ---------------------------------------------------------------------- destructors that act

#[test]
fn a_destructor_may_spawn_into_the_nursery_that_drops_it() {
    trio::run(async {
        let nodes = Nodes::now();
        let (born, dropped) = (Cell::new(0), Cell::new(0));
        let dead_handles = Cell::new(0);
        async fn noted(dropped: &Cell<u32>) {
            let _guard = OnDrop(|| dropped.set(dropped.get() + 1));
            forever().await;
        }
        let nursery = || {
            open_nursery(async |n| {
                for _ in 0..3 {
                    n.start_soon(async {
                        let _spawns = OnDrop(|| {
                            born.set(born.get() + 1);
                            n.start_soon(noted(&dropped));
                            n.start_daemon(noted(&dropped));
                            n.named("late").start_soon(noted(&dropped));
                            let handle = n.spawn(noted(&dropped));
                            handle.cancel();
                            let finished = handle.is_finished();
                            let joined = handle.join().now_or_never();
                            let dead = finished && joined.is_some_and(|result| result.is_err());
                            dead_handles.set(dead_handles.get() + u32::from(dead));
                            let call = n.start(|_: TaskStatus<()>| noted(&dropped));
                            assert!(call.now_or_never().is_none_or(|result| result.is_err()));
                        });
                        forever().await;
                    });
                }
                let _spawns = OnDrop(|| n.start_soon(noted(&dropped)));
                forever().await;
            })
        };
        // Cancelled: what is started then runs to its first checkpoint, and is dropped there.
        assert!(move_on_after(MS, nursery()).await.is_none());
        assert_eq!(born.take(), 3);
        assert_eq!(dropped.take(), 3 * 4 + 1);
        nodes.assert_same();

        // Dropped: nothing new begins, and handles are those of tasks that have ended.
        let nodes = Nodes::now();
        dead_handles.set(0);
        let mut started = Box::pin(nursery());
        for _ in 0..2 {
            assert!(poll_once(started.as_mut()).await.is_pending());
        }
        drop(started);
        assert_eq!(born.take(), 3);
        assert_eq!(dead_handles.get(), 3);
        assert_eq!(dropped.get(), 0, "what never began has nothing to drop");
        nodes.assert_same();
    });
}

#[test]
fn a_destructor_may_cancel_the_nursery_that_drops_it() {
    trio::run(async {
        let nodes = Nodes::now();
        let ended = trio::nursery! { |n, scope|
            for _ in 0..3 {
                let scope = scope.clone();
                n.start_soon(async move {
                    let _cancels = OnDrop(|| {
                        scope.cancel();
                        scope.set_shield(true);
                        scope.set_deadline(Some(trio::current_time()));
                        scope.set_shield(false);
                    });
                    forever().await;
                });
            }
            let handles: Vec<_> = (0..3).map(|_| n.spawn(forever())).collect();
            let _cancels = OnDrop(|| handles.iter().for_each(TaskHandle::cancel));
            settle().await;
            scope.cancel();
            forever().await;
        };
        assert_eq!(ended, None);
        nodes.assert_same();

        // And the same when it is dropped by foreign code.
        let mut nursery: Boxed<'_, Option<()>> = Box::pin(async {
            trio::nursery! { |n, scope|
                for _ in 0..3 {
                    let scope = scope.clone();
                    n.start_soon(async move {
                        let _cancels = OnDrop(|| scope.cancel());
                        forever().await;
                    });
                }
                let _cancels = OnDrop(|| scope.cancel());
                forever().await;
            }
        });
        for _ in 0..2 {
            assert!(poll_once(nursery.as_mut()).await.is_pending());
        }
        drop(nursery);
        nodes.assert_same();
    });
}

#[test]
fn a_start_call_that_is_dropped_after_its_task_moved_leaves_nothing_behind() {
    trio::run(async {
        let nodes = Nodes::now();
        let dropped = Cell::new(0);
        let status = RefCell::new(None);
        let mut nursery = Box::pin(open_nursery(async |n| {
            let mut call = Box::pin(n.start(|given: TaskStatus<Vec<u8>>| {
                *status.borrow_mut() = Some(given);
                async {
                    let _guard = OnDrop(|| dropped.set(dropped.get() + 1));
                    forever().await;
                }
            }));
            for _ in 0..2 {
                assert!(poll_once(call.as_mut()).await.is_pending());
                passes(1).await;
            }
            // In a child, which is dropped after the nursery has begun to drop its children.
            n.start_soon(async move {
                let _call = call;
                forever().await;
            });
            forever().await;
        }));
        while status.borrow().is_none() {
            assert!(poll_once(nursery.as_mut()).await.is_pending());
        }
        for _ in 0..10 {
            assert!(poll_once(nursery.as_mut()).await.is_pending());
        }
        let status = status.borrow_mut().take().unwrap();
        status.started(vec![1; 100]);
        drop(nursery);
        assert_eq!(dropped.get(), 1);
        nodes.assert_same();
    });
}

#[test]
fn a_task_status_works_from_another_task_and_after_its_call() {
    trio::run(async {
        let nodes = Nodes::now();
        let ended = Cell::new(0);
        open_nursery(async |n| {
            let (sender, receiver) = open_memory_channel::<TaskStatus<String>>(4);
            // Another task says that it has started.
            n.start_soon(async move {
                while let Ok(status) = receiver.receive().await {
                    status.started(String::from("said by another"));
                }
            });
            let (given, ended) = (sender.clone(), &ended);
            let said = n
                .start(async move |status| {
                    given.send(status).await.unwrap();
                    passes(5).await;
                    ended.set(ended.get() + 1);
                })
                .await;
            assert_eq!(said.unwrap(), "said by another");

            // The call is dropped before, and somebody says so afterwards.
            let kept = RefCell::new(None);
            {
                let mut call = pin!(n.start(|status: TaskStatus<String>| {
                    *kept.borrow_mut() = Some(status);
                    forever()
                }));
                for _ in 0..2 {
                    assert!(poll_once(call.as_mut()).await.is_pending());
                    passes(1).await;
                }
            }
            kept.take().unwrap().started(String::from("too late"));
            drop(n.start(|status: TaskStatus<String>| {
                *kept.borrow_mut() = Some(status);
                forever()
            }));
            kept.take().unwrap().started(String::from("never polled"));

            // The task has ended before.
            let failed = n.start(|status: TaskStatus<String>| {
                *kept.borrow_mut() = Some(status);
                async {}
            });
            assert!(failed.await.is_err());
            kept.take().unwrap().started(String::from("ended"));
            drop(sender);
        })
        .await;
        assert_eq!(ended.get(), 1);
        nodes.assert_same();

        // The nursery is gone.
        let kept = Rc::new(RefCell::new(None));
        open_nursery(async |n| {
            let kept = Rc::clone(&kept);
            let call = n.start(async move |status: TaskStatus<()>| {
                *kept.borrow_mut() = Some(status);
            });
            assert!(call.await.is_err());
        })
        .await;
        kept.take().unwrap().started(());
    });
}

// ---------------------------------------------------------------------- wakers

thread_local! {
    /// What the wakers of this thread's test do when they are woken.
    static ON_WAKE: RefCell<Vec<Box<dyn FnMut()>>> = RefCell::default();
}

/// A waker that calls back into trio.
struct Acts;

impl Wake for Acts {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The actions may lead here again.
        let mut actions = ON_WAKE.take();
        for action in &mut actions {
            action();
        }
        ON_WAKE.with_borrow_mut(|now| drop(now.splice(0..0, actions)));
    }
}

/// Polls a future with a waker that acts.
fn poll_acting<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::new(Acts));
    future.poll(&mut Context::from_waker(&waker))
}

#[test]
fn wakers_may_call_back_into_the_run() {
    Builder::new().clock(MockClock::new().autojump()).run(async {
        let nodes = Nodes::now();
        let event = Rc::new(Event::new());
        let other = Rc::new(Event::new());
        let lock = Rc::new(Lock::new(0));
        let (sender, receiver) = open_memory_channel::<u32>(1);
        let inner = CancelScope::new();
        let handle = inner.handle();
        let calls = Rc::new(Cell::new(0));
        // Futures that are dropped by the waker.
        let victims: Rc<RefCell<VecDeque<Boxed<'static, ()>>>> = Rc::default();
        for _ in 0..20 {
            let event = Rc::clone(&event);
            let mut victim: Boxed<'static, ()> = Box::pin(async move {
                open_nursery(async |n| {
                    n.start_soon(shield(event.wait()));
                    forever().await;
                })
                .await;
            });
            for _ in 0..2 {
                assert!(poll_once(victim.as_mut()).await.is_pending());
            }
            victims.borrow_mut().push_back(victim);
        }

        let (calls_there, victims_there) = (Rc::clone(&calls), Rc::clone(&victims));
        let (other_there, handle_there, sender_there) = (Rc::clone(&other), handle.clone(), sender.clone());
        let receiver_there = receiver.clone();
        let action = move || {
            calls_there.set(calls_there.get() + 1);
            other_there.set();
            handle_there.cancel();
            handle_there.set_shield(calls_there.get() % 2 == 0);
            let _ = sender_there.try_send(calls_there.get());
            let _ = receiver_there.try_receive();
            let victim = victims_there.borrow_mut().pop_front();
            drop(victim);
            trio::lowlevel::spawn_system_task("from a waker", async {}).unwrap();
            let _ = current_statistics();
            let mut nested = Box::pin(open_nursery(async |n| n.start_soon(forever())));
            assert!(nested.as_mut().now_or_never().is_none());
        };
        ON_WAKE.with_borrow_mut(|actions| actions.push(Box::new(action)));

        let guard = lock.lock().await;
        let mut waiting: Vec<Boxed<'_, ()>> = vec![
            Box::pin(event.wait()),
            Box::pin(async {
                let _ = lock.lock().await;
            }),
            Box::pin(async {
                let _ = receiver.receive().await;
            }),
            Box::pin(sleep(MS)),
            Box::pin(async {
                let _ = inner.run(forever()).await;
            }),
            Box::pin(async {
                let _ = move_on_after(MS, forever()).await;
            }),
            Box::pin(finally(forever(), async {})),
            Box::pin(open_nursery(async |n| {
                n.start_soon(event.wait());
                n.start_soon(trio::checkpoint());
                let daemon = n.spawn(forever());
                daemon.cancel();
                let _ = daemon.join().await;
            })),
        ];
        for future in &mut waiting {
            for _ in 0..3 {
                assert!(poll_acting(future.as_mut()).is_pending());
            }
        }
        event.set();
        drop(guard);
        let _ = sender.try_send(1);
        handle.cancel();
        handle.set_shield(true);
        sleep(5 * MS).await;
        for future in &mut waiting {
            let _ = poll_acting(future.as_mut());
        }
        assert!(calls.get() >= 5, "the waker was called {} times", calls.get());
        assert!(other.is_set());
        waiting.clear();
        ON_WAKE.take();
        victims.take();
        passes(3).await;
        nodes.assert_same();
    });
}

/// A waker that panics.
struct PanicsWhenWoken;

impl Wake for PanicsWhenWoken {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

#[test]
fn a_waker_that_panics_leaves_no_child_behind() {
    trio::run(async {
        let nodes = Nodes::now();
        let dropped = Cell::new(0);
        let mut nursery = Box::pin(open_nursery(async |n| {
            for _ in 0..5 {
                let place = Rc::new(RefCell::new(None::<TaskHandle<'_, ()>>));
                let there = Rc::clone(&place);
                // Older than the task it joins, so that it is still there when that is dropped.
                n.start_soon(async {
                    let _guard = OnDrop(|| dropped.set(dropped.get() + 1));
                    let handle = there.take().unwrap();
                    drop(there);
                    let waker = Waker::from(Arc::new(PanicsWhenWoken));
                    let mut join = pin!(handle.join());
                    let mut context = Context::from_waker(&waker);
                    assert!(join.as_mut().poll(&mut context).is_pending());
                    forever().await;
                });
                *place.borrow_mut() = Some(n.spawn(async {
                    let _guard = OnDrop(|| dropped.set(dropped.get() + 1));
                    forever().await;
                }));
            }
            forever().await;
        }));
        for _ in 0..3 {
            assert!(poll_once(nursery.as_mut()).await.is_pending());
        }
        assert_eq!(panic_text(|| drop(nursery)), "in a waker");
        assert_eq!(dropped.get(), 10);
        nodes.assert_same();
    });
}

/// Leaves its waker to threads, which use it whenever they like.
async fn leave_to_threads(wakers: &Mutex<Vec<Waker>>, polls: usize) {
    let mut left = polls;
    poll_fn(|context| {
        wakers.lock().unwrap().push(context.waker().clone());
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        Poll::Pending
    })
    .await;
}

#[test]
fn other_threads_may_wake_during_and_after_the_run() {
    const RUNS: usize = 40;
    let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let woken = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (wakers, stop, woken) = (Arc::clone(&wakers), Arc::clone(&stop), Arc::clone(&woken));
            thread::spawn(move || {
                let mut kept = VecDeque::new();
                while !stop.load(Ordering::Relaxed) {
                    let mut taken = std::mem::take(&mut *wakers.lock().unwrap());
                    for waker in &taken {
                        waker.wake_by_ref();
                        let clone = waker.clone();
                        clone.wake();
                    }
                    woken.fetch_add(taken.len(), Ordering::Relaxed);
                    // Some are kept, to be used long after their run.
                    kept.extend(taken.drain(..taken.len() / 2));
                    taken.into_iter().for_each(Waker::wake);
                    while kept.len() > 500 {
                        kept.pop_front().unwrap().wake();
                    }
                    if number == 0 {
                        thread::yield_now();
                    }
                }
                kept.into_iter().for_each(Waker::wake);
            })
        })
        .collect();
    let accepted = Arc::new(AtomicUsize::new(0));
    let made = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for round in 0..RUNS {
        let returned = trio::run(async {
            let token = current_token();
            let (accepted, made) = (Arc::clone(&accepted), Arc::clone(&made));
            callers.push(thread::spawn(move || {
                // Until the run has ended: every call that was accepted is made.
                loop {
                    let made = Arc::clone(&made);
                    let call = token.run_sync_soon(move || {
                        made.fetch_add(1, Ordering::Relaxed);
                    });
                    if call.is_err() {
                        return;
                    }
                    accepted.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_micros(50));
                }
            }));
            open_nursery(async |n| {
                for i in 0..20 {
                    n.start_soon(leave_to_threads(&wakers, 3 + (i + round) % 5));
                }
                if round % 3 == 0 {
                    // Some of them never end by themselves.
                    n.start_daemon(leave_to_threads(&wakers, usize::MAX));
                }
            })
            .await;
            round
        });
        assert_eq!(returned, round);
    }
    for caller in callers {
        caller.join().unwrap();
    }
    assert_eq!(accepted.load(Ordering::Relaxed), made.load(Ordering::Relaxed));
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(woken.load(Ordering::Relaxed) >= 1000);
}

#[trio::test]
async fn a_clone_made_on_another_thread_keeps_the_run_waiting() {
    // The only clone that is left is the other thread's: if nobody counted it, the test would end as deadlocked.
    let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
    let woken = Arc::new(AtomicBool::new(false));
    let there = Arc::clone(&woken);
    let waker_thread = thread::spawn(move || {
        let first = receiver.recv().unwrap();
        let second = first.clone();
        drop(first);
        thread::sleep(30 * MS);
        there.store(true, Ordering::SeqCst);
        second.wake();
    });
    let mut sent = false;
    poll_fn(|context| {
        if !std::mem::replace(&mut sent, true) {
            sender.send(context.waker().clone()).unwrap();
        }
        if woken.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waker_thread.join().unwrap();
}

#[test]
fn seventy_thousand_tasks_in_one_place_with_their_wakers_kept() {
    const TASKS: usize = 70_000;
    trio::run(async {
        let nodes = Nodes::now();
        let wakers = RefCell::new(Vec::with_capacity(TASKS));
        let living_polls = Rc::new(Cell::new(0));
        open_nursery(async |n| {
            // Others that must not mind being woken for no reason.
            n.start_daemon(count_polls(Rc::clone(&living_polls), forever()));
            n.start_daemon(move_on_after(Duration::from_secs(3600), forever()).map(drop));
            let mut most = 0;
            for number in 0..TASKS {
                let wakers = &wakers;
                let task = n.spawn(poll_fn(move |context| {
                    wakers.borrow_mut().push(context.waker().clone());
                    Poll::Ready(number)
                }));
                assert_eq!(task.join().await, Ok(number));
                most = most.max(current_statistics().nodes);
                if number % 1000 == 0 {
                    for waker in wakers.borrow().iter().step_by(97) {
                        waker.wake_by_ref();
                    }
                }
            }
            assert!(most < 20, "the tasks used their places one after the other, but there were {most}");
            for waker in wakers.borrow().iter() {
                waker.wake_by_ref();
                assert!(waker.clone().will_wake(waker));
            }
            passes(3).await;
        })
        .await;
        // Once per 65,536 generations a stale waker may mean a stranger.
        assert!(living_polls.get() < 10, "{} polls", living_polls.get());
        nodes.assert_same();
    });
}

// ---------------------------------------------------------------------- out of the run

/// A future that has been polled a few times in a run that has ended since.
fn half_polled<T: 'static>(make: fn() -> Boxed<'static, T>) -> Boxed<'static, T> {
    trio::run(async move {
        let mut future = make();
        for _ in 0..5 {
            assert!(poll_once(future.as_mut()).await.is_pending());
            sleep(MS).await;
        }
        future
    })
}

/// Two ends of a TCP connection. Waits for the system, so it has to be polled a few times, with time in between.
async fn connected() -> (TcpStream, TcpStream) {
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = join(TcpStream::connect(address), listener.accept()).await;
    (client.unwrap(), server.unwrap().0)
}

/// Makes a future that waits for something, and says what the message calls it.
type Outlives = (&'static str, fn() -> Boxed<'static, ()>);

const OUTLIVING: [Outlives; 13] = [
    ("nursery", || {
        Box::pin(open_nursery(async |n| {
            n.start_soon(open_nursery(async |inner| inner.start_soon(forever())));
            let task = n.spawn(shield(sleep(Duration::from_secs(60))));
            n.start_soon(async move {
                let _ = task.join().await;
            });
            n.start_daemon(forever());
            forever().await;
        }))
    }),
    ("cancel scope", || {
        Box::pin(async {
            let scope = CancelScope::new().timeout(Duration::from_secs(60));
            let handle = scope.handle();
            let _uses_handle = OnDrop(move || handle.cancel());
            scope.run(forever()).await;
        })
    }),
    ("`finally`", || Box::pin(finally(forever(), async {}))),
    ("sleep", || Box::pin(sleep(Duration::from_secs(60)))),
    ("wait", || {
        Box::pin(async {
            let event = Event::new();
            event.wait().await;
        })
    }),
    ("wait", || {
        Box::pin(async {
            let lock = Lock::new(String::from("locked"));
            let _guard = lock.lock().await;
            lock.lock().await.push('!');
        })
    }),
    ("wait", || {
        Box::pin(async {
            let (sender, receiver) = open_memory_channel::<String>(0);
            receiver.receive().await.unwrap();
            drop(sender);
        })
    }),
    ("wait", || {
        Box::pin(async {
            let (sender, receiver) = open_memory_channel::<String>(0);
            sender.send(String::from("sent")).await.unwrap();
            drop(receiver);
        })
    }),
    ("wait", || Box::pin(trio::testing::wait_all_tasks_blocked(Duration::MAX))),
    ("operation", || Box::pin(async { Rescheduler::<()>::new().wait(|| Abort::Succeeded).await })),
    ("wait for I/O", || {
        Box::pin(async {
            let (mut client, mut server) = connected().await;
            let (mut byte, mut other) = ([0], [0]);
            drop(join(client.receive_some(&mut byte), server.receive_some(&mut other)).await);
        })
    }),
    ("wait for I/O", || {
        Box::pin(async {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            wait_readable(&ours).await.unwrap();
        })
    }),
    ("nursery", || {
        Box::pin(open_nursery(async |n| {
            // Parked in a `start` call, whose task is parked in turn.
            let _ = n.start(async |_: TaskStatus<()>| forever().await).await;
        }))
    }),
];

#[test]
fn what_outlives_its_run_panics_clearly_in_another_one() {
    for (what, make) in OUTLIVING {
        let mut future = half_polled(make);
        let text = panic_text(|| trio::run(poll_once(future.as_mut())));
        let expected = format!("this {what} began in another trio run, which has ended: it can only be dropped now");
        assert_eq!(text, expected);
        drop(future);
    }
}

#[test]
fn what_outlives_its_run_panics_clearly_outside_of_one() {
    for (what, make) in OUTLIVING {
        let mut future = half_polled(make);
        let waker = Waker::noop();
        let text = panic_text(|| future.as_mut().poll(&mut Context::from_waker(waker)));
        assert_eq!(
            text, "this needs a trio run: call it from inside trio::run, #[trio::main] or #[trio::test]",
            "{what}"
        );
    }
}

#[test]
fn what_outlives_its_run_is_dropped_quietly() {
    for (_, make) in OUTLIVING {
        // Outside, in another run, in a task of another run, and while that run's things have the same names.
        drop(half_polled(make));
        let future = half_polled(make);
        trio::run(async { drop(future) });
        let future = half_polled(make);
        trio::run(async move {
            let nodes = Nodes::now();
            let mut same = make();
            for _ in 0..3 {
                assert!(poll_once(same.as_mut()).await.is_pending());
            }
            trio::nursery! { |n| n.start_soon(async move { drop(future) }); }
            assert!(poll_once(same.as_mut()).await.is_pending());
            drop(same);
            nodes.assert_same();
            assert_eq!(current_statistics().timers, 0);
            assert_eq!(current_statistics().io_registrations, 0);
        });
    }
}

#[test]
fn a_socket_that_outlives_its_run_panics_clearly_in_another_one() {
    let (mut client, server) = trio::run(connected());
    let text = panic_text(|| trio::run(client.send_all(b"x")));
    assert_eq!(text, "this socket began in another trio run, which has ended: it can only be dropped now");
    drop(client);
    trio::run(async {
        // Whatever gets its number is watched as if it had never been.
        drop(server);
        let (mut client, mut server) = connected().await;
        client.send_all(b"x").await.unwrap();
        assert_eq!(server.receive_some(&mut [0; 2]).await.unwrap(), 1);
    });
}

#[test]
fn guards_and_handles_may_outlive_their_run() {
    let lock = Lock::new(1);
    let guard = trio::run(lock.lock());
    assert_eq!(*guard, 1);
    let waiting = trio::run(async {
        let mut waiting = Box::pin(lock.lock());
        for _ in 0..2 {
            assert!(poll_once(waiting.as_mut()).await.is_pending());
        }
        waiting
    });
    // The lock goes to the one who waits, who can't take it any more, and gives it back.
    drop(guard);
    assert!(lock.is_locked());
    drop(waiting);
    assert!(!lock.is_locked());
    assert_eq!(*trio::run(lock.lock()), 1);

    let (handle, task, token, waker) = trio::run(async {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let waker = scope.run(poll_fn(|context| Poll::Ready(context.waker().clone()))).await.unwrap();
        (handle, trio::lowlevel::current_task(), current_token(), waker)
    });
    handle.cancel();
    handle.set_deadline(Some(Instant::now()));
    handle.set_shield(true);
    let _ = (handle.is_cancelled(), handle.reason(), format!("{handle:?} {task:?}"));
    assert!(!task.is_alive());
    assert!(token.run_sync_soon(|| unreachable!("the run has ended")).is_err());
    waker.wake_by_ref();
    trio::run(async {
        let nodes = Nodes::now();
        waker.wake();
        handle.cancel();
        assert!(task.child_nurseries().is_empty());
        nodes.assert_same();
        trio::checkpoint().await;
    });
}

#[test]
fn many_tasks_are_dropped_outside_their_run_in_linear_time() {
    let time = |tasks: usize| {
        let nursery = trio::run(async move {
            let mut nursery: Boxed<'static, ()> = Box::pin(open_nursery(async move |n| {
                for _ in 0..tasks {
                    n.start_soon(forever());
                }
                forever().await;
            }));
            assert!(poll_once(nursery.as_mut()).await.is_pending());
            nursery
        });
        let began = Instant::now();
        drop(nursery);
        began.elapsed()
    };
    let (few, many) = (time(5_000), time(100_000));
    // Twenty times as many; four hundred times as long if it were quadratic.
    assert!(many < few * 150 + 50 * MS, "{few:?} for 5,000, {many:?} for 100,000");
}

// ---------------------------------------------------------------------- channels and places

/// A value that sends another one when it is dropped.
struct Sends {
    left: u32,
    to: Rc<RefCell<Option<trio::MemorySender<Self>>>>,
    dropped: Rc<Cell<u32>>,
}

impl Drop for Sends {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
        if self.left > 0 {
            let next = Self { left: self.left - 1, to: Rc::clone(&self.to), dropped: Rc::clone(&self.dropped) };
            let to = self.to.borrow().clone();
            if let Some(to) = to {
                let _ = to.try_send(next);
            }
        }
    }
}

#[test]
fn values_may_send_into_the_channel_that_drops_them() {
    for (capacity, receivers) in [(0, 0), (0, 1), (1, 1), (3, 2), (usize::MAX, 1)] {
        trio::run(async {
            let nodes = Nodes::now();
            let (to, dropped) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
            let value = || Sends { left: 3, to: Rc::clone(&to), dropped: Rc::clone(&dropped) };
            let (sender, receiver) = open_memory_channel::<Sends>(capacity);
            *to.borrow_mut() = Some(sender.clone());
            for _ in 0..3 {
                let _ = sender.try_send(value());
            }
            move_on_after(
                2 * MS,
                open_nursery(async |n| {
                    // Senders that are cancelled with their value, and receivers that drop what they get.
                    for _ in 0..3 {
                        n.start_soon(async { drop(sender.send(value()).await) });
                    }
                    for _ in 0..receivers {
                        n.start_soon(async { while receiver.receive().await.is_ok() {} });
                    }
                }),
            )
            .await;
            drop(receiver);
            assert!(sender.send(value()).await.is_err());
            drop(sender);
            let last = to.take();
            drop(last);
            assert_eq!(Rc::strong_count(&dropped), 1, "every value is gone");
            assert!(dropped.get() >= 7);
            nodes.assert_same();
        });
    }
}

#[test]
fn a_place_that_was_never_taken_has_no_claim_on_the_value() {
    trio::run(async {
        let place = Rescheduler::new();
        open_nursery(async |n| {
            let task = n.spawn(async { place.wait(|| Abort::Succeeded).await });
            settle().await;
            let unused = place.wait(|| Abort::Succeeded);
            place.reschedule(String::from("for the one who waits"));
            drop(unused);
            assert_eq!(task.join().await.unwrap(), "for the one who waits");
        })
        .await;
    });
}

#[test]
fn an_abort_may_act_on_the_run() {
    trio::run(async {
        let nodes = Nodes::now();
        let place = Rescheduler::<()>::new();
        let event = Rc::new(Event::new());
        let outer = CancelScope::new();
        let (handle, event_there, place_there) = (outer.handle(), Rc::clone(&event), place.clone());
        let in_abort = handle.clone();
        let ended = outer.run(open_nursery(async |n| {
            n.start_soon(place.wait(move || {
                in_abort.cancel();
                event_there.set();
                place_there.let_cancel();
                place_there.reschedule(());
                Abort::Failed
            }));
            n.start_soon(event.wait());
            settle().await;
            handle.cancel();
            trio::checkpoint().await;
        }));
        assert_eq!(ended.await, None);
        nodes.assert_same();
    });
}

/// A clock that controls a scope when it is asked for the time.
#[derive(Clone, Default)]
struct Meddles {
    handle: Rc<RefCell<Option<trio::CancelHandle>>>,
    asking: Rc<Cell<bool>>,
}

impl trio::Clock for Meddles {
    fn now(&self) -> Instant {
        if !self.asking.replace(true) {
            let handle = self.handle.borrow().clone();
            if let Some(handle) = handle {
                handle.set_shield(!handle.is_shielded());
                handle.set_deadline(None);
                let _ = (handle.is_cancelled(), handle.reason(), handle.deadline());
                handle.set_timeout(Duration::from_secs(60));
                handle.cancel();
            }
            self.asking.set(false);
        }
        Instant::now()
    }

    fn sleep_time(&self, deadline: Instant) -> Option<Duration> {
        Some(deadline.saturating_duration_since(self.now()))
    }
}

#[test]
fn a_clock_may_act_on_the_run() {
    let clock = Meddles::default();
    Builder::new().clock(clock.clone()).run(async {
        let scope = CancelScope::new().timeout(Duration::from_secs(60));
        let handle = scope.handle();
        let ended = scope.run(async {
            *clock.handle.borrow_mut() = Some(handle.clone());
            let _ = (handle.is_cancelled(), handle.deadline(), handle.timeout());
            let _ = format!("{handle:?}");
            sleep(MS).await;
        });
        assert_eq!(ended.await, None);
        sleep(MS).await;
        clock.handle.take();
    });
}

// ---------------------------------------------------------------------- depth

/// A level of nesting is a level of recursion, in polling and in dropping. A thousand nurseries take 1.2 MiB of stack in
/// optimised builds, and 3.4 MiB in those without optimisation, five thousand scopes 2.4 and 7.5; the usual stack of a
/// test's thread is 2 MiB. AddressSanitizer takes more.
const STACK: usize = if cfg!(debug_assertions) { 64 << 20 } else { 4 << 20 };

fn on_a_large_stack(test: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(STACK).spawn(test);
    thread.unwrap().join().unwrap();
}

fn nested_nurseries<'a>(depth: usize, leaf: &'a Event, left: &'a Cell<usize>) -> Boxed<'a, ()> {
    Box::pin(async move {
        let _guard = OnDrop(|| left.set(left.get() + 1));
        if depth == 0 {
            leaf.wait().await;
            trio::checkpoint().await;
        } else {
            open_nursery(async |n| n.start_soon(nested_nurseries(depth - 1, leaf, left))).await;
        }
    })
}

fn nested_scopes<'a>(depth: usize, leaf: &'a Event, left: &'a Cell<usize>) -> Boxed<'a, ()> {
    Box::pin(async move {
        let _guard = OnDrop(|| left.set(left.get() + 1));
        if depth == 0 {
            leaf.wait().await;
            trio::checkpoint().await;
        } else {
            CancelScope::new().run(nested_scopes(depth - 1, leaf, left)).await;
        }
    })
}

type Nest = for<'a> fn(usize, &'a Event, &'a Cell<usize>) -> Boxed<'a, ()>;

/// Wakes the innermost, cancels the outermost, and drops the whole, in turn.
fn try_depth(depth: usize, nest: Nest) {
    trio::run(async {
        let nodes = Nodes::now();
        let left = Cell::new(0);

        let event = Event::new();
        open_nursery(async |n| {
            n.start_soon(nest(depth, &event, &left));
            settle().await;
            assert!(current_statistics().nodes > depth);
            event.set();
        })
        .await;
        assert_eq!(left.take(), depth + 1);
        nodes.assert_same();

        let event = Event::new();
        let ended = trio::nursery! { |n, scope|
            n.start_soon(nest(depth, &event, &left));
            settle().await;
            scope.cancel();
            trio::checkpoint().await;
        };
        assert_eq!(ended, None);
        assert_eq!(left.take(), depth + 1);

        let nodes = Nodes::now();
        let event = Event::new();
        // To begin takes a turn for each level, so not as deep.
        let mut dropped = nest(depth / 4, &event, &left);
        let mut known = 0;
        // A nursery's child takes its first step in the next turn.
        while std::mem::replace(&mut known, current_statistics().nodes) < current_statistics().nodes {
            for _ in 0..5 {
                assert!(poll_once(dropped.as_mut()).await.is_pending());
            }
        }
        drop(dropped);
        assert!(left.take() > 0);
        nodes.assert_same();
    });
}

#[test]
fn a_thousand_nested_nurseries() {
    on_a_large_stack(|| try_depth(1_000, nested_nurseries));
}

#[test]
fn five_thousand_nested_scopes() {
    on_a_large_stack(|| try_depth(5_000, nested_scopes));
}

#[test]
fn joins_of_tasks_in_all_orders() {
    trio::run(async {
        let nodes = Nodes::now();
        let late = open_nursery(async |n| {
            let handles: Vec<_> = (0..5_usize)
                .map(|i| {
                    n.spawn(async move {
                        passes(i).await;
                        Box::new(i)
                    })
                })
                .collect();
            // A task that joins others, one of which joins nobody; handles that are dropped half-way through a join.
            let mut sum = 0;
            for (i, handle) in handles.into_iter().enumerate() {
                let mut join = Box::pin(handle.join());
                if i % 2 == 0 {
                    let _ = poll_once(join.as_mut()).await;
                    drop(join);
                } else {
                    sum += *join.await.unwrap();
                }
            }
            let (first, second) = (n.spawn(passes(3)), n.spawn(passes(1)));
            let (one, two) = join(first.join(), second.join()).await;
            assert_eq!((one, two), (Ok(()), Ok(())));
            sum
        })
        .await;
        assert_eq!(late, 4);
        nodes.assert_same();
        let never: Result<std::convert::Infallible, _> = open_nursery(async |n| {
            let task = n.spawn(async { match sleep_forever().await {} });
            task.cancel();
            task.join().await
        })
        .await;
        assert!(never.is_err());
    });
}
