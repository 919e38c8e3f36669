//! One cancellation for many scopes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Wake, Waker};

use trio::testing::MockClock;
use trio::{CancelLink, CancelScope, CancelSource, move_on_after, sleep};

use crate::support::{Log, forever, meets_cancellation, park, secs, settle};

async fn linked(link: &CancelLink, log: &Log, name: &'static str) {
    let scope = CancelScope::new().linked(link);
    let handle = scope.handle();
    let ended = scope.run(park(log, name)).await;
    assert_eq!(ended, None);
    assert!(handle.caught());
    log.say(format!("{name} went on"));
}

#[trio::test(autojump, schedules = 50)]
async fn a_link_cancels_scopes_of_several_tasks_at_once() {
    let (log, link) = (Log::timed(), CancelLink::new());
    trio::nursery! { |n|
        n.start_soon(linked(&link, &log, "one"));
        n.start_soon(linked(&link, &log, "two"));
        n.start_soon(async {
            sleep(secs(1)).await;
            linked(&link, &log, "three").await;
        });
        n.start_soon(async {
            sleep(secs(5)).await;
            log.say("not linked");
        });
        sleep(secs(3)).await;
        assert_eq!(link.len(), 3);
        link.cancel();
        assert!(link.is_cancelled());
    }
    assert!(link.is_empty());
    let mut expected = vec!["not linked at 5".to_owned()];
    for (name, began) in [("one", 0), ("two", 0), ("three", 1)] {
        expected.push(format!("{name} at {began}"));
        expected.push(format!("{name} dropped at 3"));
        expected.push(format!("{name} went on at 3"));
    }
    expected.sort();
    assert_eq!(log.sorted(), expected);
}

#[trio::test(schedules = 50)]
async fn a_cancellation_reaches_scopes_that_are_entered_or_linked_later() {
    let link = CancelLink::new();
    let early = CancelScope::new().linked(&link);
    link.cancel_because("enough");
    let place = link.reason().unwrap();
    assert_eq!((place.text(), place.source()), (Some("enough"), CancelSource::Explicit));
    assert_eq!(place.location().unwrap().file(), file!());
    // A second call does not change the reason.
    link.cancel_because("more than enough");

    let late = CancelScope::new();
    let handles = [early.handle(), late.handle()];
    for (scope, handle) in [early, late.linked(&link)].into_iter().zip(&handles) {
        assert_eq!(handle.reason(), Some(place.clone()));
        // The code runs to its first checkpoint.
        let reached = Cell::new(false);
        let ended = scope.run(async {
            reached.set(true);
            trio::checkpoint().await;
        });
        assert_eq!(ended.await, None);
        assert!(reached.get());
        assert_eq!(handle.reason(), Some(place.clone()));
    }
    // And one that runs already.
    let ended = trio::cancel_scope! { |scope|
        assert!(!meets_cancellation().await);
        scope.link_to(&link);
        assert!(meets_cancellation().await);
        trio::checkpoint().await
    };
    assert_eq!(ended, None);
    assert!(link.is_empty());
}

#[trio::test(autojump)]
async fn a_nursery_can_be_linked_and_a_shield_keeps_a_link_off_no_more_than_a_call() {
    let (log, link) = (Log::timed(), CancelLink::new());
    let ended = trio::nursery! { |n, scope|
        scope.link_to(&link);
        n.start_soon(park(&log, "child"));
        n.start_soon(trio::shield(async {
            sleep(secs(3)).await;
            log.say("shielded");
        }));
        sleep(secs(1)).await;
        link.cancel();
        forever().await
    };
    assert_eq!(ended, None);
    assert_eq!(log.lines(), ["child at 0", "child dropped at 1", "shielded at 3"]);

    // The linked scope's own shield does not keep its own cancellation off.
    let (link, began) = (CancelLink::new(), trio::current_time());
    let scope = CancelScope::new().shield(true).linked(&link);
    trio::nursery! { |n|
        n.start_soon(async {
            sleep(secs(2)).await;
            link.cancel();
        });
        assert_eq!(scope.run(forever()).await, None);
    }
    assert_eq!(trio::current_time() - began, secs(2));
}

#[trio::test]
async fn a_scope_may_be_in_several_links_and_the_first_cancellation_counts() {
    let (one, two, three) = (CancelLink::new(), CancelLink::new(), CancelLink::new());
    let scope = CancelScope::new().linked(&one).linked(&two).linked(&two).linked(&three.clone());
    let handle = scope.handle();
    assert_eq!((one.len(), two.len(), three.len()), (1, 1, 1));
    drop(three);
    two.cancel_because("two");
    one.cancel_because("one");
    assert_eq!(scope.run(forever()).await, None);
    assert_eq!(handle.reason().unwrap().text(), Some("two"));
    assert!(one.is_empty() && two.is_empty());
    // What has ended is not linked any more, and not cancelled.
    let scope = CancelScope::new();
    let handle = scope.handle();
    assert_eq!(scope.run(async { 7 }).await, Some(7));
    let link = CancelLink::new();
    handle.link_to(&link);
    assert!(link.is_empty());
    link.cancel();
    handle.link_to(&link);
    assert!(!handle.is_cancelled());
}

