//! The cells of the table that are the same for all that is waited for in line.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use futures::FutureExt;
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use trio::CancelScope;

use super::super::subject::Subject;
use crate::support::{Log, settle};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

async fn go_through(subject: &impl Subject, log: &Log, name: &str) {
    let _pass = subject.wait().await;
    log.say(name);
    trio::checkpoint().await;
}

/// Lets so many go on, which are all that wait.
async fn let_go_on<'a, S: Subject>(subject: &'a S, held: &mut S::Held<'a>, count: usize) {
    for _ in 0..if S::TOGETHER { 1 } else { count } {
        subject.open(held);
        settle().await;
    }
}

/// They go on in the order in which they came, or are woken in that order if it is all of them.
pub(super) async fn fairness<S: Subject>(make: impl Fn() -> S) {
    let (subject, log) = (make(), Log::new());
    trio::nursery! { |n|
        let mut held = subject.shut();
        for name in NAMES {
            n.start_soon(go_through(&subject, &log, name));
            settle().await;
        }
        assert!(log.lines().is_empty());
        let_go_on(&subject, &mut held, NAMES.len()).await;
    }
    assert_eq!(if S::TOGETHER { log.sorted() } else { log.lines() }, NAMES);
    wakes_in_order(make()).await;
}

/// As it is seen from outside the scheduler, which may shuffle those who are woken at the same time.
async fn wakes_in_order<S: Subject>(subject: S) {
    struct Tell(usize, Arc<Mutex<Vec<usize>>>);
    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let woken = Arc::default();
    let wakers: Vec<_> = (0..4).map(|number| Waker::from(Arc::new(Tell(number, Arc::clone(&woken))))).collect();
    let mut waits: Vec<_> = wakers.iter().map(|_| Box::pin(subject.wait())).collect();
    let mut held = subject.shut();
    for (wait, waker) in waits.iter_mut().zip(&wakers) {
        assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
    if S::TOGETHER {
        subject.open(&mut held);
        assert_eq!(*woken.lock().unwrap(), [0, 1, 2, 3]);
        // And whoever looks first goes on first.
        for (wait, waker) in waits.iter_mut().zip(&wakers).rev() {
            assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_ready());
        }
    } else {
        for (number, waker) in wakers.iter().enumerate() {
            subject.open(&mut held);
            assert_eq!(*woken.lock().unwrap(), (0..=number).collect::<Vec<_>>());
            // Those behind have nothing yet, however often they look.
            for (wait, waker) in waits.iter_mut().zip(&wakers).skip(number + 1) {
                assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            }
            let pass = waits[number].as_mut().poll(&mut Context::from_waker(waker));
            assert!(pass.is_ready());
        }
    }
    subject.assert_over();
}

/// Whoever is cancelled leaves the queue, and is passed over even before it has.
pub(super) async fn cancelled_while_waiting<S: Subject>(make: impl Fn() -> S) {
    let (subject, log) = (make(), Log::new());
    let (gone, passed_over) = (CancelScope::new(), CancelScope::new());
    let handles = (gone.handle(), passed_over.handle());
    trio::nursery! { |n|
        let mut held = subject.shut();
        n.start_soon(async { assert_eq!(gone.run(go_through(&subject, &log, "gone")).await, None) });
        settle().await;
        n.start_soon(async { assert_eq!(passed_over.run(go_through(&subject, &log, "passed over")).await, None) });
        settle().await;
        n.start_soon(go_through(&subject, &log, "next"));
        settle().await;
        subject.assert_statistics(true, 3);
        handles.0.cancel();
        settle().await;
        subject.assert_statistics(true, 2);
        // Cancelled before it begins, it leaves no trace.
        let ended = trio::cancel_scope! { |scope|
            scope.cancel();
            drop(subject.wait().await);
        };
        assert_eq!(ended, None);
        subject.assert_statistics(true, 2);
        // In one step: before it could leave the queue by itself.
        handles.1.cancel();
        subject.open(&mut held);
    }
    assert_eq!(log.lines(), ["next"]);
    subject.assert_over();
}