#[trio::test]
async fn dropping_a_link_cancels_nothing() {
    let link = CancelLink::new();
    let scope = CancelScope::new().linked(&link);
    drop(link);
    let ended = scope.run(async {
        trio::checkpoint().await;
        7
    });
    assert_eq!(ended.await, Some(7));
}

#[trio::test(autojump)]
async fn an_outer_cancellation_is_not_caught_by_a_linked_scope() {
    let (link, went_on) = (CancelLink::new(), Cell::new(false));
    let outer = move_on_after(secs(2), async {
        let both = CancelScope::new().linked(&link).run(async {
            sleep(secs(2)).await;
        });
        let _ = both.await;
        went_on.set(true);
    });
    assert_eq!(outer.await, None);
    assert!(!went_on.get());
    assert!(link.is_empty());
}

// ---------------------------------------------------------------------- leaks, and code that comes back

#[trio::test]
async fn scopes_that_come_and_go_leave_nothing_behind() {
    let link = CancelLink::new();
    let before = trio::lowlevel::current_statistics();
    for round in 0..1000 {
        let scope = CancelScope::new().linked(&link);
        match round % 4 {
            // Dropped without being run.
            0 => drop(scope),
            1 => drop(scope.run(forever())),
            // Ended by itself, and dropped while it runs.
            2 => assert_eq!(scope.run(trio::checkpoint()).await, Some(())),
            _ => {
                let mut scoped = Box::pin(scope.run(forever()));
                std::future::poll_fn(|context| {
                    assert!(scoped.as_mut().poll(context).is_pending());
                    std::task::Poll::Ready(())
                })
                .await;
                assert_eq!(link.len(), 1);
            }
        }
        assert_eq!(link.len(), 0, "round {round}");
    }
    assert_eq!(trio::lowlevel::current_statistics().nodes, before.nodes);
    // A handle that is kept does not keep a scope linked that has ended, but one that has not been entered.
    let scope = CancelScope::new().linked(&link);
    let handle = scope.handle();
    drop(scope);
    assert_eq!(link.len(), 1);
    drop(handle);
    assert_eq!(link.len(), 0);
}

#[test]
#[expect(clippy::async_yields_async, reason = "a scope that is not done is handed out of its run")]
fn a_link_may_outlive_its_run() {
    let link = CancelLink::new();
    let forgotten = trio::run(async {
        let mut scoped = Box::pin(CancelScope::new().linked(&link).run(forever()));
        std::future::poll_fn(|context| {
            assert!(scoped.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        scoped
    });
    assert_eq!(link.len(), 1);
    link.cancel();
    assert!(link.is_cancelled());
    trio::Builder::new().clock(MockClock::new().autojump()).run(async {
        link.cancel();
        assert_eq!(CancelScope::new().linked(&link).run(forever()).await, None);
        drop(forgotten);
    });
    assert!(link.is_empty());
}

thread_local! {
    static CALLED: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A foreign waker that does what was left for it.
struct Calls;

impl Wake for Calls {
    fn wake(self: std::sync::Arc<Self>) {
        let call = CALLED.with(|call| call.borrow_mut().take());
        if let Some(call) = call {
            call();
        }
    }
}

#[trio::test]
async fn a_waker_may_use_the_link_that_is_being_cancelled() {
    let link = CancelLink::new();
    let waker = Waker::from(std::sync::Arc::new(Calls));
    let mut context = Context::from_waker(&waker);
    let first = Rc::new(RefCell::new(Some(Box::pin(CancelScope::new().linked(&link).run(forever())))));
    let second = CancelScope::new().linked(&link);
    let handle = second.handle();
    let mut second = Some(Box::pin(second.run(forever())));
    let third = CancelScope::new().linked(&link);
    let mut third = Box::pin(third.run(forever()));
    assert!(first.borrow_mut().as_mut().unwrap().as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().unwrap().as_mut().poll(&mut context).is_pending());
    // When the first is woken, the second goes, the link is cancelled again, and a fourth scope comes.
    let added = Rc::new(RefCell::new(None));
    let (own, to_add) = (link.clone(), Rc::clone(&added));
    let call = move || {
        drop(second.take());
        own.cancel_because("again");
        *to_add.borrow_mut() = Some(CancelScope::new().linked(&own));
        assert!(own.is_cancelled());
    };
    CALLED.with(|called| *called.borrow_mut() = Some(Box::new(call)));
    link.cancel_because("once");
    assert!(!handle.is_cancelled(), "it had ended when its turn came");
    assert_eq!(third.as_mut().await, None);
    assert_eq!(added.take().unwrap().run(forever()).await, None);
    assert_eq!(link.reason().unwrap().text(), Some("once"));
    drop(first.take());
    settle().await;
    assert!(link.is_empty());
}