/// What was granted before the cancellation is had; what was granted to a wait that is dropped is not lost.
pub(super) async fn granted_then_cancelled<S: Subject>(make: impl Fn() -> S) {
    let (subject, log) = (make(), Log::new());
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        let mut held = subject.shut();
        n.start_soon(async {
            let ended = scope.run(async {
                let _pass = subject.wait().await;
                log.say("had");
                trio::checkpoint().await;
                log.say("not reached");
            });
            assert_eq!(ended.await, None);
        });
        settle().await;
        subject.open(&mut held);
        handle.cancel();
    }
    assert_eq!(log.lines(), ["had"]);
    subject.assert_over();

    let subject = make();
    trio::nursery! { |n|
        let mut held = subject.shut();
        let mut given_up = Box::pin(subject.wait());
        assert!((&mut given_up).now_or_never().is_none());
        n.start_soon(go_through(&subject, &log, "next"));
        settle().await;
        subject.assert_statistics(true, 2);
        subject.open(&mut held);
        drop(given_up);
        settle().await;
        if !S::TOGETHER && !S::PASSES_ON {
            assert!(log.lines().is_empty(), "its turn is used up");
            subject.assert_statistics(true, 1);
            subject.open(&mut held);
        }
    }
    assert_eq!(log.lines(), ["next"]);
    subject.assert_over();
}

/// Several in one task; one that is dropped; one that goes on elsewhere.
pub(super) async fn foreign_combinator<S: Subject>(make: impl Fn() -> S) {
    let (subject, log) = (make(), Log::new());
    trio::nursery! { |n|
        let mut held = subject.shut();
        n.start_soon(async {
            let mut many: FuturesUnordered<_> = NAMES.iter().map(|name| go_through(&subject, &log, name)).collect();
            while many.next().await.is_some() {}
        });
        settle().await;
        subject.assert_statistics(true, 4);
        let_go_on(&subject, &mut held, NAMES.len()).await;
    }
    assert_eq!(log.sorted(), NAMES);
    subject.assert_over();
    loses_a_select(make()).await;
    is_moved(make()).await;
}

/// The wait that loses is dropped: while it waits, or just when it would be next.
async fn loses_a_select<S: Subject>(subject: S) {
    let log = Log::new();
    trio::nursery! { |n|
        let mut held = subject.shut();
        let lost = matches!(select(pin!(subject.wait()), pin!(trio::checkpoint())).await, Either::Right(_));
        assert!(lost);
        subject.assert_statistics(true, 0);
        n.start_soon(async {
            let (one, other) = (pin!(subject.wait()), pin!(subject.wait()));
            drop(select(one, other).await);
        });
        settle().await;
        n.start_soon(go_through(&subject, &log, "next"));
        settle().await;
        subject.assert_statistics(true, 3);
        let_go_on(&subject, &mut held, 2).await;
    }
    assert_eq!(log.lines(), ["next"]);
    subject.assert_over();
}

/// Polled here first, and then by other tasks, of which one is cancelled.
async fn is_moved<S: Subject>(subject: S) {
    let log = Log::new();
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        let mut held = subject.shut();
        let (mut cancelled, mut moved) = (Box::pin(subject.wait()), Box::pin(subject.wait()));
        assert!((&mut cancelled).now_or_never().is_none());
        assert!((&mut moved).now_or_never().is_none());
        n.start_soon(async move { assert!(scope.run(cancelled).await.is_none()) });
        let log = &log;
        n.start_soon(async move {
            let _pass = moved.await;
            log.say("moved");
        });
        settle().await;
        subject.assert_statistics(true, 2);
        handle.cancel();
        subject.open(&mut held);
    }
    assert_eq!(log.lines(), ["moved"]);
    subject.assert_over();
}

/// They are right after each step.
pub(super) async fn statistics<S: Subject>(make: impl Fn() -> S) {
    let (subject, log) = (make(), Log::new());
    trio::nursery! { |n|
        let mut held = subject.shut();
        subject.assert_statistics(true, 0);
        for (before, name) in NAMES.iter().enumerate() {
            n.start_soon(go_through(&subject, &log, name));
            subject.assert_statistics(true, before);
            settle().await;
            subject.assert_statistics(true, before + 1);
        }
        // At once, before anybody has taken a step: it is the next one's already.
        subject.open(&mut held);
        subject.assert_statistics(!S::TOGETHER, if S::TOGETHER { 0 } else { 3 });
        settle().await;
        if !S::TOGETHER {
            let_go_on(&subject, &mut held, NAMES.len() - 1).await;
        }
    }
    subject.assert_over();
}
